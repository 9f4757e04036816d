/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ticket lock. No lock is held while a guest runs, and none is taken from an interrupt or NMI handler.
 */
#ifndef HV_LOCK_H
#define HV_LOCK_H

#include "hv/machine.h"
#include "hv/types.h"

struct lock {
    uint32_t next;
    uint32_t serving;
};

static inline void lock_take(struct lock *lock)
{
    uint32_t ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket)
        machine_relax();
}

/*
 * The same without a queue: whoever runs takes it. Under an emulator, which shares its host's CPUs, the next in a queue
 * is mostly one that does not run, and all others spin until it does. For locks that one guest alone asks for, so that
 * the unfairness is its own.
 */
static inline void lock_take_unqueued(struct lock *lock)
{
    for (;;) {
        uint32_t free = __atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE), next = free;
        if (__atomic_load_n(&lock->next, __ATOMIC_RELAXED) == free &&
            __atomic_compare_exchange_n(&lock->next, &next, free + 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return;
        machine_relax();
    }
}

static inline void lock_release(struct lock *lock)
{
    __atomic_store_n(&lock->serving, lock->serving + 1, __ATOMIC_RELEASE);
}

#endif
