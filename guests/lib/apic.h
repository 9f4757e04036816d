/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * This processor's local APIC, in xAPIC or x2APIC mode alike. Intel SDM vol. 3, "Advanced Programmable Interrupt
 * Controller (APIC)".
 */
#ifndef GUESTS_LIB_APIC_H
#define GUESTS_LIB_APIC_H

#include "hv/types.h"

#define APIC_PAGE UINT64_C(0xfee00000)

/* Offsets in the page; an x2APIC MSR is 0x800 + offset / 16. "Local APIC Register Address Map". */
#define APIC_ID            0x20u
#define APIC_VERSION       0x30u
#define APIC_TPR           0x80u
#define APIC_EOI           0xb0u
#define APIC_LDR           0xd0u
#define APIC_DFR           0xe0u
#define APIC_SVR           0xf0u
#define APIC_ISR           0x100u
#define APIC_IRR           0x200u
#define APIC_ESR           0x280u
#define APIC_ICR           0x300u
#define APIC_ICR_HIGH      0x310u
#define APIC_LVT_TIMER     0x320u
#define APIC_LVT_LINT0     0x350u
#define APIC_LVT_LINT1     0x360u
#define APIC_LVT_ERROR     0x370u
#define APIC_INITIAL_COUNT 0x380u
#define APIC_CURRENT_COUNT 0x390u
#define APIC_DIVIDE        0x3e0u
#define APIC_SELF_IPI      0x3f0u

/* Interrupt command. "Interrupt Command Register (ICR)" */
#define APIC_FIXED      0x000u
#define APIC_LOWEST     0x100u
#define APIC_SMI        0x200u
#define APIC_NMI        0x400u
#define APIC_INIT       0x500u
#define APIC_STARTUP    0x600u
#define APIC_LOGICAL    0x800u
#define APIC_ASSERT     0x4000u
#define APIC_LEVEL      0x8000u
#define APIC_TO_SELF    0x40000u
#define APIC_TO_ALL     0x80000u
#define APIC_TO_OTHERS  0xc0000u
#define APIC_BROADCAST8 0xffu

/* Entries of the local vector table. */
#define APIC_LVT_MASKED         0x10000u
#define APIC_LVT_TIMER_PERIODIC 0x20000u
#define APIC_LVT_TIMER_DEADLINE 0x40000u
#define APIC_DIVIDE_BY_1        0xbu

#define APIC_SVR_ENABLED  0x100u
#define APIC_SPURIOUS     0xffu /* the vector that the library uses */
#define APIC_DFR_FLAT     0xffffffffu
#define APIC_DFR_CLUSTER  0x0fffffffu
#define APIC_MSR_X2APIC   0x800u
#define APIC_BASE_X2APIC  BIT(10)
#define APIC_BASE_ENABLED BIT(11)

bool apic_x2apic_offered(void);
bool apic_deadline_offered(void);

/* This processor's APIC to x2APIC mode, if it is not there. For the way back the APIC has to be off in between. */
void apic_use_x2apic(void);
void apic_use_xapic(void);
bool apic_is_x2apic(void);

/* Registers; of the ICR both modes have their own, see apic_send. */
uint32_t apic_read(uint32_t offset);
void apic_write(uint32_t offset, uint32_t value);

uint32_t apic_id(void);
void apic_eoi(void);

/* A message: `command` is the low half of the ICR. Waits, for a while, until the APIC takes it. */
void apic_send(uint32_t destination, uint32_t command);

#endif
