/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the loader told us, in one neutral form: only boot/multiboot.c knows the boot protocols.
 */
#ifndef HV_BOOT_INFO_H
#define HV_BOOT_INFO_H

#include "hv/types.h"

#define BOOT_MEMORY_RANGES_MAX 128u
#define BOOT_NAME_SIZE         64u
#define BOOT_COMMAND_LINE_SIZE 1024u
#define BOOT_STRING_SIZE       256u

enum boot_memory_type {
    BOOT_MEMORY_RAM = 1, /* the numbers are those of ACPI 6.4, section 15 "System Address Map Interfaces" */
    BOOT_MEMORY_RESERVED = 2,
    BOOT_MEMORY_ACPI = 3,
    BOOT_MEMORY_NVS = 4,
    BOOT_MEMORY_BAD = 5,
};

struct boot_memory_range {
    hpa_t base;
    uint64_t size;
    uint32_t type; /* enum boot_memory_type; any other number counts as reserved */
};

struct boot_module {
    hpa_t base;
    uint64_t size;
    char name[BOOT_NAME_SIZE];     /* base name of the last word of the module's string */
    bool name_cut;                 /* the name did not fit */
    char string[BOOT_STRING_SIZE]; /* the whole string, cut where it does not fit */
};

struct boot_info {
    const char *protocol; /* "multiboot 1", "multiboot 2" */
    char loader[BOOT_NAME_SIZE];
    char command_line[BOOT_COMMAND_LINE_SIZE];
    struct boot_memory_range memory[BOOT_MEMORY_RANGES_MAX];
    uint32_t memory_count;
    struct boot_module modules[MODULES_MAX];
    uint32_t module_count;
    bool modules_cut; /* the loader brought more than MODULES_MAX */
    uint8_t rsdp[36]; /* a copy of the RSDP, when rsdp_size is not 0 */
    uint32_t rsdp_size;
};

/* Add a module with the string that the loader gave it (cut, counted and named by the rules above). */
void boot_module_add(struct boot_info *info, hpa_t base, uint64_t size, const char *string);

/* Add a range of the memory map; empty and wrapping ones are left out. */
void boot_memory_add(struct boot_info *info, hpa_t base, uint64_t size, uint32_t type);

/* The first module whose name ends in ".toml", or NULL. */
const struct boot_module *boot_module_config(const struct boot_info *info);

/* The module of that name, or NULL. */
const struct boot_module *boot_module_find(const struct boot_info *info, const char *name);

#endif
