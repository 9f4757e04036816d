/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attacks that end the guest, each chosen by its name: that guest alone stops, in words, and whatever else runs goes
 * on. One that comes back has been survived, which its line says.
 */
#include "arch/msr.h"
#include "arch/x86.h"
#include "guests/attacker/attacker.h"
#include "guests/attacker/modes.h"
#include "guests/lib/apic.h"
#include "guests/lib/internal.h"
#include "guests/lib/processors.h"
#include "hv/string.h"
#include "hv/virt.h"

#define NOTHING GIB(5)

static void load_idt(uint64_t base, uint16_t limit)
{
    const struct table_pointer pointer = {limit, base};

    idt_load(&pointer);
}

static uint64_t triple_fault(void)
{
    load_idt(0, 0);
    __asm__ volatile("ud2");
    return 0;
}

/* Through the interrupt table, the stack, the descriptor table: each where no memory is. */
static uint64_t table_nowhere(void)
{
    load_idt(window_map(0, NOTHING, PAGE_ALL), PAGE_SIZE - 1);
    __asm__ volatile("ud2");
    return 0;
}

static uint64_t stack_nowhere(void)
{
    uint64_t stack = window_map(0, NOTHING, PAGE_ALL) + PAGE_SIZE;

    __asm__ volatile("mov %0, %%rsp; ud2" : : "r"(stack) : "memory");
    return 0;
}

static uint64_t descriptors_nowhere(void)
{
    const struct table_pointer pointer = {PAGE_SIZE - 1, window_map(0, NOTHING, PAGE_ALL)};

    gdt_load(&pointer);
    __asm__ volatile("mov %0, %%fs; mov %1, %%ds" : : "r"(0x10), "r"(0x18) : "memory");
    return 0;
}

static uint64_t code_nowhere(void)
{
    ((void (*)(void))(uintptr_t)window_map(0, NOTHING, PAGE_ALL))();
    return 0;
}

/* The page behind is there, and is no memory. */
static uint64_t code_into_nowhere(void)
{
    uint8_t *code = (uint8_t *)(uintptr_t)attacker_scratch();
    uint64_t linear = window_map(0, (uintptr_t)code, PAGE_ALL);

    (void)window_map(1, NOTHING, PAGE_ALL);
    memcpy(code + PAGE_SIZE - 3, "\x48\x8b\x87", 3); /* mov 0(%rdi), %rax */
    ((void (*)(uint64_t))(uintptr_t)(linear + PAGE_SIZE - 3))(window_map(2, NOTHING, PAGE_ALL));
    return 0;
}

static uint64_t tables_nowhere(void)
{
    cr3_write(NOTHING);
    return 0;
}

/* Data whose page table is in device memory. */
static uint64_t tables_in_device(void)
{
    page_root[2] = NOTHING | PAGE_ALL;
    cr3_write(cr3_read());
    (void)*(volatile uint64_t *)(uintptr_t)(UINT64_C(2) << 39);
    return 0;
}

/* SSE on device memory is not emulated. */
static uint64_t unknown_instruction(void)
{
    cr4_write(cr4_read() | CR4_OSFXSR);
    __asm__ volatile("movups (%0), %%xmm0" : : "r"(window_map(0, NOTHING, PAGE_ALL)) : "memory");
    return 0;
}

static uint64_t task_nowhere(void)
{
    mode_step(step_task_far);
    return 0;
}

/* Its #TS comes in the new task, whose stack is not loaded yet: most processors shut down. */
static uint64_t task_without_code(void)
{
    mode_step(step_task_lost);
    return 0;
}

/* A breakpoint on the first instruction of the handler of breakpoints, which has a stack of its own: for ever. */
static uint64_t debug_loop(void)
{
    struct table_pointer idt;

    __asm__ volatile("sidt %0" : "=m"(idt));
    ((uint8_t *)(uintptr_t)idt.base)[16 * VECTOR_DB + 4] = 1; /* the gate's IST */
    dr0_write((uintptr_t)interrupt_entries[VECTOR_DB]);
    dr7_write(0x401);
    __asm__ volatile("int $1");
    dr7_write(0x400);
    return 0;
}

static uint64_t halt(void)
{
    halt_for_good();
}

/* Interrupts off and no exit at all: only the hypervisor's own timer comes through. */
static uint64_t spin(void)
{
    uint64_t turns = 0;

    while (turns != UINT64_MAX)
        turns++, cpu_relax();
    return turns;
}

/* ---- Ends of which the guest is master; each is a reset or a power-off, and no more than that ---- */

static uint64_t init_of_itself(void)
{
    apic_send(apic_id(), APIC_INIT | APIC_ASSERT);
    return 0;
}

static uint64_t init_of_all(void)
{
    apic_send(APIC_BROADCAST8, APIC_INIT | APIC_ASSERT | APIC_LOGICAL);
    return 0;
}

static uint64_t reset_control(void)
{
    out8(0xcf9, 0x06);
    return 0;
}

static uint64_t reset_keyboard(void)
{
    out8(0x64, 0xfe);
    return 0;
}

static uint64_t reset_fast(void)
{
    out8(0x92, 0x01);
    return 0;
}

/* Each port that might end something, with every value. */
static uint64_t every_end(void)
{
    static const uint16_t ports[] = {0x60, 0x64, 0x92, 0xcf9, 0x604, 0x605, 0x608, 0xb2, 0x8900, 0xf4, 0x501};

    for (unsigned value = 0; value < 256; value++) {
        for (unsigned i = 0; i < ARRAY_SIZE(ports); i++)
            out8(ports[i], (uint8_t)value);
    }
    return 256 * ARRAY_SIZE(ports);
}

const struct attack attacks_that_end[] = {
    {"triple-fault", "triple faults survived", triple_fault},
    {"table-nowhere", "deliveries survived", table_nowhere},
    {"stack-nowhere", "deliveries survived", stack_nowhere},
    {"descriptors-nowhere", "segments loaded from nowhere", descriptors_nowhere},
    {"code-nowhere", "jumps to nowhere survived", code_nowhere},
    {"code-into-nowhere", "instructions into nowhere survived", code_into_nowhere},
    {"tables-nowhere", "roots in nowhere survived", tables_nowhere},
    {"tables-in-device", "tables in nowhere survived", tables_in_device},
    {"unknown-instruction", "unknown instructions survived", unknown_instruction},
    {"task-nowhere", "tasks in nowhere survived", task_nowhere},
    {"task-without-code", "tasks without code survived", task_without_code},
    {"debug-loop", "endless deliveries survived", debug_loop},
    {"halt", "halts survived", halt},
    {"spin", "loops left", spin},
    {"init-itself", "INITs survived", init_of_itself},
    {"init-all", "INITs survived", init_of_all},
    {"reset-control", "resets survived", reset_control},
    {"reset-keyboard", "resets survived", reset_keyboard},
    {"reset-fast", "resets survived", reset_fast},
    {"every-end", "values survived", every_end},
    {NULL, NULL, NULL},
};
