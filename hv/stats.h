/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a vCPU's exits cost, always counted: for each kind a histogram of the ticks from leaving the guest to having
 * served the exit. The backend notes when the guest left, the run loop when it hands the guest back to the backend.
 * What lies on the way of an exit is inline, and ten instructions: two where the guest leaves, one that finds its kind,
 * seven before the entry.
 */
#ifndef HV_STATS_H
#define HV_STATS_H

#include "hv/machine.h"
#include "hv/types.h"
#include "hv/virt.h"

struct vcpu;

/* Bucket b counts latencies from 2^b to 2^(b+1) - 1 ticks; bucket 0 has 0 as well. */
#define STATS_BUCKETS 32u

/* Of one kind of exit. */
struct exit_stats {
    uint64_t longest; /* ticks */
    uint64_t buckets[STATS_BUCKETS];
};

struct vcpu_stats {
    uint32_t left_ticks;       /* low half of the tick at which the last exit came, or its sleep in HLT ended */
    uint64_t hypervisor_ticks; /* spent on exits; sleep not counted */
    /* Slept: in HLT, paused, or waiting for a start-up IPI. While it sleeps, less the tick at which it fell asleep, and
     * so below 0: one word tells both, so that another CPU never sees a sleep twice or not at all. */
    int64_t halted_ticks;
    uint64_t asleep_since;                       /* the last time */
    uint64_t started_ticks;                      /* when the vCPU's present life began */
    uint64_t interrupts;                         /* given to the guest; NMIs too */
    struct exit_stats *by_kind[EXIT_KIND_COUNT]; /* where in `kinds`: one load, and no multiplication, finds it */
    struct exit_stats kinds[EXIT_KIND_COUNT];
};

/* The guest exits, just now: `now` is the low half of the tick. */
static inline void stats_leave(struct vcpu_stats *stats, uint32_t now)
{
    stats->left_ticks = now;
}

/* The guest is about to be entered: the exit before it, of the kind that `last` counts, is done. */
static inline void stats_enter(struct vcpu_stats *stats, struct exit_stats *last, uint32_t now)
{
    uint64_t ticks = (uint32_t)(now - stats->left_ticks);

    stats->hypervisor_ticks += ticks;
    if (ticks > last->longest)
        last->longest = ticks;
    last->buckets[machine_highest_bit(ticks)]++;
}

/* The last exit ends without an entry: the vCPU leaves its run loop. */
void stats_close(struct vcpu_stats *stats, struct exit_stats *last, uint32_t now);

/* A new life begins, at this tick. */
void stats_reset(struct vcpu_stats *stats, uint64_t now);

/* The vCPU falls asleep, and wakes up, at this tick. */
void stats_sleep(struct vcpu_stats *stats, uint64_t now);
void stats_wake(struct vcpu_stats *stats, uint64_t now);

/* How long it has slept in all, with the present sleep. */
uint64_t stats_halted(const struct vcpu_stats *stats, uint64_t now);

/* How many exits of a kind there were. */
uint64_t stats_count(const struct exit_stats *exits);

/* Count what another vCPU's exits of the same kind were as well. */
void stats_add(struct exit_stats *exits, const struct exit_stats *others);

/*
 * Leave in `exits` what came since it was `earlier`. The longest of these is known when it is the longest ever; else it
 * is taken for as long as the highest bucket that grew allows.
 */
void stats_since(struct exit_stats *exits, const struct exit_stats *earlier);

/*
 * The latency below which `permille` (0 to 1000) of the exits of a kind stayed, in ticks: exact to its bucket, between
 * whose ends it is interpolated, and never above the longest. 0: there were none.
 */
uint64_t stats_quantile(const struct exit_stats *exits, uint32_t permille);

#endif
