/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the exit itself tells, what its handler noted, and whose address it was; other registers of that moment are
 * gone.
 */
#include "hv/exit_text.h"

#include "hv/bus.h"
#include "hv/device.h"
#include "hv/exit.h"
#include "hv/format.h"
#include "hv/guest.h"

/* An address, and the device model that answers there: "0xfee000b0 (lapic)". */
struct place {
    char text[40];
};

static struct place place_of(const struct bus *bus, uint64_t address)
{
    const struct bus_region *region = bus_find(bus, address);
    struct place place = {""};

    if (region != NULL)
        (void)format_text(place.text, sizeof(place.text), "0x%llx (%s)", (unsigned long long)address,
                          region->device->ops->name);
    else
        (void)format_text(place.text, sizeof(place.text), "0x%llx", (unsigned long long)address);
    return place;
}

static void memory_text(const struct guest *guest, const struct exit_memory *memory, char *text)
{
    const char *access = memory->write ? "writes" : memory->fetch ? "fetches code at" : "reads";

    (void)format_text(text, EXIT_TEXT_SIZE, "device memory: %s %s%s%s", access,
                      place_of(&guest->memory, memory->address).text, memory->page_walk ? ", walking page tables" : "",
                      memory->delivering ? ", delivering an event" : "");
}

static void port_text(const struct guest *guest, const struct exit_io *io, char *text)
{
    (void)format_text(text, EXIT_TEXT_SIZE, "port %s: %s%s %u byte%s", place_of(&guest->ports, io->port).text,
                      io->repeat ? "repeatedly " : "", io->in ? "reads" : "writes", io->size, io->size == 1 ? "" : "s");
}

static void msr_text(const struct vmexit *exit, char *text)
{
    const struct exit_msr *msr = &exit->msr;
    bool write = exit->kind == EXIT_MSR_WRITE;

    if (msr->refused && !write)
        (void)format_text(text, EXIT_TEXT_SIZE, "%s 0x%x: #GP", exit_name(exit->kind), msr->index);
    else
        (void)format_text(text, EXIT_TEXT_SIZE, "%s 0x%x: %s0x%llx%s", exit_name(exit->kind), msr->index,
                          write ? "" : "gets ", (unsigned long long)msr->value, msr->refused ? ", #GP" : "");
}

static void cause_text(const struct guest *guest, const struct vmexit *exit, char *text)
{
    switch (exit->kind) {
    case EXIT_PIO: port_text(guest, &exit->io, text); break;
    case EXIT_MEMORY: memory_text(guest, &exit->memory, text); break;
    case EXIT_MSR_READ:
    case EXIT_MSR_WRITE: msr_text(exit, text); break;
    case EXIT_CPUID:
        (void)format_text(text, EXIT_TEXT_SIZE, "%s leaf 0x%x, subleaf 0x%x", exit_name(exit->kind), exit->cpuid.leaf,
                          exit->cpuid.subleaf);
        break;
    case EXIT_HYPERCALL:
        (void)format_text(text, EXIT_TEXT_SIZE, "%s 0x%x", exit_name(exit->kind), exit->hypercall.number);
        break;
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

void exit_text(const struct guest *guest, const struct vmexit *exit, char *text)
{
    char cause[EXIT_TEXT_SIZE];

    cause_text(guest, exit, cause);
    (void)format_text(text, EXIT_TEXT_SIZE, "0x%llx  %s (reason 0x%llx)", (unsigned long long)exit->rip, cause,
                      (unsigned long long)exit->reason);
}
