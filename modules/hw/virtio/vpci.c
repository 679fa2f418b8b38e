// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Virtio over PCI (Virtual I/O Device 1.2, 4.1): a device that is modern, legacy, or both (transitional).
 * BAR 0: legacy registers; BAR 1: MSI-X; BAR 4: modern registers. MSI-X messages are sent from any thread;
 * INTx follows the ISR on the main loop, and falls where the ISR is read, with the machine lock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/log.h>
#include <bp/trace.h>

#include "vpci.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(core, struct virtio_transport_interface, "virtio-transport", 1);
const struct bp_pci_interface *vpci_pci;
const struct virtio_transport_interface *vpci_core;

#define VENDOR 0x1af4u
#define MODERN_BASE 0x1040u /* 4.1.2.1 */
#define COMMAND 4u
#define COMMAND_MASTER 4u
#define CAP_VENDOR 9u

/* 5.1 ...: PCI device ids of the transitional devices. */
static uint16_t transitional_id(uint16_t type)
{
    static const uint16_t ids[] = {[1] = 0x1000, [2] = 0x1001, [3] = 0x1003, [4] = 0x1005, [5] = 0x1002,
                                   [8] = 0x1004, [9] = 0x1009};

    return type < BP_COUNT(ids) ? ids[type] : 0;
}

struct bp_virtq *vpci_queue(const struct vpci *s, unsigned n)
{
    return n < vpci_queues(s) ? core->queue(s->virtio, n) : NULL;
}

/* ---- interrupts ---- */
/* In the main context, under the machine lock. */
static void drive_line(void *opaque)
{
    struct vpci *s = opaque;

    if (s->virtio)
        pci->set_irq(s->dev, __atomic_load_n(&s->isr, __ATOMIC_SEQ_CST) != 0);
}

uint8_t vpci_read_isr(struct vpci *s)
{
    uint8_t isr;

    if (!s->virtio)
        return 0;
    isr = __atomic_exchange_n(&s->isr, 0, __ATOMIC_SEQ_CST);
    pci->set_irq(s->dev, 0);
    return isr;
}

static uint64_t isr_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)size;
    return addr == 0 ? vpci_read_isr(opaque) : 0;
}

static void isr_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)opaque, (void)addr, (void)value, (void)size; /* read only */
}

const struct bp_region_ops vpci_isr_ops = {.size = sizeof(vpci_isr_ops), .read = isr_read, .write = isr_write,
                                           .max_access = 1};

BP_TRACE_POINT(virtio_pci_interrupt, "virtio_pci_interrupt", "device %p queue %d");

static void interrupt(void *opaque, struct bp_virtq *queue)
{
    struct vpci *s = opaque;
    unsigned which = queue ? core->queue_index(queue) + 1 : 0;
    uint16_t vector = s->vector[which].n;

    bp_trace(virtio_pci_interrupt, (void *)s->virtio, queue ? (int)which - 1 : -1);
    if (pci->msix_enabled(s->dev)) {
        if (vector != NO_VECTOR)
            pci->msix_notify(s->dev, vector);
        return;
    }
    if (!(__atomic_fetch_or(&s->isr, queue ? 1 : 2, __ATOMIC_SEQ_CST) & (queue ? 1 : 2)))
        bp_deferred_schedule(s->drive);
}

static void follow(struct vpci *s, unsigned which)
{
    const struct vector_fd *f = &s->fds[which];

    if (f->fd >= 0)
        (void)pci->msix_fd(s->dev, s->vector[which].n, f->fd, f->changed, f->opaque); /* without memory: as it was */
}

static int interrupt_fd(void *opaque, struct bp_virtq *queue, int fd, void (*changed)(void *opaque, bool taken),
                        void *changed_opaque)
{
    struct vpci *s = opaque;
    unsigned which = core->queue_index(queue) + 1;

    s->fds[which] = (struct vector_fd){.fd = changed ? fd : -1, .changed = changed, .opaque = changed_opaque};
    return pci->msix_fd(s->dev, s->vector[which].n, fd, changed, changed_opaque);
}

uint16_t vpci_set_vector(struct vpci *s, unsigned which, uint16_t n)
{
    if (which < s->vector_count)
        s->vector[which].n = n < s->vectors ? n : NO_VECTOR;
    if (which < s->vector_count)
        follow(s, which);
    return which < s->vector_count ? s->vector[which].n : NO_VECTOR;
}

