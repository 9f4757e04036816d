/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VT-x as the manual defines it (VMCS fields, controls, exit reasons), and what the files of this backend share. A
 * field is a type of its own, so that an encoding cannot be taken for a value.
 */
#ifndef ARCH_VMX_VMX_H
#define ARCH_VMX_VMX_H

#include "arch/cpu.h"
#include "arch/virt.h"
#include "arch/x86.h"
#include "hv/entry_check.h"
#include "hv/event_word.h"
#include "hv/intercept.h"
#include "hv/types.h"
#include "hv/vcpu.h"
#include "hv/virt.h"

/* ---- VMCS fields. Intel SDM vol. 3, appendix B "Field Encoding in VMCS" ---- */

#define VMCS_FIELDS(FIELD)                                                                                             \
    FIELD(VPID, 0x0000)                                                                                                \
    FIELD(GUEST_ES_SELECTOR, 0x0800)                                                                                   \
    FIELD(HOST_ES_SELECTOR, 0x0c00)                                                                                    \
    FIELD(HOST_CS_SELECTOR, 0x0c02)                                                                                    \
    FIELD(HOST_SS_SELECTOR, 0x0c04)                                                                                    \
    FIELD(HOST_DS_SELECTOR, 0x0c06)                                                                                    \
    FIELD(HOST_FS_SELECTOR, 0x0c08)                                                                                    \
    FIELD(HOST_GS_SELECTOR, 0x0c0a)                                                                                    \
    FIELD(HOST_TR_SELECTOR, 0x0c0c)                                                                                    \
    FIELD(IO_BITMAP_A, 0x2000)                                                                                         \
    FIELD(IO_BITMAP_B, 0x2002)                                                                                         \
    FIELD(MSR_BITMAP, 0x2004)                                                                                          \
    FIELD(TSC_OFFSET, 0x2010)                                                                                          \
    FIELD(VIRTUAL_APIC, 0x2012)                                                                                        \
    FIELD(EPT_POINTER, 0x201a)                                                                                         \
    FIELD(ENCLS_EXITING_BITMAP, 0x202e)                                                                                \
    FIELD(GUEST_PHYSICAL_ADDRESS, 0x2400)                                                                              \
    FIELD(VMCS_LINK, 0x2800)                                                                                           \
    FIELD(GUEST_DEBUGCTL, 0x2802)                                                                                      \
    FIELD(GUEST_PAT, 0x2804)                                                                                           \
    FIELD(GUEST_EFER, 0x2806)                                                                                          \
    FIELD(GUEST_PDPTE0, 0x280a)                                                                                        \
    FIELD(HOST_PAT, 0x2c00)                                                                                            \
    FIELD(HOST_EFER, 0x2c02)                                                                                           \
    FIELD(PIN_CONTROLS, 0x4000)                                                                                        \
    FIELD(PRIMARY_CONTROLS, 0x4002)                                                                                    \
    FIELD(EXCEPTION_BITMAP, 0x4004)                                                                                    \
    FIELD(PAGE_FAULT_MASK, 0x4006)                                                                                     \
    FIELD(PAGE_FAULT_MATCH, 0x4008)                                                                                    \
    FIELD(CR3_TARGET_COUNT, 0x400a)                                                                                    \
    FIELD(EXIT_CONTROLS, 0x400c)                                                                                       \
    FIELD(EXIT_MSR_STORE_COUNT, 0x400e)                                                                                \
    FIELD(EXIT_MSR_LOAD_COUNT, 0x4010)                                                                                 \
    FIELD(ENTRY_CONTROLS, 0x4012)                                                                                      \
    FIELD(ENTRY_MSR_LOAD_COUNT, 0x4014)                                                                                \
    FIELD(ENTRY_EVENT, 0x4016)                                                                                         \
    FIELD(ENTRY_ERROR_CODE, 0x4018)                                                                                    \
    FIELD(ENTRY_INSTRUCTION_LENGTH, 0x401a)                                                                            \
    FIELD(TPR_THRESHOLD, 0x401c)                                                                                       \
    FIELD(SECONDARY_CONTROLS, 0x401e)                                                                                  \
    FIELD(INSTRUCTION_ERROR, 0x4400)                                                                                   \
    FIELD(EXIT_REASON, 0x4402)                                                                                         \
    FIELD(EXIT_EVENT, 0x4404)                                                                                          \
    FIELD(EXIT_ERROR_CODE, 0x4406)                                                                                     \
    FIELD(VECTORING_EVENT, 0x4408)                                                                                     \
    FIELD(VECTORING_ERROR_CODE, 0x440a)                                                                                \
    FIELD(EXIT_INSTRUCTION_LENGTH, 0x440c)                                                                             \
    FIELD(GUEST_ES_LIMIT, 0x4800)                                                                                      \
    FIELD(GUEST_GDTR_LIMIT, 0x4810)                                                                                    \
    FIELD(GUEST_IDTR_LIMIT, 0x4812)                                                                                    \
    FIELD(GUEST_ES_ATTRIBUTES, 0x4814)                                                                                 \
    FIELD(GUEST_INTERRUPTIBILITY, 0x4824)                                                                              \
    FIELD(GUEST_ACTIVITY, 0x4826)                                                                                      \
    FIELD(GUEST_SYSENTER_CS, 0x482a)                                                                                   \
    FIELD(PREEMPTION_TIMER, 0x482e)                                                                                    \
    FIELD(HOST_SYSENTER_CS, 0x4c00)                                                                                    \
    FIELD(CR0_MASK, 0x6000)                                                                                            \
    FIELD(CR4_MASK, 0x6002)                                                                                            \
    FIELD(CR0_SHADOW, 0x6004)                                                                                          \
    FIELD(CR4_SHADOW, 0x6006)                                                                                          \
    FIELD(EXIT_QUALIFICATION, 0x6400)                                                                                  \
    FIELD(GUEST_LINEAR_ADDRESS, 0x640a)                                                                                \
    FIELD(GUEST_CR0, 0x6800)                                                                                           \
    FIELD(GUEST_CR3, 0x6802)                                                                                           \
    FIELD(GUEST_CR4, 0x6804)                                                                                           \
    FIELD(GUEST_ES_BASE, 0x6806)                                                                                       \
    FIELD(GUEST_FS_BASE, 0x680e)                                                                                       \
    FIELD(GUEST_GS_BASE, 0x6810)                                                                                       \
    FIELD(GUEST_GDTR_BASE, 0x6816)                                                                                     \
    FIELD(GUEST_IDTR_BASE, 0x6818)                                                                                     \
    FIELD(GUEST_DR7, 0x681a)                                                                                           \
    FIELD(GUEST_RSP, 0x681c)                                                                                           \
    FIELD(GUEST_RIP, 0x681e)                                                                                           \
    FIELD(GUEST_RFLAGS, 0x6820)                                                                                        \
    FIELD(GUEST_PENDING_DEBUG, 0x6822)                                                                                 \
    FIELD(GUEST_SYSENTER_ESP, 0x6824)                                                                                  \
    FIELD(GUEST_SYSENTER_EIP, 0x6826)                                                                                  \
    FIELD(HOST_CR0, 0x6c00)                                                                                            \
    FIELD(HOST_CR3, 0x6c02)                                                                                            \
    FIELD(HOST_CR4, 0x6c04)                                                                                            \
    FIELD(HOST_FS_BASE, 0x6c06)                                                                                        \
    FIELD(HOST_GS_BASE, 0x6c08)                                                                                        \
    FIELD(HOST_TR_BASE, 0x6c0a)                                                                                        \
    FIELD(HOST_GDTR_BASE, 0x6c0c)                                                                                      \
    FIELD(HOST_IDTR_BASE, 0x6c0e)                                                                                      \
    FIELD(HOST_SYSENTER_ESP, 0x6c10)                                                                                   \
    FIELD(HOST_SYSENTER_EIP, 0x6c12)                                                                                   \
    FIELD(HOST_RSP, 0x6c14)                                                                                            \
    FIELD(HOST_RIP, 0x6c16)

