/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Multiboot loader against images that are built here: by address fields and as ELF of both classes, with symbols
 * and modules, cut at every length, and broken at random.
 */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/error.h"
#include "hv/gmem.h"
#include "hv/loader.h"
#include "hv/multiboot.h"
#include "tests/unit/fake.h"

/* Used when the run loop is not linked. */
__attribute__((weak)) void vcpu_state_reset(struct vcpu_state *state)
{
    memset(state, 0xee, sizeof(*state));
}

__attribute__((weak)) void vcpu_request(struct vcpu *vcpu, uint32_t requests)
{
    vcpu->requests |= requests;
}

#define RAM_SIZE     MIB(32)
#define IMAGE_MAX    8192u
#define HEADER_AT    0x400u
#define TEXT_AT      0x480u /* 256 bytes, at 1 MiB, linked at 3 GiB + 1 MiB */
#define DATA_AT      0x580u /* 64 bytes and 8 KiB of bss, at 1 MiB + 64 KiB */
#define STRINGS_AT   0x5c0u /* 32 bytes */
#define SYMBOLS_AT   0x5e0u /* 48 bytes */
#define SECTIONS_AT  0x620u
#define VIRTUAL_BASE 0xc0000000u

struct load {
    struct guest *guest;
    uint8_t image[IMAGE_MAX];
    unsigned size;
    struct loader_input input;
    struct vcpu_state state;
    struct loader_error error;
};

static void put_header(uint8_t *image, unsigned offset, uint32_t flags)
{
    const uint32_t words[3] = {MULTIBOOT_HEADER_MAGIC, flags, -(MULTIBOOT_HEADER_MAGIC + flags)};

    memcpy(image + offset, words, sizeof(words));
}

static void put_addresses(uint8_t *image, unsigned offset, uint32_t header, uint32_t load, uint32_t load_end,
                          uint32_t bss_end, uint32_t entry)
{
    const uint32_t words[5] = {header, load, load_end, bss_end, entry};

    memcpy(image + offset + 12, words, sizeof(words));
}

static void fill_pattern(struct load *load)
{
    for (unsigned i = 0; i < IMAGE_MAX; i++)
        load->image[i] = (uint8_t)(i * 13 + 5);
}

#define BUILD_ELF(load, bits, the_machine)                                                                             \
    do {                                                                                                               \
        const Elf##bits##_Ehdr header = {                                                                              \
            .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS##bits, ELFDATA2LSB, EV_CURRENT},                                 \
            .e_type = ET_EXEC,                                                                                         \
            .e_machine = the_machine,                                                                                  \
            .e_version = EV_CURRENT,                                                                                   \
            .e_entry = VIRTUAL_BASE + 0x100010,                                                                        \
            .e_phoff = sizeof(header),                                                                                 \
            .e_shoff = SECTIONS_AT,                                                                                    \
            .e_ehsize = sizeof(header),                                                                                \
            .e_phentsize = sizeof(Elf##bits##_Phdr),                                                                   \
            .e_phnum = 3,                                                                                              \
            .e_shentsize = sizeof(Elf##bits##_Shdr),                                                                   \
            .e_shnum = 4,                                                                                              \
            .e_shstrndx = 2,                                                                                           \
        };                                                                                                             \
        const Elf##bits##_Phdr program[3] = {                                                                          \
            {.p_type = PT_LOAD,                                                                                        \
             .p_offset = TEXT_AT,                                                                                      \
             .p_vaddr = VIRTUAL_BASE + 0x100000,                                                                       \
             .p_paddr = 0x100000,                                                                                      \
             .p_filesz = 256,                                                                                          \
             .p_memsz = 256},                                                                                          \
            {.p_type = PT_GNU_STACK, .p_offset = UINT32_MAX, .p_filesz = UINT32_MAX},                                  \
            {.p_type = PT_LOAD,                                                                                        \
             .p_offset = DATA_AT,                                                                                      \
             .p_vaddr = VIRTUAL_BASE + 0x110000,                                                                       \
             .p_paddr = 0x110000,                                                                                      \
             .p_filesz = 64,                                                                                           \
             .p_memsz = 64 + 8192},                                                                                    \
        };                                                                                                             \
        const Elf##bits##_Shdr sections[4] = {                                                                         \
            {.sh_type = SHT_NULL},                                                                                     \
            {.sh_type = SHT_PROGBITS, .sh_addr = VIRTUAL_BASE + 0x100000, .sh_offset = TEXT_AT, .sh_size = 256},       \
            {.sh_type = SHT_STRTAB, .sh_offset = STRINGS_AT, .sh_size = 31},                                           \
            {.sh_type = SHT_SYMTAB, .sh_offset = SYMBOLS_AT, .sh_size = 48},                                           \
        };                                                                                                             \
        fill_pattern(load);                                                                                            \
        memcpy((load)->image, &header, sizeof(header));                                                                \
        memcpy((load)->image + header.e_phoff, program, sizeof(program));                                              \
        memcpy((load)->image + header.e_shoff, sections, sizeof(sections));                                            \
        put_header((load)->image, HEADER_AT, 3);                                                                       \
        (load)->size = (unsigned)(header.e_shoff + sizeof(sections));                                                  \
    } while (0)

