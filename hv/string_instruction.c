/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * String instructions, an iteration at a time. Registers are up to date after each, so that a fault, a page end or the
 * bound on one exit's work leaves a state in which the instruction simply goes on. Intel SDM vol. 2,
 * "REP/REPE/REPZ/REPNE/REPNZ".
 */
#include "hv/string_instruction.h"

#include "hv/alu.h"
#include "hv/error.h"
#include "hv/guest.h"
#include "hv/operand.h"
#include "hv/vcpu.h"

/* One exit's work, so that requests and timers are never kept waiting for long. */
#define ITERATIONS_MAX 256u

#define RFLAGS_TF BIT(8)
#define RFLAGS_DF BIT(10)

struct string_work {
    struct vcpu *vcpu;
    const struct instruction *instruction;
    gpa_t device;           /* the device side's address now; 0: not known, both sides by the page tables */
    bool device_is_written; /* it is the destination */
    unsigned size;
    int64_t step;
};

static uint64_t index_register(const struct string_work *work, unsigned number)
{
    return vcpu_gpr_part(work->vcpu, number, work->instruction->address_size, false);
}

/* [rSI] with its segment, or ES:[rDI]. */
static int side_linear(const struct string_work *work, unsigned number, bool write, gva_t *linear)
{
    enum segment segment = number == GPR_RDI ? SEGMENT_ES : (enum segment)work->instruction->memory.segment;

    return operand_linear(work->vcpu, segment, index_register(work, number), work->size, write, linear);
}

static int side_read(const struct string_work *work, unsigned number, bool is_device, uint64_t *value)
{
    gva_t linear;

    if (is_device) {
        *value = operand_bus_read(work->vcpu, work->device, work->size);
        return 0;
    }
    int error = side_linear(work, number, false, &linear);
    return error != 0 ? error : operand_read(work->vcpu, linear, work->size, value);
}

static int side_write(const struct string_work *work, bool is_device, uint64_t value)
{
    gva_t linear;

    if (is_device) {
        operand_bus_write(work->vcpu, work->device, work->size, value);
        return 0;
    }
    int error = side_linear(work, GPR_RDI, true, &linear);
    return error != 0 ? error : operand_write(work->vcpu, linear, work->size, value);
}

static uint64_t port_read(const struct string_work *work)
{
    struct guest *guest = work->vcpu->guest;

    guest_devices_lock(guest);
    uint64_t value = bus_read(&guest->ports, work->vcpu, vcpu_gpr_part(work->vcpu, GPR_RDX, 2, false), work->size);
    guest_devices_unlock(guest);
    return value;
}

static void port_write(const struct string_work *work, uint64_t value)
{
    struct guest *guest = work->vcpu->guest;

    guest_devices_lock(guest);
    bus_write(&guest->ports, work->vcpu, vcpu_gpr_part(work->vcpu, GPR_RDX, 2, false), work->size, value);
    guest_devices_unlock(guest);
}

static void compare(const struct string_work *work, uint64_t left, uint64_t right)
{
    uint64_t rflags = vcpu_read(work->vcpu, VCPU_RFLAGS);

    (void)alu_binary(OPERATION_CMP, work->size, left, right, &rflags);
    vcpu_write(work->vcpu, VCPU_RFLAGS, rflags);
}

/* Whether the destination can be written: before a port or device is read, so that a fault loses no input. */
static int check_destination(const struct string_work *work)
{
    gva_t linear;
    int error = side_linear(work, GPR_RDI, true, &linear);

    return error != 0 ? error : operand_check_write(work->vcpu, linear, work->size);
}

/* The data of one iteration. */
static int move_data(const struct string_work *work)
{
    struct vcpu *vcpu = work->vcpu;
    bool source_is_device = work->device != 0 && !work->device_is_written;
    bool destination_is_device = work->device != 0 && work->device_is_written;
    uint64_t value = 0, other = 0;
    int error = 0;

    switch (work->instruction->operation) {
    case OPERATION_MOVS:
        error = destination_is_device ? 0 : check_destination(work);
        if (error == 0)
            error = side_read(work, GPR_RSI, source_is_device, &value);
        return error != 0 ? error : side_write(work, destination_is_device, value);
    case OPERATION_STOS:
        return side_write(work, destination_is_device, vcpu_gpr_part(vcpu, GPR_RAX, work->size, false));
    case OPERATION_LODS:
        error = side_read(work, GPR_RSI, source_is_device, &value);
        if (error == 0)
            vcpu_set_gpr_part(vcpu, GPR_RAX, work->size, false, value);
        return error;
    case OPERATION_CMPS:
        /* Both sides are read, so the exit does not say whose address it is; the page tables tell both. */
        error = side_read(work, GPR_RSI, false, &value);
        if (error == 0)
            error = side_read(work, GPR_RDI, false, &other);
        if (error == 0)
            compare(work, value, other);
        return error;
    case OPERATION_SCAS:
        error = side_read(work, GPR_RDI, source_is_device, &value);
        if (error == 0)
            compare(work, vcpu_gpr_part(vcpu, GPR_RAX, work->size, false), value);
        return error;
    case OPERATION_INS:
        error = check_destination(work);
        return error != 0 ? error : side_write(work, false, port_read(work));
    default: /* OUTS */
        error = side_read(work, GPR_RSI, false, &value);
        if (error == 0)
            port_write(work, value);
        return error;
    }
}

