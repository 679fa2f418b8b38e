/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* open, close, reopen, and what an open image tells of itself. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"

struct image disk;
static struct {
    char *name, *format, *cache, *aio, *discard;
    bool image_opts;
    struct manner manner;
    struct bp_value *keys;
} opened; /* what `disk` was opened with */

static char *copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

static void forget(void)
{
    free(opened.name);
    free(opened.format);
    free(opened.cache);
    free(opened.aio);
    free(opened.discard);
    bp_value_unref(opened.keys);
    memset(&opened, 0, sizeof(opened));
}

void close_disk(void)
{
    finish_requests();
    disk_close(&disk);
}

static int open_as(const char *name, const char *format, bool image_opts, struct bp_value *keys,
                   const struct manner *m)
{
    struct how how = {.format = format,
                      .cache = m->cache,
                      .aio = m->aio,
                      .write = !m->read_only,
                      .image_opts = image_opts,
                      .force_share = m->force_share,
                      .temporary = m->temporary,
                      .copy_on_read = m->copy_on_read};
    int ret;

    how.keys = bp_value_dict();
    bp_value_set(how.keys, "discard", bp_value_string(m->discard ? m->discard : "ignore"));
    if (keys)
        bp_value_each(keys, copy_key, how.keys);
    ret = disk_open(name, &how, &disk);
    bp_value_unref(how.keys);
    return ret;
}

/* `keys`: further ones of the node (borrowed), or NULL. */
int open_disk(const char *name, const char *format, bool image_opts, struct bp_value *keys,
              const struct manner *m)
{
    if (open_as(name, format, image_opts, keys, m))
        return 1;
    forget();
    opened.name = copy(name);
    opened.format = copy(format);
    opened.cache = copy(m->cache);
    opened.aio = copy(m->aio);
    opened.discard = copy(m->discard);
    opened.image_opts = image_opts;
    opened.manner = *m;
    opened.manner.cache = opened.cache;
    opened.manner.aio = opened.aio;
    opened.manner.discard = opened.discard;
    opened.keys = keys ? bp_value_ref(keys) : bp_value_dict();
    return 0;
}

bool is_writable(void)
{
    if (opened.manner.read_only)
        complain("Block node is read-only");
    return !opened.manner.read_only;
}

int run_open(int argc, char **argv)
{
    struct manner m = {.read_only = false};
    const char *options = NULL, *format;
    struct bp_value *keys;
    char *driver;
    int c, ret;

    while ((c = getopt(argc, argv, "rsCnkUi:t:d:o:")) != -1) {
        switch (c) {
        case 'r':
            m.read_only = true;
            break;
        case 's':
            m.temporary = true;
            break;
        case 'C':
            m.copy_on_read = true;
            break;
        case 'n':
            m.cache = "none";
            break;
        case 'k':
            m.aio = "native";
            break;
        case 'U':
            m.force_share = true;
            break;
        case 'i':
            m.aio = optarg;
            break;
        case 't':
            m.cache = optarg;
            break;
        case 'd':
            m.discard = optarg;
            break;
        case 'o':
            options = optarg;
            break;
        default:
            return usage_of("open");
        }
    }
    if (optind + 1 < argc || (optind == argc && !options))
        return usage_of("open");
    if (disk.node)
        return complain("file open already, try 'help close'");
    if (optind == argc)
        return open_disk(options, NULL, true, NULL, &m);
    keys = bp_value_dict();
    ret = options ? parse_keys(options, true, keys) : 0;
    format = bp_value_get_string(keys, "driver");
    driver = copy(format);
    bp_value_remove(keys, "driver");
    ret = ret ? ret : open_disk(argv[optind], driver, false, keys, &m);
    free(driver);
    bp_value_unref(keys);
    return ret;
}

int run_close(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    close_disk();
    forget();
    return 0;
}

/* Closed and opened anew; as it was when that fails. */
int run_reopen(int argc, char **argv)
{
    struct manner m = opened.manner;
    struct bp_value *keys = bp_value_copy(opened.keys);
    bool reads = false, writes = false;
    int c, ret = 0;

    while (ret == 0 && (c = getopt(argc, argv, "rwc:o:")) != -1) {
        switch (c) {
        case 'r':
            reads = true;
            break;
        case 'w':
            writes = true;
            break;
        case 'c':
            m.cache = optarg;
            break;
        case 'o':
            ret = parse_keys(optarg, true, keys);
            break;
        default:
            ret = usage_of("reopen");
            break;
        }
    }
    if (ret == 0 && optind != argc)
        ret = usage_of("reopen");
    if (ret == 0 && reads && writes)
        ret = complain("Only one -r/-w option may be given");
    if (ret == 0 && m.temporary)
        ret = complain("an image whose writes go to a temporary file (-s) cannot be reopened: they "
                       "would be gone");
    if (ret == 0) {
        m.read_only = reads || (!writes && m.read_only);
        finish_requests();
        disk_close(&disk);
        ret = open_as(opened.name, opened.format, opened.image_opts, keys, &m);
        if (ret == 0) {
            char *cache = copy(m.cache);

            free(opened.cache);
            opened.cache = cache;
            opened.manner.cache = cache;
            opened.manner.read_only = m.read_only;
            bp_value_unref(opened.keys);
            opened.keys = bp_value_ref(keys);
        } else if (open_as(opened.name, opened.format, opened.image_opts, opened.keys,
                           &opened.manner)) {
            forget();
        }
    }
    bp_value_unref(keys);
    return ret;
}

