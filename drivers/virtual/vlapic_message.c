/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt messages: who is meant, and what a local APIC does with one. Any CPU of the guest may send, so a target is
 * only touched through its atomic words and vcpu_request.
 */
#include "drivers/virtual/vlapic_state.h"
#include "hv/guest.h"
#include "hv/machine.h"

#define COMMAND_LEVEL_ASSERT  BIT(14)
#define COMMAND_TRIGGER_LEVEL BIT(15)

#define BROADCAST_8  0xffu
#define BROADCAST_32 0xffffffffu

#define DFR_FLAT    0xfu
#define DFR_CLUSTER 0x0u

/*
 * TMR before IRR: whoever sees the request sees how it was triggered. On the vCPU's own CPU no request bit is needed:
 * the run loop asks for what is pending after every handler and timer, before it enters or sleeps; a set bit would only
 * send it around once more.
 */
static void accept(struct vlapic *lapic, uint8_t vector, bool level)
{
    unsigned word = vector / 32;
    uint32_t bit = UINT32_C(1) << vector % 32;

    if (level)
        __atomic_fetch_or(&lapic->tmr[word], bit, __ATOMIC_RELAXED);
    else if ((__atomic_load_n(&lapic->tmr[word], __ATOMIC_RELAXED) & bit) != 0)
        __atomic_fetch_and(&lapic->tmr[word], ~bit, __ATOMIC_RELAXED);
    __atomic_fetch_or(&lapic->irr[word], bit, __ATOMIC_SEQ_CST);
    __atomic_fetch_or(&lapic->irr_words, UINT32_C(1) << word, __ATOMIC_SEQ_CST);
    if (lapic->vcpu->cpu != machine_cpu())
        vcpu_request(lapic->vcpu, REQUEST_EVENT);
}

void vlapic_raise_local(struct vlapic *lapic, enum vlapic_lvt entry)
{
    uint32_t value = __atomic_load_n(&lapic->lvt[entry], __ATOMIC_RELAXED);
    uint8_t vector = (uint8_t)value;

    if ((value & LVT_MASKED) != 0)
        return;
    if (LVT_DELIVERY(value) == IRQ_NMI) {
        vcpu_request(lapic->vcpu, REQUEST_NMI);
    } else if (LVT_DELIVERY(value) == IRQ_FIXED) {
        if (vector >= VLAPIC_VECTOR_FIRST)
            accept(lapic, vector, false);
        else if (entry == LVT_ERROR) /* cannot announce itself */
            __atomic_fetch_or(&lapic->errors_new, ESR_RECEIVE_ILLEGAL_VECTOR, __ATOMIC_RELAXED);
        else
            vlapic_raise_error(lapic, ESR_RECEIVE_ILLEGAL_VECTOR);
    }
}

void vlapic_raise_error(struct vlapic *lapic, uint32_t errors)
{
    uint32_t before = __atomic_fetch_or(&lapic->errors_new, errors, __ATOMIC_RELAXED);

    if ((errors & ~before) != 0)
        vlapic_raise_local(lapic, LVT_ERROR);
}

/*
 * The x2APIC logical id: 16 processors a cluster. It follows from the id. "Logical Destination Mode in x2APIC Mode". An
 * 8-bit logical destination (IOAPIC, MSI) then names processors of cluster 0.
 */
static bool logical_matches(const struct vlapic *lapic, uint32_t destination)
{
    if (vlapic_is_x2apic(lapic)) {
        uint32_t number = lapic->vcpu->number;
        return destination >> 16 == number >> 4 && (destination & 1u << (number & 0xf)) != 0;
    }
    uint32_t own = __atomic_load_n(&lapic->ldr, __ATOMIC_RELAXED) >> 24;
    switch (__atomic_load_n(&lapic->dfr, __ATOMIC_RELAXED) >> 28) {
    case DFR_FLAT: return destination <= BROADCAST_8 && (destination & own) != 0;
    case DFR_CLUSTER: return destination >> 4 == own >> 4 && (destination & own & 0xf) != 0;
    default: return false;
    }
}

static bool is_target(const struct vlapic *lapic, const struct irq_message *message)
{
    uint32_t broadcast = message->wide_destination ? BROADCAST_32 : BROADCAST_8;

    if (!vlapic_enabled(lapic))
        return false;
    switch (message->shorthand) {
    case IRQ_TO_SELF: return lapic->vcpu == message->sender;
    case IRQ_TO_ALL: return true;
    case IRQ_TO_OTHERS: return lapic->vcpu != message->sender;
    case IRQ_TO_DESTINATION: break;
    }
    if (message->destination == broadcast)
        return true;
    if (message->logical)
        return logical_matches(lapic, message->destination);
    return message->destination == lapic->vcpu->number;
}

