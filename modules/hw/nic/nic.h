/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What Ethernet cards of the nineties have alike: the check sequence and the hash of addresses
 * (IEEE 802.3, clause 3.2.9), a serial EEPROM on three wires (Microwire: 93C46, 93C66), a PHY with
 * the registers of clause 22.2.4 and its serial management interface. No state of a host's in here:
 * cards save it with the tables below. Under the card's lock.
 */
#ifndef HW_NIC_H
#define HW_NIC_H

#include <bp/host/net.h>
#include <bp/state.h>

#define CARD_FRAME_MAX 4096u /* bytes, with FCS: what is longer is neither sent nor received */

/* ---- frames ---- */
/* The register of the CRC after `n` bytes, as it stands before it is inverted. lsb_first: as bytes
 * go over the wire, the first bit of the polynomial at bit 31 of the mirrored form; the other is
 * the same number with its bits reversed. */
uint32_t card_crc(const uint8_t *p, unsigned n);
uint32_t card_crc_reversed(const uint8_t *p, unsigned n);
/* Copies a packet into buf (CARD_FRAME_MAX bytes), pads it to 60 bytes and adds its FCS. Returns
 * the length with FCS; 0: it is too short for addresses, or too long. */
unsigned card_take_frame(const struct bp_net_interface *net, const struct bp_net_packet *packet,
                         uint8_t *buf);
/* Gives a frame without FCS to the network; false: it takes none now. Empty ones are taken and
 * dropped. */
bool card_send(const struct bp_net_interface *net, struct bp_nic *nic, uint8_t *frame,
               unsigned length);
static inline bool card_broadcast(const uint8_t *frame)
{
    return (frame[0] & frame[1] & frame[2] & frame[3] & frame[4] & frame[5]) == 0xff;
}

/* ---- serial EEPROM ---- */
struct card_eeprom {
    uint16_t words[256];
    uint8_t address_bits; /* 6: 64 words; 8: 256 */
    uint8_t phase, bits, operation;
    bool writable, clock;
    uint16_t address, out;
    uint32_t in;
};
extern const struct bp_state_table card_eeprom_table;
/* How its lines stand now. */
void card_eeprom_lines(struct card_eeprom *e, bool select, bool clock, bool in);
bool card_eeprom_out(const struct card_eeprom *e);

/* ---- PHY ---- */
struct card_phy {
    uint16_t id[2]; /* registers 2 and 3 */
    uint8_t address;
    bool up, was_down; /* was_down: latched until BMSR is read */
    uint16_t bmcr, anar;
    /* its serial interface */
    bool clock;
    uint8_t count, left;
    uint32_t in, out;
};
extern const struct bp_state_table card_phy_table;
#define CARD_PHY_LOOPBACK 0x4000u /* in bmcr */
void card_phy_reset(struct card_phy *p);
void card_phy_link(struct card_phy *p, bool up);
/* Of the PHY at `address`: where there is none, all ones. */
uint16_t card_phy_read(struct card_phy *p, unsigned address, unsigned reg);
void card_phy_write(struct card_phy *p, unsigned address, unsigned reg, uint16_t value);
/* The management interface's lines: MDC, and MDIO as the station drives it (released: true). */
void card_phy_lines(struct card_phy *p, bool clock, bool in);
bool card_phy_out(const struct card_phy *p);

#define CARD_SAVE(STATE, FIELD, TABLE)                                                             \
    {                                                                                              \
        .name = #FIELD, .kind = BP_STATE_STRUCT, .offset = offsetof(STATE, FIELD), .count = 1,     \
        .stride = sizeof(((STATE *)0)->FIELD), .table = TABLE                                      \
    }

#endif
