/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guests that hang. With the key `watchdog` a guest crashes that does not write its heartbeat in time, or all of whose
 * vCPUs sleep for good; without it the latter is only told.
 */
#ifndef HV_WATCHDOG_H
#define HV_WATCHDOG_H

struct guest;
struct vcpu;

/* While the guest is built, once it has its vCPUs. Returns 0 or E_NOMEM. */
int watchdog_init(struct guest *guest);

/* The guest is about to run: the time to its first heartbeat begins. While all its vCPUs are at rest. */
void watchdog_start(struct guest *guest);

/* The guest says that it is well: its time begins anew. From any of its CPUs, as often as it likes. */
void watchdog_heartbeat(struct guest *guest);

/*
 * The vCPU goes to sleep, and no interrupt can wake it: it has halted with interrupts off, or waits for its start-up.
 * watchdog_awake takes that back, before the vCPU looks at its requests.
 */
void watchdog_asleep(struct vcpu *vcpu);
void watchdog_awake(struct vcpu *vcpu);

#endif
