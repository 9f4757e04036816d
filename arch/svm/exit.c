/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One stay in an AMD-V guest: enter, leave, and turn the exit into hv's neutral form.
 */
#include "arch/svm/svm.h"

#include "arch/lapic.h"
#include "arch/x86.h"
#include "hv/vcpu.h"

/* Exits that need nothing but their name. Index: exit code - SVM_EXIT_RDPMC. */
static const uint8_t plain_exits[] = {
    [SVM_EXIT_RDPMC - SVM_EXIT_RDPMC] = EXIT_RDPMC,
    [SVM_EXIT_RSM - SVM_EXIT_RDPMC] = EXIT_VIRTUALIZATION,
    [SVM_EXIT_INVD - SVM_EXIT_RDPMC] = EXIT_INVD,
    [SVM_EXIT_HLT - SVM_EXIT_RDPMC] = EXIT_HLT,
    [SVM_EXIT_INVLPGA - SVM_EXIT_RDPMC] = EXIT_VIRTUALIZATION,
    [SVM_EXIT_SHUTDOWN - SVM_EXIT_RDPMC] = EXIT_TRIPLE_FAULT,
    [SVM_EXIT_VMRUN - SVM_EXIT_RDPMC] = EXIT_VIRTUALIZATION,
    [SVM_EXIT_VMMCALL - SVM_EXIT_RDPMC] = EXIT_HYPERCALL,
    [SVM_EXIT_VMLOAD - SVM_EXIT_RDPMC] = EXIT_VIRTUALIZATION,
    [SVM_EXIT_VMSAVE - SVM_EXIT_RDPMC] = EXIT_VIRTUALIZATION,
    [SVM_EXIT_STGI - SVM_EXIT_RDPMC] = EXIT_VIRTUALIZATION,
    [SVM_EXIT_CLGI - SVM_EXIT_RDPMC] = EXIT_VIRTUALIZATION,
    [SVM_EXIT_SKINIT - SVM_EXIT_RDPMC] = EXIT_VIRTUALIZATION,
    [SVM_EXIT_WBINVD - SVM_EXIT_RDPMC] = EXIT_WBINVD,
    [SVM_EXIT_MONITOR - SVM_EXIT_RDPMC] = EXIT_MONITOR,
    [SVM_EXIT_MWAIT - SVM_EXIT_RDPMC] = EXIT_MWAIT,
    [SVM_EXIT_XSETBV - SVM_EXIT_RDPMC] = EXIT_XSETBV,
    [SVM_EXIT_RDPRU - SVM_EXIT_RDPMC] = EXIT_VIRTUALIZATION,
};

static void decode_io(const struct vmcb *vmcb, struct vmexit *exit)
{
    uint64_t info = vmcb->exit_info1;

    exit->kind = EXIT_PIO;
    exit->length = (uint8_t)(vmcb->exit_info2 - vmcb->rip); /* EXITINFO2 is the next RIP, on every CPU */
    exit->io = (struct exit_io){
        .port = (uint16_t)(info >> IOIO_PORT_SHIFT),
        .size = (uint8_t)(info >> IOIO_SIZE_SHIFT & 7),
        .in = (info & IOIO_IN) != 0,
        .string = (info & IOIO_STRING) != 0,
        .repeat = (info & IOIO_REPEAT) != 0,
    };
}

static void decode_memory(const struct vmcb *vmcb, struct vmexit *exit)
{
    exit->kind = EXIT_MEMORY;
    exit->memory = (struct exit_memory){
        .address = vmcb->exit_info2,
        .write = (vmcb->exit_info1 & NPF_WRITE) != 0,
        .fetch = (vmcb->exit_info1 & NPF_FETCH) != 0,
        .page_walk = (vmcb->exit_info1 & NPF_GUEST_WALK) != 0,
        .delivering = (vmcb->exit_interrupt_info & EVENT_WORD_VALID) != 0,
    };
}

