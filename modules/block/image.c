/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Images by their names: what a file name or URL leads to, its format (given or looked for), the chain of what is
 * below it; new images. Chains are opened and read from the top down without recursion, however long they are. [co]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"

#define MAX_CHAIN 1000u

static bool has_scheme(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789+-_");

    return n > 1 && name[n] == ':';
}

/* A name that stands in an image is relative to the image's folder. */
char *image_resolve(const struct bp_block_node *from, const char *name)
{
    const char *base = from ? from->filename : NULL, *slash;
    size_t length;
    char *path;

    for (const struct bp_block_node *n = from; n && !base;) {
        struct bp_block_child *c = node_primary((struct bp_block_node *)(uintptr_t)n);

        n = c ? c->node : NULL;
        base = n ? n->filename : NULL;
    }
    slash = base && !has_scheme(base) ? strrchr(base, '/') : NULL;
    if (!slash || *name == '/' || has_scheme(name))
        return bp_strdup(name);
    length = (size_t)(slash - base) + 1;
    path = bp_alloc(length + strlen(name) + 1);
    memcpy(path, base, length);
    memcpy(path + length, name, strlen(name) + 1);
    return path;
}

/* "file.filename" becomes a member of "file". */
static int nest_key(const char *key, struct bp_value *value, void *opaque)
{
    struct bp_value *to = opaque;
    const char *dot = strchr(key, '.');
    char first[64];

    if (!dot || (size_t)(dot - key) >= sizeof(first)) {
        bp_value_set(to, key, bp_value_ref(value));
        return 0;
    }
    memcpy(first, key, (size_t)(dot - key));
    first[dot - key] = '\0';
    if (bp_value_type(bp_value_get(to, first)) != BP_VALUE_DICT)
        bp_value_set(to, first, bp_value_dict());
    return nest_key(dot + 1, value, bp_value_get(to, first));
}

struct bp_value *options_nest(struct bp_value *flat)
{
    struct bp_value *to = bp_value_dict();

    bp_value_each(flat, nest_key, to);
    return to;
}

/* json:{"file.driver": ...} says nothing of the image's format: its file is what is named. Takes the reference. */
struct bp_value *options_of_file(struct bp_value *options)
{
    struct bp_value *file = bp_value_get(options, "file");

    if (bp_value_has(options, "driver") || bp_value_type(file) != BP_VALUE_DICT || bp_value_length(options) > 1)
        return options;
    file = bp_value_copy(file);
    bp_value_unref(options);
    return file;
}

static bool is_protocol(const char *driver)
{
    const void *class;

    return bp_provided_class("block-driver", driver, &class, NULL) == 0 &&
           ((const struct bp_block_driver *)class)->flags & BP_BLOCK_PROTOCOL;
}

static int copy_member(const char *key, struct bp_value *value, void *opaque)
{
    if (!bp_value_has(opaque, key))
        bp_value_set(opaque, key, bp_value_ref(value));
    return 0;
}

/* Those that the file of an image has as well. */
static int copy_shared(const char *key, struct bp_value *value, void *opaque)
{
    static const char *const shared[] = {"read-only", "auto-read-only", "force-share", "cache", "aio", NULL};

    for (unsigned i = 0; shared[i]; i++)
        if (!strcmp(key, shared[i]))
            return copy_member(key, value, opaque);
    return 0;
}

static bool knows_backing(const char *driver)
{
    const struct bp_block_child_info *info;
    const void *class;

    if (node_driver_class(driver, &class, NULL) < 0)
        return true; /* told when it is opened */
    for (info = ((const struct bp_block_driver *)class)->children; info && info->name; info++)
        if (info->roles & BP_BLOCK_BACKING)
            return true;
    return false;
}

static bool knows_key(const char *driver, const char *key)
{
    const struct bp_field *f;
    const void *class;

    if (node_driver_class(driver, &class, NULL) < 0)
        return false;
    for (f = ((const struct bp_block_driver *)class)->type.props; f && f->name; f++)
        if (!strcmp(f->name, key))
            return true;
    return false;
}

static int open_format(struct bp_block_node *parent, uint32_t roles, struct bp_block_node *file, const char *format,
                       struct bp_value *more, struct bp_block_node **ret_node, struct bp_error *err)
{
    struct bp_value *options;
    const char *found = NULL;
    int ret = format ? 0 : probe_node(file, &found, err);

    if (ret < 0)
        return ret;
    options = bp_value_dict();
    bp_value_set(options, "driver", bp_value_string(format ? format : found ? found : "raw"));
    bp_value_set(options, "file", bp_value_string(file->name));
    if (more)
        bp_value_each(more, copy_member, options);
    bp_value_remove(options, "aio"); /* of what opens things of the host */
    if (!knows_backing(bp_value_get_string(options, "driver")))
        bp_value_remove(options, "backing");
    if (!knows_key(bp_value_get_string(options, "driver"), "no-io"))
        bp_value_remove(options, "no-io");
    ret = node_new_alone(options, parent, roles, ret_node, err);
    bp_value_unref(options);
    return ret;
}

