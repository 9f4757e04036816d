/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vCPU's run loop: serve requests, deliver an event, enter, hand the exit to its handler.
 */
#include "hv/vcpu.h"

#include "hv/console.h"
#include "hv/exit.h"
#include "hv/guest.h"
#include "hv/machine.h"
#include "hv/monitor.h"
#include "hv/msr.h"
#include "hv/string.h"
#include "hv/watchdog.h"

#define RFLAGS_IF BIT(9)

#define CR0_CACHE (BIT(29) | BIT(30)) /* NW, CD */

void vcpu_request(struct vcpu *vcpu, uint32_t requests)
{
    __atomic_fetch_or(&vcpu->requests, requests, __ATOMIC_SEQ_CST);
    if (vcpu->cpu != machine_cpu())
        machine_kick(vcpu->cpu);
}

/*
 * What an INIT leaves alone, beside the FPU, XCR0 and the memory type registers. Intel SDM vol. 3, "Processor State
 * After Reset", table "IA-32 and Intel 64 Processor States Following Power-up, Reset, or INIT".
 */
static const uint8_t kept_by_init[] = {
    VCPU_PAT,         VCPU_STAR,         VCPU_LSTAR,        VCPU_CSTAR,          VCPU_SFMASK,
    VCPU_SYSENTER_CS, VCPU_SYSENTER_ESP, VCPU_SYSENTER_EIP, VCPU_KERNEL_GS_BASE,
};

static void load_state_after_init(struct vcpu *vcpu, struct vcpu_state *state)
{
    uint64_t kept[ARRAY_SIZE(kept_by_init)];

    /* CD and NW stay as they are. */
    state->cr0 = (state->cr0 & ~CR0_CACHE) | (vcpu_read(vcpu, VCPU_CR0) & CR0_CACHE);
    for (unsigned i = 0; i < ARRAY_SIZE(kept); i++)
        kept[i] = vcpu_read(vcpu, (enum vcpu_register)kept_by_init[i]);
    virt->vcpu_load_state(vcpu, state);
    for (unsigned i = 0; i < ARRAY_SIZE(kept); i++)
        vcpu_write(vcpu, (enum vcpu_register)kept_by_init[i], kept[i]);
}

/* The boot processor of a machine without firmware has nowhere to start from. */
static void vcpu_init(struct vcpu *vcpu)
{
    struct vcpu_state state;

    if (vcpu->number == 0) {
        guest_request_reset(vcpu->guest, "INIT of the boot processor");
        return;
    }
    vcpu_state_reset(&state);
    memcpy(vcpu->gpr, state.gpr, sizeof(vcpu->gpr));
    vcpu->tpr = 0;
    event_reset(vcpu);
    machine_init_registers();
    load_state_after_init(vcpu, &state);
    vcpu->irq->init_reset(vcpu);
    vcpu->run_state = VCPU_WAIT_FOR_STARTUP;
}

static void vcpu_start_up(struct vcpu *vcpu)
{
    struct vcpu_state state;

    if (vcpu->run_state != VCPU_WAIT_FOR_STARTUP)
        return;
    vcpu_state_startup(&state, __atomic_load_n(&vcpu->startup_vector, __ATOMIC_ACQUIRE));
    load_state_after_init(vcpu, &state);
    vcpu->run_state = VCPU_RUNNING;
}

/* As the processor: one is delivered, one more is latched behind a running handler, and any further one is lost. */
static void vcpu_take_nmi(struct vcpu *vcpu)
{
    struct virt_blocking blocking;

    virt->read_blocking(vcpu, &blocking);
    if (vcpu->pending_nmis < (blocking.nmi ? 1 : 2))
        vcpu->pending_nmis++;
}

static void take_snapshot(struct vcpu *vcpu)
{
    __atomic_fetch_add(&vcpu->snapshots, 1, __ATOMIC_SEQ_CST);
    snapshot_take(vcpu, &vcpu->snapshot);
    __atomic_fetch_add(&vcpu->snapshots, 1, __ATOMIC_RELEASE);
}

/*
 * Wait while the guest is paused, unless it is to stop. Returns the requests, with those that came meanwhile. All of it
 * is sleep: no exit shall have taken what this CPU does besides, which may be the monitor's.
 */
static uint32_t wait_while_paused(struct vcpu *vcpu, uint32_t requests)
{
    stats_sleep(&vcpu->stats, machine_ticks());
    while (__atomic_load_n(&vcpu->guest->paused, __ATOMIC_ACQUIRE) != 0 && (requests & REQUEST_STOP) == 0) {
        if ((requests & REQUEST_SNAPSHOT) != 0)
            take_snapshot(vcpu);
        requests &= ~(uint32_t)REQUEST_SNAPSHOT;
        monitor_wait(&vcpu->requests, TIMER_NEVER);
        requests |= __atomic_exchange_n(&vcpu->requests, 0, __ATOMIC_SEQ_CST);
    }
    stats_wake(&vcpu->stats, machine_ticks());
    watchdog_heartbeat(vcpu->guest); /* what it missed was not its fault */
    return requests | REQUEST_TIMERS;
}

