/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzz target: what a guest sends to a braille terminal. Cut anywhere it shows and says the same; what it says stays in
 * its bounds. */
#include <stdlib.h>
#include <string.h>

#include "../../modules/chardev/braille/baum.c"

#include "fuzz.h"

struct seen {
    uint64_t sum;
    unsigned cells;
};

static void add(struct seen *s, const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++)
        s->sum = s->sum * 31 + data[i] + 1;
}

static void show(void *opaque, const uint8_t *dots)
{
    add(opaque, dots, ((struct seen *)opaque)->cells);
}

static void say(void *opaque, const uint8_t *data, size_t length)
{
    if (length < 3 || length > 64 || data[0] != ESC)
        abort();
    add(opaque, data, length);
}

static uint64_t play(const uint8_t *data, size_t size, unsigned cells, size_t step)
{
    struct seen seen = {0, cells};
    struct baum b = {.cells = cells, .show = show, .say = say, .opaque = &seen};

    for (size_t at = 0, n; at < size; at += n) {
        n = step < size - at ? step : size - at;
        baum_take(&b, data + at, n);
    }
    for (int cell = -1; cell <= (int)BAUM_CELLS_MOST; cell++)
        baum_press(&b, (unsigned)(cell + 1) & 0x3f, cell);
    return seen.sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned cells = size ? 1 + data[0] % BAUM_CELLS_MOST : 40;

    if (play(data, size, cells, size ? size : 1) != play(data, size, cells, 3))
        abort();
    return 0;
}
