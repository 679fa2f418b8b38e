/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What tests of block drivers share: a host, files, QMP commands, a front end that sends requests. */
#ifndef BLOCK_FRONT_H
#define BLOCK_FRONT_H

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/aio_abi.h>
#include <linux/io_uring.h>

#include <bp/host/block.h>
#include <bp/test.h>

#include "../house/work-folder.h"

static G_GNUC_UNUSED struct bp_test_host *host;
static G_GNUC_UNUSED const struct bp_block_interface *block;
static G_GNUC_UNUSED char *dir;

static G_GNUC_UNUSED char *path_of(const char *name)
{
    return g_build_filename(dir, name, NULL);
}

/* A file of `length` bytes, each a function of its place. */
static G_GNUC_UNUSED uint8_t byte_at(uint64_t at)
{
    return (uint8_t)(at * 7 + at / 251 + 3);
}

static G_GNUC_UNUSED char *make_file(const char *name, size_t length)
{
    char *path = path_of(name);
    uint8_t *data = g_malloc(length ? length : 1);

    for (size_t i = 0; i < length; i++)
        data[i] = byte_at(i);
    g_assert_true(g_file_set_contents(path, (const char *)data, (gssize)length, NULL));
    g_free(data);
    return path;
}

static void command(const char *name, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
static G_GNUC_UNUSED void command(const char *name, const char *fmt, ...)
{
    struct bp_error err = {0};
    va_list ap;
    char *args;

    va_start(ap, fmt);
    args = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    bp_test_command(host, name, args, NULL, &err);
    g_assert_cmpstr(err.message, ==, "");
    g_free(args);
}

static char *refused(const char *name, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
static G_GNUC_UNUSED char *refused(const char *name, const char *fmt, ...)
{
    struct bp_error err = {0};
    va_list ap;
    char *args;

    va_start(ap, fmt);
    args = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_assert_cmpint(bp_test_command(host, name, args, NULL, &err), <, 0);
    g_free(args);
    return g_strdup(err.message);
}

static G_GNUC_UNUSED void assert_refused(char *message, const char *part)
{
    if (!strstr(message, part))
        g_error("'%s' is not in: %s", part, message);
    g_free(message);
}

/* ---- a front end ---- */

struct front {
    struct bp_owner *owner;
    struct bp_blk *blk;
    unsigned media;
};

static G_GNUC_UNUSED void media_changed(void *opaque, bool loaded)
{
    ((struct front *)opaque)->media += loaded ? 1 : 256;
}

static G_GNUC_UNUSED const struct bp_blk_ops removable = {.size = sizeof(removable), .flags = BP_BLK_REMOVABLE,
                                            .media_changed = media_changed};
static G_GNUC_UNUSED const struct bp_blk_ops fixed = {.size = sizeof(fixed), .flags = 0};
static G_GNUC_UNUSED const struct bp_blk_ops reader = {.size = sizeof(reader), .flags = BP_BLK_READ_ONLY};

static G_GNUC_UNUSED int try_open(struct front *f, const char *drive, const struct bp_blk_ops *ops, bool share,
                    struct bp_error *err)
{
    struct bp_blk_conf conf = {.drive = (char *)(uintptr_t)drive, .share_rw = share};
    int ret;

    f->owner = bp_owner_new(NULL, "test", drive, 0);
    f->media = 0;
    ret = block->open(NULL, f->owner, NULL, &conf, ops, f, &f->blk, err);
    if (ret < 0)
        bp_owner_free(f->owner);
    return ret;
}

static G_GNUC_UNUSED void open_front(struct front *f, const char *drive)
{
    struct bp_error err = {0};

    try_open(f, drive, &fixed, false, &err);
    g_assert_cmpstr(err.message, ==, "");
}

static G_GNUC_UNUSED void close_front(struct front *f)
{
    block->close(f->blk);
    bp_owner_free(f->owner);
}

struct answer {
    int count, ret;
};

static G_GNUC_UNUSED void answered(void *opaque, int ret)
{
    struct answer *a = opaque;

    a->count++;
    a->ret = ret;
}

static G_GNUC_UNUSED void wait_for(struct answer *a)
{
    for (unsigned i = 0; i < 30000 && a->count == 0; i++) {
        bp_test_step(host, 0);
        if (a->count == 0)
            g_usleep(1000);
    }
    g_assert_cmpint(a->count, ==, 1);
}

static G_GNUC_UNUSED int request(struct front *f, enum bp_block_op op, uint64_t offset, void *buf, size_t bytes,
                   uint32_t flags)
{
    struct iovec iov = {buf, bytes};
    struct bp_block_request req = {.size = sizeof(req), .flags = flags, .offset = offset,
                                   .bytes = bytes, .iov = buf ? &iov : NULL, .iov_count = buf ? 1 : 0};
    struct answer a = {0, 1};

    block->submit(f->blk, op, op == BP_BLOCK_FLUSH ? NULL : &req, answered, &a);
    g_assert_cmpint(a.count, ==, 0);
    wait_for(&a);
    return a.ret;
}

static G_GNUC_UNUSED void assert_file_bytes(const char *path, uint64_t offset, uint8_t byte, size_t bytes)
{
    FILE *f = fopen(path, "rb");

    g_assert_nonnull(f);
    g_assert_cmpint(fseeko(f, (off_t)offset, SEEK_SET), ==, 0);
    for (size_t i = 0; i < bytes; i++)
        g_assert_cmpint(fgetc(f), ==, byte);
    fclose(f);
}

static G_GNUC_UNUSED bool is_built(const char *module)
{
    char *path = g_strdup_printf("%s/%s.so", g_getenv("BACKPLANE_MODULES"), module);
    bool there = g_file_test(path, G_FILE_TEST_EXISTS);

    g_free(path);
    return there;
}

/* Whether the kernel and this build have a way, asked without the code that is tested. */
static G_GNUC_UNUSED bool way_is_there(const char *way)
{
    struct io_uring_params params = {0};
    aio_context_t io = 0;
    long ret = -1;

    if (!strcmp(way, "native") && is_built("block-aio-native"))
        ret = syscall(SYS_io_setup, 1, &io);
    if (!strcmp(way, "io_uring") && is_built("block-aio-uring"))
        ret = syscall(SYS_io_uring_setup, 2, &params);
    if (ret >= 0 && io)
        syscall(SYS_io_destroy, io);
    else if (ret >= 0)
        close((int)ret);
    return ret >= 0 || !strcmp(way, "threads");
}

static G_GNUC_UNUSED bool file_system_does_direct_io(const char *path)
{
    int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static G_GNUC_UNUSED void start_host(int *argc, char ***argv)
{
    struct bp_error err = {0};
    const void *table;

    g_test_init(argc, argv, NULL);
    dir = work_folder("backplane-block");
    bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err);
    g_assert_cmpstr(err.message, ==, "");
    bp_test_interface(host, "block", 1, &table, &err);
    g_assert_cmpstr(err.message, ==, "");
    block = table;
}

#endif
