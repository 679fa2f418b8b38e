/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bus between local APICs (device "apic-bus"), the register page and the decoder of messages in
 * the memory map, interface apic/1 and the module.
 *
 * Each processor sees its own registers at the same address; whoever is no processor (a debugger,
 * qtest) sees the first one's. Around the page, which software may move, is the decoder of messages
 * (SDM 11.11.1: 0xfee00000-0xfeefffff). Both work without the machine lock.
 */
#include "apic.h"

#include <errno.h>

static struct lapic *seen_by_this_thread(const struct apic_bus *bus)
{
    struct bp_cpu *cpu = bp_cpu_current();

    return cpu ? ((struct bp_x86_cpu *)bp_cpu_state(cpu))->apic_opaque : apic_member(bus, 0);
}

static bool has_page(const struct lapic *s)
{
    return s && (LAPIC_GET(s->base) & (BASE_ENABLE | BASE_X2APIC)) == BASE_ENABLE;
}

static uint64_t page_read(void *opaque, uint64_t addr, unsigned size)
{
    struct lapic *s = seen_by_this_thread(opaque);
    uint64_t value = 0;

    (void)size;
    if ((addr & 0xf) || !has_page(s))
        return addr & 0xf ? 0 : 0xffffffffu;
    lapic_read_reg(s, (unsigned)(addr >> 4), &value);
    return value;
}

static void page_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct apic_bus *bus = opaque;
    struct lapic *first = apic_member(bus, 0), *s;

    (void)size;
    /*
     * A message to processor 0 has the page's address. No register is at 0x00-0x0f, so that this
     * tells them apart, also when a processor's own access makes a device send at once.
     */
    if (addr < 0x10 && first && (LAPIC_GET(first->base) & ~0xfffull) == APIC_DEFAULT_BASE) {
        apic_msi(bus, APIC_DEFAULT_BASE + addr, (uint32_t)value);
        return;
    }
    s = seen_by_this_thread(bus);
    if (!(addr & 0xf) && has_page(s))
        lapic_write_reg(s, (unsigned)(addr >> 4), (uint32_t)value);
}

static const struct bp_region_ops page_ops = {
    .size = sizeof(page_ops), .read = page_read, .write = page_write, .min_access = 4,
    .max_access = 4, .parallel = BP_PARALLEL_LEAF};

static uint64_t message_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)opaque, (void)addr, (void)size;
    return 0xffffffffu;
}

static void message_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)size;
    apic_msi(opaque, APIC_DEFAULT_BASE + addr, (uint32_t)value);
}

static const struct bp_region_ops message_ops = {
    .size = sizeof(message_ops), .read = message_read, .write = message_write, .min_access = 4,
    .max_access = 4, .parallel = BP_PARALLEL_LEAF};

/* ---- device ---- */

static int bus_attach(struct bp_device *dev, struct bp_error *err)
{
    struct apic_bus *bus = bp_device_state(dev);
    struct bp_region *root = bp_space_root(bp_device_memory(dev));

    (void)err;
    bus->dev = dev;
    bus->page = bp_region_new_io(bp_device_owner(dev), "apic", 0x1000, &page_ops, bus);
    bp_region_add(root, bp_region_new_io(bp_device_owner(dev), "apic-msi", 0x100000, &message_ops, bus),
                  APIC_DEFAULT_BASE, 0x1000);
    bp_region_add(root, bus->page, APIC_DEFAULT_BASE, 0x1001);
    return 0;
}

BP_BOARD_DEVICE(bus_class, "apic-bus", "system", "Messages between local APICs", struct apic_bus, NULL, NULL,
                .category = "misc", .attach = bus_attach);

/* ---- interface ---- */

static int new_bus(struct bp_machine *machine, struct bp_device **ret_bus, struct bp_error *err)
{
    struct bp_device *dev;
    int r = bp_device_new(machine, "apic-bus", NULL, &dev, err);

    if (r == 0)
        r = bp_device_attach(dev, NULL, err);
    if (r == 0)
        *ret_bus = dev;
    return r;
}

static int attach_to_cpu(struct bp_device *bus_dev, struct bp_cpu *cpu, struct bp_device **ret_apic,
                         struct bp_error *err)
{
    struct bp_x86_cpu *x = bp_cpu_state(cpu);
    struct apic_bus *bus = bp_device_state(bus_dev);
    struct bp_device *dev;
    struct lapic *s;
    unsigned n = 0;
    int r;

