/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All commands, and how a line becomes one. Names are written in full: an abbreviation that is clear today would mean
 * something else when a command is added. Tab completes them.
 */
#include "hv/shell_internal.h"

#include "hv/format.h"
#include "hv/similar.h"
#include "hv/string.h"

static enum shell_progress run_help(struct shell_job *job);
static enum shell_progress run_quit(struct shell_job *job);

const struct shell_command shell_commands[] = {
    {.name = "guests",
     .usage = "",
     .summary = "lists the guests: state, since when, CPUs, memory, starts",
     .run = shell_run_guests},
    {.name = "stats",
     .usage = "[GUEST] [-w]",
     .summary = "tells where the CPUs' time went, and what exits cost",
     .details =
         "Since the guest's start; with -w anew each second until a key is pressed, and then all is of that second. "
         "Halt% is sleep: in HLT, waiting to be started by the guest, or paused. Events are interrupts and NMIs that "
         "it got. For one guest: its exits by kind, with the ticks of the time stamp counter that half of them (p50), "
         "99 of 100 (p99) and the longest took, sleep left out. p50 and p99 are right to a factor of two; max is "
         "exact, but with -w only when it is the longest ever, and else the most that it can have been.",
     .argument = SHELL_ANY_GUEST,
     .option = "-w",
     .run = shell_run_stats,
     .until_key = true},
    {.name = "exits",
     .usage = "GUEST [COUNT]",
     .summary = "shows the last (COUNT) exits of each CPU of a guest",
     .details = "At most 32 are kept. Oldest first: the address of the instruction, what it did, with which register, "
                "leaf or device, and the processor's reason number. The guest is not held up; its exits of this very "
                "moment are missing.",
     .argument = SHELL_ONE_GUEST,
     .number = "a number of exits",
     .run = shell_run_exits},
    {.name = "regs",
     .usage = "GUEST [CPU]",
     .summary = "shows registers; CPU is the guest's own number, from 0",
     .details =
         "Without CPU: of all of them. \"cpus\" tells on which of the machine's CPUs each is. Each leaves the guest "
         "for a moment to write its registers down.",
     .argument = SHELL_ONE_GUEST,
     .number = "a CPU of the guest",
     .run = shell_run_regs},
    {.name = "map",
     .usage = "",
     .summary = "tells who owns which CPUs, memory, ports and devices",
     .run = shell_run_map},
    {.name = "cpus", .usage = "", .summary = "lists the machine's CPUs and what they do", .run = shell_run_cpus},
    {.name = "pause",
     .usage = "GUEST",
     .summary = "holds all CPUs of a guest",
     .details = "Time goes on for it: its clocks jump when it is resumed, and timers that came due fire then.",
     .argument = SHELL_ONE_GUEST,
     .run = shell_run_pause},
    {.name = "resume",
     .usage = "GUEST",
     .summary = "lets a paused guest go on",
     .argument = SHELL_ONE_GUEST,
     .run = shell_run_resume},
    {.name = "reset",
     .usage = "GUEST",
     .summary = "resets a guest: it starts over at once",
     .details = "Its memory is cleared and its kernel loaded again. A guest that waits after a crash starts now.",
     .argument = SHELL_ONE_GUEST,
     .run = shell_run_reset},
    {.name = "stop",
     .usage = "GUEST [now]",
     .summary = "stops a guest: by its power button, after 10 s hard",
     .details = "A guest that does not listen to a power button is stopped hard at once, and so is every guest with "
                "\"now\". \"start\" starts it again.",
     .argument = SHELL_ONE_GUEST,
     .option = "now",
     .run = shell_run_stop},
    {.name = "start",
     .usage = "GUEST",
     .summary = "starts a guest that has stopped",
     .argument = SHELL_ONE_GUEST,
     .run = shell_run_start},
    {.name = "log",
     .usage = "[LINES]",
     .summary = "shows the last 20 (or LINES) messages",
     .number = "a number of lines",
     .run = shell_run_log},
    {.name = "config",
     .usage = "[GUEST]",
     .summary = "shows the configuration as it was understood",
     .argument = SHELL_ANY_GUEST,
     .run = shell_run_config},
    {.name = "shutdown",
     .usage = "[now]",
     .summary = "stops all guests, then switches the machine off",
     .details =
         "Each as \"stop\" does it: by its power button, and hard after 10 s; with \"now\" hard at once. The shell "
         "closes.",
     .option = "now",
     .run = shell_run_shutdown},
    {.name = "help",
     .aliases = {"?"},
     .usage = "[COMMAND]",
     .summary = "lists the commands, or tells more about one; so does ?",
     .argument = SHELL_A_COMMAND,
     .run = run_help},
    {.name = "quit",
     .aliases = {"exit", "logout"},
     .usage = "",
     .summary = "leaves the shell; so do exit, logout and Ctrl-D",
     .details =
         "The guests are shown again as before; Ctrl-] and a digit leave it for another view. When all guests have "
         "stopped, the machine goes off then.",
     .run = run_quit},
    {.name = NULL},
};

