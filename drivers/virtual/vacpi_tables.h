/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The firmware tables of a guest, built in a buffer that is an image of guest memory from GUEST_BIOS_BASE on. They
 * depend on the number of vCPUs and the processor only, so every reset builds the same ones at the same places.
 */
#ifndef DRIVERS_VIRTUAL_VACPI_TABLES_H
#define DRIVERS_VIRTUAL_VACPI_TABLES_H

#include "hv/types.h"

struct guest;

/* ACPI tables follow the BIOS base; the RSDP and the MP floating pointer are found by a scan of 0xf0000-0xfffff. */
#define VACPI_TABLES_BASE UINT64_C(0xe0000)
#define VACPI_TABLES_SIZE KIB(16)
#define VACPI_ROOT_BASE   UINT64_C(0xf0000)
#define VACPI_ROOT_SIZE   KIB(4)

/* Build the ACPI tables into `tables` (for VACPI_TABLES_BASE) and the RSDP into the first bytes of `root` (for
 * VACPI_ROOT_BASE). */
void vacpi_build_tables(const struct guest *guest, uint8_t tables[VACPI_TABLES_SIZE], uint8_t root[VACPI_ROOT_SIZE]);

/* Build the MP floating pointer and configuration table into `root`, behind the RSDP. */
void vacpi_build_mp_table(const struct guest *guest, uint8_t root[VACPI_ROOT_SIZE]);

/* The byte that makes all bytes sum up to zero. */
uint8_t vacpi_checksum(const void *bytes, size_t size);

#endif
