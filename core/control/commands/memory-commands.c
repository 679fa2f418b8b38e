/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands over the guest's memory: what devices bring of it, sizes, NUMA nodes. */
#include <bp/exact/numa.h>

#include "command.h"
#include "hmp.h"
#include "machine.h"
#include "memory-device.h"

/* ---- query-memory-devices ---- */

static const struct bp_field dimm_members[] = {
    BP_ARG_OPT("id", STRING, "of the device"), BP_ARG("addr", INT64, "where it lies"),
    BP_ARG("size", INT64, "bytes"), BP_ARG("slot", INT64, "its slot"), BP_ARG("node", INT64, "NUMA node"),
    BP_ARG("memdev", STRING, "path of its back end"), BP_ARG("hotplugged", BOOL, "it came while the machine ran"),
    BP_ARG("hotpluggable", BOOL, "such devices may come and go"), BP_FIELDS_END};
static const struct bp_schema dimm_info = {.name = "PCDIMMDeviceInfo", .kind = BP_KIND_STRUCT, .members = dimm_members};
static const struct bp_field dimm_wrap[] = {BP_ARG_TYPED("data", STRUCT, &dimm_info, 0, "what it is"), BP_FIELDS_END};
static const struct bp_schema dimm_wrapper = {.name = "PCDIMMDeviceInfoWrapper", .kind = BP_KIND_STRUCT,
                                              .members = dimm_wrap};
static const struct bp_field pmem_members[] = {
    BP_ARG_OPT("id", STRING, "of the device"), BP_ARG("memaddr", UINT64, "where it lies"),
    BP_ARG("size", UINT64, "bytes"), BP_ARG("memdev", STRING, "path of its back end"), BP_FIELDS_END};
static const struct bp_schema pmem_info = {.name = "VirtioPMEMDeviceInfo", .kind = BP_KIND_STRUCT,
                                           .members = pmem_members};
static const struct bp_field pmem_wrap[] = {BP_ARG_TYPED("data", STRUCT, &pmem_info, 0, "what it is"), BP_FIELDS_END};
static const struct bp_schema pmem_wrapper = {.name = "VirtioPMEMDeviceInfoWrapper", .kind = BP_KIND_STRUCT,
                                              .members = pmem_wrap};
static const struct bp_field mem_members[] = {
    BP_ARG_OPT("id", STRING, "of the device"), BP_ARG("memaddr", UINT64, "where it lies"),
    BP_ARG("requested-size", SIZE, "bytes that the guest is to have"), BP_ARG("size", SIZE, "bytes that it has"),
    BP_ARG("max-size", SIZE, "bytes that it can have"), BP_ARG("block-size", SIZE, "bytes of a block"),
    BP_ARG("node", INT64, "NUMA node"), BP_ARG("memdev", STRING, "path of its back end"), BP_FIELDS_END};
static const struct bp_schema mem_info = {.name = "VirtioMEMDeviceInfo", .kind = BP_KIND_STRUCT, .members =
                                          mem_members};
static const struct bp_field mem_wrap[] = {BP_ARG_TYPED("data", STRUCT, &mem_info, 0, "what it is"), BP_FIELDS_END};
static const struct bp_schema mem_wrapper = {.name = "VirtioMEMDeviceInfoWrapper", .kind = BP_KIND_STRUCT,
                                             .members = mem_wrap};
static const char *const types[] = {"dimm", "nvdimm", "virtio-pmem", "virtio-mem", NULL};
static const struct bp_schema type_schema = {.name = "MemoryDeviceInfoKind", .kind = BP_KIND_ENUM, .choices = types};
static const struct bp_field common[] = {BP_ARG_TYPED("type", ENUM, &type_schema, 0, "kind of device"), BP_FIELDS_END};
static const struct bp_variant variants[] = {
    {"dimm", &dimm_wrapper, {NULL}}, {"nvdimm", &dimm_wrapper, {NULL}}, {"virtio-pmem", &pmem_wrapper, {NULL}},
    {"virtio-mem", &mem_wrapper, {NULL}}, {NULL, NULL, {NULL}}};
static const struct bp_schema device_info = {.name = "MemoryDeviceInfo", .kind = BP_KIND_UNION, .members = common,
                                             .discriminator = "type", .variants = variants};
static const struct bp_schema device_list = {.name = "MemoryDeviceInfoList", .kind = BP_KIND_LIST,
                                             .element_kind = BP_KIND_UNION, .element = &device_info};

static void append(struct bp_value *entry, void *list)
{
    bp_value_append(list, entry);
}

static int query_memory_devices(struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = bp_value_list();
    bpc_memory_devices_each(append, *ret_value);
    return 0;
}
BP_COMMAND(cmd_query_memory_devices, "query-memory-devices", "Devices that bring memory", NULL, LIST, &device_list,
           query_memory_devices, 0);

