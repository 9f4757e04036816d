/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A set of addresses, kept as sorted pieces that neither touch nor overlap: what is free, what is reserved.
 */
#ifndef HV_EXTENTS_H
#define HV_EXTENTS_H

#include "hv/types.h"

#define EXTENTS_MAX 256u

/* [base, end), never empty in a set. */
struct extent {
    uint64_t base;
    uint64_t end;
};

/* Zeroed, it is the empty set. */
struct extents {
    struct extent items[EXTENTS_MAX];
    uint32_t count;
};

/* Unite the set with [base, end); nothing happens when that is empty. Returns 0, or E_NOMEM with nothing changed. */
int extents_add(struct extents *set, uint64_t base, uint64_t end);

/*
 * Take [base, end) away. Returns 0; or E_NOMEM when a piece had to be cut in two and no room was left: the part of that
 * piece behind `end` is lost then too.
 */
int extents_remove(struct extents *set, uint64_t base, uint64_t end);

/* Shrink every piece to multiples of `alignment` (a power of two); pieces that vanish leave the set. */
void extents_align(struct extents *set, uint64_t alignment);

/* All bytes of the set, and those of its largest piece. */
uint64_t extents_total(const struct extents *set);
uint64_t extents_largest(const struct extents *set);

/* The piece that holds all of [base, end), or NULL. */
const struct extent *extents_find(const struct extents *set, uint64_t base, uint64_t end);

/*
 * The place for `size` bytes at a multiple of `alignment` (a power of two): the lowest one in the smallest piece that
 * has room. Returns 0 and `base`, or E_NOENT.
 */
int extents_fit(const struct extents *set, uint64_t size, uint64_t alignment, uint64_t *base);

#endif
