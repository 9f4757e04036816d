/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine as it was divided, what its CPUs do, the file that divided it, and what the hypervisor said since.
 */
#include "hv/shell_internal.h"

#include "hv/config.h"
#include "hv/config_value.h"
#include "hv/control.h"
#include "hv/format.h"
#include "hv/log_history.h"
#include "hv/plan_describe.h"
#include "hv/timer.h"

#define LOG_LINES 20u

/* ---- map ---- */

/* One line of a text that comes whole: a step prints the one whose turn it is. */
struct chosen_line {
    uint32_t wanted, seen;
};

static void print_chosen(void *context, const char *text)
{
    struct chosen_line *line = context;

    if (line->seen++ == line->wanted)
        shell_print("%s", text);
}

enum shell_progress shell_run_map(struct shell_job *job)
{
    struct chosen_line line = {.wanted = job->step};

    plan_describe(shell_plan(), shell_machine(), print_chosen, &line);
    plan_remarks(shell_plan(), shell_machine(), print_chosen, &line);
    return line.seen > job->step + 1 ? SHELL_MORE : SHELL_DONE;
}

/* ---- cpus ---- */

static const struct vcpu *vcpu_of_cpu(uint32_t cpu)
{
    for (uint32_t i = 0; i < guest_count(); i++) {
        const struct guest *guest = guest_get(i);
        for (uint32_t n = 0; n < guest->vcpu_count; n++) {
            if (guest->vcpus[n]->cpu == cpu)
                return guest->vcpus[n];
        }
    }
    return NULL;
}

static const char *vcpu_state_text(const struct vcpu *vcpu)
{
    const struct guest *guest = vcpu->guest;

    if (__atomic_load_n(&guest->state, __ATOMIC_ACQUIRE) != GUEST_RUNNING || guest->paused != 0)
        return control_state_text(guest);
    switch (vcpu->run_state) {
    case VCPU_RUNNING: return "runs";
    case VCPU_HALTED: return "halted";
    default: return "not started by its guest";
    }
}

enum shell_progress shell_run_cpus(struct shell_job *job)
{
    const struct plan *plan = shell_plan();
    uint32_t cpu = job->step - 1;
    char owner[64];

    if (job->step == 0) {
        shell_print("CPU  %-32s %s", "owner", "state");
        return SHELL_MORE;
    }
    if (cpu >= shell_machine()->cpu_count)
        return SHELL_DONE;
    const struct vcpu *vcpu = vcpu_of_cpu(cpu);
    const char *monitor = cpu == plan->monitor_cpu ? "; the shell and the console" : "";
    if (vcpu == NULL) {
        shell_print("%3u  %-32s %s", cpu, "the hypervisor", monitor[0] != '\0' ? "the shell and the console" : "idle");
        return SHELL_MORE;
    }
    (void)format_text(owner, sizeof(owner), "guest \"%s\", its CPU %u", vcpu->guest->name, vcpu->number);
    shell_print("%3u  %-32s %s%s", cpu, owner, vcpu_state_text(vcpu), monitor);
    return SHELL_MORE;
}

/* ---- config ---- */

static const char *boot_text(uint32_t boot)
{
    return boot == CONFIG_BOOT_LINUX ? "linux" : boot == CONFIG_BOOT_MULTIBOOT ? "multiboot" : "flat";
}

static const char *apic_text(uint32_t apic)
{
    return apic == CONFIG_APIC_DIRECT ? "direct" : apic == CONFIG_APIC_VIRTUAL ? "virtual" : "auto";
}

static const char *mark(const struct guest_config *guest, enum config_guest_key key)
{
    return config_guest_has(guest, key) ? "" : "  # default";
}

/* Put a name, in quotes, behind those that a list has already; what does not fit is cut. Returns the new length. */
static size_t list_name(char *list, size_t size, size_t length, const char *name)
{
    if (length >= size)
        return length;
    return length + format_text(list + length, size - length, "%s\"%s\"", length == 0 ? "" : ", ", name);
}

