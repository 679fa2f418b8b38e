/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dirty bitmaps: which parts of a node were written to since a bitmap was made or cleared. They are marked after a
 * write
 * has ended, well or not, in whatever thread it ran; all else is [main].
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/log.h>

#include "jobs.h"

#define MAX_BITMAPS 65535u
#define MAX_BITS (UINT64_C(1) << 33) /* of one: 1 GiB */

static uint64_t bits_for(uint64_t length, uint64_t granularity)
{
    return length / granularity + (length % granularity != 0);
}

int bitmap_new(const char *name, uint64_t granularity, uint64_t length, struct bitmap **ret_bitmap,
               struct bp_error *err)
{
    struct bitmap *b;

    if (granularity < 512 || granularity > UINT64_C(1) << 31 || granularity & (granularity - 1))
        return bp_fail(err, EINVAL, "member 'granularity' expects a power of two from 512 to 2147483648, not %llu",
                       (unsigned long long)granularity);
    if (bits_for(length, granularity) > MAX_BITS)
        return bp_fail(err, EFBIG, "a granularity of %llu bytes is too fine for a disk of this length",
                       (unsigned long long)granularity);
    b = bp_alloc(sizeof(*b));
    *b = (struct bitmap){.name = name ? bp_strdup(name) : NULL, .granularity = granularity, .length = length,
                         .words = bits_for(length, granularity) / 64 + 1, .enabled = true};
    b->bits = calloc(b->words, sizeof(*b->bits));
    if (!b->bits) {
        free(b->name);
        free(b);
        return bp_fail(err, ENOMEM, "no memory for a bitmap");
    }
    pthread_mutex_init(&b->lock, NULL);
    *ret_bitmap = b;
    return 0;
}

void bitmap_free(struct bitmap *b)
{
    if (!b)
        return;
    pthread_mutex_destroy(&b->lock);
    free(b->bits);
    free(b->name);
    free(b);
}

/* The node has become longer. Under the lock. */
static void reach(struct bitmap *b, uint64_t end)
{
    uint64_t words;
    uint64_t *bits;

    if (end <= b->length)
        return;
    words = bits_for(end, b->granularity) / 64 + 1;
    if (words > b->words) {
        bits = realloc(b->bits, words * sizeof(*bits));
        if (!bits || words > MAX_BITS / 64) {
            b->bits = bits ? bits : b->bits;
            return; /* what lies beyond is not recorded */
        }
        memset(bits + b->words, 0, (words - b->words) * sizeof(*bits));
        b->bits = bits;
        b->words = words;
    }
    b->length = end;
}

static void change(struct bitmap *b, uint64_t offset, uint64_t bytes, bool set)
{
    uint64_t first, last, end;

    if (bytes == 0)
        return;
    pthread_mutex_lock(&b->lock);
    if (set)
        reach(b, offset + bytes);
    end = offset + bytes < b->length ? offset + bytes : b->length;
    if (offset < end) {
        first = offset / b->granularity;
        last = (end - 1) / b->granularity;
        for (uint64_t i = first; i <= last; i++) {
            uint64_t mask = UINT64_C(1) << i % 64, *word = &b->bits[i / 64];

            if (i % 64 == 0 && i + 63 <= last && (*word == 0 || *word == UINT64_MAX)) {
                b->count += set && !*word ? 64 : 0;
                b->count -= !set && *word ? 64 : 0;
                *word = set ? UINT64_MAX : 0;
                i += 63;
                continue;
            }
            if (!(*word & mask) == set) {
                *word ^= mask;
                b->count = set ? b->count + 1 : b->count - 1;
            }
        }
    }
    pthread_mutex_unlock(&b->lock);
}

void bitmap_set(struct bitmap *b, uint64_t offset, uint64_t bytes)
{
    change(b, offset, bytes, true);
}

void bitmap_clear(struct bitmap *b, uint64_t offset, uint64_t bytes)
{
    change(b, offset, bytes, false);
}

bool bitmap_next(struct bitmap *b, uint64_t from, uint64_t most, uint64_t *ret_offset, uint64_t *ret_bytes)
{
    uint64_t i = from / b->granularity, bits, n = 0;
    bool found = false;

    pthread_mutex_lock(&b->lock);
    bits = bits_for(b->length, b->granularity);
    while (i < bits && !found) {
        uint64_t word = b->bits[i / 64] >> i % 64;

        if (word == 0) {
            i = (i / 64 + 1) * 64;
            continue;
        }
        i += (unsigned)__builtin_ctzll(word);
        found = i < bits;
    }
    if (found) {
        while (i + n < bits && (n + 1) * b->granularity <= (most > b->granularity ? most : b->granularity) &&
               b->bits[(i + n) / 64] >> (i + n) % 64 & 1)
            n++;
        *ret_offset = i * b->granularity;
        *ret_bytes = n * b->granularity;
        if (*ret_offset + *ret_bytes > b->length)
            *ret_bytes = b->length - *ret_offset;
    }
    pthread_mutex_unlock(&b->lock);
    return found;
}

