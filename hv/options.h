/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's own command line: words `key=value`.
 *
 *   console=com1            where the boot log goes (com1..com4, several with commas)
 *   log=error|info|debug    how much of it
 *   on_error=halt|poweroff  what to do when nothing can be started
 */
#ifndef HV_OPTIONS_H
#define HV_OPTIONS_H

#include "hv/log.h"
#include "hv/types.h"

#define OPTIONS_CONSOLES_MAX 4u
#define OPTIONS_NAME_SIZE    16u

struct options {
    char consoles[OPTIONS_CONSOLES_MAX][OPTIONS_NAME_SIZE];
    uint32_t console_count;
    enum log_level log_level;
    bool power_off_on_error;
    char unknown[64]; /* the first word that is none of the above; "" when all are known */
};

/* Read a command line. Defaults: console com1, log info, on_error halt. */
void options_parse(const char *command_line, struct options *options);

#endif
