/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC device: reset states, and what the run loop asks before each entry: is there a vector, and take it.
 */
#include "drivers/virtual/vlapic.h"

#include "drivers/virtual/vlapic_state.h"
#include "hv/guest.h"
#include "hv/machine.h"
#include "hv/string.h"

_Static_assert(sizeof(struct vlapic_state) <= DEVICE_STATE_MAX, "the state of all local APICs");
_Static_assert(offsetof(struct vlapic, vcpu) % 64 == 0, "what other CPUs write has cache lines of its own");
_Static_assert(sizeof(struct vlapic) % 64 == 0, "no two local APICs share a cache line");

bool vlapic_x2apic_offered(void)
{
    return (machine_cpuid(1, 0).ecx & VLAPIC_CPUID_X2APIC) != 0;
}

static unsigned highest_bit(uint32_t value)
{
    return 31u - (unsigned)__builtin_clz(value);
}

static int highest_in_service(const struct vlapic *lapic)
{
    if (lapic->isr_words == 0)
        return IRQ_NONE;
    unsigned word = highest_bit(lapic->isr_words);
    return (int)(word * 32 + highest_bit(lapic->isr[word]));
}

static int highest_request(const struct vlapic *lapic)
{
    uint32_t words = __atomic_load_n(&lapic->irr_words, __ATOMIC_ACQUIRE);

    while (words != 0) {
        unsigned word = highest_bit(words);
        uint32_t bits = __atomic_load_n(&lapic->irr[word], __ATOMIC_RELAXED);
        if (bits != 0)
            return (int)(word * 32 + highest_bit(bits));
        words &= ~(UINT32_C(1) << word);
    }
    return IRQ_NONE;
}

uint32_t vlapic_processor_priority(const struct vlapic *lapic)
{
    uint32_t tpr = lapic->vcpu->tpr;
    int in_service = highest_in_service(lapic);
    uint32_t service_class = in_service == IRQ_NONE ? 0 : (uint32_t)in_service & 0xf0;

    return (tpr & 0xf0) >= service_class ? tpr : service_class;
}

/*
 * The summary bit goes first and comes back when the word has refilled meanwhile: a sender sets the word, then the
 * summary, so whichever way the two interleave, a word with a request keeps its bit.
 */
static void clear_request(struct vlapic *lapic, unsigned vector)
{
    unsigned word = vector / 32;

    __atomic_fetch_and(&lapic->irr[word], ~(UINT32_C(1) << vector % 32), __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&lapic->irr[word], __ATOMIC_SEQ_CST) != 0)
        return;
    __atomic_fetch_and(&lapic->irr_words, ~(UINT32_C(1) << word), __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&lapic->irr[word], __ATOMIC_SEQ_CST) != 0)
        __atomic_fetch_or(&lapic->irr_words, UINT32_C(1) << word, __ATOMIC_SEQ_CST);
}

static bool extint_raised(const struct vlapic *lapic)
{
    return lapic->takes_extint && __atomic_load_n(&lapic->state->guest->irq.pic_output, __ATOMIC_ACQUIRE);
}

/* The 8259 pair belongs to the device models: its state is looked at, and changed, under their lock. */
static int extint_pending(struct vlapic *lapic)
{
    struct guest *guest = lapic->state->guest;

    if (guest->irq.pic_pending == NULL)
        return IRQ_NONE;
    guest_devices_lock(guest);
    int vector = guest->irq.pic_pending(guest->irq.pic_context);
    guest_devices_unlock(guest);
    return vector;
}

static int extint_acknowledge(struct vlapic *lapic)
{
    struct guest *guest = lapic->state->guest;
    int vector = IRQ_NONE;

    if (guest->irq.pic_pending == NULL || guest->irq.pic_acknowledge == NULL)
        return IRQ_NONE;
    guest_devices_lock(guest);
    if (guest->irq.pic_pending(guest->irq.pic_context) != IRQ_NONE)
        vector = guest->irq.pic_acknowledge(guest->irq.pic_context);
    guest_devices_unlock(guest);
    return vector;
}

