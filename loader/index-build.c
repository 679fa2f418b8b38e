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
    GArray *records; /* struct file_record, sorted by file */
    GArray *modules, *provides, *requires, *by_name;
    GString *strings;
    GHashTable *known; /* string to its offset */
    GByteArray *packed;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int index_list_files(int directory, const char *path, GPtrArray **ret_names, uint64_t *ret_hash,
                     struct bp_error *err)
{
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    GPtrArray *names = ret_names ? g_ptr_array_new_with_free_func(g_free) : NULL;
    struct dirent *entry;
    uint64_t hash = 0;

    if (!dir) {
        int code = errno;

        if (fd >= 0)
            close(fd);
        if (names)
            g_ptr_array_unref(names);
        return bp_fail(err, code, "%s cannot be read: %s", path, strerror(code));
    }
    while ((entry = readdir(dir))) {
        if (!index_is_module_name(entry->d_name))
            continue;
        index_names_add(&hash, entry->d_name);
        if (names)
            g_ptr_array_add(names, g_strdup(entry->d_name));
    }
    closedir(dir);
    if (names) {
        g_ptr_array_sort(names, by_text);
        if (names->len > INDEX_MAX_FILES)
            g_ptr_array_set_size(names, INDEX_MAX_FILES);
        *ret_names = names;
    }
    *ret_hash = hash;
    return 0;
}

static uint32_t keep_string(struct builder *b, const char *text)
{
    gpointer offset;

    if (!text[0])
        return 0;
    if (g_hash_table_lookup_extended(b->known, text, NULL, &offset))
        return GPOINTER_TO_UINT(offset);
    offset = GUINT_TO_POINTER(b->strings->len);
    g_string_append_len(b->strings, text, (gssize)strlen(text) + 1);
    g_hash_table_insert(b->known, g_strdup(text), offset);
    return GPOINTER_TO_UINT(offset);
}

static uint32_t keep_packed(struct builder *b, const struct provide_record *p)
{
    static const uint8_t zero[INDEX_ALIGN];
    uint32_t offset = b->packed->len;

    if (!p->packed_size)
        return 0;
    g_byte_array_append(b->packed, p->packed, (guint)p->packed_size);
    g_byte_array_append(b->packed, zero, (guint)(-p->packed_size % INDEX_ALIGN));
    return offset;
}

static void add_module(struct builder *b, struct file_record *r, unsigned number)
{
    struct index_module m = {
        .size = r->size, .mtime = r->mtime, .file = keep_string(b, r->file),
        .name = keep_string(b, r->name), .summary = keep_string(b, r->summary),
        .version = keep_string(b, r->version), .license = keep_string(b, r->license),
        .tier = keep_string(b, r->tier), .abi = keep_string(b, r->abi),
        .error = keep_string(b, r->error ? r->error : ""), .code = r->code, .rank = r->rank,
        .requires_first = b->requires->len, .requires_count = r->requires->len,
        .provides_count = r->error ? 0 : r->provides->len, .contents = r->identity.contents,
        .build_id_length = r->identity.build_id_length};

    memcpy(m.build_id, r->identity.build_id, m.build_id_length);
    g_array_append_val(b->modules, m);
    g_array_append_val(b->by_name, number);
    for (unsigned i = 0; i < r->requires->len; i++) {
        uint32_t requirement = keep_string(b, r->requires->pdata[i]);

        g_array_append_val(b->requires, requirement);
    }
}

/* A provide on its way into the sorted table. */
struct place {
    const struct file_record *record;
    unsigned module, number; /* of the module; within it */
};

static const struct provide_record *provide_of(const struct place *place)
{
    return &g_array_index(place->record->provides, struct provide_record, place->number);
}

static int by_kind_and_name(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    const struct provide_record *p = provide_of(x), *q = provide_of(y);
    int order;

    if (p->kind != q->kind)
        return p->kind < q->kind ? -1 : 1;
    order = strcmp(p->name, q->name);
    return order ? order : (x->module > y->module) - (x->module < y->module);
}

static void add_provides(struct builder *b)
{
    GArray *places = g_array_new(FALSE, FALSE, sizeof(struct place));

    for (unsigned i = 0; i < b->records->len; i++) {
        const struct file_record *r = &g_array_index(b->records, struct file_record, i);

        for (unsigned j = 0; !r->error && j < r->provides->len; j++) {
            struct place place = {r, i, j};

            g_array_append_val(places, place);
        }
    }
    g_array_sort(places, by_kind_and_name);
    for (unsigned i = 0; i < places->len; i++) {
        const struct place *place = &g_array_index(places, struct place, i);
        const struct provide_record *p = provide_of(place);
        struct index_provide entry = {
            .kind = p->kind, .name = keep_string(b, p->name), .summary = keep_string(b, p->summary),
            .attributes = keep_string(b, p->attributes), .module = place->module,
            .packed = keep_packed(b, p), .packed_size = (uint32_t)p->packed_size};

        for (unsigned j = 0; p->target >= 0 && j < places->len; j++) {
            const struct place *other = &g_array_index(places, struct place, j);

            if (other->record == place->record && other->number == (unsigned)p->target)
                entry.target = j + 1;
        }
        g_array_append_val(b->provides, entry);
    }
    g_array_unref(places);
}

