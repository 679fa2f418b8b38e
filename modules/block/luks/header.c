/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The header: read and checked, its slots tried with a password; then sectors. Nothing in it is believed before. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "luks.h"

static const uint8_t magic[6] = {'L', 'U', 'K', 'S', 0xba, 0xbe};
#define SLOT_ACTIVE 0x00ac71f3u
#define SLOT_UNUSED 0x0000deadu

struct bp_luks *luks_new(void)
{
    struct bp_luks *l = calloc(1, sizeof(*l));

    if (l)
        pthread_mutex_init(&l->lock, NULL);
    return l;
}

void luks_free(struct bp_luks *l)
{
    if (!l)
        return;
    handles_free(l->idle);
    pthread_mutex_destroy(&l->lock);
    wipe(l, sizeof(*l));
    free(l);
}

int luks_password(const char *id, const uint8_t **ret, size_t *ret_length, struct bp_error *err)
{
    return id ? secret->get(id, ret, ret_length, err)
              : bp_fail(err, EINVAL, "luks: 'key-secret' is missing: the id of the secret (-object secret) with the "
                        "password");
}

/* ---- reading ---- */

static int check_slot(const struct bp_luks *l, unsigned i, uint64_t room, struct bp_error *err)
{
    const struct slot *s = &l->slots[i];
    uint64_t at = (uint64_t)s->offset * BP_LUKS_SECTOR, bytes = (uint64_t)s->stripes * l->key_bytes;

    if (s->stripes != STRIPES)
        return bp_fail(err, ENOTSUP, "luks: key slot %u has %u stripes; %u are accepted", i, s->stripes, STRIPES);
    if (s->active && (s->iterations == 0 || s->iterations > MOST_ITERATIONS))
        return bp_fail(err, ENOTSUP, "luks: key slot %u asks for %u iterations; 1 to %u are accepted", i,
                       s->iterations, MOST_ITERATIONS);
    if (at < HEADER_BYTES || at > room || up_to(bytes, BP_LUKS_SECTOR) > room - at)
        return bp_fail(err, EINVAL, "luks: key slot %u cannot be at %llu", i, (unsigned long long)at);
    return 0;
}

static int take_slots(struct bp_luks *l, const uint8_t *h, uint64_t room, struct bp_error *err)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        const uint8_t *at = h + 208 + 48 * i;
        uint32_t state = get32(at);
        int ret;

        if (state != SLOT_ACTIVE && state != SLOT_UNUSED)
            return bp_fail(err, EINVAL, "luks: key slot %u is neither in use nor free", i);
        l->slots[i] = (struct slot){.active = state == SLOT_ACTIVE, .iterations = get32(at + 4),
                                    .offset = get32(at + 40), .stripes = get32(at + 44)};
        memcpy(l->slots[i].salt, at + 8, SALT);
        ret = check_slot(l, i, room, err);
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int take_header(struct bp_luks *l, const uint8_t *h, uint64_t room, struct bp_error *err)
{
    unsigned version = (unsigned)h[6] << 8 | h[7];
    int ret;

    if (memcmp(h, magic, sizeof(magic)) != 0)
        return bp_fail(err, EINVAL, "luks: there is no LUKS header");
    if (version != 1)
        return bp_fail(err, ENOTSUP, "luks: version %u of LUKS is not known; version 1 is", version);
    memcpy(l->cipher, h + 8, 32);
    memcpy(l->mode, h + 40, 32);
    memcpy(l->hash, h + 72, 32);
    memcpy(l->uuid, h + 168, 40);
    l->payload = get32(h + 104);
    l->key_bytes = get32(h + 108);
    memcpy(l->digest, h + 112, DIGEST);
    memcpy(l->digest_salt, h + 132, SALT);
    l->digest_iterations = get32(h + 164);
    if (!hash_of(l->hash))
        return bp_fail(err, ENOTSUP, "luks: hash '%s' is not known", l->hash);
    if (l->digest_iterations == 0 || l->digest_iterations > MOST_ITERATIONS)
        return bp_fail(err, ENOTSUP, "luks: the key's digest asks for %u iterations; 1 to %u are accepted",
                       l->digest_iterations, MOST_ITERATIONS);
    ret = suite_of(l->cipher, l->mode, l->key_bytes, &l->suite, err);
    return ret < 0 ? ret : take_slots(l, h, room, err);
}

