/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest page walks against models written down a second time here: who may do what, which bits are reserved, what a
 * walk marks. Then the edges: tables that end or lie outside, entries that change, fetches that run into something.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hv/error.h"
#include "hv/gwalk.h"
#include "tests/unit/fake_calls.h"
#include "tests/unit/fake_paging.h"

#define TABLES  MIB(2)
#define PAGE_AT UINT64_C(0x400000)
#define LINEAR  UINT64_C(0x5678123)

static struct guest *guest;
static struct vcpu *vcpu;
static uint64_t *registers;

static int setup(void **state)
{
    (void)state;
    guest = fake_guest(MIB(8), 1);
    vcpu = guest->vcpus[0];
    registers = fake_backend(vcpu)->registers;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

static int walk(gva_t address, unsigned access, gpa_t *result, uint32_t *code)
{
    struct gwalk_fault fault = {~address, UINT32_MAX};
    int error = gwalk_translate(vcpu, address, access, result, &fault);

    *code = fault.error_code;
    if (error == E_FAULT)
        assert_int_equal(fault.address, address);
    return error;
}

static void assert_walks(gva_t address, unsigned access, gpa_t expected)
{
    gpa_t result = 0;
    uint32_t code;

    assert_int_equal(walk(address, access, &result, &code), 0);
    assert_int_equal(result, expected);
}

static void assert_faults(gva_t address, unsigned access, uint32_t expected)
{
    gpa_t result;
    uint32_t code;

    assert_int_equal(walk(address, access, &result, &code), E_FAULT);
    assert_int_equal(code, expected);
}

static void without_paging_linear_is_physical(void **state)
{
    (void)state;
    for (enum fake_mode mode = FAKE_REAL; mode <= FAKE_PROTECTED_32; mode++) {
        (void)fake_enter_mode(vcpu, mode, TABLES);
        assert_walks(0x12345, GWALK_WRITE | GWALK_USER, 0x12345);
        assert_walks(UINT64_C(0x100000010), GWALK_FETCH, 0x10);
    }
}

/* ---- Rights: Intel SDM vol. 3, "Determination of Access Rights", once more ---- */

#define CR4_SMEP_BIT (UINT64_C(1) << 20)
#define CR4_SMAP_BIT (UINT64_C(1) << 21)

struct rights_case {
    enum fake_mode mode;
    uint64_t upper, leaf;
    unsigned access;
    bool wp, smep, smap, ac, nxe;
};

/* The error code, or -1 where the access goes through. */
static int model_rights(const struct rights_case *c)
{
    bool wide = c->mode != FAKE_PAGED_2;
    bool user = (c->upper & c->leaf & PTE_U) != 0, writable = (c->upper & c->leaf & PTE_W) != 0;
    bool nx = wide && ((c->upper | c->leaf) & PTE_NX) != 0;
    bool by_user = (c->access & GWALK_USER) != 0, ok;
    int code = ((c->access & GWALK_WRITE) != 0 ? 2 : 0) | (by_user ? 4 : 0);

    if ((c->access & GWALK_FETCH) != 0 && ((wide && c->nxe) || c->smep))
        code |= 16;
    if (nx && !c->nxe)
        return code | 1 | 8;
    if ((c->access & GWALK_FETCH) != 0)
        ok = !nx && (by_user ? user : !(user && c->smep));
    else if (by_user)
        ok = user && (writable || (c->access & GWALK_WRITE) == 0);
    else if (user && c->smap && (!c->ac || (c->access & GWALK_IMPLICIT) != 0))
        ok = false;
    else
        ok = (c->access & GWALK_WRITE) == 0 || writable || !c->wp;
    return ok ? -1 : code | 1;
}

static void check_rights(const struct rights_case *c, struct fake_paging *paging)
{
    uint64_t fixed = registers[VCPU_CR4] & ~(CR4_SMEP_BIT | CR4_SMAP_BIT);
    gpa_t leaf_at = fake_entry(paging, LINEAR, 1), upper_at = fake_entry(paging, LINEAR, 2), result = 0;
    uint64_t upper = (fake_entry_read(paging, upper_at) & UINT64_C(0xfffff000)) | PTE_P | c->upper;
    uint32_t code;

    registers[VCPU_CR0] = c->wp ? UINT64_C(0x80010011) : UINT64_C(0x80000011);
    registers[VCPU_CR4] = fixed | (c->smep ? CR4_SMEP_BIT : 0) | (c->smap ? CR4_SMAP_BIT : 0);
    registers[VCPU_EFER] = (registers[VCPU_EFER] & ~UINT64_C(0x800)) | (c->nxe ? 0x800 : 0);
    registers[VCPU_RFLAGS] = c->ac ? 0x40202 : 0x202;
    fake_entry_write(paging, upper_at, upper);
    fake_entry_write(paging, leaf_at, PAGE_AT | PTE_P | c->leaf);
    int expected = model_rights(c), error = walk(LINEAR, c->access, &result, &code);
    uint64_t marked = fake_entry_read(paging, leaf_at) & (PTE_A | PTE_D);
    if (expected < 0) {
        assert_int_equal(error, 0);
        assert_int_equal(result, PAGE_AT | (LINEAR & PAGE_MASK));
        assert_int_equal(marked, (c->access & GWALK_WRITE) != 0 ? PTE_A | PTE_D : PTE_A);
    } else {
        assert_int_equal(error, E_FAULT);
        assert_int_equal(code, expected);
        assert_int_equal(marked, 0);
    }
}

static void rights_are_as_the_manual_says(void **state)
{
    static const unsigned accesses[] = {0, GWALK_WRITE, GWALK_FETCH, GWALK_IMPLICIT, GWALK_IMPLICIT | GWALK_WRITE};

    (void)state;
    for (enum fake_mode mode = FAKE_PAGED_2; mode <= FAKE_LONG_5; mode++) {
        struct fake_paging paging = fake_enter_mode(vcpu, mode, TABLES + MIB(1) * (mode - FAKE_PAGED_2) / 2);
        bool wide = mode != FAKE_PAGED_2;
        for (unsigned bits = 0; bits < 2048; bits++) {
            struct rights_case c = {
                .mode = mode,
                .upper = (bits & 1 ? PTE_U : 0) | (bits & 2 ? PTE_W : 0) | (wide && bits & 4 ? PTE_NX : 0),
                .leaf = (bits & 8 ? PTE_U : 0) | (bits & 16 ? PTE_W : 0) | (wide && bits & 32 ? PTE_NX : 0),
                .wp = bits & 64,
                .smep = bits & 128,
                .smap = bits & 256,
                .ac = bits & 512,
                .nxe = bits & 1024,
            };
            for (unsigned i = 0; i < ARRAY_SIZE(accesses); i++) {
                c.access = accesses[i];
                check_rights(&c, &paging);
                if (i < 3) {
                    c.access |= GWALK_USER;
                    check_rights(&c, &paging);
                }
            }
        }
    }
}

static void every_level_counts(void **state)
{
    (void)state;
    for (enum fake_mode mode = FAKE_PAGED_2; mode <= FAKE_LONG_5; mode++) {
        struct fake_paging paging = fake_enter_mode(vcpu, mode, TABLES);
        memset(gmem_pointer(guest, TABLES, MIB(1)), 0, MIB(1));
        fake_map(&paging, LINEAR, PAGE_AT, PTE_ALL);
        for (unsigned level = 1; level <= paging.levels; level++) {
            gpa_t at = fake_entry(&paging, LINEAR, level);
            uint64_t entry = fake_entry_read(&paging, at);
            bool pae_pointer = mode == FAKE_PAGED_PAE && level == 3;
            fake_entry_write(&paging, at, entry & ~PTE_P);
            assert_faults(LINEAR, GWALK_USER | GWALK_WRITE, 6);
            if (!pae_pointer) {
                fake_entry_write(&paging, at, entry & ~PTE_U);
                assert_faults(LINEAR, GWALK_USER, 5);
                fake_entry_write(&paging, at, entry & ~PTE_W);
                assert_faults(LINEAR, GWALK_USER | GWALK_WRITE, 7);
            }
            fake_entry_write(&paging, at, entry);
        }
        assert_walks(LINEAR, GWALK_USER, PAGE_AT | 0x123);
    }
}

/* ---- Marks ---- */

static void marks_accessed_and_dirty(void **state)
{
    (void)state;
    for (enum fake_mode mode = FAKE_PAGED_2; mode <= FAKE_LONG_5; mode++) {
        struct fake_paging paging = fake_enter_mode(vcpu, mode, TABLES);
        memset(gmem_pointer(guest, TABLES, MIB(1)), 0, MIB(1));
        fake_map(&paging, LINEAR, PAGE_AT, PTE_ALL);
        for (unsigned pass = 0; pass < 2; pass++) {
            assert_walks(LINEAR, pass == 0 ? 0 : GWALK_WRITE, PAGE_AT | 0x123);
            for (unsigned level = 1; level <= paging.levels; level++) {
                uint64_t entry = fake_entry_read(&paging, fake_entry(&paging, LINEAR, level));
                bool pae_pointer = mode == FAKE_PAGED_PAE && level == 3;
                assert_int_equal(entry & PTE_A, pae_pointer ? 0 : PTE_A);
                assert_int_equal(entry & PTE_D, level == 1 && pass == 1 ? PTE_D : 0);
            }
        }
    }
}

/* ---- Large pages ---- */

static void large_pages(void **state)
{
    struct fake_paging paging;

    (void)state;
    paging = fake_enter_mode(vcpu, FAKE_PAGED_2, TABLES);
    fake_entry_write(&paging, fake_entry(&paging, LINEAR, 2), 0x400000 | PTE_ALL | PTE_PS | 0x1000 /* PAT */);
    assert_walks(LINEAR, GWALK_WRITE, 0x400000 | (LINEAR & 0x3fffff));
    assert_int_equal(fake_entry_read(&paging, fake_entry(&paging, LINEAR, 2)) & (PTE_A | PTE_D), PTE_A | PTE_D);
    /* Without CR4.PSE the bit means nothing: this is a page table. */
    registers[VCPU_CR4] &= ~UINT64_C(0x10);
    assert_faults(LINEAR, 0, 0);

    paging = fake_enter_mode(vcpu, FAKE_PAGED_PAE, TABLES + 0x10000);
    fake_entry_write(&paging, fake_entry(&paging, LINEAR, 2), 0x400000 | PTE_ALL | PTE_PS | 0x1000);
    assert_walks(LINEAR, 0, 0x400000 | (LINEAR & 0x1fffff));

    paging = fake_enter_mode(vcpu, FAKE_LONG_4, TABLES + 0x20000);
    fake_entry_write(&paging, fake_entry(&paging, LINEAR, 2), 0x400000 | PTE_ALL | PTE_PS | 0x1000);
    assert_walks(LINEAR, 0, 0x400000 | (LINEAR & 0x1fffff));
    fake_entry_write(&paging, fake_entry(&paging, LINEAR, 3), GIB(2) | PTE_ALL | PTE_PS | 0x1000);
    assert_walks(LINEAR, 0, GIB(2) | (LINEAR & 0x3fffffff));
}

static void pse_36_reaches_beyond_4_gib(void **state)
{
    (void)state;
    struct fake_paging paging = fake_enter_mode(vcpu, FAKE_PAGED_2, TABLES);
    gpa_t at = fake_entry(&paging, LINEAR, 2);

    fake_entry_write(&paging, at, 0x00c00000 | PTE_ALL | PTE_PS | 0xa5 << 13);
    assert_walks(LINEAR, 0, UINT64_C(0xa500c00000) | (LINEAR & 0x3fffff));
    /* A processor with 36 address bits has four of the eight. */
    guest->physical_bits = 36;
    assert_faults(LINEAR, 0, 9);
    fake_entry_write(&paging, at, 0x00c00000 | PTE_ALL | PTE_PS | 0x5 << 13);
    assert_walks(LINEAR, 0, UINT64_C(0x500c00000) | (LINEAR & 0x3fffff));
}

/* ---- Reserved bits, one at a time: Intel SDM vol. 3, the tables of formats in "Paging" ---- */

static bool model_reserved(enum fake_mode mode, unsigned level, bool large, unsigned bit, bool nxe)
{
    unsigned width = guest->physical_bits;

    if (mode == FAKE_PAGED_2)
        return large && bit >= 13 + width - 32 && bit <= 21;
    if (mode == FAKE_PAGED_PAE && level == 3)
        return bit == 1 || bit == 2 || (bit >= 6 && bit <= 8) || bit >= width; /* 5: see hv/gwalk.c */
    if (bit == 63)
        return !nxe;
    if (bit >= 52)
        return mode == FAKE_PAGED_PAE;
    if (bit >= width)
        return true;
    if (large)
        return bit >= 13 && bit < 12 + 9 * (level - 1);
    return bit == 7 && level >= 4;
}

static void check_reserved(enum fake_mode mode, struct fake_paging *paging, unsigned level, bool large, bool nxe)
{
    gpa_t at = fake_entry(paging, LINEAR, level);
    uint64_t entry = fake_entry_read(paging, at);
    uint64_t plain = large ? PTE_ALL | PTE_PS : entry;

    registers[VCPU_EFER] = (registers[VCPU_EFER] & ~UINT64_C(0x800)) | (nxe ? 0x800 : 0);
    for (unsigned bit = 1; bit < paging->entry_bytes * 8; bit++) {
        gpa_t result;
        uint32_t code = 0;
        /* Bit 7 of a table's entry makes another kind of entry of it, which is looked at as such. */
        bool other_kind = bit == 7 && (level == 2 || (level == 3 && mode >= FAKE_LONG_4));
        if ((plain >> bit & 1) != 0 || other_kind)
            continue;
        fake_entry_write(paging, at, plain | UINT64_C(1) << bit);
        int error = walk(LINEAR, GWALK_USER, &result, &code);
        bool reserved = error == E_FAULT && (code & 8) != 0;
        bool expected = model_reserved(mode, level, large, bit, nxe);
        if (reserved != expected)
            print_error("mode %d level %u large %d bit %u\n", mode, level, large, bit);
        assert_int_equal(reserved, expected);
    }
    fake_entry_write(paging, at, entry);
}

static void reserved_bits_fault(void **state)
{
    static const uint8_t widths[] = {36, 40, 46, 52};

    (void)state;
    for (unsigned w = 0; w < ARRAY_SIZE(widths); w++) {
        for (enum fake_mode mode = FAKE_PAGED_2; mode <= FAKE_LONG_5; mode++) {
            struct fake_paging paging = fake_enter_mode(vcpu, mode, TABLES);
            guest->physical_bits = mode == FAKE_PAGED_2 && widths[w] > 40 ? 40 : widths[w];
            memset(gmem_pointer(guest, TABLES, MIB(1)), 0, MIB(1));
            fake_map(&paging, LINEAR, PAGE_AT, PTE_ALL);
            for (unsigned level = 1; level <= paging.levels; level++) {
                for (unsigned nxe = 0; nxe < 2; nxe++) {
                    check_reserved(mode, &paging, level, false, nxe);
                    if (level == 2 || (level == 3 && mode >= FAKE_LONG_4))
                        check_reserved(mode, &paging, level, true, nxe);
                }
            }
        }
    }
}

/* A page directory cannot hold 1 GiB pages in PAE paging, nor may a PML4 entry be large. */
static void reserved_code_says_present(void **state)
{
    (void)state;
    struct fake_paging paging = fake_enter_mode(vcpu, FAKE_LONG_4, TABLES);
    fake_map(&paging, LINEAR, PAGE_AT, PTE_ALL);
    gpa_t at = fake_entry(&paging, LINEAR, 4);
    fake_entry_write(&paging, at, fake_entry_read(&paging, at) | PTE_PS);
    assert_faults(LINEAR, GWALK_USER | GWALK_WRITE, 15);
    assert_faults(LINEAR, GWALK_FETCH, 0x19);
    fake_entry_write(&paging, at, PTE_ALL | PTE_PS);
    assert_faults(LINEAR, 0, 9);
    paging = fake_enter_mode(vcpu, FAKE_LONG_5, TABLES + MIB(1));
    fake_entry_write(&paging, fake_entry(&paging, LINEAR, 5), PTE_ALL | PTE_PS);
    assert_faults(LINEAR, 0, 9);
}

/* ---- Tables in odd places ---- */

static void tables_outside_of_ram(void **state)
{
    gpa_t result;
    uint32_t code;

    (void)state;
    for (enum fake_mode mode = FAKE_PAGED_2; mode <= FAKE_LONG_5; mode++) {
        struct fake_paging paging = fake_enter_mode(vcpu, mode, TABLES);
        memset(gmem_pointer(guest, TABLES, MIB(1)), 0, MIB(1));
        fake_map(&paging, LINEAR, PAGE_AT, PTE_ALL);
        for (unsigned level = 2; level <= paging.levels; level++) {
            gpa_t at = fake_entry(&paging, LINEAR, level);
            uint64_t entry = fake_entry_read(&paging, at);
            static const gpa_t bad[] = {MIB(8), 0xa0000, 0xfee00000};
            for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
                fake_entry_write(&paging, at, bad[i] | (entry & PAGE_MASK));
                assert_int_equal(walk(LINEAR, 0, &result, &code), E_NOENT);
            }
            fake_entry_write(&paging, at, entry);
        }
        registers[VCPU_CR3] = MIB(8);
        assert_int_equal(walk(LINEAR, 0, &result, &code), E_NOENT);
    }
}

