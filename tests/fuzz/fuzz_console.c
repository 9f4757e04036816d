/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The console between three guests that write anything and a user who types anything, on a device that takes bytes at
 * any pace. Half of the inputs stay with the view of all guests; there each line on the screen must be the hypervisor's
 * or begin with the name of its guest, and nothing but plain characters may follow. The console's state outlasts an
 * input, so each ends with everything shown and the keys released.
 */
#include <stdlib.h>
#include <string.h>

#include "hv/console.h"
#include "hv/log.h"
#include "tests/unit/fake.h"

#define GUESTS 3u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct guest guests[GUESTS];
static struct vcpu vcpus[GUESTS];
static struct console_port *lines[GUESTS];
static const char *const names[GUESTS] = {"a", "linux", "rt"};
static const char *const starts[] = {"\033[36ma    | ", "\033[33mlinux| ", "\033[32mrt   | ", "bulkhead: "};

static size_t room;
static const uint8_t *keys;
static size_t key_count;
static bool only_all; /* no key that leaves the view of all guests comes through */
static bool behind_escape;

static char line[4096]; /* what the screen shows of the line that is being written */
static size_t line_size;

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* Cut off the end of a line; the start of one that is not complete may not be there yet. */
static void check_line(bool complete)
{
    const char *text = line;

    line[line_size] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
        size_t size = strlen(starts[i]);
        if (line_size < size && !complete && strncmp(line, starts[i], line_size) == 0)
            return;
        if (strncmp(line, starts[i], size) == 0)
            text = line + size;
    }
    check(text != line);
    bool own = *line == 'b';
    while ((*text >= ' ' && *text <= '~') || (*text == '\b' && !own))
        text++;
    check(!complete || strcmp(text, own ? "\r" : "\033[m\r") == 0);
}

static void show(char character)
{
    check(line_size < sizeof(line) - 1);
    if (character == '\n') {
        check_line(true);
        line_size = 0;
    } else {
        line[line_size++] = character;
    }
}

static size_t screen_write(void *context, const uint8_t *bytes, size_t size)
{
    (void)context;
    size = min_u64(size, room);
    room -= size;
    for (size_t i = 0; i < size && only_all; i++)
        show((char)bytes[i]);
    return size;
}

static bool screen_read(void *context, uint8_t *byte)
{
    (void)context;
    if (key_count == 0)
        return false;
    *byte = *keys++;
    key_count--;
    if (only_all && behind_escape && *byte != '?' && *byte != 0x1d)
        *byte = '0';
    behind_escape = !behind_escape && *byte == 0x1d;
    return true;
}

static void draw(void)
{
    (void)console_shell_write("> ", 2);
}

static void take_byte(uint8_t byte)
{
    (void)console_shell_write((const char *)&byte, 1);
    if (byte == 4)
        console_shell_close();
}

static void start(void)
{
    static const struct console_driver driver = {"test", screen_write, screen_read, NULL, NULL};
    static const struct console_shell shell = {draw, take_byte};

    console_set_shell(&shell);
    for (uint32_t i = 0; i < GUESTS; i++) {
        guests[i].number = i;
        guests[i].name = names[i];
        guests[i].vcpus[0] = &vcpus[i];
        guests[i].vcpu_count = 1;
        vcpus[i].guest = &guests[i];
        lines[i] = console_attach(&guests[i], NULL, NULL);
    }
    console_defer();
    (void)console_add_driver(&driver);
}

static void poll(void)
{
    if (only_all &&
        room == 0) /* never for so long that it counts as dead: then its lines would have lost their start */
        room = 1;
    (void)console_poll();
    for (uint32_t i = 0; i < GUESTS; i++)
        check(ring_used(&lines[i]->out) <= RING_SIZE && ring_used(&lines[i]->in) <= RING_SIZE);
    fake_machine.ticks += FAKE_TICKS_HZ / 1000;
}

/* Type these and let everything be shown: it must come to an end. */
static void settle(const char *typed)
{
    unsigned polls = 0;

    keys = (const uint8_t *)typed;
    key_count = strlen(typed);
    room = SIZE_MAX;
    do {
        check(++polls < 5000);
        poll();
    } while (key_count > 0 || console_poll() || polls < 3);
}

static void guests_read(void)
{
    uint8_t byte;

    for (uint32_t i = 0; i < GUESTS; i++) {
        while (ring_take(&lines[i]->in, &byte))
            ;
    }
}

/* The next `size` bytes of the input do what `action` says. */
static void step(uint8_t action, const uint8_t *data, size_t size)
{
    switch (action & 7) {
    case 0:
    case 1:
    case 2:
        for (size_t i = 0; i < size; i++)
            (void)ring_put(&lines[action & 7]->out, data[i]);
        break;
    case 3:
        keys = data;
        key_count = size;
        break;
    case 4: room = size * size; break;
    case 5: log_info("own %zu", size); break;
    case 6: fake_machine.ticks += size * (FAKE_TICKS_HZ / 100); break;
    default: guests_read(); break;
    }
    poll();
    key_count = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (lines[0] == NULL)
        start();
    only_all = false;
    settle("x\0350"); /* whatever was pressed last: a plain byte, then the view of all guests */
    settle("\0350");  /* and once more at the end of what was left to show: its answer ends a line */
    line_size = 0;
    behind_escape = false;
    only_all = size > 0 && (data[0] & 0x80) != 0;
    while (size > 2) {
        size_t piece = min_u64(data[1], size - 2);
        step(data[0], data + 2, piece);
        data += 2 + piece;
        size -= 2 + piece;
    }
    settle("");
    if (only_all)
        check_line(false);
    guests_read();
    return 0;
}
