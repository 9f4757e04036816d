/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Real instruction bytes in guest RAM, behind page tables, working on a device. In 64-bit mode the processor that runs
 * the test says what must come out; string instructions are compared with a model of a few lines over memory that is
 * RAM here and a device there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "hv/error.h"
#include "hv/gwalk.h"
#include "hv/mmio.h"
#include "tests/unit/fake_calls.h"
#include "tests/unit/fake_paging.h"

#define TABLES     MIB(2)
#define CODE       UINT64_C(0x400000) /* linear and physical */
#define STACK      UINT64_C(0x500000)
#define DATA       UINT64_C(0x600000)
#define WINDOW     UINT64_C(0x10000000) /* linear: where the device is mapped */
#define DEVICE     UINT64_C(0xfed00000)
#define DEVICE_END (4 * PAGE_SIZE)

static struct guest *guest;
static struct vcpu *vcpu;
static uint64_t *registers;
static struct fake_paging paging;

static struct {
    uint8_t memory[DEVICE_END];
    unsigned reads, writes;
    unsigned last_size;
    uint64_t last_offset;
    uint32_t tickets[4]; /* of the devices' lock, by access; 0: nobody holds it */
    unsigned tickets_count;
} device;

static struct {
    uint8_t next; /* what IN gives, counted up */
    uint8_t out[8192];
    unsigned out_count;
} port;

static char crash[256];
static unsigned crashes;

void guest_crash(struct vcpu *who, const char *format, ...)
{
    va_list arguments;

    assert_ptr_equal(who, vcpu);
    va_start(arguments, format);
    vsnprintf(crash, sizeof(crash), format, arguments);
    va_end(arguments);
    crashes++;
}

/* Each holder of the lock has a ticket of its own. */
static void note_ticket(void)
{
    const struct lock *lock = &guest->devices_lock;

    if (device.tickets_count < ARRAY_SIZE(device.tickets))
        device.tickets[device.tickets_count++] = lock->next != lock->serving ? lock->serving + 1 : 0;
}

static uint64_t device_read(struct device *unused, struct vcpu *who, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    (void)unused;
    (void)who;
    note_ticket();
    device.reads++;
    device.last_size = size;
    device.last_offset = offset;
    memcpy(&value, &device.memory[offset], size);
    return value;
}

static void device_write(struct device *unused, struct vcpu *who, uint64_t offset, unsigned size, uint64_t value)
{
    (void)unused;
    (void)who;
    note_ticket();
    device.writes++;
    device.last_size = size;
    device.last_offset = offset;
    memcpy(&device.memory[offset], &value, size);
}

static uint64_t port_read(struct device *unused, struct vcpu *who, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    (void)unused;
    (void)who;
    (void)offset;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)port.next++ << (8 * i);
    return value;
}

static void port_write(struct device *unused, struct vcpu *who, uint64_t offset, unsigned size, uint64_t value)
{
    (void)unused;
    (void)who;
    (void)offset;
    for (unsigned i = 0; i < size && port.out_count < sizeof(port.out); i++)
        port.out[port.out_count++] = (uint8_t)(value >> (8 * i));
}

static const struct bus_ops device_ops = {device_read, device_write};
static const struct bus_ops port_ops = {port_read, port_write};

/* Code, stack and data at their own addresses, the device's pages in a row behind WINDOW. */
static void enter(enum fake_mode mode)
{
    memset(gmem_pointer(guest, TABLES, MIB(2)), 0, MIB(2));
    paging = fake_enter_mode(vcpu, mode, TABLES);
    memset(vcpu->gpr, 0, sizeof(vcpu->gpr));
    registers[VCPU_RSP] = 0;
    if (mode >= FAKE_PAGED_2) {
        for (unsigned i = 0; i < 4; i++) {
            fake_map(&paging, CODE + i * PAGE_SIZE, CODE + i * PAGE_SIZE, PTE_ALL);
            fake_map(&paging, STACK + i * PAGE_SIZE, STACK + i * PAGE_SIZE, PTE_ALL);
            fake_map(&paging, DATA + i * PAGE_SIZE, DATA + i * PAGE_SIZE, PTE_ALL);
            fake_map(&paging, WINDOW + i * PAGE_SIZE, DEVICE + i * PAGE_SIZE, PTE_ALL);
        }
    }
    vcpu->events = (struct event_state){.exception = {.type = EVENT_NONE}};
    crashes = 0;
    crash[0] = '\0';
}