uint64_t bitmap_bytes(struct bitmap *b)
{
    uint64_t bytes;

    pthread_mutex_lock(&b->lock);
    bytes = b->count * b->granularity;
    pthread_mutex_unlock(&b->lock);
    return bytes;
}

void bitmap_merge(struct bitmap *to, struct bitmap *from)
{
    uint64_t at = 0, offset, bytes;

    while (bitmap_next(from, at, UINT64_C(1) << 40, &offset, &bytes)) {
        bitmap_set(to, offset, bytes);
        at = offset + bytes;
    }
}

/* ---- of nodes ---- */

void bitmaps_mark(struct bp_block_node *node, uint64_t offset, uint64_t bytes)
{
    for (struct bitmap *b = node->bitmaps; b; b = b->next)
        if (__atomic_load_n(&b->enabled, __ATOMIC_ACQUIRE))
            bitmap_set(b, offset, bytes);
}

void bitmaps_free(struct bp_block_node *node)
{
    while (node->bitmaps) {
        struct bitmap *b = node->bitmaps;

        node->bitmaps = b->next;
        bitmap_free(b);
    }
}

struct bp_value *bitmaps_info(struct bp_block_node *node)
{
    struct bp_value *list = NULL;

    for (struct bitmap *b = node->bitmaps; b; b = b->next) {
        struct bp_value *v = bp_value_dict();

        if (!list)
            list = bp_value_list();
        if (b->name)
            bp_value_set(v, "name", bp_value_string(b->name));
        bp_value_set(v, "count", bp_value_uint(bitmap_bytes(b)));
        bp_value_set(v, "granularity", bp_value_uint(b->granularity));
        bp_value_set(v, "recording", bp_value_bool(b->enabled));
        bp_value_set(v, "busy", bp_value_bool(b->busy));
        bp_value_set(v, "persistent", bp_value_bool(b->persistent));
        if (b->inconsistent)
            bp_value_set(v, "inconsistent", bp_value_bool(true));
        bp_value_append(list, v);
    }
    return list;
}

struct bitmap *bitmap_of(struct bp_block_node *node, const char *name)
{
    struct bitmap *b = node->bitmaps;

    while (b && (!b->name || strcmp(b->name, name) != 0))
        b = b->next;
    return b;
}

static struct bitmap *find(const char *node_name, const char *name, struct bp_block_node **ret_node,
                           struct bp_error *err)
{
    struct bp_block_node *node = node_name ? job_node(node_name, err) : NULL;
    struct bitmap *b = node && name ? bitmap_of(node, name) : NULL;

    if (!node_name || !name)
        bp_fail(err, EINVAL, "members 'node' and 'name' are needed");
    else if (node && !b)
        bp_fail(err, ENOENT, "node '%s' has no bitmap '%s'", node->name, name);
    if (ret_node)
        *ret_node = node;
    return b;
}

struct bitmap *bitmap_find(struct bp_value *args, struct bp_block_node **ret_node, struct bp_error *err)
{
    return find(bp_value_get_string(args, "node"), bp_value_get_string(args, "name"), ret_node, err);
}

/* ---- of images ---- */

static int add_loaded(void *opaque, const struct bp_block_bitmap *from)
{
    struct bp_block_node *node = opaque;
    struct bitmap *b, **link = &node->bitmaps;
    int ret;

    if (bitmap_of(node, from->name))
        return -EINVAL;
    ret = bitmap_new(from->name, from->granularity, from->inconsistent ? 0 : from->length, &b, NULL);
    if (ret < 0)
        return ret;
    b->persistent = true;
    b->inconsistent = from->inconsistent;
    b->enabled = from->enabled && !from->inconsistent;
    for (uint64_t i = 0; from->bits && i < (bits_for(b->length, b->granularity) + 63) / 64; i++) {
        b->bits[i] = from->bits[i];
        b->count += (unsigned)__builtin_popcountll(b->bits[i]);
    }
    while (*link)
        link = &(*link)->next;
    *link = b;
    node->bitmaps_in_image = true;
    return 0;
}

