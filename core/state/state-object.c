/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Objects as bytes (state.h): the parts of one, which are its levels and what its bus keeps with it;
 * all objects of a tree; and the last pass after everything is loaded.
 */
#include "state.h"

#include <errno.h>
#include <string.h>

#include "device.h"
#include "doorbell.h"
#include "loop.h"

struct part {
    char *name;
    const struct bp_state_table *table;
    void *state;
    struct bp_object *obj;
};

static void free_part(gpointer data)
{
    g_free(((struct part *)data)->name);
    g_free(data);
}

static void add_part(GPtrArray *parts, struct bp_object *obj, const char *prefix, const char *name,
                     const struct bp_state_table *table, void *state)
{
    if (!table)
        return;
    struct part *part = g_new(struct part, 1);
    *part = (struct part){g_strconcat(prefix, name, NULL), table, state, obj};
    g_ptr_array_add(parts, part);
}

static void add_parts(struct bp_object *obj, GPtrArray *parts)
{
    const struct bp_device *dev = bp_device_from_object(obj);
    if (dev && !dev->attached)
        return; /* not part of the machine yet */
    for (unsigned i = 0; dev && i < dev->bus_level_count; i++) {
        const struct bpc_child_level *level = &dev->bus_levels[i];
        add_part(parts, obj, "bus/", level->class->type.name, level->class->child_state,
                 level->state);
    }
    for (unsigned i = 0; i < obj->level_count; i++) {
        const struct bpc_level *level = &obj->levels[i];
        add_part(parts, obj, "", level->info->name, level->info->state, level->state);
    }
}

static GPtrArray *parts_of(struct bp_object *obj)
{
    GPtrArray *parts = g_ptr_array_new_with_free_func(free_part);
    add_parts(obj, parts);
    return parts;
}

static void put_le(GByteArray *out, uint64_t v, unsigned width)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < width; i++)
        bytes[i] = (uint8_t)(v >> (8 * i));
    g_byte_array_append(out, bytes, width);
}

static void set_length(GByteArray *out, guint at)
{
    uint32_t length = out->len - at - 4;
    for (unsigned i = 0; i < 4; i++)
        out->data[at + i] = (guint8)(length >> (8 * i));
}

static int save_part(const struct part *part, GByteArray *out, struct bp_error *err)
{
    size_t len = strlen(part->name);
    if (len > 255)
        return bp_fail(err, EINVAL, "State part '%.255s' has too long a name", part->name);
    put_le(out, len, 1);
    g_byte_array_append(out, (const guint8 *)part->name, (guint)len);
    guint length_at = out->len;
    put_le(out, 0, 4);
    int ret = bpc_state_save_table(part->table, part->state, out, err);
    if (!ret)
        set_length(out, length_at);
    return ret;
}

int bpc_state_save(struct bp_object *obj, GByteArray *out, struct bp_error *err)
{
    GPtrArray *parts = parts_of(obj);
    guint before = out->len;
    int ret = 0;
    struct bpc_hold hold = bpc_owner_hold(&obj->owner);
    for (guint i = 0; !ret && i < parts->len; i++)
        ret = save_part(parts->pdata[i], out, err);
    bpc_owner_let_go(&obj->owner, hold);
    if (parts->len)
        put_le(out, 0, 1);
    if (ret < 0) {
        bp_error_prefix(err, "Saving the state of '%s'", bp_object_path(obj));
        g_byte_array_set_size(out, before);
    }
    g_ptr_array_unref(parts);
    return ret;
}

/* ---- loading ---- */

struct reader {
    const uint8_t *p, *end;
};

static bool get_le(struct reader *r, unsigned width, uint64_t *ret_value)
{
    uint64_t value = 0;
    if ((size_t)(r->end - r->p) < width)
        return false;
    for (unsigned i = 0; i < width; i++)
        value |= (uint64_t)r->p[i] << (8 * i);
    r->p += width;
    *ret_value = value;
    return true;
}

/* A name whose length is `width` bytes, then u32 length of what follows; *ret_body is that. A name of
 * no length is the end: 0. */
static int get_entry(struct reader *r, unsigned width, char **ret_name, struct reader *ret_body,
                     struct bp_error *err)
{
    uint64_t len = 0, size = 0;
    if (!get_le(r, width, &len))
        return bp_fail(err, EINVAL, "State is cut off");
    if (!len)
        return 0;
    const char *name = (const char *)r->p;
    if ((size_t)(r->end - r->p) < len)
        return bp_fail(err, EINVAL, "State is cut off");
    r->p += len;
    if (!get_le(r, 4, &size) || (size_t)(r->end - r->p) < size)
        return bp_fail(err, EINVAL, "State is cut off");
    *ret_name = g_strndup(name, len);
    *ret_body = (struct reader){r->p, r->p + size};
    r->p += size;
    return 1;
}

