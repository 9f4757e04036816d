/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The AMD-V backend's side of hv/virt.h: registers, segments and events in and out of the VMCB.
 */
#include "arch/svm/svm.h"

#include "arch/msr.h"
#include "arch/svm/npt.h"
#include "arch/virt.h"
#include "arch/x86.h"
#include "hv/guest.h"
#include "hv/log.h"
#include "hv/machine.h"
#include "hv/vcpu.h"

static struct svm_vcpu *svm_of(const struct vcpu *vcpu)
{
    return vcpu->backend;
}

/* Where the VMCB keeps each register, as it is but for the bits that svm_read and svm_write know. */
static const uint16_t register_offsets[VCPU_REGISTER_COUNT] = {
    [VCPU_RIP] = offsetof(struct vmcb, rip),
    [VCPU_RSP] = offsetof(struct vmcb, rsp),
    [VCPU_RFLAGS] = offsetof(struct vmcb, rflags),
    [VCPU_CR0] = offsetof(struct vmcb, cr0),
    [VCPU_CR2] = offsetof(struct vmcb, cr2),
    [VCPU_CR3] = offsetof(struct vmcb, cr3),
    [VCPU_CR4] = offsetof(struct vmcb, cr4),
    [VCPU_DR6] = offsetof(struct vmcb, dr6),
    [VCPU_DR7] = offsetof(struct vmcb, dr7),
    [VCPU_EFER] = offsetof(struct vmcb, efer),
    [VCPU_PAT] = offsetof(struct vmcb, pat),
    [VCPU_FS_BASE] = offsetof(struct vmcb, fs.base),
    [VCPU_GS_BASE] = offsetof(struct vmcb, gs.base),
    [VCPU_KERNEL_GS_BASE] = offsetof(struct vmcb, kernel_gs_base),
    [VCPU_STAR] = offsetof(struct vmcb, star),
    [VCPU_LSTAR] = offsetof(struct vmcb, lstar),
    [VCPU_CSTAR] = offsetof(struct vmcb, cstar),
    [VCPU_SFMASK] = offsetof(struct vmcb, sfmask),
    [VCPU_SYSENTER_CS] = offsetof(struct vmcb, sysenter_cs),
    [VCPU_SYSENTER_ESP] = offsetof(struct vmcb, sysenter_esp),
    [VCPU_SYSENTER_EIP] = offsetof(struct vmcb, sysenter_eip),
    [VCPU_TSC_OFFSET] = offsetof(struct vmcb, tsc_offset),
    [VCPU_DEBUGCTL] = offsetof(struct vmcb, debugctl),
};

static uint64_t *vmcb_register(struct vmcb *vmcb, enum vcpu_register reg)
{
    return (uint64_t *)(void *)((uint8_t *)vmcb + register_offsets[reg]);
}

static uint64_t svm_read(struct vcpu *vcpu, enum vcpu_register reg)
{
    struct svm_vcpu *svm = svm_of(vcpu);
    uint64_t value = *vmcb_register(svm->vmcb, reg);

    if (reg == VCPU_EFER)
        return value & ~EFER_SVME;
    /* A TF of ours (see svm_window) is not the guest's to see. */
    if (reg == VCPU_RFLAGS && svm->step && !svm->step_guest_tf)
        return value & ~RFLAGS_TF;
    return value;
}

/* A change of one of these flushes, as MOV to CR or WRMSR would have. */
#define FLUSHING (BIT(VCPU_CR0) | BIT(VCPU_CR3) | BIT(VCPU_CR4) | BIT(VCPU_EFER) | BIT(VCPU_PAT))

