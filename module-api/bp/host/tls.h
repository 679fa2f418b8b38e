/* SPDX-License-Identifier: MIT */
/*
 * TLS (RFC 8446, 5246): credentials are objects (-object tls-creds-x509, tls-creds-psk, tls-creds-anon), a session
 * is one connection that is secured with them. A service finds credentials by their id and asks them for sessions;
 * it needs no module for it, the object's own has been loaded by making it.
 *
 *     const struct bp_tls_ops *tls;
 *     struct bp_object *creds;
 *     int ret = bp_tls_find("tls0", true, &tls, &creds, err);      // when the service is made
 *     ...
 *     ret = tls->session_new(creds, true, NULL, fd, &session, err); // for each connection
 *     tls->start(session, NULL, 10000000000, ready, opaque);       // calls ready() when the handshake is over
 *
 * Credentials that are changed (reload) or deleted stay what they were for sessions that have them. One
 * thread at a time for one session; bp_tls_find() and what credentials do: [main].
 */
#ifndef BP_HOST_TLS_H
#define BP_HOST_TLS_H

#include <sys/types.h>

#include <bp/host/authz.h>
#include <bp/loop.h>

BP_BEGIN_DECLS

#define BP_TLS_TYPE "tls-creds"
#define BP_TLS_RECORD 16384u /* bytes of one record at most */

struct bp_tls_session; /* opaque */

enum bp_tls_kind { BP_TLS_ANON, BP_TLS_PSK, BP_TLS_X509 };

/* What a class that builds on BP_TLS_TYPE tells it: {BP_TLS_TYPE, &ops} in its type's `infos`. */
struct bp_tls_ops {
    uint32_t size; /* sizeof(struct bp_tls_ops) */
    enum bp_tls_kind kind;
    /* -EINVAL: they are for the other end. */
    int (*check)(struct bp_object *creds, bool server, struct bp_error *err);
    /* Reads their files again; when that fails they stay as they were. */
    int (*reload)(struct bp_object *creds, struct bp_error *err);
    /* `fd`: connected, non-blocking, borrowed for the session's life. `host`: whom a client wants to talk to, as
     * the certificate has to say; NULL: -EINVAL where certificates are verified. */
    int (*session_new)(struct bp_object *creds, bool server, const char *host, int fd,
                       struct bp_tls_session **ret_session, struct bp_error *err);
    void (*session_free)(struct bp_tls_session *session); /* NULL is fine; sends nothing */
    /* 0: done, the peer is verified as the credentials ask. -EAGAIN: call again when the descriptor is ready for
     * wants(). Else it failed, and the peer was told. */
    int (*handshake)(struct bp_tls_session *session, struct bp_error *err);
    /* BP_WATCH_IN or BP_WATCH_OUT: what the last -EAGAIN waits for. */
    unsigned (*wants)(struct bp_tls_session *session);
    /* The handshake, driven by the context (NULL: the main one) for at most so many nanoseconds (0: for ever); then
     * `done` is called there, never inside of start(): with 0, or -errno and why. session_free() before
     * that ends it without a call. */
    void (*start)(struct bp_tls_session *session, struct bp_context *ctx, int64_t limit_ns,
                  void (*done)(void *opaque, int ret, const struct bp_error *err), void *opaque);
    /* Bytes, 0: the peer ended the session, -EAGAIN, -ECONNRESET: the connection broke without that, or another
     * -errno. What is decrypted already makes no descriptor readable: read until -EAGAIN. */
    ssize_t (*read)(struct bp_tls_session *session, void *buf, size_t size);
    /* Bytes that were taken, at least 1 of size > 0; -EAGAIN: call again with the same bytes (more may follow) when
     * wants() is. */
    ssize_t (*write)(struct bp_tls_session *session, const void *buf, size_t size);
    void (*bye)(struct bp_tls_session *session); /* tells the peer that this is the end, as far as it fits */
    /* Distinguished name (RFC 4514) of the peer's certificate, or the user of its pre-shared key; NULL: it has shown
     * none. Borrowed until session_free(). */
    const char *(*peer_name)(struct bp_tls_session *session);
    void *reserved[8];
};

/* The credentials of this id, for a server or a client. -ENOENT: no such object, or it is something else; -EINVAL:
 * for the other end. [main] */
static inline int bp_tls_find(const char *id, bool server, const struct bp_tls_ops **ret_ops,
                              struct bp_object **ret_creds, struct bp_error *err)
{
    const struct bp_tls_ops *ops;
    struct bp_object *obj;
    char path[256];
    int ret;

    snprintf(path, sizeof(path), "/objects/%s", id);
    obj = bp_object_resolve(path, NULL, NULL);
    if (!obj)
        return bp_fail(err, ENOENT, "No TLS credentials with id '%s' "
                       "(-object tls-creds-x509,id=%s,endpoint=%s,dir=...)", id, id, server ? "server" : "client");
    ops = (const struct bp_tls_ops *)bp_object_tells(obj, BP_TLS_TYPE);
    if (!ops)
        return bp_fail(err, ENOENT, "Object with id '%s' is not TLS credentials but %s", id, bp_object_type(obj));
    ret = ops->check(obj, server, err);
    if (ret < 0)
        return ret;
    *ret_ops = ops;
    *ret_creds = obj;
    return 0;
}

BP_END_DECLS

#endif
