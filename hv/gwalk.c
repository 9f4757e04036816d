/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's own page tables, walked in software. Intel SDM vol. 3, "Paging"; AMD APM vol. 2, "Page Translation and
 * Protection". The tables lie in guest RAM and may change under our hands: each entry is read once, and its A and D
 * bits are set by compare and exchange, as the processor does. Protection keys need no look: guests are not offered
 * them (hv/cpuid.c).
 */
#include "hv/gwalk.h"

#include "hv/error.h"
#include "hv/gmem.h"
#include "hv/guest.h"
#include "hv/string.h"
#include "hv/vcpu.h"

#define CR0_WP BIT(16)
#define CR0_PG BIT(31)

#define CR4_PSE  BIT(4)
#define CR4_PAE  BIT(5)
#define CR4_LA57 BIT(12)
#define CR4_SMEP BIT(20)
#define CR4_SMAP BIT(21)

#define EFER_LMA BIT(10)
#define EFER_NXE BIT(11)

#define RFLAGS_AC BIT(18)

#define ENTRY_PRESENT  BIT(0)
#define ENTRY_WRITE    BIT(1)
#define ENTRY_USER     BIT(2)
#define ENTRY_ACCESSED BIT(5)
#define ENTRY_DIRTY    BIT(6)
#define ENTRY_LARGE    BIT(7)
#define ENTRY_NX       BIT(63)
#define ENTRY_ADDRESS  UINT64_C(0x000ffffffffff000)

/* Intel SDM vol. 3, "Page-Fault Exceptions", error code. */
#define FAULT_PRESENT  BIT(0)
#define FAULT_WRITE    BIT(1)
#define FAULT_USER     BIT(2)
#define FAULT_RESERVED BIT(3)
#define FAULT_FETCH    BIT(4)

/*
 * "PAE Paging": bits of a PDPTE that must be clear whatever the width of an address, and bits 62-52 of the entries
 * below. Bit 5 of a PDPTE is reserved too, but QEMU's TCG marks the entry accessed there.
 */
#define PAE_POINTER_RESERVED UINT64_C(0xfff00000000001c6)
#define PAE_ENTRY_RESERVED   UINT64_C(0x7ff0000000000000)
/* Address bits of a 4 MiB page beyond 32, in bits 13-20 of its entry: as far as physical addresses reach ("PSE-36"). */
#define PSE_ADDRESS_BITS_MAX 40u

struct walk {
    struct vcpu *vcpu;
    uint64_t cr0, cr4, efer;
    gva_t address;
    unsigned access;
    struct gwalk_fault *fault;
    bool wide; /* 8-byte entries */
    bool long_mode;
    uint64_t rights; /* ENTRY_WRITE and ENTRY_USER of all levels together */
    bool no_execute; /* of any level */
};

static int walk_fault(const struct walk *walk, uint64_t why)
{
    uint64_t code = why;

    if ((walk->access & GWALK_WRITE) != 0)
        code |= FAULT_WRITE;
    if ((walk->access & GWALK_USER) != 0)
        code |= FAULT_USER;
    if ((walk->access & GWALK_FETCH) != 0 &&
        ((walk->wide && (walk->efer & EFER_NXE) != 0) || (walk->cr4 & CR4_SMEP) != 0))
        code |= FAULT_FETCH;
    walk->fault->address = walk->address;
    walk->fault->error_code = (uint32_t)code;
    return E_FAULT;
}

/* One entry of a table. A pointer into guest RAM stays valid for good, its contents do not. */
static int read_entry(const struct walk *walk, gpa_t at, uint64_t *entry)
{
    const void *pointer = gmem_pointer(walk->vcpu->guest, at, walk->wide ? 8 : 4);

    if (pointer == NULL)
        return E_NOENT;
    *entry = walk->wide ? __atomic_load_n((const uint64_t *)pointer, __ATOMIC_RELAXED)
                        : __atomic_load_n((const uint32_t *)pointer, __ATOMIC_RELAXED);
    return 0;
}

