/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The client of the NBD protocol (its public specification, doc/proto.md): what the files of the module share. A
 * connection is worked on in the main context only; requests of other contexts come over there.
 */
#ifndef BLOCK_NBD_H
#define BLOCK_NBD_H

#include <stdbool.h>
#include <stdint.h>

#include <bp/coroutine.h>
#include <bp/host/block.h>

#include "wire.h"

extern const struct bp_block_interface *block;

#define NBD_MAGIC UINT64_C(0x4e42444d41474943)
#define NBD_OPTION UINT64_C(0x49484156454f5054)
#define NBD_OLD UINT64_C(0x00420281861253)
#define NBD_OPTION_REPLY UINT64_C(0x0003e889045565a9)
#define NBD_REQUEST 0x25609513u
#define NBD_SIMPLE 0x67446698u
#define NBD_STRUCTURED 0x668e33efu
#define NBD_DEFAULT_PORT "10809"

enum { FLAG_FIXED = 1, FLAG_NO_ZEROES = 2 };
enum { OPT_EXPORT_NAME = 1, OPT_ABORT = 2, OPT_STARTTLS = 5, OPT_GO = 7, OPT_STRUCTURED = 8, OPT_SET_META = 10 };
enum { REP_ACK = 1, REP_SERVER = 2, REP_INFO = 3, REP_META = 4 };
#define REP_ERROR (1u << 31)
#define REP_ERR_UNSUP (REP_ERROR | 1u)
#define REP_ERR_POLICY (REP_ERROR | 2u)
#define REP_ERR_TLS (REP_ERROR | 5u)
#define REP_ERR_UNKNOWN (REP_ERROR | 6u)
enum { INFO_EXPORT = 0, INFO_BLOCK_SIZE = 3 };
enum { HAS_FLAGS = 1, HAS_READ_ONLY = 2, HAS_FLUSH = 4, HAS_FUA = 8, HAS_TRIM = 32, HAS_ZEROES = 64, HAS_DF = 128,
       HAS_MULTI = 256, HAS_FAST_ZERO = 2048 };
enum { CMD_READ = 0, CMD_WRITE = 1, CMD_DISC = 2, CMD_FLUSH = 3, CMD_TRIM = 4, CMD_ZEROES = 6, CMD_STATUS = 7 };
enum { CMD_FUA = 1, CMD_NO_HOLE = 2, CMD_DF = 4, CMD_REQ_ONE = 8, CMD_FAST_ZERO = 16 };
enum { CHUNK_NONE = 0, CHUNK_DATA = 1, CHUNK_HOLE = 2, CHUNK_STATUS = 5 };
#define CHUNK_ERROR (1u << 15)
enum { CHUNK_DONE = 1 };
enum { STATE_HOLE = 1, STATE_ZERO = 2 };

#define MAX_OPTION_REPLY 65536u
#define MAX_CHUNK_TEXT 65536u
#define MAX_RANGES 32u
#define MAX_NBD_REQUEST (32u << 20)

/* Where the server is, and which export. Strings malloc'd. */
struct nbd_place {
    char *host, *port; /* TCP */
    char *path;        /* or a unix socket */
    char *export;
    char *creds, *name; /* TLS: id of its credentials, or NULL; whose certificate is wanted, or NULL: host's */
};

/* What server and export can do. */
struct nbd_facts {
    uint64_t size;
    uint16_t flags;
    uint32_t least, most; /* bytes of a request; 0: not said */
    bool structured, has_status;
    uint32_t context; /* id of base:allocation */
};

struct nbd_range {
    uint64_t start, end;
};

struct nbd_request {
    struct nbd_request *next;     /* to be sent */
    struct nbd_request *next_busy, **link_busy; /* sent, not answered */
    uint64_t cookie, offset;
    uint32_t bytes;
    uint16_t type, flags;
    const struct iovec *iov;
    unsigned iov_count;
    uint8_t head[28];
    uint64_t sent;       /* of the head and what it carries */
    struct nbd_range ranges[MAX_RANGES]; /* of a read, that came; in order, apart */
    unsigned range_count;
    uint32_t state, state_bytes; /* block status: the first extent */
    int error;
    bool done, linked;
    struct bp_co *co; /* waits; NULL: it polls */
};

/* Lives until its node is closed and its coroutine has ended. [main] */
struct conn {
    unsigned refs;
    struct nbd_wire wire;
    int out;     /* another descriptor of the same socket; -1: not connected */
    bool closing, failing; /* failing: longer gone than reconnect-delay */
    struct nbd_place place;
    struct nbd_facts facts;
    struct nbd_request *queue, **queue_tail, *busy;
    uint64_t cookie;
    uint64_t delay;
    struct bp_co *reader;
    bool sending; /* a coroutine waits until it can send */
    bool more;    /* others had their turn before all that is there was read */
    /* The answer that is being read. */
    uint8_t head[20], *text;
    size_t head_got, head_wants, text_got;
    uint32_t left; /* of the chunk */
    struct nbd_request *into;
    uint16_t chunk, chunk_flags;
    uint64_t chunk_at;
    enum { HEAD, PLACE, DATA, TEXT } reading;
};

/* ---- conn.c ---- */
void conn_unref(struct conn *c);
int conn_set_up(struct conn *c, struct nbd_wire wire); /* one that has come to the export */
void conn_read_answers(void *opaque);    /* its coroutine, until it is closing. [co] */
/* In any context; 0 or -errno. [co] */
int conn_request(struct conn *c, struct nbd_request *r);

/* ---- place.c ---- */
/* Names as in -drive file=: nbd://host:port/export, nbd+unix:///export?socket=path, nbd:host:port:exportname=x. */
int place_of_name(const char *name, struct nbd_place *place, struct bp_error *err);
int place_of_server(struct bp_value *server, struct nbd_place *place, struct bp_error *err);
void place_free(struct nbd_place *place);
char *place_name(const struct nbd_place *place); /* as a URI, malloc'd */

/* ---- handshake.c ---- */
/* Connects and comes to an export. 0 or -errno. May block when it may not wait. [co] */
int nbd_connect(const struct nbd_place *place, struct nbd_wire *ret_wire, struct nbd_facts *facts,
                struct bp_error *err);

static inline uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static inline uint64_t get64(const uint8_t *p)
{
    return (uint64_t)get32(p) << 32 | get32(p + 4);
}

static inline void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v & 0xffff);
}

static inline void put64(uint8_t *p, uint64_t v)
{
    put32(p, (uint32_t)(v >> 32));
    put32(p + 4, (uint32_t)v);
}

#endif
