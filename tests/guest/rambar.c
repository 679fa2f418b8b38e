/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A PCI device to be plugged, moved between contexts and unplugged under running processors. BAR 0 is RAM.
 * BAR 1 has ports: a register at 0, a doorbell at 4, one that keeps its value at 8. It works under its
 * own lock, in the I/O thread that it is given. What must not be ends the program: two of its callbacks at
 * once, one after detach().
 */
#include <bp/bus/pci.h>
#include <bp/clock.h>
#include <bp/doorbell.h>
#include <bp/loop.h>
#include <bp/memory.h>
#include <bp/ram.h>

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

struct rambar {
    struct bp_object *iothread;
    struct bp_timer *timer;
    struct bp_doorbell *event, *value;
    uint64_t writes, rings, values, fires;
    uint32_t inside, gone;
    bool named;
};
BP_USE(pci, struct bp_pci_interface, "pci", 1);
static const struct bp_pci_info info = {
    .size = sizeof(info), .vendor = 0x1b36, .device = 0x1234, .class_code = 0x0500};

static void count(struct rambar *s, uint64_t *what)
{
    if (__atomic_fetch_add(&s->inside, 1, __ATOMIC_SEQ_CST) || __atomic_load_n(&s->gone, __ATOMIC_SEQ_CST))
        __builtin_trap();
    ++*what;
    __atomic_fetch_sub(&s->inside, 1, __ATOMIC_SEQ_CST);
}

static void write_register(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct rambar *s = opaque;

    (void)addr, (void)value, (void)size;
    count(s, &s->writes);
}

static void rung(void *opaque)
{
    struct rambar *s = opaque;

    count(s, &s->rings);
}

static void valued(void *opaque)
{
    struct rambar *s = opaque;
    uint64_t value;

    if (bp_doorbell_take(s->value, &value))
        count(s, &s->values);
}

static void fire(void *opaque)
{
    struct rambar *s = opaque;

    count(s, &s->fires);
    bp_timer_set(s->timer, bp_timer_now(s->timer) + 200000);
}

static const struct bp_region_ops ops = {.size = sizeof(ops), .write = write_register};

/* Its memory; `named`: in a file, whose name ThreadSanitizer shows in reports. */
static int make_ram(struct rambar *s, struct bp_owner *owner, struct bp_region **ret_ram, struct bp_error *err)
{
    struct bp_ram_options options = {.size = sizeof(options), .length = 1 << 20};
    int ret;

    if (!s->named)
        return bp_region_new_ram(owner, "rambar", options.length, ret_ram, err);
    options.flags = BP_RAM_FD | BP_RAM_SHARED;
    options.fd = memfd_create("rambar", MFD_CLOEXEC);
    if (options.fd < 0 || ftruncate(options.fd, (off_t)options.length) < 0)
        return bp_fail(err, -errno, "no file for the memory of test-rambar");
    ret = bp_region_new_ram_with(owner, "rambar", &options, ret_ram, err);
    close(options.fd);
    return ret;
}

static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct rambar *s = bp_device_state(dev);
    struct bp_owner *owner = bp_device_owner(dev);
    const struct bp_doorbell_match event = {.size = sizeof(event), .offset = 4},
                                   value = {.size = sizeof(value), .offset = 8,
                                            .flags = BP_DOORBELL_KEEP_VALUE};
    struct bp_region *ram, *ports = bp_region_new_io(owner, "rambar-ports", 32, &ops, s);
    int ret = make_ram(s, owner, &ram, err);

    if (ret == 0)
        ret = pci->add_bar(dev, 0, BP_PCI_BAR_MEM32, ram, err);
    if (ret == 0)
        ret = pci->add_bar(dev, 1, BP_PCI_BAR_IO, ports, err);
    if (ret == 0)
        ret = bp_doorbell_new(owner, NULL, ports, &event, rung, s, &s->event, err);
    if (ret == 0)
        ret = bp_doorbell_new(owner, NULL, ports, &value, valued, s, &s->value, err);
    if (ret < 0)
        return ret;
    s->timer = bp_timer_new(owner, NULL, BP_CLOCK_VIRTUAL, fire, s);
    bp_timer_set(s->timer, bp_timer_now(s->timer) + 200000);
    return 0;
}

static void detach(struct bp_device *dev)
{
    struct rambar *s = bp_device_state(dev);

    __atomic_store_n(&s->gone, 1, __ATOMIC_SEQ_CST);
}

#define COUNTER(FIELD) \
    { .name = #FIELD, .kind = BP_KIND_UINT64, .flags = BP_FIELD_READ_ONLY, \
      .offset = offsetof(struct rambar, FIELD), .help = "how often that was" }
static const struct bp_field props[] = {
    BP_PROP_IOTHREAD("iothread", struct rambar, iothread), COUNTER(writes), COUNTER(rings), COUNTER(values),
    COUNTER(fires), BP_PROP("named", BOOL, struct rambar, named, "false", "its memory lies in a file"),
    BP_FIELDS_END,
};

BP_HOTPLUG_DEVICE(rambar, "test-rambar", "pci", "RAM and doorbells behind BARs", struct rambar, props, NULL,
                  .attach = attach, .detach = detach, .bus_info = &info, .threads = BP_THREADS_OWN);
static const struct bp_import imports[] = {BP_IMPORT(pci, "pci", 1), {0}};
BP_MODULE("test-rambar", "RAM and doorbells behind BARs", imports, {BP_PROVIDE_DEVICE, &rambar});
