/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two steps. The pieces of the plan are compared with each other and with what is reserved; they are few. Then a leaf
 * that leads into its own guest's RAM at the right place is harmless by the first step, and only other leaves are
 * compared with everything. So no page needs a mark, however large the guests are.
 */
#include "hv/audit.h"

#include <stdarg.h>

#include "hv/error.h"
#include "hv/format.h"
#include "hv/log.h"
#include "hv/pages.h"

#define FAULTS_SHOWN 8u

struct audit {
    const struct plan *plan;
    const struct plan_machine *machine;
    struct audit_result *result;
    uint32_t guest; /* whose table is walked */
    uint64_t mapped_bytes;
};

void audit_fault(struct audit_result *result, uint64_t *count, const char *format, ...)
{
    char text[256];
    va_list arguments;

    (*count)++;
    if (result->faults++ >= FAULTS_SHOWN)
        return;
    va_start(arguments, format);
    format_text_v(text, sizeof(text), format, arguments);
    va_end(arguments);
    log_error("audit: %s", text);
}

const struct plan_guest *audit_find_owner(const struct plan *plan, uint32_t self, struct extent range)
{
    for (uint32_t i = 0; i < plan->guest_count; i++) {
        const struct plan_guest *guest = &plan->guests[i];
        for (uint32_t k = 0; i != self && k < guest->piece_count; k++) {
            if (extent_touches(range, guest->pieces[k]))
                return guest;
        }
    }
    return NULL;
}

static bool touches(struct extent range, uint64_t base, uint64_t size)
{
    uint64_t end = size > UINT64_MAX - base ? UINT64_MAX : base + size;

    return size != 0 && extent_touches(range, (struct extent){base, end});
}

/* What a guest must never reach in the range, or NULL. */
static const char *find_reserved(const struct audit *audit, struct extent range)
{
    const struct plan_machine *machine = audit->machine;

    if (pages_overlap(range.base, range.end - range.base))
        return "the page pool";
    for (uint32_t i = 0; i < machine->reserved_count; i++) {
        if (touches(range, machine->reserved[i].base, machine->reserved[i].size))
            return machine->reserved[i].what;
    }
    for (uint32_t i = 0; i < machine->boot->module_count; i++) {
        if (touches(range, machine->boot->modules[i].base, machine->boot->modules[i].size))
            return machine->boot->modules[i].name;
    }
    return NULL;
}

static void fault(struct audit *audit, uint64_t *count, const char *from, uint64_t address, struct extent range,
                  const char *whose, const char *what)
{
    audit_fault(audit->result, count, "guest \"%s\": %s 0x%llx leads to 0x%llx-0x%llx: %s%s",
                audit->plan->guests[audit->guest].config->name, from, (unsigned long long)address,
                (unsigned long long)range.base, (unsigned long long)range.end - 1, whose, what);
}

/* Compare with everything that the guest does not own. True when something was found. */
static bool check_foreign(struct audit *audit, const char *from, uint64_t address, struct extent range)
{
    const struct plan_guest *owner = audit_find_owner(audit->plan, audit->guest, range);
    const char *reserved = find_reserved(audit, range);

    if (owner != NULL)
        fault(audit, &audit->result->overlaps, from, address, range, "memory of guest ", owner->config->name);
    if (reserved != NULL)
        fault(audit, &audit->result->reserved, from, address, range, "", reserved);
    return owner != NULL || reserved != NULL;
}

static bool is_planned(const struct plan_guest *guest, const struct pagetable_mapping *mapping)
{
    for (uint32_t i = 0; i < guest->ram_count; i++) {
        const struct guest_ram *ram = &guest->ram[i];
        uint64_t offset = mapping->address - ram->base;
        if (mapping->address >= ram->base && offset < ram->size && mapping->size <= ram->size - offset)
            return mapping->hpa == ram->host + offset;
    }
    return false;
}

static int visit(void *context, const struct pagetable_mapping *mapping)
{
    struct audit *audit = context;
    const struct extent range = {mapping->hpa, mapping->hpa + mapping->size}; /* below 2^53 */

    audit->result->mappings++;
    if (is_planned(&audit->plan->guests[audit->guest], mapping))
        audit->mapped_bytes += mapping->size;
    else if (!check_foreign(audit, "address", mapping->address, range))
        fault(audit, &audit->result->outside, "address", mapping->address, range, "", "not as planned");
    return 0;
}

/* Is the RAM that the guest sees a part of its pieces, and are those its own? Returns the RAM's size. */
static uint64_t check_plan(struct audit *audit)
{
    const struct plan_guest *guest = &audit->plan->guests[audit->guest];
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < guest->piece_count; i++)
        (void)check_foreign(audit, "piece", i, guest->pieces[i]);
    for (uint32_t i = 0; i < guest->ram_count; i++) {
        const struct extent range = {guest->ram[i].host, guest->ram[i].host + guest->ram[i].size};
        bool is_own = false;
        for (uint32_t k = 0; k < guest->piece_count; k++)
            is_own = is_own || extent_inside(range, guest->pieces[k]);
        if (!is_own)
            fault(audit, &audit->result->outside, "RAM at", guest->ram[i].base, range, "", "not as planned");
        bytes += guest->ram[i].size;
    }
    return bytes;
}

static void check_guest(struct audit *audit, const struct pagetable *table)
{
    uint64_t planned_bytes = check_plan(audit);

    audit->mapped_bytes = 0;
    (void)pagetable_walk(table, visit, audit); /* visit never ends it */
    if (audit->mapped_bytes == planned_bytes)
        return;
    uint64_t missing = planned_bytes - audit->mapped_bytes, count = 0;
    audit->result->missing_bytes += missing;
    audit_fault(audit->result, &count, "guest \"%s\": %llu KiB of its RAM are mapped instead of %llu",
                audit->plan->guests[audit->guest].config->name, (unsigned long long)(audit->mapped_bytes >> 10),
                (unsigned long long)(planned_bytes >> 10));
}

void audit_stage2(const struct plan *plan, const struct plan_machine *machine, const struct pagetable *tables,
                  struct audit_result *result)
{
    struct audit audit = {.plan = plan, .machine = machine, .result = result};

    for (audit.guest = 0; audit.guest < plan->guest_count; audit.guest++)
        check_guest(&audit, &tables[audit.guest]);
    result->guests += plan->guest_count;
}

int audit_finish(const struct audit_result *result)
{
    log_line(result->faults == 0 ? LOG_INFO : LOG_ERROR,
             "audit: %u guest%s, %u vCPU%s, %u address space%s, %llu mappings, %llu overlaps", result->guests,
             result->guests == 1 ? "" : "s", result->vcpus, result->vcpus == 1 ? "" : "s", result->spaces,
             result->spaces == 1 ? "" : "s", (unsigned long long)result->mappings,
             (unsigned long long)result->overlaps);
    if (result->faults == 0)
        return 0;
    log_error(
        "audit: %llu mappings into reserved memory, %llu not as planned, %llu KiB missing, %llu faults in address "
        "spaces, %llu in what vCPUs may do: no guest is started",
        (unsigned long long)result->reserved, (unsigned long long)result->outside,
        (unsigned long long)(result->missing_bytes >> 10), (unsigned long long)result->space_faults,
        (unsigned long long)result->vcpu_faults);
    return E_FAULT;
}
