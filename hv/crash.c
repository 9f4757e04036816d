/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A crash is told whole, once, and in one piece; restarts become rarer and end, so that a guest which cannot live costs
 * others nothing.
 */
#include "hv/crash.h"

#include "hv/config.h"
#include "hv/entry_check.h"
#include "hv/exit.h"
#include "hv/guest.h"
#include "hv/log.h"
#include "hv/machine.h"
#include "hv/monitor.h"
#include "hv/timer.h"
#include "hv/vcpu.h"

#define REPORT_SIZE 8192u /* bytes: some 50 lines */

/* One a guest: only one vCPU of a guest reports at a time. */
static char reports[GUESTS_MAX][REPORT_SIZE];

static void print_registers(struct vcpu *vcpu)
{
    static const char *const names[GPR_COUNT] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                                 "r8 ", "r9 ", "r10", "r11", "r12", "r13", "r14", "r15"};
    static const char *const segments[SEGMENT_COUNT] = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};
    struct segment_register segment;

    log_error("  rip %016lx  rflags %08lx  cr0 %08lx  cr2 %016lx  cr3 %016lx  cr4 %08lx  efer %04lx",
              vcpu_read(vcpu, VCPU_RIP), vcpu_read(vcpu, VCPU_RFLAGS), vcpu_read(vcpu, VCPU_CR0),
              vcpu_read(vcpu, VCPU_CR2), vcpu_read(vcpu, VCPU_CR3), vcpu_read(vcpu, VCPU_CR4),
              vcpu_read(vcpu, VCPU_EFER));
    for (unsigned i = 0; i < GPR_COUNT; i += 4)
        log_error("  %s %016lx  %s %016lx  %s %016lx  %s %016lx", names[i], vcpu_gpr(vcpu, i), names[i + 1],
                  vcpu_gpr(vcpu, i + 1), names[i + 2], vcpu_gpr(vcpu, i + 2), names[i + 3], vcpu_gpr(vcpu, i + 3));
    for (unsigned i = 0; i < SEGMENT_COUNT; i++) {
        virt->read_segment(vcpu, (enum segment)i, &segment);
        log_error("  %-4s %04x  base %016lx  limit %08x  attributes %05x", segments[i], segment.selector, segment.base,
                  segment.limit, segment.attributes);
    }
}

static void print_trace(struct vcpu *vcpu)
{
    uint32_t count = (uint32_t)min_u64(vcpu->trace_next, EXIT_TRACE_SIZE);

    log_error("  the last %u exits, oldest first:", count);
    for (uint32_t i = vcpu->trace_next - count; i != vcpu->trace_next; i++) {
        const struct vmexit *exit = &vcpu->trace[i % EXIT_TRACE_SIZE];
        /* Of the detail the first word: port, address, register. */
        log_error("    %s (reason 0x%lx, detail 0x%lx, rip 0x%lx)", exit_name(exit->kind), exit->reason,
                  exit->memory.address, exit->rip);
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

static void wait_until(uint64_t end_ticks)
{
    static const uint32_t never;

    while (machine_ticks() < end_ticks)
        monitor_wait(&never, end_ticks);
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
    wait_until(machine_ticks() + ticks_from_ns(delay_ns));
    return true;
}