struct vmcs_field {
    uint16_t encoding;
};

/* The bare numbers, for constant initialisers and assertions only. */
enum vmcs_encoding {
#define VMCS_ENCODING(name, encoding) ENCODING_##name = encoding,
    VMCS_FIELDS(VMCS_ENCODING)
#undef VMCS_ENCODING
};

#define VMCS_FIELD(name, encoding) static const struct vmcs_field VMCS_##name __attribute__((unused)) = {encoding};
VMCS_FIELDS(VMCS_FIELD)
#undef VMCS_FIELD

/* The fields of one kind of all segment registers follow each other, in the order of enum segment. */
static inline struct vmcs_field vmcs_segment(struct vmcs_field of_es, enum segment segment)
{
    return (struct vmcs_field){(uint16_t)(of_es.encoding + 2u * (unsigned)segment)};
}

static inline struct vmcs_field vmcs_pdpte(unsigned index)
{
    return (struct vmcs_field){(uint16_t)(ENCODING_GUEST_PDPTE0 + 2u * index)};
}

/*
 * Access to this CPU's current VMCS. A field that the processor refuses is a bug of ours: vmcs_access_failed (enter.S)
 * panics.
 */
static inline uint64_t vmcs_read(struct vmcs_field field)
{
    uint64_t value;
    __asm__ volatile("vmread %1, %0; jbe vmcs_access_failed" : "=r"(value) : "r"((uint64_t)field.encoding) : "cc");
    return value;
}

