# SPDX-License-Identifier: BSD-2-Clause
# Everything around the image: what has to be installed or fetched, the demo, the ISO and the system tests.
# The Makefile that includes it provides IMAGE, GUEST_IMAGES (what is built of guests/), CHECKER and the targets check
# and test-unit.
# Only setup* installs and only build/packages/% downloads; a plain "make" needs neither.

IMAGE ?= build/bulkhead.elf

include tests/arguments.mk

# ---- What has to be installed -------------------------------------------------------------------------

packages_run   := gcc libc6-dev make binutils acpica-tools qemu-system-x86
packages_iso   := grub-common grub-pc-bin xorriso mtools
packages_bochs := bochs bochs-term bochsbios vgabios python3
packages_test  := libcmocka-dev clang clang-format cppcheck python3 python3-pytest python3-pytest-xdist
install        := tests/tools/install_packages.sh

.PHONY: setup setup-iso setup-intel setup-test
setup:
	@$(install) $(packages_run)
setup-iso:
	@$(install) $(packages_run) $(packages_iso)
setup-intel:
	@$(install) $(packages_run) $(packages_iso) $(packages_bochs)
setup-test:
	@$(install) $(packages_run) $(packages_iso) $(packages_bochs) $(packages_test)

# ---- What has to be fetched: Debian packages, unpacked below build/ and never installed ---------------

KERNEL_PACKAGE ?= linux-image-cloud-amd64

build/packages/$(KERNEL_PACKAGE): folders = boot 'lib/modules/*/kernel/drivers/acpi' 'lib/modules/*/kernel/drivers/input'
build/packages/%:
	@mkdir -p $(@D)
	@tests/tools/fetch_package.sh $* $@ $(folders)

# ---- The demo: a configuration, and the boot modules that it names ------------------------------------

# A kernel of one's own takes no drivers of another. Which kernel it is stands in a file of its own: with another one both
# are made anew.
kernel_package := $(if $(KERNEL),,build/packages/$(KERNEL_PACKAGE))

.PHONY: always
build/demo/kernel: always
	@mkdir -p $(@D)
	@echo "$(or $(KERNEL),$(KERNEL_PACKAGE))" | cmp -s - $@ || echo "$(or $(KERNEL),$(KERNEL_PACKAGE))" > $@

build/demo/vmlinuz: $(KERNEL) build/demo/kernel | $(kernel_package)
	@cp $(or $(KERNEL),$(kernel_package)/boot/vmlinuz-*) $@

