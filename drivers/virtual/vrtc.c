/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The clock is the host's ticks plus an offset that the guest moves by setting the time; its registers are computed
 * when they are read. Motorola MC146818 data sheet, "Registers" and "Interrupts"; CMOS bytes: IBM PC/AT Technical
 * Reference, "Real-Time Clock/CMOS RAM Information", memory above 16 MiB and 4 GiB as QEMU and Bochs tell it to their
 * firmware.
 *
 * Flags are brought up to date when somebody looks. A timer runs only while an enabled interrupt is not pending, so a
 * guest that does not read register C gets no further interrupts and missed ones become one.
 */
#include "drivers/virtual/vrtc.h"

#include "drivers/virtual/vrtc_calendar.h"
#include "hv/guest.h"
#include "hv/irq.h"
#include "hv/machine.h"
#include "hv/timer.h"

#define PORT_BASE  0x70u
#define CMOS_BYTES 128u
#define INDEX_MASK                                                                                                     \
    0x7fu /* bit 7 of port 0x70 masks the board's NMI: parity and I/O check, which this board never raises */

enum rtc_register {
    RTC_SECONDS = 0x00,
    RTC_SECONDS_ALARM = 0x01,
    RTC_MINUTES = 0x02,
    RTC_MINUTES_ALARM = 0x03,
    RTC_HOURS = 0x04,
    RTC_HOURS_ALARM = 0x05,
    RTC_WEEKDAY = 0x06,
    RTC_DAY = 0x07,
    RTC_MONTH = 0x08,
    RTC_YEAR = 0x09,
    RTC_A = 0x0a,
    RTC_B = 0x0b,
    RTC_C = 0x0c,
    RTC_D = 0x0d,
    CMOS_DIAGNOSTIC = 0x0e,
    CMOS_SHUTDOWN = 0x0f,
    CMOS_CHECKED_FIRST = 0x10,
    CMOS_EQUIPMENT = 0x14,
    CMOS_BASE_MEMORY = 0x15,     /* KiB below 640 KiB, two bytes */
    CMOS_EXTENDED_MEMORY = 0x17, /* KiB above 1 MiB, two bytes; again at 0x30 */
    CMOS_CHECKED_LAST = 0x2d,
    CMOS_CHECKSUM = 0x2e, /* high byte first */
    CMOS_EXTENDED_MEMORY_2 = 0x30,
    CMOS_MEMORY_ABOVE_16M = 0x34, /* 64 KiB units up to 4 GiB, two bytes */
    CMOS_MEMORY_ABOVE_4G = 0x5b,  /* 64 KiB units, three bytes */
};

#define A_UPDATE_IN_PROGRESS 0x80u
#define A_DIVIDER            0x70u
#define A_DIVIDER_RUNS       0x20u /* 32.768 kHz; every other setting holds the clock */
#define A_RATE               0x0fu
#define A_RESET              0x26u /* 1024 Hz */

#define B_SET                 0x80u
#define B_PERIODIC            0x40u
#define B_ALARM               0x20u
#define B_UPDATE              0x10u
#define B_BINARY              0x04u
#define B_24_HOURS            0x02u
#define B_RESET               B_24_HOURS
#define INTERRUPTS            (B_PERIODIC | B_ALARM | B_UPDATE) /* the flags of register C stand in the same bits */
#define C_INTERRUPT           0x80u
#define D_VALID               0x80u
#define HOURS_PM              0x80u
#define ALARM_ANY             0xc0u
#define EQUIPMENT_COPROCESSOR 0x02u /* and no floppy; video bits 00: a VGA */

#define RTC_HZ UINT64_C(32768)
/* UIP rises 244 microseconds before an update, which takes 1984. Table "Update Cycle Times" */
#define UPDATE_CLOCKS 73u

struct rtc_state {
    struct timer timer; /* first: the timer leads back to its state */
    struct guest *guest;
    int64_t offset;      /* guest time in clocks = clocks since tick 0 + offset */
    uint64_t last_clock; /* flags are up to date until here */
    int64_t last_second;
    uint8_t index;
    uint8_t weekday_shift;    /* the guest's day of the week may be any */
    bool divider_held;        /* since the clock stopped, the divider was reset */
    uint8_t cmos[CMOS_BYTES]; /* the time's registers only while the clock is stopped */
};

