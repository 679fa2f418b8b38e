/* SPDX-License-Identifier: MIT */
/*
 * Display: interface display/1, offered by the `display` module, and the kind `display` of what
 * -display names. A device offers a console for each of its heads; viewers (VNC, windows, screendump,
 * tests) pull frames from it at their own pace, each with the damage since its last one.
 *
 * What a device shows is a surface: pixels (in guest RAM or in memory of the surface's own) or a grid of
 * cells. What a viewer gets is a frame: a copy that nobody changes until it is given back. The framework
 * makes it: it copies what changed once, whoever looks, compares it with what was there, and remembers
 * for each tile of 64 x 16 pixels when it changed last. So a viewer that stalls costs nothing.
 *
 * All functions and callbacks are [main] under the machine lock, but where one says [any].
 */
#ifndef BP_HOST_DISPLAY_H
#define BP_HOST_DISPLAY_H

#include <bp/kind.h>
#include <bp/memory.h>
#include <bp/module.h>
#include <bp/object.h>

BP_BEGIN_DECLS

struct bp_console; /* opaque: one screen of a device */
struct bp_surface; /* opaque: what a console shows; counted */
struct bp_viewer;  /* opaque: who looks at a console */

/* ---- surfaces ---- */

/* Pixel formats, numbered as pixman does (bits << 24 | type << 16 | a << 12 | r << 8 | g << 4 | b).
 * All are little-endian in memory. */
#define BP_FORMAT_XRGB8888 0x20020888u
#define BP_FORMAT_ARGB8888 0x20028888u
#define BP_FORMAT_XBGR8888 0x20030888u
#define BP_FORMAT_BGRX8888 0x20080888u
#define BP_FORMAT_RGB888 0x18020888u   /* bytes b, g, r */
#define BP_FORMAT_RGB565 0x10020565u
#define BP_FORMAT_XRGB1555 0x10020555u
#define BP_FORMAT_C8 0x08040000u       /* index into the surface's palette */

#define BP_DISPLAY_MAX 16384u /* pixels (or cells times font) of width and height */

/* One character cell. `glyph` numbers the font's glyphs: for VGA the character is its low byte, of code
 * page 437. */
struct bp_cell {
    uint32_t glyph;
    uint32_t foreground, background; /* 0xRRGGBB */
    uint8_t flags;     /* BP_CELL_* */
    uint8_t attribute; /* as the guest wrote it */
    uint16_t reserved16;
};
#define BP_CELL_BLINK 1u     /* the foreground comes and goes */
#define BP_CELL_UNDERLINE 2u /* at the font's underline */
#define BP_CELL_EXTEND 4u    /* dots beyond the eighth repeat it: line drawing in cells of 9 dots */

/* Where a row of cells stands. Usually y = n * font height, all lines, nothing cut. */
struct bp_cell_row {
    uint16_t y;          /* first line of pixels */
    uint16_t first_line; /* of the glyphs */
    uint16_t lines;      /* of the glyphs that are shown */
    uint16_t x_shift;    /* dots cut off at the left */
};

struct bp_font {
    uint16_t width, height; /* dots of a cell, at most 32 x 64; dots that the bitmap lacks are background */
    uint16_t underline;     /* line; >= height: none */
    uint16_t bytes_per_row; /* of the bitmap, 1..4: the most significant bit is the left dot */
    uint32_t glyphs;        /* at most 65536 */
    const uint8_t *bitmap;  /* glyphs * height * bytes_per_row bytes */
};

struct bp_cell_cursor {
    bool visible, blink;
    uint16_t column, row;
    uint16_t first_line, last_line; /* of the cell, inclusive */
    uint16_t reserved16;
    uint32_t colour;                /* 0xRRGGBB; ~0: the cell's foreground */
};

/* What a surface of cells shows. */
struct bp_cells {
    uint32_t columns, rows;  /* of the grid; those that are cut off count */
    uint32_t width, height;  /* pixels of the picture */
    struct bp_cell *cells;   /* rows * columns */
    struct bp_cell_row *row; /* rows */
    struct bp_font font;
    struct bp_cell_cursor cursor;
    uint32_t border;         /* 0xRRGGBB: where no cell is */
};

/* Asks for a surface of pixels. Without a region it has zeroed memory of its own. With one (which has to
 * live as long as the surface) the guest's writes are seen by themselves, while somebody looks. */
