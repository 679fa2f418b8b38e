/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of nodes: made of options as -blockdev and blockdev-add take them (nested dictionaries; text
 * or typed values), found by name, reopened, closed with their last user. [main]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs.h"

struct bp_block_node *block_nodes;
static unsigned generated;

struct bp_block_node *node_find(const char *name)
{
    struct bp_block_node *n = block_nodes;

    while (n && strcmp(n->name, name) != 0)
        n = n->next;
    return n;
}

struct bp_block_node *node_of_object(struct bp_object *obj)
{
    struct bp_block_node *n = block_nodes;

    while (n && n->obj != obj)
        n = n->next;
    return n;
}

struct bp_block_node *node_ref(struct bp_block_node *node)
{
    node->refs++;
    return node;
}

/* ---- coroutines that must not wait ---- */

static struct bp_co *now_co; /* atomic */

bool may_wait(void)
{
    struct bp_co *co = bp_co_current();

    return co && co != __atomic_load_n(&now_co, __ATOMIC_ACQUIRE);
}

struct now {
    int (*fn)(void *opaque, struct bp_error *err);
    void *opaque;
    void (*drop)(void *opaque);
    struct bp_error err;
    int ret;
    bool left_alone; /* run_now() has returned */
};

static void run_it(void *opaque)
{
    struct now *now = opaque;

    now->ret = now->fn(now->opaque, &now->err);
    if (!now->left_alone)
        return;
    if (now->drop)
        now->drop(now->opaque);
    free(now);
}

int run_now(int (*fn)(void *opaque, struct bp_error *err), void *opaque, void (*drop)(void *opaque),
            struct bp_error *err)
{
    struct now *now = bp_alloc(sizeof(*now));
    struct bp_co *co, *outer = now_co;
    int ret;

    *now = (struct now){.fn = fn, .opaque = opaque, .drop = drop};
    ret = bp_co_new(NULL, bp_context_main(NULL), "block-now", run_it, now, &co, err);
    if (ret < 0) {
        if (drop)
            drop(opaque);
        free(now);
        return ret;
    }
    __atomic_store_n(&now_co, co, __ATOMIC_RELEASE);
    bp_co_enter(co);
    __atomic_store_n(&now_co, outer, __ATOMIC_RELEASE);
    if (!bp_co_ended(co)) {
        now->left_alone = true;
        bp_co_unref(co);
        return bp_fail(err, EWOULDBLOCK, "a block driver is busy with another thread's request");
    }
    bp_co_unref(co);
    ret = now->ret;
    if (ret < 0 && err)
        *err = now->err;
    if (drop)
        drop(opaque);
    free(now);
    return ret;
}

/* ---- options ---- */

bool value_bool(const struct bp_value *value, bool *ret)
{
    static const char *const yes[] = {"on", "yes", "true"}, *const no[] = {"off", "no", "false"};
    const char *text = bp_value_as_string(value);

    if (bp_value_type(value) == BP_VALUE_BOOL) {
        *ret = bp_value_as_bool(value);
        return true;
    }
    for (unsigned i = 0; text && i < BP_COUNT(yes); i++) {
        if (!strcmp(text, yes[i]) || !strcmp(text, no[i])) {
            *ret = !strcmp(text, yes[i]);
            return true;
        }
    }
    return false;
}

int take_bool(struct bp_value *options, const char *key, bool *ret, struct bp_error *err)
{
    struct bp_value *v = bp_value_get(options, key);

    if (!v)
        return 0;
    if (!value_bool(v, ret))
        return bp_fail(err, EINVAL, "key '%s' expects 'on' or 'off'", key);
    bp_value_remove(options, key);
    return 0;
}

