/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Crypto device (Virtual I/O Device 1.2, 5.9): sessions on the control queue, requests on the data queues, the work
 * is a back end's. Offered is service CIPHER; hashes, MACs, AEAD, public keys and requests without a session are not.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include <bp/host/cryptodev.h>
#include <bp/host/virtio.h>

BP_USE(virtio, struct bp_virtio_interface, "virtio", 1);
BP_USE(cryptodev, struct bp_cryptodev_interface, "cryptodev", 1);

enum { OK = 0, ERR = 1, BADMSG = 2, NOTSUPP = 3, INVSESS = 4, NOSPC = 5 };
enum { CIPHER_ENCRYPT = 0, CIPHER_DECRYPT = 1, CIPHER_CREATE = 2, CIPHER_DESTROY = 3 };
enum { OP_ENCRYPT = 1, OP_DECRYPT = 2 };
#define SYM_CIPHER 1u
#define REQUEST 72u /* bytes of a request before its keys and data, of both kinds */
#define CONFIG 56u
#define PIECE 4096u

struct virtio_crypto {
    struct bp_object *backend;
    bool claimed;
    struct bp_cryptodev_facts facts;
    struct bp_device *dev;
    struct bp_virtio *virtio;
    uint32_t sessions; /* that are open */
};

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, 4);
    return le32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

static void put32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, 4);
}

/* ---- control queue ---- */

/* Answer: session (8 bytes), status (4), padding. */
static void create(struct virtio_crypto *s, struct bp_virtq_request *r, const uint8_t *request)
{
    uint32_t algorithm = get32(request + 16), key_len = get32(request + 20), op = get32(request + 24);
    uint8_t key[BP_CRYPTODEV_KEY_MOST], answer[16] = {0};
    uint64_t session = 0;
    int ret = -EBADMSG;

    if (get32(request + 64) != SYM_CIPHER)
        ret = -ENOTSUP;
    else if (key_len <= s->facts.key_most && key_len <= sizeof(key) && (op == OP_ENCRYPT || op == OP_DECRYPT) &&
             bp_virtq_read(r, REQUEST, key, key_len) == key_len)
        ret = cryptodev->open(s->backend, algorithm, op == OP_ENCRYPT, key, key_len, &session);
    explicit_bzero(key, sizeof(key));
    s->sessions += ret == 0;
    put32(answer, (uint32_t)session);
    put32(answer + 4, (uint32_t)(session >> 32));
    put32(answer + 8, ret == 0 ? OK : ret == -ENOTSUP ? NOTSUPP : ret == -ENOSPC ? NOSPC : ret == -EBADMSG ?
          BADMSG : ERR);
    bp_virtq_write(r, 0, answer, sizeof(answer));
}

static void control(struct virtio_crypto *s, struct bp_virtq_request *r)
{
    uint8_t request[REQUEST], status = NOTSUPP, answer[16] = {0};
    uint32_t opcode;

    if (bp_virtq_read(r, 0, request, sizeof(request)) != sizeof(request)) {
        status = BADMSG;
        opcode = CIPHER_DESTROY;
    } else {
        opcode = get32(request);
        if (opcode == CIPHER_CREATE && r->in_bytes >= sizeof(answer)) {
            create(s, r, request);
            return;
        }
        if (opcode == CIPHER_DESTROY)
            status = cryptodev->close(s->backend, get64(request + 16)) == 0 ? OK : INVSESS;
        s->sessions -= status == OK;
    }
    /* Creating one has its answer in 16 bytes, all else in one. */
    put32(answer + 8, status);
    if (r->in_bytes >= sizeof(answer) && opcode != CIPHER_DESTROY)
        bp_virtq_write(r, 0, answer, sizeof(answer));
    else
        bp_virtq_write(r, 0, &status, 1);
}

static bool handle_control(void *opaque, struct bp_virtq *queue)
{
    struct bp_virtq_request *r;

    while ((r = virtio->pop(queue))) {
        control(opaque, r);
        virtio->push(queue, r, r->in_bytes);
    }
    virtio->flush(queue);
    return true;
}

/* ---- data queues ---- */

/* Piece by piece, so that memory stays bounded by what we say. */
static uint8_t run(struct virtio_crypto *s, struct bp_virtq_request *r, const uint8_t *request)
{
    uint32_t opcode = get32(request), iv_len = get32(request + 24), len = get32(request + 28), want_iv, block;
    uint64_t session = get64(request + 8);
    uint8_t iv[BP_CRYPTODEV_IV_MOST] = {0}, piece[PIECE];
    int ret;

    if (opcode != CIPHER_ENCRYPT && opcode != CIPHER_DECRYPT)
        return NOTSUPP;
    if (get32(request + 64) != SYM_CIPHER)
        return NOTSUPP;
    ret = cryptodev->shape(s->backend, session, opcode == CIPHER_ENCRYPT, &want_iv, &block);
    if (ret < 0)
        return ret == -ENOENT ? INVSESS : ERR;
    if (iv_len != want_iv || len > s->facts.data_most || len % block || get32(request + 32) != len ||
        r->out_bytes < REQUEST + (uint64_t)iv_len + len || r->in_bytes < (uint64_t)len + 1)
        return BADMSG;
    bp_virtq_read(r, REQUEST, iv, iv_len);
    for (uint32_t at = 0; at < len; at += PIECE) {
        uint32_t n = len - at < PIECE ? len - at : PIECE;

        bp_virtq_read(r, REQUEST + (uint64_t)iv_len + at, piece, n);
        cryptodev->run(s->backend, session, iv, piece, piece, n);
        bp_virtq_write(r, at, piece, n);
    }
    return OK;
}