static void advance_index(const struct string_work *work, unsigned number)
{
    vcpu_set_gpr_part(work->vcpu, number, work->instruction->address_size, false,
                      index_register(work, number) + (uint64_t)work->step);
}

static void advance_indices(const struct string_work *work)
{
    uint8_t operation = work->instruction->operation;

    if (operation == OPERATION_MOVS || operation == OPERATION_CMPS || operation == OPERATION_LODS ||
        operation == OPERATION_OUTS)
        advance_index(work, GPR_RSI);
    if (operation != OPERATION_LODS && operation != OPERATION_OUTS)
        advance_index(work, GPR_RDI);
}

/* REPE and REPNE end when ZF is no longer what they ask for. */
static bool comparison_ends(const struct string_work *work)
{
    uint8_t operation = work->instruction->operation;

    if (operation != OPERATION_CMPS && operation != OPERATION_SCAS)
        return false;
    bool equal = (vcpu_read(work->vcpu, VCPU_RFLAGS) & ALU_ZF) != 0;
    return equal != (work->instruction->repeat == REPEAT_EQUAL);
}

/* Move the device side on. Returns false when it leaves its page: the processor then finds the next one. */
static bool advance_device(struct string_work *work)
{
    if (work->device == 0)
        return true;
    gpa_t next = work->device + (uint64_t)work->step;
    bool same_page = next >> PAGE_SHIFT == work->device >> PAGE_SHIFT &&
                     (next + work->size - 1) >> PAGE_SHIFT == work->device >> PAGE_SHIFT;
    work->device = next;
    return same_page;
}

/*
 * The exit's address is that of the first byte in device memory: an element that begins in the page before, or ends in
 * the one behind, has another part that only the page tables tell. The same goes for a side that the exit is silent
 * about. Returns 0, or E_FAULT after raising #GP or #SS.
 */
static int check_device_side(struct string_work *work)
{
    uint8_t operation = work->instruction->operation;
    bool is_source = operation == OPERATION_MOVS || operation == OPERATION_LODS;
    gva_t linear;

    if (work->device_is_written ? operation != OPERATION_MOVS && operation != OPERATION_STOS
                                : !is_source && operation != OPERATION_SCAS) {
        work->device = 0;
        return 0;
    }
    int error =
        side_linear(work, is_source && !work->device_is_written ? GPR_RSI : GPR_RDI, work->device_is_written, &linear);
    uint64_t offset = work->device & PAGE_MASK;
    if (error == 0 && ((linear & PAGE_MASK) != offset || offset + work->size > PAGE_SIZE))
        work->device = 0;
    return error;
}

enum mmio_result string_emulate(struct vcpu *vcpu, const struct instruction *instruction, gpa_t address,
                                bool device_is_written)
{
    unsigned size = instruction->operation == OPERATION_OUTS || instruction->operation == OPERATION_LODS ||
                            instruction->operation == OPERATION_SCAS
                        ? instruction->source.size
                        : instruction->destination.size;
    bool down = (vcpu_read(vcpu, VCPU_RFLAGS) & RFLAGS_DF) != 0;
    struct string_work work = {
        vcpu, instruction, address, device_is_written, size, down ? -(int64_t)size : (int64_t)size};
    bool repeats = instruction->repeat != REPEAT_NONE;

    if (address != 0 && check_device_side(&work) != 0)
        return MMIO_FAULT;
    for (unsigned i = 0; i < ITERATIONS_MAX; i++) {
        uint64_t count = index_register(&work, GPR_RCX);
        if (repeats && count == 0)
            return MMIO_DONE;
        int error = move_data(&work);
        if (error != 0)
            return error == E_BUSY ? MMIO_PARTLY : MMIO_FAULT;
        advance_indices(&work);
        if (!repeats)
            return MMIO_DONE;
        vcpu_set_gpr_part(vcpu, GPR_RCX, instruction->address_size, false, count - 1);
        if (count == 1 || comparison_ends(&work))
            return MMIO_DONE;
        /* With TF set there is a trap behind each iteration. Intel SDM vol. 2, "REP/REPE/REPZ/REPNE/REPNZ". */
        if ((vcpu_read(vcpu, VCPU_RFLAGS) & RFLAGS_TF) != 0) {
            vcpu_raise_single_step(vcpu);
            return MMIO_PARTLY;
        }
        if (!advance_device(&work))
            return MMIO_PARTLY;
    }
    return MMIO_PARTLY;
}
