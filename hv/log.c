/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One message, one line: the prefix, the text with control characters taken out (names come from files), a newline.
 * Some lines stay together, some are left out.
 */
#include "hv/log.h"

#include "hv/console.h"
#include "hv/format.h"
#include "hv/log_history.h"
#include "hv/machine.h"
#include "hv/string.h"
#include "hv/timer.h"

static const char prefix[] = "bulkhead: ";

#define LINE_TEXT_AT  (sizeof(prefix) - 1)
#define LINE_TEXT_MAX 1000u
#define LINE_MAX      (LINE_TEXT_AT + LINE_TEXT_MAX) /* and a newline, in the place of a zero */

static enum log_level highest = LOG_INFO;

_Static_assert(LINE_MAX + 1 <= LOG_ROOM_MIN, "a line fits into the least room");

/* What a CPU collects. Touched by that CPU alone. */
static struct log_room {
    char *text; /* NULL: it writes at once */
    size_t size, used;
} rooms[CPUS_MAX];
static uint32_t collecting; /* how many CPUs; while none does, nobody asks which CPU this is: at first none can tell */

void log_set_level(enum log_level level)
{
    highest = level;
}

/* The room that this CPU collects in; NULL: none. */
static struct log_room *own_room(void)
{
    if (__atomic_load_n(&collecting, __ATOMIC_RELAXED) == 0 || rooms[machine_cpu()].text == NULL)
        return NULL;
    return &rooms[machine_cpu()];
}

static void room_empty(struct log_room *room)
{
    size_t used = room->used;

    room->used = 0;
    if (used > 0)
        console_write(room->text, used);
}

void log_together(char *text, size_t size)
{
    rooms[machine_cpu()] = (struct log_room){text, size, 0};
    __atomic_fetch_add(&collecting, 1, __ATOMIC_RELAXED);
}

void log_together_end(void)
{
    struct log_room *room = own_room();

    if (room == NULL)
        return;
    room_empty(room);
    room->text = NULL;
    __atomic_fetch_sub(&collecting, 1, __ATOMIC_RELAXED);
}

/* A whole line of so many characters; a newline takes the place of the zero behind it. */
static void write_line(char *line, size_t size)
{
    struct log_room *room = own_room();

    line[size++] = '\n';
    if (room == NULL) {
        console_write(line, size);
        return;
    }
    if (size > room->size - room->used)
        room_empty(room);
    memcpy(room->text + room->used, line, size);
    room->used += size;
}

static bool limit_pays(struct log_limit *limit)
{
    uint64_t now = machine_ticks(), line = ticks_from_ns(LOG_LIMIT_LINE_NS);

    if (limit->paid_until_ticks > now + (LOG_LIMIT_BURST - 1) * line)
        return false;
    limit->paid_until_ticks = max_u64(limit->paid_until_ticks, now) + line;
    return true;
}

bool log_limit_pass(struct log_limit *limit, uint32_t *left_out)
{
    lock_take(&limit->lock);
    bool pass = limit_pays(limit);
    *left_out = pass ? limit->left_out : 0;
    limit->left_out = pass ? 0 : limit->left_out + (limit->left_out < UINT32_MAX);
    lock_release(&limit->lock);
    return pass;
}

bool log_limit_tell(struct log_limit *limit, uint32_t *left_out)
{
    if (__atomic_load_n(&limit->left_out, __ATOMIC_RELAXED) == 0)
        return false;
    lock_take(&limit->lock);
    bool tell = limit->left_out > 0 && limit_pays(limit);
    *left_out = tell ? limit->left_out : 0;
    if (tell)
        limit->left_out = 0;
    lock_release(&limit->lock);
    return tell;
}

/* Ticks since the first line, which the hypervisor says when it starts, whether it is shown or not. */
static uint64_t ticks_since_start(void)
{
    static uint64_t start_ticks;
    uint64_t now = machine_ticks();

    if (start_ticks == 0)
        start_ticks = now;
    return now > start_ticks ? now - start_ticks : 0; /* another CPU's clock may be a little behind */
}

/* Write a line of LINE_MAX characters and a zero at most, its text from LINE_TEXT_AT on. Returns its length. */
static size_t compose(char *line, const char *format, va_list arguments)
{
    char *text = line + LINE_TEXT_AT;

    memcpy(line, prefix, LINE_TEXT_AT);
    size_t length = min_u64(format_text_v(text, LINE_TEXT_MAX + 1, format, arguments), LINE_TEXT_MAX);
    for (size_t i = 0; i < length; i++) {
        if ((uint8_t)text[i] < ' ' || text[i] == 0x7f)
            text[i] = '?';
    }
    text[length] = '\0';
    return LINE_TEXT_AT + length;
}

void log_line(enum log_level level, const char *format, ...)
{
    char line[LINE_MAX + 1];
    uint64_t ticks = ticks_since_start();
    va_list arguments;

    if (level > highest)
        return;
    va_start(arguments, format);
    size_t size = compose(line, format, arguments);
    va_end(arguments);
    log_history_add(ticks, line + LINE_TEXT_AT);
    write_line(line, size);
}

void log_answer(const char *format, ...)
{
    char line[LINE_MAX + 1];
    va_list arguments;

    va_start(arguments, format);
    size_t size = compose(line, format, arguments);
    va_end(arguments);
    write_line(line, size);
}
