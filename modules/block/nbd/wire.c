/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A connection in the clear, or secured with credentials of bp/host/tls.h. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

ssize_t wire_readv(const struct nbd_wire *w, const struct iovec *iov, unsigned count)
{
    ssize_t n;

    if (w->tls)
        return w->ops->read(w->tls, iov->iov_base, iov->iov_len);
    do
        n = readv(w->fd, iov, (int)count);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* A head and what it carries are one record, not two. */
static ssize_t write_record(const struct nbd_wire *w, const struct iovec *iov, unsigned count)
{
    uint8_t record[BP_TLS_RECORD];
    size_t n = 0;

    if (count == 1 || iov->iov_len >= sizeof(record))
        return w->ops->write(w->tls, iov->iov_base, iov->iov_len);
    for (unsigned i = 0; i < count && n < sizeof(record); i++) {
        size_t part = iov[i].iov_len < sizeof(record) - n ? iov[i].iov_len : sizeof(record) - n;

        memcpy(record + n, iov[i].iov_base, part);
        n += part;
    }
    return w->ops->write(w->tls, record, n);
}

ssize_t wire_writev(const struct nbd_wire *w, const struct iovec *iov, unsigned count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = count};
    ssize_t n;

    if (w->tls)
        return write_record(w, iov, count);
    do
        n = sendmsg(w->fd, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

ssize_t wire_write_ahead(const struct nbd_wire *w, const void *buf, size_t bytes)
{
    ssize_t n;

    do
        n = send(w->fd, buf, bytes, MSG_NOSIGNAL | MSG_MORE);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

ssize_t wire_splice(const struct nbd_wire *w, int pipe, size_t bytes)
{
    ssize_t n;

    do /* a signal of a connection that has ended is ignored by the program */
        n = splice(pipe, NULL, w->fd, NULL, bytes, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int wire_secure(struct nbd_wire *w, const char *creds, bool server, const char *host,
                int (*wait)(void *opaque, unsigned events), void *opaque, struct bp_error *err)
{
    struct bp_tls_session *session;
    struct bp_object *obj;
    int ret = bp_tls_find(creds, server, &w->ops, &obj, err);

    if (ret == 0)
        ret = w->ops->session_new(obj, server, host, w->fd, &session, err);
    if (ret < 0)
        return ret;
    while ((ret = w->ops->handshake(session, err)) == -EAGAIN) {
        ret = wait(opaque, w->ops->wants(session));
        if (ret < 0) {
            w->ops->session_free(session);
            return bp_fail(err, -ret, "TLS handshake failed: %s", strerror(-ret));
        }
    }
    if (ret < 0)
        w->ops->session_free(session);
    else
        w->tls = session;
    return ret;
}

void wire_close(struct nbd_wire *w)
{
    if (w->tls)
        w->ops->session_free(w->tls);
    w->tls = NULL;
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}
