// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * LSI MegaRAID SAS adapters, as drivers of their firmware interface (MFI) know them: the SAS 1078, and a second
 * generation. Each disk is a logical drive of its own, or with use_jbod=on a physical one. Left out: making and
 * changing arrays, SMP and STP, configuration, flashing, batteries, the interface of the third generation.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <bp/log.h>
#include <bp/value.h>

#include "megasas.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(scsi, struct bp_scsi_interface, "scsi", 1);

enum { /* registers */
    INBOUND_DOORBELL = 0x20,
    OUTBOUND_INTR_STATUS = 0x30,
    OUTBOUND_INTR_MASK = 0x34,
    INBOUND_QUEUE = 0x40,
    DOORBELL_CLEAR = 0xa0,
    SCRATCH_PAD = 0xb0,
    INBOUND_LOW = 0xc0,
    INBOUND_HIGH = 0xc4,
    HOST_DIAG = 0xf8,
    WRITE_SEQUENCE = 0xfc,
    BAR_SIZE = 0x4000,
    IO_SIZE = 0x100,
    QUEUE_SIZE = 0x40000,
    MSIX_TABLE = 0x2000,
    MSIX_PBA = 0x3800,
};
enum { INIT_ABORT = 1, INIT_READY = 2, STOP_ADAPTER = 0x20 };
#define VECTORS 15u
#define FW_MSIX 0x04000000u /* lists of IEEE's form go with it */
#define REPLY_1078 0x80000000u
#define REPLY_GEN2 1u
#define DIAG_ENABLE 0x80u
#define DIAG_RESET 4u
enum { EVENT_PD_INSERTED = 0x5b, EVENT_PD_REMOVED = 0x70, EVENT_LD_CREATED = 0x8a, EVENT_LD_DELETED = 0x8b };

static const struct bp_device_class megasas_class, gen2_class;

static bool is_gen2(const struct megasas *s)
{
    return bp_device_class(s->hba.dev) == &gen2_class;
}

/* ---- interrupts ---- */
static bool level(const struct megasas *s)
{
    return (s->intr_status & ~s->intr_mask) != 0;
}

static void update(struct megasas *s)
{
    hba_interrupt(&s->hba, false, level(s));
}

void megasas_reply_interrupt(struct megasas *s)
{
    s->intr_status |= is_gen2(s) ? REPLY_GEN2 : REPLY_1078;
    hba_interrupt(&s->hba, level(s), level(s));
}

/* ---- states of the firmware ---- */
static void to_ready(struct megasas *s)
{
    hba_forget(&s->hba, NULL, NULL);
    s->waits = false;
    s->reply_entries = s->reply_index = 0;
    s->reply_queue = s->producer = 0;
    s->reply_wide = false;
    s->intr_status = 0;
    s->state = (uint32_t)MFI_STATE_READY;
    update(s);
}

static void adapter_reset(struct megasas *s)
{
    s->intr_mask = UINT32_MAX;
    s->high_port = s->diag = s->diag_keys = 0;
    to_ready(s);
    if (s->hba.bus)
        scsi->reset_bus(s->hba.bus);
}

static void ring(struct megasas *s, uint32_t value)
{
    if (value & STOP_ADAPTER) {
        to_ready(s);
        s->state = (uint32_t)MFI_STATE_FAULT;
    } else if (value & (INIT_ABORT | INIT_READY)) {
        to_ready(s);
    }
}

/* The keys that open the diagnostic register: 0, 4, b, 2, 7, d. */
static void write_key(struct megasas *s, uint32_t key)
{
    static const uint8_t keys[] = {0x0, 0x4, 0xb, 0x2, 0x7, 0xd};

    key &= 15;
    s->diag_keys = key == keys[s->diag_keys] ? s->diag_keys + 1 : key == keys[0];
    if (s->diag_keys == BP_COUNT(keys)) {
        s->diag |= DIAG_ENABLE;
        s->diag_keys = 0;
    }
}

static void write_diag(struct megasas *s, uint32_t value)
{
    if (!(s->diag & DIAG_ENABLE))
        return;
    if (value & DIAG_RESET)
        adapter_reset(s);
    else if (!(value & DIAG_ENABLE))
        s->diag = 0;
}

/* ---- registers ---- */
static uint32_t firmware(const struct megasas *s)
{
    return s->state | s->max_sge << 16 | s->max_cmds | (s->msix == 2 ? 0 : FW_MSIX);
}

static uint64_t bar_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct megasas *s = opaque;

    (void)size;
    switch (addr) {
    case OUTBOUND_INTR_STATUS: return s->intr_status;
    case OUTBOUND_INTR_MASK: return s->intr_mask;
    case SCRATCH_PAD: return firmware(s);
    case HOST_DIAG: return s->diag;
    default: return 0;
    }
}

static void post(struct megasas *s, uint64_t high, uint32_t low)
{
    /* The lower bits say how long the frame is, which its lists say too. */
    megasas_take(s, high << 32 | (low & ~0x1fu));
}

