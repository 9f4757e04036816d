/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each rule of VM entry: good states of all modes break none, and a state that is wrong in one thing breaks that rule
 * alone, for each vendor that has it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv/entry_check.h"
#include "hv/entry_rules.h"
#include "tests/unit/fake.h"

#define UNUSABLE 0x10000u

/* ---- Good states ---- */

static void fill_segments(struct entry_state *state, uint32_t code, uint32_t data, uint32_t limit)
{
    for (unsigned i = SEGMENT_ES; i <= SEGMENT_GS; i++)
        state->segments[i] = (struct segment_register){0, limit, data, 0x10};
    state->segments[SEGMENT_CS] = (struct segment_register){0, limit, code, 0x08};
    state->segments[SEGMENT_LDTR] = (struct segment_register){0, 0xffff, UNUSABLE, 0};
    state->segments[SEGMENT_TR] = (struct segment_register){0x5000, 0x67, 0x8b, 0x18};
}

/* A 64-bit kernel. */
static struct entry_state intel_long(void)
{
    struct entry_state state = {
        .vendor = ENTRY_INTEL,
        .physical_bits = 40,
        .linear_bits = 48,
        .long_mode = true,
        .loads_debug = true,
        .loads_pat = true,
        .loads_efer = true,
        .unrestricted = true,
        .virtual_nmis = true,
        .tpr_shadow = true,
        .has_vpid = true,
        .has_ept = true,
        .nmi_exits = true,
        .cr0_ones = 0x80000021,
        .cr0_allowed = 0xffffffff,
        .cr4_ones = 0x2000,
        .cr4_allowed = 0x7fffff | CR4_CET,
        .efer_allowed = 0xd01,
        .cr0 = 0x80050033,
        .cr3 = 0x1000,
        .cr4 = 0x20a0 | 0x20000,
        .efer = 0xd01,
        .dr6 = 0xffff0ff0,
        .dr7 = 0x400,
        .pat = 0x0007040600070406,
        .sysenter_eip = 0xffffffff81000000,
        .rip = 0xffffffff81000100,
        .rflags = 0x202,
        .gdtr = {0xffffffff82000000, 0x7f},
        .idtr = {0xffffffff82001000, 0xfff},
        .link_pointer = UINT64_MAX,
        .event_types = 0x7d,
        .event_length = 0,
        .tpr_threshold = 0,
        .address_space = 1,
        .io_bitmap = 0x10000,
        .io_bitmap_bytes = 0x2000,
        .msr_bitmap = 0x12000,
        .msr_bitmap_bytes = 0x1000,
        .virtual_apic = 0x13000,
        .stage2_root = 0x14000 | 0x1e,
    };

    fill_segments(&state, 0xa09b, 0xc093, 0xffffffff);
    state.segments[SEGMENT_ES].attributes = UNUSABLE;
    state.segments[SEGMENT_GS].base = 0xffff888000000000;
    return state;
}

/* The same without the control "unrestricted guest". */
static struct entry_state intel_restricted(void)
{
    struct entry_state state = intel_long();

    state.unrestricted = false;
    state.segments[SEGMENT_SS].selector = 0x08;
    return state;
}

static struct entry_state intel_real(void)
{
    struct entry_state state = intel_long();

    state.long_mode = false;
    state.cr0 = 0x60000030;
    state.cr4 = 0x2000;
    state.efer = 0;
    state.rip = 0xfff0;
    state.rflags = 2;
    fill_segments(&state, 0x93, 0x93, 0xffff);
    state.segments[SEGMENT_CS].base = 0xffff0000;
    state.segments[SEGMENT_CS].selector = 0xf000;
    return state;
}

/* 32 bits, paging as with PAE. */
static struct entry_state intel_pae(void)
{
    struct entry_state state = intel_long();

