/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ring of lines: each its time, in bytes that are never zero, and its text, ended by a zero. Positions count all
 * bytes ever kept, so they stay right when lines are lost.
 */
#include "hv/log_history.h"

#include "hv/lock.h"
#include "hv/string.h"

/* The time goes in pieces of 7 bits, the lowest first, each below a bit that is set. */
#define TIME_BYTES 10u
#define TIME_BITS  7u
#define TIME_MARK  0x80u

static struct lock history_lock;
static char bytes[LOG_HISTORY_SIZE];
static uint64_t first; /* the oldest whole line */
static uint64_t end;

static char byte_at(uint64_t position)
{
    return bytes[position % LOG_HISTORY_SIZE];
}

static void keep(char byte)
{
    if (end - first == LOG_HISTORY_SIZE) { /* the oldest line goes */
        while (byte_at(first++) != '\0')
            ;
    }
    bytes[end++ % LOG_HISTORY_SIZE] = byte;
}

void log_history_add(uint64_t ticks, const char *text)
{
    size_t length = min_u64(strlen(text), LOG_HISTORY_LINE_MAX);

    lock_take(&history_lock);
    for (uint32_t i = 0; i < TIME_BYTES; i++)
        keep((char)(TIME_MARK | (ticks >> i * TIME_BITS & (TIME_MARK - 1))));
    for (size_t i = 0; i < length; i++)
        keep(text[i]);
    keep('\0');
    lock_release(&history_lock);
}

uint64_t log_history_last(uint32_t lines)
{
    lock_take(&history_lock);
    uint64_t position = end;
    for (; lines > 0 && position > first; lines--) {
        position--;
        while (position > first && byte_at(position - 1) != '\0')
            position--;
    }
    lock_release(&history_lock);
    return position;
}

static uint64_t time_at(uint64_t position)
{
    uint64_t ticks = 0;

    for (uint32_t i = 0; i < TIME_BYTES; i++)
        ticks |= ((uint64_t)byte_at(position + i) & (TIME_MARK - 1)) << i * TIME_BITS;
    return ticks;
}

bool log_history_next(uint64_t *position, uint64_t *ticks, char *text)
{
    lock_take(&history_lock);
    uint64_t at = max_u64(*position, first);
    bool found = at < end;
    if (found) {
        *ticks = time_at(at);
        at += TIME_BYTES;
        do
            *text++ = byte_at(at);
        while (byte_at(at++) != '\0');
        *position = at;
    }
    lock_release(&history_lock);
    return found;
}
