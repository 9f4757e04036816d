/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Claims and accesses of a bus, against a model that owns one byte at a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/bus.h"
#include "hv/error.h"

static struct bus bus;
static struct access {
    struct device *device;
    uint64_t offset, value;
    unsigned size;
    bool write;
} accesses[64];
static unsigned access_count;

static void record(struct device *device, uint64_t offset, unsigned size, bool write, uint64_t value)
{
    if (access_count < ARRAY_SIZE(accesses))
        accesses[access_count++] = (struct access){device, offset, value, size, write};
}

/* Each byte is its offset, marked; what is above the size is rubbish that must not come through. */
static uint64_t on_read(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    uint64_t value = size == 8 ? 0 : UINT64_MAX << (8 * size);

    (void)vcpu;
    record(device, offset, size, false, 0);
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)(uint8_t)(0x40 + offset + i) << (8 * i);
    return value;
}

static void on_write(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    (void)vcpu;
    record(device, offset, size, true, value);
}

static const struct bus_ops ops = {on_read, on_write};

static int claim(uint64_t base, uint64_t size, uint8_t width)
{
    const struct bus_region region = {base, size, &ops, NULL, width};

    return bus_claim(&bus, &region);
}

static int setup(void **state)
{
    (void)state;
    memset(&bus, 0, sizeof(bus));
    access_count = 0;
    return 0;
}

static void claims(void **state)
{
    (void)state;
    assert_int_equal(claim(0x100, 0, 4), E_INVAL);
    assert_int_equal(claim(UINT64_MAX, 2, 4), E_INVAL);
    assert_int_equal(claim(1, UINT64_MAX, 4), 0); /* up to the last byte */
    assert_int_equal(claim(0, 1, 4), 0);
    assert_int_equal(claim(5, 1, 4), E_BUSY);
    setup(NULL);
    for (unsigned width = 0; width < 256; width++) {
        bool good = width == 1 || width == 2 || width == 4 || width == 8;
        assert_int_equal(claim(0x1000 + width * 16, 16, (uint8_t)width), good ? 0 : E_INVAL);
    }
    assert_int_equal(claim(UINT64_MAX, 1, 1), 0);
    assert_non_null(bus_find(&bus, UINT64_MAX));
    assert_null(bus_find(&bus, UINT64_MAX - 1));
}

static void overlaps_are_refused(void **state)
{
    (void)state;
    assert_int_equal(claim(0x100, 0x10, 4), 0);
    assert_int_equal(claim(0x120, 0x10, 4), 0);
    assert_int_equal(claim(0x110, 0x10, 4), 0);
    for (uint64_t base = 0xf0; base < 0x140; base++) {
        for (uint64_t size = 1; size < 0x50; size++) {
            if (base + size > 0x100 && base < 0x130)
                assert_int_equal(claim(base, size, 1), E_BUSY);
        }
    }
    assert_int_equal(bus.count, 3);
    assert_int_equal(bus.regions[0].base, 0x100);
    assert_int_equal(bus.regions[1].base, 0x110);
    assert_int_equal(bus.regions[2].base, 0x120);
}

static void the_table_has_an_end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < BUS_REGIONS_MAX; i++)
        assert_int_equal(claim(0x1000 - i * 16, 8, 4), 0); /* each before the others */
    assert_int_equal(claim(0x5000, 8, 4), E_NOMEM);
    assert_int_equal(claim(0x1000, 8, 4), E_BUSY);
    for (unsigned i = 0; i < BUS_REGIONS_MAX; i++) {
        assert_int_equal(bus_find(&bus, 0x1000 - i * 16 + 7)->base, 0x1000 - i * 16);
        assert_null(bus_find(&bus, 0x1000 - i * 16 + 8));
    }
}

static void wide_accesses_are_split_low_part_first(void **state)
{
    (void)state;
    assert_int_equal(claim(0x100, 8, 1), 0);
    assert_int_equal(bus_read(&bus, NULL, 0x101, 4), 0x44434241);
    assert_int_equal(access_count, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(accesses[i].offset, 1 + i);
        assert_int_equal(accesses[i].size, 1);
    }
    access_count = 0;
    bus_write(&bus, NULL, 0x106, 4, 0x99887766);
    assert_int_equal(access_count, 2); /* the rest is nobody's */
    assert_int_equal(accesses[0].value, 0x66);
    assert_int_equal(accesses[1].value, 0x77);
}

static void nobody_answers_all_ones(void **state)
{
    (void)state;
    for (unsigned size = 1; size <= 8; size *= 2) {
        assert_int_equal(bus_read(&bus, NULL, 0x80, size), UINT64_MAX >> (64 - 8 * size));
        bus_write(&bus, NULL, 0x80, size, 0);
    }
    assert_true(bus.accesses_unclaimed > 0);
    assert_int_equal(bus_read(&bus, NULL, UINT64_MAX, 8), UINT64_MAX); /* past the end of addresses */
}

static void model_of_random_regions(void **state)
{
    static const uint8_t widths[] = {1, 2, 4, 8};

    (void)state;
    srand(4);
    for (unsigned round = 0; round < 300; round++) {
        int16_t owner[256];
        memset(owner, 0xff, sizeof(owner));
        setup(NULL);
        for (unsigned i = 0; i < 20; i++) {
            unsigned base = (unsigned)rand() % 240, size = 1 + (unsigned)rand() % 16;
            const struct bus_region region = {base, size, &ops, (struct device *)(uintptr_t)(base + 1),
                                              widths[(unsigned)rand() % 4]};
            if (bus_claim(&bus, &region) == 0) {
                for (unsigned at = base; at < base + size; at++) {
                    assert_int_equal(owner[at], -1);
                    owner[at] = (int16_t)base;
                }
            }
        }
        for (unsigned at = 0; at < 240; at++) {
            for (unsigned size = 1; size <= 8; size *= 2) {
                uint64_t expected = 0;
                for (unsigned i = 0; i < size; i++)
                    expected |= (uint64_t)(uint8_t)(owner[at + i] < 0 ? 0xff : 0x40 + (int)(at + i) - owner[at + i])
                                << (8 * i);
                access_count = 0;
                assert_int_equal(bus_read(&bus, NULL, at, size), expected);
                for (unsigned i = 0; i < access_count; i++) {
                    const struct bus_region *region = bus_find(&bus, (uintptr_t)accesses[i].device - 1);
                    assert_true(accesses[i].size <= region->access_bytes_max);
                    assert_true(accesses[i].offset + accesses[i].size <= region->size);
                    assert_true((accesses[i].size & (accesses[i].size - 1)) == 0);
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(claims, setup),
        cmocka_unit_test_setup(overlaps_are_refused, setup),
        cmocka_unit_test_setup(the_table_has_an_end, setup),
        cmocka_unit_test_setup(wide_accesses_are_split_low_part_first, setup),
        cmocka_unit_test_setup(nobody_answers_all_ones, setup),
        cmocka_unit_test_setup(model_of_random_regions, setup),
    };

    return cmocka_run_group_tests_name("bus", tests, NULL, NULL);
}
