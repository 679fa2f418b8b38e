/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A BMC in another program, behind a character device: the "VM" protocol of OpenIPMI (lanserv/README.vm, the peer is
 * its ipmi_sim). Bytes a0, a1 and aa are escaped: aa, then the byte with bit 4 set. a0 ends a message (sequence
 * number, netFn and LUN, command, data, checksum), a1 a command of a byte and its data.
 *
 * What the peer says is not trusted: messages are bounded and must sum up; it may reset the machine, power it off
 * and give it an NMI, as the manual warns.
 */
#define BP_SHARED
#include "ipmi.h"

#include <bp/clock.h>
#include <bp/host/chardev.h>
#include <bp/log.h>
#include <bp/run.h>
#include <errno.h>
#include <string.h>

extern const struct bp_chardev_interface *const *const ipmi_chardev;

enum { MESSAGE_END = 0xa0, COMMAND_END = 0xa1, ESCAPE = 0xaa };
enum { NO_ATTENTION = 0, ATTENTION = 1, ATTENTION_IRQ = 2, POWER_OFF = 3, RESET = 4, ENABLE_IRQ = 5, DISABLE_IRQ = 6,
       SEND_NMI = 7, CAPABILITIES = 8, GRACEFUL_SHUTDOWN = 9, VERSION = 0xff };
enum { CAN_POWER = 1, CAN_RESET = 2, CAN_IRQ = 4, CAN_NMI = 8, CAN_ATTENTION = 16, CAN_GRACEFUL = 32 };
#define PATIENCE 4000000000ll /* ns on the virtual clock */

struct bmc_extern {
    struct bp_object *chardev;
    struct bp_chardev *chr;
    struct bp_device *dev;
    bool connected, escaped, broken;
    uint8_t in[IPMI_MOST + 4];
    uint16_t in_len;
    uint8_t sequence, waiting[2]; /* of the request that waits: netFn and LUN, command */
    bool waits;
    struct bp_timer *timer;
};

/* ---- to the peer ---- */

static unsigned put(uint8_t *to, unsigned at, uint8_t byte)
{
    if (byte == MESSAGE_END || byte == COMMAND_END || byte == ESCAPE) {
        to[at++] = ESCAPE;
        byte |= 0x10;
    }
    to[at++] = byte;
    return at;
}

static bool send(struct bmc_extern *s, const uint8_t *bytes, unsigned len, uint8_t end)
{
    uint8_t out[2 * (IPMI_MOST + 4) + 1];
    unsigned at = 0;

    for (unsigned i = 0; i < len; i++)
        at = put(out, at, bytes[i]);
    out[at++] = end;
    return (*ipmi_chardev)->write(s->chr, out, at, s) == at;
}

static void command(struct bmc_extern *s, uint8_t what)
{
    if (s->connected)
        send(s, &what, 1, COMMAND_END);
}

static void fail(struct bmc_extern *s, uint8_t code)
{
    const uint8_t answer[] = {(uint8_t)(s->waiting[0] | 4), s->waiting[1], code};

    s->waits = false;
    ipmi_answer(ipmi_bmc_of(s->dev), answer, sizeof(answer));
}

static void too_late(void *opaque)
{
    struct bmc_extern *s = opaque;

    if (s->waits)
        fail(s, IPMI_TIMEOUT);
}

static uint8_t sum_of(const uint8_t *p, unsigned len)
{
    uint8_t sum = 0;

    for (unsigned i = 0; i < len; i++)
        sum = (uint8_t)(sum + p[i]);
    return sum;
}

static void request(struct bp_device *dev, const uint8_t *msg, unsigned len)
{
    struct bmc_extern *s = bp_device_state(dev);
    uint8_t out[IPMI_MOST + 2];

    memcpy(s->waiting, msg, 2);
    s->waits = true;
    s->sequence++;
    out[0] = s->sequence;
    memcpy(out + 1, msg, len);
    out[len + 1] = (uint8_t)-sum_of(out, len + 1);
    if (!s->connected || !send(s, out, len + 2, MESSAGE_END)) {
        fail(s, IPMI_BMC_INIT);
        return;
    }
    bp_timer_set(s->timer, bp_timer_now(s->timer) + PATIENCE);
}

static void want_irqs(struct bp_device *dev, bool on)
{
    command(bp_device_state(dev), on ? ENABLE_IRQ : DISABLE_IRQ);
}

static const struct ipmi_bmc_ops ops = {.request = request, .irqs = want_irqs};

/* ---- from the peer ---- */

static void take_message(struct bmc_extern *s)
{
    if (s->broken || s->in_len < 5 || sum_of(s->in, s->in_len) != 0) {
        bp_guest_error("ipmi-peer", "ipmi-bmc-extern: a message of the peer is too short, too long or does not sum up");
        return;
    }
    if (!s->waits || s->in[0] != s->sequence || s->in[1] != (s->waiting[0] | 4) || s->in[2] != s->waiting[1])
        return; /* an answer to what was given up */
    s->waits = false;
    bp_timer_cancel(s->timer);
    ipmi_answer(ipmi_bmc_of(s->dev), s->in + 1, s->in_len - 2u);
}

