/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a client says: handshake and messages (RFC 6143, 7.1 to 7.5). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rfb.h"

enum { SECURITY_NONE = 1, SECURITY_VNC = 2, SECURITY_VENCRYPT = 19, SECURITY_SASL = 20 };
enum { VENCRYPT_TLS_NONE = 257, VENCRYPT_TLS_VNC = 258, VENCRYPT_X509_NONE = 260, VENCRYPT_X509_VNC = 261,
       VENCRYPT_TLS_SASL = 263, VENCRYPT_X509_SASL = 264 };
enum { SET_PIXEL_FORMAT = 0, SET_ENCODINGS = 2, UPDATE_REQUEST = 3, KEY_EVENT = 4, POINTER_EVENT = 5,
       CUT_TEXT = 6, XVP = 250, SET_DESKTOP_SIZE = 251, QEMU = 255 };
enum { QEMU_KEY = 0, QEMU_AUDIO = 1 };

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

void rfb_begin(struct rfb *c, const struct rfb_host *host, void *opaque, const uint8_t *challenge)
{
    *c = (struct rfb){.host = host, .opaque = opaque, .state = RFB_VERSION, .quality = -1, .compression = 6,
                      .wants_password = challenge != NULL};
    if (challenge)
        memcpy(c->challenge, challenge, RFB_CHALLENGE);
    rfb_format_default(&c->format);
    bytes_put(&c->out, "RFB 003.008\n", 12);
}

void rfb_end(struct rfb *c)
{
    z_stream *const all[] = {&c->zrle, &c->zlib, &c->tight[0], &c->tight[1], &c->tight[2], &c->tight[3]};

    for (unsigned i = 0; i < BP_COUNT(all); i++) {
        if (c->streams >> i & 1)
            deflateEnd(all[i]);
    }
    c->streams = 0;
    bytes_free(&c->out);
    bytes_free(&c->scratch);
    bytes_free(&c->squeezed);
}

/* Each of these takes one whole message: its bytes; 0: it is not whole; negative: the end, and why. */

static ssize_t fail(const char **ret_why, const char *why)
{
    *ret_why = why;
    return -EPROTO;
}

/* ---- handshake ---- */

static uint8_t security_of(const struct rfb *c)
{
    if (c->vencrypt)
        return SECURITY_VENCRYPT;
    return c->wants_proof ? SECURITY_SASL : c->wants_password ? SECURITY_VNC : SECURITY_NONE;
}

/* No type of security, and why. */
static void offer_nothing(struct rfb *c, const char *why)
{
    if (c->minor == 3)
        bytes_put32(&c->out, 0);
    else
        bytes_put8(&c->out, 0);
    bytes_put32(&c->out, (uint32_t)strlen(why));
    bytes_put(&c->out, why, strlen(why));
}

/* False: the client's version knows nothing of it. */
static bool ask_security(struct rfb *c)
{
    uint8_t type = security_of(c);

    if (c->minor == 3 && (c->vencrypt || c->wants_proof)) {
        offer_nothing(c, c->vencrypt ? "this server wants TLS, which comes with version 3.7 of the protocol"
                                     : "this server wants SASL, which comes with version 3.7 of the protocol");
        return false;
    }
    if (type == SECURITY_SASL && !c->host->mechanisms(c->opaque)) {
        offer_nothing(c, "this server wants SASL, and has no mechanism for it");
        return false;
    }
    if (c->minor == 3) { /* the server decides */
        bytes_put32(&c->out, type);
        if (c->wants_password)
            bytes_put(&c->out, c->challenge, RFB_CHALLENGE);
        c->state = c->wants_password ? RFB_AUTHENTICATION : RFB_INIT;
        return true;
    }
    bytes_put8(&c->out, 1);
    bytes_put8(&c->out, type);
    c->state = RFB_SECURITY;
    return true;
}

