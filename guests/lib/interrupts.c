/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptor tables, the way of an interrupt to its handler, faults that are expected, ring 3. Intel SDM vol. 3,
 * "Protected-Mode Memory Management" and "Interrupt and Exception Handling".
 */
#include "arch/x86.h"
#include "guests/lib/apic.h"
#include "guests/lib/internal.h"
#include "guests/lib/processors.h"

#define EXCEPTIONS 32u
#define VECTORS    256u

/* Selectors; start.S has the same. */
#define SELECTOR_DATA   0x10u
#define SELECTOR_CODE   0x18u
#define SELECTOR_TSS    0x30u /* of processor 0; 16 bytes each */
#define GDT_FIXED       6u
#define GATE_INTERRUPT  0x8e00u
#define GATE_FOR_RING_3 0xee00u
#define TSS_AVAILABLE   UINT64_C(0x0000890000000000)

/* A stack that was lost is no reason to be lost: double and stack faults have one of their own. */
#define IST_FAULTS        1u
#define VECTOR_DOUBLE     8u
#define VECTOR_STACK      12u
#define FAULT_STACK_SIZE  0x1000u
#define USER_STACK_SIZE   0x1000u
#define RFLAGS_OFF        RFLAGS_FIXED
#define TSS_NO_PERMISSION TSS_SIZE /* no I/O permission map */

/* Its 64-bit words lie behind one of 32 bits; `before` brings them to where a processor reaches them in one access. */
struct tss {
    uint32_t before;
    uint32_t reserved0; /* where it begins */
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map;
    uint32_t behind;
};
#define TSS_SIZE 104u
_Static_assert(offsetof(struct tss, behind) - offsetof(struct tss, reserved0) == TSS_SIZE,
               "Intel SDM vol. 3, \"64-Bit Task-State Segment (TSS)\"");

struct PACKED gate {
    uint16_t offset_low, selector, attributes, offset_middle;
    uint32_t offset_high, reserved;
};

uint64_t gdt[GDT_FIXED + 2 * LIB_CPUS_MAX] = {
    0,
    UINT64_C(0x00cf9b000000ffff), /* 0x08: 32-bit code */
    UINT64_C(0x00cf93000000ffff), /* 0x10: data */
    UINT64_C(0x00af9b000000ffff), /* 0x18: 64-bit code */
    UINT64_C(0x00cff3000000ffff), /* 0x20: data, ring 3 */
    UINT64_C(0x00affb000000ffff), /* 0x28: 64-bit code, ring 3 */
};
struct table_pointer gdt_pointer = {sizeof(gdt) - 1, (uint64_t)(uintptr_t)gdt};

static struct tss tss[LIB_CPUS_MAX];
static struct gate idt[VECTORS] ALIGNED(16);
static uint8_t fault_stacks[LIB_CPUS_MAX][FAULT_STACK_SIZE] ALIGNED(16);
static uint8_t user_stacks[LIB_CPUS_MAX][USER_STACK_SIZE] ALIGNED(16);

static interrupt_handler *handlers[VECTORS];
static struct probe *probes[LIB_CPUS_MAX]; /* the innermost of each processor */

/* ---- Tables ---- */

static void set_gate(unsigned vector, const void *code, unsigned ist, uint16_t attributes)
{
    uint64_t offset = (uint64_t)(uintptr_t)code;

    idt[vector] = (struct gate){(uint16_t)offset,
                                SELECTOR_CODE,
                                (uint16_t)(attributes | ist),
                                (uint16_t)(offset >> 16),
                                (uint32_t)(offset >> 32),
                                0};
}

static void fill_idt(void)
{
    for (unsigned vector = 0; vector < VECTORS; vector++) {
        bool own_stack = vector == VECTOR_DOUBLE || vector == VECTOR_STACK;
        set_gate(vector, interrupt_entries[vector], own_stack ? IST_FAULTS : 0, GATE_INTERRUPT);
    }
    set_gate(LIB_VECTOR_USER_END, (const void *)(uintptr_t)user_leave, 0, GATE_FOR_RING_3);
}

