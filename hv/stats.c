/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading what stats.h counts. The vCPU goes on counting meanwhile: each number is right for some moment of the call.
 */
#include "hv/stats.h"

#include "hv/string.h"

void stats_reset(struct vcpu_stats *stats, uint64_t now)
{
    memset(stats, 0, sizeof(*stats));
    stats->started_ticks = now;
    stats->left_ticks = (uint32_t)now;
    for (unsigned kind = 0; kind < EXIT_KIND_COUNT; kind++)
        stats->by_kind[kind] = &stats->kinds[kind];
}

void stats_close(struct vcpu_stats *stats, struct exit_stats *last, uint32_t now)
{
    stats_enter(stats, last, now);
    stats_leave(stats, now);
}

void stats_sleep(struct vcpu_stats *stats, uint64_t now)
{
    __atomic_store_n(&stats->asleep_since, now, __ATOMIC_RELAXED);
}

void stats_wake(struct vcpu_stats *stats, uint64_t now)
{
    uint64_t slept = now - stats->asleep_since;

    /* What HLT itself cost counts from the end of the sleep. */
    stats->left_ticks += (uint32_t)slept;
    __atomic_store_n(&stats->asleep_since, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&stats->halted_ticks, stats->halted_ticks + slept, __ATOMIC_RELEASE);
}

uint64_t stats_halted(const struct vcpu_stats *stats, uint64_t now)
{
    uint64_t halted = __atomic_load_n(&stats->halted_ticks, __ATOMIC_ACQUIRE);
    uint64_t since = __atomic_load_n(&stats->asleep_since, __ATOMIC_RELAXED);

    return since == 0 || since > now ? halted : halted + (now - since);
}

uint64_t stats_count(const struct vcpu_stats *stats, enum exit_kind kind)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < STATS_BUCKETS; i++)
        count += stats->kinds[kind].buckets[i];
    return count;
}

uint64_t stats_count_all(const struct vcpu_stats *stats)
{
    uint64_t count = 0;

    for (unsigned kind = 0; kind < EXIT_KIND_COUNT; kind++)
        count += stats_count(stats, (enum exit_kind)kind);
    return count;
}

uint64_t stats_quantile(const struct vcpu_stats *stats, enum exit_kind kind, uint32_t permille)
{
    uint64_t count = stats_count(stats, kind), below = 0;

    if (count == 0)
        return 0;
    uint64_t rank = count / 1000 * permille + count % 1000 * permille / 1000;
    for (unsigned i = 0; i < STATS_BUCKETS; i++) {
        uint64_t here = stats->kinds[kind].buckets[i];
        if (here != 0 && below + here >= rank) {
            uint64_t inside = rank > below ? rank - below : 0;
            /* Both below 2^32 once the bucket's count is: larger ones lose their low bits first. */
            while (here > UINT32_MAX) {
                here >>= 1;
                inside >>= 1;
            }
            return min_u64(BIT(i) + BIT(i) * inside / here, stats->kinds[kind].longest);
        }
        below += here;
    }
    return stats->kinds[kind].longest; /* counted on meanwhile */
}
