/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entry checks of segment registers. Intel looks at all of them (SDM vol. 3, "Checks on Guest Segment Registers"), AMD
 * at CS alone (APM vol. 2, "Canonicalization and Consistency Checks").
 */
#include "hv/entry_rules.h"

#define SDM_SEGMENTS "Checks on Guest Segment Registers"
#define APM_STATE    "Canonicalization and Consistency Checks"

#define TYPE_ACCESSED   1u
#define TYPE_READABLE   2u
#define TYPE_CONFORMING 4u
#define TYPE_CODE       8u

/* Types that rules name. */
#define TYPE_DATA          3u /* writable, accessed */
#define TYPE_DATA_DOWN     7u /* the same, expanding down */
#define TYPE_LDT           2u
#define TYPE_BUSY_TSS_16   3u
#define TYPE_BUSY_TSS      11u
#define TYPE_LAST_NOT_CONF 11u

#define ATTRIBUTES_RESERVED (UINT64_C(0xf00) | HIGH_BITS(17))
#define ATTRIBUTES_V86      0xf3u
#define SELECTOR_LOCAL      BIT(2)

static bool is_v86(const struct entry_state *state)
{
    return (state->rflags & RFLAGS_VM) != 0;
}

static bool is_usable(const struct segment_register *segment)
{
    return (segment->attributes & SEGMENT_UNUSABLE) == 0;
}

static unsigned type_of(const struct segment_register *segment)
{
    return segment->attributes & SEGMENT_TYPE_MASK;
}

static unsigned rpl_of(const struct segment_register *segment)
{
    return segment->selector & 3u;
}

/* Whether the attributes count: TR's always do, CS's even when it is marked unusable. */
static bool is_checked(const struct entry_state *state, const struct segment_register *segment)
{
    if (segment == &state->segments[SEGMENT_TR])
        return true;
    if (segment == &state->segments[SEGMENT_LDTR])
        return is_usable(segment);
    return !is_v86(state) && (segment == &state->segments[SEGMENT_CS] || is_usable(segment));
}

/* ---- Selector, base and limit ---- */

ENTRY_CHECK(global)
{
    return r == &s->segments[SEGMENT_TR] || is_usable(r) ? value & SELECTOR_LOCAL : KEPT;
}

ENTRY_CHECK(ss_level)
{
    return !is_v86(s) && !s->unrestricted ? rpl_of(r) ^ rpl_of(&s->segments[SEGMENT_CS]) : KEPT;
}

ENTRY_CHECK(v86_base)
{
    return broken_if(is_v86(s) && value != (uint64_t)r->selector << 4);
}

ENTRY_CHECK(v86_limit)
{
    return broken_if(is_v86(s) && value != 0xffff);
}

ENTRY_CHECK(v86_attributes)
{
    return broken_if(is_v86(s) && value != ATTRIBUTES_V86);
}

ENTRY_CHECK(base_canonical)
{
    return r == &s->segments[SEGMENT_LDTR] && !is_usable(r) ? KEPT : not_canonical(s, value);
}

ENTRY_CHECK(base_short)
{
    return r == &s->segments[SEGMENT_CS] || is_usable(r) ? value & HIGH_BITS(32) : KEPT;
}

/* ---- Type ---- */

ENTRY_CHECK(cs_type)
{
    bool is_code = (value & (TYPE_CODE | TYPE_ACCESSED)) == (TYPE_CODE | TYPE_ACCESSED);

    return broken_if(!is_v86(s) && !is_code && !(s->unrestricted && type_of(r) == TYPE_DATA));
}

ENTRY_CHECK(ss_type)
{
    return broken_if(is_checked(s, r) && type_of(r) != TYPE_DATA && type_of(r) != TYPE_DATA_DOWN);
}

ENTRY_CHECK(accessed)
{
    return is_checked(s, r) ? ~value & TYPE_ACCESSED : KEPT;
}

ENTRY_CHECK(readable)
{
    return is_checked(s, r) && (value & TYPE_CODE) != 0 ? ~value & TYPE_READABLE : KEPT;
}

