/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The console against scripted devices with one guest: what is shown, in which order, and what happens when a device is
 * slow or dead.
 */
#include <stdio.h>

#include "hv/error.h"
#include "tests/unit/fake_console.h"

static void early_log(void **state)
{
    (void)state;
    log_info("first %d", 1);
    log_debug("not shown");
    log_set_level(LOG_DEBUG);
    log_debug("shown");
    struct screen *screen = add_screen(SIZE_MAX);
    assert_string_equal(screen->text, "bulkhead: first 1\r\nbulkhead: shown\r\n");
    log_info("more");
    struct screen *second = add_screen(SIZE_MAX);
    assert_string_equal(screen->text, "bulkhead: first 1\r\nbulkhead: shown\r\nbulkhead: more\r\n");
    assert_string_equal(second->text, screen->text);
    log_error("end");
    assert_string_equal(second->text, screen->text);
    assert_non_null(strstr(second->text, "bulkhead: end\r\n"));
}

static void line_is_cut_and_cleaned(void **state)
{
    (void)state;
    struct screen *screen = add_screen(SIZE_MAX);
    char longer[3000];

    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    log_info("%s", longer);
    assert_int_equal(screen->length, strlen("bulkhead: \r\n") + 1000);
    screen->length = 0;
    memset(screen->text, 0, sizeof(screen->text));
    log_info("a\nbulkhead: \033[2J\177");
    assert_string_equal(screen->text, "bulkhead: a?bulkhead: ?[2J?\r\n");
}

static void guest_bytes_unchanged(void **state)
{
    (void)state;
    struct screen *screen = add_screen(SIZE_MAX);
    char all[257];

    add_guest(0);
    console_defer();
    for (unsigned i = 0; i < 256; i++)
        assert_true(ring_put(&lines[0]->out, (uint8_t)(255 - i)));
    assert_false(console_poll());
    for (unsigned i = 0; i < 256; i++)
        all[i] = (char)(255 - i);
    assert_int_equal(screen->length, 256);
    assert_memory_equal(screen->text, all, 256);
}

static void line_of_guest_is_not_torn(void **state)
{
    (void)state;
    struct screen *screen = add_screen(SIZE_MAX);

    add_guest(0);
    console_defer();
    guest_write(0, "[ 0.1] half");
    poll_for_ms(1);
    log_info("message");
    poll_for_ms(5); /* the guest is about to go on */
    guest_write(0, " a line\r\n# ");
    poll_for_ms(1);
    assert_string_equal(screen->text, "[ 0.1] half a line\r\nbulkhead: message\r\n# ");
    poll_for_ms(100);
    log_info("at the prompt");
    poll_for_ms(1);
    assert_string_equal(screen->text, "[ 0.1] half a line\r\nbulkhead: message\r\n# \r\nbulkhead: at the prompt\r\n");
}

static void endless_line_is_broken_in_the_end(void **state)
{
    (void)state;
    struct screen *screen = add_screen(SIZE_MAX);

    add_guest(0);
    console_defer();
    for (unsigned i = 0; i < 600; i++) {
        guest_write(0, "z");
        if (i == 10)
            log_info("hello");
        poll_for_ms(1);
        if (i == 400)
            assert_null(strstr(screen->text, "bulkhead"));
    }
    assert_non_null(strstr(screen->text, "z\r\nbulkhead: hello\r\nz"));
}

static void slow_device_holds_back(void **state)
{
    (void)state;
    struct screen *screen = add_screen(0);
    unsigned written = 0;

    add_guest(0);
    console_defer();
    for (;;) {
        while (ring_put(&lines[0]->out, (uint8_t)('a' + written % 26)))
            written++;
        lines[0]->wants_room = 1;
        if (!console_poll() || ring_free(&lines[0]->out) == 0)
            break;
    }
    assert_true(written >= RING_SIZE);
    assert_true(console_unsent(&guests[0]));
    assert_true(console_unsent(&guests[0]));
    assert_int_equal(requests[0], 0);
    for (unsigned i = 0; i < RING_SIZE; i++) {
        screen->room = 1;
        assert_true(console_poll());
    }
    assert_int_equal(requests[0], REQUEST_CONSOLE);
    assert_int_equal(lines[0]->wants_room, 0);
    screen->room = SIZE_MAX;
    poll_for_ms(10);
    assert_false(console_unsent(&guests[0]));
    assert_false(console_unsent(&guests[1])); /* which has no line */
    assert_int_equal(screen->length, written);
    for (unsigned i = 0; i < written; i++)
        assert_int_equal(screen->text[i], 'a' + i % 26);
}

