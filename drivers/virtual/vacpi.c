/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI fixed hardware: PM1 event and control registers, the PM timer and a reset register, always in ACPI mode. Time is
 * read from the TSC; a host timer runs only while the guest wants to hear of the PM timer's carry. ACPI 6.4,
 * section 4.8 "ACPI Register Model".
 */
#include "drivers/virtual/vacpi.h"

#include "drivers/virtual/vacpi_tables.h"
#include "hv/gmem.h"
#include "hv/guest.h"
#include "hv/log.h"
#include "hv/machine.h"
#include "hv/string.h"
#include "hv/timer.h"

/* PM1 status and enable. Section 4.8.3.1 "PM1 Event Grouping" */
#define PM1_TIMER        BIT(0)
#define PM1_GLOBAL       BIT(5)
#define PM1_POWER_BUTTON BIT(8)
#define PM1_SLEEP_BUTTON BIT(9)
#define PM1_RTC          BIT(10)
#define PM1_ENABLE_BITS  (PM1_TIMER | PM1_GLOBAL | PM1_POWER_BUTTON | PM1_SLEEP_BUTTON | PM1_RTC)

/* PM1 control. Section 4.8.3.2 "PM1 Control Grouping" */
#define CONTROL_SCI_EN       BIT(0)
#define CONTROL_BM_RLD       BIT(1)
#define CONTROL_SLEEP_TYPE   0x7u /* above the shift */
#define CONTROL_SLEEP_SHIFT  10u
#define CONTROL_SLEEP_ENABLE BIT(13)
#define CONTROL_KEPT         (CONTROL_BM_RLD | CONTROL_SLEEP_TYPE << CONTROL_SLEEP_SHIFT)

/* TMR_STS is set whenever the highest bit of the timer changes. Section 4.8.2.1 "Power Management Timer" */
#define PM_TIMER_HALF BIT(31)

struct vacpi {
    struct device *device;
    struct timer carry;
    uint64_t started_ticks; /* when the PM timer was 0 */
    uint64_t carry_units;   /* TMR_STS is set from this count of it on */
    uint16_t status;        /* without TMR_STS, which follows from the time */
    uint16_t enable;
    uint16_t control;
    uint8_t tables[VACPI_TABLES_SIZE];
    uint8_t root[VACPI_ROOT_SIZE];
};

_Static_assert(sizeof(struct vacpi) <= DEVICE_STATE_MAX, "the state fits");

static uint64_t pm_timer_units(const struct vacpi *acpi)
{
    return units_from_ticks(machine_ticks() - acpi->started_ticks, VACPI_PM_TIMER_HZ);
}

static uint16_t status_now(const struct vacpi *acpi)
{
    bool carried = pm_timer_units(acpi) >= acpi->carry_units;

    return (uint16_t)(acpi->status | (carried ? PM1_TIMER : 0));
}

/* Drive the SCI, and wait for the carry only when it would raise it. */
static void update(struct vacpi *acpi)
{
    uint16_t status = status_now(acpi);
    uint64_t deadline = TIMER_NEVER;

    if ((acpi->enable & PM1_TIMER) != 0 && (status & PM1_TIMER) == 0)
        deadline = acpi->started_ticks + ticks_from_units(acpi->carry_units, VACPI_PM_TIMER_HZ);
    if (deadline != acpi->carry.deadline_ticks)
        timer_set(&acpi->carry, deadline);
    irq_set(acpi->device->guest, IRQ_SCI, (status & acpi->enable) != 0);
}

static void carry_expired(struct timer *timer)
{
    update((struct vacpi *)((char *)timer - offsetof(struct vacpi, carry)));
}

/*
 * Ones clear. The SCI is an edge for the IOAPIC: a reason that came while the guest served another one must raise it
 * again, so it falls first.
 */
static void write_status(struct vacpi *acpi, uint16_t ones)
{
    acpi->status &= (uint16_t)~ones;
    if ((ones & PM1_TIMER) != 0 && pm_timer_units(acpi) >= acpi->carry_units)
        acpi->carry_units = ALIGN_DOWN(pm_timer_units(acpi), PM_TIMER_HALF) + PM_TIMER_HALF;
    irq_set(acpi->device->guest, IRQ_SCI, false);
    update(acpi);
}

static void write_control(struct vacpi *acpi, uint16_t value)
{
    acpi->control = value & CONTROL_KEPT;
    if ((value & CONTROL_SLEEP_ENABLE) != 0 &&
        (value >> CONTROL_SLEEP_SHIFT & CONTROL_SLEEP_TYPE) == VACPI_SLEEP_TYPE_OFF)
        guest_request_power_off(acpi->device->guest, "ACPI S5");
}

