/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* info, check, map: images are looked at. */
#include "img.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/log.h>

struct common {
    struct how how;
    bool json, chain;
};

/* Of the options that these three share; 0, or 1 after a complaint. */
static int take_common(struct common *c, int option)
{
    switch (option) {
    case 'f': c->how.format = optarg; return 0;
    case 'q': quiet = true; return 0;
    case 'U': c->how.force_share = true; return 0;
    case 'T': c->how.cache = optarg; return 0;
    case 256: c->how.image_opts = true; return 0;
    case 257: return !wants_json(optarg, &c->json);
    case 259: c->chain = true; return 0;
    default: return complain("see backplane-img --help");
    }
}

/* ---- info ---- */

static void print_info(struct bp_value *v)
{
    uint64_t size = bp_value_as_uint(bp_value_get(v, "virtual-size"));
    char *virtual = human_size(size), *actual = human_size(bp_value_as_uint(bp_value_get(v, "actual-size")));
    struct bp_value *specific = bp_value_get(v, "format-specific");
    const char *backing = bp_value_get_string(v, "backing-filename");
    const char *full = bp_value_get_string(v, "full-backing-filename");
    int indent = 4;

    printf("image: %s\nfile format: %s\nvirtual size: %s (%llu bytes)\ndisk size: %s\n",
           bp_value_get_string(v, "filename"), bp_value_get_string(v, "format"), virtual, (unsigned long long)size,
           bp_value_has(v, "actual-size") ? actual : "unavailable");
    if (bp_value_has(v, "encrypted"))
        printf("encrypted: yes\n");
    if (bp_value_has(v, "cluster-size"))
        printf("cluster_size: %llu\n", (unsigned long long)bp_value_as_uint(bp_value_get(v, "cluster-size")));
    if (bp_value_as_bool(bp_value_get(v, "dirty-flag")))
        printf("cleanly shut down: no\n");
    if (backing)
        printf("backing file: %s%s%s%s\n", backing, full && strcmp(full, backing) ? " (actual path: " : "",
               full && strcmp(full, backing) ? full : "", full && strcmp(full, backing) ? ")" : "");
    if (bp_value_has(v, "backing-filename-format"))
        printf("backing file format: %s\n", bp_value_get_string(v, "backing-filename-format"));
    if (bp_value_has(v, "snapshots"))
        print_snapshots(bp_value_get(v, "snapshots"));
    if (specific) {
        printf("Format specific information:\n");
        bp_value_each(bp_value_get(specific, "data"), print_specific, &indent);
    }
    free(virtual);
    free(actual);
}

/* Whoever looks at what is printed need not know the password of a URL. */
static void hide_passwords(struct bp_value *info)
{
    static const char *const names[] = {"filename", "backing-filename", "full-backing-filename"};

    for (size_t i = 0; i < BP_COUNT(names); i++) {
        const char *text = bp_value_get_string(info, names[i]);
        char *copy = text ? strdup(text) : NULL;

        if (!copy)
            continue;
        bp_hide_passwords(copy);
        bp_value_set(info, names[i], bp_value_string(copy));
        free(copy);
    }
}

int run_info(int argc, char **argv)
{
    static const struct option longs[] = {LONG_OPTIONS, {"backing-chain", no_argument, NULL, 259}, {NULL, 0, NULL, 0}};
    struct common common = {.how = {.no_io = true}};
    struct bp_value *list = bp_value_list();
    struct image image;
    int c, r = 0;

    while (r == 0 && (c = getopt_long(argc, argv, "hf:U", longs, NULL)) != -1)
        r = take_common(&common, c);
    if (r == 0 && optind + 1 != argc)
        r = complain("Expecting one image file name");
    common.how.no_backing = !common.chain; /* what is below need not be there */
    if (r == 0)
        r = disk_open(argv[optind], &common.how, &image);
    if (r) {
        bp_value_unref(list);
        return r;
    }
    for (struct bp_block_node *n = image.node; n; n = common.chain ? block->image_backing(n) : NULL) {
        struct bp_value *info = block->image_info(n, false);

        hide_passwords(info);
        bp_value_append(list, info);
    }
    disk_close(&image);
    if (common.json) {
        print_json(common.chain ? bp_value_ref(list) : bp_value_ref(bp_value_at(list, 0)));
    } else {
        for (size_t i = 0; i < bp_value_length(list); i++) {
            if (i)
                printf("\n");
            print_info(bp_value_at(list, i));
        }
    }
    bp_value_unref(list);
    return 0;
}

/* ---- check ---- */

static void tell(void *opaque, const char *text)
{
    (void)opaque;
    if (!quiet)
        fprintf(stderr, "%s\n", text);
}

