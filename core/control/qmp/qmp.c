/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * QMP server on a chardev: greeting, capabilities negotiation, commands from a stream of JSON
 * objects, replies with the request's id, events. Each command is carried out before the next one
 * is read, so that "exec-oob" commands are accepted and need no queue of their own. A client that
 * does not read its replies is not read from; events to it are dropped beyond a limit.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include <bp/clock.h>
#include <bp/coroutine.h>
#include <bp/log.h>

#include "command.h"
#include "compat.h"
#include "monitor-list.h"
#include "preconfig.h"
#include "trace.h"
#include "value-stream.h"
#include "value-wire.h"
#include "version.h"

#define READ_CHUNK 1024u
#define BACKLOG_STOPS_READING (64u << 10)
#define BACKLOG_DROPS_EVENTS (4u << 20)
#define RETRY_NS 2000000
#define WAITING_STOPS_READING 8u /* requests behind one that takes its time */

struct qmp {
    struct bpc_monitor_entry entry; /* first */
    const struct bp_chardev_interface *table;
    struct bp_chardev *chr;
    struct bpc_value_stream *stream;
    struct bp_timer *retry;
    GByteArray *out; /* bytes before `sent` are gone */
    size_t sent;
    bool pretty, open, negotiated, oob, warned;
    struct job *job;  /* the command that is being waited for, or NULL */
    GQueue *waiting;  /* requests (struct bp_value *) that came meanwhile */
    struct bp_deferred *go_on; /* takes them up when it has ended */
};

/* A command that runs in a coroutine. It may outlive its client. */
struct job {
    struct qmp *q; /* NULL: the client has gone, nobody wants the reply */
    const struct bp_command *command;
    struct bp_value *request;
    struct bp_co *co;
};

static struct qmp *current;

struct bp_chardev *bpc_qmp_current(const struct bp_chardev_interface **ret_table)
{
    if (current)
        *ret_table = current->table;
    return current ? current->chr : NULL;
}

/* ---- output ---- */

static size_t backlog(const struct qmp *q)
{
    return q->out->len - q->sent;
}

static bool push_out(struct bpc_monitor_entry *entry)
{
    struct qmp *q = (struct qmp *)entry;
    bool was_full = backlog(q) >= BACKLOG_STOPS_READING;

    while (q->open && backlog(q) > 0) {
        size_t n = q->table->write(q->chr, q->out->data + q->sent, backlog(q), q);

        if (n == 0)
            break;
        q->sent += n;
    }
    if (backlog(q) == 0 || !q->open) {
        g_byte_array_set_size(q->out, 0);
        q->sent = 0;
    } else {
        if (q->sent > q->out->len / 2) {
            g_byte_array_remove_range(q->out, 0, (guint)q->sent);
            q->sent = 0;
        }
        bp_timer_set(q->retry, bp_clock_ns(BP_CLOCK_REALTIME) + RETRY_NS);
    }
    if (was_full && backlog(q) < BACKLOG_STOPS_READING)
        q->table->accept_input(q->chr, q);
    return backlog(q) == 0;
}

static void retry_fired(void *opaque)
{
    struct qmp *q = opaque;

    push_out(&q->entry);
}

static void send_value(struct qmp *q, const struct bp_value *v)
{
    char *text = bpc_value_print_wire(v, q->pretty);

    g_byte_array_append(q->out, (const guint8 *)text, (guint)strlen(text));
    g_byte_array_append(q->out, (const guint8 *)"\r\n", 2);
    g_free(text);
    push_out(&q->entry);
}

void bpc_qmp_broadcast(struct bp_value *message)
{
    for (struct bpc_monitor_entry *e = bpc_monitor_entries; e; e = e->next) {
        struct qmp *q = (struct qmp *)e;

        if (!e->control || !q->open || !q->negotiated)
            continue;
        if (backlog(q) > BACKLOG_DROPS_EVENTS) {
            if (!q->warned)
                bp_warn("a QMP client does not read; its events are dropped");
            q->warned = true;
            continue;
        }
        send_value(q, message);
    }
}

