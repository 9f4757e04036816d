/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controller answers its own commands at once; its input buffer is never full. IBM PC/AT Technical Reference,
 * "Keyboard Controller", and IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device
 * Controller".
 *
 * What a missing keyboard looks like decides how long a guest waits for it. A byte for the keyboard is never taken by
 * anybody, and the controller then reports its time-out: 0xfe ("resend") with the time-out bit. Drivers give up on that
 * after a retry or two, while silence costs them up to a second for each command. It comes after a few milliseconds, as
 * on a real board, so that a driver which resends for ever does not fill its processor with interrupts. There is no
 * auxiliary port: the loop-back command answers on the keyboard's side and the port's test fails, which is how drivers
 * recognise a controller without one, again without waiting.
 */
#include "drivers/virtual/vkeyboard.h"

#include "drivers/virtual/vsystem.h"
#include "hv/guest.h"
#include "hv/irq.h"
#include "hv/machine.h"
#include "hv/timer.h"

#define PORT_DATA    0x60u
#define PORT_COMMAND 0x64u

#define STATUS_OUTPUT_FULL  0x01u
#define STATUS_SYSTEM       0x04u /* follows the command byte */
#define STATUS_COMMAND_LAST 0x08u /* the last write went to the command port */
#define STATUS_UNLOCKED     0x10u
#define STATUS_TIMEOUT      0x40u

#define COMMAND_BYTE_INTERRUPT   0x01u
#define COMMAND_BYTE_SYSTEM      0x04u
#define COMMAND_BYTE_NO_KEYBOARD 0x10u
#define COMMAND_BYTE_NO_AUX      0x20u
#define COMMAND_BYTE_TRANSLATE   0x40u
#define COMMAND_BYTE_RESET       (COMMAND_BYTE_INTERRUPT | COMMAND_BYTE_SYSTEM | COMMAND_BYTE_NO_AUX | COMMAND_BYTE_TRANSLATE)

enum keyboard_command {
    COMMAND_READ_RAM = 0x20,  /* to 0x3f; 0x20 is the command byte */
    COMMAND_WRITE_RAM = 0x60, /* to 0x7f */
    COMMAND_DISABLE_AUX = 0xa7,
    COMMAND_ENABLE_AUX = 0xa8,
    COMMAND_TEST_AUX = 0xa9,
    COMMAND_SELF_TEST = 0xaa,
    COMMAND_TEST_INTERFACE = 0xab,
    COMMAND_DISABLE_KEYBOARD = 0xad,
    COMMAND_ENABLE_KEYBOARD = 0xae,
    COMMAND_READ_INPUT_PORT = 0xc0,
    COMMAND_READ_OUTPUT_PORT = 0xd0,
    COMMAND_WRITE_OUTPUT_PORT = 0xd1,
    COMMAND_WRITE_KEYBOARD_BUFFER = 0xd2,
    COMMAND_WRITE_AUX_BUFFER = 0xd3,
    COMMAND_WRITE_AUX = 0xd4,
    COMMAND_SHUT_A20 = 0xdd,
    COMMAND_OPEN_A20 = 0xdf,
    COMMAND_READ_TEST_INPUTS = 0xe0,
    COMMAND_PULSE = 0xf0, /* to 0xff: the output bits 0-3 that are clear in the command are low for a moment */
};

#define RAM_SIZE 32u

#define ANSWER_SELF_TEST_GOOD 0x55u
#define ANSWER_INTERFACE_GOOD 0x00u
#define ANSWER_AUX_CLOCK_LOW  0x01u
#define ANSWER_INPUT_PORT     0xa0u /* keyboard not locked, no manufacturing jumper */
#define ANSWER_RESEND         0xfeu
#define TIMEOUT_NS            UINT64_C(5000000)

#define OUTPUT_PORT_NO_RESET 0x01u
#define OUTPUT_PORT_A20      0x02u
#define OUTPUT_PORT_FULL     0x10u
#define OUTPUT_PORT_LINES    0xc0u /* keyboard clock and data, both high */

