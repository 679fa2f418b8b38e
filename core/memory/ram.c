/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * RAM and ROM: host memory that is reserved, not committed, so that hundreds of GiB cost nothing
 * until the guest touches them; and the dirty bytes of RAM. By default it is private anonymous
 * memory, which the host can merge and put on huge pages; bp/ram.h has the other kinds.
 */
#include <bp/memory.h>
#include <bp/ram.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <glib.h>

#include "marks.h"
#include "memory.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define HUGE_PAGE (UINT64_C(2) << 20)
#define MOST_THREADS 64u

static uint64_t round_up(uint64_t size, uint64_t unit)
{
    return (size + unit - 1) & ~(unit - 1);
}

static uint64_t dirty_bytes(uint64_t host_size)
{
    return round_up(host_size >> BPC_PAGE_SHIFT, BPC_PAGE_SIZE);
}

static uint64_t page_of(const struct bp_ram_options *o)
{
    struct statfs fs;

    if (o->flags & BP_RAM_FD && fstatfs(o->fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC)
        return (uint64_t)fs.f_bsize;
    return BPC_PAGE_SIZE;
}

/* ---- mapping ---- */

/* Maps `size` bytes at a host address that huge pages can back. NULL: see errno. */
static uint8_t *map(const struct bp_ram_options *o, uint64_t size, uint64_t page)
{
    bool shared = o->flags & BP_RAM_SHARED, file = o->flags & BP_RAM_FD;
    uint64_t align = MAX(MAX(o->align, page), size >= HUGE_PAGE ? HUGE_PAGE : BPC_PAGE_SIZE);
    int protection = PROT_READ | (o->flags & BP_RAM_READ_ONLY && shared ? 0 : PROT_WRITE);
    int flags = MAP_FIXED | (shared ? MAP_SHARED : MAP_PRIVATE) | (file ? 0 : MAP_ANONYMOUS) |
                (o->flags & BP_RAM_RESERVE ? 0 : MAP_NORESERVE);
    uint8_t *area, *start;
    size_t before, after;

    if (o->flags & BP_RAM_SYNC)
        flags = (flags & ~MAP_SHARED) | MAP_SHARED_VALIDATE | MAP_SYNC;
    area = mmap(NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED)
        return NULL;
    start = (uint8_t *)round_up((uintptr_t)area, align);
    before = (size_t)(start - area);
    after = align - before;
    if (mmap(start, size, protection, flags, file ? o->fd : -1, (off_t)o->offset) == MAP_FAILED) {
        int saved = errno;

        munmap(area, size + align);
        errno = saved;
        return NULL;
    }
    if (before)
        munmap(area, before);
    if (after)
        munmap(start + size, after);
    return start;
}

static int check_size(const char *name, uint64_t size, struct bp_error *err)
{
    if (size == 0 || size > (UINT64_C(1) << 46))
        return bp_fail(err, EINVAL, "memory '%s': a size of %llu bytes is not possible", name,
                       (unsigned long long)size);
    return 0;
}

static int no_memory(const char *name, uint64_t size, int ret, struct bp_error *err)
{
    return bp_fail(err, -ret, "cannot set up guest memory '%s' of %llu bytes: %s", name,
                   (unsigned long long)size, strerror(-ret));
}

static int check(const char *name, const struct bp_ram_options *o, uint64_t page,
                 struct bp_error *err)
{
    int ret = check_size(name, o->length, err);

    if (ret < 0)
        return ret;
    if (o->align & (o->align - 1))
        return bp_fail(err, EINVAL, "memory '%s': an alignment is a power of two, not %llu", name,
                       (unsigned long long)o->align);
    if (o->offset % page)
        return bp_fail(err, EINVAL, "memory '%s': the offset in its file, %llu, is not a multiple of "
                       "the page size there, %llu", name, (unsigned long long)o->offset,
                       (unsigned long long)page);
    if (page > BPC_PAGE_SIZE && o->length % page)
        return bp_fail(err, EINVAL, "memory '%s': its size, %llu, is not a multiple of the huge pages "
                       "that it lies on, %llu", name, (unsigned long long)o->length,
                       (unsigned long long)page);
    if (o->flags & BP_RAM_READ_ONLY && o->flags & BP_RAM_SHARED && !(o->flags & BP_RAM_ROM))
        return bp_fail(err, EINVAL, "memory '%s': a shared file that is open for reading alone can only "
                       "be ROM", name);
    return 0;
}

/* ---- nodes ---- */

static int bind_nodes(const char *name, const struct bp_ram_options *o, uint8_t *host,
                      uint64_t size, struct bp_error *err)
{
    static const int modes[] = {MPOL_DEFAULT, MPOL_PREFERRED, MPOL_BIND, MPOL_INTERLEAVE};
    static const char *const words[] = {"default", "preferred", "bind", "interleave"};

    if (o->policy == BP_RAM_DEFAULT)
        return 0;
    if (syscall(SYS_mbind, host, size, modes[o->policy], o->nodes, (unsigned long)o->node_words * 64 + 1,
                MPOL_MF_STRICT | MPOL_MF_MOVE) == 0)
        return 0;
    return bp_fail(err, errno, "memory '%s': the host does not take policy '%s' for these nodes: %s%s",
                   name, words[o->policy], strerror(errno),
                   errno == EINVAL ? " (is there such a node?)" : "");
}

/* ---- preallocation ---- */

struct toucher {
    pthread_t thread;
    uint8_t *from;
    uint64_t length, page;
    bool write, started;
    int ret;
};

static void *touch(void *opaque)
{
    struct toucher *t = opaque;

    if (madvise(t->from, t->length, MADV_POPULATE_WRITE) == 0)
        return NULL;
    if (errno != EINVAL) {
        t->ret = errno == EFAULT || errno == EHWPOISON ? -ENOMEM : -errno;
        return NULL;
    }
    /* A host that cannot say whether there is enough (Linux before 5.14): only for small pages. */
    if (t->page > BPC_PAGE_SIZE) {
        t->ret = -EOPNOTSUPP;
        return NULL;
    }
    for (uint64_t at = 0; at < t->length; at += t->page)
        __atomic_fetch_add(t->from + at, 0, __ATOMIC_RELAXED);
    return NULL;
}

static int preallocate(const struct bp_ram_options *o, uint8_t *host, uint64_t size, uint64_t page)
{
    uint64_t pages = size / page;
    unsigned count = (unsigned)MIN(MIN(MAX(o->threads, 1u), MOST_THREADS), pages);
    struct toucher parts[MOST_THREADS] = {0};
    int ret = 0;

    /* A file system that is full says so here, not by a signal later. */
    if (o->flags & BP_RAM_FD && o->flags & BP_RAM_SHARED && page == BPC_PAGE_SIZE &&
        (ret = posix_fallocate(o->fd, (off_t)o->offset, (off_t)size)) != 0 && ret != EOPNOTSUPP)
        return -ret;
    ret = 0;
    for (unsigned i = 0; i < count; i++) {
        uint64_t first = pages * i / count, last = pages * (i + 1) / count;

        parts[i] = (struct toucher){.from = host + first * page, .length = (last - first) * page,
                                    .page = page};
        parts[i].started = i + 1 < count &&
                           pthread_create(&parts[i].thread, NULL, touch, &parts[i]) == 0;
        if (!parts[i].started)
            touch(&parts[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        if (parts[i].started)
            pthread_join(parts[i].thread, NULL);
        if (parts[i].ret < 0)
            ret = parts[i].ret;
    }
    return ret;
}

/* ---- regions ---- */

static void advise(const struct bp_ram_options *o, uint8_t *host, uint64_t size)
{
    /* Hints; a host that does not know them is fine. */
    if (size >= HUGE_PAGE)
        (void)madvise(host, size, MADV_HUGEPAGE);
    if (o->flags & BP_RAM_MERGE)
        (void)madvise(host, size, MADV_MERGEABLE);
    if (o->flags & BP_RAM_NO_DUMP)
        (void)madvise(host, size, MADV_DONTDUMP);
}

static int prepare(const char *name, const struct bp_ram_options *o, uint8_t *host, uint64_t size,
                   uint64_t page, struct bp_error *err)
{
    int ret = bind_nodes(name, o, host, size, err);

    if (ret < 0)
        return ret;
    advise(o, host, size);
    if (!(o->flags & BP_RAM_PREALLOC))
        return 0;
    ret = preallocate(o, host, size, page);
    if (ret < 0)
        bp_fail(err, -ret, "memory '%s': %llu bytes could not be allocated beforehand: %s", name,
                (unsigned long long)o->length, strerror(-ret));
    return ret;
}

int bp_region_new_ram_with(struct bp_owner *owner, const char *name,
                           const struct bp_ram_options *options, struct bp_region **ret_region,
                           struct bp_error *err)
{
    bpc_assert_locked();
    struct bp_ram_options o = {.size = sizeof(o)};
    struct bp_region *region;
    uint64_t page, host_size;
    uint8_t *host, *dirty;
    int ret;

    memcpy(&o, options, MIN(options->size, sizeof(o)));
    page = page_of(&o);
    ret = check(name, &o, page, err);
    if (ret < 0)
        return ret;
    host_size = round_up(o.length, page);
    host = map(&o, host_size, page);
    if (!host)
        return no_memory(name, o.length, -errno, err);
    ret = prepare(name, &o, host, host_size, page, err);
    dirty = ret < 0 ? MAP_FAILED : mmap(NULL, dirty_bytes(host_size), PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (dirty == MAP_FAILED) {
        if (ret == 0)
            ret = no_memory(name, o.length, -errno, err);
        munmap(host, host_size);
        return ret;
    }
    region = bpc_region_alloc(owner, name, o.length, BPC_RAM);
    region->host = host;
    region->host_size = host_size;
    region->host_page = page;
    region->backing = !(o.flags & BP_RAM_FD) && !(o.flags & BP_RAM_SHARED) ? BPC_BACKING_ANONYMOUS
                      : o.flags & BP_RAM_SHARED ? BPC_BACKING_SHARED : BPC_BACKING_PRIVATE_FILE;
    region->dirty = dirty;
    region->readonly = o.flags & BP_RAM_ROM;
    region->unwritable = o.flags & BP_RAM_READ_ONLY && o.flags & BP_RAM_SHARED;
    region->forget = o.flags & BP_RAM_FORGET && o.flags & BP_RAM_SHARED;
    region->fd = o.flags & BP_RAM_FD ? fcntl(o.fd, F_DUPFD_CLOEXEC, 3) : -1;
    region->fd_offset = o.offset;
    *ret_region = region;
    return 0;
}

int bp_region_new_ram(struct bp_owner *owner, const char *name, uint64_t size,
                      struct bp_region **ret_region, struct bp_error *err)
{
    bpc_assert_locked();
    const struct bp_ram_options private = {.size = sizeof(private), .length = size};

    return bp_region_new_ram_with(owner, name, &private, ret_region, err);
}

int bp_region_fd(const struct bp_region *region, uint64_t *ret_offset)
{
    if (region->fd < 0 || region->backing != BPC_BACKING_SHARED)
        return -1; /* what others write into the file does not reach a private copy */
    *ret_offset = region->fd_offset;
    return region->fd;
}

int bp_region_new_rom(struct bp_owner *owner, const char *name, uint64_t size,
                      const struct bp_region_ops *ops, void *opaque, struct bp_region **ret_region,
                      struct bp_error *err)
{
    bpc_assert_locked();
    const struct bp_ram_options private = {.size = sizeof(private), .length = size};
    struct bp_region *region;
    uint64_t host_size = round_up(size, BPC_PAGE_SIZE);
    uint8_t *host;
    int ret = check_size(name, size, err);

    if (ret < 0)
        return ret;
    host = map(&private, host_size, BPC_PAGE_SIZE);
    if (!host)
        return no_memory(name, size, -errno, err);
    region = bpc_region_alloc(owner, name, size, BPC_ROM);
    region->host = host;
    region->host_size = host_size;
    region->host_page = BPC_PAGE_SIZE;
    bpc_region_set_ops(region, ops, opaque);
    region->readonly = true;
    *ret_region = region;
    return 0;
}

void bpc_ram_unmap(struct bp_region *region)
{
    if (region->host) {
        bpc_tell_written(region->host, region->host_size); /* other memory may come to lie there */
        if (region->forget)
            (void)madvise(region->host, region->host_size, MADV_REMOVE);
        munmap(region->host, region->host_size);
    }
    if (region->dirty)
        munmap(region->dirty, dirty_bytes(region->host_size));
    if (region->fd >= 0)
        close(region->fd);
}
