/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks of iSCSI targets (RFC 7143, SBC-3) through libiscsi: what the files of the module share. A session has a
 * thread of its own, and only that thread calls libiscsi with the session's context.
 */
#ifndef BLOCK_ISCSI_H
#define BLOCK_ISCSI_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include <bp/coroutine.h>
#include <bp/host/block.h>

extern const struct bp_block_interface *block;
extern const struct bp_secret_interface *secret;

/* Whom to ask, and as whom. Strings malloc'd; user and password are NULL without CHAP. */
struct iscsi_place {
    char *portal, *target, *user, *password, *initiator;
    int lun;
    enum iscsi_header_digest digest;
    unsigned timeout; /* seconds of a request; 0: any time */
};

/* What a logical unit is and can do. */
struct iscsi_facts {
    uint64_t blocks;
    uint32_t block_size;
    uint32_t physical_block;
    bool optical;     /* a CD-ROM or DVD drive */
    bool write_protected;
    bool fua;         /* writes that end on stable storage */
    bool short_commands; /* READ(10) and its like */
    bool thin;        /* it can forget blocks */
    bool zero_unmapped; /* what was forgotten reads as zeroes */
    bool unmap, same_unmap; /* UNMAP; WRITE SAME(16) with its unmap bit */
    uint64_t max_transfer, max_unmap, max_same; /* blocks; 0: not said */
    uint32_t unmap_granularity;                 /* blocks; at least 1 */
};

enum request_op { REQUEST_READ, REQUEST_WRITE, REQUEST_FLUSH, REQUEST_UNMAP, REQUEST_ZEROES, REQUEST_STATUS };

/* Lives on the stack of who waits for it. */
struct request {
    enum request_op op;
    bool fua, may_unmap;
    uint64_t lba, count; /* blocks */
    const struct iovec *iov;
    unsigned iov_count;
    uint64_t mapped_count; /* STATUS: so many blocks, at most `count`, */
    bool unmapped;         /* are like this */
    /* The session's. */
    struct request *next;
    struct session *session;
    struct scsi_task *task; /* or NULL: not sent */
    struct unmap_list list;
    struct bp_co *co; /* NULL: a thread waits */
    int64_t until;    /* ns of BP_CLOCK_REALTIME; 0: any time */
    int64_t not_before;
    unsigned tries;
    bool done;
    int ret;
};

struct session;

/* ---- session.c ---- */
void place_free(struct iscsi_place *place); /* what it points to */
/* Logs in and finds out what the unit is, or says what went wrong. `place` becomes the session's in any case. [co] */
int session_new(struct iscsi_place *place, struct session **ret_session, struct iscsi_facts *ret_facts,
                struct bp_error *err);
void session_free(struct session *s); /* nothing is under way. [co] */
/* 0 or -errno; -ENOTSUP: the unit does not know the command. In any context. [co] */
int session_request(struct session *s, struct request *r);

/* ---- facts.c ---- */
/* On the session's thread, logged in: asks the unit. */
int facts_ask(struct iscsi_context *iscsi, int lun, struct iscsi_facts *facts, struct bp_error *err);

/* ---- settings.c ---- */
extern const struct bp_option iscsi_option;
/* What -iscsi says for this target (or for all): fills in what `place` has not. `initiator` gets its default. */
int settings_apply(struct iscsi_place *place, bool digest_given, bool timeout_given, struct bp_error *err);
int digest_of_name(const char *name, enum iscsi_header_digest *ret, struct bp_error *err);
int password_of_secret(const char *id, char **ret_password, struct bp_error *err);
void settings_free(void);

#endif
