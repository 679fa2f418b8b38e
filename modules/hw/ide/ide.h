/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ATA and ATAPI drives: what the files of this folder share. Under the machine lock. */
#ifndef HW_IDE_IDE_H
#define HW_IDE_IDE_H

#include <errno.h>

#include <bp/bus/ide.h>
#include <bp/host/block.h>
#include <bp/level.h>

/* Imported in module.c. */
extern const struct bp_block_interface *const *const ide_block;
#define block (*ide_block)

#define SECTOR 512u
#define CD_SECTOR 2048u
#define DATA_MAX (256u << 10) /* bytes of a drive's buffer: one request to the block layer */
#define PACKET_SIZE 12u
#define QUEUE_DEPTH 32u

enum ide_error { ERROR_ABORT = 0x04, ERROR_NO_ID = 0x10, ERROR_DATA = 0x40, ERROR_CRC = 0x80 };
#define STATUS_IDLE (BP_IDE_READY | BP_IDE_SEEK_DONE)
#define DEVICE_LBA 0x40u
#define DEVICE_SELECT 0x10u
#define CONTROL_NO_INTERRUPT 0x02u
#define CONTROL_RESET 0x04u
#define CONTROL_HIGH_ORDER 0x80u
/* Interrupt reason of PACKET commands, in the count register. */
#define REASON_COMMAND 1u
#define REASON_TO_HOST 2u

/* What moves between drive and host now. */
enum ide_phase { PHASE_IDLE, PHASE_PIO_IN, PHASE_PIO_OUT, PHASE_DMA_IN, PHASE_DMA_OUT, PHASE_PACKET };
/* What the block layer is doing for the drive; plain data, so that a loaded drive does it again. */
enum ide_step { STEP_NONE, STEP_READ, STEP_WRITE, STEP_VERIFY, STEP_FLUSH, STEP_TRIM };
/* What the data in the buffer are for. */
enum ide_task { TASK_NONE, TASK_READ, TASK_WRITE, TASK_REPLY, TASK_TRIM, TASK_STORE, TASK_PACKET_READ,
                TASK_PACKET_REPLY };

struct ide_drive;

/* A drive's requests; `pending`: those that nobody waits for any more, until which it stays busy. */
enum ide_diagnose { DIAGNOSE_NONE, DIAGNOSE_RESET, DIAGNOSE_COMMAND };

struct ide_tally {
    unsigned pending;
    struct ide_job *jobs; /* all of them */
};

/* A request to the block layer. It outlives a reset of its drive: then nobody waits for it, but the
 * buffer that it uses is its own until it has ended. */
struct ide_job {
    struct ide_drive *drive; /* NULL: it was let go */
    struct ide_job *next, **link; /* among those of its drive's tally */
    struct ide_drive *whose;
    struct bp_blk_request *request;
    struct iovec iov;
    uint8_t *buffer; /* owned once it was let go */
    int tag;         /* queued command, or -1 */
};

/* A command of the queue. */
struct ide_queued {
    struct ide_job *job;
    uint64_t lba;
    uint32_t left, chunk; /* sectors */
    uint32_t number;      /* tells it from others that have used the tag */
    uint8_t *data;
    bool busy, write, fua;
    bool fetched; /* a chunk to be written is in `data`: it isn't fetched again */
    struct bp_state_bytes saved_data;
    uint8_t *restored; /* what was loaded of it, DATA_MAX bytes */
    uint32_t restored_size;
};

struct smart_test {
    uint8_t kind, status;
    uint16_t hours;
};

struct ide_bus {
    struct bp_ide_ops ops;
    void *opaque;
    struct bp_bus *bus;
    struct bp_device *adapter;
    struct ide_drive *drives[BP_IDE_UNITS]; /* borrowed */
    uint8_t selected;                       /* unit */
    bool reset_held; /* SRST */
};

