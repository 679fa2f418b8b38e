/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Builds the index of a directory from its files. The bytes depend on the files alone: names, sizes,
 * times and contents.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "describe.h"
#include "index-parts.h"

/* The parts of an index while they grow. */
struct builder {
    struct grow records; /* struct file_record, sorted by file */
    struct grow modules, provides; /* struct index_module, index_provide */
    struct grow requires, by_name; /* uint32_t */
    struct grow strings, packed;   /* bytes */
    struct lookup known;           /* strings, by their offsets */
};

static struct file_record *record_at(const struct builder *b, size_t i)
{
    return GROW_AT(&b->records, struct file_record, i);
}

/* ---- the files ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* `names` may be NULL. */
static int list_files(const struct index_place *place, struct grow *names, uint64_t *ret_hash,
                      struct bp_error *err)
{
    int fd = openat(place->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    uint64_t hash = 0;

    if (!dir) {
        int code = errno;

        if (fd >= 0)
            close(fd);
        return bp_fail(err, code, "%s cannot be read: %s", place->path, strerror(code));
    }
    while ((entry = readdir(dir))) {
        if (!index_is_module_name(entry->d_name))
            continue;
        index_names_add(&hash, entry->d_name);
        if (names)
            *GROW_ADD(names, char *) = bp_strdup(entry->d_name);
    }
    closedir(dir);
    *ret_hash = hash;
    return 0;
}

int index_hash_files(const struct index_place *place, uint64_t *ret_hash, struct bp_error *err)
{
    return list_files(place, NULL, ret_hash, err);
}

int index_list_files(const struct index_place *place, struct index_names *ret_names,
                     struct bp_error *err)
{
    struct grow found = {0};
    struct index_names names = {0};
    int ret = list_files(place, &found, &names.hash, err);

    if (ret < 0)
        return ret;
    names.all = found.data;
    names.count = GROW_COUNT(&found, char *);
    if (names.count)
        qsort(names.all, names.count, sizeof(char *), by_text);
    while (names.count > INDEX_MAX_FILES)
        free(names.all[--names.count]);
    *ret_names = names;
    return 0;
}

void index_names_finish(struct index_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->all[i]);
    free(names->all);
    *names = (struct index_names){0};
}

/* ---- the parts ---- */

static bool same_string(uint32_t offset, const void *key, const void *opaque)
{
    const struct builder *b = opaque;

    return strcmp((const char *)b->strings.data + offset, key) == 0;
}

static uint32_t keep_string(struct builder *b, const char *text)
{
    uint64_t hash = 0;
    uint32_t offset;

    if (!text[0])
        return 0;
    index_names_add(&hash, text);
    offset = lookup_find(&b->known, hash, same_string, text, b);
    if (offset)
        return offset;
    offset = (uint32_t)b->strings.length;
    grow_append(&b->strings, text, strlen(text) + 1);
    lookup_add(&b->known, hash, offset);
    return offset;
}

static uint32_t keep_packed(struct builder *b, const struct provide_record *p)
{
    uint32_t offset = (uint32_t)b->packed.length;

    if (!p->packed_size)
        return 0;
    grow_append(&b->packed, p->packed, p->packed_size);
    grow_add(&b->packed, -p->packed_size % INDEX_ALIGN);
    return offset;
}

