/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keyboard controller style interface (IPMI 2.0, chapter 9): a port for data, one for status and command. A BMC that
 * takes its time keeps the input buffer full meanwhile.
 */
#include "ipmi.h"

#include <string.h>

enum { OBF = 1, IBF = 2, ATTENTION = 4, COMMAND = 8 };                /* bits of the status */
enum { IDLE = 0, READ = 1, WRITE = 2, ERROR = 3 };                     /* its upper two */
enum { ABORT = 0x60, WRITE_START = 0x61, WRITE_END = 0x62, READ_NEXT = 0x68 };
enum { ABORTED = 1, ILLEGAL = 2, LENGTH = 6 };                         /* error codes */

static void update_irq(struct ipmi_interface *s)
{
    s->set_irq(s, (s->status & OBF) || ((s->status & ATTENTION) && s->irq_on_attention));
}

static void set_state(struct ipmi_interface *s, unsigned state)
{
    s->status = (uint8_t)((s->status & 0x3f) | state << 6);
}

static void put(struct ipmi_interface *s, uint8_t byte)
{
    s->out = byte;
    s->status |= OBF;
    update_irq(s);
}

static void fail(struct ipmi_interface *s, uint8_t code)
{
    s->error = code;
    set_state(s, ERROR);
    put(s, 0);
}

static void put_next(struct ipmi_interface *s)
{
    if (s->answer_at < s->answer_len) {
        set_state(s, READ);
        put(s, s->answer[s->answer_at++]);
    } else {
        set_state(s, IDLE);
        put(s, 0);
    }
}

void ipmi_kcs_answer(struct ipmi_interface *s, const uint8_t *msg, unsigned len)
{
    if (!s->waits || len > sizeof(s->answer))
        return; /* the guest gave up meanwhile */
    s->waits = false;
    s->status &= (uint8_t)~IBF;
    memcpy(s->answer, msg, len);
    s->answer_len = (uint16_t)len;
    s->answer_at = 0;
    put_next(s);
}

void ipmi_kcs_attention(struct ipmi_interface *s, bool on, bool irq)
{
    s->status = (uint8_t)(on ? s->status | ATTENTION : s->status & ~ATTENTION);
    s->irq_on_attention = irq;
    update_irq(s);
}

void ipmi_kcs_reset(struct ipmi_interface *s)
{
    s->status &= ATTENTION;
    s->in_len = s->answer_len = s->answer_at = 0;
    s->last_byte = s->aborting = s->waits = false;
    s->error = s->out = 0;
    update_irq(s);
}

static void complete(struct ipmi_interface *s)
{
    struct ipmi_bmc *bmc = ipmi_bmc_of(s->bmc);

    s->last_byte = false;
    if (s->in_len < 2) {
        fail(s, LENGTH);
        return;
    }
    s->waits = true;
    s->status |= IBF;
    bmc->ops->request(s->bmc, s->in, s->in_len);
}

static void write_data(struct ipmi_interface *s, uint8_t byte)
{
    if (s->aborting) {
        s->aborting = false;
        set_state(s, READ);
        s->answer_len = s->answer_at = 0;
        put(s, s->error);
        return;
    }
    switch (s->status >> 6) {
    case WRITE:
        if (s->waits)
            return;
        if (s->in_len == sizeof(s->in)) {
            fail(s, LENGTH);
            return;
        }
        s->in[s->in_len++] = byte;
        if (s->last_byte)
            complete(s);
        break;
    case READ:
        if (byte == READ_NEXT)
            put_next(s);
        else
            fail(s, ILLEGAL);
        break;
    default:
        fail(s, ILLEGAL);
    }
}

static void write_command(struct ipmi_interface *s, uint8_t byte)
{
    s->status &= (uint8_t)~OBF;
    update_irq(s);
    switch (byte) {
    case WRITE_START:
        s->in_len = 0;
        s->error = 0;
        s->last_byte = s->waits = s->aborting = false;
        s->status &= (uint8_t)~IBF;
        set_state(s, WRITE);
        break;
    case WRITE_END:
        if (s->status >> 6 == WRITE && !s->waits)
            s->last_byte = true;
        else
            fail(s, ILLEGAL);
        break;
    case ABORT:
        if (s->waits || s->status >> 6 == WRITE)
            s->error = ABORTED;
        s->waits = s->last_byte = false;
        s->status &= (uint8_t)~IBF;
        s->aborting = true;
        break;
    default:
        fail(s, ILLEGAL);
    }
}

static uint64_t kcs_read(void *opaque, uint64_t addr, unsigned size)
{
    struct ipmi_interface *s = opaque;

    (void)size;
    if (addr == 1)
        return s->status;
    s->status &= (uint8_t)~OBF;
    update_irq(s);
    return s->out;
}

static void kcs_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct ipmi_interface *s = opaque;

    (void)size;
    s->status = (uint8_t)(addr == 1 ? s->status | COMMAND : s->status & ~COMMAND);
    if (addr == 1)
        write_command(s, (uint8_t)value);
    else
        write_data(s, (uint8_t)value);
}

const struct bp_region_ops ipmi_kcs_ops = {
    .size = sizeof(ipmi_kcs_ops), .read = kcs_read, .write = kcs_write, .min_access = 1, .max_access = 1};
