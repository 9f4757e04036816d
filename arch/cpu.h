/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What belongs to one physical CPU. Variables marked CPU_LOCAL live in a window of the address space that every CPU's
 * own page tables map to pages of its own: the same address, another CPU's page, and nobody else's is reachable.
 */
#ifndef ARCH_CPU_H
#define ARCH_CPU_H

#include "hv/types.h"

#define CPU_LOCAL __attribute__((section(".cpu_local")))

/* Segment selectors of the hypervisor's GDT. */
#define SELECTOR_CODE 0x08u
#define SELECTOR_DATA 0x10u
#define SELECTOR_TSS  0x18u /* two slots */

/* Task state segment. Intel SDM vol. 3, "64-Bit Mode TSS". */
struct PACKED task_state {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map_base;
};
_Static_assert(sizeof(struct task_state) == 104, "SDM: 64-bit TSS is 104 bytes");

/* This CPU's own. */
struct cpu {
    uint32_t number; /* 0: the one that booted */
    uint64_t gdt[5];
    struct task_state tss;
    uint64_t timer_deadline; /* armed, in ticks; UINT64_MAX: off */
    uint32_t nmis;           /* counts NMIs that host code took */
    bool ready;              /* GDT, IDT and TSS are loaded */
};
extern struct cpu this_cpu;

/* All of the below that a CPU needs once its own address space is in use. */
void cpu_init(uint32_t number);

/* Load this CPU's GDT, IDT and TSS. After the CPU's own address space is in use. */
void descriptor_init(void);

/* The shared interrupt descriptor table (for VT-x host state). */
uint64_t descriptor_idt_base(void);

/* Vectors of the hypervisor's own interrupts. */
#define VECTOR_HOST_TIMER    0xf0u
#define VECTOR_HOST_ERROR    0xfeu
#define VECTOR_HOST_SPURIOUS 0xffu

/* Serve one host interrupt by its vector: for VT-x, which acknowledges on exit. */
void trap_interrupt(uint8_t vector);

/* Called from the NMI handler on this CPU, in NMI context: VT-x arms an immediate exit here. NULL: nothing to do. */
extern void (*trap_nmi_hook)(void);

/* Read or write an MSR; 0, or E_NOSYS when the processor raised #GP. */
int msr_read_safe(uint32_t msr, uint64_t *value);
int msr_write_safe(uint32_t msr, uint64_t value);
/* XSETBV of register 0; 0, or E_INVAL when the processor raised #GP. CR4.OSXSAVE must be set. */
int xcr0_write_safe(uint64_t value);

#endif