static void add_module(struct builder *b, const struct file_record *r, uint32_t number)
{
    struct index_module m = {
        .size = r->size, .mtime = r->mtime, .file = keep_string(b, r->file),
        .name = keep_string(b, r->name), .summary = keep_string(b, r->summary),
        .version = keep_string(b, r->version), .license = keep_string(b, r->license),
        .tier = keep_string(b, r->tier), .abi = keep_string(b, r->abi),
        .error = keep_string(b, r->error ? r->error : ""), .code = r->code, .rank = r->rank,
        .requires_first = (uint32_t)GROW_COUNT(&b->requires, uint32_t),
        .requires_count = (uint32_t)RECORD_REQUIRES(r),
        .provides_count = r->error ? 0 : (uint32_t)RECORD_PROVIDES(r), .contents = r->identity.contents,
        .build_id_length = r->identity.build_id_length};

    memcpy(m.build_id, r->identity.build_id, m.build_id_length);
    *GROW_ADD(&b->modules, struct index_module) = m;
    *GROW_ADD(&b->by_name, uint32_t) = number;
    for (size_t i = 0; i < RECORD_REQUIRES(r); i++) {
        uint32_t requirement = keep_string(b, *GROW_AT(&r->requires, const char *, i));

        *GROW_ADD(&b->requires, uint32_t) = requirement;
    }
}

/* A provide on its way into the sorted table. */
struct place {
    const struct file_record *record;
    uint32_t module, number; /* of the module; within it */
};

static const struct provide_record *provide_of(const struct place *place)
{
    return GROW_AT(&place->record->provides, struct provide_record, place->number);
}

static int by_kind_and_name(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    const struct provide_record *p = provide_of(x), *q = provide_of(y);
    int order;

    order = strcmp(p->kind, q->kind);
    if (order == 0)
        order = strcmp(p->name, q->name);
    return order ? order : (x->module > y->module) - (x->module < y->module);
}

/* An alias: 1 + where in the table that is which it stands for. */
static uint32_t find_target(const struct place *places, size_t count, const struct place *alias)
{
    int target = provide_of(alias)->target;

    for (size_t i = 0; target >= 0 && i < count; i++)
        if (places[i].record == alias->record && places[i].number == (uint32_t)target)
            return (uint32_t)i + 1;
    return 0;
}

static void add_provides(struct builder *b)
{
    struct grow all = {0};
    const struct place *places;
    size_t count;

    for (uint32_t i = 0; i < GROW_COUNT(&b->records, struct file_record); i++) {
        const struct file_record *r = record_at(b, i);

        for (uint32_t j = 0; !r->error && j < RECORD_PROVIDES(r); j++)
            *GROW_ADD(&all, struct place) = (struct place){r, i, j};
    }
    places = all.data;
    count = GROW_COUNT(&all, struct place);
    if (count)
        qsort(all.data, count, sizeof(struct place), by_kind_and_name);
    for (size_t i = 0; i < count; i++) {
        const struct provide_record *p = provide_of(&places[i]);
        const struct index_provide entry = {
            .kind = keep_string(b, p->kind), .name = keep_string(b, p->name),
            .summary = keep_string(b, p->summary),
            .attributes = keep_string(b, p->attributes), .module = places[i].module,
            .packed = keep_packed(b, p), .packed_size = (uint32_t)p->packed_size,
            .target = find_target(places, count, &places[i])};

        *GROW_ADD(&b->provides, struct index_provide) = entry;
    }
    grow_finish(&all);
}

static int by_module_name(const void *a, const void *b, void *opaque)
{
    const struct builder *builder = opaque;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    int order = strcmp(record_at(builder, x)->name, record_at(builder, y)->name);

    return order ? order : (x > y) - (x < y);
}

/* Appends a part and returns its offset. */
static uint32_t append(struct grow *all, const struct grow *part)
{
    uint32_t offset;

    grow_add(all, -all->length % INDEX_ALIGN);
    offset = (uint32_t)all->length;
    grow_append(all, part->data, part->length);
    return offset;
}

static int serialize(struct builder *b, uint64_t names, struct index_bytes *ret_bytes,
                     struct bp_error *err)
{
    struct grow all = {0};
    struct index_header h = {
        .byte_order = INDEX_BYTE_ORDER, .version = INDEX_VERSION, .header_size = sizeof(h),
        .layout = describe_layout(), .names = names,
        .module_count = (uint32_t)GROW_COUNT(&b->modules, struct index_module),
        .provide_count = (uint32_t)GROW_COUNT(&b->provides, struct index_provide),
        .require_count = (uint32_t)GROW_COUNT(&b->requires, uint32_t),
        .strings_size = (uint32_t)b->strings.length, .packed_size = (uint32_t)b->packed.length,
        .packed_sum = index_sum(b->packed.data, b->packed.length)};
    uint64_t size = sizeof(h) + b->modules.length + b->provides.length + b->by_name.length +
                    b->requires.length + b->strings.length + b->packed.length;

