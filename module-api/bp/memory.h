/* SPDX-License-Identifier: MIT */
/*
 * Memory: regions form a tree; an address space flattens its tree into an immutable view that
 * readers use without locks. Addresses and sizes are in bytes; a size may be up to 2^64-1.
 * Changes to regions: [main] or a [vcpu] inside an access, under the machine lock.
 * Structs that begin with `size` are filled with sizeof by who makes them.
 */
#ifndef BP_MEMORY_H
#define BP_MEMORY_H

#include <bp/base.h>
#include <bp/error.h>

BP_BEGIN_DECLS

struct bp_device;
struct bp_machine;
struct bp_owner;
struct bp_region; /* opaque */
struct bp_space;  /* opaque: an address space */

/* Who makes an access. All zero but `size`: nobody in particular, nothing known. */
struct bp_access {
    size_t size;
    uint32_t flags;     /* BP_ACCESS_* */
    uint32_t requester; /* its id on the bus it comes from (PCI: bus << 8 | devfn) */
    void *reserved[2];
};
#define BP_ACCESS_REQUESTER 1u  /* `requester` says who it is */
#define BP_ACCESS_SECURE 2u     /* from a secure world */
#define BP_ACCESS_USER 4u       /* unprivileged; neither this nor the next: unspecified */
#define BP_ACCESS_PRIVILEGED 8u

/*
 * Callbacks of an I/O region. The core splits and widens a guest's access to what is declared. `addr`
 * is relative to the region; `size` is 1, 2, 4 or 8; values are little-endian numbers.
 */
struct bp_region_ops {
    size_t size; /* sizeof(struct bp_region_ops) */
    uint64_t (*read)(void *opaque, uint64_t addr, unsigned size);
    void (*write)(void *opaque, uint64_t addr, uint64_t value, unsigned size);
    /* For those that look at who asks, or answer with errors; preferred to the two above. Return 0,
     * -EIO (bus error: the device refuses) or -EFAULT (decode error: nobody is there). A failed read
     * gives all ones. `access` is borrowed for the call, never NULL. */
    int (*read_with)(void *opaque, uint64_t addr, unsigned size, uint64_t *ret_value,
                     const struct bp_access *access);
    int (*write_with)(void *opaque, uint64_t addr, uint64_t value, unsigned size,
                      const struct bp_access *access);
    uint8_t min_access; /* bytes the callbacks can take; 0 means 1 */
    uint8_t max_access; /* 0 means 4 */
    uint8_t unaligned;  /* non-zero: callbacks take unaligned accesses whole */
    uint8_t parallel;   /* non-zero: called without the machine lock (BP_PARALLEL, BP_PARALLEL_LEAF) */
    /* What a guest may do; anything else is an error (reads give all ones). 0: 1 and 8. */
    uint8_t valid_min, valid_max;
    uint8_t big_endian; /* non-zero: the device is big-endian */
    /* Non-zero: a guest's writes may be late. They come in their order, before anything else that comes from the same
     * processor, and before who asks for them (bp_region_settle()): for windows of which much is written. */
    uint8_t coalesced;
    void *reserved[4];
};

#define BP_PARALLEL 1u
/* And its callbacks take no locks but leaves of their own, and reach no other I/O: who holds a leaf lock himself may
 * write there (bp_space_post()). Interrupt controllers that receive messages are so. */
#define BP_PARALLEL_LEAF 2u

/* Constructors. The region belongs to `owner` (may be NULL: free it yourself). Names are for
 * `info mtree`. Tables are copied, `opaque` is borrowed until the region's owner has left. */
struct bp_region *bp_region_new(struct bp_owner *owner, const char *name, uint64_t size); /* container */
struct bp_region *bp_region_new_io(struct bp_owner *owner, const char *name, uint64_t size,
                                   const struct bp_region_ops *ops, void *opaque);
/* Zeroed private memory of the host; see bp/ram.h for other kinds. */
int bp_region_new_ram(struct bp_owner *owner, const char *name, uint64_t size,
                      struct bp_region **ret_region, struct bp_error *err);
/* ROM: reads are direct; guest writes are dropped, or go to ops->write when `ops` is given. */
int bp_region_new_rom(struct bp_owner *owner, const char *name, uint64_t size,
                      const struct bp_region_ops *ops, void *opaque, struct bp_region **ret_region,
                      struct bp_error *err);
/* A ROM with `ops` (a flash chip): `direct` (the mode it begins in): reads see its memory; else
 * they go to ops->read too. */
void bp_region_rom_device_mode(struct bp_region *rom, bool direct);
struct bp_region *bp_region_new_alias(struct bp_owner *owner, const char *name,
                                      struct bp_region *target, uint64_t offset, uint64_t size);
