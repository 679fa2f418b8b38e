/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packets over a character device, for mirror, redirector and colo-compare: four bytes of length, the highest first,
 * with vnet_hdr_support four more of the length of the header of virtio (1.2, 5.1.6) that the packet then begins
 * with, and the packet. [main] under the machine lock
 */
#ifndef RECORD_H
#define RECORD_H

#include <bp/clock.h>
#include <bp/host/chardev.h>
#include <bp/host/net.h>

#define RECORD_TAKES_ALL \
    (BP_NET_TAKES_CHECKSUM | BP_NET_TAKES_TCP4 | BP_NET_TAKES_TCP6 | BP_NET_TAKES_ECN | BP_NET_TAKES_UDP | \
     BP_NET_TAKES_UDP_L4)
#define RECORD_HEADER 10u /* bytes of virtio's header without the number of buffers */
#define RECORD_MAX (BP_NET_MAX_PACKET + 64u)
#define RECORD_PENDING (1u << 20) /* bytes that may wait for a slow reader */

/* What packets go out by. A reader that does not keep up loses whole packets, counted. */
struct record_out {
    const struct bp_chardev_interface *chardev;
    const struct bp_net_interface *net;
    struct bp_chardev *chr;
    bool header;
    uint8_t *pending;
    size_t pending_length;
    struct bp_timer *retry;
    uint64_t lost;
    bool shared; /* the chardev is a record_in's */
};
int record_out_open(struct record_out *out, const struct bp_chardev_interface *chardev,
                    const struct bp_net_interface *net, struct bp_owner *owner, const char *key, const char *id,
                    bool header, struct bp_error *err);
void record_out_close(struct record_out *out);
void record_write(struct record_out *out, const struct bp_net_packet *packet);

/* Where packets come from. */
struct record_in {
    const struct bp_chardev_interface *chardev;
    struct bp_chardev *chr;
    bool header;
    void (*packet)(void *opaque, const struct bp_net_packet *packet);
    void *opaque;
    uint8_t *bytes; /* RECORD_MAX + 8 */
    uint32_t have;
    bool stopped;   /* nothing is read now */
    bool skipping;  /* nothing can be made of it until it is opened anew */
};
int record_in_open(struct record_in *in, const struct bp_chardev_interface *chardev, const char *key, const char *id,
                   bool header, void (*packet)(void *opaque, const struct bp_net_packet *packet), void *opaque,
                   struct bp_error *err);
void record_in_close(struct record_in *in);
void record_in_stop(struct record_in *in, bool on); /* what comes has to wait, or not any more */
/* Packets go out by the chardev that `in` reads; close this first. */
void record_out_share(struct record_out *out, const struct record_in *in, const struct bp_net_interface *net,
                      struct bp_owner *owner);

#endif
