/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bits of nested page-table entries. The nested walk counts as a user access, so every entry carries the user bit; the
 * memory type goes through the host's PAT and is combined with the guest's. AMD64 APM vol. 2, "Nested Paging".
 */
#include "arch/svm/npt.h"

#define NPT_P   BIT(0)
#define NPT_RW  BIT(1)
#define NPT_US  BIT(2)
#define NPT_PWT BIT(3)
#define NPT_PCD BIT(4)
#define NPT_A   BIT(5)
#define NPT_D   BIT(6)
#define NPT_PS  BIT(7)
#define NPT_NX  BIT(63)

/* PCD and PWT select entries 0 to 3 of the host's PAT: write-back, write-combining, (uncached minus,) uncached. */
static uint64_t npt_encode(unsigned access, enum memory_type type)
{
    uint64_t entry = NPT_P | NPT_US | NPT_A | NPT_D;

    if ((access & ACCESS_WRITE) != 0)
        entry |= NPT_RW;
    if ((access & ACCESS_EXECUTE) == 0)
        entry |= NPT_NX;
    if (type == MEMORY_UNCACHED)
        entry |= NPT_PCD | NPT_PWT;
    else if (type == MEMORY_WRITE_COMBINING)
        entry |= NPT_PWT;
    return entry;
}

static unsigned npt_decode_access(uint64_t entry)
{
    return ACCESS_READ | ((entry & NPT_RW) != 0 ? ACCESS_WRITE : 0) | ((entry & NPT_NX) == 0 ? ACCESS_EXECUTE : 0);
}

static enum memory_type npt_decode_type(uint64_t entry)
{
    if ((entry & NPT_PCD) != 0)
        return MEMORY_UNCACHED;
    return (entry & NPT_PWT) != 0 ? MEMORY_WRITE_COMBINING : MEMORY_WRITE_BACK;
}

const struct pt_format npt_format = {
    .name = "NPT",
    .canonical = false,
    .present_mask = NPT_P,
    .large_bit = NPT_PS,
    .table_bits = NPT_P | NPT_RW | NPT_US | NPT_A,
    .encode = npt_encode,
    .decode_access = npt_decode_access,
    .decode_type = npt_decode_type,
};
