/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who answers at an address: one bus for ports, one for memory, per guest. Filled while the guest is built,
 * constant once it runs. What nobody owns reads all ones and swallows writes.
 */
#ifndef HV_BUS_H
#define HV_BUS_H

#include "hv/types.h"

struct device;
struct vcpu;

/*
 * How a device answers in one region. `offset` is relative to the region's base; size is 1, 2, 4 or 8 and never more
 * than the region's `access_bytes_max`; offset + size never leaves the region. `vcpu` made the access.
 */
struct bus_ops {
    uint64_t (*read)(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size);
    void (*write)(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value);
};

struct bus_region {
    uint64_t base;
    uint64_t size;
    const struct bus_ops *ops;
    struct device *device;
    uint8_t access_bytes_max; /* wider accesses are split, low part first, as PC hardware does for 8-bit devices */
};

#define BUS_REGIONS_MAX 48u

struct bus {
    struct bus_region regions[BUS_REGIONS_MAX]; /* sorted by base, no overlap */
    uint32_t count;
    uint32_t recent; /* index of the region that was accessed last: the next access nearly always goes there too */
    uint64_t accesses_unclaimed; /* statistics */
};

/* Add a region. Returns 0, E_INVAL (empty, wraps, no access size), E_BUSY (overlaps another) or E_NOMEM. */
int bus_claim(struct bus *bus, const struct bus_region *region);

/*
 * One access of `size` (1, 2, 4, 8) bytes at any alignment; parts that lie in different regions, or in none, are
 * served piece by piece. Reads return the value zero-extended.
 */
uint64_t bus_read(struct bus *bus, struct vcpu *vcpu, uint64_t address, unsigned size);
void bus_write(struct bus *bus, struct vcpu *vcpu, uint64_t address, unsigned size, uint64_t value);

/* The region that holds the address, or NULL. */
const struct bus_region *bus_find(const struct bus *bus, uint64_t address);

#endif
