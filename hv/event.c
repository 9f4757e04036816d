/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What to deliver to a vCPU next. Order as in Intel SDM vol. 3, "Prioritization of Concurrent Events": what was being
 * delivered, an exception that an emulated instruction raised, NMI, interrupt.
 */
#include "hv/event.h"

#include "hv/guest.h"
#include "hv/vcpu.h"

#define CR0_PE    BIT(0)
#define RFLAGS_IF BIT(9)

/* Intel SDM vol. 3, "Interrupt 8—Double Fault Exception (#DF)", table "Interrupt and Exception Classes". */
enum exception_class {
    CLASS_BENIGN,
    CLASS_CONTRIBUTORY,
    CLASS_PAGE_FAULT,
    CLASS_DOUBLE_FAULT,
};

static enum exception_class class_of(uint8_t vector)
{
    switch (vector) {
    case VECTOR_DE:
    case VECTOR_TS:
    case VECTOR_NP:
    case VECTOR_SS:
    case VECTOR_GP:
    case VECTOR_CP: return CLASS_CONTRIBUTORY;
    case VECTOR_PF: return CLASS_PAGE_FAULT;
    case VECTOR_DF: return CLASS_DOUBLE_FAULT;
    default: return CLASS_BENIGN;
    }
}

static bool has_error_code(uint8_t vector)
{
    return vector == VECTOR_DF || (vector >= VECTOR_TS && vector <= VECTOR_PF) || vector == VECTOR_AC ||
           vector == VECTOR_CP;
}

static void set_exception(struct vcpu *vcpu, uint8_t vector, uint32_t error_code)
{
    vcpu->events.exception = (struct event){
        .type = EVENT_EXCEPTION,
        .vector = vector,
        /* Real mode pushes none. */
        .has_error_code = has_error_code(vector) && (vcpu_read(vcpu, VCPU_CR0) & CR0_PE) != 0,
        .error_code = error_code,
    };
}

void event_triple_fault(struct vcpu *vcpu)
{
    guest_crash(vcpu, "triple fault: it could not take a double fault");
}

void event_raise_error(struct vcpu *vcpu, enum vector vector, uint32_t error_code)
{
    struct event *earlier = &vcpu->events.interrupted;
    enum exception_class first = CLASS_BENIGN, second = class_of((uint8_t)vector);

    /* An exception raised before is the first one as well: an instruction raises only one, so the second came of
     * delivering it. */
    if (vcpu->events.exception.type != EVENT_NONE)
        earlier = &vcpu->events.exception;
    if (earlier->type == EVENT_EXCEPTION)
        first = class_of(earlier->vector);
    if (first == CLASS_DOUBLE_FAULT && second != CLASS_BENIGN) {
        event_triple_fault(vcpu);
        return;
    }
    /*
     * The delivery of an interrupted exception, or of an INT instruction, is given up: it becomes #DF, or its
     * instruction does it again. An interrupt or NMI has left its controller: it stays, and follows.
     */
    if (earlier->type != EVENT_INTERRUPT && earlier->type != EVENT_NMI)
        earlier->type = EVENT_NONE;
    if ((first == CLASS_CONTRIBUTORY && second == CLASS_CONTRIBUTORY) ||
        (first == CLASS_PAGE_FAULT && second != CLASS_BENIGN))
        set_exception(vcpu, VECTOR_DF, 0);
    else
        set_exception(vcpu, (uint8_t)vector, error_code);
}

void event_raise(struct vcpu *vcpu, enum vector vector)
{
    event_raise_error(vcpu, vector, 0);
}

void event_raise_page_fault(struct vcpu *vcpu, gva_t address, uint32_t error_code)
{
    vcpu_write(vcpu, VCPU_CR2, address);
    event_raise_error(vcpu, VECTOR_PF, error_code);
}

static bool interrupts_open(struct vcpu *vcpu, const struct virt_blocking *blocking)
{
    return (vcpu_read(vcpu, VCPU_RFLAGS) & RFLAGS_IF) != 0 && !blocking->shadow_sti && !blocking->shadow_mov_ss;
}

static void set_window(struct vcpu *vcpu, enum virt_window window, bool *state, bool on)
{
    /* An NMI window may have to be asked for again at each step of its way (see the backend). */
    if (*state != on || (on && window == WINDOW_NMI)) {
        *state = on;
        virt->window(vcpu, window, on);
    }
}

