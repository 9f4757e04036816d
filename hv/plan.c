/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The planner, but for memory: CPUs and boot modules that a configuration names must be there. All mistakes of
 * a file are reported, so no check stops at the first.
 */
#include "hv/plan.h"

#include <stdarg.h>

#include "hv/error.h"
#include "hv/format.h"
#include "hv/plan_internal.h"
#include "hv/similar.h"
#include "hv/string.h"

void plan_error(const struct planner *planner, const struct guest_config *guest, struct config_position position,
                const char *format, ...)
{
    char text[DIAGNOSTIC_LINE_SIZE];
    va_list arguments;

    va_start(arguments, format);
    format_text_v(text, sizeof(text), format, arguments);
    va_end(arguments);
    diagnostic_at(planner->diagnostics, planner->file, position, "guest \"%s\": %s", guest->name, text);
}

bool plan_share_core(const struct plan_machine *machine, uint32_t cpu, uint32_t other)
{
    return cpu == other || (machine->cpus != NULL && machine->cpus[cpu].core == machine->cpus[other].core);
}

/* One that is not there. With the first of them comes the sum, when the guests ask for more CPUs than there are. */
static void report_missing_cpu(const struct planner *planner, const struct guest_config *guest,
                               const struct config_cpu *cpu, bool is_first)
{
    uint32_t count = planner->machine->cpu_count, asked = 0;
    struct plan_text there = {"CPU 0 only"}, sum = {""};

    for (uint32_t i = 0; i < planner->config->guest_count; i++)
        asked += planner->config->guests[i].cpu_count;
    if (count > 1)
        format_text(there.text, sizeof(there.text), "CPUs 0-%u", count - 1);
    if (is_first && asked > count)
        format_text(sum.text, sizeof(sum.text), "; the file asks for %u in all, %u too many", asked, asked - count);
    plan_error(planner, guest, cpu->position, "CPU %u does not exist; this machine has %s%s", cpu->number, there.text,
               sum.text);
}

static void plan_cpus(const struct planner *planner, uint32_t index, bool *is_first_missing)
{
    const struct guest_config *guest = &planner->config->guests[index];
    struct plan_guest *planned = &planner->plan->guests[index];
    uint32_t count = planner->machine->cpu_count;

    for (uint32_t i = 0; i < guest->cpu_count; i++) {
        const struct config_cpu *cpu = &guest->cpus[i];
        if (cpu->number >= count) {
            report_missing_cpu(planner, guest, cpu, *is_first_missing);
            *is_first_missing = false;
            continue;
        }
        uint32_t *owner = &planner->plan->cpu_owner[cpu->number];
        if (*owner != PLAN_NOBODY) {
            plan_error(planner, guest, cpu->position, "CPU %u already belongs to guest \"%s\"", cpu->number,
                       planner->config->guests[*owner].name);
            continue;
        }
        *owner = index;
        planned->cpus[planned->cpu_count++] = cpu->number;
    }
}

/* Does any guest but `self` (PLAN_NOBODY: any at all) own a CPU on this one's core? */
static bool has_neighbour(const struct planner *planner, uint32_t self, uint32_t cpu)
{
    for (uint32_t other = 0; other < planner->machine->cpu_count; other++) {
        uint32_t owner = planner->plan->cpu_owner[other];
        if (owner != PLAN_NOBODY && owner != self && plan_share_core(planner->machine, cpu, other))
            return true;
    }
    return false;
}

/* Another guest's CPU that `self` owns a sibling of, without leave from both. PLAN_NOBODY: none. */
static uint32_t find_unwelcome(const struct planner *planner, uint32_t self, uint32_t cpu)
{
    const struct guest_config *guests = planner->config->guests;

    for (uint32_t other = 0; other < planner->machine->cpu_count; other++) {
        uint32_t owner = planner->plan->cpu_owner[other];
        if (owner < self && plan_share_core(planner->machine, cpu, other) &&
            !(guests[owner].allow_shared_core && guests[self].allow_shared_core))
            return other;
    }
    return PLAN_NOBODY;
}

static void report_shared_core(const struct planner *planner, uint32_t index, const struct config_cpu *cpu,
                               uint32_t other)
{
    const struct plan *plan = planner->plan;
    const struct guest_config *guest = &planner->config->guests[index];
    const struct guest_config *neighbour = &planner->config->guests[plan->cpu_owner[other]];
    struct sentence advice = {.length = 0};
    uint32_t better = 0;

    while (better < planner->machine->cpu_count &&
           (plan->cpu_owner[better] != PLAN_NOBODY || has_neighbour(planner, index, better)))
        better++;
    if (better < planner->machine->cpu_count)
        sentence_add(&advice, "take CPU %u, or ", better);
    sentence_add(&advice, "write allow_shared_core = true ");
    if (guest->allow_shared_core)
        sentence_add(&advice, "in guest \"%s\" too", neighbour->name);
    else if (neighbour->allow_shared_core)
        sentence_add(&advice, "here too");
    else
        sentence_add(&advice, "in both guests");
    plan_error(planner, guest, cpu->position,
               "CPU %u is a hardware thread of core %u, as is CPU %u of guest \"%s\" (line %u); %s", cpu->number,
               planner->machine->cpus[cpu->number].core, other, neighbour->name,
               neighbour->keys[CONFIG_CPUS].position.line, advice.text);
}

