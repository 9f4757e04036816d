/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * printf's language for a freestanding program: parse one conversion, turn it into digits, pad, emit.
 */
#include "hv/format.h"

struct output {
    char *buffer;
    size_t size;
    size_t length; /* of the whole text, also of what did not fit */
};

struct conversion {
    bool left, zero;
    int width;
    int precision; /* -1: none given */
    char length;   /* 'H' hh, 'h', 'l' (also ll and z), or 0 */
};

static void emit(struct output *out, char c)
{
    if (out->length + 1 < out->size)
        out->buffer[out->length] = c;
    out->length++;
}

static void emit_many(struct output *out, char c, int count)
{
    while (count-- > 0)
        emit(out, c);
}

/* sign or prefix, digits: padded to the width */
static void emit_field(struct output *out, const struct conversion *how, const char *prefix, const char *text,
                       int length)
{
    int prefix_length = 0;

    while (prefix[prefix_length] != '\0')
        prefix_length++;
    int padding = how->width - prefix_length - length;
    if (!how->left && !how->zero)
        emit_many(out, ' ', padding);
    for (int i = 0; i < prefix_length; i++)
        emit(out, prefix[i]);
    if (!how->left && how->zero)
        emit_many(out, '0', padding);
    for (int i = 0; i < length; i++)
        emit(out, text[i]);
    if (how->left)
        emit_many(out, ' ', padding);
}

static void emit_number(struct output *out, const struct conversion *how, const char *prefix, uint64_t value,
                        unsigned base, bool upper)
{
    char digits[64];
    int count = 0;
    const char *alphabet = upper ? "0123456789ABCDEF" : "0123456789abcdef";

    do {
        digits[sizeof(digits) - 1 - (size_t)count] = alphabet[value % base];
        value /= base;
        count++;
    } while (value != 0);
    while (count < how->precision && count < (int)sizeof(digits)) {
        digits[sizeof(digits) - 1 - (size_t)count] = '0';
        count++;
    }
    emit_field(out, how, prefix, &digits[sizeof(digits) - (size_t)count], count);
}

static void emit_string(struct output *out, const struct conversion *how, const char *text)
{
    int length = 0;
    struct conversion plain = *how;

    if (text == NULL)
        text = "(null)";
    while ((how->precision < 0 || length < how->precision) && text[length] != '\0')
        length++;
    plain.zero = false;
    emit_field(out, &plain, "", text, length);
}

static const char *parse_flags(const char *format, struct conversion *how)
{
    for (;; format++) {
        if (*format == '-')
            how->left = true;
        else if (*format == '0')
            how->zero = true;
        else
            return format;
    }
}

static const char *parse_length(const char *format, struct conversion *how)
{
    if (*format == 'h') {
        format++;
        how->length = 'h';
        if (*format == 'h') {
            format++;
            how->length = 'H';
        }
    } else {
        while (*format == 'l' || *format == 'z') {
            format++;
            how->length = 'l';
        }
    }
    return format;
}

static int64_t signed_argument(char length, va_list *arguments)
{
    if (length == 'l')
        return va_arg(*arguments, int64_t);
    int value = va_arg(*arguments, int);
    return length == 'H' ? (int8_t)value : length == 'h' ? (int16_t)value : value;
}

static uint64_t unsigned_argument(char length, va_list *arguments)
{
    if (length == 'l')
        return va_arg(*arguments, uint64_t);
    unsigned value = va_arg(*arguments, unsigned);
    return length == 'H' ? (uint8_t)value : length == 'h' ? (uint16_t)value : value;
}

static void convert(struct output *out, const struct conversion *how, char kind, va_list *arguments)
{
    switch (kind) {
    case 'd':
    case 'i': {
        int64_t value = signed_argument(how->length, arguments);
        uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
        emit_number(out, how, value < 0 ? "-" : "", magnitude, 10, false);
        break;
    }
    case 'u': emit_number(out, how, "", unsigned_argument(how->length, arguments), 10, false); break;
    case 'x': emit_number(out, how, "", unsigned_argument(how->length, arguments), 16, false); break;
    case 'X': emit_number(out, how, "", unsigned_argument(how->length, arguments), 16, true); break;
    case 'p': emit_number(out, how, "0x", (uintptr_t)va_arg(*arguments, void *), 16, false); break;
    case 'c': {
        char c = (char)va_arg(*arguments, int);
        emit_field(out, how, "", &c, 1);
        break;
    }
    case 's': emit_string(out, how, va_arg(*arguments, const char *)); break;
    default: emit(out, kind); break;
    }
}

size_t format_text_v(char *buffer, size_t size, const char *format, va_list arguments)
{
    struct output out = {buffer, size, 0};
    va_list rest;

    va_copy(rest, arguments);
    while (*format != '\0') {
        struct conversion how = {.precision = -1};
        if (*format != '%') {
            emit(&out, *format++);
            continue;
        }
        format = parse_flags(format + 1, &how);
        if (*format == '*') {
            how.width = va_arg(rest, int);
            if (how.width < 0) { /* as the flag "-" */
                how.left = true;
                how.width = -how.width;
            }
            format++;
        }
        for (; *format >= '0' && *format <= '9'; format++)
            how.width = how.width * 10 + (*format - '0');
        if (*format == '.') {
            format++;
            how.precision = 0;
            if (*format == '*') {
                how.precision = va_arg(rest, int);
                format++;
            }
            for (; *format >= '0' && *format <= '9'; format++)
                how.precision = how.precision * 10 + (*format - '0');
        }
        format = parse_length(format, &how);
        if (*format == '\0')
            break;
        convert(&out, &how, *format++, &rest);
    }
    va_end(rest);
    if (size > 0)
        buffer[out.length < size ? out.length : size - 1] = '\0';
    return out.length;
}

size_t format_text(char *buffer, size_t size, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    size_t length = format_text_v(buffer, size, format, arguments);
    va_end(arguments);
    return length;
}
