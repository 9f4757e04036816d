/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rules applied, and a broken one put into words.
 */
#include "hv/entry_check.h"

#include <stdarg.h>

#include "hv/entry_rules.h"
#include "hv/format.h"
#include "hv/guest.h"
#include "hv/log.h"
#include "hv/machine.h"
#include "hv/string.h"
#include "hv/vcpu.h"

static const char *const manuals[] = {"SDM vol. 3", "APM vol. 2"};
static const char *const segment_names[SEGMENT_COUNT] = {"ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR"};

/* Names of bits that one meets in practice. */
struct bit_name {
    uint16_t field;
    uint8_t bit;
    const char *name;
};

#define CR0_OFFSET      offsetof(struct entry_state, cr0)
#define CR4_OFFSET      offsetof(struct entry_state, cr4)
#define EFER_OFFSET     offsetof(struct entry_state, efer)
#define RFLAGS_OFFSET   offsetof(struct entry_state, rflags)
#define BLOCKING_OFFSET offsetof(struct entry_state, interruptibility)

/* clang-format off */
static const struct bit_name bit_names[] = {
    {CR0_OFFSET, 0, "PE"}, {CR0_OFFSET, 5, "NE"}, {CR0_OFFSET, 16, "WP"},
    {CR0_OFFSET, 29, "NW"}, {CR0_OFFSET, 30, "CD"}, {CR0_OFFSET, 31, "PG"},
    {CR4_OFFSET, 5, "PAE"}, {CR4_OFFSET, 6, "MCE"}, {CR4_OFFSET, 11, "UMIP"}, {CR4_OFFSET, 12, "LA57"},
    {CR4_OFFSET, 13, "VMXE"}, {CR4_OFFSET, 14, "SMXE"}, {CR4_OFFSET, 16, "FSGSBASE"}, {CR4_OFFSET, 17, "PCIDE"},
    {CR4_OFFSET, 18, "OSXSAVE"}, {CR4_OFFSET, 20, "SMEP"}, {CR4_OFFSET, 21, "SMAP"}, {CR4_OFFSET, 22, "PKE"},
    {CR4_OFFSET, 23, "CET"},
    {EFER_OFFSET, 0, "SCE"}, {EFER_OFFSET, 8, "LME"}, {EFER_OFFSET, 10, "LMA"}, {EFER_OFFSET, 11, "NXE"},
    {EFER_OFFSET, 12, "SVME"}, {EFER_OFFSET, 13, "LMSLE"}, {EFER_OFFSET, 14, "FFXSR"},
    {RFLAGS_OFFSET, 9, "IF"}, {RFLAGS_OFFSET, 17, "VM"},
    {BLOCKING_OFFSET, 0, "STI"}, {BLOCKING_OFFSET, 1, "MOV SS"}, {BLOCKING_OFFSET, 2, "SMI"}, {BLOCKING_OFFSET, 3, "NMI"},
};
/* clang-format on */

static uint64_t field_value(const struct entry_state *state, const struct entry_field *field, enum segment segment)
{
    const uint8_t *base = field->of_segment ? (const uint8_t *)&state->segments[segment] : (const uint8_t *)state;
    uint64_t value = 0;

    memcpy(&value, base + field->offset, field->size);
    return value;
}

void entry_state_read(struct vcpu *vcpu, struct entry_state *state)
{
    uint32_t widths = machine_cpuid(0x80000008, 0).eax;

    *state = (struct entry_state){
        .physical_bits = (uint8_t)widths,
        .linear_bits = (uint8_t)(widths >> 8),
        .cr3 = vcpu_read(vcpu, VCPU_CR3),
        .dr6 = vcpu_read(vcpu, VCPU_DR6),
        .dr7 = vcpu_read(vcpu, VCPU_DR7),
        .pat = vcpu_read(vcpu, VCPU_PAT),
        .debugctl = vcpu_read(vcpu, VCPU_DEBUGCTL),
        .sysenter_esp = vcpu_read(vcpu, VCPU_SYSENTER_ESP),
        .sysenter_eip = vcpu_read(vcpu, VCPU_SYSENTER_EIP),
        .rip = vcpu_read(vcpu, VCPU_RIP),
        .rflags = vcpu_read(vcpu, VCPU_RFLAGS),
    };
    for (unsigned i = 0; i < SEGMENT_COUNT; i++)
        virt->read_segment(vcpu, (enum segment)i, &state->segments[i]);
    virt->read_table(vcpu, false, &state->gdtr);
    virt->read_table(vcpu, true, &state->idtr);
}

static const struct entry_rules *const groups[] = {&entry_register_rules, &entry_segment_rules, &entry_control_rules};

