/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the RSDP to the root table and to each table that we know. A table counts only when its length is sane and its
 * checksum right; every field is fetched with a check against that length. ACPI 6.4, "ACPI Software Programming Model".
 */
#include "drivers/host/acpi.h"

#include "drivers/host/acpi_internal.h"
#include "hv/error.h"
#include "hv/log.h"
#include "hv/string.h"

#define TABLE_SIZE_MAX MIB(16) /* the largest AML tables of servers stay far below */

#define RSDP_SIZE_1   20u /* without XSDT */
#define RSDP_SIZE_2   36u
#define RSDP_REVISION 15u
#define RSDP_RSDT     16u
#define RSDP_LENGTH   20u
#define RSDP_XSDT     24u

#define EBDA_SEGMENT   0x40eu /* BIOS data area: real-mode segment of the extended BIOS data area */
#define EBDA_LOWEST    0x400u
#define EBDA_HIGHEST   0x9fc00u
#define EBDA_SEARCH    1024u
#define BIOS_AREA      0xe0000u
#define BIOS_AREA_SIZE 0x20000u
#define RSDP_ALIGNMENT 16u

#define ENTRIES_MAX 256u /* of a root table */

static const char rsdp_signature[] = "RSD PTR ";

uint64_t acpi_bytes(const uint8_t *bytes, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

uint64_t acpi_field(const struct acpi_table *table, uint32_t offset, unsigned size)
{
    if (offset > table->size || size > table->size - offset)
        return 0;
    return acpi_bytes(table->bytes + offset, size);
}

static bool checksum_right(const uint8_t *bytes, uint64_t size)
{
    uint8_t sum = 0;

    for (uint64_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + bytes[i]);
    return sum == 0;
}

static const uint8_t *map(const struct acpi_reader *reader, hpa_t address, uint64_t size)
{
    if (address == 0 || address >= ACPI_ADDRESS_MAX)
        return NULL;
    return reader->map(address, size);
}

/* The four letters at `address`, or "" when it cannot be read: enough to know whether the table is worth its checksum.
 */
static void table_name(const struct acpi_reader *reader, hpa_t address, char name[5])
{
    const uint8_t *bytes = map(reader, address, ACPI_HEADER_SIZE);

    memset(name, 0, 5);
    if (bytes != NULL)
        memcpy(name, bytes, 4);
}

static int table_open(const struct acpi_reader *reader, hpa_t address, const char *name, struct acpi_table *table)
{
    char found[5];

    table_name(reader, address, found);
    if (strcmp(found, name) != 0)
        return E_NOENT;
    const uint8_t *header = map(reader, address, ACPI_HEADER_SIZE);
    uint64_t size = header != NULL ? acpi_bytes(header + ACPI_HEADER_LENGTH, 4) : 0;
    const uint8_t *bytes = size >= ACPI_HEADER_SIZE && size <= TABLE_SIZE_MAX ? map(reader, address, size) : NULL;
    if (bytes == NULL || !checksum_right(bytes, size)) {
        log_info("ACPI table %s at 0x%lx is damaged and not used", name, address);
        return E_INVAL;
    }
    *table = (struct acpi_table){bytes, (uint32_t)size};
    return 0;
}

/* ---- The root ---- */

static bool rsdp_valid(const uint8_t *bytes)
{
    return memcmp(bytes, rsdp_signature, sizeof(rsdp_signature) - 1) == 0 && checksum_right(bytes, RSDP_SIZE_1);
}

/* Copy the RSDP at the first 16-byte line that holds one. */
static bool rsdp_search(const struct acpi_reader *reader, hpa_t base, uint64_t size, uint8_t *rsdp)
{
    const uint8_t *area = map(reader, base, size);

    for (uint64_t i = 0; area != NULL && i + RSDP_SIZE_1 <= size; i += RSDP_ALIGNMENT) {
        if (rsdp_valid(area + i)) {
            memset(rsdp, 0, RSDP_SIZE_2);
            memcpy(rsdp, area + i, min_u64(RSDP_SIZE_2, size - i));
            return true;
        }
    }
    return false;
}

static bool rsdp_find(const struct acpi_reader *reader, const uint8_t *given, uint32_t given_size, uint8_t *rsdp)
{
    if (given_size >= RSDP_SIZE_1 && rsdp_valid(given)) {
        memset(rsdp, 0, RSDP_SIZE_2);
        memcpy(rsdp, given, min_u64(RSDP_SIZE_2, given_size));
        return true;
    }
    const uint8_t *segment = map(reader, EBDA_SEGMENT, 2);
    hpa_t ebda = segment != NULL ? acpi_bytes(segment, 2) << 4 : 0;
    if (ebda >= EBDA_LOWEST && ebda <= EBDA_HIGHEST && rsdp_search(reader, ebda, EBDA_SEARCH, rsdp))
        return true;
    return rsdp_search(reader, BIOS_AREA, BIOS_AREA_SIZE, rsdp);
}

/* The XSDT where there is a good one, else the RSDT. `entry_size` is that of one table address. */
static int root_open(const struct acpi_reader *reader, const uint8_t *rsdp, struct acpi_table *root,
                     unsigned *entry_size)
{
    bool extended = rsdp[RSDP_REVISION] >= 2 && acpi_bytes(rsdp + RSDP_LENGTH, 4) >= RSDP_SIZE_2 &&
                    checksum_right(rsdp, RSDP_SIZE_2);

    *entry_size = 8;
    if (extended && table_open(reader, acpi_bytes(rsdp + RSDP_XSDT, 8), "XSDT", root) == 0)
        return 0;
    *entry_size = 4;
    return table_open(reader, acpi_bytes(rsdp + RSDP_RSDT, 4), "RSDT", root) == 0 ? 0 : E_INVAL;
}

/* ---- The tables ---- */

static void hpet_parse(const struct acpi_table *table, struct acpi_machine *machine)
{
    const uint32_t register_offset = 40; /* IA-PC HPET specification, "HPET Description Table" */
    struct acpi_register base = acpi_register(table, register_offset);

    if (base.space == ACPI_SPACE_MEMORY && base.address < ACPI_ADDRESS_MAX && IS_ALIGNED(base.address, 8))
        machine->hpet_base = base.address;
}

/* PCI Firmware Specification 3.2, "MCFG Table Description". */
static void mcfg_parse(const struct acpi_table *table, struct acpi_machine *machine)
{
    for (uint32_t offset = 44; table->size - offset >= 16 && offset < table->size; offset += 16) {
        hpa_t base = acpi_field(table, offset, 8);
        uint8_t first = (uint8_t)acpi_field(table, offset + 10, 1), last = (uint8_t)acpi_field(table, offset + 11, 1);
        if (acpi_field(table, offset + 8, 2) != 0 || base == 0 || base >= ACPI_ADDRESS_MAX || first > last)
            continue;
        machine->pci_config = base;
        machine->pci_bus_first = first;
        machine->pci_bus_last = last;
        return;
    }
}

static void s5_parse(const struct acpi_table *table, struct acpi_machine *machine)
{
    machine->has_s5 = acpi_find_s5(table->bytes + ACPI_HEADER_SIZE, table->size - ACPI_HEADER_SIZE, &machine->s5_type_a,
                                   &machine->s5_type_b) == 0;
}

/* The DSDT is not in the root table: the FADT names it, twice where it is new enough. */
static void dsdt_parse(const struct acpi_reader *reader, const struct acpi_table *fadt, struct acpi_machine *machine)
{
    const uint32_t dsdt = 40, x_dsdt = 140;
    struct acpi_table table;

    if (table_open(reader, acpi_field(fadt, x_dsdt, 8), "DSDT", &table) == 0 ||
        table_open(reader, acpi_field(fadt, dsdt, 4), "DSDT", &table) == 0)
        s5_parse(&table, machine);
}

/* Of each kind the first counts; another \_S5 in an SSDT counts when the DSDT has none. */
static void table_parse(const struct acpi_reader *reader, hpa_t address, struct acpi_machine *machine)
{
    char name[5];
    struct acpi_table table;

    table_name(reader, address, name);
    if (strcmp(name, "APIC") == 0 && machine->cpu_count == 0 && machine->ioapic_count == 0) {
        if (table_open(reader, address, name, &table) == 0)
            acpi_parse_madt(&table, machine);
    } else if (strcmp(name, "FACP") == 0 && !machine->has_fadt) {
        if (table_open(reader, address, name, &table) == 0) {
            acpi_parse_fadt(&table, machine);
            dsdt_parse(reader, &table, machine);
        }
    } else if (strcmp(name, "HPET") == 0 && machine->hpet_base == 0) {
        if (table_open(reader, address, name, &table) == 0)
            hpet_parse(&table, machine);
    } else if (strcmp(name, "MCFG") == 0 && machine->pci_config == 0) {
        if (table_open(reader, address, name, &table) == 0)
            mcfg_parse(&table, machine);
    }
}

/* Tables that add to what others said, wherever those stand. */
static void late_table_parse(const struct acpi_reader *reader, hpa_t address, struct acpi_machine *machine)
{
    char name[5];
    struct acpi_table table;

    table_name(reader, address, name);
    if (!machine->has_s5 && strcmp(name, "SSDT") == 0 && table_open(reader, address, name, &table) == 0)
        s5_parse(&table, machine);
    else if (!machine->has_srat && strcmp(name, "SRAT") == 0 && table_open(reader, address, name, &table) == 0)
        acpi_parse_srat(&table, machine);
}

int acpi_parse(const struct acpi_reader *reader, const uint8_t *rsdp, uint32_t rsdp_size, struct acpi_machine *machine)
{
    uint8_t copy[RSDP_SIZE_2];
    struct acpi_table root;
    unsigned entry_size;

    memset(machine, 0, sizeof(*machine));
    for (uint32_t i = 0; i < CPUS_MAX; i++)
        machine->cpu_domains[i] = ACPI_DOMAIN_NONE;
    if (!rsdp_find(reader, rsdp, rsdp_size, copy))
        return E_NOENT;
    int error = root_open(reader, copy, &root, &entry_size);
    if (error != 0)
        return error;
    uint32_t count = (uint32_t)min_u64((root.size - ACPI_HEADER_SIZE) / entry_size, ENTRIES_MAX);
    for (uint32_t i = 0; i < count; i++)
        table_parse(reader, acpi_field(&root, ACPI_HEADER_SIZE + i * entry_size, entry_size), machine);
    for (uint32_t i = 0; i < count; i++)
        late_table_parse(reader, acpi_field(&root, ACPI_HEADER_SIZE + i * entry_size, entry_size), machine);
    return 0;
}
