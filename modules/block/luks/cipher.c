/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ciphers, hashes and what LUKS makes of them (On-Disk Format Specification 1.2.3, chapters 2 and 5), by libgcrypt. A
 * sector's initialization vector is its number (plain: 32 bits of it, plain64), or that enciphered with a hash of the
 * key (ESSIV). The number is little-endian.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <gcrypt.h>

#include "luks.h"

#define OLDEST_LIBRARY "1.8.0" /* the first with XTS */

struct handle {
    struct handle *next;
    struct suite suite;
    gcry_cipher_hd_t data, iv; /* iv: of ESSIV, or NULL */
};

static const struct {
    const char *name;
    unsigned bytes; /* of a key */
    int algorithm;
} ciphers[] = {{"aes", 16, GCRY_CIPHER_AES128}, {"aes", 24, GCRY_CIPHER_AES192}, {"aes", 32, GCRY_CIPHER_AES256},
               {"serpent", 16, GCRY_CIPHER_SERPENT128}, {"serpent", 24, GCRY_CIPHER_SERPENT192},
               {"serpent", 32, GCRY_CIPHER_SERPENT256}, {"twofish", 16, GCRY_CIPHER_TWOFISH128},
               {"twofish", 32, GCRY_CIPHER_TWOFISH}, {"cast5", 16, GCRY_CIPHER_CAST5}};

static const struct {
    const char *name;
    int hash;
} hashes[] = {{"sha1", GCRY_MD_SHA1}, {"sha224", GCRY_MD_SHA224}, {"sha256", GCRY_MD_SHA256},
              {"sha384", GCRY_MD_SHA384}, {"sha512", GCRY_MD_SHA512}, {"ripemd160", GCRY_MD_RMD160},
              {"whirlpool", GCRY_MD_WHIRLPOOL}};

int crypt_begin(struct bp_error *err)
{
    if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
        return 0;
    if (!gcry_check_version(OLDEST_LIBRARY))
        return bp_fail(err, ENOTSUP, "luks: libgcrypt is older than " OLDEST_LIBRARY);
    gcry_control(GCRYCTL_DISABLE_SECMEM, 0); /* locked memory is small, and the keys of many images do not fit */
    gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    return 0;
}

int hash_of(const char *name)
{
    for (size_t i = 0; i < BP_COUNT(hashes); i++)
        if (!strcmp(hashes[i].name, name))
            return hashes[i].hash;
    return 0;
}

unsigned hash_bytes(int hash)
{
    return gcry_md_get_algo_dlen(hash);
}

static int cipher_of(const char *name, unsigned bytes)
{
    for (size_t i = 0; i < BP_COUNT(ciphers); i++)
        if (ciphers[i].bytes == bytes && !strcmp(ciphers[i].name, name))
            return ciphers[i].algorithm;
    return 0;
}

/* "plain", "plain64", "essiv:sha256" */
static int take_ivgen(const char *name, const char *cipher, struct suite *s, struct bp_error *err)
{
    if (!strcmp(name, "plain")) {
        s->ivgen = IV_PLAIN;
    } else if (!strcmp(name, "plain64")) {
        s->ivgen = IV_PLAIN64;
    } else if (!strncmp(name, "essiv:", 6)) {
        s->ivgen = IV_ESSIV;
        s->iv_hash = hash_of(name + 6);
        s->iv_algorithm = s->iv_hash ? cipher_of(cipher, hash_bytes(s->iv_hash)) : 0;
        if (!s->iv_hash)
            return bp_fail(err, ENOTSUP, "luks: hash '%s' of ESSIV is not known", name + 6);
        if (!s->iv_algorithm)
            return bp_fail(err, ENOTSUP, "luks: ESSIV with %s needs a key of %s as long as its digest", name + 6,
                           cipher);
    } else {
        return bp_fail(err, ENOTSUP, "luks: '%s' is not known as a way to make initialization vectors; plain, plain64 "
                       "and essiv:HASH are", name);
    }
    return 0;
}

