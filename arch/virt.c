/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which backend this machine needs.
 */
#include "arch/virt.h"

#include "hv/error.h"
#include "hv/log.h"
#include "hv/machine.h"
#include "hv/pagetable.h"

#define LEAF1_ECX_VMX         BIT(5)
#define EXTENDED1_ECX_SVM     BIT(2)
#define EXTENDED_LEAF_FEATURE 0x80000001u

const struct virt_ops *virt;

/* NULL: neither. */
static const struct virt_ops *find_backend(void)
{
    if ((machine_cpuid(1, 0).ecx & LEAF1_ECX_VMX) != 0)
        return &vmx_ops;
    if (machine_cpuid(0x80000000, 0).eax >= EXTENDED_LEAF_FEATURE &&
        (machine_cpuid(EXTENDED_LEAF_FEATURE, 0).ecx & EXTENDED1_ECX_SVM) != 0)
        return &svm_ops;
    return NULL;
}

int virt_choose(void)
{
    virt = find_backend();
    if (virt != NULL)
        return 0;
    log_error("this processor has neither AMD-V (SVM) nor VT-x (VMX), or the firmware hides them; no guest can run");
    return E_NOSYS;
}

uint64_t virt_stage2_largest(void)
{
    const struct virt_ops *backend = find_backend();

    return backend != NULL ? backend->stage2_largest() : PAGE_SIZE_1G;
}
