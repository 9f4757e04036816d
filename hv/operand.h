/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory operands of an emulated instruction that are not the exit's own: found by segment and page tables, in RAM or
 * on the bus.
 */
#ifndef HV_OPERAND_H
#define HV_OPERAND_H

#include "hv/types.h"
#include "hv/virt.h"

struct vcpu;

/*
 * Linear address of segment:offset for `size` bytes, with the checks of the mode. Returns 0, or E_FAULT after raising
 * #GP or #SS.
 */
int operand_linear(struct vcpu *vcpu, enum segment segment, uint64_t offset, unsigned size, bool write, gva_t *linear);

/* Read or write 1, 2, 4 or 8 bytes at a linear address. Returns 0; E_FAULT after raising #PF; E_BUSY: enter again. */
int operand_read(struct vcpu *vcpu, gva_t linear, unsigned size, uint64_t *value);
int operand_write(struct vcpu *vcpu, gva_t linear, unsigned size, uint64_t value);

/* Whether a write there would be let through, without writing. Errors as above. */
int operand_check_write(struct vcpu *vcpu, gva_t linear, unsigned size);

/* The guest's memory bus, with device access serialised: each access by itself, or all between hold and release. */
uint64_t operand_bus_read(struct vcpu *vcpu, gpa_t address, unsigned size);
void operand_bus_write(struct vcpu *vcpu, gpa_t address, unsigned size, uint64_t value);

/*
 * Keep the guest's other vCPUs from its devices from here to the release, as LOCK does: what is read in between is what
 * is overwritten. For one instruction with one memory operand; does not nest.
 */
void operand_bus_hold(struct vcpu *vcpu);
void operand_bus_release(struct vcpu *vcpu);

#endif
