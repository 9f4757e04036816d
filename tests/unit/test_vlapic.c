/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC: priorities, EOI, messages between vCPUs, both register interfaces, mode changes and virtual wire.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "drivers/virtual/vlapic.h"
#include "drivers/virtual/vlapic_state.h"
#include "hv/error.h"
#include "tests/unit/fake.h"
#include "tests/unit/fake_calls.h"

#define CPUS 4u
#define EN   VLAPIC_BASE_EN
#define EXTD VLAPIC_BASE_EXTD

static struct guest *guest;
static int pic_vector;
static unsigned pic_acknowledges;
static unsigned eois;
static uint8_t eoi_vector;

static void set_pic(int vector)
{
    pic_vector = vector;
    guest->irq.pic_output = vector != IRQ_NONE;
}

static int pic_pending(void *context)
{
    (void)context;
    return pic_vector;
}

static int pic_acknowledge(void *context)
{
    int vector = pic_vector;

    (void)context;
    pic_acknowledges++;
    set_pic(IRQ_NONE);
    return vector;
}

static void ioapic_eoi(void *context, uint8_t vector)
{
    (void)context;
    eois++;
    eoi_vector = vector;
}

static int start_with(struct cpuid_result (*cpuid)(uint32_t, uint32_t))
{
    guest = fake_guest(MIB(4), CPUS);
    memset(&fake_calls, 0, sizeof(fake_calls));
    fake_machine.cpuid = cpuid;
    guest->irq.pic_pending = pic_pending;
    guest->irq.pic_acknowledge = pic_acknowledge;
    guest->irq.eoi = ioapic_eoi;
    set_pic(IRQ_NONE);
    pic_acknowledges = 0;
    eois = 0;
    fake_device(guest, &vlapic_device);
    for (unsigned i = 0; i < CPUS; i++)
        guest->vcpus[i]->requests = 0;
    return 0;
}

static int start(void **state)
{
    (void)state;
    return start_with(NULL);
}

