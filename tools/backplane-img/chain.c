/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* compare, rebase, commit, bench: images beside each other, chains, and how fast it is. */
#include "img.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE (2u << 20)

/* ---- compare ---- */

static int status_of(struct image *image, uint64_t at, uint64_t bytes, bool *ret_zero, uint64_t *ret_bytes)
{
    struct bp_block_status status = {.size = sizeof(status)};
    struct bp_block_node *holder;
    unsigned depth;
    int r;

    if (at >= image->length) {
        *ret_zero = true;
        *ret_bytes = bytes;
        return 0;
    }
    r = block->image_status(image->node, NULL, at, bytes < image->length - at ? bytes : image->length - at, &holder,
                            &depth, &status);
    *ret_zero = r == 0 && status.flags & BP_BLOCK_STATUS_ZERO;
    *ret_bytes = r == 0 ? status.bytes : 0;
    return r;
}

static int load(struct image *image, uint64_t at, uint8_t *buf, uint64_t bytes)
{
    uint64_t there = at >= image->length ? 0 : image->length - at < bytes ? image->length - at : bytes;

    memset(buf + there, 0, (size_t)(bytes - there));
    return there ? disk_io(image, BP_BLOCK_READ, at, buf, there, 0) : 0;
}

/* 0: equal; 1: not, from *ret_at on; negative: -errno. */
static int differ(struct image *a, struct image *b, uint64_t end, bool shown, uint64_t *ret_at)
{
    uint8_t *x = malloc(PIECE), *y = malloc(PIECE);
    int r = x && y ? 0 : -ENOMEM;

    for (uint64_t at = 0; r == 0 && at < end;) {
        uint64_t n = end - at, m;
        bool za, zb;

        r = status_of(a, at, n, &za, &n);
        if (r == 0)
            r = status_of(b, at, n, &zb, &m);
        if (r < 0)
            break;
        n = m < n ? m : n;
        if (!za || !zb) {
            n = n < PIECE ? n : PIECE;
            r = load(a, at, x, n);
            if (r == 0)
                r = load(b, at, y, n);
            if (r == 0 && memcmp(x, y, (size_t)n) != 0) {
                uint64_t i = 0;

                while (x[i] == y[i])
                    i++;
                *ret_at = at + i;
                r = 1;
            }
        }
        at += n;
        progress(at, end, shown);
    }
    free(x);
    free(y);
    return r;
}

int run_compare(int argc, char **argv)
{
    static const struct option longs[] = {LONG_OPTIONS, {NULL, 0, NULL, 0}};
    struct how first = {.write = false}, second = {.write = false};
    bool strict = false, shown = false;
    struct image a, b;
    uint64_t at = 0;
    int c, r;

    while ((c = getopt_long(argc, argv, "hf:F:T:pqsU", longs, NULL)) != -1) {
        switch (c) {
        case 'f': first.format = optarg; break;
        case 'F': second.format = optarg; break;
        case 'T': first.cache = second.cache = optarg; break;
        case 'p': shown = true; break;
        case 'q': quiet = true; break;
        case 's': strict = true; break;
        case 'U': first.force_share = second.force_share = true; break;
        case 256: first.image_opts = second.image_opts = true; break;
        default: complain("compare: see backplane-img --help"); return 2;
        }
    }
    if (optind + 2 != argc) {
        complain("Expecting two image file names");
        return 2;
    }
    if (disk_open(argv[optind], &first, &a))
        return 2;
    if (disk_open(argv[optind + 1], &second, &b)) {
        disk_close(&a);
        return 2;
    }
    if (a.length != b.length && strict) {
        say("Strict mode: Image size mismatch!\n");
        r = 1;
    } else {
        r = differ(&a, &b, a.length > b.length ? a.length : b.length, shown, &at);
        if (r > 0)
            say("Content mismatch at offset %llu!\n", (unsigned long long)at);
        else if (r == 0 && a.length != b.length)
            say("Warning: Image size mismatch!\n");
        if (r == 0)
            say("Images are identical.\n");
    }
    disk_close(&a);
    disk_close(&b);
    if (r < 0) {
        complain("Error while reading: %s", strerror(-r));
        return 4;
    }
    return r;
}