static void print_kernel(const struct guest_config *guest)
{
    char text[SHELL_STEP_MAX / 4] = "";
    size_t length = 0;

    shell_print("boot = \"%s\"", boot_text(guest->boot));
    shell_print("kernel = \"%s\"", guest->kernel);
    if (guest->initrd[0] != '\0')
        shell_print("initrd = \"%s\"", guest->initrd);
    for (uint32_t i = 0; i < guest->module_count; i++)
        length = list_name(text, sizeof(text), length, guest->modules[i].name);
    if (guest->module_count > 0)
        shell_print("modules = [%s]", text);
    if (guest->boot == CONFIG_BOOT_FLAT) {
        shell_print("load_address = 0x%x%s", guest->load_address, mark(guest, CONFIG_LOAD_ADDRESS));
        shell_print("entry = \"%04x:%04x\"%s", guest->entry_segment, guest->entry_offset, mark(guest, CONFIG_ENTRY));
    } else {
        shell_print("cmdline = \"%s\"%s", guest->cmdline, mark(guest, CONFIG_CMDLINE));
    }
}

static void print_devices(const struct guest_config *guest)
{
    char text[CONFIG_DEVICES_MAX * (CONFIG_NAME_MAX + 4) + 1] = "";
    size_t length = 0;

    for (uint32_t i = 0; i < guest->device_count; i++)
        length = list_name(text, sizeof(text), length, guest->devices[i].name);
    if (config_guest_has(guest, CONFIG_DEVICES))
        shell_print("devices = [%s]", text);
    else
        shell_print("# devices: the whole PC  # default");
}

static void print_guest(const struct guest_config *guest)
{
    char cpus[4 * GUEST_CPUS_MAX] = "";
    size_t length = 0;

    for (uint32_t i = 0; i < guest->cpu_count; i++)
        length += format_text(cpus + length, sizeof(cpus) - length, "%s%u", i == 0 ? "" : ", ", guest->cpus[i].number);
    shell_print("[guest.%s]", guest->name);
    shell_print("cpus = [%s]", cpus);
    shell_print("memory = %s", config_size_text(guest->memory_bytes).text);
    if (config_guest_has(guest, CONFIG_MEMORY_BASE))
        shell_print("memory_base = 0x%llx", (unsigned long long)guest->memory_base);
    print_kernel(guest);
    shell_print("apic = \"%s\"%s", apic_text(guest->apic), mark(guest, CONFIG_APIC));
    print_devices(guest);
    shell_print("on_crash = \"%s\"%s", guest->on_crash == CONFIG_ON_CRASH_RESTART ? "restart" : "halt",
                mark(guest, CONFIG_ON_CRASH));
    if (guest->watchdog_ns != 0)
        shell_print("watchdog = %s", config_duration_text(guest->watchdog_ns).text);
    else
        shell_print("# watchdog: none  # default");
    shell_print("allow_shared_core = %s%s", guest->allow_shared_core ? "true" : "false",
                mark(guest, CONFIG_ALLOW_SHARED_CORE));
}

static void print_hypervisor(const struct config *config)
{
    char consoles[CONFIG_CONSOLES_MAX * 16] = "";
    size_t length = 0;

    for (uint32_t i = 0; i < config->console_count; i++)
        length = list_name(consoles, sizeof(consoles), length, config_console_name(config->consoles[i]));
    shell_print("[hypervisor]");
    if (config->console_count > 0)
        shell_print("console = [%s]", consoles);
    shell_print("focus = \"%s\"%s", config->focus[0] != '\0' ? config->focus : "all",
                config->focus[0] != '\0' ? "" : "  # default");
}

/* A step a table. */
enum shell_progress shell_run_config(struct shell_job *job)
{
    const struct config *config = shell_config();

    if (job->guest != NULL) {
        print_guest(job->guest->config);
        return SHELL_DONE;
    }
    if (job->step == 0)
        print_hypervisor(config);
    else
        print_guest(&config->guests[job->step - 1]);
    if (job->step == config->guest_count)
        return SHELL_DONE;
    shell_print("%s", "");
    return SHELL_MORE;
}

/* ---- log ---- */

/* The time is converted here, since the first lines are older than the knowledge of the clock's frequency. */
enum shell_progress shell_run_log(struct shell_job *job)
{
    char text[LOG_HISTORY_LINE_MAX + 1];
    uint64_t ticks;

    if (job->step == 0)
        job->value = log_history_last(job->has_number ? job->number : LOG_LINES);
    if (!log_history_next(&job->value, &ticks, text))
        return SHELL_DONE;
    uint64_t ms = ns_from_ticks(ticks) / 1000000;
    shell_print("[%5lu.%03lu] %s", ms / 1000, ms % 1000, text);
    return SHELL_MORE;
}
