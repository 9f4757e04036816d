/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two steps: console_compose merges what all have written into one staged stream; offer() hands that stream to
 * each host device at the device's own pace. The slowest living device holds the stream back, a dead one does not.
 */
#include "hv/console_internal.h"

#include "hv/error.h"
#include "hv/format.h"
#include "hv/guest.h"
#include "hv/lock.h"
#include "hv/machine.h"
#include "hv/vcpu.h"

#define OWN_SIZE   32768u /* unsent text of the hypervisor; a power of two */
#define STAGE_SIZE 1024u  /* composed, not yet taken by every device; a power of two */
#define EARLY_SIZE 16384u /* the first output, shown to devices that come later */

#define DEAD_MS 2000u /* a device that takes nothing for so long is dead */

#define ROUNDS_MAX 16u /* of one poll */
#define INPUT_MAX  64u /* bytes read from a device in one poll */
#define STALL_POLLS_MAX                                                                                                \
    1000000u                    /* a flush gives up after so many polls without progress; no clock is needed for that */
#define FLUSH_BYTES_MAX 131072u /* and after so many bytes: running guests may write for ever */
#define LAST_MS         10000u  /* the machine's end waits so long at most for what guests have written */

struct output {
    struct console_driver driver;
    uint32_t tail;       /* the next staged byte for this device */
    uint32_t early_next; /* before that: early output that it has not seen */
    uint32_t early_end;
    uint64_t progress_ticks;
    bool dead;
    struct console_keys keys;
    bool held; /* a byte that was read and has no room yet */
    uint8_t held_byte;
};

/* Written under own_lock, except for own_tail, which belongs to the serving CPU. */
static struct lock own_lock;
static uint8_t own_bytes[OWN_SIZE];
static uint32_t own_head, own_tail;
static uint32_t own_lost; /* texts that did not fit */

static bool deferred;
static uint32_t panic_cpu; /* number + 1 of the CPU that panics */

/* Belongs to the CPU that has set `serving`. */
static uint32_t serving;
static struct output outputs[CONSOLE_DRIVERS_MAX];
static uint32_t output_count;
static uint8_t stage_bytes[STAGE_SIZE];
static uint32_t stage_head;
static uint8_t early[EARLY_SIZE];
static uint32_t early_count;

static bool panic_elsewhere(void)
{
    uint32_t panicking = __atomic_load_n(&panic_cpu, __ATOMIC_ACQUIRE);

    return panicking != 0 && panicking != machine_cpu() + 1;
}

static bool serve_begin(void)
{
    return !panic_elsewhere() && __atomic_exchange_n(&serving, 1, __ATOMIC_ACQUIRE) == 0;
}

static void serve_end(void)
{
    __atomic_store_n(&serving, 0, __ATOMIC_RELEASE);
}

/* Before the clock's frequency is known nothing is too late: a flush then counts its polls. */
uint64_t console_ticks_of_ms(uint64_t ms)
{
    uint64_t hz = machine_ticks_hz();

    return hz != 0 ? hz / 1000 * ms : UINT64_MAX;
}

uint32_t console_own_used(void)
{
    return __atomic_load_n(&own_head, __ATOMIC_ACQUIRE) - own_tail;
}

uint8_t console_own_take(void)
{
    uint8_t byte = own_bytes[own_tail % OWN_SIZE];

    __atomic_store_n(&own_tail, own_tail + 1, __ATOMIC_RELEASE);
    return byte;
}

/* ---- The staged stream ---- */

uint32_t console_stage_room(void)
{
    uint32_t used = 0;

    for (uint32_t i = 0; i < output_count; i++) {
        if (!outputs[i].dead)
            used = (uint32_t)max_u64(used, stage_head - outputs[i].tail);
    }
    return STAGE_SIZE - used;
}

void console_stage(uint8_t byte)
{
    if (early_count < EARLY_SIZE)
        early[early_count++] = byte;
    stage_bytes[stage_head % STAGE_SIZE] = byte;
    stage_head++;
    for (uint32_t i = 0; i < output_count; i++) { /* a dead device loses the oldest bytes */
        if (stage_head - outputs[i].tail > STAGE_SIZE)
            outputs[i].tail = stage_head - STAGE_SIZE;
    }
}

