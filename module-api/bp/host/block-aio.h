/* SPDX-License-Identifier: MIT */
/*
 * Ways to hand reads and writes of a descriptor to the host's kernel: kind block-aio, of the `block` module.
 * The driver `file` uses the one that its key aio= names; each is a module of its own, so that only who
 * wants it needs its library. (threads is `file`'s own.)
 */
#ifndef BP_HOST_BLOCK_AIO_H
#define BP_HOST_BLOCK_AIO_H

#include <sys/uio.h>

#include <bp/kind.h>
#include <bp/loop.h>
#include <bp/module.h>
#include <bp/object.h>

BP_BEGIN_DECLS

#define BP_BLOCK_AIO_WRITE (1u << 0)
#define BP_BLOCK_AIO_DSYNC (1u << 1) /* a write that is on stable storage when it completes */
#define BP_BLOCK_AIO_SYNC (1u << 2)  /* fdatasync: no vectors */

struct bp_block_aio_class {
    struct bp_type_info type;
    uint32_t flags;
    uint32_t reserved0;
    /* Fails in words when this kernel has no such thing. `owner`: of the node; ends after close. [main] */
    int (*open)(void *state, struct bp_owner *owner, struct bp_error *err);
    void (*close)(void *state); /* nothing is in flight. [main] */
    /* Bytes or -errno, -ENOTSUP: the flags ask for what it cannot do. The vectors' memory is let go when it
     * returns, cancelled or not. [co], any context */
    int64_t (*submit)(void *state, int fd, uint32_t flags, const struct iovec *iov, unsigned iov_count,
                      uint64_t offset);
    /* What is submitted in this context between them goes to the kernel at once. Nests. */
    void (*plug)(void *state);
    void (*unplug)(void *state);
    void *reserved[4];
};
#define BP_BLOCK_AIO_DIRECT (1u << 0) /* waits in the kernel unless the file is open with O_DIRECT */

static const struct bp_shape_slot bp_block_aio_slots[] BP_UNUSED = {
    BP_SHAPE_TYPE, BP_SHAPE_PLAIN(struct bp_block_aio_class, flags, flags), BP_SHAPE_END};
static const struct bp_shape bp_block_aio_shape BP_UNUSED = {
    "bp_block_aio_class", sizeof(struct bp_block_aio_class), bp_block_aio_slots};
#define BP_BLOCK_AIO_KIND \
    .size = sizeof(struct bp_kind), .major = 1, .minor = 0, .name = "block-aio", \
    .heading = "Available ways of asynchronous I/O:", .summary = "Asynchronous I/O of the host", \
    .option = NULL, .prefix = "block-aio-", .parent = "block-aio", .container = "/block-aio", \
    .shape = &bp_block_aio_shape
static const struct bp_kind bp_block_aio_kind BP_UNUSED = {
    BP_BLOCK_AIO_KIND, .check = NULL, .exercise = NULL, .reserved = {NULL}};

/* Listed as {BP_PROVIDE_OTHER, &ident}. */
#define BP_BLOCK_AIO(ident, NAME, SUMMARY, STATE, ...) \
    BP_NOTE("provides=block-aio:" NAME ";summary=" SUMMARY); \
    BP_STORAGE const struct bp_block_aio_class ident = { \
        .type = {.size = sizeof(struct bp_block_aio_class), .flags = 0, .name = "block-aio-" NAME, \
                 .parent = NULL, .summary = SUMMARY, .state_size = sizeof(STATE), .props = NULL, \
                 .state = NULL, .kind = &bp_block_aio_kind, .reserved = {NULL}}, \
        __VA_ARGS__}

BP_END_DECLS

#endif
