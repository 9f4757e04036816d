/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APICs of a guest: one device, "lapic", with an xAPIC (or x2APIC) for each vCPU. It takes the messages of
 * the IOAPIC and of other vCPUs, carries the local timer, and tells the run loop which vector comes next.
 */
#ifndef DRIVERS_VIRTUAL_VLAPIC_H
#define DRIVERS_VIRTUAL_VLAPIC_H

#include "hv/device.h"
#include "hv/types.h"

/* What the timer counts at with divide configuration 1. The hypervisor leaf 0x40000010 tells it to the guest in kHz. */
#define VLAPIC_TIMER_HZ UINT64_C(1000000000)

/*
 * A periodic timer of a shorter period than this interrupts once in this time only: an exit and an injection must stay
 * a small part of it. The count that the guest reads still runs at the period that it asked for.
 */
#define VLAPIC_PERIOD_NS_MIN UINT64_C(100000)

#define VLAPIC_BASE         UINT64_C(0xfee00000)
#define VLAPIC_VERSION      0x14u
#define VLAPIC_CPUID_X2APIC BIT(21) /* of CPUID.1:ECX */

/*
 * device->state holds the APICs. They hang on vcpu->lapic and vcpu->irq. Those operations run on the vCPU's own CPU:
 * msr_write with device access serialised, as bus accesses are, because an EOI reaches the IOAPIC; all others without,
 * because `pending` and `acknowledge` take the guest's device lock where they ask the 8259 pair.
 */
extern const struct device_ops vlapic_device;

/* Whether guests get the x2APIC mode on this machine: where its own processor has it. TSC-deadline mode they always
 * have. */
bool vlapic_x2apic_offered(void);

#endif
