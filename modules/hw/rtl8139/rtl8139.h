/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Realtek RTL8139C+, as its data sheet has it: the ring of bytes and the four transmit slots of an RTL8139C, and the
 * descriptors of C+ mode. Registers are kept as bytes, as they stand in the map (chapter 6).
 */
#ifndef RTL8139_H
#define RTL8139_H

#include <bp/bus/pci.h>
#include <bp/clock.h>
#include <bp/host/net.h>

enum {
    IDR = 0x00, MAR = 0x08, TSD = 0x10, TSAD = 0x20, TNPDS = 0x20, THPDS = 0x28, RBSTART = 0x30, ERBCR = 0x34,
    ERSR = 0x36, CR = 0x37, CAPR = 0x38, CBR = 0x3a, IMR = 0x3c, ISR = 0x3e, TCR = 0x40, RCR = 0x44, TCTR = 0x48,
    MPC = 0x4c, CR9346 = 0x50, CONFIG0 = 0x51, CONFIG1 = 0x52, TIMERINT = 0x54, MSR = 0x58, CONFIG3 = 0x59,
    CONFIG4 = 0x5a, MULINT = 0x5c, RERID = 0x5e, TSAD_ALL = 0x60, BMCR = 0x62, BMSR = 0x64, ANAR = 0x66,
    ANLPAR = 0x68, ANER = 0x6a, NWAYTR = 0x70, CSCR = 0x74, CONFIG5 = 0xd8, TPPOLL = 0xd9, CPCR = 0xe0,
    RDSAR = 0xe4, ETTHR = 0xec, REGISTERS = 0x100,
};
#define CR_RST 0x10u
#define CR_RE 0x08u
#define CR_TE 0x04u
#define CR_BUFE 0x01u
#define ISR_ROK 0x0001u
#define ISR_TOK 0x0004u
#define ISR_RXOVW 0x0010u
#define ISR_LINK 0x0020u
#define ISR_FOVW 0x0040u
#define ISR_TDU 0x0080u
#define ISR_SWINT 0x0100u
#define ISR_TIMEOUT 0x4000u
#define TSD_OWN 0x2000u
#define TSD_TOK 0x8000u
#define TSD_TABT 0x40000000u
#define TCR_LOOPBACK 0x60000u
#define RCR_AAP 0x01u
#define RCR_APM 0x02u
#define RCR_AM 0x04u
#define RCR_AB 0x08u
#define RCR_WRAP 0x80u
#define CP_TX 0x01u
#define CP_RX 0x02u
#define CP_CHECKSUM 0x20u
#define CP_VLAN 0x40u
#define FRAME_MAX BP_NET_MAX_PACKET

struct rtl8139 {
    struct bp_nic *nic;
    struct bp_net_conf conf;
    int32_t bootindex;
    struct bp_timer *timer; /* TIMERINT */
    int64_t timer_start;    /* when TCTR was 0 */

    uint8_t reg[REGISTERS];
    uint16_t eeprom[64];
    uint16_t wire_in, wire_out;
    uint8_t wire_bits, wire_left;

    uint32_t rx_at, tx_at; /* C+: the next descriptors */
    uint32_t slot;         /* C: the next of the four */
    uint8_t *frame;        /* FRAME_MAX bytes: what is put together */
    uint32_t frame_length;
    uint32_t frame_flags, frame_tag; /* of its first descriptor; with the tag's own bit */
    bool frame_bad, frame_whole;     /* whole: it waits for the network */
    bool running;
    struct bp_net_offload offload;
    struct bp_state_bytes saved_frame;
};

extern const struct bp_pci_interface *rtl_pci;
extern const struct bp_net_interface *rtl_net;

static inline uint16_t get16(const struct rtl8139 *s, unsigned at)
{
    return (uint16_t)(s->reg[at] | s->reg[at + 1] << 8);
}
static inline uint32_t get32(const struct rtl8139 *s, unsigned at)
{
    return get16(s, at) | (uint32_t)get16(s, at + 2) << 16;
}
static inline uint64_t get64(const struct rtl8139 *s, unsigned at)
{
    return get32(s, at) | (uint64_t)get32(s, at + 4) << 32;
}
static inline void set16(struct rtl8139 *s, unsigned at, unsigned v)
{
    s->reg[at] = (uint8_t)v;
    s->reg[at + 1] = (uint8_t)(v >> 8);
}
static inline void set32(struct rtl8139 *s, unsigned at, uint32_t v)
{
    set16(s, at, v & 0xffff);
    set16(s, at + 2, v >> 16);
}

/* ---- rtl8139.c ---- */
void rtl_interrupt(struct rtl8139 *s, unsigned causes);
/* ---- eeprom.c ---- */
void rtl_eeprom_fill(struct rtl8139 *s, const uint8_t mac[6]);
void rtl_eeprom_write(struct rtl8139 *s, uint8_t value); /* CR9346 */
uint8_t rtl_eeprom_read(const struct rtl8139 *s);
/* ---- tx.c ---- */
void rtl_tx_reset(struct rtl8139 *s);
void rtl_tx_run(struct rtl8139 *s);
/* ---- rx.c ---- */
unsigned rtl_receive(void *opaque, unsigned queue, const struct bp_net_packet *packets, unsigned count);
void rtl_rx_reset(struct rtl8139 *s);
bool rtl_rx_empty(const struct rtl8139 *s); /* C: has the driver read all? */

#endif
