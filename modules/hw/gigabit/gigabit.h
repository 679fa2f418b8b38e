/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What Intel's gigabit Ethernet controllers have in common, from the 82540EM ("PCI/PCI-X Family of Gigabit Ethernet
 * Controllers Software Developer's Manual", 317453) to the 82574 (317694) and the 82576 (320961): registers that keep
 * their places, EEPROM, PHY, statistics, filters, checksums, receive-side scaling, and packets that are put together of
 * descriptors and finished. A card has its descriptors, its interrupts and its queues by itself. Everything under the
 * machine lock.
 */
#ifndef HW_GIGABIT_H
#define HW_GIGABIT_H

#include <bp/bus/pci.h>
#include <bp/host/net.h>
#include <bp/state.h>

#include "ethernet.h"

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
    RXCSUM = 0x5000, RFCTL = 0x5008, MTA = 0x5200, RAL = 0x5400, VFTA = 0x5600, WUC = 0x5800, WUFC = 0x5808,
    WUS = 0x5810, MRQC = 0x5818, MANC = 0x5820, IPAV = 0x5838, IP4AT = 0x5840, WUPL = 0x5900, WUPM = 0x5a00,
    RETA = 0x5c00, RSSRK = 0x5c80,
};

/* Statistics, in STATISTICS: each is cleared by being read. */
enum {
    CRCERRS = 0x4000, MPC = 0x4010, PRC64 = 0x405c, PRC1522 = 0x4070, GPRC = 0x4074, BPRC = 0x4078,
    MPRC = 0x407c, GPTC = 0x4080, GORCL = 0x4088, GORCH = 0x408c, GOTCL = 0x4090, GOTCH = 0x4094, RNBC = 0x40a0,
    RUC = 0x40a4, ROC = 0x40ac, TORL = 0x40c0, TORH = 0x40c4, TOTL = 0x40c8, TOTH = 0x40cc, TPR = 0x40d0,
    TPT = 0x40d4, PTC64 = 0x40d8, PTC1522 = 0x40ec, MPTC = 0x40f0, BPTC = 0x40f4, TSCTC = 0x40f8,
    STATISTICS_END = 0x4100,
};

#define CTRL_FD 0x00000001u
#define CTRL_GIO_MASTER_DISABLE 0x00000004u
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
#define STATUS_GIO_MASTER 0x80000u
#define ICR_TXDW 0x01u
#define ICR_TXQE 0x02u
#define ICR_LSC 0x04u
#define ICR_RXDMT0 0x10u
#define ICR_RXO 0x40u
#define ICR_RXT0 0x80u
#define ICR_MDAC 0x200u
#define RCTL_EN 0x00000002u
#define RCTL_UPE 0x00000008u
#define RCTL_MPE 0x00000010u
#define RCTL_LPE 0x00000020u
#define RCTL_LBM 0x000000c0u
#define RCTL_DTYP_SPLIT 0x00000400u
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
#define RXCSUM_PCSD 0x2000u

#define DESCRIPTOR 16u /* bytes */
#define FRAME_MAX (BP_NET_MAX_PACKET)

/* ---- the card ---- */

struct gbe;

/* A register that is a plain one, or several: the bits that can be written. */
struct gbe_plain {
    uint16_t first, last;
    uint32_t writable;
};

