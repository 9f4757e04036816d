/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The 8254: all modes by counter value and output, latches, BCD, gate and port 0x61, and the tick's rate, phase and
 * bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "drivers/virtual/vpit.h"
#include "drivers/virtual/vpit_channel.h"
#include "tests/unit/fake_ports.h"

static struct guest *guest;
static struct device *device;
static unsigned rises;

static void count_rises(void *context, unsigned line, bool level)
{
    (void)context;
    if (line == IRQ_PIT && level)
        rises++;
}

static int setup(void **state)
{
    (void)state;
    guest = fake_guest(MIB(2), 1);
    irq_listen(guest, count_rises, NULL);
    device = fake_device(guest, &vpit_device);
    rises = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

/* ---- One counter, without ports ---- */

static struct pit_channel make(unsigned mode, uint16_t count, bool gate)
{
    struct pit_channel channel = {.gate = gate, .count = 1, .count_next = 1};

    pit_channel_control(&channel, (uint8_t)(0x30 | mode << 1), 0);
    pit_channel_write(&channel, (uint8_t)count, 0);
    pit_channel_write(&channel, (uint8_t)(count >> 8), 0);
    return channel;
}

static unsigned read_count(struct pit_channel *channel, uint64_t now)
{
    unsigned low = pit_channel_read(channel, now);

    return low | (unsigned)pit_channel_read(channel, now) << 8;
}

static void test_mode_0(void **state)
{
    struct pit_channel channel = make(0, 10, true);

    (void)state;
    assert_false(pit_channel_output(&channel, 0));
    assert_int_equal(read_count(&channel, 4), 6);
    assert_int_equal(pit_channel_next_rise(&channel, 4), 10);
    assert_false(pit_channel_output(&channel, 9));
    assert_true(pit_channel_output(&channel, 10));
    assert_int_equal(read_count(&channel, 10), 0);
    assert_int_equal(read_count(&channel, 11), 0xffff); /* it goes on */
    assert_true(pit_channel_output(&channel, 1000000));
    assert_int_equal(pit_channel_next_rise(&channel, 10), PIT_EDGE_NEVER);
    pit_channel_write(&channel, 5, 20); /* the first byte of a new count stops it */
    assert_false(pit_channel_output(&channel, 30));
    assert_int_equal(pit_channel_next_rise(&channel, 30), PIT_EDGE_NEVER);
    pit_channel_write(&channel, 0, 40);
    assert_int_equal(pit_channel_next_rise(&channel, 40), 45);
    pit_channel_set_gate(&channel, false, 42);
    assert_int_equal(read_count(&channel, 100), 3);
    assert_false(pit_channel_output(&channel, 100));
    pit_channel_set_gate(&channel, true, 100);
    assert_int_equal(pit_channel_next_rise(&channel, 100), 103);
}

static void test_mode_1(void **state)
{
    struct pit_channel channel = make(1, 10, false);

    (void)state;
    assert_true(pit_channel_output(&channel, 50));
    pit_channel_set_gate(&channel, true, 100);
    assert_false(pit_channel_output(&channel, 100));
    assert_int_equal(read_count(&channel, 103), 7);
    pit_channel_set_gate(&channel, false, 104); /* no effect */
    assert_int_equal(pit_channel_next_rise(&channel, 105), 110);
    pit_channel_set_gate(&channel, true, 106); /* again from the start */
    assert_false(pit_channel_output(&channel, 115));
    assert_true(pit_channel_output(&channel, 116));
}

static void test_mode_2(void **state)
{
    struct pit_channel channel = make(2, 10, true);

    (void)state;
    assert_true(pit_channel_output(&channel, 0));
    assert_int_equal(read_count(&channel, 0), 10);
    assert_int_equal(read_count(&channel, 9), 1);
    assert_false(pit_channel_output(&channel, 9));
    assert_true(pit_channel_output(&channel, 10));
    assert_int_equal(pit_channel_next_rise(&channel, 10), 20);
    pit_channel_write(&channel, 4, 13); /* in use from the next period on */
    pit_channel_write(&channel, 0, 13);
    assert_int_equal(read_count(&channel, 18), 2);
    assert_int_equal(pit_channel_next_rise(&channel, 18), 20);
    assert_int_equal(read_count(&channel, 20), 4);
    assert_int_equal(pit_channel_next_rise(&channel, 20), 24);
    pit_channel_set_gate(&channel, false, 23);
    assert_true(pit_channel_output(&channel, 23));
    assert_int_equal(read_count(&channel, 99), 1);
    pit_channel_set_gate(&channel, true, 100); /* starts over */
    assert_int_equal(read_count(&channel, 100), 4);
}

static void test_mode_3(void **state)
{
    struct pit_channel even = make(3, 8, true), odd = make(3, 7, true);
    static const uint8_t even_counts[8] = {8, 6, 4, 2, 8, 6, 4, 2};
    static const uint8_t odd_counts[7] = {6, 4, 2, 0, 6, 4, 2};

    (void)state;
    for (unsigned i = 0; i < 56; i++) {
        assert_int_equal(read_count(&even, i), even_counts[i % 8]);
        assert_int_equal(pit_channel_output(&even, i), i % 8 < 4);
        assert_int_equal(pit_channel_next_rise(&even, i), (i / 8 + 1) * 8);
        assert_int_equal(read_count(&odd, i), odd_counts[i % 7]);
        assert_int_equal(pit_channel_output(&odd, i), i % 7 < 4);
    }
    even = make(3, 8, true);
    pit_channel_write(&even, 6, 1); /* at the end of the high half: low for 3, then 3 high */
    pit_channel_write(&even, 0, 1);
    assert_int_equal(pit_channel_next_rise(&even, 2), 7);
    assert_true(pit_channel_output(&even, 3));
    for (unsigned i = 4; i < 40; i++)
        assert_int_equal(pit_channel_output(&even, i), (i - 4) % 6 >= 3);
    even = make(3, 8, true);
    pit_channel_write(&even, 6, 5); /* at the end of the low half */
    pit_channel_write(&even, 0, 5);
    assert_int_equal(pit_channel_next_rise(&even, 5), 8);
    assert_int_equal(pit_channel_next_rise(&even, 8), 14);
}

static void test_modes_4_and_5(void **state)
{
    struct pit_channel channel = make(4, 10, true);

    (void)state;
    assert_true(pit_channel_output(&channel, 9));
    assert_false(pit_channel_output(&channel, 10));
    assert_true(pit_channel_output(&channel, 11));
    assert_int_equal(pit_channel_next_rise(&channel, 0), 11);
    assert_int_equal(pit_channel_next_rise(&channel, 10), 11);
    assert_int_equal(pit_channel_next_rise(&channel, 11), PIT_EDGE_NEVER);
    channel = make(5, 10, true);
    assert_int_equal(pit_channel_next_rise(&channel, 0),
                     PIT_EDGE_NEVER); /* a gate that is high already starts nothing */
    pit_channel_set_gate(&channel, false, 20);
    pit_channel_set_gate(&channel, true, 30);
    assert_false(pit_channel_output(&channel, 40));
    assert_true(pit_channel_output(&channel, 41));
}

static void test_bcd(void **state)
{
    struct pit_channel channel = {.gate = true, .count = 1, .count_next = 1};

    (void)state;
    pit_channel_control(&channel, 0x30 | 2 << 1 | 1, 0);
    pit_channel_write(&channel, 0x34, 0);
    pit_channel_write(&channel, 0x12, 0);
    assert_int_equal(read_count(&channel, 0), 0x1234);
    assert_int_equal(read_count(&channel, 5), 0x1229);
    assert_int_equal(pit_channel_next_rise(&channel, 0), 1234);
    pit_channel_control(&channel, 0x30 | 1, 0); /* mode 0, count 0: 10000 */
    pit_channel_write(&channel, 0, 0);
    pit_channel_write(&channel, 0, 0);
    assert_int_equal(pit_channel_next_rise(&channel, 0), 10000);
    assert_int_equal(read_count(&channel, 1), 0x9999);
    pit_channel_write(&channel, 0xff, 0); /* digits of 15 */
    pit_channel_write(&channel, 0xff, 0);
    assert_true(pit_channel_next_rise(&channel, 0) <= 10000);
}

/* ---- Through the ports ---- */

static void run_clocks(uint64_t clocks)
{
    fake_advance_ns(guest, ticks_from_units(units_from_ticks(fake_machine.ticks, PIT_HZ) + clocks, PIT_HZ) -
                               fake_machine.ticks);
}

static void test_access_modes_and_latches(void **state)
{
    (void)state;
    port_out(guest, 0x61, 1);
    port_out(guest, 0x43, 0x94); /* channel 2, low byte only, mode 2 */
    port_out(guest, 0x42, 0x80);
    run_clocks(16);
    assert_int_equal(port_in(guest, 0x42), 0x70);
    assert_int_equal(port_in(guest, 0x42), 0x70);
    port_out(guest, 0x43, 0xa4); /* high byte only */
    port_out(guest, 0x42, 0x80);
    run_clocks(0x100);
    assert_int_equal(port_in(guest, 0x42), 0x7f);
    port_out(guest, 0x43, 0xb4); /* both */
    port_out(guest, 0x42, 0x00);
    port_out(guest, 0x42, 0x80);
    port_out(guest, 0x43, 0x80); /* latch 0x8000 */
    run_clocks(0x1234);
    port_out(guest, 0x43, 0x80); /* a second latch before the read does nothing */
    assert_int_equal(port_in(guest, 0x42), 0x00);
    assert_int_equal(port_in(guest, 0x42), 0x80);
    port_out(guest, 0x43, 0xc8); /* read back count and status of channel 2 */
    assert_int_equal(port_in(guest, 0x42), 0xb4);
    assert_int_equal(port_in(guest, 0x42), 0xcc);
    assert_int_equal(port_in(guest, 0x42), 0x6d);
    port_out(guest, 0x43, 0xe8); /* status only: a new count that is not in use yet */
    assert_int_equal(port_in(guest, 0x42), 0xb4);
    port_out(guest, 0x42, 0x10);
    port_out(guest, 0x42, 0x00);
    port_out(guest, 0x43, 0xe8);
    assert_int_equal(port_in(guest, 0x42), 0xf4);
    port_out(guest, 0x43, 0xb8); /* a control word: null count until a count comes */
    port_out(guest, 0x43, 0xe8);
    assert_int_equal(port_in(guest, 0x42), 0xf8);
    assert_int_equal(port_in(guest, 0x43), 0xff);
}

static void test_port_61(void **state)
{
    (void)state;
    assert_int_equal(port_in(guest, 0x61) & 0xcf, 0);
    port_out(guest, 0x43, 0xb0); /* as Linux calibrates the TSC: channel 2, mode 0 */
    port_out(guest, 0x61, 0x01);
    port_out(guest, 0x42, 0x10);
    port_out(guest, 0x42, 0x27);
    assert_int_equal(port_in(guest, 0x61) & 0x20, 0);
    run_clocks(0x270f);
    assert_int_equal(port_in(guest, 0x61) & 0x20, 0);
    run_clocks(1);
    assert_int_equal(port_in(guest, 0x61) & 0x20, 0x20);
    port_out(guest, 0x61, 0xfe);
    assert_int_equal(port_in(guest, 0x61) & 0xcf, 0x0e);
    uint8_t before = port_in(guest, 0x61) & 0x10;
    run_clocks(18);
    assert_int_not_equal(port_in(guest, 0x61) & 0x10, before);
}

static void set_rate(unsigned count)
{
    port_out(guest, 0x43, 0x34);
    port_out(guest, 0x40, count & 0xff);
    port_out(guest, 0x40, count >> 8);
}

static void test_tick_rate_and_phase(void **state)
{
    (void)state;
    fake_advance_ns(guest, 1000000000);
    assert_int_equal(rises, 18);
    set_rate(11932); /* 100 Hz */
    rises = 0;
    fake_advance_ns(guest, UINT64_C(1000000000) * 100);
    assert_int_equal(rises, 9999); /* 100 s * 1193182 / 11932: no drift */
    assert_true(line_level(guest, IRQ_PIT));
    /* Three and a half periods late: one tick, and the next at its old place. */
    rises = 0;
    uint64_t first = timer_next(guest->vcpus[0]);
    fake_machine.ticks = first + 35000000;
    timer_run_expired(guest->vcpus[0], fake_machine.ticks);
    assert_int_equal(rises, 1);
    assert_in_range(timer_next(guest->vcpus[0]), first + 40000000 - 10000, first + 40000000 + 10000);
}

static void test_one_shot(void **state)
{
    (void)state;
    port_out(guest, 0x43, 0x38); /* mode 4, as Linux's one-shot clock events */
    port_out(guest, 0x40, 0xe8);
    port_out(guest, 0x40, 0x03);
    run_clocks(1000);
    assert_int_equal(rises, 0);
    run_clocks(1);
    assert_int_equal(rises, 1);
    fake_advance_ns(guest, 1000000000);
    assert_int_equal(rises, 1);
    assert_true(timer_next(guest->vcpus[0]) == TIMER_NEVER);
    port_out(guest, 0x43, 0x30); /* mode 0 */
    assert_false(line_level(guest, IRQ_PIT));
    port_out(guest, 0x40, 0x10);
    assert_false(line_level(guest, IRQ_PIT));
    port_out(guest, 0x40, 0x00);
    run_clocks(16);
    assert_true(line_level(guest, IRQ_PIT));
    assert_int_equal(rises, 2);
}

static void test_late_edge_survives_reprogramming(void **state)
{
    (void)state;
    set_rate(11932);
    rises = 0;
    fake_machine.ticks += 12000000; /* a tick is due, and its timer has not run yet */
    port_out(guest, 0x43, 0x34);
    assert_int_equal(rises, 1);
    timer_run_expired(guest->vcpus[0], fake_machine.ticks);
    assert_int_equal(rises, 1);
}

static void test_tiny_period_is_bounded(void **state)
{
    (void)state;
    set_rate(1);
    fake_advance_ns(guest, 1000000);
    assert_in_range(rises, 10, 55);
    port_out(guest, 0x43, 0x16); /* mode 3, low byte, 1 */
    port_out(guest, 0x40, 1);
    rises = 0;
    fake_advance_ns(guest, 1000000);
    assert_in_range(rises, 10, 55);
}

static void test_reset_and_hostile_bytes(void **state)
{
    uint32_t seed = 7;

    (void)state;
    for (unsigned i = 0; i < 300000; i++) {
        seed = seed * 1664525u + 1013904223u;
        unsigned target = (seed >> 20) % 6;
        uint16_t port = target < 4 ? (uint16_t)(0x40 + target) : 0x61;
        if (seed & 0x1000)
            (void)port_in(guest, port);
        else
            port_out(guest, port, seed >> 24);
        fake_advance_ns(guest, seed >> 8 & 0xffff);
    }
    device->ops->reset(device);
    rises = 0;
    fake_advance_ns(guest, 1000000000);
    assert_int_equal(rises, 18);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mode_0),
        cmocka_unit_test(test_mode_1),
        cmocka_unit_test(test_mode_2),
        cmocka_unit_test(test_mode_3),
        cmocka_unit_test(test_modes_4_and_5),
        cmocka_unit_test(test_bcd),
        cmocka_unit_test_setup_teardown(test_access_modes_and_latches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_port_61, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tick_rate_and_phase, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_shot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_late_edge_survives_reprogramming, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tiny_period_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_and_hostile_bytes, setup, teardown),
    };
    return cmocka_run_group_tests_name("vpit", tests, NULL, NULL);
}
