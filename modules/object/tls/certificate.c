/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Certificates (RFC 5280) as credentials: read, and looked at before anybody connects, so that what no peer would
 * accept is refused with a reason when the credentials are made.
 */
#include "tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/x509.h>

#include <bp/log.h>

#define CERTIFICATES 16u /* of one file */
#define MOST_BYTES (1u << 20)

char *tls_file(const char *dir, const char *name, bool needed, int *ret, struct bp_error *err)
{
    char *path;

    *ret = 0;
    if (asprintf(&path, "%s/%s", dir, name) < 0)
        abort();
    if (access(path, R_OK) == 0)
        return path;
    if (needed || errno != ENOENT)
        *ret = bp_fail(err, errno, "Unable to access credentials %s: %s", path, strerror(errno));
    free(path);
    return NULL;
}

int tls_read(const char *path, gnutls_datum_t *ret_data, struct bp_error *err)
{
    FILE *f = fopen(path, "re");
    uint8_t *data;
    size_t n;

    if (!f)
        return bp_fail(err, errno, "%s: %s", path, strerror(errno));
    data = gnutls_malloc(MOST_BYTES + 2);
    n = data ? fread(data, 1, MOST_BYTES + 1, f) : 0;
    fclose(f);
    if (!data || n > MOST_BYTES) {
        gnutls_free(data);
        return bp_fail(err, EFBIG, "%s is longer than %u bytes", path, MOST_BYTES);
    }
    data[n] = 0;
    ret_data->data = data;
    ret_data->size = (unsigned)n;
    return 0;
}

gnutls_dh_params_t tls_load_dh(const char *dir, int *ret, struct bp_error *err)
{
    char *path = tls_file(dir, "dh-params.pem", false, ret, err);
    gnutls_dh_params_t params = NULL;
    gnutls_datum_t data;
    int r;

    if (!path)
        return NULL;
    *ret = tls_read(path, &data, err);
    if (*ret == 0) {
        r = gnutls_dh_params_init(&params);
        if (r >= 0)
            r = gnutls_dh_params_import_pkcs3(params, &data, GNUTLS_X509_FMT_PEM);
        if (r < 0) {
            *ret = bp_fail(err, EINVAL, "Unable to load DH parameters from %s: %s", path, gnutls_strerror(r));
            gnutls_dh_params_deinit(params);
            params = NULL;
        }
        gnutls_free(data.data);
    }
    free(path);
    return params;
}

/* ---- checks ---- */

struct chain {
    gnutls_x509_crt_t list[CERTIFICATES];
    unsigned count;
};

static int read_chain(const char *path, struct chain *chain, struct bp_error *err)
{
    gnutls_datum_t data;
    int r = tls_read(path, &data, err);

    if (r < 0)
        return r;
    chain->count = CERTIFICATES;
    r = gnutls_x509_crt_list_import(chain->list, &chain->count, &data, GNUTLS_X509_FMT_PEM,
                                    GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);
    gnutls_free(data.data);
    if (r >= 0)
        return 0;
    chain->count = 0;
    return bp_fail(err, EINVAL, "Unable to import certificates of %s: %s (PEM, at most %u, is expected)", path,
                   gnutls_strerror(r), CERTIFICATES);
}

static void free_chain(struct chain *chain)
{
    for (unsigned i = 0; i < chain->count; i++)
        gnutls_x509_crt_deinit(chain->list[i]);
    chain->count = 0;
}

static int check_times(gnutls_x509_crt_t cert, const char *path, struct bp_error *err)
{
    time_t now = time(NULL), from = gnutls_x509_crt_get_activation_time(cert),
           until = gnutls_x509_crt_get_expiration_time(cert);

    if (until != (time_t)-1 && until < now)
        return bp_fail(err, EINVAL, "The certificate %s has expired", path);
    if (from != (time_t)-1 && from > now)
        return bp_fail(err, EINVAL, "The certificate %s is not yet active", path);
    return 0;
}