/* ---- The devices ---- */

static uint32_t output_unsent(const struct output *output)
{
    return output->early_end - output->early_next + (stage_head - output->tail);
}

static uint32_t output_write(struct output *output, const uint8_t *bytes, uint32_t size)
{
    return (uint32_t)min_u64(output->driver.write(output->driver.context, bytes, size), size);
}

/* Give a device what it takes. Returns the number of bytes. */
static uint32_t offer(struct output *output, uint64_t now)
{
    uint32_t taken, total = 0;

    while (output_unsent(output) > 0) {
        if (output->early_next < output->early_end) {
            taken = output_write(output, early + output->early_next, output->early_end - output->early_next);
            output->early_next += taken;
        } else {
            uint32_t start = output->tail % STAGE_SIZE;
            uint32_t size = (uint32_t)min_u64(stage_head - output->tail, STAGE_SIZE - start);
            taken = output_write(output, stage_bytes + start, size);
            output->tail += taken;
        }
        if (taken == 0)
            break;
        total += taken;
    }
    if (total > 0 || output_unsent(output) == 0) {
        output->dead = false;
        output->progress_ticks = now;
    } else if (now - output->progress_ticks > console_ticks_of_ms(DEAD_MS)) {
        output->dead = true;
    }
    return total;
}

/* One poll's worth of output, for the serving CPU. Returns the number of bytes that moved. */
static uint32_t carry_output(bool hurry)
{
    uint32_t total = 0;

    for (uint32_t round = 0; round < ROUNDS_MAX; round++) {
        uint64_t now = machine_ticks();
        uint32_t moved = console_compose(now, hurry);
        for (uint32_t i = 0; i < output_count; i++)
            moved += offer(&outputs[i], now);
        total += moved;
        if (moved == 0)
            break;
    }
    return total;
}

/* What no device could take yet; dead devices do not count. */
static bool output_remains(void)
{
    for (uint32_t i = 0; i < output_count; i++) {
        if (!outputs[i].dead && output_unsent(&outputs[i]) > 0)
            return true;
    }
    return console_compose_remains();
}

/* What devices have taken has left them too; dead ones do not count. */
static bool outputs_idle(void)
{
    for (uint32_t i = 0; i < output_count; i++) {
        const struct console_driver *driver = &outputs[i].driver;
        if (!outputs[i].dead && driver->idle != NULL && !driver->idle(driver->context))
            return false;
    }
    return true;
}

/* ---- Towards the guests ---- */

/* Every device may type, and each has its own place in a pair of keys. */
static void carry_input(uint64_t now)
{
    for (uint32_t i = 0; i < output_count; i++) {
        struct output *device = &outputs[i];
        for (uint32_t budget = INPUT_MAX; device->driver.read != NULL && budget > 0; budget--) {
            if (!device->held && !device->driver.read(device->driver.context, &device->held_byte))
                break;
            device->held = !console_key(&device->keys, device->held_byte, now);
            if (device->held)
                break;
        }
    }
    console_tell_typed();
}

/* Returns true when there was something to keep: more comes. */
static bool keep_unseen(void)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < console_line_count; i++) {
        if (!console_line_shown(i))
            count += console_line_keep(&console_lines[i]);
    }
    return count > 0;
}

static void tell_of_room(void)
{
    for (uint32_t i = 0; i < console_line_count; i++) {
        struct console_port *port = &console_lines[i].port;
        if (ring_free(&port->out) >= RING_SIZE / 2 && __atomic_exchange_n(&port->wants_room, 0, __ATOMIC_ACQ_REL) != 0)
            vcpu_request(console_lines[i].guest->vcpus[0], REQUEST_CONSOLE);
    }
}

/* ---- The public operations ---- */

