/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Intel 82557, 82558, 82559, 82550, 82551, 82562 and the LAN of the 82801BA: their shared memory
 * structures (Intel 8255x Open Source Software Developer Manual, 1.3): SCB, command unit, receive
 * unit, statistics, EEPROM, MDI. Left out: what a wire would do to frames, flow control, checksums
 * of the 82550 (IPCB), wake-up, the flash, early receive interrupts, high priority transmission,
 * header and data split. Micro-code is taken and not run: it moderates interrupts, here each is
 * told.
 */
#ifndef I8255X_H
#define I8255X_H

#include <bp/bus/pci.h>
#include <bp/clock.h>

#include "nic.h"

enum {
    SCB_STATUS = 0x00,
    SCB_ACK = 0x01,
    SCB_COMMAND = 0x02,
    SCB_MASK = 0x03,
    SCB_POINTER = 0x04,
    PORT = 0x08,
    EEPROM_CONTROL = 0x0e,
    MDI_CONTROL = 0x10,
    RX_COUNT = 0x14,
    GENERAL_STATUS = 0x1d,
    REGISTERS = 0x40
};
#define ACK_CX 0x80u
#define ACK_FR 0x40u
#define ACK_CNA 0x20u
#define ACK_RNR 0x10u
#define ACK_MDI 0x08u
#define ACK_SWI 0x04u
enum { CU_IDLE, CU_SUSPENDED, CU_ACTIVE };
enum { RU_IDLE = 0, RU_SUSPENDED = 1, RU_NO_RESOURCES = 2, RU_READY = 4 };

/* Block's words. */
#define BLOCK_DONE 0x8000u
#define BLOCK_OK 0x2000u
#define BLOCK_LAST 0x8000u
#define BLOCK_SUSPEND 0x4000u
#define BLOCK_INTERRUPT 0x2000u
#define BLOCK_FLEXIBLE 0x0008u
#define BLOCK_NO_CRC 0x0010u
#define COUNT_END 0x8000u
#define COUNT_FILLED 0x4000u
#define NO_ADDRESS UINT32_MAX
#define CONFIG_BYTES 32u
enum { COUNT_TX_GOOD = 0, COUNT_RX_GOOD = 9, COUNT_RX_SHORT = 15, COUNTERS = 20 };

struct i8255x {
    struct bp_nic *nic;
    struct bp_net_conf conf;
    int32_t bootindex;
    struct bp_timer *again; /* a list of commands that is longer than one turn */

    struct card_eeprom eeprom;
    struct card_phy phy;
    uint8_t ack, mask, cu, ru, eeprom_control;
    uint32_t pointer, mdi, port, cu_base, ru_base, cu_offset, ru_offset, rbd, counters_at;
    uint8_t station[6], config[CONFIG_BYTES], groups[8];
    uint32_t counters[COUNTERS];
    uint8_t frame[CARD_FRAME_MAX];
    bool running;
};

extern const struct bp_pci_interface *i8255x_pci;
extern const struct bp_net_interface *i8255x_net;

/* ---- i8255x.c ---- */
void i8255x_interrupt(struct i8255x *s, unsigned causes);
unsigned i8255x_revision(const struct i8255x *s); /* of its PCI configuration */
/* ---- command.c ---- */
void i8255x_configure_default(struct i8255x *s);
void i8255x_command(struct i8255x *s, unsigned cuc); /* written to SCB_COMMAND, bits 7:4 */
void i8255x_run(struct i8255x *s);
/* ---- receive.c ---- */
void i8255x_receive_command(struct i8255x *s, unsigned ruc);
unsigned i8255x_receive(void *opaque, unsigned queue, const struct bp_net_packet *packets,
                        unsigned count);

static inline uint16_t i8255x_le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}
static inline uint32_t i8255x_le32(const uint8_t *p)
{
    return i8255x_le16(p) | (uint32_t)i8255x_le16(p + 2) << 16;
}
static inline bool i8255x_loopback(const struct i8255x *s)
{
    return s->config[10] & 0xc0;
}

#endif