/* What kinds of card differ in. */
struct gbe_model {
    const char *name;       /* of notices: "e1000" */
    uint32_t size;          /* bytes of registers in gbe.reg */
    uint16_t device;        /* PCI device ID that the EEPROM has */
    uint16_t phy_id[2];     /* PHY registers 2 and 3 */
    uint8_t phy_page;       /* its register that chooses a page; 0: it has none */
    uint8_t phy_page_shift; /* and where the page begins in it */
    uint16_t phy_port_up;   /* PHY register 17 with a link; without: without bit 10 and 11 */
    uint8_t eerd_shift;     /* of the address in EERD */
    uint8_t eerd_done;      /* the bit of EERD that says so */
    uint8_t eecd_size;      /* EECD's bits 14:11: 64 << that words, of which the first 64 have something */
    uint16_t more_addresses; /* where the 17th to 24th address are; 0: there are 16 */
    bool microwire;         /* the EEPROM answers to the wires in EECD; else it is read through EERD only */
    bool late;              /* 82574 and later: sums over IPv6 and UDP are told, segments may be in tunnels */
    uint8_t rss_mode;       /* MRQC's bits 2:0 that mean receive-side scaling; 0: it has none */
    const uint16_t *eeprom; /* words 0x03 to 0x3e, or NULL: those of the 82540EM */
    const struct gbe_plain *plain;
    unsigned plain_count;
    void (*interrupt)(struct gbe *g, uint32_t causes); /* sets bits of ICR */
    /* Registers, at a multiple of four. */
    uint32_t (*read)(void *card, unsigned offset);
    void (*write)(void *card, unsigned offset, uint32_t value);
    /* What is looped back: as nic_ops.receive. */
    unsigned (*receive)(void *card, unsigned queue, const struct bp_net_packet *packets, unsigned count);
};

/* The first member of a card's state. */
struct gbe {
    const struct gbe_model *model;
    const struct bp_pci_interface *pci;
    const struct bp_net_interface *net;
    struct bp_device *dev;
    struct bp_nic *nic;
    void *card;    /* its own state: opaque of its callbacks */
    uint32_t *reg; /* model->size bytes: the device's, which saves them */
    uint16_t phy[32];
    uint16_t eeprom[64];
    uint32_t io_address; /* IOADDR */
    /* Microwire: bits shifted in, and out. */
    uint16_t wire_in, wire_out;
    uint8_t wire_bits, wire_left;
};

static inline uint32_t *reg(struct gbe *g, unsigned offset)
{
    return &g->reg[offset / 4];
}

/* ---- mac.c ---- */
void gbe_count(struct gbe *g, unsigned statistic, uint32_t n);      /* sticks at the top */
void gbe_count64(struct gbe *g, unsigned low, uint32_t n);          /* low word; the high one follows */
void gbe_count_size(struct gbe *g, unsigned first, uint32_t length); /* PRC64.., PTC64.. */
/* Registers as after a reset: all zero, then those that every card has; the EEPROM; STATUS. */
void gbe_reset(struct gbe *g);
void gbe_update_status(struct gbe *g);
/* The cable came or went: STATUS, PHY, LSC. */
void gbe_link_changed(struct gbe *g, bool up);
/* The guest has changed its first address. */
void gbe_note_address(struct gbe *g);
/* CTRL but for its reset bit, which is the caller's. */
void gbe_write_ctrl(struct gbe *g, uint32_t value);
/* Registers of the model's table, statistics, MDIC, EECD, EERD. Others: false. */
bool gbe_read(struct gbe *g, unsigned offset, uint32_t *ret_value);
bool gbe_write(struct gbe *g, unsigned offset, uint32_t value);

#define GBE_BAR_SIZE 0x20000u
#define GBE_IO_SIZE 32u
/* BARs with the registers in memory, and with IOADDR and IODATA (82540EM, chapter 13.2.2). */
extern const struct bp_region_ops gbe_memory_ops, gbe_io_ops;

/* ---- eeprom.c ---- */
void gbe_eeprom_fill(struct gbe *g, const uint8_t mac[6]);
uint32_t gbe_eecd(const struct gbe *g);
void gbe_write_eecd(struct gbe *g, uint32_t value);
uint32_t gbe_eerd(const struct gbe *g);

/* ---- phy.c ---- */
void gbe_phy_reset(struct gbe *g);
void gbe_write_mdic(struct gbe *g, uint32_t value);
void gbe_phy_link(struct gbe *g, bool up);
bool gbe_phy_loops(const struct gbe *g); /* what is sent comes back */

/* ---- ring.c ---- */

