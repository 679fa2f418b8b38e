/* SPDX-License-Identifier: MIT */
/*
 * Block devices: interface block/1, offered by the `block` module. A node is an image, or something
 * that stands before one (a format, a filter, a throttle); nodes form a graph. Drivers make nodes of
 * constant tables (kind block-driver); front ends (disks, exports) use a graph through a blk handle.
 *
 * Requests are coroutines and may run in any context; the graph and everything marked [main] changes on
 * the main thread under the machine lock, after draining what it touches. Lengths and offsets are in bytes
 * throughout.
 */
#ifndef BP_HOST_BLOCK_H
#define BP_HOST_BLOCK_H

#include <sys/uio.h>

#include <bp/kind.h>
#include <bp/loop.h>
#include <bp/module.h>
#include <bp/object.h>

BP_BEGIN_DECLS

struct bp_block_node;  /* opaque; a bp_object of type "block-node" at /block-nodes/NODE-NAME */
struct bp_block_child; /* opaque: an edge from a node (or a blk) to the node that it uses */
struct bp_blk;         /* opaque: a front end's handle on the root of a graph */
struct bp_device;
struct bp_machine;

#define BP_BLOCK_MAX_LENGTH (INT64_MAX - (INT64_C(1) << 32)) /* bytes of the longest node */
#define BP_BLOCK_MAX_REQUEST (UINT64_C(1) << 30) /* bytes of a request that has vectors */

/* ---- requests ---- */

#define BP_BLOCK_FUA (1u << 0)          /* write, write zeroes: on stable storage when it completes */
#define BP_BLOCK_MAY_UNMAP (1u << 1)    /* write zeroes: may deallocate when that reads as zeroes */
#define BP_BLOCK_NO_FALLBACK (1u << 2)  /* write zeroes: -ENOTSUP rather than writing a buffer */
#define BP_BLOCK_COMPRESSED (1u << 4)   /* write: compressed, where the format can (native tells) */
#define BP_BLOCK_UNCHANGED (1u << 3)    /* write: the guest sees the same data afterwards (copy on read) */

/* One read, write, discard or write of zeroes. Borrowed by whoever is called. */
struct bp_block_request {
    uint32_t size;  /* sizeof(struct bp_block_request) */
    uint32_t flags; /* BP_BLOCK_* */
    uint64_t offset, bytes;
    const struct iovec *iov; /* read and write: of `bytes` in all; else NULL */
    unsigned iov_count;
    uint32_t reserved0;
    void *account;    /* to whom it is accounted: the blk, a job; NULL: nobody */
    void *reserved[4];
};

/* One SCSI command to a device of the host. Borrowed by whoever is called, with all that it points to. */
#define BP_BLOCK_SENSE_MAX 96u
struct bp_block_scsi {
    uint32_t size;         /* sizeof(struct bp_block_scsi) */
    uint32_t timeout;      /* ms */
    uint8_t cdb[32];
    uint32_t cdb_length;   /* bytes */
    uint8_t to_device;     /* 1: data go to it; 0: they come, if there are any */
    /* out */
    uint8_t status;        /* SAM-5 5.3 */
    uint16_t host_status;  /* of the host's adapter: DID_* of <scsi/sg.h>'s host_status; 0: fine */
    const struct iovec *iov; /* of `bytes` in all; NULL without data */
    unsigned iov_count;
    uint32_t sense_length; /* out: bytes of sense data, as the device gave them */
    uint64_t bytes;
    uint64_t moved;        /* out: bytes that went over */
    uint64_t max_transfer; /* out: bytes that a command moves at most on this host; 0: unknown */
    uint8_t sense[BP_BLOCK_SENSE_MAX];
    void *reserved[4];
};

/* What may be asked of an edge, and what others may do to the same node meanwhile. */
#define BP_BLOCK_PERM_READ (1u << 0)  /* consistent data */
#define BP_BLOCK_PERM_WRITE (1u << 1)
#define BP_BLOCK_PERM_UNCHANGED (1u << 2) /* writes that change nothing that is visible */
#define BP_BLOCK_PERM_RESIZE (1u << 3)
#define BP_BLOCK_PERM_GRAPH (1u << 4) /* putting nodes between */
#define BP_BLOCK_PERM_ALL 31u

/* What a child is to its parent. */
#define BP_BLOCK_STORAGE (1u << 0)  /* holds the format: header, tables, data */
#define BP_BLOCK_DATA (1u << 1)     /* holds data only */
#define BP_BLOCK_BACKING (1u << 2)  /* what is not in the parent is read here */
#define BP_BLOCK_FILTERED (1u << 3) /* the parent shows it as it is */
#define BP_BLOCK_PRIMARY (1u << 4)  /* the one whose name the parent's file name is */
#define BP_BLOCK_OPTIONAL (1u << 5) /* may be missing */

