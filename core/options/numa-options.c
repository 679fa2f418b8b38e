/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -numa: its keys, and which of them belong to which type. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bp/option.h>

#include "config.h"
#include "command.h"
#include "numa.h"
#include "options.h"
#include "preconfig.h"

static const char *const types[] = {"node", "dist", "cpu", "hmat-lb", "hmat-cache", NULL};
static const struct bp_schema type_schema = {.name = "NumaOptionsType", .kind = BP_KIND_ENUM, .choices = types};
static const char *const hierarchies[] = {"memory", "first-level", "second-level", "third-level", NULL};
static const struct bp_schema hierarchy_schema = {.name = "HmatLBMemoryHierarchy", .kind = BP_KIND_ENUM,
                                                  .choices = hierarchies};
static const char *const data_types[] = {"access-latency", "read-latency", "write-latency", "access-bandwidth",
                                         "read-bandwidth", "write-bandwidth", NULL};
static const struct bp_schema data_type_schema = {.name = "HmatLBDataType", .kind = BP_KIND_ENUM,
                                                  .choices = data_types};
static const char *const associativities[] = {"none", "direct", "complex", NULL};
static const struct bp_schema associativity_schema = {.name = "HmatCacheAssociativity", .kind = BP_KIND_ENUM,
                                                      .choices = associativities};
static const char *const policies[] = {"none", "write-back", "write-through", NULL};
static const struct bp_schema policy_schema = {.name = "HmatCacheWritePolicy", .kind = BP_KIND_ENUM,
                                               .choices = policies};

#define NODE_KEY(NAME, HELP) \
    {.name = NAME, .kind = BP_KIND_UINT32, .flags = BP_FIELD_OPTIONAL, .max = BP_NUMA_MOST - 1, .help = HELP}
#define NUMBER_KEY(NAME, MOST, HELP) \
    {.name = NAME, .kind = BP_KIND_UINT32, .flags = BP_FIELD_OPTIONAL, .max = MOST, .help = HELP}
#define FIRST_KEYS \
    BP_ARG_TYPED("type", ENUM, &type_schema, 0, "what is said of nodes"), \
        NODE_KEY("nodeid", "node: its number; the next free one")
#define CPUS "node: indices of its CPUs"
#define OTHER_KEYS \
    BP_ARG_OPT("mem", SIZE, "node: size of its memory, in machines up to version 5.0"), \
        BP_ARG_OPT("memdev", STRING, "node: id of the back end that is its memory"), \
        NODE_KEY("initiator", "node: that whose CPUs reach it best; hmat-lb: that whose CPUs ask"), \
        NODE_KEY("src", "dist: from this node"), NODE_KEY("dst", "dist: to this node"), \
        NUMBER_KEY("val", 255, "dist: distance, 10 is near; 255: it cannot be reached"), \
        NODE_KEY("node-id", "cpu, hmat-cache: of this node"), \
        NUMBER_KEY("socket-id", 65535, "cpu: those of this socket"), NUMBER_KEY("die-id", 65535, "cpu: of this die"), \
        NUMBER_KEY("cluster-id", 65535, "cpu: of this cluster"), \
        NUMBER_KEY("module-id", 65535, "cpu: of this module"), \
        NUMBER_KEY("core-id", 65535, "cpu: of this core"), NUMBER_KEY("thread-id", 65535, "cpu: of this thread"), \
        NODE_KEY("target", "hmat-lb: that whose memory is asked"), \
        BP_ARG_TYPED("hierarchy", ENUM, &hierarchy_schema, BP_FIELD_OPTIONAL, \
                     "hmat-lb: memory, or its cache of a level"), \
        BP_ARG_TYPED("data-type", ENUM, &data_type_schema, BP_FIELD_OPTIONAL, "hmat-lb: what is told"), \
        BP_ARG_OPT("latency", UINT64, "hmat-lb: nanoseconds; 0: not told"), \
        BP_ARG_OPT("bandwidth", SIZE, "hmat-lb: bytes per second, whole MiB; 0: not told"), \
        BP_ARG_OPT("size", SIZE, "hmat-cache: bytes"), \
        NUMBER_KEY("level", 255, "hmat-cache: 1 to 3"), \
        BP_ARG_TYPED("associativity", ENUM, &associativity_schema, BP_FIELD_OPTIONAL, \
                     "hmat-cache: how it is indexed"), \
        BP_ARG_TYPED("policy", ENUM, &policy_schema, BP_FIELD_OPTIONAL, "hmat-cache: how writes reach memory"), \
        {.name = "line", .kind = BP_KIND_UINT16, .flags = BP_FIELD_OPTIONAL, .help = "hmat-cache: bytes of a line"}
