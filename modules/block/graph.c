/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The edges of the graph, and what is asked of each: permissions are computed from the users downwards, for
 * the whole change, checked, locked on the host by the drivers that can, and only then in force. Whoever
 * changes the graph has drained what it touches. [main]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"

pthread_mutex_t graph_lock = PTHREAD_MUTEX_INITIALIZER;

static void link_parent(struct bp_block_child *child, struct bp_block_node *node)
{
    struct bp_block_child **link = &node->parents;

    pthread_mutex_lock(&graph_lock);
    while (*link)
        link = &(*link)->next_parent;
    child->next_parent = NULL;
    *link = child;
    child->node = node;
    pthread_mutex_unlock(&graph_lock);
}

static void unlink_parent(struct bp_block_child *child)
{
    struct bp_block_child **link = &child->node->parents;

    pthread_mutex_lock(&graph_lock);
    while (*link != child)
        link = &(*link)->next_parent;
    *link = child->next_parent;
    child->node = NULL;
    pthread_mutex_unlock(&graph_lock);
}

struct bp_block_child *child_new(const char *name, uint32_t roles, struct bp_block_node *parent,
                                 struct bp_block_node *node)
{
    struct bp_block_child *child = bp_alloc(sizeof(*child)), **link = &parent->children;

    child->name = bp_strdup(name);
    child->roles = roles;
    child->parent = parent;
    child->shared = child->new_shared = BP_BLOCK_PERM_ALL;
    link_parent(child, node_ref(node));
    while (*link)
        link = &(*link)->next;
    *link = child;
    return child;
}

void child_free(struct bp_block_child *child)
{
    struct bp_block_child **link = &child->parent->children;
    struct bp_block_node *node = child->node;

    while (*link != child)
        link = &(*link)->next;
    *link = child->next;
    if (node)
        unlink_parent(child);
    free(child->name);
    free(child);
    if (node) {
        permissions_update(node, NULL);
        node_unref(node);
    }
}

void child_point(struct bp_block_child *child, struct bp_block_node *node)
{
    struct bp_block_node *old = child->node;

    if (old == node)
        return;
    if (old)
        unlink_parent(child);
    if (node)
        link_parent(child, node_ref(node));
    if (old)
        node_unref(old);
}

static unsigned drained_above(const struct bp_block_child *child)
{
    unsigned n = 0;

    if (child->blk)
        return child->blk->quiesced > 0;
    for (struct bp_blk *blk = block_blks; blk; blk = blk->next)
        n += blk->quiesced && blk->root.node && node_is_below(child->parent, blk->root.node);
    return n;
}

void edge_point(struct bp_block_child *child, struct bp_block_node *node)
{
    struct bp_block_node *old = child->node ? node_ref(child->node) : NULL;
    unsigned n = drained_above(child);

    for (unsigned i = 0; node && i < n; i++)
        node_tell_drained(node, true);
    child_point(child, node);
    for (unsigned i = 0; old && i < n; i++)
        node_tell_drained(old, false);
    if (old)
        node_unref(old);
}

struct bp_block_child *node_child(struct bp_block_node *node, const char *name)
{
    struct bp_block_child *c = node->children;

    while (c && strcmp(c->name, name) != 0)
        c = c->next;
    return c;
}

struct bp_block_child *node_child_role(struct bp_block_node *node, uint32_t role)
{
    struct bp_block_child *c = node->children;

    while (c && !(c->roles & role))
        c = c->next;
    return c;
}

struct bp_block_child *node_primary(struct bp_block_node *node)
{
    struct bp_block_child *c = node_child_role(node, BP_BLOCK_PRIMARY);

    return c ? c : node_child_role(node, BP_BLOCK_FILTERED);
}

bool node_is_below(struct bp_block_node *node, struct bp_block_node *of)
{
    if (node == of)
        return true;
    for (struct bp_block_child *c = of->children; c; c = c->next)
        if (c->node && node_is_below(node, c->node))
            return true;
    return false;
}

char *user_text(const struct bp_block_child *child)
{
    char *text = NULL;
    int n;

    if (child->parent) {
        n = asprintf(&text, "node '%s' (as its '%s')", child->parent->name, child->name);
    } else if (child->blk->open) {
        const char *path = blk_device_path(child->blk);

        n = asprintf(&text, "%s '%s'", child->blk->dev ? "device" : child->blk->path ? "job" : "export",
                     *path ? path : child->blk->path ? child->blk->path : blk_name(child->blk));
    } else {
        n = asprintf(&text, "drive '%s'", blk_name(child->blk));
    }
    return n < 0 ? bp_strdup("") : text;
}

/* ---- permissions ---- */

static const char *permission_words(uint32_t perms)
{
    return perms & BP_BLOCK_PERM_WRITE ? "write to it"
           : perms & BP_BLOCK_PERM_READ ? "read it"
           : perms & BP_BLOCK_PERM_RESIZE ? "change its length"
           : perms & BP_BLOCK_PERM_GRAPH ? "put nodes between" : "rewrite it unchanged";
}

static int conflict(const struct bp_block_node *node, const struct bp_block_child *user,
                    const struct bp_block_child *other, struct bp_error *err)
{
    char *mine = user_text(user), *theirs = user_text(other);
    uint32_t wanted = user->new_need & ~other->new_shared;
    bool writes = wanted & BP_BLOCK_PERM_WRITE && user->blk && other->blk;
    int ret = bp_fail(err, EBUSY, "node '%s' is in use: %s wants to %s, which %s does not allow%s",
                      node->name, mine, permission_words(wanted), theirs,
                      writes ? "; share-rw=on on both devices does" : "");

    free(mine);
    free(theirs);
    return ret;
}

