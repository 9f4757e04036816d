/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that guests must not get, whatever the memory map says of it, and where CPUs and memory lie.
 */
#include "boot/describe.h"

#include "arch/lapic.h"
#include "arch/smp.h"
#include "drivers/host/uart.h"

#define REACH (GIB(1) << 16) /* RAM that the hypervisor's map has room for: 64 TiB */

#define PCI_BUS_CONFIG_SIZE MIB(1) /* PCI Firmware Specification 3.2, "MCFG Table Description" */

static struct plan_cpu cpus[CPUS_MAX];
static struct plan_memory_node memory_nodes[ACPI_MEMORY_MAX];

static void reserve(struct plan_machine *machine, hpa_t base, uint64_t size, const char *what)
{
    machine->reserved[machine->reserved_count++] = (struct plan_reserved){base, size, what};
}

/* Registers that are in memory: a memory map that calls one RAM is wrong. */
static void reserve_devices(struct plan_machine *machine, const struct acpi_machine *acpi)
{
    _Static_assert(PLAN_RESERVED_MAX >= 3 + 1 + ACPI_IOAPICS_MAX + 2, "room for all that is reserved here");
    reserve(machine, lapic_base(), PAGE_SIZE, "the local APICs");
    for (uint32_t i = 0; i < acpi->ioapic_count; i++)
        reserve(machine, acpi->ioapics[i].address, PAGE_SIZE, "an IOAPIC");
    if (acpi->hpet_base != 0)
        reserve(machine, acpi->hpet_base, PAGE_SIZE, "the HPET");
    if (acpi->pci_config != 0)
        reserve(machine, acpi->pci_config + acpi->pci_bus_first * PCI_BUS_CONFIG_SIZE,
                (acpi->pci_bus_last - acpi->pci_bus_first + 1u) * PCI_BUS_CONFIG_SIZE, "PCI configuration space");
}

static void list_port(struct plan_machine *machine, uint16_t first, uint16_t count, const char *what)
{
    if (first != 0)
        machine->ports[machine->port_count++] = (struct plan_ports){first, (uint16_t)(first + count - 1), what};
}

/* What the hypervisor itself drives or keeps silent. */
static void list_ports(struct plan_machine *machine, const struct acpi_machine *acpi)
{
    static const struct plan_ports fixed[] = {
        {0x20, 0x21, "the 8259 pair"},
        {0xa0, 0xa1, "the 8259 pair"},
        {0x40, 0x43, "the 8254"},
        {0x70, 0x71, "the clock"},
        {0xcf8, 0xcff, "PCI configuration space"},
    };
    static const char *const lines[] = {"com1", "com2", "com3", "com4"};

    _Static_assert(PLAN_PORTS_MAX >= ARRAY_SIZE(fixed) + ARRAY_SIZE(lines) + 3, "room for all that is listed here");
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        machine->ports[machine->port_count++] = fixed[i];
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        list_port(machine, uart_port(lines[i]), UART_PORTS, lines[i]);
    list_port(machine, acpi->pm_timer, 4, "the ACPI timer");
    list_port(machine, acpi->pm1a_control, 2, "ACPI power management");
    list_port(machine, acpi->pm1b_control, 2, "ACPI power management");
}

/* What the firmware does not tell stays unknown. */
static uint32_t node_of(const struct acpi_machine *acpi, uint32_t apic_id)
{
    for (uint32_t i = 0; i < acpi->cpu_count; i++) {
        if (acpi->cpus[i] == apic_id && acpi->cpu_domains[i] != ACPI_DOMAIN_NONE)
            return acpi->cpu_domains[i];
    }
    return PLAN_NODE_UNKNOWN;
}

static void describe_places(struct plan_machine *machine, const struct acpi_machine *acpi)
{
    for (uint32_t cpu = 0; cpu < machine->cpu_count; cpu++) {
        const struct topology *topology = smp_topology(cpu);
        cpus[cpu] = (struct plan_cpu){topology->core, topology->package, node_of(acpi, smp_apic_id(cpu))};
    }
    for (uint32_t i = 0; i < acpi->memory_count; i++)
        memory_nodes[i] = (struct plan_memory_node){acpi->memory[i].base, acpi->memory[i].size, acpi->memory[i].domain};
    machine->cpus = cpus;
    machine->memory_nodes = memory_nodes;
    machine->memory_node_count = acpi->memory_count;
}

void describe_machine(const struct boot_info *info, const struct acpi_machine *acpi, const struct boot_places *places,
                      struct plan_machine *machine)
{
    *machine = (struct plan_machine){.boot = info, .cpu_count = smp_cpu_count(), .ram_end = REACH};
    reserve(machine, 0, MIB(1), "the first MiB");
    reserve(machine, places->image_base, places->image_size, "the hypervisor's image");
    reserve(machine, places->pool_base, places->pool_size, "the page pool");
    reserve_devices(machine, acpi);
    list_ports(machine, acpi);
    describe_places(machine, acpi);
}
