/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Intel VT-d as a device (Intel Virtualization Technology for Directed I/O 3.0, chapters 6.5, 7.2, 10.4): registers,
 * the invalidation queue, a fault record. It sits before the memory of the Q35's PCI bus. Leaves out: scalable mode,
 * posted interrupts, advanced fault logs, page requests.
 */
#include "vtd.h"

#include <bp/bus/pci.h>
#include <bp/log.h>
#include <bp/trace.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(apic, struct bp_apic_interface, "apic", 1);
const struct bp_apic_interface *const *const vtd_apic = &apic;

enum { VERSION = 0x00, CAP = 0x08, ECAP = 0x10, COMMAND = 0x18, STATUS = 0x1c, ROOT = 0x20, CONTEXT_COMMAND = 0x28,
       FAULT_STATUS = 0x34, FAULT_EVENT = 0x38, QUEUE_HEAD = 0x80, QUEUE_TAIL = 0x88, QUEUE_ADDRESS = 0x90,
       COMPLETION_STATUS = 0x9c, COMPLETION_EVENT = 0xa0, INTERRUPT_TABLE = 0xb8, IOTLB_ADDRESS = 0xf0,
       IOTLB_COMMAND = 0xf8, RECORD = 0x220 };
/* Bits of commands and status. */
#define TRANSLATE (1u << 31)
#define SET_ROOT (1u << 30)
#define WRITE_BUFFER (1u << 27)
#define QUEUE (1u << 26)
#define REMAP (1u << 25)
#define SET_INTERRUPT_TABLE (1u << 24)
#define COMPATIBLE (1u << 23)
/* Of fault status and events. */
#define OVERFLOW 1u
#define PENDING 2u
#define QUEUE_ERROR 0x10u
#define MASKED (1u << 31)
#define WAITS (1u << 30)
#define GO (UINT64_C(1) << 63) /* of context and IOTLB commands; a record has it when it is used */
enum { CONTEXT_CACHE = 1, IOTLB = 2, DEVICE_IOTLB = 3, INTERRUPTS = 4, WAIT = 5 }; /* descriptors */

enum { AUTO, ON, OFF }; /* of intremap and eim */

static uint64_t capabilities(const struct vtd *s)
{
    return 6ull                                    /* 64 Ki domains */
           | (s->caching_mode ? 1ull << 7 : 0) | (s->aw_bits == 48 ? 6ull : 2ull) << 8 /* levels */
           | (uint64_t)(s->aw_bits - 1) << 16 | 1ull << 22 | (uint64_t)(RECORD / 16) << 24
           | 3ull << 34                            /* pages of 2 MiB and 1 GiB */
           | 1ull << 39 | 18ull << 48 | 3ull << 54; /* page-selective invalidation, drains */
}

static uint64_t more_capabilities(const struct vtd *s)
{
    return 1ull | 1ull << 1 | (s->device_iotlb ? 1ull << 2 : 0) | 1ull << 6 | 1ull << 7 |
           (s->has_remapping ? 1ull << 3 | 15ull << 20 : 0) | /* any mask of indices */
           (vtd_has_wide(s) ? 1ull << 4 : 0) |
           (uint64_t)(IOTLB_ADDRESS / 16) << 8;
}

/* ---- events ---- */

/* The message of a block of four registers, or its pending bit. */
static void tell(const struct vtd *s, uint32_t block[4])
{
    if (block[0] & MASKED) {
        block[0] |= WAITS;
        return;
    }
    block[0] &= ~WAITS;
    vtd_send(s, block[2] | (uint64_t)block[3] << 32, block[1]);
}

void vtd_fault(struct vtd *s, uint32_t requester, uint64_t addr, bool write, enum vtd_fault why,
               enum vtd_request request)
{
    bp_guest_error("vtd-fault", "intel-iommu: function %02x:%02x.%x may not reach 0x%llx (reason %u)",
                   requester >> 8 & 0xff, requester >> 3 & 31, requester & 7, (unsigned long long)addr, why);
    pthread_mutex_lock(&s->lock);
    if (s->record[1] & GO) {
        s->fault_status |= OVERFLOW;
    } else if (!(s->fault_status & OVERFLOW)) {
        bool first = !(s->fault_status & PENDING);

        s->record[0] = addr & ~UINT64_C(4095);
        s->record[1] = GO | (write ? 0 : UINT64_C(1) << 62) | (uint64_t)request << 60 | (uint64_t)why << 32 |
                       (requester & 0xffff);
        s->fault_status |= PENDING;
        if (first)
            tell(s, s->event);
    }
    pthread_mutex_unlock(&s->lock);
}