/* A child that a driver knows: a key of -blockdev whose value is a node's name, or the options of a new
 * node (file.driver=...). */
struct bp_block_child_info {
    const char *name; /* "file", "backing"; NULL ends the table; "children." takes a list */
    uint32_t roles;   /* BP_BLOCK_STORAGE, ... */
    const char *help;
    void *reserved[2];
};

/* What it is made of, for queries. */
struct bp_block_status {
    uint32_t size;
    uint32_t flags;    /* BP_BLOCK_STATUS_* */
    uint64_t bytes;    /* from the offset asked for: all of one kind; at least 1 */
    uint64_t map;      /* with OFFSET_VALID: where it lies in `file` */
    struct bp_block_node *file; /* borrowed, or NULL */
    uint32_t depth;    /* of status() of a blk: so many images of the chain are above the one that was asked last */
    uint32_t reserved0;
    void *reserved[1];
};
#define BP_BLOCK_STATUS_DATA (1u << 0)         /* has to be read */
#define BP_BLOCK_STATUS_ZERO (1u << 1)         /* reads as zeroes */
#define BP_BLOCK_STATUS_ALLOCATED (1u << 2)    /* here, not in the backing chain */
#define BP_BLOCK_STATUS_OFFSET_VALID (1u << 3)
#define BP_BLOCK_STATUS_COMPRESSED (1u << 4)

/* Zero means: no limit, or (alignment) 1. All powers of two but the maxima. */
struct bp_block_limits {
    uint32_t size;
    uint32_t request_alignment; /* offset and length of every request; the framework sees to it */
    uint32_t memory_alignment;  /* of vectors; the framework bounces what is not */
    uint32_t max_iov;
    uint64_t max_transfer, optimal_transfer;
    uint64_t discard_alignment, max_discard;
    uint64_t zero_alignment, max_zero;
    uint32_t physical_block, logical_block; /* what the medium has, for guests that ask; 0: unknown */
    void *reserved[4];
};

/* Facts for query-block, query-named-block-nodes, `info`. Strings are malloc'd, the caller's. */
struct bp_block_info {
    uint32_t size;
    uint32_t cluster_size;
    char *backing_file, *backing_format; /* as stored in the image */
    bool encrypted, dirty, corrupt;
    bool unallocated_zero; /* what was never written reads as zeroes */
    struct bp_value *specific; /* driver's own (format-specific); or NULL */
    void *reserved[4];
};

/* What a check of an image found. */
struct bp_block_check {
    uint32_t size;
    uint32_t reserved0;
    uint64_t corruptions, leaks, check_errors, corruptions_fixed, leaks_fixed;
    uint64_t image_end, total_clusters, allocated_clusters, fragmented_clusters, compressed_clusters;
    void (*say)(void *opaque, const char *text); /* hears of each finding; or NULL */
    void *opaque;
    void *reserved[2];
};
#define BP_BLOCK_FIX_LEAKS (1u << 0)
#define BP_BLOCK_FIX_ERRORS (1u << 1)

/* Bytes that the file of an image will have. */
struct bp_block_measure {
    uint32_t size;
    uint32_t reserved0;
    uint64_t required, fully_allocated;
    void *reserved[2];
};

/* A dirty bitmap that an image holds. Borrowed by whoever is called. */
struct bp_block_bitmap {
    uint32_t size;
    bool enabled;      /* writes are recorded */
    bool inconsistent; /* whoever wrote to the image last did not store it: `bits` is NULL */
    const char *name;
    uint64_t granularity; /* bytes of a part of the disk; a power of two */
    uint64_t length;      /* of the disk, bytes */
    const uint64_t *bits; /* bit i % 64 of word i / 64: part i was written to */
    void *reserved[2];
};

/* SHOW: from now on the node, opened read-only, reads as it was then. */
enum bp_block_snapshot_op { BP_BLOCK_SNAPSHOT_LIST, BP_BLOCK_SNAPSHOT_CREATE, BP_BLOCK_SNAPSHOT_APPLY,
                            BP_BLOCK_SNAPSHOT_DELETE, BP_BLOCK_SNAPSHOT_SHOW };

/* Why a node is reopened: what will be so afterwards. */
struct bp_block_open_flags {
    uint32_t size;
    bool read_only, force_share, direct, no_flush, discard;
    bool auto_read_only; /* open: may fall back, and says so with set_read_only() */
};

/* ---- drivers ---- */

#define BP_BLOCK_PROTOCOL (1u << 0)  /* opens host things; a leaf; no format inside is probed for it */
#define BP_BLOCK_FORMAT (1u << 1)    /* has a header that `probe` knows */
#define BP_BLOCK_FILTER (1u << 2)    /* shows its filtered child as it is */
#define BP_BLOCK_READ_ONLY_DRIVER (1u << 3) /* never writes; read-only=on has to be said */
#define BP_BLOCK_GROWS (1u << 4) /* a write past its end makes it longer; else it is resized before */
/* Reads are serialised against writes that overlap them: they may write themselves (copy on read). */
#define BP_BLOCK_SERIAL_READS (1u << 5)
#define BP_BLOCK_NO_NAME (1u << 6) /* needs no file name: null, throttle */

