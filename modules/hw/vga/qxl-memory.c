/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses of a QXL: bits 63 to 56 are a slot, 55 to 48 its generation, the others an offset in
 * it. */
#include <errno.h>
#include <string.h>

#include <bp/log.h>

#include "qxl.h"

#define OFFSET_BITS 48
#define MOST_CHUNKS 65536u /* of a chain */

static uint64_t bar(const struct qxl *s, unsigned offset)
{
    const uint8_t *c = (*qxl_pci)->config(s->dev) + offset;

    return (c[0] | (uint32_t)c[1] << 8 | (uint32_t)c[2] << 16 | (uint32_t)c[3] << 24) & ~15u;
}

int qxl_slot_add(struct qxl *s, uint32_t number, uint64_t from, uint64_t to)
{
    const uint64_t bars[2] = {bar(s, 0x10), bar(s, 0x14)}, sizes[2] = {s->ram_size, s->vram_size};

    if (!number || number >= QXL_SLOTS || from >= to)
        return -EINVAL;
    for (unsigned i = 0; i < 2; i++) {
        if (from < bars[i] || to > bars[i] + sizes[i])
            continue;
        s->slots[number] = (struct qxl_slot){.on = 1,
                                             .vram = (uint8_t)i,
                                             .generation = s->generation,
                                             .offset = (uint32_t)(from - bars[i]),
                                             .size = (uint32_t)(to - from)};
        return 0;
    }
    return -EINVAL;
}

bool qxl_find(const struct qxl *s, uint64_t address, uint64_t bytes, struct qxl_place *ret_place)
{
    unsigned number = (unsigned)(address >> 56),
             generation = (unsigned)(address >> OFFSET_BITS) & 0xff;
    uint64_t offset = address & ((1ull << OFFSET_BITS) - 1);
    const struct qxl_slot *slot;

    ret_place->region = NULL;
    if (number >= QXL_SLOTS)
        return false;
    slot = &s->slots[number];
    if (!slot->on || slot->generation != generation || offset > slot->size ||
        bytes > slot->size - offset) {
        bp_guest_error("qxl-address", "qxl: nothing is at 0x%llx", (unsigned long long)address);
        return false;
    }
    ret_place->offset = slot->offset + offset;
    ret_place->region = slot->vram ? s->vram_region : s->vga.vram;
    ret_place->at = (slot->vram ? s->vram : s->vga.memory) + ret_place->offset;
    return true;
}

bool qxl_read(const struct qxl *s, uint64_t address, void *to, uint64_t bytes)
{
    struct qxl_place place;

    if (!qxl_find(s, address, bytes, &place))
        return false;
    memcpy(to, place.at, bytes);
    return true;
}

bool qxl_read_chunks(const struct qxl *s, uint64_t address, void *to, uint64_t bytes)
{
    uint8_t *at = to;

    for (unsigned n = 0; bytes && n < MOST_CHUNKS; n++) {
        QXLDataChunk chunk;
        uint64_t part;

        if (!address || !qxl_read(s, address, &chunk, sizeof(chunk)))
            return false;
        part = chunk.data_size < bytes ? chunk.data_size : bytes;
        if (!qxl_read(s, address + sizeof(chunk), at, part))
            return false;
        at += part;
        bytes -= part;
        address = chunk.next_chunk;
    }
    return !bytes;
}
