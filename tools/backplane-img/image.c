/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening and making images, and what command lines say of them. */
#include "img.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- text ---- */

bool parse_size(const char *text, uint64_t *ret)
{
    static const char units[] = "bkmgtpe";
    char *end;
    double part;
    uint64_t whole;
    unsigned shift = 0;

    errno = 0;
    whole = strtoull(text, &end, 0);
    if (end == text || errno || *text == '-')
        return false;
    part = *end == '.' ? strtod(end, &end) : 0;
    if (*end) {
        const char *unit = strchr(units, *end | 0x20);

        if (!unit || end[1])
            return false;
        shift = 10 * (unsigned)(unit - units);
    }
    if (whole > (UINT64_MAX >> shift) - 1)
        return false;
    *ret = (whole << shift) + (uint64_t)(part * (double)(UINT64_C(1) << shift));
    return true;
}

static void set_nested(struct bp_value *to, const char *key, const char *value)
{
    const char *dot = strchr(key, '.');
    char first[64];

    if (!dot || (size_t)(dot - key) >= sizeof(first)) {
        bp_value_set(to, key, bp_value_string(value));
        return;
    }
    memcpy(first, key, (size_t)(dot - key));
    first[dot - key] = '\0';
    if (bp_value_type(bp_value_get(to, first)) != BP_VALUE_DICT)
        bp_value_set(to, first, bp_value_dict());
    set_nested(bp_value_get(to, first), dot + 1, value);
}

int parse_keys(const char *text, bool nested, struct bp_value *to)
{
    char *part = malloc(strlen(text) + 1);

    if (!part)
        return complain("no memory");
    while (*text) {
        size_t n = 0;
        char *equals;

        for (; *text && (*text != ',' || text[1] == ','); text += *text == ',' ? 2 : 1)
            part[n++] = *text;
        part[n] = '\0';
        text += *text == ',';
        equals = strchr(part, '=');
        if (equals)
            *equals = '\0';
        if (nested)
            set_nested(to, part, equals ? equals + 1 : "on");
        else
            bp_value_set(to, part, bp_value_string(equals ? equals + 1 : "on"));
    }
    free(part);
    return 0;
}

int parse_cache(const char *mode, struct bp_value *more, bool *ret_through)
{
    static const struct {
        const char *name;
        bool direct, no_flush, through;
    } modes[] = {{"none", true, false, false}, {"off", true, false, false}, {"writeback", false, false, false},
                 {"writethrough", false, false, true}, {"directsync", true, false, true},
                 {"unsafe", false, true, false}};

    *ret_through = false;

    for (size_t i = 0; mode && i < BP_COUNT(modes); i++) {
        struct bp_value *cache;

        if (strcmp(mode, modes[i].name) != 0)
            continue;
        cache = bp_value_dict();
        bp_value_set(cache, "direct", bp_value_bool(modes[i].direct));
        bp_value_set(cache, "no-flush", bp_value_bool(modes[i].no_flush));
        bp_value_set(more, "cache", cache);
        *ret_through = modes[i].through;
        return 0;
    }
    return mode ? complain("Invalid cache option: %s", mode) : 0;
}

char *human_size(uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v = (double)bytes;
    unsigned unit = 0;
    char *text = NULL;

    while (v >= 1000 && unit + 1 < BP_COUNT(units)) {
        v /= 1024;
        unit++;
    }
    return asprintf(&text, "%.3g %s", v, units[unit]) < 0 ? NULL : text;
}

void print_json(struct bp_value *v)
{
    char *text = bp_value_print(v, true);

    puts(text);
    free(text);
    bp_value_unref(v);
}

int print_specific(const char *key, struct bp_value *value, void *opaque)
{
    const int *indent = opaque;
    char name[64];

    snprintf(name, sizeof(name), "%s", key);
    for (char *p = name; *p; p++)
        *p = *p == '-' ? ' ' : *p;
    printf("%*s", *indent, "");
    if (bp_value_type(value) == BP_VALUE_LIST) {
        const int inner = *indent + 8;

        printf("%s:\n", name);
        for (size_t i = 0; i < bp_value_length(value); i++) {
            printf("%*s[%zu]:\n", *indent + 4, "", i);
            bp_value_each(bp_value_at(value, i), print_specific, (void *)(uintptr_t)&inner);
        }
    } else if (bp_value_as_string(value))
        printf("%s: %s\n", name, bp_value_as_string(value));
    else if (bp_value_type(value) == BP_VALUE_BOOL)
        printf("%s: %s\n", name, bp_value_as_bool(value) ? "true" : "false");
    else
        printf("%s: %llu\n", name, (unsigned long long)bp_value_as_uint(value));
    return 0;
}