void processor_load_tables(uint32_t number)
{
    const struct table_pointer idt_pointer = {sizeof(idt) - 1, (uint64_t)(uintptr_t)idt};
    uint64_t base = (uint64_t)(uintptr_t)&tss[number].reserved0;

    if (number == 0)
        fill_idt();
    tss[number].ist[IST_FAULTS - 1] = (uint64_t)(uintptr_t)fault_stacks[number] + FAULT_STACK_SIZE;
    tss[number].io_map = TSS_NO_PERMISSION;
    /* A descriptor that an earlier start has marked busy must be available again. */
    gdt[GDT_FIXED + 2 * number] = TSS_AVAILABLE | (TSS_SIZE - 1) | (base & 0xffffff) << 16 | base >> 24 << 56;
    gdt[GDT_FIXED + 2 * number + 1] = base >> 32;
    gdt_load(&gdt_pointer);
    task_register_load((uint16_t)(SELECTOR_TSS + 16 * number));
    idt_load(&idt_pointer);
    probes[number] = NULL;
}

uint32_t processor_number(void)
{
    uint32_t selector;

    __asm__ volatile("str %0" : "=r"(selector));
    return ((selector & 0xffff) - SELECTOR_TSS) / 16;
}

/* ---- Handlers ---- */

void interrupt_handle(uint8_t vector, interrupt_handler *handler)
{
    __atomic_store_n(&handlers[vector], handler, __ATOMIC_RELEASE);
}

void interrupts_on(void)
{
    __asm__ volatile("sti" : : : "memory");
}

static _Noreturn void die_of(const struct interrupt_frame *frame)
{
    print("%s: rax %016llx rbx %016llx rcx %016llx rdx %016llx\n", guest_name, (unsigned long long)frame->rax,
          (unsigned long long)frame->rbx, (unsigned long long)frame->rcx, (unsigned long long)frame->rdx);
    print("%s: rsi %016llx rdi %016llx rbp %016llx rsp %016llx\n", guest_name, (unsigned long long)frame->rsi,
          (unsigned long long)frame->rdi, (unsigned long long)frame->rbp, (unsigned long long)frame->rsp);
    fail("exception %llu (error code 0x%llx, CR2 0x%llx) on processor %u at 0x%llx", (unsigned long long)frame->vector,
         (unsigned long long)frame->error_code, (unsigned long long)cr2_read(), processor_number(),
         (unsigned long long)frame->rip);
}

/* Back to where the probe began, with the stack that it had. */
static void leave_probe(struct probe *probe, struct interrupt_frame *frame)
{
    probe->fault = (struct fault){(uint8_t)frame->vector, (uint32_t)frame->error_code, frame->rip, cr2_read()};
    frame->rip = (uint64_t)(uintptr_t)probe_leave;
    frame->rsp = probe->stack;
    frame->cs = SELECTOR_CODE;
    frame->ss = SELECTOR_DATA;
    frame->rflags = RFLAGS_OFF;
}

void interrupt_dispatch(struct interrupt_frame *frame)
{
    interrupt_handler *handler = __atomic_load_n(&handlers[(uint8_t)frame->vector], __ATOMIC_ACQUIRE);
    struct probe *probe = probes[processor_number()];

    if (handler != NULL)
        handler(frame);
    else if (frame->vector >= EXCEPTIONS)
        apic_eoi();
    else if (probe != NULL)
        leave_probe(probe, frame);
    else
        die_of(frame);
}

/* ---- Probes ---- */

bool probe(void (*function)(void *argument), void *argument, struct fault *fault)
{
    struct probe **innermost = &probes[processor_number()];
    struct probe probe = {.outer = *innermost};

    *innermost = &probe;
    bool faulted = probe_enter(&probe, function, argument);
    *innermost = probe.outer;
    if (fault != NULL)
        *fault = probe.fault;
    return faulted;
}

struct msr_access {
    uint32_t msr;
    uint64_t value;
};

static void access_read(void *argument)
{
    struct msr_access *access = argument;

    access->value = msr_read(access->msr);
}

static void access_write(void *argument)
{
    const struct msr_access *access = argument;

    msr_write(access->msr, access->value);
}

bool probe_msr_read(uint32_t msr, uint64_t *value)
{
    struct msr_access access = {msr, 0};
    bool faulted = probe(access_read, &access, NULL);

    *value = access.value;
    return !faulted;
}

bool probe_msr_write(uint32_t msr, uint64_t value)
{
    struct msr_access access = {msr, value};

    return !probe(access_write, &access, NULL);
}

/* ---- Ring 3 ---- */

uint64_t user_call(uint64_t (*function)(uint64_t argument), uint64_t argument)
{
    uint32_t number = processor_number();
    uint64_t top = (uint64_t)(uintptr_t)user_stacks[number] + USER_STACK_SIZE;

    return user_enter(function, argument, top, tss[number].rsp);
}
