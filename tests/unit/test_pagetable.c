/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page-table walker with its three formats, against hand-computed entries and against a model that keeps every
 * 4 KiB page in an array.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/hostmap_format.h"
#include "arch/svm/npt.h"
#include "arch/vmx/ept.h"
#include "hv/error.h"
#include "hv/machine.h"
#include "hv/pages.h"
#include "hv/pagetable.h"

#define POOL_BASE  UINT64_C(0x7000000)
#define POOL_PAGES 16384u

static uint8_t *pool;

void *machine_pointer(hpa_t address)
{
    assert_in_range(address, POOL_BASE, POOL_BASE + POOL_PAGES * PAGE_SIZE - 1);
    return pool + (address - POOL_BASE);
}

void machine_relax(void)
{
}

static const struct pt_format *const formats[] = {&hostmap_format, &npt_format, &ept_format};

static struct pagetable table_new(const struct pt_format *format, uint64_t largest)
{
    struct pagetable table;

    pages_init(POOL_BASE, POOL_PAGES * PAGE_SIZE);
    assert_int_equal(pagetable_create(&table, format, largest), 0);
    return table;
}

static uint64_t entry_at(const struct pagetable *table, uint64_t address, unsigned level)
{
    hpa_t node = table->root;

    for (unsigned i = 3;; i--) {
        uint64_t *entries = machine_pointer(node);
        uint64_t entry = entries[(address >> (12 + 9 * i)) & 511];
        if (i == level)
            return entry;
        node = entry & UINT64_C(0x000ffffffffff000);
    }
}

static void expect_mapping(const struct pagetable *table, uint64_t address, hpa_t hpa, uint64_t size, unsigned access)
{
    struct pagetable_mapping mapping;

    assert_int_equal(pagetable_lookup(table, address, &mapping), 0);
    assert_int_equal(mapping.size, size);
    assert_int_equal(mapping.hpa + (address - mapping.address), hpa);
    assert_int_equal(mapping.access, access);
}

static void bits_of_each_format(void **state)
{
    (void)state;
    struct pagetable table = table_new(&hostmap_format, PAGE_SIZE_1G);
    uint64_t high = UINT64_C(0xffff800000000000);
    assert_int_equal(pagetable_map(&table, high, 0, GIB(1), ACCESS_READ | ACCESS_WRITE, MEMORY_WRITE_BACK), 0);
    assert_int_equal(entry_at(&table, high, 3) & ~UINT64_C(0xffffffff000), 0x23);
    assert_int_equal(entry_at(&table, high, 2), BIT(63) | 0xe3);
    assert_int_equal(
        pagetable_map(&table, high + GIB(1), MIB(2), MIB(2), ACCESS_READ | ACCESS_EXECUTE, MEMORY_WRITE_COMBINING), 0);
    assert_int_equal(entry_at(&table, high + GIB(1), 1), MIB(2) | 0xe9);
    assert_int_equal(pagetable_map(&table, 0, 0xfee00000, KIB(4), ACCESS_READ, MEMORY_UNCACHED), 0);
    assert_int_equal(entry_at(&table, 0, 0), BIT(63) | 0xfee00000 | 0x79);

    table = table_new(&npt_format, PAGE_SIZE_1G);
    assert_int_equal(pagetable_map(&table, 0, GIB(5), GIB(1), ACCESS_ALL, MEMORY_WRITE_BACK), 0);
    assert_int_equal(entry_at(&table, 0, 3) & ~UINT64_C(0xffffffff000), 0x27);
    assert_int_equal(entry_at(&table, 0, 2), GIB(5) | 0xe7);
    assert_int_equal(pagetable_map(&table, GIB(1), 0xb8000, KIB(4), ACCESS_READ | ACCESS_WRITE, MEMORY_UNCACHED), 0);
    assert_int_equal(entry_at(&table, GIB(1), 0), BIT(63) | 0xb8000 | 0x7f);

    table = table_new(&ept_format, PAGE_SIZE_1G);
    assert_int_equal(pagetable_map(&table, 0, GIB(5), GIB(1), ACCESS_ALL, MEMORY_WRITE_BACK), 0);
    assert_int_equal(entry_at(&table, 0, 3) & ~UINT64_C(0xffffffff000), 7);
    assert_int_equal(entry_at(&table, 0, 2), GIB(5) | 0xb7);
    assert_int_equal(pagetable_map(&table, GIB(1), 0xb8000, KIB(4), ACCESS_READ, MEMORY_UNCACHED), 0);
    assert_int_equal(entry_at(&table, GIB(1), 0), 0xb8001);
    assert_int_equal(pagetable_map(&table, GIB(2), MIB(2), MIB(2), ACCESS_READ | ACCESS_WRITE, MEMORY_WRITE_COMBINING),
                     0);
    assert_int_equal(entry_at(&table, GIB(2), 1), MIB(2) | 0x8b);
}

