/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt wiring of one guest: from device lines to the controllers that listen.
 */
#include "hv/irq.h"

#include "hv/error.h"
#include "hv/guest.h"

int irq_listen(struct guest *guest, void (*line_changed)(void *context, unsigned line, bool level), void *context)
{
    struct irq_router *irq = &guest->irq;

    if (irq->listener_count == IRQ_LISTENERS_MAX)
        return E_NOMEM;
    irq->listeners[irq->listener_count].line_changed = line_changed;
    irq->listeners[irq->listener_count].context = context;
    irq->listener_count++;
    return 0;
}

void irq_set(struct guest *guest, unsigned line, bool level)
{
    struct irq_router *irq = &guest->irq;

    if (line >= IRQ_LINES || ((irq->levels >> line & 1) != 0) == level)
        return;
    irq->levels ^= 1u << line;
    for (uint32_t i = 0; i < irq->listener_count; i++)
        irq->listeners[i].line_changed(irq->listeners[i].context, line, level);
}

void irq_send(struct guest *guest, const struct irq_message *message)
{
    if (guest->irq.send != NULL)
        guest->irq.send(guest->irq.send_context, message);
}

void irq_eoi(struct guest *guest, uint8_t vector)
{
    if (guest->irq.eoi != NULL)
        guest->irq.eoi(guest->irq.eoi_context, vector);
}
