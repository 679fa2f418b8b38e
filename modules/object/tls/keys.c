/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pre-shared keys (RFC 4279): lines "USER:HEX" as psktool writes them, "#HEXUSER:HEX" for users that are no text. A
 * server has them in memory and reads the file again when somebody comes, so that users may be added; what cannot be
 * read any more (the process has given up its rights, or the file is being written) leaves those that were.
 */
#include "tls.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/crypto.h>

#define UNKNOWN_KEY 32u /* bytes */

struct tls_keys {
    pthread_mutex_t lock; /* sessions may be on several threads */
    char *path;
    gnutls_datum_t text; /* of the file; NUL behind it */
};

static void forget(gnutls_datum_t *text)
{
    if (text->data)
        explicit_bzero(text->data, text->size);
    gnutls_free(text->data);
    *text = (gnutls_datum_t){NULL, 0};
}

/* The line's user, decoded; gnutls_free()d. */
static int read_user(const char *line, size_t length, gnutls_datum_t *ret_user)
{
    const gnutls_datum_t hex = {(unsigned char *)(uintptr_t)(line + 1), (unsigned)length - 1};

    if (length > 1 && line[0] == '#')
        return gnutls_hex_decode2(&hex, ret_user);
    ret_user->data = gnutls_malloc(length + 1);
    if (!ret_user->data)
        return GNUTLS_E_MEMORY_ERROR;
    memcpy(ret_user->data, line, length);
    ret_user->size = (unsigned)length;
    return 0;
}

static bool is_user(const char *line, size_t length, const void *user, size_t size)
{
    gnutls_datum_t name = {NULL, 0};
    bool same = read_user(line, length, &name) >= 0 && name.size == size && !memcmp(name.data, user, size);

    gnutls_free(name.data);
    return same;
}

bool tls_keys_find(const gnutls_datum_t *text, const void *user, size_t size, gnutls_datum_t *ret_hex)
{
    const char *line = (const char *)text->data, *end = line + text->size;

    while (line && line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end - line)), *colon;
        size_t n = (size_t)((stop ? stop : end) - line);

        colon = memchr(line, ':', n);
        if (colon && is_user(line, (size_t)(colon - line), user, size)) {
            n -= (size_t)(colon + 1 - line);
            n -= n && colon[n] == '\r';
            *ret_hex = (gnutls_datum_t){(unsigned char *)(uintptr_t)(colon + 1), (unsigned)n};
            return true;
        }
        line = stop ? stop + 1 : NULL;
    }
    return false;
}

static void read_again(struct tls_keys *k)
{
    gnutls_datum_t text = {NULL, 0};

    if (tls_read(k->path, &text, NULL) < 0)
        return;
    forget(&k->text);
    k->text = text;
}

/* Who is not known has a key that nobody knows: how long the answer takes and what it is tells nothing. */
static int give_key(gnutls_session_t session, const gnutls_datum_t *user, gnutls_datum_t *ret_key)
{
    struct tls_keys *k = ((const struct tls_set *)gnutls_session_get_ptr(session))->keys;
    gnutls_datum_t hex;
    int r;

    pthread_mutex_lock(&k->lock);
    read_again(k);
    if (tls_keys_find(&k->text, user->data, user->size, &hex)) {
        r = gnutls_hex_decode2(&hex, ret_key);
    } else {
        ret_key->data = gnutls_malloc(UNKNOWN_KEY);
        ret_key->size = UNKNOWN_KEY;
        r = ret_key->data ? gnutls_rnd(GNUTLS_RND_KEY, ret_key->data, UNKNOWN_KEY) : GNUTLS_E_MEMORY_ERROR;
    }
    pthread_mutex_unlock(&k->lock);
    return r < 0 ? -1 : 0;
}

int tls_keys_load(struct tls_set *set, const char *path, struct bp_error *err)
{
    struct tls_keys *k = bp_alloc(sizeof(*k));
    int r;

    memset(k, 0, sizeof(*k));
    pthread_mutex_init(&k->lock, NULL);
    k->path = bp_strdup(path);
    set->keys = k;
    r = tls_read(path, &k->text, err);
    if (r < 0)
        return r;
    r = gnutls_psk_allocate_server_credentials(&set->with.psk_server);
    if (r < 0)
        return bp_fail(err, ENOMEM, "PSK credentials of %s: %s", path, gnutls_strerror(r));
    gnutls_psk_set_server_credentials_function2(set->with.psk_server, give_key);
    return 0;
}

void tls_keys_free(struct tls_keys *k)
{
    if (!k)
        return;
    forget(&k->text);
    pthread_mutex_destroy(&k->lock);
    free(k->path);
    free(k);
}
