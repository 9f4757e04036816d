/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptor tables and the segment registers of a task that comes in. Intel SDM vol. 3, "Task Switching", table
 * "Exception Conditions Checked During a Task Switch", and "Interrupt 10—Invalid TSS Exception (#TS)".
 */
#include "hv/error.h"
#include "hv/gmem.h"
#include "hv/guest.h"
#include "hv/gwalk.h"
#include "hv/task_internal.h"
#include "hv/vcpu.h"

#define RFLAGS_VM BIT(17)

#define TYPE_LDT 2u

/* Of code and data descriptors. */
#define DESCRIPTOR_ACCESSED BIT(40)
#define DESCRIPTOR_RW       BIT(41) /* code: readable; data: writable */
#define DESCRIPTOR_CONFORM  BIT(42)
#define DESCRIPTOR_CODE     BIT(43)

#define ATTRIBUTES_CODE         0x9bu /* present, accessed, readable */
#define ATTRIBUTES_DATA         0x93u /* present, accessed, writable */
#define ATTRIBUTES_VIRTUAL_8086 0xf3u /* the same, DPL 3. "Checks on Guest Segment Registers" */

/* Another vCPU that keeps changing the page tables may postpone a switch, but not leave one half done. */
#define COMMITTED_TRIES 1000u

static int reach_page(struct task_switch *task, gva_t linear, unsigned access, gpa_t *physical)
{
    struct vcpu *vcpu = task->vcpu;
    unsigned tries = task->committed ? COMMITTED_TRIES : 1;
    struct gwalk_fault fault;
    int error;

    do
        error = gwalk_translate(vcpu, (uint32_t)linear, access, physical, &fault);
    while (error == E_BUSY && --tries > 0);
    if (error == E_FAULT)
        event_raise_page_fault(vcpu, fault.address, fault.error_code);
    else if (error == E_NOENT)
        guest_crash(vcpu, "a task switch through 0x%lx, whose page tables lie outside of its memory", linear);
    else if (error == E_BUSY && task->committed)
        guest_crash(vcpu, "a task switch through 0x%lx, whose page tables change without end", linear);
    return error;
}

/* Some bytes of one page. */
static int reach_part(struct task_switch *task, gva_t linear, uint32_t size, unsigned access, gpa_t *physical)
{
    int error = reach_page(task, linear, access, physical);

    if (error == 0 && !gmem_is_ram(task->vcpu->guest, *physical, size)) {
        guest_crash(task->vcpu, "a task switch through 0x%lx, where it has no memory", linear);
        error = E_NOENT;
    }
    return error;
}

int task_reach(struct task_switch *task, gva_t linear, uint32_t size, unsigned access, struct task_bytes *bytes)
{
    bytes->size = size;
    bytes->first = (uint32_t)min_u64(size, PAGE_SIZE - (linear & PAGE_MASK));
    int error = reach_part(task, linear, bytes->first, access, &bytes->parts[0]);
    if (error == 0 && size > bytes->first)
        error = reach_part(task, linear + bytes->first, size - bytes->first, access, &bytes->parts[1]);
    return error;
}

/* What has been reached is RAM for good: these cannot fail. */
void task_bytes_read(struct task_switch *task, const struct task_bytes *bytes, void *to)
{
    (void)gmem_read(task->vcpu->guest, bytes->parts[0], to, bytes->first);
    if (bytes->size > bytes->first)
        (void)gmem_read(task->vcpu->guest, bytes->parts[1], (uint8_t *)to + bytes->first, bytes->size - bytes->first);
}

void task_bytes_write(struct task_switch *task, const struct task_bytes *bytes, const void *from)
{
    (void)gmem_write(task->vcpu->guest, bytes->parts[0], from, bytes->first);
    if (bytes->size > bytes->first)
        (void)gmem_write(task->vcpu->guest, bytes->parts[1], (const uint8_t *)from + bytes->first,
                         bytes->size - bytes->first);
}

int task_raise(struct task_switch *task, enum vector vector, uint16_t selector)
{
    event_raise_error(task->vcpu, vector, (selector & ~SELECTOR_RPL) | task->external);
    return E_INVAL;
}

