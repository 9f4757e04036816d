/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest with a deadline: a timer interrupt each millisecond, how late each comes, memory and clocks watched
 * meanwhile. Whatever other guests do, its memory and its clocks stay right, and its lateness shows what they cost. A
 * line for each 1000 ticks: "timer: 1000 ticks (deadline), lateness p50 A p99 B max C TSC ticks, 0 missed, memory ok,
 * clock ok". Options: ticks=N ends it after N ticks (else never), line=N, period_us=N, memory_kib=N.
 */
#include "arch/msr.h"
#include "arch/x86.h"
#include "guests/lib/apic.h"
#include "guests/lib/clock.h"
#include "guests/lib/hypercall.h"
#include "guests/lib/lib.h"
#include "hv/string.h"

const char guest_name[] = "timer";

#define VECTOR_TICK 0x60u

#define LINE_TICKS  1000u
#define PERIOD_US   1000u
#define BEAT_TICKS  50u
#define MEMORY_PART 2u             /* one of so many parts of what is free, when not said otherwise */
#define CHUNK_SIZE  KIB(32)        /* looked at between two ticks */
#define CLOCK_PPM   UINT64_C(1000) /* what two clocks may differ by */
#define PAIR_TRIES  20u
/* A periodic tick may be early by one of so many parts of the period, for the rounding of both frequencies. */
#define SLACK_PART 100u

/* ---- Lateness: a histogram with 16 steps for each power of two ---- */

#define STEPS   16u
#define BUCKETS (61u * STEPS)

static struct {
    uint32_t counts[BUCKETS];
    uint64_t ticks, missed, early, worst;
} lateness;

static uint32_t bucket_of(uint64_t value)
{
    if (value < STEPS)
        return (uint32_t)value;
    uint32_t power = 63u - (uint32_t)__builtin_clzll(value);
    return (power - 3) * STEPS + (uint32_t)(value >> (power - 4) & (STEPS - 1));
}

/* The largest value of a bucket. */
static uint64_t bucket_end(uint32_t bucket)
{
    uint64_t first = STEPS + bucket % STEPS;

    return bucket < STEPS ? bucket : ((first + 1) << (bucket / STEPS - 1)) - 1;
}

static uint64_t percentile(uint32_t percent)
{
    uint64_t wanted = (lateness.ticks * percent + 99) / 100, seen = 0;

    for (uint32_t bucket = 0; bucket < BUCKETS; bucket++) {
        seen += lateness.counts[bucket];
        if (seen >= wanted)
            return min_u64(bucket_end(bucket), lateness.worst);
    }
    return lateness.worst;
}

/* ---- The timer ---- */

static bool by_deadline;
static uint64_t period_ticks; /* of the TSC */
static uint64_t due;          /* the next tick, on the TSC */

/*
 * How late is a tick that comes at `now`? Ticks whose time has passed meanwhile are written off as missed; one of them
 * may still come, when this processor was held up in the handler: it is then late, not early.
 */
static uint64_t tick_lateness(uint64_t now)
{
    uint64_t slack = by_deadline ? 0 : period_ticks / SLACK_PART;

    if (now + slack < due) {
        if (lateness.missed == 0) {
            lateness.early++;
            return 0;
        }
        lateness.missed--;
        return now + period_ticks - due;
    }
    uint64_t late = now > due ? now - due : 0;
    lateness.missed += late / period_ticks;
    due += (late / period_ticks + 1) * period_ticks;
    return late;
}

static void tick(struct interrupt_frame *frame)
{
    uint64_t late = tick_lateness(tsc_read());

    (void)frame;
    lateness.counts[bucket_of(late)]++;
    lateness.ticks++;
    lateness.worst = max_u64(lateness.worst, late);
    if (by_deadline)
        msr_write(MSR_TSC_DEADLINE, due);
    apic_eoi();
}

static void timer_start(uint64_t counts)
{
    memset(&lateness, 0, sizeof(lateness));
    due = tsc_read() + period_ticks;
    if (by_deadline) {
        apic_write(APIC_LVT_TIMER, APIC_LVT_TIMER_DEADLINE | VECTOR_TICK);
        msr_write(MSR_TSC_DEADLINE, due);
    } else {
        apic_write(APIC_LVT_TIMER, APIC_LVT_TIMER_PERIODIC | VECTOR_TICK);
        apic_write(APIC_DIVIDE, APIC_DIVIDE_BY_1);
        apic_write(APIC_INITIAL_COUNT, (uint32_t)counts);
    }
}

static void timer_stop(void)
{
    apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED | VECTOR_TICK);
    if (!by_deadline)
        apic_write(APIC_INITIAL_COUNT, 0);
}

/* ---- Memory: every word follows from its place and its generation ---- */

static struct {
    uint64_t *words;
    uint64_t count;
    uint64_t next; /* those before it are of the next generation already */
    uint64_t generation;
    uint64_t wrong;
} memory;

