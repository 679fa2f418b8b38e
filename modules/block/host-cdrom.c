/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-host-cdrom`: driver `host_cdrom`, a CD or DVD drive of the host whose tray and door follow the guest's,
 * and the guest's follow it. What the drive is asked (linux/cdrom.h; Documentation/userspace-api/ioctl/cdrom.rst) may
 * take seconds: worker threads ask, once a second and when something is wanted of it. It is opened with O_NONBLOCK, as
 * that opens drives without a disc, and again after each change of the disc: so the kernel learns its length.
 * Left out: writing, audio, the guest's own commands (scsi-block passes those on).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/cdrom.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <bp/coroutine.h>
#include <bp/file.h>
#include <bp/host/block.h>
#include <bp/log.h>

BP_USE(block, struct bp_block_interface, "block", 1);
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

#define EVERY INT64_C(1000000000) /* ns between two looks */

enum wanted { NOTHING, OPEN, CLOSED };

struct drive {
    char *filename;
    int aio;     /* enumerated; threads are all there are */
    int locking; /* auto, on, off */
    int fd;
    bool direct;
    unsigned sector; /* bytes */
    struct bp_timer *timer;
    struct bp_co *looker, *closer; /* who looks at it now, and who waits for that; [main] */
    bool closing;

    /* What the guest wants of it. Atomic */
    int tray;     /* enum wanted */
    bool locked;
    /* Of who looks at it: one at a time. */
    bool is_locked;
    bool told; /* of what cannot be done; once each time. Atomic */
    /* As it was when somebody looked last. Atomic */
    bool inserted, open;
    uint64_t length;
};

/* ---- the drive ---- */

static void cannot(struct drive *s, const char *what)
{
    int error = errno;

    if (!__atomic_exchange_n(&s->told, true, __ATOMIC_ACQ_REL))
        bp_warn("cannot %s of the CD drive '%s': %s", what, s->filename, strerror(error));
}

static void lock_door(struct drive *s, bool locked)
{
    if (s->is_locked == locked)
        return;
    if (ioctl(s->fd, CDROM_LOCKDOOR, locked ? 1 : 0) == 0)
        s->is_locked = locked;
    else
        cannot(s, locked ? "lock the door" : "unlock the door");
}

/* A disc is there, or the drive does not say and has something to read. */
static bool has_disc(const struct drive *s, int status, uint64_t length)
{
    if (status == CDS_DRIVE_NOT_READY) /* it spins up: as before */
        return s->inserted;
    return status == CDS_DISC_OK || (status == CDS_NO_INFO && length > 0);
}

static uint64_t device_length(int fd)
{
    uint64_t bytes = 0;

    return ioctl(fd, BLKGETSIZE64, &bytes) == 0 && bytes <= BP_BLOCK_MAX_LENGTH ? bytes : 0;
}

/* The number of the descriptor stays, so that requests under way never meet a closed one. */
static void open_again(struct drive *s)
{
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fd);
    fd = bp_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | (s->direct ? O_DIRECT : 0), 0);
    if (fd < 0)
        return; /* as long as it was, then */
    while (dup3(fd, s->fd, O_CLOEXEC) < 0 && (errno == EINTR || errno == EBUSY))
        ;
    close(fd);
}

struct look {
    struct drive *s;
    int tray;
    bool changed; /* out: another disc, or none any more */
    bool open;    /* out */
};

static void move_tray(struct drive *s, int tray)
{
    int status = ioctl(s->fd, CDROM_DRIVE_STATUS, CDSL_CURRENT);

    if (tray == OPEN && status != CDS_TRAY_OPEN) {
        lock_door(s, false); /* the guest's is open: its lock does not hold any more */
        if (ioctl(s->fd, CDROMEJECT, 0) < 0)
            cannot(s, "open the tray");
    }
    if (tray == CLOSED && status == CDS_TRAY_OPEN && ioctl(s->fd, CDROMCLOSETRAY, 0) < 0)
        cannot(s, "close the tray");
}

/* On a worker: does what is wanted, and looks how it is. */
static void look_at(void *opaque)
{
    struct look *look = opaque;
    struct drive *s = look->s;
    bool changed, had = s->inserted, has;
    uint64_t length;
    int status;

    if (!__atomic_load_n(&s->locked, __ATOMIC_ACQUIRE))
        lock_door(s, false);
    if (look->tray != NOTHING)
        move_tray(s, look->tray);
    if (__atomic_load_n(&s->locked, __ATOMIC_ACQUIRE) && look->tray != OPEN)
        lock_door(s, true);
    status = ioctl(s->fd, CDROM_DRIVE_STATUS, CDSL_CURRENT);
    changed = ioctl(s->fd, CDROM_MEDIA_CHANGED, CDSL_CURRENT) > 0;
    has = has_disc(s, status, s->length);
    if ((has && (changed || !had)) || status == CDS_NO_INFO)
        open_again(s);
    length = has || status == CDS_NO_INFO ? device_length(s->fd) : 0;
    has = has_disc(s, status, length);
    look->changed = has != had || (has && changed) || length != s->length;
    look->open = status == CDS_TRAY_OPEN;
    __atomic_store_n(&s->length, length, __ATOMIC_RELEASE);
    __atomic_store_n(&s->inserted, has, __ATOMIC_RELEASE);
    __atomic_store_n(&s->open, look->open, __ATOMIC_RELEASE);
}

/* ---- looking at it from time to time: the main context ---- */

static void wait_a_while(struct drive *s, int64_t ns)
{
    if (!__atomic_load_n(&s->closing, __ATOMIC_ACQUIRE))
        bp_timer_set(s->timer, bp_clock_ns(BP_CLOCK_REALTIME) + ns);
}

static void look_once(void *opaque)
{
    struct drive *s = opaque;
    struct look look = {.s = s, .tray = __atomic_exchange_n(&s->tray, NOTHING, __ATOMIC_ACQ_REL)};

    bp_co_worker(look_at, &look);
    /* What the guest wants by now comes first: the drive is not yet as it will be. */
    if (!s->closing && __atomic_load_n(&s->tray, __ATOMIC_ACQUIRE) == NOTHING) {
        block->medium(block->of_state(s), s->length, look.open, look.changed);
        wait_a_while(s, EVERY);
    } else {
        wait_a_while(s, 0);
    }
    bp_co_unref(s->looker);
    s->looker = NULL;
    if (s->closer)
        bp_co_wake(s->closer);
}

static void look_now(void *opaque)
{
    struct drive *s = opaque;

    if (s->looker || s->closing)
        return; /* it sets the timer when it is done */
    if (bp_co_new(NULL, bp_context_main(NULL), "host-cdrom", look_once, s, &s->looker, NULL) < 0) {
        wait_a_while(s, EVERY);
        return;
    }
    bp_co_enter(s->looker);
}

/* ---- what the guest does ---- */

static bool cdrom_inserted(struct bp_block_node *node)
{
    const struct drive *s = block->state(node);

    return __atomic_load_n(&s->inserted, __ATOMIC_ACQUIRE);
}

static int cdrom_eject(struct bp_block_node *node, bool open)
{
    struct drive *s = block->state(node);

    if (open == __atomic_load_n(&s->open, __ATOMIC_ACQUIRE) &&
        __atomic_load_n(&s->tray, __ATOMIC_ACQUIRE) == NOTHING)
        return 0; /* its own news come back */
    __atomic_store_n(&s->tray, open ? OPEN : CLOSED, __ATOMIC_RELEASE);
    __atomic_store_n(&s->told, false, __ATOMIC_RELEASE);
    wait_a_while(s, 0);
    return 0;
}

static int cdrom_lock(struct bp_block_node *node, bool locked)
{
    struct drive *s = block->state(node);

    if (__atomic_exchange_n(&s->locked, locked, __ATOMIC_ACQ_REL) == locked)
        return 0;
    __atomic_store_n(&s->told, false, __ATOMIC_RELEASE);
    wait_a_while(s, 0);
    return 0;
}

/* ---- requests ---- */

struct op {
    struct drive *s;
    const struct bp_block_request *req;
    int ret;
};

/* What is left of vectors after `done` bytes. */
static int rest(struct iovec *to, const struct bp_block_request *req, uint64_t done)
{
    int used = 0;

    for (unsigned i = 0; i < req->iov_count; i++) {
        if (done >= req->iov[i].iov_len) {
            done -= req->iov[i].iov_len;
            continue;
        }
        to[used].iov_base = (char *)req->iov[i].iov_base + done;
        to[used++].iov_len = req->iov[i].iov_len - (size_t)done;
        done = 0;
    }
    return used;
}

static void read_it(void *opaque)
{
    struct op *op = opaque;
    struct iovec *iov = malloc((op->req->iov_count ? op->req->iov_count : 1) * sizeof(*iov));
    int status;

    op->ret = iov ? 0 : -ENOMEM;
    for (uint64_t done = 0; op->ret == 0 && done < op->req->bytes;) {
        ssize_t got = preadv(op->s->fd, iov, rest(iov, op->req, done), (off_t)(op->req->offset + done));

        if (got > 0)
            done += (uint64_t)got;
        else if (got == 0)
            op->ret = -EIO; /* a disc that is shorter has come */
        else if (errno != EINTR)
            op->ret = -errno;
    }
    free(iov);
    if (op->ret == 0 || op->ret == -ENOMEM)
        return;
    status = ioctl(op->s->fd, CDROM_DRIVE_STATUS, CDSL_CURRENT);
    if (status == CDS_NO_DISC || status == CDS_TRAY_OPEN)
        op->ret = -ENOMEDIUM;
}

static int cdrom_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct op op = {block->state(node), req, 0};

    if (block->may_wait())
        bp_co_worker(read_it, &op);
    else
        read_it(&op);
    if (op.ret < 0)
        wait_a_while(op.s, 0);
    return op.ret;
}

static int64_t cdrom_length(struct bp_block_node *node)
{
    const struct drive *s = block->state(node);

    return (int64_t)__atomic_load_n(&s->length, __ATOMIC_ACQUIRE);
}

static void cdrom_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    const struct drive *s = block->state(node);

    limits->max_iov = 1024; /* IOV_MAX */
    limits->logical_block = s->sector;
    limits->request_alignment = s->direct ? s->sector : 1;
    limits->memory_alignment = s->direct ? 4096 : 1;
}

/* ---- opening ---- */

static int check_keys(const struct drive *s, struct bp_error *err)
{
    if (!s->filename || !*s->filename)
        return bp_fail(err, EINVAL, "key 'filename' is missing");
    if (s->aio)
        return bp_fail(err, EINVAL, "driver 'host_cdrom': a CD drive is read by threads: aio=threads");
    if (s->locking == 1)
        return bp_fail(err, EINVAL, "driver 'host_cdrom': a CD drive is not locked as files are: locking=off");
    return 0;
}

static int check_drive(const struct drive *s, struct bp_error *err)
{
    struct stat st;

    if (fstat(s->fd, &st) < 0 || !S_ISBLK(st.st_mode))
        return bp_fail(err, EINVAL, "driver 'host_cdrom': '%s' is no CD drive; driver=file opens files", s->filename);
    if (ioctl(s->fd, CDROM_DRIVE_STATUS, CDSL_CURRENT) < 0)
        return bp_fail(err, EINVAL, "driver 'host_cdrom': '%s' is no CD drive; driver=host_device opens other block "
                       "devices", s->filename);
    return 0;
}

static int cdrom_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct drive *s = block->state(node);
    struct look look = {.s = s, .tray = NOTHING};
    int sector = 0, ret = check_keys(s, err);

    if (ret < 0)
        return ret;
    s->direct = flags->direct;
    s->fd = bp_open(s->filename, O_RDONLY | O_NONBLOCK | O_NOCTTY | (s->direct ? O_DIRECT : 0), 0);
    if (s->fd < 0)
        return bp_fail(err, -s->fd, "cannot open '%s': %s", s->filename, strerror(-s->fd));
    ret = check_drive(s, err);
    if (ret < 0) {
        close(s->fd);
        return ret;
    }
    s->sector = ioctl(s->fd, BLKSSZGET, &sector) == 0 && sector >= 512 && (sector & (sector - 1)) == 0
                    ? (unsigned)sector : CD_FRAMESIZE;
    look_at(&look);
    if (!flags->read_only)
        block->set_read_only(node);
    block->set_filename(node, s->filename);
    s->timer = bp_timer_new(block->owner(node), bp_context_main(NULL), BP_CLOCK_REALTIME, look_now, s);
    wait_a_while(s, 0);
    return 0;
}

static void cdrom_close(struct bp_block_node *node)
{
    struct drive *s = block->state(node);

    __atomic_store_n(&s->closing, true, __ATOMIC_RELEASE);
    bp_timer_free(s->timer);
    if (__atomic_exchange_n(&s->locked, false, __ATOMIC_ACQ_REL) && s->looker) /* the process may end before it does */
        ioctl(s->fd, CDROM_LOCKDOOR, 0);
    s->closer = bp_co_current();
    while (s->looker)
        bp_co_await();
    if (s->tray == OPEN) /* a tray that is to open before the drive is left */
        move_tray(s, OPEN);
    lock_door(s, false);
    close(s->fd);
}

static const char *const aio_names[] = {"threads", "native", "io_uring", NULL};
static const struct bp_schema aio_schema = {"BlockdevAioOptions", BP_KIND_ENUM, .choices = aio_names};
static const struct bp_field props[] = {
    BP_PROP("filename", STRING, struct drive, filename, NULL, "CD or DVD drive of the host: /dev/cdrom"),
    BP_PROP_ENUM("aio", &aio_schema, struct drive, aio, "threads", "threads, as is no other way"),
    BP_PROP("locking", ON_OFF_AUTO, struct drive, locking, "auto", "off, as drives are not locked"),
    BP_FIELDS_END};

BP_BLOCK_DRIVER(cdrom_driver, "host_cdrom", "A CD or DVD drive of the host", struct drive, props,
                .flags = BP_BLOCK_PROTOCOL | BP_BLOCK_READ_ONLY_DRIVER, .open = cdrom_open, .close = cdrom_close,
                .read = cdrom_read, .length = cdrom_length, .limits = cdrom_limits, .inserted = cdrom_inserted,
                .eject = cdrom_eject, .lock_tray = cdrom_lock);
BP_MODULE("block-host-cdrom", "CD and DVD drives of the host", imports, {BP_PROVIDE_OTHER, &cdrom_driver});