static void build_elf32(struct load *load)
{
    BUILD_ELF(load, 32, EM_386);
}

static void build_elf64(struct load *load)
{
    BUILD_ELF(load, 64, EM_X86_64);
}

/* A raw image of 3000 bytes with its header at 64: loads from offset 32 on to 2 MiB, 1000 bytes and 96 of bss. */
static void build_raw(struct load *load)
{
    fill_pattern(load);
    put_header(load->image, 64, 0x10002);
    put_addresses(load->image, 64, 0x200020, 0x200000, 0x2003e8, 0x200448, 0x200100);
    load->size = 3000;
}

static int setup(void **context)
{
    struct load *load = calloc(1, sizeof(*load));

    load->guest = fake_guest(RAM_SIZE, 1);
    load->input.command_line = "one two";
    build_elf32(load);
    *context = load;
    return 0;
}

static int teardown(void **context)
{
    struct load *load = *context;

    fake_guest_free(load->guest);
    free(load);
    return 0;
}

/* From a block of exactly that size, so that the sanitizer sees a byte read too far. */
static int run(struct load *load)
{
    uint8_t *bytes = malloc(load->size);

    memcpy(bytes, load->image, load->size);
    load->input.kernel = (struct loader_file){"kernel", bytes, load->size};
    memset(&load->error, 0, sizeof(load->error));
    int result = multiboot_load(load->guest, &load->input, &load->state, &load->error);
    free(bytes);
    return result;
}

static void assert_refused(struct load *load, int code, const char *words)
{
    assert_int_equal(run(load), code);
    if (strstr(load->error.text, words) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", load->error.text, words);
}

static struct multiboot_info read_info(struct load *load)
{
    struct multiboot_info info;

    assert_int_equal(gmem_read(load->guest, load->state.gpr[GPR_RBX], &info, sizeof(info)), 0);
    return info;
}

static const char *text_at(struct load *load, gpa_t address)
{
    return gmem_pointer(load->guest, address, 64);
}

static bool is_filled(struct load *load, gpa_t address, uint64_t size, int byte)
{
    const uint8_t *bytes = gmem_pointer(load->guest, address, size);

    for (uint64_t i = 0; i < size; i++) {
        if (bytes[i] != (uint8_t)byte)
            return false;
    }
    return true;
}

static void test_state(void **context)
{
    struct load *load = *context;
    const struct vcpu_state *state = &load->state;

    assert_int_equal(run(load), 0);
    assert_int_equal(state->rip, 0x100010);
    assert_int_equal(state->gpr[GPR_RAX], 0x2badb002);
    assert_int_equal(state->rflags, 2);
    assert_int_equal(state->cr0, 0x11);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(state->segments[i].base, 0);
        assert_int_equal(state->segments[i].limit, UINT32_MAX);
        assert_int_equal(state->segments[i].attributes, i == SEGMENT_CS ? 0xc09b : 0xc093);
    }
    assert_true(state->gpr[GPR_RBX] >= 0x10000 && state->gpr[GPR_RBX] < 0xa0000);
    assert_true(state->gpr[GPR_RSP] >= 0x10000 + 4096 && state->gpr[GPR_RSP] <= state->gdtr.base);
}

