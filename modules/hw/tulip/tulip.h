/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Digital (Intel) 21143, "tulip", as its hardware reference manual has it: CSRs, descriptor lists
 * of receive and transmit, setup frames, SROM (Digital Semiconductor 21X4 SROM format 3.0), a PHY
 * by MII, the general-purpose timer. Left out: what a wire would do to frames, its own 10BASE-T and
 * SYM ports, the boot ROM by CSR9, interrupt mitigation (each is told), wake-up.
 */
#ifndef TULIP_H
#define TULIP_H

#include <bp/bus/pci.h>
#include <bp/clock.h>

#include "nic.h"

enum {
    BUS,
    TX_POLL,
    RX_POLL,
    RX_LIST,
    TX_LIST,
    STATUS,
    MODE,
    ENABLE,
    MISSED,
    SERIAL,
    ROM_ADDRESS,
    TIMER,
    SIA_STATUS,
    SIA_CONNECT,
    SIA_TX_RX,
    SIA_GENERAL,
    CSRS
};
#define CSR_BYTES 128u

#define ST_TX 0x00000001u
#define ST_TX_STOPPED 0x00000002u
#define ST_NO_TX 0x00000004u
#define ST_RX 0x00000040u
#define ST_NO_RX 0x00000080u
#define ST_RX_STOPPED 0x00000100u
#define ST_TIMER 0x00000800u
#define ST_LINK_FAIL 0x00001000u
#define ST_BUS_ERROR 0x00002000u
#define ST_ABNORMAL 0x00008000u
#define ST_NORMAL 0x00010000u
#define ST_LINK 0x08000000u
#define MODE_RX 0x00000002u
#define MODE_PROMISCUOUS 0x00000040u
#define MODE_ALL_GROUPS 0x00000080u
#define MODE_LOOPBACK 0x00000c00u
#define MODE_TX 0x00002000u

#define D_OWN 0x80000000u
#define SETUP_BYTES 192u

enum {
    TULIP_STOPPED = 0,
    TULIP_RX_WAITS = 3,
    TULIP_RX_SUSPENDED = 4,
    TULIP_TX_RUNS = 3,
    TULIP_TX_SUSPENDED = 6
};

struct tulip_descriptor {
    uint32_t status, control, buffer[2];
};

struct tulip {
    struct bp_nic *nic;
    struct bp_net_conf conf;
    int32_t bootindex;
    struct bp_timer *timer, *poll;

    uint32_t csr[CSRS];
    uint32_t rx_at, tx_at;                         /* the next descriptors */
    uint8_t rx_state, tx_state;                    /* TULIP_*, as CSR5 tells */
    bool filter_hash, filter_inverse, filter_only; /* HP, IF, HO */
    uint8_t setup[SETUP_BYTES];
    struct card_eeprom eeprom;
    struct card_phy phy;
    uint8_t frame[CARD_FRAME_MAX];
    bool running;
};

extern const struct bp_pci_interface *tulip_pci;
extern const struct bp_net_interface *tulip_net;

/* ---- tulip.c ---- */
void tulip_status(struct tulip *s, uint32_t causes);
/* ---- ring.c ---- */
void tulip_transmit(struct tulip *s);
unsigned tulip_receive(void *opaque, unsigned queue, const struct bp_net_packet *packets,
                       unsigned count);
/* ---- srom.c ---- */
void tulip_srom_fill(struct tulip *s, const uint8_t mac[6]);

#endif
