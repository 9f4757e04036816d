/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A look at a guest's CPUs while they run: the trace is copied from under them, registers are asked for.
 */
#include "hv/shell_internal.h"

#include "hv/control.h"
#include "hv/exit_text.h"
#include "hv/machine.h"
#include "hv/string.h"
#include "hv/timer.h"

#define REGISTERS_PATIENCE_NS UINT64_C(1000000000)

/* Only one command works at a time. */
static struct vmexit trace[EXIT_TRACE_SIZE];
static uint32_t trace_first, trace_end; /* which exits of the vCPU's life `trace` has, at n % EXIT_TRACE_SIZE */
static struct snapshot snapshot;

/* ---- exits ---- */

/*
 * The vCPU writes on. Its latest entry is under its pen (or, while it rests, complete, which cannot be told from here);
 * those that it may have written over during the copy are left out.
 */
static void copy_trace(const struct vcpu *vcpu)
{
    bool rests = __atomic_load_n(&vcpu->guest->state, __ATOMIC_ACQUIRE) >= GUEST_PARKED;
    uint32_t end = __atomic_load_n(&vcpu->trace_next, __ATOMIC_ACQUIRE);

    memcpy(trace, vcpu->trace, sizeof(trace));
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    uint32_t now = __atomic_load_n(&vcpu->trace_next, __ATOMIC_ACQUIRE);
    trace_end = rests || end == 0 ? end : end - 1;
    if (now < end) /* it began another life */
        trace_end = 0;
    trace_first = (uint32_t)min_u64(now > EXIT_TRACE_SIZE ? now - EXIT_TRACE_SIZE : 0, trace_end);
}

/* Phase 0: the heading of the next vCPU; then a line an exit. */
enum shell_progress shell_run_exits(struct shell_job *job)
{
    char text[EXIT_TEXT_SIZE];

    if (job->has_number && (job->number == 0 || job->number > EXIT_TRACE_SIZE)) {
        shell_print("exits: %u is not between 1 and %u, as many as are kept", job->number, EXIT_TRACE_SIZE);
        return SHELL_DONE;
    }
    if (job->phase == 0) {
        if (job->vcpu == job->guest->vcpu_count)
            return SHELL_DONE;
        copy_trace(job->guest->vcpus[job->vcpu]);
        if (job->has_number && job->number < trace_end - trace_first)
            trace_first = trace_end - job->number;
        shell_print("guest \"%s\", its CPU %u: %u exit%s, oldest first", job->guest->name, job->vcpu,
                    trace_end - trace_first, trace_end - trace_first == 1 ? "" : "s");
        job->phase = 1;
        job->seen = trace_first;
    } else if (job->seen == trace_end) {
        job->phase = 0;
        job->vcpu++;
    } else {
        exit_text(job->guest, &trace[job->seen++ % EXIT_TRACE_SIZE], text);
        shell_print("  %s", text);
    }
    return SHELL_MORE;
}

/* ---- regs ---- */

enum regs_phase {
    REGS_ASK,
    REGS_WAIT,
    REGS_PRINT,
};

static const char *doing(const struct vcpu *vcpu)
{
    switch (vcpu->run_state) {
    case VCPU_RUNNING: return "runs";
    case VCPU_HALTED: return "has halted";
    default: return "was not started by the guest";
    }
}

static void ask(struct shell_job *job, struct vcpu *vcpu)
{
    job->seen = __atomic_load_n(&vcpu->snapshots, __ATOMIC_ACQUIRE);
    job->value = machine_ticks() + ticks_from_ns(REGISTERS_PATIENCE_NS);
    job->phase = REGS_WAIT;
    vcpu_request(vcpu, REQUEST_SNAPSHOT);
}

/* Returns true when there is an answer, whole. */
static bool take_answer(const struct shell_job *job, const struct vcpu *vcpu)
{
    uint32_t before = __atomic_load_n(&vcpu->snapshots, __ATOMIC_ACQUIRE);

    if (before == job->seen || before % 2 != 0)
        return false;
    snapshot = vcpu->snapshot;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&vcpu->snapshots, __ATOMIC_RELAXED) == before;
}

static enum shell_progress await_answer(struct shell_job *job, const struct vcpu *vcpu)
{
    if (take_answer(job, vcpu)) {
        shell_print("guest \"%s\", its CPU %u, which %s:", job->guest->name, vcpu->number, doing(vcpu));
        for (uint32_t i = 0; i < SNAPSHOT_LINES; i++)
            shell_print("  %s", snapshot_line(&snapshot, i).text);
        job->phase = REGS_PRINT;
        return SHELL_MORE;
    }
    if (machine_ticks() < job->value)
        return SHELL_WAIT;
    shell_print("guest \"%s\", its CPU %u: no answer within 1 s", job->guest->name, vcpu->number);
    job->phase = REGS_PRINT;
    return SHELL_MORE;
}

enum shell_progress shell_run_regs(struct shell_job *job)
{
    const struct guest *guest = job->guest;

    if (job->step == 0) {
        if (job->has_number && job->number >= guest->vcpu_count) {
            shell_print("guest \"%s\" has no CPU %u: its CPUs are 0 to %u", guest->name, job->number,
                        guest->vcpu_count - 1);
            return SHELL_DONE;
        }
        job->vcpu = job->number;
    }
    if (__atomic_load_n(&guest->state, __ATOMIC_ACQUIRE) != GUEST_RUNNING) {
        shell_print("guest \"%s\" is %s: its CPUs have no registers to show", guest->name, control_state_text(guest));
        return SHELL_DONE;
    }
    struct vcpu *vcpu = guest->vcpus[job->vcpu];
    switch (job->phase) {
    case REGS_ASK: ask(job, vcpu); return SHELL_WAIT;
    case REGS_WAIT: return await_answer(job, vcpu);
    default:
        job->phase = REGS_ASK;
        job->vcpu++;
        return job->has_number || job->vcpu == guest->vcpu_count ? SHELL_DONE : SHELL_MORE;
    }
}
