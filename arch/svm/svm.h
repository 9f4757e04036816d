/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VMCB: layout, intercepts, exit codes. AMD APM vol. 2, appendix B "VMCB Layout", appendix C "SVM Intercept Exit
 * Codes".
 */
#ifndef ARCH_SVM_SVM_H
#define ARCH_SVM_SVM_H

#include "hv/entry_check.h"
#include "hv/event_word.h"
#include "hv/intercept.h"
#include "hv/types.h"
#include "hv/virt.h"

struct svm_segment {
    uint16_t selector;
    uint16_t attributes; /* descriptor bits 40-47, then 52-55 */
    uint32_t limit;
    uint64_t base;
};

struct vmcb {
    /* Control area. */
    uint16_t intercept_cr_read;
    uint16_t intercept_cr_write;
    uint16_t intercept_dr_read;
    uint16_t intercept_dr_write;
    uint32_t intercept_exceptions;
    uint32_t intercept_misc1;
    uint32_t intercept_misc2;
    uint32_t intercept_misc3;
    uint8_t reserved_018[0x3c - 0x18];
    uint16_t pause_filter_threshold;
    uint16_t pause_filter_count;
    uint64_t iopm_base;
    uint64_t msrpm_base;
    uint64_t tsc_offset;
    uint32_t asid;
    uint32_t tlb_control;
    uint64_t interrupt_control;
    uint64_t interrupt_shadow;
    uint64_t exit_code;
    uint64_t exit_info1;
    uint64_t exit_info2;
    uint64_t exit_interrupt_info;
    uint64_t nested_control;
    uint8_t reserved_098[0xa8 - 0x98];
    uint64_t event_injection;
    uint64_t nested_cr3;
    uint64_t lbr_control;
    uint64_t clean;
    uint64_t next_rip;
    uint8_t fetched_count;
    uint8_t fetched_bytes[15];
    uint8_t reserved_0e0[0x400 - 0xe0];
    /* State save area. */
    struct svm_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    uint8_t reserved_4a0[0x4cb - 0x4a0];
    uint8_t cpl;
    uint32_t reserved_4cc;
    uint64_t efer;
    uint8_t reserved_4d8[0x548 - 0x4d8];
    uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
    uint8_t reserved_580[0x5d8 - 0x580];
    uint64_t rsp;
    uint8_t reserved_5e0[0x5f8 - 0x5e0];
    uint64_t rax;
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip, cr2;
    uint8_t reserved_648[0x668 - 0x648];
    uint64_t pat;
    uint64_t debugctl;
    uint8_t reserved_678[0x1000 - 0x678];
};

