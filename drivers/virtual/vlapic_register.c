/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC's registers as the guest sees them: the xAPIC page, the x2APIC MSRs, and IA32_APIC_BASE. One function
 * reads and one writes a register; the two ways in differ in what they refuse.
 */
#include "drivers/virtual/vlapic.h"
#include "drivers/virtual/vlapic_state.h"
#include "hv/cpuid.h"
#include "hv/error.h"
#include "hv/guest.h"
#include "hv/machine.h"

#define VERSION_VALUE (VLAPIC_VERSION | (LVT_COUNT - 1) << 16) /* no suppression of EOI broadcasts */

#define SVR_WRITABLE    0x3ffu /* vector, enable, focus checking off */
#define DFR_WRITABLE    0xf0000000u
#define LDR_WRITABLE    0xff000000u
#define DIVIDE_WRITABLE 0xbu
#define COMMAND_STATUS  BIT(12) /* delivery is instant: always 0 */
#define COMMAND_BITS    0x000ccfffu
#define LVT_READ_ONLY   (BIT(12) | BIT(14)) /* delivery status, remote IRR: always 0 */

/* What a guest may set in each entry of the local vector table; the timer's deadline mode comes in addition. */
static const uint32_t lvt_writable[LVT_COUNT] = {
    [LVT_TIMER] = 0x700ff,       /* vector, mask, periodic, TSC-deadline */
    [LVT_THERMAL] = 0x107ff,     /* vector, delivery mode, mask */
    [LVT_PERFORMANCE] = 0x107ff, /* the same */
    [LVT_LINT0] = 0x1a7ff,       /* polarity and trigger mode too */
    [LVT_LINT1] = 0x1a7ff,       /* the same */
    [LVT_ERROR] = 0x100ff,       /* vector, mask */
};
static bool is_lvt(uint32_t offset)
{
    return offset >= VLAPIC_LVT_FIRST && offset <= VLAPIC_LVT_LAST;
}

static unsigned lvt_entry(uint32_t offset)
{
    return (offset - VLAPIC_LVT_FIRST) / 16;
}

/* The id in the register's form: 8 bits at the top in xAPIC mode. */
static uint32_t id_register(const struct vlapic *lapic)
{
    uint32_t number = lapic->vcpu->number;

    return vlapic_is_x2apic(lapic) ? number : number << 24;
}

static uint32_t ldr_register(const struct vlapic *lapic)
{
    uint32_t number = lapic->vcpu->number;

    return vlapic_is_x2apic(lapic) ? (number >> 4) << 16 | UINT32_C(1) << (number & 0xf) : lapic->ldr;
}

static uint32_t vector_register(const struct vlapic *lapic, uint32_t offset)
{
    unsigned word = (offset & 0x7f) / 16;

    if (offset >= VLAPIC_IRR)
        return __atomic_load_n(&lapic->irr[word], __ATOMIC_ACQUIRE);
    if (offset >= VLAPIC_TMR)
        return __atomic_load_n(&lapic->tmr[word], __ATOMIC_ACQUIRE);
    return lapic->isr[word];
}

/* A register that both modes have, by its offset (a multiple of 16). False: there is none. */
static bool register_read(const struct vlapic *lapic, uint32_t offset, uint32_t *value)
{
    if (offset >= VLAPIC_ISR && offset < VLAPIC_ESR) {
        *value = vector_register(lapic, offset);
        return true;
    }
    if (is_lvt(offset)) {
        *value = lapic->lvt[lvt_entry(offset)];
        return true;
    }
    switch (offset) {
    case VLAPIC_ID: *value = id_register(lapic); return true;
    case VLAPIC_VERSION_REGISTER: *value = VERSION_VALUE; return true;
    case VLAPIC_TPR: *value = lapic->vcpu->tpr; return true;
    case VLAPIC_PPR: *value = vlapic_processor_priority(lapic); return true;
    case VLAPIC_LDR: *value = ldr_register(lapic); return true;
    case VLAPIC_SVR: *value = lapic->svr; return true;
    case VLAPIC_ESR: *value = lapic->errors; return true;
    case VLAPIC_ICR_LOW: *value = lapic->icr_low; return true;
    case VLAPIC_INITIAL_COUNT: *value = lapic->initial_count; return true;
    case VLAPIC_CURRENT_COUNT: *value = vlapic_timer_current_count(lapic); return true;
    case VLAPIC_DIVIDE: *value = lapic->divide; return true;
    default: return false;
    }
}

static void write_lvt(struct vlapic *lapic, unsigned entry, uint32_t value)
{
    value &= lvt_writable[entry];
    if (!vlapic_software_enabled(lapic))
        value |= (uint32_t)LVT_MASKED;
    if (entry == LVT_TIMER)
        vlapic_timer_set_lvt(lapic, value);
    else
        __atomic_store_n(&lapic->lvt[entry], value, __ATOMIC_RELAXED);
    vlapic_update_extint(lapic);
}