static void set_some(struct bp_value *v, const char *key, uint64_t n)
{
    if (n)
        bp_value_set(v, key, bp_value_uint(n));
}

static void print_check_json(struct bp_block_node *node, const struct bp_block_check *k)
{
    struct bp_value *v = bp_value_dict();

    set_some(v, "image-end-offset", k->image_end);
    set_some(v, "corruptions", k->corruptions);
    set_some(v, "leaks", k->leaks);
    set_some(v, "corruptions-fixed", k->corruptions_fixed);
    set_some(v, "leaks-fixed", k->leaks_fixed);
    set_some(v, "total-clusters", k->total_clusters);
    set_some(v, "allocated-clusters", k->allocated_clusters);
    set_some(v, "fragmented-clusters", k->fragmented_clusters);
    set_some(v, "compressed-clusters", k->compressed_clusters);
    bp_value_set(v, "check-errors", bp_value_uint(k->check_errors));
    bp_value_set(v, "filename", bp_value_string(block->image_filename(node)));
    bp_value_set(v, "format", bp_value_string(block->image_driver(node)));
    print_json(v);
}

static void print_check(const struct bp_block_check *k)
{
    if (k->corruptions_fixed || k->leaks_fixed)
        say("The following inconsistencies were found and repaired:\n\n    %llu leaked clusters\n    %llu corruptions\n"
            "\nDouble checking the fixed image now...\n", (unsigned long long)k->leaks_fixed,
            (unsigned long long)k->corruptions_fixed);
    if (!k->corruptions && !k->leaks && !k->check_errors)
        say("No errors were found on the image.\n");
    if (k->corruptions)
        say("\n%llu errors were found on the image.\nData may be corrupted, or further writes to the image may corrupt "
            "it.\n", (unsigned long long)k->corruptions);
    if (k->leaks)
        say("\n%llu leaked clusters were found on the image.\nThis means waste of disk space, but no harm to data.\n",
            (unsigned long long)k->leaks);
    if (k->check_errors)
        say("\n%llu internal errors have occurred during the check.\n", (unsigned long long)k->check_errors);
    if (k->total_clusters && k->allocated_clusters)
        say("%llu/%llu = %.2f%% allocated, %.2f%% fragmented, %.2f%% compressed clusters\n",
            (unsigned long long)k->allocated_clusters, (unsigned long long)k->total_clusters,
            (double)k->allocated_clusters * 100 / (double)k->total_clusters,
            (double)k->fragmented_clusters * 100 / (double)k->allocated_clusters,
            (double)k->compressed_clusters * 100 / (double)k->allocated_clusters);
    if (k->image_end)
        say("Image end offset: %llu\n", (unsigned long long)k->image_end);
}

static int is_qcow2(const char *name, const struct how *how)
{
    struct how look = *how;
    struct image image;
    int r;

    look.write = look.repair = false;
    look.no_io = look.no_backing = true;
    if (disk_open(name, &look, &image))
        return -1;
    r = !strcmp(block->image_driver(image.node), "qcow2");
    disk_close(&image);
    return r;
}

int run_check(int argc, char **argv)
{
    static const struct option longs[] = {LONG_OPTIONS, {"repair", required_argument, NULL, 'r'}, {NULL, 0, NULL, 0}};
    struct bp_block_check check = {.size = sizeof(check), .say = tell}, again = {.size = sizeof(again), .say = tell};
    struct common common = {.how = {.no_backing = true}};
    struct bp_error err = {0};
    struct image image;
    uint32_t fix = 0;
    int c, r = 0;

    while (r == 0 && (c = getopt_long(argc, argv, "hf:r:T:qU", longs, NULL)) != -1) {
        if (c != 'r')
            r = take_common(&common, c);
        else if (!strcmp(optarg, "leaks"))
            fix = BP_BLOCK_FIX_LEAKS;
        else if (!strcmp(optarg, "all"))
            fix = BP_BLOCK_FIX_LEAKS | BP_BLOCK_FIX_ERRORS;
        else
            r = complain("Expecting 'leaks' or 'all' after -r");
    }
    if (r == 0 && optind + 1 != argc)
        r = complain("Expecting one image file name");
    if (r)
        return r;
    common.how.write = fix != 0;
    c = is_qcow2(argv[optind], &common.how);
    if (c < 0)
        return 1;
    common.how.repair = fix && c;
    common.how.tables_only = true;
    common.how.no_backing = c && !common.how.image_opts;
    if (disk_open(argv[optind], &common.how, &image))
        return 1;
    r = block->image_check(image.node, fix, &check, &err);
    if (r == 0 && (check.corruptions_fixed || check.leaks_fixed)) {
        r = block->image_check(image.node, 0, &again, &err);
        again.corruptions_fixed = check.corruptions_fixed;
        again.leaks_fixed = check.leaks_fixed;
        check = again;
    }
    if (r == -ENOTSUP) {
        complain("This image format does not support checks");
        disk_close(&image);
        return 63;
    }
    if (r < 0) {
        complain("Check failed: %s", err.message);
        check.check_errors++;
    }
    if (common.json)
        print_check_json(image.node, &check);
    else
        print_check(&check);
    disk_close(&image);
    return r < 0 || check.check_errors ? 1 : check.corruptions ? 2 : check.leaks ? 3 : 0;
}