static void tables_in_the_last_page_and_above_4_gib(void **state)
{
    (void)state;
    /* Part of the RAM moves above 4 GiB. */
    guest->ram[2] = (struct guest_ram){GIB(4), guest->ram[1].host + guest->ram[1].size - MIB(1), MIB(1)};
    guest->ram[1].size -= MIB(1);
    guest->ram_count = 3;
    struct fake_paging paging = fake_enter_mode(vcpu, FAKE_LONG_4, MIB(7) - PAGE_SIZE);
    paging.next = GIB(4) + MIB(1) - 3 * PAGE_SIZE; /* the last ends where RAM ends */
    fake_map(&paging, UINT64_MAX & ~UINT64_C(0xfff), PAGE_AT, PTE_ALL);
    assert_int_equal(paging.next, GIB(4) + MIB(1));
    assert_walks(UINT64_MAX, GWALK_WRITE, PAGE_AT | 0xfff);
    fake_map(&paging, UINT64_MAX & ~UINT64_C(0xfff), GIB(4) + 0x1000, PTE_ALL);
    memcpy(gmem_pointer(guest, GIB(4) + 0x1ff0, 16), "0123456789abcdef", 16);
    uint8_t bytes[15];
    unsigned count;
    struct gwalk_fault fault;
    registers[VCPU_RIP] = UINT64_MAX - 15;
    assert_int_equal(gwalk_fetch(vcpu, bytes, 15, &count, &fault), 0);
    assert_int_equal(count, 15);
    assert_memory_equal(bytes, "0123456789abcde", 15);
    /* The address space ends there. */
    registers[VCPU_RIP] = UINT64_MAX - 3;
    assert_int_equal(gwalk_fetch(vcpu, bytes, 15, &count, &fault), 0);
    assert_int_equal(count, 4);
    assert_memory_equal(bytes, "cdef", 4);
}

