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

static inline void lock_release(struct lock *lock)
{
    __atomic_store_n(&lock->serving, lock->serving + 1, __ATOMIC_RELEASE);
}

#endif
