/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-throttle`: the filter `throttle` and its groups, `-object throttle-group`. Each limit is a bucket
 * that drains at the allowed rate; a request pours in what it is worth and first waits until what others poured
 * is low enough. All members of a group share its buckets, in the order in which requests come. With a
 * burst rate a bucket holds that rate for so many seconds; without, a tenth of a second.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <bp/coroutine.h>
#include <bp/host/block.h>

BP_USE(block, struct bp_block_interface, "block", 1);
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

enum { BPS, BPS_READ, BPS_WRITE, IOPS, IOPS_READ, IOPS_WRITE, BUCKETS };
static const char *const names[BUCKETS] = {"bps-total", "bps-read", "bps-write",
                                           "iops-total", "iops-read", "iops-write"};
static const char *const max_names[BUCKETS] = {"bps-total-max", "bps-read-max", "bps-write-max",
                                               "iops-total-max", "iops-read-max", "iops-write-max"};
static const char *const length_names[BUCKETS] = {
    "bps-total-max-length", "bps-read-max-length", "bps-write-max-length",
    "iops-total-max-length", "iops-read-max-length", "iops-write-max-length"};

struct limits {
    uint64_t rate[BUCKETS], max[BUCKETS], seconds[BUCKETS], iops_size;
};

struct waiter {
    struct waiter *next, **link;
    struct bp_co *co;
    bool go; /* atomic */
};

struct group {
    struct group *next;
    char *name;
    unsigned refs;
    pthread_mutex_t lock;
    struct limits limits;
    double level[BUCKETS], burst[BUCKETS]; /* units that are in it */
    int64_t looked;                        /* ns when they were right */
};

struct throttle_state {
    char *group_id; /* throttle-group= */
    struct bp_value *inline_limits;
    char *inline_name;
    struct group *group;
    struct bp_block_child *file;
    pthread_mutex_t lock; /* of what follows */
    struct waiter *waiters;
    unsigned drained;
};

/* ---- groups ---- */

static struct group *groups; /* [main] */

static struct group *group_find(const char *name)
{
    struct group *g = groups;

    while (g && strcmp(g->name, name) != 0)
        g = g->next;
    return g;
}

static struct group *group_get(const char *name)
{
    struct group *g = group_find(name);

    if (!g) {
        g = bp_alloc(sizeof(*g));
        g->name = bp_strdup(name);
        pthread_mutex_init(&g->lock, NULL);
        g->next = groups;
        groups = g;
    }
    g->refs++;
    return g;
}

static void group_put(struct group *g)
{
    struct group **link = &groups;

    if (!g || --g->refs > 0)
        return;
    while (*link != g)
        link = &(*link)->next;
    *link = g->next;
    pthread_mutex_destroy(&g->lock);
    free(g->name);
    free(g);
}

static uint64_t number(struct bp_value *dict, const char *key)
{
    return bp_value_as_uint(bp_value_get(dict, key));
}

static int check_pair(const struct limits *l, int total, struct bp_error *err)
{
    for (int i = total + 1; i < total + 3; i++)
        if ((l->rate[total] || l->max[total]) && (l->rate[i] || l->max[i]))
            return bp_fail(err, EINVAL, "%s and %s cannot be used at the same time", names[total], names[i]);
    return 0;
}

static int check_limits(const struct limits *l, struct bp_error *err)
{
    int ret = check_pair(l, BPS, err);

    if (ret == 0)
        ret = check_pair(l, IOPS, err);
    for (int i = 0; ret == 0 && i < BUCKETS; i++) {
        if (l->rate[i] > 1000000000000000 || l->max[i] > 1000000000000000)
            ret = bp_fail(err, EINVAL, "%s: limits are from 0 to 1000000000000000", names[i]);
        else if (l->max[i] && !l->rate[i])
            ret = bp_fail(err, EINVAL, "%s needs %s", max_names[i], names[i]);
        else if (l->max[i] && l->max[i] < l->rate[i])
            ret = bp_fail(err, EINVAL, "%s must not be below %s", max_names[i], names[i]);
        else if (l->seconds[i] > 1 && !l->max[i])
            ret = bp_fail(err, EINVAL, "%s needs %s", length_names[i], max_names[i]);
        else if (l->seconds[i] && l->max[i] && l->seconds[i] > 1000000000000000 / l->max[i])
            ret = bp_fail(err, EINVAL, "%s is too long", length_names[i]);
    }
    if (ret == 0 && l->iops_size && !l->rate[IOPS] && !l->rate[IOPS_READ] && !l->rate[IOPS_WRITE])
        ret = bp_fail(err, EINVAL, "iops-size needs a limit of iops");
    return ret;
}

static int read_limits(struct bp_value *dict, struct limits *ret, struct bp_error *err)
{
    struct limits l = {.iops_size = number(dict, "iops-size")};
    int r;

    for (int i = 0; i < BUCKETS; i++) {
        l.rate[i] = number(dict, names[i]);
        l.max[i] = number(dict, max_names[i]);
        l.seconds[i] = number(dict, length_names[i]);
        if (bp_value_has(dict, length_names[i]) && l.seconds[i] == 0)
            return bp_fail(err, EINVAL, "%s: bursts last a second at least", length_names[i]);
    }
    r = check_limits(&l, err);
    if (r == 0)
        *ret = l;
    return r;
}

static void group_set(struct group *g, const struct limits *l)
{
    pthread_mutex_lock(&g->lock);
    g->limits = *l;
    memset(g->level, 0, sizeof(g->level));
    memset(g->burst, 0, sizeof(g->burst));
    pthread_mutex_unlock(&g->lock);
}

/* ---- buckets: under the group's lock ---- */

static void leak(struct group *g, int64_t now)
{
    double seconds = g->looked ? (double)(now - g->looked) / 1e9 : 0;

    g->looked = now;
    for (int i = 0; i < BUCKETS; i++) {
        g->level[i] -= seconds * (double)g->limits.rate[i];
        g->burst[i] -= seconds * (double)g->limits.max[i];
        if (g->level[i] < 0)
            g->level[i] = 0;
        if (g->burst[i] < 0)
            g->burst[i] = 0;
    }
}

/* Seconds until what is in it is low enough. */
static double bucket_wait(const struct group *g, int i)
{
    double rate = (double)g->limits.rate[i], max = (double)g->limits.max[i], wait = 0, burst;
    double room = max > 0 ? max * (double)(g->limits.seconds[i] ? g->limits.seconds[i] : 1) : rate / 10;

    if (rate <= 0)
        return 0;
    if (g->level[i] > room)
        wait = (g->level[i] - room) / rate;
    burst = max > 0 && g->limits.seconds[i] > 1 ? (g->burst[i] - max / 10) / max : 0;
    return burst > wait ? burst : wait;
}

/* ns to wait; what the request is worth is poured in at once, so that who comes later waits longer. */
static int64_t pour(struct group *g, bool write, uint64_t bytes)
{
    const int used[4] = {BPS, write ? BPS_WRITE : BPS_READ, IOPS, write ? IOPS_WRITE : IOPS_READ};
    double wait = 0;

    pthread_mutex_lock(&g->lock);
    leak(g, bp_clock_ns(BP_CLOCK_REALTIME));
    for (int i = 0; i < 4; i++) {
        double w = bucket_wait(g, used[i]), units = 1;

        if (used[i] < IOPS)
            units = (double)bytes;
        else if (g->limits.iops_size && bytes > g->limits.iops_size)
            units = (double)bytes / (double)g->limits.iops_size;
        g->level[used[i]] += units;
        g->burst[used[i]] += units;
        if (w > wait)
            wait = w;
    }
    pthread_mutex_unlock(&g->lock);
    return wait > 3600 ? (int64_t)3600000000000 : (int64_t)(wait * 1e9);
}

/* ---- requests ---- */

static void timed_out(void *opaque)
{
    struct waiter *w = opaque;

    __atomic_store_n(&w->go, true, __ATOMIC_RELEASE);
    bp_co_wake(w->co);
}

static int wait_turn(struct bp_block_node *node, bool write, uint64_t bytes)
{
    struct throttle_state *s = block->state(node);
    struct waiter w = {.co = bp_co_current()};
    int64_t ns = pour(s->group, write, bytes);
    struct bp_timer *timer;
    int ret = 0;

    if (ns <= 0 || !block->may_wait())
        return 0;
    pthread_mutex_lock(&s->lock);
    w.go = s->drained > 0;
    w.next = s->waiters;
    w.link = &s->waiters;
    if (w.next)
        w.next->link = &w.next;
    s->waiters = &w;
    pthread_mutex_unlock(&s->lock);
    timer = bp_timer_new(block->owner(node), bp_co_context(w.co), BP_CLOCK_REALTIME, timed_out, &w);
    bp_timer_set(timer, bp_clock_ns(BP_CLOCK_REALTIME) + ns);
    while (ret == 0 && !__atomic_load_n(&w.go, __ATOMIC_ACQUIRE))
        ret = bp_co_yield();
    bp_timer_free(timer);
    pthread_mutex_lock(&s->lock);
    *w.link = w.next;
    if (w.next)
        w.next->link = w.link;
    pthread_mutex_unlock(&s->lock);
    return ret;
}

static int hand_on(struct bp_block_node *node, enum bp_block_op op, const struct bp_block_request *req)
{
    struct throttle_state *s = block->state(node);
    int ret = wait_turn(node, op != BP_BLOCK_READ, op == BP_BLOCK_DISCARD ? 0 : req->bytes);

    return ret < 0 ? ret : block->child_request(s->file, op, req);
}

static int throttle_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    return hand_on(node, BP_BLOCK_READ, req);
}

static int throttle_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    return hand_on(node, BP_BLOCK_WRITE, req);
}

static int throttle_zeroes(struct bp_block_node *node, const struct bp_block_request *req)
{
    return hand_on(node, BP_BLOCK_WRITE_ZEROES, req);
}

static int throttle_discard(struct bp_block_node *node, const struct bp_block_request *req)
{
    return hand_on(node, BP_BLOCK_DISCARD, req);
}

static void drain_begin(struct bp_block_node *node)
{
    struct throttle_state *s = block->state(node);

    pthread_mutex_lock(&s->lock);
    s->drained++;
    for (struct waiter *w = s->waiters; w; w = w->next) {
        __atomic_store_n(&w->go, true, __ATOMIC_RELEASE);
        bp_co_wake(w->co);
    }
    pthread_mutex_unlock(&s->lock);
}

static void drain_end(struct bp_block_node *node)
{
    struct throttle_state *s = block->state(node);

    pthread_mutex_lock(&s->lock);
    if (s->drained > 0)
        s->drained--;
    pthread_mutex_unlock(&s->lock);
}

static int throttle_open(struct bp_block_node *node, const struct bp_block_open_flags *flags,
                         struct bp_error *err)
{
    struct throttle_state *s = block->state(node);
    struct limits limits = {.iops_size = 0};
    int ret;

    (void)flags;
    s->file = block->child(node, "file");
    if (s->inline_limits) {
        ret = read_limits(s->inline_limits, &limits, err);
        if (ret < 0)
            return ret;
        s->group = group_get(s->inline_name ? s->inline_name : block->node_name(node));
        group_set(s->group, &limits);
    } else if (!s->group_id) {
        return bp_fail(err, EINVAL, "key 'throttle-group' is missing: the id of an -object throttle-group");
    } else if (!group_find(s->group_id)) {
        return bp_fail(err, ENOENT, "key 'throttle-group': there is no throttle-group '%s'", s->group_id);
    } else {
        s->group = group_get(s->group_id);
    }
    pthread_mutex_init(&s->lock, NULL);
    return 0;
}

static void throttle_close(struct bp_block_node *node)
{
    struct throttle_state *s = block->state(node);

    group_put(s->group);
    pthread_mutex_destroy(&s->lock);
}

static const struct bp_field props[] = {
    BP_PROP("throttle-group", STRING, struct throttle_state, group_id, NULL,
            "id of the throttle-group whose limits it keeps"),
    {.name = "limits", .kind = BP_KIND_ANY, .flags = BP_FIELD_HIDDEN,
     .offset = offsetof(struct throttle_state, inline_limits), .help = "limits of -drive"},
    {.name = "group", .kind = BP_KIND_STRING, .flags = BP_FIELD_HIDDEN,
     .offset = offsetof(struct throttle_state, inline_name), .help = "group of -drive"},
    BP_FIELDS_END};
static const struct bp_block_child_info children[] = {
    {.name = "file", .roles = BP_BLOCK_FILTERED | BP_BLOCK_PRIMARY, .help = "what is slowed down"},
    {.name = NULL}};

BP_BLOCK_DRIVER(throttle_driver, "throttle", "Limits bytes and requests a second", struct throttle_state, props,
                .flags = BP_BLOCK_FILTER | BP_BLOCK_NO_NAME, .native = BP_BLOCK_FUA | BP_BLOCK_UNCHANGED,
                .children = children, .open = throttle_open, .close = throttle_close,
                .read = throttle_read, .write = throttle_write, .write_zeroes = throttle_zeroes,
                .discard = throttle_discard, .drain_begin = drain_begin, .drain_end = drain_end);

/* ---- -object throttle-group ---- */

struct group_state {
    struct group *group;
    struct bp_value *limits; /* as given, until complete() */
};

static int add_limit(const char *key, struct bp_value *value, void *opaque)
{
    bp_value_set(opaque, key, bp_value_ref(value));
    return 0;
}

static int apply(struct group_state *s, struct bp_value *limits, struct bp_error *err)
{
    struct limits l;
    int ret = read_limits(limits, &l, err);

    if (ret == 0 && s->group)
        group_set(s->group, &l);
    return ret;
}

static int merge(struct group_state *s, const char *key, struct bp_value *value, struct bp_error *err)
{
    struct bp_value *limits = s->limits ? bp_value_copy(s->limits) : bp_value_dict();
    int ret;

    if (key)
        bp_value_set(limits, key, bp_value_ref(value));
    else
        bp_value_each(value, add_limit, limits);
    ret = s->group ? apply(s, limits, err) : 0; /* before that, one key may still need another */
    if (ret < 0) {
        bp_value_unref(limits);
        return ret;
    }
    bp_value_unref(s->limits);
    s->limits = limits;
    return 0;
}

static int set_limits(struct bp_object *obj, const struct bp_field *f, struct bp_value *value,
                      struct bp_error *err)
{
    (void)f;
    return merge(bp_object_state(obj), NULL, value, err);
}

static int get_limits(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
                      struct bp_error *err)
{
    struct group_state *s = bp_object_state(obj);

    (void)f;
    (void)err;
    *ret_value = s->limits ? bp_value_copy(s->limits) : bp_value_dict();
    return 0;
}

static int set_one(struct bp_object *obj, const struct bp_field *f, struct bp_value *value,
                   struct bp_error *err)
{
    return merge(bp_object_state(obj), f->name + 2, value, err); /* "x-" */
}

static int get_one(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
                   struct bp_error *err)
{
    struct group_state *s = bp_object_state(obj);

    (void)err;
    *ret_value = bp_value_uint(s->limits ? number(s->limits, f->name + 2) : 0);
    return 0;
}

static int group_complete(struct bp_object *obj, struct bp_error *err)
{
    struct group_state *s = bp_object_state(obj);
    struct limits limits = {.iops_size = 0};
    int ret = s->limits ? read_limits(s->limits, &limits, err) : 0;

    if (ret < 0)
        return ret;
    if (group_find(bp_object_id(obj)))
        return bp_fail(err, EEXIST, "a drive has made a group '%s' already", bp_object_id(obj));
    s->group = group_get(bp_object_id(obj));
    group_set(s->group, &limits);
    return 0;
}

static void group_finalize(struct bp_object *obj)
{
    struct group_state *s = bp_object_state(obj);

    group_put(s->group);
    bp_value_unref(s->limits);
    s->group = NULL;
    s->limits = NULL;
}

static bool group_can_delete(struct bp_object *obj)
{
    struct group_state *s = bp_object_state(obj);

    return !s->group || s->group->refs == 1;
}

#define LIMIT(NAME) BP_ARG_OPT(NAME, UINT64, "a limit")
#define SINGLE(NAME) \
    {.name = "x-" NAME, .kind = BP_KIND_UINT64, .flags = BP_FIELD_WRITE_LIVE | BP_FIELD_HIDDEN, \
     .help = "as limits." NAME, .get = get_one, .set = set_one}
#define EACH(M) \
    M("bps-total"), M("bps-read"), M("bps-write"), M("iops-total"), M("iops-read"), M("iops-write"), \
    M("bps-total-max"), M("bps-read-max"), M("bps-write-max"), M("iops-total-max"), \
    M("iops-read-max"), M("iops-write-max"), M("bps-total-max-length"), M("bps-read-max-length"), \
    M("bps-write-max-length"), M("iops-total-max-length"), M("iops-read-max-length"), \
    M("iops-write-max-length"), M("iops-size")
static const struct bp_field limit_members[] = {EACH(LIMIT), BP_FIELDS_END};
static const struct bp_schema limits_schema = {"ThrottleLimits", BP_KIND_STRUCT, .members = limit_members};
static const struct bp_field group_props[] = {
    {.name = "limits", .kind = BP_KIND_STRUCT, .flags = BP_FIELD_WRITE_LIVE, .schema = &limits_schema,
     .help = "bytes and requests a second", .get = get_limits, .set = set_limits},
    EACH(SINGLE), BP_FIELDS_END};

BP_NOTE("provides=object:throttle-group;summary=Limits that disks share");
static const struct bp_object_class group_class = {
    .type = {.size = sizeof(struct bp_object_class), .name = "throttle-group",
             .summary = "Limits that disks share", .state_size = sizeof(struct group_state),
             .props = group_props},
    .complete = group_complete, .finalize = group_finalize, .can_delete = group_can_delete};

BP_MODULE("block-throttle", "Limits of disks", imports, {BP_PROVIDE_OTHER, &throttle_driver},
          {BP_PROVIDE_OBJECT, &group_class});
