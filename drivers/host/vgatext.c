/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A terminal of few words: return, newline, backspace, tab; escape sequences are swallowed. A copy in RAM spares
 * reading video memory when the screen scrolls.
 */
#include "drivers/host/vgatext.h"

#include "arch/x86.h"

#define COLUMNS   VGATEXT_COLUMNS
#define ROWS      VGATEXT_ROWS
#define ATTRIBUTE 0x0700u /* light grey on black */
#define BLANK     (ATTRIBUTE | ' ')
#define TAB_STOP  8u
#define ESCAPE    0x1bu

/* IBM VGA, "CRT Controller Registers": cursor location, high and low. */
#define CRTC_INDEX       0x3d4u
#define CRTC_DATA        0x3d5u
#define CRTC_CURSOR_HIGH 0x0eu
#define CRTC_CURSOR_LOW  0x0fu

enum escape_state {
    ESCAPE_NONE,
    ESCAPE_BEGUN,    /* ESC was seen */
    ESCAPE_SEQUENCE, /* ESC [ was seen: ends with a byte from 0x40 on */
};

static volatile uint16_t *screen;
static uint16_t copy[ROWS * COLUMNS];
static uint32_t row, column; /* column == COLUMNS: the line wraps before the next character */
static enum escape_state escape;

static void cell_set(uint32_t index, uint16_t cell)
{
    if (copy[index] != cell) {
        copy[index] = cell;
        screen[index] = cell;
    }
}

static void line_feed(void)
{
    if (row + 1 < ROWS) {
        row++;
        return;
    }
    for (uint32_t i = 0; i < (ROWS - 1) * COLUMNS; i++)
        cell_set(i, copy[i + COLUMNS]);
    for (uint32_t i = (ROWS - 1) * COLUMNS; i < ROWS * COLUMNS; i++)
        cell_set(i, BLANK);
}

static void character_put(uint8_t byte)
{
    if (column == COLUMNS) {
        column = 0;
        line_feed();
    }
    cell_set(row * COLUMNS + column, (uint16_t)(ATTRIBUTE | byte));
    column++;
}

/* Returns true when the byte belongs to an escape sequence. */
static bool escape_takes(uint8_t byte)
{
    switch (escape) {
    case ESCAPE_NONE: escape = byte == ESCAPE ? ESCAPE_BEGUN : ESCAPE_NONE; return byte == ESCAPE;
    case ESCAPE_BEGUN: escape = byte == '[' ? ESCAPE_SEQUENCE : ESCAPE_NONE; return true;
    default: escape = byte >= 0x40 ? ESCAPE_NONE : ESCAPE_SEQUENCE; return true;
    }
}

static void byte_show(uint8_t byte)
{
    if (escape_takes(byte))
        return;
    switch (byte) {
    case '\n': line_feed(); break;
    case '\r': column = 0; break;
    case '\b': column -= column > 0 ? 1 : 0; break;
    case '\t':
        do
            character_put(' ');
        while (column % TAB_STOP != 0);
        break;
    default:
        if (byte >= ' ')
            character_put(byte);
        break;
    }
}

static void cursor_show(void)
{
    uint32_t position = row * COLUMNS + (column < COLUMNS ? column : COLUMNS - 1);

    out8(CRTC_INDEX, CRTC_CURSOR_HIGH);
    out8(CRTC_DATA, (uint8_t)(position >> 8));
    out8(CRTC_INDEX, CRTC_CURSOR_LOW);
    out8(CRTC_DATA, (uint8_t)position);
}

static size_t vgatext_write(void *context, const uint8_t *bytes, size_t size)
{
    (void)context;
    for (size_t i = 0; i < size; i++)
        byte_show(bytes[i]);
    if (size > 0)
        cursor_show();
    return size;
}

void vgatext_open(volatile uint16_t *cells, struct console_driver *driver)
{
    screen = cells;
    row = column = 0;
    escape = ESCAPE_NONE;
    for (uint32_t i = 0; i < ROWS * COLUMNS; i++)
        screen[i] = copy[i] = BLANK;
    cursor_show();
    *driver = (struct console_driver){"framebuffer", vgatext_write, NULL, NULL, NULL};
}
