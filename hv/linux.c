/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Linux loader: a bzImage of boot protocol 2.06 or later, entered through the 32-bit protocol, which every such
 * image has, also that of a 64-bit kernel. Linux, Documentation/arch/x86/boot.rst, "The Linux/x86 Boot Protocol", and
 * zero-page.rst, "Zero Page".
 */
#include "hv/error.h"
#include "hv/gmem.h"
#include "hv/guest.h"
#include "hv/loader.h"
#include "hv/loader_internal.h"
#include "hv/string.h"

/* "The Real-Mode Kernel Header"; the same offsets count in the file and in the boot parameters. */
struct linux_setup_header {
    uint8_t setup_sectors;
    uint16_t root_flags;
    uint32_t system_size; /* of the protected-mode part, in units of 16 bytes, rounded up */
    uint16_t ram_size;
    uint16_t video_mode;
    uint16_t root_device;
    uint16_t boot_flag;
    uint8_t jump;
    uint8_t jump_distance; /* the header ends that many bytes behind this field */
    uint32_t magic;
    uint16_t version; /* from here on the protocol's version says what is there */
    uint32_t realmode_switch;
    uint16_t start_system_segment;
    uint16_t kernel_version;
    uint8_t loader_type;
    uint8_t load_flags;
    uint16_t setup_move_size;
    uint32_t code32_start;
    uint32_t ramdisk_address;
    uint32_t ramdisk_size;
    uint32_t bootsect_kludge;
    uint16_t heap_end;
    uint8_t loader_version_extension;
    uint8_t loader_type_extension;
    uint32_t command_line_address;
    uint32_t initrd_address_max; /* 2.03: the highest byte that an initrd may occupy */
    uint32_t kernel_alignment;   /* 2.05 */
    uint8_t relocatable;         /* 2.05 */
    uint8_t minimum_alignment;   /* 2.10: power of two */
    uint16_t extended_load_flags;
    uint32_t command_line_size; /* 2.06: without the zero at its end */
    uint32_t hardware_subarchitecture;
    uint64_t hardware_subarchitecture_data;
    uint32_t payload_offset;
    uint32_t payload_length;
    uint64_t setup_data;
    uint64_t preferred_address; /* 2.10 */
    uint32_t init_size; /* 2.10: what the kernel uses from its run-time start on before it knows the memory map */
    uint32_t handover_offset;
    uint32_t kernel_info_offset;
} PACKED;

#define HEADER_OFFSET     0x1f1u
#define HEADER_FIELD(f)   (HEADER_OFFSET + offsetof(struct linux_setup_header, f))
#define HEADER_OFFSET_MAX 0x290u /* the boot parameters go on with other fields there */
_Static_assert(HEADER_FIELD(boot_flag) == 0x1fe, "setup header");
_Static_assert(HEADER_FIELD(magic) == 0x202, "setup header");
_Static_assert(HEADER_FIELD(code32_start) == 0x214, "setup header");
_Static_assert(HEADER_FIELD(heap_end) == 0x224, "setup header");
_Static_assert(HEADER_FIELD(command_line_address) == 0x228, "setup header");
_Static_assert(HEADER_FIELD(command_line_size) == 0x238, "setup header");
_Static_assert(HEADER_FIELD(setup_data) == 0x250, "setup header");
_Static_assert(HEADER_FIELD(preferred_address) == 0x258, "setup header");
_Static_assert(HEADER_FIELD(init_size) == 0x260, "setup header");
_Static_assert(HEADER_FIELD(kernel_info_offset) == 0x268, "setup header");

#define BOOT_FLAG             0xaa55u
#define HEADER_MAGIC          0x53726448u /* "HdrS" */
#define VERSION_OLDEST        0x0206u
#define VERSION_INIT_SIZE     0x020au
#define LOADED_HIGH           0x01u /* load_flags: a bzImage, whose protected-mode part lies at 1 MiB or above */
#define CAN_USE_HEAP          0x80u
#define LOADER_TYPE_UNDEFINED 0xffu
#define VIDEO_MODE_NORMAL     0xffffu
#define SETUP_SECTORS_DEFAULT 4u
#define SECTOR_SIZE           512u
#define CODE32_DEFAULT        0x100000u
/* Kernels before 2.10 do not tell init_size: they were packed with gzip, to no less than a quarter. */
#define UNPACKED_FACTOR 4u