    if (size > INDEX_MAX_SIZE - 8 * INDEX_ALIGN)
        return bp_fail(err, EFBIG, "the index would have %llu bytes", (unsigned long long)size);
    memcpy(h.magic, INDEX_MAGIC, sizeof(h.magic));
    grow_append(&all, &h, sizeof(h));
    h.modules = append(&all, &b->modules);
    h.provides = append(&all, &b->provides);
    h.by_name = append(&all, &b->by_name);
    h.requires = append(&all, &b->requires);
    h.strings = append(&all, &b->strings);
    h.packed = append(&all, &b->packed);
    h.size = all.length;
    memcpy(all.data, &h, sizeof(h));
    h.head_sum = index_head_sum(all.data, h.packed);
    memcpy(all.data, &h, sizeof(h));
    ret_bytes->size = h.size;
    ret_bytes->data = all.data;
    return 0;
}

static void read_records(struct builder *b, const struct index_place *place,
                         const struct index_names *names, unsigned flags,
                         struct index_summary *ret_summary)
{
    struct index_summary s = {0};
    struct grow bad = {0};

    for (size_t i = 0; i < names->count; i++) {
        struct file_record *r = GROW_ADD(&b->records, struct file_record);
        char *unfit = NULL;

        index_read_file(place, names->all[i], flags, r, &unfit);
        if (r->error || unfit) {
            s.bad++;
            grow_printf(&bad, "%s %s\n", r->file, r->error ? r->error : unfit);
        }
        s.modules += !r->error;
        s.provides += r->error ? 0 : (unsigned)RECORD_PROVIDES(r);
        free(unfit);
    }
    grow_append(&bad, "", 1);
    s.bad_text = bad.data;
    if (ret_summary)
        *ret_summary = s;
    else
        index_summary_finish(&s);
}

void index_summary_finish(struct index_summary *summary)
{
    free(summary->bad_text);
    summary->bad_text = NULL;
}

static void finish(struct builder *b)
{
    for (size_t i = 0; i < GROW_COUNT(&b->records, struct file_record); i++)
        index_record_finish(record_at(b, i));
    grow_finish(&b->records);
    grow_finish(&b->modules);
    grow_finish(&b->provides);
    grow_finish(&b->requires);
    grow_finish(&b->by_name);
    grow_finish(&b->strings);
    grow_finish(&b->packed);
    lookup_finish(&b->known);
}

int index_build(const struct index_place *place, const struct index_names *names, unsigned flags,
                struct index_bytes *ret_bytes, struct index_summary *ret_summary,
                struct bp_error *err)
{
    struct builder b = {0};
    uint64_t hash = 0;
    int ret;

    grow_append(&b.strings, "", 1);
    read_records(&b, place, names, flags, ret_summary);
    for (size_t i = 0; i < GROW_COUNT(&b.records, struct file_record); i++) {
        index_names_add(&hash, record_at(&b, i)->file);
        add_module(&b, record_at(&b, i), (uint32_t)i);
    }
    if (b.by_name.length)
        qsort_r(b.by_name.data, GROW_COUNT(&b.by_name, uint32_t), sizeof(uint32_t), by_module_name,
                &b);
    add_provides(&b);
    ret = serialize(&b, hash, ret_bytes, err);
    if (ret_summary) {
        ret_summary->size = ret == 0 ? ret_bytes->size : 0;
        if (ret < 0)
            index_summary_finish(ret_summary);
    }
    finish(&b);
    return ret;
}
