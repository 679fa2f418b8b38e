/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cryptodev-backend-builtin: AES by ECB, CBC and CTR, done in place by nettle. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nettle/cbc.h>
#include <nettle/ctr.h>
#include <nettle/nettle-meta.h>

#include <bp/device.h>
#include <bp/host/cryptodev.h>
#include <bp/level.h>

#define SESSIONS 256u
#define DATA_MOST (1u << 20)
#define BLOCK 16u
enum { AES_ECB = 2, AES_CBC = 3, AES_CTR = 4 };

struct session {
    const struct nettle_cipher *cipher; /* NULL: free */
    void *key; /* owned: the cipher's context */
    uint32_t algorithm;
    bool encrypt;
};

struct builtin {
    uint32_t queues;
    struct bp_device *user;
    struct session sessions[SESSIONS];
};

/* The level of all of them. */
struct level {
    char none;
};
BP_LEVEL(cryptodev_level, BP_CRYPTODEV_TYPE, NULL, "Ciphers for virtio-crypto", struct level, NULL, NULL);

static void forget(struct session *session)
{
    if (session->key)
        explicit_bzero(session->key, session->cipher->context_size);
    free(session->key);
    *session = (struct session){.cipher = NULL};
}

static void close_all(struct bp_object *obj)
{
    struct builtin *s = bp_object_state(obj);

    for (unsigned i = 0; i < SESSIONS; i++)
        forget(&s->sessions[i]);
}

static int claim(struct bp_object *obj, struct bp_device *dev, struct bp_cryptodev_facts *ret_facts,
                 struct bp_error *err)
{
    struct builtin *s = bp_object_state(obj);

    if (s->user)
        return bp_fail(err, EBUSY, "cryptodev '%s' is in use by device '%s' already: each device needs one of its own",
                       bp_object_id(obj), bp_object_path(bp_device_object(s->user)));
    s->user = dev;
    ret_facts->queues = s->queues;
    ret_facts->ciphers = 1u << AES_ECB | 1u << AES_CBC | 1u << AES_CTR;
    ret_facts->key_most = 32;
    ret_facts->data_most = DATA_MOST;
    return 0;
}

static void release(struct bp_object *obj, struct bp_device *dev)
{
    struct builtin *s = bp_object_state(obj);

    if (s->user != dev)
        return;
    close_all(obj);
    s->user = NULL;
}

static int open_session(struct bp_object *obj, uint32_t algorithm, bool encrypt, const uint8_t *key, uint32_t key_len,
                        uint64_t *ret_session)
{
    struct builtin *s = bp_object_state(obj);
    const struct nettle_cipher *cipher = key_len == 16   ? &nettle_aes128
                                         : key_len == 24 ? &nettle_aes192
                                         : key_len == 32 ? &nettle_aes256
                                                         : NULL;
    unsigned n = 0;
    void *context;

    if (algorithm != AES_ECB && algorithm != AES_CBC && algorithm != AES_CTR)
        return -ENOTSUP;
    if (!cipher)
        return -EINVAL;
    while (n < SESSIONS && s->sessions[n].cipher)
        n++;
    context = n < SESSIONS ? malloc(cipher->context_size) : NULL;
    if (!context)
        return -ENOSPC;
    if (encrypt || algorithm == AES_CTR)
        cipher->set_encrypt_key(context, key);
    else
        cipher->set_decrypt_key(context, key);
    s->sessions[n] = (struct session){cipher, context, algorithm, encrypt};
    *ret_session = n;
    return 0;
}

static struct session *find(struct bp_object *obj, uint64_t session)
{
    struct builtin *s = bp_object_state(obj);

    return session < SESSIONS && s->sessions[session].cipher ? &s->sessions[session] : NULL;
}

static int close_session(struct bp_object *obj, uint64_t session)
{
    struct session *one = find(obj, session);

    if (!one)
        return -ENOENT;
    forget(one);
    return 0;
}

static int shape(struct bp_object *obj, uint64_t session, bool encrypt, uint32_t *ret_iv_len, uint32_t *ret_block)
{
    const struct session *one = find(obj, session);

    if (!one)
        return -ENOENT;
    if (one->encrypt != encrypt)
        return -EINVAL; /* its key is for the other direction */
    *ret_iv_len = one->algorithm == AES_ECB ? 0 : BLOCK;
    *ret_block = one->algorithm == AES_CTR ? 1 : BLOCK;
    return 0;
}

static void run(struct bp_object *obj, uint64_t session, uint8_t iv[BP_CRYPTODEV_IV_MOST], const uint8_t *src,
                uint8_t *dst, uint32_t len)
{
    const struct session *one = find(obj, session);
    const struct nettle_cipher *c = one->cipher;

    if (one->algorithm == AES_CTR)
        ctr_crypt(one->key, c->encrypt, BLOCK, iv, len, dst, src);
    else if (one->algorithm == AES_CBC && one->encrypt)
        cbc_encrypt(one->key, c->encrypt, BLOCK, iv, len, dst, src);
    else if (one->algorithm == AES_CBC)
        cbc_decrypt(one->key, c->decrypt, BLOCK, iv, len, dst, src);
    else
        (one->encrypt ? c->encrypt : c->decrypt)(one->key, len, dst, src);
}

static const struct bp_cryptodev_interface cryptodev = {
    .size = sizeof(cryptodev), .claim = claim, .release = release, .open = open_session, .close = close_session,
    .close_all = close_all, .shape = shape, .run = run};
BP_INTERFACE(cryptodev_interface, "cryptodev", 1, 0, &cryptodev);

/* ---- the object ---- */

static int complete(struct bp_object *obj, struct bp_error *err)
{
    (void)obj, (void)err;
    return 0;
}

static void finalize(struct bp_object *obj)
{
    close_all(obj);
}

static bool can_delete(struct bp_object *obj)
{
    return ((struct builtin *)bp_object_state(obj))->user == NULL;
}

static const struct bp_field props[] = {
    BP_PROP_RANGE("queues", UINT32, struct builtin, queues, "1", 1, 64, "queues for data"), BP_FIELDS_END};
BP_NOTE("provides=object:cryptodev-backend-builtin;summary=Ciphers of this program");
static const struct bp_object_class builtin_class = {
    .type = {.size = sizeof(struct bp_object_class), .name = "cryptodev-backend-builtin", .parent = BP_CRYPTODEV_TYPE,
             .summary = "Ciphers of this program", .state_size = sizeof(struct builtin), .props = props},
    .complete = complete, .finalize = finalize, .can_delete = can_delete};

BP_MODULE("object-cryptodev", "Ciphers for virtio-crypto", BP_NO_IMPORTS, {BP_PROVIDE_ABSTRACT, &cryptodev_level},
          {BP_PROVIDE_OBJECT, &builtin_class}, {BP_PROVIDE_INTERFACE, &cryptodev_interface});
