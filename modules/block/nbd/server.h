/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The NBD server: exports, and clients that use them. All [main]. */
#ifndef BLOCK_NBD_SERVER_H
#define BLOCK_NBD_SERVER_H

#include "nbd.h"

enum { OPT_LIST = 3, OPT_INFO = 6, OPT_LIST_META = 9 };
#define REP_ERR_INVALID (REP_ERROR | 3u)
#define REP_ERR_TOO_BIG (REP_ERROR | 9u)
#define MAX_OPTION 16384u
#define MAX_BUSY 16u             /* requests of one client at a time */
#define MAX_BUSY_BYTES (64u << 20)

/* Lives until it was removed and its last client has gone. */
struct export {
    struct export *next;
    char *id, *name, *description, *node_name;
    struct bp_block_node *node;
    struct bp_owner *owner;
    struct bp_blk *blk;
    bool writable, removed;
    unsigned refs, clients;
};

/* A client; its coroutine goes on until the socket ends. */
struct client {
    struct client *next;
    struct nbd_wire wire;
    unsigned refs;
    bool structured, status, no_zeroes, closing;
    bool chosen;   /* it has come to an export */
    int64_t until; /* ns of BP_CLOCK_REALTIME that its handshake has; 0: any time */
    struct export *export;
    struct bp_co *co;
    struct bp_co_mutex *sending;
    unsigned busy;
    uint64_t busy_bytes;
    struct bp_co_queue *room;
};

extern struct export *nbd_exports;
/* Credentials that clients have to use, and the object that says who may; NULL: none. */
extern char *nbd_tls_creds, *nbd_tls_authz;
struct export *export_find(const char *name);
void export_unref(struct export *e);

/* 1: an export was chosen; 0: the client has gone. */
int serve_handshake(struct client *c);
void serve_requests(struct client *c);

#endif
