/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's life: built from the plan, loaded, run, loaded again after a reset, stopped.
 */
#include "hv/guest.h"
#include "hv/config.h"

#include <stdarg.h>

#include "hv/console.h"
#include "hv/cpuid.h"
#include "hv/error.h"
#include "hv/exit.h"
#include "hv/format.h"
#include "hv/gmem.h"
#include "hv/loader.h"
#include "hv/log.h"
#include "hv/machine.h"
#include "hv/monitor.h"
#include "hv/pages.h"
#include "hv/pagetable.h"
#include "hv/string.h"

static struct guest *guests[GUESTS_MAX];
static uint32_t guests_created;

uint32_t guest_count(void)
{
    return guests_created;
}

struct guest *guest_get(uint32_t number)
{
    return number < guests_created ? guests[number] : NULL;
}

bool guest_all_stopped(void)
{
    for (uint32_t i = 0; i < guests_created; i++) {
        if (__atomic_load_n(&guests[i]->state, __ATOMIC_ACQUIRE) != GUEST_STOPPED)
            return false;
    }
    return true;
}

/* Zeroed memory of the page pool, for good. */
static void *allocate(uint64_t size)
{
    hpa_t address = pages_allocate(ALIGN_UP(size, PAGE_SIZE) / PAGE_SIZE, PAGE_SIZE);

    return address == 0 ? NULL : machine_pointer(address);
}

static int build_stage2(struct guest *guest)
{
    struct pagetable table;
    int error = pagetable_create(&table, virt->stage2, virt->stage2_largest());

    for (uint32_t i = 0; i < guest->ram_count && error == 0; i++) {
        const struct guest_ram *ram = &guest->ram[i];
        error = pagetable_map(&table, ram->base, ram->host, ram->size, ACCESS_ALL, MEMORY_WRITE_BACK);
    }
    guest->stage2_root = table.root;
    return error;
}

static int build_vcpus(struct guest *guest, const uint32_t *cpus)
{
    for (uint32_t i = 0; i < guest->config->cpu_count; i++) {
        struct vcpu *vcpu = allocate(sizeof(*vcpu));
        if (vcpu == NULL)
            return E_NOMEM;
        vcpu->number = (uint8_t)i;
        vcpu->cpu = cpus[i];
        vcpu->guest = guest;
        vcpu->backend_pages = pages_allocate(virt->vcpu_pages, PAGE_SIZE);
        if (vcpu->backend_pages == 0)
            return E_NOMEM;
        guest->vcpus[i] = vcpu;
        guest->vcpu_count++;
    }
    return 0;
}

static bool device_wanted(const struct guest_config *config, const char *name)
{
    if (!config->keys[CONFIG_DEVICES].given)
        return true;
    for (uint32_t i = 0; i < config->device_count; i++) {
        if (strcmp(config->devices[i].name, name) == 0)
            return true;
    }
    return false;
}

/* The local APIC is part of the processor: it is there whatever `devices` says. */
static int build_devices(struct guest *guest)
{
    for (const struct device_ops *const *ops = device_registry; *ops != NULL; ops++) {
        if (!device_wanted(guest->config, (*ops)->name) && strcmp((*ops)->name, "lapic") != 0)
            continue;
        struct device *device = &guest->devices[guest->device_count];
        if (guest->device_count == GUEST_DEVICES_MAX)
            return E_NOMEM;
        device->ops = *ops;
        device->guest = guest;
        device->state = allocate(max_u64((*ops)->state_size, 1));
        if (device->state == NULL)
            return E_NOMEM;
        guest->device_count++;
        int error = (*ops)->init(device);
        if (error != 0)
            return error;
    }
    return 0;
}

struct guest *guest_create(const struct guest_config *config, const struct guest_ram *ram, uint32_t ram_count,
                           const uint32_t *cpus, const struct boot_info *boot)
{
    struct guest *guest = allocate(sizeof(*guest));

    if (guest == NULL || guests_created == GUESTS_MAX || ram_count > GUEST_RAM_MAX)
        return NULL;
    guest->number = guests_created;
    guest->config = config;
    guest->name = config->name;
    guest->boot = boot;
    guest->memory_bytes = config->memory_bytes;
    guest->physical_bits = cpuid_physical_bits();
    memcpy(guest->ram, ram, ram_count * sizeof(ram[0]));
    guest->ram_count = ram_count;
    int error = build_stage2(guest);
    if (error == 0)
        error = build_vcpus(guest, cpus);
    if (error == 0)
        error = build_devices(guest);
    if (error != 0) {
        log_error("guest \"%s\" cannot be built: %s (%d)", guest->name,
                  error == E_NOMEM ? "the hypervisor's page pool or a fixed table is full" : "a device model failed",
                  error);
        return NULL;
    }
    guests[guests_created++] = guest;
    return guest;
}

