/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which model-specific registers a guest has: one table for both vendors.
 */
#ifndef HV_MSR_H
#define HV_MSR_H

#include "hv/types.h"

struct vcpu;

/* MSRs that a guest reads and writes without an exit: their values live in the VMCS or VMCB, or stay in the processor.
 */
extern const uint32_t msr_direct[];
extern const uint32_t msr_direct_count;

/* May a guest reach it without an exit: one of those, or a read of the TSC, where the processor adds the offset? */
bool msr_is_direct(uint32_t msr, bool write);

/* RDMSR and WRMSR of anything else. Returns 0, or E_INVAL for #GP. */
int msr_policy_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
int msr_policy_write(struct vcpu *vcpu, uint32_t msr, uint64_t value);

/* What the memory type and other plain registers hold after a reset. */
void msr_reset(struct vcpu *vcpu);

#endif
