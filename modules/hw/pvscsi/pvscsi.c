// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * VMware's paravirtual SCSI adapter, as its drivers know it: rings of requests and completions, messages of units that
 * come and go, MSI and MSI-X. Left out: CDBs beside the request, a threshold below which the driver need not call,
 * commands given by registers, pages of the configuration but the controller's.
 */
#include <errno.h>

#include <bp/log.h>

#include "pvscsi.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(scsi, struct bp_scsi_interface, "scsi", 1);

enum { /* registers */
    COMMAND = 0x0,
    COMMAND_DATA = 0x4,
    COMMAND_STATUS = 0x8,
    INTR_STATUS = 0x100c,
    INTR_MASK = 0x2010,
    KICK_NON_RW = 0x3014,
    KICK_RW = 0x4018,
    MSIX_TABLE = 0x6000,
    MSIX_PBA = 0x7000,
    BAR_SIZE = 0x8000,
};
enum { ADAPTER_RESET = 1, SETUP_RINGS = 3, RESET_BUS, RESET_DEVICE, ABORT, CONFIG, SETUP_MESSAGES };
enum { MSG_ADDED, MSG_REMOVED };
#define VECTORS 24u
#define COMMANDS 1024u /* at a time: as many as the largest ring has */
#define NOT_SUPPORTED UINT32_MAX
#define CONFIG_CONTROLLER 0x1958u
#define CONFIG_SIZE 480u

/* ---- interrupts ---- */
static void update(struct pvscsi *s)
{
    hba_interrupt(&s->hba, false, (s->intr_status & s->intr_mask) != 0);
}

void pvscsi_raise(struct pvscsi *s, uint32_t bits)
{
    s->intr_status |= bits;
    hba_interrupt(&s->hba, bits & s->intr_mask, (s->intr_status & s->intr_mask) != 0);
}

/* ---- commands ---- */
static void adapter_reset(struct pvscsi *s)
{
    hba_forget(&s->hba, NULL, NULL);
    if (s->hba.bus)
        scsi->reset_bus(s->hba.bus);
    s->intr_status = s->intr_mask = s->command_status = 0;
    s->command = s->data_count = 0;
    s->state_page = 0;
    memset(&s->requests, 0, sizeof(s->requests));
    memset(&s->completions, 0, sizeof(s->completions));
    memset(&s->messages, 0, sizeof(s->messages));
    update(s);
}

static uint32_t reset_device(struct pvscsi *s)
{
    uint8_t lun[8];
    struct bp_scsi_unit *unit;

    memcpy(lun, s->data + 1, sizeof(lun));
    unit = scsi->unit(s->hba.bus, 0, s->data[0], hba_lun(lun));
    if (unit)
        scsi->reset_unit(unit);
    return unit ? 0 : NOT_SUPPORTED;
}

static uint32_t abort_one(struct pvscsi *s)
{
    struct hba_command *c = hba_find(&s->hba, s->data[0] | (uint64_t)s->data[1] << 32);

    if (c) {
        c->waiting = c; /* it was aborted; others are cancelled by resets */
        scsi->cancel(c->request.unit, &c->request);
    }
    return 0;
}

static uint32_t give_config(struct pvscsi *s)
{
    uint8_t page[CONFIG_SIZE] = {0};

    hba_put32(page, s->data[4]);
    if (s->data[4] == CONFIG_CONTROLLER) {
        hba_put16(page + 4, CONFIG_SIZE / 4);
        hba_put32(page + 472, PVSCSI_TARGETS);
    } else {
        hba_put16(page + 6, 0x1a); /* an invalid parameter */
        hba_put16(page + 8, BP_SCSI_CHECK_CONDITION);
    }
    return hba_write(&s->hba, s->data[0] | (uint64_t)s->data[1] << 32, page,
                     s->data[4] == CONFIG_CONTROLLER ? CONFIG_SIZE : 16) < 0 ? NOT_SUPPORTED : 0;
}