/*
 * A driver: only what it has is filled in, the framework does the rest (bounce buffers, alignment, zeroes
 * written as buffers, FUA as a flush, discards ignored, status "data") and says in queries what is native.
 * Slots marked [co] run in coroutines and may wait; they return 0 or -errno. Data slots are called with
 * requests within the node's length (read past its end is zero-filled by the framework), aligned and split
 * by `limits`. type.props are its keys of -blockdev, without the framework's (driver, node-name,
 * read-only, auto-read-only, force-share, cache.*, discard, detect-zeroes) and children.
 */
struct bp_block_driver {
    struct bp_type_info type; /* see BP_BLOCK_DRIVER */
    uint32_t flags;           /* BP_BLOCK_PROTOCOL, ... */
    /* Flags of requests (BP_BLOCK_FUA) that its write and write_zeroes carry out themselves or hand on to
     * children; the framework does the others. */
    uint32_t native;
    const struct bp_block_child_info *children; /* or NULL */
    /* How sure it is that a node whose first bytes are these is in its format: 0 no ... 100. `file` is
     * the name, or NULL. [any] */
    int (*probe)(const uint8_t *head, size_t length, const char *file);
    /* Properties are set and children are there. [co], main context */
    int (*open)(struct bp_block_node *node, const struct bp_block_open_flags *flags,
                struct bp_error *err);
    void (*close)(struct bp_block_node *node); /* [co], main context; nothing is in flight */

    int (*read)(struct bp_block_node *node, const struct bp_block_request *req);  /* [co] */
    int (*write)(struct bp_block_node *node, const struct bp_block_request *req); /* [co] */
    int (*flush)(struct bp_block_node *node); /* [co] this node's own; children are flushed after it */
    int (*discard)(struct bp_block_node *node, const struct bp_block_request *req);      /* [co] */
    int (*write_zeroes)(struct bp_block_node *node, const struct bp_block_request *req); /* [co] */
    /* Fills *ret for a range that starts at `offset` and is at most `bytes` long. [co] */
    int (*status)(struct bp_block_node *node, uint64_t offset, uint64_t bytes,
                  struct bp_block_status *ret);
    int64_t (*length)(struct bp_block_node *node); /* bytes or -errno. [co]; NULL: the primary child's */
    /* exact: not longer than asked for. [co] */
    int (*resize)(struct bp_block_node *node, uint64_t length, bool exact, struct bp_error *err);
    void (*limits)(struct bp_block_node *node, struct bp_block_limits *limits); /* [main], at open, reopen */
    int (*info)(struct bp_block_node *node, struct bp_block_info *ret); /* [co] */
    int64_t (*allocated)(struct bp_block_node *node); /* bytes on the host, or -errno. [co] */

    /* What it needs of a child and lets others do there, given what its parents need of it; NULL: the
     * framework's rule for the role. Pure. [main] */
    void (*permissions)(struct bp_block_node *node, const char *child, uint32_t roles,
                        uint32_t need, uint32_t shared, uint32_t *ret_need, uint32_t *ret_shared);
    /* What users need of it, and let others do, is about to become this: what the new state wants beyond
     * the old is locked, all or nothing; then commit gives back what is not wanted any more, or abort
     * what prepare took. For locks on the host. NULL: nothing to do. [main] */
    int (*permissions_prepare)(struct bp_block_node *node, uint32_t need, uint32_t shared,
                               struct bp_error *err);
    void (*permissions_commit)(struct bp_block_node *node);
    void (*permissions_abort)(struct bp_block_node *node);
    /* Requests that it holds back (throttling) are let go from begin to end. [main] */
    void (*drain_begin)(struct bp_block_node *node);
    void (*drain_end)(struct bp_block_node *node);
    /* New options or flags: prepare all or nothing, then commit or abort. [co], drained */
    int (*reopen_prepare)(struct bp_block_node *node, const struct bp_block_open_flags *flags,
                          struct bp_value *options, struct bp_error *err);
    void (*reopen_commit)(struct bp_block_node *node);
    void (*reopen_abort)(struct bp_block_node *node);
    int (*make_empty)(struct bp_block_node *node); /* everything is read from backing again. [co] */

    /*
     * Removable host media; NULL: none. Of the node that devices have, or of the one below filters. None of them waits:
     * what the drive does takes seconds. inserted: without, requests fail with -ENOMEDIUM. eject: the device's tray
     * opened or closed, also after medium() moved it. [any]
     */
    bool (*inserted)(struct bp_block_node *node);
    int (*eject)(struct bp_block_node *node, bool open);
    int (*lock_tray)(struct bp_block_node *node, bool locked);
    /* What was submitted between is to go to the host at once. [any], the requests' context */
    void (*plug)(struct bp_block_node *node);
    void (*unplug)(struct bp_block_node *node);

