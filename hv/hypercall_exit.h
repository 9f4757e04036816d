/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VMCALL and VMMCALL: the hypervisor's side of hv/hypercall.h.
 */
#ifndef HV_HYPERCALL_EXIT_H
#define HV_HYPERCALL_EXIT_H

#include "hv/exit.h"
#include "hv/types.h"

enum verdict hypercall_exit(struct vcpu *vcpu, struct vmexit *exit);

#endif
