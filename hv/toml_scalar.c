/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Strings, integers and booleans of TOML 1.0 (sections "String", "Integer", "Boolean"). What is none of these is
 * named, with what to write instead, because most mistakes in a configuration are a forgotten quote.
 */
#include "hv/string.h"
#include "hv/toml_lexer.h"

static bool append_byte(struct toml_value *value, uint32_t byte)
{
    if (value->length >= TOML_STRING_MAX)
        return false;
    value->text[value->length++] = (char)byte;
    return true;
}

/* `code` is a Unicode scalar value. */
static bool append_utf8(struct toml_value *value, uint32_t code)
{
    if (code < 0x80)
        return append_byte(value, code);
    if (code < 0x800)
        return append_byte(value, 0xc0 | code >> 6) && append_byte(value, 0x80 | (code & 0x3f));
    if (code < 0x10000)
        return append_byte(value, 0xe0 | code >> 12) && append_byte(value, 0x80 | (code >> 6 & 0x3f)) &&
               append_byte(value, 0x80 | (code & 0x3f));
    return append_byte(value, 0xf0 | code >> 18) && append_byte(value, 0x80 | (code >> 12 & 0x3f)) &&
           append_byte(value, 0x80 | (code >> 6 & 0x3f)) && append_byte(value, 0x80 | (code & 0x3f));
}

/* Value of a digit in any base up to 16, or 16. */
static uint32_t digit_value(int character)
{
    if (character >= '0' && character <= '9')
        return (uint32_t)(character - '0');
    if (character >= 'a' && character <= 'f')
        return (uint32_t)(character - 'a') + 10;
    if (character >= 'A' && character <= 'F')
        return (uint32_t)(character - 'A') + 10;
    return 16;
}

/* Behind \u or \U: `digits` hex digits that name a character. False when it was reported. */
static bool read_unicode_escape(struct toml *toml, struct config_position start, uint32_t digits, uint32_t *code)
{
    *code = 0;
    for (uint32_t i = 0; i < digits; i++) {
        uint32_t digit = digit_value(toml_peek(toml, 0));
        if (digit >= 16) {
            toml_error(toml, start, "this escape takes %u hexadecimal digits, as in \"%s\"", digits,
                       digits == 4 ? "\\u00e9" : "\\U0001f600");
            return false;
        }
        *code = *code << 4 | digit;
        toml_advance(toml);
    }
    if (*code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff)) {
        toml_error(toml, start, "0x%x is no Unicode character; 0 to d7ff and e000 to 10ffff are", *code);
        return false;
    }
    return true;
}

/* Stands at a backslash. False when it was reported. */
static bool read_escape(struct toml *toml, uint32_t *code)
{
    static const char letters[] = "btnfr\"\\";
    static const char meanings[] = "\b\t\n\f\r\"\\";
    struct config_position start = toml->at;

    toml_advance(toml);
    int letter = toml_peek(toml, 0);
    if (letter == 'u' || letter == 'U') {
        toml_advance(toml);
        return read_unicode_escape(toml, start, letter == 'u' ? 4 : 8, code);
    }
    for (size_t i = 0; i < sizeof(letters) - 1; i++) {
        if (letter == letters[i]) {
            *code = (unsigned char)meanings[i];
            toml_advance(toml);
            return true;
        }
    }
    toml_error(toml, start,
               "unknown escape in a string; write \\\\ for a backslash, or use 'single quotes', which know no escapes");
    return false;
}

/* Over a whole """ or ''' string, so that its lines are not taken for keys. */
static void refuse_multiline_string(struct toml *toml, const char *quotes)
{
    uint32_t end;

    toml_error(toml, toml->at, "strings of several lines are not supported; write one line in %s",
               quotes[0] == '"' ? "\"quotes\", with \\n for a line end" : "'quotes'");
    toml_advance_by(toml, 3);
    for (end = 0; toml_peek(toml, end) != TOML_NO_CHARACTER; end++) {
        int byte = toml_peek(toml, end);
        if (byte == '\\' && quotes[0] == '"')
            end++;
        else if (byte == quotes[0] && toml_peek(toml, end + 1) == byte && toml_peek(toml, end + 2) == byte)
            break;
    }
    if (toml_peek(toml, end) == TOML_NO_CHARACTER)
        toml_skip_line(toml);
    else
        toml_advance_by(toml, end + 3);
}

