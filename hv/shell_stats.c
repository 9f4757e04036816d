/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the CPUs' time went, and which exits took it. One row a vCPU; for one guest also a row for each kind of exit,
 * over all its vCPUs. All of it is since the guest's start; watched, since the last look.
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

/* A vCPU's counters at one moment, or what they grew by between two. */
struct sample {
    uint64_t ticks, hypervisor, halted, interrupts;
    uint64_t exits[EXIT_KIND_COUNT];
};

/* Only one command works at a time. What the last look found is all zero where there was none. */
static struct sample last_samples[CPUS_MAX];          /* of the vCPU on that physical CPU */
static struct exit_stats last_kinds[EXIT_KIND_COUNT]; /* of one guest, over its vCPUs */
static uint64_t last_kinds_ticks;                     /* when that was */
static struct exit_stats kinds[EXIT_KIND_COUNT];      /* since then */
static uint8_t order[EXIT_KIND_COUNT];                /* these, the most frequent first */

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
    struct sample sample = {.ticks = machine_ticks()};

    sample.hypervisor = stats->hypervisor_ticks;
    sample.halted = stats_halted(stats, sample.ticks);
    sample.interrupts = stats->interrupts;
    for (unsigned kind = 0; kind < EXIT_KIND_COUNT; kind++)
        sample.exits[kind] = stats_count(&stats->kinds[kind]);
    return sample;
}

/* Of counters that go on while they are read. */
static uint64_t grown(uint64_t now, uint64_t earlier)
{
    return now > earlier ? now - earlier : 0;
}

/*
 * What came since the last look, when the vCPU has lived since, or else since the beginning of its life. An exit counts
 * when it ends, though it may have begun before the last look: it takes no more time than there was.
 */
static struct sample take_growth(const struct vcpu *vcpu)
{
    struct sample *last = &last_samples[vcpu->cpu];
    struct sample now = take_sample(vcpu), growth = now;

    if (last->ticks <= vcpu->stats.started_ticks)
        *last = (struct sample){.ticks = vcpu->stats.started_ticks};
    growth.ticks = grown(now.ticks, last->ticks);
    growth.halted = min_u64(grown(now.halted, last->halted), growth.ticks);
    growth.hypervisor = min_u64(grown(now.hypervisor, last->hypervisor), growth.ticks - growth.halted);
    growth.interrupts = grown(now.interrupts, last->interrupts);
    for (unsigned kind = 0; kind < EXIT_KIND_COUNT; kind++)
        growth.exits[kind] = grown(now.exits[kind], last->exits[kind]);
    *last = now;
    return growth;
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

static const char *most_frequent(const struct sample *growth)
{
    unsigned most = 0;

    for (unsigned kind = 0; kind < EXIT_KIND_COUNT; kind++) {
        if (growth->exits[kind] > growth->exits[most])
            most = kind;
    }
    return growth->exits[most] == 0 ? "-" : exit_name((enum exit_kind)most);
}

static void print_vcpu(const struct vcpu *vcpu)
{
    struct sample growth = take_growth(vcpu);
    uint64_t ticks = growth.ticks, exits = 0, milliseconds = ns_from_ticks(ticks) / 1000000 + 1;

    for (unsigned kind = 0; kind < EXIT_KIND_COUNT; kind++)
        exits += growth.exits[kind];
    if (__atomic_load_n(&vcpu->guest->state, __ATOMIC_ACQUIRE) != GUEST_RUNNING) {
        shell_print("%-10s %3u  %s", vcpu->guest->name, vcpu->number, control_state_text(vcpu->guest));
        return;
    }
    shell_print("%-10s %3u %6s %6s %6s %10llu %7llu %8llu  %.14s", vcpu->guest->name, vcpu->number,
                share_of(ticks - growth.halted - growth.hypervisor, ticks).text,
                share_of(growth.hypervisor, ticks).text, share_of(growth.halted, ticks).text, (unsigned long long)exits,
                (unsigned long long)(exits * 1000 / milliseconds), (unsigned long long)growth.interrupts,
                most_frequent(&growth));
}

/* ---- Rows for kinds ---- */

/* After a reset of the guest there was no last look. */
static void forget_earlier_life(const struct guest *guest)
{
    for (uint32_t i = 0; i < guest->vcpu_count; i++) {
        if (last_kinds_ticks <= guest->vcpus[i]->stats.started_ticks)
            memset(last_kinds, 0, sizeof(last_kinds));
    }
    last_kinds_ticks = machine_ticks();
}

static void take_kinds(const struct guest *guest)
{
    for (unsigned kind = 0; kind < EXIT_KIND_COUNT; kind++) {
        struct exit_stats now = {0};
        for (uint32_t i = 0; i < guest->vcpu_count; i++)
            stats_add(&now, &guest->vcpus[i]->stats.kinds[kind]);
        kinds[kind] = now;
        stats_since(&kinds[kind], &last_kinds[kind]);
        last_kinds[kind] = now;
    }
}

static void sort_kinds(void)
{
    for (unsigned i = 0; i < EXIT_KIND_COUNT; i++) {
        uint64_t count = stats_count(&kinds[i]);
        unsigned at = i;
        for (; at > 0 && stats_count(&kinds[order[at - 1]]) < count; at--)
            order[at] = order[at - 1];
        order[at] = (uint8_t)i;
    }
}

static void begin_kinds(const struct guest *guest)
{
    forget_earlier_life(guest);
    take_kinds(guest);
    sort_kinds();
    shell_print("%s", "");
    shell_print("%-28s %11s %6s %9s %9s %10s", "exit", "count", "%", "p50 ticks", "p99 ticks", "max ticks");
}

/* Returns false when there was none of that kind, and so none of those behind it. */
static bool print_kind(enum exit_kind kind)
{
    const struct exit_stats *exits = &kinds[kind];
    uint64_t count = stats_count(exits), all = 0;

    if (count == 0)
        return false;
    for (unsigned i = 0; i < EXIT_KIND_COUNT; i++)
        all += stats_count(&kinds[i]);
    shell_print("%-28s %11llu %6s %9llu %9llu %10llu", exit_name(kind), (unsigned long long)count,
                share_of(count, all).text, (unsigned long long)stats_quantile(exits, 500),
                (unsigned long long)stats_quantile(exits, 990), (unsigned long long)exits->longest);
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
    print_vcpu(guest->vcpus[job->vcpu++]);
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
    bool first = job->step == 0;

    if (first) {
        memset(last_samples, 0, sizeof(last_samples));
        memset(last_kinds, 0, sizeof(last_kinds));
    }
    if (job->option) {
        shell_clear();
        shell_print("%s", first ? "since each guest's start; next: of each second; any key ends it"
                                : "of the last second; any key ends it");
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
