/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SASL (RFC 4422) for viewers, with the Cyrus library: the program's name to it is "qemu", so /etc/sasl2/qemu.conf, or
 * qemu.conf in a folder of SASL_CONF_PATH, says which mechanisms there are and where passwords are kept. The service is
 * "vnc", which is what viewers ask for: it stands in tickets and in the URI of DIGEST-MD5. A mechanism that asks
 * elsewhere (saslauthd, a directory) holds the main loop until it has an answer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sasl/sasl.h>

#include <bp/log.h>
#include <bp/module.h>

#include "sasl.h"

#define SSF_LEAST 56u      /* bits of key without TLS: what Kerberos has had from the beginning */
#define SSF_OF_TLS 128u    /* at least */
#define PACKET_MOST 65536u /* sealed, that either end takes */

struct vnc_sasl {
    sasl_conn_t *conn;
    char *mechanisms; /* owned */
    size_t layer;
};

static int to_log(void *opaque, int level, const char *text)
{
    (void)opaque;
    if (level <= SASL_LOG_NOTE)
        bp_log(BP_LOG_TRACE, "vnc: SASL: %s\n", text);
    return SASL_OK;
}

/* The library's mechanisms and its configuration are read once. */
static int start_library(struct bp_error *err)
{
    static const sasl_callback_t callbacks[] = {{SASL_CB_LOG, (int (*)(void))(void *)to_log, NULL},
                                                {SASL_CB_LIST_END, NULL, NULL}};
    static bool started;
    int r = started ? SASL_OK : sasl_server_init(callbacks, "qemu");

    if (r != SASL_OK)
        return bp_fail(err, EIO, "the SASL library does not start: %s", sasl_errstring(r, NULL, NULL));
    started = true;
    return 0;
}

static int secure(sasl_conn_t *conn, bool secured)
{
    const sasl_security_properties_t properties = {
        .min_ssf = secured ? 0 : SSF_LEAST, .max_ssf = secured ? 0 : 100000, .maxbufsize = PACKET_MOST,
        .security_flags = SASL_SEC_NOANONYMOUS | (secured ? 0 : SASL_SEC_NOPLAINTEXT)};
    const sasl_ssf_t outside = SSF_OF_TLS;
    int r = secured ? sasl_setprop(conn, SASL_SSF_EXTERNAL, &outside) : SASL_OK;

    return r == SASL_OK ? sasl_setprop(conn, SASL_SEC_PROPS, &properties) : r;
}

static void close_session(struct vnc_sasl *s)
{
    if (!s)
        return;
    if (s->conn)
        sasl_dispose(&s->conn);
    free(s->mechanisms);
    free(s);
}

static int open_session(const char *local, const char *remote, bool secured, struct vnc_sasl **ret_sasl,
                        struct bp_error *err)
{
    struct vnc_sasl *s;
    const char *list = NULL;
    unsigned length = 0;
    int count = 0, r = start_library(err);

    if (r < 0)
        return r;
    s = bp_alloc(sizeof(*s));
    *s = (struct vnc_sasl){.conn = NULL};
    r = sasl_server_new("vnc", NULL, NULL, local, remote, NULL, SASL_SUCCESS_DATA, &s->conn);
    if (r == SASL_OK)
        r = secure(s->conn, secured);
    if (r == SASL_OK)
        r = sasl_listmech(s->conn, NULL, "", ",", "", &list, &length, &count);
    if (r == SASL_OK && count > 0) {
        s->mechanisms = bp_strdup(list);
        *ret_sasl = s;
        return 0;
    }
    if (r == SASL_OK || r == SASL_NOMECH)
        r = bp_fail(err, ENOTSUP, "SASL service 'qemu' (/etc/sasl2/qemu.conf, SASL_CONF_PATH) has no mechanism %s",
                    secured ? "at all: install libsasl2-modules"
                            : "that encrypts, and without 'tls-creds' only such are taken (GSSAPI, DIGEST-MD5)");
    else
        r = bp_fail(err, EIO, "SASL service 'qemu': %s", sasl_errstring(r, NULL, NULL));
    close_session(s);
    return r;
}

