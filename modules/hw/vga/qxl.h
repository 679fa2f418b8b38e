/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * QXL (SPICE's protocol header qxl_dev.h): RAM with a primary surface, rings of commands and a
 * header at its end, more RAM for surfaces, a ROM that tells of them, and ports. The device draws
 * by itself, in the guest's surfaces; whoever looks, SPICE too, gets the picture. Addresses of the
 * guest are a slot, its generation and an offset; each command is copied before it is looked at,
 * each address checked for as many bytes as are meant.
 *
 * Drawn are: fills with a colour, copies of bitmaps (16, 24 and 32 bits, chunked or not) and of
 * surfaces, also to another size, copies inside of a surface, blackness, whiteness, inversion, each
 * with clips and raster operations. Left out: masks, patterns, blending, text, strokes, ROP3,
 * compressed images, several heads, devices with old modes alone (revisions before 4), SPICE's
 * images of its own. The pointer's picture is not saved.
 */
#ifndef HW_QXL_H
#define HW_QXL_H

#include <spice/qxl_dev.h>

#include <bp/bus/pci.h>

#include "vga.h"

#define QXL_SLOTS 8u /* 0 is none */
#define QXL_SURFACES 1024u
#define QXL_ROM_SIZE 8192u
#define QXL_MAX_SIZE 16384u /* pixels of a surface, either way */

struct qxl_slot {
    uint8_t on, vram, generation; /* vram: of BAR 1, not 0 */
    uint8_t reserved8;
    uint32_t offset, size;
};

struct qxl_surface {
    uint32_t format; /* SPICE_SURFACE_FMT_*; 0: there is none */
    uint32_t width, height;
    int32_t stride; /* negative: the last line comes first */
    uint32_t vram, offset;
};

struct qxl {
    struct vga vga; /* its region is all of the RAM; of qxl without a VGA too */
    struct bp_device *dev;
    bool has_vga;
    uint64_t ram_size, vram_size;
    uint32_t ram_size_mb, vram_size_mb, vram64_size_mb, vgamem_mb, revision, max_outputs;
    struct bp_region *rom_region, *vram_region;
    uint8_t *vram, *rest; /* rest: RAM behind the VGA's */
    uint64_t rest_size;
    struct QXLRom *rom;
    struct QXLRam *ram; /* the guest's: read once */
    struct bp_deferred *later;
    struct qxl_slot slots[QXL_SLOTS];
    struct qxl_surface surfaces[QXL_SURFACES]; /* 0: the primary one, which is shown */
    uint32_t head[4];  /* the part of it that is: x, y, width, height; width 0: all */
    uint64_t released; /* id of the first of a chain that was not told yet; 0: none */
    uint8_t generation;
    int32_t pointer_x, pointer_y;
    uint8_t pointer_on;
};

/* A place in RAM or video RAM. */
struct qxl_place {
    struct bp_region *region; /* NULL: there is none */
    uint8_t *at;
    uint64_t offset; /* in the region */
};

/* ---- qxl-memory.c ---- */
int qxl_slot_add(struct qxl *s, uint32_t number, uint64_t from,
                 uint64_t to); /* -EINVAL: not in a BAR */
bool qxl_find(const struct qxl *s, uint64_t address, uint64_t bytes, struct qxl_place *ret_place);
bool qxl_read(const struct qxl *s, uint64_t address, void *to, uint64_t bytes);
/* `bytes` of the data of a chain of chunks that begins with one whose header is at `address`. */
bool qxl_read_chunks(const struct qxl *s, uint64_t address, void *to, uint64_t bytes);

/* ---- qxl-surface.c ---- */
unsigned qxl_bytes(uint32_t format); /* of a pixel; 0: such surfaces are not there */
/* Makes surface `number` where `address` leads (0: the primary's place, offset 0 of RAM). */
bool qxl_surface_make(struct qxl *s, uint32_t number, const QXLSurface *what);
bool qxl_surface_is_sound(const struct qxl *s, const struct qxl_surface *surface);
uint8_t *qxl_line(const struct qxl *s, const struct qxl_surface *surface, uint32_t y);
uint32_t qxl_get(const uint8_t *line, uint32_t x, uint32_t format); /* 0xAARRGGBB */
void qxl_put(uint8_t *line, uint32_t x, uint32_t format, uint32_t colour);
void qxl_dirty(struct qxl *s, const struct qxl_surface *surface, uint32_t y, uint32_t x,
               uint32_t width);

/* ---- qxl-draw.c ---- */
void qxl_draw(struct qxl *s, const QXLDrawable *d);

/* ---- qxl-rings.c ---- */
void qxl_rings_begin(struct qxl *s);
void qxl_run(struct qxl *s);     /* what is in the rings */
void qxl_release(struct qxl *s); /* tells what is done with */
void qxl_interrupt(struct qxl *s, uint32_t sources);

/* ---- qxl-ports.c ---- */
extern const struct bp_region_ops qxl_port_ops;
void qxl_forget(struct qxl *s); /* surfaces, slots, pointer: as after a reset */
void qxl_rom_fill(struct qxl *s);
extern const struct bp_pci_interface *const *const qxl_pci;

#endif
