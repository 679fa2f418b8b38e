/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Jobs: long work in the background, which clients start by command, watch by events and query-jobs, and dismiss when
 * it has ended. Here is how they live; what they do is in job-*.c. [main]
 */
#define BP_SHARED
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "jobs.h"

#define MAX_JOBS 1024u
#define SLICE INT64_C(100000000) /* ns that a speed is kept over */

struct job *block_jobs;

static const char *const states[] = {"undefined", "created", "running", "paused", "ready", "standby", "waiting",
                                     "pending", "aborting", "concluded", "null", NULL};
static const char *const io_words[] = {"ok", "failed", "nospace"};
static const struct bp_schema status_schema = {"JobStatus", BP_KIND_ENUM, .choices = states};
static const struct bp_field status_data[] = {
    BP_ARG("id", STRING, "the job"), BP_ARG_TYPED("status", ENUM, &status_schema, 0, "its new state"), BP_FIELDS_END};
BP_EVENT(job_status_event, "JOB_STATUS_CHANGE", "a job has another state", status_data, 0);
#define END_DATA BP_ARG("type", STRING, "what it does"), BP_ARG("device", STRING, "the job"), \
    BP_ARG("len", INT64, "bytes that it had to do"), BP_ARG("offset", INT64, "how far it came"), \
    BP_ARG("speed", INT64, "bytes a second; 0: no limit")
static const struct bp_field completed_data[] = {END_DATA, BP_ARG_OPT("error", STRING, "why it failed"), BP_FIELDS_END};
static const struct bp_field end_data[] = {END_DATA, BP_FIELDS_END};
static const struct bp_field pending_data[] = {BP_ARG("type", STRING, "what it does"), BP_ARG("id", STRING, "the job"),
                                               BP_FIELDS_END};
static const struct bp_field error_data[] = {
    BP_ARG("device", STRING, "the job"), BP_ARG("operation", STRING, "read or write"),
    BP_ARG("action", STRING, "report, ignore or stop"), BP_FIELDS_END};
BP_EVENT(job_completed_event, "BLOCK_JOB_COMPLETED", "a block job has ended", completed_data, 0);
BP_EVENT(job_cancelled_event, "BLOCK_JOB_CANCELLED", "a block job was cancelled", end_data, 0);
BP_EVENT(job_ready_event, "BLOCK_JOB_READY", "a block job can be completed", end_data, 0);
BP_EVENT(job_pending_event, "BLOCK_JOB_PENDING", "a block job waits for block-job-finalize", pending_data, 0);
BP_EVENT(job_error_event, "BLOCK_JOB_ERROR", "a request of a block job failed", error_data, 0);

static void set_status(struct job *job, enum job_status status)
{
    struct bp_value *data;

    if (job->status == status && status != JOB_CREATED)
        return;
    job->status = status;
    data = bp_value_dict();
    bp_value_set(data, "id", bp_value_string(job->id));
    bp_value_set(data, "status", bp_value_string(states[status + 1]));
    bp_event_send(&job_status_event, data);
}

static void tell_end(const struct job *job, const struct bp_event *event)
{
    struct bp_value *data;

    if (!job->class->block)
        return;
    data = bp_value_dict();
    bp_value_set(data, "type", bp_value_string(job->class->type));
    bp_value_set(data, "device", bp_value_string(job->id));
    bp_value_set(data, "len", bp_value_uint(job->all));
    bp_value_set(data, "offset", bp_value_uint(job->done));
    bp_value_set(data, "speed", bp_value_uint(job->speed));
    if (event == &job_completed_event && job->err.code)
        bp_value_set(data, "error", bp_value_string(job->err.message));
    bp_event_send(event, data);
}

struct job *job_find(const char *id, struct bp_error *err)
{
    struct job *job = block_jobs;

    while (job && strcmp(job->id, id) != 0)
        job = job->next;
    if (!job)
        bp_fail_class(err, BP_ERROR_DEVICE_NOT_FOUND, ENOENT, "there is no job '%s'", id);
    return job;
}

static void unref(struct job *job)
{
    if (--job->refs > 0)
        return;
    job_group_unref(job->group);
    job_release(job);
    bp_co_queue_free(job->wake);
    free(job->state);
    free(job->id);
    free(job);
}

static void forget(struct job *job)
{
    struct job **link = &block_jobs;

    while (*link && *link != job)
        link = &(*link)->next;
    if (*link)
        *link = job->next;
    unref(job);
}

void job_abandon(struct job *job)
{
    set_status(job, JOB_NULL);
    if (job->class->clean)
        job->class->clean(job, false);
    job_release(job);
    forget(job);
}