static int setup(void **state)
{
    const struct bus_region memory = {DEVICE, DEVICE_END, &device_ops, NULL, 8};
    const struct bus_region ports = {0x1f0, 8, &port_ops, NULL, 4};

    (void)state;
    guest = fake_guest(MIB(8), 1);
    vcpu = guest->vcpus[0];
    registers = fake_backend(vcpu)->registers;
    memset(&device, 0, sizeof(device));
    memset(&port, 0, sizeof(port));
    assert_int_equal(bus_claim(&guest->memory, &memory), 0);
    assert_int_equal(bus_claim(&guest->ports, &ports), 0);
    enter(FAKE_LONG_4);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

static void put_code(gpa_t at, const void *bytes, size_t count)
{
    assert_int_equal(gmem_write(guest, at, bytes, count), 0);
}

static bool delivering; /* the exit came in the middle of the delivery of an event */

static enum mmio_result emulate(gpa_t address, bool write, uint8_t *length)
{
    const struct vmexit exit = {
        .kind = EXIT_MEMORY,
        .memory = {.address = address, .write = write, .delivering = delivering},
    };

    *length = 0;
    return mmio_emulate(vcpu, &exit, length);
}

/* An instruction at CODE whose exit says that it touched DEVICE + offset. */
static enum mmio_result run_bytes(const void *bytes, size_t count, uint64_t offset, bool write)
{
    uint8_t length;

    put_code(CODE, bytes, count);
    registers[VCPU_RIP] = CODE;
    enum mmio_result result = emulate(DEVICE + offset, write, &length);
    if (result == MMIO_DONE)
        assert_int_equal(length, count);
    return result;
}
#define RUN(text, offset, write) run_bytes(text, sizeof(text) - 1, offset, write)

static void assert_raised(unsigned vector, uint32_t error_code)
{
    assert_int_equal(vcpu->events.exception.type, EVENT_EXCEPTION);
    assert_int_equal(vcpu->events.exception.vector, vector);
    assert_int_equal(vcpu->events.exception.error_code, error_code);
}

/* ---- Against the processor itself ---- */

struct native_state {
    uint64_t rax, rcx, rdx, rbx, r9, rflags;
    uint8_t *memory;
};

/* The stub is the instruction and a RET; it works on [RDI] and the registers above. */
static void run_natively(void (*stub)(void), struct native_state *s)
{
    register uint64_t r9 __asm__("r9") = s->r9;
    uint64_t scratch;

    __asm__ volatile("sub $128, %%rsp\n\t" /* past the red zone */
                     "push %[flags]\n\t"
                     "popfq\n\t"
                     "call *%[stub]\n\t"
                     "pushfq\n\t"
                     "pop %[flags]\n\t"
                     "add $128, %%rsp"
                     : "+a"(s->rax), "+c"(s->rcx), "+d"(s->rdx), "+b"(s->rbx), "+r"(r9),
                       "=D"(scratch), [flags] "+r"(s->rflags)
                     : "D"(s->memory), [stub] "r"(stub)
                     : "memory", "cc");
    s->r9 = r9;
}

/* Which flags the manual leaves undefined, as a mask of those that are looked at. */
#define FLAGS_ALL    UINT64_C(0x8d5)
#define FLAGS_LOGIC  UINT64_C(0x8c5) /* not AF */
#define FLAGS_CF     UINT64_C(0x001)
#define FLAGS_SHIFT1 UINT64_C(0x8c5)
#define FLAGS_SHIFT  UINT64_C(0x0c5) /* nor OF */

/* All at [rdi]. */
static const struct {
    const char *bytes;
    uint8_t count;
    bool writes;
    uint64_t flags;
} native_cases[] = {
#define CASE(text, writes, flags)                                                                                      \
    {                                                                                                                  \
        text, sizeof(text) - 1, writes, flags                                                                          \
    }
    CASE("\x8a\x07", false, FLAGS_ALL),                     /* mov al, [rdi] */
    CASE("\x8a\x27", false, FLAGS_ALL),                     /* mov ah, [rdi] */
    CASE("\x8a\x2f", false, FLAGS_ALL),                     /* mov ch, [rdi] */
    CASE("\x44\x8a\x0f", false, FLAGS_ALL),                 /* mov r9b, [rdi] */
    CASE("\x66\x8b\x07", false, FLAGS_ALL),                 /* mov ax, [rdi] */
    CASE("\x8b\x07", false, FLAGS_ALL),                     /* mov eax, [rdi] */
    CASE("\x48\x8b\x1f", false, FLAGS_ALL),                 /* mov rbx, [rdi] */
    CASE("\x4c\x8b\x0f", false, FLAGS_ALL),                 /* mov r9, [rdi] */
    CASE("\x88\x3f", true, FLAGS_ALL),                      /* mov [rdi], bh */
    CASE("\x66\x89\x07", true, FLAGS_ALL),                  /* mov [rdi], ax */
    CASE("\x89\x17", true, FLAGS_ALL),                      /* mov [rdi], edx */
    CASE("\x4c\x89\x0f", true, FLAGS_ALL),                  /* mov [rdi], r9 */
    CASE("\xc6\x07\x5a", true, FLAGS_ALL),                  /* mov byte [rdi], 5ah */
    CASE("\x66\xc7\x07\x34\x92", true, FLAGS_ALL),          /* mov word [rdi], 9234h */
    CASE("\xc7\x07\x78\x56\x34\x92", true, FLAGS_ALL),      /* mov dword */
    CASE("\x48\xc7\x07\x78\x56\x34\x92", true, FLAGS_ALL),  /* mov qword, sign-extended */
    CASE("\x0f\xb6\x07", false, FLAGS_ALL),                 /* movzx eax, byte */
    CASE("\x48\x0f\xb7\x07", false, FLAGS_ALL),             /* movzx rax, word */
    CASE("\x66\x0f\xb6\x07", false, FLAGS_ALL),             /* movzx ax, byte */
    CASE("\x0f\xbe\x0f", false, FLAGS_ALL),                 /* movsx ecx, byte */
    CASE("\x48\x0f\xbf\x0f", false, FLAGS_ALL),             /* movsx rcx, word */
    CASE("\x4c\x63\x0f", false, FLAGS_ALL),                 /* movsxd r9, dword */
    CASE("\x0f\xc3\x07", true, FLAGS_ALL),                  /* movnti [rdi], eax */
    CASE("\x0f\x44\x07", false, FLAGS_ALL),                 /* cmove eax, [rdi] */
    CASE("\x48\x0f\x4f\x1f", false, FLAGS_ALL),             /* cmovg rbx, [rdi] */
    CASE("\x0f\x92\x07", true, FLAGS_ALL),                  /* setb [rdi] */
    CASE("\x0f\x9e\x07", true, FLAGS_ALL),                  /* setle [rdi] */
    CASE("\x00\x27", true, FLAGS_ALL),                      /* add [rdi], ah */
    CASE("\x48\x03\x07", false, FLAGS_ALL),                 /* add rax, [rdi] */
    CASE("\x10\x0f", true, FLAGS_ALL),                      /* adc [rdi], cl */
    CASE("\x1b\x07", false, FLAGS_ALL),                     /* sbb eax, [rdi] */
    CASE("\x48\x19\x07", true, FLAGS_ALL),                  /* sbb [rdi], rax */
    CASE("\xf0\x09\x07", true, FLAGS_LOGIC),                /* lock or [rdi], eax */
    CASE("\x83\x0f\x80", true, FLAGS_LOGIC),                /* or dword [rdi], -128 */
    CASE("\x48\x83\x27\xf0", true, FLAGS_LOGIC),            /* and qword [rdi], -16 */
    CASE("\x66\x81\x27\x0f\xf0", true, FLAGS_LOGIC),        /* and word [rdi], f00fh */
    CASE("\x22\x2f", false, FLAGS_LOGIC),                   /* and ch, [rdi] */
    CASE("\x31\x1f", true, FLAGS_LOGIC),                    /* xor [rdi], ebx */
    CASE("\x29\x07", true, FLAGS_ALL),                      /* sub [rdi], eax */
    CASE("\x80\x2f\x7f", true, FLAGS_ALL),                  /* sub byte [rdi], 7fh */
    CASE("\x39\x07", false, FLAGS_ALL),                     /* cmp [rdi], eax */
    CASE("\x3a\x27", false, FLAGS_ALL),                     /* cmp ah, [rdi] */
    CASE("\x48\x81\x3f\x00\x00\x00\x80", false, FLAGS_ALL), /* cmp qword [rdi], -80000000h */
    CASE("\x85\x07", false, FLAGS_LOGIC),                   /* test [rdi], eax */
    CASE("\xf6\x07\x81", false, FLAGS_LOGIC),               /* test byte [rdi], 81h */
    CASE("\x66\xf7\x07\x01\x80", false, FLAGS_LOGIC),       /* test word [rdi], 8001h */
    CASE("\xfe\x07", true, FLAGS_ALL),                      /* inc byte */
    CASE("\x48\xff\x07", true, FLAGS_ALL),                  /* inc qword */
    CASE("\x66\xff\x0f", true, FLAGS_ALL),                  /* dec word */
    CASE("\xf7\x17", true, FLAGS_ALL),                      /* not dword */
    CASE("\xf6\x1f", true, FLAGS_ALL),                      /* neg byte */
    CASE("\x48\xf7\x1f", true, FLAGS_ALL),                  /* neg qword */
    CASE("\xd1\x27", true, FLAGS_SHIFT1),                   /* shl dword, 1 */
    CASE("\x48\xd1\x3f", true, FLAGS_SHIFT1),               /* sar qword, 1 */
    CASE("\xc1\x2f\x05", true, FLAGS_SHIFT),                /* shr dword, 5 */
    CASE("\xc1\x07\x07", true, FLAGS_CF),                   /* rol dword, 7 */
    CASE("\xd0\x1f", true, FLAGS_CF),                       /* rcr byte, 1 */
    CASE("\x0f\xba\x27\x1f", false, FLAGS_CF),              /* bt dword [rdi], 31 */
    CASE("\x48\x0f\xba\x2f\x3f", true, FLAGS_CF),           /* bts qword [rdi], 63 */
    CASE("\xf0\x0f\xba\x37\x05", true, FLAGS_CF),           /* lock btr dword [rdi], 5 */
    CASE("\x66\x0f\xba\x3f\x0e", true, FLAGS_CF),           /* btc word [rdi], 14 */
    CASE("\x87\x07", true, FLAGS_ALL),                      /* xchg [rdi], eax */
    CASE("\x86\x3f", true, FLAGS_ALL),                      /* xchg [rdi], bh */
    CASE("\x4c\x87\x0f", true, FLAGS_ALL),                  /* xchg [rdi], r9 */
    CASE("\xf0\x0f\xc1\x07", true, FLAGS_ALL),              /* lock xadd [rdi], eax */
    CASE("\x0f\xc0\x27", true, FLAGS_ALL),                  /* xadd [rdi], ah */
    CASE("\xf0\x0f\xb1\x0f", true, FLAGS_ALL),              /* lock cmpxchg [rdi], ecx */
    CASE("\x48\x0f\xb1\x1f", true, FLAGS_ALL),              /* cmpxchg [rdi], rbx */
    CASE("\x0f\xb0\x1f", true, FLAGS_ALL),                  /* cmpxchg [rdi], bl */
    CASE("\xf0\x0f\xc7\x0f", true, UINT64_C(0x040)),        /* lock cmpxchg8b [rdi] */
#undef CASE
};

static uint64_t random_64(void)
{
    static const uint64_t corners[] = {0,      1,          0x7f,       0x80,       0xff,
                                       0x8000, 0x7fffffff, 0x80000000, UINT64_MAX, UINT64_C(1) << 63};

    if (rand() % 4 == 0)
        return corners[(unsigned)rand() % ARRAY_SIZE(corners)];
    return (uint64_t)(unsigned)rand() << 40 ^ (uint64_t)(unsigned)rand() << 20 ^ (uint64_t)(unsigned)rand();
}

static void compare_with_native(unsigned number, const void *stub)
{
    uint8_t memory[16], before[16];
    struct native_state s = {random_64(), random_64(), random_64(), random_64(), random_64(), 0, memory};
    void (*call)(void);

    s.rflags = 0x202 | ((uint64_t)(unsigned)rand() & FLAGS_ALL);
    for (unsigned i = 0; i < sizeof(memory); i++)
        memory[i] = (uint8_t)rand();
    if (rand() % 2 == 0) { /* CMPXCHG finds what it looks for */
        memcpy(memory, &s.rax, 8);
        if (rand() % 2 == 0)
            memcpy(memory + 4, &s.rdx, 4);
    }
    memcpy(before, memory, sizeof(before));
    memcpy(&call, &stub, sizeof(call));

    const bool split = rand() % 4 == 0, aligned = rand() % 4 == 0;
    const uint64_t offset = split ? PAGE_SIZE - 1 - (unsigned)rand() % 7 : aligned ? PAGE_SIZE : PAGE_SIZE + 0x123;
    memcpy(&device.memory[offset], before, sizeof(before));
    vcpu->gpr[GPR_RAX] = s.rax, vcpu->gpr[GPR_RCX] = s.rcx, vcpu->gpr[GPR_RDX] = s.rdx, vcpu->gpr[GPR_RBX] = s.rbx;
    vcpu->gpr[9] = s.r9, vcpu->gpr[GPR_RDI] = WINDOW + offset;
    registers[VCPU_RFLAGS] = s.rflags;
    /* What writes and reads may exit for its read first. */
    bool write = native_cases[number].writes && rand() % 4 != 0;
    assert_int_equal(run_bytes(native_cases[number].bytes, native_cases[number].count, offset, write), MMIO_DONE);
    run_natively(call, &s);

    if (memcmp(&device.memory[offset], memory, sizeof(memory)) != 0 || vcpu->gpr[GPR_RAX] != s.rax ||
        vcpu->gpr[GPR_RCX] != s.rcx || vcpu->gpr[GPR_RDX] != s.rdx || vcpu->gpr[GPR_RBX] != s.rbx ||
        vcpu->gpr[9] != s.r9 || ((registers[VCPU_RFLAGS] ^ s.rflags) & native_cases[number].flags) != 0)
        fail_msg("case %u: rax %lx %lx rflags %lx %lx", number, vcpu->gpr[GPR_RAX], s.rax, registers[VCPU_RFLAGS],
                 s.rflags);
}

static void instructions_do_what_the_processor_does(void **state)
{
    uint8_t *stub = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_true(stub != MAP_FAILED);
    srand(2);
    for (unsigned i = 0; i < ARRAY_SIZE(native_cases); i++) {
        memcpy(stub, native_cases[i].bytes, native_cases[i].count);
        stub[native_cases[i].count] = 0xc3;
        for (unsigned round = 0; round < 200; round++)
            compare_with_native(i, stub);
    }
    munmap(stub, PAGE_SIZE);
    assert_int_equal(crashes, 0);
}

/* ---- What the processor of the test cannot show ---- */

static void sixteen_and_thirty_two_bits(void **state)
{
    (void)state;
    /* mov al, [bx+si+4] in a segment that reaches the device: 16-bit protected mode */
    enter(FAKE_PROTECTED_16);
    fake_segment(vcpu, SEGMENT_CS, CODE, 0xffff, 0x9b);
    fake_segment(vcpu, SEGMENT_DS, DEVICE, 0xffff, 0x93);
    put_code(CODE, "\x8a\x40\x04", 3);
    device.memory[0x124] = 0x77;
    vcpu->gpr[GPR_RBX] = 0x100, vcpu->gpr[GPR_RSI] = 0x20, vcpu->gpr[GPR_RAX] = 0x1111;
    registers[VCPU_RIP] = 0;
    uint8_t length;
    assert_int_equal(emulate(DEVICE + 0x124, false, &length), MMIO_DONE);
    assert_int_equal(length, 3);
    assert_int_equal(vcpu->gpr[GPR_RAX], 0x1177);

    /* mov [di], eax and its 16-bit sibling: 67 and 66 turn both sizes round */
    put_code(CODE, "\x66\x89\x05", 3);
    vcpu->gpr[GPR_RAX] = 0x12345678, vcpu->gpr[GPR_RDI] = 0x200;
    assert_int_equal(emulate(DEVICE + 0x200, true, &length), MMIO_DONE);
    assert_memory_equal(&device.memory[0x200], "\x78\x56\x34\x12\0", 5);
    put_code(CODE, "\x67\x89\x07", 3);
    assert_int_equal(emulate(DEVICE + 0x210, true, &length), MMIO_DONE);
    assert_memory_equal(&device.memory[0x210], "\x78\x56\0", 3);

    /* 32-bit paging and PAE: mov ecx, [WINDOW + 8] */
    for (enum fake_mode mode = FAKE_PAGED_2; mode <= FAKE_PAGED_PAE; mode++) {
        enter(mode);
        memcpy(&device.memory[8], "\x44\x33\x22\x91", 4);
        vcpu->gpr[GPR_RCX] = 0;
        assert_int_equal(RUN("\x8b\x0d\x08\x00\x00\x10", 8, false), MMIO_DONE);
        assert_int_equal(vcpu->gpr[GPR_RCX], 0x91223344);
        /* inc eax is one byte here, and REX nowhere: 40 is not this instruction's */
        assert_int_equal(RUN("\x80\x0d\x08\x00\x00\x10\x01", 8, true), MMIO_DONE);
        assert_int_equal(device.memory[8], 0x45);
    }
    /* compatibility mode has 32-bit instructions and long mode's tables */
    enter(FAKE_COMPATIBILITY);
    assert_int_equal(RUN("\xa1\x08\x00\x00\x10", 8, false), MMIO_DONE);
    assert_int_equal(vcpu->gpr[GPR_RAX], 0x91223345);
}

static void high_bytes_and_their_rex_siblings(void **state)
{
    (void)state;
    memcpy(device.memory, "\x5a", 1);
    vcpu->gpr[GPR_RAX] = UINT64_C(0x1122334455667788);
    vcpu->gpr[GPR_RDI] = WINDOW;
    assert_int_equal(RUN("\x8a\x27", 0, false), MMIO_DONE); /* ah */
    assert_int_equal(vcpu->gpr[GPR_RAX], UINT64_C(0x1122334455665a88));
    registers[VCPU_RSP] = UINT64_C(0x8877665544332211);
    assert_int_equal(RUN("\x40\x8a\x27", 0, false), MMIO_DONE); /* spl */
    assert_int_equal(registers[VCPU_RSP], UINT64_C(0x887766554433225a));
    assert_int_equal(RUN("\x8b\x27", 0, false), MMIO_DONE); /* esp */
    assert_int_equal(registers[VCPU_RSP], 0x5a);
}

/* The bit offset in a register reaches beyond the operand, both ways. */
static void bit_strings(void **state)
{
    (void)state;
    memset(device.memory, 0, sizeof(device.memory));
    vcpu->gpr[GPR_RDI] = WINDOW + PAGE_SIZE;
    vcpu->gpr[GPR_RAX] = (uint64_t)-32; /* the last bits of the page before */
    assert_int_equal(RUN("\x0f\xab\x07", PAGE_SIZE - 4, true), MMIO_DONE);
    assert_int_equal(device.memory[PAGE_SIZE - 4], 1);
    vcpu->gpr[GPR_RAX] = 32 * 3 + 9;
    assert_int_equal(RUN("\x0f\xab\x07", PAGE_SIZE + 12, true), MMIO_DONE);
    assert_int_equal(device.memory[PAGE_SIZE + 13], 2);
    /* and at a page's first byte, where the operand's address has to be found again */
    vcpu->gpr[GPR_RDI] = WINDOW + 0x1800;
    vcpu->gpr[GPR_RAX] = (uint64_t) - (0x800 * 8);
    device.memory[0x1000] = 0;
    assert_int_equal(RUN("\x0f\xab\x07", 0x1000, true), MMIO_DONE);
    assert_int_equal(device.memory[0x1000], 1);
}

/* ---- Operands over a page end: of each side the page tables say where it is ---- */

static void operands_cross_from_device_to_ram_and_back(void **state)
{
    (void)state;
    fake_map(&paging, WINDOW + PAGE_SIZE, DATA, PTE_ALL);                   /* RAM behind the first device page */
    fake_map(&paging, WINDOW + 2 * PAGE_SIZE, DEVICE + PAGE_SIZE, PTE_ALL); /* and a device behind it */
    uint8_t *ram = gmem_pointer(guest, DATA, PAGE_SIZE);
    memset(device.memory, 0x11, sizeof(device.memory));
    memset(ram, 0x22, PAGE_SIZE);

    vcpu->gpr[GPR_RDI] = WINDOW + PAGE_SIZE - 3;
    assert_int_equal(RUN("\x48\x8b\x07", PAGE_SIZE - 3, false), MMIO_DONE);
    assert_int_equal(vcpu->gpr[GPR_RAX], UINT64_C(0x2222222222111111));
    vcpu->gpr[GPR_RAX] = UINT64_C(0x8877665544332211);
    assert_int_equal(RUN("\x48\x89\x07", PAGE_SIZE - 3, true), MMIO_DONE);
    assert_memory_equal(&device.memory[PAGE_SIZE - 3], "\x11\x22\x33\x11", 4);
    assert_memory_equal(ram, "\x44\x55\x66\x77\x88\x22", 6);

    /* The exit tells where the device begins, not where the operand does. */
    memset(&device.memory[PAGE_SIZE], 0x33, 16);
    vcpu->gpr[GPR_RDI] = WINDOW + 2 * PAGE_SIZE - 2;
    assert_int_equal(RUN("\x8b\x07", PAGE_SIZE, false), MMIO_DONE);
    assert_int_equal(vcpu->gpr[GPR_RAX], 0x33332222);
    assert_int_equal(RUN("\xff\x07", PAGE_SIZE, true), MMIO_DONE);
    assert_memory_equal(ram + PAGE_SIZE - 2, "\x23\x22", 2);
    assert_memory_equal(&device.memory[PAGE_SIZE], "\x33\x33\x33", 3);

    /* The second page cannot be written: nothing is, and nothing is read either. */
    fake_map(&paging, WINDOW + PAGE_SIZE, DATA, PTE_P | PTE_U);
    vcpu->gpr[GPR_RDI] = WINDOW + PAGE_SIZE - 3;
    device.reads = device.writes = 0;
    assert_int_equal(RUN("\xf7\x17", PAGE_SIZE - 3, true), MMIO_FAULT);
    assert_raised(VECTOR_PF, 3);
    assert_int_equal(registers[VCPU_CR2], WINDOW + PAGE_SIZE);
    assert_int_equal(device.reads + device.writes, 0);
}

/* The exit was for a read; another CPU has made a write of the instruction, where the page tables allow none. */
static void a_read_does_not_become_a_write(void **state)
{
    (void)state;
    fake_map(&paging, WINDOW, DEVICE, PTE_P | PTE_U);
    vcpu->gpr[GPR_RDI] = WINDOW + 0x100;
    assert_int_equal(RUN("\x89\x07", 0x100, false), MMIO_FAULT);
    assert_raised(VECTOR_PF, 3);
    assert_int_equal(device.writes, 0);
}

/* ---- Stack ---- */

static void push_and_pop(void **state)
{
    uint64_t value;

    (void)state;
    memcpy(&device.memory[0x10], "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
    vcpu->gpr[GPR_RDI] = WINDOW + 0x10;
    registers[VCPU_RSP] = STACK + 0x108;
    assert_int_equal(RUN("\xff\x37", 0x10, false), MMIO_DONE); /* push qword [rdi] */
    assert_int_equal(registers[VCPU_RSP], STACK + 0x100);
    assert_int_equal(gmem_read(guest, STACK + 0x100, &value, 8), 0);
    assert_int_equal(value, UINT64_C(0x0807060504030201));
    vcpu->gpr[GPR_RDI] = WINDOW + 0x20;
    assert_int_equal(RUN("\x8f\x07", 0x20, true), MMIO_DONE); /* pop qword [rdi] */
    assert_memory_equal(&device.memory[0x20], &device.memory[0x10], 8);
    assert_int_equal(registers[VCPU_RSP], STACK + 0x108);
    assert_int_equal(RUN("\x66\xff\x37", 0x10, false), MMIO_DONE); /* push word */
    assert_int_equal(registers[VCPU_RSP], STACK + 0x106);

    /* Stack in the device, operand in RAM: the exit is the stack's. */
    memset(&device.memory[0x200], 0, 16);
    assert_int_equal(gmem_write(guest, DATA, "abcdefgh", 8), 0);
    vcpu->gpr[GPR_RDI] = DATA;
    registers[VCPU_RSP] = WINDOW + 0x208;
    assert_int_equal(RUN("\xff\x37", 0x200, true), MMIO_DONE);
    assert_memory_equal(&device.memory[0x200], "abcdefgh", 8);
    vcpu->gpr[GPR_RDI] = DATA + 0x20;
    assert_int_equal(RUN("\x8f\x07", 0x200, false), MMIO_DONE);
    assert_memory_equal(gmem_pointer(guest, DATA + 0x20, 8), "abcdefgh", 8);
    assert_int_equal(registers[VCPU_RSP], WINDOW + 0x208);

    /* pop [rsp+8]: counted from RSP as it is afterwards. */
    registers[VCPU_RSP] = STACK + 0x100;
    fake_map(&paging, STACK, STACK, PTE_ALL);
    registers[VCPU_RSP] = WINDOW + 0x200;
    assert_int_equal(RUN("\x8f\x44\x24\x08", 0x200, false), MMIO_DONE);
    assert_memory_equal(&device.memory[0x210], "abcdefgh", 8);

    /* A stack that cannot be written: the device is not asked. */
    registers[VCPU_RSP] = STACK + 4 * PAGE_SIZE + 8;
    vcpu->gpr[GPR_RDI] = WINDOW + 0x10;
    device.reads = 0;
    assert_int_equal(RUN("\xff\x37", 0x10, false), MMIO_FAULT);
    assert_raised(VECTOR_PF, 2);
    assert_int_equal(device.reads, 0);
    assert_int_equal(registers[VCPU_RSP], STACK + 4 * PAGE_SIZE + 8);

    /* 16-bit stack: SP wraps, the upper half of ESP stays. */
    enter(FAKE_PROTECTED_16);
    fake_segment(vcpu, SEGMENT_CS, CODE, 0xffff, 0x9b);
    fake_segment(vcpu, SEGMENT_DS, DEVICE, 0xffff, 0x93);
    fake_segment(vcpu, SEGMENT_SS, STACK, 0xffff, 0x93);
    registers[VCPU_RSP] = 0xabcd0000;
    registers[VCPU_RIP] = 0;
    uint8_t length;
    put_code(CODE, "\xff\x36\x10\x00", 4); /* push word [0010] */
    assert_int_equal(emulate(DEVICE + 0x10, false, &length), MMIO_DONE);
    assert_int_equal(registers[VCPU_RSP], 0xabcdfffe);
    assert_memory_equal(gmem_pointer(guest, STACK + 0xfffe, 2), "\x01\x02", 2);
}

static void segment_registers(void **state)
{
    uint8_t length;

    (void)state;
    enter(FAKE_REAL);
    fake_segment(vcpu, SEGMENT_CS, CODE, 0xffff, 0x9b);
    fake_segment(vcpu, SEGMENT_DS, DEVICE, 0xffff, 0x93);
    registers[VCPU_RIP] = 0;
    put_code(CODE, "\x8e\x06\x40\x00", 4); /* mov es, [0040] */
    memcpy(&device.memory[0x40], "\x34\x12", 2);
    assert_int_equal(emulate(DEVICE + 0x40, false, &length), MMIO_DONE);
    assert_int_equal(fake_backend(vcpu)->segments[SEGMENT_ES].selector, 0x1234);
    assert_int_equal(fake_backend(vcpu)->segments[SEGMENT_ES].base, 0x12340);
    put_code(CODE, "\x8c\x06\x50\x00", 4); /* mov [0050], es */
    assert_int_equal(emulate(DEVICE + 0x50, true, &length), MMIO_DONE);
    assert_memory_equal(&device.memory[0x50], "\x34\x12\0", 3);
    /* A descriptor load is too much to do by hand. */
    enter(FAKE_LONG_4);
    vcpu->gpr[GPR_RDI] = WINDOW + 0x40;
    assert_int_equal(RUN("\x8e\x07", 0x40, false), MMIO_CRASHED);
    assert_int_equal(crashes, 1);
}

/* ---- What is not offered, or faults ---- */

static void unknown_instructions_are_named(void **state)
{
    static const struct {
        const char *bytes;
        unsigned count;
        const char *text;
    } cases[] = {
        {"\x0f\x6f\x07\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90", 15, "0f 6f 07 90"}, /* movq mm0, [rdi] */
        {"\xd9\x07\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90", 15, "d9 07 90"},    /* fld dword [rdi] */
        {"\x0f\x01\x17", 3, "0f 01 17 at"},                                                  /* lgdt [rdi]: ten bytes */
        {"\x0f\x01\x07", 3, "0f 01 07 at"},                                                  /* sgdt [rdi] */
        {"\x48\xff\x2f", 3, "48 ff 2f at"},                                                  /* jmp far [rdi] */
        {"\x48\x0f\xc7\x0f", 4, "48 0f c7 0f at"},                                           /* cmpxchg16b [rdi] */
        {"\x0f\xc7\x37", 3, "0f c7 37 at"},                                                  /* vmptrld [rdi] */
        {"\x9c", 1, "9c at"},                                                                /* pushfq */
        {"\x0f\x00\x1f", 3, "0f 00 1f at"},                                                  /* ltr [rdi] */
        {"\xf4", 1, "f4 at"},                             /* hlt: changed meanwhile */
        {"\x66\x0f\x38\x82\x07", 5, "66 0f 38 82 07 at"}, /* invpcid: FAMILY_CACHE */
    };

    (void)state;
    vcpu->gpr[GPR_RDI] = WINDOW + 0x80;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        crashes = 0;
        device.reads = device.writes = 0;
        enum mmio_result result = run_bytes(cases[i].bytes, cases[i].count, 0x80, i % 2 == 0);
        if (i + 1 == ARRAY_SIZE(cases)) {
            assert_int_equal(result, MMIO_DONE);
            continue;
        }
        assert_int_equal(result, MMIO_CRASHED);
        assert_int_equal(crashes, 1);
        assert_non_null(strstr(crash, cases[i].text));
        assert_non_null(strstr(crash, "0x400000"));
        assert_non_null(strstr(crash, "device memory 0xfed00080"));
        assert_int_equal(device.reads + device.writes, 0);
    }
}

static void invalid_instructions_fault_in_the_guest(void **state)
{
    static const char too_long[16] = "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66";

    (void)state;
    vcpu->gpr[GPR_RDI] = WINDOW;
    assert_int_equal(RUN("\xf0\x8b\x07", 0, false), MMIO_FAULT); /* lock mov */
    assert_raised(VECTOR_UD, 0);
    enter(FAKE_LONG_4);
    assert_int_equal(run_bytes(too_long, 15, 0, false), MMIO_FAULT);
    assert_raised(VECTOR_GP, 0);
    assert_true(vcpu->events.exception.has_error_code);
}

/* mov eax, [rdi+disp32] with its last bytes behind the page end. */
static enum mmio_result run_at_page_end(void)
{
    uint8_t length;

    put_code(CODE + PAGE_SIZE - 3, "\x8b\x87\x00\x01\x00\x00", 6);
    registers[VCPU_RIP] = CODE + PAGE_SIZE - 3;
    vcpu->gpr[GPR_RDI] = WINDOW;
    return emulate(DEVICE + 0x100, false, &length);
}

static void instructions_over_a_page_end(void **state)
{
    (void)state;
    assert_int_equal(run_at_page_end(), MMIO_DONE);
    fake_map(&paging, CODE + PAGE_SIZE, CODE + PAGE_SIZE, PTE_ALL | PTE_NX);
    assert_int_equal(run_at_page_end(), MMIO_FAULT);
    assert_raised(VECTOR_PF, 0x11);
    assert_int_equal(registers[VCPU_CR2], CODE + PAGE_SIZE);

    /* From user code the fault says so. */
    enter(FAKE_LONG_4);
    fake_backend(vcpu)->segments[SEGMENT_SS].attributes = 0xc0f3;
    fake_map(&paging, CODE + PAGE_SIZE, 0, 0);
    assert_int_equal(run_at_page_end(), MMIO_FAULT);
    assert_raised(VECTOR_PF, 0x14);

    /* Code that goes on where no memory is. */
    enter(FAKE_LONG_4);
    fake_map(&paging, CODE + PAGE_SIZE, DEVICE, PTE_ALL);
    assert_int_equal(run_at_page_end(), MMIO_CRASHED);
    assert_non_null(strstr(crash, "0x401000"));

    /* The limit of CS comes before the page behind it. */
    enter(FAKE_PAGED_2);
    fake_map(&paging, CODE + PAGE_SIZE, 0, 0);
    fake_segment(vcpu, SEGMENT_CS, 0, CODE + PAGE_SIZE - 1, 0xc09b);
    assert_int_equal(run_at_page_end(), MMIO_FAULT);
    assert_raised(VECTOR_GP, 0);
    /* An execute-only segment is code all the same. */
    enter(FAKE_PAGED_2);
    fake_map(&paging, CODE + PAGE_SIZE, 0, 0);
    fake_segment(vcpu, SEGMENT_CS, 0, UINT32_MAX, 0xc099);
    assert_int_equal(run_at_page_end(), MMIO_FAULT);
    assert_raised(VECTOR_PF, 0);
    /* Compatibility mode wraps at 4 GiB, where nothing is mapped. */
    enter(FAKE_COMPATIBILITY);
    fake_map(&paging, 0xfffff000, CODE, PTE_ALL);
    put_code(CODE + PAGE_SIZE - 3, "\x8b\x87\x00", 3);
    fake_segment(vcpu, SEGMENT_CS, 0xfff00000, UINT32_MAX, 0xc09b);
    registers[VCPU_RIP] = 0xffffd;
    uint8_t length;
    assert_int_equal(emulate(DEVICE + 0x100, false, &length), MMIO_FAULT);
    assert_raised(VECTOR_PF, 0x10);
    assert_int_equal(registers[VCPU_CR2], 0);
}

static void code_that_is_not_there(void **state)
{
    uint8_t length;

    (void)state;
    fake_map(&paging, CODE, DEVICE, PTE_ALL);
    registers[VCPU_RIP] = CODE;
    assert_int_equal(emulate(DEVICE, false, &length), MMIO_CRASHED);
    assert_string_equal(crash, "it runs at 0x400000, where it has no memory");
    enter(FAKE_LONG_4);
    fake_map(&paging, CODE, 0, 0);
    registers[VCPU_RIP] = CODE;
    assert_int_equal(emulate(DEVICE, false, &length), MMIO_FAULT);
    assert_raised(VECTOR_PF, 0x10);
    enter(FAKE_PROTECTED_32);
    fake_segment(vcpu, SEGMENT_CS, 0, 0xfff, 0x409b);
    registers[VCPU_RIP] = 0x1000;
    assert_int_equal(emulate(DEVICE, false, &length), MMIO_FAULT);
    assert_raised(VECTOR_GP, 0);
}

/* The stack or the IDT lies in device memory: no instruction did it. */
static void deliveries_into_a_device_end_the_guest(void **state)
{
    (void)state;
    vcpu->gpr[GPR_RDI] = WINDOW;
    vcpu->events.interrupted = (struct event){.type = EVENT_INTERRUPT, .vector = 0x30};
    delivering = true;
    assert_int_equal(RUN("\x8b\x07", 0x100, true), MMIO_CRASHED);
    delivering = false;
    assert_string_equal(crash, "the delivery of vector 48 reached device memory at 0xfed00100");
    assert_int_equal(device.reads, 0);
    /* An interrupt that waits for its window is another matter. */
    assert_int_equal(RUN("\x8b\x07", 0x100, false), MMIO_DONE);
    assert_int_equal(device.reads, 1);
}

/* ---- Strings ---- */

#define PAGES 8u

/* Linear memory of eight pages, each RAM, device, or nothing; as the model sees it, one array. */
static struct {
    uint8_t bytes[PAGES * PAGE_SIZE];
    gpa_t pages[PAGES];
    bool present[PAGES];
} model;

static uint8_t *model_byte(uint64_t offset)
{
    return &model.bytes[offset];
}

static uint8_t *real_byte(uint64_t offset)
{
    gpa_t page = model.pages[offset / PAGE_SIZE];

    return page >= DEVICE ? &device.memory[page - DEVICE + offset % PAGE_SIZE]
                          : gmem_pointer(guest, page + offset % PAGE_SIZE, 1);
}

/* Pages of RAM and of the device, mixed. `holes`: some are missing. */
static void model_setup(bool holes)
{
    unsigned of_ram = 0, of_device = 0;

    for (unsigned i = 0; i < PAGES; i++) {
        bool is_device = rand() % 2 == 0 ? of_device < 4 : of_ram >= 4;
        model.pages[i] = is_device ? DEVICE + PAGE_SIZE * (3 - of_device++) : DATA + PAGE_SIZE * of_ram++;
        model.present[i] = !holes || rand() % 4 != 0;
        fake_map(&paging, WINDOW + MIB(1) + i * PAGE_SIZE, model.pages[i], model.present[i] ? PTE_ALL : 0);
    }
    for (unsigned i = 0; i < sizeof(model.bytes); i++)
        model.bytes[i] = (uint8_t)(rand() % 8 != 0 ? 'a' : rand());
    for (unsigned i = 0; i < PAGES; i++)
        memcpy(real_byte(i * PAGE_SIZE), &model.bytes[i * PAGE_SIZE], PAGE_SIZE);
}

static bool model_present(uint64_t offset, unsigned size)
{
    return offset < sizeof(model.bytes) && offset + size <= sizeof(model.bytes) && model.present[offset / PAGE_SIZE] &&
           model.present[(offset + size - 1) / PAGE_SIZE];
}

struct string_state {
    uint64_t rsi, rdi, rcx, rax; /* rsi and rdi as offsets in the model */
    bool zero;
    bool faulted;
};

typedef uint8_t *(*byte_at)(uint64_t offset);

static uint64_t load(byte_at at, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)*at(offset + i) << (8 * i);
    return value;
}

