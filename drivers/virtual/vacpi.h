/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI for a guest: device "acpi" is the fixed hardware (power management block) and writes the firmware tables, ACPI
 * and MultiProcessor Specification, into guest RAM at 0xe0000-0xfffff at each reset.
 */
#ifndef DRIVERS_VIRTUAL_VACPI_H
#define DRIVERS_VIRTUAL_VACPI_H

#include "hv/device.h"
#include "hv/types.h"

/* The power management block: where drivers/virtual/dsdt.asl reserves it and the FADT says it is. */
#define VACPI_PORTS          0x600u
#define VACPI_PORTS_SIZE     0x10u
#define VACPI_PM1_STATUS     0x600u /* 16 bits */
#define VACPI_PM1_ENABLE     0x602u /* 16 bits */
#define VACPI_PM1_CONTROL    0x604u /* 16 bits */
#define VACPI_PM_TIMER       0x608u /* 32 bits */
#define VACPI_RESET_PORT     0x60cu /* the FADT's reset register */
#define VACPI_RESET_VALUE    0x06u
#define VACPI_SLEEP_TYPE_OFF 5u /* \_S5 in dsdt.asl */
#define VACPI_PM_TIMER_HZ    3579545u

extern const struct device_ops vacpi_device;

#endif
