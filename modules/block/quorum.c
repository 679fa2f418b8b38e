/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-quorum`: a disk that is kept several times. What is written goes to all; a read is what at least
 * `vote-threshold` of them have, or that of the first that answers (read-pattern=fifo). One that fails or differs is
 * told of by QUORUM_REPORT_BAD, too few that agree by QUORUM_FAILURE.
 * Leaves out: children that come and go.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <bp/command.h>
#include <bp/log.h>

#include "format.h"
#include "vectors.h"

const struct bp_block_interface *block;
BP_NOTE("requires=block/1");
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

#define MOST 32u
#define PIECE 4096u /* bytes that are voted on at a time: damage here and there is outvoted */

enum pattern { QUORUM, FIFO };
static const char *const pattern_names[] = {"quorum", "fifo", NULL};
static const struct bp_schema pattern_schema = {"QuorumReadPattern", BP_KIND_ENUM, .choices = pattern_names};

struct quorum {
    bool verify, rewrite;
    uint64_t threshold;
    int pattern; /* enum pattern */
    struct bp_block_child *children[MOST];
    unsigned count;
};

static const struct bp_field failure_data[] = {
    BP_ARG("reference", STRING, "the node"), BP_ARG("sector-num", UINT64, "first sector"),
    BP_ARG("sectors-count", UINT64, "how many"), BP_FIELDS_END};
BP_EVENT(quorum_failure, "QUORUM_FAILURE", "too few of a quorum's children agree", failure_data, 1000);
static const struct bp_field bad_data[] = {
    BP_ARG("type", STRING, "read, write or flush"), BP_ARG_OPT("error", STRING, "what it failed with"),
    BP_ARG("node-name", STRING, "the child"), BP_ARG("sector-num", UINT64, "first sector"),
    BP_ARG("sectors-count", UINT64, "how many"), BP_FIELDS_END};
BP_EVENT(quorum_bad, "QUORUM_REPORT_BAD", "a quorum's child fails or differs", bad_data, 1000);

static void put_place(struct bp_value *v, const struct bp_block_request *req)
{
    bp_value_set(v, "sector-num", bp_value_uint(req->offset / 512));
    bp_value_set(v, "sectors-count", bp_value_uint(divide_up(req->bytes, 512)));
}

static void tell_bad(struct quorum *s, unsigned i, const char *type, const struct bp_block_request *req, int ret)
{
    struct bp_value *v = bp_value_dict();

    bp_value_set(v, "type", bp_value_string(type));
    if (ret < 0)
        bp_value_set(v, "error", bp_value_string(strerror(-ret)));
    bp_value_set(v, "node-name", bp_value_string(block->node_name(block->child_node(s->children[i]))));
    put_place(v, req);
    bp_event_send(&quorum_bad, v);
}

static int tell_failure(struct quorum *s, const struct bp_block_request *req)
{
    struct bp_value *v = bp_value_dict();

    bp_value_set(v, "reference", bp_value_string(block->node_name(block->of_state(s))));
    put_place(v, req);
    bp_event_send(&quorum_failure, v);
    return -EIO;
}

/* ---- reading ---- */

struct votes {
    uint8_t *data[MOST]; /* NULL: it failed */
    int errors[MOST];
    bool bad[MOST]; /* told of at the end */
};

/* Who of them has what most have of a piece; *ret_agree: how many. */
static unsigned most_agree(const struct quorum *s, const struct votes *v, size_t at, size_t bytes, unsigned *ret_agree)
{
    unsigned winner = 0;

    *ret_agree = 0;
    for (unsigned i = 0; i < s->count; i++) {
        unsigned agree = 0;

        for (unsigned k = 0; v->data[i] && k < s->count; k++)
            agree += v->data[k] && (k == i || !memcmp(v->data[i] + at, v->data[k] + at, bytes));
        if (agree > *ret_agree) {
            *ret_agree = agree;
            winner = i;
        }
    }
    return winner;
}

/* A piece becomes what most have, in all of them. false: too few agree. */
static bool vote_on(struct quorum *s, struct votes *v, size_t at, size_t bytes)
{
    unsigned agree, winner = most_agree(s, v, at, bytes, &agree);

    if (agree < s->threshold)
        return false;
    for (unsigned i = 0; i < s->count; i++) {
        if (i == winner || (v->data[i] && !memcmp(v->data[i] + at, v->data[winner] + at, bytes)))
            continue;
        v->bad[i] = true;
        if (v->data[i])
            memcpy(v->data[i] + at, v->data[winner] + at, bytes);
    }
    return true;
}

/* Those that differ are told of, and written over where that is wanted. */
static void judge(struct quorum *s, struct votes *v, const uint8_t *right, const struct bp_block_request *req)
{
    for (unsigned i = 0; i < s->count; i++) {
        if (!v->bad[i])
            continue;
        tell_bad(s, i, "read", req, v->errors[i]);
        if (s->rewrite)
            format_io(s->children[i], BP_BLOCK_WRITE, req->offset, (void *)(uintptr_t)right, req->bytes);
    }
}

static int vote(struct quorum *s, const struct bp_block_request *req)
{
    struct votes v = {.data = {NULL}};
    const uint8_t *right = NULL;
    bool good = true;
    int ret = 0;

    for (unsigned i = 0; i < s->count; i++) {
        v.data[i] = malloc((size_t)req->bytes);
        v.errors[i] = v.data[i] ? format_io(s->children[i], BP_BLOCK_READ, req->offset, v.data[i], req->bytes)
                                : -ENOMEM;
        if (v.errors[i] < 0) {
            free(v.data[i]);
            v.data[i] = NULL;
        }
        right = right ? right : v.data[i];
    }
    for (size_t at = 0, n; good && at < req->bytes; at += n) {
        n = req->bytes - at < PIECE ? (size_t)(req->bytes - at) : PIECE;
        good = vote_on(s, &v, at, n);
    }
    if (good) {
        vectors_scatter(req, right);
        judge(s, &v, right, req);
    } else {
        if (s->verify)
            bp_warn("quorum: node '%s': contents differ at byte %llu", block->node_name(block->of_state(s)),
                    (unsigned long long)req->offset);
        ret = tell_failure(s, req);
    }
    for (unsigned i = 0; i < s->count; i++)
        free(v.data[i]);
    return ret;
}

static int quorum_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct quorum *s = block->state(node);
    int ret = -EIO;

    if (s->pattern == QUORUM)
        return vote(s, req);
    for (unsigned i = 0; ret < 0 && i < s->count; i++) {
        ret = block->child_request(s->children[i], BP_BLOCK_READ, req);
        if (ret < 0)
            tell_bad(s, i, "read", req, ret);
    }
    return ret;
}

/* ---- writing ---- */

static int to_all(struct bp_block_node *node, enum bp_block_op op, const struct bp_block_request *req)
{
    struct quorum *s = block->state(node);
    unsigned good = 0;

    for (unsigned i = 0; i < s->count; i++) {
        int ret = block->child_request(s->children[i], op, req);

        good += ret == 0;
        if (ret < 0)
            tell_bad(s, i, "write", req, ret);
    }
    return good >= s->threshold ? 0 : tell_failure(s, req);
}

static int quorum_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    return to_all(node, BP_BLOCK_WRITE, req);
}

static int quorum_zeroes(struct bp_block_node *node, const struct bp_block_request *req)
{
    return to_all(node, BP_BLOCK_WRITE_ZEROES, req);
}

/* ---- opening ---- */

static int find_children(struct bp_block_node *node, struct quorum *s, struct bp_error *err)
{
    for (s->count = 0; s->count <= MOST; s->count++) {
        char name[32];
        struct bp_block_child *c;

        snprintf(name, sizeof(name), "children.%u", s->count);
        c = block->child(node, name);
        if (!c)
            return 0;
        if (s->count == MOST)
            break;
        s->children[s->count] = c;
    }
    return bp_fail(err, EINVAL, "quorum: there are more than %u children", MOST);
}

static int quorum_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct quorum *s = block->state(node);
    int ret = find_children(node, s, err);

    (void)flags;
    if (ret < 0)
        return ret;
    if (s->count == 0)
        return bp_fail(err, EINVAL, "quorum: there are no children");
    if (s->threshold < 1 || s->threshold > s->count)
        return bp_fail(err, EINVAL, "key 'vote-threshold' expects 1 to %u, the number of children", s->count);
    if (s->verify && (s->count != 2 || s->threshold != 2))
        return bp_fail(err, EINVAL, "key 'blkverify': it goes with two children and vote-threshold=2");
    if (s->rewrite && (s->verify || s->pattern == FIFO))
        return bp_fail(err, EINVAL, "key 'rewrite-corrupted' goes neither with blkverify=on nor with "
                       "read-pattern=fifo");
    for (unsigned i = 1; i < s->count; i++)
        if (block->child_length(s->children[i]) != block->child_length(s->children[0]))
            return bp_fail(err, EINVAL, "quorum: 'children.%u' is not as long as 'children.0'", i);
    return 0;
}

static int64_t quorum_length(struct bp_block_node *node)
{
    return block->child_length(((struct quorum *)block->state(node))->children[0]);
}

/* Those that differ are written over when somebody reads. */
static void quorum_permissions(struct bp_block_node *node, const char *child, uint32_t roles, uint32_t need,
                               uint32_t shared, uint32_t *ret_need, uint32_t *ret_shared)
{
    struct bp_block_open_flags flags = {.size = sizeof(flags)};
    const struct quorum *s = block->state(node);

    (void)child;
    (void)roles;
    block->open_flags(node, &flags);
    *ret_need = need | BP_BLOCK_PERM_READ | (s->rewrite && !flags.read_only ? BP_BLOCK_PERM_WRITE : 0);
    *ret_shared = shared & ~(BP_BLOCK_PERM_WRITE | BP_BLOCK_PERM_RESIZE);
}

static void quorum_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    (void)node;
    limits->max_transfer = 1u << 20; /* each child's answer is in memory */
}

static const struct bp_field props[] = {
    BP_PROP("vote-threshold", UINT64, struct quorum, threshold, NULL, "how many have to agree"),
    BP_PROP("blkverify", BOOL, struct quorum, verify, "off", "two children that have to be the same"),
    BP_PROP("rewrite-corrupted", BOOL, struct quorum, rewrite, "off", "children that differ are written over"),
    BP_PROP_ENUM("read-pattern", &pattern_schema, struct quorum, pattern, "quorum", "who is asked"),
    BP_FIELDS_END};
static const struct bp_block_child_info children[] = {
    {.name = "children.", .roles = BP_BLOCK_DATA, .help = "the disks, 1 to 32 of one length"}, {.name = NULL}};

BP_BLOCK_DRIVER(quorum_driver, "quorum", "A disk that is kept several times", struct quorum, props,
                .flags = BP_BLOCK_NO_NAME, .native = BP_BLOCK_FUA, .children = children, .open = quorum_open,
                .read = quorum_read, .write = quorum_write, .write_zeroes = quorum_zeroes, .length = quorum_length,
                .permissions = quorum_permissions, .limits = quorum_limits);
BP_MODULE("block-quorum", "Disks that are kept several times", imports, {BP_PROVIDE_OTHER, &quorum_driver},
          {BP_PROVIDE_EVENT, &quorum_failure}, {BP_PROVIDE_EVENT, &quorum_bad});
