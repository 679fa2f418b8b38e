/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * convert and dd: what is in one or more images goes into another one. Several coroutines take the next piece each;
 * what reads as zeroes is not copied.
 */
#include <bp/clock.h>

#include "img.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE (2u << 20)
#define MAX_WORKERS 16u
#define SECTOR 512u

struct copy {
    struct image *sources, target;
    unsigned count;
    uint64_t length, next, done; /* bytes of all sources */
    uint64_t limit;              /* bytes that the target has */
    uint32_t grain;              /* compressed: a cluster; else what is looked at for zeroes */
    bool compressed, fresh, shown, backed; /* fresh: what is not written reads as zeroes */
    bool salvage;                          /* what cannot be read is zeroes */
    uint64_t rate;                         /* bytes a second at most; 0: as quick as it goes */
    int64_t began;
    unsigned workers, running;
    struct bp_co *waits;
    struct bp_co_mutex *lock; /* of `next`: looking what comes waits */
    int error;
    uint64_t error_at;
    bool error_reads;
};

/* The source that a byte of the whole comes from. */
static struct image *source_at(struct copy *c, uint64_t at, uint64_t *ret_offset)
{
    for (unsigned i = 0; i < c->count; i++) {
        if (at < c->sources[i].length) {
            *ret_offset = at;
            return &c->sources[i];
        }
        at -= c->sources[i].length;
    }
    return NULL;
}

struct piece {
    struct image *from;
    uint64_t at, offset, bytes; /* of the whole, of the source */
    bool zero, skip;            /* skip: what is below the target has it */
};

/* A part that cannot be read as a whole is read sector by sector. */
static void salvage(const struct piece *p, uint8_t *buf)
{
    uint64_t lost = 0, first = 0;

    for (uint64_t done = 0; done < p->bytes; done += SECTOR) {
        uint64_t n = p->bytes - done < SECTOR ? p->bytes - done : SECTOR;

        if (disk_io(p->from, BP_BLOCK_READ, p->offset + done, buf + done, n, 0) == 0)
            continue;
        memset(buf + done, 0, (size_t)n);
        if (!lost)
            first = p->at + done;
        lost += n;
    }
    if (lost)
        complain("warning: what stands at byte %llu cannot be read: %llu bytes from there on are zeroes now",
                 (unsigned long long)first, (unsigned long long)lost);
}

/* Waits until the rate lets more through. */
static void keep_rate(struct copy *c)
{
    int64_t due;

    if (!c->rate)
        return;
    due = c->began + (int64_t)((double)c->next / (double)c->rate * 1e9);
    if (due > bp_clock_ns(BP_CLOCK_REALTIME))
        bp_co_sleep(BP_CLOCK_REALTIME, due - bp_clock_ns(BP_CLOCK_REALTIME));
}

static int next_piece(struct copy *c, struct piece *p)
{
    struct bp_block_status status = {.size = sizeof(status)};
    struct bp_block_node *holder;
    uint64_t left;
    unsigned depth;

    p->at = c->next;
    p->from = source_at(c, c->next, &p->offset);
    left = p->from->length - p->offset;
    if (c->compressed) { /* whole clusters */
        p->bytes = left < c->grain ? left : c->grain;
        p->zero = p->skip = false;
    } else {
        int r = block->image_status(p->from->node, NULL, p->offset, left, &holder, &depth, &status);

        if (r < 0)
            return r;
        p->zero = status.flags & BP_BLOCK_STATUS_ZERO;
        p->skip = false;
        p->bytes = status.bytes;
        if (!p->zero && p->bytes > PIECE)
            p->bytes = PIECE;
        if (p->zero && p->bytes > UINT64_C(1) << 30)
            p->bytes = UINT64_C(1) << 30;
    }
    c->next += p->bytes;
    return 0;
}

static int write_zero(struct copy *c, uint64_t at, uint64_t bytes)
{
    if (c->fresh && !c->backed)
        return 0;
    return disk_io(&c->target, BP_BLOCK_WRITE_ZEROES, at, NULL, bytes, BP_BLOCK_MAY_UNMAP);
}

