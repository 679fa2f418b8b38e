/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inert copies of descriptors (describe.h). One walk serves both directions: it reads structures at
 * addresses of a source (an image of a module file, or packed bytes), by the shapes of layout.h,
 * and writes them into an arena in which pointers are offsets. Packed bytes are that arena; unpacked
 * ones have each pointer's offset replaced by an address. A structure that is reached twice is copied
 * once, so shared tables stay shared and cycles end.
 */
#include "describe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grow.h"
#include "kinds.h"
#include "layout.h"

#define MAX_ELEMENTS 4096u /* of one table or list of strings */
#define MAX_PROVIDES 4096u
#define PACKED_MAGIC 0x44504b42u /* "BKPD" */

/* Opens packed bytes; the descriptor stands at `root`. */
struct packed_head {
    uint32_t magic, kind;
    uint64_t root;
};

/* Where structures are read: an image, or packed bytes. */
struct source {
    const struct image *image;
    const uint8_t *bytes;
    size_t size;
};

/* A structure (or table of them) in the arena whose slots have still to be filled. */
struct work {
    uint64_t from, to;
    uint32_t limit; /* bytes of each element that the source has */
    uint32_t count; /* elements without the end mark */
    const struct bp_shape *layout;
};

struct walk {
    struct source source;
    struct grow arena;
    struct grow work;  /* struct work */
    struct grow slots; /* uint64_t: arena offsets that hold pointers */
    struct grow seen;  /* struct seen; the first one is no one's */
    struct lookup by_place;
    struct bp_error *err;
};

struct seen {
    uint64_t from, to;
    const void *what; /* the shape, or the kind of slot */
};

/* ---- the source ---- */

static int malformed(struct walk *w, const char *what)
{
    return bp_fail(w->err, EBADMSG, "is malformed: %s", what);
}

static int read_bytes(struct walk *w, uint64_t from, void *buf, size_t length)
{
    const struct source *s = &w->source;

    if (s->image)
        return image_read(s->image, from, buf, length, w->err);
    if (from > s->size || length > s->size - from)
        return malformed(w, "a description reaches beyond its end");
    memcpy(buf, s->bytes + from, length);
    return 0;
}

static const char *read_string(const struct source *s, uint64_t from)
{
    if (s->image)
        return image_string(s->image, from);
    return from < s->size && memchr(s->bytes + from, 0, s->size - from)
               ? (const char *)s->bytes + from : NULL;
}

/* The pointer at `from`; one to another object's data is unknown and read as NULL. */
static int read_pointer(struct walk *w, uint64_t from, uint64_t *ret_pointer)
{
    if (w->source.image && image_is_external(w->source.image, from)) {
        *ret_pointer = 0;
        return 0;
    }
    return read_bytes(w, from, ret_pointer, sizeof(*ret_pointer));
}

/* ---- the arena ---- */

static uint64_t hash_seen(uint64_t from, const void *what)
{
    uint64_t hash = (from ^ (uint64_t)(uintptr_t)what << 20) * 0x9e3779b97f4a7c15u;

    return hash ^ hash >> 29;
}

static bool same_seen(uint32_t number, const void *key, const void *opaque)
{
    const struct walk *w = opaque;
    const struct seen *x = GROW_AT(&w->seen, struct seen, number), *y = key;

    return x->from == y->from && x->what == y->what;
}

static uint64_t find_seen(const struct walk *w, uint64_t from, const void *what)
{
    const struct seen key = {from, 0, what};
    uint32_t number = lookup_find(&w->by_place, hash_seen(from, what), same_seen, &key, w);

    return number ? GROW_AT(&w->seen, struct seen, number)->to : 0;
}

/* Zeroed room in the arena; 0 when there is too much already. */
static uint64_t reserve(struct walk *w, uint64_t length, unsigned align, uint64_t from,
                        const void *what)
{
    uint64_t at = (w->arena.length + align - 1) & ~(uint64_t)(align - 1);

    if (at + length > DESCRIBE_MAX) {
        malformed(w, "a description is larger than 1 MiB");
        return 0;
    }
    grow_add(&w->arena, (size_t)(at + length - w->arena.length));
    lookup_add(&w->by_place, hash_seen(from, what), (uint32_t)GROW_COUNT(&w->seen, struct seen));
    *GROW_ADD(&w->seen, struct seen) = (struct seen){from, at, what};
    return at;
}

