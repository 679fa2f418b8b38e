/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life of an object: state, references, its property tables (object.h, bp/object.h). */
#include "object.h"

#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "loop.h"
#include "property.h"
#include "registry.h"
#include "marks.h"
#include "type.h"

#define STATE_HEADER 16 /* the back pointer, padded so that the state keeps malloc's alignment */

void *bpc_object_state_alloc(struct bp_object *obj, size_t size)
{
    /* At least a byte, so that the returned pointer lies inside: leak checkers follow those. */
    char *memory = calloc(1, STATE_HEADER + (size ? size : 1));
    if (!memory)
        g_error("out of memory for the state of '%s'", obj->info->name);
    *(struct bp_object **)memory = obj;
    return memory + STATE_HEADER;
}

void bpc_object_state_free(void *state)
{
    if (state)
        free((char *)state - STATE_HEADER);
}

struct bp_object *bp_object_of_state(void *state)
{
    return *(struct bp_object **)((char *)state - STATE_HEADER);
}

static int get_type(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
                    struct bp_error *err)
{
    (void)f;
    (void)err;
    *ret_value = bp_value_string(bp_object_type(obj));
    return 0;
}

static const struct bp_field object_props[] = {
    {.name = "type",
     .kind = BP_KIND_STRING,
     .flags = BP_FIELD_READ_ONLY | BP_FIELD_HIDDEN,
     .help = "type of the object",
     .get = get_type},
    BP_FIELDS_END,
};

int bpc_object_add_props(struct bp_object *obj, const struct bp_field *fields, void *base,
                         const char *type, struct bp_error *err)
{
    if (!fields)
        return 0;
    obj->sets = g_renew(struct bpc_prop_set, obj->sets, obj->set_count + 1);
    obj->sets[obj->set_count++] = (struct bpc_prop_set){fields, base, type};
    for (const struct bp_field *f = fields; f->name; f++) {
        if (!f->def || (!base && !f->set) || f->kind == BP_KIND_FORWARD)
            continue;
        struct bpc_prop prop = {f, base, type, obj};
        int ret = bpc_property_set_default(&prop, err);
        if (ret < 0) {
            bp_error_prefix(err, "Default of property '%s.%s'", type, f->name);
            return ret;
        }
    }
    return 0;
}

/* The tables of all levels; the base first, so that a class's property hides a parent's. */
static int add_level_props(struct bp_object *obj, struct bp_error *err)
{
    int ret = 0;
    for (unsigned i = 0; !ret && i < obj->level_count; i++) {
        const struct bpc_level *level = &obj->levels[i];
        ret = bpc_object_add_props(obj, level->info->props, level->state, level->info->name, err);
    }
    return ret;
}

/* First of all: the tables' structs may go with finalize(). */
static void free_props(struct bp_object *obj)
{
    if (obj->links_dropped) /* counted down again with the reference */
        bpc_object_count_links(obj, 1);
    for (unsigned i = 0; i < obj->set_count; i++)
        bpc_property_free_all(&obj->sets[i]);
    g_free(obj->sets);
    obj->sets = NULL;
    obj->set_count = 0;
}

static void free_parts(struct bp_object *obj)
{
    g_free(obj->id);
    g_free(obj->path);
    obj->id = obj->path = NULL;
}

int bpc_object_init(struct bp_object *obj, enum bp_provide_kind kind,
                    const struct bp_type_info *info, struct bp_error *err)
{
    obj->refs = 1;
    obj->kind = kind;
    obj->info = info;
    bpc_owner_init(&obj->owner);
    obj->owner.type = info->name; /* constant: modules stay */
    int ret = bpc_object_make_levels(obj, err);
    if (!ret)
        ret = bpc_object_add_props(obj, object_props, NULL, "object", err);
    if (!ret)
        ret = add_level_props(obj, err);
    if (!ret)
        ret = bpc_object_init_levels(obj, err);
    if (!ret && kind != BP_PROVIDE_DEVICE) /* devices have more tables to come */
        ret = bpc_global_apply(obj, err);
    if (ret < 0) {
        bpc_owner_release(&obj->owner);
        while (obj->last) /* parts that init() made */
            bp_object_destroy(obj->last);
        bpc_object_fini_levels(obj);
        free_props(obj);
        bpc_object_free_levels(obj);
        free_parts(obj);
    }
    return ret;
}