struct ide_drive {
    /* properties */
    struct bp_blk_conf conf;
    char *serial, *model, *version;
    uint64_t wwn;
    uint32_t unit; /* UINT32_MAX: the next free one */
    uint16_t rotation_rate;
    int chs_trans;
    bool win2k_install_hack;
    struct bp_timer *slow; /* with it: a block that was written is taken so much later; NULL: at once */
    uint32_t slow_epoch;

    struct bp_device *dev;
    struct ide_bus *bus; /* NULL while it has none */
    struct bp_blk *blk;
    struct bp_deferred *again; /* takes up what was loaded */
    bool cd;
    uint64_t sectors; /* of 512 bytes */
    uint32_t cyls, heads, secs; /* default geometry */

    /* registers */
    struct bp_ide_registers regs;
    bool irq; /* pending, whatever the control register says */

    /* the command under way */
    uint8_t phase, step, task;
    bool dma, dma_wanted, ext, fua;
    bool lba_mode;  /* its address was not CHS: what an error reports */
    uint8_t diagnose; /* enum ide_diagnose: busy until old requests have ended; then the signature */
    uint64_t lba;
    uint32_t left;  /* sectors still to do, those in the buffer included */
    uint32_t per_block; /* sectors of a data request block */
    uint32_t chunk; /* sectors in the buffer */
    uint32_t data_pos, data_len, drq_end; /* bytes */
    uint8_t *data;  /* DATA_MAX bytes, or NULL until needed */
    struct bp_state_bytes saved_data;
    struct ide_job *job;
    struct ide_tally tally;
    uint32_t epoch;  /* counts commands and resets */
    bool moving;     /* inside of ops.transfer() */
    bool pumping;    /* inside of the loop that moves a serial drive's PIO data */
    uint32_t trim_next;

    /* settings */
    uint8_t multiple; /* sectors, 0: off */
    uint8_t transfer_mode; /* as SET FEATURES 03h has it: 0x20 + n, 0x40 + n, or 0 */
    uint8_t heads_now, secs_now;
    uint16_t cyls_now;
    uint8_t power; /* CHECK POWER MODE's count */
    bool asleep, write_cache, look_ahead, media_status;
    bool smart, smart_autosave;
    uint8_t smart_tests, smart_offline;
    struct smart_test tests[21];
    uint8_t store[SECTOR]; /* READ BUFFER, WRITE BUFFER */

    /* queue */
    struct ide_queued queued[QUEUE_DEPTH];
    bool queue_failed; /* until the log was read */
    uint8_t queue_log[SECTOR];

    /* PACKET commands */
    uint8_t cdb[PACKET_SIZE];
    uint8_t sense, asc, ascq;
    uint32_t byte_limit;
    uint32_t cd_stride; /* bytes of a sector as it is sent */
    uint8_t cd_parts;   /* READ CD's main channel selection, 0: user data */
    bool tray_open, locked, attention_medium, attention_reset;
    uint8_t medium_event;
};

/* drive.c */
extern const struct bp_device_class ide_hd_class, ide_cd_class;
extern const struct bp_level_class ide_device_level;
void ide_take_up(void *opaque); /* what a loaded drive had under way */

/* bus.c */
extern const struct bp_bus_class ide_bus_class;
extern const struct bp_ide_interface ide_table;
int ide_bus_join(struct ide_drive *s, struct bp_error *err);
void ide_bus_leave(struct ide_drive *s);
void ide_update_irq(struct ide_bus *bus);
void ide_bus_restored(struct ide_drive *s);
static inline bool ide_serial(const struct ide_drive *s)
{
    return s->bus->ops.flags & BP_IDE_SERIAL;
}

/* Can the adapter move data by itself? */
static inline bool ide_has_dma(const struct ide_drive *s)
{
    return s->bus->ops.transfer != NULL;
}

