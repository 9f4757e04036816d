# SPDX-License-Identifier: BSD-2-Clause
# What must be right without running the image: style, layers, headers, lint, both compilers; and the fuzzers.
# The Makefile that includes it provides BUILD, CFLAGS, NATIVE_CFLAGS, IMAGE_SOURCES, GUEST_SOURCES, GUEST_CFLAGS,
# CHECKER, CHECKER_SOURCES, CHECKER_CFLAGS, NATIVE_SOURCES, NATIVE_LIBRARY and the rules for native objects.

FOLDERS      := boot arch hv drivers guests tests
find_files    = $(sort $(shell find $(FOLDERS) -path '*/corpus' -prune -o -type f \( $(1) \) -print))
C_FILES       = $(call find_files,-name '*.[ch]')
TEXT_FILES    = $(call find_files,-name '*.[chS]' -o -name '*.py' -o -name '*.sh' -o -name '*.mk' -o -name '*.asl' \
                -o -name '*.awk') $(wildcard Makefile linker.ld)
HEADERS       = $(filter %.h,$(C_FILES))
IMAGE_C_FILES = $(filter %.c,$(IMAGE_SOURCES))

.PHONY: check check-format check-tree check-headers check-lint check-compilers check-configs
check: check-format check-tree check-headers check-lint check-compilers check-configs
	@echo "check: passed"

check-format:
	@clang-format --dry-run -Werror $(C_FILES)

# Layers, includes, assembly, conditional compilation, include guards, the first lines of each file.
check-tree:
	@/usr/bin/python3 -B tests/tools/check_tree.py $(TEXT_FILES)

# Each header alone, with both compilers.
gcc_only      := -fno-tree-loop-distribute-patterns
header_flags   = $(if $(filter tests/% guests/check/%,$(1)),$(NATIVE_CFLAGS),$(filter-out $(gcc_only),$(CFLAGS)))
check-headers:
	@failed=0; $(foreach header,$(HEADERS),for compiler in gcc clang; do \
	    $$compiler $(call header_flags,$(header)) -fsyntax-only -include $(header) -x c /dev/null || failed=1; done;) \
	exit $$failed

check-lint:
	@cppcheck -j2 --quiet --enable=warning,performance,portability,style --std=c11 --platform=unix64 -I. -I$(BUILD) \
	    --template='{file}:{line}: {id}: {message}' --suppressions-list=tests/cppcheck.suppressions \
	    --error-exitcode=1 $(IMAGE_C_FILES) $(CHECKER_SOURCES)

# No warning from either compiler: the image and the guests are gcc's, and each source of them is compiled by clang too.
$(BUILD)/clang/%.c.o: %.c
	@mkdir -p $(@D)
	$(Q)clang $(filter-out $(gcc_only),$(CFLAGS)) -MMD -MP -c $< -o $@

$(BUILD)/clang/guests/%.c.o: guests/%.c
	@mkdir -p $(@D)
	$(Q)clang $(filter-out $(gcc_only),$(GUEST_CFLAGS)) -MMD -MP -c $< -o $@

