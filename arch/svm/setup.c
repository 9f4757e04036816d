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

int svm_cpu_enable(hpa_t page)
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
    msr_write(MSR_EFER, msr_read(MSR_EFER) | EFER_SVME);
    msr_write(MSR_VM_HSAVE_PA, page); /* the processor keeps the host's state there across VMRUN */
    return 0;
}

/* Each range of 2000h registers has 2 KiB of the map. APM vol. 2, "MSR Intercepts". */
static bool msrpm_bit(uint32_t msr, uint32_t *bit)
{
    static const uint32_t first[] = {0, 0xc0000000, 0xc0010000};

    for (uint32_t range = 0; range < ARRAY_SIZE(first); range++) {
        if (msr >= first[range] && msr - first[range] < 0x2000) {
            *bit = range * 0x4000 + (msr - first[range]) * 2; /* intercepts reads; the next one writes */
            return true;
        }
    }
    return false;
}

static void write_permission_maps(uint8_t *io_map, uint8_t *msr_map)
{
    uint32_t bit;

    memset(io_map, 0xff, IOPM_PAGES * PAGE_SIZE);
    memset(msr_map, 0xff, MSRPM_PAGES * PAGE_SIZE);
    for (uint32_t i = 0; i < msr_direct_count; i++) {
        if (msrpm_bit(msr_direct[i], &bit))
            msr_map[bit / 8] &= (uint8_t) ~(3u << bit % 8);
    }
}

/* In this order: our own state, VMCB, its copy, the host's part for VMSAVE, I/O map, MSR map. */
enum vcpu_page {
    PAGE_STATE,
    PAGE_VMCB,
    PAGE_KEPT,
    PAGE_HOST,
    PAGE_IO_MAP,
    PAGE_MSR_MAP = PAGE_IO_MAP + IOPM_PAGES,
    PAGE_COUNT = PAGE_MSR_MAP + MSRPM_PAGES,
};
_Static_assert(1 + PAGE_COUNT == SVM_VCPU_PAGES, "the host save area, and these");
_Static_assert(sizeof(struct svm_vcpu) <= PAGE_SIZE, "one page holds a vCPU's own state");

int svm_vcpu_create(struct vcpu *vcpu, hpa_t address)
{
    uint8_t *pages = machine_pointer(address);
    struct svm_vcpu *svm = (struct svm_vcpu *)(void *)pages;
    struct vmcb *vmcb = (struct vmcb *)(void *)(pages + PAGE_VMCB * PAGE_SIZE);

    svm->vmcb = vmcb;
    svm->kept = (struct vmcb *)(void *)(pages + PAGE_KEPT * PAGE_SIZE);
    svm->vmcb_address = address + PAGE_VMCB * PAGE_SIZE;
    svm->host_address = address + PAGE_HOST * PAGE_SIZE;
    vcpu->backend = svm;
    vmcb->intercept_exceptions = intercept_bits(svm_intercepts, WORD_EXCEPTIONS);
    vmcb->intercept_misc1 = intercept_bits(svm_intercepts, WORD_MISC1);
    vmcb->intercept_misc2 = intercept_bits(svm_intercepts, WORD_MISC2);
    write_permission_maps(pages + PAGE_IO_MAP * PAGE_SIZE, pages + PAGE_MSR_MAP * PAGE_SIZE);
    vmcb->iopm_base = address + PAGE_IO_MAP * PAGE_SIZE;
    vmcb->msrpm_base = address + PAGE_MSR_MAP * PAGE_SIZE;
    vmcb->asid = 1; /* one vCPU a CPU, for good: every guest's translations live under its CPU's ASID 1 */
    vmcb->interrupt_control = INTERRUPT_MASKING;
    vmcb->nested_control = NESTED_PAGING;
    vmcb->nested_cr3 = vcpu->guest->stage2_root;
    __asm__ volatile("vmsave %0" : : "a"(svm->host_address) : "memory");
    return 0;
}

static bool msr_exits(const struct virt_permissions *permissions, uint32_t msr, bool write)
{
    uint32_t bit;

    /* Outside of the ranges each access exits. */
    return !msrpm_bit(msr, &bit) || (permissions->msr_map[bit / 8] >> (bit % 8 + (write ? 1 : 0)) & 1) != 0;
}

void svm_read_permissions(struct vcpu *vcpu, struct virt_permissions *permissions)
{
    const struct svm_vcpu *svm = vcpu->backend;
    const struct vmcb *vmcb = svm->vmcb;
    const uint8_t *port_map = machine_pointer(vmcb->iopm_base);

    *permissions = (struct virt_permissions){
        .stage2_root = vmcb->nested_cr3,
        .places = svm_intercepts,
        .port_maps = {port_map, port_map + PAGE_SIZE},
        .msr_exits = msr_exits,
        .msr_map = machine_pointer(vmcb->msrpm_base),
    };
    permissions->words[WORD_EXCEPTIONS] = vmcb->intercept_exceptions;
    permissions->words[WORD_MISC1] = vmcb->intercept_misc1;
    permissions->words[WORD_MISC2] = vmcb->intercept_misc2;
}
