/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the display framework share. */
#ifndef UI_DISPLAY_H
#define UI_DISPLAY_H

#include <bp/host/display.h>
#include <bp/host/input.h>
#include <bp/loop.h>
#include <bp/value.h>

/* ---- surface.c ---- */

/* Pages of a region that guests wrote, for all that look at it: the log is one, its bits are read
 * once and stamped. */
struct watched {
    struct watched *next;
    struct bp_region *region;
    unsigned users;
    uint64_t stamp;
    uint64_t pages;
    uint64_t *written; /* the stamp at which each page was seen written last */
};

struct bp_surface {
    unsigned refs;
    bool is_cells;
    /* pixels */
    uint32_t format, width, height, stride, bytes;
    uint32_t repeat_x, repeat_y;
    struct bp_region *region;
    uint64_t offset;
    uint8_t *own;
    uint32_t palette[256];
    uint32_t version; /* grows with what makes all of it different */
    /* cells */
    struct bp_cells cells;
    uint8_t *bitmap;
};

int surface_new(const struct bp_surface_options *options, struct bp_surface **ret_surface,
                struct bp_error *err);
int surface_new_cells(uint32_t columns, uint32_t rows, struct bp_surface **ret_surface,
                      struct bp_error *err);
void surface_ref(struct bp_surface *surface);
void surface_unref(struct bp_surface *surface);
void *surface_data(struct bp_surface *surface, uint32_t *ret_stride);
struct bp_cells *surface_cells(struct bp_surface *surface);
int surface_set_font(struct bp_surface *surface, const struct bp_font *font);
void surface_set_palette(struct bp_surface *surface, const uint32_t colours[256]);
/* Size of the picture it gives. */
void surface_size(const struct bp_surface *surface, uint32_t *ret_width, uint32_t *ret_height);
/* Reads `count` pixels of a line from x on as 0x00RRGGBB. */
void surface_read(const struct bp_surface *surface, uint32_t x, uint32_t y, uint32_t count,
                  uint32_t *to);
/* Begins and ends looking at the surface's guest RAM. */
struct watched *watched_start(struct bp_region *region);
void watched_stop(struct watched *watched);
/* Asks the log for the bytes, stamps what was written; returns the present stamp. */
uint64_t watched_look(struct watched *watched, uint64_t offset, uint64_t length);
bool watched_since(const struct watched *watched, uint64_t offset, uint64_t length, uint64_t stamp);

/* ---- cells.c ---- */

/* A copy of cells with all that they point to, in one piece; free() it. NULL: no memory. */
struct bp_cells *cells_copy(const struct bp_cells *cells);
/* Draws the cells of a row from `first` on, `count` of them, into a picture. on: what blinks is shown. */
void cells_draw(const struct bp_cells *cells, uint32_t row, uint32_t first, uint32_t count, bool on,
                bool cursor_on, uint32_t *pixels, uint32_t stride_pixels);
void cells_draw_all(const struct bp_cells *cells, bool on, bool cursor_on, uint32_t *pixels,
                    uint32_t stride_pixels);
/* What they must fulfil to be drawn. */
bool cells_fit(const struct bp_cells *cells);

/* ---- picture.c ---- */

#define TILE_WIDTH 64u
#define TILE_HEIGHT 16u

/* What viewers see: immutable while a frame refers to it. */
struct picture {
    unsigned refs; /* atomic */
    uint32_t width, height;
    bool blank;
    struct bp_cells *cells; /* or NULL */
    uint32_t pixels[];
};

struct picture *picture_new(uint32_t width, uint32_t height); /* NULL: no memory */
struct picture *picture_ref(struct picture *picture);
void picture_unref(struct picture *picture);

/* ---- console.c ---- */

struct bp_viewer {
    struct bp_viewer *next;
    struct bp_console *console;
    char *name;
    uint32_t flags;
    struct bp_viewer_ops ops;
    void *opaque;
    uint64_t seen; /* generation of its last pull; 0: none */
    bool wants, forgotten;
};

struct bp_console {
    struct bp_console *next;
    struct bp_object *device;
    unsigned head;
    struct bp_console_ops ops;
    void *opaque;
    struct bp_surface *surface;
    uint32_t blank_width, blank_height;
    struct bp_viewer *viewers;
    /* the picture and what is known of it */
    struct picture *picture;
    uint64_t generation, resized; /* of the last change, of the last other size */
    uint32_t tiles_x, tiles_y;
    uint64_t *tiles;   /* generation in which each changed last */
    uint8_t *touched;  /* per tile: the device said it was written */
    bool all_touched, tiles_changed;
    /* what the picture was made of */
    const struct bp_surface *shown;
    uint32_t shown_version;
    uint64_t stamp;
    struct watched *watched;
    bool blink_on, cursor_on;
    /* looking by itself */
    struct bp_timer *timer;
    unsigned quiet; /* looks without a change */
    int64_t looked; /* realtime ns of the last look */
    /* pointer */
    struct bp_cursor cursor;
    uint32_t *cursor_pixels;
    int32_t pointer_x, pointer_y;
    bool pointer_visible;
};