$(BUILD)/clang/guests/check/%.c.o: guests/check/%.c
	@mkdir -p $(@D)
	$(Q)clang $(CHECKER_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/clang/drivers/virtual/vacpi_tables.c.o: $(BUILD)/dsdt.hex

clang_objects := $(patsubst %,$(BUILD)/clang/%.o,$(filter %.c,$(IMAGE_SOURCES)) $(GUEST_SOURCES) $(CHECKER_SOURCES))
check-compilers: $(IMAGE) guests $(clang_objects)

# All configurations that are shipped. Their modules: our own guests, and what the demo boots.
check-configs: $(CHECKER) guests
	@$(CHECKER) --modules-from $(BUILD)/guests --module vmlinuz --module initramfs $(wildcard guests/*.toml) > /dev/null

# ---- Fuzzing: clang's libFuzzer on the same sources as the unit tests ---------------------------------
# make fuzz FUZZ="plan config" FUZZ_SECONDS=600

FUZZERS      := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ         ?= $(FUZZERS)
FUZZ_SECONDS ?= 30
fuzz_sanitize := -fsanitize=address,undefined -fno-sanitize-recover=undefined
fuzz_cflags   := -std=gnu11 -g -O1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link $(fuzz_sanitize) -I. -I$(BUILD)
fuzz_objects  := $(NATIVE_SOURCES:%=$(BUILD)/fuzz/%.o)
fuzz_helpers  := $(BUILD)/fuzz/tests/unit/fake.c.o
corpus         = $(wildcard tests/fuzz/corpus/$(1))

$(BUILD)/fuzz/%.c.o: %.c
	@mkdir -p $(@D)
	$(Q)clang $(fuzz_cflags) -MMD -MP -c $< -o $@

$(BUILD)/fuzz/drivers/virtual/vacpi_tables.c.o: $(BUILD)/dsdt.hex

$(BUILD)/fuzz/libbulkhead.a: $(fuzz_objects)
	$(Q)rm -f $@ && ar rcs $@ $^

# As in the unit tests, a fuzzer's own functions go before those of the library.
$(BUILD)/fuzz/fuzz_%: $(BUILD)/fuzz/tests/fuzz/fuzz_%.c.o $(fuzz_helpers) $(BUILD)/fuzz/libbulkhead.a
	$(Q)clang -fsanitize=fuzzer $(fuzz_sanitize) -Wl,--allow-multiple-definition -o $@ $^

# What a fuzzer finds new stays below build, with its log and the inputs that fail.
.PHONY: fuzz fuzz-replay
fuzz: $(FUZZ:%=$(BUILD)/fuzz/fuzz_%)
	@failed=0; $(foreach name,$(FUZZ),mkdir -p $(BUILD)/fuzz/corpus/$(name); \
	    timeout $$(($(FUZZ_SECONDS) + 60)) $(BUILD)/fuzz/fuzz_$(name) -max_total_time=$(FUZZ_SECONDS) -timeout=10 \
	        -print_final_stats=1 -artifact_prefix=$(BUILD)/fuzz/$(name)- $(BUILD)/fuzz/corpus/$(name) \
	        $(call corpus,$(name)) > $(BUILD)/fuzz/$(name).log 2>&1 \
	    || { tail -n 60 $(BUILD)/fuzz/$(name).log; echo "fuzz: $(name) FAILED"; failed=1; }; \
	    echo "fuzz: $(name): $$(sed -n 's/^stat::number_of_executed_units: *//p' $(BUILD)/fuzz/$(name).log) inputs";) \
	exit $$failed

# The corpus once more as a part of the unit tests: gcc's sanitizers, no libFuzzer.
$(BUILD)/replay/%: $(BUILD)/native/tests/fuzz/fuzz_%.c.o $(BUILD)/native/tests/fuzz/replay.c.o \
                   $(BUILD)/native/tests/unit/fake.c.o $(NATIVE_LIBRARY)
	@mkdir -p $(@D)
	$(Q)gcc $(fuzz_sanitize) -Wl,--allow-multiple-definition -o $@ $^

fuzz-replay: $(FUZZERS:%=$(BUILD)/replay/%)
	@failed=0; $(foreach name,$(FUZZERS),timeout 120 $(BUILD)/replay/$(name) $(call corpus,$(name)) \
	    > $(BUILD)/replay/$(name).log 2>&1 \
	    || { tail -n 40 $(BUILD)/replay/$(name).log; echo "replay: $(name) FAILED"; failed=1; };) \
	[ $$failed = 0 ] && echo "replay: $(words $(FUZZERS)) fuzzers' inputs passed"

.SECONDARY: $(FUZZERS:%=$(BUILD)/native/tests/fuzz/fuzz_%.c.o) $(BUILD)/native/tests/fuzz/replay.c.o \
            $(FUZZERS:%=$(BUILD)/fuzz/tests/fuzz/fuzz_%.c.o) $(fuzz_helpers)

-include $(fuzz_objects:.o=.d) $(clang_objects:.o=.d) $(wildcard $(BUILD)/fuzz/tests/*/*.d $(BUILD)/native/tests/fuzz/*.d)
