/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers that read back what was written, with the index and flip-flop rules that drivers rely on, and a retrace
 * that follows time. IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem": register descriptions, and
 * "BIOS Mode" 3 for the values that they power up with. Modes are stored, not carried out.
 */
#include "drivers/virtual/vvga.h"

#include "hv/guest.h"
#include "hv/machine.h"
#include "hv/string.h"
#include "hv/timer.h"

#define PORT_BASE         0x3c0u
#define PORT_COUNT        16u
#define PORT_CRTC         0x3d4u
#define PORT_COLOR_STATUS 0x3dau

/* Offsets from PORT_BASE. */
enum vga_port {
    VGA_ATTRIBUTE = 0x0, /* index and data, in turn */
    VGA_ATTRIBUTE_READ = 0x1,
    VGA_MISC_WRITE = 0x2, /* reads: input status 0 */
    VGA_ENABLE = 0x3,
    VGA_SEQUENCER_INDEX = 0x4,
    VGA_SEQUENCER_DATA = 0x5,
    VGA_DAC_MASK = 0x6,
    VGA_DAC_READ_INDEX = 0x7, /* reads: DAC state */
    VGA_DAC_WRITE_INDEX = 0x8,
    VGA_DAC_DATA = 0x9,
    VGA_FEATURE_READ = 0xa,
    VGA_MISC_READ = 0xc,
    VGA_GRAPHICS_INDEX = 0xe,
    VGA_GRAPHICS_DATA = 0xf,
};

#define CRTC_REGISTERS      25u
#define SEQUENCER_REGISTERS 5u
#define GRAPHICS_REGISTERS  9u
#define ATTRIBUTE_REGISTERS 21u
#define DAC_COLORS          256u
#define DAC_CHANNELS        3u

#define CRTC_OVERFLOW        0x07u
#define CRTC_OVERFLOW_OPEN   0x10u /* line compare bit 8, writable in spite of protection */
#define CRTC_RETRACE_END     0x11u
#define CRTC_PROTECT         0x80u /* registers 0 to 7 */
#define ATTRIBUTE_INDEX_MASK 0x3fu /* with the bit that gives the palette to the screen */
#define ATTRIBUTE_NUMBER     0x1fu
#define DAC_STATE_WRITING    0x00u
#define DAC_STATE_READING    0x03u
#define DAC_VALUE            0x3fu
#define STATUS_0_SENSE       0x10u /* a monitor is attached */
#define STATUS_1_BLANK       0x01u
#define STATUS_1_RETRACE     0x08u

/*
 * A line is 900 dots at 28.322 MHz, 720 of them shown; a frame is 449 lines, 400 of them shown: 70 Hz. Retrace is
 * reported for the whole vertical blank, because a guest samples it once in a port access, not all the time.
 */
#define DOT_HZ      UINT64_C(28322000)
#define LINE_DOTS   900u
#define LINE_SHOWN  720u
#define FRAME_LINES 449u
#define FRAME_SHOWN 400u

struct vga_state {
    uint8_t misc;
    uint8_t feature;
    uint8_t crtc_index;
    uint8_t sequencer_index;
    uint8_t graphics_index;
    uint8_t attribute_index;
    bool attribute_data_next;
    uint8_t dac_mask;
    uint8_t dac_state;
    uint16_t dac_read; /* next byte of `dac` to read */
    uint16_t dac_write;
    uint8_t dac_pending[DAC_CHANNELS]; /* a colour takes effect with its third byte */
    uint8_t crtc[CRTC_REGISTERS];
    uint8_t sequencer[SEQUENCER_REGISTERS];
    uint8_t graphics[GRAPHICS_REGISTERS];
    uint8_t attribute[ATTRIBUTE_REGISTERS];
    uint8_t dac[DAC_COLORS * DAC_CHANNELS];
};

/* 80x25, 9x16 dots, 16 colours; lines 13 and 14 are the cursor. */
static const struct {
    uint8_t misc;
    uint8_t crtc[CRTC_REGISTERS];
    uint8_t sequencer[SEQUENCER_REGISTERS];
    uint8_t graphics[GRAPHICS_REGISTERS];
    uint8_t attribute[ATTRIBUTE_REGISTERS];
} mode_3 = {
    .misc = 0x67,
    .crtc = {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00,
             0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff},
    .sequencer = {0x03, 0x00, 0x03, 0x00, 0x02},
    .graphics = {0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x00, 0xff},
    .attribute = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a,
                  0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00},
};

