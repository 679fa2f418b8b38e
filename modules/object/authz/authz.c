/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who may: objects that services ask with a name (bp/host/authz.h). One name (authz-simple), rules given with
 * the object (authz-list), rules of a file that may be read again when it changes (authz-list-file; the manual also
 * calls it authz-listfile).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <bp/host/authz.h>
#include <bp/level.h>
#include <bp/log.h>

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

/* A time stamp younger than that may be the same after another change. */
#define SETTLED_NS 2000000000ll

struct authz_file {
    char *filename;
    bool refresh;
    char *path; /* owned: `filename`, absolute: -daemonize changes the directory */
    struct bp_value *rules; /* owned */
    bool allows;
    struct stat seen; /* as it was read */
    bool settled, warned;
};

static void close_file(struct authz_file *s)
{
    free(s->path);
    s->path = NULL;
    bp_value_unref(s->rules);
    s->rules = NULL;
}

static int64_t nanoseconds(const struct timespec *t)
{
    return t->tv_sec * 1000000000ll + t->tv_nsec;
}

static int read_file(struct authz_file *s, struct bp_error *err)
{
    struct bp_value *rules;
    struct stat st = {0};
    struct timespec now;
    int r;

    clock_gettime(CLOCK_REALTIME, &now);
    (void)stat(s->path, &st); /* before it is read: no change is missed */
    r = rules_load(s->path, &rules, &s->allows, err);
    s->seen = st;
    s->settled = nanoseconds(&now) - nanoseconds(&st.st_ctim) > SETTLED_NS;
    if (r < 0)
        return r;
    bp_value_unref(s->rules);
    s->rules = rules;
    return 0;
}

static bool is_as_read(const struct authz_file *s, const struct stat *st)
{
    return s->settled && st->st_dev == s->seen.st_dev && st->st_ino == s->seen.st_ino &&
           st->st_size == s->seen.st_size && nanoseconds(&st->st_mtim) == nanoseconds(&s->seen.st_mtim) &&
           nanoseconds(&st->st_ctim) == nanoseconds(&s->seen.st_ctim);
}

/* Whoever put it there, and whatever became of its directory: it is looked at when somebody comes. A list that cannot
 * be read leaves the old one in force. */
static void look_again(struct authz_file *s)
{
    struct bp_error err = {0};
    struct stat st = {0};

    if (!s->refresh || (stat(s->path, &st) == 0 && is_as_read(s, &st)))
        return;
    if (read_file(s, &err) == 0)
        s->warned = false;
    else if (!s->warned) {
        bp_warn("authz: %s; what it said before goes on", err.message);
        s->warned = true;
    }
}

static int open_file(struct bp_object *obj, struct authz_file *s, struct bp_error *err)
{
    int r;

    if (!s->filename || !*s->filename)
        return bp_fail(err, EINVAL, "%s needs 'filename': where the rules are", bp_object_type(obj));
    s->path = bp_path_absolute(s->filename);
    r = read_file(s, err);
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
    struct authz_file *s = bp_object_state(obj);

    look_again(s);
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
    struct authz_simple *s = bp_object_state(obj);

    if (!s->identity) {
        look_again(&s->file);
        return rules_decide(s->file.rules, s->file.allows, identity, err);
    }
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
