/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The insides of the MADT, the SRAT and the FADT, and the one thing we want from AML. ACPI 6.4, "Multiple APIC
 * Description Table (MADT)", "System Resource Affinity Table (SRAT)", "Fixed ACPI Description Table (FADT)", "ACPI
 * Machine Language (AML) Specification".
 */
#include "drivers/host/acpi_internal.h"
#include "hv/error.h"
#include "hv/string.h"

/* ---- MADT ---- */

#define MADT_ENTRIES   44u
#define MADT_LAPIC     0u
#define MADT_IOAPIC    1u
#define MADT_OVERRIDE  2u
#define MADT_X2APIC    9u
#define MADT_ENABLED   BIT(0)
#define APIC_ID_NONE   0xffu /* xAPIC's broadcast: firmware marks empty sockets with it */
#define X2APIC_ID_NONE 0xffffffffu
#define IOAPIC_SIZE    32u /* bytes of registers */

static void cpu_add(struct acpi_machine *machine, uint32_t apic_id)
{
    for (uint32_t i = 0; i < machine->cpu_count; i++) {
        if (machine->cpus[i] == apic_id)
            return;
    }
    if (machine->cpu_count < CPUS_MAX)
        machine->cpus[machine->cpu_count++] = apic_id;
    else
        machine->cpus_beyond_limit++;
}

static void ioapic_add(struct acpi_machine *machine, const struct acpi_table *table, uint32_t offset)
{
    struct acpi_ioapic ioapic = {
        .id = (uint8_t)acpi_field(table, offset + 2, 1),
        .address = acpi_field(table, offset + 4, 4),
        .first_gsi = (uint32_t)acpi_field(table, offset + 8, 4),
    };

    bool usable = ioapic.address != 0 && IS_ALIGNED(ioapic.address, IOAPIC_SIZE);
    if (usable && machine->ioapic_count < ACPI_IOAPICS_MAX)
        machine->ioapics[machine->ioapic_count++] = ioapic;
}

static void override_add(struct acpi_machine *machine, const struct acpi_table *table, uint32_t offset)
{
    struct acpi_override override = {
        .irq = (uint8_t)acpi_field(table, offset + 3, 1),
        .gsi = (uint32_t)acpi_field(table, offset + 4, 4),
        .flags = (uint16_t)acpi_field(table, offset + 8, 2),
    };

    if (machine->override_count < ACPI_OVERRIDES_MAX)
        machine->overrides[machine->override_count++] = override;
}

static void madt_entry(struct acpi_machine *machine, const struct acpi_table *table, uint32_t offset, uint8_t type,
                       uint8_t length)
{
    if (type == MADT_LAPIC && length >= 8) {
        uint32_t id = (uint32_t)acpi_field(table, offset + 3, 1);
        if ((acpi_field(table, offset + 4, 4) & MADT_ENABLED) != 0 && id != APIC_ID_NONE)
            cpu_add(machine, id);
    } else if (type == MADT_X2APIC && length >= 16) {
        uint32_t id = (uint32_t)acpi_field(table, offset + 4, 4);
        if ((acpi_field(table, offset + 8, 4) & MADT_ENABLED) != 0 && id != X2APIC_ID_NONE)
            cpu_add(machine, id);
    } else if (type == MADT_IOAPIC && length >= 12) {
        ioapic_add(machine, table, offset);
    } else if (type == MADT_OVERRIDE && length >= 10) {
        override_add(machine, table, offset);
    }
}

typedef void entry_function(struct acpi_machine *machine, const struct acpi_table *table, uint32_t offset, uint8_t type,
                            uint8_t length);

/* Visit the entries of a MADT or an SRAT. One that is shorter than its own header, or reaches beyond the table, ends
 * the list. */
static void visit_entries(const struct acpi_table *table, uint32_t offset, entry_function *visit,
                          struct acpi_machine *machine)
{
    while (offset + 2 <= table->size) {
        uint8_t type = table->bytes[offset], length = table->bytes[offset + 1];
        if (length < 2 || length > table->size - offset)
            return;
        visit(machine, table, offset, type, length);
        offset += length;
    }
}

void acpi_parse_madt(const struct acpi_table *table, struct acpi_machine *machine)
{
    visit_entries(table, MADT_ENTRIES, madt_entry, machine);
}

/* ---- SRAT ---- */

#define SRAT_ENTRIES     48u
#define SRAT_LAPIC       0u
#define SRAT_MEMORY      1u
#define SRAT_X2APIC      2u
#define SRAT_ENABLED     BIT(0)
#define HEADER_REVISION  8u
#define SRAT_DOMAIN_WIDE 2u /* the first revision whose LAPIC entries have domains of 32 bits */