static struct loader_file file_of(const struct boot_info *boot, const char *name)
{
    const struct boot_module *module = boot_module_find(boot, name);

    if (module == NULL)
        return (struct loader_file){name, NULL, 0};
    return (struct loader_file){name, machine_pointer(module->base), module->size};
}

/* The plan has checked that all modules are there. */
static void collect_input(const struct guest *guest, struct loader_input *input)
{
    const struct guest_config *config = guest->config;

    memset(input, 0, sizeof(*input));
    input->kernel = file_of(guest->boot, config->kernel);
    if (config->initrd[0] != '\0')
        input->initrd = file_of(guest->boot, config->initrd);
    for (uint32_t i = 0; i < config->module_count && i < LOADER_MODULES_MAX; i++) {
        const struct boot_module *module = boot_module_find(guest->boot, config->modules[i].name);
        input->modules[i] = file_of(guest->boot, config->modules[i].name);
        input->module_strings[i] = module != NULL ? module->string : "";
        input->module_count++;
    }
    input->command_line = config->cmdline;
    input->load_address = config->load_address;
    input->entry_segment = config->entry_segment;
    input->entry_offset = config->entry_offset;
}

static int load_image(struct guest *guest, struct vcpu_state *state, struct loader_error *error)
{
    struct loader_input input;

    collect_input(guest, &input);
    switch (guest->config->boot) {
    case CONFIG_BOOT_LINUX: return linux_load(guest, &input, state, error);
    case CONFIG_BOOT_MULTIBOOT: return multiboot_load(guest, &input, state, error);
    default: return flat_load(guest, &input, state, error);
    }
}

/* Memory cleared, models at power-on, the image in place. The caller is the only CPU that touches the guest. */
static int guest_load(struct guest *guest)
{
    struct loader_error error;

    for (uint32_t i = 0; i < guest->ram_count; i++)
        (void)gmem_fill(guest, guest->ram[i].base, 0, guest->ram[i].size);
    for (uint32_t i = 0; i < guest->device_count; i++) {
        if (guest->devices[i].ops->reset != NULL)
            guest->devices[i].ops->reset(&guest->devices[i]);
    }
    if (load_image(guest, &guest->start, &error) != 0) {
        log_error("guest \"%s\": %s", guest->name, error.text);
        return E_INVAL;
    }
    guest->tsc_offset = 0 - machine_ticks();
    return 0;
}

/* All vCPUs are parked: what comes next? Returns the state that they wake up to. */
static enum guest_state guest_turn(struct guest *guest)
{
    bool first = guest->state == GUEST_CREATED;

    /* What it wrote stands before what is said of it. */
    console_flush();
    if (!first) {
        if (guest->action == GUEST_POWER_OFF)
            log_info("guest \"%s\": powered off (%s)", guest->name, guest->action_reason);
        if (guest->action != GUEST_RESET)
            return GUEST_STOPPED;
        log_info("guest \"%s\": reset (%s)", guest->name, guest->action_reason);
    }
    if (guest_load(guest) != 0)
        return GUEST_STOPPED;
    guest->action = GUEST_GO_ON;
    guest->starts++;
    if (first)
        log_info("guest \"%s\": started", guest->name);
    return GUEST_RUNNING;
}

/*
 * Come to rest. The last vCPU to do so takes the guest's next turn while no other touches it, then releases them all.
 * Returns false when the guest has stopped for good.
 */
static bool park(struct vcpu *vcpu)
{
    struct guest *guest = vcpu->guest;

    machine_timer_set(TIMER_NEVER);
    if (__atomic_add_fetch(&guest->parked, 1, __ATOMIC_ACQ_REL) == guest->vcpu_count) {
        enum guest_state state = guest_turn(guest);
        guest->parked = 0;
        __atomic_store_n(&guest->state, state, __ATOMIC_RELEASE);
        for (uint32_t i = 0; i < guest->vcpu_count; i++) {
            struct vcpu *other = guest->vcpus[i];
            /* Old requests end here and not later: one that runs already may ask something of one that does not yet. */
            __atomic_store_n(&other->requests, 0, __ATOMIC_RELEASE);
            __atomic_store_n(&other->released, 1, __ATOMIC_RELEASE);
            if (other != vcpu)
                machine_kick(other->cpu);
        }
    }
    while (__atomic_load_n(&vcpu->released, __ATOMIC_ACQUIRE) == 0)
        monitor_wait(&vcpu->released, TIMER_NEVER);
    vcpu->released = 0;
    return guest->state == GUEST_RUNNING;
}

