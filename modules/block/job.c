/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Jobs: long work in the background, which clients start by command, watch by events and query-jobs, and dismiss when
 * it has ended. What there is: blockdev-create. [main]
 */
#define BP_SHARED
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"

#define MAX_JOBS 1024u

enum job_status { JOB_CREATED, JOB_RUNNING, JOB_WAITING, JOB_PENDING, JOB_ABORTING, JOB_CONCLUDED, JOB_NULL };
static const char *const status_names[] = {"created", "running", "waiting", "pending", "aborting", "concluded", "null",
                                           NULL};

struct job {
    struct job *next;
    char *id;
    const char *type;
    enum job_status status;
    struct bp_error err; /* code 0: none */
    uint64_t done, all;
    struct bp_value *options;
};

static struct job *jobs;

static const char *const states[] = {"undefined", "created", "running", "paused", "ready", "standby", "waiting",
                                     "pending", "aborting", "concluded", "null", NULL};
static const struct bp_schema status_schema = {"JobStatus", BP_KIND_ENUM, .choices = states};
static const struct bp_field status_data[] = {
    BP_ARG("id", STRING, "the job"), BP_ARG_TYPED("status", ENUM, &status_schema, 0, "its new state"), BP_FIELDS_END};
BP_EVENT(job_status_event, "JOB_STATUS_CHANGE", "a job has another state", status_data, 0);

static void set_status(struct job *job, enum job_status status)
{
    struct bp_value *data = bp_value_dict();

    job->status = status;
    bp_value_set(data, "id", bp_value_string(job->id));
    bp_value_set(data, "status", bp_value_string(status_names[status]));
    bp_event_send(&job_status_event, data);
}

static struct job *find(const char *id, struct bp_error *err)
{
    struct job *job = jobs;

    while (job && strcmp(job->id, id) != 0)
        job = job->next;
    if (!job)
        bp_fail(err, ENOENT, "there is no job '%s'", id);
    return job;
}

static void free_job(struct job *job)
{
    struct job **link = &jobs;

    while (*link != job)
        link = &(*link)->next;
    *link = job->next;
    bp_value_unref(job->options);
    free(job->id);
    free(job);
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

/* ---- blockdev-create ---- */

static void create(void *opaque)
{
    struct job *job = opaque;
    int ret;

    set_status(job, JOB_RUNNING);
    ret = image_create(job->options, &job->err);
    job->done = job->all;
    if (ret < 0) {
        if (!job->err.code)
            bp_fail(&job->err, -ret, "%s", strerror(-ret));
        set_status(job, JOB_ABORTING);
    } else {
        set_status(job, JOB_WAITING);
        set_status(job, JOB_PENDING);
    }
    set_status(job, JOB_CONCLUDED);
}

int qmp_blockdev_create(const char *id, struct bp_value *options, struct bp_error *err)
{
    const char *driver = bp_value_get_string(options, "driver");
    const struct bp_block_driver *class;
    struct job *job, **link = &jobs;
    const void *found;
    struct bp_co *co;
    unsigned count = 0;
    int ret;

    if (!well_formed(id))
        return bp_fail(err, EINVAL, "member 'job-id' expects an identifier: letters, digits, '-', '.', '_', starting "
                       "with a letter; not '%.140s'", id);
    if (!driver)
        return bp_fail(err, EINVAL, "member 'driver' of 'options' is missing");
    ret = node_driver_class(driver, &found, err);
    if (ret < 0)
        return ret;
    class = found;
    if (!class->create)
        return bp_fail(err, ENOTSUP, "driver '%s' does not support making images", driver);
    for (; *link; link = &(*link)->next, count++)
        if (!strcmp((*link)->id, id))
            return bp_fail(err, EEXIST, "there is a job '%s' already", id);
    if (count == MAX_JOBS)
        return bp_fail(err, ENOSPC, "there are %u jobs already: dismiss those that have ended", MAX_JOBS);
    job = bp_alloc(sizeof(*job));
    *job = (struct job){.id = bp_strdup(id), .type = "create", .all = 1, .options = bp_value_copy(options)};
    *link = job;
    ret = bp_co_new(NULL, bp_context_main(NULL), "blockdev-create", create, job, &co, err);
    if (ret < 0) {
        free_job(job);
        return ret;
    }
    set_status(job, JOB_CREATED);
    bp_co_enter(co);
    bp_co_unref(co);
    return 0;
}

/* ---- all jobs ---- */

int qmp_query_jobs(struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_value *list = bp_value_list();

    (void)err;
    for (struct job *job = jobs; job; job = job->next) {
        struct bp_value *v = bp_value_dict();

        bp_value_set(v, "id", bp_value_string(job->id));
        bp_value_set(v, "type", bp_value_string(job->type));
        bp_value_set(v, "status", bp_value_string(status_names[job->status]));
        bp_value_set(v, "current-progress", bp_value_uint(job->done));
        bp_value_set(v, "total-progress", bp_value_uint(job->all));
        if (job->err.code)
            bp_value_set(v, "error", bp_value_string(job->err.message));
        bp_value_append(list, v);
    }
    *ret_value = list;
    return 0;
}

int qmp_job_dismiss(const char *id, struct bp_error *err)
{
    struct job *job = find(id, err);

    if (!job)
        return -ENOENT;
    if (job->status != JOB_CONCLUDED)
        return bp_fail(err, EBUSY, "job '%s' is %s: it can be dismissed when it has ended", id,
                       status_names[job->status]);
    set_status(job, JOB_NULL);
    free_job(job);
    return 0;
}

void jobs_end(void)
{
    while (jobs)
        free_job(jobs);
}
