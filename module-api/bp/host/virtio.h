/* SPDX-License-Identifier: MIT */
/*
 * Virtio devices (Virtual I/O Device 1.2): interface virtio/1, offered by the `virtio` module. A device
 * is described once and exists on PCI and on MMIO under the names that BP_VIRTIO_NAMES() makes. The
 * module does rings, negotiation, registers, interrupts and what of these is saved; the description
 * says what the device offers and takes requests from its queues.
 *
 * A description is a level (bp/level.h) whose parent is the transport's. In its attach():
 *
 *     virtio->setup(dev, &class, state, &s->virtio, err);
 *     virtio->add_queue(s->virtio, &queue_info, &s->queue, err);
 *
 * Such devices are BP_THREADS_OWN: all callbacks here hold the device's lock, and those that a queue's
 * doorbell leads to run in the device's context without the machine lock. Functions marked [locked] are
 * called with that lock held (inside of such callbacks it is; elsewhere: bp_device_lock()). What guest
 * memory holds is read once, checked and bounded; a driver that breaks the rules finds DEVICE_NEEDS_RESET
 * in its status, and nothing more comes from its queues before a reset.
 */
#ifndef BP_HOST_VIRTIO_H
#define BP_HOST_VIRTIO_H

#include <sys/uio.h>

#include <bp/bus/pci.h>
#include <bp/level.h>

BP_BEGIN_DECLS

struct bp_virtio; /* opaque: a device */
struct bp_virtq;  /* opaque: one of its queues */

/* Device types (chapter 5) that have no header of their own need no constant: the number is the
 * specification's. */

/* Feature bits of all devices (chapter 6). The module offers what it can do and its properties say. */
#define BP_VIRTIO_NOTIFY_ON_EMPTY 24u
#define BP_VIRTIO_ANY_LAYOUT 27u
#define BP_VIRTIO_INDIRECT_DESC 28u
#define BP_VIRTIO_EVENT_IDX 29u
#define BP_VIRTIO_VERSION_1 32u
#define BP_VIRTIO_ACCESS_PLATFORM 33u
#define BP_VIRTIO_RING_PACKED 34u
#define BP_VIRTIO_IN_ORDER 35u
#define BP_VIRTIO_ORDER_PLATFORM 36u
#define BP_VIRTIO_NOTIFICATION_DATA 38u
#define BP_VIRTIO_RING_RESET 40u

#define BP_VIRTIO_BIT(n) (UINT64_C(1) << (n))

#define BP_VIRTIO_MAX_QUEUES 1025u
#define BP_VIRTQ_MAX_SIZE 1024u  /* entries of a ring, and descriptors of one request */
#define BP_VIRTIO_MAX_CONFIG 1024u /* bytes */

/*
 * One request of the driver ("descriptor chain", "buffer"): what the device may read, then what it may
 * write, as vectors of host memory that stay until push(), drop() or unpop(). The memory is the guest's:
 * it may change at any time, so what is decided by it is copied out first (bp_virtq_read()).
 */
struct bp_virtq_request {
    const struct iovec *out, *in; /* device-readable, device-writable */
    unsigned out_count, in_count;
    uint64_t out_bytes, in_bytes;
    void *own;         /* info's own_size bytes, zeroed, of the device: until the request ends */
    struct bp_virtq *queue;
    void *reserved[2];
};

struct bp_virtq_info {
    uint32_t size; /* sizeof(struct bp_virtq_info) */
    uint16_t entries;  /* ring size that is offered: a power of two up to BP_VIRTQ_MAX_SIZE */
    uint16_t reserved16;
    uint32_t own_size; /* bytes at `own` of each request */
    uint32_t flags;    /* BP_VIRTQ_* */
    /*
     * The driver made requests available: take them with pop() until that gives none, and return true.
     * False: some are left on purpose (a receiver that needs none now, back-pressure); then no call comes
     * before kicks() asked for it. In the device's context [locked].
     */
    bool (*handle)(void *opaque, struct bp_virtq *queue);
    /* The driver resets the queue alone while requests are in flight: end or drop() them soon. NULL: they
     * end by themselves. [locked] */
    void (*reset)(void *opaque, struct bp_virtq *queue);
    void *reserved[4];
};

