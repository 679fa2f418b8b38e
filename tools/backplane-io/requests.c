/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* read, readv, write, writev, discard, flush. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"

#define ALIGNMENT 4096u
#define CROOKED 16u /* bytes off, with -m */
#define READ_FILL 0xab
#define WRITE_FILL 0xcd

bool misaligned;

uint8_t *new_buffer(uint64_t bytes, int fill)
{
    uint8_t *buf = aligned_alloc(ALIGNMENT, (bytes + CROOKED + ALIGNMENT) / ALIGNMENT * ALIGNMENT);

    if (!buf) {
        complain("no memory for %" PRIu64 " bytes", bytes);
        return NULL;
    }
    buf += misaligned ? CROOKED : 0;
    memset(buf, fill, bytes);
    return buf;
}

void free_buffer(uint8_t *buf)
{
    free(buf ? buf - (misaligned ? CROOKED : 0) : NULL);
}

bool within(uint64_t offset, uint64_t bytes)
{
    uint64_t length = (uint64_t)block->length(disk.blk);

    return offset <= length && bytes <= length - offset;
}

struct ask {
    bool machine, quiet, show, zeroes, unmap, fua, compressed, no_fallback;
    int pattern; /* -1: none was given */
    const char *from_file;
    bool has_skip, has_length;
    uint64_t skip, length; /* of what a pattern is compared with */
    uint64_t offset, bytes;
};

/* One option; 0, or 1 after a complaint. */
static int take_option(struct ask *a, int c, bool writes, const char *command)
{
    switch (c) {
    case 'C':
        a->machine = true;
        return 0;
    case 'q':
        a->quiet = true;
        return 0;
    case 'v':
        a->show = true;
        return 0;
    case 'z':
        a->zeroes = true;
        return 0;
    case 'u':
        a->unmap = true;
        return 0;
    case 'f':
        a->fua = true;
        return 0;
    case 'c':
        a->compressed = true;
        return 0;
    case 'n':
        a->no_fallback = true;
        return 0;
    case 'p':
        return 0;
    case 'b':
        return complain("the state of a machine in the image (-b) is not reached from here");
    case 'P':
        return !take_pattern(optarg, &a->pattern);
    case 'l':
        a->has_length = true;
        return !take_bytes(optarg, &a->length);
    case 's':
        if (writes) {
            a->from_file = optarg;
            return 0;
        }
        a->has_skip = true;
        return !take_bytes(optarg, &a->skip);
    default:
        return usage_of(command);
    }
}

/* Options, offset, lengths, whose sum it is. */
static int take_ask(struct ask *a, int argc, char **argv, const char *options, bool writes,
                    bool many)
{
    int c;

    *a = (struct ask){.pattern = -1};
    while ((c = getopt(argc, argv, options)) != -1)
        if (take_option(a, c, writes, argv[0]))
            return 1;
    if (argc - optind < 2 || (!many && argc - optind != 2))
        return usage_of(argv[0]);
    if (!take_bytes(argv[optind], &a->offset))
        return 1;
    for (int i = optind + 1; i < argc; i++) {
        uint64_t n;

        if (!take_length(argv[i], &n))
            return 1;
        a->bytes += n;
        if (a->bytes > MOST_BYTES)
            return complain("all of it together is more than %" PRIu64 " bytes", MOST_BYTES);
    }
    return 0;
}

static int failed(const char *what, int ret)
{
    printf("%s failed: %s\n", what, strerror(-ret));
    return 1;
}

/* ---- reading ---- */

static int compare(const struct ask *a, const uint8_t *buf)
{
    uint64_t from = a->has_skip ? a->skip : 0, bytes = a->has_length ? a->length : a->bytes - from;

    for (uint64_t i = 0; i < bytes; i++) {
        if (buf[from + i] == (uint8_t)a->pattern)
            continue;
        printf("Pattern verification failed at offset %" PRIu64 ", %" PRIu64 " bytes\n",
               a->offset + from, bytes);
        return 1;
    }
    return 0;
}

static int read_it(const struct ask *a)
{
    int64_t begin;
    uint8_t *buf = new_buffer(a->bytes, READ_FILL);
    int ret;

    if (!buf)
        return 1;
    begin = bp_clock_ns(BP_CLOCK_REALTIME);
    ret = within(a->offset, a->bytes) ? 0 : -EIO;
    if (ret == 0 && a->bytes)
        ret = disk_io(&disk, BP_BLOCK_READ, a->offset, buf, a->bytes, 0);
    if (ret < 0) {
        ret = failed("read", ret);
    } else {
        ret = a->pattern >= 0 ? compare(a, buf) : 0;
        if (a->show && !a->quiet)
            dump(buf, a->offset, a->bytes);
        if (!a->quiet)
            report("read", a->offset, a->bytes, begin, a->machine);
    }
    free_buffer(buf);
    return ret;
}