static void test_elf(void **context)
{
    struct load *load = *context;

    for (unsigned class = 0; class < 2; class ++) {
        if (class == 0)
            build_elf32(load);
        else
            build_elf64(load);
        assert_int_equal(gmem_fill(load->guest, 0x100000, 0xaa, 0x20000), 0);
        assert_int_equal(run(load), 0);
        assert_int_equal(load->state.rip, 0x100010);
        assert_memory_equal(gmem_pointer(load->guest, 0x100000, 256), load->image + TEXT_AT, 256);
        assert_true(is_filled(load, 0x100100, 0xff00, 0xaa));
        assert_memory_equal(gmem_pointer(load->guest, 0x110000, 64), load->image + DATA_AT, 64);
        assert_true(is_filled(load, 0x110040, 8192, 0));
    }
    /* An entry that no segment has as a virtual address is a physical one. */
    build_elf32(load);
    ((Elf32_Ehdr *)(void *)load->image)->e_entry = 0x100020;
    assert_int_equal(run(load), 0);
    assert_int_equal(load->state.rip, 0x100020);
    ((Elf32_Ehdr *)(void *)load->image)->e_entry = 0x100100;
    assert_refused(load, E_INVAL, "its entry 0x100100 is outside of what is loaded");
}

static void test_symbols(void **context)
{
    struct load *load = *context;
    Elf32_Shdr sections[4];

    assert_int_equal(run(load), 0);
    struct multiboot_info info = read_info(load);
    assert_true((info.flags & MULTIBOOT_INFO_ELF_SECTIONS) != 0);
    assert_int_equal(info.elf_sections.count, 4);
    assert_int_equal(info.elf_sections.entry_size, sizeof(Elf32_Shdr));
    assert_int_equal(info.elf_sections.names_index, 2);
    assert_true(info.elf_sections.address >= 0x112040);
    assert_int_equal(gmem_read(load->guest, info.elf_sections.address, sections, sizeof(sections)), 0);
    assert_int_equal(sections[1].sh_addr, VIRTUAL_BASE + 0x100000);
    assert_memory_equal(gmem_pointer(load->guest, sections[2].sh_addr, 31), load->image + STRINGS_AT, 31);
    assert_memory_equal(gmem_pointer(load->guest, sections[3].sh_addr, 48), load->image + SYMBOLS_AT, 48);
    assert_true(sections[2].sh_addr >= info.elf_sections.address + sizeof(sections));
    assert_true(sections[3].sh_addr >= sections[2].sh_addr + 31);
}

static void test_info(void **context)
{
    struct load *load = *context;
    struct multiboot_memory_map_entry map[3];

    assert_int_equal(run(load), 0);
    struct multiboot_info info = read_info(load);
    assert_int_equal(info.flags, MULTIBOOT_INFO_MEMORY | MULTIBOOT_INFO_COMMAND_LINE | MULTIBOOT_INFO_ELF_SECTIONS |
                                     MULTIBOOT_INFO_MEMORY_MAP | MULTIBOOT_INFO_BOOT_LOADER_NAME);
    assert_int_equal(info.mem_lower, 640);
    assert_int_equal(info.mem_upper, 31 * 1024);
    assert_int_equal(info.modules_count, 0);
    assert_string_equal(text_at(load, info.command_line), "kernel one two");
    assert_string_equal(text_at(load, info.boot_loader_name), "Bulkhead");
    assert_int_equal(info.memory_map_length, sizeof(map));
    assert_int_equal(gmem_read(load->guest, info.memory_map_address, map, sizeof(map)), 0);
    assert_true(map[0].size == 20 && map[0].base == 0 && map[0].length == 0xa0000 && map[0].type == 1);
    assert_true(map[1].size == 20 && map[1].base == 0xe0000 && map[1].length == 0x20000 && map[1].type == 2);
    assert_true(map[2].size == 20 && map[2].base == MIB(1) && map[2].length == MIB(31) && map[2].type == 1);
    load->input.command_line = "";
    assert_int_equal(run(load), 0);
    assert_string_equal(text_at(load, read_info(load).command_line), "kernel");
    load->input.command_line = NULL;
    assert_int_equal(run(load), 0);
    assert_string_equal(text_at(load, read_info(load).command_line), "kernel");
}

static void test_video(void **context)
{
    struct load *load = *context;

    put_header(load->image, HEADER_AT, 7);
    assert_int_equal(run(load), 0);
    struct multiboot_info info = read_info(load);
    assert_true((info.flags & MULTIBOOT_INFO_FRAMEBUFFER) != 0);
    assert_int_equal(info.framebuffer_address, 0xb8000);
    assert_int_equal(info.framebuffer_pitch, 160);
    assert_int_equal(info.framebuffer_width, 80);
    assert_int_equal(info.framebuffer_height, 25);
    assert_int_equal(info.framebuffer_type, 2);
}

