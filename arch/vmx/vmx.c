/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What hv asks of a VT-x vCPU between two entries: its registers, its reset state, and what to deliver to it.
 */
#include "arch/vmx/vmx.h"

#include "arch/msr.h"
#include "arch/vmx/ept.h"
#include "hv/cpuid.h"
#include "hv/gmem.h"
#include "hv/guest.h"
#include "hv/log.h"
#include "hv/string.h"

#define ACTIVITY_ACTIVE 0u

/* ---- Control registers ---- */

/* As the guest reads one: bits of the mask come from the shadow. */
static uint64_t merge_shadow(struct vmcs_field hardware, struct vmcs_field shadow, uint64_t mask)
{
    return (vmcs_read(hardware) & ~mask) | (vmcs_read(shadow) & mask);
}

static void vmx_flush(struct vcpu *vcpu)
{
    struct vmx_vcpu *vmx = vmx_of(vcpu);

    vmx->flush = vmx->attention = true;
}

/* Intel SDM vol. 3, "PAE Paging", table "Format of a PAE Page-Directory-Pointer-Table Entry". */
#define PDPTE_PRESENT      BIT(0)
#define PDPTE_RESERVED_LOW 0x1e6u

/*
 * With EPT the processor takes the four entries from the VMCS when we enter, as it would have loaded them in the
 * instruction that we carry out. An entry that the instruction should have refused counts as absent: better a page
 * fault than an entry that fails.
 */
static void load_pdptes(struct vcpu *vcpu)
{
    uint64_t reserved = ~(BIT(cpuid_physical_bits()) - 1) | PDPTE_RESERVED_LOW;
    gpa_t table = vmcs_read(VMCS_GUEST_CR3) & UINT64_C(0xffffffe0);
    uint64_t entries[4];

    if (gmem_read(vcpu->guest, table, entries, sizeof(entries)) != 0)
        memset(entries, 0, sizeof(entries));
    for (unsigned i = 0; i < ARRAY_SIZE(entries); i++) {
        bool valid = (entries[i] & PDPTE_PRESENT) != 0 && (entries[i] & reserved) == 0;
        vmcs_write(vmcs_pdpte(i), valid ? entries[i] : 0);
    }
}

/* After a change of CR0, CR3, CR4 or EFER: what else depends on it. SDM vol. 3, "Checks on Guest Control Registers,
 * Debug Registers, and MSRs". */
static void update_paging_mode(struct vcpu *vcpu)
{
    bool paging = (vmcs_read(VMCS_GUEST_CR0) & CR0_PG) != 0;
    uint64_t efer = vmcs_read(VMCS_GUEST_EFER);
    uint64_t entry = vmcs_read(VMCS_ENTRY_CONTROLS) & ~ENTRY_IA32E;

    if (paging && (efer & EFER_LME)) {
        vmcs_write(VMCS_GUEST_EFER, efer | EFER_LMA);
        vmcs_write(VMCS_ENTRY_CONTROLS, entry | ENTRY_IA32E);
        return;
    }
    vmcs_write(VMCS_GUEST_EFER, efer & ~EFER_LMA);
    vmcs_write(VMCS_ENTRY_CONTROLS, entry);
    if (paging && (vmcs_read(VMCS_GUEST_CR4) & CR4_PAE))
        load_pdptes(vcpu);
}

static void write_cr0(uint64_t value)
{
    /* Caching stays on whatever the guest says: CD and NW live in the shadow. */
    vmcs_write(VMCS_GUEST_CR0, (value & ~(CR0_CD | CR0_NW)) | vmx_cpu.cr0_forced);
    vmcs_write(VMCS_CR0_SHADOW, value);
}

static void write_cr4(struct vcpu *vcpu, uint64_t value)
{
    vcpu->os_xsave = (value & CR4_OSXSAVE) != 0;
    vmcs_write(VMCS_GUEST_CR4, value | vmx_cpu.cr4_forced);
    vmcs_write(VMCS_CR4_SHADOW, value);
}

/* ---- Registers by number ---- */

/* Those that are one VMCS field and nothing more; 0 for the others. */
static const uint16_t register_fields[VCPU_REGISTER_COUNT] = {
    [VCPU_RIP] = ENCODING_GUEST_RIP,
    [VCPU_RSP] = ENCODING_GUEST_RSP,
    [VCPU_RFLAGS] = ENCODING_GUEST_RFLAGS,
    [VCPU_DR7] = ENCODING_GUEST_DR7,
    [VCPU_PAT] = ENCODING_GUEST_PAT,
    [VCPU_FS_BASE] = ENCODING_GUEST_FS_BASE,
    [VCPU_GS_BASE] = ENCODING_GUEST_GS_BASE,
    [VCPU_SYSENTER_CS] = ENCODING_GUEST_SYSENTER_CS,
    [VCPU_SYSENTER_ESP] = ENCODING_GUEST_SYSENTER_ESP,
    [VCPU_SYSENTER_EIP] = ENCODING_GUEST_SYSENTER_EIP,
    [VCPU_TSC_OFFSET] = ENCODING_TSC_OFFSET,
    [VCPU_DEBUGCTL] = ENCODING_GUEST_DEBUGCTL,
};

