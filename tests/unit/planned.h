/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests of the planner: a machine that is described here, guests that are each read from a text of their own, so
 * that a case names only what it is about, and what is expected of their plan.
 */
#ifndef TESTS_UNIT_PLANNED_H
#define TESTS_UNIT_PLANNED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv/error.h"
#include "hv/plan.h"

static struct boot_info boot;
static struct plan_machine machine;
static struct config config;
static struct plan plan;
static struct diagnostics diagnostics;
static char output[1 << 14];

static inline void report(struct diagnostics *self, const char *line)
{
    (void)self;
    strcat(output, line);
    strcat(output, "\n");
}

static const char *const device_names[] = {"uart", "pic", "pit", NULL};

static inline void reserve(hpa_t base, uint64_t size, const char *what)
{
    machine.reserved[machine.reserved_count++] = (struct plan_reserved){base, size, what};
}

/* Four CPUs, 1 GiB of which 126 MiB-1008 MiB are in one piece, three modules. */
static inline int small_machine(void **state)
{
    (void)state;
    memset(&boot, 0, sizeof(boot));
    memset(&machine, 0, sizeof(machine));
    memset(&config, 0, sizeof(config));
    boot_memory_add(&boot, MIB(1), MIB(1023), BOOT_MEMORY_RAM);
    boot_memory_add(&boot, MIB(1008), MIB(16), BOOT_MEMORY_ACPI);
    boot_memory_add(&boot, 0, 0x9fc00, BOOT_MEMORY_RAM);
    boot_memory_add(&boot, 0x9fc00, 0x400, BOOT_MEMORY_RESERVED);
    boot_memory_add(&boot, 0xfffc0000, 0x40000, BOOT_MEMORY_RESERVED);
    boot_module_add(&boot, MIB(100), MIB(8), "a/vmlinuz");
    boot_module_add(&boot, MIB(110), MIB(16) - 5, "initramfs");
    boot_module_add(&boot, MIB(109) + 1, 300, "f.toml");
    machine.boot = &boot;
    machine.cpu_count = 4;
    reserve(0, MIB(1), "the first megabyte");
    reserve(MIB(1), MIB(3), "the hypervisor's image");
    reserve(MIB(4), MIB(16), "the page pool");
    return 0;
}

/* 64 GiB: 3 GiB below the hole, the rest from 4 GiB on. */
static inline void large_machine(void)
{
    boot.memory_count = 0;
    boot_memory_add(&boot, 0, GIB(3), BOOT_MEMORY_RAM);
    boot_memory_add(&boot, GIB(4), GIB(61), BOOT_MEMORY_RAM);
}

/* Add the one guest of a text. `keys` stand from line 3 on. */
static inline void add_guest(const char *name, const char *keys)
{
    static struct config one;
    char text[2000];

    memset(&diagnostics, 0, sizeof(diagnostics));
    diagnostics.report = report;
    output[0] = '\0';
    snprintf(text, sizeof(text), "[guest.%s]\nboot = \"%s\"\n%s", name, strstr(keys, "modules") ? "multiboot" : "linux",
             keys);
    config_parse("f.toml", text, strlen(text), device_names, &one, &diagnostics);
    assert_string_equal(output, "");
    assert_true(config.guest_count < GUESTS_MAX);
    config.guests[config.guest_count++] = one.guests[0];
}

static inline void add_guest_of(const char *name, unsigned cpu, const char *memory)
{
    char keys[200];

    snprintf(keys, sizeof(keys), "cpus = [%u]\nmemory = \"%s\"\nkernel = \"vmlinuz\"\n", cpu, memory);
    add_guest(name, keys);
}

static inline int run(void)
{
    memset(&plan, 0xa5, sizeof(plan));
    memset(&diagnostics, 0, sizeof(diagnostics));
    diagnostics.report = report;
    output[0] = '\0';
    int error = plan_make("f.toml", &config, &machine, &plan, &diagnostics);
    assert_int_equal(error, diagnostics.errors == 0 ? 0 : E_INVAL);
    return error;
}

static inline void expect_refusal(const char *messages)
{
    assert_int_equal(run(), E_INVAL);
    assert_string_equal(output, messages);
}

static inline void expect_piece(uint32_t guest, uint32_t piece, hpa_t base, uint64_t size)
{
    assert_in_range(piece, 0, plan.guests[guest].piece_count - 1);
    assert_int_equal(plan.guests[guest].pieces[piece].base, base);
    assert_int_equal(plan.guests[guest].pieces[piece].end, base + size);
}

static inline void expect_ram(const struct guest_ram *ram, gpa_t base, hpa_t host, uint64_t size)
{
    assert_int_equal(ram->base, base);
    assert_int_equal(ram->host, host);
    assert_int_equal(ram->size, size);
}

#endif
