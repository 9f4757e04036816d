/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The CMOS clock: the calendar, formats, setting the time in each way, updates, all three interrupts, CMOS memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <time.h>

#include "drivers/virtual/vrtc.h"
#include "drivers/virtual/vrtc_calendar.h"
#include "tests/unit/fake_ports.h"

#define SECOND UINT64_C(1000000000)
#define EPOCH  INT64_C(1709251197) /* Thursday 2024-02-29 23:59:57 */

static struct guest *guest;
static struct device *device;

static void start(uint64_t memory_bytes)
{
    guest = fake_guest(memory_bytes, 1);
    fake_machine.epoch_s = EPOCH;
    device = fake_device(guest, &vrtc_device);
}

static int setup(void **state)
{
    (void)state;
    start(MIB(64));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

static uint8_t cmos(unsigned index)
{
    port_out(guest, 0x70, index);
    return port_in(guest, 0x71);
}

static void cmos_write(unsigned index, unsigned value)
{
    port_out(guest, 0x70, index | 0x80); /* NMI masked, as drivers do */
    port_out(guest, 0x71, value);
}

static void assert_time(unsigned century, unsigned year, unsigned month, unsigned day, unsigned hour, unsigned minute,
                        unsigned second)
{
    assert_int_equal(cmos(0x32), century);
    assert_int_equal(cmos(9), year);
    assert_int_equal(cmos(8), month);
    assert_int_equal(cmos(7), day);
    assert_int_equal(cmos(4), hour);
    assert_int_equal(cmos(2), minute);
    assert_int_equal(cmos(0), second);
}

static void test_calendar(void **state)
{
    (void)state;
    for (int64_t seconds = INT64_C(-62167219200); seconds <= INT64_C(253402300799); seconds += 86400 * 3 + 12347) {
        struct calendar_time ours;
        struct tm theirs;
        time_t input = seconds;
        assert_non_null(gmtime_r(&input, &theirs));
        calendar_from_seconds(seconds, &ours);
        assert_int_equal(ours.year, theirs.tm_year + 1900);
        assert_int_equal(ours.month, theirs.tm_mon + 1);
        assert_int_equal(ours.day, theirs.tm_mday);
        assert_int_equal(ours.hour * 3600 + ours.minute * 60 + ours.second,
                         theirs.tm_hour * 3600 + theirs.tm_min * 60 + theirs.tm_sec);
        assert_int_equal(ours.weekday, theirs.tm_wday + 1);
        assert_int_equal(calendar_to_seconds(&ours), seconds);
    }
    struct calendar_time time;
    calendar_from_seconds(INT64_MAX, &time);
    assert_int_equal(time.year, 9999);
    calendar_from_seconds(INT64_MIN, &time);
    assert_int_equal(time.year, 0);
}

static void test_alarm_search(void **state)
{
    (void)state;
    for (int64_t from = 86000; from < 86800; from += 7) {
        for (int hour = -1; hour < 24; hour += 6) {
            for (int minute = -1; minute < 60; minute += 15) {
                struct calendar_alarm alarm = {hour, minute, minute % 2 == 0 ? 30 : -1};
                int64_t expected = from;
                while ((hour >= 0 && expected / 3600 % 24 != hour) || (minute >= 0 && expected / 60 % 60 != minute) ||
                       (alarm.second >= 0 && expected % 60 != alarm.second))
                    expected++;
                assert_int_equal(calendar_next_alarm(&alarm, from), expected);
            }
        }
    }
    struct calendar_alarm never = {-1, -1, 77};
    assert_true(calendar_next_alarm(&never, 0) == INT64_MAX);
    struct calendar_alarm any = {-1, -1, -1};
    assert_int_equal(calendar_next_alarm(&any, -5), -5);
}

static void test_time_and_formats(void **state)
{
    (void)state;
    assert_time(0x20, 0x24, 0x02, 0x29, 0x23, 0x59, 0x57);
    assert_int_equal(cmos(6), 5);
    assert_int_equal(cmos(0x0d), 0x80);
    cmos_write(0x0b, 0x06); /* binary */
    assert_time(20, 24, 2, 29, 23, 59, 57);
    cmos_write(0x0b, 0x04); /* binary, 12 hours */
    assert_int_equal(cmos(4), 0x80 | 11);
    cmos_write(0x0b, 0x00);
    assert_int_equal(cmos(4), 0x91);
    fake_advance_ns(guest, 3 * SECOND);
    assert_time(0x20, 0x24, 0x03, 0x01, 0x12, 0x00, 0x00); /* midnight */
    assert_int_equal(cmos(6), 6);
    fake_advance_ns(guest, 12 * 3600 * SECOND);
    assert_int_equal(cmos(4), 0x92);
    assert_int_equal(port_in(guest, 0x70), 0xff);
}

static void test_update_in_progress(void **state)
{
    (void)state;
    assert_int_equal(cmos(0x0a), 0x26);
    fake_advance_ns(guest, SECOND - 2300000);
    assert_int_equal(cmos(0x0a), 0x26);
    fake_advance_ns(guest, 100000);
    assert_int_equal(cmos(0x0a), 0xa6);
    assert_int_equal(cmos(0), 0x57);
    fake_advance_ns(guest, 2200000);
    assert_int_equal(cmos(0x0a), 0x26);
    assert_int_equal(cmos(0), 0x58);
    cmos_write(0x0b, 0x82); /* no updates under SET */
    fake_advance_ns(guest, SECOND - 1000000);
    assert_int_equal(cmos(0x0a), 0x26);
}

static void test_set_as_linux_does(void **state)
{
    (void)state;
    cmos_write(0x0b, 0x82);
    cmos_write(0x0a, 0x76); /* divider held in reset */
    cmos_write(9, 0x99);
    cmos_write(8, 0x12);
    cmos_write(7, 0x31);
    cmos_write(4, 0x23);
    cmos_write(2, 0x59);
    cmos_write(0, 0x58);
    cmos_write(0x32, 0x19);
    cmos_write(6, 0x03); /* any weekday that the guest likes */
    fake_advance_ns(guest, 5 * SECOND);
    assert_int_equal(cmos(0), 0x58);
    cmos_write(0x0b, 0x02);
    cmos_write(0x0a, 0x26);
    assert_time(0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x58);
    fake_advance_ns(guest, SECOND / 2 + 100000); /* the first update comes after half a second */
    assert_int_equal(cmos(0), 0x59);
    fake_advance_ns(guest, SECOND);
    assert_time(0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00);
    assert_int_equal(cmos(6), 4);
    device->ops->reset(device); /* the battery keeps it */
    assert_time(0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00);
}

static void test_set_without_stopping(void **state)
{
    (void)state;
    fake_advance_ns(guest, SECOND / 4);
    cmos_write(4, 0x10);
    assert_time(0x20, 0x24, 0x02, 0x29, 0x10, 0x59, 0x57);
    fake_advance_ns(guest, SECOND / 2);
    assert_int_equal(cmos(0), 0x57);
    fake_advance_ns(guest, SECOND / 4 + 100000);
    assert_int_equal(cmos(0), 0x58);
}

static void test_senseless_time(void **state)
{
    (void)state;
    cmos_write(0x0b, 0x82);
    for (unsigned index = 0; index < 10; index++)
        cmos_write(index, 0xff);
    cmos_write(0x32, 0xff);
    assert_int_equal(cmos(8), 0xff); /* as written while the clock stands */
    cmos_write(0x0b, 0x02);
    (void)cmos(0x0c);
    fake_advance_ns(guest, 2 * SECOND);
    for (unsigned index = 0; index < 10; index++)
        (void)cmos(index);
    assert_int_equal(cmos(0x32), 0x99); /* the calendar's end */
}

static void test_update_interrupt(void **state)
{
    (void)state;
    cmos_write(0x0b, 0x12);
    assert_false(line_level(guest, IRQ_RTC));
    fake_advance_ns(guest, SECOND - 100000);
    assert_false(line_level(guest, IRQ_RTC));
    fake_advance_ns(guest, 200000);
    assert_true(line_level(guest, IRQ_RTC));
    assert_true(timer_next(guest->vcpus[0]) == TIMER_NEVER); /* no further ones until C was read */
    assert_int_equal(cmos(0x0c) & 0xb0, 0x90);
    assert_false(line_level(guest, IRQ_RTC));
    assert_int_equal(cmos(0x0c), 0);
    fake_advance_ns(guest, SECOND);
    assert_true(line_level(guest, IRQ_RTC));
    cmos_write(0x0b, 0x92); /* SET clears UIE */
    assert_int_equal(cmos(0x0b), 0x82);
    assert_false(line_level(guest, IRQ_RTC));
}

static void test_alarm_interrupt(void **state)
{
    (void)state;
    cmos_write(1, 0x01);
    cmos_write(3, 0xff);
    cmos_write(5, 0xc0);
    (void)cmos(0x0c);
    cmos_write(0x0b, 0x22);
    fake_advance_ns(guest, 4 * SECOND - 1000000); /* it is 00:00:00.999 */
    assert_false(line_level(guest, IRQ_RTC));
    fake_advance_ns(guest, 2000000);
    assert_true(line_level(guest, IRQ_RTC));
    assert_int_equal(cmos(0x0c) & 0xa0, 0xa0);
    fake_advance_ns(guest, 59 * SECOND);
    assert_false(line_level(guest, IRQ_RTC));
    fake_advance_ns(guest, SECOND);
    assert_true(line_level(guest, IRQ_RTC));
    cmos_write(0x0b, 0x02);
    (void)cmos(0x0c);
    fake_advance_ns(guest, 120 * SECOND);
    assert_int_equal(cmos(0x0c) & 0x20, 0x20); /* the flag also without its interrupt */
    cmos_write(1, 0x75);                       /* never */
    cmos_write(0x0b, 0x22);
    assert_true(timer_next(guest->vcpus[0]) == TIMER_NEVER);
}

static void test_periodic_interrupt(void **state)
{
    static const struct {
        uint8_t rate;
        unsigned per_second;
    } rates[] = {{6, 1024}, {3, 8192}, {15, 2}, {1, 256}, {2, 128}};

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        unsigned count = 0;
        cmos_write(0x0a, 0x20 | rates[i].rate);
        cmos_write(0x0b, 0x42);
        (void)cmos(0x0c);
        uint64_t end = fake_machine.ticks + SECOND;
        while (timer_next(guest->vcpus[0]) <= end) {
            fake_advance_ns(guest, timer_next(guest->vcpus[0]) - fake_machine.ticks);
            assert_true(line_level(guest, IRQ_RTC));
            assert_int_equal(cmos(0x0c) & 0xc0, 0xc0);
            count++;
        }
        assert_in_range(count, rates[i].per_second - 1, rates[i].per_second + 1);
        fake_advance_ns(guest, end - fake_machine.ticks);
    }
    cmos_write(0x0a, 0x20);
    (void)cmos(0x0c);
    fake_advance_ns(guest, SECOND);
    assert_int_equal(cmos(0x0c) & 0x40, 0);
}

