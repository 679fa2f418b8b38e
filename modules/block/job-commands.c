/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands of jobs, snapshots and bitmaps, of QMP and of the monitor. [main] */
#define BP_SHARED
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "jobs.h"
#include "schemas.h"

/* ---- what begins a job ---- */

static int start(int ret, struct job **job, struct bp_value **ret_value, struct bp_error *err)
{
    if (ret == 0)
        ret = job_start(*job, err);
    *ret_value = ret == 0 ? bp_value_dict() : NULL;
    return ret;
}

static int qmp_stream(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    struct job *job = NULL;

    return start(stream_new(args, &job, err), &job, ret_value, err);
}

static int qmp_commit(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    struct job *job = NULL;

    return start(commit_new(args, &job, err), &job, ret_value, err);
}

static int qmp_drive_mirror(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    struct job *job = NULL;

    return start(mirror_new(args, true, &job, err), &job, ret_value, err);
}

static int qmp_blockdev_mirror(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    struct job *job = NULL;

    return start(mirror_new(args, false, &job, err), &job, ret_value, err);
}

static int qmp_drive_backup(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    struct job *job = NULL;

    return start(backup_new(args, true, &job, err), &job, ret_value, err);
}

static int qmp_blockdev_backup(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    struct job *job = NULL;

    return start(backup_new(args, false, &job, err), &job, ret_value, err);
}

#define JOB_ARGS(ID_HELP) \
    BP_ARG_OPT("job-id", STRING, ID_HELP), BP_ARG_OPT("speed", UINT64, "bytes a second; 0: no limit"), \
    BP_ARG_OPT("auto-finalize", BOOL, "off: waits for job-finalize at its end"), \
    BP_ARG_OPT("auto-dismiss", BOOL, "off: stays in query-jobs until job-dismiss")
#define USUAL_ID "name of the job; without it, the device's"
#define ON_ERROR(NAME) BP_ARG_OPT(NAME, STRING, "report, ignore, enospc or stop")

static const struct bp_field stream_args[] = {
    BP_ARG("device", STRING, "drive or node whose image it is"), BP_ARG_OPT("base", STRING, "file that stays below"),
    BP_ARG_OPT("base-node", STRING, "node that stays below"),
    BP_ARG_OPT("bottom", STRING, "last node that goes away"),
    BP_ARG_OPT("backing-file", STRING, "what the image says of the base"), ON_ERROR("on-error"), JOB_ARGS(USUAL_ID),
    BP_FIELDS_END};
static const struct bp_field commit_args[] = {
    BP_ARG("device", STRING, "drive or node at the top of the chain"), BP_ARG_OPT("top", STRING,
        "file of the first image"),
    BP_ARG_OPT("top-node", STRING, "node of the first image; without it, the active one"),
    BP_ARG_OPT("base", STRING, "file of the image that it goes into"),
    BP_ARG_OPT("base-node", STRING, "node of that; without it, the lowest"),
    BP_ARG_OPT("backing-file", STRING, "what the image above says of the base"), ON_ERROR("on-error"),
    JOB_ARGS(USUAL_ID), BP_FIELDS_END};
#define MIRROR_ARGS \
    BP_ARG("device", STRING, "drive or node that is copied"), BP_ARG("sync", STRING, "full, top or none"), \
    BP_ARG_OPT("replaces", STRING, "node that the target replaces in the end"), \
    BP_ARG_OPT("granularity", UINT32, "bytes of a piece"), BP_ARG_OPT("buf-size", UINT64, "bytes copied at once"), \
    BP_ARG_OPT("unmap", BOOL, "zeroes may be holes"), \
    BP_ARG_OPT("copy-mode", STRING, "background or write-blocking"), ON_ERROR("on-source-error"), \
    ON_ERROR("on-target-error"), JOB_ARGS(USUAL_ID)
static const struct bp_field drive_mirror_args[] = {
    BP_ARG("target", STRING, "file of the target"), BP_ARG_OPT("format", STRING,
                                                               "its format; without it, the source's"),
    BP_ARG_OPT("mode", STRING, "absolute-paths: it is made; existing"), BP_ARG_OPT("node-name", STRING, "the target's"),
    MIRROR_ARGS, BP_FIELDS_END};
static const struct bp_field mirror_args[] = {BP_ARG("target", STRING, "node of the target"), MIRROR_ARGS,
                                              BP_FIELDS_END};