static void root_registers_have_other_bits(void **state)
{
    (void)state;
    struct fake_paging paging = fake_enter_mode(vcpu, FAKE_LONG_4, TABLES);
    fake_map(&paging, LINEAR, PAGE_AT, PTE_ALL);
    registers[VCPU_CR3] = TABLES | 0xfff; /* a PCID */
    assert_walks(LINEAR, 0, PAGE_AT | 0x123);
    /* PAE: the pointer table may begin at any 32 bytes. */
    paging = fake_enter_mode(vcpu, FAKE_PAGED_PAE, TABLES + 0x20fe0);
    paging.next = TABLES + 0x30000;
    fake_map(&paging, LINEAR, PAGE_AT, PTE_ALL);
    assert_walks(LINEAR, 0, PAGE_AT | 0x123);
    /* Outside of 64-bit mode, 32 bits of an address count. */
    assert_int_equal(gwalk_translate(vcpu, GIB(4) + LINEAR, 0, &(gpa_t){0}, &(struct gwalk_fault){0, 0}), 0);
}

/* ---- Entries that change under our hands ---- */

static struct {
    void *entry;
    unsigned looks;   /* how often it was looked at */
    unsigned changes; /* how many of the looks that mark it find it changed */
    uint64_t flip;
} race;

/* Entries are looked at twice: to read, to mark. */
static void change_entry(void *pointer)
{
    if (pointer != race.entry || ++race.looks % 2 != 0 || race.changes == 0)
        return;
    race.changes--;
    *(uint64_t *)pointer ^= race.flip;
}