static uint64_t rtc_clock(void)
{
    return units_from_ticks(machine_ticks(), RTC_HZ);
}

/* Guest time in clocks since 1970; never negative in the years that a guest can set plus those that a machine lives. */
static int64_t rtc_time(const struct rtc_state *rtc, uint64_t clock)
{
    return (int64_t)clock + rtc->offset;
}

static int64_t whole_seconds(int64_t time)
{
    int64_t seconds = time / (int64_t)RTC_HZ;

    return time % (int64_t)RTC_HZ < 0 ? seconds - 1 : seconds;
}

static uint32_t fraction(int64_t time)
{
    return (uint32_t)(time - whole_seconds(time) * (int64_t)RTC_HZ);
}

static bool divider_runs(const struct rtc_state *rtc)
{
    return (rtc->cmos[RTC_A] & A_DIVIDER) == A_DIVIDER_RUNS;
}

static bool clock_runs(const struct rtc_state *rtc)
{
    return divider_runs(rtc) && !(rtc->cmos[RTC_B] & B_SET);
}

/* ---- Formats ---- */

static uint8_t field_encode(const struct rtc_state *rtc, int32_t value)
{
    return (uint8_t)(rtc->cmos[RTC_B] & B_BINARY ? value : value / 10 << 4 | value % 10);
}

static int32_t field_decode(const struct rtc_state *rtc, uint8_t raw)
{
    return rtc->cmos[RTC_B] & B_BINARY ? raw : (raw >> 4) * 10 + (raw & 15);
}

static uint8_t encode_hour(const struct rtc_state *rtc, int32_t hour)
{
    if (rtc->cmos[RTC_B] & B_24_HOURS)
        return field_encode(rtc, hour);
    uint8_t raw = field_encode(rtc, hour % 12 == 0 ? 12 : hour % 12);
    return hour >= 12 ? raw | HOURS_PM : raw;
}

static int32_t decode_hour(const struct rtc_state *rtc, uint8_t raw)
{
    if (rtc->cmos[RTC_B] & B_24_HOURS)
        return field_decode(rtc, raw);
    int32_t hour = field_decode(rtc, raw & (uint8_t)~HOURS_PM);
    if (hour == 12)
        hour = 0;
    return raw & HOURS_PM ? hour + 12 : hour;
}

static int32_t decode_alarm(const struct rtc_state *rtc, unsigned index)
{
    uint8_t raw = rtc->cmos[index];

    if ((raw & ALARM_ANY) == ALARM_ANY)
        return -1;
    return index == RTC_HOURS_ALARM ? decode_hour(rtc, raw) : field_decode(rtc, raw);
}

/* ---- Time and its registers ---- */

static bool is_time_register(unsigned index)
{
    return index == RTC_SECONDS || index == RTC_MINUTES || index == RTC_HOURS ||
           (index >= RTC_WEEKDAY && index <= RTC_YEAR) || index == RTC_CENTURY;
}

/* Put the present time into its registers. */
static void time_store(struct rtc_state *rtc, uint64_t clock)
{
    struct calendar_time time;

    calendar_from_seconds(whole_seconds(rtc_time(rtc, clock)), &time);
    rtc->cmos[RTC_SECONDS] = field_encode(rtc, time.second);
    rtc->cmos[RTC_MINUTES] = field_encode(rtc, time.minute);
    rtc->cmos[RTC_HOURS] = encode_hour(rtc, time.hour);
    rtc->cmos[RTC_WEEKDAY] = field_encode(rtc, (time.weekday - 1 + rtc->weekday_shift) % 7 + 1);
    rtc->cmos[RTC_DAY] = field_encode(rtc, time.day);
    rtc->cmos[RTC_MONTH] = field_encode(rtc, time.month);
    rtc->cmos[RTC_YEAR] = field_encode(rtc, time.year % 100);
    rtc->cmos[RTC_CENTURY] = field_encode(rtc, time.year / 100);
}

