/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside of virtio-net (Virtual I/O Device 1.2, 5.1). Its registers and rings work under the device's lock; frames
 * come and go on the main loop, which holds the machine lock, and takes the device's for a moment.
 */
#ifndef VIRTIO_NET_H
#define VIRTIO_NET_H

#include <bp/host/net.h>
#include <bp/host/virtio.h>
#include <bp/loop.h>

#define MAX_PAIRS 128u
#define HEADER_SHORT 10u /* without the number of buffers */
#define HEADER_LONG 12u
#define MAC_TABLE 64u    /* addresses that the driver's filter has; more: all pass */
#define MAX_MERGED 64u   /* buffers for one frame */

enum { /* feature bits, 5.1.3 */
    F_CSUM = 0, F_GUEST_CSUM = 1, F_CTRL_GUEST_OFFLOADS = 2, F_MTU = 3, F_MAC = 5, F_GUEST_TSO4 = 7, F_GUEST_TSO6 = 8,
    F_GUEST_ECN = 9, F_GUEST_UFO = 10, F_HOST_TSO4 = 11, F_HOST_TSO6 = 12, F_HOST_ECN = 13, F_HOST_UFO = 14,
    F_MRG_RXBUF = 15, F_STATUS = 16, F_CTRL_VQ = 17, F_CTRL_RX = 18, F_CTRL_VLAN = 19, F_CTRL_RX_EXTRA = 20,
    F_GUEST_ANNOUNCE = 21, F_MQ = 22, F_CTRL_MAC_ADDR = 23, F_STANDBY = 62, F_SPEED_DUPLEX = 63,
};

struct mac_list {
    uint32_t count;
    bool overflow; /* more than fit: all of the kind pass */
    uint8_t mac[MAC_TABLE][6];
};

struct pair {
    struct virtio_net *net;
    struct bp_virtq *rx, *tx;
    struct bp_deferred *send, *more; /* main: frames to send; buffers have come */
    struct bp_virtq_request *current; /* of tx: handed to the network, or waiting for it */
    bool waits;  /* the network did not take it */
    bool cancel; /* it is to be dropped */
};

struct virtio_net {
    struct bp_device *dev;
    struct bp_virtio *virtio;
    struct bp_virtq *control;
    struct bp_nic *nic;
    struct bp_owner *main; /* its calls hold the machine lock */
    struct bp_deferred *sync;
    /* properties */
    struct bp_net_conf conf;
    int32_t bootindex;
    bool csum, guest_csum, gso, guest_tso4, guest_tso6, guest_ecn, host_tso4, host_tso6, host_ecn, mrg_rxbuf, status,
        ctrl_vq, ctrl_rx, ctrl_vlan, ctrl_rx_extra, ctrl_mac_addr, ctrl_guest_offloads, mq, failover;
    uint16_t mtu, queues;
    int32_t speed;

    unsigned pairs, active; /* made; that the driver uses */
    struct pair pair[MAX_PAIRS];
    bool link;
    bool stands_by; /* the driver knows that it does, and its primary may come. On the main loop */
    struct bp_netdev *served_by; /* it serves the rings, we see no frames; or NULL */
    const struct bp_net_rings *rings;
    /* the driver's filters */
    uint8_t mac[6];
    bool promiscuous, all_multi, all_uni, no_multi, no_uni, no_broadcast;
    struct mac_list uni, multi;
    uint32_t vlans[128]; /* bit by id */
    uint64_t offloads; /* GUEST_ bits that are in force */
};

extern const struct bp_virtio_interface *vnet_virtio;
extern const struct bp_net_interface *vnet_net;

/* The driver has chosen how many pairs it uses. [locked] */
void vnet_pairs_changed(struct virtio_net *s);

/* ---- control.c ---- [locked] */
void control_run(struct virtio_net *s, struct bp_virtq *queue);
void control_reset(struct virtio_net *s);
/* Do the driver's filters let a frame in? `head`: its first 18 bytes at most. */
bool filters_pass(const struct virtio_net *s, const uint8_t *head, size_t length);

#endif