#define BP_VIRTQ_ADDRESSES 1u /* vectors are addresses of the guest, and nothing is mapped */
/* Somebody else (another process) serves the ring: handle() is called for each notification of the driver, there is
 * nothing to pop(), and ring() says where it lies. */
#define BP_VIRTQ_EXTERNAL 2u

/* A ring as the driver has set it up: where its parts lie in guest memory, and how far it has been served. */
struct bp_virtq_ring {
    uint32_t size; /* sizeof(struct bp_virtq_ring) */
    uint16_t entries;
    bool packed;
    bool avail_wrap, used_wrap; /* packed */
    uint64_t desc, driver, device;
    uint16_t avail, used; /* split: free-running indices; packed: positions */
    void *reserved[2];
};

/* What a description says of its device: constant. Each callback may be NULL; opaque is setup()'s. */
struct bp_virtio_class {
    uint32_t size; /* sizeof(struct bp_virtio_class) */
    uint16_t id;   /* device type, chapter 5: 2 is a disk */
    uint16_t config_size; /* bytes of configuration space; see config() */
    const char *name;     /* for messages: "virtio-blk" */
    uint64_t features;    /* the type's own bits, all that it can do; offer() takes away */
    uint32_t flags;       /* BP_VIRTIO_CLASS_* */
    uint32_t reserved32;
    /* Bits that it offers out of `features`, by its properties. Asked whenever the driver looks.
     * [locked] */
    uint64_t (*offer)(void *opaque, uint64_t features);
    /* The driver has chosen: a subset of what was offered (FEATURES_OK, or for a legacy driver, DRIVER_OK
     * or the first use). -errno: that doesn't go together; FEATURES_OK stays clear. [locked] */
    int (*negotiated)(void *opaque, uint64_t features);
    /* Before configuration space is read: brings config() up to date. [locked] */
    void (*config_read)(void *opaque);
    /* The driver wrote bytes `offset`.. of configuration space; they stand in config() already, and what is
     * not writable is for the device to put back. `old`: all of it as it was. [locked] */
    void (*config_written)(void *opaque, unsigned offset, unsigned size, const uint8_t *old);
    /* DRIVER_OK came (true), or it is over: reset, or it broke (false). [locked] */
    void (*running)(void *opaque, bool on);
    /*
     * The driver or the machine resets it. Requests that are in flight are ended soon, by drop() or push(),
     * which are the same then; until the last one is, a modern driver still reads a status that is not 0, and
     * no queue is handled. Nothing waits. [locked]
     */
    void (*reset)(void *opaque);
    void *reserved[6];
};
#define BP_VIRTIO_CLASS_MODERN_ONLY 1u /* no legacy interface exists: types above 9 or so */

struct bp_virtio_interface { /* virtio/1 */
    uint32_t size;

    /* ---- from attach() [main] ---- */
    /* Once for each device: says what it is. `what` is borrowed for ever. */
    int (*setup)(struct bp_device *dev, const struct bp_virtio_class *what, void *opaque,
                 struct bp_virtio **ret_virtio, struct bp_error *err);
    /* Queues are numbered in the order of these calls. */
    int (*add_queue)(struct bp_virtio *virtio, const struct bp_virtq_info *info,
                     struct bp_virtq **ret_queue, struct bp_error *err);
    /* Interrupt vectors that are made when the user says nothing (vectors=): at first one for each queue
     * and one for configuration. */
    void (*set_vectors)(struct bp_virtio *virtio, unsigned vectors);

