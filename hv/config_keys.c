/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every key of a configuration: its name, the form of its value, and where the value goes.
 */
#include "hv/config_reader.h"
#include "hv/config_value.h"
#include "hv/similar.h"
#include "hv/string.h"

/* One of the words that a key takes. Those that are not yet supported come last. */
struct choice {
    const char *word;
    uint32_t meaning;
};

static const struct guest_config *reader_guest(const struct config_reader *reader)
{
    return reader->section == CONFIG_SECTION_GUEST ? reader->guest : NULL;
}

/* The value is a string of a right form with a wrong content. */
static void value_is_bad(struct config_reader *reader, const struct toml_value *value, const char *fault)
{
    struct diagnostic_excerpt excerpt = diagnostic_excerpt(value->text, value->length);

    reader->value_bad = true;
    config_error(reader, reader_guest(reader), value->position, "%s \"%s\": %s", reader->rule->name, excerpt.text,
                 fault);
}

/* A string that fits: without zeros, shorter than the field; the checks have seen to that. */
static void text_store(char *field, const struct toml_value *value)
{
    memcpy(field, value->text, value->length);
    field[value->length] = '\0';
}

static bool choice_store(struct config_reader *reader, const struct toml_value *value, const struct choice *choices,
                         size_t count, uint32_t *meaning)
{
    struct sentence fault = {.length = 0};
    struct similar similar;
    size_t last = count - 1;

    while (last > 0 && config_is_not_yet(reader->rule->name, choices[last].word))
        last--;
    similar_begin(&similar, value->text, value->length);
    for (size_t i = 0; i < count; i++) {
        if (value->length == strlen(choices[i].word) && memcmp(value->text, choices[i].word, value->length) == 0) {
            *meaning = choices[i].meaning;
            return true;
        }
        if (i <= last)
            similar_offer(&similar, choices[i].word);
    }
    sentence_add(&fault, "it must be \"%s\"", choices[0].word);
    for (size_t i = 1; i <= last; i++)
        sentence_add(&fault, "%s\"%s\"", i == last ? " or " : ", ", choices[i].word);
    if (similar.best)
        sentence_add(&fault, "; did you mean \"%s\"?", similar.best);
    value_is_bad(reader, value, fault.text);
    return false;
}

static const struct choice consoles[] = {
    {"com1", CONFIG_CONSOLE_COM1},
    {"com2", CONFIG_CONSOLE_COM2},
    {"com3", CONFIG_CONSOLE_COM3},
    {"com4", CONFIG_CONSOLE_COM4},
    {"framebuffer", CONFIG_CONSOLE_FRAMEBUFFER},
};

const char *config_console_name(uint32_t console)
{
    for (size_t i = 0; i < ARRAY_SIZE(consoles); i++) {
        if (consoles[i].meaning == console)
            return consoles[i].word;
    }
    return "";
}

static void console_store(struct config_reader *reader, const struct toml_value *value)
{
    struct config *config = reader->config;
    uint32_t console;

    if (!choice_store(reader, value, consoles, ARRAY_SIZE(consoles), &console))
        return;
    for (uint32_t i = 0; i < config->console_count; i++) {
        if (config->consoles[i] == console) {
            value_is_bad(reader, value, "it is there twice; name each console once");
            return;
        }
    }
    if (config->console_count == CONFIG_CONSOLES_MAX) {
        value_is_bad(reader, value, "there are more than 4 consoles, which are the most");
        return;
    }
    config->consoles[config->console_count++] = console;
}

static void focus_store(struct config_reader *reader, const struct toml_value *value)
{
    bool is_all = value->length == 3 && memcmp(value->text, "all", 3) == 0;
    const char *fault = is_all ? NULL : config_guest_name_check(value->text, value->length);

    if (fault)
        value_is_bad(reader, value, fault);
    else
        text_store(reader->config->focus, value);
}

