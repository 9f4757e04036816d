/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The monitor's clock: what is due is done once, on its own CPU only, and also while that CPU waits for something else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/monitor.h"
#include "tests/unit/fake.h"
#include "tests/unit/recorded_log.h"

#define MS UINT64_C(1000000)

static unsigned polls;
static bool output_remains;
static unsigned polls_until_stopped = UINT32_MAX;
static struct guest guests[3];
static unsigned settled[3];

uint32_t guest_count(void)
{
    return 3;
}

struct guest *guest_get(uint32_t number)
{
    return &guests[number];
}

void guest_log_settle(struct guest *guest)
{
    settled[guest - guests]++;
}

bool console_poll(void)
{
    polls++;
    return output_remains;
}

static unsigned shell_serves, control_serves, ends;
static bool shell_busy, shell_open, shutting_down;

bool shell_serve(void)
{
    shell_serves++;
    return shell_busy;
}

bool shell_is_open(void)
{
    return shell_open;
}

void control_serve(void)
{
    control_serves++;
}

bool control_shutting_down(void)
{
    return shutting_down;
}

void guest_end(struct guest *guest)
{
    assert_ptr_equal(guest, &guests[ends]);
    ends++;
}

bool guest_all_stopped(void)
{
    return polls >= polls_until_stopped;
}

static int setup(void **state)
{
    (void)state;
    memset(&fake_machine, 0, sizeof(fake_machine));
    output_remains = shell_busy = false;
    polls_until_stopped = UINT32_MAX;
    fake_machine.timer_deadline = TIMER_NEVER;
    fake_machine.ticks = monitor_serve(); /* something is due now, whatever an earlier test has left */
    polls = shell_serves = control_serves = 0;
    memset(settled, 0, sizeof(settled));
    return 0;
}

static void polls_when_due(void **state)
{
    uint64_t start = fake_machine.ticks;

    (void)state;
    assert_int_equal(monitor_serve(), start + 10 * MS);
    assert_int_equal(polls, 1);
    fake_machine.ticks = start + 10 * MS - 1;
    assert_int_equal(monitor_serve(), start + 10 * MS);
    assert_int_equal(polls, 1);
    /* Sooner again while output waits. */
    output_remains = true;
    fake_machine.ticks++;
    assert_int_equal(monitor_serve(), start + 11 * MS);
    assert_int_equal(polls, 2);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(settled[i], 2);
}

static void serves_shell_and_control(void **state)
{
    uint64_t start = fake_machine.ticks;

    (void)state;
    shell_busy = true;
    assert_int_equal(monitor_serve(), start + MS);
    fake_machine.ticks = start + MS;
    shell_busy = false;
    assert_int_equal(monitor_serve(), start + 11 * MS);
    assert_int_equal(shell_serves, 2);
    assert_int_equal(control_serves, 2);
}

static void others_do_nothing(void **state)
{
    static const uint32_t never;

    (void)state;
    fake_machine.cpu = 1;
    fake_machine.ticks += 100 * MS;
    assert_int_equal(monitor_serve(), TIMER_NEVER);
    monitor_wait(&never, TIMER_NEVER);
    assert_int_equal(fake_machine.timer_deadline, TIMER_NEVER);
    monitor_wait(&never, fake_machine.ticks + 5);
    assert_int_equal(fake_machine.timer_deadline, fake_machine.ticks);
    assert_int_equal(polls, 0);
}

/* A vCPU that rests here waits long; the console does not. */
static void waiting_serves(void **state)
{
    static const uint32_t never;
    uint64_t end = fake_machine.ticks + 95 * MS;

    (void)state;
    while (fake_machine.ticks < end)
        monitor_wait(&never, end);
    assert_int_equal(fake_machine.ticks, end);
    assert_int_equal(polls, 10);
    assert_int_equal(fake_machine.waits, 10);
}

static void close_shell(void)
{
    fake_machine.ticks += MS;
    if (polls == 20)
        shell_open = false;
}

/* Told each time that the last one stops, unless nobody is at the shell or the end was asked for. */
static void tells_who_keeps_the_machine(void **state)
{
    (void)state;
    shell_open = true;
    for (unsigned i = 0; i < 8; i++) {
        polls_until_stopped = i % 4 < 2 ? 0 : UINT32_MAX;
        fake_machine.ticks += 100 * MS;
        (void)monitor_serve();
    }
    assert_int_equal(strlen(output),
                     2 * strlen("all guests have stopped; leaving the shell switches the machine off\n"));
    assert_int_equal(ends, 0);
    shell_open = false;
    output[0] = '\0';
}

/* Someone at the shell may start a guest again. The monitor ends once in its life, so this test is the last. */
static void runs_until_all_have_stopped(void **state)
{
    (void)state;
    polls_until_stopped = 7;
    shell_open = true;
    fake_machine.on_wait = close_shell;
    monitor_run();
    assert_string_equal(output, "all guests have stopped; leaving the shell switches the machine off\n"); /* once */
    assert_int_equal(polls, 21);
    assert_int_equal(ends, 3);
    assert_int_equal(fake_machine.timer_deadline, TIMER_NEVER);
    fake_machine.ticks += 100 * MS;
    (void)monitor_serve();
    assert_int_equal(ends, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(polls_when_due, setup),
        cmocka_unit_test_setup(serves_shell_and_control, setup),
        cmocka_unit_test_setup(others_do_nothing, setup),
        cmocka_unit_test_setup(waiting_serves, setup),
        cmocka_unit_test_setup(tells_who_keeps_the_machine, setup),
        cmocka_unit_test_setup(runs_until_all_have_stopped, setup),
    };

    return cmocka_run_group_tests_name("monitor", tests, NULL, NULL);
}
