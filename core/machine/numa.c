/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * -numa node, cpu and dist: which memory and which processors are near each other. Nothing is allocated by it
 * but what the nodes' back ends have, of which main memory is then made.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include <bp/log.h>
#include <bp/ram.h>

#include "numa.h"
#include "parts.h"
#include "registry.h"

static struct bpc_numa *get(void)
{
    if (!bpc_config.numa) {
        bpc_config.numa = g_new0(struct bpc_numa, 1);
        memset(bpc_config.numa->node_of, BPC_NUMA_NONE, sizeof(bpc_config.numa->node_of));
    }
    return bpc_config.numa;
}

static void numa_free(struct bpc_numa *numa)
{
    if (!numa)
        return;
    for (unsigned i = 0; i < BP_NUMA_MOST; i++) {
        if (numa->nodes.nodes[i].memdev)
            bp_object_unref(numa->nodes.nodes[i].memdev);
    }
    for (unsigned h = 0; h < BP_NUMA_HIERARCHIES; h++) {
        for (unsigned t = 0; t < BP_NUMA_DATA_TYPES; t++)
            g_free(numa->nodes.rates[h][t]);
    }
    g_free(numa);
}

void bpc_numa_free(void)
{
    numa_free(bpc_config.numa);
    bpc_config.numa = NULL;
}

int bpc_numa_machine(const struct bp_board_class **ret_board, struct bp_smp *ret_smp, struct bp_error *err)
{
    int ret = bpc_machine_choose_board(ret_board, err);

    if (ret < 0)
        return ret;
    if (!(*ret_board)->has_numa)
        return bp_fail(err, ENOTSUP, "machine '%s' has no NUMA nodes; pc and q35 have", (*ret_board)->type.name);
    *ret_smp = bpc_config.smp;
    return bpc_smp_complete(ret_smp, *ret_board, err);
}

static struct bpc_numa *copy_of(const struct bpc_numa *numa)
{
    struct bpc_numa *copy = numa ? g_memdup2(numa, sizeof(*copy)) : NULL;

    for (unsigned i = 0; copy && i < BP_NUMA_MOST; i++) {
        if (copy->nodes.nodes[i].memdev)
            bp_object_ref(copy->nodes.nodes[i].memdev);
    }
    for (unsigned h = 0; copy && h < BP_NUMA_HIERARCHIES; h++) {
        for (unsigned t = 0; t < BP_NUMA_DATA_TYPES; t++)
            copy->nodes.rates[h][t] = g_memdup2(numa->nodes.rates[h][t], sizeof(struct bp_numa_rates));
    }
    return copy;
}

int bpc_numa_try(int (*add)(struct bp_value *args, struct bp_error *err), struct bp_value *args, struct bp_error *err)
{
    struct bpc_numa *before = copy_of(bpc_config.numa), *after;
    int ret = add(args, err);

    after = bpc_config.numa;
    if (ret < 0) {
        bpc_config.numa = before;
        numa_free(after);
    } else {
        numa_free(before);
    }
    return ret;
}

/* ---- node ---- */

static int choose_id(const struct bpc_numa *numa, const struct bp_value *args, unsigned *ret_id, struct bp_error *err)
{
    unsigned id = 0;

    if (bp_value_has(args, "nodeid")) {
        id = (unsigned)bp_value_as_uint(bp_value_get(args, "nodeid"));
        if (numa->present[id])
            return bp_fail(err, EEXIST, "Duplicate NUMA nodeid: %u", id);
    } else {
        while (id < BP_NUMA_MOST && numa->present[id])
            id++;
        if (id == BP_NUMA_MOST)
            return bp_fail(err, ENOSPC, "there can be %u NUMA nodes, numbered from 0", BP_NUMA_MOST);
    }
    *ret_id = id;
    return 0;
}

static int claim_cpu(struct bpc_numa *numa, unsigned cpu, unsigned id, struct bp_error *err)
{
    if (numa->node_of[cpu] != BPC_NUMA_NONE && numa->node_of[cpu] != id)
        return bp_fail(err, EEXIST, "CPU %u is already assigned to node-id: %u", cpu, numa->node_of[cpu]);
    numa->node_of[cpu] = (uint8_t)id;
    numa->cpus_given = true;
    numa->nodes.nodes[id].has_cpus = true;
    return 0;
}

