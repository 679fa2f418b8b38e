// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The SCSI bus (SAM-5): places of logical units, what is answered for units that are not there, unit attentions,
 * and requests that can be cancelled at any time. Commands themselves are the units'.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scsi.h"

struct bp_scsi_bus {
    struct bp_bus *bus;
    struct bp_device *adapter;
    struct bp_scsi_bus_info info;
    void *opaque;
    struct bp_scsi_unit *units; /* in the order of their addresses */
    unsigned in_flight;
};

struct bp_scsi_unit {
    struct bp_device *dev;
    struct bp_scsi_bus *bus; /* NULL: not there (any more) */
    const struct bp_scsi_unit_info *info;
    void *state;
    struct bp_scsi_unit *next;
    uint32_t channel, target, lun;
    struct bp_scsi_request *requests;
    uint16_t attention; /* ASC << 8 | ASCQ, 0: none */
};

struct place { /* kept by the bus with each child */
    uint32_t channel, target, lun;
};

struct bus_state {
    struct bp_scsi_bus *scsi;
};

static const struct bp_level_class unit_level;
static const struct bp_bus_class scsi_bus_class;

static struct bp_scsi_unit *of(struct bp_device *dev)
{
    return bp_object_level(bp_device_object(dev), &unit_level);
}

/* ---- ends ---- */
static void end(struct bp_scsi_request *r)
{
    struct bp_scsi_unit *unit = r->unit;

    *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
    unit->bus->in_flight--;
    r->done(r);
}

static void complete(struct bp_scsi_request *r, uint8_t status)
{
    r->status = status;
    r->sense_length = 0;
    end(r);
}

static void fail(struct bp_scsi_request *r, uint8_t key, uint16_t sense)
{
    memset(r->sense, 0, SENSE_SIZE);
    r->sense[0] = 0x70; /* current, fixed format: SPC-4 4.5.3 */
    r->sense[2] = key;
    r->sense[7] = SENSE_SIZE - 8;
    r->sense[12] = (uint8_t)(sense >> 8);
    r->sense[13] = (uint8_t)sense;
    r->sense_length = SENSE_SIZE;
    r->status = BP_SCSI_CHECK_CONDITION;
    end(r);
}

static void check_condition(struct bp_scsi_request *r, const void *sense, uint32_t length)
{
    r->sense_length = (uint16_t)(length < BP_SCSI_SENSE_MAX ? length : BP_SCSI_SENSE_MAX);
    memcpy(r->sense, sense, r->sense_length);
    r->status = BP_SCSI_CHECK_CONDITION;
    end(r);
}

static void answer(struct bp_scsi_request *r, const void *data, uint64_t length, uint64_t allocated)
{
    if (length > allocated)
        length = allocated;
    r->moved = scsi_copy(r->in, r->in_count, (void *)(uintptr_t)data, length, true);
    complete(r, BP_SCSI_GOOD);
}

/* ---- what the bus answers itself ---- */
static void report_luns(struct bp_scsi_unit *unit, struct bp_scsi_request *r)
{
    uint32_t allocated = scsi_get32(r->cdb + 6);
    uint8_t list[8 + 8 * REPORTED] = {0};
    unsigned n = 0;

    if (r->cdb[2] > 2) {
        fail(r, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD);
        return;
    }
    for (const struct bp_scsi_unit *u = unit->bus->units; u && n < REPORTED; u = u->next) {
        if (u->channel != unit->channel || u->target != unit->target)
            continue;
        list[8 + 8 * n] = u->lun < 256 ? 0 : (uint8_t)(0x40 | u->lun >> 8); /* SAM-5 4.7.7 */
        list[8 + 8 * n + 1] = (uint8_t)u->lun;
        n++;
    }
    scsi_put32(list, 8 * n);
    answer(r, list, 8 + 8ull * n, allocated);
}

static void answer_for_nobody(struct bp_scsi_request *r)
{
    static const uint8_t inquiry[36] = {0x7f, 0, 5, 2, 31};

    if (r->cdb[0] == SCSI_INQUIRY && !(r->cdb[1] & 1))
        answer(r, inquiry, sizeof(inquiry), (uint64_t)r->cdb[3] << 8 | r->cdb[4]);
    else
        fail(r, SCSI_ILLEGAL_REQUEST, SCSI_LUN_NOT_SUPPORTED);
}

static bool tells_attention(uint8_t command)
{
    return command != SCSI_INQUIRY && command != SCSI_REPORT_LUNS && command != SCSI_REQUEST_SENSE;
}

