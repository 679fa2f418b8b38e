/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * memory-backend-file: memory in a file, or in a nameless one in a folder (tmpfs, hugetlbfs). pmem=on: the file is in
 * the host's persistent memory and mapped directly (DAX); anything else is refused, since it could not keep the
 * promise. A guest flushes what it stores itself; what the emulator stored (DMA) is flushed when the memory goes.
 */
#define BP_SHARED
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include <bp/file.h>
#include <bp/host/pmem.h>
#include <bp/memory.h>
#include <bp/module.h>

#include "backend.h"

enum { AUTO, ON, OFF };

struct file_backend {
    char *path;
    uint64_t align, offset;
    bool share, discard, pmem, readonly;
    uint64_t length; /* as the level below says */
    int rom; /* AUTO, ON, OFF */
    const struct bp_pmem_interface *flusher; /* of pmem=on, when the memory is there; else NULL */
};

static int failed(const struct file_backend *b, const char *what, int r, struct bp_error *err)
{
    return bp_fail(err, r, "memory-backend-file: %s '%.200s': %s", what, b->path, strerror(r));
}

static int open_in_folder(const struct file_backend *b, struct bp_error *err)
{
    char name[4096];
    int fd;

    if (b->readonly)
        return bp_fail(err, EINVAL, "memory-backend-file: '%.200s' is a folder; readonly=on needs a file",
                       b->path);
    if (snprintf(name, sizeof(name), "%s/backplane-ram-XXXXXX", b->path) >= (int)sizeof(name))
        return failed(b, "cannot make a file in", ENAMETOOLONG, err);
    fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0)
        return failed(b, "cannot make a file in", errno, err);
    unlink(name);
    return fd;
}

static int open_path(const struct file_backend *b, struct bp_error *err)
{
    struct stat st;
    int fd;

    if (stat(b->path, &st) == 0 && S_ISDIR(st.st_mode))
        return open_in_folder(b, err);
    /* Not to wait for who writes to a pipe: it cannot be memory. */
    fd = b->readonly ? bp_open(b->path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0)
                     : bp_open(b->path, O_RDWR | O_CREAT | O_NONBLOCK | O_NOCTTY, 0644);
    return fd < 0 ? failed(b, "cannot open", -fd, err) : fd;
}

static uint64_t round_up(uint64_t n, uint64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* A new file gets its length; one that is there has to be long enough. */
static int fit_length(const struct file_backend *b, int fd, struct bp_error *err)
{
    uint64_t page = 4096, needed;
    struct statfs fs;
    struct stat st;

    if (fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC)
        page = (uint64_t)fs.f_bsize;
    needed = round_up(b->length, page);
    if (needed < b->length || b->offset > (uint64_t)INT64_MAX - needed)
        return failed(b, "size and offset do not fit into", EFBIG, err);
    needed += b->offset;
    if (fstat(fd, &st) < 0)
        return failed(b, "cannot look at", errno, err);
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size >= b->offset + b->length)
        return 0;
    if (st.st_size > 0 || b->readonly)
        return bp_fail(err, EINVAL, "memory-backend-file: '%.200s' has %llu bytes, offset and size need "
                       "%llu", b->path, (unsigned long long)st.st_size,
                       (unsigned long long)(b->offset + b->length));
    return ftruncate(fd, (off_t)needed) < 0 ? failed(b, "cannot lengthen", errno, err) : 0;
}

static int check(struct bp_object *obj, const struct file_backend *b, struct bp_error *err)
{
    int r = backend_check(obj, err);

    if (r < 0)
        return r;
    if (!b->path || !*b->path)
        return bp_fail(err, EINVAL, "memory-backend-file: property 'mem-path' is missing");
    if (b->pmem && !b->share)
        return bp_fail(err, EINVAL, "memory-backend-file: pmem=on needs share=on: what is written to a private copy "
                       "does not reach the file");
    if (b->pmem && b->readonly)
        return bp_fail(err, EINVAL, "memory-backend-file: pmem=on does not go together with readonly=on: nothing is "
                       "written that would have to persist");
    if (b->rom == ON && !b->readonly)
        return bp_fail(err, EINVAL, "memory-backend-file: rom=on needs readonly=on");
    if (b->rom == OFF && b->readonly && b->share)
        return bp_fail(err, EINVAL, "memory-backend-file: rom=off does not go together with readonly=on and "
                       "share=on: nothing could be written");
    return 0;
}

