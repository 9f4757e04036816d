/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a processor with VT-x to a VMCS that can be entered: what the processor offers, which controls we take of it,
 * VMX operation, and a vCPU's VMCS with its permission maps. All that is constant while a guest runs is written here;
 * guest state is in vmx.c.
 */
#include "arch/vmx/vmx.h"

#include "arch/msr.h"
#include "hv/cpuid.h"
#include "hv/error.h"
#include "hv/guest.h"
#include "hv/log.h"
#include "hv/machine.h"
#include "hv/msr.h"
#include "hv/pagetable.h"
#include "hv/string.h"

#define BASIC_REVISION_MASK 0x7fffffffu
#define BASIC_TRUE_CONTROLS BIT(55)
#define MISC_TIMER_SHIFT    0x1fu
#define CPUID_1_ECX_VMX     BIT(5)
#define CPUID_1_ECX_SMX     BIT(6)
#define CPUID_0_EBX_INTEL   0x756e6547u /* "Genu" */
#define CPUID_7_EDX_ARCH    BIT(29)     /* IA32_ARCH_CAPABILITIES */

#define EPT_2M_PAGES BIT(16)
#define EPT_1G_PAGES BIT(17)

/* The bits of CR4 that a guest changes without an exit. All others exit, so that hv judges them by what CPUID shows to
 * the guest; OSXSAVE also because CPUID tells it (write_cr4). */
#define CR4_GUEST_OWNED                                                                                                \
    (CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT |      \
     CR4_UMIP | CR4_FSGSBASE | CR4_SMEP | CR4_SMAP)

CPU_LOCAL struct vmx_cpu vmx_cpu;

/* ---- What the processor offers ---- */

/* Each of these registers exists only when the one before says so. */
static void read_capabilities(struct vmx_facts *facts)
{
    facts->basic = msr_read(MSR_VMX_BASIC);
    if ((msr_read(MSR_VMX_PRIMARY) >> 32 & PRIMARY_SECONDARY) != 0)
        facts->secondary = msr_read(MSR_VMX_SECONDARY);
    if ((facts->secondary >> 32 & (SECONDARY_EPT | SECONDARY_VPID)) != 0)
        facts->ept_vpid = msr_read(MSR_VMX_EPT_VPID);
}

static struct vmx_facts read_facts(void)
{
    uint32_t features = machine_cpuid(1, 0).ecx;
    struct vmx_facts facts = {.is_vmx = (features & CPUID_1_ECX_VMX) != 0, .is_smx = (features & CPUID_1_ECX_SMX) != 0};

    if (!facts.is_vmx)
        return facts;
    facts.feature_control_readable = msr_read_safe(MSR_FEATURE_CONTROL, &facts.feature_control) == 0;
    read_capabilities(&facts);
    return facts;
}

static bool has_multihit(void)
{
    struct cpuid_result first = machine_cpuid(0, 0);
    bool tells = first.eax >= 7 && (machine_cpuid(7, 0).edx & CPUID_7_EDX_ARCH) != 0;

    return vmx_has_multihit(first.ebx == CPUID_0_EBX_INTEL, machine_cpuid(1, 0).eax,
                            tells ? msr_read(MSR_ARCH_CAPABILITIES) : 0);
}

/* Asked of a processor that may have no EPT, before faults can be caught. SDM vol. 3, appendix A.10 "VPID and EPT
 * Capabilities". */
uint64_t vmx_stage2_largest(void)
{
    struct vmx_facts facts = {0};

    read_capabilities(&facts);
    uint64_t capability = facts.ept_vpid;
    if (has_multihit())
        return PAGE_SIZE_4K;
    if ((capability & EPT_1G_PAGES) != 0)
        return PAGE_SIZE_1G;
    return (capability & EPT_2M_PAGES) != 0 ? PAGE_SIZE_2M : PAGE_SIZE_4K;
}

/* ---- Controls: one table of what we ask for, beside hv's list of intercepts ---- */

enum need {
    NEEDED, /* nothing works without it */
    WANTED, /* costs speed, or a feature that CPUID then hides (hide_features) */
    MUST_BE_OFF,
};

