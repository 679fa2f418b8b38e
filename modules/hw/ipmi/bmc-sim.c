/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A simulated BMC (IPMI 2.0 rev. 1.1): identity, global enables, chassis control, the watchdog's sensor; bmc-storage.c
 * has event log, sensor records and inventory, bmc-watchdog.c the timer. Leaves out: LAN and serial channels, users,
 * bridging to other controllers, sensors beside those that an SDR file describes without readings.
 */
#define BP_SHARED
#include "bmc-sim.h"

#include <bp/log.h>
#include <bp/run.h>
#include <errno.h>
#include <string.h>

enum { CHASSIS = 0x00, SENSOR = 0x04, APP = 0x06 };
enum { RECEIVE = 1, EVENT_BUFFER = 2, PRE_TIMEOUT = 8 }; /* message flags */

void sim_put(struct sim_call *c, unsigned byte)
{
    if (c->answer_len < IPMI_MOST - 3)
        c->answer[c->answer_len++] = (uint8_t)byte;
}

void sim_put16(struct sim_call *c, unsigned v)
{
    sim_put(c, v & 0xff);
    sim_put(c, v >> 8 & 0xff);
}

void sim_put32(struct sim_call *c, uint32_t v)
{
    sim_put16(c, v & 0xffff);
    sim_put16(c, v >> 16);
}

/* The guest is told while something waits; an interrupt only when it wants one for that. */
void sim_update_attention(struct sim *s)
{
    bool irq = (s->flags & RECEIVE && s->enables & 1) || (s->flags & EVENT_BUFFER && s->enables & 2) ||
               (s->flags & PRE_TIMEOUT && s->enables & 1);

    ipmi_attention(ipmi_bmc_of(s->dev), s->flags != 0, irq);
}

/* ---- application ---- */

static uint8_t get_device_id(struct sim *s, struct sim_call *c)
{
    static const uint8_t id[] = {0x20, 0x00, 0x01, 0x00, 0x02,
                                 0x8f, /* chassis, inventory, event log, sensor records, sensors */
                                 0, 0, 0, 0, 0};

    (void)s;
    for (size_t i = 0; i < sizeof(id); i++)
        sim_put(c, id[i]);
    return IPMI_OK;
}

static uint8_t cold_reset(struct sim *s, struct sim_call *c)
{
    (void)c;
    s->enables = 0;
    s->flags = 0;
    sim_watchdog_reset(s);
    sim_update_attention(s);
    return IPMI_OK;
}

static uint8_t nothing_to_do(struct sim *s, struct sim_call *c)
{
    (void)s, (void)c;
    return IPMI_OK;
}

static uint8_t self_test(struct sim *s, struct sim_call *c)
{
    (void)s;
    sim_put(c, 0x55); /* no error */
    sim_put(c, 0);
    return IPMI_OK;
}

static uint8_t set_power_state(struct sim *s, struct sim_call *c)
{
    for (unsigned i = 0; i < 2; i++) {
        if (c->data[i] & 0x80)
            s->power_states[i] = c->data[i] & 0x7f;
    }
    return IPMI_OK;
}

static uint8_t get_power_state(struct sim *s, struct sim_call *c)
{
    sim_put(c, s->power_states[0]);
    sim_put(c, s->power_states[1]);
    return IPMI_OK;
}

/* Least significant byte first (IPMI 20.8), as nodes write a UUID. */
static uint8_t get_guid(struct sim *s, struct sim_call *c)
{
    if (!s->has_guid)
        return IPMI_INVALID_COMMAND;
    for (unsigned i = 0; i < 16; i++)
        sim_put(c, s->guid_bytes[15 - i]);
    return IPMI_OK;
}

static uint8_t set_enables(struct sim *s, struct sim_call *c)
{
    s->enables = c->data[0] & 0xef;
    if (ipmi_bmc_of(s->dev)->interface)
        sim_update_attention(s);
    return IPMI_OK;
}

static uint8_t get_enables(struct sim *s, struct sim_call *c)
{
    sim_put(c, s->enables);
    return IPMI_OK;
}

static uint8_t clear_flags(struct sim *s, struct sim_call *c)
{
    s->flags &= (uint8_t)~c->data[0];
    sim_update_attention(s);
    return IPMI_OK;
}

static uint8_t get_flags(struct sim *s, struct sim_call *c)
{
    sim_put(c, s->flags);
    return IPMI_OK;
}

