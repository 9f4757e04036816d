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
#include "hv/audit.h"
#include "hv/config.h"
#include "hv/console.h"
#include "hv/error.h"
#include "hv/guest.h"
#include "hv/inventory.h"
#include "hv/log.h"
#include "hv/machine.h"
#include "hv/monitor.h"
#include "hv/pages.h"
#include "hv/pagetable.h"
#include "hv/plan.h"

#define REACH (GIB(1) << 16) /* RAM that the hypervisor's map has room for: 64 TiB */

static struct config config;
static struct plan plan;
static struct plan_machine machine;
static struct diagnostics diagnostics;

static void report_line(struct diagnostics *self, const char *text)
{
    (void)self;
    log_error("%s", text);
}

static void inventory_line(void *context, const char *text)
{
    (void)context;
    log_info("%s", text);
}

static const char *device_name(uint32_t index)
{
    return device_registry[index] != NULL ? device_registry[index]->name : NULL;
}

static void describe_machine(const struct boot_info *info, const struct boot_places *places)
{
    machine.boot = info;
    machine.cpu_count = smp_cpu_count();
    machine.ram_end = REACH;
    machine.device_name = device_name;
    machine.reserved_count = 0;
    machine.reserved[machine.reserved_count++] = (struct plan_reserved){0, MIB(1), "the first MiB"};
    machine.reserved[machine.reserved_count++] =
        (struct plan_reserved){places->image_base, places->image_size, "the hypervisor's image"};
    machine.reserved[machine.reserved_count++] =
        (struct plan_reserved){places->pool_base, places->pool_size, "the page pool"};
}

static int map_modules(uint32_t cpu, const struct boot_info *info)
{
    for (uint32_t i = 0; i < info->module_count; i++) {
        int error =
            info->modules[i].size == 0 ? 0 : hostmap_map_ram(cpu, info->modules[i].base, info->modules[i].size, false);
        if (error != 0) {
            log_error("boot module \"%s\" cannot be mapped (%d)", info->modules[i].name, error);
            return error;
        }
    }
    return 0;
}

/* Its CPUs alone reach a guest's memory. */
static int map_guest(const struct plan_guest *guest, const struct boot_info *info)
{
    for (uint32_t i = 0; i < guest->cpu_count; i++) {
        uint32_t cpu = guest->cpus[i];
        for (uint32_t piece = 0; piece < guest->piece_count; piece++) {
            const struct extent *host = &guest->pieces[piece];
            int error = hostmap_map_ram(cpu, host->base, host->end - host->base, true);
            if (error != 0)
                return error;
        }
        if (cpu != 0 && map_modules(cpu, info) != 0)
            return E_NOMEM;
    }
    return 0;
}

/* What runs on each vCPU's CPU before its guest may start. */
struct preparation {
    struct vcpu *vcpu;
    int error;
};

static void prepare(void *argument)
{
    struct preparation *preparation = argument;

    preparation->error = virt->cpu_enable();
    if (preparation->error == 0)
        preparation->error = virt->vcpu_create(preparation->vcpu);
}

static int prepare_vcpu(struct vcpu *vcpu)
{
    static struct preparation preparation;

    preparation.vcpu = vcpu;
    if (vcpu->cpu == machine_cpu()) {
        prepare(&preparation);
    } else {
        smp_run(vcpu->cpu, prepare, &preparation);
        while (smp_busy(vcpu->cpu))
            machine_relax();
    }
    return preparation.error;
}

static int build_guest(const struct plan_guest *planned, const struct boot_info *info)
{
    if (map_guest(planned, info) != 0) {
        log_error("guest \"%s\": the page pool cannot hold its page tables", planned->config->name);
        return E_NOMEM;
    }
    struct guest *guest = guest_create(planned->config, planned->ram, planned->ram_count, planned->cpus, info);
    if (guest == NULL)
        return E_NOMEM;
    for (uint32_t i = 0; i < guest->vcpu_count; i++) {
        int error = prepare_vcpu(guest->vcpus[i]);
        if (error != 0)
            return error;
    }
    log_info("guest \"%s\": %lu MiB, CPU %u, %s", guest->name, guest->memory_bytes / MIB(1), planned->cpus[0],
             virt->name);
    for (uint32_t i = 0; i < guest->ram_count; i++) {
        const struct guest_ram *ram = &guest->ram[i];
        log_debug("guest \"%s\": memory 0x%lx to 0x%lx is host 0x%lx", guest->name, ram->base,
                  ram->base + ram->size - 1, ram->host);
    }
    return 0;
}

/* The consoles that the file names, beside those of the command line. */
static void open_consoles(void)
{
    for (uint32_t i = 0; i < config.console_count; i++)
        console_open(config_console_name(config.consoles[i]));
}

static int read_configuration(const struct boot_info *info)
{
    const struct boot_module *module = boot_module_config(info);

    if (module == NULL) {
        log_error("no configuration: none of the %u boot modules has a name that ends in .toml", info->module_count);
        plan_describe_machine(&machine, inventory_line, NULL);
        return E_NOENT;
    }
    diagnostics.report = report_line;
    if (config_parse(module->name, machine_pointer(module->base), module->size, &config, &diagnostics) != 0)
        return E_INVAL;
    open_consoles();
    return plan_make(module->name, &config, &machine, &plan, &diagnostics);
}

/* Last, over what is really there: the finished tables, not what was meant. */
static int audit(void)
{
    struct pagetable tables[GUESTS_MAX];
    struct audit_result result;

    for (uint32_t i = 0; i < guest_count(); i++)
        tables[i] = (struct pagetable){.format = virt->stage2, .root = guest_get(i)->stage2_root};
    return audit_stage2(&plan, &machine, tables, &result);
}

int start_guests(const struct boot_info *info, const struct boot_places *places)
{
    describe_machine(info, places);
    if (map_modules(0, info) != 0 || read_configuration(info) != 0)
        return E_INVAL;
    for (uint32_t i = 0; i < plan.guest_count; i++) {
        int error = build_guest(&plan.guests[i], info);
        if (error != 0)
            return error;
    }
    if (audit() != 0)
        return E_FAULT;
    log_debug("page pool: %lu of %lu KiB used", pages_used() * PAGE_SIZE / KIB(1), pages_total() * PAGE_SIZE / KIB(1));
    pages_freeze();
    return 0;
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

bool run_guests(void)
{
    struct vcpu *own = vcpu_of_cpu(MONITOR_CPU);

    console_defer();
    for (uint32_t i = 0; i < guest_count(); i++) {
        struct guest *guest = guest_get(i);
        for (uint32_t n = 0; n < guest->vcpu_count; n++) {
            if (guest->vcpus[n] != own)
                smp_run(guest->vcpus[n]->cpu, guest_main, guest->vcpus[n]);
        }
    }
    if (own != NULL)
        guest_main(own);
    monitor_run();
    for (uint32_t i = 0; i < guest_count(); i++) {
        if (guest_get(i)->starts != 0)
            return true;
    }
    return false;
}
