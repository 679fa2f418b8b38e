/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The controller of dp8390.h: registers, remote DMA, both directions. */
#include <string.h>

#include <bp/memory.h>

#include "dp8390.h"

#define CR_STOP 0x01u
#define CR_START 0x02u
#define CR_TRANSMIT 0x04u
#define CR_REMOTE 0x38u
#define CR_REMOTE_READ 0x08u
#define CR_REMOTE_WRITE 0x10u
#define CR_SEND_PACKET 0x18u
#define CR_ABORT 0x20u
#define ISR_RECEIVED 0x01u
#define ISR_TRANSMITTED 0x02u
#define ISR_COUNTER 0x20u
#define ISR_REMOTE_DONE 0x40u
#define ISR_RESET 0x80u
#define DCR_WORDS 0x01u
#define TCR_LOOPBACK 0x06u
#define RCR_BROADCAST 0x04u
#define RCR_MULTICAST 0x08u
#define RCR_PROMISCUOUS 0x10u
#define RCR_MONITOR 0x20u
#define RSR_RECEIVED 0x01u
#define RSR_MISSED 0x10u
#define RSR_GROUP 0x20u
#define RSR_DISABLED 0x40u
#define TSR_TRANSMITTED 0x01u
#define HEADER 4u

static void update_line(struct dp8390 *s)
{
    s->irq(s, (s->isr & s->imr & 0x7fu) != 0);
}

static void interrupt(struct dp8390 *s, unsigned causes)
{
    s->isr |= (uint8_t)causes;
    update_line(s);
}

static void ready_to_receive(struct dp8390 *s)
{
    s->net->nic_ready(s->nic, 0);
}

/* The reset line, or port 0x18: what a driver has set up of pages stays. */
static void stop_by_reset(struct dp8390 *s)
{
    s->command = CR_ABORT | CR_STOP;
    s->isr = ISR_RESET;
    s->imr = 0;
    s->dcr &= (uint8_t)~0x10u;
    s->tcr &= (uint8_t)~TCR_LOOPBACK;
    s->remote_count = 0;
    s->sending = s->waits = false;
    update_line(s);
}

void dp8390_reset(struct dp8390 *s, const uint8_t mac[6])
{
    s->dcr = s->tcr = s->rcr = s->tsr = s->rsr = 0;
    s->pstart = s->pstop = s->boundary = s->current = s->tpsr = 0;
    s->transmit_count = s->remote_address = 0;
    memset(s->counters, 0, sizeof(s->counters));
    memset(s->station, 0, sizeof(s->station));
    memset(s->multicast, 0, sizeof(s->multicast));
    memset(s->config, 0, sizeof(s->config));
    memset(s->memory, 0, sizeof(s->memory));
    for (unsigned i = 0; i < 16; i++) /* each byte fills a word */
        s->prom[2 * i] = s->prom[2 * i + 1] = i < 6 ? mac[i] : i < 14 ? 0 : 0x57;
    stop_by_reset(s);
}

/* ---- memory ---- */

static uint8_t byte_at(const struct dp8390 *s, unsigned at)
{
    if (at >= DP8390_MEMORY && at < 2 * DP8390_MEMORY)
        return s->memory[at - DP8390_MEMORY];
    return at < DP8390_MEMORY ? s->prom[at % sizeof(s->prom)] : 0xff;
}

static void put_byte(struct dp8390 *s, unsigned at, uint8_t value)
{
    if (at >= DP8390_MEMORY && at < 2 * DP8390_MEMORY)
        s->memory[at - DP8390_MEMORY] = value;
}

/* ---- remote DMA ---- */

static void remote_advance(struct dp8390 *s, unsigned n)
{
    s->remote_address = (uint16_t)(s->remote_address + n);
    if (s->remote_address == s->pstop << 8)
        s->remote_address = (uint16_t)(s->pstart << 8);
    s->remote_count = (uint16_t)(n < s->remote_count ? s->remote_count - n : 0);
    if (s->remote_count)
        return;
    if ((s->command & CR_REMOTE) == CR_SEND_PACKET)
        s->boundary =
            s->config[0]; /* of the packet that was sent to the host: what comes behind it */
    s->command = (uint8_t)((s->command & ~CR_REMOTE) | CR_ABORT);
    interrupt(s, ISR_REMOTE_DONE);
    ready_to_receive(s);
}

/* As many accesses as the width of the port makes: in words, a byte's access moves a word on. */
static uint32_t data_read(struct dp8390 *s, unsigned size)
{
    unsigned step = s->dcr & DCR_WORDS ? 2 : 1;
    uint32_t value = 0;

    for (unsigned i = 0; i < size; i += step) {
        uint32_t part = UINT32_MAX;

        if ((s->command & CR_REMOTE) == CR_REMOTE_READ ||
            (s->command & CR_REMOTE) == CR_SEND_PACKET) {
            part = byte_at(s, s->remote_address);
            if (step == 2)
                part |= (uint32_t)byte_at(s, (s->remote_address + 1) & 0xffff) << 8;
            remote_advance(s, step);
        }
        value |= (part & (step == 2 ? 0xffffu : 0xffu)) << 8 * i;
    }
    return value;
}

