/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why an AMD processor cannot run guests: a pure function, so that every answer is unit-tested without such a machine.
 * AMD APM vol. 2, "Enabling SVM".
 */
#include "arch/virt.h"

#define FEATURE_NPT      BIT(0)
#define FEATURE_SVM_LOCK BIT(2)
#define VM_CR_LOCK       BIT(3)
#define VM_CR_SVMDIS     BIT(4)

const char *svm_diagnose(const struct svm_facts *facts)
{
    if (!facts->is_amd_svm)
        return "the processor has no AMD-V (SVM)";
    if (facts->vm_cr_readable && (facts->vm_cr & VM_CR_SVMDIS) != 0) {
        if ((facts->features & FEATURE_SVM_LOCK) == 0)
            return "AMD-V is disabled by the firmware for good (VM_CR.SVMDIS, no SVM lock)";
        if ((facts->vm_cr & VM_CR_LOCK) != 0)
            return "AMD-V is switched off and locked in the firmware's set-up (VM_CR.SVMDIS); switch SVM on there";
    }
    if ((facts->features & FEATURE_NPT) == 0)
        return "the processor's AMD-V has no nested paging (NPT)";
    if (facts->asids < 2)
        return "the processor's AMD-V offers no address space identifier for a guest";
    return NULL;
}