#define VMCB_OFFSET(field, offset)                                                                                     \
    _Static_assert(offsetof(struct vmcb, field) == (offset), "APM vol. 2, appendix B: " #field)
VMCB_OFFSET(intercept_exceptions, 0x008);
VMCB_OFFSET(intercept_misc3, 0x014);
VMCB_OFFSET(pause_filter_count, 0x03e);
VMCB_OFFSET(iopm_base, 0x040);
VMCB_OFFSET(msrpm_base, 0x048);
VMCB_OFFSET(tsc_offset, 0x050);
VMCB_OFFSET(asid, 0x058);
VMCB_OFFSET(tlb_control, 0x05c);
VMCB_OFFSET(interrupt_control, 0x060);
VMCB_OFFSET(interrupt_shadow, 0x068);
VMCB_OFFSET(exit_code, 0x070);
VMCB_OFFSET(exit_interrupt_info, 0x088);
VMCB_OFFSET(nested_control, 0x090);
VMCB_OFFSET(event_injection, 0x0a8);
VMCB_OFFSET(nested_cr3, 0x0b0);
VMCB_OFFSET(clean, 0x0c0);
VMCB_OFFSET(next_rip, 0x0c8);
VMCB_OFFSET(fetched_count, 0x0d0);
VMCB_OFFSET(es, 0x400);
VMCB_OFFSET(gdtr, 0x460);
VMCB_OFFSET(tr, 0x490);
VMCB_OFFSET(cpl, 0x4cb);
VMCB_OFFSET(efer, 0x4d0);
VMCB_OFFSET(cr4, 0x548);
VMCB_OFFSET(cr0, 0x558);
VMCB_OFFSET(dr7, 0x560);
VMCB_OFFSET(rflags, 0x570);
VMCB_OFFSET(rip, 0x578);
VMCB_OFFSET(rsp, 0x5d8);
VMCB_OFFSET(rax, 0x5f8);
VMCB_OFFSET(star, 0x600);
VMCB_OFFSET(cr2, 0x640);
VMCB_OFFSET(pat, 0x668);
VMCB_OFFSET(debugctl, 0x670);
_Static_assert(sizeof(struct vmcb) == PAGE_SIZE, "a VMCB is one page");

/* Sizes of the I/O and the MSR permission map. APM vol. 2, "IOIO Intercepts", "MSR Intercepts". */
#define IOPM_PAGES  3u
#define MSRPM_PAGES 2u

/* intercept_misc1 */
#define MISC1_INTR        (1u << 0)
#define MISC1_NMI         (1u << 1)
#define MISC1_SMI         (1u << 2)
#define MISC1_INIT        (1u << 3)
#define MISC1_VINTR       (1u << 4)
#define MISC1_RDPMC       (1u << 15)
#define MISC1_CPUID       (1u << 18)
#define MISC1_RSM         (1u << 19)
#define MISC1_IRET        (1u << 20)
#define MISC1_INVD        (1u << 22)
#define MISC1_HLT         (1u << 24)
#define MISC1_INVLPGA     (1u << 26)
#define MISC1_IOIO        (1u << 27)
#define MISC1_MSR         (1u << 28)
#define MISC1_FERR_FREEZE (1u << 30)
#define MISC1_SHUTDOWN    (1u << 31)

/* intercept_misc2 */
#define MISC2_VMRUN   (1u << 0)
#define MISC2_VMMCALL (1u << 1)
#define MISC2_VMLOAD  (1u << 2)
#define MISC2_VMSAVE  (1u << 3)
#define MISC2_STGI    (1u << 4)
#define MISC2_CLGI    (1u << 5)
#define MISC2_SKINIT  (1u << 6)
#define MISC2_WBINVD  (1u << 9)
#define MISC2_MONITOR (1u << 10)
#define MISC2_MWAIT   (1u << 11)
#define MISC2_XSETBV  (1u << 13)
#define MISC2_RDPRU   (1u << 14)

#define CR_WRITE_CR8 (1u << 8)

/* interrupt_control. APM vol. 2, "Virtualizing the Local APIC". */
#define INTERRUPT_TPR_MASK     UINT64_C(0xff)
#define INTERRUPT_VIRQ         BIT(8)
#define INTERRUPT_PRIO_SHIFT   16
#define INTERRUPT_IGNORE_TPR   BIT(20)
#define INTERRUPT_MASKING      BIT(24)
#define INTERRUPT_VECTOR_SHIFT 32
#define INTERRUPT_VECTOR       (UINT64_C(0xff) << INTERRUPT_VECTOR_SHIFT)
#define INTERRUPT_VIRTUAL      (INTERRUPT_VIRQ | INTERRUPT_IGNORE_TPR | UINT64_C(0xf) << INTERRUPT_PRIO_SHIFT)

#define NESTED_PAGING BIT(0)

#define TLB_KEEP       0u
#define TLB_FLUSH_ALL  1u
#define TLB_FLUSH_ASID 3u

/* exit_info1 of an I/O exit. APM vol. 2, "IOIO Intercept Information". */
#define IOIO_IN         BIT(0)
#define IOIO_STRING     BIT(2)
#define IOIO_REPEAT     BIT(3)
#define IOIO_SIZE_SHIFT 4 /* one bit each for 1, 2 and 4 bytes */
#define IOIO_PORT_SHIFT 16

/* exit_info1 of a nested page fault. APM vol. 2, "Nested versus Guest Page Faults, Fault Ordering". */
#define NPF_WRITE      BIT(1)
#define NPF_FETCH      BIT(4)
#define NPF_GUEST_WALK BIT(33)

enum svm_exit {
    SVM_EXIT_CR_READ_0 = 0x000,
    SVM_EXIT_CR_WRITE_0 = 0x010,
    SVM_EXIT_DR_READ_0 = 0x020,
    SVM_EXIT_DR_WRITE_0 = 0x030,
    SVM_EXIT_EXCEPTION_0 = 0x040,
    SVM_EXIT_INTR = 0x060,
    SVM_EXIT_NMI = 0x061,
    SVM_EXIT_SMI = 0x062,
    SVM_EXIT_INIT = 0x063,
    SVM_EXIT_VINTR = 0x064,
    SVM_EXIT_RDPMC = 0x06f,
    SVM_EXIT_CPUID = 0x072,
    SVM_EXIT_RSM = 0x073,
    SVM_EXIT_IRET = 0x074,
    SVM_EXIT_INVD = 0x076,
    SVM_EXIT_HLT = 0x078,
    SVM_EXIT_INVLPGA = 0x07a,
    SVM_EXIT_IOIO = 0x07b,
    SVM_EXIT_MSR = 0x07c,
    SVM_EXIT_FERR_FREEZE = 0x07e,
    SVM_EXIT_SHUTDOWN = 0x07f,
    SVM_EXIT_VMRUN = 0x080,
    SVM_EXIT_VMMCALL = 0x081,
    SVM_EXIT_VMLOAD = 0x082,
    SVM_EXIT_VMSAVE = 0x083,
    SVM_EXIT_STGI = 0x084,
    SVM_EXIT_CLGI = 0x085,
    SVM_EXIT_SKINIT = 0x086,
    SVM_EXIT_WBINVD = 0x089,
    SVM_EXIT_MONITOR = 0x08a,
    SVM_EXIT_MWAIT = 0x08b,
    SVM_EXIT_XSETBV = 0x08d,
    SVM_EXIT_RDPRU = 0x08e,
    SVM_EXIT_NPF = 0x400,
};
#define SVM_EXIT_INVALID_LOW 0xffffffffu /* -1; some emulators store only its low half */

/* CPUID 8000_000A EDX. */
#define SVM_FEATURE_NPT           BIT(0)
#define SVM_FEATURE_NRIP          BIT(3)
#define SVM_FEATURE_FLUSH_BY_ASID BIT(6)

/* The backend's own part of a vCPU. */
struct svm_vcpu {
    struct vmcb *vmcb;
    hpa_t vmcb_address;
    hpa_t host_address; /* where VMSAVE keeps the host's TR and the like */
    bool flush;
    bool nmi_masked; /* an NMI handler of the guest runs, until its IRET */
    bool iret_seen;  /* ... whose IRET is about to run, at iret_rip */
    bool nmi_window;
    bool threshold;     /* hv wants writes of CR8 to exit */
    bool window;        /* hv wants the interrupt window */
    bool delivering;    /* the virtual interrupt is one to deliver; the window comes after it */
    bool step;          /* TF is ours, to stop behind that IRET */
    bool step_guest_tf; /* and what the guest's TF was */
    uint64_t iret_rip;
    struct vmcb *kept;          /* the VMCB as it was entered with `flush`, which is after each change by hv */
    struct entry_state refused; /* vmexit.entry_failure.state */
};

/* Facts of this CPU, read once by setup.c. */
extern bool svm_has_next_rip;
extern bool svm_has_flush_by_asid;
extern bool svm_repeats_injection; /* QEMU's emulation; see svm_update_virtual_interrupt */

/* setup.c */
#define SVM_VCPU_PAGES (5u + IOPM_PAGES + MSRPM_PAGES) /* the host save area, then what svm_vcpu_create lays out */
int svm_cpu_enable(hpa_t page);
int svm_vcpu_create(struct vcpu *vcpu, hpa_t pages);
void svm_read_permissions(struct vcpu *vcpu, struct virt_permissions *permissions);

/* intercepts.c: hv's list in these words of the VMCB. */
enum intercept_word {
    WORD_EXCEPTIONS,
    WORD_MISC1,
    WORD_MISC2,
};
extern const struct intercept_place svm_intercepts[INTERCEPT_COUNT];

/* entry_state.c: what the VMCB has for VMRUN beyond entry_state_read. Pure. */
void svm_entry_state(const struct vmcb *vmcb, struct entry_state *state);

/* svm.c: set the VMCB's virtual interrupt after a change of `delivering` or `window`. */
void svm_update_virtual_interrupt(struct svm_vcpu *svm);

/* exit.c */
void svm_run(struct vcpu *vcpu, struct vmexit *exit);

/*
 * enter.S: VMRUN until an exit, between VMLOAD/VMSAVE of guest and host state; GIF is set again when it returns.
 * Returns 0, or 1 without entering when *requests is not zero.
 */
int svm_enter(uint64_t *gpr, hpa_t vmcb_address, hpa_t host_address, const uint32_t *requests);

#endif
