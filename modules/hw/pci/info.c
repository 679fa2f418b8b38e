// SPDX-License-Identifier: LGPL-2.1-or-later
/* What is on the PCI bus, for people (`info pci`) and programs (query-pci). */
#define BP_SHARED
#include "pci.h"

static const struct {
    uint16_t code;
    const char *name;
} class_names[] = {
    {0x0001, "VGA controller"},      {0x0100, "SCSI controller"},
    {0x0101, "IDE controller"},      {0x0102, "Floppy controller"},
    {0x0103, "IPI controller"},      {0x0104, "RAID controller"},
    {0x0106, "SATA controller"},     {0x0108, "NVMe controller"},
    {0x0180, "Storage controller"},  {0x0200, "Ethernet controller"},
    {0x0280, "Network controller"},  {0x0300, "VGA controller"},
    {0x0301, "XGA controller"},      {0x0380, "Display controller"},
    {0x0401, "Audio controller"},    {0x0403, "Audio controller"},
    {0x0500, "RAM controller"},      {0x0600, "Host bridge"},
    {0x0601, "ISA bridge"},          {0x0604, "PCI bridge"},
    {0x0680, "Bridge"},              {0x0700, "Serial port"},
    {0x0780, "Communication controller"}, {0x0880, "System peripheral"},
    {0x0900, "Keyboard controller"}, {0x0c03, "USB controller"},
    {0x0c05, "SMBus"},
};

const char *pci_class_name(uint16_t code)
{
    for (size_t i = 0; i < BP_COUNT(class_names); i++) {
        if (class_names[i].code == code)
            return class_names[i].name;
    }
    return NULL;
}

static const struct bp_bus *root_bus(struct pci_bus **ret_bus)
{
    struct bp_machine *machine = bp_command_machine();
    struct bp_bus *bus = machine ? bp_bus_find(machine, "pci") : NULL;

    if (bus)
        *ret_bus = bp_bus_level(bus, &pci_class);
    return bus;
}

static void print_function(struct bp_monitor *mon, const struct pci_bus *bus, struct bp_device *dev)
{
    const struct pci_fn *fn = pci_fn_of(dev);
    const uint8_t *c = fn->config;
    const char *id = bp_device_id(dev), *name = pci_class_name(pci_get16(c + PCI_CLASS));

    bp_monitor_printf(mon, "  Bus %2u, device %3u, function %u:\n    ", pci_bus_number(bus), fn->devfn >> 3,
                      fn->devfn & 7);
    if (name)
        bp_monitor_printf(mon, "%s", name);
    else
        bp_monitor_printf(mon, "Class %04x", pci_get16(c + PCI_CLASS));
    bp_monitor_printf(mon, ": PCI device %04x:%04x\n", pci_get16(c + PCI_VENDOR),
                      pci_get16(c + PCI_DEVICE));
    if (pci_get16(c + PCI_SUBSYSTEM_VENDOR) || pci_get16(c + PCI_SUBSYSTEM))
        bp_monitor_printf(mon, "      PCI subsystem %04x:%04x\n",
                          pci_get16(c + PCI_SUBSYSTEM_VENDOR), pci_get16(c + PCI_SUBSYSTEM));
    if (c[PCI_INTERRUPT_PIN])
        bp_monitor_printf(mon, "      IRQ %u, pin %c\n", c[PCI_INTERRUPT_LINE],
                          'A' + c[PCI_INTERRUPT_PIN] - 1);
    for (unsigned n = 0; n < PCI_BARS; n++) {
        const struct pci_bar *bar = &fn->bar[n];
        uint64_t at;

        if (!bar->region)
            continue;
        bp_monitor_printf(mon, "      BAR%u: ", n);
        bp_monitor_printf(mon, "%s%s", bar->flags & BP_PCI_BAR_IO ? "I/O" :
                          bar->flags & BP_PCI_BAR_MEM64 ? "64 bit" : "32 bit",
                          bar->flags & BP_PCI_BAR_IO ? "" :
                          bar->flags & BP_PCI_BAR_PREFETCH ? " prefetchable memory" : " memory");
        if (pci_bar_address(fn, n, &at))
            bp_monitor_printf(mon, " at 0x%llx [0x%llx]\n", (unsigned long long)at,
                              (unsigned long long)(at + bar->size - 1));
        else
            bp_monitor_printf(mon, " not mapped, 0x%llx bytes\n", (unsigned long long)bar->size);
    }
    bp_monitor_printf(mon, "      id \"%s\"\n", id ? id : "");
}

