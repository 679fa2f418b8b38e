/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside of module `object-tls`. */
#ifndef TLS_H
#define TLS_H

#include <gnutls/gnutls.h>
#include <stdatomic.h>

#include <bp/host/tls.h>
#include <bp/level.h>

/* What sessions use of credentials: made once, counted, not changed any more. */
struct tls_set {
    atomic_uint refs;
    enum bp_tls_kind kind;
    bool server, verify;
    gnutls_priority_t priority;
    gnutls_dh_params_t dh; /* or NULL */
    struct tls_keys *keys; /* of a server with pre-shared keys, or NULL */
    union {
        gnutls_certificate_credentials_t x509;
        gnutls_psk_server_credentials_t psk_server;
        gnutls_psk_client_credentials_t psk_client;
        gnutls_anon_server_credentials_t anon_server;
        gnutls_anon_client_credentials_t anon_client;
    } with; /* NULL: not made yet */
};
void tls_set_unref(struct tls_set *set); /* [any]; NULL is fine */

enum { ENDPOINT_CLIENT, ENDPOINT_SERVER };

/* The level that all credentials have. */
struct tls_creds {
    int endpoint;
    char *dir, *priority;
    bool verify_peer;
    char *where;         /* owned: `dir`, absolute: -daemonize changes the directory */
    struct tls_set *set; /* NULL: not complete */
};
extern const struct bp_level_class tls_level;

/* ---- certificate.c ---- */
/* Loads certificate authority, list of what is revoked, certificate and key of `dir`, and checks them:
 * files, times, purposes, whose they are. `sanity` off: only that they can be read. `password` may be NULL. */
int tls_load_certificates(struct tls_set *set, const char *dir, bool sanity, const char *password,
                          struct bp_error *err);
/* DIR/NAME, malloc'd; NULL with *ret 0: an optional file that is not there. */
char *tls_file(const char *dir, const char *name, bool needed, int *ret, struct bp_error *err);
/* Diffie-Hellman parameters of DIR/dh-params.pem; NULL: there are none (and *ret 0), or they are bad. */
gnutls_dh_params_t tls_load_dh(const char *dir, int *ret, struct bp_error *err);
/* A file's contents, at most 1 MiB; gnutls_free()d. */
int tls_read(const char *path, gnutls_datum_t *ret_data, struct bp_error *err);

/* ---- keys.c ---- */
/* Server's credentials with the keys of a file. */
int tls_keys_load(struct tls_set *set, const char *path, struct bp_error *err);
void tls_keys_free(struct tls_keys *keys); /* NULL is fine */
/* The key of this user in the file's text; it points there. */
bool tls_keys_find(const gnutls_datum_t *text, const void *user, size_t size, gnutls_datum_t *ret_hex);

/* ---- session.c ---- */
int tls_session_new(struct bp_object *creds, bool server, const char *host, int fd, struct bp_tls_session **ret_session,
                    struct bp_error *err);
void tls_session_free(struct bp_tls_session *s);
int tls_session_handshake(struct bp_tls_session *s, struct bp_error *err);
unsigned tls_session_wants(struct bp_tls_session *s);
void tls_session_start(struct bp_tls_session *s, struct bp_context *ctx, int64_t limit_ns,
                       void (*done)(void *opaque, int ret, const struct bp_error *err), void *opaque);
ssize_t tls_session_read(struct bp_tls_session *s, void *buf, size_t size);
ssize_t tls_session_write(struct bp_tls_session *s, const void *buf, size_t size);
void tls_session_bye(struct bp_tls_session *s);
const char *tls_session_peer_name(struct bp_tls_session *s);

/* ---- suites.c ---- */
extern const struct bp_object_class tls_suites_class;

#endif
