/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The boot page allocator: one mark that moves up through the pool, and one that moves down.
 */
#include "hv/pages.h"

#include "hv/machine.h"
#include "hv/string.h"

static hpa_t pool_start, pool_end;
static hpa_t pool_next, pool_hidden; /* what lies between them is free */
static bool frozen;

void pages_init(hpa_t base, uint64_t size)
{
    hpa_t end = size > UINT64_MAX - base ? UINT64_MAX : base + size;

    if (base == 0)
        base = PAGE_SIZE; /* address 0 means "none" */
    pool_end = ALIGN_DOWN(end, PAGE_SIZE);
    pool_start = base > pool_end ? pool_end : ALIGN_UP(base, PAGE_SIZE);
    pool_next = pool_start;
    pool_hidden = pool_end;
    frozen = false;
}

static hpa_t cleared(hpa_t start, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        memset(machine_pointer(start + i * PAGE_SIZE), 0, PAGE_SIZE);
    return start;
}

hpa_t pages_allocate(uint64_t count, uint64_t alignment)
{
    alignment = max_u64(alignment, PAGE_SIZE);
    if (frozen || count == 0 || pool_next > UINT64_MAX - alignment)
        return 0;
    hpa_t start = ALIGN_UP(pool_next, alignment);
    if (start >= pool_hidden || count > (pool_hidden - start) / PAGE_SIZE)
        return 0;
    pool_next = start + count * PAGE_SIZE;
    return cleared(start, count);
}

hpa_t pages_mark(void)
{
    return pool_next;
}

hpa_t pages_allocate_hidden(uint64_t count)
{
    if (frozen || count == 0 || count > (pool_hidden - pool_next) / PAGE_SIZE)
        return 0;
    pool_hidden -= count * PAGE_SIZE;
    return cleared(pool_hidden, count);
}

void pages_freeze(void)
{
    frozen = true;
}

uint64_t pages_total(void)
{
    return (pool_end - pool_start) / PAGE_SIZE;
}

uint64_t pages_used(void)
{
    return (pool_next - pool_start + (pool_end - pool_hidden)) / PAGE_SIZE;
}

bool pages_overlap(hpa_t base, uint64_t size)
{
    if (size == 0 || base >= pool_end)
        return false;
    return base >= pool_start || pool_start - base < size;
}
