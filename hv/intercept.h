/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest never does on the processor itself: one list for both vendors. A backend says for each entry which bits
 * of which of its control words stand for it, sets them, and has the finished words verified.
 */
#ifndef HV_INTERCEPT_H
#define HV_INTERCEPT_H

#include "hv/types.h"

enum intercept {
    INTERCEPT_INTERRUPT,
    INTERCEPT_NMI,
    INTERCEPT_INIT,
    INTERCEPT_SHUTDOWN,
    INTERCEPT_DEBUG,
    INTERCEPT_ALIGNMENT,
    INTERCEPT_MACHINE_CHECK,
    INTERCEPT_CPUID,
    INTERCEPT_HLT,
    INTERCEPT_IO,
    INTERCEPT_MSR,
    INTERCEPT_RDPMC,
    INTERCEPT_INVD,
    INTERCEPT_WBINVD,
    INTERCEPT_MONITOR,
    INTERCEPT_MWAIT,
    INTERCEPT_XSETBV,
    INTERCEPT_VIRTUALIZATION,
    INTERCEPT_SECURE_LAUNCH,
    INTERCEPT_RSM,
    INTERCEPT_ENCLS,
    INTERCEPT_RDPRU,
    INTERCEPT_COUNT,
};

enum intercept_need {
    INTERCEPT_NEEDED, /* no guest may run without */
    INTERCEPT_WANTED, /* start-up says that guests execute it themselves */
    INTERCEPT_QUIET,  /* missing only where the processor lacks the instruction as well */
};

struct intercept_rule {
    const char *name;
    enum intercept_need need;
    const char *reason;
};
extern const struct intercept_rule intercept_rules[INTERCEPT_COUNT];

/* Where a backend has an intercept: bits of one of its control words (numbered by itself, below 32). */
struct intercept_place {
    uint8_t word;
    uint32_t bits; /* 0: the processor always intercepts it, or never has it */
};

/* The bits of one control word that the list asks for. `places` has INTERCEPT_COUNT entries. */
uint32_t intercept_bits(const struct intercept_place *places, unsigned word);

/*
 * Whether finished control words have all that the list asks for. Writes one line for each entry that is missing, if it
 * is needed or wanted. Returns 0, or E_NOSYS when a needed one is missing. `backend` is for messages: "VT-x".
 */
int intercept_verify(const char *backend, const struct intercept_place *places, const uint32_t *words);

#endif
