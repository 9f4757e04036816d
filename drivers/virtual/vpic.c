/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two cascaded 8259A as a PC chipset has them. Intel 8259A data sheet, "Functional Description" and "Programming the
 * 8259A"; trigger registers: Intel 82371SB (PIIX3) data sheet, "Interrupt Controller".
 *
 * The output of the pair is kept as the level of its wire, because the run loop asks for it before every guest entry:
 * everything that can change it ends in pair_update.
 */
#include "drivers/virtual/vpic.h"

#include "hv/guest.h"
#include "hv/irq.h"
#include "hv/vcpu.h"

enum {
    INPUTS = 8,        /* of one chip */
    INPUT_NONE = -1,   /* no request that may be served */
    CASCADE = 2,       /* the master's input that the slave's output drives */
    INPUT_SPURIOUS = 7 /* what an acknowledge cycle without a request answers */
};

#define CASCADE_BIT (1u << CASCADE)

/* Lines that the chipset never lets a guest make level-triggered: timer, keyboard, cascade; clock, coprocessor. */
#define ELCR_WRITABLE_MASTER 0xf8u
#define ELCR_WRITABLE_SLAVE  0xdeu
/* Firmware's setting: only the ACPI interrupt (IRQ 9) is level-triggered. ACPI 6.4, section 5.2.9, SCI_INT. */
#define ELCR_RESET_MASTER 0x00u
#define ELCR_RESET_SLAVE  (1u << (IRQ_SCI - INPUTS))

/* Where firmware of a PC puts the vectors. */
#define VECTOR_BASE_MASTER 0x08u
#define VECTOR_BASE_SLAVE  0x70u

#define ICW1_MARK   0x10u /* command port, bit 4: ICW1, else OCW2 or OCW3 */
#define ICW1_SINGLE 0x02u
#define ICW1_ICW4   0x01u

#define ICW4_SPECIAL_FULLY_NESTED 0x10u
#define ICW4_AUTO_EOI             0x02u

#define OCW3_MARK              0x08u
#define OCW3_SPECIAL_MASK_SET  0x40u /* ESMM: bit 5 counts */
#define OCW3_SPECIAL_MASK      0x20u
#define OCW3_POLL              0x04u
#define OCW3_READ_REGISTER_SET 0x02u /* RR: bit 0 counts */
#define OCW3_READ_ISR          0x01u

#define POLL_PENDING 0x80u

/* OCW2, bits 7-5: rotate, specific, EOI. */
enum ocw2 {
    OCW2_ROTATE_AUTO_EOI_CLEAR = 0,
    OCW2_EOI = 1,
    OCW2_NOTHING = 2,
    OCW2_EOI_SPECIFIC = 3,
    OCW2_ROTATE_AUTO_EOI_SET = 4,
    OCW2_EOI_ROTATE = 5,
    OCW2_SET_PRIORITY = 6,
    OCW2_EOI_SPECIFIC_ROTATE = 7,
};

enum icw_step {
    ICW_DONE = 0,
    ICW_2 = 2,
    ICW_3 = 3,
    ICW_4 = 4,
};

struct pic_chip {
    uint8_t lines; /* levels at the inputs */
    uint8_t edges; /* rising edges that wait for their acknowledge; a line that falls takes its edge back */
    uint8_t imr;   /* mask */
    uint8_t isr;   /* in service */
    uint8_t elcr;  /* bit set: level-triggered, as the guest reads it */
    uint8_t elcr_writable;
    uint8_t always_level; /* the cascade: it follows the slave's output */
    uint8_t vector_base;
    uint8_t lowest;   /* the input of lowest priority, 7 unless rotated */
    uint8_t icw_next; /* enum icw_step: what the data port takes next */
    bool icw4_wanted;
    bool single;
    bool auto_eoi;
    bool rotate_on_auto_eoi;
    bool special_mask;
    bool special_fully_nested;
    bool read_isr;
    bool poll;
};

struct pic_state {
    struct pic_chip master;
    struct pic_chip slave;
    struct vcpu *vcpu; /* its local APIC takes the output as ExtINT */
    struct irq_router *router;
};

static uint8_t chip_requests(const struct pic_chip *chip)
{
    uint8_t level = chip->elcr | chip->always_level;

    return (uint8_t)((chip->edges & ~level) | (chip->lines & level));
}

