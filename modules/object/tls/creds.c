/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Credentials for TLS, with GnuTLS: certificates (RFC 5280), pre-shared keys (RFC 4279), and none at all ("anon",
 * which keeps eavesdroppers out and nobody else). Diffie-Hellman groups are those of RFC 7919 unless a file has others.
 */
#include "tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <bp/host/secret.h>

BP_USE(secret, struct bp_secret_interface, "secret", 1);

struct tls_x509 {
    bool sanity;
    char *passwordid;
};

struct tls_psk {
    char *username;
};

struct tls_anon {
    char none;
};

BP_NOTE("provides=abstract:tls-creds;summary=Credentials for TLS");

/* ---- sets ---- */

void tls_set_unref(struct tls_set *set)
{
    if (!set || atomic_fetch_sub(&set->refs, 1) != 1)
        return;
    if (set->priority)
        gnutls_priority_deinit(set->priority);
    if (set->with.x509 && set->kind == BP_TLS_X509)
        gnutls_certificate_free_credentials(set->with.x509);
    else if (set->with.psk_server && set->kind == BP_TLS_PSK && set->server)
        gnutls_psk_free_server_credentials(set->with.psk_server);
    else if (set->with.psk_client && set->kind == BP_TLS_PSK)
        gnutls_psk_free_client_credentials(set->with.psk_client);
    else if (set->with.anon_server && set->kind == BP_TLS_ANON && set->server)
        gnutls_anon_free_server_credentials(set->with.anon_server);
    else if (set->with.anon_client && set->kind == BP_TLS_ANON)
        gnutls_anon_free_client_credentials(set->with.anon_client);
    gnutls_dh_params_deinit(set->dh);
    tls_keys_free(set->keys);
    free(set);
}

/* What the kind needs besides what was asked for. */
static const char *const additions[] = {
    [BP_TLS_ANON] = ":+ANON-ECDH:+ANON-DH:-VERS-TLS1.3",
    [BP_TLS_PSK] = ":+ECDHE-PSK:+DHE-PSK:+PSK",
    [BP_TLS_X509] = "",
};

/* Groups that have names come before those of a file otherwise. */
static const char no_named_groups[] =
    ":-GROUP-FFDHE2048:-GROUP-FFDHE3072:-GROUP-FFDHE4096:-GROUP-FFDHE6144:-GROUP-FFDHE8192";

static int set_priority(struct tls_set *set, const char *asked, struct bp_error *err)
{
    const char *at = NULL;
    char *text;
    int r;

    r = gnutls_priority_init(&set->priority, asked, &at);
    if (r < 0)
        return bp_fail(err, EINVAL, "Unable to set TLS priority '%s': %s at '%s'", asked, gnutls_strerror(r),
                       at ? at : asked);
    gnutls_priority_deinit(set->priority);
    set->priority = NULL;
    if (asprintf(&text, "%s%s%s", asked, additions[set->kind], set->dh ? no_named_groups : "") < 0)
        abort();
    r = gnutls_priority_init(&set->priority, text, NULL);
    free(text);
    return r < 0 ? bp_fail(err, EINVAL, "Unable to set TLS priority '%s%s': %s", asked, additions[set->kind],
                           gnutls_strerror(r)) : 0;
}

static int load_x509(struct bp_object *obj, const struct tls_creds *c, struct tls_set *set, struct bp_error *err)
{
    const struct tls_x509 *x = bp_object_state(obj);
    const uint8_t *data = NULL;
    size_t size = 0;
    char *password = NULL;
    int r = 0;

    if (!c->dir)
        return bp_fail(err, EINVAL, "%s: 'dir' is missing: where the certificates are", bp_object_type(obj));
    if (x->passwordid) {
        r = secret->get(x->passwordid, &data, &size, err);
        if (r < 0)
            return r;
        password = bp_alloc(size + 1);
        memcpy(password, data, size);
        password[size] = 0;
    }
    r = tls_load_certificates(set, c->where, x->sanity, password, err);
    if (password)
        explicit_bzero(password, size);
    free(password);
    return r;
}

static int load_psk_client(const char *path, const char *user, struct tls_set *set, struct bp_error *err)
{
    gnutls_datum_t text, hex;
    int r = tls_read(path, &text, err);

    if (r < 0)
        return r;
    if (!tls_keys_find(&text, user, strlen(user), &hex)) {
        r = bp_fail(err, ENOENT, "Failed to find user '%s' in %s", user, path);
    } else {
        r = gnutls_psk_allocate_client_credentials(&set->with.psk_client);
        if (r >= 0)
            r = gnutls_psk_set_client_credentials(set->with.psk_client, user, &hex, GNUTLS_PSK_KEY_HEX);
        if (r < 0)
            r = bp_fail(err, EINVAL, "the key of user '%s' in %s: %s", user, path, gnutls_strerror(r));
    }
    explicit_bzero(text.data, text.size);
    gnutls_free(text.data);
    return r;
}