    state.long_mode = false;
    state.cr4 = 0x20a0;
    state.efer = 0x800;
    state.rip = 0xc0100000;
    state.pdptes[0] = 0x2001;
    state.pdptes[3] = UINT64_C(0x1e6) << 52; /* not present: anything goes */
    fill_segments(&state, 0xc09b, 0xc093, 0xffffffff);
    state.segments[SEGMENT_LDTR] = (struct segment_register){0x6000, 0xff, 0x82, 0x20};
    return state;
}

static struct entry_state intel_v86(void)
{
    struct entry_state state = intel_pae();

    state.rflags = 0x23202;
    state.rip = 0x100;
    for (unsigned i = SEGMENT_ES; i <= SEGMENT_GS; i++)
        state.segments[i] = (struct segment_register){0x12340, 0xffff, 0xf3, 0x1234};
    return state;
}

/* What the VMCB has, and nothing of what Intel alone has. */
static struct entry_state amd_long(void)
{
    struct entry_state state = {
        .vendor = ENTRY_AMD,
        .physical_bits = 40,
        .linear_bits = 48,
        .long_mode = true,
        .loads_debug = true,
        .loads_pat = true,
        .loads_efer = true,
        .vmrun_intercepted = true,
        .cr0_allowed = 0xffffffff,
        .cr4_allowed = 0xf71fff,
        .efer_ones = 0x1000,
        .efer_allowed = 0x7d01,
        .cr0 = 0x80050033,
        .cr3 = 0x1000,
        .cr4 = 0xa0,
        .efer = 0x1d01,
        .dr6 = 0xffff0ff0,
        .dr7 = 0x400,
        .pat = 0x0007040600070406,
        .rip = 0xffffffff81000100,
        .rflags = 0x202,
        .event_types = 0x1d,
        .address_space = 1,
        .io_bitmap = 0x10000,
        .io_bitmap_bytes = 0x3000,
        .msr_bitmap = 0x13000,
        .msr_bitmap_bytes = 0x2000,
        .stage2_root = 0x15000,
    };

    fill_segments(&state, 0xa09b, 0xc093, 0xffffffff);
    return state;
}

static struct entry_state amd_real(void)
{
    struct entry_state state = amd_long();

    state.long_mode = false;
    state.cr0 = 0x60000010;
    state.cr4 = 0;
    state.efer = 0x1000;
    fill_segments(&state, 0x9b, 0x93, 0xffff);
    return state;
}

static struct entry_state (*const good_states[])(void) = {
    intel_long, intel_restricted, intel_real, intel_pae, intel_v86, amd_long, amd_real,
};

/* ---- States that are wrong in one thing ---- */

struct change {
    uint16_t offset;
    uint8_t size;
    uint64_t value;
};

#define SET(member, value)                                                                                             \
    {                                                                                                                  \
        offsetof(struct entry_state, member), sizeof(((struct entry_state *)NULL)->member), value                      \
    }
#define SEG(segment, member, value) SET(segments[SEGMENT_##segment].member, value)

struct wrong {
    struct entry_state (*good)(void);
    const char *text; /* a piece of the sentence */
    struct change changes[4];
};

#define EVENT(type, vector) (0x80000000u | (type) << 8 | (vector))
#define WITH_CODE           0x800u