static void test_modules(void **context)
{
    struct load *load = *context;
    uint8_t *bytes = malloc(MIB(31));
    struct multiboot_module modules[3];

    memset(bytes, 0x77, MIB(31));
    load->input.module_count = 3;
    load->input.modules[0] = (struct loader_file){"first", bytes, 5000};
    load->input.module_strings[0] = "/boot/first -v";
    load->input.modules[1] = (struct loader_file){"empty", NULL, 0};
    load->input.module_strings[1] = "";
    load->input.modules[2] = (struct loader_file){"last", bytes, 1};
    assert_int_equal(run(load), 0);
    struct multiboot_info info = read_info(load);
    assert_true((info.flags & MULTIBOOT_INFO_MODULES) != 0);
    assert_int_equal(info.modules_count, 3);
    assert_int_equal(gmem_read(load->guest, info.modules_address, modules, sizeof(modules)), 0);
    assert_true(IS_ALIGNED(modules[0].start, 4096) && modules[0].end - modules[0].start == 5000);
    assert_true(modules[0].start >= 0x112040 && modules[0].start >= info.elf_sections.address + 160);
    assert_true(is_filled(load, modules[0].start, 5000, 0x77));
    assert_string_equal(text_at(load, modules[0].string), "/boot/first -v");
    assert_int_equal(modules[1].start, modules[1].end);
    assert_string_equal(text_at(load, modules[1].string), "");
    assert_true(IS_ALIGNED(modules[2].start, 4096) && modules[2].start >= modules[0].end);
    assert_string_equal(text_at(load, modules[2].string), "last");

    load->input.module_count = 1;
    load->input.modules[0].size = MIB(31);
    assert_refused(load, E_NOMEM, "module \"first\" (31 MiB) does not fit into the guest's 32 MiB beside the kernel");
    load->input.module_count = LOADER_MODULES_MAX + 1;
    assert_refused(load, E_NOTYET, "16 modules");
    free(bytes);
}

/* Below a kernel that sits at the top, and through the boot information that must go above one that fills conventional
 * memory. */
static void test_places(void **context)
{
    struct load *load = *context;
    uint8_t *bytes = malloc(MIB(16));
    struct multiboot_module module;

    memset(bytes, 0x55, MIB(16));
    build_raw(load);
    put_addresses(load->image, 64, 0x1f00020, 0x1f00000, 0x1f003e8, 0x1f00448, 0x1f00100);
    load->input.module_count = 1;
    load->input.modules[0] = (struct loader_file){"big", bytes, MIB(16)};
    assert_int_equal(run(load), 0);
    assert_int_equal(gmem_read(load->guest, read_info(load).modules_address, &module, sizeof(module)), 0);
    assert_int_equal(module.start, MIB(1));

    put_addresses(load->image, 64, 0x8020, 0x8000, 0x83e8, 0x9f900, 0x8000);
    assert_int_equal(run(load), 0);
    assert_true(load->state.gpr[GPR_RBX] >= MIB(17));
    put_addresses(load->image, 64, 0x10020, 0x10000, 0x103e8, 0x20000, 0x10000);
    assert_int_equal(run(load), 0);
    assert_true(load->state.gpr[GPR_RSP] >= 0x21000 && load->state.gpr[GPR_RBX] < 0xa0000);
    free(bytes);
}

static void test_raw(void **context)
{
    struct load *load = *context;

    build_raw(load);
    assert_int_equal(gmem_fill(load->guest, 0x200000, 0xaa, 4096), 0);
    assert_int_equal(run(load), 0);
    assert_int_equal(load->state.rip, 0x200100);
    assert_memory_equal(gmem_pointer(load->guest, 0x200000, 1000), load->image + 32, 1000);
    assert_true(is_filled(load, 0x2003e8, 96, 0));
    assert_true(is_filled(load, 0x200448, 16, 0xaa));
    put_addresses(load->image, 64, 0x200020, 0x200000, 0, 0, 0x200100);
    assert_int_equal(run(load), 0);
    assert_memory_equal(gmem_pointer(load->guest, 0x200000, 2968), load->image + 32, 2968);
    /* Also inside an ELF file, whose own headers then do not count. */
    build_elf64(load);
    put_header(load->image, HEADER_AT, 0x10003);
    put_addresses(load->image, HEADER_AT, 0x300000, 0x300000, 0x300200, 0, 0x3001ff);
    assert_int_equal(run(load), 0);
    assert_int_equal(load->state.rip, 0x3001ff);
    assert_memory_equal(gmem_pointer(load->guest, 0x300000, 512), load->image + HEADER_AT, 512);
    assert_int_equal(read_info(load).flags & MULTIBOOT_INFO_ELF_SECTIONS, 0);
}

