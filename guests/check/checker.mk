# SPDX-License-Identifier: BSD-2-Clause
# The checker of configurations, a program of the build machine, from the hypervisor's own sources; and once more with
# the sanitizers of the unit tests, for these.
# The Makefile that includes it provides BUILD, WARNINGS, NATIVE_LIBRARY and the rules for native objects.

CHECKER         := $(BUILD)/bulkhead-check
CHECKER_SOURCES := $(wildcard guests/check/*.c)
CHECKER_CFLAGS  := -std=gnu11 -O2 -g $(WARNINGS) -I. -I$(BUILD)
checker_sources := $(CHECKER_SOURCES) boot/place.c hv/boot_info.c hv/diagnostic.c hv/extents.c hv/format.c hv/similar.c \
                   $(wildcard hv/config*.c hv/plan*.c hv/text.c hv/toml*.c)
checker_objects := $(checker_sources:%=$(BUILD)/check/%.o)

$(BUILD)/check/%.c.o: %.c
	@mkdir -p $(@D)
	$(Q)gcc $(CHECKER_CFLAGS) -MMD -MP -c $< -o $@

$(CHECKER): $(checker_objects)
	@echo "  $@"
	$(Q)gcc -o $@ $^

all: $(CHECKER)

test-unit: $(BUILD)/unit/bulkhead-check $(CHECKER) # whose make is asked by a test
$(BUILD)/unit/bulkhead-check: $(CHECKER_SOURCES:%=$(BUILD)/native/%.o) $(NATIVE_LIBRARY)
	@mkdir -p $(@D)
	$(Q)gcc -fsanitize=address,undefined -o $@ $^

.SECONDARY: $(checker_objects) $(CHECKER_SOURCES:%=$(BUILD)/native/%.o)

-include $(checker_objects:.o=.d) $(CHECKER_SOURCES:%=$(BUILD)/native/%.d)