/* struct screen_info at the start of the boot parameters: what Linux's VGA console looks at. */
struct linux_screen_info {
    uint8_t cursor_column;
    uint8_t cursor_row;
    uint16_t extended_memory_kib;
    uint16_t video_page;
    uint8_t video_mode;
    uint8_t columns;
    uint8_t flags;
    uint8_t unused1;
    uint16_t ega_bx;
    uint16_t unused2;
    uint8_t rows;
    uint8_t is_vga;
    uint16_t character_height;
} PACKED;
_Static_assert(sizeof(struct linux_screen_info) == 0x12, "screen_info");

struct linux_memory_entry {
    uint64_t base;
    uint64_t size;
    uint32_t type; /* enum boot_memory_type */
} PACKED;

#define PARAMETERS_SIZE            4096u
#define PARAMETERS_ENTRIES         0x1e8u /* count of memory map entries, one byte */
#define PARAMETERS_MEMORY_MAP      0x2d0u
#define PARAMETERS_MEMORY_MAP_SIZE 128u
_Static_assert(LOADER_MAP_MAX <= PARAMETERS_MEMORY_MAP_SIZE, "memory map");
_Static_assert(sizeof(struct linux_memory_entry) == 20, "memory map");

/*
 * Where the parts lie that no kernel asks for at a place of its own: the top of conventional memory, where boot loaders
 * have always put them. The lower part is left to programs that move themselves there, as memtest86+ does.
 */
#define LINUX_PARAMETERS   0x90000u
#define LINUX_GDT          0x91000u
#define LINUX_COMMAND_LINE 0x92000u
#define LINUX_AREA_END     0x98000u
#define COMMAND_LINE_MAX   (LINUX_AREA_END - LINUX_COMMAND_LINE - 1u)
_Static_assert(LINUX_GDT == LINUX_PARAMETERS + PARAMETERS_SIZE, "layout");
_Static_assert(LINUX_AREA_END <= GUEST_VGA_HOLE_BASE, "layout");

struct linux_image {
    const struct loader_file *file;
    struct linux_setup_header header;
    uint32_t header_end; /* offset in the file */
    uint64_t code_offset, code_size;
    gpa_t load_address;
    uint64_t run_size; /* from load_address on */
};

static int image_check_header(struct linux_image *image, struct loader_error *error)
{
    const struct loader_file *file = image->file;
    struct linux_setup_header *header = &image->header;

    if (file->size < HEADER_OFFSET + sizeof(*header))
        return loader_fail(error, E_INVAL, "kernel \"%s\" is no bzImage, or is cut short: it has only %s", file->name,
                           loader_size_text(file->size).text);
    memcpy(header, file->bytes + HEADER_OFFSET, sizeof(*header));
    if (header->boot_flag != BOOT_FLAG || header->magic != HEADER_MAGIC)
        return loader_fail(error, E_INVAL, "kernel \"%s\" is no bzImage: it lacks the \"HdrS\" signature", file->name);
    if (header->version < VERSION_OLDEST)
        return loader_fail(error, E_NOTYET, "kernel \"%s\" speaks boot protocol %u.%02u; 2.06 or later is needed",
                           file->name, header->version >> 8, header->version & 0xffu);
    if ((header->load_flags & LOADED_HIGH) == 0)
        return loader_fail(error, E_NOTYET, "kernel \"%s\" is a zImage, which loads low; a bzImage is needed",
                           file->name);
    image->header_end = (uint32_t)HEADER_FIELD(magic) + header->jump_distance;
    uint32_t needed = (uint32_t)(header->version < VERSION_INIT_SIZE ? HEADER_FIELD(hardware_subarchitecture)
                                                                     : HEADER_FIELD(handover_offset));
    if (image->header_end < needed || image->header_end > HEADER_OFFSET_MAX)
        return loader_fail(error, E_INVAL,
                           "kernel \"%s\" is no bzImage: its header ends at 0x%x, not between 0x%x and 0x%x",
                           file->name, image->header_end, needed, HEADER_OFFSET_MAX);
    /* What lies behind the header's end is code, not fields. */
    uint64_t known = min_u64(image->header_end - HEADER_OFFSET, sizeof(*header));
    memset((uint8_t *)header + known, 0, sizeof(*header) - known);
    return 0;
}