static void take_command(struct bmc_extern *s)
{
    struct bp_machine *m = bp_device_machine(s->dev);
    struct bp_error err = {0};

    if (s->broken || s->in_len < 1)
        return;
    switch (s->in[0]) {
    case NO_ATTENTION:
        ipmi_attention(ipmi_bmc_of(s->dev), false, false);
        break;
    case ATTENTION:
        ipmi_attention(ipmi_bmc_of(s->dev), true, false);
        break;
    case ATTENTION_IRQ:
        ipmi_attention(ipmi_bmc_of(s->dev), true, true);
        break;
    case POWER_OFF:
        bp_machine_request_shutdown(m, BP_SHUTDOWN_GUEST_SHUTDOWN);
        break;
    case RESET:
        bp_machine_request_reset(m, BP_SHUTDOWN_GUEST_RESET);
        break;
    case SEND_NMI:
        if (bp_machine_inject_nmi(m, &err) < 0)
            bp_warn("ipmi-bmc-extern: %s", err.message);
        break;
    case GRACEFUL_SHUTDOWN:
        bp_machine_request_powerdown(m);
        break;
    }
}

static size_t can_read(void *opaque)
{
    (void)opaque;
    return 512;
}

static void received(void *opaque, const uint8_t *buf, size_t len)
{
    struct bmc_extern *s = opaque;

    for (size_t i = 0; i < len; i++) {
        uint8_t byte = buf[i];

        if (byte == MESSAGE_END || byte == COMMAND_END) {
            if (byte == MESSAGE_END)
                take_message(s);
            else
                take_command(s);
            s->in_len = 0;
            s->escaped = s->broken = false;
        } else if (byte == ESCAPE) {
            s->escaped = true;
        } else if (s->in_len == sizeof(s->in)) {
            s->broken = true;
        } else {
            s->in[s->in_len++] = s->escaped ? byte & (uint8_t)~0x10 : byte;
            s->escaped = false;
        }
    }
}

static void connected(struct bmc_extern *s)
{
    static const uint8_t version[] = {VERSION, 1};
    static const uint8_t can[] = {CAPABILITIES, CAN_POWER | CAN_RESET | CAN_IRQ | CAN_NMI | CAN_ATTENTION |
                                  CAN_GRACEFUL};

    s->connected = true;
    s->in_len = 0;
    s->escaped = s->broken = false;
    send(s, version, sizeof(version), COMMAND_END);
    send(s, can, sizeof(can), COMMAND_END);
    command(s, RESET);
    command(s, ENABLE_IRQ);
}

static void event(void *opaque, enum bp_chardev_event what)
{
    struct bmc_extern *s = opaque;

    if (what == BP_CHARDEV_OPENED) {
        connected(s);
    } else if (what == BP_CHARDEV_CLOSED) {
        s->connected = false;
        if (s->waits) {
            bp_timer_cancel(s->timer);
            fail(s, IPMI_BMC_INIT);
        }
        ipmi_attention(ipmi_bmc_of(s->dev), false, false);
    }
}

static const struct bp_chardev_handlers handlers = {
    .size = sizeof(handlers), .can_read = can_read, .read = received, .event = event};

/* ---- life ---- */

static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct bmc_extern *s = bp_device_state(dev);

    s->dev = dev;
    ipmi_bmc_of(dev)->ops = &ops;
    if (!s->chardev)
        return bp_fail(err, EINVAL, "IPMI external bmc requires chardev attribute: chardev=ID of a -chardev socket "
                       "that "
                       "leads to the simulator");
    s->timer = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, too_late, s);
    s->chr = (*ipmi_chardev)->from_object(s->chardev);
    return (*ipmi_chardev)->connect(s->chr, &handlers, s, err);
}

static void detach(struct bp_device *dev)
{
    struct bmc_extern *s = bp_device_state(dev);

    if (s->chr)
        (*ipmi_chardev)->disconnect(s->chr, s);
}

static void reset(struct bp_device *dev)
{
    struct bmc_extern *s = bp_device_state(dev);

    s->waits = false;
    bp_timer_cancel(s->timer);
    command(s, RESET);
}

static const struct bp_state_field fields[] = {
    BP_SAVE(UINT8, struct bmc_extern, sequence), BP_SAVE_BUFFER(struct bmc_extern, waiting),
    BP_SAVE(BOOL, struct bmc_extern, waits), BP_SAVE(TIMER, struct bmc_extern, timer), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields};

static const struct bp_field props[] = {
    BP_PROP_LINK("chardev", "chardev", struct bmc_extern, chardev, "that leads to the simulator"), BP_FIELDS_END};

BP_NOTE("provides=device:ipmi-bmc-extern;bus=system;user=yes;summary=IPMI management controller in another program");
const struct bp_device_class ipmi_bmc_extern = {
    .type = {.size = sizeof(struct bp_device_class), .name = "ipmi-bmc-extern", .parent = "ipmi-bmc",
             .summary = "IPMI management controller in another program", .state_size = sizeof(struct bmc_extern),
             .props = props, .state = &table},
    .bus = "system", .category = "misc", .attach = attach, .detach = detach, .reset = reset};
