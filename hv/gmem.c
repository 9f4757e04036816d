/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The only way to guest memory.
 */
#include "hv/gmem.h"

#include "hv/error.h"
#include "hv/guest.h"
#include "hv/machine.h"
#include "hv/string.h"

/* The range that holds the address, or NULL. The first range with more than a page is nearly always the one. */
static const struct guest_ram *gmem_find(const struct guest *guest, gpa_t address)
{
    for (uint32_t i = guest->ram_count; i-- > 0;) {
        const struct guest_ram *ram = &guest->ram[i];
        if (address >= ram->base)
            return address - ram->base < ram->size ? ram : NULL;
    }
    return NULL;
}

void *gmem_range(const struct guest_ram *ram)
{
    return machine_pointer(ram->host);
}

void *gmem_pointer(struct guest *guest, gpa_t address, uint64_t size)
{
    const struct guest_ram *ram = gmem_find(guest, address);

    if (ram == NULL || size > ram->size - (address - ram->base))
        return NULL;
    return machine_pointer(ram->host + (address - ram->base));
}

bool gmem_is_ram(const struct guest *guest, gpa_t address, uint64_t size)
{
    while (size > 0) {
        const struct guest_ram *ram = gmem_find(guest, address);
        if (ram == NULL)
            return false;
        uint64_t part = min_u64(size, ram->size - (address - ram->base));
        address += part;
        size -= part;
    }
    return true;
}

enum gmem_operation {
    GMEM_READ,
    GMEM_WRITE,
    GMEM_FILL,
};

/* One loop over the ranges for all three: refused as a whole before the first byte moves. */
static int gmem_each(struct guest *guest, gpa_t address, void *buffer, int byte, uint64_t size,
                     enum gmem_operation what)
{
    uint8_t *bytes = buffer;

    if (!gmem_is_ram(guest, address, size))
        return E_FAULT;
    while (size > 0) {
        const struct guest_ram *ram = gmem_find(guest, address);
        uint64_t part = min_u64(size, ram->size - (address - ram->base));
        uint8_t *memory = machine_pointer(ram->host + (address - ram->base));
        if (what == GMEM_FILL) {
            memset(memory, byte, part);
        } else {
            if (what == GMEM_READ)
                memcpy(bytes, memory, part);
            else
                memcpy(memory, bytes, part);
            bytes += part;
        }
        address += part;
        size -= part;
    }
    return 0;
}

int gmem_read(struct guest *guest, gpa_t from, void *to, uint64_t size)
{
    return gmem_each(guest, from, to, 0, size, GMEM_READ);
}

int gmem_write(struct guest *guest, gpa_t to, const void *from, uint64_t size)
{
    /* The buffer is only read for GMEM_WRITE. */
    return gmem_each(guest, to, (void *)(uintptr_t)from, 0, size, GMEM_WRITE);
}

int gmem_fill(struct guest *guest, gpa_t to, int byte, uint64_t size)
{
    return gmem_each(guest, to, NULL, byte, size, GMEM_FILL);
}
