/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bulkhead-check: reads configurations on the machine where they are written, with the hypervisor's own parser and
 * planner, and so with its messages.
 */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "drivers/virtual/registry.h"
#include "guests/check/machine.h"
#include "hv/config.h"
#include "hv/config_value.h"
#include "hv/plan.h"
#include "hv/plan_describe.h"
#include "hv/toml.h"

/* The status of a run is the worst of its files. */
enum status {
    VALID,
    MISTAKEN,
    UNCHECKED,
};

struct run {
    struct check_options machine;
    const char *memory_text; /* as it was given, or as it is assumed */
    bool memory_given;
    bool explain;
    bool list_modules;
    bool count_cpus;
};

static const char usage[] =
    "usage: bulkhead-check [OPTION...] FILE.toml...\n"
    "\n"
    "Checks configurations as the hypervisor does at its start. FILE \"-\" is standard input.\n"
    "\n"
    "  --cpus N             the machine has N CPUs (otherwise: as many as the file names)\n"
    "  --threads N          N hardware threads a core: CPUs 0 to N-1 are one core, and so on\n"
    "  --memory SIZE        it has so much memory, such as 4G (otherwise: " CHECK_MEMORY ")\n"
    "  --module NAME        the loader brings this boot module; may be repeated\n"
    "  --modules-from DIR   it brings the files of DIR; may be repeated\n"
    "                       (without these two: it brings what the file names)\n"
    "  --explain            print who owns which CPU, memory and device\n"
    "  --list-modules       only print the names of the boot modules that a file names\n"
    "  --count-cpus         only print how many CPUs a machine must have for a file\n"
    "  --help               print this\n"
    "\n"
    "Status: 0 all files are valid, 1 a file has mistakes, 2 a file or an option could not be used.\n";

static void report_line(struct diagnostics *self, const char *text)
{
    (void)self;
    fprintf(stderr, "%s\n", text);
}

static void print_line(void *context, const char *text)
{
    printf("%s%s\n", (const char *)context, text);
}

/* ---- A file ---- */

/*
 * A file into `text`, which has room for one byte more than a configuration may have; what comes behind is not needed
 * to refuse it. Returns 0, or -1 with errno.
 */
static int read_text(FILE *file, char *text, size_t *size)
{
    struct stat status;

    *size = fread(text, 1, TOML_SIZE_MAX + 1, file);
    if (ferror(file))
        return -1;
    if (*size > TOML_SIZE_MAX && fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode))
        *size = (size_t)status.st_size;
    return 0;
}

static int read_file(const char *path, char *text, size_t *size)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");

    if (file == NULL)
        return -1;
    int result = read_text(file, text, size), error = errno;
    if (file != stdin)
        fclose(file);
    errno = error;
    return result;
}

/* "2 CPUs, 1G of memory and 3 boot modules" */
static void print_machine(FILE *out, const struct run *run, const struct plan_machine *machine)
{
    fprintf(out, "%u CPU%s, %s of memory and ", machine->cpu_count, machine->cpu_count == 1 ? "" : "s",
            run->memory_text);
    if (run->machine.modules_given)
        fprintf(out, "%zu boot module%s\n", run->machine.module_count, run->machine.module_count == 1 ? "" : "s");
    else
        fprintf(out, "the boot modules that it names\n");
}

/* What the user did not say of the machine: the map depends on it. */
static void print_assumptions(const struct run *run, const struct plan_machine *machine)
{
    const char *before = "  assumed, as no option says otherwise: ";

    if (run->machine.cpu_count == 0) {
        printf("%s%u CPU%s (--cpus)", before, machine->cpu_count, machine->cpu_count == 1 ? "" : "s");
        before = ", ";
    }
    if (!run->memory_given) {
        printf("%s%s of memory (--memory)", before, run->memory_text);
        before = ", ";
    }
    if (!run->machine.modules_given) {
        printf("%sboot modules without a size (--modules-from)", before);
        before = ", ";
    }
    if (strcmp(before, ", ") == 0)
        printf("\n");
}

static enum status plan_file(const struct run *run, const char *name, const struct config *config,
                             struct diagnostics *diagnostics)
{
    static struct plan plan;
    const struct plan_machine *machine = check_machine(&run->machine, name, config);

