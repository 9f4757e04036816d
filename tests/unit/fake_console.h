/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The console with scripted devices and guests that have nothing but a serial line. To be included by the one file of a
 * test. The console's state lasts for the whole program, so every case runs in a process of its own: this program
 * again, with the name of the case.
 */
#ifndef TESTS_UNIT_FAKE_CONSOLE_H
#define TESTS_UNIT_FAKE_CONSOLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "hv/console.h"
#include "hv/guest.h"
#include "hv/log.h"

static uint64_t ticks;
static uint32_t cpu;
static uint32_t requests[GUESTS_MAX];
static struct guest guests[GUESTS_MAX];
static struct vcpu vcpus[GUESTS_MAX];
static struct console_port *lines[GUESTS_MAX];
static const char *const names[GUESTS_MAX] = {"linux", "rt", "c", "d", "e", "f", "g", "h"};

uint64_t machine_ticks(void)
{
    return ticks;
}

static uint64_t ticks_hz = 1000000; /* 1000 ticks a millisecond */

uint64_t machine_ticks_hz(void)
{
    return ticks_hz;
}

uint32_t machine_cpu(void)
{
    return cpu;
}

void vcpu_request(struct vcpu *vcpu, uint32_t bits)
{
    requests[vcpu - vcpus] |= bits;
}

struct screen {
    size_t room; /* bytes that it still takes */
    char text[100000];
    size_t length;
    const char *keys;
    uint32_t busy; /* so often it says that bytes are still on their way */
};
static struct screen screens[CONSOLE_DRIVERS_MAX];
static struct screen *slow; /* takes 16 bytes every 50 polls */

void machine_relax(void)
{
    static uint32_t polls;

    ticks += 100;
    if (slow != NULL && ++polls % 50 == 0)
        slow->room = 16;
}

static size_t screen_write(void *context, const uint8_t *bytes, size_t size)
{
    struct screen *screen = context;

    size = size < screen->room ? size : screen->room;
    assert_true(screen->length + size < sizeof(screen->text));
    memcpy(screen->text + screen->length, bytes, size);
    screen->length += size;
    screen->room -= size;
    return size;
}

static bool screen_read(void *context, uint8_t *byte)
{
    struct screen *screen = context;

    if (screen->keys == NULL || *screen->keys == '\0')
        return false;
    *byte = (uint8_t)*screen->keys++;
    return true;
}

static bool screen_idle(void *context)
{
    struct screen *screen = context;

    if (screen->busy == 0)
        return true;
    screen->busy--;
    return false;
}

static inline struct screen *add_screen(size_t room)
{
    static uint32_t count;
    struct screen *screen = &screens[count++];
    struct console_driver driver = {"test", screen_write, screen_read, screen_idle, screen};

    screen->room = room;
    assert_int_equal(console_add_driver(&driver), 0);
    return screen;
}

static inline void add_guest(unsigned i)
{
    guests[i].number = i;
    guests[i].name = names[i];
    guests[i].vcpus[0] = &vcpus[i];
    guests[i].vcpu_count = 1;
    lines[i] = console_attach(&guests[i], NULL, NULL);
    assert_non_null(lines[i]);
}

static inline void guest_write(unsigned i, const char *text)
{
    while (*text != '\0')
        assert_true(ring_put(&lines[i]->out, (uint8_t)*text++));
}

static inline void poll_for_ms(unsigned ms)
{
    for (unsigned i = 0; i < ms; i++) {
        (void)console_poll();
        ticks += 1000;
    }
}

static void run_alone(void **state)
{
    const struct CMUnitTest *test = *state;
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        execl("/proc/self/exe", "test", test->name, (char *)NULL);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* What main does: the case that is named, or each in a process of its own. */
static inline int run_cases(const char *group, const struct CMUnitTest *cases, size_t case_count, char **arguments)
{
    struct CMUnitTest tests[64];

    assert_true(case_count <= ARRAY_SIZE(tests));
    for (size_t i = 0; i < case_count; i++) {
        if (arguments[1] != NULL && strcmp(arguments[1], cases[i].name) == 0) {
            const struct CMUnitTest alone[] = {cases[i]};
            return cmocka_run_group_tests_name(group, alone, NULL, NULL);
        }
        tests[i] = (struct CMUnitTest){cases[i].name, run_alone, NULL, NULL, (void *)(uintptr_t)&cases[i]};
    }
    return _cmocka_run_group_tests(group, tests, case_count, NULL, NULL);
}

#endif
