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
    while (width > region->size) /* no access is wider than the region: see recent_region */
        width /= 2;
    bus->regions[at].access_bytes_max = width;
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
    static const uint64_t masks[] = {[1] = UINT8_MAX, [2] = UINT16_MAX, [4] = UINT32_MAX, [8] = UINT64_MAX};

    return masks[size];
}

/*
 * The region of the last access, when it takes this one in one piece too; else NULL. No region wraps (bus_claim), so an
 * address below it has an offset beyond it.
 */
static inline const struct bus_region *recent_region(const struct bus *bus, uint64_t address, unsigned size)
{
    const struct bus_region *region = &bus->regions[bus->recent];
    uint64_t offset = address - region->base;

    return size <= region->access_bytes_max && offset <= region->size - size ? region : NULL;
}

/* The region that holds the address, to be tried first the next time, or NULL. */
static const struct bus_region *search_again(struct bus *bus, uint64_t address)
{
    const struct bus_region *region = bus_find(bus, address);

    if (region != NULL)
        bus->recent = (uint32_t)(region - bus->regions);
    else
        bus->accesses_unclaimed++;
    return region;
}

static __attribute__((noinline)) uint64_t read_pieces(struct bus *bus, struct vcpu *vcpu, uint64_t address,
                                                      unsigned size)
{
    uint64_t value = 0;

    for (unsigned done = 0; done < size;) {
        const struct bus_region *region = search_again(bus, address + done);
        unsigned part = 1;
        uint64_t piece = 0xff;
        if (region != NULL) {
            uint64_t offset = address + done - region->base;
            part = bus_part(region, offset, size - done);
            piece = region->ops->read(region->device, vcpu, offset, part) & ones(part);
        }
        value |= piece << (8 * done);
        done += part;
    }
    return value;
}

static __attribute__((noinline)) void write_pieces(struct bus *bus, struct vcpu *vcpu, uint64_t address, unsigned size,
                                                   uint64_t value)
{
    for (unsigned done = 0; done < size;) {
        const struct bus_region *region = search_again(bus, address + done);
        unsigned part = 1;
        if (region != NULL) {
            uint64_t offset = address + done - region->base;
            part = bus_part(region, offset, size - done);
            region->ops->write(region->device, vcpu, offset, part, (value >> (8 * done)) & ones(part));
        }
        done += part;
    }
}

uint64_t bus_read(struct bus *bus, struct vcpu *vcpu, uint64_t address, unsigned size)
{
    const struct bus_region *region = recent_region(bus, address, size);

    if (region == NULL)
        return read_pieces(bus, vcpu, address, size);
    return region->ops->read(region->device, vcpu, address - region->base, size) & ones(size);
}

void bus_write(struct bus *bus, struct vcpu *vcpu, uint64_t address, unsigned size, uint64_t value)
{
    const struct bus_region *region = recent_region(bus, address, size);

    if (region == NULL)
        write_pieces(bus, vcpu, address, size, value);
    else
        region->ops->write(region->device, vcpu, address - region->base, size, value & ones(size));
}
