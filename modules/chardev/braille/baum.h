/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A braille terminal of Baum's family Vario, as its serial line sees it. */
#ifndef BAUM_H
#define BAUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BAUM_CELLS_MOST 80u

struct baum {
    unsigned cells; /* 1..BAUM_CELLS_MOST */
    /* The guest shows these dots: `cells` bytes, dot 1 is bit 0, as ISO 11548-1 has them. */
    void (*show)(void *opaque, const uint8_t *dots);
    /* Bytes for the guest, whole packets: with a key that is pressed comes that it is let go. */
    void (*say)(void *opaque, const uint8_t *data, size_t length);
    void *opaque;
    /* its own */
    uint8_t dots[BAUM_CELLS_MOST], request;
    uint8_t out[64]; /* packets that belong together */
    size_t out_size;
    unsigned count;
    bool escaped;
};

void baum_take(struct baum *b, const uint8_t *data, size_t length); /* what the guest sends */
/* Display keys (bit n: key n + 1 of six) are pressed, and the routing key of a cell (from 0; negative: none); then they
 * are let go. A cell that does not exist has no key: nothing is pressed. */
void baum_press(struct baum *b, unsigned keys, int cell);

#endif
