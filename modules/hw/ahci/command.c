// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Command lists, frames and data (AHCI 1.3.1, 4, 5, 9). What stands in guest memory is read once: the
 * command header, the command table's head, each descriptor when its turn comes.
 */
#include "ahci.h"

enum { FIS_TO_DEVICE = 0x27, FIS_REGISTERS = 0x34, FIS_PIO = 0x5f, FIS_SET_BITS = 0xa1 };
enum { AREA_PIO = 0x20, AREA_REGISTERS = 0x40, AREA_SET_BITS = 0x58 };
#define DESCRIPTOR 16u

static uint32_t get32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int fetch(struct port *p, uint64_t addr, void *buf, uint32_t len)
{
    int r;

    p->moving = true;
    r = pci->dma_read(p->ahci->dev, addr, buf, len);
    p->moving = false;
    return r;
}

static int store(struct port *p, uint64_t addr, const void *buf, uint32_t len)
{
    int r;

    p->moving = true;
    r = pci->dma_write(p->ahci->dev, addr, buf, len);
    p->moving = false;
    return r;
}

static void stopped(struct port *p, uint32_t why)
{
    p->stopped = true;
    port_raise(p, why);
}

/* ---- frames to memory ---- */

static void post(struct port *p, unsigned area, const uint8_t *fis, uint32_t len)
{
    if (p->cmd & CMD_FRE && store(p, p->fb + area, fis, len) < 0)
        stopped(p, IS_HBFS);
}

static void frame(uint8_t fis[20], uint8_t type, uint8_t flags, const struct bp_ide_registers *r)
{
    const uint8_t bytes[20] = {type, flags, r->status, r->error, r->low, r->mid, r->high, r->device,
                               r->hob_low, r->hob_mid, r->hob_high, 0, r->count, r->hob_count};

    memcpy(fis, bytes, 20);
}

/* How many bytes have moved, into the command's header. */
static void tell_moved(struct port *p, unsigned slot)
{
    uint32_t n = p->cursors[slot].moved;
    const uint8_t bytes[4] = {(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24)};

    if (store(p, p->clb + 32 * slot + 4, bytes, 4) < 0)
        stopped(p, IS_HBFS);
}

static void command_over(struct port *p)
{
    unsigned slot = p->current;

    if (slot == AHCI_SLOTS)
        return;
    tell_moved(p, slot);
    p->ci &= ~(1u << slot);
    p->current = AHCI_SLOTS;
    bp_deferred_schedule(p->run);
}

static void registers(void *opaque, unsigned unit, const struct bp_ide_registers *regs, bool interrupt)
{
    struct port *p = opaque;
    uint8_t fis[20];

    (void)unit;
    if (!p->up)
        return;
    p->tfd = (uint32_t)regs->error << 8 | regs->status;
    if (p->signature) {
        p->signature = false;
        p->sig = (uint32_t)regs->high << 24 | (uint32_t)regs->mid << 16 | (uint32_t)regs->low << 8 |
                 regs->count;
    }
    frame(fis, FIS_REGISTERS, interrupt ? 0x40 : 0, regs);
    post(p, AREA_REGISTERS, fis, sizeof(fis));
    if (regs->status & BP_IDE_ERROR) { /* the command stays in its slot */
        if (p->current != AHCI_SLOTS)
            tell_moved(p, p->current);
        stopped(p, IS_TFES | (interrupt ? IS_DHRS : 0));
        return;
    }
    if (!(regs->status & (BP_IDE_BUSY | BP_IDE_DATA_REQUEST)))
        command_over(p);
    if (interrupt)
        port_raise(p, IS_DHRS);
}

static void pio_setup(void *opaque, unsigned unit, const struct bp_ide_registers *regs, bool to_memory,
                      uint32_t len, uint8_t end, bool interrupt)
{
    struct port *p = opaque;
    uint8_t fis[20];

    (void)unit;
    p->tfd = (uint32_t)regs->error << 8 | regs->status;
    frame(fis, FIS_PIO, (uint8_t)((interrupt ? 0x40 : 0) | (to_memory ? 0x20 : 0)), regs);
    fis[15] = end;
    fis[16] = (uint8_t)len;
    fis[17] = (uint8_t)(len >> 8);
    post(p, AREA_PIO, fis, sizeof(fis));
    p->pio_interrupt = interrupt;
}

