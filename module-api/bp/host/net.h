/* SPDX-License-Identifier: MIT */
/*
 * Networks: interface net/1, offered by the `net` module. A back end (a netdev: user, tap, socket, ...)
 * carries Ethernet frames between the host and a NIC, which a device of the guest has; hubs join several of
 * both; filters sit on a netdev.
 *
 * A packet is a vector plus facts about what its sender left to do (checksum, segmentation), in the
 * measure of virtio 1.2, 5.1.6, in host byte order. It is not copied or parsed on its way unless somebody on
 * it cannot take it so: the framework then completes checksums and cuts segments for them.
 *
 * Sending takes a batch and returns how many of it were taken; the rest stays the sender's, who is told by
 * ready() when there is room again. What reaches a port that is at work itself (it is sending, or receiving),
 * or a NIC whose machine stands, waits in a queue of the framework's: at most BP_NET_QUEUE_PACKETS packets
 * and BP_NET_QUEUE_BYTES bytes for each port. So receive() is never called from inside of one's own send().
 *
 * All functions and callbacks: [any] under the machine lock, unless they say otherwise.
 */
#ifndef BP_HOST_NET_H
#define BP_HOST_NET_H

#include <sys/uio.h>

#include <bp/device.h>
#include <bp/kind.h>
#include <bp/module.h>
#include <bp/object.h>

BP_BEGIN_DECLS

struct bp_netdev;     /* opaque; a bp_object of type "netdev" at /netdevs/ID */
struct bp_nic;        /* opaque: a device's end of a cable */
struct bp_net_filter; /* opaque */

#define BP_NET_QUEUE_PACKETS 256u
#define BP_NET_QUEUE_BYTES (4u << 20)
#define BP_NET_MAX_PACKET 65600u  /* bytes of one packet, with its Ethernet header: longer ones are dropped */
#define BP_NET_MAX_VECTORS 1024u

struct bp_net_offload {
    uint8_t flags;   /* BP_NET_NEEDS_CHECKSUM, BP_NET_CHECKSUM_VALID */
    uint8_t segment; /* BP_NET_SEGMENT_*, perhaps with BP_NET_SEGMENT_ECN */
    uint16_t header_length;   /* with segment: bytes of all headers, a hint */
    uint16_t segment_size;    /* with segment: bytes of payload in each */
    uint16_t checksum_start;  /* NEEDS_CHECKSUM: sum from here to the end goes to checksum_start + */
    uint16_t checksum_offset; /* checksum_offset, where the pseudo header's sum stands */
    uint16_t hash_type;       /* virtio's VIRTIO_NET_HASH_REPORT_*; 0: none */
    uint32_t hash;
};
#define BP_NET_NEEDS_CHECKSUM 1u
#define BP_NET_CHECKSUM_VALID 2u
#define BP_NET_SEGMENT_NONE 0u
#define BP_NET_SEGMENT_TCP4 1u
#define BP_NET_SEGMENT_UDP 3u /* fragments of IP (UFO) */
#define BP_NET_SEGMENT_TCP6 4u
#define BP_NET_SEGMENT_UDP_L4 5u /* datagrams (USO) */
#define BP_NET_SEGMENT_ECN 0x80u

/* What somebody takes as it is. */
#define BP_NET_TAKES_CHECKSUM (1u << 0) /* checksums that are not there yet */
#define BP_NET_TAKES_TCP4 (1u << 1)
#define BP_NET_TAKES_TCP6 (1u << 2)
#define BP_NET_TAKES_ECN (1u << 3)
#define BP_NET_TAKES_UDP (1u << 4)
#define BP_NET_TAKES_UDP_L4 (1u << 5)

struct bp_net_packet {
    const struct iovec *vectors; /* borrowed for the call */
    unsigned count;
    uint32_t length; /* bytes of all vectors, from the destination address on, without FCS */
    struct bp_net_offload offload;
};

/* ---- NICs ---- */

/* A device's properties `mac` and `netdev`: BP_NET_PROPS(struct my_state, conf). */
struct bp_net_conf {
    char *mac;    /* as text; nic_new() fills it in when it is not given */
    char *netdev; /* id of a netdev, or NULL: no cable */
};
#define BP_NET_PROPS(STATE, FIELD) \
    BP_PROP("mac", STRING, STATE, FIELD.mac, NULL, "hardware address; default: 52:54:00:12:34:56 and up"), \
    BP_PROP("netdev", STRING, STATE, FIELD.netdev, NULL, "id of the netdev that it is connected to")