struct bp_surface_options {
    uint32_t size;   /* sizeof(struct bp_surface_options) */
    uint32_t format; /* BP_FORMAT_* */
    uint32_t width, height; /* pixels, 1..BP_DISPLAY_MAX */
    uint32_t stride; /* bytes from line to line; 0: as tight as whole words allow */
    uint32_t flags;  /* BP_SURFACE_*: none yet */
    struct bp_region *region; /* RAM; NULL: of its own */
    uint64_t offset; /* of the first pixel in the region; every line must lie in it */
    uint32_t repeat_x, repeat_y; /* each pixel is shown as many times (0: once) */
    void *reserved[4];
};

/* ---- consoles: for devices ---- */

/* What a viewer would like; fields that are 0 are not known. */
struct bp_ui_info {
    uint32_t size;
    uint32_t width, height;       /* pixels */
    uint32_t width_mm, height_mm;
    int32_t x, y;                 /* of this head among the others */
    uint32_t refresh_mhz;         /* thousandths of a frame per second */
    void *reserved[2];
};

#define BP_CONSOLE_TEXT 1u /* a terminal of the host's (chardev vc), and no head of a display adapter */

struct bp_console_ops {
    uint32_t size; /* sizeof(struct bp_console_ops) */
    uint32_t flags; /* BP_CONSOLE_* */
    /* Somebody is about to look: bring the surface up to date (set_surface, damage, cells). Not called
     * while nobody looks. */
    void (*update)(void *opaque);
    /* The first viewer has come, the last one has gone. */
    void (*watched)(void *opaque, bool on);
    /* The size that a viewer asks for. -ENOTSUP, as without this: it is the guest's to choose. */
    int (*ui_info)(void *opaque, const struct bp_ui_info *info);
    void *reserved[6]; /* GL scan-out will need some */
};

/* ---- viewers ---- */

struct bp_rect {
    uint32_t x, y, width, height;
};

#define BP_FRAME_MAX_RECTS 512u

/* A picture and what changed in it since the viewer's last one. Nothing of it changes until it is
 * given back; it may be read [any] meanwhile. */
struct bp_frame {
    uint32_t size;
    uint32_t flags;         /* BP_FRAME_* */
    uint32_t width, height; /* pixels */
    uint32_t stride;        /* bytes */
    uint32_t format;        /* BP_FORMAT_XRGB8888, native; the unused byte is 0 */
    const uint32_t *pixels;
    const struct bp_cells *cells; /* of a viewer with BP_VIEWER_CELLS, where there are some; else NULL */
    uint32_t rect_count;
    uint32_t reserved32;
    struct bp_rect rects[BP_FRAME_MAX_RECTS]; /* damage, in pixels, without overlaps; row by row */
    void *held;        /* the framework's */
    void *reserved[4];
};
#define BP_FRAME_RESIZED 1u /* other width or height than the last one; all of it is damage */
#define BP_FRAME_CELLS 2u   /* it is a picture of cells: `pixels` shows them */
#define BP_FRAME_BLANK 4u   /* nothing is shown: no surface, screen off */

/* The pointer's picture, where the device has one. */
struct bp_cursor {
    uint32_t width, height; /* at most 256 */
    uint32_t hot_x, hot_y;
    const uint32_t *pixels; /* ARGB8888, not premultiplied */
};

struct bp_viewer_ops {
    uint32_t size; /* sizeof(struct bp_viewer_ops) */
    uint32_t flags; /* none yet: 0 */
    /* After want(): there is damage. Once for each want(); never inside of it. */
    void (*changed)(void *opaque);
    /* The device's pointer: another picture (NULL: none), or it moved or was hidden. */
    void (*cursor)(void *opaque, const struct bp_cursor *cursor);
    void (*pointer)(void *opaque, int32_t x, int32_t y, bool visible);
    /* The console goes; the viewer is gone when this returns. */
    void (*gone)(void *opaque);
    void *reserved[4];
};
#define BP_VIEWER_CELLS 1u    /* wants cells where there are some */
#define BP_VIEWER_STEADY 2u   /* what blinks is always shown */

/* What becomes of viewers that are there when a password is set. */
enum bp_password_connected {
    BP_PASSWORD_KEEP,
    BP_PASSWORD_FAIL,       /* the password is not set when there are some */
    BP_PASSWORD_DISCONNECT, /* they go */
};

/* A server whose viewers give a password: what set_password and expire_password speak to. Constant. [main] */
struct bp_password_server {
    uint32_t size;
    uint32_t flags;       /* none yet: 0 */
    const char *protocol; /* "vnc" or "spice" */
    /* `display`: the name of one of several servers; NULL: the first. */
    int (*set)(const char *display, const char *password, enum bp_password_connected connected,
               struct bp_error *err);
    /* Until when it is good: seconds since 1970; INT64_MAX: for ever; 0: it is good no more. */
    int (*expire)(const char *display, int64_t when_s, struct bp_error *err);
    void *reserved[4];
};

