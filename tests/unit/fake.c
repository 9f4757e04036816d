/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fake machine, backend and guest. Host-physical addresses are offsets into one buffer, so that a pointer
 * outside of guest RAM is caught by the sanitizer or by the assertion here.
 */
#include "tests/unit/fake.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_HOST_BASE UINT64_C(0x100000000)

struct fake_machine fake_machine;

static struct fake_backend backends[GUEST_CPUS_MAX];
static struct vcpu vcpus[GUEST_CPUS_MAX];
static uint8_t *ram;
static uint64_t ram_bytes;

uint64_t machine_ticks(void)
{
    uint64_t now = fake_machine.ticks;

    fake_machine.ticks += fake_machine.ticks_per_look;
    return now;
}

uint64_t machine_ticks_hz(void)
{
    return FAKE_TICKS_HZ;
}

int64_t machine_epoch_s(void)
{
    return fake_machine.epoch_s;
}

void machine_timer_set(uint64_t deadline_ticks)
{
    fake_machine.timer_deadline = deadline_ticks;
}

uint32_t machine_cpu(void)
{
    return fake_machine.cpu;
}

void machine_kick(uint32_t cpu)
{
    assert(cpu < CPUS_MAX);
    fake_machine.kicks[cpu]++;
}

void machine_wait(const uint32_t *stop_when_set)
{
    fake_machine.waits++;
    if (*stop_when_set == 0 && fake_machine.on_wait != NULL)
        fake_machine.on_wait();
    else if (*stop_when_set == 0 && fake_machine.timer_deadline != TIMER_NEVER)
        fake_machine.ticks = max_u64(fake_machine.ticks, fake_machine.timer_deadline);
}

void machine_relax(void)
{
}

void *machine_pointer(hpa_t address)
{
    assert(address >= FAKE_HOST_BASE && address - FAKE_HOST_BASE < ram_bytes);
    if (fake_machine.on_pointer != NULL)
        fake_machine.on_pointer(ram + (address - FAKE_HOST_BASE));
    return ram + (address - FAKE_HOST_BASE);
}

struct cpuid_result fake_cpuid_default(uint32_t leaf, uint32_t subleaf)
{
    (void)subleaf;
    switch (leaf) {
    case 0: return (struct cpuid_result){0xd, 0x756e6547, 0x6c65746e, 0x49656e69};
    case 1: return (struct cpuid_result){0x306c3, 0x00010800, 0x01202201, 0x078bfbff};
    case 0x80000000: return (struct cpuid_result){0x80000008, 0, 0, 0};
    case 0x80000001: return (struct cpuid_result){0, 0, 1, 0x2c100800};
    case 0x80000008: return (struct cpuid_result){0x3028, 0, 0, 0};
    default: return (struct cpuid_result){0, 0, 0, 0};
    }
}

struct cpuid_result machine_cpuid(uint32_t leaf, uint32_t subleaf)
{
    return fake_machine.cpuid != NULL ? fake_machine.cpuid(leaf, subleaf) : fake_cpuid_default(leaf, subleaf);
}

int machine_msr_read(uint32_t msr, uint64_t *value)
{
    (void)msr;
    *value = 0;
    return 0;
}

int machine_msr_write(uint32_t msr, uint64_t value)
{
    (void)msr;
    (void)value;
    return 0;
}

int machine_xcr0_write(uint64_t value)
{
    (void)value;
    return 0;
}

void machine_init_registers(void)
{
    fake_machine.register_inits++;
}

void machine_reset_registers(void)
{
    fake_machine.register_resets++;
}

_Noreturn void machine_panic(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    abort();
}

struct fake_backend *fake_backend(struct vcpu *vcpu)
{
    return vcpu->backend;
}

static int fake_cpu_enable(hpa_t page)
{
    (void)page;
    return 0;
}

static int fake_vcpu_create(struct vcpu *vcpu, hpa_t pages)
{
    (void)pages;
    vcpu->backend = &backends[vcpu->number];
    return 0;
}

