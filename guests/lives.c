/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that comes to a bad end on its last processor while the others spin with interrupts off: each life is to
 * begin like the first one.
 */
#include "arch/msr.h"
#include "arch/x86.h"
#include "guests/lib/lib.h"
#include "guests/lib/processors.h"

#define NOWHERE UINT64_C(0xa0000) /* a PC's graphics memory, which is not there */
#define LEFT    UINT64_C(0x5a5a5a5a5a5a)

const char guest_name[] = "lives";

/* In memory and in a register that the processor keeps over an exit: what an earlier life might leave behind. */
static bool leftovers(uint64_t *memory)
{
    bool found = *memory != 0 || msr_read(MSR_KERNEL_GS_BASE) != 0;

    *memory = LEFT;
    msr_write(MSR_KERNEL_GS_BASE, LEFT);
    return found;
}

static void end(void *argument)
{
    bool found = leftovers(argument);

    print("lives: processor %u: %s\n", processor_number(), found ? "somebody lived here before" : "a new life");
    ((void (*)(void))NOWHERE)();
}

void guest_main(void)
{
    uint64_t *memory = (uint64_t *)memory_free();
    uint32_t count = processor_start_all();
    bool found = leftovers(memory);

    print("lives: %u processors, %s\n", count, found ? "somebody lived here before" : "a new life");
    processor_call(count - 1, end, memory + 1);
    for (;;)
        cpu_relax();
}