int console_add_driver(const struct console_driver *driver)
{
    int error = E_NOMEM;

    while (!serve_begin())
        machine_relax();
    if (output_count < CONSOLE_DRIVERS_MAX) {
        outputs[output_count++] = (struct output){
            .driver = *driver,
            .tail = stage_head,
            .early_end = early_count,
            .progress_ticks = machine_ticks(),
        };
        error = 0;
    }
    serve_end();
    if (!deferred)
        console_flush();
    return error;
}

static void own_put(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        own_bytes[(own_head + i) % OWN_SIZE] = (uint8_t)text[i];
    __atomic_store_n(&own_head, own_head + (uint32_t)size, __ATOMIC_RELEASE);
}

static void own_write(const char *text, size_t size)
{
    char notice[64];
    size_t notice_size = 0;
    size_t room = OWN_SIZE - (own_head - __atomic_load_n(&own_tail, __ATOMIC_ACQUIRE));

    if (own_lost > 0)
        notice_size = format_text(notice, sizeof(notice), "bulkhead: %u messages are missing here\n", own_lost);
    if (room < size + notice_size) {
        own_lost++;
        return;
    }
    own_put(notice, notice_size);
    own_put(text, size);
    own_lost = 0;
}

void console_write(const char *text, size_t size)
{
    bool panicking = __atomic_load_n(&panic_cpu, __ATOMIC_ACQUIRE) != 0;

    if (panic_elsewhere())
        return;
    if (!panicking)
        lock_take(&own_lock);
    own_write(text, size);
    if (!panicking)
        lock_release(&own_lock);
    if (panicking || !deferred)
        console_flush();
}

void console_defer(void)
{
    deferred = true;
}

bool console_poll(void)
{
    if (!serve_begin())
        return true;
    console_follow_shell();
    carry_input(machine_ticks());
    (void)carry_output(false);
    bool kept = keep_unseen();
    tell_of_room();
    bool remains = output_remains();
    serve_end();
    console_shell_run();
    return remains || kept;
}

static void flush(uint32_t bytes_max, uint64_t deadline_ticks)
{
    uint32_t bytes = 0, stalled = 0;
    bool served = false;

    for (; stalled < STALL_POLLS_MAX && bytes < bytes_max && machine_ticks() < deadline_ticks; stalled++) {
        if (serve_begin()) {
            uint32_t moved = carry_output(true);
            bool done = !output_remains() && outputs_idle();
            serve_end();
            if (done)
                return;
            served = true;
            bytes += moved;
            stalled = moved > 0 ? 0 : stalled;
        }
        machine_relax();
    }
    if (served && stalled >= STALL_POLLS_MAX && serve_begin()) { /* nothing waits for these devices again */
        for (uint32_t i = 0; i < output_count; i++)
            outputs[i].dead = outputs[i].dead || output_unsent(&outputs[i]) > 0;
        serve_end();
    }
}

void console_flush(void)
{
    flush(FLUSH_BYTES_MAX, UINT64_MAX);
}

/* What the guests wrote until now is all that there is to show; in the present view first. */
static bool end_lines(void)
{
    for (uint32_t i = 0; i < console_line_count; i++)
        console_line_end(&console_lines[i]);
    return true;
}

void console_last_words(void)
{
    static bool (*const steps[])(void) = {end_lines, console_take_from_shell, console_show_unseen,
                                          console_leave_out_rest};
    uint64_t patience_ticks = console_ticks_of_ms(LAST_MS), now = machine_ticks();
    uint64_t deadline_ticks = patience_ticks > UINT64_MAX - now ? UINT64_MAX : now + patience_ticks;

    for (uint32_t i = 0; i < ARRAY_SIZE(steps) && serve_begin(); i++) {
        bool more = steps[i]();
        serve_end();
        if (more)
            flush(UINT32_MAX, deadline_ticks); /* ended lines are bounded themselves */
    }
}

bool console_panic(void)
{
    uint32_t nobody = 0, mine = machine_cpu() + 1;

    if (!__atomic_compare_exchange_n(&panic_cpu, &nobody, mine, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) &&
        nobody != mine)
        return false;
    own_lock = (struct lock){0, 0};
    serve_end();
    return true;
}
