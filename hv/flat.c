/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The flat loader: a raw image in conventional memory, started in real mode. What it finds: CS:IP as configured; DS,
 * ES, FS, GS, SS and all general registers 0 but SP = 0x7c00, as a boot sector has it; interrupts off, A20 on;
 * a BIOS data area, and interrupt vectors of a BIOS without services (loader_bios.c).
 */
#include "hv/error.h"
#include "hv/gmem.h"
#include "hv/guest.h"
#include "hv/loader.h"
#include "hv/loader_internal.h"
#include "hv/string.h"
#include "hv/vcpu.h"

#define FLAT_STACK_TOP 0x7c00u

#define CR0_ET           0x10u
#define RFLAGS_FIXED     0x2u
#define REAL_LIMIT       0xffffu
#define REAL_CODE_ACCESS 0x9bu /* present, code, readable, accessed */
#define REAL_DATA_ACCESS 0x93u /* present, data, writable, accessed */

static void flat_state(struct vcpu_state *state, uint16_t segment, uint16_t offset)
{
    const struct segment_register data = {0, REAL_LIMIT, REAL_DATA_ACCESS, 0};

    vcpu_state_reset(state);
    memset(state->gpr, 0, sizeof(state->gpr));
    state->gpr[GPR_RSP] = FLAT_STACK_TOP;
    state->rip = offset;
    state->rflags = RFLAGS_FIXED;
    state->cr0 = CR0_ET; /* caches on, as firmware leaves them */
    state->segments[SEGMENT_CS] =
        (struct segment_register){(uint64_t)segment << 4, REAL_LIMIT, REAL_CODE_ACCESS, segment};
    state->segments[SEGMENT_DS] = data;
    state->segments[SEGMENT_ES] = data;
    state->segments[SEGMENT_FS] = data;
    state->segments[SEGMENT_GS] = data;
    state->segments[SEGMENT_SS] = data;
}

int flat_load(struct guest *guest, const struct loader_input *input, struct vcpu_state *state,
              struct loader_error *error)
{
    const struct loader_file *kernel = &input->kernel;
    uint32_t base = input->load_address;
    uint32_t entry = ((uint32_t)input->entry_segment << 4) + input->entry_offset;

    if (kernel->size == 0)
        return loader_fail(error, E_INVAL, "kernel \"%s\" is empty", kernel->name);
    if (base >= GUEST_VGA_HOLE_BASE || !loader_is_free_ram(guest, base, kernel->size))
        return loader_fail(error, E_NOMEM,
                           "kernel \"%s\" (%s at 0x%x) does not fit below 0x%x, where a flat image must lie",
                           kernel->name, loader_size_text(kernel->size).text, base, GUEST_VGA_HOLE_BASE);
    if (entry < base || entry - base >= kernel->size)
        return loader_fail(error, E_RANGE,
                           "the entry %04x:%04x (0x%x) is outside of kernel \"%s\", which lies at 0x%x-0x%llx",
                           input->entry_segment, input->entry_offset, entry, kernel->name, base,
                           (unsigned long long)(base + kernel->size - 1));
    if (loader_write_bios_data(guest) != 0 || gmem_write(guest, base, kernel->bytes, kernel->size) != 0)
        return loader_fail(error, E_FAULT, "the guest has no RAM at address 0");
    flat_state(state, input->entry_segment, input->entry_offset);
    return 0;
}