struct control {
    enum control_word word;
    enum need need;
    uint64_t bit;
    const char *name; /* as the manual has it */
};

static const struct control controls[] = {
    {CONTROLS_PIN, NEEDED, PIN_VIRTUAL_NMIS, "virtual NMIs"},
    {CONTROLS_PIN, WANTED, PIN_PREEMPTION_TIMER, "VMX-preemption timer"},
    {CONTROLS_PRIMARY, NEEDED, PRIMARY_SECONDARY, "secondary controls"},
    {CONTROLS_PRIMARY, NEEDED, PRIMARY_TSC_OFFSETTING, "TSC offsetting"},
    {CONTROLS_PRIMARY, WANTED, PRIMARY_TPR_SHADOW, "TPR shadow"}, /* else CR8 exits: controls_negotiate */
    {CONTROLS_PRIMARY, MUST_BE_OFF, PRIMARY_INVLPG, "INVLPG exiting"},
    {CONTROLS_PRIMARY, MUST_BE_OFF, PRIMARY_RDTSC, "RDTSC exiting"},
    {CONTROLS_PRIMARY, MUST_BE_OFF, PRIMARY_CR3_LOAD, "CR3-load exiting"},
    {CONTROLS_PRIMARY, MUST_BE_OFF, PRIMARY_CR3_STORE, "CR3-store exiting"},
    {CONTROLS_PRIMARY, MUST_BE_OFF, PRIMARY_MOV_DR, "MOV-DR exiting"},
    {CONTROLS_SECONDARY, NEEDED, SECONDARY_EPT, "EPT"},
    {CONTROLS_SECONDARY, NEEDED, SECONDARY_UNRESTRICTED, "unrestricted guest"},
    {CONTROLS_SECONDARY, WANTED, SECONDARY_VPID, "VPID"},
    {CONTROLS_SECONDARY, WANTED, SECONDARY_RDTSCP, "RDTSCP"},
    {CONTROLS_SECONDARY, WANTED, SECONDARY_INVPCID, "INVPCID"},
    {CONTROLS_EXIT, NEEDED, EXIT_SAVE_DEBUG, "save debug controls"},
    {CONTROLS_EXIT, NEEDED, EXIT_HOST_64_BIT, "host address-space size"},
    {CONTROLS_EXIT, NEEDED, EXIT_ACKNOWLEDGE, "acknowledge interrupt on exit"},
    {CONTROLS_EXIT, NEEDED, EXIT_LOAD_PAT, "load IA32_PAT on exit"},
    {CONTROLS_EXIT, NEEDED, EXIT_SAVE_EFER, "save IA32_EFER"},
    {CONTROLS_EXIT, NEEDED, EXIT_LOAD_EFER, "load IA32_EFER on exit"},
    {CONTROLS_EXIT, WANTED, EXIT_SAVE_PREEMPTION_TIMER, "save VMX-preemption timer value"},
    {CONTROLS_ENTRY, NEEDED, ENTRY_LOAD_DEBUG, "load debug controls"},
    {CONTROLS_ENTRY, NEEDED, ENTRY_LOAD_PAT, "load IA32_PAT on entry"},
    {CONTROLS_ENTRY, NEEDED, ENTRY_LOAD_EFER, "load IA32_EFER on entry"},
};

/* Lower half: what must be set. Upper half: what may be set. SDM vol. 3, appendix A.2 "Reserved Controls and Default
 * Settings". */
static uint64_t controls_capability(enum control_word word, bool has_true)
{
    switch (word) {
    case CONTROLS_PIN: return msr_read(has_true ? MSR_VMX_TRUE_PIN : MSR_VMX_PIN);
    case CONTROLS_PRIMARY: return msr_read(has_true ? MSR_VMX_TRUE_PRIMARY : MSR_VMX_PRIMARY);
    case CONTROLS_SECONDARY: return msr_read(MSR_VMX_SECONDARY);
    case CONTROLS_EXIT: return msr_read(has_true ? MSR_VMX_TRUE_EXIT : MSR_VMX_EXIT);
    default: return msr_read(has_true ? MSR_VMX_TRUE_ENTRY : MSR_VMX_ENTRY);
    }
}

