/* SPDX-License-Identifier: MIT */
/*
 * Memory: regions form a tree; an address space flattens its tree into an immutable view that
 * readers use without locks. Addresses and sizes are in bytes; a size may be up to 2^64-1.
 * Changes to regions: [main] or a [vcpu] inside an access, under the machine lock.
 */
#ifndef BP_MEMORY_H
#define BP_MEMORY_H

#include <bp/base.h>
#include <bp/error.h>

BP_BEGIN_DECLS

struct bp_owner;
struct bp_region; /* opaque */
struct bp_space;  /* opaque: an address space */

/* Callbacks of an I/O region. The core splits and widens a guest's access to what is declared. */
struct bp_region_ops {
    /* `addr` is relative to the region; `size` is 1, 2, 4 or 8; values are little-endian numbers. */
    uint64_t (*read)(void *opaque, uint64_t addr, unsigned size);
    void (*write)(void *opaque, uint64_t addr, uint64_t value, unsigned size);
    uint8_t min_access; /* bytes the callbacks can take; 0 means 1 */
    uint8_t max_access; /* 0 means 4 */
    uint8_t unaligned;  /* non-zero: callbacks take unaligned accesses whole */
    uint8_t parallel;   /* non-zero: called without the machine lock */
    /* What a guest may do; anything else is an error (reads give all ones). 0: 1 and 8. */
    uint8_t valid_min, valid_max;
    uint8_t big_endian; /* non-zero: the device is big-endian */
    uint8_t reserved8;
    void *reserved[2];
};

/* Constructors. The region belongs to `owner` (may be NULL: free it yourself). Names are for
 * `info mtree`. */
struct bp_region *bp_region_new(struct bp_owner *owner, const char *name, uint64_t size); /* container */
struct bp_region *bp_region_new_io(struct bp_owner *owner, const char *name, uint64_t size,
                                   const struct bp_region_ops *ops, void *opaque);
int bp_region_new_ram(struct bp_owner *owner, const char *name, uint64_t size,
                      struct bp_region **ret_region, struct bp_error *err); /* memfd-backed, zeroed */
/* ROM: reads are direct; guest writes are dropped, or go to ops->write when `ops` is given. */
int bp_region_new_rom(struct bp_owner *owner, const char *name, uint64_t size,
                      const struct bp_region_ops *ops, void *opaque, struct bp_region **ret_region,
                      struct bp_error *err);
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
uint64_t bp_region_size(const struct bp_region *region);
const char *bp_region_name(const struct bp_region *region);
void *bp_region_ram(const struct bp_region *region); /* host address of RAM or ROM, else NULL */

/* Batches changes: views are rebuilt once, at the outermost commit. */
void bp_memory_begin(void);
void bp_memory_commit(void);

struct bp_space *bp_space_new(struct bp_owner *owner, const char *name, struct bp_region *root);
void bp_space_free(struct bp_space *space);
struct bp_space *bp_space_memory(void); /* system memory of the machine */
struct bp_space *bp_space_io(void);     /* its 64 KiB of I/O ports */
struct bp_region *bp_space_root(struct bp_space *space);

/* Accesses; DMA uses these too. Return 0, or -EFAULT when nothing answers at some byte (reads give
 * 0xff there) or the access is not valid. [any] */
int bp_space_read(struct bp_space *space, uint64_t addr, void *buf, uint64_t len);
int bp_space_write(struct bp_space *space, uint64_t addr, const void *buf, uint64_t len);
/* One access of 1, 2, 4 or 8 bytes. `*ret_value` is set even on failure (to all ones). [any] */
int bp_space_load(struct bp_space *space, uint64_t addr, unsigned size, uint64_t *ret_value);
int bp_space_store(struct bp_space *space, uint64_t addr, unsigned size, uint64_t value);
int bp_space_fill(struct bp_space *space, uint64_t addr, uint8_t byte, uint64_t len);

/* Loads firmware into ROM or RAM regardless of read-only protection, as if it always was there. */
int bp_space_write_rom(struct bp_space *space, uint64_t addr, const void *buf, uint64_t len);

/* Where an address leads, for accelerators and direct DMA. */
struct bp_mapping {
    struct bp_region *region; /* borrowed until the next map change; NULL: nothing there */
    uint8_t *host;            /* RAM or ROM: host address of `addr`; NULL: I/O */
    uint8_t *dirty;           /* RAM: dirty byte of addr's 4 KiB page, later pages follow; a writer
                                 stores BP_DIRTY_ALL after writing. NULL for I/O and ROM */
    uint64_t offset;          /* in the region */
    uint64_t length;          /* bytes from `addr` on that behave alike (at most 2^64-1) */
    bool readonly;            /* direct writes are not allowed */
};
#define BP_DIRTY_ALL 0xffu
void bp_space_lookup(struct bp_space *space, uint64_t addr, struct bp_mapping *ret_mapping); /* [any] */

/* Dirty logs: clients ask which 4 KiB pages of RAM changed. */
enum bp_dirty_client { BP_DIRTY_DISPLAY = 0, BP_DIRTY_MIGRATION = 2 };
/* Who writes through bp_region_ram() or a mapping says so here, after writing and before anybody can
 * learn that it is done: the pages are dirty for every client, and code that an accelerator made
 * from them is dropped. [any] */
void bp_region_mark_dirty(struct bp_region *region, uint64_t offset, uint64_t len);
/* Tells whether any page of the range is dirty for the client, and clears it. [any] */
bool bp_region_test_clear_dirty(struct bp_region *region, uint64_t offset, uint64_t len,
                                enum bp_dirty_client client);

/* Listeners hear of map changes after a commit. [the committing thread] under the machine lock */
struct bp_section {
    struct bp_region *region;
    uint64_t start, length, offset; /* guest address, bytes, offset in the region */
    uint8_t *host;                  /* NULL: I/O */
    bool readonly;
};
struct bp_memory_listener {
    void (*begin)(void *opaque);
    void (*removed)(void *opaque, const struct bp_section *section);
    void (*added)(void *opaque, const struct bp_section *section);
    void (*commit)(void *opaque); /* the view changed; also when sections only moved */
    void *reserved[2];
};
/* A new listener is told every present section at once. `listener` is borrowed until removed. */
void bp_space_listen(struct bp_space *space, const struct bp_memory_listener *listener, void *opaque);
void bp_space_unlisten(struct bp_space *space, const struct bp_memory_listener *listener,
                       void *opaque);

BP_END_DECLS

#endif
