/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session and its thread. Requests come to it in a list; it sends what the unit takes and tells who waits. When the
 * connection breaks, it logs in anew and sends again what was not answered; when that does not succeed for a while, the
 * requests fail. A request that takes longer than it may fails, and the session is begun anew.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "iscsi.h"

#define SECOND INT64_C(1000000000)
#define LOGIN_SECONDS 30     /* without a timeout of its own */
#define STUCK_SECONDS 60     /* the same of requests that hold all up */
#define PATIENCE (5 * SECOND) /* how long requests wait for a new session */
#define MAX_TRIES 50u        /* of one request, when the unit is busy or has something to say first */

struct session {
    struct iscsi_place place;
    struct iscsi_facts facts;
    pthread_t thread;
    int kick; /* eventfd */

    pthread_mutex_t lock; /* of these and of `done` of requests */
    pthread_cond_t changed;
    struct request *incoming, **incoming_tail;
    bool closing, opened;
    int open_ret;
    struct bp_error open_error;
    struct bp_co *opener; /* or NULL */

    /* The thread's. */
    struct iscsi_context *iscsi; /* NULL: there is no connection */
    struct request *requests, **requests_tail;
    bool up;       /* logged in */
    bool trying;   /* to log in anew */
    bool failed;   /* a try has */
    bool lost;     /* the connection is of no use any more */
    bool dropping; /* what libiscsi calls back for is over */
    int64_t login_until, next_try, down_since;
    uint8_t *zeroes; /* a block */
};

static int64_t now(void)
{
    return bp_clock_ns(BP_CLOCK_REALTIME);
}

static void kick(struct session *s)
{
    uint64_t one = 1;
    ssize_t n = write(s->kick, &one, sizeof(one));

    (void)n; /* full: it looks anyway */
}

static int64_t login_ns(const struct session *s)
{
    return (s->place.timeout ? s->place.timeout : LOGIN_SECONDS) * SECOND;
}

/* ---- the thread: connections ---- */

static struct iscsi_context *new_context(const struct session *s)
{
    const struct iscsi_place *p = &s->place;
    struct iscsi_context *iscsi = iscsi_create_context(p->initiator);

    if (!iscsi)
        return NULL;
    iscsi_set_noautoreconnect(iscsi, 1);
    if (iscsi_set_targetname(iscsi, p->target) < 0 || iscsi_set_session_type(iscsi, ISCSI_SESSION_NORMAL) < 0 ||
        iscsi_set_header_digest(iscsi, p->digest) < 0 ||
        (p->user && iscsi_set_initiator_username_pwd(iscsi, p->user, p->password ? p->password : "") < 0)) {
        iscsi_destroy_context(iscsi);
        return NULL;
    }
    return iscsi;
}

/* What was sent is to be sent again. */
static void drop(struct session *s)
{
    s->dropping = true;
    if (s->iscsi)
        iscsi_destroy_context(s->iscsi);
    if (s->trying) {
        s->failed = true;
        s->next_try = now() + SECOND / 4;
    }
    s->iscsi = NULL;
    s->dropping = s->up = s->lost = s->trying = false;
    for (struct request *r = s->requests; r; r = r->next) {
        if (r->task)
            scsi_free_scsi_task(r->task);
        r->task = NULL;
    }
}

static void login_ended(struct iscsi_context *iscsi, int status, void *data, void *opaque)
{
    struct session *s = opaque;

    (void)iscsi;
    (void)data;
    if (s->dropping)
        return;
    if (status == SCSI_STATUS_GOOD && !s->up) {
        s->up = true;
        s->trying = false;
        s->down_since = 0;
    } else {
        s->lost = true;
    }
}

static void log_in(struct session *s)
{
    s->trying = true;
    s->failed = false;
    s->login_until = now() + login_ns(s);
    s->iscsi = new_context(s);
    if (!s->iscsi || iscsi_full_connect_async(s->iscsi, s->place.portal, s->place.lun, login_ended, s) < 0)
        s->lost = true;
}