static void data_write(struct dp8390 *s, uint32_t value, unsigned size)
{
    unsigned step = s->dcr & DCR_WORDS ? 2 : 1;

    for (unsigned i = 0; i < size; i += step) {
        if ((s->command & CR_REMOTE) != CR_REMOTE_WRITE)
            return;
        put_byte(s, s->remote_address, (uint8_t)(value >> 8 * i));
        if (step == 2 && i + 1 < size)
            put_byte(s, s->remote_address + 1u, (uint8_t)(value >> 8 * (i + 1)));
        remote_advance(s, step);
    }
}

static void begin_remote(struct dp8390 *s)
{
    if ((s->command & CR_REMOTE) ==
        CR_SEND_PACKET) { /* the oldest packet of the ring, by its own header */
        s->remote_address = (uint16_t)(s->boundary << 8);
        s->config[0] = byte_at(s, s->remote_address + 1u);
        s->remote_count = (uint16_t)(byte_at(s, s->remote_address + 2u) |
                                     byte_at(s, s->remote_address + 3u) << 8);
    }
    if (s->remote_count == 0)
        remote_advance(s, 0);
}

/* ---- transmission ---- */

static void transmit(struct dp8390 *s)
{
    unsigned n =
        s->transmit_count < sizeof(s->frame) ? s->transmit_count : (unsigned)sizeof(s->frame);

    if (s->sending || !(s->command & CR_TRANSMIT) || !(s->command & CR_START))
        return;
    s->sending = true;
    for (unsigned i = 0; i < n; i++)
        s->frame[i] = byte_at(s, (s->tpsr * 256u + i) & 0xffffu);
    /* In loopback the frame goes through the FIFO only: packet memory is not written (chapter 12).
     */
    if (s->tcr & TCR_LOOPBACK || card_send(s->net, s->nic, s->frame, n)) {
        s->command &= (uint8_t)~CR_TRANSMIT;
        s->tsr = TSR_TRANSMITTED;
        interrupt(s, ISR_TRANSMITTED);
    }
    s->sending = false;
}

static void ready_to_send(void *opaque, unsigned queue)
{
    (void)queue;
    transmit(opaque);
}

/* ---- reception ---- */

/* 0: not for us; else the status of reception. */
static unsigned judge(const struct dp8390 *s, const uint8_t *f)
{
    unsigned bit;

    if (card_broadcast(f))
        return s->rcr & RCR_BROADCAST ? RSR_RECEIVED | RSR_GROUP : 0;
    if (f[0] & 1) {
        bit = card_crc_reversed(f, 6) >> 26;
        return s->rcr & RCR_MULTICAST && (s->multicast[bit / 8] >> bit % 8 & 1u)
                   ? RSR_RECEIVED | RSR_GROUP
                   : 0;
    }
    return s->rcr & RCR_PROMISCUOUS || !memcmp(f, s->station, 6) ? RSR_RECEIVED : 0;
}

static unsigned next_page(const struct dp8390 *s, unsigned page)
{
    return page + 1 >= s->pstop ? s->pstart : page + 1;
}

/* Pages of the ring from CURR up to the boundary, which is not written. */
static unsigned free_pages(const struct dp8390 *s)
{
    unsigned size = (unsigned)(s->pstop - s->pstart);

    if (s->current == s->boundary)
        return size; /* as after the start, when CURR may equal the boundary: empty */
    return s->boundary > s->current ? (unsigned)(s->boundary - s->current)
                                    : size - (unsigned)(s->current - s->boundary);
}

static void count_missed(struct dp8390 *s)
{
    s->rsr = RSR_MISSED | RSR_DISABLED;
    if (s->counters[2] < 0xff)
        s->counters[2]++;
    if (s->counters[2] >= 0xc0)
        interrupt(s, ISR_COUNTER);
}

static void store(struct dp8390 *s, unsigned status, unsigned n)
{
    unsigned pages = (n + HEADER + 255) / 256, page = s->current, next = page, at;
    uint8_t header[HEADER];

    for (unsigned i = 0; i < pages; i++)
        next = next_page(s, next);
    header[0] = (uint8_t)status;
    header[1] = (uint8_t)next;
    header[2] = (uint8_t)n;
    header[3] = (uint8_t)(n >> 8);
    for (unsigned i = 0; i < HEADER + n; i++) {
        at = i & 255u;
        if (i && at == 0)
            page = next_page(s, page);
        put_byte(s, page * 256 + at, i < HEADER ? header[i] : s->frame[i - HEADER]);
    }
    s->current = (uint8_t)next;
    s->rsr = (uint8_t)status;
    interrupt(s, ISR_RECEIVED);
}

