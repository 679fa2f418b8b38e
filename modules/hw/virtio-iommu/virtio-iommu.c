/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * IOMMU device (Virtual I/O Device 1.2, 5.13): domains with mappings that the driver asks for, before the memory of
 * a PCI Express root bus; endpoints are requester ids. Messages to local APICs pass. A fault that comes while another
 * one waits to be told, or that finds no buffer in the event queue, is not told. Leaves out: MMIO mappings as such,
 * and saving while there are domains.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <bp/bus/pci.h>
#include <bp/host/virtio.h>
#include <bp/iommu.h>
#include <bp/log.h>
#include <bp/loop.h>

#include "domains.h"

BP_USE(virtio, struct bp_virtio_interface, "virtio", 1);
BP_USE(pci, struct bp_pci_interface, "pci", 1);

enum { F_INPUT_RANGE = 0, F_DOMAIN_RANGE = 1, F_MAP_UNMAP = 2, F_PROBE = 4, F_BYPASS_CONFIG = 6 };
enum { ATTACH = 1, DETACH = 2, MAP = 3, UNMAP = 4, PROBE = 5 };
enum { CONFIG = 40, BYPASS_AT = 36, PROBE_SIZE = 512, HEAD = 4, TAIL = 4 };
#define TURN 32u /* requests, each of which may move all mappings, before others have theirs */
#define MSI_FIRST UINT64_C(0xfee00000)
#define MSI_LAST UINT64_C(0xfeefffff)

struct viommu {
    /* properties */
    char *granule;
    uint32_t aw_bits;
    bool boot_bypass;

    struct bp_device *dev;
    struct bp_virtio *virtio;
    struct bp_virtq *requests, *events;
    struct bp_space *memory;
    struct bp_bus *root;
    struct domains *domains;
    uint64_t page;   /* bytes */
    uint32_t bypass; /* atomic: endpoints without a domain reach memory */
    uint8_t pending[24]; /* the last fault, until a buffer is there */
    uint32_t has_fault;  /* atomic */
    struct bp_deferred *tell;
};

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, 4);
    return le32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

static void put32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, 4);
}

static void put64(uint8_t *p, uint64_t v)
{
    put32(p, (uint32_t)v);
    put32(p + 4, (uint32_t)(v >> 32));
}

static uint64_t last_input(const struct viommu *s)
{
    return s->aw_bits >= 64 ? UINT64_MAX : (UINT64_C(1) << s->aw_bits) - 1;
}

/* ---- translation [any] ---- */

static void identity(const struct viommu *s, struct bp_iommu_entry *e, uint64_t address, uint64_t length)
{
    e->target = s->memory;
    e->address = e->translated = address;
    e->length = length;
    e->allowed = BP_IOMMU_READ | BP_IOMMU_WRITE;
}

