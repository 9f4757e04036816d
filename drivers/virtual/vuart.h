/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * COM1: a 16550A whose wire is the guest's console port.
 */
#ifndef DRIVERS_VIRTUAL_VUART_H
#define DRIVERS_VIRTUAL_VUART_H

#include "hv/device.h"

/* Ports 0x3f8-0x3ff, IRQ_COM1. Attaches a console port to the guest. */
extern const struct device_ops vuart_device;

#endif
