/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the queries return. */
#ifndef BLOCK_SCHEMAS_H
#define BLOCK_SCHEMAS_H

#include <bp/schema.h>

static const struct bp_schema any_list BP_UNUSED = {"anyList", BP_KIND_LIST, .element_kind = BP_KIND_ANY};

static const char *const job_states[] = {"undefined", "created", "running", "paused", "ready", "standby", "waiting",
                                         "pending", "aborting", "concluded", "null", NULL};
static const struct bp_schema job_state_schema = {"JobStatus", BP_KIND_ENUM, .choices = job_states};
static const struct bp_field job_members[] = {
    BP_ARG("id", STRING, "the job"), BP_ARG("type", STRING, "what it does"),
    BP_ARG_TYPED("status", ENUM, &job_state_schema, 0, "its state"),
    BP_ARG("current-progress", INT64, "how far it is"), BP_ARG("total-progress", INT64, "of how much"),
    BP_ARG_OPT("error", STRING, "why it failed"), BP_ARG_OPT("x-rate", UINT64, "bytes a second"),
    BP_ARG_OPT("x-seconds-left", UINT64, "until it has done all, at that rate"), BP_FIELDS_END};
static const struct bp_schema job_schema = {"JobInfo", BP_KIND_STRUCT, .members = job_members};
static const struct bp_schema job_list BP_UNUSED = {
    "JobInfoList", BP_KIND_LIST, .element_kind = BP_KIND_STRUCT, .element = &job_schema};

static const struct bp_field image_members[] = {
    BP_ARG("filename", STRING, "the image"), BP_ARG("format", STRING, "its format"),
    BP_ARG("virtual-size", INT64, "bytes that the guest sees"),
    BP_ARG_OPT("actual-size", INT64, "bytes that it takes on the host"),
    BP_ARG_OPT("dirty-flag", BOOL, "it was not closed in good order"),
    BP_ARG_OPT("cluster-size", INT64, "bytes"), BP_ARG_OPT("encrypted", BOOL, "it is encrypted"),
    BP_ARG_OPT("backing-filename", STRING, "what it is based on"),
    BP_ARG_OPT("full-backing-filename", STRING, "the same"),
    BP_ARG_OPT("backing-filename-format", STRING, "its format"),
    BP_ARG_OPT("snapshots", ANY, "snapshots in the image"),
    BP_ARG_OPT("backing-image", ANY, "the same for what it is based on"),
    BP_ARG_OPT("format-specific", ANY, "what only its format has"), BP_FIELDS_END};
static const struct bp_schema image_schema = {"ImageInfo", BP_KIND_STRUCT, .members = image_members};
static const struct bp_field cache_members[] = {
    BP_ARG("writeback", BOOL, "the guest sees a volatile write cache"),
    BP_ARG("direct", BOOL, "the host's page cache is avoided"),
    BP_ARG("no-flush", BOOL, "flushes are ignored"), BP_FIELDS_END};
static const struct bp_schema cache_schema = {"BlockdevCacheInfo", BP_KIND_STRUCT,
                                              .members = cache_members};
static const char *const detect_names[] = {"off", "on", "unmap", NULL};
static const struct bp_schema detect_schema = {"BlockdevDetectZeroesOptions", BP_KIND_ENUM,
                                               .choices = detect_names};
#define LIMIT_FIELD(NAME) BP_ARG_OPT(NAME, INT64, "a limit")
static const struct bp_field device_members[] = {
    BP_ARG("file", STRING, "the image"), BP_ARG_OPT("node-name", STRING, "the node"),
    BP_ARG("ro", BOOL, "read-only"), BP_ARG("drv", STRING, "its driver"),
    BP_ARG_OPT("backing_file", STRING, "what it is based on"),
    BP_ARG("backing_file_depth", INT64, "how many are below each other"),
    BP_ARG("active", BOOL, "this process has it"), BP_ARG("encrypted", BOOL, "it is encrypted"),
    BP_ARG_TYPED("detect_zeroes", ENUM, &detect_schema, 0, "what happens to writes of zeroes"),
    BP_ARG("bps", INT64, "limit of bytes a second"), BP_ARG("bps_rd", INT64, "the same for reads"),
    BP_ARG("bps_wr", INT64, "the same for writes"), BP_ARG("iops", INT64, "limit of requests a second"),
    BP_ARG("iops_rd", INT64, "the same for reads"), BP_ARG("iops_wr", INT64, "the same for writes"),
    LIMIT_FIELD("bps_max"), LIMIT_FIELD("bps_rd_max"), LIMIT_FIELD("bps_wr_max"),
    LIMIT_FIELD("iops_max"), LIMIT_FIELD("iops_rd_max"), LIMIT_FIELD("iops_wr_max"),
    LIMIT_FIELD("bps_max_length"), LIMIT_FIELD("bps_rd_max_length"), LIMIT_FIELD("bps_wr_max_length"),
    LIMIT_FIELD("iops_max_length"), LIMIT_FIELD("iops_rd_max_length"),
    LIMIT_FIELD("iops_wr_max_length"), LIMIT_FIELD("iops_size"),
    BP_ARG_OPT("group", STRING, "group of the limits"),
    BP_ARG_OPT("dirty-bitmaps", ANY, "bitmaps of what was written to"),
    BP_ARG_TYPED("image", STRUCT, &image_schema, 0, "the image"),
    BP_ARG_TYPED("cache", STRUCT, &cache_schema, 0, "how it is cached"),
    BP_ARG("write_threshold", INT64, "offset beyond which a write is told of; 0: none"), BP_FIELDS_END};
