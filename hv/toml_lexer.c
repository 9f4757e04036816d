/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Characters, lines and positions of a TOML document. Nothing but toml_advance moves the reading position, and it is
 * the only one that counts lines and columns.
 */
#include "hv/toml_lexer.h"

#include <stdarg.h>

#include "hv/format.h"
#include "hv/string.h"

int toml_peek(const struct toml *toml, uint32_t ahead)
{
    if (ahead >= toml->size - toml->offset)
        return TOML_NO_CHARACTER;
    return (unsigned char)toml->text[toml->offset + ahead];
}

bool toml_looking_at(const struct toml *toml, const char *text)
{
    for (uint32_t i = 0; text[i]; i++) {
        if (toml_peek(toml, i) != (unsigned char)text[i])
            return false;
    }
    return true;
}

/* A column is a character, so the second and later bytes of a UTF-8 sequence do not count. */
void toml_advance(struct toml *toml)
{
    if (toml_at_end(toml))
        return;
    unsigned char byte = (unsigned char)toml->text[toml->offset++];
    if (byte == '\n') {
        toml->at.line++;
        toml->at.column = 1;
        toml->line_is_fresh = true;
        return;
    }
    if ((byte & 0xc0) != 0x80)
        toml->at.column++;
    if (byte != ' ' && byte != '\t')
        toml->line_is_fresh = false;
}

void toml_advance_by(struct toml *toml, uint32_t count)
{
    while (count-- > 0)
        toml_advance(toml);
}

bool toml_at_end(const struct toml *toml)
{
    return toml->offset >= toml->size;
}

bool toml_at_newline(const struct toml *toml)
{
    int byte = toml_peek(toml, 0);

    return byte == '\n' || (byte == '\r' && toml_peek(toml, 1) == '\n');
}

bool toml_at_line_end(const struct toml *toml)
{
    return toml_at_end(toml) || toml_at_newline(toml);
}

void toml_skip_blanks(struct toml *toml)
{
    while (toml_peek(toml, 0) == ' ' || toml_peek(toml, 0) == '\t')
        toml_advance(toml);
}

void toml_skip_line(struct toml *toml)
{
    while (!toml_at_line_end(toml))
        toml_advance(toml);
}

void toml_skip_blanks_and_comments(struct toml *toml)
{
    for (;;) {
        toml_skip_blanks(toml);
        if (toml_peek(toml, 0) == '#')
            toml_skip_line(toml);
        if (!toml_at_newline(toml))
            return;
        while (toml_peek(toml, 0) != '\n')
            toml_advance(toml);
        toml_advance(toml);
    }
}

bool toml_is_bare(int character)
{
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
           (character >= '0' && character <= '9') || character == '-' || character == '_';
}

static bool is_control(int byte)
{
    return (byte >= 0 && byte < 0x20 && byte != '\t') || byte == 0x7f;
}

void toml_error(struct toml *toml, struct config_position position, const char *format, ...)
{
    char message[DIAGNOSTIC_LINE_SIZE];
    va_list arguments;

    if (is_control(toml_peek(toml, 0)) && !toml_at_newline(toml))
        return;
    va_start(arguments, format);
    format_text_v(message, sizeof(message), format, arguments);
    va_end(arguments);
    diagnostic_at(toml->diagnostics, toml->file, position, "%s", message);
}

struct diagnostic_excerpt toml_found_here(const struct toml *toml)
{
    struct diagnostic_excerpt word, found;
    uint32_t length = 0;

    if (toml_at_end(toml))
        return diagnostic_excerpt("the end of the file", 19);
    if (toml_at_newline(toml))
        return diagnostic_excerpt("the end of the line", 19);
    while (length < 32 && toml_is_bare(toml_peek(toml, length)))
        length++;
    word = diagnostic_excerpt(toml->text + toml->offset, length ? length : 1);
    format_text(found.text, sizeof(found.text), "\"%s\"", word.text);
    return found;
}

/*
 * Length of the UTF-8 sequence at `text`, or 0. Overlong forms, surrogates and what lies above U+10FFFF are none
 * (Unicode Standard, chapter 3, table "Well-Formed UTF-8 Byte Sequences").
 */