    /* ---- what it is asked ---- */
    uint8_t *(*config)(struct bp_virtio *virtio); /* config_size bytes, little-endian. [locked] */
    /* Configuration changed without the driver: tells it, when it runs. [locked] */
    void (*config_changed)(struct bp_virtio *virtio);
    uint64_t (*features)(struct bp_virtio *virtio); /* negotiated. [locked] */
    bool (*has)(struct bp_virtio *virtio, unsigned bit);
    /* Driver and device understand each other, and the machine's bus lets it work. [locked] */
    bool (*is_running)(struct bp_virtio *virtio);
    struct bp_device *(*device)(struct bp_virtio *virtio);
    unsigned (*queues)(struct bp_virtio *virtio);
    struct bp_virtq *(*queue)(struct bp_virtio *virtio, unsigned index); /* NULL: there is none */
    unsigned (*index)(struct bp_virtq *queue);
    void *(*opaque)(struct bp_virtq *queue); /* setup()'s */

    /* ---- queues [locked] ---- */
    /* The next request, or NULL: there is none now (or the device is broken or in reset; or memory for copies is short,
     * or handle() had so many that it is others' turn: then it is called again by itself). */
    struct bp_virtq_request *(*pop)(struct bp_virtq *queue);
    /* Is there one? Looks at the ring only. */
    bool (*empty)(struct bp_virtq *queue);
    /* Ends a request, of whose writable part `written` bytes from the start are filled. In any order, but
     * with IN_ORDER, where the module holds back what comes too early. The driver sees it after flush(). */
    void (*push)(struct bp_virtq *queue, struct bp_virtq_request *request, uint64_t written);
    /* Shows the driver what was pushed, and interrupts it when it wants that; inside of handle() little of it waits
     * for its end. */
    void (*flush)(struct bp_virtq *queue);
    /* push() and flush(). */
    void (*complete)(struct bp_virtq *queue, struct bp_virtq_request *request, uint64_t written);
    /* Gives the last request that was taken back, as if it never had been. */
    void (*unpop)(struct bp_virtq *queue, struct bp_virtq_request *request);
    /* Lets go of a request in a reset, when the driver is not to see it; else it is as push() of 0. */
    void (*drop)(struct bp_virtq *queue, struct bp_virtq_request *request);
    /* Whether handle() is to be called when the driver makes requests available. True: some are there
     * already, look again (then no call comes for them). */
    bool (*kicks)(struct bp_virtq *queue, bool wanted);
    /* handle() is called soon, from the device's context. [any] */
    void (*schedule)(struct bp_virtq *queue);
    /* Requests that were popped and have not ended. */
    unsigned (*in_flight)(struct bp_virtq *queue);
    bool (*enabled)(struct bp_virtq *queue); /* the driver has set it up */

    /* The driver broke a rule: it finds DEVICE_NEEDS_RESET; logged once for each `why`, a constant. [locked] */
    void (*broken)(struct bp_virtio *virtio, const char *why);
    /*
     * The context that devices which do much I/O share when the user names no iothread: one for each
     * machine, made when it is first asked for. From attach(), before anything is made there:
     * bp_device_set_context(). It goes with the last that asked. [main]
     */
    int (*shared_context)(struct bp_virtio *virtio, struct bp_context **ret_ctx, struct bp_error *err);
    /* From minor 1 on. Reads where the driver said in a request that memory of its own lies: past the bus's IOMMU when
     * it knows of that. Errors as bp_space_read(). [locked] */
    int (*read_memory)(struct bp_virtio *virtio, uint64_t addr, void *buf, uint64_t len);
    /* From minor 2 on: for rings that somebody else serves (BP_VIRTQ_EXTERNAL). */
    /* Of the features of all devices only those in `mask` are offered from now on. At first: all. [locked] */
    void (*limit)(struct bp_virtio *virtio, uint64_t mask);
    /* False: the driver has not set it up. [locked] */
    bool (*ring)(struct bp_virtq *queue, struct bp_virtq_ring *ret_ring);
    /* How far it has been served: only avail, used and their wraps are looked at. -EINVAL: beyond the ring. [locked] */
    int (*set_position)(struct bp_virtq *queue, const struct bp_virtq_ring *ring);
    /* Interrupts the driver for a queue, if the device runs. [locked] */
    void (*interrupt)(struct bp_virtq *queue);
    /* Somebody still works on the rings: a reset has not ended before as many calls of release(). [locked] */
    void (*hold)(struct bp_virtio *virtio);
    void (*release)(struct bp_virtio *virtio);
    /* From minor 3 on. Somebody else interrupts the driver for this queue by an eventfd (borrowed): changed(opaque,
     * true) says that it arrives without the caller, who is to leave the descriptor alone, and false, that he is to
     * read it and call interrupt(): so it is before the first call. It comes within this call too, under leaf locks.
     * changed NULL: no more. -ENOTSUP: the transport cannot. [locked] */
    int (*interrupt_fd)(struct bp_virtq *queue, int fd, void (*changed)(void *opaque, bool taken), void *opaque);
    /* The driver's notifications go to this eventfd (borrowed) where they need nobody else for it; the others come to
     * handle() as ever. -1: all of them do. [main] */
    void (*kick_fd)(struct bp_virtq *queue, int fd);
    void *reserved[7];
};

