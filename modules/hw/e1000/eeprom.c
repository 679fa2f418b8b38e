/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The serial EEPROM of 64 words (chapter 5.6): read bit by bit through EECD (Microwire: a start bit, two of the
 * operation, six of the address, then sixteen of data behind a zero) or by word through EERD. Writes are refused as
 * by one whose write enable was never given.
 */
#include <string.h>

#include "e1000.h"

#define EECD_SK 0x01u
#define EECD_CS 0x02u
#define EECD_DI 0x04u
#define EECD_DO 0x08u
#define EECD_REQ 0x40u
#define EECD_GNT 0x80u
#define EECD_PRES 0x100u
#define EERD_START 0x1u
#define EERD_DONE 0x10u
#define OP_READ 2u
#define COMMAND_BITS 9u
#define CHECKSUM 0xbabau

void eeprom_fill(struct e1000 *s, const uint8_t mac[6])
{
    uint16_t sum = 0, *w = s->eeprom;

    memset(w, 0, sizeof(s->eeprom));
    for (unsigned i = 0; i < 3; i++)
        w[i] = (uint16_t)(mac[2 * i] | mac[2 * i + 1] << 8);
    w[0x03] = 0x0420;   /* compatibility: OEM bits, a LAN on the board's own */
    w[0x05] = 0x2037;   /* image version */
    w[0x08] = 0x3000;   /* PBA number */
    w[0x09] = 0x0001;
    w[0x0a] = 0x6408;   /* initialization control 1: vendor and device IDs of below */
    w[0x0b] = 0x1100;   /* subsystem */
    w[0x0c] = 0x1af4;   /* and its vendor */
    w[0x0d] = 0x100e;
    w[0x0e] = 0x8086;
    w[0x0f] = 0x3040;   /* initialization control 2 */
    w[0x21] = 0x7863;   /* initialization control 3: as delivered */
    for (unsigned i = 0; i < 0x3f; i++)
        sum = (uint16_t)(sum + w[i]);
    w[0x3f] = (uint16_t)(CHECKSUM - sum);
}

uint32_t eeprom_eecd(const struct e1000 *s)
{
    uint32_t v = s->reg[EECD / 4] | EECD_PRES;

    if (v & EECD_REQ)
        v |= EECD_GNT;
    /* Between commands the line is pulled up: ready. */
    if (s->wire_left == 0 || s->wire_out >> 15)
        v |= EECD_DO;
    else
        v &= ~EECD_DO;
    return v;
}

static void rising_clock(struct e1000 *s, bool bit)
{
    if (s->wire_left) {
        s->wire_left--;
        s->wire_out = (uint16_t)(s->wire_left == 16 ? s->eeprom[s->wire_in & 0x3f] : s->wire_out << 1);
        if (s->wire_left == 0)
            s->wire_bits = 0;
        return;
    }
    if (s->wire_bits == 0 && !bit)
        return; /* before the start bit */
    s->wire_in = (uint16_t)(s->wire_in << 1 | bit);
    if (++s->wire_bits < COMMAND_BITS)
        return;
    if (((s->wire_in >> 6) & 3u) == OP_READ) {
        s->wire_left = 17; /* with the zero that is there now */
        s->wire_out = 0;
    } else {
        s->wire_bits = 0;
    }
}

void eeprom_write_eecd(struct e1000 *s, uint32_t value)
{
    uint32_t old = *reg(s, EECD);

    *reg(s, EECD) = value & (EECD_SK | EECD_CS | EECD_DI | EECD_REQ | 0x30u);
    if (!(value & EECD_CS)) {
        s->wire_bits = s->wire_left = 0;
        s->wire_in = s->wire_out = 0;
    } else if ((value & EECD_SK) && !(old & EECD_SK)) {
        rising_clock(s, value & EECD_DI);
    }
}

uint32_t eeprom_eerd(const struct e1000 *s)
{
    uint32_t v = s->reg[EERD / 4], address = v >> 8 & 0xffu;

    if (!(v & EERD_START))
        return v;
    return (uint32_t)(address < BP_COUNT(s->eeprom) ? s->eeprom[address] : 0) << 16 | (v & 0xff00u) | EERD_DONE |
           EERD_START;
}
