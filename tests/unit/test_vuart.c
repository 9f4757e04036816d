/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The 16550A: registers, both directions, every interrupt and its priority, loopback, back-pressure, and the
 * probes that drivers make.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "drivers/virtual/vuart.h"
#include "tests/unit/fake_ports.h"

#define RBR 0x3f8
#define THR 0x3f8
#define IER 0x3f9
#define IIR 0x3fa
#define FCR 0x3fa
#define LCR 0x3fb
#define MCR 0x3fc
#define LSR 0x3fd
#define MSR 0x3fe
#define SCR 0x3ff

static struct guest *guest;
static struct device *device;
static struct console_port *wire;

static int setup(void **state)
{
    (void)state;
    guest = fake_guest(MIB(2), 1);
    device = fake_device(guest, &vuart_device);
    wire = fake_console_port;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

static uint8_t in(uint16_t port)
{
    return port_in(guest, port);
}

static void out(uint16_t port, unsigned value)
{
    port_out(guest, port, value);
}

static bool interrupt(void)
{
    return line_level(guest, IRQ_COM1);
}

static void type(const char *text)
{
    while (*text != 0)
        assert_true(ring_put(&wire->in, (uint8_t)*text++));
    wire->changed(wire->context);
}

static void fill_out(uint32_t leave)
{
    while (ring_free(&wire->out) > leave)
        ring_put(&wire->out, 'x');
}

static void drain_out(uint32_t count)
{
    uint8_t byte;

    while (count-- > 0)
        assert_true(ring_take(&wire->out, &byte));
}

static void test_registers(void **state)
{
    (void)state;
    assert_int_equal(in(IER), 0);
    assert_int_equal(in(IIR), 0x01);
    assert_int_equal(in(LSR), 0x60);
    assert_int_equal(in(MSR), 0xb0);
    out(SCR, 0x5a);
    assert_int_equal(in(SCR), 0x5a);
    out(IER, 0xff);
    assert_int_equal(in(IER), 0x0f);
    out(MCR, 0xff);
    assert_int_equal(in(MCR), 0x1f);
    out(LCR, 0x9b);
    out(RBR, 0x34);
    out(IER, 0x12);
    assert_int_equal(in(RBR), 0x34);
    assert_int_equal(in(IER), 0x12);
    assert_int_equal(in(LCR), 0x9b);
    out(LCR, 0x1b);
    assert_int_equal(in(IER), 0x0f);
    assert_int_equal(ring_used(&wire->out), 0);
    out(LSR, 0xff);
    out(MSR, 0xff);
    assert_int_equal(in(LSR), 0x60);
}

static void test_linux_autoconfig(void **state)
{
    (void)state;
    out(IER, 0);
    out(MCR, 0x10 | 0x0a);
    assert_int_equal(in(MSR)&0xf0, 0x90);
    out(MCR, 0);
    out(LCR, 0xbf); /* no enhanced features: a FIFO control write is all that happens */
    out(FCR, 0);
    out(LCR, 0);
    out(FCR, 1);
    assert_int_equal(in(IIR) >> 6, 3);
    out(FCR, 0);
    assert_int_equal(in(IIR) >> 6, 0);
    out(FCR, 0xc6); /* bits without bit 0 do not count */
    assert_int_equal(in(IIR), 0x01);
    out(FCR, 0x21 | 1);
    assert_int_equal(in(IIR)&0x30, 0); /* no 64-byte FIFO */
    /* The test for a lost THRE interrupt: twice enabled, twice there. */
    out(IER, 2);
    assert_int_equal(in(IIR), 0xc2);
    assert_int_equal(in(IIR), 0xc1);
    out(IER, 0);
    out(IER, 2);
    assert_int_equal(in(IIR), 0xc2);
}

static void test_transmit_and_its_interrupt(void **state)
{
    uint8_t byte;

    (void)state;
    out(MCR, 0x08);
    out(IER, 2);
    assert_true(interrupt());
    assert_int_equal(in(IIR), 0x02);
    assert_false(interrupt());
    out(THR, 'a');
    assert_true(interrupt());
    out(IER, 0);
    assert_false(interrupt());
    out(IER, 2);
    assert_true(interrupt());
    out(IER, 3); /* 1 to 1 raises nothing new, but what is due stays */
    assert_int_equal(in(IIR), 0x02);
    out(IER, 2);
    assert_int_equal(in(IIR), 0x01);
    assert_true(ring_take(&wire->out, &byte));
    assert_int_equal(byte, 'a');
    out(THR, 'A');
    assert_int_equal(in(IIR), 0x02);
    assert_int_equal(in(LSR), 0x60); /* looking does not raise it again */
    assert_int_equal(in(IIR), 0x01);
    out(MCR, 0); /* OUT2 gates the line */
    out(THR, 'b');
    assert_false(interrupt());
    out(MCR, 0x08);
    assert_true(interrupt());
}

static void test_back_pressure(void **state)
{
    (void)state;
    out(MCR, 0x08);
    out(FCR, 1);
    out(IER, 2);
    (void)in(IIR);
    fill_out(16);
    assert_int_equal(in(LSR), 0x60);
    assert_int_equal(wire->wants_room, 0);
    for (unsigned i = 0; i < 16; i++) /* a driver sends a whole FIFO after one look */
        out(THR, '0' + i);
    assert_int_equal(ring_free(&wire->out), 0);
    assert_int_equal(in(LSR), 0x00);
    assert_int_equal(wire->wants_room, 1);
    assert_false(interrupt());
    assert_int_equal(in(IIR), 0xc1);
    out(THR, '!'); /* nobody has asked for it */
    assert_int_equal(ring_free(&wire->out), 0);
    drain_out(15);
    wire->wants_room = 0;
    wire->changed(wire->context); /* too little */
    assert_int_equal(wire->wants_room, 1);
    assert_false(interrupt());
    drain_out(1);
    wire->wants_room = 0;
    wire->changed(wire->context);
    assert_int_equal(wire->wants_room, 0);
    assert_true(interrupt());
    assert_int_equal(in(IIR), 0xc2);
    assert_int_equal(in(LSR), 0x60);
    /* A guest that polls sees the room without being told. */
    fill_out(0);
    assert_int_equal(in(LSR), 0x00);
    drain_out(16);
    assert_int_equal(in(LSR), 0x60);
}

static void test_receive_without_fifo(void **state)
{
    (void)state;
    out(MCR, 0x08);
    out(IER, 1);
    type("ab");
    assert_true(interrupt());
    assert_int_equal(in(IIR), 0x04);
    assert_int_equal(in(LSR), 0x61);
    assert_int_equal(ring_used(&wire->in), 1); /* the second waits on the wire: no overrun */
    assert_int_equal(in(RBR), 'a');
    assert_true(interrupt());
    assert_int_equal(in(RBR), 'b');
    assert_false(interrupt());
    assert_int_equal(in(LSR), 0x60);
    assert_int_equal(in(RBR), 'b');
}

static void test_receive_fifo_trigger_and_timeout(void **state)
{
    (void)state;
    out(LCR, 0x80);
    out(RBR, 1);
    out(IER, 0);
    out(LCR, 3);
    out(MCR, 0x08);
    out(FCR, 0x81); /* trigger 8 */
    out(IER, 1);
    type("1234567");
    assert_false(interrupt());
    assert_int_equal(in(IIR), 0xc1);
    assert_int_equal(in(LSR), 0x61);
    type("8");
    assert_true(interrupt());
    assert_int_equal(in(IIR), 0xc4);
    assert_int_equal(in(RBR), '1');
    assert_false(interrupt());
    fake_advance_ns(guest, 340000); /* four characters of ten bits at 115200: 347 microseconds */
    assert_false(interrupt());
    fake_advance_ns(guest, 10000);
    assert_true(interrupt());
    assert_int_equal(in(IIR), 0xcc);
    type("9"); /* what comes does not take the time-out back */
    assert_int_equal(in(IIR), 0xc4);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(in(RBR), '2' + i);
    assert_false(interrupt());
    assert_true(timer_next(guest->vcpus[0]) == TIMER_NEVER);
    assert_int_equal(in(LSR), 0x60);
}

static void test_receive_more_than_the_fifo(void **state)
{
    (void)state;
    out(FCR, 1);
    type("0123456789abcdefghijklmnopqrst");
    assert_int_equal(ring_used(&wire->in), 14);
    for (unsigned i = 0; i < 30; i++) {
        assert_int_equal(in(LSR), 0x61);
        assert_int_equal(in(RBR), "0123456789abcdefghijklmnopqrst"[i]);
    }
    assert_int_equal(in(LSR), 0x60);
    type("xy");
    out(FCR, 3); /* clear */
    assert_int_equal(in(LSR), 0x60);
    assert_int_equal(in(IIR), 0xc1);
}

static void test_loopback(void **state)
{
    (void)state;
    type("w");
    assert_int_equal(in(RBR), 'w');
    out(MCR, 0x1e); /* as OSDev's example does */
    type("z");      /* the wire is off */
    out(THR, 0xae);
    assert_int_equal(ring_used(&wire->out), 0);
    assert_int_equal(in(LSR), 0x61);
    assert_int_equal(in(RBR), 0xae);
    assert_int_equal(in(LSR), 0x60);
    out(THR, 1);
    out(THR, 2); /* overruns the only register */
    assert_int_equal(in(LSR), 0x63);
    assert_int_equal(in(LSR), 0x61);
    assert_int_equal(in(RBR), 2);
    out(FCR, 1);
    for (unsigned i = 0; i < 17; i++)
        out(THR, i);
    assert_int_equal(in(LSR), 0x63);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(in(RBR), i);
    out(LCR, 0); /* five bits */
    out(THR, 0xff);
    assert_int_equal(in(RBR), 0x1f);
    out(THR, 'a');
    out(LCR, 0x40); /* a break behind a good character */
    assert_int_equal(in(LSR), 0xe1);
    (void)in(RBR);
    assert_int_equal(in(LSR), 0xf9);
    assert_int_equal(in(RBR), 0);
    out(MCR, 0);
    assert_int_equal(in(RBR), 'z');
}

static void test_modem_status(void **state)
{
    (void)state;
    out(IER, 8);
    (void)in(MSR);
    out(MCR, 0x10);
    assert_int_equal(in(IIR), 0x00);
    assert_int_equal(in(MSR), 0x0b); /* CTS, DSR and DCD went away */
    assert_int_equal(in(IIR), 0x01);
    out(MCR, 0x14);
    assert_int_equal(in(MSR), 0x40); /* the ring indicator rises silently */
    out(MCR, 0x10);
    assert_int_equal(in(MSR), 0x04);
    out(MCR, 0x1f);
    assert_int_equal(in(MSR), 0xfb);
}

static void test_interrupt_priority(void **state)
{
    (void)state;
    out(IER, 0x0f);
    out(MCR, 0x10);
    out(THR, 1);
    out(THR, 2);
    assert_int_equal(in(IIR), 0x06);
    (void)in(LSR);
    assert_int_equal(in(IIR), 0x04);
    (void)in(RBR);
    assert_int_equal(in(IIR), 0x02);
    assert_int_equal(in(IIR), 0x00);
    (void)in(MSR);
    assert_int_equal(in(IIR), 0x01);
    assert_false(interrupt()); /* loopback holds OUT2 back */
}

static void test_reset_keeps_the_console(void **state)
{
    (void)state;
    out(MCR, 0x08);
    out(IER, 0x0f);
    out(THR, 'k');
    type("abc");
    assert_true(interrupt());
    device->ops->reset(device);
    assert_int_equal(fake_console_port->life_begins, fake_console_port->out.head);
    assert_int_not_equal(fake_console_port->out.head, 0);
    assert_false(interrupt());
    assert_int_equal(ring_used(&wire->out), 1);
    assert_int_equal(in(IER), 0);
    assert_int_equal(in(LCR), 3);
}

static void test_hostile_bytes(void **state)
{
    uint32_t seed = 3;
    uint8_t byte;

    (void)state;
    for (unsigned i = 0; i < 400000; i++) {
        seed = seed * 1664525u + 1013904223u;
        uint16_t port = (uint16_t)(0x3f8 + (seed >> 24 & 7));
        switch (seed >> 20 & 7) {
        case 0:
        case 1:
        case 2: (void)in(port); break;
        case 3: ring_put(&wire->in, (uint8_t)(seed >> 12)); break;
        case 4: wire->changed(wire->context); break;
        case 5:
            for (unsigned j = seed >> 12 & 0xff; j > 0; j--)
                (void)ring_take(&wire->out, &byte);
            break;
        default: out(port, seed >> 12 & 0xff);
        }
        if ((seed & 0xf00) == 0)
            fake_advance_ns(guest, seed >> 8 & 0xffff);
        assert_true(ring_used(&wire->out) <= RING_SIZE);
    }
    device->ops->reset(device);
    assert_false(interrupt());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_registers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_linux_autoconfig, setup, teardown),
        cmocka_unit_test_setup_teardown(test_transmit_and_its_interrupt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_back_pressure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_receive_without_fifo, setup, teardown),
        cmocka_unit_test_setup_teardown(test_receive_fifo_trigger_and_timeout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_receive_more_than_the_fifo, setup, teardown),
        cmocka_unit_test_setup_teardown(test_loopback, setup, teardown),
        cmocka_unit_test_setup_teardown(test_modem_status, setup, teardown),
        cmocka_unit_test_setup_teardown(test_interrupt_priority, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_keeps_the_console, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_bytes, setup, teardown),
    };
    return cmocka_run_group_tests_name("vuart", tests, NULL, NULL);
}
