/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The calls of hv/hypercall.h, as functions.
 */
#ifndef GUESTS_LIB_HYPERCALL_H
#define GUESTS_LIB_HYPERCALL_H

#include "hv/hypercall.h"
#include "hv/types.h"

struct hypercall_registers {
    uint64_t rax, rbx, rcx, rdx;
};

/* True under Bulkhead: CPUID says so. Without it a hypercall is an invalid opcode, or somebody else's. */
bool hypercall_offered(void);

/* The instruction of this processor's vendor, with these registers and back. */
void hypercall_raw(struct hypercall_registers *registers);

/* A call with its arguments. Returns what it answers in RAX, and through `answer`, which may be NULL, RBX. */
int64_t hypercall(enum hypercall number, uint64_t rbx, uint64_t rcx, uint64_t *answer);

#endif
