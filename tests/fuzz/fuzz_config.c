/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a configuration: no sanitizer may complain, the answer and the messages must agree, and what is accepted
 * must keep what config.h promises to the planner.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/virtual/registry.h"
#include "hv/config.h"

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                             \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

struct listener {
    struct diagnostics diagnostics;
    unsigned lines;
    struct config_position last;
};

/* Each message is `fuzz.toml:LINE:COLUMN: text`, printable, and stands in the order of the file. */
static void listen(struct diagnostics *diagnostics, const char *text)
{
    struct listener *listener = (struct listener *)diagnostics;
    struct config_position at;
    int length = 0;

    listener->lines++;
    REQUIRE(sscanf(text, "fuzz.toml:%u:%u: %n", &at.line, &at.column, &length) == 2 && length > 0);
    REQUIRE(text[length] != '\0' && strlen(text) < DIAGNOSTIC_LINE_SIZE);
    REQUIRE(at.line > 0 && at.column > 0);
    REQUIRE(at.line > listener->last.line || (at.line == listener->last.line && at.column >= listener->last.column));
    listener->last = at;
    for (; *text; text++)
        REQUIRE(*text >= 0x20 && *text <= 0x7e);
}

static void check_guest(const struct guest_config *guest)
{
    REQUIRE(guest->name[0] && strlen(guest->name) <= CONFIG_NAME_MAX && guest->position.line > 0);
    REQUIRE(guest->cpu_count >= 1 && guest->cpu_count <= GUEST_CPUS_MAX);
    for (uint32_t i = 0; i < guest->cpu_count; i++)
        REQUIRE(guest->cpus[i].number < CPUS_MAX && guest->cpus[i].position.line > 0);
    REQUIRE(guest->memory_bytes >= CONFIG_MEMORY_MIN && IS_ALIGNED(guest->memory_bytes, PAGE_SIZE));
    REQUIRE(guest->memory_bytes + guest->memory_base <= CONFIG_ADDRESS_LIMIT);
    REQUIRE(IS_ALIGNED(guest->memory_base, PAGE_SIZE));
    REQUIRE(guest->boot >= CONFIG_BOOT_LINUX && guest->boot <= CONFIG_BOOT_FLAT);
    REQUIRE(guest->kernel[0] && strlen(guest->kernel) <= CONFIG_MODULE_NAME_MAX);
    REQUIRE(!guest->initrd[0] == !config_guest_has(guest, CONFIG_INITRD));
    REQUIRE(guest->module_count <= CONFIG_MODULES_MAX && guest->device_count <= CONFIG_DEVICES_MAX);
    REQUIRE(strlen(guest->cmdline) <= CONFIG_CMDLINE_MAX);
    REQUIRE(guest->load_address < CONFIG_FLAT_LIMIT);
    REQUIRE(guest->apic <= CONFIG_APIC_DIRECT && guest->on_crash <= CONFIG_ON_CRASH_RESTART);
    for (unsigned key = 0; key < CONFIG_GUEST_KEYS; key++)
        REQUIRE(guest->keys[key].given == (guest->keys[key].position.line > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const device_names[] = DEVICE_NAMES;
    static struct config config;
    static struct listener listener;

    memset(&listener, 0, sizeof(listener));
    listener.diagnostics.report = listen;
    int error = config_parse("fuzz.toml", (const char *)data, size, device_names, &config, &listener.diagnostics);
    REQUIRE((error == 0) == (listener.diagnostics.errors == 0));
    REQUIRE((listener.lines == 0) == (error == 0) && listener.lines <= listener.diagnostics.errors);
    if (error)
        return 0;
    REQUIRE(config.guest_count >= 1 && config.guest_count <= GUESTS_MAX);
    REQUIRE(config.console_count <= CONFIG_CONSOLES_MAX);
    for (uint32_t i = 0; i < config.guest_count; i++)
        check_guest(&config.guests[i]);
    return 0;
}
