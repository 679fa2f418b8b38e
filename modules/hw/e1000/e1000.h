/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Intel's 82540EM, as "PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual" (317453)
 * has it: registers of chapter 13, descriptors of chapter 3, EEPROM of chapter 5, PHY registers of chapter 13.4.7.
 */
#ifndef E1000_H
#define E1000_H

#include <bp/bus/pci.h>
#include <bp/host/net.h>

/* Registers, byte offsets. */
enum {
    CTRL = 0x0000, STATUS = 0x0008, EECD = 0x0010, EERD = 0x0014, CTRL_EXT = 0x0018, MDIC = 0x0020,
    FCAL = 0x0028, FCAH = 0x002c, FCT = 0x0030, VET = 0x0038, ICR = 0x00c0, ITR = 0x00c4, ICS = 0x00c8,
    IMS = 0x00d0, IMC = 0x00d8, RCTL = 0x0100, FCTTV = 0x0170, TXCW = 0x0178, RXCW = 0x0180, TCTL = 0x0400,
    TIPG = 0x0410, AIT = 0x0458, LEDCTL = 0x0e00, PBA = 0x1000, FCRTL = 0x2160, FCRTH = 0x2168,
    RDFH = 0x2410, RDFPC = 0x2430, RDBAL = 0x2800, RDBAH = 0x2804, RDLEN = 0x2808, RDH = 0x2810,
    RDT = 0x2818, RDTR = 0x2820, RXDCTL = 0x2828, RADV = 0x282c, RSRPD = 0x2c00, TXDMAC = 0x3000,
    TDFH = 0x3410, TDFPC = 0x3430, TDBAL = 0x3800, TDBAH = 0x3804, TDLEN = 0x3808, TDH = 0x3810,
    TDT = 0x3818, TIDV = 0x3820, TXDCTL = 0x3828, TADV = 0x382c, TSPMT = 0x3830, STATISTICS = 0x4000,
    RXCSUM = 0x5000, MTA = 0x5200, RAL = 0x5400, VFTA = 0x5600, WUC = 0x5800, WUFC = 0x5808, WUS = 0x5810,
    MANC = 0x5820, IPAV = 0x5838, IP4AT = 0x5840, WUPL = 0x5900, WUPM = 0x5a00, REGISTERS_END = 0x5c00,
};

/* Statistics, in STATISTICS: each is cleared by being read. */
enum {
    CRCERRS = 0x4000, MPC = 0x4010, PRC64 = 0x405c, PRC1522 = 0x4070, GPRC = 0x4074, BPRC = 0x4078,
    MPRC = 0x407c, GPTC = 0x4080, GORCL = 0x4088, GORCH = 0x408c, GOTCL = 0x4090, GOTCH = 0x4094,
    RUC = 0x40a4, ROC = 0x40ac, TORL = 0x40c0, TORH = 0x40c4, TOTL = 0x40c8, TOTH = 0x40cc, TPR = 0x40d0,
    TPT = 0x40d4, PTC64 = 0x40d8, PTC1522 = 0x40ec, MPTC = 0x40f0, BPTC = 0x40f4, TSCTC = 0x40f8,
    STATISTICS_END = 0x4100,
};

#define CTRL_FD 0x00000001u
#define CTRL_SLU 0x00000040u
#define CTRL_SPEED_1000 0x00000200u
#define CTRL_RST 0x04000000u
#define CTRL_VME 0x40000000u
#define CTRL_PHY_RST 0x80000000u
#define STATUS_FD 0x01u
#define STATUS_LU 0x02u
#define STATUS_TXOFF 0x10u
#define STATUS_SPEED_1000 0x80u
#define STATUS_ASDV_1000 0x200u
#define ICR_TXDW 0x01u
#define ICR_TXQE 0x02u
#define ICR_LSC 0x04u
#define ICR_RXDMT0 0x10u
#define ICR_RXO 0x40u
#define ICR_RXT0 0x80u
#define ICR_MDAC 0x200u
#define INTERRUPTS 0x1ffffu
#define RCTL_EN 0x00000002u
#define RCTL_UPE 0x00000008u
#define RCTL_MPE 0x00000010u
#define RCTL_LPE 0x00000020u
#define RCTL_LBM 0x000000c0u
#define RCTL_BAM 0x00008000u
#define RCTL_VFE 0x00040000u
#define RCTL_CFIEN 0x00080000u
#define RCTL_CFI 0x00100000u
#define RCTL_BSEX 0x02000000u
#define RCTL_SECRC 0x04000000u
#define TCTL_EN 0x2u
#define TCTL_PSP 0x8u
#define RAH_AV 0x80000000u
#define RXCSUM_IPOFLD 0x100u
#define RXCSUM_TUOFLD 0x200u

