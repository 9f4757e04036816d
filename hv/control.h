/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a user may do with guests and with the machine. All of it on the monitor's CPU; nothing waits for a guest: what
 * takes time goes on in control_serve.
 */
#ifndef HV_CONTROL_H
#define HV_CONTROL_H

#include "hv/guest.h"
#include "hv/types.h"

/* A line of the log says what was done. Each returns NULL; or, when it makes no sense, why: text to go on behind
 * `guest "x" `. */
const char *control_pause(struct guest *guest);
const char *control_resume(struct guest *guest);
const char *control_reset(struct guest *guest);
const char *control_start(struct guest *guest);

/*
 * Press the guest's power button, and stop it hard when it does not listen, or GUEST_BUTTON_PATIENCE_NS later; or
 * `now`. A paused guest is resumed for that. A second call may make it harder.
 */
const char *control_stop(struct guest *guest, bool now);

/* Stop all guests in that way; the machine goes off behind the last. No guest is started from now on. */
void control_shutdown(bool now);

/* Was the machine's end asked for? */
bool control_shutting_down(void);

/* Do what is due. Often. */
void control_serve(void);

/* The state of a guest in a few words: "running", "paused", "powered off", "stopped by the shell", "crashed". */
const char *control_state_text(const struct guest *guest);

/* When that began; of one that runs or is asked to stop: when it was started. 0: it has not been started yet. */
uint64_t control_since_ticks(const struct guest *guest);

#endif
