/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The small ports of a PC's chipset: system control port A (0x92), reset control (0xcf9), POST code and delay ports.
 * Other models share the A20 gate and the reset control through the functions here.
 */
#ifndef DRIVERS_VIRTUAL_VSYSTEM_H
#define DRIVERS_VIRTUAL_VSYSTEM_H

#include "hv/device.h"

/* Ports 0x80, 0x92 and 0xed. */
extern const struct device_ops vsystem_device;

/*
 * The A20 gate, as port 0x92 and the 8042's output port show it. Always open for a guest without this model.
 * The state is kept but no address is masked: that would change stage 2 while the guest runs, and software that runs
 * with the gate shut on purpose (DOS below its extended memory manager) needs a BIOS, which we do not offer.
 */
bool system_a20(const struct guest *guest);
void system_set_a20(struct guest *guest, bool open);

/* Port 0xcf9. It lies within the PCI address port, so the PCI model passes byte accesses on. */
uint8_t system_reset_control_read(const struct guest *guest);
void system_reset_control_write(struct guest *guest, uint8_t value);

#endif
