/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nested page-table entries: the processor's own format. The nested walk counts as a user access, so every entry
 * carries the user bit; the memory type goes through the host's PAT and is combined with the guest's. AMD64 APM vol. 2,
 * "Nested Paging".
 */
#include "arch/svm/npt.h"

#include "arch/hostmap_format.h"

static uint64_t npt_encode(unsigned access, enum memory_type type)
{
    return hostmap_encode(access, type) | PTE_US;
}

const struct pt_format npt_format = {
    .name = "NPT",
    .canonical = false,
    .present_mask = PTE_P,
    .large_bit = PTE_PS,
    .table_bits = PTE_P | PTE_RW | PTE_US | PTE_A,
    .encode = npt_encode,
    .decode_access = hostmap_decode_access,
    .decode_type = hostmap_decode_type,
};
