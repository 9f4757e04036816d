/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Old state into the old TSS, new state out of the new one, descriptors marked busy and free, then the segments. Intel
 * SDM vol. 3, "Task Switching" and "Task-State Segment (TSS)"; vol. 2, CALL, INT n, IRET, JMP. Which checks the
 * processor has made before it exits: vol. 3, "Treatment of Task Switches".
 */
#include "hv/task_switch.h"

#include "hv/error.h"
#include "hv/gmem.h"
#include "hv/guest.h"
#include "hv/gwalk.h"
#include "hv/string.h"
#include "hv/task_internal.h"
#include "hv/vcpu.h"

#define CR0_TS           BIT(3)
#define CR0_PG           BIT(31)
#define RFLAGS_NT        BIT(14)
#define RFLAGS_RF        BIT(16)
#define RFLAGS_FIXED     BIT(1)
#define RFLAGS_KNOWN     UINT64_C(0x3f7fd5)
#define DR6_BT           BIT(15)
#define DR7_LOCAL        UINT64_C(0x155) /* L0-L3, LE */
#define DR7_GD           BIT(13)
#define SEGMENT_DOWNWARD BIT(2) /* of a data segment's type: it expands downwards */

#define TYPE_TSS_16 1u /* available */
#define TYPE_TSS_32 9u
#define TYPE_WIDE   8u
#define TYPE_BUSY   2u

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
    struct PACKED {
        uint16_t selector, reserved;
    } segments[6]; /* ES CS SS DS FS GS, as enum segment counts */
    uint16_t ldt, ldt_reserved;
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

/* The part that a task leaving writes: from its instruction pointer to its segments. */
#define SAVED_32      offsetof(struct tss_32, eip)
#define SAVED_32_SIZE (offsetof(struct tss_32, ldt) - SAVED_32)
#define SAVED_16      offsetof(struct tss_16, ip)
#define SAVED_16_SIZE (offsetof(struct tss_16, ldt) - SAVED_16)

/* What the new task starts with, of either form of TSS. */
struct task_state {
    uint32_t cr3, eip, eflags;
    uint32_t gpr[8];
    uint16_t segments[6];
    uint16_t ldt;
    bool trap;
};

/* One of the two tasks: its TSS, and where in memory is what the switch touches of it. */
struct task {
    struct segment_register tss;
    bool wide;
    gva_t descriptor; /* of its entry in the GDT */
    struct task_bytes state;
    struct task_bytes link;
    struct task_bytes access; /* the descriptor's byte with the busy bit */
};

static bool is_wide(const struct segment_register *tss)
{
    return (tss->attributes & TYPE_WIDE) != 0;
}

/* The processor has checked all this before it exited, but the guest may have changed it since. */
static int find_new_task(struct task_switch *task, uint16_t selector, enum task_source source, struct task *new)
{
    enum vector vector = source == SOURCE_IRET ? VECTOR_TS : VECTOR_GP;
    struct task_descriptor descriptor;

    if ((selector & SELECTOR_TABLE) != 0)
        return task_raise(task, vector, selector);
    int error = task_descriptor_read(task, selector, vector, &descriptor);
    if (error != 0)
        return error;
    uint32_t type = (uint32_t)(descriptor.raw >> DESCRIPTOR_TYPE_SHIFT & 0xf);
    uint32_t busy = source == SOURCE_IRET ? TYPE_BUSY : 0;
    if ((descriptor.raw & DESCRIPTOR_S) != 0 || (type != (TYPE_TSS_32 | busy) && type != (TYPE_TSS_16 | busy)))
        return task_raise(task, vector, selector);
    if ((descriptor.raw & DESCRIPTOR_P) == 0)
        return task_raise(task, VECTOR_NP, selector);
    new->tss = task_segment(selector, descriptor.raw);
    new->tss.attributes |= TYPE_BUSY;
    new->wide = is_wide(&new->tss);
    new->descriptor = descriptor.address;
    if (new->tss.limit < (new->wide ? sizeof(struct tss_32) : sizeof(struct tss_16)) - 1)
        return task_raise(task, VECTOR_TS, selector);
    return 0;
}