/* Returns false when the vCPU has to leave its loop. */
static bool vcpu_serve_requests(struct vcpu *vcpu)
{
    uint32_t requests = __atomic_exchange_n(&vcpu->requests, 0, __ATOMIC_SEQ_CST);

    if ((requests & REQUEST_PAUSE) != 0)
        requests = wait_while_paused(vcpu, requests);
    if ((requests & REQUEST_STOP) != 0)
        return false;
    if ((requests & REQUEST_TIMERS) != 0) {
        timer_run_expired(vcpu, machine_ticks());
        machine_timer_set(min_u64(timer_next(vcpu), monitor_serve()));
    }
    if ((requests & REQUEST_CONSOLE) != 0)
        console_notify(vcpu->guest);
    if ((requests & REQUEST_SNAPSHOT) != 0)
        take_snapshot(vcpu);
    if ((requests & REQUEST_POWER_BUTTON) != 0)
        guest_press_power_button(vcpu->guest);
    if ((requests & REQUEST_NMI) != 0)
        vcpu_take_nmi(vcpu);
    /* A SIPI that came with its INIT is for the processor after it. */
    if ((requests & REQUEST_INIT) != 0)
        vcpu_init(vcpu);
    if ((requests & REQUEST_STARTUP) != 0)
        vcpu_start_up(vcpu);
    return true;
}

/* No interrupt can wake it: an NMI, an INIT or a start-up IPI has to come. */
static bool is_deaf(struct vcpu *vcpu)
{
    return vcpu->run_state == VCPU_WAIT_FOR_STARTUP || (vcpu_read(vcpu, VCPU_RFLAGS) & RFLAGS_IF) == 0;
}

/* Sleep until something may have changed; the top of the loop looks what. */
static void vcpu_wait(struct vcpu *vcpu)
{
    bool deaf;

    if (vcpu->run_state == VCPU_HALTED && event_would_wake(vcpu)) {
        vcpu->run_state = VCPU_RUNNING;
        return;
    }
    deaf = is_deaf(vcpu);
    stats_sleep(&vcpu->stats, machine_ticks());
    if (deaf)
        watchdog_asleep(vcpu);
    machine_wait(&vcpu->requests);
    if (deaf)
        watchdog_awake(vcpu);
    stats_wake(&vcpu->stats, machine_ticks());
    vcpu_request(vcpu, REQUEST_TIMERS);
}

/* Mostly there is no event, no window is open and the TPR holds nothing back: then event_deliver would change nothing.
 */
static inline bool has_events(struct vcpu *vcpu)
{
    const struct event_state *events = &vcpu->events;

    return (events->exception.type | events->interrupted.type | vcpu->pending_nmis) != 0 || events->nmi_window ||
           events->interrupt_window || events->tpr_threshold != 0 || vcpu->tpr > 0xf ||
           vcpu->irq->pending(vcpu) != IRQ_NONE;
}

void vcpu_run(struct vcpu *vcpu)
{
    struct exit_stats *last = vcpu->stats.by_kind[EXIT_NONE];

    /* What was asked before a stop went with it. */
    vcpu_request(vcpu, vcpu->number == 0 ? REQUEST_TIMERS | REQUEST_CONSOLE : REQUEST_TIMERS);
    for (;;) {
        if (__atomic_load_n(&vcpu->requests, __ATOMIC_ACQUIRE) != 0 && !vcpu_serve_requests(vcpu)) {
            stats_close(&vcpu->stats, last, machine_ticks_low());
            return;
        }
        if (vcpu->run_state != VCPU_RUNNING) {
            vcpu_wait(vcpu);
            continue;
        }
        if (has_events(vcpu))
            event_deliver(vcpu);
        struct vmexit *exit = &vcpu->trace[vcpu->trace_next++ % EXIT_TRACE_SIZE];
        stats_enter(&vcpu->stats, last, machine_ticks_low());
        virt->run(vcpu, exit);
        last = vcpu->stats.by_kind[exit->kind];
        switch (exit_handle(vcpu, exit)) {
        case RESUME: break;
        case RESUME_AFTER: vcpu_advance(vcpu, exit); break;
        case BLOCK:
            vcpu_advance(vcpu, exit);
            vcpu->run_state = VCPU_HALTED;
            break;
        }
    }
}

void vcpu_reset(struct vcpu *vcpu, const struct vcpu_state *state)
{
    memcpy(vcpu->gpr, state->gpr, sizeof(vcpu->gpr));
    vcpu->tpr = 0;
    vcpu->guest_xcr0 = 1;
    event_reset(vcpu);
    msr_reset(vcpu);
    machine_reset_registers();
    virt->vcpu_load_state(vcpu, state);
}

/* Intel SDM vol. 3, "Processor State After Reset", table "IA-32 and Intel 64 Processor States Following Power-up,
 * Reset, or INIT". */
void vcpu_state_reset(struct vcpu_state *state)
{
    const struct segment_register data = {0, 0xffff, SEGMENT_P | SEGMENT_S | 3, 0};

    memset(state, 0, sizeof(*state));
    state->rip = 0xfff0;
    state->rflags = 2;
    state->cr0 = 0x60000010;
    state->gpr[GPR_RDX] = machine_cpuid(1, 0).eax; /* the processor's signature */
    for (unsigned i = SEGMENT_ES; i <= SEGMENT_GS; i++)
        state->segments[i] = data;
    state->segments[SEGMENT_CS] = (struct segment_register){0xffff0000, 0xffff, SEGMENT_P | SEGMENT_S | 0xb, 0xf000};
    state->segments[SEGMENT_LDTR] = (struct segment_register){0, 0xffff, SEGMENT_P | 2, 0};
    state->segments[SEGMENT_TR] = (struct segment_register){0, 0xffff, SEGMENT_P | 0xb, 0};
    state->gdtr = (struct table_register){0, 0xffff};
    state->idtr = (struct table_register){0, 0xffff};
}

/* Intel SDM vol. 3, "Typical AP Initialization Sequence": CS:IP is vector * 100h : 0. */
void vcpu_state_startup(struct vcpu_state *state, uint8_t vector)
{
    vcpu_state_reset(state);
    state->rip = 0;
    state->segments[SEGMENT_CS].selector = (uint16_t)(vector << 8);
    state->segments[SEGMENT_CS].base = (uint64_t)vector << 12;
}
