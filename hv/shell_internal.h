/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the shell's files: what a command is, and what it may use while it runs.
 */
#ifndef HV_SHELL_INTERNAL_H
#define HV_SHELL_INTERNAL_H

#include "hv/guest.h"
#include "hv/shell.h"
#include "hv/shell_line.h"
#include "hv/types.h"

/* What the first argument names. */
enum shell_argument {
    SHELL_NOTHING,
    SHELL_ONE_GUEST, /* with one guest it may be left out */
    SHELL_ANY_GUEST, /* left out: all */
    SHELL_A_COMMAND, /* left out: all */
};

/*
 * A command's work, step by step: each is short and prints SHELL_STEP_MAX characters at most, since a guest may wait
 * for this CPU. SHELL_WAIT: call again in some milliseconds.
 */
#define SHELL_STEP_MAX 6144u
enum shell_progress {
    SHELL_DONE,
    SHELL_MORE,
    SHELL_WAIT,
};

struct shell_job;

struct shell_command {
    const char *name;
    const char *aliases[2]; /* names from other shells, which completion does not offer; NULL: none */
    const char *usage;      /* the arguments: "GUEST [CPU]"; "" */
    const char *summary;    /* for `help` */
    const char *details;    /* for `help NAME`; NULL: nothing to add */
    enum shell_argument argument;
    const char *option; /* a word that may stand among the arguments; NULL: none */
    const char *number; /* what a number among them is: "a CPU of the guest"; NULL: there is none */
    enum shell_progress (*run)(struct shell_job *job);
    bool until_key; /* with its option, any key ends it */
};

/* A command at work. */
struct shell_job {
    const struct shell_command *command;
    struct guest *guest;               /* the one named; NULL: all */
    const struct shell_command *about; /* the command named; NULL: all */
    bool option;
    bool has_number;
    uint32_t number;

    uint32_t step; /* of run: calls before this one */
    /* Free for its use, 0 at first: */
    uint32_t vcpu, phase, seen;
    uint64_t value;
};

/* All commands, ended by one without a name. */
extern const struct shell_command shell_commands[];

/* The command of that name or alias; NULL: there is none. */
const struct shell_command *shell_find_command(const char *name);

/* Fill `job` from a line. Returns false after a line that says what is wrong, or for an empty line. */
bool shell_parse(const char *text, struct shell_job *job);

/* The word of that number that may stand behind `before`, for completion; NULL behind the last. */
const char *shell_word(const char *before, uint32_t number);

/* Write a line. A long one goes on in the next row, between two words and indented. */
#define SHELL_COLUMNS 79u
void shell_print(const char *format, ...) PRINTF_LIKE(1, 2);

/* Clear the terminal. */
void shell_clear(void);

/* Leave the shell when all is written. */
void shell_leave(void);

/* What shell_init was given. */
const struct config *shell_config(void);
const struct plan *shell_plan(void);
const struct plan_machine *shell_machine(void);

/* Numbers as a list: "1-3,5", for up to GUEST_CPUS_MAX of them. */
struct shell_list {
    char text[4 * GUEST_CPUS_MAX];
};
struct shell_list shell_cpu_list(const struct guest *guest);

/* The commands. shell_guests.c, shell_stats.c, shell_look.c, shell_machine.c */
enum shell_progress shell_run_guests(struct shell_job *job);
enum shell_progress shell_run_pause(struct shell_job *job);
enum shell_progress shell_run_resume(struct shell_job *job);
enum shell_progress shell_run_reset(struct shell_job *job);
enum shell_progress shell_run_stop(struct shell_job *job);
enum shell_progress shell_run_start(struct shell_job *job);
enum shell_progress shell_run_shutdown(struct shell_job *job);
enum shell_progress shell_run_stats(struct shell_job *job);
enum shell_progress shell_run_exits(struct shell_job *job);
enum shell_progress shell_run_regs(struct shell_job *job);
enum shell_progress shell_run_map(struct shell_job *job);
enum shell_progress shell_run_cpus(struct shell_job *job);
enum shell_progress shell_run_config(struct shell_job *job);
enum shell_progress shell_run_log(struct shell_job *job);

#endif
