/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's own messages: plain sentences, one a line, behind the word "bulkhead: ".
 */
#ifndef HV_LOG_H
#define HV_LOG_H

#include "hv/lock.h"
#include "hv/types.h"

enum log_level {
    LOG_ERROR,
    LOG_INFO,
    LOG_DEBUG,
};

/* Lines above this level are not written (default LOG_INFO). */
void log_set_level(enum log_level level);

/* Write one line; the newline is added. Lines over 1000 characters are cut. Never waits for a guest. */
void log_line(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

/*
 * Write one line in answer to somebody at the console: whatever the level, and not kept in the log's history, where it
 * would push out what is worth reading again.
 */
void log_answer(const char *format, ...) PRINTF_LIKE(1, 2);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/*
 * Lines that belong together: between these calls the lines of this CPU are collected in `room` and then written as one
 * text, which nobody's line divides. When the room is full, what is there so far is written before.
 */
#define LOG_ROOM_MIN 1024u /* bytes: the longest line */
void log_together(char *room, size_t size);
void log_together_end(void);

/*
 * For lines that a guest can cause at will. Each guest has a limit of its own: LOG_LIMIT_BURST lines may pass at once,
 * then one for each LOG_LIMIT_LINE_NS that goes by. All zero is a fresh one.
 */
#define LOG_LIMIT_BURST   16u
#define LOG_LIMIT_LINE_NS UINT64_C(2000000000)

struct log_limit {
    struct lock lock;
    uint64_t paid_until_ticks; /* each line costs LOG_LIMIT_LINE_NS; ahead of the clock by what is not earned yet */
    uint32_t left_out;         /* since the last line that passed */
};

/*
 * May a line be written? Returns true, with the number of those left out before it; else counts it as left out. From
 * any CPU.
 */
bool log_limit_pass(struct log_limit *limit, uint32_t *left_out);

/* True, once, when lines were left out and may be told of by now; `left_out` is their number. From any CPU. */
bool log_limit_tell(struct log_limit *limit, uint32_t *left_out);

#endif
