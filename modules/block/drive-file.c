/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From the keys of -drive to a graph: the file or URL, its format (given or probed), and the filters that
 * keys ask for: a temporary overlay, copy on read, throttling. [co]
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/cdrom.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bp/file.h>

#include "commands.h"

bool drive_snapshot_all;

/* Keys of -drive that are the drive's and not the node's. */
static bool is_own(const char *key)
{
    static const char *const keys[] = {
        "id", "if", "bus", "unit", "index", "media", "snapshot", "cache", "cache.direct",
        "cache.no-flush", "cache.writeback", "aio", "format", "driver", "werror", "rerror", "readonly",
        "read-only", "copy-on-read", "serial", "file", "node-name", "group", "throttling",
        "auto-read-only", "discard", "detect-zeroes", "force-share", "said", NULL};

    if (!strncmp(key, "file.", 5) || !strncmp(key, "bps", 3) || !strncmp(key, "iops", 4))
        return true;
    for (unsigned i = 0; keys[i]; i++)
        if (!strcmp(key, keys[i]))
            return true;
    return false;
}

struct gather {
    struct bp_value *to;
    bool file; /* keys that begin with "file.", without that */
};

static int gather_key(const char *key, struct bp_value *value, void *opaque)
{
    struct gather *g = opaque;

    if (g->file && !strncmp(key, "file.", 5))
        bp_value_set(g->to, key + 5, bp_value_ref(value));
    else if (!g->file && !is_own(key))
        bp_value_set(g->to, key, bp_value_ref(value));
    return 0;
}

static void copy_key(struct bp_value *to, struct bp_value *from, const char *key)
{
    struct bp_value *v = bp_value_get(from, key);

    if (v)
        bp_value_set(to, key, bp_value_ref(v));
}

static bool is_on(struct bp_value *args, const char *key)
{
    struct bp_value *v = bp_value_get(args, key);
    bool on = false;

    return v && value_bool(v, &on) && on;
}

/* What every node of the drive shares. */
static void add_common(struct bp_value *to, struct drive *d, struct bp_value *args, bool overlaid)
{
    struct bp_value *cache = bp_value_dict();
    bool read_only = is_on(args, "readonly") || is_on(args, "read-only") || (d && d->cdrom) || overlaid;

    bp_value_set(cache, "direct", bp_value_bool(is_on(args, "cache.direct")));
    bp_value_set(cache, "no-flush", bp_value_bool(is_on(args, "cache.no-flush")));
    bp_value_set(to, "cache", cache);
    bp_value_set(to, "read-only", bp_value_bool(read_only));
    if (!read_only)
        bp_value_set(to, "auto-read-only", bp_value_bool(true));
    copy_key(to, args, "auto-read-only");
    if (!overlaid) {
        copy_key(to, args, "discard");
        copy_key(to, args, "detect-zeroes");
    }
    copy_key(to, args, "force-share");
}

/* ---- file names ---- */

static const struct {
    const char *scheme, *missing;
} not_built[] = {
    {"nvme", "NVMe controllers of the host"},
    {"sheepdog", "Sheepdog, which newer releases dropped"}, {"vxhs", "VxHS, which newer releases dropped"},
};

/* Names whose beginning is a driver's: nbd://..., nbd+unix://... The driver takes them apart. */
static const struct {
    const char *scheme, *driver;
} schemes[] = {{"nbd", "nbd"}, {"http", "http"}, {"https", "https"}, {"ftp", "ftp"}, {"ftps", "ftps"}, {"ssh", "ssh"},
               {"iscsi", "iscsi"}, {"gluster", "gluster"}, {"nfs", "nfs"}, {"rbd", "rbd"}, {"fat", "vvfat"}};

static bool is_scheme(const char *name, const char *scheme)
{
    size_t n = strlen(scheme);

    return !strncmp(name, scheme, n) && (name[n] == ':' || name[n] == '+');
}

static int json_name(const char *text, struct bp_value **ret, struct bp_error *err)
{
    int ret_code = bp_value_parse(text, strlen(text), ret, err);

    if (ret_code < 0)
        bp_error_prefix(err, "file=json:");
    else if (bp_value_type(*ret) != BP_VALUE_DICT) {
        bp_value_unref(*ret);
        ret_code = bp_fail(err, EINVAL, "file=json: expects an object: json:{...}");
    }
    return ret_code;
}

/* Whether a block device of the host is one. */
static bool is_cd_drive(const char *name)
{
    int fd = bp_open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0); /* also without a disc */
    bool is = fd >= 0 && ioctl(fd, CDROM_DRIVE_STATUS, CDSL_CURRENT) >= 0;

    if (fd >= 0)
        close(fd);
    return is;
}

