/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any instruction bytes with any registers, segments and page tables, carried out on a device or a port. What must
 * hold: no sanitizer complains, no call works long, RIP stays, each result comes with what it promises, and only RAM
 * and the device are touched.
 */
#include <stdarg.h>
#include <stdlib.h>

#include "hv/error.h"
#include "hv/mmio.h"
#include "tests/unit/fake_calls.h"
#include "tests/unit/fake_paging.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            __builtin_trap();                                                                                          \
    } while (0)

#define TABLES       UINT64_C(0x100000)
#define TABLES_BYTES (32 * PAGE_SIZE)
#define CODE         UINT64_C(0x140000)
#define DATA         UINT64_C(0x150000)
#define WINDOW       UINT64_C(0x180000) /* linear; the device's pages */
#define DEVICE       UINT64_C(0xfed00000)
#define PAGES        4u

/* An input, then the instruction's bytes. */
struct PACKED input {
    uint8_t mode, options;
    uint16_t exit_offset, rip_offset, rflags;
    uint8_t physical_bits;
    uint8_t segment, segment_attributes; /* one segment register is an odd one */
    uint16_t segment_limit;
    uint8_t kind; /* of exit, for the length at the end */
    struct PACKED {
        uint8_t place, offset;
    } registers[GPR_COUNT];
    struct PACKED {
        uint8_t page, level, bit;
    } table_changes[4];
};

#define OPTION_WRITE BIT(0)
#define OPTION_PORT  BIT(1)
#define OPTION_USER  BIT(2)
#define OPTION_SMAP  BIT(3)
#define OPTION_WP    BIT(4)
#define OPTION_VM    BIT(5)
#define OPTION_ODD   BIT(6)
#define OPTION_NXE   BIT(7)

static struct guest *guest;
static struct vcpu *vcpu;
static unsigned accesses, crashes;

void guest_crash(struct vcpu *who, const char *format, ...)
{
    char text[512];
    va_list arguments;

    REQUIRE(who == vcpu);
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    crashes++;
}

static uint64_t on_read(struct device *device, struct vcpu *who, uint64_t offset, unsigned size)
{
    (void)device;
    (void)who;
    REQUIRE(size >= 1 && size <= 8 && (size & (size - 1)) == 0 && offset + size <= PAGES * PAGE_SIZE);
    accesses++;
    return offset * UINT64_C(0x9e3779b97f4a7c15);
}

static void on_write(struct device *device, struct vcpu *who, uint64_t offset, unsigned size, uint64_t value)
{
    (void)value;
    (void)on_read(device, who, offset, size);
}

static void prepare_guest(void)
{
    static const struct bus_ops ops = {on_read, on_write};
    const struct bus_region memory = {DEVICE, PAGES * PAGE_SIZE, &ops, NULL, 8};
    const struct bus_region ports = {0x100, 0x200, &ops, NULL, 4};

    guest = fake_guest(MIB(2), 1);
    vcpu = guest->vcpus[0];
    REQUIRE(bus_claim(&guest->memory, &memory) == 0 && bus_claim(&guest->ports, &ports) == 0);
}

/* Where a register points: near something, or to the edges of what an address can be. */
static uint64_t register_value(unsigned place, uint64_t offset)
{
    static const uint64_t places[] = {
        0,
        WINDOW,
        WINDOW + PAGE_SIZE,
        WINDOW + PAGE_SIZE - 8,
        WINDOW + PAGES * PAGE_SIZE - 16,
        DATA,
        DATA + PAGE_SIZE - 8,
        DATA + PAGES * PAGE_SIZE - 8,
        CODE,
        0xffffff80,
        UINT64_C(0x7fffffffff80),
        UINT64_C(0xffff7fffffffff80),
        UINT64_MAX - 128,
        0xff80,
        0x100,
        0x1000,
    };

    return places[place % ARRAY_SIZE(places)] + offset;
}

static void prepare_tables(const struct input *input, enum fake_mode mode)
{
    memset(gmem_pointer(guest, TABLES, TABLES_BYTES), 0, TABLES_BYTES);
    struct fake_paging paging = fake_enter_mode(vcpu, mode, TABLES);

    if (mode < FAKE_PAGED_2)
        return;
    for (unsigned i = 0; i < PAGES; i++) {
        fake_map(&paging, CODE + i * PAGE_SIZE, CODE + i * PAGE_SIZE, PTE_ALL);
        fake_map(&paging, DATA + i * PAGE_SIZE, DATA + i * PAGE_SIZE, PTE_ALL);
        fake_map(&paging, WINDOW + i * PAGE_SIZE, DEVICE + i * PAGE_SIZE, PTE_ALL);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(input->table_changes); i++) {
        unsigned page = input->table_changes[i].page;
        gva_t address = (page % 3 == 0 ? CODE : page % 3 == 1 ? DATA : WINDOW) + (page >> 4) % PAGES * PAGE_SIZE;
        gpa_t at = fake_entry(&paging, address, 1);
        /* From the root down, an entry of the way there. A table that is not RAM any more ends it. */
        if (input->table_changes[i].level == 0)
            continue;
        if (input->table_changes[i].level % 3 != 1)
            at = paging.root + (at & (PAGE_SIZE - paging.entry_bytes));
        fake_entry_write(&paging, at,
                         fake_entry_read(&paging, at) ^ BIT(input->table_changes[i].bit % (8 * paging.entry_bytes)));
        if (input->table_changes[i].level % 3 != 1)
            break;
    }
}

