// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * LSI SAS1068, a Fusion-MPT controller (MPI 1.5) with eight phys: the doorbell, by which messages go in words, the
 * FIFOs of requests and replies, the diagnostic register. Left out: RAID, expanders and SMP, target mode, firmware and
 * its upload, changes of configuration pages.
 */
#include <errno.h>
#include <stdlib.h>

#include <bp/log.h>

#include "mptsas.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(scsi, struct bp_scsi_interface, "scsi", 1);

enum { /* registers */
    DOORBELL = 0x00,
    WRITE_SEQUENCE = 0x04,
    DIAGNOSTIC = 0x08,
    INTR_STATUS = 0x30,
    INTR_MASK = 0x34,
    REQUEST_FIFO = 0x40,
    REPLY_FIFO = 0x44,
    HIGH_PRIORITY = 0x48,
    IO_SIZE = 0x100,
    BAR_SIZE = 0x4000,
    DIAG_SIZE = 0x10000,
};
enum { INTR_DOORBELL = 1, INTR_REPLY = 8 };
enum mpt_phase { IDLE, ASKED, ANSWERING, TAKEN, LAST };
#define ACTIVE 0x08000000u
#define DIAG_RESET_ADAPTER 0x04u
#define DIAG_RESET_HISTORY 0x20u
#define DIAG_ENABLE 0x80u
enum { EVENT_DEVICE = 0x0f, EVENT_LINK = 0x12 };
enum { REASON_ADDED = 3, REASON_NOT_RESPONDING = 4 };

void mpt_update(struct mptsas *s, bool event)
{
    bool level;

    s->intr_status = (s->intr_status & ~(uint32_t)INTR_REPLY) | (s->post_count ? INTR_REPLY : 0);
    level = s->intr_status & ~s->intr_mask & (INTR_REPLY | INTR_DOORBELL);
    hba_interrupt(&s->hba, event && level, level);
}

/* ---- resets ---- */
void mpt_to_ready(struct mptsas *s)
{
    hba_forget(&s->hba, NULL, NULL);
    s->phase = IDLE;
    s->hand_count = s->hand_at = s->hand_reply_length = 0;
    s->who = s->max_devices = s->max_buses = s->events_on = 0;
    s->frame_high = s->sense_high = s->event_context = 0;
    s->reply_size = MPT_REPLY;
    s->free_first = s->free_count = s->post_first = s->post_count = s->pending_first = s->pending_count = 0;
    s->intr_status = 0;
    s->state = MPT_READY;
    mpt_update(s, false);
}

static void hard_reset(struct mptsas *s)
{
    s->intr_mask = INTR_DOORBELL | INTR_REPLY;
    s->diag = s->diag_keys = 0;
    memset(s->hand, 0, sizeof(s->hand));
    memset(s->hand_reply, 0, sizeof(s->hand_reply));
    mpt_to_ready(s);
    if (s->hba.bus)
        scsi->reset_bus(s->hba.bus);
}

/* ---- the doorbell ---- */
static void raise_doorbell(struct mptsas *s)
{
    s->intr_status |= INTR_DOORBELL;
    mpt_update(s, true);
}

static void answer_handshake(struct mptsas *s)
{
    uint8_t request[4 * MPT_HANDSHAKE + MPT_FRAME] = {0}; /* lists are looked at as far as frames go */
    unsigned length;

    for (uint32_t i = 0; i < s->hand_count; i++)
        hba_put32(request + 4 * i, s->hand[i]);
    if (request[M_FUNCTION] == MPT_SCSI_IO || request[M_FUNCTION] == MPT_TASK) {
        mpt_reply_head(s->hand_reply, request, 20, MPT_INVALID_FUNCTION); /* these go by the FIFO */
        length = 20;
    } else {
        length = mpt_message(s, request, 4 * s->hand_count, s->hand_reply);
    }
    s->hand_reply_length = length;
    s->hand_at = 0;
    s->phase = ANSWERING;
    raise_doorbell(s);
}