static void info_pci(struct bp_monitor *mon, struct bp_value *args)
{
    struct pci_bus *bus;

    (void)args;
    if (!root_bus(&bus)) {
        bp_monitor_printf(mon, "The machine has no PCI bus\n");
        return;
    }
    for (int i = 0; i < 256; i++) {
        if (bus->fn[i])
            print_function(mon, bus, bus->fn[i]);
    }
}
BP_HMP(pci_info_command, "info pci", "", "Show the devices on the PCI bus", NULL, info_pci);

/* ---- query-pci ---- */
static const struct bp_field region_members[] = {
    BP_ARG("bar", INT64, "number of the BAR"),
    BP_ARG("type", STRING, "io or memory"),
    BP_ARG("address", INT64, "address, -1 when not mapped"),
    BP_ARG("size", INT64, "bytes"),
    BP_ARG_OPT("prefetch", BOOL, "memory may be prefetched"),
    BP_ARG_OPT("mem_type_64", BOOL, "a 64-bit BAR"),
    BP_FIELDS_END,
};
static const struct bp_schema region_schema = {.name = "PciMemoryRegion", .kind = BP_KIND_STRUCT,
                                               .members = region_members};
static const struct bp_schema regions_schema = {.name = "PciMemoryRegionList",
                                                .kind = BP_KIND_LIST,
                                                .element_kind = BP_KIND_STRUCT,
                                                .element = &region_schema};
static const struct bp_field class_members[] = {
    BP_ARG_OPT("desc", STRING, "name of the class"),
    BP_ARG("class", INT64, "class code"),
    BP_FIELDS_END,
};
static const struct bp_schema class_schema = {.name = "PciDeviceClass", .kind = BP_KIND_STRUCT,
                                              .members = class_members};
static const struct bp_field id_members[] = {
    BP_ARG("device", INT64, "device id"),
    BP_ARG("vendor", INT64, "vendor id"),
    BP_ARG_OPT("subsystem", INT64, "subsystem id"),
    BP_ARG_OPT("subsystem-vendor", INT64, "subsystem vendor id"),
    BP_FIELDS_END,
};
static const struct bp_schema id_schema = {.name = "PciDeviceId", .kind = BP_KIND_STRUCT,
                                           .members = id_members};
static const struct bp_field device_members[] = {
    BP_ARG("bus", INT64, "bus number"),
    BP_ARG("slot", INT64, "slot"),
    BP_ARG("function", INT64, "function"),
    BP_ARG_TYPED("class_info", STRUCT, &class_schema, 0, "class"),
    BP_ARG_TYPED("id", STRUCT, &id_schema, 0, "identification"),
    BP_ARG_OPT("irq", INT64, "interrupt line register"),
    BP_ARG("irq_pin", INT64, "interrupt pin, 0 for none"),
    BP_ARG("qdev_id", STRING, "id of the device, or empty"),
    BP_ARG_TYPED("regions", LIST, &regions_schema, 0, "BARs"),
    BP_FIELDS_END,
};
static const struct bp_schema device_schema = {.name = "PciDeviceInfo", .kind = BP_KIND_STRUCT,
                                               .members = device_members};
static const struct bp_schema devices_schema = {.name = "PciDeviceInfoList", .kind = BP_KIND_LIST,
                                                .element_kind = BP_KIND_STRUCT,
                                                .element = &device_schema};
static const struct bp_field bus_members[] = {
    BP_ARG("bus", INT64, "bus number"),
    BP_ARG_TYPED("devices", LIST, &devices_schema, 0, "functions on it"),
    BP_FIELDS_END,
};
static const struct bp_schema bus_schema = {.name = "PciInfo", .kind = BP_KIND_STRUCT,
                                            .members = bus_members};
