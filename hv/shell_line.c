/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keys are those of common shells, in the sequences of a VT100 (ECMA-48, "Control functions"). What is appended is
 * echoed; any other change draws the row anew.
 */
#include "hv/shell_line.h"

#include "hv/string.h"

#define KEY_ESCAPE    0x1bu
#define KEY_BACKSPACE 0x08u
#define KEY_DELETE    0x7fu
#define CONTROL(key)  ((key)&0x1fu)

#define PARAMETER_MAX 100u /* no key has a larger one */

static void show(const struct shell_line *line, const char *text)
{
    line->write(text, strlen(text));
}

static void bell(const struct shell_line *line)
{
    show(line, "\a");
}

void shell_line_draw(const struct shell_line *line)
{
    show(line, "\r\033[K");
    show(line, line->prompt);
    show(line, line->text);
    for (uint32_t i = line->cursor; i < line->length; i++)
        show(line, "\b");
}

void shell_line_begin(struct shell_line *line)
{
    line->length = line->cursor = 0;
    line->text[0] = '\0';
    line->history_back = 0;
    shell_line_draw(line);
}

/* ---- Editing ---- */

static void insert(struct shell_line *line, const char *text, size_t size)
{
    if (size > SHELL_LINE_MAX - line->length) {
        bell(line);
        return;
    }
    bool appends = line->cursor == line->length;
    memmove(line->text + line->cursor + size, line->text + line->cursor, line->length - line->cursor + 1);
    memcpy(line->text + line->cursor, text, size);
    line->length += (uint32_t)size;
    line->cursor += (uint32_t)size;
    if (appends)
        line->write(text, size);
    else
        shell_line_draw(line);
}

/* Take out what is between two places; the cursor stands there then. */
static void cut(struct shell_line *line, uint32_t from, uint32_t to)
{
    if (from == to) {
        bell(line);
        return;
    }
    memmove(line->text + from, line->text + to, line->length - to + 1);
    line->length -= to - from;
    line->cursor = from;
    shell_line_draw(line);
}

static void move(struct shell_line *line, uint32_t cursor)
{
    line->cursor = cursor;
    shell_line_draw(line);
}

static uint32_t word_start(const struct shell_line *line)
{
    uint32_t at = line->cursor;

    while (at > 0 && line->text[at - 1] == ' ')
        at--;
    while (at > 0 && line->text[at - 1] != ' ')
        at--;
    return at;
}

static uint32_t left_of(const struct shell_line *line)
{
    return line->cursor > 0 ? line->cursor - 1 : 0;
}

static uint32_t right_of(const struct shell_line *line)
{
    return line->cursor < line->length ? line->cursor + 1 : line->length;
}

/* ---- History ---- */

static char *remembered(struct shell_line *line, uint32_t back)
{
    return line->history[(line->history_count - back) % SHELL_HISTORY_MAX];
}

/* Neither an empty line nor one more of the same. */
static void remember(struct shell_line *line)
{
    bool again = line->history_count > 0 && strcmp(remembered(line, 1), line->text) == 0;

    if (line->length == 0 || again)
        return;
    line->history_count++;
    (void)string_copy(remembered(line, 1), SHELL_LINE_MAX + 1, line->text);
}

static void show_history(struct shell_line *line, uint32_t back)
{
    if (back == line->history_back || back > min_u64(line->history_count, SHELL_HISTORY_MAX)) {
        bell(line);
        return;
    }
    if (line->history_back == 0)
        (void)string_copy(line->unfinished, sizeof(line->unfinished), line->text);
    line->history_back = back;
    (void)string_copy(line->text, sizeof(line->text), back == 0 ? line->unfinished : remembered(line, back));
    line->length = line->cursor = (uint32_t)strlen(line->text);
    shell_line_draw(line);
}

static uint32_t later(const struct shell_line *line)
{
    return line->history_back > 0 ? line->history_back - 1 : 0;
}

/* ---- Completion ---- */

/* The words that begin like the one at the cursor. */
struct completion {
    char before[SHELL_LINE_MAX + 1]; /* the words in front of it */
    const char *start;
    size_t start_length;
    const char *first;
    size_t common; /* so far all are alike */
    uint32_t count;
};

static bool matches(const struct completion *completion, const char *word)
{
    return strncmp(word, completion->start, completion->start_length) == 0;
}

static void find_words(const struct shell_line *line, struct completion *completion)
{
    uint32_t at = line->cursor;
    const char *word;

    while (at > 0 && line->text[at - 1] != ' ')
        at--;
    memset(completion, 0, sizeof(*completion));
    memcpy(completion->before, line->text, at);
    completion->start = line->text + at;
    completion->start_length = line->cursor - at;
    for (uint32_t i = 0; (word = line->word(completion->before, i)) != NULL; i++) {
        size_t common = 0;
        if (!matches(completion, word))
            continue;
        if (completion->count++ == 0) {
            completion->first = word;
            completion->common = strlen(word);
        }
        while (common < completion->common && word[common] == completion->first[common])
            common++;
        completion->common = common;
    }
}

static void list_words(const struct shell_line *line, const struct completion *completion)
{
    const char *word;
    size_t column = 0;

    show(line, "\r\n");
    for (uint32_t i = 0; (word = line->word(completion->before, i)) != NULL; i++) {
        if (!matches(completion, word))
            continue;
        size_t width = strlen(word) + 2;
        if (column + width > 80) {
            show(line, "\r\n");
            column = 0;
        }
        show(line, word);
        show(line, "  ");
        column += width;
    }
    show(line, "\r\n");
    shell_line_draw(line);
}