static int sum_up(struct bp_block_node *node, uint32_t *need, uint32_t *shared, struct bp_error *err)
{
    *need = 0;
    *shared = BP_BLOCK_PERM_ALL;
    for (struct bp_block_child *a = node->parents; a; a = a->next_parent) {
        *need |= a->new_need;
        *shared &= a->new_shared;
        for (struct bp_block_child *b = node->parents; b; b = b->next_parent)
            if (a != b && a->new_need & ~b->new_shared)
                return conflict(node, a, b, err);
    }
    return 0;
}

/* What a node asks of a child, after what is asked of it. */
static void hand_down(struct bp_block_node *node, struct bp_block_child *child)
{
    const uint32_t writes = BP_BLOCK_PERM_WRITE | BP_BLOCK_PERM_RESIZE | BP_BLOCK_PERM_UNCHANGED;
    uint32_t need = node->new_need, shared = node->new_shared;

    if (node->driver->permissions) {
        node->driver->permissions(node, child->name, child->roles, need, shared, &need, &shared);
    } else if (child->roles & BP_BLOCK_BACKING) { /* nobody minds what is below, when nobody reads it */
        shared = need ? BP_BLOCK_PERM_ALL & ~BP_BLOCK_PERM_WRITE : BP_BLOCK_PERM_ALL;
        need = BP_BLOCK_PERM_READ;
    } else if (!(child->roles & BP_BLOCK_FILTERED)) {
        need = BP_BLOCK_PERM_READ;
        if (!node->flags.read_only)
            need |= BP_BLOCK_PERM_WRITE | BP_BLOCK_PERM_RESIZE;
        shared = BP_BLOCK_PERM_ALL & ~(BP_BLOCK_PERM_WRITE | BP_BLOCK_PERM_RESIZE);
    }
    if (node->flags.read_only)
        need &= ~writes;
    if (node->flags.force_share || child->relaxed)
        shared = BP_BLOCK_PERM_ALL;
    child->new_need = need;
    child->new_shared = shared;
}

static bool needs_writing(uint32_t need)
{
    return need & (BP_BLOCK_PERM_WRITE | BP_BLOCK_PERM_RESIZE);
}

/* With auto-read-only=on; its driver finds out when it is asked to prepare. */
static bool may_change_its_mind(const struct bp_block_node *node)
{
    return node->fell_back && node->opened && node->driver->permissions_prepare;
}

static int compute(struct bp_block_node *node, struct bp_error *err)
{
    uint32_t need, shared;
    int ret = sum_up(node, &need, &shared, err);

    if (ret < 0 || (node->touched && node->new_need == need && node->new_shared == shared))
        return ret;
    node->touched = true;
    node->new_need = need;
    node->new_shared = shared;
    if (needs_writing(need) && node->flags.read_only && !may_change_its_mind(node))
        return bp_fail(err, EACCES, "node '%s' is read-only%s", node->name,
                       node->driver->flags & BP_BLOCK_READ_ONLY_DRIVER ? ": its driver cannot write" : "");
    for (struct bp_block_child *c = node->children; c; c = c->next) {
        if (!c->node)
            continue;
        hand_down(node, c);
        ret = compute(c->node, err);
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int prepare(struct bp_error *err)
{
    for (struct bp_block_node *n = block_nodes; n; n = n->next) {
        if (!n->touched || !n->opened || !n->driver->permissions_prepare)
            continue;
        int ret = n->driver->permissions_prepare(n, n->new_need, n->new_shared, err);

        if (ret < 0)
            return ret;
        n->prepared = true;
    }
    return 0;
}

static void finish(bool commit)
{
    for (struct bp_block_node *n = block_nodes; n; n = n->next) {
        if (!n->touched)
            continue;
        if (commit) {
            n->need = n->new_need;
            n->shared = n->new_shared;
            if (n->fell_back && needs_writing(n->need))
                n->fell_back = n->flags.read_only = false;
        }
        if (n->prepared && commit && n->driver->permissions_commit)
            n->driver->permissions_commit(n);
        if (n->prepared && !commit && n->driver->permissions_abort)
            n->driver->permissions_abort(n);
        n->touched = n->prepared = false;
        for (struct bp_block_child *c = n->parents; c; c = c->next_parent) {
            if (commit) {
                c->need = c->new_need;
                c->shared = c->new_shared;
            } else {
                c->new_need = c->need;
                c->new_shared = c->shared;
            }
        }
    }
}

int permissions_update(struct bp_block_node *node, struct bp_error *err)
{
    int ret = compute(node, err);

    if (ret == 0)
        ret = prepare(err);
    finish(ret == 0);
    return ret;
}

int permissions_set(struct bp_block_child *child, uint32_t need, uint32_t shared,
                    struct bp_error *err)
{
    child->new_need = need;
    child->new_shared = shared;
    if (child->node)
        return permissions_update(child->node, err);
    child->need = need;
    child->shared = shared;
    return 0;
}

/* ---- filters ---- */

int graph_insert(struct bp_block_node *node, struct bp_block_node *filter, struct bp_error *err)
{
    struct bp_block_child *next;
    int ret;

    for (struct bp_block_child *p = node->parents; p; p = next) {
        next = p->next_parent;
        if (p->parent != filter)
            child_point(p, filter);
    }
    ret = permissions_update(filter, err);
    if (ret < 0)
        graph_remove(filter, NULL);
    return ret;
}

int graph_remove(struct bp_block_node *filter, struct bp_error *err)
{
    struct bp_block_node *node = node_primary(filter)->node;
    struct bp_block_child *next;

    for (struct bp_block_child *p = filter->parents; p; p = next) {
        next = p->next_parent;
        child_point(p, node);
    }
    return permissions_update(node, err);
}
