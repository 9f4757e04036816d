/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Firmware and boot loader leave timers running and network cards receiving; neither knows about the guests to come.
 */
#include "drivers/host/quiet.h"

#include "arch/hostmap.h"
#include "arch/x86.h"
#include "hv/log.h"

/* ---- 8259 pair. Intel 8259A data sheet, "Initialization Command Words" ---- */

#define PIC_1_COMMAND 0x20u
#define PIC_1_DATA    0x21u
#define PIC_2_COMMAND 0xa0u
#define PIC_2_DATA    0xa1u
#define PIC_ICW1      0x11u /* edge, cascade, ICW4 follows */
#define PIC_ICW4      0x01u /* 8086 mode */
#define PIC_1_VECTOR  0x20u /* so that a spurious interrupt is no exception's number */
#define PIC_2_VECTOR  0x28u
#define PIC_ALL       0xffu

static void pic_quiet(void)
{
    out8(PIC_1_COMMAND, PIC_ICW1);
    out8(PIC_2_COMMAND, PIC_ICW1);
    out8(PIC_1_DATA, PIC_1_VECTOR);
    out8(PIC_2_DATA, PIC_2_VECTOR);
    out8(PIC_1_DATA, 1u << 2); /* the second chip is on input 2 */
    out8(PIC_2_DATA, 2);
    out8(PIC_1_DATA, PIC_ICW4);
    out8(PIC_2_DATA, PIC_ICW4);
    out8(PIC_1_DATA, PIC_ALL);
    out8(PIC_2_DATA, PIC_ALL);
}

/* ---- IOAPIC. Intel 82093AA data sheet, "Register Description" ---- */

#define IOAPIC_SELECT      0u /* 32-bit words */
#define IOAPIC_WINDOW      4u
#define IOAPIC_SIZE        32u
#define IOAPIC_VERSION     1u
#define IOAPIC_REDIRECTION 0x10u
#define IOAPIC_PINS_MAX    240u
#define IOAPIC_MASKED      (1u << 16)

static uint32_t ioapic_quiet(const struct acpi_ioapic *ioapic)
{
    volatile uint32_t *registers = hostmap_map_device(ioapic->address, IOAPIC_SIZE);

    if (registers == NULL)
        return 0;
    registers[IOAPIC_SELECT] = IOAPIC_VERSION;
    uint32_t version = registers[IOAPIC_WINDOW];
    if (version == UINT32_MAX) /* nothing answers at this address */
        return 0;
    uint32_t pins = (uint32_t)min_u64((version >> 16 & 0xff) + 1, IOAPIC_PINS_MAX);
    for (uint32_t pin = 0; pin < pins; pin++) {
        registers[IOAPIC_SELECT] = IOAPIC_REDIRECTION + 2 * pin;
        registers[IOAPIC_WINDOW] = IOAPIC_MASKED;
    }
    return pins;
}

/* ---- HPET. IA-PC HPET specification 1.0a, "Register Definitions" ---- */

#define HPET_SIZE            1024u
#define HPET_CAPABILITIES    0u /* 32-bit words */
#define HPET_CONFIGURATION   4u
#define HPET_TIMERS          64u
#define HPET_TIMER_WORDS     8u
#define HPET_ENABLE          (1u << 0)
#define HPET_LEGACY          (1u << 1)
#define HPET_TIMER_INTERRUPT (1u << 2)
#define HPET_TIMER_MESSAGE   (1u << 14)

static uint32_t hpet_quiet(hpa_t base)
{
    volatile uint32_t *registers = base != 0 ? hostmap_map_device(base, HPET_SIZE) : NULL;

    if (registers == NULL)
        return 0;
    uint32_t capabilities = registers[HPET_CAPABILITIES];
    if (capabilities == UINT32_MAX)
        return 0;
    registers[HPET_CONFIGURATION] = registers[HPET_CONFIGURATION] & ~(HPET_ENABLE | HPET_LEGACY);
    uint32_t timers =
        (uint32_t)min_u64((capabilities >> 8 & 0x1f) + 1, (HPET_SIZE / 4 - HPET_TIMERS) / HPET_TIMER_WORDS);
    for (uint32_t i = 0; i < timers; i++) {
        volatile uint32_t *timer = &registers[HPET_TIMERS + i * HPET_TIMER_WORDS];
        *timer = *timer & ~(HPET_TIMER_INTERRUPT | HPET_TIMER_MESSAGE);
    }
    return timers;
}

/* ---- PCI. PCI Local Bus Specification 3.0, "Configuration Space" ---- */

#define PCI_ADDRESS         0xcf8u
#define PCI_DATA            0xcfcu
#define PCI_ADDRESS_ENABLE  (1u << 31)
#define PCI_VENDOR          0x00u
#define PCI_VENDOR_NONE     0xffffu
#define PCI_COMMAND         0x04u
#define PCI_COMMAND_MASTER  (1u << 2)
#define PCI_HEADER          0x0cu /* its third byte */
#define PCI_HEADER_MULTI    0x80u
#define PCI_HEADER_LAYOUT   0x7fu
#define PCI_HEADER_ENDPOINT 0u

struct pci_count {
    uint32_t functions;
    uint32_t silenced;
};

static uint32_t pci_read(uint32_t function, uint32_t offset)
{
    out32(PCI_ADDRESS, PCI_ADDRESS_ENABLE | function << 8 | offset);
    return in32(PCI_DATA);
}

/* Returns the header type, or a negative number when there is no such function. The status half of the word is written
 * as zeros: its bits are cleared by ones. */
static int pci_function_quiet(uint32_t function, struct pci_count *count)
{
    if ((pci_read(function, PCI_VENDOR) & 0xffff) == PCI_VENDOR_NONE)
        return -1;
    uint32_t header = pci_read(function, PCI_HEADER) >> 16 & 0xff;
    uint32_t command = pci_read(function, PCI_COMMAND) & 0xffff;
    count->functions++;
    if ((header & PCI_HEADER_LAYOUT) == PCI_HEADER_ENDPOINT && (command & PCI_COMMAND_MASTER) != 0) {
        out32(PCI_DATA, command & ~PCI_COMMAND_MASTER); /* the address still selects the command */
        count->silenced++;
    }
    return (int)header;
}

/* Every bus number is tried: cheaper than trusting the bridges' bus numbers, which only firmware set. */
static struct pci_count pci_quiet(void)
{
    struct pci_count count = {0, 0};

    out32(PCI_ADDRESS, PCI_ADDRESS_ENABLE);
    if (in32(PCI_ADDRESS) != PCI_ADDRESS_ENABLE)
        return count;
    for (uint32_t device = 0; device < 256 * 32; device++) {
        int header = pci_function_quiet(device * 8, &count);
        if (header < 0 || ((uint32_t)header & PCI_HEADER_MULTI) == 0)
            continue;
        for (uint32_t function = 1; function < 8; function++)
            (void)pci_function_quiet(device * 8 + function, &count);
    }
    out32(PCI_ADDRESS, 0);
    return count;
}

void quiet_host(const struct acpi_machine *machine)
{
    uint32_t pins = 0;

    pic_quiet();
    for (uint32_t i = 0; i < machine->ioapic_count; i++)
        pins += ioapic_quiet(&machine->ioapics[i]);
    uint32_t timers = hpet_quiet(machine->hpet_base);
    struct pci_count pci = pci_quiet();
    log_info("made quiet: the 8259 pair, %u IOAPIC pins, %u HPET timers; bus mastering switched off for %u of %u PCI "
             "functions",
             pins, timers, pci.silenced, pci.functions);
}
