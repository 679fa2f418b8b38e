/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bitmap: dirty bitmaps that an image keeps; and those that convert takes along. What QMP has for a machine's disks is
 * done to images that nobody uses. */
#include <string.h>

#include "command.h"
#include "img.h"

/* A QMP command; args are taken. 0, or -errno. */
static int command(const char *name, struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    const struct bp_command *c;
    struct bp_value *value = NULL;
    int r = bpc_command_find(name, &c, err);

    if (r == 0)
        r = bpc_command_call(c, args, &value, err);
    bp_value_unref(args);
    if (r == 0 && ret_value)
        *ret_value = value;
    else
        bp_value_unref(value);
    return r;
}

static struct bp_value *named(struct bp_block_node *node, const char *name)
{
    struct bp_value *v = bp_value_dict();

    bp_value_set(v, "node", bp_value_string(block->node_name(node)));
    bp_value_set(v, "name", bp_value_string(name));
    return v;
}

static int add(struct bp_block_node *node, const char *name, uint64_t granularity, bool recording,
               struct bp_error *err)
{
    struct bp_value *v = named(node, name);

    bp_value_set(v, "persistent", bp_value_bool(true));
    bp_value_set(v, "disabled", bp_value_bool(!recording));
    if (granularity)
        bp_value_set(v, "granularity", bp_value_uint(granularity));
    return command("block-dirty-bitmap-add", v, NULL, err);
}

static int merge(struct bp_block_node *node, const char *name, struct bp_block_node *from, const char *source,
                 struct bp_error *err)
{
    struct bp_value *v = bp_value_dict(), *list = bp_value_list();

    bp_value_append(list, named(from, source));
    bp_value_set(v, "node", bp_value_string(block->node_name(node)));
    bp_value_set(v, "target", bp_value_string(name));
    bp_value_set(v, "bitmaps", list);
    return command("block-dirty-bitmap-merge", v, NULL, err);
}

/* ---- convert --bitmaps ---- */

static struct bp_value *bitmaps_of(struct bp_block_node *node, struct bp_error *err)
{
    struct bp_value *args = bp_value_dict(), *nodes = NULL, *found = NULL;

    bp_value_set(args, "flat", bp_value_bool(true));
    if (command("query-named-block-nodes", args, &nodes, err) < 0)
        return NULL;
    for (size_t i = 0; i < bp_value_length(nodes); i++) {
        struct bp_value *v = bp_value_at(nodes, i);

        if (!strcmp(bp_value_get_string(v, "node-name"), block->node_name(node)))
            found = bp_value_ref(bp_value_get(v, "dirty-bitmaps"));
    }
    bp_value_unref(nodes);
    return found ? found : bp_value_list();
}

int bitmaps_check(struct image *from, bool skip_broken)
{
    struct bp_error err = {0};
    struct bp_value *list = bitmaps_of(from->node, &err);
    int r = list ? 0 : complain_error(NULL, &err);

    for (size_t i = 0; r == 0 && i < bp_value_length(list); i++) {
        struct bp_value *v = bp_value_at(list, i);

        if (bp_value_as_bool(bp_value_get(v, "inconsistent")) && !skip_broken)
            r = complain("bitmap '%s' is inconsistent and cannot be copied: --skip-broken-bitmaps leaves it out, bitmap --remove "
                         "deletes it",
                         bp_value_get_string(v, "name"));
    }
    bp_value_unref(list);
    return r;
}

int bitmaps_copy(struct image *from, struct image *to)
{
    struct bp_error err = {0};
    struct bp_value *list = bitmaps_of(from->node, &err);
    int r = list ? 0 : -1;

    for (size_t i = 0; r == 0 && i < bp_value_length(list); i++) {
        struct bp_value *v = bp_value_at(list, i);
        const char *name = bp_value_get_string(v, "name");

        if (bp_value_as_bool(bp_value_get(v, "inconsistent")) ||
            !bp_value_as_bool(bp_value_get(v, "persistent")))
            continue;
        r = add(to->node, name, bp_value_as_uint(bp_value_get(v, "granularity")), false, &err);
        if (r == 0)
            r = merge(to->node, name, from->node, name, &err);
        if (r == 0 && bp_value_as_bool(bp_value_get(v, "recording")))
            r = command("block-dirty-bitmap-enable", named(to->node, name), NULL, &err);
    }
    bp_value_unref(list);
    return r < 0 ? complain("bitmaps are not copied: %s", err.message) : 0;
}