/* One of `choices`; *ret is untouched when the key is not there. */
static int take_choice(struct bp_value *options, const char *key, const char *const *choices,
                       unsigned *ret, struct bp_error *err)
{
    const char *text = bp_value_get_string(options, key);

    if (!bp_value_has(options, key))
        return 0;
    for (unsigned i = 0; text && choices[i]; i++) {
        if (!strcmp(text, choices[i])) {
            *ret = i;
            bp_value_remove(options, key);
            return 0;
        }
    }
    return bp_fail(err, EINVAL, "key '%s' does not take '%s'; accepted: %s, %s%s%s%s%s", key,
                   text ? text : "?", choices[0], choices[1], choices[2] ? ", " : "",
                   choices[2] ? choices[2] : "", choices[2] && choices[3] ? ", " : "",
                   choices[2] && choices[3] ? choices[3] : "");
}

static int take_cache(struct bp_block_node *node, struct bp_value *options, struct bp_error *err)
{
    struct bp_value *cache = bp_value_get(options, "cache");
    int ret;

    if (!cache)
        return 0;
    if (bp_value_type(cache) != BP_VALUE_DICT)
        return bp_fail(err, EINVAL, "key 'cache' has members: cache.direct, cache.no-flush");
    ret = take_bool(cache, "direct", &node->direct, err);
    if (ret == 0)
        ret = take_bool(cache, "no-flush", &node->no_flush, err);
    if (ret == 0 && bp_value_length(cache) > 0)
        ret = bp_fail(err, EINVAL, "key 'cache' has only the members direct and no-flush here");
    if (ret == 0)
        bp_value_remove(options, "cache");
    return ret;
}

static const char *const discards[] = {"ignore", "off", "unmap", "on", NULL};
static const char *const detects[] = {"off", "on", "unmap", NULL};

/* The keys that every node has. */
static int take_common(struct bp_block_node *node, struct bp_value *options, struct bp_error *err)
{
    unsigned discard = node->unmap ? 2 : 0, detect = node->detect;
    int ret = take_bool(options, "read-only", &node->flags.read_only, err);

    if (ret == 0)
        ret = take_bool(options, "auto-read-only", &node->auto_read_only, err);
    if (ret == 0)
        ret = take_bool(options, "force-share", &node->flags.force_share, err);
    if (ret == 0)
        ret = take_cache(node, options, err);
    if (ret == 0)
        ret = take_choice(options, "discard", discards, &discard, err);
    if (ret == 0)
        ret = take_choice(options, "detect-zeroes", detects, &detect, err);
    if (ret < 0)
        return ret;
    node->unmap = discard >= 2;
    node->detect = (enum detect_zeroes)detect;
    if (node->flags.force_share && !node->flags.read_only)
        return bp_fail(err, EINVAL, "force-share=on needs read-only=on");
    if (node->detect == DETECT_UNMAP && !node->unmap)
        return bp_fail(err, EINVAL, "detect-zeroes=unmap needs discard=unmap");
    if (node->driver->flags & BP_BLOCK_READ_ONLY_DRIVER && !node->flags.read_only &&
        !node->auto_read_only)
        return bp_fail(err, EINVAL, "driver '%s' cannot write: it needs read-only=on",
                       node->driver->type.name + sizeof("block-") - 1);
    if (node->driver->flags & BP_BLOCK_READ_ONLY_DRIVER)
        node->flags.read_only = true;
    node->flags.direct = node->direct;
    node->flags.no_flush = node->no_flush;
    node->flags.discard = node->unmap;
    node->flags.auto_read_only = node->auto_read_only;
    return 0;
}

static void inherit(struct bp_block_node *node, const struct bp_block_node *parent, uint32_t roles)
{
    if (!parent)
        return;
    node->direct = parent->direct;
    node->no_flush = parent->no_flush;
    node->auto_read_only = parent->auto_read_only;
    node->flags.force_share = parent->flags.force_share && !(roles & BP_BLOCK_BACKING);
    node->flags.read_only = parent->flags.read_only || roles & BP_BLOCK_BACKING;
    node->unmap = true; /* who is above decides */
}

