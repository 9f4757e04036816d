/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who hangs and who only sleeps: heartbeats on a fake clock, and vCPUs that halt with and without interrupts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv/config.h"
#include "hv/exit.h"
#include "hv/watchdog.h"
#include "tests/unit/fake.h"

#define SECOND UINT64_C(1000000000)

static struct guest *guest;
static struct vcpu *vcpu;
static struct guest_config config;

static struct {
    unsigned crashes, lines;
    uint64_t crashed_at;
    char text[256];
    uint64_t beat_until; /* the guest beats each second, up to then */
    uint64_t stop_at;
    int pending;
} seen;

void guest_crash(struct vcpu *who, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(seen.text, sizeof(seen.text), format, arguments);
    va_end(arguments);
    seen.crashes++;
    seen.crashed_at = fake_machine.ticks;
    vcpu_request(who, REQUEST_STOP);
}

void guest_log(struct guest *who, const char *format, ...)
{
    assert_ptr_equal(who, guest);
    assert_non_null(format);
    seen.lines++;
}

bool console_poll(void)
{
    return false;
}

static int apic_pending(struct vcpu *who)
{
    return who == vcpu ? seen.pending : IRQ_NONE;
}

static int apic_acknowledge(struct vcpu *who)
{
    int vector = apic_pending(who);

    seen.pending = IRQ_NONE;
    return vector;
}

static unsigned apic_blocked(struct vcpu *who)
{
    (void)who;
    return 0;
}

static const struct vcpu_irq_ops apic = {
    .pending = apic_pending, .acknowledge = apic_acknowledge, .blocked_by_tpr = apic_blocked};