static void prepare_cpu(const struct input *input, enum fake_mode mode)
{
    uint64_t *registers = fake_backend(vcpu)->registers;

    guest->physical_bits = (uint8_t)(36 + input->physical_bits % 17);
    vcpu->events = (struct event_state){.exception = {.type = EVENT_NONE}};
    for (unsigned i = 0; i < GPR_COUNT; i++) {
        uint64_t value = register_value(input->registers[i].place, input->registers[i].offset);
        vcpu_set_gpr(vcpu, i, mode >= FAKE_LONG_4 && mode != FAKE_COMPATIBILITY ? value : (uint32_t)value);
    }
    registers[VCPU_RFLAGS] = (input->rflags & 0xcd5u) | 2 | (input->rflags & 0x1000 ? UINT64_C(0x40000) : 0);
    registers[VCPU_RIP] = CODE + input->rip_offset % (2 * PAGE_SIZE);
    if (mode == FAKE_REAL || mode == FAKE_PROTECTED_16) {
        registers[VCPU_RIP] -= CODE;
        fake_backend(vcpu)->segments[SEGMENT_CS].base = CODE;
        fake_backend(vcpu)->segments[SEGMENT_ES].base = WINDOW & UINT32_MAX;
    }
    if (input->options & OPTION_USER)
        fake_backend(vcpu)->segments[SEGMENT_SS].attributes |= 0x60;
    if ((input->options & OPTION_SMAP) && mode >= FAKE_PAGED_2)
        registers[VCPU_CR4] |= UINT64_C(0x300000);
    if (!(input->options & OPTION_WP))
        registers[VCPU_CR0] &= ~UINT64_C(0x10000);
    if ((input->options & OPTION_VM) && mode == FAKE_PAGED_2)
        registers[VCPU_RFLAGS] |= UINT64_C(0x20000);
    if (!(input->options & OPTION_NXE))
        registers[VCPU_EFER] &= ~UINT64_C(0x800);
    if (input->options & OPTION_ODD) {
        struct segment_register *odd = &fake_backend(vcpu)->segments[input->segment % 6u];
        odd->limit = input->segment_limit;
        odd->attributes = (odd->attributes & ~UINT32_C(0x1f)) | (input->segment_attributes & 0x1f);
        odd->base += input->segment;
    }
}

/* Until it is done, as the run loop would have it, but not for ever. */
static void carry_out(const struct input *input)
{
    bool port = (input->options & OPTION_PORT) != 0, write = (input->options & OPTION_WRITE) != 0;
    struct vmexit exit = {.kind = port ? EXIT_PIO : EXIT_MEMORY};
    uint64_t rip = vcpu_read(vcpu, VCPU_RIP);

    if (port)
        exit.io = (struct exit_io){.port = 0x100, .string = true, .size = 1};
    else
        exit.memory =
            (struct exit_memory){.address = DEVICE + input->exit_offset % (PAGES * PAGE_SIZE), .write = write};
    for (unsigned turn = 0; turn < 3; turn++) {
        uint8_t length = 0;
        accesses = crashes = 0;
        enum mmio_result result = port ? pio_string_emulate(vcpu, &exit, &length) : mmio_emulate(vcpu, &exit, &length);
        REQUIRE(accesses <= 256 * 2 * 8);
        REQUIRE(vcpu_read(vcpu, VCPU_RIP) == rip);
        REQUIRE(crashes <= 1);
        switch (result) {
        case MMIO_DONE:
            REQUIRE(length >= 1 && length <= 15 && crashes == 0 && vcpu->events.exception.type == EVENT_NONE);
            return;
        case MMIO_PARTLY: REQUIRE(crashes == 0 && vcpu->events.exception.type == EVENT_NONE); break;
        case MMIO_FAULT: REQUIRE(crashes == 1 || vcpu->events.exception.type == EVENT_EXCEPTION); return;
        default: REQUIRE(result == MMIO_CRASHED && crashes == 1); return;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input;

    if (guest == NULL)
        prepare_guest();
    if (size < sizeof(input))
        return 0;
    memcpy(&input, data, sizeof(input));
    data += sizeof(input);
    size = (size_t)min_u64(size - sizeof(input), 64);

    enum fake_mode mode = (enum fake_mode)(input.mode % FAKE_MODE_COUNT);
    prepare_tables(&input, mode);
    memset(gmem_pointer(guest, CODE, PAGES * PAGE_SIZE), 0x90, PAGES * PAGE_SIZE);
    REQUIRE(gmem_write(guest, CODE + input.rip_offset % (2 * PAGE_SIZE), data, size) == 0);
    prepare_cpu(&input, mode);
    carry_out(&input);

    /* The same bytes as the instruction of an exit without a length. */
    uint64_t rip = vcpu_read(vcpu, VCPU_RIP);
    const struct vmexit exit = {.kind = (enum exit_kind)(input.kind % EXIT_KIND_COUNT), .rip = rip};
    vcpu->events.exception.type = EVENT_NONE;
    vcpu_advance(vcpu, &exit);
    REQUIRE(vcpu_read(vcpu, VCPU_RIP) - rip <= 15);
    return 0;
}
