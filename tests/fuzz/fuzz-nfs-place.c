/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzz target: names of files on NFS servers. One that is taken is written as it is read. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#include "../../modules/block/nfs/place.c"

static void again(const struct nfs_place *p)
{
    char *name = place_name(p);
    struct nfs_place q;

    place_init(&q);
    if (place_of_name(name, &q, NULL) < 0 || place_check(&q, NULL) < 0 || strcmp(p->host, q.host) != 0 ||
        strcmp(p->folder, q.folder) != 0 || strcmp(p->file, q.file) != 0 || p->user != q.user || p->port != q.port)
        abort();
    place_free(&q);
    free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *name = calloc(1, size + 1);
    struct nfs_place p;

    memcpy(name, data, size);
    place_init(&p);
    if (place_of_name(name, &p, NULL) == 0 && place_check(&p, NULL) == 0)
        again(&p);
    place_free(&p);
    free(name);
    return 0;
}
