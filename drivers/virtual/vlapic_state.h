/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the local APIC model share: its state and the functions between them. Only what stands first in
 * a struct vlapic is written by other CPUs, atomically; everything else belongs to the vCPU's own CPU.
 * Intel SDM vol. 3, "Advanced Programmable Interrupt Controller (APIC)".
 */
#ifndef DRIVERS_VIRTUAL_VLAPIC_STATE_H
#define DRIVERS_VIRTUAL_VLAPIC_STATE_H

#include "hv/irq.h"
#include "hv/timer.h"
#include "hv/types.h"

struct guest;
struct vcpu;

#define VLAPIC_VECTOR_WORDS 8u
#define VLAPIC_VECTOR_FIRST 16u /* the vectors below are not legal in messages */

/* IA32_APIC_BASE */
#define VLAPIC_MSR_BASE     0x1bu
#define VLAPIC_MSR_DEADLINE 0x6e0u
#define VLAPIC_MSR_X2APIC   0x800u
#define VLAPIC_BASE_BSP     BIT(8)
#define VLAPIC_BASE_EXTD    BIT(10)
#define VLAPIC_BASE_EN      BIT(11)

/* Offsets of the registers in the xAPIC page; an x2APIC MSR is 0x800 + offset / 16. "Local APIC Register Address Map".
 */
enum vlapic_register {
    VLAPIC_ID = 0x20,
    VLAPIC_VERSION_REGISTER = 0x30,
    VLAPIC_TPR = 0x80,
    VLAPIC_APR = 0x90,
    VLAPIC_PPR = 0xa0,
    VLAPIC_EOI = 0xb0,
    VLAPIC_RRD = 0xc0,
    VLAPIC_LDR = 0xd0,
    VLAPIC_DFR = 0xe0,
    VLAPIC_SVR = 0xf0,
    VLAPIC_ISR = 0x100,
    VLAPIC_TMR = 0x180,
    VLAPIC_IRR = 0x200,
    VLAPIC_ESR = 0x280,
    VLAPIC_ICR_LOW = 0x300,
    VLAPIC_ICR_HIGH = 0x310,
    VLAPIC_LVT_FIRST = 0x320,
    VLAPIC_LVT_LAST = 0x370,
    VLAPIC_INITIAL_COUNT = 0x380,
    VLAPIC_CURRENT_COUNT = 0x390,
    VLAPIC_DIVIDE = 0x3e0,
    VLAPIC_SELF_IPI = 0x3f0,
};

/* The local vector table, in the order of its registers. */
enum vlapic_lvt {
    LVT_TIMER,
    LVT_THERMAL,
    LVT_PERFORMANCE,
    LVT_LINT0,
    LVT_LINT1,
    LVT_ERROR,
    LVT_COUNT,
};
#define LVT_MASKED            BIT(16)
#define LVT_DELIVERY(value)   (((value) >> 8) & 7u)
#define LVT_TIMER_MODE(value) (((value) >> 17) & 3u)
#define LVT_DELIVERY_NMI      (IRQ_NMI << 8)
#define LVT_DELIVERY_EXTINT   (IRQ_EXTINT << 8)

enum vlapic_timer_mode {
    TIMER_ONE_SHOT = 0,
    TIMER_PERIODIC = 1,
    TIMER_DEADLINE = 2,
};

#define SVR_ENABLED BIT(8)
#define SVR_RESET   0xffu

/* Error status register. "Error Handling", figure "Error Status Register (ESR)". */
#define ESR_SEND_ILLEGAL_VECTOR    BIT(5)
#define ESR_RECEIVE_ILLEGAL_VECTOR BIT(6)
#define ESR_ILLEGAL_REGISTER       BIT(7)

struct vlapic {
    /* A bit for each word of irr that may hold a request: zero means that there is nothing to deliver. */
    uint32_t irr_words;
    uint32_t errors_new; /* errors since the last write to the ESR */
    uint32_t irr[VLAPIC_VECTOR_WORDS];
    uint32_t tmr[VLAPIC_VECTOR_WORDS];

