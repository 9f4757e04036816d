/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ring of lines, each ended by a zero. Positions count all bytes ever kept, so they stay right when lines are lost.
 */
#include "hv/log_history.h"

#include "hv/lock.h"
#include "hv/string.h"

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

void log_history_add(const char *text)
{
    size_t length = min_u64(strlen(text), LOG_HISTORY_LINE_MAX);

    lock_take(&history_lock);
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

bool log_history_next(uint64_t *position, char *text)
{
    lock_take(&history_lock);
    uint64_t at = max_u64(*position, first);
    bool found = at < end;
    if (found) {
        do
            *text++ = byte_at(at);
        while (byte_at(at++) != '\0');
        *position = at;
    }
    lock_release(&history_lock);
    return found;
}
