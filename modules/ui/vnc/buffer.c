/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes that grow. */
#include <stdlib.h>
#include <string.h>

#include "rfb.h"

uint8_t *rfb_reserve(struct rfb_buffer *b, size_t bytes)
{
    if (b->room - b->size < bytes) {
        size_t room = b->room ? b->room : 4096;

        while (room - b->size < bytes)
            room *= 2;
        b->data = bp_realloc(b->data, room);
        b->room = room;
    }
    return b->data + b->size;
}

void rfb_put(struct rfb_buffer *b, const void *data, size_t bytes)
{
    if (bytes)
        memcpy(rfb_reserve(b, bytes), data, bytes);
    b->size += bytes;
}

void rfb_put8(struct rfb_buffer *b, uint8_t v)
{
    *rfb_reserve(b, 1) = v;
    b->size++;
}

void rfb_put16(struct rfb_buffer *b, uint16_t v)
{
    const uint8_t bytes[] = {(uint8_t)(v >> 8), (uint8_t)v};

    rfb_put(b, bytes, sizeof(bytes));
}

void rfb_put32(struct rfb_buffer *b, uint32_t v)
{
    rfb_put16(b, (uint16_t)(v >> 16));
    rfb_put16(b, (uint16_t)v);
}

void rfb_drop(struct rfb_buffer *b, size_t bytes)
{
    if (!bytes)
        return;
    b->size -= bytes;
    if (b->size)
        memmove(b->data, b->data + bytes, b->size);
    else if (b->room > 1u << 20)
        rfb_buffer_free(b); /* a large picture is over */
}

void rfb_buffer_free(struct rfb_buffer *b)
{
    free(b->data);
    *b = (struct rfb_buffer){NULL, 0, 0};
}
