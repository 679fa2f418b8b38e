/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Images in the format qcow2 (its public specification, versions 2 and 3): what the files of the module share.
 *
 * Guest clusters are found by two levels of tables (L1, L2); each cluster of the file has a reference count. A
 * request first locks the clusters that it touches (range.c), shared where nothing moves, alone where clusters are
 * allocated, zeroed or given back; the tables are looked at and changed under `lock`, for a short time. Data is
 * moved without it.
 */
#ifndef QCOW2_H
#define QCOW2_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <bp/coroutine.h>
#include <bp/host/block.h>

#include "bytes.h"
#include "meta.h"

extern const struct bp_block_interface *block;

#define MAGIC 0x514649fbu
#define MIN_CLUSTER_BITS 9u
#define MAX_CLUSTER_BITS 21u
#define MAX_L1 (32u << 20) /* bytes */
#define MAX_REFTABLE (8u << 20)
#define MAX_SNAPSHOTS 65536u
#define MAX_SNAPSHOT_TABLE (64u << 20)
#define MAX_NAME 1023u
#define MAX_LUKS (64u << 20) /* bytes of its header */
#define CRYPT_LUKS 2u

#define COPIED (UINT64_C(1) << 63)
#define COMPRESSED (UINT64_C(1) << 62)
#define ZERO UINT64_C(1)
#define OFFSET_MASK UINT64_C(0x00fffffffffffe00)

#define INCOMPAT_DIRTY 1u
#define INCOMPAT_CORRUPT 2u
#define INCOMPAT_DATA_FILE 4u
#define INCOMPAT_COMPRESSION 8u
#define INCOMPAT_EXTENDED_L2 16u
#define COMPAT_LAZY 1u
#define AUTOCLEAR_BITMAPS 1u
#define AUTOCLEAR_RAW_DATA 2u

#define EXT_END 0u
#define EXT_BACKING_FORMAT 0xe2792acau
#define EXT_FEATURES 0x6803f857u
#define EXT_BITMAPS 0x23852875u
#define EXT_LUKS 0x0537be77u
#define EXT_DATA_FILE 0x44415441u

enum cluster_type { UNALLOCATED, ZERO_PLAIN, ZERO_ALLOCATED, NORMAL, PACKED };

/* A header extension that is kept as it is. */
struct extension {
    struct extension *next;
    uint32_t type, length;
    uint8_t data[];
};

struct snapshot {
    char *id, *name;
    uint64_t l1_offset, vm_clock_ns, vm_state_size, disk_size, icount;
    uint32_t l1_size, seconds, nanoseconds;
    uint32_t extra_size;
    uint8_t *extra; /* as it stands in the file */
};

/* Clusters that a request works on. */
struct range {
    struct range *next, **link;
    uint64_t first, last;
    bool alone;
    struct bp_co *waits; /* for others that came before; NULL: it works */
    bool again;          /* atomic: one of them may have ended */
};

/* References that go when the tables that held them are safely gone. */
struct freed {
    struct freed *next;
    uint64_t offset, clusters;
    bool discard; /* the file below may give the room back */
};

#define PACK_TAILS 8

struct qcow {
    /* Keys. */
    bool repair, no_unref, discard_requests, discard_snapshot, discard_other;
    int lazy; /* on, off, auto */
    uint64_t cache_size, l2_cache_size, refcount_cache_size, l2_entry_size;
    uint32_t clean_interval; /* seconds; 0: nothing is dropped by the clock */
    struct bp_value *overlap_choice; /* of overlap-check; NULL: not given */
    char *data_file_name;
    struct bp_value *encrypt; /* or NULL */
    bool facts_only;          /* no data is read or written: the password is not needed */

    struct bp_block_node *node;
    struct bp_block_child *file, *data; /* `data` is `file` when the image has no data file */
    struct bp_block_child *backing;     /* or NULL */

