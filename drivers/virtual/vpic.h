/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pair of 8259A interrupt controllers of a PC/AT.
 */
#ifndef DRIVERS_VIRTUAL_VPIC_H
#define DRIVERS_VIRTUAL_VPIC_H

#include "hv/device.h"

/*
 * Ports 0x20-0x21, 0xa0-0xa1 and the trigger registers 0x4d0-0x4d1. Listens to lines 0-15 and serves
 * pic_pending and pic_acknowledge of the guest's irq_router; asks vCPU 0 to look again when its output rises.
 */
extern const struct device_ops vpic_device;

#endif
