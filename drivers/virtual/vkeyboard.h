/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The 8042 keyboard controller of a PC/AT, with no keyboard and no mouse port.
 */
#ifndef DRIVERS_VIRTUAL_VKEYBOARD_H
#define DRIVERS_VIRTUAL_VKEYBOARD_H

#include "hv/device.h"

/* Ports 0x60 and 0x64, IRQ_KEYBOARD. Shares the A20 gate with vsystem. */
extern const struct device_ops vkeyboard_device;

#endif
