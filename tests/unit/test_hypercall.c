/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hypercalls: who may call, what each call answers, and that wrong addresses and sizes change nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/config.h"
#include "hv/console.h"
#include "hv/cpuid.h"
#include "hv/hypercall.h"
#include "hv/hypercall_exit.h"
#include "hv/watchdog.h"
#include "tests/unit/fake_paging.h"

#define MEMORY  MIB(4)
#define BUFFER  UINT64_C(0x200000)
#define GARBAGE 0x5a
#define NAME    "partition-of-some-31-characters"

static struct guest_config config = {.name = NAME};
static struct guest *guest;
static struct vcpu *vcpu;
static struct console_port *line; /* attached once: the console keeps it for good */
static unsigned heartbeats;

void watchdog_heartbeat(struct guest *which)
{
    assert_ptr_equal(which, guest);
    heartbeats++;
}

static int setup(void **state)
{
    (void)state;
    guest = fake_guest(MEMORY, 2);
    guest->config = &config;
    guest->name = config.name;
    guest->number = 3;
    vcpu = guest->vcpus[1];
    config.watchdog_ns = 0;
    heartbeats = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

/* Call with all registers known; what a call does not name must stay. Returns RAX. */
static int64_t call(uint64_t number, uint64_t rbx, uint64_t rcx)
{
    uint64_t before[GPR_COUNT];
    struct vmexit exit = {.kind = EXIT_HYPERCALL, .length = 3};

    for (unsigned i = 0; i < GPR_COUNT; i++)
        vcpu->gpr[i] = UINT64_C(0xeeee000000000000) + i;
    vcpu->gpr[GPR_RAX] = number;
    vcpu->gpr[GPR_RBX] = rbx;
    vcpu->gpr[GPR_RCX] = rcx;
    memcpy(before, vcpu->gpr, sizeof(before));
    assert_int_equal(hypercall_exit(vcpu, &exit), RESUME_AFTER);
    assert_int_equal(exit.hypercall.number, (uint32_t)number); /* for the trace */
    int64_t result = (int64_t)vcpu->gpr[GPR_RAX];
    bool answers = result == 0;
    for (unsigned i = 0; i < GPR_COUNT; i++) {
        bool named = i == GPR_RAX || (answers && (i == GPR_RBX || i == GPR_RCX || i == GPR_RDX));
        if (!named)
            assert_int_equal(vcpu->gpr[i], before[i]);
    }
    return result;
}

/* The same for a call that answers in RBX only. */
static int64_t call_rbx(uint64_t number, uint64_t rbx, uint64_t rcx)
{
    int64_t result = call(number, rbx, rcx);

    assert_int_equal(vcpu->gpr[GPR_RCX], rcx);
    assert_int_equal(vcpu->gpr[GPR_RDX], UINT64_C(0xeeee000000000000) + GPR_RDX);
    return result;
}

static void fill(gpa_t from, uint64_t size)
{
    assert_int_equal(gmem_fill(guest, from, GARBAGE, size), 0);
}

static void assert_untouched(gpa_t from, uint64_t size)
{
    const uint8_t *bytes = gmem_pointer(guest, from, size);

    assert_non_null(bytes);
    for (uint64_t i = 0; i < size; i++)
        assert_int_equal(bytes[i], GARBAGE);
}

/* ---- Who may call, and which calls there are ---- */

static void strange_numbers_are_no_calls(void **state)
{
    static const uint64_t numbers[] = {0,
                                       1,
                                       2,
                                       5,
                                       11,
                                       12,
                                       0x40000000,
                                       HYPERCALL_VERSION - 1,
                                       HYPERCALL_END,
                                       HYPERCALL_END + 0x100,
                                       UINT32_MAX,
                                       UINT64_MAX,
                                       UINT64_C(0x100000001)};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++)
        assert_int_equal(call(numbers[i], 1, 2), HYPERCALL_NO_SUCH_CALL);
}

