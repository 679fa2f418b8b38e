// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Virtio over MMIO (Virtual I/O Device 1.2, 4.2), version 2 and the legacy version 1: a slot that a board
 * makes, with a bus for one device. Its registers hold the machine lock; notifications of queues don't. A
 * slot without device answers with device id 0.
 */
#include <errno.h>
#include <string.h>

#include <bp/host/virtio.h>
#include <bp/irq.h>
#include <bp/log.h>
#include <bp/loop.h>

#include "engine.h"
#include "mmio.h"

enum { /* 4.2.2, 4.2.4 */
    MAGIC = 0x000,
    VERSION = 0x004,
    DEVICE_ID = 0x008,
    VENDOR_ID = 0x00c,
    DEVICE_FEATURES = 0x010,
    DEVICE_FEATURES_SEL = 0x014,
    DRIVER_FEATURES = 0x020,
    DRIVER_FEATURES_SEL = 0x024,
    GUEST_PAGE_SIZE = 0x028, /* legacy */
    QUEUE_SEL = 0x030,
    QUEUE_NUM_MAX = 0x034,
    QUEUE_NUM = 0x038,
    QUEUE_ALIGN = 0x03c, /* legacy */
    QUEUE_PFN = 0x040,   /* legacy */
    QUEUE_READY = 0x044,
    QUEUE_NOTIFY = 0x050,
    INTERRUPT_STATUS = 0x060,
    INTERRUPT_ACK = 0x064,
    STATUS = 0x070,
    QUEUE_DESC = 0x080,
    QUEUE_DRIVER = 0x090,
    QUEUE_DEVICE = 0x0a0,
    SHM_LEN = 0x0b0,
    SHM_BASE = 0x0b8,
    QUEUE_RESET = 0x0c0,
    CONFIG_GENERATION = 0x0fc,
    CONFIG = 0x100,
    SIZE = 0x200,
};
#define MAGIC_VALUE 0x74726976u
#define VENDOR_VALUE 0x554d4551u /* what guests' logs of such slots always said */

extern const struct virtio_transport_interface virtio_transport_table;
static const struct virtio_transport_interface *const core = &virtio_transport_table;

struct slot {
    struct bp_device *dev, *child;
    struct bp_virtio *virtio; /* NULL: the slot is empty */
    uint64_t base;
    bool legacy, ioeventfd;
    struct bp_region *region;
    struct bp_deferred *drive;
    uint32_t device_select, driver_select, queue_select, page_size, align;
    uint32_t isr; /* atomic */
};

static struct bp_virtq *selected(const struct slot *s)
{
    return core->queue(s->virtio, s->queue_select);
}

/* ---- interrupts ---- */
static void drive_line(void *opaque)
{
    struct slot *s = opaque;

    bp_irq_set(bp_device_irq_output(s->dev, "irq", 0), __atomic_load_n(&s->isr, __ATOMIC_SEQ_CST) != 0);
}

static struct bp_space *dma(void *opaque)
{
    return bp_device_memory(((struct slot *)opaque)->dev);
}

static void interrupt(void *opaque, struct bp_virtq *queue)
{
    struct slot *s = opaque;
    uint32_t bit = queue ? 1 : 2;

    if (!(__atomic_fetch_or(&s->isr, bit, __ATOMIC_SEQ_CST) & bit))
        bp_deferred_schedule(s->drive);
}

/* Of the device, by its status register. The page size stays: drivers say it when they find the slot, before that. */
static void reset(void *opaque)
{
    struct slot *s = opaque;

    s->device_select = s->driver_select = s->queue_select = 0;
    s->align = 4096;
    if (__atomic_exchange_n(&s->isr, 0, __ATOMIC_SEQ_CST))
        bp_deferred_schedule(s->drive);
}

/* ---- registers ---- */
static uint32_t half(uint64_t features, uint32_t select)
{
    return select > 1 ? 0 : (uint32_t)(features >> 32 * select);
}