/* false: the ring has no room; the sender waits, as by flow control, and nothing overflows. */
static bool receive_one(struct dp8390 *s, const struct bp_net_packet *packet)
{
    unsigned n, status;

    n = card_take_frame(s->net, packet, s->frame);
    status = n ? judge(s, s->frame) : 0;
    if (!status)
        return true;
    if (s->rcr & RCR_MONITOR) {
        count_missed(s);
        return true;
    }
    if (s->pstop <= s->pstart || s->current < s->pstart || s->current >= s->pstop ||
        (n + HEADER + 255) / 256 >= (unsigned)(s->pstop - s->pstart))
        return true; /* no ring that it could be put into */
    s->waits = (n + HEADER + 255) / 256 >= free_pages(s);
    if (s->waits)
        return false;
    store(s, status, n);
    return true;
}

static unsigned receive(void *opaque, unsigned queue, const struct bp_net_packet *packets,
                        unsigned count)
{
    struct dp8390 *s = opaque;
    unsigned n = 0;

    (void)queue;
    if (!(s->command & CR_START) || s->tcr & TCR_LOOPBACK)
        return count;
    while (n < count && receive_one(s, &packets[n]))
        n++;
    return n;
}

const struct bp_nic_ops dp8390_nic_ops = {
    .size = sizeof(struct bp_nic_ops), .receive = receive, .ready = ready_to_send};

/* ---- registers ---- */

static void write_command(struct dp8390 *s, uint8_t value)
{
    if (!(value & (CR_START | CR_STOP))) /* it goes on as it is: drivers choose pages so */
        value |= s->command & (CR_START | CR_STOP);
    s->command = (uint8_t)(value | (s->command & CR_TRANSMIT));
    if (value & CR_STOP) {
        s->command &= (uint8_t) ~(CR_TRANSMIT | CR_START);
        s->isr |= ISR_RESET;
        return;
    }
    if (!(value & CR_START))
        return;
    s->isr &= (uint8_t)~ISR_RESET;
    if (!(value & CR_ABORT) && value & CR_REMOTE)
        begin_remote(s);
    transmit(s);
    ready_to_receive(s);
}

static uint8_t read_page0(struct dp8390 *s, unsigned at)
{
    uint8_t value;

    switch (at) {
    case 0x01:
    case 0x08:
        return (uint8_t)s->remote_address;
    case 0x02:
    case 0x09:
        return (uint8_t)(s->remote_address >> 8);
    case 0x03:
        return s->boundary;
    case 0x04:
        return s->tsr;
    case 0x07:
        return s->isr;
    case 0x0a:
        return s->realtek ? 0x50 : 0xff;
    case 0x0b:
        return s->realtek ? 0x43 : 0xff;
    case 0x0c:
        return s->rsr;
    case 0x0d:
    case 0x0e:
    case 0x0f:
        value = s->counters[at - 0x0d];
        s->counters[at - 0x0d] = 0;
        return value;
    default:
        return 0;
    }
}

static uint8_t read_page2(const struct dp8390 *s, unsigned at)
{
    switch (at) {
    case 0x01:
        return s->pstart;
    case 0x02:
        return s->pstop;
    case 0x04:
        return s->tpsr;
    case 0x0c:
        return s->rcr | 0xc0;
    case 0x0d:
        return s->tcr | 0xe0;
    case 0x0e:
        return s->dcr | 0x80;
    case 0x0f:
        return s->imr | 0x80;
    default:
        return 0xff;
    }
}

static uint8_t read_register(struct dp8390 *s, unsigned at)
{
    if (at == 0)
        return s->command;
    switch (s->command >> 6) {
    case 0:
        return read_page0(s, at);
    case 1:
        return at < 7 ? s->station[at - 1] : at == 7 ? s->current : s->multicast[at - 8];
    case 2:
        return read_page2(s, at);
    default:
        return !s->realtek ? 0xff : at == 0x0e ? 0x29 : at == 0x0f ? 0x80 : s->config[at];
    }
}

