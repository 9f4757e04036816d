/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The 8259 pair: initialisation, priorities, every kind of EOI, edge and level inputs, poll, spurious interrupts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "drivers/virtual/vpic.h"
#include "tests/unit/fake_ports.h"

#define MASTER 0x20
#define SLAVE  0xa0

static struct guest *guest;
static struct device *device;

static int pending(void)
{
    return guest->irq.pic_pending(guest->irq.pic_context);
}

static int acknowledge(void)
{
    return guest->irq.pic_acknowledge(guest->irq.pic_context);
}

/* As Linux does: vectors 0x30 and 0x38, 8086 mode, nothing masked. */
static void initialise(unsigned icw4)
{
    port_out(guest, MASTER, 0x11);
    port_out(guest, MASTER + 1, 0x30);
    port_out(guest, MASTER + 1, 0x04);
    port_out(guest, MASTER + 1, icw4);
    port_out(guest, SLAVE, 0x11);
    port_out(guest, SLAVE + 1, 0x38);
    port_out(guest, SLAVE + 1, 0x02);
    port_out(guest, SLAVE + 1, icw4 & ~0x10u);
}

static void pulse(unsigned line)
{
    irq_set(guest, line, false);
    irq_set(guest, line, true);
}

static uint8_t read_irr(uint16_t chip)
{
    port_out(guest, chip, 0x0a);
    return port_in(guest, chip);
}

static uint8_t read_isr(uint16_t chip)
{
    port_out(guest, chip, 0x0b);
    return port_in(guest, chip);
}