static int load_missing(const struct part *part, struct bp_error *err)
{
    struct bp_error why = {0};
    if (!part->table->may_be_missing)
        return bp_fail(err, EINVAL, "State part '%s' is missing", part->name);
    int ret = part->table->after_load ? part->table->after_load(part->state, 0, &why) : 0;
    return ret < 0 ? bp_fail(err, -ret, "State part '%s' is missing%s%s", part->name,
                             why.code ? ": " : "", why.message)
                   : 0;
}

/* Skips those that the stream lacks; name NULL: it lacks all that are left. NULL: an error, or the end. */
static const struct part *next_part(const GPtrArray *parts, guint *next, const char *name,
                                    int *ret_failed, struct bp_error *err)
{
    bool known = !name;
    for (guint i = *next; !known && i < parts->len; i++)
        known = !strcmp(((const struct part *)parts->pdata[i])->name, name);
    if (!known)
        *ret_failed = bp_fail(err, EINVAL, "State part '%.100s' is unknown", name);
    while (known && *next < parts->len) {
        const struct part *part = parts->pdata[(*next)++];
        if (name && !strcmp(part->name, name))
            return part;
        *ret_failed = load_missing(part, err);
        if (*ret_failed < 0)
            return NULL;
    }
    return NULL;
}

/* Parts come in order; the stream may lack those that allow it. */
static int load_parts(const GPtrArray *parts, struct reader *r, struct bp_error *err)
{
    guint next = 0;
    int ret = 1;
    while (ret > 0) {
        struct reader body;
        char *name = NULL;
        int failed = 0;
        ret = get_entry(r, 1, &name, &body, err);
        if (ret < 0)
            break;
        const struct part *part = next_part(parts, &next, name, &failed, err);
        if (part)
            failed = bpc_state_load_table(part->table, part->state, body.p,
                                          (size_t)(body.end - body.p), err);
        g_free(name);
        if (failed < 0)
            ret = failed;
    }
    return ret;
}

int bpc_state_load(struct bp_object *obj, const uint8_t *buf, size_t len, struct bp_error *err)
{
    GPtrArray *parts = parts_of(obj);
    struct reader r = {buf, buf + len};
    int ret = 0;
    if (!parts->len && len)
        ret = bp_fail(err, EINVAL, "'%s' has no state to load", bp_object_path(obj));
    else if (parts->len) {
        struct bpc_hold hold = bpc_owner_hold(&obj->owner);
        ret = load_parts(parts, &r, err);
        bpc_owner_let_go(&obj->owner, hold);
    }
    if (!ret && parts->len && r.p != r.end)
        ret = bp_fail(err, EINVAL, "%zu bytes follow the state", (size_t)(r.end - r.p));
    if (ret < 0 && parts->len)
        bp_error_prefix(err, "Loading the state of '%s'", bp_object_path(obj));
    g_ptr_array_unref(parts);
    return ret;
}

static gint by_order(gconstpointer a, gconstpointer b)
{
    const struct part *x = *(struct part *const *)a, *y = *(struct part *const *)b;
    return x->table->loaded_order < y->table->loaded_order
               ? -1
               : x->table->loaded_order > y->table->loaded_order;
}

/* A merge sort is stable: those of one order stay as they came. */
static int finish(GPtrArray *parts, struct bp_error *err)
{
    GList *order = NULL;
    int ret = 0;
    for (guint i = parts->len; i-- > 0;)
        order = g_list_prepend(order, &parts->pdata[i]);
    order = g_list_sort(order, by_order);
    for (GList *l = order; l && !ret; l = l->next) {
        const struct part *part = *(struct part **)l->data;
        struct bp_error why = {0};
        if (!part->table->loaded)
            continue;
        ret = part->table->loaded(part->state, &why);
        if (ret < 0)
            bp_fail(err, -ret, "'%s' cannot go on from the loaded state: %s",
                    bp_object_path(part->obj), why.code ? why.message : "it does not say why");
    }
    g_list_free(order);
    return ret;
}

int bpc_state_finish(struct bp_object *const *objs, size_t count, struct bp_error *err)
{
    GPtrArray *parts = g_ptr_array_new_with_free_func(free_part);
    for (size_t i = 0; i < count; i++)
        add_parts(objs[i], parts);
    int ret = finish(parts, err);
    g_ptr_array_unref(parts);
    return ret;
}

