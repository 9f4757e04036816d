/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The 8042 without a keyboard, and the chipset ports that share its A20 gate and reset.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "drivers/virtual/vkeyboard.h"
#include "drivers/virtual/vsystem.h"
#include "tests/unit/fake_ports.h"

#define DATA    0x60
#define COMMAND 0x64
#define FULL    0x01

static struct guest *guest;
static struct device *keyboard;
static struct device *chipset;

static int setup(void **state)
{
    (void)state;
    guest = fake_guest(MIB(2), 1);
    chipset = fake_device(guest, &vsystem_device);
    keyboard = fake_device(guest, &vkeyboard_device);
    memset(&fake_calls, 0, sizeof(fake_calls));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

/* Send a command whose answer is expected at once. */
static uint8_t ask(unsigned command)
{
    assert_int_equal(port_in(guest, COMMAND) & 0x02, 0);
    port_out(guest, COMMAND, command);
    assert_int_equal(port_in(guest, COMMAND) & FULL, FULL);
    return port_in(guest, DATA);
}

static void test_controller_commands(void **state)
{
    (void)state;
    assert_int_equal(port_in(guest, COMMAND), 0x1c);
    assert_int_equal(ask(0xaa), 0x55);
    assert_int_equal(port_in(guest, COMMAND), 0x1c);
    assert_int_equal(ask(0xab), 0x00);
    assert_int_equal(ask(0x20), 0x65);
    port_out(guest, COMMAND, 0x60);
    port_out(guest, DATA, 0x54);
    assert_int_equal(port_in(guest, COMMAND), 0x14);
    assert_int_equal(ask(0x20), 0x54);
    port_out(guest, COMMAND, 0xae);
    assert_int_equal(ask(0x20), 0x44);
    port_out(guest, COMMAND, 0xad);
    port_out(guest, COMMAND, 0xa7);
    assert_int_equal(ask(0x20), 0x74);
    port_out(guest, COMMAND, 0x7f);
    port_out(guest, DATA, 0x99);
    assert_int_equal(ask(0x3f), 0x99);
    assert_int_equal(ask(0xc0) & 0x80, 0x80);
    port_out(guest, COMMAND, 0xb8); /* unknown */
    assert_int_equal(port_in(guest, COMMAND) & FULL, 0);
}

static void test_interrupt_line(void **state)
{
    (void)state;
    port_out(guest, COMMAND, 0xaa);
    assert_true(line_level(guest, IRQ_KEYBOARD));
    (void)port_in(guest, DATA);
    assert_false(line_level(guest, IRQ_KEYBOARD));
    port_out(guest, COMMAND, 0x60);
    port_out(guest, DATA, 0x64);
    port_out(guest, COMMAND, 0xaa);
    assert_false(line_level(guest, IRQ_KEYBOARD));
    port_out(guest, COMMAND, 0xd2);
    port_out(guest, DATA, 0x1c);
    assert_int_equal(port_in(guest, DATA), 0x1c);
}

/* Linux asks for the keyboard's id, then tries its lights; both are refused soon, and there is no mouse port. */
static void test_linux_probe(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        port_out(guest, DATA, i == 0 ? 0xf2 : 0xed);
        assert_int_equal(port_in(guest, COMMAND) & FULL, 0);
        fake_advance_ns(guest, 6000000);
        assert_true(line_level(guest, IRQ_KEYBOARD));
        assert_int_equal(port_in(guest, COMMAND) & 0xe1, 0x41); /* time-out, not the mouse's */
        assert_int_equal(port_in(guest, DATA), 0xfe);
        assert_int_equal(port_in(guest, COMMAND) & 0x41, 0);
    }
    port_out(guest, COMMAND, 0xd3);
    port_out(guest, DATA, 0x5a);
    assert_int_equal(port_in(guest, COMMAND) & 0x21, 0x01);
    assert_int_equal(port_in(guest, DATA), 0x5a);
    uint8_t test = ask(0xa9);
    assert_true(test != 0 && test != 0xfa && test != 0xff);
    port_out(guest, COMMAND, 0xd4);
    port_out(guest, DATA, 0xff);
    fake_advance_ns(guest, 100000000);
    assert_int_equal(port_in(guest, COMMAND) & FULL, 0);
}

static void test_resending_for_ever_is_slow(void **state)
{
    unsigned answers = 0;

    (void)state;
    port_out(guest, DATA, 0xff);
    for (unsigned i = 0; i < 1000; i++) {
        fake_advance_ns(guest, 1000000);
        if (port_in(guest, COMMAND) & FULL) {
            answers++;
            (void)port_in(guest, DATA);
            port_out(guest, DATA, 0xff);
        }
    }
    assert_in_range(answers, 100, 200);
}

