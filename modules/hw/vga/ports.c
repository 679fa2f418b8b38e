/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The registers of a VGA at their ports. */
#include <string.h>

#include <bp/clock.h>
#include <bp/log.h>

#include "vga.h"

/* Bits that exist. */
static const uint8_t seq_bits[8] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e};
static const uint8_t gr_bits[16] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};

#define STATUS_DISABLED 0x01u /* no picture at this moment */
#define STATUS_RETRACE 0x08u

static bool colour_ports(const struct vga *vga)
{
    return vga->misc & 1;
}

/* Where the beam is, by guest time. */
static uint8_t status_1(struct vga *vga)
{
    static const uint32_t kilohertz[4] = {25175, 28322, 25175, 25175};
    const uint8_t *cr = vga->crtc;
    unsigned overflow = cr[CR_OVERFLOW];
    uint64_t dots = ((uint64_t)cr[CR_H_TOTAL] + 5) * (vga->seq[SEQ_CLOCKING] & 1 ? 8 : 9) *
                    (vga->seq[SEQ_CLOCKING] & 8 ? 2 : 1);
    uint64_t line_ns = dots * 1000000 / kilohertz[vga->misc >> 2 & 3];
    uint32_t lines = (cr[6] | (overflow & 1) << 8 | (overflow & 0x20) << 4) + 2;
    uint32_t end = (cr[CR_V_END] | (overflow & 2) << 7 | (overflow & 0x40) << 3) + 1;
    uint32_t retrace = cr[CR_V_RETRACE_START] | (overflow & 4) << 6 | (overflow & 0x80) << 2;
    uint32_t retrace_lines = (cr[CR_V_RETRACE_END] - retrace) & 15;
    uint64_t now = (uint64_t)bp_virtual_ns(vga->machine), line, dot;

    if (lines < 100 || !line_ns) { /* not set up: alternate, so that nobody waits for ever */
        lines = 449;
        line_ns = 31778;
        end = 400;
        retrace = 412;
        retrace_lines = 2;
    }
    line = now / line_ns % lines;
    dot = now % line_ns * (cr[CR_H_TOTAL] + 5u) / line_ns;
    if (line - retrace < (retrace_lines ? retrace_lines : 16))
        return STATUS_DISABLED | STATUS_RETRACE;
    return line >= end || dot > cr[CR_H_END] ? STATUS_DISABLED : 0;
}

/* ---- attribute controller ---- */

static void write_attribute(struct vga *vga, uint8_t value)
{
    static const uint8_t bits[AR_COUNT] = {
        [AR_MODE] = 0xef, [AR_OVERSCAN] = 0xff, [AR_PLANES] = 0x3f, [AR_PAN] = 0x0f,
        [AR_COLOUR_SELECT] = 0x0f};
    unsigned index = vga->attr_index & 0x1f;

    vga->attr_data = !vga->attr_data;
    if (vga->attr_data) {
        vga->attr_index = value & 0x3f;
        return;
    }
    if (index < 16 && !(vga->attr_index & 0x20))
        vga->attr[index] = value & 0x3f;
    else if (index >= 16 && index < AR_COUNT)
        vga->attr[index] = value & bits[index];
}

static uint8_t read_attribute(const struct vga *vga)
{
    unsigned index = vga->attr_index & 0x1f;

    return index < AR_COUNT ? vga->attr[index] : 0;
}

/* ---- DAC ---- */

static void write_dac(struct vga *vga, uint8_t value)
{
    bool wide = dispi_on(&vga->dispi) && (vga->dispi.reg[DISPI_ENABLE] & DISPI_8BIT_DAC);

    vga->dac_latch[vga->dac_part++] = wide ? value : value & 0x3f;
    if (vga->dac_part < 3)
        return;
    memcpy(vga->dac + 3 * vga->dac_write, vga->dac_latch, 3);
    vga->dac_write++;
    vga->dac_part = 0;
}

static uint8_t read_dac(struct vga *vga)
{
    uint8_t value = vga->dac[3 * vga->dac_read + vga->dac_part];

    if (++vga->dac_part == 3) {
        vga->dac_part = 0;
        vga->dac_read++;
    }
    return value;
}

/* ---- CRT controller ---- */

static void write_crtc(struct vga *vga, uint8_t value)
{
    unsigned index = vga->crtc_index;

    if (index >= CR_COUNT)
        return;
    if (index <= CR_OVERFLOW && (vga->crtc[CR_V_RETRACE_END] & 0x80)) {
        /* Write-protected, but for one bit of line compare. */
        if (index == CR_OVERFLOW)
            vga->crtc[index] = (vga->crtc[index] & ~0x10) | (value & 0x10);
        return;
    }
    vga->crtc[index] = value;
}