bool wants_json(const char *text, bool *ret_json)
{
    *ret_json = !strcmp(text, "json");
    if (*ret_json || !strcmp(text, "human"))
        return true;
    complain("--output must be used with human or json as argument.");
    return false;
}

void progress(uint64_t done, uint64_t all, bool on)
{
    static int shown = -1;
    int now = all ? (int)((double)done * 10000 / (double)all) : 10000;

    if (!on || quiet || now == shown)
        return;
    shown = now;
    printf("    (%3.2f/100%%)\r%s", (double)now / 100, now == 10000 ? "\n" : "");
    fflush(stdout);
}

bool all_zero(const uint8_t *data, size_t bytes)
{
    return bytes == 0 || (data[0] == 0 && memcmp(data, data + 1, bytes - 1) == 0);
}

/* ---- opening ---- */

void add_drivers(struct bp_value *options)
{
    for (; bp_value_type(options) == BP_VALUE_DICT; options = bp_value_get(options, "file"))
        if (!bp_value_has(options, "driver"))
            bp_value_set(options, "driver", bp_value_string(bp_value_has(options, "file") ? "raw" : "file"));
}

static int open_node(const char *name, const struct how *how, struct bp_value *more, struct bp_block_node **ret,
                     struct bp_error *err)
{
    struct bp_value *options;
    int r;

    if (!how->image_opts)
        return block->image_open(name, how->format, more, ret, err);
    options = bp_value_dict();
    parse_keys(name, true, options);
    bp_value_each(how->keys, copy_key, options);
    bp_value_set(options, "read-only", bp_value_bool(!how->write || how->temporary));
    if (bp_value_has(more, "cache") && !bp_value_has(options, "cache"))
        bp_value_set(options, "cache", bp_value_ref(bp_value_get(more, "cache")));
    if (how->force_share)
        bp_value_set(options, "force-share", bp_value_bool(true));
    add_drivers(options);
    r = block->node_new(options, ret, err);
    bp_value_unref(options);
    return r;
}

/* A handle on a node, which goes with it; the node's reference is taken. */
static int open_handle(const char *name, const struct how *how, bool through, struct image *image)
{
    static const struct bp_blk_ops reads = {.size = sizeof(reads), .flags = BP_BLK_READ_ONLY},
                                   writes = {.size = sizeof(writes), .flags = 0};
    struct bp_blk_conf conf = {.drive = (char *)(uintptr_t)block->node_name(image->node), .write_cache = through ? 2 :
                               1,
                               .share_rw = how->force_share};
    struct bp_error err = {0};

    image->owner = bp_owner_new(NULL, "image", name, 0);
    if (block->open(NULL, image->owner, NULL, &conf, how->write ? &writes : &reads, NULL, &image->blk, &err) < 0) {
        bp_owner_free(image->owner);
        image->owner = NULL;
        return complain("Could not open '%s': %s", name, err.message);
    }
    image->length = (uint64_t)block->length(image->blk);
    return 0;
}

int copy_key(const char *key, struct bp_value *value, void *opaque)
{
    bp_value_set(opaque, key, bp_value_ref(value));
    return 0;
}

/* A driver's node above it, in whose place it then is. */
static int put_above(struct bp_block_node **node, const char *driver, const char *child, const struct how *how,
                     struct bp_error *err)
{
    struct bp_value *options = bp_value_dict();
    struct bp_block_node *above;
    int r;

    bp_value_set(options, "driver", bp_value_string(driver));
    bp_value_set(options, child, bp_value_string(block->node_name(*node)));
    bp_value_set(options, "read-only", bp_value_bool(!how->write));
    r = block->node_new(options, &above, err);
    bp_value_unref(options);
    if (r == 0) {
        block->node_unref(*node);
        *node = above;
    }
    return r;
}