static const struct bp_schema buses_schema = {.name = "PciInfoList", .kind = BP_KIND_LIST,
                                              .element_kind = BP_KIND_STRUCT,
                                              .element = &bus_schema};

static struct bp_value *describe_bars(const struct pci_fn *fn)
{
    struct bp_value *list = bp_value_list();

    for (unsigned n = 0; n < PCI_BARS; n++) {
        const struct pci_bar *bar = &fn->bar[n];
        struct bp_value *v;
        uint64_t at;

        if (!bar->region)
            continue;
        v = bp_value_dict();
        bp_value_set(v, "bar", bp_value_int(n));
        bp_value_set(v, "type", bp_value_string(bar->flags & BP_PCI_BAR_IO ? "io" : "memory"));
        bp_value_set(v, "address", bp_value_int(pci_bar_address(fn, n, &at) ? (int64_t)at : -1));
        bp_value_set(v, "size", bp_value_int((int64_t)bar->size));
        if (!(bar->flags & BP_PCI_BAR_IO)) {
            bp_value_set(v, "prefetch", bp_value_bool(bar->flags & BP_PCI_BAR_PREFETCH));
            bp_value_set(v, "mem_type_64", bp_value_bool(bar->flags & BP_PCI_BAR_MEM64));
        }
        bp_value_append(list, v);
    }
    return list;
}

static struct bp_value *describe_function(const struct pci_bus *bus, struct bp_device *dev)
{
    const struct pci_fn *fn = pci_fn_of(dev);
    const uint8_t *c = fn->config;
    const char *name = pci_class_name(pci_get16(c + PCI_CLASS)), *qdev_id = bp_device_id(dev);
    struct bp_value *v = bp_value_dict(), *class_info = bp_value_dict(), *id = bp_value_dict();

    if (name)
        bp_value_set(class_info, "desc", bp_value_string(name));
    bp_value_set(class_info, "class", bp_value_int(pci_get16(c + PCI_CLASS)));
    bp_value_set(id, "device", bp_value_int(pci_get16(c + PCI_DEVICE)));
    bp_value_set(id, "vendor", bp_value_int(pci_get16(c + PCI_VENDOR)));
    bp_value_set(id, "subsystem", bp_value_int(pci_get16(c + PCI_SUBSYSTEM)));
    bp_value_set(id, "subsystem-vendor", bp_value_int(pci_get16(c + PCI_SUBSYSTEM_VENDOR)));
    bp_value_set(v, "bus", bp_value_int(pci_bus_number(bus)));
    bp_value_set(v, "slot", bp_value_int(fn->devfn >> 3));
    bp_value_set(v, "function", bp_value_int(fn->devfn & 7));
    bp_value_set(v, "class_info", class_info);
    bp_value_set(v, "id", id);
    if (c[PCI_INTERRUPT_PIN])
        bp_value_set(v, "irq", bp_value_int(c[PCI_INTERRUPT_LINE]));
    bp_value_set(v, "irq_pin", bp_value_int(c[PCI_INTERRUPT_PIN]));
    bp_value_set(v, "qdev_id", bp_value_string(qdev_id ? qdev_id : ""));
    bp_value_set(v, "regions", describe_bars(fn));
    return v;
}

static int query_pci(struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_value *list = bp_value_list(), *entry, *devices;
    struct pci_bus *bus;

    (void)err;
    if (root_bus(&bus)) {
        entry = bp_value_dict();
        devices = bp_value_list();
        for (int i = 0; i < 256; i++) {
            if (bus->fn[i])
                bp_value_append(devices, describe_function(bus, bus->fn[i]));
        }
        bp_value_set(entry, "bus", bp_value_int(pci_bus_number(bus)));
        bp_value_set(entry, "devices", devices);
        bp_value_append(list, entry);
    }
    *ret_value = list;
    return 0;
}
BP_COMMAND(pci_query_command, "query-pci", "Lists the PCI functions of the machine", NULL, LIST,
           &buses_schema, query_pci, 0);
