/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * RAM and ROM: host memory that is reserved, not committed, so that hundreds of GiB cost nothing
 * until the guest touches them; and the dirty bytes of RAM. RAM lies in a memfd (to be shared with
 * other processes later), ROM in anonymous memory.
 */
#include <bp/memory.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <glib.h>

#include "memory.h"

#define HUGE_PAGE (UINT64_C(2) << 20)

static uint64_t round_up(uint64_t size, uint64_t unit)
{
    return (size + unit - 1) & ~(unit - 1);
}

static uint64_t dirty_bytes(uint64_t host_size)
{
    return round_up(host_size >> BPC_PAGE_SHIFT, BPC_PAGE_SIZE);
}

/* Maps `fd` (-1: anonymous) at a host address that huge pages can back. NULL: see errno. */
static uint8_t *map(int fd, uint64_t size)
{
    uint64_t align = size >= HUGE_PAGE ? HUGE_PAGE : BPC_PAGE_SIZE;
    int flags = MAP_NORESERVE | MAP_FIXED | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);
    uint8_t *area, *start;
    size_t before, after;

    area = mmap(NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED)
        return NULL;
    start = (uint8_t *)round_up((uintptr_t)area, align);
    before = (size_t)(start - area);
    after = align - before;
    if (mmap(start, size, PROT_READ | PROT_WRITE, flags, fd, 0) == MAP_FAILED) {
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

static int map_ram(const char *name, uint64_t size, uint8_t **ret_host)
{
    char label[64];
    uint8_t *host;
    size_t n = strnlen(name, sizeof(label) - 1);
    int fd, r = 0;

    memcpy(label, name, n);
    label[n] = 0;
    fd = memfd_create(label, MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)size) < 0 || !(host = map(fd, size)))
        r = -errno;
    close(fd); /* the mapping keeps the file */
    if (r < 0)
        return r;
    if (size >= HUGE_PAGE)
        madvise(host, size, MADV_HUGEPAGE);
    *ret_host = host;
    return 0;
}

static int check_size(const char *name, uint64_t size, struct bp_error *err)
{
    if (size == 0 || size > (UINT64_C(1) << 46))
        return bp_fail(err, EINVAL, "memory '%s': a size of %llu bytes is not possible", name,
                       (unsigned long long)size);
    return 0;
}

static int no_memory(const char *name, uint64_t size, int r, struct bp_error *err)
{
    return bp_fail(err, -r, "cannot set up guest memory '%s' of %llu bytes: %s", name,
                   (unsigned long long)size, strerror(-r));
}

int bp_region_new_ram(struct bp_owner *owner, const char *name, uint64_t size,
                      struct bp_region **ret_region, struct bp_error *err)
{
    struct bp_region *region;
    uint64_t host_size = round_up(size, BPC_PAGE_SIZE);
    uint8_t *host = NULL, *dirty;
    int r = check_size(name, size, err);

    if (r < 0)
        return r;
    r = map_ram(name, host_size, &host);
    if (r < 0)
        return no_memory(name, size, r, err);
    dirty = mmap(NULL, dirty_bytes(host_size), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (dirty == MAP_FAILED) {
        r = -errno;
        munmap(host, host_size);
        return no_memory(name, size, r, err);
    }
    region = bpc_region_alloc(owner, name, size, BPC_RAM);
    region->host = host;
    region->host_size = host_size;
    region->host_page = BPC_PAGE_SIZE;
    region->backing = BPC_BACKING_SHARED;
    region->dirty = dirty;
    *ret_region = region;
    return 0;
}

int bp_region_new_rom(struct bp_owner *owner, const char *name, uint64_t size,
                      const struct bp_region_ops *ops, void *opaque, struct bp_region **ret_region,
                      struct bp_error *err)
{
    struct bp_region *region;
    uint64_t host_size = round_up(size, BPC_PAGE_SIZE);
    uint8_t *host;
    int r = check_size(name, size, err);

    if (r < 0)
        return r;
    host = map(-1, host_size);
    if (!host)
        return no_memory(name, size, -errno, err);
    region = bpc_region_alloc(owner, name, size, BPC_ROM);
    region->host = host;
    region->host_size = host_size;
    bpc_region_set_ops(region, ops, opaque);
    region->readonly = true;
    *ret_region = region;
    return 0;
}

void bpc_ram_unmap(struct bp_region *region)
{
    if (region->host) {
        bpc_tell_written(region->host, region->host_size); /* other memory may come to lie there */
        munmap(region->host, region->host_size);
    }
    if (region->dirty)
        munmap(region->dirty, dirty_bytes(region->host_size));
}