#define BACKUP_ARGS \
    BP_ARG("device", STRING, "drive or node that is backed up"), \
    BP_ARG("sync", STRING, "full, top, none, incremental or bitmap"), \
    BP_ARG_OPT("bitmap", STRING, "bitmap of what was written since"), \
    BP_ARG_OPT("bitmap-mode", STRING, "on-success, never or always"), \
    BP_ARG_OPT("compress", BOOL, "the target (qcow2) compresses"), ON_ERROR("on-source-error"), \
    ON_ERROR("on-target-error"), \
    JOB_ARGS(USUAL_ID)
static const struct bp_field drive_backup_args[] = {
    BP_ARG("target", STRING, "file of the target"), BP_ARG_OPT("format", STRING,
                                                               "its format; without it, the source's"),
    BP_ARG_OPT("mode", STRING, "absolute-paths: it is made; existing"), BACKUP_ARGS, BP_FIELDS_END};
static const struct bp_field backup_args[] = {BP_ARG("target", STRING, "node of the target"), BACKUP_ARGS,
                                              BP_FIELDS_END};

#define RAW_WAITS (BP_COMMAND_RAW | BP_COMMAND_COROUTINE)
BP_COMMAND(cmd_stream, "block-stream", "bring what is below an image into it", stream_args, NONE, NULL, qmp_stream,
           RAW_WAITS);
BP_COMMAND(cmd_commit, "block-commit", "bring images of a chain into one below", commit_args, NONE, NULL, qmp_commit,
           RAW_WAITS);
BP_COMMAND(cmd_drive_mirror, "drive-mirror", "copy a disk in use to a file and go on there", drive_mirror_args, NONE,
           NULL,
           qmp_drive_mirror, RAW_WAITS);
BP_COMMAND(cmd_mirror, "blockdev-mirror", "copy a disk in use to a node and go on there", mirror_args, NONE, NULL,
           qmp_blockdev_mirror, RAW_WAITS);
BP_COMMAND(cmd_drive_backup, "drive-backup", "copy a disk as it is now to a file", drive_backup_args, NONE, NULL,
           qmp_drive_backup, RAW_WAITS);
BP_COMMAND(cmd_backup, "blockdev-backup", "copy a disk as it is now to a node", backup_args, NONE, NULL,
           qmp_blockdev_backup, RAW_WAITS);

/* ---- what is asked of one ---- */

#define VERB(FN, VERB) \
    static int qmp_job_##FN(const char *id, struct bp_error *err) \
    { \
        return job_do(id, VERB, false, err); \
    }
VERB(pause, JOB_DO_PAUSE)
VERB(resume, JOB_DO_RESUME)
VERB(complete, JOB_DO_COMPLETE)
VERB(finalize, JOB_DO_FINALIZE)
VERB(dismiss, JOB_DO_DISMISS)

static int qmp_job_cancel(const char *id, struct bp_error *err)
{
    return job_do(id, JOB_DO_CANCEL, true, err);
}

static int qmp_block_job_cancel(const char *device, bool has_force, bool force, struct bp_error *err)
{
    return job_do(device, JOB_DO_CANCEL, has_force && force, err);
}

static int qmp_speed(const char *device, int64_t speed, struct bp_error *err)
{
    return job_set_speed(device, speed, err);
}

static const struct bp_field id_args[] = {BP_ARG("id", STRING, "the job"), BP_FIELDS_END};
static const struct bp_field device_args[] = {BP_ARG("device", STRING, "the job"), BP_FIELDS_END};
static const struct bp_field cancel_args[] = {BP_ARG("device", STRING, "the job"),
                                              BP_ARG_OPT("force", BOOL, "also when it is paused or ready"),
                                                  BP_FIELDS_END};
static const struct bp_field speed_args[] = {BP_ARG("device", STRING, "the job"),
                                             BP_ARG("speed", INT64, "bytes a second; 0: no limit"), BP_FIELDS_END};
BP_COMMAND(cmd_job_pause, "job-pause", "pause a job", id_args, NONE, NULL, qmp_job_pause, 0);
BP_COMMAND(cmd_job_resume, "job-resume", "go on with a paused job", id_args, NONE, NULL, qmp_job_resume, 0);
BP_COMMAND(cmd_job_cancel, "job-cancel", "end a job before its time", id_args, NONE, NULL, qmp_job_cancel, 0);
BP_COMMAND(cmd_job_complete, "job-complete", "finish a job that is ready", id_args, NONE, NULL, qmp_job_complete, 0);
BP_COMMAND(cmd_job_finalize, "job-finalize", "let a pending job end", id_args, NONE, NULL, qmp_job_finalize, 0);
BP_COMMAND(cmd_dismiss, "job-dismiss", "forget a job that has ended", id_args, NONE, NULL, qmp_job_dismiss, 0);
BP_COMMAND(cmd_bj_pause, "block-job-pause", "pause a block job", device_args, NONE, NULL, qmp_job_pause, 0);
BP_COMMAND(cmd_bj_resume, "block-job-resume", "go on with a paused block job", device_args, NONE, NULL, qmp_job_resume,
           0);