int bitmaps_open(struct bp_block_node *node, struct bp_error *err)
{
    int ret = 0;

    if (!node->driver->bitmaps_load)
        return 0;
    if (!node->bitmaps_loaded)
        ret = node->driver->bitmaps_load(node, add_loaded, node, err);
    node->bitmaps_loaded = true;
    return ret == 0 && !node->flags.read_only && node->bitmaps_in_image ? node->driver->bitmaps_use(node, err) : ret;
}

void bitmaps_store(struct bp_block_node *node)
{
    struct bp_block_bitmap *list;
    struct bp_error err = {0};
    unsigned n = 0, i = 0;

    for (struct bitmap *b = node->bitmaps; b; b = b->next)
        n += b->persistent;
    if (!node->driver->bitmaps_store || node->flags.read_only || !node->bitmaps_loaded ||
        (n == 0 && !node->bitmaps_in_image))
        return;
    list = bp_alloc((n + 1) * sizeof(*list));
    for (struct bitmap *b = node->bitmaps; b; b = b->next) {
        if (!b->persistent)
            continue;
        reach(b, (uint64_t)node->length);
        list[i++] = (struct bp_block_bitmap){.size = sizeof(*list), .enabled = b->enabled, .name = b->name,
                                             .inconsistent = b->inconsistent, .granularity = b->granularity,
                                             .length = b->length, .bits = b->inconsistent ? NULL : b->bits};
    }
    if (node->driver->bitmaps_store(node, list, n, &err) < 0)
        bp_warn("node '%s': its bitmaps could not be stored: %s", node->name, err.message);
    else
        node->bitmaps_in_image = n > 0;
    free(list);
}

/* ---- actions ---- */

enum verb { ADD, REMOVE, CLEAR, ENABLE, DISABLE, MERGE, VERBS };
static const char *const verbs[VERBS] = {
    "block-dirty-bitmap-add", "block-dirty-bitmap-remove", "block-dirty-bitmap-clear", "block-dirty-bitmap-enable",
    "block-dirty-bitmap-disable", "block-dirty-bitmap-merge"};

static const char inconsistent_text[] =
    "the bitmap is inconsistent: whoever wrote to the image last did not store it; it can only be removed";

struct bitmap_action {
    enum verb verb;
    struct bp_block_node *node; /* held */
    struct bitmap *b;
    struct bitmap *saved; /* as it was, or (REMOVE) itself */
    bool was_enabled;
};

static void unlink_it(struct bp_block_node *node, struct bitmap *b)
{
    struct bitmap **link = &node->bitmaps;

    while (*link != b)
        link = &(*link)->next;
    *link = b->next;
}

static uint64_t usual_granularity(const struct bp_block_node *node)
{
    uint64_t g = node->limits.optimal_transfer;

    return g < 4096 ? 65536 : g > 65536 ? 65536 : g;
}

static int add(struct bitmap_action *a, struct bp_value *args, struct bp_error *err)
{
    const char *name = bp_value_get_string(args, "name"), *node_name = bp_value_get_string(args, "node");
    bool persistent = bp_value_as_bool(bp_value_get(args, "persistent"));
    struct bitmap **link;
    unsigned count = 0;
    int ret;

    a->node = node_name ? job_node(node_name, err) : NULL;
    if (!a->node)
        return node_name ? -ENOENT : bp_fail(err, EINVAL, "member 'node' is missing");
    if (!name || !*name || strlen(name) > 1023)
        return bp_fail(err, EINVAL, "member 'name' expects 1 to 1023 bytes");
    if (bitmap_of(a->node, name))
        return bp_fail(err, EEXIST, "node '%s' has a bitmap '%s' already", a->node->name, name);
    if (persistent && (!a->node->driver->bitmaps_store || a->node->flags.read_only))
        return bp_fail(err, EINVAL, "node '%s' cannot keep a bitmap: %s", a->node->name,
                       a->node->driver->bitmaps_store ? "it is read-only" : "its format has none (qcow2 has)");
    ret = persistent ? a->node->driver->bitmaps_use(a->node, err) : 0;
    if (ret < 0)
        return ret;
    for (link = &a->node->bitmaps; *link; link = &(*link)->next)
        count++;
    if (count >= MAX_BITMAPS)
        return bp_fail(err, EFBIG, "a node has at most %u bitmaps", MAX_BITMAPS);
    ret = bitmap_new(name, bp_value_has(args, "granularity") ? bp_value_as_uint(bp_value_get(args, "granularity"))
                                                             : usual_granularity(a->node),
                     (uint64_t)__atomic_load_n(&a->node->length, __ATOMIC_ACQUIRE), &a->b, err);
    if (ret < 0)
        return ret;
    a->b->enabled = !bp_value_as_bool(bp_value_get(args, "disabled"));
    a->b->persistent = persistent;
    *link = a->b;
    return 0;
}

