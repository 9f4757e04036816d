/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The grammar of a TOML document, as a machine with three states: between statements, before a value, in an array.
 * After a mistake it goes on where the next statement seems to begin, so that one run finds all of them.
 */
#include "hv/toml.h"

#include "hv/string.h"
#include "hv/toml_lexer.h"

enum state {
    STATE_STATEMENT,
    STATE_VALUE,
    STATE_VALUE_BAD, /* a key without a value that can be read */
    STATE_ARRAY,
    STATE_ARRAY_NEXT, /* behind an element */
};

enum node_kind {
    NODE_KEY,
    NODE_TABLE_IMPLIED, /* only named on the way to another; its own header may still come */
    NODE_TABLE,
};

void toml_begin(struct toml *toml, const char *file, const char *text, size_t size, struct diagnostics *diagnostics)
{
    memset(toml, 0, sizeof(*toml));
    toml->file = file;
    toml->text = text;
    toml->diagnostics = diagnostics;
    toml->at.line = 1;
    toml->at.column = 1;
    toml->line_is_fresh = true;
    if (size > TOML_SIZE_MAX) {
        diagnostic_at(diagnostics, file, toml->at, "the file has %llu bytes; %llu are the most",
                      (unsigned long long)size, (unsigned long long)TOML_SIZE_MAX);
        return;
    }
    toml->size = (uint32_t)size;
    toml_check_bytes(toml);
}

static struct toml_node *node_find(struct toml *toml, uint16_t parent, const struct toml_name *name)
{
    for (uint32_t i = 0; i < toml->node_count; i++) {
        struct toml_node *node = &toml->nodes[i];
        if (node->parent == parent && node->length == name->length && memcmp(node->name, name->text, name->length) == 0)
            return node;
    }
    return NULL;
}

static uint16_t node_number(const struct toml *toml, const struct toml_node *node)
{
    return (uint16_t)(node - toml->nodes + 1);
}

/* NULL when no more fit, which is reported once. */
static struct toml_node *node_add(struct toml *toml, uint16_t parent, const struct toml_name *name, enum node_kind kind)
{
    if (toml->node_count == TOML_NODES_MAX) {
        if (!toml->nodes_full)
            toml_error(toml, name->position, "the file has more than %u keys and tables", TOML_NODES_MAX);
        toml->nodes_full = true;
        return NULL;
    }
    struct toml_node *node = &toml->nodes[toml->node_count++];
    node->name = name->text;
    node->length = name->length;
    node->line = name->position.line;
    node->parent = parent;
    node->kind = (uint8_t)kind;
    return node;
}

/* Stands at a bare key. */
static struct toml_name read_name(struct toml *toml)
{
    struct toml_name name = {toml->text + toml->offset, 0, toml->at};

    while (toml_is_bare(toml_peek(toml, name.length)))
        name.length++;
    toml_advance_by(toml, name.length);
    return name;
}

static bool expect_name(struct toml *toml, const char *what)
{
    int byte = toml_peek(toml, 0);

    if (toml_is_bare(byte))
        return true;
    struct diagnostic_excerpt found = toml_found_here(toml);
    if (byte == '"' || byte == '\'')
        toml_error(toml, toml->at, "names in quotes are not supported; use letters, digits, - and _ without quotes");
    else
        toml_error(toml, toml->at, "expected %s, found %s", what, found.text);
    return false;
}

/* Behind a value or header nothing but a comment may stand in the line. */
static bool expect_line_end(struct toml *toml, const char *behind_what)
{
    toml_skip_blanks(toml);
    if (toml_peek(toml, 0) == '#' || toml_at_line_end(toml))
        return true;
    struct diagnostic_excerpt found = toml_found_here(toml);
    toml_error(toml, toml->at, "unexpected %s behind %s; begin a new line, or a comment with #", found.text,
               behind_what);
    toml_skip_line(toml);
    return false;
}