static inline void vmcs_write(struct vmcs_field field, uint64_t value)
{
    __asm__ volatile("vmwrite %0, %1; jbe vmcs_access_failed" : : "r"(value), "r"((uint64_t)field.encoding) : "cc");
}

/*
 * The same for a field that every processor with VT-x has: with a current VMCS this cannot fail. For the path that
 * every exit takes.
 */
static inline uint64_t vmcs_read_basic(struct vmcs_field field)
{
    uint64_t value;
    __asm__ volatile("vmread %1, %0" : "=r"(value) : "r"((uint64_t)field.encoding) : "cc");
    return value;
}

static inline void vmcs_write_basic(struct vmcs_field field, uint64_t value)
{
    __asm__ volatile("vmwrite %0, %1" : : "r"(value), "r"((uint64_t)field.encoding) : "cc");
}

/* ---- Capabilities. SDM vol. 3, appendix A "VMX Capability Reporting Facility" ---- */

#define MSR_VMX_BASIC        0x480u
#define MSR_VMX_PIN          0x481u
#define MSR_VMX_PRIMARY      0x482u
#define MSR_VMX_EXIT         0x483u
#define MSR_VMX_ENTRY        0x484u
#define MSR_VMX_MISC         0x485u
#define MSR_VMX_CR0_FIXED0   0x486u
#define MSR_VMX_CR0_FIXED1   0x487u
#define MSR_VMX_CR4_FIXED0   0x488u
#define MSR_VMX_CR4_FIXED1   0x489u
#define MSR_VMX_SECONDARY    0x48bu
#define MSR_VMX_EPT_VPID     0x48cu
#define MSR_VMX_TRUE_PIN     0x48du
#define MSR_VMX_TRUE_PRIMARY 0x48eu
#define MSR_VMX_TRUE_EXIT    0x48fu
#define MSR_VMX_TRUE_ENTRY   0x490u

/* ---- Controls. SDM vol. 3, "VM-Execution Control Fields", "VM-Exit Control Fields", "VM-Entry Control Fields" ---- */

enum control_word {
    CONTROLS_PIN,
    CONTROLS_PRIMARY,
    CONTROLS_SECONDARY,
    CONTROLS_EXIT,
    CONTROLS_ENTRY,
    CONTROLS_WORDS,
};

#define PIN_EXTERNAL_INTERRUPT BIT(0)
#define PIN_NMI                BIT(3)
#define PIN_VIRTUAL_NMIS       BIT(5)
#define PIN_PREEMPTION_TIMER   BIT(6)

