/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a guest's image. Byte 0 of an input chooses the loader, byte 1 the guest's memory and the size of an
 * initrd or a module, the rest is the kernel. No sanitizer may complain; a refusal has words, and what is accepted
 * starts in RAM.
 */
#include <stdlib.h>
#include <string.h>

#include "hv/gmem.h"
#include "hv/loader.h"
#include "tests/unit/fake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            __builtin_trap();                                                                                          \
    } while (0)

/* Used when the run loop is not linked. */
__attribute__((weak)) void vcpu_state_reset(struct vcpu_state *state)
{
    memset(state, 0, sizeof(*state));
}

__attribute__((weak)) void vcpu_request(struct vcpu *vcpu, uint32_t requests)
{
    vcpu->requests |= requests;
}

static int load(struct guest *guest, uint8_t kind, const struct loader_input *input, struct vcpu_state *state,
                struct loader_error *error)
{
    switch (kind % 3) {
    case 0: return linux_load(guest, input, state, error);
    case 1: return multiboot_load(guest, input, state, error);
    default: return flat_load(guest, input, state, error);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t extra[65536];
    struct loader_error error = {{0}};
    struct vcpu_state state;

    if (size < 2)
        return 0;
    struct guest *guest = fake_guest(MIB(2 + (data[1] & 7u)), 1);
    uint8_t *kernel = malloc(size - 2);
    if (size > 2)
        memcpy(kernel, data + 2, size - 2);
    const struct loader_file other = {"extra", extra, (uint64_t)(data[1] >> 5) * 9000};
    struct loader_input input = {
        .kernel = {"kernel", kernel, size - 2},
        .modules = {other, other},
        .module_strings = {"extra with words", NULL},
        .module_count = data[1] >> 6,
        .command_line = "a command line",
        .load_address = (uint32_t)data[1] << 12,
        .entry_segment = (uint16_t)(data[1] << 8),
        .entry_offset = data[0] / 3,
    };
    if (other.size != 0)
        input.initrd = other;
    input.modules[2] = other;
    int result = load(guest, data[0], &input, &state, &error);
    if (result == 0)
        REQUIRE(gmem_is_ram(guest, state.segments[SEGMENT_CS].base + state.rip, 1));
    else
        REQUIRE(result < 0 && error.text[0] != '\0' && strlen(error.text) < sizeof(error.text));
    free(kernel);
    fake_guest_free(guest);
    return 0;
}