static uint8_t no_message(struct sim *s, struct sim_call *c)
{
    (void)s, (void)c;
    return 0x80; /* the queue is empty */
}

static uint8_t no_bridge(struct sim *s, struct sim_call *c)
{
    (void)s, (void)c;
    return 0x83; /* nobody acknowledges on the bus */
}

static uint8_t get_channel_info(struct sim *s, struct sim_call *c)
{
    unsigned channel = c->data[0] & 15;

    (void)s;
    if (channel != 15 && channel != 14)
        return IPMI_BAD_FIELD;
    sim_put(c, 15);
    sim_put(c, 12); /* system interface */
    sim_put(c, ipmi_bmc_of(s->dev)->interface->kind == IPMI_KCS ? 5 : 8);
    sim_put(c, 0);
    sim_put(c, 0xf2); /* IPMI's enterprise number, 7154 */
    sim_put(c, 0x1b);
    sim_put(c, 0);
    sim_put16(c, 0xffff); /* which interrupt: not told here */
    return IPMI_OK;
}

/* ---- chassis ---- */

static uint8_t chassis_capabilities(struct sim *s, struct sim_call *c)
{
    uint8_t address = ipmi_bmc_of(s->dev)->slave_addr;

    sim_put(c, 0);
    for (unsigned i = 0; i < 5; i++)
        sim_put(c, address);
    return IPMI_OK;
}

static uint8_t chassis_status(struct sim *s, struct sim_call *c)
{
    (void)s;
    sim_put(c, 0x01 | 3u << 5); /* on; what follows a loss of power is not known */
    sim_put(c, 0);
    sim_put(c, 0);
    return IPMI_OK;
}

void sim_power(struct sim *s, unsigned how)
{
    struct bp_machine *m = bp_device_machine(s->dev);
    struct bp_error err = {0};

    switch (how) {
    case 0:
        bp_machine_request_shutdown(m, BP_SHUTDOWN_GUEST_SHUTDOWN);
        break;
    case 2:
    case 3:
        s->restart_cause = 1; /* chassis control */
        bp_machine_request_reset(m, BP_SHUTDOWN_GUEST_RESET);
        break;
    case 4:
        if (bp_machine_inject_nmi(m, &err) < 0)
            bp_warn("ipmi-bmc-sim: %s", err.message);
        break;
    case 5:
        bp_machine_request_powerdown(m);
        break;
    }
}

static uint8_t chassis_control(struct sim *s, struct sim_call *c)
{
    unsigned how = c->data[0] & 15;

    if (how > 5)
        return IPMI_BAD_FIELD;
    sim_power(s, how); /* 1, power up: it is on */
    return IPMI_OK;
}

static uint8_t get_restart_cause(struct sim *s, struct sim_call *c)
{
    sim_put(c, s->restart_cause);
    sim_put(c, 14);
    return IPMI_OK;
}

/* Parameter 5, boot flags, is kept; 0 (set in progress), 3 and 4 are taken. */
static uint8_t set_boot_options(struct sim *s, struct sim_call *c)
{
    unsigned which = c->data[0] & 0x7f;

    if (which > 5)
        return 0x80;
    if (which == 5 && c->len < 6)
        return c->len == 1 ? IPMI_OK : IPMI_BAD_LENGTH;
    if (which == 5)
        memcpy(s->boot_options, c->data + 1, sizeof(s->boot_options));
    return IPMI_OK;
}

static uint8_t get_boot_options(struct sim *s, struct sim_call *c)
{
    unsigned which = c->data[0] & 0x7f;

    if (which != 5)
        return 0x80;
    sim_put(c, 1);
    sim_put(c, which);
    for (unsigned i = 0; i < sizeof(s->boot_options); i++)
        sim_put(c, s->boot_options[i]);
    return IPMI_OK;
}

/* ---- the watchdog's sensor ---- */

#define WATCHDOG_SENSOR 1u

static uint8_t get_reading(struct sim *s, struct sim_call *c)
{
    if (c->data[0] != WATCHDOG_SENSOR)
        return IPMI_NOT_PRESENT;
    sim_put(c, 0);
    sim_put(c, 0xc0); /* events and scanning are on */
    sim_put16(c, s->dog.event | 0x8000u);
    return IPMI_OK;
}

static uint8_t get_type(struct sim *s, struct sim_call *c)
{
    (void)s;
    if (c->data[0] != WATCHDOG_SENSOR)
        return IPMI_NOT_PRESENT;
    sim_put(c, 0x23);
    sim_put(c, 0x6f);
    return IPMI_OK;
}

