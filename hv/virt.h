/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The contract between the run loop and a virtualization backend (VT-x or AMD-V): the neutral form of an exit, of
 * processor state, and the few operations that a backend offers. arch/vmx and arch/svm implement it; the unit tests
 * fake it.
 */
#ifndef HV_VIRT_H
#define HV_VIRT_H

#include "hv/types.h"

struct vcpu;
struct guest;
struct pt_format;
struct intercept_place;

#define VIRT_CONTROL_WORDS 8u /* that hold intercepts, at most */

/* Vectors of architectural exceptions. Intel SDM vol. 3, "Interrupt and Exception Handling", "Exception and Interrupt
 * Vectors". */
enum vector {
    VECTOR_DE = 0,
    VECTOR_DB = 1,
    VECTOR_NMI = 2,
    VECTOR_BP = 3,
    VECTOR_OF = 4,
    VECTOR_BR = 5,
    VECTOR_UD = 6,
    VECTOR_NM = 7,
    VECTOR_DF = 8,
    VECTOR_TS = 10,
    VECTOR_NP = 11,
    VECTOR_SS = 12,
    VECTOR_GP = 13,
    VECTOR_PF = 14,
    VECTOR_MF = 16,
    VECTOR_AC = 17,
    VECTOR_MC = 18,
    VECTOR_XM = 19,
    VECTOR_VE = 20,
    VECTOR_CP = 21,
};

/* General registers by their hardware number. */
enum gpr {
    GPR_RAX,
    GPR_RCX,
    GPR_RDX,
    GPR_RBX,
    GPR_RSP,
    GPR_RBP,
    GPR_RSI,
    GPR_RDI,
    GPR_R8,
    GPR_COUNT = 16,
};

/* Segment registers by their hardware number, then the two system ones. */
enum segment {
    SEGMENT_ES,
    SEGMENT_CS,
    SEGMENT_SS,
    SEGMENT_DS,
    SEGMENT_FS,
    SEGMENT_GS,
    SEGMENT_LDTR,
    SEGMENT_TR,
    SEGMENT_COUNT,
};

/*
 * A segment register. `attributes` holds the descriptor's bytes 5 and 6 as VT-x does: bits 0-3 type, 4 S, 5-6 DPL, 7 P,
 * 12 AVL, 13 L, 14 D/B, 15 G; SEGMENT_UNUSABLE for a null one. `limit` is in bytes. Intel SDM vol. 3, "Guest Register
 * State".
 */
struct segment_register {
    uint64_t base;
    uint32_t limit;
    uint32_t attributes;
    uint16_t selector;
};

#define SEGMENT_TYPE_MASK 0xfu
#define SEGMENT_S         BIT(4)
#define SEGMENT_DPL_SHIFT 5u
#define SEGMENT_P         BIT(7)
#define SEGMENT_L         BIT(13)
#define SEGMENT_DB        BIT(14)
#define SEGMENT_G         BIT(15)
#define SEGMENT_UNUSABLE  BIT(16)

struct table_register {
    uint64_t base;
    uint32_t limit;
};

/* Registers that the backend keeps in its control block; vcpu_read and vcpu_write reach them. */
enum vcpu_register {
    VCPU_RIP,
    VCPU_RSP,
    VCPU_RFLAGS,
    VCPU_CR0, /* as the guest reads it */
    VCPU_CR2,
    VCPU_CR3,
    VCPU_CR4, /* as the guest reads it */
    VCPU_DR6,
    VCPU_DR7,
    VCPU_EFER, /* as the guest reads it (no SVME of ours) */
    VCPU_PAT,
    VCPU_FS_BASE,
    VCPU_GS_BASE,
    VCPU_KERNEL_GS_BASE,
    VCPU_STAR,
    VCPU_LSTAR,
    VCPU_CSTAR,
    VCPU_SFMASK,
    VCPU_SYSENTER_CS,
    VCPU_SYSENTER_ESP,
    VCPU_SYSENTER_EIP,
    VCPU_TSC_OFFSET,
    VCPU_DEBUGCTL,
    VCPU_REGISTER_COUNT,
};

/* What a reset or a loader sets before a vCPU's first instruction. Everything else takes its reset value (vcpu_reset).
 */
struct vcpu_state {
    uint64_t gpr[GPR_COUNT];
    uint64_t rip;
    uint64_t rflags;
    uint64_t cr0, cr3, cr4, efer;
    struct segment_register segments[SEGMENT_COUNT];
    struct table_register gdtr, idtr;
};

