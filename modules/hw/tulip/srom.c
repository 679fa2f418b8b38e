/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What stands in the SROM (21X4 SROM format 3.0): identity, address, and one medium: a PHY by MII
 * (block of type 3). */
#include <string.h>

#include "tulip.h"

#define LEAF 0x1eu

void tulip_srom_fill(struct tulip *s, const uint8_t mac[6])
{
    static const uint8_t leaf[] = {
        0x00,      0x08, /* selected connection: senses it itself */
        1,               /* blocks */
        0x80 | 13, 3,    /* length of what follows it, type */
        0,               /* PHY */
        0,         0,    /* no words to set up, none to reset */
        0x00,      0x78,
        0xe0,      0x01, /* able to, and offers: 10 and 100 Mbit/s, half and full duplex */
        0x00,      0x50,
        0x00,      0x18, /* full duplex, transmit threshold mode */
        0,               /* no interrupt of the connector */
    };
    uint8_t b[128] = {0};
    uint16_t crc;

    b[0] = 0x3c; /* subsystem, as in configuration space */
    b[1] = 0x10;
    b[2] = 0x4f;
    b[3] = 0x10;
    b[18] = 3; /* version of the format */
    b[19] = 1; /* controllers */
    memcpy(b + 20, mac, 6);
    b[26] = 0; /* device number */
    b[27] = LEAF;
    memcpy(b + LEAF, leaf, sizeof(leaf));
    crc = (uint16_t)~card_crc(b, 126);
    b[126] = (uint8_t)crc;
    b[127] = (uint8_t)(crc >> 8);
    s->eeprom.address_bits = 6;
    for (unsigned i = 0; i < 64; i++)
        s->eeprom.words[i] = (uint16_t)(b[2 * i] | b[2 * i + 1] << 8);
}