/* Go on from the time in the registers, `clocks` into its second. Senseless values carry over as they fall. */
static void time_load(struct rtc_state *rtc, uint64_t clock, uint32_t clocks)
{
    struct calendar_time time = {
        .year = field_decode(rtc, rtc->cmos[RTC_CENTURY]) * 100 + field_decode(rtc, rtc->cmos[RTC_YEAR]),
        .month = field_decode(rtc, rtc->cmos[RTC_MONTH]),
        .day = field_decode(rtc, rtc->cmos[RTC_DAY]),
        .hour = decode_hour(rtc, rtc->cmos[RTC_HOURS]),
        .minute = field_decode(rtc, rtc->cmos[RTC_MINUTES]),
        .second = field_decode(rtc, rtc->cmos[RTC_SECONDS]),
    };
    int64_t seconds = calendar_to_seconds(&time);
    int32_t weekday = field_decode(rtc, rtc->cmos[RTC_WEEKDAY]);

    calendar_from_seconds(seconds, &time);
    rtc->weekday_shift = (uint8_t)(weekday >= 1 && weekday <= 7 ? (weekday - time.weekday + 7) % 7 : 0);
    rtc->offset = seconds * (int64_t)RTC_HZ + clocks - (int64_t)clock;
    rtc->last_second = seconds;
}

/* ---- Interrupts ---- */

/* Clocks between periodic interrupts; 0: none. Table "Periodic Interrupt Rate" */
static uint64_t periodic_clocks(const struct rtc_state *rtc)
{
    unsigned rate = rtc->cmos[RTC_A] & A_RATE;

    if (rate == 0 || !divider_runs(rtc))
        return 0;
    return UINT64_C(1) << (rate <= 2 ? rate + 6 : rate - 1);
}

static int64_t alarm_after(const struct rtc_state *rtc, int64_t second)
{
    struct calendar_alarm alarm = {
        .hour = decode_alarm(rtc, RTC_HOURS_ALARM),
        .minute = decode_alarm(rtc, RTC_MINUTES_ALARM),
        .second = decode_alarm(rtc, RTC_SECONDS_ALARM),
    };

    return calendar_next_alarm(&alarm, second + 1);
}

/* Bring the flags of register C up to date. */
static void rtc_sync(struct rtc_state *rtc, uint64_t clock)
{
    uint64_t period = periodic_clocks(rtc);

    if (period != 0 && clock / period != rtc->last_clock / period)
        rtc->cmos[RTC_C] |= B_PERIODIC;
    rtc->last_clock = clock;
    if (!clock_runs(rtc))
        return;
    int64_t second = whole_seconds(rtc_time(rtc, clock));
    if (second != rtc->last_second) {
        rtc->cmos[RTC_C] |= B_UPDATE;
        if (alarm_after(rtc, rtc->last_second) <= second)
            rtc->cmos[RTC_C] |= B_ALARM;
        rtc->last_second = second;
    }
}

/* The clock at which the next enabled interrupt comes, or UINT64_MAX. */
static uint64_t next_interrupt(const struct rtc_state *rtc, uint64_t clock)
{
    uint8_t enabled = rtc->cmos[RTC_B];
    uint64_t period = periodic_clocks(rtc), next = UINT64_MAX;

    if ((enabled & B_PERIODIC) && period != 0)
        next = (clock / period + 1) * period;
    if (!clock_runs(rtc))
        return next;
    int64_t time = rtc_time(rtc, clock);
    if (enabled & B_UPDATE)
        next = min_u64(next, clock + RTC_HZ - fraction(time));
    if (enabled & B_ALARM) {
        int64_t alarm = alarm_after(rtc, whole_seconds(time));
        if (alarm != INT64_MAX)
            next = min_u64(next, clock + (uint64_t)(alarm * (int64_t)RTC_HZ - time));
    }
    return next;
}