/* ---- map ---- */

struct piece {
    uint64_t start, length, map;
    uint32_t flags;
    unsigned depth;
    struct bp_block_node *holder, *file;
    bool present;
};

static bool joins(const struct piece *a, const struct piece *b)
{
    return a->depth == b->depth && a->flags == b->flags && a->file == b->file && a->present == b->present &&
           (!(a->flags & BP_BLOCK_STATUS_OFFSET_VALID) || a->map + a->length == b->map);
}

static int print_piece(const struct piece *p, bool json, bool *first)
{
    bool zero = p->flags & BP_BLOCK_STATUS_ZERO, data = p->flags & BP_BLOCK_STATUS_DATA;
    bool valid = p->flags & BP_BLOCK_STATUS_OFFSET_VALID;

    if (json) {
        printf("%s{ \"start\": %llu, \"length\": %llu, \"depth\": %u, \"present\": %s, \"zero\": %s, \"data\": %s, "
               "\"compressed\": %s", *first ? "[" : ",\n", (unsigned long long)p->start, (unsigned long long)p->length,
               p->depth, p->present ? "true" : "false", zero ? "true" : "false", data ? "true" : "false",
               p->flags & BP_BLOCK_STATUS_COMPRESSED ? "true" : "false");
        if (valid)
            printf(", \"offset\": %llu", (unsigned long long)p->map);
        printf("}");
    } else if (data && !zero) {
        if (!valid)
            return complain("File contains external, encrypted or compressed clusters.");
        printf("%#-16llx%#-16llx%#-16llx%s\n", (unsigned long long)p->start, (unsigned long long)p->length,
               (unsigned long long)p->map, block->image_filename(p->file ? p->file : p->holder));
    }
    *first = false;
    return 0;
}

int run_map(int argc, char **argv)
{
    static const struct option longs[] = {LONG_OPTIONS, {"start-offset", required_argument, NULL, 's'},
                                          {"max-length", required_argument, NULL, 'l'}, {NULL, 0, NULL, 0}};
    struct common common = {.how = {.no_io = false}};
    uint64_t at = 0, end = UINT64_MAX;
    struct piece last = {.length = 0};
    bool first = true;
    struct image image;
    int c, r = 0;

    while (r == 0 && (c = getopt_long(argc, argv, "f:s:l:hU", longs, NULL)) != -1) {
        if (c == 's' || c == 'l')
            r = parse_size(optarg, c == 's' ? &at : &end) ? 0 : complain("Invalid number '%s'", optarg);
        else
            r = take_common(&common, c);
    }
    if (r == 0 && optind + 1 != argc)
        r = complain("Expecting one image file name");
    if (r || disk_open(argv[optind], &common.how, &image))
        return 1;
    end = end > image.length - (at < image.length ? at : image.length) ? image.length : at + end;
    if (!common.json)
        printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
    while (r == 0 && at < end) {
        struct bp_block_status status = {.size = sizeof(status)};
        struct piece p = {.start = at};

        if (block->image_status(image.node, NULL, at, end - at, &p.holder, &p.depth, &status) < 0) {
            r = complain("Could not read file metadata");
            break;
        }
        p.length = status.bytes;
        p.flags = status.flags & ~BP_BLOCK_STATUS_ALLOCATED;
        p.map = status.map;
        p.file = status.file;
        p.present = status.flags & (BP_BLOCK_STATUS_ALLOCATED | BP_BLOCK_STATUS_DATA) ||
                    !strcmp(block->image_driver(p.holder), "raw") || !strcmp(block->image_driver(p.holder), "file");
        if (last.length && joins(&last, &p)) {
            last.length += p.length;
        } else {
            r = last.length ? print_piece(&last, common.json, &first) : 0;
            last = p;
        }
        at += status.bytes;
    }
    if (r == 0 && last.length)
        r = print_piece(&last, common.json, &first);
    if (r == 0 && common.json)
        printf("%s]\n", first ? "[" : "");
    disk_close(&image);
    return r;
}
