/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The functions of the module's commands. */
#ifndef BLOCK_COMMANDS_H
#define BLOCK_COMMANDS_H

#include "events.h"

/* query.c */
int qmp_query_block(struct bp_value **ret_value, struct bp_error *err);
int qmp_query_named_block_nodes(bool has_flat, bool flat, struct bp_value **ret_value,
                                struct bp_error *err);
int qmp_query_blockstats(bool has_nodes, bool nodes, struct bp_value **ret_value, struct bp_error *err);
struct bp_value *image_info(struct bp_block_node *node, bool chain); /* ImageInfo */
const char *node_shown_name(const struct bp_block_node *node);

/* qmp.c */
int qmp_blockdev_add(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err);
int qmp_blockdev_del(const char *node_name, struct bp_error *err);
int qmp_blockdev_reopen(struct bp_value *list, struct bp_error *err);
int qmp_block_resize(const char *device, const char *node_name, uint64_t size, struct bp_error *err);
int qmp_write_threshold(const char *node_name, uint64_t threshold, struct bp_error *err);
int block_commit(const char *device, struct bp_error *err);

/* job.c */
int qmp_blockdev_create(const char *id, struct bp_value *options, struct bp_error *err);
int qmp_query_jobs(struct bp_value **ret_value, struct bp_error *err);
int qmp_query_block_jobs(struct bp_value **ret_value, struct bp_error *err);
enum job_verb { JOB_DO_PAUSE, JOB_DO_RESUME, JOB_DO_CANCEL, JOB_DO_COMPLETE, JOB_DO_FINALIZE, JOB_DO_DISMISS };
int job_do(const char *id, enum job_verb verb, bool force, struct bp_error *err);
int job_set_speed(const char *id, int64_t speed, struct bp_error *err);
void jobs_end(void);

/* histogram.c */
void histograms_free(struct bp_blk *blk);
void histograms_count(struct bp_blk *blk, enum bp_block_op op, uint64_t ns);
void histograms_show(struct bp_blk *blk, struct bp_value *to);
int qmp_histogram_set(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err);
extern const struct bp_command cmd_histogram;

/* snapshot.c */
int qmp_snapshot(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err);
int qmp_snapshot_sync(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err);
int qmp_snapshot_internal(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err);
int qmp_snapshot_delete_internal(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err);
int qmp_change_backing(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err);
int qmp_blockdev_change(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err);
int qmp_transaction(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err);

/* job-commands.c */
extern const struct bp_command cmd_stream, cmd_commit, cmd_drive_mirror, cmd_mirror, cmd_drive_backup,
    cmd_backup, cmd_job_pause, cmd_job_resume, cmd_job_cancel, cmd_job_complete, cmd_job_finalize, cmd_dismiss,
    cmd_bj_pause, cmd_bj_resume, cmd_bj_cancel, cmd_bj_complete, cmd_bj_finalize, cmd_bj_dismiss, cmd_bj_speed,
    cmd_jobs, cmd_block_jobs, cmd_snapshot, cmd_snapshot_sync, cmd_internal, cmd_delete_internal,
    cmd_change_backing, cmd_blockdev_change, cmd_transaction, cmd_bitmap_add, cmd_bitmap_remove,
    cmd_bitmap_clear, cmd_bitmap_enable, cmd_bitmap_disable, cmd_bitmap_merge;
extern const struct bp_hmp_command hmp_stream, hmp_mirror, hmp_backup, hmp_snapshot, hmp_internal,
    hmp_delete_internal, hmp_job_pause, hmp_job_resume, hmp_job_complete, hmp_job_cancel, hmp_job_speed,
    hmp_info_jobs;

/* media.c */
struct bp_blk *medium_blk(const char *device, const char *id, struct bp_error *err);
int qmp_eject(const char *device, const char *id, bool has_force, bool force, struct bp_error *err);
int qmp_open_tray(const char *device, const char *id, bool has_force, bool force, struct bp_error *err);
int qmp_close_tray(const char *device, const char *id, struct bp_error *err);
int qmp_insert_medium(const char *id, const char *node_name, struct bp_error *err);
int qmp_remove_medium(const char *id, struct bp_error *err);
int qmp_change_medium(const char *device, const char *id, const char *filename, const char *format,
                      bool has_force, bool force, bool has_mode, int mode, struct bp_error *err);
bool blk_tray_is_open(struct bp_blk *blk);

/* hmp.c */
extern const struct bp_hmp_command hmp_info_block, hmp_info_blockstats, hmp_drive_add, hmp_drive_del,
    hmp_commit, hmp_block_resize, hmp_eject, hmp_change, hmp_throttle;

/* options.c: a key of -drive from text */
int drive_set_key(struct bp_value *args, const char *key, const char *text, struct bp_error *err);

/* throttle-command.c */
void blk_note_limits(struct bp_blk *blk, struct bp_value *limits, const char *group);
int qmp_set_io_throttle(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err);
#endif
