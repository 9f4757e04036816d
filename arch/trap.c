/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Host exceptions and interrupts. An exception without a fix-up is a bug of ours: panic. Interrupts come only while the
 * hypervisor lets them in: the timer, and what a quiet machine should not send.
 */
#include "arch/trap.h"

#include "arch/cpu.h"
#include "arch/lapic.h"
#include "arch/panic.h"
#include "arch/x86.h"

struct exception_fixup {
    uint64_t at;
    uint64_t fixup;
};

extern const struct exception_fixup exception_table_start[], exception_table_end[];
extern const uint8_t wait_window_start[], wait_window_end[];

void (*trap_nmi_hook)(void);

static bool trap_fix_up(struct trap_frame *frame)
{
    for (const struct exception_fixup *entry = exception_table_start; entry < exception_table_end; entry++) {
        if (entry->at == frame->rip) {
            frame->rip = entry->fixup;
            return true;
        }
    }
    return false;
}

static void trap_nmi(struct trap_frame *frame)
{
    this_cpu.nmis++;
    panic_stop_if_asked(frame->rip);
    if (frame->rip >= (uint64_t)(uintptr_t)wait_window_start && frame->rip < (uint64_t)(uintptr_t)wait_window_end)
        frame->rip = (uint64_t)(uintptr_t)wait_window_end;
    if (trap_nmi_hook != NULL)
        trap_nmi_hook();
}

void trap_interrupt(uint8_t vector)
{
    if (vector == VECTOR_HOST_TIMER)
        this_cpu.timer_deadline = UINT64_MAX;
    if (vector != VECTOR_HOST_SPURIOUS)
        lapic_eoi();
}

/*
 * Not ours. A processor leaves a guest with RFLAGS and DR7 as the host wants them (AMD APM vol. 2, "#VMEXIT"; Intel SDM
 * vol. 3, "Loading Host Control Registers, Debug Registers, MSRs"), but emulators were seen to carry over a guest's
 * single step, and its breakpoints, which may name an address of ours. With RF the instruction there runs this time;
 * without, it would trap for ever.
 */
static void trap_debug(struct trap_frame *frame)
{
    frame->rflags = (frame->rflags & ~RFLAGS_TF) | RFLAGS_RF;
}

void trap_handle(struct trap_frame *frame)
{
    if (frame->vector == 2)
        trap_nmi(frame);
    else if (frame->vector >= 32)
        trap_interrupt((uint8_t)frame->vector);
    else if (frame->vector == 1)
        trap_debug(frame);
    else if (frame->vector != 13 || !trap_fix_up(frame))
        panic_trap(frame);
}
