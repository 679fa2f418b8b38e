/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the memory back ends share: properties, the way to a region of RAM. */
#ifndef RAM_BACKEND_H
#define RAM_BACKEND_H

#include <bp/level.h>
#include <bp/ram.h>

#define MOST_NODES 128u

/* The level below each class. */
struct backend {
    uint64_t length;
    bool merge, dump, prealloc, reserve, canonical;
    uint32_t threads;
    int policy; /* enum bp_ram_policy */
    uint64_t nodes[MOST_NODES / 64];
    struct bp_region *ram;
};

extern const struct bp_level_class backend_level;
extern const char *const backend_policies[];
static inline struct backend *backend_of(struct bp_object *obj)
{
    return bp_object_level(obj, &backend_level);
}
/* `share` with the default of the class, whose state is STATE. */
#define BACKEND_SHARE(STATE, DEFAULT) \
    BP_PROP("share", BOOL, STATE, share, DEFAULT, \
            "other processes that have the descriptor see what is written")

/* Makes the region from the common properties and what the class has put into `o` (flags are added to,
 * fd is taken over and closed), and offers it. 0 or -errno. */
int backend_complete(struct bp_object *obj, struct bp_ram_options *o, struct bp_error *err);
/* Checks that need no descriptor, to be made first. */
int backend_check(struct bp_object *obj, struct bp_error *err);
bool backend_can_delete(struct bp_object *obj);

/* The classes and what goes with them. */
extern const struct bp_object_class backend_ram, backend_file, backend_memfd, backend_shm;

#endif
