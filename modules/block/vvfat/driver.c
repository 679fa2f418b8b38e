/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-vvfat`: a folder of the host as a disk with a FAT12, FAT16 or FAT32 file system, to be read. What it is
 * made of is looked at when it is opened; files are read when the guest reads them, as they are then, up to the length
 * that they had.
 * Leaves out: writing to the folder (an overlay above it keeps what guests write).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bp/coroutine.h>
#include <bp/log.h>

#include "vvfat.h"

BP_USE(block, struct bp_block_interface, "block", 1);
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

#define MOST_BYTES (1u << 20) /* of a request */

struct vvfat_state {
    char *filename, *dir, *label;
    uint64_t fat_type;
    bool floppy, rw;
    struct disk *disk;
};

/* ---- reading, on worker threads ---- */

/* The fd of a file, for as long as the lock is held; or -errno. */
static int file_of(struct disk *d, uint32_t item)
{
    struct open_file *oldest = &d->files[0];
    struct stat st;
    int fd;

    d->clock++;
    for (unsigned i = 0; i < OPEN_FILES; i++) {
        struct open_file *f = &d->files[i];

        if (f->fd >= 0 && f->item == item) {
            f->used = d->clock;
            return f->fd;
        }
        if (f->fd < 0 || (oldest->fd >= 0 && f->used < oldest->used))
            oldest = f;
    }
    fd = tree_open(&d->tree, item, O_RDONLY);
    if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        fd = -ESTALE;
    }
    if (fd < 0)
        return fd;
    if (oldest->fd >= 0)
        close(oldest->fd);
    *oldest = (struct open_file){.fd = fd, .item = item, .used = d->clock};
    return fd;
}

/* A file that became shorter ends with zeroes. */
static int read_file(struct disk *d, uint32_t item, uint64_t offset, uint8_t *to, size_t bytes)
{
    int fd;

    pthread_mutex_lock(&d->lock);
    fd = file_of(d, item);
    while (fd >= 0 && bytes > 0) {
        ssize_t n = pread(fd, to, bytes, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            fd = -errno;
        if (n <= 0)
            break;
        to += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    pthread_mutex_unlock(&d->lock);
    return fd < 0 ? fd : 0;
}

/* As much as one item has from there on; what nobody has is zeroes. The number of bytes, or -errno. */
static int64_t read_data(struct disk *d, uint64_t offset, uint8_t *to, uint64_t bytes)
{
    uint64_t cluster_bytes = d->g.per_cluster * SECTOR, at = offset % cluster_bytes;
    uint32_t cluster = (uint32_t)(offset / cluster_bytes) + 2, owner = layout_owner(d, cluster);
    const struct item *item;
    uint64_t there, most;
    int ret = 0;

    if (owner == UINT32_MAX) {
        most = cluster_bytes - at;
        most = most < bytes ? most : bytes;
        memset(to, 0, most);
        return (int64_t)most;
    }
    item = &d->tree.items[owner];
    at += (cluster - item->first) * cluster_bytes;
    most = item->clusters * cluster_bytes - at;
    most = most < bytes ? most : bytes;
    there = at < item->size ? item->size - at : 0;
    there = there < most ? there : most;
    memset(to, 0, most);
    if (there > 0 && item->folder)
        memcpy(to, item->entries + at, there);
    else if (there > 0)
        ret = read_file(d, owner, at, to, there);
    return ret < 0 ? ret : (int64_t)most;
}

static int read_all(struct disk *d, uint64_t offset, uint8_t *to, uint64_t bytes)
{
    uint64_t data = data_start(&d->g) * SECTOR, end = data + (uint64_t)d->g.clusters * d->g.per_cluster * SECTOR;

    while (bytes > 0) {
        int64_t n = SECTOR;

        if (offset < data)
            layout_sector(d, offset / SECTOR, to);
        else if (offset >= end)
            memset(to, 0, SECTOR);
        else
            n = read_data(d, offset - data, to, bytes < end - offset ? bytes : end - offset);
        if (n < 0)
            return (int)n;
        to += n;
        offset += (uint64_t)n;
        bytes -= (uint64_t)n;
    }
    return 0;
}

struct call {
    struct disk *d;
    uint8_t *buf;
    uint64_t offset, bytes;
    int ret;
};

static void carry_out(void *opaque)
{
    struct call *c = opaque;

    c->ret = read_all(c->d, c->offset, c->buf, c->bytes);
}

static int vvfat_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct vvfat_state *s = block->state(node);
    struct call c = {.d = s->disk, .offset = req->offset, .bytes = req->bytes, .buf = malloc((size_t)req->bytes)};
    const uint8_t *from = c.buf;

    if (!c.buf)
        return -ENOMEM;
    if (block->may_wait())
        bp_co_worker(carry_out, &c);
    else
        carry_out(&c);
    for (unsigned i = 0; c.ret == 0 && i < req->iov_count; i++) {
        memcpy(req->iov[i].iov_base, from, req->iov[i].iov_len);
        from += req->iov[i].iov_len;
    }
    free(c.buf);
    return c.ret;
}

static int64_t vvfat_length(struct bp_block_node *node)
{
    struct vvfat_state *s = block->state(node);

    return (int64_t)(s->disk->g.disk_sectors * SECTOR);
}

static void vvfat_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    (void)node;
    limits->request_alignment = SECTOR;
    limits->max_transfer = MOST_BYTES;
}

/* ---- what is asked for ---- */

struct wanted {
    const char *dir, *label;
    uint64_t fat_type;
    bool floppy, rw;
};

/* fat:[floppy:][12:|16:|32:][rw:]FOLDER */
static int take_name(const char *name, struct wanted *w, struct bp_error *err)
{
    if (strncmp(name, "fat:", 4) != 0)
        return bp_fail(err, EINVAL, "vvfat: '%.200s' is not fat:[floppy:][12:|16:|32:][rw:]FOLDER", name);
    for (name += 4;;) {
        if (!strncmp(name, "floppy:", 7)) {
            w->floppy = true;
            name += 7;
        } else if (!strncmp(name, "rw:", 3)) {
            w->rw = true;
            name += 3;
        } else if (!strncmp(name, "12:", 3) || !strncmp(name, "16:", 3) || !strncmp(name, "32:", 3)) {
            w->fat_type = (uint64_t)strtoul(name, NULL, 10);
            name += 3;
        } else {
            break;
        }
    }
    w->dir = name;
    return *name ? 0 : bp_fail(err, EINVAL, "vvfat: the folder is missing: fat:[floppy:][12:|16:|32:][rw:]FOLDER");
}

static int take_label(struct geometry *g, const char *label, struct bp_error *err)
{
    size_t n = strlen(label);

    if (n == 0 || n > SHORT_NAME || *label == ' ')
        return bp_fail(err, EINVAL, "vvfat: key 'label' expects 1 to %u characters", SHORT_NAME);
    for (size_t i = 0; i < n; i++) {
        if ((uint8_t)label[i] < 32 || (uint8_t)label[i] > 126 || strchr("\"*+,./:;<=>?[\\]|", label[i]))
            return bp_fail(err, EINVAL, "vvfat: key 'label' expects letters, digits and what else a FAT volume may be "
                           "called");
        g->label[i] = label[i] >= 'a' && label[i] <= 'z' ? (char)(label[i] - 32) : label[i];
    }
    return 0;
}

static int check(const struct vvfat_state *s, struct wanted *w, struct geometry *g, struct bp_error *err)
{
    int ret = 0;

    *w = (struct wanted){.dir = s->dir, .label = s->label, .fat_type = s->fat_type, .floppy = s->floppy, .rw = s->rw};
    if (s->filename && s->dir)
        return bp_fail(err, EINVAL, "vvfat: the folder is given twice: by a name and by key 'dir'");
    if (s->filename)
        ret = take_name(s->filename, w, err);
    if (ret < 0)
        return ret;
    if (!w->dir || !*w->dir)
        return bp_fail(err, EINVAL, "vvfat: key 'dir' is missing: the folder");
    if (w->fat_type != 0 && w->fat_type != 12 && w->fat_type != 16 && w->fat_type != 32)
        return bp_fail(err, EINVAL, "vvfat: key 'fat-type' expects 12, 16 or 32");
    if (w->rw)
        return bp_fail(err, ENOTSUP, "vvfat: writing to the folder is not built: without rw, and with snapshot=on when "
                       "the guest is to write");
    g->bits = (unsigned)w->fat_type;
    g->floppy = w->floppy;
    return take_label(g, w->label ? w->label : "BACKPLANE", err);
}

/* The same folder has the same number each time. */
static uint32_t serial_of(const char *path)
{
    uint32_t h = 2166136261u;

    for (; *path; path++)
        h = (h ^ (uint8_t)*path) * 16777619u;
    return h;
}

static void disk_free(struct disk *d)
{
    for (unsigned i = 0; i < OPEN_FILES; i++)
        if (d->files[i].fd >= 0)
            close(d->files[i].fd);
    tree_free(&d->tree);
    free(d->runs);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

struct opening {
    struct disk *d;
    const char *dir;
    struct bp_error *err;
    int ret;
};

static void look_and_place(void *opaque)
{
    struct opening *o = opaque;

    o->ret = tree_scan(&o->d->tree, o->dir, o->err);
    if (o->ret == 0)
        o->ret = layout_make(o->d, o->err);
}

static int vvfat_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct vvfat_state *s = block->state(node);
    struct opening o = {.err = err};
    struct geometry g = {0};
    struct wanted w;
    int ret = check(s, &w, &g, err);

    (void)flags;
    if (ret < 0)
        return ret;
    o.d = bp_alloc(sizeof(*o.d));
    *o.d = (struct disk){.g = g, .tree = {.fd = -1}};
    o.d->g.serial = serial_of(w.dir);
    o.dir = w.dir;
    for (unsigned i = 0; i < OPEN_FILES; i++)
        o.d->files[i].fd = -1;
    pthread_mutex_init(&o.d->lock, NULL);
    if (block->may_wait())
        bp_co_worker(look_and_place, &o);
    else
        look_and_place(&o);
    if (o.ret < 0) {
        disk_free(o.d);
        return o.ret;
    }
    if (o.d->tree.left_out)
        bp_warn("vvfat: '%s': the guest does not see %u of what is there ('%s'%s): symbolic links, what is no file, "
                "names and sizes that FAT cannot have", w.dir, o.d->tree.left_out, o.d->tree.first_left_out,
                o.d->tree.left_out > 1 ? ", ..." : "");
    s->disk = o.d;
    block->set_filename(node, s->filename ? s->filename : "");
    return 0;
}

static void vvfat_close(struct bp_block_node *node)
{
    struct vvfat_state *s = block->state(node);

    disk_free(s->disk);
    s->disk = NULL;
}

static const struct bp_field props[] = {
    BP_PROP("filename", STRING, struct vvfat_state, filename, NULL,
            "all of it as a name: fat:[floppy:][12:|16:|32:][rw:]FOLDER"),
    BP_PROP("dir", STRING, struct vvfat_state, dir, NULL, "the folder"),
    BP_PROP("fat-type", UINT64, struct vvfat_state, fat_type, "0",
            "12, 16 or 32; 0: 12 on floppy disks, else 16, or 32 when that is too small"),
    BP_PROP("floppy", BOOL, struct vvfat_state, floppy, "off", "a floppy disk, of 1.44 or 2.88 MB"),
    BP_PROP("label", STRING, struct vvfat_state, label, NULL, "the volume's name, at most 11 characters; BACKPLANE"),
    BP_PROP("rw", BOOL, struct vvfat_state, rw, "off", "not built: writing to the folder"),
    BP_FIELDS_END};

BP_BLOCK_DRIVER(vvfat_driver, "vvfat", "Folders of the host as FAT disks, read-only", struct vvfat_state, props,
                .flags = BP_BLOCK_PROTOCOL | BP_BLOCK_READ_ONLY_DRIVER, .open = vvfat_open, .close = vvfat_close,
                .read = vvfat_read, .length = vvfat_length, .limits = vvfat_limits);
BP_MODULE("block-vvfat", "Folders of the host as FAT disks", imports, {BP_PROVIDE_OTHER, &vvfat_driver});
