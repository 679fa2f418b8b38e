/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Levels of an object: one for each class of its chain of parents, base first (bp/level.h). Each has
 * a block of state of its own; hooks are those of struct bp_level_class.
 */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include <bp/level.h>

#include "object.h"
#include "registry.h"
#include "type.h"

#define MAX_LEVELS 32u

static int push(GArray *levels, const struct bp_type_info *info, const struct bp_level_class *class,
                struct bp_error *err)
{
    struct bpc_level level = {info, class, NULL};
    for (guint i = 0; i < levels->len; i++) {
        if (!strcmp(g_array_index(levels, struct bpc_level, i).info->name, info->name))
            return bp_fail(err, ELOOP, "Type '%s' is its own parent", info->name);
    }
    if (levels->len == MAX_LEVELS)
        return bp_fail(err, ELOOP, "Type '%s' has more than %u parents", info->name, MAX_LEVELS);
    g_array_prepend_val(levels, level);
    return 0;
}

/* From the object's own class to the base; each is put in front. */
static int collect(enum bp_provide_kind kind, const struct bp_type_info *info, GArray *levels,
                   struct bp_error *err)
{
    int ret = push(levels, info, NULL, err);
    while (!ret) {
        const void *desc = NULL;
        if (info->description) {
            const struct bp_level_class *own =
                bpc_registry_grown(BP_PROVIDE_ABSTRACT, info->description);
            ret = push(levels, &own->type, own, err);
        }
        if (ret || !bpc_type_has_parent_level(kind, info))
            break;
        /* Another module may have it: it is loaded now. */
        ret = bpc_require(bpc_type_parent_kind(kind), info->parent, &desc, err);
        if (ret < 0) {
            bp_error_prefix(err, "Type '%s' builds on '%s'", info->name, info->parent);
            break;
        }
        info = desc;
        ret = push(levels, info, kind == BP_PROVIDE_BUS ? NULL : desc, err);
    }
    return ret;
}

int bpc_object_make_levels(struct bp_object *obj, struct bp_error *err)
{
    GArray *levels = g_array_new(FALSE, FALSE, sizeof(struct bpc_level));
    int ret = collect(obj->kind, obj->info, levels, err);
    if (ret < 0) {
        g_array_unref(levels);
        return ret;
    }
    obj->level_count = levels->len;
    obj->levels = (struct bpc_level *)g_array_free(levels, FALSE);
    for (unsigned i = 0; i < obj->level_count; i++)
        obj->levels[i].state = bpc_object_state_alloc(obj, obj->levels[i].info->state_size);
    obj->state = obj->levels[obj->level_count - 1].state;
    return 0;
}

int bpc_object_init_levels(struct bp_object *obj, struct bp_error *err)
{
    for (; obj->levels_ready < obj->level_count; obj->levels_ready++) {
        const struct bpc_level *level = &obj->levels[obj->levels_ready];
        int ret = level->class && level->class->init ? level->class->init(obj, level->state, err) : 0;
        if (ret < 0)
            return ret;
    }
    return 0;
}

void bpc_object_fini_levels(struct bp_object *obj)
{
    while (obj->levels_ready > 0) {
        const struct bpc_level *level = &obj->levels[--obj->levels_ready];
        if (level->class && level->class->fini)
            level->class->fini(obj, level->state);
    }
}

void bpc_object_free_levels(struct bp_object *obj)
{
    for (unsigned i = 0; i < obj->level_count; i++)
        bpc_object_state_free(obj->levels[i].state);
    g_free(obj->levels);
    obj->levels = NULL;
    obj->state = NULL;
    obj->level_count = 0;
}

int bpc_object_attach_levels(struct bp_object *obj, struct bp_error *err)
{
    for (; obj->levels_attached < obj->level_count; obj->levels_attached++) {
        const struct bpc_level *level = &obj->levels[obj->levels_attached];
        int ret =
            level->class && level->class->attach ? level->class->attach(obj, level->state, err) : 0;
        if (ret < 0)
            return ret;
    }
    return 0;
}

int bpc_object_attached_levels(struct bp_object *obj, struct bp_error *err)
{
    for (unsigned i = 0; i < obj->level_count; i++) {
        const struct bpc_level *level = &obj->levels[i];
        int ret = level->class && level->class->attached
                      ? level->class->attached(obj, level->state, err)
                      : 0;
        if (ret < 0)
            return ret;
    }
    return 0;
}

void bpc_object_detach_levels(struct bp_object *obj)
{
    while (obj->levels_attached > 0) {
        const struct bpc_level *level = &obj->levels[--obj->levels_attached];
        if (level->class && level->class->detach)
            level->class->detach(obj, level->state);
    }
}

static const struct bpc_level *find_level(const struct bp_object *obj, const char *name)
{
    for (unsigned i = 0; i < obj->level_count; i++) {
        if (!strcmp(obj->levels[i].info->name, name))
            return &obj->levels[i];
    }
    return NULL;
}

bool bpc_object_has_level(const struct bp_object *obj, const char *name)
{
    return find_level(obj, name) != NULL;
}

void *bp_object_level(const struct bp_object *obj, const struct bp_level_class *class)
{
    for (unsigned i = 0; i < obj->level_count; i++) {
        if (obj->levels[i].class == class)
            return obj->levels[i].state;
    }
    /* Registered as a larger copy of what the module has. */
    const struct bpc_level *level = find_level(obj, class->type.name);
    return level ? level->state : NULL;
}

const void *bp_object_level_info(const struct bp_object *obj, const struct bp_level_class *class)
{
    for (unsigned i = obj->level_count; i-- > 0;) {
        const struct bp_level_info *info = obj->levels[i].info->infos;
        for (; info && info->level; info++) {
            if (!strcmp(info->level, class->type.name))
                return info->info;
        }
    }
    return NULL;
}
