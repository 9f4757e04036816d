/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One console for several guests: whose lines are shown and how, what is kept of the others, and what keys do.
 */
#include <stdio.h>

#include "hv/console_plain.h"
#include "hv/log_history.h"
#include "tests/unit/fake_console.h"

#define LINUX(text) "\033[36mlinux| " text "\033[m\r\n"
#define RT(text)    "\033[33mrt   | " text "\033[m\r\n"
#define SANE        "\x18\033[!p\033[m\033(B\017"
#define NO_SHELL    "bulkhead: console: this version has no shell\r\n"
#define NO_KEY      "bulkhead: console: that key means nothing behind Ctrl-]; Ctrl-] ? lists the keys\r\n"
#define ALONE(name) "bulkhead: console: guest \"" name "\" alone; Ctrl-] 0 shows all, Ctrl-] ? lists the keys\r\n"
#define TOGETHER(name)                                                                                                 \
    "bulkhead: console: all guests; what is typed goes to guest \"" name "\"; Ctrl-] ? lists the keys\r\n"

static struct screen *screen;

/* Two guests and one device; `alone`: the guest in focus, -1: none. What starting says is not looked at. */
static void start(int alone)
{
    screen = add_screen(SIZE_MAX);
    add_guest(0);
    add_guest(1);
    console_focus(alone < 0 ? "all" : names[alone]);
    console_defer();
    poll_for_ms(2);
    screen->length = 0;
}

/* All that came since last asked. */
static void expect_shown(const char *text)
{
    screen->text[screen->length] = '\0';
    assert_string_equal(screen->text, text);
    screen->length = 0;
}

static void press(const char *keys)
{
    screen->keys = keys;
    poll_for_ms(2);
    assert_string_equal(screen->keys, "");
}

/* What a guest got since last asked. */
static void expect_typed(unsigned i, const char *text)
{
    uint8_t byte;

    for (; *text != '\0'; text++) {
        assert_true(ring_take(&lines[i]->in, &byte));
        assert_int_equal(byte, (uint8_t)*text);
    }
    assert_int_equal(ring_used(&lines[i]->in), 0);
}

static unsigned draws;
static char typed[20];

static void draw(void)
{
    draws++;
    assert_int_equal(console_shell_write("> ", 2), 2);
}

static void take_byte(uint8_t byte)
{
    typed[strlen(typed)] = (char)byte;
    assert_int_equal(console_shell_write((const char *)&byte, 1), 1);
    if (byte == 'q')
        console_shell_close();
}

static const struct console_shell shell = {draw, take_byte};

static void each_line_has_its_name(void **state)
{
    (void)state;
    start(-1);
    guest_write(0, "one\r\none again\r\n");
    guest_write(1, "two\r\n\r\n");
    poll_for_ms(2);
    expect_shown(LINUX("one") RT("two") LINUX("one again") RT(""));
    log_info("own");
    poll_for_ms(1);
    expect_shown("bulkhead: own\r\n");
}

/* Half a line is shown when its guest says no more, and is no reason for others to wait. */
static void half_lines(void **state)
{
    (void)state;
    start(-1);
    guest_write(0, "half");
    guest_write(1, "two\n");
    poll_for_ms(10);
    expect_shown(RT("two"));
    guest_write(0, " a line\nlogin: ");
    poll_for_ms(10);
    expect_shown(LINUX("half a line"));
    poll_for_ms(30);
    expect_shown("\033[36mlinux| login: ");
    guest_write(0, "root\b");
    poll_for_ms(40);
    expect_shown("root\b");
    log_info("own");
    poll_for_ms(1);
    expect_shown("\033[m\r\nbulkhead: own\r\n");
    guest_write(0, "\r\nPassword: ");
    poll_for_ms(40);
    expect_shown("\033[36mlinux| Password: ");
    guest_write(1, "two\n");
    poll_for_ms(2);
    expect_shown("\033[m\r\n" RT("two"));
}

