/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Page tables in a fake guest's RAM, in every paging mode, built one mapping at a time; and a vCPU put into a mode. To
 * be included by the one file of a test.
 */
#ifndef TESTS_UNIT_FAKE_PAGING_H
#define TESTS_UNIT_FAKE_PAGING_H

#include <assert.h>
#include <string.h>

#include "hv/gmem.h"
#include "hv/guest.h"
#include "tests/unit/fake.h"

#define PTE_P   UINT64_C(0x001)
#define PTE_W   UINT64_C(0x002)
#define PTE_U   UINT64_C(0x004)
#define PTE_A   UINT64_C(0x020)
#define PTE_D   UINT64_C(0x040)
#define PTE_PS  UINT64_C(0x080)
#define PTE_NX  (UINT64_C(1) << 63)
#define PTE_ALL (PTE_P | PTE_W | PTE_U)

enum fake_mode {
    FAKE_REAL,
    FAKE_PROTECTED_16, /* no paging */
    FAKE_PROTECTED_32, /* no paging */
    FAKE_PAGED_2,      /* 32-bit paging */
    FAKE_PAGED_PAE,
    FAKE_LONG_4,
    FAKE_LONG_5,
    FAKE_COMPATIBILITY, /* 32-bit code, 4-level tables */
    FAKE_MODE_COUNT,
};

struct fake_paging {
    struct guest *guest;
    gpa_t root;
    gpa_t next; /* tables are taken from here upwards */
    unsigned levels;
    unsigned entry_bytes;
};

static inline void fake_segment(struct vcpu *vcpu, enum segment segment, uint64_t base, uint32_t limit,
                                uint32_t attributes)
{
    fake_backend(vcpu)->segments[segment] = (struct segment_register){base, limit, attributes, 0};
}

/* CPL 0, flat segments where there are any, tables empty. `tables`: where page tables may be put, 4 KiB aligned. */
static inline struct fake_paging fake_enter_mode(struct vcpu *vcpu, enum fake_mode mode, gpa_t tables)
{
    uint64_t *regs = fake_backend(vcpu)->registers;
    bool paged = mode >= FAKE_PAGED_2, wide = mode >= FAKE_PAGED_PAE, long_mode = mode >= FAKE_LONG_4;
    bool small = mode == FAKE_REAL || mode == FAKE_PROTECTED_16;
    struct fake_paging paging = {vcpu->guest, tables, tables + PAGE_SIZE, 2, wide ? 8 : 4};

    regs[VCPU_CR0] = 0x10 | (mode != FAKE_REAL) | (paged ? UINT64_C(0x80010000) : 0); /* PG, WP */
    regs[VCPU_CR4] = (wide ? 0x20u : 0) | (paged ? 0x10u : 0) | (mode == FAKE_LONG_5 ? 0x1000u : 0);
    regs[VCPU_EFER] = (long_mode ? 0x500u : 0) | (wide ? 0x800u : 0);
    regs[VCPU_CR3] = tables;
    regs[VCPU_RFLAGS] = 0x202;
    for (unsigned i = SEGMENT_ES; i <= SEGMENT_GS; i++)
        fake_segment(vcpu, (enum segment)i, 0, small ? 0xffff : UINT32_MAX, small ? 0x93 : 0xc093);
    fake_segment(vcpu, SEGMENT_CS, 0, small ? 0xffff : UINT32_MAX,
                 small                                        ? 0x9b
                 : mode == FAKE_LONG_4 || mode == FAKE_LONG_5 ? 0xa09b
                                                              : 0xc09b);
    if (mode == FAKE_PAGED_PAE)
        paging.levels = 3;
    else if (long_mode)
        paging.levels = mode == FAKE_LONG_5 ? 5 : 4;
    return paging;
}

static inline uint64_t fake_entry_read(const struct fake_paging *paging, gpa_t at)
{
    uint64_t entry = 0;
    int error = gmem_read(paging->guest, at, &entry, paging->entry_bytes);

    assert(error == 0);
    (void)error;
    return entry;
}

static inline void fake_entry_write(const struct fake_paging *paging, gpa_t at, uint64_t entry)
{
    int error = gmem_write(paging->guest, at, &entry, paging->entry_bytes);

    assert(error == 0);
    (void)error;
}

/* Where the entry of a level (1: the page table) for an address is; missing tables above it are made, with all rights.
 */
static inline gpa_t fake_entry(struct fake_paging *paging, gva_t address, unsigned level)
{
    unsigned bits = paging->entry_bytes == 8 ? 9 : 10;
    gpa_t table = paging->root;

    for (unsigned at = paging->levels;; at--) {
        gpa_t entry_at = table + (address >> (12 + bits * (at - 1)) & ((1u << bits) - 1)) * paging->entry_bytes;
        bool pae_pointer = paging->levels == 3 && at == 3;
        if (at == level)
            return entry_at;
        if ((fake_entry_read(paging, entry_at) & PTE_P) == 0) {
            fake_entry_write(paging, entry_at, paging->next | (pae_pointer ? PTE_P : PTE_ALL));
            paging->next += PAGE_SIZE;
        }
        table = fake_entry_read(paging, entry_at) & UINT64_C(0x000ffffffffff000);
    }
}

/* Map 4 KiB. */
static inline void fake_map(struct fake_paging *paging, gva_t address, gpa_t page, uint64_t flags)
{
    fake_entry_write(paging, fake_entry(paging, address, 1), page | flags);
}

#endif