/* The boot processor starts as the loader says; the others wait for their start-up IPI. */
static void start_vcpu(struct vcpu *vcpu)
{
    struct vcpu_state state;

    vcpu->halted_for_good = false;
    if (vcpu->number == 0) {
        state = vcpu->guest->start;
        vcpu->run_state = VCPU_RUNNING;
    } else {
        vcpu_state_reset(&state);
        vcpu->run_state = VCPU_WAIT_FOR_STARTUP;
    }
    vcpu_reset(vcpu, &state);
    vcpu_write(vcpu, VCPU_TSC_OFFSET, vcpu->guest->tsc_offset);
}

void guest_main(void *argument)
{
    struct vcpu *vcpu = argument;

    while (park(vcpu)) {
        start_vcpu(vcpu);
        vcpu_run(vcpu);
    }
    machine_timer_set(TIMER_NEVER);
}

/* The first wish counts; what comes behind it is an echo of a guest on its way out. Returns true for the first. */
static bool request_action(struct guest *guest, enum guest_action action, const char *why)
{
    uint32_t none = GUEST_GO_ON;
    bool first = __atomic_compare_exchange_n(&guest->action, &none, action, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);

    if (first)
        guest->action_reason = why;
    for (uint32_t i = 0; i < guest->vcpu_count; i++)
        vcpu_request(guest->vcpus[i], REQUEST_STOP);
    return first;
}

void guest_request_reset(struct guest *guest, const char *why)
{
    (void)request_action(guest, GUEST_RESET, why);
}

void guest_request_power_off(struct guest *guest, const char *why)
{
    (void)request_action(guest, GUEST_POWER_OFF, why);
}

static void print_registers(struct vcpu *vcpu)
{
    static const char *const names[GPR_COUNT] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                                 "r8 ", "r9 ", "r10", "r11", "r12", "r13", "r14", "r15"};
    static const char *const segments[SEGMENT_COUNT] = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};
    struct segment_register segment;

    log_error("  rip %016lx  rflags %08lx  cr0 %08lx  cr2 %016lx  cr3 %016lx  cr4 %08lx  efer %04lx",
              vcpu_read(vcpu, VCPU_RIP), vcpu_read(vcpu, VCPU_RFLAGS), vcpu_read(vcpu, VCPU_CR0),
              vcpu_read(vcpu, VCPU_CR2), vcpu_read(vcpu, VCPU_CR3), vcpu_read(vcpu, VCPU_CR4),
              vcpu_read(vcpu, VCPU_EFER));
    for (unsigned i = 0; i < GPR_COUNT; i += 4)
        log_error("  %s %016lx  %s %016lx  %s %016lx  %s %016lx", names[i], vcpu_gpr(vcpu, i), names[i + 1],
                  vcpu_gpr(vcpu, i + 1), names[i + 2], vcpu_gpr(vcpu, i + 2), names[i + 3], vcpu_gpr(vcpu, i + 3));
    for (unsigned i = 0; i < SEGMENT_COUNT; i++) {
        virt->read_segment(vcpu, (enum segment)i, &segment);
        log_error("  %-4s %04x  base %016lx  limit %08x  attributes %05x", segments[i], segment.selector, segment.base,
                  segment.limit, segment.attributes);
    }
}

static void print_trace(struct vcpu *vcpu)
{
    uint32_t count = (uint32_t)min_u64(vcpu->trace_next, EXIT_TRACE_SIZE);

    log_error("  the last %u exits, oldest first:", count);
    for (uint32_t i = vcpu->trace_next - count; i != vcpu->trace_next; i++) {
        const struct vmexit *exit = &vcpu->trace[i % EXIT_TRACE_SIZE];
        /* Of the detail the first word: port, address, register. */
        log_error("    %s (reason 0x%lx, detail 0x%lx, rip 0x%lx)", exit_name(exit->kind), exit->reason,
                  exit->memory.address, exit->rip);
    }
}

void guest_crash(struct vcpu *vcpu, const char *format, ...)
{
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    format_text_v(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (!request_action(vcpu->guest, GUEST_CRASH, "crash"))
        return;
    log_error("guest \"%s\" stops: %s", vcpu->guest->name, text);
    print_registers(vcpu);
    virt->dump(vcpu);
    print_trace(vcpu);
}
