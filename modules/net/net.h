/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside of the net framework: ports, cables between two of them, netdevs, NICs, filters. */
#ifndef NET_H
#define NET_H

#include <bp/host/net.h>

struct filter_list;

/* A packet that waits for its receiver: its bytes follow. */
struct waiting {
    struct waiting *next;
    unsigned queue;
    uint32_t length;
    struct bp_net_offload offload;
    uint8_t bytes[];
};

/* One end of a cable: a NIC or a netdev. */
struct port {
    struct port *peer;
    void *self; /* struct bp_nic *, struct bp_netdev * */
    unsigned (*receive)(struct port *port, unsigned queue, const struct bp_net_packet *packets,
                        unsigned count);
    void (*ready)(struct port *port, unsigned queue);
    void (*link_changed)(struct port *port, bool up);
    void (*peer_changed)(struct port *port); /* what it takes, or whether it is there */
    bool (*runs)(const struct port *port);   /* does it take packets at all now? NULL: always */
    struct bp_net_filter *filters;           /* of a netdev; head first */
    uint32_t takes;
    unsigned queues;
    bool is_nic;
    bool pulled;   /* set_link off */
    bool cut;      /* the back end has lost its peer */
    bool told_up;  /* what link_changed() said last */
    unsigned busy; /* inside of its send or receive */
    bool blocked;  /* send took less than all; ready() is owed */
    bool stalled;  /* receive took less than all */
    struct waiting *first, **last; /* for this port */
    unsigned packets;
    size_t bytes;
    struct bp_deferred *flush;
    uint64_t sent, received, dropped;
};

struct bp_netdev {
    struct bp_netdev *next;
    struct bp_object *obj;
    const struct bp_netdev_class *class;
    char *id;
    bool opened;
    bool internal; /* made for -nic, -net: shown, but nobody gave it its name */
    struct port port;
};

struct bp_nic {
    struct bp_nic *next;
    struct bp_device *dev;
    struct bp_net_conf *conf;
    const struct bp_nic_ops *ops;
    void *opaque;
    char *name;
    uint8_t mac[6];       /* as configured */
    uint8_t guest_mac[6]; /* as the guest has set it */
    struct port port;
};

struct bp_net_filter {
    struct bp_net_filter *next;
    struct bp_object *obj;
    struct bp_net_filter_conf *conf;
    const struct bp_net_filter_ops *ops;
    void *opaque;
    struct bp_netdev *netdev; /* NULL: it has gone */
};

/* ---- port.c ---- */
void port_init(struct port *port, void *self);
void port_finish(struct port *port); /* pulls its cable, drops what waits */
void port_connect(struct port *a, struct port *b);
void port_disconnect(struct port *port);
/* `keep`: what is not taken waits in the queue. */
unsigned port_send(struct port *from, unsigned queue, const struct bp_net_packet *packets,
                   unsigned count, bool keep);
/* Past the filters of the cable: of the sender from `after` on. */
bool port_pass(struct port *netdev, struct bp_net_filter *after, enum bp_net_direction direction,
               unsigned queue, const struct bp_net_packet *packet);
void port_taking(struct port *port); /* it takes packets (again) */
bool port_has_room(const struct port *from);
bool port_up(const struct port *port); /* is its cable up? */
void port_update_link(struct port *port);
void port_set_takes(struct port *port, uint32_t takes);

/* ---- offload.c ---- */
uint32_t offload_needs(const struct bp_net_offload *offload); /* BP_NET_TAKES_* */
/* Does what is left to do of a packet and what `takes` does not have: calls fn for what it becomes, whose bytes are
 * borrowed for the call. A packet whose facts do not fit its bytes is dropped: -EINVAL. */
int offload_finish(const struct bp_net_packet *packet, uint32_t takes,
                   void (*fn)(void *opaque, const struct bp_net_packet *packet), void *opaque);
size_t packet_copy(const struct bp_net_packet *packet, size_t offset, void *buf, size_t length);

/* Sums of words, the high byte first (RFC 1071); sum_fold: 0xffff where what was summed has a right checksum. */
uint64_t sum_of(uint64_t start, const uint8_t *bytes, size_t length);
uint16_t sum_fold(uint64_t sum);

/* ---- merge.c ---- */
#define MERGE_PACKETS 64u /* that are looked at together */
#define MERGE_VECTORS 256u
#define MERGE_HEAD 128u
struct merged {
    struct bp_net_packet packets[MERGE_PACKETS];
    unsigned members[MERGE_PACKETS]; /* so many of those that were given are in each */
    unsigned count, vector_count;
    struct iovec vectors[MERGE_VECTORS];
    uint8_t heads[MERGE_PACKETS][MERGE_HEAD];
};
/* Up to MERGE_PACKETS, of which nothing is left to do that `takes` (BP_NET_TAKES_*) does not have, for one that takes
 * checksums and TCP. Their bytes are borrowed. */
void merge_packets(const struct bp_net_packet *packets, unsigned count, uint32_t takes, struct merged *ret);

/* ---- netdev.c ---- */
extern struct bp_netdev *netdev_all; /* oldest first */
struct bp_netdev *netdev_find(const char *id);
int netdev_create(struct bp_value *args, struct bp_netdev **ret_nd, struct bp_error *err);
int netdev_remove(const char *id, struct bp_error *err);
void netdev_remove_all(void);
const char *netdev_type(const struct bp_netdev *nd); /* "user" */
int netdev_connect(struct bp_netdev *nd, struct bp_netdev *other, struct bp_error *err);

/* ---- nic.c ---- */
extern struct bp_nic *nic_all; /* oldest first */
int nic_new(struct bp_device *dev, struct bp_net_conf *conf, unsigned queues,
            const struct bp_nic_ops *ops, void *opaque, struct bp_nic **ret_nic, struct bp_error *err);
void nic_free(struct bp_nic *nic);
int mac_parse(const char *text, uint8_t ret_mac[6], struct bp_error *err);

/* ---- filter.c ---- */
int filter_new(struct bp_object *obj, struct bp_net_filter_conf *conf,
               const struct bp_net_filter_ops *ops, void *opaque, struct bp_error *err);
void filter_free(struct bp_net_filter *filter);
bool filter_pass(struct bp_net_filter *filter, enum bp_net_direction direction, unsigned queue,
                 const struct bp_net_packet *packet);
void filters_orphan(struct bp_netdev *nd);

/* ---- requests.c: what -nic and -net ask for ---- */
int request_nic(struct bp_value *args, struct bp_error *err);    /* -nic */
int request_legacy(struct bp_value *args, struct bp_error *err); /* -net */
void requests_note_netdev(void);                                 /* -netdev was given */
int make_nics(struct bp_machine *machine, const char *model, bool by_default, struct bp_error *err);

/* ---- parse.c ---- */
/* "user,id=n,hostfwd=..." as options have it: dotted keys, doubled commas. */
int net_parse(const char *text, struct bp_value *dict, struct bp_error *err);

/* ---- kind.c ---- */
extern const struct bp_kind netdev_kind;

/* ---- announce.c ---- */
struct bp_value;
int announce_self(struct bp_value *args, struct bp_error *err);
void announce_end(void);

extern const struct bp_net_interface net_table;

#endif
