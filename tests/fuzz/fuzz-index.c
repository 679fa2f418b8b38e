/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzz target: modules.idx. Each input is taken as it is, and once more with its size and checksums
 * put right, so that what stands behind them is reached. Of an index that is accepted everything
 * is read, and every descriptor unpacked.
 */
#include <stdlib.h>
#include <string.h>

#include "describe.h"
#include "fuzz.h"
#include "index-parts.h"

static uint64_t touched; /* keeps the compiler from leaving the reads out */

static void touch(const struct index *index, uint32_t string)
{
    touched += strlen(index_string(index, string));
}

static void walk(struct index *index)
{
    for (uint32_t i = 0; i < index->header->module_count; i++) {
        const struct index_module *m = &index->modules[index->by_name[i]];
        const uint32_t strings[] = {m->file, m->name, m->summary, m->version, m->license, m->tier,
                                    m->abi, m->error};

        for (unsigned j = 0; j < sizeof(strings) / sizeof(strings[0]); j++)
            touch(index, strings[j]);
        for (uint32_t j = 0; j < m->requires_count; j++)
            touch(index, index->requires[m->requires_first + j]);
    }
    for (uint32_t i = 0; i < index->header->provide_count; i++) {
        const struct index_provide *p = &index->provides[i];
        struct bp_error err = {0};
        const void *packed;
        size_t size;
        void *desc;

        touch(index, p->kind);
        touch(index, p->name);
        touch(index, p->summary);
        touch(index, p->attributes);
        if (index_packed(index, i, &packed, &size, &err) < 0 || !size)
            continue;
        if (describe_unpack(index_string(index, p->kind), packed, size, &desc, &err) == 0) {
            touched += *(const uint8_t *)desc;
            free(desc);
        } else if (!err.message[0]) {
            abort();
        }
    }
}

static void try(void *data, size_t size)
{
    struct bp_error err = {0};
    struct index index;

    if (index_check(data, size, &index, &err) == 0)
        walk(&index);
    else if (!err.message[0] || strchr(err.message, '\n'))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1); /* aligned, and exactly as long */
    struct index_header *h = (void *)copy;

    memcpy(copy, data, size);
    try(copy, size);
    if (size >= sizeof(*h)) {
        memcpy(h->magic, INDEX_MAGIC, sizeof(h->magic));
        h->byte_order = INDEX_BYTE_ORDER;
        h->version = INDEX_VERSION;
        h->header_size = sizeof(*h);
        h->layout = describe_layout();
        h->size = size;
        if (h->packed <= size && h->packed >= sizeof(*h)) {
            h->packed_size = (uint32_t)size - h->packed;
            h->packed_sum = index_sum(copy + h->packed, h->packed_size);
            h->head_sum = index_head_sum(copy, h->packed);
        }
        try(copy, size);
    }
    free(copy);
    return 0;
}