/* Options of a node for a file name or URL. */
int name_options(const char *name, struct bp_value **ret, struct bp_error *err)
{
    size_t scheme = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789+-_");
    struct stat st;

    if (!strncmp(name, "json:", 5))
        return json_name(name + 5, ret, err);
    if (!strncmp(name, "null-co://", 10) || !strncmp(name, "null-aio://", 11)) {
        *ret = bp_value_dict();
        bp_value_set(*ret, "driver", bp_value_string(name[5] == 'c' ? "null-co" : "null-aio"));
        return 0;
    }
    for (unsigned i = 0; name[scheme] == ':' && i < BP_COUNT(schemes); i++) {
        if (!is_scheme(name, schemes[i].scheme))
            continue;
        *ret = bp_value_dict();
        bp_value_set(*ret, "driver", bp_value_string(schemes[i].driver));
        bp_value_set(*ret, "filename", bp_value_string(name));
        return 0;
    }
    if (name[scheme] == ':' && scheme > 1) {
        for (unsigned i = 0; i < BP_COUNT(not_built); i++) {
            size_t len = strlen(not_built[i].scheme);

            if (!strncmp(name, not_built[i].scheme, len) &&
                (name[len] == ':' || (name[len] == '+' && name[scheme] == ':')))
                return bp_fail(err, ENOTSUP, "'%s': not built yet: %s", name, not_built[i].missing);
        }
        if (!strncmp(name, "file:", 5))
            name += !strncmp(name, "file://", 7) ? 7 : 5;
        else if (stat(name, &st) < 0)
            return bp_fail(err, ENOENT, "'%s': nothing opens names that begin with '%.*s:'; a file of "
                           "that name is written './%s'", name, (int)scheme, name, name);
    }
    *ret = bp_value_dict();
    bp_value_set(*ret, "driver", bp_value_string(stat(name, &st) < 0 || !S_ISBLK(st.st_mode) ? "file"
                                                 : is_cd_drive(name) ? "host_cdrom" : "host_device"));
    bp_value_set(*ret, "filename", bp_value_string(name));
    return 0;
}

/* ---- the file and its format ---- */

static int file_options(struct bp_value *args, struct bp_value **ret, struct bp_error *err)
{
    const char *name = bp_value_get_string(args, "file");
    struct gather g = {NULL, true};
    int r;

    if (!name || !*name) {
        *ret = g.to = bp_value_dict();
    } else {
        r = name_options(name, ret, err);
        if (r < 0)
            return r;
        g.to = *ret;
    }
    bp_value_each(args, gather_key, &g);
    *ret = options_of_file(options_nest(g.to));
    bp_value_unref(g.to);
    if (!bp_value_has(*ret, "driver"))
        bp_value_set(*ret, "driver", bp_value_string("file"));
    if (bp_value_has(args, "aio"))
        copy_key(*ret, args, "aio");
    return 0;
}

/* *format is as given, or found out by looking. */
static int choose_format(struct drive *d, struct bp_block_node *file, const char **format,
                         bool *ret_guard, struct bp_error *err)
{
    const char *found = NULL;
    int ret;

    if (!*format && file->driver->inserted)
        *format = "raw"; /* the next medium may be anything */
    if (*format)
        return 0;
    ret = probe_node(file, &found, err);
    if (ret < 0)
        return ret;
    *format = found ? found : "raw";
    *ret_guard = !found && !file->flags.read_only;
    if (*ret_guard)
        drive_warn_probed(d, file->filename ? file->filename : "");
    return 0;
}

static int open_format(struct drive *d, struct bp_value *args, struct bp_block_node *file, bool overlaid,
                       struct bp_block_node **ret_node, struct bp_error *err)
{
    const char *format = bp_value_get_string(args, "format");
    struct gather g = {bp_value_dict(), false};
    bool guard = false;
    int ret;

    if (!format)
        format = bp_value_get_string(args, "driver");
    ret = choose_format(d, file, &format, &guard, err);
    if (ret == 0) {
        bp_value_each(args, gather_key, &g);
        add_common(g.to, d, args, overlaid);
        if (file->flags.read_only)
            bp_value_set(g.to, "read-only", bp_value_bool(true));
        if (!overlaid)
            copy_key(g.to, args, "node-name");
        bp_value_set(g.to, "driver", bp_value_string(format));
        bp_value_set(g.to, "file", bp_value_string(file->name));
        ret = node_new(g.to, NULL, 0, ret_node, err);
        if (ret == 0)
            (*ret_node)->guard_header = guard && !overlaid;
    }
    bp_value_unref(g.to);
    return ret;
}

/* A driver that needs nothing below it is the whole of it: format=null-co. */
static bool stands_alone(const char *driver)
{
    for (unsigned i = 0; driver && i < BP_COUNT(schemes); i++)
        if (!strcmp(driver, schemes[i].driver))
            return true;
    return driver && (!strcmp(driver, "null-co") || !strcmp(driver, "null-aio") ||
                      !strcmp(driver, "file") || !strcmp(driver, "host_device") || !strcmp(driver, "host_cdrom"));
}

