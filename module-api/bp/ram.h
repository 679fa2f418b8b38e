/* SPDX-License-Identifier: MIT */
/*
 * RAM of other kinds than bp_region_new_ram() makes: of a file, shared, on huge pages, on given nodes
 * of the host; and how back ends (objects memory-backend-*) hand it to boards and devices. [main]
 */
#ifndef BP_RAM_H
#define BP_RAM_H

#include <bp/memory.h>

BP_BEGIN_DECLS

struct bp_object;

#define BP_RAM_FD (1u << 0)         /* it lies in `fd`, else it is private memory of the process */
#define BP_RAM_SHARED (1u << 1)     /* others that map the file see writes; else it is a private copy */
#define BP_RAM_READ_ONLY (1u << 2)  /* fd is open for reading alone; with SHARED only as ROM */
#define BP_RAM_ROM (1u << 3)        /* the guest cannot write */
#define BP_RAM_PREALLOC (1u << 4)   /* all of it is there before this returns */
#define BP_RAM_MERGE (1u << 5)      /* the host may merge equal pages (a hint) */
#define BP_RAM_NO_DUMP (1u << 6)    /* not part of core dumps (a hint) */
#define BP_RAM_RESERVE (1u << 7)    /* the host sets swap aside for it */
#define BP_RAM_SYNC (1u << 8)       /* persistent memory: MAP_SYNC */
#define BP_RAM_FORGET (1u << 9)     /* at its end the file's contents need not be kept */

/* As the host's kernel numbers them (set_mempolicy(2)). */
enum bp_ram_policy { BP_RAM_DEFAULT, BP_RAM_PREFERRED, BP_RAM_BIND, BP_RAM_INTERLEAVE };

struct bp_ram_options {
    size_t size;
    uint64_t length;  /* bytes of memory */
    uint32_t flags;   /* BP_RAM_* */
    int fd;           /* with BP_RAM_FD: borrowed, duplicated; as long as offset + length at least */
    uint64_t offset;  /* in the file, whole pages of it */
    uint64_t align;   /* of its host address; 0: what suits */
    uint32_t threads; /* that preallocate; 0: one */
    enum bp_ram_policy policy;
    const uint64_t *nodes; /* bits of the host's nodes: node_words of them, borrowed; NULL: none */
    uint32_t node_words;
    uint32_t reserved32;
    void *reserved[4];
};

int bp_region_new_ram_with(struct bp_owner *owner, const char *name,
                           const struct bp_ram_options *options, struct bp_region **ret_region,
                           struct bp_error *err);
/* The descriptor it lies in (borrowed, as long as the region), to share it; -1: memory of this process alone,
 * a private copy of a file too. */
int bp_region_fd(const struct bp_region *region, uint64_t *ret_offset); /* [any] */

/* A back end offers its memory when it is complete; it takes the offer back with its owner. */
void bp_ram_offer(struct bp_object *backend, struct bp_region *ram);
/* Takes what the back end called `id` offers: each can be had once. `who` takes it, for messages,
 * until `owner` lets go. Errors name the back ends there are. */
int bp_ram_take(const char *id, struct bp_owner *owner, const char *who, struct bp_region **ret_ram,
                struct bp_error *err);
bool bp_ram_is_taken(const struct bp_object *backend);
/* All that is offered, the latest first. */
void bp_ram_each(void (*fn)(struct bp_object *backend, struct bp_region *ram, void *opaque),
                 void *opaque);

BP_END_DECLS

#endif
