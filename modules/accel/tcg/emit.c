/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Prefixes, REX, opcode, ModRM, SIB and displacement of one instruction. */
#include "emit.h"

static void put_modrm(struct code *c, int reg, const struct rm *rm)
{
    unsigned r = (unsigned)(reg & 7) << 3;
    unsigned base = (unsigned)rm->base & 7, mod;

    if (rm->reg >= 0) {
        put8(c, 0xc0 | r | (rm->reg & 7));
        return;
    }
    if (rm->base < 0) { /* absolute or index only: SIB without base */
        put8(c, r | 4);
        put8(c, (unsigned)rm->scale << 6 | (rm->index < 0 ? 4u : (unsigned)(rm->index & 7)) << 3 | 5);
        put32(c, (uint32_t)rm->disp);
        return;
    }
    mod = rm->disp == 0 && base != 5 ? 0 : rm->disp == (int8_t)rm->disp ? 1 : 2;
    if (rm->index >= 0 || base == 4) {
        put8(c, mod << 6 | r | 4);
        put8(c, (unsigned)rm->scale << 6 | (rm->index < 0 ? 4u : (unsigned)(rm->index & 7)) << 3 | base);
    } else {
        put8(c, mod << 6 | r | base);
    }
    if (mod == 1)
        put8(c, (unsigned)rm->disp);
    else if (mod == 2)
        put32(c, (uint32_t)rm->disp);
}

void emit_vex(struct code *c, unsigned map, unsigned pp, bool w, bool l, unsigned opcode, int reg, unsigned vvvv,
              const struct rm *rm)
{
    unsigned r = reg & 8 ? 0 : 0x80, x = rm->reg < 0 && rm->index >= 0 && rm->index & 8 ? 0 : 0x40;
    unsigned b = (rm->reg >= 0 ? rm->reg : rm->base >= 0 ? rm->base : 0) & 8 ? 0 : 0x20;
    unsigned last = (~vvvv & 15) << 3 | (l ? 4u : 0) | pp;

    if (map == 1 && !w && x && b) {
        put8(c, 0xc5);
        put8(c, r | last);
    } else {
        put8(c, 0xc4);
        put8(c, r | x | b | map);
        put8(c, (w ? 0x80u : 0) | last);
    }
    put8(c, opcode);
    put_modrm(c, reg, rm);
}

void emit(struct code *c, uint32_t opcode, unsigned size, int reg, const struct rm *rm)
{
    unsigned rex = size == 8 ? 8 : 0;
    bool force = (opcode & E_REG8 && reg >= 4) || (opcode & E_RM8 && rm->reg >= 4);
    uint32_t op = opcode & 0xffffffu;

    if (opcode & E_LOCK)
        put8(c, 0xf0);
    if (size == 2 || opcode & E_66)
        put8(c, 0x66);
    if (opcode & E_F2)
        put8(c, 0xf2);
    if (opcode & E_F3)
        put8(c, 0xf3);
    rex |= (reg & 8) ? 4 : 0;
    if (rm->reg >= 0) {
        rex |= (rm->reg & 8) ? 1 : 0;
    } else {
        rex |= rm->index >= 0 && (rm->index & 8) ? 2 : 0;
        rex |= rm->base >= 0 && (rm->base & 8) ? 1 : 0;
    }
    if (rex || force)
        put8(c, 0x40 | rex);
    if (op > 0xffff)
        put8(c, op >> 16);
    if (op > 0xff)
        put8(c, op >> 8);
    put8(c, op);
    put_modrm(c, reg, rm);
}