static void types_come_back(void **state)
{
    (void)state;
    static const enum memory_type types[] = {MEMORY_WRITE_BACK, MEMORY_WRITE_COMBINING, MEMORY_UNCACHED};

    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        struct pagetable table = table_new(formats[i], PAGE_SIZE_2M);
        for (unsigned t = 0; t < 3; t++) {
            for (unsigned access = ACCESS_READ; access <= ACCESS_ALL; access += 2) {
                struct pagetable_mapping mapping;
                uint64_t address = MIB(64) * (t * 8 + access);
                assert_int_equal(pagetable_map(&table, address, MIB(2), MIB(2) + KIB(4), access, types[t]), 0);
                for (uint64_t offset = 0; offset <= MIB(2); offset += MIB(2)) {
                    assert_int_equal(pagetable_lookup(&table, address + offset, &mapping), 0);
                    assert_int_equal(mapping.type, types[t]);
                    assert_int_equal(mapping.access, access);
                    assert_int_equal(mapping.size, offset == 0 ? MIB(2) : KIB(4));
                }
            }
        }
    }
}

struct expected {
    const struct pagetable_mapping *next;
    size_t left;
};

static int expect_next(void *context, const struct pagetable_mapping *mapping)
{
    struct expected *expected = context;

    assert_true(expected->left > 0);
    assert_int_equal(mapping->address, expected->next->address);
    assert_int_equal(mapping->hpa, expected->next->hpa);
    assert_int_equal(mapping->size, expected->next->size);
    assert_int_equal(mapping->access, expected->next->access);
    expected->next++;
    expected->left--;
    return 0;
}

static void across_four_gib(void **state)
{
    (void)state;
    const struct pagetable_mapping wanted[] = {
        {GIB(3) - KIB(4), GIB(7) - KIB(4), KIB(4), ACCESS_ALL, MEMORY_WRITE_BACK},
        {GIB(3), GIB(7), GIB(1), ACCESS_ALL, MEMORY_WRITE_BACK},
        {GIB(4), GIB(8), MIB(2), ACCESS_ALL, MEMORY_WRITE_BACK},
        {GIB(4) + MIB(2), GIB(8) + MIB(2), KIB(4), ACCESS_ALL, MEMORY_WRITE_BACK},
    };

    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        struct pagetable table = table_new(formats[i], PAGE_SIZE_1G);
        struct expected expected = {wanted, ARRAY_SIZE(wanted)};
        assert_int_equal(pagetable_map(&table, GIB(3) - KIB(4), GIB(7) - KIB(4), GIB(1) + MIB(2) + KIB(8), ACCESS_ALL,
                                       MEMORY_WRITE_BACK),
                         0);
        assert_int_equal(pagetable_walk(&table, expect_next, &expected), 0);
        assert_int_equal(expected.left, 0);
        expect_mapping(&table, GIB(4) - 1, GIB(8) - 1, GIB(1), ACCESS_ALL);
        expect_mapping(&table, GIB(4), GIB(8), MIB(2), ACCESS_ALL);
    }
}

static int sum_sizes(void *context, const struct pagetable_mapping *mapping)
{
    *(uint64_t *)context += mapping->size;
    return 0;
}

