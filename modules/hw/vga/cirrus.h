/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cirrus Logic CL-GD5446 (Technical Reference Manual, November 1996; what drivers of its family
 * do): a VGA with extension registers behind a key (SR6), memory as packed pixels of 8, 15, 16, 24
 * and 32 bits, banks, a pointer of its own and the BitBLT engine. An address of the engine has 22
 * bits and wraps at the end of memory, whatever a guest writes. Rows of one operation are read
 * whole before they are written; an operation is over when the access that began it ends, unless
 * its source is the CPU.
 *
 * Left out: video overlay and video port, extended write modes (GRB bits 1 to 4), the byte-swapping
 * apertures, the position registers of the engine in X and Y (GR33 bit 3), screen-to-CPU
 * operations, interlacing, signature generator; clocks are kept and change nothing.
 */
#ifndef HW_CIRRUS_H
#define HW_CIRRUS_H

#include "vga.h"

enum cirrus_sequencer {
    SR_KEY = 6,
    SR_MODE,
    SR_EEPROM,
    SR_DRAM = 0x0f,
    SR_CURSOR_X,
    SR_CURSOR_Y,
    SR_CURSOR,
    SR_CURSOR_PATTERN,
    SR_CONFIGURATION = 0x17,
};
enum cirrus_graphics {
    GR_BACKGROUND = 0,
    GR_FOREGROUND,
    GR_OFFSET_0 = 9,
    GR_OFFSET_1,
    GR_EXTENSIONS,
    GR_BLT_WIDTH = 0x20,
    GR_BLT_HEIGHT = 0x22,
    GR_BLT_DESTINATION_PITCH = 0x24,
    GR_BLT_SOURCE_PITCH = 0x26,
    GR_BLT_DESTINATION = 0x28,
    GR_BLT_SOURCE = 0x2c,
    GR_BLT_CLIP = 0x2f,
    GR_BLT_MODE,
    GR_BLT_STATUS,
    GR_BLT_ROP,
    GR_BLT_EXTENSIONS,
    GR_BLT_TRANSPARENT,
};
#define SR_MODE_PACKED 0x01u
#define SR_CURSOR_ON 0x01u
#define SR_CURSOR_COLOURS 0x02u /* the palette's entries 0 and 15 are those of the pointer */
#define SR_CURSOR_LARGE 0x04u   /* 64 x 64 dots instead of 32 x 32 */
#define SR_CONFIGURATION_MMIO 0x04u
#define SR_CONFIGURATION_MMIO_HIGH 0x40u
#define BLT_BUSY 0x09u
#define BLT_START 0x02u
#define BLT_RESET 0x04u
#define BLT_AUTOSTART 0x80u

#define CIRRUS_SEQUENCER 0x20u
#define CIRRUS_GRAPHICS 0x40u
#define CIRRUS_CRTC 0x28u
#define BLT_MOST_WIDTH 8192u

struct cirrus {
    struct vga vga;
    uint8_t seq_index, gr_index; /* as written */
    uint8_t seq[CIRRUS_SEQUENCER], gr[CIRRUS_GRAPHICS], cr[CIRRUS_CRTC];
    uint8_t hidden_dac, hidden_count; /* reads of 3c6 in a row, 0..4 */
    uint8_t cursor_dac[6];            /* background, foreground */
    uint16_t cursor_x, cursor_y;      /* 11 bits */
    /* An operation whose source is the CPU: its registers, the row that is being filled. */
    uint8_t blt_on;
    uint8_t blt_gr[CIRRUS_GRAPHICS];
    uint32_t blt_row, blt_have;
    uint8_t blt_line[BLT_MOST_WIDTH + 4];
    /* The pointer's picture as it was shown last: pattern and colours. */
    uint8_t cursor_shown[1024 + 6 + 2];
    /* Where the CPU finds registers of the engine, and feeds it; NULL: not on this bus. */
    struct bp_region *mmio_low, *mmio_high, *feed_low, *feed_linear;
};

/* Bytes of memory that the chip's 22 address bits reach. */
static inline uint32_t cirrus_memory(const struct cirrus *s)
{
    return s->vga.vram_size < 1u << 22 ? s->vga.vram_size : 1u << 22;
}

/* ---- cirrus.c ---- */
extern const struct vga_chip cirrus_chip;
extern const struct bp_state_table cirrus_state;
int cirrus_init(struct cirrus *s, struct bp_object *obj, uint32_t vgamem_mb, struct bp_error *err);
/* Ports and what lies in the window at 0xa0000. */
void cirrus_add_legacy(struct cirrus *s, struct bp_region *memory, struct bp_region *io);
void cirrus_reset(struct cirrus *s);
int cirrus_after_load(struct cirrus *s, struct bp_error *err);
void cirrus_map(struct cirrus *s); /* what says where things are seen has changed */
void cirrus_graphics_write(struct cirrus *s, unsigned index,
                           uint8_t value); /* index 0..3f, unlocked */
uint8_t cirrus_graphics_read(const struct cirrus *s, unsigned index);

/* ---- cirrus-blt.c ---- */
void cirrus_blt_start(struct cirrus *s);
void cirrus_blt_stop(struct cirrus *s);            /* what was not fed is not drawn */
extern const struct bp_region_ops cirrus_feed_ops; /* opaque: the cirrus */
extern const struct bp_region_ops cirrus_mmio_ops; /* 256 bytes: the engine's registers */

/* ---- cirrus-cursor.c ---- */
void cirrus_cursor_update(struct cirrus *s);
void cirrus_cursor_move(struct cirrus *s);

#endif
