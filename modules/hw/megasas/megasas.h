/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the MegaRAID SAS adapter share. Names are those of its firmware interface (MFI). */
#ifndef HW_MEGASAS_MEGASAS_H
#define HW_MEGASAS_MEGASAS_H

#include <bp/loop.h>

#include "hba.h"

#define MFI_FRAME 64u
#define MEGASAS_LDS 64u   /* logical drives */
#define MEGASAS_PDS 128u  /* physical ones */
#define MEGASAS_EVENTS 64u
#define MEGASAS_MAX_COMMANDS 4096u

enum { /* cmd_status */
    MFI_OK = 0x00,
    MFI_INVALID_CMD = 0x01,
    MFI_INVALID_DCMD = 0x02,
    MFI_INVALID_PARAMETER = 0x03,
    MFI_ABORT_NOT_POSSIBLE = 0x05,
    MFI_DEVICE_NOT_FOUND = 0x0c,
    MFI_NO_MEMORY = 0x20,
    MFI_NOT_FOUND = 0x23,
    MFI_SCSI_DONE_WITH_ERROR = 0x2d,
    MFI_SCSI_IO_FAILED = 0x2e,
    MFI_WRONG_STATE = 0x32,
    MFI_PENDING = 0x100, /* ours: it is completed later */
};

enum { /* bytes of frames */
    F_CMD = 0x00,
    F_SENSE_LENGTH = 0x01,
    F_STATUS = 0x02,
    F_SCSI_STATUS = 0x03,
    F_TARGET = 0x04,
    F_LUN = 0x05,
    F_CDB_LENGTH = 0x06,
    F_SGE_COUNT = 0x07,
    F_CONTEXT = 0x08,
    F_FLAGS = 0x10,
    F_LENGTH = 0x14,
    F_SENSE_ADDR = 0x18, /* of I/O */
    F_OPCODE = 0x18,     /* of DCMD */
    F_MBOX = 0x1c,
    F_LBA = 0x20,        /* of LD I/O */
    F_CDB = 0x20,        /* of SCSI I/O */
    F_SGL = 0x28,
    F_SCSI_SGL = 0x30,
};
enum { /* flags */
    MFI_NO_REPLY = 0x01,
    MFI_SGL64 = 0x02,
    MFI_TO_DEVICE = 0x08,
    MFI_FROM_DEVICE = 0x10,
    MFI_IEEE = 0x20,
};
enum { MFI_CMD_INIT, MFI_CMD_LD_READ, MFI_CMD_LD_WRITE, MFI_CMD_LD_SCSI, MFI_CMD_PD_SCSI, MFI_CMD_DCMD, MFI_CMD_ABORT };
enum { /* firmware's state */
    MFI_STATE_READY = (int)0xb0000000u,
    MFI_STATE_OPERATIONAL = (int)0xc0000000u,
    MFI_STATE_FAULT = (int)0xf0000000u,
};

struct megasas_event {
    uint32_t seq, time, code, where; /* where: target of the drive */
};

struct megasas {
    struct hba hba;
    /* properties */
    uint32_t max_cmds, max_sge;
    uint64_t sas_address;
    char *serial;
    int msi, msix;
    bool jbod;
    /* registers */
    uint32_t state, intr_status, intr_mask, high_port, diag, diag_keys;
    /* the reply queue */
    uint32_t reply_entries, reply_index;
    bool reply_wide; /* contexts of 64 bits */
    uint64_t reply_queue, producer;
    /* events: the latest MEGASAS_EVENTS; and a DCMD that waits for one */
    struct megasas_event events[MEGASAS_EVENTS];
    uint32_t newest;
    bool waits;
    uint64_t wait_addr;
    uint8_t wait_frame[MFI_FRAME];
};

/* ---- frames.c ---- */
void megasas_take(struct megasas *s, uint64_t addr);
void megasas_complete(struct megasas *s, uint64_t addr, const uint8_t *frame, uint8_t status, uint8_t scsi_status);
void megasas_done(struct hba *hba, struct hba_command *c);
void megasas_replay(struct megasas *s);
/* The pieces of a frame's list, of `length` bytes at most. False: it is impossible. */
bool megasas_list(struct hba_command *c, uint64_t addr, const uint8_t *frame, unsigned at, uint64_t length);

/* ---- dcmd.c ---- */
unsigned megasas_dcmd(struct megasas *s, uint64_t addr, const uint8_t *frame);
/* Drives from `target` on write their caches; then the frame is completed. MFI_PENDING, or how it ended. */
unsigned megasas_flush(struct megasas *s, uint64_t addr, const uint8_t *frame, unsigned target);
void megasas_event(struct megasas *s, uint32_t code, unsigned target);

/* ---- megasas.c ---- */
void megasas_reply_interrupt(struct megasas *s);

static inline unsigned megasas_drives(const struct megasas *s)
{
    return s->jbod ? MEGASAS_PDS : MEGASAS_LDS;
}

#endif
