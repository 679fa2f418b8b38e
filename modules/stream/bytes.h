/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes that grow, and leave from the beginning. Memory that runs out ends the program, as everywhere. */
#ifndef STREAM_BYTES_H
#define STREAM_BYTES_H

#include <bp/base.h>

struct bytes {
    uint8_t *data; /* owned */
    size_t size, room;
};
uint8_t *bytes_reserve(struct bytes *b, size_t bytes); /* room for so many more; size stays */
void bytes_put(struct bytes *b, const void *data, size_t bytes);
void bytes_put8(struct bytes *b, uint8_t v);
void bytes_put16(struct bytes *b, uint16_t v); /* most significant byte first, as all of RFB */
void bytes_put32(struct bytes *b, uint32_t v);
void bytes_drop(struct bytes *b, size_t bytes); /* from the beginning */
void bytes_free(struct bytes *b);

#endif
