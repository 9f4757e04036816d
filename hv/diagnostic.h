/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the messages about a user's file go. Each is one complete line, `demo.toml:14:11: guest "rt": ...`, made of
 * printable ASCII only, whatever bytes the file holds. While messages are held they are sorted by their place in the
 * file, because some mistakes are known only once the whole file has been read.
 */
#ifndef HV_DIAGNOSTIC_H
#define HV_DIAGNOSTIC_H

#include "hv/types.h"

/* A place in a file. Both count from 1, a column is one character. Line 0 means that there is no such place. */
struct config_position {
    uint32_t line;
    uint32_t column;
};

#define DIAGNOSTICS_HELD_MAX 20u  /* what is told of one file: the mistakes behind these are only counted */
#define DIAGNOSTIC_LINE_SIZE 384u /* with the ending zero; what is longer ends in "..." */

struct diagnostic_line {
    struct config_position position;
    char text[DIAGNOSTIC_LINE_SIZE];
};

/* About 8 KiB: keep it in static memory, not on a stack. Zeroed but for `report`, it is ready for use. */
struct diagnostics {
    /* Called once for each message, without a line end in the text. A caller's own state stands around this struct. */
    void (*report)(struct diagnostics *self, const char *line_of_text);
    unsigned errors; /* all messages until now, held and dropped ones too */

    /* The rest belongs to diagnostic.c. */
    bool holding;
    unsigned held_count;
    unsigned dropped_count;
    struct config_position first_dropped;
    struct diagnostic_line held[DIAGNOSTICS_HELD_MAX];
};

/* Report one error at `position` of `file`, now, or when held messages are released. */
void diagnostic_at(struct diagnostics *diagnostics, const char *file, struct config_position position,
                   const char *format, ...) PRINTF_LIKE(4, 5);

/* A short piece of the file for use in a message: printable or not, ended by a zero, "..." where it was cut. */
struct diagnostic_excerpt {
    char text[48];
};
struct diagnostic_excerpt diagnostic_excerpt(const char *text, size_t length);

/* A sentence that is put together piece by piece; what does not fit is cut. Zeroed, it is empty. */
struct sentence {
    char text[DIAGNOSTIC_LINE_SIZE];
    size_t length;
};
void sentence_add(struct sentence *sentence, const char *format, ...) PRINTF_LIKE(2, 3);

/* From now on keep messages back, sorted by position; those of one position stay in the order they came in. */
void diagnostics_hold(struct diagnostics *diagnostics);

/* Report what was held, and a last line with the count of those that found no room. */
void diagnostics_release(struct diagnostics *diagnostics, const char *file);

#endif
