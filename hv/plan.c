/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The planner, but for memory: CPUs, boot modules and devices that a configuration names must be there. All mistakes of
 * a file are reported, so no check stops at the first.
 */
#include "hv/plan.h"

#include <stdarg.h>

#include "hv/error.h"
#include "hv/format.h"
#include "hv/loader.h"
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

struct plan_text plan_size_text(uint64_t bytes)
{
    struct plan_text size = {""};

    if (bytes != 0 && IS_ALIGNED(bytes, GIB(1)))
        format_text(size.text, sizeof(size.text), "%llu GiB", (unsigned long long)(bytes >> 30));
    else if (bytes != 0 && IS_ALIGNED(bytes, MIB(1)))
        format_text(size.text, sizeof(size.text), "%llu MiB", (unsigned long long)(bytes >> 20));
    else
        format_text(size.text, sizeof(size.text), "%llu KiB", (unsigned long long)(bytes >> 10));
    return size;
}

struct plan_text plan_room_text(uint64_t bytes)
{
    return plan_size_text(bytes < MIB(1) ? bytes : ALIGN_DOWN(bytes, MIB(1)));
}

static struct plan_text cpus_text(uint32_t count)
{
    struct plan_text cpus = {""};

    if (count == 1)
        format_text(cpus.text, sizeof(cpus.text), "CPU 0 only");
    else
        format_text(cpus.text, sizeof(cpus.text), "CPUs 0-%u", count - 1);
    return cpus;
}

static void plan_cpus(const struct planner *planner, uint32_t index)
{
    const struct guest_config *guest = &planner->config->guests[index];
    struct plan_guest *planned = &planner->plan->guests[index];
    uint32_t count = planner->machine->cpu_count;

    for (uint32_t i = 0; i < guest->cpu_count; i++) {
        const struct config_cpu *cpu = &guest->cpus[i];
        if (cpu->number >= count) {
            plan_error(planner, guest, cpu->position, "CPU %u does not exist; this machine has %s", cpu->number,
                       cpus_text(count).text);
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

static void plan_monitor(const struct planner *planner)
{
    struct plan *plan = planner->plan;

    plan->monitor_cpu = 0;
    while (plan->monitor_cpu < planner->machine->cpu_count && plan->cpu_owner[plan->monitor_cpu] != PLAN_NOBODY)
        plan->monitor_cpu++;
    plan->monitor_shares_cpu = plan->monitor_cpu == planner->machine->cpu_count;
    if (plan->monitor_shares_cpu)
        plan->monitor_cpu = 0;
}

/* A sentence that is put together piece by piece; what does not fit is cut by its message anyway. */
struct sentence {
    char text[DIAGNOSTIC_LINE_SIZE];
    size_t length;
};

static void PRINTF_LIKE(2, 3) sentence_add(struct sentence *sentence, const char *format, ...)
{
    va_list arguments;

    if (sentence->length >= sizeof(sentence->text))
        return;
    va_start(arguments, format);
    sentence->length +=
        format_text_v(sentence->text + sentence->length, sizeof(sentence->text) - sentence->length, format, arguments);
    va_end(arguments);
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
    if (guest->module_count > LOADER_MODULES_MAX)
        plan_error(planner, guest, guest->modules[LOADER_MODULES_MAX].position,
                   "modules has more than %u elements, which are the most", LOADER_MODULES_MAX);
}

static void check_device(const struct planner *planner, const struct guest_config *guest,
                         const struct config_device *device)
{
    const char *(*name_at)(uint32_t index) = planner->machine->device_name;
    struct similar similar;
    struct sentence sentence = {.length = 0};

    similar_begin(&similar, device->name, strlen(device->name));
    for (uint32_t i = 0; name_at(i) != NULL; i++) {
        if (strcmp(name_at(i), device->name) == 0)
            return;
        similar_offer(&similar, name_at(i));
    }
    if (similar.best != NULL)
        sentence_add(&sentence, "did you mean \"%s\"? ", similar.best);
    sentence_add(&sentence, "the devices are");
    for (uint32_t i = 0; name_at(i) != NULL; i++)
        sentence_add(&sentence, "%s \"%s\"", i == 0 ? "" : ",", name_at(i));
    plan_error(planner, guest, device->position, "there is no device \"%s\"; %s", device->name, sentence.text);
}

int plan_make(const char *file_name, const struct config *config, const struct plan_machine *machine, struct plan *plan,
              struct diagnostics *diagnostics)
{
    const struct planner planner = {file_name, config, machine, plan, diagnostics};
    unsigned errors_before = diagnostics->errors;

    memset(plan, 0, sizeof(*plan));
    plan->guest_count = config->guest_count;
    for (uint32_t cpu = 0; cpu < CPUS_MAX; cpu++)
        plan->cpu_owner[cpu] = PLAN_NOBODY;
    diagnostics_hold(diagnostics);
    for (uint32_t i = 0; i < config->guest_count; i++) {
        const struct guest_config *guest = &config->guests[i];
        plan->guests[i].config = guest;
        plan_cpus(&planner, i);
        check_modules(&planner, guest);
        for (uint32_t k = 0; k < guest->device_count && machine->device_name != NULL; k++)
            check_device(&planner, guest, &guest->devices[k]);
    }
    plan_monitor(&planner);
    plan_memory(&planner);
    diagnostics_release(diagnostics, file_name);
    return diagnostics->errors == errors_before ? 0 : E_INVAL;
}