/* ---- ports ---- */

static bool is_absent(const struct vga *vga, unsigned port)
{
    /* One of the two groups for monochrome and colour. */
    if (port >= 0x3b0 && port <= 0x3bf)
        return colour_ports(vga);
    return port >= 0x3d0 && !colour_ports(vga);
}

uint8_t vga_port_read(struct vga *vga, unsigned port)
{
    uint8_t value;

    if (is_absent(vga, port))
        return 0xff;
    if (vga->chip && vga->chip->port_read && vga->chip->port_read(vga, port, &value))
        return value;
    switch (port) {
    case 0x3c0:
        return vga->attr_data ? 0 : vga->attr_index;
    case 0x3c1:
        return read_attribute(vga);
    case 0x3c2: /* input status 0: the monitor is sensed */
        return 0x10;
    case 0x3c3:
        return 1; /* on */
    case 0x3c4:
        return vga->seq_index;
    case 0x3c5:
        return vga->seq_index < 8 ? vga->seq[vga->seq_index] : 0xff;
    case 0x3c6:
        return vga->dac_mask;
    case 0x3c7:
        return vga->dac_state;
    case 0x3c8:
        return vga->dac_write;
    case 0x3c9:
        return read_dac(vga);
    case 0x3ca:
        return vga->feature;
    case 0x3cc:
        return vga->misc;
    case 0x3ce:
        return vga->gr_index;
    case 0x3cf:
        return vga->gr_index < 16 ? vga->gr[vga->gr_index] : 0xff;
    case 0x3b4:
    case 0x3d4:
        return vga->crtc_index;
    case 0x3b5:
    case 0x3d5:
        return vga->crtc_index < CR_COUNT ? vga->crtc[vga->crtc_index] : 0xff;
    case 0x3ba:
    case 0x3da:
        vga->attr_data = false;
        return status_1(vga);
    default:
        return 0xff;
    }
}

void vga_port_write(struct vga *vga, unsigned port, uint8_t value)
{
    if (is_absent(vga, port))
        return;
    if (vga->chip && vga->chip->port_write && vga->chip->port_write(vga, port, value))
        return;
    switch (port) {
    case 0x3c0:
    case 0x3c1:
        write_attribute(vga, value);
        break;
    case 0x3c2:
        vga->misc = value & 0xef;
        vga_map(vga);
        break;
    case 0x3c4:
        vga->seq_index = value & 7;
        break;
    case 0x3c5:
        vga->seq[vga->seq_index] = value & seq_bits[vga->seq_index];
        if (vga->seq_index == SEQ_MEMORY_MODE || vga->seq_index == SEQ_MAP_MASK)
            vga_map(vga);
        break;
    case 0x3c6:
        vga->dac_mask = value;
        break;
    case 0x3c7:
        vga->dac_read = value;
        vga->dac_part = 0;
        vga->dac_state = 3;
        break;
    case 0x3c8:
        vga->dac_write = value;
        vga->dac_part = 0;
        vga->dac_state = 0;
        break;
    case 0x3c9:
        write_dac(vga, value);
        break;
    case 0x3ce:
        vga->gr_index = value & 15;
        break;
    case 0x3cf:
        vga->gr[vga->gr_index] = value & gr_bits[vga->gr_index];
        vga_map(vga);
        break;
    case 0x3b4:
    case 0x3d4:
        vga->crtc_index = value;
        break;
    case 0x3b5:
    case 0x3d5:
        write_crtc(vga, value);
        break;
    case 0x3ba:
    case 0x3da:
        vga->feature = value & 0x0b;
        break;
    default:
        break;
    }
}

/* A group of ports whose first is BASE. */
#define PORTS(name, BASE) \
    static uint64_t name##_read(void *opaque, uint64_t addr, unsigned size) \
    { \
        (void)size; \
        return vga_port_read(opaque, BASE + (unsigned)addr); \
    } \
    static void name##_write(void *opaque, uint64_t addr, uint64_t value, unsigned size) \
    { \
        (void)size; \
        vga_port_write(opaque, BASE + (unsigned)addr, (uint8_t)value); \
    } \
    const struct bp_region_ops name = { \
        .size = sizeof(name), .read = name##_read, .write = name##_write, .max_access = 1}

PORTS(vga_ports_3b4, 0x3b4);
PORTS(vga_ports_3ba, 0x3ba);
PORTS(vga_ports_ops, 0x3c0);
PORTS(vga_ports_3d4, 0x3d4);
PORTS(vga_ports_3da, 0x3da);