static bool handle_data(void *opaque, struct bp_virtq *queue)
{
    struct virtio_crypto *s = opaque;
    struct bp_virtq_request *r;
    uint8_t request[REQUEST], status;

    while ((r = virtio->pop(queue))) {
        status = bp_virtq_read(r, 0, request, sizeof(request)) == sizeof(request) ? run(s, r, request) : BADMSG;
        if (r->in_bytes)
            bp_virtq_write(r, r->in_bytes - 1, &status, 1);
        virtio->push(queue, r, r->in_bytes);
    }
    virtio->flush(queue);
    return true;
}

/* ---- life ---- */

static void reset(void *opaque)
{
    struct virtio_crypto *s = opaque;

    if (s->claimed)
        cryptodev->close_all(s->backend);
    s->sessions = 0;
}

static const struct bp_virtio_class class = {
    .size = sizeof(class), .id = 20, .config_size = CONFIG, .name = "virtio-crypto", .features = BP_VIRTIO_BIT(0),
    .flags = BP_VIRTIO_CLASS_MODERN_ONLY, .reset = reset};
static const struct bp_virtq_info data_info = {.size = sizeof(data_info), .entries = 1024, .handle = handle_data};
static const struct bp_virtq_info control_info = {.size = sizeof(control_info), .entries = 64,
                                                  .handle = handle_control};

static void tell(struct virtio_crypto *s)
{
    uint8_t *config = virtio->config(s->virtio);

    memset(config, 0, CONFIG);
    put32(config, 1);                   /* ready */
    put32(config + 4, s->facts.queues);
    put32(config + 8, 1u << 0);         /* CIPHER */
    put32(config + 12, s->facts.ciphers);
    put32(config + 36, s->facts.key_most);
    put32(config + 48, (uint32_t)s->facts.data_most);
    put32(config + 52, (uint32_t)(s->facts.data_most >> 32));
}

static int attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    struct virtio_crypto *s = state;
    struct bp_virtq *queue;
    int ret;

    s->dev = bp_device_from_object(obj);
    if (!s->backend)
        return bp_fail(err, EINVAL, "'cryptodev' parameter expects a valid object: the id of an -object "
                       "cryptodev-backend-builtin");
    s->facts.size = sizeof(s->facts);
    ret = cryptodev->claim(s->backend, s->dev, &s->facts, err);
    if (ret < 0)
        return ret;
    s->claimed = true;
    ret = virtio->setup(s->dev, &class, s, &s->virtio, err);
    for (uint32_t i = 0; ret == 0 && i < s->facts.queues; i++)
        ret = virtio->add_queue(s->virtio, &data_info, &queue, err);
    if (ret == 0)
        ret = virtio->add_queue(s->virtio, &control_info, &queue, err);
    if (ret == 0) {
        tell(s);
    } else {
        cryptodev->release(s->backend, s->dev);
        s->claimed = false;
    }
    return ret;
}

static void detach(struct bp_object *obj, void *state)
{
    struct virtio_crypto *s = state;

    (void)obj;
    if (s->claimed)
        cryptodev->release(s->backend, s->dev);
    s->claimed = false;
}

static int before_save(void *state, struct bp_error *err)
{
    const struct virtio_crypto *s = state;

    if (s->sessions)
        return bp_fail(err, ENOTSUP, "virtio-crypto: keys of %u open sessions are not part of a saved state: it can be "
                       "saved once the driver has closed them", s->sessions);
    return 0;
}

static const struct bp_state_field fields[] = {BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .before_save = before_save};

static const struct bp_field props[] = {
    BP_PROP_LINK("cryptodev", BP_CRYPTODEV_TYPE, struct virtio_crypto, backend, "who enciphers for it"),
    BP_FIELDS_END};

static const struct bp_level_class virtio_crypto = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = "virtio-crypto-base",
             .summary = "Crypto device", .state_size = sizeof(struct virtio_crypto), .props = props,
             .state = &table},
    .attach = attach, .detach = detach};

BP_VIRTIO_NAMES(crypto, "virtio-crypto", 0x1000, "Crypto device", &virtio_crypto, .category = "misc");

static const struct bp_import imports[] = {BP_IMPORT(virtio, "virtio", 1), BP_IMPORT(cryptodev, "cryptodev", 1), {0}};
BP_MODULE("hw-virtio-crypto", "Virtio crypto device", imports, {BP_PROVIDE_DEVICE, &crypto_pci},
          {BP_PROVIDE_DEVICE, &crypto_device});