static void dead_device_is_left_behind(void **state)
{
    (void)state;
    struct screen *dead = add_screen(0), *alive = add_screen(SIZE_MAX);

    add_guest(0);
    console_defer();
    for (unsigned i = 0; i < 3000; i++) {
        (void)ring_put(&lines[0]->out, (uint8_t)('0' + i % 10));
        poll_for_ms(1);
    }
    assert_int_equal(alive->length, 3000);
    assert_false(console_poll());
    dead->room = SIZE_MAX; /* back to life: it shows the newest that is kept */
    guest_write(0, "end");
    poll_for_ms(1);
    assert_true(dead->length >= 1000);
    assert_string_equal(dead->text + dead->length - 5, "89end");
}

static void flush_is_bounded(void **state)
{
    (void)state;
    struct screen *screen = add_screen(0);

    log_info("nobody takes this");
    log_info("nor this"); /* returns at once: the device is known to be dead */
    assert_int_equal(screen->length, 0);
    screen->room = SIZE_MAX;
    log_info("now");
    assert_string_equal(screen->text, "bulkhead: nobody takes this\r\nbulkhead: nor this\r\nbulkhead: now\r\n");
}

static void newest_is_lost(void **state)
{
    (void)state;
    struct screen *screen = add_screen(0);
    unsigned count = 0, seen = 0;

    console_defer();
    for (unsigned i = 0; i < 10000; i++)
        log_info("line %u", i);
    screen->room = SIZE_MAX;
    poll_for_ms(50);
    for (const char *text = screen->text; (text = strstr(text, "bulkhead: line ")) != NULL; text++) {
        assert_int_equal(atoi(text + strlen("bulkhead: line ")), seen);
        seen++;
    }
    assert_in_range(seen, 1000, 9000);
    log_info("after");
    poll_for_ms(1);
    assert_int_equal(sscanf(strstr(screen->text, " messages") - 5, "%u", &count), 1);
    assert_int_equal(count, 10000 - seen);
    assert_string_equal(screen->text + screen->length - 17, "bulkhead: after\r\n");
}

/* A byte that has no room waits, and behind it the device; a guest that does not read at all loses what is typed. */
static void input(void **state)
{
    (void)state;
    struct screen *screen = add_screen(SIZE_MAX);
    uint8_t byte;
    char keys[RING_SIZE + 100];

    screen->keys = "lost";
    console_defer();
    (void)console_poll();
    add_guest(0);
    screen->keys = "ls\r";
    (void)console_poll();
    assert_int_equal(requests[0], REQUEST_CONSOLE);
    assert_int_equal(ring_used(&lines[0]->in), 3);
    assert_true(ring_take(&lines[0]->in, &byte));
    assert_int_equal(byte, 'l');
    for (size_t i = 0; i < sizeof(keys) - 1; i++)
        keys[i] = (char)('a' + i % 26);
    keys[sizeof(keys) - 1] = '\0';
    screen->keys = keys;
    poll_for_ms(500);
    assert_int_equal(ring_used(&lines[0]->in), RING_SIZE);
    assert_int_equal(strlen(screen->keys), sizeof(keys) - 1 - (RING_SIZE - 2) - 1); /* and one waits */
    for (unsigned i = 0; i < 10; i++)
        assert_true(ring_take(&lines[0]->in, &byte));
    poll_for_ms(500);
    assert_int_equal(lines[0]->in.bytes[(lines[0]->in.head - 1) % RING_SIZE], 'a' + (RING_SIZE - 2 + 9) % 26);
    poll_for_ms(1200);
    assert_string_equal(screen->keys, "");
    assert_int_equal(ring_used(&lines[0]->in), RING_SIZE);
    while (ring_take(&lines[0]->in, &byte))
        ;
    screen->keys = "x";
    poll_for_ms(1);
    assert_true(ring_take(&lines[0]->in, &byte));
    assert_int_equal(byte, 'x');
}