static int stop(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

static struct vcpu *cpu(unsigned number)
{
    return guest->vcpus[number];
}

static uint32_t page_read(unsigned number, uint32_t offset)
{
    return (uint32_t)bus_read(&guest->memory, cpu(number), VLAPIC_BASE + offset, 4);
}

static void page_write(unsigned number, uint32_t offset, uint32_t value)
{
    bus_write(&guest->memory, cpu(number), VLAPIC_BASE + offset, 4, value);
}

static int msr_write(unsigned number, uint32_t msr, uint64_t value)
{
    return cpu(number)->irq->msr_write(cpu(number), msr, value);
}

static uint64_t msr_read(unsigned number, uint32_t msr)
{
    uint64_t value = 0;

    assert_int_equal(cpu(number)->irq->msr_read(cpu(number), msr, &value), 0);
    return value;
}

static int msr_read_error(unsigned number, uint32_t msr)
{
    uint64_t value = 0;

    return cpu(number)->irq->msr_read(cpu(number), msr, &value);
}

static int pending(unsigned number)
{
    return cpu(number)->irq->pending(cpu(number));
}

static int acknowledge(unsigned number)
{
    return cpu(number)->irq->acknowledge(cpu(number));
}

static void enable(unsigned number)
{
    page_write(number, VLAPIC_SVR, 0x1ff);
}

static void enable_x2apic(unsigned number)
{
    assert_int_equal(msr_write(number, VLAPIC_MSR_BASE, msr_read(number, VLAPIC_MSR_BASE) | EXTD), 0);
    assert_int_equal(msr_write(number, 0x80f, 0x1ff), 0);
}

static void send_fixed(unsigned destination, uint8_t vector, bool level)
{
    const struct irq_message message = {.destination = destination, .vector = vector, .level = level};

    irq_send(guest, &message);
}

static uint32_t errors_of(unsigned number)
{
    page_write(number, VLAPIC_ESR, 0);
    return page_read(number, VLAPIC_ESR);
}

static void reset_state_is_that_of_firmware(void **state)
{
    (void)state;
    assert_int_equal(msr_read(0, VLAPIC_MSR_BASE), 0xfee00900);
    assert_int_equal(msr_read(1, VLAPIC_MSR_BASE), 0xfee00800);
    assert_int_equal(page_read(0, VLAPIC_ID), 0);
    assert_int_equal(page_read(3, VLAPIC_ID), 3u << 24);
    assert_int_equal(page_read(0, VLAPIC_VERSION_REGISTER), 0x00050014);
    assert_int_equal(page_read(0, VLAPIC_SVR), 0x1ff);
    assert_int_equal(page_read(1, VLAPIC_SVR), 0xff);
    assert_int_equal(page_read(0, 0x350), 0x700);
    assert_int_equal(page_read(0, 0x360), 0x400);
    assert_int_equal(page_read(1, 0x350), 0x10000);
    assert_int_equal(page_read(0, 0x320), 0x10000);
    assert_int_equal(page_read(0, VLAPIC_DFR), 0xffffffff);
    assert_int_equal(pending(0), IRQ_NONE);
    assert_int_equal(acknowledge(0), IRQ_NONE);
}

static void virtual_wire_reaches_the_first_cpu_only(void **state)
{
    (void)state;
    set_pic(0x08);
    assert_int_equal(pending(0), 0x08);
    assert_int_equal(pending(1), IRQ_NONE);
    assert_int_equal(pic_acknowledges, 0);
    cpu(0)->tpr = 0xff; /* no business of ExtINT */
    assert_int_equal(acknowledge(0), 0x08);
    assert_int_equal(pic_acknowledges, 1);
    assert_int_equal(pending(0), IRQ_NONE);
    page_write(0, 0x350, 0x10700);
    set_pic(0x09);
    assert_int_equal(pending(0), IRQ_NONE);
    page_write(0, 0x350, 0x00700);
    assert_int_equal(pending(0), 0x09);
    page_write(0, 0x350, 0x00030); /* LINT0 as a fixed interrupt does not ask the 8259 */
    assert_int_equal(pending(0), IRQ_NONE);
    page_write(1, VLAPIC_SVR, 0x1ff);
    page_write(1, 0x350, 0x00700);
    assert_int_equal(pending(1), IRQ_NONE);
}

static void pic_goes_straight_in_when_the_apic_is_off(void **state)
{
    (void)state;
    page_write(0, 0x350, 0x10000);
    set_pic(0x20);
    assert_int_equal(pending(0), IRQ_NONE);
    assert_int_equal(msr_write(0, VLAPIC_MSR_BASE, 0xfee00100), 0);
    assert_int_equal(pending(0), 0x20);
    assert_int_equal(acknowledge(0), 0x20);
    assert_int_equal(msr_write(1, VLAPIC_MSR_BASE, 0xfee00000), 0);
    set_pic(0x21);
    assert_int_equal(pending(1), IRQ_NONE);
    assert_int_equal(msr_write(0, VLAPIC_MSR_BASE, 0xfee00900), 0);
    assert_int_equal(pending(0), IRQ_NONE); /* on again: after a reset LINT0 is masked */
    guest->irq.pic_pending = NULL;
    page_write(0, VLAPIC_SVR, 0x1ff);
    page_write(0, 0x350, 0x700);
    assert_int_equal(pending(0), IRQ_NONE);
    assert_int_equal(acknowledge(0), IRQ_NONE);
}

static void higher_classes_nest_and_lower_wait(void **state)
{
    (void)state;
    send_fixed(1, 0x31, false);
    assert_int_equal(cpu(1)->requests, 0); /* off in software */
    enable(1);
    send_fixed(1, 0x31, false);
    assert_int_equal(cpu(1)->requests, REQUEST_EVENT);
    send_fixed(0, 0x31, false); /* its own CPU looks anyway */
    assert_int_equal(cpu(0)->requests, 0);
    assert_int_equal(pending(0), 0x31);
    assert_int_equal(page_read(0, VLAPIC_IRR + 0x10), 1u << 17);
    assert_int_equal(acknowledge(0), 0x31);
    assert_int_equal(page_read(0, VLAPIC_IRR + 0x10), 0);
    assert_int_equal(page_read(0, VLAPIC_ISR + 0x10), 1u << 17);
    assert_int_equal(page_read(0, VLAPIC_PPR), 0x30);
    send_fixed(0, 0x3f, false); /* the same class */
    assert_int_equal(pending(0), IRQ_NONE);
    assert_int_equal(acknowledge(0), IRQ_NONE);
    send_fixed(0, 0x40, false);
    assert_int_equal(acknowledge(0), 0x40);
    page_write(0, VLAPIC_EOI, 0);
    assert_int_equal(pending(0), IRQ_NONE);
    page_write(0, VLAPIC_EOI, 0);
    assert_int_equal(acknowledge(0), 0x3f);
    page_write(0, VLAPIC_EOI, 0);
    page_write(0, VLAPIC_EOI, 0); /* nothing in service */
    assert_int_equal(page_read(0, VLAPIC_PPR), 0);
    assert_int_equal(eois, 0);
    send_fixed(0, 0xff, false);
    send_fixed(0, 0x10, false);
    assert_int_equal(acknowledge(0), 0xff);
    page_write(0, VLAPIC_EOI, 0);
    assert_int_equal(acknowledge(0), 0x10);
}

static void tpr_holds_back_its_class(void **state)
{
    (void)state;
    page_write(0, VLAPIC_TPR, 0x45);
    assert_int_equal(cpu(0)->tpr, 0x45);
    assert_int_equal(page_read(0, VLAPIC_PPR), 0x45);
    assert_int_equal(cpu(0)->irq->blocked_by_tpr(cpu(0)), 0);
    send_fixed(0, 0x4f, false);
    assert_int_equal(pending(0), IRQ_NONE);
    assert_int_equal(cpu(0)->irq->blocked_by_tpr(cpu(0)), 4);
    cpu(0)->tpr = 0x30; /* by CR8: the backend writes it here */
    assert_int_equal(page_read(0, VLAPIC_TPR), 0x30);
    assert_int_equal(pending(0), 0x4f);
    assert_int_equal(cpu(0)->irq->blocked_by_tpr(cpu(0)), 0);
    assert_int_equal(acknowledge(0), 0x4f);
    cpu(0)->tpr = 0xf0;
    send_fixed(0, 0x41, false); /* held back by what is in service too, so a lower TPR would change nothing */
    assert_int_equal(cpu(0)->irq->blocked_by_tpr(cpu(0)), 0);
    send_fixed(0, 0x51, false);
    assert_int_equal(cpu(0)->irq->blocked_by_tpr(cpu(0)), 5);
}

static void eoi_of_a_level_goes_to_the_ioapic(void **state)
{
    (void)state;
    send_fixed(0, 0x62, true);
    assert_int_equal(page_read(0, VLAPIC_TMR + 0x30), 4);
    assert_int_equal(acknowledge(0), 0x62);
    page_write(0, VLAPIC_EOI, 0);
    assert_int_equal(eois, 1);
    assert_int_equal(eoi_vector, 0x62);
    send_fixed(0, 0x62, false);
    assert_int_equal(page_read(0, VLAPIC_TMR + 0x30), 0);
    assert_int_equal(acknowledge(0), 0x62);
    page_write(0, VLAPIC_EOI, 0);
    assert_int_equal(eois, 1);
    enable_x2apic(0);
    send_fixed(0, 0x62, true);
    assert_int_equal(acknowledge(0), 0x62);
    assert_int_equal(msr_write(0, 0x80b, 1), E_INVAL);
    assert_int_equal(msr_write(0, 0x80b, 0), 0);
    assert_int_equal(eois, 2);
}

static void software_disable_masks_and_refuses(void **state)
{
    (void)state;
    page_write(0, 0x370, 0x45);
    send_fixed(0, 0x50, false);
    page_write(0, VLAPIC_SVR, 0x0ff);
    for (uint32_t lvt = VLAPIC_LVT_FIRST; lvt <= VLAPIC_LVT_LAST; lvt += 16)
        assert_true((page_read(0, lvt) & 0x10000) != 0);
    page_write(0, 0x370, 0x45);
    assert_int_equal(page_read(0, 0x370), 0x10045);
    assert_int_equal(pending(0), 0x50); /* what had come stays */
    send_fixed(0, 0x60, false);
    assert_int_equal(pending(0), 0x50);
    cpu(0)->requests = 0;
    const struct irq_message nmi = {.destination = 0, .delivery = IRQ_NMI};
    irq_send(guest, &nmi);
    assert_int_equal(cpu(0)->requests, REQUEST_NMI);
    enable(0);
    page_write(0, 0x370, 0xffffffff);
    assert_int_equal(page_read(0, 0x370), 0x100ff);
    page_write(0, 0x350, 0xffffffff);
    assert_int_equal(page_read(0, 0x350), 0x1a7ff);
}

static void illegal_vectors_show_in_the_esr(void **state)
{
    (void)state;
    page_write(0, VLAPIC_ICR_HIGH, 0);
    page_write(0, VLAPIC_ICR_LOW, 0x0f);           /* sent */
    assert_int_equal(page_read(0, VLAPIC_ESR), 0); /* not before a write */
    assert_int_equal(errors_of(0), ESR_SEND_ILLEGAL_VECTOR);
    assert_int_equal(errors_of(0), 0);
    send_fixed(0, 15, false); /* received */
    assert_int_equal(errors_of(0), ESR_RECEIVE_ILLEGAL_VECTOR);
    page_read(0, 0x000);
    page_write(0, 0xff0, 1);
    assert_int_equal(errors_of(0), ESR_ILLEGAL_REGISTER);
    page_write(0, VLAPIC_ID, 5u << 24); /* read-only: no error */
    assert_int_equal(errors_of(0), 0);
    assert_int_equal(page_read(0, VLAPIC_ID), 0);
    assert_int_equal(pending(0), IRQ_NONE);
    page_write(0, 0x370, 0x77);
    page_read(0, 0x2f0); /* no CMCI entry */
    assert_int_equal(acknowledge(0), 0x77);
    page_read(0, 0x2f0); /* the same error again: not announced before the ESR was read */
    assert_int_equal(pending(0), IRQ_NONE);
    errors_of(0);
    page_write(0, 0x370, 0x03); /* the error interrupt is itself illegal: no recursion */
    page_read(0, 0x2f0);
    assert_int_equal(errors_of(0), ESR_ILLEGAL_REGISTER | ESR_RECEIVE_ILLEGAL_VECTOR);
}

static void physical_destinations_and_shorthands(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CPUS; i++)
        enable(i);
    page_write(0, VLAPIC_ICR_HIGH, 2u << 24);
    page_write(0, VLAPIC_ICR_LOW, 0x4055);
    assert_int_equal(page_read(0, VLAPIC_ICR_LOW), 0x4055);
    assert_int_equal(pending(2), 0x55);
    assert_int_equal(pending(0), IRQ_NONE);
    page_write(0, VLAPIC_ICR_LOW, 0x44056); /* self */
    assert_int_equal(pending(0), 0x56);
    assert_int_equal(pending(2), 0x55);
    page_write(1, VLAPIC_ICR_LOW, 0x84067); /* all */
    for (unsigned i = 0; i < CPUS; i++)
        assert_int_equal(acknowledge(i), 0x67);
    page_write(1, VLAPIC_ICR_LOW, 0xc4078); /* others */
    assert_int_equal(pending(0), 0x78);
    assert_int_equal(pending(1), IRQ_NONE);
    assert_int_equal(pending(3), 0x78);
    page_write(3, VLAPIC_ICR_HIGH, 0xff000000);
    page_write(3, VLAPIC_ICR_LOW, 0x4099); /* broadcast */
    for (unsigned i = 0; i < CPUS; i++)
        assert_int_equal(pending(i), 0x99);
    page_write(3, VLAPIC_ICR_HIGH, 0x77000000);
    page_write(3, VLAPIC_ICR_LOW, 0x40aa); /* nobody */
    for (unsigned i = 0; i < CPUS; i++)
        assert_int_equal(pending(i), 0x99);
}

