/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registers of a VGA in 80x25 colour text mode. Its text memory at 0xb8000 is the guest's RAM, and nobody displays
 * it.
 */
#ifndef DRIVERS_VIRTUAL_VVGA_H
#define DRIVERS_VIRTUAL_VVGA_H

#include "hv/device.h"

/* Ports 0x3c0-0x3cf, 0x3d4-0x3d5 and 0x3da. The monochrome twins at 0x3b4-0x3ba are not there: they read all ones. */
extern const struct device_ops vvga_device;

#endif