static void request_sense(struct bp_scsi_unit *unit, struct bp_scsi_request *r)
{
    uint8_t sense[SENSE_SIZE] = {0x70, [7] = SENSE_SIZE - 8};

    if (unit->attention) {
        sense[2] = SCSI_UNIT_ATTENTION;
        sense[12] = (uint8_t)(unit->attention >> 8);
        sense[13] = (uint8_t)unit->attention;
        unit->attention = 0;
    }
    answer(r, sense, sizeof(sense), r->cdb[4]);
}

static void submit(struct bp_scsi_unit *unit, unsigned lun, struct bp_scsi_request *r)
{
    uint16_t attention = unit->attention;

    r->unit = unit;
    r->unit_data = NULL;
    r->moved = 0;
    r->cancelled = 0;
    r->next = unit->requests;
    r->link = &unit->requests;
    if (r->next)
        r->next->link = &r->next;
    unit->requests = r;
    unit->bus->in_flight++;
    if (r->cdb[0] == SCSI_REPORT_LUNS) {
        report_luns(unit, r);
    } else if (lun != unit->lun) {
        answer_for_nobody(r);
    } else if (attention && tells_attention(r->cdb[0])) {
        unit->attention = 0;
        fail(r, SCSI_UNIT_ATTENTION, attention);
    } else if (r->cdb[0] == SCSI_REQUEST_SENSE && (attention || !(unit->info->flags & BP_SCSI_OWN_SENSE))) {
        request_sense(unit, r);
    } else {
        unit->info->submit(unit->state, r);
    }
}

static void cancel(struct bp_scsi_unit *unit, struct bp_scsi_request *r)
{
    if (r->cancelled)
        return;
    r->cancelled = 1;
    unit->info->cancel(unit->state, r);
}

static void cancel_all(struct bp_scsi_unit *unit)
{
    struct bp_scsi_request *next;

    for (struct bp_scsi_request *r = unit->requests; r; r = next) {
        next = r->next;
        cancel(unit, r);
    }
}

static void reset_unit(struct bp_scsi_unit *unit)
{
    cancel_all(unit);
    if (unit->info->reset)
        unit->info->reset(unit->state);
    unit->attention = SCSI_RESET_OCCURRED;
}

static void reset_bus(struct bp_scsi_bus *bus)
{
    for (struct bp_scsi_unit *u = bus->units; u; u = u->next)
        reset_unit(u);
}

static void each_request(struct bp_scsi_unit *unit, void (*fn)(void *opaque, struct bp_scsi_request *request),
                         void *opaque)
{
    struct bp_scsi_request *next;

    for (struct bp_scsi_request *r = unit->requests; r; r = next) {
        next = r->next;
        fn(opaque, r);
    }
}

/* ---- places ---- */
static struct bp_scsi_unit *unit_at(struct bp_scsi_bus *bus, unsigned channel, unsigned target, unsigned lun)
{
    struct bp_scsi_unit *u = bus->units;

    while (u && (u->channel != channel || u->target != target || u->lun != lun))
        u = u->next;
    return u;
}

static struct bp_scsi_unit *first_of(struct bp_scsi_bus *bus, unsigned channel, unsigned target)
{
    struct bp_scsi_unit *u = bus->units;

    while (u && (u->channel != channel || u->target != target))
        u = u->next;
    return u;
}

static void address(struct bp_scsi_unit *unit, unsigned *ret_channel, unsigned *ret_target, unsigned *ret_lun)
{
    *ret_channel = unit->channel;
    *ret_target = unit->target;
    *ret_lun = unit->lun;
}

static bool is_initiator(const struct bp_scsi_bus *bus, unsigned target)
{
    return target < 64 && (bus->info.initiators >> target & 1);
}

static int choose(struct bp_scsi_bus *bus, struct bp_device *dev, struct place *p, struct bp_error *err)
{
    const char *type = bp_device_class(dev)->type.name;
    unsigned target = 0;

    if (p->channel > bus->info.max_channel)
        return bp_fail(err, EINVAL, "%s: channel=%u: this bus has channels up to %u", type, p->channel,
                       bus->info.max_channel);
    if (p->lun != UINT32_MAX && p->lun > bus->info.max_lun)
        return bp_fail(err, EINVAL, "%s: lun=%u: this bus has units up to %u", type, p->lun, bus->info.max_lun);
    if (p->target == UINT32_MAX) {
        if (p->lun == UINT32_MAX)
            p->lun = 0;
        while (target <= bus->info.max_target &&
               (is_initiator(bus, target) || unit_at(bus, p->channel, target, p->lun)))
            target++;
        p->target = target;
        if (target > bus->info.max_target)
            return bp_fail(err, EBUSY, "%s: no free target on the SCSI bus", type);
    }
    if (p->target > bus->info.max_target)
        return bp_fail(err, EINVAL, "%s: scsi-id=%u: this bus has targets up to %u", type, p->target,
                       bus->info.max_target);
    if (is_initiator(bus, p->target))
        return bp_fail(err, EINVAL, "%s: scsi-id=%u is the host adapter's own on this bus", type, p->target);
    for (unsigned lun = 0; p->lun == UINT32_MAX; lun++) {
        if (lun > bus->info.max_lun)
            return bp_fail(err, EBUSY, "%s: no free unit at scsi-id=%u", type, p->target);
        if (!unit_at(bus, p->channel, p->target, lun))
            p->lun = lun;
    }
    if (unit_at(bus, p->channel, p->target, p->lun))
        return bp_fail(err, EBUSY, "%s: channel=%u,scsi-id=%u,lun=%u is in use", type, p->channel, p->target, p->lun);
    return 0;
}

