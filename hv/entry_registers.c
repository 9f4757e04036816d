/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entry checks of control and debug registers, MSRs, descriptor tables, RIP and RFLAGS. Intel SDM vol. 3, "Checks on
 * the Guest State Area"; AMD APM vol. 2, "Canonicalization and Consistency Checks".
 */
#include "hv/entry_rules.h"

#define SDM_REGISTERS "Checks on Guest Control Registers, Debug Registers, and MSRs"
#define SDM_TABLES    "Checks on Guest Descriptor-Table Registers"
#define SDM_RIP       "Checks on Guest RIP, RFLAGS, and SSP"
#define SDM_PDPTES    "Checks on Guest Page-Directory-Pointer-Table Entries"
#define APM_STATE     "Canonicalization and Consistency Checks"
#define APM_NESTED    "Nested Paging and VMRUN/#VMEXIT"

#define CR0_WP    BIT(16)
#define CR0_NW    BIT(29)
#define CR0_CD    BIT(30)
#define CR4_PCIDE BIT(17)

#define RFLAGS_ONES     BIT(1)
#define RFLAGS_RESERVED (BIT(3) | BIT(5) | BIT(15) | HIGH_BITS(22))

/* LBR, BTF, bus-lock trap, TR to FREEZE_WHILE_SMM, RTM. */
#define DEBUGCTL_KNOWN UINT64_C(0xffc7)

#define PDPTE_PRESENT  BIT(0)
#define PDPTE_RESERVED UINT64_C(0x1e6)

/* ---- Checks of any field ---- */

ENTRY_CHECK(canonical)
{
    return not_canonical(s, value);
}

ENTRY_CHECK(physical)
{
    return beyond_memory(s, value);
}

ENTRY_CHECK(has_32_bits)
{
    return value & HIGH_BITS(32);
}

ENTRY_CHECK(has_16_bits)
{
    return value & HIGH_BITS(16);
}

/* ---- Control registers and MSRs ---- */

/* Intel leaves CD and NW alone, and PE and PG to an unrestricted guest. */
ENTRY_CHECK(cr0_bits)
{
    uint64_t ones = s->cr0_ones & ~(s->unrestricted ? CR0_PE | CR0_PG : 0);
    uint64_t unchecked = s->vendor == ENTRY_INTEL ? CR0_CD | CR0_NW : 0;

    return ((ones & ~value) | (value & ~s->cr0_allowed)) & ~unchecked;
}

ENTRY_CHECK(cr0_paging)
{
    bool matters = s->vendor == ENTRY_INTEL || (s->efer & EFER_LME) != 0;

    return matters && (value & (CR0_PG | CR0_PE)) == CR0_PG ? CR0_PE : KEPT;
}

ENTRY_CHECK(cr0_write_through)
{
    return (value & (CR0_CD | CR0_NW)) == CR0_NW ? CR0_NW : KEPT;
}

ENTRY_CHECK(cr0_long_mode)
{
    return s->long_mode ? ~value & CR0_PG : KEPT;
}

ENTRY_CHECK(cr4_bits)
{
    return (s->cr4_ones & ~value) | (value & ~s->cr4_allowed);
}

ENTRY_CHECK(cr4_cet)
{
    return (s->cr0 & CR0_WP) == 0 ? value & CR4_CET : KEPT;
}

ENTRY_CHECK(cr4_long_mode)
{
    bool is_long = s->vendor == ENTRY_INTEL ? s->long_mode : (s->efer & EFER_LME) != 0 && (s->cr0 & CR0_PG) != 0;

    return is_long ? ~value & CR4_PAE : KEPT;
}

ENTRY_CHECK(cr4_pcide)
{
    return s->long_mode ? KEPT : value & CR4_PCIDE;
}

ENTRY_CHECK(dr7_high)
{
    return s->loads_debug ? value & HIGH_BITS(32) : KEPT;
}

ENTRY_CHECK(debugctl_bits)
{
    return s->loads_debug ? value & ~DEBUGCTL_KNOWN : KEPT;
}

ENTRY_CHECK(pat_types)
{
    uint64_t wrong = 0;

    for (unsigned i = 0; i < 8 && s->loads_pat; i++) {
        uint64_t type = value >> 8 * i & 0xff;
        if (type > 7 || type == 2 || type == 3)
            wrong |= UINT64_C(0xff) << 8 * i;
    }
    return wrong;
}

ENTRY_CHECK(efer_bits)
{
    return s->loads_efer ? (s->efer_ones & ~value) | (value & ~s->efer_allowed) : KEPT;
}

ENTRY_CHECK(efer_active)
{
    return s->loads_efer && ((value & EFER_LMA) != 0) != s->long_mode ? EFER_LMA : KEPT;
}

ENTRY_CHECK(efer_enabled)
{
    bool enabled = (value & EFER_LME) != 0, active = (value & EFER_LMA) != 0;

    return s->loads_efer && (s->cr0 & CR0_PG) != 0 && enabled != active ? EFER_LME : KEPT;
}

/* ---- RIP, RFLAGS, PDPTEs ---- */

/* In 64-bit code all bits above a linear address's are equal: it need not be canonical. */
ENTRY_CHECK(rip_bits)
{
    uint64_t upper = HIGH_BITS(s->linear_bits), set = value & upper;

    if (!s->long_mode || (s->segments[SEGMENT_CS].attributes & SEGMENT_L) == 0)
        return value & HIGH_BITS(32);
    return set == 0 || set == upper ? KEPT : upper;
}

ENTRY_CHECK(rflags_bits)
{
    return (~value & RFLAGS_ONES) | (value & RFLAGS_RESERVED);
}