static void send_greeting(struct qmp *q)
{
    static const char text[] =
        "{\"QMP\":{\"version\":{\"qemu\":{\"micro\":" BPC_VERSION_WORD(BPC_COMPATIBLE_MICRO)
        ",\"minor\":" BPC_VERSION_WORD(BPC_COMPATIBLE_MINOR)
        ",\"major\":" BPC_VERSION_WORD(BPC_COMPATIBLE_MAJOR)
        "},\"package\":\"" BPC_PACKAGE "\"},\"capabilities\":[\"oob\"]}}";
    struct bp_value *greeting;

    bp_value_parse(text, sizeof(text) - 1, &greeting, NULL);
    send_value(q, greeting);
    bp_value_unref(greeting);
}

static const char *class_name(enum bp_error_class kind)
{
    static const char *const names[] = {
        [BP_ERROR_GENERIC] = "GenericError",
        [BP_ERROR_COMMAND_NOT_FOUND] = "CommandNotFound",
        [BP_ERROR_DEVICE_NOT_FOUND] = "DeviceNotFound",
        [BP_ERROR_DEVICE_NOT_ACTIVE] = "DeviceNotActive",
        [BP_ERROR_KVM_MISSING_CAP] = "KVMMissingCap",
    };

    return (size_t)kind < BP_COUNT(names) ? names[kind] : names[0];
}

static void reply_error(struct qmp *q, const struct bp_value *request, const struct bp_error *err)
{
    struct bp_value *reply = bp_value_dict(), *error = bp_value_dict();
    struct bp_value *id = request ? bp_value_get(request, "id") : NULL;

    bp_trace(bpc_trace_qmp_error, class_name(err->kind), err->message);
    if (id)
        bp_value_set(reply, "id", bp_value_ref(id));
    bp_value_set(error, "class", bp_value_string(class_name(err->kind)));
    bp_value_set(error, "desc", bp_value_string(err->message));
    bp_value_set(reply, "error", error);
    send_value(q, reply);
    bp_value_unref(reply);
}

/* ---- requests ---- */

struct member_check {
    struct qmp *q;
    struct bp_error *err;
};

static int check_member(const char *key, struct bp_value *member, void *opaque)
{
    struct member_check *c = opaque;

    if (strcmp(key, "id") == 0)
        return 0;
    if (strcmp(key, "execute") == 0 || (strcmp(key, "exec-oob") == 0 && c->q->oob)) {
        if (bp_value_type(member) == BP_VALUE_STRING)
            return 0;
        return bp_fail(c->err, EINVAL, "QMP input member '%s' must be a string", key);
    }
    if (strcmp(key, "arguments") == 0) {
        if (bp_value_type(member) == BP_VALUE_DICT)
            return 0;
        return bp_fail(c->err, EINVAL, "QMP input member 'arguments' must be an object");
    }
    return bp_fail(c->err, EINVAL, "QMP input member '%.100s' is unexpected", key);
}

/* The command a request names, fit for the present state of the session. */
static int find_command(struct qmp *q, struct bp_value *request,
                        const struct bp_command **ret_command, struct bp_error *err)
{
    struct member_check check = {q, err};
    const char *name, *oob;
    int ret;

    if (bp_value_type(request) != BP_VALUE_DICT)
        return bp_fail(err, EINVAL, "QMP input must be a JSON object");
    ret = bp_value_each(request, check_member, &check);
    if (ret < 0)
        return ret;
    name = bp_value_get_string(request, "execute");
    oob = bp_value_get_string(request, "exec-oob");
    if (name && oob)
        return bp_fail(err, EINVAL, "QMP input member 'exec-oob' clashes with 'execute'");
    if (!name && !oob)
        return bp_fail(err, EINVAL, "QMP input lacks member 'execute'");
    if (!name)
        name = oob;
    if (!q->negotiated && strcmp(name, "qmp_capabilities") != 0)
        return bp_fail_class(err, BP_ERROR_COMMAND_NOT_FOUND, EPERM, "Expecting capabilities "
                             "negotiation with 'qmp_capabilities'");
    bp_trace(bpc_trace_qmp_command, name);
    ret = bpc_command_find(name, ret_command, err);
    if (ret == 0 && oob && !((*ret_command)->flags & BP_COMMAND_OOB))
        return bp_fail(err, EINVAL, "The command %.100s does not support OOB", name);
    if (ret == 0)
        ret = bpc_preconfig_judge(name, (*ret_command)->flags, err);
    return ret < 0 ? ret : bpc_compat_judge(*ret_command, bp_value_get(request, "arguments"), err);
}

