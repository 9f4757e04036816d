/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A reader of the TOML subset that configurations use: tables, bare keys, one-line strings, integers, booleans, arrays
 * of those, comments. Whatever it accepts, any TOML 1.0 parser accepts with the same values; the rest of TOML is
 * refused by name. It pulls one event at a time out of the text, so a document needs no tree and no allocation.
 */
#ifndef HV_TOML_H
#define HV_TOML_H

#include "hv/diagnostic.h"
#include "hv/types.h"

#define TOML_STRING_MAX 2047u /* bytes of one string, decoded */
#define TOML_NODES_MAX  512u  /* keys and tables of one document */
#define TOML_DEPTH_MAX  4u    /* names in one table header */

enum toml_event {
    TOML_END,
    TOML_TABLE,     /* a header: `path`, `path_length`, `position` of its bracket */
    TOML_TABLE_BAD, /* a header that was reported; its keys are read but not returned */
    TOML_KEY,       /* `key`; one TOML_SCALAR, one TOML_BAD or TOML_ARRAY ... TOML_ARRAY_END follow */
    TOML_SCALAR,    /* `value`: the key's, or the next element of its array */
    TOML_ARRAY,     /* `value.position` of its bracket; TOML_SCALAR and TOML_BAD follow up to TOML_ARRAY_END */
    TOML_ARRAY_END,
    TOML_BAD, /* a value, or a line without a usable key, that was reported */
};

enum toml_type {
    TOML_STRING,
    TOML_INTEGER,
    TOML_BOOLEAN,
};

/* A part of the document's text, not ended by a zero. */
struct toml_name {
    const char *text;
    uint32_t length;
    struct config_position position;
};

struct toml_value {
    enum toml_type type;
    struct config_position position; /* of its first character, a quote included */
    int64_t integer;
    bool boolean;
    uint32_t length;                /* bytes of `text`: a string may hold zeros */
    char text[TOML_STRING_MAX + 1]; /* valid UTF-8, a zero behind it */
};

/* A key or table that has been seen, to find the second one of that name. */
struct toml_node {
    const char *name;
    uint32_t length;
    uint32_t line;
    uint16_t parent; /* index + 1; 0 for the root */
    uint8_t kind;
};

/* All fields below `value` belong to the reader. About 15 KiB: not for a stack. */
struct toml {
    struct toml_name path[TOML_DEPTH_MAX];
    uint32_t path_length;
    struct config_position position;
    struct toml_name key;
    struct toml_value value;

    const char *file;
    const char *text;
    struct diagnostics *diagnostics;
    uint32_t size;
    uint32_t offset; /* of the next character; never above `size` */
    struct config_position at;
    struct config_position array_position;
    uint8_t state;
    bool value_muted;   /* the value of a key that is there twice */
    bool table_muted;   /* what follows a bad header */
    bool line_is_fresh; /* only blanks before `offset` in this line */
    bool nodes_full;
    uint16_t table; /* parent number of the current table's keys */
    uint32_t node_count;
    struct toml_node nodes[TOML_NODES_MAX];
};

#define TOML_SIZE_MAX MIB(1) /* bytes of a document */

/*
 * Begin to read `size` bytes at `text`, which must stay as they are until the end. `file` names them in messages.
 * Bytes that no TOML file may hold are reported at once.
 */
void toml_begin(struct toml *toml, const char *file, const char *text, size_t size, struct diagnostics *diagnostics);

/* The next event. TOML_END comes again and again at the end. The document is good when no error was counted by then. */
enum toml_event toml_next(struct toml *toml);

#endif
