/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * block_set_io_throttle: a filter `throttle` of the framework's own at the root of a drive comes, changes or
 * goes. [main], coroutine
 */
#define BP_SHARED
#include <errno.h>
#include <string.h>

#include "commands.h"

/* The filter that this command or -drive has put there. */
static bool is_ours(const struct bp_block_node *node)
{
    return node && !node->named && !strcmp(node->driver->type.name, "block-throttle") &&
           bp_value_has(node->options, "limits");
}

static struct bp_value *read_limits(struct bp_value *args)
{
    struct bp_value *limits = bp_value_dict();

    for (const struct throttle_key *k = throttle_keys; k->flat; k++) {
        struct bp_value *v = bp_value_get(args, k->qmp);

        if (v && bp_value_as_uint(v))
            bp_value_set(limits, k->dashed, bp_value_ref(v));
    }
    return limits;
}

static int make_filter(struct bp_blk *blk, struct bp_block_node *base, struct bp_value *limits,
                       const char *group, struct bp_block_node **ret_node, struct bp_error *err)
{
    struct bp_value *options = bp_value_dict();
    int ret;

    bp_value_set(options, "driver", bp_value_string("throttle"));
    bp_value_set(options, "limits", bp_value_ref(limits));
    bp_value_set(options, "group", bp_value_string(group ? group : blk_name(blk)));
    bp_value_set(options, "file", bp_value_string(base->name));
    bp_value_set(options, "read-only", bp_value_bool(base->flags.read_only));
    bp_value_set(options, "discard", bp_value_string("unmap"));
    ret = node_new(options, NULL, 0, ret_node, err);
    bp_value_unref(options);
    return ret;
}

void blk_note_limits(struct bp_blk *blk, struct bp_value *limits, const char *group)
{
    bp_value_unref(blk->throttle);
    blk->throttle = NULL;
    if (!limits || bp_value_length(limits) == 0)
        return;
    blk->throttle = bp_value_copy(limits);
    bp_value_set(blk->throttle, "group", bp_value_string(group ? group : blk_name(blk)));
}

int qmp_set_io_throttle(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_blk *blk = medium_blk(bp_value_get_string(args, "device"), bp_value_get_string(args, "id"), err);
    const char *group = bp_value_get_string(args, "group");
    struct bp_block_node *base, *top;
    struct bp_value *limits;
    int ret;

    if (!blk)
        return -ENOENT;
    if (!blk->root.node)
        return bp_fail(err, ENOMEDIUM, "there is no medium in '%s'", blk_name(blk));
    limits = read_limits(args);
    blk_ref(blk);
    ret = blk_drain_begin(blk, err);
    if (ret == 0 && !blk->root.node) { /* it went meanwhile */
        blk_drain_end(blk);
        ret = bp_fail(err, ENOMEDIUM, "there is no medium in '%s'", blk_name(blk));
    }
    if (ret < 0) {
        bp_value_unref(limits);
        blk_unref(blk);
        return ret;
    }
    top = blk->root.node;
    base = is_ours(top) ? node_primary(top)->node : top;
    if (!group && blk->throttle)
        group = bp_value_get_string(blk->throttle, "group");
    node_ref(base);
    if (bp_value_length(limits) > 0)
        ret = make_filter(blk, base, limits, group, &top, err);
    else
        top = node_ref(base);
    if (ret == 0) {
        ret = blk_insert(blk, top, err);
        node_unref(top);
    }
    if (ret == 0)
        blk_note_limits(blk, limits, group);
    blk_drain_end(blk);
    blk_unref(blk);
    node_unref(base);
    bp_value_unref(limits);
    if (ret == 0)
        *ret_value = bp_value_dict();
    return ret;
}
