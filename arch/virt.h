/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two backends and what they share with the rest of arch.
 */
#ifndef ARCH_VIRT_H
#define ARCH_VIRT_H

#include "hv/virt.h"

/*
 * Why a processor cannot virtualize: pure functions over CPUID and MSR values, so that each answer is unit-tested. NULL: it can.
 */
struct svm_facts {
    bool is_amd_svm;          /* CPUID 8000_0001 ECX bit 2 */
    uint64_t vm_cr;           /* MSR C001_0114, when vm_cr_readable */
    bool vm_cr_readable;
    uint32_t features;        /* CPUID 8000_000A EDX */
    uint32_t asids;           /* CPUID 8000_000A EBX */
};
const char *svm_diagnose(const struct svm_facts *facts);

struct vmx_facts {
    bool is_vmx; /* CPUID 1 ECX bit 5 */
    bool feature_control_readable;
    uint64_t feature_control;
    uint64_t basic, secondary, ept_vpid; /* IA32_VMX_BASIC, IA32_VMX_PROCBASED_CTLS2, IA32_VMX_EPT_VPID_CAP (0 where absent) */
};
const char *vmx_diagnose(const struct vmx_facts *facts);

extern const struct virt_ops svm_ops;
extern const struct virt_ops vmx_ops;

/* Choose the backend for this machine and set `virt`. Returns 0, or E_NOSYS after one log line that says why neither works. */
int virt_choose(void);

/* Memory for control blocks and permission maps: zeroed pages, and their pointer. NULL when the pool is used up. */
void *virt_pages(uint32_t count, hpa_t *address);

#endif