/* Words that follow the command; -1: there is no such command. */
static int words_of(const struct pvscsi *s, uint32_t command)
{
    switch (command) {
    case ADAPTER_RESET:
    case RESET_BUS: return 0;
    case SETUP_RINGS: return 4 + 4 * (int)PVSCSI_RING_PAGES;
    case RESET_DEVICE: return 3;
    case ABORT: return 4;
    case CONFIG: return 6;
    case SETUP_MESSAGES: return s->use_msg ? 2 + 2 * (int)PVSCSI_MSG_PAGES : -1;
    default: return -1;
    }
}

static uint32_t carry_out(struct pvscsi *s)
{
    switch (s->command) {
    case ADAPTER_RESET:
        adapter_reset(s);
        return 0;
    case RESET_BUS:
        pvscsi_take_requests(s);
        scsi->reset_bus(s->hba.bus);
        return 0;
    case RESET_DEVICE:
        pvscsi_take_requests(s);
        return reset_device(s);
    case ABORT:
        pvscsi_take_requests(s);
        return abort_one(s);
    case CONFIG: return give_config(s);
    case SETUP_RINGS: return pvscsi_setup_rings(s, s->data) ? 0 : NOT_SUPPORTED;
    default: return pvscsi_setup_messages(s, s->data) ? 0 : NOT_SUPPORTED;
    }
}

static void run_when_complete(struct pvscsi *s)
{
    int words = words_of(s, s->command);

    if (words < 0 || s->data_count < (uint32_t)words)
        return;
    s->command_status = carry_out(s);
    s->command = s->data_count = 0;
}

static void write_command(struct pvscsi *s, uint32_t command)
{
    int words = words_of(s, command);

    s->command = words < 0 ? 0 : command;
    s->data_count = 0;
    s->command_status = (uint32_t)words; /* what drivers look at to know what there is */
    if (words < 0)
        bp_guest_error("pvscsi-command", "pvscsi: command %u is not there", command);
    run_when_complete(s);
}

static void write_data(struct pvscsi *s, uint32_t word)
{
    if (words_of(s, s->command) <= 0) {
        bp_guest_error("pvscsi-data", "pvscsi: data without a command");
        return;
    }
    s->data[s->data_count++] = word;
    run_when_complete(s);
}

/* ---- registers ---- */
static uint64_t bar_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct pvscsi *s = opaque;

    (void)size;
    switch (addr) {
    case COMMAND_STATUS: return s->command_status;
    case INTR_STATUS: return s->intr_status;
    case INTR_MASK: return s->intr_mask;
    default: return 0;
    }
}

static void bar_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct pvscsi *s = opaque;

    (void)size;
    if (hba_loops(&s->hba))
        return;
    switch (addr) {
    case COMMAND:
        write_command(s, (uint32_t)value);
        break;
    case COMMAND_DATA:
        write_data(s, (uint32_t)value);
        break;
    case INTR_STATUS:
        s->intr_status &= ~(uint32_t)value;
        update(s);
        break;
    case INTR_MASK:
        s->intr_mask = (uint32_t)value & PVSCSI_INTR_ALL;
        pvscsi_raise(s, s->intr_status); /* what came meanwhile */
        break;
    case KICK_NON_RW:
    case KICK_RW:
        pvscsi_take_requests(s);
        break;
    default:
        break;
    }
}

static const struct bp_region_ops bar_ops = {.size = sizeof(bar_ops), .read = bar_read, .write = bar_write,
                                             .min_access = 4, .max_access = 4};

/* ---- units ---- */
static void unit_came(void *opaque, struct bp_scsi_unit *unit)
{
    pvscsi_message(opaque, MSG_ADDED, unit);
}

static void unit_went(void *opaque, struct bp_scsi_unit *unit)
{
    pvscsi_message(opaque, MSG_REMOVED, unit);
}

/* ---- life ---- */
static void again(void *opaque)
{
    struct pvscsi *s = opaque;

    if (s->hba.bus)
        pvscsi_take_requests(s);
}

static int attach(struct bp_device *dev, struct bp_error *err)
{
    static const struct bp_scsi_bus_info info = {.size = sizeof(info), .max_target = PVSCSI_TARGETS - 1,
                                                 .unit_came = unit_came, .unit_went = unit_went};
    struct pvscsi *s = bp_device_state(dev);

    s->hba.done = pvscsi_done;
    s->again = bp_deferred_new(bp_device_owner(dev), NULL, again, s);
    return hba_init(&s->hba, dev, pci, scsi, &info, s, COMMANDS, err);
}