/* Copies up to `size` bytes from `offset` of the readable part; returns how many there were. */
static inline uint64_t bp_virtio_copy(const struct iovec *iov, unsigned count, uint64_t offset,
                                      void *buf, uint64_t size, bool to_guest)
{
    uint64_t done = 0;

    for (unsigned i = 0; i < count && done < size; i++) {
        uint64_t n = iov[i].iov_len;

        if (offset >= n) {
            offset -= n;
            continue;
        }
        n -= offset;
        if (n > size - done)
            n = size - done;
        if (to_guest)
            __builtin_memcpy((uint8_t *)iov[i].iov_base + offset, (uint8_t *)buf + done, n);
        else
            __builtin_memcpy((uint8_t *)buf + done, (uint8_t *)iov[i].iov_base + offset, n);
        done += n;
        offset = 0;
    }
    return done;
}
static inline uint64_t bp_virtq_read(const struct bp_virtq_request *r, uint64_t offset, void *buf,
                                     uint64_t size)
{
    return bp_virtio_copy(r->out, r->out_count, offset, buf, size, false);
}
/* The same into the writable part. */
static inline uint64_t bp_virtq_write(const struct bp_virtq_request *r, uint64_t offset, const void *buf,
                                      uint64_t size)
{
    return bp_virtio_copy(r->in, r->in_count, offset, (void *)(uintptr_t)buf, size, true);
}

/* ---- names ---- */

/* What a class tells the level "virtio-pci". */
struct bp_virtio_pci_info {
    uint32_t size;
    uint32_t flags; /* BP_VIRTIO_PCI_* */
    void *reserved[2];
};
#define BP_VIRTIO_PCI_TRANSITIONAL 1u     /* both interfaces, whatever the bus; 0: by the bus and properties */
#define BP_VIRTIO_PCI_NON_TRANSITIONAL 2u /* the modern one alone */

#define BP_VIRTIO_PCI_CLASS(ident, NAME, SUMMARY, DESCRIPTION, INFOS, BUS_INFO, ...) \
    BP_NOTE("provides=device:" NAME ";bus=pci;user=yes;summary=" SUMMARY); \
    BP_STORAGE const struct bp_device_class ident = { \
        .type = {.size = sizeof(struct bp_device_class), .flags = BP_TYPE_HOTPLUGGABLE, .name = NAME, \
                 .parent = "virtio-pci", .summary = SUMMARY, .description = DESCRIPTION, \
                 .infos = INFOS, .reserved = {NULL}}, \
        .bus = "pci", .bus_info = BUS_INFO, .threads = BP_THREADS_OWN, __VA_ARGS__}