/* clang-format off */
static const struct wrong cases[] = {
    /* Control registers and MSRs. */
    {intel_long, "CR0 is 0x80050013, wrong in bit 5 (NE): this processor", {SET(cr0, 0x80050013)}},
    {intel_long, "CR0 is 0x180050033, wrong in bit 32:", {SET(cr0, 0x180050033)}},
    {amd_long, "CR0 is 0x180050033, wrong in bit 32:", {SET(cr0, 0x180050033)}},
    {intel_real, "wrong in bit 0 (PE), EFER is", {SET(cr0, 0x80000030)}},
    {amd_real, "wrong in bit 0 (PE), EFER is", {SET(cr0, 0x80000010), SET(efer, 0x1100), SET(cr4, 0x20)}},
    {amd_long, "wrong in bit 29 (NW): NW needs CD", {SET(cr0, 0xa0050033)}},
    {intel_long, "bit 31 (PG), \"IA-32e mode guest\" is 0x1: IA-32e mode needs paging", {SET(cr0, 0x50033)}},
    {intel_long, "CR3 is 0x10000001000, wrong in bit 40: beyond", {SET(cr3, 0x10000001000)}},
    {amd_long, "CR3 is 0x10000001000, wrong in bit 40: beyond", {SET(cr3, 0x10000001000)}},
    {intel_long, "CR4 is 0xa0, wrong in bit 13 (VMXE): this processor", {SET(cr4, 0xa0)}},
    {intel_long, "CR4 is 0x10020a0, wrong in bit 24: this processor", {SET(cr4, 0x10020a0)}},
    {amd_long, "CR4 is 0x20a0, wrong in bit 13 (VMXE): this processor", {SET(cr4, 0x20a0)}},
    {amd_long, "wrong in bit 13 (VMXE) and bit 14 (SMXE): this processor", {SET(cr4, 0x60a0)}},
    {amd_long, "wrong in bit 13 (VMXE) to bit 24: this processor", {SET(cr4, 0x10060a0)}},
    {intel_long, "CET needs CR0.WP", {SET(cr4, 0x8020a0), SET(cr0, 0x80040033)}},
    {amd_long, "CET needs CR0.WP", {SET(cr4, 0x8000a0), SET(cr0, 0x80040033)}},
    {intel_long, "CR4 is 0x2080, wrong in bit 5 (PAE)", {SET(cr4, 0x2080)}},
    {amd_long, "CR4 is 0x80, wrong in bit 5 (PAE), EFER is 0x1d01", {SET(cr4, 0x80)}},
    {intel_pae, "bit 17 (PCIDE)", {SET(cr4, 0x220a0)}},
    {amd_long, "DR6 is 0x1ffff0ff0, wrong in bit 32", {SET(dr6, 0x1ffff0ff0)}},
    {intel_long, "DR7 is 0x100000400, wrong in bit 32", {SET(dr7, 0x100000400)}},
    {amd_long, "DR7 is 0x100000400, wrong in bit 32", {SET(dr7, 0x100000400)}},
    {intel_long, "DEBUGCTL is 0x8, wrong in bit 3", {SET(debugctl, 8)}},
    {intel_long, "SYSENTER_ESP is 0x800000000000", {SET(sysenter_esp, 0x800000000000)}},
    {intel_long, "SYSENTER_EIP is 0xffff000000000000", {SET(sysenter_eip, 0xffff000000000000)}},
    {intel_long, "PAT is 0x7040600070402, wrong in bit 0 to bit 7", {SET(pat, 0x0007040600070402)}},
    {amd_long, "PAT is 0x8007040600070406, wrong in bit 56 to bit 63", {SET(pat, 0x8007040600070406)}},
    {intel_long, "EFER is 0x1d01, wrong in bit 12 (SVME)", {SET(efer, 0x1d01)}},
    {amd_long, "EFER is 0xd01, wrong in bit 12 (SVME)", {SET(efer, 0xd01)}},
    {amd_long, "EFER is 0x1d03, wrong in bit 1:", {SET(efer, 0x1d03)}},
    {intel_real, "LMA must be as the control says", {SET(efer, 0x400)}},
    {intel_long, "bit 8 (LME), CR0 is 0x80050033: with paging", {SET(efer, 0xc01)}},
    /* Segments. */
    {intel_long, "TR selector is 0x1c, wrong in bit 2", {SEG(TR, selector, 0x1c)}},
    {intel_pae, "LDTR selector is 0x24, wrong in bit 2", {SEG(LDTR, selector, 0x24)}},
    {intel_restricted, "SS selector is 0x9, wrong in bit 0", {SEG(SS, selector, 9), SEG(SS, attributes, 0xc0b3), SEG(CS, attributes, 0xa0bb)}},
    {intel_v86, "ES base is 0x12350", {SEG(ES, base, 0x12350)}},
    {intel_v86, "CS limit is 0xfffff", {SEG(CS, limit, 0xfffff)}},
    {intel_v86, "GS attributes is 0x93", {SEG(GS, attributes, 0x93)}},
    {intel_v86, "SS attributes is 0x100f3", {SEG(SS, attributes, 0x100f3)}},
    {intel_long, "FS base is 0x800000000000", {SEG(FS, base, 0x800000000000)}},
    {intel_long, "TR base is 0x800000000000", {SEG(TR, base, 0x800000000000)}},
    {intel_pae, "LDTR base is 0x800000000000", {SEG(LDTR, base, 0x800000000000)}},
    {intel_long, "CS base is 0x100000000", {SEG(CS, base, 0x100000000)}},
    {intel_long, "DS base is 0x100000000", {SEG(DS, base, 0x100000000)}},
    {intel_long, "CS attributes is 0xa09a", {SEG(CS, attributes, 0xa09a)}},
    {intel_restricted, "CS attributes is 0xa093, \"unrestricted guest\" is 0x0", {SEG(CS, attributes, 0xa093)}},
    {intel_long, "SS attributes is 0xc091", {SEG(SS, attributes, 0xc091)}},
    {intel_long, "DS attributes is 0xc092, wrong in bit 0", {SEG(DS, attributes, 0xc092)}},
    {intel_long, "FS attributes is 0xc099, wrong in bit 1", {SEG(FS, attributes, 0xc099)}},
    {intel_long, "TR attributes is 0x83", {SEG(TR, attributes, 0x83)}},
    {intel_pae, "TR attributes is 0x89", {SEG(TR, attributes, 0x89)}},
    {intel_pae, "LDTR attributes is 0x83", {SEG(LDTR, attributes, 0x83)}},
    {intel_long, "CS attributes is 0xa08b, wrong in bit 4", {SEG(CS, attributes, 0xa08b)}},
    {intel_long, "TR attributes is 0x9b, wrong in bit 4", {SEG(TR, attributes, 0x9b)}},
    {intel_pae, "LDTR attributes is 0x92, wrong in bit 4", {SEG(LDTR, attributes, 0x92)}},
    {intel_long, "CS attributes is 0xa0fb, SS attributes is 0xc093: the DPL", {SEG(CS, attributes, 0xa0fb)}},
    {intel_long, "CS attributes is 0xa0ff, SS attributes is 0xc093: the DPL", {SEG(CS, attributes, 0xa0ff)}},
    {intel_real, "CS attributes is 0xf3, SS attributes is 0x93: the DPL", {SEG(CS, attributes, 0xf3)}},
    {intel_restricted, "SS attributes is 0xc0b3, SS selector is 0x8", {SEG(SS, attributes, 0xc0b3), SEG(CS, attributes, 0xa0bb)}},
    {intel_real, "SS attributes is 0xf3, SS selector is 0x10, CR0 is 0x60000030", {SEG(SS, attributes, 0xf3)}},
    {intel_restricted, "DS attributes is 0xc093, DS selector is 0x13", {SEG(DS, selector, 0x13)}},
    {intel_long, "GS attributes is 0xc013, wrong in bit 7", {SEG(GS, attributes, 0xc013)}},
    {intel_long, "TR attributes is 0xb, wrong in bit 7", {SEG(TR, attributes, 0xb)}},
    {intel_pae, "LDTR attributes is 0x2, wrong in bit 7", {SEG(LDTR, attributes, 2)}},
    {intel_long, "SS attributes is 0xc193, wrong in bit 8", {SEG(SS, attributes, 0xc193)}},
    {intel_long, "DS attributes is 0x8000c093, wrong in bit 31", {SEG(DS, attributes, 0x8000c093)}},
    {intel_long, "TR attributes is 0x1008b, wrong in bit 16", {SEG(TR, attributes, 0x1008b)}},
    {intel_long, "CS attributes is 0xe09b, wrong in bit 14", {SEG(CS, attributes, 0xe09b)}},
    {amd_long, "CS attributes is 0xe09b, wrong in bit 14", {SEG(CS, attributes, 0xe09b)}},
    {intel_long, "DS attributes is 0xc093, wrong in bit 15, DS limit is 0xfffffffe", {SEG(DS, limit, 0xfffffffe)}},
    {intel_long, "TR attributes is 0x8b, wrong in bit 15, TR limit is 0x100000", {SEG(TR, limit, 0x100000)}},
    /* Descriptor tables, RIP, RFLAGS, PDPTEs. */
    {intel_long, "GDTR base is 0x800000000000", {SET(gdtr.base, 0x800000000000)}},
    {intel_long, "IDTR base is 0x800000000000", {SET(idtr.base, 0x800000000000)}},
    {intel_long, "GDTR limit is 0x10000, wrong in bit 16", {SET(gdtr.limit, 0x10000)}},
    {intel_long, "IDTR limit is 0xffffffff, wrong in bit 16 to bit 31", {SET(idtr.limit, 0xffffffff)}},
    {intel_long, "RIP is 0x1000000000000", {SET(rip, 0x1000000000000)}},
    {intel_pae, "RIP is 0x100000000, wrong in bit 32", {SET(rip, 0x100000000)}},
    {intel_long, "RIP is 0xffffffff81000100, wrong in bit 32 to bit 63", {SEG(CS, attributes, 0xc09b)}},
    {intel_long, "RFLAGS is 0x200, wrong in bit 1", {SET(rflags, 0x200)}},
    {intel_long, "RFLAGS is 0x8202, wrong in bit 15", {SET(rflags, 0x8202)}},
    {intel_v86, "RFLAGS is 0x23202, wrong in bit 17 (VM), CR0 is 0x50032", {SET(cr0, 0x50032)}},
    {intel_long, "bit 9 (IF), the event is 0x80000020: an external interrupt", {SET(rflags, 2), SET(event, EVENT(0, 0x20))}},
    {intel_pae, "PDPTE 0 is 0x2003, wrong in bit 1", {SET(pdptes[0], 0x2003)}},
    {intel_pae, "PDPTE 1 is 0x10000002001, wrong in bit 40", {SET(pdptes[1], 0x10000002001)}},
    {intel_pae, "PDPTE 2 is 0x2181, wrong in bit 7 and bit 8", {SET(pdptes[2], 0x2181)}},
    {intel_pae, "PDPTE 3 is 0x8000000000002001, wrong in bit 63", {SET(pdptes[3], 0x8000000000002001)}},
    /* Between two instructions. */
    {intel_long, "the activity state is 0x4: there are", {SET(activity, 4)}},
    {intel_long, "HLT needs privilege level 0", {SET(activity, 1), SEG(SS, attributes, 0xc0f3), SEG(CS, attributes, 0xa0fb)}},
    {intel_long, "behind STI or MOV SS it must be active", {SET(activity, 1), SET(interruptibility, 1)}},
    {intel_long, "it does not take such an event", {SET(activity, 1), SET(event, EVENT(3, VECTOR_UD))}},
    {intel_long, "it does not take such an event", {SET(activity, 2), SET(event, EVENT(0, 0x20))}},
    {intel_long, "it does not take such an event", {SET(activity, 3), SET(event, EVENT(2, 2))}},
    {intel_long, "the interruptibility state is 0x20, wrong in bit 5", {SET(interruptibility, 0x20)}},
    {intel_long, "only one instruction went before", {SET(interruptibility, 3)}},
    {intel_long, "blocking by STI needs IF", {SET(interruptibility, 1), SET(rflags, 2)}},
    {intel_long, "bit 1 (MOV SS), the event is 0x80000020", {SET(interruptibility, 2), SET(event, EVENT(0, 0x20))}},
    {intel_long, "bit 0 (STI), the event is 0x80000202", {SET(interruptibility, 1), SET(event, EVENT(2, 2))}},
    {intel_long, "bit 2 (SMI): SMIs are blocked", {SET(interruptibility, 4)}},
    {intel_long, "bit 3 (NMI), the event is 0x80000202: NMIs are blocked", {SET(interruptibility, 8), SET(event, EVENT(2, 2))}},
    {intel_long, "pending debug exceptions is 0x10, wrong in bit 4", {SET(pending_debug, 0x10)}},
    {intel_long, "BS must say", {SET(interruptibility, 1), SET(rflags, 0x302)}},
    {intel_long, "BS must say", {SET(activity, 1), SET(pending_debug, 0x4000)}},
    {intel_long, "the VMCS link pointer is 0x1001, wrong in bit 0", {SET(link_pointer, 0x1001)}},
    /* Controls. */
    {amd_long, "VMRUN intercept is 0x0", {SET(vmrun_intercepted, 0)}},
    {intel_long, "VPID or ASID is 0x0", {SET(address_space, 0)}},
    {amd_long, "VPID or ASID is 0x0", {SET(address_space, 0)}},
    {intel_long, "the I/O bitmap is 0x10800, wrong in bit 11", {SET(io_bitmap, 0x10800)}},
    {amd_long, "the I/O bitmap is 0xffffffe000, wrong in bit 40", {SET(io_bitmap, 0xffffffe000)}},
    {intel_long, "the MSR bitmap is 0x10000000000, wrong in bit 40", {SET(msr_bitmap, 0x10000000000)}},
    {amd_long, "the MSR bitmap is 0x10000000000, wrong in bit 40", {SET(msr_bitmap, 0x10000000000)}},
    {intel_long, "the virtual-APIC page is 0x13008, wrong in bit 3", {SET(virtual_apic, 0x13008)}},
    {intel_long, "EPTP is 0x14019, wrong in bit 0 to bit 2", {SET(stage2_root, 0x14019)}},
    {intel_long, "EPTP is 0x1400e, wrong in bit 4", {SET(stage2_root, 0x1400e)}},
    {amd_long, "nCR3 is 0x10000015000, wrong in bit 40", {SET(stage2_root, 0x10000015000)}},
    {intel_long, "the CR3-target count is 0x5", {SET(cr3_targets, 5)}},
    {intel_long, "the pin-based controls is 0x0, wrong in bit 0", {SET(controls[ENTRY_CONTROL_PIN].ones, 1)}},
    {intel_long, "the primary controls is 0x6, wrong in bit 1",
     {SET(controls[ENTRY_CONTROL_PRIMARY].value, 6), SET(controls[ENTRY_CONTROL_PRIMARY].allowed, 4)}},
    {intel_long, "the secondary controls is 0x1, wrong in bit 0", {SET(controls[ENTRY_CONTROL_SECONDARY].value, 1)}},
    {intel_long, "the VM-exit controls is 0x0, wrong in bit 9", {SET(controls[ENTRY_CONTROL_EXIT].ones, 0x200)}},
    {intel_long, "the VM-entry controls is 0x400, wrong in bit 10", {SET(controls[ENTRY_CONTROL_ENTRY].value, 0x400)}},
    {intel_long, "\"virtual NMIs\" is 0x1, \"NMI exiting\" is 0x0", {SET(nmi_exits, 0)}},
    {intel_long, "\"NMI-window exiting\" is 0x1", {SET(nmi_window, 1), SET(virtual_nmis, 0)}},
    {intel_long, "\"unrestricted guest\" is 0x1", {SET(has_ept, 0)}},
    {intel_long, "\"save VMX-preemption timer value\" is 0x1", {SET(saves_timer, 1)}},
    {intel_long, "the TPR threshold is 0x10, wrong in bit 4", {SET(tpr_threshold, 0x10)}},
    {intel_long, "the TPR threshold is 0x3, the virtual TPR is 0x2f", {SET(tpr_threshold, 3), SET(virtual_tpr, 0x2f)}},
    /* The event. */
    {intel_long, "the event is 0x80000120: there is no such type", {SET(event, EVENT(1, 0x20))}},
    {amd_long, "the event is 0x80000601: there is no such type", {SET(event, EVENT(6, 1))}},
    {intel_long, "the event is 0x80000203: an NMI has vector 2", {SET(event, EVENT(2, 3))}},
    {intel_long, "the event is 0x80000320: no exception", {SET(event, EVENT(3, 0x20))}},
    {amd_long, "the event is 0x80000302: no exception", {SET(event, EVENT(3, 2))}},
    {intel_long, "the event is 0x80001202, wrong in bit 12", {SET(event, EVENT(2, 2) | 0x1000)}},
    {intel_long, "the event is 0x8000030e, wrong in bit 11, CR0", {SET(event, EVENT(3, VECTOR_PF))}},
    {intel_long, "the event is 0x80000b06, wrong in bit 11, CR0", {SET(event, EVENT(3, VECTOR_UD) | WITH_CODE)}},
    {intel_real, "the event is 0x80000b0d, wrong in bit 11, CR0", {SET(event, EVENT(3, VECTOR_GP) | WITH_CODE)}},
    {intel_long, "the error code is 0x10000, wrong in bit 16", {SET(event, EVENT(3, VECTOR_GP) | WITH_CODE), SET(event_error_code, 0x10000)}},
    {intel_long, "the instruction length is 0x0", {SET(event, EVENT(4, 0x80))}},
    {intel_long, "the instruction length is 0x10", {SET(event, EVENT(6, 3)), SET(event_length, 16)}},
};
/* clang-format on */