/* ---- the invalidation queue ---- */

static void queue_failed(struct vtd *s)
{
    bp_guest_error("vtd-queue", "intel-iommu: a descriptor of the invalidation queue is not valid");
    pthread_mutex_lock(&s->lock);
    s->fault_status |= QUEUE_ERROR;
    tell(s, s->event);
    pthread_mutex_unlock(&s->lock);
}

BP_TRACE_POINT(vtd_invalidate, "vtd_invalidate", "kind %u domain %u address 0x%llx");

/* A function is to forget a page, or with S an aligned stretch, whose size the lowest 0 of its page number tells
 * (6.5.2.5). */
static void forget(struct vtd *s, const uint64_t d[2])
{
    uint64_t page = d[1] >> 12, bytes = 4096;
    unsigned ones = ~page & (UINT64_MAX >> 12) ? (unsigned)__builtin_ctzll(~page) : 52;
    struct bp_iommu_entry e = {.size = sizeof(e), .requester = (uint32_t)(d[0] >> 32 & 0xffff),
                               .flags = BP_ACCESS_REQUESTER};

    if (d[1] & 1)
        bytes = ones > 50 ? UINT64_MAX : UINT64_C(8192) << ones;
    e.address = bytes == UINT64_MAX ? 0 : d[1] & ~(bytes - 1);
    e.length = bytes;
    bp_iommu_changed(s->region, &e);
}

static bool carry_out(struct vtd *s, const uint64_t d[2])
{
    uint32_t value;

    if ((d[0] & 15) != WAIT)
        bp_trace(vtd_invalidate, (unsigned)(d[0] & 15), (unsigned)(d[0] >> 16 & 0xffff), (unsigned long long)d[1]);
    switch (d[0] & 15) {
    case CONTEXT_CACHE:
    case IOTLB:
    case INTERRUPTS:
        return true; /* nothing is kept here that could be old */
    case DEVICE_IOTLB:
        if (s->device_iotlb)
            forget(s, d);
        return s->device_iotlb;
    case WAIT:
        value = htole32((uint32_t)(d[0] >> 32));
        if (d[0] & 0x20)
            (void)bp_space_write(s->memory, d[1] & ~UINT64_C(3), &value, 4);
        if (d[0] & 0x10 && !s->completed) {
            s->completed = 1;
            tell(s, s->completion);
        }
        return true;
    default:
        return false;
    }
}

/* Up to a queue's length: a guest that moves the tail on from within cannot hold it for ever. */
static void run_entries(struct vtd *s)
{
    uint64_t entries = UINT64_C(256) << (s->queue_address & 7), bytes = entries * 16;

    for (uint64_t n = 0; n < entries && s->status & QUEUE && s->queue_head != s->queue_tail; n++) {
        uint64_t d[2];

        if (s->fault_status & QUEUE_ERROR)
            return;
        if (s->queue_tail >= bytes ||
            bp_space_read(s->memory, (s->queue_address & ~UINT64_C(4095)) + s->queue_head, d, sizeof(d)) < 0) {
            queue_failed(s);
            return;
        }
        d[0] = le64toh(d[0]);
        d[1] = le64toh(d[1]);
        if (!carry_out(s, d)) {
            queue_failed(s);
            return;
        }
        s->queue_head = (s->queue_head + 16) % bytes;
    }
}

/* What a descriptor has us write may be a register of our own. */
static void run_queue(struct vtd *s)
{
    if (s->queue_runs)
        return;
    s->queue_runs = true;
    run_entries(s);
    s->queue_runs = false;
}

/* ---- registers ---- */

static void command_interrupts(struct vtd *s, uint32_t value)
{
    if (value & SET_INTERRUPT_TABLE) {
        __atomic_store_n(&s->interrupts, s->interrupt_table & (vtd_has_wide(s) ? UINT64_MAX : ~VTD_EXTENDED),
                         __ATOMIC_RELEASE);
        s->status |= SET_INTERRUPT_TABLE;
    }
    s->status = (s->status & ~(REMAP | COMPATIBLE)) | (value & (REMAP | COMPATIBLE));
    __atomic_store_n(&s->compatible, (value & COMPATIBLE) != 0, __ATOMIC_RELEASE);
    __atomic_store_n(&s->remaps, (value & REMAP) != 0, __ATOMIC_RELEASE);
}