static const struct bp_field keys[] = {
    FIRST_KEYS,
    {.name = "cpus", .kind = BP_KIND_STRING, .flags = BP_FIELD_OPTIONAL | BP_FIELD_REPEATED,
     .help = CPUS ", FIRST or FIRST-LAST, several times"},
    OTHER_KEYS, BP_FIELDS_END,
};
/* As QMP has them. */
static const struct bp_schema cpu_list = {.name = "uint16List", .kind = BP_KIND_LIST,
                                          .element_kind = BP_KIND_UINT16};
static const struct bp_field set_args[] = {
    FIRST_KEYS, BP_ARG_TYPED("cpus", LIST, &cpu_list, BP_FIELD_OPTIONAL, CPUS),
    OTHER_KEYS, BP_FIELDS_END,
};

/* Keys of each type; those before the bar must be given. */
static const struct {
    const char *needs, *takes;
    int (*add)(struct bp_value *args, struct bp_error *err);
} forms[] = {
    {"", "nodeid cpus mem memdev initiator ", bpc_numa_add_node},
    {"src dst val ", "", bpc_numa_add_dist},
    {"node-id ", "socket-id die-id cluster-id module-id core-id thread-id ", bpc_numa_add_cpu},
    {"initiator target hierarchy data-type ", "latency bandwidth ", bpc_numa_add_lb},
    {"node-id size level associativity policy line ", "", bpc_numa_add_cache},
};

static bool has_word(const char *words, const char *word)
{
    size_t len = strlen(word);

    for (const char *p = words; *p; p = strchr(p, ' ') + 1) {
        if (strncmp(p, word, len) == 0 && p[len] == ' ')
            return true;
    }
    return false;
}

static int apply_numa(struct bp_value *args, struct bp_error *err)
{
    const char *type = bp_value_get_string(args, "type");
    unsigned n = 0;

    while (strcmp(types[n], type) != 0)
        n++;
    for (const struct bp_field *f = keys + 1; f->name; f++) {
        bool given = bp_value_has(args, f->name), needed = has_word(forms[n].needs, f->name);

        if (given && !needed && !has_word(forms[n].takes, f->name))
            return bp_fail(err, EINVAL, "Invalid parameter '%s': -numa %s has: %s%s", f->name, type, forms[n].needs,
                           forms[n].takes);
        if (!given && needed)
            return bp_fail(err, EINVAL, "Parameter '%s' is missing", f->name);
    }
    return forms[n].add(args, err);
}

BP_OPTION(option_numa, "numa", "NUMA nodes: their memory and CPUs, distances, latency, bandwidth, caches",
          .arg = "node|dist|cpu|hmat-lb|hmat-cache,...", .group = "Standard options",
          .phase = BP_PHASE_MACHINE + 5, .keys = keys, .implied = "type", .apply = apply_numa);

const struct bp_option *const bpc_numa_options[] = {&option_numa, NULL};

/* As the option takes them. */
static struct bp_value *cpus_as_text(struct bp_value *indices)
{
    struct bp_value *list = bp_value_list();

    for (size_t i = 0; i < bp_value_length(indices); i++) {
        char text[24];

        snprintf(text, sizeof(text), "%llu", (unsigned long long)bp_value_as_uint(bp_value_at(indices, i)));
        bp_value_append(list, bp_value_string(text));
    }
    return list;
}

static int set_numa_node(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    int ret = bpc_preconfig_need("set-numa-node", err);
    struct bp_value *copy;

    (void)ret_value;
    if (ret < 0)
        return ret;
    copy = bp_value_copy(args);
    if (bp_value_has(args, "cpus"))
        bp_value_set(copy, "cpus", cpus_as_text(bp_value_get(args, "cpus")));
    ret = bpc_numa_try(apply_numa, copy, err);
    bp_value_unref(copy);
    return ret;
}
BP_COMMAND(cmd_set_numa_node, "set-numa-node", "Tells of NUMA nodes what -numa tells, before the machine is made",
           set_args, NONE, NULL, set_numa_node, BP_COMMAND_RAW | BP_COMMAND_PRECONFIG);

const struct bp_command *const bpc_numa_commands[] = {&cmd_set_numa_node, NULL};
