/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SMBIOS structures as bytes: a formatted area, then its strings, then two zeroes (DSP0134, 6.1). */
#include "smbios.h"

#include <stdlib.h>
#include <string.h>

void smbios_append(struct smbios_out *out, const void *data, size_t size)
{
    if (size > out->room - out->size) {
        while (size > out->room - out->size)
            out->room = out->room ? out->room * 2 : 4096;
        out->data = bp_realloc(out->data, out->room);
    }
    memcpy(out->data + out->size, data, size);
    out->size += size;
}

void smbios_begin(struct smbios_out *out, uint8_t type, uint8_t length, uint16_t handle)
{
    uint8_t area[256] = {type, length, (uint8_t)handle, (uint8_t)(handle >> 8)};

    out->start = out->size;
    out->strings = 0;
    smbios_append(out, area, length);
}

static void put(struct smbios_out *out, unsigned at, uint64_t v, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        out->data[out->start + at + i] = (uint8_t)(v >> 8 * i);
}

void smbios_u8(struct smbios_out *out, unsigned at, uint64_t v)
{
    put(out, at, v, 1);
}

void smbios_u16(struct smbios_out *out, unsigned at, uint64_t v)
{
    put(out, at, v, 2);
}

void smbios_u32(struct smbios_out *out, unsigned at, uint64_t v)
{
    put(out, at, v, 4);
}

void smbios_u64(struct smbios_out *out, unsigned at, uint64_t v)
{
    put(out, at, v, 8);
}

void smbios_bytes(struct smbios_out *out, unsigned at, const void *data, size_t size)
{
    memcpy(out->data + out->start + at, data, size);
}

void smbios_text(struct smbios_out *out, unsigned at, const char *text)
{
    if (!text || !*text)
        return;
    smbios_append(out, text, strlen(text) + 1);
    smbios_u8(out, at, ++out->strings);
}

void smbios_end(struct smbios_out *out)
{
    smbios_append(out, "\0", out->strings ? 1 : 2);
    out->count++;
    if (out->size - out->start > out->largest)
        out->largest = out->size - out->start;
}