/* ---- what the engine asks ---- */
static void requester(void *opaque, struct bp_access *access)
{
    const struct vpci *s = opaque;

    access->flags |= BP_ACCESS_REQUESTER;
    access->requester = pci->requester(s->dev);
}

/* Without the platform's IOMMU a driver gives addresses of memory (2.2.3, ACCESS_PLATFORM). */
static struct bp_space *dma(void *opaque)
{
    const struct vpci *s = opaque;

    return s->behind_iommu ? pci->dma(s->dev) : bp_device_memory(s->dev);
}

static bool master(void *opaque)
{
    const struct vpci *s = opaque;

    return __atomic_load_n(&pci->config(s->dev)[COMMAND], __ATOMIC_RELAXED) & COMMAND_MASTER;
}

static void reset(void *opaque)
{
    struct vpci *s = opaque;

    s->device_select = s->driver_select = 0;
    s->queue_select = 0;
    for (unsigned i = 0; i < s->vector_count; i++) {
        s->vector[i].n = NO_VECTOR;
        follow(s, i);
    }
    if (__atomic_exchange_n(&s->isr, 0, __ATOMIC_SEQ_CST))
        bp_deferred_schedule(s->drive);
}

/* ---- configuration space ---- */
enum { /* in the capability for accesses through configuration space, 4.1.4.9 */
    WINDOW_BAR = 4,
    WINDOW_OFFSET = 8,
    WINDOW_LENGTH = 12,
    WINDOW_DATA = 16,
    WINDOW_SIZE = 20,
};

static uint32_t get32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++, v >>= 8)
        p[i] = (uint8_t)v;
}

static struct vpci *state_of(struct bp_device *dev);

static bool window(const struct vpci *s, unsigned offset, unsigned size, uint32_t *ret_at, uint32_t *ret_length)
{
    const uint8_t *c = pci->config(s->dev) + s->window;
    uint64_t end;

    if (!s->window || offset >= s->window + WINDOW_SIZE || offset + size <= s->window + WINDOW_DATA)
        return false;
    *ret_at = get32(c + WINDOW_OFFSET);
    *ret_length = get32(c + WINDOW_LENGTH);
    end = (uint64_t)*ret_at + *ret_length;
    return c[WINDOW_BAR] == MODERN_BAR && (*ret_length == 1 || *ret_length == 2 || *ret_length == 4) &&
           *ret_at % *ret_length == 0 && end <= bp_region_size(s->bar);
}

static void config_reading(struct bp_device *dev, unsigned offset, unsigned size)
{
    struct vpci *s = state_of(dev);
    uint32_t at, length;

    if (s->virtio && window(s, offset, size, &at, &length))
        put32(pci->config(dev) + s->window + WINDOW_DATA, vpci_window_read(s, at, length));
}

static void config_written(struct bp_device *dev, unsigned offset, unsigned size)
{
    struct vpci *s = state_of(dev);
    uint32_t at, length;

    if (!s->virtio)
        return;
    if (offset <= COMMAND && offset + size > COMMAND && master(s)) {
        bp_device_lock(dev);
        core->ring_all(s->virtio); /* what waited for it to be a master */
        bp_device_unlock(dev);
    }
    if (window(s, offset, size, &at, &length))
        vpci_window_write(s, at, length, get32(pci->config(dev) + s->window + WINDOW_DATA));
}

static int add_window(struct vpci *s, struct bp_error *err)
{
    uint8_t *c, *w;
    int ret = pci->add_capability(s->dev, CAP_VENDOR, WINDOW_SIZE, &s->window, err);

    if (ret < 0)
        return ret;
    c = pci->config(s->dev) + s->window;
    w = pci->writable(s->dev) + s->window;
    c[2] = WINDOW_SIZE;
    c[3] = 5; /* VIRTIO_PCI_CAP_PCI_CFG */
    w[WINDOW_BAR] = 0xff;
    memset(w + WINDOW_OFFSET, 0xff, WINDOW_SIZE - WINDOW_OFFSET);
    return 0;
}

/* ---- which interfaces ---- */
static bool behind_port(struct bp_device *dev)
{
    struct bp_bus *bus = bp_device_bus(dev);
    const struct bp_device_class *bridge = bp_device_class(bp_bus_bridge(bus));
    const struct bp_pci_info *info = bridge->bus_info;

    return strcmp(bp_bus_type(bus), "pcie") == 0 && bridge->bus && strncmp(bridge->bus, "pci", 3) == 0 && info &&
           info->header_type == 1;
}