ENTRY_CHECK(rflags_v86)
{
    return s->long_mode || (s->cr0 & CR0_PE) == 0 ? value & RFLAGS_VM : KEPT;
}

ENTRY_CHECK(rflags_interrupt)
{
    return event_is(s, EVENT_WORD_INTERRUPT) ? ~value & RFLAGS_IF : KEPT;
}

ENTRY_CHECK(pdpte)
{
    bool matters = (s->cr0 & CR0_PG) != 0 && (s->cr4 & CR4_PAE) != 0 && !s->long_mode && (value & PDPTE_PRESENT) != 0;

    return matters ? (value & PDPTE_RESERVED) | beyond_memory(s, value) : KEPT;
}

/* ---- The table ---- */

/* clang-format off */
#define CR0       FIELD("CR0", cr0)
#define CR4       FIELD("CR4", cr4)
#define EFER      FIELD("EFER", efer)
#define RFLAGS    FIELD("RFLAGS", rflags)
#define LONG_MODE FIELD("\"IA-32e mode guest\"", long_mode)

static const struct entry_rule rows[] = {
    {{SDM_REGISTERS, APM_STATE}, 0, cr0_bits, "this processor wants it otherwise", {CR0}},
    {{SDM_REGISTERS, APM_STATE}, 0, cr0_paging, "paging (PG) needs protected mode", {CR0, EFER}},
    {{NULL, APM_STATE}, 0, cr0_write_through, "NW needs CD", {CR0}},
    {{SDM_REGISTERS, NULL}, 0, cr0_long_mode, "IA-32e mode needs paging", {CR0, LONG_MODE}},
    {{SDM_REGISTERS, APM_STATE}, 0, physical, "beyond the width of physical addresses", {FIELD("CR3", cr3)}},
    {{SDM_REGISTERS, APM_STATE}, 0, cr4_bits, "this processor wants it otherwise", {CR4}},
    {{SDM_REGISTERS, APM_STATE}, 0, cr4_cet, "CET needs CR0.WP", {CR4, CR0}},
    {{SDM_REGISTERS, APM_STATE}, 0, cr4_long_mode, "long mode needs PAE", {CR4, EFER, CR0}},
    {{SDM_REGISTERS, NULL}, 0, cr4_pcide, "PCIDE needs IA-32e mode", {CR4, LONG_MODE}},
    {{NULL, APM_STATE}, 0, has_32_bits, "its upper half must be 0", {FIELD("DR6", dr6)}},
    {{SDM_REGISTERS, APM_STATE}, 0, dr7_high, "its upper half must be 0", {FIELD("DR7", dr7)}},
    {{SDM_REGISTERS, NULL}, 0, debugctl_bits, "reserved bits must be 0", {FIELD("DEBUGCTL", debugctl)}},
    {{SDM_REGISTERS, NULL}, 0, canonical, "it must be canonical", {FIELD("SYSENTER_ESP", sysenter_esp)}},
    {{SDM_REGISTERS, NULL}, 0, canonical, "it must be canonical", {FIELD("SYSENTER_EIP", sysenter_eip)}},
    {{SDM_REGISTERS, APM_NESTED}, 0, pat_types, "each byte must be a memory type", {FIELD("PAT", pat)}},
    {{SDM_REGISTERS, APM_STATE}, 0, efer_bits, "this processor wants it otherwise", {EFER}},
    {{SDM_REGISTERS, NULL}, 0, efer_active, "LMA must be as the control says", {EFER, LONG_MODE}},
    {{SDM_REGISTERS, NULL}, 0, efer_enabled, "with paging LME and LMA must be equal", {EFER, CR0}},

    {{SDM_TABLES, NULL}, 0, canonical, "it must be canonical", {FIELD("GDTR base", gdtr.base)}},
    {{SDM_TABLES, NULL}, 0, canonical, "it must be canonical", {FIELD("IDTR base", idtr.base)}},
    {{SDM_TABLES, NULL}, 0, has_16_bits, "it has 16 bits", {FIELD("GDTR limit", gdtr.limit)}},
    {{SDM_TABLES, NULL}, 0, has_16_bits, "it has 16 bits", {FIELD("IDTR limit", idtr.limit)}},

    {{SDM_RIP, NULL}, 0, rip_bits, "it has 32 bits, in 64-bit code those of a linear address",
     {FIELD("RIP", rip), LONG_MODE, FIELD("CS attributes", segments[SEGMENT_CS].attributes)}},
    {{SDM_RIP, NULL}, 0, rflags_bits, "reserved bits must be 0, and bit 1 must be 1", {RFLAGS}},
    {{SDM_RIP, NULL}, 0, rflags_v86, "virtual-8086 mode is not for real mode, nor for IA-32e mode",
     {RFLAGS, CR0, LONG_MODE}},
    {{SDM_RIP, NULL}, 0, rflags_interrupt, "an external interrupt needs IF", {RFLAGS, FIELD("the event", event)}},

    {{SDM_PDPTES, NULL}, 0, pdpte, "reserved bits must be 0", {FIELD("PDPTE 0", pdptes[0]), CR4}},
    {{SDM_PDPTES, NULL}, 0, pdpte, "reserved bits must be 0", {FIELD("PDPTE 1", pdptes[1]), CR4}},
    {{SDM_PDPTES, NULL}, 0, pdpte, "reserved bits must be 0", {FIELD("PDPTE 2", pdptes[2]), CR4}},
    {{SDM_PDPTES, NULL}, 0, pdpte, "reserved bits must be 0", {FIELD("PDPTE 3", pdptes[3]), CR4}},
};
/* clang-format on */

const struct entry_rules entry_register_rules = {rows, ARRAY_SIZE(rows)};
