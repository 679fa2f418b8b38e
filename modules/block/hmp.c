/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The monitor's commands about disks. They run in coroutines. [main] */
#define BP_SHARED
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"

static void report(struct bp_monitor *mon, int ret, const struct bp_error *err)
{
    if (ret < 0)
        bp_monitor_printf(mon, "Error: %s\n", err->message);
}

/* ---- info block, info blockstats ---- */

static void print_node(struct bp_monitor *mon, const struct bp_block_node *node)
{
    bp_monitor_printf(mon, "%s (%s%s)\n", *node_shown_name(node) ? node_shown_name(node) : node->name,
                      node->driver->type.name + sizeof("block-") - 1,
                      node->flags.read_only ? ", read-only" : "");
}

static void print_medium(struct bp_monitor *mon, struct bp_blk *blk, struct bp_block_node *node)
{
    struct bp_block_child *backing = node_child_role(node, BP_BLOCK_BACKING);
    static const char *const detects[] = {"off", "on", "unmap"};

    if (blk && !blk_inserted(blk))
        bp_monitor_printf(mon, "    Medium:           none\n");
    if (blk)
        bp_monitor_printf(mon, "    Cache mode:       %s%s%s\n",
                          blk->write_cache ? "writeback" : "writethrough",
                          node->direct ? ", direct" : "", node->no_flush ? ", ignore flushes" : "");
    if (backing && backing->node)
        bp_monitor_printf(mon, "    Backing file:     %s\n", node_shown_name(backing->node));
    if (node->detect != DETECT_OFF)
        bp_monitor_printf(mon, "    Detect zeroes:    %s\n", detects[node->detect]);
}

static void print_blk(struct bp_monitor *mon, struct bp_blk *blk)
{
    struct bp_block_node *node = blk->root.node;
    bool removable = blk->ops_flags & BP_BLK_REMOVABLE || !blk->open;

    bp_monitor_printf(mon, "%s", blk->name ? blk->name : blk_device_path(blk));
    if (node)
        bp_monitor_printf(mon, " (%s): ", node->name);
    else
        bp_monitor_printf(mon, ": [not inserted]\n");
    if (node)
        print_node(mon, node);
    if (blk->dev)
        bp_monitor_printf(mon, "    Attached to:      %s\n", blk_device_path(blk));
    if (removable)
        bp_monitor_printf(mon, "    Removable device: %slocked, tray %s\n", blk->locked ? "" : "not ",
                          blk_tray_is_open(blk) ? "open" : "closed");
    if (node)
        print_medium(mon, blk, node);
}

static void info_block(struct bp_monitor *mon, struct bp_value *args)
{
    const char *device = bp_value_get_string(args, "device");
    bool nodes = bp_value_as_bool(bp_value_get(args, "-n")), any = false;

    for (struct bp_blk *blk = block_blks; blk && !nodes; blk = blk->next) {
        if ((!blk->name && !blk->dev) || (device && strcmp(blk_name(blk), device) != 0))
            continue;
        if (any)
            bp_monitor_printf(mon, "\n");
        print_blk(mon, blk);
        any = true;
    }
    for (struct bp_block_node *n = block_nodes; n; n = n->next) {
        if (!(nodes && !device) && !(device && !any && !strcmp(n->name, device)))
            continue;
        bp_monitor_printf(mon, "%s: ", n->name);
        print_node(mon, n);
        print_medium(mon, NULL, n);
        any = true;
    }
    if (device && !any)
        bp_monitor_printf(mon, "Error: there is no drive or node '%s'\n", device);
}

static const struct bp_field info_args[] = {
    {.name = "-n", .kind = BP_KIND_BOOL, .flags = BP_FIELD_OPTIONAL, .help = "list nodes"},
    BP_ARG_OPT("device", STRING, "this one only"), BP_FIELDS_END};
BP_HMP(hmp_info_block, "info block", "[-n] [device]", "show the disks", info_args, info_block);

