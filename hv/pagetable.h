/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one page-table walker. Host tables, NPT and EPT have the same shape (4 levels of 512 entries of 8 bytes); what
 * their bits mean is said by a struct pt_format each.
 */
#ifndef HV_PAGETABLE_H
#define HV_PAGETABLE_H

#include "hv/types.h"

#define PAGE_SIZE_4K KIB(4)
#define PAGE_SIZE_2M MIB(2)
#define PAGE_SIZE_1G GIB(1)

/* What may be done with a page. READ is always part of it: no format can express a page without. */
#define ACCESS_READ    1u
#define ACCESS_WRITE   2u
#define ACCESS_EXECUTE 4u
#define ACCESS_ALL     7u

enum memory_type {
    MEMORY_WRITE_BACK,
    MEMORY_WRITE_COMBINING,
    MEMORY_UNCACHED,
};

/* Levels count from the leaves: 0 maps 4 KiB, 1 maps 2 MiB, 2 maps 1 GiB, 3 is the root. */
struct pt_format {
    const char *name;
    bool canonical;        /* addresses are sign-extended from bit 47; otherwise they end at 2^48 */
    uint64_t present_mask; /* an entry is present when any of these bits is set */
    uint64_t large_bit;    /* marks a leaf at levels 1 and 2 */
    uint64_t table_bits;   /* all attribute bits of an entry that points to a table */
    /* Attribute bits of a leaf, without address and large_bit, and back. */
    uint64_t (*encode)(unsigned access, enum memory_type type);
    unsigned (*decode_access)(uint64_t entry);
    enum memory_type (*decode_type)(uint64_t entry);
};

struct pagetable {
    const struct pt_format *format;
    hpa_t root;
    uint64_t largest; /* the largest page that pagetable_map may use: PAGE_SIZE_4K, _2M or _1G; may be changed between
                         calls */
};

/* One leaf: [address, address + size) goes to [hpa, hpa + size). */
struct pagetable_mapping {
    uint64_t address;
    hpa_t hpa;
    uint64_t size;
    unsigned access; /* ACCESS_ bits */
    enum memory_type type;
};

/*
 * All addresses and sizes below are multiples of 4 KiB (else E_INVAL) and inside the format's address range (else
 * E_RANGE). Nobody flushes TLBs here: that is the caller's, after unmap and protect.
 */

/* Start an empty table. Returns 0 or E_NOMEM. */
int pagetable_create(struct pagetable *table, const struct pt_format *format, uint64_t largest);

/*
 * Map a range, with the largest pages that fit. Returns 0; E_BUSY, with nothing changed, when any part is mapped
 * already; E_INVAL for bad alignment or an access without READ; E_RANGE; E_NOMEM when the page pool is used up (a part
 * may then be mapped).
 */
int pagetable_map(struct pagetable *table, uint64_t address, hpa_t hpa, uint64_t size, unsigned access,
                  enum memory_type type);

/* Take a range away; parts that are not mapped stay so. Splits larger pages. Returns 0, E_INVAL, E_RANGE or E_NOMEM. */
int pagetable_unmap(struct pagetable *table, uint64_t address, uint64_t size);

/*
 * Change the access of a range. Splits larger pages. Returns 0; E_NOENT, with nothing changed, when a part is not
 * mapped; E_INVAL, E_RANGE, E_NOMEM.
 */
int pagetable_protect(struct pagetable *table, uint64_t address, uint64_t size, unsigned access);

/* The leaf that holds `address` (any byte). Returns 0, E_NOENT or E_RANGE. */
int pagetable_lookup(const struct pagetable *table, uint64_t address, struct pagetable_mapping *mapping);

/* Call `visit` for every leaf in rising order until it returns other than 0; returns that, or 0. */
int pagetable_walk(const struct pagetable *table, int (*visit)(void *context, const struct pagetable_mapping *mapping),
                   void *context);

#endif
