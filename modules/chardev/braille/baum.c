/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Baum's protocol with escapes: a packet is ESC and a code, then data in which ESC is doubled; the next ESC ends one
 * that is not complete. What drivers ask for (seen of BRLTTY's): 0x01 cells to show, 0x08 the keys, 0x84 who it is; a
 * 0x01 that is cut short is answered with the number of cells. What they are told: 0x22 routing keys, a bit for each
 * cell; 0x24 the six display keys. Other requests are not answered, as by a terminal without that part.
 */
#include "baum.h"

#include <stdio.h>
#include <string.h>

#define ESC 0x1b

enum { CELLS = 0x01, KEYS = 0x08, ROUTING = 0x22, DISPLAY_KEYS = 0x24, IDENTITY = 0x84 };

static void tell(struct baum *b, uint8_t code, const uint8_t *data, size_t length)
{
    b->out[b->out_size++] = ESC;
    b->out[b->out_size++] = code;
    for (size_t i = 0; i < length; i++) {
        b->out[b->out_size++] = data[i];
        if (data[i] == ESC)
            b->out[b->out_size++] = ESC;
    }
}

static void flush(struct baum *b)
{
    if (b->out_size)
        b->say(b->opaque, b->out, b->out_size);
    b->out_size = 0;
}

static void tell_keys(struct baum *b, unsigned keys)
{
    const uint8_t byte = (uint8_t)keys;

    tell(b, DISPLAY_KEYS, &byte, 1);
}

static void tell_routing(struct baum *b, int cell)
{
    uint8_t bits[BAUM_CELLS_MOST / 8] = {0};

    if (cell >= 0)
        bits[cell / 8] = (uint8_t)(1 << cell % 8);
    tell(b, ROUTING, bits, (b->cells + 7) / 8);
}

void baum_press(struct baum *b, unsigned keys, int cell)
{
    if (cell >= (int)b->cells)
        return;
    if (keys)
        tell_keys(b, keys);
    if (cell >= 0) {
        tell_routing(b, cell);
        tell_routing(b, -1);
    }
    if (keys)
        tell_keys(b, 0);
    flush(b);
}

static void begin(struct baum *b, uint8_t code)
{
    const uint8_t cells = (uint8_t)b->cells;
    char name[17];

    if (b->request == CELLS)
        tell(b, CELLS, &cells, 1);
    b->request = code;
    b->count = 0;
    if (code == IDENTITY) {
        snprintf(name, sizeof(name), "%-16s", b->cells > 40 ? "Baum Vario 80" : "Baum Vario 40");
        tell(b, IDENTITY, (const uint8_t *)name, 16);
    } else if (code == KEYS) {
        tell_keys(b, 0); /* they are let go as soon as they are pressed */
    }
    flush(b);
}

static void take(struct baum *b, uint8_t byte)
{
    if (b->request != CELLS)
        return;
    b->dots[b->count++] = byte;
    if (b->count < b->cells)
        return;
    b->request = 0;
    b->show(b->opaque, b->dots);
}

void baum_take(struct baum *b, const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        bool was_escaped = b->escaped;

        b->escaped = !was_escaped && data[i] == ESC;
        if (was_escaped && data[i] != ESC)
            begin(b, data[i]);
        else if (!b->escaped)
            take(b, data[i]);
    }
}
