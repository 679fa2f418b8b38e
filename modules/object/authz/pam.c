/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Object "authz-pam": the account part of a PAM service says who may. Without /etc/pam.d/SERVICE nobody does: PAM would
 * fall back to the service "other".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <security/pam_appl.h>

#include <bp/host/authz.h>

struct authz_pam {
    char *service;
};

static bool is_configured(const char *service)
{
    static const char *const where[] = {"/etc/pam.d", "/usr/lib/pam.d"};
    char path[512];

    for (unsigned i = 0; i < BP_COUNT(where); i++) {
        snprintf(path, sizeof(path), "%s/%s", where[i], service);
        if (access(path, R_OK) == 0)
            return true;
    }
    return false;
}

static int complete(struct bp_object *obj, struct bp_error *err)
{
    const struct authz_pam *s = bp_object_state(obj);

    if (!s->service || !*s->service)
        return bp_fail(err, EINVAL, "authz-pam needs 'service': the name of a file in /etc/pam.d");
    if (strchr(s->service, '/') || s->service[0] == '.' || strlen(s->service) > 255)
        return bp_fail(err, EINVAL, "authz-pam: service=%s is not the name of a file in /etc/pam.d", s->service);
    return 0;
}

/* Nobody is there who could be asked for a password. */
static int no_conversation(int count, const struct pam_message **messages, struct pam_response **ret_responses,
                           void *opaque)
{
    (void)count, (void)messages, (void)ret_responses, (void)opaque;
    return PAM_CONV_ERR;
}

static int check(struct bp_object *obj, const char *identity, struct bp_error *err)
{
    const struct authz_pam *s = bp_object_state(obj);
    const struct pam_conv conversation = {no_conversation, NULL};
    pam_handle_t *pam = NULL;
    int r;

    if (!is_configured(s->service))
        return bp_fail(err, EACCES, "there is no /etc/pam.d/%s that could allow it to '%s'", s->service, identity);
    r = pam_start(s->service, identity, &conversation, &pam);
    if (r == PAM_SUCCESS)
        r = pam_acct_mgmt(pam, PAM_SILENT);
    if (r != PAM_SUCCESS)
        bp_fail(err, EACCES, "PAM's service '%s' denies it to '%s': %s", s->service, identity, pam_strerror(pam, r));
    if (pam)
        pam_end(pam, r);
    return r == PAM_SUCCESS ? 0 : -EACCES;
}

static const struct bp_authz_ops ops = {.size = sizeof(ops), .check = check};
static const struct bp_level_info infos[] = {{BP_AUTHZ_TYPE, &ops, {NULL}}, {NULL, NULL, {NULL}}};
static const struct bp_field props[] = {
    BP_PROP("service", STRING, struct authz_pam, service, NULL, "name of the service in /etc/pam.d"), BP_FIELDS_END};
BP_NOTE("provides=object:authz-pam;summary=Rights by the accounts of a PAM service");
static const struct bp_object_class pam_class = {
    .type = {.size = sizeof(struct bp_object_class), .flags = BP_TYPE_EARLY, .name = "authz-pam",
             .parent = BP_AUTHZ_TYPE, .summary = "Rights by the accounts of a PAM service",
             .state_size = sizeof(struct authz_pam), .props = props, .infos = infos},
    .complete = complete};
BP_MODULE("object-authz-pam", "Rights by PAM", BP_NO_IMPORTS, {BP_PROVIDE_OBJECT, &pam_class});
