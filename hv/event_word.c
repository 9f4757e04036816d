/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events to and from the form that control blocks hold.
 */
#include "hv/event_word.h"

uint32_t event_word_encode(const struct event *event)
{
    uint32_t type = EVENT_WORD_EXCEPTION;

    switch (event->type) {
    case EVENT_INTERRUPT: type = EVENT_WORD_INTERRUPT; break;
    case EVENT_NMI: type = EVENT_WORD_NMI; break;
    case EVENT_SOFTWARE_INTERRUPT: type = EVENT_WORD_SOFTWARE_INTERRUPT; break;
    case EVENT_SOFTWARE_EXCEPTION:
        type = event->vector == VECTOR_DB ? EVENT_WORD_PRIVILEGED_EXCEPTION : EVENT_WORD_SOFTWARE_EXCEPTION;
        break;
    default: break;
    }
    return (uint32_t)(EVENT_WORD_VALID | type << EVENT_WORD_TYPE_SHIFT | event->vector |
                      (event->has_error_code ? EVENT_WORD_HAS_ERROR_CODE : 0));
}

static enum event_type type_of(unsigned type, unsigned vector)
{
    switch (type) {
    case EVENT_WORD_INTERRUPT: return EVENT_INTERRUPT;
    case EVENT_WORD_NMI: return EVENT_NMI;
    case EVENT_WORD_SOFTWARE_INTERRUPT: return EVENT_SOFTWARE_INTERRUPT;
    case EVENT_WORD_PRIVILEGED_EXCEPTION:
    case EVENT_WORD_SOFTWARE_EXCEPTION: return EVENT_SOFTWARE_EXCEPTION;
    default:
        /* AMD reports INT3 and INTO as exceptions; nothing but an instruction raises these two. */
        return vector == VECTOR_BP || vector == VECTOR_OF ? EVENT_SOFTWARE_EXCEPTION : EVENT_EXCEPTION;
    }
}

struct event event_word_decode(uint32_t word, uint32_t error_code)
{
    bool has_error_code = (word & EVENT_WORD_HAS_ERROR_CODE) != 0;

    return (struct event){
        .type = type_of(event_word_type(word), event_word_vector(word)),
        .vector = (uint8_t)event_word_vector(word),
        .has_error_code = has_error_code,
        .error_code = has_error_code ? error_code : 0,
    };
}