static struct entry_state make(const struct wrong *wrong)
{
    struct entry_state state = wrong->good();

    for (size_t i = 0; i < ARRAY_SIZE(wrong->changes); i++)
        memcpy((uint8_t *)&state + wrong->changes[i].offset, &wrong->changes[i].value, wrong->changes[i].size);
    return state;
}

static void fail_with_all(size_t number, const struct entry_state *state, unsigned count, const char *wanted)
{
    struct entry_breach breaches[ENTRY_BREACHES_MAX];
    char text[ENTRY_BREACH_TEXT];

    (void)entry_check(state, breaches, ENTRY_BREACHES_MAX);
    for (unsigned i = 0; i < count && i < ENTRY_BREACHES_MAX; i++) {
        entry_breach_text(state, &breaches[i], text, sizeof(text));
        print_error("    %s\n", text);
    }
    fail_msg("case %zu: %u rules broken, wanted \"%s\"", number, count, wanted);
}

static void test_good_states(void **context)
{
    struct entry_breach breach;

    (void)context;
    for (size_t i = 0; i < ARRAY_SIZE(good_states); i++) {
        struct entry_state state = good_states[i]();
        unsigned count = entry_check(&state, &breach, 1);
        if (count != 0)
            fail_with_all(i, &state, count, "none");
    }
}