static int by_module_name(const void *a, const void *b, void *opaque)
{
    const struct builder *builder = opaque;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    int order = strcmp(g_array_index(builder->records, struct file_record, x).name,
                       g_array_index(builder->records, struct file_record, y).name);

    return order ? order : (x > y) - (x < y);
}

/* Appends a part and returns its offset. */
static uint32_t append(GByteArray *all, const void *data, size_t size)
{
    static const uint8_t zero[INDEX_ALIGN];
    uint32_t offset;

    g_byte_array_append(all, zero, -all->len % INDEX_ALIGN);
    offset = all->len;
    if (size)
        g_byte_array_append(all, data, (guint)size);
    return offset;
}

static uint32_t append_array(GByteArray *all, const GArray *array, size_t entry)
{
    return append(all, array->data, array->len * entry);
}

static int serialize(struct builder *b, uint64_t names, struct index_bytes *ret_bytes,
                     struct bp_error *err)
{
    GByteArray *all = g_byte_array_new();
    struct index_header h = {
        .byte_order = INDEX_BYTE_ORDER, .version = INDEX_VERSION, .header_size = sizeof(h),
        .layout = describe_layout(), .names = names, .module_count = b->modules->len,
        .provide_count = b->provides->len, .require_count = b->requires->len,
        .strings_size = (uint32_t)b->strings->len, .packed_size = b->packed->len};
    uint64_t sum = index_sum(b->packed->data, b->packed->len);

    memcpy(h.magic, INDEX_MAGIC, sizeof(h.magic));
    append(all, &h, sizeof(h));
    h.modules = append_array(all, b->modules, sizeof(struct index_module));
    h.provides = append_array(all, b->provides, sizeof(struct index_provide));
    h.by_name = append_array(all, b->by_name, sizeof(uint32_t));
    h.requires = append_array(all, b->requires, sizeof(uint32_t));
    h.strings = append(all, b->strings->str, b->strings->len);
    h.packed = append(all, b->packed->data, b->packed->len);
    h.size = all->len;
    h.packed_sum = sum;
    memcpy(all->data, &h, sizeof(h));
    h.head_sum = index_head_sum(all->data, h.packed);
    memcpy(all->data, &h, sizeof(h));
    if (h.size > INDEX_MAX_SIZE) {
        g_byte_array_unref(all);
        return bp_fail(err, EFBIG, "the index would have %llu bytes",
                       (unsigned long long)h.size);
    }
    ret_bytes->size = h.size;
    ret_bytes->data = g_byte_array_free(all, FALSE);
    return 0;
}

static void note_unfit(GString *bad, struct index_summary *s, const char *file, const char *text)
{
    s->bad++;
    g_string_append_printf(bad, "%s %s\n", file, text);
}

static void read_records(struct builder *b, int directory, const char *path,
                         const GPtrArray *names, unsigned flags, struct index_summary *ret_summary)
{
    struct index_summary s = {0};
    GString *bad = g_string_new(NULL);

    for (unsigned i = 0; i < names->len; i++) {
        struct file_record r;
        char *unfit = NULL;

        index_read_file(directory, path, names->pdata[i], flags, &r, &unfit);
        if (r.error || unfit)
            note_unfit(bad, &s, r.file, r.error ? r.error : unfit);
        s.modules += !r.error;
        s.provides += r.error ? 0 : r.provides->len;
        g_free(unfit);
        g_array_append_val(b->records, r);
    }
    s.bad_text = g_string_free(bad, FALSE);
    if (ret_summary)
        *ret_summary = s;
    else
        index_summary_finish(&s);
}

void index_summary_finish(struct index_summary *summary)
{
    g_clear_pointer(&summary->bad_text, g_free);
}

int index_build(int directory, const char *path, const GPtrArray *names, unsigned flags,
                struct index_bytes *ret_bytes, struct index_summary *ret_summary,
                struct bp_error *err)
{
    struct builder b = {
        .records = g_array_new(FALSE, FALSE, sizeof(struct file_record)),
        .modules = g_array_new(FALSE, FALSE, sizeof(struct index_module)),
        .provides = g_array_new(FALSE, FALSE, sizeof(struct index_provide)),
        .requires = g_array_new(FALSE, FALSE, sizeof(uint32_t)),
        .by_name = g_array_new(FALSE, FALSE, sizeof(uint32_t)),
        .strings = g_string_new_len("", 1),
        .known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
        .packed = g_byte_array_new()};
    uint64_t hash = 0;
    int rc;

    read_records(&b, directory, path, names, flags, ret_summary);
    for (unsigned i = 0; i < b.records->len; i++) {
        struct file_record *r = &g_array_index(b.records, struct file_record, i);

        index_names_add(&hash, r->file);
        add_module(&b, r, i);
    }
    g_array_sort_with_data(b.by_name, by_module_name, &b);
    add_provides(&b);
    rc = serialize(&b, hash, ret_bytes, err);
    if (ret_summary) {
        ret_summary->size = rc == 0 ? ret_bytes->size : 0;
        if (rc < 0)
            index_summary_finish(ret_summary);
    }
    for (unsigned i = 0; i < b.records->len; i++)
        index_record_finish(&g_array_index(b.records, struct file_record, i));
    g_array_unref(b.records);
    g_array_unref(b.modules);
    g_array_unref(b.provides);
    g_array_unref(b.requires);
    g_array_unref(b.by_name);
    g_string_free(b.strings, TRUE);
    g_hash_table_unref(b.known);
    g_byte_array_unref(b.packed);
    return rc;
}