static uint64_t word_of(uint64_t index, uint64_t generation)
{
    uint64_t value = (index + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ generation * UINT64_C(0xbf58476d1ce4e5b9);

    return value ^ value >> 29;
}

static void memory_fill(uint64_t size)
{
    memory.words = (uint64_t *)(uintptr_t)memory_free();
    memory.count = size / sizeof(*memory.words);
    for (uint64_t i = 0; i < memory.count; i++)
        memory.words[i] = word_of(i, 0);
}

/* Look at a piece and write it anew. */
static void memory_watch(void)
{
    uint64_t end = min_u64(memory.next + CHUNK_SIZE / sizeof(*memory.words), memory.count);

    for (uint64_t i = memory.next; i < end; i++) {
        if (*(volatile uint64_t *)&memory.words[i] != word_of(i, memory.generation))
            memory.wrong++;
        *(volatile uint64_t *)&memory.words[i] = word_of(i, memory.generation + 1);
    }
    memory.next = end;
    if (memory.next == memory.count) {
        memory.next = 0;
        memory.generation++;
    }
}

/* ---- Clocks ---- */

struct clock_pair {
    uint64_t tsc;
    uint32_t pm;
};

/* Both at one moment: the quickest of some tries. */
static struct clock_pair clocks_read(void)
{
    struct clock_pair best = {0, 0};
    uint64_t best_gap = UINT64_MAX;

    for (uint32_t i = 0; i < PAIR_TRIES; i++) {
        uint64_t before = tsc_read();
        uint32_t pm = clock_pm_timer();
        uint64_t gap = tsc_read() - before;
        if (gap < best_gap) {
            best_gap = gap;
            best = (struct clock_pair){before + gap / 2, pm};
        }
    }
    return best;
}

/* Has as much time passed on the PM timer as on the TSC since `start`? */
static bool clocks_agree(const struct clock_pair *start)
{
    struct clock_pair now = clocks_read();
    uint64_t by_tsc = (now.tsc - start->tsc) * 1000000 / clock_hz(); /* microseconds */
    uint64_t by_pm = (uint64_t)(now.pm - start->pm) * UINT64_C(1000000) / CLOCK_PM_HZ;
    uint64_t difference = by_tsc > by_pm ? by_tsc - by_pm : by_pm - by_tsc;

    return difference <= by_tsc * CLOCK_PPM / 1000000 + 2;
}

/* ---- One line ---- */

static bool watched; /* by a watchdog, which wants a heartbeat */

static void run_line(uint64_t ticks, uint64_t counts)
{
    struct clock_pair start = clocks_read();
    uint64_t beat = 0;

    timer_start(counts);
    while (lateness.ticks < ticks) {
        __asm__ volatile("sti; hlt; cli" : : : "memory");
        interrupts_on();
        memory_watch();
        interrupts_off();
        if (watched && lateness.ticks >= beat) {
            (void)hypercall(HYPERCALL_HEARTBEAT, 0, 0, NULL);
            beat = lateness.ticks + BEAT_TICKS;
        }
    }
    timer_stop();
    bool clock_ok = clocks_agree(&start);
    print("timer: %lu ticks (%s), lateness p50 %lu p99 %lu max %lu TSC ticks, %lu missed, memory %s, clock %s\n",
          lateness.ticks, by_deadline ? "deadline" : "periodic", percentile(50), percentile(99), lateness.worst,
          lateness.missed, memory.wrong == 0 ? "ok" : "WRONG", clock_ok ? "ok" : "WRONG");
    check_equal(lateness.early, 0, "ticks before their time");
    check_equal(memory.wrong, 0, "words of memory that have changed");
    check(clock_ok, "TSC and PM timer agree");
}

void guest_main(void)
{
    uint64_t limit = option_number("ticks", 0), line = max_u64(option_number("line", LINE_TICKS), 1), features = 0;
    uint64_t period_us = max_u64(option_number("period_us", PERIOD_US), 1);
    uint64_t counts = clock_apic_hz() * period_us / 1000000, free = memory_end() - memory_free();
    uint64_t size = min_u64(KIB(option_number("memory_kib", free / MEMORY_PART / 1024)), free);

    if (counts == 0 || counts > UINT32_MAX)
        fail("nobody tells the frequency of the local APIC's timer, or the period is too long");
    period_ticks = clock_hz() * period_us / 1000000;
    memory_fill(size);
    interrupt_handle(VECTOR_TICK, tick);
    if (hypercall_offered()) {
        struct hypercall_registers registers = {HYPERCALL_VERSION, 0, 0, 0};
        hypercall_raw(&registers);
        features = registers.rcx;
    }
    watched = (features & HYPERCALL_FEATURE_WATCHDOG) != 0;
    print("timer: a tick each %lu us, %lu KiB of memory watched%s\n", period_us, size / 1024,
          watched ? ", heartbeat" : "");
    uint64_t done = 0;
    while (limit == 0 || done < limit) {
        uint64_t ticks = limit == 0 ? line : min_u64(line, limit - done);
        run_line(ticks, counts);
        done += ticks;
        by_deadline = !by_deadline && apic_deadline_offered();
    }
    if (checks_failed() != 0)
        fail("%u of %u checks failed", checks_failed(), checks_made());
    print("timer: %lu ticks, all %u checks passed\n", done, checks_made());
}
