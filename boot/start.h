/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the user's file to running guests.
 */
#ifndef BOOT_START_H
#define BOOT_START_H

#include "boot/place.h"
#include "drivers/host/acpi.h"
#include "hv/boot_info.h"

/*
 * Find and check the configuration, plan, build every guest and switch virtualization on. Nothing runs yet. Returns 0,
 * or an error after the lines that say what is wrong.
 */
int start_guests(const struct boot_info *info, const struct acpi_machine *acpi, const struct boot_places *places);

/* Let the guests run on their CPUs and serve the console, until all have stopped. Returns whether any of them started:
 * a loader may refuse every image. */
bool run_guests(void);

#endif
