/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the user's file asks for: a pure function turns its text into these fixed-size structs and reports every
 * mistake that needs no machine to be seen. What depends on it (CPUs, memory, modules that are there) is hv/plan.c's.
 * Every value keeps its place in the file, so that the planner can point at it.
 */
#ifndef HV_CONFIG_H
#define HV_CONFIG_H

#include "hv/diagnostic.h"
#include "hv/toml.h"
#include "hv/types.h"

#define CONFIG_NAME_MAX        31u   /* characters of a guest's or a device's name */
#define CONFIG_MODULE_NAME_MAX 63u   /* of a boot module's name */
#define CONFIG_CMDLINE_MAX     2047u /* of a guest's command line */
#define CONFIG_MODULES_MAX     16u   /* names in `modules` */
#define CONFIG_DEVICES_MAX     32u   /* names in `devices` */
#define CONFIG_CONSOLES_MAX    4u    /* names in `console` */

#define CONFIG_MEMORY_MIN      MIB(1)    /* a PC's first megabyte is the least that any guest can start in */
#define CONFIG_ADDRESS_LIMIT   BIT(52)   /* no x86 processor has a physical address from here on */
#define CONFIG_FLAT_LIMIT      0x100000u /* load_address and entry of a real-mode guest are below */
#define CONFIG_FLAT_LOAD       0x7c00u   /* the default load_address: where a PC's firmware puts a boot sector */
#define CONFIG_WATCHDOG_MAX_NS UINT64_C(3600000000000) /* an hour */

enum config_boot {
    CONFIG_BOOT_NONE, /* only in a configuration that was refused */
    CONFIG_BOOT_LINUX,
    CONFIG_BOOT_MULTIBOOT,
    CONFIG_BOOT_FLAT,
};

enum config_apic {
    CONFIG_APIC_AUTO,
    CONFIG_APIC_VIRTUAL,
    CONFIG_APIC_DIRECT,
};

enum config_on_crash {
    CONFIG_ON_CRASH_HALT,
    CONFIG_ON_CRASH_RESTART,
};

enum config_console {
    CONFIG_CONSOLE_COM1,
    CONFIG_CONSOLE_COM2,
    CONFIG_CONSOLE_COM3,
    CONFIG_CONSOLE_COM4,
    CONFIG_CONSOLE_FRAMEBUFFER,
};

/* Was a key given, and where does its value begin (that of an array at its bracket)? */
struct config_key {
    bool given;
    struct config_position position;
};

/* The keys of [guest.NAME]; an index into guest_config.keys. */
enum config_guest_key {
    CONFIG_CPUS,
    CONFIG_MEMORY,
    CONFIG_MEMORY_BASE,
    CONFIG_BOOT,
    CONFIG_KERNEL,
    CONFIG_INITRD,
    CONFIG_MODULES,
    CONFIG_LOAD_ADDRESS,
    CONFIG_ENTRY,
    CONFIG_CMDLINE,
    CONFIG_APIC,
    CONFIG_DEVICES,
    CONFIG_ON_CRASH,
    CONFIG_WATCHDOG,
    CONFIG_ALLOW_SHARED_CORE,
    CONFIG_PCI,
    CONFIG_GUEST_KEYS,
};

/* The keys of [hypervisor]; an index into config.keys. */
enum config_hypervisor_key {
    CONFIG_CONSOLE,
    CONFIG_FOCUS,
    CONFIG_HYPERVISOR_KEYS,
};

struct config_cpu {
    uint32_t number; /* below CPUS_MAX */
    struct config_position position;
};

/* Printable ASCII without blanks and slashes, never empty. */
struct config_module {
    char name[CONFIG_MODULE_NAME_MAX + 1];
    struct config_position position;
};

struct config_device {
    char name[CONFIG_NAME_MAX + 1];
    struct config_position position;
};

/* One [guest.NAME]. A key that was not given leaves the default that stands beside its field. */
struct guest_config {
    char name[CONFIG_NAME_MAX + 1];
    struct config_position position; /* of the header's bracket */
    struct config_key keys[CONFIG_GUEST_KEYS];

    struct config_cpu cpus[GUEST_CPUS_MAX]; /* at least one; each in the whole file once */
    uint32_t cpu_count;
    uint64_t memory_bytes; /* a multiple of the page size, at least CONFIG_MEMORY_MIN */
    hpa_t memory_base;     /* 0: the planner chooses; else page-aligned and at least 1 MiB */
    uint32_t boot;         /* enum config_boot */
    char kernel[CONFIG_MODULE_NAME_MAX + 1];
    char initrd[CONFIG_MODULE_NAME_MAX + 1];          /* "": none (linux) */
    struct config_module modules[CONFIG_MODULES_MAX]; /* multiboot */
    uint32_t module_count;
    uint32_t load_address;                            /* CONFIG_FLAT_LOAD (flat) */
    uint16_t entry_segment, entry_offset;             /* 0:load_address (flat) */
    char cmdline[CONFIG_CMDLINE_MAX + 1];             /* "" (linux, multiboot); without control characters */
    uint32_t apic;                                    /* enum config_apic; auto */
    struct config_device devices[CONFIG_DEVICES_MAX]; /* only when the key was given; else the whole PC */
    uint32_t device_count;
    uint32_t on_crash;      /* enum config_on_crash; halt */
    uint64_t watchdog_ns;   /* 0: none */
    bool allow_shared_core; /* false */
};

/* About 64 KiB: keep it in static memory. */
struct config {
    struct config_key keys[CONFIG_HYPERVISOR_KEYS];
    uint32_t consoles[CONFIG_CONSOLES_MAX]; /* enum config_console, no two the same */
    uint32_t console_count;                 /* 0: not given */
    char focus[CONFIG_NAME_MAX + 1];        /* "": not given; "all" or the name of a guest */
    struct guest_config guests[GUESTS_MAX]; /* in the order of the file */
    uint32_t guest_count;                   /* at least one */
    struct toml toml;                       /* the parser's room; of no use to anyone else */
};

/*
 * Read the file `file_name` (its name in messages) with `size` bytes at `text`, which need not end in a zero.
 * `device_names` are those that `devices` may use, NULL behind the last. Each error is reported, in the order of their
 * lines. 0; or E_INVAL after at least one report, and `config` must not be used.
 */
int config_parse(const char *file_name, const char *text, size_t size, const char *const *device_names,
                 struct config *config, struct diagnostics *diagnostics);

/* The name of an enum config_console, as the file has it. */
const char *config_console_name(uint32_t console);

/* Is that module, by its name, the guest's kernel or one that it gets with it? */
bool config_guest_names_module(const struct guest_config *guest, const char *name);

/* Was that key given for the guest? */
static inline bool config_guest_has(const struct guest_config *guest, enum config_guest_key key)
{
    return guest->keys[key].given;
}

#endif