/* Runs of zeroes, in whole grains, are not written. */
static int write_data(struct copy *c, uint64_t at, uint8_t *buf, uint64_t bytes)
{
    uint64_t done = 0;
    int r = 0;

    if (c->compressed)
        return all_zero(buf, (size_t)bytes) ? write_zero(c, at, bytes)
               : disk_io(&c->target, BP_BLOCK_WRITE, at, buf, bytes, BP_BLOCK_COMPRESSED);
    if (!c->grain)
        return disk_io(&c->target, BP_BLOCK_WRITE, at, buf, bytes, 0);
    while (r == 0 && done < bytes) {
        uint64_t n = c->grain - (at + done) % c->grain, run;
        bool zero;

        n = n < bytes - done ? n : bytes - done;
        zero = all_zero(buf + done, (size_t)n);
        for (run = n; done + run < bytes; run += n) {
            n = c->grain < bytes - done - run ? c->grain : bytes - done - run;
            if (all_zero(buf + done + run, (size_t)n) != zero)
                break;
        }
        r = zero ? write_zero(c, at + done, run)
                 : disk_io(&c->target, BP_BLOCK_WRITE, at + done, buf + done, run, 0);
        done += run;
    }
    return r;
}

static void fail(struct copy *c, int error, uint64_t at, bool reads)
{
    if (c->error == 0) {
        c->error = error;
        c->error_at = at;
        c->error_reads = reads;
    }
}

static void work(void *opaque)
{
    struct copy *c = opaque;
    uint8_t *buf = NULL;

    if (posix_memalign((void **)&buf, 4096, PIECE) != 0)
        fail(c, -ENOMEM, 0, true);
    while (c->error == 0 && c->next < c->length) {
        struct piece p;
        int r = 0;
        bool more;

        bp_co_mutex_lock(c->lock);
        keep_rate(c);
        more = c->error == 0 && c->next < c->length;
        if (more)
            r = next_piece(c, &p);
        bp_co_mutex_unlock(c->lock);
        if (r < 0)
            fail(c, r, c->next, true);
        if (r < 0 || !more)
            break;
        if (p.zero) {
            r = write_zero(c, p.at, p.bytes);
        } else {
            r = disk_io(p.from, BP_BLOCK_READ, p.offset, buf, p.bytes, 0);
            if (r < 0 && c->salvage) {
                salvage(&p, buf);
                r = 0;
            }
            if (r < 0) {
                fail(c, r, p.at, true);
                break;
            }
            r = write_data(c, p.at, buf, p.bytes);
        }
        if (r < 0)
            fail(c, r, p.at, false);
        c->done += p.bytes;
        progress(c->done, c->length, c->shown);
    }
    free(buf);
    if (--c->running == 0)
        bp_co_wake(c->waits);
}

static int copy_all(struct copy *c)
{
    unsigned started = 0;

    c->waits = bp_co_current();
    c->lock = bp_co_mutex_new();
    c->running = 1;
    c->began = bp_clock_ns(BP_CLOCK_REALTIME);
    progress(0, c->length, c->shown);
    for (; started < c->workers; started++) {
        struct bp_co *co;

        if (bp_co_new(NULL, bp_context_main(NULL), "convert", work, c, &co, NULL) < 0)
            break;
        c->running++;
        bp_co_enter(co);
        bp_co_unref(co);
    }
    if (!started)
        fail(c, -ENOMEM, 0, true);
    c->running--;
    while (c->running)
        bp_co_await();
    bp_co_mutex_free(c->lock);
    if (c->error)
        return complain("error while %s at byte %llu: %s", c->error_reads ? "reading" : "writing",
                        (unsigned long long)c->error_at, strerror(-c->error));
    if (disk_flush(&c->target) < 0)
        return complain("error while writing: what was written cannot be flushed");
    progress(c->length, c->length, c->shown);
    return 0;
}

/* ---- convert ---- */

struct wish {
    struct how from, to;
    struct bp_value *options;
    const char *format, *snapshot;
    uint64_t sparse, rate;
    bool compressed, existing, target_zero, shown, salvage, bitmaps, skip_broken;
    unsigned workers;
};