static void write_doorbell(struct mptsas *s, uint32_t value)
{
    unsigned function = value >> 24, words = value >> 16 & 0xff;

    if (s->phase == ASKED) {
        s->hand[s->hand_at++] = value;
        if (s->hand_at == s->hand_count)
            answer_handshake(s);
        return;
    }
    switch (function) {
    case MPT_MESSAGE_RESET:
        mpt_to_ready(s);
        break;
    case MPT_UNIT_RESET:
        mpt_to_ready(s);
        scsi->reset_bus(s->hba.bus);
        break;
    case MPT_DOORBELL_HANDSHAKE:
        if (s->phase == ASKED || s->phase == ANSWERING || words < 3 || words > MPT_HANDSHAKE ||
            (s->state & 0xf0000000) == MPT_FAULT) {
            bp_guest_error("mptsas-handshake", "mptsas: a message of %u words by the doorbell", words);
            break;
        }
        s->phase = ASKED;
        s->hand_count = words;
        s->hand_at = 0;
        raise_doorbell(s);
        break;
    default:
        bp_guest_error("mptsas-doorbell", "mptsas: the doorbell knows no function %#x", function);
        break;
    }
}

/* Reading takes a word of the reply; there is an interrupt for each, which firmware does not wait for. */
static uint32_t read_doorbell(struct mptsas *s)
{
    uint32_t value = s->state | (uint32_t)s->who << 24;

    if (s->phase != IDLE)
        value |= ACTIVE;
    if (s->phase == ANSWERING) {
        value = (value & 0xffff0000) | hba_get16(s->hand_reply + 2 * s->hand_at);
        if (2 * ++s->hand_at >= s->hand_reply_length)
            s->phase = TAKEN;
    }
    return value;
}

/* The driver has seen the doorbell's interrupt: one for the next word, and one after the last. */
static void clear_doorbell(struct mptsas *s)
{
    bool was = s->intr_status & INTR_DOORBELL;

    s->intr_status &= ~(uint32_t)INTR_DOORBELL;
    mpt_update(s, false);
    if (!was)
        return;
    if (s->phase == LAST) {
        s->phase = IDLE;
    } else if (s->phase == ANSWERING || s->phase == TAKEN) {
        if (s->phase == TAKEN)
            s->phase = LAST;
        raise_doorbell(s);
    }
}

/* ---- FIFOs ---- */
static uint32_t fetch_reply(struct mptsas *s)
{
    uint32_t word = UINT32_MAX;

    if (s->post_count) {
        word = s->post[s->post_first];
        s->post_first = (s->post_first + 1) % MPT_POSTED;
        s->post_count--;
        mpt_update(s, false);
    }
    return word;
}

static void give_frame(struct mptsas *s, uint32_t frame)
{
    /* Drivers give them before they set the controller up, too. */
    if ((s->state & 0xf0000000) == MPT_FAULT || s->free_count == MPT_REPLIES) {
        bp_guest_error("mptsas-frames", "mptsas: frames for replies that nobody wants");
        return;
    }
    s->free[(s->free_first + s->free_count++) % MPT_REPLIES] = frame;
    mpt_send_pending(s);
}

/* ---- diagnostics ---- */
static void write_key(struct mptsas *s, uint32_t key)
{
    static const uint8_t keys[] = {0x4, 0xb, 0x2, 0x7, 0xd};

    key &= 15;
    s->diag_keys = key == keys[s->diag_keys] ? s->diag_keys + 1 : key == keys[0];
    if (s->diag_keys == BP_COUNT(keys)) {
        s->diag |= DIAG_ENABLE;
        s->diag_keys = 0;
    } else if (s->diag_keys == 0) {
        s->diag &= ~DIAG_ENABLE;
    }
}

static void write_diag(struct mptsas *s, uint32_t value)
{
    if (!(s->diag & DIAG_ENABLE))
        return;
    if (value & DIAG_RESET_ADAPTER) {
        hard_reset(s);
        s->diag = DIAG_ENABLE | DIAG_RESET_HISTORY;
    } else if (!(value & DIAG_RESET_HISTORY)) {
        s->diag &= ~DIAG_RESET_HISTORY;
    }
}

/* ---- registers ---- */
static uint64_t bar_read(void *opaque, uint64_t addr, unsigned size)
{
    struct mptsas *s = opaque;

    (void)size;
    switch (addr) {
    case DOORBELL: return hba_loops(&s->hba) ? UINT32_MAX : read_doorbell(s);
    case DIAGNOSTIC: return s->diag;
    case INTR_STATUS: return s->intr_status;
    case INTR_MASK: return s->intr_mask;
    case REPLY_FIFO: return hba_loops(&s->hba) ? UINT32_MAX : fetch_reply(s);
    default: return 0;
    }
}