static void cpus_store(struct config_reader *reader, const struct toml_value *value)
{
    struct guest_config *guest = reader->guest;

    if (value->integer < 0 || value->integer >= CPUS_MAX) {
        reader->value_bad = true;
        config_error(reader, guest, value->position, "there is no CPU %lld; CPUs are numbered from 0 to %u",
                     (long long)value->integer, CPUS_MAX - 1);
        return;
    }
    if (guest->cpu_count == GUEST_CPUS_MAX) {
        if (!reader->value_bad)
            config_error(reader, guest, value->position, "cpus has more than %u elements, which are the most",
                         GUEST_CPUS_MAX);
        reader->value_bad = true;
        return;
    }
    guest->cpus[guest->cpu_count].number = (uint32_t)value->integer;
    guest->cpus[guest->cpu_count++].position = value->position;
}

/* A string or an integer into bytes. False when it was reported. */
static bool size_read(struct config_reader *reader, const struct toml_value *value, uint64_t *bytes)
{
    if (value->type == TOML_STRING) {
        const char *fault = config_size_parse(value->text, value->length, bytes);
        if (fault)
            value_is_bad(reader, value, fault);
        return !fault;
    }
    *bytes = (uint64_t)value->integer;
    if (value->integer > 0 && *bytes < CONFIG_ADDRESS_LIMIT)
        return true;
    config_error(reader, reader->guest, value->position, "%s %lld: it must be %s", reader->rule->name,
                 (long long)value->integer,
                 value->integer > 0 ? "below 2^52, the most that a processor can address" : reader->rule->expected);
    return false;
}

/* Both memory keys take whole pages from 1 MiB up. */
static bool pages_read(struct config_reader *reader, const struct toml_value *value, uint64_t *bytes)
{
    if (!size_read(reader, value, bytes))
        return false;
    if (*bytes < CONFIG_MEMORY_MIN)
        config_error(reader, reader->guest, value->position, "%s is %llu bytes; it must be at least \"1M\" (%llu)",
                     reader->rule->name, (unsigned long long)*bytes, (unsigned long long)CONFIG_MEMORY_MIN);
    else if (!IS_ALIGNED(*bytes, PAGE_SIZE))
        config_error(reader, reader->guest, value->position,
                     "%s is %llu bytes; it must be a multiple of %u, such as %llu", reader->rule->name,
                     (unsigned long long)*bytes, PAGE_SIZE, (unsigned long long)ALIGN_DOWN(*bytes, PAGE_SIZE));
    else
        return true;
    return false;
}

static void memory_store(struct config_reader *reader, const struct toml_value *value)
{
    uint64_t bytes;

    if (pages_read(reader, value, &bytes))
        reader->guest->memory_bytes = bytes;
}

static void memory_base_store(struct config_reader *reader, const struct toml_value *value)
{
    uint64_t bytes;

    if (pages_read(reader, value, &bytes))
        reader->guest->memory_base = bytes;
}

static void boot_store(struct config_reader *reader, const struct toml_value *value)
{
    static const struct choice choices[] = {
        {"linux", CONFIG_BOOT_LINUX},
        {"multiboot", CONFIG_BOOT_MULTIBOOT},
        {"flat", CONFIG_BOOT_FLAT},
    };

    choice_store(reader, value, choices, ARRAY_SIZE(choices), &reader->guest->boot);
}

/* `field` has CONFIG_MODULE_NAME_MAX + 1 bytes. False when it was reported. */
static bool module_name_store(struct config_reader *reader, const struct toml_value *value, char *field)
{
    const char *fault = config_module_name_check(value->text, value->length);

    if (fault)
        value_is_bad(reader, value, fault);
    else
        text_store(field, value);
    return !fault;
}

static void kernel_store(struct config_reader *reader, const struct toml_value *value)
{
    module_name_store(reader, value, reader->guest->kernel);
}

static void initrd_store(struct config_reader *reader, const struct toml_value *value)
{
    module_name_store(reader, value, reader->guest->initrd);
}

