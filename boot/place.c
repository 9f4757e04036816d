/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page pool and the trampoline's page.
 */
#include "boot/place.h"

#include "hv/error.h"

/* 8 MiB, and 1 MiB for every 4 GiB of RAM: the hypervisor's own tables grow with what they map. */
#define POOL_BASE         MIB(8)
#define POOL_RAM_PER_MIB  GIB(4)
#define TABLE_ENTRY_BYTES 8u
#define POOL_LIMIT        GIB(4) /* reached by the start-up tables, and by CR3 in 32-bit code */
#define POOL_ALIGNMENT    MIB(2)
#define LOW_MEMORY_END    0xa0000u
#define LOW_MEMORY_START  0x1000u /* not the interrupt vectors */

static bool overlaps(hpa_t base, uint64_t size, hpa_t other_base, uint64_t other_size)
{
    return base < other_base + other_size && other_base < base + size;
}

/* Free of everything that is in use or reserved. */
static bool is_free(const struct boot_info *info, const struct boot_places *places, hpa_t base, uint64_t size)
{
    if (overlaps(base, size, places->image_base, places->image_size))
        return false;
    for (uint32_t i = 0; i < info->module_count; i++) {
        if (overlaps(base, size, info->modules[i].base, info->modules[i].size))
            return false;
    }
    for (uint32_t i = 0; i < info->memory_count; i++) {
        if (info->memory[i].type != BOOT_MEMORY_RAM && overlaps(base, size, info->memory[i].base, info->memory[i].size))
            return false;
    }
    return true;
}

/* The highest free piece of `size` bytes inside RAM between the limits; 0: none. */
static hpa_t find_highest(const struct boot_info *info, const struct boot_places *places, uint64_t size,
                          uint64_t alignment, hpa_t lowest, hpa_t limit)
{
    hpa_t best = 0;

    for (uint32_t i = 0; i < info->memory_count; i++) {
        const struct boot_memory_range *range = &info->memory[i];
        hpa_t end = min_u64(range->base + range->size, limit), start = max_u64(range->base, lowest);
        if (range->type != BOOT_MEMORY_RAM || end < size)
            continue;
        for (hpa_t base = ALIGN_DOWN(end - size, alignment); base >= start && base > best; base -= alignment) {
            if (is_free(info, places, base, size))
                best = base;
            if (base < alignment)
                break;
        }
    }
    return best;
}

/* Second-stage tables: one entry a page; those above the last level are a 512th of that and go with the rest. */
static uint64_t pool_size(uint64_t ram, uint64_t stage2_page)
{
    uint64_t stage2 = ram / stage2_page * TABLE_ENTRY_BYTES;

    return ALIGN_UP(POOL_BASE + ram / (POOL_RAM_PER_MIB / MIB(1)) + stage2, POOL_ALIGNMENT);
}

int place_choose(const struct boot_info *info, uint64_t stage2_page, struct boot_places *places)
{
    uint64_t ram = 0;

    for (uint32_t i = 0; i < info->memory_count; i++) {
        if (info->memory[i].type == BOOT_MEMORY_RAM)
            ram += info->memory[i].size;
    }
    places->pool_size = pool_size(ram, stage2_page);
    places->pool_base = find_highest(info, places, places->pool_size, POOL_ALIGNMENT, MIB(1), POOL_LIMIT);
    /* No such piece: what there is. A guest whose tables find no room is refused. */
    while (places->pool_base == 0 && places->pool_size > PLACE_POOL_MIN) {
        places->pool_size = ALIGN_UP(places->pool_size / 2, POOL_ALIGNMENT);
        places->pool_base = find_highest(info, places, places->pool_size, POOL_ALIGNMENT, MIB(1), POOL_LIMIT);
    }
    if (places->pool_base == 0) {
        places->pool_size = PLACE_POOL_MIN;
        places->pool_base = find_highest(info, places, places->pool_size, PAGE_SIZE, MIB(1), POOL_LIMIT);
    }
    places->low_page = find_highest(info, places, PAGE_SIZE, PAGE_SIZE, LOW_MEMORY_START, LOW_MEMORY_END);
    return places->pool_base == 0 || places->low_page == 0 ? E_NOMEM : 0;
}