static void test_timeout_waits_for_room(void **state)
{
    (void)state;
    port_out(guest, DATA, 0xff);
    port_out(guest, COMMAND, 0xaa);
    fake_advance_ns(guest, 10000000);
    assert_int_equal(port_in(guest, DATA), 0x55);
    assert_int_equal(port_in(guest, DATA), 0xfe);
    assert_int_equal(port_in(guest, COMMAND) & FULL, 0);
}

static void test_a20(void **state)
{
    (void)state;
    assert_int_equal(port_in(guest, 0x92), 0x02);
    assert_int_equal(ask(0xd0) & 0x03, 0x03);
    port_out(guest, COMMAND, 0xd1);
    port_out(guest, DATA, 0xdd);
    assert_int_equal(port_in(guest, 0x92), 0x00);
    assert_int_equal(ask(0xd0) & 0x02, 0x00);
    port_out(guest, 0x92, 0x02);
    assert_int_equal(ask(0xd0) & 0x02, 0x02);
    port_out(guest, COMMAND, 0xdd);
    assert_int_equal(port_in(guest, 0x92), 0x00);
    port_out(guest, COMMAND, 0xdf);
    assert_int_equal(port_in(guest, 0x92), 0x02);
    assert_int_equal(fake_calls.resets, 0);
    port_out(guest, 0x92, 0x00);
    chipset->ops->reset(chipset);
    assert_int_equal(port_in(guest, 0x92), 0x02);
}

static void test_resets(void **state)
{
    (void)state;
    port_out(guest, COMMAND, 0xff); /* pulses nothing */
    assert_int_equal(fake_calls.resets, 0);
    port_out(guest, COMMAND, 0xfe);
    assert_int_equal(fake_calls.resets, 1);
    port_out(guest, COMMAND, 0xd1);
    port_out(guest, DATA, 0x02);
    assert_int_equal(fake_calls.resets, 2);
    port_out(guest, 0x92, 0x03);
    assert_int_equal(fake_calls.resets, 3);
    port_out(guest, 0x92, 0x03); /* no rising bit */
    assert_int_equal(fake_calls.resets, 3);
    system_reset_control_write(guest, 0x02);
    assert_int_equal(fake_calls.resets, 3);
    system_reset_control_write(guest, 0x06);
    system_reset_control_write(guest, 0x06);
    assert_int_equal(fake_calls.resets, 4);
    assert_int_equal(system_reset_control_read(guest), 0x06);
}

static void test_post_and_delay(void **state)
{
    (void)state;
    port_out(guest, 0x80, 0x5a);
    port_out(guest, 0xed, 0x5a);
    assert_int_equal(port_in(guest, 0x80), 0x5a);
    assert_int_equal(port_in(guest, 0xed), 0xff);
    assert_int_equal(guest->ports.accesses_unclaimed, 0);
}

static void test_without_chipset(void **state)
{
    (void)state;
    guest = fake_guest(MIB(2), 1);
    keyboard = fake_device(guest, &vkeyboard_device);
    assert_true(system_a20(guest));
    port_out(guest, COMMAND, 0xdd);
    assert_int_equal(ask(0xd0) & 0x02, 0x02);
    assert_int_equal(system_reset_control_read(guest), 0xff);
    system_reset_control_write(guest, 0x06);
}

static void test_reset_and_hostile_bytes(void **state)
{
    uint32_t seed = 5;

    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        seed = seed * 1664525u + 1013904223u;
        uint16_t port = seed & 0x800 ? DATA : COMMAND;
        if (seed & 0x1000)
            (void)port_in(guest, port);
        else
            port_out(guest, port, seed >> 24);
        if ((seed & 0x6000) == 0)
            fake_advance_ns(guest, seed >> 10);
    }
    keyboard->ops->reset(keyboard);
    assert_false(line_level(guest, IRQ_KEYBOARD));
    assert_int_equal(port_in(guest, COMMAND), 0x1c);
    assert_true(timer_next(guest->vcpus[0]) == TIMER_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_controller_commands, setup, teardown),
        cmocka_unit_test_setup_teardown(test_interrupt_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_linux_probe, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resending_for_ever_is_slow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timeout_waits_for_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a20, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_post_and_delay, setup, teardown),
        cmocka_unit_test_teardown(test_without_chipset, teardown),
        cmocka_unit_test_setup_teardown(test_reset_and_hostile_bytes, setup, teardown),
    };
    return cmocka_run_group_tests_name("vkeyboard and vsystem", tests, NULL, NULL);
}