    /* A new image of options (BlockdevCreateOptions, with dashes) in an empty or old file; protocols: `file` NULL, a
     * new file. [co] */
    int (*create)(struct bp_block_child *file, struct bp_value *options, struct bp_error *err);
    /* fix: BP_BLOCK_FIX_*. [co] */
    int (*check)(struct bp_block_node *node, uint32_t fix, struct bp_block_check *ret, struct bp_error *err);
    /* By name, else by id; *ret_list (LIST only): SnapshotInfo of each. Drained. [co] */
    int (*snapshot)(struct bp_block_node *node, enum bp_block_snapshot_op op, const char *name,
                    struct bp_value **ret_list, struct bp_error *err);
    /* What the image says of what is below; NULL: nothing is. Drained. [co] */
    int (*change_backing)(struct bp_block_node *node, const char *file, const char *format, struct bp_error *err);
    /* Of a new image with these options that will hold `used` bytes of `size`. Pure. */
    int (*measure)(struct bp_value *options, uint64_t size, uint64_t used, struct bp_block_measure *ret,
                   struct bp_error *err);
    void (*children_changed)(struct bp_block_node *node); /* others than at open. [main], drained */
    /* After open, and after a reopen: what it needs of its children is granted and locked on the host, so that it may
     * write to them (repairs, marks). [co] */
    int (*granted)(struct bp_block_node *node, struct bp_error *err);
    /* Calls add() for each bitmap of the image, until it fails. [co], drained */
    int (*bitmaps_load)(struct bp_block_node *node, int (*add)(void *opaque, const struct bp_block_bitmap *bitmap),
                        void *opaque, struct bp_error *err);
    /* Writes begin: what the image says of its bitmaps is not so any more until they are stored. [co], drained */
    int (*bitmaps_use)(struct bp_block_node *node, struct bp_error *err);
    /* These are the image's, and no others. Inconsistent ones that it has stay as they lie there. [co], drained */
    int (*bitmaps_store)(struct bp_block_node *node, const struct bp_block_bitmap *list, unsigned count,
                         struct bp_error *err);
    /* The image has these options of `create` from now on, all of them or none. [co], drained */
    int (*amend)(struct bp_block_node *node, struct bp_value *options, struct bp_error *err);
    /* A SCSI command to the device that it is; NULL: it is none. 0: the device or the host's adapter has answered, see
     * the status; -errno: it never got there (-ENOTSUP: no such device). [co] */
    int (*scsi)(struct bp_block_node *node, struct bp_block_scsi *command);
    /* A read that copies nothing: bytes of a range go into a pipe (O_NONBLOCK), as many as are at hand without waiting
     * and fit. What is written to the range later may be seen in the pipe. > 0: so many; -EAGAIN: not now; -ENOTSUP or
     * NULL: never; -errno. The caller reads what it did not get. Aligned to nothing. [co] */
    int64_t (*splice)(struct bp_block_node *node, uint64_t offset, uint64_t bytes, int pipe);
    void *reserved[2];
};

static const struct bp_shape_slot bp_block_child_slots[] BP_UNUSED = {
    BP_SHAPE_NAME(struct bp_block_child_info, name),
    BP_SHAPE_PLAIN(struct bp_block_child_info, roles, roles),
    BP_SHAPE_STRING(struct bp_block_child_info, help), BP_SHAPE_END};
static const struct bp_shape bp_block_child_shape BP_UNUSED = {
    "bp_block_child_info", sizeof(struct bp_block_child_info), bp_block_child_slots};
static const struct bp_shape_slot bp_block_driver_slots[] BP_UNUSED = {
    BP_SHAPE_TYPE, BP_SHAPE_PLAIN(struct bp_block_driver, flags, flags),
    BP_SHAPE_TABLE(struct bp_block_driver, children, &bp_block_child_shape),
    BP_SHAPE_END};
static const struct bp_shape bp_block_driver_shape BP_UNUSED = {
    "bp_block_driver", sizeof(struct bp_block_driver), bp_block_driver_slots};
#define BP_BLOCK_KIND \
    .size = sizeof(struct bp_kind), .major = 1, .minor = 0, .name = "block-driver", \
    .heading = "Available block drivers:", .summary = "Block drivers", .option = "blockdev", \
    .prefix = "block-", .parent = "block-node", .container = "/block-nodes", \
    .shape = &bp_block_driver_shape
static const struct bp_kind bp_block_kind BP_UNUSED = {
    BP_BLOCK_KIND, .check = NULL, .exercise = NULL, .reserved = {NULL}};

