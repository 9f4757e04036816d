/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attacks through addresses: physical memory that is not ours, in every width; page tables that point everywhere.
 */
#include "arch/x86.h"
#include "guests/attacker/attacker.h"
#include "guests/lib/apic.h"
#include "hv/string.h"
#include "hv/virt.h"

#define WINDOW_SLOT    1u /* of the root: linear 512 GiB */
#define WINDOW_LINEAR  ((uint64_t)WINDOW_SLOT << 39)
#define LOW_END        GIB(4)
#define IOAPIC_ADDRESS UINT64_C(0xfec00000)

static uint64_t window_pointers[512] ALIGNED(PAGE_SIZE);
static uint64_t window_directory[512] ALIGNED(PAGE_SIZE);
static uint64_t window_table[512] ALIGNED(PAGE_SIZE);

uint64_t *window_entry(unsigned page)
{
    return &window_table[page];
}

uint64_t window_map(unsigned page, uint64_t physical, uint64_t bits)
{
    uint64_t linear = WINDOW_LINEAR + page * PAGE_SIZE;

    __atomic_store_n(window_entry(page), bits == 0 ? 0 : physical | bits, __ATOMIC_SEQ_CST);
    tlb_flush_page(linear);
    return linear;
}

void attacker_prepare(void)
{
    window_pointers[0] = (uintptr_t)window_directory | PAGE_ALL;
    window_directory[0] = (uintptr_t)window_table | PAGE_ALL;
    page_root[WINDOW_SLOT] = (uintptr_t)window_pointers | PAGE_ALL;
    cr3_write(cr3_read());
}

static unsigned physical_bits(void)
{
    uint32_t eax, ebx, ecx, edx;

    cpuid(0x80000008, 0, &eax, &ebx, &ecx, &edx);
    return eax & 0xff;
}

/* ---- Reads and writes of one address, each instruction another way for the hypervisor ---- */

static uint64_t touch(uint64_t address)
{
    volatile uint8_t *bytes = (volatile uint8_t *)(uintptr_t)address;
    uint64_t value = 0, together = UINT64_MAX;

    together &= bytes[0] | ~UINT64_C(0xff);
    together &= *(volatile uint16_t *)(uintptr_t)address | ~UINT64_C(0xffff);
    together &= *(volatile uint32_t *)(uintptr_t)address | ~UINT64_C(0xffffffff);
    together &= *(volatile uint64_t *)(uintptr_t)address;
    *(volatile uint64_t *)(uintptr_t)address = UINT64_C(0x0123456789abcdef);
    together &= *(volatile uint64_t *)(uintptr_t)address;
    __asm__ volatile("lock xaddq %0, (%1)" : "+r"(value) : "r"(address) : "memory");
    together &= value;
    value = 0;
    __asm__ volatile("xchgl %k0, (%1)" : "+r"(value) : "r"(address) : "memory");
    together &= value | ~UINT64_C(0xffffffff);
    __asm__ volatile("lock btsl $3, (%0)" : : "r"(address) : "memory");
    __asm__ volatile("lock incl (%0)" : : "r"(address) : "memory");
    __asm__ volatile("pushq (%0); popq (%0)" : : "r"(address) : "memory");
    return together;
}

static void attack_physical(uint64_t physical)
{
    uint64_t read = 0;
    int vector =
        attacker_try(touch, window_map(0, ALIGN_DOWN(physical, PAGE_SIZE), PAGE_ALL) + (physical & PAGE_MASK), &read);

    check(vector == NO_FAULT, "physical 0x%llx gives exception %d", (unsigned long long)physical, vector);
    if (vector == NO_FAULT)
        check_equal(read, UINT64_MAX, "physical 0x%llx is not empty", (unsigned long long)physical);
}

