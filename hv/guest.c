/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's life: built from the plan, loaded, run, loaded again after a reset, stopped.
 */
#include "hv/guest.h"
#include "hv/config.h"

#include <stdarg.h>

#include "hv/console.h"
#include "hv/cpuid.h"
#include "hv/crash.h"
#include "hv/error.h"
#include "hv/format.h"
#include "hv/gmem.h"
#include "hv/loader.h"
#include "hv/log.h"
#include "hv/machine.h"
#include "hv/monitor.h"
#include "hv/pages.h"
#include "hv/pagetable.h"
#include "hv/string.h"
#include "hv/watchdog.h"

#define CLEAR_STEP MIB(4)

/* How long a guest's last output may hold up what is said of its end: its ring's 4 KiB take 0.4 s at 115200 baud, more
 * when others write as well. */
#define LAST_WORDS_NS      UINT64_C(2000000000)
#define LAST_WORDS_LOOK_NS UINT64_C(1000000)

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
        error = watchdog_init(guest);
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

    _Static_assert(CONFIG_MODULES_MAX <= LOADER_MODULES_MAX, "room for all modules of a guest");
    memset(input, 0, sizeof(*input));
    input->kernel = file_of(guest->boot, config->kernel);
    if (config->initrd[0] != '\0')
        input->initrd = file_of(guest->boot, config->initrd);
    for (uint32_t i = 0; i < config->module_count; i++) {
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

/* Large guests take a while: the monitor goes on with its work in between. */
static void clear_memory(struct guest *guest)
{
    for (uint32_t i = 0; i < guest->ram_count; i++) {
        for (uint64_t done = 0; done < guest->ram[i].size; done += CLEAR_STEP) {
            (void)gmem_fill(guest, guest->ram[i].base + done, 0, min_u64(CLEAR_STEP, guest->ram[i].size - done));
            (void)monitor_serve();
        }
    }
}

/* Memory cleared, models at power-on, the image in place. The caller is the only CPU that touches the guest. */
static int guest_load(struct guest *guest)
{
    struct loader_error error;

    clear_memory(guest);
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

/* What the guest wrote stands before what is said of it. Waits until its output is on its way, but not for ever. */
static void wait_for_output(const struct guest *guest)
{
    static const uint32_t never;
    uint64_t end = machine_ticks() + ticks_from_ns(LAST_WORDS_NS);

    while (console_unsent(guest) && machine_ticks() < end)
        monitor_wait(&never, machine_ticks() + ticks_from_ns(LAST_WORDS_LOOK_NS));
}

/* Say what happened, and return whether the guest starts again, when it may. */
static bool comes_back(struct guest *guest)
{
    switch (guest->action) {
    case GUEST_RESET: guest_log(guest, "reset (%s)", guest->action_reason); return true;
    case GUEST_START: guest->crash_restarts = 0; return true;
    case GUEST_POWER_OFF: log_info("guest \"%s\": powered off (%s)", guest->name, guest->action_reason); return false;
    default: return crash_may_restart(guest);
    }
}

/* All vCPUs are parked: what comes next? Returns the state that they wake up to. */
static enum guest_state guest_turn(struct guest *guest)
{
    bool first = guest->starts == 0;

    wait_for_output(guest);
    if ((!first && !comes_back(guest)) || guest_load(guest) != 0)
        return GUEST_STOPPED;
    if (guest->action != GUEST_RESET)
        log_info("guest \"%s\": started%s", guest->name, first ? "" : " again");
    guest->crashed = NULL;
    guest->paused = 0;
    guest->button = GUEST_BUTTON_IDLE;
    guest->starts++;
    guest->started_ticks = machine_ticks();
    watchdog_start(guest);
    return GUEST_RUNNING;
}

/* They stay where they are. */
static void stop(struct guest *guest)
{
    guest->parked = 0;
    guest->paused = 0;
    __atomic_store_n(&guest->state, GUEST_STOPPED, __ATOMIC_RELEASE);
}

/*
 * Let all parked vCPUs go on. Old requests end here and not later: one that runs already may ask something of one that
 * does not yet. From the moment the action is GUEST_GO_ON a new wish counts, and finds the state and requests as they
 * are to be.
 */
static void release(struct guest *guest, enum guest_state state)
{
    guest->parked = 0;
    for (uint32_t i = 0; i < guest->vcpu_count; i++)
        __atomic_store_n(&guest->vcpus[i]->requests, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&guest->state, state, __ATOMIC_RELEASE);
    if (state == GUEST_RUNNING)
        __atomic_store_n(&guest->action, GUEST_GO_ON, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < guest->vcpu_count; i++) {
        struct vcpu *vcpu = guest->vcpus[i];
        __atomic_store_n(&vcpu->released, 1, __ATOMIC_RELEASE);
        if (vcpu->cpu != machine_cpu())
            machine_kick(vcpu->cpu);
    }
}

/*
 * Come to rest. The last vCPU to do so takes the guest's next turn while no other touches it, then releases them all,
 * unless the guest stops. Returns the state that the guest is released to: GUEST_PARKED when it is started again.
 */
static enum guest_state park(struct vcpu *vcpu)
{
    struct guest *guest = vcpu->guest;

    machine_timer_set(TIMER_NEVER);
    if (__atomic_add_fetch(&guest->parked, 1, __ATOMIC_ACQ_REL) == guest->vcpu_count) {
        guest->rested_ticks = machine_ticks();
        __atomic_store_n(&guest->state, GUEST_PARKED, __ATOMIC_RELEASE);
        enum guest_state next = guest_turn(guest);
        __atomic_store_n(&guest->wish, GUEST_GO_ON, __ATOMIC_RELEASE);
        if (next == GUEST_STOPPED)
            stop(guest);
        else
            release(guest, next);
    }
    while (__atomic_load_n(&vcpu->released, __ATOMIC_ACQUIRE) == 0)
        monitor_wait(&vcpu->released, TIMER_NEVER);
    vcpu->released = 0;
    return __atomic_load_n(&guest->state, __ATOMIC_ACQUIRE);
}

/* The boot processor starts as the loader says; the others wait for their start-up IPI. */
static void start_vcpu(struct vcpu *vcpu)
{
    struct vcpu_state state;

    vcpu->trace_next = 0; /* the exits of an earlier life explain nothing */
    if (vcpu->number == 0) {
        state = vcpu->guest->start;
        vcpu->run_state = VCPU_RUNNING;
    } else {
        vcpu_state_reset(&state);
        vcpu->run_state = VCPU_WAIT_FOR_STARTUP;
    }
    vcpu_reset(vcpu, &state);
    vcpu_write(vcpu, VCPU_TSC_OFFSET, vcpu->guest->tsc_offset);
    stats_reset(&vcpu->stats, machine_ticks());
}

/* From the guest's start to its next rest. */
static void live(struct vcpu *vcpu)
{
    start_vcpu(vcpu);
    do
        vcpu_run(vcpu);
    while (__atomic_load_n(&vcpu->guest->action, __ATOMIC_ACQUIRE) == GUEST_GO_ON); /* an echo of an earlier stop */
    if (vcpu->guest->crashed == vcpu) {
        wait_for_output(vcpu->guest);
        crash_report(vcpu);
    }
}

void guest_main(void *argument)
{
    struct vcpu *vcpu = argument;

    for (enum guest_state state = park(vcpu); state != GUEST_STOPPED; state = park(vcpu)) {
        if (state == GUEST_RUNNING)
            live(vcpu);
    }
    machine_timer_set(TIMER_NEVER);
}

static void request_all(const struct guest *guest, uint32_t requests)
{
    for (uint32_t i = 0; i < guest->vcpu_count; i++)
        vcpu_request(guest->vcpus[i], requests);
}

/* The first wish counts; what comes behind it is an echo of a guest on its way out. Returns true for the first. */
static bool request_action(struct guest *guest, enum guest_action action, const char *why)
{
    uint32_t none = GUEST_GO_ON, running = GUEST_RUNNING;
    bool first = __atomic_compare_exchange_n(&guest->action, &none, action, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);

    if (first) {
        guest->action_reason = why;
        (void)__atomic_compare_exchange_n(&guest->state, &running, GUEST_STOPPING, false, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE);
    }
    request_all(guest, REQUEST_STOP);
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

/* ---- What the monitor asks of a guest ---- */

void guest_pause(struct guest *guest)
{
    guest->paused_ticks = machine_ticks();
    __atomic_store_n(&guest->paused, 1, __ATOMIC_RELEASE);
    request_all(guest, REQUEST_PAUSE);
}

void guest_resume(struct guest *guest)
{
    __atomic_store_n(&guest->paused, 0, __ATOMIC_RELEASE);
    request_all(guest, REQUEST_PAUSE);
}

bool guest_start(struct guest *guest)
{
    if (__atomic_load_n(&guest->state, __ATOMIC_ACQUIRE) != GUEST_STOPPED)
        return false;
    guest->action = GUEST_START;
    release(guest, GUEST_PARKED);
    return true;
}

void guest_wish(struct guest *guest, enum guest_action wish)
{
    __atomic_store_n(&guest->wish, wish, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < guest->vcpu_count; i++) {
        if (guest->vcpus[i]->cpu != machine_cpu())
            machine_kick(guest->vcpus[i]->cpu);
    }
}

/* Told here, so that it stands before whatever the guest does about it. */
void guest_press_power_button(struct guest *guest)
{
    guest_devices_lock(guest);
    bool heard = device_press_power_button(guest);
    guest_devices_unlock(guest);
    if (heard)
        log_info("guest \"%s\": its power button was pressed (by the shell); it has %lu s to power off", guest->name,
                 GUEST_BUTTON_PATIENCE_NS / NS_PER_SECOND);
    __atomic_store_n(&guest->button, heard ? GUEST_BUTTON_HEARD : GUEST_BUTTON_UNHEARD, __ATOMIC_RELEASE);
}

void guest_end(struct guest *guest)
{
    release(guest, GUEST_STOPPED);
}

void guest_crash(struct vcpu *vcpu, const char *format, ...)
{
    struct guest *guest = vcpu->guest;
    va_list arguments;

    if (!request_action(guest, GUEST_CRASH, "crash"))
        return;
    guest->crashed = vcpu;
    va_start(arguments, format);
    format_text_v(guest->crash_reason, sizeof(guest->crash_reason), format, arguments);
    va_end(arguments);
}