/* Whether one row can be had; sets it where it can. */
static int control_take(const struct control *control, uint64_t capability)
{
    if (control->need == MUST_BE_OFF) {
        if (!(capability & control->bit))
            return 0;
        log_error("VT-x: this processor forces \"%s\" on, which Bulkhead does not serve", control->name);
        return E_NOSYS;
    }
    if (capability >> 32 & control->bit) {
        vmx_cpu.controls[control->word] |= (uint32_t)control->bit;
        return 0;
    }
    if (control->need == NEEDED) {
        log_error("VT-x: this processor lacks the control \"%s\", which Bulkhead needs", control->name);
        return E_NOSYS;
    }
    return 0;
}

static int controls_negotiate(bool has_true)
{
    for (unsigned word = 0; word < CONTROLS_WORDS; word++) {
        uint64_t capability = vmx_cpu.capabilities[word] = controls_capability((enum control_word)word, has_true);
        vmx_cpu.controls[word] =
            (uint32_t)capability | (intercept_bits(vmx_intercepts, word) & (uint32_t)(capability >> 32));
    }
    for (size_t i = 0; i < ARRAY_SIZE(controls); i++) {
        int error = control_take(&controls[i], vmx_cpu.capabilities[controls[i].word]);
        if (error)
            return error;
    }
    if (!vmx_has(CONTROLS_PRIMARY, PRIMARY_TPR_SHADOW))
        vmx_cpu.controls[CONTROLS_PRIMARY] |= (uint32_t)(PRIMARY_CR8_LOAD | PRIMARY_CR8_STORE);
    /* An entry refuses to save a timer that is off. */
    if (!vmx_has(CONTROLS_PIN, PIN_PREEMPTION_TIMER))
        vmx_cpu.controls[CONTROLS_EXIT] &= (uint32_t)~EXIT_SAVE_PREEMPTION_TIMER;
    return 0;
}

/* ---- VMX operation ---- */

/* Runs in NMI context whenever one comes in root mode: it may be a kick, and may have come behind the last look at
 * vcpu->requests. Such an NMI causes no exit later on. So the coming entry is made to fail, by a count of CR3-target
 * values that no processor takes; unlike a preemption timer of 0 this works on every processor and cannot be
 * overwritten by code that was just about to write the timer. vmx_run repairs it. */
static void nmi_in_root_mode(void)
{
    if (vmx_cpu.current) {
        vmx_cpu.current->kicked = true;
        vmcs_write(VMCS_CR3_TARGET_COUNT, UINT32_MAX);
    }
}

static int vmx_on(hpa_t address)
{
    uint32_t *region = machine_pointer(address);
    bool failed;

    region[0] = vmx_cpu.revision;
    /* CR0 and CR4 as VMX operation wants them. SDM vol. 3, appendices A.7 and A.8 "VMX-Fixed Bits". */
    cr0_write(cr0_read() | msr_read(MSR_VMX_CR0_FIXED0));
    cr4_write(cr4_read() | msr_read(MSR_VMX_CR4_FIXED0));
    __asm__ volatile("vmxon %1" : "=@ccbe"(failed) : "m"(address) : "cc", "memory");
    return failed ? E_BUSY : 0;
}

/* Once, by the first CPU that gets a guest: they come here one by one. */
static void tell_multihit(void)
{
    static bool told;

    if (!told && has_multihit())
        log_info("VT-x: this processor has the iTLB multihit fault: guest memory is mapped in pages of 4 KiB");
    told = true;
}