/* Only EAX counts: a guest in 32-bit mode cannot see the rest. */
static void upper_half_of_the_number_is_ignored(void **state)
{
    (void)state;
    assert_int_equal(call(UINT64_C(0xffffffff00000000) | HYPERCALL_VERSION, 1, 2), 0);
    assert_int_equal(vcpu->gpr[GPR_RBX], HYPERCALL_INTERFACE);
}

static void rings_of_programs_are_refused(void **state)
{
    (void)state;
    for (unsigned ring = 0; ring < 4; ring++) {
        fake_segment(vcpu, SEGMENT_SS, 0, UINT32_MAX, 0xc093 | ring << 5);
        for (uint32_t number = HYPERCALL_VERSION; number <= HYPERCALL_END; number++) {
            if (ring != 0)
                assert_int_equal(call(number, BUFFER, 100), HYPERCALL_NOT_PERMITTED);
        }
        assert_int_equal(call(1, 0, 0), ring == 0 ? HYPERCALL_NO_SUCH_CALL : HYPERCALL_NOT_PERMITTED);
    }
    assert_int_equal(guest->action, GUEST_GO_ON);
    assert_int_equal(heartbeats, 0);
    (void)fake_enter_mode(vcpu, FAKE_PROTECTED_16, MIB(3));
    fake_backend(vcpu)->registers[VCPU_RFLAGS] |= BIT(17); /* virtual-8086 mode */
    assert_int_equal(call(HYPERCALL_VERSION, 0, 0), HYPERCALL_NOT_PERMITTED);
    (void)fake_enter_mode(vcpu, FAKE_REAL, MIB(3));
    assert_int_equal(call(HYPERCALL_VERSION, 0, 0), 0);
}

/* ---- Short answers ---- */

static void version_tells_what_is_there(void **state)
{
    (void)state;
    assert_int_equal(call(HYPERCALL_VERSION, 7, 7), 0);
    assert_int_equal(vcpu->gpr[GPR_RBX], HYPERCALL_INTERFACE);
    assert_int_equal(vcpu->gpr[GPR_RCX], 0);
    assert_int_equal(vcpu->gpr[GPR_RDX], UINT64_C(0xeeee000000000000) + GPR_RDX);
    config.watchdog_ns = 5;
    assert_int_equal(call(HYPERCALL_VERSION, 7, 7), 0);
    assert_int_equal(vcpu->gpr[GPR_RCX], HYPERCALL_FEATURE_WATCHDOG);
}

static void leaf_tells_the_interface(void **state)
{
    (void)state;
    struct cpuid_result leaf = cpuid_policy(vcpu, HYPERCALL_CPUID_LEAF, 0);
    assert_int_equal(leaf.eax, HYPERCALL_VERSION);
    assert_int_equal(leaf.ebx, HYPERCALL_INTERFACE);
}

static void id_is_that_of_guest_and_vcpu(void **state)
{
    (void)state;
    assert_int_equal(call(HYPERCALL_GUEST_ID, 7, 7), 0);
    assert_int_equal(vcpu->gpr[GPR_RBX], 3);
    assert_int_equal(vcpu->gpr[GPR_RCX], 1);
    assert_int_equal(vcpu->gpr[GPR_RDX], 2);
}

static void heartbeat_is_passed_on(void **state)
{
    (void)state;
    assert_int_equal(call_rbx(HYPERCALL_HEARTBEAT, 7, 8), 0);
    assert_int_equal(vcpu->gpr[GPR_RBX], 7);
    assert_int_equal(heartbeats, 1);
}

static void power_off_and_reset_are_asked_for(void **state)
{
    (void)state;
    assert_int_equal(call_rbx(HYPERCALL_POWER_OFF, 7, 8), 0);
    assert_int_equal(guest->action, GUEST_POWER_OFF);
    assert_string_equal(guest->action_reason, "hypercall");
    for (uint32_t i = 0; i < guest->vcpu_count; i++)
        assert_true((guest->vcpus[i]->requests & REQUEST_STOP) != 0);
    guest->action = GUEST_GO_ON;
    assert_int_equal(call_rbx(HYPERCALL_RESET, 7, 8), 0);
    assert_int_equal(guest->action, GUEST_RESET);
}