static int open_alone(struct drive *d, struct bp_value *args, const char *driver, bool overlaid,
                      struct bp_block_node **ret_node, struct bp_error *err)
{
    struct bp_value *options;
    struct gather g = {NULL, false};
    int ret = file_options(args, &options, err);

    if (ret < 0)
        return ret;
    g.to = options;
    bp_value_each(args, gather_key, &g);
    bp_value_set(options, "driver", bp_value_string(driver));
    add_common(options, d, args, overlaid);
    if (!overlaid)
        copy_key(options, args, "node-name");
    ret = node_new(options, NULL, 0, ret_node, err);
    bp_value_unref(options);
    return ret;
}

static int open_base(struct drive *d, struct bp_value *args, bool overlaid,
                     struct bp_block_node **ret_node, struct bp_error *err)
{
    const char *driver = bp_value_get_string(args, "driver"), *format = bp_value_get_string(args, "format");
    struct bp_block_node *file;
    struct bp_value *options;
    int ret;

    if (driver && format && strcmp(driver, format) != 0)
        return bp_fail(err, EINVAL, "format=%s and driver=%s are the same key: give one", format, driver);
    if (stands_alone(driver ? driver : format))
        return open_alone(d, args, driver ? driver : format, overlaid, ret_node, err);
    ret = file_options(args, &options, err);
    if (ret < 0)
        return ret;
    add_common(options, d, args, overlaid);
    if (!bp_value_has(options, "discard") || overlaid)
        bp_value_set(options, "discard", bp_value_string("unmap")); /* the format's node decides */
    bp_value_remove(options, "detect-zeroes");
    ret = node_new(options, NULL, 0, &file, err);
    bp_value_unref(options);
    if (ret < 0)
        return ret;
    ret = open_format(d, args, file, overlaid, ret_node, err);
    node_unref(file);
    return ret;
}

/* ---- what stands above it ---- */

static int put_above(struct bp_value *options, const char *child, struct bp_block_node **node,
                     struct bp_error *err)
{
    struct bp_block_node *above;
    int ret;

    bp_value_set(options, child, bp_value_string((*node)->name));
    ret = node_new(options, NULL, 0, &above, err);
    bp_value_unref(options);
    if (ret < 0)
        return ret;
    node_unref(*node);
    *node = above;
    return 0;
}

static int overlay(struct drive *d, struct bp_value *args, struct bp_block_node **node,
                   struct bp_error *err)
{
    struct bp_value *options = bp_value_dict();

    (void)d;
    bp_value_set(options, "driver", bp_value_string("temp-overlay"));
    copy_key(options, args, "node-name");
    copy_key(options, args, "discard");
    copy_key(options, args, "detect-zeroes");
    return put_above(options, "backing", node, err);
}

static int copy_on_read(struct bp_block_node **node, struct bp_error *err)
{
    struct bp_value *options = bp_value_dict();

    if ((*node)->flags.read_only)
        return bp_fail(err, EINVAL, "copy-on-read=on needs a disk that can be written to");
    bp_value_set(options, "driver", bp_value_string("copy-on-read"));
    return put_above(options, "file", node, err);
}

static int throttle(struct drive *d, struct bp_value *args, struct bp_block_node **node,
                    struct bp_error *err)
{
    struct bp_value *limits = throttle_limits(args, err), *options;

    if (!limits)
        return -EINVAL;
    if (bp_value_length(limits) == 0) {
        bp_value_unref(limits);
        return 0;
    }
    blk_note_limits(d->blk, limits, bp_value_get_string(args, "group"));
    options = bp_value_dict();
    bp_value_set(options, "driver", bp_value_string("throttle"));
    bp_value_set(options, "limits", limits);
    bp_value_set(options, "group",
                 bp_value_string(bp_value_get_string(args, "group") ? bp_value_get_string(args, "group")
                                                                    : d->blk->name));
    return put_above(options, "file", node, err);
}

int drive_open_file(struct drive *d, struct bp_value *args, struct bp_block_node **ret_node,
                    struct bp_error *err)
{
    bool overlaid = !d->cdrom && (bp_value_has(args, "snapshot") ? is_on(args, "snapshot")
                                                                 : drive_snapshot_all);
    struct bp_block_node *node;
    int ret;

    if (is_on(args, "readonly") || is_on(args, "read-only"))
        overlaid = false;
    ret = open_base(d, args, overlaid, &node, err);
    if (ret < 0)
        return ret;
    if (overlaid)
        ret = overlay(d, args, &node, err);
    if (ret == 0 && is_on(args, "copy-on-read"))
        ret = copy_on_read(&node, err);
    if (ret == 0)
        ret = throttle(d, args, &node, err);
    if (ret < 0) {
        node_unref(node);
        return ret;
    }
    *ret_node = node;
    return 0;
}
