/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ASCII only, because what is harmless beyond depends on the terminal: U+06DB is a letter to one that takes UTF-8, and
 * has the byte 0x9b in it, which starts a control sequence on one that does not.
 */
#include "hv/console_plain.h"

#include "hv/string.h"

#define BELL       0x07u
#define CANCEL     0x18u
#define SUBSTITUTE 0x1au
#define ESCAPE     0x1bu
#define DELETE     0x7fu
#define TAB_WIDTH  8u

enum sequence_state {
    SEQUENCE_NONE,
    SEQUENCE_ESCAPE,  /* ESC and intermediate bytes */
    SEQUENCE_CONTROL, /* CSI, parameters and intermediate bytes */
    SEQUENCE_STRING,  /* DCS, SOS, OSC, PM or APC and what it carries */
};

static bool starts_string(uint8_t byte)
{
    return byte == 'P' || byte == 'X' || byte == ']' || byte == '^' || byte == '_';
}

/* Behind ESC or CSI: parameters and intermediate bytes go on, a final byte ends it, what is neither cuts it off. */
static bool sequence_inside(struct console_sequence *sequence, uint8_t byte)
{
    bool control = sequence->state == SEQUENCE_CONTROL;

    if (byte < ' ') /* carried out at once; the sequence goes on behind it */
        return false;
    if (byte > DELETE) {
        sequence->state = SEQUENCE_NONE;
        return false;
    }
    if (!control && byte == '[')
        sequence->state = SEQUENCE_CONTROL;
    else if (!control && starts_string(byte))
        sequence->state = SEQUENCE_STRING;
    else if (byte != DELETE && byte >= (control ? 0x40 : 0x30))
        sequence->state = SEQUENCE_NONE;
    return true;
}

bool console_sequence_step(struct console_sequence *sequence, uint8_t byte)
{
    if (byte == ESCAPE) {
        sequence->state = SEQUENCE_ESCAPE;
        return true;
    }
    if (sequence->state == SEQUENCE_NONE)
        return false;
    if (byte == CANCEL || byte == SUBSTITUTE || (byte == BELL && sequence->state == SEQUENCE_STRING)) {
        sequence->state = SEQUENCE_NONE;
        return true;
    }
    return sequence->state == SEQUENCE_STRING || sequence_inside(sequence, byte);
}

bool console_sequence_open(const struct console_sequence *sequence)
{
    return sequence->state != SEQUENCE_NONE;
}

/* A newline ends even a string that is never closed, or one lost byte would silence the guest. */
static size_t plain_newline(struct console_plain *plain, uint8_t *characters)
{
    bool ended = plain->broken;

    *plain = (struct console_plain){0};
    characters[0] = '\n';
    return ended ? 0 : 1;
}

/* The cursor is to go back to column 0: nothing is left of it. */
size_t console_plain_unfinished(const struct console_plain *plain, uint8_t characters[CONSOLE_PLAIN_AGAIN_MAX])
{
    size_t size = plain->carriage_return ? 0 : plain->again_size;
    size_t start = plain->again_next + CONSOLE_PLAIN_AGAIN_MAX - size;

    for (size_t i = 0; i < size; i++)
        characters[i] = plain->again[(start + i) % CONSOLE_PLAIN_AGAIN_MAX];
    return size;
}

/* On a new line behind another's: the unfinished one again. */
static size_t plain_begin_again(struct console_plain *plain, uint8_t *characters)
{
    if (!plain->broken)
        return 0;
    size_t size = console_plain_unfinished(plain, characters);
    plain->again_size = (uint8_t)size;
    plain->column = (uint16_t)size;
    plain->broken = false;
    return size;
}

static void plain_remember(struct console_plain *plain, uint8_t character)
{
    plain->again[plain->again_next] = character;
    plain->again_next = (uint8_t)((plain->again_next + 1) % CONSOLE_PLAIN_AGAIN_MAX);
    if (plain->again_size < CONSOLE_PLAIN_AGAIN_MAX)
        plain->again_size++;
}

static size_t plain_print(struct console_plain *plain, uint8_t character, uint8_t *characters)
{
    size_t count = plain_begin_again(plain, characters);
    uint32_t width = character == '\t' ? TAB_WIDTH - plain->column % TAB_WIDTH : 1;

    if ((plain->carriage_return && plain->column > 0) || plain->column + width > CONSOLE_PLAIN_COLUMNS) {
        characters[count++] = '\n';
        plain->column = 0;
        plain->again_size = 0;
        width = character == '\t' ? TAB_WIDTH : 1;
    }
    for (uint32_t i = 0; i < width; i++) {
        characters[count] = character == '\t' ? ' ' : character;
        plain_remember(plain, characters[count++]);
    }
    plain->column = (uint16_t)(plain->column + width);
    plain->carriage_return = false;
    return count;
}

static size_t plain_backspace(struct console_plain *plain, uint8_t *characters)
{
    if (plain->carriage_return)
        return 0;
    size_t count = plain_begin_again(plain, characters);
    if (plain->column == 0)
        return count;
    plain->column--;
    if (plain->again_size > 0) {
        plain->again_size--;
        plain->again_next = (uint8_t)((plain->again_next + CONSOLE_PLAIN_AGAIN_MAX - 1) % CONSOLE_PLAIN_AGAIN_MAX);
    }
    characters[count++] = '\b';
    return count;
}

size_t console_plain_step(struct console_plain *plain, uint8_t byte, uint8_t characters[CONSOLE_PLAIN_STEP_MAX])
{
    if (byte == '\n')
        return plain_newline(plain, characters);
    if (console_sequence_step(&plain->sequence, byte))
        return 0;
    if (byte == '\t' || (byte >= ' ' && byte < DELETE))
        return plain_print(plain, byte, characters);
    if (byte >= 0xc0) /* the first byte of a UTF-8 character; those that follow it are below */
        return plain_print(plain, '?', characters);
    if (byte == '\r')
        plain->carriage_return = true;
    return byte == '\b' ? plain_backspace(plain, characters) : 0;
}

void console_plain_break(struct console_plain *plain)
{
    plain->broken = plain->broken || plain->column > 0;
}