static void largest_page_follows_alignment_and_limit(void **state)
{
    (void)state;
    static const struct {
        uint64_t largest, hpa, size_seen;
    } rows[] = {
        {PAGE_SIZE_1G, GIB(6), GIB(1)},          {PAGE_SIZE_1G, GIB(6) + MIB(2), MIB(2)},
        {PAGE_SIZE_1G, GIB(6) + KIB(4), KIB(4)}, {PAGE_SIZE_2M, GIB(6), MIB(2)},
        {PAGE_SIZE_4K, GIB(6), KIB(4)},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows) * ARRAY_SIZE(formats); i++) {
        struct pagetable table = table_new(formats[i % 3], rows[i / 3].largest);
        uint64_t sum = 0;
        assert_int_equal(pagetable_map(&table, GIB(4), rows[i / 3].hpa, GIB(1), ACCESS_ALL, MEMORY_WRITE_BACK), 0);
        expect_mapping(&table, GIB(4) + 123, rows[i / 3].hpa + 123, rows[i / 3].size_seen, ACCESS_ALL);
        expect_mapping(&table, GIB(5) - 1, rows[i / 3].hpa + GIB(1) - 1, rows[i / 3].size_seen, ACCESS_ALL);
        assert_int_equal(pagetable_walk(&table, sum_sizes, &sum), 0);
        assert_int_equal(sum, GIB(1));
    }
}

static void double_mapping_changes_nothing(void **state)
{
    (void)state;
    struct pagetable_mapping mapping;

    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        struct pagetable table = table_new(formats[i], PAGE_SIZE_1G);
        assert_int_equal(pagetable_map(&table, GIB(1), GIB(9), MIB(4), ACCESS_ALL, MEMORY_WRITE_BACK), 0);
        uint64_t used = pages_used();
        assert_int_equal(pagetable_map(&table, 0, 0, GIB(4), ACCESS_ALL, MEMORY_WRITE_BACK), E_BUSY);
        assert_int_equal(pagetable_map(&table, GIB(1) + MIB(4) - KIB(4), 0, KIB(8), ACCESS_ALL, MEMORY_WRITE_BACK),
                         E_BUSY);
        assert_int_equal(pagetable_map(&table, GIB(1) - KIB(4), 0, KIB(8), ACCESS_ALL, MEMORY_WRITE_BACK), E_BUSY);
        assert_int_equal(pages_used(), used);
        assert_int_equal(pagetable_lookup(&table, GIB(1) - 1, &mapping), E_NOENT);
        assert_int_equal(pagetable_lookup(&table, GIB(1) + MIB(4), &mapping), E_NOENT);
        assert_int_equal(pagetable_map(&table, GIB(1) - KIB(4), 0, KIB(4), ACCESS_ALL, MEMORY_WRITE_BACK), 0);
        assert_int_equal(pagetable_map(&table, GIB(1) + MIB(4), 0, KIB(4), ACCESS_ALL, MEMORY_WRITE_BACK), 0);
    }
}

static void holes_and_splits(void **state)
{
    (void)state;
    struct pagetable_mapping mapping;

    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        struct pagetable table = table_new(formats[i], PAGE_SIZE_1G);
        uint64_t sum = 0;
        assert_int_equal(pagetable_map(&table, 0, GIB(2), GIB(1), ACCESS_ALL, MEMORY_WRITE_BACK), 0);
        assert_int_equal(pagetable_unmap(&table, 0xa0000, 0x18000), 0); /* the hole of a PC */
        assert_int_equal(pagetable_lookup(&table, 0xa0000, &mapping), E_NOENT);
        assert_int_equal(pagetable_lookup(&table, 0xb7fff, &mapping), E_NOENT);
        expect_mapping(&table, 0x9ffff, GIB(2) + 0x9ffff, KIB(4), ACCESS_ALL);
        expect_mapping(&table, 0xb8000, GIB(2) + 0xb8000, KIB(4), ACCESS_ALL);
        expect_mapping(&table, MIB(2), GIB(2) + MIB(2), MIB(2), ACCESS_ALL);
        assert_int_equal(pagetable_protect(&table, MIB(4) - KIB(4), KIB(8), ACCESS_READ), 0);
        expect_mapping(&table, MIB(4) - KIB(8), GIB(2) + MIB(4) - KIB(8), KIB(4), ACCESS_ALL);
        expect_mapping(&table, MIB(4) - 1, GIB(2) + MIB(4) - 1, KIB(4), ACCESS_READ);
        expect_mapping(&table, MIB(4), GIB(2) + MIB(4), KIB(4), ACCESS_READ);
        expect_mapping(&table, MIB(4) + KIB(4), GIB(2) + MIB(4) + KIB(4), KIB(4), ACCESS_ALL);
        expect_mapping(&table, MIB(6), GIB(2) + MIB(6), MIB(2), ACCESS_ALL);
        assert_int_equal(pagetable_protect(&table, 0x9f000, KIB(8), ACCESS_READ), E_NOENT);
        expect_mapping(&table, 0x9f000, GIB(2) + 0x9f000, KIB(4), ACCESS_ALL);
        assert_int_equal(pagetable_walk(&table, sum_sizes, &sum), 0);
        assert_int_equal(sum, GIB(1) - 0x18000);
        assert_int_equal(pagetable_map(&table, 0xa0000, GIB(3), 0x18000, ACCESS_READ, MEMORY_UNCACHED), 0);
        assert_int_equal(pagetable_unmap(&table, 0, GIB(512)), 0);
        sum = 0;
        assert_int_equal(pagetable_walk(&table, sum_sizes, &sum), 0);
        assert_int_equal(sum, 0);
    }
}