/* A prompt that others' lines have left behind stands before what its guest goes on writing; ended, it is not repeated.
 */
static void unfinished_line_comes_again(void **state)
{
    (void)state;
    start(-1);
    guest_write(0, "\033[1mroot:/# \033[m");
    poll_for_ms(40);
    expect_shown("\033[36mlinux| root:/# ");
    guest_write(1, "two\nthree\n");
    poll_for_ms(2);
    expect_shown("\033[m\r\n" RT("two") RT("three"));
    guest_write(0, "nproc");
    poll_for_ms(40);
    expect_shown("\033[36mlinux| root:/# nproc");
    log_info("own");
    guest_write(0, "\r\n2\r\nroot:/# ");
    poll_for_ms(2);
    expect_shown("\033[m\r\nbulkhead: own\r\n" LINUX("2"));
    poll_for_ms(40);
    expect_shown("\033[36mlinux| root:/# ");
    guest_write(1, "two\n");
    poll_for_ms(2);
    guest_write(0, "exit\r\n");
    poll_for_ms(2);
    expect_shown("\033[m\r\n" RT("two") LINUX("root:/# exit"));
    guest_write(1, "two\n");
    guest_write(0, "bye\n");
    poll_for_ms(2);
    expect_shown(RT("two") LINUX("bye"));
}

/* A guest in focus stands where it left off, and what was kept of it goes on from there. */
static void prompt_comes_with_the_focus(void **state)
{
    (void)state;
    start(-1);
    guest_write(0, "\033[1mroot:/# \033[m");
    poll_for_ms(40);
    screen->length = 0;
    press("\0351");
    expect_shown("\033[m\r\n" ALONE("linux") "root:/# ");
    guest_write(0, "ls\033[6n");
    poll_for_ms(2);
    expect_shown("ls\033[6n");
    press("\0352");
    expect_shown(SANE "\r\n" ALONE("rt"));
    guest_write(0, "\r\na\r\nroot:/# ");
    poll_for_ms(2);
    press("\0351");
    expect_shown(ALONE("linux") "root:/# ls\r\na\r\nroot:/# ");
    press("\0351");
    expect_shown(SANE "\r\n" ALONE("linux") "root:/# ");
    log_info("own");
    poll_for_ms(20);
    expect_shown("\r\nbulkhead: own\r\n");
    press("\0350");
    expect_shown(TOGETHER("linux"));
    guest_write(0, "x");
    poll_for_ms(40);
    expect_shown("\033[36mlinux| root:/# x");
}

/* The line of a guest that was reset is nobody's beginning: not where it was seen, nor out of what was kept. */
static void unfinished_line_ends_with_its_life(void **state)
{
    (void)state;
    start(-1);
    guest_write(0, "root:/# ");
    poll_for_ms(40);
    log_info("own");
    poll_for_ms(1);
    screen->length = 0;
    guest_write(0, "x");
    console_restart(lines[0]);
    guest_write(0, "new");
    poll_for_ms(40);
    expect_shown("\033[36mlinux| root:/# xnew");
    guest_write(1, "two\n");
    guest_write(0, "er\n");
    poll_for_ms(2);
    expect_shown("\033[m\r\n" RT("two") LINUX("newer"));
    guest_write(0, "# ");
    poll_for_ms(40);
    press("\0352");
    console_restart(lines[0]);
    screen->length = 0;
    press("\0351");
    expect_shown(ALONE("linux"));
    press("\0352");
    screen->length = 0;
    guest_write(0, "lost");
    console_restart(lines[0]);
    guest_write(0, "kept");
    poll_for_ms(2);
    press("\0351\0350");
    screen->length = 0;
    guest_write(0, "!");
    poll_for_ms(40);
    expect_shown("\033[36mlinux| lostkept!");
}

