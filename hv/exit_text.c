/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the exit itself tells; registers of that moment are gone.
 */
#include "hv/exit_text.h"

#include "hv/exit.h"
#include "hv/format.h"

static void memory_text(const struct exit_memory *memory, char *text)
{
    const char *access = memory->write ? "writes" : memory->fetch ? "fetches code at" : "reads";

    (void)format_text(text, EXIT_TEXT_SIZE, "device memory: %s 0x%llx%s%s", access, (unsigned long long)memory->address,
                      memory->page_walk ? ", walking page tables" : "",
                      memory->delivering ? ", delivering an event" : "");
}

static void cause_text(const struct vmexit *exit, char *text)
{
    switch (exit->kind) {
    case EXIT_PIO:
        (void)format_text(text, EXIT_TEXT_SIZE, "port 0x%x: %s%s %u byte%s", exit->io.port,
                          exit->io.repeat ? "repeatedly " : "", exit->io.in ? "reads" : "writes", exit->io.size,
                          exit->io.size == 1 ? "" : "s");
        break;
    case EXIT_MEMORY: memory_text(&exit->memory, text); break;
    case EXIT_CR_READ:
    case EXIT_CR_WRITE:
    case EXIT_DR_ACCESS:
        (void)format_text(text, EXIT_TEXT_SIZE, "%s%u", exit_name(exit->kind), exit->reg.number);
        break;
    case EXIT_EXCEPTION: (void)format_text(text, EXIT_TEXT_SIZE, "exception %u", exit->exception.vector); break;
    case EXIT_TASK_SWITCH:
        (void)format_text(text, EXIT_TEXT_SIZE, "task switch to 0x%x", exit->task_switch.selector);
        break;
    default: (void)format_text(text, EXIT_TEXT_SIZE, "%s", exit_name(exit->kind));
    }
}

void exit_text(const struct vmexit *exit, char *text)
{
    char cause[EXIT_TEXT_SIZE];

    cause_text(exit, cause);
    (void)format_text(text, EXIT_TEXT_SIZE, "0x%llx  %s (reason 0x%llx)", (unsigned long long)exit->rip, cause,
                      (unsigned long long)exit->reason);
}
