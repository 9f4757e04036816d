/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why a processor refuses to enter a guest: the manuals' checks as one table for both vendors, over a neutral copy of
 * what the control block holds. Pure functions. The processor itself says only that some rule is broken.
 */
#ifndef HV_ENTRY_CHECK_H
#define HV_ENTRY_CHECK_H

#include "hv/types.h"
#include "hv/virt.h"

enum entry_vendor {
    ENTRY_INTEL, /* VMLAUNCH, VMRESUME */
    ENTRY_AMD,   /* VMRUN */
};

/* Intel's words of control bits, and one of them: as it is, which bits must be 1, and which may be. */
enum entry_control {
    ENTRY_CONTROL_PIN,
    ENTRY_CONTROL_PRIMARY,
    ENTRY_CONTROL_SECONDARY,
    ENTRY_CONTROL_EXIT,
    ENTRY_CONTROL_ENTRY,
    ENTRY_CONTROLS,
};
struct entry_control_word {
    uint32_t value, ones, allowed;
};

/*
 * What an entry would load, and what decides whether it may. A backend fills it from its control block as it stands
 * after the refusal; what one vendor does not have stays 0, and only rules of its own vendor look at a field.
 */
struct entry_state {
    enum entry_vendor vendor;

    /* What this processor is, and what the entry loads. AMD always loads all, and has no other mode than the last. */
    uint8_t physical_bits, linear_bits;
    bool long_mode;                                        /* Intel: the control "IA-32e mode guest"; AMD: EFER.LMA */
    bool loads_debug, loads_pat, loads_efer;               /* the entry takes DR7 and DEBUGCTL, PAT, EFER from here */
    bool unrestricted, virtual_nmis, tpr_shadow, has_vpid; /* Intel's controls */
    bool has_ept, nmi_exits, nmi_window, has_timer, saves_timer;
    bool vmrun_intercepted; /* AMD */

    /* Bits that must be 1, and bits that may be. */
    uint64_t cr0_ones, cr0_allowed;
    uint64_t cr4_ones, cr4_allowed;
    uint64_t efer_ones, efer_allowed;

    uint64_t cr0, cr3, cr4, efer, dr6, dr7, pat, debugctl, sysenter_esp, sysenter_eip, rip, rflags;
    struct segment_register segments[SEGMENT_COUNT];
    struct table_register gdtr, idtr;

    /* Intel's guest non-register state, and the PDPTEs, which with EPT are part of the VMCS. */
    uint32_t activity, interruptibility;
    uint64_t pending_debug, link_pointer;
    uint64_t pdptes[4];

    /* Controls. */
    struct entry_control_word controls[ENTRY_CONTROLS];
    uint32_t event, event_error_code, event_length; /* what the entry delivers: one form on both vendors */
    uint8_t event_types;                            /* a bit for each type of event that there is */
    uint32_t cr3_targets, tpr_threshold, virtual_tpr;
    uint32_t address_space; /* VPID, ASID */
    uint64_t io_bitmap, io_bitmap_bytes, msr_bitmap, msr_bitmap_bytes, virtual_apic;
    uint64_t stage2_root; /* EPTP, nCR3 */
};

struct entry_rule;

/* One rule that a state breaks. */
struct entry_breach {
    const struct entry_rule *rule;
    enum segment segment; /* of a rule about segments: which one */
    uint64_t bits;        /* of the rule's first field that are wrong; 0: no single ones */
};
#define ENTRY_BREACHES_MAX 16u
#define ENTRY_BREACH_TEXT  320u

/*
 * Fill what virt_ops and CPUID tell of a vCPU: widths, RIP and RFLAGS, segments and tables, debug registers and MSRs.
 * All else becomes 0: control registers, EFER, events and controls are the backend's, as the processor has them.
 */
void entry_state_read(struct vcpu *vcpu, struct entry_state *state);

/* Find the broken rules, at most `max` of them into `breaches`. Returns how many there are. */
unsigned entry_check(const struct entry_state *state, struct entry_breach *breaches, unsigned max);

/* One sentence: the field, its value, the bits that are wrong, what else decides, the rule, where the manual has it. */
void entry_breach_text(const struct entry_state *state, const struct entry_breach *breach, char *text, size_t size);

/* Write one log line for each rule that the state of this vCPU breaks, or one that says that it breaks none. */
void entry_check_log(const struct vcpu *vcpu, const struct entry_state *state);

#endif