static bool name_well_formed(const char *name)
{
    if (!((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z')))
        return false;
    for (; *name; name++)
        if (!((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
              (*name >= '0' && *name <= '9') || strchr("-._", *name)))
            return false;
    return true;
}

static int choose_name(struct bp_block_node *node, struct bp_value *options, struct bp_error *err)
{
    const char *name = bp_value_get_string(options, "node-name");
    char text[32];

    if (!name) {
        do {
            snprintf(text, sizeof(text), "#block%03u", generated++);
        } while (node_find(text));
        node->name = bp_strdup(text);
        return 0;
    }
    if (!name_well_formed(name) || strlen(name) > MAX_NODE_NAME)
        return bp_fail(err, EINVAL, "key 'node-name' expects an identifier: letters, digits, '-', "
                       "'.', '_', starting with a letter; not '%.140s'", name);
    if (node_find(name))
        return bp_fail(err, EEXIST, "there is already a node '%s'", name);
    if (drive_find(name))
        return bp_fail(err, EEXIST, "node-name '%s' is the id of a drive", name);
    node->name = bp_strdup(name);
    bp_value_remove(options, "node-name");
    return 0;
}

/* ---- children ---- */

static int make_child(struct bp_block_node *node, const struct bp_block_child_info *info,
                      const char *name, struct bp_value *value, struct bp_error *err)
{
    const char *ref = bp_value_as_string(value);
    struct bp_block_node *below = NULL;
    int ret = 0;

    if (ref) {
        below = node_find(ref);
        if (!below) {
            struct drive *drive = drive_find(ref);

            below = drive ? drive->blk->root.node : NULL;
        }
        if (!below)
            return bp_fail(err, ENOENT, "key '%s': there is no node '%s'", name, ref);
        node_ref(below);
    } else if (bp_value_type(value) == BP_VALUE_DICT) {
        ret = node_new(value, node, info->roles, &below, err);
        if (ret < 0)
            bp_error_prefix(err, "%s", name);
    } else {
        ret = bp_fail(err, EINVAL, "key '%s' expects the name of a node, or the options of a new one "
                      "(%s.driver=...)", name, name);
    }
    if (ret < 0)
        return ret;
    child_new(name, info->roles, node, below);
    node_unref(below); /* the edge has one of its own */
    return 0;
}

static int make_list(struct bp_block_node *node, const struct bp_block_child_info *info,
                     const char *key, struct bp_value *list, struct bp_error *err)
{
    char name[96];
    int ret = 0;

    if (bp_value_type(list) != BP_VALUE_LIST)
        return bp_fail(err, EINVAL, "key '%s' expects a list: %s.0=..., %s.1=...", key, key, key);
    for (size_t i = 0; ret == 0 && i < bp_value_length(list); i++) {
        snprintf(name, sizeof(name), "%.60s.%zu", key, i);
        ret = make_child(node, info, name, bp_value_at(list, i), err);
    }
    return ret;
}

static int make_children(struct bp_block_node *node, struct bp_value *options, struct bp_error *err)
{
    const struct bp_block_child_info *info = node->driver->children;
    int ret = 0;

    for (; ret == 0 && info && info->name; info++) {
        size_t len = strlen(info->name);
        bool many = len > 1 && info->name[len - 1] == '.';
        char key[64];
        struct bp_value *value;

        snprintf(key, sizeof(key), "%.*s", (int)(many ? len - 1 : len), info->name);
        value = bp_value_get(options, key);
        if (value && info->roles & BP_BLOCK_BACKING &&
            (bp_value_type(value) == BP_VALUE_NULL || (bp_value_as_string(value) && !*bp_value_as_string(value)))) {
            node->no_backing = true;
        } else if (!value || bp_value_type(value) == BP_VALUE_NULL) {
            if (!(info->roles & BP_BLOCK_OPTIONAL))
                return bp_fail(err, EINVAL, "driver '%s' needs the key '%s': the name of a node, or "
                               "the options of a new one (%s.driver=...)",
                               node->driver->type.name + sizeof("block-") - 1, key, key);
        } else {
            ret = many ? make_list(node, info, key, value, err)
                       : make_child(node, info, key, value, err);
        }
        bp_value_remove(options, key);
    }
    return ret;
}

/* ---- making ---- */

static void link_last(struct bp_block_node *node)
{
    struct bp_block_node **link = &block_nodes;

    while (*link)
        link = &(*link)->next;
    *link = node;
}

static void unlink_it(struct bp_block_node *node)
{
    struct bp_block_node **link = &block_nodes;

    while (*link && *link != node)
        link = &(*link)->next;
    if (*link)
        *link = node->next;
}

/* Nobody uses it; from here on nobody finds it. [co] */
static int destroy(void *opaque, struct bp_error *err)
{
    struct bp_block_node *node = opaque;

    (void)err;
    unlink_it(node);
    if (node->opened) {
        node_flush(node);
        bitmaps_store(node);
        if (node->driver->close)
            node->driver->close(node);
        node->opened = false;
    }
    while (node->children)
        child_free(node->children);
    bitmaps_free(node);
    bp_object_destroy(node->obj);
    pthread_mutex_destroy(&node->track_lock);
    bp_value_unref(node->options);
    free(node->name);
    free(node->filename);
    free(node->want_file);
    free(node->want_format);
    free(node);
    return 0;
}

void node_unref(struct bp_block_node *node)
{
    if (--node->refs > 0)
        return;
    if (bp_co_current())
        destroy(node, NULL);
    else
        run_now(destroy, node, NULL, NULL);
}

int node_del(const char *name, struct bp_error *err)
{
    struct bp_block_node *node = node_find(name);
    char *user;

    if (!node)
        return bp_fail(err, ENOENT, "there is no node '%s'", name);
    if (!node->named)
        return bp_fail(err, EINVAL, "node '%s' was not made by a user: it goes with what uses it", name);
    if (node->parents) {
        user = user_text(node->parents);
        bp_fail(err, EBUSY, "node '%s' is in use by %s", name, user);
        free(user);
        return -EBUSY;
    }
    node->named = false;
    node_unref(node);
    return 0;
}

static bool power_of_two(uint64_t v)
{
    return (v & (v - 1)) == 0;
}

int node_refresh(struct bp_block_node *node, struct bp_error *err)
{
    struct bp_block_child *primary = node_primary(node);
    struct bp_block_limits *l = &node->limits;
    int64_t length;

    *l = (struct bp_block_limits){.size = sizeof(*l)};
    if (primary && node->driver->flags & BP_BLOCK_FILTER)
        *l = primary->node->limits;
    if (node->driver->limits)
        node->driver->limits(node, l);
    if (!power_of_two(l->request_alignment) || !power_of_two(l->memory_alignment) ||
        !power_of_two(l->discard_alignment) || l->request_alignment > MAX_BOUNCE)
        return bp_fail(err, EINVAL, "node '%s': its driver asks for an alignment that is none",
                       node->name);
    length = node->driver->length ? node->driver->length(node)
             : primary ? __atomic_load_n(&primary->node->length, __ATOMIC_ACQUIRE) : -ENOTSUP;
    if (length < 0)
        return bp_fail(err, (int)-length, "node '%s': its length cannot be told: %s", node->name,
                       strerror((int)-length));
    if ((uint64_t)length > BP_BLOCK_MAX_LENGTH)
        return bp_fail(err, EFBIG, "node '%s' is too long", node->name);
    __atomic_store_n(&node->length, length, __ATOMIC_RELEASE);
    return 0;
}

static void set_length(struct bp_block_node *node, uint64_t length)
{
    if (__atomic_exchange_n(&node->length, (int64_t)length, __ATOMIC_ACQ_REL) == (int64_t)length)
        return;
    for (struct bp_block_child *p = node->parents; p; p = p->next_parent)
        if (p->parent && p->parent->driver->flags & BP_BLOCK_FILTER && !p->parent->driver->length &&
            node_primary(p->parent) == p)
            set_length(p->parent, length);
}

void node_set_length(struct bp_block_node *node, uint64_t length)
{
    pthread_mutex_lock(&graph_lock);
    set_length(node, length);
    pthread_mutex_unlock(&graph_lock);
}

void node_grow_length(struct bp_block_node *node, uint64_t length)
{
    if (__atomic_load_n(&node->length, __ATOMIC_ACQUIRE) >= (int64_t)length)
        return;
    pthread_mutex_lock(&graph_lock);
    if (__atomic_load_n(&node->length, __ATOMIC_ACQUIRE) < (int64_t)length)
        set_length(node, length);
    pthread_mutex_unlock(&graph_lock);
}

static int open_it(struct bp_block_node *node, struct bp_error *err)
{
    struct bp_block_open_flags flags = node->flags;
    int ret;

    flags.size = sizeof(flags);
    ret = node->driver->open ? node->driver->open(node, &flags, err) : 0;
    if (ret < 0)
        return ret;
    node->opened = true;
    if (!node->filename && node_primary(node) && node_primary(node)->node->filename)
        node->filename = bp_strdup(node_primary(node)->node->filename);
    ret = node_refresh(node, err);
    if (ret == 0)
        ret = permissions_update(node, err);
    if (ret == 0 && node->driver->granted)
        ret = node->driver->granted(node, err);
    return ret == 0 ? bitmaps_open(node, err) : ret;
}

/* With auto-read-only=on; one whose file cannot be written to either. */
static void follow_child(struct bp_block_node *node)
{
    struct bp_block_child *primary = node_primary(node);

    if (!primary || !primary->node || !node->auto_read_only || node->flags.read_only || !primary->node->flags.read_only)
        return;
    node->flags.read_only = node->fell_back = true;
}

static int fill_in(struct bp_block_node *node, const char *driver, struct bp_value *options,
                   struct bp_error *err)
{
    int ret = take_common(node, options, err);

    if (ret == 0)
        ret = make_children(node, options, err);
    if (ret == 0)
        follow_child(node);
    if (ret == 0)
        ret = bp_object_new("block-driver", driver, node->name, NULL, options, &node->obj, err);
    if (ret == 0)
        ret = open_it(node, err);
    return ret;
}

static void provided(const char *name, const char *summary, void *opaque)
{
    (void)summary;
    if (!strcmp(name, ((const char **)opaque)[0]))
        ((const char **)opaque)[1] = name;
}

/* What the manual has and no module offers yet. */
static const struct {
    const char *name, *missing;
} not_built[] = {
    {"qcow", "images in the format qcow"}, {"replication", "replication"},
    {"nvme", "NVMe controllers of the host"}, {"io_uring", "libblkio"},
};

int node_driver_class(const char *driver, const void **ret_class, struct bp_error *err)
{
    const char *found[2] = {driver, NULL};

    bp_provided_each("block-driver", provided, found);
    for (unsigned i = 0; !found[1] && i < BP_COUNT(not_built); i++)
        if (!strcmp(driver, not_built[i].name))
            return bp_fail(err, ENOTSUP, "driver '%s': not built yet: %s", driver,
                           not_built[i].missing);
    return bp_provided_class("block-driver", driver, ret_class, err);
}

static int find_driver(struct bp_block_node *node, const char *driver, struct bp_error *err)
{
    const void *class;
    int ret = node_driver_class(driver, &class, err);

    if (ret == 0)
        node->driver = class;
    return ret;
}

int node_new(struct bp_value *given, struct bp_block_node *parent, uint32_t roles,
             struct bp_block_node **ret_node, struct bp_error *err)
{
    struct bp_block_node *node;
    int ret = node_new_alone(given, parent, roles, &node, err);

    if (ret < 0)
        return ret;
    ret = image_open_wanted(node, err);
    if (ret < 0)
        node_unref(node);
    else
        *ret_node = node;
    return ret;
}

int node_new_alone(struct bp_value *given, struct bp_block_node *parent, uint32_t roles,
                   struct bp_block_node **ret_node, struct bp_error *err)
{
    const char *driver = bp_value_get_string(given, "driver");
    struct bp_value *options;
    struct bp_block_node *node;
    int ret;

    if (!driver)
        return bp_fail(err, EINVAL, "key 'driver' is missing");
    node = bp_alloc(sizeof(*node));
    node->refs = 1;
    node->tracked_tail = &node->tracked;
    pthread_mutex_init(&node->track_lock, NULL);
    node->shared = node->new_shared = BP_BLOCK_PERM_ALL;
    node->options = bp_value_copy(given);
    node->flags.size = sizeof(node->flags);
    options = bp_value_copy(given);
    driver = bp_value_get_string(options, "driver");
    inherit(node, parent, roles);
    ret = choose_name(node, options, err);
    if (ret == 0)
        ret = find_driver(node, driver, err);
    if (ret == 0) {
        bp_value_remove(options, "driver");
        link_last(node);
        ret = fill_in(node, bp_value_get_string(given, "driver"), options, err);
    }
    bp_value_unref(options);
    if (ret < 0) {
        node_unref(node);
        return ret;
    }
    *ret_node = node;
    return 0;
}

/* ---- reopening ---- */

/* What it is going to write to lets it, before it says that it can be written to. */
static int let_write(struct bp_block_node *node, struct bp_error *err)
{
    int ret;

    node->flags.read_only = false;
    ret = permissions_update(node, err);
    node->flags.read_only = ret < 0;
    return ret;
}

int node_reopen(struct bp_block_node *node, struct bp_value *options, struct bp_error *err)
{
    struct bp_block_node trial = *node; /* only its flags are looked at */
    struct bp_block_open_flags flags;
    struct bp_value *rest = bp_value_copy(options);
    bool fell_back = node->fell_back;
    int ret;

    bp_value_remove(rest, "driver");
    bp_value_remove(rest, "node-name");
    for (const struct bp_block_child_info *c = node->driver->children; c && c->name; c++)
        bp_value_remove(rest, c->name);
    if (node->fell_back)
        trial.flags.read_only = false; /* which is what the user said */
    node->fell_back = false;
    ret = take_common(&trial, rest, err);
    flags = trial.flags;
    if (ret == 0 && flags.read_only && node->need & BP_BLOCK_PERM_WRITE)
        ret = bp_fail(err, EBUSY, "node '%s' has users that write", node->name);
    if (ret == 0 && flags.read_only && !node->flags.read_only) { /* later flushes pass it by */
        ret = node_flush(node);
        if (ret < 0)
            bp_fail(err, -ret, "node '%s': what was written to it cannot be flushed: %s", node->name,
                    strerror(-ret));
    }
    if (ret == 0 && flags.read_only && !node->flags.read_only)
        bitmaps_store(node);
    if (ret == 0 && node->driver->reopen_prepare)
        ret = node->driver->reopen_prepare(node, &flags, rest, err);
    else if (ret == 0 && bp_value_length(rest) > 0)
        ret = bp_fail(err, ENOTSUP, "driver '%s' cannot change its own keys while it is open",
                      node->driver->type.name + sizeof("block-") - 1);
    bp_value_unref(rest);
    if (ret == 0 && node->flags.read_only && !flags.read_only && !node->fell_back) {
        ret = let_write(node, err);
        if (ret < 0 && node->driver->reopen_abort)
            node->driver->reopen_abort(node);
    }
    if (ret < 0) {
        node->fell_back = fell_back;
        bitmaps_open(node, NULL);
        return ret;
    }
    flags.read_only |= node->fell_back;
    if (node->driver->reopen_commit)
        node->driver->reopen_commit(node);
    node->flags = flags;
    node->direct = trial.direct;
    node->no_flush = trial.no_flush;
    node->unmap = trial.unmap;
    node->detect = trial.detect;
    node->auto_read_only = trial.auto_read_only;
    ret = node_refresh(node, err);
    if (ret == 0)
        ret = permissions_update(node, err);
    if (ret == 0 && node->driver->granted)
        ret = node->driver->granted(node, err);
    return ret == 0 ? bitmaps_open(node, err) : ret;
}
