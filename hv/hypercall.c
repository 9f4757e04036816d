/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What guests ask for with VMCALL or VMMCALL: a table of calls. What a call writes is checked whole before the first
 * byte; what it reads is copied before it is used. None waits, and none takes a lock that another guest can hold.
 */
#include "hv/hypercall.h"

#include "hv/config.h"
#include "hv/console.h"
#include "hv/gmem.h"
#include "hv/guest.h"
#include "hv/hypercall_exit.h"
#include "hv/machine.h"
#include "hv/string.h"
#include "hv/vcpu.h"
#include "hv/watchdog.h"

#define CONSOLE_PIECE 256u /* bytes that are copied at a time */

_Static_assert(sizeof(struct hypercall_statistics) == 40, "hv/hypercall.h is an interface: it has no holes");
_Static_assert(sizeof(struct hypercall_vcpu_statistics) == 112, "hv/hypercall.h is an interface: it has no holes");

/* Which exits the interface counts together. What has no row is HYPERCALL_EXIT_OTHER. */
static const uint8_t exit_groups[EXIT_KIND_COUNT] = {
    [EXIT_NONE] = HYPERCALL_EXIT_HOST,
    [EXIT_INTERRUPT_WINDOW] = HYPERCALL_EXIT_WINDOW,
    [EXIT_NMI_WINDOW] = HYPERCALL_EXIT_WINDOW,
    [EXIT_EXCEPTION] = HYPERCALL_EXIT_EXCEPTION,
    [EXIT_CPUID] = HYPERCALL_EXIT_CPUID,
    [EXIT_HLT] = HYPERCALL_EXIT_HLT,
    [EXIT_PIO] = HYPERCALL_EXIT_PORT,
    [EXIT_MSR_READ] = HYPERCALL_EXIT_MSR,
    [EXIT_MSR_WRITE] = HYPERCALL_EXIT_MSR,
    [EXIT_CR_READ] = HYPERCALL_EXIT_CONTROL_REGISTER,
    [EXIT_CR_WRITE] = HYPERCALL_EXIT_CONTROL_REGISTER,
    [EXIT_CLTS] = HYPERCALL_EXIT_CONTROL_REGISTER,
    [EXIT_LMSW] = HYPERCALL_EXIT_CONTROL_REGISTER,
    [EXIT_XSETBV] = HYPERCALL_EXIT_CONTROL_REGISTER,
    [EXIT_MEMORY] = HYPERCALL_EXIT_MEMORY,
    [EXIT_HYPERCALL] = HYPERCALL_EXIT_HYPERCALL,
};

/* ---- Arguments ---- */

/* Outside of 64-bit mode the guest cannot see what the upper half holds. */
static gpa_t address_argument(struct vcpu *vcpu)
{
    uint64_t value = vcpu->gpr[GPR_RBX];

    return vcpu_mode(vcpu) == MODE_LONG_64 ? value : (uint32_t)value;
}

static uint32_t size_argument(const struct vcpu *vcpu)
{
    return (uint32_t)vcpu->gpr[GPR_RCX];
}

/* ---- The calls ---- */

static int call_version(struct vcpu *vcpu)
{
    const struct guest *guest = vcpu->guest;

    vcpu->gpr[GPR_RBX] = HYPERCALL_INTERFACE;
    vcpu->gpr[GPR_RCX] = (console_has_line(guest) ? HYPERCALL_FEATURE_CONSOLE : 0) |
                         (guest->config->watchdog_ns != 0 ? HYPERCALL_FEATURE_WATCHDOG : 0);
    return 0;
}

static int call_guest_id(struct vcpu *vcpu)
{
    vcpu->gpr[GPR_RBX] = vcpu->guest->number;
    vcpu->gpr[GPR_RCX] = vcpu->number;
    vcpu->gpr[GPR_RDX] = vcpu->guest->vcpu_count;
    return 0;
}

static int call_guest_name(struct vcpu *vcpu)
{
    char name[CONFIG_NAME_MAX + 1];
    uint32_t size = (uint32_t)min_u64(size_argument(vcpu), sizeof(name));

    if (size == 0)
        return HYPERCALL_BAD_SIZE;
    (void)string_copy(name, size, vcpu->guest->name);
    if (gmem_write(vcpu->guest, address_argument(vcpu), name, strlen(name) + 1) != 0)
        return HYPERCALL_BAD_ADDRESS;
    vcpu->gpr[GPR_RBX] = strlen(vcpu->guest->name);
    return 0;
}