static void fake_vcpu_load_state(struct vcpu *vcpu, const struct vcpu_state *state)
{
    struct fake_backend *backend = fake_backend(vcpu);

    memset(backend->registers, 0, sizeof(backend->registers));
    backend->registers[VCPU_RIP] = state->rip;
    backend->registers[VCPU_RSP] = state->gpr[GPR_RSP];
    backend->registers[VCPU_RFLAGS] = state->rflags;
    backend->registers[VCPU_CR0] = state->cr0;
    backend->registers[VCPU_CR3] = state->cr3;
    backend->registers[VCPU_CR4] = state->cr4;
    backend->registers[VCPU_EFER] = state->efer;
    memcpy(backend->segments, state->segments, sizeof(backend->segments));
    backend->gdtr = state->gdtr;
    backend->idtr = state->idtr;
    backend->blocking = (struct virt_blocking){false, false, false};
    backend->injected = (struct event){.type = EVENT_NONE};
    backend->window[WINDOW_INTERRUPT] = backend->window[WINDOW_NMI] = false;
    backend->tpr_threshold = 0;
    backend->states_loaded++;
    backend->flushes++;
}

static void fake_run(struct vcpu *vcpu, struct vmexit *exit)
{
    struct fake_backend *backend = fake_backend(vcpu);

    memset(exit, 0, sizeof(*exit));
    exit->kind = EXIT_NONE;
    stats_leave(&vcpu->stats, machine_ticks_low());
    if (__atomic_load_n(&vcpu->requests, __ATOMIC_ACQUIRE) != 0) {
        /* Not entered: what was to be delivered is hv's again. */
        if (backend->injected.type != EVENT_NONE)
            vcpu->events.interrupted = backend->injected;
        backend->injected.type = EVENT_NONE;
        return;
    }
    backend->runs++;
    backend->delivered = backend->injected;
    backend->injected.type = EVENT_NONE;
    if (backend->on_run != NULL)
        backend->on_run(vcpu, exit);
    else
        vcpu_request(vcpu, REQUEST_STOP);
    exit->rip = backend->registers[VCPU_RIP];
}

static uint64_t fake_read(struct vcpu *vcpu, enum vcpu_register reg)
{
    return fake_backend(vcpu)->registers[reg];
}

static void fake_write(struct vcpu *vcpu, enum vcpu_register reg, uint64_t value)
{
    fake_backend(vcpu)->registers[reg] = value;
}

static void fake_read_segment(struct vcpu *vcpu, enum segment segment, struct segment_register *value)
{
    *value = fake_backend(vcpu)->segments[segment];
}

static void fake_write_segment(struct vcpu *vcpu, enum segment segment, const struct segment_register *value)
{
    fake_backend(vcpu)->segments[segment] = *value;
}

static void fake_read_table(struct vcpu *vcpu, bool interrupt_table, struct table_register *value)
{
    *value = interrupt_table ? fake_backend(vcpu)->idtr : fake_backend(vcpu)->gdtr;
}

static void fake_inject(struct vcpu *vcpu, const struct event *event)
{
    fake_backend(vcpu)->injected = *event;
    fake_backend(vcpu)->injections++;
}

static void fake_read_blocking(struct vcpu *vcpu, struct virt_blocking *blocking)
{
    *blocking = fake_backend(vcpu)->blocking;
}

static void fake_clear_shadow(struct vcpu *vcpu)
{
    fake_backend(vcpu)->blocking.shadow_sti = false;
    fake_backend(vcpu)->blocking.shadow_mov_ss = false;
}

static uint64_t fake_advance(struct vcpu *vcpu, uint64_t rip)
{
    fake_write(vcpu, VCPU_RIP, rip);
    fake_clear_shadow(vcpu);
    return fake_read(vcpu, VCPU_RFLAGS);
}

static void fake_window(struct vcpu *vcpu, enum virt_window window, bool on)
{
    fake_backend(vcpu)->window[window] = on;
}

static void fake_tpr_threshold(struct vcpu *vcpu, unsigned priority_class)
{
    fake_backend(vcpu)->tpr_threshold = priority_class;
}

static void fake_flush(struct vcpu *vcpu)
{
    fake_backend(vcpu)->flushes++;
}

static void fake_dump(struct vcpu *vcpu)
{
    fake_backend(vcpu)->dumps++;
}

static uint64_t fake_stage2_largest(void)
{
    return UINT64_C(1) << 21;
}

const struct virt_ops fake_virt_ops = {
    .name = "fake",
    .stage2_largest = fake_stage2_largest,
    .cpu_enable = fake_cpu_enable,
    .vcpu_create = fake_vcpu_create,
    .vcpu_load_state = fake_vcpu_load_state,
    .run = fake_run,
    .read = fake_read,
    .write = fake_write,
    .read_segment = fake_read_segment,
    .write_segment = fake_write_segment,
    .read_table = fake_read_table,
    .inject = fake_inject,
    .read_blocking = fake_read_blocking,
    .clear_shadow = fake_clear_shadow,
    .advance = fake_advance,
    .window = fake_window,
    .tpr_threshold = fake_tpr_threshold,
    .flush = fake_flush,
    .dump = fake_dump,
};