/* Listed as {BP_PROVIDE_OTHER, &ident}. */
#define BP_BLOCK_DRIVER(ident, NAME, SUMMARY, STATE, PROPS, ...) \
    BP_NOTE("provides=block-driver:" NAME ";summary=" SUMMARY); \
    BP_STORAGE const struct bp_block_driver ident = { \
        .type = {.size = sizeof(struct bp_block_driver), .flags = 0, .name = "block-" NAME, \
                 .parent = NULL, .summary = SUMMARY, .state_size = sizeof(STATE), .props = PROPS, \
                 .state = NULL, .kind = &bp_block_kind, .reserved = {NULL}}, \
        __VA_ARGS__}

/* ---- front ends ---- */

/* What a front end hears; those beyond `size` do not exist, each may be NULL. [main] under the machine
 * lock. */
struct bp_blk_ops {
    uint32_t size; /* sizeof(struct bp_blk_ops) */
    uint32_t flags; /* BP_BLK_* */
    /* A medium came (loaded) or went: eject, change, blockdev-insert-medium. */
    void (*media_changed)(void *opaque, bool loaded);
    /* Somebody wants the medium; the device may open its tray later (blk->tray). force: it goes now. */
    void (*eject_request)(void *opaque, bool force);
    bool (*tray_open)(void *opaque);
    bool (*medium_locked)(void *opaque);
    void (*resized)(void *opaque); /* ask blk->length() again */
    /* Nothing new may be submitted from begin to end (calls nest: told for the first and the last). What
     * is submitted all the same is queued. */
    void (*drained_begin)(void *opaque);
    void (*drained_end)(void *opaque);
    void *reserved[6];
};
#define BP_BLK_REMOVABLE (1u << 0) /* may be without a medium */
#define BP_BLK_READ_ONLY (1u << 1) /* never writes (CD-ROM) */
#define BP_BLK_READ_ONLY_OK (1u << 2) /* takes a read-only medium, too: see writable() */

enum bp_block_on_error { BP_BLOCK_ON_ERROR_AUTO, BP_BLOCK_ON_ERROR_REPORT, BP_BLOCK_ON_ERROR_IGNORE,
                         BP_BLOCK_ON_ERROR_STOP, BP_BLOCK_ON_ERROR_ENOSPC };

/* The properties that every disk has, in a block of its state: BP_BLK_PROPS(struct my_disk, conf). */
struct bp_blk_conf {
    char *drive;  /* id of a -drive, or a node's name; NULL: none */
    uint32_t logical_block_size, physical_block_size, min_io_size, opt_io_size; /* 0: the medium's, 512 */
    uint32_t discard_granularity; /* UINT32_MAX: chosen */
    int write_cache;              /* on, off, auto: as cache.writeback of -drive */
    bool share_rw;
    int werror, rerror;           /* enum bp_block_on_error; AUTO: as -drive says */
    int account_invalid, account_failed; /* on, off, auto */
    int32_t bootindex;            /* -1: none */
    uint32_t cyls, heads, secs;   /* 0: chosen */
    bool translated;              /* out: the partition table has more heads than the disk can have */
    void *reserved[4];
};
static const char *const bp_block_on_error_names[] BP_UNUSED = {"auto", "report", "ignore", "stop",
                                                                "enospc", NULL};
static const struct bp_schema bp_block_on_error_schema BP_UNUSED = {
    "BlockdevOnError", BP_KIND_ENUM, NULL, bp_block_on_error_names, NULL, NULL, BP_KIND_NONE, NULL,
    {NULL}};
#define BP_BLK_PROPS(STATE, CONF) \
    BP_PROP("drive", STRING, STATE, CONF.drive, NULL, "block node or drive that it shows"), \
    BP_PROP("logical_block_size", UINT32, STATE, CONF.logical_block_size, "0", \
            "bytes of a sector; 0: as the medium has"), \
    BP_PROP("physical_block_size", UINT32, STATE, CONF.physical_block_size, "0", \
            "bytes that the medium writes at once; 0: as it has"), \
    BP_PROP("min_io_size", UINT32, STATE, CONF.min_io_size, "0", "smallest efficient request, in bytes"), \
    BP_PROP("opt_io_size", UINT32, STATE, CONF.opt_io_size, "0", "best size of requests, in bytes"), \
    BP_PROP("discard_granularity", UINT32, STATE, CONF.discard_granularity, "4294967295", \
            "bytes of the smallest discard; 0: none are offered"), \
    BP_PROP("write-cache", ON_OFF_AUTO, STATE, CONF.write_cache, "auto", \
            "the guest sees a volatile write cache"), \
    BP_PROP("share-rw", BOOL, STATE, CONF.share_rw, "off", "others may write to it too"), \
    BP_PROP_ENUM("werror", &bp_block_on_error_schema, STATE, CONF.werror, "auto", \
                 "what happens when a write fails"), \
    BP_PROP_ENUM("rerror", &bp_block_on_error_schema, STATE, CONF.rerror, "auto", \
                 "what happens when a read fails"), \
    BP_PROP("account-invalid", ON_OFF_AUTO, STATE, CONF.account_invalid, "auto", \
            "invalid requests count in statistics"), \
    BP_PROP("account-failed", ON_OFF_AUTO, STATE, CONF.account_failed, "auto", \
            "failed requests count in statistics")