static void changed_entries_are_read_again(void **state)
{
    gpa_t result;
    uint32_t code;

    (void)state;
    for (unsigned level = 1; level <= 4; level++) {
        struct fake_paging paging = fake_enter_mode(vcpu, FAKE_LONG_4, TABLES);
        memset(gmem_pointer(guest, TABLES, MIB(1)), 0, MIB(1));
        fake_map(&paging, LINEAR, PAGE_AT, PTE_ALL);
        void *entry = gmem_pointer(guest, fake_entry(&paging, LINEAR, level), 8);
        uint64_t before = *(uint64_t *)entry;
        fake_machine.on_pointer = change_entry;

        race.entry = entry, race.looks = 0, race.changes = 1, race.flip = 0x200; /* a bit for software */
        assert_walks(LINEAR, GWALK_WRITE, PAGE_AT | 0x123);
        assert_int_equal(*(uint64_t *)entry & 0x200, 0x200);
        assert_int_equal(*(uint64_t *)entry & PTE_A, PTE_A);

        /* It goes: nothing may be marked in it. */
        *(uint64_t *)entry = before;
        race.looks = 0, race.changes = 1, race.flip = PTE_P;
        assert_faults(LINEAR, GWALK_WRITE, 2);
        assert_int_equal(*(uint64_t *)entry, before & ~PTE_P);

        /* Its page becomes read-only: the write must not go through. */
        *(uint64_t *)entry = before;
        race.looks = 0, race.changes = 1, race.flip = PTE_W;
        assert_faults(LINEAR, GWALK_WRITE, 3);

        *(uint64_t *)entry = before;
        race.looks = 0, race.changes = UINT32_MAX, race.flip = 0x200;
        assert_int_equal(walk(LINEAR, GWALK_WRITE, &result, &code), E_BUSY);
        assert_true(race.looks < 100);
        fake_machine.on_pointer = NULL;
    }
}

