/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The CPU's window into video memory at 0xa0000: planes through the graphics controller, odd/even for
 * text, chained, and banks of a VBE mode. Where an access is plain memory, the window is mapped to it.
 */
#include "vga.h"

static uint32_t load_planes(const struct vga *vga, uint32_t address)
{
    const uint8_t *at = vga->memory + 4 * (size_t)address;

    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void store_planes(struct vga *vga, uint32_t address, uint32_t value)
{
    uint8_t *at = vga->memory + 4 * (size_t)address;

    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
    at[2] = (uint8_t)(value >> 16);
    at[3] = (uint8_t)(value >> 24);
    bp_region_mark_dirty(vga->vram, 4 * (uint64_t)address, 4);
}

/* 0xff in the byte of each plane whose bit is set. */
static uint32_t planes(unsigned bits)
{
    return ((bits & 1) * 0xffu) | ((bits >> 1 & 1) * 0xffu) << 8 | ((bits >> 2 & 1) * 0xffu) << 16 |
           ((bits >> 3 & 1) * 0xffu) << 24;
}

static uint32_t spread(uint8_t byte)
{
    return byte * 0x01010101u;
}

/* ---- which memory ---- */

enum how { NOWHERE, PLANAR, ODD_EVEN, CHAINED };

struct place {
    enum how how;
    uint32_t address; /* of the planes */
    unsigned plane;   /* CHAINED: which; ODD_EVEN: 0 or 1 */
};

/* The part of the window that is on, relative to 0xa0000. Bit 1 of the miscellaneous register would turn it off;
 * firmware
 * that was written on emulators does not set it (GRUB as the BIOS). */
static void aperture(const struct vga *vga, uint32_t *ret_from, uint32_t *ret_size)
{
    static const uint32_t from[4] = {0, 0, 0x10000, 0x18000};
    static const uint32_t size[4] = {0x20000, 0x10000, 0x8000, 0x8000};
    unsigned map = vga->gr[GR_MISC] >> 2 & 3;

    *ret_from = from[map];
    *ret_size = size[map];
}

/* What is added to an address in the window. */
static uint64_t bank_offset(const struct vga *vga, uint32_t at)
{
    const struct vga_banks *b = &vga->banks;

    if (dispi_on(&vga->dispi))
        return (uint64_t)vga->dispi.reg[DISPI_BANK] << 16;
    return b->dual && at >= 0x8000 ? (uint64_t)b->offset[1] - 0x8000 : b->offset[0];
}

/* Linear memory and nothing else, whatever sequencer and graphics controller say. */
static bool is_linear(const struct vga *vga)
{
    return dispi_on(&vga->dispi) ? vga->dispi.reg[DISPI_BPP] != 4 : vga->banks.packed;
}

static bool is_chained(const struct vga *vga)
{
    if (dispi_on(&vga->dispi) || vga->banks.packed)
        return is_linear(vga);
    return vga->seq[SEQ_MEMORY_MODE] & 8;
}

static struct place find(const struct vga *vga, uint32_t addr, bool odd_even)
{
    uint32_t from, size;
    uint64_t at;

    aperture(vga, &from, &size);
    if (addr - from >= size)
        return (struct place){.how = NOWHERE};
    at = addr - from + bank_offset(vga, addr - from);
    if (is_chained(vga)) {
        if (!is_linear(vga))
            at &= 4 * VGA_PLANE - 1;
        if (at >= vga->vram_size)
            return (struct place){.how = NOWHERE};
        return (struct place){CHAINED, (uint32_t)(at >> 2), at & 3};
    }
    if (!dispi_on(&vga->dispi) && !vga->chip)
        at &= VGA_PLANE - 1;
    if (at * 4 + 3 >= vga->vram_size)
        return (struct place){.how = NOWHERE};
    if (odd_even)
        return (struct place){ODD_EVEN, (uint32_t)at & ~1u, at & 1};
    return (struct place){PLANAR, (uint32_t)at, 0};
}

/* ---- reading ---- */

uint8_t vga_memory_read(struct vga *vga, uint32_t addr)
{
    struct place place = find(vga, addr, vga->gr[GR_MODE] & 0x10);
    unsigned plane = vga->gr[GR_READ_MAP] & 3;

    if (place.how == NOWHERE)
        return 0xff;
    vga->latch = load_planes(vga, place.address);
    if (place.how == CHAINED)
        return (uint8_t)(vga->latch >> (8 * place.plane));
    if (vga->gr[GR_MODE] & 8) { /* a bit for each dot of this colour */
        uint32_t differs = (vga->latch ^ planes(vga->gr[GR_COLOUR_COMPARE])) &
                           planes(vga->gr[GR_COLOUR_DONT_CARE]);

        return (uint8_t) ~(differs | differs >> 8 | differs >> 16 | differs >> 24);
    }
    if (place.how == ODD_EVEN)
        plane = (plane & 2) | place.plane;
    return (uint8_t)(vga->latch >> (8 * plane));
}

/* ---- writing ---- */

static uint8_t rotate(uint8_t value, unsigned by)
{
    return (uint8_t)(value >> by | value << (8 - by));
}

static uint32_t combine(const struct vga *vga, uint32_t value)
{
    switch (vga->gr[GR_ROTATE] >> 3 & 3) {
    case 1:
        return value & vga->latch;
    case 2:
        return value | vga->latch;
    case 3:
        return value ^ vga->latch;
    default:
        return value;
    }
}

/* What the graphics controller makes of a byte, for all four planes. */
static uint32_t graphics(const struct vga *vga, uint8_t byte)
{
    uint32_t mask = spread(vga->gr[GR_BIT_MASK]), value;
    uint32_t set = planes(vga->gr[GR_SET_RESET]), enable = planes(vga->gr[GR_ENABLE_SET_RESET]);
    uint8_t rotated = rotate(byte, vga->gr[GR_ROTATE] & 7);

    switch (vga->gr[GR_MODE] & 3) {
    case 0:
        value = combine(vga, (spread(rotated) & ~enable) | (set & enable));
        break;
    case 1:
        return vga->latch;
    case 2:
        value = combine(vga, planes(byte & 15));
        break;
    default:
        mask &= spread(rotated);
        value = combine(vga, set);
        break;
    }
    return (value & mask) | (vga->latch & ~mask);
}

void vga_memory_write(struct vga *vga, uint32_t addr, uint8_t value)
{
    struct place place = find(vga, addr, !(vga->seq[SEQ_MEMORY_MODE] & 4));
    unsigned mask = vga->seq[SEQ_MAP_MASK];
    uint32_t enable, old;

    if (place.how == NOWHERE)
        return;
    old = load_planes(vga, place.address);
    if (place.how == CHAINED && is_linear(vga)) {
        enable = planes(1u << place.plane);
        store_planes(vga, place.address, (old & ~enable) | (spread(value) & enable));
        return;
    }
    if (place.how == CHAINED)
        mask &= 1u << place.plane;
    else if (place.how == ODD_EVEN)
        mask &= place.plane ? 0xa : 0x5;
    enable = planes(mask);
    store_planes(vga, place.address, (old & ~enable) | (graphics(vga, value) & enable));
}

static uint64_t window_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)size;
    return vga_memory_read(opaque, (uint32_t)addr);
}

