/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frame that arch/trap.S pushes.
 */
#ifndef ARCH_TRAP_H
#define ARCH_TRAP_H

#include "hv/types.h"

struct trap_frame {
    uint64_t gpr[16]; /* by hardware number */
    uint64_t vector;
    uint64_t error_code;
    uint64_t rip, cs, rflags, rsp, ss;
};

/* From trap.S. */
void trap_handle(struct trap_frame *frame);

#endif
