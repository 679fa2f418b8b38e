// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Messages of the vhost-user protocol over a UNIX socket: a header of three words in the host's order, a payload,
 * descriptors beside it. Only answers are read; a peer that says something else is disconnected by the caller.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "vhost.h"

#define VERSION 1u
#define IS_REPLY 4u
#define NEEDS_REPLY 8u
#define PATIENCE_NS INT64_C(10000000000)

static int wait_for(struct bp_vhost_user *peer, unsigned events)
{
    int r = bp_co_wait_fd(peer->fd, events, PATIENCE_NS);

    return r < 0 ? r : peer->lost ? -ECONNRESET : 0;
}

static ssize_t send_some(int fd, const uint8_t *bytes, size_t size, const int *fds, unsigned fd_count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(MAX_REGIONS * sizeof(int))];
    } control = {0};
    struct iovec vector = {(void *)(uintptr_t)bytes, size};
    struct msghdr msg = {.msg_iov = &vector, .msg_iovlen = 1};

    if (fd_count) {
        struct cmsghdr *c;

        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
    }
    return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int send_message(struct bp_vhost_user *peer, struct message *m, const int *fds, unsigned fd_count)
{
    const uint8_t *bytes = (const uint8_t *)m;
    size_t size = HEADER_BYTES + m->size, done = 0;

    while (done < size) {
        ssize_t n;

        if (peer->lost || peer->fd < 0)
            return -ECONNRESET;
        n = send_some(peer->fd, bytes + done, size - done, fds, done ? 0 : fd_count);
        if (n > 0) {
            done += (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            int r = wait_for(peer, BP_WATCH_OUT);

            if (r < 0)
                return r;
        } else if (errno != EINTR) {
            return -ECONNRESET;
        }
    }
    return 0;
}

int message_send(struct bp_vhost_user *peer, struct message *m, const int *fds, unsigned fd_count)
{
    m->flags = VERSION;
    return send_message(peer, m, fds, fd_count);
}

static int receive(struct bp_vhost_user *peer, void *buf, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n;

        if (peer->lost || peer->fd < 0)
            return -ECONNRESET;
        /* Without room for descriptors: what comes is closed by the kernel. */
        n = recv(peer->fd, (uint8_t *)buf + done, size - done, MSG_DONTWAIT);
        if (n > 0) {
            done += (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            int r = wait_for(peer, BP_WATCH_IN);

            if (r < 0)
                return r;
        } else if (n == 0 || errno != EINTR) {
            return -ECONNRESET;
        }
    }
    return 0;
}

static int answer(struct bp_vhost_user *peer, struct message *m, uint32_t size)
{
    uint32_t request = m->request;
    int r = receive(peer, m, HEADER_BYTES);

    if (r < 0)
        return r;
    if (m->request != request || (m->flags & (3u | IS_REPLY)) != (VERSION | IS_REPLY) || m->size != size)
        return -EPROTO;
    return receive(peer, m->bytes, size);
}

int message_log_answer(struct bp_vhost_user *peer)
{
    struct message m;
    int r = receive(peer, &m, HEADER_BYTES);

    if (r < 0)
        return r;
    if (m.request != SET_LOG_BASE || (m.flags & (3u | IS_REPLY)) != (VERSION | IS_REPLY) || m.size > sizeof(m.log))
        return -EPROTO;
    return receive(peer, m.bytes, m.size);
}

int message_ask(struct bp_vhost_user *peer, struct message *m, uint32_t size)
{
    int r = message_send(peer, m, NULL, 0);

    return r < 0 ? r : answer(peer, m, size);
}

int message_send_acked(struct bp_vhost_user *peer, struct message *m, const int *fds, unsigned fd_count)
{
    bool acked = peer->protocol >> P_REPLY_ACK & 1;
    int r;

    m->flags = VERSION | (acked ? NEEDS_REPLY : 0);
    r = send_message(peer, m, fds, fd_count);
    if (r < 0 || !acked)
        return r;
    r = answer(peer, m, sizeof(m->value));
    return r < 0 ? r : m->value ? -EREMOTEIO : 0;
}

int message_send_u64(struct bp_vhost_user *peer, uint32_t request, uint64_t value)
{
    struct message m = {.request = request, .size = sizeof(m.value), .value = value};

    return message_send(peer, &m, NULL, 0);
}

int message_send_state(struct bp_vhost_user *peer, uint32_t request, uint32_t index, uint32_t number)
{
    struct message m = {.request = request, .size = sizeof(m.state), .state = {index, number}};

    return message_send(peer, &m, NULL, 0);
}

int message_send_fd(struct bp_vhost_user *peer, uint32_t request, uint32_t index, int fd)
{
    struct message m = {.request = request, .size = sizeof(m.value), .value = index};

    return message_send(peer, &m, &fd, 1);
}

int message_ask_u64(struct bp_vhost_user *peer, uint32_t request, uint64_t *ret_value)
{
    struct message m = {.request = request, .size = 0};
    int r = message_ask(peer, &m, sizeof(m.value));

    if (r == 0)
        *ret_value = m.value;
    return r;
}
