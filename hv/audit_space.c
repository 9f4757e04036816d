/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The audit of the hypervisor's own address spaces: one leaf, one owner. What a leaf leads to is looked up from the
 * most to the least dangerous, and everything that nobody has a reason for is a fault.
 */
#include "hv/audit.h"
#include "hv/config.h"
#include "hv/pages.h"

struct space {
    const struct audit_layout *layout;
    uint32_t cpu;
    uint32_t guest; /* that runs on this CPU, or PLAN_NOBODY */
    struct audit_result *result;
};

static bool is_monitor(const struct space *space)
{
    return space->cpu == space->layout->plan->monitor_cpu;
}

static bool is_own_ram(const struct space *space, struct extent range)
{
    if (space->guest == PLAN_NOBODY)
        return false;
    const struct plan_guest *guest = &space->layout->plan->guests[space->guest];
    for (uint32_t i = 0; i < guest->piece_count; i++) {
        if (extent_inside(range, guest->pieces[i]))
            return true;
    }
    return false;
}

/* Its own stacks and variables; the models of its own guest, or on the monitor CPU of any. */
static bool is_own_pool(const struct space *space, struct extent range)
{
    const struct audit_layout *layout = space->layout;

    if (extent_inside(range, layout->windows[space->cpu]))
        return true;
    for (uint32_t i = 0; i < layout->plan->guest_count; i++) {
        if ((i == space->guest || is_monitor(space)) && extent_inside(range, layout->arenas[i]))
            return true;
    }
    return false;
}

static struct extent module_pages(const struct boot_module *module)
{
    return (struct extent){ALIGN_DOWN(module->base, PAGE_SIZE), ALIGN_UP(module->base + module->size, PAGE_SIZE)};
}

/* The module that the range is a part of, to be read for this CPU's guest. */
static bool is_own_module(const struct space *space, struct extent range)
{
    const struct boot_info *boot = space->layout->machine->boot;

    if (space->guest == PLAN_NOBODY)
        return false;
    for (uint32_t i = 0; i < boot->module_count; i++) {
        if (extent_inside(range, module_pages(&boot->modules[i])) &&
            config_guest_names_module(space->layout->plan->guests[space->guest].config, boot->modules[i].name))
            return true;
    }
    return false;
}

static bool is_memory(const struct space *space, struct extent range)
{
    const struct boot_info *boot = space->layout->machine->boot;

    for (uint32_t i = 0; i < boot->memory_count; i++) {
        const struct boot_memory_range *memory = &boot->memory[i];
        if (memory->type == BOOT_MEMORY_RAM &&
            extent_touches(range, (struct extent){memory->base, memory->base + memory->size}))
            return true;
    }
    return false;
}

/* What is wrong with this leaf; NULL: nothing. */
static const char *find_fault(const struct space *space, const struct pagetable_mapping *mapping, struct extent range)
{
    const struct audit_layout *layout = space->layout;
    bool writes = (mapping->access & ACCESS_WRITE) != 0, executes = (mapping->access & ACCESS_EXECUTE) != 0;

    if (writes && executes)
        return "both writable and executable";
    if (executes && !extent_inside(range, layout->text))
        return "executable, but not the hypervisor's code";
    if (writes && extent_touches(range, layout->text))
        return "the hypervisor's code, writable";
    if (extent_inside(range, layout->image))
        return NULL;
    if (audit_find_owner(layout->plan, space->guest, range) != NULL)
        return "memory of a guest that does not run here";
    if (is_own_ram(space, range))
        return NULL;
    if (pages_overlap(range.base, range.end - range.base))
        return is_own_pool(space, range) ? NULL : "a part of the page pool that belongs to no one here";
    if (is_own_module(space, range))
        return writes ? "a boot module, writable" : NULL;
    if (is_memory(space, range))
        return "memory that no one here owns";
    return mapping->type == MEMORY_UNCACHED ? NULL : "a device, but cached";
}

static int visit(void *context, const struct pagetable_mapping *mapping)
{
    const struct space *space = context;
    const struct extent range = {mapping->hpa, mapping->hpa + mapping->size};
    const char *what = find_fault(space, mapping, range);

    if (what != NULL)
        audit_fault(space->result, &space->result->space_faults, "CPU %u: address 0x%llx leads to 0x%llx-0x%llx: %s",
                    space->cpu, (unsigned long long)mapping->address, (unsigned long long)range.base,
                    (unsigned long long)range.end - 1, what);
    return 0;
}

void audit_space(const struct audit_layout *layout, uint32_t cpu, const struct pagetable *table,
                 struct audit_result *result)
{
    struct space space = {layout, cpu, layout->plan->cpu_owner[cpu], result};

    (void)pagetable_walk(table, visit, &space); /* visit never ends it */
    result->spaces++;
}

static void check_owned_pages(const struct audit_layout *layout, const struct extent *all, uint32_t count, uint32_t i,
                              const char *what, struct audit_result *result)
{
    const struct extent range = all[i];

    if (range.base == range.end)
        return;
    if (!pages_overlap(range.base, range.end - range.base))
        audit_fault(result, &result->space_faults, "%s %u is not in the page pool", what, i);
    for (uint32_t k = i + 1; k < count; k++) {
        if (extent_touches(range, all[k]))
            audit_fault(result, &result->space_faults, "%s %u and %u share pages", what, i, k);
    }
    for (uint32_t cpu = 0; all != layout->windows && cpu < CPUS_MAX; cpu++) {
        if (extent_touches(range, layout->windows[cpu]))
            audit_fault(result, &result->space_faults, "%s %u has stacks of CPU %u", what, i, cpu);
    }
}

void audit_layout(const struct audit_layout *layout, struct audit_result *result)
{
    for (uint32_t i = 0; i < GUESTS_MAX; i++)
        check_owned_pages(layout, layout->arenas, GUESTS_MAX, i, "the pool's part of guest", result);
    for (uint32_t i = 0; i < CPUS_MAX; i++)
        check_owned_pages(layout, layout->windows, CPUS_MAX, i, "the pool's part of CPU", result);
}
