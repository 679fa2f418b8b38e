/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The NBD server: exports, and clients that use them. All [main]. */
#ifndef BLOCK_NBD_SERVER_H
#define BLOCK_NBD_SERVER_H

#include "nbd.h"

enum { OPT_LIST = 3, OPT_INFO = 6, OPT_LIST_META = 9 };
#define REP_ERR_INVALID (REP_ERROR | 3u)
#define REP_ERR_TOO_BIG (REP_ERROR | 9u)
#define MAX_OPTION 16384u
#define MAX_BITMAPS 30u          /* of an export that clients may ask for */
#define MAX_BUSY 16u             /* requests of one client at a time */
#define MAX_BUSY_BYTES (64u << 20)
#define MAX_READY_BYTES (512u << 10) /* read, but not sent: beyond that no further requests are taken */
#define KEPT_BYTES (16u << 20)   /* of buffers that a client's next requests find */
#define ALL_KEPT_BYTES (64u << 20) /* of those of all clients */

/* Lives until it was removed and its last client has gone. */
struct export {
    struct export *next;
    char *id, *name, *description, *node_name;
    struct bp_block_node *node;
    struct bp_owner *owner;
    struct bp_blk *blk;
    bool writable, removed;
    bool depth;              /* clients may ask how deep in the chain data lies */
    char **bitmaps;          /* dirty ones that clients may ask for */
    unsigned bitmap_count;
    unsigned refs, clients;
};

/* A client; its coroutine goes on until the socket ends. */
struct client {
    struct client *next;
    struct nbd_wire wire;
    unsigned refs;
    bool structured, no_zeroes, closing;
    uint32_t contexts; /* bit i: the context with the number i was chosen */
    const struct export *contexts_of; /* only compared */
    bool chosen;   /* it has come to an export */
    int64_t until; /* ns of BP_CLOCK_REALTIME that its handshake has; 0: any time */
    struct export *export;
    struct bp_co *co;
    struct bp_co_mutex *sending;
    unsigned busy;
    uint64_t busy_bytes, ready_bytes;
    uint8_t *kept[MAX_BUSY]; /* buffers that were used before: memory that is warm */
    uint32_t kept_room[MAX_BUSY];
    uint64_t kept_bytes;     /* of all of them */
    unsigned kept_count;
    struct bp_co_queue *room;
    int pipe[2];             /* for what is spliced; under `sending` */
    uint32_t pipe_room;      /* bytes; 0: it is not open */
    bool no_pipe;            /* the host gives none that is of use */
};

/* A request. */
struct work {
    struct client *c;
    uint16_t flags, type;
    uint64_t cookie, offset;
    uint32_t bytes, room; /* room: of buf */
    uint32_t done;        /* bytes of a read that were sent already */
    uint8_t *buf;
};

extern struct export *nbd_exports;
/* Credentials that clients have to use, and the object that says who may; NULL: none. */
extern char *nbd_tls_creds, *nbd_tls_authz;
bool nbd_one_client(void); /* there is room for no other one */
struct export *export_find(const char *name);
void export_unref(struct export *e);

/* 1: an export was chosen; 0: the client has gone. */
int serve_handshake(struct client *c);
void serve_requests(struct client *c);

/* ---- serve.c, for contexts.c ---- */
int client_answer(struct client *c, uint32_t option, uint32_t type, const void *data, uint32_t length);
int client_refuse(struct client *c, uint32_t option, uint32_t type, const char *text);
int client_write(const struct client *c, const void *buf, size_t bytes);
/* Sent whole; what follows comes at once. */
int client_write_ahead(const struct client *c, const void *buf, size_t bytes);
void client_free_buffers(struct client *c);
int client_wait(const struct client *c, unsigned events);
void chunk_head(uint8_t *head, const struct work *w, bool last, unsigned type, uint32_t length);
/* The name at the beginning of an option's data; malloc'd, or NULL: it is not well-formed. */
char *option_name(const uint8_t *data, uint32_t length, uint32_t *ret_at);

/* ---- splice.c ---- */
/* Sends what the host's kernel can send by itself of a read, and counts it in w->done. */
void serve_spliced(struct work *w);
void client_close_pipe(struct client *c);

/* ---- contexts.c: base:allocation, qemu:allocation-depth, qemu:dirty-bitmap:NAME ---- */
int serve_meta(struct client *c, uint32_t option, const uint8_t *data, uint32_t length);
/* Sends a chunk for each context that was chosen; -errno: none of them was sent. */
int serve_status(struct client *c, uint64_t cookie, uint16_t flags, uint64_t offset, uint32_t bytes);

#endif