/* ---- slots ---- */

struct trying {
    struct bp_luks *l;
    unsigned slot;
    const uint8_t *password;
    size_t length;
    uint8_t *material;
    int ret; /* 1: it fits, and the key is there */
};

static int try_it(struct trying *t)
{
    struct bp_luks *l = t->l;
    const struct slot *s = &l->slots[t->slot];
    int hash = hash_of(l->hash), ret;
    uint8_t key[MOST_KEY], digest[DIGEST];
    size_t bytes = (size_t)up_to((uint64_t)s->stripes * l->key_bytes, BP_LUKS_SECTOR);
    struct handle *h;

    ret = derive(hash, t->password, t->length, s->salt, s->iterations, key, l->key_bytes);
    if (ret < 0)
        return ret;
    h = handle_new(&l->suite, key);
    ret = h ? handle_crypt(h, false, 0, t->material, bytes) : -ENOMEM;
    handles_free(h);
    if (ret == 0)
        ret = af_merge(hash, t->material, l->key_bytes, s->stripes, key);
    if (ret == 0)
        ret = derive(hash, key, l->key_bytes, l->digest_salt, l->digest_iterations, digest, DIGEST);
    if (ret == 0 && memcmp(digest, l->digest, DIGEST) == 0) {
        memcpy(l->key, key, l->key_bytes);
        l->has_key = true;
        ret = 1;
    }
    wipe(key, sizeof(key));
    return ret;
}

static void try_slot(void *opaque)
{
    struct trying *t = opaque;

    t->ret = try_it(t);
}

/* Tries slots from `first` to before `end`; 1: one fits, 0: none. */
static int try_slots(const struct bp_luks_place *place, struct bp_luks *l, const char *id, unsigned first,
                     unsigned end, struct bp_error *err)
{
    const uint8_t *data;
    struct trying t = {.l = l};
    uint8_t *password;
    int ret = luks_password(id, &data, &t.length, err);

    if (ret < 0)
        return ret;
    password = malloc(t.length ? t.length : 1);
    t.material = malloc((size_t)up_to((uint64_t)STRIPES * l->key_bytes, BP_LUKS_SECTOR));
    if (!password || !t.material) {
        free(password);
        free(t.material);
        return bp_fail(err, ENOMEM, "luks: no memory");
    }
    memcpy(password, data, t.length); /* the secret may go meanwhile */
    t.password = password;
    for (t.slot = first; ret == 0 && t.slot < end; t.slot++) {
        const struct slot *s = &l->slots[t.slot];

        if (!s->active)
            continue;
        ret = place->read(place->opaque, (uint64_t)s->offset * BP_LUKS_SECTOR, t.material,
                          up_to((uint64_t)s->stripes * l->key_bytes, BP_LUKS_SECTOR));
        if (ret < 0)
            break;
        if (block->may_wait())
            bp_co_worker(try_slot, &t);
        else
            try_slot(&t);
        ret = t.ret;
    }
    wipe(password, t.length);
    wipe(t.material, (size_t)STRIPES * l->key_bytes);
    free(password);
    free(t.material);
    return ret < 0 ? bp_fail(err, -ret, "luks: a key slot cannot be read: %s", strerror(-ret)) : ret;
}

int slot_opens(const struct bp_luks_place *place, struct bp_luks *l, unsigned slot, const char *id,
               struct bp_error *err)
{
    return try_slots(place, l, id, slot, slot + 1, err);
}

static int unlock(const struct bp_luks_place *place, struct bp_luks *l, const char *id, struct bp_error *err)
{
    int ret = try_slots(place, l, id, 0, SLOTS, err);

    return ret == 0 ? bp_fail(err, EACCES, "luks: the password of secret '%s' opens no key slot", id)
                    : ret < 0 ? ret : 0;
}

int luks_open(const struct bp_luks_place *place, const char *secret_id, struct bp_luks **ret_luks,
              struct bp_error *err)
{
    uint8_t h[1024] = {0}; /* whole sectors */
    struct bp_luks *l;
    int ret = crypt_begin(err);

