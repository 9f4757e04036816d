/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC timer: counts, modes, divisors, phase, deadlines, and how often it can interrupt at most. The fake
 * machine's TSC and VLAPIC_TIMER_HZ are both 1 GHz: a count of 1 with divisor 1 is a nanosecond.
 */
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

#define VECTOR   0x30u
#define MASKED   0x10000u
#define PERIODIC 0x20000u
#define DEADLINE 0x40000u
#define DIVIDE_1 0xbu

static struct guest *guest;
static struct vcpu *vcpu;

static int start(void **state)
{
    (void)state;
    guest = fake_guest(MIB(4), 1);
    vcpu = guest->vcpus[0];
    fake_machine.ticks = 12345;
    fake_device(guest, &vlapic_device);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

static uint32_t page_read(uint32_t offset)
{
    return (uint32_t)bus_read(&guest->memory, vcpu, VLAPIC_BASE + offset, 4);
}

static void page_write(uint32_t offset, uint32_t value)
{
    bus_write(&guest->memory, vcpu, VLAPIC_BASE + offset, 4, value);
}

static void set_timer(uint32_t lvt, uint32_t divide, uint32_t count)
{
    page_write(VLAPIC_LVT_FIRST, lvt);
    page_write(VLAPIC_DIVIDE, divide);
    page_write(VLAPIC_INITIAL_COUNT, count);
}

static void deadline_write(uint64_t value)
{
    assert_int_equal(vcpu->irq->msr_write(vcpu, VLAPIC_MSR_DEADLINE, value), 0);
}

static uint64_t deadline_read(void)
{
    uint64_t value = 1;

    assert_int_equal(vcpu->irq->msr_read(vcpu, VLAPIC_MSR_DEADLINE, &value), 0);
    return value;
}

/* Take the timer's interrupt. Returns whether there was one. */
static bool took(void)
{
    int vector = vcpu->irq->acknowledge(vcpu);

    if (vector == IRQ_NONE)
        return false;
    assert_int_equal(vector, VECTOR);
    page_write(VLAPIC_EOI, 0);
    return true;
}

/* Let time pass in small steps. Returns how many interrupts came. */
static unsigned count_interrupts(uint64_t ns, uint64_t step_ns)
{
    unsigned count = 0;

    for (uint64_t passed = 0; passed < ns; passed += step_ns) {
        fake_advance_ns(guest, step_ns);
        count += took();
    }
    return count;
}

static void one_shot_fires_once(void **state)
{
    (void)state;
    set_timer(VECTOR, DIVIDE_1, 1000);
    assert_int_equal(page_read(VLAPIC_INITIAL_COUNT), 1000);
    assert_int_equal(page_read(VLAPIC_CURRENT_COUNT), 1000);
    fake_advance_ns(guest, 400);
    assert_int_equal(page_read(VLAPIC_CURRENT_COUNT), 600);
    assert_false(took());
    fake_advance_ns(guest, 599);
    assert_false(took());
    assert_int_equal(page_read(VLAPIC_CURRENT_COUNT), 1);
    fake_advance_ns(guest, 1);
    assert_true(took());
    assert_int_equal(page_read(VLAPIC_CURRENT_COUNT), 0);
    assert_int_equal(count_interrupts(10000, 100), 0);
    assert_true(timer_next(vcpu) == TIMER_NEVER);
}

static void divisors(void **state)
{
    static const struct {
        uint32_t code, divisor;
    } codes[] = {{0x0, 2}, {0x1, 4}, {0x2, 8}, {0x3, 16}, {0x8, 32}, {0x9, 64}, {0xa, 128}, {0xb, 1}};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(codes); i++) {
        set_timer(VECTOR, codes[i].code | 4, 100);
        assert_int_equal(page_read(VLAPIC_DIVIDE), codes[i].code);
        fake_advance_ns(guest, codes[i].divisor * 60);
        assert_int_equal(page_read(VLAPIC_CURRENT_COUNT), 40);
        fake_advance_ns(guest, codes[i].divisor * 40 - 1);
        assert_false(took());
        fake_advance_ns(guest, 1);
        assert_true(took());
    }
}