BP_COMMAND(cmd_bj_cancel, "block-job-cancel", "end a block job; a ready one without taking the other's place",
           cancel_args,
           NONE, NULL, qmp_block_job_cancel, 0);
BP_COMMAND(cmd_bj_complete, "block-job-complete", "finish a block job that is ready", device_args, NONE, NULL,
           qmp_job_complete, 0);
BP_COMMAND(cmd_bj_finalize, "block-job-finalize", "let a pending block job end", id_args, NONE, NULL, qmp_job_finalize,
           0);
BP_COMMAND(cmd_bj_dismiss, "block-job-dismiss", "forget a block job that has ended", id_args, NONE, NULL,
           qmp_job_dismiss,
           0);
BP_COMMAND(cmd_bj_speed, "block-job-set-speed", "limit a block job's speed", speed_args, NONE, NULL, qmp_speed, 0);

static const struct bp_field block_job_members[] = {
    BP_ARG("type", STRING, "what it does"), BP_ARG("device", STRING, "the job"), BP_ARG("len", INT64,
        "bytes it has to do"),
    BP_ARG("offset", INT64, "how far it is"), BP_ARG("busy", BOOL, "it works"), BP_ARG("paused", BOOL, "it is paused"),
    BP_ARG("speed", INT64, "bytes a second; 0: no limit"), BP_ARG("io-status", STRING, "ok, failed or nospace"),
    BP_ARG("ready", BOOL, "it can be completed"), BP_ARG_TYPED("status", ENUM, &job_state_schema, 0, "its state"),
    BP_ARG("auto-finalize", BOOL, "it ends by itself"), BP_ARG("auto-dismiss", BOOL, "it goes by itself"),
    BP_ARG_OPT("error", STRING, "why it failed"), BP_FIELDS_END};
static const struct bp_schema block_job_schema = {"BlockJobInfo", BP_KIND_STRUCT, .members = block_job_members};
static const struct bp_schema block_job_list = {"BlockJobInfoList", BP_KIND_LIST, .element_kind = BP_KIND_STRUCT,
                                                .element = &block_job_schema};
BP_COMMAND(cmd_jobs, "query-jobs", "list jobs", NULL, LIST, &job_list, qmp_query_jobs, 0);
BP_COMMAND(cmd_block_jobs, "query-block-jobs", "list block jobs", NULL, LIST, &block_job_list, qmp_query_block_jobs, 0);

/* ---- snapshots and chains ---- */

static const struct bp_field snapshot_args[] = {BP_ARG("node", STRING, "node that gets an overlay"),
                                                BP_ARG("overlay", STRING, "node that becomes it"), BP_FIELDS_END};
static const struct bp_field snapshot_sync_args[] = {
    BP_ARG_OPT("device", STRING, "drive that gets an overlay"), BP_ARG_OPT("node-name", STRING, "or node"),
    BP_ARG("snapshot-file", STRING, "file of the overlay"), BP_ARG_OPT("snapshot-node-name", STRING, "its node"),
    BP_ARG_OPT("format", STRING, "qcow2 without it"), BP_ARG_OPT("mode", STRING,
                                                                 "absolute-paths: it is made; existing"),
    BP_FIELDS_END};
static const struct bp_field internal_args[] = {BP_ARG("device", STRING, "drive or node"),
                                                BP_ARG("name", STRING, "of the snapshot"), BP_FIELDS_END};
static const struct bp_field delete_args[] = {
    BP_ARG("device", STRING, "drive or node"), BP_ARG_OPT("id", STRING, "of the snapshot"),
    BP_ARG_OPT("name", STRING, "or its name"), BP_FIELDS_END};
static const struct bp_field backing_args[] = {
    BP_ARG("device", STRING, "drive or node at the top of the chain"),
    BP_ARG("image-node-name", STRING, "image whose header is changed"),
    BP_ARG("backing-file", STRING, "what it is to say"), BP_FIELDS_END};
