// SPDX-License-Identifier: LGPL-2.1-or-later
/* What PCI host adapters of the SCSI bus share (hba.h). */
#include <errno.h>
#include <stdlib.h>

#include <bp/log.h>

#include "hba.h"

int hba_init(struct hba *hba, struct bp_device *dev, const struct bp_pci_interface *pci,
             const struct bp_scsi_interface *scsi, const struct bp_scsi_bus_info *info, void *opaque, unsigned most,
             struct bp_error *err)
{
    hba->dev = dev;
    hba->pci = pci;
    hba->scsi = scsi;
    hba->most = most;
    return scsi->new_bus(dev, info, opaque, &hba->bus, err);
}

bool hba_loops(const struct hba *hba)
{
    if (hba->busy)
        bp_guest_error("scsi-dma-loop", "SCSI adapter: a transfer led to the adapter's own registers");
    return hba->busy > 0;
}

int hba_read(struct hba *hba, uint64_t addr, void *buf, uint64_t length)
{
    int ret;

    hba->busy++;
    ret = hba->pci->dma_read(hba->dev, addr, buf, length);
    hba->busy--;
    return ret;
}

int hba_write(struct hba *hba, uint64_t addr, const void *buf, uint64_t length)
{
    int ret;

    hba->busy++;
    ret = hba->pci->dma_write(hba->dev, addr, buf, length);
    hba->busy--;
    return ret;
}

void hba_interrupt(struct hba *hba, bool event, bool level)
{
    /* Drivers that have messages need not clear what would hold a line up: each event is a message. */
    if (event && hba->pci->msix_enabled(hba->dev))
        hba->pci->msix_notify(hba->dev, 0);
    else if (event && hba->pci->msi_enabled(hba->dev))
        hba->pci->msi_notify(hba->dev, 0);
    hba->pci->set_irq(hba->dev, level);
}

/* ---- commands ---- */
struct hba_command *hba_new(struct hba *hba, uint64_t key)
{
    struct hba_command *c = hba->count < hba->most ? calloc(1, sizeof(*c)) : NULL;

    if (!c)
        return NULL;
    c->hba = hba;
    c->key = key;
    c->request.size = sizeof(c->request);
    c->next = hba->commands;
    c->link = &hba->commands;
    if (c->next)
        c->next->link = &c->next;
    hba->commands = c;
    hba->count++;
    return c;
}

static void unmap(struct hba_command *c, uint64_t moved)
{
    struct bp_dma *map = c->map;

    c->map = NULL;
    c->hba->busy++;
    (void)bp_dma_unmap(map, c->to_guest ? moved : 0);
    c->hba->busy--;
}

static void unlink_it(struct hba_command *c)
{
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    c->hba->count--;
}

static void free_it(struct hba_command *c)
{
    c->hba->pieces -= c->count;
    free(c->pieces);
    free(c);
}

void hba_drop(struct hba_command *c)
{
    unmap(c, 0);
    unlink_it(c);
    free_it(c);
}

bool hba_add(struct hba_command *c, uint64_t addr, uint64_t length)
{
    struct hba_piece *last = c->count ? &c->pieces[c->count - 1] : NULL;

    if (length > HBA_BYTES - c->bytes || addr > UINT64_MAX - length)
        return false;
    c->bytes += length;
    if (length == 0)
        return true;
    if (last && last->addr + last->length == addr) {
        last->length += length;
        return true;
    }
    if (c->hba->pieces >= HBA_PIECES_ALL)
        return false;
    if (c->count == c->room) {
        unsigned room = c->room ? 2 * c->room : 16;
        struct hba_piece *more = room <= HBA_PIECES ? realloc(c->pieces, room * sizeof(*more)) : NULL;

        if (!more)
            return false;
        c->pieces = more;
        c->room = room;
    }
    c->hba->pieces++;
    c->pieces[c->count++] = (struct hba_piece){addr, length};
    return true;
}

uint64_t hba_copy(struct hba_command *c, void *buf, uint64_t length, bool to_guest)
{
    uint64_t done = 0;

    for (unsigned i = 0; i < c->count && done < length; i++) {
        uint64_t n = c->pieces[i].length < length - done ? c->pieces[i].length : length - done;
        int ret = to_guest ? hba_write(c->hba, c->pieces[i].addr, (uint8_t *)buf + done, n)
                           : hba_read(c->hba, c->pieces[i].addr, (uint8_t *)buf + done, n);

        if (ret < 0)
            break;
        done += n;
    }
    return done;
}

