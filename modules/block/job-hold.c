/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a job that will change the graph relies on: nodes, and the edges of a chain. Until it has ended, no command and
 * no other job changes them. [main]
 */
#define BP_SHARED
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "jobs.h"

static bool holds_edge(const struct job *job, const struct bp_block_child *edge)
{
    for (size_t i = 0; i < job->edge_count; i++)
        if (job->edges[i] == edge)
            return true;
    return false;
}

static const struct job *holder_of_edge(const struct bp_block_child *edge)
{
    const struct job *job = block_jobs;

    while (job && !holds_edge(job, edge))
        job = job->next;
    return job;
}

static const struct job *holder_of_node(const struct bp_block_node *node)
{
    for (const struct job *job = block_jobs; job; job = job->next)
        for (unsigned i = 0; i < BP_COUNT(job->held); i++)
            if (job->held[i] == node)
                return job;
    return NULL;
}

static int refuse(const struct bp_block_node *node, const struct job *job, struct bp_error *err)
{
    return bp_fail(err, EBUSY, "node '%s' is in use by job '%s' (%s) until that has ended", node->name, job->id,
                   job->class->type);
}

int job_hold_node(struct job *job, struct bp_block_node *node, struct bp_error *err)
{
    const struct job *other = holder_of_node(node);
    unsigned i = 0;

    if (other && other != job)
        return refuse(node, other, err);
    while (i < BP_COUNT(job->held) - 1 && job->held[i])
        i++;
    job->held[i] = node;
    return 0;
}

int job_hold_edge(struct job *job, struct bp_block_child *edge, struct bp_error *err)
{
    const struct job *other = holder_of_edge(edge);
    struct bp_block_child **more;

    if (other)
        return other == job ? 0 : refuse(edge->parent, other, err);
    more = realloc(job->edges, (job->edge_count + 1) * sizeof(*more));
    if (!more)
        return bp_fail(err, ENOMEM, "no memory for a job");
    job->edges = more;
    more[job->edge_count++] = edge;
    return 0;
}

/* Down to `end`, or (NULL) to the lowest image. */
int job_hold_chain(struct job *job, struct bp_block_node *top, struct bp_block_node *end, struct bp_error *err)
{
    int ret = 0;

    for (struct bp_block_node *n = top; ret == 0 && n && n != end;) {
        struct bp_block_child *edge = node_child_role(n, BP_BLOCK_BACKING);

        if (!edge && n->driver->flags & BP_BLOCK_FILTER)
            edge = node_primary(n);
        if (!edge || !edge->node)
            break;
        ret = job_hold_edge(job, edge, err);
        n = edge->node;
    }
    return ret;
}

void job_release(struct job *job)
{
    free(job->edges);
    job->edges = NULL;
    job->edge_count = 0;
    memset(job->held, 0, sizeof(job->held));
}

int job_allows(struct bp_block_node *node, struct bp_error *err)
{
    const struct job *job = holder_of_node(node);

    for (struct bp_block_child *c = node->children; !job && c; c = c->next)
        job = holder_of_edge(c);
    for (struct bp_block_child *c = node->parents; !job && c; c = c->next_parent)
        job = holder_of_edge(c);
    return job ? refuse(node, job, err) : 0;
}

int job_allows_above(struct bp_block_node *node, struct bp_error *err)
{
    const struct job *job = holder_of_node(node);

    for (struct bp_block_child *c = node->parents; !job && c; c = c->next_parent)
        job = holder_of_edge(c);
    return job ? refuse(node, job, err) : 0;
}