static void divisor_changes_on_the_way(void **state)
{
    (void)state;
    set_timer(VECTOR | PERIODIC, DIVIDE_1, 1000000);
    fake_advance_ns(guest, 400000);
    page_write(VLAPIC_DIVIDE, 0x0); /* 600000 are left, at half the speed */
    assert_int_equal(page_read(VLAPIC_CURRENT_COUNT), 600000);
    fake_advance_ns(guest, 1199999);
    assert_false(took());
    fake_advance_ns(guest, 1);
    assert_true(took());
    assert_int_equal(page_read(VLAPIC_CURRENT_COUNT), 1000000);
    assert_int_equal(count_interrupts(20000000, 1000), 10);
}

static void periodic_keeps_its_phase(void **state)
{
    (void)state;
    set_timer(VECTOR | PERIODIC, DIVIDE_1, 1000000);
    uint64_t begin = fake_machine.ticks;
    assert_int_equal(count_interrupts(100000000, 10000), 100);
    /* A late service: three periods at once are one interrupt, and the next comes at its old time. */
    fake_machine.ticks = begin + 103500000;
    timer_run_expired(vcpu, fake_machine.ticks);
    assert_true(took());
    assert_true(timer_next(vcpu) == begin + 104000000);
    assert_int_equal(page_read(VLAPIC_CURRENT_COUNT), 500000);
    /* A very late one costs no more. */
    fake_machine.ticks = begin + UINT64_C(5000) * 1000000000 + 300000;
    timer_run_expired(vcpu, fake_machine.ticks);
    assert_true(took());
    assert_false(took());
    assert_true(timer_next(vcpu) == begin + UINT64_C(5000) * 1000000000 + 1000000);
}

static void short_periods_are_bounded(void **state)
{
    static const uint32_t counts[] = {1, 2, 100, 50000, 99999};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
        set_timer(VECTOR | PERIODIC, DIVIDE_1, counts[i]);
        unsigned count = count_interrupts(10000000, 1000);
        assert_in_range(count, 95, 101);
        assert_in_range(page_read(VLAPIC_CURRENT_COUNT), 1, counts[i]);
    }
    set_timer(VECTOR | PERIODIC, DIVIDE_1, 100000); /* the shortest that is kept exactly */
    assert_int_equal(count_interrupts(10000000, 1000), 100);
}

static void zero_stops(void **state)
{
    (void)state;
    set_timer(VECTOR | PERIODIC, DIVIDE_1, 1000000);
    page_write(VLAPIC_INITIAL_COUNT, 0);
    assert_int_equal(page_read(VLAPIC_CURRENT_COUNT), 0);
    assert_int_equal(count_interrupts(10000000, 100000), 0);
    page_write(VLAPIC_DIVIDE, 0);
    page_write(VLAPIC_LVT_FIRST, VECTOR);
    page_write(VLAPIC_LVT_FIRST, VECTOR | PERIODIC);
    assert_int_equal(count_interrupts(10000000, 100000), 0);
}

static void masked_timer_runs_in_silence(void **state)
{
    (void)state;
    set_timer(VECTOR | PERIODIC | MASKED, DIVIDE_1, 1000000);
    assert_true(timer_next(vcpu) == TIMER_NEVER); /* costs no exit */
    fake_advance_ns(guest, 2250000);
    assert_int_equal(page_read(VLAPIC_CURRENT_COUNT), 750000);
    page_write(VLAPIC_LVT_FIRST, VECTOR | PERIODIC);
    assert_false(took());
    fake_advance_ns(guest, 750000);
    assert_true(took());
    set_timer(VECTOR | MASKED, DIVIDE_1, 1000);
    fake_advance_ns(guest, 2000);
    page_write(VLAPIC_LVT_FIRST, VECTOR); /* it ended while masked: that is past */
    assert_int_equal(count_interrupts(10000, 100), 0);
}