static void svm_write(struct vcpu *vcpu, enum vcpu_register reg, uint64_t value)
{
    struct svm_vcpu *svm = svm_of(vcpu);

    if (reg == VCPU_EFER)
        value |= EFER_SVME; /* VMRUN wants SVME set. APM vol. 2, "Canonicalization and Consistency Checks" */
    /* A TF of ours (see svm_window) stays, whatever hv makes of the guest's flags. */
    if (reg == VCPU_RFLAGS && svm->step) {
        svm->step_guest_tf = (value & RFLAGS_TF) != 0;
        value |= RFLAGS_TF;
    }
    /* VMRUN loads CR2 from the VMCB, but not on every emulator; until then nothing else here writes it. */
    if (reg == VCPU_CR2)
        cr2_write(value);
    *vmcb_register(svm->vmcb, reg) = value;
    if ((BIT(reg) & FLUSHING) != 0)
        svm->flush = true;
}

static struct svm_segment *vmcb_segment(struct vmcb *vmcb, enum segment segment)
{
    static const uint16_t offsets[SEGMENT_COUNT] = {
        [SEGMENT_ES] = offsetof(struct vmcb, es),     [SEGMENT_CS] = offsetof(struct vmcb, cs),
        [SEGMENT_SS] = offsetof(struct vmcb, ss),     [SEGMENT_DS] = offsetof(struct vmcb, ds),
        [SEGMENT_FS] = offsetof(struct vmcb, fs),     [SEGMENT_GS] = offsetof(struct vmcb, gs),
        [SEGMENT_LDTR] = offsetof(struct vmcb, ldtr), [SEGMENT_TR] = offsetof(struct vmcb, tr),
    };

    return (struct svm_segment *)(void *)((uint8_t *)vmcb + offsets[segment]);
}

/* The VMCB packs a descriptor's bits 52-55 right behind its bits 40-47; it knows "unusable" as not present. */
static void svm_read_segment(struct vcpu *vcpu, enum segment segment, struct segment_register *value)
{
    const struct svm_segment *in = vmcb_segment(svm_of(vcpu)->vmcb, segment);

    value->base = in->base;
    value->limit = in->limit;
    value->selector = in->selector;
    uint32_t level = svm_of(vcpu)->vmcb->cpl;
    uint32_t packed = in->attributes, unusable = (packed & SEGMENT_P) != 0 ? 0 : (uint32_t)SEGMENT_UNUSABLE;
    value->attributes = (packed & 0xff) | (packed & 0xf00) << 4 | unusable;
    /* The privilege level has a field of its own; after SYSRET it need not be SS's DPL. APM vol. 2, "VMCB State Save
     * Area". */
    if (segment == SEGMENT_SS)
        value->attributes = (value->attributes & ~(3u << SEGMENT_DPL_SHIFT)) | level << SEGMENT_DPL_SHIFT;
}

static void svm_write_segment(struct vcpu *vcpu, enum segment segment, const struct segment_register *value)
{
    struct vmcb *vmcb = svm_of(vcpu)->vmcb;
    struct svm_segment *out = vmcb_segment(vmcb, segment);

    out->base = value->base;
    out->limit = value->limit;
    out->selector = value->selector;
    out->attributes = (value->attributes & SEGMENT_UNUSABLE) != 0
                          ? 0
                          : (uint16_t)((value->attributes & 0xffu) | (value->attributes >> 4 & 0xf00u));
    if (segment == SEGMENT_SS)
        vmcb->cpl = (uint8_t)(value->attributes >> SEGMENT_DPL_SHIFT & 3);
}

static void svm_read_table(struct vcpu *vcpu, bool interrupt_table, struct table_register *value)
{
    const struct vmcb *vmcb = svm_of(vcpu)->vmcb;
    const struct svm_segment *in = interrupt_table ? &vmcb->idtr : &vmcb->gdtr;

    value->base = in->base;
    value->limit = in->limit;
}

static void svm_flush(struct vcpu *vcpu)
{
    svm_of(vcpu)->flush = true;
}

