/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Gregorian calendar without tables of leap years: days are counted from March 1 of year 0, so that
 * the leap day is the last of its year.
 */
#include "drivers/virtual/vrtc_calendar.h"

#define DAYS_PER_400_YEARS 146097
#define DAYS_0000_TO_1970  719468                /* from 0000-03-01 to 1970-01-01 */
#define SECONDS_MIN        INT64_C(-62167219200) /* 0000-01-01 00:00:00 */
#define SECONDS_MAX        INT64_C(253402300799) /* 9999-12-31 23:59:59 */

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* Days before the month, counted from March (0) to February (11). */
static int32_t days_before_month(int32_t month_from_march)
{
    return (153 * month_from_march + 2) / 5;
}

static int32_t days_before_year(int32_t year)
{
    return 365 * year + year / 4 - year / 100 + year / 400;
}

void calendar_from_seconds(int64_t seconds, struct calendar_time *time)
{
    /* Shifted by 400 years, so that every division is one of non-negative numbers. */
    int64_t shifted =
        clamp(seconds, SECONDS_MIN, SECONDS_MAX) + ((int64_t)DAYS_0000_TO_1970 + DAYS_PER_400_YEARS) * SECONDS_PER_DAY;
    int32_t days = (int32_t)(shifted / SECONDS_PER_DAY);
    int32_t rest = (int32_t)(shifted % SECONDS_PER_DAY);
    int32_t year = (int32_t)((int64_t)days * 400 / DAYS_PER_400_YEARS);

    while (days_before_year(year + 1) <= days) /* the average year is off by one at most */
        year++;
    while (days_before_year(year) > days)
        year--;
    int32_t day = days - days_before_year(year);
    int32_t month = (5 * day + 2) / 153;
    time->day = day - days_before_month(month) + 1;
    time->month = month < 10 ? month + 3 : month - 9;
    time->year = year - 400 + (month < 10 ? 0 : 1);
    time->hour = rest / 3600;
    time->minute = rest / 60 % 60;
    time->second = rest % 60;
    time->weekday = (days + 3) % 7 + 1; /* 0000-03-01 was a Wednesday, and 400 years are whole weeks */
}

int64_t calendar_to_seconds(const struct calendar_time *time)
{
    int32_t months = time->year * 12 + (time->month - 1) + 400 * 12 - 2; /* from March */
    int32_t year = months / 12;
    int64_t days = (int64_t)days_before_year(year) + days_before_month(months % 12) + time->day - 1;

    days -= DAYS_0000_TO_1970 + DAYS_PER_400_YEARS;
    return days * SECONDS_PER_DAY + time->hour * 3600 + time->minute * 60 + time->second;
}

static bool matches(int32_t wanted, int32_t value)
{
    return wanted < 0 || wanted == value;
}

/* The first second of the day, at or after `from`, that matches; -1 when there is none. */
static int32_t alarm_in_day(const struct calendar_alarm *alarm, int32_t from)
{
    for (int32_t hour = from / 3600; hour < 24; hour++) {
        if (!matches(alarm->hour, hour))
            continue;
        int32_t first = (int32_t)max_u64((uint64_t)from, (uint64_t)hour * 3600);
        for (int32_t minute = first / 60 % 60; minute < 60; minute++) {
            if (!matches(alarm->minute, minute))
                continue;
            int32_t start = hour * 3600 + minute * 60;
            int32_t lowest = from > start ? from - start : 0;
            int32_t second = alarm->second < 0 ? lowest : alarm->second;
            if (second >= lowest && second < 60)
                return start + second;
        }
    }
    return -1;
}

int64_t calendar_next_alarm(const struct calendar_alarm *alarm, int64_t from)
{
    int64_t rest = from % SECONDS_PER_DAY;

    if (alarm->hour >= 24 || alarm->minute >= 60 || alarm->second >= 60)
        return INT64_MAX;
    if (rest < 0)
        rest += SECONDS_PER_DAY;
    int32_t today = alarm_in_day(alarm, (int32_t)rest);
    if (today >= 0)
        return from - rest + today;
    int32_t tomorrow = alarm_in_day(alarm, 0);
    return tomorrow >= 0 ? from - rest + SECONDS_PER_DAY + tomorrow : INT64_MAX;
}
