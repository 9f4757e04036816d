/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Planted: no control word has what makes #AC exit.
 */
#include "hv/intercept.h"
#include "hv/virt.h"

uint32_t __real_intercept_bits(const struct intercept_place *places, unsigned word);
uint32_t __wrap_intercept_bits(const struct intercept_place *places, unsigned word);

uint32_t __wrap_intercept_bits(const struct intercept_place *places, unsigned word)
{
    const struct intercept_place *alignment = &places[INTERCEPT_ALIGNMENT];
    uint32_t bits = __real_intercept_bits(places, word);

    return alignment->word == word ? bits & ~alignment->bits : bits;
}