static void narrow_entries_are_marked_alone(void **state)
{
    (void)state;
    struct fake_paging paging = fake_enter_mode(vcpu, FAKE_PAGED_2, TABLES);
    fake_map(&paging, LINEAR, PAGE_AT, PTE_ALL);
    gpa_t at = fake_entry(&paging, LINEAR, 1);
    fake_entry_write(&paging, at + 4, 0xfffffffe);
    assert_walks(LINEAR, GWALK_WRITE, PAGE_AT | 0x123);
    assert_int_equal(fake_entry_read(&paging, at), PAGE_AT | PTE_ALL | PTE_A | PTE_D);
    assert_int_equal(fake_entry_read(&paging, at + 4), 0xfffffffe);
}

/* ---- Fetching ---- */

static uint8_t fetched[16];
static unsigned count;
static struct gwalk_fault fault;

static int fetch(uint64_t rip)
{
    registers[VCPU_RIP] = rip;
    memset(fetched, 0xee, sizeof(fetched));
    count = 99;
    int error = gwalk_fetch(vcpu, fetched, 15, &count, &fault);
    assert_int_equal(fetched[15], 0xee);
    return error;
}

static void number_page(gpa_t page, uint8_t seed)
{
    uint8_t *bytes = gmem_pointer(guest, page, PAGE_SIZE);

    for (unsigned i = 0; i < PAGE_SIZE; i++)
        bytes[i] = (uint8_t)(i * 7 + (i >> 8) + seed);
}

