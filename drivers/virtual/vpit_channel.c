/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The six modes as arithmetic on the time since the count was loaded. One simplification: a count is loaded
 * at the write itself, not at the next clock, so a guest never waits for the null count flag of a new count.
 */
#include "drivers/virtual/vpit_channel.h"

#define CONTROL_BCD          0x01u
#define CONTROL_ACCESS_SHIFT 4u
#define STATUS_OUTPUT        0x80u
#define STATUS_NULL_COUNT    0x40u

enum pit_access {
    ACCESS_LATCH = 0,
    ACCESS_LOW = 1,
    ACCESS_HIGH = 2,
    ACCESS_LOW_HIGH = 3,
};

enum pit_mode {
    MODE_TERMINAL_COUNT = 0,
    MODE_ONE_SHOT = 1, /* started by the gate */
    MODE_RATE = 2,
    MODE_SQUARE_WAVE = 3,
    MODE_STROBE = 4,
    MODE_GATED_STROBE = 5,
};

static unsigned channel_access(const struct pit_channel *channel)
{
    return channel->control >> CONTROL_ACCESS_SHIFT & 3;
}

static bool is_periodic(const struct pit_channel *channel)
{
    return channel->mode == MODE_RATE || channel->mode == MODE_SQUARE_WAVE;
}

static bool is_gate_started(const struct pit_channel *channel)
{
    return channel->mode == MODE_ONE_SHOT || channel->mode == MODE_GATED_STROBE;
}

static uint32_t channel_modulus(const struct pit_channel *channel)
{
    return channel->control & CONTROL_BCD ? 10000 : 65536;
}

/* Mode 3 is high for one clock more than it is low when the count is odd. */
static uint32_t high_clocks(uint32_t count)
{
    return (count + 1) / 2;
}

static uint64_t channel_elapsed(const struct pit_channel *channel, uint64_t now)
{
    return channel->phase == PIT_PAUSED ? channel->elapsed : now - channel->origin;
}

/* Put a count into use that was written in the middle of a period, once that period (in mode 3, that half) is over. */
static void channel_sync(struct pit_channel *channel, uint64_t now)
{
    if (channel->phase != PIT_COUNTING || !channel->reload_pending || !is_periodic(channel) || now < channel->reload_at)
        return;
    uint64_t before = (channel->reload_at - channel->origin) % channel->count;
    channel->reload_pending = false;
    channel->count = channel->count_next;
    channel->origin = channel->reload_at;
    if (before != 0) /* the high half ended: the new count begins with its low half */
        channel->origin -= high_clocks(channel->count);
}

static uint16_t to_bcd(uint32_t value)
{
    return (uint16_t)(value / 1000 % 10 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 | value % 10);
}

/* Digits above 9 count for what they say; the sum wraps. */
static uint32_t from_bcd(uint32_t value)
{
    return ((value >> 12 & 15) * 1000 + (value >> 8 & 15) * 100 + (value >> 4 & 15) * 10 + (value & 15)) % 10000;
}

static uint32_t square_wave_value(uint32_t count, uint32_t position)
{
    uint32_t high = high_clocks(count);

    return (count & ~1u) - 2 * (position < high ? position : position - high);
}

/* The counting element, 0 to 65535. */
static uint16_t channel_value(const struct pit_channel *channel, uint64_t now)
{
    uint32_t modulus = channel_modulus(channel);

    if (channel->phase == PIT_IDLE || channel->phase == PIT_ARMED ||
        (channel->phase == PIT_PAUSED && is_periodic(channel)))
        return channel->held;
    uint64_t elapsed = channel_elapsed(channel, now);
    uint32_t value;
    if (channel->mode == MODE_RATE)
        value = channel->count - (uint32_t)(elapsed % channel->count);
    else if (channel->mode == MODE_SQUARE_WAVE)
        value = square_wave_value(channel->count, (uint32_t)(elapsed % channel->count));
    else
        value = channel->count + modulus - (uint32_t)(elapsed % modulus);
    return (uint16_t)(value % modulus);
}

bool pit_channel_output(struct pit_channel *channel, uint64_t now)
{
    channel_sync(channel, now);
    if (channel->phase == PIT_IDLE)
        return channel->mode != MODE_TERMINAL_COUNT;
    if (channel->phase == PIT_ARMED || (channel->phase == PIT_PAUSED && is_periodic(channel)))
        return true;
    uint64_t elapsed = channel_elapsed(channel, now);
    switch ((enum pit_mode)channel->mode) {
    case MODE_TERMINAL_COUNT:
    case MODE_ONE_SHOT: return elapsed >= channel->count;
    case MODE_RATE: return elapsed % channel->count != channel->count - 1;
    case MODE_SQUARE_WAVE: return elapsed % channel->count < high_clocks(channel->count);
    case MODE_STROBE:
    case MODE_GATED_STROBE: return elapsed != channel->count;
    }
    return true;
}

uint64_t pit_channel_next_rise(struct pit_channel *channel, uint64_t now)
{
    channel_sync(channel, now);
    if (channel->phase != PIT_COUNTING)
        return PIT_EDGE_NEVER;
    uint64_t elapsed = now - channel->origin;
    if (!is_periodic(channel)) {
        uint64_t rise = channel->count;
        if (channel->mode == MODE_STROBE || channel->mode == MODE_GATED_STROBE)
            rise++; /* low for one clock first */
        return elapsed < rise ? channel->origin + rise : PIT_EDGE_NEVER;
    }
    if (!channel->reload_pending)
        return channel->origin + (elapsed / channel->count + 1) * channel->count;
    bool ends_high_half = (channel->reload_at - channel->origin) % channel->count != 0;
    return channel->reload_at + (ends_high_half ? channel->count_next - high_clocks(channel->count_next) : 0);
}