static void svm_load_state(struct vcpu *vcpu, const struct vcpu_state *state)
{
    struct svm_vcpu *svm = svm_of(vcpu);
    struct vmcb *vmcb = svm->vmcb;

    for (unsigned i = 0; i < SEGMENT_COUNT; i++)
        svm_write_segment(vcpu, (enum segment)i, &state->segments[i]);
    vmcb->gdtr = (struct svm_segment){0, 0, state->gdtr.limit, state->gdtr.base};
    vmcb->idtr = (struct svm_segment){0, 0, state->idtr.limit, state->idtr.base};
    for (unsigned reg = 0; reg < VCPU_REGISTER_COUNT; reg++) {
        /* The bases belong to the segments above, and time goes on across a reset. */
        if (reg != VCPU_FS_BASE && reg != VCPU_GS_BASE && reg != VCPU_TSC_OFFSET)
            *vmcb_register(vmcb, (enum vcpu_register)reg) = 0;
    }
    vmcb->rip = state->rip;
    vmcb->rsp = state->gpr[GPR_RSP];
    vmcb->rflags = state->rflags | RFLAGS_FIXED;
    vmcb->cr0 = state->cr0;
    vmcb->cr3 = state->cr3;
    vmcb->cr4 = state->cr4;
    vmcb->efer = state->efer | EFER_SVME;
    vmcb->pat = PAT_RESET;
    vmcb->dr6 = DR6_RESET;
    vmcb->dr7 = DR7_RESET;
    vmcb->interrupt_shadow = 0;
    vmcb->event_injection = 0;
    vmcb->interrupt_control = INTERRUPT_MASKING;
    vmcb->intercept_misc1 &= ~(MISC1_VINTR | MISC1_IRET);
    vmcb->intercept_cr_write = 0;
    svm->nmi_masked = svm->iret_seen = svm->nmi_window = svm->step = false;
    svm->window = svm->delivering = svm->threshold = false;
    svm->flush = true;
}

/*
 * A window is a virtual interrupt of the highest priority that is intercepted when it would be taken.
 *
 * QEMU's emulation may deliver an interrupt of EVENTINJ twice: it does not forget the vector once it is delivered, and
 * any break in its loop before the next exit delivers it again, whatever IF says. There an interrupt is delivered as a
 * virtual interrupt with its own vector, which is taken at once, as it is given only to a guest that is open to it.
 * There is but one virtual interrupt: a window behind a delivery is opened at the next exit, at the latest at the
 * handler's IRET.
 */
void svm_update_virtual_interrupt(struct svm_vcpu *svm)
{
    struct vmcb *vmcb = svm->vmcb;

    vmcb->interrupt_control &= ~INTERRUPT_VIRTUAL;
    vmcb->intercept_misc1 &= ~MISC1_VINTR;
    if (svm->delivering || svm->window)
        vmcb->interrupt_control |= INTERRUPT_VIRTUAL;
    if (svm->window)
        vmcb->intercept_misc1 |= svm->delivering ? MISC1_IRET : MISC1_VINTR;
    /* QEMU aborts when a guest writes CR8 while a virtual interrupt waits (it weighs that one without its own lock). */
    vmcb->intercept_cr_write &= (uint16_t)~CR_WRITE_CR8;
    if (svm->threshold || (svm_repeats_injection && (svm->delivering || svm->window)))
        vmcb->intercept_cr_write |= (uint16_t)CR_WRITE_CR8;
}

static void svm_inject(struct vcpu *vcpu, const struct event *event)
{
    struct svm_vcpu *svm = svm_of(vcpu);

    if (event->type == EVENT_INTERRUPT && svm_repeats_injection) {
        svm->delivering = true;
        svm->vmcb->interrupt_control &= ~INTERRUPT_VECTOR;
        svm->vmcb->interrupt_control |= (uint64_t)event->vector << INTERRUPT_VECTOR_SHIFT;
        svm_update_virtual_interrupt(svm);
        return;
    }
    if (event->type == EVENT_NMI) {
        /* Without virtual NMIs the end of the handler shows only as its IRET. */
        svm->nmi_masked = true;
        svm->iret_seen = false;
        svm->vmcb->intercept_misc1 |= MISC1_IRET;
    }
    svm->vmcb->event_injection = event_word_encode(event) | (uint64_t)event->error_code << 32;
}

