# SPDX-License-Identifier: BSD-2-Clause
# `make` builds the image, `make run` boots the demo, `make test` proves it. README.md lists the rest.

CC      ?= gcc
BUILD   := build
IMAGE   := $(BUILD)/bulkhead.elf

# V=1 shows the commands.
Q := $(if $(V),,@)

.PHONY: all
all: $(IMAGE) guests

# ---- The hypervisor: freestanding, no FPU or vector state of its own ---------------------------------

WARNINGS := -Wall -Wextra -Wconversion -Wmissing-prototypes -Wvla -Werror
CFLAGS   := -std=gnu11 -O2 -g -ffreestanding -fno-pie -fno-pic -fno-stack-protector -fno-strict-aliasing \
            -fno-omit-frame-pointer -fno-asynchronous-unwind-tables -fcf-protection=none \
            -mcmodel=kernel -mno-red-zone -mgeneral-regs-only $(WARNINGS) -I. -I$(BUILD)
# gcc would turn the loops of memset and memcpy into calls of themselves.
CFLAGS   += $(if $(findstring clang,$(CC)),,-fno-tree-loop-distribute-patterns)
LDFLAGS  := -nostdlib -static -no-pie -Wl,-z,max-page-size=4096 -Wl,--build-id=none \
            -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments

HV_SOURCES      := $(filter-out hv/string.c,$(wildcard hv/*.c))
VIRTUAL_SOURCES := $(wildcard drivers/virtual/*.c)
IMAGE_SOURCES   := $(wildcard boot/*.c boot/*.S arch/*.c arch/*.S arch/vmx/*.c arch/vmx/*.S arch/svm/*.c arch/svm/*.S) \
                   hv/string.c $(HV_SOURCES) $(wildcard drivers/host/*.c) $(VIRTUAL_SOURCES)
IMAGE_OBJECTS   := $(IMAGE_SOURCES:%=$(BUILD)/image/%.o)

$(BUILD)/image/%.c.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/image/%.S.o: %.S
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -MMD -MP -c $< -o $@

# Two links: the first tells where each function is, the second carries that table (for backtraces). The table stands
# behind all code and constants, so it moves none of them.
$(BUILD)/image/symbols-none.c: boot/symbols.awk
	@mkdir -p $(@D)
	$(Q)awk -f boot/symbols.awk < /dev/null > $@

$(BUILD)/image/symbols.c: $(BUILD)/image/bulkhead-1.elf boot/symbols.awk
	$(Q)nm -n $< | awk -f boot/symbols.awk > $@

$(BUILD)/image/%.o: $(BUILD)/image/%.c
	$(Q)$(CC) $(CFLAGS) -c $< -o $@

$(BUILD)/image/bulkhead-1.elf: $(IMAGE_OBJECTS) $(BUILD)/image/symbols-none.o linker.ld
	$(Q)$(CC) $(LDFLAGS) -Wl,-T,linker.ld -o $@ $(filter %.o,$^)

$(IMAGE): $(IMAGE_OBJECTS) $(BUILD)/image/symbols.o linker.ld
	@echo "  $@"
	$(Q)$(CC) $(LDFLAGS) -Wl,-T,linker.ld -o $@ $(filter %.o,$^)

include drivers/virtual/dsdt.mk
$(BUILD)/image/drivers/virtual/vacpi_tables.c.o: $(BUILD)/dsdt.hex

-include $(IMAGE_OBJECTS:.o=.d)

# ---- Our own small guests ----------------------------------------------------------------------------

include guests/guests.mk

# ---- Unit tests: the same hv and drivers/virtual sources, native, under sanitizers --------------------

NATIVE_CFLAGS  := -std=gnu11 -g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined \
                  -fno-sanitize-recover=undefined $(WARNINGS) -Wno-missing-prototypes -I. -I$(BUILD)
NATIVE_LIBRARY := $(BUILD)/native/libbulkhead.a
NATIVE_SOURCES := $(HV_SOURCES) $(VIRTUAL_SOURCES) arch/hostmap_format.c arch/topology.c arch/svm/npt.c arch/svm/diagnose.c arch/svm/entry_state.c arch/svm/intercepts.c arch/vmx/intercepts.c boot/place.c \
                  arch/vmx/ept.c arch/vmx/diagnose.c drivers/host/acpi.c drivers/host/acpi_tables.c
NATIVE_OBJECTS := $(NATIVE_SOURCES:%=$(BUILD)/native/%.o)
UNIT_TESTS     := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))

$(BUILD)/native/%.c.o: %.c
	@mkdir -p $(@D)
	$(Q)gcc $(NATIVE_CFLAGS) -MMD -MP -c $< -o $@

$(NATIVE_LIBRARY): $(NATIVE_OBJECTS)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/native/drivers/virtual/vacpi_tables.c.o: $(BUILD)/dsdt.hex

# A test may define functions and tables of the library itself, to watch them: its own come first.
$(BUILD)/unit/%: $(BUILD)/native/tests/unit/%.c.o $(BUILD)/native/tests/unit/fake.c.o $(NATIVE_LIBRARY)
	@mkdir -p $(@D)
	$(Q)gcc -fsanitize=address,undefined -Wl,--allow-multiple-definition -o $@ $^ -lcmocka

-include $(NATIVE_OBJECTS:.o=.d) $(UNIT_TESTS:%=$(BUILD)/native/tests/unit/%.c.d) $(BUILD)/native/tests/unit/fake.c.d
.SECONDARY: $(UNIT_TESTS:%=$(BUILD)/native/tests/unit/%.c.o) $(BUILD)/native/tests/unit/fake.c.o

.PHONY: test-unit
test-unit: $(UNIT_TESTS:%=$(BUILD)/unit/%) fuzz-replay
	@failed=0; for test in $(UNIT_TESTS); do \
	    ASAN_OPTIONS=detect_odr_violation=0 $(BUILD)/unit/$$test > $(BUILD)/unit/$$test.log 2>&1 \
	        || { cat $(BUILD)/unit/$$test.log; echo "unit: $$test FAILED"; failed=1; }; \
	done; [ $$failed = 0 ] && echo "unit: $(words $(UNIT_TESTS)) programs passed"
	@/usr/bin/python3 -m pytest -q tests/unit

# ---- The checker of configurations ---------------------------------------------------------------------

include guests/check/checker.mk

# ---- Everything else ---------------------------------------------------------------------------------

include tests/check.mk
include tests/targets.mk

.PHONY: clean
clean:
	$(Q)rm -rf $(BUILD)
