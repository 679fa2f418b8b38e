/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The PHY inside of the 82540EM (chapter 13.4.7), which MDIC reaches at address 1. Its partner is a gigabit one
 * that negotiates at once.
 */
#include <string.h>

#include "e1000.h"

enum {
    PCTRL = 0, PSTATUS = 1, PID = 2, PID2 = 3, ANA = 4, LPA = 5, ANE = 6, GCON = 9, GSTATUS = 10,
    EPSTATUS = 15, PSCON = 16, PSSTAT = 17, PINTE = 18, PINTS = 19, EPSCON1 = 20, PREC = 21, EPSCON2 = 26,
    R30PS = 29, R30AW = 30,
};
#define PCTRL_RESET 0x8000u
#define PCTRL_RESTART 0x0200u
#define PSTATUS_LINK 0x0004u
#define PSTATUS_DONE 0x0020u
#define PSSTAT_LINK 0x0400u
#define PSSTAT_RESOLVED 0x0800u
#define PSSTAT_DUPLEX 0x2000u
#define PSSTAT_1000 0x8000u
#define MDIC_WRITE 1u
#define MDIC_READ 2u
#define MDIC_READY 0x10000000u
#define MDIC_INTERRUPT 0x20000000u
#define MDIC_ERROR 0x40000000u

/* Bits that a guest may write. */
static const uint16_t writable[32] = {
    [PCTRL] = 0x7d40, [ANA] = 0xffff, [GCON] = 0xffff, [7] = 0xffff, [PSCON] = 0xffff, [PINTE] = 0xffff,
    [EPSCON1] = 0xffff, [EPSCON2] = 0xffff, [R30PS] = 0x001f, [R30AW] = 0xffff};

void phy_link(struct e1000 *s, bool up)
{
    if (up) {
        s->phy[PSTATUS] |= PSTATUS_LINK | PSTATUS_DONE;
        s->phy[LPA] = 0x4de1;     /* all of 10 and 100, acknowledged */
        s->phy[ANE] = 0x0003;
        s->phy[GSTATUS] = 0x3c00; /* the partner can do 1000, receivers are fine */
        s->phy[PSSTAT] = PSSTAT_1000 | PSSTAT_DUPLEX | PSSTAT_RESOLVED | PSSTAT_LINK;
    } else {
        s->phy[PSTATUS] &= (uint16_t)~(PSTATUS_LINK | PSTATUS_DONE);
        s->phy[LPA] = s->phy[ANE] = s->phy[GSTATUS] = 0;
        s->phy[PSSTAT] = PSSTAT_1000 | PSSTAT_DUPLEX;
    }
}

void phy_reset(struct e1000 *s)
{
    memset(s->phy, 0, sizeof(s->phy));
    s->phy[PCTRL] = 0x1140;   /* negotiates, full duplex, 1000 */
    s->phy[PSTATUS] = 0x7949;
    s->phy[PID] = 0x0141;
    s->phy[PID2] = 0x0c20;
    s->phy[ANA] = 0x0de1;
    s->phy[GCON] = 0x0e00;
    s->phy[EPSTATUS] = 0x3000;
    s->phy[PSCON] = 0x0360;
    s->phy[EPSCON1] = 0x0d60;
    phy_link(s, e1000_net->nic_link(s->nic));
}

void phy_write_mdic(struct e1000 *s, uint32_t value)
{
    unsigned n = value >> 16 & 31u, operation = value >> 26 & 3u;
    uint32_t result = value & ~(MDIC_READY | MDIC_ERROR);

    if ((value >> 21 & 31u) != 1 || (operation != MDIC_READ && operation != MDIC_WRITE)) {
        result |= MDIC_ERROR;
    } else if (operation == MDIC_READ) {
        result = (result & ~0xffffu) | s->phy[n];
    } else if (n == PCTRL && (value & PCTRL_RESET)) {
        phy_reset(s);
    } else {
        s->phy[n] = (uint16_t)((s->phy[n] & ~writable[n]) | (value & writable[n]));
        if (n == PCTRL && (value & PCTRL_RESTART)) {
            phy_link(s, e1000_net->nic_link(s->nic));
            e1000_interrupt(s, ICR_LSC);
        }
    }
    *reg(s, MDIC) = result | MDIC_READY;
    if (value & MDIC_INTERRUPT)
        e1000_interrupt(s, ICR_MDAC);
}
