/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads an index. Its checksum tells damage, not malice: whatever the sum says, every number in it
 * is checked before it is used.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bp/module.h>

#include "describe.h"
#include "index-parts.h"
#include "kinds.h"

/* ---- sums ---- */

static uint64_t mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * 0x9fb21c651e98df25u;
    return h ^ h >> 29;
}

/* Both halves of the product: one multiplication for two words. */
static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Four lanes: a multiplication need not wait for the one before. Every start sums what it maps of modules. */
uint64_t index_sum(const void *data, size_t size)
{
    static const uint64_t key[4] = {0x243f6a8885a308d3u, 0x13198a2e03707344u, 0xa4093822299f31d0u,
                                    0x082efa98ec4e6c89u};
    uint64_t lane[4] = {key[3], key[2], key[1], key[0]}, word[8] = {0};
    const uint8_t *at = data, *end = at + size / sizeof(word) * sizeof(word);

    for (; at < end; at += sizeof(word)) {
        memcpy(word, at, sizeof(word));
        lane[0] = fold(lane[0] ^ word[0], key[0] ^ word[1]);
        lane[1] = fold(lane[1] ^ word[2], key[1] ^ word[3]);
        lane[2] = fold(lane[2] ^ word[4], key[2] ^ word[5]);
        lane[3] = fold(lane[3] ^ word[6], key[3] ^ word[7]);
    }
    memset(word, 0, sizeof(word));
    if (size % sizeof(word))
        memcpy(word, at, size % sizeof(word));
    for (unsigned i = 0; i < 4; i++)
        lane[i] = mix(mix(lane[i], word[2 * i]), word[2 * i + 1]);
    return mix(mix(mix(mix(size, lane[0]), lane[1]), lane[2]), lane[3]);
}

uint64_t index_head_sum(const void *data, uint32_t packed)
{
    const size_t before = offsetof(struct index_header, head_sum);
    const size_t after = offsetof(struct index_header, packed_sum) + sizeof(uint64_t);

    return mix(index_sum(data, before), index_sum((const uint8_t *)data + after, packed - after));
}

void index_names_add(uint64_t *names, const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * 0x100000001b3u;
    *names += mix(mix(1, h), h >> 7); /* a sum does not depend on the order */
}

bool index_is_module_name(const char *name)
{
    size_t length = strlen(name);

    return name[0] != '.' && length > 3 && strcmp(name + length - 3, ".so") == 0;
}

/* ---- checks ---- */

static int malformed(const char *what, struct bp_error *err)
{
    return bp_fail(err, EBADMSG, "is malformed: %s", what);
}

/* A part of `count` entries behind the part that ends at *end, which moves on. */
static bool part_fits(uint32_t offset, uint64_t count, size_t entry, uint64_t *end, uint64_t size)
{
    uint64_t bytes = count * entry;

    if (offset % INDEX_ALIGN || offset < *end || offset > size || bytes > size - offset)
        return false;
    *end = offset + bytes;
    return true;
}

static int check_header(const struct index_header *h, size_t size, struct bp_error *err)
{
    uint64_t end = sizeof(*h);

    if (size < sizeof(*h) || memcmp(h->magic, INDEX_MAGIC, sizeof(h->magic)) != 0)
        return malformed("it does not begin as an index does", err);
    if (h->byte_order != INDEX_BYTE_ORDER || h->version != INDEX_VERSION ||
        h->header_size != sizeof(*h) || h->layout != describe_layout())
        return bp_fail(err, ENOEXEC, "was made by another version of this program, or for another "
                       "computer");
    if (h->size != size)
        return bp_fail(err, EBADMSG, "is malformed: it has %zu bytes and should have %llu", size,
                       (unsigned long long)h->size);
    if (h->module_count > INDEX_MAX_FILES ||
        !part_fits(h->modules, h->module_count, sizeof(struct index_module), &end, size) ||
        !part_fits(h->provides, h->provide_count, sizeof(struct index_provide), &end, size) ||
        !part_fits(h->by_name, h->module_count, sizeof(uint32_t), &end, size) ||
        !part_fits(h->requires, h->require_count, sizeof(uint32_t), &end, size) ||
        !part_fits(h->strings, h->strings_size, 1, &end, size) ||
        !part_fits(h->packed, h->packed_size, 1, &end, size) || end != size)
        return malformed("its parts overlap or do not fit", err);
    if (h->head_sum != index_head_sum(h, h->packed))
        return malformed("its checksum is wrong", err);
    return 0;
}