/* The highest request, when its class is above the processor's priority. */
static int request_to_deliver(const struct vlapic *lapic)
{
    int vector = highest_request(lapic);

    if (vector == IRQ_NONE || ((uint32_t)vector & 0xf0) <= (vlapic_processor_priority(lapic) & 0xf0))
        return IRQ_NONE;
    return vector;
}

/* ExtINT is no business of the priorities: it comes first, as it goes around the IRR. */
static __attribute__((noinline)) int pending_slowly(struct vlapic *lapic)
{
    int vector = extint_raised(lapic) ? extint_pending(lapic) : IRQ_NONE;

    return vector != IRQ_NONE ? vector : request_to_deliver(lapic);
}

/* Before each guest entry, so the usual case is a few loads. */
static int lapic_pending(struct vcpu *vcpu)
{
    struct vlapic *lapic = vcpu->lapic;

    if (__atomic_load_n(&lapic->irr_words, __ATOMIC_ACQUIRE) == 0 && !extint_raised(lapic))
        return IRQ_NONE;
    return pending_slowly(lapic);
}

static int lapic_acknowledge(struct vcpu *vcpu)
{
    struct vlapic *lapic = vcpu->lapic;

    if (extint_raised(lapic)) {
        int vector = extint_acknowledge(lapic);
        if (vector != IRQ_NONE)
            return vector;
    }
    int vector = request_to_deliver(lapic);
    if (vector == IRQ_NONE)
        return IRQ_NONE;
    unsigned word = (unsigned)vector / 32;
    lapic->isr[word] |= UINT32_C(1) << (unsigned)vector % 32;
    lapic->isr_words |= UINT32_C(1) << word;
    clear_request(lapic, (unsigned)vector);
    return vector;
}

static __attribute__((noinline)) unsigned blocked_class(const struct vlapic *lapic)
{
    int vector = highest_request(lapic);

    if (vector == IRQ_NONE)
        return 0;
    int in_service = highest_in_service(lapic);
    unsigned request_class = (unsigned)vector >> 4;
    unsigned service_class = in_service == IRQ_NONE ? 0 : (unsigned)in_service >> 4;
    unsigned tpr_class = (unsigned)lapic->vcpu->tpr >> 4;
    return request_class > service_class && request_class <= tpr_class ? request_class : 0;
}

static unsigned lapic_blocked_by_tpr(struct vcpu *vcpu)
{
    struct vlapic *lapic = vcpu->lapic;

    return __atomic_load_n(&lapic->irr_words, __ATOMIC_ACQUIRE) == 0 ? 0 : blocked_class(lapic);
}

void vlapic_end_interrupt(struct vlapic *lapic)
{
    int vector = highest_in_service(lapic);

    if (vector == IRQ_NONE)
        return;
    unsigned word = (unsigned)vector / 32;
    uint32_t bit = UINT32_C(1) << (unsigned)vector % 32;
    lapic->isr[word] &= ~bit;
    if (lapic->isr[word] == 0)
        lapic->isr_words &= ~(UINT32_C(1) << word);
    if ((__atomic_load_n(&lapic->tmr[word], __ATOMIC_RELAXED) & bit) != 0)
        irq_eoi(lapic->state->guest, (uint8_t)vector);
}

/* The 8259's INTR is wired to LINT0 of the first processor, and to its INTR pin when the local APIC is off. */
void vlapic_update_extint(struct vlapic *lapic)
{
    uint32_t lint0 = lapic->lvt[LVT_LINT0];
    bool wire = (lint0 & LVT_MASKED) == 0 && LVT_DELIVERY(lint0) == IRQ_EXTINT;

    lapic->takes_extint = lapic->vcpu->number == 0 && (!vlapic_enabled(lapic) || wire);
}