/* The characters of a string up to the closing quote or the end of the line. False when something was reported. */
static bool read_string_body(struct toml *toml, int quote)
{
    struct toml_value *value = &toml->value;
    bool good = true, fits = true;

    while (!toml_at_line_end(toml) && toml_peek(toml, 0) != quote) {
        uint32_t code;
        if (quote == '"' && toml_peek(toml, 0) == '\\') {
            if (!read_escape(toml, &code))
                good = false;
            else if (!append_utf8(value, code))
                fits = false;
        } else {
            if (!append_byte(value, (uint32_t)toml_peek(toml, 0)))
                fits = false;
            toml_advance(toml);
        }
    }
    if (!fits) {
        toml_error(toml, value->position, "the string is longer than %u bytes, which is the most", TOML_STRING_MAX);
        good = false;
    }
    return good;
}

bool toml_read_string(struct toml *toml)
{
    struct toml_value *value = &toml->value;
    int quote = toml_peek(toml, 0);
    const char *quotes = quote == '"' ? "\"\"\"" : "'''";

    value->type = TOML_STRING;
    value->length = 0;
    if (toml_looking_at(toml, quotes)) {
        refuse_multiline_string(toml, quotes);
        return false;
    }
    toml_advance(toml);
    bool good = read_string_body(toml, quote);
    value->text[value->length] = '\0';
    if (toml_at_line_end(toml)) {
        toml_error(toml, value->position, "the string that begins here is not closed; end it with %c", quote);
        return false;
    }
    toml_advance(toml);
    return good;
}

/* A run of characters that is no string: what an integer, a boolean or a mistake is made of. */
struct word {
    const char *text;
    uint32_t length;
};

static bool ends_word(int byte)
{
    return byte == TOML_NO_CHARACTER || byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r' || byte == ',' ||
           byte == ']' || byte == '}' || byte == '#';
}

static bool word_is(struct word word, const char *text)
{
    return word.length == strlen(text) && memcmp(word.text, text, word.length) == 0;
}

static bool word_contains(struct word word, const char *characters)
{
    for (uint32_t i = 0; i < word.length; i++) {
        for (const char *c = characters; *c; c++) {
            if (word.text[i] == *c)
                return true;
        }
    }
    return false;
}

static bool is_digit(struct word word, uint32_t at)
{
    return at < word.length && word.text[at] >= '0' && word.text[at] <= '9';
}

/* Are all characters from `at` on digits of the base or underscores, the first one a digit? */
static bool has_only_digits(struct word word, uint32_t at, uint32_t base)
{
    if (at >= word.length || word.text[at] == '_')
        return false;
    for (; at < word.length; at++) {
        if (word.text[at] != '_' && digit_value((unsigned char)word.text[at]) >= base)
            return false;
    }
    return true;
}

static bool refuse_word(struct toml *toml, const char *what)
{
    toml_error(toml, toml->value.position, "%s", what);
    return false;
}

/* Digits of `base` from `at` on, all known to be such or underscores. */
static bool read_digits(struct toml *toml, struct word word, uint32_t at, uint32_t base, bool negative)
{
    uint64_t limit = negative ? BIT(63) : BIT(63) - 1;
    uint64_t number = 0;

    for (; at < word.length; at++) {
        if (word.text[at] == '_') {
            if (at + 1 == word.length || word.text[at + 1] == '_')
                return refuse_word(toml, "an underscore in an integer must stand between two digits");
            continue;
        }
        uint32_t digit = digit_value((unsigned char)word.text[at]);
        if (number > (limit - digit) / base)
            return refuse_word(toml, "the integer does not fit into 64 bits; the largest is 9223372036854775807");
        number = number * base + digit;
    }
    toml->value.type = TOML_INTEGER;
    toml->value.integer = negative ? (int64_t)(0 - number) : (int64_t)number;
    return true;
}