static int open_alone(struct bp_block_node *parent, uint32_t roles, const char *name, const char *format,
                      struct bp_value *more, struct bp_block_node **ret_node, struct bp_error *err)
{
    struct bp_value *parsed, *options;
    struct bp_block_node *file;
    const char *driver;
    int ret = name_options(name, &parsed, err);

    if (ret < 0)
        return ret;
    options = options_nest(parsed);
    bp_value_unref(parsed);
    options = options_of_file(options);
    driver = bp_value_get_string(options, "driver");
    if (driver && !is_protocol(driver) && !format)
        format = driver;
    if (more)
        bp_value_each(more, driver && !is_protocol(driver) ? copy_member : copy_shared, options);
    if (driver && !is_protocol(driver)) { /* json: names the format's own node */
        ret = node_new_alone(options, parent, roles, ret_node, err);
        bp_value_unref(options);
        return ret;
    }
    bp_value_set(options, "discard", bp_value_string("unmap")); /* the format's node decides */
    bp_value_remove(options, "detect-zeroes");
    if (format && is_protocol(format)) {
        ret = node_new_alone(options, parent, roles, ret_node, err);
        bp_value_unref(options);
        return ret;
    }
    ret = node_new_alone(options, parent, roles, &file, err);
    bp_value_unref(options);
    if (ret < 0)
        return ret;
    ret = open_format(parent, roles, file, format, more, ret_node, err);
    node_unref(file);
    return ret;
}

/* ---- what an image names itself ---- */

static const struct bp_block_child_info *child_info(const struct bp_block_node *node, const char *name)
{
    const struct bp_block_child_info *info = node->driver->children;

    while (info && info->name) {
        size_t length = strlen(info->name);

        if (!strcmp(info->name, name) || (info->name[length - 1] == '.' && !strncmp(info->name, name, length)))
            break;
        info++;
    }
    return info && info->name ? info : NULL;
}

static int attach(struct bp_block_node *node, const char *child, const char *filename, const char *format,
                  struct bp_error *err)
{
    const struct bp_block_child_info *info = child_info(node, child);
    struct bp_block_node *below;
    char *name;
    int ret;

    if (!info || node_child(node, child))
        return 0;
    name = image_resolve(node, filename);
    ret = open_alone(node, info->roles, name, format, NULL, &below, err);
    if (ret < 0)
        bp_error_prefix(err, "%s '%s', which '%s' refers to", child, name, node_shown_name(node));
    free(name);
    if (ret < 0)
        return ret;
    child_new(child, info->roles, node, below);
    node_unref(below);
    if (node->driver->children_changed)
        node->driver->children_changed(node);
    return 0;
}

int image_open_child(struct bp_block_node *node, const char *child, const char *filename, const char *format,
                     struct bp_error *err)
{
    return attach(node, child, filename, format, err);
}

void image_want_backing(struct bp_block_node *node, const char *filename, const char *format)
{
    free(node->want_file);
    free(node->want_format);
    node->want_file = filename ? bp_strdup(filename) : NULL;
    node->want_format = format ? bp_strdup(format) : NULL;
}

int image_open_wanted(struct bp_block_node *top, struct bp_error *err)
{
    unsigned depth = 0;

    for (struct bp_block_node *node = top; node && node->want_file;) {
        struct bp_block_child *backing;
        int ret = 0;

        if (!node->no_backing)
            ret = attach(node, "backing", node->want_file, node->want_format, err);
        image_want_backing(node, NULL, NULL);
        if (ret == 0)
            ret = permissions_update(node, err);
        if (ret < 0)
            return ret;
        if (++depth > MAX_CHAIN)
            return bp_fail(err, ELOOP, "the chain of backing files of '%s' has more than %u images, or goes in a "
                           "circle", node_shown_name(top), MAX_CHAIN);
        backing = node_child_role(node, BP_BLOCK_BACKING);
        node = backing ? backing->node : NULL;
    }
    return 0;
}

int image_open(const char *name, const char *format, struct bp_value *more, struct bp_block_node **ret_node,
               struct bp_error *err)
{
    struct bp_block_node *node;
    int ret = open_alone(NULL, 0, name, format, more, &node, err);

    if (ret < 0)
        return ret;
    ret = image_open_wanted(node, err);
    if (ret < 0)
        node_unref(node);
    else
        *ret_node = node;
    return ret;
}

/* ---- reading a chain ---- */

struct bp_block_node *image_backing(struct bp_block_node *node)
{
    struct bp_block_child *c = node_child_role(node, BP_BLOCK_BACKING);

    return c ? c->node : NULL;
}

/* The image of a chain that has what is at an offset; *bytes becomes how far that is so. */
static int find_holder(struct bp_block_node *node, uint64_t offset, uint64_t *bytes, struct bp_block_node **ret_node,
                       struct bp_block_status *ret)
{
    for (;;) {
        struct bp_block_node *next = image_backing(node);
        int64_t length = __atomic_load_n(&node->length, __ATOMIC_ACQUIRE);
        int r;

        *ret_node = node;
        if (length < 0)
            return (int)length;
        if (offset >= (uint64_t)length) { /* below its end is nothing */
            *ret = (struct bp_block_status){.size = sizeof(*ret), .flags = BP_BLOCK_STATUS_ZERO, .bytes = *bytes};
            return 0;
        }
        r = node_status(node, offset, *bytes, ret);
        if (r < 0)
            return r;
        *bytes = ret->bytes;
        if (!next || !node->driver->status ||
            ret->flags & (BP_BLOCK_STATUS_ALLOCATED | BP_BLOCK_STATUS_DATA | BP_BLOCK_STATUS_ZERO))
            return 0;
        node = next;
    }
}

