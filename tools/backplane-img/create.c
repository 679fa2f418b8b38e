/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* create, resize, snapshot, measure: images are made and changed. */
#include "img.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *format, *name, *help;
} format_options[] = {
    {"qcow2", "backing_file=<str>", "File name of a base image"},
    {"qcow2", "backing_fmt=<str>", "Image format of the base image"},
    {"qcow2", "cluster_size=<size>", "qcow2 cluster size"},
    {"qcow2", "compat=<str>", "Compatibility level (v2 [0.10] or v3 [1.1])"},
    {"qcow2", "compression_type=<str>", "Compression method used for image cluster compression"},
    {"qcow2", "data_file=<str>", "File name of an external data file"},
    {"qcow2", "data_file_raw=<bool (on/off)>", "The external data file must stay valid as a raw image"},
    {"qcow2", "extended_l2=<bool (on/off)>", "Extended L2 tables"},
    {"qcow2", "lazy_refcounts=<bool (on/off)>", "Postpone refcount updates"},
    {"qcow2", "preallocation=<str>", "Preallocation mode (allowed values: off, metadata, falloc, full)"},
    {"qcow2", "refcount_bits=<num>", "Width of a reference count entry in bits"},
    {"vmdk", "adapter_type=<str>", "Virtual adapter type (allowed values: ide, lsilogic, buslogic, legacyESX)"},
    {"vmdk", "backing_file=<str>", "File name of a base image"},
    {"vmdk", "compat6=<bool (on/off)>", "Hardware version 6"}, {"vmdk", "hwversion=<str>", "Hardware version"},
    {"vmdk", "subformat=<str>", "Kind of image (allowed values: monolithicSparse, monolithicFlat, "
     "twoGbMaxExtentSparse, twoGbMaxExtentFlat, streamOptimized)"},
    {"vmdk", "toolsversion=<str>", "Version of the guest tools"},
    {"vmdk", "zeroed_grain=<bool (on/off)>", "Zeroes over a base image take no room"},
    {"vdi", "static=<bool (on/off)>", "All blocks have their place at once"},
    {"vpc", "force_size=<bool (on/off)>", "The exact size, not whole cylinders"},
    {"vpc", "subformat=<str>", "Kind of disk (allowed values: dynamic, fixed)"},
    {"vhdx", "block_size=<size>", "Block size, 1M to 256M"}, {"vhdx", "log_size=<size>", "Size of the log"},
    {"vhdx", "subformat=<str>", "Kind of disk (allowed values: dynamic, fixed)"},
    {"parallels", "cluster_size=<size>", "Cluster size"},
    {"qed", "backing_file=<str>", "File name of a base image"},
    {"qed", "backing_fmt=<str>", "Image format of the base image"},
    {"qed", "cluster_size=<size>", "Cluster size"}, {"qed", "table_size=<size>", "Size of a table, in clusters"}};

static int list_options(const char *format)
{
    bool known = false;

    printf("Supported options:\n");
    for (size_t i = 0; i < BP_COUNT(format_options); i++) {
        if (strcmp(format_options[i].format, format) != 0)
            continue;
        known = true;
        printf("  %-22s - %s\n", format_options[i].name, format_options[i].help);
    }
    if (!known)
        printf("  %-22s - %s\n", "preallocation=<str>", "Preallocation mode (allowed values: off, falloc, full)");
    printf("  %-22s - %s\n", "size=<size>", "Virtual disk size");
    return 0;
}

static int backing_size(const char *image, struct bp_value *options, bool unchecked, uint64_t *ret_size)
{
    const char *backing = bp_value_get_string(options, "backing_file"), *slash = strrchr(image, '/');
    struct how how = {.format = bp_value_get_string(options, "backing_fmt"), .no_io = true};
    struct image base;
    char *path = NULL;
    int r;

    if (!backing || (unchecked && *ret_size != UINT64_MAX))
        return 0;
    if (!how.format)
        return complain("%s: backing file specified without backing format\nDetected format of the backing file is "
                        "not trusted: say -F", image);
    if (slash && *backing != '/' && strncmp(backing, "json:", 5) != 0)
        r = asprintf(&path, "%.*s%s", (int)(slash - image + 1), image, backing);
    else
        r = asprintf(&path, "%s", backing);
    r = r < 0 ? complain("no memory") : disk_open(path, &how, &base);
    if (r == 0) {
        struct bp_value *info = block->image_info(base.node, false);

        if (*ret_size == UINT64_MAX)
            *ret_size = bp_value_as_uint(bp_value_get(info, "virtual-size"));
        bp_value_unref(info);
        disk_close(&base);
    }
    free(path);
    return r;
}