int vmx_cpu_enable(hpa_t page)
{
    struct vmx_facts facts = read_facts();
    const char *reason = vmx_diagnose(&facts);
    int error;

    if (reason != NULL) {
        log_error("CPU %u: %s", this_cpu.number, reason);
        return E_NOSYS;
    }
    uint64_t feature_control = vmx_feature_control(&facts);
    if (feature_control != 0 && msr_write_safe(MSR_FEATURE_CONTROL, feature_control) != 0) {
        log_error("CPU %u: VT-x cannot be switched on (IA32_FEATURE_CONTROL refuses it)", this_cpu.number);
        return E_NOSYS;
    }
    tell_multihit();
    error = controls_negotiate((facts.basic & BASIC_TRUE_CONTROLS) != 0);
    if (error)
        return error;
    vmx_cpu.revision = (uint32_t)facts.basic & BASIC_REVISION_MASK;
    vmx_cpu.ept_vpid = facts.ept_vpid;
    vmx_cpu.preemption_shift = (uint8_t)(msr_read(MSR_VMX_MISC) & MISC_TIMER_SHIFT);
    /* An unrestricted guest may leave protected mode and paging. A machine check must reach us, whatever the guest
     * thinks of it. */
    vmx_cpu.cr0_forced = msr_read(MSR_VMX_CR0_FIXED0) & ~(CR0_PE | CR0_PG);
    vmx_cpu.cr0_mask = vmx_cpu.cr0_forced | CR0_CD | CR0_NW;
    vmx_cpu.cr4_forced = msr_read(MSR_VMX_CR4_FIXED0) | (cr4_read() & CR4_MCE);
    vmx_cpu.cr4_mask = vmx_cpu.cr4_forced | ~CR4_GUEST_OWNED;

    error = vmx_on(page);
    if (error) {
        log_error("CPU %u: VMXON failed; is another hypervisor at work?", this_cpu.number);
        return error;
    }
    trap_nmi_hook = nmi_in_root_mode;
    return 0;
}

/* ---- A vCPU's VMCS ---- */

/* SDM vol. 3, "Extended-Page-Table Pointer (EPTP)". */
#define EPTP_WRITE_BACK 6u
#define EPTP_WALK_4     (3u << 3)

/* Four bitmaps of 1 KiB: reads of 0-1fff, reads of c0000000-c0001fff, then writes. SDM vol. 3, "MSR-Bitmap Address". */
static void msr_pass(uint8_t *bitmap, uint32_t msr, bool write)
{
    uint8_t *reads = bitmap + ((msr & BIT(31)) != 0 ? 1024 : 0);
    uint32_t index = msr & 0x1fff;
    uint8_t keep = (uint8_t) ~(1u << index % 8);

    reads[index / 8] &= keep;
    if (write)
        reads[2048 + index / 8] &= keep;
}

static void write_permission_maps(uint8_t *msr_bitmap, hpa_t msr_address, uint8_t *io_bitmaps, hpa_t io_address)
{
    memset(msr_bitmap, 0xff, PAGE_SIZE);
    for (uint32_t i = 0; i < msr_direct_count; i++)
        msr_pass(msr_bitmap, msr_direct[i], true);
    msr_pass(msr_bitmap, MSR_TSC, false); /* with the offset, as RDTSC */
    memset(io_bitmaps, 0xff, 2 * PAGE_SIZE);
    vmcs_write(VMCS_MSR_BITMAP, msr_address);
    vmcs_write(VMCS_IO_BITMAP_A, io_address);
    vmcs_write(VMCS_IO_BITMAP_B, io_address + PAGE_SIZE);
}

