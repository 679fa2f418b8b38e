/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside of the block framework: nodes, edges, requests that are under way, blks, drives. */
#ifndef BLOCK_H
#define BLOCK_H

#include <pthread.h>

#include <bp/command.h>
#include <bp/coroutine.h>
#include <bp/host/block.h>

#define MAX_NODE_NAME 127u
#define MAX_BOUNCE ((size_t)1 << 20) /* bytes of a bounce buffer */

enum detect_zeroes { DETECT_OFF, DETECT_ON, DETECT_UNMAP };

/* Who wants to know of a node's writes: before one begins (and it waits for that), after it has ended, in whatever
 * thread it runs. [co] */
struct watch {
    struct watch *next;
    void (*before)(void *opaque, uint64_t offset, uint64_t bytes);
    void (*after)(void *opaque, uint64_t offset, uint64_t bytes);
    void *opaque;
};

/* A request that a node works on; lives on the stack of its coroutine. */
struct tracked {
    struct tracked *next, **link;
    uint64_t start, end; /* with what the alignment adds */
    bool serialising;
    struct bp_co *waits; /* for others to end; NULL: it works */
    bool again;          /* atomic: one of them may have ended */
};

struct bp_block_node {
    struct bp_block_node *next; /* of all, oldest first */
    struct bp_object *obj;
    const struct bp_block_driver *driver;
    char *name;
    char *filename; /* or NULL */
    bool named;     /* by the user: he has a reference */
    bool opened;
    bool corrupt;
    bool no_flush, direct;
    bool unmap; /* discard=unmap */
    enum detect_zeroes detect;
    bool no_backing;             /* the user wants none below, whatever the image says */
    char *want_file, *want_format; /* backing file that the image names, still to be opened; or NULL */
    bool guard_header; /* probed as raw: block 0 must not become another format's header */
    unsigned refs;
    struct bp_block_open_flags flags;
    bool auto_read_only;
    bool fell_back; /* it is read-only because its driver could not do more, and the user wants more */
    struct bp_block_limits limits;
    int64_t length; /* atomic */
    struct bp_block_child *children, *parents;
    uint32_t need, shared, new_need, new_shared; /* summed over the parents */
    bool prepared; /* permissions_prepare() succeeded in the change under way */
    bool touched;
    struct bp_context *ctx; /* NULL: the main one */
    struct bp_value *options; /* as it was made of, for reopen */

    pthread_mutex_t track_lock;
    struct tracked *tracked, **tracked_tail;
    uint64_t writes, flushed; /* atomic: writes completed; how many of them a flush has covered, plus 1 */
    uint64_t highest_write;   /* atomic: end of the farthest write */
    struct watch *watches;    /* changed while it is drained */
    struct bitmap *bitmaps;   /* the same */
    bool bitmaps_loaded, bitmaps_in_image;
    uint64_t threshold;       /* of block-set-write-threshold; 0: none */
};

struct bp_block_child {
    struct bp_block_child *next, *next_parent;
    char *name;
    uint32_t roles;
    struct bp_block_node *parent; /* NULL: blk is */
    struct bp_blk *blk;
    struct bp_block_node *node;
    uint32_t need, shared, new_need, new_shared;
    bool relaxed; /* a job writes to the node, and the parent sees the same all the while */
    bool marked, noted; /* of a change of several edges that is under way */
};

/* bins[i] counts what took less than bounds[i] ns, and the last one the rest; bins NULL: nothing is counted. */
struct histogram {
    uint64_t *bounds, *bins;
    unsigned count; /* of bounds */
};
#define HISTOGRAMS 3u /* reads, writes, flushes */

struct block_stats {
    uint64_t bytes[5], operations[5], failed[5], invalid[5], ns[5]; /* by enum bp_block_op */
    int64_t last_access; /* ns of BP_CLOCK_REALTIME; 0: never */
};

struct bp_blk_request {
    struct bp_blk_request *next, **link; /* of the blk's list: all that were not told of */
    struct bp_blk_request *next_done;
    struct bp_blk *blk;
    struct bp_co *co; /* while it runs */
    enum bp_block_op op;
    struct bp_block_request req;
    struct bp_block_scsi *scsi; /* this one instead; or NULL */
    void (*done)(void *opaque, int ret);
    void *opaque;
    int ret;
    int64_t since;
    bool cancelled, held, retry, queued, ended; /* under the lock */
};

/* Somebody waits until nothing is in flight. */
struct drain_waiter {
    struct drain_waiter *next;
    void (*fn)(void *opaque);
    void *opaque;
};

