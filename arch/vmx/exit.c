/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One turn in the guest: enter, leave, and say in hv's words why. Only those VMCS fields are read that an exit needs.
 */
#include "arch/vmx/vmx.h"

#include "hv/format.h"
#include "hv/machine.h"

/* What enter.S takes for granted. */
_Static_assert(offsetof(struct vcpu, gpr) == 0 && GPR_RSP == 4 && GPR_COUNT == 16, "enter.S: general registers");
_Static_assert(offsetof(struct vmx_vcpu, host_rsp) == 0, "enter.S: VMX_HOST_RSP");
_Static_assert(offsetof(struct vmx_vcpu, launched) == 8, "enter.S: VMX_LAUNCHED");
_Static_assert(ENCODING_HOST_RSP == 0x6c14, "enter.S: HOST_RSP");
_Static_assert(SELECTOR_CODE == 0x08 && SELECTOR_DATA == 0x10, "enter.S: selectors");

/* Kept out of vmx_run, which would save more registers for it at every exit. */
#define RARE __attribute__((noinline))

/* From enter.S. */
_Noreturn void vmx_access_panic(void);

_Noreturn void vmx_access_panic(void)
{
    machine_panic("VT-x: the processor refused VMREAD, VMWRITE, INVEPT or INVVPID");
}

/* ---- Events under way ---- */

/*
 * What was being delivered when the exit came goes back to hv. When nothing was, the exit may have undone an IRET
 * (`nmi_unblocked`: the exit's own word for it): NMIs are then blocked still. SDM vol. 3, "Information for VM Exits
 * That Occur During Event Delivery" and "Resuming Guest Software After Handling an Exception". Returns whether there
 * was any.
 */
static bool save_interrupted(struct vcpu *vcpu, bool nmi_unblocked)
{
    uint64_t word = vmcs_read(VMCS_VECTORING_EVENT), error_code = 0;

    if (!(word & EVENT_WORD_VALID)) {
        if (nmi_unblocked)
            vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) | BLOCKED_NMI);
        return false;
    }
    if (word & EVENT_WORD_HAS_ERROR_CODE)
        error_code = vmcs_read(VMCS_VECTORING_ERROR_CODE);
    vcpu->events.interrupted = event_word_decode((uint32_t)word, (uint32_t)error_code);
    if (event_word_type(word) >= EVENT_WORD_SOFTWARE_INTERRUPT)
        vcpu->events.interrupted.length = (uint8_t)vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH);
    return true;
}

/* Nothing was entered: what hv gave us to deliver is hv's again. */
static RARE void return_injected(struct vcpu *vcpu, struct vmx_vcpu *vmx)
{
    if (vmx->injected.type == EVENT_NONE)
        return;
    vcpu->events.interrupted = vmx->injected;
    vmx->injected.type = EVENT_NONE;
    vmcs_write(VMCS_ENTRY_EVENT, 0);
}

/* ---- Decoding: one row for each exit reason ---- */

static void decode_exception(struct vcpu *vcpu, struct vmexit *exit)
{
    uint64_t word = vmcs_read(VMCS_EXIT_EVENT);
    unsigned type = event_word_type(word);
    uint8_t vector = (uint8_t)event_word_vector(word);

    if (type == EVENT_WORD_NMI) {
        exit->kind = EXIT_NONE;
        vmx_unblock_nmi();
        return;
    }
    (void)save_interrupted(vcpu, vector != VECTOR_DF && (word & EXIT_EVENT_NMI_UNBLOCKED) != 0);
    exit->exception = (struct exit_exception){
        .vector = vector,
        .has_error_code = (word & EVENT_WORD_HAS_ERROR_CODE) != 0,
        .qualification = vmcs_read(VMCS_EXIT_QUALIFICATION),
    };
    if (exit->exception.has_error_code)
        exit->exception.error_code = (uint32_t)vmcs_read(VMCS_EXIT_ERROR_CODE);
    if (type >= EVENT_WORD_PRIVILEGED_EXCEPTION)
        exit->length = (uint8_t)vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH);
}

static void decode_external_interrupt(struct vcpu *vcpu, struct vmexit *exit)
{
    (void)vcpu;
    (void)exit;
    trap_interrupt((uint8_t)event_word_vector(vmcs_read(VMCS_EXIT_EVENT)));
}

/* The run loop looks at the clock after each EXIT_NONE; the count is used up, so compute it anew. */
static void decode_preemption_timer(struct vcpu *vcpu, struct vmexit *exit)
{
    (void)exit;
    vmx_of(vcpu)->timer_deadline = 0;
}

