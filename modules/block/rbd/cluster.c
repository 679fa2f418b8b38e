/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connecting, opening, making; see cluster.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"

#define FIRST_SECONDS 30u      /* to reach a monitor, without a timeout */
#define LARGEST_HEADER (64u << 20) /* bytes: of an encrypted image */
#define STOP (-9000) /* of a walk over an image: enough is known */

static int set(struct rbd_handle *h, const char *key, const char *value, struct bp_error *err)
{
    int ret = rados_conf_set(h->cluster, key, value);

    return ret < 0 ? bp_fail(err, -ret, "rbd: Ceph does not take '%.64s' for its setting '%.64s': %s",
                             !strcmp(key, "key") ? "..." : value, key, strerror(-ret)) : 0;
}

static int set_seconds(struct rbd_handle *h, const char *key, uint64_t seconds, struct bp_error *err)
{
    char text[24];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)seconds);
    return set(h, key, text, err);
}

static int configure(struct rbd_handle *h, const struct rbd_place *p, const struct rbd_secrets *secrets,
                     struct bp_error *err)
{
    int ret = rados_conf_read_file(h->cluster, p->conf);

    if (ret < 0 && p->conf)
        return bp_fail(err, -ret, "rbd: configuration '%s' cannot be read: %s", p->conf, strerror(-ret));
    ret = set_seconds(h, "client_mount_timeout", p->timeout ? p->timeout : FIRST_SECONDS, err);
    if (ret == 0 && p->timeout)
        ret = set_seconds(h, "rados_osd_op_timeout", p->timeout, err);
    if (ret == 0 && p->timeout)
        ret = set_seconds(h, "rados_mon_op_timeout", p->timeout, err);
    if (ret == 0 && secrets->key)
        ret = set(h, "key", secrets->key, err);
    for (unsigned i = 0; ret == 0 && i < p->count; i++)
        ret = set(h, p->settings[i].key, p->settings[i].value, err);
    return ret;
}

static int connect_pool(struct rbd_handle *h, const struct rbd_place *p, const struct rbd_secrets *secrets,
                        struct bp_error *err)
{
    int ret = rados_create(&h->cluster, p->user);

    if (ret < 0)
        return bp_fail(err, -ret, "rbd: librados does not start: %s", strerror(-ret));
    h->connected = true; /* it is to be shut down in any case */
    ret = configure(h, p, secrets, err);
    if (ret < 0)
        return ret;
    ret = rados_connect(h->cluster);
    if (ret < 0)
        return bp_fail(err, -ret, "rbd: the cluster cannot be reached as user '%s': %s", p->user ? p->user : "admin",
                       strerror(-ret));
    ret = rados_ioctx_create(h->cluster, p->pool, &h->io);
    if (ret < 0)
        return bp_fail(err, -ret, "rbd: pool '%s' cannot be used: %s", p->pool, strerror(-ret));
    h->has_io = true;
    if (p->namespace)
        rados_ioctx_set_namespace(h->io, p->namespace);
    return 0;
}

static void close_image(struct rbd_handle *h)
{
    if (h->image)
        rbd_close(h->image);
    h->image = NULL;
}

void handle_close(struct rbd_handle *h)
{
    close_image(h);
    if (h->has_io)
        rados_ioctx_destroy(h->io);
    if (h->connected)
        rados_shutdown(h->cluster);
    *h = (struct rbd_handle){.connected = false};
}

static int open_image(struct rbd_handle *h, const struct rbd_place *p, bool read_only, struct bp_error *err)
{
    int ret = read_only ? rbd_open_read_only(h->io, p->image, &h->image, p->snapshot)
                        : rbd_open(h->io, p->image, &h->image, p->snapshot);

    if (ret == 0)
        return 0;
    h->image = NULL;
    return bp_fail(err, -ret, "rbd: image '%s%s%s' of pool '%s' cannot be opened: %s", p->image, p->snapshot ? "@" : "",
                   p->snapshot ? p->snapshot : "", p->pool, strerror(-ret));
}

/* Its header is in the image itself: format() writes it, load() reads it. */
static int encryption(struct rbd_handle *h, const struct rbd_place *p, const struct rbd_secrets *secrets, bool make,
                      struct bp_error *err)
{
    rbd_encryption_luks1_format_options_t one = {RBD_ENCRYPTION_ALGORITHM_AES256, secrets->passphrase,
                                                 secrets->passphrase_length};
    rbd_encryption_luks2_format_options_t two = {RBD_ENCRYPTION_ALGORITHM_AES256, secrets->passphrase,
                                                 secrets->passphrase_length};
    rbd_encryption_format_t format = p->format == RBD_LUKS2 ? RBD_ENCRYPTION_FORMAT_LUKS2 : RBD_ENCRYPTION_FORMAT_LUKS1;
    void *options = p->format == RBD_LUKS2 ? (void *)&two : (void *)&one;
    size_t size = p->format == RBD_LUKS2 ? sizeof(two) : sizeof(one);
    int ret = make ? rbd_encryption_format(h->image, format, options, size)
                   : rbd_encryption_load(h->image, format, options, size);

    return ret < 0 ? bp_fail(err, -ret, "rbd: image '%s' cannot be %s with that passphrase: %s", p->image,
                             make ? "encrypted" : "decrypted", strerror(-ret)) : 0;
}

