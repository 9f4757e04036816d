/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entry checks of what is no register: the state between instructions, controls, and the event to deliver. Intel SDM
 * vol. 3, "Checks on Guest Non-Register State" and "Checks on VMX Controls and Host-State Area"; AMD APM vol. 2,
 * "Canonicalization and Consistency Checks" and "Event Injection".
 */
#include "hv/entry_rules.h"

#define SDM_STATE     "Checks on Guest Non-Register State"
#define SDM_EXECUTION "VM-Execution Control Fields"
#define SDM_EXIT      "VM-Exit Control Fields"
#define SDM_ENTRY     "VM-Entry Control Fields"
#define APM_STATE     "Canonicalization and Consistency Checks"
#define APM_EVENT     "Event Injection"
#define APM_NESTED    "Nested Paging and VMRUN/#VMEXIT"

enum activity {
    ACTIVITY_ACTIVE,
    ACTIVITY_HLT,
    ACTIVITY_SHUTDOWN,
    ACTIVITY_WAIT_FOR_SIPI,
};

#define BLOCKED_STI    BIT(0)
#define BLOCKED_MOV_SS BIT(1)
#define BLOCKED_SMI    BIT(2)
#define BLOCKED_NMI    BIT(3)
#define SHADOW         (BLOCKED_STI | BLOCKED_MOV_SS)

#define DEBUGCTL_BTF     BIT(1)
#define PENDING_STEP     BIT(14)
#define PENDING_RESERVED (UINT64_C(0xff0) | BIT(13) | BIT(15) | HIGH_BITS(17))

/* EPTP: memory type, length of the walk less one, accessed and dirty bits and later features. */
#define EPTP_TYPE       UINT64_C(7)
#define EPTP_WALK       UINT64_C(0x38)
#define EPTP_WALK_4     UINT64_C(0x18)
#define EPTP_FEATURES   UINT64_C(0xf80)
#define TYPE_WRITE_BACK 6u
#define CR3_TARGETS_MAX 4u

#define EVENT_RESERVED UINT64_C(0x7ffff000)
#define EXCEPTION_LAST 31u
#define LENGTH_MAX     15u

/* ---- Between two instructions ---- */

ENTRY_CHECK(activity_known)
{
    return broken_if(value > ACTIVITY_WAIT_FOR_SIPI);
}

ENTRY_CHECK(activity_level)
{
    return broken_if(value == ACTIVITY_HLT && segment_dpl(&s->segments[SEGMENT_SS]) != 0);
}

ENTRY_CHECK(activity_shadow)
{
    return broken_if(value != ACTIVITY_ACTIVE && (s->interruptibility & SHADOW) != 0);
}

ENTRY_CHECK(activity_event)
{
    bool is_machine_check = event_is(s, EVENT_WORD_EXCEPTION) && event_word_vector(s->event) == VECTOR_MC;
    bool is_debug = event_is(s, EVENT_WORD_EXCEPTION) && event_word_vector(s->event) == VECTOR_DB;
    bool ends_shutdown = event_is(s, EVENT_WORD_NMI) || is_machine_check;

    if (!event_is_there(s))
        return KEPT;
    switch (value) {
    case ACTIVITY_HLT: return broken_if(!ends_shutdown && !is_debug && !event_is(s, EVENT_WORD_INTERRUPT));
    case ACTIVITY_SHUTDOWN: return broken_if(!ends_shutdown);
    case ACTIVITY_WAIT_FOR_SIPI: return BROKEN;
    default: return KEPT;
    }
}

ENTRY_CHECK(blocking_reserved)
{
    return value & HIGH_BITS(5);
}

ENTRY_CHECK(blocking_both)
{
    return (value & SHADOW) == SHADOW ? SHADOW : KEPT;
}

ENTRY_CHECK(blocking_sti)
{
    return (s->rflags & RFLAGS_IF) == 0 ? value & BLOCKED_STI : KEPT;
}

ENTRY_CHECK(blocking_event)
{
    return event_is(s, EVENT_WORD_INTERRUPT) || event_is(s, EVENT_WORD_NMI) ? value & SHADOW : KEPT;
}

ENTRY_CHECK(blocking_smi)
{
    return value & BLOCKED_SMI;
}

ENTRY_CHECK(blocking_nmi)
{
    return s->virtual_nmis && event_is(s, EVENT_WORD_NMI) ? value & BLOCKED_NMI : KEPT;
}