static bool well_formed(const char *id)
{
    if (!((*id >= 'a' && *id <= 'z') || (*id >= 'A' && *id <= 'Z')) || strlen(id) > MAX_NODE_NAME)
        return false;
    for (; *id; id++)
        if (!((*id >= 'a' && *id <= 'z') || (*id >= 'A' && *id <= 'Z') || (*id >= '0' && *id <= '9') ||
              strchr("-._", *id)))
            return false;
    return true;
}

static int take_error_choice(struct bp_value *args, const char *key, int *ret, struct bp_error *err)
{
    static const char *const words[] = {"report", "ignore", "enospc", "stop", "auto"};
    const char *text = bp_value_get_string(args, key);

    for (int i = 0; text && i < 5; i++)
        if (!strcmp(text, words[i])) {
            *ret = i == ON_ERROR_AUTO ? ON_ERROR_ENOSPC : i;
            return 0;
        }
    return text ? bp_fail(err, EINVAL, "member '%s' is report, ignore, enospc, stop or auto", key) : 0;
}

static bool member_bool(struct bp_value *args, const char *key, bool def)
{
    return bp_value_has(args, key) ? bp_value_as_bool(bp_value_get(args, key)) : def;
}

int job_new(const struct job_class *class, struct bp_value *args, const char *fallback, struct job **ret_job,
            struct bp_error *err)
{
    const char *id = bp_value_get_string(args, "job-id");
    struct job *job, **link = &block_jobs;
    unsigned count = 0;
    int ret;

    if (!id)
        id = fallback;
    if (!id || !*id)
        return bp_fail(err, EINVAL, "member 'job-id' is missing: a node has no name that the job could have");
    if (!well_formed(id))
        return bp_fail(err, EINVAL, "member 'job-id' expects an identifier: letters, digits, '-', '.', '_', starting "
                       "with a letter; not '%.140s'", id);
    for (; *link; link = &(*link)->next, count++)
        if (!strcmp((*link)->id, id))
            return bp_fail(err, EEXIST, "there is a job '%s' already", id);
    if (count == MAX_JOBS)
        return bp_fail(err, ENOSPC, "there are %u jobs already: dismiss those that have ended", MAX_JOBS);
    job = bp_alloc(sizeof(*job));
    *job = (struct job){.id = bp_strdup(id), .class = class, .refs = 1, .wake = bp_co_queue_new(),
                        .speed = bp_value_as_uint(bp_value_get(args, "speed")),
                        .auto_finalize = member_bool(args, "auto-finalize", true),
                        .auto_dismiss = member_bool(args, "auto-dismiss", class->block)};
    ret = take_error_choice(args, "on-error", &job->on_source_error, err);
    job->on_target_error = job->on_source_error;
    if (ret == 0)
        ret = take_error_choice(args, "on-source-error", &job->on_source_error, err);
    if (ret == 0)
        ret = take_error_choice(args, "on-target-error", &job->on_target_error, err);
    if (ret < 0) {
        unref(job);
        return ret;
    }
    *link = job;
    set_status(job, JOB_CREATED);
    *ret_job = job;
    return 0;
}

/* ---- groups ---- */

struct job_group *job_group_new(void)
{
    struct job_group *group = bp_alloc(sizeof(*group));

    *group = (struct job_group){.refs = 1};
    return group;
}

void job_group_unref(struct job_group *group)
{
    if (group && --group->refs == 0)
        free(group);
}

void job_group_join(struct job_group *group, struct job *job)
{
    group->refs++;
    group->members++;
    group->by_hand |= !job->auto_finalize;
    job->group = group;
}

static void wake_group(const struct job_group *group)
{
    for (struct job *j = block_jobs; j; j = j->next)
        if (j->group == group)
            bp_co_queue_wake_all(j->wake);
}

/* It is one of those that `count` counts: until all are. */
static int wait_for_group(struct job *job, unsigned *count)
{
    struct job_group *group = job->group;

    ++*count;
    wake_group(group);
    while (*count < group->members && !group->failed && !job->cancelled)
        bp_co_queue_wait(job->wake, NULL);
    return group->failed || job->cancelled ? -ECANCELED : 0;
}

static bool is_to_be_finalized(const struct job *job)
{
    return job->group ? !job->group->by_hand || job->group->finalizing : job->auto_finalize || job->finalizing;
}

static void fail_group(struct job *job)
{
    if (!job->group || job->group->failed)
        return;
    job->group->failed = true;
    for (struct job *j = block_jobs; j; j = j->next)
        if (j->group == job->group && j != job)
            j->cancelled = true;
    wake_group(job->group);
}