static int take_switches(struct wish *w, int argc, char **argv)
{
    static const struct option longs[] = {LONG_OPTIONS, {"target-is-zero", no_argument, NULL, 260},
                                          {"target-image-opts", no_argument, NULL, 261},
                                          {"salvage", no_argument, NULL, 262}, {"bitmaps", no_argument, NULL, 263},
                                          {"skip-broken-bitmaps", no_argument, NULL, 264}, {NULL, 0, NULL, 0}};
    int c, r = 0;

    while (r == 0 && (c = getopt_long(argc, argv, "B:CF:O:S:T:UWcf:hl:m:no:pqr:t:", longs, NULL)) != -1) {
        switch (c) {
        case 'B': bp_value_set(w->options, "backing_file", bp_value_string(optarg)); break;
        case 'F': bp_value_set(w->options, "backing_fmt", bp_value_string(optarg)); break;
        case 'C': case 'W': break; /* copies are offloaded, and out of order, where it helps */
        case 'O': w->format = optarg; break;
        case 'S': r = parse_size(optarg, &w->sparse) ? 0 : complain("Invalid buffer size for sparse output specified.");
                  break;
        case 'T': w->from.cache = optarg; break;
        case 't': w->to.cache = optarg; break;
        case 'U': w->from.force_share = true; break;
        case 'c': w->compressed = true; break;
        case 'f': w->from.format = optarg; break;
        case 'm': w->workers = (unsigned)strtoul(optarg, NULL, 10);
                  r = w->workers >= 1 && w->workers <= MAX_WORKERS
                          ? 0 : complain("Invalid number of coroutines. Allowed number of coroutines is between "
                                         "1 and 16");
                  break;
        case 'n': w->existing = true; break;
        case 'o': r = parse_keys(optarg, false, w->options); break;
        case 'p': w->shown = true; break;
        case 'q': quiet = true; break;
        case 256: w->from.image_opts = true; break;
        case 260: w->target_zero = true; break;
        case 261: w->to.image_opts = true; break;
        case 262: w->salvage = true; break;
        case 263: w->bitmaps = true; break;
        case 264: w->skip_broken = true; break;
        case 'l': w->snapshot = optarg; break;
        case 'r': r = parse_size(optarg, &w->rate) ? 0 : complain("-r: '%s' is no number of bytes a second", optarg); break;
        default: r = complain("convert: see backplane-img --help"); break;
        }
    }
    return r;
}

/* Several times as quick as zlib, and denser; readers have known it since 2020. Version 2 has no field for it. */
static void choose_compression(struct wish *w)
{
#ifdef HAVE_ZSTD
    const char *compat = bp_value_get_string(w->options, "compat");

    if (w->compressed && !strcmp(w->format, "qcow2") && !bp_value_has(w->options, "compression_type") &&
        !(compat && (!strcmp(compat, "0.10") || !strcmp(compat, "v2"))))
        bp_value_set(w->options, "compression_type", bp_value_string("zstd"));
#else
    (void)w;
#endif
}

static int make_target(struct wish *w, const char *name, uint64_t length)
{
    const char *said = bp_value_get_string(w->options, "size");
    uint64_t size = length;

    if (w->existing)
        return 0;
    choose_compression(w);
    if (said && !parse_size(said, &size))
        return complain("Invalid image size '%s'", said);
    bp_value_set(w->options, "size", bp_value_uint((size + 511) / 512 * 512));
    return disk_make(name, w->format, w->options);
}

static uint32_t cluster_of(struct image *image)
{
    struct bp_value *info = block->image_info(image->node, false);
    uint32_t cluster = (uint32_t)bp_value_as_uint(bp_value_get(info, "cluster-size"));

    bp_value_unref(info);
    return cluster;
}

/* A new image is opened with the secret that it was made with. */
static void take_secret(struct wish *w)
{
    const char *own = bp_value_get_string(w->options, "key-secret");
    const char *inner = bp_value_get_string(w->options, "encrypt.key-secret");
    struct bp_value *encrypt;

    if (!own && !inner)
        return;
    w->to.keys = bp_value_dict();
    if (own)
        bp_value_set(w->to.keys, "key-secret", bp_value_string(own));
    if (!inner)
        return;
    encrypt = bp_value_dict();
    bp_value_set(encrypt, "format", bp_value_string("luks"));
    bp_value_set(encrypt, "key-secret", bp_value_string(inner));
    bp_value_set(w->to.keys, "encrypt", encrypt);
}