static void logical_destinations(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CPUS; i++) {
        enable(i);
        page_write(i, VLAPIC_LDR, 0x01000000u << i | 0xffffff);
        assert_int_equal(page_read(i, VLAPIC_LDR), 0x01000000u << i);
    }
    page_write(0, VLAPIC_ICR_HIGH, 0x05000000);
    page_write(0, VLAPIC_ICR_LOW, 0x4841);
    assert_int_equal(pending(0), 0x41);
    assert_int_equal(pending(1), IRQ_NONE);
    assert_int_equal(pending(2), 0x41);
    for (unsigned i = 0; i < CPUS; i++) {
        page_write(i, VLAPIC_DFR, 0x0fffffff);
        assert_int_equal(page_read(i, VLAPIC_DFR), 0x0fffffff);
        page_write(i, VLAPIC_LDR, (i / 2) << 28 | 1u << (24 + i % 2)); /* two clusters of two */
    }
    page_write(0, VLAPIC_ICR_HIGH, 0x12000000);
    page_write(0, VLAPIC_ICR_LOW, 0x4882);
    assert_int_equal(pending(1), IRQ_NONE);
    assert_int_equal(pending(2), 0x41);
    assert_int_equal(pending(3), 0x82);
    page_write(3, VLAPIC_DFR, 0x5fffffff); /* no such model: matches nothing */
    page_write(0, VLAPIC_ICR_LOW, 0x4893);
    assert_int_equal(pending(3), 0x82);
}

