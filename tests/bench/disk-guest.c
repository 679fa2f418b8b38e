/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How fast a disk is read, inside of a guest: disk-guest DEVICE SECONDS. Direct reads through the kernel's own
 * asynchronous I/O (io_submit(2)), 1 MiB one after the other, 4 KiB at random places with 1 and 32 under way. Each row
 * begins with a line "row NAME begins" and waits for a line, and ends with "row NAME REQUESTS SECONDS".
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DEPTH_MAX 32

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t place(uint64_t n, uint64_t places, int random)
{
    static uint64_t state = 88172645463325252u;

    if (!random)
        return n % places;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % places;
}

static void row(const char *name, int fd, uint64_t length, unsigned size, unsigned depth, int random, double seconds)
{
    static char *buffers[DEPTH_MAX];
    struct iocb requests[DEPTH_MAX], *list[DEPTH_MAX];
    struct io_event events[DEPTH_MAX];
    aio_context_t context = 0;
    uint64_t done = 0, sent = 0;
    double begin, took;
    char line[16];

    if (syscall(SYS_io_setup, depth, &context) < 0)
        die("io_setup");
    memset(requests, 0, sizeof(requests));
    for (unsigned i = 0; i < depth; i++) {
        if (!buffers[i] && posix_memalign((void **)&buffers[i], 4096, 1 << 20) != 0)
            die("memory");
        requests[i] = (struct iocb){.aio_data = i, .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = (uint32_t)fd,
                                    .aio_buf = (uintptr_t)buffers[i], .aio_nbytes = size};
    }
    printf("row %s begins\n", name);
    fflush(stdout);
    if (!fgets(line, sizeof(line), stdin))
        exit(1);
    begin = now();
    for (unsigned i = 0, ready = depth; ; ready = 0) {
        long n;

        for (i = 0; i < depth && ready; i++) { /* at first all of them */
            requests[i].aio_offset = (long long)(place(sent++, length / size, random) * size);
            list[i] = &requests[i];
        }
        if (ready && syscall(SYS_io_submit, context, (long)depth, list) != (long)depth)
            die("io_submit");
        n = syscall(SYS_io_getevents, context, 1L, (long)depth, events, NULL);
        if (n < 1)
            die("io_getevents");
        for (i = 0; i < (unsigned)n; i++) {
            if (events[i].res != size)
                die("a read is short");
            list[i] = &requests[events[i].data];
            list[i]->aio_offset = (long long)(place(sent++, length / size, random) * size);
        }
        done += (uint64_t)n;
        took = now() - begin;
        if (took >= seconds)
            break;
        if (syscall(SYS_io_submit, context, n, list) != n)
            die("io_submit");
    }
    syscall(SYS_io_destroy, context); /* waits for the rest */
    printf("row %s %llu %.6f\n", name, (unsigned long long)done, took);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    int fd = argc > 2 ? open(argv[1], O_RDONLY | O_DIRECT) : -1;
    uint64_t length = 0;

    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &length) < 0 || length < 1 << 20)
        die("usage: disk-guest DEVICE SECONDS");
    row("1M", fd, length, 1 << 20, 1, 0, atof(argv[2]));
    row("4k-depth-1", fd, length, 4096, 1, 1, atof(argv[2]));
    row("4k-depth-32", fd, length, 4096, 32, 1, atof(argv[2]));
    puts("rows end");
    return 0;
}
