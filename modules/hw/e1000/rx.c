/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reception (chapter 3.2): as many descriptors as the packet needs. Without so many the packet is left with the
 * network, until the guest gives more; the hardware would lose it (and sets RXO, as here).
 */
#include "e1000.h"

/* false: not now. */
static bool receive(struct e1000 *s, const struct bp_net_packet *packet)
{
    struct gbe_ring ring = gbe_ring(&s->g, RDBAL, DESCRIPTOR);
    uint32_t needed, left = gbe_ring_free(&ring), causes = ICR_RXT0;
    struct gbe_arriving a;

    if (!gbe_arrives(&s->g, packet, *reg(&s->g, RCTL) & RCTL_LPE ? GBE_LONGEST : 1522, &a))
        return true;
    needed = (a.length + gbe_buffer_size(&s->g) - 1) / gbe_buffer_size(&s->g);
    if (left < needed) {
        s->g.model->interrupt(&s->g, ICR_RXO);
        return false;
    }
    gbe_check_sums(&s->g, &a);
    if (!gbe_put_legacy(&s->g, &ring, &a))
        return true;
    gbe_count_received(&s->g, &a);
    left -= needed;
    if (left <= ring.count >> (1 + (*reg(&s->g, RCTL) >> 8 & 3u)))
        causes |= ICR_RXDMT0;
    s->g.model->interrupt(&s->g, causes);
    return true;
}

unsigned rx_receive(void *card, unsigned queue, const struct bp_net_packet *packets, unsigned count)
{
    struct e1000 *s = card;
    unsigned n = 0;

    (void)queue;
    /* Switched off, it hears nothing. */
    if (!(*reg(&s->g, RCTL) & RCTL_EN) || !(*reg(&s->g, STATUS) & STATUS_LU))
        return count;
    while (n < count && receive(s, &packets[n]))
        n++;
    if (n < count)
        gbe_count(&s->g, MPC, 1);
    return n;
}