int bpc_qmp_negotiated(bool oob, struct bp_error *err)
{
    if (!current)
        return bp_fail(err, EINVAL, "there is no client to negotiate with");
    if (current->negotiated)
        return bp_fail_class(err, BP_ERROR_COMMAND_NOT_FOUND, EALREADY, "Capabilities negotiation "
                             "is already complete, command ignored");
    current->negotiated = true;
    current->oob = oob;
    return 0;
}

static void reply_result(struct qmp *q, const struct bp_command *command,
                         struct bp_value *request, struct bp_value *result)
{
    struct bp_value *reply, *id;

    bp_trace(bpc_trace_qmp_return, command->name);
    result = bpc_compat_result(command, result);
    if (!(command->flags & BP_COMMAND_NO_SUCCESS)) {
        reply = bp_value_dict();
        bp_value_set(reply, "return", bp_value_ref(result));
        id = bp_value_get(request, "id");
        if (id)
            bp_value_set(reply, "id", bp_value_ref(id));
        send_value(q, reply);
        bp_value_unref(reply);
    }
    bp_value_unref(result);
}

/* ---- commands that wait ---- */

static void job_main(void *opaque)
{
    struct job *job = opaque;
    struct bp_error err = {0};
    struct bp_value *result = NULL;
    int ret = bpc_command_call(job->command, bp_value_get(job->request, "arguments"), &result, &err);
    struct qmp *q = job->q;

    bpc_events_flush();
    if (q) {
        q->job = NULL;
        if (ret < 0)
            reply_error(q, job->request, &err);
        else
            reply_result(q, job->command, job->request, result);
        if (!g_queue_is_empty(q->waiting))
            bp_deferred_schedule(q->go_on);
        q->table->accept_input(q->chr, q);
    } else if (ret == 0) {
        bp_value_unref(result);
    }
    bp_value_unref(job->request);
    bp_co_unref(job->co);
    g_free(job);
}

static int start_job(struct qmp *q, const struct bp_command *command, struct bp_value *request,
                     struct bp_error *err)
{
    struct job *job = g_new0(struct job, 1);
    int ret = bp_co_new(NULL, NULL, command->name, job_main, job, &job->co, err);

    if (ret < 0) {
        g_free(job);
        return ret;
    }
    job->q = q;
    job->command = command;
    job->request = bp_value_ref(request);
    q->job = job;
    bp_co_enter(job->co);
    return 0;
}

/* The client goes: what it waited for is cancelled, what it asked for besides is forgotten. */
static void drop_jobs(struct qmp *q)
{
    struct job *job = q->job;
    struct bp_value *request;

    while ((request = g_queue_pop_head(q->waiting)) != NULL)
        bp_value_unref(request);
    if (!job)
        return;
    q->job = NULL;
    job->q = NULL;
    bp_co_cancel(job->co);
}

static void handle_request(struct qmp *q, struct bp_value *request)
{
    const struct bp_command *command;
    struct bp_error err = {0};
    struct bp_value *result = NULL;
    struct qmp *outer = current;
    int ret = find_command(q, request, &command, &err);

    current = q;
    if (ret == 0 && (command->flags & BP_COMMAND_COROUTINE)) {
        ret = start_job(q, command, request, &err);
        current = outer;
        if (ret == 0)
            return; /* it replies when it has ended */
    } else if (ret == 0) {
        ret = bpc_command_call(command, bp_value_get(request, "arguments"), &result, &err);
    }
    current = outer;
    bpc_events_flush(); /* what the command caused comes before its reply */
    if (ret < 0)
        reply_error(q, bp_value_type(request) == BP_VALUE_DICT ? request : NULL, &err);
    else
        reply_result(q, command, request, result);
}

