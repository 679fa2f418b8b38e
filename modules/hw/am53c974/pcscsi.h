/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the Am53C974 share: registers as its data sheet names them. */
#ifndef HW_AM53C974_PCSCSI_H
#define HW_AM53C974_PCSCSI_H

#include <bp/bus/pci.h>
#include <bp/clock.h>
#include <bp/log.h>

#include "spi.h"

enum { /* registers of the SCSI block, a byte each at four times this */
    R_TCLOW = 0x0, R_TCMID = 0x1, R_FIFO = 0x2, R_COMMAND = 0x3, R_STATUS = 0x4, R_INTERRUPT = 0x5, R_STEP = 0x6,
    R_FLAGS = 0x7, R_CONTROL1 = 0x8, R_CONTROL2 = 0xb, R_CONTROL3 = 0xc, R_CONTROL4 = 0xd, R_TCHIGH = 0xe,
    R_COUNT = 0x10,
};
enum { /* of the DMA block, 32 bits each */
    D_COMMAND = 0x40, D_STC = 0x44, D_SPA = 0x48, D_WBC = 0x4c, D_WAC = 0x50, D_STATUS = 0x54, D_SMDLA = 0x58,
    D_WMAC = 0x5c, D_SBAC = 0x70,
};
enum { C_DMA = 0x80, C_NOP = 0x00, C_CLEAR_FIFO = 0x01, C_RESET = 0x02, C_RESET_BUS = 0x03, C_TRANSFER = 0x10,
       C_COMPLETE = 0x11, C_ACCEPT = 0x12, C_PAD = 0x18, C_SET_ATN = 0x1a, C_RESET_ATN = 0x1b, C_SELECT = 0x41,
       C_SELECT_ATN = 0x42, C_SELECT_STOP = 0x43, C_ENABLE = 0x44, C_DISABLE = 0x45, C_SELECT_ATN3 = 0x46 };
enum { S_INT = 0x80, S_ILLEGAL = 0x40, S_CTZ = 0x10 };
enum { I_BUS_RESET = 0x80, I_ILLEGAL = 0x40, I_DISCONNECTED = 0x20, I_SERVICE = 0x10, I_SUCCESS = 0x08,
       I_RESELECTED = 0x04 };
enum { CONTROL1_NO_RESET_INTERRUPT = 0x40, CONTROL2_FEATURES = 0x40 };
enum { DC_START = 0x03, DC_ABORT = 0x02, DC_BLAST = 0x01, DC_MDL = 0x10, DC_INTERRUPT_D = 0x40, DC_TO_MEMORY = 0x80 };
enum { DS_BCMPLT = 0x20, DS_SCSI = 0x10, DS_DONE = 0x08, DS_ABORT = 0x04, DS_ERROR = 0x02 };

#define FIFO_SIZE 16u
#define CHUNK 16384u

enum activity { IDLE, SELECTING, TRANSFERRING, COMPLETING };

struct pcscsi {
    struct spi_bus bus;
    struct bp_device *dev;
    struct bp_timer *run;
    uint8_t regs[R_COUNT]; /* what was written */
    uint8_t fifo[FIFO_SIZE];
    uint8_t fifo_count;
    uint8_t interrupt, step;
    uint8_t active, command; /* enum activity; the command that is carried out */
    uint8_t later;           /* an interrupt that comes when the other one has been read */
    uint8_t wanted;          /* interrupt that comes when the target asks for something */
    uint8_t phase;           /* that a transfer began in; SPI_FREE: it has not begun */
    uint8_t reselected[2];   /* for the FIFO when the interrupt is read */
    bool count_is_zero, listens, was_connected;
    bool shows_id; /* the counter's upper byte does, until it is written */
    uint32_t count; /* bytes that a command with DMA still moves */
    uint32_t dma[16]; /* D_COMMAND ... */
    uint8_t buffer[CHUNK]; /* not saved */
};

static inline uint32_t *pcscsi_dma(struct pcscsi *s, unsigned reg)
{
    return &s->dma[(reg - D_COMMAND) / 4];
}

void pcscsi_update(struct pcscsi *s); /* the interrupt line */

/* ---- dma.c ---- */
void pcscsi_dma_command(struct pcscsi *s, uint8_t value);
bool pcscsi_dma_is_on(struct pcscsi *s);
/* How many bytes the engine would move now, up to `length`. */
uint32_t pcscsi_dma_room(struct pcscsi *s, uint32_t length);
/* Moves bytes; false: a fault, which stops the engine. dma_advance() counts them: some of what was read may not have
 * been taken by the target. */
bool pcscsi_dma_move(struct pcscsi *s, void *data, uint32_t length, bool to_memory);
void pcscsi_dma_advance(struct pcscsi *s, uint32_t length);

/* ---- sequence.c ---- */
void pcscsi_command(struct pcscsi *s, uint8_t command);
uint8_t pcscsi_read_interrupt(struct pcscsi *s);
void pcscsi_go_on(void *opaque); /* with what waits for the bus or for DMA */
void pcscsi_bus_changed(void *opaque);
void pcscsi_power_on(struct pcscsi *s);

extern const struct bp_pci_interface *pcscsi_pci;

#endif
