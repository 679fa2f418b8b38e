/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes modules.idx, for `backplane-module index`. The emulator never comes here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "grow.h"
#include "index.h"

int index_build_directory(const char *path, struct index_bytes *ret_bytes,
                          struct index_summary *ret_summary, struct bp_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret;
    const struct index_place place = {.directory = fd, .path = path};
    struct index_names names;

    if (fd < 0)
        return bp_fail(err, errno, "%s cannot be opened: %s", path, strerror(errno));
    ret = index_list_files(&place, &names, err);
    if (ret == 0) {
        ret = index_build(&place, &names, INDEX_DESCRIPTIONS, ret_bytes, ret_summary, err);
        index_names_finish(&names);
    }
    close(fd);
    return ret;
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
    while (size) {
        ssize_t n = write(fd, data, size);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            data += n;
            size -= (size_t)n;
        }
    }
    return fchmod(fd, 0644) < 0 || fsync(fd) < 0 ? -errno : 0;
}

int index_write(const char *path, const struct index_bytes *bytes, struct bp_error *err)
{
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd, ret;
    char name[64];

    if (directory < 0)
        return bp_fail(err, errno, "%s cannot be opened: %s", path, strerror(errno));
    /* Not ending ".so", hidden, and of this process alone; what a killed one left is replaced. */
    snprintf(name, sizeof(name), "." INDEX_FILE ".%ld", (long)getpid());
    unlinkat(directory, name, 0);
    fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    ret = fd < 0 ? -errno : write_all(fd, bytes->data, bytes->size);
    if (fd >= 0)
        close(fd);
    if (ret == 0 && renameat(directory, name, directory, INDEX_FILE) < 0)
        ret = -errno;
    if (ret == 0)
        fsync(directory);
    else
        unlinkat(directory, name, 0);
    close(directory);
    if (ret < 0)
        return bp_fail(err, -ret, "%s/%s cannot be written: %s", path, INDEX_FILE, strerror(-ret));
    return 0;
}

int index_command(const char *staging, const char *directory, struct index_summary *ret_summary,
                  struct bp_error *err)
{
    char *path = staging ? text_printf("%s/%s", staging, directory) : bp_strdup(directory);
    struct index_summary summary = {0};
    struct index_bytes bytes = {0};
    int ret = index_build_directory(path, &bytes, &summary, err);

    if (ret == 0)
        ret = index_write(path, &bytes, err);
    free(bytes.data);
    free(path);
    if (ret == 0 && ret_summary)
        *ret_summary = summary;
    else
        index_summary_finish(&summary);
    return ret;
}
