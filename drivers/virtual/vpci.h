/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI configuration space of bus 0, through configuration mechanism 1. Other models put their functions on it with
 * vpci_add.
 */
#ifndef DRIVERS_VIRTUAL_VPCI_H
#define DRIVERS_VIRTUAL_VPCI_H

#include "hv/device.h"

/* Ports 0xcf8-0xcff; the host bridge at 00:00.0. */
extern const struct device_ops vpci_device;

/* Registers that every function has. PCI Local Bus Specification 3.0, section 6.1 "Configuration Space Organization" */
enum pci_register {
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08,
    PCI_CLASS_INTERFACE = 0x09,
    PCI_SUBCLASS = 0x0a,
    PCI_CLASS = 0x0b,
    PCI_LATENCY_TIMER = 0x0d,
    PCI_HEADER_TYPE = 0x0e,
    PCI_BASE_ADDRESS_0 = 0x10,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
};

#define PCI_CONFIG_BYTES   256u
#define PCI_HEADER_MULTI   0x80u /* header type: more functions than function 0 */
#define PCI_FUNCTIONS_MAX  32u
#define PCI_SLOTS          32u
#define PCI_SLOT_FUNCTIONS 8u

struct vpci_function;

/* Both may be NULL. */
struct vpci_function_ops {
    /* The guest wrote `size` bytes at `offset`; `config` already holds what its masks let through. */
    void (*config_written)(struct vpci_function *function, unsigned offset, unsigned size);
    /* At a guest reset, once config is as it was when the function was added. */
    void (*reset)(struct vpci_function *function);
};

/*
 * One function. Its owner fills `config` and the masks, and keeps the struct for good. A base address register of 2^n
 * bytes is sized by the guest through its writable bits alone: set those from n upwards.
 */
struct vpci_function {
    const struct vpci_function_ops *ops;
    void *context;
    uint8_t config[PCI_CONFIG_BYTES];
    uint8_t writable[PCI_CONFIG_BYTES];         /* bits that the guest may set and clear */
    uint8_t write_one_clears[PCI_CONFIG_BYTES]; /* status bits */
    uint8_t power_on[PCI_CONFIG_BYTES];         /* vpci's copy for resets */
};

/*
 * Put a function at slot (< 32) and function number (< 8) of bus 0, while the guest is built, after vpci's init.
 * Returns 0, E_INVAL (numbers), E_BUSY (taken), E_NOENT (the guest has no PCI) or E_NOMEM.
 */
int vpci_add(struct guest *guest, unsigned slot, unsigned number, struct vpci_function *function);

/* 16 bits of `config`, for owners. */
uint16_t vpci_config_word(const struct vpci_function *function, unsigned offset);
void vpci_config_set_word(struct vpci_function *function, unsigned offset, uint16_t value);

#endif