/* A server that takes connections which others accepted: what add_client speaks to. Constant. [main] */
struct bp_client_server {
    uint32_t size;
    uint32_t flags;       /* none yet: 0 */
    const char *protocol; /* "vnc", "spice" or "@dbus-display" */
    /* `fd` is a connected stream socket, owned from now on, after a failure too. `skip_auth`: who it is was asked
     * already; `tls`: it begins with TLS. */
    int (*add)(int fd, bool skip_auth, bool tls, struct bp_error *err);
    void *reserved[4];
};

/*
 * Who draws pictures on their way from the surface to the viewers, by a graphics processor for instance: one for the
 * process. Pictures are the same as without it. [main]
 */
struct bp_renderer {
    uint32_t size;
    uint32_t flags;   /* none yet: 0 */
    const char *name; /* for messages; borrowed for ever, as the table is */
    /* Draws a part of a picture in place. `pixels` is that part's first, XRGB8888; `stride` in pixels. When it fails
     * the pixels are as they were, and it is not called again. */
    int (*render)(void *opaque, uint32_t *pixels, uint32_t stride, uint32_t width, uint32_t height,
                  struct bp_error *err);
    void *reserved[4];
};

struct bp_display_interface { /* display/1 */
    uint32_t size;

    /* ---- for devices ---- */
    /* `device` is borrowed (until console_free), `ops` copied; heads of a device have numbers. */
    int (*console_new)(struct bp_object *device, unsigned head, const struct bp_console_ops *ops,
                       void *opaque, struct bp_console **ret_console, struct bp_error *err);
    void (*console_free)(struct bp_console *console); /* NULL is fine */
    /* -EINVAL, -ERANGE: sizes make no sense, or pixels lie outside of the region. The caller owns one
     * reference. */
    int (*surface_new)(const struct bp_surface_options *options, struct bp_surface **ret_surface,
                       struct bp_error *err);
    /* A surface of cells, all zero, for the device to fill by surface_cells(); it sets neither columns,
     * rows, font nor pointers there. */
    int (*surface_new_cells)(uint32_t columns, uint32_t rows, struct bp_surface **ret_surface,
                             struct bp_error *err);
    void (*surface_ref)(struct bp_surface *surface);
    void (*surface_unref)(struct bp_surface *surface); /* NULL is fine */
    void *(*surface_data)(struct bp_surface *surface, uint32_t *ret_stride); /* of its own memory */
    /* To be written by the device in update(). */
    struct bp_cells *(*surface_cells)(struct bp_surface *surface);
    /* Copies; compares, so that calling it each time is cheap enough. -EINVAL: out of its limits. */
    int (*surface_set_font)(struct bp_surface *surface, const struct bp_font *font);
    void (*surface_set_palette)(struct bp_surface *surface, const uint32_t colours[256]); /* 0xRRGGBB */
    /* What the console shows from now on; takes a reference of its own; NULL: blank. The same one
     * again costs nothing. */
    void (*set_surface)(struct bp_console *console, struct bp_surface *surface);
    /* Size of what a console without a surface shows (black): 0 x 0 is 640 x 480. */
    void (*set_blank_size)(struct bp_console *console, uint32_t width, uint32_t height);
    /* Pixels of a surface's own memory that were written; cut to the surface. Those of guest RAM, and
     * cells, the framework sees by itself; cells sooner when it is told that there are others. */
    void (*damage)(struct bp_console *console, uint32_t x, uint32_t y, uint32_t width,
                   uint32_t height);
    int (*set_cursor)(struct bp_console *console, const struct bp_cursor *cursor); /* copied */
    void (*move_pointer)(struct bp_console *console, int32_t x, int32_t y, bool visible);
    bool (*is_watched)(const struct bp_console *console);

    /* ---- consoles, for everybody ---- */
    /* A machine's n-th, from 0, in the order of their making; those of no machine's device (text consoles) are
     * every machine's. NULL: there are fewer. */
    struct bp_console *(*console_at)(struct bp_machine *machine, unsigned n);
    /* By the device's id or path (NULL: the first console's device) and head. -ENOENT in words. */
    int (*console_find)(struct bp_machine *machine, const char *device, unsigned head,
                        struct bp_console **ret_console, struct bp_error *err);
    unsigned (*console_index)(const struct bp_console *console);
    struct bp_object *(*console_device)(const struct bp_console *console);
    unsigned (*console_head)(const struct bp_console *console);
    /* fn is called when consoles came or went, until console_unlisten(). */
    void (*console_listen)(void (*fn)(void *opaque), void *opaque);
    void (*console_unlisten)(void (*fn)(void *opaque), void *opaque);
    int (*request_size)(struct bp_console *console, const struct bp_ui_info *info,
                        struct bp_error *err);