/* One byte for each of another's lines costs the serial line a bounded number of bytes. */
static void repetition_is_bounded(void **state)
{
    (void)state;
    start(-1);
    for (unsigned i = 0; i < 150; i++)
        guest_write(0, "y");
    poll_for_ms(40);
    screen->length = 0;
    for (unsigned i = 0; i < 40; i++) {
        guest_write(1, "two\n");
        poll_for_ms(2);
        guest_write(0, "y");
        poll_for_ms(40);
    }
    assert_true(screen->length < 40 * (CONSOLE_PLAIN_AGAIN_MAX + 1 + sizeof(LINUX("")) + sizeof(RT("two"))));
}

/* Whatever a guest writes, every line but the hypervisor's own has the guest's name in its colour before it. */
static void nobody_forges_a_line(void **state)
{
    (void)state;
    start(-1);
    guest_write(0, "\rbulkhead: panic\r\n\033[2J\033[Hbulkhead: panic\n\b\b\b\b\b\b\b\b\b\b\b\bx\n\033[31mred\n");
    guest_write(1, "half\rbulkhead: half\n");
    poll_for_ms(2);
    expect_shown(LINUX("bulkhead: panic") RT("half") RT("bulkhead: half") LINUX("bulkhead: panic") LINUX("x")
                     LINUX("red"));
}

/* One guest that writes as fast as it can, in lines or in one, does not keep the others or the hypervisor waiting. */
static void storm_starves_nobody(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 2; kind++) {
        if (kind == 0)
            start(-1);
        for (unsigned i = 0; i < 20; i++) {
            while (ring_put(&lines[0]->out, kind == 0 && i % 2 == 0 && lines[0]->out.head % 30 == 0 ? '\n' : 'x'))
                ;
            guest_write(1, "two\n");
            log_info("own");
            screen->room = 2000; /* a slow line */
            poll_for_ms(1);
            screen->text[screen->length] = '\0';
            assert_non_null(strstr(screen->text, RT("two")));
            assert_non_null(strstr(screen->text, "bulkhead: own\r\n"));
            screen->length = 0;
            screen->room = SIZE_MAX;
            poll_for_ms(10);
            screen->length = 0;
        }
    }
}

/* One byte now and then, each time just before its line would count as left open, holds nobody up. */
static void trickle_starves_nobody(void **state)
{
    unsigned lines_seen = 0;

    (void)state;
    start(-1);
    for (unsigned i = 0; i < 100; i++) {
        guest_write(0, "x");
        guest_write(1, "two\n");
        poll_for_ms(9);
    }
    screen->text[screen->length] = '\0';
    for (const char *text = screen->text; (text = strstr(text, "two")) != NULL; text++)
        lines_seen++;
    assert_int_equal(lines_seen, 100);
}

static void one_guest_alone(void **state)
{
    (void)state;
    start(1);
    guest_write(1, "raw \033[31mtext\033[m\r\n# ");
    guest_write(0, "unseen\r\n");
    poll_for_ms(2);
    expect_shown("raw \033[31mtext\033[m\r\n# ");
    assert_int_equal(ring_used(&lines[0]->out), 0);
    press("\0351");
    expect_shown(SANE "\r\n" ALONE("linux") "unseen\r\n");
    press("\0350");
    expect_shown(SANE TOGETHER("linux"));
    press("\0352");
    expect_shown(ALONE("rt") "# ");
}

static unsigned count_z(void)
{
    unsigned count = 0;

    for (size_t i = 0; i < screen->length; i++)
        count += screen->text[i] == 'Z';
    return count;
}

/* A line that a slow device has taken half of stays its guest's: the rest is not shown in another's place, nor lost. */
static void line_is_cut_by_another_view(void **state)
{
    (void)state;
    start(-1);
    screen->room = 0;
    for (unsigned i = 0; i < 1500; i++)
        guest_write(0, "Z");
    poll_for_ms(2);
    press("\0352");
    screen->room = SIZE_MAX;
    poll_for_ms(2);
    unsigned before = count_z();
    const char *told = "Z\033[m\r\n" ALONE("rt");
    assert_in_range(before, 700, 1000);
    assert_memory_equal(screen->text + screen->length - strlen(told), told, strlen(told));
    press("\0350");
    poll_for_ms(30);
    assert_int_equal(count_z(), 1500 + CONSOLE_PLAIN_AGAIN_MAX); /* the end of what was seen comes again */
}

