/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A crash is told whole, once, and in one piece; restarts become rarer and end, so that a guest which cannot live costs
 * others nothing.
 */
#include "hv/crash.h"

#include "hv/config.h"
#include "hv/entry_check.h"
#include "hv/exit_text.h"
#include "hv/guest.h"
#include "hv/log.h"
#include "hv/machine.h"
#include "hv/monitor.h"
#include "hv/snapshot.h"
#include "hv/timer.h"
#include "hv/vcpu.h"

#define REPORT_SIZE 8192u /* bytes: some 50 lines */

/* One a guest: only one vCPU of a guest reports at a time. */
static char reports[GUESTS_MAX][REPORT_SIZE];

static void print_registers(struct vcpu *vcpu)
{
    struct snapshot snapshot;

    snapshot_take(vcpu, &snapshot);
    for (uint32_t i = 0; i < SNAPSHOT_LINES; i++)
        log_error("  %s", snapshot_line(&snapshot, i).text);
}

static void print_trace(struct vcpu *vcpu)
{
    uint32_t count = (uint32_t)min_u64(vcpu->trace_next, EXIT_TRACE_SIZE);

    log_error("  the last %u exits, oldest first:", count);
    for (uint32_t i = vcpu->trace_next - count; i != vcpu->trace_next; i++) {
        char text[EXIT_TEXT_SIZE];
        exit_text(vcpu->guest, &vcpu->trace[i % EXIT_TRACE_SIZE], text);
        log_error("    %s", text);
    }
}

/* Why the processor did not enter, if that was it. */
static void print_refusal(struct vcpu *vcpu)
{
    const struct vmexit *last = &vcpu->trace[(vcpu->trace_next - 1) % EXIT_TRACE_SIZE];

    if (vcpu->trace_next != 0 && last->kind == EXIT_ENTRY_FAILURE && last->entry_failure.state != NULL)
        entry_check_log(vcpu, last->entry_failure.state);
}

void crash_report(struct vcpu *vcpu)
{
    struct guest *guest = vcpu->guest;

    log_together(reports[guest->number], REPORT_SIZE);
    log_error("guest \"%s\" stops: %s", guest->name, guest->crash_reason);
    print_refusal(vcpu);
    if (guest->vcpu_count > 1)
        log_error("  on its CPU %u:", vcpu->number);
    print_registers(vcpu);
    virt->dump(vcpu);
    print_trace(vcpu);
    log_together_end();
}

static bool ran_well(const struct guest *guest)
{
    uint64_t well_ns = max_u64(CRASH_RAN_WELL_NS, 2 * guest->config->watchdog_ns);

    return machine_ticks() - guest->started_ticks > ticks_from_ns(well_ns);
}

/* Returns what someone wished in the meantime. */
static enum guest_action wait_until(const struct guest *guest, uint64_t end_ticks)
{
    while (machine_ticks() < end_ticks && __atomic_load_n(&guest->wish, __ATOMIC_ACQUIRE) == GUEST_GO_ON)
        monitor_wait(&guest->wish, end_ticks);
    return __atomic_load_n(&guest->wish, __ATOMIC_ACQUIRE);
}

bool crash_may_restart(struct guest *guest)
{
    if (guest->config->on_crash != CONFIG_ON_CRASH_RESTART)
        return false;
    if (ran_well(guest))
        guest->crash_restarts = 0;
    if (guest->crash_restarts == CRASH_RESTARTS_MAX) {
        log_info("guest \"%s\": it was started again %u times and crashed each time; it stays stopped", guest->name,
                 CRASH_RESTARTS_MAX);
        return false;
    }
    uint64_t delay_ns = min_u64(CRASH_DELAY_NS << guest->crash_restarts, CRASH_DELAY_MAX_NS);
    guest->crash_restarts++;
    log_info("guest \"%s\": starts again in %lu s (restart %u of at most %u in a row)", guest->name,
             delay_ns / NS_PER_SECOND, guest->crash_restarts, CRASH_RESTARTS_MAX);
    return wait_until(guest, machine_ticks() + ticks_from_ns(delay_ns)) != GUEST_POWER_OFF;
}