static bool refuse_number(struct toml *toml, struct word word, uint32_t at)
{
    struct diagnostic_excerpt excerpt = diagnostic_excerpt(word.text, word.length);

    if (is_digit(word, 0) && is_digit(word, 1) && word.length > 2 && (word.text[2] == ':' || is_digit(word, 2)) &&
        word_contains(word, ":-"))
        return refuse_word(toml, "dates and times are not supported; write a string in quotes or an integer");
    if (is_digit(word, at) && word.text[at] == '0' && has_only_digits(word, at, 10))
        return refuse_word(toml, "a decimal integer must not begin with 0; octal ones begin with 0o");
    if (is_digit(word, at) && word_contains(word, ".eE+") && !word_contains(word, "xXbBoOkKmMgGsS:/"))
        return refuse_word(toml, "floating-point numbers are not supported; write an integer");
    if (at == 2)
        toml_error(toml, toml->value.position,
                   "%s is no integer; behind 0x, 0o and 0b stand digits of base 16, 8 and 2", excerpt.text);
    else
        toml_error(toml, toml->value.position, "%s is no integer; if it is meant as a string, write \"%s\"",
                   excerpt.text, excerpt.text);
    return false;
}

/* The word begins with a digit or a sign. */
static bool read_number(struct toml *toml, struct word word)
{
    bool is_signed = word.text[0] == '+' || word.text[0] == '-';
    uint32_t at = is_signed ? 1 : 0;
    uint32_t base = 10;

    if (word.length - at == 3 && (memcmp(word.text + at, "inf", 3) == 0 || memcmp(word.text + at, "nan", 3) == 0))
        return refuse_word(toml, "floating-point numbers are not supported; write an integer");
    if (!is_signed && word.length >= 2 && word.text[0] == '0') {
        base = word.text[1] == 'x' ? 16 : word.text[1] == 'o' ? 8 : word.text[1] == 'b' ? 2 : 10;
        if (base != 10)
            at = 2;
    }
    bool has_leading_zero = base == 10 && word.length - at > 1 && word.text[at] == '0';
    if (has_leading_zero || !has_only_digits(word, at, base))
        return refuse_number(toml, word, at);
    return read_digits(toml, word, at, base, word.text[0] == '-');
}

static bool read_word(struct toml *toml)
{
    struct word word = {toml->text + toml->offset, 0};
    struct diagnostic_excerpt excerpt;

    while (!ends_word(toml_peek(toml, word.length)))
        word.length++;
    if (word.length == 0) {
        excerpt = toml_found_here(toml);
        toml_error(toml, toml->value.position, "a value is missing before %s", excerpt.text);
        return false;
    }
    toml_advance_by(toml, word.length);
    if (word_is(word, "true") || word_is(word, "false")) {
        toml->value.type = TOML_BOOLEAN;
        toml->value.boolean = word.text[0] == 't';
        return true;
    }
    if (is_digit(word, 0) || word.text[0] == '+' || word.text[0] == '-')
        return read_number(toml, word);
    if (word_is(word, "inf") || word_is(word, "nan"))
        return refuse_word(toml, "floating-point numbers are not supported; write an integer");
    if (word_is(word, "True") || word_is(word, "TRUE") || word_is(word, "yes") || word_is(word, "on"))
        return refuse_word(toml, "a boolean is written true or false; write true");
    if (word_is(word, "False") || word_is(word, "FALSE") || word_is(word, "no") || word_is(word, "off"))
        return refuse_word(toml, "a boolean is written true or false; write false");
    excerpt = diagnostic_excerpt(word.text, word.length);
    toml_error(toml, toml->value.position, "a string needs quotes: write \"%s\"", excerpt.text);
    return false;
}

bool toml_read_scalar(struct toml *toml)
{
    int byte = toml_peek(toml, 0);

    toml->value.position = toml->at;
    if (byte == '"' || byte == '\'')
        return toml_read_string(toml);
    if (byte == '{') {
        toml_error(toml, toml->at, "inline tables are not supported; write a [table] of its own");
        toml_skip_nested(toml);
        return false;
    }
    if (byte == '[') {
        toml_error(toml, toml->at, "arrays within arrays are not supported; write one list of values");
        toml_skip_nested(toml);
        return false;
    }
    return read_word(toml);
}