/* ---- running ---- */

static int finish(struct job *job)
{
    int ret;

    set_status(job, JOB_WAITING);
    ret = job->group ? wait_for_group(job, &job->group->waiting) : 0;
    if (ret < 0)
        return ret;
    set_status(job, JOB_PENDING);
    if (!job->auto_finalize && job->class->block) {
        struct bp_value *data = bp_value_dict();

        bp_value_set(data, "type", bp_value_string(job->class->type));
        bp_value_set(data, "id", bp_value_string(job->id));
        bp_event_send(&job_pending_event, data);
    }
    while (!is_to_be_finalized(job) && !job->cancelled)
        bp_co_queue_wait(job->wake, NULL);
    if (job->cancelled)
        return -ECANCELED;
    ret = job->class->prepare ? job->class->prepare(job, &job->err) : 0;
    return ret == 0 && job->group ? wait_for_group(job, &job->group->prepared) : ret;
}

static void conclude(struct job *job, int ret)
{
    if (ret < 0 && ret != -ECANCELED && !job->err.code)
        bp_fail(&job->err, -ret, "%s", strerror(-ret));
    if (ret < 0) {
        set_status(job, JOB_ABORTING);
        fail_group(job);
    }
    if (job->class->clean)
        job->class->clean(job, ret == 0);
    job_release(job);
    tell_end(job, ret == -ECANCELED ? &job_cancelled_event : &job_completed_event);
    set_status(job, JOB_CONCLUDED);
    if (job->auto_dismiss) {
        set_status(job, JOB_NULL);
        forget(job);
    }
}

static void run(void *opaque)
{
    struct job *job = opaque;
    int ret;

    set_status(job, JOB_RUNNING);
    job->busy = true;
    ret = job->class->run(job, &job->err);
    job->busy = false;
    if (job->cancelled)
        ret = -ECANCELED;
    if (ret == 0)
        ret = finish(job);
    conclude(job, ret);
    unref(job);
}

int job_start(struct job *job, struct bp_error *err)
{
    struct bp_co *co;
    int ret;

    ret = bp_co_new(NULL, bp_context_main(NULL), "job", run, job, &co, err);
    if (ret < 0) {
        fail_group(job);
        job_abandon(job);
        return ret;
    }
    job->refs++;
    job->started = job->slice_since = bp_clock_ns(BP_CLOCK_REALTIME);
    bp_co_enter(co);
    bp_co_unref(co);
    return 0;
}

void job_rest(struct job *job, int64_t ns)
{
    const int64_t piece = 20000000;
    unsigned asked = job->cancelled + 2u * job->completing + 4u * job->user_paused + 8u * job->soft;

    while (ns > 0 && asked == job->cancelled + 2u * job->completing + 4u * job->user_paused + 8u * job->soft) {
        bp_co_sleep(BP_CLOCK_REALTIME, ns < piece ? ns : piece);
        ns -= piece;
    }
}

static void pause_point(struct job *job)
{
    if (!(job->user_paused || job->paused_by_error) || job->cancelled)
        return;
    set_status(job, job->ready ? JOB_STANDBY : JOB_PAUSED);
    job->busy = false;
    while ((job->user_paused || job->paused_by_error) && !job->cancelled)
        bp_co_queue_wait(job->wake, NULL);
    job->busy = true;
    set_status(job, job->ready ? JOB_READY : JOB_RUNNING);
    job->slice_since = bp_clock_ns(BP_CLOCK_REALTIME);
    job->slice_bytes = 0;
}

int job_step(struct job *job, uint64_t bytes)
{
    int64_t now = bp_clock_ns(BP_CLOCK_REALTIME);

    job->done += bytes;
    job->slice_bytes += bytes;
    if (now - job->slice_since > 10 * SLICE) {
        job->slice_since = now - SLICE;
        job->slice_bytes = bytes;
    }
    while (job->speed && !job->cancelled && !job->user_paused) {
        double due = (double)job->slice_bytes / (double)job->speed * 1e9;
        int64_t left = (int64_t)(due > 9e18 ? 9e18 : due) - (bp_clock_ns(BP_CLOCK_REALTIME) - job->slice_since);

        if (left <= 0)
            break;
        bp_co_sleep(BP_CLOCK_REALTIME, left < 20000000 ? left : 20000000);
    }
    pause_point(job);
    return job->cancelled ? -ECANCELED : 0;
}

void job_add(struct job *job, uint64_t more)
{
    job->all += more;
}