/* "Local APIC State After an INIT Reset" and "... After Power-Up or Reset": they differ in the id only, which is fixed
 * here. */
void vlapic_reset_registers(struct vlapic *lapic)
{
    for (unsigned i = 0; i < VLAPIC_VECTOR_WORDS; i++) {
        __atomic_store_n(&lapic->irr[i], 0, __ATOMIC_RELAXED);
        __atomic_store_n(&lapic->tmr[i], 0, __ATOMIC_RELAXED);
        lapic->isr[i] = 0;
    }
    __atomic_store_n(&lapic->irr_words, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&lapic->errors_new, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&lapic->svr, SVR_RESET, __ATOMIC_RELAXED);
    __atomic_store_n(&lapic->ldr, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&lapic->dfr, UINT32_MAX, __ATOMIC_RELAXED);
    lapic->isr_words = 0;
    lapic->errors = 0;
    lapic->icr_low = 0;
    lapic->icr_high = 0;
    lapic->vcpu->tpr = 0;
    for (unsigned i = 0; i < LVT_COUNT; i++)
        lapic->lvt[i] = LVT_MASKED;
    vlapic_timer_reset(lapic);
    vlapic_update_extint(lapic);
}

static void lapic_init_reset(struct vcpu *vcpu)
{
    vlapic_reset_registers(vcpu->lapic);
}

static const struct vcpu_irq_ops lapic_irq_ops = {
    .pending = lapic_pending,
    .acknowledge = lapic_acknowledge,
    .blocked_by_tpr = lapic_blocked_by_tpr,
    .msr_read = vlapic_msr_read,
    .msr_write = vlapic_msr_write,
    .init_reset = lapic_init_reset,
};

static int lapic_init(struct device *device)
{
    struct vlapic_state *state = device->state;
    struct guest *guest = device->guest;

    state->guest = guest;
    state->x2apic_offered = vlapic_x2apic_offered();
    for (uint32_t i = 0; i < guest->vcpu_count; i++) {
        struct vlapic *lapic = &state->cpus[i];
        lapic->vcpu = guest->vcpus[i];
        lapic->state = state;
        int error = vlapic_timer_init(lapic);
        if (error != 0)
            return error;
        lapic->vcpu->lapic = lapic;
        lapic->vcpu->irq = &lapic_irq_ops;
    }
    guest->irq.send = vlapic_send;
    guest->irq.send_context = state;
    return device_claim_memory(device, VLAPIC_BASE, PAGE_SIZE, 4, &vlapic_bus_ops);
}

/*
 * Power-on, and then what a PC's firmware has done by the time it hands over: the first processor's local APIC is
 * enabled and in virtual-wire mode (MultiProcessor Specification 1.4, section 3.6.2.2 "Virtual Wire Mode"), so that a
 * system which knows nothing of APICs gets the 8259's interrupts.
 */
static void lapic_reset(struct device *device)
{
    struct vlapic_state *state = device->state;

    for (uint32_t i = 0; i < device->guest->vcpu_count; i++) {
        struct vlapic *lapic = &state->cpus[i];
        uint64_t bsp = i == 0 ? VLAPIC_BASE_BSP : 0;
        vlapic_set_base(lapic, VLAPIC_BASE | VLAPIC_BASE_EN | bsp);
        vlapic_reset_registers(lapic);
    }
    struct vlapic *first = &state->cpus[0];
    __atomic_store_n(&first->svr, SVR_RESET | SVR_ENABLED, __ATOMIC_RELAXED);
    first->lvt[LVT_LINT0] = LVT_DELIVERY_EXTINT;
    first->lvt[LVT_LINT1] = LVT_DELIVERY_NMI;
    vlapic_update_extint(first);
}

const struct device_ops vlapic_device = {
    .name = "lapic",
    .state_size = sizeof(struct vlapic_state),
    .init = lapic_init,
    .reset = lapic_reset,
};
