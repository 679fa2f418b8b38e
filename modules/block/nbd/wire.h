/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A connection of either end: its socket, or TLS on that. One thread at a time. */
#ifndef BLOCK_NBD_WIRE_H
#define BLOCK_NBD_WIRE_H

#include <sys/uio.h>

#include <bp/host/tls.h>

struct nbd_wire {
    int fd; /* -1: none */
    const struct bp_tls_ops *ops;
    struct bp_tls_session *tls; /* NULL: in the clear */
};

/* Bytes; 0: the peer has ended it; or -errno, -EAGAIN among them. With TLS, bytes that are decrypted already make
 * no descriptor readable: -EAGAIN alone says that there are no more. */
ssize_t wire_readv(const struct nbd_wire *w, const struct iovec *iov, unsigned count);
/* After -EAGAIN the same bytes come again; more may follow them. */
ssize_t wire_writev(const struct nbd_wire *w, const struct iovec *iov, unsigned count);
/* Without TLS: as wire_writev, but it may be kept back until what follows it is sent. */
ssize_t wire_write_ahead(const struct nbd_wire *w, const void *buf, size_t bytes);
/* Without TLS: bytes of a pipe. */
ssize_t wire_splice(const struct nbd_wire *w, int pipe, size_t bytes);
/* The handshake. `host`: whom a client wants, or NULL; wait(opaque, events) waits for the socket: 0 or -errno. */
int wire_secure(struct nbd_wire *w, const char *creds, bool server, const char *host,
                int (*wait)(void *opaque, unsigned events), void *opaque, struct bp_error *err);
void wire_close(struct nbd_wire *w); /* sends nothing */

#endif
