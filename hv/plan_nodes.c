/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which memory is near which CPUs. Ranges come from the firmware and may say anything, so each answer holds for any
 * list.
 */
#include "hv/plan_internal.h"

uint32_t plan_cpu_node(const struct plan_machine *machine, uint32_t cpu)
{
    return machine->cpus != NULL ? machine->cpus[cpu].node : PLAN_NODE_UNKNOWN;
}

uint32_t plan_node_at(const struct plan_machine *machine, hpa_t address, hpa_t *end)
{
    *end = UINT64_MAX;
    for (uint32_t i = 0; i < machine->memory_node_count; i++) {
        const struct plan_memory_node *range = &machine->memory_nodes[i];
        if (address < range->base) {
            *end = min_u64(*end, range->base);
        } else if (address - range->base < range->size) {
            *end = min_u64(*end, range_end(range->base, range->size));
            return range->node;
        }
    }
    return PLAN_NODE_UNKNOWN;
}

bool plan_node_is_new(const struct plan_machine *machine, uint32_t range)
{
    for (uint32_t i = 0; i < range; i++) {
        if (machine->memory_nodes[i].node == machine->memory_nodes[range].node)
            return false;
    }
    return true;
}

void plan_node_free(const struct plan_machine *machine, const struct extents *free, uint32_t node, struct extents *near)
{
    hpa_t end;

    *near = *free;
    for (uint32_t i = 0; i < free->count; i++) {
        for (hpa_t at = free->items[i].base; at < free->items[i].end; at = end) {
            if (plan_node_at(machine, at, &end) != node)
                (void)extents_remove(near, at, end); /* with too many pieces, the rest of one is passed over */
        }
    }
}
