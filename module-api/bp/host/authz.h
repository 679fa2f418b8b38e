/* SPDX-License-Identifier: MIT */
/*
 * Rights: may who calls itself so use this service? Objects of type "authz" (-object authz-simple, authz-list,
 * authz-list-file, authz-pam) say. A service knows one by its id alone and asks when somebody comes: the object
 * may be deleted and made anew meanwhile, and while there is none nobody gets in. Who asks needs no module for it.
 * Some have to wait for their answer (PAM): a service uses bp_authz_ask().
 */
#ifndef BP_HOST_AUTHZ_H
#define BP_HOST_AUTHZ_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/coroutine.h>
#include <bp/object.h>

BP_BEGIN_DECLS

#define BP_AUTHZ_TYPE "authz"

/* What a class that builds on BP_AUTHZ_TYPE tells it: {BP_AUTHZ_TYPE, &ops} in its type's `infos`. */
struct bp_authz_ops {
    uint32_t size; /* sizeof(struct bp_authz_ops) */
    /* 0: yes. -EACCES: no, and why. Whatever else fails is a no, too. `identity`: a distinguished name
     * (RFC 4514) of a certificate, or a SASL user. Inside of a coroutine it may wait, and the object may go
     * meanwhile; elsewhere it may block. [main] */
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

/* Asks the authz object of this id. 0: yes; -EACCES and words: no. It may block, inside of a coroutine it [waits].
 * [main] */
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

struct bp_authz_question {
    char *id, *identity;
    void (*done)(void *opaque, int ret, const struct bp_error *err);
    void *opaque;
    struct bp_co *co; /* NULL: there was no memory for one */
    bool dropped;
};

static inline void bp_authz_answer(void *opaque)
{
    struct bp_authz_question *q = (struct bp_authz_question *)opaque;
    struct bp_error err;
    int ret = -EACCES;

    memset(&err, 0, sizeof(err));
    if (!q->co)
        bp_fail(&err, EACCES, "there is no memory to ask");
    else if (!q->dropped)
        ret = bp_authz_check(q->id, q->identity, &err);
    bp_co_unref(q->co);
    if (!q->dropped)
        q->done(q->opaque, ret, &err);
    free(q->id);
    free(q->identity);
    free(q);
}

/* bp_authz_check() that holds up nobody: `done` is called with what it returns, on the main loop, never inside of
 * this call; then the question is gone. `identity` (or NULL) is copied. [main] */
static inline struct bp_authz_question *bp_authz_ask(const char *id, const char *identity,
                                                     void (*done)(void *opaque, int ret, const struct bp_error *err),
                                                     void *opaque)
{
    struct bp_authz_question *q = (struct bp_authz_question *)bp_alloc(sizeof(*q));

    q->id = bp_strdup(id);
    q->identity = identity ? bp_strdup(identity) : NULL;
    q->done = done;
    q->opaque = opaque;
    q->co = NULL;
    q->dropped = false;
    if (bp_co_new(NULL, bp_context_main(NULL), "authz", bp_authz_answer, q, &q->co, NULL) == 0)
        bp_co_wake(q->co);
    else
        bp_defer(NULL, bp_authz_answer, q);
    return q;
}

/* Nobody wants to know any more: `done` is not called. NULL is fine. [main] */
static inline void bp_authz_drop(struct bp_authz_question *question)
{
    if (!question)
        return;
    question->dropped = true;
    if (question->co)
        bp_co_cancel(question->co);
}

BP_END_DECLS

#endif