/* Below 4 GiB between our RAM and its end, but what a PC has there: the APICs' pages. */
static uint64_t low_memory(void)
{
    uint64_t step = attacker_quick ? MIB(32) : MIB(2), count = 0;

    for (uint64_t physical = ALIGN_UP(memory_end(), MIB(2)); physical < LOW_END; physical += step, count++) {
        if (ALIGN_DOWN(physical, MIB(2)) != ALIGN_DOWN(IOAPIC_ADDRESS, MIB(2)) &&
            ALIGN_DOWN(physical, MIB(2)) != ALIGN_DOWN(APIC_PAGE, MIB(2)))
            attack_physical(physical + (attacker_random() & (MIB(1) - 16)));
    }
    attack_physical(LOW_END - 16);
    attack_physical(0xa0000);
    attack_physical(0xb7ff0);
    return count + 3;
}

/* At each power of two and around, up to the width that the processor tells, and each 4 GiB from there on for a while.
 */
static uint64_t high_memory(void)
{
    unsigned bits = physical_bits();
    uint64_t count = 0;

    for (unsigned bit = 33; bit < bits; bit++, count += 2) {
        attack_physical(BIT(bit));
        attack_physical(BIT(bit) - 16);
    }
    attack_physical((bits < 52 ? BIT(bits) : BIT(52)) - 16);
    for (uint64_t physical = LOW_END * 2; physical < LOW_END * (attacker_quick ? 8 : 64); physical += LOW_END, count++)
        attack_physical(physical);
    /* Beyond the width an entry has reserved bits. */
    for (unsigned bit = bits; bit < 52; bit++, count++) {
        int vector = attacker_try(touch, window_map(0, BIT(bit), PAGE_ALL), NULL);
        check_equal((uint64_t)vector, VECTOR_PF, "address bit %u, beyond the width", bit);
    }
    return count + 1;
}

/* A processor reads and writes its entries whole; the pieces here lie in RAM and outside. */
static uint64_t straddle(uint64_t address)
{
    uint64_t value = 0;

    *(volatile uint64_t *)(uintptr_t)address = UINT64_MAX;
    value = *(volatile uint64_t *)(uintptr_t)address;
    __asm__ volatile("lock xaddq %0, (%1)" : "+r"(value) : "r"(address) : "memory");
    __asm__ volatile("lock cmpxchg8b (%0)" : : "r"(address), "a"(0), "d"(0), "b"(0), "c"(0) : "memory", "cc");
    return value;
}

static uint64_t borders(void)
{
    uint64_t ram = attacker_scratch(),
             places[] = {ram, memory_end() - PAGE_SIZE, APIC_PAGE, IOAPIC_ADDRESS, GIB(5), BIT(35)};
    uint64_t count = 0;

    for (unsigned first = 0; first < ARRAY_SIZE(places); first++) {
        for (unsigned second = 0; second < ARRAY_SIZE(places); second++) {
            uint64_t linear = window_map(1, places[first], PAGE_ALL);
            (void)window_map(2, places[second], PAGE_ALL);
            for (unsigned before = 1; before < 8; before++, count++) {
                int vector = attacker_try(straddle, linear + PAGE_SIZE - before, NULL);
                check(vector == NO_FAULT, "from 0x%llx to 0x%llx: exception %d", (unsigned long long)places[first],
                      (unsigned long long)places[second], vector);
            }
            /* ... into a page that is not there, or cannot be written */
            (void)window_map(2, places[second], 0);
            check_equal((uint64_t)attacker_try(straddle, linear + PAGE_SIZE - 4, NULL), VECTOR_PF, "into no page");
        }
    }
    return count;
}

/* ---- Strings between everything and everything ---- */

static uint64_t string_from, string_to, string_count;

static uint64_t move_string(uint64_t width)
{
    uint64_t from = string_from, to = string_to, count = string_count;

    switch (width) {
    case 1: __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory"); break;
    case 2: __asm__ volatile("rep movsw" : "+S"(from), "+D"(to), "+c"(count) : : "memory"); break;
    case 4: __asm__ volatile("rep movsl" : "+S"(from), "+D"(to), "+c"(count) : : "memory"); break;
    default: __asm__ volatile("rep movsq" : "+S"(from), "+D"(to), "+c"(count) : : "memory"); break;
    }
    from = string_from;
    to = string_to;
    __asm__ volatile("repe cmpsb" : "+S"(from), "+D"(to), "=c"(count) : "2"(string_count) : "memory", "cc");
    to = string_to;
    __asm__ volatile("rep stosb" : "+D"(to), "=c"(count) : "a"(0), "1"(string_count) : "memory");
    to = string_to;
    __asm__ volatile("repne scasb" : "+D"(to), "=c"(count) : "a"(0x55), "1"(string_count) : "memory", "cc");
    return 0;
}