/* A register of an indexed group; indices behind the group read 0 and take nothing. */
static uint8_t group_read(const uint8_t *group, unsigned count, unsigned index)
{
    return index < count ? group[index] : 0;
}

static void group_write(uint8_t *group, unsigned count, unsigned index, uint8_t value)
{
    if (index < count)
        group[index] = value;
}

/* ---- Attribute controller ---- */

static void attribute_write(struct vga_state *vga, uint8_t value)
{
    if (vga->attribute_data_next)
        group_write(vga->attribute, ATTRIBUTE_REGISTERS, vga->attribute_index & ATTRIBUTE_NUMBER, value);
    else
        vga->attribute_index = value & ATTRIBUTE_INDEX_MASK;
    vga->attribute_data_next = !vga->attribute_data_next;
}

/* ---- Digital-to-analog converter ---- */

static uint8_t dac_read(struct vga_state *vga)
{
    uint8_t value = vga->dac[vga->dac_read];

    vga->dac_read = (uint16_t)((vga->dac_read + 1u) % sizeof(vga->dac));
    return value;
}

static void dac_write(struct vga_state *vga, uint8_t value)
{
    unsigned channel = vga->dac_write % DAC_CHANNELS;

    vga->dac_pending[channel] = value & DAC_VALUE;
    if (channel == DAC_CHANNELS - 1)
        memcpy(&vga->dac[vga->dac_write - channel], vga->dac_pending, DAC_CHANNELS);
    vga->dac_write = (uint16_t)((vga->dac_write + 1u) % sizeof(vga->dac));
}

/* The 64 colours of an EGA, whose numbers are two bits for each of red, green and blue; the rest is black. */
static void dac_reset(struct vga_state *vga)
{
    static const uint8_t strong[DAC_CHANNELS] = {0x04, 0x02, 0x01}, weak[DAC_CHANNELS] = {0x20, 0x10, 0x08};

    memset(vga->dac, 0, sizeof(vga->dac));
    for (unsigned color = 0; color < 64; color++) {
        for (unsigned channel = 0; channel < DAC_CHANNELS; channel++)
            vga->dac[color * DAC_CHANNELS + channel] =
                (uint8_t)((color & strong[channel] ? 0x2a : 0) + (color & weak[channel] ? 0x15 : 0));
    }
}

/* ---- Ports 0x3c0-0x3cf ---- */

static uint64_t vga_read(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    struct vga_state *vga = device->state;

    (void)vcpu;
    (void)size;
    switch (offset) {
    case VGA_ATTRIBUTE: return vga->attribute_index;
    case VGA_ATTRIBUTE_READ:
        return group_read(vga->attribute, ATTRIBUTE_REGISTERS, vga->attribute_index & ATTRIBUTE_NUMBER);
    case VGA_MISC_WRITE: return STATUS_0_SENSE;
    case VGA_ENABLE: return 1;
    case VGA_SEQUENCER_INDEX: return vga->sequencer_index;
    case VGA_SEQUENCER_DATA: return group_read(vga->sequencer, SEQUENCER_REGISTERS, vga->sequencer_index);
    case VGA_DAC_MASK: return vga->dac_mask;
    case VGA_DAC_READ_INDEX: return vga->dac_state;
    case VGA_DAC_WRITE_INDEX: return vga->dac_write / DAC_CHANNELS;
    case VGA_DAC_DATA: return dac_read(vga);
    case VGA_FEATURE_READ: return vga->feature;
    case VGA_MISC_READ: return vga->misc;
    case VGA_GRAPHICS_INDEX: return vga->graphics_index;
    case VGA_GRAPHICS_DATA: return group_read(vga->graphics, GRAPHICS_REGISTERS, vga->graphics_index);
    default: return 0xff;
    }
}