static int map_pieces(struct hba_command *c)
{
    struct hba *hba = c->hba;
    const struct bp_access who = {.size = sizeof(who), .flags = BP_ACCESS_REQUESTER,
                                  .requester = hba->pci->requester(hba->dev)};
    const enum bp_dma_direction direction = c->to_guest ? BP_DMA_FROM_DEVICE : BP_DMA_TO_DEVICE;
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < c->count; i++) {
        const struct hba_piece *p = &c->pieces[i];

        if (c->map)
            ret = bp_dma_map_more(c->map, hba->pci->dma(hba->dev), p->addr, p->length);
        else
            ret = bp_dma_map(hba->pci->dma(hba->dev), p->addr, p->length, direction, &who, &c->map);
    }
    if (ret < 0)
        return ret == -EAGAIN ? ret : -EFAULT;
    if (c->to_guest) {
        c->request.in = c->map ? bp_dma_vectors(c->map, &c->request.in_count) : NULL;
        c->request.in_bytes = c->bytes;
    } else {
        c->request.out = c->map ? bp_dma_vectors(c->map, &c->request.out_count) : NULL;
        c->request.out_bytes = c->bytes;
    }
    return 0;
}

static void ended(struct bp_scsi_request *request)
{
    struct hba_command *c = request->opaque;

    unmap(c, request->moved);
    unlink_it(c);
    c->hba->done(c->hba, c);
    free_it(c);
}

int hba_start(struct hba_command *c, unsigned channel, unsigned target, unsigned lun)
{
    struct hba *hba = c->hba;
    struct bp_scsi_unit *unit = hba->scsi->unit(hba->bus, channel, target, lun);
    int ret = 0;

    if (!unit)
        unit = hba->scsi->target(hba->bus, channel, target);
    if (!unit)
        return -ENODEV;
    if (!(hba->pci->config(hba->dev)[4] & 4))
        return -EFAULT; /* it is no bus master */
    hba->busy++; /* what is copied may be registers of this adapter */
    if (c->count)
        ret = map_pieces(c);
    hba->busy--;
    if (ret < 0) {
        unmap(c, 0);
        return ret;
    }
    c->request.tag = (uintptr_t)c;
    c->request.done = ended;
    c->request.opaque = c;
    c->started = true;
    hba->scsi->submit(unit, lun, &c->request);
    return 0;
}

void hba_forget(struct hba *hba, bool (*which)(struct hba_command *c, void *opaque), void *opaque)
{
    /* Cancelling may end others, but never makes any: begin again after each. */
    for (struct hba_command *c = hba->commands; c;) {
        if (c->forgotten || (which && !which(c, opaque))) {
            c = c->next;
            continue;
        }
        c->forgotten = true;
        if (c->started)
            hba->scsi->cancel(c->request.unit, &c->request);
        else if (c->left == 0)
            hba_drop(c);
        c = hba->commands;
    }
}

void hba_cancel(struct hba *hba, struct hba_command *task, bool (*which)(struct hba_command *c, void *opaque),
                void *opaque)
{
    for (struct hba_command *c = hba->commands; c;) {
        if (c->forgotten || !c->started || c->waiting || !which(c, opaque)) {
            c = c->next;
            continue;
        }
        c->waiting = task;
        task->left++;
        hba->scsi->cancel(c->request.unit, &c->request);
        c = hba->commands;
    }
}

struct hba_command *hba_find(struct hba *hba, uint64_t key)
{
    struct hba_command *c = hba->commands;

    while (c && (c->forgotten || c->key != key))
        c = c->next;
    return c;
}

void hba_free(struct hba *hba)
{
    while (hba->commands)
        hba_drop(hba->commands); /* units went before: none of them is at one */
    free(hba->saved);
    hba->saved = NULL;
    hba->scsi->free_bus(hba->bus);
    hba->bus = NULL;
}

/* ---- state ---- */
static const struct bp_state_field saved_fields[] = {
    BP_SAVE(UINT64, struct hba_saved, key), BP_SAVE_BUFFER(struct hba_saved, frame), BP_SAVE_END};
const struct bp_state_table hba_saved_table = {.version = 1, .oldest = 1, .fields = saved_fields};

int hba_before_save(struct hba *hba, struct bp_error *err)
{
    uint32_t n = 0;

    for (const struct hba_command *c = hba->commands; c; c = c->next)
        n += !c->forgotten;
    free(hba->saved);
    hba->saved = n ? calloc(n, sizeof(*hba->saved)) : NULL;
    hba->saved_count = 0;
    if (n && !hba->saved)
        return bp_fail(err, ENOMEM, "%s: no memory to save commands", bp_device_class(hba->dev)->type.name);
    for (const struct hba_command *c = hba->commands; c; c = c->next) {
        if (c->forgotten)
            continue;
        hba->saved[n - ++hba->saved_count].key = c->key; /* the first of them first */
        memcpy(hba->saved[n - hba->saved_count].frame, c->frame, HBA_FRAME);
    }
    return 0;
}
