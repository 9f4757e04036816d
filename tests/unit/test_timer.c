/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scaling against 128-bit arithmetic, and the list of deadlines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hv/error.h"
#include "hv/timer.h"
#include "tests/unit/fake_calls.h"

static uint64_t hz = FAKE_TICKS_HZ;

/* The fake's clock has one rate; here it may be any. */
uint64_t machine_ticks_hz(void)
{
    return hz;
}

static uint64_t model(uint64_t value, uint64_t multiplier, uint64_t divisor, bool up)
{
    unsigned __int128 product = (unsigned __int128)value * multiplier + (up ? divisor - 1 : 0);

    product /= divisor;
    return product > UINT64_MAX ? UINT64_MAX : (uint64_t)product;
}

static const uint64_t values[] = {0,
                                  1,
                                  2,
                                  999999999,
                                  1000000000,
                                  1000000001,
                                  UINT32_MAX,
                                  UINT64_C(1) << 32,
                                  UINT64_C(1) << 53,
                                  UINT64_C(1) << 63,
                                  UINT64_MAX - 1,
                                  UINT64_MAX};
static const uint64_t rates[] = {1,          18,         1193182,    3579545,           999999999,
                                 1000000000, 2893314000, 5000000000, UINT64_C(1) << 63, UINT64_MAX};

static void check(uint64_t value, uint64_t rate)
{
    assert_int_equal(ticks_from_ns(value), model(value, hz, 1000000000, false));
    assert_int_equal(ns_from_ticks(value), model(value, 1000000000, hz, false));
    assert_int_equal(units_from_ticks(value, rate), model(value, rate, hz, false));
    assert_int_equal(ticks_from_units(value, rate), model(value, hz, rate, true));
}

static void scaling_is_exact(void **state)
{
    (void)state;
    srand(5);
    for (unsigned h = 0; h < ARRAY_SIZE(rates); h++) {
        hz = rates[h];
        for (unsigned r = 0; r < ARRAY_SIZE(rates); r++) {
            for (unsigned v = 0; v < ARRAY_SIZE(values); v++)
                check(values[v], rates[r]);
            for (unsigned round = 0; round < 2000; round++) {
                uint64_t value = (uint64_t)(unsigned)rand() << 33 ^ (uint64_t)(unsigned)rand() << 11 ^ (unsigned)rand();
                check(value >> rand() % 64, rates[r]);
            }
        }
    }
    hz = FAKE_TICKS_HZ;
}

/* A deadline of n units is never before n units have passed. */
static void deadlines_are_never_early(void **state)
{
    (void)state;
    for (unsigned h = 3; h < 8; h++) {
        hz = rates[h];
        for (uint64_t units = 1; units < 5000; units += 7) {
            assert_true(units_from_ticks(ticks_from_units(units, 1193182), 1193182) >= units);
            assert_true(units_from_ticks(ticks_from_units(units, 1193182) - 1, 1193182) < units);
        }
    }
    hz = FAKE_TICKS_HZ;
}

static struct guest *guest;
static struct timer timers[VCPU_TIMERS_MAX + 1];
static unsigned fired[VCPU_TIMERS_MAX + 1];
static uint64_t again;

static void expired(struct timer *timer)
{
    fired[timer - timers]++;
    assert_int_equal(timer->deadline_ticks, TIMER_NEVER); /* off by then */
    assert_int_equal(guest->devices_lock.next, guest->devices_lock.serving + 1);
    if (again != 0)
        timer_set(timer, again);
}

static int setup(void **state)
{
    (void)state;
    guest = fake_guest(MIB(2), 2);
    memset(fired, 0, sizeof(fired));
    again = 0;
    for (unsigned i = 0; i < VCPU_TIMERS_MAX; i++)
        assert_int_equal(timer_init(&timers[i], guest->vcpus[0], expired), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

static void the_earliest_deadline_is_next(void **state)
{
    struct vcpu *vcpu = guest->vcpus[0];

    (void)state;
    assert_int_equal(timer_init(&timers[VCPU_TIMERS_MAX], vcpu, expired), E_NOMEM);
    assert_int_equal(timer_next(vcpu), TIMER_NEVER);
    assert_int_equal(timer_next(guest->vcpus[1]), TIMER_NEVER);
    vcpu->requests = 0;
    timer_set(&timers[3], 500);
    assert_int_equal(vcpu->requests, REQUEST_TIMERS);
    timer_set(&timers[7], 300);
    timer_set(&timers[0], 400);
    assert_int_equal(timer_next(vcpu), 300);
    timer_set(&timers[7], TIMER_NEVER);
    assert_int_equal(timer_next(vcpu), 400);
    timer_run_expired(vcpu, 399);
    assert_int_equal(fired[0], 0);
    timer_run_expired(vcpu, 400);
    assert_int_equal(fired[0], 1);
    assert_int_equal(timer_next(vcpu), 500);
    timer_run_expired(vcpu, UINT64_MAX - 1);
    assert_int_equal(fired[3], 1);
    assert_int_equal(fired[7], 0);
    assert_int_equal(timer_next(vcpu), TIMER_NEVER);
}

/* One that sets itself to a time already past is called once a turn: it cannot hold the CPU. */
static void a_timer_may_set_itself_again(void **state)
{
    struct vcpu *vcpu = guest->vcpus[0];

    (void)state;
    again = 5;
    timer_set(&timers[2], 10);
    timer_run_expired(vcpu, 100);
    assert_int_equal(fired[2], 1);
    assert_int_equal(timer_next(vcpu), 5);
    timer_run_expired(vcpu, 100);
    assert_int_equal(fired[2], 2);
}

static void a_timer_that_is_off_never_fires(void **state)
{
    (void)state;
    timer_run_expired(guest->vcpus[0], UINT64_MAX - 1);
    for (unsigned i = 0; i < VCPU_TIMERS_MAX; i++)
        assert_int_equal(fired[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scaling_is_exact),
        cmocka_unit_test(deadlines_are_never_early),
        cmocka_unit_test_setup_teardown(the_earliest_deadline_is_next, setup, teardown),
        cmocka_unit_test_setup_teardown(a_timer_may_set_itself_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_timer_that_is_off_never_fires, setup, teardown),
    };

    return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
