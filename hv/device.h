/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device model. The registry (drivers/virtual/registry.c) lists all by the name that a configuration uses; a
 * guest gets one `struct device` for each, with the model's own state behind it.
 *
 * Accesses, timers and console calls of one guest's models are serialised by the caller (guest_devices_lock): a model
 * needs no lock of its own. The local APIC is the exception: it is per vCPU, and says itself what may come from
 * elsewhere.
 */
#ifndef HV_DEVICE_H
#define HV_DEVICE_H

#include "hv/bus.h"
#include "hv/types.h"

struct guest;

struct device_ops {
    const char *name;  /* "uart" */
    size_t state_size; /* bytes of zeroed, 64-byte aligned state, at most DEVICE_STATE_MAX */
    /* Once per guest: claim ports and memory, connect lines, register timers. Returns 0 or an error. */
    int (*init)(struct device *device);
    /* To power-on state; also stops its timers and drops its interrupt lines. After init, and at each guest reset. */
    void (*reset)(struct device *device);
    /* Press the machine's power button, on the guest's first CPU. Returns true when the guest listens. NULL: no button.
     */
    bool (*press_power_button)(struct device *device);
};

#define DEVICE_STATE_MAX  KIB(64)
#define GUEST_DEVICES_MAX 16u

struct device {
    const struct device_ops *ops;
    struct guest *guest;
    void *state;
};

/* Claim `size` ports from `base`, accessed at most `access_bytes_max` bytes at once. Errors of bus_claim. */
int device_claim_ports(struct device *device, uint16_t base, uint16_t size, unsigned access_bytes_max,
                       const struct bus_ops *ops);

/* Claim guest-physical memory. Errors of bus_claim; E_BUSY as well when RAM of the guest is there. */
int device_claim_memory(struct device *device, gpa_t base, uint64_t size, unsigned access_bytes_max,
                        const struct bus_ops *ops);

/*
 * Press the power buttons that the guest's devices have. On its first CPU, with device access serialised. Returns true
 * when the guest listens to one.
 */
bool device_press_power_button(struct guest *guest);

/* All models, in the order in which they are initialised; ended by NULL. drivers/virtual/registry.c. */
extern const struct device_ops *const device_registry[];

#endif
