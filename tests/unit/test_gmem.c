/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory: what lies in RAM is reached, what touches anything else is refused whole. A wrong pointer would leave
 * the fake's buffer, where the sanitizer waits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hv/error.h"
#include "hv/gmem.h"
#include "tests/unit/fake_calls.h"

static struct guest *guest;

/* RAM at 0-640K, b8000-3M, 4G-4G+1M. */
static int setup(void **state)
{
    (void)state;
    guest = fake_guest(MIB(4), 1);
    guest->ram[2] = (struct guest_ram){GIB(4), guest->ram[1].host + guest->ram[1].size - MIB(1), MIB(1)};
    guest->ram[1].size -= MIB(1);
    guest->ram_count = 3;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

static bool model_byte(gpa_t address)
{
    return address < 0xa0000 || (address >= 0xb8000 && address < MIB(3)) ||
           (address >= GIB(4) && address < GIB(4) + MIB(1));
}

static bool model(gpa_t address, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++) {
        if (!model_byte(address + i))
            return false;
    }
    return true;
}

static const gpa_t edges[] = {0, 0xa0000, 0xb8000, MIB(3), GIB(4), GIB(4) + MIB(1), UINT64_MAX, BIT(52), BIT(63)};

static void every_edge(void **state)
{
    uint8_t buffer[32];

    (void)state;
    for (unsigned e = 0; e < ARRAY_SIZE(edges); e++) {
        for (int before = -20; before <= 20; before++) {
            gpa_t at = edges[e] + (gpa_t)(int64_t)before;
            for (uint64_t size = 0; size <= 20; size++) {
                bool ram = model(at, size);
                assert_int_equal(gmem_is_ram(guest, at, size), ram);
                memset(buffer, 0x5a, sizeof(buffer));
                assert_int_equal(gmem_write(guest, at, buffer, size), ram ? 0 : E_FAULT);
                memset(buffer, 0, sizeof(buffer));
                assert_int_equal(gmem_read(guest, at, buffer, size), ram ? 0 : E_FAULT);
                for (unsigned i = 0; i < sizeof(buffer); i++)
                    assert_int_equal(buffer[i], ram && i < size ? 0x5a : 0);
                assert_int_equal(gmem_fill(guest, at, 0x33, size), ram ? 0 : E_FAULT);
                void *pointer = gmem_pointer(guest, at, size);
                if (size > 0)
                    assert_int_equal(pointer != NULL, ram);
                if (pointer != NULL && size > 0)
                    assert_int_equal(((uint8_t *)pointer)[size - 1], 0x33);
            }
        }
    }
}

static void sizes_that_wrap_are_refused(void **state)
{
    static const uint64_t sizes[] = {UINT64_MAX, UINT64_MAX - 0x1000, BIT(63), GIB(4), MIB(4)};
    uint8_t byte;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        for (unsigned e = 0; e < ARRAY_SIZE(edges); e++) {
            for (uint64_t back = 0; back <= 0x1000; back += 0x800) {
                assert_false(gmem_is_ram(guest, edges[e] - back, sizes[i]));
                assert_int_equal(gmem_read(guest, edges[e] - back, &byte, sizes[i]), E_FAULT);
                assert_int_equal(gmem_write(guest, edges[e] - back, &byte, sizes[i]), E_FAULT);
                assert_int_equal(gmem_fill(guest, edges[e] - back, 0, sizes[i]), E_FAULT);
                assert_null(gmem_pointer(guest, edges[e] - back, sizes[i]));
            }
        }
    }
}

/* Ranges that touch are one to a copy, and two to a pointer: the host's memory behind them need not touch. */
static void copies_go_on_in_the_next_range(void **state)
{
    uint8_t out[256], back[256];

    (void)state;
    guest->ram[0] = (struct guest_ram){0, guest->ram[0].host, MIB(1)};
    guest->ram[1] = (struct guest_ram){MIB(1), guest->ram[0].host + MIB(2), MIB(1)};
    guest->ram_count = 2;
    for (unsigned i = 0; i < sizeof(out); i++)
        out[i] = (uint8_t)i;
    assert_int_equal(gmem_write(guest, MIB(1) - 100, out, sizeof(out)), 0);
    assert_int_equal(gmem_read(guest, MIB(1) - 100, back, sizeof(back)), 0);
    assert_memory_equal(out, back, sizeof(out));
    assert_memory_equal(gmem_pointer(guest, MIB(1), 156), out + 100, 156);
    assert_null(gmem_pointer(guest, MIB(1) - 100, 101));
    assert_non_null(gmem_pointer(guest, MIB(1) - 100, 100));
    assert_int_equal(gmem_fill(guest, MIB(1) - 1, 9, 2), 0);
    assert_memory_equal(gmem_pointer(guest, MIB(1), 2), "\x09\x65", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_edge, setup, teardown),
        cmocka_unit_test_setup_teardown(sizes_that_wrap_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(copies_go_on_in_the_next_range, setup, teardown),
    };

    return cmocka_run_group_tests_name("gmem", tests, NULL, NULL);
}