int handle_open(struct rbd_handle *h, const struct rbd_place *p, const struct rbd_secrets *secrets, bool read_only,
                struct bp_error *err)
{
    uint64_t features = 0;
    int ret = connect_pool(h, p, secrets, err);

    if (ret == 0)
        ret = open_image(h, p, read_only, err);
    if (ret == 0 && p->format != RBD_PLAIN)
        ret = encryption(h, p, secrets, false, err);
    if (ret == 0 && rbd_get_features(h->image, &features) == 0)
        h->fast = features & RBD_FEATURE_FAST_DIFF;
    return ret;
}

/* ---- making ---- */

static int make(struct rbd_handle *h, const struct rbd_place *p, uint64_t size, int order, struct bp_error *err)
{
    rbd_image_options_t options;
    int ret = 0;

    rbd_image_options_create(&options);
    if (order)
        ret = rbd_image_options_set_uint64(options, RBD_IMAGE_OPTION_ORDER, (uint64_t)order);
    if (ret == 0)
        ret = rbd_create4(h->io, p->image, size, options);
    rbd_image_options_destroy(options);
    return ret < 0 ? bp_fail(err, -ret, "rbd: image '%s' of pool '%s' cannot be made: %s", p->image, p->pool,
                             strerror(-ret)) : 0;
}

/* How much the header takes is seen by what the image shows then. */
static int encrypt(struct rbd_handle *h, const struct rbd_place *p, const struct rbd_secrets *secrets, uint64_t size,
                   struct bp_error *err)
{
    uint64_t shown = 0;
    int ret = open_image(h, p, false, err);

    if (ret == 0)
        ret = encryption(h, p, secrets, true, err);
    close_image(h);
    if (ret == 0)
        ret = open_image(h, p, false, err);
    if (ret == 0)
        ret = encryption(h, p, secrets, false, err);
    if (ret == 0 && rbd_get_size(h->image, &shown) < 0)
        ret = bp_fail(err, EIO, "rbd: the new image's size cannot be read");
    close_image(h);
    if (ret == 0)
        ret = open_image(h, p, false, err);
    if (ret == 0) {
        ret = rbd_resize(h->image, size + (size + LARGEST_HEADER - shown));
        ret = ret < 0 ? bp_fail(err, -ret, "rbd: the new image does not get its size: %s", strerror(-ret)) : 0;
    }
    close_image(h);
    return ret;
}

int handle_create(const struct rbd_place *p, const struct rbd_secrets *secrets, uint64_t size, int order,
                  struct bp_error *err)
{
    struct rbd_handle h = {.connected = false};
    int ret = p->snapshot ? bp_fail(err, EINVAL, "rbd: a new image is no snapshot") : 0;

    if (ret == 0)
        ret = connect_pool(&h, p, secrets, err);
    if (ret == 0)
        ret = make(&h, p, p->format == RBD_PLAIN ? size : size + LARGEST_HEADER, order, err);
    if (ret == 0 && p->format != RBD_PLAIN) {
        ret = encrypt(&h, p, secrets, size, err);
        if (ret < 0)
            rbd_remove(h.io, p->image);
    }
    handle_close(&h);
    return ret;
}

/* ---- what is there ---- */

struct walk {
    uint64_t offset, end; /* of what is data, from the first on */
    bool any;
};

static int step(uint64_t offset, size_t length, int exists, void *opaque)
{
    struct walk *w = opaque;

    if (!exists || (w->any && offset != w->end))
        return w->any ? STOP : 0;
    if (!w->any)
        w->offset = offset;
    w->any = true;
    w->end = offset + length;
    return 0;
}

int handle_status(struct rbd_handle *h, uint64_t offset, uint64_t *bytes, bool *ret_data)
{
    struct walk w = {.any = false};
    int ret = rbd_diff_iterate2(h->image, NULL, offset, *bytes, 1, h->fast, step, &w);
    uint64_t end = offset + *bytes;

    if (ret < 0 && ret != STOP)
        return ret;
    *ret_data = w.any && w.offset <= offset && w.end > offset;
    if (*ret_data && w.end < end)
        *bytes = w.end - offset;
    else if (!*ret_data && w.any && w.offset < end)
        *bytes = w.offset - offset;
    return 0;
}

void snapshots_free(struct rbd_snapshot *list, int count)
{
    for (int i = 0; i < count; i++)
        free(list[i].name);
    free(list);
}

int handle_snapshots(struct rbd_handle *h, struct rbd_snapshot **ret)
{
    rbd_snap_info_t *infos = NULL;
    int room = 16, count;

    do { /* they may become more meanwhile */
        free(infos);
        infos = calloc((size_t)room, sizeof(*infos));
        count = infos ? rbd_snap_list(h->image, infos, &room) : -ENOMEM;
    } while (count == -ERANGE);
    if (count > 0) {
        *ret = bp_alloc((size_t)count * sizeof(**ret));
        for (int i = 0; i < count; i++)
            (*ret)[i] = (struct rbd_snapshot){infos[i].id, infos[i].size, bp_strdup(infos[i].name)};
        rbd_snap_list_end(infos);
    }
    free(infos);
    return count;
}
