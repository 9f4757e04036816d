/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The focus: whose output is shown, and who gets what is typed. One escape key is the hypervisor's always, on every
 * device; no guest can keep it from the user by not reading its input.
 */
#include "hv/console_internal.h"

#include "hv/guest.h"
#include "hv/log.h"
#include "hv/string.h"
#include "hv/vcpu.h"

#define KEY_ESCAPE 0x1du /* Ctrl-] */
#define NOBODY     GUESTS_MAX

#define INPUT_PATIENCE_MS 1000u /* a guest that takes nothing for so long loses what is typed */

static bool all = true;     /* when there are several lines */
static uint32_t focus_line; /* gets what is typed; shown alone unless `all` */
static bool shell_open;
static uint32_t typed_lines; /* bit i: line i got something */

enum console_view console_view(void)
{
    if (shell_open)
        return CONSOLE_VIEW_SHELL;
    return all && console_line_count > 1 ? CONSOLE_VIEW_ALL : CONSOLE_VIEW_GUEST;
}

uint32_t console_view_line(void)
{
    return focus_line;
}

bool console_line_shown(uint32_t line)
{
    return console_view() == CONSOLE_VIEW_ALL || (console_view() == CONSOLE_VIEW_GUEST && line == focus_line);
}

/* ---- What the user is told ---- */

static void tell_view(void)
{
    if (console_line_count == 0)
        log_answer("console: no guest has a serial line; Ctrl-] ? lists the keys");
    else if (console_line_count == 1)
        log_answer("console: the serial line of guest \"%s\", the only one; Ctrl-] ? lists the keys",
                   console_lines[0].name);
    else if (all)
        log_answer("console: all guests; what is typed goes to guest \"%s\"; Ctrl-] ? lists the keys",
                   console_lines[focus_line].name);
    else
        log_answer("console: guest \"%s\" alone; Ctrl-] 0 shows all, Ctrl-] ? lists the keys",
                   console_lines[focus_line].name);
}

static void tell_lost(void)
{
    for (uint32_t i = 0; i < console_line_count; i++) {
        uint64_t lost = console_line_shown(i) ? console_line_take_lost(&console_lines[i]) : 0;
        if (lost > 0)
            log_error("guest \"%s\": the oldest %lu bytes of what it wrote unseen are lost", console_lines[i].name,
                      lost);
    }
}

static void tell_keys(void)
{
    log_answer("console: behind Ctrl-] comes one of these keys:");
    for (uint32_t i = 0; i < console_line_count && console_line_count > 1; i++)
        log_answer("  %u       show guest \"%s\" alone%s", console_lines[i].number, console_lines[i].name,
                   i == focus_line ? "; it gets what is typed now" : "");
    if (console_line_count > 1)
        log_answer("  0       show all guests");
    if (console_shell_exists())
        log_answer("  h       open the shell");
    log_answer("  ?       list the keys");
    if (console_line_count > 0)
        log_answer("  Ctrl-]  type one Ctrl-] to the guest");
}

/* ---- Another view ---- */

static void view(bool new_all, uint32_t line)
{
    shell_open = false;
    all = new_all;
    focus_line = line;
    console_view_changed();
}

static void open_shell(void)
{
    if (!console_shell_exists()) {
        log_answer("console: this version has no shell");
        return;
    }
    shell_open = true;
    console_view_changed();
    console_shell_begin();
}

bool console_shell_is_open(void)
{
    return shell_open && !console_shell_ended();
}

void console_follow_shell(void)
{
    if (!shell_open || !console_shell_ended() || console_shell_used() > 0) /* its last words first */
        return;
    view(all, focus_line);
    tell_view();
    tell_lost();
}

bool console_take_from_shell(void)
{
    if (!shell_open)
        return false;
    view(all, focus_line);
    tell_lost();
    return true;
}

bool console_show_unseen(void)
{
    bool unseen = false;

    for (uint32_t i = 0; i < console_line_count; i++)
        unseen = unseen || (!console_line_shown(i) && console_line_used(&console_lines[i]) > 0);
    if (!unseen)
        return false;
    view(true, focus_line);
    log_answer("console: what guests wrote unseen:");
    tell_lost();
    return true;
}

bool console_leave_out_rest(void)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < console_line_count; i++)
        bytes += console_line_drop(&console_lines[i]);
    console_view_changed(); /* no piece goes on that was dropped */
    if (bytes > 0)
        log_answer("console: the last %lu bytes of what guests wrote are left out", bytes);
    return bytes > 0;
}

static uint32_t line_of_key(uint8_t key)
{
    for (uint32_t i = 0; i < console_line_count; i++) {
        if (console_lines[i].number == (uint32_t)key - '0')
            return i;
    }
    return NOBODY;
}

static void select_guest(uint8_t key)
{
    uint32_t line = key == '0' ? focus_line : line_of_key(key);

    if (line == NOBODY) {
        log_answer("console: there is no guest %u with a serial line; Ctrl-] ? lists them", (unsigned)key - '0');
        return;
    }
    view(key == '0', line);
    tell_view();
    tell_lost();
}

void console_focus(const char *name)
{
    bool one = *name != '\0' && strcmp(name, "all") != 0, found = false;

    for (uint32_t i = 0; i < console_line_count && one && !found; i++) {
        found = strcmp(name, console_lines[i].name) == 0;
        if (found)
            view(false, i);
    }
    if (one && !found)
        log_error("console: guest \"%s\" has no serial line", name);
    tell_view();
}

/* ---- What is typed ---- */

static void command(uint8_t key)
{
    if (key >= '0' && key <= '9')
        select_guest(key);
    else if (key == 'h')
        open_shell();
    else if (key == '?')
        tell_keys();
    else
        log_answer("console: that key means nothing behind Ctrl-]; Ctrl-] ? lists the keys");
}

/* A guest that reads slowly gets everything; one that does not read must not stop the next escape key. */
static bool type(struct console_keys *keys, uint8_t byte, uint64_t now)
{
    if (shell_open) {
        console_shell_put(byte);
        return true;
    }
    if (console_line_count == 0)
        return true;
    if (ring_put(&console_lines[focus_line].port.in, byte)) {
        typed_lines |= 1u << focus_line;
        keys->input_full = false;
        return true;
    }
    if (!keys->input_full) {
        keys->input_full = true;
        keys->input_full_ticks = now;
    }
    return now - keys->input_full_ticks > console_ticks_of_ms(INPUT_PATIENCE_MS);
}

bool console_key(struct console_keys *keys, uint8_t byte, uint64_t now)
{
    bool behind_escape = keys->escape, is_escape = byte == KEY_ESCAPE;

    if (behind_escape == is_escape && !type(keys, byte, now)) /* a plain byte, or the escape key for the second time */
        return false;
    keys->escape = is_escape && !behind_escape;
    if (behind_escape && !is_escape)
        command(byte);
    return true;
}

void console_tell_typed(void)
{
    for (uint32_t i = 0; i < console_line_count; i++) {
        if ((typed_lines >> i & 1) != 0)
            vcpu_request(console_lines[i].guest->vcpus[0], REQUEST_CONSOLE);
    }
    typed_lines = 0;
}
