/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the CPUs' time went, and which exits took it. One row a vCPU; for one guest also a row for each kind of exit,
 * over all its vCPUs. Watched, the rows tell of the time since the last look.
 */
#include "hv/shell_internal.h"

#include "hv/control.h"
#include "hv/exit.h"
#include "hv/format.h"
#include "hv/machine.h"
#include "hv/stats.h"
#include "hv/string.h"
#include "hv/timer.h"

#define WATCH_NS NS_PER_SECOND

/* A vCPU's counters at one moment. */
struct sample {
    uint64_t ticks, hypervisor, halted, exits, interrupts;
};

/* Only one command works at a time. */
static struct sample before[GUESTS_MAX][GUEST_CPUS_MAX]; /* all zero: none */
static struct vcpu_stats sum;                            /* over a guest's vCPUs */
static uint8_t order[EXIT_KIND_COUNT];                   /* its kinds, the most frequent first */

enum stats_phase {
    STATS_TITLE,
    STATS_VCPUS,
    STATS_KINDS,
    STATS_WAIT,
};

/* ---- A row for a vCPU ---- */

static struct sample take_sample(const struct vcpu *vcpu)
{
    const struct vcpu_stats *stats = &vcpu->stats;
    uint64_t now = machine_ticks();

    return (struct sample){
        .ticks = now,
        .hypervisor = stats->hypervisor_ticks,
        .halted = stats_halted(stats, now),
        .exits = stats_count_all(stats),
        .interrupts = stats->interrupts,
    };
}

/* What to compare with: the last look, when the vCPU has lived since, or the beginning of its life. */
static struct sample earlier_sample(const struct shell_job *job, const struct vcpu *vcpu, const struct sample *now)
{
    struct sample *last = &before[vcpu->guest->number][vcpu->number];
    struct sample earlier = *last;

    if (!job->option || earlier.ticks <= vcpu->stats.started_ticks)
        earlier = (struct sample){.ticks = vcpu->stats.started_ticks};
    *last = *now;
    return earlier;
}

/* Of counters that go on while they are read. */
static uint64_t grown(uint64_t now, uint64_t earlier)
{
    return now > earlier ? now - earlier : 0;
}

/* "12.3" per cent. */
struct share {
    char text[8];
};

static struct share share_of(uint64_t part, uint64_t whole)
{
    struct share share = {""};

    while (part > UINT64_MAX / 1000) {
        part >>= 1;
        whole >>= 1;
    }
    uint64_t permille = whole == 0 ? 0 : min_u64(1000, part * 1000 / whole);

    (void)format_text(share.text, sizeof(share.text), "%llu.%llu", (unsigned long long)permille / 10,
                      (unsigned long long)permille % 10);
    return share;
}

/* Of those that the guest itself causes. */
static const char *most_frequent(const struct vcpu_stats *stats)
{
    enum exit_kind most = EXIT_NONE;
    uint64_t most_count = 0;

    for (unsigned kind = EXIT_NONE + 1; kind < EXIT_KIND_COUNT; kind++) {
        uint64_t count = stats_count(stats, (enum exit_kind)kind);
        if (count > most_count) {
            most = (enum exit_kind)kind;
            most_count = count;
        }
    }
    return most_count == 0 ? "-" : exit_name(most);
}

static void print_vcpu(const struct shell_job *job, const struct vcpu *vcpu)
{
    struct sample now = take_sample(vcpu);
    struct sample earlier = earlier_sample(job, vcpu, &now);
    uint64_t ticks = grown(now.ticks, earlier.ticks), exits = grown(now.exits, earlier.exits);
    uint64_t hypervisor = grown(now.hypervisor, earlier.hypervisor), halted = grown(now.halted, earlier.halted);
    uint64_t milliseconds = ns_from_ticks(ticks) / 1000000 + 1;

    if (__atomic_load_n(&vcpu->guest->state, __ATOMIC_ACQUIRE) != GUEST_RUNNING) {
        shell_print("%-10s %3u  %s", vcpu->guest->name, vcpu->number, control_state_text(vcpu->guest));
        return;
    }
    shell_print("%-10s %3u %6s %6s %6s %10llu %7llu %8llu  %.14s", vcpu->guest->name, vcpu->number,
                share_of(grown(ticks, hypervisor + halted), ticks).text, share_of(hypervisor, ticks).text,
                share_of(halted, ticks).text, (unsigned long long)now.exits,
                (unsigned long long)(exits * 1000 / milliseconds), (unsigned long long)now.interrupts,
                most_frequent(&vcpu->stats));
}

