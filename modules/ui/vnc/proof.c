/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A client that proves who it is by SASL, and what is sealed from then on where a mechanism does that. */
#include "vnc.h"

#include <stdio.h>
#include <string.h>

#include <bp/host/authz.h>
#include <bp/log.h>
#include <bp/module.h>

int vnc_proof_find(struct vnc *s, struct bp_error *err)
{
    const void *table = NULL;
    struct vnc_sasl *probe = NULL;
    int r = bp_interface_require("vnc-sasl", 1, &table, err);

    if (r == 0)
        r = ((const struct vnc_sasl_interface *)table)->open(NULL, NULL, s->tls_creds != NULL, &probe, err);
    if (r < 0) {
        bp_error_prefix(err, "key 'sasl'");
        return r;
    }
    s->proof = table;
    s->proof->close(probe);
    return 0;
}

/* "ADDRESS;PORT", as mechanisms want to know it; UNIX sockets have none. */
static const char *end_of(int fd, bool peer, char text[100])
{
    char host[64], service[32], family[8];

    vnc_describe_socket(fd, peer, host, service, family);
    if (strncmp(family, "ipv", 3) != 0)
        return NULL;
    snprintf(text, 100, "%s;%s", host, service);
    return text;
}

const char *vnc_proof_mechanisms(void *opaque)
{
    struct vnc_client *c = opaque;
    const struct vnc_sasl_interface *sasl = c->server->proof;
    char local[100], remote[100];
    struct bp_error err = {0};

    if (!c->proof && sasl->open(end_of(c->fd, false, local), end_of(c->fd, true, remote), c->session != NULL,
                                &c->proof, &err) < 0) {
        bp_warn("vnc: %s", err.message);
        return NULL;
    }
    return sasl->mechanisms(c->proof);
}

enum rfb_proof vnc_proof_step(void *opaque, const char *mechanism, const uint8_t *data, size_t size,
                              const uint8_t **ret_out, size_t *ret_size)
{
    struct vnc_client *c = opaque;
    const struct vnc_sasl_interface *sasl = c->server->proof;
    struct bp_error err = {0};
    const void *out = NULL;
    int r = sasl->step(c->proof, mechanism, data, size, &out, ret_size, &err);

    *ret_out = out;
    if (r == 1)
        return RFB_PROOF_MORE;
    if (r < 0) {
        bp_log(BP_LOG_TRACE, "vnc: client %s:%s: %s\n", c->host, c->service, err.message);
        return RFB_PROOF_FAILED;
    }
    if (!c->session && !sasl->layer(c->proof)) /* the library was told so; nothing goes on its word alone */
        return RFB_PROOF_FAILED;
    if (c->server->sasl_authz) {
        vnc_client_ask(c, c->server->sasl_authz, sasl->user(c->proof));
        return RFB_PROOF_ASKED;
    }
    c->proved = true;
    return RFB_PROOF_DONE;
}

const char *vnc_proof_user(const struct vnc_client *c)
{
    return c->proved ? c->server->proof->user(c->proof) : NULL;
}

/* What has been put until now went in the clear; what comes later is sealed. */
void vnc_proof_over(struct vnc_client *c)
{
    if (c->sealed || !c->proved || !c->server->proof->layer(c->proof))
        return;
    c->sealed = true;
    bytes_put(&c->seal, c->rfb.out.data, c->rfb.out.size);
    bytes_drop(&c->rfb.out, c->rfb.out.size);
}

bool vnc_proof_seal(struct vnc_client *c)
{
    const struct vnc_sasl_interface *sasl = c->server->proof;
    size_t most = sasl->layer(c->proof), at = 0;

    while (at < c->rfb.out.size) {
        size_t n = c->rfb.out.size - at < most ? c->rfb.out.size - at : most, size = 0;
        const void *out = NULL;

        if (sasl->seal(c->proof, c->rfb.out.data + at, n, &out, &size) < 0)
            return false;
        bytes_put(&c->seal, out, size);
        at += n;
    }
    bytes_drop(&c->rfb.out, at);
    return true;
}

bool vnc_proof_unseal(struct vnc_client *c, struct bytes *from)
{
    const void *out = NULL;
    size_t size = 0;

    if (from->size == 0)
        return true;
    if (c->server->proof->unseal(c->proof, from->data, from->size, &out, &size) < 0)
        return false;
    bytes_put(&c->plain, out, size);
    bytes_drop(from, from->size);
    return true;
}

void vnc_proof_free(struct vnc_client *c)
{
    if (c->proof)
        c->server->proof->close(c->proof);
    bytes_free(&c->plain);
    bytes_free(&c->seal);
}
