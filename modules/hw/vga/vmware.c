/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Registers of a VMware SVGA: an index port, a value port beside it, and the status of its
 * interrupts. */
#include <errno.h>
#include <string.h>

#include <bp/log.h>

#include "vmware.h"

#define ID_0 0x90000000u
#define ID_2 0x90000002u
#define PORT_INDEX 0
#define PORT_VALUE 1
#define PORT_IRQ_STATUS 8
#define PALETTE 1024u
#define SCRATCH (PALETTE + 768u)

enum svga_register {
    REG_ID,
    REG_ENABLE,
    REG_WIDTH,
    REG_HEIGHT,
    REG_MAX_WIDTH,
    REG_MAX_HEIGHT,
    REG_DEPTH,
    REG_BITS_PER_PIXEL,
    REG_PSEUDOCOLOR,
    REG_RED_MASK,
    REG_GREEN_MASK,
    REG_BLUE_MASK,
    REG_BYTES_PER_LINE,
    REG_FB_START,
    REG_FB_OFFSET,
    REG_VRAM_SIZE,
    REG_FB_SIZE,
    REG_CAPABILITIES,
    REG_MEM_START,
    REG_MEM_SIZE,
    REG_CONFIG_DONE,
    REG_SYNC,
    REG_BUSY,
    REG_GUEST_ID,
    REG_CURSOR_ID,
    REG_CURSOR_X,
    REG_CURSOR_Y,
    REG_CURSOR_ON,
    REG_HOST_BITS_PER_PIXEL,
    REG_SCRATCH_SIZE,
    REG_MEM_REGS,
    REG_NUM_DISPLAYS,
    REG_PITCHLOCK,
    REG_IRQMASK,
    REG_TRACES = 45,
};

#define CAP_RECT_FILL 0x00000001u
#define CAP_RECT_COPY 0x00000002u
#define CAP_CURSOR 0x00000020u
#define CAP_CURSOR_BYPASS 0x00000040u
#define CAP_CURSOR_BYPASS_2 0x00000080u
#define CAP_8BIT_EMULATION 0x00000100u
#define CAP_ALPHA_CURSOR 0x00000200u
#define CAP_EXTENDED_FIFO 0x00008000u
#define CAP_PITCHLOCK 0x00020000u
#define CAP_IRQMASK 0x00040000u
#define CAP_TRACES 0x00200000u
#define CAPABILITIES                                                                               \
    (CAP_RECT_FILL | CAP_RECT_COPY | CAP_CURSOR | CAP_CURSOR_BYPASS | CAP_CURSOR_BYPASS_2 |        \
     CAP_8BIT_EMULATION | CAP_ALPHA_CURSOR | CAP_EXTENDED_FIFO | CAP_PITCHLOCK | CAP_IRQMASK |     \
     CAP_TRACES)

bool svga_bpp_is_known(uint32_t bpp)
{
    return bpp == 8 || bpp == 15 || bpp == 16 || bpp == 24 || bpp == 32;
}

uint32_t svga_pitch(const struct svga *s)
{
    uint32_t locked = s->pitchlock, tight = (s->width * ((s->bpp + 7) / 8) + 3) & ~3u;

    if (!locked && s->config_done && svga_fifo_has(s, FIFO_PITCHLOCK))
        locked = svga_fifo_get(s, FIFO_PITCHLOCK);
    return locked > tight && locked <= 4 * SVGA_MAX_SIZE ? locked : tight;
}

void svga_interrupt(struct svga *s, uint32_t sources)
{
    s->irq_status |= sources & s->irq_mask;
    (*svga_pci)->set_irq(s->dev, (s->irq_status & s->irq_mask) != 0);
}

void svga_move_pointer(struct svga *s)
{
    vga_display->move_pointer(s->vga.console, (int32_t)s->cursor_x, (int32_t)s->cursor_y,
                              s->cursor_on & 1);
}

void svga_reset_registers(struct svga *s)
{
    s->index = s->enable = s->config_done = s->guest_id = s->pitchlock = s->irq_mask =
        s->irq_status = 0;
    s->cursor_id = s->cursor_x = s->cursor_y = s->cursor_on = 0;
    s->id = ID_2;
    s->width = 800;
    s->height = 600;
    s->bpp = 32;
    s->traces = 1;
    memset(s->scratch, 0, sizeof(s->scratch));
    memset(s->palette, 0, sizeof(s->palette));
    svga_fifo_begin(s);
    svga_interrupt(s, 0);
    svga_move_pointer(s);
}

/* ---- reading ---- */

static uint32_t colour_mask(const struct svga *s, unsigned reg)
{
    static const uint32_t m15[] = {0x7c00, 0x03e0, 0x001f}, m16[] = {0xf800, 0x07e0, 0x001f};
    static const uint32_t m24[] = {0xff0000, 0x00ff00, 0x0000ff};
    unsigned which = reg - REG_RED_MASK;

    return s->bpp == 8 ? 0 : s->bpp == 15 ? m15[which] : s->bpp == 16 ? m16[which] : m24[which];
}

static uint32_t bar(const struct svga *s, unsigned offset)
{
    const uint8_t *config = (*svga_pci)->config(s->dev) + offset;

    return (config[0] | (uint32_t)config[1] << 8 | (uint32_t)config[2] << 16 |
            (uint32_t)config[3] << 24) &
           ~15u;
}

