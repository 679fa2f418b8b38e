/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One connection of the Remote Framebuffer protocol (RFC 6143, and what the community's specification adds to
 * it), without socket, screen or machine: bytes in, calls of struct rfb_host, bytes out. Of one thread at a time.
 */
#ifndef VNC_RFB_H
#define VNC_RFB_H

#include <bp/base.h>
#include <sys/types.h>
#include <zlib.h>

#include "bytes.h"

/* ---- pixels ---- */

struct rfb_format {
    uint8_t bits, depth;
    bool big_endian, true_colour;
    uint16_t red_max, green_max, blue_max;
    uint8_t red_shift, green_shift, blue_shift;
    /* Computed. */
    uint32_t red[256], green[256], blue[256]; /* ours to the client's, in its place */
    uint8_t bytes;  /* of a pixel */
    uint8_t packed; /* of a CPIXEL: bytes, or 3 */
    bool packed_high; /* CPIXEL: the upper three bytes */
    bool rgb;       /* a TPIXEL is red, green, blue */
};
/* From the 16 bytes of PIXEL_FORMAT; -EINVAL: makes no sense. */
int rfb_format_set(struct rfb_format *f, const uint8_t wire[16]);
void rfb_format_put(const struct rfb_format *f, uint8_t wire[16]);
void rfb_format_default(struct rfb_format *f);
/* Converts pixels 0x00RRGGBB; returns behind the last byte written. */
uint8_t *rfb_pixels(const struct rfb_format *f, uint8_t *to, const uint32_t *from, size_t count);
uint8_t *rfb_cpixels(const struct rfb_format *f, uint8_t *to, const uint32_t *from, size_t count);
uint8_t *rfb_tpixels(const struct rfb_format *f, uint8_t *to, const uint32_t *from, size_t count);
/* Appends what one of these three makes of pixels. */
typedef uint8_t *rfb_converter(const struct rfb_format *f, uint8_t *to, const uint32_t *from, size_t count);
/* The lowest bytes of a pixel's value, in the client's order. */
uint8_t *rfb_value(const struct rfb_format *f, uint8_t *to, uint32_t value);
void rfb_put_pixels(struct bytes *b, const struct rfb_format *f, rfb_converter *convert, const uint32_t *from,
                    size_t count);

/* Different colours of a picture, as far as there are at most `most`. */
struct rfb_palette {
    uint32_t colours[256];
    unsigned count, most; /* count > most: there are more */
    uint16_t slots[1024]; /* index + 1 */
};
struct rfb_image {
    const uint32_t *pixels; /* the first */
    size_t stride;          /* pixels from line to line */
    uint32_t width, height;
};
void rfb_palette_make(struct rfb_palette *p, const struct rfb_image *image, unsigned most);
unsigned rfb_palette_index(const struct rfb_palette *p, uint32_t colour);
/* Appends a picture, line after line. */
void rfb_put_image(struct bytes *b, const struct rfb_format *f, rfb_converter *convert,
                   const struct rfb_image *image);

/* ---- the connection ---- */

enum rfb_encoding {
    RFB_RAW = 0, RFB_COPY_RECT = 1, RFB_HEXTILE = 5, RFB_ZLIB = 6, RFB_TIGHT = 7, RFB_ZRLE = 16,
    RFB_DESKTOP_SIZE = -223, RFB_LAST_RECT = -224, RFB_CURSOR = -239, RFB_POINTER_TYPE = -257,
    RFB_EXTENDED_KEY = -258, RFB_AUDIO = -259, RFB_TIGHT_PNG = -260, RFB_LED_STATE = -261,
    RFB_DESKTOP_NAME = -307,
    RFB_EXTENDED_DESKTOP_SIZE = -308, RFB_XVP = -309, RFB_ALPHA_CURSOR = -314,
};
#define RFB_HAS_DESKTOP_SIZE 1u /* pseudo-encodings that the client takes */
#define RFB_HAS_CURSOR 2u
#define RFB_HAS_POINTER_TYPE 4u
#define RFB_HAS_EXTENDED_KEY 8u
#define RFB_HAS_LED_STATE 0x10u
#define RFB_HAS_DESKTOP_NAME 0x20u
#define RFB_HAS_EXTENDED_DESKTOP_SIZE 0x40u
#define RFB_HAS_XVP 0x80u
#define RFB_HAS_ALPHA_CURSOR 0x100u
#define RFB_HAS_AUDIO 0x200u
#define RFB_HAS_COPY_RECT 0x400u

