/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMware SVGA II (VMware's device header svga_reg.h, as Linux has it beside its driver): a VGA with
 * the Bochs VBE extension for its BIOS, beside it registers behind an index and a value port, a
 * frame buffer, and a FIFO in memory of its own with commands. Everything that the guest puts into
 * the FIFO is read once and checked; what is not a command ends it until its end is written anew.
 *
 * Left out: screen objects, guest memory regions, command buffers, 3D, video overlay, more than one
 * screen. The pointer's picture is not saved; drivers define it anew.
 */
#ifndef HW_VMWARE_H
#define HW_VMWARE_H

#include <bp/bus/pci.h>

#include "vga.h"

#define FIFO_SIZE (2u << 20)
#define SVGA_SCRATCH 64u
#define SVGA_MAX_SIZE 8192u /* pixels */

enum svga_fifo {
    FIFO_MIN,
    FIFO_MAX,
    FIFO_NEXT,
    FIFO_STOP,
    FIFO_CAPABILITIES,
    FIFO_FLAGS,
    FIFO_FENCE,
    FIFO_3D_VERSION,
    FIFO_PITCHLOCK,
    FIFO_CURSOR_ON,
    FIFO_CURSOR_X,
    FIFO_CURSOR_Y,
    FIFO_CURSOR_COUNT,
    FIFO_CURSOR_UPDATED,
    FIFO_FENCE_GOAL = 289,
    FIFO_BUSY,
    FIFO_REGISTERS,
};
#define ENABLE_ON 1u
#define ENABLE_HIDE 2u /* the VGA's picture is shown all the same */
#define IRQ_FENCE 1u
#define IRQ_PROGRESS 2u
#define IRQ_GOAL 4u

struct svga {
    struct vga vga;
    struct bp_device *dev;
    uint32_t vgamem_mb;
    struct bp_region *fifo_region;
    uint8_t *fifo;
    uint32_t fifo_size;
    uint32_t index, id;
    uint32_t enable, config_done, width, height, bpp, guest_id, pitchlock, irq_mask, irq_status,
        traces;
    uint32_t cursor_id, cursor_x, cursor_y, cursor_on;
    uint32_t cursor_count; /* of the FIFO's registers, when they were looked at last */
    uint32_t scratch[SVGA_SCRATCH];
    uint8_t palette[768];
};

static inline bool svga_is_shown(const struct svga *s)
{
    return (s->enable & (ENABLE_ON | ENABLE_HIDE)) == ENABLE_ON;
}

extern const struct bp_pci_interface *const *const svga_pci;

/* ---- vmware.c ---- */
extern const struct bp_region_ops svga_port_ops;
uint32_t svga_pitch(const struct svga *s); /* bytes of a line; 0: there is no mode */
void svga_interrupt(struct svga *s, uint32_t sources);
void svga_move_pointer(struct svga *s);
void svga_reset_registers(struct svga *s);
bool svga_bpp_is_known(uint32_t bpp);

/* ---- vmware-fifo.c ---- */
uint32_t svga_fifo_get(const struct svga *s, unsigned index);
void svga_fifo_set(struct svga *s, unsigned index, uint32_t value);
bool svga_fifo_has(const struct svga *s,
                   unsigned index);     /* the guest left room for this register */
void svga_fifo_begin(struct svga *s);   /* what the device writes there at first */
void svga_fifo_run(struct svga *s);     /* all commands that are there whole */
void svga_fifo_pointer(struct svga *s); /* looks at the pointer's place in the FIFO's registers */

/* ---- vmware-draw.c ---- */
/* Arguments of commands, `count` words of them. */
void svga_fill(struct svga *s, const uint32_t *args);
void svga_copy(struct svga *s, const uint32_t *args);
/* `data` words behind the arguments. */
uint32_t svga_cursor_words(const uint32_t *args);
uint32_t svga_alpha_cursor_words(const uint32_t *args);
void svga_cursor(struct svga *s, const uint32_t *args, const uint32_t *data);
void svga_alpha_cursor(struct svga *s, const uint32_t *args, const uint32_t *data);

#endif
