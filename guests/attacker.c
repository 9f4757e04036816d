/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that tries to get out. Each stage is one way to try: it prints one line when it is through, and everything
 * that it finds otherwise than on a machine of its own is a failed check. With no options all stages run, again and
 * again. Words of the command line:
 *   stage=NAME   that one only; the fatal ones, which end the guest, are chosen like this alone
 *   rounds=N     so many rounds, then power-off
 *   quick        a sample of every sweep, for machines where an exit takes long
 *   quiet        no line for a stage that is through; no storm of output
 *   strict       also what QEMU's TCG gets wrong
 *   host=0x...   an address of code of the hypervisor, as the stage "breakpoints" wants it
 */
#include "guests/attacker/attacker.h"
#include "arch/x86.h"
#include "guests/lib/apic.h"
#include "guests/lib/processors.h"
#include "hv/string.h"

const char guest_name[] = "attacker";

#define STAGE_NAME_MAX 32u
#define CANARY_SIZE    MIB(1)

bool attacker_quick, attacker_quiet;

/* In this order: what may leave devices in a strange state is followed by its repair. */
static const struct attack *const groups[] = {
    attacks_on_registers,  attacks_on_instructions, attacks_on_memory, attacks_on_code,
    attacks_on_interrupts, attacks_on_ports,        attacks_by_load,   attacks_by_mode,
};

/* ---- What nobody else may change: memory of our own that no stage writes ---- */

static uint64_t *canary(void)
{
    return (uint64_t *)(uintptr_t)ALIGN_UP(memory_free(), MIB(1));
}

static void fill_canary(void)
{
    uint64_t *words = canary(), value = tsc_read() | 1;

    for (size_t i = 0; i < CANARY_SIZE / sizeof(*words); i++) {
        value = value * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        words[i] = value;
    }
}

uint64_t attacker_scratch(void)
{
    return (uintptr_t)canary() + CANARY_SIZE;
}

/* ---- Helpers of the stages ---- */

struct attempt {
    uint64_t (*function)(uint64_t argument);
    uint64_t argument, result;
};

static void attempt_run(void *argument)
{
    struct attempt *attempt = argument;

    attempt->result = attempt->function(attempt->argument);
}

int attacker_try(uint64_t (*function)(uint64_t argument), uint64_t argument, uint64_t *result)
{
    struct attempt attempt = {function, argument, 0};
    struct fault fault;
    bool faulted = probe(attempt_run, &attempt, &fault);

    if (result != NULL)
        *result = attempt.result;
    return faulted ? fault.vector : NO_FAULT;
}

static uint64_t in_user_mode(uint64_t argument)
{
    const struct attempt *attempt = (const struct attempt *)(uintptr_t)argument;

    return user_call(attempt->function, attempt->argument);
}

int attacker_try_user(uint64_t (*function)(uint64_t argument), uint64_t argument)
{
    struct attempt attempt = {function, argument, 0};

    return attacker_try(in_user_mode, (uintptr_t)&attempt, NULL);
}

uint64_t attacker_random(void)
{
    static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* ---- Stages ---- */

static void run(const struct attack *attack)
{
    uint64_t before = memory_checksum(canary(), CANARY_SIZE);
    uint32_t failed = checks_failed();

    interrupts_off();
    uint64_t done = attack->run();
    interrupts_off();
    check_equal(memory_checksum(canary(), CANARY_SIZE), before, "%s: memory that it does not touch has changed",
                attack->name);
    if (attacker_quiet && checks_failed() == failed)
        return;
    print("attacker: %s: %llu %s, %s\n", attack->name, (unsigned long long)done, attack->what,
          checks_failed() == failed ? "still inside" : "NOT AS ON A MACHINE");
}

static const struct attack *find(const char *name)
{
    for (unsigned group = 0; group < ARRAY_SIZE(groups); group++) {
        for (const struct attack *attack = groups[group]; attack->name != NULL; attack++) {
            if (strcmp(attack->name, name) == 0)
                return attack;
        }
    }
    for (const struct attack *attack = attacks_that_end; attack->name != NULL; attack++) {
        if (strcmp(attack->name, name) == 0)
            return attack;
    }
    return NULL;
}

static void run_one(const char *name)
{
    const struct attack *attack = find(name);

    if (attack == NULL)
        fail("there is no stage \"%s\"", name);
    print("attacker: %s: begins\n", name);
    run(attack);
}

static void run_all(void)
{
    for (unsigned group = 0; group < ARRAY_SIZE(groups); group++) {
        for (const struct attack *attack = groups[group]; attack->name != NULL; attack++)
            run(attack);
    }
}

void guest_main(void)
{
    char stage[STAGE_NAME_MAX];
    bool chosen = option_text("stage", stage, sizeof(stage));
    uint64_t rounds = option_number("rounds", chosen ? 1 : UINT64_MAX);

    attacker_quick = option_given("quick");
    attacker_quiet = option_given("quiet");
    fill_canary();
    attacker_prepare();
    print("attacker: %u processors\n", processor_start_all());
    for (uint64_t round = 1; round <= rounds; round++) {
        if (chosen)
            run_one(stage);
        else
            run_all();
        print("attacker: round %llu: %u checks, %u failed\n", (unsigned long long)round, checks_made(),
              checks_failed());
    }
}
