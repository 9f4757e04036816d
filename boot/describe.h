/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine as the planner wants to know it.
 */
#ifndef BOOT_DESCRIBE_H
#define BOOT_DESCRIBE_H

#include "boot/place.h"
#include "drivers/host/acpi.h"
#include "hv/boot_info.h"
#include "hv/plan.h"

/*
 * Fill `machine` from what the loader and the firmware said and what the running CPUs told of themselves. All three
 * must stay as they are. Once, after all CPUs have been started.
 */
void describe_machine(const struct boot_info *info, const struct acpi_machine *acpi, const struct boot_places *places,
                      struct plan_machine *machine);

#endif
