/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The object tree: places, paths, looking up, listing (object.h). */
#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "object.h"
#include "marks.h"
#include "schema.h"

static const struct bp_type_info container_info = {.size = sizeof(struct bp_type_info),
                                                   .flags = BP_TYPE_NOT_USER_CREATABLE,
                                                   .name = "container",
                                                   .parent = "object",
                                                   .summary = "a place in the object tree"};

static struct bp_object *container_new(void)
{
    struct bp_object *obj = calloc(1, sizeof(*obj));
    if (!obj || bpc_object_init(obj, BP_PROVIDE_END, &container_info, NULL) < 0)
        g_error("out of memory for the object tree");
    return obj;
}

struct bp_object *bpc_object_root(void)
{
    static struct bp_object *root;
    if (!root)
        root = container_new();
    return root;
}

static bool is_container(const struct bp_object *obj)
{
    return obj->info == &container_info;
}

static struct bp_object *who_has(const struct bp_object *parent, const char *id)
{
    for (struct bp_object *child = parent->first; child; child = child->next) {
        if (!strcmp(child->id, id))
            return child;
    }
    return NULL;
}

struct bp_object *bpc_object_child(const struct bp_object *parent, const char *id)
{
    struct bp_object *child = who_has(parent, id);
    return child && child->making ? NULL : child;
}

static void forget_paths(struct bp_object *obj)
{
    g_free(obj->path);
    obj->path = NULL;
    for (struct bp_object *child = obj->first; child; child = child->next)
        forget_paths(child);
}

static void link_child(struct bp_object *parent, const char *id, struct bp_object *obj)
{
    g_free(obj->id);
    obj->owner.id = obj->id = g_strdup(id);
    obj->parent = parent;
    obj->next = NULL;
    obj->prev = parent->last;
    if (parent->last)
        parent->last->next = obj;
    else
        parent->first = obj;
    parent->last = obj;
    forget_paths(obj);
}

static void unlink_child(struct bp_object *obj)
{
    struct bp_object *parent = obj->parent;
    if (obj->prev)
        obj->prev->next = obj->next;
    else
        parent->first = obj->next;
    if (obj->next)
        obj->next->prev = obj->prev;
    else
        parent->last = obj->prev;
    obj->parent = obj->next = obj->prev = NULL;
    forget_paths(obj);
}

int bpc_object_add_child(struct bp_object *parent, const char *id, struct bp_object *obj,
                         struct bp_error *err)
{
    struct bp_object *old = who_has(parent, id);
    if (old && !is_container(old))
        return bp_fail(err, EEXIST, "Duplicate ID '%s' in '%s'", id, bp_object_path(parent));
    bp_object_ref(obj);
    if (old) {
        while (old->first) {
            struct bp_object *child = old->first;
            char *child_id = g_strdup(child->id);
            unlink_child(child);
            link_child(obj, child_id, child);
            g_free(child_id);
        }
        bpc_object_remove(old);
    }
    link_child(parent, id, obj);
    return 0;
}

void bpc_object_add_child_numbered(struct bp_object *parent, const char *prefix,
                                   struct bp_object *obj)
{
    for (unsigned n = 0;; n++) {
        char *id = g_strdup_printf("%s[%u]", prefix, n);
        bool taken = who_has(parent, id) != NULL;
        if (!taken) {
            bp_object_ref(obj);
            link_child(parent, id, obj);
        }
        g_free(id);
        if (!taken)
            return;
    }
}

void bpc_object_remove(struct bp_object *obj)
{
    if (!obj->parent)
        return;
    unlink_child(obj);
    bp_object_unref(obj);
}

struct bp_object *bpc_object_container(const char *path)
{
    struct bp_object *at = bpc_object_root();
    char **parts = g_strsplit(path, "/", -1);
    for (char **part = parts; *part; part++) {
        if (!**part)
            continue;
        struct bp_object *child = who_has(at, *part);
        if (!child) {
            child = container_new();
            bp_object_ref(child);
            link_child(at, *part, child);
            bp_object_unref(child);
        }
        at = child;
    }
    g_strfreev(parts);
    return at;
}

const char *bp_object_path(struct bp_object *obj)
{
    bpc_assert_locked();
    if (obj->path)
        return obj->path;
    GString *path = g_string_new(NULL);
    for (const struct bp_object *o = obj; o && o->id; o = o->parent) {
        g_string_prepend(path, o->id);
        g_string_prepend_c(path, '/');
    }
    if (!path->len)
        g_string_append_c(path, '/');
    obj->path = g_string_free(path, FALSE);
    return obj->path;
}