/* Of the old task no descriptor is checked, only that its TSS has room for what is saved. */
static int find_old_task(struct task_switch *task, struct task *old)
{
    struct table_register table;

    virt->read_segment(task->vcpu, SEGMENT_TR, &old->tss);
    virt->read_table(task->vcpu, false, &table);
    old->wide = is_wide(&old->tss);
    old->descriptor = table.base + (old->tss.selector & ~7u);
    if (old->tss.limit < (old->wide ? SAVED_32 + SAVED_32_SIZE : SAVED_16 + SAVED_16_SIZE) - 1)
        return task_raise(task, VECTOR_TS, old->tss.selector);
    return 0;
}

/* All that the switch reads and writes, before it writes anything: a fault shall leave the old task as it was. */
static int reach_all(struct task_switch *task, enum task_source source, struct task *old, struct task *new)
{
    const unsigned write = GWALK_IMPLICIT | GWALK_WRITE;
    bool nested = source == SOURCE_CALL || source == SOURCE_GATE;
    int error = task_reach(task, old->tss.base + (old->wide ? SAVED_32 : SAVED_16),
                           old->wide ? SAVED_32_SIZE : SAVED_16_SIZE, write, &old->state);

    if (error == 0)
        error = task_reach(task, new->tss.base, new->wide ? sizeof(struct tss_32) : sizeof(struct tss_16),
                           GWALK_IMPLICIT, &new->state);
    if (error == 0 && nested)
        error = task_reach(task, new->tss.base, sizeof(uint16_t), write, &new->link);
    if (error == 0 && !nested)
        error = task_reach(task, old->descriptor + DESCRIPTOR_ACCESS, 1, write, &old->access);
    if (error == 0 && source != SOURCE_IRET)
        error = task_reach(task, new->descriptor + DESCRIPTOR_ACCESS, 1, write, &new->access);
    return error;
}

static uint16_t selector_of(struct vcpu *vcpu, enum segment segment)
{
    struct segment_register value;

    virt->read_segment(vcpu, segment, &value);
    return value.selector;
}

static void save_old_task(struct task_switch *task, const struct task *old, uint64_t rip, uint64_t rflags)
{
    struct vcpu *vcpu = task->vcpu;
    struct tss_32 wide = {0};
    struct tss_16 narrow = {0};

    if (!old->wide) {
        narrow.ip = (uint16_t)rip;
        narrow.flags = (uint16_t)rflags;
        for (unsigned i = 0; i < ARRAY_SIZE(narrow.gpr); i++)
            narrow.gpr[i] = (uint16_t)vcpu_gpr(vcpu, i);
        for (unsigned i = 0; i < ARRAY_SIZE(narrow.segments); i++)
            narrow.segments[i] = selector_of(vcpu, (enum segment)i);
        task_bytes_write(task, &old->state, (const uint8_t *)&narrow + SAVED_16);
        return;
    }
    /* What is reserved beside the selectors stays as it is. */
    task_bytes_read(task, &old->state, (uint8_t *)&wide + SAVED_32);
    wide.eip = (uint32_t)rip;
    wide.eflags = (uint32_t)rflags;
    for (unsigned i = 0; i < ARRAY_SIZE(wide.gpr); i++)
        wide.gpr[i] = (uint32_t)vcpu_gpr(vcpu, i);
    for (unsigned i = 0; i < ARRAY_SIZE(wide.segments); i++)
        wide.segments[i].selector = selector_of(vcpu, (enum segment)i);
    task_bytes_write(task, &old->state, (const uint8_t *)&wide + SAVED_32);
}

static void read_new_task(struct task_switch *task, const struct task *new, struct task_state *state)
{
    struct tss_32 wide;
    struct tss_16 narrow;

    *state = (struct task_state){0};
    if (!new->wide) {
        task_bytes_read(task, &new->state, &narrow);
        state->eip = narrow.ip;
        state->eflags = narrow.flags;
        /* The upper halves are ones, as on the processors that had such tasks only. */
        for (unsigned i = 0; i < ARRAY_SIZE(narrow.gpr); i++)
            state->gpr[i] = narrow.gpr[i] | UINT32_C(0xffff0000);
        for (unsigned i = 0; i < ARRAY_SIZE(narrow.segments); i++)
            state->segments[i] = narrow.segments[i];
        state->ldt = narrow.ldt;
        return;
    }
    task_bytes_read(task, &new->state, &wide);
    state->cr3 = wide.cr3;
    state->eip = wide.eip;
    state->eflags = wide.eflags;
    memcpy(state->gpr, wide.gpr, sizeof(state->gpr));
    for (unsigned i = 0; i < ARRAY_SIZE(wide.segments); i++)
        state->segments[i] = wide.segments[i].selector;
    state->ldt = wide.ldt;
    state->trap = (wide.trap & 1) != 0;
}

