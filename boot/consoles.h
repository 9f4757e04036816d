/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host devices that carry the console: named on the command line or in the configuration.
 */
#ifndef BOOT_CONSOLES_H
#define BOOT_CONSOLES_H

/* Open "com1" to "com4" for output and input, unless that has been done. When nothing answers there, one log line says
 * so. */
void console_open(const char *name);

#endif