ENTRY_CHECK(tr_type)
{
    return broken_if(type_of(r) != TYPE_BUSY_TSS && (s->long_mode || type_of(r) != TYPE_BUSY_TSS_16));
}

ENTRY_CHECK(ldtr_type)
{
    return broken_if(is_checked(s, r) && type_of(r) != TYPE_LDT);
}

ENTRY_CHECK(no_system)
{
    return is_checked(s, r) ? ~value & SEGMENT_S : KEPT;
}

ENTRY_CHECK(system)
{
    return is_checked(s, r) ? value & SEGMENT_S : KEPT;
}

/* ---- Privilege level ---- */

/* Data in CS (real mode), conforming and other code have a rule each. */
ENTRY_CHECK(cs_level)
{
    unsigned level = segment_dpl(r), stack = segment_dpl(&s->segments[SEGMENT_SS]);

    if (is_v86(s))
        return KEPT;
    if ((value & TYPE_CODE) == 0)
        return broken_if(type_of(r) == TYPE_DATA && level != 0);
    return broken_if((value & TYPE_CONFORMING) != 0 ? level > stack : level != stack);
}

ENTRY_CHECK(ss_descriptor_level)
{
    bool is_real = type_of(&s->segments[SEGMENT_CS]) == TYPE_DATA || (s->cr0 & CR0_PE) == 0;

    if (is_v86(s))
        return KEPT;
    return broken_if((!s->unrestricted && segment_dpl(r) != rpl_of(r)) || (is_real && segment_dpl(r) != 0));
}

ENTRY_CHECK(data_level)
{
    bool matters = is_checked(s, r) && !s->unrestricted && type_of(r) <= TYPE_LAST_NOT_CONF;

    return broken_if(matters && segment_dpl(r) < rpl_of(r));
}

/* ---- The other attributes ---- */

ENTRY_CHECK(present)
{
    return is_checked(s, r) ? ~value & SEGMENT_P : KEPT;
}

ENTRY_CHECK(reserved)
{
    return is_checked(s, r) ? value & ATTRIBUTES_RESERVED : KEPT;
}

ENTRY_CHECK(usable)
{
    return value & SEGMENT_UNUSABLE;
}

ENTRY_CHECK(long_and_wide)
{
    bool is_long = s->vendor == ENTRY_INTEL
                       ? s->long_mode && !is_v86(s)
                       : (s->efer & EFER_LME) != 0 && (s->cr0 & CR0_PG) != 0 && (s->cr4 & CR4_PAE) != 0;

    return is_long && (value & SEGMENT_L) != 0 ? value & SEGMENT_DB : KEPT;
}

ENTRY_CHECK(limit_in_pages)
{
    return is_checked(s, r) && (r->limit & PAGE_MASK) != PAGE_MASK ? value & SEGMENT_G : KEPT;
}

ENTRY_CHECK(limit_in_bytes)
{
    return is_checked(s, r) && (r->limit & 0xfff00000) != 0 ? ~value & SEGMENT_G : KEPT;
}

/* ---- The table ---- */

/* clang-format off */
#define SELECTOR   SEGMENT_FIELD("selector", selector)
#define BASE       SEGMENT_FIELD("base", base)
#define LIMIT      SEGMENT_FIELD("limit", limit)
#define ATTRIBUTES SEGMENT_FIELD("attributes", attributes)
#define RFLAGS     FIELD("RFLAGS", rflags)
#define LONG_MODE  FIELD("\"IA-32e mode guest\"", long_mode)

#define CS   BIT(SEGMENT_CS)
#define SS   BIT(SEGMENT_SS)
#define LDTR BIT(SEGMENT_LDTR)
#define TR   BIT(SEGMENT_TR)
#define LONG (BIT(SEGMENT_FS) | BIT(SEGMENT_GS)) /* have bases of 64 bits */
#define DATA (LONG | BIT(SEGMENT_ES) | BIT(SEGMENT_DS))
#define USER (DATA | CS | SS)
#define ALL  (USER | LDTR | TR)