static void store(byte_at at, uint64_t offset, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++)
        *at(offset + i) = (uint8_t)(value >> (8 * i));
}

/* A REP string instruction as the manual's pseudocode has it. */
static void model_string(byte_at at, enum operation operation, unsigned size, bool down, bool repeat, bool until_equal,
                         struct string_state *s)
{
    uint64_t step = down ? 0 - (uint64_t)size : size, mask = UINT64_MAX >> (64 - 8 * size);
    bool uses_rsi = operation == OPERATION_MOVS || operation == OPERATION_LODS || operation == OPERATION_CMPS;
    bool uses_rdi = operation != OPERATION_LODS;

    while (!repeat || s->rcx != 0) {
        if ((uses_rsi && !model_present(s->rsi, size)) || (uses_rdi && !model_present(s->rdi, size))) {
            s->faulted = true;
            return;
        }
        switch (operation) {
        case OPERATION_MOVS: store(at, s->rdi, size, load(at, s->rsi, size)); break;
        case OPERATION_STOS: store(at, s->rdi, size, s->rax); break;
        case OPERATION_LODS: s->rax = (size == 4 ? 0 : s->rax & ~mask) | load(at, s->rsi, size); break;
        case OPERATION_CMPS: s->zero = load(at, s->rsi, size) == load(at, s->rdi, size); break;
        default: s->zero = (s->rax & mask) == load(at, s->rdi, size); break;
        }
        s->rsi += uses_rsi ? step : 0;
        s->rdi += uses_rdi ? step : 0;
        if (!repeat)
            return;
        s->rcx--;
        if ((operation == OPERATION_CMPS || operation == OPERATION_SCAS) && s->zero == until_equal)
            return;
    }
}