/* Each pair of guests is judged where the later one names its CPU. */
static void check_shared_cores(const struct planner *planner, uint32_t index)
{
    const struct guest_config *guest = &planner->config->guests[index];

    for (uint32_t i = 0; i < guest->cpu_count; i++) {
        const struct config_cpu *cpu = &guest->cpus[i];
        if (cpu->number >= planner->machine->cpu_count || planner->plan->cpu_owner[cpu->number] != index)
            continue;
        uint32_t other = find_unwelcome(planner, index, cpu->number);
        if (other != PLAN_NOBODY)
            report_shared_core(planner, index, cpu, other);
    }
}

/* What watches the guests should neither be slowed nor be watched by one. */
static void plan_monitor(const struct planner *planner)
{
    struct plan *plan = planner->plan;
    uint32_t count = planner->machine->cpu_count, quiet = 0, free = 0;

    while (free < count && plan->cpu_owner[free] != PLAN_NOBODY)
        free++;
    while (quiet < count && has_neighbour(planner, PLAN_NOBODY, quiet))
        quiet++;
    plan->monitor_shares_cpu = free == count;
    plan->monitor_cpu = quiet < count ? quiet : free < count ? free : 0;
}

/* How often did the loader bring a module of that name? One whose name was cut cannot be told from others. */
static uint32_t modules_named(const struct boot_info *boot, const char *name)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < boot->module_count; i++)
        count += !boot->modules[i].name_cut && strcmp(boot->modules[i].name, name) == 0;
    return count;
}

static void report_missing_module(const struct planner *planner, const struct guest_config *guest,
                                  struct config_position position, const char *name)
{
    const struct boot_info *boot = planner->machine->boot;
    struct similar similar;
    struct sentence sentence = {.length = 0};

    similar_begin(&similar, name, strlen(name));
    for (uint32_t i = 0; i < boot->module_count; i++) {
        if (!boot->modules[i].name_cut)
            similar_offer(&similar, boot->modules[i].name);
    }
    if (similar.best != NULL)
        sentence_add(&sentence, "did you mean \"%s\"? ", similar.best);
    sentence_add(&sentence, boot->module_count == 0 ? "the loader brought none" : "the loader brought");
    for (uint32_t i = 0; i < boot->module_count; i++)
        sentence_add(&sentence, "%s \"%s%s\"", i == 0 ? "" : ",", boot->modules[i].name,
                     boot->modules[i].name_cut ? "..." : "");
    if (boot->modules_cut)
        sentence_add(&sentence, " and more than the %u that Bulkhead can take", MODULES_MAX);
    plan_error(planner, guest, position, "there is no boot module \"%s\"; %s", name, sentence.text);
}

static void check_module(const struct planner *planner, const struct guest_config *guest,
                         struct config_position position, const char *name)
{
    uint32_t count = modules_named(planner->machine->boot, name);

    if (count == 0)
        report_missing_module(planner, guest, position, name);
    else if (count > 1)
        plan_error(planner, guest, position,
                   "the loader brought %u boot modules named \"%s\"; give each another name, as the last word of its "
                   "string",
                   count, name);
}

static void check_modules(const struct planner *planner, const struct guest_config *guest)
{
    check_module(planner, guest, guest->keys[CONFIG_KERNEL].position, guest->kernel);
    if (guest->initrd[0] != '\0')
        check_module(planner, guest, guest->keys[CONFIG_INITRD].position, guest->initrd);
    for (uint32_t i = 0; i < guest->module_count; i++)
        check_module(planner, guest, guest->modules[i].position, guest->modules[i].name);
}

int plan_make(const char *file_name, const struct config *config, const struct plan_machine *machine, struct plan *plan,
              struct diagnostics *diagnostics)
{
    const struct planner planner = {file_name, config, machine, plan, diagnostics};
    unsigned errors_before = diagnostics->errors;
    bool is_first_missing = true;

    memset(plan, 0, sizeof(*plan));
    plan->guest_count = config->guest_count;
    for (uint32_t cpu = 0; cpu < CPUS_MAX; cpu++)
        plan->cpu_owner[cpu] = PLAN_NOBODY;
    diagnostics_hold(diagnostics);
    for (uint32_t i = 0; i < config->guest_count; i++) {
        const struct guest_config *guest = &config->guests[i];
        plan->guests[i].config = guest;
        plan_cpus(&planner, i, &is_first_missing);
        check_modules(&planner, guest);
    }
    for (uint32_t i = 0; i < config->guest_count; i++)
        check_shared_cores(&planner, i);
    plan_monitor(&planner);
    plan_memory(&planner);
    diagnostics_release(diagnostics, file_name);
    return diagnostics->errors == errors_before ? 0 : E_INVAL;
}