build/demo/initramfs: tests/tools/make_initramfs.sh $(wildcard tests/tools/initramfs/*) build/demo/kernel | \
                      build/packages/busybox-static $(kernel_package)
	@tests/tools/make_initramfs.sh build/packages/busybox-static/bin/busybox $@ $(kernel_package)

# What a configuration names is known to the checker, once that is built. So these goals come in a make of their own:
# "$(call with_modules,GOAL)".
module_goals := demo-files build/bulkhead.iso build/run.iso boot-amd boot-debug boot-intel
with_modules  = $(MAKE) -s --no-print-directory $(CHECKER) && \
                { $(CHECKER) --list-modules $(CONFIG) > /dev/null || { echo "$(CONFIG) must be right first." >&2; exit 1; }; } && \
                $(MAKE) -s --no-print-directory $(1)

ifneq ($(filter $(module_goals),$(MAKECMDGOALS)),)
module_names := $(shell $(CHECKER) --list-modules $(CONFIG))
ifneq ($(.SHELLSTATUS),0)
$(error $(CONFIG) must be right first)
endif
CPUS         ?= $(shell $(CHECKER) --count-cpus $(CONFIG))
all_modules  := $(MODULES) build/demo/vmlinuz build/demo/initramfs $(GUEST_IMAGES)
module_file   = $(or $(firstword $(foreach file,$(all_modules),$(if $(filter $(1),$(notdir $(file))),$(file)))), \
                     $(error $(CONFIG) names the boot module "$(1)"; say where it is with MODULES=path/to/$(1)))
module_files := $(foreach name,$(module_names),$(call module_file,$(name)))
demo_files   := $(CONFIG) $(module_files)
endif

.PHONY: demo demo-files
demo:
	@$(call with_modules,demo-files)

demo-files: $(demo_files)

# An emulator ends when its machine goes off, and its terminal keeps what was said; a real machine that went off after
# a mistake would take the message with it. HV_OPTIONS comes behind, so that it has the last word.
emulator_options = on_error=poweroff $(HV_OPTIONS)

# Another CONFIG is not a newer file, so both are always made.
.PHONY: build/bulkhead.iso build/run.iso
build/bulkhead.iso: iso_options = $(HV_OPTIONS)
build/run.iso: iso_options = $(emulator_options)
build/bulkhead.iso build/run.iso: $(IMAGE) $(demo_files) tests/tools/make_iso.sh
	@tests/tools/make_iso.sh $@ $(IMAGE) "$(iso_options)" $(demo_files)

# ---- Running it ---------------------------------------------------------------------------------------

empty       :=
comma       := ,
# What QEMU's emulation lacks of an EPYC is named here, or it would warn about each.
qemu_absent := rdseed sha-ni fxsr-opt misalignsse 3dnowprefetch osvw topoext nrip-save xsavec
QEMU_CPU    ?= EPYC,+svm,+npt$(subst $(empty) ,,$(addprefix $(comma)-,$(qemu_absent)))
QEMU        ?= qemu-system-x86_64
qemu        = $(QEMU) -accel tcg -cpu $(QEMU_CPU) -machine pc -m $(MEMORY_MB) -smp $(CPUS) -nic none -no-reboot \
              -display none -serial mon:stdio
qemu_demo   = $(qemu) -kernel $(IMAGE) -append "$(emulator_options)" -initrd "$(subst $(empty) ,$(comma),$(strip $(demo_files)))"

.PHONY: run run-amd run-intel debug iso boot-amd boot-intel boot-debug
run: run-$(VENDOR)

# The set-up comes first, then makes that can rely on it, whatever -j says.
run-amd: setup
	@$(call with_modules,boot-amd)

boot-amd: $(IMAGE) $(demo_files)
	@echo "Booting in QEMU (AMD-V). Ctrl-A X ends the emulator, Ctrl-A H lists its other keys."
	@$(qemu_demo)

run-intel: setup-intel
	@$(call with_modules,boot-intel)

boot-intel: build/run.iso
	@echo "Booting in Bochs (VT-x), about ten times slower than QEMU. Ctrl-A X ends the emulator."
	@/usr/bin/python3 tests/system/bochs_terminal.py --iso build/run.iso --memory $(MEMORY_MB) --cpus $(CPUS)

debug: setup
	@$(call with_modules,boot-debug)

boot-debug: $(IMAGE) $(demo_files)
	@echo "Halted at reset, waiting for: gdb $(IMAGE) -ex 'target remote localhost:1234'"
	@$(qemu_demo) -s -S

iso: setup-iso
	@$(call with_modules,build/bulkhead.iso)
	@echo "build/bulkhead.iso boots $(CONFIG) from BIOS, as a CD or copied to a USB stick."

# ---- System tests -------------------------------------------------------------------------------------
# TESTS="..." passes options to pytest: TESTS="-k linux", TESTS="--machine bochs-intel".

test_packages := build/packages/memtest86+ build/packages/grub-invaders build/packages/gnumach-image-1.8-486
TESTS         ?=
TEST_JOBS     ?= 2
pytest        = /usr/bin/python3 -B -m pytest -p no:cacheprovider

# Images with a fault planted: each __wrap_NAME of a source there stands around the NAME of the image's own objects.
planted_images := $(patsubst tests/planted/%.c,build/planted/%.elf,$(wildcard tests/planted/*.c))
planted_names   = $(shell grep -o '__wrap_[a-z0-9_]*' tests/planted/$*.c | sed 's/__wrap_//' | sort -u)

build/planted/%.elf: build/image/tests/planted/%.c.o $(IMAGE_OBJECTS) build/image/symbols-none.o linker.ld
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -Wl,-T,linker.ld $(addprefix -Wl$(comma)--wrap=,$(planted_names)) -o $@ $(filter %.o,$^)

-include $(planted_images:build/planted/%.elf=build/image/tests/planted/%.c.d)

.PHONY: test test-files test-system test-all
test-files: $(IMAGE) $(GUEST_IMAGES) $(planted_images) $(CHECKER) build/demo/vmlinuz build/demo/initramfs | $(test_packages)

test-system: setup-test
	@$(MAKE) -s --no-print-directory test-files
	@$(pytest) tests/system -v --no-header -n $(TEST_JOBS) --dist loadgroup --durations=5 $(if $(EVERYWHERE),--everywhere) $(TESTS)

test: setup-test
	@tests/tools/run_tests.sh $(MAKE) check test-unit test-system

# Every system test on every machine that it can run on.
test-all: setup-test
	@EVERYWHERE=1 tests/tools/run_tests.sh $(MAKE) check test-unit test-system

# ---- What exits cost, beside KVM ----------------------------------------------------------------------

.PHONY: bench
bench: setup-intel
	@$(MAKE) -s --no-print-directory $(IMAGE) $(GUEST_IMAGES)
	@/usr/bin/python3 -B tests/bench/report.py
