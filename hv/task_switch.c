/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Old state into the old TSS, new state out of the new one, descriptors marked busy and free, then the segments. Intel SDM vol. 3, "Task Switching" and
 * "Task-State Segment (TSS)"; which checks the processor has made before it exits: "Treatment of Task Switches".
 */
#include "hv/task_switch.h"

#include "hv/error.h"
#include "hv/gmem.h"
#include "hv/guest.h"
#include "hv/gwalk.h"
#include "hv/string.h"
#include "hv/vcpu.h"

#define CR0_TS    BIT(3)
#define CR0_PG    BIT(31)
#define RFLAGS_NT BIT(14)
#define RFLAGS_VM BIT(17)
#define RFLAGS_RF BIT(16)
#define DR6_BT    BIT(15)
#define DR7_LOCAL UINT64_C(0x155) /* L0-L3, LE */

#define SELECTOR_TABLE 4u /* in the LDT */
#define SELECTOR_RPL   3u

#define TYPE_TSS_16 1u /* available */
#define TYPE_LDT    2u
#define TYPE_TSS_32 9u
#define TYPE_BUSY   2u

#define VIRTUAL_8086_ATTRIBUTES 0xf3u /* present, DPL 3, data, writable, accessed */

enum task_source {
    SOURCE_CALL,
    SOURCE_IRET,
    SOURCE_JMP,
    SOURCE_GATE,
};

struct PACKED tss_32 {
    uint32_t link;
    uint32_t stacks[6];
    uint32_t cr3, eip, eflags;
    uint32_t gpr[8];
    uint32_t segments[6]; /* ES CS SS DS FS GS, as enum segment counts */
    uint32_t ldt;
    uint16_t trap;
    uint16_t io_map;
};
_Static_assert(sizeof(struct tss_32) == 104, "SDM: a 32-bit TSS is 104 bytes");

struct PACKED tss_16 {
    uint16_t link;
    uint16_t stacks[6];
    uint16_t ip, flags;
    uint16_t gpr[8];
    uint16_t segments[4]; /* ES CS SS DS */
    uint16_t ldt;
};
_Static_assert(sizeof(struct tss_16) == 44, "SDM: a 16-bit TSS is 44 bytes");

struct descriptor {
    gva_t address; /* of its 8 bytes */
    uint64_t raw;
};

static uint32_t descriptor_type(uint64_t raw)
{
    return (uint32_t)(raw >> 40 & 0xf);
}

static struct segment_register descriptor_segment(uint16_t selector, uint64_t raw)
{
    uint32_t limit = (uint32_t)((raw & 0xffff) | (raw >> 32 & 0xf0000));
    struct segment_register segment = {
        .base = (raw >> 16 & 0xffffff) | (raw >> 32 & 0xff000000),
        .limit = (raw & BIT(55)) != 0 ? limit << 12 | 0xfff : limit,
        .attributes = (uint32_t)(raw >> 40 & 0xf0ff),
        .selector = selector,
    };
    return segment;
}

/* System structures are reached with supervisor rights whatever the privilege level. Piece by piece, as pages lie. */
static int system_copy(struct vcpu *vcpu, gva_t linear, void *bytes, uint32_t size, bool write)
{
    for (uint32_t done = 0; done < size;) {
        struct gwalk_fault fault;
        gpa_t physical;
        uint32_t part = (uint32_t)min_u64(size - done, PAGE_SIZE - ((linear + done) & PAGE_MASK));
        int error = gwalk_translate(vcpu, (uint32_t)(linear + done), GWALK_IMPLICIT | (write ? GWALK_WRITE : 0), &physical, &fault);
        if (error == E_FAULT)
            event_raise_page_fault(vcpu, fault.address, fault.error_code);
        if (error == E_NOENT) {
            guest_crash(vcpu, "a task switch through 0x%lx, whose page tables lie outside of its memory", linear + done);
            return error;
        }
        if (error != 0)
            return error;
        error = write ? gmem_write(vcpu->guest, physical, (uint8_t *)bytes + done, part)
                      : gmem_read(vcpu->guest, physical, (uint8_t *)bytes + done, part);
        if (error != 0) {
            guest_crash(vcpu, "a task switch through 0x%lx, where it has no memory", linear + done);
            return error;
        }
        done += part;
    }
    return 0;
}

static int raise(struct vcpu *vcpu, enum vector vector, uint16_t selector)
{
    event_raise_error(vcpu, vector, selector & ~SELECTOR_RPL);
    return E_INVAL;
}

