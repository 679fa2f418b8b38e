// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Commands of the Am53C974's SCSI block. One is carried out at a time; the interrupt of a second one comes after the
 * first one's has been read. What waits for the target or for the DMA engine goes on when they have something. Long
 * transfers go in slices.
 */
#include <string.h>

#include "pcscsi.h"

#define SLICE (1u << 20)
#define REST_NS 50000

static void interrupt(struct pcscsi *s, uint8_t bits)
{
    if (s->interrupt && bits != I_DISCONNECTED)
        s->later = bits;
    else
        s->interrupt |= bits;
    s->wanted = 0;
    s->active = IDLE;
    s->was_connected = s->bus.connected;
    pcscsi_update(s);
}

static bool target_asks(const struct pcscsi *s)
{
    return s->bus.phase < SPI_WAIT && !s->bus.ack;
}

/* The command is over; the interrupt comes when the target wants something more, or has left. */
static void settle(struct pcscsi *s)
{
    if (s->interrupt || !(s->wanted || s->was_connected))
        return;
    if (!s->bus.connected) {
        if (s->wanted || s->active != IDLE || s->was_connected)
            interrupt(s, I_DISCONNECTED);
        s->fifo_count = 0;
    } else if (s->wanted && target_asks(s)) {
        interrupt(s, s->wanted);
    }
}

static void finish(struct pcscsi *s, uint8_t bits)
{
    s->active = IDLE;
    s->wanted = bits;
    settle(s);
}

/* ---- reselection ---- */
static void listen(struct pcscsi *s)
{
    unsigned target;

    if (!s->listens || s->interrupt || s->active != IDLE || s->wanted || !spi_reselect(&s->bus, &target))
        return;
    s->listens = false;
    s->reselected[0] = (uint8_t)(1u << (target & 7) | 1u << (s->regs[R_CONTROL1] & 7));
    (void)spi_get(&s->bus, &s->reselected[1], 1);
    interrupt(s, I_RESELECTED | I_SUCCESS);
}

/* ---- selection ---- */
/* What stands in the FIFO goes out as messages and command. Firmware gives a bare number of the unit for IDENTIFY, and
 * 12 bytes of whatever command. */
static void send_selection(struct pcscsi *s, uint8_t *bytes, uint32_t length)
{
    unsigned command = s->command & 0x7f, messages = command == C_SELECT ? 0 : command == C_SELECT_ATN3 ? 3 : 1;

    s->step = 0;
    if (messages > length)
        messages = length;
    if (messages && !(bytes[0] & 0x80))
        bytes[0] = (uint8_t)(0x80 | (bytes[0] & 7));
    if (messages)
        (void)spi_put(&s->bus, bytes, messages, command != C_SELECT_STOP);
    s->step = command == C_SELECT_STOP ? 1 : 2;
    if (command != C_SELECT_STOP && s->bus.phase == SPI_COMMAND && messages < length) {
        (void)spi_put(&s->bus, bytes + messages, length - messages, false);
        s->step = s->bus.phase == SPI_COMMAND ? 3 : 4;
    }
    finish(s, I_SUCCESS | I_SERVICE);
}

static void go_on_selecting(struct pcscsi *s)
{
    uint32_t n = s->count < FIFO_SIZE + 4 ? s->count : FIFO_SIZE + 4;

    if (!pcscsi_dma_is_on(s) || pcscsi_dma_room(s, n) < n)
        return;
    if (!pcscsi_dma_move(s, s->buffer, n, false))
        return;
    pcscsi_dma_advance(s, n);
    s->count -= n;
    s->count_is_zero = s->count == 0;
    *pcscsi_dma(s, D_STATUS) |= DS_DONE;
    send_selection(s, s->buffer, n);
}

static void begin_selection(struct pcscsi *s)
{
    uint8_t bytes[FIFO_SIZE];
    uint32_t n = s->fifo_count;

    s->listens = false;
    spi_abandon(&s->bus); /* of drivers that did not accept the last message */
    if (!spi_select(&s->bus, s->regs[R_STATUS] & 7, (s->command & 0x7f) != C_SELECT)) {
        s->step = 0;
        s->fifo_count = 0;
        interrupt(s, I_DISCONNECTED);
        return;
    }
    s->was_connected = true;
    if (s->command & C_DMA) {
        s->active = SELECTING;
        go_on_selecting(s);
        return;
    }
    if ((s->command & 0x7f) == C_SELECT_STOP && n > 1)
        n = 1;
    memcpy(bytes, s->fifo, n);
    s->fifo_count = 0;
    send_selection(s, bytes, n);
}