/* SDM vol. 3, "Basic VM-Exit Information", table "Exit Qualification for Task Switches". */
static void decode_task_switch(struct vcpu *vcpu, struct vmexit *exit)
{
    uint64_t qualification = vmcs_read(VMCS_EXIT_QUALIFICATION);

    (void)save_interrupted(vcpu, false);
    exit->task_switch.selector = (uint16_t)qualification;
    exit->task_switch.source = (uint8_t)(qualification >> 30 & 3);
}

static void decode_triple_fault(struct vcpu *vcpu, struct vmexit *exit)
{
    (void)exit;
    (void)save_interrupted(vcpu, false);
}

/* SDM vol. 3, table "Exit Qualification for Control-Register Accesses". */
static void decode_control_register(struct vcpu *vcpu, struct vmexit *exit)
{
    static const uint8_t kinds[4] = {EXIT_CR_WRITE, EXIT_CR_READ, EXIT_CLTS, EXIT_LMSW};
    uint64_t qualification = vmcs_read(VMCS_EXIT_QUALIFICATION);

    (void)vcpu;
    exit->kind = kinds[qualification >> 4 & 3];
    exit->reg = (struct exit_register){
        .number = (uint8_t)(qualification & 0xf),
        .gpr = (uint8_t)(qualification >> 8 & 0xf),
        .write = exit->kind != EXIT_CR_READ,
        .lmsw = (uint16_t)(qualification >> 16),
    };
}

/* SDM vol. 3, table "Exit Qualification for I/O Instructions". */
static void decode_io(struct vcpu *vcpu, struct vmexit *exit)
{
    uint64_t qualification = vmcs_read_basic(VMCS_EXIT_QUALIFICATION);

    (void)vcpu;
    exit->io = (struct exit_io){
        .port = (uint16_t)(qualification >> 16),
        .size = (uint8_t)((qualification & 7) + 1),
        .in = (qualification & BIT(3)) != 0,
        .string = (qualification & BIT(4)) != 0,
        .repeat = (qualification & BIT(5)) != 0,
    };
}

/* SDM vol. 3, table "Exit Qualification for EPT Violations". */
static void decode_ept_violation(struct vcpu *vcpu, struct vmexit *exit)
{
    uint64_t qualification = vmcs_read(VMCS_EXIT_QUALIFICATION);

    bool delivering = save_interrupted(vcpu, (qualification & BIT(12)) != 0);
    exit->memory = (struct exit_memory){
        .delivering = delivering,
        .address = vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS),
        .write = (qualification & BIT(1)) != 0,
        .fetch = (qualification & BIT(2)) != 0,
        .page_walk = (qualification & (BIT(7) | BIT(8))) == BIT(7),
    };
}

enum exit_form {
    FORM_UNKNOWN, /* no row */
    FORM_EVENT,
    FORM_INSTRUCTION, /* the processor tells its length */
};

struct exit_row {
    uint8_t form; /* enum exit_form */
    uint8_t kind; /* enum exit_kind */
    void (*decode)(struct vcpu *vcpu, struct vmexit *exit);
};

#define EVENT(kind, decode)                                                                                            \
    {                                                                                                                  \
        FORM_EVENT, kind, decode                                                                                       \
    }
#define INSTRUCTION(kind, decode)                                                                                      \
    {                                                                                                                  \
        FORM_INSTRUCTION, kind, decode                                                                                 \
    }

