/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Planted: the second guest's second-stage table also leads to a page of the first guest.
 */
#include "hv/pagetable.h"
#include "hv/virt.h"

int __real_pagetable_map(struct pagetable *table, uint64_t address, hpa_t hpa, uint64_t size, unsigned access,
                         enum memory_type type);
int __wrap_pagetable_map(struct pagetable *table, uint64_t address, hpa_t hpa, uint64_t size, unsigned access,
                         enum memory_type type);

int __wrap_pagetable_map(struct pagetable *table, uint64_t address, hpa_t hpa, uint64_t size, unsigned access,
                         enum memory_type type)
{
    static hpa_t first_root, first_memory;
    static bool planted;
    int error = __real_pagetable_map(table, address, hpa, size, access, type);

    if (error != 0 || virt == NULL || table->format != virt->stage2 || planted)
        return error;
    if (first_root == 0) {
        first_root = table->root;
        first_memory = hpa;
    } else if (table->root != first_root) {
        planted = true;
        error = __real_pagetable_map(table, GIB(1), first_memory, PAGE_SIZE, ACCESS_ALL, MEMORY_WRITE_BACK);
    }
    return error;
}