struct bp_blk {
    struct bp_blk *next; /* of all, oldest first */
    unsigned refs;       /* of coroutines that wait with it, and one until blk_free(); [main] */
    char *name;          /* of a -drive, or NULL */
    struct bp_block_child root; /* node NULL: no medium */
    struct bp_device *dev;      /* or NULL */
    char *path;                 /* of the device, for events of any thread; or NULL */
    struct bp_owner *owner;     /* of its deferred calls and coroutines; NULL: nobody has it open */
    struct bp_context *ctx;
    bool open;                  /* by a device or an export */
    const struct bp_blk_ops *ops;
    void *opaque;
    uint32_t ops_flags;
    bool share_rw, read_only;
    bool write_cache, drive_write_cache;
    bool locked, tray_is_open;
    int werror, rerror, drive_werror, drive_rerror;
    bool account_invalid, account_failed;
    char *serial;
    struct drive *drive; /* or NULL */

    pthread_mutex_t lock; /* of the lists below */
    struct bp_blk_request *requests, *done_list, **done_tail;
    unsigned in_flight;      /* neither held nor queued, not told of; atomic, changed under the lock */
    unsigned quiesced;       /* drains under way; changed under the lock */
    struct bp_co_mutex *gate_mutex;
    struct bp_co_queue *gate; /* coroutines that wait for the end of drains */
    struct bp_deferred *tell;
    struct block_stats stats;
    struct histogram histograms[HISTOGRAMS]; /* under the lock */
    struct drain_waiter *drain_waiters;
    unsigned plugged;
    struct bp_value *throttle; /* as it was set, for query-block; or NULL */
};

struct drive {
    struct drive *next; /* in order of the command line */
    struct bp_blk *blk;
    char *id, *serial;
    const char *interface; /* NULL: the board's default */
    int bus, unit, index;  /* -1: not given */
    bool placed, claimed, cdrom, by_default;
    bool probed; /* taken for raw; said when the machine is complete */
    struct bp_value *args; /* as given; for `change` and messages */
    char *file;            /* or NULL */
};

extern struct bp_block_node *block_nodes;
extern struct bp_blk *block_blks;
extern const struct bp_kind block_kind, block_aio_kind;

/* node.c: [main] */
struct bp_block_node *node_find(const char *name);
struct bp_block_node *node_of_object(struct bp_object *obj);
/* Makes one of options; they are taken apart, not kept. The caller gets a reference. [co] */
int node_new(struct bp_value *options, struct bp_block_node *parent, uint32_t roles,
             struct bp_block_node **ret_node, struct bp_error *err);
/* The same without the backing files that images name. */
int node_new_alone(struct bp_value *options, struct bp_block_node *parent, uint32_t roles,
                   struct bp_block_node **ret_node, struct bp_error *err);
int node_driver_class(const char *driver, const void **ret_class, struct bp_error *err);
struct bp_block_node *node_ref(struct bp_block_node *node);
void node_unref(struct bp_block_node *node); /* [co], or in the end */
int node_refresh(struct bp_block_node *node, struct bp_error *err); /* length and limits. [co] */
void node_set_length(struct bp_block_node *node, uint64_t length);
/* A write has ended there: what others have made longer meanwhile stays. [any] */
void node_grow_length(struct bp_block_node *node, uint64_t length);
int node_reopen(struct bp_block_node *node, struct bp_value *options, struct bp_error *err); /* [co] */
bool value_bool(const struct bp_value *value, bool *ret);
int take_bool(struct bp_value *options, const char *key, bool *ret, struct bp_error *err);
/* Runs fn in a coroutine that should end before this returns; fn finds out by may_wait(). -EWOULDBLOCK: it
 * waits all the same, for a driver's lock that another thread holds, and goes on by itself: then `opaque` is
 * given to `drop` (or NULL) when it has ended, and not before. [main] */
int run_now(int (*fn)(void *opaque, struct bp_error *err), void *opaque, void (*drop)(void *opaque),
            struct bp_error *err);
bool may_wait(void);

/* graph.c: [main] */
extern pthread_mutex_t graph_lock; /* of lists of parents and of roots, for who reads them in other threads */
struct bp_block_child *child_new(const char *name, uint32_t roles, struct bp_block_node *parent,
                                 struct bp_block_node *node);
void child_free(struct bp_block_child *child); /* drops its reference */
void child_point(struct bp_block_child *child, struct bp_block_node *node); /* NULL: at nothing */
/* The same while blks above are drained: the new node is told so, and the old one that it is not. */
void edge_point(struct bp_block_child *child, struct bp_block_node *node);
/* Recomputes what is below an edge (or a node) with what it asks for now: all or nothing. */
int permissions_set(struct bp_block_child *child, uint32_t need, uint32_t shared,
                    struct bp_error *err);
