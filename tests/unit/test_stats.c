/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The histograms of exits: what is counted where, and what is read back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "hv/stats.h"

static struct vcpu_stats stats;

static int fresh(void **state)
{
    (void)state;
    stats_reset(&stats, UINT64_C(0x5fffffff0)); /* the low half wraps soon */
    return 0;
}

/* An exit of that kind at this tick, done so many ticks later. */
static void exit_takes(enum exit_kind kind, uint32_t now, uint32_t ticks)
{
    stats_leave(&stats, now);
    stats_enter(&stats, stats.by_kind[kind], now + ticks);
}

static void latencies_fall_into_their_buckets(void **state)
{
    static const struct {
        uint32_t ticks;
        unsigned bucket;
    } cases[] = {{0, 0},   {1, 0},   {2, 1},           {3, 1},           {4, 2},
                 {255, 7}, {256, 8}, {0x7fffffff, 30}, {0x80000000, 31}, {UINT32_MAX, 31}};

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        fresh(state);
        exit_takes(EXIT_PIO, 0xffffff00, cases[i].ticks); /* over the wrap */
        assert_int_equal(stats.kinds[EXIT_PIO].buckets[cases[i].bucket], 1);
        assert_int_equal(stats_count(&stats.kinds[EXIT_PIO]), 1);
        assert_int_equal(stats.kinds[EXIT_PIO].longest, cases[i].ticks);
        assert_int_equal(stats.hypervisor_ticks, cases[i].ticks);
    }
}

static void kinds_are_apart(void **state)
{
    (void)state;
    exit_takes(EXIT_CPUID, 100, 300);
    exit_takes(EXIT_CPUID, 1000, 200);
    exit_takes(EXIT_UNKNOWN, 2000, 5000);
    assert_int_equal(stats_count(&stats.kinds[EXIT_CPUID]), 2);
    assert_int_equal(stats_count(&stats.kinds[EXIT_UNKNOWN]), 1);
    assert_int_equal(stats_count(&stats.kinds[EXIT_PIO]), 0);
    assert_int_equal(stats.kinds[EXIT_CPUID].longest, 300);
    assert_int_equal(stats_quantile(&stats.kinds[EXIT_PIO], 500), 0);
    stats_reset(&stats, 7);
    assert_int_equal(stats_count(&stats.kinds[EXIT_CPUID]), 0);
    assert_int_equal(stats_count(&stats.kinds[EXIT_UNKNOWN]), 0);
    assert_int_equal(stats.started_ticks, 7);
}

static void quantiles(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 990; i++)
        exit_takes(EXIT_MEMORY, i, 1024 + i); /* 1024 to 2013: one bucket */
    for (unsigned i = 0; i < 10; i++)
        exit_takes(EXIT_MEMORY, i, 100000);
    assert_in_range(stats_quantile(&stats.kinds[EXIT_MEMORY], 0), 1024, 1030);
    assert_in_range(stats_quantile(&stats.kinds[EXIT_MEMORY], 500), 1400, 1600);
    assert_in_range(stats_quantile(&stats.kinds[EXIT_MEMORY], 990), 2000, 2048);
    assert_in_range(stats_quantile(&stats.kinds[EXIT_MEMORY], 999), 65536, 100000);
    assert_int_equal(stats_quantile(&stats.kinds[EXIT_MEMORY], 1000), 100000);
}

