/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device model goes by the name that the list of names gives it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "drivers/virtual/registry.h"
#include "hv/device.h"

#define NAME(name) #name,

static void test_names(void **state)
{
    static const char *const names[] = {DEVICE_MODELS(NAME)};
    size_t count = 0;

    (void)state;
    for (; device_registry[count] != NULL; count++) {
        assert_in_range(count, 0, ARRAY_SIZE(names) - 1);
        assert_string_equal(device_registry[count]->name, names[count]);
    }
    assert_int_equal(count, ARRAY_SIZE(names));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
