/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all device models share: claiming their addresses.
 */
#include "hv/device.h"

#include "hv/error.h"
#include "hv/guest.h"

int device_claim_ports(struct device *device, uint16_t base, uint16_t size, unsigned access_bytes_max,
                       const struct bus_ops *ops)
{
    const struct bus_region region = {base, size, ops, device, (uint8_t)access_bytes_max};

    if ((uint32_t)base + size > 0x10000)
        return E_INVAL;
    return bus_claim(&device->guest->ports, &region);
}

int device_claim_memory(struct device *device, gpa_t base, uint64_t size, unsigned access_bytes_max,
                        const struct bus_ops *ops)
{
    const struct bus_region region = {base, size, ops, device, (uint8_t)access_bytes_max};

    for (uint32_t i = 0; i < device->guest->ram_count; i++) {
        const struct guest_ram *ram = &device->guest->ram[i];
        if (base < ram->base + ram->size && ram->base < base + size)
            return E_BUSY;
    }
    return bus_claim(&device->guest->memory, &region);
}

bool device_press_power_button(struct guest *guest)
{
    bool heard = false;

    for (uint32_t i = 0; i < guest->device_count; i++) {
        struct device *device = &guest->devices[i];
        if (device->ops->press_power_button != NULL)
            heard = device->ops->press_power_button(device) || heard;
    }
    return heard;
}