static int check_constraints(gnutls_x509_crt_t cert, const char *path, bool authority, struct bp_error *err)
{
    int r = gnutls_x509_crt_get_basic_constraints(cert, NULL, NULL, NULL);

    if (r > 0 && !authority)
        return bp_fail(err, EINVAL, "The certificate %s basic constraints show a CA, but we need one for a %s", path,
                       "server or client");
    if (r == 0 && authority)
        return bp_fail(err, EINVAL, "The certificate %s basic constraints do not show a CA", path);
    if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE && authority)
        return bp_fail(err, EINVAL, "The certificate %s is missing basic constraints for a CA", path);
    if (r < 0 && r != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
        return bp_fail(err, EINVAL, "The certificate %s has basic constraints that make no sense: %s", path,
                       gnutls_strerror(r));
    return 0;
}

/* A key usage that is critical binds (RFC 5280, 4.2.1.3); another one is worth a warning. */
static int check_usage(gnutls_x509_crt_t cert, const char *path, bool authority, struct bp_error *err)
{
    const unsigned wanted = authority ? GNUTLS_KEY_KEY_CERT_SIGN
                                      : GNUTLS_KEY_DIGITAL_SIGNATURE | GNUTLS_KEY_KEY_ENCIPHERMENT;
    unsigned usage = 0, critical = 0;
    const char *words = authority ? "certificate signing" : "digital signature nor key encipherment";
    int r = gnutls_x509_crt_get_key_usage(cert, &usage, &critical);

    if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
        return 0;
    if (r < 0)
        return bp_fail(err, EINVAL, "The certificate %s has a key usage that makes no sense: %s", path,
                       gnutls_strerror(r));
    if (usage & wanted)
        return 0;
    if (critical)
        return bp_fail(err, EINVAL, "Certificate %s usage does not permit %s", path, words);
    bp_warn("Certificate %s usage does not permit %s", path, words);
    return 0;
}

static int check_purpose(gnutls_x509_crt_t cert, const char *path, bool server, struct bp_error *err)
{
    const char *wanted = server ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT;
    bool any = false, critical = false, allowed = false;

    for (unsigned i = 0; i < 32; i++) {
        char oid[128];
        size_t size = sizeof(oid);
        unsigned is_critical = 0;

        if (gnutls_x509_crt_get_key_purpose_oid(cert, i, oid, &size, &is_critical) < 0)
            break;
        any = true;
        critical |= is_critical != 0;
        allowed |= !strcmp(oid, wanted) || !strcmp(oid, GNUTLS_KP_ANY);
    }
    if (!any || allowed)
        return 0;
    if (critical)
        return bp_fail(err, EINVAL, "Certificate %s purpose does not allow use with a TLS %s", path,
                       server ? "server" : "client");
    bp_warn("Certificate %s purpose does not allow use with a TLS %s", path, server ? "server" : "client");
    return 0;
}

static int check_authorities(const struct chain *chain, const char *path, struct bp_error *err)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < chain->count; i++) {
        r = check_times(chain->list[i], path, err);
        if (r == 0)
            r = check_constraints(chain->list[i], path, true, err);
        if (r == 0)
            r = check_usage(chain->list[i], path, true, err);
    }
    return r;
}

static int check_signer(const struct chain *own, const char *path, const struct chain *authorities,
                        const char *authority_path, struct bp_error *err)
{
    unsigned status = 0;
    int r = gnutls_x509_crt_list_verify(own->list, (int)own->count, authorities->list, (int)authorities->count, NULL,
                                        0, 0, &status);

    if (r < 0)
        return bp_fail(err, EINVAL, "Unable to verify certificate %s with CA certificate %s: %s", path,
                       authority_path, gnutls_strerror(r));
    if (status == 0)
        return 0;
    return bp_fail(err, EINVAL, "Our own certificate %s failed validation against %s: %s", path, authority_path,
                   status & GNUTLS_CERT_REVOKED            ? "The certificate has been revoked"
                   : status & GNUTLS_CERT_SIGNER_NOT_FOUND ? "The certificate hasn't got a known issuer"
                   : status & GNUTLS_CERT_SIGNER_NOT_CA    ? "The certificate's issuer is not a CA"
                   : status & GNUTLS_CERT_INSECURE_ALGORITHM
                       ? "The certificate has been signed using an insecure algorithm"
                       : "The certificate is not trusted");
}