static bool good_string(const struct index *ix, uint32_t offset)
{
    return offset < ix->header->strings_size;
}

static bool good_module(const struct index *ix, const struct index_module *m)
{
    return good_string(ix, m->file) && good_string(ix, m->name) && good_string(ix, m->summary) &&
           good_string(ix, m->version) && good_string(ix, m->license) && good_string(ix, m->tier) &&
           good_string(ix, m->abi) && good_string(ix, m->error) &&
           m->build_id_length <= INDEX_BUILD_ID_MAX &&
           m->requires_first <= ix->header->require_count &&
           m->requires_count <= ix->header->require_count - m->requires_first &&
           m->provides_count <= ix->header->provide_count && m->name && m->file &&
           !strchr(index_string(ix, m->file), '/') &&
           (!m->error || (m->code > 0 && m->code < 4096));
}

static bool good_provide(const struct index *ix, const struct index_provide *p)
{
    const struct index_provide *target = NULL;

    if (!good_string(ix, p->kind) || !p->name || !good_string(ix, p->name) ||
        !good_string(ix, p->summary) || !good_string(ix, p->attributes) || p->module >= ix->header->module_count ||
        p->target > ix->header->provide_count)
        return false;
    if (kind_from_name(index_string(ix, p->kind), strlen(index_string(ix, p->kind))) ==
        BP_PROVIDE_END)
        return false;
    if (p->target)
        target = &ix->provides[p->target - 1];
    if (target && (target->target || target->kind != p->kind || target->module != p->module))
        return false;
    return p->packed <= ix->header->packed_size && p->packed % INDEX_ALIGN == 0 &&
           p->packed_size <= ix->header->packed_size - p->packed;
}

static int order_of(const struct index *ix, const struct index_provide *a,
                    const struct index_provide *b)
{
    int order;

    order = a->kind == b->kind ? 0 : strcmp(index_string(ix, a->kind), index_string(ix, b->kind));
    if (order == 0)
        order = strcmp(index_string(ix, a->name), index_string(ix, b->name));
    return order ? order : (a->module > b->module) - (a->module < b->module);
}

/* `by_name` has each module once, sorted. `seen` is scratch space for each module. */
static int check_names(const struct index *ix, uint32_t *seen, struct bp_error *err)
{
    const char *before = "";

    memset(seen, 0, ix->header->module_count * sizeof(*seen));
    for (uint32_t i = 0; i < ix->header->module_count; i++) {
        uint32_t number = ix->by_name[i];
        const char *name = index_string(ix, ix->modules[number].name);

        if (seen[number]++ || strcmp(before, name) > 0)
            return malformed("its table of names is not sorted", err);
        before = name;
    }
    return 0;
}

static int check_tables(const struct index *ix, struct bp_error *err)
{
    const struct index_header *h = ix->header;
    uint32_t counted[INDEX_MAX_FILES];

    if (h->strings_size < 1 || ix->strings[0] || ix->strings[h->strings_size - 1])
        return malformed("its strings do not end", err);
    for (uint32_t i = 0; i < h->module_count; i++) {
        if (!good_module(ix, &ix->modules[i]))
            return malformed("a module's entry is out of range", err);
        if (i && strcmp(index_string(ix, ix->modules[i - 1].file),
                        index_string(ix, ix->modules[i].file)) >= 0)
            return malformed("its modules are not sorted", err);
        if (ix->by_name[i] >= h->module_count)
            return malformed("its table of names is out of range", err);
        counted[i] = 0;
    }
    for (uint32_t i = 0; i < h->require_count; i++)
        if (!good_string(ix, ix->requires[i]))
            return malformed("a requirement is out of range", err);
    for (uint32_t i = 0; i < h->provide_count; i++) {
        if (!good_provide(ix, &ix->provides[i]))
            return malformed("an entry of what is provided is out of range", err);
        if (i && order_of(ix, &ix->provides[i - 1], &ix->provides[i]) >= 0)
            return malformed("what is provided is not sorted", err);
        counted[ix->provides[i].module]++;
    }
    for (uint32_t i = 0; i < h->module_count; i++)
        if (counted[i] != ix->modules[i].provides_count)
            return malformed("a module's entry counts wrong", err);
    return check_names(ix, counted, err);
}