#define DESCRIPTOR 16u /* bytes */
#define FRAME_MAX (BP_NET_MAX_PACKET)

/* The context that data descriptors refer to (chapter 3.3.6). */
struct tx_context {
    uint32_t ip_start, ip_at, ip_end, sum_start, sum_at, sum_end;
    uint32_t header, mss;
    bool ipv4, tcp;
};

struct e1000 {
    struct bp_nic *nic;
    struct bp_net_conf conf;
    int32_t bootindex;
    struct bp_timer *throttle; /* ITR: no interrupt until it fires */

    uint32_t reg[REGISTERS_END / 4];
    uint16_t phy[32];
    uint16_t eeprom[64];
    uint32_t io_address; /* IOADDR */
    /* Microwire: bits shifted in, and out. */
    uint16_t wire_in, wire_out;
    uint8_t wire_bits, wire_left;

    /* The packet that is being put together. */
    struct tx_context segmentation, checksum;
    uint8_t *frame; /* FRAME_MAX bytes */
    uint32_t frame_length;
    bool frame_bad;      /* too long, or could not be read: dropped at its end */
    bool frame_whole;    /* it waits for the network to take it */
    bool transmitting;
    uint8_t frame_options; /* POPTS of its first descriptor */
    bool frame_segments, frame_tagged;
    uint16_t frame_tag;
    struct bp_net_offload offload; /* of a whole one */
    struct bp_state_bytes saved_frame;
};

extern const struct bp_pci_interface *e1000_pci;
extern const struct bp_net_interface *e1000_net;

static inline uint32_t *reg(struct e1000 *s, unsigned offset)
{
    return &s->reg[offset / 4];
}

/* ---- e1000.c ---- */
void e1000_interrupt(struct e1000 *s, uint32_t causes); /* sets bits of ICR */
void e1000_count(struct e1000 *s, unsigned statistic, uint32_t n);
void e1000_count64(struct e1000 *s, unsigned low, uint32_t n); /* low word; the high one follows */
void e1000_count_size(struct e1000 *s, unsigned first, uint32_t length); /* PRC64.., PTC64.. */

/* ---- eeprom.c ---- */
void eeprom_fill(struct e1000 *s, const uint8_t mac[6]);
uint32_t eeprom_eecd(const struct e1000 *s);
void eeprom_write_eecd(struct e1000 *s, uint32_t value);
uint32_t eeprom_eerd(const struct e1000 *s);

/* ---- phy.c ---- */
void phy_reset(struct e1000 *s);
void phy_write_mdic(struct e1000 *s, uint32_t value);
void phy_link(struct e1000 *s, bool up);

/* ---- tx.c ---- */
void tx_run(struct e1000 *s);
void tx_reset(struct e1000 *s);

/* ---- rx.c ---- */
unsigned rx_receive(void *opaque, unsigned queue, const struct bp_net_packet *packets, unsigned count);

/* ---- sum.c ---- */
uint64_t sum_bytes(uint64_t start, const uint8_t *p, size_t length);
uint16_t sum_fold(uint64_t sum); /* not complemented */

static inline uint16_t get_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void put_be16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline uint32_t get_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void put_le32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

static inline uint64_t get_le64(const uint8_t *p)
{
    return get_le32(p) | (uint64_t)get_le32(p + 4) << 32;
}

#endif
