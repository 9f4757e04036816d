/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Planted: CPU 1 also maps the stacks of CPU 0.
 */
#include "arch/hostmap.h"

int __real_hostmap_map_ram(uint32_t cpu, hpa_t base, uint64_t size, bool writable);
int __wrap_hostmap_map_ram(uint32_t cpu, hpa_t base, uint64_t size, bool writable);

int __wrap_hostmap_map_ram(uint32_t cpu, hpa_t base, uint64_t size, bool writable)
{
    static bool planted;
    int error = __real_hostmap_map_ram(cpu, base, size, writable);

    if (error != 0 || cpu != 1 || planted)
        return error;
    planted = true;
    return __real_hostmap_map_ram(1, hostmap_window(0).base, PAGE_SIZE, true);
}