/* ---- The name ---- */

static void name_is_cut_to_fit(void **state)
{
    static const uint32_t sizes[] = {1, 2, 10, 31, 32, 33, 4096, UINT32_MAX};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint32_t length = (uint32_t)min_u64(sizes[i] - 1, strlen(NAME));
        const char *written = gmem_pointer(guest, BUFFER, 64);
        fill(BUFFER, 64);
        assert_int_equal(call_rbx(HYPERCALL_GUEST_NAME, BUFFER, sizes[i] | UINT64_C(0x7700000000)), 0);
        assert_int_equal(vcpu->gpr[GPR_RBX], strlen(NAME));
        assert_memory_equal(written, NAME, length);
        assert_int_equal(written[length], 0);
        assert_untouched(BUFFER + length + 1, 64 - length - 1);
    }
    fill(BUFFER, 64);
    assert_int_equal(call_rbx(HYPERCALL_GUEST_NAME, BUFFER, 0), HYPERCALL_BAD_SIZE);
    assert_untouched(BUFFER, 64);
}

/* ---- Addresses ---- */

/* Where RAM ends, where there is none, and where a sum wraps. */
static const gpa_t bad_addresses[] = {MEMORY,     MEMORY - 8,     0xa0000,          0xa0000 - 8,
                                      0xb7fff,    UINT32_MAX - 8, GIB(4),           BIT(52),
                                      UINT64_MAX, UINT64_MAX - 8, (uint64_t)0 - 40, UINT64_C(0xfee00000)};

static void addresses_must_be_ram(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(bad_addresses); i++) {
        gpa_t at = bad_addresses[i];
        fill(MEMORY - 64, 64);
        fill(0xa0000 - 64, 64);
        assert_int_equal(call_rbx(HYPERCALL_GUEST_NAME, at, 32), HYPERCALL_BAD_ADDRESS);
        assert_int_equal(call_rbx(HYPERCALL_STATISTICS, at, 40), HYPERCALL_BAD_ADDRESS);
        assert_int_equal(call_rbx(HYPERCALL_CONSOLE_WRITE, at, 64), HYPERCALL_BAD_ADDRESS);
        assert_int_equal(vcpu->gpr[GPR_RBX], at);
        assert_untouched(MEMORY - 64, 64);
        assert_untouched(0xa0000 - 64, 64);
    }
    assert_int_equal(ring_used(&line->out), 0);
}

static void upper_half_of_an_address_counts_in_64_bit_mode_only(void **state)
{
    uint64_t high = UINT64_C(0x100000000) | BUFFER;
    static const enum fake_mode narrow[] = {FAKE_REAL, FAKE_PROTECTED_16, FAKE_PROTECTED_32, FAKE_COMPATIBILITY};

    (void)state;
    assert_int_equal(call_rbx(HYPERCALL_GUEST_NAME, high, 32), HYPERCALL_BAD_ADDRESS);
    for (unsigned i = 0; i < ARRAY_SIZE(narrow); i++) {
        (void)fake_enter_mode(vcpu, narrow[i], MIB(3));
        fill(BUFFER, 32);
        assert_int_equal(call_rbx(HYPERCALL_GUEST_NAME, high, 32), 0);
        assert_string_equal(gmem_pointer(guest, BUFFER, 32), NAME);
    }
}

/* ---- The console ---- */

static void assert_line(const char *text, size_t size)
{
    uint8_t byte;

    for (size_t i = 0; i < size; i++) {
        assert_true(ring_take(&line->out, &byte));
        assert_int_equal(byte, (uint8_t)text[i]);
    }
    assert_int_equal(ring_used(&line->out), 0);
}

