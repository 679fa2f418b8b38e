// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A 16550A UART without a bus: eight registers, an interrupt output and a chardev. Shared by the
 * devices of this folder.
 */
#ifndef HW_SERIAL_UART_H
#define HW_SERIAL_UART_H

#include <bp/host/chardev.h>
#include <bp/clock.h>
#include <bp/irq.h>
#include <bp/state.h>

#define UART_FIFO 16

struct uart {
    uint8_t ier, lcr, mcr, lsr, msr, scr, fcr;
    uint16_t divisor;
    uint8_t rx[UART_FIFO], rx_flags[UART_FIFO]; /* flags: LSR bits that came with the byte */
    uint8_t rx_head, rx_count;
    uint8_t tx[UART_FIFO];
    uint8_t tx_head, tx_count;
    bool thr_interrupt; /* THR became empty and nobody has been told */
    bool timeout;       /* bytes lay in the receiver for four character times */
    bool break_sent;
    struct bp_timer *rx_timer, *tx_timer;
    struct bp_irq *irq;
    struct bp_chardev *chr; /* or NULL */
    uint32_t baudbase;
    bool has_modem_lines; /* the back end knows them */
};

extern const struct bp_state_table uart_state;

/* The interface chardev/1, imported by the module's main file. */
extern const struct bp_chardev_interface *const *const uart_chardev;

/* `chr` may be NULL: what is sent is lost. `irq` is borrowed. */
int uart_init(struct uart *u, struct bp_owner *owner, struct bp_object *chardev,
              struct bp_irq *irq, struct bp_error *err);
void uart_finish(struct uart *u);
void uart_reset(struct uart *u);
uint8_t uart_read(struct uart *u, unsigned reg);
void uart_write(struct uart *u, unsigned reg, uint8_t value);

#endif
