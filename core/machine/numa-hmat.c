/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * -numa hmat-lb and hmat-cache: latency and bandwidth between nodes, and caches on the memory's side, as ACPI's
 * HMAT has them (ACPI 6.4, 5.2.27): a matrix has 16 bits for a value, which counts units of its own.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <glib.h>

#include "numa.h"
#include "parts.h"
#include "text.h"

#define MOST_UNITS 65534u /* 0: not told, 65535: cannot be reached */

int bpc_numa_need_hmat(struct bp_error *err)
{
    const struct bp_value *given = bpc_config.board_props ? bp_value_get(bpc_config.board_props, "hmat") : NULL;
    bool on = false;

    if (given && bp_value_type(given) == BP_VALUE_BOOL)
        on = bp_value_as_bool(given);
    else if (given && bp_value_as_string(given))
        (void)bpc_text_bool(bp_value_as_string(given), &on);
    if (on)
        return 0;
    return bp_fail(err, EINVAL, "ACPI Heterogeneous Memory Attribute Table (HMAT) is disabled, enable it with "
                   "-machine hmat=on before using any of hmat specific options");
}

static int get_node(const struct bp_value *args, const char *key, unsigned *ret_id, struct bp_error *err)
{
    unsigned id = (unsigned)bp_value_as_uint(bp_value_get(args, key));

    if (!bpc_config.numa || !bpc_config.numa->present[id])
        return bp_fail(err, EINVAL, "Invalid %s=%u: there is no such node; use '-numa node' before to declare it",
                       key, id);
    *ret_id = id;
    return 0;
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* The unit that all values are multiples of, and whether 16 bits are enough. */
static int find_unit(struct bp_numa_rates *r, const char *what, struct bp_error *err)
{
    uint64_t unit = 0, most = 0;

    for (unsigned i = 0; i < BP_NUMA_MOST; i++) {
        for (unsigned t = 0; t < BP_NUMA_MOST; t++) {
            unit = common_divisor(unit, r->value[i][t]);
            most = MAX(most, r->value[i][t]);
        }
    }
    r->unit = unit ? unit : 1;
    if (most / r->unit > MOST_UNITS)
        return bp_fail(err, ERANGE, "the values of %s are too far apart for a table with 16 bits: the largest may be "
                       "%u times what divides all of them, here %" PRIu64, what, MOST_UNITS, r->unit);
    return 0;
}

/* The value in ns or MiB/s; the key that does not belong to the type is an error. */
static int get_rate(const struct bp_value *args, bool bandwidth, uint64_t *ret_value, struct bp_error *err)
{
    const char *key = bandwidth ? "bandwidth" : "latency", *other = bandwidth ? "latency" : "bandwidth";
    uint64_t v;

    if (!bp_value_has(args, key))
        return bp_fail(err, EINVAL, "Missing '%s' option", key);
    if (bp_value_has(args, other))
        return bp_fail(err, EINVAL, "Invalid option '%s' since the data type is %s", other, key);
    v = bp_value_as_uint(bp_value_get(args, key));
    if (bandwidth && v % (1u << 20))
        return bp_fail(err, EINVAL, "Bandwidth %" PRIu64 " should be a multiple of 1M (1048576) bytes per second", v);
    *ret_value = bandwidth ? v >> 20 : v;
    return 0;
}

static unsigned choice_of(const char *text, const char *const *choices)
{
    unsigned i = 0;

    while (choices[i] && strcmp(choices[i], text) != 0)
        i++;
    return i;
}

int bpc_numa_add_lb(struct bp_value *args, struct bp_error *err)
{
    static const char *const hierarchies[] = {"memory", "first-level", "second-level", "third-level", NULL};
    static const char *const types[] = {"access-latency", "read-latency", "write-latency", "access-bandwidth",
                                        "read-bandwidth", "write-bandwidth", NULL};
    unsigned initiator = 0, target = 0, hierarchy, type;
    struct bp_numa_rates **rates;
    uint64_t value = 0;
    int ret = bpc_numa_need_hmat(err);

    if (ret == 0)
        ret = get_node(args, "initiator", &initiator, err);
    if (ret == 0)
        ret = get_node(args, "target", &target, err);
    if (ret < 0)
        return ret;
    if (bpc_config.numa->cpus_given && !bpc_config.numa->nodes.nodes[initiator].has_cpus)
        return bp_fail(err, EINVAL, "Invalid initiator=%u, it isn't an initiator proximity domain: it has no CPU",
                       initiator);
    hierarchy = choice_of(bp_value_get_string(args, "hierarchy"), hierarchies);
    type = choice_of(bp_value_get_string(args, "data-type"), types);
    ret = get_rate(args, type >= 3, &value, err);
    if (ret < 0)
        return ret;
    rates = &bpc_config.numa->nodes.rates[hierarchy][type];
    if (!*rates)
        *rates = g_new0(struct bp_numa_rates, 1);
    if ((*rates)->value[initiator][target])
        return bp_fail(err, EEXIST, "Duplicate configuration of the %s for initiator=%u and target=%u", types[type],
                       initiator, target);
    (*rates)->value[initiator][target] = value;
    return find_unit(*rates, types[type], err);
}

static int check_levels(const struct bp_numa_cache *caches, unsigned level, uint64_t size, struct bp_error *err)
{
    if (caches[level - 1].level)
        return bp_fail(err, EEXIST, "Duplicate configuration of the side cache of level=%u", level);
    if (level > 1 && !caches[level - 2].level)
        return bp_fail(err, EINVAL, "Cache level=%u shall be defined first", level - 1);
    if (level > 1 && size <= caches[level - 2].size)
        return bp_fail(err, EINVAL, "Invalid size=%" PRIu64 ", the size of level=%u should be larger than the size(%"
                       PRIu64 ") of level=%u", size, level, caches[level - 2].size, level - 1);
    return 0;
}

int bpc_numa_add_cache(struct bp_value *args, struct bp_error *err)
{
    static const char *const associativities[] = {"none", "direct", "complex", NULL};
    static const char *const policies[] = {"none", "write-back", "write-through", NULL};
    const struct bp_numa *n;
    struct bp_numa_cache *c;
    unsigned id = 0, level = (unsigned)bp_value_as_uint(bp_value_get(args, "level"));
    uint64_t size = bp_value_as_uint(bp_value_get(args, "size"));
    int ret = bpc_numa_need_hmat(err);

    if (ret == 0)
        ret = get_node(args, "node-id", &id, err);
    if (ret == 0 && (level < 1 || level > BP_NUMA_CACHES))
        ret = bp_fail(err, ERANGE, "Invalid level=%u, it should be larger than 0 and less than or equal to 3", level);
    if (ret < 0)
        return ret;
    n = &bpc_config.numa->nodes;
    if (!n->rates[0][0] && !n->rates[0][1] && !n->rates[0][2])
        return bp_fail(err, EINVAL, "The latency and bandwidth information (-numa hmat-lb) of node-id=%u should be "
                       "provided before memory side cache attributes", id);
    c = bpc_config.numa->nodes.caches[id];
    ret = check_levels(c, level, size, err);
    if (ret < 0)
        return ret;
    c[level - 1] = (struct bp_numa_cache){
        .size = size, .level = (uint8_t)level, .line = (uint16_t)bp_value_as_uint(bp_value_get(args, "line")),
        .associativity = (uint8_t)choice_of(bp_value_get_string(args, "associativity"), associativities),
        .policy = (uint8_t)choice_of(bp_value_get_string(args, "policy"), policies)};
    return 0;
}

int bpc_numa_complete_hmat(const struct bpc_numa *numa, struct bp_error *err)
{
    for (unsigned i = 0; i < numa->nodes.count; i++) {
        const struct bp_numa_node *node = &numa->nodes.nodes[i];

        if (node->initiator == BP_NUMA_MOST)
            continue;
        if (!numa->present[node->initiator])
            return bp_fail(err, EINVAL, "-numa node,initiator=%u: NUMA node %u is missing, use '-numa node' option to "
                           "declare it", node->initiator, node->initiator);
        if (node->has_cpus && node->initiator != i)
            return bp_fail(err, EINVAL, "-numa node: The initiator of CPU NUMA node %u should be itself (got %u)", i,
                           node->initiator);
        if (!numa->nodes.nodes[node->initiator].has_cpus)
            return bp_fail(err, EINVAL, "-numa node: The initiator of NUMA node %u is invalid: node %u has no CPU", i,
                           node->initiator);
    }
    return 0;
}
