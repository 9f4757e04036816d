/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's own command line. A word that it does not know is remembered, to be named once there is a console.
 */
#include "hv/options.h"

#include "hv/string.h"

static bool word_is(const char *word, size_t length, const char *text)
{
    return strlen(text) == length && strncmp(word, text, length) == 0;
}

/* "com1,com2": every name must fit and be one of those the drivers know. */
static bool parse_consoles(const char *value, size_t length, struct options *options)
{
    size_t start = 0;

    options->console_count = 0;
    for (size_t i = 0; i <= length; i++) {
        if (i < length && value[i] != ',')
            continue;
        size_t size = i - start;
        if (size != 4 || strncmp(value + start, "com", 3) != 0 || value[start + 3] < '1' || value[start + 3] > '4' ||
            options->console_count == OPTIONS_CONSOLES_MAX)
            return false;
        memcpy(options->consoles[options->console_count], value + start, size);
        options->consoles[options->console_count++][size] = '\0';
        start = i + 1;
    }
    return true;
}

static bool parse_word(const char *word, size_t length, struct options *options)
{
    static const char console[] = "console=";

    if (length > strlen(console) && strncmp(word, console, strlen(console)) == 0)
        return parse_consoles(word + strlen(console), length - strlen(console), options);
    if (word_is(word, length, "log=error"))
        options->log_level = LOG_ERROR;
    else if (word_is(word, length, "log=info"))
        options->log_level = LOG_INFO;
    else if (word_is(word, length, "log=debug"))
        options->log_level = LOG_DEBUG;
    else if (word_is(word, length, "on_error=halt"))
        options->power_off_on_error = false;
    else if (word_is(word, length, "on_error=poweroff"))
        options->power_off_on_error = true;
    else
        return false;
    return true;
}

void options_parse(const char *command_line, struct options *options)
{
    const char *word = command_line;

    memset(options, 0, sizeof(*options));
    options->log_level = LOG_INFO;
    while (*word != '\0') {
        size_t length = 0;
        while (word[length] != '\0' && word[length] != ' ')
            length++;
        if (length > 0 && !parse_word(word, length, options) && options->unknown[0] == '\0') {
            /* A multiboot loader may put the image's own name first. */
            if (word != command_line) {
                size_t kept = min_u64(length, sizeof(options->unknown) - 1);
                memcpy(options->unknown, word, kept);
            }
        }
        word += length;
        while (*word == ' ')
            word++;
    }
    if (options->console_count == 0) {
        (void)string_copy(options->consoles[0], OPTIONS_NAME_SIZE, "com1");
        options->console_count = 1;
    }
}
