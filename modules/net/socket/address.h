/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses of sockets as keys of netdevs: addr.type=inet,addr.host=...; for stream, dgram and socket. [main] */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include <bp/error.h>
#include <bp/schema.h>
#include <bp/value.h>

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
};

#define PLACE_OTHERS 7u

struct place {
    int family; /* AF_INET, AF_INET6, AF_UNIX; -1: `fd` */
    union address address;
    socklen_t length;
    struct {
        int family;
        union address address;
        socklen_t length;
    } other[PLACE_OTHERS]; /* that a name has beside the first */
    unsigned others;
    int fd;
    unsigned last_port; /* to=: the last one to try; 0: only the one */
    bool keep_alive, mptcp;
    bool bound; /* place_bound() saw its file: */
    dev_t dev;
    ino_t ino;
};

#define PLACE_LISTENS 1u  /* it will be bound to, not connected to */
#define PLACE_DATAGRAM 2u

/* `key` and `netdev` for messages. Names are looked up. Errors: -EINVAL. A descriptor is the caller's to close. */
int place_read(const char *netdev, const char *key, struct bp_value *dict, unsigned flags,
               struct place *ret, struct bp_error *err);
/* "HOST:PORT", HOST may be missing: any (or this host, where it is connected to). */
int place_parse(const char *netdev, const char *key, const char *text, unsigned flags, struct place *ret,
                struct bp_error *err);
/* Takes number `n` of the others in place of the address, which takes its place. */
void place_swap(struct place *place, unsigned n);
bool place_multicast(const struct place *place);
/*
 * Before bind() at a path: a socket that an earlier process left is taken away. Errors: -EADDRINUSE where somebody
 * serves it. Another kind of file stays, and bind() tells.
 */
int place_make_way(const struct place *place, struct bp_error *err);
/* After bind(): remembers which file it is. */
void place_bound(struct place *place);
/* The file goes, if it is still ours. */
void place_unbind(struct place *place);
/* malloc'd: "127.0.0.1:1234", "/tmp/x" */
char *place_text(const struct place *place);
/* A number, or a name of getfd. */
int place_fd(const char *netdev, const char *key, const char *text, int *ret_fd, struct bp_error *err);

extern const struct bp_schema place_schema;

#endif