static void changes_after_the_deadline_lose_nothing(void **state)
{
    (void)state;
    set_timer(VECTOR, DIVIDE_1, 1000);
    fake_machine.ticks += 1500; /* due, but the run loop has not come around yet */
    page_write(VLAPIC_LVT_FIRST, VECTOR | MASKED);
    assert_true(took());
    set_timer(VECTOR, DIVIDE_1, 1000);
    fake_machine.ticks += 1500;
    page_write(VLAPIC_INITIAL_COUNT, 5000);
    assert_true(took());
    fake_advance_ns(guest, 4999);
    assert_false(took());
    fake_advance_ns(guest, 1);
    assert_true(took());
}

static void mode_changes(void **state)
{
    (void)state;
    set_timer(VECTOR, DIVIDE_1, 1000000);
    fake_advance_ns(guest, 400000);
    page_write(VLAPIC_LVT_FIRST, VECTOR | PERIODIC); /* one-shot to periodic: goes on */
    assert_int_equal(page_read(VLAPIC_CURRENT_COUNT), 600000);
    fake_advance_ns(guest, 600000);
    assert_true(took());
    fake_advance_ns(guest, 1000000);
    assert_true(took());
    page_write(VLAPIC_LVT_FIRST, VECTOR);
    fake_advance_ns(guest, 1000000);
    assert_true(took());
    assert_int_equal(count_interrupts(5000000, 100000), 0);
    page_write(VLAPIC_LVT_FIRST, VECTOR | PERIODIC); /* one that has ended stays so */
    assert_int_equal(count_interrupts(5000000, 100000), 0);
    set_timer(VECTOR | PERIODIC, DIVIDE_1, 1000000);
    page_write(VLAPIC_LVT_FIRST, VECTOR | DEADLINE); /* disarms */
    page_write(VLAPIC_INITIAL_COUNT, 77);            /* ignored in this mode */
    assert_int_equal(page_read(VLAPIC_CURRENT_COUNT), 0);
    assert_int_equal(page_read(VLAPIC_INITIAL_COUNT), 1000000);
    assert_int_equal(count_interrupts(5000000, 100000), 0);
    deadline_write(fake_machine.ticks + 1000);
    page_write(VLAPIC_LVT_FIRST, VECTOR); /* disarms */
    assert_int_equal(count_interrupts(5000, 100), 0);
    assert_int_equal(deadline_read(), 0);
}

static void deadline_mode(void **state)
{
    (void)state;
    deadline_write(fake_machine.ticks + 1000); /* not in this mode: swallowed */
    assert_int_equal(deadline_read(), 0);
    page_write(VLAPIC_LVT_FIRST, VECTOR | DEADLINE);
    uint64_t deadline = fake_machine.ticks + 1000;
    deadline_write(deadline);
    assert_int_equal(deadline_read(), deadline);
    fake_advance_ns(guest, 999);
    assert_false(took());
    fake_advance_ns(guest, 1);
    assert_true(took());
    assert_int_equal(deadline_read(), 0);
    deadline_write(1); /* past: at once */
    fake_advance_ns(guest, 0);
    assert_true(took());
    deadline_write(fake_machine.ticks + 1000);
    deadline_write(0); /* disarms */
    assert_int_equal(count_interrupts(5000, 100), 0);
    deadline_write(UINT64_MAX);
    assert_int_equal(count_interrupts(5000, 100), 0);
    page_write(VLAPIC_LVT_FIRST, VECTOR | DEADLINE | MASKED);
    deadline_write(fake_machine.ticks + 100);
    fake_advance_ns(guest, 200);
    assert_int_equal(deadline_read(), 0); /* passed in silence */
    page_write(VLAPIC_LVT_FIRST, VECTOR | DEADLINE);
    assert_int_equal(count_interrupts(5000, 100), 0);
}

