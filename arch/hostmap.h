/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's own address space, one per CPU:
 *
 *   0xffff800000000000 + hpa   RAM that this CPU may reach: page pool, boot modules, its own guest (read/write, never
 * executable) 0xffffff8000000000 + n     device registers, uncached 0xffffffff80000000 + hpa   the image: text
 * executable, constants read-only, data writable 0xffffffffc0000000         this CPU's own stacks and variables, guard
 * pages between
 */
#ifndef ARCH_HOSTMAP_H
#define ARCH_HOSTMAP_H

#include "hv/types.h"

#define HOSTMAP_RAM_BASE    UINT64_C(0xffff800000000000)
#define HOSTMAP_DEVICE_BASE UINT64_C(0xffffff8000000000)
#define HOSTMAP_IMAGE_BASE  UINT64_C(0xffffffff80000000)
#define HOSTMAP_CPU_BASE    UINT64_C(0xffffffffc0000000)

/* Say where the page pool is, which every space maps. Before the first hostmap_create. */
void hostmap_init(hpa_t base, uint64_t size);

/* Leave the start-up tables and stack for a CPU's own, for good. From hostmap.S. */
_Noreturn void hostmap_enter(hpa_t root, void (*main)(void));

/*
 * Build the address space of a CPU (`cpu` < CPUS_MAX): image, page pool, and that CPU's own window with fresh pages.
 * Returns its root for CR3, or 0 when the pool is used up.
 */
hpa_t hostmap_create(uint32_t cpu);

/* Map RAM of this CPU's guest, or a boot module, into one CPU's space. Page-aligned outwards. Returns 0, E_NOMEM or
 * E_BUSY. */
int hostmap_map_ram(uint32_t cpu, hpa_t base, uint64_t size, bool writable);

/* Map device registers uncached into every space that exists and that will be created. NULL when the pool is used up.
 */
volatile void *hostmap_map_device(hpa_t base, uint64_t size);

/* Read-only look at firmware memory (ACPI tables) before other CPUs run: maps on demand. NULL when that cannot be. */
const void *hostmap_map_firmware(hpa_t base, uint64_t size);

/* The image's host-physical address of one of its own symbols. */
hpa_t hostmap_image_address(const void *symbol);

#endif
