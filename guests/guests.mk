# SPDX-License-Identifier: BSD-2-Clause
# Our own small guests: flat images that start in real mode at 0000:7c00.

GUEST_IMAGES := $(patsubst guests/%.S,$(BUILD)/guests/%.bin,$(wildcard guests/*.S))

.PHONY: guests
guests: $(GUEST_IMAGES)

$(BUILD)/guests/%.bin: guests/%.S guests/flat.ld
	@mkdir -p $(@D)
	$(Q)$(CC) -ffreestanding -I. -MMD -MP -MT $@ -c $< -o $(@:.bin=.o)
	$(Q)ld -m elf_x86_64 -T guests/flat.ld -o $(@:.bin=.elf) $(@:.bin=.o)
	$(Q)objcopy -O binary $(@:.bin=.elf) $@

-include $(GUEST_IMAGES:.bin=.d)
