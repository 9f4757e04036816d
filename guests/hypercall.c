/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every hypercall from inside: what it answers, who may not call, and what a wrong argument gets. Ends with
 * "hypercall: all N checks passed"; then it starts over by a hypercall once, and goes off by another.
 */
#include "hv/hypercall.h"

#include "arch/x86.h"
#include "guests/lib/hypercall.h"
#include "guests/lib/lib.h"
#include "hv/string.h"

const char guest_name[] = "hypercall";

#define KVM_CALLS 12u
#define POST_PORT 0x80u

static struct {
    struct hypercall_statistics head;
    struct hypercall_vcpu_statistics vcpu;
} statistics;

static uint64_t address_of(const void *pointer)
{
    return (uint64_t)(uintptr_t)pointer;
}

static void check_result(int64_t result, int64_t expected, const char *what)
{
    check_equal((uint64_t)result, (uint64_t)expected, "%s", what);
}

static void check_who_and_what(void)
{
    struct hypercall_registers registers = {HYPERCALL_GUEST_ID, 7, 7, 7};
    char name[40];
    uint64_t length = 0;

    hypercall_raw(&registers);
    check_equal(registers.rax, 0, "guest id");
    check_equal(registers.rcx, 0, "number of the boot processor");
    check(registers.rdx >= 1, "number of vCPUs");
    memset(name, 'x', sizeof(name));
    check_result(hypercall(HYPERCALL_GUEST_NAME, address_of(name), sizeof(name), &length), 0, "name");
    check_equal(strlen(name), length, "length of the name");
    print("hypercall: guest %lu is \"%s\"\n", registers.rbx, name);
    check_result(hypercall(HYPERCALL_GUEST_NAME, address_of(name), 3, &length), 0, "name, cut");
    check_equal(strlen(name), 2, "length of the cut name");
}

static void check_strange_calls(void)
{
    for (uint64_t number = 0; number <= KVM_CALLS; number++) {
        struct hypercall_registers registers = {number, 1, 2, 3};
        hypercall_raw(&registers);
        check_equal(registers.rax, (uint64_t)(int64_t)HYPERCALL_NO_SUCH_CALL, "call %llu", (unsigned long long)number);
        check(registers.rbx == 1 && registers.rcx == 2 && registers.rdx == 3, "registers behind call %llu",
              (unsigned long long)number);
    }
    check_result(hypercall(HYPERCALL_END, 0, 0, NULL), HYPERCALL_NO_SUCH_CALL, "last call");
    check_result(hypercall(HYPERCALL_GUEST_NAME, memory_end() - 4, 32, NULL), HYPERCALL_BAD_ADDRESS,
                 "name behind the end of RAM");
    check_result(hypercall(HYPERCALL_STATISTICS, UINT64_MAX - 8, 4096, NULL), HYPERCALL_BAD_ADDRESS,
                 "statistics around the end of all addresses");
}

static uint64_t call_from_ring_3(uint64_t number)
{
    return (uint64_t)hypercall((enum hypercall)number, 0, 0, NULL);
}

static void check_ring_3(void)
{
    for (uint64_t number = HYPERCALL_VERSION; number <= HYPERCALL_END; number++)
        check_equal(user_call(call_from_ring_3, number), (uint64_t)(int64_t)HYPERCALL_NOT_PERMITTED,
                    "call 0x%llx from ring 3", (unsigned long long)number);
}

static void check_console(void)
{
    static const char line[] = "hypercall: this line came by a hypercall\r\n";
    uint64_t taken = 0, done = 0;

    while (done < sizeof(line) - 1 &&
           hypercall(HYPERCALL_CONSOLE_WRITE, address_of(line) + done, sizeof(line) - 1 - done, &taken) == 0)
        done += taken;
    check_equal(done, sizeof(line) - 1, "console write");
    check_result(hypercall(HYPERCALL_CONSOLE_WRITE, address_of(line), HYPERCALL_CONSOLE_MAX + 1, NULL),
                 HYPERCALL_BAD_SIZE, "console write of too much");
}

static void check_statistics(void)
{
    uint64_t written = 0, tsc = tsc_read();

    check_result(hypercall(HYPERCALL_STATISTICS, address_of(&statistics), sizeof(statistics), &written), 0,
                 "statistics");
    check_equal(written, sizeof(statistics), "size of the statistics");
    check_equal(statistics.head.vcpu_size, sizeof(statistics.vcpu), "size of a vCPU's statistics");
    check(statistics.head.tsc > tsc && statistics.head.tsc < tsc_read(), "time of the statistics");
    check(statistics.head.tsc_hz > 1000000, "frequency of the TSC");
    const struct hypercall_vcpu_statistics before = statistics.vcpu;
    out8(POST_PORT, 1);
    out8(POST_PORT, 2);
    (void)hypercall(HYPERCALL_HEARTBEAT, 0, 0, NULL);
    (void)hypercall(HYPERCALL_STATISTICS, address_of(&statistics), sizeof(statistics), NULL);
    check_equal(statistics.vcpu.exits[HYPERCALL_EXIT_PORT], before.exits[HYPERCALL_EXIT_PORT] + 2, "ports are counted");
    check_equal(statistics.vcpu.exits[HYPERCALL_EXIT_HYPERCALL], before.exits[HYPERCALL_EXIT_HYPERCALL] + 2,
                "hypercalls are counted");
}

void guest_main(void)
{
    uint64_t version = 0;

    if (!hypercall_offered())
        fail("there is no Bulkhead below");
    check_result(hypercall(HYPERCALL_VERSION, 0, 0, &version), 0, "version call");
    check_equal(version, HYPERCALL_INTERFACE, "version");
    check_who_and_what();
    check_strange_calls();
    check_ring_3();
    check_console();
    check_result(hypercall(HYPERCALL_HEARTBEAT, 0, 0, NULL), 0, "heartbeat");
    check_statistics();
    if (checks_failed() != 0)
        fail("%u of %u checks failed", checks_failed(), checks_made());
    print("hypercall: all %u checks passed\n", checks_made());
    hypercall(statistics.head.starts == 1 ? HYPERCALL_RESET : HYPERCALL_POWER_OFF, 0, 0, NULL);
    fail("still here behind the last call");
}