void bp_region_free(struct bp_region *region); /* removes it from its parent first; NULL is fine */

/* Places `child` in `parent`; where children overlap the higher priority wins, then the later. */
void bp_region_add(struct bp_region *parent, struct bp_region *child, uint64_t offset, int priority);
void bp_region_remove(struct bp_region *child); /* no effect when it has no parent */
void bp_region_set_enabled(struct bp_region *region, bool enabled);
void bp_region_set_address(struct bp_region *region, uint64_t offset);
void bp_region_set_size(struct bp_region *region, uint64_t size);
void bp_region_set_alias_offset(struct bp_region *alias, uint64_t offset);
void bp_region_set_readonly(struct bp_region *region, bool readonly); /* RAM or alias to RAM */
/* Writes to it that an accelerator keeps back (bp_region_ops.coalesced) have come when it returns. [main] */
void bp_region_settle(struct bp_region *region);
uint64_t bp_region_size(const struct bp_region *region);
const char *bp_region_name(const struct bp_region *region);
/* ROM, or RAM that the host has for reading alone: who writes at bp_region_ram() asks first. */
bool bp_region_is_readonly(const struct bp_region *region);
void *bp_region_ram(const struct bp_region *region); /* host address of RAM or ROM, else NULL */

/* Batches changes: views are rebuilt once, at the outermost commit. */
void bp_memory_begin(void);
void bp_memory_commit(void);

struct bp_space *bp_space_new(struct bp_owner *owner, const char *name, struct bp_region *root);
void bp_space_free(struct bp_space *space);
struct bp_space *bp_machine_memory(struct bp_machine *machine); /* its memory; [any] */
struct bp_space *bp_machine_io(struct bp_machine *machine);     /* its 64 KiB of I/O ports; [any] */
struct bp_space *bp_device_memory(struct bp_device *dev);       /* those of its machine; [any] */
struct bp_space *bp_device_io(struct bp_device *dev);
struct bp_region *bp_space_root(struct bp_space *space);

/* Accesses; DMA uses these too. Return 0; -EFAULT when nothing answers at some byte (reads give 0xff
 * there) or the access is not valid; -EIO when a device answers with a bus error. An access that
 * reaches I/O takes the machine lock unless the device is parallel. [any] */
int bp_space_read(struct bp_space *space, uint64_t addr, void *buf, uint64_t len);
int bp_space_write(struct bp_space *space, uint64_t addr, const void *buf, uint64_t len);
/* One access of 1, 2, 4 or 8 bytes. `*ret_value` is set even on failure (to all ones). [any] */
int bp_space_load(struct bp_space *space, uint64_t addr, unsigned size, uint64_t *ret_value);
int bp_space_store(struct bp_space *space, uint64_t addr, unsigned size, uint64_t value);
/* A store that takes no lock but leaves, for who holds a leaf lock: to RAM, or to I/O that is BP_PARALLEL_LEAF.
 * -EAGAIN: something else is there, or not all of it is there; nothing was done. [any] */
int bp_space_post(struct bp_space *space, uint64_t addr, unsigned size, uint64_t value,
                  const struct bp_access *access);
/* Interrupt messages of other processes: each write to this eventfd (borrowed) is bp_space_post() of 4 bytes to the
 * machine's memory from now on, without a thread of ours; said again, it is another message. -ENOTSUP: the accelerator
 * does not do that, and what was said before is over: the caller looks at the descriptor himself. end: so it is from
 * then on. Who holds a leaf lock may call them. [any] */
int bp_machine_post_fd(struct bp_machine *machine, int fd, uint64_t addr, uint32_t value);
void bp_machine_post_fd_end(struct bp_machine *machine, int fd);
/* Reads RAM or ROM and takes no lock. -EAGAIN: something else is there, or not all of it is one piece. [any] */
int bp_space_peek(struct bp_space *space, uint64_t addr, void *buf, uint64_t len);
int bp_space_fill(struct bp_space *space, uint64_t addr, uint8_t byte, uint64_t len);
/* The same with who asks; access NULL: nobody in particular. [any] */
int bp_space_read_as(struct bp_space *space, uint64_t addr, void *buf, uint64_t len,
                     const struct bp_access *access);
int bp_space_write_as(struct bp_space *space, uint64_t addr, const void *buf, uint64_t len,
                      const struct bp_access *access);
int bp_space_load_as(struct bp_space *space, uint64_t addr, unsigned size, uint64_t *ret_value,
                     const struct bp_access *access);
int bp_space_store_as(struct bp_space *space, uint64_t addr, unsigned size, uint64_t value,
                      const struct bp_access *access);

