/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The IOAPIC of a guest: device "ioapic", an 82093AA with the EOI register of its successors.
 */
#ifndef DRIVERS_VIRTUAL_VIOAPIC_H
#define DRIVERS_VIRTUAL_VIOAPIC_H

#include "hv/device.h"
#include "hv/irq.h"
#include "hv/types.h"

#define VIOAPIC_BASE UINT64_C(0xfec00000)
#define VIOAPIC_PINS IRQ_LINES

/*
 * 0x20, not the 82093AA's 0x11: it tells a system that there is an EOI register, so one that must clear a remote IRR by
 * hand (a kernel that starts after a crash) writes the vector there. The way for 0x11, edge and back to level, works as
 * well.
 */
#define VIOAPIC_VERSION 0x20u

/* ISA IRQ 0 comes in at this pin; IRQ 2, the cascade of the 8259 pair, at none. All others at the pin of their number.
 */
#define VIOAPIC_PIT_PIN 2u

/*
 * The APIC id that firmware gave it: unlike that of any local APIC where four bits allow it, as systems from before the
 * xAPIC want.
 */
uint8_t vioapic_id(const struct guest *guest);

extern const struct device_ops vioapic_device;

#endif
