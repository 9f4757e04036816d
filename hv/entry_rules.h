/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the rules of entry checks are made of: entry_registers.c, entry_segments.c and entry_controls.c have them,
 * entry_check.c applies them.
 */
#ifndef HV_ENTRY_RULES_H
#define HV_ENTRY_RULES_H

#include "hv/entry_check.h"
#include "hv/event_word.h"

/* A member of struct entry_state or of struct segment_register, by its place; no name: none. */
struct entry_field {
    const char *name;
    uint16_t offset;
    uint8_t size;
    bool of_segment;
};

#define ENTRY_FIELDS_MAX 3u

#define FIELD(name, member)                                                                                            \
    {                                                                                                                  \
        name, offsetof(struct entry_state, member), sizeof(((struct entry_state *)NULL)->member), false                \
    }
#define SEGMENT_FIELD(name, member)                                                                                    \
    {                                                                                                                  \
        name, offsetof(struct segment_register, member), sizeof(((struct segment_register *)NULL)->member), true       \
    }

/*
 * A check of `value`, which is the rule's first field, of a whole state `s`; of a rule about segments, `r` is the
 * register that is looked at. Returns the bits that are wrong, KEPT, or BROKEN when no single bits are to blame.
 */
#define ENTRY_CHECK(name)                                                                                              \
    static uint64_t name(const struct entry_state *s __attribute__((unused)),                                          \
                         const struct segment_register *r __attribute__((unused)),                                     \
                         uint64_t value __attribute__((unused)))
#define KEPT   UINT64_C(0)
#define BROKEN UINT64_MAX

struct entry_rule {
    const char *sections[2]; /* the manual's title, by enum entry_vendor; NULL: no rule of that vendor */
    uint16_t segments;       /* a bit for each enum segment that the rule is about, one by one; 0: it is about none */
    uint64_t (*check)(const struct entry_state *s, const struct segment_register *r, uint64_t value);
    const char *text;
    struct entry_field fields[ENTRY_FIELDS_MAX]; /* first the one that is wrong, then what that depends on */
};

struct entry_rules {
    const struct entry_rule *rows;
    unsigned count;
};

extern const struct entry_rules entry_register_rules, entry_segment_rules, entry_control_rules;

/* ---- What rules of several files ask ---- */

#define CR0_PE    BIT(0)
#define CR0_PG    BIT(31)
#define CR4_PAE   BIT(5)
#define CR4_CET   BIT(23)
#define EFER_LME  BIT(8)
#define EFER_LMA  BIT(10)
#define RFLAGS_TF BIT(8)
#define RFLAGS_IF BIT(9)
#define RFLAGS_VM BIT(17)

/* Bits `first` to 63. */
#define HIGH_BITS(first) (~UINT64_C(0) << (first))

static inline uint64_t broken_if(bool broken)
{
    return broken ? BROKEN : KEPT;
}

static inline uint64_t not_canonical(const struct entry_state *state, uint64_t address)
{
    uint64_t upper = HIGH_BITS(state->linear_bits - 1), set = address & upper;

    return set == 0 || set == upper ? KEPT : HIGH_BITS(state->linear_bits);
}

static inline uint64_t beyond_memory(const struct entry_state *state, uint64_t address)
{
    return address & HIGH_BITS(state->physical_bits);
}

static inline unsigned segment_dpl(const struct segment_register *segment)
{
    return segment->attributes >> SEGMENT_DPL_SHIFT & 3;
}

static inline bool event_is_there(const struct entry_state *state)
{
    return (state->event & EVENT_WORD_VALID) != 0;
}

static inline bool event_is(const struct entry_state *state, enum event_word_type type)
{
    return event_is_there(state) && event_word_type(state->event) == (unsigned)type;
}

#endif