static void bar_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct megasas *s = opaque;
    uint32_t v = (uint32_t)value;

    (void)size;
    if (hba_loops(&s->hba))
        return;
    switch (addr) {
    case INBOUND_DOORBELL:
        ring(s, v);
        break;
    case OUTBOUND_INTR_MASK:
        s->intr_mask = v;
        hba_interrupt(&s->hba, level(s), level(s)); /* what came meanwhile */
        break;
    case OUTBOUND_INTR_STATUS:
    case DOORBELL_CLEAR:
        s->intr_status &= ~v;
        update(s);
        break;
    case INBOUND_QUEUE:
        post(s, 0, v);
        break;
    case INBOUND_HIGH:
        s->high_port = v;
        break;
    case INBOUND_LOW:
        post(s, s->high_port, v);
        break;
    case WRITE_SEQUENCE:
        write_key(s, v);
        break;
    case HOST_DIAG:
        write_diag(s, v);
        break;
    default:
        break;
    }
}

static const struct bp_region_ops bar_ops = {.size = sizeof(bar_ops), .read = bar_read, .write = bar_write,
                                             .min_access = 4, .max_access = 4};

/* ---- units ---- */
static void tell(struct megasas *s, struct bp_scsi_unit *unit, uint32_t ld, uint32_t pd)
{
    unsigned channel, target, lun;

    scsi->address(unit, &channel, &target, &lun);
    megasas_event(s, s->jbod ? pd : ld, target);
}

static void unit_came(void *opaque, struct bp_scsi_unit *unit)
{
    tell(opaque, unit, EVENT_LD_CREATED, EVENT_PD_INSERTED);
}

static void unit_went(void *opaque, struct bp_scsi_unit *unit)
{
    tell(opaque, unit, EVENT_LD_DELETED, EVENT_PD_REMOVED);
}

/* ---- life ---- */
static int check(struct megasas *s, const char *type, struct bp_error *err)
{
    char text[17];

    if (s->max_cmds < 8 || s->max_cmds > MEGASAS_MAX_COMMANDS - 1)
        return bp_fail(err, EINVAL, "%s: max_cmds=%u: 8 to %u are possible", type, s->max_cmds,
                       MEGASAS_MAX_COMMANDS - 1);
    if (s->max_sge < 1 || s->max_sge > 128)
        return bp_fail(err, EINVAL, "%s: max_sge=%u: 1 to 128 are possible", type, s->max_sge);
    if (s->serial && strlen(s->serial) > 31)
        return bp_fail(err, EINVAL, "%s: hba_serial= is longer than 31 characters", type);
    if (!s->sas_address)
        s->sas_address = 0x5525400000000000u | (uint64_t)pci->requester(s->hba.dev) << 16;
    snprintf(text, sizeof(text), "%016llx", (unsigned long long)s->sas_address);
    if (!s->serial)
        s->serial = bp_strdup(text);
    return 0;
}

static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct megasas *s = bp_device_state(dev);
    struct bp_scsi_bus_info info = {.size = sizeof(info), .unit_came = unit_came, .unit_went = unit_went};
    unsigned bar = bp_device_class(dev) == &gen2_class ? 1 : 0;
    int ret;

    s->hba.dev = dev;
    s->hba.done = megasas_done;
    ret = check(s, bp_device_class(dev)->type.name, err);
    if (ret == 0 && s->msix != 2)
        ret = pci->msix_init(dev, VECTORS, bar, MSIX_TABLE, MSIX_PBA, err);
    if (ret == 0 && s->msi != 2)
        ret = pci->msi_init(dev, 1, false, err);
    if (ret < 0)
        return ret;
    info.max_target = (uint16_t)(megasas_drives(s) - 1);
    info.max_lun = s->jbod ? 7 : 0;
    return hba_init(&s->hba, dev, pci, scsi, &info, s, s->max_cmds + 8, err);
}

static void detach(struct bp_device *dev)
{
    hba_free(&((struct megasas *)bp_device_state(dev))->hba);
}

static void reset(struct bp_device *dev)
{
    struct megasas *s = bp_device_state(dev);

    adapter_reset(s);
    memset(s->events, 0, sizeof(s->events));
    s->newest = 0;
}

/* ---- state ---- */
static int before_save(void *state, struct bp_error *err)
{
    return hba_before_save(&((struct megasas *)state)->hba, err);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct megasas *s = state;
    uint32_t st = s->state;

    (void)version;
    hba_forget(&s->hba, NULL, NULL); /* what was under way here is of no guest any more */
    if ((st != (uint32_t)MFI_STATE_READY && st != (uint32_t)MFI_STATE_OPERATIONAL && st != (uint32_t)MFI_STATE_FAULT) ||
        (s->reply_entries ? s->reply_index >= s->reply_entries : st == (uint32_t)MFI_STATE_OPERATIONAL))
        return bp_fail(err, EINVAL, "megasas: the saved state of the firmware is impossible");
    return 0;
}

static int loaded(void *state, struct bp_error *err)
{
    (void)err;
    megasas_replay(state);
    update(state);
    return 0;
}

