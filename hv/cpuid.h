/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What CPUID tells a guest: a table of rows, once for both vendors.
 */
#ifndef HV_CPUID_H
#define HV_CPUID_H

#include "hv/exit.h"
#include "hv/machine.h"
#include "hv/types.h"

struct vcpu;

#define CPUID_SIGNATURE     0x40000000u /* "BulkheadHyp " in EBX, ECX, EDX; EAX: highest leaf of this block */
#define CPUID_TIMING        0x40000010u /* EAX: TSC frequency in kHz; EBX: local APIC timer frequency in kHz */
#define CPUID_SIGNATURE_EBX 0x6b6c7542u /* "Bulk" */
#define CPUID_SIGNATURE_ECX 0x64616568u /* "head" */
#define CPUID_SIGNATURE_EDX 0x20707948u /* "Hyp " */

/* Read the processor's leaves and apply the policy. Once, before any guest is made; `apic_timer_hz` goes into
 * CPUID_TIMING. */
void cpuid_policy_init(uint64_t apic_timer_hz);

/* A control that the backend lacks: the feature that needs it is taken out of the policy. Before guests run. */
enum cpuid_feature {
    CPUID_FEATURE_RDTSCP,
    CPUID_FEATURE_INVPCID,
    CPUID_FEATURE_XSAVES,
};
void cpuid_policy_hide(enum cpuid_feature feature);

/* The answer to CPUID on this vCPU, now. */
struct cpuid_result cpuid_policy(struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf);

/* The answers of leaf 1 that follow the vCPU, but for CR4.OSXSAVE: its ids, and whether its local APIC is enabled,
 * which the local APIC's model says whenever that may have changed. Intel SDM vol. 3, "Enabling or Disabling the Local
 * APIC". */
void cpuid_features_update(struct vcpu *vcpu, bool has_apic);

/* The handler of an exited CPUID: the answer goes to the guest's EAX, EBX, ECX and EDX. */
enum verdict cpuid_exit(struct vcpu *vcpu, struct vmexit *exit);

/* Width of guest-physical addresses that the policy tells guests. */
uint8_t cpuid_physical_bits(void);

#endif