static void fetch_across_a_page_end(void **state)
{
    (void)state;
    number_page(PAGE_AT, 1);
    number_page(PAGE_AT + 0x5000, 2);
    for (enum fake_mode mode = FAKE_PAGED_2; mode <= FAKE_COMPATIBILITY; mode++) {
        struct fake_paging paging = fake_enter_mode(vcpu, mode, TABLES);
        memset(gmem_pointer(guest, TABLES, MIB(1)), 0, MIB(1));
        fake_map(&paging, 0x7000000, PAGE_AT, PTE_ALL);
        fake_map(&paging, 0x7001000, PAGE_AT + 0x5000, PTE_ALL);
        const uint8_t *first = gmem_pointer(guest, PAGE_AT, PAGE_SIZE);
        const uint8_t *second = gmem_pointer(guest, PAGE_AT + 0x5000, PAGE_SIZE);
        for (unsigned offset = PAGE_SIZE - 17; offset < PAGE_SIZE; offset++) {
            unsigned part = (unsigned)min_u64(15, PAGE_SIZE - offset);
            assert_int_equal(fetch(0x7000000 + offset), 0);
            assert_int_equal(count, 15);
            assert_memory_equal(fetched, first + offset, part);
            assert_memory_equal(fetched + part, second, 15 - part);
        }
        fake_map(&paging, 0x7001000, 0, 0);
        assert_int_equal(fetch(0x7000ffa), 0);
        assert_int_equal(count, 6);
        assert_int_equal(fetch(0x7001000), E_FAULT);
        assert_int_equal(count, 0);
        assert_int_equal(fault.address, 0x7001000);
        assert_int_equal(fault.error_code, mode == FAKE_PAGED_2 ? 0 : 16);
        fake_map(&paging, 0x7001000, 0xfee00000, PTE_ALL); /* not RAM */
        assert_int_equal(fetch(0x7001000), E_NOENT);
        assert_int_equal(fetch(0x7000ffa), 0);
        assert_int_equal(count, 6);
    }
}

static void fetch_ends_at_the_segment_limit(void **state)
{
    (void)state;
    (void)fake_enter_mode(vcpu, FAKE_PROTECTED_32, TABLES);
    fake_segment(vcpu, SEGMENT_CS, 0x300000, 0x1233, 0x409b);
    assert_int_equal(fetch(0x1234 - 15), 0);
    assert_int_equal(count, 15);
    assert_int_equal(fetch(0x1230), 0);
    assert_int_equal(count, 4);
    assert_int_equal(fetch(0x1233), 0);
    assert_int_equal(count, 1);
    assert_int_equal(fetch(0x1234), E_RANGE);
    assert_int_equal(count, 0);
}

