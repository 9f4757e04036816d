/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bits of the host's own page-table entries. Accessed and dirty are set from the start, so that no processor ever
 * writes to a table. Intel SDM vol. 3, "4-Level Paging and 5-Level Paging"; AMD64 APM vol. 2, "Long-Mode Page
 * Translation".
 */
#include "arch/hostmap_format.h"

#define HOST_P   BIT(0)
#define HOST_RW  BIT(1)
#define HOST_PWT BIT(3)
#define HOST_PCD BIT(4)
#define HOST_A   BIT(5)
#define HOST_D   BIT(6)
#define HOST_PS  BIT(7)
#define HOST_NX  BIT(63)

/* PCD and PWT select entries 0 to 3 of HOST_PAT. */
static uint64_t host_encode(unsigned access, enum memory_type type)
{
    uint64_t entry = HOST_P | HOST_A | HOST_D;

    if ((access & ACCESS_WRITE) != 0)
        entry |= HOST_RW;
    if ((access & ACCESS_EXECUTE) == 0)
        entry |= HOST_NX;
    if (type == MEMORY_UNCACHED)
        entry |= HOST_PCD | HOST_PWT;
    else if (type == MEMORY_WRITE_COMBINING)
        entry |= HOST_PWT;
    return entry;
}

static unsigned host_decode_access(uint64_t entry)
{
    return ACCESS_READ | ((entry & HOST_RW) != 0 ? ACCESS_WRITE : 0) | ((entry & HOST_NX) == 0 ? ACCESS_EXECUTE : 0);
}

static enum memory_type host_decode_type(uint64_t entry)
{
    if ((entry & HOST_PCD) != 0)
        return MEMORY_UNCACHED;
    return (entry & HOST_PWT) != 0 ? MEMORY_WRITE_COMBINING : MEMORY_WRITE_BACK;
}

const struct pt_format hostmap_format = {
    .name = "host",
    .canonical = true,
    .present_mask = HOST_P,
    .large_bit = HOST_PS,
    .table_bits = HOST_P | HOST_RW | HOST_A,
    .encode = host_encode,
    .decode_access = host_decode_access,
    .decode_type = host_decode_type,
};
