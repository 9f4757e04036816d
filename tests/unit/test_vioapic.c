/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The IOAPIC: edges, levels, remote IRR, EOI, masks, delivery modes and its registers in every width.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "drivers/virtual/vioapic.h"
#include "drivers/virtual/vlapic.h"
#include "tests/unit/fake.h"
#include "tests/unit/fake_calls.h"

#define LEVEL      0x8000u
#define MASKED     0x10000u
#define REMOTE_IRR 0x4000u

static struct guest *guest;
static struct irq_message last;
static unsigned sent;

static void record(void *context, const struct irq_message *message)
{
    (void)context;
    last = *message;
    sent++;
}

static int start(void **state)
{
    (void)state;
    guest = fake_guest(MIB(4), 2);
    fake_device(guest, &vioapic_device);
    guest->irq.send = record;
    sent = 0;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

static uint32_t get(uint32_t index)
{
    bus_write(&guest->memory, guest->vcpus[0], VIOAPIC_BASE, 4, index);
    return (uint32_t)bus_read(&guest->memory, guest->vcpus[0], VIOAPIC_BASE + 0x10, 4);
}

static void put(uint32_t index, uint32_t value)
{
    bus_write(&guest->memory, guest->vcpus[0], VIOAPIC_BASE, 4, index);
    bus_write(&guest->memory, guest->vcpus[0], VIOAPIC_BASE + 0x10, 4, value);
}

static void put_entry(unsigned pin, uint32_t low, uint32_t destination)
{
    put(0x11 + 2 * pin, destination << 24);
    put(0x10 + 2 * pin, low);
}

static void identification(void **state)
{
    (void)state;
    assert_int_equal(get(0), 2u << 24); /* two vCPUs have 0 and 1 */
    assert_int_equal(get(1), 0x00170020);
    put(0, 0xffffffff);
    assert_int_equal(get(0), 0x0f000000);
    assert_int_equal(get(2), 0x0f000000);
    put(1, 0);
    assert_int_equal(get(1), 0x00170020);
    for (uint32_t pin = 0; pin < VIOAPIC_PINS; pin++) {
        assert_int_equal(get(0x10 + 2 * pin), MASKED);
        assert_int_equal(get(0x11 + 2 * pin), 0);
    }
}

static void an_edge_is_one_message(void **state)
{
    (void)state;
    put_entry(4, 0x34, 1);
    irq_set(guest, 4, true);
    assert_int_equal(sent, 1);
    assert_int_equal(last.vector, 0x34);
    assert_int_equal(last.destination, 1);
    assert_int_equal(last.delivery, IRQ_FIXED);
    assert_false(last.logical);
    assert_false(last.level);
    assert_null(last.sender);
    irq_set(guest, 4, true);
    irq_set(guest, 4, false);
    assert_int_equal(sent, 1);
    irq_set(guest, 4, true);
    assert_int_equal(sent, 2);
    irq_set(guest, 4, false);
    put_entry(4, 0x34 | MASKED, 1);
    irq_set(guest, 4, true); /* lost */
    put_entry(4, 0x34, 1);
    assert_int_equal(sent, 2);
}

static void the_8254_comes_in_at_pin_2(void **state)
{
    (void)state;
    put_entry(0, 0x30, 0);
    put_entry(2, 0x32, 0);
    irq_set(guest, IRQ_PIT, true);
    assert_int_equal(sent, 1);
    assert_int_equal(last.vector, 0x32);
    irq_set(guest, 2, true); /* the cascade is no pin */
    assert_int_equal(sent, 1);
    put_entry(23, 0x47, 0);
    irq_set(guest, 23, true);
    assert_int_equal(last.vector, 0x47);
}

static void a_level_waits_for_its_eoi(void **state)
{
    (void)state;
    put_entry(9, 0x51 | LEVEL, 0);
    irq_set(guest, 9, true);
    assert_int_equal(sent, 1);
    assert_true(last.level);
    assert_int_equal(get(0x10 + 18), 0x51 | LEVEL | REMOTE_IRR);
    irq_set(guest, 9, false);
    irq_set(guest, 9, true);
    assert_int_equal(sent, 1); /* not answered yet */
    irq_eoi(guest, 0x52);
    assert_int_equal(sent, 1); /* another's */
    irq_eoi(guest, 0x51);
    assert_int_equal(sent, 2); /* still asserted */
    irq_set(guest, 9, false);
    irq_eoi(guest, 0x51);
    assert_int_equal(sent, 2);
    assert_int_equal(get(0x10 + 18), 0x51 | LEVEL);
    put_entry(9, 0x51 | LEVEL | MASKED, 0);
    irq_set(guest, 9, true);
    assert_int_equal(sent, 2);
    put_entry(9, 0x51 | LEVEL, 0); /* a level is not lost under the mask */
    assert_int_equal(sent, 3);
}

static void one_eoi_answers_all_pins_of_the_vector(void **state)
{
    (void)state;
    put_entry(10, 0x61 | LEVEL, 0);
    put_entry(11, 0x61 | LEVEL, 0);
    irq_set(guest, 10, true);
    irq_set(guest, 11, true);
    irq_set(guest, 10, false);
    assert_int_equal(sent, 2);
    irq_eoi(guest, 0x61);
    assert_int_equal(sent, 3);
    assert_int_equal(get(0x10 + 20), 0x61 | LEVEL);
    assert_int_equal(get(0x10 + 22), 0x61 | LEVEL | REMOTE_IRR);
}

static void remote_irr_is_cleared_by_hand(void **state)
{
    (void)state;
    put_entry(9, 0x51 | LEVEL, 0);
    irq_set(guest, 9, true);
    put(0x10 + 18, 0x51 | LEVEL | MASKED | REMOTE_IRR);
    assert_int_equal(get(0x10 + 18), 0x51 | LEVEL | MASKED | REMOTE_IRR);
    bus_write(&guest->memory, guest->vcpus[0], VIOAPIC_BASE + 0x40, 4, 0x51); /* the EOI register */
    assert_int_equal(get(0x10 + 18), 0x51 | LEVEL | MASKED);
    put(0x10 + 18, 0x51 | LEVEL);
    assert_int_equal(sent, 2);
    put(0x10 + 18, 0x51 | MASKED); /* edge and back */
    put(0x10 + 18, 0x51 | LEVEL | MASKED);
    assert_int_equal(get(0x10 + 18), 0x51 | LEVEL | MASKED);
    put(0x10 + 18, 0x51 | REMOTE_IRR | 0x1000); /* read-only bits cannot be set */
    assert_int_equal(get(0x10 + 18), 0x51);
}

static void polarity_is_kept_and_changes_nothing(void **state)
{
    (void)state;
    put_entry(5, 0x35 | 0x2000, 0);
    assert_int_equal(get(0x10 + 10), 0x35 | 0x2000);
    assert_int_equal(sent, 0);
    irq_set(guest, 5, true);
    assert_int_equal(sent, 1);
}

static void other_delivery_modes_are_edges(void **state)
{
    (void)state;
    put_entry(6, 0x400 | LEVEL, 1); /* NMI */
    irq_set(guest, 6, true);
    assert_int_equal(last.delivery, IRQ_NMI);
    assert_false(last.level);
    assert_int_equal(get(0x10 + 12), 0x400 | LEVEL);
    put_entry(7, 0x500, 1);
    irq_set(guest, 7, true);
    assert_int_equal(last.delivery, IRQ_INIT);
    put_entry(8, 0x700, 0);
    irq_set(guest, 8, true);
    assert_int_equal(last.delivery, IRQ_EXTINT);
    put_entry(12, 0x9c | 0x900, 0xff); /* lowest priority, logical */
    irq_set(guest, 12, true);
    assert_int_equal(last.delivery, IRQ_LOWEST_PRIORITY);
    assert_true(last.logical);
    assert_int_equal(last.destination, 0xff);
    put_entry(13, 0x05 | LEVEL, 0); /* an illegal vector: nobody would answer */
    irq_set(guest, 13, true);
    assert_int_equal(get(0x10 + 26), 0x05 | LEVEL);
}

static void widths(void **state)
{
    struct vcpu *vcpu = guest->vcpus[0];
    struct bus *memory = &guest->memory;

    (void)state;
    bus_write(memory, vcpu, VIOAPIC_BASE, 1, 0x01);
    assert_int_equal(bus_read(memory, vcpu, VIOAPIC_BASE, 1), 0x01);
    assert_int_equal(bus_read(memory, vcpu, VIOAPIC_BASE + 0x10, 1), 0x20);
    assert_int_equal(bus_read(memory, vcpu, VIOAPIC_BASE + 0x12, 2), 0x17);
    assert_int_equal(bus_read(memory, vcpu, VIOAPIC_BASE + 0x13, 2), 0);
    bus_write(memory, vcpu, VIOAPIC_BASE, 2, 0x10);
    bus_write(memory, vcpu, VIOAPIC_BASE + 0x10, 1, 0x77); /* the window takes 32 bits only */
    bus_write(memory, vcpu, VIOAPIC_BASE + 0x10, 2, 0x7777);
    assert_int_equal(get(0x10), MASKED);
    bus_write(memory, vcpu, VIOAPIC_BASE + 0x12, 4, 0x77);
    assert_int_equal(get(0x10), MASKED);
    bus_write(memory, vcpu, VIOAPIC_BASE, 4, 0xffffff10); /* one byte counts */
    assert_int_equal(bus_read(memory, vcpu, VIOAPIC_BASE, 4), 0x10);
    assert_int_equal(bus_read(memory, vcpu, VIOAPIC_BASE + 0x20, 4), 0);
    for (uint32_t index = 0; index < 0x100; index++) {
        get(index);
        put(index, 0xffffffff);
    }
    assert_int_equal(get(0x3f), 0xff000000);
    assert_int_equal(get(0x40), 0);
    assert_int_equal(get(0x03), 0);
}

static void reset_drops_everything(void **state)
{
    (void)state;
    put_entry(9, 0x51 | LEVEL, 0);
    irq_set(guest, 9, true);
    irq_set(guest, 9, false);
    put(0, 0);
    guest->devices[0].ops->reset(&guest->devices[0]);
    assert_int_equal(get(0x10 + 18), MASKED);
    assert_int_equal(get(0), 2u << 24);
    assert_int_equal(sent, 1);
}

/* With the real local APICs: a level line interrupts again for as long as it is asserted. */
static void level_through_a_local_apic(void **state)
{
    struct vcpu *vcpu = guest->vcpus[0];

    (void)state;
    fake_device(guest, &vlapic_device);
    put_entry(9, 0x51 | LEVEL, 0);
    irq_set(guest, 9, true);
    for (unsigned i = 0; i < 5; i++) {
        if (i == 4)
            irq_set(guest, 9, false);
        assert_int_equal(vcpu->irq->acknowledge(vcpu), 0x51);
        assert_int_equal(vcpu->irq->acknowledge(vcpu), IRQ_NONE);
        bus_write(&guest->memory, vcpu, VLAPIC_BASE + 0xb0, 4, 0);
    }
    assert_int_equal(vcpu->irq->acknowledge(vcpu), IRQ_NONE);
}

static void random_accesses(void **state)
{
    (void)state;
    srandom(3);
    for (unsigned n = 0; n < 200000; n++) {
        uint32_t value = (uint32_t)random();
        switch (value >> 28) {
        case 0:
        case 1: put((uint32_t)random() & 0x3f, value << 4); break;
        case 2: irq_eoi(guest, (uint8_t)value); break;
        case 3: bus_write(&guest->memory, guest->vcpus[0], VIOAPIC_BASE + (value & 0xff8), 8, value); break;
        case 4: bus_read(&guest->memory, guest->vcpus[0], VIOAPIC_BASE + (value & 0xfff), 1); break;
        default: irq_set(guest, value % 24, (value & 0x100) != 0); break;
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(identification),
        TEST(an_edge_is_one_message),
        TEST(the_8254_comes_in_at_pin_2),
        TEST(a_level_waits_for_its_eoi),
        TEST(one_eoi_answers_all_pins_of_the_vector),
        TEST(remote_irr_is_cleared_by_hand),
        TEST(polarity_is_kept_and_changes_nothing),
        TEST(other_delivery_modes_are_edges),
        TEST(widths),
        TEST(reset_drops_everything),
        TEST(level_through_a_local_apic),
        TEST(random_accesses),
    };
    return cmocka_run_group_tests_name("vioapic", tests, NULL, NULL);
}