static const struct entry_rule rows[] = {
    {{SDM_SEGMENTS, NULL}, TR | LDTR, global, "it must select from the GDT", {SELECTOR}},
    {{SDM_SEGMENTS, NULL}, SS, ss_level, "its RPL must be that of CS",
     {SELECTOR, FIELD("CS selector", segments[SEGMENT_CS].selector)}},
    {{SDM_SEGMENTS, NULL}, USER, v86_base, "in virtual-8086 mode it must be the selector times 16",
     {BASE, SELECTOR, RFLAGS}},
    {{SDM_SEGMENTS, NULL}, USER, v86_limit, "in virtual-8086 mode it must be 0xffff", {LIMIT, RFLAGS}},
    {{SDM_SEGMENTS, NULL}, USER, v86_attributes, "in virtual-8086 mode they must be 0xf3", {ATTRIBUTES, RFLAGS}},
    {{SDM_SEGMENTS, NULL}, LONG | LDTR | TR, base_canonical, "it must be canonical", {BASE}},
    {{SDM_SEGMENTS, NULL}, USER & ~LONG, base_short, "its upper half must be 0", {BASE, ATTRIBUTES}},
    {{SDM_SEGMENTS, NULL}, CS, cs_type, "the type must be accessed code, or 3 for an unrestricted guest",
     {ATTRIBUTES, FIELD("\"unrestricted guest\"", unrestricted)}},
    {{SDM_SEGMENTS, NULL}, SS, ss_type, "the type must be accessed writable data", {ATTRIBUTES}},
    {{SDM_SEGMENTS, NULL}, DATA, accessed, "the type must be an accessed one", {ATTRIBUTES}},
    {{SDM_SEGMENTS, NULL}, DATA, readable, "code must be readable", {ATTRIBUTES}},
    {{SDM_SEGMENTS, NULL}, TR, tr_type, "the type must be a busy TSS, in IA-32e mode that of 64 bits",
     {ATTRIBUTES, LONG_MODE}},
    {{SDM_SEGMENTS, NULL}, LDTR, ldtr_type, "the type must be an LDT", {ATTRIBUTES}},
    {{SDM_SEGMENTS, NULL}, USER, no_system, "S must be 1", {ATTRIBUTES}},
    {{SDM_SEGMENTS, NULL}, LDTR | TR, system, "S must be 0", {ATTRIBUTES}},
    {{SDM_SEGMENTS, NULL}, CS, cs_level, "the DPL does not go with the type and the DPL of SS",
     {ATTRIBUTES, FIELD("SS attributes", segments[SEGMENT_SS].attributes)}},
    {{SDM_SEGMENTS, NULL}, SS, ss_descriptor_level, "the DPL must be the RPL, and 0 in real mode",
     {ATTRIBUTES, SELECTOR, FIELD("CR0", cr0)}},
    {{SDM_SEGMENTS, NULL}, DATA, data_level, "the DPL must not be below the RPL", {ATTRIBUTES, SELECTOR}},
    {{SDM_SEGMENTS, NULL}, ALL, present, "P must be 1", {ATTRIBUTES}},
    {{SDM_SEGMENTS, NULL}, ALL, reserved, "reserved bits must be 0", {ATTRIBUTES}},
    {{SDM_SEGMENTS, NULL}, TR, usable, "TR is never unusable", {ATTRIBUTES}},
    {{SDM_SEGMENTS, APM_STATE}, CS, long_and_wide, "64-bit code (L) must not have D", {ATTRIBUTES, LONG_MODE}},
    {{SDM_SEGMENTS, NULL}, ALL, limit_in_pages, "G needs a limit that ends in 0xfff", {ATTRIBUTES, LIMIT}},
    {{SDM_SEGMENTS, NULL}, ALL, limit_in_bytes, "such a limit needs G", {ATTRIBUTES, LIMIT}},
};
/* clang-format on */

const struct entry_rules entry_segment_rules = {rows, ARRAY_SIZE(rows)};
