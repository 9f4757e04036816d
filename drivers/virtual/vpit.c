/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Three 8254 counters on one clock that is derived from the host's ticks, and system control port B.
 *
 * Only rising edges of channel 0 reach IRQ_PIT: the line falls and rises again at each of them and is high in between,
 * although the output is low for a part of each period. A tick therefore stays pending for a whole period and the
 * hypervisor's own lateness does not lose one; the read-back status shows the exact output. Ticks that are a whole
 * period late or more become one, and the phase is kept.
 */
#include "drivers/virtual/vpit.h"

#include "drivers/virtual/vpit_channel.h"
#include "hv/guest.h"
#include "hv/irq.h"
#include "hv/machine.h"
#include "hv/timer.h"

#define CHANNELS    3u
#define PORT_BASE   0x40u
#define PORT_SYSTEM 0x61u

/* A guest may ask for a tick each 838 ns; so often the CPU would do nothing else. */
#define INTERRUPT_SPACING_NS UINT64_C(20000)

#define CONTROL_ACCESS       0x30u /* both bits 0: the latch command */
#define SELECT_READ_BACK     3u
#define READ_BACK_NO_COUNT   0x20u /* both bits: low means do it */
#define READ_BACK_NO_STATUS  0x10u
#define READ_BACK_CHANNEL(n) (0x02u << (n))

/* IBM PC/AT Technical Reference, "System Board", port 0x61. */
#define SYSTEM_GATE_2   0x01u
#define SYSTEM_WRITABLE 0x0fu /* gate, speaker data, parity and I/O check disable */
#define SYSTEM_REFRESH  0x10u
#define SYSTEM_OUT_2    0x20u
#define REFRESH_CLOCKS  18u /* one memory refresh each 15 microseconds */

struct pit_state {
    struct timer timer; /* first: the timer leads back to its state */
    struct guest *guest;
    uint64_t next_rise; /* of channel 0 */
    struct pit_channel channels[CHANNELS];
    uint8_t system;
};

static uint64_t pit_now(void)
{
    return units_from_ticks(machine_ticks(), PIT_HZ);
}

/* Wait for the next rising edge of channel 0, which is after `now`. */
static void pit_arm(struct pit_state *pit, uint64_t now, uint64_t earliest_ticks)
{
    pit->next_rise = pit_channel_next_rise(&pit->channels[0], now);
    if (pit->next_rise == PIT_EDGE_NEVER)
        timer_set(&pit->timer, TIMER_NEVER);
    else
        timer_set(&pit->timer, max_u64(ticks_from_units(pit->next_rise, PIT_HZ), earliest_ticks));
}

static void pit_expired(struct timer *timer)
{
    struct pit_state *pit = (struct pit_state *)timer;
    uint64_t ticks = machine_ticks();
    uint64_t now = units_from_ticks(ticks, PIT_HZ);

    if (now >= pit->next_rise) {
        irq_set(pit->guest, IRQ_PIT, false);
        irq_set(pit->guest, IRQ_PIT, true);
    }
    pit_arm(pit, now, ticks + ticks_from_ns(INTERRUPT_SPACING_NS));
}

/* An edge that has come but was not reported yet (its timer is late) is not lost when the guest reprograms the channel.
 */
static void pit_catch_up(struct pit_state *pit, uint64_t now)
{
    if (now < pit->next_rise)
        return;
    irq_set(pit->guest, IRQ_PIT, false);
    irq_set(pit->guest, IRQ_PIT, true);
    pit->next_rise = PIT_EDGE_NEVER;
}

/* After channel 0 was written: its output may have changed at once, and the next edge has moved. */
static void pit_channel_0_changed(struct pit_state *pit, uint64_t now)
{
    struct pit_channel *channel = &pit->channels[0];

    if (channel->mode == 0 && !pit_channel_output(channel, now))
        irq_set(pit->guest, IRQ_PIT, false);
    else if (channel->phase == PIT_IDLE)
        irq_set(pit->guest, IRQ_PIT, true);
    pit_arm(pit, now, 0);
}