static void window_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)size;
    vga_memory_write(opaque, (uint32_t)addr, (uint8_t)value);
}

const struct bp_region_ops vga_window_ops = {
    .size = sizeof(vga_window_ops), .read = window_read, .write = window_write, .max_access = 1,
    .coalesced = 1};

/* ---- mapping ---- */

/* Do accesses see chained memory as it is? Then no callback is needed. */
static bool is_plain(const struct vga *vga)
{
    if (!is_chained(vga))
        return false;
    if (is_linear(vga))
        return !vga->banks.dual;
    return vga->seq[SEQ_MAP_MASK] == 15 && (vga->gr[GR_MODE] & 0x0b) == 0 &&
           vga->gr[GR_BIT_MASK] == 0xff && (vga->gr[GR_ROTATE] & 0x1f) == 0 &&
           vga->gr[GR_ENABLE_SET_RESET] == 0;
}

void vga_map(struct vga *vga)
{
    uint64_t bank = bank_offset(vga, 0);
    uint32_t from, size;

    if (!vga->window)
        return;
    aperture(vga, &from, &size);
    if (!is_plain(vga) || bank + size > vga->vram_size)
        size = 0;
    /* Drivers write these registers for each byte that they draw: a map is not made for nothing. */
    if (size == vga->direct_size &&
        (!size || (from == vga->direct_from && bank == vga->direct_bank)))
        return;
    vga->direct_size = size;
    vga->direct_from = from;
    vga->direct_bank = bank;
    bp_memory_begin();
    if (size) {
        bp_region_set_alias_offset(vga->direct, bank);
        bp_region_set_size(vga->direct, size);
        bp_region_set_address(vga->direct, 0xa0000 + from);
    }
    bp_region_set_enabled(vga->direct, size != 0);
    bp_memory_commit();
}