/* Before anything else: with words for who opens it. */
static int log_in_first(struct session *s, struct bp_error *err)
{
    int ret = 0;

    s->iscsi = new_context(s);
    if (!s->iscsi)
        return bp_fail(err, EINVAL, "iscsi: libiscsi does not take the names of initiator, target or user");
    iscsi_set_timeout(s->iscsi, (int)(login_ns(s) / SECOND));
    if (iscsi_full_connect_sync(s->iscsi, s->place.portal, s->place.lun) != 0) {
        const char *why = iscsi_get_error(s->iscsi);

        ret = bp_fail(err, strstr(why, "uthent") ? EACCES : EIO, "iscsi: cannot log in to %s at %s, unit %d: %s",
                      s->place.target, s->place.portal, s->place.lun, *why ? why : "the target does not answer");
    }
    if (ret == 0)
        ret = facts_ask(s->iscsi, s->place.lun, &s->facts, err);
    iscsi_set_timeout(s->iscsi, 0);
    s->zeroes = ret == 0 ? calloc(1, s->facts.block_size) : NULL;
    if (ret == 0 && !s->zeroes)
        ret = bp_fail(err, ENOMEM, "iscsi: no memory for a block");
    s->up = ret == 0;
    return ret;
}

/* ---- the thread: requests ---- */

static void finish(struct session *s, struct request *r, int ret)
{
    struct request **link = &s->requests;
    struct bp_co *co = r->co;

    while (*link != r)
        link = &(*link)->next;
    *link = r->next;
    if (!*link)
        s->requests_tail = link;
    if (r->task)
        scsi_free_scsi_task(r->task);
    pthread_mutex_lock(&s->lock);
    r->ret = ret;
    r->done = true; /* from here on it may be gone */
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (co) {
        bp_co_wake(co);
        bp_co_unref(co);
    }
}

static void again(struct request *r, int64_t pause)
{
    scsi_free_scsi_task(r->task);
    r->task = NULL;
    r->not_before = now() + pause;
}

static int take_status(struct request *r)
{
    struct scsi_get_lba_status *status = scsi_datain_unmarshall(r->task);
    const struct scsi_lba_status_descriptor *d;
    uint64_t skip;

    if (!status || status->num_descriptors == 0)
        return -ENOTSUP;
    d = &status->descriptors[0];
    skip = r->lba - d->lba;
    if (d->lba > r->lba || skip >= d->num_blocks)
        return -ENOTSUP;
    r->mapped_count = d->num_blocks - skip < r->count ? d->num_blocks - skip : r->count;
    r->unmapped = d->provisioning != SCSI_PROVISIONING_TYPE_MAPPED;
    return 0;
}

static int good(struct request *r)
{
    if (r->op == REQUEST_STATUS)
        return take_status(r);
    if ((r->op == REQUEST_READ || r->op == REQUEST_WRITE) && r->task->residual_status != SCSI_RESIDUAL_NO_RESIDUAL)
        return -EIO;
    return 0;
}

static int of_sense(struct request *r)
{
    const struct scsi_sense *sense = &r->task->sense;
    bool needed = r->op == REQUEST_READ || r->op == REQUEST_WRITE;

    if (sense->key == SCSI_SENSE_RECOVERED_ERROR)
        return needed ? good(r) : 0;
    if (sense->key == SCSI_SENSE_ILLEGAL_REQUEST && !needed)
        return r->op == REQUEST_FLUSH ? 0 : -ENOTSUP; /* no SYNCHRONIZE CACHE: no cache */
    if (sense->key == SCSI_SENSE_DATA_PROTECTION)
        return sense->ascq == 0x2707 ? -ENOSPC : -EACCES; /* space allocation failed write protect */
    return sense->key == SCSI_SENSE_NOT_READY && sense->ascq >> 8 == 0x3a ? -ENOMEDIUM : -EIO;
}

static void answered(struct iscsi_context *iscsi, int status, void *data, void *opaque)
{
    struct request *r = opaque;
    struct session *s = r->session;
    bool patient = r->tries < MAX_TRIES;

    (void)iscsi;
    (void)data;
    if (s->dropping)
        return;
    if (status == (int)SCSI_STATUS_CANCELLED)
        s->lost = true; /* and drop() takes it back */
    else if (status == SCSI_STATUS_GOOD)
        finish(s, r, good(r));
    else if (status == SCSI_STATUS_CHECK_CONDITION && r->task->sense.key == SCSI_SENSE_UNIT_ATTENTION && patient)
        again(r, 0);
    else if ((status == SCSI_STATUS_BUSY || status == SCSI_STATUS_TASK_SET_FULL) && patient)
        again(r, SECOND / 10);
    else
        finish(s, r, status == SCSI_STATUS_CHECK_CONDITION ? of_sense(r) : -EIO);
}

