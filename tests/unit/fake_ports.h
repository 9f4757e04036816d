/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Port accesses as a guest's vCPU 0 makes them, and what models with ports need beside fake_calls.h.
 * To be included by the one file of a test.
 */
#ifndef TESTS_UNIT_FAKE_PORTS_H
#define TESTS_UNIT_FAKE_PORTS_H

#include "hv/console.h"
#include "hv/guest.h"
#include "tests/unit/fake.h"
#include "tests/unit/fake_calls.h"

/* The registry is not under test, but where a test links the real one and says so. */
#ifndef FAKE_PORTS_REAL_REGISTRY
const struct device_ops *const device_registry[] = {NULL};
#endif

/* The line that the UART got last. */
static struct console_port *fake_console_port __attribute__((unused));

struct console_port *console_attach(struct guest *guest, void (*changed)(void *context), void *context)
{
    static struct console_port line;

    (void)guest;
    line = (struct console_port){.changed = changed, .context = context};
    fake_console_port = &line;
    return &line;
}

static inline uint8_t port_in(struct guest *guest, uint16_t port)
{
    return (uint8_t)bus_read(&guest->ports, guest->vcpus[0], port, 1);
}

static inline void port_out(struct guest *guest, uint16_t port, unsigned value)
{
    bus_write(&guest->ports, guest->vcpus[0], port, 1, value);
}

static inline bool line_level(const struct guest *guest, unsigned line)
{
    return (guest->irq.levels >> line & 1) != 0;
}

#endif