static void pio_end(void *opaque, unsigned unit, uint8_t end)
{
    struct port *p = opaque;

    (void)unit;
    p->tfd = (p->tfd & 0xff00) | end;
    if (!(end & (BP_IDE_BUSY | BP_IDE_DATA_REQUEST)))
        command_over(p);
    if (p->pio_interrupt)
        port_raise(p, IS_PSS);
}

static void packet(void *opaque, unsigned unit, void *cdb, uint32_t len)
{
    struct port *p = opaque;

    (void)unit;
    memcpy(cdb, p->acmd, len < sizeof(p->acmd) ? len : sizeof(p->acmd));
}

static void queue_done(void *opaque, unsigned unit, uint32_t tags, uint8_t status, uint8_t error)
{
    struct port *p = opaque;
    const uint8_t fis[8] = {FIS_SET_BITS, 0x40, status & 0x77, error, (uint8_t)tags, (uint8_t)(tags >> 8),
                            (uint8_t)(tags >> 16), (uint8_t)(tags >> 24)};

    (void)unit;
    p->tfd = (uint32_t)error << 8 | (p->tfd & 0x88) | (status & 0x77);
    post(p, AREA_SET_BITS, fis, sizeof(fis));
    p->sact &= ~tags;
    if (status & BP_IDE_ERROR)
        stopped(p, IS_TFES | IS_SDBS);
    else
        port_raise(p, IS_SDBS);
}

static void present(void *opaque, unsigned unit, bool there)
{
    struct port *p = opaque;

    (void)unit;
    p->serr |= SERR_N;
    if (there || !(p->sctl & 15))
        port_link(p, there);
    ahci_update(p->ahci);
}

/* ---- data ---- */

static int next_descriptor(struct port *p, struct cursor *c)
{
    uint8_t raw[DESCRIPTOR];
    int r = fetch(p, c->next, raw, sizeof(raw));

    if (r < 0)
        return r;
    c->next += DESCRIPTOR;
    c->entries--;
    c->addr = (get32(raw) & ~1u) | (uint64_t)get32(raw + 4) << 32;
    c->left = (get32(raw + 12) & 0x3fffff) + 1;
    c->left += c->left & 1; /* bit 0 of the register is 1 */
    c->told = raw[15] & 0x80;
    return 0;
}

static int64_t transfer(void *opaque, unsigned unit, int queue, bool to_memory, void *buf, uint32_t len)
{
    struct port *p = opaque;
    unsigned slot = queue >= 0 ? (unsigned)queue : p->current;
    struct cursor *c = &p->cursors[slot < AHCI_SLOTS ? slot : 0];
    uint32_t moved = 0, bits = 0;
    int r = 0;

    (void)unit;
    if (slot >= AHCI_SLOTS || p->stopped || p->moving)
        return -EIO;
    while (moved < len) {
        uint32_t n;

        if (!c->left && !c->entries)
            break;
        if (!c->left && (r = next_descriptor(p, c)) < 0)
            break;
        n = c->left < len - moved ? c->left : len - moved;
        r = to_memory ? store(p, c->addr, (uint8_t *)buf + moved, n)
                      : fetch(p, c->addr, (uint8_t *)buf + moved, n);
        if (r < 0)
            break;
        c->addr += n;
        c->left -= n;
        moved += n;
        if (!c->left && c->told)
            bits |= IS_DPS;
    }
    c->moved += moved;
    if (r < 0) {
        bp_guest_error("ahci-memory", "AHCI: memory at 0x%llx refuses (%s)", (unsigned long long)c->addr,
                       strerror(-r));
        stopped(p, IS_HBFS | bits);
        return r;
    }
    if (moved < len) {
        /* A drive sends more than there is place for: the rest is dropped. It cannot write what isn't
         * there, though. */
        bits |= to_memory ? IS_OFS : IS_HBDS;
        if (!to_memory) {
            stopped(p, bits);
            return -EIO;
        }
    }
    if (bits)
        port_raise(p, bits);
    return len;
}

