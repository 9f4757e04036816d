/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the keys of a configuration mean together: those that must be there, those that exclude each other, and CPUs
 * that two guests want.
 */
#include "hv/config_reader.h"
#include "hv/similar.h"
#include "hv/string.h"

static void check_required_keys(struct config_reader *reader, const struct guest_config *guest)
{
    static const struct {
        enum config_guest_key key;
        const char *example;
    } required[] = {
        {CONFIG_CPUS, "cpus = [0]"},
        {CONFIG_MEMORY, "memory = \"512M\""},
        {CONFIG_BOOT, "boot = \"linux\" (or \"multiboot\", \"flat\")"},
        {CONFIG_KERNEL, "kernel = \"vmlinuz\", the name of a boot module"},
    };
    uint32_t excused = reader->excused[guest - reader->config->guests];

    for (size_t i = 0; i < ARRAY_SIZE(required); i++) {
        if (!guest->keys[required[i].key].given && !(excused & BIT(required[i].key)))
            config_error(reader, guest, guest->position, "key \"%s\" is missing; write for example %s",
                         config_guest_rules[required[i].key].name, required[i].example);
    }
}

/* Keys that only some kinds of boot know; `advice` by enum config_boot, NULL where the key is right. */
static void check_boot_keys(struct config_reader *reader, const struct guest_config *guest)
{
    static const char *const boots[] = {"", "linux", "multiboot", "flat"};
    static const struct {
        enum config_guest_key key;
        const char *advice[4];
    } rules[] = {
        {CONFIG_INITRD,
         {NULL, NULL, "write modules = [\"NAME\"]", "such a guest loads its kernel only; remove the key"}},
        {CONFIG_MODULES, {NULL, "write initrd = \"NAME\"", NULL, "such a guest loads its kernel only; remove the key"}},
        {CONFIG_CMDLINE, {NULL, NULL, NULL, "such a guest gets no command line; remove the key"}},
        {CONFIG_LOAD_ADDRESS,
         {NULL, "the kernel's image says where it goes; remove the key",
          "the kernel's image says where it goes; remove the key", NULL}},
        {CONFIG_ENTRY,
         {NULL, "the kernel's image says where it begins; remove the key",
          "the kernel's image says where it begins; remove the key", NULL}},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        const struct config_key *key = &guest->keys[rules[i].key];
        const char *advice = rules[i].advice[guest->boot];
        if (key->given && advice)
            config_error(reader, guest, key->position, "%s does not go with boot = \"%s\"; %s",
                         config_guest_rules[rules[i].key].name, boots[guest->boot], advice);
    }
}

/* A flat guest's defaults, once it is known to be one. */
static void complete_flat(struct config_reader *reader, struct guest_config *guest)
{
    if (guest->boot != CONFIG_BOOT_FLAT)
        return;
    if (!guest->keys[CONFIG_LOAD_ADDRESS].given)
        guest->load_address = CONFIG_FLAT_LOAD;
    if (guest->keys[CONFIG_ENTRY].given)
        return;
    guest->entry_segment = 0;
    guest->entry_offset = (uint16_t)guest->load_address;
    if (guest->load_address > UINT16_MAX)
        config_error(reader, guest, guest->keys[CONFIG_LOAD_ADDRESS].position,
                     "above 0xffff load_address needs an entry beside it; write entry = \"%x:%04x\"",
                     guest->load_address >> 4 & 0xf000u, guest->load_address & 0xffffu);
}

static void check_memory_end(struct config_reader *reader, const struct guest_config *guest)
{
    if (guest->memory_base > CONFIG_ADDRESS_LIMIT - guest->memory_bytes)
        config_error(reader, guest, guest->keys[CONFIG_MEMORY_BASE].position,
                     "memory_base + memory is above 2^52, the most that a processor can address");
}

/* Is the CPU claimed once more, by an earlier element of the file? */
static void check_cpu(struct config_reader *reader, const struct guest_config *guest, const struct config_cpu *cpu)
{
    for (const struct guest_config *other = reader->config->guests; other <= guest; other++) {
        for (uint32_t i = 0; i < other->cpu_count; i++) {
            const struct config_cpu *earlier = &other->cpus[i];
            if (earlier == cpu)
                return;
            if (earlier->number != cpu->number)
                continue;
            if (other == guest)
                config_error(reader, guest, cpu->position, "CPU %u is there twice; name each CPU once", cpu->number);
            else
                config_error(reader, guest, cpu->position, "CPU %u already belongs to guest \"%s\" (line %u)",
                             cpu->number, other->name, earlier->position.line);
            return;
        }
    }
}

static void check_focus(struct config_reader *reader)
{
    const struct config *config = reader->config;
    struct sentence names = {.length = 0};
    struct similar similar;

    if (config->focus[0] == '\0' || strcmp(config->focus, "all") == 0 || reader->table_bad || config->guest_count == 0)
        return;
    similar_begin(&similar, config->focus, strlen(config->focus));
    similar_offer(&similar, "all");
    for (uint32_t i = 0; i < config->guest_count; i++) {
        if (strcmp(config->guests[i].name, config->focus) == 0)
            return;
        similar_offer(&similar, config->guests[i].name);
        sentence_add(&names, "%s \"%s\"",
                     i == 0                         ? ""
                     : i + 1 == config->guest_count ? " or"
                                                    : ",",
                     config->guests[i].name);
    }
    if (similar.best)
        config_error(reader, NULL, config->keys[CONFIG_FOCUS].position,
                     "focus \"%s\": there is no such guest; did you mean \"%s\"?", config->focus, similar.best);
    else
        config_error(reader, NULL, config->keys[CONFIG_FOCUS].position,
                     "focus \"%s\": there is no such guest; write \"all\", or the name of a guest, which is%s",
                     config->focus, names.text);
}

void config_check(struct config_reader *reader)
{
    struct config *config = reader->config;
    const struct config_position start = {1, 1};

    if (config->guest_count == 0 && !reader->table_bad)
        config_error(reader, NULL, start,
                     "there is no guest; write a table [guest.NAME] with the keys cpus, memory, boot and kernel");
    for (uint32_t i = 0; i < config->guest_count; i++) {
        struct guest_config *guest = &config->guests[i];
        check_required_keys(reader, guest);
        check_boot_keys(reader, guest);
        complete_flat(reader, guest);
        check_memory_end(reader, guest);
        for (uint32_t cpu = 0; cpu < guest->cpu_count; cpu++)
            check_cpu(reader, guest, &guest->cpus[cpu]);
    }
    check_focus(reader);
}
