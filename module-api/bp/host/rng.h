/* SPDX-License-Identifier: MIT */
/*
 * Sources of random bytes (-object rng-builtin, rng-random, rng-egd): interface rng/1, offered by the
 * `object-rng` module. [main] under the machine lock throughout.
 */
#ifndef BP_HOST_RNG_H
#define BP_HOST_RNG_H

#include <bp/object.h>

BP_BEGIN_DECLS

#define BP_RNG_TYPE "rng-backend" /* what such an object is, for links */
#define BP_RNG_MAX 65536u         /* bytes of one request */

/* One request; the memory is who asks', and stays until `done` or cancel(). */
struct bp_rng_request {
    uint32_t size; /* sizeof(struct bp_rng_request) */
    uint32_t bytes; /* that are wanted: 1..BP_RNG_MAX */
    uint8_t *buf;
    /* Called once, maybe inside of request(): bytes that are there (at least 1), or -errno. */
    void (*done)(struct bp_rng_request *request, int ret);
    void *opaque;
    /* The back end's. */
    struct bp_rng_request *next;
    uint32_t have;
    uint32_t reserved32;
    void *reserved[2];
};

struct bp_rng_interface { /* rng/1 */
    uint32_t size;
    /* `backend`: an object of BP_RNG_TYPE, or NULL for the host's own generator. */
    void (*request)(struct bp_object *backend, struct bp_rng_request *request);
    /* It is not called any more; no effect when it was. */
    void (*cancel)(struct bp_object *backend, struct bp_rng_request *request);
    void *reserved[4];
};

BP_END_DECLS

#endif
