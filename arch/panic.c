/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Say what broke, as much as can be said safely, on one CPU; the others stop where they are.
 */
#include "arch/panic.h"

#include <stdarg.h>

#include "arch/cpu.h"
#include "arch/trap.h"
#include "arch/x86.h"
#include "hv/console.h"
#include "hv/format.h"
#include "hv/log.h"
#include "hv/machine.h"
#include "hv/virt.h"

/* Made by the build from the image's own symbols: offsets from the image base, sorted, and the names one after the
 * other. */
extern const uint32_t symbol_count;
extern const uint32_t symbol_offsets[];
extern const uint32_t symbol_names[];
extern const char symbol_text[];
extern const uint8_t text_start[], text_end[];

#define NOBODY       UINT32_MAX
#define FRAMES_MAX   32u
#define KERNEL_SPACE UINT64_C(0xffff800000000000)

static uint32_t panic_owner = NOBODY;
static void (*panic_end)(void);
static uint64_t stopped_at[CPUS_MAX]; /* where the panic found the other CPUs */

const char *symbol_find(uint64_t address, uint64_t *offset)
{
    uint64_t base = (uint64_t)(uintptr_t)text_start;
    uint32_t low = 0, high = symbol_count;

    if (address < base || address >= (uint64_t)(uintptr_t)text_end)
        return NULL;
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        if (base + symbol_offsets[middle] <= address)
            low = middle;
        else
            high = middle;
    }
    if (symbol_count == 0)
        return NULL;
    *offset = address - base - symbol_offsets[low];
    return &symbol_text[symbol_names[low]];
}

static void print_frame(uint64_t address)
{
    uint64_t offset = 0;
    const char *name = symbol_find(address, &offset);

    if (name != NULL)
        log_error("  %016lx %s+0x%lx", address, name, offset);
    else
        log_error("  %016lx", address);
}

/* Frame pointers chain upwards on one stack; anything else ends the walk, so that a broken stack cannot lead it astray.
 */
static void print_backtrace(uint64_t rip, uint64_t rbp)
{
    log_error("backtrace:");
    print_frame(rip);
    for (unsigned i = 0; i < FRAMES_MAX; i++) {
        if (rbp < KERNEL_SPACE || (rbp & 7) != 0 || (rbp & PAGE_MASK) > PAGE_SIZE - 16)
            return;
        const uint64_t *frame = (const uint64_t *)(uintptr_t)rbp;
        if (frame[1] < KERNEL_SPACE)
            return;
        print_frame(frame[1]);
        if (frame[0] <= rbp || frame[0] - rbp > 0x4000)
            return;
        rbp = frame[0];
    }
}

void panic_set_end(void (*end)(void))
{
    panic_end = end;
}

void panic_stop_if_asked(uint64_t rip)
{
    uint32_t owner = __atomic_load_n(&panic_owner, __ATOMIC_ACQUIRE);

    if (owner == NOBODY || owner == this_cpu.number)
        return;
    __atomic_store_n(&stopped_at[this_cpu.number], rip, __ATOMIC_RELEASE);
    for (;;) {
        interrupts_off();
        cpu_halt();
    }
}

/* The first CPU that panics speaks; a second one, or a panic inside the panic, stops at once. */
static void panic_begin(void)
{
    uint32_t nobody = NOBODY;

    interrupts_off();
    if (!console_panic() || !__atomic_compare_exchange_n(&panic_owner, &nobody, this_cpu.number, false,
                                                         __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        for (;;)
            cpu_halt();
    }
    log_together_end(); /* what this CPU was collecting comes first; from here on it writes at once */
    for (uint32_t cpu = 0; cpu < CPUS_MAX; cpu++) {
        if (cpu != this_cpu.number)
            machine_kick(cpu);
    }
}

/* What the others were doing, as far as they answer. A CPU inside a guest leaves it for the NMI and stops in the exit
 * path. */
static void print_others(void)
{
    for (uint32_t i = 0; i < 1000000; i++)
        machine_relax();
    for (uint32_t cpu = 0; cpu < CPUS_MAX; cpu++) {
        uint64_t rip = __atomic_load_n(&stopped_at[cpu], __ATOMIC_ACQUIRE);
        if (rip != 0) {
            log_error("CPU %u was at:", cpu);
            print_frame(rip);
        }
    }
}

_Noreturn static void panic_finish(void)
{
    print_others();
    log_error("the hypervisor has stopped; this is a bug in Bulkhead");
    console_flush();
    if (panic_end != NULL)
        panic_end();
    for (;;) {
        interrupts_off();
        cpu_halt();
    }
}

_Noreturn void panic_trap(const struct trap_frame *frame)
{
    static const char *const names[GPR_COUNT] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                                 "r8 ", "r9 ", "r10", "r11", "r12", "r13", "r14", "r15"};

    panic_begin();
    log_error("panic on CPU %u: exception %lu, error code 0x%lx", this_cpu.number, frame->vector, frame->error_code);
    log_error("  rip %016lx cs %04lx rflags %08lx rsp %016lx", frame->rip, frame->cs, frame->rflags, frame->rsp);
    for (unsigned i = 0; i < GPR_COUNT; i += 4)
        log_error("  %s %016lx  %s %016lx  %s %016lx  %s %016lx", names[i], frame->gpr[i], names[i + 1],
                  frame->gpr[i + 1], names[i + 2], frame->gpr[i + 2], names[i + 3], frame->gpr[i + 3]);
    log_error("  cr0 %016lx  cr2 %016lx  cr3 %016lx  cr4 %016lx", cr0_read(), cr2_read(), cr3_read(), cr4_read());
    print_backtrace(frame->rip, frame->gpr[GPR_RBP]);
    panic_finish();
}

_Noreturn void machine_panic(const char *format, ...)
{
    char text[256];
    va_list arguments;

    panic_begin();
    va_start(arguments, format);
    format_text_v(text, sizeof(text), format, arguments);
    va_end(arguments);
    log_error("panic on CPU %u: %s", this_cpu.number, text);
    print_backtrace((uint64_t)(uintptr_t)__builtin_return_address(0), (uint64_t)(uintptr_t)__builtin_frame_address(0));
    panic_finish();
}