static ssize_t take_version(struct rfb *c, const uint8_t *data, size_t size, const char **ret_why)
{
    unsigned minor = 0;

    if (size < 12)
        return memcmp(data, "RFB 003.", size < 8 ? size : 8) == 0 ? 0 : fail(ret_why, "it speaks no RFB 3");
    if (memcmp(data, "RFB 003.", 8) != 0 || data[11] != '\n')
        return fail(ret_why, "it speaks no RFB 3");
    for (unsigned i = 8; i < 11; i++) {
        if (data[i] < '0' || data[i] > '9')
            return fail(ret_why, "it speaks no RFB 3");
        minor = minor * 10 + data[i] - '0';
    }
    c->minor = minor >= 8 ? 8 : minor == 7 ? 7 : 3;
    return ask_security(c) ? 12 : fail(ret_why, "there is no type of security for it");
}

static void refuse(struct rfb *c, const char *why)
{
    bytes_put32(&c->out, 1);
    if (c->minor < 8)
        return;
    bytes_put32(&c->out, (uint32_t)strlen(why));
    bytes_put(&c->out, why, strlen(why));
}

/* SASL, the password, or nothing, then the answer. False: it cannot be. */
static bool ask_who(struct rfb *c)
{
    if (c->wants_proof) {
        const char *mechanisms = c->host->mechanisms(c->opaque);

        if (!mechanisms)
            return false;
        bytes_put32(&c->out, (uint32_t)strlen(mechanisms));
        bytes_put(&c->out, mechanisms, strlen(mechanisms));
        c->state = RFB_MECHANISM;
    } else if (c->wants_password) {
        bytes_put(&c->out, c->challenge, RFB_CHALLENGE);
        c->state = RFB_AUTHENTICATION;
    } else {
        if (c->minor == 8)
            bytes_put32(&c->out, 0);
        c->state = RFB_INIT;
    }
    return true;
}

static ssize_t take_security(struct rfb *c, const uint8_t *data, size_t size, const char **ret_why)
{
    (void)size;
    if (data[0] != security_of(c)) {
        refuse(c, "this type of security was not offered");
        return fail(ret_why, "it asks for a type of security that was not offered");
    }
    if (c->vencrypt) {
        bytes_put8(&c->out, 0); /* version 0.2 */
        bytes_put8(&c->out, 2);
        c->state = RFB_VENCRYPT_VERSION;
    } else if (!ask_who(c)) {
        return fail(ret_why, "there is no mechanism of SASL for it");
    }
    return 1;
}

static uint32_t vencrypt_type(const struct rfb *c)
{
    if (c->wants_proof)
        return c->vencrypt == RFB_VENCRYPT_X509 ? VENCRYPT_X509_SASL : VENCRYPT_TLS_SASL;
    if (c->vencrypt == RFB_VENCRYPT_X509)
        return c->wants_password ? VENCRYPT_X509_VNC : VENCRYPT_X509_NONE;
    return c->wants_password ? VENCRYPT_TLS_VNC : VENCRYPT_TLS_NONE;
}

static ssize_t take_vencrypt_version(struct rfb *c, const uint8_t *data, size_t size, const char **ret_why)
{
    if (size < 2)
        return 0;
    if (data[0] != 0 || data[1] != 2) {
        bytes_put8(&c->out, 255);
        return fail(ret_why, "it speaks another version of VeNCrypt than 0.2");
    }
    bytes_put8(&c->out, 0);
    bytes_put8(&c->out, 1);
    bytes_put32(&c->out, vencrypt_type(c));
    c->state = RFB_VENCRYPT_TYPE;
    return 2;
}

static ssize_t take_vencrypt_type(struct rfb *c, const uint8_t *data, size_t size, const char **ret_why)
{
    if (size < 4)
        return 0;
    if (get32(data) != vencrypt_type(c)) {
        bytes_put8(&c->out, 0);
        return fail(ret_why, "it asks for a type of VeNCrypt that was not offered");
    }
    bytes_put8(&c->out, 1);
    c->state = RFB_SECURING;
    c->host->secure(c->opaque);
    return 4;
}

bool rfb_secured(struct rfb *c)
{
    return ask_who(c);
}

static ssize_t take_response(struct rfb *c, const uint8_t *data, size_t size, const char **ret_why)
{
    const char *why;

    if (size < RFB_CHALLENGE)
        return 0;
    why = c->host->authenticate(c->opaque, c->challenge, data);
    if (why) {
        refuse(c, why);
        return fail(ret_why, why);
    }
    bytes_put32(&c->out, 0);
    c->state = RFB_INIT;
    return RFB_CHALLENGE;
}

