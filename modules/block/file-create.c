/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making image files, and making room for what they will hold. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"

static const char *const modes[] = {"off", "falloc", "full", NULL};
static const struct bp_schema mode_schema = {"PreallocMode", BP_KIND_ENUM, .choices = modes};
const struct bp_field file_create_options[] = {
    BP_ARG("filename", STRING, "file to make, or to empty"),
    BP_ARG("size", SIZE, "bytes that it is long"),
    BP_ARG_TYPED("preallocation", ENUM, &mode_schema, BP_FIELD_OPTIONAL,
                 "room on the host: off, falloc (reserved), full (written)"),
    BP_FIELDS_END};

static int write_zeroes(int fd, uint64_t from, uint64_t to)
{
    const size_t size = 1 << 20;
    char *zeroes = calloc(1, size);
    int ret = zeroes ? 0 : -ENOMEM;

    while (ret == 0 && from < to) {
        size_t len = to - from < size ? (size_t)(to - from) : size;
        ssize_t n = pwrite(fd, zeroes, len, (off_t)from);

        if (n > 0)
            from += (uint64_t)n;
        else if (n == 0 || errno != EINTR)
            ret = n == 0 ? -ENOSPC : -errno;
    }
    free(zeroes);
    return ret;
}

int file_preallocate(int fd, uint64_t from, uint64_t to, const char *how, struct bp_error *err)
{
    int ret = 0;

    if (!how || !strcmp(how, "off") || from >= to)
        return 0;
    if (!strcmp(how, "falloc"))
        ret = -posix_fallocate(fd, (off_t)from, (off_t)(to - from));
    else if (!strcmp(how, "full"))
        ret = write_zeroes(fd, from, to);
    else
        return bp_fail(err, EINVAL, "preallocation=%s is unknown here; accepted: off, falloc, full", how);
    return ret < 0 ? bp_fail(err, -ret, "cannot reserve %llu bytes: %s",
                             (unsigned long long)(to - from), strerror(-ret)) : 0;
}

int file_create(struct bp_value *options, struct bp_error *err)
{
    const char *name = bp_value_get_string(options, "filename");
    uint64_t length = bp_value_as_uint(bp_value_get(options, "size"));
    int fd, ret;

    if (!name || !*name)
        return bp_fail(err, EINVAL, "key 'filename' is missing");
    if (length > BP_BLOCK_MAX_LENGTH)
        return bp_fail(err, EFBIG, "'%s': a length of %llu bytes is too long", name,
                       (unsigned long long)length);
    fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd < 0)
        return bp_fail(err, errno, "cannot make '%s': %s", name, strerror(errno));
    ret = ftruncate(fd, (off_t)length) < 0 ? -errno : 0;
    if (ret < 0)
        bp_fail(err, -ret, "cannot make '%s' %llu bytes long: %s", name, (unsigned long long)length,
                strerror(-ret));
    else
        ret = file_preallocate(fd, 0, length, bp_value_get_string(options, "preallocation"), err);
    close(fd);
    return ret;
}