int run_read(int argc, char **argv)
{
    struct ask a;

    if (take_ask(&a, argc, argv, "bCl:pP:qs:v", false, false))
        return 1;
    if (a.pattern < 0 && (a.has_skip || a.has_length))
        return usage_of("read");
    if (a.skip > a.bytes || (a.has_length && a.length > a.bytes - a.skip)) {
        printf("pattern verification range exceeds end of read data\n");
        return 1;
    }
    return read_it(&a);
}

int run_readv(int argc, char **argv)
{
    struct ask a;

    return take_ask(&a, argc, argv, "CP:qv", false, true) ? 1 : read_it(&a);
}

/* ---- writing ---- */

/* The file's bytes, over and over. */
static int fill_from(const char *name, uint8_t *buf, uint64_t bytes)
{
    FILE *f = fopen(name, "re");
    size_t n = f ? fread(buf, 1, (size_t)bytes, f) : 0;

    if (!f) {
        fprintf(stderr, "%s: %s\n", name, strerror(errno));
        return 1;
    }
    if (n == 0)
        fprintf(stderr, "%s: file is empty\n", name);
    fclose(f);
    for (uint64_t at = n; n && at < bytes; at += n)
        memcpy(buf + at, buf, at + n < bytes ? n : (size_t)(bytes - at));
    return n == 0;
}

static int write_it(const struct ask *a)
{
    uint32_t flags = (a->fua ? BP_BLOCK_FUA : 0) | (a->unmap ? BP_BLOCK_MAY_UNMAP : 0) |
                     (a->no_fallback ? BP_BLOCK_NO_FALLBACK : 0) |
                     (a->compressed ? BP_BLOCK_COMPRESSED : 0);
    int64_t begin;
    uint8_t *buf =
        a->zeroes ? NULL : new_buffer(a->bytes, a->pattern >= 0 ? a->pattern : WRITE_FILL);
    int ret;

    if ((!a->zeroes && !buf) || !is_writable() ||
        (a->from_file && fill_from(a->from_file, buf, a->bytes))) {
        free_buffer(buf);
        return 1;
    }
    begin = bp_clock_ns(BP_CLOCK_REALTIME);
    ret = within(a->offset, a->bytes) ? 0 : -EIO;
    if (ret == 0 && a->bytes)
        ret = disk_io(&disk, a->zeroes ? BP_BLOCK_WRITE_ZEROES : BP_BLOCK_WRITE, a->offset, buf,
                      a->bytes, flags);
    if (ret < 0)
        ret = failed("write", ret);
    else if (!a->quiet)
        report("wrote", a->offset, a->bytes, begin, a->machine);
    free_buffer(buf);
    return ret;
}

int run_write(int argc, char **argv)
{
    struct ask a;

    if (take_ask(&a, argc, argv, "bcCfnpP:qs:uz", true, false))
        return 1;
    if (a.zeroes + (a.pattern >= 0) + (a.from_file != NULL) > 1) {
        printf("Only one of -z, -P, and -s can be specified at the same time\n");
        return 1;
    }
    if ((a.unmap || a.no_fallback) && !a.zeroes) {
        printf("-%c requires -z to be specified\n", a.unmap ? 'u' : 'n');
        return 1;
    }
    if (a.compressed && (a.zeroes || a.fua)) {
        printf("-c and -%c cannot be specified at the same time\n", a.zeroes ? 'z' : 'f');
        return 1;
    }
    return write_it(&a);
}

int run_writev(int argc, char **argv)
{
    struct ask a;

    return take_ask(&a, argc, argv, "CfP:q", true, true) ? 1 : write_it(&a);
}

int run_discard(int argc, char **argv)
{
    int64_t begin;
    struct ask a;
    int ret;

    if (take_ask(&a, argc, argv, "Cq", true, false) || !is_writable())
        return 1;
    begin = bp_clock_ns(BP_CLOCK_REALTIME);
    ret = within(a.offset, a.bytes) ? 0 : -EIO;
    if (ret == 0 && a.bytes)
        ret = disk_io(&disk, BP_BLOCK_DISCARD, a.offset, NULL, a.bytes, 0);
    if (ret < 0)
        return failed("discard", ret);
    if (!a.quiet)
        report("discard", a.offset, a.bytes, begin, a.machine);
    return 0;
}

int run_flush(int argc, char **argv)
{
    int ret = disk_flush(&disk);

    (void)argc;
    (void)argv;
    return ret < 0 ? failed("flush", ret) : 0;
}