/* One fault at a time waits for the device's own context. */
static void fault(struct viommu *s, uint8_t reason, uint32_t endpoint, uint64_t addr, bool write)
{
    uint32_t none = 0;

    bp_guest_error("virtio-iommu-fault", "virtio-iommu: endpoint %04x may not reach 0x%llx", endpoint,
                   (unsigned long long)addr);
    if (!__atomic_compare_exchange_n(&s->has_fault, &none, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return;
    memset(s->pending, 0, sizeof(s->pending));
    s->pending[0] = reason;
    put32(s->pending + 4, (write ? 2u : 1u) | 256u);
    put32(s->pending + 8, endpoint);
    put64(s->pending + 16, addr);
    __atomic_store_n(&s->has_fault, 2, __ATOMIC_RELEASE);
    bp_deferred_schedule(s->tell);
}

static int translate(void *opaque, uint64_t addr, const struct bp_access *access, bool write,
                     struct bp_iommu_entry *ret_entry)
{
    struct viommu *s = opaque;
    struct mapping m;
    int found = domains_find(s->domains, access->requester & 0xffff, addr, &m);

    ret_entry->requester = access->requester;
    ret_entry->flags = BP_ACCESS_REQUESTER;
    if (addr >= MSI_FIRST && addr <= MSI_LAST && write) {
        identity(s, ret_entry, MSI_FIRST, MSI_LAST - MSI_FIRST + 1);
    } else if (found == 0 || (found == -1 && __atomic_load_n(&s->bypass, __ATOMIC_ACQUIRE))) {
        identity(s, ret_entry, addr & ~UINT64_C(4095), 4096);
    } else if (found == 1 && m.flags & (write ? 2u : 1u)) {
        ret_entry->target = s->memory;
        ret_entry->address = m.first;
        ret_entry->translated = m.target;
        ret_entry->length = m.last - m.first == UINT64_MAX ? UINT64_MAX : m.last - m.first + 1;
        ret_entry->allowed = (m.flags & 1 ? BP_IOMMU_READ : 0) | (m.flags & 2 ? BP_IOMMU_WRITE : 0);
    } else {
        fault(s, found == -1 ? 1 : 2, access->requester & 0xffff, addr, write);
    }
    return 0;
}

static const struct bp_iommu_ops ops = {.size = sizeof(ops), .translate = translate};

/* In the device's context. */
static void tell(void *opaque)
{
    struct viommu *s = opaque;
    struct bp_virtq_request *r;

    if (__atomic_load_n(&s->has_fault, __ATOMIC_ACQUIRE) != 2 || !s->virtio)
        return;
    r = virtio->is_running(s->virtio) ? virtio->pop(s->events) : NULL;
    if (r)
        virtio->complete(s->events, r, bp_virtq_write(r, 0, s->pending, sizeof(s->pending)));
    __atomic_store_n(&s->has_fault, 0, __ATOMIC_RELEASE);
}

static bool handle_events(void *opaque, struct bp_virtq *queue)
{
    (void)opaque, (void)queue;
    return false; /* buffers wait for a fault */
}

/* ---- requests ---- */

static uint8_t map(struct viommu *s, const uint8_t *p)
{
    struct mapping m = {.first = get64(p + 8), .last = get64(p + 16), .target = get64(p + 24),
                        .flags = get32(p + 32)};

    if (m.last < m.first || m.flags & ~7u)
        return STATUS_INVAL;
    if (m.first % s->page || m.target % s->page || (m.last + 1) % s->page || m.last > last_input(s))
        return STATUS_RANGE;
    if (m.target + (m.last - m.first) < m.target)
        return STATUS_INVAL;
    return domains_map(s->domains, get32(p + 4), &m);
}

/* What addresses a driver has to leave alone: those of messages. */
static uint8_t probe(const uint8_t *p, uint8_t properties[PROBE_SIZE])
{
    if (get32(p + 4) >= ENDPOINTS)
        return STATUS_NOENT;
    properties[0] = 1; /* RESV_MEM */
    properties[2] = 20;
    properties[4] = 1; /* MSI */
    put64(properties + 8, MSI_FIRST);
    put64(properties + 16, MSI_LAST);
    return STATUS_OK;
}

static uint8_t carry_out(struct viommu *s, struct bp_virtq_request *r, uint8_t properties[PROBE_SIZE])
{
    static const uint8_t sizes[] = {0, 20, 20, 36, 28, 72};
    uint8_t p[72] = {0};

    if (bp_virtq_read(r, 0, p, HEAD) != HEAD || p[0] >= sizeof(sizes) || p[0] == 0)
        return STATUS_UNSUPP;
    if (bp_virtq_read(r, 0, p, sizes[p[0]]) != sizes[p[0]])
        return STATUS_INVAL;
    switch (p[0]) {
    case ATTACH:
        if (get32(p + 12) & ~1u)
            return STATUS_INVAL;
        return domains_attach(s->domains, get32(p + 8), get32(p + 4), get32(p + 12) & 1);
    case DETACH:
        return domains_detach(s->domains, get32(p + 8), get32(p + 4));
    case MAP:
        return map(s, p);
    case UNMAP:
        return domains_unmap(s->domains, get32(p + 4), get64(p + 8), get64(p + 16));
    default:
        return probe(p, properties);
    }
}

static bool handle_requests(void *opaque, struct bp_virtq *queue)
{
    struct viommu *s = opaque;
    struct bp_virtq_request *r = NULL;

    for (unsigned n = 0; n < TURN && (r = virtio->pop(queue)); n++) {
        uint8_t properties[PROBE_SIZE] = {0}, type = 0, tail[TAIL] = {0};
        uint64_t at = 0;

        bp_virtq_read(r, 0, &type, 1);
        tail[0] = carry_out(s, r, properties);
        if (type == PROBE && r->in_bytes >= PROBE_SIZE + TAIL)
            at = bp_virtq_write(r, 0, properties, PROBE_SIZE);
        else if (type == PROBE)
            tail[0] = STATUS_INVAL;
        at += bp_virtq_write(r, at, tail, TAIL);
        virtio->push(queue, r, at);
    }
    virtio->flush(queue);
    if (r)
        virtio->schedule(queue);
    return !r;
}

/* ---- life ---- */

static void config_written(void *opaque, unsigned offset, unsigned size, const uint8_t *old)
{
    struct viommu *s = opaque;
    uint8_t *config = virtio->config(s->virtio), bypass = config[BYPASS_AT];

    (void)offset, (void)size;
    memcpy(config, old, CONFIG);
    if (bypass <= 1 && virtio->has(s->virtio, F_BYPASS_CONFIG)) {
        config[BYPASS_AT] = bypass;
        __atomic_store_n(&s->bypass, bypass, __ATOMIC_RELEASE);
    }
}

/* What was said last of bypassing stays over the driver's resets; the machine's brings the first back. */
static void reset(void *opaque)
{
    domains_clear(((struct viommu *)opaque)->domains);
}

static const struct bp_virtio_class class = {
    .size = sizeof(class), .id = 23, .config_size = CONFIG, .name = "virtio-iommu",
    .features = BP_VIRTIO_BIT(F_INPUT_RANGE) | BP_VIRTIO_BIT(F_DOMAIN_RANGE) | BP_VIRTIO_BIT(F_MAP_UNMAP) |
                BP_VIRTIO_BIT(F_PROBE) | BP_VIRTIO_BIT(F_BYPASS_CONFIG),
    .flags = BP_VIRTIO_CLASS_MODERN_ONLY, .config_written = config_written, .reset = reset};
static const struct bp_virtq_info request_info = {.size = sizeof(request_info), .entries = 256,
                                                  .handle = handle_requests};
static const struct bp_virtq_info event_info = {.size = sizeof(event_info), .entries = 256, .handle = handle_events};

static void tell_config(struct viommu *s)
{
    uint8_t *config = virtio->config(s->virtio);

    memset(config, 0, CONFIG);
    put64(config, ~(s->page - 1));
    put64(config + 16, last_input(s));
    put32(config + 28, UINT32_MAX);
    put32(config + 32, PROBE_SIZE);
    config[BYPASS_AT] = s->boot_bypass;
    __atomic_store_n(&s->bypass, s->boot_bypass, __ATOMIC_RELEASE);
}

static int choose_page(struct viommu *s, struct bp_error *err)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } sizes[] = {{"4k", 4096}, {"8k", 8192}, {"16k", 16384}, {"64k", 65536}, {"host", 0}};

    for (size_t i = 0; i < BP_COUNT(sizes); i++) {
        if (strcmp(s->granule, sizes[i].name) == 0) {
            s->page = sizes[i].bytes ? sizes[i].bytes : (uint64_t)sysconf(_SC_PAGESIZE);
            return 0;
        }
    }
    return bp_fail(err, EINVAL, "granule=%.40s: accepted are 4k, 8k, 16k, 64k and host", s->granule);
}

