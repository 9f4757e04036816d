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

extern const struct pt_format hostmap_format;

#endif