/* [a.b.c] into `path`. False when it was reported and is of no use. */
static bool read_header(struct toml *toml)
{
    toml->path_length = 0;
    toml->position = toml->at;
    toml_advance(toml);
    if (toml_peek(toml, 0) == '[') {
        toml_error(toml, toml->position, "arrays of tables are not supported; write [table.NAME], one for each");
        return false;
    }
    for (;;) {
        toml_skip_blanks(toml);
        if (!expect_name(toml, "the name of a table"))
            return false;
        if (toml->path_length == TOML_DEPTH_MAX) {
            toml_error(toml, toml->at, "a table has at most %u names", TOML_DEPTH_MAX);
            return false;
        }
        toml->path[toml->path_length++] = read_name(toml);
        toml_skip_blanks(toml);
        if (toml_peek(toml, 0) != '.')
            break;
        toml_advance(toml);
    }
    if (toml_peek(toml, 0) != ']') {
        struct diagnostic_excerpt found = toml_found_here(toml);
        toml_error(toml, toml->at, "expected \"]\" behind the name of the table, found %s", found.text);
        toml_skip_line(toml);
        return true; /* what it names is clear: go on with its keys */
    }
    toml_advance(toml);
    expect_line_end(toml, "the table's name");
    return true;
}

/* Enter the header's path among the known tables. False when it must not stand here. */
static bool declare_table(struct toml *toml)
{
    uint16_t parent = 0;
    struct toml_node *node = NULL;

    for (uint32_t i = 0; i < toml->path_length; i++) {
        const struct toml_name *name = &toml->path[i];
        struct diagnostic_excerpt excerpt = diagnostic_excerpt(name->text, name->length);
        node = node_find(toml, parent, name);
        if (!node)
            node = node_add(toml, parent, name, NODE_TABLE_IMPLIED);
        if (!node)
            return false;
        if (node->kind == NODE_KEY) {
            toml_error(toml, name->position, "\"%s\" is a key already (line %u); it cannot be a table too",
                       excerpt.text, node->line);
            return false;
        }
        parent = node_number(toml, node);
    }
    if (!node || node->kind == NODE_TABLE) {
        struct toml_name *first = &toml->path[0], *last = &toml->path[toml->path_length - 1];
        struct diagnostic_excerpt excerpt =
            diagnostic_excerpt(first->text, (size_t)(last->text - first->text) + last->length);
        toml_error(toml, toml->position, "table [%s] is there already (line %u); give this one another name",
                   excerpt.text, node ? node->line : 0);
        return false;
    }
    node->kind = NODE_TABLE;
    node->line = toml->position.line;
    toml->table = parent;
    return true;
}

static enum toml_event read_table(struct toml *toml)
{
    bool good = read_header(toml);

    if (!good)
        toml_skip_line(toml);
    toml->table_muted = !good || !declare_table(toml);
    return toml->table_muted ? TOML_TABLE_BAD : TOML_TABLE;
}

static void declare_key(struct toml *toml)
{
    struct toml_node *node;

    if (toml->table_muted)
        return;
    node = node_find(toml, toml->table, &toml->key);
    if (!node) {
        node_add(toml, toml->table, &toml->key, NODE_KEY);
        return;
    }
    struct diagnostic_excerpt excerpt = diagnostic_excerpt(toml->key.text, toml->key.length);
    toml->value_muted = true;
    if (node->kind == NODE_KEY)
        toml_error(toml, toml->key.position, "key \"%s\" is there already (line %u); remove one of the two",
                   excerpt.text, node->line);
    else
        toml_error(toml, toml->key.position, "\"%s\" is a table already (line %u); it cannot be a key too",
                   excerpt.text, node->line);
}

static enum toml_event read_key(struct toml *toml)
{
    if (!expect_name(toml, "a key or a [table]")) {
        toml_skip_line(toml);
        return TOML_BAD;
    }
    toml->key = read_name(toml);
    toml_skip_blanks(toml);
    if (toml_peek(toml, 0) == '.') {
        toml_error(toml, toml->key.position, "keys with a dot are not supported; write a [table] and the key in it");
        toml_skip_line(toml);
        return TOML_BAD;
    }
    declare_key(toml);
    if (toml_peek(toml, 0) == '=') {
        toml_advance(toml);
        toml_skip_blanks(toml);
        toml->state = STATE_VALUE;
        return TOML_KEY;
    }
    struct diagnostic_excerpt found = toml_found_here(toml);
    struct diagnostic_excerpt key = diagnostic_excerpt(toml->key.text, toml->key.length);
    toml_error(toml, toml->at, "expected \"=\" behind the key \"%s\", found %s", key.text, found.text);
    toml_skip_line(toml);
    toml->state = STATE_VALUE_BAD;
    return TOML_KEY;
}