static const struct bp_state_field event_fields[] = {
    BP_SAVE(UINT32, struct megasas_event, seq), BP_SAVE(UINT32, struct megasas_event, time),
    BP_SAVE(UINT32, struct megasas_event, code), BP_SAVE_RANGE(UINT32, struct megasas_event, where, 0, MEGASAS_PDS - 1),
    BP_SAVE_END};
static const struct bp_state_table event_table = {.version = 1, .oldest = 1, .fields = event_fields};
static const struct bp_state_field fields[] = {
    BP_SAVE(UINT32, struct megasas, state), BP_SAVE(UINT32, struct megasas, intr_status),
    BP_SAVE(UINT32, struct megasas, intr_mask), BP_SAVE(UINT32, struct megasas, high_port),
    BP_SAVE(UINT32, struct megasas, diag), BP_SAVE_RANGE(UINT32, struct megasas, diag_keys, 0, 5),
    BP_SAVE_RANGE(UINT32, struct megasas, reply_entries, 0, 65536), BP_SAVE(UINT32, struct megasas, reply_index),
    BP_SAVE(BOOL, struct megasas, reply_wide), BP_SAVE(UINT64, struct megasas, reply_queue),
    BP_SAVE(UINT64, struct megasas, producer), BP_SAVE_STRUCTS(struct megasas, events, &event_table),
    BP_SAVE(UINT32, struct megasas, newest), BP_SAVE(BOOL, struct megasas, waits),
    BP_SAVE(UINT64, struct megasas, wait_addr), BP_SAVE_BUFFER(struct megasas, wait_frame),
    BP_SAVE_VECTOR(struct megasas, hba.saved, hba.saved_count, HBA_SAVED_MAX, &hba_saved_table), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .before_save = before_save,
                                            .after_load = after_load, .loaded = loaded,
                                            .loaded_order = BP_STATE_ORDER_REQUESTS};

#define PROPS(MAX_CMDS) \
    BP_PROP("max_cmds", UINT32, struct megasas, max_cmds, MAX_CMDS, "commands that it takes at a time"), \
    BP_PROP("max_sge", UINT32, struct megasas, max_sge, "80", "parts that the data of a command may have"), \
    BP_PROP("hba_serial", STRING, struct megasas, serial, NULL, "serial number; else made of the SAS address"), \
    BP_PROP("sas_address", UINT64, struct megasas, sas_address, "0", "SAS address; 0: made of the place on the bus"), \
    BP_PROP("msi", ON_OFF_AUTO, struct megasas, msi, "auto", "message signalled interrupts; auto: on"), \
    BP_PROP("msix", ON_OFF_AUTO, struct megasas, msix, "auto", "the same by MSI-X; auto: on"), \
    BP_PROP("use_jbod", BOOL, struct megasas, jbod, "off", "disks are physical drives, not logical ones"), \
    BP_FIELDS_END

static const struct bp_field props[] = {PROPS("1000")}, gen2_props[] = {PROPS("1008")};

#define REGISTERS {.flags = BP_PCI_BAR_MEM64, .size = BAR_SIZE, .name = "megasas", .ops = &bar_ops}
#define PORTS {.flags = BP_PCI_BAR_IO, .size = IO_SIZE, .name = "megasas-io", .ops = &bar_ops}
#define QUEUES {.flags = BP_PCI_BAR_MEM64, .size = QUEUE_SIZE, .name = "megasas-queues"}
static const struct bp_pci_info info = {
    .size = sizeof(info), .vendor = 0x1000, .device = 0x0060, .subsystem_vendor = 0x1000, .subsystem = 0x1013,
    .class_code = 0x0104, .interrupt_pin = 1, .bar = {[0] = REGISTERS, [2] = PORTS, [3] = QUEUES}};
static const struct bp_pci_info gen2_info = {
    .size = sizeof(gen2_info), .vendor = 0x1000, .device = 0x0079, .subsystem_vendor = 0x1000, .subsystem = 0x9261,
    .class_code = 0x0104, .interrupt_pin = 1, .express = BP_PCI_EXPRESS_ENDPOINT,
    .bar = {[0] = PORTS, [1] = REGISTERS, [3] = QUEUES}};

BP_HOTPLUG_DEVICE(megasas_class, "megasas", "pci", "LSI MegaRAID SAS 1078", struct megasas, props, &table,
                  .category = "storage", .bus_info = &info, .attach = attach, .detach = detach, .reset = reset,
                  .firmware_name = "scsi");
BP_HOTPLUG_DEVICE(gen2_class, "megasas-gen2", "pci", "LSI MegaRAID SAS 2108", struct megasas, gen2_props, &table,
                  .category = "storage", .bus_info = &gen2_info, .attach = attach, .detach = detach, .reset = reset,
                  .firmware_name = "scsi");

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(scsi, "scsi", 1), {0}};
BP_MODULE("hw-megasas", "LSI MegaRAID SAS adapters", imports, {BP_PROVIDE_DEVICE, &megasas_class},
          {BP_PROVIDE_DEVICE, &gen2_class});