static const struct bp_field size_members[] = {
    BP_ARG("base-memory", SIZE, "bytes of -m"), BP_ARG_OPT("plugged-memory", SIZE, "bytes of devices"), BP_FIELDS_END};
static const struct bp_schema size_info = {.name = "MemoryInfo", .kind = BP_KIND_STRUCT, .members = size_members};

static int query_memory_size(struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = bp_value_dict();
    bp_value_set(*ret_value, "base-memory", bp_value_uint(bpc_the_machine ? bp_machine_ram_size(bpc_the_machine) : 0));
    bp_value_set(*ret_value, "plugged-memory", bp_value_uint(bpc_memory_plugged(-1)));
    return 0;
}
BP_COMMAND(cmd_query_memory_size, "query-memory-size-summary", "How much memory the guest has", NULL, STRUCT,
           &size_info, query_memory_size, 0);

const struct bp_command *const bpc_memory_commands[] = {&cmd_query_memory_devices, &cmd_query_memory_size, NULL};

/* ---- the human monitor ---- */

#define INFO(IDENT, NAME, SUMMARY, FN) \
    static const struct bp_hmp_command IDENT = {sizeof(struct bp_hmp_command), NAME, "", SUMMARY, NULL, FN, \
                                                {NULL, NULL}}

static void print_uint(struct bp_monitor *mon, const struct bp_value *data, const char *key, const char *format)
{
    if (bp_value_has(data, key))
        bp_monitor_printf(mon, format, key, (unsigned long long)bp_value_as_uint(bp_value_get(data, key)));
}

static void show_device(struct bp_value *entry, void *mon)
{
    static const char *const numbers[] = {"slot", "node", "requested-size", "size", "max-size", "block-size"};
    static const char *const flags[] = {"hotplugged", "hotpluggable"};
    const struct bp_value *data = bp_value_get(entry, "data");
    const char *id = bp_value_get_string(data, "id");

    bp_monitor_printf(mon, "Memory device [%s]: \"%s\"\n", bp_value_get_string(entry, "type"), id ? id : "");
    print_uint(mon, data, "addr", "  %s: 0x%llx\n");
    print_uint(mon, data, "memaddr", "  %s: 0x%llx\n");
    for (size_t i = 0; i < BP_COUNT(numbers); i++)
        print_uint(mon, data, numbers[i], "  %s: %llu\n");
    if (bp_value_has(data, "memdev"))
        bp_monitor_printf(mon, "  memdev: %s\n", bp_value_get_string(data, "memdev"));
    for (size_t i = 0; i < BP_COUNT(flags); i++) {
        if (bp_value_has(data, flags[i]))
            bp_monitor_printf(mon, "  %s: %s\n", flags[i],
                              bp_value_as_bool(bp_value_get(data, flags[i])) ? "true" : "false");
    }
    bp_value_unref(entry);
}

static void info_memory_devices(struct bp_monitor *mon, struct bp_value *args)
{
    (void)args;
    bpc_memory_devices_each(show_device, mon);
}
INFO(hmp_memory_devices, "info memory-devices", "show devices that bring memory", info_memory_devices);

static void info_memory_size(struct bp_monitor *mon, struct bp_value *args)
{
    (void)args;
    if (!bpc_the_machine)
        return;
    bp_monitor_printf(mon, "base memory: %llu\n", (unsigned long long)bp_machine_ram_size(bpc_the_machine));
    bp_monitor_printf(mon, "plugged memory: %llu\n", (unsigned long long)bpc_memory_plugged(-1));
}
INFO(hmp_memory_size, "info memory_size_summary", "show how much memory the guest has", info_memory_size);

static void info_numa(struct bp_monitor *mon, struct bp_value *args)
{
    const struct bp_numa *numa = bpc_the_machine ? bp_machine_numa(bpc_the_machine) : NULL;

    (void)args;
    bp_monitor_printf(mon, "%u nodes\n", numa ? numa->count : 0);
    for (unsigned i = 0; numa && i < numa->count; i++) {
        uint64_t plugged = bpc_memory_plugged((int)i);

        bp_monitor_printf(mon, "node %u cpus:", i);
        for (unsigned cpu = 0; cpu < bpc_cpu_slots(); cpu++) {
            if (bp_machine_cpu(bpc_the_machine, cpu) && bp_machine_cpu_node(bpc_the_machine, cpu) == (int)i)
                bp_monitor_printf(mon, " %u", cpu);
        }
        bp_monitor_printf(mon, "\nnode %u size: %llu MB\n", i,
                          (unsigned long long)(numa->nodes[i].mem + plugged) >> 20);
        bp_monitor_printf(mon, "node %u plugged: %llu MB\n", i, (unsigned long long)plugged >> 20);
    }
}
INFO(hmp_numa, "info numa", "show NUMA nodes", info_numa);

const struct bp_hmp_command *const bpc_hmp_memory_devices[] = {&hmp_memory_devices, &hmp_memory_size, &hmp_numa, NULL};