static const char *mechanisms(const struct vnc_sasl *s)
{
    return s->mechanisms;
}

static bool was_offered(const struct vnc_sasl *s, const char *mechanism)
{
    size_t length = strlen(mechanism);

    for (const char *at = s->mechanisms; at && length; at = strchr(at, ',')) {
        at += *at == ',';
        if (!strncmp(at, mechanism, length) && (at[length] == ',' || !at[length]))
            return true;
    }
    return false;
}

/* What it is and what the two ends have agreed on. */
static int finish(struct vnc_sasl *s, struct bp_error *err)
{
    const void *value = NULL, *room = NULL;

    if (sasl_getprop(s->conn, SASL_SSF, &value) != SASL_OK || !value)
        return bp_fail(err, EACCES, "SASL does not say how strong its encryption is");
    if (*(const sasl_ssf_t *)value == 0)
        return 0;
    if (sasl_getprop(s->conn, SASL_MAXOUTBUF, &room) != SASL_OK || !room || *(const unsigned *)room == 0)
        return bp_fail(err, EACCES, "SASL does not say how much it encrypts at once");
    s->layer = *(const unsigned *)room < PACKET_MOST ? *(const unsigned *)room : PACKET_MOST;
    return 0;
}

static int step(struct vnc_sasl *s, const char *mechanism, const void *data, size_t size, const void **ret_out,
                size_t *ret_size, struct bp_error *err)
{
    const char *out = NULL;
    unsigned length = 0;
    int r;

    if (mechanism && !was_offered(s, mechanism))
        return bp_fail(err, EACCES, "mechanism '%.32s' was not offered, but %.200s", mechanism, s->mechanisms);
    if (size > UINT32_MAX)
        return bp_fail(err, EACCES, "%zu bytes are too many", size);
    r = mechanism ? sasl_server_start(s->conn, mechanism, data, (unsigned)size, &out, &length)
                  : sasl_server_step(s->conn, data, (unsigned)size, &out, &length);
    if (r != SASL_OK && r != SASL_CONTINUE)
        return bp_fail(err, EACCES, "SASL: %s", sasl_errdetail(s->conn));
    *ret_out = out;
    *ret_size = out ? length : 0;
    if (r == SASL_CONTINUE)
        return 1;
    return finish(s, err);
}

static const char *user(const struct vnc_sasl *s)
{
    const void *value = NULL;

    return sasl_getprop(s->conn, SASL_USERNAME, &value) == SASL_OK ? value : NULL;
}

static size_t layer(const struct vnc_sasl *s)
{
    return s->layer;
}

static int seal(struct vnc_sasl *s, const void *data, size_t size, const void **ret_out, size_t *ret_size)
{
    const char *out = NULL;
    unsigned length = 0;

    if (size > s->layer || sasl_encode(s->conn, data, (unsigned)size, &out, &length) != SASL_OK)
        return -EPROTO;
    *ret_out = out;
    *ret_size = length;
    return 0;
}

static int unseal(struct vnc_sasl *s, const void *data, size_t size, const void **ret_out, size_t *ret_size)
{
    const char *out = NULL;
    unsigned length = 0;

    if (size > UINT32_MAX || sasl_decode(s->conn, data, (unsigned)size, &out, &length) != SASL_OK)
        return -EPROTO;
    *ret_out = out;
    *ret_size = length;
    return 0;
}

static const struct vnc_sasl_interface table = {
    .size = sizeof(table), .open = open_session, .close = close_session, .mechanisms = mechanisms, .step = step,
    .user = user, .layer = layer, .seal = seal, .unseal = unseal};
BP_INTERFACE(vnc_sasl_interface, "vnc-sasl", 1, 0, &table);
BP_MODULE("ui-vnc-sasl", "SASL for viewers of the VNC server", BP_NO_IMPORTS,
          {BP_PROVIDE_INTERFACE, &vnc_sasl_interface});