const struct virt_ops *virt = &fake_virt_ops;

static void add_ram(struct guest *guest, gpa_t base, uint64_t offset, uint64_t size)
{
    if (size > 0)
        guest->ram[guest->ram_count++] = (struct guest_ram){base, FAKE_HOST_BASE + offset, size};
}

struct guest *fake_guest(uint64_t memory_bytes, uint32_t vcpu_count)
{
    struct guest *guest = calloc(1, sizeof(*guest));
    uint64_t low = min_u64(memory_bytes, GUEST_LOW_RAM_MAX);

    assert(guest != NULL && memory_bytes > GUEST_HIGH_MEMORY && vcpu_count <= GUEST_CPUS_MAX);
    memset(&fake_machine, 0, sizeof(fake_machine));
    fake_machine.timer_deadline = TIMER_NEVER;
    memset(backends, 0, sizeof(backends));
    memset(vcpus, 0, sizeof(vcpus));
    ram = calloc(1, memory_bytes);
    ram_bytes = memory_bytes;
    assert(ram != NULL);
    add_ram(guest, 0, 0, GUEST_VGA_HOLE_BASE);
    add_ram(guest, GUEST_VGA_TEXT_BASE, GUEST_VGA_TEXT_BASE, low - GUEST_VGA_TEXT_BASE);
    add_ram(guest, GUEST_HIGH_RAM_BASE, low, memory_bytes - low);
    guest->name = "fake";
    guest->memory_bytes = memory_bytes;
    guest->physical_bits = 40;
    guest->vcpu_count = vcpu_count;
    guest->state = GUEST_RUNNING;
    for (uint32_t i = 0; i < vcpu_count; i++) {
        struct vcpu *vcpu = guest->vcpus[i] = &vcpus[i];
        vcpu->number = (uint8_t)i;
        vcpu->cpu = i;
        vcpu->guest = guest;
        vcpu->guest_xcr0 = 1;
        stats_reset(&vcpu->stats, 0);
        virt->vcpu_create(vcpu, 0);
        struct fake_backend *backend = fake_backend(vcpu);
        backend->registers[VCPU_CR0] = 0x11;   /* PE ET */
        backend->registers[VCPU_EFER] = 0x500; /* LME LMA */
        backend->registers[VCPU_RFLAGS] = 0x202;
        backend->segments[SEGMENT_CS] = (struct segment_register){0, 0xffffffff, 0xa09b, 8};
        backend->segments[SEGMENT_SS] = (struct segment_register){0, 0xffffffff, 0xc093, 16};
    }
    return guest;
}

void fake_guest_free(struct guest *guest)
{
    for (uint32_t i = 0; i < guest->device_count; i++)
        free(guest->devices[i].state);
    free(ram);
    ram = NULL;
    ram_bytes = 0;
    free(guest);
}

struct device *fake_device(struct guest *guest, const struct device_ops *ops)
{
    assert(guest->device_count < GUEST_DEVICES_MAX && ops->state_size <= DEVICE_STATE_MAX);
    struct device *device = &guest->devices[guest->device_count++];
    device->ops = ops;
    device->guest = guest;
    device->state = aligned_alloc(64, ALIGN_UP(ops->state_size + 1, 64));
    assert(device->state != NULL);
    memset(device->state, 0, ops->state_size);
    int error = ops->init(device);
    assert(error == 0);
    (void)error;
    if (ops->reset != NULL)
        ops->reset(device);
    return device;
}

void fake_advance_ns(struct guest *guest, uint64_t ns)
{
    uint64_t end = fake_machine.ticks + ns;

    for (;;) {
        uint64_t next = end;
        for (uint32_t i = 0; i < guest->vcpu_count; i++)
            next = min_u64(next, timer_next(guest->vcpus[i]));
        fake_machine.ticks = max_u64(fake_machine.ticks, next);
        for (uint32_t i = 0; i < guest->vcpu_count; i++)
            timer_run_expired(guest->vcpus[i], fake_machine.ticks);
        if (fake_machine.ticks >= end)
            return;
    }
}