static void test_raw_refused(void **context)
{
    struct load *load = *context;
    static const struct {
        uint32_t header, load, load_end, bss_end, entry;
        int error;
        const char *words;
    } cases[] = {
        {0x200020, 0x200021, 0x2003e8, 0x200448, 0x200100, E_INVAL, "contradict each other"},
        {0x200041, 0x200000, 0x2003e8, 0x200448, 0x200100, E_INVAL, "contradict each other"},
        {0x200020, 0x200000, 0x20001f, 0x200448, 0x200100, E_INVAL, "contradict each other"},
        {0x200020, 0x200000, 0x200b99, 0x201000, 0x200100, E_INVAL,
         "is cut short: it has 3000 bytes, its header says 3001"},
        {0x200020, 0x200000, 0x2003e8, 0x2003e7, 0x200100, E_INVAL, "its bss ends before its data"},
        {0x200020, 0x200000, 0x2003e8, 0x200448, 0x1fffff, E_INVAL, "its entry 0x1fffff is outside"},
        {0x200020, 0x200000, 0x2003e8, 0x200448, 0x200448, E_INVAL, "its entry 0x200448 is outside"},
        {0x200020, 0x200000, 0x2003e8, 0x2000001, 0x200100, E_NOMEM,
         "kernel \"kernel\" needs 31 MiB at 2 MiB, where the guest (32 MiB)"},
        {0xb8020, 0xb8000, 0xb83e8, 0xb8448, 0xb8000, E_NOMEM, "at 0xb8000, where the guest (32 MiB) has no free RAM"},
        {0x9ff20, 0x9ff00, 0xa02e8, 0, 0x9ff00, E_NOMEM, "at 0x9ff00"},
        {0xf0020, 0xf0000, 0xf03e8, 0, 0xf0000, E_NOMEM, "at 0xf0000"},
        {0xffffffe0, 0xffffffc0, 0xffffffff, 0, 0xffffffc0, E_NOMEM, "at 0xffffffc0"},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        build_raw(load);
        put_addresses(load->image, 64, cases[i].header, cases[i].load, cases[i].load_end, cases[i].bss_end,
                      cases[i].entry);
        assert_refused(load, cases[i].error, cases[i].words);
    }
}

static void test_header_search(void **context)
{
    struct load *load = *context;

    /* A magic whose checksum is wrong comes first. */
    memcpy(load->image + 0x200, &(uint32_t){MULTIBOOT_HEADER_MAGIC}, 4);
    assert_int_equal(run(load), 0);
    put_header(load->image, HEADER_AT, 0x4003);
    assert_refused(load, E_NOTYET, "header flags 0x4000");
    memset(load->image + HEADER_AT, 0, 12);
    assert_refused(load, E_INVAL, "is no multiboot image");
    memset(load->image, 0, IMAGE_MAX);
    load->size = IMAGE_MAX;
    put_header(load->image, 2, 3); /* on no multiple of 4 */
    assert_refused(load, E_INVAL, "is no multiboot image: there is no header in its first 8 KiB");
    put_header(load->image, IMAGE_MAX - 12, 3);
    assert_refused(load, E_INVAL, "but neither ELF nor with addresses");
    memset(load->image, 0, IMAGE_MAX);
    memcpy(load->image + 64, &(uint32_t){MULTIBOOT2_HEADER_MAGIC}, 4);
    assert_refused(load, E_NOTYET, "multiboot 2 only");
}