static void test_cmos_memory(void **state)
{
    (void)state;
    assert_int_equal(cmos(0x15) | cmos(0x16) << 8, 640);
    assert_int_equal(cmos(0x17) | cmos(0x18) << 8, 63 * 1024);
    assert_int_equal(cmos(0x30) | cmos(0x31) << 8, 63 * 1024);
    assert_int_equal(cmos(0x34) | cmos(0x35) << 8, 48 * 16);
    assert_int_equal(cmos(0x5b) | cmos(0x5c) << 8 | cmos(0x5d) << 16, 0);
    assert_int_equal(cmos(0x14), 0x02);
    unsigned sum = 0;
    for (unsigned i = 0x10; i <= 0x2d; i++)
        sum += cmos(i);
    assert_int_equal(cmos(0x2e) << 8 | cmos(0x2f), sum);
    cmos_write(0x0f, 0x0a);
    cmos_write(0x7f, 0x77);
    cmos_write(0x0d, 0x00);
    assert_int_equal(cmos(0x0f), 0x0a);
    assert_int_equal(cmos(0x0d), 0x80);
    device->ops->reset(device);
    assert_int_equal(cmos(0x0f), 0);
    assert_int_equal(cmos(0x7f), 0x77);
}

static void test_large_memory(void **state)
{
    (void)state;
    start(MIB(2));
    guest->ram[1].size = GIB(3) - guest->ram[1].base;
    guest->ram[2] = (struct guest_ram){GIB(4), 0, GIB(5)};
    guest->ram_count = 3;
    device->ops->reset(device);
    assert_int_equal(cmos(0x17) | cmos(0x18) << 8, 0xffff);
    assert_int_equal(cmos(0x34) | cmos(0x35) << 8, (3072 - 16) * 16);
    assert_int_equal(cmos(0x5b) | cmos(0x5c) << 8 | cmos(0x5d) << 16, 5 * 16384);
}

