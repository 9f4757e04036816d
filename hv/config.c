/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which table, which key, which form of value: the outer part of reading a configuration. What a key's value means is
 * in config_keys.c, what the keys mean together in config_check.c.
 */
#include "hv/config.h"

#include <stdarg.h>

#include "hv/config_reader.h"
#include "hv/config_value.h"
#include "hv/error.h"
#include "hv/format.h"
#include "hv/similar.h"
#include "hv/string.h"

void config_error(struct config_reader *reader, const struct guest_config *guest, struct config_position position,
                  const char *format, ...)
{
    char message[DIAGNOSTIC_LINE_SIZE];
    va_list arguments;

    va_start(arguments, format);
    format_text_v(message, sizeof(message), format, arguments);
    va_end(arguments);
    if (guest)
        diagnostic_at(reader->diagnostics, reader->file, position, "guest \"%s\": %s", guest->name, message);
    else
        diagnostic_at(reader->diagnostics, reader->file, position, "%s", message);
}

static bool name_is(const struct toml_name *name, const char *text)
{
    return name->length == strlen(text) && memcmp(name->text, text, name->length) == 0;
}

static void table_is_unknown(struct config_reader *reader)
{
    const struct toml *toml = &reader->config->toml;
    const struct toml_name *first = &toml->path[0], *last = &toml->path[toml->path_length - 1];
    struct diagnostic_excerpt path = diagnostic_excerpt(first->text, (size_t)(last->text - first->text) + last->length);
    struct similar similar;

    similar_begin(&similar, first->text, first->length);
    similar_offer(&similar, "hypervisor");
    similar_offer(&similar, "guest");
    if (similar.best && toml->path_length == 2 && strcmp(similar.best, "guest") == 0) {
        struct diagnostic_excerpt name = diagnostic_excerpt(last->text, last->length);
        config_error(reader, NULL, toml->position, "unknown table [%s]; did you mean [guest.%s]?", path.text,
                     name.text);
    } else if (similar.best && toml->path_length == 1 && strcmp(similar.best, "hypervisor") == 0) {
        config_error(reader, NULL, toml->position, "unknown table [%s]; did you mean [hypervisor]?", path.text);
    } else {
        config_error(reader, NULL, toml->position, "unknown table [%s]; the tables are [hypervisor] and [guest.NAME]",
                     path.text);
    }
}

/* [guest.NAME] */
static void guest_begin(struct config_reader *reader)
{
    struct config *config = reader->config;
    const struct toml_name *name = &config->toml.path[1];
    const char *fault = config_guest_name_check(name->text, name->length);

    if (config->guest_count == GUESTS_MAX) {
        config_error(reader, NULL, config->toml.position, "there are more than %u guests, which are the most",
                     GUESTS_MAX);
        return;
    }
    reader->section = CONFIG_SECTION_GUEST;
    reader->guest = &config->guests[config->guest_count++];
    reader->guest->position = config->toml.position;
    memcpy(reader->guest->name, name->text, min_u64(name->length, CONFIG_NAME_MAX));
    if (fault)
        config_error(reader, reader->guest, name->position, "%s", fault);
}

static void table_begin(struct config_reader *reader)
{
    const struct toml *toml = &reader->config->toml;
    bool is_guest = name_is(&toml->path[0], "guest");

    reader->section = CONFIG_SECTION_SKIPPED;
    if (is_guest && toml->path_length == 2) {
        guest_begin(reader);
    } else if (name_is(&toml->path[0], "hypervisor") && toml->path_length == 1) {
        reader->section = CONFIG_SECTION_HYPERVISOR;
    } else if (!config_table_is_not_yet(reader, &toml->path[0], toml->position)) {
        reader->table_bad = true;
        if (is_guest && toml->path_length == 1)
            config_error(reader, NULL, toml->position,
                         "a guest needs a name; write [guest.NAME], such as [guest.linux]");
        else
            table_is_unknown(reader);
    }
}

static const struct config_rule *rule_find(const struct config_rule *rules, size_t count, const struct toml_name *key)
{
    for (size_t i = 0; i < count; i++) {
        if (name_is(key, rules[i].name))
            return &rules[i];
    }
    return NULL;
}

