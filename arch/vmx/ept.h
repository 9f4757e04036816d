/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VT-x's extended page tables.
 */
#ifndef ARCH_VMX_EPT_H
#define ARCH_VMX_EPT_H

#include "hv/pagetable.h"

extern const struct pt_format ept_format;

#endif