/* Those that stay in the processor: the hypervisor uses none of them. */
static const uint32_t register_msrs[VCPU_REGISTER_COUNT] = {
    [VCPU_KERNEL_GS_BASE] = MSR_KERNEL_GS_BASE,
    [VCPU_STAR] = MSR_STAR,
    [VCPU_LSTAR] = MSR_LSTAR,
    [VCPU_CSTAR] = MSR_CSTAR,
    [VCPU_SFMASK] = MSR_SFMASK,
};

static uint64_t vmx_read(struct vcpu *vcpu, enum vcpu_register reg)
{
    struct vmcs_field field = {register_fields[reg]};

    (void)vcpu;
    if (field.encoding)
        return vmcs_read(field);
    if (register_msrs[reg])
        return msr_read(register_msrs[reg]);
    switch (reg) {
    case VCPU_CR0: return merge_shadow(VMCS_GUEST_CR0, VMCS_CR0_SHADOW, vmx_cpu.cr0_mask);
    case VCPU_CR2: return cr2_read();
    case VCPU_CR3: return vmcs_read(VMCS_GUEST_CR3);
    case VCPU_CR4: return merge_shadow(VMCS_GUEST_CR4, VMCS_CR4_SHADOW, vmx_cpu.cr4_mask);
    case VCPU_DR6: return dr6_read();
    case VCPU_EFER: return vmcs_read(VMCS_GUEST_EFER);
    default: return 0;
    }
}

static void vmx_write(struct vcpu *vcpu, enum vcpu_register reg, uint64_t value)
{
    struct vmcs_field field = {register_fields[reg]};

    if (field.encoding) {
        vmcs_write(field, value);
        return;
    }
    if (register_msrs[reg]) {
        msr_write(register_msrs[reg], value);
        return;
    }
    switch (reg) {
    case VCPU_CR0: write_cr0(value); break;
    case VCPU_CR2: cr2_write(value); return;
    case VCPU_CR3: vmcs_write(VMCS_GUEST_CR3, value); break;
    case VCPU_CR4: write_cr4(vcpu, value); break;
    case VCPU_DR6: dr6_write(value); return;
    case VCPU_EFER: vmcs_write(VMCS_GUEST_EFER, value); break;
    default: return;
    }
    update_paging_mode(vcpu);
    vmx_flush(vcpu); /* as the instruction that hv carries out would have done */
}

static void vmx_read_segment(struct vcpu *vcpu, enum segment segment, struct segment_register *value)
{
    (void)vcpu;
    value->selector = (uint16_t)vmcs_read(vmcs_segment(VMCS_GUEST_ES_SELECTOR, segment));
    value->base = vmcs_read(vmcs_segment(VMCS_GUEST_ES_BASE, segment));
    value->limit = (uint32_t)vmcs_read(vmcs_segment(VMCS_GUEST_ES_LIMIT, segment));
    value->attributes = (uint32_t)vmcs_read(vmcs_segment(VMCS_GUEST_ES_ATTRIBUTES, segment));
}

#define SEGMENT_TYPE_ACCESSED 1u /* code and data */
#define SEGMENT_TYPE_BUSY     2u /* task state */

/* In the form that an entry takes: what a segment load would have set in the descriptor. SDM vol. 3, "Checks on Guest
 * Segment Registers". */
static uint32_t entry_attributes(enum segment segment, uint32_t attributes)
{
    if (segment == SEGMENT_TR)
        return (attributes | SEGMENT_TYPE_BUSY) & (uint32_t)~SEGMENT_UNUSABLE;
    if (attributes & SEGMENT_UNUSABLE || !(attributes & SEGMENT_P))
        return (uint32_t)SEGMENT_UNUSABLE;
    return segment == SEGMENT_LDTR ? attributes : attributes | SEGMENT_TYPE_ACCESSED;
}

static void vmx_write_segment(struct vcpu *vcpu, enum segment segment, const struct segment_register *value)
{
    (void)vcpu;
    vmcs_write(vmcs_segment(VMCS_GUEST_ES_SELECTOR, segment), value->selector);
    vmcs_write(vmcs_segment(VMCS_GUEST_ES_BASE, segment), value->base);
    vmcs_write(vmcs_segment(VMCS_GUEST_ES_LIMIT, segment), value->limit);
    vmcs_write(vmcs_segment(VMCS_GUEST_ES_ATTRIBUTES, segment), entry_attributes(segment, value->attributes));
}