static int take_size(const char *image, struct bp_value *options, const char *text, bool unchecked)
{
    const char *said = bp_value_get_string(options, "size");
    uint64_t size = UINT64_MAX;
    int r;

    if (text && said)
        return complain("%s: the size is given twice", image);
    if ((text || said) && !parse_size(text ? text : said, &size))
        return complain("Invalid image size specified! You may use k, M, G, T, P or E suffixes for\nbackplane-img: "
                        "kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.");
    r = backing_size(image, options, unchecked, &size);
    if (r)
        return r;
    if (size == UINT64_MAX)
        return complain("%s: Image creation needs a size parameter", image);
    bp_value_set(options, "size", bp_value_uint(size));
    return 0;
}

static int show_option(const char *key, struct bp_value *value, void *opaque)
{
    (void)opaque;
    if (bp_value_as_string(value))
        printf(" %s=%s", key, bp_value_as_string(value));
    else
        printf(" %s=%llu", key, (unsigned long long)bp_value_as_uint(value));
    return 0;
}

int run_create(int argc, char **argv)
{
    static const struct option longs[] = {LONG_OPTIONS, {NULL, 0, NULL, 0}};
    struct bp_value *options = bp_value_dict();
    const char *format = "raw";
    bool unchecked = false, help = false;
    int c, r = 0;

    while (r == 0 && (c = getopt_long(argc, argv, "F:b:f:ho:qu", longs, NULL)) != -1) {
        switch (c) {
        case 'F': bp_value_set(options, "backing_fmt", bp_value_string(optarg)); break;
        case 'b': bp_value_set(options, "backing_file", bp_value_string(optarg)); break;
        case 'f': format = optarg; break;
        case 'o':
            help = !strcmp(optarg, "help") || !strcmp(optarg, "?");
            r = help ? 0 : parse_keys(optarg, false, options);
            break;
        case 'q': quiet = true; break;
        case 'u': unchecked = true; break;
        default: r = complain("create: see backplane-img --help"); break;
        }
    }
    if (r == 0 && help)
        r = list_options(format);
    else if (r == 0 && (optind >= argc || argc - optind > 2))
        r = complain(optind >= argc ? "Expecting image file name" : "Unexpected argument: %s", argv[argc - 1]);
    else if (r == 0 && (r = take_size(argv[optind], options, argv[optind + 1], unchecked)) == 0) {
        if (!quiet) {
            printf("Formatting '%s', fmt=%s", argv[optind], format);
            bp_value_each(options, show_option, NULL);
            printf("\n");
        }
        r = disk_make(argv[optind], format, options);
    }
    bp_value_unref(options);
    return r;
}

/* ---- resize ---- */

