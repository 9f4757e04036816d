/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What happens at each kind of exit. The table is the policy; handlers return the step that the run loop takes next.
 */
#include "hv/exit.h"

#include "hv/cpuid.h"
#include "hv/creg.h"
#include "hv/error.h"
#include "hv/gmem.h"
#include "hv/guest.h"
#include "hv/hypercall_exit.h"
#include "hv/log.h"
#include "hv/machine.h"
#include "hv/mmio.h"
#include "hv/msr.h"
#include "hv/task_switch.h"
#include "hv/vcpu.h"

/* XCR0 components: x87, SSE, AVX, AVX-512 (three that go together). Intel SDM vol. 1, "Enabling the XSAVE Feature Set
 * and XSAVE-Enabled Features". */
#define XCR0_X87    BIT(0)
#define XCR0_SSE    BIT(1)
#define XCR0_AVX    BIT(2)
#define XCR0_AVX512 (BIT(5) | BIT(6) | BIT(7))

static enum verdict raise_undefined(struct vcpu *vcpu, struct vmexit *exit)
{
    (void)exit;
    event_raise(vcpu, VECTOR_UD);
    return RESUME;
}

static enum verdict raise_protection(struct vcpu *vcpu, struct vmexit *exit)
{
    (void)exit;
    event_raise_error(vcpu, VECTOR_GP, 0);
    return RESUME;
}

/* A host interrupt, perhaps the timer: look at the clock. */
static enum verdict exit_none(struct vcpu *vcpu, struct vmexit *exit)
{
    (void)exit;
    vcpu_request(vcpu, REQUEST_TIMERS);
    return RESUME;
}

/* event_deliver does the rest; the window is used up. */
static enum verdict exit_interrupt_window(struct vcpu *vcpu, struct vmexit *exit)
{
    (void)exit;
    vcpu->events.interrupt_window = false;
    virt->window(vcpu, WINDOW_INTERRUPT, false);
    return RESUME;
}

static enum verdict exit_nmi_window(struct vcpu *vcpu, struct vmexit *exit)
{
    (void)vcpu;
    (void)exit;
    return RESUME;
}

static enum verdict exit_halt(struct vcpu *vcpu, struct vmexit *exit)
{
    (void)vcpu;
    (void)exit;
    return BLOCK;
}

static enum verdict verdict_of(enum mmio_result result, uint8_t length, struct vmexit *exit)
{
    if (result != MMIO_DONE)
        return RESUME;
    exit->length = length;
    return RESUME_AFTER;
}

static __attribute__((noinline)) enum verdict exit_pio_string(struct vcpu *vcpu, struct vmexit *exit)
{
    uint8_t length = 0;
    enum mmio_result result = pio_string_emulate(vcpu, exit, &length);

    return verdict_of(result, length, exit);
}

static enum verdict exit_pio(struct vcpu *vcpu, struct vmexit *exit)
{
    const struct exit_io *io = &exit->io;
    struct guest *guest = vcpu->guest;

    if (io->string)
        return exit_pio_string(vcpu, exit);
    guest_devices_lock(guest);
    if (io->in) {
        uint64_t value = bus_read(&guest->ports, vcpu, io->port, io->size);
        /* As any register operand: 4 bytes clear the upper half, fewer keep the rest. */
        uint64_t kept = io->size == 4 ? 0 : UINT64_MAX << (8 * io->size);
        vcpu->gpr[GPR_RAX] = (vcpu->gpr[GPR_RAX] & kept) | value;
    } else {
        bus_write(&guest->ports, vcpu, io->port, io->size, vcpu->gpr[GPR_RAX]); /* which takes the low bytes */
    }
    guest_devices_unlock(guest);
    return RESUME_AFTER;
}

static enum verdict exit_msr_read(struct vcpu *vcpu, struct vmexit *exit)
{
    struct exit_msr *msr = &exit->msr;

    *msr = (struct exit_msr){.index = (uint32_t)vcpu->gpr[GPR_RCX]};
    msr->refused = msr_policy_read(vcpu, msr->index, &msr->value) != 0;
    if (msr->refused)
        return raise_protection(vcpu, exit);
    vcpu->gpr[GPR_RAX] = (uint32_t)msr->value;
    vcpu->gpr[GPR_RDX] = msr->value >> 32;
    return RESUME_AFTER;
}

static enum verdict exit_msr_write(struct vcpu *vcpu, struct vmexit *exit)
{
    struct exit_msr *msr = &exit->msr;