static int attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    struct viommu *s = state;
    struct bp_owner *owner;
    int ret;

    s->dev = bp_device_from_object(obj);
    owner = bp_device_owner(s->dev);
    s->memory = bp_device_memory(s->dev);
    s->root = bp_bus_find(bp_device_machine(s->dev), "pcie");
    if (!s->root)
        return bp_fail(err, ENOTSUP, "virtio-iommu is for machine q35: this one has no PCI Express bus");
    if (bp_device_hotplugged(s->dev) || bp_device_bus(s->dev) != s->root)
        return bp_fail(err, ENOTSUP, "virtio-iommu is there from the start, in a slot of bus pcie.0: -device "
                       "virtio-iommu-pci,bus=pcie.0");
    if (bp_device_first(bp_device_machine(s->dev), "intel-iommu"))
        return bp_fail(err, EEXIST, "there is an intel-iommu already: a machine has one IOMMU");
    ret = choose_page(s, err);
    if (ret == 0)
        ret = virtio->setup(s->dev, &class, s, &s->virtio, err);
    if (ret == 0)
        ret = virtio->add_queue(s->virtio, &request_info, &s->requests, err);
    if (ret == 0)
        ret = virtio->add_queue(s->virtio, &event_info, &s->events, err);
    if (ret == 0 && !(s->domains = domains_new()))
        ret = bp_fail(err, ENOMEM, "virtio-iommu: no memory for domains");
    if (ret < 0)
        return ret;
    s->tell = bp_deferred_new(owner, NULL, tell, s);
    tell_config(s);
    pci->set_messages(s->root, s->memory);
    pci->set_dma(s->root, bp_space_new(owner, "virtio-iommu-dma",
                                       bp_region_new_iommu(owner, "virtio-iommu-dma", UINT64_MAX, &ops, s)));
    return 0;
}

