/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's own page tables, walked in software: to fetch instructions and string operands. Never for the address of a
 * trapped access: that is the exit's own.
 */
#ifndef HV_GWALK_H
#define HV_GWALK_H

#include "hv/types.h"

struct vcpu;

enum gwalk_access {
    GWALK_WRITE = 1 << 0,
    GWALK_FETCH = 1 << 1,
    GWALK_USER = 1 << 2,     /* at privilege level 3 */
    GWALK_IMPLICIT = 1 << 3, /* a supervisor access that SMAP always checks (descriptor tables) */
};

/* What went wrong, to raise as #PF. */
struct gwalk_fault {
    gva_t address;
    uint32_t error_code;
};

/*
 * Translate one address: no paging, 2-level, PAE, 4 and 5-level, with A/D bits set (atomically), NX, WP, SMEP, SMAP,
 * PSE, reserved bits. Returns 0; E_FAULT with `fault` filled for a #PF; E_NOENT when a table lies outside of guest RAM;
 * E_BUSY when another vCPU keeps changing the entries (enter again: the instruction repeats). Intel SDM vol. 3,
 * "Paging"; AMD APM vol. 2, "Page Translation and Protection".
 */
int gwalk_translate(struct vcpu *vcpu, gva_t address, unsigned access, gpa_t *result, struct gwalk_fault *fault);

/*
 * Fetch up to `size` (<= 15) instruction bytes at CS:RIP into `bytes`; `fetched` counts those before the first that
 * cannot be fetched (page end, CS limit). Returns 0 when at least one was fetched, else the error of gwalk_translate.
 */
int gwalk_fetch(struct vcpu *vcpu, uint8_t *bytes, unsigned size, unsigned *fetched, struct gwalk_fault *fault);

/*
 * Where `size` (at most 15) code bytes at CS:RIP are in memory, when that can be told quickly; NULL says nothing. The
 * guest may change them at any time.
 */
const uint8_t *gwalk_code(struct vcpu *vcpu, unsigned size);

#endif