/* The 16 ports as one picture: any width at any place reads its part. */
static uint64_t ports_read(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    struct vacpi *acpi = device->state;
    uint8_t picture[VACPI_PORTS_SIZE];
    uint16_t status = status_now(acpi);
    uint16_t control = (uint16_t)(acpi->control | CONTROL_SCI_EN);
    uint32_t timer = (uint32_t)pm_timer_units(acpi);
    uint64_t value = 0;

    (void)vcpu;
    memset(picture, 0, sizeof(picture));
    memcpy(picture + (VACPI_PM1_STATUS - VACPI_PORTS), &status, sizeof(status));
    memcpy(picture + (VACPI_PM1_ENABLE - VACPI_PORTS), &acpi->enable, sizeof(acpi->enable));
    memcpy(picture + (VACPI_PM1_CONTROL - VACPI_PORTS), &control, sizeof(control));
    memcpy(picture + (VACPI_PM_TIMER - VACPI_PORTS), &timer, sizeof(timer));
    memcpy(&value, picture + offset, size);
    return value;
}

/* The part of a write that falls on the 16-bit register at `port`: its bits in `mask`, its value. False: none does. */
static bool part_written(uint64_t offset, unsigned size, uint64_t value, uint32_t port, uint16_t *mask, uint16_t *part)
{
    uint64_t at = port - VACPI_PORTS;

    *mask = 0;
    *part = 0;
    for (unsigned i = 0; i < size; i++) {
        uint64_t byte = offset + i;
        if (byte < at || byte >= at + 2)
            continue;
        *mask = (uint16_t)(*mask | 0xffu << (byte - at) * 8);
        *part = (uint16_t)(*part | (value >> i * 8 & 0xff) << (byte - at) * 8);
    }
    return *mask != 0;
}

static void ports_write(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    struct vacpi *acpi = device->state;
    uint16_t mask, part;

    (void)vcpu;
    if (part_written(offset, size, value, VACPI_PM1_STATUS, &mask, &part))
        write_status(acpi, part);
    if (part_written(offset, size, value, VACPI_PM1_ENABLE, &mask, &part)) {
        acpi->enable = (uint16_t)(((acpi->enable & ~mask) | part) & PM1_ENABLE_BITS);
        update(acpi);
    }
    if (part_written(offset, size, value, VACPI_PM1_CONTROL, &mask, &part))
        write_control(acpi, (uint16_t)((acpi->control & ~mask) | part));
    if (offset == VACPI_RESET_PORT - VACPI_PORTS && (uint8_t)value == VACPI_RESET_VALUE)
        guest_request_reset(device->guest, "ACPI reset register");
}

static const struct bus_ops ports_ops = {
    .read = ports_read,
    .write = ports_write,
};

/* Section 4.8.2.2.1.1 "Fixed Power Button": PWRBTN_STS, and an SCI for a system that enabled it. */
static bool press_power_button(struct device *device)
{
    struct vacpi *acpi = device->state;

    acpi->status |= (uint16_t)PM1_POWER_BUTTON;
    update(acpi);
    return (acpi->enable & PM1_POWER_BUTTON) != 0;
}

static int acpi_init(struct device *device)
{
    struct vacpi *acpi = device->state;

    acpi->device = device;
    int error = timer_init(&acpi->carry, device->guest->vcpus[0], carry_expired);
    if (error != 0)
        return error;
    return device_claim_ports(device, VACPI_PORTS, VACPI_PORTS_SIZE, 4, &ports_ops);
}

static void acpi_reset(struct device *device)
{
    struct vacpi *acpi = device->state;
    struct guest *guest = device->guest;

    acpi->started_ticks = machine_ticks();
    acpi->carry_units = PM_TIMER_HALF;
    acpi->status = 0;
    acpi->enable = 0;
    acpi->control = 0;
    update(acpi);

    memset(acpi->root, 0, sizeof(acpi->root));
    vacpi_build_tables(guest, acpi->tables, acpi->root);
    vacpi_build_mp_table(guest, acpi->root);
    if (gmem_write(guest, VACPI_TABLES_BASE, acpi->tables, sizeof(acpi->tables)) != 0 ||
        gmem_write(guest, VACPI_ROOT_BASE, acpi->root, sizeof(acpi->root)) != 0)
        log_info("guest \"%s\": less than 1 MiB of memory, so no firmware tables", guest->name);
}

const struct device_ops vacpi_device = {
    .name = "acpi",
    .state_size = sizeof(struct vacpi),
    .init = acpi_init,
    .reset = acpi_reset,
    .press_power_button = press_power_button,
};
