/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What no emulator can be faster than that reads a file for its guest: the host's own reads from its page cache, into
 * as many scattered pages as a guest's buffer has. disk-host FILE SECONDS; lines "NAME REQUESTS SECONDS CPU-SECONDS".
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u
#define PAGES (1u << 16)
#define PIECES 256u

static double now(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int row(const char *name, int fd, char *memory, unsigned pieces, uint64_t length, double seconds)
{
    const uint64_t size = (uint64_t)pieces * PAGE, places = length / size;
    double begin = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID), took = 0;
    uint64_t state = 88172645463325252u, done = 0, place;
    struct iovec to[PIECES];

    for (unsigned i = 0; i < pieces; i++)
        to[i] = (struct iovec){memory + (i * 40503u % PAGES) * (size_t)PAGE, PAGE};
    while (took < seconds) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        place = pieces > 1 ? done % places : state % places;
        if (preadv(fd, to, (int)pieces, (off_t)(place * size)) != (ssize_t)size) {
            perror("preadv");
            return 1;
        }
        done++;
        took = now(CLOCK_MONOTONIC) - begin;
    }
    printf("%s %llu %f %f\n", name, (unsigned long long)done, took, now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    return 0;
}

int main(int argc, char **argv)
{
    int fd = argc == 3 ? open(argv[1], O_RDONLY) : -1;
    char *memory = malloc((size_t)PAGES * PAGE);
    off_t length = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);

    if (!memory || length < (off_t)(PIECES * PAGE)) {
        fprintf(stderr, "usage: disk-host FILE SECONDS; of 1 MiB at least\n");
        return 2;
    }
    memset(memory, 1, (size_t)PAGES * PAGE);
    return row("1M", fd, memory, PIECES, (uint64_t)length, atof(argv[2])) ||
           row("4k", fd, memory, 1, (uint64_t)length, atof(argv[2]));
}