#define RFB_CHALLENGE 16u
#define RFB_CUT_TEXT_MAX (16u << 20) /* more ends the connection; ours is dropped anyhow */

/* How much of a picture may be lost where losses are allowed at all. */
enum rfb_grade { RFB_AS_ASKED, RFB_COARSE /* it will change soon again */, RFB_EXACT };

enum rfb_power { RFB_POWER_SHUTDOWN = 2, RFB_POWER_REBOOT = 3, RFB_POWER_RESET = 4 };

/* VeNCrypt (of the community's specification): what lies below the security that it brings. */
enum rfb_vencrypt { RFB_VENCRYPT_OFF, RFB_VENCRYPT_TLS /* anonymous */, RFB_VENCRYPT_X509 };

/* SASL (RFC 4422; the community's specification): type of security 20, directly and by VeNCrypt. */
#define RFB_MECHANISM_MAX 20u     /* bytes of a mechanism's name */
#define RFB_PROOF_MAX (1u << 20) /* bytes of one step */
/* RFB_PROOF_ASKED: it is known, and whether it may is told by rfb_judged(). */
enum rfb_proof { RFB_PROOF_DONE, RFB_PROOF_MORE, RFB_PROOF_ASKED, RFB_PROOF_FAILED };

struct rfb_host {
    /* The client has agreed to TLS: when what is in `out` has gone, secure the connection, then call rfb_secured().
     * NULL where `vencrypt` is never set. */
    void (*secure)(void *opaque);
    /* Is there a password, and is this the challenge made with it? Words why not, or NULL. */
    const char *(*authenticate)(void *opaque, const uint8_t challenge[RFB_CHALLENGE],
                                const uint8_t response[RFB_CHALLENGE]);
    /* Where wants_proof is set, else NULL. Mechanisms with commas between; borrowed; NULL: it cannot be. */
    const char *(*mechanisms)(void *opaque);
    /* One step; `mechanism`: with the first, else NULL. `data` NULL: nothing was sent, which is not the same as no
     * bytes. *ret_out: borrowed, goes to the client; or NULL. */
    enum rfb_proof (*prove)(void *opaque, const char *mechanism, const uint8_t *data, size_t size,
                            const uint8_t **ret_out, size_t *ret_size);
    /* The client is in: sets *ret_width, *ret_height and the name (borrowed). False: it may not. */
    bool (*initialized)(void *opaque, bool shared, uint16_t *ret_width, uint16_t *ret_height,
                        const char **ret_name);
    void (*encodings)(void *opaque); /* the client said what it takes */
    void (*request)(void *opaque, bool incremental, uint16_t x, uint16_t y, uint16_t width, uint16_t height);
    /* -EBUSY: not now; rfb_input() stops in front of it. `xt`: scan code, with 0x80 for e0, or 0. */
    int (*key)(void *opaque, bool down, uint32_t keysym, uint32_t xt);
    int (*pointer)(void *opaque, uint8_t buttons, uint16_t x, uint16_t y);
    void (*resize)(void *opaque, uint16_t width, uint16_t height);
    bool (*power)(void *opaque, enum rfb_power what); /* false: refused */
    /* op 0: sound is wanted, 1: no more, 2: in this format. False: it was not offered, or makes no sense. NULL: never
     * offered. */
    bool (*audio)(void *opaque, unsigned op, uint8_t sample, uint8_t channels, uint32_t rate);
};

enum rfb_state { RFB_VERSION, RFB_SECURITY, RFB_VENCRYPT_VERSION, RFB_VENCRYPT_TYPE, RFB_SECURING, RFB_AUTHENTICATION,
                 RFB_MECHANISM, RFB_PROOF_FIRST, RFB_PROOF, RFB_JUDGING, RFB_INIT, RFB_NORMAL };

