/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The serial EEPROM of 64 words (82540EM, chapter 5.6; 82574, chapter 6; 82576, chapter 6): read by word through EERD,
 * or, on the 82540EM, bit by bit through EECD (Microwire: a start bit, two of the operation, six of the address, then
 * sixteen of data behind a zero). Left out: the wires of the later ones (SPI). Writes are refused as by one whose write
 * enable was never given.
 */
#include <string.h>

#include "gigabit.h"

#define EECD_SK 0x01u
#define EECD_CS 0x02u
#define EECD_DI 0x04u
#define EECD_DO 0x08u
#define EECD_REQ 0x40u
#define EECD_GNT 0x80u
#define EECD_PRES 0x100u
#define EECD_AUTO_RD 0x200u
#define EERD_START 0x1u
#define OP_READ 2u
#define COMMAND_BITS 9u
#define CHECKSUM 0xbabau

void gbe_eeprom_fill(struct gbe *g, const uint8_t mac[6])
{
    uint16_t sum = 0, *w = g->eeprom;

    memset(w, 0, sizeof(g->eeprom));
    for (unsigned i = 0; i < 3; i++)
        w[i] = (uint16_t)(mac[2 * i] | mac[2 * i + 1] << 8);
    w[0x03] = 0x0420;   /* compatibility: OEM bits, a LAN on the board's own */
    w[0x05] = 0x2037;   /* image version */
    w[0x08] = 0x3000;   /* PBA number */
    w[0x09] = 0x0001;
    w[0x0a] = 0x6408;   /* initialization control 1: vendor and device IDs of below */
    w[0x0b] = 0x1100;   /* subsystem */
    w[0x0c] = 0x1af4;   /* and its vendor */
    w[0x0d] = g->model->device;
    w[0x0e] = 0x8086;
    w[0x0f] = 0x3040;   /* initialization control 2 */
    w[0x21] = 0x7863;   /* initialization control 3: as delivered */
    if (g->model->eeprom)
        memcpy(w + 3, g->model->eeprom, 0x3c * sizeof(*w));
    for (unsigned i = 0; i < 0x3f; i++)
        sum = (uint16_t)(sum + w[i]);
    w[0x3f] = (uint16_t)(CHECKSUM - sum);
}

uint32_t gbe_eecd(const struct gbe *g)
{
    uint32_t v = g->reg[EECD / 4] | EECD_PRES | (g->model->microwire ? 0 : EECD_AUTO_RD) |
                 (uint32_t)g->model->eecd_size << 11;

    if (v & EECD_REQ)
        v |= EECD_GNT;
    /* Between commands the line is pulled up: ready. */
    if (g->wire_left == 0 || g->wire_out >> 15)
        v |= EECD_DO;
    else
        v &= ~EECD_DO;
    return v;
}

static void rising_clock(struct gbe *g, bool bit)
{
    if (g->wire_left) {
        g->wire_left--;
        g->wire_out = (uint16_t)(g->wire_left == 16 ? g->eeprom[g->wire_in & 0x3f] : g->wire_out << 1);
        if (g->wire_left == 0)
            g->wire_bits = 0;
        return;
    }
    if (g->wire_bits == 0 && !bit)
        return; /* before the start bit */
    g->wire_in = (uint16_t)(g->wire_in << 1 | bit);
    if (++g->wire_bits < COMMAND_BITS)
        return;
    if (((g->wire_in >> 6) & 3u) == OP_READ) {
        g->wire_left = 17; /* with the zero that is there now */
        g->wire_out = 0;
    } else {
        g->wire_bits = 0;
    }
}

void gbe_write_eecd(struct gbe *g, uint32_t value)
{
    uint32_t old = *reg(g, EECD);

    *reg(g, EECD) = value & (EECD_SK | EECD_CS | EECD_DI | EECD_REQ | 0x30u);
    if (!g->model->microwire)
        return;
    if (!(value & EECD_CS)) {
        g->wire_bits = g->wire_left = 0;
        g->wire_in = g->wire_out = 0;
    } else if ((value & EECD_SK) && !(old & EECD_SK)) {
        rising_clock(g, value & EECD_DI);
    }
}

uint32_t gbe_eerd(const struct gbe *g)
{
    uint32_t v = g->reg[EERD / 4], address = (v & 0xffffu) >> g->model->eerd_shift;

    if (!(v & EERD_START))
        return v;
    return (uint32_t)(address < BP_COUNT(g->eeprom) ? g->eeprom[address] : 0) << 16 | (v & 0xffffu) |
           g->model->eerd_done;
}