static unsigned changes;
static void count_change(void *context)
{
    assert_ptr_equal(context, &changes);
    changes++;
}

static void notify(void **state)
{
    (void)state;
    add_guest(0);
    add_guest(1);
    lines[1]->changed = count_change;
    lines[1]->context = &changes;
    console_notify(&guests[0]);
    assert_int_equal(changes, 0);
    console_notify(&guests[1]);
    assert_int_equal(changes, 1);
}

/* A panic in the middle of everything, from where the serving role is held; it never returns there. */
static jmp_buf after_panic;

static size_t panicking_write(void *context, const uint8_t *bytes, size_t size)
{
    static bool inside;

    if (inside)
        return screen_write(context, bytes, size);
    inside = true;
    assert_true(console_panic());
    assert_true(console_panic());
    log_error("the end");
    cpu = 2;
    assert_false(console_panic());
    log_error("of another");
    (void)console_poll();
    longjmp(after_panic, 1);
}

static void panic(void **state)
{
    (void)state;
    struct console_driver driver = {"test", panicking_write, NULL, NULL, &screens[0]};

    screens[0].room = SIZE_MAX;
    console_defer();
    add_guest(0);
    assert_int_equal(console_add_driver(&driver), 0);
    guest_write(0, "# ");
    if (setjmp(after_panic) == 0)
        (void)console_poll();
    assert_string_equal(screens[0].text, "# \r\nbulkhead: the end\r\n");
}

static void tables_are_full(void **state)
{
    (void)state;
    struct console_driver driver = {"test", screen_write, NULL, NULL, &screens[0]};

    for (unsigned i = 0; i < CONSOLE_DRIVERS_MAX; i++)
        assert_int_equal(console_add_driver(&driver), 0);
    assert_int_equal(console_add_driver(&driver), E_NOMEM);
    for (unsigned i = 0; i < GUESTS_MAX; i++)
        add_guest(i);
    assert_null(console_attach(&guests[0], NULL, NULL));
}

static void flood_does_not_hold_the_poll(void **state)
{
    (void)state;
    add_guest(0); /* no device at all: a guest that writes for ever must not keep us */
    console_defer();
    for (unsigned i = 0; i < 100; i++) {
        while (ring_put(&lines[0]->out, 'x'))
            ;
        (void)console_poll();
        assert_true(ring_free(&lines[0]->out) > 0);
    }
}

/* What a device has taken may still be on its way: power-off must not cut it. */
static void flush_waits_for_the_wire(void **state)
{
    (void)state;
    struct screen *screen = add_screen(1000);
    screen->busy = 50;
    console_write("last words\n", 11);
    console_flush();
    assert_int_equal(screen->busy, 0);
}

/* The first messages are out before the clock's frequency is known; a UART takes them piece by piece. */
static void flush_waits_without_a_clock(void **state)
{
    (void)state;
    ticks_hz = 0;
    slow = add_screen(16);
    log_error("not started by a loader that this knows, and that has to be told");
    assert_string_equal(slow->text, "bulkhead: not started by a loader that this knows, and that has to be told\r\n");
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(early_log),
    cmocka_unit_test(line_is_cut_and_cleaned),
    cmocka_unit_test(guest_bytes_unchanged),
    cmocka_unit_test(line_of_guest_is_not_torn),
    cmocka_unit_test(endless_line_is_broken_in_the_end),
    cmocka_unit_test(slow_device_holds_back),
    cmocka_unit_test(dead_device_is_left_behind),
    cmocka_unit_test(flush_is_bounded),
    cmocka_unit_test(newest_is_lost),
    cmocka_unit_test(input),
    cmocka_unit_test(notify),
    cmocka_unit_test(panic),
    cmocka_unit_test(tables_are_full),
    cmocka_unit_test(flood_does_not_hold_the_poll),
    cmocka_unit_test(flush_waits_for_the_wire),
    cmocka_unit_test(flush_waits_without_a_clock),
};

int main(int count, char **arguments)
{
    (void)count;
    return run_cases("console", cases, ARRAY_SIZE(cases), arguments);
}
