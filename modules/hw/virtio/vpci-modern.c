// SPDX-License-Identifier: LGPL-2.1-or-later
/* The modern interface (Virtual I/O Device 1.2, 4.1.4): capabilities that say where registers are, and those. */
#include <errno.h>
#include <string.h>

#include <bp/log.h>

#include "vpci.h"

#define CAP_VENDOR 9u
#define CAP_SIZE 16u
#define CAP_NOTIFY_SIZE 20u
#define MIN_NOTIFY_QUEUES 1024u

enum { CFG_COMMON = 1, CFG_NOTIFY, CFG_ISR, CFG_DEVICE };

enum { /* common configuration, 4.1.4.3 */
    DEVICE_FEATURE_SELECT = 0,
    DEVICE_FEATURE = 4,
    DRIVER_FEATURE_SELECT = 8,
    DRIVER_FEATURE = 12,
    CONFIG_VECTOR = 16,
    NUM_QUEUES = 18,
    DEVICE_STATUS = 20,
    CONFIG_GENERATION = 21,
    QUEUE_SELECT = 22,
    QUEUE_SIZE = 24,
    QUEUE_VECTOR = 26,
    QUEUE_ENABLE = 28,
    QUEUE_NOTIFY_OFF = 30,
    QUEUE_DESC = 32,
    QUEUE_DRIVER = 40,
    QUEUE_DEVICE = 48,
    QUEUE_NOTIFY_DATA = 56,
    QUEUE_RESET = 58,
};

static void put(uint8_t *to, unsigned width, uint64_t value)
{
    for (unsigned i = 0; i < width; i++, value >>= 8)
        to[i] = (uint8_t)value;
}

static uint32_t half(uint64_t features, uint32_t select)
{
    return select > 1 ? 0 : (uint32_t)(features >> 32 * select);
}

static void show_queue(struct vpci *s, uint8_t *c)
{
    struct bp_virtq *q = vpci_queue(s, s->queue_select);
    struct virtio_queue_setup setup;

    if (!q) {
        put(c + QUEUE_VECTOR, 2, NO_VECTOR);
        return;
    }
    setup = vpci_core->queue_setup(q);
    put(c + QUEUE_SIZE, 2, setup.size);
    put(c + QUEUE_VECTOR, 2, s->vector[s->queue_select + 1].n);
    put(c + QUEUE_ENABLE, 2, vpci_core->queue_enabled(q));
    put(c + QUEUE_NOTIFY_OFF, 2, s->queue_select);
    put(c + QUEUE_DESC, 8, setup.desc);
    put(c + QUEUE_DRIVER, 8, setup.driver);
    put(c + QUEUE_DEVICE, 8, setup.device);
    put(c + QUEUE_NOTIFY_DATA, 2, s->queue_select);
    put(c + QUEUE_RESET, 2, vpci_core->queue_resetting(q));
}

static void show(struct vpci *s, uint8_t c[COMMON_SIZE])
{
    memset(c, 0, COMMON_SIZE);
    put(c + DEVICE_FEATURE_SELECT, 4, s->device_select);
    put(c + DEVICE_FEATURE, 4, half(vpci_core->offered(s->virtio), s->device_select));
    put(c + DRIVER_FEATURE_SELECT, 4, s->driver_select);
    put(c + DRIVER_FEATURE, 4, half(vpci_core->driver_features(s->virtio), s->driver_select));
    put(c + CONFIG_VECTOR, 2, s->vector[0].n);
    put(c + NUM_QUEUES, 2, vpci_queues(s));
    put(c + DEVICE_STATUS, 1, vpci_core->status(s->virtio));
    put(c + CONFIG_GENERATION, 1, vpci_core->generation(s->virtio));
    put(c + QUEUE_SELECT, 2, s->queue_select);
    show_queue(s, c);
}

static uint64_t common_read(void *opaque, uint64_t addr, unsigned size)
{
    struct vpci *s = opaque;
    uint8_t c[COMMON_SIZE];
    uint64_t value = 0;

    if (!s->virtio || addr + size > COMMON_SIZE)
        return 0;
    if (addr == DEVICE_STATUS && size == 1)
        return vpci_core->status(s->virtio);
    show(s, c);
    for (unsigned i = size; i-- > 0;)
        value = value << 8 | c[addr + i];
    return value;
}