int run_length(int argc, char **argv)
{
    int64_t length = block->length(disk.blk);
    char text[48];

    (void)argc;
    (void)argv;
    if (length < 0)
        return complain("%s", strerror((int)-length));
    printf("%s\n", size_text((double)length, text, sizeof(text)));
    return 0;
}

int run_file_info(int argc, char **argv)
{
    struct bp_value *info = block->image_info(disk.node, false),
                    *specific = bp_value_get(info, "format-specific");
    int indent = 4;
    char text[48];

    (void)argc;
    (void)argv;
    printf("format name: %s\ncluster size: %s\n", block->image_driver(disk.node),
           size_text((double)bp_value_as_uint(bp_value_get(info, "cluster-size")), text,
                     sizeof(text)));
    if (specific) {
        printf("Format specific information:\n");
        bp_value_each(bp_value_get(specific, "data"), print_specific, &indent);
    }
    bp_value_unref(info);
    return 0;
}

int run_truncate(int argc, char **argv)
{
    struct bp_error err = {0};
    const char *how = "off";
    uint64_t length;
    int c;

    while ((c = getopt(argc, argv, "m:")) != -1) {
        if (c != 'm')
            return usage_of("truncate");
        how = optarg;
    }
    if (optind + 1 != argc)
        return usage_of("truncate");
    if (strcmp(how, "off") != 0)
        return complain("truncate: preallocation mode '%s' is not built; 'off' is", how);
    if (!is_writable() || !take_bytes(argv[optind], &length))
        return 1;
    finish_requests();
    if (block->image_resize(disk.node, length, &err) < 0)
        return complain("%s", err.message);
    return 0;
}

/* Has nothing but what it holds, holes included: everything is in it. */
static bool is_plain(void)
{
    static const char *const plain[] = {"raw", "file", "host_device", "nbd", "null-co", "null-aio"};

    for (size_t i = 0; i < BP_COUNT(plain); i++)
        if (!strcmp(block->image_driver(disk.node), plain[i]))
            return true;
    return false;
}

/* Is it in this image, not below it? For how many bytes from `at` on. */
static int holds(uint64_t at, uint64_t bytes, bool *ret_holds, uint64_t *ret_bytes)
{
    struct bp_block_status status = {.size = sizeof(status)};
    struct bp_block_node *holder;
    unsigned depth;
    int ret = block->image_status(disk.node, block->image_backing(disk.node), at, bytes, &holder,
                                  &depth, &status);

    if (ret < 0)
        return complain("%s", strerror(-ret));
    *ret_holds = is_plain() || status.flags & BP_BLOCK_STATUS_ALLOCATED;
    *ret_bytes = status.bytes;
    return 0;
}

int run_file_map(int argc, char **argv)
{
    uint64_t length = (uint64_t)block->length(disk.blk), begin = 0, n;
    bool was = false, is;
    char size[48], place[48];

    (void)argc;
    (void)argv;
    for (uint64_t at = 0; at < length; at += n) {
        if (holds(at, length - at, &is, &n))
            return 1;
        if (at == 0)
            was = is;
        if (is != was) {
            printf("%s (0x%" PRIx64 ") bytes %s allocated at offset %s (0x%" PRIx64 ")\n",
                   size_text((double)(at - begin), size, sizeof(size)), at - begin,
                   was ? "   " : "not", size_text((double)begin, place, sizeof(place)), begin);
            begin = at;
            was = is;
        }
    }
    if (length > begin)
        printf("%s (0x%" PRIx64 ") bytes %s allocated at offset %s (0x%" PRIx64 ")\n",
               size_text((double)(length - begin), size, sizeof(size)), length - begin,
               was ? "   " : "not", size_text((double)begin, place, sizeof(place)), begin);
    return 0;
}

int run_alloc(int argc, char **argv)
{
    uint64_t offset, bytes = 512, length = (uint64_t)block->length(disk.blk), sum = 0, n;
    char place[48];
    bool is;

    if (!take_bytes(argv[1], &offset) || (argc == 3 && !take_bytes(argv[2], &bytes)))
        return 1;
    for (uint64_t at = offset; at < offset + bytes && at < length; at += n) {
        uint64_t left = offset + bytes < length ? offset + bytes - at : length - at;

        if (holds(at, left, &is, &n))
            return 1;
        sum += is ? n : 0;
    }
    printf("%" PRIu64 "/%" PRIu64 " bytes allocated at offset %s\n", sum, bytes,
           size_text((double)offset, place, sizeof(place)));
    return 0;
}