/* ---- transfers ---- */
static void end_transfer(struct pcscsi *s, uint8_t bits)
{
    if ((s->command & C_DMA) && s->count == 0) {
        s->count_is_zero = true;
        *pcscsi_dma(s, D_STATUS) |= DS_DONE;
    }
    if (bits == I_SUCCESS)
        interrupt(s, bits);
    else
        finish(s, bits);
}

static bool dma_step(struct pcscsi *s)
{
    bool in = s->phase & 1, pad = (s->command & 0x7f) == C_PAD;
    uint32_t n = s->count < CHUNK ? s->count : CHUNK, moved;

    if (!pad) {
        if (!pcscsi_dma_is_on(s))
            return false;
        if (in != !!(*pcscsi_dma(s, D_COMMAND) & DC_TO_MEMORY)) {
            bp_guest_error("am53c974-direction", "am53c974: DMA goes the other way than the data");
            s->regs[R_COMMAND] = 0;
            *pcscsi_dma(s, D_COMMAND) &= ~3u;
            *pcscsi_dma(s, D_STATUS) |= DS_ERROR;
            pcscsi_update(s);
            return false;
        }
        n = pcscsi_dma_room(s, n);
        if (n == 0)
            return false;
    }
    if (in) {
        moved = spi_get(&s->bus, s->buffer, n);
        if (!pad && !pcscsi_dma_move(s, s->buffer, moved, true))
            return false;
    } else {
        if (pad)
            memset(s->buffer, 0, n);
        else if (!pcscsi_dma_move(s, s->buffer, n, false))
            return false;
        moved = spi_put(&s->bus, s->buffer, n, n == s->count);
    }
    if (!pad)
        pcscsi_dma_advance(s, moved);
    s->count -= moved;
    return moved > 0;
}

/* The last message byte was taken: it is to be accepted first. */
static bool messages_are_over(const struct pcscsi *s)
{
    return s->bus.ack && s->bus.in_at == s->bus.in_count;
}

static void transfer_by_dma(struct pcscsi *s)
{
    for (uint32_t done = 0; s->count > 0 && s->bus.phase == s->phase && !messages_are_over(s);) {
        uint32_t before = s->count;

        if (done >= SLICE) {
            bp_timer_set(s->run, bp_timer_now(s->run) + REST_NS);
            return;
        }
        if (!dma_step(s))
            return;
        done += before - s->count;
    }
    end_transfer(s, s->phase == SPI_MESSAGE_IN ? I_SUCCESS : I_SERVICE);
}

static void push(struct pcscsi *s, uint8_t byte)
{
    if (s->fifo_count < FIFO_SIZE)
        s->fifo[s->fifo_count++] = byte;
    else
        bp_guest_error("am53c974-fifo", "am53c974: more bytes than its FIFO holds");
}

static void transfer_by_fifo(struct pcscsi *s)
{
    uint8_t byte;

    if (!(s->phase & 1)) {
        uint8_t n = s->fifo_count;

        s->fifo_count = 0;
        if ((s->command & 0x7f) != C_PAD)
            (void)spi_put(&s->bus, s->fifo, n, true);
        end_transfer(s, I_SERVICE);
        return;
    }
    if (spi_get(&s->bus, &byte, 1) == 1)
        push(s, byte);
    end_transfer(s, s->phase == SPI_MESSAGE_IN ? I_SUCCESS : I_SERVICE);
}

static void go_on_transferring(struct pcscsi *s)
{
    if (!s->bus.connected) {
        settle(s);
        return;
    }
    if (s->phase == SPI_FREE && target_asks(s))
        s->phase = s->bus.phase;
    if (s->phase == SPI_FREE)
        return; /* the target does not ask yet */
    if (s->bus.phase != s->phase)
        end_transfer(s, I_SERVICE);
    else if (s->command & C_DMA)
        transfer_by_dma(s);
    else
        transfer_by_fifo(s);
}

static void go_on_completing(struct pcscsi *s)
{
    uint8_t byte;

    if (!s->bus.connected) {
        settle(s);
        return;
    }
    if (s->bus.phase == SPI_WAIT)
        return;
    if (s->bus.phase != SPI_STATUS) {
        finish(s, I_SERVICE);
        return;
    }
    if (spi_get(&s->bus, &byte, 1) == 1)
        push(s, byte);
    if (s->bus.phase == SPI_MESSAGE_IN && spi_get(&s->bus, &byte, 1) == 1) {
        push(s, byte);
        interrupt(s, I_SUCCESS);
        return;
    }
    finish(s, I_SERVICE);
}

