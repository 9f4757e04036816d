/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "Did you mean ...?": of all names that would be right, the one that a mistyped word resembles most.
 */
#ifndef HV_SIMILAR_H
#define HV_SIMILAR_H

#include "hv/types.h"

#define SIMILAR_LENGTH_MAX 31u /* longer words resemble nothing */

struct similar {
    const char *word;
    size_t length;
    const char *best; /* NULL: nothing resembles it */
    uint32_t distance;
};

void similar_begin(struct similar *similar, const char *word, size_t length);

/* Offer a name, ended by a zero; `best` is the closest of those that were offered. */
void similar_offer(struct similar *similar, const char *name);

#endif