static void detach(struct bp_device *dev)
{
    hba_free(&((struct pvscsi *)bp_device_state(dev))->hba);
}

static void reset(struct bp_device *dev)
{
    adapter_reset(bp_device_state(dev));
}

/* ---- state ---- */
static int before_save(void *state, struct bp_error *err)
{
    return hba_before_save(&((struct pvscsi *)state)->hba, err);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct pvscsi *s = state;
    int words = words_of(s, s->command);

    (void)version;
    hba_forget(&s->hba, NULL, NULL); /* what was under way here is of no guest any more */
    if (!pvscsi_rings_possible(s) || (s->command && (words <= 0 || s->data_count >= (uint32_t)words)))
        return bp_fail(err, EINVAL, "pvscsi: the saved rings or command are impossible");
    return 0;
}

static int loaded(void *state, struct bp_error *err)
{
    (void)err;
    pvscsi_replay(state);
    update(state);
    bp_deferred_schedule(((struct pvscsi *)state)->again);
    return 0;
}

static const struct bp_state_field ring_fields[] = {
    BP_SAVE(UINT32, struct pvscsi_ring, entries), BP_SAVE(UINT32, struct pvscsi_ring, index),
    BP_SAVE_ARRAY(UINT64, struct pvscsi_ring, pages), BP_SAVE_END};
static const struct bp_state_table ring_table = {.version = 1, .oldest = 1, .fields = ring_fields};
#define SAVE_RING(FIELD) \
    {.name = #FIELD, .kind = BP_STATE_STRUCT, .offset = offsetof(struct pvscsi, FIELD), .count = 1, \
     .stride = sizeof(struct pvscsi_ring), .table = &ring_table}
static const struct bp_state_field fields[] = {
    BP_SAVE(UINT32, struct pvscsi, intr_status), BP_SAVE(UINT32, struct pvscsi, intr_mask),
    BP_SAVE(UINT32, struct pvscsi, command_status), BP_SAVE(UINT32, struct pvscsi, command),
    BP_SAVE_RANGE(UINT32, struct pvscsi, data_count, 0, 131), BP_SAVE_ARRAY(UINT32, struct pvscsi, data),
    BP_SAVE(UINT64, struct pvscsi, state_page), SAVE_RING(requests), SAVE_RING(completions), SAVE_RING(messages),
    BP_SAVE_VECTOR(struct pvscsi, hba.saved, hba.saved_count, HBA_SAVED_MAX, &hba_saved_table), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .before_save = before_save,
                                            .after_load = after_load, .loaded = loaded,
                                            .loaded_order = BP_STATE_ORDER_REQUESTS};

static const struct bp_field props[] = {
    BP_PROP("use_msg", UINT8, struct pvscsi, use_msg, "1", "0: drivers are not told of disks that come and go"),
    BP_FIELDS_END,
};
static const struct bp_pci_info info = {
    .size = sizeof(info), .vendor = 0x15ad, .device = 0x07c0, .subsystem_vendor = 0x15ad, .subsystem = 0x07c0,
    .revision = 2, .class_code = 0x0100, .interrupt_pin = 1, .express = BP_PCI_EXPRESS_ENDPOINT, .msi = 1,
    .bar = {{.flags = BP_PCI_BAR_MEM32, .size = BAR_SIZE, .name = "pvscsi", .ops = &bar_ops}},
    .msix = {.vectors = VECTORS, .bar = 0, .table = MSIX_TABLE, .pba = MSIX_PBA}};

BP_HOTPLUG_DEVICE(pvscsi, "pvscsi", "pci", "VMware paravirtual SCSI adapter", struct pvscsi, props, &table,
                  .category = "storage", .bus_info = &info, .attach = attach, .detach = detach, .reset = reset,
                  .firmware_name = "scsi");

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(scsi, "scsi", 1), {0}};
BP_MODULE("hw-pvscsi", "VMware paravirtual SCSI adapter", imports, {BP_PROVIDE_DEVICE, &pvscsi});