static const struct exit_row rows[REASON_COUNT] = {
    [REASON_EXCEPTION_OR_NMI] = EVENT(EXIT_EXCEPTION, decode_exception),
    [REASON_EXTERNAL_INTERRUPT] = EVENT(EXIT_NONE, decode_external_interrupt),
    [REASON_TRIPLE_FAULT] = EVENT(EXIT_TRIPLE_FAULT, decode_triple_fault),
    [REASON_INIT] = EVENT(EXIT_NONE, NULL), /* no guest can send one; the platform's are not for us either */
    [REASON_INTERRUPT_WINDOW] = EVENT(EXIT_INTERRUPT_WINDOW, NULL),
    [REASON_NMI_WINDOW] = EVENT(EXIT_NMI_WINDOW, NULL),
    [REASON_TASK_SWITCH] = INSTRUCTION(EXIT_TASK_SWITCH, decode_task_switch),
    [REASON_CPUID] = INSTRUCTION(EXIT_CPUID, NULL),
    [REASON_GETSEC] = INSTRUCTION(EXIT_VIRTUALIZATION, NULL),
    [REASON_HLT] = INSTRUCTION(EXIT_HLT, NULL),
    [REASON_INVD] = INSTRUCTION(EXIT_INVD, NULL),
    [REASON_RDPMC] = INSTRUCTION(EXIT_RDPMC, NULL),
    [REASON_VMCALL] = INSTRUCTION(EXIT_HYPERCALL, NULL),
    [REASON_VMCLEAR] = INSTRUCTION(EXIT_VIRTUALIZATION, NULL),
    [REASON_VMLAUNCH] = INSTRUCTION(EXIT_VIRTUALIZATION, NULL),
    [REASON_VMPTRLD] = INSTRUCTION(EXIT_VIRTUALIZATION, NULL),
    [REASON_VMPTRST] = INSTRUCTION(EXIT_VIRTUALIZATION, NULL),
    [REASON_VMREAD] = INSTRUCTION(EXIT_VIRTUALIZATION, NULL),
    [REASON_VMRESUME] = INSTRUCTION(EXIT_VIRTUALIZATION, NULL),
    [REASON_VMWRITE] = INSTRUCTION(EXIT_VIRTUALIZATION, NULL),
    [REASON_VMXOFF] = INSTRUCTION(EXIT_VIRTUALIZATION, NULL),
    [REASON_VMXON] = INSTRUCTION(EXIT_VIRTUALIZATION, NULL),
    [REASON_INVEPT] = INSTRUCTION(EXIT_VIRTUALIZATION, NULL),
    [REASON_INVVPID] = INSTRUCTION(EXIT_VIRTUALIZATION, NULL),
    [REASON_VMFUNC] = INSTRUCTION(EXIT_VIRTUALIZATION, NULL),
    [REASON_ENCLS] = INSTRUCTION(EXIT_VIRTUALIZATION, NULL),
    [REASON_CONTROL_REGISTER] = INSTRUCTION(EXIT_CR_WRITE, decode_control_register),
    [REASON_IO] = INSTRUCTION(EXIT_PIO, decode_io),
    [REASON_RDMSR] = INSTRUCTION(EXIT_MSR_READ, NULL),
    [REASON_WRMSR] = INSTRUCTION(EXIT_MSR_WRITE, NULL),
    [REASON_MWAIT] = INSTRUCTION(EXIT_MWAIT, NULL),
    [REASON_MONITOR] = INSTRUCTION(EXIT_MONITOR, NULL),
    [REASON_TPR_BELOW_THRESHOLD] = EVENT(EXIT_INTERRUPT_WINDOW, NULL),
    [REASON_EPT_VIOLATION] = EVENT(EXIT_MEMORY, decode_ept_violation),
    [REASON_PREEMPTION_TIMER] = EVENT(EXIT_NONE, decode_preemption_timer),
    [REASON_WBINVD] = INSTRUCTION(EXIT_WBINVD, NULL),
    [REASON_XSETBV] = INSTRUCTION(EXIT_XSETBV, NULL),
};

static void decode_exit(struct vcpu *vcpu, struct vmexit *exit, uint64_t reason)
{
    static const struct exit_row unknown;
    const struct exit_row *row = &unknown;

    if (__builtin_expect(reason < REASON_COUNT, 1))
        row = &rows[reason];
    exit->kind = row->kind;
    if (row->form == FORM_INSTRUCTION) {
        exit->length = (uint8_t)vmcs_read_basic(VMCS_EXIT_INSTRUCTION_LENGTH);
    } else {
        exit->length = 0;
        if (row->form == FORM_UNKNOWN)
            exit->kind = EXIT_UNKNOWN;
    }
    if (row->decode)
        row->decode(vcpu, exit);
}

/* ---- Entries that fail ---- */

/* SDM vol. 3, "VM Instruction Error Numbers": those that an entry can give, as the manual has them. */
#define ERROR_CONTROLS 7u
static const char *const instruction_errors[] = {
    [4] = "VMLAUNCH with a VMCS that is not clear",
    [5] = "VMRESUME with a VMCS that is not launched",
    [6] = "VMRESUME after VMXOFF",
    [ERROR_CONTROLS] = "invalid control fields",
    [8] = "invalid host-state fields",
    [17] = "invalid executive-VMCS pointer",
    [18] = "executive VMCS that is not launched",
    [19] = "executive-VMCS pointer that is not the VMXON pointer",
    [25] = "invalid VM-execution control fields in the executive VMCS",
    [26] = "events blocked by MOV SS",
};