ENTRY_CHECK(pending_reserved)
{
    return value & PENDING_RESERVED;
}

/* A single step waits behind a shadow and in HLT, and only there. */
ENTRY_CHECK(pending_step)
{
    bool held = (s->interruptibility & SHADOW) != 0 || s->activity == ACTIVITY_HLT;
    bool steps = (s->rflags & RFLAGS_TF) != 0 && (s->debugctl & DEBUGCTL_BTF) == 0;

    return held && ((value & PENDING_STEP) != 0) != steps ? PENDING_STEP : KEPT;
}

ENTRY_CHECK(link_pointer)
{
    return value == UINT64_MAX ? KEPT : (value & PAGE_MASK) | beyond_memory(s, value);
}

/* ---- Controls ---- */

/* Intel SDM vol. 3, appendix A "VMX Capability Reporting Facility", says which bits must be 1 and which may be. */
static uint64_t control_bits(const struct entry_control_word *word)
{
    return (word->ones & ~word->value) | (word->value & ~word->allowed);
}

#define CONTROL_CHECK(name, word)                                                                                      \
    ENTRY_CHECK(name)                                                                                                  \
    {                                                                                                                  \
        return control_bits(&s->controls[word]);                                                                       \
    }

CONTROL_CHECK(pin_bits, ENTRY_CONTROL_PIN)
CONTROL_CHECK(primary_bits, ENTRY_CONTROL_PRIMARY)
CONTROL_CHECK(secondary_bits, ENTRY_CONTROL_SECONDARY)
CONTROL_CHECK(exit_bits, ENTRY_CONTROL_EXIT)
CONTROL_CHECK(entry_bits, ENTRY_CONTROL_ENTRY)

ENTRY_CHECK(virtual_nmis)
{
    return broken_if(value != 0 && !s->nmi_exits);
}

ENTRY_CHECK(nmi_window)
{
    return broken_if(value != 0 && !s->virtual_nmis);
}

ENTRY_CHECK(unrestricted)
{
    return broken_if(value != 0 && !s->has_ept);
}

ENTRY_CHECK(saves_timer)
{
    return broken_if(value != 0 && !s->has_timer);
}

ENTRY_CHECK(intercepted)
{
    return broken_if(value == 0);
}

ENTRY_CHECK(address_space)
{
    return broken_if((s->has_vpid || s->vendor == ENTRY_AMD) && value == 0);
}

/* A structure of `size` bytes; Intel wants it to begin with a page. */
static uint64_t misplaced(const struct entry_state *state, uint64_t address, uint64_t size)
{
    uint64_t low = state->vendor == ENTRY_INTEL ? address & PAGE_MASK : 0;

    return low | beyond_memory(state, address) | beyond_memory(state, address + size - (size != 0));
}

ENTRY_CHECK(io_bitmap)
{
    return misplaced(s, value, s->io_bitmap_bytes);
}

ENTRY_CHECK(msr_bitmap)
{
    return misplaced(s, value, s->msr_bitmap_bytes);
}

ENTRY_CHECK(virtual_apic)
{
    return s->tpr_shadow ? misplaced(s, value, PAGE_SIZE) : KEPT;
}

ENTRY_CHECK(eptp)
{
    uint64_t type = value & EPTP_TYPE, wrong = (value & EPTP_WALK) ^ EPTP_WALK_4;

    if (!s->has_ept)
        return KEPT;
    if (type != 0 && type != TYPE_WRITE_BACK)
        wrong |= EPTP_TYPE;
    return wrong | (value & EPTP_FEATURES) | beyond_memory(s, value);
}

ENTRY_CHECK(nested_root)
{
    return beyond_memory(s, value);
}

ENTRY_CHECK(cr3_targets)
{
    return broken_if(value > CR3_TARGETS_MAX);
}

ENTRY_CHECK(threshold_reserved)
{
    return s->tpr_shadow ? value & ~UINT64_C(0xf) : KEPT;
}

ENTRY_CHECK(threshold_reached)
{
    return broken_if(s->tpr_shadow && (value & 0xf) > (s->virtual_tpr >> 4 & 0xf));
}

/* ---- The event ---- */

ENTRY_CHECK(event_type)
{
    return broken_if(event_is_there(s) && (s->event_types & BIT(event_word_type(s->event))) == 0);
}