static void lowest_priority_picks_the_idlest(void **state)
{
    unsigned taken[CPUS] = {0};

    (void)state;
    for (unsigned i = 0; i < CPUS; i++) {
        enable(i);
        cpu(i)->tpr = 0x50;
    }
    cpu(2)->tpr = 0x20;
    const struct irq_message message = {.destination = 0xff, .vector = 0x90, .delivery = IRQ_LOWEST_PRIORITY};
    irq_send(guest, &message);
    assert_int_equal(acknowledge(2), 0x90);
    for (unsigned i = 0; i < CPUS; i++)
        assert_int_equal(pending(i), IRQ_NONE);
    page_write(2, VLAPIC_EOI, 0);
    page_write(2, VLAPIC_SVR, 0xff); /* off in software: cannot take it */
    for (unsigned n = 0; n < 30; n++) {
        irq_send(guest, &message);
        for (unsigned i = 0; i < CPUS; i++) {
            if (acknowledge(i) == 0x90) {
                taken[i]++;
                page_write(i, VLAPIC_EOI, 0);
            }
        }
    }
    assert_int_equal(taken[0] + taken[1] + taken[3], 30);
    assert_true(taken[0] > 0 && taken[1] > 0 && taken[3] > 0);
    const struct irq_message nobody = {.destination = 0x70, .vector = 0x90, .delivery = IRQ_LOWEST_PRIORITY};
    irq_send(guest, &nobody);
}

