/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the LSI SAS1068 share. Names are those of Fusion-MPT (MPI 1.5). */
#ifndef HW_MPTSAS_MPTSAS_H
#define HW_MPTSAS_MPTSAS_H

#include <bp/loop.h>

#include "hba.h"

#define MPT_PHYS 8u
#define MPT_CREDITS 128u  /* requests at a time */
#define MPT_REPLIES 128u  /* frames for replies that the driver may give */
#define MPT_POSTED 512u   /* replies that the driver has not fetched */
#define MPT_PENDING 192u  /* those that wait for a frame */
#define MPT_FRAME 128u    /* bytes of a request */
#define MPT_REPLY 80u     /* of a reply at most */
#define MPT_HANDSHAKE 64u /* dwords of a request by the doorbell */

enum { /* IOC state, in the doorbell */
    MPT_READY = 0x10000000,
    MPT_OPERATIONAL = 0x20000000,
    MPT_FAULT = 0x40000000,
};
enum { /* functions */
    MPT_SCSI_IO = 0x00,
    MPT_TASK = 0x01,
    MPT_IOC_INIT = 0x02,
    MPT_IOC_FACTS = 0x03,
    MPT_CONFIG = 0x04,
    MPT_PORT_FACTS = 0x05,
    MPT_PORT_ENABLE = 0x06,
    MPT_EVENT_NOTIFICATION = 0x07,
    MPT_EVENT_ACK = 0x08,
    MPT_SAS_IO_UNIT_CONTROL = 0x1b,
    MPT_MESSAGE_RESET = 0x40,
    MPT_UNIT_RESET = 0x41,
    MPT_DOORBELL_HANDSHAKE = 0x42,
};
enum { /* IOCStatus */
    MPT_SUCCESS = 0x00,
    MPT_INVALID_FUNCTION = 0x01,
    MPT_INVALID_SGL = 0x03,
    MPT_INSUFFICIENT_RESOURCES = 0x06,
    MPT_INVALID_FIELD = 0x07,
    MPT_INVALID_STATE = 0x08,
    MPT_CONFIG_INVALID_ACTION = 0x20,
    MPT_CONFIG_INVALID_TYPE = 0x21,
    MPT_CONFIG_INVALID_PAGE = 0x22,
    MPT_CONFIG_INVALID_DATA = 0x23,
    MPT_SCSI_INVALID_BUS = 0x41,
    MPT_SCSI_INVALID_TARGET = 0x42,
    MPT_SCSI_NOT_THERE = 0x43,
    MPT_SCSI_UNDERRUN = 0x45,
    MPT_SCSI_TASK_TERMINATED = 0x48,
};
enum { /* bytes of every message */
    M_LENGTH = 0x02, /* of replies, in dwords */
    M_FUNCTION = 0x03,
    M_CONTEXT = 0x08,
    M_STATUS = 0x0e, /* of replies */
};

struct mpt_reply { /* one without a frame yet */
    uint32_t length;
    uint8_t bytes[MPT_REPLY];
};

struct mptsas {
    struct hba hba;
    uint64_t sas_address;
    int msi;
    uint32_t state; /* MPT_READY ... | code of a fault */
    /* doorbell */
    uint8_t phase;  /* enum mpt_phase */
    uint32_t intr_status, intr_mask, diag, diag_keys;
    uint32_t hand_count, hand_at; /* dwords of the request; words of the reply */
    uint32_t hand[MPT_HANDSHAKE];
    uint8_t hand_reply[MPT_REPLY];
    uint32_t hand_reply_length; /* bytes */
    /* of IOC init */
    uint8_t who, max_devices, max_buses, events_on;
    uint16_t reply_size;
    uint32_t frame_high, sense_high, event_context;
    /* FIFOs: rings with `*_first` and `*_count` */
    uint32_t free_first, free_count, free[MPT_REPLIES];
    uint32_t post_first, post_count, post[MPT_POSTED];
    uint32_t pending_first, pending_count;
    struct mpt_reply pending[MPT_PENDING];
};

/* ---- messages.c ---- */
/* Answers one that is neither SCSI I/O nor a task; `length`: bytes of it. Returns the bytes of the answer. */
unsigned mpt_message(struct mptsas *s, uint8_t *request, unsigned length, uint8_t ret_reply[MPT_REPLY]);
void mpt_take(struct mptsas *s, uint32_t mfa);
/* The header of a reply to a request: `length` bytes. */
void mpt_reply_head(uint8_t *reply, const uint8_t *request, unsigned length, unsigned status);
void mpt_send(struct mptsas *s, const uint8_t *reply, unsigned length);
void mpt_send_pending(struct mptsas *s);
void mpt_post(struct mptsas *s, uint32_t word);
void mpt_fault(struct mptsas *s, uint32_t code, const char *why);
void mpt_event(struct mptsas *s, uint32_t event, const uint8_t *data, unsigned length);

/* ---- io.c ---- */
/* An IOCStatus when it could not be started; MPT_SUCCESS: the end replies. */
unsigned mpt_scsi_io(struct mptsas *s, const uint8_t *request);
void mpt_task(struct mptsas *s, const uint8_t *request);
void mpt_done(struct hba *hba, struct hba_command *c);
void mpt_replay(struct mptsas *s);
/* A frame's list from `at` on. False: it is impossible. */
bool mpt_list(struct hba_command *c, const uint8_t *request, unsigned at, uint64_t length);

/* ---- config.c ---- */
unsigned mpt_config(struct mptsas *s, const uint8_t *request, uint8_t ret_reply[MPT_REPLY]);
uint16_t mpt_phy_handle(unsigned phy);
uint16_t mpt_drive_handle(unsigned phy);
uint64_t mpt_drive_address(const struct mptsas *s, unsigned phy);
#define MPT_INFO_PHY 0x41u    /* an initiator of SSP, an end device */
#define MPT_INFO_DRIVE 0xc01u /* a target of SSP that is attached directly */

/* ---- mptsas.c ---- */
void mpt_update(struct mptsas *s, bool event);
void mpt_to_ready(struct mptsas *s);

static inline bool mpt_is_there(struct mptsas *s, unsigned target)
{
    return target < MPT_PHYS && s->hba.scsi->target(s->hba.bus, 0, target);
}

#endif