static int check_all(const char *authority_path, const char *path, bool server, struct bp_error *err)
{
    struct chain authorities = {.count = 0}, own = {.count = 0};
    int r = read_chain(authority_path, &authorities, err);

    if (r == 0)
        r = check_authorities(&authorities, authority_path, err);
    if (r == 0 && path)
        r = read_chain(path, &own, err);
    if (r == 0 && path) {
        r = check_times(own.list[0], path, err);
        if (r == 0)
            r = check_constraints(own.list[0], path, false, err);
        if (r == 0)
            r = check_usage(own.list[0], path, false, err);
        if (r == 0)
            r = check_purpose(own.list[0], path, server, err);
        if (r == 0)
            r = check_signer(&own, path, &authorities, authority_path, err);
    }
    free_chain(&authorities);
    free_chain(&own);
    return r;
}

/* ---- loading ---- */

struct files {
    char *authority, *revoked, *certificate, *key;
};

static int find_files(struct files *f, const char *dir, bool server, struct bp_error *err)
{
    int r;

    f->authority = tls_file(dir, "ca-cert.pem", true, &r, err);
    if (r == 0)
        f->revoked = tls_file(dir, "ca-crl.pem", false, &r, err);
    if (r == 0)
        f->certificate = tls_file(dir, server ? "server-cert.pem" : "client-cert.pem", server, &r, err);
    if (r == 0)
        f->key = tls_file(dir, server ? "server-key.pem" : "client-key.pem", server, &r, err);
    if (r == 0 && !f->certificate != !f->key)
        r = bp_fail(err, EINVAL, "%s needs %s/%s", f->key ? f->key : f->certificate, dir,
                    f->key ? "client-cert.pem" : "client-key.pem");
    return r;
}

static int load_key(struct tls_set *set, const struct files *f, const char *password, struct bp_error *err)
{
    int r = gnutls_certificate_set_x509_key_file2(set->with.x509, f->certificate, f->key, GNUTLS_X509_FMT_PEM,
                                                  password, 0);

    if (r >= 0)
        return 0;
    if (r == GNUTLS_E_DECRYPTION_FAILED && !password)
        return bp_fail(err, EINVAL, "Cannot load certificate '%s' & key '%s': the key is encrypted: give its password "
                       "with passwordid=SECRET", f->certificate, f->key);
    if (r == GNUTLS_E_DECRYPTION_FAILED)
        return bp_fail(err, EINVAL, "Cannot load certificate '%s' & key '%s': the password of passwordid does not fit",
                       f->certificate, f->key);
    return bp_fail(err, EINVAL, "Cannot load certificate '%s' & key '%s': %s", f->certificate, f->key,
                   gnutls_strerror(r));
}

int tls_load_certificates(struct tls_set *set, const char *dir, bool sanity, const char *password,
                          struct bp_error *err)
{
    struct files f = {NULL, NULL, NULL, NULL};
    int r = find_files(&f, dir, set->server, err), n;

    if (r == 0 && sanity)
        r = check_all(f.authority, f.certificate, set->server, err);
    if (r == 0 && (n = gnutls_certificate_allocate_credentials(&set->with.x509)) < 0)
        r = bp_fail(err, ENOMEM, "TLS credentials: %s", gnutls_strerror(n));
    if (r == 0 && (n = gnutls_certificate_set_x509_trust_file(set->with.x509, f.authority, GNUTLS_X509_FMT_PEM)) <= 0)
        r = bp_fail(err, EINVAL, "Cannot load CA certificate '%s': %s", f.authority,
                    n < 0 ? gnutls_strerror(n) : "it holds none");
    if (r == 0 && f.certificate)
        r = load_key(set, &f, password, err);
    if (r == 0 && f.revoked &&
        (n = gnutls_certificate_set_x509_crl_file(set->with.x509, f.revoked, GNUTLS_X509_FMT_PEM)) < 0)
        r = bp_fail(err, EINVAL, "Cannot load CRL '%s': %s", f.revoked, gnutls_strerror(n));
    free(f.authority);
    free(f.revoked);
    free(f.certificate);
    free(f.key);
    return r;
}