static void nmi_init_and_startup_become_requests(void **state)
{
    (void)state;
    page_write(0, VLAPIC_ICR_HIGH, 1u << 24);
    page_write(0, VLAPIC_ICR_LOW, 0x4400);
    assert_int_equal(cpu(1)->requests, REQUEST_NMI);
    cpu(1)->requests = 0;
    page_write(0, VLAPIC_ICR_LOW, 0x8500); /* INIT de-assert */
    assert_int_equal(cpu(1)->requests, 0);
    page_write(0, VLAPIC_ICR_LOW, 0xc500);
    assert_int_equal(cpu(1)->requests, REQUEST_INIT);
    page_write(0, VLAPIC_ICR_LOW, 0x069a);
    assert_int_equal(cpu(1)->requests, REQUEST_INIT | REQUEST_STARTUP);
    assert_int_equal(cpu(1)->startup_vector, 0x9a);
    page_write(0, VLAPIC_ICR_LOW, 0x069b); /* the first one counts */
    assert_int_equal(cpu(1)->startup_vector, 0x9a);
    page_write(0, VLAPIC_ICR_LOW, 0xc500); /* an INIT behind it begins anew */
    assert_int_equal(cpu(1)->requests, REQUEST_INIT);
    cpu(1)->requests = 0;
    page_write(0, VLAPIC_ICR_LOW, 0xc4500); /* INIT to all others */
    page_write(0, VLAPIC_ICR_LOW, 0xc4600); /* start-up with vector 0 */
    assert_int_equal(cpu(0)->requests & (REQUEST_INIT | REQUEST_STARTUP), 0);
    for (unsigned i = 1; i < CPUS; i++) {
        assert_int_equal(cpu(i)->requests, REQUEST_INIT | REQUEST_STARTUP);
        assert_int_equal(cpu(i)->startup_vector, 0);
        cpu(i)->requests = 0;
    }
    page_write(0, VLAPIC_ICR_LOW, 0x44500); /* INIT to itself, SMI, reserved, ExtINT: nothing */
    page_write(0, VLAPIC_ICR_LOW, 0x84600);
    page_write(0, VLAPIC_ICR_LOW, 0xc4200);
    page_write(0, VLAPIC_ICR_LOW, 0xc4300);
    page_write(0, VLAPIC_ICR_LOW, 0xc4700);
    for (unsigned i = 0; i < CPUS; i++)
        assert_int_equal(cpu(i)->requests & ~(uint32_t)REQUEST_EVENT, 0);
    assert_int_equal(msr_write(1, VLAPIC_MSR_BASE, 0xfee00000), 0);
    cpu(1)->requests = 0;
    page_write(0, VLAPIC_ICR_LOW, 0x4400); /* off: hears nothing */
    assert_int_equal(cpu(1)->requests, 0);
}

static void base_transitions(void **state)
{
    static const struct {
        uint64_t from, to;
        int result;
    } moves[] = {
        {EN, EN, 0},
        {EN, EN | EXTD, 0},
        {EN, 0, 0},
        {EN, EXTD, E_INVAL},
        {EN | EXTD, 0, 0},
        {EN | EXTD, EN | EXTD, 0},
        {EN | EXTD, EN, E_INVAL},
        {EN | EXTD, EXTD, E_INVAL},
        {0, EN, 0},
        {0, EN | EXTD, E_INVAL},
        {0, 0, 0},
        {0, EXTD, E_INVAL},
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(moves); i++) {
        guest->devices[0].ops->reset(&guest->devices[0]);
        if (moves[i].from != EN)
            assert_int_equal(msr_write(0, VLAPIC_MSR_BASE, VLAPIC_BASE | moves[i].from), 0);
        assert_int_equal(msr_write(0, VLAPIC_MSR_BASE, VLAPIC_BASE | moves[i].to), moves[i].result);
        uint64_t now = moves[i].result == 0 ? moves[i].to : moves[i].from;
        assert_int_equal(msr_read(0, VLAPIC_MSR_BASE) & (EN | EXTD), now);
    }
}