static void bar_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct mptsas *s = opaque;
    uint32_t v = (uint32_t)value;

    (void)size;
    if (hba_loops(&s->hba))
        return;
    switch (addr) {
    case DOORBELL:
        write_doorbell(s, v);
        break;
    case WRITE_SEQUENCE:
        write_key(s, v);
        break;
    case DIAGNOSTIC:
        write_diag(s, v);
        break;
    case INTR_STATUS:
        clear_doorbell(s);
        break;
    case INTR_MASK:
        s->intr_mask = v & (INTR_DOORBELL | INTR_REPLY);
        mpt_update(s, true);
        break;
    case REQUEST_FIFO:
    case HIGH_PRIORITY:
        mpt_take(s, v);
        break;
    case REPLY_FIFO:
        give_frame(s, v);
        break;
    default:
        break;
    }
}

static const struct bp_region_ops bar_ops = {.size = sizeof(bar_ops), .read = bar_read, .write = bar_write,
                                             .min_access = 4, .max_access = 4};

/* ---- units ---- */
static void tell(struct mptsas *s, struct bp_scsi_unit *unit, bool came)
{
    unsigned channel, target, lun;
    uint8_t link[12] = {0}, device[36] = {0};

    scsi->address(unit, &channel, &target, &lun);
    if (came ? scsi->target(s->hba.bus, 0, target) != unit : mpt_is_there(s, target))
        return; /* other units of the drive are there already, or still */
    link[0] = (uint8_t)target;
    link[1] = came ? 0x90 : 0x09; /* the rate now, and before */
    hba_put16(link + 2, mpt_phy_handle(target));
    hba_put64(link + 4, s->sas_address + target);
    device[0] = (uint8_t)target;
    device[2] = came ? REASON_ADDED : REASON_NOT_RESPONDING;
    hba_put16(device + 6, mpt_drive_handle(target));
    hba_put32(device + 8, MPT_INFO_DRIVE);
    hba_put16(device + 0x0c, mpt_phy_handle(target));
    device[0x0e] = (uint8_t)target;
    hba_put64(device + 0x10, mpt_drive_address(s, target));
    hba_put16(device + 0x20, 0xffff);
    mpt_event(s, EVENT_LINK, link, sizeof(link));
    mpt_event(s, EVENT_DEVICE, device, sizeof(device));
}

static void unit_came(void *opaque, struct bp_scsi_unit *unit)
{
    tell(opaque, unit, true);
}

static void unit_went(void *opaque, struct bp_scsi_unit *unit)
{
    tell(opaque, unit, false);
}

/* ---- life ---- */
static int attach(struct bp_device *dev, struct bp_error *err)
{
    static const struct bp_scsi_bus_info info = {.size = sizeof(info), .max_target = MPT_PHYS - 1, .max_lun = 255,
                                                 .unit_came = unit_came, .unit_went = unit_went};
    struct mptsas *s = bp_device_state(dev);
    int ret = s->msi == 2 ? 0 : pci->msi_init(dev, 1, false, err);

    if (ret < 0)
        return ret;
    if (!s->sas_address)
        s->sas_address = 0x5525400000000000u | (uint64_t)pci->requester(dev) << 16;
    s->hba.done = mpt_done;
    return hba_init(&s->hba, dev, pci, scsi, &info, s, 2 * MPT_CREDITS, err);
}

static void detach(struct bp_device *dev)
{
    hba_free(&((struct mptsas *)bp_device_state(dev))->hba);
}

static void reset(struct bp_device *dev)
{
    hard_reset(bp_device_state(dev));
}

/* ---- state ---- */
static int before_save(void *state, struct bp_error *err)
{
    return hba_before_save(&((struct mptsas *)state)->hba, err);
}

static bool phase_possible(const struct mptsas *s)
{
    switch (s->phase) {
    case ASKED: return s->hand_count >= 3 && s->hand_at < s->hand_count;
    case ANSWERING: return 2 * s->hand_at < s->hand_reply_length;
    default: return true;
    }
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct mptsas *s = state;
    uint32_t st = s->state & 0xf0000000;

    (void)version;
    hba_forget(&s->hba, NULL, NULL); /* what was under way here is of no guest any more */
    if (!phase_possible(s) || (st != MPT_READY && st != MPT_OPERATIONAL && st != MPT_FAULT) ||
        (st != MPT_FAULT && s->state != st))
        return bp_fail(err, EINVAL, "mptsas1068: the saved state of the controller is impossible");
    return 0;
}

static int loaded(void *state, struct bp_error *err)
{
    (void)err;
    mpt_replay(state);
    mpt_update(state, false);
    return 0;
}

