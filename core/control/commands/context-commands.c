/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Contexts as seen from outside: query-iothreads, query-contexts, info contexts, sync-profile. */
#include <glib.h>
#include <stdio.h>

#include "command.h"
#include "hmp.h"
#include "loop.h"
#include "object.h"
#include "schema.h"

/* ---- I/O threads ---- */

static const struct bp_field iothread_fields[] = {
    BP_ARG("id", STRING, "id of the object"),
    BP_ARG("thread-id", INT64, "of the host, to pin it"),
    BP_ARG("poll-max-ns", INT64, "how long it looks for work before it sleeps"),
    BP_ARG("poll-grow", INT64, "factor by which that grows; 0: the default"),
    BP_ARG("poll-shrink", INT64, "divisor by which it shrinks; 0: the default"),
    BP_ARG("aio-max-batch", INT64, "most requests in one go; 0: the default"),
    BP_FIELDS_END,
};
static const struct bp_schema iothread_info = {.name = "IOThreadInfo", .kind = BP_KIND_STRUCT,
                                               .members = iothread_fields};
static const struct bp_schema iothread_list = {.name = "IOThreadInfoList", .kind = BP_KIND_LIST,
                                               .element_kind = BP_KIND_STRUCT,
                                               .element = &iothread_info};

struct found_iothread {
    const char *id;
    struct bp_value *entry;
};

static void look_for_iothread(const struct bpc_context_info *info, void *opaque)
{
    struct found_iothread *found = opaque;
    struct bp_value *e;

    if (info->is_main || found->entry || g_strcmp0(info->name, found->id) != 0)
        return;
    e = found->entry = bp_value_dict();
    bp_value_set(e, "id", bp_value_string(info->name));
    bp_value_set(e, "poll-max-ns", bp_value_int(info->poll_max_ns));
    bp_value_set(e, "poll-grow", bp_value_int(info->poll_grow));
    bp_value_set(e, "poll-shrink", bp_value_int(info->poll_shrink));
    bp_value_set(e, "aio-max-batch", bp_value_int(info->batch));
}

static int query_iothreads(struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_value *list = bp_value_list();
    int ret = 0;

    for (struct bp_object *obj = bpc_object_container("/objects")->first; obj && ret >= 0;
         obj = obj->next) {
        struct found_iothread found = {bp_object_id(obj), NULL};
        struct bp_context *ctx;

        if (!bp_object_is_a(obj, "iothread"))
            continue;
        ctx = bpc_context_find(found.id);
        ret = ctx ? bp_context_thread_id(ctx) : -ENOENT;
        bpc_context_info_each(look_for_iothread, &found);
        if (ret >= 0 && found.entry) {
            bp_value_set(found.entry, "thread-id", bp_value_int(ret));
            bp_value_append(list, found.entry);
        } else {
            bp_value_unref(found.entry);
        }
    }
    if (ret < 0) {
        bp_value_unref(list);
        return bp_fail(err, -ret, "an I/O thread cannot be started: %s", g_strerror(-ret));
    }
    *ret_value = list;
    return 0;
}
BP_COMMAND(cmd_query_iothreads, "query-iothreads", "I/O threads and their parameters", NULL, LIST,
           &iothread_list, query_iothreads, BP_COMMAND_PRECONFIG);

/* ---- contexts ---- */

static const struct bp_field context_fields[] = {
    BP_ARG("name", STRING, "\"main\", an iothread's id, or what its device calls it"),
    BP_ARG("thread-id", INT64, "of the host; 0: nothing lives in it, its thread is not started"),
    BP_ARG("folded", BOOL, "served by the main one"),
    BP_ARG("users", UINT64, "watches, timers, deferred calls, coroutines and participants in it"),
    BP_ARG("queued", UINT64, "deferred calls that wait now"),
    BP_ARG("queued-most", UINT64, "most that waited at once"),
    BP_ARG("callbacks", UINT64, "callbacks that have run"),
    BP_ARG("poll-ns", UINT64, "how long it looks for work at present before it sleeps"),
    BP_ARG("polled-ns", UINT64, "time that it has spent looking"),
    BP_ARG("longest-ns", UINT64, "the longest of them"),
    BP_ARG("longest-kind", STRING, "what that was: a timer, a watch, a coroutine's name"),
    BP_ARG("longest-owner", STRING, "whose it was"),
    BP_FIELDS_END,
};
static const struct bp_schema context_info = {.name = "ContextInfo", .kind = BP_KIND_STRUCT,
                                              .members = context_fields};