int task_descriptor_read(struct task_switch *task, uint16_t selector, enum vector vector,
                         struct task_descriptor *descriptor)
{
    struct task_bytes bytes;
    struct table_register table;
    uint32_t offset = selector & ~7u;

    if ((selector & SELECTOR_TABLE) != 0) {
        struct segment_register ldt;
        virt->read_segment(task->vcpu, SEGMENT_LDTR, &ldt);
        if ((ldt.attributes & SEGMENT_UNUSABLE) != 0)
            return task_raise(task, vector, selector);
        table = (struct table_register){ldt.base, ldt.limit};
    } else {
        virt->read_table(task->vcpu, false, &table);
    }
    if (offset + 7 > table.limit)
        return task_raise(task, vector, selector);
    descriptor->address = (uint32_t)(table.base + offset);
    int error = task_reach(task, descriptor->address, sizeof(descriptor->raw), GWALK_IMPLICIT, &bytes);
    if (error == 0)
        task_bytes_read(task, &bytes, &descriptor->raw);
    return error;
}

struct segment_register task_segment(uint16_t selector, uint64_t raw)
{
    uint32_t limit = (uint32_t)((raw & 0xffff) | (raw >> 32 & 0xf0000));
    struct segment_register segment = {
        .base = (raw >> 16 & 0xffffff) | (raw >> 32 & 0xff000000),
        .limit = (raw & DESCRIPTOR_G) != 0 ? limit << PAGE_SHIFT | PAGE_MASK : limit,
        .attributes = (uint32_t)(raw >> DESCRIPTOR_TYPE_SHIFT & 0xf0ff),
        .selector = selector,
    };
    return segment;
}

static int load_ldt(struct task_switch *task, uint16_t selector)
{
    struct task_descriptor descriptor;

    if ((selector & ~SELECTOR_RPL) == 0)
        return 0;
    if ((selector & SELECTOR_TABLE) != 0)
        return task_raise(task, VECTOR_TS, selector);
    int error = task_descriptor_read(task, selector, VECTOR_TS, &descriptor);
    if (error != 0)
        return error;
    if ((descriptor.raw & DESCRIPTOR_S) != 0 || (descriptor.raw >> DESCRIPTOR_TYPE_SHIFT & 0xf) != TYPE_LDT ||
        (descriptor.raw & DESCRIPTOR_P) == 0)
        return task_raise(task, VECTOR_TS, selector);
    struct segment_register ldt = task_segment(selector, descriptor.raw);
    virt->write_segment(task->vcpu, SEGMENT_LDTR, &ldt);
    return 0;
}

/* Whether a descriptor is of a kind that this register takes. */
static bool kind_fits(enum segment segment, uint64_t raw)
{
    bool code = (raw & DESCRIPTOR_CODE) != 0, readable_or_writable = (raw & DESCRIPTOR_RW) != 0;

    if ((raw & DESCRIPTOR_S) == 0)
        return false;
    switch (segment) {
    case SEGMENT_CS: return code;
    case SEGMENT_SS: return !code && readable_or_writable;
    default: return !code || readable_or_writable;
    }
}

/* Whether it may be used at this privilege level, which is CS's RPL. */
static bool privilege_fits(enum segment segment, uint64_t raw, unsigned rpl, unsigned level)
{
    bool conforming = (raw & DESCRIPTOR_CODE) != 0 && (raw & DESCRIPTOR_CONFORM) != 0;
    unsigned dpl = (unsigned)(raw >> 45 & 3);

    switch (segment) {
    case SEGMENT_CS: return conforming ? dpl <= level : dpl == level;
    case SEGMENT_SS: return dpl == level && rpl == level;
    default: return conforming || (dpl >= level && dpl >= rpl);
    }
}

/* As the processor does it, with a locked access: others may use the descriptor at this moment. */
static int mark_accessed(struct task_switch *task, struct task_descriptor *descriptor)
{
    struct task_bytes bytes;

    if ((descriptor->raw & DESCRIPTOR_ACCESSED) != 0)
        return 0;
    int error = task_reach(task, descriptor->address + DESCRIPTOR_ACCESS, 1, GWALK_IMPLICIT | GWALK_WRITE, &bytes);
    if (error != 0)
        return error;
    uint8_t *access = gmem_pointer(task->vcpu->guest, bytes.parts[0], 1);
    if (access != NULL)
        __atomic_fetch_or(access, 1, __ATOMIC_SEQ_CST);
    descriptor->raw |= DESCRIPTOR_ACCESSED;
    return 0;
}

