/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The MultiProcessor Specification's tables, for systems from before ACPI. Version 1.4, chapter 4 "MP Configuration
 * Table".
 */
#include "drivers/virtual/vacpi_tables.h"
#include "drivers/virtual/vioapic.h"
#include "drivers/virtual/vlapic.h"
#include "hv/guest.h"
#include "hv/machine.h"
#include "hv/string.h"

#define FLOATING_OFFSET      64u /* behind the RSDP, on 16 bytes */
#define CONFIGURATION_OFFSET 80u

struct PACKED mp_floating {
    char signature[4];
    uint32_t configuration;
    uint8_t length; /* in 16 bytes */
    uint8_t revision;
    uint8_t checksum;
    uint8_t features[5];
};
_Static_assert(sizeof(struct mp_floating) == 16, "MP Specification 1.4, section 4.1");

struct PACKED mp_header {
    char signature[4];
    uint16_t length;
    uint8_t revision;
    uint8_t checksum;
    char oem_id[8];
    char product_id[12];
    uint32_t oem_table;
    uint16_t oem_table_size;
    uint16_t entry_count;
    uint32_t lapic_address;
    uint16_t extended_length;
    uint8_t extended_checksum;
    uint8_t reserved;
};
_Static_assert(sizeof(struct mp_header) == 44, "MP Specification 1.4, section 4.2");
#define MP_REVISION_1_4 4u

enum mp_entry_type {
    MP_PROCESSOR = 0,
    MP_BUS = 1,
    MP_IOAPIC = 2,
    MP_IO_INTERRUPT = 3,
    MP_LOCAL_INTERRUPT = 4,
};

struct PACKED mp_processor {
    uint8_t type, apic_id, apic_version, flags;
    uint32_t signature, features;
    uint32_t reserved[2];
};
_Static_assert(sizeof(struct mp_processor) == 20, "MP Specification 1.4, section 4.3.1");
#define PROCESSOR_ENABLED   BIT(0)
#define PROCESSOR_BOOT      BIT(1)
#define PROCESSOR_SIGNATURE 0xfffu /* stepping, model, family */

struct PACKED mp_bus {
    uint8_t type, id;
    char name[6];
};
struct PACKED mp_ioapic {
    uint8_t type, id, version, flags;
    uint32_t address;
};
struct PACKED mp_interrupt {
    uint8_t type, kind;
    uint16_t flags; /* 0: as the bus has it, for ISA an edge, active high */
    uint8_t source_bus, source_irq, target_apic, target_pin;
};
_Static_assert(sizeof(struct mp_bus) == 8 && sizeof(struct mp_ioapic) == 8 && sizeof(struct mp_interrupt) == 8,
               "MP Specification 1.4, sections 4.3.2 to 4.3.5");

#define IOAPIC_ENABLED BIT(0)
#define BUS_PCI        0u
#define BUS_ISA        1u
#define ISA_IRQS       16u
#define ISA_CASCADE    2u
#define ALL_LAPICS     0xffu

enum mp_interrupt_kind {
    MP_INT = 0,
    MP_NMI = 1,
    MP_EXTINT = 3,
};

_Static_assert(CONFIGURATION_OFFSET + sizeof(struct mp_header) + GUEST_CPUS_MAX * sizeof(struct mp_processor) +
                       (3 + ISA_IRQS + 2) * sizeof(struct mp_interrupt) <=
                   VACPI_ROOT_SIZE,
               "the table fits");

struct writer {
    uint8_t *at;
    uint16_t count;
};

static void put(struct writer *writer, const void *entry, size_t size)
{
    memcpy(writer->at, entry, size);
    writer->at += size;
    writer->count++;
}

static void put_processors(struct writer *writer, const struct guest *guest)
{
    struct cpuid_result version = machine_cpuid(1, 0);

    for (uint32_t i = 0; i < guest->vcpu_count; i++) {
        struct mp_processor processor = {
            .type = MP_PROCESSOR,
            .apic_id = (uint8_t)i,
            .apic_version = VLAPIC_VERSION,
            .flags = (uint8_t)(PROCESSOR_ENABLED | (i == 0 ? PROCESSOR_BOOT : 0)),
            .signature = version.eax & PROCESSOR_SIGNATURE,
            .features = version.edx,
        };
        put(writer, &processor, sizeof(processor));
    }
}

static void put_interrupt(struct writer *writer, enum mp_entry_type type, enum mp_interrupt_kind kind, uint8_t irq,
                          uint8_t apic, uint8_t pin)
{
    const struct mp_interrupt interrupt = {(uint8_t)type, (uint8_t)kind, 0, BUS_ISA, irq, apic, pin};

    put(writer, &interrupt, sizeof(interrupt));
}

void vacpi_build_mp_table(const struct guest *guest, uint8_t root[VACPI_ROOT_SIZE])
{
    struct mp_floating *floating = (struct mp_floating *)(root + FLOATING_OFFSET);
    struct mp_header *header = (struct mp_header *)(root + CONFIGURATION_OFFSET);
    struct writer writer = {(uint8_t *)(header + 1), 0};
    const struct mp_bus buses[] = {
        {MP_BUS, BUS_PCI, {'P', 'C', 'I', ' ', ' ', ' '}},
        {MP_BUS, BUS_ISA, {'I', 'S', 'A', ' ', ' ', ' '}},
    };
    const struct mp_ioapic ioapic = {MP_IOAPIC, vioapic_id(guest), VIOAPIC_VERSION, IOAPIC_ENABLED,
                                     (uint32_t)VIOAPIC_BASE};

    put_processors(&writer, guest);
    for (unsigned i = 0; i < ARRAY_SIZE(buses); i++)
        put(&writer, &buses[i], sizeof(buses[i]));
    put(&writer, &ioapic, sizeof(ioapic));
    for (uint8_t irq = 0; irq < ISA_IRQS; irq++) {
        if (irq != ISA_CASCADE)
            put_interrupt(&writer, MP_IO_INTERRUPT, MP_INT, irq, ioapic.id, irq == IRQ_PIT ? VIOAPIC_PIT_PIN : irq);
    }
    put_interrupt(&writer, MP_LOCAL_INTERRUPT, MP_EXTINT, 0, 0, 0);
    put_interrupt(&writer, MP_LOCAL_INTERRUPT, MP_NMI, 0, ALL_LAPICS, 1);

    *header = (struct mp_header){
        .signature = {'P', 'C', 'M', 'P'},
        .length = (uint16_t)(writer.at - (uint8_t *)header),
        .revision = MP_REVISION_1_4,
        .oem_id = {'B', 'U', 'L', 'K', 'H', 'E', 'A', 'D'},
        .product_id = {'V', 'I', 'R', 'T', 'U', 'A', 'L', ' ', 'P', 'C', ' ', ' '},
        .entry_count = writer.count,
        .lapic_address = (uint32_t)VLAPIC_BASE,
    };
    header->checksum = vacpi_checksum(header, header->length);
    *floating = (struct mp_floating){
        .signature = {'_', 'M', 'P', '_'},
        .configuration = (uint32_t)(VACPI_ROOT_BASE + CONFIGURATION_OFFSET),
        .length = 1,
        .revision = MP_REVISION_1_4,
    };
    floating->checksum = vacpi_checksum(floating, sizeof(*floating));
}