static void pit_write_read_back(struct pit_state *pit, uint8_t value, uint64_t now)
{
    for (unsigned i = 0; i < CHANNELS; i++) {
        if (!(value & READ_BACK_CHANNEL(i)))
            continue;
        if (!(value & READ_BACK_NO_COUNT))
            pit_channel_latch_count(&pit->channels[i], now);
        if (!(value & READ_BACK_NO_STATUS))
            pit_channel_latch_status(&pit->channels[i], now);
    }
}

static uint64_t pit_read(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    struct pit_state *pit = device->state;

    (void)vcpu;
    (void)size;
    if (offset >= CHANNELS)
        return 0xff; /* the control word cannot be read */
    return pit_channel_read(&pit->channels[offset], pit_now());
}

static void pit_write(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    struct pit_state *pit = device->state;
    uint64_t now = pit_now();
    uint8_t byte = (uint8_t)value;

    (void)vcpu;
    (void)size;
    if (offset == CHANNELS && byte >> 6 == SELECT_READ_BACK) {
        pit_write_read_back(pit, byte, now);
        return;
    }
    unsigned number = offset == CHANNELS ? byte >> 6 : (unsigned)offset;
    if (offset == CHANNELS && (byte & CONTROL_ACCESS) == 0) {
        pit_channel_latch_count(&pit->channels[number], now);
        return;
    }
    if (number == 0)
        pit_catch_up(pit, now);
    if (offset == CHANNELS)
        pit_channel_control(&pit->channels[number], byte & 0x3f, now);
    else
        pit_channel_write(&pit->channels[number], byte, now);
    if (number == 0)
        pit_channel_0_changed(pit, now);
}

static uint64_t system_read(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    struct pit_state *pit = device->state;
    uint64_t now = pit_now();
    uint8_t value = pit->system;

    (void)vcpu;
    (void)offset;
    (void)size;
    if (now / REFRESH_CLOCKS & 1)
        value |= SYSTEM_REFRESH;
    if (pit_channel_output(&pit->channels[2], now))
        value |= SYSTEM_OUT_2;
    return value;
}

static void system_write(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    struct pit_state *pit = device->state;

    (void)vcpu;
    (void)offset;
    (void)size;
    pit->system = (uint8_t)value & SYSTEM_WRITABLE;
    pit_channel_set_gate(&pit->channels[2], (pit->system & SYSTEM_GATE_2) != 0, pit_now());
}

static const struct bus_ops pit_ops = {pit_read, pit_write};
static const struct bus_ops system_ops = {system_read, system_write};

/* What firmware programs before it starts an operating system. */
static const struct {
    uint8_t control;
    uint8_t count_low;
    uint8_t count_high;
    bool gate;
} channel_reset[CHANNELS] = {
    {0x34, 0, 0, true},              /* mode 2, 18.2 Hz */
    {0x34, REFRESH_CLOCKS, 0, true}, /* mode 2, memory refresh */
    {0x36, 0x28, 0x05, false},       /* mode 3, the beep of some 900 Hz, silent */
};

static void pit_reset(struct device *device)
{
    struct pit_state *pit = device->state;
    uint64_t now = pit_now();

    irq_set(pit->guest, IRQ_PIT, false);
    pit->system = 0;
    for (unsigned i = 0; i < CHANNELS; i++) {
        struct pit_channel *channel = &pit->channels[i];
        *channel = (struct pit_channel){.gate = channel_reset[i].gate, .count = 1, .count_next = 1};
        pit_channel_control(channel, channel_reset[i].control, now);
        pit_channel_write(channel, channel_reset[i].count_low, now);
        pit_channel_write(channel, channel_reset[i].count_high, now);
    }
    /* The output is high already: the guest's first control word is no edge. */
    irq_set(pit->guest, IRQ_PIT, true);
    pit_arm(pit, now, 0);
}

static int pit_init(struct device *device)
{
    struct pit_state *pit = device->state;

    pit->guest = device->guest;
    int error = timer_init(&pit->timer, device->guest->vcpus[0], pit_expired);
    if (!error)
        error = device_claim_ports(device, PORT_BASE, CHANNELS + 1, 1, &pit_ops);
    if (!error)
        error = device_claim_ports(device, PORT_SYSTEM, 1, 1, &system_ops);
    return error;
}

const struct device_ops vpit_device = {
    .name = "pit",
    .state_size = sizeof(struct pit_state),
    .init = pit_init,
    .reset = pit_reset,
};
