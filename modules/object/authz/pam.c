/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Object "authz-pam": the account part of a PAM service says who may. PAM is asked on a thread, as it may wait for
 * others (a directory, a program). Where a service has no account part PAM would fall back to the service "other": then
 * nobody may (account.c).
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <security/pam_appl.h>

#include <bp/coroutine.h>
#include <bp/host/authz.h>

#include "account.h"

#define MOST_THREADS 32u /* that wait for PAM; one that hangs takes no more of the host */

/* Shared with the threads, which may outlive the object. */
struct counter {
    atomic_uint refs, threads;
};

struct authz_pam {
    char *service;
    struct counter *counter;
};

/* One question: its thread and who asked have it. */
struct job {
    atomic_uint refs;
    struct counter *counter;
    char *service, *identity;
    struct bp_co *co; /* who waits; NULL: nobody, it is asked at once */
    atomic_bool answered;
    struct bp_error why;
    int ret;
};

static void counter_unref(struct counter *c)
{
    if (atomic_fetch_sub(&c->refs, 1) == 1)
        free(c);
}

static void job_unref(struct job *j)
{
    if (atomic_fetch_sub(&j->refs, 1) != 1)
        return;
    counter_unref(j->counter);
    bp_co_unref(j->co);
    free(j->service);
    free(j->identity);
    free(j);
}

static int complete(struct bp_object *obj, struct bp_error *err)
{
    struct authz_pam *s = bp_object_state(obj);

    if (!s->service || !*s->service)
        return bp_fail(err, EINVAL, "authz-pam needs 'service': the name of a file in /etc/pam.d");
    if (strchr(s->service, '/') || s->service[0] == '.' || strlen(s->service) > 255)
        return bp_fail(err, EINVAL, "authz-pam: service=%s is not the name of a file in /etc/pam.d", s->service);
    for (const char *c = s->service; *c; c++) {
        if (*c >= 'A' && *c <= 'Z')
            return bp_fail(err, EINVAL, "authz-pam: service=%s: PAM knows services by names in lower case alone, and "
                           "would take another one", s->service);
    }
    s->counter = bp_alloc(sizeof(*s->counter));
    atomic_init(&s->counter->refs, 1);
    atomic_init(&s->counter->threads, 0);
    return 0;
}

static void finalize(struct bp_object *obj)
{
    struct authz_pam *s = bp_object_state(obj);

    if (s->counter)
        counter_unref(s->counter);
    s->counter = NULL;
}

/* Nobody is there who could be asked for a password. */
static int no_conversation(int count, const struct pam_message **messages, struct pam_response **ret_responses,
                           void *opaque)
{
    (void)count, (void)messages, (void)ret_responses, (void)opaque;
    return PAM_CONV_ERR;
}

static void ask(struct job *j)
{
    const struct pam_conv conversation = {no_conversation, NULL};
    pam_handle_t *pam = NULL;
    int r;

    j->ret = account_check(j->service, &j->why);
    if (j->ret < 0) {
        bp_error_prefix(&j->why, "'%s' is not allowed", j->identity);
        return;
    }
    r = pam_start(j->service, j->identity, &conversation, &pam);
    if (r == PAM_SUCCESS)
        r = pam_acct_mgmt(pam, PAM_SILENT);
    if (r != PAM_SUCCESS)
        j->ret = bp_fail(&j->why, EACCES, "PAM's service '%s' denies it to '%s': %s", j->service, j->identity,
                         pam_strerror(pam, r));
    if (pam)
        pam_end(pam, r);
}

static void *thread_main(void *opaque)
{
    struct job *j = opaque;

    ask(j);
    atomic_fetch_sub(&j->counter->threads, 1);
    atomic_store(&j->answered, true);
    bp_co_wake(j->co);
    job_unref(j);
    return NULL;
}

static int ask_on_thread(struct job *j, struct bp_error *err)
{
    pthread_t thread;
    int r;

    if (atomic_load(&j->counter->threads) >= MOST_THREADS)
        return bp_fail(err, EACCES, "PAM has not answered %u questions yet: '%s' is not allowed", MOST_THREADS,
                       j->identity);
    j->co = bp_co_ref(bp_co_current());
    atomic_fetch_add(&j->refs, 1);
    atomic_fetch_add(&j->counter->threads, 1);
    r = bp_thread_start(&thread, "authz-pam", thread_main, j);
    if (r != 0) {
        atomic_fetch_sub(&j->counter->threads, 1);
        atomic_fetch_sub(&j->refs, 1);
        return bp_fail(err, EACCES, "no thread can ask PAM: %s", strerror(r));
    }
    pthread_detach(thread); /* one that hangs must not keep the program from ending */
    while (!atomic_load(&j->answered)) {
        if (bp_co_yield() < 0)
            return bp_fail(err, EACCES, "PAM's answer is not waited for any more");
    }
    return 0;
}

static int check(struct bp_object *obj, const char *identity, struct bp_error *err)
{
    const struct authz_pam *s = bp_object_state(obj);
    struct job *j = bp_alloc(sizeof(*j));
    int r = 0;

    memset(j, 0, sizeof(*j));
    atomic_init(&j->refs, 1);
    j->counter = s->counter;
    atomic_fetch_add(&j->counter->refs, 1);
    j->service = bp_strdup(s->service);
    j->identity = bp_strdup(identity);
    if (bp_co_current())
        r = ask_on_thread(j, err);
    else
        ask(j);
    if (r == 0) {
        r = j->ret;
        if (r < 0)
            bp_fail(err, EACCES, "%s", j->why.message);
    }
    job_unref(j);
    return r;
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
    .complete = complete, .finalize = finalize};
BP_MODULE("object-authz-pam", "Rights by PAM", BP_NO_IMPORTS, {BP_PROVIDE_OBJECT, &pam_class});