/* ---- a tree ---- */

static int collect(struct bp_object *obj, void *opaque)
{
    GPtrArray *parts = parts_of(obj);
    if (parts->len)
        g_ptr_array_add(opaque, obj);
    g_ptr_array_unref(parts);
    return 0;
}

static GPtrArray *objects_below(struct bp_object *root)
{
    GPtrArray *objs = g_ptr_array_new();
    bpc_object_walk(root, collect, objs);
    return objs;
}

int bpc_state_save_tree(struct bp_object *root, GByteArray *out, struct bp_error *err)
{
    GPtrArray *objs = objects_below(root);
    guint before = out->len;
    int ret = 0;
    bpc_doorbells_drain(); /* what a guest has rung for is in the devices' state */
    for (guint i = 0; !ret && i < objs->len; i++) {
        const char *path = bp_object_path(objs->pdata[i]);
        size_t len = strlen(path);
        if (len > UINT16_MAX) {
            ret = bp_fail(err, ENAMETOOLONG, "The path '%.100s...' is too long to save", path);
            break;
        }
        put_le(out, len, 2);
        g_byte_array_append(out, (const guint8 *)path, (guint)len);
        guint length_at = out->len;
        put_le(out, 0, 4);
        ret = bpc_state_save(objs->pdata[i], out, err);
        if (!ret)
            set_length(out, length_at);
    }
    put_le(out, 0, 2);
    if (ret < 0)
        g_byte_array_set_size(out, before);
    g_ptr_array_unref(objs);
    return ret;
}

/* Each object's state once, in any order. */
static int load_objects(GPtrArray *objs, struct reader *r, struct bp_error *err)
{
    GHashTable *missing = g_hash_table_new(g_str_hash, g_str_equal);
    int ret = 1;
    for (guint i = 0; i < objs->len; i++)
        g_hash_table_insert(missing, (gpointer)bp_object_path(objs->pdata[i]), objs->pdata[i]);
    while (ret > 0) {
        struct reader body;
        char *path = NULL;
        ret = get_entry(r, 2, &path, &body, err);
        struct bp_object *obj = path ? g_hash_table_lookup(missing, path) : NULL;
        if (ret > 0 && !obj)
            ret = bp_fail(err, EINVAL, "The state is of '%.200s', which is not here, or twice", path);
        if (obj) {
            g_hash_table_remove(missing, path);
            int r2 = bpc_state_load(obj, body.p, (size_t)(body.end - body.p), err);
            ret = r2 < 0 ? r2 : ret;
        }
        g_free(path);
    }
    GHashTableIter it;
    gpointer path;
    g_hash_table_iter_init(&it, missing);
    if (!ret && g_hash_table_iter_next(&it, &path, NULL))
        ret = bp_fail(err, EINVAL, "The state lacks '%.200s'", (const char *)path);
    g_hash_table_unref(missing);
    return ret;
}

int bpc_state_load_tree(struct bp_object *root, const uint8_t *buf, size_t len,
                        struct bp_error *err)
{
    GPtrArray *objs = objects_below(root);
    struct reader r = {buf, buf + len};
    int ret = load_objects(objs, &r, err);
    if (!ret && r.p != r.end)
        ret = bp_fail(err, EINVAL, "%zu bytes follow the state", (size_t)(r.end - r.p));
    if (!ret)
        ret = bpc_state_finish((struct bp_object *const *)objs->pdata, objs->len, err);
    g_ptr_array_unref(objs);
    return ret;
}

/* ---- comparing, visiting ---- */

bool bpc_state_equal(struct bp_object *a, struct bp_object *b)
{
    GByteArray *x = g_byte_array_new(), *y = g_byte_array_new();
    bool equal = !bpc_state_save(a, x, NULL) && !bpc_state_save(b, y, NULL) && x->len == y->len &&
                 (!x->len || !memcmp(x->data, y->data, x->len));
    g_byte_array_unref(x);
    g_byte_array_unref(y);
    return equal;
}

int bpc_state_each(int (*fn)(const char *path, struct bp_object *obj, void *opaque), void *opaque)
{
    GPtrArray *objs = objects_below(bpc_object_root());
    int ret = 0;
    for (guint i = 0; !ret && i < objs->len; i++)
        ret = fn(bp_object_path(objs->pdata[i]), objs->pdata[i], opaque);
    g_ptr_array_unref(objs);
    return ret;
}
