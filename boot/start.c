/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the user's file to running guests: parse, plan, build, prepare each CPU, run.
 */
#include "boot/start.h"

#include "arch/cpu.h"
#include "arch/hostmap.h"
#include "arch/lapic.h"
#include "arch/smp.h"
#include "arch/virt.h"
#include "boot/consoles.h"
#include "boot/describe.h"
#include "drivers/virtual/registry.h"
#include "hv/audit.h"
#include "hv/config.h"
#include "hv/console.h"
#include "hv/error.h"
#include "hv/format.h"
#include "hv/guest.h"
#include "hv/inventory.h"
#include "hv/log.h"
#include "hv/machine.h"
#include "hv/monitor.h"
#include "hv/pages.h"
#include "hv/pagetable.h"
#include "hv/plan.h"
#include "hv/plan_describe.h"
#include "hv/shell.h"

static struct config config;
static struct plan plan;
static struct plan_machine machine;
static struct diagnostics diagnostics;
static struct audit_layout layout;
static struct audit_result audit_result;
static struct vcpu *vcpus[CPUS_MAX]; /* by CPU; NULL: no guest's */

static void report_line(struct diagnostics *self, const char *text)
{
    (void)self;
    log_error("%s", text);
}

static void info_line(void *context, const char *text)
{
    (void)context;
    log_info("%s", text);
}

static void debug_line(void *context, const char *text)
{
    (void)context;
    log_debug("%s", text);
}

static int map_module(uint32_t cpu, const struct boot_module *module)
{
    int error = module->size == 0 ? 0 : hostmap_map_ram(cpu, module->base, module->size, false);

    if (error != 0)
        log_error("boot module \"%s\" cannot be mapped (%d)", module->name, error);
    return error;
}

/* Its own CPUs alone reach a guest's memory and what its kernel is loaded from; the monitor's its models as well. */
static int map_guest(uint32_t number, const struct boot_info *info)
{
    const struct plan_guest *guest = &plan.guests[number];
    const struct extent *arena = &layout.arenas[number];
    int error = 0;

    for (uint32_t cpu = 0; cpu < machine.cpu_count && error == 0; cpu++) {
        if (plan.cpu_owner[cpu] == number || cpu == plan.monitor_cpu)
            error = hostmap_map_ram(cpu, arena->base, arena->end - arena->base, true);
        if (plan.cpu_owner[cpu] != number)
            continue;
        for (uint32_t i = 0; i < guest->piece_count && error == 0; i++)
            error = hostmap_map_ram(cpu, guest->pieces[i].base, guest->pieces[i].end - guest->pieces[i].base, true);
        for (uint32_t i = 0; i < info->module_count && error == 0; i++) {
            if (config_guest_names_module(guest->config, info->modules[i].name))
                error = map_module(cpu, &info->modules[i]);
        }
    }
    return error;
}

static int build_guest(uint32_t number, const struct boot_info *info)
{
    const struct plan_guest *planned = &plan.guests[number];

    layout.arenas[number].base = pages_mark();
    struct guest *guest = guest_create(planned->config, planned->ram, planned->ram_count, planned->cpus, info);
    if (guest == NULL)
        return E_NOMEM;
    layout.arenas[number].end = pages_mark();
    if (map_guest(number, info) != 0) {
        log_error("guest \"%s\": the page pool cannot hold its page tables", guest->name);
        return E_NOMEM;
    }
    for (uint32_t i = 0; i < guest->ram_count; i++) {
        const struct guest_ram *ram = &guest->ram[i];
        log_debug("guest \"%s\": memory 0x%lx to 0x%lx is host 0x%lx", guest->name, ram->base,
                  ram->base + ram->size - 1, ram->host);
    }
    return 0;
}

/* What a vCPU's CPU does before its guest may start. */
struct preparation {
    struct vcpu *vcpu;
    int error;
};

static void prepare(void *argument)
{
    struct preparation *preparation = argument;
    struct vcpu *vcpu = preparation->vcpu;

    preparation->error = virt->cpu_enable(vcpu->backend_pages);
    if (preparation->error == 0)
        preparation->error = virt->vcpu_create(vcpu, vcpu->backend_pages + PAGE_SIZE);
    if (preparation->error == 0)
        audit_vcpu(vcpu, &audit_result);
}

static int prepare_vcpu(struct vcpu *vcpu, uint32_t cpu)
{
    static struct preparation preparation;

    preparation.vcpu = vcpu;
    if (cpu == machine_cpu()) {
        prepare(&preparation);
    } else {
        smp_run(cpu, prepare, &preparation);
        while (smp_busy(cpu))
            machine_relax();
    }
    return preparation.error;
}

/* The consoles that the file names, beside those of the command line. */
static void open_consoles(void)
{
    for (uint32_t i = 0; i < config.console_count; i++)
        console_open(config_console_name(config.consoles[i]));
}

/* The file itself first: what it asks of the machine can only be judged when all of it is known. */
static int read_configuration(const struct boot_info *info)
{
    static const char *const device_names[] = DEVICE_NAMES;
    const struct boot_module *module = boot_module_config(info);

    if (module == NULL) {
        log_error("no configuration: none of the %u boot modules has a name that ends in .toml", info->module_count);
        plan_describe_machine(&machine, info_line, NULL);
        return E_NOENT;
    }
    diagnostics.report = report_line;
    if (config_parse(module->name, machine_pointer(module->base), module->size, device_names, &config, &diagnostics) !=
        0)
        return E_INVAL;
    open_consoles();
    if (plan_make(module->name, &config, &machine, &plan, &diagnostics) != 0)
        return E_INVAL;
    plan_describe(&plan, &machine, debug_line, NULL);
    plan_remarks(&plan, &machine, info_line, NULL);
    return 0;
}

