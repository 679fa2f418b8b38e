/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzz target: what a viewer sends to the VNC server: the first byte says how (bit 0: by WebSocket, bit 1: with a
 * password, bit 2: with VeNCrypt, whose TLS changes nothing here), the rest is the connection. Cut anywhere, it
 * leads to the same. Requests are answered from a picture in whatever format and encoding was asked for.
 */
#include <stdlib.h>
#include <string.h>

#include "../../modules/stream/websocket.h"
#include "../../modules/ui/vnc/rfb.h"

#include "fuzz.h"

#define WIDTH 64u
#define HEIGHT 48u
#define UPDATES 8u /* that one input gets at most */

struct run {
    struct rfb rfb;
    struct websocket ws;
    unsigned updates, calls;
    uint64_t seen; /* of what was called, for the comparison */
};

static void note(struct run *r, uint64_t what)
{
    r->calls++;
    r->seen = r->seen * 1099511628211ull + what;
}

static const char *authenticate(void *opaque, const uint8_t *challenge, const uint8_t *response)
{
    note(opaque, challenge[0] ^ response[0]);
    return response[0] & 1 ? "wrong" : NULL;
}

static bool initialized(void *opaque, bool shared, uint16_t *ret_width, uint16_t *ret_height,
                        const char **ret_name)
{
    note(opaque, shared);
    *ret_width = WIDTH;
    *ret_height = HEIGHT;
    *ret_name = "fuzz";
    return true;
}

static void encodings(void *opaque)
{
    struct run *r = opaque;

    note(r, r->rfb.has);
    r->rfb.lossy = true;
}

static void request(void *opaque, bool incremental, uint16_t x, uint16_t y, uint16_t width, uint16_t height)
{
    struct run *r = opaque;
    static uint32_t pixels[WIDTH * HEIGHT];
    struct rfb_image image = {pixels, WIDTH, WIDTH, HEIGHT};

    note(r, incremental + x + y + width + height);
    if (r->updates++ >= UPDATES)
        return;
    for (uint32_t i = 0; i < WIDTH * HEIGHT; i++)
        pixels[i] = i % WIDTH < width ? (i * 2654435761u) & 0xffffff : x * 257u + y;
    if (r->rfb.palette_due)
        rfb_colour_map(&r->rfb);
    rfb_update(&r->rfb, 2);
    rfb_encode(&r->rfb, 0, 0, &image);
    image.width = 1 + x % WIDTH;
    image.height = 1 + y % HEIGHT;
    rfb_encode(&r->rfb, 0, 0, &image);
    if (r->rfb.has & (RFB_HAS_CURSOR | RFB_HAS_ALPHA_CURSOR))
        rfb_put_cursor(&r->rfb, 0, 0, 5, 5, pixels);
    if (r->rfb.has & RFB_HAS_EXTENDED_DESKTOP_SIZE)
        rfb_put_screens(&r->rfb, 0, 0, WIDTH, HEIGHT);
}

static int key(void *opaque, bool down, uint32_t keysym, uint32_t xt)
{
    note(opaque, down + keysym + ((uint64_t)xt << 32));
    return 0;
}

static int pointer(void *opaque, uint8_t buttons, uint16_t x, uint16_t y)
{
    note(opaque, buttons + x + ((uint64_t)y << 32));
    return 0;
}

static void resize(void *opaque, uint16_t width, uint16_t height)
{
    note(opaque, width * 65536u + height);
}

static bool power(void *opaque, enum rfb_power what)
{
    note(opaque, what);
    return what == RFB_POWER_RESET;
}

static void secure(void *opaque)
{
    struct run *r = opaque;

    note(r, 19);
    rfb_secured(&r->rfb);
}

static const char *mechanisms(void *opaque)
{
    note(opaque, 20);
    return "ONE,TWO";
}

/* The first byte says how it goes. */
static enum rfb_proof prove(void *opaque, const char *mechanism, const uint8_t *data, size_t size,
                            const uint8_t **ret_out, size_t *ret_size)
{
    note(opaque, 21 + size + (mechanism ? (uint64_t)strlen(mechanism) << 32 : 0));
    if (!data || !size)
        return RFB_PROOF_MORE;
    *ret_out = data;
    *ret_size = size;
    return (enum rfb_proof)(data[0] & 3);
}

static const struct rfb_host fuzz_host = {
    .secure = secure, .mechanisms = mechanisms, .prove = prove,
    .authenticate = authenticate, .initialized = initialized, .encodings = encodings, .request = request,
    .key = key, .pointer = pointer, .resize = resize, .power = power};

static void converse(struct run *r, const uint8_t *data, size_t size, uint8_t how, bool cut)
{
    static const uint8_t challenge[RFB_CHALLENGE] = {1, 2, 3};
    struct bytes in = {NULL, 0, 0}, payload = {NULL, 0, 0}, reply = {NULL, 0, 0};
    const char *why = NULL;
    ssize_t n = 0;

    memset(r, 0, sizeof(*r));
    rfb_begin(&r->rfb, &fuzz_host, r, how & 2 ? challenge : NULL);
    r->rfb.vencrypt = how & 4 ? RFB_VENCRYPT_X509 : RFB_VENCRYPT_OFF;
    r->rfb.wants_proof = how & 8;
    for (size_t at = 0, step; at < size && n >= 0; at += step) {
        struct bytes *from = &in;

        step = cut ? 1 + data[at] % 7u : size;
        step = step < size - at ? step : size - at;
        bytes_put(&in, data + at, step);
        if (how & 1) {
            n = websocket_input(&r->ws, in.data, in.size, &payload, &reply, &why);
            if (n >= 0)
                bytes_drop(&in, (size_t)n);
            from = &payload;
        }
        for (bool more = n >= 0; more && from->size;) { /* it stops behind a proof */
            n = rfb_input(&r->rfb, from->data, from->size, &why);
            if (n >= 0)
                bytes_drop(from, (size_t)n);
            more = n > 0;
        }
    }
    if (n < 0 && !why)
        abort();
    note(r, n < 0);
    bytes_free(&in);
    bytes_free(&payload);
    bytes_free(&reply);
    rfb_end(&r->rfb);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run whole, cut;

    if (!size)
        return 0;
    converse(&whole, data + 1, size - 1, data[0], false);
    converse(&cut, data + 1, size - 1, data[0], true);
    /* By WebSocket the end may come before what stands in front of it was passed on. */
    if (!(data[0] & 1) && (whole.calls != cut.calls || whole.seen != cut.seen))
        abort();
    return 0;
}