static bool goes_before(const struct bp_scsi_unit *a, const struct bp_scsi_unit *b)
{
    if (a->channel != b->channel)
        return a->channel < b->channel;
    return a->target != b->target ? a->target < b->target : a->lun < b->lun;
}

static struct bp_scsi_bus *scsi_bus_of(struct bp_bus *bus)
{
    return ((struct bus_state *)bp_bus_level(bus, &scsi_bus_class))->scsi;
}

static int child_attach(struct bp_bus *b, struct bp_device *dev, struct bp_error *err)
{
    struct place *p = bp_device_bus_level(dev, &scsi_bus_class);
    struct bp_scsi_unit *unit = of(dev);
    int ret;

    if (!unit)
        return bp_fail(err, EINVAL, "device type '%s' is no SCSI unit", bp_device_class(dev)->type.name);
    ret = choose(scsi_bus_of(b), dev, p, err);
    if (ret < 0)
        return ret;
    unit->channel = p->channel;
    unit->target = p->target;
    unit->lun = p->lun;
    unit->bus = scsi_bus_of(b);
    return 0;
}

static void child_attached(struct bp_bus *b, struct bp_device *dev)
{
    struct bp_scsi_bus *bus = scsi_bus_of(b);
    struct bp_scsi_unit *unit = of(dev), **link = &bus->units;

    bp_device_lock(bus->adapter);
    while (*link && goes_before(*link, unit))
        link = &(*link)->next;
    unit->next = *link;
    *link = unit;
    unit->attention = SCSI_RESET_OCCURRED; /* of power-on */
    bp_device_unlock(bus->adapter);
    if (bus->info.unit_came)
        bus->info.unit_came(bus->opaque, unit);
}

/* Called by the unit's own detach, before it lets go of its disk: nothing of it is in flight afterwards. */
static void leaves(struct bp_scsi_unit *unit)
{
    struct bp_scsi_bus *bus = unit->bus;
    struct bp_scsi_unit **link = &bus->units;

    bp_device_lock(bus->adapter);
    while (*link && *link != unit)
        link = &(*link)->next;
    if (*link)
        *link = unit->next;
    bp_device_unlock(bus->adapter);
    if (bus->info.unit_went)
        bus->info.unit_went(bus->opaque, unit);
}

static void end_all(struct bp_scsi_unit *unit)
{
    bp_device_lock(unit->bus->adapter);
    while (unit->requests) {
        unit->requests->cancelled = 1;
        complete(unit->requests, BP_SCSI_TASK_ABORTED);
    }
    bp_device_unlock(unit->bus->adapter);
}

static void child_address(struct bp_device *dev, char *buf, size_t size)
{
    const struct place *p = bp_device_bus_level(dev, &scsi_bus_class);

    snprintf(buf, size, "%u:%u:%u", p->channel, p->target, p->lun);
}

static void child_firmware_path(struct bp_device *dev, char *buf, size_t size)
{
    const struct place *p = bp_device_bus_level(dev, &scsi_bus_class);
    const char *name = bp_device_class(dev)->firmware_name;

    snprintf(buf, size, "channel@%x/%s@%x,%x", p->channel, name ? name : "disk", p->target, p->lun);
}

static const struct bp_field child_props[] = {
    BP_PROP("channel", UINT32, struct place, channel, "0", "channel of the bus"),
    BP_PROP("scsi-id", UINT32, struct place, target, "4294967295", "target; the first that is free when not given"),
    BP_PROP("lun", UINT32, struct place, lun, "4294967295", "logical unit; the first that is free when not given"),
    BP_FIELDS_END,
};

BP_NOTE("provides=bus:scsi;summary=SCSI bus");
static const struct bp_bus_class scsi_bus_class = {
    .type = {.size = sizeof(struct bp_bus_class), .name = "scsi", .summary = "SCSI bus",
             .state_size = sizeof(struct bus_state)},
    .child_size = sizeof(struct place), .child_props = child_props, .child_attach = child_attach,
    .child_attached = child_attached, .child_address = child_address, .child_firmware_path = child_firmware_path};