/* A ring of descriptors in memory. */
struct gbe_ring {
    uint64_t base;
    uint32_t count, *head, *tail;
};
/* Of the registers from `at` on (RDBAL, TDBAL: base, length, head, tail in their places), of `bytes` each. */
struct gbe_ring gbe_ring(struct gbe *g, unsigned at, unsigned bytes);
uint32_t gbe_ring_free(const struct gbe_ring *r); /* descriptors from head up to tail; 0 when they lie */
static inline void gbe_ring_step(const struct gbe_ring *r)
{
    *r->head = *r->head + 1 >= r->count ? 0 : *r->head + 1;
}
/* The descriptor at the head, `bytes` long. Says so when it cannot be read: -EFAULT and others of dma_read(). */
int gbe_ring_read(struct gbe *g, const struct gbe_ring *r, const char *what, void *buf, unsigned bytes,
                  uint64_t *ret_at);
/* A packet into as many legacy descriptors as it needs, which the ring has. false: they cannot be read. */
struct gbe_arriving;
bool gbe_put_legacy(struct gbe *g, const struct gbe_ring *ring, const struct gbe_arriving *a);
/* Counts up by a clock of `tick` nanoseconds as TIMINCA says: period in bits 31:24, step in 23:0. */
uint64_t gbe_system_time(uint64_t start, int64_t since, int64_t now, uint32_t timinca, unsigned tick);

/* ---- filter.c: what arrives ---- */

#define GBE_STATUS_DD 0x01u
#define GBE_STATUS_EOP 0x02u
#define GBE_STATUS_IXSM 0x04u
#define GBE_STATUS_VP 0x08u
#define GBE_STATUS_UDPCS 0x10u
#define GBE_STATUS_TCPCS 0x20u
#define GBE_STATUS_IPCS 0x40u
#define GBE_STATUS_PIF 0x80u
#define GBE_ERROR_TCPE 0x20u
#define GBE_ERROR_IPE 0x40u
#define GBE_LONGEST 16384u /* bytes with FCS */

struct gbe_arriving {
    const struct bp_net_packet *packet;
    uint8_t head[ETHERNET_HEAD];
    uint32_t head_length, skip; /* skip: of a tag, at 12 */
    uint32_t length;            /* as the guest gets it, with FCS if it wants that */
    uint16_t tag;
    uint8_t status, errors; /* as descriptors have them; DD and EOP are the caller's */
    struct ethernet_seen in;
    uint32_t hash; /* of receive-side scaling */
    uint8_t hash_type;
};

/* false: it is not for this guest, or too long; counted. Fills all but what the next two do. */
bool gbe_arrives(struct gbe *g, const struct bp_net_packet *packet, uint32_t longest, struct gbe_arriving *a);
void gbe_check_sums(struct gbe *g, struct gbe_arriving *a);
/* Toeplitz's hash over what MRQC says (its bits 31:16), with the key in RSSRK. */
void gbe_scale(struct gbe *g, struct gbe_arriving *a);
/* `length` bytes of the packet from `offset` on, as the guest gets it: without its tag, zeroes behind its end. */
void gbe_piece(const struct gbe *g, const struct gbe_arriving *a, uint32_t offset, uint8_t *buf, uint32_t length);
void gbe_count_received(struct gbe *g, const struct gbe_arriving *a);
uint32_t gbe_buffer_size(const struct gbe *g); /* that RCTL says */
/* Where the header ends at which a packet may be split: behind TCP's or UDP's header, else IP's; 0: nowhere. */
uint32_t gbe_header_end(const struct gbe_arriving *a);

/* ---- frame.c: what is sent ---- */

/* The context that data descriptors refer to (82540EM, chapter 3.3.6). */
struct gbe_context {
    uint32_t ip_start, ip_at, ip_end, sum_start, sum_at, sum_end;
    uint32_t header, mss;
    bool ipv4, tcp, sctp;
};
#define GBE_NO_END UINT32_MAX
#define GBE_OPTION_IP 1u
#define GBE_OPTION_L4 2u

