/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The grammar is complete, the hypervisor is not: whatever a configuration may say but this version does not do is
 * refused here, and nowhere else. A feature that arrives takes its lines out of this file.
 */
#include "hv/config_reader.h"
#include "hv/string.h"

bool config_table_is_not_yet(struct config_reader *reader, const struct toml_name *name,
                             struct config_position position)
{
    static const struct {
        const char *name;
        const char *feature;
    } tables[] = {
        {"shmem", "memory that guests share"},
        {"net", "networks between guests"},
        {"disk", "disks for guests"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        if (name->length != strlen(tables[i].name) || memcmp(name->text, tables[i].name, name->length) != 0)
            continue;
        config_error(reader, NULL, position, "not yet supported: %s (remove the table [%s])", tables[i].feature,
                     tables[i].name);
        return true;
    }
    return false;
}

bool config_is_not_yet(const char *key, const char *value)
{
    static const struct {
        const char *key;
        const char *value; /* NULL: any */
    } refused[] = {{"console", "framebuffer"}, {"apic", "direct"}, {"pci", NULL}};

    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        if (strcmp(refused[i].key, key) == 0 &&
            (refused[i].value == NULL || (value != NULL && strcmp(refused[i].value, value) == 0)))
            return true;
    }
    return false;
}

static void check_guest(struct config_reader *reader, const struct guest_config *guest)
{
    const struct config_key *keys = guest->keys;

    if (guest->apic == CONFIG_APIC_DIRECT)
        config_error(reader, NULL, keys[CONFIG_APIC].position,
                     "not yet supported: apic = \"direct\" (guest \"%s\"; write \"auto\" or \"virtual\")", guest->name);
    if (keys[CONFIG_PCI].given)
        config_error(reader, NULL, keys[CONFIG_PCI].position, "not yet supported: pci (guest \"%s\"; remove the key)",
                     guest->name);
}

void config_check_not_yet(struct config_reader *reader)
{
    const struct config *config = reader->config;

    for (uint32_t i = 0; i < config->console_count; i++) {
        if (config->consoles[i] == CONFIG_CONSOLE_FRAMEBUFFER)
            config_error(reader, NULL, config->keys[CONFIG_CONSOLE].position,
                         "not yet supported: console = \"framebuffer\" (write \"com1\")");
    }
    for (uint32_t i = 0; i < config->guest_count; i++)
        check_guest(reader, &config->guests[i]);
}
