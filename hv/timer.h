/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deadlines of device models, in host ticks. Each vCPU keeps a small fixed list; its run loop arms the CPU's
 * timer for the earliest and calls what has expired.
 */
#ifndef HV_TIMER_H
#define HV_TIMER_H

#include "hv/types.h"

struct vcpu;

#define NS_PER_SECOND UINT64_C(1000000000)

#define TIMER_NEVER     UINT64_MAX
#define VCPU_TIMERS_MAX 8u

struct timer {
    uint64_t deadline_ticks; /* TIMER_NEVER: off */
    /* Runs on the owner vCPU's CPU, with device access serialised; the timer is off by then and may be set again. */
    void (*expired)(struct timer *timer);
    struct vcpu *owner;
};

/* Put a timer, switched off, on a vCPU's list for good. Returns 0 or E_NOMEM. */
int timer_init(struct timer *timer, struct vcpu *owner, void (*expired)(struct timer *timer));

/* Set or move the deadline (TIMER_NEVER switches off). From any CPU of the owner's guest. */
void timer_set(struct timer *timer, uint64_t deadline_ticks);

/* The earliest deadline of a vCPU. */
uint64_t timer_next(const struct vcpu *vcpu);

/* Call everything whose deadline is at or before `now_ticks`. */
void timer_run_expired(struct vcpu *vcpu, uint64_t now_ticks);

/* Conversions, rounding down; exact over the whole range (128-bit products), saturating at UINT64_MAX. */
uint64_t ticks_from_ns(uint64_t ns);
uint64_t ns_from_ticks(uint64_t ticks);
/* units of a clock of `hz` hertz that pass in `ticks`, and back (rounding up, so that a deadline is never early). */
uint64_t units_from_ticks(uint64_t ticks, uint64_t hz);
uint64_t ticks_from_units(uint64_t units, uint64_t hz);

#endif
