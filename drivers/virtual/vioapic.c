/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From lines to messages. Lines of this machine are logical (raised means asserted), so the polarity bit of an entry is
 * kept for the guest to read and changes nothing. Pin 0 would be the 8259's INTR; here that goes to LINT0 only, so pin
 * 0 is quiet. Intel 82093AA data sheet, "Register Description".
 */
#include "drivers/virtual/vioapic.h"

#include "hv/error.h"
#include "hv/guest.h"

#define REGISTER_SELECT 0x00u
#define REGISTER_WINDOW 0x10u
#define REGISTER_EOI    0x40u

#define INDEX_ID          0x00u
#define INDEX_VERSION     0x01u
#define INDEX_ARBITRATION 0x02u
#define INDEX_ENTRIES     0x10u

#define ID_SHIFT 24u
#define ID_MASK  0x0f000000u

/* A redirection table entry */
#define ENTRY_VECTOR      0xffu
#define ENTRY_LOGICAL     BIT(11)
#define ENTRY_REMOTE_IRR  BIT(14)
#define ENTRY_LEVEL       BIT(15)
#define ENTRY_MASKED      BIT(16)
#define ENTRY_LOW_BITS    UINT64_C(0x1afff) /* what can be set in the low half */
#define ENTRY_DESTINATION 56u               /* the lowest bit of the destination */
#define ENTRY_HIGH_BITS   UINT64_C(0xff00000000000000)

struct vioapic {
    struct guest *guest;
    uint32_t id;
    uint32_t selected;
    uint32_t asserted; /* a bit for each pin */
    uint64_t entries[VIOAPIC_PINS];
};

_Static_assert(VIOAPIC_PINS <= 32, "a bit for each pin");

uint8_t vioapic_id(const struct guest *guest)
{
    return guest->vcpu_count < 16 ? (uint8_t)guest->vcpu_count : 0;
}

static enum irq_delivery entry_delivery(uint64_t entry)
{
    return (enum irq_delivery)(entry >> 8 & 7);
}

/* Only vectors wait for an EOI; every other delivery mode counts as an edge, whatever the trigger bit says. */
static bool entry_is_level(uint64_t entry)
{
    return (entry & ENTRY_LEVEL) != 0 && entry_delivery(entry) <= IRQ_LOWEST_PRIORITY;
}

static void send(struct vioapic *ioapic, unsigned pin)
{
    uint64_t entry = ioapic->entries[pin];
    struct irq_message message = {
        .destination = (uint32_t)(entry >> ENTRY_DESTINATION),
        .vector = (uint8_t)(entry & ENTRY_VECTOR),
        .delivery = entry_delivery(entry),
        .shorthand = IRQ_TO_DESTINATION,
        .logical = (entry & ENTRY_LOGICAL) != 0,
        .level = entry_is_level(entry),
    };

    irq_send(ioapic->guest, &message);
}

/* Send for a level-triggered pin when it is due: asserted, unmasked, and the last one answered. */
static void serve_level(struct vioapic *ioapic, unsigned pin)
{
    uint64_t entry = ioapic->entries[pin];

    if (!entry_is_level(entry) || (entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR)) != 0 ||
        (ioapic->asserted & UINT32_C(1) << pin) == 0)
        return;
    /* No local APIC accepts an illegal vector, so none would ever answer it. */
    if ((entry & ENTRY_VECTOR) >= 16)
        ioapic->entries[pin] |= ENTRY_REMOTE_IRR;
    send(ioapic, pin);
}

/* An edge on a masked pin is lost, as the data sheet has it ("Interrupt Mask"). */
static void ioapic_line_changed(void *context, unsigned line, bool level)
{
    struct vioapic *ioapic = context;
    unsigned pin = line == IRQ_PIT ? VIOAPIC_PIT_PIN : line;

    if (line == 2 || pin >= VIOAPIC_PINS)
        return;
    uint32_t bit = UINT32_C(1) << pin;
    bool rose = level && (ioapic->asserted & bit) == 0;
    ioapic->asserted = level ? ioapic->asserted | bit : ioapic->asserted & ~bit;
    if (!rose)
        return;
    if (entry_is_level(ioapic->entries[pin]))
        serve_level(ioapic, pin);
    else if ((ioapic->entries[pin] & ENTRY_MASKED) == 0)
        send(ioapic, pin);
}

static void ioapic_eoi(void *context, uint8_t vector)
{
    struct vioapic *ioapic = context;

    for (unsigned pin = 0; pin < VIOAPIC_PINS; pin++) {
        uint64_t entry = ioapic->entries[pin];
        if ((entry & ENTRY_REMOTE_IRR) == 0 || (entry & ENTRY_VECTOR) != vector)
            continue;
        ioapic->entries[pin] &= ~ENTRY_REMOTE_IRR;
        serve_level(ioapic, pin);
    }
}

