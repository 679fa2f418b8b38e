/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzz target: ELF notes of module files, which are read before anything vouches for them. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "notes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct notes_source source = {.fd = -1, .memory = data, .size = size};
    struct bp_error err = {0};
    struct notes notes = {0};

    if (notes_read(&source, &notes, &err) < 0) {
        if (notes.text || !err.message[0] || strchr(err.message, '\n'))
            abort();
        return 0;
    }
    for (const char *r = notes_next(&notes, NULL); r; r = notes_next(&notes, r))
        if (!strchr(r, '='))
            abort();
    (void)notes_get(&notes, "name");
    notes_finish(&notes);
    return 0;
}