static uint8_t *arena_at(const struct walk *w, uint64_t offset)
{
    return (uint8_t *)w->arena.data + offset;
}

static void put_pointer(struct walk *w, uint64_t slot, uint64_t to)
{
    memcpy(arena_at(w, slot), &to, sizeof(to));
    *GROW_ADD(&w->slots, uint64_t) = slot;
}

static int copy_string(struct walk *w, uint64_t from, uint64_t slot)
{
    static const char what = 's';
    const char *text;
    uint64_t to = find_seen(w, from, &what);

    if (!to) {
        text = read_string(&w->source, from);
        if (!text)
            return malformed(w, "a text is not constant data, or has no end");
        to = reserve(w, strlen(text) + 1, 1, from, &what);
        if (!to)
            return -EBADMSG;
        memcpy(arena_at(w, to), text, strlen(text));
    }
    put_pointer(w, slot, to);
    return 0;
}

static int copy_strings(struct walk *w, uint64_t from, uint64_t slot)
{
    static const char what = 'l';
    uint64_t to = find_seen(w, from, &what), pointer = 0;
    unsigned count = 0;
    int ret = 0;

    if (to) {
        put_pointer(w, slot, to);
        return 0;
    }
    for (;; count++) {
        ret = read_pointer(w, from + count * 8ull, &pointer);
        if (ret < 0)
            return ret;
        if (!pointer)
            break;
        if (count == MAX_ELEMENTS)
            return malformed(w, "a list of texts has no end");
    }
    to = reserve(w, (count + 1) * 8ull, 8, from, &what);
    if (!to)
        return -EBADMSG;
    put_pointer(w, slot, to);
    for (unsigned i = 0; ret == 0 && i < count; i++) {
        ret = read_pointer(w, from + i * 8ull, &pointer);
        if (ret == 0)
            ret = copy_string(w, pointer, to + i * 8ull);
    }
    return ret;
}

/* Reserves room for structures and queues them; their slots are filled later. */
static int copy_structures(struct walk *w, uint64_t from, const struct bp_shape *layout, bool table,
                           uint64_t slot)
{
    uint64_t to = find_seen(w, from, layout), first;
    struct work work = {from, 0, (uint32_t)layout->size, 1, layout};
    int ret;

    if (!to) {
        /* A table ends where the first member, always a pointer, is NULL. */
        for (work.count = table ? 0 : 1; table; work.count++) {
            ret = read_pointer(w, from + (uint64_t)work.count * layout->size, &first);
            if (ret < 0)
                return ret;
            if (!first)
                break;
            if (work.count == MAX_ELEMENTS)
                return malformed(w, "a table has no end");
        }
        to = reserve(w, (uint64_t)(work.count + table) * layout->size, 8, from, layout);
        if (!to)
            return -EBADMSG;
        work.to = to;
        *GROW_ADD(&w->work, struct work) = work;
    }
    put_pointer(w, slot, to);
    return 0;
}

static int fill_slot(struct walk *w, const struct bp_shape_slot *s, uint64_t from, uint64_t to)
{
    uint64_t pointer;
    int ret;

    if (s->what == BP_SHAPED_PLAIN)
        return read_bytes(w, from + s->offset, arena_at(w, to + s->offset), s->length);
    ret = read_pointer(w, from + s->offset, &pointer);
    if (ret < 0)
        return ret;
    if (!pointer)
        return s->what == BP_SHAPED_NAME ? malformed(w, "something it describes has no name") : 0;
    switch (s->what) {
    case BP_SHAPED_STRING:
    case BP_SHAPED_NAME: return copy_string(w, pointer, to + s->offset);
    case BP_SHAPED_STRINGS: return copy_strings(w, pointer, to + s->offset);
    case BP_SHAPED_FIELDS: return copy_structures(w, pointer, &layout_field, true, to + s->offset);
    case BP_SHAPED_SCHEMA: return copy_structures(w, pointer, &layout_schema, false, to + s->offset);
    default:
        return copy_structures(w, pointer, s->to, s->what == BP_SHAPED_TABLE, to + s->offset);
    }
}

