/* SPDX-License-Identifier: MIT */
/*
 * Who enciphers for a virtio-crypto device (-object cryptodev-backend-*): interface cryptodev/1, offered by the
 * module of the back end. A back end serves one device; what happens to it between claim() and release() is the
 * device's to serialise. Algorithms are numbered as virtio does (Virtual I/O Device 1.2, 5.9.7.2.1).
 */
#ifndef BP_HOST_CRYPTODEV_H
#define BP_HOST_CRYPTODEV_H

#include <bp/object.h>

BP_BEGIN_DECLS

#define BP_CRYPTODEV_TYPE "cryptodev-backend" /* what such an object is, for links */
#define BP_CRYPTODEV_KEY_MOST 64u
#define BP_CRYPTODEV_IV_MOST 16u

struct bp_device;

struct bp_cryptodev_facts {
    size_t size;
    uint32_t queues;    /* for data, at least 1 */
    uint32_t ciphers;   /* bit n: algorithm n */
    uint32_t key_most;  /* bytes of a key */
    uint32_t reserved32;
    uint64_t data_most; /* bytes of a request */
    void *reserved[4];
};

struct bp_cryptodev_interface { /* cryptodev/1 */
    uint32_t size;
    /* It is `dev`'s from now on. -EBUSY: it is another's. [main] */
    int (*claim)(struct bp_object *backend, struct bp_device *dev, struct bp_cryptodev_facts *ret_facts,
                 struct bp_error *err);
    void (*release)(struct bp_object *backend, struct bp_device *dev); /* ends its sessions; [main] */
    /* A session for one key and direction. -EINVAL: the key's length; -ENOTSUP: the algorithm; -ENOSPC. [any] */
    int (*open)(struct bp_object *backend, uint32_t algorithm, bool encrypt, const uint8_t *key, uint32_t key_len,
                uint64_t *ret_session);
    int (*close)(struct bp_object *backend, uint64_t session); /* -ENOENT: there is no such; [any] */
    void (*close_all)(struct bp_object *backend);
    /* What a request has to be: bytes of its IV, and of what its data is a multiple. -ENOENT as above. [any] */
    int (*shape)(struct bp_object *backend, uint64_t session, bool encrypt, uint32_t *ret_iv_len, uint32_t *ret_block);
    /* The next `len` bytes of a request (a multiple of the block, or the last of it); `iv` goes along. [any] */
    void (*run)(struct bp_object *backend, uint64_t session, uint8_t iv[BP_CRYPTODEV_IV_MOST], const uint8_t *src,
                uint8_t *dst, uint32_t len);
    void *reserved[4];
};

BP_END_DECLS

#endif