static int setup(void **state)
{
    (void)state;
    guest = fake_guest(MIB(2), 1);
    device = fake_device(guest, &vpic_device);
    guest->vcpus[0]->requests = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

static void test_masked_after_reset(void **state)
{
    (void)state;
    assert_int_equal(port_in(guest, MASTER + 1), 0xff);
    assert_int_equal(port_in(guest, SLAVE + 1), 0xff);
    for (unsigned line = 0; line < IRQ_LINES; line++)
        irq_set(guest, line, true);
    assert_int_equal(pending(), IRQ_NONE);
    assert_int_equal(guest->vcpus[0]->requests, 0);
    assert_int_equal(read_irr(MASTER), 0xfb); /* line 2 is no device's */
}

static void test_delivery_and_request(void **state)
{
    (void)state;
    initialise(1);
    irq_set(guest, 4, true);
    assert_int_equal(guest->vcpus[0]->requests, REQUEST_EVENT);
    assert_int_equal(pending(), 0x34);
    assert_int_equal(pending(), 0x34);
    assert_int_equal(acknowledge(), 0x34);
    assert_int_equal(read_isr(MASTER), 0x10);
    assert_int_equal(read_irr(MASTER), 0x00);
    assert_int_equal(pending(), IRQ_NONE);
    irq_set(guest, 4, true); /* still high: no new edge */
    port_out(guest, MASTER, 0x20);
    assert_int_equal(read_isr(MASTER), 0);
    assert_int_equal(pending(), IRQ_NONE);
}

static void test_priorities_nest(void **state)
{
    (void)state;
    initialise(1);
    pulse(4);
    assert_int_equal(acknowledge(), 0x34);
    pulse(5);
    assert_int_equal(pending(), IRQ_NONE);
    guest->vcpus[0]->requests = 0;
    pulse(1);
    assert_int_equal(guest->vcpus[0]->requests, REQUEST_EVENT);
    assert_int_equal(acknowledge(), 0x31);
    assert_int_equal(read_isr(MASTER), 0x12);
    port_out(guest, MASTER, 0x20); /* ends 1 */
    assert_int_equal(read_isr(MASTER), 0x10);
    assert_int_equal(pending(), IRQ_NONE);
    port_out(guest, MASTER, 0x64); /* specific EOI of 4 */
    assert_int_equal(acknowledge(), 0x35);
}

static void test_cascade(void **state)
{
    (void)state;
    initialise(1);
    pulse(8);
    pulse(3);
    assert_int_equal(acknowledge(), 0x38); /* the slave sits at input 2 */
    assert_int_equal(read_isr(MASTER), 0x04);
    assert_int_equal(read_isr(SLAVE), 0x01);
    pulse(12);
    assert_int_equal(pending(), IRQ_NONE);
    port_out(guest, SLAVE, 0x20);
    assert_int_equal(pending(), IRQ_NONE); /* the master still holds its input 2 */
    port_out(guest, MASTER, 0x20);
    assert_int_equal(acknowledge(), 0x3c);
    port_out(guest, SLAVE, 0x20);
    port_out(guest, MASTER, 0x20);
    assert_int_equal(acknowledge(), 0x33);
}

static void test_special_fully_nested(void **state)
{
    (void)state;
    initialise(0x11);
    pulse(12);
    assert_int_equal(acknowledge(), 0x3c);
    pulse(13);
    assert_int_equal(pending(), IRQ_NONE);
    pulse(9);
    assert_int_equal(acknowledge(), 0x39);
    assert_int_equal(read_isr(SLAVE), 0x12);
}

static void test_edge_taken_back_is_spurious(void **state)
{
    (void)state;
    initialise(1);
    irq_set(guest, 4, true);
    irq_set(guest, 4, false);
    assert_int_equal(pending(), IRQ_NONE);
    assert_int_equal(acknowledge(), 0x37);
    assert_int_equal(read_isr(MASTER), 0); /* not in service */
    pulse(7);
    assert_int_equal(acknowledge(), 0x37);
    assert_int_equal(read_isr(MASTER), 0x80);
}

static void test_level_inputs(void **state)
{
    (void)state;
    initialise(1);
    assert_int_equal(port_in(guest, 0x4d0), 0x00);
    assert_int_equal(port_in(guest, 0x4d1), 0x02);
    port_out(guest, 0x4d0, 0xff);
    port_out(guest, 0x4d1, 0xff);
    assert_int_equal(port_in(guest, 0x4d0), 0xf8);
    assert_int_equal(port_in(guest, 0x4d1), 0xde);
    irq_set(guest, 5, true);
    assert_int_equal(acknowledge(), 0x35);
    port_out(guest, MASTER, 0x20);
    assert_int_equal(acknowledge(), 0x35); /* still high: again */
    irq_set(guest, 5, false);
    port_out(guest, MASTER, 0x20);
    assert_int_equal(pending(), IRQ_NONE);
    irq_set(guest, 5, true);
    port_out(guest, 0x4d0, 0); /* now edge: what was latched as a level does not count */
    assert_int_equal(pending(), IRQ_NONE);
}

static void test_auto_eoi_and_rotation(void **state)
{
    (void)state;
    initialise(3);
    pulse(3);
    pulse(4);
    guest->vcpus[0]->requests = 0;
    assert_int_equal(acknowledge(), 0x33);
    assert_int_equal(read_isr(MASTER), 0);
    assert_int_equal(guest->vcpus[0]->requests, REQUEST_EVENT); /* 4 is still due */
    assert_int_equal(acknowledge(), 0x34);
    port_out(guest, MASTER, 0x80); /* rotate in auto EOI */
    pulse(3);
    assert_int_equal(acknowledge(), 0x33); /* 3 is now lowest */
    pulse(3);
    pulse(5);
    assert_int_equal(acknowledge(), 0x35);
    port_out(guest, MASTER, 0x00);
    assert_int_equal(acknowledge(), 0x33);
}

static void test_rotation_commands(void **state)
{
    (void)state;
    initialise(1);
    port_out(guest, MASTER, 0xc4); /* 4 is lowest: 5 6 7 0 1 2 3 4 */
    pulse(1);
    pulse(6);
    assert_int_equal(acknowledge(), 0x36);
    port_out(guest, MASTER, 0xa0); /* rotate on unspecific EOI: 6 is lowest */
    pulse(7);
    assert_int_equal(acknowledge(), 0x37);
    port_out(guest, MASTER, 0xe7); /* rotate on specific EOI: 7 is lowest */
    assert_int_equal(acknowledge(), 0x31);
    port_out(guest, MASTER, 0x40); /* nothing */
    assert_int_equal(read_isr(MASTER), 0x02);
}

static void test_special_mask(void **state)
{
    (void)state;
    initialise(1);
    pulse(3);
    assert_int_equal(acknowledge(), 0x33);
    pulse(6);
    assert_int_equal(pending(), IRQ_NONE);
    port_out(guest, MASTER + 1, 0x08);
    port_out(guest, MASTER, 0x68); /* special mask on */
    assert_int_equal(acknowledge(), 0x36);
    port_out(guest, MASTER, 0x20); /* ends 6, not the masked 3 */
    assert_int_equal(read_isr(MASTER), 0x08);
    port_out(guest, MASTER, 0x20);
    assert_int_equal(read_isr(MASTER), 0x08);
    port_out(guest, MASTER, 0x48); /* off */
    port_out(guest, MASTER, 0x20);
    assert_int_equal(read_isr(MASTER), 0);
}

static void test_poll(void **state)
{
    (void)state;
    initialise(1);
    port_out(guest, MASTER, 0x0c);
    assert_int_equal(port_in(guest, MASTER) & 0x80, 0);
    pulse(4);
    port_out(guest, MASTER, 0x0c);
    assert_int_equal(port_in(guest, MASTER), 0x84);
    assert_int_equal(read_isr(MASTER), 0x10);
    assert_int_equal(pending(), IRQ_NONE);
    port_out(guest, MASTER, 0x20);
    pulse(10);
    port_out(guest, SLAVE, 0x0c);
    assert_int_equal(port_in(guest, SLAVE), 0x82);
    assert_int_equal(pending(), IRQ_NONE); /* the slave's output fell */
    assert_int_equal(read_isr(MASTER), 0);
}

static void test_initialisation_sequences(void **state)
{
    (void)state;
    initialise(1);
    pulse(4);
    port_out(guest, MASTER, 0x11); /* forgets edges; nothing comes out until the last word */
    assert_int_equal(pending(), IRQ_NONE);
    pulse(5);
    assert_int_equal(pending(), IRQ_NONE);
    port_out(guest, MASTER + 1, 0x57);
    port_out(guest, MASTER + 1, 0x04);
    assert_int_equal(pending(), IRQ_NONE);
    port_out(guest, MASTER + 1, 0x01);
    assert_int_equal(acknowledge(), 0x55); /* the base's low bits do not count */
    port_out(guest, MASTER, 0x10);         /* no ICW4: no auto EOI */
    port_out(guest, MASTER + 1, 0x20);
    port_out(guest, MASTER + 1, 0x04);
    port_out(guest, MASTER + 1, 0xfe); /* the mask already */
    assert_int_equal(port_in(guest, MASTER + 1), 0xfe);
    port_out(guest, MASTER, 0x12); /* single: no ICW3 either, and no slave */
    port_out(guest, MASTER + 1, 0x20);
    port_out(guest, MASTER + 1, 0x00);
    assert_int_equal(port_in(guest, MASTER + 1), 0x00);
    port_out(guest, SLAVE + 1, 0x00);
    pulse(9);
    assert_int_equal(pending(), IRQ_NONE);
}

static void test_linux_probe(void **state)
{
    (void)state;
    port_out(guest, SLAVE + 1, 0xff);
    port_out(guest, MASTER + 1, 0xfb);
    assert_int_equal(port_in(guest, MASTER + 1), 0xfb);
}

static void test_reset_and_hostile_bytes(void **state)
{
    uint32_t seed = 1;

    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        seed = seed * 1664525u + 1013904223u;
        static const uint16_t ports[] = {0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1};
        uint16_t port = ports[(seed >> 24) % 6];
        switch (seed >> 20 & 3) {
        case 0: (void)port_in(guest, port); break;
        case 1: irq_set(guest, (seed >> 8) % IRQ_LINES, (seed & 0x1000) != 0); break;
        case 2: {
            int vector = pending();
            if (vector != IRQ_NONE) {
                assert_in_range(vector, 0, 255);
                assert_int_equal(acknowledge(), vector);
            } else {
                int spurious = acknowledge();
                assert_int_equal(spurious & 7, 7);
            }
            break;
        }
        default: port_out(guest, port, seed >> 12 & 0xff);
        }
    }
    device->ops->reset(device);
    assert_int_equal(pending(), IRQ_NONE);
    assert_int_equal(port_in(guest, MASTER + 1), 0xff);
    assert_int_equal(read_isr(MASTER), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_masked_after_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delivery_and_request, setup, teardown),
        cmocka_unit_test_setup_teardown(test_priorities_nest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cascade, setup, teardown),
        cmocka_unit_test_setup_teardown(test_special_fully_nested, setup, teardown),
        cmocka_unit_test_setup_teardown(test_edge_taken_back_is_spurious, setup, teardown),
        cmocka_unit_test_setup_teardown(test_level_inputs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_auto_eoi_and_rotation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rotation_commands, setup, teardown),
        cmocka_unit_test_setup_teardown(test_special_mask, setup, teardown),
        cmocka_unit_test_setup_teardown(test_poll, setup, teardown),
        cmocka_unit_test_setup_teardown(test_initialisation_sequences, setup, teardown),
        cmocka_unit_test_setup_teardown(test_linux_probe, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_and_hostile_bytes, setup, teardown),
    };
    return cmocka_run_group_tests_name("vpic", tests, NULL, NULL);
}
