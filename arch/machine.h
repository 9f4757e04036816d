/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What start-up tells hv/machine.h's implementation.
 */
#ifndef ARCH_MACHINE_H
#define ARCH_MACHINE_H

#include "hv/types.h"

/* The TSC's frequency, and the wall clock now (seconds since 1970-01-01 UTC). Once, on the boot CPU. */
void machine_init_clock(uint64_t hz, int64_t now_s);

#endif