static void ends_of_the_address_space(void **state)
{
    (void)state;
    struct pagetable table = table_new(&hostmap_format, PAGE_SIZE_1G);
    struct pagetable_mapping mapping;
    uint64_t last = UINT64_C(0xffffffffc0000000), half = BIT(47), sum = 0;

    assert_int_equal(pagetable_map(&table, last, 0, GIB(1), ACCESS_READ, MEMORY_WRITE_BACK), 0);
    expect_mapping(&table, UINT64_MAX, GIB(1) - 1, GIB(1), ACCESS_READ);
    assert_int_equal(pagetable_lookup(&table, half - 1, &mapping), E_NOENT);
    assert_int_equal(pagetable_lookup(&table, half, &mapping), E_RANGE);
    assert_int_equal(pagetable_lookup(&table, ~half, &mapping), E_RANGE);
    assert_int_equal(pagetable_map(&table, half - KIB(4), 0, KIB(8), ACCESS_READ, MEMORY_WRITE_BACK), E_RANGE);
    assert_int_equal(pagetable_map(&table, half, 0, KIB(4), ACCESS_READ, MEMORY_WRITE_BACK), E_RANGE);
    assert_int_equal(pagetable_map(&table, last, 0, GIB(2), ACCESS_READ, MEMORY_WRITE_BACK), E_RANGE);
    assert_int_equal(pagetable_map(&table, 0, 0, ~(uint64_t)PAGE_MASK, ACCESS_READ, MEMORY_WRITE_BACK), E_RANGE);
    assert_int_equal(pagetable_map(&table, half - KIB(4), 0, KIB(4), ACCESS_READ, MEMORY_WRITE_BACK), 0);
    const struct pagetable_mapping wanted[] = {{half - KIB(4), 0, KIB(4), ACCESS_READ, MEMORY_WRITE_BACK},
                                               {last, 0, GIB(1), ACCESS_READ, MEMORY_WRITE_BACK}};
    struct expected expected = {wanted, 2};
    assert_int_equal(pagetable_walk(&table, expect_next, &expected), 0);
    assert_int_equal(expected.left, 0);

    table = table_new(&ept_format, PAGE_SIZE_1G);
    assert_int_equal(pagetable_map(&table, BIT(48) - GIB(1), 0, GIB(1), ACCESS_READ, MEMORY_WRITE_BACK), 0);
    assert_int_equal(pagetable_map(&table, BIT(48), 0, GIB(1), ACCESS_READ, MEMORY_WRITE_BACK), E_RANGE);
    assert_int_equal(pagetable_map(&table, BIT(47), 0, BIT(48), ACCESS_READ, MEMORY_WRITE_BACK), E_RANGE);
    assert_int_equal(pagetable_lookup(&table, last, &mapping), E_RANGE);
    assert_int_equal(pagetable_walk(&table, sum_sizes, &sum), 0);
    assert_int_equal(sum, GIB(1));
}