/* One structure, of which the source has `limit` bytes. */
static int fill_one(struct walk *w, const struct bp_shape *shape, uint32_t limit, uint64_t from,
                    uint64_t to)
{
    for (const struct bp_shape_slot *s = shape->slots; s->member; s++) {
        int ret = s->what == BP_SHAPED_TYPE          ? fill_one(w, &layout_type, limit, from, to)
                  : s->offset + s->length <= limit ? fill_slot(w, s, from, to) : 0;

        if (ret < 0)
            return ret;
    }
    return 0;
}

static int fill(struct walk *w, const struct work *work)
{
    int ret = 0;

    for (uint32_t i = 0; ret == 0 && i < work->count; i++) {
        uint64_t step = (uint64_t)i * work->layout->size;

        ret = fill_one(w, work->layout, work->limit, work->from + step, work->to + step);
    }
    return ret;
}

static void begin(struct walk *w, const struct source *source, struct bp_error *err)
{
    *w = (struct walk){.source = *source, .err = err};
    GROW_ADD(&w->seen, struct seen);
}

static void end(struct walk *w)
{
    grow_finish(&w->arena);
    grow_finish(&w->work);
    grow_finish(&w->slots);
    grow_finish(&w->seen);
    lookup_finish(&w->by_place);
}

/* What a descriptor is of: `number` for the core's kinds, BP_PROVIDE_OTHER for others. */
struct shaped {
    enum bp_provide_kind number;
    const struct bp_shape *shape;
};

/* Copies the descriptor at `from` and all that it leads to into the arena. */
static int copy_descriptor(struct walk *w, const struct shaped *of, uint64_t from)
{
    struct packed_head head = {PACKED_MAGIC, (uint32_t)of->number, 0};
    struct work root = {from, 0, 0, 1, of->shape};
    uint32_t size;
    int ret = read_bytes(w, from, &size, sizeof(size)); /* every descriptor begins with its size */

    if (ret < 0)
        return ret;
    if (size < 16 || size > 65536)
        return malformed(w, "a descriptor's size makes no sense (is it constant data?)");
    root.limit = size < of->shape->size ? size : (uint32_t)of->shape->size;
    reserve(w, sizeof(head), 8, UINT64_MAX, NULL);
    head.root = root.to = reserve(w, of->shape->size, 8, from, of->shape);
    memcpy(w->arena.data, &head, sizeof(head));
    *GROW_ADD(&w->work, struct work) = root;
    for (size_t i = 0; ret == 0 && i < GROW_COUNT(&w->work, struct work); i++) {
        struct work work = *GROW_AT(&w->work, struct work, i);

        ret = fill(w, &work);
    }
    return ret;
}

/* Offsets become addresses; then every structure is looked at by those who know it. */
static int finish_copy(struct walk *w, uint8_t *copy)
{
    for (size_t i = 0; i < GROW_COUNT(&w->slots, uint64_t); i++) {
        uint64_t at = *GROW_AT(&w->slots, uint64_t, i), offset;
        void *pointer;

        memcpy(&offset, copy + at, sizeof(offset));
        pointer = copy + offset;
        memcpy(copy + at, &pointer, sizeof(pointer));
    }
    for (size_t i = 0; i < GROW_COUNT(&w->work, struct work); i++) {
        const struct work *work = GROW_AT(&w->work, struct work, i);

        for (uint32_t j = 0; j < work->count; j++)
            if (!layout_check(work->layout, copy + work->to + (uint64_t)j * work->layout->size))
                return bp_fail(w->err, EBADMSG, "is malformed: a %s in it contradicts itself",
                               work->layout->name);
    }
    return 0;
}

