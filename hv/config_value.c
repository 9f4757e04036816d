/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The small languages inside a configuration's strings. All of them are strict: a value that could be read in two ways
 * is refused.
 */
#include "hv/config_value.h"

#include "hv/config.h"
#include "hv/format.h"
#include "hv/string.h"

static const struct {
    const char *suffix;
    uint32_t shift;
} size_units[] = {{"", 0}, {"K", 10}, {"M", 20}, {"G", 30}};

static const uint64_t ns_per_s = 1000000000, ns_per_ms = 1000000;

/*
 * Decimal digits at the front of the text. `number` is only right below `limit`; a larger one is cut to it. Returns the
 * count of digits.
 */
static size_t read_decimal(const char *text, size_t length, uint64_t limit, uint64_t *number)
{
    size_t at = 0;

    for (*number = 0; at < length && text[at] >= '0' && text[at] <= '9'; at++) {
        uint32_t digit = (uint32_t)(text[at] - '0');
        *number = *number > (limit - digit) / 10 ? limit : *number * 10 + digit;
    }
    return at;
}

static bool rest_is(const char *text, size_t length, size_t at, const char *rest)
{
    return length - at == strlen(rest) && memcmp(text + at, rest, length - at) == 0;
}

static bool contains(const char *text, size_t length, char c)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == c)
            return true;
    }
    return false;
}

struct config_value_text config_size_text(uint64_t bytes)
{
    struct config_value_text size = {""};
    size_t unit = ARRAY_SIZE(size_units) - 1;

    while (unit > 0 && (bytes == 0 || !IS_ALIGNED(bytes, BIT(size_units[unit].shift))))
        unit--;
    format_text(size.text, sizeof(size.text), "\"%llu%s\"", (unsigned long long)(bytes >> size_units[unit].shift),
                size_units[unit].suffix);
    return size;
}

/* Is it a decimal fraction, whatever stands behind it? `digits` are those in front. */
static bool is_fraction(const char *text, size_t length, size_t digits)
{
    return digits > 0 && length - digits >= 2 && (text[digits] == '.' || text[digits] == ',') &&
           text[digits + 1] >= '0' && text[digits + 1] <= '9';
}

/* What is wrong with a size whose digits are followed by none of the units. */
static const char *size_unit_fault(const char *text, size_t length, size_t digits)
{
    if (contains(text, length, ' '))
        return "a size has no blanks; write it as in \"512M\"";
    if (rest_is(text, length, digits, "T"))
        return "the largest unit is G; 1T is \"1024G\"";
    return "the unit must be K, M or G (1024, 1024^2 or 1024^3 bytes), as in \"512M\"";
}