static struct scsi_task *start(struct session *s, struct request *r)
{
    struct scsi_iovec *iov = (struct scsi_iovec *)(uintptr_t)r->iov; /* the same by its header's word */
    int lun = s->place.lun, size = (int)s->facts.block_size, fua = r->fua, n = (int)r->iov_count;
    uint32_t bytes = (uint32_t)(r->count * s->facts.block_size), lba = (uint32_t)r->lba;

    switch (r->op) {
    case REQUEST_READ:
        if (s->facts.short_commands)
            return iscsi_read10_iov_task(s->iscsi, lun, lba, bytes, size, 0, 0, 0, 0, 0, answered, r, iov, n);
        return iscsi_read16_iov_task(s->iscsi, lun, r->lba, bytes, size, 0, 0, 0, 0, 0, answered, r, iov, n);
    case REQUEST_WRITE:
        if (s->facts.short_commands)
            return iscsi_write10_iov_task(s->iscsi, lun, lba, NULL, bytes, size, 0, 0, fua, 0, 0, answered, r, iov, n);
        return iscsi_write16_iov_task(s->iscsi, lun, r->lba, NULL, bytes, size, 0, 0, fua, 0, 0, answered, r, iov, n);
    case REQUEST_FLUSH:
        return iscsi_synchronizecache10_task(s->iscsi, lun, 0, 0, 0, 0, answered, r);
    case REQUEST_UNMAP:
        r->list = (struct unmap_list){.lba = r->lba, .num = (uint32_t)r->count};
        return iscsi_unmap_task(s->iscsi, lun, 0, 0, &r->list, 1, answered, r);
    case REQUEST_ZEROES:
        return iscsi_writesame16_task(s->iscsi, lun, r->lba, s->zeroes, s->facts.block_size, (uint32_t)r->count, 0,
                                      r->may_unmap, 0, 0, answered, r);
    case REQUEST_STATUS:
        return iscsi_get_lba_status_task(s->iscsi, lun, r->lba, 8 + 16, answered, r);
    }
    return NULL;
}

static void send_all(struct session *s)
{
    int64_t t = now();

    for (struct request *r = s->requests; r && !s->lost; r = r->next) {
        if (r->task || r->not_before > t)
            continue;
        r->tries++;
        r->task = start(s, r);
        s->lost = !r->task;
    }
}

/* Those that wait for longer than they may. */
static void expire(struct session *s)
{
    struct request *next;
    int64_t t = now();

    for (struct request *r = s->requests; r; r = r->next)
        s->lost |= r->until && t >= r->until && r->task;
    if (s->lost)
        drop(s);
    for (struct request *r = s->requests; r; r = next) {
        next = r->next;
        if (r->until && t >= r->until)
            finish(s, r, -EIO);
    }
}

static void fail_all(struct session *s)
{
    while (s->requests)
        finish(s, s->requests, -EIO);
}

/* ---- the thread: its loop ---- */

/* false: it is to end. */
static bool take_incoming(struct session *s)
{
    bool closing;

    pthread_mutex_lock(&s->lock);
    closing = s->closing;
    if (s->incoming) {
        *s->requests_tail = s->incoming;
        s->requests_tail = s->incoming_tail;
        s->incoming = NULL;
        s->incoming_tail = &s->incoming;
    }
    pthread_mutex_unlock(&s->lock);
    return !closing;
}

static void look_after_login(struct session *s)
{
    int64_t t = now();

    if (s->iscsi && !s->up && t >= s->login_until)
        s->lost = true;
    if (s->lost)
        drop(s);
    if (s->up || !s->requests)
        return;
    if (!s->down_since)
        s->down_since = t;
    else if (s->failed && t - s->down_since >= PATIENCE)
        fail_all(s);
    s->failed = false;
    if (!s->iscsi && s->requests && t >= s->next_try)
        log_in(s);
}