static void info_blockstats(struct bp_monitor *mon, struct bp_value *args)
{
    (void)args;
    for (struct bp_blk *blk = block_blks; blk; blk = blk->next) {
        const struct block_stats *s = &blk->stats;

        if (!blk->name && !blk->dev)
            continue;
        bp_monitor_printf(mon, "%s:", blk->name ? blk->name : blk_device_path(blk));
        pthread_mutex_lock(&blk->lock);
        bp_monitor_printf(mon, " rd_bytes=%" PRIu64 " wr_bytes=%" PRIu64 " rd_operations=%" PRIu64
                          " wr_operations=%" PRIu64 " flush_operations=%" PRIu64 " unmap_bytes=%" PRIu64
                          " unmap_operations=%" PRIu64 " wr_total_time_ns=%" PRIu64
                          " rd_total_time_ns=%" PRIu64 " flush_total_time_ns=%" PRIu64 "\n",
                          s->bytes[BP_BLOCK_READ],
                          s->bytes[BP_BLOCK_WRITE] + s->bytes[BP_BLOCK_WRITE_ZEROES],
                          s->operations[BP_BLOCK_READ],
                          s->operations[BP_BLOCK_WRITE] + s->operations[BP_BLOCK_WRITE_ZEROES],
                          s->operations[BP_BLOCK_FLUSH], s->bytes[BP_BLOCK_DISCARD],
                          s->operations[BP_BLOCK_DISCARD], s->ns[BP_BLOCK_WRITE], s->ns[BP_BLOCK_READ],
                          s->ns[BP_BLOCK_FLUSH]);
        pthread_mutex_unlock(&blk->lock);
    }
}
BP_HMP(hmp_info_blockstats, "info blockstats", "", "count what disks did", NULL, info_blockstats);

/* ---- drives ---- */

/* key=value words with doubled commas, as on the command line; only what -drive knows. */
static int parse_drive(const char *text, struct bp_value *args, struct bp_error *err)
{
    char *word = bp_alloc(strlen(text) + 1), *out, *equals;
    int ret = 0;

    while (ret == 0 && *text) {
        for (out = word; *text && !(*text == ',' && text[1] != ',');) {
            text += *text == ',';
            *out++ = *text++;
        }
        *out = '\0';
        text += *text == ',';
        equals = strchr(word, '=');
        if (!equals)
            ret = bp_fail(err, EINVAL, "'%s' is not key=value", word);
        else {
            *equals = '\0';
            ret = drive_set_key(args, word, equals + 1, err);
        }
    }
    free(word);
    return ret;
}

static void drive_add(struct bp_monitor *mon, struct bp_value *args)
{
    const char *text = bp_value_get_string(args, "opts");
    struct bp_value *drive = bp_value_dict();
    struct bp_error err = {0};
    int ret = parse_drive(text ? text : "", drive, &err);

    if (ret == 0 && (!bp_value_get_string(drive, "if") || strcmp(bp_value_get_string(drive, "if"), "none")))
        ret = bp_fail(&err, EINVAL, "only if=none can be added: device_add makes the device");
    if (ret == 0)
        ret = drive_new(drive, NULL, &err);
    bp_value_unref(drive);
    if (ret == 0)
        bp_monitor_printf(mon, "OK\n");
    report(mon, ret, &err);
}

static const struct bp_field add_args[] = {
    BP_ARG("slot", STRING, "has no meaning any more: 0"), BP_ARG("opts", STRING, "as for -drive"),
    BP_FIELDS_END};
BP_HMP(hmp_drive_add, "drive_add", "slot opts", "make a drive: drive_add 0 if=none,id=d,file=f", add_args,
       drive_add);

static int remove_drive(const char *id, struct bp_error *err)
{
    struct bp_blk *blk = blk_find(id);
    int ret;

    if (!blk || !blk->drive)
        return bp_fail(err, ENOENT, "there is no drive '%s'", id);
    blk_ref(blk);
    ret = blk->root.node ? blk_drain_begin(blk, err) : 0;
    if (ret == 0 && blk->root.node) {
        blk_remove(blk);
        blk_drain_end(blk);
    }
    if (ret == 0 && !blk->open && drive_find(id) == blk->drive)
        drive_free(blk->drive);
    blk_unref(blk);
    return ret; /* a device that shows it has an empty drive from now on */
}

static void drive_del(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_error err = {0};

    report(mon, remove_drive(bp_value_get_string(args, "id"), &err), &err);
}

static const struct bp_field id_args[] = {BP_ARG("id", STRING, "the drive"), BP_FIELDS_END};
BP_HMP(hmp_drive_del, "drive_del", "id", "take a drive's image away", id_args, drive_del);

/* ---- the others ---- */

/* Drives come and go while one is written. */
static int commit_all(struct bp_error *err)
{
    struct bp_blk **blks;
    size_t count = 0;
    int ret = 0;

    for (struct bp_blk *blk = block_blks; blk; blk = blk->next)
        count++;
    blks = bp_alloc((count + 1) * sizeof(struct bp_blk *));
    count = 0;
    for (struct bp_blk *blk = block_blks; blk; blk = blk->next)
        blks[count++] = blk_ref(blk);
    for (size_t i = 0; i < count; i++) {
        struct bp_block_node *node = blks[i]->root.node;

        while (node && !node_child_role(node, BP_BLOCK_BACKING))
            node = node_primary(node) ? node_primary(node)->node : NULL;
        if (ret == 0 && node && blks[i]->name && blk_find(blks[i]->name) == blks[i])
            ret = block_commit(blks[i]->name, err);
        blk_unref(blks[i]);
    }
    free(blks);
    return ret;
}