/* "Local APIC State After It Has Been Software Disabled": every LVT entry is masked, what is pending stays. */
static void write_svr(struct vlapic *lapic, uint32_t value)
{
    __atomic_store_n(&lapic->svr, value & SVR_WRITABLE, __ATOMIC_RELAXED);
    if (vlapic_software_enabled(lapic))
        return;
    for (unsigned entry = 0; entry < LVT_COUNT; entry++)
        write_lvt(lapic, entry, lapic->lvt[entry]);
}

/* A register that both modes have. Bits that cannot be set are dropped. False: there is none, or it is read-only. */
static bool register_write(struct vlapic *lapic, uint32_t offset, uint32_t value)
{
    if (is_lvt(offset)) {
        write_lvt(lapic, lvt_entry(offset), value);
        return true;
    }
    switch (offset) {
    case VLAPIC_TPR: lapic->vcpu->tpr = (uint8_t)value; return true;
    case VLAPIC_SVR: write_svr(lapic, value); return true;
    case VLAPIC_ESR:
        /* What was collected becomes readable; collecting starts anew. "Error Handling" */
        lapic->errors = __atomic_exchange_n(&lapic->errors_new, 0, __ATOMIC_RELAXED);
        return true;
    case VLAPIC_INITIAL_COUNT: vlapic_timer_set_initial_count(lapic, value); return true;
    case VLAPIC_DIVIDE: vlapic_timer_set_divide(lapic, value & DIVIDE_WRITABLE); return true;
    default: return false;
    }
}

/* Registers that only the xAPIC page has; what no local APIC has raises an error. */
static uint32_t page_read(struct vlapic *lapic, uint32_t offset)
{
    uint32_t value = 0;

    if (register_read(lapic, offset, &value))
        return value;
    switch (offset) {
    case VLAPIC_DFR: return lapic->dfr;
    case VLAPIC_ICR_HIGH: return lapic->icr_high;
    case VLAPIC_APR: /* of older processors: no arbitration here, and no remote reads */
    case VLAPIC_RRD:
    case VLAPIC_EOI: return 0;
    default: vlapic_raise_error(lapic, ESR_ILLEGAL_REGISTER); return 0;
    }
}

static void page_write(struct vlapic *lapic, uint32_t offset, uint32_t value)
{
    uint32_t ignored;

    switch (offset) {
    case VLAPIC_EOI: vlapic_end_interrupt(lapic); return;
    case VLAPIC_LDR: __atomic_store_n(&lapic->ldr, value & LDR_WRITABLE, __ATOMIC_RELAXED); return;
    case VLAPIC_DFR: __atomic_store_n(&lapic->dfr, value | ~DFR_WRITABLE, __ATOMIC_RELAXED); return;
    case VLAPIC_ICR_LOW:
        lapic->icr_low = value & COMMAND_BITS & ~(uint32_t)COMMAND_STATUS;
        vlapic_send_command(lapic, lapic->icr_low, lapic->icr_high >> 24);
        return;
    case VLAPIC_ICR_HIGH: lapic->icr_high = value & 0xff000000u; return;
    case VLAPIC_APR:
    case VLAPIC_RRD: return;
    default:
        /* Read-only registers, the id among them (as on processors of today), swallow writes. */
        if (!register_write(lapic, offset, value) && !register_read(lapic, offset, &ignored))
            vlapic_raise_error(lapic, ESR_ILLEGAL_REGISTER);
    }
}

/*
 * Registers are 32 bits wide on 16-byte boundaries; a part of one can be read, and the bytes between them are nothing.
 * In x2APIC mode and with the APIC off nobody answers at these addresses.
 */
static uint64_t bus_read_page(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    struct vlapic *lapic = vcpu->lapic;
    unsigned byte = (unsigned)offset & 0xf;

    (void)device;
    if (!vlapic_enabled(lapic) || vlapic_is_x2apic(lapic))
        return UINT64_MAX;
    if (byte + size > 4)
        return 0;
    return page_read(lapic, (uint32_t)offset & 0xff0) >> byte * 8;
}

static void bus_write_page(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    struct vlapic *lapic = vcpu->lapic;

    (void)device;
    if (!vlapic_enabled(lapic) || vlapic_is_x2apic(lapic) || size != 4 || (offset & 0xf) != 0)
        return;
    page_write(lapic, (uint32_t)offset & 0xff0, (uint32_t)value);
}

const struct bus_ops vlapic_bus_ops = {
    .read = bus_read_page,
    .write = bus_write_page,
};

/* The bits that a WRMSR to this register may have set; none: no such register to write. "Local APIC Register Address
 * Space" */
static uint64_t x2apic_writable(uint32_t offset)
{
    if (is_lvt(offset))
        return lvt_writable[lvt_entry(offset)] | (uint32_t)LVT_READ_ONLY;
    switch (offset) {
    case VLAPIC_TPR:
    case VLAPIC_SELF_IPI: return 0xff;
    case VLAPIC_SVR: return SVR_WRITABLE;
    case VLAPIC_ICR_LOW: return UINT64_C(0xffffffff00000000) | (COMMAND_BITS & ~(uint32_t)COMMAND_STATUS);
    case VLAPIC_INITIAL_COUNT: return UINT32_MAX;
    case VLAPIC_DIVIDE: return DIVIDE_WRITABLE;
    default: return 0; /* EOI and ESR too: they take a zero */
    }
}