static void new_guest(uint32_t vcpus, uint64_t watchdog_ns)
{
    guest = fake_guest(MIB(2), vcpus);
    vcpu = guest->vcpus[0];
    memset(&seen, 0, sizeof(seen));
    seen.pending = IRQ_NONE;
    config.watchdog_ns = watchdog_ns;
    guest->config = &config;
    for (uint32_t i = 0; i < vcpus; i++)
        guest->vcpus[i]->irq = &apic;
    assert_int_equal(watchdog_init(guest), 0);
    watchdog_start(guest);
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

/* ---- Heartbeats ---- */

/* It only spins: the hypervisor's timer ends its stay. */
static void spin(struct vcpu *who, struct vmexit *exit)
{
    exit->kind = EXIT_NONE;
    fake_machine.ticks = max_u64(fake_machine.ticks, min_u64(fake_machine.timer_deadline, seen.stop_at));
    if (fake_machine.ticks >= seen.stop_at)
        vcpu_request(who, REQUEST_STOP);
}

static struct timer beat;

static void beat_expired(struct timer *timer)
{
    if (fake_machine.ticks <= seen.beat_until)
        watchdog_heartbeat(guest);
    timer_set(timer, fake_machine.ticks + SECOND);
    seen.pending = 0x30;
}

static void beat_until(uint64_t end)
{
    seen.beat_until = end;
    assert_int_equal(timer_init(&beat, vcpu, beat_expired), 0);
    timer_set(&beat, SECOND);
}

static void run_until(uint64_t end, void (*script)(struct vcpu *, struct vmexit *))
{
    seen.stop_at = end;
    fake_backend(vcpu)->on_run = script;
    vcpu_run(vcpu);
}

static void the_first_heartbeat_must_come_in_time(void **state)
{
    (void)state;
    new_guest(1, 5 * SECOND);
    run_until(100 * SECOND, spin);
    assert_int_equal(seen.crashes, 1);
    assert_int_equal(seen.crashed_at, 5 * SECOND);
    assert_string_equal(seen.text, "watchdog: no heartbeat for 5 s");
}

static void each_heartbeat_begins_the_time_anew(void **state)
{
    (void)state;
    new_guest(1, 1500 * SECOND / 1000);
    beat_until(60 * SECOND);
    run_until(100 * SECOND, spin);
    assert_int_equal(seen.crashes, 1);
    assert_int_equal(seen.crashed_at, 61500 * SECOND / 1000);
    assert_string_equal(seen.text, "watchdog: no heartbeat for 1500 ms");
}

static void without_the_key_nothing_is_expected(void **state)
{
    (void)state;
    new_guest(1, 0);
    assert_int_equal(vcpu->timer_count, 0);
    run_until(10000 * SECOND, spin);
    assert_int_equal(seen.crashes, 0);
}

/* A heartbeat may be younger than what the watching CPU's clock says. */
static void a_clock_that_is_behind(void **state)
{
    (void)state;
    new_guest(1, SECOND);
    fake_machine.ticks = SECOND;
    guest->heartbeat_ticks = SECOND + 7;
    timer_run_expired(vcpu, fake_machine.ticks);
    assert_int_equal(seen.crashes, 0);
    assert_int_equal(guest->watchdog.deadline_ticks, 2 * SECOND + 7);
}

/* ---- Sleep ---- */

static void halt(struct vcpu *who, struct vmexit *exit)
{
    *exit = (struct vmexit){.kind = EXIT_HLT, .length = 1};
    if (fake_machine.ticks >= seen.stop_at)
        vcpu_request(who, REQUEST_STOP);
}

static void an_idle_guest_never_crashes(void **state)
{
    (void)state;
    new_guest(1, 2 * SECOND);
    beat_until(UINT64_MAX);
    run_until(1000 * SECOND, halt);
    assert_true(fake_machine.ticks >= 1000 * SECOND);
    assert_int_equal(seen.crashes, 0);
    assert_int_equal(seen.lines, 0);
}

/* ... but it has to beat. */
static void an_idle_guest_that_does_not_beat(void **state)
{
    (void)state;
    new_guest(1, 2 * SECOND);
    run_until(1000 * SECOND, halt);
    assert_int_equal(seen.crashed_at, 2 * SECOND);
}

static void sleep_for_good_is_noticed_at_once(void **state)
{
    (void)state;
    new_guest(1, 100 * SECOND);
    fake_backend(vcpu)->registers[VCPU_RFLAGS] = 2; /* CLI; HLT */
    seen.pending = 0x20;                            /* which it does not take */
    run_until(1000 * SECOND, halt);
    assert_int_equal(seen.crashes, 1);
    assert_int_equal(seen.crashed_at, 0);
    assert_non_null(strstr(seen.text, "watchdog: it has halted with interrupts off"));
}

static unsigned wakes;

static void wake_for_nothing(void)
{
    if (++wakes == 20)
        vcpu_request(vcpu, REQUEST_STOP);
}

static void without_the_key_it_is_told_once(void **state)
{
    (void)state;
    new_guest(1, 0);
    fake_backend(vcpu)->registers[VCPU_RFLAGS] = 2;
    wakes = 0;
    fake_machine.on_wait = wake_for_nothing;
    run_until(UINT64_MAX, halt);
    assert_int_equal(seen.crashes, 0);
    assert_int_equal(seen.lines, 1);
    watchdog_start(guest); /* another life, another line */
    wakes = 0;
    run_until(UINT64_MAX, halt);
    assert_int_equal(seen.lines, 2);
}

static void all_vcpus_have_to_sleep(void **state)
{
    (void)state;
    new_guest(3, 100 * SECOND);
    watchdog_asleep(guest->vcpus[1]);
    watchdog_asleep(guest->vcpus[2]);
    assert_int_equal(seen.crashes, 0);
    /* One is about to be woken: by the NMI, INIT or start-up IPI of another. */
    static const uint32_t waking[] = {REQUEST_NMI, REQUEST_INIT, REQUEST_STARTUP};
    for (unsigned i = 0; i < ARRAY_SIZE(waking); i++) {
        guest->vcpus[1]->requests = waking[i];
        watchdog_asleep(vcpu);
        assert_int_equal(seen.crashes, 0);
    }
    guest->vcpus[1]->requests = REQUEST_TIMERS | REQUEST_EVENT; /* which do not */
    watchdog_awake(guest->vcpus[2]);
    watchdog_asleep(vcpu);
    assert_int_equal(seen.crashes, 0);
    watchdog_asleep(guest->vcpus[2]);
    assert_int_equal(seen.crashes, 1);
}

static void stop_waiting(void)
{
    vcpu_request(guest->vcpus[1], REQUEST_STOP);
}

/* A processor that was never started sleeps too. */
static void waiting_for_start_up_is_sleep(void **state)
{
    (void)state;
    new_guest(2, 100 * SECOND);
    vcpu->asleep = 1;
    fake_machine.cpu = 1;
    guest->vcpus[1]->run_state = VCPU_WAIT_FOR_STARTUP;
    guest->vcpus[1]->requests = 0;
    vcpu->requests = 0;
    fake_machine.on_wait = stop_waiting;
    vcpu_run(guest->vcpus[1]);
    assert_int_equal(seen.crashes, 1);
    assert_int_equal(guest->vcpus[1]->asleep, 0);
}

#define TEST(test) cmocka_unit_test_teardown(test, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_heartbeat_must_come_in_time),
        TEST(each_heartbeat_begins_the_time_anew),
        TEST(without_the_key_nothing_is_expected),
        TEST(a_clock_that_is_behind),
        TEST(an_idle_guest_never_crashes),
        TEST(an_idle_guest_that_does_not_beat),
        TEST(sleep_for_good_is_noticed_at_once),
        TEST(without_the_key_it_is_told_once),
        TEST(all_vcpus_have_to_sleep),
        TEST(waiting_for_start_up_is_sleep),
    };

    return cmocka_run_group_tests_name("watchdog", tests, NULL, NULL);
}
