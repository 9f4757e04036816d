# SPDX-License-Identifier: BSD-2-Clause
# The variables that a user sets for run, debug, iso and demo, and one sentence for each wrong value, before anything is
# installed, fetched or built.
# The Makefile that includes it provides GUEST_IMAGES.

VENDOR     ?= amd
# CONFIG=path/to/NAME.toml takes another configuration. Its modules are our own guests, a Debian kernel (vmlinuz; KERNEL
# takes one of your own), a busybox initramfs (initramfs), and the files that MODULES names.
CONFIG     ?= guests/linux-and-timer.toml
MODULES    ?=
MEMORY_MB  ?= 1024
HV_OPTIONS ?= console=com1

without_digits = $(subst 0,,$(subst 1,,$(subst 2,,$(subst 3,,$(subst 4,,$(subst 5,,$(subst 6,,$(subst 7,,$(subst \
                 8,,$(subst 9,,$(1)))))))))))
is_number      = $(if $(1),$(if $(filter 0,$(1))$(call without_digits,$(1)),,yes))
# The files among these that are not there and that no rule makes.
absent         = $(strip $(foreach file,$(filter-out $(GUEST_IMAGES) build/packages/%,$(1)),$(if $(wildcard \
                 $(file)),,$(file))))

define check_arguments
$(if $(filter amd intel,$(VENDOR)),,$(error VENDOR=$(VENDOR): write VENDOR=amd (QEMU) or VENDOR=intel (Bochs)))
$(if $(filter %.toml,$(CONFIG)),,$(error CONFIG=$(CONFIG): the name of a configuration ends in .toml))
$(if $(call absent,$(CONFIG)),$(error CONFIG=$(CONFIG): there is no such file; write CONFIG=path/to/NAME.toml))
$(if $(call absent,$(MODULES)),$(error MODULES: there is no file $(call absent,$(MODULES)); write MODULES="path/to/file ..."))
$(if $(call absent,$(KERNEL)),$(error KERNEL=$(KERNEL): there is no such file; write KERNEL=path/to/vmlinuz))
$(if $(call is_number,$(MEMORY_MB)),,$(error MEMORY_MB=$(MEMORY_MB): write a whole number of MiB, such as 1024))
$(if $(or $(filter undefined,$(origin CPUS)),$(call is_number,$(CPUS))),,$(error CPUS=$(CPUS): write a whole number))
endef

ifneq ($(filter run run-amd run-intel debug iso demo,$(MAKECMDGOALS)),)
$(call check_arguments)
endif
