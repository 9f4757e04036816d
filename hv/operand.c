/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory operands by segment and linear address. Intel SDM vol. 3, "Limit Checking", "Type Checking", "Segment Loading
 * Instructions in IA-32e Mode".
 */
#include "hv/operand.h"

#include "hv/error.h"
#include "hv/gmem.h"
#include "hv/guest.h"
#include "hv/gwalk.h"
#include "hv/string.h"
#include "hv/vcpu.h"

#define CR4_LA57 BIT(12)

#define TYPE_CODE        BIT(3)
#define TYPE_WRITABLE    BIT(1) /* data: writable; code: readable */
#define TYPE_EXPAND_DOWN BIT(2)

static int segment_fault(struct vcpu *vcpu, enum segment segment)
{
    event_raise_error(vcpu, segment == SEGMENT_SS ? VECTOR_SS : VECTOR_GP, 0);
    return E_FAULT;
}

static bool segment_allows(const struct segment_register *segment, uint64_t offset, unsigned size, bool write)
{
    uint64_t last = offset + size - 1;

    if ((segment->attributes & SEGMENT_UNUSABLE) != 0)
        return false;
    if (write && ((segment->attributes & TYPE_CODE) != 0 || (segment->attributes & TYPE_WRITABLE) == 0))
        return false;
    if (!write && (segment->attributes & TYPE_CODE) != 0 && (segment->attributes & TYPE_WRITABLE) == 0)
        return false;
    if ((segment->attributes & TYPE_CODE) == 0 && (segment->attributes & TYPE_EXPAND_DOWN) != 0)
        return offset > segment->limit && last <= ((segment->attributes & SEGMENT_DB) != 0 ? UINT32_MAX : 0xffff);
    return last <= segment->limit;
}

/* Bits 63-47 (63-56 with five levels) all alike. */
static bool canonical(struct vcpu *vcpu, gva_t address)
{
    unsigned width = (vcpu_read(vcpu, VCPU_CR4) & CR4_LA57) != 0 ? 57 : 48;
    int64_t top = (int64_t)address >> (width - 1);

    return top == 0 || top == -1;
}

int operand_linear(struct vcpu *vcpu, enum segment segment, uint64_t offset, unsigned size, bool write, gva_t *linear)
{
    struct segment_register reg;
    enum vcpu_mode mode = vcpu_mode(vcpu);

    virt->read_segment(vcpu, segment, &reg);
    if (mode == MODE_LONG_64) {
        *linear = offset + (segment == SEGMENT_FS || segment == SEGMENT_GS ? reg.base : 0);
        return canonical(vcpu, *linear) && canonical(vcpu, *linear + size - 1) ? 0 : segment_fault(vcpu, segment);
    }
    if (mode != MODE_REAL && mode != MODE_VIRTUAL_8086 && !segment_allows(&reg, offset, size, write))
        return segment_fault(vcpu, segment);
    if ((mode == MODE_REAL || mode == MODE_VIRTUAL_8086) && offset + size - 1 > reg.limit)
        return segment_fault(vcpu, segment);
    *linear = (uint32_t)(reg.base + offset);
    return 0;
}

void operand_bus_hold(struct vcpu *vcpu)
{
    guest_devices_lock(vcpu->guest);
    vcpu->holds_devices = true;
}

void operand_bus_release(struct vcpu *vcpu)
{
    vcpu->holds_devices = false;
    guest_devices_unlock(vcpu->guest);
}

static void bus_begin(struct vcpu *vcpu)
{
    if (!vcpu->holds_devices)
        guest_devices_lock(vcpu->guest);
}

static void bus_end(struct vcpu *vcpu)
{
    if (!vcpu->holds_devices)
        guest_devices_unlock(vcpu->guest);
}

uint64_t operand_bus_read(struct vcpu *vcpu, gpa_t address, unsigned size)
{
    bus_begin(vcpu);
    uint64_t value = bus_read(&vcpu->guest->memory, vcpu, address, size);
    bus_end(vcpu);
    return value;
}

