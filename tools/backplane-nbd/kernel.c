/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * /dev/nbdX: Linux's own client of the server (linux/nbd.h, and the NBD protocol, doc/proto.md). A
 * thread makes the connection, gives its socket to the kernel and stays in NBD_DO_IT as long as the
 * device is connected.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/nbd.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nbd-tool.h"

#define SECTOR 512u

struct job {
    const char *device, *path, *name;
};

static int open_device(const char *device)
{
    int fd = open(device, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        complain("%s: %s%s", device, strerror(errno),
                 errno == ENOENT ? " (the kernel's NBD client is wanted: modprobe nbd)" : "");
    return fd;
}

int device_check(const char *device)
{
    int fd = open_device(device);

    if (fd < 0)
        return 1;
    close(fd);
    return 0;
}

int device_disconnect(const char *device)
{
    int fd = open_device(device), ret;

    if (fd < 0)
        return 1;
    ret = ioctl(fd, NBD_CLEAR_QUE) < 0 || ioctl(fd, NBD_DISCONNECT) < 0 ||
                  ioctl(fd, NBD_CLEAR_SOCK) < 0
              ? complain("%s: %s", device, strerror(errno))
              : 0;
    close(fd);
    return ret;
}

static bool transfer(int fd, void *buf, size_t bytes, bool out)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = out ? send(fd, (char *)buf + done, bytes - done, MSG_NOSIGNAL)
                        : recv(fd, (char *)buf + done, bytes - done, 0);

        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* NBD_OPT_EXPORT_NAME: size and flags follow, without an answer that says why not. */
static bool come_to_export(int fd, const char *name, uint64_t *ret_size, uint16_t *ret_flags)
{
    struct __attribute__((packed)) {
        uint32_t flags;
        uint64_t magic;
        uint32_t option, length;
    } ask = {htobe32(3), htobe64(UINT64_C(0x49484156454f5054)), htobe32(1),
             htobe32((uint32_t)strlen(name))};
    struct __attribute__((packed)) {
        uint64_t size;
        uint16_t flags;
    } facts;
    uint8_t greeting[18];

    if (!transfer(fd, greeting, sizeof(greeting), false) ||
        !transfer(fd, &ask, sizeof(ask), true) ||
        !transfer(fd, (void *)(uintptr_t)name, strlen(name), true) ||
        !transfer(fd, &facts, sizeof(facts), false))
        return false;
    *ret_size = be64toh(facts.size);
    *ret_flags = be16toh(facts.flags);
    return true;
}

/* What the kernel is told of the export. */
static int set_up(int device, int sock, uint64_t size, uint16_t flags)
{
    int read_only = flags & NBD_FLAG_READ_ONLY ? 1 : 0;

    if (ioctl(device, NBD_SET_SOCK, (unsigned long)sock) < 0 ||
        ioctl(device, NBD_SET_BLKSIZE, (unsigned long)SECTOR) < 0 ||
        ioctl(device, NBD_SET_SIZE_BLOCKS, (unsigned long)(size / SECTOR)) < 0 ||
        ioctl(device, NBD_SET_FLAGS, (unsigned long)flags) < 0 ||
        ioctl(device, BLKROSET, &read_only) < 0)
        return -1;
    return 0;
}

static void *serve_kernel(void *opaque)
{
    struct job *j = opaque;
    int device = open_device(j->device), sock = device < 0 ? -1 : reach_socket(j->path);
    uint64_t size;
    uint16_t flags;

    if (sock < 0)
        _exit(1);
    if (!come_to_export(sock, j->name, &size, &flags)) {
        complain("%s: the server did not take the kernel's connection", j->device);
        _exit(1);
    }
    if (set_up(device, sock, size, flags) < 0) {
        complain("%s: %s%s", j->device, strerror(errno),
                 errno == EBUSY ? " (it is connected already)" : "");
        _exit(1);
    }
    if (ioctl(device, NBD_DO_IT) < 0 && errno != EPIPE)
        complain("%s: %s", j->device, strerror(errno));
    ioctl(device, NBD_CLEAR_QUE);
    ioctl(device, NBD_CLEAR_SOCK);
    close(device);
    close(sock); /* the server ends with it */
    free(j);
    return NULL;
}

int device_connect(const char *device, const char *path, const char *name)
{
    struct job *j = malloc(sizeof(*j));
    pthread_t thread;

    if (!j)
        return -ENOMEM;
    *j = (struct job){device, path, name};
    if (pthread_create(&thread, NULL, serve_kernel, j) != 0) {
        free(j);
        return -EAGAIN;
    }
    pthread_detach(thread);
    return 0;
}
