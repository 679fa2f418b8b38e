/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session and its thread. Requests come to it in a list; it hands them to libnfs and tells who waits. When the
 * connection breaks, it mounts and opens anew and sends again what was not answered; when that does not succeed for a
 * while, the requests fail. A request that takes longer than it may fails, and the connection is made anew.
 *
 * Writes are unstable (RFC 1813, 3.3.7): a server that starts anew may have forgotten those that it has answered, if
 * no COMMIT came after them. So they are kept, up to a bound, until one did, and are sent again on a new connection
 * before anything else.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nfs.h"

#define SECOND INT64_C(1000000000)
/* To open the file, without a timeout of its own; the same of requests that hold all up. */
#define FIRST_SECONDS 30
#define PATIENCE (5 * SECOND)  /* how long requests wait for a new connection */
#define KEPT_ENOUGH (32u << 20) /* bytes: a COMMIT is sent by ourselves */
#define KEPT_MOST (64u << 20)   /* bytes: no writes are sent until it is answered */

/* A write that was answered, and may not be on stable storage. */
struct kept {
    struct kept *next;
    uint64_t offset, bytes, seq;
    uint8_t *data;
};

struct session {
    struct nfs_place place;
    enum nfs_how how;
    struct nfs_facts facts;
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
    struct nfs_context *nfs; /* NULL: there is no connection */
    struct nfsfh *file;
    struct request *requests, **requests_tail;
    struct kept *kept, **kept_tail, *replay; /* the oldest first; which of them is on its way again */
    uint64_t kept_bytes, seq;
    struct request commit; /* by ourselves */
    bool committing;
    bool first;    /* nothing has been opened yet: errors are words for who opens it */
    bool up;       /* mounted, opened, and all that was kept was sent again */
    bool trying;   /* to come up */
    bool failed;   /* a try has */
    bool lost;     /* the connection is of no use any more */
    bool dropping; /* what libnfs calls back for is over */
    int64_t try_until, next_try, down_since;
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

static int64_t patience_of_one(const struct session *s)
{
    return (int64_t)(s->place.timeout ? s->place.timeout : FIRST_SECONDS) * SECOND;
}

/* ---- the thread: connections ---- */

static void ignore(int status, struct nfs_context *nfs, void *data, void *opaque)
{
    (void)status;
    (void)nfs;
    (void)data;
    (void)opaque;
}

/* What was sent is to be sent again. */
static void drop(struct session *s)
{
    s->dropping = true;
    if (s->nfs && s->file)
        nfs_close_async(s->nfs, s->file, ignore, NULL); /* the handle goes, whatever the server hears of it */
    if (s->nfs)
        nfs_destroy_context(s->nfs);
    if (s->trying) {
        s->failed = true;
        s->next_try = now() + SECOND / 4;
    }
    s->nfs = NULL;
    s->file = NULL;
    s->replay = NULL;
    s->dropping = s->up = s->lost = s->trying = false;
    for (struct request *r = s->requests; r; r = r->next)
        r->sent = false;
}

/* Some of it comes from the server. */
static void note(struct session *s, int error, const char *why)
{
    char text[160] = "";

    s->lost = true;
    if (!s->first || s->open_ret < 0)
        return;
    for (size_t i = 0; why && why[i] && i < sizeof(text) - 1; i++)
        text[i] = (unsigned char)why[i] < 32 || (unsigned char)why[i] > 126 ? '?' : why[i];
    s->open_ret = bp_fail(&s->open_error, error, "nfs: '%s%s' of %s cannot be opened: %s%s%s",
                          strcmp(s->place.folder, "/") ? s->place.folder : "", s->place.file, s->place.host,
                          strerror(error), *text ? ": " : "", text);
}

static void is_up(struct session *s)
{
    s->up = true;
    s->trying = s->first = false;
    s->down_since = 0;
    s->how = s->facts.writable ? NFS_WRITE : NFS_READ_ONLY;
}

static void send_kept(struct session *s);

static void kept_answered(int status, struct nfs_context *nfs, void *data, void *opaque)
{
    struct session *s = opaque;

    (void)nfs;
    (void)data;
    if (s->dropping)
        return;
    if (status < 0 || (uint64_t)status != s->replay->bytes) {
        s->lost = true;
        return;
    }
    s->replay = s->replay->next;
    send_kept(s);
}

static void send_kept(struct session *s)
{
    struct kept *k = s->replay;

    if (!k)
        is_up(s);
    else if (nfs_pwrite_async(s->nfs, s->file, k->offset, k->bytes, k->data, kept_answered, s) < 0)
        s->lost = true;
}

static void looked(int status, struct nfs_context *nfs, void *data, void *opaque)
{
    struct session *s = opaque;
    const struct nfs_stat_64 *st = data;

    if (s->dropping)
        return;
    if (status < 0) {
        note(s, -status, data ? data : nfs_get_error(nfs));
        return;
    }
    if (s->first && (st->nfs_mode & S_IFMT) != S_IFREG && (st->nfs_mode & S_IFMT) != 0) {
        note(s, EINVAL, "it is no regular file");
        return;
    }
    if (s->first)
        s->facts.inode = st->nfs_ino;
    if (s->facts.inode != st->nfs_ino) {
        s->lost = true; /* another file has its name by now: it is not written to */
        return;
    }
    s->replay = s->kept;
    send_kept(s);
}

static void opened(int status, struct nfs_context *nfs, void *data, void *opaque)
{
    struct session *s = opaque;
    bool refused = status == -EACCES || status == -EROFS || status == -EPERM;

    if (s->dropping)
        return;
    if (refused && s->how == NFS_WRITE_OR_READ) {
        s->how = NFS_READ_ONLY;
        s->facts.writable = false;
        if (nfs_open_async(nfs, s->place.file, O_RDONLY, opened, s) < 0)
            note(s, EIO, nfs_get_error(nfs));
        return;
    }
    if (status < 0) {
        note(s, -status, data ? data : nfs_get_error(nfs));
        return;
    }
    s->file = data;
    if (nfs_fstat64_async(nfs, s->file, looked, s) < 0)
        note(s, EIO, nfs_get_error(nfs));
}

static void mounted(int status, struct nfs_context *nfs, void *data, void *opaque)
{
    struct session *s = opaque;
    int how = s->how == NFS_READ_ONLY ? O_RDONLY : O_RDWR, ret;

    if (s->dropping)
        return;
    if (status < 0) {
        note(s, -status, data ? data : nfs_get_error(nfs));
        return;
    }
    if (s->how == NFS_CREATE)
        ret = nfs_open2_async(nfs, s->place.file, O_RDWR | O_CREAT | O_TRUNC, 0644, opened, s);
    else
        ret = nfs_open_async(nfs, s->place.file, how, opened, s);
    if (ret < 0)
        note(s, EIO, nfs_get_error(nfs));
}

/* What can be set by a URL alone, then what has functions. */
static struct nfs_context *new_context(const struct session *s)
{
    const struct nfs_place *p = &s->place;
    struct nfs_context *nfs = nfs_init_context();
    struct nfs_url *url;
    char text[128];
    int n = snprintf(text, sizeof(text), "nfs://h/?version=3");