/* SDM vol. 3, "VM-Entry Failures During or After Loading Guest State". */
static const char *bad_state_text(uint64_t qualification)
{
    switch (qualification) {
    case 2: return "PAE page-directory-pointer entries";
    case 3: return "NMI injection while events are blocked";
    case 4: return "VMCS link pointer";
    default: return "some check of guest state";
    }
}

/* The VMCS as the processor refused it, before anything is put right. */
static const struct entry_state *keep_refused(struct vcpu *vcpu, struct vmx_vcpu *vmx)
{
    entry_state_read(vcpu, &vmx->refused);
    vmx_entry_state(vmx, &vmx->refused);
    return &vmx->refused;
}

/* VMfail: the processor looked at no more than the control fields and the host state. */
static RARE void entry_refused(struct vcpu *vcpu, struct vmexit *exit, int failure)
{
    struct vmx_vcpu *vmx = vmx_of(vcpu);
    uint64_t error = failure == 2 ? vmcs_read(VMCS_INSTRUCTION_ERROR) : 0;
    const char *text = error < ARRAY_SIZE(instruction_errors) ? instruction_errors[error] : NULL;

    stats_leave(&vcpu->stats, machine_ticks_low());
    *exit = (struct vmexit){.kind = EXIT_NONE, .rip = vmcs_read(VMCS_GUEST_RIP)};
    vmx->host_rsp = 0; /* enter.S must look again whether to launch */
    if (vmx->kicked) {
        return_injected(vcpu, vmx);
        /* In this order: an NMI between the two is seen by the look at the requests that follows. */
        vmx->kicked = false;
        vmcs_write(VMCS_CR3_TARGET_COUNT, 0);
        return;
    }
    exit->kind = EXIT_ENTRY_FAILURE;
    exit->reason = error;
    exit->entry_failure.detail = vmx->failure;
    if (error == ERROR_CONTROLS)
        exit->entry_failure.state = keep_refused(vcpu, vmx);
    return_injected(vcpu, vmx);
    if (failure == 2)
        format_text(vmx->failure, sizeof(vmx->failure), "VM-instruction error %u: %s", (unsigned)error,
                    text != NULL ? text : "not an error of VM entry");
    else
        format_text(vmx->failure, sizeof(vmx->failure), "there is no current VMCS");
}

static RARE void guest_state_refused(struct vcpu *vcpu, struct vmexit *exit)
{
    struct vmx_vcpu *vmx = vmx_of(vcpu);
    uint64_t qualification = vmcs_read(VMCS_EXIT_QUALIFICATION);

    vmx->host_rsp = 0; /* as in entry_refused */
    exit->kind = EXIT_ENTRY_FAILURE;
    exit->length = 0;
    exit->entry_failure = (struct exit_entry_failure){vmx->failure, NULL};
    switch (exit->reason & REASON_BASIC_MASK) {
    case REASON_BAD_GUEST_STATE:
        exit->entry_failure.state = keep_refused(vcpu, vmx);
        format_text(vmx->failure, sizeof(vmx->failure), "invalid guest state: %s", bad_state_text(qualification));
        break;
    case REASON_MACHINE_CHECK: format_text(vmx->failure, sizeof(vmx->failure), "machine check during the entry"); break;
    default:
        format_text(vmx->failure, sizeof(vmx->failure), "entry failure 0x%x, qualification 0x%lx",
                    (unsigned)exit->reason, qualification);
        break;
    }
    return_injected(vcpu, vmx);
}

/* ---- The turn ---- */

/* Both instructions take a descriptor of 128 bits and the type of the flush. SDM vol. 3, chapter "VMX Instruction
 * Reference". */
struct flush_descriptor {
    uint64_t first, second;
};
#define FLUSH_SINGLE_CONTEXT 1u
#define FLUSH_ALL_CONTEXTS   2u
#define INVEPT_SINGLE        BIT(25) /* in IA32_VMX_EPT_VPID_CAP */
#define INVVPID_SINGLE       BIT(41)