static uint8_t get_event_enable(struct sim *s, struct sim_call *c)
{
    (void)s;
    if (c->data[0] != WATCHDOG_SENSOR)
        return IPMI_NOT_PRESENT;
    sim_put(c, 0xc0);
    sim_put16(c, 0x010f);
    sim_put16(c, 0);
    return IPMI_OK;
}

/* A guest's own events go into the log. */
static uint8_t platform_event(struct sim *s, struct sim_call *c)
{
    sim_log(s, c->data[2], c->data[3], c->data[4], c->data[5], c->len > 6 ? c->data[6] : 0xff);
    return IPMI_OK;
}

static const struct sim_command commands[] = {
    {APP, 0x01, 0, get_device_id}, {APP, 0x02, 0, cold_reset}, {APP, 0x03, 0, nothing_to_do},
    {APP, 0x04, 0, self_test}, {APP, 0x06, 2, set_power_state}, {APP, 0x07, 0, get_power_state},
    {APP, 0x08, 0, get_guid}, {APP, 0x37, 0, get_guid}, {APP, 0x2e, 1, set_enables}, {APP, 0x2f, 0, get_enables},
    {APP, 0x30, 1, clear_flags}, {APP, 0x31, 0, get_flags}, {APP, 0x33, 0, no_message}, {APP, 0x34, 1, no_bridge},
    {APP, 0x35, 0, no_message}, {APP, 0x42, 1, get_channel_info},
    {CHASSIS, 0x00, 0, chassis_capabilities}, {CHASSIS, 0x01, 0, chassis_status}, {CHASSIS, 0x02, 1, chassis_control},
    {CHASSIS, 0x07, 0, get_restart_cause}, {CHASSIS, 0x08, 1, set_boot_options}, {CHASSIS, 0x09, 3, get_boot_options},
    {SENSOR, 0x02, 6, platform_event}, {SENSOR, 0x29, 1, get_event_enable}, {SENSOR, 0x2d, 1, get_reading},
    {SENSOR, 0x2f, 1, get_type}, {0, 0, 0, NULL}};

/* ---- requests ---- */

static const struct sim_command *find(unsigned netfn, unsigned command)
{
    static const struct sim_command *const tables[] = {commands, sim_storage_commands, sim_watchdog_commands};

    for (size_t t = 0; t < BP_COUNT(tables); t++) {
        for (const struct sim_command *c = tables[t]; c->run; c++) {
            if (c->netfn == netfn && c->command == command)
                return c;
        }
    }
    return NULL;
}

static void request(struct bp_device *dev, const uint8_t *msg, unsigned len)
{
    uint8_t answer[IPMI_MOST] = {(uint8_t)(msg[0] | 4), msg[1], IPMI_INVALID_COMMAND};
    struct sim_call call = {.data = msg + 2, .len = len - 2, .answer = answer + 3};
    const struct sim_command *c = find(msg[0] >> 2, msg[1]);

    if ((msg[0] & 3) == 0 && c) {
        answer[2] = call.len < c->least ? IPMI_BAD_LENGTH : c->run(bp_device_state(dev), &call);
        if (answer[2] != IPMI_OK)
            call.answer_len = 0;
    }
    ipmi_answer(ipmi_bmc_of(dev), answer, 3 + call.answer_len);
}

static const struct ipmi_bmc_ops ops = {.request = request};

/* ---- life ---- */

/* "8-4-4-4-12" hexadecimal digits. */
static int read_guid(struct sim *s, struct bp_error *err)
{
    unsigned n = 0;

    for (const char *p = s->guid; *p; p++) {
        static const char digits[] = "0123456789abcdef";
        const char *digit = strchr(digits, *p >= 'A' && *p <= 'F' ? *p | 32 : *p);

        if (*p == '-' && (p - s->guid == 8 || p - s->guid == 13 || p - s->guid == 18 || p - s->guid == 23))
            continue;
        if (!digit || n == 32)
            return bp_fail(err, EINVAL, "guid: '%.60s' is no UUID; accepted are 8-4-4-4-12 hexadecimal digits",
                           s->guid);
        s->guid_bytes[n / 2] = (uint8_t)(s->guid_bytes[n / 2] << 4 | (unsigned)(digit - digits));
        n++;
    }
    if (n != 32)
        return bp_fail(err, EINVAL, "guid: '%.60s' is no UUID; accepted are 8-4-4-4-12 hexadecimal digits", s->guid);
    s->has_guid = true;
    return 0;
}