static int load_segment(struct task_switch *task, enum segment segment, uint16_t selector, unsigned level)
{
    struct task_descriptor descriptor;
    bool stack_or_code = segment == SEGMENT_CS || segment == SEGMENT_SS;

    if ((selector & ~SELECTOR_RPL) == 0)
        return stack_or_code ? task_raise(task, VECTOR_TS, selector) : 0;
    int error = task_descriptor_read(task, selector, VECTOR_TS, &descriptor);
    if (error != 0)
        return error;
    bool privileged = privilege_fits(segment, descriptor.raw, selector & SELECTOR_RPL, level);
    /* Presence comes before the privilege of stack and data, but behind that of code. */
    if (!kind_fits(segment, descriptor.raw) || (segment == SEGMENT_CS && !privileged))
        return task_raise(task, VECTOR_TS, selector);
    if ((descriptor.raw & DESCRIPTOR_P) == 0)
        return task_raise(task, segment == SEGMENT_SS ? VECTOR_SS : VECTOR_NP, selector);
    if (!privileged)
        return task_raise(task, VECTOR_TS, selector);
    error = mark_accessed(task, &descriptor);
    if (error != 0)
        return error;
    struct segment_register value = task_segment(selector, descriptor.raw);
    virt->write_segment(task->vcpu, segment, &value);
    return 0;
}

/*
 * What stands in the registers until their descriptors are loaded, and stays where one is refused: the selectors, which
 * a handler that is a task finds in the TSS, at the new task's privilege level. Entries want a code segment and a stack
 * segment that are whole; a stack of one byte takes no push.
 */
static void load_selectors(struct vcpu *vcpu, const uint16_t *segments, unsigned level)
{
    uint32_t dpl = level << SEGMENT_DPL_SHIFT;

    for (unsigned i = SEGMENT_ES; i <= SEGMENT_GS; i++) {
        struct segment_register value = {.attributes = (uint32_t)SEGMENT_UNUSABLE, .selector = segments[i]};
        if (i == SEGMENT_CS)
            value = (struct segment_register){0, 0xffff, ATTRIBUTES_CODE | dpl, segments[i]};
        else if (i == SEGMENT_SS)
            value = (struct segment_register){0, 0, ATTRIBUTES_DATA | dpl, segments[i]};
        virt->write_segment(vcpu, (enum segment)i, &value);
    }
}

static void load_virtual_8086(struct vcpu *vcpu, const uint16_t *segments)
{
    for (unsigned i = SEGMENT_ES; i <= SEGMENT_GS; i++) {
        struct segment_register value = {(uint64_t)segments[i] << 4, 0xffff, ATTRIBUTES_VIRTUAL_8086, segments[i]};
        virt->write_segment(vcpu, (enum segment)i, &value);
    }
}

int task_load_segments(struct task_switch *task, uint16_t ldt, const uint16_t *segments)
{
    static const enum segment order[] = {SEGMENT_CS, SEGMENT_SS, SEGMENT_DS, SEGMENT_ES, SEGMENT_FS, SEGMENT_GS};
    const struct segment_register no_ldt = {.attributes = (uint32_t)SEGMENT_UNUSABLE, .selector = ldt};
    struct vcpu *vcpu = task->vcpu;
    unsigned level = segments[SEGMENT_CS] & SELECTOR_RPL;
    bool virtual_8086 = (vcpu_read(vcpu, VCPU_RFLAGS) & RFLAGS_VM) != 0;

    if (virtual_8086)
        load_virtual_8086(vcpu, segments);
    else
        load_selectors(vcpu, segments, level);
    virt->write_segment(vcpu, SEGMENT_LDTR, &no_ldt);
    int error = load_ldt(task, ldt);
    for (unsigned i = 0; i < ARRAY_SIZE(order) && error == 0 && !virtual_8086; i++)
        error = load_segment(task, order[i], segments[order[i]], level);
    return error;
}