/* Fetch the descriptor that a selector names; `vector` is raised when it lies outside of its table. */
static int read_descriptor(struct vcpu *vcpu, uint16_t selector, enum vector vector, struct descriptor *descriptor)
{
    struct table_register table;
    uint32_t offset = selector & ~7u;

    if ((selector & SELECTOR_TABLE) != 0) {
        struct segment_register ldt;
        virt->read_segment(vcpu, SEGMENT_LDTR, &ldt);
        if ((ldt.attributes & SEGMENT_UNUSABLE) != 0)
            return raise(vcpu, vector, selector);
        table = (struct table_register){ldt.base, ldt.limit};
    } else {
        virt->read_table(vcpu, false, &table);
    }
    if (offset + 7 > table.limit)
        return raise(vcpu, vector, selector);
    descriptor->address = table.base + offset;
    return system_copy(vcpu, descriptor->address, &descriptor->raw, sizeof(descriptor->raw), false);
}

static int write_descriptor(struct vcpu *vcpu, struct descriptor *descriptor)
{
    return system_copy(vcpu, descriptor->address, &descriptor->raw, sizeof(descriptor->raw), true);
}

/* The new TSS, as the processor has not checked it itself. */
static int read_new_task(struct vcpu *vcpu, uint16_t selector, enum task_source source, struct descriptor *descriptor)
{
    enum vector vector = source == SOURCE_IRET ? VECTOR_TS : VECTOR_GP;

    if ((selector & SELECTOR_TABLE) != 0 || (selector & ~SELECTOR_RPL) == 0)
        return raise(vcpu, vector, selector);
    int error = read_descriptor(vcpu, selector, vector, descriptor);
    if (error != 0)
        return error;
    uint32_t type = descriptor_type(descriptor->raw);
    uint32_t wanted = source == SOURCE_IRET ? TYPE_BUSY : 0;
    if ((descriptor->raw & BIT(44)) != 0 || (type != (TYPE_TSS_32 | wanted) && type != (TYPE_TSS_16 | wanted)))
        return raise(vcpu, vector, selector);
    if ((descriptor->raw & BIT(47)) == 0)
        return raise(vcpu, VECTOR_NP, selector);
    bool wide = (type & 8) != 0;
    if (descriptor_segment(selector, descriptor->raw).limit + 1 < (wide ? sizeof(struct tss_32) : sizeof(struct tss_16)))
        return raise(vcpu, VECTOR_TS, selector);
    return 0;
}

static uint16_t selector_of(struct vcpu *vcpu, enum segment segment)
{
    struct segment_register value;

    virt->read_segment(vcpu, segment, &value);
    return value.selector;
}

/* Only the fields that change are written: from EIP to the segments. */
static int save_old_task(struct vcpu *vcpu, const struct segment_register *old, uint64_t rip, uint64_t rflags)
{
    if ((old->attributes & 8) != 0) {
        struct tss_32 tss = {.eip = (uint32_t)rip, .eflags = (uint32_t)rflags};
        for (unsigned i = 0; i < 8; i++)
            tss.gpr[i] = (uint32_t)vcpu_gpr(vcpu, i);
        for (unsigned i = 0; i < ARRAY_SIZE(tss.segments); i++)
            tss.segments[i] = selector_of(vcpu, (enum segment)i);
        return system_copy(vcpu, old->base + offsetof(struct tss_32, eip), &tss.eip,
                           offsetof(struct tss_32, ldt) - offsetof(struct tss_32, eip), true);
    }
    struct tss_16 tss = {.ip = (uint16_t)rip, .flags = (uint16_t)rflags};
    for (unsigned i = 0; i < 8; i++)
        tss.gpr[i] = (uint16_t)vcpu_gpr(vcpu, i);
    for (unsigned i = 0; i < ARRAY_SIZE(tss.segments); i++)
        tss.segments[i] = selector_of(vcpu, (enum segment)i);
    return system_copy(vcpu, old->base + offsetof(struct tss_16, ip), &tss.ip,
                       offsetof(struct tss_16, ldt) - offsetof(struct tss_16, ip), true);
}

/* Both forms of TSS in the wide one. */
static int load_new_task(struct vcpu *vcpu, const struct segment_register *new, struct tss_32 *tss)
{
    struct tss_16 narrow;

    if ((new->attributes & 8) != 0)
        return system_copy(vcpu, new->base, tss, sizeof(*tss), false);
    int error = system_copy(vcpu, new->base, &narrow, sizeof(narrow), false);
    memset(tss, 0, sizeof(*tss));
    tss->eip = narrow.ip;
    tss->eflags = narrow.flags;
    for (unsigned i = 0; i < 8; i++)
        tss->gpr[i] = narrow.gpr[i] | 0xffff0000u;
    for (unsigned i = 0; i < ARRAY_SIZE(narrow.segments); i++)
        tss->segments[i] = narrow.segments[i];
    tss->ldt = narrow.ldt;
    return error;
}