static const struct bp_level_class vpci_level;

static int choose(struct vpci *s, const struct bp_virtio_class *class, struct bp_error *err)
{
    const struct bp_virtio_pci_info *info = bp_object_level_info(bp_device_object(s->dev), &vpci_level);
    const char *name = bp_device_class(s->dev)->type.name;
    uint32_t flags = info ? info->flags : 0;
    bool possible = !(class->flags & BP_VIRTIO_CLASS_MODERN_ONLY) && transitional_id(class->id);

    s->modern = !s->disable_modern;
    s->legacy = possible && s->disable_legacy != 1 && (s->disable_legacy == 2 || !behind_port(s->dev));
    if (flags & BP_VIRTIO_PCI_TRANSITIONAL)
        s->modern = s->legacy = true;
    else if (flags & BP_VIRTIO_PCI_NON_TRANSITIONAL)
        s->legacy = false, s->modern = true;
    if (s->modern || s->legacy)
        return 0;
    if (!possible && s->disable_modern)
        return bp_fail(err, EINVAL, "%s: disable-modern=on: it has no other interface than the modern one", name);
    return bp_fail(err, EINVAL, "%s: disable-modern=on and no legacy interface: nothing is left; disable-legacy=off "
                   "gives it one", name);
}

static void identify(struct vpci *s, const struct bp_virtio_class *class)
{
    uint8_t *c = pci->config(s->dev);
    uint16_t id = s->legacy ? transitional_id(class->id) : (uint16_t)(MODERN_BASE + class->id);
    uint16_t subsystem = s->legacy ? class->id : 0x1100; /* 4.1.2.1: 0x40 or higher */

    c[2] = (uint8_t)id;
    c[3] = (uint8_t)(id >> 8);
    c[8] = s->legacy ? 0 : 1;
    c[0x2c] = VENDOR & 0xff;
    c[0x2d] = VENDOR >> 8;
    c[0x2e] = (uint8_t)subsystem;
    c[0x2f] = (uint8_t)(subsystem >> 8);
}

/* ---- life ---- */
static int add_registers(struct vpci *s, struct bp_error *err)
{
    int ret = 0;

    s->vectors = s->wanted_vectors == UINT32_MAX ? core->vectors(s->virtio) : s->wanted_vectors;
    if (s->vectors > 2048)
        return bp_fail(err, EINVAL, "%s: vectors=%u: up to 2048 are possible",
                       bp_device_class(s->dev)->type.name, s->vectors);
    if (s->vectors)
        ret = pci->msix_init_bar(s->dev, s->vectors, MSIX_BAR, err);
    if (ret == 0 && s->modern)
        ret = vpci_add_modern(s, err);
    if (ret == 0 && s->modern)
        ret = add_window(s, err);
    if (ret == 0 && s->legacy)
        ret = vpci_add_legacy(s, err);
    if (ret == 0 && s->ats)
        ret = pci->add_ats(s->dev, err);
    return ret;
}

static bool behind_iommu(struct bp_device *dev)
{
    struct bp_value *v = NULL;
    bool on = bp_object_get(bp_device_object(dev), "iommu_platform", &v, NULL) == 0 && bp_value_as_bool(v);

    bp_value_unref(v);
    return on;
}

static int attached(struct bp_object *obj, void *state, struct bp_error *err)
{
    struct vpci *s = state;
    struct virtio_transport ops = {.size = sizeof(ops), .waits_for_reset = true, .requester = requester,
                                   .master = master, .interrupt = interrupt, .reset = reset,
                                   .interrupt_fd = interrupt_fd};
    unsigned queues = 0;
    int ret;

    vpci_pci = pci;
    vpci_core = core;
    s->dev = bp_device_from_object(obj);
    s->virtio = core->of(s->dev);
    while (core->queue(s->virtio, queues))
        queues++;
    s->vector_count = queues + 1;
    s->vector = calloc(s->vector_count, sizeof(*s->vector));
    s->fds = calloc(s->vector_count, sizeof(*s->fds));
    if (!s->vector || !s->fds)
        return bp_fail(err, ENOMEM, "virtio-pci: no memory for vectors");
    for (unsigned i = 0; i < s->vector_count; i++)
        s->fds[i].fd = -1;
    s->lines = bp_owner_new(bp_device_owner(s->dev), "virtio-pci-line", bp_device_id(s->dev), 0);
    s->drive = bp_deferred_new(s->lines, NULL, drive_line, s);
    ret = choose(s, core->class(s->virtio), err);
    if (ret < 0)
        return ret;
    ops.legacy_only = !s->modern;
    ops.modern_only = !s->legacy;
    s->behind_iommu = behind_iommu(s->dev);
    ops.dma = dma;
    core->bind(s->virtio, &ops, s);
    identify(s, core->class(s->virtio));
    pci->set_config_hooks(s->dev, config_reading, config_written);
    return add_registers(s, err);
}

