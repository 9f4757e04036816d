/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One counter of an 8254, as a function of time: nothing ticks. Every function is given the present time on a clock
 * that never stops, counted in periods of the counter's input, so nothing is ever rounded and a periodic output cannot
 * drift. Intel 8254 data sheet, "Mode Definitions" and "Programming the 8254".
 */
#ifndef DRIVERS_VIRTUAL_VPIT_CHANNEL_H
#define DRIVERS_VIRTUAL_VPIT_CHANNEL_H

#include "hv/types.h"

#define PIT_EDGE_NEVER UINT64_MAX

enum pit_phase {
    PIT_IDLE,     /* a control word was written, a whole count not yet */
    PIT_ARMED,    /* modes 1 and 5: a count waits for the gate's rising edge */
    PIT_COUNTING, /* since `origin` */
    PIT_PAUSED,   /* the gate is low */
};

struct pit_channel {
    uint8_t control; /* access, mode and BCD bits as the guest wrote them */
    uint8_t mode;    /* 0 to 5 */
    uint8_t phase;   /* enum pit_phase */
    bool gate;
    uint32_t count;      /* what the running count began with: 1 to 65536, or to 10000 in BCD */
    uint32_t count_next; /* the count register */
    bool reload_pending; /* count_next was written and is not in use yet */
    uint64_t reload_at;  /* modes 2 and 3: when it will be; before the next edge of the output */
    uint64_t origin;     /* when the count was loaded */
    uint64_t elapsed;    /* PIT_PAUSED, modes 0 and 4: how far the count came */
    uint16_t held;       /* the counter where it does not run (no BCD) */
    uint8_t write_low;
    bool write_high_next;
    bool read_high_next;
    bool count_latched;
    bool status_latched;
    uint16_t latch; /* as the guest reads it */
    uint8_t status;
};

/* A control word for this counter that is no latch command (control word bits 5-0; bits 5-4 not 0). */
void pit_channel_control(struct pit_channel *channel, uint8_t control, uint64_t now);

/* The read-back command's two halves. */
void pit_channel_latch_count(struct pit_channel *channel, uint64_t now);
void pit_channel_latch_status(struct pit_channel *channel, uint64_t now);

/* The counter's data port. */
void pit_channel_write(struct pit_channel *channel, uint8_t value, uint64_t now);
uint8_t pit_channel_read(struct pit_channel *channel, uint64_t now);

/* Level of the gate input. */
void pit_channel_set_gate(struct pit_channel *channel, bool gate, uint64_t now);

/* Level of the output now. */
bool pit_channel_output(struct pit_channel *channel, uint64_t now);

/* The first time after `now` at which the output rises, or PIT_EDGE_NEVER. */
uint64_t pit_channel_next_rise(struct pit_channel *channel, uint64_t now);

#endif
