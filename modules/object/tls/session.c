/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sessions: one connection, secured with credentials (bp/host/tls.h). */
#include "tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/x509.h>

#include <bp/clock.h>
#include <bp/log.h>

#define MOST_WARNINGS 32u

struct bp_tls_session {
    gnutls_session_t session;
    struct tls_set *set;
    char *host, *peer;
    int fd;
    size_t owed; /* bytes whose record is made and not sent yet */
    unsigned warnings; /* without anything else between them */
    /* of start() */
    struct bp_watch *watch;
    struct bp_timer *timer;
    void (*done)(void *opaque, int ret, const struct bp_error *err);
    void *opaque;
};

static int use_credentials(gnutls_session_t session, const struct tls_set *set)
{
    switch (set->kind) {
    case BP_TLS_X509:
        if (set->server)
            gnutls_certificate_server_set_request(session, set->verify ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_IGNORE);
        return gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, set->with.x509);
    case BP_TLS_PSK:
        return gnutls_credentials_set(session, GNUTLS_CRD_PSK,
                                      set->server ? (void *)set->with.psk_server : (void *)set->with.psk_client);
    default:
        return gnutls_credentials_set(session, GNUTLS_CRD_ANON,
                                      set->server ? (void *)set->with.anon_server : (void *)set->with.anon_client);
    }
}

int tls_session_new(struct bp_object *creds, bool server, const char *host, int fd, struct bp_tls_session **ret_session,
                    struct bp_error *err)
{
    const struct tls_creds *c = bp_object_level(creds, &tls_level);
    struct bp_tls_session *s;
    int r;

