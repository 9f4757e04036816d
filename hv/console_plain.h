/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest writes, for a screen that it shares with others: printable ASCII and ends of lines are left of it. No
 * byte of it moves the cursor out of its own line, clears, colours, names or asks the terminal.
 */
#ifndef HV_CONSOLE_PLAIN_H
#define HV_CONSOLE_PLAIN_H

#include "hv/types.h"

#define CONSOLE_PLAIN_COLUMNS  200u /* longer lines are broken */
#define CONSOLE_PLAIN_STEP_MAX 9u   /* characters that one byte can give: an end of line, and a tab */

/* One guest's text, all zero at first. */
struct console_plain {
    uint8_t sequence;     /* enum sequence_state: how far into a control sequence */
    bool carriage_return; /* the cursor is to go back; whether a newline comes with it is not known yet */
    bool broken;          /* another's line came behind this one's text, and nothing came since */
    uint16_t column;
};

/*
 * Follow a byte through terminal control sequences. Returns true when it is a part of one, false when it is text or a
 * control of its own. ECMA-48, 5.3 and 5.4 (escape and control sequences), 5.6 (strings); strings also end at BEL.
 */
bool console_sequence_step(struct console_plain *plain, uint8_t byte);

/* True when the terminal is in the middle of a control sequence. */
bool console_sequence_open(const struct console_plain *plain);

/*
 * Turn the guest's next byte into 0 to CONSOLE_PLAIN_STEP_MAX characters: 0x20 to 0x7e; '\n', the end of a line; '\b',
 * one column back, never past the text's first. A tab is spaces, a character beyond ASCII is '?', a return without a
 * newline ends the line. Returns how many.
 */
size_t console_plain_step(struct console_plain *plain, uint8_t byte, uint8_t characters[CONSOLE_PLAIN_STEP_MAX]);

/* Another's line ended this guest's: what follows begins a new one. */
void console_plain_break(struct console_plain *plain);

#endif