static void deliver_vector(struct vlapic *lapic, const struct irq_message *message)
{
    if (message->vector < VLAPIC_VECTOR_FIRST)
        vlapic_raise_error(lapic, ESR_RECEIVE_ILLEGAL_VECTOR);
    else if (vlapic_software_enabled(lapic))
        accept(lapic, message->vector, message->level);
}

/*
 * SMI: there is no system-management mode. ExtINT: the 8259's INTR comes over LINT0 alone, so a message that says "ask
 * the 8259" has nothing behind it.
 */
static void deliver(struct vlapic *lapic, const struct irq_message *message)
{
    struct vcpu *vcpu = lapic->vcpu;

    switch (message->delivery) {
    case IRQ_FIXED:
    case IRQ_LOWEST_PRIORITY: deliver_vector(lapic, message); break;
    case IRQ_NMI: vcpu_request(vcpu, REQUEST_NMI); break;
    case IRQ_INIT:
        if (message->deassert) /* these processors ignore it */
            break;
        /* A start-up message that came before is for the processor before it. */
        __atomic_fetch_and(&vcpu->requests, ~(uint32_t)REQUEST_STARTUP, __ATOMIC_SEQ_CST);
        vcpu_request(vcpu, REQUEST_INIT);
        break;
    case IRQ_STARTUP:
        /* The first one counts. */
        if ((__atomic_load_n(&vcpu->requests, __ATOMIC_ACQUIRE) & REQUEST_STARTUP) != 0)
            break;
        __atomic_store_n(&vcpu->startup_vector, message->vector, __ATOMIC_RELAXED);
        vcpu_request(vcpu, REQUEST_STARTUP);
        break;
    case IRQ_SMI:
    case IRQ_EXTINT: break;
    }
}

/*
 * Lowest priority: the processor with the least urgent work takes it, by TPR alone as chip sets do that see no more; a
 * processor whose local APIC is off in software cannot. Equals take turns. The TPR of a vCPU inside its guest may be
 * that of its last exit.
 */
static void deliver_lowest(struct vlapic_state *state, const struct irq_message *message)
{
    uint32_t count = state->guest->vcpu_count;
    uint32_t start = count > 1 ? __atomic_fetch_add(&state->turn, 1, __ATOMIC_RELAXED) % count : 0;
    struct vlapic *best = NULL;
    unsigned best_tpr = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct vlapic *lapic = &state->cpus[(start + i) % count];
        unsigned tpr = __atomic_load_n(&lapic->vcpu->tpr, __ATOMIC_RELAXED);
        if (!is_target(lapic, message) || !vlapic_software_enabled(lapic) || (best != NULL && tpr >= best_tpr))
            continue;
        best = lapic;
        best_tpr = tpr;
    }
    if (best != NULL)
        deliver(best, message);
}

void vlapic_send(void *context, const struct irq_message *message)
{
    struct vlapic_state *state = context;

    if (message->delivery == IRQ_LOWEST_PRIORITY) {
        deliver_lowest(state, message);
        return;
    }
    for (uint32_t i = 0; i < state->guest->vcpu_count; i++) {
        if (is_target(&state->cpus[i], message))
            deliver(&state->cpus[i], message);
    }
}

/*
 * Which commands exist: "Valid Combinations for the Pentium 4 and Intel Xeon Processors' Local xAPIC ICR". What else a
 * guest may write is dropped.
 */
static bool command_is_valid(const struct irq_message *message)
{
    bool includes_self = message->shorthand == IRQ_TO_SELF || message->shorthand == IRQ_TO_ALL;

    switch ((unsigned)message->delivery) {
    case IRQ_FIXED:
    case IRQ_LOWEST_PRIORITY:
    case IRQ_NMI: return true;
    case IRQ_INIT:
    case IRQ_STARTUP: return !includes_self;
    default: return false;
    }
}

void vlapic_send_command(struct vlapic *lapic, uint32_t command, uint32_t destination)
{
    const struct irq_message message = {
        .destination = destination,
        .vector = (uint8_t)command,
        .delivery = (enum irq_delivery)(command >> 8 & 7),
        .shorthand = (enum irq_shorthand)(command >> 18 & 3),
        .logical = (command >> 11 & 1) != 0,
        .wide_destination = vlapic_is_x2apic(lapic),
        .level = false, /* the trigger mode means something for INIT only */
        .deassert = (command & COMMAND_TRIGGER_LEVEL) != 0 && (command & COMMAND_LEVEL_ASSERT) == 0,
        .sender = lapic->vcpu,
    };

    if (!command_is_valid(&message))
        return;
    if (message.delivery <= IRQ_LOWEST_PRIORITY && message.vector < VLAPIC_VECTOR_FIRST) {
        vlapic_raise_error(lapic, ESR_SEND_ILLEGAL_VECTOR);
        return;
    }
    vlapic_send(lapic->state, &message);
}
