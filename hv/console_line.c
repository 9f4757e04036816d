/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's serial line on the console's side. While the guest is not shown its ring is emptied into a larger one,
 * which forgets the oldest, so that it never waits for somebody to look.
 */
#include "hv/console_internal.h"

#include "hv/format.h"
#include "hv/guest.h"

#define SILENCE_MS 20u /* a guest that is silent for so long has left its line open on purpose */

struct console_line console_lines[GUESTS_MAX]; /* guest and port are constant once guests run */
uint32_t console_line_count;

struct console_port *console_attach(struct guest *guest, void (*changed)(void *context), void *context)
{
    if (console_line_count >= GUESTS_MAX)
        return NULL;
    struct console_line *line = &console_lines[console_line_count++];
    line->guest = guest;
    line->number = guest->number + 1;
    format_text(line->name, sizeof(line->name), "%s", guest->name);
    line->port.changed = changed;
    line->port.context = context;
    return &line->port;
}

void console_restart(struct console_port *port)
{
    __atomic_store_n(&port->life_begins, port->out.head, __ATOMIC_RELAXED);
}

/* NULL: it has none. */
static struct console_line *line_of(const struct guest *guest)
{
    for (uint32_t i = 0; i < console_line_count; i++) {
        if (console_lines[i].guest == guest)
            return &console_lines[i];
    }
    return NULL;
}

void console_notify(struct guest *guest)
{
    const struct console_line *line = line_of(guest);

    if (line == NULL || line->port.changed == NULL)
        return;
    guest_devices_lock(guest);
    line->port.changed(line->port.context);
    guest_devices_unlock(guest);
}

bool console_unsent(const struct guest *guest)
{
    const struct console_line *line = line_of(guest);

    return line != NULL && ring_used(&line->port.out) > 0;
}

bool console_has_line(const struct guest *guest)
{
    return line_of(guest) != NULL;
}

uint32_t console_put(struct guest *guest, const uint8_t *bytes, uint32_t size)
{
    struct console_line *line = line_of(guest);
    uint32_t taken = 0;

    if (line == NULL)
        return 0;
    guest_devices_lock(guest);
    while (taken < size && ring_put(&line->port.out, bytes[taken]))
        taken++;
    guest_devices_unlock(guest);
    return taken;
}

static uint32_t kept_used(const struct console_line *line)
{
    return line->kept_head - line->kept_tail;
}

uint32_t console_line_used(const struct console_line *line)
{
    return kept_used(line) + (line->ended ? 0 : ring_used(&line->port.out));
}

uint8_t console_line_take(struct console_line *line)
{
    uint8_t byte = 0;

    if (kept_used(line) > 0)
        byte = line->kept[line->kept_tail++ % CONSOLE_KEPT_SIZE];
    else
        (void)ring_take(&line->port.out, &byte);
    return byte;
}

/* Positions in the ring run freely: what is kept are the bytes before its tail. */
struct console_plain *console_line_plain(struct console_line *line)
{
    uint32_t position = line->port.out.tail - kept_used(line);

    if (position == __atomic_load_n(&line->port.life_begins, __ATOMIC_RELAXED))
        line->plain = (struct console_plain){0};
    return &line->plain;
}

/* The byte that would be taken as number `index`; there is one. */
static uint8_t line_peek(const struct console_line *line, uint32_t index)
{
    uint32_t kept = kept_used(line);

    if (index < kept)
        return line->kept[(line->kept_tail + index) % CONSOLE_KEPT_SIZE];
    return line->port.out.bytes[(line->port.out.tail + index - kept) % RING_SIZE];
}

uint32_t console_line_ready(struct console_line *line, uint64_t now, bool hurry)
{
    uint32_t used = console_line_used(line);
    uint32_t head = __atomic_load_n(&line->port.out.head, __ATOMIC_RELAXED);

    if (head != line->seen_head) {
        line->seen_head = head;
        line->seen_ticks = now;
    }
    for (uint32_t i = 0; i < used && i < CONSOLE_PIECE_MAX; i++) {
        if (line_peek(line, i) == '\n')
            return i + 1;
    }
    if (used >= CONSOLE_PIECE_MAX)
        return CONSOLE_PIECE_MAX;
    return hurry || now - line->seen_ticks > console_ticks_of_ms(SILENCE_MS) ? used : 0;
}

uint32_t console_line_keep(struct console_line *line)
{
    uint32_t count = ring_used(&line->port.out); /* no more, or a guest that writes without end would hold the CPU */

    for (uint32_t i = 0; i < count; i++) {
        (void)ring_take(&line->port.out, &line->kept[line->kept_head++ % CONSOLE_KEPT_SIZE]);
        if (kept_used(line) > CONSOLE_KEPT_SIZE) {
            line->kept_tail++;
            line->lost_bytes++;
        }
    }
    return count;
}

void console_line_end(struct console_line *line)
{
    (void)console_line_keep(line);
    line->ended = true;
}

uint32_t console_line_drop(struct console_line *line)
{
    uint32_t used = kept_used(line);

    line->kept_tail = line->kept_head;
    return used;
}

uint64_t console_line_take_lost(struct console_line *line)
{
    uint64_t lost = line->lost_bytes;
    uint32_t used = kept_used(line), rest = 0;

    if (lost == 0)
        return 0;
    while (rest < used && line_peek(line, rest) != '\n')
        rest++;
    if (rest < used) {
        line->kept_tail += rest + 1;
        lost += rest + 1;
    }
    line->lost_bytes = 0;
    line->plain = (struct console_plain){0};
    return lost;
}