/* ---- rebase ---- */

/* What is not in the image itself has to read as before. */
static int keep_content(struct image *top, struct bp_block_node *old, struct image *before, struct image *after,
                        bool shown)
{
    uint8_t *x = malloc(PIECE), *y = malloc(PIECE);
    int r = x && y ? 0 : -ENOMEM;

    for (uint64_t at = 0; r == 0 && at < top->length;) {
        struct bp_block_status status = {.size = sizeof(status)};
        uint64_t n = top->length - at < PIECE ? top->length - at : PIECE;
        struct bp_block_node *holder;
        unsigned depth;

        r = block->image_status(top->node, old, at, n, &holder, &depth, &status);
        if (r < 0)
            break;
        n = status.bytes;
        if (!(status.flags & BP_BLOCK_STATUS_ALLOCATED)) {
            r = load(before, at, x, n);
            if (r == 0)
                r = load(after, at, y, n);
            if (r == 0 && memcmp(x, y, (size_t)n) != 0)
                r = all_zero(x, (size_t)n) ? disk_io(top, BP_BLOCK_WRITE_ZEROES, at, NULL, n, 0)
                                           : disk_io(top, BP_BLOCK_WRITE, at, x, n, 0);
        }
        at += n;
        progress(at, top->length, shown);
    }
    free(x);
    free(y);
    return r < 0 ? complain("rebase: %s", strerror(-r)) : 0;
}

static int rebase_safely(struct image *top, const char *name, const char *backing, const char *format,
                         const char *cache, bool shown)
{
    struct bp_block_node *old = block->image_backing(top->node);
    struct how how = {.format = format, .cache = cache};
    struct image before = {NULL, NULL, NULL, 0}, after = {NULL, NULL, NULL, 0};
    char *path = NULL;
    const char *slash = strrchr(name, '/');
    int r = 0;

    if (backing && *backing) {
        if (slash && *backing != '/' && strncmp(backing, "json:", 5) != 0)
            r = asprintf(&path, "%.*s%s", (int)(slash - name + 1), name, backing) < 0;
        else
            r = asprintf(&path, "%s", backing) < 0;
        r = r ? complain("no memory") : disk_open(path, &how, &after);
        free(path);
    }
    if (r == 0 && old) {
        struct how as_is = {.format = block->image_driver(old), .cache = cache};

        r = disk_open(block->image_filename(old), &as_is, &before);
    }
    if (r == 0)
        r = keep_content(top, old, &before, &after, shown);
    if (before.node)
        disk_close(&before);
    if (after.node)
        disk_close(&after);
    return r;
}

int run_rebase(int argc, char **argv)
{
    static const struct option longs[] = {LONG_OPTIONS, {NULL, 0, NULL, 0}};
    struct how how = {.write = true};
    const char *backing = NULL, *format = NULL, *source_cache = NULL;
    bool unsafe = false, shown = false;
    struct bp_error err = {0};
    struct image top;
    int c, r = 0;

    while ((c = getopt_long(argc, argv, "hf:F:b:upt:T:qU", longs, NULL)) != -1) {
        switch (c) {
        case 'f': how.format = optarg; break;
        case 'F': format = optarg; break;
        case 'b': backing = optarg; break;
        case 'u': unsafe = true; break;
        case 'p': shown = true; break;
        case 't': how.cache = optarg; break;
        case 'T': source_cache = optarg; break;
        case 'q': quiet = true; break;
        case 256: how.image_opts = true; break;
        default: return complain("rebase: see backplane-img --help");
        }
    }
    if (optind + 1 != argc)
        return complain("Expecting one image file name");
    if (!backing)
        return complain("Must specify backing file (-b)");
    how.no_backing = unsafe;
    if (disk_open(argv[optind], &how, &top))
        return 1;
    if (!unsafe)
        r = rebase_safely(&top, argv[optind], backing, format, source_cache, shown);
    if (r == 0 && disk_flush(&top) < 0)
        r = complain("what was written cannot be flushed");
    if (r == 0 && block->image_change_backing(top.node, *backing ? backing : NULL, format, &err) < 0)
        r = complain("Could not change the backing file to '%s': %s", backing, err.message);
    if (r == 0 && disk_flush(&top) < 0)
        r = complain("what was written cannot be flushed");
    disk_close(&top);
    return r;
}