/* The mask ends when the IRET has run: its intercept comes before it, so wait until RIP has left it. */
static bool svm_nmi_masked(struct svm_vcpu *svm)
{
    if (svm->nmi_masked && svm->iret_seen && svm->vmcb->rip != svm->iret_rip)
        svm->nmi_masked = svm->iret_seen = false;
    return svm->nmi_masked;
}

static void svm_read_blocking(struct vcpu *vcpu, struct virt_blocking *blocking)
{
    struct svm_vcpu *svm = svm_of(vcpu);

    blocking->shadow_sti = false;
    blocking->shadow_mov_ss = (svm->vmcb->interrupt_shadow & 1) != 0;
    blocking->nmi = svm_nmi_masked(svm);
}

static void svm_clear_shadow(struct vcpu *vcpu)
{
    svm_of(vcpu)->vmcb->interrupt_shadow = 0;
}

static uint64_t svm_advance(struct vcpu *vcpu, uint64_t rip)
{
    svm_of(vcpu)->vmcb->rip = rip;
    svm_clear_shadow(vcpu);
    return svm_read(vcpu, VCPU_RFLAGS);
}

/* An NMI window is the single step behind the IRET that ends the mask, or behind a shadow. */
static void svm_window(struct vcpu *vcpu, enum virt_window window, bool on)
{
    struct svm_vcpu *svm = svm_of(vcpu);
    struct vmcb *vmcb = svm->vmcb;

    if (window == WINDOW_NMI) {
        svm->nmi_window = on;
        if (on && !svm->step && (svm->iret_seen || (vmcb->interrupt_shadow & 1) != 0)) {
            svm->step = true;
            svm->step_guest_tf = (vmcb->rflags & RFLAGS_TF) != 0;
            vmcb->rflags |= RFLAGS_TF;
        }
    } else {
        svm->window = on;
        svm_update_virtual_interrupt(svm);
    }
}

/*
 * V_IRQ could watch the TPR as well, but processors and emulators differ on equal priorities; an intercepted MOV to
 * CR8, only while something waits behind the TPR, is exact.
 */
static void svm_tpr_threshold(struct vcpu *vcpu, unsigned priority_class)
{
    struct svm_vcpu *svm = svm_of(vcpu);

    svm->threshold = priority_class != 0;
    svm_update_virtual_interrupt(svm);
}

static uint64_t svm_stage2_largest(void)
{
    return (machine_cpuid(0x80000001, 0).edx & BIT(26)) != 0 ? PAGE_SIZE_1G : PAGE_SIZE_2M;
}

static void svm_dump(struct vcpu *vcpu)
{
    const struct vmcb *vmcb = svm_of(vcpu)->vmcb;

    log_info("  VMCB: exit 0x%lx info 0x%lx 0x%lx, delivering 0x%lx, injecting 0x%lx", vmcb->exit_code,
             vmcb->exit_info1, vmcb->exit_info2, vmcb->exit_interrupt_info, vmcb->event_injection);
}

const struct virt_ops svm_ops = {
    .name = "AMD-V",
    .stage2 = &npt_format,
    .stage2_largest = svm_stage2_largest,
    .vcpu_pages = SVM_VCPU_PAGES,
    .cpu_enable = svm_cpu_enable,
    .vcpu_create = svm_vcpu_create,
    .read_permissions = svm_read_permissions,
    .vcpu_load_state = svm_load_state,
    .run = svm_run,
    .read = svm_read,
    .write = svm_write,
    .read_segment = svm_read_segment,
    .write_segment = svm_write_segment,
    .read_table = svm_read_table,
    .inject = svm_inject,
    .read_blocking = svm_read_blocking,
    .clear_shadow = svm_clear_shadow,
    .advance = svm_advance,
    .window = svm_window,
    .tpr_threshold = svm_tpr_threshold,
    .flush = svm_flush,
    .dump = svm_dump,
};