/* A packet that is being put together. */
struct gbe_frame {
    uint8_t *bytes; /* FRAME_MAX; made when the first arrive */
    uint32_t length;
    bool bad;      /* too long, or could not be read: dropped at its end */
    bool whole;    /* it waits for the network to take it */
    uint8_t options; /* GBE_OPTION_* */
    bool segments, tagged;
    uint16_t tag;
    bool shifted; /* the tag is in: what the context says is four bytes further on */
    uint32_t cut; /* of segments that are cut here: bytes of payload that are sent */
    struct bp_net_offload offload;
    struct bp_state_bytes saved;
};

void gbe_frame_reset(struct gbe_frame *f);
void gbe_frame_free(struct gbe_frame *f);
void gbe_frame_add(struct gbe *g, struct gbe_frame *f, uint64_t address, uint32_t length);
/* Sums start..end (both included) and puts the result at `at`. */
void gbe_insert_sum(struct gbe_frame *f, uint32_t start, uint32_t at, uint32_t end);
/* The last of its data has been added: does what the options say, with the context that they refer to, and hands it
 * over. false: the network is full, gbe_frame_send() goes on when it is ready. */
bool gbe_frame_finish(struct gbe *g, struct gbe_frame *f, const struct gbe_context *c, unsigned queue);
bool gbe_frame_send(struct gbe *g, struct gbe_frame *f, const struct gbe_context *c, unsigned queue);
/* For a table that has the fields of a frame itself; gbe_frame_table does this. */
void gbe_frame_before_save(struct gbe_frame *f);
int gbe_frame_after_load(struct gbe_frame *f, struct bp_error *err);

/* ---- segment.c: TCP segmentation by the context's offsets, for what lies in a tunnel ---- */
bool gbe_in_tunnel(const struct gbe *g, const struct gbe_frame *f, const struct gbe_context *c);
bool gbe_segment(struct gbe *g, struct gbe_frame *f, const struct gbe_context *c, unsigned queue);

/* ---- tx.c: legacy and extended descriptors ---- */
struct gbe_tx {
    struct gbe_context segmentation, checksum;
    struct gbe_frame frame;
};
/* What the ring at `at` (TDBAL and on) has, as far as the network takes it. Gives causes of
 * interrupts. Not to be called from inside of itself. */
uint32_t gbe_tx_run(struct gbe *g, struct gbe_tx *tx, unsigned at, unsigned queue);

/* Rows of tables of saved state. */
#define GBE_ONE(NAME, STATE, MEMBER, TABLE) \
    {.name = NAME, .kind = BP_STATE_STRUCT, .offset = offsetof(STATE, MEMBER), .count = 1, \
     .stride = sizeof(((STATE *)0)->MEMBER), .table = TABLE}
#define GBE_FIELD(NAME, KIND, STATE, MEMBER, COUNT, SIZE) \
    {.name = NAME, .kind = BP_STATE_##KIND, .offset = offsetof(STATE, MEMBER), .count = COUNT, .stride = SIZE}
#define GBE_PHY_FIELD(STATE, MEMBER) GBE_FIELD("phy", UINT16, STATE, MEMBER.phy, 32, 2)
#define GBE_WIRE_FIELDS(STATE, MEMBER) \
    GBE_FIELD("wire_in", UINT16, STATE, MEMBER.wire_in, 1, 2), \
    GBE_FIELD("wire_out", UINT16, STATE, MEMBER.wire_out, 1, 2), \
    {.name = "wire_bits", .kind = BP_STATE_UINT8, .offset = offsetof(STATE, MEMBER.wire_bits), .count = 1, \
     .stride = 1, .min = 0, .max = 9}, \
    {.name = "wire_left", .kind = BP_STATE_UINT8, .offset = offsetof(STATE, MEMBER.wire_left), .count = 1, \
     .stride = 1, .min = 0, .max = 17}
#define GBE_FIELDS(STATE, MEMBER) \
    GBE_PHY_FIELD(STATE, MEMBER), GBE_FIELD("io_address", UINT32, STATE, MEMBER.io_address, 1, 4), \
    GBE_WIRE_FIELDS(STATE, MEMBER)
extern const struct bp_state_table gbe_context_table, gbe_offload_table, gbe_frame_table, gbe_tx_table;

#endif