static void key_is_unknown(struct config_reader *reader, const struct config_rule *rules, size_t count)
{
    bool in_guest = reader->section == CONFIG_SECTION_GUEST;
    const struct toml_name *key = &reader->config->toml.key;
    struct diagnostic_excerpt excerpt = diagnostic_excerpt(key->text, key->length);
    char table[sizeof("guest.") + CONFIG_NAME_MAX];
    struct similar similar;
    size_t meant = 0;
    const struct config_rule *elsewhere = in_guest ? rule_find(config_hypervisor_rules, CONFIG_HYPERVISOR_KEYS, key)
                                                   : rule_find(config_guest_rules, CONFIG_GUEST_KEYS, key);

    format_text(table, sizeof(table), "%s%s", in_guest ? "guest." : "hypervisor", in_guest ? reader->guest->name : "");
    if (elsewhere && !config_is_not_yet(elsewhere->name, NULL)) {
        config_error(reader, NULL, key->position, "key \"%s\" does not belong in [%s]; write it in [%s]", excerpt.text,
                     table, in_guest ? "hypervisor" : "guest.NAME");
        return;
    }
    similar_begin(&similar, key->text, key->length);
    for (size_t i = 0; i < count; i++) {
        const char *best_before = similar.best;
        if (!config_is_not_yet(rules[i].name, NULL))
            similar_offer(&similar, rules[i].name);
        if (similar.best != best_before)
            meant = i;
    }
    if (similar.best) {
        if (in_guest)
            reader->excused[reader->guest - reader->config->guests] |= (uint32_t)BIT(meant);
        config_error(reader, NULL, key->position, "unknown key \"%s\" in [%s]; did you mean \"%s\"?", excerpt.text,
                     table, similar.best);
        return;
    }
    struct sentence names = {.length = 0};
    for (size_t i = 0; i < count; i++) {
        if (!config_is_not_yet(rules[i].name, NULL))
            sentence_add(&names, "%s%s", i > 0 ? ", " : "", rules[i].name);
    }
    config_error(reader, NULL, key->position, "unknown key \"%s\" in [%s]; the keys are %s", excerpt.text, table,
                 names.text);
}

/* The record of the current key in the configuration. */
static struct config_key *key_record(struct config_reader *reader)
{
    if (reader->section == CONFIG_SECTION_GUEST)
        return &reader->guest->keys[reader->rule - config_guest_rules];
    return &reader->config->keys[reader->rule - config_hypervisor_rules];
}

static void key_begin(struct config_reader *reader)
{
    const struct toml_name *key = &reader->config->toml.key;
    bool in_guest = reader->section == CONFIG_SECTION_GUEST;
    const struct config_rule *rules = in_guest ? config_guest_rules : config_hypervisor_rules;
    size_t count = in_guest ? (size_t)CONFIG_GUEST_KEYS : (size_t)CONFIG_HYPERVISOR_KEYS;

    reader->rule = NULL;
    reader->in_array = false;
    reader->value_bad = false;
    if (reader->section == CONFIG_SECTION_SKIPPED)
        return;
    if (reader->section == CONFIG_SECTION_NONE) {
        struct diagnostic_excerpt excerpt = diagnostic_excerpt(key->text, key->length);
        config_error(reader, NULL, key->position,
                     "key \"%s\" stands before the first table; write it below [hypervisor] or [guest.NAME]",
                     excerpt.text);
        return;
    }
    reader->rule = rule_find(rules, count, key);
    if (!reader->rule) {
        key_is_unknown(reader, rules, count);
        return;
    }
    key_record(reader)->given = true;
    key_record(reader)->position = key->position; /* until its value is there */
}

static const char *type_name(enum toml_type type)
{
    return type == TOML_STRING ? "a string" : type == TOML_INTEGER ? "an integer" : "a boolean";
}

