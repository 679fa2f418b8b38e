/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TCP sockets that a server listens on. */
#ifndef STREAM_TCP_SOCKET_H
#define STREAM_TCP_SOCKET_H

#include <netdb.h>

#include <bp/error.h>

#define TCP_LISTENERS 8u

/* Addresses of a name (NULL or "": any), for getaddrinfo()'s list; family: AF_UNSPEC, AF_INET or AF_INET6; flags: AI_*.
 * -ENOENT in words. The caller frees the list. */
int tcp_look_up(const char *host, unsigned port, int family, int flags, struct addrinfo **ret_list,
                struct bp_error *err);
/* Listens at all addresses of a name, at each with a descriptor of its own (non-blocking): IPv6 takes no IPv4. A family
 * that the host does not have is left out. Returns how many there are; -EADDRINUSE: another port may be free. */
int tcp_listen(const char *host, unsigned port, int family, int fds[TCP_LISTENERS], struct bp_error *err);

#endif
