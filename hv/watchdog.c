/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The heartbeat is a time that the guest's CPUs write and a timer of its first vCPU compares; that timer goes off
 * whatever the vCPU is at, with interrupts off as well. Sleep for good is noticed by the last vCPU that falls asleep.
 */
#include "hv/watchdog.h"

#include "hv/config.h"
#include "hv/guest.h"
#include "hv/machine.h"
#include "hv/timer.h"
#include "hv/vcpu.h"

#define NS_PER_MS UINT64_C(1000000)

/* What wakes a vCPU that takes no interrupt. */
#define REQUESTS_WAKING (REQUEST_STOP | REQUEST_NMI | REQUEST_INIT | REQUEST_STARTUP)

static void look(struct timer *timer)
{
    struct guest *guest = timer->owner->guest;
    uint64_t deadline = __atomic_load_n(&guest->heartbeat_ticks, __ATOMIC_RELAXED) + guest->watchdog_ticks;
    uint64_t ns = guest->config->watchdog_ns;
    bool seconds = ns % NS_PER_SECOND == 0;

    if (deadline > machine_ticks()) {
        timer_set(timer, deadline);
        return;
    }
    guest_crash(timer->owner, "watchdog: no heartbeat for %lu %s", ns / (seconds ? NS_PER_SECOND : NS_PER_MS),
                seconds ? "s" : "ms");
}

int watchdog_init(struct guest *guest)
{
    if (guest->config->watchdog_ns == 0)
        return 0;
    guest->watchdog_ticks = ticks_from_ns(guest->config->watchdog_ns);
    return timer_init(&guest->watchdog, guest->vcpus[0], look);
}

void watchdog_start(struct guest *guest)
{
    guest->sleep_told = 0;
    if (guest->watchdog_ticks == 0)
        return;
    watchdog_heartbeat(guest);
    timer_set(&guest->watchdog, guest->heartbeat_ticks + guest->watchdog_ticks);
}

void watchdog_heartbeat(struct guest *guest)
{
    __atomic_store_n(&guest->heartbeat_ticks, machine_ticks(), __ATOMIC_RELAXED);
}

/*
 * A vCPU that wakes says so before it takes its requests, and here they are looked at first: what one vCPU has asked of
 * another before it fell asleep itself is either still there, or has woken that other.
 */
static bool all_asleep(const struct guest *guest)
{
    for (uint32_t i = 0; i < guest->vcpu_count; i++) {
        struct vcpu *vcpu = guest->vcpus[i];
        if ((__atomic_load_n(&vcpu->requests, __ATOMIC_SEQ_CST) & REQUESTS_WAKING) != 0 ||
            __atomic_load_n(&vcpu->asleep, __ATOMIC_SEQ_CST) == 0)
            return false;
    }
    return true;
}

void watchdog_asleep(struct vcpu *vcpu)
{
    static const char why[] = "it has halted with interrupts off; nothing but a reset can wake it";
    struct guest *guest = vcpu->guest;

    __atomic_store_n(&vcpu->asleep, 1, __ATOMIC_SEQ_CST);
    if (!all_asleep(guest))
        return;
    if (guest->watchdog_ticks != 0)
        guest_crash(vcpu, "watchdog: %s", why);
    else if (__atomic_exchange_n(&guest->sleep_told, 1, __ATOMIC_RELAXED) == 0)
        guest_log(guest, "%s", why);
}

void watchdog_awake(struct vcpu *vcpu)
{
    __atomic_store_n(&vcpu->asleep, 0, __ATOMIC_SEQ_CST);
}
