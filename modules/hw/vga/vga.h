/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VGA (IBM PS/2 Hardware Interface Technical Reference, video subsystem) with the Bochs VBE extension
 * (DISPI, version 5). Its memory holds the four planes interleaved: byte 4 * A + P is plane P at address
 * A, which is also where a linear mode of 8 bits has its pixel 4 * A + P. Chained addresses (chain 4)
 * are linear in it too: plane address is CPU address / 4, as later chips have it.
 *
 * Left out: light pen, interrupt at retrace, monitors that cannot be sensed.
 */
#ifndef HW_VGA_H
#define HW_VGA_H

#include <bp/host/display.h>
#include <bp/memory.h>
#include <bp/object.h>
#include <bp/state.h>

#define VGA_PLANE 65536u       /* bytes of one plane that the standard modes reach */
#define VGA_WINDOW 0x20000u    /* bytes at 0xa0000 */

enum vga_sequencer { SEQ_RESET, SEQ_CLOCKING, SEQ_MAP_MASK, SEQ_CHARACTER_MAP, SEQ_MEMORY_MODE };
enum vga_graphics {
    GR_SET_RESET, GR_ENABLE_SET_RESET, GR_COLOUR_COMPARE, GR_ROTATE, GR_READ_MAP, GR_MODE, GR_MISC,
    GR_COLOUR_DONT_CARE, GR_BIT_MASK,
};
enum vga_crtc {
    CR_H_TOTAL, CR_H_END, CR_OVERFLOW = 0x07, CR_PRESET_ROW, CR_MAX_LINE, CR_CURSOR_START,
    CR_CURSOR_END, CR_START_HIGH, CR_START_LOW, CR_CURSOR_HIGH, CR_CURSOR_LOW, CR_V_RETRACE_START,
    CR_V_RETRACE_END, CR_V_END, CR_OFFSET, CR_UNDERLINE, CR_V_BLANK_START, CR_V_BLANK_END, CR_MODE,
    CR_LINE_COMPARE, CR_COUNT,
};
enum vga_attribute { AR_MODE = 0x10, AR_OVERSCAN, AR_PLANES, AR_PAN, AR_COLOUR_SELECT, AR_COUNT };
enum vga_dispi {
    DISPI_ID, DISPI_XRES, DISPI_YRES, DISPI_BPP, DISPI_ENABLE, DISPI_BANK, DISPI_VIRT_WIDTH,
    DISPI_VIRT_HEIGHT, DISPI_X_OFFSET, DISPI_Y_OFFSET, DISPI_MEMORY_64K, DISPI_COUNT,
};
#define DISPI_ID0 0xb0c0u
#define DISPI_ID5 0xb0c5u
#define DISPI_ENABLED 0x01u
#define DISPI_GETCAPS 0x02u
#define DISPI_8BIT_DAC 0x20u
#define DISPI_LFB 0x40u
#define DISPI_NOCLEAR 0x80u
#define DISPI_MAX_XRES 16000u
#define DISPI_MAX_YRES 12000u

/* The DISPI registers, which bochs-display has without a VGA around them. */
struct dispi {
    uint16_t index, reg[DISPI_COUNT];
};

struct vga;

/* What a chip has beyond a VGA. Constant; callbacks may be NULL. */
struct vga_chip {
    /* Ports, before the VGA's own registers have them: true when it is done with the access. */
    bool (*port_read)(struct vga *vga, unsigned port, uint8_t *ret_value);
    bool (*port_write)(struct vga *vga, unsigned port, uint8_t value);
    /* Before a picture is made. True: it is linear, as `ret_options` says (all but region and size). */
    bool (*linear)(struct vga *vga, struct bp_surface_options *ret_options);
};

/* Where the CPU's window leads on such a chip. */
struct vga_banks {
    bool packed;        /* memory is seen as it lies, whatever the sequencer says */
    bool dual;          /* the upper 32 KiB have an offset of their own */
    uint32_t offset[2]; /* bytes; when not packed, addresses of the planes */
};

struct vga {
    struct bp_object *obj;
    const struct vga_chip *chip; /* set before vga_init(); NULL: a VGA with DISPI registers */
    struct vga_banks banks;      /* the chip's; it calls vga_map() after changes */
    /* Of who has a VGA inside; set before vga_init(). Its callbacks hold the machine lock. NULL: the object's. */
    struct bp_owner *owner;
    const struct bp_console_ops *ops; /* of the console, and what they get; NULL: vga_console_ops */
    void *ops_opaque;
    /* What viewers would like, for vga_console_ops; NULL: it is the guest's. */
    int (*wish)(struct vga *vga, const struct bp_ui_info *info);
    struct bp_machine *machine;
    uint32_t vram_size;   /* bytes */
    uint64_t region_size; /* of `vram`, of which the VGA has the beginning; set before vga_init(), 0: as much */
    struct bp_region *vram;
    uint8_t *memory;    /* its host address */
    /* where the CPU sees it */
    struct bp_region *window;  /* 128 KiB of I/O, or NULL (secondary-vga) */
    struct bp_region *direct;  /* alias of linear memory before it */
    uint32_t direct_from, direct_size; /* where it is: in the window, bytes (0: off) */
    uint64_t direct_bank;
    /* registers */
    uint8_t misc, feature;
    uint8_t seq_index, seq[8];
    uint8_t gr_index, gr[16];
    uint8_t crtc_index, crtc[256];
    uint8_t attr_index, attr[32];
    bool attr_data; /* the next write to 3c0 is data */
    uint8_t dac_mask, dac_read, dac_write, dac_part, dac_state;
    uint8_t dac_latch[3], dac[768];
    uint32_t latch;
    struct dispi dispi;
    /* what is shown */
    struct bp_console *console;
    struct bp_surface *surface;
    struct bp_surface_options shown; /* what it was made with */
};