static void detach(struct bp_object *obj, void *state)
{
    struct vpci *s = state;

    (void)obj;
    s->virtio = NULL;
}

static void fini(struct bp_object *obj, void *state)
{
    (void)obj;
    free(((struct vpci *)state)->vector);
    free(((struct vpci *)state)->fds);
}

/* ---- state ---- */
static const struct bp_state_field vector_fields[] = {BP_SAVE(UINT16, struct vector, n), BP_SAVE_END};
static const struct bp_state_table vector_table = {.version = 1, .oldest = 1, .fields = vector_fields};

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct vpci *s = state;
    unsigned queues = 0;

    (void)version;
    while (core->queue(s->virtio, queues))
        queues++;
    if (s->vector_count != queues + 1)
        return bp_fail(err, EINVAL, "virtio-pci: the state has vectors of %u queues, the device has %u queues",
                       s->vector_count ? s->vector_count - 1 : 0, queues);
    for (unsigned i = 0; i < s->vector_count; i++) {
        if (s->vector[i].n >= s->vectors && s->vector[i].n != NO_VECTOR)
            return bp_fail(err, EINVAL, "virtio-pci: vector %u of %u in the state", s->vector[i].n, s->vectors);
    }
    return 0;
}

static int loaded(void *state, struct bp_error *err)
{
    struct vpci *s = state;

    (void)err;
    for (unsigned i = 0; i < s->vector_count; i++)
        follow(s, i);
    bp_deferred_schedule(s->drive);
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE(UINT32, struct vpci, device_select), BP_SAVE(UINT32, struct vpci, driver_select),
    BP_SAVE(UINT16, struct vpci, queue_select), BP_SAVE_RANGE(UINT8, struct vpci, isr, 0, 3),
    BP_SAVE_VECTOR(struct vpci, vector, vector_count, BP_VIRTIO_MAX_QUEUES + 1, &vector_table), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields,
                                            .after_load = after_load, .loaded = loaded,
                                            .loaded_order = BP_STATE_ORDER_LINES};

static const struct bp_field props[] = {
    BP_PROP("disable-legacy", ON_OFF_AUTO, struct vpci, disable_legacy, "auto",
            "has no legacy interface; auto: none behind a PCI Express port"),
    BP_PROP("disable-modern", BOOL, struct vpci, disable_modern, "off", "has no modern interface"),
    BP_PROP("vectors", UINT32, struct vpci, wanted_vectors, "4294967295",
            "MSI-X vectors, 0: none; 4294967295: as many as it needs"),
    BP_PROP("page-per-vq", BOOL, struct vpci, page_per_vq, "off", "each queue is notified in a page of its own"),
    BP_PROP("ioeventfd", BOOL, struct vpci, ioeventfd, "on",
            "notifications take no lock and don't stop the processor; off: they are ordinary register writes"),
    BP_PROP("ats", BOOL, struct vpci, ats, "off",
            "on PCI Express: it may keep the IOMMU's translations (with iommu_platform=on they are used)"),
    BP_FIELDS_END,
};

BP_NOTE("provides=abstract:virtio-pci;summary=Virtio device on PCI");
static const struct bp_level_class vpci_level = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = "virtio-pci",
             .parent = "virtio", .summary = "Virtio device on PCI", .state_size = sizeof(struct vpci),
             .props = props, .state = &table},
    .attached = attached, .detach = detach, .fini = fini};

static struct vpci *state_of(struct bp_device *dev)
{
    return bp_object_level(bp_device_object(dev), &vpci_level);
}

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 5),
                                           BP_IMPORT(core, "virtio-transport", 1), {0}};
BP_MODULE("virtio-pci", "Virtio over PCI", imports, {BP_PROVIDE_ABSTRACT, &vpci_level});