static void command(struct vtd *s, uint32_t value)
{
    if (value & SET_ROOT) {
        __atomic_store_n(&s->root, s->root_address, __ATOMIC_RELEASE);
        s->status |= SET_ROOT;
    }
    if ((value ^ s->status) & QUEUE) {
        s->status ^= QUEUE;
        s->queue_head = 0;
        run_queue(s);
    }
    if (s->has_remapping)
        command_interrupts(s, value);
    s->status = (s->status & ~TRANSLATE) | (value & TRANSLATE);
    __atomic_store_n(&s->enabled, (value & TRANSLATE) != 0, __ATOMIC_RELEASE);
}

static uint64_t faults(struct vtd *s, unsigned at)
{
    uint64_t v;

    pthread_mutex_lock(&s->lock);
    if (at == FAULT_STATUS)
        v = s->fault_status;
    else if (at >= RECORD)
        v = s->record[(at - RECORD) / 8];
    else
        v = s->event[(at - FAULT_EVENT) / 4];
    pthread_mutex_unlock(&s->lock);
    return v;
}

/* A register of 4 or 8 bytes that begins at `at`. */
static uint64_t value_of(struct vtd *s, unsigned at)
{
    switch (at) {
    case VERSION: return 0x10;
    case CAP: return capabilities(s);
    case ECAP: return more_capabilities(s);
    case STATUS: return s->status;
    case ROOT: return s->root_address;
    case CONTEXT_COMMAND: return s->context_command;
    case QUEUE_HEAD: return s->queue_head;
    case QUEUE_TAIL: return s->queue_tail;
    case QUEUE_ADDRESS: return s->queue_address;
    case COMPLETION_STATUS: return s->completed;
    case INTERRUPT_TABLE: return s->interrupt_table;
    case IOTLB_ADDRESS: return s->iotlb_address;
    case IOTLB_COMMAND: return s->iotlb_command;
    case FAULT_STATUS: case RECORD: case RECORD + 8:
        return faults(s, at);
    }
    if (at >= FAULT_EVENT && at < FAULT_EVENT + 16)
        return faults(s, at);
    if (at >= COMPLETION_EVENT && at < COMPLETION_EVENT + 16)
        return s->completion[(at - COMPLETION_EVENT) / 4];
    return 0;
}

static bool is_wide(unsigned at)
{
    return at == CAP || at == ECAP || at == ROOT || at == CONTEXT_COMMAND || at == QUEUE_HEAD || at == QUEUE_TAIL ||
           at == QUEUE_ADDRESS || at == INTERRUPT_TABLE || at == IOTLB_ADDRESS || at == IOTLB_COMMAND || at == RECORD ||
           at == RECORD + 8;
}

static uint64_t vtd_read(void *opaque, uint64_t addr, unsigned size)
{
    struct vtd *s = opaque;
    unsigned at = (unsigned)addr;

    if (at & 4 && is_wide(at - 4))
        return value_of(s, at - 4) >> 32;
    if (size == 8 && !is_wide(at))
        return (uint32_t)value_of(s, at) | value_of(s, at + 4) << 32;
    return value_of(s, at);
}

static void write_event(struct vtd *s, uint32_t block[4], unsigned n, uint32_t value)
{
    pthread_mutex_lock(&s->lock);
    if (n == 0) {
        bool waits = block[0] & WAITS;

        block[0] = (value & MASKED) | (waits ? WAITS : 0);
        if (waits && !(value & MASKED))
            tell(s, block);
    } else {
        block[n] = value;
    }
    pthread_mutex_unlock(&s->lock);
}

static void write_faults(struct vtd *s, unsigned at, uint64_t value)
{
    pthread_mutex_lock(&s->lock);
    if (at == RECORD + 8 && value & GO) {
        s->record[1] &= ~GO;
        s->fault_status &= ~PENDING;
    }
    if (at == FAULT_STATUS)
        s->fault_status &= ~((uint32_t)value & (OVERFLOW | 0x70));
    pthread_mutex_unlock(&s->lock);
}

