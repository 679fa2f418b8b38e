/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* query-memdev and `info memdev`: the memory back ends that there are. */
#include <stdio.h>

#include <bp/command.h>

#include "backend.h"

static const struct bp_field memdev_members[] = {
    {.name = "id", .kind = BP_KIND_STRING, .flags = BP_FIELD_OPTIONAL, .help = "of the object"},
    BP_ARG("size", SIZE, "bytes"),
    BP_ARG("merge", BOOL, "the host may merge equal pages"),
    BP_ARG("dump", BOOL, "part of core dumps"),
    BP_ARG("prealloc", BOOL, "allocated at once"),
    BP_ARG("share", BOOL, "shared"),
    BP_ARG("reserve", BOOL, "swap is set aside"),
    BP_ARG("host-nodes", ANY, "nodes of the host"),
    BP_ARG("policy", STRING, "how it is spread over them"),
    BP_FIELDS_END,
};
static const struct bp_schema memdev = {
    .name = "Memdev", .kind = BP_KIND_STRUCT, .members = memdev_members};
static const struct bp_schema memdev_list = {.name = "MemdevList", .kind = BP_KIND_LIST,
                                             .element_kind = BP_KIND_STRUCT, .element = &memdev};

static void add(struct bp_object *obj, struct bp_region *ram, void *opaque)
{
    static const char *const copied[] = {"size", "merge", "dump", "prealloc", "share", "reserve",
                                         "host-nodes", "policy"};
    struct bp_value *entry, *value;

    (void)ram;
    if (!bp_object_is_a(obj, "memory-backend"))
        return;
    entry = bp_value_dict();
    bp_value_set(entry, "id", bp_value_string(bp_object_id(obj)));
    for (size_t i = 0; i < BP_COUNT(copied); i++)
        if (bp_object_get(obj, copied[i], &value, NULL) == 0)
            bp_value_set(entry, copied[i], value);
    bp_value_append(opaque, entry);
}

static int query_memdev(struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = bp_value_list();
    bp_ram_each(add, *ret_value);
    return 0;
}
BP_COMMAND(query_memdev_command, "query-memdev", "Memory back ends", NULL, LIST, &memdev_list,
           query_memdev, 0);

static const char *on_off(const struct bp_value *entry, const char *key)
{
    return bp_value_as_bool(bp_value_get(entry, key)) ? "true" : "false";
}

static void info_memdev(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_value *list = bp_value_list();

    (void)args;
    bp_ram_each(add, list);
    for (size_t i = 0; i < bp_value_length(list); i++) {
        const struct bp_value *entry = bp_value_at(list, i), *nodes = bp_value_get(entry, "host-nodes");

        bp_monitor_printf(mon, "memory backend: %s\n  size:  %llu\n", bp_value_get_string(entry, "id"),
                          (unsigned long long)bp_value_as_uint(bp_value_get(entry, "size")));
        bp_monitor_printf(mon, "  merge: %s\n  dump: %s\n  prealloc: %s\n  share: %s\n",
                          on_off(entry, "merge"), on_off(entry, "dump"), on_off(entry, "prealloc"),
                          on_off(entry, "share"));
        bp_monitor_printf(mon, "  reserve: %s\n  policy: %s\n  host nodes:", on_off(entry, "reserve"),
                          bp_value_get_string(entry, "policy"));
        for (size_t n = 0; n < bp_value_length(nodes); n++)
            bp_monitor_printf(mon, " %llu", (unsigned long long)bp_value_as_uint(bp_value_at(nodes, n)));
        bp_monitor_printf(mon, "\n\n");
    }
    bp_value_unref(list);
}
BP_HMP(info_memdev_command, "info memdev", "", "show the memory back ends", NULL, info_memdev);

BP_MODULE("ram-backends", "Memory back ends", BP_NO_IMPORTS, {BP_PROVIDE_ABSTRACT, &backend_level},
          {BP_PROVIDE_OBJECT, &backend_ram}, {BP_PROVIDE_OBJECT, &backend_file},
          {BP_PROVIDE_OBJECT, &backend_memfd}, {BP_PROVIDE_OBJECT, &backend_shm},
          {BP_PROVIDE_COMMAND, &query_memdev_command}, {BP_PROVIDE_HMP, &info_memdev_command});