static void decode_exception(struct svm_vcpu *svm, struct vmexit *exit)
{
    struct vmcb *vmcb = svm->vmcb;
    uint8_t vector = (uint8_t)(vmcb->exit_code - SVM_EXIT_EXCEPTION_0);

    exit->kind = EXIT_EXCEPTION;
    exit->length = 0; /* RIP is where the handler returns to */
    exit->exception = (struct exit_exception){
        .vector = vector,
        .has_error_code = vector == VECTOR_AC,
        .error_code = (uint32_t)vmcb->exit_info1,
        .qualification = vector == VECTOR_DB ? vmcb->dr6 : 0,
    };
    if (vector == VECTOR_DB && svm->step) {
        svm->step = false;
        /* Our step has done its work, unless the guest was stepping too, or a breakpoint hit at the same time. */
        if (!svm->step_guest_tf && (vmcb->dr6 & 0xf) == 0) {
            vmcb->dr6 &= ~BIT(14);
            if (!svm->iret_seen) /* the step was over a shadow: RFLAGS still holds our TF */
                vmcb->rflags &= ~RFLAGS_TF;
            exit->kind = EXIT_NMI_WINDOW;
        }
    }
}

/* The host's own interrupts, kicks and windows. */
static void decode_host(struct svm_vcpu *svm, struct vmexit *exit)
{
    struct vmcb *vmcb = svm->vmcb;

    switch (vmcb->exit_code) {
    case SVM_EXIT_INTR:
        exit->kind = EXIT_NONE;
        interrupts_let_in();
        break;
    case SVM_EXIT_NMI: /* STGI has let it through the host's vector 2 already */
    case SVM_EXIT_SMI:
    case SVM_EXIT_INIT: exit->kind = EXIT_NONE; break;
    case SVM_EXIT_VINTR: exit->kind = EXIT_INTERRUPT_WINDOW; break;
    case SVM_EXIT_IRET:
        if (svm->nmi_masked) { /* else it was to open the interrupt window */
            svm->iret_seen = true;
            svm->iret_rip = vmcb->rip;
        }
        vmcb->intercept_misc1 &= ~MISC1_IRET;
        exit->kind = EXIT_NMI_WINDOW;
        break;
    case SVM_EXIT_FERR_FREEZE: exit->kind = EXIT_NONE; break;
    default: exit->kind = EXIT_UNKNOWN; break;
    }
}

/* MOV to and from control and debug registers: without decode assists the operand is known to the instruction alone. */
static void decode_register(const struct vmcb *vmcb, struct vmexit *exit)
{
    bool debug = vmcb->exit_code >= SVM_EXIT_DR_READ_0;

    exit->kind = debug ? EXIT_DR_ACCESS : (vmcb->exit_code & 0x10) != 0 ? EXIT_CR_WRITE : EXIT_CR_READ;
    exit->reg.number = (uint8_t)(vmcb->exit_code & 0xf);
    exit->reg.write = (vmcb->exit_code & 0x10) != 0;
    exit->reg.gpr = EXIT_GPR_UNKNOWN;
}

/* The guest changes its CR4 without an exit. */
static void decode_cpuid(struct vcpu *vcpu, const struct vmcb *vmcb, struct vmexit *exit)
{
    exit->kind = EXIT_CPUID;
    vcpu->os_xsave = (vmcb->cr4 & CR4_OSXSAVE) != 0;
}

static void decode_exit(struct vcpu *vcpu, struct svm_vcpu *svm, struct vmexit *exit)
{
    const struct vmcb *vmcb = svm->vmcb;
    uint64_t code = vmcb->exit_code;

    exit->rip = vmcb->rip;
    exit->reason = code;
    exit->length = 0;
    if (svm_has_next_rip)
        exit->length = (uint8_t)(vmcb->next_rip - vmcb->rip);
    if (code == SVM_EXIT_IOIO)
        decode_io(vmcb, exit);
    else if (code == SVM_EXIT_NPF)
        decode_memory(vmcb, exit);
    else if (code == SVM_EXIT_CPUID)
        decode_cpuid(vcpu, vmcb, exit);
    else if (code == SVM_EXIT_MSR)
        exit->kind = vmcb->exit_info1 != 0 ? EXIT_MSR_WRITE : EXIT_MSR_READ;
    else if (code >= SVM_EXIT_RDPMC && code - SVM_EXIT_RDPMC < ARRAY_SIZE(plain_exits) &&
             plain_exits[code - SVM_EXIT_RDPMC] != EXIT_NONE)
        exit->kind = plain_exits[code - SVM_EXIT_RDPMC];
    else if (code < SVM_EXIT_EXCEPTION_0)
        decode_register(vmcb, exit);
    else if (code < SVM_EXIT_INTR)
        decode_exception(svm, exit);
    else
        decode_host(svm, exit);
}