int suite_of(const char *cipher, const char *mode, uint32_t key_bytes, struct suite *ret, struct bp_error *err)
{
    static const struct {
        const char *name;
        int mode;
    } modes[] = {{"xts", GCRY_CIPHER_MODE_XTS}, {"cbc", GCRY_CIPHER_MODE_CBC}, {"ecb", GCRY_CIPHER_MODE_ECB}};
    struct suite s = {.key = key_bytes};
    size_t n = strcspn(mode, "-"), i = 0;
    bool xts;
    int r;

    while (i < BP_COUNT(modes) && (strlen(modes[i].name) != n || strncmp(modes[i].name, mode, n) != 0))
        i++;
    if (i == BP_COUNT(modes))
        return bp_fail(err, ENOTSUP, "luks: cipher mode '%.32s' is not known; xts, cbc and ecb are", mode);
    s.mode = modes[i].mode;
    xts = s.mode == GCRY_CIPHER_MODE_XTS;
    if (key_bytes <= MOST_KEY && (!xts || key_bytes % 2 == 0))
        s.algorithm = cipher_of(cipher, xts ? key_bytes / 2 : key_bytes);
    if (!s.algorithm)
        return bp_fail(err, ENOTSUP, "luks: cipher '%.32s' in mode '%.32s' with a key of %u bytes is not known", cipher,
                       mode, key_bytes);
    s.block = (unsigned)gcry_cipher_get_algo_blklen(s.algorithm);
    if (gcry_cipher_test_algo(s.algorithm) != 0)
        return bp_fail(err, ENOTSUP, "luks: libgcrypt does not offer cipher '%.32s' here", cipher);
    if (xts && s.block != 16)
        return bp_fail(err, ENOTSUP, "luks: mode xts needs blocks of 16 bytes, which '%.32s' has not", cipher);
    if (mode[n] == '-') {
        r = take_ivgen(mode + n + 1, cipher, &s, err);
        if (r < 0)
            return r;
    } else if (s.mode != GCRY_CIPHER_MODE_ECB) {
        return bp_fail(err, ENOTSUP, "luks: cipher mode '%.32s' does not say how initialization vectors are made",
                       mode);
    }
    if (s.mode == GCRY_CIPHER_MODE_ECB)
        s.ivgen = IV_NONE;
    *ret = s;
    return 0;
}

/* ---- sectors ---- */

static bool set_iv_key(struct handle *h, const uint8_t *key)
{
    uint8_t digest[64];
    bool ok;

    gcry_md_hash_buffer(h->suite.iv_hash, digest, key, h->suite.key);
    ok = gcry_cipher_open(&h->iv, h->suite.iv_algorithm, GCRY_CIPHER_MODE_ECB, 0) == 0 &&
         gcry_cipher_setkey(h->iv, digest, hash_bytes(h->suite.iv_hash)) == 0;
    wipe(digest, sizeof(digest));
    return ok;
}

static void handle_free(struct handle *h)
{
    if (h->data)
        gcry_cipher_close(h->data);
    if (h->iv)
        gcry_cipher_close(h->iv);
    free(h);
}

struct handle *handle_new(const struct suite *suite, const uint8_t *key)
{
    struct handle *h = calloc(1, sizeof(*h));
    bool ok;

    if (!h)
        return NULL;
    h->suite = *suite;
    ok = gcry_cipher_open(&h->data, suite->algorithm, suite->mode, 0) == 0 &&
         gcry_cipher_setkey(h->data, key, suite->key) == 0 && (suite->ivgen != IV_ESSIV || set_iv_key(h, key));
    if (ok)
        return h;
    handle_free(h);
    return NULL;
}

void handles_free(struct handle *list)
{
    while (list) {
        struct handle *next = list->next;

        handle_free(list);
        list = next;
    }
}

struct handle *handle_next(struct handle *h)
{
    return h->next;
}