/* ---- bitmap ---- */

enum { ADD = 260, REMOVE, CLEAR, ENABLE, DISABLE, MERGE, MOST = 32 };

struct action {
    int what;
    const char *source; /* MERGE */
};

struct plan {
    struct how how, from;
    const char *source_file;
    uint64_t granularity;
    struct action actions[MOST];
    unsigned count;
};

static int take_switch(struct plan *p, int c)
{
    switch (c) {
    case ADD: case REMOVE: case CLEAR: case ENABLE: case DISABLE: case MERGE:
        if (p->count == MOST)
            return complain("bitmap: at most %d actions at once", MOST);
        p->actions[p->count++] = (struct action){c, optarg};
        return 0;
    case 'b': p->source_file = optarg; return 0;
    case 'F': p->from.format = optarg; return 0;
    case 'f': p->how.format = optarg; return 0;
    case 'g':
        if (!parse_size(optarg, &p->granularity) || p->granularity < 512 || p->granularity > 1u << 31 ||
            p->granularity & (p->granularity - 1))
            return complain("-g: a granularity is a power of two from 512 to 2G, not '%s'", optarg);
        return 0;
    case 256: p->how.image_opts = true; return 0;
    default: return complain("bitmap: see backplane-img --help");
    }
}

static int check_plan(const struct plan *p)
{
    bool merges = false, adds = false;

    for (unsigned i = 0; i < p->count; i++) {
        merges |= p->actions[i].what == MERGE;
        adds |= p->actions[i].what == ADD;
    }
    if (!p->count)
        return complain("bitmap: what is to be done? --add, --remove, --clear, --enable, --disable or --merge SOURCE");
    if (p->granularity && !adds)
        return complain("-g: a granularity is chosen with --add alone");
    if (p->source_file && !merges)
        return complain("-b: another image is needed by --merge alone");
    if (p->from.format && !p->source_file)
        return complain("-F: the format of which image? It goes with -b");
    return 0;
}

static int act(const struct plan *p, struct bp_block_node *node, const char *name, struct bp_block_node *from)
{
    struct bp_error err = {0};
    int r = 0;

    for (unsigned i = 0; r == 0 && i < p->count; i++) {
        switch (p->actions[i].what) {
        case ADD: r = add(node, name, p->granularity, true, &err); break;
        case MERGE: r = merge(node, name, from, p->actions[i].source, &err); break;
        case REMOVE: r = command("block-dirty-bitmap-remove", named(node, name), NULL, &err); break;
        case CLEAR: r = command("block-dirty-bitmap-clear", named(node, name), NULL, &err); break;
        case ENABLE: r = command("block-dirty-bitmap-enable", named(node, name), NULL, &err); break;
        default: r = command("block-dirty-bitmap-disable", named(node, name), NULL, &err); break;
        }
    }
    return r < 0 ? complain("bitmap '%s': %s", name, err.message) : 0;
}

int run_bitmap(int argc, char **argv)
{
    static const struct option longs[] = {
        LONG_OPTIONS, {"add", no_argument, NULL, ADD}, {"remove", no_argument, NULL, REMOVE},
        {"clear", no_argument, NULL, CLEAR}, {"enable", no_argument, NULL, ENABLE},
        {"disable", no_argument, NULL, DISABLE}, {"merge", required_argument, NULL, MERGE},
        {"granularity", required_argument, NULL, 'g'}, {NULL, 0, NULL, 0}};
    struct plan p = {.how = {.write = true}};
    struct image image, source = {NULL, NULL, NULL, 0};
    int c, r = 0;

    while (r == 0 && (c = getopt_long(argc, argv, "b:f:F:g:h", longs, NULL)) != -1)
        r = take_switch(&p, c);
    if (r == 0 && optind + 2 != argc)
        r = complain("bitmap: the names of an image and of a bitmap are needed");
    if (r == 0)
        r = check_plan(&p);
    if (r || disk_open(argv[optind], &p.how, &image))
        return 1;
    if (p.source_file)
        r = disk_open(p.source_file, &p.from, &source);
    if (r == 0)
        r = act(&p, image.node, argv[optind + 1], p.source_file ? source.node : image.node);
    if (r == 0 && disk_flush(&image) < 0)
        r = complain("'%s' cannot be flushed", argv[optind]);
    if (p.source_file)
        disk_close(&source);
    disk_close(&image);
    return r;
}
