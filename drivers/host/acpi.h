/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the host's ACPI tables say: processors, interrupt controllers, and how to switch the machine off. Parsing is
 * pure, over a reader, so that tests and fuzzers drive it.
 */
#ifndef DRIVERS_HOST_ACPI_H
#define DRIVERS_HOST_ACPI_H

#include "hv/types.h"

#define ACPI_IOAPICS_MAX   16u
#define ACPI_OVERRIDES_MAX 24u
#define ACPI_MEMORY_MAX    64u
#define ACPI_DOMAIN_NONE   UINT32_MAX

struct acpi_reader {
    /* `size` bytes of firmware memory, to be read only; NULL when they cannot be had. Stays valid while the tables are
     * parsed. */
    const void *(*map)(hpa_t address, uint64_t size);
};

/* A register as a Generic Address Structure describes it. ACPI 6.4, "Generic Address Structure". */
enum acpi_space {
    ACPI_SPACE_MEMORY = 0,
    ACPI_SPACE_PORT = 1,
    ACPI_SPACE_PCI = 2, /* bus 0: device << 32 | function << 16 | offset */
};

struct acpi_register {
    uint8_t space; /* enum acpi_space; others are not used */
    uint8_t bits;  /* width */
    uint64_t address;
};

struct acpi_ioapic {
    uint8_t id;
    hpa_t address;
    uint32_t first_gsi;
};

/* An ISA interrupt that arrives elsewhere, or otherwise. ACPI 6.4, "Interrupt Source Override Structure". */
struct acpi_override {
    uint8_t irq;
    uint16_t flags;
    uint32_t gsi;
};

/* Memory of one proximity domain. ACPI 6.4, "Memory Affinity Structure". */
struct acpi_memory {
    hpa_t base;
    uint64_t size; /* not 0; the end is at most 2^52 */
    uint32_t domain;
};

struct acpi_machine {
    /* MADT */
    uint32_t cpus[CPUS_MAX]; /* APIC ids of enabled processors, in the table's order, none twice */
    uint32_t cpu_count;      /* 0 without a MADT */
    uint32_t cpus_beyond_limit;
    struct acpi_ioapic ioapics[ACPI_IOAPICS_MAX];
    uint32_t ioapic_count;
    struct acpi_override overrides[ACPI_OVERRIDES_MAX];
    uint32_t override_count;

    /* SRAT */
    bool has_srat;
    uint32_t cpu_domains[CPUS_MAX];             /* of cpus[], ACPI_DOMAIN_NONE where none is told */
    struct acpi_memory memory[ACPI_MEMORY_MAX]; /* in the table's order; ranges may overlap */
    uint32_t memory_count;

    /* FADT */
    bool has_fadt;
    bool hardware_reduced;
    uint16_t pm1a_control; /* ports; 0: there is none */
    uint16_t pm1b_control;
    uint16_t pm_timer;
    uint16_t smi_command;
    uint8_t acpi_enable; /* the byte for smi_command; 0: ACPI mode is always on */
    bool has_reset;
    struct acpi_register reset;
    uint8_t reset_value;
    struct acpi_register sleep_control; /* address 0: there is none */
    struct acpi_register sleep_status;

    /* \_S5 of the DSDT or an SSDT */
    bool has_s5;
    uint8_t s5_type_a;
    uint8_t s5_type_b;

    hpa_t hpet_base;  /* 0: no HPET table */
    hpa_t pci_config; /* MCFG, segment 0: address of bus 0's configuration space; 0: none */
    uint8_t pci_bus_first;
    uint8_t pci_bus_last;
};

/*
 * Fill `machine` from the RSDP that the boot loader copied (`rsdp_size` 20 or more bytes), or, when that is 0 or
 * damaged, from the one in the EBDA or the BIOS area. A damaged table is named in the log and left out. Returns 0;
 * E_NOENT when there is no RSDP; E_INVAL when neither XSDT nor RSDT can be used. `machine` is always valid.
 */
int acpi_parse(const struct acpi_reader *reader, const uint8_t *rsdp, uint32_t rsdp_size, struct acpi_machine *machine);

/* Search `size` bytes of AML for the package \_S5 and take its first two numbers. Returns 0 or E_NOENT. */
int acpi_find_s5(const uint8_t *aml, uint64_t size, uint8_t *type_a, uint8_t *type_b);

#endif