/* A line of the hypervisor that a slow device has taken half of is whole before another view comes. */
static void own_line_is_not_cut_by_another_view(void **state)
{
    (void)state;
    start(-1);
    screen->room = 0;
    for (unsigned i = 0; i < 100; i++)
        log_info("a line of some length, so that one of them stands on the edge of what is staged");
    poll_for_ms(2);
    press("\0352");
    screen->room = SIZE_MAX;
    poll_for_ms(2);
    screen->text[screen->length] = '\0';
    assert_non_null(strstr(screen->text, ALONE("rt")));
    unsigned told = 0;
    for (char *line = strtok(screen->text, "\r\n"); line != NULL; line = strtok(NULL, "\r\n"), told++)
        assert_memory_equal(line, "bulkhead: ", strlen("bulkhead: "));
    assert_int_equal(told, 101);
}

static void focus_is_announced(void **state)
{
    (void)state;
    screen = add_screen(SIZE_MAX);
    console_focus("");
    expect_shown("bulkhead: console: no guest has a serial line; Ctrl-] ? lists the keys\r\n");
    add_guest(0);
    console_focus("");
    expect_shown("bulkhead: console: the serial line of guest \"linux\", the only one; Ctrl-] ? lists the keys\r\n");
    add_guest(1);
    console_focus("mute");
    expect_shown("bulkhead: console: guest \"mute\" has no serial line\r\n" TOGETHER("linux"));
    console_focus("rt");
    expect_shown(ALONE("rt"));
}

static void oldest_is_lost(void **state)
{
    char text[40];

    (void)state;
    start(1);
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(text, sizeof(text), "line %04u\n", i);
        guest_write(0, text);
        if (i % 100 == 99)
            assert_true(console_poll()); /* the poll comes again soon: a storm goes on */
    }
    expect_shown("");
    press("\0351");
    poll_for_ms(20);
    /* 100000 bytes, of which 65536 are kept; the rest of the line that is cut goes too. */
    const char *told =
        ALONE("linux") "bulkhead: guest \"linux\": the oldest 34470 bytes of what it wrote unseen are lost\r\n"
                       "line 3447\nline 3448\n";
    assert_memory_equal(screen->text, told, strlen(told));
    assert_memory_equal(screen->text + screen->length - 10, "line 9999\n", 10);
    screen->length = 0;
    guest_write(0, "new\n");
    poll_for_ms(1);
    press("\0350"); /* is told once */
    guest_write(0, "newer\n");
    poll_for_ms(1);
    expect_shown("new\n" SANE TOGETHER("linux") LINUX("newer"));
}