    unsigned version, cluster_bits, refcount_order;
    uint32_t cluster, header_length;
    uint64_t size, incompat, compat, autoclear;
    uint8_t compression; /* 0: zlib, 1: zstd */
    uint64_t l1_offset, reftable_offset, snapshots_offset;
    uint32_t l1_size, reftable_clusters, snapshot_count;
    uint64_t *l1, *reftable;
    char *backing_file, *backing_format, *data_file; /* as stored, or NULL */
    struct extension *extensions;
    struct snapshot *snapshots;
    uint64_t snapshots_bytes; /* of their table, as it lies in the file */
    uint64_t reftable_used;   /* entries of the refcount table that may be in use */
    uint32_t overlap;         /* OVERLAP_*: tables that writes are compared with */

    unsigned l2_bits;  /* entries of an L2 table, as a power of two */
    unsigned entry;    /* bytes of one */
    unsigned subs;     /* subclusters of a cluster: 1 or 32 */
    uint32_t sub;      /* bytes of one */
    unsigned ref_bits; /* counts in a refcount block, as a power of two */

    struct bp_co_mutex *lock; /* of all below, and of the tables */
    struct meta meta;
    struct bp_timer *clean_timer; /* of cache-clean-interval, or NULL; main context */
    pthread_mutex_t range_lock; /* of the list of ranges: oldest first */
    struct range *ranges, **range_tail;
    struct freed *freed, *freed_last;
    uint64_t hint;   /* number of the first cluster that may be free */
    uint64_t virgin; /* clusters from this number on read as zeroes: behind the end of the file, and never in use */
    uint64_t tails[PACK_TAILS]; /* where compressed clusters ended in clusters that have room left; 0: nowhere */
    bool bitmaps_kept;  /* the image has bitmaps, which say that they are in use: they are stored at the end */
    struct crypt *crypt; /* NULL: data lies there as it is */
    uint64_t luks_offset, luks_bytes; /* of the encryption's header; 0: it is not encrypted */
    bool marked;     /* the image says that it is being written to */
    bool read_only, read_only_next;
};

static inline uint64_t down(uint64_t v, uint64_t to)
{
    return v & ~(to - 1);
}

static inline uint64_t up(uint64_t v, uint64_t to)
{
    return down(v + to - 1, to);
}

static inline bool has_data_file(const struct qcow *s)
{
    return s->incompat & INCOMPAT_DATA_FILE;
}

/* A cluster that nobody else refers to. */
static inline bool is_own(const struct qcow *s, uint64_t entry)
{
    return !(entry & COMPRESSED) && entry & COPIED && (entry & OFFSET_MASK || has_data_file(s));
}

/* ---- header.c ---- */
int header_read(struct qcow *s, struct bp_error *err);
void header_free(struct qcow *s);
int header_write(struct qcow *s); /* all of it; who calls sees to the order */
/* Marks the image as being written to, where that is due. Under the lock. */
int header_mark(struct qcow *s);
int header_repair(struct qcow *s); /* counts anew, after a writer that did not end. Under the lock */
int header_damaged(struct qcow *s, const char *why, uint64_t offset); /* -EIO */

/* ---- refcount.c: under the lock ---- */
int refcounts_open(struct qcow *s, struct bp_error *err);
int refcount_get(struct qcow *s, uint64_t cluster, uint64_t *ret_count);
int refcount_add(struct qcow *s, uint64_t cluster, uint64_t count, int64_t add);
int refcount_set(struct qcow *s, uint64_t cluster, uint64_t value);
/* Clusters in a row, one to `want`; *ret_got: how many. */
int clusters_alloc(struct qcow *s, uint64_t want, uint64_t least, uint64_t *ret_offset, uint64_t *ret_got);
/* One to `want` for data. *ret_virgin: they read as zeroes. */
int clusters_alloc_data(struct qcow *s, uint64_t want, uint64_t *ret_offset, uint64_t *ret_got, bool *ret_virgin);
void clusters_look(struct qcow *s); /* where the file ends: whenever others may have written to it */
int bytes_alloc(struct qcow *s, uint32_t bytes, uint64_t *ret_offset); /* for compressed data */
void clusters_free(struct qcow *s, uint64_t offset, uint64_t clusters, bool discard);
int refcounts_settle(struct qcow *s); /* what was freed, after the tables are safe */