/* The copy begins with the descriptor, so that its user can free it: all offsets move down. */
static void shift_down(struct walk *w, uint8_t *copy, size_t shift)
{
    for (size_t i = 0; i < GROW_COUNT(&w->slots, uint64_t); i++) {
        uint64_t *at = GROW_AT(&w->slots, uint64_t, i), offset;

        *at -= shift;
        memcpy(&offset, copy + *at, sizeof(offset));
        offset -= shift;
        memcpy(copy + *at, &offset, sizeof(offset));
    }
    for (size_t i = 0; i < GROW_COUNT(&w->work, struct work); i++)
        GROW_AT(&w->work, struct work, i)->to -= shift;
}

static int take_copy(struct walk *w, void **ret_desc)
{
    const size_t shift = sizeof(struct packed_head);
    uint8_t *copy = malloc(w->arena.length - shift);
    int ret;

    if (!copy)
        return bp_fail(w->err, ENOMEM, "cannot be described: no memory");
    memcpy(copy, arena_at(w, shift), w->arena.length - shift);
    shift_down(w, copy, shift);
    ret = finish_copy(w, copy);
    if (ret < 0)
        free(copy);
    else
        *ret_desc = copy;
    return ret;
}

static int unpack(const struct shaped *of, const void *packed, size_t size, void **ret_desc,
                  struct bp_error *err)
{
    struct packed_head head;
    struct walk w;
    int ret;

    if (size < sizeof(head) || size > DESCRIBE_MAX)
        return bp_fail(err, EBADMSG, "is malformed: a description of %zu bytes", size);
    memcpy(&head, packed, sizeof(head));
    if (head.magic != PACKED_MAGIC || head.kind != (uint32_t)of->number)
        return bp_fail(err, EBADMSG, "is malformed: what stands there is no description of a %s",
                       of->shape->name);
    begin(&w, &(struct source){.bytes = packed, .size = size}, err);
    ret = copy_descriptor(&w, of, head.root);
    if (ret == 0)
        ret = take_copy(&w, ret_desc);
    end(&w);
    return ret;
}

static int unpack_kind(const void *packed, size_t size, struct bp_kind **ret_kind,
                       struct bp_error *err)
{
    const struct shaped of = {BP_PROVIDE_KIND, layout_of_kind(BP_PROVIDE_KIND)};
    struct bp_kind *kind;
    void *desc;
    int ret = unpack(&of, packed, size, &desc, err);

    if (ret < 0)
        return ret;
    kind = desc;
    if (kind_from_name(kind->name, strlen(kind->name)) != BP_PROVIDE_OTHER ||
        !layout_is_class(kind->shape)) {
        free(desc);
        return bp_fail(err, EBADMSG, "is malformed: the kind of something it provides makes no sense");
    }
    *ret_kind = kind;
    return 0;
}

/* Opens what is of a framework's kind: the packed kind, then the packed descriptor. */
struct other_head {
    uint32_t magic, kind_size;
};
#define OTHER_MAGIC 0x4f504b42u /* "BKPO" */

static int unpack_other(const char *kind_name, const uint8_t *packed, size_t size, void **ret_desc,
                        struct bp_error *err)
{
    struct shaped of = {.number = BP_PROVIDE_OTHER};
    struct other_head head;
    struct bp_kind *kind;
    int ret;

    if (size < sizeof(head))
        return bp_fail(err, EBADMSG, "is malformed: a description of %zu bytes", size);
    memcpy(&head, packed, sizeof(head));
    packed += sizeof(head);
    size -= sizeof(head);
    if (head.magic != OTHER_MAGIC || head.kind_size > size || head.kind_size % 8)
        return bp_fail(err, EBADMSG, "is malformed: what stands there is no description of a %s",
                       kind_name);
    ret = unpack_kind(packed, head.kind_size, &kind, err);
    if (ret < 0)
        return ret;
    of.shape = kind->shape;
    if (strcmp(kind->name, kind_name) != 0)
        ret = bp_fail(err, EBADMSG, "is malformed: what stands there is of kind %s, not %s", kind->name,
                      kind_name);
    else
        ret = unpack(&of, packed + head.kind_size, size - head.kind_size, ret_desc, err);
    free(kind);
    return ret;
}

int describe_unpack(const char *kind, const void *packed, size_t size, void **ret_desc,
                    struct bp_error *err)
{
    const enum bp_provide_kind number = kind_from_name(kind, strlen(kind));
    const struct shaped of = {number, layout_of_kind(number)};

