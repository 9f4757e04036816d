/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is typed waits in a ring, what is printed in a buffer; in between one command at a time works, a few steps a
 * call, as long as there is room for what a step may print.
 */
#include "hv/shell_internal.h"

#include "hv/console.h"
#include "hv/control.h"
#include "hv/format.h"
#include "hv/ring.h"
#include "hv/string.h"

#define OUT_SIZE  16384u
#define STEPS_MAX 16u /* of one call */

#define KEY_CANCEL 0x03u /* Ctrl-C */

static void put(const char *text, size_t size);

static const struct config *config;
static const struct plan *plan;
static const struct plan_machine *machine;

/* All of the monitor's CPU alone. */
static struct shell_line line = {.prompt = "bulkhead> ", .write = put, .word = shell_word};
static struct ring typed;
static char out[OUT_SIZE];
static uint32_t out_used;
static struct shell_job job;
static bool open, working, leaving;

const struct config *shell_config(void)
{
    return config;
}

const struct plan *shell_plan(void)
{
    return plan;
}

const struct plan_machine *shell_machine(void)
{
    return machine;
}

/* ---- Output ---- */

/* There is room: a step is only taken then. */
static void put(const char *text, size_t size)
{
    size = min_u64(size, OUT_SIZE - out_used);
    memcpy(out + out_used, text, size);
    out_used += (uint32_t)size;
}

static bool has_room(void)
{
    return OUT_SIZE - out_used >= SHELL_STEP_MAX;
}

static void flush(void)
{
    uint32_t taken = (uint32_t)console_shell_write(out, out_used);

    memmove(out, out + taken, out_used - taken);
    out_used -= taken;
}

/* How much of a text stands in one row: up to the last blank that leaves it narrow enough, or a part of a long word. */
static size_t row_length(const char *text, size_t length, size_t columns)
{
    if (length <= columns)
        return length;
    for (size_t i = columns; i > 0; i--) {
        if (text[i] == ' ')
            return i;
    }
    return columns;
}

void shell_print(const char *format, ...)
{
    static const char indent[] = "    ";
    char text[SHELL_STEP_MAX / 2];
    va_list arguments;
    size_t columns = SHELL_COLUMNS;

    va_start(arguments, format);
    size_t left = min_u64(format_text_v(text, sizeof(text), format, arguments), sizeof(text) - 1);
    va_end(arguments);
    const char *at = text;
    do {
        size_t size = row_length(at, left, columns);
        put(at, size);
        put("\r\n", 2);
        at += size;
        left -= size;
        if (left > 0 && *at == ' ') {
            at++;
            left--;
        }
        if (left > 0)
            put(indent, sizeof(indent) - 1);
        columns = SHELL_COLUMNS - (sizeof(indent) - 1);
    } while (left > 0);
}

void shell_clear(void)
{
    put("\033[H\033[2J", 7);
}

void shell_leave(void)
{
    leaving = true;
}

/* ---- Input ---- */

static void end_work(void)
{
    working = false;
    if (!leaving && !control_shutting_down())
        shell_line_begin(&line);
}

/* A key is taken: part of a line, or a line for a command. */
static void take_key(uint8_t byte)
{
    switch (shell_line_byte(&line, byte)) {
    case SHELL_LINE_EDITED: break;
    case SHELL_LINE_CANCELLED: shell_line_begin(&line); break;
    case SHELL_LINE_ENDED:
        put("\r\n", 2);
        shell_leave();
        break;
    case SHELL_LINE_ENTERED:
        working = shell_parse(line.text, &job);
        if (!working)
            shell_line_begin(&line);
        break;
    }
}

/* One step of the work at hand. Returns false when there is none, or nothing to do for the moment. */
static bool take_step(void)
{
    uint8_t byte;

    if (working && job.command->until_key && job.option && ring_take(&typed, &byte)) {
        bool of_enter = byte == '\n' && line.behind_return; /* a terminal that sends both */
        shell_line_pass(&line, byte);
        if (!of_enter)
            end_work();
        return true;
    }
    if (!working) {
        if (!ring_take(&typed, &byte))
            return false;
        take_key(byte);
        return true;
    }
    enum shell_progress progress = job.command->run(&job);
    job.step++;
    if (progress == SHELL_DONE)
        end_work();
    return progress != SHELL_WAIT;
}

/* ---- The console's side ---- */

/* Called when it opens, and when another's lines stand where it wrote. */
static void draw(void)
{
    if (!open) {
        open = true;
        shell_print("The shell of Bulkhead: \"help\" lists the commands, \"quit\" or Ctrl-D leaves.");
        shell_line_begin(&line);
    } else if (!working && !leaving) {
        shell_line_draw(&line);
    }
}

/* Ctrl-C is heard while a command works or waits; with it goes what was typed ahead. */
static void take_byte(uint8_t byte)
{
    uint8_t ahead;

    if (byte == KEY_CANCEL && working) {
        while (ring_take(&typed, &ahead))
            ;
        shell_print("^C");
        end_work();
        return;
    }
    (void)ring_put(&typed, byte);
}

static void forget(void)
{
    uint8_t byte;

    while (ring_take(&typed, &byte))
        ;
    out_used = 0;
    open = working = leaving = false;
}

void shell_init(const struct config *new_config, const struct plan *new_plan, const struct plan_machine *new_machine)
{
    static const struct console_shell shell = {.draw = draw, .byte = take_byte};

    config = new_config;
    plan = new_plan;
    machine = new_machine;
    console_set_shell(&shell);
}

bool shell_is_open(void)
{
    return open;
}

bool shell_serve(void)
{
    bool more = true;

    if (!console_shell_is_open()) {
        forget();
        return false;
    }
    if (!open)
        return false;
    for (unsigned i = 0; i < STEPS_MAX && more; i++)
        more = has_room() && !leaving && take_step();
    flush();
    if ((leaving || control_shutting_down()) && out_used == 0 && !working) {
        console_shell_close();
        forget();
    }
    return out_used > 0 || more;
}