static bool peer_is_gone(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

static void wait_and_serve(struct session *s)
{
    struct pollfd p[2] = {{s->kick, POLLIN, 0}, {-1, 0, 0}};
    uint64_t count;
    ssize_t n;

    if (s->iscsi) {
        p[1].fd = iscsi_get_fd(s->iscsi);
        p[1].events = (short)iscsi_which_events(s->iscsi);
        if (!p[1].events)
            p[1].fd = -1;
    }
    if (poll(p, 2, s->requests || (s->iscsi && !s->up) ? 100 : -1) < 0)
        return;
    if (p[0].revents) {
        n = read(s->kick, &count, sizeof(count));
        (void)n; /* it was to wake us */
    }
    if (!s->iscsi || !p[1].revents)
        return;
    if (s->up && p[1].revents & (POLLIN | POLLHUP | POLLERR) && peer_is_gone(p[1].fd))
        s->lost = true;
    else if (iscsi_service(s->iscsi, p[1].revents) < 0)
        s->lost = true;
}

static void logged_out(struct iscsi_context *iscsi, int status, void *data, void *opaque)
{
    (void)iscsi;
    (void)status;
    (void)data;
    *(bool *)opaque = true;
}

/* So long as it is quick. */
static void log_out(struct session *s)
{
    int64_t until = now() + SECOND;
    bool *out = calloc(1, sizeof(*out));

    if (out && s->up && !s->lost && iscsi_logout_async(s->iscsi, logged_out, out) == 0) {
        while (!*out && now() < until) {
            struct pollfd p = {iscsi_get_fd(s->iscsi), (short)iscsi_which_events(s->iscsi), 0};

            if (poll(&p, 1, 100) > 0 && (peer_is_gone(p.fd) || iscsi_service(s->iscsi, p.revents) < 0))
                break;
        }
    }
    drop(s);
    free(out);
}

static void *run(void *opaque)
{
    struct session *s = opaque;
    struct bp_error err = {0};
    int ret = log_in_first(s, &err);
    struct bp_co *opener;

    pthread_mutex_lock(&s->lock);
    s->open_ret = ret;
    s->open_error = err;
    s->opened = true;
    opener = s->opener;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (opener) {
        bp_co_wake(opener);
        bp_co_unref(opener);
    }
    while (take_incoming(s)) {
        if (ret < 0)
            fail_all(s);
        expire(s);
        look_after_login(s);
        if (s->up)
            send_all(s);
        if (!s->lost)
            wait_and_serve(s);
    }
    fail_all(s);
    log_out(s);
    return NULL;
}

/* ---- who asks ---- */

static void wait_until(struct session *s, const bool *done, bool in_coroutine)
{
    pthread_mutex_lock(&s->lock);
    while (!*done) {
        if (!in_coroutine) {
            pthread_cond_wait(&s->changed, &s->lock);
            continue;
        }
        pthread_mutex_unlock(&s->lock);
        bp_co_await();
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
}

int session_request(struct session *s, struct request *r)
{
    bool in_coroutine = block->may_wait();

    r->session = s;
    r->co = in_coroutine ? bp_co_ref(bp_co_current()) : NULL;
    if (s->place.timeout || !in_coroutine) /* who can do nothing else meanwhile does not wait for ever */
        r->until = now() + (s->place.timeout ? s->place.timeout : STUCK_SECONDS) * SECOND;
    pthread_mutex_lock(&s->lock);
    *s->incoming_tail = r;
    s->incoming_tail = &r->next;
    pthread_mutex_unlock(&s->lock);
    kick(s);
    wait_until(s, &r->done, in_coroutine);
    return r->ret;
}

void place_free(struct iscsi_place *p)
{
    free(p->portal);
    free(p->target);
    free(p->user);
    free(p->password);
    free(p->initiator);
}

static void join(void *opaque)
{
    pthread_join(((struct session *)opaque)->thread, NULL);
}

static void release(struct session *s)
{
    if (s->kick >= 0)
        close(s->kick);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    place_free(&s->place);
    free(s->zeroes);
    free(s);
}

void session_free(struct session *s)
{
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_mutex_unlock(&s->lock);
    kick(s);
    if (block->may_wait())
        bp_co_worker(join, s);
    else
        join(s);
    release(s);
}

int session_new(struct iscsi_place *place, struct session **ret_session, struct iscsi_facts *ret_facts,
                struct bp_error *err)
{
    bool in_coroutine = block->may_wait();
    struct session *s = bp_alloc(sizeof(*s));
    int ret;

    *s = (struct session){.place = *place, .kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    *place = (struct iscsi_place){0};
    s->incoming_tail = &s->incoming;
    s->requests_tail = &s->requests;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    s->opener = in_coroutine ? bp_co_ref(bp_co_current()) : NULL;
    ret = s->kick < 0 ? errno : bp_thread_start(&s->thread, "iscsi", run, s);
    if (ret != 0) {
        bp_co_unref(s->opener);
        release(s);
        return bp_fail(err, ret, "iscsi: a thread for the session does not start: %s", strerror(ret));
    }
    wait_until(s, &s->opened, in_coroutine);
    ret = s->open_ret;
    if (ret < 0) {
        if (err)
            *err = s->open_error;
        session_free(s);
        return ret;
    }
    *ret_session = s;
    *ret_facts = s->facts;
    return 0;
}
