/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two backends and what they share with the rest of arch.
 */
#ifndef ARCH_VIRT_H
#define ARCH_VIRT_H

#include "hv/virt.h"

/*
 * Why a processor cannot virtualize: pure functions over CPUID and MSR values, so that each answer is unit-tested.
 * NULL: it can.
 */
struct svm_facts {
    bool is_amd_svm; /* CPUID 8000_0001 ECX bit 2 */
    uint64_t vm_cr;  /* MSR C001_0114, when vm_cr_readable */
    bool vm_cr_readable;
    uint32_t features; /* CPUID 8000_000A EDX */
    uint32_t asids;    /* CPUID 8000_000A EBX */
};
const char *svm_diagnose(const struct svm_facts *facts);

struct vmx_facts {
    bool is_vmx; /* CPUID 1 ECX bit 5 */
    bool is_smx; /* CPUID 1 ECX bit 6 */
    bool feature_control_readable;
    uint64_t feature_control;
    uint64_t basic, secondary,
        ept_vpid; /* IA32_VMX_BASIC, IA32_VMX_PROCBASED_CTLS2, IA32_VMX_EPT_VPID_CAP (0 where absent) */
};
const char *vmx_diagnose(const struct vmx_facts *facts);

/* What to write to IA32_FEATURE_CONTROL before VMXON: switched on and locked. 0: nothing, it is locked or not there. */
uint64_t vmx_feature_control(const struct vmx_facts *facts);

/*
 * Whether a processor may stop with a machine check when an instruction fetch meets a page in two sizes (iTLB multihit,
 * CVE-2018-12207), which a guest can bring about while its memory is executable in large pages. `signature` is CPUID 1
 * EAX, `capabilities` is IA32_ARCH_CAPABILITIES (0 where there is none).
 */
bool vmx_has_multihit(bool is_intel, uint32_t signature, uint64_t capabilities);

extern const struct virt_ops svm_ops;
extern const struct virt_ops vmx_ops;

/* Choose the backend for this machine and set `virt`. Returns 0, or E_NOSYS after one log line that says why neither
 * works. */
int virt_choose(void);

/*
 * The largest page that second-stage tables will have on this machine, 1 GiB where nothing can be virtualized. For
 * sizing the page pool: usable from the first moment on, and quiet.
 */
uint64_t virt_stage2_largest(void);

#endif