/* Returns false when another vCPU has taken the task meanwhile: nothing is done then, and the processor will say so
 * itself. */
static bool mark_busy(struct task_switch *task, enum task_source source, const struct task *old, const struct task *new)
{
    struct guest *guest = task->vcpu->guest;
    uint8_t *taken = source == SOURCE_IRET ? NULL : gmem_pointer(guest, new->access.parts[0], 1);
    uint8_t *freed =
        source == SOURCE_CALL || source == SOURCE_GATE ? NULL : gmem_pointer(guest, old->access.parts[0], 1);

    if (taken != NULL && (__atomic_fetch_or(taken, TYPE_BUSY, __ATOMIC_SEQ_CST) & TYPE_BUSY) != 0)
        return false;
    if (freed != NULL)
        __atomic_fetch_and(freed, (uint8_t)~TYPE_BUSY, __ATOMIC_SEQ_CST);
    return true;
}

/* The registers of the new task; from here on faults are the new task's. */
static void enter_new_task(struct vcpu *vcpu, const struct task *new, const struct task_state *state)
{
    virt->clear_shadow(vcpu);
    virt->write_segment(vcpu, SEGMENT_TR, &new->tss);
    if (new->wide && (vcpu_read(vcpu, VCPU_CR0) & CR0_PG) != 0)
        vcpu_write(vcpu, VCPU_CR3, state->cr3);
    vcpu_write(vcpu, VCPU_RIP, state->eip);
    vcpu_write(vcpu, VCPU_RFLAGS, (state->eflags & RFLAGS_KNOWN) | RFLAGS_FIXED);
    for (unsigned i = 0; i < ARRAY_SIZE(state->gpr); i++)
        vcpu_set_gpr(vcpu, i, state->gpr[i]);
    vcpu_write(vcpu, VCPU_CR0, vcpu_read(vcpu, VCPU_CR0) | CR0_TS);
    vcpu_write(vcpu, VCPU_DR7, vcpu_read(vcpu, VCPU_DR7) & ~DR7_LOCAL);
}

/* Vol. 1, "Procedure Stack"; vol. 3, "Limit Checking". */
static bool stack_has_room(const struct segment_register *ss, uint64_t top, uint32_t size, uint64_t mask)
{
    uint64_t last = top + size - 1;

    if ((ss->attributes & SEGMENT_UNUSABLE) != 0 || last > mask)
        return false;
    return (ss->attributes & SEGMENT_DOWNWARD) != 0 ? top > ss->limit : last <= ss->limit;
}

/* What an exception with an error code leaves on the new task's stack, in the width of its TSS. */
static int push_error_code(struct task_switch *task, bool wide, uint32_t error_code)
{
    struct vcpu *vcpu = task->vcpu;
    uint32_t size = wide ? sizeof(uint32_t) : sizeof(uint16_t);
    unsigned access = GWALK_WRITE | (vcpu_privilege_level(vcpu) == 3 ? (unsigned)GWALK_USER : 0);
    struct segment_register ss;
    struct task_bytes bytes;

    virt->read_segment(vcpu, SEGMENT_SS, &ss);
    uint64_t mask = (ss.attributes & SEGMENT_DB) != 0 ? UINT32_MAX : UINT16_MAX;
    uint64_t rsp = vcpu_gpr(vcpu, GPR_RSP);
    uint64_t top = (rsp - size) & mask;
    if (!stack_has_room(&ss, top, size, mask))
        return task_raise(task, VECTOR_SS, 0);
    int error = task_reach(task, ss.base + top, size, access, &bytes);
    if (error != 0)
        return error;
    task_bytes_write(task, &bytes, &error_code);
    vcpu_set_gpr(vcpu, GPR_RSP, (rsp & ~mask) | top);
    return 0;
}

