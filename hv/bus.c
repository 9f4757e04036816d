/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Address to device: a binary search in a sorted table, then an access split into what the region can take.
 */
#include "hv/bus.h"

#include "hv/error.h"
#include "hv/string.h"

/* Index of the first region that ends behind `address` (== count: none). */
static uint32_t bus_search(const struct bus *bus, uint64_t address)
{
    uint32_t low = 0, high = bus->count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const struct bus_region *region = &bus->regions[middle];
        if (region->base + (region->size - 1) < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int bus_claim(struct bus *bus, const struct bus_region *region)
{
    uint64_t last = region->base + (region->size - 1);
    uint8_t width = region->access_bytes_max;

    if (region->size == 0 || last < region->base || (width != 1 && width != 2 && width != 4 && width != 8))
        return E_INVAL;
    uint32_t at = bus_search(bus, region->base);
    if (at < bus->count && bus->regions[at].base <= last)
        return E_BUSY;
    if (bus->count == BUS_REGIONS_MAX)
        return E_NOMEM;
    memmove(&bus->regions[at + 1], &bus->regions[at], (bus->count - at) * sizeof(bus->regions[0]));
    bus->regions[at] = *region;
    bus->count++;
    return 0;
}

const struct bus_region *bus_find(const struct bus *bus, uint64_t address)
{
    uint32_t at = bus_search(bus, address);

    return at < bus->count && bus->regions[at].base <= address ? &bus->regions[at] : NULL;
}

/* The largest power of two, up to `wanted`, that the region takes at this offset without leaving it. */
static unsigned bus_part(const struct bus_region *region, uint64_t offset, unsigned wanted)
{
    unsigned size = region->access_bytes_max;

    while (size > wanted || size > region->size - offset)
        size /= 2;
    return size;
}

static uint64_t ones(unsigned size)
{
    return UINT64_MAX >> (64 - 8 * size);
}

uint64_t bus_read(struct bus *bus, struct vcpu *vcpu, uint64_t address, unsigned size)
{
    uint64_t value = 0;

    for (unsigned done = 0; done < size;) {
        const struct bus_region *region = bus_find(bus, address + done);
        unsigned part = 1;
        uint64_t piece = 0xff;
        if (region != NULL) {
            uint64_t offset = address + done - region->base;
            part = bus_part(region, offset, size - done);
            piece = region->ops->read(region->device, vcpu, offset, part) & ones(part);
        } else {
            bus->accesses_unclaimed++;
        }
        value |= piece << (8 * done);
        done += part;
    }
    return value;
}

void bus_write(struct bus *bus, struct vcpu *vcpu, uint64_t address, unsigned size, uint64_t value)
{
    for (unsigned done = 0; done < size;) {
        const struct bus_region *region = bus_find(bus, address + done);
        unsigned part = 1;
        if (region != NULL) {
            uint64_t offset = address + done - region->base;
            part = bus_part(region, offset, size - done);
            region->ops->write(region->device, vcpu, offset, part, (value >> (8 * done)) & ones(part));
        } else {
            bus->accesses_unclaimed++;
        }
        done += part;
    }
}