int run_resize(int argc, char **argv)
{
    static const struct option longs[] = {LONG_OPTIONS, {"shrink", no_argument, NULL, 260},
                                          {"preallocation", required_argument, NULL, 261}, {NULL, 0, NULL, 0}};
    struct how how = {.write = true};
    const char *text = argc > 1 ? argv[argc - 1] : "";
    bool shrink = false;
    struct bp_error err = {0};
    struct image image;
    uint64_t size;
    int c;

    if (argc > 2 && text[0] == '-' && text[1] >= '0' && text[1] <= '9')
        argc--; /* a size, not an option */
    else
        text = NULL;
    while ((c = getopt_long(argc, argv, "f:hq", longs, NULL)) != -1) {
        switch (c) {
        case 'f': how.format = optarg; break;
        case 'q': quiet = true; break;
        case 256: how.image_opts = true; break;
        case 260: shrink = true; break;
        case 261:
            if (strcmp(optarg, "off") != 0)
                return complain("--preallocation=%s is not built yet", optarg);
            break;
        default: return complain("resize: see backplane-img --help");
        }
    }
    if (!text && optind + 2 == argc)
        text = argv[--argc];
    if (!text || optind + 1 != argc)
        return complain("Expecting image file name and size");
    if (!parse_size(*text == '+' || *text == '-' ? text + 1 : text, &size))
        return complain("Invalid image size '%s'", text);
    if (disk_open(argv[optind], &how, &image))
        return 1;
    if (*text == '+')
        size += image.length;
    else if (*text == '-')
        size = size < image.length ? image.length - size : 0;
    if (size < image.length && !shrink) {
        disk_close(&image);
        return complain("Use the --shrink option to perform a shrink operation.\nbackplane-img: warning: Shrinking an "
                        "image will delete all data beyond the shrunken image's end. Before performing such an "
                        "operation, make sure there is no important data there.");
    }
    c = block->image_resize(image.node, size, &err);
    if (c == 0 && disk_flush(&image) < 0)
        c = bp_fail(&err, EIO, "it cannot be flushed");
    disk_close(&image);
    if (c < 0)
        return complain_error(argv[optind], &err);
    say("Image resized.\n");
    return 0;
}

/* ---- snapshot ---- */

void print_snapshots(struct bp_value *list)
{
    printf("Snapshot list:\n%-10s%-17s%8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT");
    for (size_t i = 0; i < bp_value_length(list); i++) {
        struct bp_value *v = bp_value_at(list, i);
        char *size = human_size(bp_value_as_uint(bp_value_get(v, "vm-state-size"))), date[40], clock[40];
        uint64_t s = bp_value_as_uint(bp_value_get(v, "vm-clock-sec"));
        uint64_t ns = bp_value_as_uint(bp_value_get(v, "vm-clock-nsec"));
        time_t when = (time_t)bp_value_as_int(bp_value_get(v, "date-sec"));
        struct tm tm;

        localtime_r(&when, &tm);
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
        snprintf(clock, sizeof(clock), "%02u:%02u:%02u.%03u", (unsigned)(s / 3600), (unsigned)(s / 60 % 60),
                 (unsigned)(s % 60), (unsigned)(ns / 1000000));
        printf("%-9s %-16s %8s%20s%13s%11s\n", bp_value_get_string(v, "id"), bp_value_get_string(v, "name"), size, date,
               clock, "");
        free(size);
    }
}

int run_snapshot(int argc, char **argv)
{
    static const struct option longs[] = {LONG_OPTIONS, {NULL, 0, NULL, 0}};
    enum bp_block_snapshot_op op = BP_BLOCK_SNAPSHOT_LIST;
    struct how how = {.no_io = false};
    struct bp_value *list = NULL;
    struct bp_error err = {0};
    const char *name = NULL;
    struct image image;
    int c;

    while ((c = getopt_long(argc, argv, "la:c:d:hqUf:", longs, NULL)) != -1) {
        switch (c) {
        case 'l': op = BP_BLOCK_SNAPSHOT_LIST; break;
        case 'a': op = BP_BLOCK_SNAPSHOT_APPLY; name = optarg; break;
        case 'c': op = BP_BLOCK_SNAPSHOT_CREATE; name = optarg; break;
        case 'd': op = BP_BLOCK_SNAPSHOT_DELETE; name = optarg; break;
        case 'f': how.format = optarg; break;
        case 'q': quiet = true; break;
        case 'U': how.force_share = true; break;
        case 256: how.image_opts = true; break;
        default: return complain("snapshot: see backplane-img --help");
        }
    }
    if (optind + 1 != argc)
        return complain("Expecting one image file name");
    how.write = op != BP_BLOCK_SNAPSHOT_LIST;
    if (disk_open(argv[optind], &how, &image))
        return 1;
    c = block->image_snapshot(image.node, op, name, &list, &err);
    if (c == 0 && how.write && disk_flush(&image) < 0)
        c = bp_fail(&err, EIO, "it cannot be flushed");
    disk_close(&image);
    if (c < 0)
        return complain("Could not %s snapshot: %s", op == BP_BLOCK_SNAPSHOT_CREATE ? "create"
                        : op == BP_BLOCK_SNAPSHOT_APPLY ? "apply" : op == BP_BLOCK_SNAPSHOT_DELETE ? "delete" : "list",
                        err.message);
    if (list && bp_value_length(list) > 0)
        print_snapshots(list);
    bp_value_unref(list);
    return 0;
}