const char *config_size_parse(const char *text, size_t length, uint64_t *bytes)
{
    uint64_t number;
    size_t digits = read_decimal(text, length, CONFIG_ADDRESS_LIMIT, &number);

    if (length == 0)
        return "the size is missing; write it as in \"512M\"";
    if (text[0] == '-')
        return "a size cannot be negative; write it as in \"512M\"";
    if (digits == 1 && length > 1 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
        return "in a string a size is decimal, as in \"512M\"; a hexadecimal one is an integer, without quotes, as in "
               "0x20000000";
    if (is_fraction(text, length, digits))
        return "a size is a whole number; take the next smaller unit, as in \"1536M\" for 1.5 GiB";
    if (digits == 0)
        return "a size begins with a digit, as in \"512M\"";
    if (text[0] == '0')
        return number == 0 ? "a size cannot be zero; write it as in \"512M\""
                           : "a size does not begin with 0; write it as in \"512M\"";
    for (size_t i = 0; i < ARRAY_SIZE(size_units); i++) {
        if (!rest_is(text, length, digits, size_units[i].suffix))
            continue;
        if (number >= CONFIG_ADDRESS_LIMIT >> size_units[i].shift)
            return "that is more than a processor can address; it must be below 4194304G";
        *bytes = number << size_units[i].shift;
        return NULL;
    }
    return size_unit_fault(text, length, digits);
}

/* What is wrong with a duration whose digits are followed by neither unit. */
static const char *duration_unit_fault(const char *text, size_t length, size_t digits)
{
    if (contains(text, length, ' '))
        return "a duration has no blanks; write it as in \"5s\" or \"500ms\"";
    if (digits == length)
        return "the unit is missing; it must be s or ms, as in \"5s\" or \"500ms\"";
    return "the unit must be s or ms, as in \"5s\" or \"500ms\"";
}

const char *config_duration_parse(const char *text, size_t length, uint64_t *nanoseconds)
{
    uint64_t number, ns_per_unit;
    size_t digits = read_decimal(text, length, CONFIG_WATCHDOG_MAX_NS, &number);

    if (length == 0)
        return "the duration is missing; write it as in \"5s\" or \"500ms\"";
    if (text[0] == '-')
        return "a duration cannot be negative; write it as in \"5s\"";
    if (is_fraction(text, length, digits))
        return "a duration is a whole number; take the smaller unit, as in \"1500ms\" for 1.5 s";
    if (digits == 0)
        return "a duration begins with a digit, as in \"5s\" or \"500ms\"";
    if (rest_is(text, length, digits, "s"))
        ns_per_unit = ns_per_s;
    else if (rest_is(text, length, digits, "ms"))
        ns_per_unit = ns_per_ms;
    else
        return duration_unit_fault(text, length, digits);
    if (text[0] == '0')
        return number == 0 ? "a duration cannot be zero; write it as in \"5s\""
                           : "a duration does not begin with 0; write it as in \"5s\"";
    if (number > CONFIG_WATCHDOG_MAX_NS / ns_per_unit)
        return "the longest is \"3600s\"";
    *nanoseconds = number * ns_per_unit;
    return NULL;
}

struct config_value_text config_duration_text(uint64_t nanoseconds)
{
    struct config_value_text duration = {""};
    bool whole_seconds = nanoseconds % ns_per_s == 0;

    format_text(duration.text, sizeof(duration.text), "\"%llu%s\"",
                (unsigned long long)(nanoseconds / (whole_seconds ? ns_per_s : ns_per_ms)), whole_seconds ? "s" : "ms");
    return duration;
}

/* One to four hexadecimal digits from `at` on; returns where they end, or `at` when there are none or more. */
static size_t read_hex16(const char *text, size_t length, size_t at, uint16_t *number)
{
    uint32_t value = 0;
    size_t end = at;

    for (; end < length; end++) {
        char c = text[end];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A') + 10
                                                : 16;
        if (digit == 16)
            break;
        if (end - at == 4)
            return at;
        value = value << 4 | digit;
    }
    *number = (uint16_t)value;
    return end;
}

const char *config_entry_parse(const char *text, size_t length, uint16_t *segment, uint16_t *offset)
{
    static const char form[] = "it must be CS:IP, each of one to four hexadecimal digits, as in \"0000:7c00\"";
    size_t colon = read_hex16(text, length, 0, segment);

    if (colon == 0 || colon >= length || text[colon] != ':')
        return form;
    size_t end = read_hex16(text, length, colon + 1, offset);
    if (end == colon + 1 || end != length)
        return form;
    if (((uint32_t)*segment << 4) + *offset >= CONFIG_FLAT_LIMIT)
        return "CS * 16 + IP must be below 1 MiB, as in \"0000:7c00\"";
    return NULL;
}

static bool is_printable(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] < 0x21 || text[i] > 0x7e)
            return false;
    }
    return true;
}

/* Letters, digits, - and _ are what TOML lets stand in a name without quotes. */
static bool is_plain_name(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_letter && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return false;
    }
    return length > 0;
}

const char *config_guest_name_check(const char *text, size_t length)
{
    _Static_assert(CONFIG_NAME_MAX == 31, "the message below");
    if (!is_plain_name(text, length))
        return "a guest's name consists of letters, digits, - and _";
    if (length > CONFIG_NAME_MAX)
        return "a guest's name has at most 31 characters";
    if (length == 3 && memcmp(text, "all", 3) == 0)
        return "\"all\" stands for all guests in focus = \"all\"; choose another name";
    return NULL;
}

const char *config_module_name_check(const char *text, size_t length)
{
    _Static_assert(CONFIG_MODULE_NAME_MAX == 63, "the message below");
    if (length == 0)
        return "the name of a boot module is missing, such as \"vmlinuz\"";
    if (contains(text, length, '/'))
        return "a boot module is known by its base name; write what stands behind the last /";
    if (!is_printable(text, length))
        return "a boot module's name consists of printable ASCII without blanks, as in \"vmlinuz\"";
    if (length > CONFIG_MODULE_NAME_MAX)
        return "a boot module's name has at most 63 characters";
    return NULL;
}

const char *config_cmdline_check(const char *text, size_t length)
{
    _Static_assert(CONFIG_CMDLINE_MAX == 2047, "the message below");
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return "a command line is one line without control characters";
    }
    if (length > CONFIG_CMDLINE_MAX)
        return "a command line has at most 2047 bytes";
    return NULL;
}
