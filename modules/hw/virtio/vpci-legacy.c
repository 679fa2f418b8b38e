// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The legacy interface (Virtual I/O Device 1.2, 4.1.4.10): registers in I/O space, rings in one piece at a page
 * number, little-endian. Configuration of the device follows the registers, which are four bytes longer
 * while MSI-X is enabled.
 */
#include "vpci.h"

enum {
    DEVICE_FEATURES = 0,
    DRIVER_FEATURES = 4,
    QUEUE_ADDRESS = 8,
    QUEUE_SIZE = 12,
    QUEUE_SELECT = 14,
    QUEUE_NOTIFY = 16,
    DEVICE_STATUS = 18,
    ISR_STATUS = 19,
    CONFIG_VECTOR = 20, /* with MSI-X */
    QUEUE_VECTOR = 22,
    CONFIG_AFTER = 20,
    CONFIG_AFTER_MSIX = 24,
    LEAST_SIZE = 32,
    MOST_SIZE = 256,
};
#define PAGE 4096u

static unsigned config_at(const struct vpci *s)
{
    return vpci_pci->msix_enabled(s->dev) ? CONFIG_AFTER_MSIX : CONFIG_AFTER;
}

static uint32_t register_read(struct vpci *s, unsigned addr)
{
    struct bp_virtq *q = vpci_queue(s, s->queue_select);

    switch (addr) {
    case DEVICE_FEATURES:
        return (uint32_t)vpci_core->offered(s->virtio);
    case DRIVER_FEATURES:
        return (uint32_t)vpci_core->driver_features(s->virtio);
    case QUEUE_ADDRESS:
        return q && vpci_core->queue_enabled(q) ? (uint32_t)(vpci_core->queue_setup(q).desc / PAGE) : 0;
    case QUEUE_SIZE:
        return q ? vpci_core->queue_max(q) : 0;
    case QUEUE_SELECT:
        return s->queue_select;
    case DEVICE_STATUS:
        return vpci_core->status(s->virtio);
    case CONFIG_VECTOR:
        return s->vector[0].n;
    case QUEUE_VECTOR:
        return q ? s->vector[s->queue_select + 1].n : NO_VECTOR;
    default:
        return 0;
    }
}

static uint64_t io_read(void *opaque, uint64_t addr, unsigned size)
{
    struct vpci *s = opaque;
    unsigned at;

    if (!s->virtio)
        return UINT64_MAX;
    at = config_at(s);
    if (addr >= at)
        return vpci_core->config_read(s->virtio, (unsigned)addr - at, size);
    return register_read(s, (unsigned)addr);
}

static void set_address(struct vpci *s, uint32_t page)
{
    struct bp_virtq *q = vpci_queue(s, s->queue_select);
    struct virtio_queue_setup setup;

    if (!q)
        return;
    vpci_core->disable(q);
    if (page == 0)
        return;
    setup.size = vpci_core->queue_max(q);
    setup.desc = (uint64_t)page * PAGE;
    setup.driver = setup.desc + 16u * setup.size;
    setup.device = (setup.driver + 6u + 2u * setup.size + PAGE - 1) & ~(uint64_t)(PAGE - 1);
    vpci_core->set_queue(q, &setup);
    vpci_core->enable(q, true);
}

static void io_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct vpci *s = opaque;
    struct bp_virtq *q;
    unsigned at;

    if (!s->virtio)
        return;
    at = config_at(s);
    if (addr >= at) {
        vpci_core->config_write(s->virtio, (unsigned)addr - at, size, value);
        return;
    }
    switch (addr) {
    case DRIVER_FEATURES:
        vpci_core->set_driver_features(s->virtio, (uint32_t)value);
        break;
    case QUEUE_ADDRESS:
        set_address(s, (uint32_t)value);
        break;
    case QUEUE_SELECT:
        s->queue_select = (uint16_t)value;
        break;
    case QUEUE_NOTIFY:
        q = vpci_queue(s, (unsigned)value & 0xffff);
        if (q)
            vpci_core->ring(q);
        break;
    case DEVICE_STATUS:
        vpci_core->set_status(s->virtio, (uint8_t)value, true);
        break;
    case CONFIG_VECTOR:
        (void)vpci_set_vector(s, 0, (uint16_t)value);
        break;
    case QUEUE_VECTOR:
        (void)vpci_set_vector(s, s->queue_select + 1u, (uint16_t)value);
        break;
    default:
        break;
    }
}

static const struct bp_region_ops io_ops = {.size = sizeof(io_ops), .read = io_read, .write = io_write,
                                            .max_access = 4};

int vpci_add_legacy(struct vpci *s, struct bp_error *err)
{
    struct bp_owner *owner = bp_device_owner(s->dev);
    uint64_t size = LEAST_SIZE;
    int ret;

    while (size < CONFIG_AFTER_MSIX + vpci_core->config_size(s->virtio) && size < MOST_SIZE)
        size *= 2;
    s->io = bp_region_new_io(owner, "virtio-pci-legacy", size, &io_ops, s);
    struct bp_region *bar = bp_region_new(owner, "virtio-pci-io", size);
    bp_region_add(bar, s->io, 0, 0);
    bp_region_add(bar, bp_region_new_io(s->lines, "virtio-pci-legacy-isr", 1, &vpci_isr_ops, s), ISR_STATUS, 1);
    ret = vpci_pci->add_bar(s->dev, 0, BP_PCI_BAR_IO, bar, err);
    for (unsigned i = 0; ret == 0 && s->ioeventfd && i < vpci_queues(s); i++)
        ret = vpci_core->bell(vpci_queue(s, i), s->io, QUEUE_NOTIFY, 2, true, err);
    return ret;
}