/* transfer.c: how data, and the news that a command has ended, get to the host. */
void ide_slow_down(struct ide_drive *s); /* from attach(), as win2k-install-hack says */
void ide_slow_resume(struct ide_drive *s); /* after loading */
void ide_end(struct ide_drive *s); /* BSY, DRQ and the phase go; interrupt */
void ide_fail(struct ide_drive *s, uint8_t error);
void ide_fault(struct ide_drive *s, uint8_t error); /* the same; what was written is not safe */
void ide_offer(struct ide_drive *s, uint32_t length); /* data_len bytes in `data` are for the host */
void ide_want(struct ide_drive *s, uint32_t length);  /* so many bytes are wanted of it */
void ide_end_quietly(struct ide_drive *s); /* as PIO reads end: the host knows it by itself */
void ide_next_block(struct ide_drive *s, bool first);
void ide_block_moved(struct ide_drive *s);
void ide_dma_go(struct ide_drive *s);
void ide_need_data(struct ide_drive *s);
/* requests to the block layer */
void ide_submit(struct ide_drive *s, enum ide_step step, enum bp_block_op op, uint64_t offset,
                uint64_t bytes, uint32_t flags);
void ide_let_go(struct ide_drive *s); /* of everything that is under way */
/* The same for a command of the queue; the job is in place before the request is submitted. */
void ide_job_submit(struct ide_drive *s, struct ide_job **place, int tag, uint8_t *buffer,
                    enum bp_block_op op, uint64_t offset, uint64_t bytes, uint32_t flags);
void ide_job_let_go(struct ide_drive *s, struct ide_job *job, uint8_t *buffer);
void ide_jobs_free(struct ide_drive *s); /* the block layer has forgotten them */
void ide_resume(struct ide_drive *s); /* what was loaded goes on */

/* ata.c */
void ide_command(struct ide_drive *s, uint8_t command);
void ide_data_in(struct ide_drive *s);   /* the buffer is full of what was wanted */
void ide_data_out(struct ide_drive *s);  /* the host took what was offered */
void ide_step_done(struct ide_drive *s, enum ide_step step, int ret);
void ide_step_again(struct ide_drive *s);
void ide_set_address(struct ide_drive *s, uint64_t lba); /* into the registers */
void ide_signature(struct ide_drive *s);
void ide_reset_settings(struct ide_drive *s);
void ide_software_reset(struct ide_drive *s);
void ide_diagnose_go(struct ide_bus *bus);
void ide_diagnose_again(struct ide_drive *s); /* its last request has ended */

/* identify.c */
void ide_identify(const struct ide_drive *s, uint8_t out[SECTOR]);
void ide_text(uint8_t *out, size_t size, const char *text, bool swapped);

/* smart.c */
void ide_smart(struct ide_drive *s);
void ide_read_log(struct ide_drive *s);

/* queue.c */
void ide_queue(struct ide_drive *s);
bool ide_queue_busy(const struct ide_drive *s);
void ide_queue_abort(struct ide_drive *s, uint8_t error);
void ide_queue_let_go(struct ide_drive *s);
void ide_queue_done(struct ide_drive *s, int tag, int ret);
void ide_queue_resume(struct ide_drive *s);

/* packet.c */
void ide_packet(struct ide_drive *s);
void ide_packet_received(struct ide_drive *s);
void ide_packet_reply(struct ide_drive *s, uint32_t length, uint32_t allocated);
void ide_packet_good(struct ide_drive *s);
void ide_packet_check(struct ide_drive *s, uint8_t key, uint8_t asc, uint8_t ascq);
void ide_packet_read_next(struct ide_drive *s);
void ide_packet_read_done(struct ide_drive *s, int ret);
void ide_packet_sent(struct ide_drive *s);
/* mmc.c */
void mmc_command(struct ide_drive *s);
void mmc_medium(struct ide_drive *s, bool loaded);
void mmc_eject_wanted(struct ide_drive *s, bool force);
uint32_t mmc_blocks(const struct ide_drive *s);

#endif
