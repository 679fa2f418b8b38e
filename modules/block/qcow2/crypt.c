/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Encrypted images: their data, not their tables. The LUKS header lies in clusters that a header extension names; a
 * sector's number is that of its place in the file. Ciphers are the driver luks's (bp/host/block-luks.h), which is
 * loaded when an image asks for it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/host/block-luks.h>

#include "qcow2.h"

#define WORTH_A_THREAD 65536u /* bytes */
#define PIECE (1u << 20)

struct crypt {
    const struct bp_luks_ops *ops;
    struct bp_luks *luks;
};

static int place_read(void *opaque, uint64_t offset, void *buf, uint64_t bytes)
{
    struct qcow *s = opaque;

    return io_child(s, s->file, BP_BLOCK_READ, s->luks_offset + offset, buf, bytes);
}

static int place_write(void *opaque, uint64_t offset, const void *buf, uint64_t bytes)
{
    struct qcow *s = opaque;

    return io_child(s, s->file, BP_BLOCK_WRITE, s->luks_offset + offset, (void *)(uintptr_t)buf, bytes);
}

static struct bp_luks_place place_of(struct qcow *s)
{
    return (struct bp_luks_place){.size = sizeof(struct bp_luks_place), .read = place_read, .write = place_write,
                                  .opaque = s, .room = s->luks_bytes};
}

static int check_format(const char *format, const char *key, struct bp_error *err)
{
    return !format || strcmp(format, "luks") != 0
               ? bp_fail(err, !format ? EINVAL : ENOTSUP, "%s '%s.format' %s; luks is taken", key, key,
                         !format ? "is missing" : !strcmp(format, "aes") ? "does not take aes, which old releases had"
                                                                          : "does not take this")
               : 0;
}

int crypt_open(struct qcow *s, struct bp_error *err)
{
    const char *id = bp_value_get_string(s->encrypt, "key-secret");
    struct bp_luks_place place = place_of(s);
    struct crypt *c;
    int ret = 0;

    if (!s->luks_bytes && !s->encrypt)
        return 0;
    if (!s->luks_bytes)
        return bp_fail(err, EINVAL, "key 'encrypt': the image is not encrypted");
    if (s->encrypt)
        ret = check_format(bp_value_get_string(s->encrypt, "format"), "encrypt", err);
    if (ret == 0 && !id && !s->facts_only)
        ret = bp_fail(err, EINVAL, "qcow2: the image is encrypted: encrypt.format=luks,encrypt.key-secret=ID names the "
                      "secret (-object secret) with its password");
    if (ret < 0)
        return ret;
    c = calloc(1, sizeof(*c));
    if (!c)
        return bp_fail(err, ENOMEM, "qcow2: no memory");
    ret = bp_luks_find(&c->ops, err);
    if (ret == 0)
        ret = c->ops->open(&place, id, &c->luks, err);
    if (ret < 0)
        free(c);
    else
        s->crypt = c;
    return ret;
}

void crypt_free(struct qcow *s)
{
    if (s->crypt)
        s->crypt->ops->free(s->crypt->luks);
    free(s->crypt);
    s->crypt = NULL;
}

struct bp_value *crypt_info(const struct qcow *s)
{
    struct bp_value *v = s->crypt->ops->info(s->crypt->luks);

    bp_value_set(v, "format", bp_value_string("luks"));
    return v;
}

/* ---- data ---- */

struct job {
    const struct crypt *c;
    bool encrypt;
    uint64_t sector;
    uint8_t *buf;
    size_t bytes;
    int ret;
};

static void carry_out(void *opaque)
{
    struct job *j = opaque;

    j->ret = (j->encrypt ? j->c->ops->encrypt : j->c->ops->decrypt)(j->c->luks, j->sector, j->buf, j->bytes);
}

static int run(const struct qcow *s, bool encrypt, uint64_t host, uint8_t *buf, size_t bytes)
{
    struct job j = {s->crypt, encrypt, host / BP_LUKS_SECTOR, buf, bytes, 0};

    if (bytes >= WORTH_A_THREAD && block->may_wait())
        bp_co_worker(carry_out, &j);
    else
        carry_out(&j);
    return j.ret;
}