enum exit_kind {
    EXIT_NONE,             /* nothing for hv: the backend served it (a host interrupt, a kick) */
    EXIT_INTERRUPT_WINDOW, /* the guest can take an interrupt now; also TPR below threshold */
    EXIT_NMI_WINDOW,       /* the guest can take an NMI now */
    EXIT_EXCEPTION,        /* an intercepted exception: #DB, #AC, #MC, #UD */
    EXIT_CPUID,
    EXIT_HLT,
    EXIT_PIO,
    EXIT_MSR_READ,
    EXIT_MSR_WRITE,
    EXIT_CR_READ,
    EXIT_CR_WRITE,
    EXIT_CLTS,
    EXIT_LMSW,
    EXIT_DR_ACCESS,
    EXIT_MEMORY,    /* the second-stage tables refused an access */
    EXIT_HYPERCALL, /* VMCALL or VMMCALL */
    EXIT_XSETBV,
    EXIT_INVD,
    EXIT_WBINVD,
    EXIT_RDPMC,
    EXIT_RDTSC, /* RDTSC or RDTSCP, where an intercept cannot be off */
    EXIT_MONITOR,
    EXIT_MWAIT,
    EXIT_PAUSE,
    EXIT_INVLPG,
    EXIT_VIRTUALIZATION, /* a VMX or SVM instruction, SKINIT, GETSEC, RSM, ...: #UD for the guest */
    EXIT_TASK_SWITCH,
    EXIT_TRIPLE_FAULT,
    EXIT_ENTRY_FAILURE, /* the processor refused to enter */
    EXIT_UNKNOWN,       /* `reason` is the hardware's number */
    EXIT_KIND_COUNT,
};

struct exit_io {
    uint16_t port;
    uint8_t size; /* 1, 2, 4 */
    bool in;
    bool string; /* INS or OUTS: the handler decodes the instruction */
    bool repeat;
};

struct exit_memory {
    gpa_t address;
    bool write;
    bool fetch;
    bool page_walk;  /* the processor was walking the guest's page tables */
    bool delivering; /* it was delivering an event: no instruction did it */
};

struct exit_register {
    uint8_t number; /* control or debug register */
    uint8_t gpr;    /* operand, or EXIT_GPR_UNKNOWN: the handler decodes the instruction */
    bool write;
    uint16_t lmsw; /* EXIT_LMSW: the source operand */
};
#define EXIT_GPR_UNKNOWN 0xffu

struct exit_exception {
    uint8_t vector;
    bool has_error_code;
    uint32_t error_code;
    uint64_t qualification; /* #DB: the DR6 bits to set; #PF: address */
};

struct exit_task_switch {
    uint16_t selector;
    uint8_t source; /* 0 CALL, 1 IRET, 2 JMP, 3 IDT gate */
};

struct exit_cpuid {
    uint32_t leaf, subleaf;
};

struct exit_msr {
    uint32_t index;
    bool refused;   /* the guest got #GP */
    uint64_t value; /* written, or what the guest got */
};

struct exit_hypercall {
    uint32_t number;
};

struct entry_state;

struct exit_entry_failure {
    const char *detail;              /* what the processor says */
    const struct entry_state *state; /* what it was to load, for entry_check; NULL where that is not the reason */
};

/*
 * One exit, decoded. `length` is the instruction's, 0 where the hardware does not tell (vcpu_advance then fetches and
 * decodes).
 */
struct vmexit {
    enum exit_kind kind;
    uint8_t length;
    uint64_t rip;    /* of the instruction that exited */
    uint64_t reason; /* the hardware's exit number, for the trace and for messages */
    union {
        struct exit_io io;
        struct exit_memory memory;
        struct exit_register reg;
        struct exit_exception exception;
        struct exit_task_switch task_switch;
        struct exit_entry_failure entry_failure;
        /* Noted by the handlers, for the trace: */
        struct exit_cpuid cpuid;
        struct exit_msr msr;
        struct exit_hypercall hypercall;
    };
};

/* Something to deliver through the guest's IDT. */
enum event_type {
    EVENT_NONE,
    EVENT_INTERRUPT,
    EVENT_NMI,
    EVENT_EXCEPTION,
    EVENT_SOFTWARE_INTERRUPT, /* INT n: `length` is needed */
    EVENT_SOFTWARE_EXCEPTION, /* INT3, INTO, INT1 (ICEBP) */
};

