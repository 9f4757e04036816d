/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The processors that the firmware tables tell of: ACPI 6.4, section 5.2.12 "Multiple APIC Description Table (MADT)";
 * MultiProcessor Specification 1.4, chapter 4.
 */
#ifndef GUESTS_LIB_TABLES_H
#define GUESTS_LIB_TABLES_H

#include "hv/types.h"

/* The APIC ids of enabled processors, in the table's order. Returns how many (of which at most `size` are stored); 0
 * when the table is not there or its sum is wrong. */
uint32_t tables_madt(uint32_t *ids, uint32_t size);
uint32_t tables_mp(uint32_t *ids, uint32_t size);

#endif