/* Between two looks only what came in between counts; the longest of it is told as well as it can be. */
static void what_came_since_a_look(void **state)
{
    struct exit_stats earlier, since;

    (void)state;
    exit_takes(EXIT_MEMORY, 0, 5000);
    exit_takes(EXIT_MEMORY, 0, 300);
    earlier = since = stats.kinds[EXIT_MEMORY];
    stats_since(&since, &earlier);
    assert_int_equal(stats_count(&since), 0);
    assert_int_equal(since.longest, 0);
    exit_takes(EXIT_MEMORY, 0, 600);
    exit_takes(EXIT_MEMORY, 0, 300);
    since = stats.kinds[EXIT_MEMORY];
    stats_since(&since, &earlier);
    assert_int_equal(stats_count(&since), 2);
    assert_int_equal(since.longest, 1023); /* the end of its bucket */
    assert_in_range(stats_quantile(&since, 1000), 512, 1023);
    exit_takes(EXIT_MEMORY, 0, 4500);
    since = stats.kinds[EXIT_MEMORY];
    stats_since(&since, &earlier);
    assert_int_equal(since.longest, 5000); /* it cannot have been longer than the longest ever */
    exit_takes(EXIT_MEMORY, 0, 70000);
    since = stats.kinds[EXIT_MEMORY];
    stats_since(&since, &earlier);
    assert_int_equal(since.longest, 70000); /* the longest ever, and new */
    /* The counters were put back meanwhile. */
    since = earlier;
    stats_since(&since, &stats.kinds[EXIT_MEMORY]);
    assert_int_equal(stats_count(&since), 0);
    assert_int_equal(since.longest, 0);
}

static void kinds_of_two_are_added(void **state)
{
    struct exit_stats sum = {0};

    (void)state;
    exit_takes(EXIT_PIO, 0, 100);
    exit_takes(EXIT_CPUID, 0, 30);
    exit_takes(EXIT_CPUID, 0, 120);
    stats_add(&sum, &stats.kinds[EXIT_PIO]);
    stats_add(&sum, &stats.kinds[EXIT_CPUID]);
    assert_int_equal(stats_count(&sum), 3);
    assert_int_equal(sum.buckets[6], 2);
    assert_int_equal(sum.longest, 120);
}

/* After centuries: no product wraps. */
static void large_counts(void **state)
{
    (void)state;
    stats.kinds[EXIT_HLT].buckets[10] = BIT(62);
    stats.kinds[EXIT_HLT].buckets[12] = BIT(62);
    stats.kinds[EXIT_HLT].longest = 8000;
    assert_in_range(stats_quantile(&stats.kinds[EXIT_HLT], 250), 1500, 1600);
    assert_in_range(stats_quantile(&stats.kinds[EXIT_HLT], 750), 6000, 6300);
}

/* Sleep is no work: HLT costs what comes after the wake-up, and what came before. */
static void sleep_is_not_counted(void **state)
{
    (void)state;
    stats_leave(&stats, 1000);
    stats_sleep(&stats, 1100);
    assert_int_equal(stats_halted(&stats, 1100), 0);
    assert_int_equal(stats_halted(&stats, 1500), 400); /* still asleep */
    assert_int_equal(stats_halted(&stats, 1000), 0);   /* a clock that was read earlier */
    stats_wake(&stats, UINT64_C(0x700001100));
    assert_int_equal(stats_halted(&stats, UINT64_MAX), stats.halted_ticks);
    stats_enter(&stats, stats.by_kind[EXIT_HLT], 0x1100 + 200);
    assert_int_equal(stats.hypervisor_ticks, 100 + 200);
    assert_int_equal(stats.halted_ticks, UINT64_C(0x700001100) - 1100);
    assert_int_equal(stats.kinds[EXIT_HLT].longest, 100 + 200);
    /* A second sleep adds to the first. */
    stats_sleep(&stats, UINT64_C(0x700002000));
    assert_int_equal(stats_halted(&stats, UINT64_C(0x700002005)), UINT64_C(0x700001100) - 1100 + 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(latencies_fall_into_their_buckets, fresh),
        cmocka_unit_test_setup(kinds_are_apart, fresh),
        cmocka_unit_test_setup(quantiles, fresh),
        cmocka_unit_test_setup(what_came_since_a_look, fresh),
        cmocka_unit_test_setup(kinds_of_two_are_added, fresh),
        cmocka_unit_test_setup(large_counts, fresh),
        cmocka_unit_test_setup(sleep_is_not_counted, fresh),
    };

    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
