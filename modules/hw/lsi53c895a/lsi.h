/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the LSI 53C895A share: registers as its technical manual names them (chapter 4). */
#ifndef HW_LSI53C895A_LSI_H
#define HW_LSI53C895A_LSI_H

#include <bp/bus/pci.h>
#include <bp/clock.h>
#include <bp/log.h>

#include "spi.h"

enum { /* registers */
    SCNTL0 = 0x00, SCNTL1 = 0x01, SCNTL2 = 0x02, SCNTL3 = 0x03, SCID = 0x04, SXFER = 0x05, SDID = 0x06, GPREG = 0x07,
    SFBR = 0x08, SSID = 0x0a, SBCL = 0x0b, DSTAT = 0x0c, SSTAT0 = 0x0d, SSTAT1 = 0x0e, SSTAT2 = 0x0f, DSA = 0x10,
    ISTAT0 = 0x14, ISTAT1 = 0x15, CTEST0 = 0x18, CTEST1 = 0x19, CTEST2 = 0x1a, CTEST3 = 0x1b, TEMP = 0x1c,
    DFIFO = 0x20, CTEST5 = 0x22, DBC = 0x24, DCMD = 0x27, DNAD = 0x28, DSP = 0x2c, DSPS = 0x30, DMODE = 0x38,
    DIEN = 0x39, DCNTL = 0x3b, SIEN0 = 0x40, SIEN1 = 0x41, SIST0 = 0x42, SIST1 = 0x43, MACNTL = 0x46, GPCNTL = 0x47,
    STIME1 = 0x49, STEST0 = 0x4c, SIDL = 0x50, STEST4 = 0x52, CCNTL0 = 0x56, CCNTL1 = 0x57, SBDL = 0x58,
    SCRATCHC = 0x60, MMRS = 0xa0, MMWS = 0xa4, SFS = 0xa8, DRS = 0xac, SBMS = 0xb0, DBMS = 0xb4, DNAD64 = 0xb8,
    PMJAD1 = 0xc0, PMJAD2 = 0xc4, RBC = 0xc8, UA = 0xcc, ESA = 0xd0, IA = 0xd4, SBC = 0xd8, CSBC = 0xdc,
};
enum { SCNTL0_TRG = 0x01, SCNTL1_CON = 0x10, SCNTL1_RST = 0x08, SCNTL2_SDU = 0x80, SSTAT2_LDSC = 0x02 };
enum { ISTAT_ABRT = 0x80, ISTAT_SRST = 0x40, ISTAT_SIGP = 0x20, ISTAT_SEM = 0x10, ISTAT_CON = 0x08, ISTAT_INTF = 0x04,
       ISTAT_SIP = 0x02, ISTAT_DIP = 0x01, ISTAT1_SRUN = 0x02, ISTAT1_SIRQD = 0x01 };
enum { DSTAT_DFE = 0x80, DSTAT_BF = 0x20, DSTAT_ABRT = 0x10, DSTAT_SSI = 0x08, DSTAT_SIR = 0x04, DSTAT_IID = 0x01 };
enum { DMODE_SIOM = 0x20, DMODE_DIOM = 0x10, DMODE_MAN = 0x01, DCNTL_SSM = 0x10, DCNTL_STD = 0x04, DCNTL_IRQD = 0x02 };
enum { SIST0_MA = 0x80, SIST0_UDC = 0x04, SIST0_RST = 0x02, SIST1_STO = 0x04, SIST1_GEN = 0x02 };
enum { CTEST2_SIGP = 0x40, CTEST5_DFS = 0x20 };
enum { CCNTL0_ENPMJ = 0x80, CCNTL0_PMJCTL = 0x40, CCNTL0_ENNDJ = 0x20 };
enum { CCNTL1_64TIMOD = 0x04, CCNTL1_EN64TIBMV = 0x02, CCNTL1_EN64DBMV = 0x01 };

#define REGISTERS 256u
#define SCRIPTS_RAM 8192u
#define LSI_CHUNK 16384u

enum lsi_state { LSI_STOPPED, LSI_RUNNING, LSI_WAITING }; /* waiting: an instruction waits for the SCSI bus */
enum lsi_move { MOVE_NONE, MOVE_BLOCK, MOVE_MEMORY };     /* an instruction is in the middle of its data */

struct lsi {
    struct spi_bus bus; /* first: its state is this one's beginning */
    struct bp_device *dev;
    struct bp_timer *run, *general;
    uint8_t *ram; /* NULL: a 53C810 has none */
    uint32_t ram_size;
    uint8_t regs[REGISTERS];
    uint8_t dstat, sist0, sist1, istat; /* istat: ABRT, SIGP, SEM, INTF */
    uint8_t state, move;                /* enum lsi_state, enum lsi_move */
    bool carry, no_answer; /* no_answer: the selection that is under way will time out */
    bool fresh;            /* just selected: no byte went over */
    bool begun;            /* the block move has moved its first byte */
    uint8_t table_top;     /* bits 31 to 24 of the table's entry, or the instruction's */
    uint32_t at, entry;    /* of the instruction; of the table's entry */
    uint32_t from, to;     /* of a memory move, which may go to any register */
    uint32_t epoch;        /* changes when somebody takes the processor's course out of its hands */
    uint8_t buffer[LSI_CHUNK]; /* not saved */
};

uint32_t lsi_get32(const struct lsi *s, unsigned reg);
void lsi_put32(struct lsi *s, unsigned reg, uint32_t value);
uint8_t lsi_read(struct lsi *s, unsigned reg);
void lsi_write(struct lsi *s, unsigned reg, uint8_t value);
/* These stop the processor. */
void lsi_dma_interrupt(struct lsi *s, uint8_t dstat);
void lsi_scsi_interrupt(struct lsi *s, uint8_t sist0, uint8_t sist1);
void lsi_update(struct lsi *s); /* the interrupt line */
void lsi_go_on(struct lsi *s);  /* soon */

/* ---- script.c ---- */
void lsi_run(void *opaque); /* a slice of the SCRIPTS program */
/* ---- move.c: false: the instruction goes on later, or the processor stopped ---- */
bool lsi_dma(struct lsi *s, uint64_t address, void *data, uint32_t length, bool to_memory);
bool lsi_block_move(struct lsi *s, uint32_t *budget);
bool lsi_memory_move(struct lsi *s, uint32_t *budget);

extern const struct bp_pci_interface *lsi_pci;

#endif