static void test_elf_refused(void **context)
{
    struct load *load = *context;
    Elf32_Ehdr *header = (Elf32_Ehdr *)(void *)load->image;
    Elf32_Phdr *program = (Elf32_Phdr *)(void *)(load->image + sizeof(*header));
    Elf32_Shdr *sections = (Elf32_Shdr *)(void *)(load->image + SECTIONS_AT);

    header->e_machine = EM_ARM;
    assert_refused(load, E_NOTYET, "of another machine");
    build_elf32(load);
    header->e_type = ET_REL;
    assert_refused(load, E_NOTYET, "no executable");
    build_elf32(load);
    header->e_phentsize = 31;
    assert_refused(load, E_INVAL, "an entry of its program headers has 31 bytes");
    build_elf32(load);
    header->e_phoff = UINT32_MAX;
    assert_refused(load, E_INVAL, "is cut short: its program headers");
    build_elf32(load);
    header->e_phnum = 0;
    assert_refused(load, E_INVAL, "has 0 segments to load");
    build_elf32(load);
    program[0].p_filesz = 257;
    assert_refused(load, E_INVAL, "segment 0 has more bytes in the file than in memory");
    build_elf32(load);
    program[2].p_offset = UINT32_MAX;
    assert_refused(load, E_INVAL, "is cut short: its segments");
    build_elf32(load);
    program[2].p_memsz = UINT32_MAX;
    assert_refused(load, E_NOMEM, "needs 4096 MiB at 0x110000");
    build_elf32(load);
    program[2].p_paddr = 0xa0000;
    assert_refused(load, E_NOMEM, "at 0xa0000");
    build_elf32(load);
    sections[3].sh_size = 4096;
    assert_refused(load, E_INVAL, "is cut short: its sections");
    build_elf32(load);
    load->size = IMAGE_MAX;
    header->e_shnum = 0;
    header->e_phnum = 33;
    for (unsigned i = 0; i < 33; i++) {
        program[i] = program[0];
        program[i].p_offset = 0;
    }
    put_header(load->image, 0x1000, 3);
    assert_refused(load, E_NOTYET, "has 33 segments to load; there must be 1 to 32");
    header->e_phnum = 32;
    assert_int_equal(run(load), 0);
    build_elf64(load);
    ((Elf64_Phdr *)(void *)(load->image + 64))->p_paddr = UINT64_MAX - 16;
    assert_refused(load, E_NOMEM, "has no free RAM");
}

static void test_cut_at_each_length(void **context)
{
    struct load *load = *context;
    void (*const builds[])(struct load *) = {build_elf32, build_elf64, build_raw};

    for (unsigned i = 0; i < ARRAY_SIZE(builds); i++) {
        builds[i](load);
        unsigned whole = i == 2 ? 32 + 1000 : load->size;
        for (load->size = 0; load->size < whole; load->size++)
            assert_refused(load, E_INVAL, "cut short");
        assert_int_equal(run(load), 0);
    }
}

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void test_broken_at_random(void **context)
{
    struct load *load = *context;
    void (*const builds[])(struct load *) = {build_elf32, build_elf64, build_raw};
    uint64_t seed = 88172645463325252u;
    unsigned loaded = 0;

    for (unsigned round = 0; round < 9000; round++) {
        unsigned kind = round % 3;
        builds[kind](load);
        unsigned tables = kind == 2 ? 128 : 64 + 3 * 56;
        for (uint64_t changes = 1 + random_next(&seed) % 4; changes > 0; changes--) {
            uint64_t at =
                kind != 2 && changes == 2 ? SECTIONS_AT + random_next(&seed) % 160 : random_next(&seed) % tables;
            load->image[at] = (uint8_t)random_next(&seed);
        }
        if (run(load) == 0) {
            loaded++;
            assert_true(load->state.rip < RAM_SIZE);
        } else {
            assert_true(load->error.text[0] != '\0');
        }
    }
    assert_true(loaded > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_state, setup, teardown),
        cmocka_unit_test_setup_teardown(test_elf, setup, teardown),
        cmocka_unit_test_setup_teardown(test_symbols, setup, teardown),
        cmocka_unit_test_setup_teardown(test_info, setup, teardown),
        cmocka_unit_test_setup_teardown(test_video, setup, teardown),
        cmocka_unit_test_setup_teardown(test_modules, setup, teardown),
        cmocka_unit_test_setup_teardown(test_places, setup, teardown),
        cmocka_unit_test_setup_teardown(test_raw, setup, teardown),
        cmocka_unit_test_setup_teardown(test_raw_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_header_search, setup, teardown),
        cmocka_unit_test_setup_teardown(test_elf_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_at_each_length, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_at_random, setup, teardown),
    };

    return cmocka_run_group_tests_name("multiboot_load", tests, NULL, NULL);
}