struct keyboard_state {
    struct timer timer; /* first: the timer leads back to its state */
    struct guest *guest;
    uint8_t ram[RAM_SIZE]; /* byte 0 is the command byte */
    uint8_t output;
    bool output_full;
    bool output_timeout; /* the byte in the output buffer reports a time-out */
    bool timeout_waits;  /* it has come, but the output buffer was full */
    bool command_last;
    uint8_t parameter_of; /* the command that the next data byte belongs to; 0: the keyboard's */
};

static void keyboard_update_line(struct keyboard_state *keyboard)
{
    irq_set(keyboard->guest, IRQ_KEYBOARD, keyboard->output_full && (keyboard->ram[0] & COMMAND_BYTE_INTERRUPT));
}

static void keyboard_answer(struct keyboard_state *keyboard, uint8_t byte)
{
    keyboard->output = byte;
    keyboard->output_full = true;
    keyboard->output_timeout = false;
    keyboard_update_line(keyboard);
}

static void keyboard_report_timeout(struct keyboard_state *keyboard)
{
    keyboard->timeout_waits = false;
    keyboard_answer(keyboard, ANSWER_RESEND);
    keyboard->output_timeout = true;
}

static void keyboard_expired(struct timer *timer)
{
    struct keyboard_state *keyboard = (struct keyboard_state *)timer;

    if (keyboard->output_full)
        keyboard->timeout_waits = true;
    else
        keyboard_report_timeout(keyboard);
}

static uint8_t output_port(const struct keyboard_state *keyboard)
{
    uint8_t port = OUTPUT_PORT_NO_RESET | OUTPUT_PORT_LINES;

    if (system_a20(keyboard->guest))
        port |= OUTPUT_PORT_A20;
    if (keyboard->output_full)
        port |= OUTPUT_PORT_FULL;
    return port;
}

static void keyboard_write_output_port(struct keyboard_state *keyboard, uint8_t value)
{
    system_set_a20(keyboard->guest, (value & OUTPUT_PORT_A20) != 0);
    if (!(value & OUTPUT_PORT_NO_RESET))
        guest_request_reset(keyboard->guest, "keyboard controller's output port");
}

static void keyboard_command(struct keyboard_state *keyboard, uint8_t command)
{
    keyboard->command_last = true;
    keyboard->parameter_of = 0;
    if (command >= COMMAND_PULSE) {
        if (!(command & OUTPUT_PORT_NO_RESET))
            guest_request_reset(keyboard->guest, "keyboard controller");
        return;
    }
    if (command >= COMMAND_READ_RAM && command < COMMAND_READ_RAM + RAM_SIZE) {
        keyboard_answer(keyboard, keyboard->ram[command - COMMAND_READ_RAM]);
        return;
    }
    if (command >= COMMAND_WRITE_RAM && command < COMMAND_WRITE_RAM + RAM_SIZE) {
        keyboard->parameter_of = command;
        return;
    }
    switch ((enum keyboard_command)command) {
    case COMMAND_DISABLE_AUX: keyboard->ram[0] |= COMMAND_BYTE_NO_AUX; break;
    case COMMAND_ENABLE_AUX: keyboard->ram[0] &= (uint8_t)~COMMAND_BYTE_NO_AUX; break;
    case COMMAND_DISABLE_KEYBOARD: keyboard->ram[0] |= COMMAND_BYTE_NO_KEYBOARD; break;
    case COMMAND_ENABLE_KEYBOARD: keyboard->ram[0] &= (uint8_t)~COMMAND_BYTE_NO_KEYBOARD; break;
    case COMMAND_TEST_AUX: keyboard_answer(keyboard, ANSWER_AUX_CLOCK_LOW); break;
    case COMMAND_SELF_TEST:
        keyboard->ram[0] |= COMMAND_BYTE_SYSTEM;
        keyboard_answer(keyboard, ANSWER_SELF_TEST_GOOD);
        break;
    case COMMAND_TEST_INTERFACE: keyboard_answer(keyboard, ANSWER_INTERFACE_GOOD); break;
    case COMMAND_READ_INPUT_PORT: keyboard_answer(keyboard, ANSWER_INPUT_PORT); break;
    case COMMAND_READ_OUTPUT_PORT: keyboard_answer(keyboard, output_port(keyboard)); break;
    case COMMAND_READ_TEST_INPUTS: keyboard_answer(keyboard, 0); break;
    case COMMAND_SHUT_A20: system_set_a20(keyboard->guest, false); break;
    case COMMAND_OPEN_A20: system_set_a20(keyboard->guest, true); break;
    case COMMAND_WRITE_OUTPUT_PORT:
    case COMMAND_WRITE_KEYBOARD_BUFFER:
    case COMMAND_WRITE_AUX_BUFFER:
    case COMMAND_WRITE_AUX: keyboard->parameter_of = command; break;
    default: break; /* unknown commands do nothing, as on the chip */
    }
}