/* "CPU 0", "CPUs 1, 2 and 3". */
struct cpus_text {
    char text[8 * GUEST_CPUS_MAX];
};

static struct cpus_text cpus_text(const struct plan_guest *guest)
{
    struct cpus_text cpus = {""};
    size_t length = format_text(cpus.text, sizeof(cpus.text), "CPU%s", guest->cpu_count == 1 ? "" : "s");

    for (uint32_t i = 0; i < guest->cpu_count; i++) {
        const char *before = i == 0 ? " " : i + 1 == guest->cpu_count ? " and " : ", ";
        length += format_text(cpus.text + length, sizeof(cpus.text) - length, "%s%u", before, guest->cpus[i]);
    }
    return cpus;
}

/* Over what is really there: the finished tables, not what was meant. While they can still be read. */
static void audit_tables(const struct boot_places *places)
{
    struct pagetable tables[GUESTS_MAX];

    for (uint32_t i = 0; i < guest_count(); i++)
        tables[i] = (struct pagetable){.format = virt->stage2, .root = guest_get(i)->stage2_root};
    audit_stage2(&plan, &machine, tables, &audit_result);
    layout.plan = &plan;
    layout.machine = &machine;
    layout.image = (struct extent){places->image_base, places->image_base + places->image_size};
    layout.text = hostmap_text();
    for (uint32_t cpu = 0; cpu < machine.cpu_count; cpu++)
        layout.windows[cpu] = hostmap_window(cpu);
    audit_layout(&layout, &audit_result);
    for (uint32_t cpu = 0; cpu < machine.cpu_count; cpu++)
        audit_space(&layout, cpu, hostmap_space(cpu), &audit_result);
}

static struct vcpu *vcpu_of_cpu(uint32_t cpu)
{
    for (uint32_t i = 0; i < guest_count(); i++) {
        struct guest *guest = guest_get(i);
        for (uint32_t n = 0; n < guest->vcpu_count; n++) {
            if (guest->vcpus[n]->cpu == cpu)
                return guest->vcpus[n];
        }
    }
    return NULL;
}

/* From here on the boot CPU has its own address space only: the vCPUs are looked up while it still maps them all. */
static int prepare_guests(void)
{
    for (uint32_t cpu = 0; cpu < machine.cpu_count; cpu++)
        vcpus[cpu] = vcpu_of_cpu(cpu);
    hostmap_leave_setup();
    for (uint32_t cpu = 0; cpu < machine.cpu_count; cpu++) {
        int error = vcpus[cpu] == NULL ? 0 : prepare_vcpu(vcpus[cpu], cpu);
        if (error != 0)
            return error;
    }
    return 0;
}

int start_guests(const struct boot_info *info, const struct acpi_machine *acpi, const struct boot_places *places)
{
    describe_machine(info, acpi, places, &machine);
    for (uint32_t i = 0; i < info->module_count; i++) {
        if (map_module(HOSTMAP_SETUP, &info->modules[i]) != 0)
            return E_NOMEM;
    }
    if (read_configuration(info) != 0)
        return E_INVAL;
    for (uint32_t i = 0; i < plan.guest_count; i++) {
        int error = build_guest(i, info);
        if (error != 0)
            return error;
    }
    log_debug("page pool: %lu of %lu KiB used", pages_used() * PAGE_SIZE / KIB(1), pages_total() * PAGE_SIZE / KIB(1));
    pages_freeze();
    audit_tables(places);
    int error = prepare_guests();
    if (error != 0)
        return error;
    for (uint32_t i = 0; i < plan.guest_count; i++)
        log_info("guest \"%s\": %lu MiB, %s, %s", plan.guests[i].config->name,
                 plan.guests[i].config->memory_bytes / MIB(1), cpus_text(&plan.guests[i]).text, virt->name);
    return audit_finish(&audit_result);
}

/* The monitor alone maps all guests, and knows how they ended. */
static uint32_t all_stopped;
static bool any_started;

static void monitor_main(void *argument)
{
    (void)argument;
    monitor_run();
    for (uint32_t i = 0; i < guest_count(); i++)
        any_started = any_started || guest_get(i)->starts != 0;
    __atomic_store_n(&all_stopped, 1, __ATOMIC_RELEASE);
    if (machine_cpu() != 0)
        machine_kick(0);
}

bool run_guests(void)
{
    monitor_init(plan.monitor_cpu);
    console_focus(config.focus);
    shell_init(&config, &plan, &machine);
    console_defer();
    for (uint32_t cpu = 1; cpu < machine.cpu_count; cpu++) {
        if (vcpus[cpu] != NULL)
            smp_run(cpu, guest_main, vcpus[cpu]);
        else if (cpu == plan.monitor_cpu)
            smp_run(cpu, monitor_main, NULL);
    }
    if (vcpus[0] != NULL)
        guest_main(vcpus[0]);
    if (plan.monitor_cpu == 0)
        monitor_main(NULL);
    while (__atomic_load_n(&all_stopped, __ATOMIC_ACQUIRE) == 0)
        machine_wait(&all_stopped);
    return any_started;
}
