/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Segment and interrupt descriptors. The GDT and TSS are each CPU's own; the IDT is one, built once, read by all.
 */
#include "arch/cpu.h"
#include "arch/x86.h"

extern const uint8_t trap_stubs[];
extern uint8_t cpu_nmi_stack_end[], cpu_fault_stack_end[], cpu_stack_end[];

/* Interrupt gate. Intel SDM vol. 3, "64-Bit Mode IDT". */
struct PACKED gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t ist;
    uint8_t type;
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};
_Static_assert(sizeof(struct gate) == 16, "SDM: a 64-bit gate is 16 bytes");

#define GATE_INTERRUPT 0x8eu /* present, DPL 0, 64-bit interrupt gate */

/* Interrupt stack table slots. */
#define IST_NMI   1u
#define IST_FAULT 2u /* #DF, #MC, and #PF and #SS as well: a stack overflow must still be told */

#define GDT_CODE 0x00af9b000000ffffu
#define GDT_DATA 0x00cf93000000ffffu
#define GDT_TSS  0x0000890000000000u /* present, available 64-bit TSS */

static struct gate idt[256] ALIGNED(4096);
CPU_LOCAL struct cpu this_cpu ALIGNED(64);

static uint8_t ist_of(unsigned vector)
{
    switch (vector) {
    case 2: return IST_NMI;
    case 8:
    case 12:
    case 14:
    case 18: return IST_FAULT;
    default: return 0;
    }
}

static void idt_build(void)
{
    for (unsigned vector = 0; vector < ARRAY_SIZE(idt); vector++) {
        uint64_t offset = (uint64_t)(uintptr_t)&trap_stubs[vector * 16];
        idt[vector] = (struct gate){
            .offset_low = (uint16_t)offset,
            .selector = SELECTOR_CODE,
            .ist = ist_of(vector),
            .type = GATE_INTERRUPT,
            .offset_middle = (uint16_t)(offset >> 16),
            .offset_high = (uint32_t)(offset >> 32),
        };
    }
}

void descriptor_init(void)
{
    struct cpu *cpu = &this_cpu;
    uint64_t tss = (uint64_t)(uintptr_t)&cpu->tss;

    if (idt[0].selector == 0)
        idt_build();
    cpu->tss.ist[IST_NMI - 1] = (uint64_t)(uintptr_t)cpu_nmi_stack_end;
    cpu->tss.ist[IST_FAULT - 1] = (uint64_t)(uintptr_t)cpu_fault_stack_end;
    cpu->tss.rsp[0] = (uint64_t)(uintptr_t)cpu_stack_end;
    cpu->tss.io_map_base = sizeof(cpu->tss);
    cpu->gdt[0] = 0;
    cpu->gdt[1] = GDT_CODE;
    cpu->gdt[2] = GDT_DATA;
    cpu->gdt[3] = GDT_TSS | (sizeof(cpu->tss) - 1) | (tss & 0xffffff) << 16 | (tss >> 24 & 0xff) << 56;
    cpu->gdt[4] = tss >> 32;
    const struct table_pointer gdt = {sizeof(cpu->gdt) - 1, (uint64_t)(uintptr_t)cpu->gdt};
    const struct table_pointer idtr = {sizeof(idt) - 1, descriptor_idt_base()};
    gdt_load(&gdt);
    idt_load(&idtr);
    task_register_load(SELECTOR_TSS);
    cpu->ready = true;
}

uint64_t descriptor_idt_base(void)
{
    return (uint64_t)(uintptr_t)idt;
}
