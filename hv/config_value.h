/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sizes, durations, entry points and names as a configuration writes them. Each function returns NULL when the text
 * is right, else a clause for the message: what is wrong with it and what would be right.
 */
#ifndef HV_CONFIG_VALUE_H
#define HV_CONFIG_VALUE_H

#include "hv/types.h"

/* "512M", "1G", "64K", "4096": 1 or more bytes. */
const char *config_size_parse(const char *text, size_t length, uint64_t *bytes);

/* "5s", "500ms": from 1 ms to an hour. */
const char *config_duration_parse(const char *text, size_t length, uint64_t *nanoseconds);

/* The same in the largest unit that is exact, with its quotes: "512M", "5s". */
struct config_value_text {
    char text[24];
};
struct config_value_text config_size_text(uint64_t bytes);
struct config_value_text config_duration_text(uint64_t nanoseconds);

/* "CS:IP" in hexadecimal, below 1 MiB. */
const char *config_entry_parse(const char *text, size_t length, uint16_t *segment, uint16_t *offset);

const char *config_guest_name_check(const char *text, size_t length);
const char *config_module_name_check(const char *text, size_t length);
const char *config_cmdline_check(const char *text, size_t length);

#endif