static int load_ldt(struct vcpu *vcpu, uint16_t selector)
{
    struct segment_register unusable = {.attributes = (uint32_t)SEGMENT_UNUSABLE, .selector = selector};
    struct descriptor descriptor;

    virt->write_segment(vcpu, SEGMENT_LDTR, &unusable);
    if ((selector & ~SELECTOR_RPL) == 0)
        return 0;
    if ((selector & SELECTOR_TABLE) != 0)
        return raise(vcpu, VECTOR_TS, selector);
    int error = read_descriptor(vcpu, selector, VECTOR_TS, &descriptor);
    if (error != 0)
        return error;
    if ((descriptor.raw & BIT(44)) != 0 || descriptor_type(descriptor.raw) != TYPE_LDT || (descriptor.raw & BIT(47)) == 0)
        return raise(vcpu, VECTOR_TS, selector);
    struct segment_register ldt = descriptor_segment(selector, descriptor.raw);
    virt->write_segment(vcpu, SEGMENT_LDTR, &ldt);
    return 0;
}

/* Whether a descriptor may go into this register at this privilege level. */
static bool segment_fits(enum segment segment, uint64_t raw, uint16_t selector, unsigned level)
{
    bool code = (raw & BIT(43)) != 0, readable_or_writable = (raw & BIT(41)) != 0, conforming = code && (raw & BIT(42)) != 0;
    unsigned dpl = (unsigned)(raw >> 45 & 3), rpl = selector & SELECTOR_RPL;

    if ((raw & BIT(44)) == 0)
        return false;
    switch (segment) {
    case SEGMENT_CS: return code && (conforming ? dpl <= rpl : dpl == rpl);
    case SEGMENT_SS: return !code && readable_or_writable && dpl == level && rpl == level;
    default: return (!code || readable_or_writable) && (conforming || (dpl >= level && dpl >= rpl));
    }
}

static int load_segment(struct vcpu *vcpu, enum segment segment, uint16_t selector, unsigned level)
{
    struct segment_register value = {.attributes = (uint32_t)SEGMENT_UNUSABLE, .selector = selector};
    struct descriptor descriptor;

    if ((selector & ~SELECTOR_RPL) == 0) {
        virt->write_segment(vcpu, segment, &value);
        return segment == SEGMENT_CS || segment == SEGMENT_SS ? raise(vcpu, VECTOR_TS, selector) : 0;
    }
    int error = read_descriptor(vcpu, selector, VECTOR_TS, &descriptor);
    if (error != 0)
        return error;
    if (!segment_fits(segment, descriptor.raw, selector, level))
        return raise(vcpu, VECTOR_TS, selector);
    if ((descriptor.raw & BIT(47)) == 0)
        return raise(vcpu, segment == SEGMENT_SS ? VECTOR_SS : VECTOR_NP, selector);
    if ((descriptor.raw & BIT(40)) == 0) {
        descriptor.raw |= BIT(40); /* accessed */
        error = write_descriptor(vcpu, &descriptor);
        if (error != 0)
            return error;
    }
    value = descriptor_segment(selector, descriptor.raw);
    virt->write_segment(vcpu, segment, &value);
    return 0;
}

static int load_segments(struct vcpu *vcpu, const struct tss_32 *tss)
{
    static const enum segment order[] = {SEGMENT_CS, SEGMENT_SS, SEGMENT_ES, SEGMENT_DS, SEGMENT_FS, SEGMENT_GS};
    unsigned level = tss->segments[SEGMENT_CS] & SELECTOR_RPL;

    for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
        uint16_t selector = (uint16_t)tss->segments[order[i]];
        if ((tss->eflags & RFLAGS_VM) != 0) {
            const struct segment_register value = {(uint64_t)selector << 4, 0xffff, VIRTUAL_8086_ATTRIBUTES, selector};
            virt->write_segment(vcpu, order[i], &value);
            continue;
        }
        int error = load_segment(vcpu, order[i], selector, level);
        if (error != 0)
            return error;
    }
    return 0;
}

/* What an exception with an error code leaves on the new task's stack. */
static int push_error_code(struct vcpu *vcpu, bool wide, uint32_t error_code)
{
    struct segment_register ss;
    uint32_t size = wide ? 4 : 2;

    virt->read_segment(vcpu, SEGMENT_SS, &ss);
    uint64_t mask = (ss.attributes & SEGMENT_DB) != 0 ? UINT32_MAX : 0xffff;
    uint64_t rsp = vcpu_gpr(vcpu, GPR_RSP);
    uint64_t top = (rsp - size) & mask;
    int error = system_copy(vcpu, ss.base + top, &error_code, size, true);
    if (error == 0)
        vcpu_set_gpr(vcpu, GPR_RSP, (rsp & ~mask) | top);
    return error;
}

