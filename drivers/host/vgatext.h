/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's screen in VGA text mode, 80 by 25, as a console that only shows.
 */
#ifndef DRIVERS_HOST_VGATEXT_H
#define DRIVERS_HOST_VGATEXT_H

#include "hv/console.h"

#define VGATEXT_BASE    0xb8000u
#define VGATEXT_COLUMNS 80u
#define VGATEXT_ROWS    25u

/*
 * Clear the screen whose 80 x 25 cells (character and attribute) are at `cells`, and fill `driver` for
 * console_add_driver. `cells` stays valid for good.
 */
void vgatext_open(volatile uint16_t *cells, struct console_driver *driver);

#endif