static void base_cannot_move(void **state)
{
    (void)state;
    assert_int_equal(msr_write(0, VLAPIC_MSR_BASE, 0xfed00900), E_INVAL);
    assert_int_equal(msr_write(0, VLAPIC_MSR_BASE, 0xfee01900), E_INVAL);
    assert_int_equal(msr_write(1, VLAPIC_MSR_BASE, 0x1fee00800), E_INVAL);
    assert_int_equal(fake_calls.log_lines, 1);
    assert_int_equal(msr_write(0, VLAPIC_MSR_BASE, 0xfee00901), E_INVAL);
    assert_int_equal(msr_write(0, VLAPIC_MSR_BASE, 0xfee00b00), E_INVAL);
    assert_int_equal(msr_write(0, VLAPIC_MSR_BASE, UINT64_MAX), E_INVAL);
    assert_int_equal(msr_write(0, VLAPIC_MSR_BASE, BIT(40) | 0xfee00900), E_INVAL);
    assert_int_equal(fake_calls.log_lines, 1);
    assert_int_equal(msr_read(0, VLAPIC_MSR_BASE), 0xfee00900);
}

static void turning_off_forgets(void **state)
{
    (void)state;
    page_write(0, VLAPIC_TPR, 0x20);
    send_fixed(0, 0x80, false);
    assert_int_equal(msr_write(0, VLAPIC_MSR_BASE, 0xfee00100), 0);
    assert_int_equal(pending(0), IRQ_NONE);
    assert_int_equal(page_read(0, VLAPIC_VERSION_REGISTER), 0xffffffff);
    page_write(0, VLAPIC_SVR, 0x1ff);
    send_fixed(0, 0x80, false);
    assert_int_equal(msr_write(0, VLAPIC_MSR_BASE, 0xfee00900), 0);
    assert_int_equal(pending(0), IRQ_NONE);
    assert_int_equal(page_read(0, VLAPIC_SVR), 0xff);
    assert_int_equal(page_read(0, VLAPIC_TPR), 0);
    enable(0);
    send_fixed(0, 0x80, false);
    assert_int_equal(pending(0), 0x80);
}

static void x2apic_registers(void **state)
{
    (void)state;
    for (uint32_t msr = 0x800; msr < 0x900; msr++) { /* not in xAPIC mode */
        assert_int_equal(msr_read_error(3, msr), E_INVAL);
        assert_int_equal(msr_write(3, msr, 0), E_INVAL);
    }
    page_write(3, VLAPIC_TPR, 0x10);
    enable_x2apic(3);
    assert_int_equal(msr_read(3, 0x808), 0x10);
    assert_int_equal(page_read(3, VLAPIC_VERSION_REGISTER), 0xffffffff);
    assert_int_equal(msr_read(3, 0x802), 3);
    assert_int_equal(msr_read(3, 0x803), 0x00050014);
    assert_int_equal(msr_read(3, 0x80d), 8);
    static const uint32_t unreadable[] = {0x800, 0x801, 0x804, 0x809, 0x80b, 0x80c,
                                          0x80e, 0x82f, 0x831, 0x83f, 0x840, 0x8ff};
    for (unsigned i = 0; i < ARRAY_SIZE(unreadable); i++)
        assert_int_equal(msr_read_error(3, unreadable[i]), E_INVAL);
    static const uint32_t unwritable[] = {0x802, 0x803, 0x80a, 0x80d, 0x80e, 0x810,
                                          0x818, 0x820, 0x831, 0x839, 0x840, 0x8ff};
    for (unsigned i = 0; i < ARRAY_SIZE(unwritable); i++)
        assert_int_equal(msr_write(3, unwritable[i], 0), E_INVAL);
    assert_int_equal(msr_write(3, 0x808, 0x100), E_INVAL);
    assert_int_equal(msr_write(3, 0x80f, 0x11ff), E_INVAL); /* EOI suppression is not offered */
    assert_int_equal(msr_write(3, 0x828, 1), E_INVAL);
    assert_int_equal(msr_write(3, 0x828, 0), 0);
    assert_int_equal(msr_write(3, 0x835, 0x4000000), E_INVAL);
    assert_int_equal(msr_write(3, 0x838, BIT(32)), E_INVAL);
    assert_int_equal(msr_write(3, 0x83e, 4), E_INVAL);
    assert_int_equal(msr_write(3, 0x830, 0x1000), E_INVAL);
    assert_int_equal(msr_write(3, 0x83f, 0x100), E_INVAL);
    assert_int_equal(msr_write(3, 0x83f, 0x47), 0);
    assert_int_equal(acknowledge(3), 0x47);
    assert_int_equal(msr_read(3, 0x812), 0x80);
    assert_int_equal(msr_write(3, 0x83f, 0x07), 0);
    assert_int_equal(msr_write(3, 0x828, 0), 0);
    assert_int_equal(msr_read(3, 0x828), ESR_SEND_ILLEGAL_VECTOR);
}