static void set(struct vtd *s, unsigned at, uint64_t value)
{
    switch (at) {
    case COMMAND:
        command(s, (uint32_t)value);
        break;
    case ROOT:
        s->root_address = value;
        break;
    case CONTEXT_COMMAND: /* done at once, as wide as it was asked for */
        s->context_command = (value & ~(GO | UINT64_C(3) << 59)) | (value >> 61 & 3) << 59;
        break;
    case IOTLB_COMMAND:
        s->iotlb_command = (value & ~(GO | UINT64_C(3) << 57)) | (value >> 60 & 3) << 57;
        break;
    case IOTLB_ADDRESS:
        s->iotlb_address = value;
        break;
    case QUEUE_TAIL:
        s->queue_tail = value & 0x7fff0;
        run_queue(s);
        break;
    case QUEUE_ADDRESS:
        s->queue_address = value & ~UINT64_C(0xff8);
        s->queue_tail = 0;
        break;
    case INTERRUPT_TABLE:
        s->interrupt_table = value;
        break;
    case COMPLETION_STATUS:
        s->completed &= ~(uint32_t)value;
        break;
    case FAULT_STATUS: case RECORD + 8:
        write_faults(s, at, value);
        if (at == FAULT_STATUS && value & QUEUE_ERROR)
            run_queue(s);
        break;
    default:
        if (at >= FAULT_EVENT && at < FAULT_EVENT + 16)
            write_event(s, s->event, (at - FAULT_EVENT) / 4, (uint32_t)value);
        if (at >= COMPLETION_EVENT && at < COMPLETION_EVENT + 16)
            write_event(s, s->completion, (at - COMPLETION_EVENT) / 4, (uint32_t)value);
    }
}

/* Halves of wide registers: the upper one does what the register does, but for addresses. */
static void vtd_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct vtd *s = opaque;
    unsigned at = (unsigned)addr;

    if (at & 4 && is_wide(at - 4)) {
        set(s, at - 4, (uint32_t)value_of(s, at - 4) | value << 32);
    } else if (size == 8 && !is_wide(at)) {
        set(s, at, (uint32_t)value);
        set(s, at + 4, value >> 32);
    } else if (size == 4 && is_wide(at)) {
        uint64_t high = value_of(s, at) & ~UINT64_C(0xffffffff);

        set(s, at, at == RECORD + 8 ? value : high | value);
    } else {
        set(s, at, value);
    }
}

static const struct bp_region_ops ops = {
    .size = sizeof(ops), .read = vtd_read, .write = vtd_write, .min_access = 4, .max_access = 8, .valid_min = 4,
    .valid_max = 8};

/* ---- life ---- */

/* Messages of an I/O APIC that the accelerator has do not come by here. */
static bool has_kept_ioapic(struct bp_device *dev)
{
    return bp_device_first(bp_device_machine(dev), "kvm-ioapic") != NULL;
}

static int check(const struct vtd *s, struct bp_device *dev, struct bp_error *err)
{
    struct bp_device *first = bp_device_first(bp_device_machine(dev), "intel-iommu");

    if (s->aw_bits != 39 && s->aw_bits != 48)
        return bp_fail(err, EINVAL, "aw-bits=%u: supported values for aw-bits are: 39 and 48", s->aw_bits);
    if (first && first != dev)
        return bp_fail(err, EEXIST, "there is an intel-iommu already: a machine has one");
    if (s->intremap == ON && has_kept_ioapic(dev))
        return bp_fail(err, ENOTSUP, "intel-iommu: intremap=on: nobody remaps the messages of the I/O APIC in the "
                       "host's kernel; use -accel kvm,kernel-irqchip=split, or off");
    if (s->eim == ON && (s->intremap == OFF || has_kept_ioapic(dev)))
        return bp_fail(err, EINVAL, "intel-iommu: eim=on: only interrupts that are remapped have destinations of 32 "
                       "bits; use intremap=on");
    return 0;
}

static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct vtd *s = bp_device_state(dev);
    struct bp_bus *root = bp_bus_find(bp_device_machine(dev), "pcie");
    struct bp_owner *owner = bp_device_owner(dev);
    int r = check(s, dev, err);

    if (r < 0)
        return r;
    if (!root)
        return bp_fail(err, ENOTSUP, "intel-iommu is for machine q35: this one has no PCI Express bus");
    s->dev = dev;
    s->memory = bp_device_memory(dev);
    s->apic_bus = bp_device_first(bp_device_machine(dev), "apic-bus");
    if (!s->apic_bus)
        return bp_fail(err, ENOTSUP, "intel-iommu needs a machine with local APICs");
    s->has_remapping = s->intremap == ON || (s->intremap == AUTO && !has_kept_ioapic(dev));
    pthread_mutex_init(&s->lock, NULL);
    bp_region_add(bp_space_root(s->memory), bp_region_new_io(owner, "intel-iommu", 4096, &ops, s), VTD_BASE, 1);
    vtd_interrupts_open(s);
    pci->set_messages(root, s->messages);
    s->region = bp_region_new_iommu(owner, "intel-iommu-dma", UINT64_MAX, &vtd_ops, s);
    pci->set_dma(root, bp_space_new(owner, "intel-iommu-dma", s->region));
    return 0;
}

