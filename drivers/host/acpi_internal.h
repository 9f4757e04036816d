/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the parts of the ACPI parser: a table whose length and checksum are right, and checked access to its fields.
 */
#ifndef DRIVERS_HOST_ACPI_INTERNAL_H
#define DRIVERS_HOST_ACPI_INTERNAL_H

#include "drivers/host/acpi.h"

#define ACPI_HEADER_SIZE   36u
#define ACPI_HEADER_LENGTH 4u /* offset of the length in it */
#define ACPI_ADDRESS_MAX   BIT(52)

struct acpi_table {
    const uint8_t *bytes;
    uint32_t size; /* at least ACPI_HEADER_SIZE */
};

/* A little-endian number of `size` (1 to 8) bytes. */
uint64_t acpi_bytes(const uint8_t *bytes, unsigned size);

/* The same at an offset of a table; 0 when any of it lies beyond the table's end, as in tables of older revisions. */
uint64_t acpi_field(const struct acpi_table *table, uint32_t offset, unsigned size);

/* A Generic Address Structure at an offset; its address is 0 when it lies beyond the end. */
struct acpi_register acpi_register(const struct acpi_table *table, uint32_t offset);

void acpi_parse_madt(const struct acpi_table *table, struct acpi_machine *machine);
/* After the MADT, whose processors it gives their domains. */
void acpi_parse_srat(const struct acpi_table *table, struct acpi_machine *machine);
void acpi_parse_fadt(const struct acpi_table *table, struct acpi_machine *machine);

#endif
