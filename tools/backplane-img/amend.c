/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* amend: an image gets other options of its format. */
#include <string.h>

#include "img.h"

/* The size is everybody's; what else there is the format knows. */
static int change(struct image *image, struct bp_value *given)
{
    const char *size = bp_value_get_string(given, "size");
    struct bp_value *rest = dashed_options(given);
    struct bp_error err = {0};
    uint64_t bytes = 0;
    int r = 0;

    if (size && !parse_size(size, &bytes))
        r = complain("Invalid image size '%s'", size);
    bp_value_remove(rest, "size");
    if (r == 0 && bp_value_length(rest) > 0 && block->image_amend(image->node, rest, &err) < 0)
        r = complain("%s", err.message);
    if (r == 0 && size && bytes < image->length)
        r = complain("amend makes images only longer: see resize --shrink");
    if (r == 0 && size && block->image_resize(image->node, (bytes + 511) / 512 * 512, &err) < 0)
        r = complain("%s", err.message);
    bp_value_unref(rest);
    return r;
}

int run_amend(int argc, char **argv)
{
    static const struct option longs[] = {LONG_OPTIONS, {"force", no_argument, NULL, 260}, {NULL, 0, NULL, 0}};
    struct bp_value *options = bp_value_dict();
    struct how how = {.write = true};
    struct image image;
    int c, r = 0;

    while (r == 0 && (c = getopt_long(argc, argv, "f:ho:pqt:", longs, NULL)) != -1) {
        switch (c) {
        case 'f': how.format = optarg; break;
        case 'o': r = parse_keys(optarg, false, options); break;
        case 'p': break; /* nothing takes long */
        case 260: bp_value_set(options, "force", bp_value_bool(true)); break;
        case 'q': quiet = true; break;
        case 't': how.cache = optarg; break;
        case 256: how.image_opts = true; break;
        default: r = complain("amend: see backplane-img --help"); break;
        }
    }
    if (r == 0 && bp_value_length(options) == bp_value_has(options, "force"))
        r = complain("amend: which options? -o KEY=VALUE,...");
    if (r == 0 && optind + 1 != argc)
        r = complain("amend: the name of one image is needed");
    if (r == 0)
        r = disk_open(argv[optind], &how, &image);
    if (r == 0) {
        r = change(&image, options);
        if (r == 0 && disk_flush(&image) < 0)
            r = complain("'%s' cannot be flushed", argv[optind]);
        disk_close(&image);
    }
    bp_value_unref(options);
    return r;
}
