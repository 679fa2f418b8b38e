/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzz target: names of images in Ceph clusters. One that is taken is written as it is read. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#include "../../modules/block/rbd/place.c"

static bool same(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static void again(const struct rbd_place *p)
{
    char *name = place_name(p);
    struct rbd_place q = {.pool = NULL};

    if (place_of_name(name, &q, NULL) < 0 || place_check(&q, NULL) < 0 || !same(p->pool, q.pool) ||
        !same(p->namespace, q.namespace) || !same(p->image, q.image) || !same(p->snapshot, q.snapshot))
        abort();
    place_free(&q);
    free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *name = calloc(1, size + 1);
    struct rbd_place p = {.pool = NULL};

    memcpy(name, data, size);
    if (place_of_name(name, &p, NULL) == 0 && place_check(&p, NULL) == 0)
        again(&p);
    place_free(&p);
    free(name);
    return 0;
}