static void console_takes_what_fits(void **state)
{
    static char text[HYPERCALL_CONSOLE_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)(i * 7 + i / 256);
    assert_int_equal(gmem_write(guest, BUFFER + 5, text, sizeof(text)), 0);
    assert_int_equal(call_rbx(HYPERCALL_CONSOLE_WRITE, BUFFER + 5, 0), 0);
    assert_int_equal(vcpu->gpr[GPR_RBX], 0);
    assert_int_equal(call_rbx(HYPERCALL_CONSOLE_WRITE, BUFFER + 5, 300), 0);
    assert_int_equal(vcpu->gpr[GPR_RBX], 300);
    /* The whole ring but these 300. */
    assert_int_equal(call_rbx(HYPERCALL_CONSOLE_WRITE, BUFFER + 5 + 300, HYPERCALL_CONSOLE_MAX - 300), 0);
    assert_int_equal(vcpu->gpr[GPR_RBX], HYPERCALL_CONSOLE_MAX - 300);
    assert_int_equal(call_rbx(HYPERCALL_CONSOLE_WRITE, BUFFER + 5, 1), 0);
    assert_int_equal(vcpu->gpr[GPR_RBX], 0);
    assert_line(text, sizeof(text));

    for (unsigned i = 0; i < RING_SIZE - 260; i++)
        assert_true(ring_put(&line->out, 'x'));
    assert_int_equal(call_rbx(HYPERCALL_CONSOLE_WRITE, BUFFER + 5, 1000), 0);
    assert_int_equal(vcpu->gpr[GPR_RBX], 260);
    for (unsigned i = 0; i < RING_SIZE - 260; i++)
        assert_true(ring_take(&line->out, &(uint8_t){0}));
    assert_line(text, 260);

    assert_int_equal(call_rbx(HYPERCALL_CONSOLE_WRITE, BUFFER, HYPERCALL_CONSOLE_MAX + 1), HYPERCALL_BAD_SIZE);
    assert_int_equal(call_rbx(HYPERCALL_CONSOLE_WRITE, BUFFER, UINT32_MAX), HYPERCALL_BAD_SIZE);
    assert_int_equal(ring_used(&line->out), 0);
    assert_int_equal(guest->devices_lock.next, guest->devices_lock.serving);
    assert_int_not_equal(guest->devices_lock.next, 0);
}

static void console_is_offered_where_there_is_a_line(void **state)
{
    struct guest *with_line = guest;

    (void)state;
    assert_int_equal(call(HYPERCALL_VERSION, 0, 0), 0);
    assert_int_equal(vcpu->gpr[GPR_RCX], HYPERCALL_FEATURE_CONSOLE);
    struct guest other = *guest;
    guest = vcpu->guest = &other;
    assert_int_equal(call(HYPERCALL_VERSION, 0, 0), 0);
    assert_int_equal(vcpu->gpr[GPR_RCX], 0);
    assert_int_equal(call_rbx(HYPERCALL_CONSOLE_WRITE, BUFFER, 4), HYPERCALL_NO_DEVICE);
    guest = with_line;
}

/* ---- Statistics ---- */