    *msr = (struct exit_msr){
        .index = (uint32_t)vcpu->gpr[GPR_RCX],
        .value = (uint64_t)(uint32_t)vcpu->gpr[GPR_RDX] << 32 | (uint32_t)vcpu->gpr[GPR_RAX],
    };
    msr->refused = msr_policy_write(vcpu, msr->index, msr->value) != 0;
    return msr->refused ? raise_protection(vcpu, exit) : RESUME_AFTER;
}

static enum verdict exit_memory(struct vcpu *vcpu, struct vmexit *exit)
{
    const struct exit_memory *memory = &exit->memory;
    uint8_t length = 0;

    if (memory->fetch) {
        guest_crash(vcpu, "it runs code at physical address 0x%lx, where it has no memory", memory->address);
        return RESUME;
    }
    if (memory->page_walk) {
        guest_crash(vcpu, "its page tables are at physical address 0x%lx, where it has no memory", memory->address);
        return RESUME;
    }
    /* RAM is mapped for good, before the first entry. */
    if (gmem_is_ram(vcpu->guest, memory->address, 1)) {
        guest_crash(vcpu, "the processor refuses its access to its own memory at 0x%lx", memory->address);
        return RESUME;
    }
    enum mmio_result result = mmio_emulate(vcpu, exit, &length);
    return verdict_of(result, length, exit);
}

static bool xcr0_valid(struct vcpu *vcpu, uint64_t value)
{
    struct cpuid_result offered = cpuid_policy(vcpu, 0xd, 0);

    if ((value & ~((uint64_t)offered.edx << 32 | offered.eax)) != 0 || (value & XCR0_X87) == 0)
        return false;
    if ((value & XCR0_AVX) != 0 && (value & XCR0_SSE) == 0)
        return false;
    return (value & XCR0_AVX512) == 0 || ((value & XCR0_AVX512) == XCR0_AVX512 && (value & XCR0_AVX) != 0);
}

/* XCR0 is the guest's own while it runs here; only what CPUID offers it gets in. */
static enum verdict exit_xsetbv(struct vcpu *vcpu, struct vmexit *exit)
{
    uint64_t value = (uint64_t)(uint32_t)vcpu->gpr[GPR_RDX] << 32 | (uint32_t)vcpu->gpr[GPR_RAX];

    if ((uint32_t)vcpu->gpr[GPR_RCX] != 0 || vcpu_privilege_level(vcpu) != 0 || !xcr0_valid(vcpu, value) ||
        machine_xcr0_write(value) != 0)
        return raise_protection(vcpu, exit);
    vcpu->guest_xcr0 = value;
    return RESUME_AFTER;
}

/*
 * INVD would throw away other guests' dirty lines, WBINVD would stall them all. Guest RAM is coherent and no device
 * bypasses the caches: neither is needed.
 */
static enum verdict nothing_to_do(struct vcpu *vcpu, struct vmexit *exit)
{
    (void)vcpu;
    (void)exit;
    return RESUME_AFTER;
}

/* #DB and #AC are intercepted so that endless delivery stays in our hands: give them back, but not for ever. #MC is the
 * hardware's word to all. */
static enum verdict exit_exception(struct vcpu *vcpu, struct vmexit *exit)
{
    const struct exit_exception *exception = &exit->exception;

    if (exception_loops(vcpu, exit)) {
        guest_crash(vcpu, "delivering exception %u at 0x%lx never ends: each delivery raises the next",
                    exception->vector, exit->rip);
        return RESUME;
    }
    switch (exception->vector) {
    case VECTOR_DB:
        /* Intel SDM vol. 3, "Debug Status Register (DR6)": B0-B3 tell this event, the others collect; BD, BS, RTM as
         * said. */
        if (exit->length == 0)
            vcpu_write(vcpu, VCPU_DR6, (vcpu_read(vcpu, VCPU_DR6) & ~UINT64_C(0xf)) | exception->qualification);
        vcpu_write(vcpu, VCPU_DR7, vcpu_read(vcpu, VCPU_DR7) & ~BIT(13));
        event_raise(vcpu, VECTOR_DB);
        /* A length says that it was INT1: DR6 stays, and its handler returns behind it, without the trap of a single
         * step. */
        if (exit->length != 0) {
            vcpu->events.exception.type = EVENT_SOFTWARE_EXCEPTION;
            vcpu->events.exception.length = exit->length;
        }
        return RESUME;
    case VECTOR_MC: guest_crash(vcpu, "a machine check came while it ran"); return RESUME;
    default: event_raise_error(vcpu, (enum vector)exception->vector, exception->error_code); return RESUME;
    }
}