/* A valid `info` is an event whose delivery did not come to its end. */
static __attribute__((noinline)) void return_event(struct vcpu *vcpu, uint64_t info)
{
    vcpu->events.interrupted = event_word_decode((uint32_t)info, (uint32_t)(info >> 32));
}

/* After an exit, or no entry: a virtual interrupt that was not taken waits as if its delivery had been interrupted. */
static void end_virtual_delivery(struct vcpu *vcpu, struct svm_vcpu *svm)
{
    uint64_t control = svm->vmcb->interrupt_control;

    svm->delivering = false;
    if ((control & INTERRUPT_VIRQ) != 0)
        vcpu->events.interrupted =
            (struct event){.type = EVENT_INTERRUPT, .vector = (uint8_t)(control >> INTERRUPT_VECTOR_SHIFT)};
    svm_update_virtual_interrupt(svm);
}

/*
 * VMRUN may have put the host's state into the VMCB (the emulators do): what svm_run has kept counts more, for the
 * rules and for the dump.
 */
static __attribute__((noinline)) void entry_refused(struct vcpu *vcpu, struct svm_vcpu *svm, struct vmexit *exit)
{
    struct vmcb *vmcb = svm->vmcb;
    uint64_t code = vmcb->exit_code;

    if (svm->flush)
        *vmcb = *svm->kept;
    svm->flush = false;
    vmcb->exit_code = code;
    entry_state_read(vcpu, &svm->refused);
    svm_entry_state(vmcb, &svm->refused);
    vmcb->event_injection = 0;
    if (svm->delivering)
        end_virtual_delivery(vcpu, svm);
    *exit = (struct vmexit){
        .kind = EXIT_ENTRY_FAILURE,
        .rip = vmcb->rip,
        .reason = code,
        .entry_failure = {"VMRUN ends with VMEXIT_INVALID", &svm->refused},
    };
}

void svm_run(struct vcpu *vcpu, struct vmexit *exit)
{
    struct svm_vcpu *svm = vcpu->backend;
    struct vmcb *vmcb = svm->vmcb;

    vmcb->rax = vcpu->gpr[GPR_RAX];
    vmcb->interrupt_control = (vmcb->interrupt_control & ~INTERRUPT_TPR_MASK) | vcpu->tpr >> 4;
    vmcb->tlb_control = TLB_KEEP;
    if (svm->flush) {
        vmcb->tlb_control = svm_has_flush_by_asid ? TLB_FLUSH_ASID : TLB_FLUSH_ALL;
        /* If ever VMRUN refuses, then after a change by hv: what the guest itself loads, the processor has judged. */
        *svm->kept = *vmcb;
    }
    if (lapic_timer_due())
        vcpu_request(vcpu, REQUEST_TIMERS);
    if (svm_enter(vcpu->gpr, svm->vmcb_address, svm->host_address, &vcpu->requests) != 0) {
        stats_leave(&vcpu->stats, machine_ticks_low());
        exit->kind = EXIT_NONE;
        exit->rip = vmcb->rip;
        exit->reason = 0;
        exit->length = 0;
        /* What was to be delivered has to wait as if its delivery had been interrupted. */
        if ((vmcb->event_injection & EVENT_WORD_VALID) != 0)
            return_event(vcpu, vmcb->event_injection);
        vmcb->event_injection = 0;
        if (svm->delivering)
            end_virtual_delivery(vcpu, svm);
        return;
    }
    stats_leave(&vcpu->stats, machine_ticks_low());
    if ((uint32_t)vmcb->exit_code == SVM_EXIT_INVALID_LOW) {
        entry_refused(vcpu, svm, exit);
        return;
    }
    if (svm->delivering)
        end_virtual_delivery(vcpu, svm);
    svm->flush = false;
    vcpu->gpr[GPR_RAX] = vmcb->rax;
    uint8_t tpr_class = (uint8_t)(vmcb->interrupt_control & 0xf);
    if (tpr_class != vcpu->tpr >> 4)
        vcpu->tpr = (uint8_t)(tpr_class << 4);
    /* The processor clears what it delivered; what it did not get to is told in EXITINTINFO. */
    vmcb->event_injection = 0;
    if ((vmcb->exit_interrupt_info & EVENT_WORD_VALID) != 0)
        return_event(vcpu, vmcb->exit_interrupt_info);
    decode_exit(vcpu, svm, exit);
}