static int copy_of(struct bitmap *b, struct bitmap **ret, struct bp_error *err)
{
    int r = bitmap_new(b->name, b->granularity, b->length, ret, err);

    if (r == 0)
        bitmap_merge(*ret, b);
    return r;
}

static int merge(struct bitmap_action *a, struct bp_value *args, struct bp_error *err)
{
    struct bp_value *list = bp_value_get(args, "bitmaps");
    const char *target = bp_value_get_string(args, "target"), *node = bp_value_get_string(args, "node");
    struct bitmap *sum = NULL;
    int ret;

    a->b = find(node, target, &a->node, err);
    if (!a->b)
        return -ENOENT;
    if (a->b->busy)
        return bp_fail(err, EBUSY, "bitmap '%s' is in use by a job", a->b->name);
    if (a->b->inconsistent)
        return bp_fail(err, EINVAL, "%s", inconsistent_text);
    ret = copy_of(a->b, &sum, err);
    for (size_t i = 0; ret == 0 && i < bp_value_length(list); i++) {
        struct bp_value *v = bp_value_at(list, i);
        const char *name = bp_value_as_string(v);
        struct bitmap *from = name ? find(node, name, NULL, err) : bitmap_find(v, NULL, err);

        ret = !from ? -ENOENT
              : from->inconsistent ? bp_fail(err, EINVAL, "%s", inconsistent_text) : from->length != a->b->length
                  ? bp_fail(err, EINVAL, "bitmaps of disks of different lengths cannot be merged") : 0;
        if (ret == 0)
            bitmap_merge(sum, from);
    }
    if (ret == 0)
        ret = copy_of(a->b, &a->saved, err);
    if (ret == 0)
        bitmap_merge(a->b, sum);
    bitmap_free(sum);
    return ret;
}

static int carry_out(struct bitmap_action *a, struct bp_value *args, struct bp_error *err)
{
    int ret = 0;

    if (a->verb == ADD)
        return add(a, args, err);
    if (a->verb == MERGE)
        return merge(a, args, err);
    a->b = bitmap_find(args, &a->node, err);
    if (!a->b)
        return -ENOENT;
    if (a->b->busy)
        return bp_fail(err, EBUSY, "bitmap '%s' is in use by a job", a->b->name);
    if (a->b->inconsistent && a->verb != REMOVE)
        return bp_fail(err, EINVAL, "%s", inconsistent_text);
    a->was_enabled = a->b->enabled;
    if (a->verb == REMOVE) {
        unlink_it(a->node, a->b);
        a->saved = a->b;
    } else if (a->verb == CLEAR) {
        ret = copy_of(a->b, &a->saved, err);
        if (ret == 0)
            bitmap_clear(a->b, 0, a->b->length);
    } else {
        __atomic_store_n(&a->b->enabled, a->verb == ENABLE, __ATOMIC_RELEASE);
    }
    return ret;
}

/* The caller has drained what is concerned. */
int bitmap_do(const char *type, struct bp_value *args, struct bitmap_action **ret_action, struct bp_error *err)
{
    struct bitmap_action *a;
    unsigned verb = 0;
    int ret;

    while (verb < VERBS && strcmp(type, verbs[verb]) != 0)
        verb++;
    if (verb == VERBS)
        return bp_fail(err, EINVAL, "there is no action '%.60s'", type);
    a = bp_alloc(sizeof(*a));
    *a = (struct bitmap_action){.verb = (enum verb)verb};
    ret = carry_out(a, args, err);
    if (ret < 0) {
        if (a->verb == MERGE || a->verb == CLEAR)
            bitmap_free(a->saved);
        free(a);
        return ret;
    }
    node_ref(a->node);
    *ret_action = a;
    return 0;
}

void bitmap_end(struct bitmap_action *a, bool undo)
{
    if (undo && a->verb == ADD) {
        unlink_it(a->node, a->b);
        bitmap_free(a->b);
    } else if (undo && a->verb == REMOVE) {
        a->b->next = a->node->bitmaps;
        a->node->bitmaps = a->b;
        a->saved = NULL;
    } else if (undo && a->saved) {
        bitmap_clear(a->b, 0, a->b->length);
        bitmap_merge(a->b, a->saved);
    } else if (undo) {
        __atomic_store_n(&a->b->enabled, a->was_enabled, __ATOMIC_RELEASE);
    }
    bitmap_free(a->saved);
    node_unref(a->node);
    free(a);
}