/* ---- map.c: under the lock ---- */
struct extent {
    enum cluster_type type;
    uint64_t host, bytes; /* PACKED: `host` is a byte offset */
    uint32_t packed_bytes;
    bool own;             /* nobody else refers to it */
};
int map_open(struct qcow *s, struct bp_error *err);
/* What is at `guest`, as far as it is of one kind and in a row. */
int map_find(struct qcow *s, uint64_t guest, uint64_t bytes, struct extent *ret);
/* An entry of an L2 table: its slice, pinned, and where it is in it. `write`: the table becomes our own. *ret_slice
 * NULL: there is no table. */
int map_entry(struct qcow *s, uint64_t guest, bool write, struct slice **ret_slice, uint8_t **ret_at);
enum cluster_type entry_type(const struct qcow *s, uint64_t entry, uint64_t bitmap, unsigned sub);
void packed_place(const struct qcow *s, uint64_t entry, uint64_t *ret_offset, uint32_t *ret_bytes);
void entry_free(struct qcow *s, uint64_t entry, bool discard);
int l1_write(struct qcow *s, uint64_t first, uint64_t count);
int l1_grow(struct qcow *s, uint64_t entries);

/* ---- io.c ---- */
int io_child(struct qcow *s, struct bp_block_child *child, enum bp_block_op op, uint64_t offset, void *buf,
             uint64_t bytes);
int write_range(struct qcow *s, uint64_t guest, uint64_t bytes, const struct iovec *iov, unsigned n, uint64_t skip);
/* Bytes for vectors from `skip` on; from NULL: zeroes. */
void copy_out(const struct iovec *iov, unsigned n, uint64_t skip, const uint8_t *from, uint64_t bytes);
int qcow_read(struct bp_block_node *node, const struct bp_block_request *req);
int qcow_write(struct bp_block_node *node, const struct bp_block_request *req);
int qcow_flush(struct bp_block_node *node);
int qcow_status(struct bp_block_node *node, uint64_t offset, uint64_t bytes, struct bp_block_status *ret);
int qcow_sync(struct qcow *s); /* everything, in order, to stable storage. Under the lock */
/* Waits for those that came before and overlap. 0; -ECANCELED, or -EWOULDBLOCK for who may not wait. */
int range_lock(struct qcow *s, struct range *r, uint64_t offset, uint64_t bytes, bool alone);
void range_unlock(struct qcow *s, struct range *r);

/* ---- erase.c ---- */
int qcow_zeroes(struct bp_block_node *node, const struct bp_block_request *req);
int qcow_discard(struct bp_block_node *node, const struct bp_block_request *req);

/* ---- bitmaps.c ---- */
int qcow_bitmaps_load(struct bp_block_node *node, int (*add)(void *opaque, const struct bp_block_bitmap *bitmap),
                      void *opaque, struct bp_error *err);
int qcow_bitmaps_use(struct bp_block_node *node, struct bp_error *err);
int qcow_bitmaps_store(struct bp_block_node *node, const struct bp_block_bitmap *list, unsigned n,
                       struct bp_error *err);
struct bp_value *bitmaps_list(struct qcow *s); /* Qcow2BitmapInfo of each */

/* ---- crypt.c ---- */
int crypt_open(struct qcow *s, struct bp_error *err);
void crypt_free(struct qcow *s);
/* Sectors of an encrypted image, to or from vectors; `host`: where they are in the file. [co] */
int crypt_io(struct qcow *s, enum bp_block_op op, uint64_t host, const struct iovec *iov, unsigned n, uint64_t skip,
             uint64_t bytes);
