/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the paravirtual SCSI adapter share. */
#ifndef HW_PVSCSI_PVSCSI_H
#define HW_PVSCSI_PVSCSI_H

#include <bp/loop.h>

#include "hba.h"

#define PVSCSI_PAGE 4096u
#define PVSCSI_RING_PAGES 32u
#define PVSCSI_MSG_PAGES 16u
#define PVSCSI_REQUEST 128u    /* bytes of a descriptor */
#define PVSCSI_COMPLETION 32u
#define PVSCSI_MESSAGE 128u
#define PVSCSI_TARGETS 64u

enum { PVSCSI_INTR_CMPL = 1, PVSCSI_INTR_MSG = 4, PVSCSI_INTR_ALL = 15 };

struct pvscsi_ring {
    uint32_t entries; /* a power of two; 0: there is no such ring */
    uint32_t index;   /* the adapter's: consumer of requests, producer of the others */
    uint64_t pages[PVSCSI_RING_PAGES]; /* numbers */
};

struct pvscsi {
    struct hba hba;
    struct bp_deferred *again; /* looks at the requests */
    uint8_t use_msg;
    uint32_t intr_status, intr_mask, command_status;
    /* a command that is being written */
    uint32_t command, data_count, data[132];
    uint64_t state_page; /* address */
    struct pvscsi_ring requests, completions, messages;
};

/* ---- rings.c ---- */
/* desc: the words of the command. False: it is impossible. */
bool pvscsi_setup_rings(struct pvscsi *s, const uint32_t *desc);
bool pvscsi_setup_messages(struct pvscsi *s, const uint32_t *desc);
void pvscsi_take_requests(struct pvscsi *s);
void pvscsi_done(struct hba *hba, struct hba_command *c);
void pvscsi_replay(struct pvscsi *s);
void pvscsi_message(struct pvscsi *s, uint32_t type, struct bp_scsi_unit *unit);
bool pvscsi_rings_possible(const struct pvscsi *s);

/* ---- pvscsi.c ---- */
void pvscsi_raise(struct pvscsi *s, uint32_t bits);

#endif
