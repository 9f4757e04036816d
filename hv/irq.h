/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt wiring of one guest. Devices set lines; controllers (8259 pair, IOAPIC) listen; the local APICs take
 * messages and tell the run loop which vector a vCPU should see. hv owns these contracts, drivers/virtual implements
 * them.
 */
#ifndef HV_IRQ_H
#define HV_IRQ_H

#include "hv/types.h"

struct guest;
struct vcpu;
struct irq_message;

#define IRQ_LINES 24u /* ISA IRQs 0-15 by their ISA number; 16-23 are further IOAPIC pins */
#define IRQ_NONE  (-1)

/* ISA IRQ 0 (the 8254) is wired to IOAPIC pin 2, as in the MADT override that vacpi writes. */
#define IRQ_PIT      0u
#define IRQ_KEYBOARD 1u
#define IRQ_COM1     4u
#define IRQ_RTC      8u
#define IRQ_SCI      9u

/* Told of every change of a line's level. */
struct irq_listener {
    void (*line_changed)(void *context, unsigned line, bool level);
    void *context;
};

#define IRQ_LISTENERS_MAX 2u

struct irq_router {
    struct irq_listener listeners[IRQ_LISTENERS_MAX];
    uint32_t listener_count;
    uint32_t levels; /* bit per line */
    /* An EOI of a level-triggered vector on any local APIC. Set by the IOAPIC model. */
    void (*eoi)(void *context, uint8_t vector);
    void *eoi_context;
    /* A message from the IOAPIC, an MSI or an IPI: set by the local APIC model. */
    void (*send)(void *context, const struct irq_message *message);
    void *send_context;
    /* The 8259 pair, behind local APICs that take ExtINT: set by the 8259 model. */
    bool pic_output; /* INTR, the wire between them; atomic: each guest entry looks at it, without a lock */
    int (*pic_pending)(void *context); /* the vector an INTA cycle would give now, without side effects, or IRQ_NONE */
    int (*pic_acknowledge)(void *context); /* the INTA cycle: its vector (a spurious one too) */
    void *pic_context;
};

/* One interrupt message. Intel SDM vol. 3, "Advanced Programmable Interrupt Controller (APIC)": ICR and IOAPIC RTE. */
enum irq_delivery {
    IRQ_FIXED = 0,
    IRQ_LOWEST_PRIORITY = 1,
    IRQ_SMI = 2,
    IRQ_NMI = 4,
    IRQ_INIT = 5,
    IRQ_STARTUP = 6,
    IRQ_EXTINT = 7,
};

enum irq_shorthand {
    IRQ_TO_DESTINATION = 0,
    IRQ_TO_SELF = 1,
    IRQ_TO_ALL = 2,
    IRQ_TO_OTHERS = 3,
};

struct irq_message {
    uint32_t destination; /* APIC id, or logical set; 8 bits from xAPIC, IOAPIC and MSI, 32 from x2APIC */
    uint8_t vector;
    enum irq_delivery delivery;
    enum irq_shorthand shorthand;
    bool logical;          /* destination mode */
    bool wide_destination; /* 32-bit destination: broadcast is 0xffffffff, not 0xff */
    bool level;            /* trigger mode: level, so EOI is reported */
    bool deassert;         /* INIT level de-assert: ignored by modern local APICs */
    struct vcpu *sender;   /* NULL unless an IPI */
};

/*
 * A vCPU's local APIC, as the run loop and the MSR and CR8 policy see it. All run on the vCPU's own CPU.
 */
struct vcpu_irq_ops {
    /* Highest vector that TPR and ISR let through now, or, for ExtINT, the 8259's; IRQ_NONE when there is none. No side
     * effects. */
    int (*pending)(struct vcpu *vcpu);
    /* The vector of `pending`, now taken: IRR to ISR, or the 8259's INTA. IRQ_NONE when it has gone. */
    int (*acknowledge)(struct vcpu *vcpu);
    /* Class (1-15) of the highest request that only the TPR holds back, else 0: the backend exits when TPR falls below.
     */
    unsigned (*blocked_by_tpr)(struct vcpu *vcpu);
    /* IA32_APIC_BASE, IA32_TSC_DEADLINE and the x2APIC range 0x800-0x8ff. E_INVAL means #GP. */
    int (*msr_read)(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
    int (*msr_write)(struct vcpu *vcpu, uint32_t msr, uint64_t value);
    /* After an INIT: local APIC registers as INIT leaves them (id and APIC_BASE stay). */
    void (*init_reset)(struct vcpu *vcpu);
};

/* Add a listener. Returns 0 or E_NOMEM. */
int irq_listen(struct guest *guest, void (*line_changed)(void *context, unsigned line, bool level), void *context);

/* Set the level of a line (< IRQ_LINES). An edge is a raise followed by a lower. */
void irq_set(struct guest *guest, unsigned line, bool level);

/* Send a message to the guest's local APICs; dropped when it has none. */
void irq_send(struct guest *guest, const struct irq_message *message);

/* Report an EOI of a level-triggered vector to the IOAPIC. */
void irq_eoi(struct guest *guest, uint8_t vector);

#endif