static void move(const struct iovec *iov, unsigned n, uint64_t skip, uint8_t *buf, uint64_t bytes, bool out)
{
    for (unsigned i = 0; i < n && bytes > 0; i++) {
        uint64_t part = iov[i].iov_len;
        uint8_t *at = iov[i].iov_base;

        if (skip >= part) {
            skip -= part;
            continue;
        }
        part = part - skip < bytes ? part - skip : bytes;
        memcpy(out ? at + skip : buf, out ? buf : at + skip, (size_t)part);
        buf += part;
        bytes -= part;
        skip = 0;
    }
}

int crypt_io(struct qcow *s, enum bp_block_op op, uint64_t host, const struct iovec *iov, unsigned n, uint64_t skip,
             uint64_t bytes)
{
    size_t room = bytes < PIECE ? (size_t)bytes : PIECE;
    uint8_t *buf = malloc(room);
    int ret = buf ? 0 : -ENOMEM;

    for (uint64_t part; ret == 0 && bytes > 0; bytes -= part, host += part, skip += part) {
        part = bytes < room ? bytes : room;
        if (op == BP_BLOCK_WRITE) {
            move(iov, n, skip, buf, part, false);
            ret = run(s, true, host, buf, (size_t)part);
        }
        if (ret == 0)
            ret = io_child(s, s->data, op, host, buf, part);
        if (ret == 0 && op == BP_BLOCK_READ) {
            ret = run(s, false, host, buf, (size_t)part);
            move(iov, n, skip, buf, part, true);
        }
    }
    free(buf);
    return ret;
}

/* ---- new images ---- */

static int take_own(const char *key, struct bp_value *value, void *opaque)
{
    if (!strncmp(key, "encrypt.", 8))
        bp_value_set(opaque, key + 8, bp_value_ref(value));
    return 0;
}

int crypt_wish(struct bp_value *options, struct bp_value **ret_wish, uint64_t *ret_bytes, struct bp_error *err)
{
    struct bp_value *nested = bp_value_get(options, "encrypt"), *wish;
    const struct bp_luks_ops *ops = NULL;
    int ret;

    *ret_wish = NULL;
    *ret_bytes = 0;
    if (bp_value_has(options, "encryption"))
        return bp_fail(err, ENOTSUP, "option 'encryption' is that of old releases: encrypt.format=luks, "
                       "encrypt.key-secret=ID");
    wish = bp_value_type(nested) == BP_VALUE_DICT ? bp_value_ref(nested) : bp_value_dict();
    bp_value_each(options, take_own, wish);
    if (bp_value_length(wish) == 0) {
        bp_value_unref(wish);
        return 0;
    }
    ret = check_format(bp_value_get_string(wish, "format"), "encrypt", err);
    if (ret == 0)
        ret = bp_luks_find(&ops, err);
    if (ret == 0)
        ret = ops->measure(wish, ret_bytes, err);
    if (ret < 0)
        bp_value_unref(wish);
    else
        *ret_wish = wish;
    return ret;
}

int crypt_make(struct qcow *s, struct bp_value *wish, struct bp_error *err)
{
    uint64_t clusters = up(s->luks_bytes, s->cluster) >> s->cluster_bits, got;
    const struct bp_luks_ops *ops = NULL;
    struct bp_luks_place place;
    int ret = clusters_alloc(s, clusters, clusters, &s->luks_offset, &got);

    if (ret < 0)
        return bp_fail(err, -ret, "the encryption's header has no room: %s", strerror(-ret));
    place = place_of(s);
    ret = bp_luks_find(&ops, err);
    return ret < 0 ? ret : ops->create(&place, wish, up(s->luks_bytes, BP_LUKS_SECTOR), NULL, err);
}

int crypt_amend(struct qcow *s, struct bp_value *options, struct bp_error *err)
{
    struct bp_luks_place place = place_of(s);

    if (!s->crypt)
        return bp_fail(err, EINVAL, "options 'encrypt': the image is not encrypted");
    return s->crypt->ops->amend(&place, s->crypt->luks, options, err);
}