static void write_page0(struct dp8390 *s, unsigned at, uint8_t value)
{
    switch (at) {
    case 0x01:
        s->pstart = value;
        break;
    case 0x02:
        s->pstop = value;
        break;
    case 0x03:
        s->boundary = value;
        ready_to_receive(s);
        break;
    case 0x04:
        s->tpsr = value;
        break;
    case 0x05:
        s->transmit_count = (uint16_t)((s->transmit_count & 0xff00) | value);
        break;
    case 0x06:
        s->transmit_count = (uint16_t)((s->transmit_count & 0xff) | value << 8);
        break;
    case 0x07: /* ones clear, but for the reset's */
        s->isr &= (uint8_t) ~(value & 0x7fu);
        /* A driver that takes some packets, clears this and goes is told of the rest by the next one that arrives: that
         * which waits for room is one. */
        if (s->waits && s->current != s->boundary && s->current != next_page(s, s->boundary))
            s->isr |= ISR_RECEIVED;
        update_line(s);
        break;
    case 0x08:
        s->remote_address = (uint16_t)((s->remote_address & 0xff00) | value);
        break;
    case 0x09:
        s->remote_address = (uint16_t)((s->remote_address & 0xff) | value << 8);
        break;
    case 0x0a:
        s->remote_count = (uint16_t)((s->remote_count & 0xff00) | value);
        break;
    case 0x0b:
        s->remote_count = (uint16_t)((s->remote_count & 0xff) | value << 8);
        break;
    case 0x0c:
        s->rcr = value & 0x3f;
        ready_to_receive(s);
        break;
    case 0x0d:
        s->tcr = value & 0x1f;
        ready_to_receive(s);
        break;
    case 0x0e:
        s->dcr = value & 0x7f;
        break;
    default:
        s->imr = value & 0x7f;
        update_line(s);
        break;
    }
}

static void write_register(struct dp8390 *s, unsigned at, uint8_t value)
{
    unsigned page = s->command >> 6;

    if (at == 0) {
        write_command(s, value);
    } else if (page == 0) {
        write_page0(s, at, value);
    } else if (page == 1 && at < 7) {
        s->station[at - 1] = value;
        s->net->nic_set_mac(s->nic, s->station);
    } else if (page == 1 && at == 7) {
        s->current = value;
    } else if (page == 1) {
        s->multicast[at - 8] = value;
    } else if (page == 3 && s->realtek) {
        s->config[at] = value; /* 9346CR, CONFIG2 and CONFIG3: kept, and without effect */
    }
}

static uint64_t dp_read(void *opaque, uint64_t addr, unsigned size)
{
    struct dp8390 *s = opaque;
    uint32_t value = 0;

    if (addr >= 0x18) {
        stop_by_reset(s);
        return 0;
    }
    if (addr >= 0x10)
        return data_read(s, size);
    for (unsigned i = 0; i < size && addr + i < 0x10; i++)
        value |= (uint32_t)read_register(s, (unsigned)addr + i) << 8 * i;
    return value;
}

static void dp_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct dp8390 *s = opaque;

    if (addr >= 0x18)
        return; /* the end of a reset that a read began */
    if (addr >= 0x10) {
        data_write(s, (uint32_t)value, size);
        return;
    }
    for (unsigned i = 0; i < size && addr + i < 0x10; i++)
        write_register(s, (unsigned)addr + i, (uint8_t)(value >> 8 * i));
}

const struct bp_region_ops dp8390_ops = {.size = sizeof(dp8390_ops),
                                         .read = dp_read,
                                         .write = dp_write,
                                         .min_access = 1,
                                         .max_access = 4,
                                         .unaligned = 1};

static const struct bp_state_field fields[] = {BP_SAVE(UINT8, struct dp8390, command),
                                               BP_SAVE(UINT8, struct dp8390, isr),
                                               BP_SAVE(UINT8, struct dp8390, imr),
                                               BP_SAVE(UINT8, struct dp8390, dcr),
                                               BP_SAVE(UINT8, struct dp8390, tcr),
                                               BP_SAVE(UINT8, struct dp8390, rcr),
                                               BP_SAVE(UINT8, struct dp8390, tsr),
                                               BP_SAVE(UINT8, struct dp8390, rsr),
                                               BP_SAVE(UINT8, struct dp8390, pstart),
                                               BP_SAVE(UINT8, struct dp8390, pstop),
                                               BP_SAVE(UINT8, struct dp8390, boundary),
                                               BP_SAVE(UINT8, struct dp8390, current),
                                               BP_SAVE(UINT8, struct dp8390, tpsr),
                                               BP_SAVE(BOOL, struct dp8390, waits),
                                               BP_SAVE_BUFFER(struct dp8390, counters),
                                               BP_SAVE_BUFFER(struct dp8390, station),
                                               BP_SAVE_BUFFER(struct dp8390, multicast),
                                               BP_SAVE_BUFFER(struct dp8390, config),
                                               BP_SAVE(UINT16, struct dp8390, transmit_count),
                                               BP_SAVE(UINT16, struct dp8390, remote_address),
                                               BP_SAVE(UINT16, struct dp8390, remote_count),
                                               BP_SAVE_BUFFER(struct dp8390, memory),
                                               BP_SAVE_END};
const struct bp_state_table dp8390_table = {
    .name = "dp8390", .version = 1, .oldest = 1, .fields = fields};
