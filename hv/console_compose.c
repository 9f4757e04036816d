/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Merges what the hypervisor, the guests and the shell have written into one stream. Who is shown byte for byte is a
 * stream into whose lines the hypervisor breaks only when it must; where all guests are shown they take turns, a line
 * each, and nobody waits for a line that is not there yet.
 */
#include "hv/console_internal.h"

#include "hv/string.h"

#define SILENCE_MS  10u  /* a stream that is silent for so long has left its line open on purpose (a prompt) */
#define PATIENCE_MS 500u /* the hypervisor waits so long at most for the end of a line */

/* One byte can end another's line, name its guest, begin its line again and be a tab: that much room is asked for. */
#define STAGE_STEP (CONSOLE_PLAIN_STEP_MAX + 80u)

#define COMPOSE_MAX 1024u /* bytes of one call; without a living device there is always room */

/* The hypervisor, guest i's line (writer i + 1), the shell. */
#define WRITER_OWN   0u
#define WRITER_SHELL (GUESTS_MAX + 1)
#define WRITER_NONE  (GUESTS_MAX + 2)

#define CANCEL 0x18u /* ends a control sequence that is not complete */

/* For a terminal that a guest had for itself: soft reset, no colours, ASCII. */
static const char terminal_sane[] = "\033[!p\033[m\033(B\017";
static const char colour_off[] = "\033[m";
static const char row_erased[] = "\r\033[K";
static const uint8_t colours[GUESTS_MAX] = {36, 33, 32, 35, 34, 31, 96, 93};

static uint32_t line_owner; /* writer of the last byte */
static bool line_open;      /* the cursor is not at column 0, or inside a control sequence */
static bool line_coloured;
static uint64_t last_byte_ticks;
static bool own_waits; /* since own_waits_ticks, for the end of the open line */
static uint64_t own_waits_ticks;

/* All guests together: the piece being shown, and whose turn is over. */
static uint32_t piece_writer, piece_left;
static uint32_t last_guest;

static bool view_changed;
static bool stream_begins; /* of the new view nothing is shown yet but what the hypervisor says */
static bool terminal_lent; /* a guest's bytes have gone to the terminal as they are */
static struct console_sequence terminal_sequence; /* into which they have brought it */

static void stage_text(const char *text)
{
    while (*text != '\0')
        console_stage((uint8_t)*text++);
}

static struct console_line *line_of(uint32_t writer)
{
    return &console_lines[writer - 1];
}

static bool is_guest(uint32_t writer)
{
    return writer != WRITER_OWN && writer <= console_line_count;
}

/* ---- Whose byte comes next ---- */

/* Who has the screen for itself. */
static uint32_t stream_writer(void)
{
    switch (console_view()) {
    case CONSOLE_VIEW_SHELL: return WRITER_SHELL;
    case CONSOLE_VIEW_GUEST: return console_line_count > 0 ? console_view_line() + 1 : WRITER_NONE;
    default: return WRITER_NONE;
    }
}

static uint32_t writer_used(uint32_t writer)
{
    if (writer == WRITER_OWN)
        return console_own_used();
    if (writer == WRITER_SHELL)
        return console_shell_used();
    return is_guest(writer) ? console_line_used(line_of(writer)) : 0;
}

static bool inside_sequence(uint32_t writer)
{
    return is_guest(writer) && console_sequence_open(&terminal_sequence);
}

/* The hypervisor has text; may it break into the stream's open line? */
static bool own_may_break(uint32_t stream, uint64_t now, bool hurry)
{
    if (!own_waits) {
        own_waits = true;
        own_waits_ticks = now;
    }
    if (now - own_waits_ticks > console_ticks_of_ms(PATIENCE_MS))
        return true;
    if (writer_used(stream) > 0)
        return false;
    bool silent = now - last_byte_ticks > console_ticks_of_ms(SILENCE_MS);
    return hurry || (silent && !inside_sequence(stream));
}

/* The next guest with something ready, from the one whose turn was last. */
static uint32_t next_guest(uint64_t now, bool hurry)
{
    for (uint32_t i = 0; i < console_line_count; i++) {
        uint32_t line = (last_guest + i) % console_line_count;
        uint32_t size = console_line_ready(&console_lines[line], now, hurry);
        if (size > 0) {
            last_guest = line + 1;
            piece_writer = line + 1;
            piece_left = size;
            return piece_writer;
        }
    }
    return WRITER_NONE;
}

static uint32_t choose(uint64_t now, bool hurry)
{
    uint32_t stream = stream_writer();

    if (piece_left > 0)
        return piece_writer;
    if (console_own_used() == 0) {
        own_waits = false;
    } else if (!line_open || line_owner != stream || own_may_break(stream, now, hurry)) {
        own_waits = false;
        return WRITER_OWN;
    }
    if (stream != WRITER_NONE)
        return writer_used(stream) > 0 ? stream : WRITER_NONE;
    return console_line_count > 0 ? next_guest(now, hurry) : WRITER_NONE;
}

/* ---- The staged stream ---- */

static void end_line(void)
{
    if (line_coloured)
        stage_text(colour_off);
    stage_text("\r\n");
    line_open = line_coloured = false;
}

static void cancel_sequence(void)
{
    console_stage(CANCEL);
    terminal_sequence = (struct console_sequence){0};
}