/* Where breaches are noted: as many as there is room for, and the count of all. */
struct findings {
    struct entry_breach *breaches;
    unsigned max, count;
};

static void check_one(const struct entry_state *state, const struct entry_rule *rule, enum segment segment,
                      struct findings *findings)
{
    uint64_t value = field_value(state, &rule->fields[0], segment);
    uint64_t bits = rule->check(state, &state->segments[segment], value);

    if (bits == KEPT)
        return;
    if (findings->count < findings->max)
        findings->breaches[findings->count] = (struct entry_breach){rule, segment, bits == BROKEN ? 0 : bits};
    findings->count++;
}

static void check_rule(const struct entry_state *state, const struct entry_rule *rule, struct findings *findings)
{
    if (rule->sections[state->vendor] == NULL)
        return;
    if (rule->segments == 0)
        check_one(state, rule, SEGMENT_ES, findings);
    for (unsigned segment = 0; segment < SEGMENT_COUNT; segment++) {
        if ((rule->segments & BIT(segment)) != 0)
            check_one(state, rule, (enum segment)segment, findings);
    }
}

unsigned entry_check(const struct entry_state *state, struct entry_breach *breaches, unsigned max)
{
    struct findings findings = {breaches, max, 0};

    for (size_t group = 0; group < ARRAY_SIZE(groups); group++) {
        for (unsigned i = 0; i < groups[group]->count; i++)
            check_rule(state, &groups[group]->rows[i], &findings);
    }
    return findings.count;
}

/* A text that grows in a buffer; what does not fit is cut. */
struct sentence {
    char *text;
    size_t size, length;
};

static void say(struct sentence *sentence, const char *format, ...) PRINTF_LIKE(2, 3);

static void say(struct sentence *sentence, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    size_t length =
        format_text_v(sentence->text + sentence->length, sentence->size - sentence->length, format, arguments);
    va_end(arguments);
    sentence->length = min_u64(sentence->length + length, sentence->size - 1);
}

static void say_bit(struct sentence *sentence, const struct entry_field *field, unsigned bit)
{
    for (size_t i = 0; i < ARRAY_SIZE(bit_names) && !field->of_segment; i++) {
        if (bit_names[i].field == field->offset && bit_names[i].bit == bit) {
            say(sentence, "bit %u (%s)", bit, bit_names[i].name);
            return;
        }
    }
    say(sentence, "bit %u", bit);
}

/* The lowest wrong bit and the highest, with what is between them. */
static void say_bits(struct sentence *sentence, const struct entry_field *field, uint64_t bits)
{
    unsigned low = (unsigned)__builtin_ctzll(bits), high = 63 - (unsigned)__builtin_clzll(bits);

    say(sentence, ", wrong in ");
    say_bit(sentence, field, low);
    if (high != low) {
        say(sentence, (bits & (bits - 1)) == BIT(high) ? " and " : " to ");
        say_bit(sentence, field, high);
    }
}

void entry_breach_text(const struct entry_state *state, const struct entry_breach *breach, char *text, size_t size)
{
    const struct entry_rule *rule = breach->rule;
    struct sentence sentence = {text, size, 0};

    for (unsigned i = 0; i < ENTRY_FIELDS_MAX && rule->fields[i].name != NULL; i++) {
        const struct entry_field *field = &rule->fields[i];
        say(&sentence, "%s%s%s%s is 0x%lx", i == 0 ? "" : ", ", field->of_segment ? segment_names[breach->segment] : "",
            field->of_segment ? " " : "", field->name, (unsigned long)field_value(state, field, breach->segment));
        if (i == 0 && breach->bits != 0)
            say_bits(&sentence, field, breach->bits);
    }
    say(&sentence, ": %s (%s, \"%s\")", rule->text, manuals[state->vendor], rule->sections[state->vendor]);
}

void entry_check_log(const struct vcpu *vcpu, const struct entry_state *state)
{
    struct entry_breach breaches[ENTRY_BREACHES_MAX];
    unsigned count = entry_check(state, breaches, ENTRY_BREACHES_MAX);
    char text[ENTRY_BREACH_TEXT];

    for (unsigned i = 0; i < min_u64(count, ENTRY_BREACHES_MAX); i++) {
        entry_breach_text(state, &breaches[i], text, sizeof(text));
        log_error("guest \"%s\": the processor refuses its state: %s", vcpu->guest->name, text);
    }
    if (count > ENTRY_BREACHES_MAX)
        log_error("guest \"%s\": ... and %u more", vcpu->guest->name, count - ENTRY_BREACHES_MAX);
    if (count == 0)
        log_error("guest \"%s\": the processor refuses its state, which breaks no rule that Bulkhead knows",
                  vcpu->guest->name);
}
