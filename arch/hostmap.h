/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's own address space, one per CPU:
 *
 *   0xffff800000000000 + hpa   RAM that this CPU may reach: its guest, that guest's models and boot modules
 *   0xffffff8000000000 + n     device registers, uncached
 *   0xffffffff80000000 + hpa   the image: text executable, constants read-only, data writable
 *   0xffffffffc0000000         this CPU's own stacks and variables, unmapped pages between them
 *
 * Until everything is built, the boot CPU works in a space that also maps the page pool, all boot modules and the
 * firmware's tables.
 */
#ifndef ARCH_HOSTMAP_H
#define ARCH_HOSTMAP_H

#include "hv/extents.h"
#include "hv/pagetable.h"
#include "hv/types.h"

#define HOSTMAP_RAM_BASE    UINT64_C(0xffff800000000000)
#define HOSTMAP_DEVICE_BASE UINT64_C(0xffffff8000000000)
#define HOSTMAP_IMAGE_BASE  UINT64_C(0xffffffff80000000)
#define HOSTMAP_CPU_BASE    UINT64_C(0xffffffffc0000000)

#define HOSTMAP_SETUP CPUS_MAX /* that space, where the functions below take a CPU's number */

/* Leave the start-up tables and stack for a CPU's own, for good. From hostmap.S. */
_Noreturn void hostmap_enter(hpa_t root, void (*main)(void));

/*
 * Build the address space of a CPU (`cpu` < CPUS_MAX): image, device registers, and that CPU's own window with fresh
 * pages. Returns its root for CR3, or 0 when the pool is used up.
 */
hpa_t hostmap_create(uint32_t cpu);

/* The space for setting up: CPU 0's, which must be there, and the page pool. The root, or 0 when the pool is used up.
 */
hpa_t hostmap_create_setup(hpa_t pool_base, uint64_t pool_size);

/* The boot CPU goes on in its own space, for good: it no longer reaches page tables, pool, or other guests. */
void hostmap_leave_setup(void);

/* For the audit: the finished table of a CPU; the pages of its window; the image's code, in host-physical addresses. */
const struct pagetable *hostmap_space(uint32_t cpu);
struct extent hostmap_window(uint32_t cpu);
struct extent hostmap_text(void);

/* Map RAM into one CPU's space, or HOSTMAP_SETUP. Page-aligned outwards. Returns 0, E_NOMEM or E_BUSY. */
int hostmap_map_ram(uint32_t cpu, hpa_t base, uint64_t size, bool writable);

/* Map device registers uncached into every space that exists and that will be created. NULL when the pool is used up.
 */
volatile void *hostmap_map_device(hpa_t base, uint64_t size);

/* Read-only look at firmware memory (ACPI tables) before other CPUs run: maps on demand. NULL when that cannot be. */
const void *hostmap_map_firmware(hpa_t base, uint64_t size);

/* The image's host-physical address of one of its own symbols. */
hpa_t hostmap_image_address(const void *symbol);

#endif