/*
 * NAME-pci (with the alias NAME) and NAME-device: BP_VIRTIO_NAMES(blk, "virtio-blk", 0x0100, "Disk", &blk, .category =
 * "storage") defines blk_pci and blk_device, to be listed as devices. CLASS_CODE is PCI's. The module
 * has "virtio/1" among its imports, by which the transports are found.
 */
#define BP_VIRTIO_NAMES(ident, NAME, CLASS_CODE, SUMMARY, DESCRIPTION, ...) \
    static const struct bp_pci_info BP_CAT(ident, _pci_function) = { \
        .size = sizeof(struct bp_pci_info), .vendor = 0x1af4, .class_code = CLASS_CODE, \
        .interrupt_pin = 1, .express = BP_PCI_EXPRESS_ENDPOINT}; \
    static const char *const BP_CAT(ident, _aliases)[] = {NAME, NULL}; \
    BP_DEVICE_ALIAS(NAME "-pci", NAME); \
    BP_VIRTIO_PCI_CLASS(BP_CAT(ident, _pci), NAME "-pci", SUMMARY " on PCI", DESCRIPTION, NULL, \
                        &BP_CAT(ident, _pci_function), .aliases = BP_CAT(ident, _aliases), \
                        __VA_ARGS__); \
    BP_NOTE("provides=device:" NAME "-device;bus=virtio-bus;user=yes;summary=" SUMMARY " on a virtio bus"); \
    BP_STORAGE const struct bp_device_class BP_CAT(ident, _device) = { \
        .type = {.size = sizeof(struct bp_device_class), .flags = BP_TYPE_HOTPLUGGABLE, \
                 .name = NAME "-device", .parent = "virtio", .summary = SUMMARY " on a virtio bus", \
                 .description = DESCRIPTION, .reserved = {NULL}}, \
        .bus = "virtio-bus", .threads = BP_THREADS_OWN, __VA_ARGS__}
/* And NAME-pci-transitional, NAME-pci-non-transitional (blk_transitional, blk_modern), for types that
 * have a legacy interface. */
#define BP_VIRTIO_TRANSITIONAL_NAMES(ident, NAME, CLASS_CODE, SUMMARY, DESCRIPTION, ...) \
    BP_VIRTIO_NAMES(ident, NAME, CLASS_CODE, SUMMARY, DESCRIPTION, __VA_ARGS__); \
    static const struct bp_pci_info BP_CAT(ident, _pci_plain) = { \
        .size = sizeof(struct bp_pci_info), .vendor = 0x1af4, .class_code = CLASS_CODE, \
        .interrupt_pin = 1}; \
    static const struct bp_virtio_pci_info BP_CAT(ident, _both) = { \
        .size = sizeof(struct bp_virtio_pci_info), .flags = BP_VIRTIO_PCI_TRANSITIONAL}; \
    static const struct bp_virtio_pci_info BP_CAT(ident, _one) = { \
        .size = sizeof(struct bp_virtio_pci_info), .flags = BP_VIRTIO_PCI_NON_TRANSITIONAL}; \
    static const struct bp_level_info BP_CAT(ident, _both_infos)[] = { \
        {.level = "virtio-pci", .info = &BP_CAT(ident, _both)}, {.level = NULL}}; \
    static const struct bp_level_info BP_CAT(ident, _one_infos)[] = { \
        {.level = "virtio-pci", .info = &BP_CAT(ident, _one)}, {.level = NULL}}; \
    BP_VIRTIO_PCI_CLASS(BP_CAT(ident, _transitional), NAME "-pci-transitional", \
                        SUMMARY " on PCI, with the legacy interface too", DESCRIPTION, \
                        BP_CAT(ident, _both_infos), &BP_CAT(ident, _pci_plain), __VA_ARGS__); \
    BP_VIRTIO_PCI_CLASS(BP_CAT(ident, _modern), NAME "-pci-non-transitional", \
                        SUMMARY " on PCI, without the legacy interface", DESCRIPTION, \
                        BP_CAT(ident, _one_infos), &BP_CAT(ident, _pci_function), __VA_ARGS__)

BP_END_DECLS

#endif
