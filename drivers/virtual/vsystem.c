/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Port 0x92: IBM PS/2 Hardware Interface Technical Reference, "System Control Port A". Port 0xcf9: Intel 82371SB
 * (PIIX3) data sheet, "Reset Control Register". Port 0x80 is the scratch register of a DMA page that POST codes go to;
 * operating systems write it, or 0xed, to wait for about a microsecond.
 */
#include "drivers/virtual/vsystem.h"

#include "hv/guest.h"

#define PORT_POST      0x80u
#define PORT_CONTROL_A 0x92u
#define PORT_DELAY     0xedu

#define CONTROL_A_RESET    0x01u /* a rising bit resets the processor */
#define CONTROL_A_A20      0x02u
#define CONTROL_A_WRITABLE 0xc9u /* lights, password lock, reset */

#define RESET_CONTROL_SYSTEM   0x02u /* the kind of reset, which is the same here */
#define RESET_CONTROL_DO       0x04u /* a rising bit resets */
#define RESET_CONTROL_FULL     0x08u
#define RESET_CONTROL_WRITABLE (RESET_CONTROL_SYSTEM | RESET_CONTROL_DO | RESET_CONTROL_FULL)

struct system_state {
    bool a20;
    uint8_t control_a;
    uint8_t reset_control;
    uint8_t post;
};

static struct system_state *system_of(const struct guest *guest)
{
    for (uint32_t i = 0; i < guest->device_count; i++) {
        if (guest->devices[i].ops == &vsystem_device)
            return guest->devices[i].state;
    }
    return NULL;
}

bool system_a20(const struct guest *guest)
{
    const struct system_state *system = system_of(guest);

    return system == NULL || system->a20;
}

void system_set_a20(struct guest *guest, bool open)
{
    struct system_state *system = system_of(guest);

    if (system != NULL)
        system->a20 = open;
}

uint8_t system_reset_control_read(const struct guest *guest)
{
    const struct system_state *system = system_of(guest);

    return system != NULL ? system->reset_control : 0xff;
}

void system_reset_control_write(struct guest *guest, uint8_t value)
{
    struct system_state *system = system_of(guest);

    if (system == NULL)
        return;
    uint8_t risen = value & (uint8_t)~system->reset_control;
    system->reset_control = value & RESET_CONTROL_WRITABLE;
    if (risen & RESET_CONTROL_DO)
        guest_request_reset(guest, "reset control port 0xcf9");
}

static uint64_t control_a_read(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    const struct system_state *system = device->state;

    (void)vcpu;
    (void)offset;
    (void)size;
    return system->a20 ? system->control_a | CONTROL_A_A20 : system->control_a;
}

static void control_a_write(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    struct system_state *system = device->state;
    uint8_t byte = (uint8_t)value;
    uint8_t risen = byte & (uint8_t)~system->control_a;

    (void)vcpu;
    (void)offset;
    (void)size;
    system->a20 = (byte & CONTROL_A_A20) != 0;
    system->control_a = byte & CONTROL_A_WRITABLE;
    if (risen & CONTROL_A_RESET)
        guest_request_reset(device->guest, "fast reset in port 0x92");
}

static uint64_t post_read(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    const struct system_state *system = device->state;

    (void)vcpu;
    (void)offset;
    (void)size;
    return system->post;
}

static void post_write(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    struct system_state *system = device->state;

    (void)vcpu;
    (void)offset;
    (void)size;
    system->post = (uint8_t)value;
}

static uint64_t delay_read(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    (void)device;
    (void)vcpu;
    (void)offset;
    (void)size;
    return 0xff;
}

static void delay_write(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device;
    (void)vcpu;
    (void)offset;
    (void)size;
    (void)value;
}

static const struct bus_ops control_a_ops = {control_a_read, control_a_write};
static const struct bus_ops post_ops = {post_read, post_write};
static const struct bus_ops delay_ops = {delay_read, delay_write};

static void system_reset(struct device *device)
{
    struct system_state *system = device->state;

    /* The boot protocols promise an open gate. Multiboot Specification 0.6.96, section 3.2 "Machine state" */
    *system = (struct system_state){.a20 = true};
}

static int system_init(struct device *device)
{
    int error = device_claim_ports(device, PORT_POST, 1, 1, &post_ops);

    if (!error)
        error = device_claim_ports(device, PORT_CONTROL_A, 1, 1, &control_a_ops);
    if (!error)
        error = device_claim_ports(device, PORT_DELAY, 1, 1, &delay_ops);
    return error;
}

const struct device_ops vsystem_device = {
    .name = "system",
    .state_size = sizeof(struct system_state),
    .init = system_init,
    .reset = system_reset,
};
