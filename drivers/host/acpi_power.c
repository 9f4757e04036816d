/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The writes that end everything. ACPI 6.4, "ACPI Hardware Specification", "Entering a Low-Power Soft Off State".
 */
#include "drivers/host/acpi_power.h"

#include "arch/hostmap.h"
#include "arch/x86.h"
#include "hv/error.h"
#include "hv/log.h"
#include "hv/types.h"

/* PM1 control */
#define PM1_SCI_EN        BIT(0)
#define PM1_SLP_TYP_SHIFT 10u
#define PM1_SLP_TYP_MASK  (7u << PM1_SLP_TYP_SHIFT)
#define PM1_SLP_EN        BIT(13)

/* Sleep control and status registers of hardware-reduced machines */
#define SLEEP_TYP_SHIFT   2u
#define SLEEP_EN          BIT(5)
#define SLEEP_STATUS_WAKE BIT(7)

#define RESET_CONTROL      0xcf9u /* of Intel's south bridges, and of most others since */
#define RESET_CONTROL_HARD 0x02u
#define RESET_CONTROL_GO   0x06u
#define KEYBOARD_COMMAND   0x64u
#define KEYBOARD_RESET     0xfeu
#define PCI_ADDRESS        0xcf8u
#define PCI_DATA           0xcfcu
#define PCI_ADDRESS_ENABLE BIT(31)

#define ENABLE_READS 3000000u /* some 3 seconds: firmware may take that long to switch ACPI mode on */
#define EFFECT_READS 1000000u /* some second for a write to take effect */

static const struct acpi_machine *acpi;
static volatile uint8_t *reset_memory, *sleep_control_memory, *sleep_status_memory;

static volatile uint8_t *map_register(const struct acpi_register *reg)
{
    if (reg->space != ACPI_SPACE_MEMORY || reg->address == 0)
        return NULL;
    return hostmap_map_device(reg->address, 1);
}

int acpi_power_init(const struct acpi_machine *machine)
{
    acpi = machine;
    reset_memory = machine->has_reset ? map_register(&machine->reset) : NULL;
    sleep_control_memory = map_register(&machine->sleep_control);
    sleep_status_memory = map_register(&machine->sleep_status);
    bool can =
        machine->has_s5 && (machine->hardware_reduced ? machine->sleep_control.address : machine->pm1a_control) != 0;
    if (!can)
        log_info("the machine cannot be switched off by software: its ACPI tables do not say how");
    return can ? 0 : E_NOSYS;
}

/* All registers that are written here are 8 bits wide. PCI ones are written through configuration mechanism 1, on bus
 * 0. */
static void register_write(const struct acpi_register *reg, volatile uint8_t *memory, uint8_t value)
{
    uint32_t device = (uint32_t)(reg->address >> 32), function = (uint32_t)(reg->address >> 16) & 0xffff;
    uint32_t offset = (uint32_t)reg->address & 0xff;

    switch (reg->space) {
    case ACPI_SPACE_MEMORY:
        if (memory != NULL)
            *memory = value;
        break;
    case ACPI_SPACE_PORT: out8((uint16_t)reg->address, value); break;
    case ACPI_SPACE_PCI:
        out32(PCI_ADDRESS, (uint32_t)PCI_ADDRESS_ENABLE | device << 11 | function << 8 | (offset & 0xfc));
        out8((uint16_t)(PCI_DATA + (offset & 3)), value);
        break;
    default: break;
    }
}

/* A bounded wait that needs no clock: reading port 0x80 takes about a microsecond on any PC. */
static void wait_reads(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        (void)in8(0x80);
}

/* Firmware owns the sleep registers until the operating system asks for ACPI mode. */
static void acpi_mode_enable(void)
{
    if ((in16(acpi->pm1a_control) & PM1_SCI_EN) != 0 || acpi->smi_command == 0 || acpi->acpi_enable == 0)
        return;
    out8(acpi->smi_command, acpi->acpi_enable);
    for (uint32_t i = 0; i < ENABLE_READS && (in16(acpi->pm1a_control) & PM1_SCI_EN) == 0; i++)
        cpu_relax();
}

static uint16_t pm1_value(uint16_t port, uint8_t type)
{
    uint16_t kept = in16(port) & (uint16_t) ~(PM1_SLP_TYP_MASK | PM1_SLP_EN);

    return (uint16_t)(kept | type << PM1_SLP_TYP_SHIFT);
}

/* The types first, then the enable bits: both registers must hold their type when the second enable arrives. */
static void power_off_pm1(void)
{
    acpi_mode_enable();
    uint16_t a = pm1_value(acpi->pm1a_control, acpi->s5_type_a), b = 0;
    if (acpi->pm1b_control != 0)
        b = pm1_value(acpi->pm1b_control, acpi->s5_type_b);
    out16(acpi->pm1a_control, a);
    if (acpi->pm1b_control != 0)
        out16(acpi->pm1b_control, b);
    out16(acpi->pm1a_control, (uint16_t)(a | PM1_SLP_EN));
    if (acpi->pm1b_control != 0)
        out16(acpi->pm1b_control, (uint16_t)(b | PM1_SLP_EN));
}

void acpi_power_off(void)
{
    if (acpi == NULL || !acpi->has_s5)
        return;
    if (acpi->hardware_reduced && acpi->sleep_control.address != 0) {
        if (acpi->sleep_status.address != 0)
            register_write(&acpi->sleep_status, sleep_status_memory, (uint8_t)SLEEP_STATUS_WAKE);
        register_write(&acpi->sleep_control, sleep_control_memory,
                       (uint8_t)((uint32_t)acpi->s5_type_a << SLEEP_TYP_SHIFT | SLEEP_EN));
    } else if (!acpi->hardware_reduced && acpi->pm1a_control != 0) {
        power_off_pm1();
    }
    wait_reads(EFFECT_READS);
}

void acpi_reset(void)
{
    if (acpi != NULL && acpi->has_reset) {
        register_write(&acpi->reset, reset_memory, acpi->reset_value);
        wait_reads(EFFECT_READS);
    }
    out8(RESET_CONTROL, RESET_CONTROL_HARD);
    out8(RESET_CONTROL, RESET_CONTROL_GO);
    wait_reads(EFFECT_READS);
    out8(KEYBOARD_COMMAND, KEYBOARD_RESET);
    wait_reads(EFFECT_READS);
}
