/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory back ends: objects that make RAM for boards and devices. Common properties here, and
 * memory-backend-ram: private memory of the process, or a memfd when it is shared. Nodes of the host are
 * bound with mbind(2). Left out: prealloc-context.
 */
#define BP_SHARED
#include "backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memfd.h"

const char *const backend_policies[] = {"default", "preferred", "bind", "interleave", NULL};
static const struct bp_schema policy_schema = {
    .name = "HostMemPolicy", .kind = BP_KIND_ENUM, .choices = backend_policies};

/* ---- host-nodes: a number, "FIRST-LAST", or a list of such ---- */

static int add_nodes(struct backend *b, uint64_t first, uint64_t last, struct bp_error *err)
{
    if (first > last || last >= MOST_NODES)
        return bp_fail(err, EINVAL, "Parameter 'host-nodes' expects nodes of the host, 0 to %u, as N, "
                       "FIRST-LAST or a list of them", MOST_NODES - 1);
    for (uint64_t n = first; n <= last; n++)
        b->nodes[n / 64] |= UINT64_C(1) << n % 64;
    return 0;
}

static int add_text(struct backend *b, const char *text, struct bp_error *err)
{
    unsigned first, last;
    int end = 0;

    if (sscanf(text, "%u-%u%n", &first, &last, &end) == 2 && !text[end])
        return add_nodes(b, first, last, err);
    if (sscanf(text, "%u%n", &first, &end) == 1 && !text[end])
        return add_nodes(b, first, first, err);
    return add_nodes(b, 1, 0, err); /* for its message */
}

static int add_value(struct backend *b, const struct bp_value *value, struct bp_error *err)
{
    int r = 0;

    switch (bp_value_type(value)) {
    case BP_VALUE_STRING:
        return add_text(b, bp_value_as_string(value), err);
    case BP_VALUE_LIST:
        for (size_t i = 0; r == 0 && i < bp_value_length(value); i++)
            r = add_value(b, bp_value_at(value, i), err);
        return r;
    case BP_VALUE_INT:
        return add_nodes(b, bp_value_as_uint(value), bp_value_as_uint(value), err);
    default:
        return add_nodes(b, 1, 0, err);
    }
}

static int set_nodes(struct bp_object *obj, const struct bp_field *f, struct bp_value *value,
                     struct bp_error *err)
{
    struct backend *b = backend_of(obj);

    (void)f;
    memset(b->nodes, 0, sizeof(b->nodes));
    return add_value(b, value, err);
}

static int get_nodes(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
                     struct bp_error *err)
{
    const struct backend *b = backend_of(obj);

    (void)f, (void)err;
    *ret_value = bp_value_list();
    for (unsigned n = 0; n < MOST_NODES; n++)
        if (b->nodes[n / 64] >> n % 64 & 1)
            bp_value_append(*ret_value, bp_value_uint(n));
    return 0;
}

static const struct bp_field props[] = {
    BP_PROP("size", SIZE, struct backend, length, "0", "bytes of memory; must be given"),
    BP_PROP("merge", BOOL, struct backend, merge, "on", "the host may merge equal pages"),
    BP_PROP("dump", BOOL, struct backend, dump, "on", "it is part of core dumps"),
    BP_PROP("prealloc", BOOL, struct backend, prealloc, "off", "all of it is allocated at once"),
    BP_PROP_RANGE("prealloc-threads", UINT32, struct backend, threads, "1", 1, 64,
                  "threads that allocate it"),
    BP_PROP("reserve", BOOL, struct backend, reserve, "on", "the host sets swap aside for it"),
    {.name = "host-nodes", .kind = BP_KIND_ANY, .get = get_nodes, .set = set_nodes,
     .help = "nodes of the host that it lies on: N, FIRST-LAST or a list"},
    BP_PROP_ENUM("policy", &policy_schema, struct backend, policy, "default",
                 "how it is spread over them"),
    BP_PROP("x-use-canonical-path-for-ramblock-id", BOOL, struct backend, canonical, "off",
            "the memory is named by the object's path, else by its id"),
    BP_FIELDS_END,
};

BP_LEVEL(backend_level, "memory-backend", NULL, "Memory back ends", struct backend, props, NULL);

/* ---- the region ---- */

static bool has_nodes(const struct backend *b)
{
    uint64_t any = 0;

    for (size_t i = 0; i < BP_COUNT(b->nodes); i++)
        any |= b->nodes[i];
    return any != 0;
}

int backend_check(struct bp_object *obj, struct bp_error *err)
{
    const struct backend *b = backend_of(obj);
    const char *type = bp_object_type(obj);

    if (b->length == 0)
        return bp_fail(err, EINVAL, "%s: property 'size' is missing", type);
    if (has_nodes(b) && b->policy == BP_RAM_DEFAULT)
        return bp_fail(err, EINVAL, "%s: host-nodes needs a policy: preferred, bind or interleave", type);
    if (!has_nodes(b) && b->policy != BP_RAM_DEFAULT)
        return bp_fail(err, EINVAL, "%s: policy '%s' needs host-nodes", type,
                       backend_policies[b->policy]);
    return 0;
}

int backend_complete(struct bp_object *obj, struct bp_ram_options *o, struct bp_error *err)
{
    struct backend *b = backend_of(obj);
    int r;

    o->size = sizeof(*o);
    o->length = b->length;
    o->flags |= (b->merge ? BP_RAM_MERGE : 0) | (b->dump ? 0 : BP_RAM_NO_DUMP) |
                (b->prealloc ? BP_RAM_PREALLOC : 0) | (b->reserve ? BP_RAM_RESERVE : 0);
    o->threads = b->threads;
    o->policy = (enum bp_ram_policy)b->policy;
    o->nodes = b->nodes;
    o->node_words = BP_COUNT(b->nodes);
    r = bp_region_new_ram_with(bp_object_owner(obj),
                               b->canonical ? bp_object_path(obj) : bp_object_id(obj), o, &b->ram, err);
    if (o->flags & BP_RAM_FD)
        close(o->fd);
    if (r == 0)
        bp_ram_offer(obj, b->ram);
    return r;
}

bool backend_can_delete(struct bp_object *obj)
{
    return !bp_ram_is_taken(obj);
}

/* ---- memory-backend-ram ---- */

struct ram_backend {
    bool share;
};

static int complete(struct bp_object *obj, struct bp_error *err)
{
    const struct ram_backend *b = bp_object_state(obj);
    struct bp_ram_options o = {.size = sizeof(o)};
    int r = backend_check(obj, err);

    if (r == 0 && b->share) {
        r = memfd_open(bp_object_id(obj), backend_of(obj)->length, 0, 0, err);
        o.flags = BP_RAM_FD | BP_RAM_SHARED;
        o.fd = r;
    }
    return r < 0 ? r : backend_complete(obj, &o, err);
}

static const struct bp_field ram_props[] = {BACKEND_SHARE(struct ram_backend, "off"), BP_FIELDS_END};

BP_NOTE("provides=object:memory-backend-ram;summary=Memory of the process");
const struct bp_object_class backend_ram = {
    .type = {.size = sizeof(struct bp_object_class), .name = "memory-backend-ram",
             .parent = "memory-backend", .summary = "Memory of the process",
             .state_size = sizeof(struct ram_backend), .props = ram_props},
    .complete = complete, .can_delete = backend_can_delete};