static const struct bp_field change_args[] = {
    BP_ARG("parent", STRING, "the node"), BP_ARG_OPT("child", STRING, "child that goes"),
    BP_ARG_OPT("node", STRING, "node that becomes a child"), BP_FIELDS_END};
static const struct bp_field transaction_args[] = {
    BP_ARG_TYPED("actions", LIST, &any_list, 0, "each with 'type' and 'data'"),
    BP_ARG_OPT("properties", ANY, "completion-mode: individual or grouped"), BP_FIELDS_END};
BP_COMMAND(cmd_snapshot, "blockdev-snapshot", "put a node above another one", snapshot_args, NONE, NULL, qmp_snapshot,
           RAW_WAITS);
BP_COMMAND(cmd_snapshot_sync, "blockdev-snapshot-sync", "go on in a new image", snapshot_sync_args, NONE, NULL,
           qmp_snapshot_sync, RAW_WAITS);
BP_COMMAND(cmd_internal, "blockdev-snapshot-internal-sync", "take a snapshot within an image", internal_args, NONE,
           NULL,
           qmp_snapshot_internal, RAW_WAITS);
BP_COMMAND(cmd_delete_internal, "blockdev-snapshot-delete-internal-sync", "delete a snapshot within an image",
           delete_args,
           ANY, NULL, qmp_snapshot_delete_internal, RAW_WAITS);
BP_COMMAND(cmd_change_backing, "change-backing-file", "change what an image says of what is below", backing_args, NONE,
           NULL,
           qmp_change_backing, RAW_WAITS);
BP_COMMAND(cmd_blockdev_change, "x-blockdev-change", "give or take a child of a node", change_args, NONE, NULL,
           qmp_blockdev_change, RAW_WAITS);
BP_COMMAND(cmd_transaction, "transaction", "do several things at one moment, or none", transaction_args, NONE, NULL,
           qmp_transaction, RAW_WAITS);

/* ---- bitmaps ---- */

static int bitmap_alone(const char *type, struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    struct bitmap_action *action;
    struct drained drained;
    int ret = drain_begin(NULL, &drained, err);

    if (ret < 0)
        return ret;
    ret = bitmap_do(type, args, &action, err);
    if (ret == 0)
        bitmap_end(action, false);
    drain_end(&drained);
    *ret_value = ret == 0 ? bp_value_dict() : NULL;
    return ret;
}

