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

/* BAR n, or the ROM as number PCI_BARS: is it mapped, and where? */
static bool place(const struct pci_fn *fn, unsigned n, uint64_t *ret_at)
{
    *ret_at = 0;
    return n < PCI_BARS ? pci_bar_address(fn, n, ret_at) : pci_rom_address(fn, ret_at);
}

static void print_bar(struct bp_monitor *mon, const struct pci_fn *fn, unsigned n)
{
    const struct pci_bar *bar = n < PCI_BARS ? &fn->bar[n] : &fn->rom;
    uint64_t at;
    bool mapped = place(fn, n, &at);

    bp_monitor_printf(mon, "      BAR%u: %s%s", n, bar->flags & BP_PCI_BAR_IO ? "I/O" :
                      bar->flags & BP_PCI_BAR_MEM64 ? "64 bit" : "32 bit",
                      bar->flags & BP_PCI_BAR_IO ? "" :
                      bar->flags & BP_PCI_BAR_PREFETCH ? " prefetchable memory" : " memory");
    if (mapped)
        bp_monitor_printf(mon, " at 0x%llx [0x%llx]\n", (unsigned long long)at,
                          (unsigned long long)(at + bar->size - 1));
    else
        bp_monitor_printf(mon, " not mapped, 0x%llx bytes\n", (unsigned long long)bar->size);
}

static const struct {
    unsigned window;
    const char *text, *member;
} ranges[] = {{PCI_WINDOW_IO, "IO", "io_range"},
              {PCI_WINDOW_MEMORY, "memory", "memory_range"},
              {PCI_WINDOW_PREFETCH, "prefetchable memory", "prefetchable_range"}};

static void print_bridge(struct bp_monitor *mon, const struct pci_fn *fn)
{
    uint64_t base, limit;

    bp_monitor_printf(mon, "      BUS %u\n      secondary bus %u\n      subordinate bus %u\n",
                      fn->config[PCI_PRIMARY], fn->config[PCI_SECONDARY], fn->config[PCI_SUBORDINATE]);
    for (size_t i = 0; i < BP_COUNT(ranges); i++) {
        if (pci_window_range(fn, ranges[i].window, &base, &limit))
            bp_monitor_printf(mon, "      %s range [0x%llx, 0x%llx]\n", ranges[i].text,
                              (unsigned long long)base, (unsigned long long)limit);
    }
}

static void print_bus(struct bp_monitor *mon, const struct pci_bus *bus);

static void print_function(struct bp_monitor *mon, const struct pci_bus *bus, struct bp_device *dev)
{
    const struct pci_fn *fn = pci_fn_of(dev);
    const uint8_t *c = fn->config;
    const char *id = bp_device_id(dev), *name = pci_class_name(pci_get16(c + PCI_CLASS));

    bp_monitor_printf(mon, "  Bus %2u, device %3u, function %u:\n    ", pci_bus_number(bus),
                      fn->devfn >> 3, fn->devfn & 7);
    if (name)
        bp_monitor_printf(mon, "%s", name);
    else
        bp_monitor_printf(mon, "Class %04x", pci_get16(c + PCI_CLASS));
    bp_monitor_printf(mon, ": PCI device %04x:%04x\n", pci_get16(c + PCI_VENDOR),
                      pci_get16(c + PCI_DEVICE));
    if (!fn->secondary && (pci_get16(c + PCI_SUBSYSTEM_VENDOR) || pci_get16(c + PCI_SUBSYSTEM)))
        bp_monitor_printf(mon, "      PCI subsystem %04x:%04x\n",
                          pci_get16(c + PCI_SUBSYSTEM_VENDOR), pci_get16(c + PCI_SUBSYSTEM));
    if (c[PCI_INTERRUPT_PIN])
        bp_monitor_printf(mon, "      IRQ %u, pin %c\n", c[PCI_INTERRUPT_LINE],
                          'A' + c[PCI_INTERRUPT_PIN] - 1);
    if (fn->secondary)
        print_bridge(mon, fn);
    for (unsigned n = 0; n < PCI_BARS; n++) {
        if (fn->bar[n].region)
            print_bar(mon, fn, n);
    }
    if (fn->rom.region)
        print_bar(mon, fn, PCI_BARS);
    bp_monitor_printf(mon, "      id \"%s\"\n", id ? id : "");
    if (fn->secondary)
        print_bus(mon, bp_bus_level(fn->secondary, &pci_class));
}

static void print_bus(struct bp_monitor *mon, const struct pci_bus *bus)
{
    for (int i = 0; i < 256; i++) {
        if (bus->fn[i])
            print_function(mon, bus, bus->fn[i]);
    }
}