int permissions_update(struct bp_block_node *node, struct bp_error *err);
struct bp_block_child *node_child(struct bp_block_node *node, const char *name);
struct bp_block_child *node_primary(struct bp_block_node *node);
struct bp_block_child *node_child_role(struct bp_block_node *node, uint32_t role);
bool node_is_below(struct bp_block_node *node, struct bp_block_node *of);
/* Puts `filter` above `node`: every parent of `node` (but `filter` itself) uses it from now on. */
int graph_insert(struct bp_block_node *node, struct bp_block_node *filter, struct bp_error *err);
int graph_remove(struct bp_block_node *filter, struct bp_error *err);
char *user_text(const struct bp_block_child *child); /* malloc'd: who it is, for messages */

int node_del(const char *name, struct bp_error *err); /* [co] */

/* request.c: [co] */
int node_request(struct bp_block_node *node, enum bp_block_op op, const struct bp_block_request *req);
int64_t node_splice(struct bp_block_node *node, uint64_t offset, uint64_t bytes, int pipe);
int node_flush(struct bp_block_node *node);
int node_status(struct bp_block_node *node, uint64_t offset, uint64_t bytes,
                struct bp_block_status *ret);
/* Brings a range that is read from below into the node itself, unless it is there by now; `buf` has `bytes`. */
int node_copy_up(struct bp_block_node *node, uint64_t offset, uint64_t bytes, uint8_t *buf, bool *ret_reads);
/* Drained. [main] */
void watch_add(struct bp_block_node *node, struct watch *watch);
void watch_remove(struct bp_block_node *node, struct watch *watch);
int node_resize(struct bp_block_node *node, uint64_t length, bool exact, struct bp_error *err);
/* track.c */
bool track_would_wait(struct bp_block_node *node, uint64_t start, uint64_t end); /* of a read */
int track_begin(struct bp_block_node *node, struct tracked *t, uint64_t start, uint64_t end,
                bool serialising);
void track_end(struct bp_block_node *node, struct tracked *t);
/* vector.c */
unsigned iov_slice(struct iovec *to, const struct iovec *iov, unsigned n, size_t skip, size_t bytes);
void iov_fill(const struct iovec *iov, unsigned n, size_t skip, int byte, size_t bytes);
size_t iov_gather(const struct iovec *iov, unsigned n, size_t skip, void *buf, size_t bytes);
void iov_scatter(const struct iovec *iov, unsigned n, size_t skip, const void *buf, size_t bytes);
bool iov_is_zero(const struct iovec *iov, unsigned n);
bool iov_is_aligned(const struct iovec *iov, unsigned n, size_t alignment);

/* blk.c */
struct bp_blk *blk_new(const char *name);
void blk_free(struct bp_blk *blk);
struct bp_blk *blk_ref(struct bp_blk *blk);
void blk_unref(struct bp_blk *blk);
struct bp_blk *blk_find(const char *name); /* of a drive */
int blk_open(struct bp_device *dev, struct bp_owner *owner, struct bp_context *ctx,
             struct bp_blk_conf *conf, const struct bp_blk_ops *ops, void *opaque,
             struct bp_blk **ret_blk, struct bp_error *err);
void blk_close(struct bp_blk *blk);
int blk_insert(struct bp_blk *blk, struct bp_block_node *node, struct bp_error *err);
void blk_remove(struct bp_blk *blk);
void blk_tray(struct bp_blk *blk, bool open);
void blk_lock_medium(struct bp_blk *blk, bool locked);
bool medium_is_in(struct bp_block_node *node); /* none needed: the node is the medium. NULL: no. [any] */
void node_medium(struct bp_block_node *node, uint64_t length, bool open, bool changed); /* see bp_block_interface */
struct bp_deferred *blk_new_teller(struct bp_blk *blk);
void blk_media_changed(struct bp_blk *blk, bool loaded);
bool blk_inserted(struct bp_blk *blk);
bool blk_writable(struct bp_blk *blk);
int64_t blk_length(struct bp_blk *blk);
const char *blk_name(struct bp_blk *blk);
const char *blk_device_path(struct bp_blk *blk); /* id or path of who has it open; "" */
void blk_resized(struct bp_block_node *node);
struct bp_blk_request *blk_submit(struct bp_blk *blk, enum bp_block_op op,
                                  const struct bp_block_request *req,
                                  void (*done)(void *opaque, int ret), void *opaque);
struct bp_blk_request *blk_scsi(struct bp_blk *blk, struct bp_block_scsi *command,
                                void (*done)(void *opaque, int ret), void *opaque);
