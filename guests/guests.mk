# SPDX-License-Identifier: BSD-2-Clause
# Our own small guests. guests/NAME.S is a flat image that starts in real mode at 0000:7c00; guests/NAME.c is a multiboot
# kernel in 64-bit mode on top of guests/lib; what does not fit into one file is in guests/NAME/.
# The Makefile that includes it provides CC, CFLAGS, LDFLAGS and BUILD.

FLAT_GUESTS      := $(patsubst guests/%.S,$(BUILD)/guests/%.bin,$(wildcard guests/*.S))
MULTIBOOT_GUESTS := $(patsubst guests/%.c,$(BUILD)/guests/%.elf,$(wildcard guests/*.c))
GUEST_IMAGES     := $(FLAT_GUESTS) $(MULTIBOOT_GUESTS)

.PHONY: guests
guests: $(GUEST_IMAGES)

$(BUILD)/guests/%.bin: guests/%.S guests/flat.ld
	@mkdir -p $(@D)
	$(Q)$(CC) -ffreestanding -I. -MMD -MP -MT $@ -c $< -o $(@:.bin=.o)
	$(Q)ld -m elf_x86_64 -T guests/flat.ld -o $(@:.bin=.flat) $(@:.bin=.o)
	$(Q)objcopy -O binary $(@:.bin=.flat) $@

# The library, with hv's own string functions and formats.
GUEST_SOURCES     := $(filter-out guests/check/%,$(wildcard guests/*.c guests/*/*.c))
GUEST_LIB_SOURCES := $(wildcard guests/lib/*.S guests/lib/*.c) hv/string.c hv/format.c
GUEST_LIB_OBJECTS := $(GUEST_LIB_SOURCES:%=$(BUILD)/guests/objects/%.o)
GUEST_CFLAGS      := $(filter-out -mcmodel=%,$(CFLAGS))

$(BUILD)/guests/objects/%.o: %
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -MMD -MP -c $< -o $@

# Multiboot loaders take an ELF of 32 bits; what is in it does not change. A link of 64 bits comes first: ld would not
# resolve addresses of 64 bits in the other.
.SECONDEXPANSION:
$(BUILD)/guests/%.elf: $(BUILD)/guests/objects/guests/%.c.o $$(addprefix $(BUILD)/guests/objects/,$$(addsuffix .o,$$(wildcard guests/$$*/*.[cS]))) \
                       $(GUEST_LIB_OBJECTS) guests/lib/guest.ld
	@echo "  $@"
	$(Q)$(CC) $(LDFLAGS) -Wl,-T,guests/lib/guest.ld -o $@64 $(filter %.o,$^)
	$(Q)objcopy --strip-all -O elf32-i386 $@64 $@

.SECONDARY: $(GUEST_LIB_OBJECTS) $(BUILD)/guests/objects/guests/attacker/modes.S.o $(GUEST_SOURCES:%=$(BUILD)/guests/objects/%.o)

-include $(FLAT_GUESTS:.bin=.d) $(GUEST_LIB_OBJECTS:.o=.d) $(GUEST_SOURCES:%=$(BUILD)/guests/objects/%.d)