    if (server != (c->endpoint == ENDPOINT_SERVER))
        return bp_fail(err, EINVAL, "TLS credentials '%s' are for the other end", bp_object_id(creds));
    if (!server && !host && c->set->kind == BP_TLS_X509 && c->set->verify)
        return bp_fail(err, EINVAL, "there is no name that the server's certificate could be for; TLS credentials '%s' "
                       "with verify-peer=off take any", bp_object_id(creds));
    s = bp_alloc(sizeof(*s));
    memset(s, 0, sizeof(*s));
    s->fd = fd;
    s->host = host ? bp_strdup(host) : NULL;
    r = gnutls_init(&s->session, (server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
    if (r >= 0) {
        s->set = c->set;
        atomic_fetch_add(&s->set->refs, 1);
        r = gnutls_priority_set(s->session, s->set->priority);
    }
    if (r >= 0)
        r = use_credentials(s->session, s->set);
    gnutls_session_set_ptr(s->session, s->set);
    if (r < 0) {
        tls_session_free(s);
        return bp_fail(err, EIO, "no TLS session can be made: %s", gnutls_strerror(r));
    }
    if (host && strspn(host, "0123456789.:") != strlen(host)) /* RFC 6066, 3: names only */
        gnutls_server_name_set(s->session, GNUTLS_NAME_DNS, host, strlen(host));
    gnutls_transport_set_int(s->session, fd);
    gnutls_handshake_set_timeout(s->session, GNUTLS_INDEFINITE_TIMEOUT);
    *ret_session = s;
    return 0;
}

static void stop_waiting(struct bp_tls_session *s)
{
    bp_watch_free(s->watch);
    bp_timer_free(s->timer);
    s->watch = NULL;
    s->timer = NULL;
}

void tls_session_free(struct bp_tls_session *s)
{
    if (!s)
        return;
    stop_waiting(s);
    if (s->session)
        gnutls_deinit(s->session);
    tls_set_unref(s->set);
    free(s->host);
    gnutls_free(s->peer);
    free(s);
}

unsigned tls_session_wants(struct bp_tls_session *s)
{
    return gnutls_record_get_direction(s->session) ? BP_WATCH_OUT : BP_WATCH_IN;
}

/* ---- handshake ---- */

/* Who it is, and that its certificate is for the end at which it is (RFC 5280, 4.2.1.12; one without purposes is for
 * all). */
static int verify_certificate(struct bp_tls_session *s, struct bp_error *err)
{
    const char *purpose = s->set->server ? GNUTLS_KP_TLS_WWW_CLIENT : GNUTLS_KP_TLS_WWW_SERVER;
    gnutls_typed_vdata_st wanted[2] = {
        {.type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)(uintptr_t)purpose},
        {.type = GNUTLS_DT_DNS_HOSTNAME, .data = (unsigned char *)s->host}};
    gnutls_datum_t text = {NULL, 0};
    unsigned status = 0;
    int r = gnutls_certificate_verify_peers(s->session, wanted, s->host ? 2 : 1, &status);

    if (r < 0)
        return bp_fail(err, EACCES, "the peer's certificate cannot be verified: %s", gnutls_strerror(r));
    if (status == 0)
        return 0;
    gnutls_certificate_verification_status_print(status, gnutls_certificate_type_get(s->session), &text, 0);
    r = bp_fail(err, EACCES, "the peer's certificate is not trusted: %s",
                text.data ? (const char *)text.data : "no reason is known");
    gnutls_free(text.data);
    return r;
}

static void remember_certificate(struct bp_tls_session *s)
{
    unsigned count = 0;
    const gnutls_datum_t *list = gnutls_certificate_get_peers(s->session, &count);
    gnutls_datum_t name = {NULL, 0};
    gnutls_x509_crt_t cert;

    if (!list || count == 0 || gnutls_x509_crt_init(&cert) < 0)
        return;
    if (gnutls_x509_crt_import(cert, &list[0], GNUTLS_X509_FMT_DER) >= 0 &&
        gnutls_x509_crt_get_dn3(cert, &name, 0) >= 0)
        s->peer = (char *)name.data;
    gnutls_x509_crt_deinit(cert);
}

static int verify(struct bp_tls_session *s, struct bp_error *err)
{
    const char *user;
    int r = 0;

    switch (s->set->kind) {
    case BP_TLS_X509:
        if (s->set->verify)
            r = verify_certificate(s, err);
        if (r == 0)
            remember_certificate(s);
        return r;
    case BP_TLS_PSK:
        user = s->set->server ? gnutls_psk_server_get_username(s->session) : NULL;
        s->peer = user ? gnutls_strdup(user) : NULL;
        return 0;
    default:
        return 0;
    }
}

/* A peer that does nothing but warn would keep whoever reads it from all else. */
static bool warns_too_much(struct bp_tls_session *s)
{
    return ++s->warnings > MOST_WARNINGS;
}

int tls_session_handshake(struct bp_tls_session *s, struct bp_error *err)
{
    int r;

    do
        r = gnutls_handshake(s->session);
    while (r == GNUTLS_E_INTERRUPTED ||
           (r < 0 && r != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(r) && !warns_too_much(s)));
    if (r == GNUTLS_E_AGAIN)
        return -EAGAIN;
    if (r >= 0) {
        r = verify(s, err);
        if (r < 0) /* that it is not trusted, not why */
            gnutls_alert_send(s->session, GNUTLS_AL_FATAL, GNUTLS_A_BAD_CERTIFICATE);
        return r;
    }
    gnutls_alert_send_appropriate(s->session, r);
    if (r == GNUTLS_E_FATAL_ALERT_RECEIVED)
        return bp_fail(err, EPROTO, "TLS handshake failed: the peer says: %s",
                       gnutls_alert_get_name(gnutls_alert_get(s->session)));
    return bp_fail(err, EPROTO, "TLS handshake failed: %s", gnutls_strerror(r));
}

static void over(struct bp_tls_session *s, int ret, const struct bp_error *err)
{
    stop_waiting(s);
    s->done(s->opaque, ret, err); /* may free it */
}

static void go_on(void *opaque, unsigned events)
{
    struct bp_tls_session *s = opaque;
    struct bp_error err = {0};
    int r = tls_session_handshake(s, &err);

    (void)events;
    if (r == -EAGAIN)
        bp_watch_set(s->watch, tls_session_wants(s));
    else
        over(s, r, &err);
}

static void too_slow(void *opaque)
{
    struct bp_error err = {0};
    int r = bp_fail(&err, ETIMEDOUT, "TLS handshake failed: the peer took too long");

    over(opaque, r, &err);
}

void tls_session_start(struct bp_tls_session *s, struct bp_context *ctx, int64_t limit_ns,
                       void (*done)(void *opaque, int ret, const struct bp_error *err), void *opaque)
{
    ctx = ctx ? ctx : bp_context_main(NULL);
    s->done = done;
    s->opaque = opaque;
    s->timer = bp_timer_new(NULL, ctx, BP_CLOCK_REALTIME, too_slow, s);
    if (limit_ns)
        bp_timer_set(s->timer, bp_clock_ns(BP_CLOCK_REALTIME) + limit_ns);
    /* A client speaks first, and a socket takes a first message at once. */
    s->watch = bp_watch_new(NULL, ctx, s->fd, s->set->server ? BP_WATCH_IN : BP_WATCH_OUT, go_on, s);
}

/* ---- data ---- */

ssize_t tls_session_read(struct bp_tls_session *s, void *buf, size_t size)
{
    for (;;) {
        ssize_t n = gnutls_record_recv(s->session, buf, size);

        if (n >= 0) {
            s->warnings = 0;
            return n;
        }
        if (n == GNUTLS_E_AGAIN)
            return -EAGAIN;
        if (n == GNUTLS_E_REHANDSHAKE)
            gnutls_alert_send(s->session, GNUTLS_AL_WARNING, GNUTLS_A_NO_RENEGOTIATION);
        if (n == GNUTLS_E_PREMATURE_TERMINATION || n == GNUTLS_E_PULL_ERROR)
            return -ECONNRESET;
        if (n != GNUTLS_E_INTERRUPTED && (gnutls_error_is_fatal((int)n) || warns_too_much(s))) {
            bp_log(BP_LOG_TRACE, "tls: %s\n", gnutls_strerror((int)n));
            return -EPROTO;
        }
    }
}

ssize_t tls_session_write(struct bp_tls_session *s, const void *buf, size_t size)
{
    ssize_t n;

    size = size < BP_TLS_RECORD ? size : BP_TLS_RECORD;
    if (size == 0 && !s->owed)
        return 0;
    do
        n = s->owed ? gnutls_record_send(s->session, NULL, 0) : gnutls_record_send(s->session, buf, size);
    while (n == GNUTLS_E_INTERRUPTED);
    if (n == GNUTLS_E_AGAIN) {
        s->owed = s->owed ? s->owed : size; /* they are encrypted: what comes again is these */
        return -EAGAIN;
    }
    s->owed = 0;
    if (n < 0) {
        bp_log(BP_LOG_TRACE, "tls: %s\n", gnutls_strerror((int)n));
        return -EPIPE;
    }
    return n;
}

void tls_session_bye(struct bp_tls_session *s)
{
    gnutls_bye(s->session, GNUTLS_SHUT_WR);
}

const char *tls_session_peer_name(struct bp_tls_session *s)
{
    return s->peer;
}
