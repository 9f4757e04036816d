/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AMD-V switched on, and a vCPU's VMCB and permission maps. AMD APM vol. 2, "Enabling SVM", "Intercepts", "VMCB".
 */
#include "arch/svm/svm.h"

#include "arch/cpu.h"
#include "arch/msr.h"
#include "arch/virt.h"
#include "arch/x86.h"
#include "hv/error.h"
#include "hv/guest.h"
#include "hv/log.h"
#include "hv/machine.h"
#include "hv/msr.h"
#include "hv/string.h"

#define MSR_VM_CR       0xc0010114u
#define MSR_VM_HSAVE_PA 0xc0010117u
#define VM_CR_SVMDIS    BIT(4)

bool svm_has_next_rip;
bool svm_has_flush_by_asid;
bool svm_repeats_injection;

/* The processor keeps the host's state here across VMRUN; this CPU's own page. */
static CPU_LOCAL hpa_t host_save_address;

static struct svm_facts read_facts(void)
{
    struct svm_facts facts = {0};

    if (machine_cpuid(0x80000000, 0).eax >= 0x8000000a) {
        struct cpuid_result leaf = machine_cpuid(0x8000000a, 0);
        facts.is_amd_svm = (machine_cpuid(0x80000001, 0).ecx & BIT(2)) != 0;
        facts.features = leaf.edx;
        facts.asids = leaf.ebx;
    }
    facts.vm_cr_readable = facts.is_amd_svm && msr_read_safe(MSR_VM_CR, &facts.vm_cr) == 0;
    return facts;
}

int svm_cpu_enable(void)
{
    struct svm_facts facts = read_facts();
    const char *reason = svm_diagnose(&facts);

    if (reason != NULL) {
        log_error("CPU %u: %s", this_cpu.number, reason);
        return E_NOSYS;
    }
    if (facts.vm_cr_readable && (facts.vm_cr & VM_CR_SVMDIS) != 0 &&
        msr_write_safe(MSR_VM_CR, facts.vm_cr & ~VM_CR_SVMDIS) != 0) {
        log_error("CPU %u: AMD-V cannot be switched on (VM_CR.SVMDIS stays set)", this_cpu.number);
        return E_NOSYS;
    }
    svm_has_next_rip = (facts.features & SVM_FEATURE_NRIP) != 0;
    svm_repeats_injection = machine_cpuid(0x40000000, 0).ebx == 0x54474354; /* "TCGT", the start of TCG's signature */
    svm_has_flush_by_asid = (facts.features & SVM_FEATURE_FLUSH_BY_ASID) != 0;
    if (virt_pages(1, &host_save_address) == NULL)
        return E_NOMEM;
    msr_write(MSR_EFER, msr_read(MSR_EFER) | EFER_SVME);
    msr_write(MSR_VM_HSAVE_PA, host_save_address);
    return 0;
}

/* The permission map has two bits an MSR: bit 0 intercepts reads, bit 1 writes. APM vol. 2, "MSR Intercepts". */
static void msrpm_allow(uint8_t *map, uint32_t msr, bool writes)
{
    static const uint32_t first[] = {0, 0xc0000000, 0xc0010000};

    for (uint32_t range = 0; range < ARRAY_SIZE(first); range++) {
        if (msr >= first[range] && msr - first[range] < 0x2000) {
            uint32_t bit = range * 0x4000 + (msr - first[range]) * 2;
            map[bit / 8] &= (uint8_t) ~((writes ? 3u : 1u) << bit % 8);
        }
    }
}

/* One pair of maps serves a guest's vCPUs and all guests alike: what they open is constant. */
static int permission_maps(hpa_t *iopm, hpa_t *msrpm)
{
    static hpa_t shared_iopm, shared_msrpm;
    static struct lock lock;
    int error = 0;

    lock_take(&lock);
    if (shared_msrpm == 0) {
        uint8_t *io_map = virt_pages(IOPM_PAGES, &shared_iopm);
        uint8_t *msr_map = virt_pages(MSRPM_PAGES, &shared_msrpm);
        if (io_map == NULL || msr_map == NULL) {
            error = E_NOMEM;
        } else {
            memset(io_map, 0xff, IOPM_PAGES * PAGE_SIZE);
            memset(msr_map, 0xff, MSRPM_PAGES * PAGE_SIZE);
            for (uint32_t i = 0; i < msr_direct_count; i++)
                msrpm_allow(msr_map, msr_direct[i], true);
        }
    }
    *iopm = shared_iopm;
    *msrpm = shared_msrpm;
    lock_release(&lock);
    return error;
}

int svm_vcpu_create(struct vcpu *vcpu)
{
    hpa_t backend_address, iopm, msrpm;
    struct svm_vcpu *svm = virt_pages(1, &backend_address);

    _Static_assert(sizeof(*svm) <= PAGE_SIZE, "one page holds the backend's part");
    if (svm == NULL || permission_maps(&iopm, &msrpm) != 0 || virt_pages(1, &svm->host_address) == NULL)
        return E_NOMEM;
    struct vmcb *vmcb = virt_pages(1, &svm->vmcb_address);
    if (vmcb == NULL)
        return E_NOMEM;
    svm->vmcb = vmcb;
    vcpu->backend = svm;
    vmcb->intercept_exceptions = intercept_bits(svm_intercepts, WORD_EXCEPTIONS);
    vmcb->intercept_misc1 = intercept_bits(svm_intercepts, WORD_MISC1);
    vmcb->intercept_misc2 = intercept_bits(svm_intercepts, WORD_MISC2);
    vmcb->iopm_base = iopm;
    vmcb->msrpm_base = msrpm;
    vmcb->asid = 1; /* one vCPU a CPU, for good: every guest's translations live under its CPU's ASID 1 */
    vmcb->interrupt_control = INTERRUPT_MASKING;
    vmcb->nested_control = NESTED_PAGING;
    vmcb->nested_cr3 = vcpu->guest->stage2_root;
    __asm__ volatile("vmsave %0" : : "a"(svm->host_address) : "memory");

    const uint32_t words[] = {
        [WORD_EXCEPTIONS] = vmcb->intercept_exceptions,
        [WORD_MISC1] = vmcb->intercept_misc1,
        [WORD_MISC2] = vmcb->intercept_misc2,
    };
    return intercept_verify("AMD-V", svm_intercepts, words);
}