static enum shell_progress run_help(struct shell_job *job)
{
    const struct shell_command *command = job->about != NULL ? job->about : &shell_commands[job->step];

    if (command->name == NULL) {
        shell_print("Tab completes; the arrows edit and bring back earlier lines; Ctrl-C breaks off.");
        return SHELL_DONE;
    }
    char call[32];
    (void)format_text(call, sizeof(call), "%s %s", command->name, command->usage);
    shell_print("%-20s %s", call, command->summary);
    if (job->about == NULL)
        return SHELL_MORE;
    if (command->details != NULL)
        shell_print("%s", command->details);
    return SHELL_DONE;
}

static enum shell_progress run_quit(struct shell_job *job)
{
    (void)job;
    shell_leave();
    return SHELL_DONE;
}

static bool has_alias(const struct shell_command *command, const char *name)
{
    for (uint32_t i = 0; i < ARRAY_SIZE(command->aliases); i++) {
        if (command->aliases[i] != NULL && strcmp(command->aliases[i], name) == 0)
            return true;
    }
    return false;
}

const struct shell_command *shell_find_command(const char *name)
{
    for (const struct shell_command *command = shell_commands; command->name != NULL; command++) {
        if (strcmp(command->name, name) == 0 || has_alias(command, name))
            return command;
    }
    return NULL;
}

static struct guest *find_guest(const char *name)
{
    for (uint32_t i = 0; i < guest_count(); i++) {
        if (strcmp(guest_get(i)->name, name) == 0)
            return guest_get(i);
    }
    return NULL;
}

/* ---- Completion ---- */

/* The first word of a text that may begin with blanks. */
static const char *first_word(const char *text, char *word)
{
    size_t length = 0;

    while (*text == ' ')
        text++;
    while (text[length] != ' ' && text[length] != '\0')
        length++;
    memcpy(word, text, length);
    word[length] = '\0';
    return text + length;
}

static const char *command_word(uint32_t number)
{
    return number < ARRAY_SIZE(shell_commands) - 1 ? shell_commands[number].name : NULL;
}

const char *shell_word(const char *before, uint32_t number)
{
    char word[SHELL_LINE_MAX + 1];

    (void)first_word(before, word);
    if (word[0] == '\0')
        return command_word(number);
    const struct shell_command *command = shell_find_command(word);
    if (command == NULL)
        return NULL;
    if (command->argument == SHELL_A_COMMAND)
        return command_word(number);
    uint32_t guests = command->argument == SHELL_NOTHING ? 0 : guest_count();
    if (number < guests)
        return guest_get(number)->name;
    return number == guests ? command->option : NULL;
}

/* ---- A line becomes a job ---- */

static void say_usage(const struct shell_command *command)
{
    shell_print("Right would be: %s%s%s", command->name, command->usage[0] == '\0' ? "" : " ", command->usage);
}

static void say_guests(void)
{
    char names[GUESTS_MAX * (CONFIG_NAME_MAX + 2) + 1] = "";
    size_t length = 0;

    for (uint32_t i = 0; i < guest_count(); i++)
        length += format_text(names + length, sizeof(names) - length, "%s%s", i == 0 ? "" : ", ", guest_get(i)->name);
    shell_print("%s: %s", guest_count() == 1 ? "The only guest is" : "The guests are", names);
}

