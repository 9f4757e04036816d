/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's console and the guests' serial lines. Every writer owns a ring; one CPU at a time (the
 * monitor CPU, or CPU 0 between exits) carries bytes between the rings and the host's device, so no guest waits for it.
 *
 * With one guest the console is its serial line, byte for byte. With several it shows either all, each line behind its
 * guest's name, or one byte for byte, and Ctrl-] and a digit choose. What a guest writes while it is not shown is kept,
 * CONSOLE_KEPT_SIZE bytes of it, and shown when its turn comes. An unfinished line (a prompt) that another's came
 * behind is begun again when its guest goes on with it, and when its guest is shown alone. Lines of the hypervisor come
 * in between in every view.
 */
#ifndef HV_CONSOLE_H
#define HV_CONSOLE_H

#include "hv/ring.h"
#include "hv/types.h"

struct guest;

/* A host device that the console writes to and reads from; drivers/host provides it. */
struct console_driver {
    const char *name; /* "com1" */
    /* Hand over up to `size` bytes without waiting. Returns how many were taken. */
    size_t (*write)(void *context, const uint8_t *bytes, size_t size);
    /* Take one received byte. Returns false when there is none. NULL for a device that only shows. */
    bool (*read)(void *context, uint8_t *byte);
    /* True when all that was taken has left the device. NULL: it leaves at once. */
    bool (*idle)(void *context);
    void *context;
};

/*
 * A guest's serial line as its UART model sees it. The model puts into `out` (a full ring means: withhold THRE)
 * and takes from `in`. `changed` is called on the guest's first CPU, with device access serialised, when
 * input has come or when room in a full `out` has come back. Lies in the console's memory, not in the guest's part of
 * the pool: whichever CPU sends the console's text reads it.
 */
struct console_port {
    struct ring out;
    struct ring in;
    uint32_t life_begins; /* where in `out`; console_restart sets it */
    uint32_t wants_room;  /* set by the model when it found `out` full; the console clears it and calls `changed` */
    void (*changed)(void *context);
    void *context;
};

/* Add a host device (at most CONSOLE_DRIVERS_MAX). Returns 0 or E_NOMEM. What was written before is kept and shown. */
#define CONSOLE_DRIVERS_MAX 4u
int console_add_driver(const struct console_driver *driver);

/* A serial line for a guest, before guests run, valid for good. Returns NULL when there are GUESTS_MAX. */
#define CONSOLE_KEPT_SIZE 65536u /* bytes that a guest wrote and nobody has seen; a power of two */
struct console_port *console_attach(struct guest *guest, void (*changed)(void *context), void *context);

/*
 * The guest starts anew: a line that it left unfinished is over. By the UART model, with device access serialised.
 */
void console_restart(struct console_port *port);

/* True when the guest has a serial line. */
bool console_has_line(const struct guest *guest);

/*
 * Send bytes on a guest's serial line beside its UART, as far as there is room. From any of its CPUs, without device
 * access serialised: this does so. Returns how many were taken; 0 without a line.
 */
uint32_t console_put(struct guest *guest, const uint8_t *bytes, uint32_t size);

/*
 * On the guest's first CPU, when it serves REQUEST_CONSOLE: calls the port's `changed`, with device access serialised.
 */
void console_notify(struct guest *guest);

/* True while the guest has written what the console has not taken over yet. On one of the guest's CPUs. */
bool console_unsent(const struct guest *guest);

/*
 * Show the guest of this name, or all ("all" or ""), and say so. Before guests run; from then on keys choose. What is
 * typed goes to the guest that was shown alone last, at first to the first one that has a serial line.
 */
void console_focus(const char *name);

/*
 * Write text of the hypervisor itself; "\n" ends a line. From any CPU. The oldest unsent text is never overwritten: a
 * text that does not fit is lost whole, and a line tells how many were. Until console_defer, waits until the text is
 * sent.
 */
void console_write(const char *text, size_t size);

/* Start-up is over: from now on console_write only queues, and console_poll sends. */
void console_defer(void);

/*
 * Carry bytes both ways without waiting. Called by the CPU that serves the console. Returns true when more is to be
 * done soon: every millisecond then, instead of every ten.
 */
bool console_poll(void);

/* Send everything, until it has left the devices, waiting as long as it takes (bounded): before power-off and in a
 * panic. */
void console_flush(void);

/*
 * The machine's end, when no guest runs any more: show what the present view has kept (what the shell hid, too), then
 * what other guests wrote unseen, behind their names. Bounded: no guest is listened to any more, and what is too much
 * is left out, which a line says.
 */
void console_last_words(void);

/*
 * The calling CPU panics: it alone writes from now on, at once and past any lock that it or another CPU holds.
 * Returns false when another CPU did so before; this one then has nothing to say.
 */
bool console_panic(void);

/*
 * What Ctrl-] h opens. While the shell is open it gets what is typed, what guests write is kept, and lines of the
 * hypervisor come as always. Called by console_poll at its end, on its CPU.
 */
struct console_shell {
    void (*draw)(void);         /* write the prompt and the unfinished line: it was opened, or lines came in between */
    void (*byte)(uint8_t byte); /* typed */
};

/* Before guests run. `shell` stays valid for good. */
void console_set_shell(const struct console_shell *shell);

/*
 * Both on the CPU that polls. Write text of the shell, without a prefix. Returns how many bytes were taken. A row that
 * begins with a return is one that `draw` writes again: when a line of another comes it is erased and not left above.
 */
size_t console_shell_write(const char *text, size_t size);

/* Give the console back to what was shown before. */
void console_shell_close(void);

/* Has the shell the console? A key may take it away at any time. On the CPU that polls. */
bool console_shell_is_open(void);

#endif