    if (!nfs)
        return NULL;
    if (p->port != -1)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "&nfsport=%d", (int)p->port);
    if (p->mount_port != -1)
        snprintf(text + n, sizeof(text) - (size_t)n, "&mountport=%d", (int)p->mount_port);
    url = nfs_parse_url_incomplete(nfs, text);
    if (!url) {
        nfs_destroy_context(nfs);
        return NULL;
    }
    nfs_destroy_url(url);
    nfs_set_autoreconnect(nfs, 0);
    if (p->user != -1)
        nfs_set_uid(nfs, (int)p->user);
    if (p->group != -1)
        nfs_set_gid(nfs, (int)p->group);
    if (p->syn_count != -1)
        nfs_set_tcp_syncnt(nfs, (int)p->syn_count);
    if (p->debug != -1)
        nfs_set_debug(nfs, (int)p->debug);
    if (p->readahead > 0)
        nfs_set_readahead(nfs, (uint32_t)p->readahead);
    if (p->page_cache > 0)
        nfs_set_pagecache(nfs, (uint32_t)((p->page_cache + NFS_BLKSIZE - 1) / NFS_BLKSIZE));
    return nfs;
}

static void begin(struct session *s)
{
    s->trying = true;
    s->try_until = now() + patience_of_one(s);
    s->nfs = new_context(s);
    if (!s->nfs)
        note(s, ENOMEM, "libnfs does not start");
    else if (nfs_mount_async(s->nfs, s->place.host, s->place.folder, mounted, s) < 0)
        note(s, EIO, nfs_get_error(s->nfs));
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
    free(r->data);
    if (r->own) {
        s->committing = false;
        return;
    }
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

static void keep(struct session *s, struct request *r)
{
    struct kept *k = bp_alloc(sizeof(*k));

    *k = (struct kept){.offset = r->offset, .bytes = r->bytes, .seq = ++s->seq, .data = r->data};
    r->data = NULL;
    *s->kept_tail = k;
    s->kept_tail = &k->next;
    s->kept_bytes += k->bytes;
}

static void forget(struct session *s, uint64_t seq)
{
    while (s->kept && s->kept->seq <= seq) {
        struct kept *k = s->kept;

        s->kept = k->next;
        s->kept_bytes -= k->bytes;
        free(k->data);
        free(k);
    }
    if (!s->kept)
        s->kept_tail = &s->kept;
}

static void scatter(const struct request *r, const uint8_t *from, uint64_t bytes)
{
    uint64_t skip = r->moved;

    for (unsigned i = 0; i < r->iov_count && bytes > 0; i++) {
        uint64_t room = r->iov[i].iov_len, n;

        if (skip >= room) {
            skip -= room;
            continue;
        }
        n = room - skip < bytes ? room - skip : bytes;
        if (from)
            memcpy((uint8_t *)r->iov[i].iov_base + skip, from, (size_t)n);
        else
            memset((uint8_t *)r->iov[i].iov_base + skip, 0, (size_t)n);
        from = from ? from + n : NULL;
        bytes -= n;
        skip = 0;
    }
}

/* So many bytes of a read or write are done; the rest is asked for again. A read ends where the file does. */
static void moved(struct session *s, struct request *r, uint64_t n, const uint8_t *data)
{
    uint64_t left = r->bytes - r->moved;

    if (n > left || (n == 0 && r->op == REQUEST_WRITE)) {
        finish(s, r, -EIO);
        return;
    }
    if (r->op == REQUEST_READ)
        scatter(r, n ? data : NULL, n ? n : left);
    r->moved += n ? n : left;
    r->sent = false;
    if (r->moved < r->bytes)
        return;
    if (r->op == REQUEST_WRITE)
        keep(s, r);
    finish(s, r, 0);
}

/* Words of libnfs for what the connection did, not the server. */
static bool is_loss(int status)
{
    return status == -EFAULT || status == -EINTR || status == -ETIMEDOUT || status == -ECONNRESET;
}

static void answered(int status, struct nfs_context *nfs, void *data, void *opaque)
{
    struct request *r = opaque;
    struct session *s = r->session;
    const struct nfs_stat_64 *st = data;

    (void)nfs;
    if (s->dropping)
        return;
    if (is_loss(status)) {
        s->lost = true; /* and drop() takes it back */
        return;
    }
    if (status < 0) {
        finish(s, r, status);
        return;
    }
    if (r->op == REQUEST_READ || r->op == REQUEST_WRITE) {
        moved(s, r, (uint64_t)status, data);
        return;
    }
    if (r->op == REQUEST_FLUSH)
        forget(s, r->seq);
    if (r->op == REQUEST_STAT) {
        r->length = st->nfs_size;
        r->allocated = st->nfs_used;
    }
    finish(s, r, 0);
}

static int start(struct session *s, struct request *r)
{
    uint64_t at = r->offset + r->moved, left = r->bytes - r->moved;

    switch (r->op) {
    case REQUEST_READ: return nfs_pread_async(s->nfs, s->file, at, left, answered, r);
    case REQUEST_WRITE: return nfs_pwrite_async(s->nfs, s->file, at, left, r->data + r->moved, answered, r);
    case REQUEST_FLUSH:
        r->seq = s->seq;
        return nfs_fsync_async(s->nfs, s->file, answered, r);
    case REQUEST_RESIZE: return nfs_ftruncate_async(s->nfs, s->file, r->bytes, answered, r);
    case REQUEST_STAT: return nfs_fstat64_async(s->nfs, s->file, answered, r);
    }
    return -1;
}

static struct request *next_to_send(struct session *s)
{
    for (struct request *r = s->requests; r; r = r->next)
        if (!r->sent && (r->op != REQUEST_WRITE || s->kept_bytes < KEPT_MOST))
            return r;
    return NULL;
}

/* libnfs may answer on the spot: each is looked for anew. */
static void send_all(struct session *s)
{
    struct request *r;

    if (s->kept_bytes > KEPT_ENOUGH && !s->committing) {
        s->committing = true;
        s->commit = (struct request){.op = REQUEST_FLUSH, .session = s, .own = true};
        *s->requests_tail = &s->commit;
        s->requests_tail = &s->commit.next;
    }
    while (!s->lost && (r = next_to_send(s))) {
        r->sent = true;
        if (start(s, r) < 0)
            s->lost = true;
    }
}

/* Those that wait for longer than they may. */
static void expire(struct session *s)
{
    struct request *next;
    int64_t t = now();

    for (struct request *r = s->requests; r; r = r->next)
        s->lost |= r->until && t >= r->until && r->sent;
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

static void look_after_connection(struct session *s)
{
    int64_t t = now();

    if (s->nfs && !s->up && t >= s->try_until)
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
    if (!s->nfs && s->requests && t >= s->next_try)
        begin(s);
}

static void wait_and_serve(struct session *s)
{
    bool busy = s->requests || (s->nfs && !s->up);
    struct pollfd p[2] = {{s->kick, POLLIN, 0}, {-1, 0, 0}};
    uint64_t count;
    ssize_t n;

    if (s->nfs) {
        p[1].fd = nfs_get_fd(s->nfs);
        p[1].events = (short)nfs_which_events(s->nfs);
    }
    if (poll(p, 2, busy ? 100 : -1) < 0)
        return;
    if (p[0].revents) {
        n = read(s->kick, &count, sizeof(count));
        (void)n; /* it was to wake us */
    }
    if (s->nfs && nfs_service(s->nfs, p[1].fd >= 0 ? p[1].revents : 0) < 0)
        note(s, ECONNRESET, nfs_get_error(s->nfs));
}

static void closed(int status, struct nfs_context *nfs, void *data, void *opaque)
{
    (void)status;
    (void)nfs;
    (void)data;
    *(bool *)opaque = true;
}

/* So long as it is quick. */
static void leave(struct session *s)
{
    int64_t until = now() + SECOND;
    bool *done = calloc(1, sizeof(*done));
    struct nfsfh *file = s->file;

    if (done && s->up && !s->lost) {
        s->file = NULL;
        if (nfs_close_async(s->nfs, file, closed, done) < 0)
            *done = true;
        while (!*done && now() < until) {
            struct pollfd p = {nfs_get_fd(s->nfs), (short)nfs_which_events(s->nfs), 0};

            if (poll(&p, 1, 100) < 0 || nfs_service(s->nfs, p.revents) < 0)
                break;
        }
    }
    drop(s);
    free(done);
}

static void tell_opener(struct session *s)
{
    struct bp_co *opener;

    pthread_mutex_lock(&s->lock);
    s->opened = true;
    opener = s->opener;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (opener) {
        bp_co_wake(opener);
        bp_co_unref(opener);
    }
}

static void *run(void *opaque)
{
    struct session *s = opaque;

    s->first = true;
    begin(s);
    while (!s->up && !s->lost) {
        wait_and_serve(s);
        if (!s->up && now() >= s->try_until)
            note(s, ETIMEDOUT, "the server does not answer");
    }
    if (!s->up && s->open_ret == 0) /* it came up and broke at once */
        s->open_ret = bp_fail(&s->open_error, EIO, "nfs: the connection to %s breaks", s->place.host);
    tell_opener(s);
    while (take_incoming(s)) {
        if (s->open_ret < 0)
            fail_all(s);
        expire(s);
        look_after_connection(s);
        if (s->up)
            send_all(s);
        if (!s->lost)
            wait_and_serve(s);
    }
    fail_all(s);
    leave(s);
    forget(s, UINT64_MAX);
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

/* All of it in one piece, which stays when whoever wrote it goes on. */
static uint8_t *gathered(const struct request *r)
{
    uint8_t *data = malloc(r->bytes ? (size_t)r->bytes : 1), *to = data;

    for (unsigned i = 0; data && i < r->iov_count; i++) {
        memcpy(to, r->iov[i].iov_base, r->iov[i].iov_len);
        to += r->iov[i].iov_len;
    }
    return data;
}

int session_request(struct session *s, struct request *r)
{
    bool in_coroutine = block->may_wait();

    r->session = s;
    r->data = r->op == REQUEST_WRITE ? gathered(r) : NULL;
    if (r->op == REQUEST_WRITE && !r->data)
        return -ENOMEM;
    r->co = in_coroutine ? bp_co_ref(bp_co_current()) : NULL;
    if (s->place.timeout || !in_coroutine) /* who can do nothing else meanwhile does not wait for ever */
        r->until = now() + patience_of_one(s);
    pthread_mutex_lock(&s->lock);
    *s->incoming_tail = r;
    s->incoming_tail = &r->next;
    pthread_mutex_unlock(&s->lock);
    kick(s);
    wait_until(s, &r->done, in_coroutine);
    return r->ret;
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

int session_new(struct nfs_place *place, enum nfs_how how, struct session **ret_session, struct nfs_facts *ret_facts,
                struct bp_error *err)
{
    bool in_coroutine = block->may_wait();
    struct session *s = bp_alloc(sizeof(*s));
    int ret;

    *s = (struct session){.place = *place, .how = how, .facts = {.writable = how != NFS_READ_ONLY},
                          .kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    place_init(place);
    s->incoming_tail = &s->incoming;
    s->requests_tail = &s->requests;
    s->kept_tail = &s->kept;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    s->opener = in_coroutine ? bp_co_ref(bp_co_current()) : NULL;
    ret = s->kick < 0 ? errno : bp_thread_start(&s->thread, "nfs", run, s);
    if (ret != 0) {
        bp_co_unref(s->opener);
        release(s);
        return bp_fail(err, ret, "nfs: a thread for the connection does not start: %s", strerror(ret));
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
