/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Targets on a parallel SCSI bus (SCSI-2 chapters 5 and 6, SPI-3) as an initiator's chip sees them: selection, phases,
 * messages, disconnection and reselection. Behind it commands go to the units of the bus scsi/1. There is one
 * initiator, the adapter. A part of each adapter's module; all under the adapter's lock.
 *
 * A target that has to wait for its medium disconnects when IDENTIFY allowed it, else it keeps the bus without asking
 * for a byte. Data of a command are kept here between unit and bus, at most SPI_DATA_MAX for one: longer commands are
 * refused with CHECK CONDITION, and what all together may hold is bounded by TASK SET FULL.
 * Left out: linked commands, parallel protocol requests (they are rejected: agreements on speed mean nothing here,
 * those for synchronous and wide transfers are confirmed as they were asked for).
 */
#ifndef HW_SCSI_PARALLEL_SPI_H
#define HW_SCSI_PARALLEL_SPI_H

#include <bp/host/scsi.h>
#include <bp/state.h>

#define SPI_TARGETS 16u
#define SPI_LUNS 8u
#define SPI_INITIATOR 7u /* the adapter's own target number */
#define SPI_TASKS 256u
#define SPI_MESSAGE 16u
#define SPI_DATA_MAX (32u << 20)
#define SPI_DATA_ALL (64u << 20)
#define SPI_SENSE 18u

enum spi_phase { /* the lines MSG, C/D and I/O as a number; and what is no phase */
    SPI_DATA_OUT,
    SPI_DATA_IN,
    SPI_COMMAND,
    SPI_STATUS,
    SPI_MESSAGE_OUT = 6,
    SPI_MESSAGE_IN = 7,
    SPI_WAIT = 8, /* connected, the target asks for nothing now */
    SPI_FREE = 9, /* bus free */
};

enum spi_state { SPI_TASK_OUT, SPI_TASK_RUNNING, SPI_TASK_IN, SPI_TASK_STATUS, SPI_TASK_COMPLETE };

struct spi_bus;

/* A command (an I_T_L or I_T_L_Q nexus). */
struct spi_task {
    struct spi_bus *bus;
    struct spi_task *next;
    struct bp_scsi_request request;
    struct iovec iov;
    uint8_t *data;
    uint32_t size; /* bytes that the command moves at most */
    uint32_t moved, at; /* that there are to give; that went over the bus */
    uint8_t target, lun, tag, state; /* enum spi_state */
    bool tagged, out, may_disconnect;
    bool dead; /* aborted: it ends without a word */
    bool running; /* the unit has it */
    uint8_t status, cdb_length;
    uint8_t cdb[BP_SCSI_CDB_MAX];
    struct bp_state_bytes bytes; /* while state is saved or loaded */
};

struct spi_bus {
    const struct bp_scsi_interface *scsi;
    struct bp_scsi_bus *bus;
    /* A target asks for another phase, or wants to reselect. */
    void (*changed)(void *opaque);
    void *opaque;
    struct spi_task *tasks; /* oldest first */
    struct spi_task *task;  /* that is on the bus, or NULL */
    uint32_t held;          /* bytes of data of all tasks */
    bool connected, atn, ack; /* ack: a message byte that was taken is not acknowledged yet */
    uint8_t phase;          /* enum spi_phase */
    uint8_t target, lun, tag;
    bool tagged, may_disconnect, leaving; /* leaving: bus free follows */
    bool said_so; /* by DISCONNECT or COMMAND COMPLETE; kept when the bus is free */
    bool saved_pointers;
    uint8_t message_out[SPI_MESSAGE], message_in[SPI_MESSAGE];
    uint8_t out_count, in_count, in_at;
    uint8_t cdb[BP_SCSI_CDB_MAX];
    uint8_t cdb_count;
    uint8_t sense[SPI_TARGETS * SPI_LUNS * SPI_SENSE]; /* of the last CHECK CONDITION; byte 0 is 0: none */
    uint16_t on_bus; /* saved: number of the task that is on the bus, from 1; 0: none */
};

/* The adapter's bus of `targets` targets. changed() may be called within any of the functions below. [main] */
int spi_init(struct spi_bus *s, const struct bp_scsi_interface *scsi, struct bp_device *adapter, unsigned targets,
             void (*changed)(void *opaque), void *opaque, struct bp_error *err);
void spi_fini(struct spi_bus *s); /* in the adapter's detach(), or when its attach() fails */

/* False: nobody answers (or the bus is not free). */
bool spi_select(struct spi_bus *s, unsigned target, bool atn);
/* The oldest task that wants to go on connects; false: there is none, or the bus is not free. */
bool spi_reselect(struct spi_bus *s, unsigned *ret_target);
bool spi_wants_reselect(const struct spi_bus *s);
/* To the target, in phases DATA OUT, COMMAND and MESSAGE OUT. Gives how many bytes it took before it changed the
 * phase. `last`: ATN is released with the last byte. */
uint32_t spi_put(struct spi_bus *s, const uint8_t *data, uint32_t length, bool last);
/* From the target, in phases DATA IN, STATUS and MESSAGE IN: likewise. The last byte of MESSAGE IN stays to be
 * acknowledged. */
uint32_t spi_get(struct spi_bus *s, uint8_t *data, uint32_t length);
void spi_acknowledge(struct spi_bus *s);
void spi_set_atn(struct spi_bus *s, bool on);
/* The initiator selects somebody while a target has the bus: no bus lets it. Simple drivers do so when a command went
 * wrong; the target gives up, its command is aborted. */
void spi_abandon(struct spi_bus *s);
void spi_reset(struct spi_bus *s); /* the RST line: all commands end, units have their settings of power-on */

/* For the adapter's table, whose loaded() calls spi_loaded() (at BP_STATE_ORDER_REQUESTS). */
extern const struct bp_state_table spi_state;
#define SPI_SAVE(STATE, FIELD) \
    { .name = #FIELD, .kind = BP_STATE_STRUCT, .offset = offsetof(STATE, FIELD), .count = 1, \
      .stride = sizeof(struct spi_bus), .table = &spi_state }
void spi_loaded(struct spi_bus *s);

#endif