/* ---- commit ---- */

static int copy_down(struct image *top, struct bp_block_node *base, struct image *into, bool shown)
{
    uint8_t *buf = malloc(PIECE);
    int r = buf ? 0 : -ENOMEM;

    for (uint64_t at = 0; r == 0 && at < top->length;) {
        struct bp_block_status status = {.size = sizeof(status)};
        uint64_t n = top->length - at;
        struct bp_block_node *holder;
        unsigned depth;

        r = block->image_status(top->node, base, at, n, &holder, &depth, &status);
        if (r < 0)
            break;
        n = status.bytes;
        /* Also where an image between is shorter than what is below it: that ends there. */
        if (status.flags & BP_BLOCK_STATUS_ZERO) {
            r = disk_io(into, BP_BLOCK_WRITE_ZEROES, at, NULL, n, BP_BLOCK_MAY_UNMAP);
        } else if (status.flags & BP_BLOCK_STATUS_ALLOCATED) {
            n = n < PIECE ? n : PIECE;
            r = disk_io(top, BP_BLOCK_READ, at, buf, n, 0);
            if (r == 0)
                r = disk_io(into, BP_BLOCK_WRITE, at, buf, n, 0);
        }
        at += n;
        progress(at, top->length, shown);
    }
    free(buf);
    if (r == 0)
        r = disk_flush(into);
    return r < 0 ? complain("Could not commit: %s", strerror(-r)) : 0;
}

struct member {
    char *file, *format;
};

#define MAX_CHAIN 256u

/* The images from the top to the one that -b names (NULL: the next one); 0: there is none. */
static unsigned members(const char *name, const struct how *how, const char *base, struct member *list)
{
    struct how look = *how;
    struct image top;
    unsigned n = 0;
    bool found = false;

    look.write = false;
    look.no_io = true;
    if (disk_open(name, &look, &top))
        return 0;
    for (struct bp_block_node *node = top.node; node && !found && n < MAX_CHAIN; node = block->image_backing(node)) {
        const char *file = block->image_filename(node), *last = strrchr(file, '/');

        found = n > 0 && (!base || !strcmp(file, base) || (last && !strcmp(last + 1, base)));
        list[n].file = bp_strdup(file);
        list[n++].format = bp_strdup(block->image_driver(node));
    }
    disk_close(&top);
    if (!found && base)
        complain("Did not find '%s' in the backing chain of '%s'", base, name);
    else if (!found)
        complain("Image does not have a backing file");
    return found ? n : 0;
}

/* Opens them from below, so that all see the one that is written to. */
static int commit(const struct member *list, unsigned n, const char *cache, bool shown)
{
    struct image images[MAX_CHAIN] = {{NULL, NULL, NULL, 0}}, *top = &images[0], *base = &images[n - 1];
    struct bp_error err = {0};
    int r = 0;

    for (unsigned i = n; r == 0 && i-- > 0;) {
        struct how how = {.format = list[i].format, .cache = cache, .write = i == n - 1, .force_share = i < n - 1,
                          .backing = i < n - 1 ? block->node_name(images[i + 1].node) : NULL,
                          .no_io = i > 0 && i < n - 1};

        r = disk_open(list[i].file, &how, &images[i]);
    }
    if (r == 0 && base->length < top->length && block->image_resize(base->node, top->length, &err) < 0)
        r = complain_error(list[n - 1].file, &err);
    if (r == 0)
        r = copy_down(top, base->node, base, shown);
    for (unsigned i = 0; i < n; i++)
        if (images[i].node)
            disk_close(&images[i]);
    return r;
}

