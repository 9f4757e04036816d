/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The list of guests, and what changes their fate. What was done stands in the log, so the shell adds nothing.
 */
#include "hv/shell_internal.h"

#include "hv/control.h"
#include "hv/format.h"
#include "hv/machine.h"
#include "hv/timer.h"

struct shell_list shell_cpu_list(const struct guest *guest)
{
    struct shell_list list = {""};
    size_t length = 0;

    for (uint32_t first = 0, last; first < guest->vcpu_count; first = last + 1) {
        for (last = first; last + 1 < guest->vcpu_count; last++) {
            if (guest->vcpus[last + 1]->cpu != guest->vcpus[last]->cpu + 1)
                break;
        }
        length += format_text(list.text + length, sizeof(list.text) - length, "%s%u", first == 0 ? "" : ",",
                              guest->vcpus[first]->cpu);
        if (last > first)
            length += format_text(list.text + length, sizeof(list.text) - length, "-%u", guest->vcpus[last]->cpu);
    }
    return list;
}

/* How long ago that was; "-": never. */
struct age {
    char text[32];
};

static struct age age_since(uint64_t ticks)
{
    uint64_t seconds = ns_from_ticks(machine_ticks() - ticks) / NS_PER_SECOND;
    struct age age;

    if (ticks == 0)
        (void)format_text(age.text, sizeof(age.text), "-");
    else if (seconds < 60)
        (void)format_text(age.text, sizeof(age.text), "%llu s ago", (unsigned long long)seconds);
    else if (seconds < 3600)
        (void)format_text(age.text, sizeof(age.text), "%llu min %llu s ago", (unsigned long long)seconds / 60,
                          (unsigned long long)seconds % 60);
    else
        (void)format_text(age.text, sizeof(age.text), "%llu h %llu min ago", (unsigned long long)seconds / 3600,
                          (unsigned long long)seconds / 60 % 60);
    return age;
}

/* It rests because of a crash. */
static bool crash_keeps(const struct guest *guest)
{
    return __atomic_load_n(&guest->state, __ATOMIC_ACQUIRE) >= GUEST_PARKED && guest->action == GUEST_CRASH;
}

enum shell_progress shell_run_guests(struct shell_job *job)
{
    if (job->step == 0) {
        shell_print("   %-12s %-20s %-7s %8s %6s  %s", "guest", "state", "CPUs", "memory", "starts", "since");
        return SHELL_MORE;
    }
    const struct guest *guest = guest_get(job->step - 1);
    if (guest == NULL)
        return SHELL_DONE;
    shell_print("%u  %-12s %-20s %-7s %4llu MiB %6u  %s", guest->number + 1, guest->name, control_state_text(guest),
                shell_cpu_list(guest).text, (unsigned long long)guest->memory_bytes / MIB(1), guest->starts,
                age_since(control_since_ticks(guest)).text);
    if (crash_keeps(guest))
        shell_print("   %s", guest->crash_reason);
    return SHELL_MORE;
}

/* `why_not`: see hv/control.h. */
static enum shell_progress answer(const struct shell_job *job, const char *why_not)
{
    if (why_not != NULL)
        shell_print("guest \"%s\" %s", job->guest->name, why_not);
    return SHELL_DONE;
}

enum shell_progress shell_run_pause(struct shell_job *job)
{
    return answer(job, control_pause(job->guest));
}

enum shell_progress shell_run_resume(struct shell_job *job)
{
    return answer(job, control_resume(job->guest));
}

enum shell_progress shell_run_reset(struct shell_job *job)
{
    return answer(job, control_reset(job->guest));
}

enum shell_progress shell_run_stop(struct shell_job *job)
{
    return answer(job, control_stop(job->guest, job->option));
}

enum shell_progress shell_run_start(struct shell_job *job)
{
    return answer(job, control_start(job->guest));
}

enum shell_progress shell_run_shutdown(struct shell_job *job)
{
    control_shutdown(job->option);
    return SHELL_DONE;
}