static void test_one_thing_wrong(void **context)
{
    struct entry_breach breach;
    char text[ENTRY_BREACH_TEXT];

    (void)context;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct entry_state state = make(&cases[i]);
        unsigned count = entry_check(&state, &breach, 1);
        if (count != 1)
            fail_with_all(i, &state, count, cases[i].text);
        entry_breach_text(&state, &breach, text, sizeof(text));
        if (strstr(text, cases[i].text) == NULL)
            fail_msg("case %zu: \"%s\" does not say \"%s\"", i, text, cases[i].text);
        if (strstr(text, state.vendor == ENTRY_AMD ? "(APM vol. 2, \"" : "(SDM vol. 3, \"") == NULL ||
            strcmp(text + strlen(text) - 2, "\")") != 0)
            fail_msg("case %zu: \"%s\" does not name its manual", i, text);
    }
}

/* No row without its case, for each vendor that it has a title of. */
static void test_every_rule_has_a_case(void **context)
{
    const struct entry_rules *const groups[] = {&entry_register_rules, &entry_segment_rules, &entry_control_rules};
    struct entry_breach breach;

    (void)context;
    for (size_t group = 0; group < ARRAY_SIZE(groups); group++) {
        for (unsigned row = 0; row < groups[group]->count; row++) {
            const struct entry_rule *rule = &groups[group]->rows[row];
            bool seen[2] = {rule->sections[0] == NULL, rule->sections[1] == NULL};
            assert_false(seen[0] && seen[1]);
            for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct entry_state state = make(&cases[i]);
                if (entry_check(&state, &breach, 1) == 1 && breach.rule == rule)
                    seen[state.vendor] = true;
            }
            if (!seen[0] || !seen[1])
                fail_msg("no case for \"%s\" of %s", rule->fields[0].name, seen[0] ? "AMD" : "Intel");
        }
    }
}