static int load_psk(struct bp_object *obj, const struct tls_creds *c, struct tls_set *set, struct bp_error *err)
{
    const struct tls_psk *p = bp_object_state(obj);
    char *path;
    int r;

    if (!c->dir)
        return bp_fail(err, EINVAL, "tls-creds-psk: 'dir' is missing: where keys.psk is");
    if (p->username && set->server)
        return bp_fail(err, EINVAL, "tls-creds-psk: username should not be set when endpoint=server");
    path = tls_file(c->where, "keys.psk", true, &r, err);
    if (!path)
        return r;
    r = set->server ? tls_keys_load(set, path, err)
                    : load_psk_client(path, p->username ? p->username : "qemu", set, err);
    free(path);
    return r;
}

static int load_anon(struct tls_set *set, struct bp_error *err)
{
    int r = set->server ? gnutls_anon_allocate_server_credentials(&set->with.anon_server)
                        : gnutls_anon_allocate_client_credentials(&set->with.anon_client);

    return r < 0 ? bp_fail(err, ENOMEM, "TLS credentials: %s", gnutls_strerror(r)) : 0;
}

/* From the file, or a group of RFC 7919: generating others takes minutes and gains nothing. */
static void set_dh(struct tls_set *set)
{
    gnutls_dh_params_t dh = set->dh;

    if (set->kind == BP_TLS_X509)
        dh ? gnutls_certificate_set_dh_params(set->with.x509, dh)
           : (void)gnutls_certificate_set_known_dh_params(set->with.x509, GNUTLS_SEC_PARAM_MEDIUM);
    else if (set->kind == BP_TLS_PSK)
        dh ? gnutls_psk_set_server_dh_params(set->with.psk_server, dh)
           : (void)gnutls_psk_set_server_known_dh_params(set->with.psk_server, GNUTLS_SEC_PARAM_MEDIUM);
    else
        dh ? gnutls_anon_set_server_dh_params(set->with.anon_server, dh)
           : (void)gnutls_anon_set_server_known_dh_params(set->with.anon_server, GNUTLS_SEC_PARAM_MEDIUM);
}

/* ---- objects ---- */

static int load(struct bp_object *obj, enum bp_tls_kind kind, struct bp_error *err)
{
    struct tls_creds *c = bp_object_level(obj, &tls_level);
    struct tls_set *set = bp_alloc(sizeof(*set));
    struct stat st;
    int r;

    memset(set, 0, sizeof(*set));
    atomic_init(&set->refs, 1);
    set->kind = kind;
    set->server = c->endpoint == ENDPOINT_SERVER;
    set->verify = c->verify_peer;
    if (c->dir && !c->where)
        c->where = bp_path_absolute(c->dir);
    r = c->dir && (stat(c->where, &st) < 0 || !S_ISDIR(st.st_mode))
            ? bp_fail(err, ENOTDIR, "%s: dir=%s is no directory", bp_object_type(obj), c->dir) : 0;
    if (r == 0 && set->server && c->dir)
        set->dh = tls_load_dh(c->where, &r, err);
    if (r == 0)
        r = set_priority(set, c->priority && *c->priority ? c->priority : "NORMAL", err);
    if (r == 0)
        r = kind == BP_TLS_X509 ? load_x509(obj, c, set, err)
          : kind == BP_TLS_PSK  ? load_psk(obj, c, set, err) : load_anon(set, err);
    if (r == 0 && set->server)
        set_dh(set);
    if (r < 0) {
        tls_set_unref(set);
        return r;
    }
    tls_set_unref(c->set);
    c->set = set;
    return 0;
}

static int complete_x509(struct bp_object *obj, struct bp_error *err)
{
    return load(obj, BP_TLS_X509, err);
}

static int complete_psk(struct bp_object *obj, struct bp_error *err)
{
    return load(obj, BP_TLS_PSK, err);
}

static int complete_anon(struct bp_object *obj, struct bp_error *err)
{
    return load(obj, BP_TLS_ANON, err);
}

static int reload(struct bp_object *obj, struct bp_error *err)
{
    struct tls_creds *c = bp_object_level(obj, &tls_level);

    return load(obj, c->set->kind, err);
}

static void finalize(struct bp_object *obj)
{
    struct tls_creds *c = bp_object_level(obj, &tls_level);

    tls_set_unref(c->set);
    c->set = NULL;
    free(c->where);
    c->where = NULL;
}