static const struct bp_schema device_schema = {"BlockDeviceInfo", BP_KIND_STRUCT,
                                               .members = device_members};
static const struct bp_schema device_info_list BP_UNUSED = {
    "BlockDeviceInfoList", BP_KIND_LIST, .element_kind = BP_KIND_STRUCT, .element = &device_schema};

static const char *const io_status_names[] = {"ok", "failed", "nospace", NULL};
static const struct bp_schema io_status_schema = {"BlockDeviceIoStatus", BP_KIND_ENUM,
                                                  .choices = io_status_names};
static const struct bp_field info_members[] = {
    BP_ARG("device", STRING, "the drive; empty: a node is used by its name"),
    BP_ARG_OPT("qdev", STRING, "id or path of the device"), BP_ARG("type", STRING, "always \"unknown\""),
    BP_ARG("removable", BOOL, "it takes other media"), BP_ARG("locked", BOOL, "the guest has locked it"),
    BP_ARG_OPT("tray_open", BOOL, "its tray is open"),
    BP_ARG_TYPED("io-status", ENUM, &io_status_schema, BP_FIELD_OPTIONAL, "did a request stop it"),
    BP_ARG_TYPED("inserted", STRUCT, &device_schema, BP_FIELD_OPTIONAL, "what is in it"), BP_FIELDS_END};
static const struct bp_schema info_schema = {"BlockInfo", BP_KIND_STRUCT, .members = info_members};
static const struct bp_schema block_info_list BP_UNUSED = {
    "BlockInfoList", BP_KIND_LIST, .element_kind = BP_KIND_STRUCT, .element = &info_schema};

#define COUNT_FIELD(NAME) BP_ARG(NAME, INT64, "a count")
static const struct bp_field counter_members[] = {
    COUNT_FIELD("rd_bytes"), COUNT_FIELD("wr_bytes"), COUNT_FIELD("unmap_bytes"),
    COUNT_FIELD("rd_operations"), COUNT_FIELD("wr_operations"), COUNT_FIELD("flush_operations"),
    COUNT_FIELD("unmap_operations"), COUNT_FIELD("rd_total_time_ns"), COUNT_FIELD("wr_total_time_ns"),
    COUNT_FIELD("flush_total_time_ns"), COUNT_FIELD("unmap_total_time_ns"), COUNT_FIELD("rd_merged"),
    COUNT_FIELD("wr_merged"), COUNT_FIELD("unmap_merged"), COUNT_FIELD("failed_rd_operations"),
    COUNT_FIELD("failed_wr_operations"), COUNT_FIELD("failed_flush_operations"),
    COUNT_FIELD("failed_unmap_operations"), COUNT_FIELD("invalid_rd_operations"),
    COUNT_FIELD("invalid_wr_operations"), COUNT_FIELD("invalid_flush_operations"),
    COUNT_FIELD("invalid_unmap_operations"), COUNT_FIELD("wr_highest_offset"),
    BP_ARG_OPT("idle_time_ns", INT64, "since the last request"),
    BP_ARG("account_invalid", BOOL, "invalid requests count"),
    BP_ARG("account_failed", BOOL, "failed requests count"),
    BP_ARG_TYPED("timed_stats", LIST, &any_list, 0, "none are kept"),
    BP_ARG_OPT("rd_latency_histogram", ANY, "how long reads took"),
    BP_ARG_OPT("wr_latency_histogram", ANY, "how long writes took"),
    BP_ARG_OPT("flush_latency_histogram", ANY, "how long flushes took"), BP_FIELDS_END};
static const struct bp_schema counter_schema = {"BlockDeviceStats", BP_KIND_STRUCT,
                                                .members = counter_members};
static const struct bp_field stats_members[] = {
    BP_ARG_OPT("device", STRING, "the drive"), BP_ARG_OPT("qdev", STRING, "path of the device"),
    BP_ARG_OPT("node-name", STRING, "the node"),
    BP_ARG_TYPED("stats", STRUCT, &counter_schema, 0, "counts"),
    BP_ARG_OPT("parent", ANY, "the same for what holds the image"),
    BP_ARG_OPT("backing", ANY, "the same for what it is based on"), BP_FIELDS_END};
static const struct bp_schema stats_schema = {"BlockStats", BP_KIND_STRUCT, .members = stats_members};
static const struct bp_schema block_stats_list BP_UNUSED = {
    "BlockStatsList", BP_KIND_LIST, .element_kind = BP_KIND_STRUCT, .element = &stats_schema};

#endif