/* The exit that the processor would make next: of the side that it reaches first. False: it would do this element
 * alone. */
static bool next_exit(enum operation operation, unsigned size, gpa_t *address, bool *write)
{
    bool is_rsi = operation == OPERATION_MOVS || operation == OPERATION_LODS || operation == OPERATION_CMPS;

    for (unsigned side = is_rsi ? 0 : 1; side < 2; side++) {
        uint64_t linear = vcpu->gpr[side == 0 ? GPR_RSI : GPR_RDI] - WINDOW - MIB(1);
        if (side == 1 && operation == OPERATION_LODS)
            break;
        if (!model_present(linear, size))
            return false;
        for (unsigned i = 0; i < size; i++) {
            if (model.pages[(linear + i) / PAGE_SIZE] < DEVICE)
                continue;
            *address = model.pages[(linear + i) / PAGE_SIZE] + (linear + i) % PAGE_SIZE;
            *write = side == 1 && (operation == OPERATION_MOVS || operation == OPERATION_STOS);
            return true;
        }
    }
    return false;
}

struct string_case {
    enum operation operation;
    uint8_t opcode; /* of the byte form */
};

static const struct string_case string_cases[] = {
    {OPERATION_MOVS, 0xa4}, {OPERATION_CMPS, 0xa6}, {OPERATION_STOS, 0xaa},
    {OPERATION_LODS, 0xac}, {OPERATION_SCAS, 0xae},
};