static int check(struct bp_object *obj, bool server, struct bp_error *err)
{
    const struct tls_creds *c = bp_object_level(obj, &tls_level);

    if (server == (c->endpoint == ENDPOINT_SERVER))
        return 0;
    return bp_fail(err, EINVAL, "Expected TLS credentials for a %s endpoint: '%s' has endpoint=%s",
                   server ? "server" : "client", bp_object_id(obj), server ? "client" : "server");
}

static const char *const endpoints[] = {"client", "server", NULL};
static const struct bp_schema endpoint_schema = {
    .name = "QCryptoTLSCredsEndpoint", .kind = BP_KIND_ENUM, .choices = endpoints};
static const struct bp_field level_props[] = {
    BP_PROP_ENUM("endpoint", &endpoint_schema, struct tls_creds, endpoint, "client",
                 "who has them: a server or a client"),
    BP_PROP("dir", STRING, struct tls_creds, dir, NULL, "directory of the files"),
    BP_PROP("priority", STRING, struct tls_creds, priority, NULL, "ciphers and protocols, as GnuTLS writes them"),
    BP_PROP("verify-peer", BOOL, struct tls_creds, verify_peer, "on", "a peer has to have a certificate that is good"),
    BP_FIELDS_END};
const struct bp_level_class tls_level = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = BP_TLS_TYPE,
             .summary = "Credentials for TLS", .state_size = sizeof(struct tls_creds), .props = level_props}};

#define OPS(KIND) \
    {.size = sizeof(struct bp_tls_ops), .kind = KIND, .check = check, .reload = reload, \
     .session_new = tls_session_new, .session_free = tls_session_free, .handshake = tls_session_handshake, \
     .wants = tls_session_wants, .start = tls_session_start, .read = tls_session_read, .write = tls_session_write, \
     .bye = tls_session_bye, .peer_name = tls_session_peer_name}
static const struct bp_tls_ops x509_ops = OPS(BP_TLS_X509), psk_ops = OPS(BP_TLS_PSK), anon_ops = OPS(BP_TLS_ANON);
static const struct bp_level_info x509_infos[] = {{BP_TLS_TYPE, &x509_ops, {NULL}}, {NULL, NULL, {NULL}}},
                                  psk_infos[] = {{BP_TLS_TYPE, &psk_ops, {NULL}}, {NULL, NULL, {NULL}}},
                                  anon_infos[] = {{BP_TLS_TYPE, &anon_ops, {NULL}}, {NULL, NULL, {NULL}}};

#define CREDS(IDENT, NAME, SUMMARY, STATE, PROPS, INFOS, COMPLETE) \
    BP_NOTE("provides=object:" NAME ";summary=" SUMMARY); \
    static const struct bp_object_class IDENT = { \
        .type = {.size = sizeof(struct bp_object_class), .flags = BP_TYPE_EARLY, .name = NAME, \
                 .parent = BP_TLS_TYPE, .summary = SUMMARY, .state_size = sizeof(STATE), .props = PROPS, \
                 .infos = INFOS}, \
        .complete = COMPLETE, .finalize = finalize}
static const struct bp_field x509_props[] = {
    BP_PROP("sanity-check", BOOL, struct tls_x509, sanity, "on",
            "look at times, purposes and issuers of the certificates at once"),
    BP_PROP("passwordid", STRING, struct tls_x509, passwordid, NULL, "secret with the password of the private key"),
    BP_FIELDS_END};
CREDS(x509_class, "tls-creds-x509", "TLS credentials: certificates", struct tls_x509, x509_props, x509_infos,
      complete_x509);
static const struct bp_field psk_props[] = {
    BP_PROP("username", STRING, struct tls_psk, username, NULL, "client: who it says it is; \"qemu\" by default"),
    BP_FIELDS_END};
CREDS(psk_class, "tls-creds-psk", "TLS credentials: pre-shared keys", struct tls_psk, psk_props, psk_infos,
      complete_psk);
CREDS(anon_class, "tls-creds-anon", "TLS credentials: nobody is known", struct tls_anon, NULL, anon_infos,
      complete_anon);

static const struct bp_import imports[] = {BP_IMPORT(secret, "secret", 1), {0}};
BP_MODULE("object-tls", "Credentials for TLS", imports, {BP_PROVIDE_ABSTRACT, &tls_level},
          {BP_PROVIDE_OBJECT, &x509_class}, {BP_PROVIDE_OBJECT, &psk_class}, {BP_PROVIDE_OBJECT, &anon_class},
          {BP_PROVIDE_OBJECT, &tls_suites_class});
