/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ACPI_DEVICE_OST and query-acpi-ospm-status: what _OST (ACPI 6.4, 6.3.5) says of DIMMs and processors. */
#define BP_SHARED
#include "acpi-ost.h"
#include "acpi-cpuhp.h"
#include "acpi-memhp.h"

#include <bp/command.h>
#include <stdio.h>

static const struct bp_field ost_members[] = {
    BP_ARG_OPT("device", STRING, "id of what is in the slot"), BP_ARG("slot", STRING, "number of the slot"),
    BP_ARG("slot-type", STRING, "DIMM or CPU"), BP_ARG("source", INT64, "event that it is about"),
    BP_ARG("status", INT64, "how it went"), BP_FIELDS_END};
static const struct bp_schema ost_info = {.name = "ACPIOSTInfo", .kind = BP_KIND_STRUCT, .members = ost_members};
static const struct bp_field event_members[] = {BP_ARG_TYPED("info", STRUCT, &ost_info, 0, "what it says"),
                                                BP_FIELDS_END};
static const struct bp_schema ost_list = {.name = "ACPIOSTInfoList", .kind = BP_KIND_LIST,
                                          .element_kind = BP_KIND_STRUCT, .element = &ost_info};
BP_EVENT(acpi_ost_event, "ACPI_DEVICE_OST", "The guest says how it went with a slot", event_members, 0);

struct bp_value *acpi_ost_info(const char *id, unsigned slot, const char *type, uint32_t source, uint32_t status)
{
    struct bp_value *info = bp_value_dict();
    char number[12];

    if (id)
        bp_value_set(info, "device", bp_value_string(id));
    snprintf(number, sizeof(number), "%u", slot);
    bp_value_set(info, "slot", bp_value_string(number));
    bp_value_set(info, "slot-type", bp_value_string(type));
    bp_value_set(info, "source", bp_value_int(source));
    bp_value_set(info, "status", bp_value_int(status));
    return info;
}

void acpi_ost_send(struct bp_value *info)
{
    struct bp_value *data = bp_value_dict();

    bp_value_set(data, "info", info);
    bp_event_send(&acpi_ost_event, data);
}

bool acpi_ost_refuses(uint32_t source, uint32_t status)
{
    bool ejection = source == 3 || source == 0x103, waits = status >= 0x80;

    return ejection && status != 0 && !(waits && status != 0x80);
}

static int add_memory(struct bp_device *dev, void *list)
{
    acpi_memhp_list_ost(dev, list);
    return 0;
}

static int add_cpus(struct bp_device *dev, void *list)
{
    acpi_cpuhp_list_ost(dev, list);
    return 0;
}

static int query_ospm(struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_machine *m = bp_command_machine();

    (void)err;
    *ret_value = bp_value_list();
    if (!m)
        return 0;
    bp_device_each(m, "acpi-mem-hotplug", add_memory, *ret_value);
    bp_device_each(m, "acpi-cpu-hotplug", add_cpus, *ret_value);
    return 0;
}
BP_COMMAND(acpi_ost_query, "query-acpi-ospm-status", "What the guest says of the slots that ACPI has", NULL, LIST,
           &ost_list, query_ospm, 0);

/* Before DEVICE_UNPLUG_GUEST_ERROR there was one for memory alone. */
static const char *const deprecated[] = {"deprecated", NULL};
static const struct bp_field memory_data[] = {
    BP_ARG("device", STRING, "id of the memory device"), BP_ARG("msg", STRING, "what happened"), BP_FIELDS_END};
BP_NOTE("provides=event:MEM_UNPLUG_ERROR;summary=the guest did not let a memory device go");
BP_STORAGE const struct bp_event acpi_ost_memory_event = {
    sizeof(struct bp_event), "MEM_UNPLUG_ERROR", "the guest did not let a memory device go", memory_data, 0, deprecated,
    {NULL}};

void acpi_ost_memory_stays(const char *id)
{
    struct bp_value *data = bp_value_dict();

    bp_value_set(data, "device", bp_value_string(id ? id : ""));
    bp_value_set(data, "msg", bp_value_string_printf("the guest keeps memory device '%s'", id ? id : ""));
    bp_event_send(&acpi_ost_memory_event, data);
}
