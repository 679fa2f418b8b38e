// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * NVM Express controller, revision 1.4, with one namespace: up to 64 pairs of queues, MSI-X, write cache, write zeroes,
 * deallocation, SMART. Doorbells take no lock; commands are carried out in the device's context. Left out: more
 * namespaces and their management, SGLs, metadata, compare, copy, controller memory, shadow doorbells.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/doorbell.h>

#include "nvme.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(block, struct bp_block_interface, "block", 1);
const struct bp_pci_interface *nvme_pci;
const struct bp_block_interface *nvme_block;

enum { /* chapter 3.1 */
    CAP = 0x00,
    VS = 0x08,
    INTMS = 0x0c,
    INTMC = 0x10,
    CC = 0x14,
    CSTS = 0x1c,
    AQA = 0x24,
    ASQ = 0x28,
    ACQ = 0x30,
    BAR_SIZE = 0x4000,
    MSIX_BAR = 4,
};
#define CC_EN 1u
#define CC_SHN 0xc000u
#define CSTS_RDY 1u
#define CSTS_CFS 2u
#define CSTS_SHST_DONE 8u
#define CAP_VALUE ((uint64_t)(NVME_ENTRIES - 1) | 1u << 16 | 0x0full << 24 | 1ull << 37) /* CQR, 7.5 s, NVM */

/* ---- the controller's life ---- */
static void disable(struct nvme *s)
{
    nvme_cancel(s, UINT16_MAX);
    nvme_delete_queues(s);
    s->csts = 0;
    s->intms = 0;
    s->features_aec = s->features_arbitration = s->features_error = 0;
    s->features_temperature = 343;
    block->set_write_cache(s->blk, s->write_cache);
}

static bool good_setup(const struct nvme *s)
{
    uint32_t sq = (s->aqa & 0xfff) + 1, cq = (s->aqa >> 16 & 0xfff) + 1;

    return (s->cc >> 4 & 7) == 0 && (s->cc >> 7 & 15) == 0 && (s->cc >> 11 & 7) == 0 && sq > 1 && cq > 1 &&
           sq <= NVME_ENTRIES && cq <= NVME_ENTRIES && s->asq % NVME_PAGE == 0 && s->acq % NVME_PAGE == 0;
}

static void enable(struct nvme *s)
{
    if (!good_setup(s)) {
        s->csts = CSTS_CFS;
        return;
    }
    s->sq[0] = (struct nvme_sq){.exists = true, .entries = (uint16_t)((s->aqa & 0xfff) + 1), .base = s->asq,
                                .bell = s->sq[0].bell};
    s->cq[0] = (struct nvme_cq){.exists = true, .interrupts = true, .phase = true, .users = 1,
                                .entries = (uint16_t)((s->aqa >> 16 & 0xfff) + 1), .base = s->acq,
                                .bell = s->cq[0].bell};
    s->csts = CSTS_RDY;
}

static void write_cc(struct nvme *s, uint32_t value)
{
    uint32_t old = s->cc;

    s->cc = value;
    if ((value & CC_EN) && !(old & CC_EN))
        enable(s);
    else if (!(value & CC_EN) && (old & CC_EN))
        disable(s);
    if ((value & CC_SHN) && !(old & CC_SHN))
        s->csts |= CSTS_SHST_DONE; /* what was written is flushed by FLUSH; nothing else is to be done */
    else if (!(value & CC_SHN))
        s->csts &= ~CSTS_SHST_DONE;
}

/* ---- registers ---- */
static uint64_t bar_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct nvme *s = opaque;
    uint64_t value;

    switch (addr & ~7ull) {
    case CAP:
        value = CAP_VALUE;
        break;
    case VS:
        value = 0x00010400ull | (uint64_t)s->intms << 32;
        break;
    case INTMC:
        value = s->intms | (uint64_t)s->cc << 32;
        break;
    case CSTS & ~7:
        value = (uint64_t)s->csts << 32;
        break;
    case AQA & ~7:
        value = (uint64_t)s->aqa << 32;
        break;
    case ASQ:
        value = s->asq;
        break;
    case ACQ:
        value = s->acq;
        break;
    default:
        value = 0;
        break;
    }
    (void)size;
    return value >> 8 * (addr & 4);
}

static void set_half(uint64_t *to, bool high, uint32_t value)
{
    *to = high ? (*to & 0xffffffffull) | (uint64_t)value << 32 : (*to & ~0xffffffffull) | value;
}