/* What the processor does alone: one element in RAM. */
static void step_in_ram(enum operation operation, unsigned size, bool down, bool until_equal, bool repeat)
{
    struct string_state s = {vcpu->gpr[GPR_RSI] - WINDOW - MIB(1),
                             vcpu->gpr[GPR_RDI] - WINDOW - MIB(1),
                             1,
                             vcpu->gpr[GPR_RAX],
                             false,
                             false};

    model_string(real_byte, operation, size, down, repeat, until_equal, &s);
    vcpu->gpr[GPR_RSI] = s.rsi + WINDOW + MIB(1);
    vcpu->gpr[GPR_RDI] = s.rdi + WINDOW + MIB(1);
    vcpu->gpr[GPR_RAX] = s.rax;
    if (repeat)
        vcpu->gpr[GPR_RCX]--;
    if (operation == OPERATION_CMPS || operation == OPERATION_SCAS)
        registers[VCPU_RFLAGS] = (registers[VCPU_RFLAGS] & ~UINT64_C(0x40)) | (s.zero ? 0x40 : 0);
}

static void one_string(const struct string_case *string, bool holes)
{
    static const uint8_t sizes[] = {1, 2, 4, 8};
    unsigned size = sizes[(unsigned)rand() % 4], count = 0, exits = 0;
    bool down = rand() % 2 == 0, repeat = rand() % 4 != 0, until_equal = rand() % 2 == 0;
    bool compares = string->operation == OPERATION_CMPS || string->operation == OPERATION_SCAS, ended = false;
    uint8_t bytes[4];
    struct string_state s = {(unsigned)rand() % sizeof(model.bytes),
                             (unsigned)rand() % sizeof(model.bytes),
                             (unsigned)rand() % 1500,
                             0x6161616161616161,
                             rand() % 2 == 0,
                             false};

    model_setup(holes);
    if (repeat)
        bytes[count++] = until_equal && compares ? 0xf2 : 0xf3;
    if (size == 2)
        bytes[count++] = 0x66;
    if (size == 8)
        bytes[count++] = 0x48;
    bytes[count++] = (uint8_t)(string->opcode + (size > 1));
    vcpu->gpr[GPR_RSI] = s.rsi + WINDOW + MIB(1), vcpu->gpr[GPR_RDI] = s.rdi + WINDOW + MIB(1);
    vcpu->gpr[GPR_RCX] = s.rcx, vcpu->gpr[GPR_RAX] = s.rax;
    registers[VCPU_RFLAGS] = 0x202 | (down ? 0x400 : 0) | (s.zero ? 0x40 : 0);
    put_code(CODE, bytes, count);
    registers[VCPU_RIP] = CODE;
    vcpu->events.exception.type = EVENT_NONE;

    for (unsigned turns = 0; !ended; turns++) {
        gpa_t address;
        bool write;
        uint8_t length;
        uint64_t rcx = vcpu->gpr[GPR_RCX];
        assert_true(turns < 4000);
        if (repeat && rcx == 0)
            break;
        if (!next_exit(string->operation, size, &address, &write)) {
            uint64_t rsi = vcpu->gpr[GPR_RSI] - WINDOW - MIB(1), rdi = vcpu->gpr[GPR_RDI] - WINDOW - MIB(1);
            bool is_rsi = string->operation != OPERATION_STOS && string->operation != OPERATION_SCAS;
            if ((is_rsi && !model_present(rsi, size)) ||
                (string->operation != OPERATION_LODS && !model_present(rdi, size)))
                break; /* the processor's own #PF */
            step_in_ram(string->operation, size, down, until_equal, repeat);
            ended = !repeat || (compares && ((registers[VCPU_RFLAGS] & 0x40) != 0) == until_equal);
            continue;
        }
        exits++;
        enum mmio_result result = emulate(address, write, &length);
        assert_true(result == MMIO_DONE || result == MMIO_PARTLY || result == MMIO_FAULT);
        if (result == MMIO_PARTLY)
            assert_true(vcpu->gpr[GPR_RCX] < rcx); /* every exit gets somewhere */
        if (result == MMIO_DONE)
            assert_int_equal(length, count);
        if (result == MMIO_FAULT)
            assert_int_equal(vcpu->events.exception.vector, VECTOR_PF);
        ended = result != MMIO_PARTLY;
    }
    model_string(model_byte, string->operation, size, down, repeat, until_equal, &s);
    assert_int_equal(vcpu->gpr[GPR_RSI] - WINDOW - MIB(1), s.rsi);
    assert_int_equal(vcpu->gpr[GPR_RDI] - WINDOW - MIB(1), s.rdi);
    assert_int_equal(vcpu->gpr[GPR_RCX], s.rcx);
    assert_int_equal(vcpu->gpr[GPR_RAX], s.rax);
    for (unsigned i = 0; i < PAGES; i++)
        assert_memory_equal(real_byte(i * PAGE_SIZE), &model.bytes[i * PAGE_SIZE], PAGE_SIZE);
    if (compares && exits > 0 && repeat && !s.faulted && s.rcx != 0)
        assert_int_equal(registers[VCPU_RFLAGS] >> 6 & 1, s.zero);
}