static const struct bp_state_field reply_fields[] = {
    BP_SAVE_RANGE(UINT32, struct mpt_reply, length, 0, MPT_REPLY), BP_SAVE_BUFFER(struct mpt_reply, bytes),
    BP_SAVE_END};
static const struct bp_state_table reply_table = {.version = 1, .oldest = 1, .fields = reply_fields};
static const struct bp_state_field fields[] = {
    BP_SAVE(UINT32, struct mptsas, state), BP_SAVE_RANGE(UINT8, struct mptsas, phase, IDLE, LAST),
    BP_SAVE(UINT32, struct mptsas, intr_status), BP_SAVE(UINT32, struct mptsas, intr_mask),
    BP_SAVE(UINT32, struct mptsas, diag), BP_SAVE_RANGE(UINT32, struct mptsas, diag_keys, 0, 4),
    BP_SAVE_RANGE(UINT32, struct mptsas, hand_count, 0, MPT_HANDSHAKE),
    BP_SAVE_RANGE(UINT32, struct mptsas, hand_at, 0, MPT_HANDSHAKE), BP_SAVE_ARRAY(UINT32, struct mptsas, hand),
    BP_SAVE_BUFFER(struct mptsas, hand_reply), BP_SAVE_RANGE(UINT32, struct mptsas, hand_reply_length, 0, MPT_REPLY),
    BP_SAVE(UINT8, struct mptsas, who), BP_SAVE(UINT8, struct mptsas, max_devices),
    BP_SAVE(UINT8, struct mptsas, max_buses), BP_SAVE_RANGE(UINT8, struct mptsas, events_on, 0, 1),
    BP_SAVE(UINT16, struct mptsas, reply_size), BP_SAVE(UINT32, struct mptsas, frame_high),
    BP_SAVE(UINT32, struct mptsas, sense_high), BP_SAVE(UINT32, struct mptsas, event_context),
    BP_SAVE_RANGE(UINT32, struct mptsas, free_first, 0, MPT_REPLIES - 1),
    BP_SAVE_RANGE(UINT32, struct mptsas, free_count, 0, MPT_REPLIES), BP_SAVE_ARRAY(UINT32, struct mptsas, free),
    BP_SAVE_RANGE(UINT32, struct mptsas, post_first, 0, MPT_POSTED - 1),
    BP_SAVE_RANGE(UINT32, struct mptsas, post_count, 0, MPT_POSTED), BP_SAVE_ARRAY(UINT32, struct mptsas, post),
    BP_SAVE_RANGE(UINT32, struct mptsas, pending_first, 0, MPT_PENDING - 1),
    BP_SAVE_RANGE(UINT32, struct mptsas, pending_count, 0, MPT_PENDING),
    BP_SAVE_STRUCTS(struct mptsas, pending, &reply_table),
    BP_SAVE_VECTOR(struct mptsas, hba.saved, hba.saved_count, HBA_SAVED_MAX, &hba_saved_table), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .before_save = before_save,
                                            .after_load = after_load, .loaded = loaded,
                                            .loaded_order = BP_STATE_ORDER_REQUESTS};

static const struct bp_field props[] = {
    BP_PROP("sas_address", UINT64, struct mptsas, sas_address, "0", "SAS address; 0: made of the place on the bus"),
    BP_PROP("msi", ON_OFF_AUTO, struct mptsas, msi, "auto", "message signalled interrupts; auto: on"),
    BP_FIELDS_END,
};
static const struct bp_pci_info info = {
    .size = sizeof(info), .vendor = 0x1000, .device = 0x0054, .subsystem_vendor = 0x1000, .subsystem = 0x8000,
    .class_code = 0x0100, .interrupt_pin = 1,
    .bar = {{.flags = BP_PCI_BAR_IO, .size = IO_SIZE, .name = "mptsas-io", .ops = &bar_ops},
            {.flags = BP_PCI_BAR_MEM32, .size = BAR_SIZE, .name = "mptsas", .ops = &bar_ops},
            {.flags = BP_PCI_BAR_MEM32, .size = DIAG_SIZE, .name = "mptsas-diag"}}};

BP_HOTPLUG_DEVICE(mptsas, "mptsas1068", "pci", "LSI SAS1068", struct mptsas, props, &table, .category = "storage",
                  .bus_info = &info, .attach = attach, .detach = detach, .reset = reset, .firmware_name = "scsi");

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(scsi, "scsi", 1), {0}};
BP_MODULE("hw-mptsas1068", "LSI SAS1068 adapter", imports, {BP_PROVIDE_DEVICE, &mptsas});