    if (ret == 0 && place->room < sizeof(h))
        ret = bp_fail(err, EINVAL, "luks: there is no room for a LUKS header");
    if (ret < 0)
        return ret;
    ret = place->read(place->opaque, 0, h, sizeof(h));
    if (ret < 0)
        return bp_fail(err, -ret, "luks: the header cannot be read: %s", strerror(-ret));
    l = luks_new();
    if (!l)
        return bp_fail(err, ENOMEM, "luks: no memory");
    ret = take_header(l, h, place->room, err);
    if (ret == 0 && secret_id)
        ret = unlock(place, l, secret_id, err);
    if (ret < 0)
        luks_free(l);
    else
        *ret_luks = l;
    return ret;
}

/* ---- sectors ---- */

int luks_crypt(struct bp_luks *l, bool encrypt, uint64_t sector, void *buf, size_t bytes)
{
    struct handle *h;
    int ret;

    if (!l->has_key)
        return -EACCES;
    pthread_mutex_lock(&l->lock);
    h = l->idle;
    if (h)
        l->idle = handle_next(h);
    pthread_mutex_unlock(&l->lock);
    h = h ? h : handle_new(&l->suite, l->key);
    if (!h)
        return -ENOMEM;
    ret = handle_crypt(h, encrypt, sector, buf, bytes);
    pthread_mutex_lock(&l->lock);
    l->idle = handle_link(h, l->idle);
    pthread_mutex_unlock(&l->lock);
    return ret;
}

static int encrypt(struct bp_luks *l, uint64_t sector, void *buf, size_t bytes)
{
    return luks_crypt(l, true, sector, buf, bytes);
}

static int decrypt(struct bp_luks *l, uint64_t sector, void *buf, size_t bytes)
{
    return luks_crypt(l, false, sector, buf, bytes);
}

static uint64_t payload(const struct bp_luks *l)
{
    return (uint64_t)l->payload * BP_LUKS_SECTOR;
}

struct bp_value *luks_info(const struct bp_luks *l)
{
    struct bp_value *v = bp_value_dict(), *slots = bp_value_list();
    bool xts = !strncmp(l->mode, "xts", 3);
    size_t n = strcspn(l->mode, "-");
    const char *iv = l->mode[n] ? l->mode + n + 1 : NULL, *hash = iv ? strchr(iv, ':') : NULL;
    char text[64];

    snprintf(text, sizeof(text), "%s-%u", l->cipher, (xts ? l->key_bytes / 2 : l->key_bytes) * 8);
    bp_value_set(v, "uuid", bp_value_string(l->uuid));
    bp_value_set(v, "cipher-alg", bp_value_string(text));
    snprintf(text, sizeof(text), "%.*s", (int)n, l->mode);
    bp_value_set(v, "cipher-mode", bp_value_string(text));
    if (iv) {
        snprintf(text, sizeof(text), "%.*s", (int)strcspn(iv, ":"), iv);
        bp_value_set(v, "ivgen-alg", bp_value_string(text));
    }
    if (hash)
        bp_value_set(v, "ivgen-hash-alg", bp_value_string(hash + 1));
    bp_value_set(v, "hash-alg", bp_value_string(l->hash));
    bp_value_set(v, "payload-offset", bp_value_uint(payload(l)));
    bp_value_set(v, "master-key-iters", bp_value_uint(l->digest_iterations));
    for (unsigned i = 0; i < SLOTS; i++) {
        struct bp_value *s = bp_value_dict();

        bp_value_set(s, "active", bp_value_bool(l->slots[i].active));
        if (l->slots[i].active) {
            bp_value_set(s, "iters", bp_value_uint(l->slots[i].iterations));
            bp_value_set(s, "stripes", bp_value_uint(l->slots[i].stripes));
        }
        bp_value_set(s, "key-offset", bp_value_uint((uint64_t)l->slots[i].offset * BP_LUKS_SECTOR));
        bp_value_append(slots, s);
    }
    bp_value_set(v, "slots", slots);
    return v;
}

const struct bp_luks_ops luks_ops = {.size = sizeof(luks_ops), .open = luks_open, .free = luks_free,
                                     .measure = luks_measure, .create = luks_create, .encrypt = encrypt,
                                     .decrypt = decrypt, .payload = payload, .info = luks_info, .amend = luks_amend};
