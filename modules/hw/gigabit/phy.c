/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The PHY inside (82540EM, chapter 13.4.7), which MDIC reaches at address 1. Its partner is a gigabit one that
 * negotiates at once. Left out: pages behind the first.
 */
#include <string.h>

#include "gigabit.h"

enum {
    PCTRL = 0, PSTATUS = 1, PID = 2, PID2 = 3, ANA = 4, LPA = 5, ANE = 6, GCON = 9, GSTATUS = 10,
    EPSTATUS = 15, PSCON = 16, PSSTAT = 17, PINTE = 18, EPSCON1 = 20, EPSCON2 = 26,
    R30PS = 29, R30AW = 30,
};
#define PCTRL_RESET 0x8000u
#define PCTRL_LOOP 0x4000u
#define PCTRL_RESTART 0x0200u
#define PSTATUS_LINK 0x0004u
#define PSTATUS_DONE 0x0020u
#define PSSTAT_LINK 0x0400u
#define PSSTAT_RESOLVED 0x0800u
#define MDIC_WRITE 1u
#define MDIC_READ 2u
#define MDIC_READY 0x10000000u
#define MDIC_INTERRUPT 0x20000000u
#define MDIC_ERROR 0x40000000u

/* Bits that a guest may write. */
static const uint16_t writable[32] = {
    [PCTRL] = 0x7d40, [ANA] = 0xffff, [GCON] = 0xffff, [7] = 0xffff, [PSCON] = 0xffff, [PINTE] = 0xffff,
    [EPSCON1] = 0xffff, [22] = 0xffff, [25] = 0xffff, [EPSCON2] = 0xffff, [R30PS] = 0x001f, [R30AW] = 0xffff,
    [31] = 0xffff};

/* Another page than the first, of which there is nothing here, is chosen; the first sixteen registers, and the one that
 * chooses, are on all. */
static bool elsewhere(const struct gbe *g, unsigned n)
{
    return g->model->phy_page && n >= 16 && n != g->model->phy_page &&
           (unsigned)g->phy[g->model->phy_page] >> g->model->phy_page_shift;
}

void gbe_phy_link(struct gbe *g, bool up)
{
    if (up) {
        g->phy[PSTATUS] |= PSTATUS_LINK | PSTATUS_DONE;
        g->phy[LPA] = 0x4de1;     /* all of 10 and 100, acknowledged */
        g->phy[ANE] = 0x0003;
        g->phy[GSTATUS] = 0x3c00; /* the partner can do 1000, receivers are fine */
        g->phy[PSSTAT] = g->model->phy_port_up;
    } else {
        g->phy[PSTATUS] &= (uint16_t)~(PSTATUS_LINK | PSTATUS_DONE);
        g->phy[LPA] = g->phy[ANE] = g->phy[GSTATUS] = 0;
        g->phy[PSSTAT] = g->model->phy_port_up & (uint16_t)~(PSSTAT_RESOLVED | PSSTAT_LINK);
    }
}

bool gbe_phy_loops(const struct gbe *g)
{
    return g->phy[PCTRL] & PCTRL_LOOP;
}

void gbe_phy_reset(struct gbe *g)
{
    memset(g->phy, 0, sizeof(g->phy));
    g->phy[PCTRL] = 0x1140;   /* negotiates, full duplex, 1000 */
    g->phy[PSTATUS] = 0x7949;
    g->phy[PID] = g->model->phy_id[0];
    g->phy[PID2] = g->model->phy_id[1];
    g->phy[ANA] = 0x0de1;
    g->phy[GCON] = 0x0e00;
    g->phy[EPSTATUS] = 0x3000;
    g->phy[PSCON] = 0x0360;
    g->phy[EPSCON1] = 0x0d60;
    gbe_phy_link(g, g->net->nic_link(g->nic));
}

void gbe_write_mdic(struct gbe *g, uint32_t value)
{
    unsigned n = value >> 16 & 31u, operation = value >> 26 & 3u;
    uint32_t result = value & ~(MDIC_READY | MDIC_ERROR);

    if ((value >> 21 & 31u) != 1 || (operation != MDIC_READ && operation != MDIC_WRITE)) {
        result |= MDIC_ERROR;
    } else if (operation == MDIC_READ) {
        result = (result & ~0xffffu) | (elsewhere(g, n) ? 0u : g->phy[n]);
    } else if (elsewhere(g, n)) {
        ; /* it goes nowhere */
    } else if (n == PCTRL && (value & PCTRL_RESET)) {
        gbe_phy_reset(g);
    } else {
        g->phy[n] = (uint16_t)((g->phy[n] & ~writable[n]) | (value & writable[n]));
        if (n == PCTRL && (value & PCTRL_RESTART)) {
            gbe_phy_link(g, g->net->nic_link(g->nic));
            g->model->interrupt(g, ICR_LSC);
        }
    }
    *reg(g, MDIC) = result | MDIC_READY;
    if (value & MDIC_INTERRUPT)
        g->model->interrupt(g, ICR_MDAC);
}
