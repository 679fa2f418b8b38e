/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who may: objects that services ask with a name (bp/host/authz.h). One name (authz-simple), rules given with
 * the object (authz-list), rules of a file that may be read again when it changes (authz-list-file; the manual also
 * calls it authz-listfile).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <bp/host/authz.h>
#include <bp/level.h>
#include <bp/log.h>
#include <bp/loop.h>

#include "rules.h"

struct authz {
    char none;
};
BP_LEVEL(authz_level, BP_AUTHZ_TYPE, NULL, "Says who may use a service", struct authz, NULL, NULL, .init = NULL);

#define OBJECT(IDENT, NAME, SUMMARY, STATE, PROPS, CHECK, COMPLETE, FINALIZE) \
    static const struct bp_authz_ops IDENT##_ops = {.size = sizeof(struct bp_authz_ops), .check = CHECK}; \
    static const struct bp_level_info IDENT##_infos[] = {{BP_AUTHZ_TYPE, &IDENT##_ops, {NULL}}, \
                                                         {NULL, NULL, {NULL}}}; \
    BP_NOTE("provides=object:" NAME ";summary=" SUMMARY); \
    static const struct bp_object_class IDENT = { \
        .type = {.size = sizeof(struct bp_object_class), .flags = BP_TYPE_EARLY, .name = NAME, \
                 .parent = BP_AUTHZ_TYPE, .summary = SUMMARY, .state_size = sizeof(STATE), .props = PROPS, \
                 .infos = IDENT##_infos}, \
        .complete = COMPLETE, .finalize = FINALIZE}

/* ---- a file ---- */

struct authz_file {
    char *filename;
    bool refresh;
    struct bp_value *rules; /* owned */
    bool allows;
    int notify; /* 0: none */
    struct bp_watch *watch;
};

/* A list that cannot be read leaves the old one in force. */
static void read_again(struct authz_file *s)
{
    struct bp_error err = {0};
    struct bp_value *rules;

    if (rules_load(s->filename, &rules, &s->allows, &err) < 0) {
        bp_warn("authz: %s; what it said before goes on", err.message);
        return;
    }
    bp_value_unref(s->rules);
    s->rules = rules;
}

static void changed(void *opaque, unsigned events)
{
    struct authz_file *s = opaque;
    const char *slash = strrchr(s->filename, '/'), *name = slash ? slash + 1 : s->filename;
    union {
        struct inotify_event event;
        char bytes[4096];
    } buf;
    ssize_t n = read(s->notify, &buf, sizeof(buf));
    bool ours = false;

    (void)events;
    for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= n;) {
        const struct inotify_event *e = (const struct inotify_event *)(const void *)(buf.bytes + at);

        ours |= (e->mask & IN_Q_OVERFLOW) || (e->len && !strcmp(e->name, name));
        at += (ssize_t)(sizeof(*e) + e->len);
    }
    if (ours)
        read_again(s);
}

/* The directory is watched: editors and "mv" put another file in its place. */
static int watch_file(struct bp_object *obj, struct authz_file *s, struct bp_error *err)
{
    const char *slash = strrchr(s->filename, '/');
    char *dir = slash ? strndup(s->filename, slash == s->filename ? 1 : (size_t)(slash - s->filename)) : strdup(".");
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), r = 0;

    if (fd < 0 || !dir || inotify_add_watch(fd, dir, IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR) < 0)
        r = bp_fail(err, errno, "refresh=on: %s cannot be watched: %s", dir ? dir : s->filename, strerror(errno));
    free(dir);
    if (r < 0) {
        if (fd >= 0)
            close(fd);
        return r;
    }
    s->notify = fd;
    s->watch = bp_watch_new(bp_object_owner(obj), NULL, fd, BP_WATCH_IN, changed, s);
    return 0;
}

static void close_file(struct authz_file *s)
{
    bp_watch_free(s->watch);
    s->watch = NULL;
    if (s->notify > 0)
        close(s->notify);
    s->notify = 0;
    bp_value_unref(s->rules);
    s->rules = NULL;
}

static int open_file(struct bp_object *obj, struct authz_file *s, struct bp_error *err)
{
    int r = 0;

    if (!s->filename || !*s->filename)
        return bp_fail(err, EINVAL, "%s needs 'filename': where the rules are", bp_object_type(obj));
    if (s->refresh) /* before it is read: no change is missed */
        r = watch_file(obj, s, err);
    if (r == 0)
        r = rules_load(s->filename, &s->rules, &s->allows, err);
    if (r < 0)
        close_file(s);
    return r;
}

static int file_complete(struct bp_object *obj, struct bp_error *err)
{
    return open_file(obj, bp_object_state(obj), err);
}

static void file_finalize(struct bp_object *obj)
{
    close_file(bp_object_state(obj));
}

static int file_check(struct bp_object *obj, const char *identity, struct bp_error *err)
{
    const struct authz_file *s = bp_object_state(obj);

    return rules_decide(s->rules, s->allows, identity, err);
}