struct bp_value *crypt_info(const struct qcow *s);
/* What options of a new image say of it; *ret_wish NULL: nothing. Bytes of the header. */
int crypt_wish(struct bp_value *options, struct bp_value **ret_wish, uint64_t *ret_bytes, struct bp_error *err);
/* Key slots, by the options that begin with "encrypt.", without that. [co] */
int crypt_amend(struct qcow *s, struct bp_value *options, struct bp_error *err);
int crypt_make(struct qcow *s, struct bp_value *wish, struct bp_error *err);

/* ---- cache.c ---- */
void cache_bytes(const struct qcow *s, uint64_t ret_bytes[META_KINDS]);
void clean_begin(struct qcow *s); /* main context */
void clean_end(struct qcow *s);   /* [co], main context */

/* ---- compress.c ---- */
/* On a worker thread. `out` has a cluster's room; 0: it does not get smaller. */
int pack(const struct qcow *s, const uint8_t *data, uint8_t *out, uint32_t *ret_bytes);
/* What is kept from one cluster to the next. All zeroes at the beginning; unpack_end() at the end. */
struct unpacker {
    void *deflate, *zstd;
};
/* `out`: a whole cluster. */
int unpack(const struct qcow *s, struct unpacker *u, const uint8_t *data, uint32_t bytes, uint8_t *out);
void unpack_end(struct unpacker *u);
bool has_zstd(void);

/* ---- packed.c ---- */
/* So many bytes from `guest` on are packed, *e being what comes first. Looks at some clusters only. Under the lock */
uint64_t packed_run(struct qcow *s, uint64_t guest, uint64_t bytes, const struct extent *e);
/* What is packed at `guest`, where *e lies, and what follows it of the kind; e->bytes becomes as long as that. The
 * range is locked. [co] */
int read_packed(struct qcow *s, uint64_t guest, uint64_t bytes, struct extent *e, const struct iovec *iov, unsigned n,
                uint64_t skip);

/* ---- snapshot.c ---- */
int snapshots_write(struct qcow *s); /* the table and where it lies; under the lock */
int snapshots_read(struct qcow *s, struct bp_error *err);
void snapshots_free(struct qcow *s);
int qcow_snapshot(struct bp_block_node *node, enum bp_block_snapshot_op op, const char *name,
                  struct bp_value **ret_list, struct bp_error *err);
struct bp_value *snapshots_list(const struct qcow *s);

/* ---- check.c ---- */
int check_locked(struct qcow *s, uint32_t fix, struct bp_block_check *ret);
int qcow_check(struct bp_block_node *node, uint32_t fix, struct bp_block_check *ret, struct bp_error *err);

/* ---- overlap.c: under the lock ---- */
#define OVERLAP_HEADER (1u << 0)
#define OVERLAP_ACTIVE_L1 (1u << 1)
#define OVERLAP_ACTIVE_L2 (1u << 2)
#define OVERLAP_REFTABLE (1u << 3)
#define OVERLAP_REFBLOCK (1u << 4)
#define OVERLAP_SNAPSHOTS (1u << 5)
#define OVERLAP_INACTIVE_L1 (1u << 6)
#define OVERLAP_INACTIVE_L2 (1u << 7)
#define OVERLAP_BITMAPS (1u << 8)
extern const struct bp_schema overlap_schema;
void overlap_open(struct qcow *s);
/* Does a range meet a table whose place is always known? */
bool overlap_constant(const struct qcow *s, uint64_t at, uint64_t bytes);
/* Before data is written there: 0, or -EIO, and the image is marked as damaged. */
int overlap_check(struct qcow *s, uint64_t at, uint64_t bytes);

/* ---- create.c ---- */
int qcow_amend(struct bp_block_node *node, struct bp_value *options, struct bp_error *err);
int qcow_create(struct bp_block_child *file, struct bp_value *options, struct bp_error *err);
int qcow_resize(struct bp_block_node *node, uint64_t length, bool exact, struct bp_error *err);
int qcow_measure(struct bp_value *options, uint64_t size, uint64_t used, struct bp_block_measure *ret,
                 struct bp_error *err);

#endif