/* The input that an acknowledge cycle would serve now, or INPUT_NONE. "Fully Nested Mode", "Special Mask Mode" */
static int chip_pick(const struct pic_chip *chip)
{
    unsigned requests = chip_requests(chip) & ~(unsigned)chip->imr;

    if (requests == 0 || chip->icw_next != ICW_DONE)
        return INPUT_NONE;
    unsigned blocking = chip->isr;
    if (chip->special_mask)
        blocking &= ~(unsigned)chip->imr;
    for (unsigned i = 1; i <= INPUTS; i++) {
        unsigned input = (chip->lowest + i) % INPUTS;
        unsigned bit = 1u << input;
        if (blocking & bit) {
            /* A slave may interrupt its own service with something more urgent. "Special Fully Nested Mode" */
            bool nested = chip->special_fully_nested && (bit & chip->always_level) != 0 && (requests & bit) != 0;
            return nested ? (int)input : INPUT_NONE;
        }
        if (requests & bit)
            return (int)input;
    }
    return INPUT_NONE;
}

static void chip_acknowledge(struct pic_chip *chip, unsigned input)
{
    uint8_t bit = (uint8_t)(1u << input);

    chip->edges &= (uint8_t)~bit;
    if (!chip->auto_eoi)
        chip->isr |= bit;
    else if (chip->rotate_on_auto_eoi)
        chip->lowest = (uint8_t)input;
}

static void chip_set_line(struct pic_chip *chip, unsigned input, bool level)
{
    uint8_t bit = (uint8_t)(1u << input);

    if (level) {
        if (!(chip->lines & bit))
            chip->edges |= bit;
        chip->lines |= bit;
    } else {
        chip->lines &= (uint8_t)~bit;
        chip->edges &= (uint8_t)~bit;
    }
}

static void pair_update(struct pic_state *pic)
{
    bool slave_output = chip_pick(&pic->slave) != INPUT_NONE && !pic->master.single;

    chip_set_line(&pic->master, CASCADE, slave_output);
    bool output = chip_pick(&pic->master) != INPUT_NONE;
    bool before = __atomic_exchange_n(&pic->router->pic_output, output, __ATOMIC_SEQ_CST);
    if (output && !before)
        vcpu_request(pic->vcpu, REQUEST_EVENT);
}

static int pic_pending(void *context)
{
    struct device *device = context;
    struct pic_state *pic = device->state;

    if (!pic->router->pic_output)
        return IRQ_NONE;
    int input = chip_pick(&pic->master);
    if (input != CASCADE || pic->master.single)
        return pic->master.vector_base + input;
    return pic->slave.vector_base + chip_pick(&pic->slave);
}

/* A request that went away before its acknowledge is answered as input 7, and is not put in service. "Interrupt
 * Sequence" */
static int pic_acknowledge(void *context)
{
    struct device *device = context;
    struct pic_state *pic = device->state;
    int input = chip_pick(&pic->master);

    if (input == INPUT_NONE)
        return pic->master.vector_base + INPUT_SPURIOUS;
    int vector = pic->master.vector_base + input;
    chip_acknowledge(&pic->master, (unsigned)input);
    if (input == CASCADE && !pic->master.single) {
        int slave_input = chip_pick(&pic->slave);
        if (slave_input == INPUT_NONE) {
            vector = pic->slave.vector_base + INPUT_SPURIOUS;
        } else {
            vector = pic->slave.vector_base + slave_input;
            chip_acknowledge(&pic->slave, (unsigned)slave_input);
        }
    }
    /* The output falls with every acknowledge: what still waits raises it again. */
    __atomic_store_n(&pic->router->pic_output, false, __ATOMIC_SEQ_CST);
    pair_update(pic);
    return vector;
}

static void pic_line_changed(void *context, unsigned line, bool level)
{
    struct device *device = context;
    struct pic_state *pic = device->state;

    if (line >= 2 * INPUTS || line == CASCADE)
        return;
    chip_set_line(line < INPUTS ? &pic->master : &pic->slave, line % INPUTS, level);
    pair_update(pic);
}