static int empty(const char *name, struct how *how)
{
    struct bp_error err = {0};
    struct image top;
    int r = disk_open(name, how, &top);

    if (r)
        return r;
    if (block->image_make_empty(top.node, &err) < 0)
        r = complain("Could not empty %s: %s", name, err.message);
    if (disk_flush(&top) < 0)
        r = complain("what was written cannot be flushed");
    disk_close(&top);
    return r;
}

int run_commit(int argc, char **argv)
{
    static const struct option longs[] = {LONG_OPTIONS, {NULL, 0, NULL, 0}};
    struct member list[MAX_CHAIN] = {{NULL, NULL}};
    struct how how = {.write = true};
    const char *base = NULL;
    bool keep = false, shown = false;
    unsigned n;
    int c, r;

    while ((c = getopt_long(argc, argv, "f:ht:b:dpqr:", longs, NULL)) != -1) {
        switch (c) {
        case 'f': how.format = optarg; break;
        case 't': how.cache = optarg; break;
        case 'b': base = optarg; keep = true; break;
        case 'd': keep = true; break;
        case 'p': shown = true; break;
        case 'q': quiet = true; break;
        case 256: how.image_opts = true; break;
        default: return complain(c == 'r' ? "commit: -r is not built yet" : "commit: see backplane-img --help");
        }
    }
    if (optind + 1 != argc)
        return complain("Expecting one image file name");
    n = members(argv[optind], &how, base, list);
    r = n ? commit(list, n, how.cache, shown) : 1;
    for (unsigned i = 0; i < MAX_CHAIN; i++) {
        free(list[i].file);
        free(list[i].format);
    }
    if (r == 0 && !keep)
        r = empty(argv[optind], &how);
    if (r == 0)
        say("Image committed.\n");
    return r;
}

/* ---- bench ---- */

struct bench {
    struct image image;
    uint64_t left, at, step, size;
    uint64_t flush_interval, until_flush; /* writes; 0: none */
    unsigned running, busy; /* coroutines; requests that are under way */
    bool write, no_drain, flushing, owes;
    struct bp_co_queue *turn;
    uint8_t pattern;
    int error;
    struct bp_co *waits;
};

static void one(void *opaque)
{
    struct bench *b = opaque;
    uint8_t *buf = NULL;

    if (posix_memalign((void **)&buf, 4096, b->size) != 0)
        b->error = -ENOMEM;
    else
        memset(buf, b->pattern, b->size);
    while (b->error == 0 && b->left > 0) {
        uint64_t at = b->at;
        int r;

        if (b->flushing && !b->no_drain) { /* nothing new until all that came before is safe */
            bp_co_queue_wait(b->turn, NULL);
            continue;
        }
        b->left--;
        b->busy++;
        b->at += b->step;
        if (b->at + b->size > b->image.length)
            b->at = 0;
        r = disk_io(&b->image, b->write ? BP_BLOCK_WRITE : BP_BLOCK_READ, at, buf, b->size, 0);
        b->busy--;
        if (r == 0 && b->flush_interval && --b->until_flush == 0) {
            b->until_flush = b->flush_interval;
            b->flushing = true;
            b->owes = true;
        }
        if (r == 0 && b->owes && (b->no_drain || b->busy == 0)) {
            b->owes = false;
            r = disk_flush(&b->image);
            b->flushing = false;
            bp_co_queue_wake_all(b->turn);
        }
        if (r < 0) {
            b->error = r;
            b->flushing = false;
            bp_co_queue_wake_all(b->turn);
        }
    }
    free(buf);
    if (--b->running == 0)
        bp_co_wake(b->waits);
}