const struct bp_ide_ops ahci_ide_ops = {
    .size = sizeof(struct bp_ide_ops), .flags = BP_IDE_SERIAL, .transfer = transfer,
    .registers = registers, .pio_setup = pio_setup, .pio_end = pio_end, .packet = packet,
    .queue_done = queue_done, .present = present};

/* ---- commands ---- */

static void unpack(const uint8_t *fis, struct bp_ide_registers *r)
{
    *r = (struct bp_ide_registers){
        .command = fis[2], .feature = fis[3], .low = fis[4], .mid = fis[5], .high = fis[6],
        .device = fis[7], .hob_low = fis[8], .hob_mid = fis[9], .hob_high = fis[10], .hob_feature = fis[11],
        .count = fis[12], .hob_count = fis[13], .control = fis[15]};
}

static bool is_queued(uint8_t command)
{
    return command == 0x60 || command == 0x61;
}

/* Issues the command in a slot; false: it has to wait, or the port has stopped. */
static void issue(struct port *p, unsigned slot)
{
    uint8_t header[32], table[0x50];
    struct bp_ide_registers regs;
    uint64_t at;
    int r = fetch(p, p->clb + 32 * slot, header, sizeof(header));

    at = (get32(header + 8) & ~127u) | (uint64_t)get32(header + 12) << 32;
    if (r == 0)
        r = fetch(p, at, table, sizeof(table));
    if (r < 0) {
        p->current = (uint8_t)slot;
        stopped(p, IS_HBFS);
        return;
    }
    p->cmd = (p->cmd & ~(31u << CMD_CCS)) | slot << CMD_CCS;
    p->cursors[slot] = (struct cursor){.next = at + 0x80, .entries = get32(header) >> 16};
    if (table[0] != FIS_TO_DEVICE || (header[0] & 31) < 2 || table[1] & 15) {
        /* No frame of a host, or for a port multiplier: nobody answers. */
        bp_guest_error("ahci-frame", "AHCI: slot %u of port %u has no frame for a drive", slot, p->number);
        p->current = (uint8_t)slot;
        return;
    }
    memcpy(p->acmd, table + 0x40, sizeof(p->acmd));
    unpack(table, &regs);
    if (!(table[1] & 0x80)) { /* a change of the control register */
        p->signature = true;
        p->ci &= ~(1u << slot);
        p->tfd = (p->tfd & 0xff00) | (regs.control & 4 ? BP_IDE_BUSY : p->tfd & 0xff);
        ide->command(p->bus, &regs, false);
        bp_deferred_schedule(p->run);
        return;
    }
    p->current = (uint8_t)slot;
    p->tfd |= BP_IDE_BUSY;
    /* The register frame that accepts a queued command clears its slot; what it moves, it moves later,
     * or within this call. */
    if (is_queued(regs.command) && regs.count >> 3 != slot) {
        bp_guest_error("ahci-tag", "AHCI: slot %u has a queued command with tag %u", slot, regs.count >> 3);
        return;
    }
    ide->command(p->bus, &regs, true);
}

void command_run(void *opaque)
{
    struct port *p = opaque;

    for (unsigned i = 0; i < AHCI_SLOTS; i++) {
        unsigned slot = p->next;

        if (!(p->cmd & CMD_ST) || !p->up || p->stopped || !p->ci || p->current != AHCI_SLOTS)
            return;
        p->next = (uint8_t)((slot + 1) % AHCI_SLOTS);
        if (!(p->ci >> slot & 1))
            continue;
        if (p->tfd & (BP_IDE_BUSY | BP_IDE_DATA_REQUEST)) {
            /* Only a soft reset goes to a busy drive. */
            uint8_t header[4];

            if (fetch(p, p->clb + 32 * slot, header, 4) < 0 || !(header[1] & 1)) {
                p->next = (uint8_t)slot;
                return;
            }
        }
        issue(p, slot);
    }
}