/* What an entry does not load is not looked at. */
static void test_what_does_not_matter(void **context)
{
    struct entry_breach breach;
    struct entry_state state = intel_long();

    (void)context;
    state.loads_debug = state.loads_pat = state.loads_efer = state.tpr_shadow = state.has_vpid = false;
    state.dr7 = state.debugctl = state.pat = state.efer = UINT64_MAX;
    state.tpr_threshold = 0xff;
    state.virtual_apic = 1;
    state.address_space = 0;
    state.event = 0x7fffffff; /* not valid */
    state.event_error_code = UINT32_MAX;
    assert_int_equal(entry_check(&state, &breach, 1), 0);
    /* An unusable segment holds anything in its other attributes. */
    state = intel_long();
    state.segments[SEGMENT_DS] = (struct segment_register){UINT32_MAX, 0x12345678, 0xffffffff, 0xffff};
    state.segments[SEGMENT_LDTR] = (struct segment_register){UINT64_C(1) << 60, 0x12345678, 0xffffffff, 0xffff};
    assert_int_equal(entry_check(&state, &breach, 1), 0);
    /* Intel leaves CD and NW alone. */
    state = intel_long();
    state.cr0 |= BIT(29);
    assert_int_equal(entry_check(&state, &breach, 1), 0);
}

