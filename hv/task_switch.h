/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hardware task switch carried out in software, for processors whose virtualization always exits there (VT-x).
 */
#ifndef HV_TASK_SWITCH_H
#define HV_TASK_SWITCH_H

#include "hv/exit.h"
#include "hv/types.h"

/* For EXIT_TASK_SWITCH; `exit->length` is the instruction's where one caused it. */
enum verdict task_switch(struct vcpu *vcpu, struct vmexit *exit);

#endif