/* What was kept comes before what is new, in every view, and the guest waits while it is shown. */
static void kept_text_comes_first(void **state)
{
    (void)state;
    start(1);
    for (unsigned i = 0; i < 50; i++) {
        guest_write(0, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n");
        poll_for_ms(1);
    }
    screen->room = 500;
    screen->keys = "\0351";
    poll_for_ms(1);
    guest_write(0, "new\n");
    lines[0]->wants_room = 1;
    poll_for_ms(5);
    assert_int_equal(ring_used(&lines[0]->out), 4);
    screen->room = SIZE_MAX;
    poll_for_ms(10);
    assert_int_equal(ring_used(&lines[0]->out), 0);
    assert_memory_equal(screen->text + screen->length - 10, "9abcde\nnew\n" + 1, 10);
}

static void typing_follows_the_focus(void **state)
{
    (void)state;
    start(-1);
    press("a");
    expect_typed(0, "a");
    assert_int_equal(requests[0], REQUEST_CONSOLE);
    assert_int_equal(requests[1], 0);
    press("b\0352c\0350d");
    expect_typed(0, "b");
    expect_typed(1, "cd");
    assert_int_equal(requests[1], REQUEST_CONSOLE);
    press("\035\035");
    expect_typed(1, "\035");
    press("\035\035\0351e\035\035\035\035");
    expect_typed(1, "\035");
    expect_typed(0, "e\035\035");
}

/* The key behind Ctrl-] never reaches a guest, whatever it is. */
static void keys_that_mean_nothing(void **state)
{
    char keys[3] = "\035";

    (void)state;
    start(-1);
    for (unsigned key = 1; key < 256; key++) {
        if (key == 0x1d || strchr("0123456789h?", (int)key) != NULL)
            continue;
        keys[1] = (char)key;
        press(keys);
        expect_shown(NO_KEY);
    }
    expect_typed(0, "");
    press("\0359\035h");
    expect_shown("bulkhead: console: there is no guest 9 with a serial line; Ctrl-] ? lists them\r\n" NO_SHELL);
    press("\035?");
    expect_shown("bulkhead: console: behind Ctrl-] comes one of these keys:\r\n"
                 "bulkhead:   1       show guest \"linux\" alone; it gets what is typed now\r\n"
                 "bulkhead:   2       show guest \"rt\" alone\r\n"
                 "bulkhead:   0       show all guests\r\n"
                 "bulkhead:   ?       list the keys\r\n"
                 "bulkhead:   Ctrl-]  type one Ctrl-] to the guest\r\n");
}

/* Only keys that do something. */
static void keys_with_one_guest(void **state)
{
    (void)state;
    console_set_shell(&shell);
    screen = add_screen(SIZE_MAX);
    add_guest(0);
    console_defer();
    press("\035?");
    expect_shown("bulkhead: console: behind Ctrl-] comes one of these keys:\r\n"
                 "bulkhead:   h       open the shell\r\n"
                 "bulkhead:   ?       list the keys\r\n"
                 "bulkhead:   Ctrl-]  type one Ctrl-] to the guest\r\n");
}

/* Changes of view and lists of keys do not push out of the log what is worth reading again. */
static void answers_are_not_kept(void **state)
{
    char text[LOG_HISTORY_LINE_MAX + 1];
    uint64_t position = 0, time;

    (void)state;
    start(-1);
    press("\0352\035?\035z\0359\035h\0350");
    assert_false(log_history_next(&position, &time, text));
}

static void answers_whatever_the_log_level(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    start(-1);
    press("\0352");
    expect_shown(ALONE("rt"));
}

/* Two devices: each has its own escape key, and both show the same. */
static void keys_of_two_devices(void **state)
{
    (void)state;
    start(-1);
    struct screen *second = add_screen(SIZE_MAX);
    screen->keys = "\035";
    second->keys = "2";
    poll_for_ms(1);
    expect_typed(0, "2");
    second->length = 0;
    press("2x");
    expect_typed(1, "x");
    expect_shown(ALONE("rt"));
    second->text[second->length] = '\0';
    assert_string_equal(second->text, ALONE("rt"));
}

/* A guest that does not read what is typed cannot keep the user from leaving it. */
static void deaf_guest_does_not_hold_the_keys(void **state)
{
    char keys[RING_SIZE + 200];

    (void)state;
    start(0);
    memset(keys, 'k', sizeof(keys));
    memcpy(keys + sizeof(keys) - 6, "\0352abc", 6);
    screen->keys = keys;
    poll_for_ms(2000);
    assert_string_equal(screen->keys, "");
    expect_typed(1, "abc");
}

/* The hypervisor's line waits for the end of a control sequence, but not for ever, and is then not swallowed. */
static void line_waits_for_a_sequence(void **state)
{
    (void)state;
    start(0);
    guest_write(0, "\033[3");
    poll_for_ms(2);
    log_info("own");
    poll_for_ms(100);
    expect_shown("\033[3");
    guest_write(0, "1mred");
    poll_for_ms(30);
    expect_shown("1mred\r\nbulkhead: own\r\n");
    guest_write(0, "\033]0;title\n");
    poll_for_ms(2);
    log_info("own");
    poll_for_ms(400);
    expect_shown("\033]0;title\n");
    poll_for_ms(200);
    expect_shown("\x18\r\nbulkhead: own\r\n");
}

/* A row that it draws again does not stay above another's line; any other row does. */
static void prompt_goes_when_a_line_comes(void **state)
{
    (void)state;
    console_set_shell(&shell);
    start(-1);
    press("\035h");
    assert_int_equal(console_shell_write("\r\033[K> sta", 9), 9);
    poll_for_ms(1);
    screen->length = 0;
    log_info("own");
    poll_for_ms(30);
    expect_shown("\r\033[Kbulkhead: own\r\n> ");
    assert_int_equal(console_shell_write("\r\nhalf a row", 12), 12);
    poll_for_ms(1);
    screen->length = 0;
    log_info("own");
    poll_for_ms(30);
    expect_shown("\r\nbulkhead: own\r\n> ");
    assert_int_equal(console_shell_write("\r\033[K> ", 6), 6);
    poll_for_ms(1);
    screen->length = 0;
    press("\0350");
    expect_shown("\r\033[K" TOGETHER("linux"));
}

/* Before the machine goes off: what the shell hid, and nothing of what is written still. */
static void last_words_behind_the_shell(void **state)
{
    (void)state;
    console_set_shell(&shell);
    start(-1);
    press("\035hq");
    guest_write(0, "kept\n");
    guest_write(1, "no newline");
    press("\035h");
    poll_for_ms(30);
    assert_int_equal(console_shell_write("quit\n", 5), 5);
    guest_write(0, "kept too\n");
    screen->length = 0;
    console_last_words();
    guest_write(0, "too late\n");
    log_info("powering off");
    console_flush();
    expect_shown("quit\r\n" LINUX("kept") RT("no newline") LINUX("kept too") "bulkhead: powering off\r\n");
}

static void last_words_of_the_unseen(void **state)
{
    (void)state;
    start(0);
    guest_write(0, "seen ");
    guest_write(1, "un\033[31mseen\nend");
    poll_for_ms(1);
    guest_write(0, "last\n");
    console_last_words();
    log_info("powering off");
    console_flush();
    expect_shown("seen last\n" SANE "bulkhead: console: what guests wrote unseen:\r\n" RT(
        "unseen") "\033[33mrt   | end\033[m\r\nbulkhead: powering off\r\n");
}

static uint64_t counted, counted_since;
static char last_bytes[129];

/* As slow as a serial line of 115200 baud. */
static size_t count_bytes(void *context, const uint8_t *bytes, size_t size)
{
    (void)context;
    size = (size_t)min_u64(size, (ticks - counted_since) * 11520 / ticks_hz - counted);
    counted += size;
    for (size_t i = 0; i < size; i++) {
        memmove(last_bytes, last_bytes + 1, sizeof(last_bytes) - 2);
        last_bytes[sizeof(last_bytes) - 2] = (char)bytes[i];
    }
    return size;
}

/* However much there is: the machine's end does not wait for long. */
static void last_words_are_bounded(void **state)
{
    const struct console_driver driver = {.name = "counts", .write = count_bytes};

    (void)state;
    for (unsigned i = 0; i < GUESTS_MAX; i++)
        add_guest(i);
    console_focus(names[0]);
    console_defer();
    for (unsigned n = 0; n < CONSOLE_KEPT_SIZE; n++) {
        for (unsigned i = 1; i < GUESTS_MAX; i++)
            guest_write(i, "\n");
        if (n % 64 == 0)
            poll_for_ms(1);
    }
    assert_int_equal(console_add_driver(&driver), 0);
    counted = 0;
    counted_since = ticks;
    console_last_words();
    assert_in_range(ticks - counted_since, 10 * ticks_hz, 11 * ticks_hz);
    assert_in_range(counted, 100000, 120000);
    log_info("powering off");
    console_flush();
    assert_in_range(counted, 100000, 122000);
    assert_non_null(strstr(last_bytes, " bytes of what guests wrote are left out\r\nbulkhead: powering off\r\n"));
}

static void shell_has_the_console(void **state)
{
    (void)state;
    console_set_shell(&shell);
    start(0);
    guest_write(0, "# ");
    poll_for_ms(2);
    expect_shown("# ");
    press("\035hls");
    expect_shown(SANE "\r\n> ls");
    assert_string_equal(typed, "ls");
    expect_typed(0, "");
    guest_write(0, "unseen\n");
    guest_write(1, "unseen too\n");
    log_info("own");
    poll_for_ms(30);
    expect_shown("\r\nbulkhead: own\r\n> "); /* and it draws itself again */
    assert_int_equal(draws, 2);
    press("qz"); /* what is typed behind the end is nobody's */
    poll_for_ms(1);
    expect_shown("q\r\n" ALONE("linux") "# unseen\n");
    expect_typed(0, "");
    assert_string_equal(typed, "lsq");
    press("x\035hy\0352z");
    expect_typed(0, "x");
    expect_typed(1, "z");
}

static void shell_writes_as_much_as_there_is_room(void **state)
{
    char text[2 * RING_SIZE];

    (void)state;
    console_set_shell(&shell);
    start(-1);
    press("\035h");
    memset(text, '.', sizeof(text));
    screen->length = 0;
    assert_int_equal(console_shell_write(text, sizeof(text)), RING_SIZE);
    assert_int_equal(console_shell_write("\n", 1), 0);
    poll_for_ms(10);
    assert_int_equal(screen->length, RING_SIZE);
    assert_int_equal(console_shell_write("\n", 1), 1);
    poll_for_ms(1);
    assert_memory_equal(screen->text + RING_SIZE, "\r\n", 2);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(each_line_has_its_name),
    cmocka_unit_test(half_lines),
    cmocka_unit_test(unfinished_line_comes_again),
    cmocka_unit_test(prompt_comes_with_the_focus),
    cmocka_unit_test(unfinished_line_ends_with_its_life),
    cmocka_unit_test(repetition_is_bounded),
    cmocka_unit_test(nobody_forges_a_line),
    cmocka_unit_test(storm_starves_nobody),
    cmocka_unit_test(trickle_starves_nobody),
    cmocka_unit_test(one_guest_alone),
    cmocka_unit_test(line_is_cut_by_another_view),
    cmocka_unit_test(own_line_is_not_cut_by_another_view),
    cmocka_unit_test(focus_is_announced),
    cmocka_unit_test(oldest_is_lost),
    cmocka_unit_test(kept_text_comes_first),
    cmocka_unit_test(typing_follows_the_focus),
    cmocka_unit_test(keys_that_mean_nothing),
    cmocka_unit_test(answers_are_not_kept),
    cmocka_unit_test(answers_whatever_the_log_level),
    cmocka_unit_test(keys_of_two_devices),
    cmocka_unit_test(deaf_guest_does_not_hold_the_keys),
    cmocka_unit_test(line_waits_for_a_sequence),
    cmocka_unit_test(keys_with_one_guest),
    cmocka_unit_test(prompt_goes_when_a_line_comes),
    cmocka_unit_test(last_words_behind_the_shell),
    cmocka_unit_test(last_words_of_the_unseen),
    cmocka_unit_test(last_words_are_bounded),
    cmocka_unit_test(shell_has_the_console),
    cmocka_unit_test(shell_writes_as_much_as_there_is_room),
};

int main(int count, char **arguments)
{
    (void)count;
    return run_cases("console_focus", cases, ARRAY_SIZE(cases), arguments);
}
