/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The 8254 timer of a PC/AT and the system control port 0x61 that gates its channel 2.
 */
#ifndef DRIVERS_VIRTUAL_VPIT_H
#define DRIVERS_VIRTUAL_VPIT_H

#include "hv/device.h"

#define PIT_HZ UINT64_C(1193182) /* 14.31818 MHz / 12 */

/* Ports 0x40-0x43 and 0x61; channel 0 drives IRQ_PIT. */
extern const struct device_ops vpit_device;

#endif
