/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deadlines of device models. A handful per vCPU, so a linear look is the fastest.
 */
#include "hv/timer.h"

#include "hv/error.h"
#include "hv/guest.h"
#include "hv/machine.h"
#include "hv/vcpu.h"

int timer_init(struct timer *timer, struct vcpu *owner, void (*expired)(struct timer *timer))
{
    if (owner->timer_count == VCPU_TIMERS_MAX)
        return E_NOMEM;
    timer->deadline_ticks = TIMER_NEVER;
    timer->expired = expired;
    timer->owner = owner;
    owner->timers[owner->timer_count++] = timer;
    return 0;
}

void timer_set(struct timer *timer, uint64_t deadline_ticks)
{
    __atomic_store_n(&timer->deadline_ticks, deadline_ticks, __ATOMIC_RELEASE);
    vcpu_request(timer->owner, REQUEST_TIMERS);
}

uint64_t timer_next(const struct vcpu *vcpu)
{
    uint64_t next = TIMER_NEVER;

    for (uint32_t i = 0; i < vcpu->timer_count; i++)
        next = min_u64(next, __atomic_load_n(&vcpu->timers[i]->deadline_ticks, __ATOMIC_ACQUIRE));
    return next;
}

void timer_run_expired(struct vcpu *vcpu, uint64_t now_ticks)
{
    for (uint32_t i = 0; i < vcpu->timer_count; i++) {
        struct timer *timer = vcpu->timers[i];
        if (__atomic_load_n(&timer->deadline_ticks, __ATOMIC_ACQUIRE) > now_ticks)
            continue;
        guest_devices_lock(vcpu->guest);
        /* Another vCPU may have moved it while we waited for the lock. */
        if (timer->deadline_ticks <= now_ticks) {
            __atomic_store_n(&timer->deadline_ticks, TIMER_NEVER, __ATOMIC_RELEASE);
            timer->expired(timer);
        }
        guest_devices_unlock(vcpu->guest);
    }
}

/* A 128-bit number by a 64-bit one that is larger than the upper half, so that the quotient has 64 bits. Bit by bit:
 * there is no division wider than 64 bits here. */
static uint64_t divide_wide(unsigned __int128 dividend, uint64_t divisor)
{
    uint64_t quotient = 0, remainder = (uint64_t)(dividend >> 64);

    for (int bit = 63; bit >= 0; bit--) {
        bool carry = remainder >> 63 != 0;
        remainder = remainder << 1 | ((uint64_t)dividend >> bit & 1);
        quotient <<= 1;
        if (carry || remainder >= divisor) {
            remainder -= divisor;
            quotient |= 1;
        }
    }
    return quotient;
}

/*
 * value * multiplier / divisor. Whole divisors in the value come out exactly; what remains is nearly always a product
 * of 64 bits, so that times since start-up cost two divisions however long that was ago.
 */
static uint64_t scale(uint64_t value, uint64_t multiplier, uint64_t divisor, bool round_up)
{
    uint64_t whole, part;
    unsigned __int128 product = (unsigned __int128)(value % divisor) * multiplier + (round_up ? divisor - 1 : 0);

    if (product >> 64 == 0)
        part = (uint64_t)product / divisor;
    else
        part = divide_wide(product, divisor);
    if (__builtin_mul_overflow(value / divisor, multiplier, &whole) || __builtin_add_overflow(whole, part, &whole))
        return UINT64_MAX;
    return whole;
}

uint64_t ticks_from_ns(uint64_t ns)
{
    return scale(ns, machine_ticks_hz(), NS_PER_SECOND, false);
}

uint64_t ns_from_ticks(uint64_t ticks)
{
    return scale(ticks, NS_PER_SECOND, machine_ticks_hz(), false);
}

uint64_t units_from_ticks(uint64_t ticks, uint64_t hz)
{
    return scale(ticks, hz, machine_ticks_hz(), false);
}

uint64_t ticks_from_units(uint64_t units, uint64_t hz)
{
    return scale(units, machine_ticks_hz(), hz, true);
}