    return of.shape ? unpack(&of, packed, size, ret_desc, err)
                    : unpack_other(kind, packed, size, ret_desc, err);
}

/* ---- a module's table ---- */

/* Appends a packed copy of what stands at an address; checks that it can be unpacked. */
static int pack(const struct image *image, const struct shaped *of, uint64_t from,
                struct grow *packed, void **ret_desc, struct bp_error *err)
{
    struct walk w;
    int ret;

    begin(&w, &(struct source){.image = image}, err);
    ret = copy_descriptor(&w, of, from);
    if (ret == 0) {
        grow_add(&w.arena, -w.arena.length % 8);
        grow_append(packed, w.arena.data, w.arena.length);
        ret = unpack(of, w.arena.data, w.arena.length, ret_desc, err);
    }
    end(&w);
    return ret;
}

static int pack_core(const struct image *image, enum bp_provide_kind number, uint64_t from,
                     struct description *d, struct grow *packed, struct bp_error *err)
{
    const struct shaped of = {number, layout_of_kind(number)};
    void *desc;
    int ret = pack(image, &of, from, packed, &desc, err);

    if (ret < 0)
        return ret;
    d->kind = bp_strdup(kind_name(number));
    d->name = kind_provided_name(number, NULL, desc);
    free(desc);
    return 0;
}

static int pack_other(const struct image *image, uint64_t from, struct description *d,
                      struct grow *packed, struct bp_error *err)
{
    const uint64_t slot = from + offsetof(struct bp_type_info, kind);
    struct shaped of = {BP_PROVIDE_KIND, layout_of_kind(BP_PROVIDE_KIND)};
    struct other_head head = {OTHER_MAGIC, 0};
    struct bp_kind *kind;
    uint64_t address = 0;
    void *desc;
    int ret = image_read(image, slot, &address, sizeof(address), err);

    if (ret < 0)
        return ret;
    if (!address || image_is_external(image, slot))
        return bp_fail(err, EBADMSG, "is malformed: the kind of something it provides is not in the "
                       "module itself (type.kind)");
    grow_append(packed, &head, sizeof(head));
    ret = pack(image, &of, address, packed, &desc, err);
    if (ret < 0)
        return ret;
    free(desc);
    head.kind_size = (uint32_t)(packed->length - sizeof(head));
    memcpy(packed->data, &head, sizeof(head));
    ret = unpack_kind((uint8_t *)packed->data + sizeof(head), head.kind_size, &kind, err);
    if (ret < 0)
        return ret;
    of = (struct shaped){BP_PROVIDE_OTHER, kind->shape};
    ret = pack(image, &of, from, packed, &desc, err);
    if (ret == 0) {
        d->kind = bp_strdup(kind->name);
        d->name = kind_provided_name(BP_PROVIDE_OTHER, kind, desc);
        free(desc);
    }
    free(kind);
    return ret;
}

static int pack_one(const struct image *image, enum bp_provide_kind number, uint64_t from,
                    struct description *d, struct bp_error *err)
{
    struct grow packed = {0};
    int ret = number == BP_PROVIDE_OTHER ? pack_other(image, from, d, &packed, err)
                                         : pack_core(image, number, from, d, &packed, err);

    if (ret < 0) {
        grow_finish(&packed);
    } else {
        d->packed = packed.data;
        d->size = packed.length;
    }
    return ret;
}

static int read_provides(const struct image *image, uint64_t from, struct module_table *table,
                         struct bp_error *err)
{
    struct grow all = {0};
    int ret = 0;

