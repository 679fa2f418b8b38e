/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * National's DP8390D network interface controller on an NE2000: 16 KiB of packet memory at 0x4000,
 * a PROM with the address, a data port for the controller's remote DMA and one that resets (data
 * sheets of the DP8390D and of Realtek's RTL8029AS). Left out: what a wire would do to frames
 * (collisions, errors), ordering of bytes (DCR's BOS).
 */
#ifndef DP8390_H
#define DP8390_H

#include "nic.h"

#define DP8390_PORTS 32u
#define DP8390_MEMORY 0x4000u /* bytes, and where they begin */

struct dp8390 {
    struct bp_nic *nic;
    const struct bp_net_interface *net;
    void (*irq)(struct dp8390 *s, int level);
    bool realtek; /* an RTL8029AS: its signature and its page 3 */

    uint8_t command, isr, imr, dcr, tcr, rcr, tsr, rsr;
    uint8_t pstart, pstop, boundary, current, tpsr;
    uint8_t counters[3];
    uint8_t station[6], multicast[8];
    uint8_t config[16]; /* page 3 */
    uint16_t transmit_count, remote_address, remote_count;
    bool waits; /* a packet for which the ring had no room */
    uint8_t memory[DP8390_MEMORY], prom[32];
    uint8_t frame[CARD_FRAME_MAX];
    bool sending;
};
extern const struct bp_state_table dp8390_table;
extern const struct bp_nic_ops dp8390_nic_ops;
extern const struct bp_region_ops dp8390_ops; /* opaque: the chip */

/* The hardware's reset: the PROM says `mac`. */
void dp8390_reset(struct dp8390 *s, const uint8_t mac[6]);

#endif