/* After every change: the line, and when to look again. */
static void rtc_update(struct rtc_state *rtc, uint64_t clock)
{
    bool pending = (rtc->cmos[RTC_C] & rtc->cmos[RTC_B] & INTERRUPTS) != 0;
    uint64_t next = pending ? UINT64_MAX : next_interrupt(rtc, clock);
    uint64_t deadline = next == UINT64_MAX ? TIMER_NEVER : ticks_from_units(next, RTC_HZ);

    irq_set(rtc->guest, IRQ_RTC, pending);
    if (deadline != rtc->timer.deadline_ticks)
        timer_set(&rtc->timer, deadline);
}

static void rtc_expired(struct timer *timer)
{
    struct rtc_state *rtc = (struct rtc_state *)timer;
    uint64_t clock = rtc_clock();

    rtc_sync(rtc, clock);
    rtc_update(rtc, clock);
}

/* ---- Ports ---- */

/* A new value of A or B may stop the clock or let it go on; the time crosses that border in its registers. */
static void rtc_write_control(struct rtc_state *rtc, unsigned index, uint8_t value, uint64_t clock)
{
    bool ran = clock_runs(rtc);

    if (ran)
        time_store(rtc, clock);
    if (index == RTC_A) {
        rtc->cmos[RTC_A] = value & (uint8_t)~A_UPDATE_IN_PROGRESS;
        if (!divider_runs(rtc))
            rtc->divider_held = true;
    } else {
        /* "A program sets SET ...: UIE is cleared" */
        rtc->cmos[RTC_B] = value & B_SET ? value & (uint8_t)~B_UPDATE : value;
    }
    if (ran || !clock_runs(rtc))
        return;
    /* The first update comes half a second after the divider is let go; SET alone does not touch the divider. */
    time_load(rtc, clock, rtc->divider_held ? RTC_HZ / 2 : fraction(rtc_time(rtc, clock)));
    rtc->divider_held = false;
}

static void rtc_write(struct rtc_state *rtc, unsigned index, uint8_t value)
{
    uint64_t clock = rtc_clock();

    if (index == RTC_C || index == RTC_D)
        return;
    if (index > RTC_B && index != RTC_CENTURY) {
        rtc->cmos[index] = value;
        return;
    }
    rtc_sync(rtc, clock);
    if (index == RTC_A || index == RTC_B) {
        rtc_write_control(rtc, index, value, clock);
    } else if (is_time_register(index) && clock_runs(rtc)) {
        time_store(rtc, clock);
        rtc->cmos[index] = value;
        time_load(rtc, clock, fraction(rtc_time(rtc, clock)));
    } else {
        rtc->cmos[index] = value;
    }
    rtc_update(rtc, clock);
}

static uint8_t rtc_read_flags(struct rtc_state *rtc)
{
    uint64_t clock = rtc_clock();

    rtc_sync(rtc, clock);
    uint8_t flags = rtc->cmos[RTC_C];
    if (flags & rtc->cmos[RTC_B] & INTERRUPTS)
        flags |= C_INTERRUPT;
    rtc->cmos[RTC_C] = 0;
    rtc_update(rtc, clock);
    return flags;
}

static uint8_t rtc_read(struct rtc_state *rtc, unsigned index)
{
    if (index == RTC_C)
        return rtc_read_flags(rtc);
    if (index == RTC_D)
        return D_VALID;
    if (!clock_runs(rtc))
        return rtc->cmos[index];
    if (index == RTC_A)
        return fraction(rtc_time(rtc, rtc_clock())) >= RTC_HZ - UPDATE_CLOCKS ? rtc->cmos[RTC_A] | A_UPDATE_IN_PROGRESS
                                                                              : rtc->cmos[RTC_A];
    if (is_time_register(index))
        time_store(rtc, rtc_clock());
    return rtc->cmos[index];
}

static uint64_t rtc_port_read(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    struct rtc_state *rtc = device->state;

    (void)vcpu;
    (void)size;
    return offset == 0 ? 0xff : rtc_read(rtc, rtc->index); /* port 0x70 can only be written */
}

static void rtc_port_write(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    struct rtc_state *rtc = device->state;

    (void)vcpu;
    (void)size;
    if (offset == 0)
        rtc->index = (uint8_t)value & INDEX_MASK;
    else
        rtc_write(rtc, rtc->index, (uint8_t)value);
}

static const struct bus_ops rtc_ops = {rtc_port_read, rtc_port_write};