static void set_features(struct vpci *s, uint32_t value)
{
    uint64_t f = vpci_core->driver_features(s->virtio), mask = 0xffffffffull << 32 * (s->driver_select & 1);

    if (s->driver_select > 1)
        return;
    vpci_core->set_driver_features(s->virtio, (f & ~mask) | (uint64_t)value << 32 * s->driver_select);
}

static void set_half(uint64_t *to, unsigned offset, uint32_t value)
{
    *to = offset ? (*to & 0xffffffffull) | (uint64_t)value << 32 : (*to & ~0xffffffffull) | value;
}

static void write_queue(struct vpci *s, struct bp_virtq *q, uint64_t addr, uint32_t value)
{
    struct virtio_queue_setup setup = vpci_core->queue_setup(q);

    switch (addr) {
    case QUEUE_VECTOR:
        (void)vpci_set_vector(s, s->queue_select + 1u, (uint16_t)value);
        return;
    case QUEUE_ENABLE:
        if (value == 1)
            vpci_core->enable(q, false);
        return;
    case QUEUE_RESET:
        if (value == 1 && (vpci_core->driver_features(s->virtio) & BP_VIRTIO_BIT(BP_VIRTIO_RING_RESET)))
            vpci_core->disable(q);
        return;
    case QUEUE_SIZE:
        setup.size = (uint16_t)value;
        break;
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
    vpci_core->set_queue(q, &setup);
}

static unsigned width_at(uint64_t addr)
{
    switch (addr) {
    case DEVICE_STATUS:
        return 1;
    case CONFIG_VECTOR:
    case QUEUE_SELECT:
    case QUEUE_SIZE:
    case QUEUE_VECTOR:
    case QUEUE_ENABLE:
    case QUEUE_RESET:
        return 2;
    default:
        return 4;
    }
}

static void common_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct vpci *s = opaque;
    struct bp_virtq *q;

    if (!s->virtio)
        return;
    if (size != width_at(addr)) { /* 4.1.3.1 */
        bp_guest_error("virtio-pci-width", "virtio-pci: a write of %u bytes to a field of %u", size,
                       width_at(addr));
        return;
    }
    switch (addr) {
    case DEVICE_FEATURE_SELECT:
        s->device_select = (uint32_t)value;
        break;
    case DRIVER_FEATURE_SELECT:
        s->driver_select = (uint32_t)value;
        break;
    case DRIVER_FEATURE:
        set_features(s, (uint32_t)value);
        break;
    case CONFIG_VECTOR:
        (void)vpci_set_vector(s, 0, (uint16_t)value);
        break;
    case DEVICE_STATUS:
        vpci_core->set_status(s->virtio, (uint8_t)value, false);
        break;
    case QUEUE_SELECT:
        s->queue_select = (uint16_t)value;
        break;
    default:
        q = vpci_queue(s, s->queue_select);
        if (q)
            write_queue(s, q, addr, (uint32_t)value);
        break;
    }
}

static const struct bp_region_ops common_ops = {.size = sizeof(common_ops), .read = common_read,
                                                .write = common_write, .max_access = 4};

static uint64_t config_read(void *opaque, uint64_t addr, unsigned size)
{
    struct vpci *s = opaque;

    return s->virtio ? vpci_core->config_read(s->virtio, (unsigned)addr, size) : 0;
}

static void config_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct vpci *s = opaque;

    if (s->virtio)
        vpci_core->config_write(s->virtio, (unsigned)addr, size, value);
}

static const struct bp_region_ops config_ops = {.size = sizeof(config_ops), .read = config_read,
                                                .write = config_write, .max_access = 4};

/* What no bell takes: other widths, or all of them with ioeventfd=off. */
static uint64_t notify_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)opaque, (void)addr, (void)size;
    return 0;
}

static void notify_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct vpci *s = opaque;
    struct bp_virtq *q = s->virtio ? vpci_queue(s, (unsigned)(addr / s->notify_step)) : NULL;

    (void)value, (void)size;
    if (q)
        vpci_core->ring(q);
}

static const struct bp_region_ops notify_ops = {.size = sizeof(notify_ops), .read = notify_read,
                                                .write = notify_write, .max_access = 4};