static void bar_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct nvme *s = opaque;
    uint32_t v = (uint32_t)value;

    (void)size;
    switch (addr) {
    case INTMS:
        s->intms |= v;
        nvme_interrupt(s, 0);
        break;
    case INTMC:
        s->intms &= ~v;
        nvme_interrupt(s, 0);
        break;
    case CC:
        write_cc(s, v);
        break;
    case AQA:
        s->aqa = v & 0x0fff0fff;
        break;
    case ASQ:
    case ASQ + 4:
        set_half(&s->asq, addr & 4, v);
        break;
    case ACQ:
    case ACQ + 4:
        set_half(&s->acq, addr & 4, v);
        break;
    default:
        break; /* doorbells of other widths, and nothing at all */
    }
}

static const struct bp_region_ops bar_ops = {.size = sizeof(bar_ops), .read = bar_read, .write = bar_write,
                                             .min_access = 4, .max_access = 4};

/* ---- draining ---- */
static void drain_begin(void *opaque)
{
    ((struct nvme *)opaque)->drained = true;
}

static bool busy(void *opaque)
{
    struct nvme *s = opaque;
    bool waits = false; /* for the block layer's turn */

    bp_device_lock(s->dev);
    for (const struct nvme_request *r = s->requests; r && !waits; r = r->next)
        waits = !r->at_block;
    bp_device_unlock(s->dev);
    return waits || (s->blk && block->in_flight(s->blk) > 0);
}

static void drain_end(void *opaque)
{
    struct nvme *s = opaque;

    s->drained = false;
    bp_doorbell_ring(s->sq[0].bell);
}

static const struct bp_participant_ops participant_ops = {
    .size = sizeof(participant_ops), .drain_begin = drain_begin, .busy = busy, .drain_end = drain_end};

/* ---- the device ---- */
static const struct bp_blk_ops blk_ops = {.size = sizeof(blk_ops), .flags = BP_BLK_READ_ONLY_OK};

static int check(struct nvme *s, const char *type, struct bp_error *err)
{
    if (!s->serial && s->blk && block->serial(s->blk))
        s->serial = bp_strdup(block->serial(s->blk));
    if (!s->serial || !*s->serial || strlen(s->serial) > 20)
        return bp_fail(err, EINVAL, "%s: serial= is missing: up to 20 characters by which the guest knows it", type);
    if (s->pairs == 0 || s->pairs > NVME_MAX_PAIRS)
        return bp_fail(err, EINVAL, "%s: max_ioqpairs=%u: 1 to %u are possible", type, s->pairs, NVME_MAX_PAIRS);
    if (s->vectors == 0 || s->vectors > 2048)
        return bp_fail(err, EINVAL, "%s: msix_qsize=%u: 1 to 2048 are possible", type, s->vectors);
    if (s->mdts > 9)
        return bp_fail(err, EINVAL, "%s: mdts=%u: 0 to 9 are possible (4 KiB to 2 MiB)", type, s->mdts);
    if (s->conf.logical_block_size > NVME_PAGE)
        return bp_fail(err, EINVAL, "%s: logical_block_size=%u: up to %u is possible", type,
                       s->conf.logical_block_size, NVME_PAGE);
    return 0;
}

static int open_disk(struct nvme *s, const char *type, struct bp_error *err)
{
    int ret;

    if (!(s->conf.drive && *s->conf.drive))
        return bp_fail(err, EINVAL, "%s: property 'drive' is missing: which disk does it show?", type);
    ret = block->open(s->dev, bp_device_owner(s->dev), NULL, &s->conf, &blk_ops, s, &s->blk, err);
    if (ret == 0)
        ret = block->conf_complete(s->blk, &s->conf, err);
    return ret < 0 ? ret : check(s, type, err);
}

static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct nvme *s = bp_device_state(dev);
    int ret;

    nvme_pci = pci;
    nvme_block = block;
    s->dev = dev;
    ret = open_disk(s, bp_device_class(dev)->type.name, err);
    if (ret == 0) {
        s->bar = bp_region_new_io(bp_device_owner(dev), "nvme", BAR_SIZE, &bar_ops, s);
        ret = pci->add_bar(dev, 0, BP_PCI_BAR_MEM64, s->bar, err);
    }
    if (ret == 0)
        ret = pci->msix_init_bar(dev, s->vectors, MSIX_BAR, err);
    if (ret == 0)
        ret = nvme_bells(s, err);
    if (ret < 0) {
        block->close(s->blk);
        s->blk = NULL;
        return ret;
    }
    s->main = bp_owner_new(bp_device_owner(dev), "nvme", bp_device_id(dev), 0);
    s->drive = bp_deferred_new(s->main, NULL, nvme_drive_line, s);
    s->submit = bp_deferred_new(s->main, NULL, nvme_submit_waiting, s);
    s->participant = bp_participant_new(bp_device_owner(dev), &participant_ops, s);
    s->write_cache = block->write_cache(s->blk);
    return 0;
}

