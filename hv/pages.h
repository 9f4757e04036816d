/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages for everything that the hypervisor makes at start-up: one pool, taken from both ends, never given back. From
 * the bottom: what a guest's own CPUs must reach (vCPUs, models, control blocks). From the top, hidden: page tables and
 * stacks, which no CPU's final address space maps as memory.
 */
#ifndef HV_PAGES_H
#define HV_PAGES_H

#include "hv/types.h"

/* Start with a pool of `size` bytes of RAM at `base`; partial pages at its ends are left out. */
void pages_init(hpa_t base, uint64_t size);

/*
 * Take `count` (>= 1) contiguous pages from the bottom, filled with zeros, at a multiple of `alignment` bytes (a power
 * of two; less than a page means a page). On a CPU whose address space maps the pool. Returns 0 when the pool is used
 * up or frozen.
 */
hpa_t pages_allocate(uint64_t count, uint64_t alignment);

/* Where the next pages from the bottom begin at the earliest: what is taken between two marks lies between them. */
hpa_t pages_mark(void);

/* The same from the top, for page tables and stacks. */
hpa_t pages_allocate_hidden(uint64_t count);

/* From now on nothing can be taken: guests run. */
void pages_freeze(void);

/* Pages of the pool, and how many of them are taken or lost to alignment. */
uint64_t pages_total(void);
uint64_t pages_used(void);

/* True when some byte of [base, base + size) belongs to the pool, taken or not: the audit asks. */
bool pages_overlap(hpa_t base, uint64_t size);

#endif