/* The registers of the new task; from here on faults are the new task's. */
static void enter_new_task(struct vcpu *vcpu, const struct tss_32 *tss, bool wide)
{
    if (wide && (vcpu_read(vcpu, VCPU_CR0) & CR0_PG) != 0)
        vcpu_write(vcpu, VCPU_CR3, tss->cr3);
    vcpu_write(vcpu, VCPU_RIP, tss->eip);
    vcpu_write(vcpu, VCPU_RFLAGS, (tss->eflags & 0x3f7fd5) | 2);
    for (unsigned i = 0; i < 8; i++)
        vcpu_set_gpr(vcpu, i, tss->gpr[i]);
    vcpu_write(vcpu, VCPU_CR0, vcpu_read(vcpu, VCPU_CR0) | CR0_TS);
    vcpu_write(vcpu, VCPU_DR7, vcpu_read(vcpu, VCPU_DR7) & ~DR7_LOCAL);
}

/* Free or mark the two descriptors, and link the tasks, as the kind of switch wants. */
static int update_descriptors(struct vcpu *vcpu, enum task_source source, uint16_t old_selector,
                              struct descriptor *new_descriptor, const struct segment_register *new)
{
    struct descriptor old_descriptor;
    int error = 0;

    if (source == SOURCE_JMP || source == SOURCE_IRET) {
        error = read_descriptor(vcpu, old_selector, VECTOR_TS, &old_descriptor);
        if (error != 0)
            return error;
        old_descriptor.raw &= ~((uint64_t)TYPE_BUSY << 40);
        error = write_descriptor(vcpu, &old_descriptor);
    } else {
        error = system_copy(vcpu, new->base, &old_selector, sizeof(old_selector), true);
    }
    if (error == 0 && source != SOURCE_IRET) {
        new_descriptor->raw |= (uint64_t)TYPE_BUSY << 40;
        error = write_descriptor(vcpu, new_descriptor);
    }
    return error;
}

enum verdict task_switch(struct vcpu *vcpu, struct vmexit *exit)
{
    enum task_source source = (enum task_source)exit->task_switch.source;
    uint16_t selector = exit->task_switch.selector;
    struct event event = vcpu->events.interrupted; /* what came through a task gate */
    struct segment_register old;
    struct descriptor descriptor;
    struct tss_32 tss;
    uint64_t rip = vcpu_read(vcpu, VCPU_RIP), rflags = vcpu_read(vcpu, VCPU_RFLAGS);
    bool by_instruction = source != SOURCE_GATE || event.type == EVENT_SOFTWARE_INTERRUPT || event.type == EVENT_SOFTWARE_EXCEPTION;

    /* It is being delivered by what we do here; a fault on the way composes with it as with any delivery. */
    if (read_new_task(vcpu, selector, source, &descriptor) != 0)
        return RESUME;
    virt->read_segment(vcpu, SEGMENT_TR, &old);
    struct segment_register new = descriptor_segment(selector, descriptor.raw | (uint64_t)TYPE_BUSY << 40);
    bool wide = (new.attributes & 8) != 0;
    if (source == SOURCE_IRET)
        rflags &= ~RFLAGS_NT;
    if (source == SOURCE_GATE && event.type == EVENT_EXCEPTION && event.vector != VECTOR_DB)
        rflags |= RFLAGS_RF; /* as any fault pushes it */
    if (load_new_task(vcpu, &new, &tss) != 0 ||
        save_old_task(vcpu, &old, by_instruction ? rip + exit->length : rip, rflags) != 0 ||
        update_descriptors(vcpu, source, old.selector, &descriptor, &new) != 0)
        return RESUME;
    vcpu->events.interrupted.type = EVENT_NONE;
    if (source == SOURCE_CALL || source == SOURCE_GATE)
        tss.eflags |= (uint32_t)RFLAGS_NT;
    virt->clear_shadow(vcpu);
    virt->write_segment(vcpu, SEGMENT_TR, &new);
    enter_new_task(vcpu, &tss, wide);
    if (load_ldt(vcpu, (uint16_t)tss.ldt) != 0 || load_segments(vcpu, &tss) != 0)
        return RESUME;
    if (source == SOURCE_GATE && event.has_error_code && push_error_code(vcpu, wide, event.error_code) != 0)
        return RESUME;
    if (wide && (tss.trap & 1) != 0) {
        vcpu_write(vcpu, VCPU_DR6, vcpu_read(vcpu, VCPU_DR6) | DR6_BT);
        event_raise(vcpu, VECTOR_DB);
    }
    return RESUME;
}