static void test_hostile_bytes(void **state)
{
    uint32_t seed = 11;

    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        seed = seed * 1664525u + 1013904223u;
        unsigned index = (seed & 0x300) ? (seed >> 24) % 14 : seed >> 24;
        if (seed & 0x1000)
            (void)cmos(index & 0x7f);
        else
            cmos_write(index & 0x7f, seed >> 16 & 0xff);
        if ((seed & 0xe000) == 0)
            fake_advance_ns(guest, (uint64_t)(seed >> 8 & 0xffff) << (seed & 15));
    }
    device->ops->reset(device);
    assert_false(line_level(guest, IRQ_RTC));
    assert_true(timer_next(guest->vcpus[0]) == TIMER_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calendar),
        cmocka_unit_test(test_alarm_search),
        cmocka_unit_test_setup_teardown(test_time_and_formats, setup, teardown),
        cmocka_unit_test_setup_teardown(test_update_in_progress, setup, teardown),
        cmocka_unit_test_setup_teardown(test_set_as_linux_does, setup, teardown),
        cmocka_unit_test_setup_teardown(test_set_without_stopping, setup, teardown),
        cmocka_unit_test_setup_teardown(test_senseless_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_update_interrupt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_alarm_interrupt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_periodic_interrupt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cmos_memory, setup, teardown),
        cmocka_unit_test_teardown(test_large_memory, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_bytes, setup, teardown),
    };
    return cmocka_run_group_tests_name("vrtc", tests, NULL, NULL);
}
