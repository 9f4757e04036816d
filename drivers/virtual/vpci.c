/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI Local Bus Specification 3.0, section 3.2.2.3.2 "Software Generation of Configuration Transactions". A function is
 * data: its bytes and which of their bits a guest may change. The bridge is the Intel 440FX, which every operating
 * system knows and none drives.
 */
#include "drivers/virtual/vpci.h"

#include "drivers/virtual/vsystem.h"
#include "hv/error.h"
#include "hv/guest.h"
#include "hv/string.h"

#define PORT_ADDRESS 0xcf8u
#define PORT_DATA    0xcfcu
#define PORT_BYTES   4u

/* Byte accesses here are the chipset's reset control, not the address register. */
#define RESET_CONTROL_OFFSET 1u

#define ADDRESS_ENABLE   0x80000000u
#define ADDRESS_WRITABLE 0x80fffffcu

struct pci_place {
    uint8_t slot;
    uint8_t number;
    struct vpci_function *function;
};

struct pci_state {
    uint32_t address;
    uint32_t count;
    struct pci_place places[PCI_FUNCTIONS_MAX];
    struct vpci_function bridge;
};

/* What of the bridge is not zero. Intel 440FX PCIset data sheet, "PCI Configuration Space Mapped Registers" */
static const struct {
    uint8_t offset;
    uint8_t value;
    uint8_t writable;
    uint8_t write_one_clears;
} bridge_bytes[] = {
    {PCI_VENDOR_ID, 0x86, 0, 0}, /* Intel */
    {PCI_VENDOR_ID + 1, 0x80, 0, 0},
    {PCI_DEVICE_ID, 0x37, 0, 0}, /* 82441FX */
    {PCI_DEVICE_ID + 1, 0x12, 0, 0},
    {PCI_COMMAND, 0x06, 0x40, 0},     /* memory and mastering are always on; parity response */
    {PCI_COMMAND + 1, 0x00, 0x01, 0}, /* SERR */
    {PCI_STATUS, 0x80, 0, 0},         /* fast back-to-back */
    {PCI_STATUS + 1, 0x02, 0, 0xf9},  /* medium timing; the error bits are never set */
    {PCI_REVISION, 0x02, 0, 0},
    {PCI_CLASS, 0x06, 0, 0}, /* bridge; subclass 0: host */
    {PCI_LATENCY_TIMER, 0x00, 0xf8, 0},
};

static struct pci_state *pci_of(const struct guest *guest)
{
    for (uint32_t i = 0; i < guest->device_count; i++) {
        if (guest->devices[i].ops == &vpci_device)
            return guest->devices[i].state;
    }
    return NULL;
}

static struct vpci_function *pci_find(const struct pci_state *pci, unsigned slot, unsigned number)
{
    for (uint32_t i = 0; i < pci->count; i++) {
        if (pci->places[i].slot == slot && pci->places[i].number == number)
            return pci->places[i].function;
    }
    return NULL;
}

static int pci_add(struct pci_state *pci, unsigned slot, unsigned number, struct vpci_function *function)
{
    if (slot >= PCI_SLOTS || number >= PCI_SLOT_FUNCTIONS)
        return E_INVAL;
    if (pci_find(pci, slot, number) != NULL)
        return E_BUSY;
    if (pci->count == PCI_FUNCTIONS_MAX)
        return E_NOMEM;
    memcpy(function->power_on, function->config, sizeof(function->config));
    pci->places[pci->count++] = (struct pci_place){(uint8_t)slot, (uint8_t)number, function};
    return 0;
}

int vpci_add(struct guest *guest, unsigned slot, unsigned number, struct vpci_function *function)
{
    struct pci_state *pci = pci_of(guest);

    return pci == NULL ? E_NOENT : pci_add(pci, slot, number, function);
}

uint16_t vpci_config_word(const struct vpci_function *function, unsigned offset)
{
    return (uint16_t)(function->config[offset] | function->config[offset + 1] << 8);
}