/* "Initialization Command Words 1 and 2": what ICW1 resets. */
static void chip_write_icw1(struct pic_chip *chip, uint8_t value)
{
    chip->edges = 0;
    chip->imr = 0;
    chip->isr = 0;
    chip->lowest = INPUTS - 1;
    chip->special_mask = false;
    chip->read_isr = false;
    chip->poll = false;
    chip->rotate_on_auto_eoi = false;
    chip->auto_eoi = false;
    chip->special_fully_nested = false;
    chip->single = (value & ICW1_SINGLE) != 0;
    chip->icw4_wanted = (value & ICW1_ICW4) != 0;
    chip->icw_next = ICW_2;
}

/* The in-service input of highest priority that an unspecific EOI ends, or INPUT_NONE. */
static int chip_in_service(const struct pic_chip *chip)
{
    unsigned in_service = chip->isr;

    if (chip->special_mask)
        in_service &= ~(unsigned)chip->imr;
    for (unsigned i = 1; i <= INPUTS; i++) {
        unsigned input = (chip->lowest + i) % INPUTS;
        if (in_service & (1u << input))
            return (int)input;
    }
    return INPUT_NONE;
}

static void chip_end_of_interrupt(struct pic_chip *chip, int input, bool rotate)
{
    if (input == INPUT_NONE)
        return;
    chip->isr &= (uint8_t) ~(1u << input);
    if (rotate)
        chip->lowest = (uint8_t)input;
}

static void chip_write_ocw2(struct pic_chip *chip, uint8_t value)
{
    int level = value & (INPUTS - 1);

    switch ((enum ocw2)(value >> 5)) {
    case OCW2_ROTATE_AUTO_EOI_CLEAR: chip->rotate_on_auto_eoi = false; break;
    case OCW2_ROTATE_AUTO_EOI_SET: chip->rotate_on_auto_eoi = true; break;
    case OCW2_EOI: chip_end_of_interrupt(chip, chip_in_service(chip), false); break;
    case OCW2_EOI_ROTATE: chip_end_of_interrupt(chip, chip_in_service(chip), true); break;
    case OCW2_EOI_SPECIFIC: chip_end_of_interrupt(chip, level, false); break;
    case OCW2_EOI_SPECIFIC_ROTATE: chip_end_of_interrupt(chip, level, true); break;
    case OCW2_SET_PRIORITY: chip->lowest = (uint8_t)level; break;
    case OCW2_NOTHING: break;
    }
}

static void chip_write_ocw3(struct pic_chip *chip, uint8_t value)
{
    if (value & OCW3_SPECIAL_MASK_SET)
        chip->special_mask = (value & OCW3_SPECIAL_MASK) != 0;
    if (value & OCW3_POLL)
        chip->poll = true;
    else if (value & OCW3_READ_REGISTER_SET)
        chip->read_isr = (value & OCW3_READ_ISR) != 0;
}

static void chip_write_command(struct pic_chip *chip, uint8_t value)
{
    if (value & ICW1_MARK)
        chip_write_icw1(chip, value);
    else if (value & OCW3_MARK)
        chip_write_ocw3(chip, value);
    else
        chip_write_ocw2(chip, value);
}

static void chip_write_data(struct pic_chip *chip, uint8_t value)
{
    switch ((enum icw_step)chip->icw_next) {
    case ICW_DONE: chip->imr = value; break;
    case ICW_2:
        chip->vector_base = value & 0xf8;
        chip->icw_next = !chip->single ? ICW_3 : chip->icw4_wanted ? ICW_4 : ICW_DONE;
        break;
    case ICW_3: /* the cascade's wiring is fixed, so what the guest says of it changes nothing */
        chip->icw_next = chip->icw4_wanted ? ICW_4 : ICW_DONE;
        break;
    case ICW_4:
        chip->auto_eoi = (value & ICW4_AUTO_EOI) != 0;
        chip->special_fully_nested = (value & ICW4_SPECIAL_FULLY_NESTED) != 0;
        chip->icw_next = ICW_DONE;
        break;
    }
}

static void pic_write(struct pic_state *pic, struct pic_chip *chip, uint64_t offset, uint8_t value)
{
    if (offset == 0)
        chip_write_command(chip, value);
    else
        chip_write_data(chip, value);
    pair_update(pic);
}