/* Stop counting where it stands. */
static void channel_hold(struct pit_channel *channel, enum pit_phase phase, uint64_t now)
{
    channel->held = channel_value(channel, now);
    if (channel->phase == PIT_COUNTING)
        channel->elapsed = now - channel->origin;
    channel->phase = (uint8_t)phase;
}

static void channel_start(struct pit_channel *channel, uint32_t count, uint64_t now)
{
    channel->count = count;
    channel->reload_pending = false;
    channel->elapsed = 0;
    channel->origin = now;
    channel->phase = channel->gate || is_gate_started(channel) ? PIT_COUNTING : PIT_PAUSED;
    channel->held = (uint16_t)(count % channel_modulus(channel));
}

/* A whole count was written. */
static void channel_load(struct pit_channel *channel, uint16_t value, uint64_t now)
{
    uint32_t count = channel->control & CONTROL_BCD ? from_bcd(value) : value;

    if (count == 0)
        count = channel_modulus(channel);
    channel->count_next = count;
    if (is_gate_started(channel)) {
        channel->reload_pending = true;
        if (channel->phase == PIT_IDLE)
            channel->phase = PIT_ARMED;
        return;
    }
    if (!is_periodic(channel) || channel->phase != PIT_COUNTING) {
        channel_start(channel, count, now);
        return;
    }
    if (channel->reload_pending)
        return; /* written twice in one period: the later count counts */
    uint64_t position = (now - channel->origin) % channel->count;
    uint64_t end = channel->count;
    if (channel->mode == MODE_SQUARE_WAVE && position < high_clocks(channel->count))
        end = high_clocks(channel->count);
    channel->reload_pending = true;
    channel->reload_at = now - position + end;
}

void pit_channel_control(struct pit_channel *channel, uint8_t control, uint64_t now)
{
    channel_sync(channel, now);
    channel_hold(channel, PIT_IDLE, now);
    channel->control = control & 0x3f;
    channel->mode = control >> 1 & 7;
    if (channel->mode > MODE_GATED_STROBE)
        channel->mode -= 4; /* the top bit of modes 2 and 3 does not matter */
    channel->reload_pending = false;
    channel->write_high_next = false;
    channel->read_high_next = false;
    channel->count_latched = false;
    channel->status_latched = false;
}

static uint16_t channel_read_value(struct pit_channel *channel, uint64_t now)
{
    channel_sync(channel, now);
    uint16_t value = channel_value(channel, now);
    return channel->control & CONTROL_BCD ? to_bcd(value) : value;
}

void pit_channel_latch_count(struct pit_channel *channel, uint64_t now)
{
    if (channel->count_latched)
        return;
    channel->latch = channel_read_value(channel, now);
    channel->count_latched = true;
}

void pit_channel_latch_status(struct pit_channel *channel, uint64_t now)
{
    if (channel->status_latched)
        return;
    bool output = pit_channel_output(channel, now);
    bool null_count = channel->phase == PIT_IDLE || channel->reload_pending;
    channel->status = channel->control;
    if (output)
        channel->status |= STATUS_OUTPUT;
    if (null_count)
        channel->status |= STATUS_NULL_COUNT;
    channel->status_latched = true;
}

void pit_channel_write(struct pit_channel *channel, uint8_t value, uint64_t now)
{
    channel_sync(channel, now);
    switch ((enum pit_access)channel_access(channel)) {
    case ACCESS_LATCH: /* no control word sets this */
    case ACCESS_LOW: channel_load(channel, value, now); break;
    case ACCESS_HIGH: channel_load(channel, (uint16_t)(value << 8), now); break;
    case ACCESS_LOW_HIGH:
        if (channel->write_high_next) {
            channel->write_high_next = false;
            channel_load(channel, (uint16_t)(value << 8 | channel->write_low), now);
            break;
        }
        channel->write_low = value;
        channel->write_high_next = true;
        if (channel->mode ==
            MODE_TERMINAL_COUNT) /* "Writing the first byte disables counting. OUT is set low immediately" */
            channel_hold(channel, PIT_IDLE, now);
        break;
    }
}

uint8_t pit_channel_read(struct pit_channel *channel, uint64_t now)
{
    if (channel->status_latched) {
        channel->status_latched = false;
        return channel->status;
    }
    uint16_t value = channel->count_latched ? channel->latch : channel_read_value(channel, now);
    bool high = channel_access(channel) == ACCESS_HIGH;
    if (channel_access(channel) == ACCESS_LOW_HIGH) {
        high = channel->read_high_next;
        channel->read_high_next = !high;
        if (!high)
            return (uint8_t)value; /* a latched count stays until both of its bytes are read */
    }
    channel->count_latched = false;
    return (uint8_t)(high ? value >> 8 : value);
}

void pit_channel_set_gate(struct pit_channel *channel, bool gate, uint64_t now)
{
    if (channel->gate == gate)
        return;
    channel_sync(channel, now);
    channel->gate = gate;
    if (is_gate_started(channel)) {
        if (gate && channel->phase != PIT_IDLE)
            channel_start(channel, channel->count_next, now);
        return;
    }
    if (!gate && channel->phase == PIT_COUNTING) {
        channel_hold(channel, PIT_PAUSED, now);
        return;
    }
    if (!gate || channel->phase != PIT_PAUSED)
        return;
    if (is_periodic(channel)) {
        channel_start(channel, channel->count_next, now);
    } else {
        channel->phase = PIT_COUNTING;
        channel->origin = now - channel->elapsed;
    }
}
