/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's life: started, reset, crashed, started again with a delay and not for ever, stopped. Each vCPU is a
 * coroutine that gives way to the others where its CPU would wait.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

#include <cmocka.h>

#include "hv/config.h"
#include "hv/console.h"
#include "hv/crash.h"
#include "hv/error.h"
#include "hv/gmem.h"
#include "hv/loader.h"
#include "hv/log.h"
#include "hv/monitor.h"
#include "tests/unit/fake.h"

#define SECOND UINT64_C(1000000000)
#define JUNK   0x1234u /* where each life leaves something in memory */

static struct guest *guest;
static struct guest_config config;
static const struct boot_info boot;

static char written[1 << 18];
static unsigned texts, polls;
static unsigned unsent_looks; /* so often the guest's output is still on its way */
static unsigned loads;
static bool load_fails;
static uint64_t loaded_at[64];
static uint64_t born_at;

void console_write(const char *text, size_t size)
{
    texts++;
    sprintf(written + strlen(written), "%.*s", (int)size, text);
}

bool console_poll(void)
{
    polls++;
    return false;
}

bool console_unsent(const struct guest *who)
{
    assert_ptr_equal(who, guest);
    return unsent_looks > 0 && unsent_looks-- > 0;
}

int flat_load(struct guest *who, const struct loader_input *input, struct vcpu_state *state, struct loader_error *error)
{
    uint64_t left = 1;

    (void)input;
    assert_int_equal(who->state, GUEST_PARKED);
    assert_int_equal(gmem_read(who, JUNK, &left, sizeof(left)), 0);
    assert_int_equal(left, 0);
    left = UINT64_MAX;
    assert_int_equal(gmem_write(who, JUNK, &left, sizeof(left)), 0);
    loaded_at[loads++ % ARRAY_SIZE(loaded_at)] = fake_machine.ticks;
    vcpu_state_reset(state);
    strcpy(error->text, "the image is gone");
    return load_fails ? E_INVAL : 0;
}

static int no_interrupt(struct vcpu *vcpu)
{
    (void)vcpu;
    return IRQ_NONE;
}

static unsigned nothing_blocked(struct vcpu *vcpu)
{
    (void)vcpu;
    return 0;
}

static const struct vcpu_irq_ops apic = {
    .pending = no_interrupt, .acknowledge = no_interrupt, .blocked_by_tpr = nothing_blocked};

/* ---- vCPUs as coroutines ---- */

static ucontext_t home, contexts[GUEST_CPUS_MAX];
static char stacks[2][1 << 18] __attribute__((aligned(64)));
static bool ended[GUEST_CPUS_MAX];

static void coroutine(unsigned number)
{
    guest_main(guest->vcpus[number]);
    ended[number] = true;
    swapcontext(&contexts[number], &home);
}

/* A CPU that waits lets the next one run; time goes on when all of them do. */
static void give_way(void)
{
    swapcontext(&contexts[fake_machine.cpu], &home);
}

static __attribute__((noinline)) void begin(unsigned number)
{
    getcontext(&contexts[number]);
    contexts[number].uc_stack.ss_sp = stacks[number];
    contexts[number].uc_stack.ss_size = sizeof(stacks[number]);
    makecontext(&contexts[number], (void (*)(void))coroutine, 1, number);
    ended[number] = false;
}

/* What the monitor does at each turn with the guest. */
static void end_stopped(void)
{
    if (guest->state == GUEST_STOPPED)
        guest_end(guest);
}
static void (*monitor)(void);

static void live(void)
{
    for (uint32_t i = 0; i < guest->vcpu_count; i++)
        begin(i);
    fake_machine.on_wait = give_way;
    for (unsigned turns = 0; guest->state != GUEST_STOPPED || !ended[0] || !ended[guest->vcpu_count - 1]; turns++) {
        assert_true(turns < 100000);
        for (uint32_t i = 0; i < guest->vcpu_count; i++) {
            fake_machine.cpu = i;
            if (!ended[i])
                swapcontext(&home, &contexts[i]);
        }
        fake_machine.cpu = CPUS_MAX - 1;
        monitor();
        fake_machine.ticks += SECOND / 1000;
    }
}

static void new_guest(uint32_t vcpus)
{
    guest = fake_guest(MIB(2), vcpus);
    memset(&config, 0, sizeof(config));
    config.boot = CONFIG_BOOT_FLAT;
    guest->config = &config;
    guest->boot = &boot;
    guest->state = GUEST_CREATED;
    for (uint32_t i = 0; i < vcpus; i++)
        guest->vcpus[i]->irq = &apic;
    written[0] = '\0';
    texts = polls = loads = unsent_looks = 0;
    load_fails = false;
    monitor = end_stopped;
    born_at = fake_machine.ticks = monitor_serve(); /* behind what an earlier test has left to be due */
    polls = 0;
}

