/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names of all device models, for `device_registry` and for whoever needs the names without the models. The model
 * of the name N is vN_device.
 */
#ifndef DRIVERS_VIRTUAL_REGISTRY_H
#define DRIVERS_VIRTUAL_REGISTRY_H

/* In the order in which a guest gets them: interrupt controllers before those that interrupt. */
#define DEVICE_MODELS(model)                                                                                           \
    model(lapic) model(ioapic) model(pic) model(pit) model(rtc) model(uart) model(keyboard) model(system) model(vga)   \
        model(pci) model(acpi)

/* Initializes an array of their names, NULL behind the last. */
#define DEVICE_NAME(name) #name,
#define DEVICE_NAMES                                                                                                   \
    {                                                                                                                  \
        DEVICE_MODELS(DEVICE_NAME) NULL                                                                                \
    }

#endif
