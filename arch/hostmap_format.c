/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bits of the host's own page-table entries. Accessed and dirty are set from the start, so that no processor ever
 * writes to a table. Intel SDM vol. 3, "4-Level Paging and 5-Level Paging"; AMD64 APM vol. 2, "Long-Mode Page
 * Translation".
 */
#include "arch/hostmap_format.h"

/* PCD and PWT select entries 0 to 3 of HOST_PAT. */
uint64_t hostmap_encode(unsigned access, enum memory_type type)
{
    uint64_t entry = PTE_P | PTE_A | PTE_D;

    if ((access & ACCESS_WRITE) != 0)
        entry |= PTE_RW;
    if ((access & ACCESS_EXECUTE) == 0)
        entry |= PTE_NX;
    if (type == MEMORY_UNCACHED)
        entry |= PTE_PCD | PTE_PWT;
    else if (type == MEMORY_WRITE_COMBINING)
        entry |= PTE_PWT;
    return entry;
}

unsigned hostmap_decode_access(uint64_t entry)
{
    return ACCESS_READ | ((entry & PTE_RW) != 0 ? ACCESS_WRITE : 0) | ((entry & PTE_NX) == 0 ? ACCESS_EXECUTE : 0);
}

enum memory_type hostmap_decode_type(uint64_t entry)
{
    if ((entry & PTE_PCD) != 0)
        return MEMORY_UNCACHED;
    return (entry & PTE_PWT) != 0 ? MEMORY_WRITE_COMBINING : MEMORY_WRITE_BACK;
}

const struct pt_format hostmap_format = {
    .name = "host",
    .canonical = true,
    .present_mask = PTE_P,
    .large_bit = PTE_PS,
    .table_bits = PTE_P | PTE_RW | PTE_A,
    .encode = hostmap_encode,
    .decode_access = hostmap_decode_access,
    .decode_type = hostmap_decode_type,
};