int index_check(const void *data, size_t size, struct index *ret_index, struct bp_error *err)
{
    const struct index_header *h = data;
    const uint8_t *base = data;
    struct index ix = {.header = h, .size = size};
    int ret;

    if ((uintptr_t)data % INDEX_ALIGN)
        return malformed("it is not aligned", err);
    ret = check_header(h, size, err);
    if (ret < 0)
        return ret;
    ix.modules = (const void *)(base + h->modules);
    ix.provides = (const void *)(base + h->provides);
    ix.by_name = (const void *)(base + h->by_name);
    ix.requires = (const void *)(base + h->requires);
    ix.strings = (const void *)(base + h->strings);
    ix.packed = base + h->packed;
    ret = check_tables(&ix, err);
    if (ret == 0)
        *ret_index = ix;
    return ret;
}

int index_open(const struct index_place *place, struct index *ret_index, struct bp_error *err)
{
    struct stat st;
    void *data;
    int fd, ret = index_open_file(place, INDEX_FILE, &fd, &st, err);

    if (ret < 0)
        return ret;
    if (st.st_size < (off_t)sizeof(struct index_header) || st.st_size > INDEX_MAX_SIZE) {
        close(fd);
        return bp_fail(err, EBADMSG, "is malformed: it has %lld bytes", (long long)st.st_size);
    }
    data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (data == MAP_FAILED)
        return bp_fail(err, errno, "cannot be mapped: %s", strerror(errno));
    ret = index_check(data, (size_t)st.st_size, ret_index, err);
    if (ret < 0)
        munmap(data, (size_t)st.st_size);
    return ret;
}

int index_packed(struct index *index, uint32_t provide, const void **ret_data, size_t *ret_size,
                 struct bp_error *err)
{
    const struct index_provide *p = &index->provides[provide];

    if (p->target)
        p = &index->provides[p->target - 1];
    if (!index->packed_checked) {
        index->packed_good = index_sum(index->packed, index->header->packed_size) ==
                             index->header->packed_sum;
        index->packed_checked = true;
    }
    if (!index->packed_good && p->packed_size)
        return malformed("the checksum of its descriptors is wrong", err);
    *ret_data = index->packed + p->packed;
    *ret_size = p->packed_size;
    return 0;
}

/* ---- the file behind an entry ---- */

int index_verify_entry(const struct index *index, uint32_t module, const struct index_place *place,
                       struct stat *ret_stat)
{
    const struct index_module *m = &index->modules[module];
    const char *file = index_string(index, m->file);
    struct index_module found = {0};
    struct stat st, opened;
    int fd;

    if (fstatat(place->directory, file, &st, 0) < 0 || (uint64_t)st.st_size != m->size)
        return -ESTALE;
    if (st.st_mtime != m->mtime) { /* copied or unpacked again: is it the same build? */
        if (!m->build_id_length || index_open_file(place, file, &fd, &opened, NULL) < 0)
            return -ESTALE;
        index_read_build_id(fd, &found);
        close(fd);
        if (opened.st_size != st.st_size || found.build_id_length != m->build_id_length ||
            memcmp(found.build_id, m->build_id, m->build_id_length) != 0)
            return -ESTALE;
    }
    if (ret_stat)
        *ret_stat = st;
    return 0;
}