/* Those that depend on the mode, or say what there is. */
static uint32_t read_derived(const struct svga *s, unsigned reg)
{
    switch (reg) {
    case REG_MAX_WIDTH:
    case REG_MAX_HEIGHT:
        return SVGA_MAX_SIZE;
    case REG_DEPTH:
        return s->bpp == 32 ? 24 : s->bpp;
    case REG_PSEUDOCOLOR:
        return s->bpp == 8;
    case REG_RED_MASK:
    case REG_GREEN_MASK:
    case REG_BLUE_MASK:
        return colour_mask(s, reg);
    case REG_BYTES_PER_LINE:
        return svga_pitch(s);
    case REG_FB_START:
        return bar(s, 0x14);
    case REG_VRAM_SIZE:
        return s->vga.vram_size;
    case REG_FB_SIZE:
        return svga_pitch(s) * s->height;
    case REG_CAPABILITIES:
        return s->id == ID_0 ? 0 : CAPABILITIES;
    case REG_MEM_START:
        return bar(s, 0x18);
    case REG_MEM_SIZE:
        return s->fifo_size;
    case REG_HOST_BITS_PER_PIXEL:
        return 32;
    case REG_SCRATCH_SIZE:
        return SVGA_SCRATCH;
    case REG_MEM_REGS:
        return FIFO_REGISTERS;
    case REG_NUM_DISPLAYS:
        return 1;
    default:
        return 0;
    }
}

static uint32_t *kept(struct svga *s, unsigned reg)
{
    switch (reg) {
    case REG_ID:
        return &s->id;
    case REG_ENABLE:
        return &s->enable;
    case REG_WIDTH:
        return &s->width;
    case REG_HEIGHT:
        return &s->height;
    case REG_BITS_PER_PIXEL:
        return &s->bpp;
    case REG_CONFIG_DONE:
        return &s->config_done;
    case REG_GUEST_ID:
        return &s->guest_id;
    case REG_CURSOR_ID:
        return &s->cursor_id;
    case REG_CURSOR_X:
        return &s->cursor_x;
    case REG_CURSOR_Y:
        return &s->cursor_y;
    case REG_CURSOR_ON:
        return &s->cursor_on;
    case REG_PITCHLOCK:
        return &s->pitchlock;
    case REG_IRQMASK:
        return &s->irq_mask;
    case REG_TRACES:
        return &s->traces;
    default:
        return NULL;
    }
}

static uint32_t read_value(struct svga *s)
{
    uint32_t reg = s->index, *word = kept(s, reg);

    if (word)
        return *word;
    if (reg == REG_BUSY) {
        svga_fifo_run(s);
        return 0;
    }
    if (reg >= PALETTE && reg < SCRATCH)
        return s->palette[reg - PALETTE];
    if (reg >= SCRATCH && reg < SCRATCH + SVGA_SCRATCH)
        return s->scratch[reg - SCRATCH];
    return read_derived(s, reg);
}

/* ---- writing ---- */

static void write_mode(struct svga *s, unsigned reg, uint32_t value)
{
    if (reg == REG_BITS_PER_PIXEL ? svga_bpp_is_known(value) : value && value <= SVGA_MAX_SIZE)
        *kept(s, reg) = value;
    else
        bp_guest_error("svga-mode", "vmware-svga: register %u cannot be %u", reg, value);
}

static void write_value(struct svga *s, uint32_t value)
{
    uint32_t reg = s->index;

    switch (reg) {
    case REG_ID:
        if (value >= ID_0 && value <= ID_2)
            s->id = value;
        break;
    case REG_WIDTH:
    case REG_HEIGHT:
    case REG_BITS_PER_PIXEL:
        write_mode(s, reg, value);
        break;
    case REG_ENABLE:
        s->enable = value & (ENABLE_ON | ENABLE_HIDE);
        break;
    case REG_CONFIG_DONE:
        s->config_done = value & 1;
        if (s->config_done)
            svga_fifo_begin(s);
        break;
    case REG_SYNC:
        svga_fifo_run(s);
        break;
    case REG_IRQMASK:
        s->irq_mask = value & (IRQ_FENCE | IRQ_PROGRESS | IRQ_GOAL);
        svga_interrupt(s, 0);
        break;
    case REG_CURSOR_X:
    case REG_CURSOR_Y:
    case REG_CURSOR_ON:
        *kept(s, reg) = value;
        svga_move_pointer(s);
        break;
    case REG_GUEST_ID:
    case REG_CURSOR_ID:
    case REG_PITCHLOCK:
    case REG_TRACES: /* the frame buffer is always looked at */
        *kept(s, reg) = value;
        break;
    default:
        if (reg >= PALETTE && reg < SCRATCH)
            s->palette[reg - PALETTE] = (uint8_t)value;
        else if (reg >= SCRATCH && reg < SCRATCH + SVGA_SCRATCH)
            s->scratch[reg - SCRATCH] = value;
        break;
    }
}

/* ---- ports ---- */

static uint64_t port_read(void *opaque, uint64_t addr, unsigned size)
{
    struct svga *s = opaque;

    (void)size;
    switch (addr) {
    case PORT_INDEX:
        return s->index;
    case PORT_VALUE:
        return read_value(s);
    case PORT_IRQ_STATUS:
        return s->irq_status;
    default:
        return 0;
    }
}

static void port_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct svga *s = opaque;

    (void)size;
    switch (addr) {
    case PORT_INDEX:
        s->index = (uint32_t)value;
        break;
    case PORT_VALUE:
        write_value(s, (uint32_t)value);
        break;
    case PORT_IRQ_STATUS: /* bits that are written go */
        s->irq_status &= ~(uint32_t)value;
        svga_interrupt(s, 0);
        break;
    default:
        break;
    }
}

const struct bp_region_ops svga_port_ops = {.size = sizeof(svga_port_ops),
                                            .read = port_read,
                                            .write = port_write,
                                            .min_access = 1,
                                            .max_access = 4,
                                            .unaligned = 1};