static void fetch_wraps_at_4_gib(void **state)
{
    (void)state;
    (void)fake_enter_mode(vcpu, FAKE_REAL, TABLES);
    number_page(0, 3);
    /* No RAM below 4 GiB: what the reset vector of a machine without firmware finds. */
    fake_segment(vcpu, SEGMENT_CS, 0xffff0000, 0xffff, 0x9b);
    assert_int_equal(fetch(0xfff0), E_NOENT);
    /* FFFF:0010 is address 0x100000, but base + offset ends at 32 bits. */
    fake_segment(vcpu, SEGMENT_CS, 0xffffff00, 0xffff, 0x9b);
    assert_int_equal(fetch(0x100), 0);
    assert_int_equal(count, 15);
    assert_memory_equal(fetched, gmem_pointer(guest, 0, 15), 15);

    struct fake_paging paging = fake_enter_mode(vcpu, FAKE_COMPATIBILITY, TABLES);
    number_page(PAGE_AT, 4);
    fake_map(&paging, 0xfffff000, PAGE_AT, PTE_ALL);
    fake_map(&paging, 0, PAGE_AT + 0x1000, PTE_ALL);
    fake_map(&paging, GIB(4), PAGE_AT + 0x2000, PTE_ALL); /* not to be reached by 32-bit code */
    number_page(PAGE_AT + 0x1000, 5);
    fake_segment(vcpu, SEGMENT_CS, 0x1000, UINT32_MAX, 0xc09b);
    assert_int_equal(fetch(0xffffeff8), 0);
    assert_int_equal(count, 15);
    assert_memory_equal(fetched, gmem_pointer(guest, PAGE_AT + 0xff8, 8), 8);
    assert_memory_equal(fetched + 8, gmem_pointer(guest, PAGE_AT + 0x1000, 7), 7);
}

static void fetch_ends_where_addresses_are_canonical(void **state)
{
    (void)state;
    struct fake_paging paging = fake_enter_mode(vcpu, FAKE_LONG_4, TABLES);
    fake_map(&paging, UINT64_C(0x7ffffffff000), PAGE_AT, PTE_ALL);
    fake_map(&paging, UINT64_C(0xffff800000000000), PAGE_AT + 0x1000, PTE_ALL);
    assert_int_equal(fetch(UINT64_C(0x7ffffffffffd)), 0);
    assert_int_equal(count, 3);
    assert_int_equal(fetch(UINT64_C(0x800000000000)), E_RANGE);
    assert_int_equal(fetch(UINT64_C(0xffff7fffffffffff)), E_RANGE);
    assert_int_equal(fetch(UINT64_C(0xffff800000000000)), 0);
    assert_int_equal(count, 15);
    paging = fake_enter_mode(vcpu, FAKE_LONG_5, TABLES + MIB(1));
    fake_map(&paging, UINT64_C(0x7ffffffff000), PAGE_AT, PTE_ALL);
    fake_map(&paging, UINT64_C(0x800000000000), PAGE_AT + 0x1000, PTE_ALL);
    assert_int_equal(fetch(UINT64_C(0x7ffffffffffd)), 0);
    assert_int_equal(count, 15);
    assert_int_equal(fetch(UINT64_C(0x100000000000000)), E_RANGE);
}

/* The base and limit of CS mean nothing in 64-bit mode. */
static void fetch_in_64_bit_mode_ignores_the_segment(void **state)
{
    (void)state;
    struct fake_paging paging = fake_enter_mode(vcpu, FAKE_LONG_4, TABLES);
    fake_map(&paging, 0x7000000, PAGE_AT, PTE_ALL);
    number_page(PAGE_AT, 6);
    fake_segment(vcpu, SEGMENT_CS, 0x123456, 0, 0xa09b);
    assert_int_equal(fetch(0x7000010), 0);
    assert_memory_equal(fetched, gmem_pointer(guest, PAGE_AT + 0x10, 15), 15);
}

/*
 * The quick fetch must agree with the walk in full in everything: entries with random bits, each address once by
 * gwalk_translate and once by gwalk_fetch.
 */