/* Give the backend what has to go first, whatever the guest's flags say. Returns true when it did. */
static bool deliver_unconditional(struct vcpu *vcpu, const struct virt_blocking *blocking)
{
    struct event_state *events = &vcpu->events;

    if (events->exception.type != EVENT_NONE) {
        virt->inject(vcpu, &events->exception);
        events->exception.type = EVENT_NONE;
        return true;
    }
    switch (events->interrupted.type) {
    case EVENT_NONE: return false;
    case EVENT_SOFTWARE_INTERRUPT:
    case EVENT_SOFTWARE_EXCEPTION:
        /* RIP still points at the INT instruction, which will do it again. */
        events->interrupted.type = EVENT_NONE;
        return false;
    case EVENT_INTERRUPT:
        if (!interrupts_open(vcpu, blocking))
            return false;
        break;
    default: break;
    }
    virt->inject(vcpu, &events->interrupted);
    events->interrupted.type = EVENT_NONE;
    return true;
}

static bool deliver_interrupt(struct vcpu *vcpu)
{
    int vector = vcpu->irq->acknowledge(vcpu);

    if (vector == IRQ_NONE)
        return false;
    const struct event event = {.type = EVENT_INTERRUPT, .vector = (uint8_t)vector};
    virt->inject(vcpu, &event);
    vcpu->stats.interrupts++;
    return true;
}

/*
 * Something is there: look at what blocks it, inject one, and watch for the rest. Returns true when an interrupt still
 * waits: one whose delivery was interrupted, or the controller's next.
 */
static __attribute__((noinline)) bool deliver_slowly(struct vcpu *vcpu)
{
    struct event_state *events = &vcpu->events;
    struct virt_blocking blocking;
    bool injected;

    virt->read_blocking(vcpu, &blocking);
    injected = deliver_unconditional(vcpu, &blocking);
    if (vcpu->pending_nmis > 0 && !injected && !blocking.nmi && !blocking.shadow_mov_ss && !blocking.shadow_sti) {
        const struct event nmi = {.type = EVENT_NMI, .vector = VECTOR_NMI};
        virt->inject(vcpu, &nmi);
        vcpu->pending_nmis--;
        vcpu->stats.interrupts++;
        injected = true;
    }
    if (!injected && interrupts_open(vcpu, &blocking) && vcpu->irq->pending(vcpu) != IRQ_NONE)
        (void)deliver_interrupt(vcpu);
    set_window(vcpu, WINDOW_NMI, &events->nmi_window, vcpu->pending_nmis > 0);
    return events->interrupted.type == EVENT_INTERRUPT || vcpu->irq->pending(vcpu) != IRQ_NONE;
}

void event_deliver(struct vcpu *vcpu)
{
    struct event_state *events = &vcpu->events;
    bool waits = vcpu->irq->pending(vcpu) != IRQ_NONE;

    if (waits || events->exception.type != EVENT_NONE || events->interrupted.type != EVENT_NONE ||
        vcpu->pending_nmis > 0)
        waits = deliver_slowly(vcpu);
    set_window(vcpu, WINDOW_INTERRUPT, &events->interrupt_window, waits);
    /* Class 0 holds nothing back. */
    unsigned threshold = vcpu->tpr >> 4 == 0 ? 0 : vcpu->irq->blocked_by_tpr(vcpu);
    if (threshold != events->tpr_threshold) {
        events->tpr_threshold = (uint8_t)threshold;
        virt->tpr_threshold(vcpu, threshold);
    }
}

bool event_would_wake(struct vcpu *vcpu)
{
    struct virt_blocking blocking;

    if (vcpu->events.exception.type != EVENT_NONE || vcpu->events.interrupted.type != EVENT_NONE)
        return true;
    if (vcpu->pending_nmis > 0) {
        /* HLT in an NMI handler sleeps on: the next NMI waits for its IRET. */
        virt->read_blocking(vcpu, &blocking);
        if (!blocking.nmi)
            return true;
    }
    return (vcpu_read(vcpu, VCPU_RFLAGS) & RFLAGS_IF) != 0 && vcpu->irq->pending(vcpu) != IRQ_NONE;
}

void event_reset(struct vcpu *vcpu)
{
    vcpu->events = (struct event_state){0};
    vcpu->pending_nmis = 0;
    /* The backend's windows go with the control block's reset (vcpu_load_state). */
}