static void strings_on_mixed_memory(void **state)
{
    (void)state;
    srand(3);
    for (unsigned round = 0; round < 250; round++) {
        for (unsigned i = 0; i < ARRAY_SIZE(string_cases); i++)
            one_string(&string_cases[i], round % 3 == 0);
    }
    assert_int_equal(crashes, 0);
}

/* A long REP gives way: events and requests are looked at between its parts. */
static void long_strings_give_way(void **state)
{
    (void)state;
    vcpu->gpr[GPR_RDI] = WINDOW, vcpu->gpr[GPR_RCX] = 4000, vcpu->gpr[GPR_RAX] = 0x77;
    unsigned parts = 0;
    while (RUN("\xf3\xaa", vcpu->gpr[GPR_RDI] - WINDOW, true) == MMIO_PARTLY) {
        parts++;
        assert_true(vcpu->gpr[GPR_RCX] + vcpu->gpr[GPR_RDI] == WINDOW + 4000);
    }
    assert_true(parts >= 10);
    assert_int_equal(vcpu->gpr[GPR_RCX], 0);
    assert_int_equal(device.memory[3999], 0x77);
    assert_int_equal(device.memory[4000], 0);
    /* No iteration at all is an end too. */
    device.writes = 0;
    assert_int_equal(RUN("\xf3\xaa", 0, true), MMIO_DONE);
    assert_int_equal(device.writes, 0);
}