    for (unsigned i = 0; ret == 0; i++, from += sizeof(struct bp_provide)) {
        struct bp_provide p;
        struct description d = {0};

        ret = image_read(image, from, &p, sizeof(p), err);
        if (ret < 0 || p.kind == BP_PROVIDE_END)
            break;
        if (!layout_of_kind(p.kind) && p.kind != BP_PROVIDE_OTHER)
            ret = bp_fail(err, ENOEXEC, "provides something of unknown kind %u", (unsigned)p.kind);
        else if (i == MAX_PROVIDES)
            ret = bp_fail(err, EBADMSG, "is malformed: what it provides has no end");
        else if (image_is_external(image, from + offsetof(struct bp_provide, desc)) || !p.desc)
            ret = bp_fail(err, EBADMSG, "is malformed: a %s it provides is not in the module itself",
                         p.kind == BP_PROVIDE_OTHER ? "thing" : kind_name(p.kind));
        else
            ret = pack_one(image, p.kind, (uint64_t)(uintptr_t)p.desc, &d, err);
        if (ret == 0)
            *GROW_ADD(&all, struct description) = d;
    }
    table->provide_count = GROW_COUNT(&all, struct description);
    table->provides = all.data;
    return ret;
}

static int read_imports(const struct image *image, uint64_t from, struct module_table *table,
                        struct bp_error *err)
{
    struct grow all = {0};
    int ret = 0;

    for (; ret == 0; from += sizeof(struct bp_import)) {
        struct described_import one = {0};
        struct bp_import import;
        const char *name;

        ret = image_read(image, from, &import, sizeof(import), err);
        if (ret < 0 || !import.name)
            break;
        name = image_string(image, (uint64_t)(uintptr_t)import.name);
        if (!name || GROW_COUNT(&all, struct described_import) == MAX_PROVIDES) {
            ret = bp_fail(err, EBADMSG, "is malformed: its list of imports makes no sense");
            break;
        }
        one.name = bp_strdup(name);
        one.major = import.major;
        one.minor = import.minor;
        *GROW_ADD(&all, struct described_import) = one;
    }
    table->import_count = GROW_COUNT(&all, struct described_import);
    table->imports = all.data;
    return ret;
}

static char *text_at(const struct image *image, const char *address)
{
    return address ? bp_strdup(image_string(image, (uint64_t)(uintptr_t)address)) : NULL;
}

int describe_image(const struct image *image, struct module_table *ret_table,
                   struct bp_error *err)
{
    uint64_t at = image_symbol(image, "bp_module", NULL);
    struct module_table table = {0};
    struct bp_module m;
    int ret;

    if (!at)
        return bp_fail(err, ENOEXEC, "has no symbol bp_module");
    memset(&m, 0, sizeof(m));
    ret = image_read(image, at, &m, offsetof(struct bp_module, name), err);
    if (ret < 0)
        return ret;
    table.magic = m.magic;
    table.size = m.size;
    table.abi_major = m.abi_major;
    table.abi_minor = m.abi_minor;
    if (m.magic == BP_MODULE_MAGIC && m.abi_major == BP_ABI_MAJOR && m.size >= MODULE_TABLE_LEAST) {
        ret = image_read(image, at, &m, m.size < sizeof(m) ? m.size : sizeof(m), err);
        if (ret < 0)
            return ret;
        table.name = text_at(image, m.name);
        table.tier = text_at(image, m.tier);
        table.has_provides = m.provides != NULL;
        table.has_init = m.init != NULL;
        if (m.provides)
            ret = read_provides(image, (uint64_t)(uintptr_t)m.provides, &table, err);
        if (ret == 0 && m.imports)
            ret = read_imports(image, (uint64_t)(uintptr_t)m.imports, &table, err);
    }
    if (ret < 0)
        describe_finish(&table);
    else
        *ret_table = table;
    return ret;
}

void describe_finish(struct module_table *table)
{
    for (size_t i = 0; i < table->provide_count; i++) {
        free(table->provides[i].kind);
        free(table->provides[i].name);
        free(table->provides[i].packed);
    }
    for (size_t i = 0; i < table->import_count; i++)
        free(table->imports[i].name);
    free(table->provides);
    free(table->imports);
    free(table->name);
    free(table->tier);
    *table = (struct module_table){0};
}

bool describe_imports(const struct module_table *table, const char *interface)
{
    char key[160];

    for (size_t i = 0; i < table->import_count; i++) {
        snprintf(key, sizeof(key), "%s/%u", table->imports[i].name, table->imports[i].major);
        if (strcmp(key, interface) == 0)
            return true;
    }
    return false;
}

uint64_t describe_layout(void)
{
    return layout_hash();
}
