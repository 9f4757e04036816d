# SPDX-License-Identifier: BSD-2-Clause
# Everything around the image: what has to be installed or fetched, the demo, the ISO and the system tests.
# The Makefile that includes it provides IMAGE, GUEST_IMAGES (what is built of guests/) and the targets check and
# test-unit.
# Only setup* installs and only build/packages/% downloads; a plain "make" needs neither.

IMAGE  ?= build/bulkhead.elf
VENDOR ?= amd

# ---- What has to be installed -------------------------------------------------------------------------

packages_run   := gcc make binutils acpica-tools qemu-system-x86
packages_iso   := grub-common grub-pc-bin xorriso mtools
packages_bochs := bochs bochs-term bochsbios vgabios python3
packages_test  := libc6-dev libcmocka-dev clang clang-format cppcheck python3 python3-pytest python3-pytest-xdist
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

build/packages/$(KERNEL_PACKAGE): folder = boot
build/packages/%:
	@mkdir -p $(@D)
	@tests/tools/fetch_package.sh $* $@ $(folder)

# ---- The demo: a Debian kernel, a busybox initramfs, one file that names them -------------------------
# KERNEL=/path/to/vmlinuz takes a kernel of your own instead.

demo_config   := guests/linux.toml
demo_files    := build/demo/linux.toml build/demo/vmlinuz build/demo/initramfs
HV_OPTIONS    ?= console=com1

.PHONY: demo
demo: $(demo_files)

build/demo/linux.toml: $(demo_config)
	@mkdir -p $(@D)
	@cp $< $@

ifdef KERNEL
.PHONY: build/demo/vmlinuz
build/demo/vmlinuz: $(KERNEL)
	@mkdir -p $(@D)
	@cp $< $@
else
build/demo/vmlinuz: | build/packages/$(KERNEL_PACKAGE)
	@mkdir -p $(@D)
	@cp $|/boot/vmlinuz-* $@
endif

build/demo/initramfs: tests/tools/make_initramfs.sh $(wildcard tests/tools/initramfs/*) | build/packages/busybox-static
	@mkdir -p $(@D)
	@tests/tools/make_initramfs.sh $|/bin/busybox $@

build/bulkhead.iso: $(IMAGE) $(demo_files) tests/tools/make_iso.sh
	@tests/tools/make_iso.sh $@ $(IMAGE) "$(HV_OPTIONS)" $(demo_files)

# ---- Running it ---------------------------------------------------------------------------------------

empty       :=
comma       := ,
MEMORY_MB   ?= 1024
CPUS        ?= 1
# What QEMU's emulation lacks of an EPYC is named here, or it would warn about each.
qemu_absent := rdseed sha-ni fxsr-opt misalignsse 3dnowprefetch osvw topoext nrip-save xsavec
QEMU_CPU    ?= EPYC,+svm,+npt$(subst $(empty) ,,$(addprefix $(comma)-,$(qemu_absent)))
QEMU        ?= qemu-system-x86_64
qemu        = $(QEMU) -accel tcg -cpu $(QEMU_CPU) -machine pc -m $(MEMORY_MB) -smp $(CPUS) -nic none -no-reboot \
              -display none -serial mon:stdio
qemu_demo   = $(qemu) -kernel $(IMAGE) -append "$(HV_OPTIONS)" -initrd "$(shell echo $(demo_files) | tr ' ' ',')"

.PHONY: run run-amd run-intel debug iso
run: run-$(VENDOR)

# The set-up comes first, then a second make that can rely on it, whatever -j says.
run-amd: setup
	@$(MAKE) -s --no-print-directory $(IMAGE) demo
	@echo "Booting in QEMU (AMD-V). Ctrl-A X ends the emulator, Ctrl-A H lists its other keys."
	@$(qemu_demo)

run-intel: setup-intel
	@$(MAKE) -s --no-print-directory build/bulkhead.iso
	@echo "Booting in Bochs (VT-x), about ten times slower than QEMU. Ctrl-A X ends the emulator."
	@/usr/bin/python3 tests/system/bochs_terminal.py --iso build/bulkhead.iso --memory $(MEMORY_MB) --cpus $(CPUS)

debug: setup
	@$(MAKE) -s --no-print-directory $(IMAGE) demo
	@echo "Halted at reset, waiting for: gdb $(IMAGE) -ex 'target remote localhost:1234'"
	@$(qemu_demo) -s -S

iso: setup-iso
	@$(MAKE) -s --no-print-directory build/bulkhead.iso
	@echo "build/bulkhead.iso boots the demo from BIOS, as a CD or copied to a USB stick."

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
test-files: $(IMAGE) $(GUEST_IMAGES) $(planted_images) $(demo_files) | $(test_packages)

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