/* Another is next: to column 0, wherever the last writer has left the cursor. */
static void break_line(void)
{
    if (!line_open)
        return;
    if (is_guest(line_owner)) {
        if (!line_coloured && console_sequence_open(&terminal_sequence))
            cancel_sequence();
        console_plain_break(&line_of(line_owner)->plain);
    }
    if (line_owner == WRITER_SHELL && console_shell_disturbed()) {
        stage_text(row_erased);
        line_open = false;
        return;
    }
    end_line();
}

static size_t name_width(void)
{
    size_t width = 0;

    for (uint32_t i = 0; i < console_line_count; i++)
        width = max_u64(width, strlen(console_lines[i].name));
    return width;
}

/* The whole line has the guest's colour, so that a piece which the terminal wraps is not taken for another's line. */
static void begin_line(uint32_t writer)
{
    const char *name = line_of(writer)->name;
    uint8_t colour = colours[writer - 1];

    break_line();
    stage_text("\033[");
    console_stage((uint8_t)('0' + colour / 10));
    console_stage((uint8_t)('0' + colour % 10));
    console_stage('m');
    stage_text(name);
    for (size_t i = strlen(name); i < name_width(); i++)
        console_stage(' ');
    stage_text("| ");
    line_owner = writer;
    line_open = line_coloured = true;
}

/* A guest's next byte, and what it is on a screen that is shared. */
static uint8_t take_of_guest(uint32_t writer, uint8_t characters[CONSOLE_PLAIN_STEP_MAX], size_t *count)
{
    struct console_plain *plain = console_line_plain(line_of(writer)); /* before the byte is taken */
    uint8_t byte = console_line_take(line_of(writer));

    *count = console_plain_step(plain, byte, characters);
    return byte;
}

static void stage_named(uint32_t writer)
{
    uint8_t characters[CONSOLE_PLAIN_STEP_MAX];
    size_t count;

    piece_left--;
    (void)take_of_guest(writer, characters, &count);
    for (size_t i = 0; i < count; i++) {
        if (!line_open || line_owner != writer)
            begin_line(writer);
        if (characters[i] == '\n')
            end_line();
        else
            console_stage(characters[i]);
    }
}

/* A guest that has the terminal for itself goes on in the line that it left unfinished: its prompt stands there. */
static void begin_stream(void)
{
    uint32_t writer = stream_writer();
    uint8_t characters[CONSOLE_PLAIN_AGAIN_MAX];

    stream_begins = false;
    if (!is_guest(writer) || console_line_count == 1) /* the only guest's line is shown byte for byte, and once */
        return;
    size_t size = console_plain_unfinished(console_line_plain(line_of(writer)), characters);
    for (size_t i = 0; i < size; i++)
        console_stage(characters[i]);
    line_owner = writer;
    line_open = size > 0;
}

/* The only guest's text is never seen in another way, and is not looked at. */
static uint8_t take_of_stream(uint32_t writer)
{
    uint8_t characters[CONSOLE_PLAIN_STEP_MAX];
    size_t count;

    if (writer == WRITER_OWN)
        return console_own_take();
    if (writer == WRITER_SHELL)
        return console_shell_take();
    return console_line_count == 1 ? console_line_take(line_of(writer)) : take_of_guest(writer, characters, &count);
}

static void stage_stream(uint32_t writer)
{
    uint8_t byte = take_of_stream(writer);

    if (line_owner != writer)
        break_line();
    if (is_guest(writer)) {
        (void)console_sequence_step(&terminal_sequence, byte);
        terminal_lent = true;
    } else if (byte == '\n') {
        console_stage('\r');
    }
    console_stage(byte);
    line_owner = writer;
    if (byte == '\n')
        line_open = inside_sequence(writer);
    else if (byte != '\r')
        line_open = true;
}

static void leave_view(void)
{
    if (terminal_lent) {
        cancel_sequence();
        stage_text(terminal_sane);
    }
    break_line();
    piece_left = 0;
    view_changed = terminal_lent = false;
    stream_begins = true;
}

/* A line of the hypervisor whose rest is there: a slow device made it wait. */
static bool own_line_goes_on(void)
{
    return line_open && line_owner == WRITER_OWN && console_own_used() > 0;
}

uint32_t console_compose(uint64_t now, bool hurry)
{
    uint32_t count = 0;

    for (; count < COMPOSE_MAX && console_stage_room() >= STAGE_STEP; count++) {
        if (view_changed && !own_line_goes_on())
            leave_view();
        uint32_t writer = choose(now, hurry);
        if (stream_begins && writer != WRITER_OWN)
            begin_stream();
        if (writer == WRITER_NONE)
            break;
        if (is_guest(writer) && stream_writer() == WRITER_NONE)
            stage_named(writer);
        else
            stage_stream(writer);
        last_byte_ticks = now;
    }
    return count;
}

bool console_compose_remains(void)
{
    uint32_t stream = stream_writer();

    if (view_changed || stream_begins || console_own_used() > 0 || (stream != WRITER_NONE && writer_used(stream) > 0))
        return true;
    for (uint32_t i = 0; i < console_line_count && stream == WRITER_NONE; i++) {
        if (console_line_used(&console_lines[i]) > 0)
            return true;
    }
    return false;
}

void console_view_changed(void)
{
    view_changed = true;
}
