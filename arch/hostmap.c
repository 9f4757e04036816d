/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's address spaces: one for each CPU, and one in which the boot CPU makes them all. No CPU maps the page
 * tables, so none changes once that one has been left.
 */
#include "arch/hostmap.h"

#include "arch/cpu.h"
#include "arch/hostmap_format.h"
#include "arch/x86.h"
#include "hv/error.h"
#include "hv/machine.h"
#include "hv/pages.h"
#include "hv/pagetable.h"

extern const uint8_t text_start[], text_end[], rodata_start[], rodata_end[], data_start[], data_end[];
extern const uint8_t cpu_stack_start[], cpu_stack_end[], cpu_nmi_stack_start[], cpu_nmi_stack_end[];
extern const uint8_t cpu_fault_stack_start[], cpu_fault_stack_end[], cpu_data_start[], cpu_data_end[];

#define DEVICES_MAX 16u

struct device_mapping {
    hpa_t base;
    uint64_t size;
    uint64_t address;
};

static struct pagetable spaces[CPUS_MAX + 1];
static hpa_t windows[CPUS_MAX]; /* of each CPU: the pages behind its part of HOSTMAP_CPU_BASE, in one piece */
static struct device_mapping devices[DEVICES_MAX];
static uint32_t device_count;
static uint64_t device_next = HOSTMAP_DEVICE_BASE;

static uint64_t largest_page(void)
{
    bool has_1g = machine_cpuid(0x80000000, 0).eax >= 0x80000001 && (machine_cpuid(0x80000001, 0).edx & BIT(26)) != 0;

    return has_1g ? PAGE_SIZE_1G : PAGE_SIZE_2M;
}

static int map_image(struct pagetable *space)
{
    const struct {
        const uint8_t *start, *end;
        unsigned access;
    } parts[] = {
        {text_start, text_end, ACCESS_READ | ACCESS_EXECUTE},
        {rodata_start, rodata_end, ACCESS_READ},
        {data_start, data_end, ACCESS_READ | ACCESS_WRITE},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
        uint64_t address = (uint64_t)(uintptr_t)parts[i].start;
        int error = pagetable_map(space, address, address - HOSTMAP_IMAGE_BASE,
                                  (uint64_t)(parts[i].end - parts[i].start), parts[i].access, MEMORY_WRITE_BACK);
        if (error != 0)
            return error;
    }
    return 0;
}

/* Between the parts of a window nothing is mapped. */
static const struct {
    const uint8_t *start, *end;
} window_parts[] = {
    {cpu_stack_start, cpu_stack_end},
    {cpu_nmi_stack_start, cpu_nmi_stack_end},
    {cpu_fault_stack_start, cpu_fault_stack_end},
    {cpu_data_start, cpu_data_end},
};

static uint64_t window_size(void)
{
    uint64_t size = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(window_parts); i++)
        size += (uint64_t)(window_parts[i].end - window_parts[i].start);
    return size;
}

static int map_window(struct pagetable *space, hpa_t pages)
{
    int error = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(window_parts) && error == 0; i++) {
        uint64_t size = (uint64_t)(window_parts[i].end - window_parts[i].start);
        error = pagetable_map(space, (uint64_t)(uintptr_t)window_parts[i].start, pages, size,
                              ACCESS_READ | ACCESS_WRITE, MEMORY_WRITE_BACK);
        pages += size;
    }
    return error;
}

static int map_device_into(struct pagetable *space, const struct device_mapping *device)
{
    return pagetable_map(space, device->address, device->base, device->size, ACCESS_READ | ACCESS_WRITE,
                         MEMORY_UNCACHED);
}

/* What every space has: the image, one CPU's window, device registers. */
static int create_space(struct pagetable *space, hpa_t window)
{
    int error = pagetable_create(space, &hostmap_format, largest_page());

    if (error == 0)
        error = map_image(space);
    if (error == 0)
        error = map_window(space, window);
    for (uint32_t i = 0; i < device_count && error == 0; i++)
        error = map_device_into(space, &devices[i]);
    return error;
}

hpa_t hostmap_create(uint32_t cpu)
{
    windows[cpu] = pages_allocate_hidden(window_size() / PAGE_SIZE);
    return windows[cpu] != 0 && create_space(&spaces[cpu], windows[cpu]) == 0 ? spaces[cpu].root : 0;
}

hpa_t hostmap_create_setup(hpa_t pool_base, uint64_t pool_size)
{
    if (create_space(&spaces[HOSTMAP_SETUP], windows[0]) != 0 ||
        hostmap_map_ram(HOSTMAP_SETUP, pool_base, pool_size, true) != 0)
        return 0;
    return spaces[HOSTMAP_SETUP].root;
}

void hostmap_leave_setup(void)
{
    cr3_write(spaces[0].root);
}

const struct pagetable *hostmap_space(uint32_t cpu)
{
    return &spaces[cpu];
}

struct extent hostmap_window(uint32_t cpu)
{
    return (struct extent){windows[cpu], windows[cpu] + window_size()};
}

struct extent hostmap_text(void)
{
    return (struct extent){hostmap_image_address(text_start), hostmap_image_address(text_end)};
}

int hostmap_map_ram(uint32_t cpu, hpa_t base, uint64_t size, bool writable)
{
    hpa_t start = ALIGN_DOWN(base, PAGE_SIZE);

    return pagetable_map(&spaces[cpu], HOSTMAP_RAM_BASE + start, start, ALIGN_UP(base + size, PAGE_SIZE) - start,
                         ACCESS_READ | (writable ? ACCESS_WRITE : 0), MEMORY_WRITE_BACK);
}

volatile void *hostmap_map_device(hpa_t base, uint64_t size)
{
    hpa_t start = ALIGN_DOWN(base, PAGE_SIZE);
    uint64_t length = ALIGN_UP(base + size, PAGE_SIZE) - start;
    struct device_mapping *device = &devices[device_count];

    for (uint32_t i = 0; i < device_count; i++) {
        if (base >= devices[i].base && base + size <= devices[i].base + devices[i].size)
            return (volatile void *)(uintptr_t)(devices[i].address + (base - devices[i].base));
    }
    if (device_count == DEVICES_MAX)
        return NULL;
    *device = (struct device_mapping){start, length, device_next};
    for (uint32_t cpu = 0; cpu < ARRAY_SIZE(spaces); cpu++) {
        if (spaces[cpu].root != 0 && map_device_into(&spaces[cpu], device) != 0)
            return NULL;
    }
    device_count++;
    device_next += length + PAGE_SIZE;
    return (volatile void *)(uintptr_t)(device->address + (base - start));
}

const void *hostmap_map_firmware(hpa_t base, uint64_t size)
{
    hpa_t end = base + size;

    if (size == 0 || end < base || end > BIT(46))
        return NULL;
    for (hpa_t page = ALIGN_DOWN(base, PAGE_SIZE); page < end; page += PAGE_SIZE) {
        int error = hostmap_map_ram(HOSTMAP_SETUP, page, PAGE_SIZE, false);
        if (error != 0 && error != E_BUSY)
            return NULL;
    }
    return machine_pointer(base);
}

hpa_t hostmap_image_address(const void *symbol)
{
    return (uint64_t)(uintptr_t)symbol - HOSTMAP_IMAGE_BASE;
}
