/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The 93C46 of 64 words (data sheet, chapter 7), read bit by bit through the register 9346CR. */
#include <string.h>

#include "rtl8139.h"

#define EEDO 0x01u
#define EEDI 0x02u
#define EESK 0x04u
#define EECS 0x08u
#define MODE 0xc0u
#define PROGRAM 0x80u
#define OP_READ 2u

void rtl_eeprom_fill(struct rtl8139 *s, const uint8_t mac[6])
{
    memset(s->eeprom, 0, sizeof(s->eeprom));
    s->eeprom[0] = 0x8129;
    s->eeprom[1] = 0x10ec; /* vendor and device; subsystem's */
    s->eeprom[2] = 0x8139;
    s->eeprom[3] = 0x1af4;
    s->eeprom[4] = 0x1100;
    for (unsigned i = 0; i < 3; i++)
        s->eeprom[7 + i] = (uint16_t)(mac[2 * i] | mac[2 * i + 1] << 8);
}

uint8_t rtl_eeprom_read(const struct rtl8139 *s)
{
    uint8_t v = s->reg[CR9346] & (uint8_t)~EEDO;

    return (uint8_t)(v | (s->wire_left == 0 || s->wire_out >> 15 ? EEDO : 0));
}

static void rising_clock(struct rtl8139 *s, bool bit)
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
    if (++s->wire_bits < 9)
        return;
    s->wire_bits = 0;
    if ((s->wire_in >> 6 & 3u) == OP_READ) {
        s->wire_left = 17; /* with the zero that is there now */
        s->wire_out = 0;
    }
}

void rtl_eeprom_write(struct rtl8139 *s, uint8_t value)
{
    uint8_t old = s->reg[CR9346];

    s->reg[CR9346] = value & (MODE | EECS | EESK | EEDI);
    if (!(value & EECS) || (value & MODE) != PROGRAM) {
        s->wire_bits = s->wire_left = 0;
        s->wire_in = s->wire_out = 0;
    } else if ((value & EESK) && !(old & EESK)) {
        rising_clock(s, value & EEDI);
    }
}
