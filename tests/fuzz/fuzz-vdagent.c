/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzz target: the bytes of SPICE's agent in the guest. Cut anywhere they are the same messages; what is written comes
 * back as it was. */
#include <stdlib.h>
#include <string.h>

#include "../../modules/ui/vdagent/wire.c"

#include "fuzz.h"

struct seen {
    unsigned count;
    uint32_t sum;
    struct wire_out out;
};

static void count(void *opaque, uint32_t type, const uint8_t *body, uint32_t size)
{
    struct seen *s = opaque;

    if (!body && size)
        abort();
    s->count++;
    s->sum = s->sum * 31 + type + size;
    for (uint32_t i = 0; i < size; i++)
        s->sum = s->sum * 31 + body[i];
    wire_out_add(&s->out, PORT_CLIENT, type, body, size / 2, size ? body + size / 2 : NULL, size - size / 2);
}

static void take(struct seen *s, const uint8_t *data, size_t size, size_t step)
{
    struct wire_in in = {.message = count, .opaque = s};

    for (size_t at = 0; at < size; at += step)
        wire_in_take(&in, data + at, step < size - at ? step : size - at);
    wire_in_reset(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole = {0}, cut = {0}, again = {0};

    if (size > 16384)
        return 0;
    take(&whole, data, size, size ? size : 1);
    take(&cut, data, size, 7);
    take(&again, whole.out.bytes, wire_out_waiting(&whole.out), 100);
    if (whole.count != cut.count || whole.sum != cut.sum)
        abort();
    if (whole.sum != again.sum)
        abort();
    wire_out_reset(&whole.out);
    wire_out_reset(&cut.out);
    wire_out_reset(&again.out);
    return 0;
}