struct rfb {
    const struct rfb_host *host;
    void *opaque;
    enum rfb_state state;
    unsigned minor;     /* of the protocol: 3, 7 or 8 */
    bool wants_password;
    bool wants_proof;   /* SASL, instead of a password; set after rfb_begin() */
    char mechanism[RFB_MECHANISM_MAX + 1];
    enum rfb_vencrypt vencrypt; /* set after rfb_begin() */
    bool busy;          /* rfb_input() stopped in front of what cannot be taken now */
    uint8_t challenge[RFB_CHALLENGE];
    uint64_t skip;      /* bytes of cut text to come */
    struct rfb_format format;
    unsigned formats;   /* how often it has set one */
    bool palette_due;   /* the client is to be told of a colour map */
    enum rfb_encoding encoding;
    uint32_t has;       /* RFB_HAS_* */
    int quality;        /* 0..9; -1: no losses */
    int compression;    /* 0..9 */
    bool lossy;         /* the server allows JPEG */
    enum rfb_grade grade; /* of what is encoded next */
    bool lost;          /* what was encoded last is not exact */
    uint8_t cursor_shown;
    struct bytes out, scratch, squeezed;
    struct rfb_palette palette;
    z_stream zrle, zlib, tight[4];
    uint8_t streams;    /* which of them are open: bit 0 zrle, 1 zlib, 2..5 tight */
};

/* `challenge`: random bytes, when a password is wanted, else NULL. Sends the version. */
void rfb_begin(struct rfb *c, const struct rfb_host *host, void *opaque, const uint8_t *challenge);
void rfb_end(struct rfb *c);
bool rfb_secured(struct rfb *c); /* after host->secure(): TLS is there. False: the connection is to be closed */
void rfb_judged(struct rfb *c, bool may); /* after RFB_PROOF_ASKED. `may` false: the connection is to be closed */
/* Takes whole messages; returns the bytes taken. Stops when a client has proved who it is: what follows may be
 * sealed. Negative: the connection is to be closed (what is in `out` may still go), and why. */
ssize_t rfb_input(struct rfb *c, const uint8_t *data, size_t size, const char **ret_why);

/* ---- updates ---- */

/* At most: lines of text and widths that all encodings take. */
#define RFB_RECT_PIXELS 262144u
#define RFB_RECT_WIDTH 2048u

void rfb_update(struct rfb *c, uint16_t rects); /* so many follow */
void rfb_rect(struct rfb *c, uint16_t x, uint16_t y, uint16_t width, uint16_t height, int32_t encoding);
/* One of at most RFB_RECT_PIXELS and RFB_RECT_WIDTH, in the client's encoding. */
void rfb_encode(struct rfb *c, uint16_t x, uint16_t y, const struct rfb_image *image);
/* RFB_HAS_COPY_RECT: what the client has so far away stands at x, y now. */
void rfb_copy(struct rfb *c, const uint16_t at[2], const uint16_t from[2], uint16_t width, uint16_t height);
bool rfb_may_lose(const struct rfb *c); /* by JPEG */
void rfb_colour_map(struct rfb *c); /* when palette_due */
/* Pseudo-rectangles. */
void rfb_put_screens(struct rfb *c, uint16_t reason, uint16_t status, uint16_t width, uint16_t height);
/* `pixels`: ARGB, not premultiplied. */
void rfb_put_cursor(struct rfb *c, uint16_t hot_x, uint16_t hot_y, uint16_t width, uint16_t height,
                    const uint32_t *pixels);
void rfb_put_power(struct rfb *c, uint8_t code); /* 0: failed, 1: there is power control */

/* ---- encodings ---- */
void rfb_hextile(struct rfb *c, const struct rfb_image *image);
void rfb_zrle(struct rfb *c, const struct rfb_image *image);
void rfb_tight(struct rfb *c, const struct rfb_image *image);
/* Appends what a stream (an index of `streams`) makes of the bytes, flushed. */
void rfb_deflate(struct rfb *c, unsigned stream, const uint8_t *data, size_t size, struct bytes *to);
/* Pictures in files' formats. False: it was not possible. */
bool rfb_jpeg(struct bytes *to, const struct rfb_image *image, int quality);
bool rfb_png(struct bytes *to, const struct rfb_image *image, int compression);

#endif
