// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * 16550A UART (National PC16550D data sheet). The transmitter passes bytes on at once, as fast as
 * the back end takes them; the receiver takes a byte only when it has room, so nothing is lost.
 * OUT2 gates the interrupt as on the PC's adapter. Left out: DMA modes (their pins lead nowhere).
 */
#include "uart.h"

#include <errno.h>

enum { RBR_THR, REG_IER, IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

#define IER_RX 0x01u
#define IER_THR 0x02u
#define IER_LINE 0x04u
#define IER_MODEM 0x08u

#define IIR_NONE 0x01u
#define IIR_MODEM 0x00u
#define IIR_THR 0x02u
#define IIR_RX 0x04u
#define IIR_LINE 0x06u
#define IIR_TIMEOUT 0x0cu
#define IIR_FIFO 0xc0u

#define FCR_ENABLE 0x01u
#define FCR_CLEAR_RX 0x02u
#define FCR_CLEAR_TX 0x04u

#define LCR_STOP 0x04u
#define LCR_PARITY 0x08u
#define LCR_EVEN 0x10u
#define LCR_BREAK 0x40u
#define LCR_DLAB 0x80u

#define MCR_DTR 0x01u
#define MCR_RTS 0x02u
#define MCR_OUT1 0x04u
#define MCR_OUT2 0x08u
#define MCR_LOOP 0x10u

#define LSR_DR 0x01u
#define LSR_OE 0x02u
#define LSR_PE 0x04u
#define LSR_FE 0x08u
#define LSR_BI 0x10u
#define LSR_THRE 0x20u
#define LSR_TEMT 0x40u
#define LSR_FIFO_ERROR 0x80u
#define LSR_ERRORS (LSR_OE | LSR_PE | LSR_FE | LSR_BI)

#define MSR_CTS 0x10u
#define MSR_DSR 0x20u
#define MSR_RI 0x40u
#define MSR_DCD 0x80u
#define MSR_TERI 0x04u

/* Modem lines as ioctl TIOCMGET gives them. */
#define TIOCM_DTR_BIT 0x002
#define TIOCM_RTS_BIT 0x004
#define TIOCM_CTS_BIT 0x020
#define TIOCM_CAR_BIT 0x040
#define TIOCM_RNG_BIT 0x080
#define TIOCM_DSR_BIT 0x100

#define TX_RETRY_NS 1000000 /* the back end is full: look again */

static const struct bp_chardev_interface *chardev(void)
{
    return *uart_chardev;
}

static bool fifo_on(const struct uart *u)
{
    return u->fcr & FCR_ENABLE;
}

static unsigned rx_room(const struct uart *u)
{
    return (fifo_on(u) ? UART_FIFO : 1u) - u->rx_count;
}

static unsigned rx_trigger(const struct uart *u)
{
    static const uint8_t levels[4] = {1, 4, 8, 14};

    return fifo_on(u) ? levels[u->fcr >> 6] : 1;
}

/* Bits of one character on the wire. */
static unsigned character_bits(const struct uart *u)
{
    return 1 + 5 + (u->lcr & 3) + (u->lcr & LCR_PARITY ? 1 : 0) + (u->lcr & LCR_STOP ? 2 : 1);
}

static int64_t character_ns(const struct uart *u)
{
    uint64_t divisor = u->divisor ? u->divisor : 1;

    return (int64_t)(character_bits(u) * 1000000000ull * divisor / u->baudbase);
}

/* ---- interrupts ---- */
static uint8_t pending(const struct uart *u)
{
    if ((u->ier & IER_LINE) && (u->lsr & LSR_ERRORS))
        return IIR_LINE;
    if ((u->ier & IER_RX) && u->rx_count >= rx_trigger(u))
        return IIR_RX;
    if ((u->ier & IER_RX) && u->timeout && fifo_on(u))
        return IIR_TIMEOUT;
    if ((u->ier & IER_THR) && u->thr_interrupt)
        return IIR_THR;
    if ((u->ier & IER_MODEM) && (u->msr & 0x0f))
        return IIR_MODEM;
    return IIR_NONE;
}

static void update_irq(struct uart *u)
{
    bool open = (u->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;

    bp_irq_set(u->irq, open && pending(u) != IIR_NONE);
}

/* ---- receiver ---- */
/* The line status shows the errors of the byte that is read next. */
static void show_head(struct uart *u)
{
    uint8_t any = 0;

    u->lsr &= (uint8_t)~(LSR_DR | LSR_FIFO_ERROR);
    if (!u->rx_count)
        return;
    u->lsr |= LSR_DR | u->rx_flags[u->rx_head];
    for (unsigned i = 0; i < u->rx_count; i++)
        any |= u->rx_flags[(u->rx_head + i) % UART_FIFO];
    if (fifo_on(u) && any)
        u->lsr |= LSR_FIFO_ERROR;
}

static void receive_byte(struct uart *u, uint8_t byte, uint8_t flags)
{
    unsigned at;

    if (rx_room(u) == 0) {
        u->lsr |= LSR_OE;
        if (fifo_on(u))
            return; /* the FIFO keeps what it has */
        u->rx_count = 0; /* the holding register is overwritten */
    }
    at = (u->rx_head + u->rx_count) % UART_FIFO;
    u->rx[at] = byte;
    u->rx_flags[at] = flags;
    u->rx_count++;
    show_head(u);
    u->timeout = false;
    if (fifo_on(u))
        bp_timer_set(u->rx_timer, bp_timer_now(u->rx_timer) + 4 * character_ns(u));
}

static void rx_timeout(void *opaque)
{
    struct uart *u = opaque;

    if (u->rx_count && fifo_on(u)) {
        u->timeout = true;
        update_irq(u);
    }
}

static uint8_t read_rbr(struct uart *u)
{
    uint8_t byte = u->rx[u->rx_head];

    if (u->rx_count) {
        u->rx_head = (uint8_t)((u->rx_head + 1) % UART_FIFO);
        u->rx_count--;
        /* Break and errors of the byte now at the head show up with it. */
        show_head(u);
        u->timeout = false;
        if (u->rx_count)
            bp_timer_set(u->rx_timer, bp_timer_now(u->rx_timer) + 4 * character_ns(u));
        else
            bp_timer_cancel(u->rx_timer);
    }
    update_irq(u);
    if (u->chr && !(u->mcr & MCR_LOOP))
        chardev()->accept_input(u->chr, u);
    return byte;
}

static void clear_rx(struct uart *u)
{
    u->rx_head = u->rx_count = 0;
    u->timeout = false;
    bp_timer_cancel(u->rx_timer);
    show_head(u);
}

static size_t can_receive(void *opaque)
{
    struct uart *u = opaque;

    return u->mcr & MCR_LOOP ? 0 : rx_room(u);
}

static void receive(void *opaque, const uint8_t *buf, size_t len)
{
    struct uart *u = opaque;

    for (size_t i = 0; i < len; i++)
        receive_byte(u, buf[i], 0);
    update_irq(u);
}

static void chardev_event(void *opaque, enum bp_chardev_event event)
{
    struct uart *u = opaque;

    if (event == BP_CHARDEV_BREAK && !(u->mcr & MCR_LOOP)) {
        receive_byte(u, 0, LSR_BI);
        update_irq(u);
    }
}

static const struct bp_chardev_handlers handlers = {
    .size = sizeof(struct bp_chardev_handlers),
    .can_read = can_receive, .read = receive, .event = chardev_event};

/* ---- transmitter ---- */
static bool send_byte(struct uart *u, uint8_t byte)
{
    if (u->mcr & MCR_LOOP)
        receive_byte(u, byte, 0);
    else if (u->chr)
        return chardev()->write(u->chr, &byte, 1, u) == 1;
    return true;
}

/* Passes on what it can; the rest stays until the back end has room again. */
static void transmit(struct uart *u)
{
    while (u->tx_count && send_byte(u, u->tx[u->tx_head])) {
        u->tx_head = (uint8_t)((u->tx_head + 1) % UART_FIFO);
        u->tx_count--;
    }
    if (u->tx_count) {
        u->lsr &= (uint8_t)~(LSR_THRE | LSR_TEMT);
        bp_timer_set(u->tx_timer, bp_clock_ns(BP_CLOCK_REALTIME) + TX_RETRY_NS);
    } else if (!(u->lsr & LSR_THRE)) {
        u->lsr |= LSR_THRE | LSR_TEMT;
        u->thr_interrupt = true;
    }
    update_irq(u);
}

static void transmit_again(void *opaque)
{
    transmit(opaque);
}

static void write_thr(struct uart *u, uint8_t value)
{
    unsigned size = fifo_on(u) ? UART_FIFO : 1;

    if (u->tx_count == size) { /* the guest did not wait: the last byte is overwritten */
        u->tx[(u->tx_head + size - 1) % UART_FIFO] = value;
    } else {
        u->tx[(u->tx_head + u->tx_count) % UART_FIFO] = value;
        u->tx_count++;
    }
    u->lsr &= (uint8_t)~(LSR_THRE | LSR_TEMT);
    u->thr_interrupt = false;
    transmit(u);
}

static void clear_tx(struct uart *u)
{
    u->tx_head = u->tx_count = 0;
    bp_timer_cancel(u->tx_timer);
    if (!(u->lsr & LSR_THRE))
        u->thr_interrupt = true;
    u->lsr |= LSR_THRE | LSR_TEMT;
}

/* ---- modem lines ---- */
static uint8_t line_levels(struct uart *u)
{
    int tiocm = 0;

    if (u->mcr & MCR_LOOP)
        return (u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) |
               (u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0);
    if (!u->has_modem_lines ||
        chardev()->ioctl(u->chr, BP_CHARDEV_GET_TIOCM, &tiocm) < 0)
        return MSR_CTS | MSR_DSR | MSR_DCD; /* a peer that is always ready */
    return (tiocm & TIOCM_CTS_BIT ? MSR_CTS : 0) | (tiocm & TIOCM_DSR_BIT ? MSR_DSR : 0) |
           (tiocm & TIOCM_RNG_BIT ? MSR_RI : 0) | (tiocm & TIOCM_CAR_BIT ? MSR_DCD : 0);
}

/* Takes over the lines' levels and marks what changed; RI counts when it falls. */
static void update_modem(struct uart *u)
{
    uint8_t levels = line_levels(u), changed = (u->msr ^ levels) & 0xf0;

    if (levels & MSR_RI)
        changed &= (uint8_t)~MSR_RI;
    u->msr = levels | (u->msr & 0x0f) | changed >> 4;
}

static void write_mcr(struct uart *u, uint8_t value)
{
    bool was_loop = u->mcr & MCR_LOOP;
    int tiocm = 0;

    u->mcr = value & 0x1f;
    if (u->has_modem_lines && !(u->mcr & MCR_LOOP) &&
        chardev()->ioctl(u->chr, BP_CHARDEV_GET_TIOCM, &tiocm) == 0) {
        tiocm &= ~(TIOCM_DTR_BIT | TIOCM_RTS_BIT);
        tiocm |= (u->mcr & MCR_DTR ? TIOCM_DTR_BIT : 0) | (u->mcr & MCR_RTS ? TIOCM_RTS_BIT : 0);
        chardev()->ioctl(u->chr, BP_CHARDEV_SET_TIOCM, &tiocm);
    }
    update_modem(u);
    update_irq(u);
    if (was_loop && !(u->mcr & MCR_LOOP) && u->chr)
        chardev()->accept_input(u->chr, u);
}

/* ---- line parameters ---- */
static void tell_parameters(struct uart *u)
{
    struct bp_serial_params p = {
        .size = sizeof(p),
        .speed = (int)(u->baudbase / (u->divisor ? u->divisor : 1)),
        .parity = !(u->lcr & LCR_PARITY) ? 'N' : u->lcr & LCR_EVEN ? 'E' : 'O',
        .data_bits = 5 + (u->lcr & 3),
        .stop_bits = u->lcr & LCR_STOP ? 2 : 1,
    };

    if (u->chr && u->divisor)
        chardev()->ioctl(u->chr, BP_CHARDEV_SET_PARAMS, &p);
}

static void write_lcr(struct uart *u, uint8_t value)
{
    uint8_t changed = u->lcr ^ value;
    int on = value & LCR_BREAK ? 1 : 0;

    u->lcr = value;
    if (changed & 0x3f)
        tell_parameters(u);
    if ((changed & LCR_BREAK) && u->chr && !(u->mcr & MCR_LOOP))
        chardev()->ioctl(u->chr, BP_CHARDEV_SET_BREAK, &on);
    if ((changed & LCR_BREAK) && on && (u->mcr & MCR_LOOP)) {
        receive_byte(u, 0, LSR_BI);
        update_irq(u);
    }
}

static void write_fcr(struct uart *u, uint8_t value)
{
    bool toggled = (u->fcr ^ value) & FCR_ENABLE;

    if (!(value & FCR_ENABLE)) /* the other bits count only with this one */
        value = 0;
    if (toggled || (value & FCR_CLEAR_RX))
        clear_rx(u);
    if (toggled || (value & FCR_CLEAR_TX))
        clear_tx(u);
    u->fcr = value & 0xc9;
    show_head(u);
    update_irq(u);
    if (u->chr && !(u->mcr & MCR_LOOP))
        chardev()->accept_input(u->chr, u);
}

static void write_ier(struct uart *u, uint8_t value)
{
    bool thr_enabled = (value & IER_THR) && !(u->ier & IER_THR);

    u->ier = value & 0x0f;
    if (thr_enabled && (u->lsr & LSR_THRE)) /* an empty holding register asks at once */
        u->thr_interrupt = true;
    update_irq(u);
}

/* ---- registers ---- */
static uint8_t read_iir(struct uart *u)
{
    uint8_t id = pending(u);

    if (id == IIR_THR) {
        u->thr_interrupt = false;
        update_irq(u);
    }
    return id | (fifo_on(u) ? IIR_FIFO : 0);
}

static uint8_t read_lsr(struct uart *u)
{
    uint8_t v = u->lsr;

    u->lsr &= (uint8_t)~LSR_ERRORS;
    if (u->rx_count)
        u->rx_flags[u->rx_head] = 0; /* told */
    show_head(u);
    update_irq(u);
    return v;
}

static uint8_t read_msr(struct uart *u)
{
    uint8_t v;

    if (u->has_modem_lines)
        update_modem(u);
    v = u->msr;
    u->msr &= 0xf0;
    update_irq(u);
    return v;
}

uint8_t uart_read(struct uart *u, unsigned reg)
{
    bool dlab = u->lcr & LCR_DLAB;

    switch (reg & 7) {
    case RBR_THR:
        return dlab ? (uint8_t)u->divisor : read_rbr(u);
    case REG_IER:
        return dlab ? (uint8_t)(u->divisor >> 8) : u->ier;
    case IIR_FCR:
        return read_iir(u);
    case REG_LCR:
        return u->lcr;
    case REG_MCR:
        return u->mcr;
    case REG_LSR:
        return read_lsr(u);
    case REG_MSR:
        return read_msr(u);
    default:
        return u->scr;
    }
}

void uart_write(struct uart *u, unsigned reg, uint8_t value)
{
    bool dlab = u->lcr & LCR_DLAB;

    switch (reg & 7) {
    case RBR_THR:
        if (!dlab) {
            write_thr(u, value);
            return;
        }
        u->divisor = (uint16_t)((u->divisor & 0xff00) | value);
        tell_parameters(u);
        return;
    case REG_IER:
        if (!dlab) {
            write_ier(u, value);
            return;
        }
        u->divisor = (uint16_t)((u->divisor & 0xff) | value << 8);
        tell_parameters(u);
        return;
    case IIR_FCR:
        write_fcr(u, value);
        return;
    case REG_LCR:
        write_lcr(u, value);
        return;
    case REG_MCR:
        write_mcr(u, value);
        return;
    case REG_SCR:
        u->scr = value;
        return;
    default: /* LSR and MSR: factory tests only */
        return;
    }
}

void uart_reset(struct uart *u)
{
    u->ier = u->lcr = u->mcr = u->scr = u->fcr = 0;
    u->divisor = 12; /* 9600 baud */
    u->lsr = LSR_THRE | LSR_TEMT;
    u->rx_head = u->rx_count = u->tx_head = u->tx_count = 0;
    u->thr_interrupt = u->timeout = false;
    bp_timer_cancel(u->rx_timer);
    bp_timer_cancel(u->tx_timer);
    u->msr = line_levels(u);
    update_irq(u);
    if (u->chr)
        chardev()->accept_input(u->chr, u);
}

int uart_init(struct uart *u, struct bp_owner *owner, struct bp_object *object,
              struct bp_irq *irq, struct bp_error *err)
{
    int tiocm = 0, r;

    u->irq = irq;
    if (u->baudbase == 0)
        u->baudbase = 115200;
    u->rx_timer = bp_timer_new(owner, NULL, BP_CLOCK_VIRTUAL, rx_timeout, u);
    u->tx_timer = bp_timer_new(owner, NULL, BP_CLOCK_REALTIME, transmit_again, u);
    u->divisor = 12;
    u->lsr = LSR_THRE | LSR_TEMT;
    if (!object)
        return 0;
    u->chr = chardev()->from_object(object);
    if (!u->chr)
        return bp_fail(err, EINVAL, "'%s' is not a character device", bp_object_id(object));
    r = chardev()->connect(u->chr, &handlers, u, err);
    if (r < 0) {
        u->chr = NULL;
        return r;
    }
    u->has_modem_lines = chardev()->ioctl(u->chr, BP_CHARDEV_GET_TIOCM, &tiocm) == 0;
    return 0;
}

void uart_finish(struct uart *u)
{
    if (u->chr)
        chardev()->disconnect(u->chr, u);
    u->chr = NULL;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct uart *u = state;

    (void)version;
    if (u->rx_head >= UART_FIFO || u->rx_count > UART_FIFO || u->tx_head >= UART_FIFO ||
        u->tx_count > UART_FIFO || (!(u->fcr & FCR_ENABLE) && u->rx_count > 1))
        return bp_fail(err, EINVAL, "serial port: saved state is out of range");
    tell_parameters(u);
    transmit(u);
    return 0;
}

static const struct bp_state_field uart_fields[] = {
    BP_SAVE(UINT8, struct uart, ier),
    BP_SAVE(UINT8, struct uart, lcr),
    BP_SAVE(UINT8, struct uart, mcr),
    BP_SAVE(UINT8, struct uart, lsr),
    BP_SAVE(UINT8, struct uart, msr),
    BP_SAVE(UINT8, struct uart, scr),
    BP_SAVE(UINT8, struct uart, fcr),
    BP_SAVE(UINT16, struct uart, divisor),
    BP_SAVE_BUFFER(struct uart, rx),
    BP_SAVE_BUFFER(struct uart, rx_flags),
    BP_SAVE(UINT8, struct uart, rx_head),
    BP_SAVE(UINT8, struct uart, rx_count),
    BP_SAVE_BUFFER(struct uart, tx),
    BP_SAVE(UINT8, struct uart, tx_head),
    BP_SAVE(UINT8, struct uart, tx_count),
    BP_SAVE(BOOL, struct uart, thr_interrupt),
    BP_SAVE(BOOL, struct uart, timeout),
    BP_SAVE(TIMER, struct uart, rx_timer),
    BP_SAVE_END,
};
const struct bp_state_table uart_state = {.name = "uart", .version = 1, .oldest = 1,
                                          .fields = uart_fields, .after_load = after_load};
