/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Registers that every card of the family has, statistics (82540EM, chapter 13.7), the link. */
#include <string.h>

#include "gigabit.h"

void gbe_count(struct gbe *g, unsigned statistic, uint32_t n)
{
    uint32_t *v = reg(g, statistic);

    *v = n > UINT32_MAX - *v ? UINT32_MAX : *v + n;
}

void gbe_count64(struct gbe *g, unsigned low, uint32_t n)
{
    uint64_t v = *reg(g, low) | (uint64_t)*reg(g, low + 4) << 32;

    v += n;
    *reg(g, low) = (uint32_t)v;
    *reg(g, low + 4) = (uint32_t)(v >> 32);
}

void gbe_count_size(struct gbe *g, unsigned first, uint32_t length)
{
    static const uint32_t most[] = {64, 127, 255, 511, 1023, UINT32_MAX};
    unsigned i = 0;

    while (length > most[i])
        i++;
    gbe_count(g, first + 4 * i, 1);
}

/* ---- link and reset ---- */

void gbe_update_status(struct gbe *g)
{
    bool up = g->net->nic_link(g->nic), express = !g->model->microwire;

    *reg(g, STATUS) = STATUS_FD | STATUS_SPEED_1000 | STATUS_ASDV_1000 | (up ? STATUS_LU : 0);
    /* Nothing is under way between two accesses of the guest: the bus is let go of at once. */
    if (express && !(*reg(g, CTRL) & CTRL_GIO_MASTER_DISABLE))
        *reg(g, STATUS) |= STATUS_GIO_MASTER;
}

void gbe_link_changed(struct gbe *g, bool up)
{
    gbe_update_status(g);
    gbe_phy_link(g, up);
    g->model->interrupt(g, ICR_LSC);
}

void gbe_reset(struct gbe *g)
{
    uint8_t mac[6];

    g->net->nic_mac(g->nic, mac);
    memset(g->reg, 0, g->model->size);
    *reg(g, CTRL) = CTRL_FD | CTRL_SPEED_1000;
    *reg(g, LEDCTL) = 0x07068302;
    *reg(g, VET) = 0x8100;
    *reg(g, RAL) = get_le32(mac);
    *reg(g, RAL + 4) = mac[4] | (uint32_t)mac[5] << 8 | RAH_AV;
    g->net->nic_set_mac(g->nic, mac);
    gbe_update_status(g);
    gbe_eeprom_fill(g, mac);
    g->wire_bits = g->wire_left = 0;
    g->wire_in = g->wire_out = 0;
}

/* ---- registers ---- */

void gbe_note_address(struct gbe *g)
{
    uint32_t low = *reg(g, RAL), high = *reg(g, RAL + 4);
    uint8_t mac[6] = {(uint8_t)low, (uint8_t)(low >> 8), (uint8_t)(low >> 16), (uint8_t)(low >> 24),
                      (uint8_t)high, (uint8_t)(high >> 8)};

    if (high & RAH_AV)
        g->net->nic_set_mac(g->nic, mac);
}

void gbe_write_ctrl(struct gbe *g, uint32_t value)
{
    if (value & CTRL_PHY_RST)
        gbe_phy_reset(g);
    *reg(g, CTRL) = value & ~(CTRL_RST | CTRL_PHY_RST);
    gbe_update_status(g);
}

static bool plain_mask(const struct gbe *g, unsigned offset, uint32_t *ret_mask)
{
    const struct gbe_plain *plain = g->model->plain;

    for (unsigned i = 0; i < g->model->plain_count; i++)
        if (offset >= plain[i].first && offset <= plain[i].last) {
            *ret_mask = plain[i].writable;
            return true;
        }
    return false;
}

bool gbe_read(struct gbe *g, unsigned offset, uint32_t *ret_value)
{
    uint32_t mask;

    if (offset >= g->model->size)
        return false;
    switch (offset) {
    case EECD:
        *ret_value = gbe_eecd(g);
        return true;
    case EERD:
        *ret_value = gbe_eerd(g);
        return true;
    case CTRL: case STATUS: case MDIC: case IMS: case RCTL: case TCTL:
        *ret_value = *reg(g, offset);
        return true;
    default:
        break;
    }
    if (offset >= STATISTICS && offset < STATISTICS_END) {
        *ret_value = *reg(g, offset);
        *reg(g, offset) = 0;
        return true;
    }
    if (!plain_mask(g, offset, &mask))
        return false;
    *ret_value = *reg(g, offset);
    return true;
}

bool gbe_write(struct gbe *g, unsigned offset, uint32_t value)
{
    uint32_t mask;

    if (offset >= g->model->size)
        return false;
    switch (offset) {
    case EECD:
        gbe_write_eecd(g, value);
        return true;
    case EERD:
        *reg(g, EERD) = value & (0xffffu ^ g->model->eerd_done);
        return true;
    case MDIC:
        gbe_write_mdic(g, value);
        return true;
    default:
        break;
    }
    if (!plain_mask(g, offset, &mask))
        return false;
    if (offset >= RAL && offset < RAL + 0x80 && (offset & 4)) /* with one queue to select, or eight pools */
        mask &= g->model->more_addresses ? 0x83ffffff : 0x8003ffff;
    *reg(g, offset) = value & mask;
    if (offset == RAL + 4)
        gbe_note_address(g);
    return true;
}

/* ---- BARs ---- */

static uint64_t memory_read(void *opaque, uint64_t addr, unsigned size)
{
    struct gbe *g = opaque;

    (void)size;
    return g->model->read(g->card, (unsigned)addr & ~3u);
}

static void memory_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct gbe *g = opaque;

    (void)size;
    g->model->write(g->card, (unsigned)addr & ~3u, (uint32_t)value);
}

const struct bp_region_ops gbe_memory_ops = {
    .size = sizeof(gbe_memory_ops), .read = memory_read, .write = memory_write, .min_access = 4, .max_access = 4};

static uint64_t io_read(void *opaque, uint64_t addr, unsigned size)
{
    struct gbe *g = opaque;

    (void)size;
    if (addr == 0)
        return g->io_address;
    return addr == 4 && g->io_address < GBE_BAR_SIZE ? g->model->read(g->card, g->io_address & ~3u) : 0;
}

static void io_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct gbe *g = opaque;

    (void)size;
    if (addr == 0)
        g->io_address = (uint32_t)value;
    else if (addr == 4 && g->io_address < GBE_BAR_SIZE)
        g->model->write(g->card, g->io_address & ~3u, (uint32_t)value);
}

const struct bp_region_ops gbe_io_ops = {
    .size = sizeof(gbe_io_ops), .read = io_read, .write = io_write, .min_access = 4, .max_access = 4};
