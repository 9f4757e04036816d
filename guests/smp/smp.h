/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the files of the guest "smp": words that other processors change, and its parts.
 */
#ifndef GUESTS_SMP_SMP_H
#define GUESTS_SMP_SMP_H

#include "guests/lib/clock.h"
#include "guests/lib/lib.h"
#include "guests/lib/processors.h"

#define VECTOR_IPI  0x51u
#define VECTOR_WAKE 0x52u
#define VECTOR_NMI  2u

#define PATIENCE_US 5000000u /* for what must happen, on a machine that is busy with others */
#define SETTLE_US   200u     /* for what must not */
#define STEP_US     20u
#define REST_US     2000u

extern uint32_t cpus;
extern uint32_t ipis[LIB_CPUS_MAX]; /* interrupts with VECTOR_IPI that a processor has had */

/* Run a function on all processors at once, with their numbers as arguments, and wait until all have returned. */
void on_each(void (*function)(void *argument));

/* Every order of INIT and start-up IPI; all other processors run before and behind. */
void check_starts(void);

/* Interrupt messages in xAPIC mode, and in x2APIC mode, into which this takes all processors. */
void check_messages(void);
void check_x2apic_messages(void);

static inline uint32_t load(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* Wait until a word has a value. Returns whether it has. */
static inline bool becomes(const uint32_t *word, uint32_t value)
{
    for (uint32_t waited = 0; load(word) != value; waited += STEP_US) {
        if (waited > PATIENCE_US)
            return false;
        clock_wait_us(STEP_US);
    }
    return true;
}

/* Wait until a word has another value than now. */
static inline bool moves(const uint32_t *word)
{
    uint32_t before = load(word);

    for (uint32_t waited = 0; load(word) == before; waited += STEP_US) {
        if (waited > PATIENCE_US)
            return false;
        clock_wait_us(STEP_US);
    }
    return true;
}

/* Wait until a word no longer moves. */
static inline bool rests(const uint32_t *word)
{
    for (uint32_t waited = 0; waited < PATIENCE_US; waited += REST_US) {
        uint32_t before = load(word);
        clock_wait_us(REST_US);
        if (load(word) == before)
            return true;
    }
    return false;
}

#endif
