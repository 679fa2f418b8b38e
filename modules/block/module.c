/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Module `block`: interface block/1, the options of disks, their QMP and monitor commands. */
#include <stdlib.h>

#include "commands.h"
#include "schemas.h"

static const struct bp_field flat_args[] = {
    BP_ARG_OPT("flat", BOOL, "without what is below"), BP_FIELDS_END};
static const struct bp_field stats_args[] = {
    BP_ARG_OPT("query-nodes", BOOL, "of nodes, not of drives"), BP_FIELDS_END};
static const struct bp_field add_args[] = {
    BP_ARG("driver", STRING, "block driver"), BP_ARG("node-name", STRING, "name of the new node"),
    BP_FIELDS_END};
static const struct bp_field del_args[] = {BP_ARG("node-name", STRING, "the node"), BP_FIELDS_END};
static const struct bp_field reopen_args[] = {
    BP_ARG_TYPED("options", LIST, &any_list, 0, "of each node, as for blockdev-add"), BP_FIELDS_END};
static const struct bp_field resize_args[] = {
    BP_ARG_OPT("device", STRING, "the drive"), BP_ARG_OPT("node-name", STRING, "or the node"),
    BP_ARG("size", SIZE, "its new length, in bytes"), BP_FIELDS_END};
static const struct bp_field threshold_args[] = {
    BP_ARG("node-name", STRING, "the node"),
    BP_ARG("write-threshold", UINT64, "bytes from the beginning; 0: none"), BP_FIELDS_END};
/* Drives are told apart by their devices: not every drive has a name. */
static const char *const going[] = {"deprecated", NULL};
#define DEVICE_ARG {.name = "device", .kind = BP_KIND_STRING, .flags = BP_FIELD_OPTIONAL, .help = "the drive", \
                    .features = going}
static const struct bp_field eject_args[] = {
    DEVICE_ARG, BP_ARG_OPT("id", STRING, "the device"),
    BP_ARG_OPT("force", BOOL, "also when the guest has locked it"), BP_FIELDS_END};
static const struct bp_field close_args[] = {
    DEVICE_ARG, BP_ARG_OPT("id", STRING, "the device"),
    BP_FIELDS_END};
static const struct bp_field insert_args[] = {
    BP_ARG("id", STRING, "the device"), BP_ARG("node-name", STRING, "the node"), BP_FIELDS_END};
static const struct bp_field remove_args[] = {BP_ARG("id", STRING, "the device"), BP_FIELDS_END};
static const char *const change_modes[] = {"retain", "read-only", "read-write", NULL};
static const struct bp_schema change_mode = {"BlockdevChangeReadOnlyMode", BP_KIND_ENUM,
                                             .choices = change_modes};
static const struct bp_field change_args[] = {
    DEVICE_ARG, BP_ARG_OPT("id", STRING, "the device"),
    BP_ARG("filename", STRING, "image of the new medium"),
    BP_ARG_OPT("format", STRING, "its format; without it, it is found out"),
    BP_ARG_OPT("force", BOOL, "also when the guest has locked the tray"),
    BP_ARG_TYPED("read-only-mode", ENUM, &change_mode, BP_FIELD_OPTIONAL, "may it be written to"),
    BP_FIELDS_END};

static const struct bp_field create_args[] = {
    BP_ARG("job-id", STRING, "name of the job"),
    BP_ARG("options", ANY, "driver, size, file and what else the driver knows"), BP_FIELDS_END};

#define LIMIT_ARG(NAME) BP_ARG_OPT(NAME, INT64, "a limit; 0: none")
static const struct bp_field throttle_args[] = {
    DEVICE_ARG, BP_ARG_OPT("id", STRING, "the device"),
    BP_ARG("bps", INT64, "bytes a second; 0: no limit"), BP_ARG("bps_rd", INT64, "the same for reads"),
    BP_ARG("bps_wr", INT64, "the same for writes"), BP_ARG("iops", INT64, "requests a second"),
    BP_ARG("iops_rd", INT64, "the same for reads"), BP_ARG("iops_wr", INT64, "the same for writes"),
    LIMIT_ARG("bps_max"), LIMIT_ARG("bps_rd_max"), LIMIT_ARG("bps_wr_max"), LIMIT_ARG("iops_max"),
    LIMIT_ARG("iops_rd_max"), LIMIT_ARG("iops_wr_max"), LIMIT_ARG("bps_max_length"),
    LIMIT_ARG("bps_rd_max_length"), LIMIT_ARG("bps_wr_max_length"), LIMIT_ARG("iops_max_length"),
    LIMIT_ARG("iops_rd_max_length"), LIMIT_ARG("iops_wr_max_length"), LIMIT_ARG("iops_size"),
    BP_ARG_OPT("group", STRING, "drives of one group share the limits"), BP_FIELDS_END};

#define WAITS BP_COMMAND_COROUTINE
BP_COMMAND(cmd_throttle, "block_set_io_throttle", "limit bytes and requests a second of a drive",
           throttle_args, NONE, NULL, qmp_set_io_throttle, BP_COMMAND_RAW | WAITS);
