/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hypercalls: what a guest may ask of Bulkhead. Guests include this header; it needs nothing else of the tree.
 *
 * Is it there? CPUID leaf 40000000H says "BulkheadHyp " in EBX, ECX, EDX; leaf 40000001H says in EAX the number of
 * HYPERCALL_VERSION and in EBX the version of this interface.
 *
 * How: the instruction is VMCALL on a processor with VT-x and VMMCALL on one with AMD-V (CPUID leaf 0 tells the
 * vendor); the other one is an invalid opcode. It must come from ring 0 (or real mode). The call's number is in EAX;
 * arguments are in RBX and RCX, results in RAX, RBX, RCX, RDX as each call says. RAX is 0 or an error below. All other
 * registers, and those that a call does not name, stay as they are; when RAX is an error, that is all but RAX.
 *
 * In 64-bit mode an address is all of RBX, in other modes EBX. Numbers and sizes are 32 bits in every mode, and so is
 * what matters of RAX: an error is a negative number of 32 as well as of 64 bits. Addresses are guest-physical and
 * must be RAM; memory is not touched by a call that fails.
 */
#ifndef HV_HYPERCALL_H
#define HV_HYPERCALL_H

#include <stdint.h>

/* CPUID leaf: EAX, the first number; EBX, HYPERCALL_INTERFACE. */
#define HYPERCALL_CPUID_LEAF 0x40000001u
#define HYPERCALL_INTERFACE  1u

/*
 * The numbers have a range of their own ("BK" and a count): KVM's start at 1, and a guest that takes Bulkhead for KVM
 * shall be told that there is no such call.
 */
enum hypercall {
    /* -> EBX: HYPERCALL_INTERFACE. ECX: HYPERCALL_FEATURE_... bits: calls that this guest can use. */
    HYPERCALL_VERSION = 0x424b0000,
    /* -> EBX: the guest's number, from 0 on in the order of the configuration. ECX: the number of this vCPU (its APIC
     * id). EDX: how many the guest has. */
    HYPERCALL_GUEST_ID,
    /* RBX: address, ECX: bytes there. Writes the guest's name with a zero behind it, cut to fit. -> EBX: the length of
     * the whole name, at most 31. */
    HYPERCALL_GUEST_NAME,
    /* RBX: address, ECX: bytes there, at most HYPERCALL_CONSOLE_MAX. Sends them on the guest's serial line, among what
     * its UART sends, as far as there is room, without waiting. -> EBX: how many were taken; try the rest later. */
    HYPERCALL_CONSOLE_WRITE,
    /* The guest is well; for a guest with a watchdog. Without one it does nothing. */
    HYPERCALL_HEARTBEAT,
    /* RBX: address, ECX: bytes there. Writes a struct hypercall_statistics and behind it a struct
     * hypercall_vcpu_statistics for each vCPU, as many of these as fit whole. -> EBX: how many bytes were written. */
    HYPERCALL_STATISTICS,
    /* The guest goes off, or starts over as after a reset: all of its vCPUs, and from this instruction on. */
    HYPERCALL_POWER_OFF,
    HYPERCALL_RESET,
    HYPERCALL_END, /* the first number that is none */
};

#define HYPERCALL_FEATURE_CONSOLE  1u /* the guest has a serial line */
#define HYPERCALL_FEATURE_WATCHDOG 2u /* a heartbeat is waited for */

#define HYPERCALL_CONSOLE_MAX 4096u

/* Errors, in RAX. The first and the last are what KVM says. */
#define HYPERCALL_NOT_PERMITTED (-1)  /* from a ring other than 0, or from virtual-8086 mode */
#define HYPERCALL_BAD_ADDRESS   (-14) /* the address, or what is needed behind it, is not RAM */
#define HYPERCALL_NO_DEVICE     (-19) /* the guest has no serial line */
#define HYPERCALL_BAD_SIZE      (-22) /* too few bytes for any answer, or too many */
#define HYPERCALL_NO_SUCH_CALL  (-1000)

/* Exits, by what the guest did. They only grow; together they are all exits of a vCPU since its guest started. */
enum hypercall_exit {
    HYPERCALL_EXIT_OTHER,
    HYPERCALL_EXIT_HOST,      /* nothing: the hypervisor's own interrupt, or a kick */
    HYPERCALL_EXIT_WINDOW,    /* it became ready for an interrupt or NMI that waited */
    HYPERCALL_EXIT_EXCEPTION, /* #DB, #AC, #MC */
    HYPERCALL_EXIT_CPUID,
    HYPERCALL_EXIT_HLT,
    HYPERCALL_EXIT_PORT,             /* IN, OUT, INS, OUTS */
    HYPERCALL_EXIT_MSR,              /* RDMSR, WRMSR */
    HYPERCALL_EXIT_CONTROL_REGISTER, /* and CLTS, LMSW, XSETBV */
    HYPERCALL_EXIT_MEMORY,           /* device memory */
    HYPERCALL_EXIT_HYPERCALL,
    HYPERCALL_EXIT_KINDS,
};

#define HYPERCALL_STATISTICS_VERSION 1u

struct hypercall_statistics {
    uint32_t version; /* HYPERCALL_STATISTICS_VERSION; a later one only adds behind */
    uint32_t size;    /* bytes of this and of one structure for each vCPU */
    uint32_t vcpu_count;
    uint32_t vcpu_size; /* bytes of one struct hypercall_vcpu_statistics */
    uint64_t tsc;       /* the guest's time stamp counter at the call */
    uint64_t tsc_hz;    /* its ticks a second */
    uint64_t starts;    /* the first one, and one for each reset */
};

struct hypercall_vcpu_statistics {
    uint64_t exits[HYPERCALL_EXIT_KINDS]; /* by enum hypercall_exit */
    uint64_t interrupts;                  /* that were given to it; NMIs too */
    uint64_t hypervisor_ticks;            /* spent on its exits, in ticks of the time stamp counter */
    uint64_t halted_ticks;                /* slept in HLT, paused, or waiting for its start-up */
};

#endif