static int image_check_size(struct linux_image *image, struct loader_error *error)
{
    const struct loader_file *file = image->file;
    uint32_t sectors = image->header.setup_sectors != 0 ? image->header.setup_sectors : SETUP_SECTORS_DEFAULT;
    uint64_t code_size = (uint64_t)image->header.system_size * 16;

    image->code_offset = (uint64_t)(sectors + 1) * SECTOR_SIZE;
    if (code_size == 0)
        return loader_fail(error, E_INVAL, "kernel \"%s\" is no bzImage: its header gives it no code", file->name);
    /* system_size is rounded up: up to 15 bytes of it may be absent. What follows it (a signature) is not the kernel's.
     */
    if (file->size < image->code_offset + code_size - 15)
        return loader_fail(error, E_INVAL, "kernel \"%s\" is cut short: it has %llu bytes, its header says %llu",
                           file->name, (unsigned long long)file->size,
                           (unsigned long long)(image->code_offset + code_size));
    image->code_size = min_u64(code_size, file->size - image->code_offset);
    return 0;
}

/*
 * A kernel runs at its preferred address: one that cannot be relocated moves there, and so does a relocatable one that
 * was loaded below
 * ("Details of Header Fields", pref_address and init_size). So no lower place is tried: it would only hide that
 * init_size does not fit.
 */
static int image_choose_place(struct linux_image *image, const struct guest *guest, struct loader_error *error)
{
    const struct linux_setup_header *header = &image->header;
    bool tells = header->version >= VERSION_INIT_SIZE;
    uint64_t alignment = header->kernel_alignment;

    image->load_address = tells && header->preferred_address != 0 ? header->preferred_address : CODE32_DEFAULT;
    image->run_size = max_u64(image->code_size, tells ? header->init_size : image->code_size * UNPACKED_FACTOR);
    if (header->relocatable != 0) {
        if (alignment == 0 || (alignment & (alignment - 1)) != 0)
            return loader_fail(error, E_INVAL, "kernel \"%s\" is broken: its alignment 0x%llx is no power of two",
                               image->file->name, (unsigned long long)alignment);
        image->load_address = ALIGN_UP(max_u64(image->load_address, GUEST_HIGH_MEMORY), alignment);
    }
    if (image->load_address < GUEST_HIGH_MEMORY || !loader_is_free_ram(guest, image->load_address, image->run_size))
        return loader_fail(error, E_NOMEM, "kernel \"%s\" needs %s at %s; the guest has %s", image->file->name,
                           loader_size_text(image->run_size).text, loader_address_text(image->load_address).text,
                           loader_size_text(guest->memory_bytes).text);
    return 0;
}

/* Where in the code the 32-bit entry is: nearly always its first byte. */
static gpa_t image_entry(const struct linux_image *image)
{
    uint64_t offset = (uint64_t)image->header.code32_start - CODE32_DEFAULT;

    return image->load_address + (offset < image->code_size ? offset : 0);
}

/* The initrd goes as high as it may, out of the way of the unpacking kernel. */
static int place_initrd(struct guest *guest, const struct loader_file *initrd, struct linux_image *image,
                        struct loader_error *error)
{
    gpa_t limit = min_u64(loader_low_ram_end(guest), (uint64_t)image->header.initrd_address_max + 1);
    gpa_t floor = ALIGN_UP(image->load_address + image->run_size, PAGE_SIZE);

    image->header.ramdisk_address = 0;
    image->header.ramdisk_size = 0;
    if (initrd->bytes == NULL)
        return 0;
    if (initrd->size == 0)
        return loader_fail(error, E_INVAL, "initrd \"%s\" is empty", initrd->name);
    if (limit < floor || initrd->size > limit - floor)
        return loader_fail(error, E_NOMEM,
                           "initrd \"%s\" (%s) does not fit between the end of kernel \"%s\" at 0x%llx and 0x%llx",
                           initrd->name, loader_size_text(initrd->size).text, image->file->name,
                           (unsigned long long)floor, (unsigned long long)limit);
    gpa_t base = ALIGN_DOWN(limit - initrd->size, PAGE_SIZE);
    if (gmem_write(guest, base, initrd->bytes, initrd->size) != 0)
        return loader_fail(error, E_FAULT, "initrd \"%s\" does not fit into RAM at 0x%llx", initrd->name,
                           (unsigned long long)base);
    image->header.ramdisk_address = (uint32_t)base;
    image->header.ramdisk_size = (uint32_t)initrd->size;
    return 0;
}

