/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Switching the machine off and resetting it, as its ACPI tables say.
 */
#ifndef DRIVERS_HOST_ACPI_POWER_H
#define DRIVERS_HOST_ACPI_POWER_H

#include "drivers/host/acpi.h"

/*
 * Keep what power-off and reset need, and map registers that are in memory; before guests run. `machine` stays valid
 * for good. Returns 0, or E_NOSYS, after a log line, when the machine cannot be switched off by software.
 */
int acpi_power_init(const struct acpi_machine *machine);

/* Enter S5, from any CPU, when no guest runs. Returns only when that did not work. */
void acpi_power_off(void);

/* Reset the machine: ACPI's reset register, then port 0xcf9, then the keyboard controller. Returns only when none
 * worked. */
void acpi_reset(void);

#endif