/* A LINK property as a step of a path ("parent_bus"). */
static struct bp_object *follow_link(struct bp_object *obj, const char *name)
{
    struct bpc_prop prop;
    struct bp_value *value;
    if (!bpc_object_find_prop(obj, name, &prop) || prop.field->kind != BP_KIND_LINK)
        return NULL;
    if (!prop.field->get)
        return prop.base ? *(struct bp_object **)((char *)prop.base + prop.field->offset) : NULL;
    if (bp_object_get(obj, name, &value, NULL) < 0)
        return NULL;
    const char *path = bp_value_as_string(value);
    struct bp_object *to = path && path[0] == '/' ? bp_object_resolve(path, NULL, NULL) : NULL;
    bp_value_unref(value);
    return to;
}

static struct bp_object *walk_path(struct bp_object *from, char **parts, bool links)
{
    for (; from && *parts; parts++) {
        if (!**parts)
            continue;
        struct bp_object *next = bpc_object_child(from, *parts);
        if (!next && links)
            next = follow_link(from, *parts);
        from = next;
    }
    return from;
}

int bpc_object_walk(struct bp_object *obj, int (*fn)(struct bp_object *obj, void *opaque),
                    void *opaque)
{
    int ret = obj->making ? 0 : fn(obj, opaque);
    for (struct bp_object *child = obj->making ? NULL : obj->first; child && !ret;) {
        struct bp_object *next = child->next; /* fn may remove the child it is shown */
        ret = bpc_object_walk(child, fn, opaque);
        child = next;
    }
    return ret;
}

struct search {
    char **parts;
    const char *type;
    struct bp_object *found;
    bool ambiguous;
};

static int try_from(struct bp_object *obj, void *opaque)
{
    struct search *search = opaque;
    struct bp_object *hit = walk_path(obj, search->parts, false);
    if (!hit || hit == obj || (search->type && !bp_object_is_a(hit, search->type)))
        return 0;
    if (search->found && search->found != hit) {
        search->ambiguous = true;
        return 1;
    }
    search->found = hit;
    return 0;
}

struct bp_object *bp_object_resolve(const char *path, const char *type, bool *ret_ambiguous)
{
    bpc_assert_locked();
    if (ret_ambiguous)
        *ret_ambiguous = false;
    if (!*path || strlen(path) > 4096)
        return NULL;
    struct search search = {.parts = g_strsplit(path, "/", -1), .type = type};
    if (path[0] == '/') {
        search.found = walk_path(bpc_object_root(), search.parts, true);
        if (search.found && type && !bp_object_is_a(search.found, type))
            search.found = NULL;
    } else {
        bpc_object_walk(bpc_object_root(), try_from, &search);
    }
    g_strfreev(search.parts);
    if (search.ambiguous && ret_ambiguous)
        *ret_ambiguous = true;
    return search.ambiguous ? NULL : search.found;
}

/* ---- listing ---- */

static void list_one(struct bp_value *list, const char *name, const char *type)
{
    struct bp_value *entry = bp_value_dict();
    bp_value_set(entry, "name", bp_value_string(name));
    bp_value_set(entry, "type", bp_value_string(type));
    bp_value_append(list, entry);
}

static int list_prop(const struct bpc_prop *prop, void *opaque)
{
    char type[128];
    bpc_schema_type_name(prop->field, type, sizeof(type));
    list_one(opaque, prop->field->name, type);
    return 0;
}

struct bp_value *bpc_object_list(struct bp_object *obj)
{
    struct bp_value *list = bp_value_list();
    bpc_object_each_prop(obj, list_prop, list);
    for (const struct bp_object *child = obj->first; child; child = child->next) {
        if (child->making)
            continue;
        char *type = g_strdup_printf("child<%s>", bp_object_type(child));
        list_one(list, child->id, type);
        g_free(type);
    }
    return list;
}

static void print_tree(const struct bp_object *obj, const char *name, unsigned depth, GString *out)
{
    g_string_append_printf(out, "%*s%s (%s)\n", (int)depth * 2, "", name, bp_object_type(obj));
    for (const struct bp_object *child = obj->first; child; child = child->next) {
        if (child->making)
            continue;
        char *child_name = g_strconcat("/", child->id, NULL);
        print_tree(child, child_name, depth + 1, out);
        g_free(child_name);
    }
}

char *bpc_object_tree_text(const char *path, struct bp_error *err)
{
    bool ambiguous = false;
    struct bp_object *obj =
        path ? bp_object_resolve(path, NULL, &ambiguous) : bpc_object_container("/machine");
    if (!obj) {
        bp_fail(err, ENOENT, ambiguous ? "Path '%.200s' is ambiguous" : "Path '%.200s' not found",
                path);
        return NULL;
    }
    GString *out = g_string_new(NULL);
    print_tree(obj, path ? path : "/machine", 0, out);
    char *text = bp_strdup(out->str);
    g_string_free(out, TRUE);
    return text;
}
