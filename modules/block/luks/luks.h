/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LUKS version 1 (On-Disk Format Specification 1.2.3): what the files of the module share. */
#ifndef LUKS_H
#define LUKS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <bp/coroutine.h>
#include <bp/host/block-luks.h>
#include <bp/host/secret.h>

extern const struct bp_block_interface *block;
extern const struct bp_secret_interface *secret;

#define SLOTS 8u
#define STRIPES 4000u
#define HEADER_BYTES 592u
#define SALT 32u
#define DIGEST 20u
#define MOST_KEY 64u
#define MOST_ITERATIONS (1u << 28)
#define SLOT_ALIGNMENT 4096u

enum ivgen { IV_NONE, IV_PLAIN, IV_PLAIN64, IV_ESSIV };

/* How sectors are enciphered. */
struct suite {
    int algorithm, mode;       /* of libgcrypt */
    enum ivgen ivgen;
    int iv_hash, iv_algorithm; /* ESSIV */
    unsigned block, key;       /* bytes of a block; of a key, both parts of XTS */
};

struct slot {
    bool active;
    uint32_t iterations, offset, stripes; /* offset: in sectors */
    uint8_t salt[SALT];
};

struct handle; /* of libgcrypt: one user at a time */

struct bp_luks {
    char cipher[33], mode[33], hash[33], uuid[41];
    uint32_t payload, key_bytes, digest_iterations; /* payload: in sectors */
    uint8_t digest[DIGEST], digest_salt[SALT];
    struct slot slots[SLOTS];
    struct suite suite;
    bool has_key;
    uint8_t key[MOST_KEY];
    pthread_mutex_t lock; /* of the handles that nobody uses */
    struct handle *idle;
};

/* ---- cipher.c ---- */
int crypt_begin(struct bp_error *err); /* the library is there */
/* Of a header's names ("aes", "xts-plain64"), for a key of so many bytes. */
int suite_of(const char *cipher, const char *mode, uint32_t key_bytes, struct suite *ret, struct bp_error *err);
int hash_of(const char *name); /* 0: not known */
unsigned hash_bytes(int hash);
/* NULL: no memory, or a key that is refused. */
struct handle *handle_new(const struct suite *suite, const uint8_t *key);
void handles_free(struct handle *list);
struct handle *handle_next(struct handle *h);
struct handle *handle_link(struct handle *h, struct handle *next); /* h */
int handle_crypt(struct handle *h, bool encrypt, uint64_t sector, uint8_t *buf, size_t bytes);
int derive(int hash, const void *password, size_t length, const uint8_t *salt, uint32_t iterations, uint8_t *out,
           size_t bytes); /* PBKDF2 */
/* Anti-forensic splitter: `stripes` times `bytes`. */
int af_split(int hash, const uint8_t *key, unsigned bytes, unsigned stripes, uint8_t *out);
int af_merge(int hash, const uint8_t *in, unsigned bytes, unsigned stripes, uint8_t *key);
int random_bytes(void *buf, size_t bytes);
void wipe(void *buf, size_t bytes);

/* ---- header.c ---- */
extern const struct bp_luks_ops luks_ops;
int luks_open(const struct bp_luks_place *place, const char *secret_id, struct bp_luks **ret, struct bp_error *err);
void luks_free(struct bp_luks *luks);
int luks_crypt(struct bp_luks *luks, bool encrypt, uint64_t sector, void *buf, size_t bytes);
/* Does the secret open this slot, which is active? 1, 0 or -errno. */
int slot_opens(const struct bp_luks_place *place, struct bp_luks *l, unsigned slot, const char *id,
               struct bp_error *err);
struct bp_value *luks_info(const struct bp_luks *luks);

/* ---- slots.c ---- */
int luks_amend(const struct bp_luks_place *place, struct bp_luks *l, struct bp_value *options, struct bp_error *err);

/* ---- make.c ---- */
int luks_measure(struct bp_value *options, uint64_t *ret_bytes, struct bp_error *err);
int luks_create(const struct bp_luks_place *place, struct bp_value *options, uint64_t payload, struct bp_luks **ret,
                struct bp_error *err);
struct bp_luks *luks_new(void);
/* Milliseconds of option iter-time; 2000. */
int luks_take_time(struct bp_value *options, uint64_t *ret, struct bp_error *err);
void luks_put_header(const struct bp_luks *l, uint8_t *h); /* HEADER_BYTES */
/* The slot, whose salt and place are there, becomes one that this password opens; `material` is what lies there, whole
 * sectors. Takes its time: for a worker thread. */
int slot_fill(struct bp_luks *l, struct slot *s, const uint8_t *password, size_t length, uint64_t milliseconds,
              uint8_t *material);
/* The secret's bytes, until it is deleted. */
int luks_password(const char *id, const uint8_t **ret, size_t *ret_length, struct bp_error *err);

static inline uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void put32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static inline uint64_t up_to(uint64_t v, uint64_t to)
{
    return (v + to - 1) / to * to;
}

#endif
