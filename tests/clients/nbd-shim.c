/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preloaded, it stands for the kernel's NBD client at /dev/nbd7: what is told it goes into the file
 * NBD_SHIM_LOG. In NBD_DO_IT it reads the first 512 bytes of the export over the socket, as the
 * kernel would, and ends.
 */
#include <dlfcn.h>
#include <endian.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/nbd.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int device = -1, sock = -1;

static void note(const char *text, unsigned long value)
{
    FILE *f = fopen(getenv("NBD_SHIM_LOG"), "ae");

    if (f) {
        fprintf(f, "%s %lu\n", text, value);
        fclose(f);
    }
}

int open(const char *path, int flags, ...)
{
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    mode_t mode = 0;
    va_list ap;

    va_start(ap, flags);
    if (flags & O_CREAT)
        mode = va_arg(ap, mode_t);
    va_end(ap);
    if (!strcmp(path, "/dev/nbd7"))
        return device = real("/dev/null", flags);
    return real(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    mode_t mode = 0;
    va_list ap;

    va_start(ap, flags);
    if (flags & O_CREAT)
        mode = va_arg(ap, mode_t);
    va_end(ap);
    return open(path, flags, mode);
}

static int do_it(void)
{
    struct __attribute__((packed)) {
        uint32_t magic;
        uint16_t flags, type;
        uint64_t cookie, offset;
        uint32_t length;
    } ask = {htobe32(0x25609513), 0, htobe16(0), 7, 0, htobe32(512)};
    uint8_t answer[16 + 512];
    size_t got = 0;

    if (write(sock, &ask, sizeof(ask)) != sizeof(ask))
        return -1;
    while (got < sizeof(answer)) {
        ssize_t n = read(sock, answer + got, sizeof(answer) - got);

        if (n <= 0)
            return -1;
        got += (size_t)n;
    }
    note("byte", answer[16]);
    ask.type = htobe16(2);
    return write(sock, &ask, sizeof(ask)) == sizeof(ask) ? 0 : -1;
}

int ioctl(int fd, unsigned long request, ...)
{
    int (*real)(int, unsigned long, ...) =
        (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    unsigned long arg;
    va_list ap;

    va_start(ap, request);
    arg = va_arg(ap, unsigned long);
    va_end(ap);
    if (fd != device || fd < 0)
        return real(fd, request, arg);
    switch (request) {
    case NBD_SET_SOCK:
        sock = (int)arg;
        return 0;
    case NBD_SET_BLKSIZE:
        note("block", arg);
        return 0;
    case NBD_SET_SIZE_BLOCKS:
        note("blocks", arg);
        return 0;
    case NBD_SET_FLAGS:
        note("flags", arg);
        return 0;
    case BLKROSET:
        note("read-only", (unsigned long)*(int *)arg);
        return 0;
    case NBD_DISCONNECT:
        note("disconnect", 0);
        return 0;
    case NBD_DO_IT:
        return do_it();
    default:
        return 0;
    }
}
