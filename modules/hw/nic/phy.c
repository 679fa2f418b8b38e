/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A PHY of 10 and 100 Mbit/s (IEEE 802.3, clause 22.2.4), which negotiates with its partner at
 * once, and its management interface bit by bit (clause 22.2.4.5: start, operation, PHY, register,
 * turnaround, data).
 */
#include "nic.h"

#define BMCR_RESET 0x8000u
#define BMCR_AT_FIRST 0x3100u /* 100 Mbit/s, negotiates, full duplex */
#define BMCR_WRITABLE                                                                              \
    0x7d80u /* loopback, speed, negotiate, power down, isolate, duplex, collision test */
#define BMSR_ABLE                                                                                  \
    0x7849u /* all of 10 and 100 Mbit/s; no preamble wanted; negotiates; more registers */
#define BMSR_LINK 0x0024u /* and negotiated */
#define ANAR_AT_FIRST 0x05e1u
#define PARTNER 0x45e1u

void card_phy_reset(struct card_phy *p)
{
    p->bmcr = BMCR_AT_FIRST;
    p->anar = ANAR_AT_FIRST;
    p->was_down = false;
}

void card_phy_link(struct card_phy *p, bool up)
{
    p->was_down |= p->up && !up;
    p->up = up;
}

static uint16_t status(struct card_phy *p)
{
    bool up = p->up && !p->was_down;

    p->was_down = false;
    return (uint16_t)(BMSR_ABLE | (up ? BMSR_LINK : 0));
}

uint16_t card_phy_read(struct card_phy *p, unsigned address, unsigned reg)
{
    if (address != p->address)
        return 0xffff;
    switch (reg) {
    case 0:
        return p->bmcr;
    case 1:
        return status(p);
    case 2:
    case 3:
        return p->id[reg - 2];
    case 4:
        return p->anar;
    case 5:
        return p->up ? PARTNER : 0;
    case 6:
        return p->up ? 1 : 0; /* the partner negotiates */
    default:
        return 0;
    }
}

void card_phy_write(struct card_phy *p, unsigned address, unsigned reg, uint16_t value)
{
    if (address != p->address)
        return;
    if (reg == 0) {
        p->bmcr = value & BMCR_WRITABLE;
        if (value & BMCR_RESET)
            card_phy_reset(p);
    } else if (reg == 4) {
        p->anar = (uint16_t)((value & 0x2fe0u) | 1u);
    }
}

static void rising(struct card_phy *p, bool bit)
{
    if (p->left) {
        p->left--;
        p->out <<= 1;
        return;
    }
    if (p->count == 0) { /* preamble, or nobody drives the line, until a start */
        p->in = 0;
        p->count = bit ? 0 : 1;
        return;
    }
    p->in = p->in << 1 | bit;
    p->count++;
    if (p->count == 2 && !bit) {
        p->count = 0;
    } else if (p->count == 14 && (p->in >> 10 & 3u) == 2) {
        p->count = 0;
        p->left = 18;
        /* Released, the turnaround's zero, then data. */
        p->out = 1u << 17 | card_phy_read(p, p->in >> 5 & 31u, p->in & 31u);
        if ((p->in >> 5 & 31u) != p->address)
            p->out = UINT32_MAX;
    } else if (p->count == 14 && (p->in >> 10 & 3u) != 1) {
        p->count = 0;
    } else if (p->count == 32) {
        p->count = 0;
        card_phy_write(p, p->in >> 23 & 31u, p->in >> 18 & 31u, (uint16_t)p->in);
    }
}

void card_phy_lines(struct card_phy *p, bool clock, bool in)
{
    if (clock && !p->clock)
        rising(p, in);
    p->clock = clock;
}

bool card_phy_out(const struct card_phy *p)
{
    return p->left == 0 || (p->out >> 17 & 1u);
}

static const struct bp_state_field fields[] = {BP_SAVE(BOOL, struct card_phy, up),
                                               BP_SAVE(BOOL, struct card_phy, was_down),
                                               BP_SAVE(UINT16, struct card_phy, bmcr),
                                               BP_SAVE(UINT16, struct card_phy, anar),
                                               BP_SAVE(BOOL, struct card_phy, clock),
                                               BP_SAVE_RANGE(UINT8, struct card_phy, count, 0, 31),
                                               BP_SAVE_RANGE(UINT8, struct card_phy, left, 0, 18),
                                               BP_SAVE(UINT32, struct card_phy, in),
                                               BP_SAVE(UINT32, struct card_phy, out),
                                               BP_SAVE_END};
const struct bp_state_table card_phy_table = {
    .name = "phy", .version = 1, .oldest = 1, .fields = fields};
