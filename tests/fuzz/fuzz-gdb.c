/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzz target: packets of gdb's protocol. What was read and is sent again is read the same. */
#include <stdlib.h>
#include <string.h>

#include "../../modules/debug/gdb/packet.c"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct packet_reader *r = calloc(1, sizeof(*r)), *again = calloc(1, sizeof(*again));
    struct packet_writer *w = calloc(1, sizeof(*w));

    for (size_t i = 0; i < size; i++) {
        enum packet_event event = PACKET_NONE;
        const char *text = r->data;
        uint8_t bytes[64];
        uint64_t number;

        if (packet_input(r, data[i]) != PACKET_COMPLETE)
            continue;
        if (r->length > PACKET_SIZE)
            abort();
        take_number(&text, &number);
        if (take_hex(&text, bytes, sizeof(bytes)) > sizeof(bytes) || text > r->data + r->length)
            abort();
        packet_begin(w);
        packet_binary(w, r->data, r->length);
        packet_end(w);
        if (w->full)
            abort();
        for (size_t k = 0; k < w->length; k++)
            event = packet_input(again, (uint8_t)w->data[k]);
        if (event != PACKET_COMPLETE || again->length != r->length ||
            memcmp(again->data, r->data, r->length) != 0)
            abort();
    }
    free(r);
    free(again);
    free(w);
    return 0;
}