void job_set_ready(struct job *job)
{
    if (job->ready)
        return;
    job->ready = true;
    set_status(job, JOB_READY);
    tell_end(job, &job_ready_event);
}

int job_error(struct job *job, bool reads, int error)
{
    int choice = reads ? job->on_source_error : job->on_target_error;
    struct bp_value *data;

    if (error == -ECANCELED)
        return error;
    if (choice == ON_ERROR_ENOSPC)
        choice = error == -ENOSPC ? ON_ERROR_STOP : ON_ERROR_REPORT;
    data = bp_value_dict();
    bp_value_set(data, "device", bp_value_string(job->id));
    bp_value_set(data, "operation", bp_value_string(reads ? "read" : "write"));
    bp_value_set(data, "action", bp_value_string(choice == ON_ERROR_STOP ? "stop" : choice == ON_ERROR_IGNORE
                                                 ? "ignore" : "report"));
    bp_event_send(&job_error_event, data);
    if (choice == ON_ERROR_REPORT)
        return bp_fail(&job->err, -error, "%s failed: %s", reads ? "reading the source" : "writing to the target",
                       strerror(-error));
    if (choice == ON_ERROR_STOP) {
        job->io_status = error == -ENOSPC ? 2 : 1;
        job->paused_by_error = true;
    }
    return 0;
}

/* ---- blockdev-create ---- */

struct create {
    struct bp_value *options;
};

static int create_run(struct job *job, struct bp_error *err)
{
    int ret = image_create(((struct create *)job->state)->options, err);

    job->done = job->all;
    return ret;
}

static void create_clean(struct job *job, bool done)
{
    struct create *c = job->state;

    (void)done;
    if (c)
        bp_value_unref(c->options);
    if (c)
        c->options = NULL;
}

static const struct job_class create_class = {.type = "create", .run = create_run, .clean = create_clean};

int qmp_blockdev_create(const char *id, struct bp_value *options, struct bp_error *err)
{
    const char *driver = bp_value_get_string(options, "driver");
    const struct bp_block_driver *class;
    struct bp_value *args;
    struct create *c;
    struct job *job;
    const void *found;
    int ret;

    if (!driver)
        return bp_fail(err, EINVAL, "member 'driver' of 'options' is missing");
    ret = node_driver_class(driver, &found, err);
    if (ret < 0)
        return ret;
    class = found;
    if (!class->create)
        return bp_fail(err, ENOTSUP, "driver '%s' does not support making images", driver);
    args = bp_value_dict();
    bp_value_set(args, "job-id", bp_value_string(id));
    ret = job_new(&create_class, args, NULL, &job, err);
    bp_value_unref(args);
    if (ret < 0)
        return ret;
    job->state = c = bp_alloc(sizeof(*c));
    c->options = bp_value_copy(options);
    job->all = 1;
    return job_start(job, err);
}

/* ---- what is asked of all jobs ---- */

static uint64_t rate_of(const struct job *job)
{
    int64_t ns = bp_clock_ns(BP_CLOCK_REALTIME) - job->started;

    return ns > 0 && job->started ? (uint64_t)((double)job->done * 1e9 / (double)ns) : 0;
}

int qmp_query_jobs(struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_value *list = bp_value_list();

    (void)err;
    for (struct job *job = block_jobs; job; job = job->next) {
        struct bp_value *v = bp_value_dict();

        bp_value_set(v, "id", bp_value_string(job->id));
        bp_value_set(v, "type", bp_value_string(job->class->type));
        bp_value_set(v, "status", bp_value_string(states[job->status + 1]));
        bp_value_set(v, "current-progress", bp_value_uint(job->done));
        bp_value_set(v, "total-progress", bp_value_uint(job->all));
        if (job->err.code)
            bp_value_set(v, "error", bp_value_string(job->err.message));
        if (job->class->block && job->status == JOB_RUNNING) {
            uint64_t rate = rate_of(job);

            bp_value_set(v, "x-rate", bp_value_uint(rate));
            if (rate && job->all >= job->done)
                bp_value_set(v, "x-seconds-left", bp_value_uint((job->all - job->done) / rate));
        }
        bp_value_append(list, v);
    }
    *ret_value = list;
    return 0;
}