/* What nobody wrote to an encrypted disk is no zeroes. */
static bool reads_as_zeroes(struct image *image)
{
    struct bp_block_status status = {.size = sizeof(status)};

    return image->length == 0 || block->status(image->blk, 0, image->length, &status) < 0 ||
           (status.flags & (BP_BLOCK_STATUS_DATA | BP_BLOCK_STATUS_ZERO | BP_BLOCK_STATUS_OFFSET_VALID)) !=
               BP_BLOCK_STATUS_DATA;
}

static bool is_stream(const struct wish *w)
{
    const char *subformat = bp_value_get_string(w->options, "subformat");

    return subformat && !strcmp(w->format, "vmdk") && !strcmp(subformat, "streamOptimized");
}

static int open_target(struct wish *w, const char *name, struct copy *c)
{
    int r;

    w->to.write = true;
    if (!w->to.format)
        w->to.format = w->format;
    take_secret(w);
    r = disk_open(name, &w->to, &c->target);
    bp_value_unref(w->to.keys);
    w->to.keys = NULL;
    if (r)
        return 1;
    if (c->target.length < c->length) {
        disk_close(&c->target);
        return complain("output file is smaller than input file");
    }
    c->backed = block->image_backing(c->target.node) != NULL;
    c->fresh = w->target_zero || (!w->existing && reads_as_zeroes(&c->target));
    c->grain = (uint32_t)w->sparse;
    if (is_stream(w)) { /* its grains come in order, whole and compressed */
        w->compressed = true;
        c->workers = 1;
    }
    if (!w->compressed)
        return 0;
    c->grain = cluster_of(&c->target);
    c->compressed = true;
    if (c->grain && (is_stream(w) || (strcmp(block->image_driver(c->target.node), "qcow2") == 0 &&
                                      !bp_value_has(w->options, "encrypt.format"))))
        return 0;
    disk_close(&c->target);
    return complain("Compression not supported for this file format");
}

/* The image reads as it was at a snapshot: by name or id, or "snapshot.name=" or "snapshot.id=". */
static int show_snapshot(const char *snapshot, const char *name, struct image *image)
{
    struct bp_error err = {0};

    if (!strncmp(snapshot, "snapshot.", 9))
        snapshot = strchr(snapshot, '=') ? strchr(snapshot, '=') + 1 : "";
    if (block->image_snapshot(image->node, BP_BLOCK_SNAPSHOT_SHOW, snapshot, NULL, &err) < 0)
        return complain("-l: '%s' cannot be shown as it was: %s", name, err.message);
    image->length = (uint64_t)block->length(image->blk);
    return 0;
}

static int convert(struct wish *w, unsigned count, char **names, const char *target)
{
    struct copy c = {.count = 0, .workers = w->workers, .shown = w->shown, .salvage = w->salvage, .rate = w->rate};
    int r = 0;

    c.sources = calloc(count, sizeof(*c.sources));
    if (!c.sources)
        return complain("no memory");
    for (unsigned i = 0; r == 0 && i < count; i++) {
        r = disk_open(names[i], &w->from, &c.sources[i]);
        if (r)
            break;
        c.count++;
        if (w->snapshot)
            r = show_snapshot(w->snapshot, names[i], &c.sources[i]);
        c.length += c.sources[i].length;
    }
    if (r == 0 && w->bitmaps)
        r = bitmaps_check(&c.sources[0], w->skip_broken);
    if (r == 0)
        r = make_target(w, target, c.length);
    if (r == 0)
        r = open_target(w, target, &c);
    if (r == 0) {
        r = copy_all(&c);
        if (r == 0 && w->bitmaps)
            r = bitmaps_copy(&c.sources[0], &c.target);
        disk_close(&c.target);
    }
    for (unsigned i = 0; i < c.count; i++)
        disk_close(&c.sources[i]);
    free(c.sources);
    return r;
}

