// SPDX-License-Identifier: LGPL-2.1-or-later
/* The registers of a port (AHCI 1.3.1, 3.3) and its link. */
#include "ahci.h"

enum { CLB = 0x00, CLBU = 0x04, FB = 0x08, FBU = 0x0c, IS = 0x10, IE = 0x14, CMD = 0x18, TFD = 0x20,
       SIG = 0x24, SSTS = 0x28, SCTL = 0x2c, SERR = 0x30, SACT = 0x34, CI = 0x38 };

void port_raise(struct port *p, uint32_t bits)
{
    p->is |= bits;
    ahci_update(p->ahci);
}

void port_init(struct port *p)
{
    p->clb = p->fb = 0;
    p->is = p->ie = p->sctl = p->serr = p->sact = p->ci = 0;
    p->cmd = CMD_SUD | CMD_POD;
    p->tfd = 0x7f;
    p->sig = UINT32_MAX;
    p->stopped = false;
    p->signature = false;
    p->current = AHCI_SLOTS;
    p->next = 0;
    memset(p->cursors, 0, sizeof(p->cursors));
}

/* The signature that a drive sends when the link is up; with FRE it reaches memory, too. */
void port_link(struct port *p, bool present)
{
    struct bp_ide_registers regs;

    p->up = present;
    p->tfd = 0x7f;
    p->sig = UINT32_MAX;
    if (!present)
        return;
    ide->registers(p->bus, &regs);
    p->signature = true;
    p->serr |= SERR_X;
    if (!(regs.status & BP_IDE_BUSY))
        ahci_ide_ops.registers(p, 0, &regs, false);
    else
        p->tfd = regs.status; /* it says so itself when it is ready */
}

static void stop(struct port *p)
{
    p->cmd &= ~(CMD_CR | 31u << CMD_CCS);
    p->ci = p->sact = 0;
    p->stopped = false;
    p->current = AHCI_SLOTS;
    p->next = 0;
    ide->stop(p->bus);
}

static void write_cmd(struct port *p, uint32_t value)
{
    uint32_t was = p->cmd;

    p->cmd = (was & ~(CMD_WRITABLE | CMD_FRE | CMD_FR)) | (value & CMD_WRITABLE);
    if (value & CMD_FRE)
        p->cmd |= CMD_FRE | CMD_FR;
    else if (was & CMD_CR) /* not while commands run */
        p->cmd |= was & (CMD_FRE | CMD_FR);
    if (value & CMD_CLO)
        p->tfd &= ~(uint32_t)(BP_IDE_BUSY | BP_IDE_DATA_REQUEST);
    if (!(was & CMD_ST) && value & CMD_ST) {
        p->cmd |= CMD_CR;
        bp_deferred_schedule(p->run);
    } else if (was & CMD_ST && !(value & CMD_ST)) {
        stop(p);
    }
}

/* DET 1 resets the link as long as it stands, 4 takes it down. */
static void write_sctl(struct port *p, uint32_t value)
{
    unsigned was = p->sctl & 15, det = value & 15;

    p->sctl = value & 0xfff;
    if (det == was)
        return;
    if (det == 1 || det == 4) {
        p->up = false;
        p->tfd = 0x7f;
        p->sig = UINT32_MAX;
        ide->stop(p->bus);
    } else if (det == 0 && ide->present(p->bus, 0)) {
        ide->reset(p->bus);
        port_link(p, true);
    }
    ahci_update(p->ahci);
}

static uint32_t status(const struct port *p)
{
    if (p->up)
        return SSTS_UP;
    return (p->sctl & 15) == 4 ? 4 : (p->sctl & 15) == 1 && ide->present(p->bus, 0) ? 1 : 0;
}

uint32_t port_read(const struct port *p, unsigned reg)
{
    switch (reg) {
    case CLB: return (uint32_t)p->clb;
    case CLBU: return (uint32_t)(p->clb >> 32);
    case FB: return (uint32_t)p->fb;
    case FBU: return (uint32_t)(p->fb >> 32);
    case IS: return p->is;
    case IE: return p->ie;
    case CMD: return p->cmd;
    case TFD: return p->tfd;
    case SIG: return p->sig;
    case SSTS: return status(p);
    case SCTL: return p->sctl;
    case SERR: return p->serr;
    case SACT: return p->sact;
    case CI: return p->ci;
    default: return 0;
    }
}

static void low(uint64_t *reg, uint32_t value, uint32_t mask)
{
    *reg = (*reg & 0xffffffff00000000ull) | (value & mask);
}

static void high(uint64_t *reg, uint32_t value)
{
    *reg = (*reg & UINT32_MAX) | (uint64_t)value << 32;
}

void port_write(struct port *p, unsigned reg, uint32_t value)
{
    /* Registers that a transfer of this port was aimed at: what starts, stops or resets is refused. */
    if (p->moving && (reg == CMD || reg == SCTL)) {
        bp_guest_error("ahci-dma-loop", "AHCI: a transfer of port %u led to its own registers", p->number);
        return;
    }
    switch (reg) {
    case CLB: low(&p->clb, value, 0xfffffc00); break;
    case CLBU: high(&p->clb, value); break;
    case FB: low(&p->fb, value, 0xffffff00); break;
    case FBU: high(&p->fb, value); break;
    case IS: p->is &= ~(value & ~IS_DERIVED); break;
    case IE: p->ie = value & IS_ALL; break;
    case CMD: write_cmd(p, value); break;
    case SCTL: write_sctl(p, value); return;
    case SERR: p->serr &= ~value; break;
    case SACT:
        if (p->cmd & CMD_ST)
            p->sact |= value;
        return;
    case CI:
        if (!(p->cmd & CMD_ST))
            return;
        p->ci |= value;
        bp_deferred_schedule(p->run);
        return;
    default: return;
    }
    ahci_update(p->ahci);
}