int run_bench(int argc, char **argv)
{
    static const struct option longs[] = {LONG_OPTIONS, {"pattern", required_argument, NULL, 260},
                                          {"no-drain", no_argument, NULL, 261},
                                          {"flush-interval", required_argument, NULL, 262}, {NULL, 0, NULL, 0}};
    struct bench b = {.left = 75000, .size = 4096};
    uint64_t depth = 64, offset = 0, pattern = 0;
    struct how how = {.write = false};
    int64_t began;
    int c;

    while ((c = getopt_long(argc, argv, "hc:d:f:i:no:qs:S:t:wU", longs, NULL)) != -1) {
        bool good = true;

        switch (c) {
        case 'c': good = parse_size(optarg, &b.left); break;
        case 'd': good = parse_size(optarg, &depth) && depth && depth <= 4096; break;
        case 'f': how.format = optarg; break;
        case 'i': how.aio = optarg; break;
        case 'n': how.aio = "native"; break;
        case 261: b.no_drain = true; break;
        case 262: good = parse_size(optarg, &b.flush_interval) && b.flush_interval; break;
        case 'o': good = parse_size(optarg, &offset); break;
        case 'q': quiet = true; break;
        case 's': good = parse_size(optarg, &b.size) && b.size && b.size <= 1u << 30; break;
        case 'S': good = parse_size(optarg, &b.step); break;
        case 't': how.cache = optarg; break;
        case 'w': how.write = b.write = true; break;
        case 'U': how.force_share = true; break;
        case 256: how.image_opts = true; break;
        case 260: good = parse_size(optarg, &pattern) && pattern < 256; break;
        default: return complain("bench: see backplane-img --help");
        }
        if (!good)
            return complain("Invalid number '%s'", optarg);
    }
    if (optind + 1 != argc)
        return complain("Expecting one image file name");
    if (b.flush_interval && !b.write)
        return complain("--flush-interval is only available in write tests");
    if (b.no_drain && !b.flush_interval)
        return complain("--no-drain needs --flush-interval: without it nothing is flushed");
    if (b.flush_interval && b.flush_interval < depth)
        return complain("Flush interval can't be smaller than depth");
    if (disk_open(argv[optind], &how, &b.image))
        return 1;
    b.until_flush = b.flush_interval;
    b.turn = bp_co_queue_new();
    b.step = b.step ? b.step : b.size;
    b.pattern = (uint8_t)pattern;
    b.at = offset;
    if (b.image.length < b.size || offset > b.image.length - b.size) {
        disk_close(&b.image);
        bp_co_queue_free(b.turn);
        return complain("the image is too short for that");
    }
    say("Sending %llu %s requests, %llu bytes each, %llu in parallel (starting at offset %llu, step size %llu)\n",
        (unsigned long long)b.left, b.write ? "write" : "read", (unsigned long long)b.size, (unsigned long long)depth,
        (unsigned long long)offset, (unsigned long long)b.step);
    began = bp_clock_ns(BP_CLOCK_REALTIME);
    b.waits = bp_co_current();
    b.running = 1;
    for (uint64_t i = 0; i < depth; i++) {
        struct bp_co *co;

        if (bp_co_new(NULL, bp_context_main(NULL), "bench", one, &b, &co, NULL) < 0)
            break;
        b.running++;
        bp_co_enter(co);
        bp_co_unref(co);
    }
    b.running--;
    while (b.running)
        bp_co_await();
    bp_co_queue_free(b.turn);
    if (b.error == 0)
        say("Run completed in %3.3f seconds.\n", (double)(bp_clock_ns(BP_CLOCK_REALTIME) - began) / 1e9);
    disk_close(&b.image);
    return b.error < 0 ? complain("a request failed: %s", strerror(-b.error)) : 0;
}