/* ---- What firmware leaves ---- */

static void cmos_set(struct rtc_state *rtc, unsigned index, unsigned bytes, uint64_t value, uint64_t limit)
{
    value = min_u64(value, limit);
    for (unsigned i = 0; i < bytes; i++)
        rtc->cmos[index + i] = (uint8_t)(value >> (8 * i));
}

static void cmos_describe_memory(struct rtc_state *rtc)
{
    const struct guest *guest = rtc->guest;
    uint64_t base = 0, low_end = 0, high = 0;

    for (uint32_t i = 0; i < guest->ram_count; i++) {
        const struct guest_ram *ram = &guest->ram[i];
        if (ram->base == 0)
            base = min_u64(ram->size, GUEST_VGA_HOLE_BASE);
        if (ram->base >= GUEST_HIGH_RAM_BASE)
            high += ram->size;
        else
            low_end = max_u64(low_end, ram->base + ram->size);
    }
    uint64_t extended = low_end > MIB(1) ? low_end - MIB(1) : 0;
    uint64_t above_16m = low_end > MIB(16) ? low_end - MIB(16) : 0;
    cmos_set(rtc, CMOS_BASE_MEMORY, 2, base / KIB(1), 0xffff);
    cmos_set(rtc, CMOS_EXTENDED_MEMORY, 2, extended / KIB(1), 0xffff);
    cmos_set(rtc, CMOS_EXTENDED_MEMORY_2, 2, extended / KIB(1), 0xffff);
    cmos_set(rtc, CMOS_MEMORY_ABOVE_16M, 2, above_16m / KIB(64), 0xffff);
    cmos_set(rtc, CMOS_MEMORY_ABOVE_4G, 3, high / KIB(64), 0xffffff);
}

static void cmos_checksum(struct rtc_state *rtc)
{
    unsigned sum = 0;

    for (unsigned i = CMOS_CHECKED_FIRST; i <= CMOS_CHECKED_LAST; i++)
        sum += rtc->cmos[i];
    rtc->cmos[CMOS_CHECKSUM] = (uint8_t)(sum >> 8);
    rtc->cmos[CMOS_CHECKSUM + 1] = (uint8_t)sum;
}

/* The battery keeps the time that the guest has set and the bytes that are not firmware's; all else is as after
 * power-on. */
static void rtc_reset(struct device *device)
{
    struct rtc_state *rtc = device->state;
    uint64_t clock = rtc_clock();

    if (!clock_runs(rtc)) {
        rtc_write_control(rtc, RTC_A, A_RESET, clock);
        rtc_write_control(rtc, RTC_B, rtc->cmos[RTC_B] & (uint8_t)~B_SET, clock);
    }
    rtc->cmos[RTC_A] = A_RESET;
    rtc->cmos[RTC_B] = B_RESET;
    rtc->cmos[RTC_C] = 0;
    rtc->index = 0;
    rtc->last_clock = clock;
    rtc->last_second = whole_seconds(rtc_time(rtc, clock));
    rtc->cmos[CMOS_DIAGNOSTIC] = 0;
    rtc->cmos[CMOS_SHUTDOWN] = 0;
    rtc->cmos[CMOS_EQUIPMENT] = EQUIPMENT_COPROCESSOR;
    cmos_describe_memory(rtc);
    cmos_checksum(rtc);
    rtc_update(rtc, clock);
}

static int rtc_init(struct device *device)
{
    struct rtc_state *rtc = device->state;

    rtc->guest = device->guest;
    rtc->cmos[RTC_A] = A_RESET;
    rtc->cmos[RTC_B] = B_RESET;
    rtc->offset = machine_epoch_s() * (int64_t)RTC_HZ;
    int error = timer_init(&rtc->timer, device->guest->vcpus[0], rtc_expired);
    if (!error)
        error = device_claim_ports(device, PORT_BASE, 2, 1, &rtc_ops);
    return error;
}

const struct device_ops vrtc_device = {
    .name = "rtc",
    .state_size = sizeof(struct rtc_state),
    .init = rtc_init,
    .reset = rtc_reset,
};