static const struct bp_schema context_list = {.name = "ContextInfoList", .kind = BP_KIND_LIST,
                                              .element_kind = BP_KIND_STRUCT,
                                              .element = &context_info};
static const struct bp_field lock_fields[] = {
    BP_ARG("profiling", BOOL, "whether it is measured now (-enable-sync-profile, sync-profile)"),
    BP_ARG("taken", UINT64, "how often it was taken while it was measured"),
    BP_ARG("waited", UINT64, "how often somebody had to wait for it"),
    BP_ARG("wait-ns", UINT64, "waiting together"),
    BP_ARG("longest-wait-ns", UINT64, "the longest wait"),
    BP_ARG("held-ns", UINT64, "time it was held"),
    BP_ARG("longest-held-ns", UINT64, "the longest time in one go"),
    BP_ARG("longest-holder", STRING, "who held it that long"),
    BP_FIELDS_END,
};
static const struct bp_schema lock_info = {.name = "LockInfo", .kind = BP_KIND_STRUCT,
                                           .members = lock_fields};
/* There will be more locks, and other measures of them. */
static const char *const may_change[] = {"unstable", NULL};
static const struct bp_field contexts_fields[] = {
    BP_ARG_TYPED("contexts", LIST, &context_list, 0, "the main one first, then the newest first"),
    {.name = "machine-lock", .kind = BP_KIND_STRUCT, .schema = &lock_info, .help = "the machine lock",
     .features = may_change},
    BP_FIELDS_END,
};
static const struct bp_schema contexts_info = {.name = "ContextsInfo", .kind = BP_KIND_STRUCT,
                                               .members = contexts_fields};

static void add_context(const struct bpc_context_info *info, void *opaque)
{
    struct bp_value *e = bp_value_dict();

    bp_value_set(e, "name", bp_value_string(info->name));
    bp_value_set(e, "thread-id", bp_value_int(info->thread_id));
    bp_value_set(e, "folded", bp_value_bool(info->folded));
    bp_value_set(e, "users", bp_value_uint(info->users));
    bp_value_set(e, "queued", bp_value_uint(info->queued));
    bp_value_set(e, "queued-most", bp_value_uint(info->queued_most));
    bp_value_set(e, "callbacks", bp_value_uint(info->callbacks));
    bp_value_set(e, "poll-ns", bp_value_uint((uint64_t)info->poll_ns));
    bp_value_set(e, "polled-ns", bp_value_uint(info->polled_ns));
    bp_value_set(e, "longest-ns", bp_value_uint(info->longest_ns));
    bp_value_set(e, "longest-kind", bp_value_string(info->longest_kind));
    bp_value_set(e, "longest-owner", bp_value_string(info->longest_owner));
    bp_value_append(opaque, e);
}

static int query_contexts(struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_value *all = bp_value_dict(), *list = bp_value_list(), *lock = bp_value_dict();
    struct bpc_lock_stats st;

    (void)err;
    bpc_context_info_each(add_context, list);
    bpc_lock_profile_get(&st);
    bp_value_set(lock, "profiling", bp_value_bool(st.on));
    bp_value_set(lock, "taken", bp_value_uint(st.taken));
    bp_value_set(lock, "waited", bp_value_uint(st.waited));
    bp_value_set(lock, "wait-ns", bp_value_uint(st.wait_ns));
    bp_value_set(lock, "longest-wait-ns", bp_value_uint(st.longest_wait_ns));
    bp_value_set(lock, "held-ns", bp_value_uint(st.held_ns));
    bp_value_set(lock, "longest-held-ns", bp_value_uint(st.longest_held_ns));
    bp_value_set(lock, "longest-holder", bp_value_string(st.longest_holder));
    bp_value_set(all, "contexts", list);
    bp_value_set(all, "machine-lock", lock);
    *ret_value = all;
    return 0;
}
BP_NOTE("provides=command:query-contexts;summary=Event loops: what waits in them and holds them up");
static const struct bp_command cmd_query_contexts = {
    .size = sizeof(struct bp_command), .flags = BP_COMMAND_PRECONFIG, .name = "query-contexts",
    .summary = "Event loops: what waits in them and holds them up", .returns = BP_KIND_STRUCT,
    .returns_schema = &contexts_info, .fn = (void (*)(void))query_contexts, .features = may_change,
};

const struct bp_command *const bpc_context_commands[] = {
    &cmd_query_iothreads, &cmd_query_contexts, NULL,
};

/* ---- the monitor ---- */

