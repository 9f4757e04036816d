/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long is the instruction that just exited? On processors without next-RIP reporting every exit asks, so the
 * encodings that software really uses are compared as one number; only prefixed and rare ones go through the decoder.
 */
#include "hv/decode.h"

#include "hv/string.h"

/* The bytes as a little-endian number of `length`; all zero: this operation has no single usual encoding. */
struct usual_encoding {
    uint32_t bytes;
    uint8_t length;
};

static const struct usual_encoding usual[OPERATION_COUNT] = {
    [OPERATION_CPUID] = {0xa20f, 2},     [OPERATION_HLT] = {0xf4, 1},         [OPERATION_RDMSR] = {0x320f, 2},
    [OPERATION_WRMSR] = {0x300f, 2},     [OPERATION_RDTSC] = {0x310f, 2},     [OPERATION_RDTSCP] = {0xf9010f, 3},
    [OPERATION_RDPMC] = {0x330f, 2},     [OPERATION_XGETBV] = {0xd0010f, 3},  [OPERATION_XSETBV] = {0xd1010f, 3},
    [OPERATION_MONITOR] = {0xc8010f, 3}, [OPERATION_MWAIT] = {0xc9010f, 3},   [OPERATION_PAUSE] = {0x90f3, 2},
    [OPERATION_INVD] = {0x080f, 2},      [OPERATION_WBINVD] = {0x090f, 2},    [OPERATION_CLTS] = {0x060f, 2},
    [OPERATION_IRET] = {0xcf, 1},        [OPERATION_INT3] = {0xcc, 1},        [OPERATION_INT1] = {0xf1, 1},
    [OPERATION_PUSHF] = {0x9c, 1},       [OPERATION_POPF] = {0x9d, 1},        [OPERATION_RSM] = {0xaa0f, 2},
    [OPERATION_VMCALL] = {0xc1010f, 3},  [OPERATION_VMMCALL] = {0xd9010f, 3}, [OPERATION_VMRUN] = {0xd8010f, 3},
    [OPERATION_VMLOAD] = {0xda010f, 3},  [OPERATION_VMSAVE] = {0xdb010f, 3},  [OPERATION_STGI] = {0xdc010f, 3},
    [OPERATION_CLGI] = {0xdd010f, 3},    [OPERATION_SKINIT] = {0xde010f, 3},  [OPERATION_INVLPGA] = {0xdf010f, 3},
};

/* Apart, so that the usual way saves no registers for it. */
static __attribute__((noinline)) unsigned length_decoded(enum operation operation, const uint8_t *bytes,
                                                         unsigned available, enum decode_mode mode)
{
    struct instruction instruction;

    if (decode(bytes, available, mode, &instruction) != 0 || instruction.operation != operation)
        return 0;
    return instruction.length;
}

unsigned decode_length_usual(enum operation operation, uint32_t head)
{
    const struct usual_encoding *encoding = &usual[operation];

    return (head & (BIT(encoding->length * 8u) - 1)) == encoding->bytes ? encoding->length : 0;
}

unsigned decode_length_known(enum operation operation, const uint8_t *bytes, unsigned available, enum decode_mode mode)
{
    uint32_t head = 0;

    memcpy(&head, bytes, min_u64(available, sizeof(head)));
    unsigned length = decode_length_usual(operation, head);
    return length != 0 && length <= available ? length : length_decoded(operation, bytes, available, mode);
}