#define PRIMARY_INTERRUPT_WINDOW BIT(2)
#define PRIMARY_TSC_OFFSETTING   BIT(3)
#define PRIMARY_HLT              BIT(7)
#define PRIMARY_INVLPG           BIT(9)
#define PRIMARY_MWAIT            BIT(10)
#define PRIMARY_RDPMC            BIT(11)
#define PRIMARY_RDTSC            BIT(12)
#define PRIMARY_CR3_LOAD         BIT(15)
#define PRIMARY_CR3_STORE        BIT(16)
#define PRIMARY_CR8_LOAD         BIT(19)
#define PRIMARY_CR8_STORE        BIT(20)
#define PRIMARY_TPR_SHADOW       BIT(21)
#define PRIMARY_NMI_WINDOW       BIT(22)
#define PRIMARY_MOV_DR           BIT(23)
#define PRIMARY_IO_BITMAPS       BIT(25)
#define PRIMARY_MSR_BITMAPS      BIT(28)
#define PRIMARY_MONITOR          BIT(29)
#define PRIMARY_SECONDARY        BIT(31)

#define SECONDARY_EPT          BIT(1)
#define SECONDARY_RDTSCP       BIT(3)
#define SECONDARY_VPID         BIT(5)
#define SECONDARY_WBINVD       BIT(6)
#define SECONDARY_UNRESTRICTED BIT(7)
#define SECONDARY_INVPCID      BIT(12)
#define SECONDARY_ENCLS        BIT(15)

#define EXIT_SAVE_DEBUG            BIT(2)
#define EXIT_HOST_64_BIT           BIT(9)
#define EXIT_ACKNOWLEDGE           BIT(15)
#define EXIT_LOAD_PAT              BIT(19)
#define EXIT_SAVE_EFER             BIT(20)
#define EXIT_LOAD_EFER             BIT(21)
#define EXIT_SAVE_PREEMPTION_TIMER BIT(22)

#define ENTRY_LOAD_DEBUG BIT(2)
#define ENTRY_IA32E      BIT(9)
#define ENTRY_LOAD_PAT   BIT(14)
#define ENTRY_LOAD_EFER  BIT(15)

/* ---- State between instructions ---- */

/* Of the words that tell of an event (hv/event_word.h), in that of an exit: an IRET had ended NMI blocking when it
 * came. */
#define EXIT_EVENT_NMI_UNBLOCKED BIT(12)

/* SDM vol. 3, "Guest Non-Register State", table "Format of Interruptibility State". */
#define BLOCKED_STI    BIT(0)
#define BLOCKED_MOV_SS BIT(1)
#define BLOCKED_NMI    BIT(3)

/* ---- Exit reasons. SDM vol. 3, appendix C "VMX Basic Exit Reasons" ---- */

#define REASON_BASIC_MASK   0xffffu
#define REASON_ENTRY_FAILED BIT(31)

enum exit_reason {
    REASON_EXCEPTION_OR_NMI = 0,
    REASON_EXTERNAL_INTERRUPT = 1,
    REASON_TRIPLE_FAULT = 2,
    REASON_INIT = 3,
    REASON_INTERRUPT_WINDOW = 7,
    REASON_NMI_WINDOW = 8,
    REASON_TASK_SWITCH = 9,
    REASON_CPUID = 10,
    REASON_GETSEC = 11,
    REASON_HLT = 12,
    REASON_INVD = 13,
    REASON_INVLPG = 14,
    REASON_RDPMC = 15,
    REASON_RDTSC = 16,
    REASON_RSM = 17,
    REASON_VMCALL = 18,
    REASON_VMCLEAR = 19,
    REASON_VMLAUNCH = 20,
    REASON_VMPTRLD = 21,
    REASON_VMPTRST = 22,
    REASON_VMREAD = 23,
    REASON_VMRESUME = 24,
    REASON_VMWRITE = 25,
    REASON_VMXOFF = 26,
    REASON_VMXON = 27,
    REASON_CONTROL_REGISTER = 28,
    REASON_IO = 30,
    REASON_RDMSR = 31,
    REASON_WRMSR = 32,
    REASON_BAD_GUEST_STATE = 33,
    REASON_BAD_MSR_LOAD = 34,
    REASON_MWAIT = 36,
    REASON_MONITOR = 39,
    REASON_PAUSE = 40,
    REASON_MACHINE_CHECK = 41,
    REASON_TPR_BELOW_THRESHOLD = 43,
    REASON_EPT_VIOLATION = 48,
    REASON_EPT_MISCONFIGURATION = 49,
    REASON_INVEPT = 50,
    REASON_RDTSCP = 51,
    REASON_PREEMPTION_TIMER = 52,
    REASON_INVVPID = 53,
    REASON_WBINVD = 54,
    REASON_XSETBV = 55,
    REASON_INVPCID = 58,
    REASON_VMFUNC = 59,
    REASON_ENCLS = 60,
    REASON_COUNT,
};

