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
    stats->asleep_since = now;
    __atomic_store_n(&stats->halted_ticks, stats->halted_ticks - (int64_t)now, __ATOMIC_RELAXED);
}

void stats_wake(struct vcpu_stats *stats, uint64_t now)
{
    /* What HLT itself cost counts from the end of the sleep. */
    stats->left_ticks += (uint32_t)(now - stats->asleep_since);
    __atomic_store_n(&stats->halted_ticks, stats->halted_ticks + (int64_t)now, __ATOMIC_RELAXED);
}

uint64_t stats_halted(const struct vcpu_stats *stats, uint64_t now)
{
    int64_t halted = __atomic_load_n(&stats->halted_ticks, __ATOMIC_RELAXED);

    if (halted < 0)
        halted += (int64_t)now;
    return halted < 0 ? 0 : (uint64_t)halted; /* it fell asleep after `now` */
}

uint64_t stats_count(const struct exit_stats *exits)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < STATS_BUCKETS; i++)
        count += exits->buckets[i];
    return count;
}

void stats_add(struct exit_stats *exits, const struct exit_stats *others)
{
    exits->longest = max_u64(exits->longest, others->longest);
    for (unsigned i = 0; i < STATS_BUCKETS; i++)
        exits->buckets[i] += others->buckets[i];
}

void stats_since(struct exit_stats *exits, const struct exit_stats *earlier)
{
    uint64_t longest = 0;

    for (unsigned i = 0; i < STATS_BUCKETS; i++) {
        uint64_t now = exits->buckets[i];
        exits->buckets[i] = now > earlier->buckets[i] ? now - earlier->buckets[i] : 0;
        if (exits->buckets[i] != 0)
            longest = BIT(i + 1) - 1;
    }
    if (exits->longest <= earlier->longest || longest == 0)
        exits->longest = min_u64(exits->longest, longest);
}

uint64_t stats_quantile(const struct exit_stats *exits, uint32_t permille)
{
    uint64_t count = stats_count(exits), below = 0;

    if (count == 0)
        return 0;
    uint64_t rank = count / 1000 * permille + count % 1000 * permille / 1000;
    for (unsigned i = 0; i < STATS_BUCKETS; i++) {
        uint64_t here = exits->buckets[i];
        if (here != 0 && below + here >= rank) {
            uint64_t inside = rank > below ? rank - below : 0;
            /* Both below 2^32 once the bucket's count is: larger ones lose their low bits first. */
            while (here > UINT32_MAX) {
                here >>= 1;
                inside >>= 1;
            }
            return min_u64(BIT(i) + BIT(i) * inside / here, exits->longest);
        }
        below += here;
    }
    return exits->longest; /* counted on meanwhile */
}
