/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest writes, for a screen that it shares with others: printable ASCII and ends of lines are left of it. No
 * byte of it moves the cursor out of its own line, clears, colours, names or asks the terminal.
 */
#ifndef HV_CONSOLE_PLAIN_H
#define HV_CONSOLE_PLAIN_H

#include "hv/types.h"

#define CONSOLE_PLAIN_COLUMNS 200u /* longer lines are broken */

/*
 * How much of an unfinished line comes again when another's line came behind it: its last characters. A prompt has room
 * in it; and a guest that writes byte by byte between others' lines makes the serial line carry so much for each byte.
 */
#define CONSOLE_PLAIN_AGAIN_MAX 80u

/* Characters that one byte can give: these, and a tab. */
#define CONSOLE_PLAIN_STEP_MAX (CONSOLE_PLAIN_AGAIN_MAX + 8u)

/* How far a stream is into a control sequence; all zero: not at all. */
struct console_sequence {
    uint8_t state; /* enum sequence_state */
};

/* One guest's text, all zero at first. */
struct console_plain {
    struct console_sequence sequence;
    bool carriage_return; /* the cursor is to go back; whether a newline comes with it is not known yet */
    bool broken;          /* another's line came behind this one's text, and nothing came since */
    uint16_t column;
    uint8_t again_size, again_next; /* the last characters left of the cursor: so many, before this place of a ring */
    uint8_t again[CONSOLE_PLAIN_AGAIN_MAX];
};

/*
 * Follow a byte through terminal control sequences. Returns true when it is a part of one, false when it is text or a
 * control of its own. ECMA-48, 5.3 and 5.4 (escape and control sequences), 5.6 (strings); strings also end at BEL.
 */
bool console_sequence_step(struct console_sequence *sequence, uint8_t byte);

/* True in the middle of a control sequence. */
bool console_sequence_open(const struct console_sequence *sequence);

/*
 * Turn the guest's next byte into 0 to CONSOLE_PLAIN_STEP_MAX characters: 0x20 to 0x7e; '\n', the end of a line; '\b',
 * one column back, never past the text's first. A tab is spaces, a character beyond ASCII is '?', a return without a
 * newline ends the line. Behind another's line, the unfinished line's characters come before them. Returns how many.
 */
size_t console_plain_step(struct console_plain *plain, uint8_t byte, uint8_t characters[CONSOLE_PLAIN_STEP_MAX]);

/* Another's line ended this guest's: what follows begins a new one, and is part of the unfinished line all the same. */
void console_plain_break(struct console_plain *plain);

/* The guest's unfinished line: its last CONSOLE_PLAIN_AGAIN_MAX characters at most. Returns how many. */
size_t console_plain_unfinished(const struct console_plain *plain, uint8_t characters[CONSOLE_PLAIN_AGAIN_MAX]);

#endif
