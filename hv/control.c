/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stop is a wish that is looked after until the guest has stopped, whatever it does in the meantime: crash, restart,
 * reset itself, or never answer.
 */
#include "hv/control.h"

#include "hv/log.h"
#include "hv/machine.h"
#include "hv/timer.h"

static const char by_user[] = "by the shell";

/* Why a guest was stopped hard; known again by their addresses. */
#define HARD "hard, by the shell"
static const char hard[] = HARD;
static const char hard_behind_patience[] = HARD ": it did not react to its power button";
static const char hard_without_button[] = HARD ": it does not listen to a power button";

/* Of the monitor's CPU alone. */
static struct stopping {
    bool wanted;
    bool pressed;            /* the power button */
    uint64_t deadline_ticks; /* then hard */
} stopping[GUESTS_MAX];
static bool shutting_down;

static enum guest_state state_of(const struct guest *guest)
{
    return __atomic_load_n(&guest->state, __ATOMIC_ACQUIRE);
}

static bool is_paused(const struct guest *guest)
{
    return __atomic_load_n(&guest->paused, __ATOMIC_ACQUIRE) != 0;
}

static bool was_stopped_hard(const struct guest *guest)
{
    return guest->action_reason == hard || guest->action_reason == hard_behind_patience ||
           guest->action_reason == hard_without_button;
}

static const char *stopped_text(const struct guest *guest)
{
    switch (__atomic_load_n(&guest->action, __ATOMIC_ACQUIRE)) {
    case GUEST_POWER_OFF: return was_stopped_hard(guest) ? "stopped by the shell" : "powered off";
    case GUEST_CRASH: return "crashed";
    default: return "not loaded"; /* at first, or when it was to start over */
    }
}

const char *control_state_text(const struct guest *guest)
{
    switch (state_of(guest)) {
    case GUEST_CREATED: return "loading";
    case GUEST_RUNNING:
        if (is_paused(guest))
            return "paused";
        return stopping[guest->number].wanted ? "asked to stop" : "running";
    case GUEST_STOPPING: return "stopping";
    case GUEST_PARKED: return guest->crashed != NULL ? "crashed, waiting" : "loading";
    default: return stopped_text(guest);
    }
}

uint64_t control_since_ticks(const struct guest *guest)
{
    switch (state_of(guest)) {
    case GUEST_RUNNING: return is_paused(guest) ? guest->paused_ticks : guest->started_ticks;
    case GUEST_STOPPING: return guest->started_ticks;
    default: return guest->rested_ticks;
    }
}

/* Why nothing can be asked of its vCPUs; NULL: they run. */
static const char *why_not_running(const struct guest *guest)
{
    switch (state_of(guest)) {
    case GUEST_RUNNING: return NULL;
    case GUEST_STOPPING: return "is stopping";
    case GUEST_STOPPED: return "has stopped; \"start\" starts it again";
    default: return guest->crashed != NULL ? "has crashed and waits for its restart" : "is being loaded";
    }
}

const char *control_pause(struct guest *guest)
{
    const char *why_not = why_not_running(guest);

    if (why_not != NULL)
        return why_not;
    if (is_paused(guest))
        return "is paused already";
    guest_pause(guest);
    log_info("guest \"%s\": paused (%s)", guest->name, by_user);
    return NULL;
}

const char *control_resume(struct guest *guest)
{
    const char *why_not = why_not_running(guest);

    if (why_not != NULL)
        return why_not;
    if (!is_paused(guest))
        return "is not paused";
    guest_resume(guest);
    log_info("guest \"%s\": resumed (%s)", guest->name, by_user);
    return NULL;
}

const char *control_reset(struct guest *guest)
{
    const char *why_not = why_not_running(guest);

    if (state_of(guest) == GUEST_PARKED && guest->crashed != NULL) {
        stopping[guest->number].wanted = false;
        guest_wish(guest, GUEST_RESET);
        return NULL;
    }
    if (why_not != NULL)
        return why_not;
    stopping[guest->number].wanted = false;
    guest_request_reset(guest, by_user);
    return NULL;
}

const char *control_start(struct guest *guest)
{
    if (shutting_down)
        return "is not started: the machine is shutting down";
    stopping[guest->number].wanted = false;
    return guest_start(guest) ? NULL : "has not stopped";
}

const char *control_stop(struct guest *guest, bool now)
{
    struct stopping *stop = &stopping[guest->number];

    if (state_of(guest) == GUEST_STOPPED)
        return "has stopped already";
    if (!stop->wanted)
        *stop = (struct stopping){.wanted = true,
                                  .deadline_ticks = machine_ticks() + ticks_from_ns(GUEST_BUTTON_PATIENCE_NS)};
    if (now)
        stop->deadline_ticks = machine_ticks();
    control_serve();
    return NULL;
}

static void press(struct guest *guest)
{
    __atomic_store_n(&guest->button, GUEST_BUTTON_PRESSED, __ATOMIC_RELEASE);
    vcpu_request(guest->vcpus[0], REQUEST_POWER_BUTTON);
    if (is_paused(guest))
        guest_resume(guest);
}

static void serve_running(struct guest *guest, struct stopping *stop)
{
    uint32_t button = __atomic_load_n(&guest->button, __ATOMIC_ACQUIRE);

    if (machine_ticks() >= stop->deadline_ticks) {
        guest_request_power_off(guest, stop->pressed ? hard_behind_patience : hard);
    } else if (!stop->pressed) {
        stop->pressed = true;
        press(guest);
    } else if (button == GUEST_BUTTON_UNHEARD) {
        guest_request_power_off(guest, hard_without_button);
    }
}

void control_serve(void)
{
    for (uint32_t i = 0; i < guest_count(); i++) {
        struct guest *guest = guest_get(i);
        struct stopping *stop = &stopping[guest->number];
        enum guest_state state = state_of(guest);
        if (!stop->wanted)
            continue;
        if (state == GUEST_STOPPED)
            stop->wanted = false;
        else if (state == GUEST_RUNNING)
            serve_running(guest, stop);
        else if (state == GUEST_PARKED && guest->wish != GUEST_POWER_OFF)
            guest_wish(guest, GUEST_POWER_OFF);
    }
}

void control_shutdown(bool now)
{
    log_info("shutting down (%s)", by_user);
    shutting_down = true;
    for (uint32_t i = 0; i < guest_count(); i++)
        (void)control_stop(guest_get(i), now);
}

bool control_shutting_down(void)
{
    return shutting_down;
}