/* Behind the point of no return: what can still go wrong happens in the new task, before its first instruction. */
static int complete(struct task_switch *task, const struct task *new, const struct task_state *state,
                    const struct event *event)
{
    struct segment_register cs;
    int error = task_load_segments(task, state->ldt, state->segments);

    if (error == 0 && event->type == EVENT_EXCEPTION && event->has_error_code)
        error = push_error_code(task, new->wide, event->error_code);
    if (error != 0)
        return error;
    virt->read_segment(task->vcpu, SEGMENT_CS, &cs);
    return state->eip <= cs.limit ? 0 : task_raise(task, VECTOR_GP, 0);
}

/* T in the TSS. Intel SDM vol. 3, "Task-Switch Exception Condition". */
static void raise_task_trap(struct vcpu *vcpu)
{
    vcpu_write(vcpu, VCPU_DR6, vcpu_read(vcpu, VCPU_DR6) | DR6_BT);
    vcpu_write(vcpu, VCPU_DR7, vcpu_read(vcpu, VCPU_DR7) & ~DR7_GD);
    event_raise(vcpu, VECTOR_DB);
}

/* The flags as the old task gets them back. RF is what the processor would save, but for exceptions that hv itself has
 * raised. */
static uint64_t saved_flags(struct vcpu *vcpu, enum task_source source, const struct event *event)
{
    uint64_t rflags = vcpu_read(vcpu, VCPU_RFLAGS);

    if (source == SOURCE_IRET)
        rflags &= ~RFLAGS_NT;
    if (event->type == EVENT_EXCEPTION && event->vector != VECTOR_DB)
        rflags |= RFLAGS_RF;
    return rflags;
}

/* INT1 is no instruction of the program in this respect: vol. 3, "Error Code". */
static bool is_external(const struct event *event)
{
    return event->type != EVENT_NONE && event->type != EVENT_SOFTWARE_INTERRUPT &&
           (event->type != EVENT_SOFTWARE_EXCEPTION || event->vector == VECTOR_DB);
}

enum verdict task_switch(struct vcpu *vcpu, struct vmexit *exit)
{
    const struct event nothing = {.type = EVENT_NONE};
    enum task_source source = (enum task_source)exit->task_switch.source;
    /* What came through a task gate. It is being delivered by what we do here: a fault on the way composes with it as
     * with any delivery. */
    struct event event = source == SOURCE_GATE ? vcpu->events.interrupted : nothing;
    bool by_instruction =
        source != SOURCE_GATE || event.type == EVENT_SOFTWARE_INTERRUPT || event.type == EVENT_SOFTWARE_EXCEPTION;
    struct task_switch task = {.vcpu = vcpu, .external = is_external(&event)};
    struct task old, new;
    struct task_state state;

    if (find_new_task(&task, exit->task_switch.selector, source, &new) != 0 || find_old_task(&task, &old) != 0 ||
        reach_all(&task, source, &old, &new) != 0 || !mark_busy(&task, source, &old, &new))
        return RESUME;
    save_old_task(&task, &old, vcpu_read(vcpu, VCPU_RIP) + (by_instruction ? exit->length : 0u),
                  saved_flags(vcpu, source, &event));
    if (source == SOURCE_CALL || source == SOURCE_GATE)
        task_bytes_write(&task, &new.link, &old.tss.selector);
    read_new_task(&task, &new, &state);
    if (source == SOURCE_CALL || source == SOURCE_GATE)
        state.eflags |= (uint32_t)RFLAGS_NT;
    task.committed = true;
    enter_new_task(vcpu, &new, &state);
    /* An interrupt has arrived, whatever becomes of the new task; a fault in its first steps still meets the exception
     * that brought it up. */
    if (event.type != EVENT_EXCEPTION)
        vcpu->events.interrupted.type = EVENT_NONE;
    if (complete(&task, &new, &state, &event) != 0)
        return RESUME;
    vcpu->events.interrupted.type = EVENT_NONE;
    if (state.trap)
        raise_task_trap(vcpu);
    return RESUME;
}