/* As far as there is no choice; where there is, show it. */
static void complete(struct shell_line *line)
{
    struct completion completion;

    find_words(line, &completion);
    size_t more = completion.common - min_u64(completion.common, completion.start_length);
    if (completion.count == 0) {
        bell(line);
        return;
    }
    if (more > 0)
        insert(line, completion.first + completion.start_length, more);
    if (completion.count == 1 && line->text[line->cursor] != ' ')
        insert(line, " ", 1);
    else if (more == 0)
        list_words(line, &completion);
}

/* ---- Keys ---- */

/* ESC [ number ~ : the keypad above the arrows. */
static void numbered_key(struct shell_line *line)
{
    switch (line->parameter) {
    case 1:
    case 7: move(line, 0); break;
    case 3: cut(line, line->cursor, right_of(line)); break;
    case 4:
    case 8: move(line, line->length); break;
    default: bell(line);
    }
}

static void control_sequence(struct shell_line *line, uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        line->parameter = (uint32_t)min_u64(line->parameter * 10 + byte - '0', PARAMETER_MAX);
        return;
    }
    if (byte >= 0x20 && byte <= 0x3f) { /* more parameters, as of a key with Ctrl: the last one counts */
        line->parameter = 0;
        return;
    }
    line->escape = SHELL_LINE_PLAIN;
    switch (byte) {
    case 'A': show_history(line, line->history_back + 1); break;
    case 'B': show_history(line, later(line)); break;
    case 'C': move(line, right_of(line)); break;
    case 'D': move(line, left_of(line)); break;
    case 'H': move(line, 0); break;
    case 'F': move(line, line->length); break;
    case '~': numbered_key(line); break;
    default: bell(line);
    }
}

static enum shell_line_event enter(struct shell_line *line, uint8_t byte)
{
    if (byte == '\n' && line->behind_return)
        return SHELL_LINE_EDITED;
    show(line, "\r\n");
    remember(line);
    return SHELL_LINE_ENTERED;
}

static enum shell_line_event control_key(struct shell_line *line, uint8_t byte)
{
    switch (byte) {
    case '\r':
    case '\n': return enter(line, byte);
    case CONTROL('C'): show(line, "^C\r\n"); return SHELL_LINE_CANCELLED;
    case CONTROL('D'):
        if (line->length == 0)
            return SHELL_LINE_ENDED;
        cut(line, line->cursor, right_of(line));
        break;
    case KEY_BACKSPACE:
    case KEY_DELETE: cut(line, left_of(line), line->cursor); break;
    case CONTROL('A'): move(line, 0); break;
    case CONTROL('B'): move(line, left_of(line)); break;
    case CONTROL('E'): move(line, line->length); break;
    case CONTROL('F'): move(line, right_of(line)); break;
    case CONTROL('K'): cut(line, line->cursor, line->length); break;
    case CONTROL('L'):
        show(line, "\033[H\033[2J");
        shell_line_draw(line);
        break;
    case CONTROL('N'): show_history(line, later(line)); break;
    case CONTROL('P'): show_history(line, line->history_back + 1); break;
    case CONTROL('U'): cut(line, 0, line->cursor); break;
    case CONTROL('W'): cut(line, word_start(line), line->cursor); break;
    case '\t': complete(line); break;
    default: bell(line);
    }
    return SHELL_LINE_EDITED;
}

void shell_line_pass(struct shell_line *line, uint8_t byte)
{
    line->foreign = byte == KEY_ESCAPE ? SHELL_LINE_ESCAPE : SHELL_LINE_PLAIN;
    line->behind_return = byte == '\r';
}

/*
 * Does this byte go on with a key that was another's? The escape key alone is a key as well: only what begins no
 * command goes on with it. ESC [ [ A is a function key of the Linux console, ESC ESC [ A an arrow with Alt.
 */
static bool is_foreign(struct shell_line *line, uint8_t byte)
{
    switch (line->foreign) {
    case SHELL_LINE_ESCAPE:
        if (byte == KEY_ESCAPE)
            return true;
        line->foreign = byte == '[' || byte == 'O' ? SHELL_LINE_CONTROL : SHELL_LINE_PLAIN;
        return line->foreign != SHELL_LINE_PLAIN;
    case SHELL_LINE_CONTROL:
        if (byte < 0x20 || (byte >= 0x40 && byte != '['))
            line->foreign = SHELL_LINE_PLAIN;
        return byte >= 0x20;
    default: return false;
    }
}

enum shell_line_event shell_line_byte(struct shell_line *line, uint8_t byte)
{
    enum shell_line_event event = SHELL_LINE_EDITED;
    char character = (char)byte;

    if (is_foreign(line, byte))
        return SHELL_LINE_EDITED;
    /* No control sequence has control characters: such a byte is a key again. */
    if (byte < 0x20)
        line->escape = SHELL_LINE_PLAIN;
    if (byte == KEY_ESCAPE) {
        line->escape = SHELL_LINE_ESCAPE;
    } else if (line->escape == SHELL_LINE_CONTROL) {
        control_sequence(line, byte);
    } else if (line->escape == SHELL_LINE_ESCAPE) {
        line->escape = byte == '[' || byte == 'O' ? SHELL_LINE_CONTROL : SHELL_LINE_PLAIN;
        line->parameter = 0;
    } else if (byte >= 0x20 && byte < 0x7f) {
        insert(line, &character, 1);
    } else {
        event = control_key(line, byte);
    }
    line->behind_return = byte == '\r';
    return event;
}