static void bad_arguments(void **state)
{
    (void)state;
    struct pagetable table = table_new(&npt_format, PAGE_SIZE_1G);

    assert_int_equal(pagetable_map(&table, 1, 0, KIB(4), ACCESS_READ, MEMORY_WRITE_BACK), E_INVAL);
    assert_int_equal(pagetable_map(&table, 0, 1, KIB(4), ACCESS_READ, MEMORY_WRITE_BACK), E_INVAL);
    assert_int_equal(pagetable_map(&table, 0, 0, 1, ACCESS_READ, MEMORY_WRITE_BACK), E_INVAL);
    assert_int_equal(pagetable_map(&table, 0, 0, KIB(4), ACCESS_WRITE, MEMORY_WRITE_BACK), E_INVAL);
    assert_int_equal(pagetable_map(&table, 0, 0, KIB(4), 8 | ACCESS_READ, MEMORY_WRITE_BACK), E_INVAL);
    assert_int_equal(pagetable_map(&table, 0, BIT(52), KIB(4), ACCESS_READ, MEMORY_WRITE_BACK), E_RANGE);
    assert_int_equal(pagetable_map(&table, 0, BIT(52) - KIB(4), KIB(8), ACCESS_READ, MEMORY_WRITE_BACK), E_RANGE);
    assert_int_equal(pagetable_map(&table, 0, 0, 0, ACCESS_READ, MEMORY_WRITE_BACK), 0);
    assert_int_equal(pagetable_map(&table, 0, BIT(52) - KIB(4), KIB(4), ACCESS_READ, MEMORY_WRITE_BACK), 0);
    expect_mapping(&table, 0, BIT(52) - KIB(4), KIB(4), ACCESS_READ);
    assert_int_equal(pagetable_unmap(&table, 5, KIB(4)), E_INVAL);
    assert_int_equal(pagetable_unmap(&table, BIT(48), KIB(4)), E_RANGE);
    assert_int_equal(pagetable_protect(&table, 0, KIB(4), ACCESS_WRITE), E_INVAL);
    assert_int_equal(pagetable_protect(&table, 0, 7, ACCESS_READ), E_INVAL);
}

static int stop_at_second(void *context, const struct pagetable_mapping *mapping)
{
    (void)mapping;
    return ++*(int *)context == 2 ? 77 : 0;
}

static void walk_stops_when_asked(void **state)
{
    (void)state;
    struct pagetable table = table_new(&npt_format, PAGE_SIZE_1G);
    int calls = 0;

    assert_int_equal(pagetable_map(&table, 0, 0, GIB(5), ACCESS_READ, MEMORY_WRITE_BACK), 0);
    assert_int_equal(pagetable_walk(&table, stop_at_second, &calls), 77);
    assert_int_equal(calls, 2);
}

static void pool_runs_out(void **state)
{
    (void)state;
    struct pagetable table;

    pages_init(POOL_BASE, 4 * PAGE_SIZE);
    assert_int_equal(pagetable_create(&table, &npt_format, PAGE_SIZE_1G), 0);
    assert_int_equal(pagetable_map(&table, 0, 0, KIB(4), ACCESS_ALL, MEMORY_WRITE_BACK), 0);
    assert_int_equal(pagetable_map(&table, GIB(1), GIB(1), GIB(1), ACCESS_ALL, MEMORY_WRITE_BACK), 0);
    assert_int_equal(pagetable_map(&table, GIB(2), 0, KIB(4), ACCESS_ALL, MEMORY_WRITE_BACK), E_NOMEM);
    assert_int_equal(pagetable_unmap(&table, GIB(1), KIB(4)), E_NOMEM);
    expect_mapping(&table, GIB(1), GIB(1), GIB(1), ACCESS_ALL);
    assert_int_equal(pagetable_create(&table, &npt_format, PAGE_SIZE_1G), E_NOMEM);
}

/* ---- Random operations against a model ---- */

#define MODEL_BASE  (GIB(4) - MIB(8)) /* the window lies across the 4 GiB line */
#define MODEL_PAGES 4096u             /* 16 MiB */

