/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC timer. Nothing counts: the current count and each expiry follow from the time since the count was
 * started, so that a periodic timer keeps its phase for good, however late an expiry is served. Expiries that were
 * missed by then are one interrupt, as on hardware, where the IRR has one bit a vector. Intel SDM vol. 3, "APIC Timer".
 */
#include "drivers/virtual/vlapic.h"
#include "drivers/virtual/vlapic_state.h"
#include "hv/guest.h"
#include "hv/machine.h"

static unsigned timer_mode(const struct vlapic *lapic)
{
    return LVT_TIMER_MODE(lapic->lvt[LVT_TIMER]);
}

/* Bits 0, 1 and 3 of the divide configuration: 000 is 2, 110 is 128, 111 is 1. */
static unsigned divide_shift(const struct vlapic *lapic)
{
    return (((lapic->divide & 3) | (lapic->divide & 8) >> 1) + 1) & 7;
}

static uint64_t add_saturating(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t elapsed_units(const struct vlapic *lapic, uint64_t now_ticks)
{
    return units_from_ticks(now_ticks - lapic->started_ticks, VLAPIC_TIMER_HZ);
}

/*
 * Units from the start to the first expiry that is still to come; UINT64_MAX: a one-shot count that has ended. For the
 * guest's eye: what it has not been told yet may have passed.
 */
static uint64_t next_expiry_units(const struct vlapic *lapic, uint64_t elapsed)
{
    if (elapsed < lapic->first_units)
        return lapic->first_units;
    if (timer_mode(lapic) != TIMER_PERIODIC)
        return UINT64_MAX;
    return lapic->first_units + ((elapsed - lapic->first_units) / lapic->period_units + 1) * lapic->period_units;
}

static uint64_t guest_tsc(const struct vlapic *lapic)
{
    return machine_ticks() + vcpu_read(lapic->vcpu, VCPU_TSC_OFFSET);
}

/*
 * When the host must act next; TIMER_NEVER while the guest would not hear of it. The first expiry after `told_units`
 * counts, also when it has passed by now: a count may be shorter than the way to here.
 */
static uint64_t next_deadline_ticks(const struct vlapic *lapic, uint64_t told_units)
{
    uint64_t now = machine_ticks();

    if ((lapic->lvt[LVT_TIMER] & LVT_MASKED) != 0)
        return TIMER_NEVER;
    if (timer_mode(lapic) == TIMER_DEADLINE) {
        uint64_t tsc = guest_tsc(lapic);
        if (lapic->deadline == 0)
            return TIMER_NEVER;
        return lapic->deadline <= tsc ? now : add_saturating(now, lapic->deadline - tsc);
    }
    uint64_t units = lapic->counting ? next_expiry_units(lapic, told_units) : UINT64_MAX;
    if (units == UINT64_MAX)
        return TIMER_NEVER;
    return add_saturating(lapic->started_ticks, ticks_from_units(units, VLAPIC_TIMER_HZ));
}

static void arm(struct vlapic *lapic, uint64_t told_units)
{
    uint64_t deadline = next_deadline_ticks(lapic, told_units);

    if (deadline != lapic->timer.deadline_ticks)
        timer_set(&lapic->timer, deadline);
}

static void fire(struct vlapic *lapic)
{
    if (timer_mode(lapic) == TIMER_DEADLINE) {
        /* The guest may have set its TSC back since: then the deadline is still to come. */
        if (lapic->deadline == 0 || guest_tsc(lapic) < lapic->deadline)
            return;
        lapic->deadline = 0;
    }
    vlapic_raise_local(lapic, LVT_TIMER);
}

static void timer_expired(struct timer *timer)
{
    struct vlapic *lapic = (struct vlapic *)((char *)timer - offsetof(struct vlapic, timer));

    uint64_t told_units = elapsed_units(lapic, machine_ticks());
    fire(lapic);
    uint64_t deadline = next_deadline_ticks(lapic, told_units);
    if (timer_mode(lapic) == TIMER_PERIODIC && lapic->counting) {
        uint64_t shortest = ticks_from_ns(VLAPIC_PERIOD_NS_MIN);
        if (ticks_from_units(lapic->period_units, VLAPIC_TIMER_HZ) < shortest)
            deadline = add_saturating(machine_ticks(), shortest);
    }
    if (deadline != TIMER_NEVER)
        timer_set(timer, deadline);
}

/*
 * Before the guest changes anything: what is due by now happens under the old settings, as it would have on hardware at
 * its time. Else a write that comes between a deadline and its service would swallow an interrupt. Returns how far the
 * count has been told.
 */
static uint64_t settle(struct vlapic *lapic)
{
    uint64_t now = machine_ticks(), told_units = elapsed_units(lapic, now);

    if (lapic->timer.deadline_ticks <= now) {
        timer_set(&lapic->timer, TIMER_NEVER);
        fire(lapic);
    }
    if (lapic->deadline != 0 && guest_tsc(lapic) >= lapic->deadline)
        lapic->deadline = 0; /* passed while masked */
    return told_units;
}

/* Start counting down from `count`, now; each later period is the initial count. */
static void start(struct vlapic *lapic, uint32_t count)
{
    unsigned shift = divide_shift(lapic);

    lapic->counting = count != 0;
    lapic->started_ticks = machine_ticks();
    lapic->first_units = (uint64_t)count << shift;
    lapic->period_units = (uint64_t)lapic->initial_count << shift;
}

uint32_t vlapic_timer_current_count(const struct vlapic *lapic)
{
    if (!lapic->counting || timer_mode(lapic) == TIMER_DEADLINE)
        return 0;
    uint64_t elapsed = elapsed_units(lapic, machine_ticks());
    uint64_t next = next_expiry_units(lapic, elapsed);
    if (next == UINT64_MAX)
        return 0;
    unsigned shift = divide_shift(lapic);
    return (uint32_t)((next - elapsed + (BIT(shift) - 1)) >> shift);
}

void vlapic_timer_set_initial_count(struct vlapic *lapic, uint32_t count)
{
    (void)settle(lapic);
    if (timer_mode(lapic) == TIMER_DEADLINE)
        return;
    lapic->initial_count = count;
    start(lapic, count);
    arm(lapic, 0);
}

/* What is left of the count goes on at the new rate. */
void vlapic_timer_set_divide(struct vlapic *lapic, uint32_t value)
{
    uint32_t left;

    (void)settle(lapic);
    left = vlapic_timer_current_count(lapic);
    lapic->divide = value;
    start(lapic, left);
    arm(lapic, 0);
}

void vlapic_timer_set_lvt(struct vlapic *lapic, uint32_t value)
{
    unsigned before = timer_mode(lapic);
    unsigned after = LVT_TIMER_MODE(value);
    uint64_t told_units;
    uint32_t left;

    told_units = settle(lapic);
    left = vlapic_timer_current_count(lapic);
    lapic->lvt[LVT_TIMER] = value;
    if (before != after && (before == TIMER_DEADLINE || after == TIMER_DEADLINE)) {
        /* Either way across this border disarms the timer: "TSC-Deadline Mode". */
        lapic->counting = false;
        lapic->deadline = 0;
    } else if (before != after) {
        start(lapic, left); /* one-shot and periodic: the count goes on, but one that has ended stays so */
        told_units = 0;
    }
    arm(lapic, told_units);
}

uint64_t vlapic_timer_deadline(const struct vlapic *lapic)
{
    if (lapic->deadline != 0 && (lapic->lvt[LVT_TIMER] & LVT_MASKED) != 0 && guest_tsc(lapic) >= lapic->deadline)
        return 0;
    return lapic->deadline;
}

/* Outside of its mode the MSR reads zero and swallows writes. "TSC-Deadline Mode" */
void vlapic_timer_set_deadline(struct vlapic *lapic, uint64_t deadline)
{
    if (timer_mode(lapic) != TIMER_DEADLINE)
        return;
    (void)settle(lapic);
    lapic->deadline = deadline;
    arm(lapic, 0);
}

int vlapic_timer_init(struct vlapic *lapic)
{
    return timer_init(&lapic->timer, lapic->vcpu, timer_expired);
}

void vlapic_timer_reset(struct vlapic *lapic)
{
    lapic->counting = false;
    lapic->initial_count = 0;
    lapic->divide = 0;
    lapic->deadline = 0;
    timer_set(&lapic->timer, TIMER_NEVER);
}