static void commit(struct bp_monitor *mon, struct bp_value *args)
{
    const char *device = bp_value_get_string(args, "device");
    struct bp_error err = {0};
    int ret = 0;

    if (strcmp(device, "all") != 0) {
        report(mon, block_commit(device, &err), &err);
        return;
    }
    ret = commit_all(&err);
    report(mon, ret, &err);
}

static const struct bp_field device_args[] = {BP_ARG("device", STRING, "the drive, or all"), BP_FIELDS_END};
BP_HMP(hmp_commit, "commit", "device|all", "write changes to the images that drives are based on",
       device_args, commit);

static void resize(struct bp_monitor *mon, struct bp_value *args)
{
    const char *device = bp_value_get_string(args, "device");
    struct bp_error err = {0};
    uint64_t size = bp_value_as_uint(bp_value_get(args, "size"));

    report(mon, blk_find(device) ? qmp_block_resize(device, NULL, size, &err)
                                 : qmp_block_resize(NULL, device, size, &err), &err);
}

static const struct bp_field resize_args[] = {BP_ARG("device", STRING, "the drive or node"),
                                              BP_ARG("size", SIZE, "its new length"), BP_FIELDS_END};
BP_HMP(hmp_block_resize, "block_resize", "device size", "change the length of a disk", resize_args,
       resize);

static void eject(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_error err = {0};

    report(mon, qmp_eject(bp_value_get_string(args, "device"), NULL, true,
                          bp_value_as_bool(bp_value_get(args, "-f")), &err), &err);
}

static const struct bp_field eject_args[] = {
    {.name = "-f", .kind = BP_KIND_BOOL, .flags = BP_FIELD_OPTIONAL, .help = "even if it is locked"},
    BP_ARG("device", STRING, "the drive"), BP_FIELDS_END};
BP_HMP(hmp_eject, "eject", "[-f] device", "take the medium out of a removable device", eject_args,
       eject);

static void change(struct bp_monitor *mon, struct bp_value *args)
{
    static const char *const modes[] = {"retain", "read-only", "read-write"};
    const char *device = bp_value_get_string(args, "device"), *mode = bp_value_get_string(args, "mode");
    struct bp_error err = {0};
    int index = 0, ret = 0;

    if (!strcmp(device, "vnc"))
        ret = bp_fail(&err, ENOTSUP, "change vnc: there is no VNC server; package backplane-vnc has it");
    while (ret == 0 && mode && index < 3 && strcmp(mode, modes[index]) != 0)
        index++;
    if (index == 3)
        ret = bp_fail(&err, EINVAL, "read-only-mode '%s' is unknown; accepted: retain, read-only, "
                      "read-write", mode);
    if (ret == 0)
        ret = qmp_change_medium(device, NULL, bp_value_get_string(args, "target"),
                                bp_value_get_string(args, "format"), true,
                                bp_value_as_bool(bp_value_get(args, "-f")), mode != NULL, index, &err);
    report(mon, ret, &err);
}

static const struct bp_field change_args[] = {
    {.name = "-f", .kind = BP_KIND_BOOL, .flags = BP_FIELD_OPTIONAL, .help = "even if it is locked"},
    BP_ARG("device", STRING, "the drive"), BP_ARG("target", STRING, "the new image"),
    BP_ARG_OPT("format", STRING, "its format"),
    BP_ARG_OPT("mode", STRING, "retain, read-only or read-write"), BP_FIELDS_END};
BP_HMP(hmp_change, "change", "[-f] device filename [format [read-only-mode]]",
       "put another image into a removable device", change_args, change);

static void throttle(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_error err = {0};
    struct bp_value *none = NULL;
    int ret = qmp_set_io_throttle(args, &none, &err);

    bp_value_unref(none);
    report(mon, ret, &err);
}

static const struct bp_field throttle_args[] = {
    BP_ARG("device", STRING, "the drive"), BP_ARG("bps", INT64, "bytes a second"),
    BP_ARG("bps_rd", INT64, "of reads"), BP_ARG("bps_wr", INT64, "of writes"),
    BP_ARG("iops", INT64, "requests a second"), BP_ARG("iops_rd", INT64, "of reads"),
    BP_ARG("iops_wr", INT64, "of writes"), BP_FIELDS_END};
BP_HMP(hmp_throttle, "block_set_io_throttle", "device bps bps_rd bps_wr iops iops_rd iops_wr",
       "limit bytes and requests a second", throttle_args, throttle);
