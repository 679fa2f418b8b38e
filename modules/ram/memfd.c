/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* memory-backend-memfd (memfd_create(2), sealed on request) and memory-backend-shm (POSIX shm_open()). */
#define BP_SHARED
#include "memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend.h"

static int set_length(int fd, uint64_t length, const char *name, struct bp_error *err)
{
    int r;

    if (length <= INT64_MAX && ftruncate(fd, (off_t)length) == 0)
        return 0;
    r = length <= INT64_MAX ? errno : EFBIG;
    return bp_fail(err, r, "memory '%s': a file of %llu bytes cannot be had: %s", name,
                   (unsigned long long)length, strerror(r));
}

int memfd_open(const char *name, uint64_t length, unsigned flags, int seals, struct bp_error *err)
{
    int fd = memfd_create(name, MFD_CLOEXEC | flags), r;

    if (fd < 0)
        return bp_fail(err, errno, "memory '%s': the host offers no such memory: %s%s", name,
                       strerror(errno), flags & MFD_HUGETLB ? " (are there huge pages of this size?)" : "");
    r = set_length(fd, length, name, err);
    if (r == 0 && seals && fcntl(fd, F_ADD_SEALS, seals) < 0)
        r = bp_fail(err, errno, "memory '%s': it cannot be sealed: %s", name, strerror(errno));
    if (r == 0)
        return fd;
    close(fd);
    return r;
}

/* ---- memory-backend-memfd ---- */

struct memfd_backend {
    bool share, hugetlb, seal;
    uint64_t page;
};

static int memfd_complete(struct bp_object *obj, struct bp_error *err)
{
    const struct memfd_backend *b = bp_object_state(obj);
    struct bp_ram_options o = {.size = sizeof(o), .flags = BP_RAM_FD | (b->share ? BP_RAM_SHARED : 0)};
    unsigned flags = b->seal ? MFD_ALLOW_SEALING : 0;
    uint64_t length = backend_of(obj)->length, page = b->page ? b->page : UINT64_C(2) << 20;
    int r = backend_check(obj, err);

    if (r < 0)
        return r;
    if (b->page && !b->hugetlb)
        return bp_fail(err, EINVAL, "memory-backend-memfd: hugetlbsize needs hugetlb=on");
    if (page & (page - 1))
        return bp_fail(err, EINVAL, "memory-backend-memfd: hugetlbsize is a power of two that the host "
                       "has, not %llu", (unsigned long long)page);
    if (b->hugetlb) {
        flags |= MFD_HUGETLB;
        if (b->page)
            flags |= (unsigned)__builtin_ctzll(b->page) << MFD_HUGE_SHIFT;
        length = (length + page - 1) & ~(page - 1);
    }
    r = memfd_open(bp_object_id(obj), length, flags, b->seal ? F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL : 0,
                   err);
    o.fd = r;
    return r < 0 ? r : backend_complete(obj, &o, err);
}

static const struct bp_field memfd_props[] = {
    BACKEND_SHARE(struct memfd_backend, "on"),
    BP_PROP("hugetlb", BOOL, struct memfd_backend, hugetlb, "off", "on huge pages"),
    BP_PROP("hugetlbsize", SIZE, struct memfd_backend, page, "0", "of this size; 0: the host's default"),
    BP_PROP("seal", BOOL, struct memfd_backend, seal, "on", "nobody can change its size"),
    BP_FIELDS_END,
};

BP_NOTE("provides=object:memory-backend-memfd;summary=Memory in an anonymous file");
const struct bp_object_class backend_memfd = {
    .type = {.size = sizeof(struct bp_object_class), .name = "memory-backend-memfd",
             .parent = "memory-backend", .summary = "Memory in an anonymous file",
             .state_size = sizeof(struct memfd_backend), .props = memfd_props},
    .complete = memfd_complete, .can_delete = backend_can_delete};

/* ---- memory-backend-shm ---- */

struct shm_backend {
    bool share;
};

/* The name goes at once: who shares it gets the descriptor. */
static int shm_complete(struct bp_object *obj, struct bp_error *err)
{
    const struct shm_backend *b = bp_object_state(obj);
    struct bp_ram_options o = {.size = sizeof(o), .flags = BP_RAM_FD | BP_RAM_SHARED};
    char name[64];
    int r = backend_check(obj, err);

    if (r < 0)
        return r;
    if (!b->share)
        return bp_fail(err, EINVAL, "memory-backend-shm: share=off is not possible, shared memory is shared");
    for (unsigned n = 0; n < 100; n++) {
        snprintf(name, sizeof(name), "/backplane-%d-%u", (int)getpid(), n);
        o.fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
        if (o.fd >= 0 || errno != EEXIST)
            break;
    }
    if (o.fd < 0)
        return bp_fail(err, errno, "memory-backend-shm: the host offers no shared memory: %s",
                       strerror(errno));
    shm_unlink(name);
    r = set_length(o.fd, backend_of(obj)->length, bp_object_id(obj), err);
    if (r == 0)
        return backend_complete(obj, &o, err);
    close(o.fd);
    return r;
}

static const struct bp_field shm_props[] = {BACKEND_SHARE(struct shm_backend, "on"), BP_FIELDS_END};

BP_NOTE("provides=object:memory-backend-shm;summary=POSIX shared memory");
const struct bp_object_class backend_shm = {
    .type = {.size = sizeof(struct bp_object_class), .name = "memory-backend-shm",
             .parent = "memory-backend", .summary = "POSIX shared memory",
             .state_size = sizeof(struct shm_backend), .props = shm_props},
    .complete = shm_complete, .can_delete = backend_can_delete};
