/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's own page tables: 4-level paging of a 64-bit processor.
 */
#ifndef ARCH_HOSTMAP_FORMAT_H
#define ARCH_HOSTMAP_FORMAT_H

#include "hv/pagetable.h"

/*
 * The page attribute table (MSR 277h) that the host and the nested format rely on: the power-on value with entry 1
 * changed from write-through to write-combining. Without it, write-combining pages are write-through. Intel SDM vol. 3,
 * "Page Attribute Table (PAT)".
 */
#define HOST_PAT UINT64_C(0x0007040600070106)

/* Bits of an entry of the processor's own format, which AMD's nested tables have too. */
#define PTE_P   BIT(0)
#define PTE_RW  BIT(1)
#define PTE_US  BIT(2)
#define PTE_PWT BIT(3)
#define PTE_PCD BIT(4)
#define PTE_A   BIT(5)
#define PTE_D   BIT(6)
#define PTE_PS  BIT(7)
#define PTE_NX  BIT(63)

/* What struct pt_format asks of that format; such an entry is for the hypervisor alone. */
uint64_t hostmap_encode(unsigned access, enum memory_type type);
unsigned hostmap_decode_access(uint64_t entry);
enum memory_type hostmap_decode_type(uint64_t entry);

extern const struct pt_format hostmap_format;

#endif
