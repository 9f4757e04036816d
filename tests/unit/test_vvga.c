/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VGA registers: power-up values, read-back, index rules, palette, retrace.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "drivers/virtual/vvga.h"
#include "tests/unit/fake_ports.h"

static struct guest *guest;
static struct device *device;

static int setup(void **state)
{
    (void)state;
    guest = fake_guest(MIB(2), 1);
    device = fake_device(guest, &vvga_device);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

static uint8_t crtc(unsigned index)
{
    port_out(guest, 0x3d4, index);
    return port_in(guest, 0x3d5);
}

static void test_cursor_and_crtc(void **state)
{
    (void)state;
    assert_int_equal(crtc(0x0a), 0x0d);
    assert_int_equal(crtc(0x13), 0x28);
    /* One word write of index and data, as drivers do. */
    bus_write(&guest->ports, guest->vcpus[0], 0x3d4, 2, 0x070e);
    bus_write(&guest->ports, guest->vcpus[0], 0x3d4, 2, 0x800f);
    assert_int_equal(crtc(0x0e), 0x07);
    assert_int_equal(crtc(0x0f), 0x80);
    assert_int_equal(port_in(guest, 0x3d4), 0x0f);
    port_out(guest, 0x3d4, 0x07); /* protected but for the line compare bit */
    port_out(guest, 0x3d5, 0xef);
    assert_int_equal(crtc(0x07), 0x0f);
    port_out(guest, 0x3d4, 0x00);
    port_out(guest, 0x3d5, 0xaa);
    assert_int_equal(crtc(0x00), 0x5f);
    port_out(guest, 0x3d4, 0x11);
    port_out(guest, 0x3d5, 0x0e);
    port_out(guest, 0x3d4, 0x00);
    port_out(guest, 0x3d5, 0xaa);
    assert_int_equal(crtc(0x00), 0xaa);
    assert_int_equal(crtc(0x1f), 0);
    port_out(guest, 0x3d5, 0xff);
    assert_int_equal(port_in(guest, 0x3b4), 0xff);
    assert_int_equal(port_in(guest, 0x3b5), 0xff);
}

static void test_attribute_flip_flop(void **state)
{
    (void)state;
    (void)port_in(guest, 0x3da);
    port_out(guest, 0x3c0, 0x30);
    port_out(guest, 0x3c0, 0x04); /* mode control */
    port_out(guest, 0x3c0, 0x30);
    assert_int_equal(port_in(guest, 0x3c0), 0x30);
    assert_int_equal(port_in(guest, 0x3c1), 0x04);
    (void)port_in(guest, 0x3da); /* back to index */
    port_out(guest, 0x3c0, 0x06);
    assert_int_equal(port_in(guest, 0x3c1), 0x14);
    port_out(guest, 0x3c0, 0x55);
    assert_int_equal(port_in(guest, 0x3c1), 0x55);
    port_out(guest, 0x3c0, 0x1f);
    port_out(guest, 0x3c0, 0x77);
    assert_int_equal(port_in(guest, 0x3c1), 0);
}

static void test_palette(void **state)
{
    (void)state;
    static const uint8_t brown[3] = {0x2a, 0x15, 0x00};
    port_out(guest, 0x3c7, 0x14); /* where the attribute controller's colour 6 points */
    assert_int_equal(port_in(guest, 0x3c7) & 3, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(port_in(guest, 0x3c9), brown[i]);
    port_out(guest, 0x3c8, 0xff);
    for (unsigned i = 0; i < 6; i++) /* runs on into colour 0 */
        port_out(guest, 0x3c9, 0xc1 + i);
    assert_int_equal(port_in(guest, 0x3c7) & 3, 0);
    assert_int_equal(port_in(guest, 0x3c8), 1);
    port_out(guest, 0x3c7, 0xff);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(port_in(guest, 0x3c9), 1 + i);
    port_out(guest, 0x3c8, 0x10);
    port_out(guest, 0x3c9, 0x3f); /* one byte of three: no effect yet */
    port_out(guest, 0x3c7, 0x10);
    assert_int_equal(port_in(guest, 0x3c9), 0);
    assert_int_equal(port_in(guest, 0x3c6), 0xff);
}

static void test_other_groups(void **state)
{
    (void)state;
    assert_int_equal(port_in(guest, 0x3cc), 0x67);
    port_out(guest, 0x3c2, 0xe3);
    assert_int_equal(port_in(guest, 0x3cc), 0xe3);
    bus_write(&guest->ports, guest->vcpus[0], 0x3c4, 2, 0x0f02);
    assert_int_equal(bus_read(&guest->ports, guest->vcpus[0], 0x3c4, 2), 0x0f02);
    bus_write(&guest->ports, guest->vcpus[0], 0x3ce, 2, 0x0506);
    assert_int_equal(bus_read(&guest->ports, guest->vcpus[0], 0x3ce, 2), 0x0506);
    port_out(guest, 0x3ce, 0xff);
    port_out(guest, 0x3cf, 0xff);
    assert_int_equal(port_in(guest, 0x3cf), 0);
    device->ops->reset(device);
    assert_int_equal(port_in(guest, 0x3cc), 0x67);
}

static void test_retrace_toggles(void **state)
{
    unsigned retraces = 0, blanks = 0;
    uint8_t last = 0;

    (void)state;
    for (unsigned i = 0; i < 100000; i++) { /* one second, sampled each 10 microseconds */
        uint8_t status = port_in(guest, 0x3da);
        retraces += (status & ~last & 0x08) != 0;
        blanks += (status & 0x01) != 0;
        last = status;
        fake_machine.ticks += 10000;
    }
    assert_in_range(retraces, 69, 71);
    assert_in_range(blanks, 20000, 40000);
}

static void test_hostile_bytes(void **state)
{
    uint32_t seed = 9;

    (void)state;
    for (unsigned i = 0; i < 300000; i++) {
        seed = seed * 1664525u + 1013904223u;
        uint16_t port = (uint16_t)(0x3c0 + (seed >> 24 & 0x1f));
        unsigned size = 1u << (seed >> 22 & 3);
        if (seed & 0x1000)
            (void)bus_read(&guest->ports, guest->vcpus[0], port, size);
        else
            bus_write(&guest->ports, guest->vcpus[0], port, size, (uint64_t)seed * seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cursor_and_crtc, setup, teardown),
        cmocka_unit_test_setup_teardown(test_attribute_flip_flop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_palette, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_groups, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retrace_toggles, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_bytes, setup, teardown),
    };
    return cmocka_run_group_tests_name("vvga", tests, NULL, NULL);
}