struct event {
    enum event_type type;
    uint8_t vector;
    uint8_t length; /* software interrupts and exceptions: bytes of the instruction, 0 when unknown */
    bool has_error_code;
    uint32_t error_code;
};

enum virt_window {
    WINDOW_INTERRUPT,
    WINDOW_NMI,
};

/* What stands between the guest and an event at this moment. */
struct virt_blocking {
    bool shadow_sti;    /* after STI */
    bool shadow_mov_ss; /* after MOV SS or POP SS (on AMD both are reported as this one) */
    bool nmi;           /* an NMI handler runs */
};

/* What a guest may do without an exit, read back from where the processor will read it. */
struct virt_permissions {
    hpa_t stage2_root;
    const struct intercept_place *places; /* of INTERCEPT_COUNT entries, in `words` */
    uint32_t words[VIRT_CONTROL_WORDS];
    const uint8_t *port_maps[2]; /* of ports 0-7fff and 8000-ffff: a bit each, set where an access exits */
    bool (*msr_exits)(const struct virt_permissions *permissions, uint32_t msr, bool write);
    const uint8_t *msr_map; /* for msr_exits */
};

struct virt_ops {
    const char *name;               /* "AMD-V", "VT-x" */
    const struct pt_format *stage2; /* NPT or EPT */
    /* The largest page that this CPU's second-stage tables may use for a guest's RAM: PAGE_SIZE_4K, _2M or _1G. */
    uint64_t (*stage2_largest)(void);

    /* Pages that one CPU with its vCPU needs: the first for cpu_enable, the others for vcpu_create. */
    uint32_t vcpu_pages;
    /*
     * Switch virtualization on, on this CPU; `page` is zeroed and the processor's from then on. Returns 0, or an error
     * after a log line that says why not.
     */
    int (*cpu_enable)(hpa_t page);
    /* Prepare a vCPU's control block and permission maps in these zeroed pages. Runs on its own CPU, once. */
    int (*vcpu_create)(struct vcpu *vcpu, hpa_t pages);
    /* What the finished control block says, for the audit. On the vCPU's own CPU. */
    void (*read_permissions)(struct vcpu *vcpu, struct virt_permissions *permissions);
    /* Put the state into the control block, all else to reset values, and flush its translations. */
    void (*vcpu_load_state)(struct vcpu *vcpu, const struct vcpu_state *state);
    /*
     * Enter the guest until it exits; fill `exit`. Looks at vcpu->requests once more with kicks held off and returns
     * EXIT_NONE without entering when one is set. What was being delivered goes to vcpu->events.interrupted.
     */
    void (*run)(struct vcpu *vcpu, struct vmexit *exit);

    uint64_t (*read)(struct vcpu *vcpu, enum vcpu_register reg);
    void (*write)(struct vcpu *vcpu, enum vcpu_register reg, uint64_t value);
    void (*read_segment)(struct vcpu *vcpu, enum segment segment, struct segment_register *value);
    void (*write_segment)(struct vcpu *vcpu, enum segment segment, const struct segment_register *value);
    void (*read_table)(struct vcpu *vcpu, bool interrupt_table, struct table_register *value);

    /* Deliver this event at the next entry. */
    void (*inject)(struct vcpu *vcpu, const struct event *event);
    void (*read_blocking)(struct vcpu *vcpu, struct virt_blocking *blocking);
    void (*clear_shadow)(struct vcpu *vcpu);
    /* Behind each emulated instruction, so one call for all of it: set RIP, clear the shadow, and return RFLAGS. */
    uint64_t (*advance)(struct vcpu *vcpu, uint64_t rip);
    /* Exit (or stop exiting) as soon as such an event could be taken. */
    void (*window)(struct vcpu *vcpu, enum virt_window window, bool on);
    /* Exit when the guest's TPR class falls below this class (1-15); 0 switches off. */
    void (*tpr_threshold)(struct vcpu *vcpu, unsigned priority_class);
    /* Drop all cached translations of this vCPU before the next entry. */
    void (*flush)(struct vcpu *vcpu);
    /* Describe the control block in a few log lines, for guest_stop messages. */
    void (*dump)(struct vcpu *vcpu);
};

/* The backend in use; arch/virt.c sets it once. */
extern const struct virt_ops *virt;

#endif