ENTRY_CHECK(event_nmi)
{
    return broken_if(event_is(s, EVENT_WORD_NMI) && event_word_vector(s->event) != VECTOR_NMI);
}

ENTRY_CHECK(event_exception)
{
    bool is_nmi = s->vendor == ENTRY_AMD && event_word_vector(s->event) == VECTOR_NMI;

    return broken_if(event_is(s, EVENT_WORD_EXCEPTION) && (event_word_vector(s->event) > EXCEPTION_LAST || is_nmi));
}

ENTRY_CHECK(event_reserved)
{
    return event_is_there(s) ? value & EVENT_RESERVED : KEPT;
}

ENTRY_CHECK(event_error)
{
    unsigned vector = event_word_vector(s->event);
    bool has_code = vector == VECTOR_DF || (vector >= VECTOR_TS && vector <= VECTOR_PF) || vector == VECTOR_AC ||
                    ((s->cr4 & CR4_CET) != 0 && vector == VECTOR_CP);
    bool real_mode = s->unrestricted && (s->cr0 & CR0_PE) == 0;
    bool expected = event_is(s, EVENT_WORD_EXCEPTION) && has_code && !real_mode;

    return event_is_there(s) && ((value & EVENT_WORD_HAS_ERROR_CODE) != 0) != expected ? EVENT_WORD_HAS_ERROR_CODE
                                                                                       : KEPT;
}

ENTRY_CHECK(event_error_code)
{
    return event_is_there(s) && (s->event & EVENT_WORD_HAS_ERROR_CODE) != 0 ? value & HIGH_BITS(16) : KEPT;
}

ENTRY_CHECK(event_length)
{
    unsigned type = event_word_type(s->event);
    bool has_length = type >= EVENT_WORD_SOFTWARE_INTERRUPT && type <= EVENT_WORD_SOFTWARE_EXCEPTION;

    return broken_if(event_is_there(s) && has_length && (value == 0 || value > LENGTH_MAX));
}

/* ---- The table ---- */

/* clang-format off */
#define ACTIVITY  FIELD("the activity state", activity)
#define BLOCKING  FIELD("the interruptibility state", interruptibility)
#define PENDING   FIELD("pending debug exceptions", pending_debug)
#define EVENT     FIELD("the event", event)
#define THRESHOLD FIELD("the TPR threshold", tpr_threshold)
#define RFLAGS    FIELD("RFLAGS", rflags)

#define CONTROLS(name, word) FIELD(name, controls[word].value)
#define CAPABLE  "this processor wants it otherwise"