#define BP_BLK_GEOMETRY_PROPS(STATE, CONF) \
    BP_PROP_RANGE("cyls", UINT32, STATE, CONF.cyls, "0", 0, 65535, "cylinders; 0: chosen"), \
    BP_PROP_RANGE("heads", UINT32, STATE, CONF.heads, "0", 0, 255, "heads; 0: chosen"), \
    BP_PROP_RANGE("secs", UINT32, STATE, CONF.secs, "0", 0, 255, "sectors of a track; 0: chosen")

enum bp_block_op { BP_BLOCK_READ, BP_BLOCK_WRITE, BP_BLOCK_FLUSH, BP_BLOCK_DISCARD,
                   BP_BLOCK_WRITE_ZEROES };

struct bp_blk_request; /* opaque: one that was submitted */

/* A -drive, as boards see it. Strings borrowed. */
struct bp_block_drive {
    uint32_t size;
    uint32_t reserved0;
    const char *id; /* for a device's `drive` */
    const char *interface; /* "ide", "floppy", "pflash", "virtio", "sd", "mtd", "scsi", "none" */
    int bus, unit;  /* place on its interface */
    bool cdrom;     /* media=cdrom */
    bool by_default; /* the board asked for it (an empty CD-ROM, floppy) */
    const char *serial; /* or NULL */
    void *reserved[4];
};

struct bp_block_interface { /* block/1 */
    uint32_t size;

    /* ---- for front ends ---- */
    /*
     * Opens what conf->drive names (nothing named: an empty BP_BLK_REMOVABLE, else -EINVAL in words)
     * for a device (or an export: dev NULL) whose owner it goes with. `ops` is borrowed. Takes the
     * permissions that conf and flags ask for; -EBUSY names who stands in the way. Requests run in `ctx`
     * (NULL: the owner's context) and complete there: in the main one under the machine lock. [main]
     */
    int (*open)(struct bp_device *dev, struct bp_owner *owner, struct bp_context *ctx,
                struct bp_blk_conf *conf, const struct bp_blk_ops *ops, void *opaque,
                struct bp_blk **ret_blk, struct bp_error *err);
    void (*close)(struct bp_blk *blk); /* after its requests have ended; NULL is fine. [main] */
    /* Fills in what conf leaves to us (block sizes, granularity, write cache); checks the rest. [main] */
    int (*conf_complete)(struct bp_blk *blk, struct bp_blk_conf *conf, struct bp_error *err);
    /* CHS geometry from conf, or from a partition table, or by size. [main] */
    int (*geometry)(struct bp_blk *blk, struct bp_blk_conf *conf, uint32_t max_cyls, uint32_t max_heads,
                    uint32_t max_secs, struct bp_error *err);
    /*
     * Starts a request: `req` is copied, its vectors' memory stays the caller's to keep until `done`,
     * which is called once, in the blk's context, never from inside submit. ret: 0 or -errno, after
     * werror/rerror: with "stop" the machine is paused and the request is tried again at `cont`; it
     * stays in flight for the front end, which saves it as such and submits it again when loaded.
     * -ENOMEDIUM without medium. req NULL: BP_BLOCK_FLUSH. From the blk's context. NULL is never returned.
     * Offset and length need no alignment. The array of vectors stays, too.
     */
    struct bp_blk_request *(*submit)(struct bp_blk *blk, enum bp_block_op op,
                                     const struct bp_block_request *req,
                                     void (*done)(void *opaque, int ret), void *opaque);
    /* Asks it to end soon: `done` still comes, with -ECANCELED or as it ended. From the blk's context,
     * before `done`. */
    void (*cancel)(struct bp_blk_request *request);
    /* The same in a coroutine: returns when it has ended; without werror/rerror. [co] */
    int (*submit_co)(struct bp_blk *blk, enum bp_block_op op, const struct bp_block_request *req);
    /* The same outside of a coroutine, before it returns, holding up the main loop: for attach(), which
     * reads a flash chip or a partition table. Without werror/rerror. -EWOULDBLOCK: a driver in the graph
     * cannot do that. [main] */
    int (*now)(struct bp_blk *blk, enum bp_block_op op, const struct bp_block_request *req);
    /* Batches: what is submitted between goes to the host at once at the end; nests. */
    void (*plug)(struct bp_blk *blk);
    void (*unplug)(struct bp_blk *blk);
    int64_t (*length)(struct bp_blk *blk); /* bytes; 0 without medium; -errno. [any] */
    bool (*inserted)(struct bp_blk *blk);  /* [any] */
    bool (*writable)(struct bp_blk *blk);  /* [any] */
    bool (*write_cache)(struct bp_blk *blk);
    void (*set_write_cache)(struct bp_blk *blk, bool on); /* off: each write is FUA */
    void (*limits)(struct bp_blk *blk, struct bp_block_limits *ret); /* [any] */
    unsigned (*in_flight)(struct bp_blk *blk); /* [any] */
    /* Calls fn when nothing of it is in flight (requests held for `cont` don't count). [main] */
    void (*drain)(struct bp_blk *blk, void (*fn)(void *opaque), void *opaque);
    void (*set_context)(struct bp_blk *blk, struct bp_context *ctx); /* drained. [main] */
    /* The device's tray: events, and the medium goes when it opens after `eject`. [main] */
    void (*tray)(struct bp_blk *blk, bool open);
    void (*lock_medium)(struct bp_blk *blk, bool locked);
    /* For statistics: a request that was refused before it was submitted. */
    void (*account_invalid)(struct bp_blk *blk, enum bp_block_op op);
    const char *(*name)(struct bp_blk *blk);   /* of the drive or node, for messages */
    const char *(*serial)(struct bp_blk *blk); /* of -drive serial=; or NULL */

