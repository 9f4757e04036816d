/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page pool: alignment, exhaustion, zeroes, hostile sizes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/machine.h"
#include "hv/pages.h"

#define BASE  UINT64_C(0x100000000)
#define COUNT 64u

static uint8_t memory[COUNT * PAGE_SIZE] ALIGNED(4096);

void *machine_pointer(hpa_t address)
{
    assert_in_range(address, BASE, BASE + sizeof(memory) - 1);
    return memory + (address - BASE);
}

static void pages_are_zero_and_apart(void **state)
{
    (void)state;
    memset(memory, 0xaa, sizeof(memory));
    pages_init(BASE + 1, sizeof(memory) - 1);
    assert_int_equal(pages_total(), COUNT - 1);
    assert_int_equal(pages_allocate(1, 1), BASE + PAGE_SIZE);
    assert_int_equal(pages_allocate(2, PAGE_SIZE), BASE + 2 * PAGE_SIZE);
    assert_int_equal(pages_used(), 3);
    assert_int_equal(memory[PAGE_SIZE - 1], 0xaa);
    for (unsigned i = PAGE_SIZE; i < 4 * PAGE_SIZE; i++)
        assert_int_equal(memory[i], 0);
    assert_int_equal(memory[4 * PAGE_SIZE], 0xaa);
    assert_int_equal(pages_allocate(4, 8 * PAGE_SIZE), BASE + 8 * PAGE_SIZE);
    assert_int_equal(pages_used(), 11);
}

static void pool_ends(void **state)
{
    (void)state;
    pages_init(BASE, sizeof(memory) + PAGE_SIZE - 1);
    assert_int_equal(pages_total(), COUNT);
    assert_int_equal(pages_allocate(COUNT + 1, PAGE_SIZE), 0);
    assert_int_equal(pages_allocate(UINT64_MAX, PAGE_SIZE), 0);
    assert_int_equal(pages_allocate(UINT64_MAX / PAGE_SIZE + 2, PAGE_SIZE), 0);
    assert_int_equal(pages_allocate(0, PAGE_SIZE), 0);
    assert_int_equal(pages_allocate(1, BIT(63)), 0);
    assert_int_equal(pages_allocate(COUNT, PAGE_SIZE), BASE);
    assert_int_equal(pages_used(), COUNT);
    assert_int_equal(pages_allocate(1, PAGE_SIZE), 0);
}

static void both_ends_meet(void **state)
{
    (void)state;
    memset(memory, 0xaa, sizeof(memory));
    pages_init(BASE, sizeof(memory));
    assert_int_equal(pages_mark(), BASE);
    assert_int_equal(pages_allocate_hidden(2), BASE + (COUNT - 2) * PAGE_SIZE);
    for (unsigned i = (COUNT - 2) * PAGE_SIZE; i < COUNT * PAGE_SIZE; i++)
        assert_int_equal(memory[i], 0);
    assert_int_equal(pages_mark(), BASE);
    assert_int_equal(pages_allocate(3, PAGE_SIZE), BASE);
    assert_int_equal(pages_mark(), BASE + 3 * PAGE_SIZE);
    assert_int_equal(pages_used(), 5);
    assert_int_equal(pages_allocate_hidden(COUNT - 4), 0);
    assert_int_equal(pages_allocate_hidden(UINT64_MAX), 0);
    assert_int_equal(pages_allocate_hidden(0), 0);
    assert_int_equal(pages_allocate_hidden(COUNT - 5), BASE + 3 * PAGE_SIZE);
    assert_int_equal(pages_allocate(1, PAGE_SIZE), 0);
    assert_int_equal(pages_allocate_hidden(1), 0);
    assert_int_equal(pages_used(), COUNT);
}

static void frozen_pool_gives_nothing(void **state)
{
    (void)state;
    pages_init(BASE, sizeof(memory));
    assert_int_not_equal(pages_allocate(1, PAGE_SIZE), 0);
    pages_freeze();
    assert_int_equal(pages_allocate(1, PAGE_SIZE), 0);
    assert_int_equal(pages_allocate_hidden(1), 0);
    assert_int_equal(pages_used(), 1);
}

static void odd_pools(void **state)
{
    (void)state;
    pages_init(0, 4 * PAGE_SIZE); /* address 0 would mean "none" */
    assert_int_equal(pages_total(), 3);
    pages_init(0, 0);
    assert_int_equal(pages_total(), 0);
    assert_int_equal(pages_allocate(1, PAGE_SIZE), 0);
    pages_init(BASE + 5, 100);
    assert_int_equal(pages_total(), 0);
    assert_int_equal(pages_allocate(1, PAGE_SIZE), 0);
    pages_init(UINT64_MAX - 5 * PAGE_SIZE, UINT64_MAX);
    assert_int_equal(pages_total(), 4);
    assert_int_equal(pages_allocate(1, BIT(62)), 0);
}

static void overlap(void **state)
{
    (void)state;
    pages_init(BASE, sizeof(memory));
    assert_true(pages_overlap(BASE, 1));
    assert_true(pages_overlap(0, UINT64_MAX));
    assert_true(pages_overlap(BASE + sizeof(memory) - 1, UINT64_MAX));
    assert_true(pages_overlap(BASE - 1, 2));
    assert_false(pages_overlap(BASE - 1, 1));
    assert_false(pages_overlap(BASE + sizeof(memory), UINT64_MAX));
    assert_false(pages_overlap(BASE, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_zero_and_apart),  cmocka_unit_test(pool_ends), cmocka_unit_test(both_ends_meet),
        cmocka_unit_test(frozen_pool_gives_nothing), cmocka_unit_test(odd_pools), cmocka_unit_test(overlap),
    };
    return cmocka_run_group_tests_name("pages", tests, NULL, NULL);
}