static void info_pci(struct bp_monitor *mon, struct bp_value *args)
{
    struct pci_bus *bus;

    (void)args;
    if (!root_bus(&bus))
        bp_monitor_printf(mon, "The machine has no PCI bus\n");
    else
        print_bus(mon, bus);
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
static const struct bp_field range_members[] = {
    BP_ARG("base", INT64, "first address"), BP_ARG("limit", INT64, "last address"), BP_FIELDS_END};
static const struct bp_schema range_schema = {.name = "PciMemoryRange", .kind = BP_KIND_STRUCT,
                                              .members = range_members};
static const struct bp_field bus_info_members[] = {
    BP_ARG("number", INT64, "number of the primary bus"),
    BP_ARG("secondary", INT64, "number of the bus behind the bridge"),
    BP_ARG("subordinate", INT64, "highest number behind the bridge"),
    BP_ARG_TYPED("io_range", STRUCT, &range_schema, 0, "ports that it forwards"),
    BP_ARG_TYPED("memory_range", STRUCT, &range_schema, 0, "memory that it forwards"),
    BP_ARG_TYPED("prefetchable_range", STRUCT, &range_schema, 0, "prefetchable memory likewise"),
    BP_FIELDS_END,
};
static const struct bp_schema bus_info_schema = {.name = "PciBusInfo", .kind = BP_KIND_STRUCT,
                                                 .members = bus_info_members};
static const struct bp_schema devices_schema;
static const struct bp_field bridge_members[] = {
    BP_ARG_TYPED("bus", STRUCT, &bus_info_schema, 0, "numbers and windows"),
    BP_ARG_TYPED("devices", LIST, &devices_schema, BP_FIELD_OPTIONAL, "functions behind it"),
    BP_FIELDS_END,
};
static const struct bp_schema bridge_schema = {.name = "PciBridgeInfo", .kind = BP_KIND_STRUCT,
                                               .members = bridge_members};
static const struct bp_field device_members[] = {
    BP_ARG("bus", INT64, "bus number"),
    BP_ARG("slot", INT64, "slot"),
    BP_ARG("function", INT64, "function"),
    BP_ARG_TYPED("class_info", STRUCT, &class_schema, 0, "class"),
    BP_ARG_TYPED("id", STRUCT, &id_schema, 0, "identification"),
    BP_ARG_OPT("irq", INT64, "interrupt line register"),
    BP_ARG("irq_pin", INT64, "interrupt pin, 0 for none"),
    BP_ARG("qdev_id", STRING, "id of the device, or empty"),
    BP_ARG_TYPED("pci_bridge", STRUCT, &bridge_schema, BP_FIELD_OPTIONAL, "of a bridge"),
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

static struct bp_value *describe_bar(const struct pci_fn *fn, unsigned n)
{
    const struct pci_bar *bar = n < PCI_BARS ? &fn->bar[n] : &fn->rom;
    struct bp_value *v = bp_value_dict();
    uint64_t at;
    bool mapped = place(fn, n, &at);

    bp_value_set(v, "bar", bp_value_int(n));
    bp_value_set(v, "type", bp_value_string(bar->flags & BP_PCI_BAR_IO ? "io" : "memory"));
    bp_value_set(v, "address", bp_value_int(mapped ? (int64_t)at : -1));
    bp_value_set(v, "size", bp_value_int((int64_t)bar->size));
    if (!(bar->flags & BP_PCI_BAR_IO)) {
        bp_value_set(v, "prefetch", bp_value_bool(bar->flags & BP_PCI_BAR_PREFETCH));
        bp_value_set(v, "mem_type_64", bp_value_bool(bar->flags & BP_PCI_BAR_MEM64));
    }
    return v;
}

static struct bp_value *describe_bars(const struct pci_fn *fn)
{
    struct bp_value *list = bp_value_list();

    for (unsigned n = 0; n < PCI_BARS; n++) {
        if (fn->bar[n].region)
            bp_value_append(list, describe_bar(fn, n));
    }
    if (fn->rom.region)
        bp_value_append(list, describe_bar(fn, PCI_BARS));
    return list;
}

static struct bp_value *describe_bus(const struct pci_bus *bus);

/* A window that is closed has its base above its limit, as in the registers. */
static struct bp_value *describe_range(const struct pci_fn *fn, unsigned window)
{
    struct bp_value *v = bp_value_dict();
    uint64_t base = 0xfff00000, limit = 0xfffff;

    pci_window_range(fn, window, &base, &limit);
    bp_value_set(v, "base", bp_value_int((int64_t)base));
    bp_value_set(v, "limit", bp_value_int((int64_t)limit));
    return v;
}

static struct bp_value *describe_bridge(const struct pci_fn *fn)
{
    struct bp_value *v = bp_value_dict(), *bus = bp_value_dict();

    bp_value_set(bus, "number", bp_value_int(fn->config[PCI_PRIMARY]));
    bp_value_set(bus, "secondary", bp_value_int(fn->config[PCI_SECONDARY]));
    bp_value_set(bus, "subordinate", bp_value_int(fn->config[PCI_SUBORDINATE]));
    for (size_t i = 0; i < BP_COUNT(ranges); i++)
        bp_value_set(bus, ranges[i].member, describe_range(fn, ranges[i].window));
    bp_value_set(v, "bus", bus);
    bp_value_set(v, "devices", describe_bus(bp_bus_level(fn->secondary, &pci_class)));
    return v;
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
    if (fn->secondary)
        bp_value_set(v, "pci_bridge", describe_bridge(fn));
    bp_value_set(v, "regions", describe_bars(fn));
    return v;
}

static struct bp_value *describe_bus(const struct pci_bus *bus)
{
    struct bp_value *list = bp_value_list();

    for (int i = 0; i < 256; i++) {
        if (bus->fn[i])
            bp_value_append(list, describe_function(bus, bus->fn[i]));
    }
    return list;
}

static int query_pci(struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_value *list = bp_value_list(), *entry;
    struct pci_bus *bus;

    (void)err;
    if (root_bus(&bus)) {
        entry = bp_value_dict();
        bp_value_set(entry, "bus", bp_value_int(pci_bus_number(bus)));
        bp_value_set(entry, "devices", describe_bus(bus));
        bp_value_append(list, entry);
    }
    *ret_value = list;
    return 0;
}
BP_COMMAND(pci_query_command, "query-pci", "Lists the PCI functions of the machine", NULL, LIST,
           &buses_schema, query_pci, 0);