static void quick_fetch_agrees_with_the_walk(void **state)
{
    static const uint64_t bits[] = {PTE_P,  PTE_W,  PTE_U,    PTE_A,   PTE_D,   PTE_PS, PTE_NX,
                                    0x1000, 0x2000, 0x200000, BIT(39), BIT(51), BIT(52)};
    unsigned successes = 0, faults = 0;

    (void)state;
    srand(1);
    for (unsigned round = 0; round < 20000; round++) {
        enum fake_mode mode = rand() % 4 == 0 ? FAKE_LONG_5 : FAKE_LONG_4;
        gva_t address = (rand() % 2 == 0 ? 0 : UINT64_C(0xffffff8000000000)) + LINEAR;
        struct fake_paging paging = fake_enter_mode(vcpu, mode, TABLES);
        memset(gmem_pointer(guest, TABLES, 16 * PAGE_SIZE), 0, 16 * PAGE_SIZE);
        fake_map(&paging, address, PAGE_AT, PTE_ALL);
        for (unsigned level = 1; level <= paging.levels; level++) {
            gpa_t at = fake_entry(&paging, address, level);
            if (rand() % 3 != 0)
                fake_entry_write(&paging, at, fake_entry_read(&paging, at) | PTE_A);
        }
        if (rand() % 2 == 0) {
            gpa_t at = fake_entry(&paging, address, 1 + (unsigned)rand() % paging.levels);
            fake_entry_write(&paging, at, fake_entry_read(&paging, at) ^ bits[(unsigned)rand() % ARRAY_SIZE(bits)]);
        }
        registers[VCPU_CR4] |= rand() % 2 == 0 ? CR4_SMEP_BIT | CR4_SMAP_BIT : 0;
        registers[VCPU_EFER] ^= rand() % 4 == 0 ? 0x800 : 0;
        bool user = rand() % 2 == 0;
        fake_backend(vcpu)->segments[SEGMENT_SS].attributes = user ? 0xc0f3 : 0xc093;

        uint8_t tables[16 * PAGE_SIZE];
        memcpy(tables, gmem_pointer(guest, TABLES, sizeof(tables)), sizeof(tables));
        int quick = fetch(address);
        struct gwalk_fault quick_fault = fault;
        uint8_t marked[16 * PAGE_SIZE];
        memcpy(marked, gmem_pointer(guest, TABLES, sizeof(marked)), sizeof(marked));
        memcpy(gmem_pointer(guest, TABLES, sizeof(tables)), tables, sizeof(tables));
        gpa_t physical = 0;
        int full = gwalk_translate(vcpu, address, GWALK_FETCH | (user ? GWALK_USER : 0), &physical, &fault);
        const void *code = full == 0 ? gmem_pointer(guest, physical, 15) : NULL;
        if (full == 0 && code == NULL)
            full = E_NOENT;
        assert_int_equal(quick, full);
        assert_memory_equal(marked, gmem_pointer(guest, TABLES, sizeof(marked)), sizeof(marked));
        if (full == 0) {
            assert_memory_equal(fetched, code, 15);
            successes++;
        } else if (full == E_FAULT) {
            assert_int_equal(quick_fault.error_code, fault.error_code);
            assert_int_equal(quick_fault.address, fault.address);
            faults++;
        }
    }
    assert_true(successes > 2000 && faults > 2000);
}

#define WITH_GUEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_GUEST(without_paging_linear_is_physical),
        WITH_GUEST(rights_are_as_the_manual_says),
        WITH_GUEST(every_level_counts),
        WITH_GUEST(marks_accessed_and_dirty),
        WITH_GUEST(large_pages),
        WITH_GUEST(pse_36_reaches_beyond_4_gib),
        WITH_GUEST(reserved_bits_fault),
        WITH_GUEST(reserved_code_says_present),
        WITH_GUEST(tables_outside_of_ram),
        WITH_GUEST(tables_in_the_last_page_and_above_4_gib),
        WITH_GUEST(root_registers_have_other_bits),
        WITH_GUEST(changed_entries_are_read_again),
        WITH_GUEST(narrow_entries_are_marked_alone),
        WITH_GUEST(fetch_across_a_page_end),
        WITH_GUEST(fetch_ends_at_the_segment_limit),
        WITH_GUEST(fetch_wraps_at_4_gib),
        WITH_GUEST(fetch_ends_where_addresses_are_canonical),
        WITH_GUEST(fetch_in_64_bit_mode_ignores_the_segment),
        WITH_GUEST(quick_fetch_agrees_with_the_walk),
    };

    return cmocka_run_group_tests_name("gwalk", tests, NULL, NULL);
}