/* Returns false when the entry has changed since it was read: walk again. */
static bool set_bits(const struct walk *walk, gpa_t at, uint64_t entry, uint64_t bits)
{
    if ((entry & bits) == bits)
        return true;
    void *pointer = gmem_pointer(walk->vcpu->guest, at, walk->wide ? 8 : 4);
    if (pointer == NULL)
        return false;
    if (walk->wide) {
        return __atomic_compare_exchange_n((uint64_t *)pointer, &entry, entry | bits, false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_RELAXED);
    }
    uint32_t expected = (uint32_t)entry;
    return __atomic_compare_exchange_n((uint32_t *)pointer, &expected, (uint32_t)(entry | bits), false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* Bits that must be clear in an entry. `level` counts from 1, the page table. */
static bool reserved_bits_set(const struct walk *walk, uint64_t entry, unsigned level, bool leaf)
{
    unsigned width = walk->vcpu->guest->physical_bits;

    if (!walk->wide) {
        /* Bits 21 down to the first that no address has: "32-Bit Paging", format of a 4-MByte page. */
        unsigned first = (unsigned)min_u64(width, PSE_ADDRESS_BITS_MAX) - 32 + 13;
        return leaf && level == 2 && (entry & (BIT(22) - BIT(first))) != 0;
    }
    if ((entry & ENTRY_ADDRESS) >> width != 0)
        return true;
    if (!walk->long_mode) {
        if (level == 3)
            return (entry & PAE_POINTER_RESERVED) != 0;
        if ((entry & PAE_ENTRY_RESERVED) != 0)
            return true;
    }
    if ((entry & ENTRY_NX) != 0 && (walk->efer & EFER_NXE) == 0)
        return true;
    /* A large page is aligned to its size; bit 12 is its PAT bit. */
    if (leaf && level > 1)
        return (entry & (BIT(12 + 9 * (level - 1)) - 1) & ~(BIT(13) - 1)) != 0;
    return level >= 4 && (entry & ENTRY_LARGE) != 0;
}

/* Intel SDM vol. 3, "Determination of Access Rights". */
static bool access_allowed(const struct walk *walk)
{
    bool user_page = (walk->rights & ENTRY_USER) != 0;

    if ((walk->access & GWALK_FETCH) != 0 && walk->no_execute)
        return false;
    if ((walk->access & GWALK_USER) != 0)
        return user_page && ((walk->access & GWALK_WRITE) == 0 || (walk->rights & ENTRY_WRITE) != 0);
    if (user_page && (walk->access & GWALK_FETCH) != 0 && (walk->cr4 & CR4_SMEP) != 0)
        return false;
    if (user_page && (walk->access & GWALK_FETCH) == 0 && (walk->cr4 & CR4_SMAP) != 0 &&
        ((walk->access & GWALK_IMPLICIT) != 0 || (vcpu_read(walk->vcpu, VCPU_RFLAGS) & RFLAGS_AC) == 0))
        return false;
    return (walk->access & GWALK_WRITE) == 0 || (walk->rights & ENTRY_WRITE) != 0 || (walk->cr0 & CR0_WP) == 0;
}

static bool is_leaf(const struct walk *walk, uint64_t entry, unsigned level)
{
    if (level == 1)
        return true;
    if ((entry & ENTRY_LARGE) == 0)
        return false;
    if (!walk->wide)
        return (walk->cr4 & CR4_PSE) != 0;
    return level == 2 || (level == 3 && walk->long_mode);
}

static gpa_t leaf_address(const struct walk *walk, uint64_t entry, unsigned level)
{
    uint64_t page = BIT(12 + (walk->wide ? 9 : 10) * (level - 1));

    /* A 4 MiB page of 32-bit paging has address bits 32-39 in its bits 13-20 (PSE-36). */
    if (!walk->wide && level == 2)
        return (entry & UINT64_C(0xffc00000)) | (entry >> 13 & 0xff) << 32 | (walk->address & (page - 1));
    return (entry & ENTRY_ADDRESS & ~(page - 1)) | (walk->address & (page - 1));
}

/* One walk from the root. E_BUSY: an entry changed on the way. */
static int walk_once(struct walk *walk, gpa_t table, unsigned levels, gpa_t *result)
{
    unsigned index_bits = walk->wide ? 9 : 10;

    walk->rights = ENTRY_WRITE | ENTRY_USER;
    walk->no_execute = false;
    for (unsigned level = levels;; level--) {
        uint64_t index = walk->address >> (12 + index_bits * (level - 1)) & (BIT(index_bits) - 1);
        gpa_t at = table + index * (walk->wide ? 8 : 4);
        uint64_t entry;
        int error = read_entry(walk, at, &entry);
        if (error != 0)
            return error;
        if ((entry & ENTRY_PRESENT) == 0)
            return walk_fault(walk, 0);
        bool leaf = is_leaf(walk, entry, level);
        if (reserved_bits_set(walk, entry, level, leaf))
            return walk_fault(walk, FAULT_PRESENT | FAULT_RESERVED);
        bool pae_pointer = !walk->long_mode && walk->wide && level == 3;
        if (!pae_pointer) {
            walk->rights &= entry;
            walk->no_execute |= walk->wide && (entry & ENTRY_NX) != 0;
        }
        if (leaf) {
            if (!access_allowed(walk))
                return walk_fault(walk, FAULT_PRESENT);
            uint64_t mark = ENTRY_ACCESSED | ((walk->access & GWALK_WRITE) != 0 ? ENTRY_DIRTY : 0);
            *result = leaf_address(walk, entry, level);
            return set_bits(walk, at, entry, mark) ? 0 : E_BUSY;
        }
        if (!pae_pointer && !set_bits(walk, at, entry, ENTRY_ACCESSED))
            return E_BUSY;
        table = walk->wide ? entry & ENTRY_ADDRESS : entry & UINT64_C(0xfffff000);
    }
}

int gwalk_translate(struct vcpu *vcpu, gva_t address, unsigned access, gpa_t *result, struct gwalk_fault *fault)
{
    struct walk walk = {
        .vcpu = vcpu, .cr0 = vcpu_read(vcpu, VCPU_CR0), .address = address, .access = access, .fault = fault};

    if ((walk.cr0 & CR0_PG) == 0) {
        *result = (uint32_t)address;
        return 0;
    }
    walk.cr4 = vcpu_read(vcpu, VCPU_CR4);
    walk.efer = vcpu_read(vcpu, VCPU_EFER);
    walk.wide = (walk.cr4 & CR4_PAE) != 0;
    walk.long_mode = (walk.efer & EFER_LMA) != 0;
    uint64_t cr3 = vcpu_read(vcpu, VCPU_CR3);
    gpa_t table = cr3 & ENTRY_ADDRESS;
    unsigned levels = 2;
    if (walk.long_mode) {
        levels = (walk.cr4 & CR4_LA57) != 0 ? 5 : 4;
    } else {
        walk.address = (uint32_t)address;
        table = walk.wide ? cr3 & UINT64_C(0xffffffe0) : cr3 & UINT64_C(0xfffff000);
        levels = walk.wide ? 3 : 2;
    }
    /* Another vCPU that changes the entries without end must not hold us: after some tries, let the instruction run
     * again. */
    for (unsigned tries = 0; tries < 8; tries++) {
        int error = walk_once(&walk, table, levels, result);
        if (error != E_BUSY)
            return error;
    }
    return E_BUSY;
}

/*
 * The usual fetch, for the exits that need one each time: 64-bit mode, all entries present and accessed, nothing
 * reserved, not NX, rights that fit. What the entries hold is collected on the way and judged at its end: a table is
 * read only where the guest has RAM, so one that is no table does no harm.
 */
struct quick_walk {
    struct guest *guest;
    const struct guest_ram
        *ram; /* the range that holds the root: nearly always the other tables, and the code, lie there too */
    const uint8_t *memory; /* its first byte */
    uint64_t all, any;     /* bits that all entries have; that any has */
    gpa_t page;            /* the next table, at last the page itself */
};
#define QUICK_ALL (ENTRY_PRESENT | ENTRY_ACCESSED)

static bool quick_root(struct quick_walk *walk, gpa_t root)
{
    walk->page = root;
    for (uint32_t i = 0; i < walk->guest->ram_count; i++) {
        walk->ram = &walk->guest->ram[i];
        if (root - walk->ram->base < walk->ram->size) {
            walk->memory = gmem_range(walk->ram);
            return walk->memory != NULL;
        }
    }
    return false;
}

static inline __attribute__((always_inline)) const uint8_t *quick_page(const struct quick_walk *walk)
{
    uint64_t offset = walk->page - walk->ram->base;

    return offset < walk->ram->size ? walk->memory + offset : gmem_pointer(walk->guest, walk->page, PAGE_SIZE);
}

/* One level; the constant shifts of its callers halve it. Sets `large` when the entry maps a large page. */
static inline __attribute__((always_inline)) bool quick_step(struct quick_walk *walk, gva_t address, unsigned shift,
                                                             bool *large)
{
    const uint64_t *entries = (const void *)quick_page(walk);

    if (entries == NULL)
        return false;
    uint64_t entry = __atomic_load_n(&entries[address >> shift & 511], __ATOMIC_RELAXED);
    walk->all &= entry;
    walk->any |= entry;
    walk->page = entry & ENTRY_ADDRESS;
    *large = (entry & ENTRY_LARGE) != 0;
    return true;
}

/* From a large page's base to the 4 KiB in it. */
static inline bool quick_large_page(struct quick_walk *walk, gva_t address, unsigned shift)
{
    uint64_t inside = BIT(shift) - PAGE_SIZE;
    bool aligned = (walk->page & inside & ~BIT(12)) == 0; /* bit 12 is the PAT bit */

    walk->page = (walk->page & ~inside) | (address & inside);
    return aligned;
}

static inline __attribute__((always_inline)) bool quick_walk_to_page(struct quick_walk *walk, gva_t address,
                                                                     bool five_levels)
{
    bool large;

    if (five_levels && (!quick_step(walk, address, 48, &large) || large))
        return false;
    if (!quick_step(walk, address, 39, &large) || large || !quick_step(walk, address, 30, &large))
        return false;
    if (large)
        return quick_large_page(walk, address, 30);
    if (!quick_step(walk, address, 21, &large))
        return false;
    if (large)
        return quick_large_page(walk, address, 21);
    return quick_step(walk, address, 12, &large);
}

/* Where the code byte is in memory, or NULL when anything is unusual: the walk in full then decides. */
static const uint8_t *fetch_through_tables(struct vcpu *vcpu, gva_t address)
{
    uint64_t cr4 = vcpu_read(vcpu, VCPU_CR4);
    struct quick_walk walk = {.guest = vcpu->guest, .all = UINT64_MAX};
    struct segment_register ss;

    if (!quick_root(&walk, vcpu_read(vcpu, VCPU_CR3) & ENTRY_ADDRESS) ||
        !quick_walk_to_page(&walk, address, (cr4 & CR4_LA57) != 0))
        return NULL;
    uint64_t never = ENTRY_NX | (ENTRY_ADDRESS & ~(BIT(vcpu->guest->physical_bits) - 1));
    if ((walk.all & QUICK_ALL) != QUICK_ALL || (walk.any & never) != 0)
        return NULL;
    virt->read_segment(vcpu, SEGMENT_SS, &ss);
    bool user = (ss.attributes >> SEGMENT_DPL_SHIFT & 3) == 3, user_page = (walk.all & ENTRY_USER) != 0;
    if (user != user_page && (user || (cr4 & CR4_SMEP) != 0))
        return NULL;
    const uint8_t *page = quick_page(&walk);
    return page == NULL ? NULL : page + (address & PAGE_MASK);
}

/* Below 4 GiB the mode has to be looked at; and without paging there is nothing to walk. */
static const uint8_t *fetch_low(struct vcpu *vcpu, uint64_t rip, unsigned size)
{
    struct segment_register cs;

    virt->read_segment(vcpu, SEGMENT_CS, &cs);
    if ((vcpu_read(vcpu, VCPU_EFER) & EFER_LMA) != 0)
        return (cs.attributes & SEGMENT_L) != 0 ? fetch_through_tables(vcpu, rip) : NULL;
    if ((vcpu_read(vcpu, VCPU_CR0) & CR0_PG) != 0 || rip > cs.limit || size > cs.limit - rip)
        return NULL;
    return gmem_pointer(vcpu->guest, (uint32_t)(cs.base + rip), size);
}

const uint8_t *gwalk_code(struct vcpu *vcpu, unsigned size)
{
    uint64_t rip = vcpu_read(vcpu, VCPU_RIP);

    if (PAGE_SIZE - (rip & PAGE_MASK) < size)
        return NULL;
    /* Only 64-bit mode has instruction pointers above 4 GiB. */
    return rip > UINT32_MAX ? fetch_through_tables(vcpu, rip) : fetch_low(vcpu, rip, size);
}

/* Where the code at CS:RIP is. */
struct fetch {
    gva_t address; /* linear */
    uint64_t
        room; /* bytes from there to the segment's limit, or to the end of canonical addresses; 0: RIP is beyond it */
    bool is_64_bit;
};

static struct fetch fetch_start(struct vcpu *vcpu)
{
    struct fetch fetch = {.address = vcpu_read(vcpu, VCPU_RIP)};
    struct segment_register cs;

    /* Only 64-bit mode has instruction pointers above 4 GiB. */
    fetch.is_64_bit = fetch.address > UINT32_MAX;
    if (!fetch.is_64_bit) {
        virt->read_segment(vcpu, SEGMENT_CS, &cs);
        fetch.is_64_bit = (cs.attributes & SEGMENT_L) != 0 && (vcpu_read(vcpu, VCPU_EFER) & EFER_LMA) != 0;
    }
    if (!fetch.is_64_bit) {
        fetch.room = fetch.address <= cs.limit ? (uint64_t)cs.limit - fetch.address + 1 : 0;
        fetch.address = (uint32_t)(cs.base + fetch.address);
    }
    return fetch;
}

/* Canonical addresses end below the middle and at the top. Intel SDM vol. 1, "Canonical Addressing". */
static uint64_t canonical_room(struct vcpu *vcpu, gva_t address)
{
    uint64_t half = BIT((vcpu_read(vcpu, VCPU_CR4) & CR4_LA57) != 0 ? 56 : 47);

    if (address < half)
        return half - address;
    return address >= 0 - half ? 0 - address : 0;
}

/* Two overlapping words rather than a call, for the length that everyone asks for. */
static void copy_code(uint8_t *bytes, const uint8_t *code, unsigned size)
{
    if (size == INSTRUCTION_LENGTH_MAX) {
        __builtin_memcpy(bytes, code, 8);
        __builtin_memcpy(bytes + 7, code + 7, 8);
    } else {
        memcpy(bytes, code, size);
    }
}

/* Page by page. */
static __attribute__((noinline)) int fetch_slowly(struct vcpu *vcpu, uint8_t *bytes, unsigned size, unsigned *fetched,
                                                  struct gwalk_fault *fault)
{
    struct fetch fetch = fetch_start(vcpu);
    unsigned access = GWALK_FETCH | (vcpu_privilege_level(vcpu) == 3 ? GWALK_USER : 0);
    uint64_t room = fetch.is_64_bit ? canonical_room(vcpu, fetch.address) : fetch.room;
    unsigned done = 0;
    int error = room == 0 ? E_RANGE : 0;

    *fault = (struct gwalk_fault){fetch.address, 0};
    size = (unsigned)min_u64(size, room);
    while (error == 0 && done < size) {
        gpa_t physical = 0;
        gva_t at = fetch.is_64_bit ? fetch.address + done : (uint32_t)(fetch.address + done);
        unsigned part = (unsigned)min_u64(size - done, PAGE_SIZE - (at & PAGE_MASK));
        error = gwalk_translate(vcpu, at, access, &physical, fault);
        if (error == 0 && gmem_read(vcpu->guest, physical, bytes + done, part) != 0)
            error = E_NOENT;
        if (error == 0)
            done += part;
    }
    *fetched = done;
    return done > 0 ? 0 : error;
}

/* Beyond what gwalk.h says: E_RANGE when CS:RIP itself is beyond the segment's limit or not canonical (#GP). */
int gwalk_fetch(struct vcpu *vcpu, uint8_t *bytes, unsigned size, unsigned *fetched, struct gwalk_fault *fault)
{
    const uint8_t *code = gwalk_code(vcpu, size);

    if (code == NULL)
        return fetch_slowly(vcpu, bytes, size, fetched, fault);
    copy_code(bytes, code, size);
    *fetched = size;
    return 0;
}
