/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The only way to guest memory. Every access is checked against the guest's RAM ranges; what is not RAM is refused.
 */
#ifndef HV_GMEM_H
#define HV_GMEM_H

#include "hv/types.h"

struct guest;

/* Copy between the hypervisor and guest RAM. Returns 0, or E_FAULT (and copies nothing) when any byte is not RAM. */
int gmem_read(struct guest *guest, gpa_t from, void *to, uint64_t size);
int gmem_write(struct guest *guest, gpa_t to, const void *from, uint64_t size);

/* Fill guest RAM with a byte. Returns 0 or E_FAULT. */
int gmem_fill(struct guest *guest, gpa_t to, int byte, uint64_t size);

/*
 * A pointer to `size` bytes of guest RAM, or NULL when they are not all in one range. The guest may change them
 * at any time: copy before checking.
 */
void *gmem_pointer(struct guest *guest, gpa_t address, uint64_t size);

/* The first byte of one of the guest's ranges (guest->ram). */
struct guest_ram;
void *gmem_range(const struct guest_ram *ram);

/* True when all bytes are guest RAM (perhaps of several ranges). */
bool gmem_is_ram(const struct guest *guest, gpa_t address, uint64_t size);

#endif
