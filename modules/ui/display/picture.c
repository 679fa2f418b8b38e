/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pictures: what frames refer to. Viewers may read and release them on any thread. */
#include <stdlib.h>

#include "display.h"

struct picture *picture_new(uint32_t width, uint32_t height)
{
    struct picture *picture = calloc(1, sizeof(*picture) + (size_t)width * height * 4);

    if (picture) {
        picture->refs = 1;
        picture->width = width;
        picture->height = height;
    }
    return picture;
}

struct picture *picture_ref(struct picture *picture)
{
    __atomic_add_fetch(&picture->refs, 1, __ATOMIC_RELAXED);
    return picture;
}

void picture_unref(struct picture *picture)
{
    if (!picture || __atomic_sub_fetch(&picture->refs, 1, __ATOMIC_ACQ_REL))
        return;
    free(picture->cells);
    free(picture);
}
