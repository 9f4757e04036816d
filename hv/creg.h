/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control and debug register accesses that exit.
 */
#ifndef HV_CREG_H
#define HV_CREG_H

#include "hv/exit.h"
#include "hv/types.h"

enum verdict creg_access(struct vcpu *vcpu, struct vmexit *exit);
enum verdict creg_clts(struct vcpu *vcpu, struct vmexit *exit);
enum verdict creg_lmsw(struct vcpu *vcpu, struct vmexit *exit);

#endif
