/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The MC146818 real-time clock of a PC/AT and its CMOS memory.
 */
#ifndef DRIVERS_VIRTUAL_VRTC_H
#define DRIVERS_VIRTUAL_VRTC_H

#include "hv/device.h"

/* The century's place in CMOS memory: the CENTURY field of the FADT (ACPI 6.4, section 5.2.9) holds this number. */
#define RTC_CENTURY 0x32u

/* Ports 0x70-0x71, IRQ_RTC. */
extern const struct device_ops vrtc_device;

#endif