static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct sim *s = bp_device_state(dev);
    int r = s->guid ? read_guid(s, err) : 0;

    s->dev = dev;
    ipmi_bmc_of(dev)->ops = &ops;
    if (r == 0)
        r = sim_storage_open(s, err);
    if (r == 0)
        sim_watchdog_open(s);
    return r;
}

static void detach(struct bp_device *dev)
{
    sim_storage_close(bp_device_state(dev));
}

/* It has power of its own: a reset of the machine stops its watchdog, and the guest's wishes are forgotten. */
static void reset(struct bp_device *dev)
{
    struct sim *s = bp_device_state(dev);

    s->enables = 0;
    s->flags = 0;
    sim_watchdog_reset(s);
    sim_update_attention(s);
}

static const struct bp_state_field fields[] = {
    BP_SAVE(UINT8, struct sim, enables), BP_SAVE(UINT8, struct sim, flags), BP_SAVE_BUFFER(struct sim, power_states),
    BP_SAVE(UINT8, struct sim, restart_cause), BP_SAVE_BUFFER(struct sim, boot_options),
    BP_SAVE_RANGE(UINT8, struct sim, dog.use, 0, 5), BP_SAVE(UINT8, struct sim, dog.actions),
    BP_SAVE(UINT8, struct sim, dog.pre_timeout), BP_SAVE(UINT8, struct sim, dog.expired),
    BP_SAVE(UINT16, struct sim, dog.count), BP_SAVE(BOOL, struct sim, dog.initialised),
    BP_SAVE(BOOL, struct sim, dog.running), BP_SAVE(BOOL, struct sim, dog.dont_log),
    BP_SAVE(BOOL, struct sim, dog.pre_done), BP_SAVE(UINT64, struct sim, dog.end), BP_SAVE(UINT16, struct sim,
            dog.event),
    BP_SAVE(TIMER, struct sim, timer), BP_SAVE(UINT16, struct sim, sdr_reservation),
    BP_SAVE(UINT16, struct sim, sel_reservation), BP_SAVE_BUFFER(struct sim, sel), BP_SAVE(UINT16, struct sim,
            sel_count),
    BP_SAVE(UINT16, struct sim, sel_next), BP_SAVE(BOOL, struct sim, sel_overflow),
    BP_SAVE(UINT64, struct sim, sel_offset), BP_SAVE(UINT32, struct sim, sel_added),
    BP_SAVE(UINT32, struct sim, sel_erased),
    {.name = "fru", .kind = BP_STATE_MEMORY, .offset = offsetof(struct sim, fru), .count = 1, .stride = 1,
     .number = offsetof(struct sim, fru_size), .since = 2},
    BP_SAVE_END};

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    const struct sim *s = state;

    (void)version;
    if (s->sel_count > SIM_SEL_MOST)
        return bp_fail(err, EINVAL, "ipmi-bmc-sim: %u events, at most %u", s->sel_count, SIM_SEL_MOST);
    return 0;
}
static const struct bp_state_table table = {.version = 2, .oldest = 1, .fields = fields, .after_load = after_load};

static const struct bp_field props[] = {
    BP_PROP("sdrfile", STRING, struct sim, sdrfile, NULL, "file with raw sensor data records; none: one of the "
            "watchdog"),
    BP_PROP_RANGE("fruareasize", UINT32, struct sim, fru_size, "1024", 8, SIM_FRU_MOST, "bytes of the inventory area"),
    BP_PROP("frudatafile", STRING, struct sim, frudatafile, NULL, "file with what the inventory area has at the start"),
    BP_PROP("guid", STRING, struct sim, guid, NULL, "its GUID; none: the command fails"), BP_FIELDS_END};

BP_NOTE("provides=device:ipmi-bmc-sim;bus=system;user=yes;summary=Simulated IPMI management controller");
const struct bp_device_class ipmi_bmc_sim = {
    .type = {.size = sizeof(struct bp_device_class), .name = "ipmi-bmc-sim", .parent = "ipmi-bmc",
             .summary = "Simulated IPMI management controller", .state_size = sizeof(struct sim), .props = props,
             .state = &table},
    .bus = "system", .category = "misc", .attach = attach, .detach = detach, .reset = reset};