static uint32_t queue_register(const struct slot *s, uint64_t addr)
{
    struct bp_virtq *q = selected(s);

    if (!q)
        return 0;
    switch (addr) {
    case QUEUE_NUM_MAX:
        return core->queue_max(q);
    case QUEUE_READY:
        return !s->legacy && core->queue_enabled(q);
    case QUEUE_PFN:
        return s->legacy && core->queue_enabled(q) && s->page_size
                   ? (uint32_t)(core->queue_setup(q).desc / s->page_size) : 0;
    case QUEUE_RESET:
        return !s->legacy && core->queue_resetting(q);
    default:
        return 0;
    }
}

static uint32_t device_register(struct slot *s, uint64_t addr)
{
    switch (addr) {
    case DEVICE_FEATURES:
        return half(core->offered(s->virtio), s->legacy ? s->device_select & 1 : s->device_select);
    case INTERRUPT_STATUS:
        return __atomic_load_n(&s->isr, __ATOMIC_SEQ_CST);
    case STATUS:
        return core->status(s->virtio);
    case CONFIG_GENERATION:
        return s->legacy ? 0 : core->generation(s->virtio);
    case SHM_LEN:
    case SHM_LEN + 4:
    case SHM_BASE:
    case SHM_BASE + 4:
        return UINT32_MAX; /* no such region */
    default:
        return queue_register(s, addr);
    }
}

static uint64_t slot_read(void *opaque, uint64_t addr, unsigned size)
{
    struct slot *s = opaque;
    uint64_t value = 0;

    if (addr >= CONFIG) {
        if (!s->virtio)
            return 0;
        bp_device_lock(s->child);
        value = core->config_read(s->virtio, (unsigned)addr - CONFIG, size);
        bp_device_unlock(s->child);
        return value;
    }
    if (size != 4) {
        bp_guest_error("virtio-mmio-width", "virtio-mmio: a read of %u bytes of a register", size);
        return 0;
    }
    switch (addr) {
    case MAGIC:
        return MAGIC_VALUE;
    case VERSION:
        return s->legacy ? 1 : 2;
    case VENDOR_ID:
        return VENDOR_VALUE;
    case DEVICE_ID:
        return s->virtio ? core->class(s->virtio)->id : 0;
    default:
        break;
    }
    if (!s->virtio)
        return 0;
    bp_device_lock(s->child);
    value = device_register(s, addr);
    bp_device_unlock(s->child);
    return value;
}

static void set_features(struct slot *s, uint32_t value)
{
    uint64_t f = core->driver_features(s->virtio), mask = 0xffffffffull << 32 * (s->driver_select & 1);

    if (s->driver_select == 0 || (s->driver_select == 1 && !s->legacy))
        core->set_driver_features(s->virtio, (f & ~mask) | (uint64_t)value << 32 * s->driver_select);
}

static void set_pfn(struct slot *s, struct bp_virtq *q, uint32_t pfn)
{
    struct virtio_queue_setup setup = core->queue_setup(q);
    uint64_t align = s->align;

    core->disable(q);
    if (pfn == 0)
        return;
    if (setup.size == 0)
        setup.size = core->queue_max(q);
    setup.desc = (uint64_t)pfn * s->page_size;
    setup.driver = setup.desc + 16u * setup.size;
    setup.device = (setup.driver + 6u + 2u * setup.size + align - 1) & ~(align - 1);
    core->set_queue(q, &setup);
    core->enable(q, true);
}

static void set_half(uint64_t *to, uint64_t offset, uint32_t value)
{
    *to = offset ? (*to & 0xffffffffull) | (uint64_t)value << 32 : (*to & ~0xffffffffull) | value;
}

