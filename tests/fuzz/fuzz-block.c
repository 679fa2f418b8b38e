/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzz target: what the block framework reads of images and rule files, and its arithmetic of vectors. Looking
 * for a format reads nothing beyond the bytes it is given; a file of rules is taken or refused; copies
 * through vectors, cut anywhere, give the same bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "../../modules/block/probe.c"
#include "../../modules/block/vector.c"
#include "../../modules/block/blkdebug.c"

#include "fuzz.h"

struct bp_block_node *block_nodes;

int node_request(struct bp_block_node *node, enum bp_block_op op, const struct bp_block_request *req)
{
    (void)node;
    (void)op;
    (void)req;
    return -EIO;
}

static void look_for_a_format(const uint8_t *data, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1); /* so that a read beyond its end is seen */
    const char *found;

    memcpy(exact, data, size);
    found = probe_format(exact, size, NULL);
    if (found && size < 4)
        abort();
    free(exact);
}

static void read_rules(const uint8_t *data, size_t size)
{
    struct debug_state s = {.rules = NULL};
    struct bp_value *group = NULL;
    struct bp_error err = {0};
    bool sets = false;
    int ret = 0;

    for (size_t at = 0; at < size && ret == 0;) {
        char line[1024];
        size_t len = strcspn((const char *)data + at, "\n");

        len = len < sizeof(line) - 1 ? len : sizeof(line) - 1;
        memcpy(line, data + at, len);
        line[len] = '\0';
        ret = read_line(&s, line, &group, &sets, &err);
        at += len + 1;
    }
    if (ret == 0 && group)
        ret = add_rule(&s, group, sets, &err);
    if (ret < 0 && !err.message[0])
        abort();
    bp_value_unref(group);
    free_rules(&s);
}

static void copy_through_vectors(const uint8_t *data, size_t size)
{
    struct iovec iov[16] = {{NULL, 0}}, part[16];
    uint8_t *bytes = malloc(size + 1), *back = calloc(1, size + 1);
    unsigned n = 0, used;
    size_t at = 0, skip = size ? data[0] % size : 0, length = size - skip, seen = 0;

    memcpy(bytes, data, size);
    while (at < size && n < 16) {
        size_t len = n == 15 ? size - at : data[at] % 64 < size - at ? data[at] % 64 : size - at;

        iov[n].iov_base = bytes + at;
        iov[n++].iov_len = len;
        at += len;
    }
    used = iov_slice(part, iov, n, skip, length);
    for (unsigned i = 0; i < used; i++)
        seen += part[i].iov_len;
    if (at == size && seen != length)
        abort();
    if (iov_gather(part, used, 0, back, length) != seen || memcmp(back, bytes + skip, seen) != 0)
        abort();
    iov_scatter(iov, n, skip, back, length);
    if (memcmp(bytes, data, size) != 0)
        abort();
    free(bytes);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    look_for_a_format(data, size);
    copy_through_vectors(data, size);
    memcpy(text, data, size);
    text[size] = '\0';
    read_rules((const uint8_t *)text, strlen(text));
    free(text);
    return 0;
}