static uint32_t utf8_length(const unsigned char *text, uint32_t size)
{
    uint32_t length = text[0] < 0x80 ? 1 : text[0] < 0xc2 ? 0 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;

    if (length == 0 || length > size || text[0] > 0xf4)
        return 0;
    for (uint32_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
        (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
        return 0;
    return length;
}

/* Report the byte that stands here if no TOML file may hold it; true when it was reported. */
static bool check_byte(struct toml *toml, uint32_t sequence)
{
    unsigned char byte = (unsigned char)toml->text[toml->offset];

    if (sequence == 0)
        diagnostic_at(toml->diagnostics, toml->file, toml->at, "byte 0x%02x is not valid UTF-8; save the file as UTF-8",
                      (unsigned)byte);
    else if (byte == '\r' && !toml_at_newline(toml))
        diagnostic_at(toml->diagnostics, toml->file, toml->at,
                      "a carriage return without a line feed; end lines with LF or CR LF");
    else if (is_control(byte) && !toml_at_newline(toml))
        diagnostic_at(toml->diagnostics, toml->file, toml->at,
                      "control character 0x%02x is not allowed; in a string write \"\\u%04x\"", (unsigned)byte,
                      (unsigned)byte);
    else
        return false;
    return true;
}

void toml_check_bytes(struct toml *toml)
{
    uint32_t reported_line = 0;

    if (toml_looking_at(toml, "\xef\xbb\xbf")) {
        diagnostic_at(toml->diagnostics, toml->file, toml->at,
                      "the file begins with a byte order mark; save it as UTF-8 without one");
        toml_advance_by(toml, 3);
    }
    const uint32_t start = toml->offset;
    const struct config_position start_at = toml->at;
    while (!toml_at_end(toml)) {
        uint32_t sequence = utf8_length((const unsigned char *)toml->text + toml->offset, toml->size - toml->offset);
        if (toml->at.line != reported_line && check_byte(toml, sequence))
            reported_line = toml->at.line;
        toml_advance_by(toml, sequence ? sequence : 1);
    }
    toml->offset = start;
    toml->at = start_at;
    toml->line_is_fresh = true;
}

/* [name, but not an array that begins with a boolean. */
static bool at_header(const struct toml *toml)
{
    uint32_t at = 1;

    while (toml_peek(toml, at) == '[' || toml_peek(toml, at) == ' ' || toml_peek(toml, at) == '\t')
        at++;
    int byte = toml_peek(toml, at);
    bool is_letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
    return is_letter && !(byte == 't' && toml_peek(toml, at + 1) == 'r' && toml_peek(toml, at + 2) == 'u') &&
           !(byte == 'f' && toml_peek(toml, at + 1) == 'a' && toml_peek(toml, at + 2) == 'l');
}

bool toml_at_statement(const struct toml *toml)
{
    uint32_t length = 0;

    if (toml_peek(toml, 0) == '[')
        return at_header(toml);
    while (toml_is_bare(toml_peek(toml, length)))
        length++;
    if (length == 0)
        return false;
    while (toml_peek(toml, length) == ' ' || toml_peek(toml, length) == '\t')
        length++;
    return toml_peek(toml, length) == '=';
}

/* Over a string without looking into it; to the end of the line if it is not closed. */
static void skip_string(struct toml *toml)
{
    int quote = toml_peek(toml, 0);

    toml_advance(toml);
    while (!toml_at_line_end(toml) && toml_peek(toml, 0) != quote) {
        if (quote == '"' && toml_peek(toml, 0) == '\\' && (toml_peek(toml, 1) == '"' || toml_peek(toml, 1) == '\\'))
            toml_advance(toml);
        toml_advance(toml);
    }
    if (!toml_at_line_end(toml))
        toml_advance(toml);
}

void toml_skip_nested(struct toml *toml)
{
    uint32_t depth = 0;

    while (!toml_at_end(toml)) {
        int byte = toml_peek(toml, 0);
        if (byte == '"' || byte == '\'') {
            skip_string(toml);
            continue;
        }
        if (byte == '#' || toml_at_newline(toml)) {
            toml_skip_blanks_and_comments(toml);
            if (toml_at_statement(toml))
                return;
            continue;
        }
        if (byte == '[' || byte == '{')
            depth++;
        toml_advance(toml);
        if ((byte == ']' || byte == '}') && --depth == 0)
            return;
    }
}
