/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The image and what stands above it (an overlay, an offset), and the commands that export it. */
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "loop.h"
#include "nbd-tool.h"
#include "registry.h"

struct serving {
    const struct wish *w;
    struct bp_value *place;
    struct bp_block_node *node;
    bool through; /* each write lasts */
    struct bp_error err;
    int ret;
    bool done;
};

static void set_text(struct bp_value *to, const char *key, const char *text)
{
    if (text)
        bp_value_set(to, key, bp_value_string(text));
}

static bool is_read_only(const struct wish *w)
{
    return w->read_only || w->snapshot_of;
}

/* What the image's nodes have in common. */
static struct bp_value *common_keys(const struct wish *w, bool *ret_through)
{
    struct bp_value *more = bp_value_dict();

    parse_cache(w->cache, more, ret_through);
    bp_value_set(more, "read-only", bp_value_bool(is_read_only(w) || w->temporary));
    set_text(more, "aio", w->aio);
    set_text(more, "discard", w->discard);
    set_text(more, "detect-zeroes", w->detect_zeroes);
    return more;
}

static int add_missing(const char *key, struct bp_value *value, void *opaque)
{
    if (!bp_value_has(opaque, key) && strcmp(key, "aio") != 0) /* that is the file's */
        bp_value_set(opaque, key, bp_value_ref(value));
    return 0;
}

static int open_image(struct serving *s)
{
    struct bp_value *more = common_keys(s->w, &s->through), *options;
    int ret;

    if (s->w->image_opts) {
        options = bp_value_dict();
        parse_keys(s->w->image, true, options);
        bp_value_each(more, add_missing, options);
        add_drivers(options);
        ret = block->node_new(options, &s->node, &s->err);
        bp_value_unref(options);
    } else {
        ret = block->image_open(s->w->image, s->w->format, more, &s->node, &s->err);
    }
    bp_value_unref(more);
    return ret;
}

/* Another node above what there is; its options are taken. */
static int put_above(struct serving *s, struct bp_value *options, const char *child)
{
    struct bp_block_node *above;
    int ret;

    bp_value_set(options, child, bp_value_string(block->node_name(s->node)));
    bp_value_set(options, "read-only", bp_value_bool(is_read_only(s->w)));
    set_text(options, "discard", s->w->discard);
    ret = block->node_new(options, &above, &s->err);
    bp_value_unref(options);
    if (ret == 0) {
        block->node_unref(s->node);
        s->node = above;
    }
    return ret;
}

static int build(struct serving *s)
{
    const char *name = s->w->snapshot_of;
    struct bp_value *options;
    int ret = open_image(s);

    if (ret == 0 && name) {
        name += !strncmp(name, "snapshot.name=", 14) ? 14
                : !strncmp(name, "snapshot.id=", 12) ? 12
                                                     : 0;
        ret = block->image_snapshot(s->node, BP_BLOCK_SNAPSHOT_SHOW, name, NULL, &s->err);
    }
    if (ret == 0 && s->w->temporary) {
        options = bp_value_dict();
        set_text(options, "driver", "temp-overlay");
        ret = put_above(s, options, "backing");
    }
    if (ret == 0 && s->w->offset) {
        options = bp_value_dict();
        set_text(options, "driver", "raw");
        set_text(options, "offset", s->w->offset);
        ret = put_above(s, options, "file");
    }
    return ret;
}

/* Carries a command out as a monitor does; its arguments are taken. */
static int command(const char *name, struct bp_value *args, struct bp_error *err)
{
    const struct bp_command *found;
    struct bp_value *value = NULL;
    int ret = bpc_command_find(name, &found, err);

    if (ret == 0)
        ret = bpc_command_call(found, args, &value, err);
    bp_value_unref(value);
    bp_value_unref(args);
    return ret;
}

static int export(struct serving *s)
{
    const struct wish *w = s->w;
    struct bp_value *args = bp_value_dict(), *bitmaps;
    int ret;

    bp_value_set(args, "addr", bp_value_ref(s->place));
    bp_value_set(args, "max-connections", bp_value_uint(strtoul(w->clients, NULL, 10)));
    bp_value_set(args, "x-until-unused", bp_value_bool(!w->persistent));
    set_text(args, "tls-creds", w->tls_creds);
    set_text(args, "tls-authz", w->tls_authz);
    ret = command("nbd-server-start", args, &s->err);
    if (ret < 0)
        return ret;
    args = bp_value_dict();
    set_text(args, "type", "nbd");
    set_text(args, "id", "export");
    set_text(args, "node-name", block->node_name(s->node));
    set_text(args, "name", w->name);
    set_text(args, "description", w->description);
    bp_value_set(args, "writable", bp_value_bool(!is_read_only(w)));
    bp_value_set(args, "writethrough", bp_value_bool(s->through));
    if (w->depth)
        bp_value_set(args, "allocation-depth", bp_value_bool(true));
    if (w->bitmap) {
        bitmaps = bp_value_list();
        bp_value_append(bitmaps, bp_value_string(w->bitmap));
        bp_value_set(args, "bitmaps", bitmaps);
    }
    return command("block-export-add", args, &s->err);
}

static void serve_it(void *opaque)
{
    struct serving *s = opaque;

    s->ret = build(s);
    if (s->ret == 0)
        s->ret = export(s);
    if (s->node)
        block->node_unref(s->node); /* the export has its own reference */
    s->done = true;
    bpc_loop_wake();
}

int serve_image(const struct wish *w, struct bp_value *place, struct bp_error *err)
{
    struct serving s = {.w = w, .place = place};
    const void *table;
    struct bp_co *co;
    int ret = bpc_require_interface("block", 1, &table, err);

    if (ret == 0) {
        block = table;
        ret = bp_co_new(NULL, bp_context_main(NULL), "backplane-nbd", serve_it, &s, &co, err);
    }
    if (ret == 0) {
        bp_co_enter(co);
        while (!s.done)
            bpc_loop_run_once(true);
        bp_co_unref(co);
        ret = s.ret;
        if (ret < 0)
            *err = s.err;
    }
    bp_value_unref(place);
    return ret;
}