static int setup(void **state)
{
    (void)state;
    new_guest(1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

static unsigned count(const char *what)
{
    unsigned times = 0;

    for (const char *at = written; (at = strstr(at, what)) != NULL; at++)
        times++;
    return times;
}

static void run(void (*script)(struct vcpu *vcpu, struct vmexit *exit))
{
    for (uint32_t i = 0; i < guest->vcpu_count; i++)
        fake_backend(guest->vcpus[i])->on_run = script;
    live();
    assert_int_equal(guest->state, GUEST_STOPPED);
}

/* ---- What a guest does ---- */

static void crash(struct vcpu *vcpu, struct vmexit *exit)
{
    exit->kind = EXIT_NONE;
    exit->reason = 0x77;
    assert_int_equal(guest->state, GUEST_RUNNING);
    guest_crash(vcpu, "it does %s", "nothing right");
    assert_int_equal(guest->state, GUEST_STOPPING);
    guest_crash(vcpu, "again");
    guest_request_reset(guest, "late");
}

static uint64_t good_while;
static unsigned good_lives;
static void crash_after_a_while(struct vcpu *vcpu, struct vmexit *exit)
{
    exit->kind = EXIT_NONE;
    if (guest->starts <= good_lives)
        fake_machine.ticks += good_while;
    guest_crash(vcpu, "sometimes");
}

static unsigned resets_wanted;
static void reset_often(struct vcpu *vcpu, struct vmexit *exit)
{
    (void)vcpu;
    exit->kind = EXIT_NONE;
    if (guest->starts <= resets_wanted)
        guest_request_reset(guest, "a port");
    else
        guest_request_power_off(guest, "ACPI S5");
    guest_crash(vcpu, "too late");
}

/* ---- The tests ---- */

static void a_crash_is_told_whole(void **state)
{
    (void)state;
    unsent_looks = 20;
    run(crash);
    assert_int_equal(loads, 1);
    assert_int_equal(texts, 2);
    assert_int_equal(unsent_looks, 0); /* after the guest's own words */
    assert_non_null(strstr(written, "started\nbulkhead: guest \"fake\" stops: it does nothing right\n"));
    assert_int_equal(count("rip    000000000000fff0"), 1);
    assert_int_equal(count("r15"), 1);
    assert_int_equal(count("base ffffffffffff0000") + count("base 00000000ffff0000"), 1);
    assert_int_equal(count("the last 1 exits"), 1);
    assert_int_equal(count("reason 0x77"), 1);
    assert_int_equal(fake_backend(guest->vcpus[0])->dumps, 1);
    assert_int_equal(count("again"), 0);
    assert_int_equal(count("late"), 0);
    assert_int_equal(count("on its CPU"), 0);
}

/* A guest that writes without end does not keep its end from being told. */
static void last_words_are_bounded(void **state)
{
    (void)state;
    unsent_looks = UINT32_MAX;
    run(crash);
    assert_non_null(strstr(written, "stops: it does"));
    assert_in_range(fake_machine.ticks - born_at, 2 * SECOND, 8 * SECOND);
}

static void restarts_become_rarer_and_end(void **state)
{
    static const unsigned delays[] = {1, 2, 4, 8, 10};

    (void)state;
    config.on_crash = CONFIG_ON_CRASH_RESTART;
    run(crash);
    assert_int_equal(loads, 6);
    for (unsigned i = 0; i < ARRAY_SIZE(delays); i++) {
        uint64_t delay = loaded_at[i + 1] - loaded_at[i];
        assert_in_range(delay, delays[i] * SECOND, delays[i] * SECOND + SECOND / 10);
    }
    assert_int_equal(count("stops: it does nothing right"), 6);
    assert_int_equal(count("started again\n"), 5);
    assert_int_equal(count("starts again in 4 s (restart 3 of at most 5 in a row)\n"), 1);
    assert_int_equal(count("it was started again 5 times and crashed each time; it stays stopped\n"), 1);
    assert_int_equal(count("the last 1 exits"), 6); /* of that life only */
    assert_true(polls > 2000);                      /* all the while */
}

static void a_good_while_begins_a_new_row(void **state)
{
    (void)state;
    config.on_crash = CONFIG_ON_CRASH_RESTART;
    good_while = CRASH_RAN_WELL_NS + 1;
    good_lives = 10;
    run(crash_after_a_while);
    assert_int_equal(loads, 10 + 5);
    assert_int_equal(count("starts again in 1 s (restart 1 of at most 5 in a row)\n"), 10);
}

/* What a slow watchdog has to end has not run well. */
static void a_watchdogs_time_is_no_good_while(void **state)
{
    (void)state;
    config.on_crash = CONFIG_ON_CRASH_RESTART;
    config.watchdog_ns = 100 * SECOND;
    good_while = 200 * SECOND;
    good_lives = 10;
    run(crash_after_a_while);
    assert_int_equal(loads, 6);
}

static void a_reset_is_immediate_and_quiet(void **state)
{
    (void)state;
    resets_wanted = 1000;
    run(reset_often);
    assert_int_equal(loads, 1001);
    assert_true(fake_machine.ticks - born_at < 10 * SECOND);
    assert_in_range(count("reset (a port)"), LOG_LIMIT_BURST, LOG_LIMIT_BURST + 6);
    assert_int_equal(count("stops:"), 0);
    assert_int_equal(count("started"), 1);
    assert_int_equal(count("powered off (ACPI S5)\n"), 1);
}

static void an_image_that_does_not_load_again_ends_it(void **state)
{
    (void)state;
    load_fails = true;
    run(crash);
    assert_int_equal(guest->starts, 0);
    assert_int_equal(count("guest \"fake\": the image is gone\n"), 1);
}

static unsigned entries;
static void stop_without_a_wish(struct vcpu *vcpu, struct vmexit *exit)
{
    exit->kind = EXIT_NONE;
    if (++entries < 5)
        vcpu_request(vcpu, REQUEST_STOP);
    else
        guest_request_power_off(guest, "enough");
}

/* Somebody asked for a stop that another stop had overtaken. */
static void an_echo_of_a_stop_does_no_harm(void **state)
{
    (void)state;
    entries = 0;
    run(stop_without_a_wish);
    assert_int_equal(loads, 1);
    assert_int_equal(entries, 5);
}

static unsigned boot_runs;
static void boot_spins_second_crashes(struct vcpu *vcpu, struct vmexit *exit)
{
    exit->kind = EXIT_NONE;
    if (vcpu->number == 1) {
        assert_int_equal(vcpu->run_state, VCPU_RUNNING);
        guest_crash(vcpu, "its second CPU is tired");
        return;
    }
    if (boot_runs++ % 10 == 5) {
        guest->vcpus[1]->startup_vector = 8;
        vcpu_request(guest->vcpus[1], REQUEST_STARTUP);
    }
    vcpu_request(vcpu, REQUEST_TIMERS);
    give_way();
}

static void all_vcpus_stop_and_start_together(void **state)
{
    (void)state;
    fake_guest_free(guest);
    new_guest(2);
    config.on_crash = CONFIG_ON_CRASH_RESTART;
    boot_runs = 0;
    run(boot_spins_second_crashes);
    assert_int_equal(loads, 6);
    assert_int_equal(count("stops: its second CPU is tired\nbulkhead:   on its CPU 1:\n"), 6);
    assert_int_equal(fake_backend(guest->vcpus[0])->dumps, 0);
    assert_true(fake_machine.kicks[0] >= 6);
    /* Each life begins with the reset of both. */
    assert_int_equal(fake_backend(guest->vcpus[0])->states_loaded, 6);
    assert_int_equal(fake_backend(guest->vcpus[1])->states_loaded, 12);
}

/* ---- What the monitor asks ---- */

static unsigned runs, turns_to_go;

static void run_on(struct vcpu *vcpu, struct vmexit *exit)
{
    exit->kind = EXIT_NONE;
    assert_int_equal(guest->paused, 0);
    runs++;
    vcpu_request(vcpu, REQUEST_TIMERS);
    give_way();
}

/* Stop it whenever it runs, start it when it has stopped, a few times. */
static void stop_and_start(void)
{
    if (guest->state == GUEST_RUNNING) {
        assert_false(guest_start(guest));
        guest_request_power_off(guest, "by the shell");
    } else if (guest->state == GUEST_STOPPED && turns_to_go > 1) {
        turns_to_go--;
        assert_true(guest_start(guest));
    } else {
        end_stopped();
    }
}

static void a_stopped_guest_starts_again(void **state)
{
    (void)state;
    fake_guest_free(guest);
    new_guest(2);
    turns_to_go = 4;
    monitor = stop_and_start;
    run(run_on);
    assert_int_equal(loads, 4);
    assert_int_equal(guest->starts, 4);
    assert_int_equal(count("started\n"), 1);
    assert_int_equal(count("started again\n"), 3);
    assert_int_equal(count("powered off (by the shell)\n"), 4);
    assert_int_equal(fake_backend(guest->vcpus[1])->states_loaded, 4);
}

/* Where a guest's image cannot be loaded a start changes nothing, and may be tried again. */
static void a_start_may_fail(void **state)
{
    (void)state;
    load_fails = true;
    turns_to_go = 3;
    monitor = stop_and_start;
    run(run_on);
    assert_int_equal(guest->starts, 0);
    assert_int_equal(count("the image is gone\n"), 3);
}

/* Started by hand, a guest has all its restarts again. */
static void start_after_crashes(void)
{
    if (guest->state != GUEST_STOPPED || turns_to_go == 1) {
        end_stopped();
        return;
    }
    turns_to_go--;
    assert_true(guest_start(guest));
}

static void a_start_forgives_crashes(void **state)
{
    (void)state;
    config.on_crash = CONFIG_ON_CRASH_RESTART;
    turns_to_go = 2;
    monitor = start_after_crashes;
    run(crash);
    assert_int_equal(loads, 12);
    assert_int_equal(count("restart 1 of at most 5"), 2);
    assert_in_range(guest->rested_ticks, guest->started_ticks, fake_machine.ticks);
}

static uint64_t paused_at;
static void pause_for_a_while(void)
{
    uint32_t runs_before = runs;

    if (guest->state != GUEST_RUNNING) {
        end_stopped();
    } else if (runs == 10 && guest->paused == 0 && paused_at == 0) {
        guest_pause(guest);
        paused_at = fake_machine.ticks;
        assert_int_equal(guest->paused_ticks, paused_at);
    } else if (guest->paused != 0 && fake_machine.ticks > paused_at + SECOND) {
        assert_in_range(runs_before, 10, 13); /* what was under way when it was asked */
        guest_resume(guest);
    } else if (runs == 30) {
        guest_request_power_off(guest, "by the shell");
    }
}

static void a_paused_guest_does_not_run(void **state)
{
    (void)state;
    fake_guest_free(guest);
    new_guest(2);
    runs = 0;
    paused_at = 0;
    monitor = pause_for_a_while;
    run(run_on);
    assert_true(runs >= 30);
    assert_true(fake_machine.ticks - born_at > SECOND);
    assert_int_equal(count("powered off (by the shell)\n"), 1);
}

static void reset_while_paused(void)
{
    if (guest->state == GUEST_RUNNING && guest->starts == 1 && guest->paused == 0)
        guest_pause(guest);
    else if (guest->state == GUEST_RUNNING && guest->starts == 1)
        guest_request_reset(guest, "by the shell");
    else if (guest->state == GUEST_RUNNING && runs > 20)
        guest_request_power_off(guest, "by the shell");
    end_stopped();
}

static void a_reset_ends_a_pause(void **state)
{
    (void)state;
    runs = 0;
    monitor = reset_while_paused;
    run(run_on);
    assert_int_equal(guest->starts, 2);
    assert_int_equal(count("reset (by the shell)\n"), 1);
}

static enum guest_action wish;
static void wish_when_parked(void)
{
    if (guest->state == GUEST_PARKED && guest->crashed != NULL && guest->wish == GUEST_GO_ON)
        guest_wish(guest, wish);
    end_stopped();
}

static void a_wish_ends_the_wait_after_a_crash(void **state)
{
    (void)state;
    config.on_crash = CONFIG_ON_CRASH_RESTART;
    monitor = wish_when_parked;
    wish = GUEST_RESET;
    run(crash);
    assert_int_equal(loads, 6);
    assert_true(fake_machine.ticks - born_at < SECOND);
    fake_guest_free(guest);
    new_guest(1);
    config.on_crash = CONFIG_ON_CRASH_RESTART;
    monitor = wish_when_parked;
    wish = GUEST_POWER_OFF;
    run(crash);
    assert_int_equal(loads, 1);
}

#define WITH_GUEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_GUEST(a_crash_is_told_whole),
        WITH_GUEST(last_words_are_bounded),
        WITH_GUEST(restarts_become_rarer_and_end),
        WITH_GUEST(a_good_while_begins_a_new_row),
        WITH_GUEST(a_watchdogs_time_is_no_good_while),
        WITH_GUEST(a_reset_is_immediate_and_quiet),
        WITH_GUEST(an_image_that_does_not_load_again_ends_it),
        WITH_GUEST(an_echo_of_a_stop_does_no_harm),
        WITH_GUEST(all_vcpus_stop_and_start_together),
        WITH_GUEST(a_stopped_guest_starts_again),
        WITH_GUEST(a_start_may_fail),
        WITH_GUEST(a_start_forgives_crashes),
        WITH_GUEST(a_paused_guest_does_not_run),
        WITH_GUEST(a_reset_ends_a_pause),
        WITH_GUEST(a_wish_ends_the_wait_after_a_crash),
    };

    return cmocka_run_group_tests_name("guest", tests, NULL, NULL);
}