int blk_scsi_now(struct bp_blk *blk, struct bp_block_scsi *command);
int node_scsi(struct bp_block_node *node, struct bp_block_scsi *command); /* [co] */
void blk_cancel(struct bp_blk_request *request);
int blk_submit_co(struct bp_blk *blk, enum bp_block_op op, const struct bp_block_request *req);
int64_t blk_splice(struct bp_blk *blk, uint64_t offset, uint64_t bytes, int pipe);
int blk_now(struct bp_blk *blk, enum bp_block_op op, const struct bp_block_request *req);
void blk_plug(struct bp_blk *blk);
void blk_unplug(struct bp_blk *blk);
void blk_drain(struct bp_blk *blk, void (*fn)(void *opaque), void *opaque);
/* The blks that a drain has stopped; each is held. */
struct drained {
    struct bp_blk **blks;
    size_t count;
};
/* Every blk above the node takes nothing new up; returns when nothing of them is in flight. The same blks go
 * on at drain_end(), wherever they are then. [co] */
int drain_begin(struct bp_block_node *node, struct drained *ret_drained, struct bp_error *err);
void drain_end(struct drained *drained);
int blk_drain_begin(struct bp_blk *blk, struct bp_error *err); /* this one alone; [co] */
void blk_drain_end(struct bp_blk *blk);
void node_tell_drained(struct bp_block_node *node, bool begin); /* it, and all below */
/* [any]: one more, and may it start at once? / one less. */
bool blk_enter(struct bp_blk *blk);
void blk_leave(struct bp_blk *blk);
void blk_go_on(struct bp_blk *blk); /* starts what was queued */
void blk_start(struct bp_blk_request *r);
void blk_watch_machine(struct bp_machine *machine);
void blk_flush_all(void); /* on the spot. [main] */
/* error.c: what becomes of a request that failed. true: it is held until `cont`. */
bool blk_judge(struct bp_blk_request *r);

/* conf.c */
int conf_complete(struct bp_blk *blk, struct bp_blk_conf *conf, struct bp_error *err);
int conf_geometry(struct bp_blk *blk, struct bp_blk_conf *conf, uint32_t max_cyls, uint32_t max_heads,
                  uint32_t max_secs, struct bp_error *err);

/* drive.c */
int drive_new(struct bp_value *args, struct drive **ret_drive, struct bp_error *err);
struct drive *drive_find(const char *id);
void drive_free(struct drive *drive);
bool drive_get(struct bp_machine *machine, const char *interface, unsigned n,
               struct bp_block_drive *ret);
int drive_add_default(struct bp_machine *machine, const char *interface, int bus, int unit, bool cdrom,
                      struct bp_block_drive *ret, struct bp_error *err);
void drive_claim(struct bp_machine *machine, const char *id);
void drive_interfaces(struct bp_machine *machine, const char *default_interface,
                      const char *const *names, const unsigned *units_per_bus);
int drive_open_file(struct drive *drive, struct bp_value *args, struct bp_block_node **ret_node,
                    struct bp_error *err);
extern bool drive_snapshot_all;

int drive_check_claimed(void *opaque, struct bp_error *err);
void drive_free_all(void);
/* Its image was taken for raw: said at once, or when the machine is complete. */
void drive_warn_probed(struct drive *drive, const char *filename);

/* throttle-keys.c */
struct throttle_key {
    const char *flat, *dashed, *qmp; /* of -drive, of throttle-group, of block_set_io_throttle */
};
extern const struct throttle_key throttle_keys[];
struct bp_value *throttle_limits(struct bp_value *args, struct bp_error *err);

/* image.c: [co] */
char *image_resolve(const struct bp_block_node *from, const char *name); /* malloc'd */
int image_open(const char *name, const char *format, struct bp_value *more, struct bp_block_node **ret_node,
               struct bp_error *err);
int image_open_child(struct bp_block_node *node, const char *child, const char *filename, const char *format,
                     struct bp_error *err);
void image_want_backing(struct bp_block_node *node, const char *filename, const char *format);
int image_open_wanted(struct bp_block_node *top, struct bp_error *err);
struct bp_block_node *image_backing(struct bp_block_node *node);
int image_read(struct bp_block_node *node, const struct bp_block_request *req); /* of a chain */
int image_status(struct bp_block_node *node, struct bp_block_node *base, uint64_t offset, uint64_t bytes,
                 struct bp_block_node **ret_node, unsigned *ret_depth, struct bp_block_status *ret);
int image_create(struct bp_value *options, struct bp_error *err);
/* "a.b" becomes member b of a. */
struct bp_value *options_nest(struct bp_value *flat);
struct bp_value *options_of_file(struct bp_value *options);
/* drive-file.c: options of a node for a file name or URL */
int name_options(const char *name, struct bp_value **ret, struct bp_error *err);

/* probe.c */
/* The driver that says it knows these bytes best; NULL: none, so raw. `*ret_score` is how sure. */
const char *probe_format(const uint8_t *head, size_t length, const char *file);
/* The same of what needs no driver. [any] */
const char *probe_magic(const uint8_t *head, size_t length);
int probe_node(struct bp_block_node *node, const char **ret_format, struct bp_error *err); /* [co] */

#endif
