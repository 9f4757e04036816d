/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Seconds since 1970 and calendar dates, and when an alarm comes next. Pure functions.
 */
#ifndef DRIVERS_VIRTUAL_VRTC_CALENDAR_H
#define DRIVERS_VIRTUAL_VRTC_CALENDAR_H

#include "hv/types.h"

#define SECONDS_PER_DAY INT64_C(86400)

struct calendar_time {
    int32_t year;  /* 0 to 9999 */
    int32_t month; /* 1 to 12 */
    int32_t day;   /* 1 to 31 */
    int32_t hour;
    int32_t minute;
    int32_t second;
    int32_t weekday; /* 1 is Sunday */
};

/* The date of a time in seconds since 1970-01-01. Times outside of the years 0 to 9999 are brought to their limit. */
void calendar_from_seconds(int64_t seconds, struct calendar_time *time);

/* The opposite; the weekday does not count. Fields outside of their range (a guest may set a 99th minute) carry over.
 */
int64_t calendar_to_seconds(const struct calendar_time *time);

/* An alarm: hour, minute and second, each a number or -1 for any. */
struct calendar_alarm {
    int32_t hour;
    int32_t minute;
    int32_t second;
};

/* The first time at or after `from` that matches, or INT64_MAX when no time ever does. */
int64_t calendar_next_alarm(const struct calendar_alarm *alarm, int64_t from);

#endif