struct bp_nic_ops {
    uint32_t size; /* sizeof(struct bp_nic_ops) */
    uint32_t takes; /* BP_NET_TAKES_* at first; see nic_takes() */
    /* Returns how many were taken, from the first on. One that the guest's filters refuse is taken and dropped. Fewer
     * than all: nic_ready() follows when there is room. */
    unsigned (*receive)(void *opaque, unsigned queue, const struct bp_net_packet *packets, unsigned count);
    void (*ready)(void *opaque, unsigned queue); /* send() took less than all, and there is room again */
    void (*link)(void *opaque, bool up);         /* the cable's state changed */
    void *reserved[4];
};

/* ---- back ends ---- */

struct bp_virtio;

/*
 * A netdev whose packets never come here: somebody else serves the rings of a virtio network card (bp/host/virtio.h,
 * BP_VIRTQ_EXTERNAL). Only a card whose ops have BP_NET_TAKES_RINGS can have such a netdev, and it stays as long as
 * the card. Pair n is queues 2n and 2n + 1.
 */
struct bp_net_rings {
    uint32_t size; /* sizeof(struct bp_net_rings) */
    /* The card has made its queues. [main] */
    int (*attach)(struct bp_netdev *nd, struct bp_virtio *virtio, unsigned pairs, struct bp_error *err);
    void (*detach)(struct bp_netdev *nd);                   /* the card leaves; NULL state is fine. [main] */
    uint64_t (*features)(struct bp_netdev *nd);             /* bits of virtio that may be offered. [any] */
    void (*run)(struct bp_netdev *nd, bool on);             /* the driver is ready, or ceases. [locked] */
    void (*kick)(struct bp_netdev *nd, unsigned queue);     /* the driver has notified it. [locked] */
    void (*active)(struct bp_netdev *nd, unsigned pairs);   /* so many pairs are in use. [locked] */
    void *reserved[4];
};
#define BP_NET_TAKES_RINGS (1u << 31) /* in ops->takes: it gives its rings to a netdev that has bp_net_rings */

/* A netdev. type.props are the keys of -netdev TYPE,... (without id). */
struct bp_netdev_class {
    struct bp_type_info type; /* see BP_NETDEV */
    uint32_t takes; /* BP_NET_TAKES_* at first; see netdev_takes() */
    uint32_t reserved32;
    int (*open)(struct bp_netdev *nd, struct bp_error *err); /* properties are set */
    void (*close)(struct bp_netdev *nd);
    /* As those of a NIC; packets go to the host. */
    unsigned (*receive)(struct bp_netdev *nd, unsigned queue, const struct bp_net_packet *packets,
                        unsigned count);
    void (*ready)(struct bp_netdev *nd, unsigned queue);
    /* What the other end takes changed: what netdev_peer_takes() gives. Or NULL. */
    void (*peer_takes)(struct bp_netdev *nd, uint32_t takes);
    void (*link)(struct bp_netdev *nd, bool up); /* or NULL */
    /* For `info network`, malloc'd: "net=10.0.2.0,restrict=off"; or NULL. */
    char *(*info)(struct bp_netdev *nd);
    /* The address of a NIC that was given none, where machines that do not know of each other meet; false, or NULL: as
     * everywhere. */
    bool (*default_mac)(struct bp_netdev *nd, uint8_t mac[6]);
    const struct bp_net_rings *rings; /* or NULL: it has packets */
    void *reserved[4];
};

static const struct bp_shape_slot bp_netdev_slots[] BP_UNUSED = {
    BP_SHAPE_TYPE, BP_SHAPE_PLAIN(struct bp_netdev_class, takes, reserved32), BP_SHAPE_END};
static const struct bp_shape bp_netdev_shape BP_UNUSED = {
    "bp_netdev_class", sizeof(struct bp_netdev_class), bp_netdev_slots};
#define BP_NETDEV_KIND \
    .size = sizeof(struct bp_kind), .major = 1, .minor = 0, .name = "netdev", \
    .heading = "Available netdev backend types:", .summary = "Network back ends", \
    .option = "netdev", .prefix = "netdev-", .parent = "netdev", .container = "/netdevs", \
    .shape = &bp_netdev_shape
static const struct bp_kind bp_netdev_kind BP_UNUSED = {
    BP_NETDEV_KIND, .check = NULL, .exercise = NULL, .reserved = {NULL}};

