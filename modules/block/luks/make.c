/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A new header: a key by chance, and the first slot, which a password opens. The other slots are free. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "luks.h"

#define LEAST_ITERATIONS 1000u /* On-Disk Format Specification, 4.1 */
#define MOST_MILLISECONDS 60000u
#define PROBE 20000u /* iterations that are timed */

struct wish {
    char cipher[33], mode[33], hash[33];
    uint32_t key_bytes;
    uint64_t milliseconds;
    struct suite suite;
};

/* "aes-256": the cipher, and bytes of its key. */
static int take_cipher(const char *text, struct wish *w, struct bp_error *err)
{
    static const struct {
        const char *name, *cipher;
        uint32_t bytes;
    } known[] = {{"aes-128", "aes", 16}, {"aes-192", "aes", 24}, {"aes-256", "aes", 32},
                 {"serpent-128", "serpent", 16}, {"serpent-192", "serpent", 24}, {"serpent-256", "serpent", 32},
                 {"twofish-128", "twofish", 16}, {"twofish-256", "twofish", 32}, {"cast5-128", "cast5", 16}};

    for (size_t i = 0; i < BP_COUNT(known); i++) {
        if (strcmp(known[i].name, text) != 0)
            continue;
        strcpy(w->cipher, known[i].cipher);
        w->key_bytes = known[i].bytes;
        return 0;
    }
    return bp_fail(err, EINVAL, "option 'cipher-alg' does not take '%s'; accepted: aes-128, aes-192, aes-256, "
                   "serpent-128, serpent-192, serpent-256, twofish-128, twofish-256, cast5-128", text);
}

int luks_take_time(struct bp_value *options, uint64_t *ret, struct bp_error *err)
{
    struct bp_value *v = bp_value_get(options, "iter-time");
    const char *text = v ? bp_value_as_string(v) : NULL;
    char *end;

    *ret = 2000;
    if (!v)
        return 0;
    *ret = text ? strtoull(text, &end, 10) : bp_value_as_uint(v);
    if ((text && (end == text || *end || *text == '-')) || *ret == 0 || *ret > MOST_MILLISECONDS)
        return bp_fail(err, EINVAL, "option 'iter-time' expects 1 to %u milliseconds", MOST_MILLISECONDS);
    return 0;
}

static const char *or_else(struct bp_value *options, const char *key, const char *usual)
{
    const char *text = bp_value_get_string(options, key);

    return text ? text : usual;
}

static int take_wish(struct bp_value *options, struct wish *w, struct bp_error *err)
{
    const char *mode = or_else(options, "cipher-mode", "xts"), *iv = or_else(options, "ivgen-alg", "plain64");
    const char *iv_hash = bp_value_get_string(options, "ivgen-hash-alg");
    const char *hash = or_else(options, "hash-alg", "sha256");
    int ret;

    *w = (struct wish){.cipher = ""};
    ret = take_cipher(or_else(options, "cipher-alg", "aes-256"), w, err);
    if (ret == 0)
        ret = luks_take_time(options, &w->milliseconds, err);
    if (ret < 0)
        return ret;
    if (!hash_of(hash) || (iv_hash && !hash_of(iv_hash)))
        return bp_fail(err, EINVAL, "option '%s' does not take '%s'; accepted: sha1, sha224, sha256, sha384, sha512, "
                       "ripemd160, whirlpool", !hash_of(hash) ? "hash-alg" : "ivgen-hash-alg",
                       !hash_of(hash) ? hash : iv_hash);
    if (!strcmp(mode, "xts"))
        w->key_bytes *= 2;
    snprintf(w->hash, sizeof(w->hash), "%s", hash);
    if (snprintf(w->mode, sizeof(w->mode), "%s-%s%s%s", mode, iv, strcmp(iv, "essiv") ? "" : ":",
                      strcmp(iv, "essiv") ? "" : iv_hash ? iv_hash : "sha256") >= 32)
        return bp_fail(err, EINVAL, "options 'cipher-mode' and 'ivgen-alg' are too long");
    return suite_of(w->cipher, w->mode, w->key_bytes, &w->suite, err);
}

static uint64_t slot_bytes(const struct wish *w)
{
    return up_to((uint64_t)STRIPES * w->key_bytes, SLOT_ALIGNMENT);
}