/* ---- Rows for kinds ---- */

static void add_vcpu(const struct vcpu_stats *stats)
{
    for (unsigned kind = 0; kind < EXIT_KIND_COUNT; kind++) {
        struct exit_stats *to = &sum.kinds[kind];
        const struct exit_stats *from = &stats->kinds[kind];
        to->longest = max_u64(to->longest, from->longest);
        for (unsigned i = 0; i < STATS_BUCKETS; i++)
            to->buckets[i] += from->buckets[i];
    }
}

static void sort_kinds(void)
{
    for (unsigned i = 0; i < EXIT_KIND_COUNT; i++) {
        uint64_t count = stats_count(&sum, (enum exit_kind)i);
        unsigned at = i;
        for (; at > 0 && stats_count(&sum, (enum exit_kind)order[at - 1]) < count; at--)
            order[at] = order[at - 1];
        order[at] = (uint8_t)i;
    }
}

static void begin_kinds(const struct guest *guest)
{
    memset(&sum, 0, sizeof(sum));
    for (uint32_t i = 0; i < guest->vcpu_count; i++)
        add_vcpu(&guest->vcpus[i]->stats);
    sort_kinds();
    shell_print("%s", "");
    shell_print("%-28s %11s %6s %9s %9s %10s", "exit", "count", "%", "p50 ticks", "p99 ticks", "max ticks");
}

/* Returns false when there was none of that kind, and so none of those behind it. */
static bool print_kind(enum exit_kind kind)
{
    uint64_t count = stats_count(&sum, kind);

    if (count == 0)
        return false;
    shell_print("%-28s %11llu %6s %9llu %9llu %10llu", exit_name(kind), (unsigned long long)count,
                share_of(count, stats_count_all(&sum)).text, (unsigned long long)stats_quantile(&sum, kind, 500),
                (unsigned long long)stats_quantile(&sum, kind, 990), (unsigned long long)sum.kinds[kind].longest);
    return true;
}

/* ---- The command ---- */

static const struct guest *guest_in_turn(const struct shell_job *job)
{
    return job->guest != NULL && job->seen == 0 ? job->guest : job->guest == NULL ? guest_get(job->seen) : NULL;
}

/* The table of vCPUs, one a step. Returns false behind the last. */
static bool next_vcpu(struct shell_job *job)
{
    const struct guest *guest = guest_in_turn(job);

    if (guest == NULL)
        return false;
    print_vcpu(job, guest->vcpus[job->vcpu++]);
    if (job->vcpu == guest->vcpu_count) {
        job->vcpu = 0;
        job->seen++;
    }
    return true;
}

/* The table of kinds, one a step. Returns false behind the last. */
static bool next_kind(struct shell_job *job)
{
    if (job->guest == NULL)
        return false;
    if (job->vcpu == 0)
        begin_kinds(job->guest);
    return job->vcpu < EXIT_KIND_COUNT && print_kind((enum exit_kind)order[job->vcpu++]);
}

static void print_title(struct shell_job *job)
{
    if (job->step == 0)
        memset(before, 0, sizeof(before));
    if (job->option) {
        shell_clear();
        shell_print("every second; any key ends it");
    }
    shell_print("%-10s %3s %6s %6s %6s %10s %7s %8s  %s", "guest", "CPU", "guest%", "hyp.%", "halt%", "exits",
                "exits/s", "events", "most are");
    job->value = machine_ticks() + ticks_from_ns(WATCH_NS);
    job->seen = job->vcpu = 0;
}

enum shell_progress shell_run_stats(struct shell_job *job)
{
    switch (job->phase) {
    case STATS_TITLE:
        print_title(job);
        job->phase = STATS_VCPUS;
        return SHELL_MORE;
    case STATS_VCPUS:
        if (!next_vcpu(job))
            job->phase = STATS_KINDS;
        return SHELL_MORE;
    case STATS_KINDS:
        if (next_kind(job))
            return SHELL_MORE;
        job->phase = STATS_WAIT;
        return job->option ? SHELL_MORE : SHELL_DONE;
    default:
        if (machine_ticks() < job->value)
            return SHELL_WAIT;
        job->phase = STATS_TITLE;
        return SHELL_MORE;
    }
}