/* ---- measure ---- */

static uint64_t used_bytes(struct image *image)
{
    uint64_t used = 0, at = 0;

    while (at < image->length) {
        struct bp_block_status status = {.size = sizeof(status)};
        struct bp_block_node *node;
        unsigned depth;

        if (block->image_status(image->node, NULL, at, image->length - at, &node, &depth, &status) < 0)
            return image->length;
        if (status.flags & BP_BLOCK_STATUS_DATA)
            used += (at + status.bytes + 65535) / 65536 * 65536 - at / 65536 * 65536;
        at += status.bytes;
    }
    return used < image->length ? used : image->length;
}

int run_measure(int argc, char **argv)
{
    static const struct option longs[] = {LONG_OPTIONS, {"size", required_argument, NULL, 260}, {NULL, 0, NULL, 0}};
    struct bp_block_measure measure = {.size = sizeof(measure)};
    struct bp_value *options = bp_value_dict(), *dashes;
    const char *format = "raw";
    uint64_t size = UINT64_MAX, used = 0;
    struct how how = {.no_io = false};
    bool json = false;
    struct bp_error err = {0};
    struct image image;
    int c, r = 0;

    while (r == 0 && (c = getopt_long(argc, argv, "hf:l:o:O:U", longs, NULL)) != -1) {
        switch (c) {
        case 'f': how.format = optarg; break;
        case 'O': format = optarg; break;
        case 'o': r = parse_keys(optarg, false, options); break;
        case 'U': how.force_share = true; break;
        case 256: how.image_opts = true; break;
        case 257: r = !wants_json(optarg, &json); break;
        case 260: r = parse_size(optarg, &size) ? 0 : complain("Invalid image size '%s'", optarg); break;
        default: r = complain("measure: see backplane-img --help"); break;
        }
    }
    if (r == 0 && (size != UINT64_MAX) == (optind < argc))
        r = complain("Either --size N or one filename must be specified.");
    if (r == 0 && size == UINT64_MAX) {
        r = disk_open(argv[optind], &how, &image);
        if (r == 0) {
            size = image.length;
            used = used_bytes(&image);
            disk_close(&image);
        }
    }
    dashes = bp_value_dict();
    for (const char *const *key = (const char *const[]){"cluster_size", "refcount_bits", "extended_l2", "preallocation",
                                                        "compat", "lazy_refcounts", "data_file", "subformat", "static",
                                                        "block_size", "log_size", "table_size", "force_size", NULL};
         *key; key++) {
        char name[24];

        snprintf(name, sizeof(name), "%s", *key);
        for (char *p = name; *p; p++)
            *p = *p == '_' ? '-' : *p;
        if (bp_value_has(options, *key))
            bp_value_set(dashes, name, bp_value_ref(bp_value_get(options, *key)));
    }
    bp_value_set(dashes, "size", bp_value_uint(size));
    if (r == 0 && block->image_measure(format, dashes, size, used, &measure, &err) < 0)
        r = complain_error(NULL, &err);
    bp_value_unref(options);
    bp_value_unref(dashes);
    if (r == 0 && json) {
        struct bp_value *v = bp_value_dict();

        bp_value_set(v, "required", bp_value_uint(measure.required));
        bp_value_set(v, "fully-allocated", bp_value_uint(measure.fully_allocated));
        print_json(v);
    } else if (r == 0) {
        printf("required size: %llu\nfully allocated size: %llu\n", (unsigned long long)measure.required,
               (unsigned long long)measure.fully_allocated);
    }
    return r;
}