    /* ---- viewers ---- */
    /* `ops` is copied. `name` for messages ("vnc"). */
    int (*viewer_new)(struct bp_console *console, const char *name, uint32_t flags,
                      const struct bp_viewer_ops *ops, void *opaque, struct bp_viewer **ret_viewer,
                      struct bp_error *err);
    void (*viewer_free)(struct bp_viewer *viewer); /* NULL is fine; frames may still be held */
    /* ops->changed() is wanted once, as soon as a pull would give damage; while someone wants that, the
     * console is looked at some 30 times a second (and ever less, down to 3, while nothing changes). */
    void (*want)(struct bp_viewer *viewer);
    void (*unwant)(struct bp_viewer *viewer);
    /*
     * The picture as it is now, and the damage since this viewer's last pull (its first: all). The
     * caller sets frame->size. With no damage, rect_count is 0. The frame is given back with release();
     * to hold it for long costs a copy of the picture when it changes, at most one for each viewer:
     * encode, then release; do not wait for a socket in between.
     */
    int (*pull)(struct bp_viewer *viewer, struct bp_frame *frame, struct bp_error *err);
    void (*release)(struct bp_frame *frame); /* [any] */
    /* All is damage again at the next pull (a client asked for a full update). */
    void (*forget)(struct bp_viewer *viewer);
    struct bp_console *(*viewer_console)(const struct bp_viewer *viewer);
    /* The console's pointer now; *ret_cursor is borrowed until it changes, NULL: there is none. */
    void (*cursor)(struct bp_console *console, const struct bp_cursor **ret_cursor, int32_t *ret_x,
                   int32_t *ret_y, bool *ret_visible);
    /* 1.1: who serves a protocol with passwords says so, once for each. */
    void (*password_server)(const struct bp_password_server *server);
    /* 1.2: BP_CONSOLE_* of the one who made it. */
    uint32_t (*console_flags)(const struct bp_console *console);
    /* Who takes clients that others accepted says so, once for each protocol. */
    void (*client_server)(const struct bp_client_server *server);
    /* 1.3: from now on `renderer` draws what changes; NULL: nobody does. -EBUSY: there is another one. */
    int (*set_renderer)(const struct bp_renderer *renderer, void *opaque, struct bp_error *err);
    void *reserved[4];
};

/* ---- what -display names ---- */

/* type.props are the keys of -display TYPE,... */
struct bp_display_class {
    struct bp_type_info type; /* name: "vnc" is type "display-vnc"; see BP_DISPLAY */
    /* Properties are set, the machine is made: open it. -ENODEV: there is nothing to open it on (no X
     * server, no terminal); the program then says so and goes on without. */
    int (*open)(struct bp_object *obj, struct bp_error *err);
    void (*close)(struct bp_object *obj);
    void *reserved[6];
};

static const struct bp_shape_slot bp_display_slots[] BP_UNUSED = {BP_SHAPE_TYPE, BP_SHAPE_END};
static const struct bp_shape bp_display_shape BP_UNUSED = {
    "bp_display_class", sizeof(struct bp_display_class), bp_display_slots};
#define BP_DISPLAY_KIND \
    .size = sizeof(struct bp_kind), .major = 1, .minor = 0, .name = "display", \
    .heading = "Available display backend types:", .summary = "Displays", .option = "display", \
    .prefix = "display-", .parent = "display", .container = "/displays", \
    .shape = &bp_display_shape
static const struct bp_kind bp_display_kind BP_UNUSED = {
    BP_DISPLAY_KIND, .check = NULL, .exercise = NULL, .reserved = {NULL}};

/* Listed as {BP_PROVIDE_OTHER, &ident}. */
#define BP_DISPLAY(ident, NAME, SUMMARY, STATE, PROPS, ...) \
    BP_NOTE("provides=display:" NAME ";summary=" SUMMARY); \
    BP_STORAGE const struct bp_display_class ident = { \
        .type = {.size = sizeof(struct bp_display_class), .flags = 0, .name = "display-" NAME, \
                 .parent = NULL, .summary = SUMMARY, .state_size = sizeof(STATE), .props = PROPS, \
                 .state = NULL, .kind = &bp_display_kind, .reserved = {NULL}}, \
        __VA_ARGS__}

BP_END_DECLS

#endif