void vpci_config_set_word(struct vpci_function *function, unsigned offset, uint16_t value)
{
    function->config[offset] = (uint8_t)value;
    function->config[offset + 1] = (uint8_t)(value >> 8);
}

/* The function that the address register selects, or NULL; only bus 0 exists. */
static struct vpci_function *pci_selected(const struct pci_state *pci)
{
    uint32_t address = pci->address;

    if (!(address & ADDRESS_ENABLE) || (address >> 16 & 0xff) != 0)
        return NULL;
    return pci_find(pci, address >> 11 & 31, address >> 8 & 7);
}

static uint64_t address_read(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    const struct pci_state *pci = device->state;

    (void)vcpu;
    if (size == PORT_BYTES)
        return pci->address;
    if (size == 1 && offset == RESET_CONTROL_OFFSET)
        return system_reset_control_read(device->guest);
    return UINT64_MAX; /* narrow accesses pass the bridge by, to nobody */
}

static void address_write(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci_state *pci = device->state;

    (void)vcpu;
    if (size == PORT_BYTES)
        pci->address = (uint32_t)value & ADDRESS_WRITABLE;
    else if (size == 1 && offset == RESET_CONTROL_OFFSET)
        system_reset_control_write(device->guest, (uint8_t)value);
}

static uint64_t data_read(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    const struct pci_state *pci = device->state;
    const struct vpci_function *function = pci_selected(pci);
    uint64_t value = 0;

    (void)vcpu;
    if (function == NULL)
        return UINT64_MAX;
    unsigned first = (pci->address & 0xfc) + (unsigned)offset;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)function->config[first + i] << (8 * i);
    return value;
}

static void data_write(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    const struct pci_state *pci = device->state;
    struct vpci_function *function = pci_selected(pci);

    (void)vcpu;
    if (function == NULL)
        return;
    unsigned first = (pci->address & 0xfc) + (unsigned)offset;
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(value >> (8 * i)), writable = function->writable[first + i];
        uint8_t *config = &function->config[first + i];
        *config = (uint8_t)((*config & ~writable) | (byte & writable));
        *config &= (uint8_t) ~(byte & function->write_one_clears[first + i]);
    }
    if (function->ops != NULL && function->ops->config_written != NULL)
        function->ops->config_written(function, first, size);
}

static const struct bus_ops address_ops = {address_read, address_write};
static const struct bus_ops data_ops = {data_read, data_write};

static void pci_reset(struct device *device)
{
    struct pci_state *pci = device->state;

    pci->address = 0;
    for (uint32_t i = 0; i < pci->count; i++) {
        struct vpci_function *function = pci->places[i].function;
        memcpy(function->config, function->power_on, sizeof(function->config));
        if (function->ops != NULL && function->ops->reset != NULL)
            function->ops->reset(function);
    }
}

static int pci_init(struct device *device)
{
    struct pci_state *pci = device->state;

    for (unsigned i = 0; i < ARRAY_SIZE(bridge_bytes); i++) {
        pci->bridge.config[bridge_bytes[i].offset] = bridge_bytes[i].value;
        pci->bridge.writable[bridge_bytes[i].offset] = bridge_bytes[i].writable;
        pci->bridge.write_one_clears[bridge_bytes[i].offset] = bridge_bytes[i].write_one_clears;
    }
    int error = pci_add(pci, 0, 0, &pci->bridge);
    /* Two regions, so that no access that a model sees crosses from one register to the other. */
    if (!error)
        error = device_claim_ports(device, PORT_ADDRESS, PORT_BYTES, PORT_BYTES, &address_ops);
    if (!error)
        error = device_claim_ports(device, PORT_DATA, PORT_BYTES, PORT_BYTES, &data_ops);
    return error;
}

const struct device_ops vpci_device = {
    .name = "pci",
    .state_size = sizeof(struct pci_state),
    .init = pci_init,
    .reset = pci_reset,
};