BP_COMMAND(cmd_query_block, "query-block", "list drives and disks", NULL, LIST, &block_info_list,
           qmp_query_block, WAITS);
BP_COMMAND(cmd_query_nodes, "query-named-block-nodes", "list block nodes", flat_args, LIST,
           &device_info_list, qmp_query_named_block_nodes, WAITS);
BP_COMMAND(cmd_query_stats, "query-blockstats", "count what disks did", stats_args, LIST,
           &block_stats_list, qmp_query_blockstats, WAITS);
BP_COMMAND(cmd_add, "blockdev-add", "make a block node", add_args, NONE, NULL, qmp_blockdev_add,
           BP_COMMAND_RAW | BP_COMMAND_ANY_ARGS | WAITS);
BP_COMMAND(cmd_create, "blockdev-create", "start a job that makes an image", create_args, NONE, NULL,
           qmp_blockdev_create, 0);
BP_COMMAND(cmd_del, "blockdev-del", "remove a block node", del_args, NONE, NULL, qmp_blockdev_del,
           WAITS);
BP_COMMAND(cmd_reopen, "blockdev-reopen", "change the options of block nodes", reopen_args, NONE, NULL,
           qmp_blockdev_reopen, WAITS);
BP_COMMAND(cmd_resize, "block_resize", "change the length of a disk", resize_args, NONE, NULL,
           qmp_block_resize, WAITS);
BP_COMMAND(cmd_threshold, "block-set-write-threshold", "tell when a write goes beyond an offset",
           threshold_args, NONE, NULL, qmp_write_threshold, 0);
BP_COMMAND(cmd_eject, "eject", "take the medium out of a removable device", eject_args, NONE, NULL,
           qmp_eject, WAITS);
BP_COMMAND(cmd_open_tray, "blockdev-open-tray", "open a tray, or ask the guest to", eject_args, NONE,
           NULL, qmp_open_tray, WAITS);
BP_COMMAND(cmd_close_tray, "blockdev-close-tray", "close a tray", close_args, NONE, NULL,
           qmp_close_tray, WAITS);
BP_COMMAND(cmd_insert, "blockdev-insert-medium", "put a node into an open tray", insert_args, NONE,
           NULL, qmp_insert_medium, WAITS);
BP_COMMAND(cmd_remove, "blockdev-remove-medium", "take the medium out of an open tray", remove_args,
           NONE, NULL, qmp_remove_medium, WAITS);
BP_COMMAND(cmd_change, "blockdev-change-medium", "put another image into a removable device",
           change_args, NONE, NULL, qmp_change_medium, WAITS);

/* The process ends: what was written is flushed, locks are given back. */
static void end(void)
{
    blk_flush_all();
    jobs_end();
    drive_free_all();
    for (struct bp_block_node *n = block_nodes, *next; n; n = next) {
        next = n->next;
        if (n->named) {
            n->named = false;
            node_unref(n);
            next = block_nodes; /* others went with it */
        }
    }
}