struct model_page {
    hpa_t hpa;
    unsigned access; /* 0: not mapped */
};
static struct model_page model[MODEL_PAGES];

static bool model_all(unsigned first, unsigned count, bool mapped)
{
    for (unsigned i = first; i < first + count; i++) {
        if ((model[i].access != 0) != mapped)
            return false;
    }
    return true;
}

static void model_compare(const struct pagetable *table)
{
    struct pagetable_mapping mapping;

    for (unsigned i = 0; i < MODEL_PAGES; i++) {
        uint64_t address = MODEL_BASE + (uint64_t)i * PAGE_SIZE;
        int result = pagetable_lookup(table, address, &mapping);
        if (model[i].access == 0) {
            assert_int_equal(result, E_NOENT);
            continue;
        }
        assert_int_equal(result, 0);
        assert_int_equal(mapping.hpa + (address - mapping.address), model[i].hpa);
        assert_int_equal(mapping.access, model[i].access);
    }
}

static void random_step(struct pagetable *table)
{
    static const unsigned steps[] = {1, 1, 16, 512};
    unsigned step = steps[rand() % 4];
    unsigned first = (unsigned)rand() % (MODEL_PAGES / step) * step;
    unsigned count = ((unsigned)rand() % 8 + 1) * step;
    unsigned access = ACCESS_READ | ((unsigned)rand() & 6);
    hpa_t hpa = (hpa_t)(rand() % 4096) * step * PAGE_SIZE;

    count = (unsigned)min_u64(count, MODEL_PAGES - first);
    uint64_t address = MODEL_BASE + (uint64_t)first * PAGE_SIZE, size = (uint64_t)count * PAGE_SIZE;
    switch (rand() % 4) {
    case 0:
    case 1: {
        bool possible = model_all(first, count, false);
        table->largest = rand() % 2 == 0 ? PAGE_SIZE_2M : PAGE_SIZE_4K;
        assert_int_equal(pagetable_map(table, address, hpa, size, access, MEMORY_WRITE_BACK), possible ? 0 : E_BUSY);
        for (unsigned i = 0; possible && i < count; i++)
            model[first + i] = (struct model_page){hpa + (hpa_t)i * PAGE_SIZE, access};
        break;
    }
    case 2:
        assert_int_equal(pagetable_unmap(table, address, size), 0);
        memset(&model[first], 0, count * sizeof(model[0]));
        break;
    default: {
        bool possible = model_all(first, count, true);
        assert_int_equal(pagetable_protect(table, address, size, access), possible ? 0 : E_NOENT);
        for (unsigned i = 0; possible && i < count; i++)
            model[first + i].access = access;
        break;
    }
    }
}

static void random_against_model(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        struct pagetable table = table_new(formats[i], PAGE_SIZE_1G);
        uint64_t sum = 0, wanted = 0;
        srand(7 + (unsigned)i);
        memset(model, 0, sizeof(model));
        for (unsigned round = 0; round < 4000; round++) {
            random_step(&table);
            if (round % 40 == 0)
                model_compare(&table);
        }
        model_compare(&table);
        for (unsigned page = 0; page < MODEL_PAGES; page++)
            wanted += model[page].access != 0 ? PAGE_SIZE : 0;
        assert_true(wanted > 0);
        assert_int_equal(pagetable_walk(&table, sum_sizes, &sum), 0);
        assert_int_equal(sum, wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_of_each_format),
        cmocka_unit_test(types_come_back),
        cmocka_unit_test(across_four_gib),
        cmocka_unit_test(largest_page_follows_alignment_and_limit),
        cmocka_unit_test(double_mapping_changes_nothing),
        cmocka_unit_test(holes_and_splits),
        cmocka_unit_test(ends_of_the_address_space),
        cmocka_unit_test(bad_arguments),
        cmocka_unit_test(walk_stops_when_asked),
        cmocka_unit_test(pool_runs_out),
        cmocka_unit_test(random_against_model),
    };

    pool = malloc(POOL_PAGES * PAGE_SIZE);
    if (pool == NULL)
        return 1;
    int failed = cmocka_run_group_tests_name("pagetable", tests, NULL, NULL);
    free(pool);
    return failed;
}
