/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bits of extended page-table entries. An entry is present when any access bit is set; the memory type stands in a leaf
 * itself and is combined with the guest's PAT (bit 6, "ignore PAT", stays 0). Intel SDM vol. 3, "The Extended Page
 * Table Mechanism (EPT)".
 */
#include "arch/vmx/ept.h"

#define EPT_READ       BIT(0)
#define EPT_WRITE      BIT(1)
#define EPT_EXECUTE    BIT(2)
#define EPT_TYPE_SHIFT 3u
#define EPT_TYPE_MASK  7u
#define EPT_LARGE      BIT(7)

/* Numbers as in the MTRRs. */
#define EPT_TYPE_UC 0u
#define EPT_TYPE_WC 1u
#define EPT_TYPE_WB 6u

/* The access bits of hv and of EPT have the same places. */
_Static_assert(ACCESS_READ == EPT_READ && ACCESS_WRITE == EPT_WRITE && ACCESS_EXECUTE == EPT_EXECUTE, "access bits");

static uint64_t ept_encode(unsigned access, enum memory_type type)
{
    uint64_t number = EPT_TYPE_WB;

    if (type == MEMORY_UNCACHED)
        number = EPT_TYPE_UC;
    else if (type == MEMORY_WRITE_COMBINING)
        number = EPT_TYPE_WC;
    return access | number << EPT_TYPE_SHIFT;
}

static unsigned ept_decode_access(uint64_t entry)
{
    return (unsigned)(entry & (EPT_READ | EPT_WRITE | EPT_EXECUTE));
}

static enum memory_type ept_decode_type(uint64_t entry)
{
    unsigned number = (unsigned)(entry >> EPT_TYPE_SHIFT) & EPT_TYPE_MASK;

    if (number == EPT_TYPE_WB)
        return MEMORY_WRITE_BACK;
    return number == EPT_TYPE_WC ? MEMORY_WRITE_COMBINING : MEMORY_UNCACHED;
}

const struct pt_format ept_format = {
    .name = "EPT",
    .canonical = false,
    .present_mask = EPT_READ | EPT_WRITE | EPT_EXECUTE,
    .large_bit = EPT_LARGE,
    .table_bits = EPT_READ | EPT_WRITE | EPT_EXECUTE,
    .encode = ept_encode,
    .decode_access = ept_decode_access,
    .decode_type = ept_decode_type,
};
