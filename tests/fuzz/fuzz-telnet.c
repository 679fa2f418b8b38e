/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzz target: telnet's input as the socket chardev reads it. Cut anywhere, it is the same input.
 */
#include <stdlib.h>
#include <string.h>

#include "../../modules/chardev/telnet.c"

#include "fuzz.h"

static void count_break(void *opaque)
{
    ++*(unsigned *)opaque;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *whole = malloc(size + 1), *cut = malloc(size + 1);
    unsigned breaks = 0, cut_breaks = 0;
    struct telnet t = {0}, u = {0};
    size_t kept, cut_kept = 0;

    memcpy(whole, data, size);
    kept = telnet_input(&t, whole, size, count_break, &breaks);
    for (size_t at = 0, n; at < size; at += n) {
        n = 1 + data[at] % 5;
        n = n < size - at ? n : size - at;
        memcpy(cut + cut_kept, data + at, n);
        cut_kept += telnet_input(&u, cut + cut_kept, n, count_break, &cut_breaks);
    }
    if (kept > size || kept != cut_kept || memcmp(whole, cut, kept) != 0 || breaks != cut_breaks)
        abort();
    free(whole);
    free(cut);
    return 0;
}
