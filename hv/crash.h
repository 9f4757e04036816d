/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What follows a guest's crash: everything that is known of it in the log, and whether the guest may try again.
 */
#ifndef HV_CRASH_H
#define HV_CRASH_H

#include "hv/types.h"

struct guest;
struct vcpu;

/*
 * A guest with on_crash = "restart" starts again after a delay, which doubles with each crash up to a most; so many
 * times in a row. The row ends when the guest has run well for a while, and longer than twice its watchdog's time.
 */
#define CRASH_RESTARTS_MAX 5u
#define CRASH_DELAY_NS     UINT64_C(1000000000)
#define CRASH_DELAY_MAX_NS UINT64_C(10000000000)
#define CRASH_RAN_WELL_NS  UINT64_C(60000000000)

/*
 * Write the reason, the vCPU's registers and its last exits, as one text. On the CPU of the vCPU that crashed, before
 * its state changes.
 */
void crash_report(struct vcpu *vcpu);

/*
 * The guest's vCPUs are all at rest after a crash. Returns false when it stays stopped, or true once it may start
 * again: waits for that, while the monitor goes on with its work. guest_wish ends the wait.
 */
bool crash_may_restart(struct guest *guest);

#endif
