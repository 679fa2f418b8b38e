/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Images on NFS servers (RFC 1813) through libnfs: what the files of the module share. A session has a thread
 * of its own, and only that thread calls libnfs with the session's context.
 */
#ifndef BLOCK_NFS_H
#define BLOCK_NFS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <nfsc/libnfs.h>

#include <bp/coroutine.h>
#include <bp/host/block.h>

extern const struct bp_block_interface *block;

#define NFS_MAX_REQUEST (1u << 20)      /* bytes of a read or write */
#define NFS_MAX_READAHEAD (1u << 20)    /* bytes */
#define NFS_MAX_PAGE_CACHE (64u << 20)  /* bytes */
#define NFS_MAX_TIMEOUT 86400u          /* seconds */

/* Where a file is, and as whom it is asked for. Strings malloc'd. Numbers that are -1 are left to libnfs. */
struct nfs_place {
    char *host;   /* name or address */
    char *folder; /* what is mounted: begins with '/' */
    char *file;   /* in it: '/' and a name */
    int64_t port, mount_port; /* 1 to 65535; not given: the server's port mapper is asked */
    int64_t version;          /* of the protocol; 3 */
    int64_t user, group;
    int64_t syn_count;
    int64_t readahead, page_cache; /* bytes */
    int64_t debug;                 /* 0 to 9 */
    uint64_t timeout;              /* seconds of a request; 0: any time */
};

enum nfs_how { NFS_READ_ONLY, NFS_WRITE, NFS_WRITE_OR_READ, NFS_CREATE };

/* What is known of the file when it is opened. */
struct nfs_facts {
    bool writable;
    uint64_t inode;
};

enum request_op { REQUEST_READ, REQUEST_WRITE, REQUEST_FLUSH, REQUEST_RESIZE, REQUEST_STAT };

/* Lives on the stack of who waits for it. */
struct request {
    enum request_op op;
    uint64_t offset, bytes; /* RESIZE: `bytes` is the new length */
    const struct iovec *iov;
    unsigned iov_count;
    uint64_t length, allocated; /* STAT: bytes of the file, and those that it takes on the server */
    /* The session's. */
    struct request *next;
    struct session *session;
    uint8_t *data;  /* WRITE: all of it, malloc'd */
    uint64_t moved; /* bytes that are done */
    uint64_t seq;   /* FLUSH: writes up to this one are on stable storage afterwards */
    struct bp_co *co; /* NULL: a thread waits */
    int64_t until;    /* ns of BP_CLOCK_REALTIME; 0: any time */
    bool sent, done, own;
    int ret;
};

struct session;

/* ---- place.c ---- */
void place_init(struct nfs_place *p);
void place_free(struct nfs_place *p); /* what it points to */
/* nfs://HOST[:PORT]/FOLDER/FILE[?KEY=NUMBER[&...]] */
int place_of_name(const char *name, struct nfs_place *p, struct bp_error *err);
/* {"type": "inet", "host": HOST}; may also have "port". */
int place_set_server(struct bp_value *server, struct nfs_place *p, struct bp_error *err);
int place_set_path(const char *path, struct nfs_place *p, struct bp_error *err);
/* Names and numbers that libnfs is not to be asked with are refused. */
int place_check(const struct nfs_place *p, struct bp_error *err);
char *place_name(const struct nfs_place *p); /* a URL; malloc'd */

/* ---- session.c ---- */
/* Mounts the folder and opens (or makes, empty) the file, or says what went wrong. `place` becomes the session's in any
 * case. [co] */
int session_new(struct nfs_place *place, enum nfs_how how, struct session **ret_session, struct nfs_facts *ret_facts,
                struct bp_error *err);
void session_free(struct session *s); /* nothing is under way. [co] */
/* 0 or -errno. In any context. [co] */
int session_request(struct session *s, struct request *r);

#endif