#define BITMAP(VERB) \
    static int qmp_bitmap_##VERB(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err) \
    { \
        return bitmap_alone("block-dirty-bitmap-" #VERB, args, ret_value, err); \
    }
BITMAP(add)
BITMAP(remove)
BITMAP(clear)
BITMAP(enable)
BITMAP(disable)
BITMAP(merge)

#define NODE_AND_NAME BP_ARG("node", STRING, "drive or node"), BP_ARG("name", STRING, "of the bitmap")
static const struct bp_field bitmap_args[] = {NODE_AND_NAME, BP_FIELDS_END};
static const struct bp_field bitmap_add_args[] = {
    NODE_AND_NAME, BP_ARG_OPT("granularity", UINT32, "bytes of a piece"),
    BP_ARG_OPT("persistent", BOOL, "it is kept in the image"), BP_ARG_OPT("disabled", BOOL, "it does not record yet"),
    BP_FIELDS_END};
static const struct bp_field bitmap_merge_args[] = {
    BP_ARG("node", STRING, "drive or node"), BP_ARG("target", STRING, "bitmap that they come into"),
    BP_ARG_TYPED("bitmaps", LIST, &any_list, 0, "names, or objects with 'node' and 'name'"), BP_FIELDS_END};
BP_COMMAND(cmd_bitmap_add, "block-dirty-bitmap-add", "record where a disk is written to", bitmap_add_args, NONE, NULL,
           qmp_bitmap_add, RAW_WAITS);
BP_COMMAND(cmd_bitmap_remove, "block-dirty-bitmap-remove", "delete a dirty bitmap", bitmap_args, NONE, NULL,
           qmp_bitmap_remove, RAW_WAITS);
BP_COMMAND(cmd_bitmap_clear, "block-dirty-bitmap-clear", "empty a dirty bitmap", bitmap_args, NONE, NULL,
           qmp_bitmap_clear,
           RAW_WAITS);
BP_COMMAND(cmd_bitmap_enable, "block-dirty-bitmap-enable", "let a dirty bitmap record", bitmap_args, NONE, NULL,
           qmp_bitmap_enable, RAW_WAITS);
BP_COMMAND(cmd_bitmap_disable, "block-dirty-bitmap-disable", "let a dirty bitmap stand still", bitmap_args, NONE, NULL,
           qmp_bitmap_disable, RAW_WAITS);
BP_COMMAND(cmd_bitmap_merge, "block-dirty-bitmap-merge", "add dirty bitmaps to one", bitmap_merge_args, NONE, NULL,
           qmp_bitmap_merge, RAW_WAITS);

/* ---- the monitor ---- */

static void report(struct bp_monitor *mon, int ret, const struct bp_error *err)
{
    if (ret < 0)
        bp_monitor_printf(mon, "Error: %s\n", err->message);
}

static void run_hmp(struct bp_monitor *mon, int (*fn)(struct bp_value *, struct bp_value **, struct bp_error *),
                    struct bp_value *args)
{
    struct bp_error err = {0};
    struct bp_value *none = NULL;

    report(mon, fn(args, &none, &err), &err);
    bp_value_unref(none);
}

static void move_flag(struct bp_value *args, const char *flag, const char *key, const char *text)
{
    if (bp_value_as_bool(bp_value_get(args, flag)))
        bp_value_set(args, key, bp_value_string(text));
}

static void hmp_stream_fn(struct bp_monitor *mon, struct bp_value *args)
{
    run_hmp(mon, qmp_stream, args);
}

static void hmp_mirror_fn(struct bp_monitor *mon, struct bp_value *args)
{
    bp_value_set(args, "sync", bp_value_string(bp_value_as_bool(bp_value_get(args, "-f")) ? "full" : "top"));
    move_flag(args, "-n", "mode", "existing");
    run_hmp(mon, qmp_drive_mirror, args);
}

static void hmp_backup_fn(struct bp_monitor *mon, struct bp_value *args)
{
    bp_value_set(args, "sync", bp_value_string(bp_value_as_bool(bp_value_get(args, "-f")) ? "full" : "top"));
    move_flag(args, "-n", "mode", "existing");
    if (bp_value_as_bool(bp_value_get(args, "-c")))
        bp_value_set(args, "compress", bp_value_bool(true));
    run_hmp(mon, qmp_drive_backup, args);
}

static void hmp_snapshot_fn(struct bp_monitor *mon, struct bp_value *args)
{
    move_flag(args, "-n", "mode", "existing");
    run_hmp(mon, qmp_snapshot_sync, args);
}

static void hmp_internal_fn(struct bp_monitor *mon, struct bp_value *args)
{
    run_hmp(mon, qmp_snapshot_internal, args);
}

static void hmp_delete_internal_fn(struct bp_monitor *mon, struct bp_value *args)
{
    run_hmp(mon, qmp_snapshot_delete_internal, args);
}

#define HMP_VERB(FN, WHAT) \
    static void hmp_job_##FN##_fn(struct bp_monitor *mon, struct bp_value *args) \
    { \
        struct bp_error err = {0}; \
        \
        report(mon, job_do(bp_value_get_string(args, "device"), WHAT, bp_value_as_bool(bp_value_get(args, "-f")), \
                           &err), \
               &err); \
    }
HMP_VERB(pause, JOB_DO_PAUSE)
HMP_VERB(resume, JOB_DO_RESUME)
HMP_VERB(complete, JOB_DO_COMPLETE)
HMP_VERB(cancel, JOB_DO_CANCEL)

static void hmp_speed_fn(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_error err = {0};

    report(mon, job_set_speed(bp_value_get_string(args, "device"), (int64_t)bp_value_as_uint(bp_value_get(args,
        "speed")),
                              &err), &err);
}

static void hmp_info_jobs_fn(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_value *list;

    (void)args;
    qmp_query_block_jobs(&list, NULL);
    if (bp_value_length(list) == 0)
        bp_monitor_printf(mon, "No active jobs\n");
    for (size_t i = 0; i < bp_value_length(list); i++) {
        struct bp_value *v = bp_value_at(list, i);

        bp_monitor_printf(mon, "Type %s, device %s: Completed %" PRIu64 " of %" PRIu64 " bytes, speed limit %" PRIu64
                          " bytes/s, %s\n", bp_value_get_string(v, "type"), bp_value_get_string(v, "device"),
                          bp_value_as_uint(bp_value_get(v, "offset")), bp_value_as_uint(bp_value_get(v, "len")),
                          bp_value_as_uint(bp_value_get(v, "speed")), bp_value_get_string(v, "status"));
    }
    bp_value_unref(list);
}

#define FLAG(NAME, HELP) {.name = NAME, .kind = BP_KIND_BOOL, .flags = BP_FIELD_OPTIONAL, .help = HELP}
static const struct bp_field hmp_stream_args[] = {BP_ARG("device", STRING, "the drive"),
                                                  BP_ARG_OPT("speed", SIZE, "bytes a second"),
                                                  BP_ARG_OPT("base", STRING, "file that stays below"), BP_FIELDS_END};
static const struct bp_field hmp_copy_args[] = {
    FLAG("-n", "the target is there"), FLAG("-f", "all of it, not only the top image"),
    BP_ARG("device", STRING, "the drive"), BP_ARG("target", STRING, "file"), BP_ARG_OPT("format", STRING, "its format"),
    BP_FIELDS_END};
static const struct bp_field hmp_backup_args[] = {
    FLAG("-n", "the target is there"), FLAG("-f", "all of it, not only the top image"), FLAG("-c", "compressed"),
    BP_ARG("device", STRING, "the drive"), BP_ARG("target", STRING, "file"), BP_ARG_OPT("format", STRING, "its format"),
    BP_FIELDS_END};
static const struct bp_field hmp_snapshot_args[] = {
    FLAG("-n", "the image is there"), BP_ARG("device", STRING, "the drive"), BP_ARG("snapshot-file", STRING,
        "new image"),
    BP_ARG_OPT("format", STRING, "its format"), BP_FIELDS_END};
static const struct bp_field hmp_internal_args[] = {BP_ARG("device", STRING, "the drive"),
                                                    BP_ARG("name", STRING, "of the snapshot"), BP_FIELDS_END};
static const struct bp_field hmp_delete_args[] = {BP_ARG("device", STRING, "the drive"),
                                                  BP_ARG("name", STRING, "of the snapshot"),
                                                  BP_ARG_OPT("id", STRING, "its id"), BP_FIELDS_END};
static const struct bp_field hmp_job_args[] = {BP_ARG("device", STRING, "the job"), BP_FIELDS_END};
static const struct bp_field hmp_cancel_args[] = {FLAG("-f", "also when it is paused or ready"),
                                                  BP_ARG("device", STRING, "the job"), BP_FIELDS_END};
static const struct bp_field hmp_speed_args[] = {BP_ARG("device", STRING, "the job"),
                                                 BP_ARG("speed", SIZE, "bytes a second"), BP_FIELDS_END};
BP_HMP(hmp_stream, "block_stream", "device [speed [base]]", "bring what is below an image into it", hmp_stream_args,
       hmp_stream_fn);
BP_HMP(hmp_mirror, "drive_mirror", "[-n] [-f] device target [format]", "copy a disk in use and go on there",
       hmp_copy_args,
       hmp_mirror_fn);
BP_HMP(hmp_backup, "drive_backup", "[-n] [-f] [-c] device target [format]", "copy a disk as it is now", hmp_backup_args,
       hmp_backup_fn);
BP_HMP(hmp_snapshot, "snapshot_blkdev", "[-n] device [new-image-file] [format]", "go on in a new image",
       hmp_snapshot_args,
       hmp_snapshot_fn);
BP_HMP(hmp_internal, "snapshot_blkdev_internal", "device name", "take a snapshot within an image", hmp_internal_args,
       hmp_internal_fn);
BP_HMP(hmp_delete_internal, "snapshot_delete_blkdev_internal", "device name [id]", "delete a snapshot within an image",
       hmp_delete_args, hmp_delete_internal_fn);
BP_HMP(hmp_job_pause, "block_job_pause", "device", "pause a block job", hmp_job_args, hmp_job_pause_fn);
BP_HMP(hmp_job_resume, "block_job_resume", "device", "go on with a paused block job", hmp_job_args, hmp_job_resume_fn);
BP_HMP(hmp_job_complete, "block_job_complete", "device", "finish a block job that is ready", hmp_job_args,
       hmp_job_complete_fn);
BP_HMP(hmp_job_cancel, "block_job_cancel", "[-f] device", "end a block job", hmp_cancel_args, hmp_job_cancel_fn);
BP_HMP(hmp_job_speed, "block_job_set_speed", "device speed", "limit a block job's speed", hmp_speed_args, hmp_speed_fn);
BP_HMP(hmp_info_jobs, "info block-jobs", "", "block jobs that run", NULL, hmp_info_jobs_fn);
