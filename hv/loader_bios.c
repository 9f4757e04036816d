/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What real-mode code finds of a BIOS: the data area, vectors that lead to answers instead of into zeros, and the reset
 * entry. There are no services: each call comes back as "not supported", and the caller goes on with what else it
 * knows. Interrupt vectors and places as the IBM PC AT has them.
 */
#include "hv/error.h"
#include "hv/gmem.h"
#include "hv/guest.h"
#include "hv/loader_internal.h"

/* Words of the BIOS data area, segment 0x40, that describe the virtual PC after a BIOS has set text mode 3. Everything
 * else is 0. */
static const struct {
    uint16_t address;
    uint16_t value;
} bios_data[] = {
    {0x400, 0x3f8},                       /* port of COM1 */
    {0x410, 0x0222},                      /* equipment: FPU, 80x25 colour, one serial port */
    {0x413, GUEST_VGA_HOLE_BASE / 1024u}, /* conventional memory in KiB */
    {0x449, 80u << 8 | 3u},               /* video mode 3; the low byte of the columns */
    {0x44c, 4096},                        /* bytes of a video page */
    {0x460, 0x0d0e},                      /* cursor shape */
    {0x463, 0x3d4},                       /* port of the CRT controller */
    {0x484, 16u << 8 | 24u},              /* last row; character height */
};

#define BIOS_DATA_END 0x500u

/* Real-mode code of the firmware's segment. */
#define CODE_SEGMENT  0xf000u
#define CODE_OFFSET   0xff00u
#define RESET_ADDRESS 0xffff0u

#define CODE_MASTER CODE_OFFSET           /* IRQ 0-7 */
#define CODE_SLAVE  (CODE_OFFSET + 0x07u) /* IRQ 8-15 */
#define CODE_NONE   (CODE_OFFSET + 0x10u) /* a service */
#define CODE_RETURN (CODE_OFFSET + 0x1au) /* an exception */

static const uint8_t code[] = {
    0x50,                   /* master: push ax */
    0xb0, 0x20,             /* mov al, 0x20: end of interrupt */
    0xe6, 0x20,             /* out 0x20, al */
    0x58,                   /* pop ax */
    0xcf,                   /* iret */
    0x50,                   /* slave: push ax */
    0xb0, 0x20,             /* mov al, 0x20 */
    0xe6, 0xa0,             /* out 0xa0, al */
    0xe6, 0x20,             /* out 0x20, al */
    0x58,                   /* pop ax */
    0xcf,                   /* iret */
    0x55,                   /* none: push bp */
    0x89, 0xe5,             /* mov bp, sp */
    0x80, 0x4e, 0x06, 0x41, /* or byte [bp + 6], CF | ZF: failed, and no key waits */
    0x5d,                   /* pop bp */
    0xb4, 0x86,             /* mov ah, 0x86: not supported */
    0xcf,                   /* return: iret */
};
_Static_assert(sizeof(code) == CODE_RETURN + 1 - CODE_OFFSET, "offsets");

/* What a jump to F000:FFF0 always did. */
static const uint8_t reset_code[] = {
    0xb0, 0xfe, /* mov al, 0xfe: pulse the reset line */
    0xe6, 0x64, /* out 0x64, al */
    0xf4,       /* hlt */
    0xeb, 0xfd, /* jmp to the hlt */
};

static uint16_t vector_offset(unsigned vector)
{
    if (vector < 0x08)
        return CODE_RETURN;
    if (vector < 0x10)
        return CODE_MASTER;
    return vector >= 0x70 && vector < 0x78 ? CODE_SLAVE : CODE_NONE;
}

static int write_vectors(struct guest *guest)
{
    int result = 0;

    for (unsigned vector = 0; vector < 256 && result == 0; vector++) {
        const uint16_t pointer[2] = {vector_offset(vector), CODE_SEGMENT};
        result = gmem_write(guest, vector * sizeof(pointer), pointer, sizeof(pointer));
    }
    return result;
}

int loader_write_bios_data(struct guest *guest)
{
    const gpa_t code_address = ((gpa_t)CODE_SEGMENT << 4) + CODE_OFFSET;
    int result = gmem_fill(guest, 0, 0, BIOS_DATA_END);

    for (size_t i = 0; i < ARRAY_SIZE(bios_data) && result == 0; i++)
        result = gmem_write(guest, bios_data[i].address, &bios_data[i].value, sizeof(bios_data[i].value));
    /* A guest too small for the firmware's area keeps vectors of zero. */
    if (result != 0 || !gmem_is_ram(guest, code_address, GUEST_HIGH_MEMORY - code_address))
        return result;
    if (gmem_write(guest, code_address, code, sizeof(code)) != 0 ||
        gmem_write(guest, RESET_ADDRESS, reset_code, sizeof(reset_code)) != 0)
        return E_FAULT;
    return write_vectors(guest);
}
