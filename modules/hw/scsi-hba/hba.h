/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What PCI host adapters of the SCSI bus share: commands whose data lie in pieces of guest memory, which go to units
 * without a copy; that are cancelled, saved and carried out again; and the guard against transfers that lead back to
 * the adapter's own registers. Everything under the machine lock.
 */
#ifndef HW_SCSI_HBA_HBA_H
#define HW_SCSI_HBA_HBA_H

#include <endian.h>
#include <string.h>

#include <bp/bus/pci.h>
#include <bp/dma.h>
#include <bp/host/scsi.h>
#include <bp/state.h>

#define HBA_FRAME 128u          /* bytes of a command as the guest gave it that are kept */
#define HBA_PIECES 4096u        /* of a command at most */
#define HBA_PIECES_ALL (256u << 10) /* of all commands of an adapter */
#define HBA_BYTES (64ull << 20) /* that a command moves at most */

struct hba_piece {
    uint64_t addr, length;
};

struct hba_command {
    struct hba *hba;
    struct hba_command *next, **link;
    uint64_t key;              /* the adapter's: an address, a context */
    uint8_t frame[HBA_FRAME];  /* likewise; saved */
    struct bp_scsi_request request;
    struct hba_piece *pieces;
    unsigned count, room;
    uint64_t bytes; /* in pieces */
    bool to_guest, started, forgotten; /* forgotten: nobody is told of its end */
    void *waiting;  /* the adapter's: who waits for its end */
    unsigned left, ended; /* of one that waits for others: how many have not ended, and have */
    struct bp_dma *map;
};

struct hba_saved { /* a command that was under way */
    uint64_t key;
    uint8_t frame[HBA_FRAME];
};

struct hba {
    struct bp_device *dev;
    const struct bp_pci_interface *pci;
    const struct bp_scsi_interface *scsi;
    struct bp_scsi_bus *bus;
    /* A command that was started has ended, and its data are where they belong; also one that is forgotten. It is
     * no longer among `commands`, and freed afterwards. */
    void (*done)(struct hba *hba, struct hba_command *c);
    struct hba_command *commands; /* the latest first */
    unsigned count, most;         /* that exist, with forgotten ones; that may */
    unsigned pieces;              /* that they have */
    unsigned busy;                /* transfers under way on this thread */
    struct hba_saved *saved;      /* while saving and loading */
    uint32_t saved_count;
};

/* `info` as for new_bus(); most: commands at a time. */
int hba_init(struct hba *hba, struct bp_device *dev, const struct bp_pci_interface *pci,
             const struct bp_scsi_interface *scsi, const struct bp_scsi_bus_info *info, void *opaque, unsigned most,
             struct bp_error *err);
void hba_free(struct hba *hba); /* in detach(), or when attach() fails */

/* A transfer of the adapter led to its registers: their callbacks do nothing then. */
bool hba_loops(const struct hba *hba);

/* -EPERM, -EFAULT, -EBUSY: as the PCI bus says. */
int hba_read(struct hba *hba, uint64_t addr, void *buf, uint64_t length);
int hba_write(struct hba *hba, uint64_t addr, const void *buf, uint64_t length);

/* NULL: there are `most`, or the host has no memory. */
struct hba_command *hba_new(struct hba *hba, uint64_t key);
void hba_drop(struct hba_command *c); /* one that was not started */
/* False: too many pieces, of this one or of all, or bytes. */
bool hba_add(struct hba_command *c, uint64_t addr, uint64_t length);
/* Copies to or from the pieces; how many bytes. */
uint64_t hba_copy(struct hba_command *c, void *buf, uint64_t length, bool to_guest);
/*
 * Gives it to a unit: its request's cdb and cdb_length are set, `to_guest` and the pieces say what it moves. 0: done()
 * is called, maybe at once; -ENODEV: nobody is there; -EFAULT: data are where no memory is; -EAGAIN: the host has no
 * room for them now. In case of an error it still exists.
 */
int hba_start(struct hba_command *c, unsigned channel, unsigned target, unsigned lun);

/* Ends those for which `which` is true (NULL: all) soon, without telling. One that waits for others goes with the last
 * of them: where the adapter's done() has counted it off, it drops one that is forgotten. */
void hba_forget(struct hba *hba, bool (*which)(struct hba_command *c, void *opaque), void *opaque);
/* Cancels those for which `which` is true and that nobody waits for yet: each has task in `waiting` then, which is one
 * that was not started and has counted them in `left`. The adapter's done() counts them off. */
void hba_cancel(struct hba *hba, struct hba_command *task, bool (*which)(struct hba_command *c, void *opaque),
                void *opaque);
/* The one with this key that is not forgotten, or NULL. */
struct hba_command *hba_find(struct hba *hba, uint64_t key);

/* In the way that the guest chose: a message when there is news (`event`), or INTx, which follows `level`. */
void hba_interrupt(struct hba *hba, bool event, bool level);

/* For state tables: BP_SAVE_VECTOR(struct S, hba.saved, hba.saved_count, HBA_SAVED_MAX, &hba_saved_table). */
#define HBA_SAVED_MAX 4096u
extern const struct bp_state_table hba_saved_table;
int hba_before_save(struct hba *hba, struct bp_error *err);

static inline uint16_t hba_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t hba_get32(const uint8_t *p)
{
    return hba_get16(p) | (uint32_t)hba_get16(p + 2) << 16;
}

static inline uint64_t hba_get64(const uint8_t *p)
{
    return hba_get32(p) | (uint64_t)hba_get32(p + 4) << 32;
}

static inline void hba_put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void hba_put32(uint8_t *p, uint32_t v)
{
    hba_put16(p, v);
    hba_put16(p + 2, v >> 16);
}

static inline void hba_put64(uint8_t *p, uint64_t v)
{
    hba_put32(p, (uint32_t)v);
    hba_put32(p + 4, (uint32_t)(v >> 32));
}

/* The unit of an eight-byte address (SAM-5 4.7), of its first level: peripheral or flat. */
static inline unsigned hba_lun(const uint8_t *lun)
{
    return (unsigned)(lun[0] & 0x3f) << 8 | lun[1];
}

#endif