static void detach(struct bp_device *dev)
{
    struct nvme *s = bp_device_state(dev);

    block->close(s->blk);
    nvme_forget_all(s);
    s->blk = NULL;
    free(s->waiting);
    free(s->saved);
}

static void nvme_reset(struct bp_device *dev)
{
    struct nvme *s = bp_device_state(dev);

    disable(s);
    s->cc = s->aqa = 0;
    s->asq = s->acq = 0;
}

/* ---- state: commands that were under way are carried out again ---- */
#define MAX_SAVED (2 * NVME_QUEUES * NVME_ENTRIES)
#define COMPLETION 0x8000u /* in `queue` of what is saved */

static int before_save(void *state, struct bp_error *err)
{
    struct nvme *s = state;
    uint32_t n = s->waiting_count;

    for (const struct nvme_request *r = s->requests; r; r = r->next)
        n += !r->orphan;
    free(s->saved);
    s->saved = calloc(n + 1, sizeof(*s->saved));
    if (!s->saved)
        return bp_fail(err, ENOMEM, "nvme: no memory to save commands");
    s->saved_count = 0;
    for (const struct nvme_request *r = s->requests; r; r = r->next) {
        if (r->orphan)
            continue;
        s->saved[s->saved_count].queue = r->sq;
        memcpy(s->saved[s->saved_count++].bytes, &r->c, sizeof(r->c));
    }
    for (uint32_t i = 0; i < s->waiting_count; i++) {
        s->saved[s->saved_count].queue = COMPLETION;
        memcpy(s->saved[s->saved_count++].bytes, &s->waiting[i], sizeof(s->waiting[i]));
    }
    return 0;
}

static int check_queues(const struct nvme *s, struct bp_error *err)
{
    for (unsigned i = 0; i < NVME_QUEUES; i++) {
        const struct nvme_sq *sq = &s->sq[i];
        const struct nvme_cq *cq = &s->cq[i];

        if ((sq->exists && (i > s->pairs || sq->entries < 2 || sq->entries > NVME_ENTRIES || sq->head >= sq->entries ||
                            sq->tail >= sq->entries || sq->cq > s->pairs || !s->cq[sq->cq].exists)) ||
            (cq->exists && (i > s->pairs || cq->entries < 2 || cq->entries > NVME_ENTRIES || cq->head >= cq->entries ||
                            cq->tail >= cq->entries || cq->vector >= s->vectors)))
            return bp_fail(err, EINVAL, "nvme: saved queue %u is impossible", i);
    }
    return 0;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct nvme *s = state;

    (void)version;
    for (uint32_t i = 0; i < s->saved_count; i++) {
        if (s->saved[i].queue != COMPLETION && (s->saved[i].queue > s->pairs || !s->sq[s->saved[i].queue].exists))
            return bp_fail(err, EINVAL, "nvme: a saved command is of no queue");
    }
    return check_queues(s, err);
}

static int loaded(void *state, struct bp_error *err)
{
    struct nvme *s = state;

    (void)err;
    for (uint32_t i = 0; i < s->saved_count; i++) {
        struct nvme_command c;
        struct nvme_completion done;

        if (s->saved[i].queue == COMPLETION) {
            memcpy(&done, s->saved[i].bytes, sizeof(done));
            if (done.sq_id <= s->pairs)
                nvme_answer(s, done.sq_id, done.cid, done.dw0, done.status);
            continue;
        }
        memcpy(&c, s->saved[i].bytes, sizeof(c));
        nvme_io(s, s->saved[i].queue, &c);
    }
    bp_deferred_schedule(s->drive);
    bp_doorbell_ring(s->sq[0].bell);
    return 0;
}

static const struct bp_state_field sq_fields[] = {
    BP_SAVE(BOOL, struct nvme_sq, exists), BP_SAVE(UINT16, struct nvme_sq, cq),
    BP_SAVE(UINT16, struct nvme_sq, entries), BP_SAVE(UINT16, struct nvme_sq, head),
    BP_SAVE(UINT16, struct nvme_sq, tail), BP_SAVE(UINT64, struct nvme_sq, base), BP_SAVE_END};
