/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the console's files. All of it belongs to the CPU that serves the console at the moment: what a guest's CPUs
 * reach of a line are the two rings of its port.
 */
#ifndef HV_CONSOLE_INTERNAL_H
#define HV_CONSOLE_INTERNAL_H

#include "hv/config.h"
#include "hv/console.h"
#include "hv/console_plain.h"
#include "hv/types.h"

/* ---- console_line.c: what a guest wrote, as one stream: what was kept of it, then its ring ---- */

struct console_line {
    struct guest *guest; /* which not every CPU that sends text can reach: hence the copies */
    uint32_t number;     /* 1 to GUESTS_MAX, as a user types it */
    char name[CONFIG_NAME_MAX + 1];
    struct console_port port;
    uint8_t kept[CONSOLE_KEPT_SIZE];
    uint32_t kept_head, kept_tail;
    uint64_t lost_bytes;        /* the oldest of what was kept */
    bool ended;                 /* nothing is taken out of port.out any more */
    struct console_plain plain; /* fed by whoever takes a byte, in every view */
    uint32_t seen_head;         /* of port.out, when last looked at */
    uint64_t seen_ticks;
};

extern struct console_line console_lines[GUESTS_MAX];
extern uint32_t console_line_count;

/* Bytes to show, and the next one of them (only when there is one). */
uint32_t console_line_used(const struct console_line *line);
uint8_t console_line_take(struct console_line *line);

/* The guest's text up to the last byte taken, with nothing from before its latest start. */
struct console_plain *console_line_plain(struct console_line *line);

/*
 * How many bytes should be shown at once: up to the end of a line; CONSOLE_PIECE_MAX of a long one; all there are when
 * the guest has been silent since, which leaves a line open on purpose (a prompt), or when there is a `hurry`. 0: wait.
 */
#define CONSOLE_PIECE_MAX 256u
uint32_t console_line_ready(struct console_line *line, uint64_t now, bool hurry);

/* Move the ring into what is kept. Returns the number of bytes. */
uint32_t console_line_keep(struct console_line *line);

/* Nothing that the guest writes from now on is shown. */
void console_line_end(struct console_line *line);

/* Forget what is to be shown. Returns the number of bytes. */
uint32_t console_line_drop(struct console_line *line);

/* What is kept is about to be shown: drop the rest of a line whose start is lost. Returns the bytes lost since last
 * asked. */
uint64_t console_line_take_lost(struct console_line *line);

/* ---- console_focus.c: who is shown, and what is typed ---- */

enum console_view {
    CONSOLE_VIEW_ALL,   /* each guest's lines behind its name */
    CONSOLE_VIEW_GUEST, /* one guest's, byte for byte */
    CONSOLE_VIEW_SHELL,
};
enum console_view console_view(void);

/* The guest's line that CONSOLE_VIEW_GUEST shows. */
uint32_t console_view_line(void);

/* True when a line is to be shown, false when it is to be kept. */
bool console_line_shown(uint32_t line);

/* Back to the guests when the shell has given the console back. */
void console_follow_shell(void);

/* The last steps of the console, in this order: each returns true when there is something to be shown for it. */
bool console_take_from_shell(void); /* back to the guests, whatever the shell does */
bool console_show_unseen(void);     /* all guests, when one that is not shown has written something */
bool console_leave_out_rest(void);  /* what is still not shown is forgotten */

/* A device's place in what is typed there. */
struct console_keys {
    bool escape;     /* the escape key was the last */
    bool input_full; /* since input_full_ticks the guest takes nothing */
    uint64_t input_full_ticks;
};

/* Take a typed byte. Returns false when its guest has no room for it yet: ask again with the same byte. */
bool console_key(struct console_keys *keys, uint8_t byte, uint64_t now);

/* Tell the guests that got something since the last call. */
void console_tell_typed(void);

/* ---- console_shell.c: the two directions of the shell ---- */

bool console_shell_exists(void);
void console_shell_begin(void);       /* it has the console from now on */
bool console_shell_ended(void);       /* it gave the console back since it began */
void console_shell_put(uint8_t byte); /* typed; a byte too many is lost */
uint32_t console_shell_used(void);    /* bytes it wrote, to be shown */
uint8_t console_shell_take(void);

/* Another's line is to stand where it drew. Returns true when it draws that row again, so that the row may go. */
bool console_shell_disturbed(void);

/* On the CPU that polls, without the serving role: the shell draws itself and takes what was typed. */
void console_shell_run(void);

/* ---- console_compose.c: whose byte is shown next ---- */

/* Stage what is to be shown, as far as there is room. Returns the number of bytes that the writers gave. */
uint32_t console_compose(uint64_t now, bool hurry);

/* True when something is to be shown. */
bool console_compose_remains(void);

/* Another view, or none of a guest's bytes is to be shown any more: leave the terminal as a new view expects it. */
void console_view_changed(void);

/* ---- console.c: the hypervisor's own text, and the staged stream ---- */

uint32_t console_own_used(void);
uint8_t console_own_take(void);
uint32_t console_stage_room(void);
void console_stage(uint8_t byte);
uint64_t console_ticks_of_ms(uint64_t ms);

#endif