static ssize_t take_mechanism(struct rfb *c, const uint8_t *data, size_t size, const char **ret_why)
{
    uint32_t length;

    if (size < 4)
        return 0;
    length = get32(data);
    if (length == 0 || length > RFB_MECHANISM_MAX)
        return fail(ret_why, "the name of its SASL mechanism does not have 1 to 20 bytes");
    if (size < 4 + length)
        return 0;
    if (memchr(data + 4, 0, length))
        return fail(ret_why, "the name of its SASL mechanism has a zero inside");
    memcpy(c->mechanism, data + 4, length);
    c->mechanism[length] = 0;
    c->state = RFB_PROOF_FIRST;
    return 4 + (ssize_t)length;
}

/* Data that is there has a zero behind it, which belongs to its length: so nothing differs from no bytes. */
static ssize_t take_proof(struct rfb *c, const uint8_t *data, size_t size, const char **ret_why)
{
    const uint8_t *out = NULL;
    size_t out_size = 0;
    enum rfb_proof result;
    uint32_t length;

    if (size < 4)
        return 0;
    length = get32(data);
    if (length > RFB_PROOF_MAX)
        return fail(ret_why, "its step of SASL has more than 1 MiB");
    if (size < 4 + (size_t)length)
        return 0;
    result = c->host->prove(c->opaque, c->state == RFB_PROOF_FIRST ? c->mechanism : NULL, length ? data + 4 : NULL,
                            length ? length - 1 : 0, &out, &out_size);
    if (result == RFB_PROOF_FAILED || out_size > RFB_PROOF_MAX - 1) /* there is no room for words here */
        return fail(ret_why, "it has not proved who it is");
    bytes_put32(&c->out, out ? (uint32_t)out_size + 1 : 0);
    if (out) {
        bytes_put(&c->out, out, out_size);
        bytes_put8(&c->out, 0);
    }
    bytes_put8(&c->out, result != RFB_PROOF_MORE);
    c->state = result == RFB_PROOF_ASKED ? RFB_JUDGING : RFB_PROOF;
    if (result == RFB_PROOF_DONE)
        rfb_judged(c, true);
    return 4 + (ssize_t)length;
}

void rfb_judged(struct rfb *c, bool may)
{
    if (!may) {
        refuse(c, "who you are is known, and you may not use this screen");
        return;
    }
    bytes_put32(&c->out, 0);
    c->state = RFB_INIT;
}

static ssize_t take_init(struct rfb *c, const uint8_t *data, size_t size, const char **ret_why)
{
    uint16_t width, height;
    const char *name;
    uint8_t format[16];

    (void)size;
    if (!c->host->initialized(c->opaque, data[0] != 0, &width, &height, &name))
        return fail(ret_why, "another client has the display for itself");
    bytes_put16(&c->out, width);
    bytes_put16(&c->out, height);
    rfb_format_put(&c->format, format);
    bytes_put(&c->out, format, sizeof(format));
    bytes_put32(&c->out, (uint32_t)strlen(name));
    bytes_put(&c->out, name, strlen(name));
    c->state = RFB_NORMAL;
    return 1;
}

/* ---- messages ---- */

static ssize_t take_pixel_format(struct rfb *c, const uint8_t *data, size_t size, const char **ret_why)
{
    if (size < 20)
        return 0;
    if (rfb_format_set(&c->format, data + 4) < 0)
        return fail(ret_why, "its pixel format makes no sense");
    c->palette_due = !c->format.true_colour;
    c->formats++;
    return 20;
}