    /* ---- for boards ---- */
    /* The drives of an interface, in order of bus and unit: n-th one; false: there is none. Claiming one
     * says that a device shows it; unclaimed ones are reported when the machine is complete. [main] */
    bool (*drive)(struct bp_machine *machine, const char *interface, unsigned n,
                  struct bp_block_drive *ret);
    void (*claim)(struct bp_machine *machine, const char *id);
    /* The board's default interface and how many units a bus of each has, for index= and the order
     * of -hda...: called from the board's first stage, before drives are made. ends with NULL. [main] */
    void (*interfaces)(struct bp_machine *machine, const char *default_interface,
                       const char *const *names, const unsigned *units_per_bus);

    /* The board's own empty drive for removable media at a place, under the usual name ("ide1-cd0",
     * "floppy0"), for a device that it makes; *ret as drive() gives it. -EEXIST: the user has one there.
     * [main] */
    int (*add_default)(struct bp_machine *machine, const char *interface, int bus, int unit, bool cdrom,
                       struct bp_block_drive *ret, struct bp_error *err);

    /* ---- for drivers: all of a node's own ---- */
    void *(*state)(struct bp_block_node *node);
    struct bp_block_node *(*of_state)(void *state);
    const char *(*node_name)(struct bp_block_node *node);
    struct bp_owner *(*owner)(struct bp_block_node *node); /* ends with the node */
    struct bp_context *(*context)(struct bp_block_node *node);
    void (*open_flags)(struct bp_block_node *node, struct bp_block_open_flags *ret);
    struct bp_block_child *(*child)(struct bp_block_node *node, const char *name); /* or NULL */
    struct bp_block_node *(*child_node)(struct bp_block_child *child);
    /* Sets the part of the node's length that is cached; the framework tells parents. [co] */
    void (*length_changed)(struct bp_block_node *node, uint64_t length);
    /* To a child, with all that the framework does for it. [co] */
    int (*child_request)(struct bp_block_child *child, enum bp_block_op op,
                         const struct bp_block_request *req);
    int (*child_status)(struct bp_block_child *child, uint64_t offset, uint64_t bytes,
                        struct bp_block_status *ret);
    int64_t (*child_length)(struct bp_block_child *child);
    int (*child_resize)(struct bp_block_child *child, uint64_t length, bool exact, struct bp_error *err);
    void (*child_limits)(struct bp_block_child *child, struct bp_block_limits *ret);
    void (*set_filename)(struct bp_block_node *node, const char *filename); /* copied; for queries */
    void (*set_read_only)(struct bp_block_node *node); /* in open and reopen_prepare, with auto_read_only. [co] */
    /* May this coroutine wait? If not (`now`, -drive), what it needs is done on the spot, also when that
     * blocks, or fails with -EWOULDBLOCK. [co] */
    bool (*may_wait)(void);
    /* Fatal damage found: no further writes; BLOCK_IMAGE_CORRUPTED. */
    void (*corrupted)(struct bp_block_node *node, const char *why, uint64_t offset, uint64_t bytes);

