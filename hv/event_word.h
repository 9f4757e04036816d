/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An event as control blocks hold it, to be delivered or interrupted in its delivery: VMCS and VMCB have one form for
 * it. Intel SDM vol. 3, "VM-Entry Controls for Event Injection" and "IDT-Vectoring Information"; AMD APM vol. 2, "Event
 * Injection" and "EXITINTINFO Pseudo-Code".
 */
#ifndef HV_EVENT_WORD_H
#define HV_EVENT_WORD_H

#include "hv/types.h"
#include "hv/virt.h"

#define EVENT_WORD_VECTOR_MASK    0xffu
#define EVENT_WORD_TYPE_SHIFT     8u
#define EVENT_WORD_HAS_ERROR_CODE BIT(11)
#define EVENT_WORD_VALID          BIT(31)

enum event_word_type {
    EVENT_WORD_INTERRUPT = 0,
    EVENT_WORD_NMI = 2,
    EVENT_WORD_EXCEPTION = 3,
    EVENT_WORD_SOFTWARE_INTERRUPT = 4,
    EVENT_WORD_PRIVILEGED_EXCEPTION = 5, /* INT1; Intel only, as the next */
    EVENT_WORD_SOFTWARE_EXCEPTION = 6,   /* INT3, INTO */
};

static inline unsigned event_word_type(uint64_t word)
{
    return (unsigned)(word >> EVENT_WORD_TYPE_SHIFT & 7u);
}

static inline unsigned event_word_vector(uint64_t word)
{
    return (unsigned)(word & EVENT_WORD_VECTOR_MASK);
}

/* The word that delivers an event. Its error code and length stand elsewhere. */
uint32_t event_word_encode(const struct event *event);

/* What a valid word tells of an event; `error_code` counts where the word says so. The length becomes 0. */
struct event event_word_decode(uint32_t word, uint32_t error_code);

#endif
