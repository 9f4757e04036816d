/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A place for the shell: a ring each way. The shell runs behind a poll, not inside of it, so that it may do what takes
 * long while others serve the console.
 */
#include "hv/console_internal.h"

static const struct console_shell *shell; /* constant once guests run */
static struct ring typed;                 /* taken and filled by the CPU that polls */
static struct ring written;               /* filled by that CPU, taken by the one that serves */
static bool disturbed;                    /* as all flags here: set by the serving CPU, asked by the one that polls */
static bool ended;

/* Of the serving CPU: is the row of the last byte taken one that began with a return? See hv/console.h. */
static bool row_redrawn, behind_return;

void console_set_shell(const struct console_shell *new_shell)
{
    shell = new_shell;
}

size_t console_shell_write(const char *text, size_t size)
{
    size_t done = 0;

    while (done < size && ring_put(&written, (uint8_t)text[done]))
        done++;
    return done;
}

void console_shell_close(void)
{
    __atomic_store_n(&ended, true, __ATOMIC_RELEASE);
}

bool console_shell_exists(void)
{
    return shell != NULL;
}

void console_shell_begin(void)
{
    uint8_t byte;

    while (ring_take(&typed, &byte)) /* for the last time it was open */
        ;
    __atomic_store_n(&ended, false, __ATOMIC_RELEASE);
    (void)console_shell_disturbed();
}

bool console_shell_ended(void)
{
    return __atomic_load_n(&ended, __ATOMIC_ACQUIRE);
}

void console_shell_put(uint8_t byte)
{
    (void)ring_put(&typed, byte);
}

bool console_shell_disturbed(void)
{
    bool redrawn = row_redrawn;

    row_redrawn = behind_return = false;
    __atomic_store_n(&disturbed, true, __ATOMIC_RELEASE);
    return redrawn;
}

uint32_t console_shell_used(void)
{
    return ring_used(&written);
}

uint8_t console_shell_take(void)
{
    uint8_t byte = 0;

    (void)ring_take(&written, &byte);
    row_redrawn = byte != '\n' && (row_redrawn || behind_return);
    behind_return = byte == '\r';
    return byte;
}

void console_shell_run(void)
{
    uint8_t byte;

    if (shell == NULL)
        return;
    if (__atomic_exchange_n(&disturbed, false, __ATOMIC_ACQ_REL) && !console_shell_ended())
        shell->draw();
    while (!console_shell_ended() && ring_take(&typed, &byte))
        shell->byte(byte);
}