    while (n < APIC_MAX && bus->member[n])
        n++;
    if (n == APIC_MAX)
        return bp_fail(err, ENOSPC, "apic: at most %u processors are possible", APIC_MAX);
    r = bp_device_new(bp_cpu_machine(cpu), x->lapic ? "kvm-apic" : "apic", NULL, &dev, err);
    if (r < 0)
        return r;
    s = lapic_of(dev);
    s->cpu = x;
    s->bus = bus;
    r = bp_device_attach(dev, NULL, err);
    if (r < 0)
        return r;
    __atomic_store_n(&bus->member[n], s, __ATOMIC_RELEASE);
    if (n >= bus->members)
        __atomic_store_n(&bus->members, n + 1, __ATOMIC_RELEASE);
    *ret_apic = dev;
    return 0;
}

static void detach_from_cpu(struct bp_device *bus_dev, struct bp_cpu *cpu)
{
    struct lapic *s = ((struct bp_x86_cpu *)bp_cpu_state(cpu))->apic_opaque;

    (void)bus_dev;
    if (s)
        bp_device_destroy(s->dev);
}

static void virtual_wire(struct bp_device *dev)
{
    struct lapic *s = lapic_of(dev);

    lapic_write_reg(s, REG_SVR, SVR_ENABLE | 0xf);
    lapic_write_reg(s, REG_LVT_TIMER + LVT_LINT0 - LVT_TIMER, DELIVER_EXTINT << 8);
    lapic_write_reg(s, REG_LVT_TIMER + LVT_LINT1 - LVT_TIMER, DELIVER_NMI << 8);
}

static int on_eoi(struct bp_device *dev, void (*fn)(void *opaque, uint8_t vector), void *opaque,
                  struct bp_error *err)
{
    struct apic_bus *bus = bp_device_state(dev);

    for (unsigned i = 0; i < BP_COUNT(bus->eoi); i++) {
        if (!bus->eoi[i].fn) {
            bus->eoi[i] = (struct eoi_listener){fn, opaque};
            return 0;
        }
    }
    return bp_fail(err, ENOSPC, "apic: more than %zu I/O APICs", BP_COUNT(bus->eoi));
}

static void set_extint(struct bp_device *dev, int (*acknowledge)(void *opaque), void *opaque)
{
    struct apic_bus *bus = bp_device_state(dev);

    bus->extint = acknowledge;
    bus->extint_opaque = opaque;
}

static void set_remapper(struct bp_device *dev,
                         bool (*fn)(void *opaque, uint64_t entry, struct bp_apic_message *message), void *opaque)
{
    struct apic_bus *bus = bp_device_state(dev);

    bus->remapper = fn;
    bus->remapper_opaque = opaque;
}

static bool remap(struct bp_device *dev, uint64_t entry, struct bp_apic_message *message)
{
    struct apic_bus *bus = bp_device_state(dev);

    return !bus->remapper || bus->remapper(bus->remapper_opaque, entry, message);
}

static bool has_remapper(struct bp_device *dev)
{
    return ((struct apic_bus *)bp_device_state(dev))->remapper != NULL;
}

static void pin(struct bp_device *dev, unsigned number, const struct bp_apic_message *message)
{
    apic_pin(bp_device_state(dev), number, message);
}

static void deliver(struct bp_device *dev, uint32_t dest, bool logical, unsigned delivery, uint8_t vector,
                    bool level)
{
    apic_deliver(bp_device_state(dev), &(struct bp_apic_message){
                     .dest = dest, .logical = logical, .level = level, .delivery = (uint8_t)delivery,
                     .vector = vector});
}

static void send(struct bp_device *dev, const struct bp_apic_message *message)
{
    apic_deliver(bp_device_state(dev), message);
}

static void msi(struct bp_device *dev, uint64_t address, uint32_t data)
{
    apic_msi(bp_device_state(dev), address, data);
}

static const struct bp_apic_interface apic_table = {
    .size = sizeof(struct bp_apic_interface), .new_bus = new_bus, .attach = attach_to_cpu,
    .virtual_wire = virtual_wire, .deliver = deliver, .msi = msi, .on_eoi = on_eoi,
    .set_extint = set_extint, .set_remapper = set_remapper, .remap = remap, .has_remapper = has_remapper, .pin = pin,
    .detach = detach_from_cpu, .send = send,
};
BP_INTERFACE(apic_interface, "apic", 1, 4, &apic_table);

BP_HMP(info_lapic_command, "info lapic", "[index]", "show a local APIC's registers", lapic_info_args,
       lapic_info);

BP_MODULE("hw-apic", "Local APIC", BP_NO_IMPORTS, {BP_PROVIDE_DEVICE, &bus_class},
          {BP_PROVIDE_DEVICE, &lapic_class}, {BP_PROVIDE_DEVICE, &kvm_lapic_class},
          {BP_PROVIDE_INTERFACE, &apic_interface},
          {BP_PROVIDE_HMP, &info_lapic_command});