static uint64_t strings(void)
{
    const uint64_t places[] = {attacker_scratch(), GIB(5), IOAPIC_ADDRESS, 0xa0000};
    uint64_t count = 0;

    for (unsigned from = 0; from < ARRAY_SIZE(places); from++) {
        for (unsigned to = 0; to < ARRAY_SIZE(places); to++) {
            for (uint64_t width = 1; width <= 8; width *= 2, count++) {
                string_from = window_map(3, places[from], PAGE_ALL) + PAGE_SIZE - 13;
                (void)window_map(4, places[from], PAGE_ALL);
                string_to = window_map(5, places[to], PAGE_ALL) + PAGE_SIZE - 7;
                (void)window_map(6, places[to], PAGE_ALL);
                string_count = 40;
                check_equal((uint64_t)attacker_try(move_string, width, NULL), (uint64_t)NO_FAULT,
                            "a string from 0x%llx to 0x%llx", (unsigned long long)places[from],
                            (unsigned long long)places[to]);
            }
        }
    }
    return count;
}

/* ---- Page tables: entries at random, behind which anything may be ---- */

static uint64_t read_only(uint64_t address)
{
    return *(volatile uint32_t *)(uintptr_t)address;
}

static uint64_t random_entries(void)
{
    unsigned count = attacker_quick ? 2000 : 20000;

    for (unsigned i = 0; i < count; i++) {
        uint64_t entry = attacker_random();
        /* Half of them with an address that exists, so that more than the reserved bits are looked at. */
        if (i % 2 != 0)
            entry &= BIT(physical_bits()) - 1;
        uint64_t linear = window_map(7, entry, PAGE_PRESENT);
        (void)attacker_try(read_only, linear + (attacker_random() & 0xffc), NULL);
        (void)attacker_try_user(read_only, linear + (attacker_random() & 0xffc));
    }
    (void)window_map(7, 0, 0);
    return count;
}

/* The root in itself: the tables are data, and data that MMIO emulation walks. */
static uint64_t recursive_tables(void)
{
    const uint64_t slot = UINT64_C(0xffff800000000000); /* the linear addresses of the root's entry 256 */
    uint64_t own = slot | UINT64_C(256) << 30 | UINT64_C(256) << 21 | UINT64_C(256) << 12, count = 0;

    page_root[256] = (uintptr_t)page_root | PAGE_ALL;
    cr3_write(cr3_read());
    check_equal(*(volatile uint64_t *)(uintptr_t)(own + 256 * 8) & ~(PAGE_SIZE - 1), (uintptr_t)page_root,
                "the root behind four levels of itself");
    /* An instruction on device memory whose source is the page table that maps it. */
    for (unsigned i = 0; i < 256; i++, count++) {
        string_from = own;
        string_to = window_map(3, GIB(5), PAGE_ALL);
        string_count = 64;
        check_equal((uint64_t)attacker_try(move_string, 8, NULL), (uint64_t)NO_FAULT, "from the root to nowhere");
    }
    page_root[256] = 0;
    cr3_write(cr3_read());
    return count;
}

const struct attack attacks_on_memory[] = {
    {"low-memory", "places below 4 GiB touched", low_memory},
    {"high-memory", "places above 4 GiB touched", high_memory},
    {"borders", "operands across the end of a page", borders},
    {"strings", "strings between RAM, devices and nothing", strings},
    {"page-tables", "random page-table entries", random_entries},
    {"recursive-tables", "strings from tables that map themselves", recursive_tables},
    {NULL, NULL, NULL},
};