static void modules_store(struct config_reader *reader, const struct toml_value *value)
{
    struct guest_config *guest = reader->guest;

    if (guest->module_count == CONFIG_MODULES_MAX) {
        if (!reader->value_bad)
            config_error(reader, guest, value->position, "modules has more than %u elements, which are the most",
                         CONFIG_MODULES_MAX);
        reader->value_bad = true;
        return;
    }
    struct config_module *module = &guest->modules[guest->module_count];
    if (!module_name_store(reader, value, module->name))
        return;
    module->position = value->position;
    guest->module_count++;
}

static void load_address_store(struct config_reader *reader, const struct toml_value *value)
{
    if (value->integer < 0 || value->integer >= CONFIG_FLAT_LIMIT)
        config_error(reader, reader->guest, value->position,
                     "load_address %lld: it must be from 0 to 0xfffff, such as 0x7c00", (long long)value->integer);
    else
        reader->guest->load_address = (uint32_t)value->integer;
}

static void entry_store(struct config_reader *reader, const struct toml_value *value)
{
    struct guest_config *guest = reader->guest;
    const char *fault = config_entry_parse(value->text, value->length, &guest->entry_segment, &guest->entry_offset);

    if (fault)
        value_is_bad(reader, value, fault);
}

static void cmdline_store(struct config_reader *reader, const struct toml_value *value)
{
    const char *fault = config_cmdline_check(value->text, value->length);

    if (fault)
        value_is_bad(reader, value, fault);
    else
        text_store(reader->guest->cmdline, value);
}

static void apic_store(struct config_reader *reader, const struct toml_value *value)
{
    static const struct choice choices[] = {
        {"auto", CONFIG_APIC_AUTO},
        {"virtual", CONFIG_APIC_VIRTUAL},
        {"direct", CONFIG_APIC_DIRECT},
    };

    choice_store(reader, value, choices, ARRAY_SIZE(choices), &reader->guest->apic);
}

/* False when it was reported. */
static bool device_is_known(struct config_reader *reader, const struct toml_value *value)
{
    struct diagnostic_excerpt excerpt = diagnostic_excerpt(value->text, value->length);
    struct sentence sentence = {.length = 0};
    struct similar similar;

    similar_begin(&similar, value->text, value->length);
    for (const char *const *name = reader->device_names; *name != NULL; name++) {
        if (value->length == strlen(*name) && memcmp(value->text, *name, value->length) == 0)
            return true;
        similar_offer(&similar, *name);
    }
    if (similar.best)
        sentence_add(&sentence, "did you mean \"%s\"? ", similar.best);
    sentence_add(&sentence, "the devices are");
    for (const char *const *name = reader->device_names; *name != NULL; name++)
        sentence_add(&sentence, "%s \"%s\"", name == reader->device_names ? "" : ",", *name);
    config_error(reader, reader->guest, value->position, "there is no device \"%s\"; %s", excerpt.text, sentence.text);
    return false;
}

static void devices_store(struct config_reader *reader, const struct toml_value *value)
{
    struct guest_config *guest = reader->guest;

    if (!device_is_known(reader, value))
        return;
    for (uint32_t i = 0; i < guest->device_count; i++) {
        if (strcmp(guest->devices[i].name, value->text) == 0) {
            value_is_bad(reader, value, "it is there twice; name each device once");
            return;
        }
    }
    if (guest->device_count == CONFIG_DEVICES_MAX) {
        if (!reader->value_bad)
            config_error(reader, guest, value->position, "devices has more than %u elements, which are the most",
                         CONFIG_DEVICES_MAX);
        reader->value_bad = true;
        return;
    }
    struct config_device *device = &guest->devices[guest->device_count++];
    text_store(device->name, value);
    device->position = value->position;
}