static void x2apic_messages(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CPUS; i++)
        enable_x2apic(i);
    assert_int_equal(msr_write(0, 0x830, UINT64_C(2) << 32 | 0x4071), 0);
    assert_int_equal(msr_read(0, 0x830), UINT64_C(2) << 32 | 0x4071);
    assert_int_equal(pending(2), 0x71);
    assert_int_equal(msr_write(0, 0x830, UINT64_C(0x0000000a) << 32 | 0x4872), 0); /* logical: 1 and 3 */
    assert_int_equal(pending(1), 0x72);
    assert_int_equal(pending(3), 0x72);
    assert_int_equal(pending(0), IRQ_NONE);
    assert_int_equal(msr_write(0, 0x830, UINT64_C(0x00010001) << 32 | 0x48b2), 0); /* another cluster */
    assert_int_equal(msr_write(0, 0x830, UINT64_C(0xff) << 32 | 0x40b3), 0);       /* no broadcast in this mode */
    assert_int_equal(pending(0), IRQ_NONE);
    assert_int_equal(msr_write(0, 0x830, UINT64_C(0xffffffff) << 32 | 0x4083), 0);
    for (unsigned i = 0; i < CPUS; i++)
        assert_int_equal(pending(i), 0x83);
    send_fixed(0xff, 0x94, false); /* from the IOAPIC */
    for (unsigned i = 0; i < CPUS; i++)
        assert_int_equal(pending(i), 0x94);
}

static struct cpuid_result old_cpu(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_result result = fake_cpuid_default(leaf, subleaf);

    if (leaf == 1)
        result.ecx &= ~(uint32_t)VLAPIC_CPUID_X2APIC;
    return result;
}

static int start_old(void **state)
{
    (void)state;
    return start_with(old_cpu);
}

static void old_cpu_offers_no_x2apic(void **state)
{
    (void)state;
    assert_false(vlapic_x2apic_offered());
    assert_int_equal(msr_write(0, VLAPIC_MSR_BASE, 0xfee00d00), E_INVAL);
    page_write(0, 0x320, 0x40030);
    assert_int_equal(page_read(0, 0x320), 0x40030); /* TSC-deadline mode is the model's own */
}

static void init_keeps_mode_and_base(void **state)
{
    (void)state;
    enable_x2apic(1);
    assert_int_equal(msr_write(1, 0x808, 0x30), 0);
    send_fixed(1, 0x66, false);
    cpu(1)->irq->init_reset(cpu(1));
    assert_int_equal(msr_read(1, VLAPIC_MSR_BASE), 0xfee00c00);
    assert_int_equal(msr_read(1, 0x80f), 0xff);
    assert_int_equal(msr_read(1, 0x80d), 2);
    assert_int_equal(cpu(1)->tpr, 0);
    assert_int_equal(pending(1), IRQ_NONE);
}

static void odd_widths_are_harmless(void **state)
{
    (void)state;
    assert_int_equal(bus_read(&guest->memory, cpu(0), VLAPIC_BASE + 0x32, 1), 0x05);
    assert_int_equal(bus_read(&guest->memory, cpu(0), VLAPIC_BASE + 0x30, 2), 0x0014);
    assert_int_equal(bus_read(&guest->memory, cpu(0), VLAPIC_BASE + 0x34, 4), 0);
    assert_int_equal(bus_read(&guest->memory, cpu(0), VLAPIC_BASE + 0x33, 2), 0);
    assert_int_equal(bus_read(&guest->memory, cpu(0), VLAPIC_BASE + 0x30, 8), 0x00050014);
    bus_write(&guest->memory, cpu(0), VLAPIC_BASE + VLAPIC_TPR, 1, 0x50);
    bus_write(&guest->memory, cpu(0), VLAPIC_BASE + VLAPIC_TPR + 4, 4, 0x50);
    assert_int_equal(cpu(0)->tpr, 0);
    bus_write(&guest->memory, cpu(0), VLAPIC_BASE + VLAPIC_TPR, 8, UINT64_C(0x5000000060));
    assert_int_equal(cpu(0)->tpr, 0x60);
}