static void keyboard_data(struct keyboard_state *keyboard, uint8_t value)
{
    uint8_t command = keyboard->parameter_of;

    keyboard->command_last = false;
    keyboard->parameter_of = 0;
    if (command >= COMMAND_WRITE_RAM && command < COMMAND_WRITE_RAM + RAM_SIZE) {
        keyboard->ram[command - COMMAND_WRITE_RAM] = value;
        keyboard_update_line(keyboard);
        return;
    }
    switch (command) {
    case COMMAND_WRITE_OUTPUT_PORT: keyboard_write_output_port(keyboard, value); break;
    case COMMAND_WRITE_KEYBOARD_BUFFER:
    case COMMAND_WRITE_AUX_BUFFER: keyboard_answer(keyboard, value); break;
    case COMMAND_WRITE_AUX: break;
    default: /* nobody is there to take it */ timer_set(&keyboard->timer, machine_ticks() + ticks_from_ns(TIMEOUT_NS));
    }
}

static uint64_t data_read(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    struct keyboard_state *keyboard = device->state;
    uint8_t value = keyboard->output; /* an empty buffer shows what it held last */

    (void)vcpu;
    (void)offset;
    (void)size;
    keyboard->output_full = false;
    keyboard->output_timeout = false;
    keyboard_update_line(keyboard);
    if (keyboard->timeout_waits)
        keyboard_report_timeout(keyboard);
    return value;
}

static void data_write(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    (void)vcpu;
    (void)offset;
    (void)size;
    keyboard_data(device->state, (uint8_t)value);
}

static uint64_t command_read(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    const struct keyboard_state *keyboard = device->state;
    uint8_t status = STATUS_UNLOCKED;

    (void)vcpu;
    (void)offset;
    (void)size;
    if (keyboard->output_full)
        status |= STATUS_OUTPUT_FULL;
    if (keyboard->ram[0] & COMMAND_BYTE_SYSTEM)
        status |= STATUS_SYSTEM;
    if (keyboard->command_last)
        status |= STATUS_COMMAND_LAST;
    if (keyboard->output_timeout)
        status |= STATUS_TIMEOUT;
    return status;
}

static void command_write(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    (void)vcpu;
    (void)offset;
    (void)size;
    keyboard_command(device->state, (uint8_t)value);
}

static const struct bus_ops data_ops = {data_read, data_write};
static const struct bus_ops command_ops = {command_read, command_write};

static void keyboard_reset(struct device *device)
{
    struct keyboard_state *keyboard = device->state;

    timer_set(&keyboard->timer, TIMER_NEVER);
    for (unsigned i = 0; i < RAM_SIZE; i++)
        keyboard->ram[i] = 0;
    keyboard->ram[0] = COMMAND_BYTE_RESET;
    keyboard->output = 0;
    keyboard->output_full = false;
    keyboard->output_timeout = false;
    keyboard->timeout_waits = false;
    keyboard->command_last = true;
    keyboard->parameter_of = 0;
    keyboard_update_line(keyboard);
}

static int keyboard_init(struct device *device)
{
    struct keyboard_state *keyboard = device->state;

    keyboard->guest = device->guest;
    int error = timer_init(&keyboard->timer, device->guest->vcpus[0], keyboard_expired);
    if (!error)
        error = device_claim_ports(device, PORT_DATA, 1, 1, &data_ops);
    if (!error)
        error = device_claim_ports(device, PORT_COMMAND, 1, 1, &command_ops);
    return error;
}

const struct device_ops vkeyboard_device = {
    .name = "keyboard",
    .state_size = sizeof(struct keyboard_state),
    .init = keyboard_init,
    .reset = keyboard_reset,
};
