/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * IPMI: what management controllers (BMCs) and the interfaces to them share. A request is netFn << 2 | LUN, command,
 * data; an answer the same with netFn + 1, then a completion code, data (IPMI 2.0 rev. 1.1, chapters 5, 9, 11).
 * Under the machine lock.
 */
#ifndef IPMI_H
#define IPMI_H

#include <bp/level.h>
#include <bp/memory.h>

#define IPMI_MOST 272u    /* bytes of a message */
#define IPMI_BT_MOST 254u /* of one that BT hands over, whose length is a byte and counts one more */

enum { IPMI_OK = 0, IPMI_INVALID_COMMAND = 0xc1, IPMI_TIMEOUT = 0xc3, IPMI_NO_SPACE = 0xc4, IPMI_RESERVATION = 0xc5,
       IPMI_BAD_LENGTH = 0xc7, IPMI_OUT_OF_RANGE = 0xc9, IPMI_TOO_MANY = 0xca, IPMI_NOT_PRESENT = 0xcb,
       IPMI_BAD_FIELD = 0xcc, IPMI_BMC_INIT = 0xd2, IPMI_NOT_NOW = 0xd5 };

struct ipmi_interface; /* kcs.c, bt.c */
struct ipmi_bmc {      /* the level below each BMC */
    uint8_t slave_addr;
    struct ipmi_interface *interface; /* that is connected to it, or NULL */
    const struct ipmi_bmc_ops *ops;
};
struct ipmi_bmc_ops {
    void (*request)(struct bp_device *bmc, const uint8_t *msg, unsigned len); /* 2..IPMI_MOST bytes */
    void (*irqs)(struct bp_device *bmc, bool on); /* the guest wants interrupts or not; or NULL */
};
extern const struct bp_level_class ipmi_bmc_level;
struct ipmi_bmc *ipmi_bmc_of(struct bp_device *dev);
/* To the interface: the answer to the last request, of 3 bytes at least (one that it cannot hand over is said to be too
 * long); something waits for the guest (`irq`: interrupt it, too). */
void ipmi_answer(struct ipmi_bmc *bmc, const uint8_t *msg, unsigned len);
void ipmi_attention(struct ipmi_bmc *bmc, bool on, bool irq);

enum ipmi_kind { IPMI_KCS, IPMI_BT };
struct ipmi_interface {
    enum ipmi_kind kind;
    struct bp_device *bmc;
    void (*set_irq)(struct ipmi_interface *s, bool on);
    /* KCS */
    uint8_t status, out, error;
    bool last_byte, aborting, irq_on_attention;
    /* BT */
    uint8_t control, mask, sequence;
    bool waits; /* for an answer */
    uint8_t in[IPMI_MOST], answer[IPMI_MOST];
    uint16_t in_len, answer_len, answer_at;
};
extern const struct bp_region_ops ipmi_kcs_ops, ipmi_bt_ops; /* 2 and 3 ports */
void ipmi_kcs_answer(struct ipmi_interface *s, const uint8_t *msg, unsigned len);
void ipmi_kcs_attention(struct ipmi_interface *s, bool on, bool irq);
void ipmi_kcs_reset(struct ipmi_interface *s);
void ipmi_bt_answer(struct ipmi_interface *s, const uint8_t *msg, unsigned len);
void ipmi_bt_attention(struct ipmi_interface *s, bool on, bool irq);
void ipmi_bt_reset(struct ipmi_interface *s);

extern const struct bp_device_class ipmi_bmc_sim, ipmi_bmc_extern, isa_ipmi_kcs, isa_ipmi_bt, pci_ipmi_kcs, pci_ipmi_bt;

#endif
