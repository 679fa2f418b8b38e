/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside of module `block-file`: an open file or block device of the host. */
#ifndef BLOCK_FILE_H
#define BLOCK_FILE_H

#include <sys/types.h>

#include <bp/host/block-aio.h>
#include <bp/host/block.h>

struct file_locks {
    int fd; /* of its own: locks belong to an open file, and a reopened one is another; -1: none */
    const char *name;
    uint32_t need, shared;         /* in force */
    uint32_t new_need, new_shared; /* prepared */
};

struct file_state {
    char *filename;
    int aio;     /* enum file_aio */
    int locking; /* auto, on, off */
    int fd;
    int flush_error; /* of a flush that failed: what it lost is lost; -errno */
    bool device;     /* a block device */
    bool generic;    /* a SCSI device (/dev/sg*): no blocks, commands only */
    bool direct, no_flush;
    bool automatic;  /* auto-read-only=on: as those who use it need it */
    unsigned at_once; /* reads since the loop had its turn. Atomic */
    bool written;    /* since it was last known to be flushed. Atomic */
    int access;      /* O_RDONLY or O_RDWR. Atomic */
    int mode_fd;     /* the other way, between permissions_prepare() and its end; -1: as it is */
    int new_fd;      /* between reopen_prepare() and its end; -1: the same */
    bool new_direct, new_automatic, new_no_flush;
    int new_access;
    unsigned align, memory_align;
    uint32_t with_workers; /* requests. Atomic */
    bool cannot_splice;    /* the host's kernel does not tell what is cached. Atomic */
    uint32_t not_cached;   /* so many reads do not look at the page cache first. Atomic */
    struct file_locks locks;
    struct bp_object *engine; /* of kind block-aio; NULL: threads */
    const struct bp_block_aio_class *engine_class;
};
enum file_aio { FILE_AIO_THREADS, FILE_AIO_NATIVE, FILE_AIO_URING };

/* file-lock.c */
int locks_open(struct file_locks *locks, const char *name, int fd, int mode, struct bp_error *err);
void locks_close(struct file_locks *locks);
int locks_prepare(struct file_locks *locks, uint32_t need, uint32_t shared, struct bp_error *err);
void locks_commit(struct file_locks *locks);
void locks_abort(struct file_locks *locks);

/* file-mode.c */
int file_mode_open(struct file_state *s, const struct bp_block_open_flags *flags, bool *ret_fell_back,
                   struct bp_error *err);
int file_mode_again(const struct file_state *s, int flags);
bool file_mode_is_refusal(int error);
bool file_mode_may_write(const struct file_state *s);
int file_mode_prepare(struct file_state *s, uint32_t need, struct bp_error *err);
void file_mode_commit(struct file_state *s);
void file_mode_abort(struct file_state *s);
int file_mode_writes(struct file_state *s);

/* file-open.c */
int file_open_fd(const char *name, int flags, struct bp_error *err);
void file_probe_alignment(struct file_state *s);
int64_t file_fd_length(int fd, bool device);

/* file-splice.c */
int64_t file_splice(struct file_state *s, uint64_t offset, uint64_t bytes, int pipe);

/* file-scsi.c */
bool file_is_generic(int fd); /* a character device that takes SCSI commands */
int file_scsi_carry_out(int fd, struct bp_block_scsi *command); /* waits for its end. [any] */

#endif