static int new_bus(struct bp_device *adapter, const struct bp_scsi_bus_info *info, void *opaque,
                   struct bp_scsi_bus **ret_bus, struct bp_error *err)
{
    static const struct bp_hotplug_ops hotplug = {.size = sizeof(hotplug)};
    struct bp_bus *bus;
    int ret = bp_bus_new(adapter, "scsi", NULL, &bus, err);
    struct bp_scsi_bus *s;

    if (ret < 0)
        return ret;
    s = bp_bus_level(bus, &scsi_bus_class) ? calloc(1, sizeof(*s)) : NULL;
    if (!s)
        return bp_fail(err, ENOMEM, "SCSI: no memory for a bus");
    s->bus = bus;
    s->adapter = adapter;
    s->opaque = opaque;
    memcpy(&s->info, info, info->size < sizeof(s->info) ? info->size : sizeof(s->info));
    ((struct bus_state *)bp_bus_level(bus, &scsi_bus_class))->scsi = s;
    bp_bus_set_hotplug(bus, bp_device_owner(adapter), &hotplug, s);
    *ret_bus = s;
    return 0;
}

static void free_bus(struct bp_scsi_bus *bus)
{
    free(bus);
}

static void set_context(struct bp_scsi_bus *bus, struct bp_context *ctx)
{
    for (struct bp_scsi_unit *u = bus->units; u; u = u->next) {
        if (u->info->moved)
            u->info->moved(u->state, ctx);
    }
}

static unsigned in_flight(struct bp_scsi_bus *bus)
{
    return bus->in_flight;
}

/* ---- units ---- */
static int unit_attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    struct bp_scsi_unit *unit = state;

    unit->dev = bp_device_from_object(obj);
    unit->info = bp_object_level_info(obj, &unit_level);
    unit->state = bp_object_state(obj);
    if (!unit->info || !unit->info->submit || !unit->info->cancel)
        return bp_fail(err, EINVAL, "device type '%s' does not say how it carries out commands", bp_object_type(obj));
    return 0;
}

static void unit_reset(struct bp_device *dev, void *state, enum bp_reset_scope scope)
{
    struct bp_scsi_unit *unit = state;

    (void)dev, (void)scope;
    if (!unit->bus || !unit->info)
        return;
    bp_device_lock(unit->bus->adapter);
    reset_unit(unit);
    bp_device_unlock(unit->bus->adapter);
}

static const struct bp_state_field unit_fields[] = {BP_SAVE(UINT16, struct bp_scsi_unit, attention), BP_SAVE_END};
static const struct bp_state_table unit_table = {.version = 1, .oldest = 1, .fields = unit_fields};

BP_NOTE("provides=abstract:scsi-unit;summary=Logical unit on a SCSI bus");
static const struct bp_level_class unit_level = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = "scsi-unit",
             .parent = "device",
             .summary = "Logical unit on a SCSI bus", .state_size = sizeof(struct bp_scsi_unit),
             .state = &unit_table},
    .attach = unit_attach, .reset = unit_reset};

static struct bp_device *adapter_of(struct bp_scsi_unit *unit)
{
    return unit->bus->adapter;
}

static void attention(struct bp_scsi_unit *unit, uint16_t sense)
{
    unit->attention = sense;
}

static void changed(struct bp_scsi_unit *unit, uint16_t sense)
{
    if (unit->bus && unit->bus->info.unit_changed)
        unit->bus->info.unit_changed(unit->bus->opaque, unit, sense);
}

static uint64_t moves(struct bp_scsi_unit *unit, const uint8_t *cdb, bool *ret_out)
{
    return scsi_moves(cdb, unit->info->block_size ? unit->info->block_size(unit->state) : 512, ret_out);
}

static const struct bp_scsi_interface scsi_table = {
    .size = sizeof(struct bp_scsi_interface),
    .new_bus = new_bus,
    .free_bus = free_bus,
    .unit = unit_at,
    .target = first_of,
    .address = address,
    .submit = submit,
    .cancel = cancel,
    .reset_unit = reset_unit,
    .reset_bus = reset_bus,
    .set_context = set_context,
    .in_flight = in_flight,
    .each_request = each_request,
    .of = of,
    .adapter = adapter_of,
    .complete = complete,
    .fail = fail,
    .attention = attention,
    .changed = changed,
    .leaves = leaves,
    .end_all = end_all,
    .moves = moves,
    .check_condition = check_condition,
};
BP_INTERFACE(scsi_interface, "scsi", 1, 2, &scsi_table);

BP_MODULE("scsi", "SCSI bus", BP_NO_IMPORTS, {BP_PROVIDE_INTERFACE, &scsi_interface},
          {BP_PROVIDE_BUS, &scsi_bus_class}, {BP_PROVIDE_ABSTRACT, &unit_level});