/* Remote IRR belongs to the hardware, and has no meaning for an edge: it goes when a pin becomes one. */
static void write_entry(struct vioapic *ioapic, unsigned pin, bool high, uint32_t value)
{
    uint64_t entry = ioapic->entries[pin];

    if (high) {
        ioapic->entries[pin] = (entry & ~ENTRY_HIGH_BITS) | ((uint64_t)value << 32 & ENTRY_HIGH_BITS);
        return;
    }
    entry = (entry & ~ENTRY_LOW_BITS) | (value & ENTRY_LOW_BITS);
    if (!entry_is_level(entry))
        entry &= ~ENTRY_REMOTE_IRR;
    ioapic->entries[pin] = entry;
    serve_level(ioapic, pin);
}

static uint32_t window_read(const struct vioapic *ioapic)
{
    uint32_t index = ioapic->selected;

    switch (index) {
    case INDEX_ID:
    case INDEX_ARBITRATION: return ioapic->id;
    case INDEX_VERSION: return VIOAPIC_VERSION | (VIOAPIC_PINS - 1) << 16;
    default: break;
    }
    if (index < INDEX_ENTRIES || index >= INDEX_ENTRIES + 2 * VIOAPIC_PINS)
        return 0;
    uint64_t entry = ioapic->entries[(index - INDEX_ENTRIES) / 2];
    return (uint32_t)(index % 2 != 0 ? entry >> 32 : entry);
}

static void window_write(struct vioapic *ioapic, uint32_t value)
{
    uint32_t index = ioapic->selected;

    if (index == INDEX_ID)
        ioapic->id = value & ID_MASK;
    else if (index >= INDEX_ENTRIES && index < INDEX_ENTRIES + 2 * VIOAPIC_PINS)
        write_entry(ioapic, (index - INDEX_ENTRIES) / 2, index % 2 != 0, value);
}

/* Any part of a register can be read; nothing is between them. */
static uint64_t bus_read_ioapic(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    struct vioapic *ioapic = device->state;
    unsigned byte = (unsigned)offset & 3;
    uint32_t value = 0;

    (void)vcpu;
    if (byte + size > 4)
        return 0;
    if (ALIGN_DOWN(offset, 4) == REGISTER_SELECT)
        value = ioapic->selected;
    else if (ALIGN_DOWN(offset, 4) == REGISTER_WINDOW)
        value = window_read(ioapic);
    return value >> byte * 8;
}

/* The select register has one byte, so any width that holds it will do; the window and the EOI register take 32 bits
 * only. */
static void bus_write_ioapic(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    struct vioapic *ioapic = device->state;

    (void)vcpu;
    if (offset == REGISTER_SELECT)
        ioapic->selected = (uint8_t)value;
    else if (offset == REGISTER_WINDOW && size == 4)
        window_write(ioapic, (uint32_t)value);
    else if (offset == REGISTER_EOI && size == 4)
        ioapic_eoi(ioapic, (uint8_t)value);
}

static const struct bus_ops ioapic_bus_ops = {
    .read = bus_read_ioapic,
    .write = bus_write_ioapic,
};

static int ioapic_init(struct device *device)
{
    struct vioapic *ioapic = device->state;
    struct guest *guest = device->guest;

    ioapic->guest = guest;
    guest->irq.eoi = ioapic_eoi;
    guest->irq.eoi_context = ioapic;
    int error = irq_listen(guest, ioapic_line_changed, ioapic);
    if (error != 0)
        return error;
    return device_claim_memory(device, VIOAPIC_BASE, PAGE_SIZE, 4, &ioapic_bus_ops);
}

static void ioapic_reset(struct device *device)
{
    struct vioapic *ioapic = device->state;

    ioapic->id = (uint32_t)vioapic_id(device->guest) << ID_SHIFT;
    ioapic->selected = 0;
    ioapic->asserted = 0;
    for (unsigned line = 0; line < IRQ_LINES; line++) {
        if ((device->guest->irq.levels >> line & 1) != 0 && line != 2)
            ioapic->asserted |= UINT32_C(1) << (line == IRQ_PIT ? VIOAPIC_PIT_PIN : line);
    }
    for (unsigned pin = 0; pin < VIOAPIC_PINS; pin++)
        ioapic->entries[pin] = ENTRY_MASKED;
}

const struct device_ops vioapic_device = {
    .name = "ioapic",
    .state_size = sizeof(struct vioapic),
    .init = ioapic_init,
    .reset = ioapic_reset,
};