static void vga_write(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    struct vga_state *vga = device->state;
    uint8_t byte = (uint8_t)value;

    (void)vcpu;
    (void)size;
    switch (offset) {
    case VGA_ATTRIBUTE: attribute_write(vga, byte); break;
    case VGA_MISC_WRITE: vga->misc = byte; break;
    case VGA_SEQUENCER_INDEX: vga->sequencer_index = byte & 0x07; break;
    case VGA_SEQUENCER_DATA: group_write(vga->sequencer, SEQUENCER_REGISTERS, vga->sequencer_index, byte); break;
    case VGA_DAC_MASK: vga->dac_mask = byte; break;
    case VGA_DAC_READ_INDEX:
        vga->dac_read = (uint16_t)(byte * DAC_CHANNELS);
        vga->dac_state = DAC_STATE_READING;
        break;
    case VGA_DAC_WRITE_INDEX:
        vga->dac_write = (uint16_t)(byte * DAC_CHANNELS);
        vga->dac_state = DAC_STATE_WRITING;
        break;
    case VGA_DAC_DATA: dac_write(vga, byte); break;
    case VGA_GRAPHICS_INDEX: vga->graphics_index = byte & 0x0f; break;
    case VGA_GRAPHICS_DATA: group_write(vga->graphics, GRAPHICS_REGISTERS, vga->graphics_index, byte); break;
    default: break; /* read-only */
    }
}

/* ---- CRT controller, 0x3d4 and 0x3d5 ---- */

static uint64_t crtc_read(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    const struct vga_state *vga = device->state;

    (void)vcpu;
    (void)size;
    return offset == 0 ? vga->crtc_index : group_read(vga->crtc, CRTC_REGISTERS, vga->crtc_index);
}

static void crtc_write(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    struct vga_state *vga = device->state;
    uint8_t byte = (uint8_t)value;

    (void)vcpu;
    (void)size;
    if (offset == 0) {
        vga->crtc_index = byte & 0x1f;
        return;
    }
    if (vga->crtc_index <= CRTC_OVERFLOW && (vga->crtc[CRTC_RETRACE_END] & CRTC_PROTECT)) {
        if (vga->crtc_index != CRTC_OVERFLOW)
            return;
        byte = (uint8_t)((vga->crtc[CRTC_OVERFLOW] & ~CRTC_OVERFLOW_OPEN) | (byte & CRTC_OVERFLOW_OPEN));
    }
    group_write(vga->crtc, CRTC_REGISTERS, vga->crtc_index, byte);
}

/* ---- Input status 1 and feature control, 0x3da ---- */

static uint64_t status_read(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    struct vga_state *vga = device->state;
    uint64_t dots = units_from_ticks(machine_ticks(), DOT_HZ);
    bool vertical = dots / LINE_DOTS % FRAME_LINES >= FRAME_SHOWN;
    bool horizontal = dots % LINE_DOTS >= LINE_SHOWN;

    (void)vcpu;
    (void)offset;
    (void)size;
    vga->attribute_data_next = false;
    return (vertical ? STATUS_1_RETRACE : 0) | (vertical || horizontal ? STATUS_1_BLANK : 0);
}

static void status_write(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    struct vga_state *vga = device->state;

    (void)vcpu;
    (void)offset;
    (void)size;
    vga->feature = (uint8_t)value;
}

static const struct bus_ops vga_ops = {vga_read, vga_write};
static const struct bus_ops crtc_ops = {crtc_read, crtc_write};
static const struct bus_ops status_ops = {status_read, status_write};

static void vga_reset(struct device *device)
{
    struct vga_state *vga = device->state;

    memset(vga, 0, sizeof(*vga));
    vga->misc = mode_3.misc;
    memcpy(vga->crtc, mode_3.crtc, sizeof(vga->crtc));
    memcpy(vga->sequencer, mode_3.sequencer, sizeof(vga->sequencer));
    memcpy(vga->graphics, mode_3.graphics, sizeof(vga->graphics));
    memcpy(vga->attribute, mode_3.attribute, sizeof(vga->attribute));
    vga->attribute_index = 0x20; /* the screen has the palette */
    vga->dac_mask = 0xff;
    dac_reset(vga);
}

static int vga_init(struct device *device)
{
    int error = device_claim_ports(device, PORT_BASE, PORT_COUNT, 1, &vga_ops);

    if (!error)
        error = device_claim_ports(device, PORT_CRTC, 2, 1, &crtc_ops);
    if (!error)
        error = device_claim_ports(device, PORT_COLOR_STATUS, 1, 1, &status_ops);
    return error;
}

const struct device_ops vvga_device = {
    .name = "vga",
    .state_size = sizeof(struct vga_state),
    .init = vga_init,
    .reset = vga_reset,
};