/* Listed as {BP_PROVIDE_OTHER, &ident}. */
#define BP_NETDEV(ident, NAME, SUMMARY, STATE, PROPS, ...) \
    BP_NOTE("provides=netdev:" NAME ";summary=" SUMMARY); \
    BP_STORAGE const struct bp_netdev_class ident = { \
        .type = {.size = sizeof(struct bp_netdev_class), .flags = 0, .name = "netdev-" NAME, \
                 .parent = NULL, .summary = SUMMARY, .state_size = sizeof(STATE), \
                 .props = PROPS, .state = NULL, .kind = &bp_netdev_kind, .reserved = {NULL}}, \
        __VA_ARGS__}

/* ---- filters ---- */

enum bp_net_direction {
    BP_NET_TX, /* sent by the netdev, to the guest */
    BP_NET_RX, /* sent to the netdev, by the guest */
};
enum bp_net_filter_queue { BP_NET_FILTER_ALL, BP_NET_FILTER_RX, BP_NET_FILTER_TX };

/* Properties that every filter (an -object) has: BP_NET_FILTER_PROPS(struct my_state, conf). */
struct bp_net_filter_conf {
    char *netdev, *position;
    int queue, insert; /* enum bp_net_filter_queue; 0 behind, 1 before */
    bool status;
    struct bp_net_filter *filter; /* filter_new() sets it */
};
static const char *const bp_net_filter_queues[] BP_UNUSED = {"all", "rx", "tx", NULL};
static const struct bp_schema bp_net_filter_queue_schema BP_UNUSED = {
    .name = "NetFilterDirection", .kind = BP_KIND_ENUM, .members = NULL, .choices = bp_net_filter_queues,
    .discriminator = NULL, .variants = NULL, .element_kind = BP_KIND_NONE, .element = NULL, .reserved = {NULL}};
static const char *const bp_net_filter_inserts[] BP_UNUSED = {"behind", "before", NULL};
static const struct bp_schema bp_net_filter_insert_schema BP_UNUSED = {
    .name = "NetfilterInsert", .kind = BP_KIND_ENUM, .members = NULL, .choices = bp_net_filter_inserts,
    .discriminator = NULL, .variants = NULL, .element_kind = BP_KIND_NONE, .element = NULL, .reserved = {NULL}};
#define BP_NET_FILTER_PROPS(STATE, FIELD) \
    BP_PROP("netdev", STRING, STATE, FIELD.netdev, NULL, "id of the netdev that it sits on"), \
    BP_PROP_ENUM("queue", &bp_net_filter_queue_schema, STATE, FIELD.queue, "all", \
                 "rx: what is sent to the netdev; tx: what the netdev sends"), \
    BP_PROP("position", STRING, STATE, FIELD.position, "tail", "head, tail, or id=ID of another filter"), \
    BP_PROP_ENUM("insert", &bp_net_filter_insert_schema, STATE, FIELD.insert, "behind", \
                 "on which side of position=id=ID"), \
    { .name = "status", .kind = BP_KIND_BOOL, .flags = BP_FIELD_WRITE_LIVE, \
      .offset = offsetof(STATE, FIELD.status), .def = "on", .help = "packets pass through it" }

struct bp_net_filter_ops {
    uint32_t size; /* sizeof(struct bp_net_filter_ops) */
    uint32_t takes; /* BP_NET_TAKES_*: packets with other work left are finished before it sees them */
    /* true: the packet goes on. false: the filter keeps it (it has copied it) or drops it. */
    bool (*packet)(void *opaque, enum bp_net_direction direction, unsigned queue,
                   const struct bp_net_packet *packet);
    void *reserved[4];
};

