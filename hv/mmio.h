/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Carry out the instruction that touched device memory, or moved a string to or from a port: fetch, decode, apply to a
 * bus.
 */
#ifndef HV_MMIO_H
#define HV_MMIO_H

#include "hv/types.h"

struct vcpu;
struct vmexit;

enum mmio_result {
    MMIO_DONE,    /* finished: RIP moves behind it */
    MMIO_PARTLY,  /* some iterations of a REP are done, registers are up to date: enter again at the same RIP */
    MMIO_FAULT,   /* an exception is raised in the guest; RIP stays */
    MMIO_CRASHED, /* not offered: guest_crash was called */
};

/* For EXIT_MEMORY at an address that is not RAM. On MMIO_DONE `length` is the instruction's. */
enum mmio_result mmio_emulate(struct vcpu *vcpu, const struct vmexit *exit, uint8_t *length);

/* For EXIT_PIO with `string` set. */
enum mmio_result pio_string_emulate(struct vcpu *vcpu, const struct vmexit *exit, uint8_t *length);

#endif
