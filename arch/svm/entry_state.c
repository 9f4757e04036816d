/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a VMCB has for hv's entry checks, and what VMRUN takes. AMD APM vol. 2, "Canonicalization and Consistency
 * Checks".
 */
#include "arch/svm/svm.h"

#include "arch/x86.h"

/* The bits that some processor has; which of them this one has, CPUID has told the guest (creg.c, msr.c). */
#define CR0_ALLOWED  UINT32_MAX
#define CR4_ALLOWED  UINT64_C(0x00f71fff) /* up to UMIP and LA57; FSGSBASE, PCIDE, OSXSAVE; SMEP, SMAP, PKE, CET */
#define EFER_ALLOWED UINT64_C(0x0036fd01) /* SCE; LME, LMA to TCE; MCOMMIT, INTWB; UAIE, AIBRSE */

#define EVENT_TYPES                                                                                                    \
    (BIT(EVENT_WORD_INTERRUPT) | BIT(EVENT_WORD_NMI) | BIT(EVENT_WORD_EXCEPTION) | BIT(EVENT_WORD_SOFTWARE_INTERRUPT))

void svm_entry_state(const struct vmcb *vmcb, struct entry_state *state)
{
    state->vendor = ENTRY_AMD;
    state->long_mode = (vmcb->efer & EFER_LMA) != 0;
    state->loads_debug = state->loads_efer = true;
    state->loads_pat = (vmcb->nested_control & NESTED_PAGING) != 0;
    state->vmrun_intercepted = (vmcb->intercept_misc2 & MISC2_VMRUN) != 0;
    state->cr0_allowed = CR0_ALLOWED;
    state->cr4_allowed = CR4_ALLOWED;
    state->efer_ones = EFER_SVME;
    state->efer_allowed = EFER_ALLOWED;
    state->cr0 = vmcb->cr0;
    state->cr4 = vmcb->cr4;
    state->efer = vmcb->efer;
    state->event = (uint32_t)vmcb->event_injection;
    state->event_error_code = (uint32_t)(vmcb->event_injection >> 32);
    state->event_types = EVENT_TYPES;
    state->address_space = vmcb->asid;
    state->io_bitmap = vmcb->iopm_base;
    state->io_bitmap_bytes = IOPM_PAGES * PAGE_SIZE;
    state->msr_bitmap = vmcb->msrpm_base;
    state->msr_bitmap_bytes = MSRPM_PAGES * PAGE_SIZE;
    state->stage2_root = vmcb->nested_cr3;
}