/* The first entry of a processor counts. */
static void domain_set(struct acpi_machine *machine, uint32_t apic_id, uint32_t domain)
{
    for (uint32_t i = 0; i < machine->cpu_count; i++) {
        if (machine->cpus[i] == apic_id && machine->cpu_domains[i] == ACPI_DOMAIN_NONE)
            machine->cpu_domains[i] = domain;
    }
}

static uint32_t lapic_domain(const struct acpi_table *table, uint32_t offset)
{
    uint32_t low = (uint32_t)acpi_field(table, offset + 2, 1), high = (uint32_t)acpi_field(table, offset + 9, 3);

    return acpi_field(table, HEADER_REVISION, 1) >= SRAT_DOMAIN_WIDE ? high << 8 | low : low;
}

static void memory_add(struct acpi_machine *machine, const struct acpi_table *table, uint32_t offset)
{
    struct acpi_memory memory = {
        .base = acpi_field(table, offset + 8, 8),
        .size = acpi_field(table, offset + 16, 8),
        .domain = (uint32_t)acpi_field(table, offset + 2, 4),
    };

    if (memory.base >= ACPI_ADDRESS_MAX || memory.size == 0 || machine->memory_count == ACPI_MEMORY_MAX)
        return;
    memory.size = min_u64(memory.size, ACPI_ADDRESS_MAX - memory.base);
    machine->memory[machine->memory_count++] = memory;
}

static void srat_entry(struct acpi_machine *machine, const struct acpi_table *table, uint32_t offset, uint8_t type,
                       uint8_t length)
{
    if (type == SRAT_LAPIC && length >= 16) {
        if ((acpi_field(table, offset + 4, 4) & SRAT_ENABLED) != 0)
            domain_set(machine, (uint32_t)acpi_field(table, offset + 3, 1), lapic_domain(table, offset));
    } else if (type == SRAT_X2APIC && length >= 24) {
        if ((acpi_field(table, offset + 12, 4) & SRAT_ENABLED) != 0)
            domain_set(machine, (uint32_t)acpi_field(table, offset + 8, 4), (uint32_t)acpi_field(table, offset + 4, 4));
    } else if (type == SRAT_MEMORY && length >= 40) {
        if ((acpi_field(table, offset + 28, 4) & SRAT_ENABLED) != 0)
            memory_add(machine, table, offset);
    }
}

void acpi_parse_srat(const struct acpi_table *table, struct acpi_machine *machine)
{
    machine->has_srat = true;
    visit_entries(table, SRAT_ENTRIES, srat_entry, machine);
}

/* ---- FADT ---- */

#define FADT_SMI_COMMAND    48u
#define FADT_ACPI_ENABLE    52u
#define FADT_PM1A_CONTROL   64u
#define FADT_PM1B_CONTROL   68u
#define FADT_PM_TIMER       76u
#define FADT_FLAGS          112u
#define FADT_RESET          116u
#define FADT_RESET_VALUE    128u
#define FADT_X_PM1A_CONTROL 172u
#define FADT_X_PM1B_CONTROL 184u
#define FADT_X_PM_TIMER     208u
#define FADT_SLEEP_CONTROL  244u
#define FADT_SLEEP_STATUS   256u

#define FADT_FLAG_RESET            BIT(10)
#define FADT_FLAG_HARDWARE_REDUCED BIT(20)

struct acpi_register acpi_register(const struct acpi_table *table, uint32_t offset)
{
    const uint32_t size = 12;

    if (offset > table->size || size > table->size - offset)
        return (struct acpi_register){0, 0, 0};
    return (struct acpi_register){
        .space = (uint8_t)acpi_field(table, offset, 1),
        .bits = (uint8_t)acpi_field(table, offset + 1, 1),
        .address = acpi_field(table, offset + 4, 8),
    };
}

/* A fixed port: the old 32-bit field is a port by definition; the extended one may replace it. */
static uint16_t fadt_port(const struct acpi_table *table, uint32_t offset, uint32_t x_offset)
{
    uint64_t port = acpi_field(table, offset, 4);
    struct acpi_register extended = acpi_register(table, x_offset);

    if (port == 0 && extended.space == ACPI_SPACE_PORT)
        port = extended.address;
    return port <= UINT16_MAX ? (uint16_t)port : 0;
}

static bool register_usable(const struct acpi_register *reg)
{
    switch (reg->space) {
    case ACPI_SPACE_MEMORY: return reg->address != 0 && reg->address < ACPI_ADDRESS_MAX;
    case ACPI_SPACE_PORT: return reg->address != 0 && reg->address <= UINT16_MAX;
    case ACPI_SPACE_PCI:
        return reg->address >> 32 <= 31 && (reg->address >> 16 & 0xffff) <= 7 && (reg->address & 0xffff) <= 255;
    default: return false;
    }
}