static void detach(struct bp_object *obj, void *state)
{
    struct viommu *s = state;

    (void)obj;
    if (s->root && s->domains)
        pci->set_messages(s->root, NULL), pci->set_dma(s->root, s->memory);
    s->virtio = NULL;
}

static void fini(struct bp_object *obj, void *state)
{
    (void)obj;
    domains_free(((struct viommu *)state)->domains);
}

static void machine_reset(struct bp_device *dev, void *state, enum bp_reset_scope scope)
{
    (void)dev, (void)scope;
    tell_config(state);
}

static int before_save(void *state, struct bp_error *err)
{
    const struct viommu *s = state;

    if (s->domains && domains_any(s->domains))
        return bp_fail(err, ENOTSUP, "virtio-iommu: domains of its driver are not part of a saved state: it can be "
                       "saved while no device is in one");
    return 0;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct viommu *s = state;

    (void)version, (void)err;
    domains_clear(s->domains);
    return 0;
}

static const struct bp_state_field fields[] = {BP_SAVE_RANGE(UINT32, struct viommu, bypass, 0, 1), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .before_save = before_save,
                                            .after_load = after_load};

static const struct bp_field props[] = {
    BP_PROP("granule", STRING, struct viommu, granule, "host", "smallest page: 4k, 8k, 16k, 64k, host"),
    BP_PROP_RANGE("aw-bits", UINT32, struct viommu, aw_bits, "39", 32, 64, "bits of the addresses that devices use"),
    BP_PROP("boot-bypass", BOOL, struct viommu, boot_bypass, "on", "devices reach memory before a driver says else"),
    BP_FIELDS_END};

static const struct bp_level_class viommu = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = "virtio-iommu-base",
             .summary = "IOMMU device", .state_size = sizeof(struct viommu), .props = props,
             .state = &table},
    .attach = attach, .detach = detach, .fini = fini, .reset = machine_reset};

BP_VIRTIO_NAMES(iommu, "virtio-iommu", 0x0806, "IOMMU device", &viommu, .category = "misc");

static const struct bp_import imports[] = {BP_IMPORT(virtio, "virtio", 1), BP_IMPORT_MINOR(pci, "pci", 1, 3), {0}};
BP_MODULE("hw-virtio-iommu", "Virtio IOMMU device", imports, {BP_PROVIDE_DEVICE, &iommu_pci},
          {BP_PROVIDE_DEVICE, &iommu_device});
