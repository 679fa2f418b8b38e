/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What becomes of requests that failed: werror, rerror, BLOCK_IO_ERROR. [any], in the blk's context */
#define BP_SHARED
#include <errno.h>
#include <string.h>

#include <bp/device.h>
#include <bp/run.h>

#include "events.h"

static const char *const operations[] = {"read", "write", NULL};
static const struct bp_schema operation_schema = {"IoOperationType", BP_KIND_ENUM,
                                                  .choices = operations};
static const char *const actions[] = {"ignore", "report", "stop", NULL};
static const struct bp_schema action_schema = {"BlockErrorAction", BP_KIND_ENUM, .choices = actions};
static const struct bp_field io_error_data[] = {
    BP_ARG("device", STRING, "the drive; empty when a node is used by its name"),
    BP_ARG_OPT("node-name", STRING, "the node at the root"),
    BP_ARG("qom-path", STRING, "the device"),
    BP_ARG_TYPED("operation", ENUM, &operation_schema, 0, "what failed"),
    BP_ARG_TYPED("action", ENUM, &action_schema, 0, "what is done about it"),
    BP_ARG_OPT("nospace", BOOL, "the host's disk is full"),
    BP_ARG("reason", STRING, "for people"), BP_FIELDS_END};
BP_EVENT(block_io_error_event, "BLOCK_IO_ERROR", "a request of a disk failed", io_error_data, 0);

static void tell(struct bp_blk *blk, enum bp_block_op op, int error, int action)
{
    struct bp_value *data = bp_value_dict();
    struct bp_block_node *node = blk->root.node;

    bp_value_set(data, "device", bp_value_string(blk->name ? blk->name : ""));
    if (node)
        bp_value_set(data, "node-name", bp_value_string(node->name));
    bp_value_set(data, "qom-path",
                 bp_value_string(blk->path ? blk->path : ""));
    bp_value_set(data, "operation", bp_value_string(op == BP_BLOCK_READ ? "read" : "write"));
    bp_value_set(data, "action", bp_value_string(action == BP_BLOCK_ON_ERROR_IGNORE ? "ignore"
                                                 : action == BP_BLOCK_ON_ERROR_STOP ? "stop"
                                                                                    : "report"));
    if (action == BP_BLOCK_ON_ERROR_STOP)
        bp_value_set(data, "nospace", bp_value_bool(error == ENOSPC));
    bp_value_set(data, "reason", bp_value_string(strerror(error)));
    bp_event_send(&block_io_error_event, data);
}

bool blk_judge(struct bp_blk_request *r)
{
    struct bp_blk *blk = r->blk;
    bool reads = r->op == BP_BLOCK_READ;
    int action = reads ? blk->rerror : blk->werror, error = -r->ret;

    if (error == ENOMEDIUM || error == ECANCELED)
        return false;
    if (action == BP_BLOCK_ON_ERROR_AUTO)
        action = reads ? BP_BLOCK_ON_ERROR_REPORT : BP_BLOCK_ON_ERROR_ENOSPC;
    if (action == BP_BLOCK_ON_ERROR_ENOSPC)
        action = error == ENOSPC ? BP_BLOCK_ON_ERROR_STOP : BP_BLOCK_ON_ERROR_REPORT;
    /* Without a machine nobody could ever go on. */
    if (action == BP_BLOCK_ON_ERROR_STOP && !blk->dev)
        action = BP_BLOCK_ON_ERROR_REPORT;
    tell(blk, r->op, error, action);
    if (action == BP_BLOCK_ON_ERROR_IGNORE)
        r->ret = 0;
    if (action != BP_BLOCK_ON_ERROR_STOP)
        return false;
    bp_machine_request_stop(bp_device_machine(blk->dev), BP_STOP_IO_ERROR);
    return true;
}
