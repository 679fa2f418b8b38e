/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Block transfer interface (IPMI 2.0, chapter 11): a port for control, one for the bytes of a message, one for the
 * interrupt mask. A message has its length and a sequence number before and between what a BMC sees of it.
 */
#include "ipmi.h"

#include <string.h>

enum { CLEAR_WRITE = 1, CLEAR_READ = 2, TO_BMC = 4, TO_HOST = 8, ATTENTION = 16, HOST_BUSY = 64, BMC_BUSY = 128 };
enum { IRQ_ON = 1, IRQ = 2 };
enum { APP = 6, GET_CAPABILITIES = 0x36 };

static void update_irq(struct ipmi_interface *s)
{
    s->set_irq(s, (s->mask & (IRQ_ON | IRQ)) == (IRQ_ON | IRQ));
}

void ipmi_bt_answer(struct ipmi_interface *s, const uint8_t *msg, unsigned len)
{
    if (!s->waits || len < 2 || len > IPMI_BT_MOST)
        return;
    s->waits = false;
    s->answer[0] = (uint8_t)(len + 1);
    s->answer[1] = msg[0];
    s->answer[2] = s->sequence;
    memcpy(s->answer + 3, msg + 1, len - 1);
    s->answer_len = (uint16_t)(len + 2);
    s->answer_at = 0;
    s->control = (uint8_t)((s->control & ~BMC_BUSY) | TO_HOST);
    if (s->mask & IRQ_ON)
        s->mask |= IRQ;
    update_irq(s);
}

void ipmi_bt_attention(struct ipmi_interface *s, bool on, bool irq)
{
    s->control = (uint8_t)(on ? s->control | ATTENTION : s->control & ~ATTENTION);
    if (on && irq && (s->mask & IRQ_ON))
        s->mask |= IRQ;
    update_irq(s);
}

void ipmi_bt_reset(struct ipmi_interface *s)
{
    s->control &= ATTENTION;
    s->mask = 0;
    s->in_len = s->answer_len = s->answer_at = 0;
    s->waits = false;
    update_irq(s);
}

/* What the interface itself knows: one request at a time, both ways up to 255 bytes, answered in 10 seconds. */
static void tell_capabilities(struct ipmi_interface *s)
{
    const uint8_t answer[] = {(uint8_t)(s->in[1] | 4), GET_CAPABILITIES, IPMI_OK, 1, 255, 255, 10, 0};

    ipmi_bt_answer(s, answer, sizeof(answer));
}

static void begin(struct ipmi_interface *s)
{
    uint8_t msg[IPMI_MOST];
    unsigned len = s->in[0];

    s->control = (uint8_t)((s->control & ~TO_BMC) | BMC_BUSY);
    s->waits = true;
    s->sequence = s->in_len > 2 ? s->in[2] : 0;
    if (s->in_len < 4 || len < 3 || s->in_len < len + 1) {
        const uint8_t answer[] = {(uint8_t)(s->in_len > 1 ? s->in[1] | 4 : 4), (uint8_t)(s->in_len > 3 ? s->in[3] : 0),
                                  IPMI_BAD_LENGTH};

        ipmi_bt_answer(s, answer, sizeof(answer));
    } else if (s->in[1] >> 2 == APP && s->in[3] == GET_CAPABILITIES) {
        tell_capabilities(s);
    } else {
        msg[0] = s->in[1];
        memcpy(msg + 1, s->in + 3, len - 2);
        ipmi_bmc_of(s->bmc)->ops->request(s->bmc, msg, len - 1);
    }
    s->in_len = 0;
}

static void write_control(struct ipmi_interface *s, uint8_t value)
{
    if (value & CLEAR_WRITE)
        s->in_len = 0;
    if (value & CLEAR_READ)
        s->answer_at = 0;
    if (value & TO_HOST)
        s->control &= (uint8_t)~TO_HOST;
    if (value & ATTENTION)
        s->control &= (uint8_t)~ATTENTION;
    if (value & HOST_BUSY)
        s->control ^= HOST_BUSY;
    if ((value & TO_BMC) && !s->waits)
        begin(s);
}

static uint64_t bt_read(void *opaque, uint64_t addr, unsigned size)
{
    struct ipmi_interface *s = opaque;

    (void)size;
    switch (addr) {
    case 0:
        return s->control;
    case 1:
        return s->answer_at < s->answer_len ? s->answer[s->answer_at++] : 0xff;
    default:
        return s->mask;
    }
}

static void bt_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct ipmi_interface *s = opaque;

    (void)size;
    if (addr == 0) {
        write_control(s, (uint8_t)value);
    } else if (addr == 1) {
        if (s->in_len < 256)
            s->in[s->in_len++] = (uint8_t)value;
    } else {
        bool on = value & IRQ_ON;

        if (on != (s->mask & IRQ_ON) && ipmi_bmc_of(s->bmc)->ops->irqs)
            ipmi_bmc_of(s->bmc)->ops->irqs(s->bmc, on);
        s->mask = (uint8_t)(on | (value & IRQ ? 0 : s->mask & IRQ));
        update_irq(s);
    }
}

const struct bp_region_ops ipmi_bt_ops = {
    .size = sizeof(ipmi_bt_ops), .read = bt_read, .write = bt_write, .min_access = 1, .max_access = 1};
