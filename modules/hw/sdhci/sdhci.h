/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the SD host controller share. */
#ifndef HW_SDHCI_SDHCI_H
#define HW_SDHCI_SDHCI_H

#include "sd.h"

#define CHUNK 32u /* blocks that go to the medium at once */

enum { /* normal interrupts, 2.2.17 */
    INT_COMMAND = 1u << 0, INT_TRANSFER = 1u << 1, INT_DMA = 1u << 3, INT_WRITE_READY = 1u << 4,
    INT_READ_READY = 1u << 5, INT_INSERTED = 1u << 6, INT_REMOVED = 1u << 7, INT_ERROR = 1u << 15,
    ERROR_TIMEOUT = 1u << 16, ERROR_DATA_TIMEOUT = 1u << 20, ERROR_ADMA = 1u << 25, /* of the upper half */
};
enum { MODE_DMA = 1, MODE_COUNT = 2, MODE_AUTO_STOP = 4, MODE_READ = 16, MODE_MULTI = 32 }; /* transfer mode */

struct sdhci {
    struct bp_device *dev;
    struct sd_card *card; /* or NULL */
    bool in_dma;
    /* registers */
    uint32_t sdma, argument, status, status_enable, signal_enable;
    uint64_t adma;
    uint8_t response[16];
    uint16_t block_size, block_count, mode, command, clock;
    uint8_t host_control, power, gap, wakeup, timeout, adma_error;
    /* the transfer */
    uint8_t data;     /* enum sd_data; SD_NO_DATA: none */
    bool ready;       /* PIO: the program may read or write the port */
    bool at_medium;   /* a request of it is under way */
    bool paused;      /* SDMA waits at a boundary */
    uint32_t left;    /* blocks that have not gone over yet, of the whole transfer */
    uint64_t block;   /* of the medium: the buffer's first */
    uint64_t moved;   /* blocks that went to the medium, or came from there */
    uint32_t filled, at; /* bytes in the buffer; how far it has been handed on */
    uint32_t line_address; /* ADMA2: the rest of a descriptor */
    uint32_t line_left;
    bool line_last;
    uint8_t buffer[CHUNK * SD_BLOCK];
    struct iovec iov;
    struct bp_blk_request *request; /* or NULL */
    bool dropped;                   /* nobody waits for its end any more */
};

/* sdhci.c */
void sdhci_interrupt(struct sdhci *s, uint32_t bits); /* and error interrupts: bits 16 to 31 */
int sdhci_dma(struct sdhci *s, uint64_t address, void *data, uint32_t bytes, bool to_memory);

/* transfer.c */
void sdhci_begin(struct sdhci *s, const struct sd_reply *reply);
void sdhci_to_medium(struct sdhci *s); /* the buffer is read, or written there */
void sdhci_go_on(struct sdhci *s);    /* after a boundary, or a chunk */
void sdhci_stop(struct sdhci *s);     /* the medium is let go of */
uint32_t sdhci_port_read(struct sdhci *s, unsigned size);
void sdhci_port_write(struct sdhci *s, uint32_t value, unsigned size);
uint32_t sdhci_room(const struct sdhci *s); /* bytes of a block */

#endif