static void detach(struct bp_device *dev)
{
    struct vtd *s = bp_device_state(dev);
    struct bp_bus *root = bp_bus_find(bp_device_machine(dev), "pcie");

    if (root) {
        pci->set_messages(root, NULL);
        pci->set_dma(root, s->memory);
    }
    vtd_interrupts_close(s);
    pthread_mutex_destroy(&s->lock);
}

static void reset(struct bp_device *dev)
{
    struct vtd *s = bp_device_state(dev);

    __atomic_store_n(&s->enabled, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&s->remaps, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&s->compatible, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&s->interrupts, 0, __ATOMIC_RELEASE);
    s->root_address = s->queue_address = s->queue_head = s->queue_tail = s->interrupt_table = 0;
    s->context_command = s->iotlb_command = s->iotlb_address = 0;
    s->status = s->completed = 0;
    memset(s->completion, 0, sizeof(s->completion));
    s->completion[0] = MASKED;
    pthread_mutex_lock(&s->lock);
    s->fault_status = 0;
    memset(s->event, 0, sizeof(s->event));
    s->event[0] = MASKED;
    s->record[0] = s->record[1] = 0;
    pthread_mutex_unlock(&s->lock);
}

static const struct bp_state_field fields[] = {
    BP_SAVE(UINT64, struct vtd, root), BP_SAVE(UINT32, struct vtd, enabled), BP_SAVE(UINT64, struct vtd, root_address),
    BP_SAVE(UINT64, struct vtd, queue_address), BP_SAVE(UINT64, struct vtd, queue_head),
    BP_SAVE(UINT64, struct vtd, queue_tail), BP_SAVE(UINT64, struct vtd, interrupt_table),
    BP_SAVE(UINT32, struct vtd, status), BP_SAVE(UINT64, struct vtd, context_command),
    BP_SAVE(UINT64, struct vtd, iotlb_command), BP_SAVE(UINT64, struct vtd, iotlb_address),
    BP_SAVE(UINT32, struct vtd, completed), BP_SAVE_ARRAY(UINT32, struct vtd, completion),
    BP_SAVE(UINT32, struct vtd, fault_status), BP_SAVE_ARRAY(UINT32, struct vtd, event),
    BP_SAVE_ARRAY(UINT64, struct vtd, record), BP_SAVE_SINCE(2, UINT64, struct vtd, interrupts), BP_SAVE_END};

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct vtd *s = state;

    (void)version;
    if (s->queue_head % 16 || s->queue_head >= UINT64_C(4096) << (s->queue_address & 7))
        return bp_fail(err, EINVAL, "intel-iommu: the invalidation queue's head is outside of it");
    if (s->status & REMAP && !s->has_remapping)
        return bp_fail(err, EINVAL, "intel-iommu: the state remaps interrupts: intremap=on is needed here, too");
    if (s->interrupts & VTD_EXTENDED && !vtd_has_wide(s))
        return bp_fail(err, EINVAL, "intel-iommu: the state has destinations of 32 bits: eim=on is needed here, too");
    __atomic_store_n(&s->compatible, (s->status & COMPATIBLE) != 0, __ATOMIC_RELEASE);
    __atomic_store_n(&s->remaps, (s->status & REMAP) != 0, __ATOMIC_RELEASE);
    return 0;
}
static const struct bp_state_table table = {.version = 2, .oldest = 1, .fields = fields, .after_load = after_load};

static const struct bp_field props[] = {
    BP_PROP("aw-bits", UINT8, struct vtd, aw_bits, "39", "bits of the addresses that devices use: 39 or 48"),
    BP_PROP("caching-mode", BOOL, struct vtd, caching_mode, "off", "the guest tells of what it maps, too"),
    BP_PROP("device-iotlb", BOOL, struct vtd, device_iotlb, "off", "devices may keep translations"),
    BP_PROP("intremap", ON_OFF_AUTO, struct vtd, intremap, "auto",
            "interrupt remapping; auto: on, but with kernel-irqchip=on"),
    BP_PROP("eim", ON_OFF_AUTO, struct vtd, eim, "auto",
            "remapped interrupts have destinations of 32 bits, which processors beyond 254 need; auto: with intremap"),
    BP_FIELDS_END};

BP_DEVICE(vtd_class, "intel-iommu", "system", "Intel VT-d IOMMU", struct vtd, props, &table, .category = "misc",
          .attach = attach, .detach = detach, .reset = reset);
static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 3),
                                           BP_IMPORT_MINOR(apic, "apic", 1, 4), {0}};
BP_MODULE("hw-intel-iommu", "Intel VT-d IOMMU", imports, {BP_PROVIDE_DEVICE, &vtd_class});