static uint32_t pseudo_encoding(int32_t encoding)
{
    switch (encoding) {
    case RFB_COPY_RECT:
        return RFB_HAS_COPY_RECT;
    case RFB_DESKTOP_SIZE:
        return RFB_HAS_DESKTOP_SIZE;
    case RFB_CURSOR:
        return RFB_HAS_CURSOR;
    case RFB_POINTER_TYPE:
        return RFB_HAS_POINTER_TYPE;
    case RFB_EXTENDED_KEY:
        return RFB_HAS_EXTENDED_KEY;
    case RFB_LED_STATE:
        return RFB_HAS_LED_STATE;
    case RFB_DESKTOP_NAME:
        return RFB_HAS_DESKTOP_NAME;
    case RFB_EXTENDED_DESKTOP_SIZE:
        return RFB_HAS_EXTENDED_DESKTOP_SIZE;
    case RFB_XVP:
        return RFB_HAS_XVP;
    case RFB_ALPHA_CURSOR:
        return RFB_HAS_ALPHA_CURSOR;
    case RFB_AUDIO:
        return RFB_HAS_AUDIO;
    default:
        return 0;
    }
}

static bool is_picture(int32_t encoding)
{
    return encoding == RFB_RAW || encoding == RFB_HEXTILE || encoding == RFB_ZLIB || encoding == RFB_TIGHT ||
           encoding == RFB_ZRLE || encoding == RFB_TIGHT_PNG;
}

static ssize_t take_encodings(struct rfb *c, const uint8_t *data, size_t size, const char **ret_why)
{
    bool chosen = false;
    size_t count;

    (void)ret_why;
    if (size < 4)
        return 0;
    count = get16(data + 2);
    if (size < 4 + 4 * count)
        return 0;
    c->encoding = RFB_RAW;
    c->has = 0;
    c->quality = -1;
    c->compression = 6;
    for (size_t i = 0; i < count; i++) {
        int32_t encoding = (int32_t)get32(data + 4 + 4 * i);

        c->has |= pseudo_encoding(encoding);
        if (is_picture(encoding) && !chosen) { /* they stand in the order of its liking */
            c->encoding = (enum rfb_encoding)encoding;
            chosen = true;
        }
        if (encoding >= -32 && encoding <= -23)
            c->quality = encoding + 32;
        if (encoding >= -256 && encoding <= -247)
            c->compression = encoding + 256;
    }
    c->host->encodings(c->opaque);
    return (ssize_t)(4 + 4 * count);
}

static ssize_t take_request(struct rfb *c, const uint8_t *data, size_t size, const char **ret_why)
{
    (void)ret_why;
    if (size < 10)
        return 0;
    c->host->request(c->opaque, data[1] != 0, get16(data + 2), get16(data + 4), get16(data + 6),
                     get16(data + 8));
    return 10;
}

/* What is over when it could be taken, and waited with when not. */
static ssize_t taken(struct rfb *c, int r, ssize_t bytes)
{
    c->busy = r == -EBUSY;
    return c->busy ? 0 : bytes;
}

static ssize_t take_key(struct rfb *c, const uint8_t *data, size_t size, const char **ret_why)
{
    (void)ret_why;
    return size < 8 ? 0 : taken(c, c->host->key(c->opaque, data[1] != 0, get32(data + 4), 0), 8);
}

static ssize_t take_pointer(struct rfb *c, const uint8_t *data, size_t size, const char **ret_why)
{
    (void)ret_why;
    return size < 6 ? 0 : taken(c, c->host->pointer(c->opaque, data[1], get16(data + 2), get16(data + 4)), 6);
}

static ssize_t take_cut_text(struct rfb *c, const uint8_t *data, size_t size, const char **ret_why)
{
    uint32_t length;

    if (size < 8)
        return 0;
    length = get32(data + 4);
    if (length > RFB_CUT_TEXT_MAX)
        return fail(ret_why, "its clipboard is too large");
    c->skip = length;
    return 8;
}

static ssize_t take_desktop_size(struct rfb *c, const uint8_t *data, size_t size, const char **ret_why)
{
    size_t screens;

    (void)ret_why;
    if (size < 8)
        return 0;
    screens = data[6];
    if (size < 8 + 16 * screens)
        return 0;
    c->host->resize(c->opaque, get16(data + 2), get16(data + 4));
    return (ssize_t)(8 + 16 * screens);
}