#define FILE_PROPS(STATE, AT) \
    BP_PROP("filename", STRING, STATE, AT filename, NULL, "file of rules, in JSON"), \
    BP_PROP("refresh", BOOL, STATE, AT refresh, "on", "read the file again whenever it changes")
static const struct bp_field file_props[] = {FILE_PROPS(struct authz_file, ), BP_FIELDS_END};
OBJECT(file_class, "authz-list-file", "Rights by the rules of a file", struct authz_file, file_props, file_check,
       file_complete, file_finalize);
OBJECT(listfile_class, "authz-listfile", "Rights by the rules of a file; the same as authz-list-file",
       struct authz_file, file_props, file_check, file_complete, file_finalize);

/* ---- one name; or, as an example of the manual has it, a file ---- */

struct authz_simple {
    char *identity;
    struct authz_file file;
};

static int simple_complete(struct bp_object *obj, struct bp_error *err)
{
    struct authz_simple *s = bp_object_state(obj);

    if (!s->identity == !s->file.filename)
        return bp_fail(err, EINVAL, "authz-simple needs 'identity': who may (or 'filename', as authz-list-file)");
    return s->identity ? 0 : open_file(obj, &s->file, err);
}

static void simple_finalize(struct bp_object *obj)
{
    close_file(&((struct authz_simple *)bp_object_state(obj))->file);
}

static int simple_check(struct bp_object *obj, const char *identity, struct bp_error *err)
{
    const struct authz_simple *s = bp_object_state(obj);

    if (!s->identity)
        return rules_decide(s->file.rules, s->file.allows, identity, err);
    if (!strcmp(s->identity, identity))
        return 0;
    return bp_fail(err, EACCES, "'%s' is not '%s', who alone may", identity, s->identity);
}

static const struct bp_field simple_props[] = {
    BP_PROP("identity", STRING, struct authz_simple, identity, NULL,
            "who may: the distinguished name of a certificate, or a user"),
    FILE_PROPS(struct authz_simple, file.), BP_FIELDS_END};
OBJECT(simple_class, "authz-simple", "Rights for one name", struct authz_simple, simple_props, simple_check,
       simple_complete, simple_finalize);

/* ---- a list ---- */

struct authz_list {
    int policy;
    struct bp_value *rules;
};

static int list_complete(struct bp_object *obj, struct bp_error *err)
{
    return rules_check("authz-list", ((const struct authz_list *)bp_object_state(obj))->rules, err);
}

static int list_check(struct bp_object *obj, const char *identity, struct bp_error *err)
{
    const struct authz_list *s = bp_object_state(obj);

    return rules_decide(s->rules, s->policy == 1, identity, err);
}

static const char *const policies[] = {"deny", "allow", NULL}, *const formats[] = {"exact", "glob", NULL};
static const struct bp_schema policy_schema = {
    .name = "QAuthZListPolicy", .kind = BP_KIND_ENUM, .choices = policies};
static const struct bp_schema format_schema = {
    .name = "QAuthZListFormat", .kind = BP_KIND_ENUM, .choices = formats};
static const struct bp_field rule_members[] = {
    BP_ARG("match", STRING, "whom it is about"),
    BP_ARG_TYPED("policy", ENUM, &policy_schema, 0, "what it says"),
    BP_ARG_TYPED("format", ENUM, &format_schema, BP_FIELD_OPTIONAL, "whether match is exact or a pattern"),
    BP_FIELDS_END};
static const struct bp_schema rule_schema = {
    .name = "QAuthZListRule", .kind = BP_KIND_STRUCT, .members = rule_members};
static const struct bp_schema rules_schema = {
    .name = "QAuthZListRules", .kind = BP_KIND_LIST, .element_kind = BP_KIND_STRUCT, .element = &rule_schema};
static const struct bp_field list_props[] = {
    {.name = "policy", .kind = BP_KIND_ENUM, .flags = BP_FIELD_WRITE_LIVE,
     .offset = offsetof(struct authz_list, policy), .def = "deny", .schema = &policy_schema,
     .help = "when no rule matches"},
    {.name = "rules", .kind = BP_KIND_LIST, .flags = BP_FIELD_WRITE_LIVE,
     .offset = offsetof(struct authz_list, rules),
     .help = "the first that matches decides", .schema = &rules_schema},
    BP_FIELDS_END};
OBJECT(list_class, "authz-list", "Rights by a list of rules", struct authz_list, list_props, list_check, list_complete,
       NULL);

BP_MODULE("object-authz", "Who may use a service", BP_NO_IMPORTS, {BP_PROVIDE_ABSTRACT, &authz_level},
          {BP_PROVIDE_OBJECT, &simple_class}, {BP_PROVIDE_OBJECT, &list_class}, {BP_PROVIDE_OBJECT, &file_class},
          {BP_PROVIDE_OBJECT, &listfile_class});