/* ---- What the files of this folder share ---- */

/* The virtual-APIC page holds the TPR where the APIC has it. SDM vol. 3, "Virtual APIC State". */
#define VIRTUAL_APIC_TPR 0x80u

/* Of one CPU: what its processor offers, and which controls follow from that. */
struct vmx_cpu {
    uint32_t controls[CONTROLS_WORDS];
    uint64_t capabilities[CONTROLS_WORDS]; /* lower half: bits that must be set; upper half: that may be */
    uint64_t cr0_forced, cr4_forced;       /* bits that stay set while a guest runs, whatever it writes */
    uint64_t cr0_mask, cr4_mask;           /* bits whose change by the guest exits */
    uint64_t ept_vpid;                     /* IA32_VMX_EPT_VPID_CAP */
    uint32_t revision;                     /* first word of VMXON region and VMCS */
    uint8_t preemption_shift;              /* the preemption timer counts once in 2^this ticks */
    struct vmx_vcpu *current;              /* whose VMCS is current here */
};
extern struct vmx_cpu vmx_cpu;

/* A vCPU's own state of this backend. enter.S knows the place of the first two. */
struct vmx_vcpu {
    uint64_t host_rsp; /* as the VMCS has it; 0: not entered yet, or refused */
    bool launched;
    bool kicked;                  /* an NMI in root mode spoiled the next entry (nmi_in_root_mode) */
    bool attention;               /* the next entry has more to prepare: a flush, a TPR threshold */
    bool flush;                   /* translations, before the next entry */
    uint8_t tpr_threshold;        /* what hv asked for */
    uint8_t tpr_threshold_loaded; /* what the VMCS has */
    uint32_t primary_controls;    /* as the VMCS has them: windows change them */
    volatile uint8_t *virtual_apic;
    uint64_t timer_deadline; /* the preemption timer in the VMCS was computed from it, in ticks */
    struct event injected;   /* given to the VMCS and not delivered yet */
    char failure[128];       /* why an entry failed, and what it was to load: vmexit.entry_failure */
    struct entry_state refused;
};

static inline struct vmx_vcpu *vmx_of(struct vcpu *vcpu)
{
    return vcpu->backend;
}

static inline bool vmx_has(enum control_word word, uint64_t control)
{
    return (vmx_cpu.controls[word] & control) != 0;
}

/* setup.c: VMX_VCPU_PAGES are the VMXON region, then what vmx_vcpu_create lays out. */
#define VMX_VCPU_PAGES 7u
uint64_t vmx_stage2_largest(void);
int vmx_cpu_enable(hpa_t page);
int vmx_vcpu_create(struct vcpu *vcpu, hpa_t pages);
void vmx_read_permissions(struct vcpu *vcpu, struct virt_permissions *permissions);

/* intercepts.c: hv's list in the words of enum control_word, and in one more. */
#define WORD_EXCEPTIONS CONTROLS_WORDS
_Static_assert(WORD_EXCEPTIONS < VIRT_CONTROL_WORDS, "virt_permissions has room for all words");
extern const struct intercept_place vmx_intercepts[INTERCEPT_COUNT];

/* entry_state.c: what the VMCS has for an entry beyond entry_state_read. */
void vmx_entry_state(const struct vmx_vcpu *vmx, struct entry_state *state);

/* exit.c */
void vmx_run(struct vcpu *vcpu, struct vmexit *exit);

/*
 * enter.S, which also has vmx_enter, no C function: see exit.c. vmx_exit_entry is where the processor goes on an exit.
 * vmx_unblock_nmi ends the NMI blocking that an NMI exit leaves.
 */
void vmx_exit_entry(void);
void vmx_unblock_nmi(void);

#endif
