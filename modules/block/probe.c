/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which format an image is in, when nobody says: each format driver looks at its first bytes. Formats that
 * no module reads are known by what stands at their beginning, so that an image of one is not taken for
 * a disk of nonsense.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"

/* What the first bytes of images of well-known formats are. */
static const struct {
    const char *format;
    size_t offset, length;
    const char *bytes;
} magics[] = {
    {"qcow2", 0, 8, "QFI\xfb\0\0\0\2"}, {"qcow2", 0, 8, "QFI\xfb\0\0\0\3"},
    {"qcow", 0, 8, "QFI\xfb\0\0\0\1"}, {"qed", 0, 4, "QED\0"}, {"vmdk", 0, 4, "KDMV"},
    {"vmdk", 0, 4, "COWD"}, {"vdi", 64, 4, "\x7f\x10\xda\xbe"}, {"vhdx", 0, 8, "vhdxfile"},
    {"vpc", 0, 8, "conectix"}, {"luks", 0, 6, "LUKS\xba\xbe"},
    {"vmdk", 0, 21, "# Disk DescriptorFile"}, {"bochs", 0, 22, "Bochs Virtual HD Image"},
    {"cloop", 0, 23, "#!/bin/sh\n#V2.0 Format\n"},
    {"parallels", 0, 16, "WithoutFreeSpace"}, {"parallels", 0, 16, "WithouFreSpacExt"},
};

struct search {
    const uint8_t *head;
    size_t length;
    const char *file, *best;
    int score;
};

static void ask(const char *name, const char *summary, void *opaque)
{
    struct search *search = opaque;
    const struct bp_block_driver *driver = NULL;
    int score;

    (void)summary;
    for (struct bp_block_node *n = block_nodes; n && !driver; n = n->next)
        if (!strcmp(n->driver->type.name + sizeof("block-") - 1, name))
            driver = n->driver; /* one that is loaded */
    if (!driver || !driver->probe)
        return;
    score = driver->probe(search->head, search->length, search->file);
    if (score > search->score) {
        search->score = score;
        search->best = driver->type.name + sizeof("block-") - 1;
    }
}

const char *probe_magic(const uint8_t *head, size_t length)
{
    for (unsigned i = 0; i < BP_COUNT(magics); i++)
        if (magics[i].offset + magics[i].length <= length &&
            !memcmp(head + magics[i].offset, magics[i].bytes, magics[i].length))
            return magics[i].format;
    return NULL;
}

const char *probe_format(const uint8_t *head, size_t length, const char *file)
{
    struct search search = {head, length, file, NULL, 0};
    const char *known = probe_magic(head, length);

    if (!known && file && strlen(file) > 4 && !strcmp(file + strlen(file) - 4, ".dmg"))
        known = "dmg"; /* what says so is at its end */
    if (known)
        return known;
    bp_provided_each("block-driver", ask, &search);
    return search.best;
}

int probe_node(struct bp_block_node *node, const char **ret_format, struct bp_error *err)
{
    uint8_t *head = bp_alloc(2048);
    struct iovec iov = {head, 2048};
    struct bp_block_request req = {.size = sizeof(req), .bytes = 2048, .iov = &iov, .iov_count = 1};
    int ret = node_request(node, BP_BLOCK_READ, &req);

    if (ret < 0)
        bp_fail(err, -ret, "cannot read the beginning of '%s': %s",
                node->filename ? node->filename : node->name, strerror(-ret));
    else
        *ret_format = probe_format(head, 2048, node->filename);
    free(head);
    return ret;
}