static void deadline_follows_the_guests_tsc(void **state)
{
    (void)state;
    vcpu_write(vcpu, VCPU_TSC_OFFSET, (uint64_t)-10000); /* the guest's TSC is behind */
    page_write(VLAPIC_LVT_FIRST, VECTOR | DEADLINE);
    deadline_write(fake_machine.ticks - 10000 + 500);
    fake_advance_ns(guest, 499);
    assert_false(took());
    fake_advance_ns(guest, 1);
    assert_true(took());
    deadline_write(fake_machine.ticks - 10000 + 500);
    vcpu_write(vcpu, VCPU_TSC_OFFSET, (uint64_t)-10300); /* set back on the way */
    fake_advance_ns(guest, 799);
    assert_false(took());
    fake_advance_ns(guest, 1);
    assert_true(took());
}

static void software_disable_and_init_stop_it(void **state)
{
    (void)state;
    set_timer(VECTOR | PERIODIC, DIVIDE_1, 1000000);
    page_write(VLAPIC_SVR, 0xff);
    assert_int_equal(count_interrupts(5000000, 100000), 0);
    page_write(VLAPIC_SVR, 0x1ff);
    page_write(VLAPIC_LVT_FIRST, VECTOR | PERIODIC);
    assert_int_equal(count_interrupts(5000000, 100000), 5);
    vcpu->irq->init_reset(vcpu);
    assert_int_equal(page_read(VLAPIC_INITIAL_COUNT), 0);
    assert_int_equal(page_read(VLAPIC_CURRENT_COUNT), 0);
    assert_true(timer_next(vcpu) == TIMER_NEVER);
}

static void illegal_vector_is_an_error(void **state)
{
    (void)state;
    set_timer(0x05, DIVIDE_1, 1000);
    fake_advance_ns(guest, 1000);
    assert_int_equal(vcpu->irq->pending(vcpu), IRQ_NONE);
    page_write(VLAPIC_ESR, 0);
    assert_int_equal(page_read(VLAPIC_ESR), ESR_RECEIVE_ILLEGAL_VECTOR);
}

static void extreme_counts(void **state)
{
    (void)state;
    set_timer(VECTOR | PERIODIC, 0xa, UINT32_MAX);
    assert_true(timer_next(vcpu) == fake_machine.ticks + UINT64_C(128) * UINT32_MAX);
    fake_machine.ticks = UINT64_MAX - 5;
    timer_run_expired(vcpu, fake_machine.ticks);
    assert_true(took());
    page_read(VLAPIC_CURRENT_COUNT);
    set_timer(VECTOR, 0xa, UINT32_MAX);
    page_read(VLAPIC_CURRENT_COUNT);
    assert_true(timer_next(vcpu) == TIMER_NEVER);
}

/* A count so short that it has ended by the time the deadline is worked out still fires, in every mode. */
static void counts_shorter_than_the_way_to_them(void **state)
{
    (void)state;
    fake_machine.ticks_per_look = 5000;
    set_timer(VECTOR, 0xb, 62);
    assert_true(timer_next(vcpu) <= fake_machine.ticks);
    timer_run_expired(vcpu, fake_machine.ticks);
    assert_true(took());
    assert_true(timer_next(vcpu) == TIMER_NEVER);
    set_timer(VECTOR | PERIODIC, 0xb, 62);
    assert_true(timer_next(vcpu) <= fake_machine.ticks);
    timer_run_expired(vcpu, fake_machine.ticks);
    assert_true(took());
    assert_true(timer_next(vcpu) != TIMER_NEVER);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(one_shot_fires_once),
        TEST(divisors),
        TEST(divisor_changes_on_the_way),
        TEST(periodic_keeps_its_phase),
        TEST(short_periods_are_bounded),
        TEST(zero_stops),
        TEST(masked_timer_runs_in_silence),
        TEST(changes_after_the_deadline_lose_nothing),
        TEST(mode_changes),
        TEST(deadline_mode),
        TEST(deadline_follows_the_guests_tsc),
        TEST(software_disable_and_init_stop_it),
        TEST(illegal_vector_is_an_error),
        TEST(extreme_counts),
        TEST(counts_shorter_than_the_way_to_them),
    };
    return cmocka_run_group_tests_name("vlapic_timer", tests, NULL, NULL);
}