int run_convert(int argc, char **argv)
{
    struct wish w = {.options = bp_value_dict(), .format = "raw", .sparse = 4096, .workers = 8};
    int r;

    w.to.cache = "unsafe";
    r = take_switches(&w, argc, argv);
    if (r == 0 && argc - optind < 2)
        r = complain("Must specify image file name");
    if (r == 0 && w.existing && bp_value_length(w.options) > 0)
        r = complain("-o has no effect when skipping image creation");
    if (r == 0 && w.snapshot && argc - optind > 2)
        r = complain("-l: a snapshot is one of one image; multiple images cannot be joined so");
    if (r == 0 && w.bitmaps && argc - optind > 2)
        r = complain("--bitmaps: only one image's can be copied");
    if (r == 0 && w.skip_broken && !w.bitmaps)
        r = complain("--skip-broken-bitmaps says something about --bitmaps alone");
    if (r == 0 && w.compressed && !strcmp(w.format, "raw"))
        r = complain("Compression not supported for this file format");
    if (r == 0)
        r = convert(&w, (unsigned)(argc - optind - 1), argv + optind, argv[argc - 1]);
    bp_value_unref(w.options);
    return r;
}

/* ---- dd ---- */

static int dd_copy(struct image *from, struct image *to, uint64_t skip, uint64_t bytes, uint64_t bs)
{
    uint8_t *buf = malloc(bs);
    int r = buf ? 0 : -ENOMEM;

    for (uint64_t at = 0; r == 0 && at < bytes; at += bs) {
        uint64_t n = bytes - at < bs ? bytes - at : bs;

        r = disk_io(from, BP_BLOCK_READ, skip + at, buf, n, 0);
        if (r < 0)
            complain("error while reading from input image file: %s", strerror(-r));
        else if ((r = disk_io(to, BP_BLOCK_WRITE, at, buf, n, 0)) < 0)
            complain("error while writing to output image file: %s", strerror(-r));
    }
    free(buf);
    if (r == 0 && disk_flush(to) < 0)
        r = -EIO;
    return r < 0;
}

int run_dd(int argc, char **argv)
{
    static const struct option longs[] = {LONG_OPTIONS, {NULL, 0, NULL, 0}};
    struct how from = {.write = false}, to = {.write = true};
    const char *in = NULL, *out = NULL, *format = "raw";
    uint64_t bs = 512, count = UINT64_MAX, skip = 0, bytes;
    struct bp_value *options;
    struct image a, b;
    int c, r = 0;

    while ((c = getopt_long(argc, argv, "f:hO:U", longs, NULL)) != -1) {
        switch (c) {
        case 'f': from.format = optarg; break;
        case 'O': format = optarg; break;
        case 'U': from.force_share = true; break;
        case 256: from.image_opts = true; break;
        default: return complain("dd: see backplane-img --help");
        }
    }
    for (; r == 0 && optind < argc; optind++) {
        const char *arg = argv[optind];

        if (!strncmp(arg, "if=", 3))
            in = arg + 3;
        else if (!strncmp(arg, "of=", 3))
            out = arg + 3;
        else if (!strncmp(arg, "bs=", 3))
            r = parse_size(arg + 3, &bs) && bs && bs <= 1u << 30 ? 0 : complain("invalid number: '%s'", arg + 3);
        else if (!strncmp(arg, "count=", 6))
            r = parse_size(arg + 6, &count) ? 0 : complain("invalid number: '%s'", arg + 6);
        else if (!strncmp(arg, "skip=", 5))
            r = parse_size(arg + 5, &skip) ? 0 : complain("invalid number: '%s'", arg + 5);
        else
            r = complain("unrecognized operand %s", arg);
    }
    if (r == 0 && (!in || !out))
        r = complain("Must specify both input and output file names");
    if (r || disk_open(in, &from, &a))
        return 1;
    skip = skip < a.length / bs + 1 ? skip * bs : a.length;
    bytes = skip < a.length ? a.length - skip : 0;
    if (count < bytes / bs + 1 && count * bs < bytes)
        bytes = count * bs;
    options = bp_value_dict();
    bp_value_set(options, "size", bp_value_uint(bytes));
    r = disk_make(out, format, options);
    bp_value_unref(options);
    to.format = format;
    if (r == 0 && (r = disk_open(out, &to, &b)) == 0) {
        r = dd_copy(&a, &b, skip, bytes, bs);
        disk_close(&b);
    }
    disk_close(&a);
    return r;
}