static int place_command_line(struct guest *guest, const char *text, const struct linux_image *image,
                              struct loader_error *error)
{
    size_t length = strlen(text);
    uint64_t most = min_u64(image->header.command_line_size, COMMAND_LINE_MAX);

    if (length > most)
        return loader_fail(error, E_RANGE, "the command line has %llu characters; kernel \"%s\" takes at most %llu",
                           (unsigned long long)length, image->file->name, (unsigned long long)most);
    return gmem_write(guest, LINUX_COMMAND_LINE, text, length + 1);
}

static void fill_parameters(const struct guest *guest, const struct linux_image *image,
                            uint8_t parameters[PARAMETERS_SIZE])
{
    const struct linux_screen_info screen = {
        .video_mode = 3,
        .columns = 80,
        .ega_bx = 3, /* 256 KiB of video memory, colour: not the 0x10 that would mean CGA */
        .rows = 25,
        .is_vga = 1,
        .character_height = 16,
    };
    struct linux_setup_header header = image->header;
    struct loader_map_entry map[LOADER_MAP_MAX];
    uint32_t count = loader_memory_map(guest, map);

    memset(parameters, 0, PARAMETERS_SIZE);
    memcpy(parameters, &screen, sizeof(screen));
    memcpy(parameters + HEADER_OFFSET, image->file->bytes + HEADER_OFFSET, image->header_end - HEADER_OFFSET);
    header.loader_type = LOADER_TYPE_UNDEFINED;
    header.loader_type_extension = 0;
    header.loader_version_extension = 0;
    header.video_mode = VIDEO_MODE_NORMAL;
    header.code32_start = (uint32_t)image_entry(image);
    header.command_line_address = LINUX_COMMAND_LINE;
    header.setup_data = 0;
    /* Only real-mode code has a heap, and none runs; a kernel that looks finds what a boot loader leaves. */
    header.load_flags |= CAN_USE_HEAP;
    header.heap_end = LINUX_AREA_END - LINUX_PARAMETERS - 0x200u;
    memcpy(parameters + HEADER_OFFSET, &header, min_u64(sizeof(header), image->header_end - HEADER_OFFSET));
    for (uint32_t i = 0; i < count; i++) {
        struct linux_memory_entry entry = {map[i].base, map[i].size, map[i].type};
        memcpy(parameters + PARAMETERS_MEMORY_MAP + i * sizeof(entry), &entry, sizeof(entry));
    }
    parameters[PARAMETERS_ENTRIES] = (uint8_t)count;
}

int linux_load(struct guest *guest, const struct loader_input *input, struct vcpu_state *state,
               struct loader_error *error)
{
    uint8_t *parameters = gmem_pointer(guest, LINUX_PARAMETERS, PARAMETERS_SIZE);
    struct linux_image image = {.file = &input->kernel};
    int result = image_check_header(&image, error);

    if (result == 0)
        result = image_check_size(&image, error);
    if (result == 0)
        result = image_choose_place(&image, guest, error);
    if (result == 0 &&
        (parameters == NULL || !loader_is_free_ram(guest, LINUX_PARAMETERS, LINUX_AREA_END - LINUX_PARAMETERS)))
        result = loader_fail(error, E_NOMEM, "the guest lacks conventional memory");
    if (result == 0)
        result = place_command_line(guest, input->command_line != NULL ? input->command_line : "", &image, error);
    if (result == 0)
        result = place_initrd(guest, &input->initrd, &image, error);
    if (result != 0)
        return result;
    if (loader_write_bios_data(guest) != 0 || loader_write_gdt(guest, LINUX_GDT) != 0 ||
        gmem_write(guest, image.load_address, image.file->bytes + image.code_offset, image.code_size) != 0)
        return loader_fail(error, E_FAULT, "kernel \"%s\" does not fit into the guest's RAM", input->kernel.name);
    fill_parameters(guest, &image, parameters);
    loader_state_protected(state, LINUX_GDT, image_entry(&image));
    state->gpr[GPR_RSI] = LINUX_PARAMETERS;
    /* The protocol gives no stack; a kernel that pushes before it sets one shall not do so at the top of the address
     * space. */
    state->gpr[GPR_RSP] = LINUX_PARAMETERS;
    return 0;
}