static enum verdict exit_triple_fault(struct vcpu *vcpu, struct vmexit *exit)
{
    (void)exit;
    event_triple_fault(vcpu);
    return RESUME;
}

static enum verdict exit_entry_failure(struct vcpu *vcpu, struct vmexit *exit)
{
    guest_crash(vcpu, "the processor refuses to run it: %s", exit->entry_failure.detail);
    return RESUME;
}

static enum verdict exit_unknown(struct vcpu *vcpu, struct vmexit *exit)
{
    guest_crash(vcpu, "an exit that Bulkhead does not know, number 0x%lx", exit->reason);
    return RESUME;
}

enum verdict (*const exit_handlers[EXIT_KIND_COUNT])(struct vcpu *vcpu, struct vmexit *exit) = {
    [EXIT_NONE] = exit_none,
    [EXIT_INTERRUPT_WINDOW] = exit_interrupt_window,
    [EXIT_NMI_WINDOW] = exit_nmi_window,
    [EXIT_EXCEPTION] = exit_exception,
    [EXIT_CPUID] = cpuid_exit,
    [EXIT_HLT] = exit_halt,
    [EXIT_PIO] = exit_pio,
    [EXIT_MSR_READ] = exit_msr_read,
    [EXIT_MSR_WRITE] = exit_msr_write,
    [EXIT_CR_READ] = creg_access,
    [EXIT_CR_WRITE] = creg_access,
    [EXIT_CLTS] = creg_clts,
    [EXIT_LMSW] = creg_lmsw,
    [EXIT_DR_ACCESS] = exit_unknown,
    [EXIT_MEMORY] = exit_memory,
    [EXIT_HYPERCALL] = hypercall_exit,
    [EXIT_XSETBV] = exit_xsetbv,
    [EXIT_INVD] = nothing_to_do,
    [EXIT_WBINVD] = nothing_to_do,
    [EXIT_RDPMC] = raise_protection,
    [EXIT_RDTSC] = exit_unknown,
    [EXIT_MONITOR] = raise_undefined,
    [EXIT_MWAIT] = raise_undefined,
    [EXIT_PAUSE] = nothing_to_do,
    [EXIT_INVLPG] = exit_unknown,
    [EXIT_VIRTUALIZATION] = raise_undefined,
    [EXIT_TASK_SWITCH] = task_switch,
    [EXIT_TRIPLE_FAULT] = exit_triple_fault,
    [EXIT_ENTRY_FAILURE] = exit_entry_failure,
    [EXIT_UNKNOWN] = exit_unknown,
};

static const char *const names[EXIT_KIND_COUNT] = {
    [EXIT_NONE] = "host interrupt",
    [EXIT_INTERRUPT_WINDOW] = "interrupt window",
    [EXIT_NMI_WINDOW] = "NMI window",
    [EXIT_EXCEPTION] = "exception",
    [EXIT_CPUID] = "CPUID",
    [EXIT_HLT] = "HLT",
    [EXIT_PIO] = "port",
    [EXIT_MSR_READ] = "RDMSR",
    [EXIT_MSR_WRITE] = "WRMSR",
    [EXIT_CR_READ] = "MOV from CR",
    [EXIT_CR_WRITE] = "MOV to CR",
    [EXIT_CLTS] = "CLTS",
    [EXIT_LMSW] = "LMSW",
    [EXIT_DR_ACCESS] = "MOV DR",
    [EXIT_MEMORY] = "device memory",
    [EXIT_HYPERCALL] = "hypercall",
    [EXIT_XSETBV] = "XSETBV",
    [EXIT_INVD] = "INVD",
    [EXIT_WBINVD] = "WBINVD",
    [EXIT_RDPMC] = "RDPMC",
    [EXIT_RDTSC] = "RDTSC",
    [EXIT_MONITOR] = "MONITOR",
    [EXIT_MWAIT] = "MWAIT",
    [EXIT_PAUSE] = "PAUSE",
    [EXIT_INVLPG] = "INVLPG",
    [EXIT_VIRTUALIZATION] = "virtualization instruction",
    [EXIT_TASK_SWITCH] = "task switch",
    [EXIT_TRIPLE_FAULT] = "triple fault",
    [EXIT_ENTRY_FAILURE] = "entry failure",
    [EXIT_UNKNOWN] = "unknown",
};

const char *exit_name(enum exit_kind kind)
{
    return names[kind];
}