static uint64_t header_bytes(const struct wish *w)
{
    return SLOT_ALIGNMENT + SLOTS * slot_bytes(w);
}

int luks_measure(struct bp_value *options, uint64_t *ret_bytes, struct bp_error *err)
{
    struct wish w;
    int ret = crypt_begin(err);

    if (ret == 0)
        ret = take_wish(options, &w, err);
    if (ret == 0)
        *ret_bytes = header_bytes(&w);
    return ret;
}

/* ---- making ---- */

/* On a worker thread: what takes its time. */
struct making {
    const struct wish *w;
    struct bp_luks *l;
    uint8_t *password, *material; /* of the first slot, enciphered */
    size_t length;
    int ret;
};

/* Iterations that take so many milliseconds here. */
static uint32_t iterations_for(const struct bp_luks *l, const uint8_t *password, size_t length, uint64_t milliseconds,
                               unsigned bytes)
{
    uint8_t out[MOST_KEY];
    int64_t begin = bp_clock_ns(BP_CLOCK_REALTIME), spent;
    uint64_t n;

    if (derive(hash_of(l->hash), password, length, l->digest_salt, PROBE, out, bytes) < 0)
        return LEAST_ITERATIONS;
    spent = bp_clock_ns(BP_CLOCK_REALTIME) - begin;
    wipe(out, sizeof(out));
    n = (uint64_t)((double)PROBE * (double)milliseconds * 1e6 / (double)(spent > 0 ? spent : 1));
    return n < LEAST_ITERATIONS ? LEAST_ITERATIONS : n > MOST_ITERATIONS ? MOST_ITERATIONS : (uint32_t)n;
}

int slot_fill(struct bp_luks *l, struct slot *s, const uint8_t *password, size_t length, uint64_t milliseconds,
              uint8_t *material)
{
    uint8_t key[MOST_KEY];
    struct handle *h;
    int hash = hash_of(l->hash), ret;

    s->active = true;
    s->iterations = iterations_for(l, password, length, milliseconds, l->key_bytes);
    ret = derive(hash, password, length, s->salt, s->iterations, key, l->key_bytes);
    if (ret == 0)
        ret = af_split(hash, l->key, l->key_bytes, STRIPES, material);
    if (ret < 0)
        return ret;
    h = handle_new(&l->suite, key);
    ret = h ? handle_crypt(h, true, 0, material, (size_t)up_to((uint64_t)STRIPES * l->key_bytes, BP_LUKS_SECTOR))
            : -ENOMEM;
    handles_free(h);
    wipe(key, sizeof(key));
    return ret;
}

static int make_it(struct making *m)
{
    struct bp_luks *l = m->l;
    uint8_t id[16];
    int ret = random_bytes(l->key, l->key_bytes);

    if (ret == 0)
        ret = random_bytes(l->digest_salt, SALT);
    if (ret == 0)
        ret = random_bytes(id, sizeof(id));
    for (unsigned i = 0; ret == 0 && i < SLOTS; i++)
        ret = random_bytes(l->slots[i].salt, SALT);
    if (ret < 0)
        return ret;
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40); /* RFC 4122, 4.4 */
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    for (unsigned i = 0, at = 0; i < 16; i++)
        at += (unsigned)sprintf(l->uuid + at, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
    l->has_key = true;
    l->digest_iterations = iterations_for(l, m->password, m->length, m->w->milliseconds / 8, DIGEST);
    ret = derive(hash_of(l->hash), l->key, l->key_bytes, l->digest_salt, l->digest_iterations, l->digest, DIGEST);
    return ret < 0 ? ret
                   : slot_fill(l, &l->slots[0], m->password, m->length, m->w->milliseconds, m->material);
}

static void make_on_worker(void *opaque)
{
    struct making *m = opaque;

    m->ret = make_it(m);
}