/* The destination is looked at before a device gives something away. */
static void a_fault_loses_no_input(void **state)
{
    (void)state;
    vcpu->gpr[GPR_RSI] = WINDOW, vcpu->gpr[GPR_RDI] = DATA + 4 * PAGE_SIZE - 8, vcpu->gpr[GPR_RCX] = 4;
    device.reads = 0;
    assert_int_equal(RUN("\xf3\xa5", 0, false), MMIO_FAULT);
    assert_int_equal(device.reads, 2);
    assert_int_equal(vcpu->gpr[GPR_RCX], 2);
    assert_int_equal(vcpu->gpr[GPR_RSI], WINDOW + 8);
    assert_raised(VECTOR_PF, 2);
    assert_int_equal(registers[VCPU_CR2], DATA + 4 * PAGE_SIZE);
}

static void address_size_rules_the_indices(void **state)
{
    (void)state;
    /* a32 rep stosb: EDI and ECX, whose upper halves are cleared by being written */
    vcpu->gpr[GPR_RDI] = UINT64_C(0xffffffff00000000) | WINDOW;
    vcpu->gpr[GPR_RCX] = UINT64_C(0x500000002);
    assert_int_equal(RUN("\x67\xf3\xaa", 0, true), MMIO_DONE);
    assert_int_equal(vcpu->gpr[GPR_RDI], WINDOW + 2);
    assert_int_equal(vcpu->gpr[GPR_RCX], 0);
    /* 16-bit: SI wraps, the rest of ESI stays */
    enter(FAKE_PROTECTED_16);
    fake_segment(vcpu, SEGMENT_CS, CODE, 0xffff, 0x9b);
    fake_segment(vcpu, SEGMENT_FS, DEVICE - 0xff00, 0xffff, 0x93);
    put_code(CODE, "\x64\xac", 2); /* lodsb fs:[si] */
    device.memory[0xff] = 0x42;
    vcpu->gpr[GPR_RSI] = 0x1234ffff;
    registers[VCPU_RIP] = 0;
    uint8_t length;
    assert_int_equal(emulate(DEVICE + 0xff, false, &length), MMIO_DONE);
    assert_int_equal(vcpu->gpr[GPR_RSI], 0x12340000);
    assert_int_equal(vcpu->gpr[GPR_RAX], 0x42);
}

/* ---- Ports ---- */

static enum mmio_result run_port(const char *bytes, size_t length_expected)
{
    const struct vmexit exit = {.kind = EXIT_PIO, .io = {.port = 0x1f0, .string = true}};
    uint8_t length = 0;

    put_code(CODE, bytes, length_expected);
    registers[VCPU_RIP] = CODE;
    enum mmio_result result = pio_string_emulate(vcpu, &exit, &length);
    if (result == MMIO_DONE)
        assert_int_equal(length, length_expected);
    return result;
}