void acpi_parse_fadt(const struct acpi_table *table, struct acpi_machine *machine)
{
    uint64_t flags = acpi_field(table, FADT_FLAGS, 4);
    uint64_t smi_command = acpi_field(table, FADT_SMI_COMMAND, 4);

    machine->has_fadt = true;
    machine->hardware_reduced = (flags & FADT_FLAG_HARDWARE_REDUCED) != 0;
    machine->pm1a_control = fadt_port(table, FADT_PM1A_CONTROL, FADT_X_PM1A_CONTROL);
    machine->pm1b_control = fadt_port(table, FADT_PM1B_CONTROL, FADT_X_PM1B_CONTROL);
    machine->pm_timer = fadt_port(table, FADT_PM_TIMER, FADT_X_PM_TIMER);
    machine->smi_command = smi_command <= UINT16_MAX ? (uint16_t)smi_command : 0;
    machine->acpi_enable = (uint8_t)acpi_field(table, FADT_ACPI_ENABLE, 1);
    machine->reset = acpi_register(table, FADT_RESET);
    machine->reset_value = (uint8_t)acpi_field(table, FADT_RESET_VALUE, 1);
    machine->has_reset = (flags & FADT_FLAG_RESET) != 0 && register_usable(&machine->reset);
    machine->sleep_control = acpi_register(table, FADT_SLEEP_CONTROL);
    machine->sleep_status = acpi_register(table, FADT_SLEEP_STATUS);
    if (!register_usable(&machine->sleep_control) || machine->sleep_control.space == ACPI_SPACE_PCI)
        machine->sleep_control.address = 0;
    if (!register_usable(&machine->sleep_status) || machine->sleep_status.space == ACPI_SPACE_PCI)
        machine->sleep_status.address = 0;
}

/* ---- \_S5 ---- */

#define AML_ZERO    0x00u
#define AML_ONE     0x01u
#define AML_NAME    0x08u
#define AML_BYTE    0x0au
#define AML_WORD    0x0bu
#define AML_DWORD   0x0cu
#define AML_PACKAGE 0x12u
#define AML_ROOT    '\\'
#define SLEEP_TYPES 8u /* SLP_TYP has 3 bits */

struct aml {
    const uint8_t *bytes;
    uint64_t size;
    uint64_t next;
};

static bool aml_byte(struct aml *aml, uint8_t *byte)
{
    if (aml->next >= aml->size)
        return false;
    *byte = aml->bytes[aml->next++];
    return true;
}

/* PkgLength: the first byte's top two bits tell how many follow. The package ends so far after the first byte. */
static bool aml_enter_package(struct aml *aml)
{
    uint64_t start = aml->next, length;
    uint8_t lead, byte;

    if (!aml_byte(aml, &lead))
        return false;
    unsigned more = lead >> 6;
    length = more == 0 ? lead & 0x3fu : lead & 0x0fu;
    for (unsigned i = 0; i < more; i++) {
        if (!aml_byte(aml, &byte))
            return false;
        length |= (uint64_t)byte << (4 + 8 * i);
    }
    if (length > aml->size - start || start + length < aml->next)
        return false;
    aml->size = start + length;
    return true;
}

static bool aml_sleep_type(struct aml *aml, uint8_t *type)
{
    uint8_t prefix, bytes[4] = {0, 0, 0, 0};
    unsigned count;

    if (!aml_byte(aml, &prefix))
        return false;
    switch (prefix) {
    case AML_ZERO:
    case AML_ONE: *type = prefix; return true;
    case AML_BYTE: count = 1; break;
    case AML_WORD: count = 2; break;
    case AML_DWORD: count = 4; break;
    default: return false;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!aml_byte(aml, &bytes[i]))
            return false;
    }
    *type = bytes[0];
    return acpi_bytes(bytes, 4) < SLEEP_TYPES;
}

/* `aml->next` is behind the name: DefName's object must be a package that begins with two small numbers. */
static bool aml_s5_package(struct aml aml, uint8_t *type_a, uint8_t *type_b)
{
    uint8_t opcode, elements;

    return aml_byte(&aml, &opcode) && opcode == AML_PACKAGE && aml_enter_package(&aml) && aml_byte(&aml, &elements) &&
           elements >= 2 && aml_sleep_type(&aml, type_a) && aml_sleep_type(&aml, type_b);
}

int acpi_find_s5(const uint8_t *aml, uint64_t size, uint8_t *type_a, uint8_t *type_b)
{
    static const char name[] = "_S5_";

    for (uint64_t i = 1; i + 4 <= size; i++) {
        bool named = aml[i - 1] == AML_NAME || (aml[i - 1] == AML_ROOT && i >= 2 && aml[i - 2] == AML_NAME);
        if (!named || memcmp(aml + i, name, 4) != 0)
            continue;
        uint8_t a, b;
        if (aml_s5_package((struct aml){aml, size, i + 4}, &a, &b)) {
            *type_a = a;
            *type_b = b;
            return 0;
        }
    }
    return E_NOENT;
}