    /* Written on the vCPU's CPU only, `base`, `svr`, `ldr` and `dfr` read by senders too. */
    ALIGNED(64) struct vcpu *vcpu; /* constant */
    struct vlapic_state *state;
    uint64_t base; /* IA32_APIC_BASE */
    uint32_t svr;
    uint32_t ldr;
    uint32_t dfr;
    bool takes_extint; /* the 8259's INTR reaches this processor now */
    uint32_t isr_words;
    uint32_t isr[VLAPIC_VECTOR_WORDS];
    uint32_t errors; /* the ESR as it reads */
    uint32_t icr_low;
    uint32_t icr_high;
    uint32_t lvt[LVT_COUNT];

    /* The timer: counts of VLAPIC_TIMER_HZ since `started_ticks`; see vlapic_timer.c. */
    struct timer timer;
    bool counting;
    uint32_t initial_count;
    uint32_t divide;
    uint64_t started_ticks;
    uint64_t first_units;  /* the first expiry, after started_ticks */
    uint64_t period_units; /* from one to the next */
    uint64_t deadline;     /* IA32_TSC_DEADLINE, in the guest's TSC; 0 is off */
};

struct vlapic_state {
    struct vlapic cpus[GUEST_CPUS_MAX];
    struct guest *guest;
    uint32_t turn; /* breaks ties of lowest-priority delivery; atomic */
    bool x2apic_offered;
    uint32_t base_move_told; /* atomic */
};

static inline bool vlapic_enabled(const struct vlapic *lapic)
{
    return (__atomic_load_n(&lapic->base, __ATOMIC_RELAXED) & VLAPIC_BASE_EN) != 0;
}

static inline bool vlapic_is_x2apic(const struct vlapic *lapic)
{
    return (__atomic_load_n(&lapic->base, __ATOMIC_RELAXED) & VLAPIC_BASE_EXTD) != 0;
}

static inline bool vlapic_software_enabled(const struct vlapic *lapic)
{
    return (__atomic_load_n(&lapic->svr, __ATOMIC_RELAXED) & SVR_ENABLED) != 0;
}

/* vlapic.c */

/* TPR or interrupt in service, whichever is higher. "Task and Processor Priorities". */
uint32_t vlapic_processor_priority(const struct vlapic *lapic);

/* End of the highest interrupt in service; the IOAPIC hears of a level-triggered one. With device access serialised. */
void vlapic_end_interrupt(struct vlapic *lapic);

/* Find out anew whether the 8259's INTR reaches the processor: after APIC_BASE, SVR or LINT0 has changed. */
void vlapic_update_extint(struct vlapic *lapic);

/* All registers as after INIT; IA32_APIC_BASE stays. */
void vlapic_reset_registers(struct vlapic *lapic);

/* vlapic_register.c */

/* The one place where IA32_APIC_BASE changes: CPUID, too, tells whether the local APIC is enabled. */
void vlapic_set_base(struct vlapic *lapic, uint64_t value);

extern const struct bus_ops vlapic_bus_ops;

/* IA32_APIC_BASE, IA32_TSC_DEADLINE and the x2APIC registers; E_INVAL means #GP. */
int vlapic_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
int vlapic_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value);

/* vlapic_message.c */

/* irq_router.send: `context` is the struct vlapic_state. From any CPU of the guest. */
void vlapic_send(void *context, const struct irq_message *message);

/* Send what the interrupt command register says. `destination` is 8 bits wide in xAPIC mode, 32 in x2APIC mode. */
void vlapic_send_command(struct vlapic *lapic, uint32_t command, uint32_t destination);

/* An interrupt of the local vector table has come. */
void vlapic_raise_local(struct vlapic *lapic, enum vlapic_lvt entry);

/* Note errors (ESR_*), and raise the error interrupt for those that are new. From any CPU of the guest. */
void vlapic_raise_error(struct vlapic *lapic, uint32_t errors);

/* vlapic_timer.c */

int vlapic_timer_init(struct vlapic *lapic);
void vlapic_timer_reset(struct vlapic *lapic);
void vlapic_timer_set_lvt(struct vlapic *lapic, uint32_t value);
void vlapic_timer_set_initial_count(struct vlapic *lapic, uint32_t count);
void vlapic_timer_set_divide(struct vlapic *lapic, uint32_t value);
uint32_t vlapic_timer_current_count(const struct vlapic *lapic);
uint64_t vlapic_timer_deadline(const struct vlapic *lapic);
void vlapic_timer_set_deadline(struct vlapic *lapic, uint64_t deadline);

#endif