static void write_modern_queue(struct slot *s, struct bp_virtq *q, uint64_t addr, uint32_t value)
{
    struct virtio_queue_setup setup = core->queue_setup(q);

    switch (addr) {
    case QUEUE_READY:
        if (value == 1)
            core->enable(q, false);
        else if (value == 0)
            core->disable(q);
        return;
    case QUEUE_RESET:
        if (value == 1 && (core->driver_features(s->virtio) & BP_VIRTIO_BIT(BP_VIRTIO_RING_RESET)))
            core->disable(q);
        return;
    case QUEUE_DESC:
    case QUEUE_DESC + 4:
        set_half(&setup.desc, addr & 4, value);
        break;
    case QUEUE_DRIVER:
    case QUEUE_DRIVER + 4:
        set_half(&setup.driver, addr & 4, value);
        break;
    case QUEUE_DEVICE:
    case QUEUE_DEVICE + 4:
        set_half(&setup.device, addr & 4, value);
        break;
    default:
        return;
    }
    core->set_queue(q, &setup);
}

static void write_queue(struct slot *s, uint64_t addr, uint32_t value)
{
    struct bp_virtq *q = selected(s);
    struct virtio_queue_setup setup;

    if (!q)
        return;
    if (addr == QUEUE_NUM) {
        setup = core->queue_setup(q);
        setup.size = value > UINT16_MAX ? 0 : (uint16_t)value;
        core->set_queue(q, &setup);
    } else if (!s->legacy) {
        write_modern_queue(s, q, addr, value);
    } else if (addr == QUEUE_PFN) {
        set_pfn(s, q, value);
    }
}

static void notify(struct slot *s, uint32_t value)
{
    struct bp_virtq *q;

    /* With NOTIFICATION_DATA the upper half says how far the driver is. */
    if (core->driver_features(s->virtio) & BP_VIRTIO_BIT(BP_VIRTIO_NOTIFICATION_DATA))
        value &= 0xffff;
    q = core->queue(s->virtio, value);
    if (q)
        core->ring(q);
}

static void device_write(struct slot *s, uint64_t addr, uint32_t value)
{
    switch (addr) {
    case DEVICE_FEATURES_SEL:
        s->device_select = value;
        break;
    case DRIVER_FEATURES:
        set_features(s, value);
        break;
    case DRIVER_FEATURES_SEL:
        s->driver_select = value;
        break;
    case GUEST_PAGE_SIZE:
        if (s->legacy && value && !(value & (value - 1)))
            s->page_size = value;
        break;
    case QUEUE_ALIGN:
        if (s->legacy && value && !(value & (value - 1)))
            s->align = value;
        break;
    case QUEUE_SEL:
        s->queue_select = value;
        break;
    case QUEUE_NOTIFY:
        notify(s, value);
        break;
    case INTERRUPT_ACK:
        __atomic_fetch_and(&s->isr, ~value, __ATOMIC_SEQ_CST);
        drive_line(s);
        break;
    case STATUS:
        core->set_status(s->virtio, (uint8_t)value, s->legacy);
        break;
    default:
        write_queue(s, addr, value);
        break;
    }
}

static void slot_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct slot *s = opaque;

    if (!s->virtio)
        return;
    if (addr < CONFIG && size != 4) {
        bp_guest_error("virtio-mmio-width", "virtio-mmio: a write of %u bytes to a register", size);
        return;
    }
    bp_device_lock(s->child);
    if (addr >= CONFIG)
        core->config_write(s->virtio, (unsigned)addr - CONFIG, size, value);
    else
        device_write(s, addr, (uint32_t)value);
    bp_device_unlock(s->child);
}

static const struct bp_region_ops slot_ops = {.size = sizeof(slot_ops), .read = slot_read, .write = slot_write,
                                              .max_access = 4};

/* ---- the bus ---- */
static struct slot *slot_of(struct bp_bus *bus)
{
    return bp_device_state(bp_bus_bridge(bus));
}