int qmp_query_block_jobs(struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_value *list = bp_value_list();

    (void)err;
    for (struct job *job = block_jobs; job; job = job->next) {
        struct bp_value *v;

        if (!job->class->block)
            continue;
        v = bp_value_dict();
        bp_value_set(v, "type", bp_value_string(job->class->type));
        bp_value_set(v, "device", bp_value_string(job->id));
        bp_value_set(v, "len", bp_value_uint(job->all));
        bp_value_set(v, "offset", bp_value_uint(job->done));
        bp_value_set(v, "busy", bp_value_bool(job->busy));
        bp_value_set(v, "paused", bp_value_bool(job->user_paused || job->paused_by_error));
        bp_value_set(v, "speed", bp_value_uint(job->speed));
        bp_value_set(v, "io-status", bp_value_string(io_words[job->io_status]));
        bp_value_set(v, "ready", bp_value_bool(job->ready));
        bp_value_set(v, "status", bp_value_string(states[job->status + 1]));
        bp_value_set(v, "auto-finalize", bp_value_bool(job->auto_finalize));
        bp_value_set(v, "auto-dismiss", bp_value_bool(job->auto_dismiss));
        if (job->err.code)
            bp_value_set(v, "error", bp_value_string(job->err.message));
        bp_value_append(list, v);
    }
    *ret_value = list;
    return 0;
}

static int not_now(const struct job *job, const char *what, struct bp_error *err)
{
    return bp_fail(err, EBUSY, "job '%s' is %s: it cannot be %s now", job->id, states[job->status + 1], what);
}

int job_do(const char *id, enum job_verb verb, bool force, struct bp_error *err)
{
    struct job *job = job_find(id, err);

    if (!job)
        return -ENOENT;
    switch (verb) {
    case JOB_DO_PAUSE:
        if (job->status >= JOB_WAITING)
            return not_now(job, "paused", err);
        if (job->user_paused)
            return bp_fail(err, EBUSY, "job '%s' is paused already", id);
        job->user_paused = true;
        break;
    case JOB_DO_RESUME:
        if (!job->user_paused && !job->paused_by_error)
            return bp_fail(err, EBUSY, "job '%s' is not paused", id);
        job->user_paused = job->paused_by_error = false;
        job->io_status = 0;
        break;
    case JOB_DO_CANCEL:
        if (job->status >= JOB_ABORTING)
            return not_now(job, "cancelled", err);
        if ((job->user_paused || (job->paused_by_error && job->ready)) && !force)
            return bp_fail(err, EBUSY, "job '%s' is paused: it can be cancelled by force, or after it was resumed", id);
        if (job->ready && !force && job->status < JOB_WAITING)
            job->soft = true;
        else
            job->cancelled = true;
        break;
    case JOB_DO_COMPLETE:
        if (!job->class->completes || !job->ready || job->status >= JOB_WAITING)
            return bp_fail(err, EBUSY, "job '%s' is not ready: it cannot be completed", id);
        if (job->user_paused || job->paused_by_error)
            return bp_fail(err, EBUSY, "job '%s' is paused%s: it can be completed after it was resumed", id,
                           job->paused_by_error ? " by an error" : "");
        if (job->class->complete) {
            int ret = job->class->complete(job, err);

            if (ret < 0)
                return ret;
        }
        job->completing = true;
        break;
    case JOB_DO_FINALIZE:
        if (job->status != JOB_PENDING || is_to_be_finalized(job))
            return not_now(job, "finalized", err);
        job->finalizing = true;
        if (job->group) { /* one word is for all of them */
            job->group->finalizing = true;
            wake_group(job->group);
        }
        break;
    case JOB_DO_DISMISS:
        if (job->status != JOB_CONCLUDED)
            return bp_fail(err, EBUSY, "job '%s' is %s: it can be dismissed when it has ended", id,
                           states[job->status + 1]);
        set_status(job, JOB_NULL);
        forget(job);
        return 0;
    }
    bp_co_queue_wake_all(job->wake);
    return 0;
}

int job_set_speed(const char *id, int64_t speed, struct bp_error *err)
{
    struct job *job = job_find(id, err);

    if (!job)
        return -ENOENT;
    if (speed < 0)
        return bp_fail(err, EINVAL, "member 'speed' expects bytes a second, 0 for no limit");
    if (!job->class->block)
        return bp_fail(err, ENOTSUP, "job '%s' has no speed", id);
    job->speed = (uint64_t)speed;
    job->slice_since = bp_clock_ns(BP_CLOCK_REALTIME);
    job->slice_bytes = 0;
    bp_co_queue_wake_all(job->wake);
    return 0;
}

void jobs_end(void)
{
    while (block_jobs) {
        struct job *job = block_jobs;

        if (job->status < JOB_CONCLUDED && job->class->drop)
            job->class->drop(job);
        block_jobs = job->next; /* its coroutine does not run again */
    }
}