/* FIRST or FIRST-LAST */
static int add_range(struct bpc_numa *numa, const char *text, unsigned id, unsigned max_cpus, struct bp_error *err)
{
    char *end;
    guint64 first = g_ascii_strtoull(text, &end, 10), last = first;
    bool good = end != text && g_ascii_isdigit(*text);
    int ret = 0;

    if (good && *end == '-') {
        const char *second = end + 1;

        last = g_ascii_strtoull(second, &end, 10);
        good = end != second && g_ascii_isdigit(*second);
    }
    if (!good || *end || last < first)
        return bp_fail(err, EINVAL, "Parameter 'cpus' expects a CPU index or a range FIRST-LAST, not '%.60s'", text);
    if (last >= max_cpus)
        return bp_fail(err, ERANGE, "CPU index (%" PRIu64 ") should be smaller than maxcpus (%u)", last, max_cpus);
    for (unsigned cpu = (unsigned)first; cpu <= last && ret == 0; cpu++)
        ret = claim_cpu(numa, cpu, id, err);
    return ret;
}

static int add_cpus(struct bpc_numa *numa, const struct bp_value *cpus, unsigned id, unsigned max_cpus,
                    struct bp_error *err)
{
    int ret = 0;

    for (size_t i = 0; i < bp_value_length(cpus) && ret == 0; i++)
        ret = add_range(numa, bp_value_as_string(bp_value_at(cpus, i)), id, max_cpus, err);
    return ret;
}

/* The back end's size; it is taken when main memory is made. */
static int find_memdev(const char *name, struct bp_object **ret_obj, uint64_t *ret_size, struct bp_error *err)
{
    char *path = g_strdup_printf("/objects/%s", name);
    struct bp_object *obj = bp_object_resolve(path, NULL, NULL);
    struct bp_value *size = NULL;
    int ret = 0;

    g_free(path);
    if (!obj || !bp_object_is_a(obj, "memory-backend"))
        ret = bp_fail(err, ENOENT, "there is no memory back end '%.100s'; -object "
                      "memory-backend-ram,id=%.100s,size=SIZE "
                      "makes one", name, name);
    else if (bp_object_get(obj, "size", &size, err) < 0)
        ret = -EINVAL;
    if (ret < 0)
        return ret;
    *ret_obj = obj;
    *ret_size = bp_value_as_uint(size);
    bp_value_unref(size);
    return 0;
}

static int add_memory(struct bpc_numa *numa, const struct bp_value *args, const struct bp_board_class *board,
                      struct bp_numa_node *node, struct bp_error *err)
{
    bool mem = bp_value_has(args, "mem"), memdev = bp_value_has(args, "memdev");

    if ((mem && (memdev || numa->uses_memdev)) || (memdev && numa->uses_mem))
        return bp_fail(err, EINVAL, "numa configuration should use either mem= or memdev=, mixing both is not allowed");
    if (mem && !board->numa_mem)
        return bp_fail(err, ENOTSUP, "Parameter 'mem' is for versions of machines up to 5.0, not for '%s'; use "
                       "memdev=ID of an -object memory-backend-ram", board->type.name);
    numa->uses_mem |= mem;
    numa->uses_memdev |= memdev;
    if (memdev) {
        int ret = find_memdev(bp_value_get_string(args, "memdev"), &node->memdev, &node->mem, err);

        if (ret == 0)
            bp_object_ref(node->memdev); /* it may go before main memory is made, and then cannot be taken */
        return ret;
    }
    node->mem = 0;
    if (!mem)
        return 0;
    node->mem = bp_value_as_uint(bp_value_get(args, "mem"));
    if (node->mem % 4096)
        return bp_fail(err, EINVAL, "Parameter 'mem' expects whole pages of 4096 bytes, not %" PRIu64, node->mem);
    bp_warn("-numa node,mem= is deprecated, use -numa node,memdev= instead");
    return 0;
}

int bpc_numa_add_node(struct bp_value *args, struct bp_error *err)
{
    struct bpc_numa *numa = get();
    const struct bp_board_class *board;
    struct bp_numa_node *node;
    struct bp_smp smp;
    unsigned id = 0;
    int ret = bpc_numa_machine(&board, &smp, err);

    if (ret == 0)
        ret = choose_id(numa, args, &id, err);
    if (ret < 0)
        return ret;
    node = &numa->nodes.nodes[id];
    node->initiator = BP_NUMA_MOST;
    if (bp_value_has(args, "initiator")) {
        ret = bpc_numa_need_hmat(err);
        node->initiator = (uint8_t)bp_value_as_uint(bp_value_get(args, "initiator"));
    }
    if (ret == 0 && bp_value_has(args, "cpus"))
        ret = add_cpus(numa, bp_value_get(args, "cpus"), id, smp.max_cpus, err);
    if (ret == 0 && node->has_cpus && node->initiator != BP_NUMA_MOST && node->initiator != id)
        return bp_fail(err, EINVAL, "The initiator of CPU NUMA node %u should be itself (got %u)", id, node->initiator);
    if (ret == 0)
        ret = add_memory(numa, args, board, node, err);
    numa->present[id] = ret == 0;
    return ret;
}