    /* ---- for jobs, exports, tools ---- */
    struct bp_block_node *(*find)(const char *node_or_drive); /* borrowed or NULL. [main] */
    /* Makes a node of options as -blockdev takes them (borrowed dict; nested or dotted). [co] */
    int (*node_new)(struct bp_value *options, struct bp_block_node **ret_node, struct bp_error *err);
    int (*node_del)(const char *node_name, struct bp_error *err); /* [co] */
    struct bp_block_node *(*node_ref)(struct bp_block_node *node);
    void (*node_unref)(struct bp_block_node *node);
    /* ---- for formats, in open ---- */
    /* The image names a child itself: by a file name, relative to its own, and a format (NULL: looked for). Nothing is
     * done when the user gave one. A backing file is opened after open() has returned. [co] */
    int (*open_child)(struct bp_block_node *node, const char *child, const char *filename, const char *format,
                      struct bp_error *err);
    void (*want_backing)(struct bp_block_node *node, const char *filename, const char *format);
    /* ---- images, for tools and jobs. All [co] ---- */
    /* By file name or URL; more (or NULL): keys for its nodes ("read-only", "cache"). */
    int (*image_open)(const char *name, const char *format, struct bp_value *more, struct bp_block_node **ret_node,
                      struct bp_error *err);
    int (*image_create)(struct bp_value *options, struct bp_error *err);
    struct bp_value *(*image_info)(struct bp_block_node *node, bool chain); /* ImageInfo */
    int (*image_check)(struct bp_block_node *node, uint32_t fix, struct bp_block_check *ret, struct bp_error *err);
    int (*image_snapshot)(struct bp_block_node *node, enum bp_block_snapshot_op op, const char *name,
                          struct bp_value **ret_list, struct bp_error *err);
    int (*image_change_backing)(struct bp_block_node *node, const char *file, const char *format,
                                struct bp_error *err);
    int (*image_measure)(const char *driver, struct bp_value *options, uint64_t size, uint64_t used,
                         struct bp_block_measure *ret, struct bp_error *err);
    int (*image_resize)(struct bp_block_node *node, uint64_t length, struct bp_error *err);
    int (*image_make_empty)(struct bp_block_node *node, struct bp_error *err);
    /* Which image of the chain above `base` (NULL: all of it) holds an offset, and how deep it lies. */
    int (*image_status)(struct bp_block_node *node, struct bp_block_node *base, uint64_t offset, uint64_t bytes,
                        struct bp_block_node **ret_node, unsigned *ret_depth, struct bp_block_status *ret);
    struct bp_block_node *(*image_backing)(struct bp_block_node *node); /* or NULL */
    const char *(*image_filename)(struct bp_block_node *node); /* "" when it has none; borrowed */
    const char *(*image_driver)(struct bp_block_node *node);   /* "qcow2" */
    /* What the medium has from `offset` on, as a request: drains wait for it. -ENOMEDIUM: there is none. [co] */
    int (*status)(struct bp_blk *blk, uint64_t offset, uint64_t bytes, struct bp_block_status *ret);
    /* Options of `create` (with dashes) that an image shall have instead. [co] */
    int (*image_amend)(struct bp_block_node *node, struct bp_value *options, struct bp_error *err);
    /* ---- SCSI devices of the host ---- */
    /* As submit(): a command to the device that the medium is. It stays the caller's to keep until `done`, whose `ret`
     * is as the driver's scsi() gives it, or -ECANCELED; what has begun ends when the device or its timeout says so.
     * werror, rerror and statistics do not concern it. */
    struct bp_blk_request *(*scsi)(struct bp_blk *blk, struct bp_block_scsi *command,
                                   void (*done)(void *opaque, int ret), void *opaque);
    int (*scsi_now)(struct bp_blk *blk, struct bp_block_scsi *command); /* before it returns, for attach(). [main] */
    int (*child_scsi)(struct bp_block_child *child, struct bp_block_scsi *command); /* for drivers that hand on. [co] */
    /* ---- for drives of the host: those that have inserted() ---- */
    /* How the drive is: bytes of its medium (0: none), whether the tray is open, and whether the medium is another than
     * at the last call. Told of once a second or when something happened; devices whose tray is otherwise move it, and
     * those with a closed one hear of a new medium. Main context. [co] */
    void (*medium)(struct bp_block_node *node, uint64_t length, bool tray_open, bool changed);
    /* The first part at or after `from` that a dirty bitmap of the node, or of what is below it, has: 1; 0: there is
     * none; -ENOENT: no such bitmap, or one that cannot be relied on. [main] */
    int (*bitmap_next)(struct bp_block_node *node, const char *bitmap, uint64_t from, uint64_t *ret_offset,
                       uint64_t *ret_bytes);
    /* Does what lies between the end of the child and a write behind it read as zeroes? So it is with files, but not
     * with what is encrypted. Its length is told anew: others may have made it longer before they let us write. [co] */
    bool (*child_grows_zero)(struct bp_block_child *child);
    /* ---- reads without a copy, as the driver's splice() ---- */
    int64_t (*splice)(struct bp_blk *blk, uint64_t offset, uint64_t bytes, int pipe); /* accounted as a read. [co] */
    int64_t (*child_splice)(struct bp_block_child *child, uint64_t offset, uint64_t bytes, int pipe); /* [co] */
    void *reserved[2];
};

BP_END_DECLS

#endif