static void vmx_read_table(struct vcpu *vcpu, bool interrupt_table, struct table_register *value)
{
    (void)vcpu;
    value->base = vmcs_read(interrupt_table ? VMCS_GUEST_IDTR_BASE : VMCS_GUEST_GDTR_BASE);
    value->limit = (uint32_t)vmcs_read(interrupt_table ? VMCS_GUEST_IDTR_LIMIT : VMCS_GUEST_GDTR_LIMIT);
}

/* ---- Reset ---- */

/* EPTP. SDM vol. 3, "Extended-Page-Table Pointer (EPTP)". Without accessed and dirty bits: with them each walk of the
 * guest counts as a write. */

static void reset_event_state(struct vmx_vcpu *vmx)
{
    vmx->injected.type = EVENT_NONE;
    vmx->tpr_threshold = 0;
    vmx->primary_controls = vmx_cpu.controls[CONTROLS_PRIMARY];
    vmcs_write(VMCS_PRIMARY_CONTROLS, vmx->primary_controls);
    vmcs_write(VMCS_ENTRY_EVENT, 0);
    vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, 0);
    vmcs_write(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
    vmcs_write(VMCS_GUEST_PENDING_DEBUG, 0);
}

static void reset_system_registers(struct vcpu *vcpu)
{
    static const uint8_t zeroed[] = {VCPU_SYSENTER_CS, VCPU_SYSENTER_ESP, VCPU_SYSENTER_EIP,   VCPU_STAR,    VCPU_LSTAR,
                                     VCPU_CSTAR,       VCPU_SFMASK,       VCPU_KERNEL_GS_BASE, VCPU_DEBUGCTL};

    for (size_t i = 0; i < ARRAY_SIZE(zeroed); i++)
        vmx_write(vcpu, (enum vcpu_register)zeroed[i], 0);
    vmx_write(vcpu, VCPU_DR7, DR7_RESET);
    vmx_write(vcpu, VCPU_PAT, PAT_RESET);
}

static void vmx_load_state(struct vcpu *vcpu, const struct vcpu_state *state)
{
    struct vmx_vcpu *vmx = vmx_of(vcpu);

    vmcs_write(VMCS_GUEST_RSP, state->gpr[GPR_RSP]);
    vmcs_write(VMCS_GUEST_RIP, state->rip);
    vmcs_write(VMCS_GUEST_RFLAGS, state->rflags | RFLAGS_FIXED);
    for (unsigned segment = 0; segment < SEGMENT_COUNT; segment++)
        vmx_write_segment(vcpu, (enum segment)segment, &state->segments[segment]);
    vmcs_write(VMCS_GUEST_GDTR_BASE, state->gdtr.base);
    vmcs_write(VMCS_GUEST_GDTR_LIMIT, state->gdtr.limit);
    vmcs_write(VMCS_GUEST_IDTR_BASE, state->idtr.base);
    vmcs_write(VMCS_GUEST_IDTR_LIMIT, state->idtr.limit);
    reset_system_registers(vcpu);
    reset_event_state(vmx);
    write_cr0(state->cr0);
    write_cr4(vcpu, state->cr4);
    vmcs_write(VMCS_GUEST_CR3, state->cr3);
    vmcs_write(VMCS_GUEST_EFER, state->efer);
    update_paging_mode(vcpu);
    vmx_flush(vcpu);
}

/* ---- Events ---- */

/* SDM vol. 3, "Event Injection" and "Checks on VM-Entry Control Fields": "VM-entry interruption-information field". */
static void vmx_inject(struct vcpu *vcpu, const struct event *event)
{
    struct vmx_vcpu *vmx = vmx_of(vcpu);
    uint64_t word = event_word_encode(event);
    unsigned type = event_word_type(word);
    uint64_t blocked = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);
    uint64_t ended = BLOCKED_STI | BLOCKED_MOV_SS;

    /* Real mode has no error codes, and an entry refuses them there. */
    if (event->has_error_code) {
        if (vmcs_read(VMCS_GUEST_CR0) & CR0_PE)
            vmcs_write(VMCS_ENTRY_ERROR_CODE, event->error_code & 0xffff);
        else
            word &= ~EVENT_WORD_HAS_ERROR_CODE;
    }
    if (type >= EVENT_WORD_SOFTWARE_INTERRUPT) {
        uint8_t usual_length = type == EVENT_WORD_SOFTWARE_INTERRUPT ? 2 : 1;
        vmcs_write(VMCS_ENTRY_INSTRUCTION_LENGTH, event->length ? event->length : usual_length);
    }
    /* Whatever is delivered ends the shadow of STI and MOV SS; an NMI whose delivery was cut short had blocked itself.
     */
    if (type == EVENT_WORD_NMI)
        ended |= BLOCKED_NMI;
    if (blocked & ended)
        vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, blocked & ~ended);
    vmcs_write(VMCS_ENTRY_EVENT, word);
    vmx->injected = *event;
}

