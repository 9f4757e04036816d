/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the page pool lies and how large it is: clear of everything, and with room for the second-stage tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "boot/place.h"
#include "hv/error.h"
#include "hv/pagetable.h"

#define IMAGE_SIZE MIB(1)

static struct boot_info info;

static void add(hpa_t base, uint64_t size, uint32_t type)
{
    struct boot_memory_range *range = &info.memory[info.memory_count++];

    range->base = base;
    range->size = size;
    range->type = type;
}

/* A PC: 640 KiB, then from 1 MiB up to `low_end`, then `high` from 4 GiB on. */
static void machine(hpa_t low_end, uint64_t high)
{
    memset(&info, 0, sizeof(info));
    add(0, 0xa0000, BOOT_MEMORY_RAM);
    add(MIB(1), low_end - MIB(1), BOOT_MEMORY_RAM);
    if (high != 0)
        add(GIB(4), high, BOOT_MEMORY_RAM);
}

static void test_size(void **state)
{
    static const struct {
        hpa_t low_end;
        uint64_t high, page, pool;
    } cases[] = {
        {MIB(512), 0, PAGE_SIZE_2M, MIB(10)},     /* 8 MiB, and 1/8 */
        {MIB(512), 0, PAGE_SIZE_4K, MIB(10)},     /* 8 MiB, 1/8 and 1 */
        {GIB(1), 0, PAGE_SIZE_4K, MIB(12)},       /* 8 MiB, 1/4 and 2 */
        {GIB(3), GIB(11), PAGE_SIZE_1G, MIB(12)}, /* 8 MiB and 3 1/2 */
        {GIB(3), GIB(13), PAGE_SIZE_4K, MIB(44)}, /* 8 MiB, 4 and 32 */
        {GIB(3), GIB(253), PAGE_SIZE_4K, MIB(8 + 64 + 512)},
    };
    struct boot_places places = {.image_base = MIB(1), .image_size = IMAGE_SIZE};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        machine(cases[i].low_end, cases[i].high);
        assert_int_equal(place_choose(&info, cases[i].page, &places), 0);
        assert_int_equal(places.pool_size, cases[i].pool);
        /* At the top of what lies below 4 GiB. */
        assert_int_equal(places.pool_base, cases[i].low_end - cases[i].pool);
        assert_true(places.low_page >= PAGE_SIZE && places.low_page < 0xa0000);
    }
}

/* Where it does not fit, it is what fits, down to 4 MiB. */
static void test_no_room(void **state)
{
    struct boot_places places = {.image_base = MIB(1), .image_size = IMAGE_SIZE};

    (void)state;
    machine(MIB(256), GIB(252));
    assert_int_equal(place_choose(&info, PAGE_SIZE_4K, &places), 0);
    assert_int_equal(places.pool_size, MIB(144)); /* of 576 */
    machine(MIB(6), 0);
    assert_int_equal(place_choose(&info, PAGE_SIZE_2M, &places), 0);
    assert_int_equal(places.pool_size, MIB(4));
    machine(MIB(4), 0);
    assert_int_equal(place_choose(&info, PAGE_SIZE_2M, &places), E_NOMEM);
}

/* Modules, reserved ranges and the image are left alone. */
static void test_clear_of_others(void **state)
{
    struct boot_places places = {.image_base = MIB(1), .image_size = IMAGE_SIZE};

    (void)state;
    machine(GIB(1), 0);
    add(GIB(1) - MIB(4), MIB(1), 2);
    info.module_count = 1;
    info.modules[0].base = GIB(1) - MIB(20);
    info.modules[0].size = 5;
    assert_int_equal(place_choose(&info, PAGE_SIZE_4K, &places), 0);
    assert_int_equal(places.pool_base, GIB(1) - MIB(16));
    assert_int_equal(places.pool_size, MIB(12));
    places.image_base = GIB(1) - MIB(8);
    assert_int_equal(place_choose(&info, PAGE_SIZE_4K, &places), 0);
    assert_int_equal(places.pool_base, GIB(1) - MIB(32)); /* below image and module */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_clear_of_others),
    };

    return cmocka_run_group_tests_name("place", tests, NULL, NULL);
}
