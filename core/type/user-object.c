/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Objects that users create: -object, object-add, object-del (object.h). They live in /objects. */
#include <errno.h>
#include <stdlib.h>

#include "object.h"
#include "registry.h"
#include "text.h"

static int string_member(const struct bp_value *args, const char *key, const char **ret_text,
                         struct bp_error *err)
{
    if (!bp_value_has(args, key))
        return bp_fail(err, EINVAL, "Parameter '%s' is missing", key);
    const char *text = bp_value_get_string(args, key);
    if (!text)
        return bp_fail(err, EINVAL, "Invalid parameter type for '%s', expected: string", key);
    *ret_text = text;
    return 0;
}

static int find_class(const char *type, const struct bp_object_class **ret_class,
                      struct bp_error *err)
{
    const void *desc;
    struct bp_error why = {0};
    int ret = bpc_require(BP_PROVIDE_OBJECT, type, &desc, &why);
    if (ret < 0)
        return bp_fail(err, -ret, "Parameter 'qom-type' does not accept value '%.100s': %s", type,
                       why.message);
    const struct bp_object_class *class = desc;
    if (class->type.flags & BP_TYPE_NOT_USER_CREATABLE)
        return bp_fail(err, EINVAL, "Objects of type '%s' cannot be created by users", type);
    *ret_class = class;
    return 0;
}

static void dispose(struct bp_object *obj)
{
    const struct bp_object_class *class = bp_object_class(obj);
    if (!obj->live)
        return;
    if (class->finalize)
        class->finalize(obj);
    bpc_object_detach_levels(obj);
}

/* The class's own part, with all levels attached. */
static int finish(struct bp_object *obj, const struct bp_object_class *class, struct bp_error *err)
{
    int ret = class->complete ? class->complete(obj, err) : 0;
    if (!ret) {
        ret = bpc_object_attached_levels(obj, err);
        if (ret < 0 && class->finalize)
            class->finalize(obj);
    }
    return ret;
}

/* Makes it complete; on failure nothing of it is left. */
static int complete(struct bp_object *obj, const struct bp_object_class *class, const char *id,
                    const struct bp_value *args, struct bp_error *err)
{
    static const char *const skip[] = {"qom-type", "id", NULL};
    obj->dispose = dispose;
    int ret = bpc_object_set_all(obj, args, skip, err);
    if (!ret)
        ret = bpc_object_add_child(bpc_object_container("/objects"), id, obj, err);
    obj->making = true; /* others may come while it waits, in a coroutine */
    if (!ret)
        ret = bpc_object_attach_levels(obj, err);
    if (!ret)
        ret = finish(obj, class, err);
    obj->making = false;
    if (ret < 0)
        bpc_object_detach_levels(obj);
    if (ret < 0)
        bp_object_destroy(obj);
    else
        obj->live = true;
    return ret;
}

int bpc_object_add(struct bp_value *args, struct bp_error *err)
{
    const char *type, *id;
    const struct bp_object_class *class;
    int ret = string_member(args, "qom-type", &type, err);
    if (!ret)
        ret = find_class(type, &class, err);
    if (!ret)
        ret = string_member(args, "id", &id, err);
    if (ret < 0)
        return ret;
    if (!bpc_text_is_id(id))
        return bp_fail(err, EINVAL,
                       "Parameter 'id' expects an identifier: a letter, then letters, "
                       "digits, '-', '.' and '_'");
    if (bpc_object_child(bpc_object_container("/objects"), id))
        return bp_fail(err, EEXIST, "Duplicate object ID '%s'", id);
    struct bp_object *obj = calloc(1, sizeof(*obj));
    if (!obj)
        return bp_fail(err, ENOMEM, "Out of memory");
    ret = bpc_object_init(obj, BP_PROVIDE_OBJECT, &class->type, err);
    if (ret < 0) {
        free(obj);
        return ret;
    }
    return complete(obj, class, id, args, err);
}

void bpc_objects_destroy(void)
{
    struct bp_object *container = bpc_object_container("/objects"), *obj = container->last;

    while (obj) { /* who refers to another came later */
        struct bp_object *before = obj->prev;

        if (obj->kind == BP_PROVIDE_OBJECT && !obj->users && !obj->making)
            bp_object_destroy(obj);
        obj = before;
    }
}

int bpc_object_del(const char *id, struct bp_error *err)
{
    struct bp_object *obj = bpc_object_child(bpc_object_container("/objects"), id);
    if (!obj)
        return bp_fail(err, ENOENT, "object '%.200s' not found", id);
    const struct bp_object_class *class = bp_object_class(obj);
    if (obj->users)
        return bp_fail(err, EBUSY, "object '%s' is in use, can not be deleted", id);
    if (obj->kind != BP_PROVIDE_OBJECT || (class->can_delete && !class->can_delete(obj)))
        return bp_fail(err, EBUSY, "object '%s' can not be deleted now", id);
    bp_object_destroy(obj);
    return 0;
}