static const struct bp_state_table sq_table = {.version = 1, .oldest = 1, .fields = sq_fields};
static const struct bp_state_field cq_fields[] = {
    BP_SAVE(BOOL, struct nvme_cq, exists), BP_SAVE(BOOL, struct nvme_cq, interrupts),
    BP_SAVE(BOOL, struct nvme_cq, phase), BP_SAVE(UINT16, struct nvme_cq, entries),
    BP_SAVE(UINT16, struct nvme_cq, head), BP_SAVE(UINT16, struct nvme_cq, tail),
    BP_SAVE(UINT16, struct nvme_cq, vector), BP_SAVE(UINT32, struct nvme_cq, users),
    BP_SAVE(UINT64, struct nvme_cq, base), BP_SAVE_END};
static const struct bp_state_table cq_table = {.version = 1, .oldest = 1, .fields = cq_fields};
static const struct bp_state_field saved_fields[] = {
    BP_SAVE(UINT16, struct nvme_waiting, queue), BP_SAVE_BUFFER(struct nvme_waiting, bytes), BP_SAVE_END};
static const struct bp_state_table saved_table = {.version = 1, .oldest = 1, .fields = saved_fields};
static const struct bp_state_field fields[] = {
    BP_SAVE(UINT32, struct nvme, intms), BP_SAVE(UINT32, struct nvme, cc), BP_SAVE(UINT32, struct nvme, csts),
    BP_SAVE(UINT32, struct nvme, aqa), BP_SAVE(UINT64, struct nvme, asq), BP_SAVE(UINT64, struct nvme, acq),
    BP_SAVE(UINT32, struct nvme, features_aec), BP_SAVE(UINT32, struct nvme, features_arbitration),
    BP_SAVE(UINT32, struct nvme, features_temperature), BP_SAVE(UINT32, struct nvme, features_error),
    BP_SAVE_STRUCTS(struct nvme, sq, &sq_table), BP_SAVE_STRUCTS(struct nvme, cq, &cq_table),
    BP_SAVE(UINT32, struct nvme, pins), BP_SAVE_ARRAY(UINT16, struct nvme, events),
    BP_SAVE_RANGE(UINT32, struct nvme, event_count, 0, NVME_EVENTS), BP_SAVE(UINT64, struct nvme, read_units),
    BP_SAVE(UINT64, struct nvme, written_units), BP_SAVE(UINT64, struct nvme, read_commands),
    BP_SAVE(UINT64, struct nvme, written_commands),
    BP_SAVE_VECTOR(struct nvme, saved, saved_count, MAX_SAVED, &saved_table), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .before_save = before_save,
                                            .after_load = after_load, .loaded = loaded,
                                            .loaded_order = BP_STATE_ORDER_REQUESTS};

static const struct bp_field props[] = {
    BP_BLK_PROPS(struct nvme, conf),
    BP_PROP_BOOTINDEX(struct nvme, conf.bootindex),
    BP_PROP_IOTHREAD("iothread", struct nvme, iothread),
    BP_PROP("serial", STRING, struct nvme, serial, NULL, "serial number, up to 20 characters; has to be given"),
    BP_PROP("max_ioqpairs", UINT32, struct nvme, pairs, "64", "pairs of queues for commands"),
    BP_PROP("msix_qsize", UINT16, struct nvme, vectors, "65", "MSI-X vectors"),
    BP_PROP("mdts", UINT32, struct nvme, mdts, "7", "largest transfer: 4 KiB times two to the power of this"),
    BP_FIELDS_END,
};
static const struct bp_pci_info info = {
    .size = sizeof(info), .vendor = 0x1b36, .device = 0x0010, .subsystem_vendor = 0x1af4, .subsystem = 0x1100,
    .revision = 2, .prog_if = 2, .class_code = 0x0108, .interrupt_pin = 1, .express = BP_PCI_EXPRESS_ENDPOINT};

BP_HOTPLUG_DEVICE(nvme, "nvme", "pci", "NVM Express disk", struct nvme, props, &table, .category = "storage",
                  .bus_info = &info, .attach = attach, .detach = detach, .reset = nvme_reset,
                  .threads = BP_THREADS_OWN, .firmware_name = "nvme", .boot_suffix = "namespace@1,0");

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(block, "block", 1), {0}};
BP_MODULE("hw-nvme", "NVM Express disk", imports, {BP_PROVIDE_DEVICE, &nvme});
