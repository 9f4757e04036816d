/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Small pieces of work by the clock, so that whoever holds the CPU can call in between.
 */
#include "hv/monitor.h"

#include "hv/console.h"
#include "hv/control.h"
#include "hv/guest.h"
#include "hv/log.h"
#include "hv/machine.h"
#include "hv/shell.h"
#include "hv/timer.h"

#define POLL_BUSY_NS UINT64_C(1000000)
#define POLL_IDLE_NS UINT64_C(10000000)

static uint32_t monitor_cpu;

/* Of the monitor's CPU alone. */
static uint64_t next_ticks;
static bool ended;
static bool end_told; /* that only the shell keeps the machine */

void monitor_init(uint32_t cpu)
{
    monitor_cpu = cpu;
}

/* A user at the shell may start a guest again. */
static void look_for_end(void)
{
    bool stopped = guest_all_stopped(), kept = shell_is_open() && !control_shutting_down();

    if (stopped && kept && !end_told)
        log_info("all guests have stopped; leaving the shell switches the machine off");
    end_told = stopped && kept;
    if (ended || !stopped || kept)
        return;
    ended = true;
    for (uint32_t i = 0; i < guest_count(); i++)
        guest_end(guest_get(i));
}

/* Returns true when more is to be done soon. */
static bool serve(void)
{
    for (uint32_t i = 0; i < guest_count(); i++)
        guest_log_settle(guest_get(i));
    bool console_busy = console_poll();
    bool shell_busy = shell_serve();
    control_serve();
    look_for_end();
    return console_busy || shell_busy;
}

uint64_t monitor_serve(void)
{
    if (machine_cpu() != monitor_cpu)
        return TIMER_NEVER;
    if (machine_ticks() >= next_ticks)
        next_ticks = machine_ticks() + ticks_from_ns(serve() ? POLL_BUSY_NS : POLL_IDLE_NS);
    return next_ticks;
}

void monitor_wait(const uint32_t *stop_when_set, uint64_t deadline_ticks)
{
    machine_timer_set(min_u64(deadline_ticks, monitor_serve()));
    machine_wait(stop_when_set);
}

void monitor_run(void)
{
    static const uint32_t never;

    while (!ended)
        monitor_wait(&never, TIMER_NEVER);
    machine_timer_set(TIMER_NEVER);
}
