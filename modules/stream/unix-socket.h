/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A UNIX socket in the file system that a server listens on. */
#ifndef STREAM_UNIX_SOCKET_H
#define STREAM_UNIX_SOCKET_H

#include <sys/types.h>
#include <sys/un.h>

#include <bp/error.h>

struct unix_socket {
    int folder; /* that it stands in, as a descriptor: the process may change its directory or root */
    char *name; /* in there; NULL: there is none */
    dev_t dev;
    ino_t ino;
};

/* -ENAMETOOLONG in words. */
int unix_socket_address(const char *path, struct sockaddr_un *ret_address, struct bp_error *err);
/* Listens there; returns the descriptor (non-blocking). A socket that nobody serves any more makes way; one that is
 * served, and any other kind of file, is an error. */
int unix_socket_listen(struct unix_socket *s, const char *path, struct bp_error *err);
/* Takes it out of the file system, unless something else stands there by now. The descriptor is the caller's. */
void unix_socket_remove(struct unix_socket *s);

#endif
