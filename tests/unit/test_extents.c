/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sets of addresses, against a model of one bit for each of 64 addresses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/error.h"
#include "hv/extents.h"

#define SPAN 64u

/* Sorted, not empty, and never touching: else they would be one piece. */
static void expect_shape(const struct extents *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        assert_true(set->items[i].base < set->items[i].end);
        if (i > 0)
            assert_true(set->items[i - 1].end < set->items[i].base);
    }
}

static uint64_t bits_of(const struct extents *set)
{
    uint64_t bits = 0;

    for (uint32_t i = 0; i < set->count; i++) {
        for (uint64_t k = set->items[i].base; k < set->items[i].end; k++)
            bits |= BIT(k);
    }
    return bits;
}

static void random_changes_match_the_model(void **state)
{
    static struct extents set;
    uint64_t model = 0;

    (void)state;
    srand(1);
    for (unsigned step = 0; step < 200000; step++) {
        uint64_t base = (unsigned)rand() % SPAN;
        uint64_t end = min_u64(base + (unsigned)rand() % 9, SPAN);
        uint64_t bits = 0;
        for (uint64_t k = base; k < end; k++)
            bits |= BIT(k);
        if (rand() % 2 != 0) {
            assert_int_equal(extents_add(&set, base, end), 0);
            model |= bits;
        } else {
            assert_int_equal(extents_remove(&set, base, end), 0);
            model &= ~bits;
        }
        expect_shape(&set);
        assert_int_equal(bits_of(&set), model);
        assert_int_equal(extents_total(&set), __builtin_popcountll(model));
        assert_int_equal(extents_find(&set, base, base + 1) != NULL, (model >> base) & 1);
    }
}

static void fit_takes_the_smallest_piece(void **state)
{
    static struct extents set;
    uint64_t base = 0;

    (void)state;
    assert_int_equal(extents_fit(&set, 1, 1, &base), E_NOENT);
    extents_add(&set, 100, 200);
    extents_add(&set, 301, 340);
    extents_add(&set, 501, 540);
    assert_int_equal(extents_fit(&set, 39, 1, &base), 0);
    assert_int_equal(base, 301);
    assert_int_equal(extents_fit(&set, 39, 2, &base), 0);
    assert_int_equal(base, 100);
    assert_int_equal(extents_fit(&set, 20, 16, &base), 0);
    assert_int_equal(base, 304);
    assert_int_equal(extents_fit(&set, 72, 128, &base), 0);
    assert_int_equal(base, 128);
    assert_int_equal(extents_fit(&set, 73, 128, &base), E_NOENT);
    assert_int_equal(extents_fit(&set, 101, 1, &base), E_NOENT);
    assert_int_equal(extents_fit(&set, 1, 1024, &base), E_NOENT);
    assert_int_equal(extents_largest(&set), 100);
}

static void alignment_shrinks(void **state)
{
    static struct extents set;

    (void)state;
    extents_add(&set, 1, 31);
    extents_add(&set, 40, 50);
    extents_add(&set, 64, 80);
    extents_add(&set, UINT64_MAX - 5, UINT64_MAX);
    extents_align(&set, 16);
    assert_int_equal(set.count, 1);
    assert_int_equal(set.items[0].base, 64);
    assert_int_equal(set.items[0].end, 80);
    extents_add(&set, 15, 33);
    extents_align(&set, 16);
    assert_int_equal(set.count, 2);
    assert_int_equal(set.items[0].base, 16);
    assert_int_equal(set.items[0].end, 32);
}

static void a_full_set_stays_whole(void **state)
{
    static struct extents set;

    (void)state;
    for (uint64_t i = 0; i < EXTENTS_MAX; i++)
        assert_int_equal(extents_add(&set, i * 10, i * 10 + 5), 0);
    assert_int_equal(extents_add(&set, 7, 8), E_NOMEM);
    assert_int_equal(set.count, EXTENTS_MAX);
    assert_int_equal(extents_add(&set, 5, 6), 0); /* only longer */
    assert_int_equal(extents_remove(&set, 12, 13), E_NOMEM);
    expect_shape(&set);
    assert_null(extents_find(&set, 12, 13));
    assert_null(extents_find(&set, 13, 14)); /* lost, as the header says */
    assert_non_null(extents_find(&set, 10, 12));
    assert_int_equal(extents_add(&set, 0, UINT64_MAX), 0);
    assert_int_equal(set.count, 1);
    assert_int_equal(extents_remove(&set, 0, UINT64_MAX), 0);
    assert_int_equal(set.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_changes_match_the_model),
        cmocka_unit_test(fit_takes_the_smallest_piece),
        cmocka_unit_test(alignment_shrinks),
        cmocka_unit_test(a_full_set_stays_whole),
    };

    return cmocka_run_group_tests_name("extents", tests, NULL, NULL);
}
