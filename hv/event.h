/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What to deliver to a vCPU next: an interrupted delivery first, then an exception, NMI, interrupt. Once for both
 * vendors.
 */
#ifndef HV_EVENT_H
#define HV_EVENT_H

#include "hv/types.h"
#include "hv/virt.h"

struct vcpu;

struct event_state {
    struct event interrupted; /* was being delivered when the exit came: set by the backend's run */
    struct event exception;   /* raised by a handler, not delivered yet */
    bool nmi_window;          /* the backend watches for the window */
    bool interrupt_window;
    uint8_t tpr_threshold;
};

/*
 * Raise an exception in the guest: #UD, #GP(0), ... Composes #DF, or a triple fault, with what was being
 * delivered. Intel SDM vol. 3, "Interrupt 8—Double Fault Exception (#DF)".
 */
void event_raise(struct vcpu *vcpu, enum vector vector);
void event_raise_error(struct vcpu *vcpu, enum vector vector, uint32_t error_code);
void event_raise_page_fault(struct vcpu *vcpu, gva_t address, uint32_t error_code);

/*
 * A fault came in the delivery of a double fault: a PC's processor shuts down, and the board resets it. Here it is a
 * crash: a kernel that means to restart has better ways, and one that dies should be heard. AMD APM vol. 2, "#DF—Double
 * Fault".
 */
void event_triple_fault(struct vcpu *vcpu);

/* Before each entry: inject, or ask for a window. */
void event_deliver(struct vcpu *vcpu);

/* True when a halted vCPU has something to wake it. */
bool event_would_wake(struct vcpu *vcpu);

/* Forget everything: vCPU reset. */
void event_reset(struct vcpu *vcpu);

#endif