/* ---- accesses through configuration space ---- */
uint32_t vpci_window_read(struct vpci *s, uint32_t offset, unsigned size)
{
    uint64_t value = 0;

    if (offset >= AT_ISR && offset < AT_CONFIG)
        return offset == AT_ISR ? vpci_read_isr(s) : 0;
    bp_device_lock(s->dev);
    if (offset < AT_ISR)
        value = common_read(s, offset, size);
    else if (offset < AT_NOTIFY)
        value = config_read(s, offset - AT_CONFIG, size);
    bp_device_unlock(s->dev);
    return (uint32_t)value;
}

void vpci_window_write(struct vpci *s, uint32_t offset, unsigned size, uint32_t value)
{
    if (size < 4)
        value &= (1u << 8 * size) - 1;
    bp_device_lock(s->dev);
    if (offset < AT_ISR)
        common_write(s, offset, value, size);
    else if (offset >= AT_CONFIG && offset < AT_NOTIFY)
        config_write(s, offset - AT_CONFIG, value, size);
    else if (offset >= AT_NOTIFY)
        notify_write(s, offset - AT_NOTIFY, value, size);
    bp_device_unlock(s->dev);
}

/* ---- life ---- */
static int add_capability(struct vpci *s, uint8_t type, uint32_t offset, uint32_t length, struct bp_error *err)
{
    unsigned size = type == CFG_NOTIFY ? CAP_NOTIFY_SIZE : CAP_SIZE, at = 0;
    int ret = vpci_pci->add_capability(s->dev, CAP_VENDOR, size, &at, err);
    uint8_t *c;

    if (ret < 0)
        return ret;
    c = vpci_pci->config(s->dev) + at;
    c[2] = (uint8_t)size;
    c[3] = type;
    c[4] = MODERN_BAR;
    put(c + 8, 4, offset);
    put(c + 12, 4, length);
    if (type == CFG_NOTIFY)
        put(c + 16, 4, s->notify_step);
    return 0;
}

static int add_bells(struct vpci *s, struct bp_error *err)
{
    int ret = 0;

    for (unsigned i = 0; ret == 0 && s->ioeventfd && i < vpci_queues(s); i++)
        ret = vpci_core->bell(vpci_queue(s, i), s->notify, (uint64_t)i * s->notify_step, 0, false, err);
    return ret;
}

static int add_regions(struct vpci *s, struct bp_error *err)
{
    struct bp_owner *owner = bp_device_owner(s->dev);
    uint64_t size = AT_NOTIFY + s->notify_size, bar = 0x4000;

    while (bar < size)
        bar *= 2;
    s->bar = bp_region_new(owner, "virtio-pci", bar);
    s->notify = bp_region_new_io(owner, "virtio-pci-notify", s->notify_size, &notify_ops, s);
    bp_region_add(s->bar, bp_region_new_io(owner, "virtio-pci-common", PART_SIZE, &common_ops, s), AT_COMMON, 0);
    bp_region_add(s->bar, bp_region_new_io(s->lines, "virtio-pci-isr", PART_SIZE, &vpci_isr_ops, s), AT_ISR, 0);
    bp_region_add(s->bar, bp_region_new_io(owner, "virtio-pci-device", PART_SIZE, &config_ops, s), AT_CONFIG, 0);
    bp_region_add(s->bar, s->notify, AT_NOTIFY, 0);
    return vpci_pci->add_bar(s->dev, MODERN_BAR, BP_PCI_BAR_MEM64 | BP_PCI_BAR_PREFETCH, s->bar, err);
}

int vpci_add_modern(struct vpci *s, struct bp_error *err)
{
    unsigned queues = vpci_queues(s) > MIN_NOTIFY_QUEUES ? 2 * MIN_NOTIFY_QUEUES : MIN_NOTIFY_QUEUES;
    uint32_t config = vpci_core->config_size(s->virtio);
    int ret;

    s->notify_step = s->page_per_vq ? 4096 : 4;
    s->notify_size = s->notify_step * queues;
    ret = add_regions(s, err);
    if (ret == 0)
        ret = add_capability(s, CFG_COMMON, AT_COMMON, COMMON_SIZE, err);
    if (ret == 0)
        ret = add_capability(s, CFG_ISR, AT_ISR, 1, err);
    if (ret == 0 && config)
        ret = add_capability(s, CFG_DEVICE, AT_CONFIG, config, err);
    if (ret == 0)
        ret = add_capability(s, CFG_NOTIFY, AT_NOTIFY, s->notify_size, err);
    return ret < 0 ? ret : add_bells(s, err);
}
