/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two readings of a reference clock, each enclosed by two of the TSC; of several tries the one with the least room
 * between them, so that neither a slow port nor a preempted virtual machine spoils the result.
 */
#include "arch/tsc.h"

#include "arch/x86.h"
#include "hv/machine.h"

#define PM_TIMER_HZ   3579545u  /* ACPI 6.4, "Power Management Timer" */
#define PM_TIMER_MASK 0xffffffu /* 24 bits are always there */
#define PIT_HZ        1193182u
#define PIT_PORT_2    0x42u
#define PIT_COMMAND   0x43u
#define PIT_GATE      0x61u
#define TRIES         9u

struct reading {
    uint64_t tsc;   /* the middle of the access */
    uint64_t width; /* how long it took */
    uint32_t clock;
};

struct reference {
    uint32_t (*read)(uint16_t port);
    uint16_t port;
    uint32_t hz;
    uint32_t mask;
    uint32_t span; /* units to measure over */
};

static uint32_t pm_timer_read(uint16_t port)
{
    return in32(port) & PM_TIMER_MASK;
}

/* Channel 2 counts down from 0xffff; latched, so that both halves belong together. Turned to count up. */
static uint32_t pit_read(uint16_t port)
{
    out8(PIT_COMMAND, 0x80);
    uint32_t low = in8(port);
    uint32_t high = in8(port);
    return 0xffffu - (high << 8 | low);
}

static struct reading read_clock(const struct reference *reference)
{
    struct reading best = {0, UINT64_MAX, 0};

    for (unsigned i = 0; i < TRIES; i++) {
        uint64_t before = tsc_read();
        uint32_t clock = reference->read(reference->port);
        uint64_t width = tsc_read() - before;
        if (width < best.width)
            best = (struct reading){before + width / 2, width, clock};
    }
    return best;
}

static uint64_t measure(const struct reference *reference)
{
    struct reading begin = read_clock(reference), end;
    uint32_t passed = 0, last = begin.clock;
    /* A clock that stands still must not hold us: no machine executes this many port reads in the span. */
    uint32_t patience = 4000000;

    do {
        uint32_t now = reference->read(reference->port);
        passed += (now - last) & reference->mask;
        last = now;
        if (--patience == 0)
            return 0;
    } while (passed < reference->span);
    end = read_clock(reference);
    passed = (end.clock - begin.clock) & reference->mask;
    return passed == 0 ? 0 : (end.tsc - begin.tsc) * reference->hz / passed;
}

/* CPUID leaf 15h: crystal frequency and ratio. Intel SDM vol. 2, "CPUID—CPU Identification". */
static uint64_t tsc_hz_from_cpuid(void)
{
    if (machine_cpuid(0, 0).eax < 0x15)
        return 0;
    struct cpuid_result leaf = machine_cpuid(0x15, 0);
    return leaf.eax == 0 || leaf.ebx == 0 ? 0 : (uint64_t)leaf.ecx * leaf.ebx / leaf.eax;
}

uint64_t tsc_measure_hz(uint16_t pm_timer_port)
{
    uint64_t hz = 0;

    if (pm_timer_port != 0) {
        const struct reference pm_timer = {pm_timer_read, pm_timer_port, PM_TIMER_HZ, PM_TIMER_MASK, PM_TIMER_HZ / 10};
        hz = measure(&pm_timer);
    }
    if (hz == 0) {
        const struct reference pit = {pit_read, PIT_PORT_2, PIT_HZ, 0xffff, 0xc000};
        out8(PIT_GATE, (uint8_t)((in8(PIT_GATE) & 0xfc) | 1)); /* gate on, speaker off */
        out8(PIT_COMMAND, 0xb0);                               /* channel 2, low then high byte, mode 0, binary */
        out8(PIT_PORT_2, 0xff);
        out8(PIT_PORT_2, 0xff);
        hz = measure(&pit);
    }
    return hz != 0 ? hz : tsc_hz_from_cpuid();
}

#define CMOS_INDEX    0x70u
#define CMOS_DATA     0x71u
#define CMOS_STATUS_A 0x0au
#define CMOS_STATUS_B 0x0bu
#define STATUS_A_UIP  0x80u
#define STATUS_B_BIN  0x04u
#define STATUS_B_24H  0x02u

static uint8_t cmos_read(uint8_t index)
{
    out8(CMOS_INDEX, index);
    return in8(CMOS_DATA);
}

static unsigned from_bcd(unsigned value)
{
    return (value >> 4) * 10 + (value & 15);
}

struct cmos_time {
    uint8_t second, minute, hour, day, month, year;
};

static struct cmos_time cmos_read_time(void)
{
    for (uint32_t i = 0; i < 1000000 && (cmos_read(CMOS_STATUS_A) & STATUS_A_UIP) != 0; i++)
        cpu_relax();
    return (struct cmos_time){cmos_read(0), cmos_read(2), cmos_read(4), cmos_read(7), cmos_read(8), cmos_read(9)};
}

static bool same_time(const struct cmos_time *a, const struct cmos_time *b)
{
    return a->second == b->second && a->minute == b->minute && a->hour == b->hour && a->day == b->day &&
           a->month == b->month && a->year == b->year;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar, with the year beginning in March so that the leap day is
 * its last. */
static int64_t days_since_epoch(unsigned year, unsigned month, unsigned day)
{
    unsigned shifted_year = month <= 2 ? year - 1 : year;
    unsigned shifted_month = month <= 2 ? month + 9 : month - 3;
    int64_t days = 365 * (int64_t)shifted_year + shifted_year / 4 - shifted_year / 100 + shifted_year / 400 +
                   (153 * shifted_month + 2) / 5 + day - 1;
    return days - 719468;
}

int64_t cmos_clock_read_s(void)
{
    struct cmos_time time = cmos_read_time(), again = cmos_read_time();

    /* Two equal readings: none was torn by an update between its registers. */
    for (unsigned i = 0; i < 5 && !same_time(&time, &again); i++) {
        time = again;
        again = cmos_read_time();
    }
    uint8_t status = cmos_read(CMOS_STATUS_B);
    bool afternoon = (status & STATUS_B_24H) == 0 && (time.hour & 0x80) != 0;
    unsigned values[] = {time.second, time.minute, time.hour & 0x7fu, time.day, time.month, time.year};
    for (unsigned i = 0; i < ARRAY_SIZE(values) && (status & STATUS_B_BIN) == 0; i++)
        values[i] = from_bcd(values[i]);
    if ((status & STATUS_B_24H) == 0)
        values[2] = values[2] % 12 + (afternoon ? 12 : 0);
    if (values[0] > 59 || values[1] > 59 || values[2] > 23 || values[3] < 1 || values[3] > 31 || values[4] < 1 ||
        values[4] > 12 || values[5] > 99)
        return 0;
    /* The chip keeps two digits; a hypervisor of this century may take the century for granted. */
    return ((days_since_epoch(2000 + values[5], values[4], values[3]) * 24 + values[2]) * 60 + values[1]) * 60 +
           values[0];
}
