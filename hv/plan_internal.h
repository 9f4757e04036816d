/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the planner share; for plan*.c and inventory.c only.
 */
#ifndef HV_PLAN_INTERNAL_H
#define HV_PLAN_INTERNAL_H

#include "hv/plan.h"

struct planner {
    const char *file;
    const struct config *config;
    const struct plan_machine *machine;
    struct plan *plan;
    struct diagnostics *diagnostics;
};

/* Report an error about a guest, at `position`. */
void plan_error(const struct planner *planner, const struct guest_config *guest, struct config_position position,
                const char *format, ...) PRINTF_LIKE(4, 5);

/* Find a place for all guests' memory; fills pieces, ram and free of the plan. */
void plan_memory(const struct planner *planner);

/* Is the node of that memory range named by no range before it? So each node can be visited once. */
bool plan_node_is_new(const struct plan_machine *machine, uint32_t range);

/* What of `free` is memory of one node; its ranges may end within a page. */
void plan_node_free(const struct plan_machine *machine, const struct extents *free, uint32_t node,
                    struct extents *near);

/* The end of a range, cut where addresses end. */
static inline uint64_t range_end(uint64_t base, uint64_t size)
{
    return size > UINT64_MAX - base ? UINT64_MAX : base + size;
}

/* A size for a message: whole GiB or MiB, else KiB. `plan_room_text` is for free memory: from 1 MiB on whole MiB only,
 * rounded down. */
struct plan_text {
    char text[56];
};
struct plan_text plan_size_text(uint64_t bytes);
struct plan_text plan_room_text(uint64_t bytes);

/* Who gets the lines of a description. */
struct line_writer {
    void (*line)(void *context, const char *text);
    void *context;
};

/* Write one line of printable ASCII, cut at 199 characters. */
void write_line(const struct line_writer *writer, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
