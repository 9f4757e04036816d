/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attacks from other modes: 32-bit code without paging, hardware tasks, virtual-8086 and real mode.
 */
#include "guests/attacker/modes.h"
#include "arch/x86.h"
#include "guests/attacker/attacker.h"
#include "guests/lib/internal.h"
#include "guests/lib/processors.h"
#include "hv/string.h"

#define SELECTOR_CODE32  0x08u
#define SELECTOR_DATA    0x10u
#define SELECTOR_CALL    0x38u
#define TASK_GATE_VECTOR 0x81u
#define STACK_BYTES      512u

/* Intel SDM vol. 3, "32-Bit Task-State Segment (TSS)". */
struct task_state {
    uint32_t link, esp0, ss0, stacks[4], cr3, eip, eflags, gpr[8];
    uint32_t es, cs, ss, ds, fs, gs, ldt, io_map;
};
_Static_assert(sizeof(struct task_state) == 104, "as the processor has it");

extern uint64_t mode_gdt_tasks[6], mode_idt[256];
extern struct task_state tss_main, tss_call, tss_fresh, tss_lost;
extern uint32_t mode_faults;
extern const uint8_t exception_32[], task_code[];

static uint8_t task_stacks[3][STACK_BYTES] ALIGNED(16);

/* A descriptor of a task state: base, limit, type (9: 32-bit, 1: 16-bit). */
static uint64_t task_descriptor(uint64_t base, uint64_t limit, uint64_t type)
{
    return (limit & 0xffff) | (base & 0xffffff) << 16 | (type | 0x80) << 40 | (base >> 24 & 0xff) << 56;
}

static uint64_t gate(uint64_t selector, uint64_t offset, uint64_t type)
{
    return (offset & 0xffff) | selector << 16 | type << 40 | (offset & 0xffff0000) << 32;
}

static uint32_t stack_top(unsigned number)
{
    return (uint32_t)(uintptr_t)task_stacks[number] + STACK_BYTES - 16;
}

static void prepare(void)
{
    const struct task_state task = {
        .esp0 = stack_top(0),
        .ss0 = SELECTOR_DATA,
        .eip = (uint32_t)(uintptr_t)task_code,
        .eflags = 2,
        .gpr = {[4] = stack_top(1)},
        .es = SELECTOR_DATA,
        .cs = SELECTOR_CODE32,
        .ss = SELECTOR_DATA,
        .ds = SELECTOR_DATA,
        .io_map = UINT32_C(104) << 16,
    };

    tss_main = tss_fresh = tss_lost = task;
    tss_lost.cs = 0;
    tss_lost.gpr[4] = stack_top(2);
    mode_gdt_tasks[0] = task_descriptor((uintptr_t)&tss_main, sizeof(task) - 1, 9);
    mode_gdt_tasks[1] = task_descriptor((uintptr_t)&tss_call, sizeof(task) - 1, 9);
    mode_gdt_tasks[2] = task_descriptor((uintptr_t)&tss_call, 40, 9);
    mode_gdt_tasks[3] = task_descriptor((uintptr_t)&tss_lost, sizeof(task) - 1, 9);
    mode_gdt_tasks[4] = task_descriptor((uintptr_t)&tss_main, 43, 1);
    mode_gdt_tasks[5] = task_descriptor(0xf0000000, sizeof(task) - 1, 9);
    for (unsigned vector = 0; vector < ARRAY_SIZE(mode_idt); vector++)
        mode_idt[vector] = gate(SELECTOR_CODE32, (uintptr_t)exception_32, 0x8e);
    mode_idt[TASK_GATE_VECTOR] = gate(SELECTOR_CALL, 0, 0x85);
}

void mode_step(void (*step)(void))
{
    prepare();
    mode_trip(step);
    processor_load_tables(processor_number());
}

uint32_t mode_step_faults(void)
{
    return mode_faults;
}

/* Those that always end in an exception, and those that never do; what QEMU's TCG gets wrong; and of the others
 * processors have their own opinions. */
enum outcome {
    PASSES,
    FAULTS,
    STRICTLY_FAULTS,
    EITHER,
};

static const struct mode_case {
    const char *name;
    void (*step)(void);
    enum outcome outcome;
} cases[] = {
    {"ports", step_ports, PASSES},
    {"device memory", step_memory, PASSES},
    {"registers", step_registers, PASSES},
    {"CR4 with all bits", step_cr4, STRICTLY_FAULTS},
    {"a task that is called", step_task_call, PASSES},
    {"a task behind a gate", step_task_gate, PASSES},
    {"a task that is too small", step_task_tiny, FAULTS},
    {"a busy task", step_task_busy, FAULTS},
    {"a return to no task", step_task_return, FAULTS},
    {"long mode with a 16-bit task", step_long_mode_16, EITHER},
    {"a jump to no segment", step_far, FAULTS},
    {"virtual-8086 mode", step_v86, FAULTS}, /* its HLT */
    {"real mode", step_real, PASSES},
};

static uint64_t modes(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        uint32_t before = mode_faults;
        bool expected = cases[i].outcome == FAULTS || cases[i].outcome == STRICTLY_FAULTS;
        if (cases[i].outcome == STRICTLY_FAULTS && !option_given("strict"))
            continue;
        mode_step(cases[i].step);
        bool faulted = mode_faults != before;
        check(cases[i].outcome == EITHER || faulted == expected, "%s: %s", cases[i].name,
              faulted ? "an exception" : "no exception");
    }
    return ARRAY_SIZE(cases);
}

const struct attack attacks_by_mode[] = {
    {"modes", "steps outside of 64-bit mode", modes},
    {NULL, NULL, NULL},
};
