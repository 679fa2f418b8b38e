/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "websocket.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "sha1.h"

#define ACCEPT_LENGTH 28 /* of a digest of 20 bytes in base64 */

enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

static ssize_t fail(const char **ret_why, const char *why)
{
    *ret_why = why;
    return -EPROTO;
}

/* ---- handshake ---- */

/* The value of a header in a request's lines, without white space around it. */
static bool find_header(const char *head, size_t size, const char *name, const char **ret_value,
                        size_t *ret_length)
{
    const char *end = head + size;

    for (const char *line = memchr(head, '\n', size); line && ++line < end;
         line = memchr(line, '\n', (size_t)(end - line))) {
        const char *stop = memchr(line, '\r', (size_t)(end - line)), *value;
        size_t n = strlen(name);

        if (!stop || (size_t)(stop - line) <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
            continue;
        for (value = line + n + 1; value < stop && (*value == ' ' || *value == '\t');)
            value++;
        while (stop > value && (stop[-1] == ' ' || stop[-1] == '\t'))
            stop--;
        *ret_value = value;
        *ret_length = (size_t)(stop - value);
        return true;
    }
    return false;
}

static bool has_word(const char *value, size_t length, const char *word)
{
    size_t n = strlen(word);

    for (size_t i = 0; i + n <= length; i++) {
        if (strncasecmp(value + i, word, n) == 0)
            return true;
    }
    return false;
}

bool websocket_comes_from_host(const char *request, size_t size)
{
    const char *origin, *host;
    size_t origin_length, host_length, scheme;

    if (!find_header(request, size, "Origin", &origin, &origin_length))
        return true;
    if (!find_header(request, size, "Host", &host, &host_length))
        return false;
    scheme = origin_length > 7 && !strncasecmp(origin, "http://", 7)    ? 7
             : origin_length > 8 && !strncasecmp(origin, "https://", 8) ? 8 : 0;
    return scheme && origin_length - scheme == host_length && !strncasecmp(origin + scheme, host, host_length);
}

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* RFC 4648; of what has no multiple of three bytes, here the 20 of a digest. */
static void to_base64(const uint8_t *from, size_t size, char *to)
{
    for (size_t i = 0; i < size; i += 3) {
        size_t have = size - i < 3 ? size - i : 3;
        uint32_t bits = (uint32_t)from[i] << 16;

        bits |= have > 1 ? (uint32_t)from[i + 1] << 8 : 0;
        bits |= have > 2 ? from[i + 2] : 0;
        for (unsigned k = 0; k < 4; k++)
            *to++ = k <= have ? digits[bits >> (18 - 6 * k) & 63] : '=';
    }
}

static void accept_key(const char *key, size_t length, char out[ACCEPT_LENGTH])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t text[64 + sizeof(guid)], digest[SHA1_BYTES];

    memcpy(text, key, length);
    memcpy(text + length, guid, sizeof(guid) - 1);
    sha1(text, length + sizeof(guid) - 1, digest);
    to_base64(digest, sizeof(digest), out);
}

static void put_text(struct bytes *to, const char *text)
{
    bytes_put(to, text, strlen(text));
}

