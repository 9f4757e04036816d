/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Application processors: INIT, SIPI, own page tables, parked. Intel SDM vol. 3, "MP Initialization Protocol
 * Algorithm". One at a time, so the trampoline page and its parameters are never shared.
 */
#include "arch/smp.h"

#include "arch/cpu.h"
#include "arch/hostmap.h"
#include "arch/lapic.h"
#include "arch/x86.h"
#include "hv/log.h"
#include "hv/machine.h"
#include "hv/string.h"

extern const uint8_t trampoline_start[], trampoline_end[], trampoline_parameters[];
extern const uint8_t boot_root[];
void trampoline_high(void);

struct PACKED trampoline_parameters {
    uint64_t boot_root;
    uint64_t root;
    uint64_t entry;
    uint32_t number;
};

/* A CPU as the others see it. */
struct smp_slot {
    uint32_t apic_id;
    uint32_t running;
    uint32_t work; /* 1: `function` waits to be called, or is running */
    void (*function)(void *argument);
    void *argument;
};

static struct smp_slot slots[CPUS_MAX];
static struct topology topologies[CPUS_MAX]; /* each CPU reads its own when it starts */
static uint32_t cpu_count;

#define START_PATIENCE_MS 200u

static void delay_us(uint64_t us)
{
    uint64_t end = machine_ticks() + us * machine_ticks_hz() / 1000000;

    while (machine_ticks() < end)
        cpu_relax();
}

static bool wait_running(uint32_t cpu, uint64_t us)
{
    uint64_t end = machine_ticks() + us * machine_ticks_hz() / 1000000;

    while (__atomic_load_n(&slots[cpu].running, __ATOMIC_ACQUIRE) == 0) {
        if (machine_ticks() >= end)
            return false;
        cpu_relax();
    }
    return true;
}

static bool smp_start_one(uint32_t cpu, uint32_t apic_id, hpa_t low_page)
{
    uint8_t *page = machine_pointer(low_page);
    hpa_t root = hostmap_create(cpu);
    struct trampoline_parameters parameters = {
        .boot_root = hostmap_image_address(boot_root),
        .root = root,
        .entry = (uint64_t)(uintptr_t)trampoline_high,
        .number = cpu,
    };

    if (root == 0) {
        log_error("no memory for the page tables of CPU %u (APIC id %u); it stays off", cpu, apic_id);
        return false;
    }
    memcpy(page, trampoline_start, (size_t)(trampoline_end - trampoline_start));
    memcpy(page + (trampoline_parameters - trampoline_start), &parameters, sizeof(parameters));
    slots[cpu].apic_id = apic_id;
    lapic_send_init(apic_id);
    delay_us(10000);
    /* A second SIPI only when the first was not heard: real machines may need it, and one too many is harmless. */
    for (unsigned i = 0; i < 2; i++) {
        lapic_send_startup(apic_id, (uint8_t)(low_page >> PAGE_SHIFT));
        if (wait_running(cpu, i == 0 ? 1000 : START_PATIENCE_MS * 1000))
            return true;
    }
    log_error("CPU %u (APIC id %u) does not start; going on without it", cpu, apic_id);
    return false;
}

uint32_t smp_start(const uint32_t *apic_ids, uint32_t count, hpa_t low_page)
{
    slots[0].apic_id = lapic_id();
    slots[0].running = 1;
    topologies[0] = topology_read(machine_cpuid);
    cpu_count = 1;
    for (uint32_t i = 0; i < count && cpu_count < CPUS_MAX; i++) {
        if (apic_ids[i] != slots[0].apic_id && smp_start_one(cpu_count, apic_ids[i], low_page))
            cpu_count++;
    }
    topology_number(topologies, cpu_count);
    return cpu_count;
}

uint32_t smp_cpu_count(void)
{
    return cpu_count;
}

uint32_t smp_apic_id(uint32_t cpu)
{
    return slots[cpu].apic_id;
}

const struct topology *smp_topology(uint32_t cpu)
{
    return &topologies[cpu];
}

void smp_run(uint32_t cpu, void (*function)(void *argument), void *argument)
{
    slots[cpu].function = function;
    slots[cpu].argument = argument;
    __atomic_store_n(&slots[cpu].work, 1, __ATOMIC_RELEASE);
    machine_kick(cpu);
}

bool smp_busy(uint32_t cpu)
{
    return __atomic_load_n(&slots[cpu].work, __ATOMIC_ACQUIRE) != 0;
}

_Noreturn void smp_main(uint32_t number)
{
    struct smp_slot *slot = &slots[number];

    cpu_init(number);
    (void)lapic_init();
    topologies[number] = topology_read(machine_cpuid);
    __atomic_store_n(&slot->running, 1, __ATOMIC_RELEASE);
    for (;;) {
        while (__atomic_load_n(&slot->work, __ATOMIC_ACQUIRE) == 0)
            machine_wait(&slot->work);
        slot->function(slot->argument);
        __atomic_store_n(&slot->work, 0, __ATOMIC_RELEASE);
    }
}