extern struct bp_console *consoles;
int console_new(struct bp_object *device, unsigned head, const struct bp_console_ops *ops,
                void *opaque, struct bp_console **ret_console, struct bp_error *err);
void console_free(struct bp_console *console);
void console_unwatched(struct bp_console *console); /* its last viewer has gone */
struct bp_console *console_at(struct bp_machine *machine, unsigned n);
int console_find(struct bp_machine *machine, const char *device, unsigned head,
                 struct bp_console **ret_console, struct bp_error *err);
unsigned console_index(const struct bp_console *console);
void console_set_surface(struct bp_console *console, struct bp_surface *surface);
void console_set_blank_size(struct bp_console *console, uint32_t width, uint32_t height);
void console_damage(struct bp_console *console, uint32_t x, uint32_t y, uint32_t width,
                    uint32_t height);
int console_set_cursor(struct bp_console *console, const struct bp_cursor *cursor);
void console_move_pointer(struct bp_console *console, int32_t x, int32_t y, bool visible);
void console_listen(void (*fn)(void *opaque), void *opaque);
void console_unlisten(void (*fn)(void *opaque), void *opaque);
int console_request_size(struct bp_console *console, const struct bp_ui_info *info,
                         struct bp_error *err);

/* ---- refresh.c ---- */
/* Brings the console's picture up to date. */
void console_refresh(struct bp_console *console);
/* A picture with all that blinks shown; the caller unrefs it. NULL: no memory. */
struct picture *console_steady(struct bp_console *console);

/* ---- renderer.c ---- */
int renderer_set(const struct bp_renderer *renderer, void *opaque, struct bp_error *err);
/* Has the tiles drawn that changed in this look, whose generation is the next one. The picture is the console's own. */
void renderer_draw(struct bp_console *console);

/* ---- viewer.c ---- */
int viewer_new(struct bp_console *console, const char *name, uint32_t flags,
               const struct bp_viewer_ops *ops, void *opaque, struct bp_viewer **ret_viewer,
               struct bp_error *err);
void viewer_free(struct bp_viewer *viewer);
void viewer_want(struct bp_viewer *viewer);
void viewer_unwant(struct bp_viewer *viewer);
int viewer_pull(struct bp_viewer *viewer, struct bp_frame *frame, struct bp_error *err);
void viewer_release(struct bp_frame *frame);
void viewer_forget(struct bp_viewer *viewer);
void viewers_look(void *console); /* the console's timer */
void viewers_hasten(struct bp_console *console); /* something has changed: who waits for that is not to wait long */

/* ---- listeners (listen.c) ---- */
struct listener {
    struct listener *next;
    void (*fn)(void *opaque);
    void *opaque;
};
void listener_add(struct listener **list, void (*fn)(void *opaque), void *opaque);
void listener_remove(struct listener **list, void (*fn)(void *opaque), void *opaque);
void listeners_call(struct listener *const *list);

/* ---- clients.c ---- */
void client_server(const struct bp_client_server *server);

/* ---- passwords.c ---- */
void password_server(const struct bp_password_server *server);

/* ---- input.c, keys.c ---- */
struct bp_input_device {
    struct bp_input_device *next; /* the one activated last comes first */
    struct bp_object *device;
    struct bp_console *console; /* or NULL */
    struct bp_input_ops ops;
    void *opaque;
    unsigned index; /* for `info mice`; kept as long as it lives */
    struct bp_input_event *queue; /* ring of RING */
    unsigned head, count;
    struct bp_context *main; /* known after `device` has gone: text consoles end with the process */
    struct bp_deferred *drain, *teller;
    uint32_t leds;
    uint8_t down[96]; /* a bit for each key code */
    bool has_position;
    int32_t x, y;
};
extern struct bp_input_device *input_devices;
bool input_is_pointer(const struct bp_input_device *device);
void input_activate(struct bp_input_device *device);
/* Who gets the pointer's events at the default seat, or NULL. */
struct bp_input_device *input_current_pointer(struct bp_machine *machine);
extern const struct bp_input_interface input_table;
void input_console_gone(struct bp_console *console); /* what was bound to it has the default seat */
uint16_t key_code(const char *name);
const char *key_name(uint16_t code);
uint16_t key_of_number(unsigned xt);
extern const char *const key_names[];     /* QMP's QKeyCode, ended by NULL */
extern const uint16_t key_codes[];        /* of the same index; 0: none */

#endif
