/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Floppy disk controller and drives: what the files of this folder share. Under the machine lock. */
#ifndef HW_FDC_FDC_H
#define HW_FDC_FDC_H

#include <errno.h>

#include <bp/device.h>
#include <bp/host/block.h>

/* Imported in fdc.c. */
struct bp_i8237_interface;
extern const struct bp_block_interface *const *const fdc_block;
extern const struct bp_i8237_interface *const *const fdc_dma;
#define block (*fdc_block)
#define dma (*fdc_dma)

#define SECTOR 512u
#define UNITS 2u
#define PARAMETERS 17u

enum { ST0_ABNORMAL = 0x40, ST0_INVALID = 0x80, ST0_SEEK_END = 0x20, ST0_CHECK = 0x10 };
enum { ST1_NO_ADDRESS = 0x01, ST1_NOT_WRITABLE = 0x02, ST1_NO_DATA = 0x04, ST1_DATA_ERROR = 0x20, ST1_END = 0x80 };
enum { ST2_WRONG_CYLINDER = 0x10, ST2_DATA_ERROR = 0x20, ST2_CONTROL_MARK = 0x40 };

struct fdc;

/* A drive, with what is in it. */
struct floppy {
    struct bp_blk_conf conf;
    uint32_t unit;
    int type, fallback;
    struct bp_device *dev;
    struct fdc *fdc; /* NULL: not attached */
    struct bp_blk *blk;
    uint8_t cylinder; /* where the head is */
    bool changed;     /* the line DSKCHG */
    bool tray_open;
    /* the medium */
    uint8_t cylinders, heads, sectors, rate;
};

enum fdc_phase { PHASE_COMMAND, PHASE_PARAMETERS, PHASE_EXECUTION, PHASE_RESULT };
enum fdc_task { TASK_NONE, TASK_READ, TASK_WRITE, TASK_VERIFY, TASK_FORMAT };
/* What the block layer is doing; plain data, so that a loaded controller does it again. */
enum fdc_step { STEP_NONE, STEP_READ, STEP_WRITE };

/* A request to the block layer; when nobody waits for it any more, it still has its own buffer. */
struct fdc_job {
    struct fdc *fdc;
    struct floppy *drive;
    struct fdc_job *next, **link; /* among those of the controller */
    bool let_go;
    struct bp_blk_request *request;
    struct iovec iov;
    uint8_t buffer[SECTOR];
};

struct fdc {
    struct bp_device *dev;
    uint32_t iobase, irq_number, dma_channel;
    int fallback, fd_type[UNITS];
    struct bp_irq *irq;
    struct bp_bus *bus;
    struct bp_deferred *again;
    struct floppy *drives[UNITS];
    struct fdc_job *jobs; /* all of them */
    unsigned pending;     /* of which nobody waits for so many */
    struct fdc_job *job;  /* the one that it waits for */

    uint8_t dor, tdr, rate;
    uint8_t specify[2], config, precompensation, perpendicular;
    bool locked, irq_up;
    uint8_t phase, task, step;
    uint8_t in[PARAMETERS], in_count, in_wanted;
    uint8_t out[PARAMETERS], out_count, out_next;
    uint8_t sense; /* interrupts of the reset that are still to be told */
    uint8_t seek_done; /* bit per drive */
    uint8_t seek_st0[4];
    /* the transfer */
    uint8_t unit, head, cyl, sec, end;
    bool multi, deleted, track, pio, count_sectors, waits, ended_by_count;
    uint8_t left; /* sectors, of FORMAT and of VERIFY with EC */
    uint16_t pos, length; /* in buffer */
    uint8_t buffer[SECTOR];
};

extern const struct bp_device_class floppy_class;
extern const struct bp_bus_class floppy_bus_class;

/* drive.c */
struct floppy *fdc_drive(const struct fdc *s, unsigned unit);
bool floppy_ready(const struct floppy *d);
uint8_t floppy_cmos_type(const struct floppy *d);
/* command.c */
void fdc_command_byte(struct fdc *s, uint8_t value);
void fdc_result(struct fdc *s, unsigned count); /* `out` has so many bytes */
void fdc_interrupt(struct fdc *s, bool level);
void fdc_reset(struct fdc *s);
void fdc_command_reset(struct fdc *s);
/* transfer.c */
void transfer_begin(struct fdc *s);
void transfer_format(struct fdc *s);
void transfer_read_id(struct fdc *s);
uint8_t transfer_pio_read(struct fdc *s);
void transfer_pio_write(struct fdc *s, uint8_t value);
void transfer_ready(void *opaque); /* DMA can move */
void transfer_stop(struct fdc *s);
void transfer_resume(struct fdc *s);
void transfer_forget(struct fdc *s, const struct floppy *d); /* the block layer has forgotten its requests */
bool transfer_plausible(const struct fdc *s);

#endif