struct handle *handle_link(struct handle *h, struct handle *next)
{
    h->next = next;
    return h;
}

static gcry_error_t set_iv(struct handle *h, uint64_t sector)
{
    uint8_t iv[16] = {0};
    gcry_error_t e = 0;

    if (h->suite.ivgen == IV_NONE)
        return 0;
    for (unsigned i = 0; i < (h->suite.ivgen == IV_PLAIN ? 4u : 8u); i++)
        iv[i] = (uint8_t)(sector >> 8 * i);
    if (h->suite.ivgen == IV_ESSIV)
        e = gcry_cipher_encrypt(h->iv, iv, h->suite.block, NULL, 0);
    return e ? e : gcry_cipher_setiv(h->data, iv, h->suite.block);
}

int handle_crypt(struct handle *h, bool encrypt, uint64_t sector, uint8_t *buf, size_t bytes)
{
    for (; bytes >= BP_LUKS_SECTOR; bytes -= BP_LUKS_SECTOR, buf += BP_LUKS_SECTOR, sector++) {
        gcry_error_t e = set_iv(h, sector);

        if (!e)
            e = encrypt ? gcry_cipher_encrypt(h->data, buf, BP_LUKS_SECTOR, NULL, 0)
                        : gcry_cipher_decrypt(h->data, buf, BP_LUKS_SECTOR, NULL, 0);
        if (e)
            return -EIO;
    }
    return bytes ? -EINVAL : 0;
}

/* ---- keys ---- */

int derive(int hash, const void *password, size_t length, const uint8_t *salt, uint32_t iterations, uint8_t *out,
           size_t bytes)
{
    return gcry_kdf_derive(password, length, GCRY_KDF_PBKDF2, hash, salt, SALT, iterations, bytes, out) ? -EIO : 0;
}

/* Each part of a digest's size becomes the hash of its number and itself. */
static void diffuse(int hash, uint8_t *block, unsigned bytes)
{
    unsigned size = hash_bytes(hash);
    uint8_t in[4 + 64], digest[64];

    for (unsigned at = 0, i = 0; at < bytes; at += size, i++) {
        unsigned n = bytes - at < size ? bytes - at : size;

        put32(in, i);
        memcpy(in + 4, block + at, n);
        gcry_md_hash_buffer(hash, digest, in, 4 + n);
        memcpy(block + at, digest, n);
    }
    wipe(in, sizeof(in));
    wipe(digest, sizeof(digest));
}

static void mix(uint8_t *to, const uint8_t *with, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        to[i] ^= with[i];
}

int af_split(int hash, const uint8_t *key, unsigned bytes, unsigned stripes, uint8_t *out)
{
    uint8_t block[MOST_KEY] = {0};
    int ret = random_bytes(out, (size_t)bytes * (stripes - 1));

    if (ret < 0)
        return ret;
    for (unsigned i = 0; i + 1 < stripes; i++) {
        mix(block, out + (size_t)i * bytes, bytes);
        diffuse(hash, block, bytes);
    }
    mix(block, key, bytes);
    memcpy(out + (size_t)bytes * (stripes - 1), block, bytes);
    wipe(block, sizeof(block));
    return 0;
}

int af_merge(int hash, const uint8_t *in, unsigned bytes, unsigned stripes, uint8_t *key)
{
    uint8_t block[MOST_KEY] = {0};

    for (unsigned i = 0; i + 1 < stripes; i++) {
        mix(block, in + (size_t)i * bytes, bytes);
        diffuse(hash, block, bytes);
    }
    mix(block, in + (size_t)bytes * (stripes - 1), bytes);
    memcpy(key, block, bytes);
    wipe(block, sizeof(block));
    return 0;
}

int random_bytes(void *buf, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = getrandom((char *)buf + done, bytes - done, 0);

        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

void wipe(void *buf, size_t bytes)
{
    explicit_bzero(buf, bytes);
}