static void on_crash_store(struct config_reader *reader, const struct toml_value *value)
{
    static const struct choice choices[] = {
        {"halt", CONFIG_ON_CRASH_HALT},
        {"restart", CONFIG_ON_CRASH_RESTART},
    };

    choice_store(reader, value, choices, ARRAY_SIZE(choices), &reader->guest->on_crash);
}

static void watchdog_store(struct config_reader *reader, const struct toml_value *value)
{
    const char *fault = config_duration_parse(value->text, value->length, &reader->guest->watchdog_ns);

    if (fault)
        value_is_bad(reader, value, fault);
}

static void allow_shared_core_store(struct config_reader *reader, const struct toml_value *value)
{
    reader->guest->allow_shared_core = value->boolean;
}

/* A key that is refused wherever it stands (config_not_yet.c): its value is not looked at. */
static void nothing_store(struct config_reader *reader, const struct toml_value *value)
{
    (void)reader;
    (void)value;
}

enum {
    STRING = CONFIG_FORM_STRING,
    INTEGER = CONFIG_FORM_INTEGER,
    BOOLEAN = CONFIG_FORM_BOOLEAN,
    ARRAY = CONFIG_FORM_ARRAY,
    FILLED_ARRAY = CONFIG_FORM_FILLED_ARRAY,
    ANY = STRING | INTEGER | BOOLEAN,
};

const struct config_rule config_guest_rules[CONFIG_GUEST_KEYS] = {
    [CONFIG_CPUS] = {"cpus", FILLED_ARRAY, INTEGER, "an array of integers such as [1]", cpus_store},
    [CONFIG_MEMORY] = {"memory", STRING | INTEGER, 0, "a size such as \"512M\"", memory_store},
    [CONFIG_MEMORY_BASE] = {"memory_base", STRING | INTEGER, 0, "an address such as 0x40000000", memory_base_store},
    [CONFIG_BOOT] = {"boot", STRING, 0, "\"linux\", \"multiboot\" or \"flat\"", boot_store},
    [CONFIG_KERNEL] = {"kernel", STRING, 0, "the name of a boot module such as \"vmlinuz\"", kernel_store},
    [CONFIG_INITRD] = {"initrd", STRING, 0, "the name of a boot module such as \"initramfs\"", initrd_store},
    [CONFIG_MODULES] = {"modules", ARRAY, STRING, "an array of names of boot modules such as [\"a\", \"b\"]",
                        modules_store},
    [CONFIG_LOAD_ADDRESS] = {"load_address", INTEGER, 0, "an integer such as 0x7c00", load_address_store},
    [CONFIG_ENTRY] = {"entry", STRING, 0, "a string CS:IP such as \"0000:7c00\"", entry_store},
    [CONFIG_CMDLINE] = {"cmdline", STRING, 0, "a string such as \"console=ttyS0\"", cmdline_store},
    [CONFIG_APIC] = {"apic", STRING, 0, "\"auto\" or \"virtual\"", apic_store},
    [CONFIG_DEVICES] = {"devices", ARRAY, STRING, "an array of names such as [\"uart\"]", devices_store},
    [CONFIG_ON_CRASH] = {"on_crash", STRING, 0, "\"halt\" or \"restart\"", on_crash_store},
    [CONFIG_WATCHDOG] = {"watchdog", STRING, 0, "a duration such as \"5s\"", watchdog_store},
    [CONFIG_ALLOW_SHARED_CORE] = {"allow_shared_core", BOOLEAN, 0, "true or false", allow_shared_core_store},
    [CONFIG_PCI] = {"pci", ANY | ARRAY, ANY, "", nothing_store},
};

const struct config_rule config_hypervisor_rules[CONFIG_HYPERVISOR_KEYS] = {
    [CONFIG_CONSOLE] = {"console", STRING | FILLED_ARRAY, STRING, "\"com1\" or an array such as [\"com1\", \"com2\"]",
                        console_store},
    [CONFIG_FOCUS] = {"focus", STRING, 0, "\"all\" or the name of a guest", focus_store},
};
