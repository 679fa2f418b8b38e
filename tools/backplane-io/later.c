/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* aio_read, aio_write: they are not waited for until aio_flush, or until the image is closed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"

struct later {
    bool writes, zeroes, quiet, show, machine;
    int pattern;
    uint64_t offset, bytes;
    int64_t begin;
    uint8_t *buf;
    struct iovec iov;
};

static unsigned under_way;
static struct bp_co_queue *ended;

static void later_done(void *opaque, int ret)
{
    struct later *l = opaque;

    if (ret < 0) {
        printf("aio_%s failed: %s\n", l->writes ? "write" : "read", strerror(-ret));
    } else {
        bool differs = false;

        for (uint64_t i = 0; !l->writes && l->pattern >= 0 && i < l->bytes && !differs; i++)
            differs = l->buf[i] != (uint8_t)l->pattern;
        if (differs)
            printf("Pattern verification failed at offset %llu, %llu bytes\n",
                   (unsigned long long)l->offset, (unsigned long long)l->bytes);
        if (l->show && !l->quiet)
            dump(l->buf, l->offset, l->bytes);
        if (!l->quiet)
            report(l->writes ? "wrote" : "read", l->offset, l->bytes, l->begin, l->machine);
    }
    free_buffer(l->buf);
    free(l);
    under_way--;
    bp_co_queue_wake_all(ended);
}

static int submit(struct later *l, uint32_t flags)
{
    struct bp_block_request req = {.size = sizeof(req),
                                   .flags = flags,
                                   .offset = l->offset,
                                   .bytes = l->bytes,
                                   .iov = l->buf ? &l->iov : NULL,
                                   .iov_count = l->buf ? 1 : 0};
    enum bp_block_op op = l->zeroes   ? BP_BLOCK_WRITE_ZEROES
                          : l->writes ? BP_BLOCK_WRITE
                                      : BP_BLOCK_READ;

    ended = ended ? ended : bp_co_queue_new();
    under_way++;
    l->begin = bp_clock_ns(BP_CLOCK_REALTIME);
    l->iov = (struct iovec){l->buf, (size_t)l->bytes};
    if (!within(l->offset, l->bytes))
        later_done(l, -EIO);
    else if (l->bytes == 0)
        later_done(l, 0);
    else
        block->submit(disk.blk, op, &req, later_done, l);
    return 0;
}

static int take(struct later *l, int argc, char **argv, const char *options, uint32_t *flags)
{
    int c;

    while ((c = getopt(argc, argv, options)) != -1) {
        switch (c) {
        case 'C':
            l->machine = true;
            break;
        case 'q':
            l->quiet = true;
            break;
        case 'v':
            l->show = true;
            break;
        case 'z':
            l->zeroes = true;
            break;
        case 'f':
            *flags |= BP_BLOCK_FUA;
            break;
        case 'u':
            *flags |= BP_BLOCK_MAY_UNMAP;
            break;
        case 'i':
            return complain("-i would count a request that is not made: it is not built");
        case 'P':
            if (!take_pattern(optarg, &l->pattern))
                return 1;
            break;
        default:
            return usage_of(argv[0]);
        }
    }
    if (argc - optind < 2 || (l->zeroes && argc - optind != 2))
        return usage_of(argv[0]);
    if (!take_bytes(argv[optind], &l->offset))
        return 1;
    for (int i = optind + 1; i < argc; i++) {
        uint64_t n;

        if (!take_length(argv[i], &n))
            return 1;
        l->bytes += n;
        if (l->bytes > MOST_BYTES)
            return complain("all of it together is too long");
    }
    return 0;
}

static int begin(int argc, char **argv, const char *options, bool writes)
{
    struct later *l = calloc(1, sizeof(*l));
    uint32_t flags = 0;

    if (!l)
        return complain("no memory");
    l->writes = writes;
    l->pattern = -1;
    if (take(l, argc, argv, options, &flags) || (writes && !is_writable())) {
        free(l);
        return 1;
    }
    if (flags & BP_BLOCK_MAY_UNMAP && !l->zeroes) {
        printf("-u requires -z to be specified\n");
    } else if (l->zeroes && l->pattern >= 0) {
        printf("-z and -P cannot be specified at the same time\n");
    } else {
        if (!l->zeroes)
            l->buf = new_buffer(l->bytes, writes && l->pattern >= 0 ? l->pattern : 0xcd);
        if (l->zeroes || l->buf)
            return submit(l, flags);
    }
    free(l);
    return 1;
}

int run_aio_read(int argc, char **argv)
{
    return begin(argc, argv, "CP:iqv", false);
}

int run_aio_write(int argc, char **argv)
{
    return begin(argc, argv, "CfiP:quz", true);
}

void finish_requests(void)
{
    while (under_way)
        bp_co_queue_wait(ended, NULL);
}

int run_aio_flush(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    finish_requests();
    return 0;
}