    if (machine == NULL) {
        fprintf(stderr, "%s: %s of memory has no room for the hypervisor and the boot modules\n", name,
                run->memory_text);
        return MISTAKEN;
    }
    if (plan_make(name, config, machine, &plan, diagnostics) != 0) {
        fprintf(stderr, "%s: this was checked for a machine with ", name);
        print_machine(stderr, run, machine);
        return MISTAKEN;
    }
    printf("%s: valid for a machine with ", name);
    print_machine(stdout, run, machine);
    plan_remarks(&plan, machine, print_line, "remark: ");
    if (run->explain) {
        print_assumptions(run, machine);
        plan_describe(&plan, machine, print_line, "  ");
    }
    return VALID;
}

static enum status check_file(const struct run *run, const char *path)
{
    static const char *const device_names[] = DEVICE_NAMES;
    static char text[TOML_SIZE_MAX + 1];
    static struct config config;
    static struct diagnostics diagnostics;
    const char *name = strcmp(path, "-") == 0 ? "<stdin>" : path;
    size_t size;

    if (read_file(path, text, &size) != 0) {
        warn("%s cannot be read", name);
        return UNCHECKED;
    }
    diagnostics.report = report_line;
    if (config_parse(name, text, size, device_names, &config, &diagnostics) != 0)
        return MISTAKEN;
    if (run->list_modules)
        check_each_module(&config, print_line, "");
    if (run->count_cpus)
        printf("%u\n", check_cpus_named(&config));
    return run->list_modules || run->count_cpus ? VALID : plan_file(run, name, &config, &diagnostics);
}

/* ---- The command line ---- */

/* An option's number from 1 to `most`. */
static uint32_t read_number(const char *option, const char *text, uint32_t most)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || number == 0 || number > most)
        errx(UNCHECKED, "%s %s: it must be a number from 1 to %u", option, text, most);
    return (uint32_t)number;
}

static void read_memory(struct run *run, const char *text)
{
    const char *fault = config_size_parse(text, strlen(text), &run->machine.memory_bytes);

    if (fault != NULL)
        errx(UNCHECKED, "--memory %s: %s", text, fault);
    run->memory_text = text;
}

enum option_letter {
    CPUS = 1,
    THREADS,
    MEMORY,
    MODULE,
    MODULES_FROM,
    EXPLAIN,
    LIST_MODULES,
    COUNT_CPUS,
    HELP,
};

static const struct option long_options[] = {
    {"cpus", required_argument, NULL, CPUS},
    {"threads", required_argument, NULL, THREADS},
    {"memory", required_argument, NULL, MEMORY},
    {"module", required_argument, NULL, MODULE},
    {"modules-from", required_argument, NULL, MODULES_FROM},
    {"explain", no_argument, NULL, EXPLAIN},
    {"list-modules", no_argument, NULL, LIST_MODULES},
    {"count-cpus", no_argument, NULL, COUNT_CPUS},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

static void read_option(struct run *run, int letter, const char *argument)
{
    switch (letter) {
    case CPUS: run->machine.cpu_count = read_number("--cpus", argument, CPUS_MAX); break;
    case THREADS: run->machine.threads_per_core = read_number("--threads", argument, CPUS_MAX); break;
    case MEMORY:
        read_memory(run, argument);
        run->memory_given = true;
        break;
    case MODULE: check_module_add(&run->machine, argument, 0); break;
    case MODULES_FROM:
        if (check_modules_from(&run->machine, argument) != 0)
            err(UNCHECKED, "%s cannot be read", argument);
        break;
    case EXPLAIN: run->explain = true; break;
    case LIST_MODULES: run->list_modules = true; break;
    case COUNT_CPUS: run->count_cpus = true; break;
    case HELP: fputs(usage, stdout); exit(VALID);
    default: fputs(usage, stderr); exit(UNCHECKED);
    }
}

int main(int argc, char **argv)
{
    static struct run run;
    enum status worst = VALID;
    int letter;

    read_memory(&run, CHECK_MEMORY);
    while ((letter = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        read_option(&run, letter, optarg);
    if (optind == argc) {
        fputs(usage, stderr);
        return UNCHECKED;
    }
    for (int i = optind; i < argc; i++) {
        enum status status = check_file(&run, argv[i]);
        worst = status > worst ? status : worst;
    }
    if (fflush(stdout) != 0)
        err(UNCHECKED, "standard output");
    return (int)worst;
}