static int call_console_write(struct vcpu *vcpu)
{
    uint8_t piece[CONSOLE_PIECE];
    gpa_t address = address_argument(vcpu);
    uint32_t size = size_argument(vcpu), done = 0, taken = 0, part = 0;

    if (size > HYPERCALL_CONSOLE_MAX)
        return HYPERCALL_BAD_SIZE;
    if (!console_has_line(vcpu->guest))
        return HYPERCALL_NO_DEVICE;
    if (!gmem_is_ram(vcpu->guest, address, size))
        return HYPERCALL_BAD_ADDRESS;
    for (; done < size && taken == part; done += taken) {
        part = (uint32_t)min_u64(size - done, sizeof(piece));
        (void)gmem_read(vcpu->guest, address + done, piece, part); /* RAM never goes away */
        taken = console_put(vcpu->guest, piece, part);
    }
    vcpu->gpr[GPR_RBX] = done;
    return 0;
}

static int call_heartbeat(struct vcpu *vcpu)
{
    watchdog_heartbeat(vcpu->guest);
    return 0;
}

/* Another vCPU may count on meanwhile. */
static void read_statistics(const struct vcpu *vcpu, struct hypercall_vcpu_statistics *statistics)
{
    memset(statistics, 0, sizeof(*statistics));
    for (unsigned kind = 0; kind < EXIT_KIND_COUNT; kind++)
        statistics->exits[exit_groups[kind]] += stats_count(&vcpu->stats.kinds[kind]);
    statistics->interrupts = vcpu->stats.interrupts;
    statistics->hypervisor_ticks = vcpu->stats.hypervisor_ticks;
    statistics->halted_ticks = stats_halted(&vcpu->stats, machine_ticks());
}

static int call_statistics(struct vcpu *vcpu)
{
    struct guest *guest = vcpu->guest;
    struct hypercall_vcpu_statistics of_vcpu;
    const struct hypercall_statistics head = {
        .version = HYPERCALL_STATISTICS_VERSION,
        .size = (uint32_t)(sizeof(head) + guest->vcpu_count * sizeof(of_vcpu)),
        .vcpu_count = guest->vcpu_count,
        .vcpu_size = sizeof(of_vcpu),
        .tsc = machine_ticks() + guest->tsc_offset,
        .tsc_hz = machine_ticks_hz(),
        .starts = guest->starts,
    };
    gpa_t address = address_argument(vcpu);
    uint32_t size = size_argument(vcpu);

    if (size < sizeof(head))
        return HYPERCALL_BAD_SIZE;
    uint32_t count = (uint32_t)min_u64(guest->vcpu_count, (size - sizeof(head)) / sizeof(of_vcpu));
    uint64_t written = sizeof(head) + count * sizeof(of_vcpu);
    if (!gmem_is_ram(guest, address, written))
        return HYPERCALL_BAD_ADDRESS;
    (void)gmem_write(guest, address, &head, sizeof(head)); /* RAM never goes away */
    for (uint32_t i = 0; i < count; i++) {
        read_statistics(guest->vcpus[i], &of_vcpu);
        (void)gmem_write(guest, address + sizeof(head) + i * sizeof(of_vcpu), &of_vcpu, sizeof(of_vcpu));
    }
    vcpu->gpr[GPR_RBX] = written;
    return 0;
}

static int call_power_off(struct vcpu *vcpu)
{
    guest_request_power_off(vcpu->guest, "hypercall");
    return 0;
}

static int call_reset(struct vcpu *vcpu)
{
    guest_request_reset(vcpu->guest, "hypercall");
    return 0;
}

typedef int hypercall_function(struct vcpu *vcpu);

static hypercall_function *const calls[HYPERCALL_END - HYPERCALL_VERSION] = {
    [HYPERCALL_VERSION - HYPERCALL_VERSION] = call_version,
    [HYPERCALL_GUEST_ID - HYPERCALL_VERSION] = call_guest_id,
    [HYPERCALL_GUEST_NAME - HYPERCALL_VERSION] = call_guest_name,
    [HYPERCALL_CONSOLE_WRITE - HYPERCALL_VERSION] = call_console_write,
    [HYPERCALL_HEARTBEAT - HYPERCALL_VERSION] = call_heartbeat,
    [HYPERCALL_STATISTICS - HYPERCALL_VERSION] = call_statistics,
    [HYPERCALL_POWER_OFF - HYPERCALL_VERSION] = call_power_off,
    [HYPERCALL_RESET - HYPERCALL_VERSION] = call_reset,
};

static int serve(struct vcpu *vcpu)
{
    uint32_t index = (uint32_t)vcpu->gpr[GPR_RAX] - HYPERCALL_VERSION;

    if (vcpu_privilege_level(vcpu) != 0)
        return HYPERCALL_NOT_PERMITTED;
    return index < ARRAY_SIZE(calls) ? calls[index](vcpu) : HYPERCALL_NO_SUCH_CALL;
}

enum verdict hypercall_exit(struct vcpu *vcpu, struct vmexit *exit)
{
    exit->hypercall.number = (uint32_t)vcpu->gpr[GPR_RAX];
    vcpu->gpr[GPR_RAX] = (uint64_t)(int64_t)serve(vcpu);
    return RESUME_AFTER;
}