/* Any order of accesses: whatever is in service is above what it interrupted, and nothing is delivered twice. */
static void random_accesses(void **state)
{
    (void)state;
    srandom(7);
    for (unsigned n = 0; n < 200000; n++) {
        unsigned number = (unsigned)random() % CPUS;
        uint32_t value = (uint32_t)random() ^ (uint32_t)random() << 16;
        uint32_t ppr;
        switch (random() % 7) {
        case 0: page_write(number, (uint32_t)random() & 0xff0, value); break;
        case 1: page_read(number, (uint32_t)random() & 0xfff); break;
        case 2: msr_write(number, 0x800 + ((uint32_t)random() & 0xff), value & (uint32_t)random()); break;
        case 3: msr_write(number, VLAPIC_MSR_BASE, VLAPIC_BASE | (value & (EN | EXTD))); break;
        case 4: page_write(number, VLAPIC_SVR, 0x1ff); break;
        case 5:
            msr_read_error(number, 0x800 + ((uint32_t)random() & 0xff));
            fake_advance_ns(guest, value % 1000);
            break;
        default:
            ppr = vlapic_processor_priority(cpu(number)->lapic);
            int vector = pending(number);
            assert_int_equal(acknowledge(number), vector);
            assert_true(vector == IRQ_NONE || (uint32_t)vector >> 4 > ppr >> 4);
        }
    }
}

#define SENDS    200000u
#define PATIENCE UINT32_C(200000000)

static bool lost_request;
static bool sender_done;

/* Send the next as soon as the last has left the IRR: just when the other CPU puts away the summary bit of its word. */
static void *send_many(void *context)
{
    struct vlapic *lapic = cpu(0)->lapic;

    (void)context;
    for (unsigned n = 0; n < SENDS && !lost_request; n++) {
        uint32_t waits = 0;
        send_fixed(0, (uint8_t)(0x40 + n % 32), n % 3 == 0);
        while (__atomic_load_n(&lapic->irr[2], __ATOMIC_ACQUIRE) != 0 && waits < PATIENCE)
            waits++;
        lost_request = waits == PATIENCE;
    }
    __atomic_store_n(&sender_done, true, __ATOMIC_RELEASE);
    return NULL;
}

/* Another CPU sends while this one takes: no request may be left without its summary bit. */
static void senders_on_other_cpus_lose_nothing(void **state)
{
    pthread_t sender;

    (void)state;
    lost_request = false;
    sender_done = false;
    assert_int_equal(pthread_create(&sender, NULL, send_many, NULL), 0);
    while (!__atomic_load_n(&sender_done, __ATOMIC_ACQUIRE)) {
        if (acknowledge(0) != IRQ_NONE)
            page_write(0, VLAPIC_EOI, 0);
    }
    assert_int_equal(pthread_join(sender, NULL), 0);
    assert_false(lost_request);
    assert_int_equal(pending(0), IRQ_NONE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(reset_state_is_that_of_firmware),
        TEST(virtual_wire_reaches_the_first_cpu_only),
        TEST(pic_goes_straight_in_when_the_apic_is_off),
        TEST(higher_classes_nest_and_lower_wait),
        TEST(tpr_holds_back_its_class),
        TEST(eoi_of_a_level_goes_to_the_ioapic),
        TEST(software_disable_masks_and_refuses),
        TEST(illegal_vectors_show_in_the_esr),
        TEST(physical_destinations_and_shorthands),
        TEST(logical_destinations),
        TEST(lowest_priority_picks_the_idlest),
        TEST(nmi_init_and_startup_become_requests),
        TEST(base_transitions),
        TEST(base_cannot_move),
        TEST(turning_off_forgets),
        TEST(x2apic_registers),
        TEST(x2apic_messages),
        cmocka_unit_test_setup_teardown(old_cpu_offers_no_x2apic, start_old, stop),
        TEST(init_keeps_mode_and_base),
        TEST(odd_widths_are_harmless),
        TEST(senders_on_other_cpus_lose_nothing),
        TEST(random_accesses),
    };
    return cmocka_run_group_tests_name("vlapic", tests, NULL, NULL);
}