static ssize_t take_power(struct rfb *c, const uint8_t *data, size_t size, const char **ret_why)
{
    if (size < 4)
        return 0;
    if (data[2] != 1 || data[3] < RFB_POWER_SHUTDOWN || data[3] > RFB_POWER_RESET)
        return fail(ret_why, "it asks for a kind of power control that there is none of");
    if (!c->host->power(c->opaque, (enum rfb_power)data[3]))
        rfb_put_power(c, 0);
    return 4;
}

static ssize_t take_audio(struct rfb *c, const uint8_t *data, size_t size, const char **ret_why)
{
    size_t length = size >= 4 && get16(data + 2) == 2 ? 10 : 4;

    if (size < length)
        return 0;
    if (get16(data + 2) > 2 || !c->host->audio ||
        !c->host->audio(c->opaque, get16(data + 2), length == 10 ? data[4] : 0, length == 10 ? data[5] : 0,
                        length == 10 ? get32(data + 6) : 0))
        return fail(ret_why, "it asks for sound that was not offered");
    return (ssize_t)length;
}

static ssize_t take_qemu(struct rfb *c, const uint8_t *data, size_t size, const char **ret_why)
{
    if (size < 2)
        return 0;
    if (data[1] == QEMU_AUDIO)
        return take_audio(c, data, size, ret_why);
    if (data[1] != QEMU_KEY)
        return fail(ret_why, "it sends a message that was not offered");
    if (size < 12)
        return 0;
    return taken(c, c->host->key(c->opaque, get16(data + 2) != 0, get32(data + 4), get32(data + 8)), 12);
}

static ssize_t take_message(struct rfb *c, const uint8_t *data, size_t size, const char **ret_why)
{
    switch (data[0]) {
    case SET_PIXEL_FORMAT:
        return take_pixel_format(c, data, size, ret_why);
    case SET_ENCODINGS:
        return take_encodings(c, data, size, ret_why);
    case UPDATE_REQUEST:
        return take_request(c, data, size, ret_why);
    case KEY_EVENT:
        return take_key(c, data, size, ret_why);
    case POINTER_EVENT:
        return take_pointer(c, data, size, ret_why);
    case CUT_TEXT:
        return take_cut_text(c, data, size, ret_why);
    case XVP:
        return take_power(c, data, size, ret_why);
    case SET_DESKTOP_SIZE:
        return take_desktop_size(c, data, size, ret_why);
    case QEMU:
        return take_qemu(c, data, size, ret_why);
    default:
        return fail(ret_why, "it sends a message that there is none of");
    }
}

static ssize_t take_one(struct rfb *c, const uint8_t *data, size_t size, const char **ret_why)
{
    switch (c->state) {
    case RFB_VERSION:
        return take_version(c, data, size, ret_why);
    case RFB_SECURITY:
        return take_security(c, data, size, ret_why);
    case RFB_VENCRYPT_VERSION:
        return take_vencrypt_version(c, data, size, ret_why);
    case RFB_VENCRYPT_TYPE:
        return take_vencrypt_type(c, data, size, ret_why);
    case RFB_SECURING:
    case RFB_JUDGING:
        return 0;
    case RFB_AUTHENTICATION:
        return take_response(c, data, size, ret_why);
    case RFB_MECHANISM:
        return take_mechanism(c, data, size, ret_why);
    case RFB_PROOF_FIRST:
    case RFB_PROOF:
        return take_proof(c, data, size, ret_why);
    case RFB_INIT:
        return take_init(c, data, size, ret_why);
    case RFB_NORMAL:
        break;
    }
    return take_message(c, data, size, ret_why);
}

ssize_t rfb_input(struct rfb *c, const uint8_t *data, size_t size, const char **ret_why)
{
    size_t at = 0;

    c->busy = false;
    while (at < size) {
        bool proving = c->state == RFB_PROOF_FIRST || c->state == RFB_PROOF;
        ssize_t n = c->skip ? (ssize_t)(c->skip < size - at ? c->skip : size - at) : 0;

        if (n)
            c->skip -= (uint64_t)n;
        else
            n = take_one(c, data + at, size - at, ret_why);
        if (n < 0)
            return n;
        if (n == 0)
            break;
        at += (size_t)n;
        if (proving && c->state == RFB_INIT)
            break;
    }
    return (ssize_t)at;
}