struct bp_net_interface { /* net/1 */
    uint32_t size;
    /* ---- for devices ---- */
    /* From attach(), as its last step that can fail: checks and completes conf (of the device's properties, borrowed
     * until nic_free()), connects to the netdev. `queues`: pairs that it has at most. ops is borrowed. Errors: -EINVAL
     * a bad or multicast address; -ENOENT no such netdev; -EBUSY another NIC has it. [main] */
    int (*nic_new)(struct bp_device *dev, struct bp_net_conf *conf, unsigned queues,
                   const struct bp_nic_ops *ops, void *opaque, struct bp_nic **ret_nic,
                   struct bp_error *err);
    void (*nic_free)(struct bp_nic *nic); /* from detach(); NULL is fine. [main] */
    void (*nic_mac)(const struct bp_nic *nic, uint8_t ret_mac[6]); /* as configured */
    /* Where nobody is, everything is taken. */
    unsigned (*nic_send)(struct bp_nic *nic, unsigned queue, const struct bp_net_packet *packets,
                         unsigned count);
    void (*nic_ready)(struct bp_nic *nic, unsigned queue); /* receive() would take packets again */
    bool (*nic_link)(const struct bp_nic *nic);            /* is the cable up? Without a netdev too */
    void (*nic_takes)(struct bp_nic *nic, uint32_t takes); /* what its guest takes, from now on */
    uint32_t (*nic_peer_takes)(const struct bp_nic *nic);  /* without work for the framework; 0: nobody there */
    unsigned (*nic_peer_queues)(const struct bp_nic *nic); /* 1 when nobody is there */
    /* The address that the guest has given itself, for `info network`. */
    void (*nic_set_mac)(struct bp_nic *nic, const uint8_t mac[6]);
    /* ---- for boards ---- */
    /* Makes the NICs that -nic and -net nic ask for: of `model` where none is named. When the command line says nothing
     * of networks, `by_default` asks for one on user networking, if both are installed. [main] */
    int (*make_nics)(struct bp_machine *machine, const char *model, bool by_default, struct bp_error *err);
    /* ---- for back ends ---- */
    void *(*netdev_state)(struct bp_netdev *nd);
    struct bp_netdev *(*netdev_of_state)(void *state);
    const char *(*netdev_id)(const struct bp_netdev *nd);
    struct bp_owner *(*netdev_owner)(struct bp_netdev *nd); /* for its watches and timers */
    struct bp_netdev *(*netdev_find)(const char *id);       /* borrowed or NULL */
    /* From open(): how many pairs of queues it has; 1 when it does not say. */
    void (*netdev_set_queues)(struct bp_netdev *nd, unsigned queues);
    unsigned (*netdev_send)(struct bp_netdev *nd, unsigned queue, const struct bp_net_packet *packets,
                            unsigned count);
    /* The same for who cannot wait: what the other end does not take now waits in the framework's queue. Less than
     * all: that is full; the rest is lost, counted. */
    unsigned (*netdev_push)(struct bp_netdev *nd, unsigned queue, const struct bp_net_packet *packets,
                            unsigned count);
    /* Room for the next packet? Else ready() follows. */
    bool (*netdev_can_send)(struct bp_netdev *nd, unsigned queue);
    void (*netdev_ready)(struct bp_netdev *nd, unsigned queue);
    void (*netdev_takes)(struct bp_netdev *nd, uint32_t takes);
    uint32_t (*netdev_peer_takes)(const struct bp_netdev *nd);
    bool (*netdev_connected)(const struct bp_netdev *nd); /* somebody is at the other end */
    /* The link to the peer of the back end came or went (a connection that is lost): the NIC sees its cable. */
    void (*netdev_set_link)(struct bp_netdev *nd, bool up);
    /* Joins two netdevs (a hub's port and another). -EBUSY: one of them is joined. */
    int (*netdev_connect)(struct bp_netdev *nd, struct bp_netdev *other, struct bp_error *err);
    /* Makes one as -netdev does: args has "type", "id" and the type's keys. [main] */
    int (*netdev_create)(struct bp_value *args, struct bp_netdev **ret_nd, struct bp_error *err);
    int (*netdev_remove)(const char *id, struct bp_error *err);
    /* ---- for filters ---- */
    /* From complete(). ops is borrowed. -ENOENT: no such netdev or filter. [main] */
    int (*filter_new)(struct bp_object *obj, struct bp_net_filter_conf *conf,
                      const struct bp_net_filter_ops *ops, void *opaque, struct bp_error *err);
    void (*filter_free)(struct bp_net_filter *filter); /* from finalize(); NULL is fine. [main] */
    /* Sends a packet on from behind the filter. false: there was no room, it is lost, counted. */
    bool (*filter_pass)(struct bp_net_filter *filter, enum bp_net_direction direction, unsigned queue,
                        const struct bp_net_packet *packet);
    /* ---- for all ---- */
    /* Copies at most `length` bytes of a packet from `offset` on; returns how many there were. [any] */
    size_t (*copy)(const struct bp_net_packet *packet, size_t offset, void *buf, size_t length);
    /* The netdev that wants a card's rings, or NULL: it has packets, or there is none. It does not change. [any] */
    struct bp_netdev *(*nic_rings)(const struct bp_nic *nic, const struct bp_net_rings **ret_rings);
    void *reserved[5];
};

BP_END_DECLS

#endif