static void test_more_than_there_is_room_for(void **context)
{
    struct entry_breach breaches[2] = {0};
    struct entry_state state;
    char text[40];

    (void)context;
    memset(&state, 0xff, sizeof(state));
    state.vendor = ENTRY_INTEL;
    state.physical_bits = 40;
    state.linear_bits = 48;
    state.long_mode = state.loads_debug = state.loads_pat = state.loads_efer = state.unrestricted = true;
    state.virtual_nmis = state.tpr_shadow = state.has_vpid = state.vmrun_intercepted = true;
    state.has_ept = state.nmi_exits = state.nmi_window = state.has_timer = state.saves_timer = true;
    assert_true(entry_check(&state, breaches, 1) > 10);
    assert_null(breaches[1].rule);
    assert_true(entry_check(&state, NULL, 0) > 10);
    /* A buffer that is too short cuts the sentence. */
    entry_breach_text(&state, &breaches[0], text, sizeof(text));
    assert_int_equal(strlen(text), sizeof(text) - 1);
}

/* The whole way into the log. */
static void test_log(void **context)
{
    struct guest *guest = fake_guest(2 << 20, 1);
    struct entry_state state = intel_long();

    (void)context;
    entry_check_log(guest->vcpus[0], &state);
    memset(&state.segments, 0xff, sizeof(state.segments));
    state.rflags = UINT64_MAX;
    entry_check_log(guest->vcpus[0], &state);
    fake_guest_free(guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_states),
        cmocka_unit_test(test_one_thing_wrong),
        cmocka_unit_test(test_every_rule_has_a_case),
        cmocka_unit_test(test_what_does_not_matter),
        cmocka_unit_test(test_more_than_there_is_room_for),
        cmocka_unit_test(test_log),
    };

    return cmocka_run_group_tests_name("entry_check", tests, NULL, NULL);
}