int image_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    uint64_t done = 0;
    int ret = 0;

    if (!image_backing(node))
        return node_request(node, BP_BLOCK_READ, req);
    while (ret == 0 && done < req->bytes) {
        uint64_t bytes = req->bytes - done;
        struct bp_block_request part = *req;
        struct bp_block_node *holder;
        struct bp_block_status status;
        struct iovec *iov;

        ret = find_holder(node, req->offset + done, &bytes, &holder, &status);
        if (ret < 0)
            return ret;
        if (status.flags & BP_BLOCK_STATUS_ZERO) {
            iov_fill(req->iov, req->iov_count, (size_t)done, 0, (size_t)bytes);
            done += bytes;
            continue;
        }
        iov = malloc(req->iov_count * sizeof(*iov));
        if (!iov)
            return -ENOMEM;
        part.offset = req->offset + done;
        part.bytes = bytes;
        part.iov_count = iov_slice(iov, req->iov, req->iov_count, (size_t)done, (size_t)bytes);
        part.iov = iov;
        ret = node_request(holder, BP_BLOCK_READ, &part);
        free(iov);
        done += bytes;
    }
    return ret;
}

int image_status(struct bp_block_node *node, struct bp_block_node *base, uint64_t offset, uint64_t bytes,
                 struct bp_block_node **ret_node, unsigned *ret_depth, struct bp_block_status *ret)
{
    struct bp_block_node *n = node;
    bool covered = false;
    unsigned depth = 0;

    for (;;) {
        struct bp_block_node *next = image_backing(n);
        int64_t length = __atomic_load_n(&n->length, __ATOMIC_ACQUIRE);
        int r;

        if (length < 0)
            return (int)length;
        if (offset >= (uint64_t)length) {
            *ret = (struct bp_block_status){.size = sizeof(*ret), .flags = BP_BLOCK_STATUS_ZERO, .bytes = bytes};
            covered = n != node;
        } else {
            r = node_status(n, offset, bytes, ret);
            if (r < 0)
                return r;
            bytes = ret->bytes;
        }
        *ret_node = n;
        *ret_depth = depth;
        if (covered || ret->flags & BP_BLOCK_STATUS_ALLOCATED || !next || next == base || !n->driver->status)
            return 0;
        n = next;
        depth++;
    }
}

/* ---- new images ---- */

static int create_in(const struct bp_block_driver *driver, struct bp_block_node *file, struct bp_value *options,
                     struct bp_error *err)
{
    struct bp_blk *blk = blk_new(NULL);
    int ret = blk_insert(blk, file, err);

    blk->open = true;
    if (ret == 0)
        ret = permissions_set(&blk->root, BP_BLOCK_PERM_READ | BP_BLOCK_PERM_WRITE | BP_BLOCK_PERM_RESIZE,
                              BP_BLOCK_PERM_ALL & ~(BP_BLOCK_PERM_WRITE | BP_BLOCK_PERM_RESIZE), err);
    if (ret == 0)
        ret = driver->create(&blk->root, options, err);
    if (ret == 0) {
        ret = node_flush(file);
        if (ret < 0)
            bp_fail(err, -ret, "the new image cannot be flushed: %s", strerror(-ret));
    }
    blk_free(blk);
    return ret;
}

int image_create(struct bp_value *options, struct bp_error *err)
{
    const char *name = bp_value_get_string(options, "driver"), *ref = bp_value_get_string(options, "file");
    struct bp_value *file_options = bp_value_get(options, "file");
    const struct bp_block_driver *driver;
    struct bp_block_node *file = NULL;
    const void *class;
    int ret;

    if (!name)
        return bp_fail(err, EINVAL, "key 'driver' is missing");
    ret = node_driver_class(name, &class, err);
    if (ret < 0)
        return ret;
    driver = class;
    if (!driver->create)
        return bp_fail(err, ENOTSUP, "driver '%s' does not support making images", name);
    if (driver->flags & BP_BLOCK_PROTOCOL)
        return driver->create(NULL, options, err);
    if (ref) {
        file = node_find(ref);
        ret = file ? 0 : bp_fail(err, ENOENT, "key 'file': there is no node '%s'", ref);
        if (file)
            node_ref(file);
    } else if (bp_value_type(file_options) == BP_VALUE_DICT) {
        ret = node_new(file_options, NULL, 0, &file, err);
    } else {
        ret = bp_fail(err, EINVAL, "key 'file' is missing: the node that the image is made in");
    }
    if (ret < 0)
        return ret;
    ret = create_in(driver, file, options, err);
    node_unref(file);
    return ret;
}