static void ins_and_outs(void **state)
{
    uint8_t *ram = gmem_pointer(guest, DATA, PAGE_SIZE);

    (void)state;
    /* rep insw, 256 at a time */
    vcpu->gpr[GPR_RDX] = UINT64_C(0xffff000001f0), vcpu->gpr[GPR_RDI] = DATA + 0x100, vcpu->gpr[GPR_RCX] = 300;
    assert_int_equal(run_port("\xf3\x66\x6d", 3), MMIO_PARTLY);
    assert_int_equal(vcpu->gpr[GPR_RCX], 44);
    assert_int_equal(run_port("\xf3\x66\x6d", 3), MMIO_DONE);
    for (unsigned i = 0; i < 600; i++)
        assert_int_equal(ram[0x100 + i], (uint8_t)i);
    assert_int_equal(vcpu->gpr[GPR_RDI], DATA + 0x100 + 600);
    /* rep outsd, backwards */
    registers[VCPU_RFLAGS] |= 0x400;
    vcpu->gpr[GPR_RSI] = DATA + 0x10c, vcpu->gpr[GPR_RCX] = 4;
    assert_int_equal(run_port("\xf3\x6f", 2), MMIO_DONE);
    assert_int_equal(port.out_count, 16);
    assert_memory_equal(port.out, "\x0c\x0d\x0e\x0f\x08\x09\x0a\x0b\x04\x05\x06\x07\x00\x01\x02\x03", 16);
    assert_int_equal(vcpu->gpr[GPR_RSI], DATA + 0xfc);
    registers[VCPU_RFLAGS] &= ~UINT64_C(0x400);
    /* one outsb; REX.W makes nothing of it wider */
    port.out_count = 0;
    vcpu->gpr[GPR_RSI] = DATA + 0x101;
    assert_int_equal(run_port("\x6e", 1), MMIO_DONE);
    assert_int_equal(run_port("\x48\x6f", 2), MMIO_DONE);
    assert_int_equal(port.out_count, 5);
    /* ins into device memory, over its page end */
    port.next = 1;
    vcpu->gpr[GPR_RDI] = WINDOW + PAGE_SIZE - 2, vcpu->gpr[GPR_RCX] = 2;
    assert_int_equal(run_port("\xf3\x6d", 2), MMIO_DONE);
    assert_memory_equal(&device.memory[PAGE_SIZE - 2], "\1\2\3\4\5\6\7\10", 8);
}

static void ports_and_faults(void **state)
{
    (void)state;
    /* ins to a page that is not there: the port keeps its data */
    port.next = 9;
    vcpu->gpr[GPR_RDX] = 0x1f0, vcpu->gpr[GPR_RDI] = DATA + 4 * PAGE_SIZE - 2, vcpu->gpr[GPR_RCX] = 8;
    assert_int_equal(run_port("\xf3\x6c", 2), MMIO_FAULT);
    assert_int_equal(port.next, 11);
    assert_int_equal(vcpu->gpr[GPR_RCX], 6);
    assert_raised(VECTOR_PF, 2);
    /* outs from beyond its segment */
    enter(FAKE_PAGED_2);
    fake_segment(vcpu, SEGMENT_DS, DATA, 0xff, 0x4093);
    vcpu->gpr[GPR_RDX] = 0x1f0, vcpu->gpr[GPR_RSI] = 0xfe, vcpu->gpr[GPR_RCX] = 3;
    port.out_count = 0;
    assert_int_equal(run_port("\xf3\x6e", 2), MMIO_FAULT);
    assert_int_equal(port.out_count, 2);
    assert_raised(VECTOR_GP, 0);
    /* the instruction has become another: it runs as such */
    enter(FAKE_LONG_4);
    assert_int_equal(run_port("\x90", 1), MMIO_PARTLY);
    assert_int_equal(crashes, 0);
    assert_int_equal(run_port("\x0f\x6f\x07\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90", 15), MMIO_CRASHED);
    assert_non_null(strstr(crash, "0f 6f 07"));
    assert_non_null(strstr(crash, "port 0x1f0"));
}

/* ---- Several vCPUs ---- */

/* Between the read and the write of one instruction no other vCPU gets at the device. */
static void read_and_write_are_one_access(void **state)
{
    static const struct {
        const char *bytes;
        uint8_t count;
    } cases[] = {
        {"\xf0\xff\x07", 3},         /* lock inc dword [rdi] */
        {"\x87\x07", 2},             /* xchg [rdi], eax */
        {"\xf0\x0f\xb1\x0f", 4},     /* lock cmpxchg [rdi], ecx */
        {"\xf0\x0f\xba\x2f\x03", 5}, /* lock bts dword [rdi], 3 */
        {"\xf0\x0f\xc7\x0f", 4},     /* lock cmpxchg8b [rdi] */
    };
    static const uint64_t offsets[] = {0x10, PAGE_SIZE - 2}; /* the second is reached through the page tables */

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases) * ARRAY_SIZE(offsets); i++) {
        uint64_t offset = offsets[i % 2];
        memset(device.memory, 0, sizeof(device.memory));
        memset(vcpu->gpr, 0, sizeof(vcpu->gpr));
        vcpu->gpr[GPR_RDI] = WINDOW + offset;
        device.tickets_count = 0;
        assert_int_equal(run_bytes(cases[i / 2].bytes, cases[i / 2].count, offset, true), MMIO_DONE);
        assert_true(device.tickets_count >= 2);
        assert_int_not_equal(device.tickets[0], 0);
        for (unsigned n = 1; n < device.tickets_count; n++)
            assert_int_equal(device.tickets[n], device.tickets[0]);
        assert_int_equal(guest->devices_lock.next, guest->devices_lock.serving);
    }
    /* a fault on the way gives the devices back */
    vcpu->gpr[GPR_RDI] = WINDOW + 4 * PAGE_SIZE - 2;
    assert_int_equal(RUN("\xf0\xff\x07", 4 * PAGE_SIZE - 2, true), MMIO_FAULT);
    assert_int_equal(guest->devices_lock.next, guest->devices_lock.serving);
    /* and a plain access waits for its turn again */
    vcpu->gpr[GPR_RDI] = WINDOW;
    device.tickets_count = 0;
    assert_int_equal(RUN("\x8b\x07", 0, false), MMIO_DONE);
    assert_int_not_equal(device.tickets[0], 0);
}

/*
 * The instruction is not the one that exited: another vCPU may have changed it meanwhile, and the processor looks
 * again. One that stays as it is ends the guest all the same.
 */
static void a_changed_instruction_is_looked_at_again(void **state)
{
    (void)state;
    vcpu->gpr[GPR_RDI] = WINDOW;
    for (unsigned round = 0; round < 1000; round++) {
        assert_int_equal(RUN("\xc3", 0, false), MMIO_PARTLY); /* ret */
        assert_int_equal(RUN("\x8b\x07", 0, false), MMIO_DONE);
    }
    assert_int_equal(crashes, 0);
    unsigned tries = 0;
    while (RUN("\x0f\x6f\x07", 0, false) == MMIO_PARTLY && tries < 10000)
        tries++;
    assert_int_equal(crashes, 1);
    assert_in_range(tries, 1, 1000);
}

static int setup_two(void **state)
{
    const struct bus_region memory = {DEVICE, DEVICE_END, &device_ops, NULL, 8};

    (void)state;
    guest = fake_guest(MIB(8), 2);
    vcpu = guest->vcpus[0];
    registers = fake_backend(vcpu)->registers;
    memset(&device, 0, sizeof(device));
    assert_int_equal(bus_claim(&guest->memory, &memory), 0);
    enter(FAKE_LONG_4);
    return 0;
}

#define WITH_GUEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_GUEST(instructions_do_what_the_processor_does),
        WITH_GUEST(sixteen_and_thirty_two_bits),
        WITH_GUEST(high_bytes_and_their_rex_siblings),
        WITH_GUEST(bit_strings),
        WITH_GUEST(operands_cross_from_device_to_ram_and_back),
        WITH_GUEST(a_read_does_not_become_a_write),
        WITH_GUEST(push_and_pop),
        WITH_GUEST(segment_registers),
        WITH_GUEST(unknown_instructions_are_named),
        WITH_GUEST(invalid_instructions_fault_in_the_guest),
        WITH_GUEST(instructions_over_a_page_end),
        WITH_GUEST(code_that_is_not_there),
        WITH_GUEST(deliveries_into_a_device_end_the_guest),
        WITH_GUEST(strings_on_mixed_memory),
        WITH_GUEST(long_strings_give_way),
        WITH_GUEST(a_fault_loses_no_input),
        WITH_GUEST(address_size_rules_the_indices),
        WITH_GUEST(ins_and_outs),
        WITH_GUEST(ports_and_faults),
        cmocka_unit_test_setup_teardown(read_and_write_are_one_access, setup_two, teardown),
        cmocka_unit_test_setup_teardown(a_changed_instruction_is_looked_at_again, setup_two, teardown),
    };

    return cmocka_run_group_tests_name("mmio", tests, NULL, NULL);
}
