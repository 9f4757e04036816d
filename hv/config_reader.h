/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the configuration's reader share; for config*.c only.
 */
#ifndef HV_CONFIG_READER_H
#define HV_CONFIG_READER_H

#include "hv/config.h"

enum config_section {
    CONFIG_SECTION_NONE, /* before the first table */
    CONFIG_SECTION_HYPERVISOR,
    CONFIG_SECTION_GUEST,
    CONFIG_SECTION_SKIPPED, /* a table that was reported: what its keys would mean is not known */
};

struct config_rule;

struct config_reader {
    const char *file;
    const char *const *device_names; /* NULL behind the last */
    struct config *config;
    struct diagnostics *diagnostics;
    enum config_section section;
    struct guest_config *guest;     /* in CONFIG_SECTION_GUEST */
    const struct config_rule *rule; /* of the key that is being read; NULL: its value is not looked at */
    bool in_array;
    bool value_bad; /* a part of the key's value was reported */
    bool table_bad; /* a table was reported: perhaps it was meant as a guest */
    /* Keys, BIT(enum config_guest_key), that a line which was reported seems to have meant: they do not count as
     * missing. */
    uint32_t excused[GUESTS_MAX];
};

/* The forms that a value may have. */
enum config_form {
    CONFIG_FORM_STRING = 1 << TOML_STRING,
    CONFIG_FORM_INTEGER = 1 << TOML_INTEGER,
    CONFIG_FORM_BOOLEAN = 1 << TOML_BOOLEAN,
    CONFIG_FORM_ARRAY = 8,
    CONFIG_FORM_FILLED_ARRAY = 16, /* with at least one element */
};

struct config_rule {
    const char *name;
    uint8_t forms;        /* that the value may have */
    uint8_t elements;     /* forms of an array's elements */
    const char *expected; /* what would be right, for the message: `a size such as "512M"` */
    /* Takes a value, or each element of an array, that has a right form, and reports what else is wrong with it. */
    void (*store)(struct config_reader *reader, const struct toml_value *value);
};

/* Indexed by enum config_guest_key and enum config_hypervisor_key. */
extern const struct config_rule config_guest_rules[CONFIG_GUEST_KEYS];
extern const struct config_rule config_hypervisor_rules[CONFIG_HYPERVISOR_KEYS];

/* Report an error; `guest` is named in front of it when not NULL. */
void config_error(struct config_reader *reader, const struct guest_config *guest, struct config_position position,
                  const char *format, ...) PRINTF_LIKE(4, 5);

/* The checks that need the whole file. */
void config_check(struct config_reader *reader);

/*
 * What this version refuses though the grammar knows it. The first function reports a table of a later feature and
 * returns true when `name` is one; the second looks at all values.
 */
bool config_table_is_not_yet(struct config_reader *reader, const struct toml_name *name,
                             struct config_position position);
void config_check_not_yet(struct config_reader *reader);

/* Is that value of a key, or with NULL the key whatever its value, refused in this way? No message recommends it. */
bool config_is_not_yet(const char *key, const char *value);

#endif