static const struct entry_rule rows[] = {
    {{SDM_STATE, NULL}, 0, activity_known, "there are only 0 to 3", {ACTIVITY}},
    {{SDM_STATE, NULL}, 0, activity_level, "HLT needs privilege level 0",
     {ACTIVITY, FIELD("SS attributes", segments[SEGMENT_SS].attributes)}},
    {{SDM_STATE, NULL}, 0, activity_shadow, "behind STI or MOV SS it must be active", {ACTIVITY, BLOCKING}},
    {{SDM_STATE, NULL}, 0, activity_event, "it does not take such an event", {ACTIVITY, EVENT}},
    {{SDM_STATE, NULL}, 0, blocking_reserved, "reserved bits must be 0", {BLOCKING}},
    {{SDM_STATE, NULL}, 0, blocking_both, "only one instruction went before", {BLOCKING}},
    {{SDM_STATE, NULL}, 0, blocking_sti, "blocking by STI needs IF", {BLOCKING, RFLAGS}},
    {{SDM_STATE, NULL}, 0, blocking_event, "behind STI or MOV SS there are no interrupts", {BLOCKING, EVENT}},
    {{SDM_STATE, NULL}, 0, blocking_smi, "SMIs are blocked in SMM only", {BLOCKING}},
    {{SDM_STATE, NULL}, 0, blocking_nmi, "NMIs are blocked", {BLOCKING, EVENT}},
    {{SDM_STATE, NULL}, 0, pending_reserved, "reserved bits must be 0", {PENDING}},
    {{SDM_STATE, NULL}, 0, pending_step, "BS must say whether a single step waits", {PENDING, RFLAGS, BLOCKING}},
    {{SDM_STATE, NULL}, 0, link_pointer, "it must be all ones, or a page's address",
     {FIELD("the VMCS link pointer", link_pointer)}},

    {{SDM_EXECUTION, NULL}, 0, pin_bits, CAPABLE, {CONTROLS("the pin-based controls", ENTRY_CONTROL_PIN)}},
    {{SDM_EXECUTION, NULL}, 0, primary_bits, CAPABLE, {CONTROLS("the primary controls", ENTRY_CONTROL_PRIMARY)}},
    {{SDM_EXECUTION, NULL}, 0, secondary_bits, CAPABLE, {CONTROLS("the secondary controls", ENTRY_CONTROL_SECONDARY)}},
    {{SDM_EXIT, NULL}, 0, exit_bits, CAPABLE, {CONTROLS("the VM-exit controls", ENTRY_CONTROL_EXIT)}},
    {{SDM_ENTRY, NULL}, 0, entry_bits, CAPABLE, {CONTROLS("the VM-entry controls", ENTRY_CONTROL_ENTRY)}},
    {{SDM_EXECUTION, NULL}, 0, virtual_nmis, "virtual NMIs need NMI exiting",
     {FIELD("\"virtual NMIs\"", virtual_nmis), FIELD("\"NMI exiting\"", nmi_exits)}},
    {{SDM_EXECUTION, NULL}, 0, nmi_window, "NMI windows need virtual NMIs",
     {FIELD("\"NMI-window exiting\"", nmi_window), FIELD("\"virtual NMIs\"", virtual_nmis)}},
    {{SDM_EXECUTION, NULL}, 0, unrestricted, "an unrestricted guest needs EPT",
     {FIELD("\"unrestricted guest\"", unrestricted), FIELD("\"enable EPT\"", has_ept)}},
    {{SDM_EXIT, NULL}, 0, saves_timer, "a timer that is off cannot be saved",
     {FIELD("\"save VMX-preemption timer value\"", saves_timer), FIELD("\"activate VMX-preemption timer\"", has_timer)}},

    {{NULL, APM_STATE}, 0, intercepted, "it must be intercepted", {FIELD("the VMRUN intercept", vmrun_intercepted)}},
    {{SDM_EXECUTION, APM_STATE}, 0, address_space, "0 is the host's", {FIELD("VPID or ASID", address_space)}},
    {{SDM_EXECUTION, APM_STATE}, 0, io_bitmap, "it cannot lie there", {FIELD("the I/O bitmap", io_bitmap)}},
    {{SDM_EXECUTION, APM_STATE}, 0, msr_bitmap, "it cannot lie there", {FIELD("the MSR bitmap", msr_bitmap)}},
    {{SDM_EXECUTION, NULL}, 0, virtual_apic, "it cannot lie there", {FIELD("the virtual-APIC page", virtual_apic)}},
    {{SDM_EXECUTION, NULL}, 0, eptp, "its memory type, walk length or reserved bits", {FIELD("EPTP", stage2_root)}},
    {{NULL, APM_NESTED}, 0, nested_root, "beyond the width of physical addresses", {FIELD("nCR3", stage2_root)}},
    {{SDM_EXECUTION, NULL}, 0, cr3_targets, "there are at most 4", {FIELD("the CR3-target count", cr3_targets)}},
    {{SDM_EXECUTION, NULL}, 0, threshold_reserved, "it has 4 bits", {THRESHOLD}},
    {{SDM_EXECUTION, NULL}, 0, threshold_reached, "it must not be above the virtual TPR's class",
     {THRESHOLD, FIELD("the virtual TPR", virtual_tpr)}},

    {{SDM_ENTRY, APM_EVENT}, 0, event_type, "there is no such type", {EVENT}},
    {{SDM_ENTRY, NULL}, 0, event_nmi, "an NMI has vector 2", {EVENT}},
    {{SDM_ENTRY, APM_EVENT}, 0, event_exception, "no exception has this vector", {EVENT}},
    {{SDM_ENTRY, NULL}, 0, event_reserved, "reserved bits must be 0", {EVENT}},
    {{SDM_ENTRY, NULL}, 0, event_error, "those exceptions have an error code that the manual lists, and no others",
     {EVENT, FIELD("CR0", cr0)}},
    {{SDM_ENTRY, NULL}, 0, event_error_code, "it has 16 bits", {FIELD("the error code", event_error_code), EVENT}},
    {{SDM_ENTRY, NULL}, 0, event_length, "it must be 1 to 15", {FIELD("the instruction length", event_length), EVENT}},
};
/* clang-format on */

const struct entry_rules entry_control_rules = {rows, ARRAY_SIZE(rows)};
