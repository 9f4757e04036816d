/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Consoles by name, each opened once.
 */
#include "boot/consoles.h"

#include "drivers/host/uart.h"
#include "hv/console.h"
#include "hv/log.h"
#include "hv/string.h"

static struct console_driver drivers[CONSOLE_DRIVERS_MAX];
static uint32_t driver_count;

void console_open(const char *name)
{
    for (uint32_t i = 0; i < driver_count; i++) {
        if (strcmp(drivers[i].name, name) == 0)
            return;
    }
    if (driver_count == CONSOLE_DRIVERS_MAX || uart_open(name, &drivers[driver_count]) != 0 ||
        console_add_driver(&drivers[driver_count]) != 0) {
        log_error("console %s: nothing answers there", name);
        return;
    }
    driver_count++;
}
