/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's serial lines: 16550 UARTs at the PC's four standard addresses, polled, 115200 baud 8N1.
 */
#ifndef DRIVERS_HOST_UART_H
#define DRIVERS_HOST_UART_H

#include "hv/console.h"

#define UART_PORTS 8u

/* The first of the ports of "com1" to "com4"; 0 for another name. */
uint16_t uart_port(const char *name);

/*
 * Find and set up the UART called "com1" to "com4" and fill `driver` for console_add_driver. Returns 0, E_INVAL (no
 * such name) or E_NOENT (nothing answers at its address).
 */
int uart_open(const char *name, struct console_driver *driver);

#endif
