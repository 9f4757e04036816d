/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MOVS, CMPS, STOS, LODS, SCAS, INS and OUTS with a side in device memory or at a port.
 */
#ifndef HV_STRING_INSTRUCTION_H
#define HV_STRING_INSTRUCTION_H

#include "hv/decode.h"
#include "hv/mmio.h"
#include "hv/types.h"

struct vcpu;

/*
 * Carry out iterations until the instruction is done, the device side leaves its page, or a bounded number has passed
 * (MMIO_PARTLY). `address` is the device side's guest-physical address (0 for INS and OUTS, which have none) and
 * `device_is_written` tells which side it is.
 */
enum mmio_result string_emulate(struct vcpu *vcpu, const struct instruction *instruction, gpa_t address,
                                bool device_is_written);

#endif