static int add_bells(struct slot *s, struct bp_virtio *v, struct bp_error *err)
{
    struct bp_virtq *q;
    int ret = 0;

    for (unsigned i = 0; ret == 0 && s->ioeventfd && (q = core->queue(v, i)); i++)
        ret = core->bell(q, s->region, QUEUE_NOTIFY, 4, true, err);
    return ret;
}

static void child_attached(struct bp_bus *bus, struct bp_device *child)
{
    struct slot *s = slot_of(bus);
    struct bp_virtio *v = core->of(child);
    const struct virtio_transport ops = {
        .size = sizeof(ops), .legacy_only = s->legacy, .modern_only = !s->legacy,
        .dma = dma, .interrupt = interrupt, .reset = reset};

    if (!v)
        return;
    core->bind(v, &ops, s);
    s->child = child;
    s->virtio = v;
    (void)add_bells(s, v, NULL); /* without: the register's write does it */
}

static void child_detach(struct bp_bus *bus, struct bp_device *child)
{
    struct slot *s = slot_of(bus);

    (void)child;
    if (s->virtio)
        core->unbind(s->virtio);
    s->virtio = NULL;
    s->child = NULL;
    __atomic_store_n(&s->isr, 0, __ATOMIC_SEQ_CST);
    drive_line(s);
}

struct bus_state {
    char none;
};
BP_NOTE("provides=bus:virtio-bus;summary=Place of one virtio device");
const struct bp_bus_class virtio_bus = {
    .type = {.size = sizeof(struct bp_bus_class), .name = "virtio-bus", .summary = "Place of one virtio device",
             .state_size = sizeof(struct bus_state)},
    .max_children = 1, .child_attached = child_attached, .child_detach = child_detach};

/* ---- the slot ---- */
static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct slot *s = bp_device_state(dev);
    struct bp_bus *bus;

    s->dev = dev;
    s->align = 4096;
    s->region = bp_region_new_io(bp_device_owner(dev), "virtio-mmio", SIZE, &slot_ops, s);
    bp_region_add(bp_space_root(bp_device_memory(dev)), s->region, s->base, 0);
    bp_device_add_irq_outputs(dev, "irq", 1);
    s->drive = bp_deferred_new(bp_device_owner(dev), NULL, drive_line, s);
    return bp_bus_new(dev, "virtio-bus", NULL, &bus, err);
}

static void slot_reset(struct bp_device *dev)
{
    struct slot *s = bp_device_state(dev);

    reset(s);
    s->page_size = 0;
    bp_irq_set(bp_device_irq_output(dev, "irq", 0), 0);
}

static int loaded(void *state, struct bp_error *err)
{
    (void)err;
    drive_line(state);
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE(UINT32, struct slot, device_select), BP_SAVE(UINT32, struct slot, driver_select),
    BP_SAVE(UINT32, struct slot, queue_select), BP_SAVE(UINT32, struct slot, page_size),
    BP_SAVE_RANGE(UINT32, struct slot, align, 1, 1u << 31), BP_SAVE_RANGE(UINT32, struct slot, isr, 0, 3), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .loaded = loaded,
                                            .loaded_order = BP_STATE_ORDER_LINES};

static const struct bp_field props[] = {
    BP_PROP("base", UINT64, struct slot, base, "0xfeb00000", "address of the registers"),
    BP_PROP("force-legacy", BOOL, struct slot, legacy, "on", "shows the legacy interface, version 1"),
    BP_PROP("ioeventfd", BOOL, struct slot, ioeventfd, "on", "notifications take no lock"),
    BP_FIELDS_END,
};

BP_NOTE("provides=device:virtio-mmio;bus=system;user=no;summary=Slot for a virtio device on MMIO");
const struct bp_device_class virtio_mmio = {
    .type = {.size = sizeof(struct bp_device_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = "virtio-mmio",
             .summary = "Slot for a virtio device on MMIO", .state_size = sizeof(struct slot), .props = props,
             .state = &table},
    .bus = "system", .category = "misc", .attach = attach, .reset = slot_reset};