void luks_put_header(const struct bp_luks *l, uint8_t *h)
{
    static const uint8_t magic_and_version[8] = {'L', 'U', 'K', 'S', 0xba, 0xbe, 0, 1};

    memcpy(h, magic_and_version, 8);
    memcpy(h + 8, l->cipher, 32);
    memcpy(h + 40, l->mode, 32);
    memcpy(h + 72, l->hash, 32);
    put32(h + 104, l->payload);
    put32(h + 108, l->key_bytes);
    memcpy(h + 112, l->digest, DIGEST);
    memcpy(h + 132, l->digest_salt, SALT);
    put32(h + 164, l->digest_iterations);
    memcpy(h + 168, l->uuid, 40);
    for (unsigned i = 0; i < SLOTS; i++) {
        const struct slot *s = &l->slots[i];
        uint8_t *at = h + 208 + 48 * i;

        put32(at, s->active ? 0x00ac71f3u : 0x0000deadu);
        put32(at + 4, s->iterations);
        memcpy(at + 8, s->salt, SALT);
        put32(at + 40, s->offset);
        put32(at + 44, s->stripes);
    }
}

/* Slots that are free lie there as zeroes; the header comes last. */
static int write_all(const struct bp_luks_place *place, const struct making *m)
{
    uint64_t bytes = slot_bytes(m->w);
    uint8_t *zeroes = calloc(1, (size_t)bytes), head[SLOT_ALIGNMENT] = {0};
    int ret = zeroes ? 0 : -ENOMEM;

    for (unsigned i = 1; ret == 0 && i < SLOTS; i++)
        ret = place->write(place->opaque, (uint64_t)m->l->slots[i].offset * BP_LUKS_SECTOR, zeroes, bytes);
    free(zeroes);
    if (ret == 0)
        ret = place->write(place->opaque, (uint64_t)m->l->slots[0].offset * BP_LUKS_SECTOR, m->material, bytes);
    luks_put_header(m->l, head);
    return ret < 0 ? ret : place->write(place->opaque, 0, head, sizeof(head));
}

static int make(const struct bp_luks_place *place, const struct wish *w, const uint8_t *password, size_t length,
                struct bp_luks *l, struct bp_error *err)
{
    struct making m = {.w = w, .l = l, .password = malloc(length ? length : 1),
                       .material = calloc(1, (size_t)slot_bytes(w)), .length = length};
    int ret = m.password && m.material ? 0 : -ENOMEM;

    if (ret == 0) {
        memcpy(m.password, password, length);
        if (block->may_wait())
            bp_co_worker(make_on_worker, &m);
        else
            make_on_worker(&m);
        wipe(m.password, length);
        ret = m.ret;
    }
    if (ret == 0)
        ret = write_all(place, &m);
    free(m.password);
    free(m.material);
    return ret < 0 ? bp_fail(err, -ret, "luks: the header could not be made: %s", strerror(-ret)) : 0;
}

int luks_create(const struct bp_luks_place *place, struct bp_value *options, uint64_t payload,
                struct bp_luks **ret_luks, struct bp_error *err)
{
    const uint8_t *password;
    struct bp_luks *l;
    struct wish w;
    size_t length;
    int ret = crypt_begin(err);

    if (ret == 0)
        ret = take_wish(options, &w, err);
    if (ret == 0)
        ret = luks_password(bp_value_get_string(options, "key-secret"), &password, &length, err);
    if (ret == 0 && (header_bytes(&w) > place->room || payload / BP_LUKS_SECTOR > UINT32_MAX))
        ret = bp_fail(err, EINVAL, "luks: there is no room for the header");
    if (ret < 0)
        return ret;
    l = luks_new();
    if (!l)
        return bp_fail(err, ENOMEM, "luks: no memory");
    memcpy(l->cipher, w.cipher, sizeof(l->cipher));
    memcpy(l->mode, w.mode, sizeof(l->mode));
    memcpy(l->hash, w.hash, sizeof(l->hash));
    l->key_bytes = w.key_bytes;
    l->suite = w.suite;
    l->payload = (uint32_t)(payload / BP_LUKS_SECTOR);
    for (unsigned i = 0; i < SLOTS; i++)
        l->slots[i] = (struct slot){.offset = (uint32_t)((SLOT_ALIGNMENT + i * slot_bytes(&w)) / BP_LUKS_SECTOR),
                                    .stripes = STRIPES};
    ret = make(place, &w, password, length, l, err);
    if (ret < 0 || !ret_luks)
        luks_free(l);
    else
        *ret_luks = l;
    return ret;
}