static bool no_command(const char *name)
{
    struct similar similar;

    similar_begin(&similar, name, strlen(name));
    for (uint32_t i = 0; command_word(i) != NULL; i++)
        similar_offer(&similar, command_word(i));
    if (similar.best != NULL)
        shell_print("there is no command \"%s\"; did you mean \"%s\"?", name, similar.best);
    else
        shell_print("there is no command \"%s\"; \"help\" lists all", name);
    return false;
}

static bool no_guest(const char *name)
{
    struct similar similar;

    similar_begin(&similar, name, strlen(name));
    for (uint32_t i = 0; i < guest_count(); i++)
        similar_offer(&similar, guest_get(i)->name);
    if (similar.best != NULL) {
        shell_print("there is no guest \"%s\"; did you mean \"%s\"?", name, similar.best);
    } else {
        shell_print("there is no guest \"%s\"", name);
        say_guests();
    }
    return false;
}

/* A decimal number. Returns false when it is none, or too large for any use here. */
static bool parse_number(const char *word, uint32_t *number)
{
    uint32_t value = 0;

    for (const char *at = word; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || value > 100000)
            return false;
        value = value * 10 + (uint32_t)(*at - '0');
    }
    *number = value;
    return true;
}

static bool wants_guest(const struct shell_command *command)
{
    return command->argument == SHELL_ONE_GUEST || command->argument == SHELL_ANY_GUEST;
}

static bool is_option(const struct shell_command *command, const char *word)
{
    return command->option != NULL && strcmp(word, command->option) == 0;
}

/* A word for which there is no place. */
static bool too_much(const struct shell_command *command, const char *word)
{
    if (is_option(command, word))
        shell_print("%s: \"%s\" is there twice", command->name, word);
    else if (word[0] == '-')
        shell_print("%s: there is no option \"%s\"", command->name, word);
    else
        shell_print("%s: \"%s\" is too much", command->name, word);
    say_usage(command);
    return false;
}

/* The only guest's name may be, and then a number may come first. */
static bool is_name_left_out(const struct shell_command *command, const char *word)
{
    uint32_t number;

    return guest_count() == 1 && command->number != NULL && find_guest(word) == NULL && parse_number(word, &number);
}

static bool parse_argument(struct shell_job *job, const char *word)
{
    const struct shell_command *command = job->command;

    if (!job->option && is_option(command, word)) {
        job->option = true;
        return true;
    }
    if (wants_guest(command) && job->guest == NULL && !is_name_left_out(command, word)) {
        job->guest = find_guest(word);
        if (job->guest == NULL && (word[0] == '-' || is_option(command, word)))
            return too_much(command, word);
        return job->guest != NULL || no_guest(word);
    }
    if (command->argument == SHELL_A_COMMAND && job->about == NULL) {
        job->about = shell_find_command(word);
        return job->about != NULL || no_command(word);
    }
    if (command->number != NULL && !job->has_number) {
        job->has_number = parse_number(word, &job->number);
        if (!job->has_number)
            shell_print("\"%s\" is not %s", word, command->number);
        return job->has_number;
    }
    return too_much(command, word);
}

static bool check_guest(struct shell_job *job)
{
    if (job->command->argument != SHELL_ONE_GUEST || job->guest != NULL)
        return true;
    if (guest_count() == 1) {
        job->guest = guest_get(0);
        return true;
    }
    shell_print("%s: of which guest?", job->command->name);
    say_usage(job->command);
    say_guests();
    return false;
}

bool shell_parse(const char *text, struct shell_job *job)
{
    char word[SHELL_LINE_MAX + 1];

    memset(job, 0, sizeof(*job));
    text = first_word(text, word);
    if (word[0] == '\0')
        return false;
    job->command = shell_find_command(word);
    if (job->command == NULL)
        return no_command(word);
    for (text = first_word(text, word); word[0] != '\0'; text = first_word(text, word)) {
        if (!parse_argument(job, word))
            return false;
    }
    return check_guest(job);
}