static void info_iothreads(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_error err = {0};
    struct bp_value *list;

    (void)args;
    if (query_iothreads(&list, &err) < 0) {
        bpc_hmp_error(mon, &err);
        return;
    }
    for (size_t i = 0; i < bp_value_length(list); i++) {
        struct bp_value *e = bp_value_at(list, i);

        bp_monitor_printf(mon, "%s:\n", bp_value_get_string(e, "id"));
        for (const struct bp_field *f = iothread_fields + 1; f->name; f++)
            bp_monitor_printf(mon, "  %s=%lld\n",
                              strcmp(f->name, "thread-id") ? f->name : "thread_id",
                              (long long)bp_value_as_int(bp_value_get(e, f->name)));
    }
    bp_value_unref(list);
}

static void print_context(const struct bpc_context_info *info, void *opaque)
{
    bp_monitor_printf(opaque, "%s: thread %d%s, %u users, %u queued (at most %u), %llu callbacks\n",
                      info->name, info->thread_id, info->folded ? " (folded into main)" : "",
                      info->users, info->queued, info->queued_most,
                      (unsigned long long)info->callbacks);
    if (info->polled_ns > 0)
        bp_monitor_printf(opaque, "  polls for %llu ns before it sleeps; has polled for %llu us\n",
                          (unsigned long long)info->poll_ns, (unsigned long long)info->polled_ns / 1000);
    if (info->callbacks > 0)
        bp_monitor_printf(opaque, "  longest: %llu us, a %s of %s\n",
                          (unsigned long long)info->longest_ns / 1000, info->longest_kind,
                          info->longest_owner);
}

static void print_lock(struct bp_monitor *mon)
{
    struct bpc_lock_stats st;

    bpc_lock_profile_get(&st);
    if (!st.on && st.taken == 0) {
        bp_monitor_printf(mon, "machine lock: not measured (sync-profile on)\n");
        return;
    }
    bp_monitor_printf(mon, "machine lock: taken %llu times, %llu of them after a wait\n",
                      (unsigned long long)st.taken, (unsigned long long)st.waited);
    bp_monitor_printf(mon, "  waited %llu us, at most %llu us; held %llu us, at most %llu us by a %s\n",
                      (unsigned long long)st.wait_ns / 1000,
                      (unsigned long long)st.longest_wait_ns / 1000,
                      (unsigned long long)st.held_ns / 1000,
                      (unsigned long long)st.longest_held_ns / 1000,
                      *st.longest_holder ? st.longest_holder : "thread");
}

static void info_contexts(struct bp_monitor *mon, struct bp_value *args)
{
    (void)args;
    bpc_context_info_each(print_context, mon);
    print_lock(mon);
}

static void info_sync_profile(struct bp_monitor *mon, struct bp_value *args)
{
    (void)args;
    print_lock(mon);
}

static const struct bp_field profile_args[] = {
    BP_ARG_OPT("op", STRING, "on, off or reset; without it, tells whether it is on"), BP_FIELDS_END,
};

static void sync_profile(struct bp_monitor *mon, struct bp_value *args)
{
    const char *op = bp_value_get_string(args, "op");
    struct bpc_lock_stats st;

    if (!op) {
        bpc_lock_profile_get(&st);
        bp_monitor_printf(mon, "sync-profile is %s\n", st.on ? "on" : "off");
    } else if (strcmp(op, "on") == 0 || strcmp(op, "off") == 0) {
        bpc_lock_profile(strcmp(op, "on") == 0);
    } else if (strcmp(op, "reset") == 0) {
        bpc_lock_profile_reset();
    } else {
        bp_monitor_printf(mon, "Error: sync-profile takes on, off or reset, not '%s'\n", op);
    }
}

#define HMP(IDENT, NAME, PARAMS, SUMMARY, ARGS, FN) \
    static const struct bp_hmp_command IDENT = {sizeof(struct bp_hmp_command), NAME, PARAMS, \
                                                SUMMARY, ARGS, FN, {NULL, NULL}}
HMP(hmp_iothreads, "info iothreads", "", "show iothreads", NULL, info_iothreads);
HMP(hmp_contexts, "info contexts", "", "show event loops, what waits in them and holds them up", NULL,
    info_contexts);
HMP(hmp_info_profile, "info sync-profile", "", "show how long the machine lock was held and waited for",
    NULL, info_sync_profile);
HMP(hmp_profile, "sync-profile", "[on|off|reset]", "measure the machine lock", profile_args,
    sync_profile);

const struct bp_hmp_command *const bpc_hmp_context_commands[] = {
    &hmp_iothreads, &hmp_contexts, &hmp_info_profile, &hmp_profile, NULL,
};
