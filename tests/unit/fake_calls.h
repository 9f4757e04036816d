/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a model asks of the run loop, the guest and the log, recorded. Weak, so that a test may link hv's own instead.
 * To be included by the one file of a test.
 */
#ifndef TESTS_UNIT_FAKE_CALLS_H
#define TESTS_UNIT_FAKE_CALLS_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hv/guest.h"
#include "hv/log.h"
#include "tests/unit/fake.h"

static struct fake_calls {
    unsigned resets;
    unsigned power_offs;
    const char *why;
    unsigned log_lines;
} fake_calls;

__attribute__((weak)) void vcpu_request(struct vcpu *vcpu, uint32_t requests)
{
    __atomic_fetch_or(&vcpu->requests, requests, __ATOMIC_SEQ_CST);
}

__attribute__((weak)) void guest_request_reset(struct guest *guest, const char *why)
{
    (void)guest;
    fake_calls.resets++;
    fake_calls.why = why;
}

__attribute__((weak)) void guest_request_power_off(struct guest *guest, const char *why)
{
    (void)guest;
    fake_calls.power_offs++;
    fake_calls.why = why;
}

static inline void fake_log(const char *format, va_list arguments)
{
    size_t used = strlen(fake_machine.log);

    fake_calls.log_lines++;
    vsnprintf(fake_machine.log + used, sizeof(fake_machine.log) - used, format, arguments);
}

__attribute__((weak)) void log_line(enum log_level level, const char *format, ...)
{
    va_list arguments;

    (void)level;
    va_start(arguments, format);
    fake_log(format, arguments);
    va_end(arguments);
}

__attribute__((weak)) void guest_log(struct guest *guest, const char *format, ...)
{
    va_list arguments;

    (void)guest;
    va_start(arguments, format);
    fake_log(format, arguments);
    va_end(arguments);
}

#endif