/* In order, but that out-of-band ones wait for nobody. */
static void take_request(struct qmp *q, struct bp_value *request)
{
    bool out_of_band = q->oob && bp_value_type(request) == BP_VALUE_DICT &&
                       bp_value_has(request, "exec-oob");

    if (!out_of_band && (q->job || !g_queue_is_empty(q->waiting)))
        g_queue_push_tail(q->waiting, bp_value_ref(request));
    else
        handle_request(q, request);
}

static void go_on(void *opaque)
{
    struct qmp *q = opaque;
    struct bp_value *request;

    while (!q->job && (request = g_queue_pop_head(q->waiting)) != NULL) {
        handle_request(q, request);
        bp_value_unref(request);
    }
    q->table->accept_input(q->chr, q);
}

/* ---- chardev ---- */

static size_t qmp_can_read(void *opaque)
{
    struct qmp *q = opaque;

    return backlog(q) < BACKLOG_STOPS_READING && g_queue_get_length(q->waiting) < WAITING_STOPS_READING
               ? READ_CHUNK : 0;
}

static void qmp_read(void *opaque, const uint8_t *buf, size_t len)
{
    struct qmp *q = opaque;
    struct bp_value *request;
    struct bp_error err = {0};
    int ret;

    bpc_value_stream_feed(q->stream, buf, len);
    while ((ret = bpc_value_stream_next(q->stream, &request, &err)) != 0) {
        if (ret < 0) {
            err.kind = BP_ERROR_GENERIC;
            reply_error(q, NULL, &err);
        } else {
            take_request(q, request);
            bp_value_unref(request);
        }
        memset(&err, 0, sizeof(err));
    }
}

static void qmp_event(void *opaque, enum bp_chardev_event event)
{
    struct qmp *q = opaque;

    if (event != BP_CHARDEV_OPENED && event != BP_CHARDEV_CLOSED)
        return;
    drop_jobs(q);
    g_byte_array_set_size(q->out, 0);
    q->sent = 0;
    q->negotiated = q->oob = q->warned = false;
    bpc_value_stream_free(q->stream);
    q->stream = bpc_value_stream_new();
    q->open = event == BP_CHARDEV_OPENED;
    if (q->open)
        send_greeting(q);
}

static void qmp_free(struct qmp *q)
{
    g_queue_free(q->waiting);
    bp_deferred_free(q->go_on);
    bp_timer_free(q->retry);
    bpc_value_stream_free(q->stream);
    g_byte_array_free(q->out, TRUE);
    g_free(q);
}

static void qmp_close(struct bpc_monitor_entry *entry)
{
    struct qmp *q = (struct qmp *)entry;

    q->table->disconnect(q->chr, q);
    drop_jobs(q);
    qmp_free(q);
}

int bpc_qmp_new(const struct bp_chardev_interface *table, struct bp_chardev *chr, bool pretty,
                struct bp_error *err)
{
    static const struct bp_chardev_handlers handlers = {
        .size = sizeof(struct bp_chardev_handlers),
        .can_read = qmp_can_read, .read = qmp_read, .event = qmp_event,
    };
    struct qmp *q = g_new0(struct qmp, 1);
    int ret;

    q->table = table;
    q->chr = chr;
    q->pretty = pretty;
    q->out = g_byte_array_new();
    q->stream = bpc_value_stream_new();
    q->retry = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, retry_fired, q);
    q->waiting = g_queue_new();
    q->go_on = bp_deferred_new(NULL, NULL, go_on, q);
    q->entry.control = true;
    q->entry.push_out = push_out;
    q->entry.close = qmp_close;
    ret = table->connect(chr, &handlers, q, err);
    if (ret < 0) {
        qmp_free(q);
        return ret;
    }
    bpc_monitor_list_add(&q->entry);
    return 0;
}