/* ---- dist ---- */

int bpc_numa_add_dist(struct bp_value *args, struct bp_error *err)
{
    struct bpc_numa *numa = get();
    unsigned src = (unsigned)bp_value_as_uint(bp_value_get(args, "src"));
    unsigned dst = (unsigned)bp_value_as_uint(bp_value_get(args, "dst"));
    unsigned val = (unsigned)bp_value_as_uint(bp_value_get(args, "val"));

    if (!numa->present[src] || !numa->present[dst])
        return bp_fail(err, EINVAL, "NUMA node %u is missing, use '-numa node' before to declare it",
                       numa->present[src] ? dst : src);
    if (val < 10)
        return bp_fail(err, ERANGE, "NUMA distance (%u) is invalid, it shouldn't be less than 10", val);
    if (src == dst && val != 10)
        return bp_fail(err, EINVAL, "Local distance of node %u should be 10", src);
    numa->nodes.distance[src][dst] = (uint8_t)val;
    numa->nodes.has_distances = true;
    return 0;
}

/* Each pair has a distance in one direction at least; then the other is the same, unless some pair has two
 * different ones. */
static int complete_distances(struct bp_numa *n, struct bp_error *err)
{
    bool asymmetric = false;
    unsigned one_way[2] = {0, 0};

    for (unsigned a = 0; a < n->count; a++) {
        n->distance[a][a] = 10;
        for (unsigned b = a + 1; b < n->count; b++) {
            uint8_t there = n->distance[a][b], back = n->distance[b][a];

            if (!there && !back)
                return bp_fail(err, EINVAL, "-numa dist: The distance between node %u and %u is missing, at least one "
                               "distance value between each nodes should be provided", a, b);
            asymmetric |= there && back && there != back;
            if (!there || !back) {
                one_way[0] = there ? b : a;
                one_way[1] = there ? a : b;
            }
        }
    }
    if (asymmetric && one_way[0] != one_way[1])
        return bp_fail(err, EINVAL, "-numa dist: At least one asymmetrical pair of distances is given, please provide "
                       "distances for both directions of all node pairs; that from %u to %u is missing", one_way[0],
                       one_way[1]);
    for (unsigned a = 0; a < n->count; a++) {
        for (unsigned b = 0; b < n->count; b++) {
            if (!n->distance[a][b])
                n->distance[a][b] = n->distance[b][a];
        }
    }
    return 0;
}

/* ---- cpu ---- */

int bpc_numa_add_cpu(struct bp_value *args, struct bp_error *err)
{
    static const char *const keys[] = {"socket-id", "die-id", "cluster-id", "module-id", "core-id", "thread-id"};
    struct bpc_numa *numa = get();
    unsigned id = (unsigned)bp_value_as_uint(bp_value_get(args, "node-id")), found = 0;
    const struct bp_board_class *board;
    struct bp_smp s;
    int ret = bpc_numa_machine(&board, &s, err);

    if (ret < 0)
        return ret;
    if (!numa->present[id])
        return bp_fail(err, EINVAL, "Invalid node-id=%u, NUMA node must be defined with -numa node,nodeid=ID before "
                       "it's used with -numa cpu,node-id=ID", id);
    const unsigned most[] = {s.sockets, s.dies, s.clusters, s.modules, s.cores, s.threads};
    for (unsigned cpu = 0; cpu < s.max_cpus && ret == 0; cpu++) {
        unsigned rest = cpu;
        bool match = true;

        for (unsigned i = BP_COUNT(keys); i-- > 0; rest /= most[i])
            match &= !bp_value_has(args, keys[i]) || bp_value_as_uint(bp_value_get(args, keys[i])) == rest % most[i];
        if (match)
            ret = claim_cpu(numa, cpu, id, err);
        found += match;
    }
    if (ret == 0 && !found)
        return bp_fail(err, ENOENT, "no match found: -smp makes sockets 0..%u, cores 0..%u and threads 0..%u",
                       s.sockets - 1, s.cores - 1, s.threads - 1);
    return ret;
}