static void write_controls(const struct vmx_vcpu *vmx, hpa_t stage2_root)
{
    vmcs_write(VMCS_PIN_CONTROLS, vmx_cpu.controls[CONTROLS_PIN]);
    vmcs_write(VMCS_PRIMARY_CONTROLS, vmx->primary_controls);
    vmcs_write(VMCS_SECONDARY_CONTROLS, vmx_cpu.controls[CONTROLS_SECONDARY]);
    vmcs_write(VMCS_EXIT_CONTROLS, vmx_cpu.controls[CONTROLS_EXIT]);
    vmcs_write(VMCS_ENTRY_CONTROLS, vmx_cpu.controls[CONTROLS_ENTRY]);
    vmcs_write(VMCS_EXCEPTION_BITMAP, intercept_bits(vmx_intercepts, WORD_EXCEPTIONS));
    vmcs_write(VMCS_EPT_POINTER, stage2_root | EPTP_WALK_4 | EPTP_WRITE_BACK);
    vmcs_write(VMCS_PAGE_FAULT_MASK, 0);
    vmcs_write(VMCS_PAGE_FAULT_MATCH, 0);
    vmcs_write(VMCS_CR3_TARGET_COUNT, 0);
    vmcs_write(VMCS_TSC_OFFSET, 0);
    vmcs_write(VMCS_EXIT_MSR_STORE_COUNT, 0);
    vmcs_write(VMCS_EXIT_MSR_LOAD_COUNT, 0);
    vmcs_write(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
    vmcs_write(VMCS_CR0_MASK, vmx_cpu.cr0_mask);
    vmcs_write(VMCS_CR4_MASK, vmx_cpu.cr4_mask);
    vmcs_write(VMCS_VMCS_LINK, UINT64_MAX);
    /* One vCPU a CPU: one number serves on all. 0 is the host's. */
    if (vmx_has(CONTROLS_SECONDARY, SECONDARY_VPID))
        vmcs_write(VMCS_VPID, 1);
    if (vmx_has(CONTROLS_SECONDARY, SECONDARY_ENCLS))
        vmcs_write(VMCS_ENCLS_EXITING_BITMAP, UINT64_MAX);
}

/* This CPU as it is now is what an exit brings back. SDM vol. 3, "Host-State Area". */
static void write_host_state(void)
{
    vmcs_write(VMCS_HOST_CR0, cr0_read());
    vmcs_write(VMCS_HOST_CR3, cr3_read());
    vmcs_write(VMCS_HOST_CR4, cr4_read());
    vmcs_write(VMCS_HOST_EFER, msr_read(MSR_EFER));
    vmcs_write(VMCS_HOST_PAT, msr_read(MSR_PAT));
    vmcs_write(VMCS_HOST_CS_SELECTOR, SELECTOR_CODE);
    vmcs_write(VMCS_HOST_SS_SELECTOR, SELECTOR_DATA);
    vmcs_write(VMCS_HOST_DS_SELECTOR, 0);
    vmcs_write(VMCS_HOST_ES_SELECTOR, 0);
    vmcs_write(VMCS_HOST_FS_SELECTOR, 0);
    vmcs_write(VMCS_HOST_GS_SELECTOR, 0);
    vmcs_write(VMCS_HOST_TR_SELECTOR, SELECTOR_TSS);
    vmcs_write(VMCS_HOST_FS_BASE, 0);
    vmcs_write(VMCS_HOST_GS_BASE, 0);
    vmcs_write(VMCS_HOST_TR_BASE, (uintptr_t)&this_cpu.tss);
    vmcs_write(VMCS_HOST_GDTR_BASE, (uintptr_t)this_cpu.gdt);
    vmcs_write(VMCS_HOST_IDTR_BASE, descriptor_idt_base());
    vmcs_write(VMCS_HOST_SYSENTER_CS, 0);
    vmcs_write(VMCS_HOST_SYSENTER_ESP, 0);
    vmcs_write(VMCS_HOST_SYSENTER_EIP, 0);
    vmcs_write(VMCS_HOST_RIP, (uintptr_t)vmx_exit_entry);
}

/* In this order: our own state, VMCS, MSR bitmap, two I/O bitmaps, virtual-APIC page. */
enum vcpu_page {
    PAGE_STATE,
    PAGE_VMCS,
    PAGE_MSR_BITMAP,
    PAGE_IO_BITMAPS,
    PAGE_VIRTUAL_APIC = PAGE_IO_BITMAPS + 2,
    PAGE_COUNT,
};
_Static_assert(1 + PAGE_COUNT == VMX_VCPU_PAGES, "the VMXON region, and these");
_Static_assert(sizeof(struct vmx_vcpu) <= PAGE_SIZE, "one page holds a vCPU's own state");

/* Without its control an instruction is undefined in the guest, whatever the processor's CPUID says. Every CPU's vCPUs
 * say the same. */
static void hide_features(void)
{
    if (!vmx_has(CONTROLS_SECONDARY, SECONDARY_RDTSCP))
        cpuid_policy_hide(CPUID_FEATURE_RDTSCP);
    if (!vmx_has(CONTROLS_SECONDARY, SECONDARY_INVPCID))
        cpuid_policy_hide(CPUID_FEATURE_INVPCID);
    cpuid_policy_hide(CPUID_FEATURE_XSAVES);
}

int vmx_vcpu_create(struct vcpu *vcpu, hpa_t address)
{
    uint8_t *pages = machine_pointer(address);
    struct vmx_vcpu *vmx = (struct vmx_vcpu *)(void *)pages;
    hpa_t vmcs_address;
    bool failed;

    memcpy(pages + PAGE_VMCS * PAGE_SIZE, &vmx_cpu.revision, sizeof(vmx_cpu.revision));
    vmcs_address = address + PAGE_VMCS * PAGE_SIZE;
    __asm__ volatile("vmclear %1; jbe 1f; vmptrld %1; 1:" : "=@ccbe"(failed) : "m"(vmcs_address) : "cc", "memory");
    if (failed) {
        log_error("VT-x: CPU %u refuses the VMCS at 0x%lx", this_cpu.number, vmcs_address);
        return E_INVAL;
    }
    vcpu->backend = vmx;
    vmx->primary_controls = vmx_cpu.controls[CONTROLS_PRIMARY];
    vmx->virtual_apic = pages + PAGE_VIRTUAL_APIC * PAGE_SIZE;
    write_controls(vmx, vcpu->guest->stage2_root);
    write_permission_maps(pages + PAGE_MSR_BITMAP * PAGE_SIZE, address + PAGE_MSR_BITMAP * PAGE_SIZE,
                          pages + PAGE_IO_BITMAPS * PAGE_SIZE, address + PAGE_IO_BITMAPS * PAGE_SIZE);
    if (vmx_has(CONTROLS_PRIMARY, PRIMARY_TPR_SHADOW)) {
        vmcs_write(VMCS_VIRTUAL_APIC, address + PAGE_VIRTUAL_APIC * PAGE_SIZE);
        vmcs_write(VMCS_TPR_THRESHOLD, 0);
    }
    write_host_state();
    hide_features();
    vmx_cpu.current = vmx;
    return 0;
}

static bool msr_exits(const struct virt_permissions *permissions, uint32_t msr, bool write)
{
    const uint8_t *bits = permissions->msr_map + (write ? 2048 : 0) + ((msr & BIT(31)) != 0 ? 1024 : 0);
    uint32_t index = msr & 0x1fff;

    /* Outside of both ranges each access exits. */
    return (msr != index && msr != (0xc0000000 | index)) || (bits[index / 8] >> index % 8 & 1) != 0;
}

void vmx_read_permissions(struct vcpu *vcpu, struct virt_permissions *permissions)
{
    (void)vcpu; /* its VMCS is current on its CPU */
    *permissions = (struct virt_permissions){
        .stage2_root = vmcs_read(VMCS_EPT_POINTER) & ~(uint64_t)PAGE_MASK,
        .places = vmx_intercepts,
        .port_maps = {machine_pointer(vmcs_read(VMCS_IO_BITMAP_A)), machine_pointer(vmcs_read(VMCS_IO_BITMAP_B))},
        .msr_exits = msr_exits,
        .msr_map = machine_pointer(vmcs_read(VMCS_MSR_BITMAP)),
    };
    permissions->words[CONTROLS_PIN] = (uint32_t)vmcs_read(VMCS_PIN_CONTROLS);
    permissions->words[CONTROLS_PRIMARY] = (uint32_t)vmcs_read(VMCS_PRIMARY_CONTROLS);
    permissions->words[CONTROLS_SECONDARY] = (uint32_t)vmcs_read(VMCS_SECONDARY_CONTROLS);
    permissions->words[WORD_EXCEPTIONS] = (uint32_t)vmcs_read(VMCS_EXCEPTION_BITMAP);
}
