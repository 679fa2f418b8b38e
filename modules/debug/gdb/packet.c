/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packets: framing, checksums, escapes, hexadecimal. */
#include "packet.h"

#include <string.h>

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static enum packet_event outside(struct packet_reader *r, uint8_t byte)
{
    switch (byte) {
    case '$':
        r->state = PACKET_DATA;
        r->length = 0;
        r->sum = 0;
        r->escaped = r->too_long = false;
        return PACKET_NONE;
    case 3: return PACKET_INTERRUPT;
    case '+': return PACKET_ACK;
    case '-': return PACKET_NAK;
    default: return PACKET_NONE;
    }
}

static void keep(struct packet_reader *r, uint8_t byte)
{
    if (!r->escaped && byte == '}') {
        r->escaped = true;
        return;
    }
    if (r->escaped)
        byte ^= 0x20;
    r->escaped = false;
    if (r->length < PACKET_SIZE)
        r->data[r->length++] = (char)byte;
    else
        r->too_long = true;
}

enum packet_event packet_input(struct packet_reader *r, uint8_t byte)
{
    int d = digit((char)byte);

    switch (r->state) {
    case PACKET_OUTSIDE: return outside(r, byte);
    case PACKET_DATA:
        if (byte == '#') {
            r->state = PACKET_SUM1;
        } else if (byte == '$') { /* the one before was cut off */
            outside(r, byte);
        } else {
            r->sum = (uint8_t)(r->sum + byte);
            keep(r, byte);
        }
        return PACKET_NONE;
    case PACKET_SUM1:
        r->told = (uint8_t)((d < 0 ? 0 : d) << 4);
        r->state = d < 0 ? PACKET_OUTSIDE : PACKET_SUM2;
        return d < 0 ? PACKET_BAD : PACKET_NONE;
    default:
        r->state = PACKET_OUTSIDE;
        r->data[r->length] = '\0';
        return d < 0 || r->too_long || (r->told | d) != r->sum ? PACKET_BAD : PACKET_COMPLETE;
    }
}

/* ---- making one ---- */

static void put(struct packet_writer *w, char c)
{
    if (w->length + 4 < sizeof(w->data)) /* room for "#xx" stays */
        w->data[w->length++] = c;
    else
        w->full = true;
}

void packet_begin(struct packet_writer *w)
{
    w->length = 0;
    w->full = false;
    put(w, '$');
}

void packet_text(struct packet_writer *w, const char *text)
{
    for (; *text; text++)
        put(w, *text);
}

void packet_number(struct packet_writer *w, uint64_t value)
{
    int shift = 60;

    while (shift > 0 && !(value >> shift & 15))
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        put(w, "0123456789abcdef"[value >> shift & 15]);
}

void packet_hex(struct packet_writer *w, const void *bytes, size_t n)
{
    for (const uint8_t *p = bytes; n > 0; p++, n--) {
        put(w, "0123456789abcdef"[*p >> 4]);
        put(w, "0123456789abcdef"[*p & 15]);
    }
}

void packet_binary(struct packet_writer *w, const void *bytes, size_t n)
{
    for (const char *p = bytes; n > 0; p++, n--) {
        if (*p == '$' || *p == '#' || *p == '}' || *p == '*') {
            put(w, '}');
            put(w, *p ^ 0x20);
        } else {
            put(w, *p);
        }
    }
}

void packet_end(struct packet_writer *w)
{
    uint8_t sum = 0;

    for (size_t i = 1; i < w->length; i++)
        sum = (uint8_t)(sum + (uint8_t)w->data[i]);
    w->data[w->length++] = '#';
    w->data[w->length++] = "0123456789abcdef"[sum >> 4];
    w->data[w->length++] = "0123456789abcdef"[sum & 15];
}

/* ---- reading data ---- */

bool take_number(const char **text, uint64_t *ret_value)
{
    uint64_t value = 0;
    const char *p = *text;

    for (; digit(*p) >= 0; p++) {
        if (value >> 60)
            return false;
        value = value << 4 | (unsigned)digit(*p);
    }
    if (p == *text)
        return false;
    *text = p;
    *ret_value = value;
    return true;
}

bool take_char(const char **text, char c)
{
    if (**text != c)
        return false;
    (*text)++;
    return true;
}

size_t take_hex(const char **text, uint8_t *ret_bytes, size_t size)
{
    size_t n = 0;

    for (; n < size && digit((*text)[0]) >= 0 && digit((*text)[1]) >= 0; *text += 2)
        ret_bytes[n++] = (uint8_t)(digit((*text)[0]) << 4 | digit((*text)[1]));
    return n;
}