/* Loads firmware into ROM or RAM regardless of read-only protection, as if it always was there. */
int bp_space_write_rom(struct bp_space *space, uint64_t addr, const void *buf, uint64_t len);

/* Where an address leads, for accelerators. What it points to stays valid while the machine lock is
 * held, on a vCPU until its next quiet point (bp/exact/memory.h). Others use bp/dma.h. */
struct bp_mapping {
    size_t size;              /* the caller's sizeof */
    struct bp_region *region; /* NULL: nothing there */
    uint8_t *host;            /* RAM or ROM: host address of `addr`; NULL: I/O */
    uint8_t *dirty;           /* RAM with a dirty log: byte of addr's 4 KiB page, later pages follow; a
                                 writer stores BP_DIRTY_ALL after writing. NULL: nobody asks */
    uint64_t offset;          /* in the region */
    uint64_t length;          /* bytes from `addr` on that behave alike (at most 2^64-1) */
    bool readonly;            /* direct writes are not allowed */
    void *reserved[2];
};
#define BP_DIRTY_ALL 0xffu
void bp_space_lookup(struct bp_space *space, uint64_t addr, struct bp_mapping *ret_mapping); /* [any] */

/* Who writes through bp_region_ram() or a mapping says so here, after writing and before anybody can
 * learn that it is done: the pages are dirty for every log, and code that an accelerator made from
 * them is dropped. [any] */
void bp_region_mark_dirty(struct bp_region *region, uint64_t offset, uint64_t len);

/*
 * Dirty logs: which 4 KiB pages of RAM were written. A client makes a log, and switches it on for
 * the regions it is interested in; where none is on, nobody pays. At most 8 logs at a time.
 */
struct bp_dirty_log; /* opaque */
int bp_dirty_log_new(struct bp_owner *owner, const char *name, struct bp_dirty_log **ret_log,
                     struct bp_error *err); /* [main]; -EBUSY: there are 8 */
void bp_dirty_log_free(struct bp_dirty_log *log); /* stops it everywhere first; NULL is fine; [main] */
/* On and off for a region of RAM. Every page begins dirty. Starts are counted per region. [main] */
void bp_dirty_log_start(struct bp_dirty_log *log, struct bp_region *region);
void bp_dirty_log_stop(struct bp_dirty_log *log, struct bp_region *region);
/* Fetches what accelerators keep for themselves (log_sync of listeners), before reading. [main] */
void bp_dirty_log_sync(struct bp_dirty_log *log, struct bp_region *region);
/* Tells whether any page of the range was written since it was asked last, and forgets it; the caller
 * reads the memory after this call. Right after a start it may say yes without forgetting. [any] */
bool bp_dirty_log_test_clear(struct bp_dirty_log *log, struct bp_region *region, uint64_t offset,
                             uint64_t len);

/* Listeners hear of map changes after a commit. [the committing thread] under the machine lock */
struct bp_section {
    size_t size;
    struct bp_region *region;
    uint64_t start, length, offset; /* guest address, bytes, offset in the region */
    uint8_t *host;                  /* NULL: I/O */
    bool readonly;
    bool logged; /* a dirty log is on */
    bool coalesced; /* I/O whose writes may be late */
    void *reserved[2];
};
struct bp_memory_listener {
    size_t size; /* sizeof(struct bp_memory_listener) */
    void (*begin)(void *opaque);
    void (*removed)(void *opaque, const struct bp_section *section);
    void (*added)(void *opaque, const struct bp_section *section);
    void (*commit)(void *opaque); /* the view changed; also when sections only moved */
    /* Dirty logs of a section: the first was switched on, the last off; and what the listener keeps
     * itself is wanted: it calls bp_region_mark_dirty() for those pages. */
    void (*log_start)(void *opaque, const struct bp_section *section);
    void (*log_stop)(void *opaque, const struct bp_section *section);
    void (*log_sync)(void *opaque, const struct bp_section *section);
    /* Doorbells of a section's region came or went (bp/doorbell.h: bp_doorbell_each() has the list); a
     * section that is added may have some from the beginning. */
    void (*doorbells)(void *opaque, const struct bp_section *section);
    /* bp_region_settle() of a section's region: what the listener keeps back reaches it now. */
    void (*settle)(void *opaque, const struct bp_section *section);
    void *reserved[2];
};
/* A new listener is told every present section at once. `listener` is borrowed until removed. */
void bp_space_listen(struct bp_space *space, const struct bp_memory_listener *listener, void *opaque);
void bp_space_unlisten(struct bp_space *space, const struct bp_memory_listener *listener,
                       void *opaque);

BP_END_DECLS

#endif