void pcscsi_go_on(void *opaque)
{
    struct pcscsi *s = opaque;

    switch (s->active) {
    case SELECTING:
        if (s->bus.connected)
            go_on_selecting(s);
        else
            settle(s);
        break;
    case TRANSFERRING:
        go_on_transferring(s);
        break;
    case COMPLETING:
        go_on_completing(s);
        break;
    default:
        settle(s);
    }
    listen(s);
}

/* Within what moves bytes on the bus: later. */
void pcscsi_bus_changed(void *opaque)
{
    struct pcscsi *s = opaque;

    bp_timer_set(s->run, bp_timer_now(s->run));
}

/* ---- commands ---- */
static void reset_chip(struct pcscsi *s)
{
    spi_abandon(&s->bus);
    pcscsi_power_on(s);
}

static void reset_bus(struct pcscsi *s)
{
    spi_reset(&s->bus);
    s->active = IDLE;
    s->interrupt = s->later = s->wanted = 0;
    s->was_connected = false;
    s->fifo_count = 0;
    pcscsi_update(s);
    if (!(s->regs[R_CONTROL1] & CONTROL1_NO_RESET_INTERRUPT))
        interrupt(s, I_BUS_RESET);
}

static void load_count(struct pcscsi *s)
{
    bool wide = s->regs[R_CONTROL2] & CONTROL2_FEATURES;

    s->count = s->regs[R_TCLOW] | (uint32_t)s->regs[R_TCMID] << 8 | (wide ? (uint32_t)s->regs[R_TCHIGH] << 16 : 0);
    if (s->count == 0)
        s->count = wide ? 1u << 24 : 1u << 16;
    s->count_is_zero = false;
}

static void connected_command(struct pcscsi *s, uint8_t command)
{
    switch (command & 0x7f) {
    case C_TRANSFER:
    case C_PAD:
        s->active = TRANSFERRING;
        s->phase = SPI_FREE;
        go_on_transferring(s);
        break;
    case C_COMPLETE:
        s->active = COMPLETING;
        go_on_completing(s);
        break;
    case C_ACCEPT:
        spi_acknowledge(&s->bus);
        finish(s, I_SERVICE);
        break;
    case C_SET_ATN:
        spi_set_atn(&s->bus, true);
        break;
    default:
        spi_set_atn(&s->bus, false);
    }
}

static void execute(struct pcscsi *s, uint8_t command)
{
    s->command = command;
    if (command & C_DMA)
        load_count(s);
    switch (command & 0x7f) {
    case C_SELECT:
    case C_SELECT_ATN:
    case C_SELECT_STOP:
    case C_SELECT_ATN3:
        begin_selection(s);
        break;
    case C_ENABLE:
        s->listens = true;
        listen(s);
        break;
    case C_DISABLE:
        s->listens = false;
        interrupt(s, I_SUCCESS);
        break;
    case C_TRANSFER:
    case C_PAD:
    case C_COMPLETE:
    case C_ACCEPT:
    case C_SET_ATN:
    case C_RESET_ATN:
        if (s->bus.connected) {
            connected_command(s, command);
            break;
        }
        /* fall through */
    default:
        bp_guest_error("am53c974-command", "am53c974: illegal command %#x", command);
        interrupt(s, I_ILLEGAL);
    }
}

void pcscsi_command(struct pcscsi *s, uint8_t command)
{
    s->regs[R_COMMAND] = command;
    switch (command & 0x7f) {
    case C_NOP:
        if (command & C_DMA)
            load_count(s);
        return;
    case C_CLEAR_FIFO:
        s->fifo_count = 0;
        return;
    case C_RESET:
        reset_chip(s);
        return;
    case C_RESET_BUS:
        reset_bus(s);
        return;
    default:
        break;
    }
    /* A selection has lost against a reselection that is not known yet. */
    if (!(s->interrupt & I_RESELECTED) || !(command & 0x40))
        execute(s, command);
}

uint8_t pcscsi_read_interrupt(struct pcscsi *s)
{
    uint8_t v = s->interrupt;

    s->interrupt = s->later;
    s->later = s->step = 0;
    if (v & I_RESELECTED) {
        memcpy(s->fifo, s->reselected, 2);
        s->fifo_count = 2;
    }
    if (v) {
        pcscsi_update(s);
        pcscsi_bus_changed(s); /* what has come meanwhile */
    }
    return v;
}