static int x2apic_read(struct vlapic *lapic, uint32_t offset, uint64_t *value)
{
    uint32_t low = 0;

    if (!vlapic_is_x2apic(lapic) || !register_read(lapic, offset, &low))
        return E_INVAL;
    *value = low;
    if (offset == VLAPIC_ICR_LOW)
        *value |= (uint64_t)lapic->icr_high << 32;
    return 0;
}

static int x2apic_write(struct vlapic *lapic, uint32_t offset, uint64_t value)
{
    if (!vlapic_is_x2apic(lapic) || (value & ~x2apic_writable(offset)) != 0)
        return E_INVAL;
    switch (offset) {
    case VLAPIC_EOI: vlapic_end_interrupt(lapic); return 0;
    case VLAPIC_ICR_LOW:
        lapic->icr_low = (uint32_t)value;
        lapic->icr_high = (uint32_t)(value >> 32);
        vlapic_send_command(lapic, lapic->icr_low, lapic->icr_high);
        return 0;
    case VLAPIC_SELF_IPI: vlapic_send_command(lapic, (uint32_t)IRQ_TO_SELF << 18 | (uint8_t)value, 0); return 0;
    default: return register_write(lapic, offset, (uint32_t)value) ? 0 : E_INVAL;
    }
}

/* Bits of IA32_APIC_BASE above the address that the processor has, and the reserved ones below. */
static uint64_t base_reserved(const struct vlapic *lapic)
{
    uint32_t address_bits = 36;
    uint64_t reserved = 0xff | BIT(9) | (lapic->state->x2apic_offered ? 0 : VLAPIC_BASE_EXTD);

    if (machine_cpuid(0x80000000, 0).eax >= 0x80000008)
        address_bits = machine_cpuid(0x80000008, 0).eax & 0xff;
    return address_bits < 64 ? reserved | ~(BIT(address_bits) - 1) : reserved;
}

void vlapic_set_base(struct vlapic *lapic, uint64_t value)
{
    __atomic_store_n(&lapic->base, value, __ATOMIC_RELAXED);
    cpuid_features_update(lapic->vcpu, (value & VLAPIC_BASE_EN) != 0);
}

/*
 * "x2APIC State Transitions": disabled -> xAPIC -> x2APIC -> disabled, and xAPIC -> disabled; all else is #GP. What the
 * registers held is gone once the APIC was off; from xAPIC to x2APIC they stay, but the logical id now follows from the
 * id.
 */
static int write_base(struct vlapic *lapic, uint64_t value)
{
    const uint64_t modes = VLAPIC_BASE_EN | VLAPIC_BASE_EXTD;
    uint64_t before = lapic->base & modes;
    uint64_t after = value & modes;

    if ((value & base_reserved(lapic)) != 0 || after == VLAPIC_BASE_EXTD)
        return E_INVAL;
    if ((before == modes && after == VLAPIC_BASE_EN) || (before == 0 && after == modes))
        return E_INVAL;
    if (ALIGN_DOWN(value, PAGE_SIZE) != VLAPIC_BASE) {
        if (__atomic_exchange_n(&lapic->state->base_move_told, 1, __ATOMIC_RELAXED) == 0)
            guest_log(lapic->state->guest, "tried to move its local APIC to 0x%llx, which is not offered: #GP",
                      (unsigned long long)ALIGN_DOWN(value, PAGE_SIZE));
        return E_INVAL;
    }
    vlapic_set_base(lapic, value);
    if (before != 0 && after == 0)
        vlapic_reset_registers(lapic);
    if (before == VLAPIC_BASE_EN && after == modes)
        lapic->icr_high = 0;
    vlapic_update_extint(lapic);
    return 0;
}

int vlapic_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
    struct vlapic *lapic = vcpu->lapic;

    if (msr == VLAPIC_MSR_BASE) {
        *value = lapic->base;
        return 0;
    }
    if (msr == VLAPIC_MSR_DEADLINE) {
        *value = vlapic_timer_deadline(lapic);
        return 0;
    }
    if (msr >= VLAPIC_MSR_X2APIC && msr < VLAPIC_MSR_X2APIC + 0x40)
        return x2apic_read(lapic, (msr - VLAPIC_MSR_X2APIC) * 16, value);
    return E_INVAL;
}

int vlapic_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
    struct vlapic *lapic = vcpu->lapic;

    if (msr == VLAPIC_MSR_BASE)
        return write_base(lapic, value);
    if (msr == VLAPIC_MSR_DEADLINE) {
        vlapic_timer_set_deadline(lapic, value);
        return 0;
    }
    if (msr >= VLAPIC_MSR_X2APIC && msr < VLAPIC_MSR_X2APIC + 0x40)
        return x2apic_write(lapic, (msr - VLAPIC_MSR_X2APIC) * 16, value);
    return E_INVAL;
}
