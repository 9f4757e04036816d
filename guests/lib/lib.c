/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Console, checks, options, memory, the beginning and the end of a guest.
 */
#include "guests/lib/lib.h"

#include <stdarg.h>

#include "arch/x86.h"
#include "drivers/virtual/vacpi.h"
#include "guests/lib/internal.h"
#include "hv/format.h"
#include "hv/string.h"

#define COM1        0x3f8u
#define UART_STATUS (COM1 + 5)
#define THR_EMPTY   0x20u

#define TEXT_SIZE  512u
#define LINE_TRIES 10000000u /* a processor that was stopped in its line does not stop the others */

#define SLEEP_OFF ((uint16_t)(BIT(13) | VACPI_SLEEP_TYPE_OFF << 10)) /* SLP_EN. ACPI 6.4, section 4.8.3.2 */

const struct multiboot_info *boot_info;

static uint32_t line_taken;
static uint32_t made, failed;

/* ---- Console ---- */

static void put(char character)
{
    while ((in8(UART_STATUS) & THR_EMPTY) == 0)
        cpu_relax();
    out8(COM1, (uint8_t)character);
}

static void put_text(const char *text)
{
    for (uint32_t tries = 0; tries < LINE_TRIES && __atomic_exchange_n(&line_taken, 1, __ATOMIC_ACQUIRE) != 0; tries++)
        cpu_relax();
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            put('\r');
        put(*text);
    }
    __atomic_store_n(&line_taken, 0, __ATOMIC_RELEASE);
}

void print(const char *format, ...)
{
    char text[TEXT_SIZE];
    va_list arguments;

    va_start(arguments, format);
    format_text_v(text, sizeof(text), format, arguments);
    va_end(arguments);
    put_text(text);
}

/* ---- Checks ---- */

static void PRINTF_LIKE(3, 0) tell_failure(char *text, const char *numbers, const char *format, va_list arguments)
{
    size_t used = format_text(text, TEXT_SIZE / 2, "%s: FAILED: ", guest_name);

    format_text_v(text + used, TEXT_SIZE / 2, format, arguments);
    used = strlen(text);
    format_text(text + used, TEXT_SIZE - used, "%s\n", numbers);
    put_text(text);
}

static bool count(bool passed)
{
    __atomic_fetch_add(&made, 1, __ATOMIC_RELAXED);
    if (!passed)
        __atomic_fetch_add(&failed, 1, __ATOMIC_RELAXED);
    return passed;
}

bool check(bool passed, const char *format, ...)
{
    char text[TEXT_SIZE];
    va_list arguments;

    if (count(passed))
        return true;
    va_start(arguments, format);
    tell_failure(text, "", format, arguments);
    va_end(arguments);
    return false;
}

bool check_equal(uint64_t found, uint64_t expected, const char *format, ...)
{
    char text[TEXT_SIZE], numbers[80];
    va_list arguments;

    if (count(found == expected))
        return true;
    format_text(numbers, sizeof(numbers), ": found 0x%llx, expected 0x%llx", (unsigned long long)found,
                (unsigned long long)expected);
    va_start(arguments, format);
    tell_failure(text, numbers, format, arguments);
    va_end(arguments);
    return false;
}

uint32_t checks_made(void)
{
    return __atomic_load_n(&made, __ATOMIC_RELAXED);
}

uint32_t checks_failed(void)
{
    return __atomic_load_n(&failed, __ATOMIC_RELAXED);
}

/* ---- Options ---- */

/* What stands behind NAME in the command line: "=VALUE ...", " ..." or "". NULL: it is not there. */
static const char *option_find(const char *name)
{
    const char *word = "";
    size_t length = strlen(name);

    if ((boot_info->flags & MULTIBOOT_INFO_COMMAND_LINE) != 0)
        word = (const char *)(uintptr_t)boot_info->command_line;
    while (*word != '\0') {
        if (strncmp(word, name, length) == 0 && (word[length] == '=' || word[length] == ' ' || word[length] == '\0'))
            return word + length;
        while (*word != ' ' && *word != '\0')
            word++;
        while (*word == ' ')
            word++;
    }
    return NULL;
}

bool option_given(const char *name)
{
    return option_find(name) != NULL;
}

bool option_text(const char *name, char *value, size_t size)
{
    const char *at = option_find(name);
    size_t length = 0;

    if (at == NULL || *at != '=')
        return false;
    for (at++; at[length] != ' ' && at[length] != '\0' && length < size - 1; length++)
        value[length] = at[length];
    value[length] = '\0';
    return true;
}

/* The value of a digit in any base; 99 for what is none. */
static uint64_t digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return (uint64_t)(digit - '0');
    if (digit >= 'a' && digit <= 'f')
        return (uint64_t)(digit - 'a') + 10;
    return 99;
}

uint64_t option_number(const char *name, uint64_t otherwise)
{
    char text[24];
    const char *at = text;
    uint64_t number = 0, base = 10;

    if (!option_text(name, text, sizeof(text)) || text[0] == '\0')
        return otherwise;
    if (strncmp(text, "0x", 2) == 0) {
        base = 16;
        at += 2;
    }
    for (; *at != '\0'; at++) {
        if (digit_value(*at) >= base)
            return otherwise;
        number = number * base + digit_value(*at);
    }
    return number;
}

/* ---- Memory ---- */

uint64_t memory_free(void)
{
    uint64_t end = (uint64_t)(uintptr_t)image_end;
    const struct multiboot_module *modules = (const void *)(uintptr_t)boot_info->modules_address;

    if ((boot_info->flags & MULTIBOOT_INFO_MODULES) != 0) {
        for (uint32_t i = 0; i < boot_info->modules_count; i++)
            end = max_u64(end, modules[i].end);
    }
    return ALIGN_UP(end, PAGE_SIZE);
}

uint64_t memory_end(void)
{
    return MIB(1) + KIB(boot_info->mem_upper);
}

uint64_t memory_checksum(const void *bytes, size_t size)
{
    const uint64_t *words = bytes;
    uint64_t sum = size;

    for (size_t i = 0; i < size / sizeof(*words); i++)
        sum = (sum << 7 | sum >> 57) + words[i];
    return sum;
}

/* ---- The beginning and the end ---- */

_Noreturn void lib_main(void)
{
    boot_info = (const struct multiboot_info *)(uintptr_t)boot_information;
    processor_load_tables(0);
    apic_start();
    guest_main();
    power_off();
}

_Noreturn void halt_for_good(void)
{
    for (;;) {
        interrupts_off();
        cpu_halt();
    }
}

_Noreturn void power_off(void)
{
    out16(VACPI_PM1_CONTROL, SLEEP_OFF);
    halt_for_good();
}

_Noreturn void reset(void)
{
    out8(VACPI_RESET_PORT, VACPI_RESET_VALUE);
    halt_for_good();
}

_Noreturn void fail(const char *format, ...)
{
    char text[TEXT_SIZE];
    va_list arguments;

    va_start(arguments, format);
    format_text_v(text, sizeof(text), format, arguments);
    va_end(arguments);
    print("%s: %s\n", guest_name, text);
    power_off();
}