/* A read after the poll command is an acknowledge cycle of this chip alone. "Poll Command" */
static uint8_t pic_read_poll(struct pic_state *pic, struct pic_chip *chip)
{
    int input = chip_pick(chip);

    chip->poll = false;
    if (input == INPUT_NONE)
        return 0;
    chip_acknowledge(chip, (unsigned)input);
    pair_update(pic);
    return (uint8_t)(POLL_PENDING | (unsigned)input);
}

static uint8_t pic_read(struct pic_state *pic, struct pic_chip *chip, uint64_t offset)
{
    if (chip->poll)
        return pic_read_poll(pic, chip);
    if (offset != 0)
        return chip->imr;
    return chip->read_isr ? chip->isr : chip_requests(chip);
}

static uint64_t master_read(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    struct pic_state *pic = device->state;

    (void)vcpu;
    (void)size;
    return pic_read(pic, &pic->master, offset);
}

static void master_write(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    struct pic_state *pic = device->state;

    (void)vcpu;
    (void)size;
    pic_write(pic, &pic->master, offset, (uint8_t)value);
}

static uint64_t slave_read(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    struct pic_state *pic = device->state;

    (void)vcpu;
    (void)size;
    return pic_read(pic, &pic->slave, offset);
}

static void slave_write(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    struct pic_state *pic = device->state;

    (void)vcpu;
    (void)size;
    pic_write(pic, &pic->slave, offset, (uint8_t)value);
}

static uint64_t elcr_read(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    struct pic_state *pic = device->state;

    (void)vcpu;
    (void)size;
    return offset == 0 ? pic->master.elcr : pic->slave.elcr;
}

static void elcr_write(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    struct pic_state *pic = device->state;
    struct pic_chip *chip = offset == 0 ? &pic->master : &pic->slave;

    (void)vcpu;
    (void)size;
    uint8_t elcr = (uint8_t)value & chip->elcr_writable;
    chip->edges &= (uint8_t) ~(elcr ^ chip->elcr); /* an edge latched under the old rule means nothing under the new */
    chip->elcr = elcr;
    pair_update(pic);
}

static const struct bus_ops master_ops = {master_read, master_write};
static const struct bus_ops slave_ops = {slave_read, slave_write};
static const struct bus_ops elcr_ops = {elcr_read, elcr_write};

/* As firmware leaves it, but wholly masked: no guest is started with an interrupt table that fits. Lines keep their
 * levels. */
static void chip_reset(struct pic_chip *chip, uint8_t vector_base, uint8_t elcr)
{
    chip_write_icw1(chip, ICW1_ICW4);
    chip->icw_next = ICW_DONE;
    chip->imr = 0xff;
    chip->vector_base = vector_base;
    chip->elcr = elcr;
}

static void pic_reset(struct device *device)
{
    struct pic_state *pic = device->state;

    chip_reset(&pic->master, VECTOR_BASE_MASTER, ELCR_RESET_MASTER);
    chip_reset(&pic->slave, VECTOR_BASE_SLAVE, ELCR_RESET_SLAVE);
    __atomic_store_n(&pic->router->pic_output, false, __ATOMIC_SEQ_CST);
    pair_update(pic);
}

static int pic_init(struct device *device)
{
    struct pic_state *pic = device->state;
    struct irq_router *router = &device->guest->irq;

    pic->vcpu = device->guest->vcpus[0];
    pic->router = router;
    pic->master.elcr_writable = ELCR_WRITABLE_MASTER;
    pic->master.always_level = CASCADE_BIT;
    pic->slave.elcr_writable = ELCR_WRITABLE_SLAVE;
    int error = device_claim_ports(device, 0x20, 2, 1, &master_ops);
    if (!error)
        error = device_claim_ports(device, 0xa0, 2, 1, &slave_ops);
    if (!error)
        error = device_claim_ports(device, 0x4d0, 2, 1, &elcr_ops);
    if (!error)
        error = irq_listen(device->guest, pic_line_changed, device);
    if (error)
        return error;
    router->pic_pending = pic_pending;
    router->pic_acknowledge = pic_acknowledge;
    router->pic_context = device;
    return 0;
}

const struct device_ops vpic_device = {
    .name = "pic",
    .state_size = sizeof(struct pic_state),
    .init = pic_init,
    .reset = pic_reset,
};