static void statistics_are_whole_structures(void **state)
{
    struct hypercall_statistics head;
    struct hypercall_vcpu_statistics vcpus[2];
    const uint32_t full = sizeof(head) + sizeof(vcpus);
    static const uint32_t sizes[] = {sizeof(head),
                                     sizeof(head) + sizeof(vcpus[0]) - 1,
                                     sizeof(head) + sizeof(vcpus[0]),
                                     sizeof(head) + sizeof(vcpus) - 1,
                                     sizeof(head) + sizeof(vcpus),
                                     UINT32_MAX};
    static const uint32_t counts[] = {0, 0, 1, 1, 2, 2};

    (void)state;
    guest->starts = 4;
    guest->tsc_offset = (uint64_t)0 - 1000;
    fake_machine.ticks = 5000;
    for (unsigned kind = 0; kind < EXIT_KIND_COUNT; kind++) {
        guest->vcpus[0]->stats.kinds[kind].buckets[kind % STATS_BUCKETS] = UINT64_C(1) << kind;
        guest->vcpus[1]->stats.kinds[kind].buckets[STATS_BUCKETS - 1] = UINT64_C(3) << kind;
    }
    guest->vcpus[1]->stats.interrupts = 5;
    guest->vcpus[1]->stats.hypervisor_ticks = 6;
    guest->vcpus[1]->stats.halted_ticks = 7;
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint32_t written = (uint32_t)(sizeof(head) + counts[i] * sizeof(vcpus[0]));
        fill(BUFFER, full + 8);
        assert_int_equal(call_rbx(HYPERCALL_STATISTICS, BUFFER, sizes[i]), 0);
        assert_int_equal(vcpu->gpr[GPR_RBX], written);
        assert_untouched(BUFFER + written, full + 8 - written);
        assert_int_equal(gmem_read(guest, BUFFER, &head, sizeof(head)), 0);
        assert_int_equal(head.version, HYPERCALL_STATISTICS_VERSION);
        assert_int_equal(head.size, full);
        assert_int_equal(head.vcpu_count, 2);
        assert_int_equal(head.vcpu_size, sizeof(vcpus[0]));
        assert_int_equal(head.tsc, 4000);
        assert_int_equal(head.tsc_hz, FAKE_TICKS_HZ);
        assert_int_equal(head.starts, 4);
    }
    assert_int_equal(gmem_read(guest, BUFFER + sizeof(head), vcpus, sizeof(vcpus)), 0);
    uint64_t sum = 0;
    for (unsigned i = 0; i < HYPERCALL_EXIT_KINDS; i++) {
        sum += vcpus[0].exits[i];
        assert_int_equal(vcpus[1].exits[i], 3 * vcpus[0].exits[i]);
    }
    assert_int_equal(vcpus[1].interrupts, 5);
    assert_int_equal(vcpus[1].hypervisor_ticks, 6);
    assert_int_equal(vcpus[1].halted_ticks, 7);
    assert_int_equal(sum, (UINT64_C(1) << EXIT_KIND_COUNT) - 1); /* each exit in exactly one group */
    assert_int_equal(vcpus[0].exits[HYPERCALL_EXIT_CPUID], UINT64_C(1) << EXIT_CPUID);
    assert_int_equal(vcpus[0].exits[HYPERCALL_EXIT_MSR], UINT64_C(1) << EXIT_MSR_READ | UINT64_C(1) << EXIT_MSR_WRITE);

    fill(BUFFER, 64);
    assert_int_equal(call_rbx(HYPERCALL_STATISTICS, BUFFER, sizeof(head) - 1), HYPERCALL_BAD_SIZE);
    assert_untouched(BUFFER, 64);
    /* The head would fit, the rest would not: nothing is written. */
    fill(MEMORY - 64, 64);
    assert_int_equal(call_rbx(HYPERCALL_STATISTICS, MEMORY - 64, full), HYPERCALL_BAD_ADDRESS);
    assert_untouched(MEMORY - 64, 64);
}

/* The line belongs to one guest for good: these cases come last and share it. */
static int setup_with_line(void **state)
{
    (void)setup(state);
    line = console_attach(guest, NULL, NULL);
    assert_non_null(line);
    return 0;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest without_line[] = {
        CASE(strange_numbers_are_no_calls),
        CASE(upper_half_of_the_number_is_ignored),
        CASE(rings_of_programs_are_refused),
        CASE(version_tells_what_is_there),
        CASE(leaf_tells_the_interface),
        CASE(id_is_that_of_guest_and_vcpu),
        CASE(heartbeat_is_passed_on),
        CASE(power_off_and_reset_are_asked_for),
        CASE(name_is_cut_to_fit),
        CASE(upper_half_of_an_address_counts_in_64_bit_mode_only),
        CASE(statistics_are_whole_structures),
    };
    const struct CMUnitTest with_line[] = {
        cmocka_unit_test(addresses_must_be_ram),
        cmocka_unit_test(console_takes_what_fits),
        cmocka_unit_test(console_is_offered_where_there_is_a_line),
    };
    int failed = cmocka_run_group_tests_name("hypercalls", without_line, NULL, NULL);

    return failed + cmocka_run_group_tests_name("hypercalls, console", with_line, setup_with_line, teardown);
}
