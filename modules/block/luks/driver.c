/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-luks`: disks that are encrypted with LUKS (On-Disk Format Specification 1.2.3, version 1), by
 * libgcrypt; as a driver, and for formats that hold such a header (bp/host/block-luks.h).
 * Leaves out: version 2.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "luks.h"

const struct bp_block_interface *block;
const struct bp_secret_interface *secret;
BP_NOTE("requires=block/1");
BP_NOTE("requires=secret/1");
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), BP_IMPORT(secret, "secret", 1), {0}};

#define PIECE (1u << 20)      /* bytes that are enciphered at a time */
#define WORTH_A_THREAD 65536u /* bytes */
#define PAYLOAD_ALIGNMENT (1u << 20)

struct luks_state {
    char *key_secret;
    bool facts_only;
    struct bp_block_child *file, *header;
    struct bp_luks *luks;
    uint64_t payload;
};

/* ---- the header's place ---- */

static int child_io(struct bp_block_child *child, enum bp_block_op op, uint64_t offset, void *buf, uint64_t bytes)
{
    struct iovec iov = {buf, (size_t)bytes};
    struct bp_block_request req = {.size = sizeof(req), .offset = offset, .bytes = bytes, .iov = &iov, .iov_count = 1};

    return block->child_request(child, op, &req);
}

static int place_read(void *opaque, uint64_t offset, void *buf, uint64_t bytes)
{
    return child_io(opaque, BP_BLOCK_READ, offset, buf, bytes);
}

static int place_write(void *opaque, uint64_t offset, const void *buf, uint64_t bytes)
{
    return child_io(opaque, BP_BLOCK_WRITE, offset, (void *)(uintptr_t)buf, bytes);
}

static int luks_probe(const uint8_t *head, size_t length, const char *file)
{
    (void)file;
    return length >= 8 && !memcmp(head, "LUKS\xba\xbe\0\1", 8) ? 100 : 0;
}

static int driver_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct luks_state *s = block->state(node);
    struct bp_luks_place place = {.size = sizeof(place), .read = place_read};
    int64_t length, data;
    int ret;

    (void)flags;
    s->file = block->child(node, "file");
    s->header = block->child(node, "header");
    place.opaque = s->header ? s->header : s->file;
    length = block->child_length(place.opaque);
    data = block->child_length(s->file);
    if (length < 0 || data < 0)
        return (int)(length < 0 ? length : data);
    place.room = (uint64_t)length;
    if (!s->key_secret && !s->facts_only)
        return bp_fail(err, EINVAL, "luks: 'key-secret' is missing: the id of the secret (-object secret) with the "
                       "password");
    ret = luks_open(&place, s->key_secret, &s->luks, err);
    if (ret < 0)
        return ret;
    s->payload = luks_ops.payload(s->luks);
    if (s->payload > (uint64_t)data || (!s->header && s->payload < HEADER_BYTES)) {
        luks_free(s->luks);
        return bp_fail(err, EINVAL, "luks: the data cannot be at %llu", (unsigned long long)s->payload);
    }
    return 0;
}

static void driver_close(struct bp_block_node *node)
{
    luks_free(((struct luks_state *)block->state(node))->luks);
}

/* ---- requests ---- */

struct crypting {
    struct bp_luks *luks;
    bool encrypt;
    uint64_t sector;
    uint8_t *buf;
    size_t bytes;
    int ret;
};

static void crypt_it(void *opaque)
{
    struct crypting *c = opaque;

    c->ret = luks_crypt(c->luks, c->encrypt, c->sector, c->buf, c->bytes);
}

static int crypt_piece(struct luks_state *s, bool encrypt, uint64_t at, uint8_t *buf, size_t bytes)
{
    struct crypting c = {s->luks, encrypt, at / BP_LUKS_SECTOR, buf, bytes, 0};

    if (bytes >= WORTH_A_THREAD && block->may_wait())
        bp_co_worker(crypt_it, &c);
    else
        crypt_it(&c);
    return c.ret;
}

/* Between `buf` and a request's vectors, `bytes` from `skip` on. */
static void move(const struct bp_block_request *req, uint64_t skip, uint8_t *buf, uint64_t bytes, bool out)
{
    for (unsigned i = 0; i < req->iov_count && bytes > 0; i++) {
        uint64_t n = req->iov[i].iov_len;
        uint8_t *at = req->iov[i].iov_base;

        if (skip >= n) {
            skip -= n;
            continue;
        }
        n = n - skip < bytes ? n - skip : bytes;
        memcpy(out ? at + skip : buf, out ? buf : at + skip, (size_t)n);
        buf += n;
        bytes -= n;
        skip = 0;
    }
}

static int in_pieces(struct bp_block_node *node, bool write, const struct bp_block_request *req)
{
    struct luks_state *s = block->state(node);
    size_t room = req->bytes < PIECE ? (size_t)req->bytes : PIECE;
    uint8_t *buf = malloc(room);
    int ret = buf ? 0 : -ENOMEM;

    for (uint64_t done = 0, n; ret == 0 && done < req->bytes; done += n) {
        uint64_t at = req->offset + done;
        struct iovec iov = {buf, 0};
        struct bp_block_request part = {.size = sizeof(part), .flags = req->flags, .offset = s->payload + at,
                                        .iov = &iov, .iov_count = 1, .account = req->account};

        n = req->bytes - done < room ? req->bytes - done : room;
        part.bytes = iov.iov_len = (size_t)n;
        if (write) {
            move(req, done, buf, n, false);
            ret = crypt_piece(s, true, at, buf, (size_t)n);
        }
        if (ret == 0)
            ret = block->child_request(s->file, write ? BP_BLOCK_WRITE : BP_BLOCK_READ, &part);
        if (ret == 0 && !write) {
            ret = crypt_piece(s, false, at, buf, (size_t)n);
            move(req, done, buf, n, true);
        }
    }
    free(buf);
    return ret;
}

static int driver_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    return in_pieces(node, false, req);
}

static int driver_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    return in_pieces(node, true, req);
}

static int64_t driver_length(struct bp_block_node *node)
{
    const struct luks_state *s = block->state(node);
    int64_t data = block->child_length(s->file);

    return data < 0 ? data : data < (int64_t)s->payload ? -EIO
           : (data - (int64_t)s->payload) / BP_LUKS_SECTOR * BP_LUKS_SECTOR;
}

static int driver_resize(struct bp_block_node *node, uint64_t length, bool exact, struct bp_error *err)
{
    const struct luks_state *s = block->state(node);

    if (length % BP_LUKS_SECTOR || length > BP_BLOCK_MAX_LENGTH - s->payload)
        return bp_fail(err, EINVAL, "the length of an encrypted disk is a multiple of %u", BP_LUKS_SECTOR);
    return block->child_resize(s->file, length + s->payload, exact, err);
}

static void driver_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    (void)node;
    limits->request_alignment = BP_LUKS_SECTOR;
    limits->memory_alignment = 0;
}

static int driver_info(struct bp_block_node *node, struct bp_block_info *ret)
{
    const struct luks_state *s = block->state(node);
    struct bp_value *data = luks_info(s->luks);

    bp_value_set(data, "detached-header", bp_value_bool(s->header));
    ret->encrypted = true;
    ret->specific = bp_value_dict();
    bp_value_set(ret->specific, "type", bp_value_string("luks"));
    bp_value_set(ret->specific, "data", data);
    return 0;
}

/* ---- making ---- */

static int driver_create(struct bp_block_child *file, struct bp_value *options, struct bp_error *err)
{
    struct bp_luks_place place = {.size = sizeof(place), .read = place_read, .write = place_write, .opaque = file};
    uint64_t size = bp_value_as_uint(bp_value_get(options, "size")), payload;
    const char *how = bp_value_get_string(options, "preallocation");
    int ret;

    if (bp_value_has(options, "detached-header") || bp_value_has(options, "header"))
        return bp_fail(err, ENOTSUP, "luks: headers in a file of their own are read, but not made");
    if (how && strcmp(how, "off") != 0)
        return bp_fail(err, ENOTSUP, "luks: preallocation is not built; 'off' is");
    ret = luks_measure(options, &place.room, err);
    payload = up_to(place.room, PAYLOAD_ALIGNMENT);
    size = up_to(size, BP_LUKS_SECTOR);
    if (ret == 0 && size > BP_BLOCK_MAX_LENGTH - payload)
        ret = bp_fail(err, EFBIG, "an image of %llu bytes is too long", (unsigned long long)size);
    if (ret == 0)
        ret = block->child_resize(file, 0, false, err);
    if (ret == 0)
        ret = block->child_resize(file, payload + size, false, err);
    return ret < 0 ? ret : luks_create(&place, options, payload, NULL, err);
}

static int driver_measure(struct bp_value *options, uint64_t size, uint64_t used, struct bp_block_measure *ret,
                          struct bp_error *err)
{
    uint64_t bytes;
    int r = luks_measure(options, &bytes, err);

    (void)used;
    if (r < 0)
        return r;
    size = bp_value_has(options, "size") ? bp_value_as_uint(bp_value_get(options, "size")) : size;
    ret->required = ret->fully_allocated = up_to(bytes, PAYLOAD_ALIGNMENT) + up_to(size, BP_LUKS_SECTOR);
    return 0;
}

static int driver_amend(struct bp_block_node *node, struct bp_value *options, struct bp_error *err)
{
    struct luks_state *s = block->state(node);
    struct bp_luks_place place = {.size = sizeof(place), .read = place_read, .write = place_write,
                                  .opaque = s->header ? s->header : s->file};
    struct bp_block_open_flags flags = {.size = sizeof(flags)};

    block->open_flags(node, &flags);
    return flags.read_only ? bp_fail(err, EACCES, "the image is read-only")
                           : luks_amend(&place, s->luks, options, err);
}

static const struct bp_field props[] = {
    BP_PROP("key-secret", STRING, struct luks_state, key_secret, NULL, "id of the secret with the password"),
    {.name = "no-io", .kind = BP_KIND_BOOL, .flags = BP_FIELD_OPTIONAL | BP_FIELD_HIDDEN,
     .offset = offsetof(struct luks_state, facts_only), .def = "off", .help = "only the header is looked at"},
    BP_FIELDS_END};
static const struct bp_block_child_info children[] = {
    {.name = "file", .roles = BP_BLOCK_STORAGE | BP_BLOCK_DATA | BP_BLOCK_PRIMARY, .help = "what holds the data"},
    {.name = "header", .roles = BP_BLOCK_STORAGE | BP_BLOCK_OPTIONAL, .help = "a header that is in a file of its own"},
    {.name = NULL}};
static const struct bp_level_info infos[] = {{"luks", &luks_ops, {NULL}}, {NULL, NULL, {NULL}}};

BP_NOTE("provides=block-driver:luks;summary=Encrypted disks (LUKS)");
static const struct bp_block_driver luks_driver = {
    .type = {.size = sizeof(struct bp_block_driver), .name = "block-luks", .summary = "Encrypted disks (LUKS)",
             .state_size = sizeof(struct luks_state), .props = props, .kind = &bp_block_kind, .infos = infos},
    .flags = BP_BLOCK_FORMAT, .native = BP_BLOCK_FUA, .children = children, .probe = luks_probe, .open = driver_open,
    .close = driver_close, .read = driver_read, .write = driver_write, .length = driver_length,
    .resize = driver_resize, .limits = driver_limits, .info = driver_info, .create = driver_create,
    .measure = driver_measure, .amend = driver_amend};
BP_MODULE("block-luks", "Encrypted disks", imports, {BP_PROVIDE_OTHER, &luks_driver});