static void flush_translations(struct vmx_vcpu *vmx)
{
    struct flush_descriptor ept = {vmcs_read(VMCS_EPT_POINTER), 0};
    struct flush_descriptor vpid = {1, 0};
    uint64_t ept_type = (vmx_cpu.ept_vpid & INVEPT_SINGLE) != 0 ? FLUSH_SINGLE_CONTEXT : FLUSH_ALL_CONTEXTS;
    uint64_t vpid_type = (vmx_cpu.ept_vpid & INVVPID_SINGLE) != 0 ? FLUSH_SINGLE_CONTEXT : FLUSH_ALL_CONTEXTS;

    vmx->flush = false;
    __asm__ volatile("invept %0, %1; jbe vmcs_access_failed" : : "m"(ept), "r"(ept_type) : "cc", "memory");
    if (vmx_has(CONTROLS_SECONDARY, SECONDARY_VPID))
        __asm__ volatile("invvpid %0, %1; jbe vmcs_access_failed" : : "m"(vpid), "r"(vpid_type) : "cc", "memory");
}

/*
 * The preemption timer: behind it stands the local APIC's, set to the same deadline. It counts in the guest only, keeps
 * its count from exit to entry, and is written when the deadline changes; so it may come late, never early, which would
 * only come back.
 */
static RARE void arm_preemption_timer(struct vcpu *vcpu)
{
    struct vmx_vcpu *vmx = vmx_of(vcpu);
    uint64_t deadline = this_cpu.timer_deadline, now = tsc_read(), count = 0;

    vmx->timer_deadline = deadline;
    if (!vmx_has(CONTROLS_PIN, PIN_PREEMPTION_TIMER))
        return;
    if (deadline > now)
        count = ((deadline - now) >> vmx_cpu.preemption_shift) + 1;
    vmcs_write(VMCS_PREEMPTION_TIMER, min_u64(count, UINT32_MAX));
}

/* What only some entries need. */
static RARE void prepare(struct vcpu *vcpu)
{
    struct vmx_vcpu *vmx = vmx_of(vcpu);
    /* The processor takes no threshold above the TPR's class. */
    uint8_t threshold = (uint8_t)min_u64(vmx->tpr_threshold, vcpu->tpr >> 4);

    if (vmx->flush)
        flush_translations(vmx);
    if (threshold != vmx->tpr_threshold_loaded) {
        vmx->tpr_threshold_loaded = threshold;
        vmcs_write(VMCS_TPR_THRESHOLD, threshold);
    }
    vmx->attention = vmx->tpr_threshold != 0;
}

/*
 * Into the guest. Returns 0 after an exit, 1 (VMfailInvalid) or 2 (VMfailValid, INSTRUCTION_ERROR says why) when
 * nothing was entered. No C call: an exit leaves nothing of ours in the registers but the vCPU, so the compiler saves
 * what it has in them once, and no callee has to.
 */
static inline int enter(struct vcpu **vcpu, struct vmx_vcpu *vmx)
{
    int failure;

    __asm__ volatile("call vmx_enter"
                     : "=a"(failure), "+D"(*vcpu), "+S"(vmx)
                     :
                     : "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc", "memory");
    return failure;
}

static RARE void not_entered(struct vcpu *vcpu, struct vmexit *exit)
{
    return_injected(vcpu, vmx_of(vcpu));
    stats_leave(&vcpu->stats, machine_ticks_low());
    *exit = (struct vmexit){.kind = EXIT_NONE, .rip = vmcs_read(VMCS_GUEST_RIP)};
}

void vmx_run(struct vcpu *vcpu, struct vmexit *exit)
{
    struct vmx_vcpu *vmx = vmx_of(vcpu);

    if (vmx->attention)
        prepare(vcpu);
    if (vmx->timer_deadline != this_cpu.timer_deadline)
        arm_preemption_timer(vcpu);
    vmx->virtual_apic[VIRTUAL_APIC_TPR] = vcpu->tpr;
    /* A kick after this look spoils the entry: nmi_in_root_mode. */
    if (__atomic_load_n(&vcpu->requests, __ATOMIC_ACQUIRE)) {
        not_entered(vcpu, exit);
        return;
    }
    int failure = enter(&vcpu, vmx);
    if (failure) {
        entry_refused(vcpu, exit, failure);
        return;
    }
    stats_leave(&vcpu->stats, machine_ticks_low());
    uint64_t reason = exit->reason = vmcs_read_basic(VMCS_EXIT_REASON);
    exit->rip = vmcs_read_basic(VMCS_GUEST_RIP);
    if (reason & REASON_ENTRY_FAILED) {
        guest_state_refused(vcpu, exit);
        return;
    }
    vmx = vmx_of(vcpu);
    vmx->launched = true;
    vmx->injected.type = EVENT_NONE;
    vcpu->tpr = vmx->virtual_apic[VIRTUAL_APIC_TPR];
    decode_exit(vcpu, exit, reason & REASON_BASIC_MASK);
}
