/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as firmware memory for the host's ACPI parser. Byte 0 of an input: bit 0 puts checksums right as tables are
 * read (else hardly any table would be looked into). Bytes 1 to 36 are the RSDP, the rest is memory from address 0x1000
 * on. No sanitizer may complain, and what comes out must keep its promises.
 */
#include <stdlib.h>
#include <string.h>

#include "drivers/host/acpi.h"
#include "hv/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            __builtin_trap();                                                                                          \
    } while (0)

#define RSDP_SIZE 36u
#define BASE      0x1000u
#define BLOCKS    2048u

static const uint8_t *memory;
static size_t memory_size;
static bool mend;
static void *blocks[BLOCKS];
static unsigned block_count;

void log_line(enum log_level level, const char *format, ...)
{
    (void)level;
    (void)format;
}

static void fix_checksum(uint8_t *bytes, uint64_t size, uint64_t at)
{
    uint8_t sum = 0;

    bytes[at] = 0;
    for (uint64_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + bytes[i]);
    bytes[at] = (uint8_t)-sum;
}

/* Each piece is a block of its own, so that reading beyond it is seen. */
static const void *map(hpa_t address, uint64_t size)
{
    REQUIRE(size > 0);
    if (address < BASE || address - BASE >= memory_size || size > memory_size - (address - BASE) ||
        block_count == BLOCKS)
        return NULL;
    uint8_t *block = malloc(size);
    REQUIRE(block != NULL);
    memcpy(block, memory + (address - BASE), size);
    uint32_t length = 0;
    if (size >= 36)
        memcpy(&length, block + 4, 4);
    if (mend && length == size)
        fix_checksum(block, size, 9);
    blocks[block_count++] = block;
    return block;
}

static void check_register(const struct acpi_register *reg)
{
    REQUIRE(reg->space <= ACPI_SPACE_PCI);
    REQUIRE(reg->space != ACPI_SPACE_PORT || reg->address <= UINT16_MAX);
    REQUIRE(reg->space != ACPI_SPACE_MEMORY || reg->address < BIT(52));
}

static void check_machine(const struct acpi_machine *machine)
{
    REQUIRE(machine->cpu_count <= CPUS_MAX);
    REQUIRE(machine->cpus_beyond_limit == 0 || machine->cpu_count == CPUS_MAX);
    for (uint32_t i = 0; i < machine->cpu_count; i++) {
        for (uint32_t k = 0; k < i; k++)
            REQUIRE(machine->cpus[i] != machine->cpus[k]);
    }
    REQUIRE(machine->ioapic_count <= ACPI_IOAPICS_MAX && machine->override_count <= ACPI_OVERRIDES_MAX);
    for (uint32_t i = 0; i < machine->ioapic_count; i++)
        REQUIRE(machine->ioapics[i].address != 0);
    REQUIRE(machine->memory_count <= ACPI_MEMORY_MAX && (machine->has_srat || machine->memory_count == 0));
    for (uint32_t i = 0; i < machine->memory_count; i++)
        REQUIRE(machine->memory[i].size > 0 && machine->memory[i].base < BIT(52) &&
                machine->memory[i].size <= BIT(52) - machine->memory[i].base);
    for (uint32_t i = 0; i < CPUS_MAX; i++)
        REQUIRE(machine->cpu_domains[i] == ACPI_DOMAIN_NONE || (i < machine->cpu_count && machine->has_srat));
    if (machine->has_reset)
        check_register(&machine->reset);
    if (machine->sleep_control.address != 0)
        check_register(&machine->sleep_control);
    REQUIRE(!machine->has_s5 || (machine->s5_type_a < 8 && machine->s5_type_b < 8));
    REQUIRE(machine->pci_bus_first <= machine->pci_bus_last);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct acpi_reader reader = {map};
    struct acpi_machine machine;
    uint8_t rsdp[RSDP_SIZE];

    if (size <= 1 + RSDP_SIZE)
        return 0;
    mend = (data[0] & 1) != 0;
    memcpy(rsdp, data + 1, RSDP_SIZE);
    memory = data + 1 + RSDP_SIZE;
    memory_size = size - 1 - RSDP_SIZE;
    if (mend) {
        memcpy(rsdp, "RSD PTR ", 8);
        fix_checksum(rsdp, 20, 8);
        fix_checksum(rsdp, RSDP_SIZE, 32);
    }
    (void)acpi_parse(&reader, rsdp, RSDP_SIZE, &machine);
    check_machine(&machine);
    uint8_t a = 0, b = 0;
    if (acpi_find_s5(memory, memory_size, &a, &b) == 0)
        REQUIRE(a < 8 && b < 8);
    while (block_count > 0)
        free(blocks[--block_count]);
    return 0;
}