/* Is the file mapped directly? Then the flags that its mapping needs. */
static int open_pmem(struct file_backend *b, int fd, uint32_t *ret_flags, struct bp_error *err)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const void *table;
    bool direct;
    void *probe;
    int r = bp_interface_require("pmem", 1, &table, err);

    if (r < 0) {
        bp_error_prefix(err, "memory-backend-file: pmem=on");
        return r;
    }
    b->flusher = table;
    *ret_flags = 0;
    probe = mmap(NULL, page, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, fd, (off_t)b->offset);
    if (probe != MAP_FAILED) {
        munmap(probe, page);
        *ret_flags = BP_RAM_SYNC;
        return 0;
    }
    probe = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, (off_t)b->offset);
    if (probe == MAP_FAILED)
        return failed(b, "cannot map", errno, err);
    direct = b->flusher->is_pmem(probe, page);
    munmap(probe, page);
    if (direct)
        return 0;
    return bp_fail(err, EOPNOTSUPP, "memory-backend-file: '%.200s' is not in persistent memory that is mapped directly "
                   "(a file system mounted with dax, or a device dax): pmem=on could not keep its promise; with "
                   "pmem=off it is a file like any other", b->path);
}

static void finalize(struct bp_object *obj)
{
    struct file_backend *b = bp_object_state(obj);
    const struct bp_region *ram = backend_of(obj)->ram;

    if (b->flusher && ram && bp_region_ram(ram))
        b->flusher->persist(bp_region_ram(ram), b->length);
}

static int complete(struct bp_object *obj, struct bp_error *err)
{
    struct file_backend *b = bp_object_state(obj);
    struct bp_ram_options o = {.size = sizeof(o), .flags = BP_RAM_FD, .offset = b->offset,
                               .align = b->align};
    int r = check(obj, b, err);

    if (r < 0)
        return r;
    b->length = backend_of(obj)->length;
    o.fd = open_path(b, err);
    if (o.fd < 0)
        return o.fd;
    r = fit_length(b, o.fd, err);
    if (r == 0 && b->pmem)
        r = open_pmem(b, o.fd, &o.flags, err);
    if (r < 0) {
        close(o.fd);
        return r;
    }
    o.flags |= BP_RAM_FD | (b->share ? BP_RAM_SHARED : 0) | (b->readonly ? BP_RAM_READ_ONLY : 0) |
               (b->discard ? BP_RAM_FORGET : 0) |
               (b->rom == ON || (b->rom == AUTO && b->readonly) ? BP_RAM_ROM : 0);
    return backend_complete(obj, &o, err);
}

static const struct bp_field props[] = {
    BACKEND_SHARE(struct file_backend, "off"),
    BP_PROP("mem-path", STRING, struct file_backend, path, NULL,
            "file, or folder for a nameless one; must be given"),
    BP_PROP("align", SIZE, struct file_backend, align, "0", "of its address in the process"),
    BP_PROP("offset", SIZE, struct file_backend, offset, "0", "where in the file it begins"),
    BP_PROP("discard-data", BOOL, struct file_backend, discard, "off",
            "what the file holds need not be kept at the end"),
    BP_PROP("pmem", BOOL, struct file_backend, pmem, "off",
            "the file is in the host's persistent memory, mapped directly; needs share=on"),
    BP_PROP("readonly", BOOL, struct file_backend, readonly, "off", "the file is opened for reading alone"),
    BP_PROP("rom", ON_OFF_AUTO, struct file_backend, rom, "auto",
            "the guest cannot write; auto: as readonly says"),
    BP_FIELDS_END,
};

BP_NOTE("provides=object:memory-backend-file;summary=Memory in a file");
const struct bp_object_class backend_file = {
    .type = {.size = sizeof(struct bp_object_class), .name = "memory-backend-file",
             .parent = "memory-backend", .summary = "Memory in a file",
             .state_size = sizeof(struct file_backend), .props = props},
    .complete = complete, .finalize = finalize, .can_delete = backend_can_delete};
