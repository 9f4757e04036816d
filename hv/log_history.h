/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The last lines of the hypervisor's log, and when each was said, to be read again.
 */
#ifndef HV_LOG_HISTORY_H
#define HV_LOG_HISTORY_H

#include "hv/types.h"

#define LOG_HISTORY_SIZE     32768u /* bytes; a power of two */
#define LOG_HISTORY_LINE_MAX 1000u  /* characters; the rest of a longer line is lost */

/* Keep a line that was said `ticks` after the hypervisor's start. From any CPU. */
void log_history_add(uint64_t ticks, const char *text);

/* Where the last `lines` lines begin, or all that are there when there are fewer: for log_history_next. From any CPU.
 */
uint64_t log_history_last(uint32_t lines);

/*
 * Copy the line at `*position`, or the oldest one when that is gone, into `text` of LOG_HISTORY_LINE_MAX + 1 bytes,
 * its time into `*ticks`, and move on behind it. Returns false, and does none of it, behind the last line. From any
 * CPU.
 */
bool log_history_next(uint64_t *position, uint64_t *ticks, char *text);

#endif