void operand_bus_write(struct vcpu *vcpu, gpa_t address, unsigned size, uint64_t value)
{
    bus_begin(vcpu);
    bus_write(&vcpu->guest->memory, vcpu, address, size, value);
    bus_end(vcpu);
}

static int translate(struct vcpu *vcpu, gva_t linear, unsigned access, gpa_t *physical)
{
    struct gwalk_fault fault;
    int error =
        gwalk_translate(vcpu, linear, access | (vcpu_privilege_level(vcpu) == 3 ? GWALK_USER : 0), physical, &fault);

    if (error == E_FAULT)
        event_raise_page_fault(vcpu, fault.address, fault.error_code);
    if (error == E_NOENT) {
        guest_crash(vcpu, "its page tables for address 0x%lx lie outside of its memory", linear);
        return E_FAULT;
    }
    return error;
}

/* Both pages of an operand that crosses a page end; `first` bytes lie in the first. */
static int translate_both(struct vcpu *vcpu, gva_t linear, unsigned size, bool write, gpa_t physical[2],
                          unsigned *first)
{
    unsigned access = write ? GWALK_WRITE : 0;
    int error = translate(vcpu, linear, access, &physical[0]);

    *first = (unsigned)min_u64(size, PAGE_SIZE - (linear & PAGE_MASK));
    if (error == 0 && *first < size) {
        gva_t second = linear + *first;
        /* Outside of 64-bit mode addresses wrap at 4 GiB, also with the page tables of long mode. */
        error = translate(vcpu, vcpu_mode(vcpu) == MODE_LONG_64 ? second : (uint32_t)second, access, &physical[1]);
    }
    return error;
}

/* The largest access that a bus takes of so many bytes. */
static unsigned access_size(unsigned bytes)
{
    return bytes >= 8 ? 8 : bytes >= 4 ? 4 : bytes >= 2 ? 2 : 1;
}

static void bus_move(struct vcpu *vcpu, gpa_t physical, unsigned count, uint8_t *bytes, bool write)
{
    for (unsigned at = 0, size; at < count; at += size) {
        uint64_t value = 0;
        size = access_size(count - at);
        if (write) {
            memcpy(&value, bytes + at, size);
            operand_bus_write(vcpu, physical + at, size, value);
        } else {
            value = operand_bus_read(vcpu, physical + at, size);
            memcpy(bytes + at, &value, size);
        }
    }
}

/* Translated as a whole before the first byte moves. */
static int operand_move(struct vcpu *vcpu, gva_t linear, unsigned size, uint8_t *bytes, bool write)
{
    gpa_t physical[2] = {0, 0};
    unsigned first;
    int error = translate_both(vcpu, linear, size, write, physical, &first);

    if (error != 0)
        return error;
    for (unsigned part = 0, at = 0; at < size; part++) {
        unsigned count = part == 0 ? first : size - first;
        if (!gmem_is_ram(vcpu->guest, physical[part], count))
            bus_move(vcpu, physical[part], count, bytes + at, write);
        else if (write)
            (void)gmem_write(vcpu->guest, physical[part], bytes + at, count);
        else
            (void)gmem_read(vcpu->guest, physical[part], bytes + at, count);
        at += count;
    }
    return 0;
}

int operand_read(struct vcpu *vcpu, gva_t linear, unsigned size, uint64_t *value)
{
    *value = 0;
    return operand_move(vcpu, linear, size, (uint8_t *)value, false);
}

int operand_write(struct vcpu *vcpu, gva_t linear, unsigned size, uint64_t value)
{
    return operand_move(vcpu, linear, size, (uint8_t *)&value, true);
}

int operand_check_write(struct vcpu *vcpu, gva_t linear, unsigned size)
{
    gpa_t physical[2];
    unsigned first;

    return translate_both(vcpu, linear, size, true, physical, &first);
}
