/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AMD-V's nested page tables.
 */
#ifndef ARCH_SVM_NPT_H
#define ARCH_SVM_NPT_H

#include "hv/pagetable.h"

extern const struct pt_format npt_format;

#endif