struct bp_object *bp_object_ref(struct bp_object *obj)
{
    bpc_assert_locked();
    if (obj)
        __atomic_add_fetch(&obj->refs, 1, __ATOMIC_RELAXED);
    return obj;
}

void bp_object_unref(struct bp_object *obj)
{
    bpc_assert_locked();
    if (!obj || __atomic_sub_fetch(&obj->refs, 1, __ATOMIC_ACQ_REL))
        return;
    while (obj->first)
        bpc_object_remove(obj->first);
    bpc_owner_release(&obj->owner);
    bpc_object_fini_levels(obj);
    free_props(obj);
    if (obj->finalize)
        obj->finalize(obj);
    bpc_object_free_levels(obj);
    free_parts(obj);
    free(obj);
}

void bp_object_destroy(struct bp_object *obj)
{
    bpc_assert_main();
    if (!obj || obj->deleted)
        return;
    obj->deleted = true;
    if (obj->dispose)
        obj->dispose(obj);
    bpc_owner_quiet(&obj->owner);
    bpc_owner_release(&obj->owner);
    bpc_object_count_links(obj, -1); /* who hears that it has gone may remove what it used */
    obj->links_dropped = true;
    bpc_object_remove(obj);
    bp_object_unref(obj);
}

int bp_provided_class(const char *kind, const char *name, const void **ret_class, struct bp_error *err)
{
    bpc_assert_main();
    return bpc_require(bpc_kind_from_name(kind, strlen(kind)), name, ret_class, err);
}

int bp_object_new(const char *kind_name, const char *name, const char *id, const char *container,
                  struct bp_value *props, struct bp_object **ret_obj, struct bp_error *err)
{
    bpc_assert_main();
    enum bp_provide_kind kind = bpc_kind_from_name(kind_name, strlen(kind_name));
    const void *info;
    int ret = bpc_require(kind, name, &info, err);
    if (ret < 0)
        return ret;
    const struct bp_kind *own = bpc_kind(kind);
    if (!container)
        container = own ? own->container : NULL;
    if (!container)
        return bp_fail(err, EINVAL, "Things of kind %s have no place in the object tree", kind_name);
    struct bp_object *parent = bpc_object_container(container);
    if (bpc_object_child(parent, id))
        return bp_fail(err, EEXIST, "Duplicate ID '%s'", id);
    struct bp_object *obj = calloc(1, sizeof(*obj));
    if (!obj)
        return bp_fail(err, ENOMEM, "Out of memory");
    ret = bpc_object_init(obj, kind, info, err);
    if (ret < 0) {
        free(obj);
        return ret;
    }
    ret = bpc_object_set_all(obj, props, NULL, err);
    if (!ret)
        ret = bpc_object_add_child(parent, id, obj, err);
    if (ret < 0) {
        bp_object_destroy(obj);
        return ret;
    }
    obj->live = true;
    *ret_obj = obj;
    return 0;
}

void *bp_object_state(struct bp_object *obj)
{
    return obj->state;
}

const void *bp_object_class(const struct bp_object *obj)
{
    return obj->info;
}

const char *bp_object_type(const struct bp_object *obj)
{
    return bpc_type_public_name(obj->kind, obj->info);
}

const char *bp_object_id(const struct bp_object *obj)
{
    return obj->id ? obj->id : "";
}

struct bp_owner *bp_object_owner(struct bp_object *obj)
{
    return &obj->owner;
}

struct bp_machine *bp_object_machine(const struct bp_object *obj)
{
    return obj->machine;
}

unsigned bp_object_users(const struct bp_object *obj)
{
    bpc_assert_locked();
    return obj->users;
}

bool bp_object_is_a(const struct bp_object *obj, const char *type)
{
    bpc_assert_locked();
    const char *name = bp_object_type(obj);
    return !strcmp(name, type) || bpc_object_has_level(obj, type) ||
           bpc_type_chain_has(obj->kind, obj->info, type);
}