static ssize_t handshake(struct websocket *w, const char *data, size_t size, struct bytes *reply,
                         const char **ret_why)
{
    char accept[ACCEPT_LENGTH];
    const char *end = memmem(data, size, "\r\n\r\n", 4), *value;
    size_t head, length;

    if (!end)
        return size > WEBSOCKET_REQUEST_MAX ? fail(ret_why, "its WebSocket request is too long") : 0;
    head = (size_t)(end - data) + 4;
    if (head < 16 || memcmp(data, "GET ", 4) != 0 ||
        !find_header(data, head, "Upgrade", &value, &length) || !has_word(value, length, "websocket") ||
        !find_header(data, head, "Sec-WebSocket-Version", &value, &length) || length != 2 ||
        memcmp(value, "13", 2) != 0 || !find_header(data, head, "Sec-WebSocket-Key", &value, &length) ||
        length > 64) {
        put_text(reply, "HTTP/1.1 400 Bad Request\r\nSec-WebSocket-Version: 13\r\nConnection: close\r\n\r\n");
        return fail(ret_why, "its request asks for no WebSocket");
    }
    accept_key(value, length, accept);
    put_text(reply, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Accept: ");
    bytes_put(reply, accept, sizeof(accept));
    if (find_header(data, head, "Sec-WebSocket-Protocol", &value, &length)) {
        if (!has_word(value, length, "binary"))
            return fail(ret_why, "it asks for WebSocket without the protocol 'binary'");
        put_text(reply, "\r\nSec-WebSocket-Protocol: binary");
    }
    put_text(reply, "\r\n\r\n");
    w->open = true;
    return (ssize_t)head;
}

/* ---- frames ---- */

static ssize_t frame_head(struct websocket *w, const uint8_t *data, size_t size, const char **ret_why)
{
    size_t need = 6, extra;

    if (size < 2)
        return 0;
    w->opcode = data[0] & 15;
    w->left = data[1] & 127;
    if (!(data[1] & 0x80) || (data[0] & 0x70))
        return fail(ret_why, "its WebSocket frame is not masked, or has extensions");
    if (w->opcode >= CLOSE && (w->left > sizeof(w->control) || !(data[0] & 0x80)))
        return fail(ret_why, "its WebSocket control frame is too long or in parts");
    if (w->opcode > BINARY && (w->opcode < CLOSE || w->opcode > PONG))
        return fail(ret_why, "its WebSocket frame is of a kind that there is none of here");
    extra = w->left == 126 ? 2 : w->left == 127 ? 8 : 0;
    need += extra;
    if (size < need)
        return 0;
    if (extra)
        w->left = 0;
    for (size_t i = 0; i < extra; i++)
        w->left = w->left << 8 | data[2 + i];
    if (w->left >> 63)
        return fail(ret_why, "its WebSocket frame is too long");
    memcpy(w->mask, data + 2 + extra, 4);
    w->at = 0;
    w->in_payload = true;
    return (ssize_t)need;
}

static void end_frame(struct websocket *w, struct bytes *reply)
{
    bool close = w->opcode == CLOSE;
    size_t size = !close ? (size_t)w->at : w->at >= 2 ? 2 : 0; /* why it closes is said back, not in which words */

    w->in_payload = false;
    w->closed |= close;
    if (w->opcode != PING && !close)
        return;
    bytes_put8(reply, 0x80 | (close ? CLOSE : PONG));
    bytes_put8(reply, (uint8_t)size);
    bytes_put(reply, w->control, size);
}

static size_t take_payload(struct websocket *w, const uint8_t *data, size_t size, struct bytes *payload)
{
    size_t n = w->left < size ? (size_t)w->left : size;
    uint8_t *to = w->opcode < CLOSE ? bytes_reserve(payload, n) : w->control + w->at;

    for (size_t i = 0; i < n; i++)
        to[i] = data[i] ^ w->mask[(w->at + i) & 3];
    if (w->opcode < CLOSE)
        payload->size += n;
    w->at += n;
    w->left -= n;
    return n;
}

ssize_t websocket_input(struct websocket *w, const uint8_t *data, size_t size, struct bytes *payload,
                        struct bytes *reply, const char **ret_why)
{
    size_t at = 0;
    ssize_t n = 1;

    if (!w->open) {
        n = handshake(w, (const char *)data, size, reply, ret_why);
        if (n <= 0)
            return n;
        at = (size_t)n;
    }
    while (!w->closed) {
        if (w->in_payload) {
            at += take_payload(w, data + at, size - at, payload);
            if (w->left)
                break;
            end_frame(w, reply);
            continue;
        }
        n = frame_head(w, data + at, size - at, ret_why);
        if (n < 0)
            return n;
        if (n == 0)
            break;
        at += (size_t)n;
    }
    return (ssize_t)at;
}

void websocket_bye(struct bytes *to)
{
    bytes_put8(to, 0x80 | CLOSE);
    bytes_put8(to, 2);
    bytes_put16(to, 1001);
}

void websocket_wrap(struct bytes *to, size_t size)
{
    bytes_put8(to, 0x80 | BINARY);
    if (size < 126) {
        bytes_put8(to, (uint8_t)size);
    } else if (size < 65536) {
        bytes_put8(to, 126);
        bytes_put16(to, (uint16_t)size);
    } else {
        bytes_put8(to, 127);
        bytes_put32(to, (uint32_t)((uint64_t)size >> 32));
        bytes_put32(to, (uint32_t)size);
    }
}
