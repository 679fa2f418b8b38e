/* SPDX-License-Identifier: MIT */
/*
 * Rights: may who calls itself so use this service? Objects of type "authz" (-object authz-simple, authz-list,
 * authz-list-file, authz-pam) say. A service knows one by its id alone and asks when somebody comes: the object
 * may be deleted and made anew meanwhile, and while there is none nobody gets in. Who asks needs no module for it.
 */
#ifndef BP_HOST_AUTHZ_H
#define BP_HOST_AUTHZ_H

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bp/object.h>

BP_BEGIN_DECLS

#define BP_AUTHZ_TYPE "authz"

/* What a class that builds on BP_AUTHZ_TYPE tells it: {BP_AUTHZ_TYPE, &ops} in its type's `infos`. */
struct bp_authz_ops {
    uint32_t size; /* sizeof(struct bp_authz_ops) */
    /* 0: yes. -EACCES: no, and why. Whatever else fails is a no, too. `identity`: a distinguished name
     * (RFC 4514) of a certificate, or a SASL user. [main] */
    int (*check)(struct bp_object *obj, const char *identity, struct bp_error *err);
    void *reserved[4];
};

/* What the class of `obj`, or a level of it, tells the level of this name; NULL: nothing. [any] */
static inline const void *bp_object_tells(struct bp_object *obj, const char *level)
{
    const struct bp_type_info *type = (const struct bp_type_info *)bp_object_class(obj);
    const struct bp_level_info *info = type ? type->infos : NULL;

    for (; info && info->level; info++) {
        if (!strcmp(info->level, level))
            return info->info;
    }
    return NULL;
}

/* Asks the authz object of this id. 0: yes; -EACCES and words: no. [main] */
static inline int bp_authz_check(const char *id, const char *identity, struct bp_error *err)
{
    const struct bp_authz_ops *ops;
    struct bp_object *obj;
    char path[256];

    snprintf(path, sizeof(path), "/objects/%s", id);
    obj = bp_object_resolve(path, BP_AUTHZ_TYPE, NULL);
    ops = obj ? (const struct bp_authz_ops *)bp_object_tells(obj, BP_AUTHZ_TYPE) : NULL;
    if (!ops)
        return bp_fail(err, EACCES, "there is no authz object '%s' that could allow it", id);
    if (!identity)
        return bp_fail(err, EACCES, "who it is is not known, and authz object '%s' has to be asked with a name", id);
    return ops->check(obj, identity, err) == 0 ? 0 : -EACCES;
}

BP_END_DECLS

#endif
