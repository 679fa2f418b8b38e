/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzz target: JSON, as one text and as the stream that QMP is. What parses must print and parse
 * again to the same value. */
#include <stdlib.h>
#include <string.h>

#include <bp/value.h>

#include "fuzz.h"
#include "value-stream.h"

static void check_round_trip(const struct bp_value *value)
{
    char *text = bp_value_print(value, false);
    struct bp_value *again;

    if (bp_value_parse(text, strlen(text), &again, NULL) < 0 || !bp_value_equal(value, again))
        abort();
    bp_value_unref(again);
    free(text);
}

static void stream(const uint8_t *data, size_t size)
{
    struct bpc_value_stream *s = bpc_value_stream_new();
    size_t at = 0;

    while (at < size) {
        size_t piece = 1 + data[at] % 7;
        struct bp_error err = {0};
        struct bp_value *value;
        int rc;

        piece = piece < size - at ? piece : size - at;
        bpc_value_stream_feed(s, data + at, piece);
        at += piece;
        while ((rc = bpc_value_stream_next(s, &value, &err)) != 0)
            if (rc > 0)
                bp_value_unref(value);
    }
    bpc_value_stream_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bp_error err = {0};
    struct bp_value *value;

    if (bp_value_parse((const char *)data, size, &value, &err) == 0) {
        check_round_trip(value);
        bp_value_unref(value);
    }
    stream(data, size);
    return 0;
}