/* The processors of a socket stay together. */
static void complete_cpus(struct bpc_numa *numa, const struct bp_machine *m)
{
    const struct bp_smp *s = &m->smp;
    unsigned per_socket = s->max_cpus / (s->sockets ? s->sockets : 1), left = 0;

    for (unsigned cpu = 0; cpu < s->max_cpus; cpu++) {
        if (!numa->cpus_given)
            numa->node_of[cpu] = (uint8_t)(cpu / (per_socket ? per_socket : 1) % numa->nodes.count);
        if (numa->node_of[cpu] == BPC_NUMA_NONE) {
            numa->node_of[cpu] = 0;
            left++;
        }
        numa->nodes.nodes[numa->node_of[cpu]].has_cpus = true;
    }
    if (left)
        bp_warn("-numa: %u CPU(s) not present in any NUMA nodes are put into node 0: describe all of them up to "
                "maxcpus",
                left);
}

/* ---- all of it ---- */

/* Machines of versions up to 5.0: where nobody says, each node has as many times 8 MiB, the last one what is left. */
static uint64_t split(struct bpc_numa *numa, uint64_t ram_size)
{
    uint64_t each = ram_size / numa->nodes.count & ~((UINT64_C(8) << 20) - 1);

    for (unsigned i = 0; i < numa->nodes.count; i++)
        numa->nodes.nodes[i].mem = i + 1 < numa->nodes.count ? each : ram_size - each * i;
    return ram_size;
}

int bpc_numa_complete(const struct bp_machine *m, uint64_t ram_size, struct bp_error *err)
{
    struct bpc_numa *numa = bpc_config.numa;
    uint64_t total = 0;
    unsigned count = 0;
    int ret = 0;

    if (!numa)
        return 0;
    for (unsigned i = 0; i < BP_NUMA_MOST; i++) {
        count = numa->present[i] ? i + 1 : count;
        total += numa->nodes.nodes[i].mem;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!numa->present[i])
            return bp_fail(err, EINVAL, "-numa: Node ID missing: %u (ids are given without gaps, from 0)", i);
    }
    numa->nodes.count = count;
    if (total == 0 && m->board->numa_mem)
        total = split(numa, ram_size);
    if (total == 0)
        return bp_fail(err, EINVAL, "-numa node: no node has memory: give each its part of -m with memdev=ID of an "
                       "-object memory-backend-ram%s", m->board->numa_mem ? ", or mem=SIZE" : "");
    if (total != ram_size)
        return bp_fail(err, EINVAL, "-numa: total memory for NUMA nodes (0x%" PRIx64 ") should equal RAM size (0x%"
                       PRIx64 ") of -m", total, ram_size);
    for (unsigned i = 0; i < count && !m->board->numa_mem && bpc_config.ram_max <= ram_size; i++) {
        if (!numa->nodes.nodes[i].mem)
            return bp_fail(err, EINVAL, "-numa node,nodeid=%u: it has no memory: give it a part of -m with memdev=ID "
                           "of an -object memory-backend-ram, or let memory come later (-m maxmem=)", i);
    }
    complete_cpus(numa, m);
    if (numa->nodes.has_distances)
        ret = complete_distances(&numa->nodes, err);
    return ret == 0 ? bpc_numa_complete_hmat(numa, err) : ret;
}

int bpc_numa_make_ram(struct bp_machine *m, struct bp_region **ret_ram, struct bp_error *err)
{
    const struct bpc_numa *numa = bpc_config.numa;
    uint64_t at = 0;

    *ret_ram = bp_region_new(&m->obj.owner, m->board->default_ram_id ? m->board->default_ram_id : "ram", m->ram_size);
    for (unsigned i = 0; i < numa->nodes.count; i++) {
        const struct bp_numa_node *node = &numa->nodes.nodes[i];
        struct bp_region *ram;
        int ret = 0;

        if (node->memdev)
            ret = bp_ram_take(bp_object_id(node->memdev), &m->obj.owner, "-numa node,memdev", &ram, err);

        if (ret < 0)
            return ret;
        if (node->memdev)
            bp_region_add(*ret_ram, ram, at, 0);
        at += node->mem;
    }
    return 0;
}

const struct bp_numa *bp_machine_numa(const struct bp_machine *m)
{
    (void)m;
    return bpc_config.numa ? &bpc_config.numa->nodes : NULL;
}

int bpc_numa_node_of(unsigned index)
{
    if (!bpc_config.numa || index >= BPC_NUMA_CPUS || bpc_config.numa->node_of[index] == BPC_NUMA_NONE)
        return -1;
    return bpc_config.numa->node_of[index];
}

int bp_machine_cpu_node(const struct bp_machine *m, unsigned index)
{
    return index < m->smp.max_cpus ? bpc_numa_node_of(index) : -1;
}