static void vmx_read_blocking(struct vcpu *vcpu, struct virt_blocking *blocking)
{
    uint64_t blocked = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);

    (void)vcpu;
    blocking->shadow_sti = (blocked & BLOCKED_STI) != 0;
    blocking->shadow_mov_ss = (blocked & BLOCKED_MOV_SS) != 0;
    blocking->nmi = (blocked & BLOCKED_NMI) != 0;
}

static void vmx_clear_shadow(struct vcpu *vcpu)
{
    uint64_t blocked = vmcs_read_basic(VMCS_GUEST_INTERRUPTIBILITY);

    (void)vcpu;
    if (blocked & (BLOCKED_STI | BLOCKED_MOV_SS))
        vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, blocked & ~(BLOCKED_STI | BLOCKED_MOV_SS));
}

static uint64_t vmx_advance(struct vcpu *vcpu, uint64_t rip)
{
    vmcs_write_basic(VMCS_GUEST_RIP, rip);
    vmx_clear_shadow(vcpu);
    return vmcs_read_basic(VMCS_GUEST_RFLAGS);
}

static void vmx_window(struct vcpu *vcpu, enum virt_window window, bool on)
{
    struct vmx_vcpu *vmx = vmx_of(vcpu);
    uint32_t bit = (uint32_t)(window == WINDOW_NMI ? PRIMARY_NMI_WINDOW : PRIMARY_INTERRUPT_WINDOW);
    uint32_t value = on ? vmx->primary_controls | bit : vmx->primary_controls & ~bit;

    if (value == vmx->primary_controls)
        return;
    vmx->primary_controls = value;
    vmcs_write(VMCS_PRIMARY_CONTROLS, value);
}

/* Takes effect in vmx_run, beside the TPR. Without a TPR shadow each write of CR8 exits anyway. */
static void vmx_tpr_threshold(struct vcpu *vcpu, unsigned priority_class)
{
    struct vmx_vcpu *vmx = vmx_of(vcpu);

    if (!vmx_has(CONTROLS_PRIMARY, PRIMARY_TPR_SHADOW))
        return;
    vmx->tpr_threshold = (uint8_t)(priority_class & 0xf);
    vmx->attention = true;
}

/* ---- For people ---- */

static void vmx_dump(struct vcpu *vcpu)
{
    (void)vcpu;
    log_info("  VMCS: exit 0x%lx qualification 0x%lx, guest-physical 0x%lx, delivering 0x%lx, injecting 0x%lx, blocked "
             "0x%lx",
             vmcs_read(VMCS_EXIT_REASON), vmcs_read(VMCS_EXIT_QUALIFICATION), vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS),
             vmcs_read(VMCS_VECTORING_EVENT), vmcs_read(VMCS_ENTRY_EVENT), vmcs_read(VMCS_GUEST_INTERRUPTIBILITY));
    log_info("  VMCS: CR0 0x%lx CR4 0x%lx EFER 0x%lx as the processor has them, entry controls 0x%lx",
             vmcs_read(VMCS_GUEST_CR0), vmcs_read(VMCS_GUEST_CR4), vmcs_read(VMCS_GUEST_EFER),
             vmcs_read(VMCS_ENTRY_CONTROLS));
}

const struct virt_ops vmx_ops = {
    .name = "VT-x",
    .stage2 = &ept_format,
    .stage2_largest = vmx_stage2_largest,
    .vcpu_pages = VMX_VCPU_PAGES,
    .cpu_enable = vmx_cpu_enable,
    .vcpu_create = vmx_vcpu_create,
    .read_permissions = vmx_read_permissions,
    .vcpu_load_state = vmx_load_state,
    .run = vmx_run,
    .read = vmx_read,
    .write = vmx_write,
    .read_segment = vmx_read_segment,
    .write_segment = vmx_write_segment,
    .read_table = vmx_read_table,
    .inject = vmx_inject,
    .read_blocking = vmx_read_blocking,
    .clear_shadow = vmx_clear_shadow,
    .advance = vmx_advance,
    .window = vmx_window,
    .tpr_threshold = vmx_tpr_threshold,
    .flush = vmx_flush,
    .dump = vmx_dump,
};
