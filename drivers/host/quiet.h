/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making the machine quiet before guests run: what nobody owns interrupts nobody and writes to nobody's memory.
 */
#ifndef DRIVERS_HOST_QUIET_H
#define DRIVERS_HOST_QUIET_H

#include "drivers/host/acpi.h"

/*
 * Mask the 8259 pair, every IOAPIC pin and every HPET timer, and switch off bus mastering of every PCI function that is
 * not a bridge. Bridges keep theirs: they only forward, and what is behind them is silent. The local APICs are not
 * touched here. Says in one log line what was done.
 */
void quiet_host(const struct acpi_machine *machine);

#endif
