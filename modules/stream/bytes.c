/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes that grow. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

uint8_t *bytes_reserve(struct bytes *b, size_t bytes)
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

void bytes_put(struct bytes *b, const void *data, size_t bytes)
{
    if (bytes)
        memcpy(bytes_reserve(b, bytes), data, bytes);
    b->size += bytes;
}

void bytes_put8(struct bytes *b, uint8_t v)
{
    *bytes_reserve(b, 1) = v;
    b->size++;
}

void bytes_put16(struct bytes *b, uint16_t v)
{
    const uint8_t bytes[] = {(uint8_t)(v >> 8), (uint8_t)v};

    bytes_put(b, bytes, sizeof(bytes));
}

void bytes_put32(struct bytes *b, uint32_t v)
{
    bytes_put16(b, (uint16_t)(v >> 16));
    bytes_put16(b, (uint16_t)v);
}

void bytes_drop(struct bytes *b, size_t bytes)
{
    if (!bytes)
        return;
    b->size -= bytes;
    if (b->size)
        memmove(b->data, b->data + bytes, b->size);
    else if (b->room > 1u << 20)
        bytes_free(b); /* a large picture is over */
}

void bytes_free(struct bytes *b)
{
    free(b->data);
    *b = (struct bytes){NULL, 0, 0};
}