static enum toml_event read_statement(struct toml *toml)
{
    toml->value_muted = false;
    toml_skip_blanks_and_comments(toml);
    if (toml_at_end(toml))
        return TOML_END;
    return toml_peek(toml, 0) == '[' ? read_table(toml) : read_key(toml);
}

static enum toml_event read_value(struct toml *toml)
{
    toml->state = STATE_STATEMENT;
    if (toml_peek(toml, 0) == '[') {
        toml->value.position = toml->array_position = toml->at;
        toml_advance(toml);
        toml->state = STATE_ARRAY;
        return TOML_ARRAY;
    }
    if (!toml_read_scalar(toml)) {
        toml_skip_line(toml);
        return TOML_BAD;
    }
    return expect_line_end(toml, "the value") ? TOML_SCALAR : TOML_BAD;
}

/* An array that went wrong: over what seems to be left of it. */
static void skip_array_rest(struct toml *toml)
{
    while (!toml_at_end(toml)) {
        if (toml->line_is_fresh) {
            toml_skip_blanks_and_comments(toml);
            if (toml_at_statement(toml))
                return;
        }
        int byte = toml_peek(toml, 0);
        if (byte == '#') {
            toml_skip_line(toml);
            continue;
        }
        toml_advance(toml);
        if (byte == ']') {
            toml_skip_line(toml);
            return;
        }
    }
}

/* In an array, at a place where neither an element nor a bracket stands. */
static enum toml_event abandon_array(struct toml *toml)
{
    struct diagnostic_excerpt found = toml_found_here(toml);

    if (toml_at_end(toml) || (toml->line_is_fresh && toml_at_statement(toml)))
        toml_error(toml, toml->array_position, "the array that begins here is not closed; end it with ]");
    else
        toml_error(toml, toml->at, "expected \",\" or \"]\" in the array, found %s", found.text);
    skip_array_rest(toml);
    toml->state = STATE_STATEMENT;
    return TOML_ARRAY_END;
}

static enum toml_event end_array(struct toml *toml)
{
    toml_advance(toml);
    toml->state = STATE_STATEMENT;
    expect_line_end(toml, "the array");
    return TOML_ARRAY_END;
}

static enum toml_event read_element(struct toml *toml)
{
    toml_skip_blanks_and_comments(toml);
    if (toml_peek(toml, 0) == ']')
        return end_array(toml);
    if (toml_at_end(toml) || (toml->line_is_fresh && toml_at_statement(toml)))
        return abandon_array(toml);

    toml->state = STATE_ARRAY_NEXT;
    if (toml_read_scalar(toml))
        return TOML_SCALAR;
    /* a bad element often drags characters behind it, up to the next one or the end of the line */
    while (!toml_at_line_end(toml) && toml_peek(toml, 0) != ',' && toml_peek(toml, 0) != ']' &&
           toml_peek(toml, 0) != '#')
        toml_advance(toml);
    return TOML_BAD;
}

/* Behind an element: a comma and perhaps another, or the bracket. */
static enum toml_event read_next_element(struct toml *toml)
{
    toml_skip_blanks_and_comments(toml);
    if (toml_peek(toml, 0) == ']')
        return end_array(toml);
    if (toml_peek(toml, 0) != ',')
        return abandon_array(toml);
    toml_advance(toml);
    return read_element(toml);
}

static enum toml_event step(struct toml *toml)
{
    switch (toml->state) {
    case STATE_VALUE: return read_value(toml);
    case STATE_VALUE_BAD: toml->state = STATE_STATEMENT; return TOML_BAD;
    case STATE_ARRAY: return read_element(toml);
    case STATE_ARRAY_NEXT: return read_next_element(toml);
    default: return read_statement(toml);
    }
}

enum toml_event toml_next(struct toml *toml)
{
    for (;;) {
        enum toml_event event = step(toml);
        if (event == TOML_END || event == TOML_TABLE || event == TOML_TABLE_BAD)
            return event;
        if (!toml->table_muted && !toml->value_muted)
            return event;
    }
}