extern const struct bp_display_interface *vga_display;
extern const struct bp_state_table vga_state;

/* ---- vga.c ---- */
/* vram_size: a power of two of at least 1 MiB. */
int vga_init(struct vga *vga, struct bp_object *obj, uint32_t vram_size, struct bp_error *err);
void vga_fini(struct vga *vga); /* what its owner does not take back */
void vga_reset(struct vga *vga);
/* Shows the window at 0xa0000 of a memory space, in front of what is there. */
void vga_add_window(struct vga *vga, struct bp_region *memory);
/* The ports 3b0-3df and those of DISPI, in a space of ports. */
void vga_add_ports(struct vga *vga, struct bp_region *io);
int vga_after_load(struct vga *vga, struct bp_error *err);
/* -EINVAL, in words, unless it is a power of two of MiB up to `most`. */
int vga_check_memory(uint32_t mib, uint32_t most, struct bp_error *err);

/* ---- ports.c ---- */
uint8_t vga_port_read(struct vga *vga, unsigned port); /* 0x3b0..0x3df */
void vga_port_write(struct vga *vga, unsigned port, uint8_t value);
/* opaque: the vga; address 0 is port 0x3c0, or the one in the name. */
extern const struct bp_region_ops vga_ports_ops, vga_ports_3b4, vga_ports_3ba, vga_ports_3d4,
    vga_ports_3da;

/* ---- memory.c ---- */
uint8_t vga_memory_read(struct vga *vga, uint32_t addr); /* from 0xa0000 on */
void vga_memory_write(struct vga *vga, uint32_t addr, uint8_t value);
extern const struct bp_region_ops vga_window_ops;
void vga_map(struct vga *vga); /* registers that say where memory is seen have changed */

/* ---- dispi.c ---- */
uint16_t dispi_read(const struct dispi *dispi, unsigned index, uint32_t vram_size);
/* Returns whether the mode changed; *ret_clear: so that memory is to be cleared. */
bool dispi_write(struct dispi *dispi, unsigned index, uint16_t value, uint32_t vram_size,
                 bool *ret_clear);
static inline bool dispi_on(const struct dispi *dispi)
{
    return dispi->reg[DISPI_ENABLE] & DISPI_ENABLED;
}
/* Refuses a mode that a guest could not have set. */
int dispi_after_load(struct dispi *dispi, uint32_t vram_size, struct bp_error *err);
/* The surface of a linear mode (8 bits and more): fills format, size, stride and offset. */
void dispi_surface(const struct dispi *dispi, struct bp_surface_options *ret_options);
uint16_t vga_dispi_read(struct vga *vga, unsigned index);
void vga_dispi_write(struct vga *vga, unsigned index, uint16_t value);
extern const struct bp_region_ops vga_dispi_index_ops; /* ports 1ce to 1d1 */
extern const struct bp_region_ops vga_dispi_flat_ops;  /* registers at index * 2 */
extern const struct bp_state_table dispi_state;

/* ---- screen.c, text.c ---- */
extern const struct bp_console_ops vga_console_ops;
struct vga_geometry {
    uint32_t columns;  /* character clocks */
    uint32_t lines;    /* scan lines */
    uint32_t start, offset; /* memory address counter: at the top, from row to row */
    uint32_t line_compare;
    uint32_t row_lines; /* of a character row */
    uint32_t preset, pan;
    bool doubled;      /* every line twice */
};
void vga_geometry(const struct vga *vga, struct vga_geometry *ret_geometry);
/* Where the planes are read for a value of the address counter, 0..65535. */
uint32_t vga_display_address(const struct vga *vga, uint32_t counter, uint32_t line);
uint32_t vga_colour(const struct vga *vga, unsigned index); /* of the DAC: 0xRRGGBB */
unsigned vga_attribute(const struct vga *vga, unsigned colour); /* 4 bits to a DAC index */
void vga_show_text(struct vga *vga);
/* A surface like the one shown, or a new one. */
bool vga_need_surface(struct vga *vga, const struct bp_surface_options *options);

/* ---- edid.c ---- */
#define EDID_SIZE 256u
struct edid_wish {
    uint32_t width, height; /* preferred, pixels */
    uint32_t max_width, max_height;
    uint32_t refresh_mhz;
    const char *name, *serial; /* or NULL */
};
void edid_make(const struct edid_wish *wish, uint8_t edid[EDID_SIZE]);

#endif