int disk_open(const char *name, const struct how *how, struct image *ret)
{
    struct bp_value *more = bp_value_dict();
    struct image image = {NULL, NULL, NULL, 0};
    struct bp_error err = {0};
    bool through;
    int r;

    bp_value_set(more, "read-only", bp_value_bool(!how->write || how->temporary));
    if (how->force_share)
        bp_value_set(more, "force-share", bp_value_bool(true));
    if (how->write)
        bp_value_set(more, "discard", bp_value_string("unmap"));
    if (how->aio)
        bp_value_set(more, "aio", bp_value_string(how->aio));
    if (parse_cache(how->cache, more, &through)) {
        bp_value_unref(more);
        return 1;
    }
    if ((how->no_io || how->tables_only) && !how->image_opts)
        bp_value_set(more, "no-io", bp_value_bool(true));
    if (how->keys)
        bp_value_each(how->keys, copy_key, more);
    if (how->repair)
        bp_value_set(more, "for-repair", bp_value_bool(true));
    if (how->no_backing)
        bp_value_set(more, "backing", bp_value_null());
    if (how->backing)
        bp_value_set(more, "backing", bp_value_string(how->backing));
    r = open_node(name, how, more, &image.node, &err);
    bp_value_unref(more);
    if (r == 0 && how->temporary)
        r = put_above(&image.node, "temp-overlay", "backing", how, &err);
    if (r == 0 && how->copy_on_read)
        r = put_above(&image.node, "copy-on-read", "file", how, &err);
    if (r < 0 && image.node)
        block->node_unref(image.node);
    if (r < 0)
        return complain("Could not open '%s': %s", name, err.message);
    if (!how->no_io && open_handle(name, how, through, &image)) {
        block->node_unref(image.node);
        return 1;
    }
    *ret = image;
    return 0;
}

void disk_close(struct image *image)
{
    if (image->blk) {
        block->close(image->blk);
        bp_owner_free(image->owner);
    }
    if (image->node)
        block->node_unref(image->node);
    *image = (struct image){NULL, NULL, NULL, 0};
}

int disk_io(struct image *image, enum bp_block_op op, uint64_t offset, void *buf, uint64_t bytes, uint32_t flags)
{
    struct iovec iov = {buf, (size_t)bytes};
    struct bp_block_request req = {.size = sizeof(req), .flags = flags, .offset = offset, .bytes = bytes,
                                   .iov = buf ? &iov : NULL, .iov_count = buf ? 1 : 0};

    return block->submit_co(image->blk, op, &req);
}

int disk_flush(struct image *image)
{
    return block->submit_co(image->blk, BP_BLOCK_FLUSH, NULL);
}

/* ---- making ---- */

static int dashed(const char *key, struct bp_value *value, void *opaque)
{
    char name[64];

    snprintf(name, sizeof(name), "%s", key);
    for (char *p = name; *p; p++)
        if (*p == '_')
            *p = '-';
    bp_value_set(opaque, name, bp_value_ref(value));
    return 0;
}

struct bp_value *dashed_options(struct bp_value *given)
{
    struct bp_value *options = bp_value_dict();

    bp_value_each(given, dashed, options);
    return options;
}

/* What makes files of this name: others than the host's. */
static const char *own_driver(const char *name)
{
    return !strncmp(name, "gluster:", 8) || !strncmp(name, "gluster+", 8) ? "gluster"
           : !strncmp(name, "nfs:", 4) ? "nfs" : !strncmp(name, "rbd:", 4) ? "rbd" : "file";
}

static int make_file(const char *name, uint64_t size, struct bp_value *options, bool alone, struct bp_error *err)
{
    struct bp_value *o = bp_value_dict();
    const char *how = bp_value_get_string(options, "preallocation");
    int r;

    bp_value_set(o, "driver", bp_value_string(own_driver(name)));
    bp_value_set(o, "filename", bp_value_string(strncmp(name, "file:", 5) ? name : name + 5));
    bp_value_set(o, "size", bp_value_uint(alone ? size : 0));
    if (alone && how)
        bp_value_set(o, "preallocation", bp_value_string(how));
    r = block->image_create(o, err);
    bp_value_unref(o);
    return r;
}

int disk_make(const char *name, const char *format, struct bp_value *given)
{
    struct bp_value *options = dashed_options(given), *more;
    struct bp_error err = {0};
    struct bp_block_node *file = NULL;
    uint64_t size = bp_value_as_uint(bp_value_get(given, "size"));
    bool raw = !strcmp(format, "raw");
    int r;

    bp_value_set(options, "driver", bp_value_string(format));
    r = make_file(name, size, options, raw, &err);
    if (r == 0 && !raw) {
        const char *data = bp_value_get_string(options, "data-file");

        if (data) /* as it will be looked for: beside the image */
            r = make_file(data, size, options, true, &err);
        more = bp_value_dict();
        bp_value_set(more, "read-only", bp_value_bool(false));
        if (r == 0)
            r = block->image_open(name, own_driver(name), more, &file, &err);
        bp_value_unref(more);
        if (r == 0) {
            bp_value_set(options, "file", bp_value_string(block->node_name(file)));
            r = block->image_create(options, &err);
            block->node_unref(file);
        }
    }
    bp_value_unref(options);
    return r < 0 ? complain("%s: %s", name, err.message) : 0;
}