static void scalar_read(struct config_reader *reader)
{
    const struct toml_value *value = &reader->config->toml.value;
    const struct config_rule *rule = reader->rule;

    if (!rule)
        return;
    uint32_t forms = reader->in_array ? rule->elements : rule->forms;
    if (!reader->in_array)
        key_record(reader)->position = value->position;
    if (forms & (1u << value->type)) {
        rule->store(reader, value);
        return;
    }
    reader->value_bad = true;
    config_error(reader, reader->section == CONFIG_SECTION_GUEST ? reader->guest : NULL, value->position,
                 reader->in_array ? "%s must be %s, but this element is %s" : "%s must be %s, not %s", rule->name,
                 rule->expected, type_name(value->type));
}

static void array_begin(struct config_reader *reader)
{
    const struct config_rule *rule = reader->rule;

    reader->in_array = true;
    if (!rule)
        return;
    key_record(reader)->position = reader->config->toml.value.position;
    if (rule->forms & (CONFIG_FORM_ARRAY | CONFIG_FORM_FILLED_ARRAY))
        return;
    config_error(reader, reader->section == CONFIG_SECTION_GUEST ? reader->guest : NULL,
                 reader->config->toml.value.position, "%s must be %s, not an array", rule->name, rule->expected);
    reader->rule = NULL;
}

/* How many elements did the current key's array leave? */
static bool array_is_empty(const struct config_reader *reader)
{
    if (reader->section == CONFIG_SECTION_GUEST)
        return reader->guest->cpu_count == 0; /* `cpus` is the only one that must not be empty */
    return reader->config->console_count == 0;
}

static void array_end(struct config_reader *reader)
{
    const struct config_rule *rule = reader->rule;

    if (rule && (rule->forms & CONFIG_FORM_FILLED_ARRAY) && !reader->value_bad && array_is_empty(reader))
        config_error(reader, reader->section == CONFIG_SECTION_GUEST ? reader->guest : NULL,
                     key_record(reader)->position, "%s is empty; it must be %s", rule->name, rule->expected);
}

/* A value or a line was reported; at a line without a key, one that must be there may be lost. */
static void bad_read(struct config_reader *reader, bool inside_key)
{
    reader->value_bad = true;
    if (!inside_key && reader->section == CONFIG_SECTION_GUEST)
        reader->excused[reader->guest - reader->config->guests] = UINT32_MAX;
}

static void document_read(struct config_reader *reader)
{
    struct toml *toml = &reader->config->toml;
    bool inside_key = false;

    for (;;) {
        switch (toml_next(toml)) {
        case TOML_END: return;
        case TOML_TABLE: table_begin(reader); break;
        case TOML_TABLE_BAD:
            reader->section = CONFIG_SECTION_SKIPPED;
            reader->table_bad = true;
            break;
        case TOML_KEY:
            key_begin(reader);
            inside_key = true;
            continue;
        case TOML_SCALAR: scalar_read(reader); break;
        case TOML_ARRAY: array_begin(reader); continue;
        case TOML_ARRAY_END:
            array_end(reader);
            reader->in_array = false;
            break;
        case TOML_BAD: bad_read(reader, inside_key); break;
        }
        inside_key = inside_key && reader->in_array;
    }
}

int config_parse(const char *file_name, const char *text, size_t size, const char *const *device_names,
                 struct config *config, struct diagnostics *diagnostics)
{
    struct config_reader reader;
    unsigned errors_before = diagnostics->errors;

    memset(config, 0, sizeof(*config));
    memset(&reader, 0, sizeof(reader));
    reader.file = file_name;
    reader.device_names = device_names;
    reader.config = config;
    reader.diagnostics = diagnostics;
    reader.table_bad = size > TOML_SIZE_MAX; /* it is not read: who knows what it holds */
    diagnostics_hold(diagnostics);
    toml_begin(&config->toml, file_name, text, size, diagnostics);
    document_read(&reader);
    config_check(&reader);
    config_check_not_yet(&reader);
    diagnostics_release(diagnostics, file_name);
    return diagnostics->errors == errors_before ? 0 : E_INVAL;
}

bool config_guest_names_module(const struct guest_config *guest, const char *name)
{
    bool named = strcmp(guest->kernel, name) == 0 || (guest->initrd[0] != '\0' && strcmp(guest->initrd, name) == 0);

    for (uint32_t i = 0; i < guest->module_count; i++)
        named = named || strcmp(guest->modules[i].name, name) == 0;
    return named;
}