BP_DECLARE_KIND("block-driver", "Block drivers");
BP_DECLARE_KIND("block-aio", "Asynchronous I/O of the host");
BP_MODULE_WITH_FINI(
    "block", "Disks and their images", BP_NO_IMPORTS, NULL, end, {BP_PROVIDE_KIND, &block_kind},
    {BP_PROVIDE_KIND, &block_aio_kind}, {BP_PROVIDE_INTERFACE, &block_interface},
    {BP_PROVIDE_OPTION, &option_blockdev}, {BP_PROVIDE_OPTION, &option_drive},
    {BP_PROVIDE_OPTION, &option_hda}, {BP_PROVIDE_OPTION, &option_hdb},
    {BP_PROVIDE_OPTION, &option_hdc}, {BP_PROVIDE_OPTION, &option_hdd},
    {BP_PROVIDE_OPTION, &option_cdrom}, {BP_PROVIDE_OPTION, &option_fda},
    {BP_PROVIDE_OPTION, &option_fdb}, {BP_PROVIDE_OPTION, &option_pflash},
    {BP_PROVIDE_OPTION, &option_mtdblock}, {BP_PROVIDE_OPTION, &option_sd},
    {BP_PROVIDE_OPTION, &option_snapshot}, {BP_PROVIDE_EVENT, &block_io_error_event},
    {BP_PROVIDE_EVENT, &block_threshold_event}, {BP_PROVIDE_EVENT, &block_tray_event},
    {BP_PROVIDE_EVENT, &block_corrupted_event}, {BP_PROVIDE_COMMAND, &cmd_query_block},
    {BP_PROVIDE_COMMAND, &cmd_query_nodes}, {BP_PROVIDE_COMMAND, &cmd_query_stats},
    {BP_PROVIDE_EVENT, &job_status_event}, {BP_PROVIDE_COMMAND, &cmd_create}, {BP_PROVIDE_COMMAND, &cmd_add},
        {BP_PROVIDE_COMMAND, &cmd_del},
    {BP_PROVIDE_COMMAND, &cmd_reopen},
    {BP_PROVIDE_COMMAND, &cmd_resize}, {BP_PROVIDE_COMMAND, &cmd_threshold},
    {BP_PROVIDE_COMMAND, &cmd_eject}, {BP_PROVIDE_COMMAND, &cmd_open_tray},
    {BP_PROVIDE_COMMAND, &cmd_close_tray}, {BP_PROVIDE_COMMAND, &cmd_insert},
    {BP_PROVIDE_COMMAND, &cmd_remove}, {BP_PROVIDE_COMMAND, &cmd_change},
    {BP_PROVIDE_COMMAND, &cmd_throttle}, {BP_PROVIDE_HMP, &hmp_info_block},
    {BP_PROVIDE_HMP, &hmp_info_blockstats}, {BP_PROVIDE_HMP, &hmp_drive_add},
    {BP_PROVIDE_HMP, &hmp_drive_del}, {BP_PROVIDE_HMP, &hmp_commit},
    {BP_PROVIDE_HMP, &hmp_block_resize}, {BP_PROVIDE_HMP, &hmp_eject}, {BP_PROVIDE_HMP, &hmp_change},
    {BP_PROVIDE_EVENT, &job_completed_event}, {BP_PROVIDE_EVENT, &job_cancelled_event},
    {BP_PROVIDE_EVENT, &job_ready_event}, {BP_PROVIDE_EVENT, &job_pending_event},
    {BP_PROVIDE_EVENT, &job_error_event}, {BP_PROVIDE_COMMAND, &cmd_stream}, {BP_PROVIDE_COMMAND, &cmd_commit},
    {BP_PROVIDE_COMMAND, &cmd_drive_mirror}, {BP_PROVIDE_COMMAND, &cmd_mirror},
    {BP_PROVIDE_COMMAND, &cmd_drive_backup}, {BP_PROVIDE_COMMAND, &cmd_backup},
    {BP_PROVIDE_COMMAND, &cmd_job_pause}, {BP_PROVIDE_COMMAND, &cmd_job_resume},
    {BP_PROVIDE_COMMAND, &cmd_job_cancel}, {BP_PROVIDE_COMMAND, &cmd_job_complete},
    {BP_PROVIDE_COMMAND, &cmd_job_finalize}, {BP_PROVIDE_COMMAND, &cmd_dismiss},
    {BP_PROVIDE_COMMAND, &cmd_bj_pause}, {BP_PROVIDE_COMMAND, &cmd_bj_resume},
    {BP_PROVIDE_COMMAND, &cmd_bj_cancel}, {BP_PROVIDE_COMMAND, &cmd_bj_complete},
    {BP_PROVIDE_COMMAND, &cmd_bj_finalize}, {BP_PROVIDE_COMMAND, &cmd_bj_dismiss},
    {BP_PROVIDE_COMMAND, &cmd_bj_speed}, {BP_PROVIDE_COMMAND, &cmd_jobs},
    {BP_PROVIDE_COMMAND, &cmd_block_jobs}, {BP_PROVIDE_COMMAND, &cmd_snapshot},
    {BP_PROVIDE_COMMAND, &cmd_snapshot_sync}, {BP_PROVIDE_COMMAND, &cmd_internal},
    {BP_PROVIDE_COMMAND, &cmd_delete_internal}, {BP_PROVIDE_COMMAND, &cmd_change_backing},
    {BP_PROVIDE_COMMAND, &cmd_blockdev_change}, {BP_PROVIDE_COMMAND, &cmd_transaction},
    {BP_PROVIDE_COMMAND, &cmd_bitmap_add}, {BP_PROVIDE_COMMAND, &cmd_bitmap_remove},
    {BP_PROVIDE_COMMAND, &cmd_bitmap_clear}, {BP_PROVIDE_COMMAND, &cmd_bitmap_enable},
    {BP_PROVIDE_COMMAND, &cmd_bitmap_disable}, {BP_PROVIDE_COMMAND, &cmd_bitmap_merge},
    {BP_PROVIDE_HMP, &hmp_stream}, {BP_PROVIDE_HMP, &hmp_mirror}, {BP_PROVIDE_HMP, &hmp_backup},
    {BP_PROVIDE_HMP, &hmp_snapshot}, {BP_PROVIDE_HMP, &hmp_internal}, {BP_PROVIDE_HMP, &hmp_delete_internal},
    {BP_PROVIDE_HMP, &hmp_job_pause}, {BP_PROVIDE_HMP, &hmp_job_resume}, {BP_PROVIDE_HMP, &hmp_job_complete},
    {BP_PROVIDE_HMP, &hmp_job_cancel}, {BP_PROVIDE_HMP, &hmp_job_speed}, {BP_PROVIDE_HMP, &hmp_info_jobs},
    {BP_PROVIDE_COMMAND, &cmd_histogram}, {BP_PROVIDE_HMP, &hmp_throttle});
