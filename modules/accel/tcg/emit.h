/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The assembler: x86-64 instructions as bytes. Knows nothing of guests. Intel SDM volume 2, chapter 2. */
#ifndef TCG_EMIT_H
#define TCG_EMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct code {
    uint8_t *p; /* where the next byte goes */
};

/* An r/m operand: a register, or memory [base + index << scale + disp]. */
struct rm {
    int8_t reg;         /* >= 0: a register */
    int8_t base, index; /* -1: none */
    uint8_t scale;
    int32_t disp;
};
static inline struct rm rm_reg(int reg)
{
    return (struct rm){.reg = (int8_t)reg, .base = -1, .index = -1};
}
static inline struct rm rm_mem(int base, int32_t disp)
{
    return (struct rm){.reg = -1, .base = (int8_t)base, .index = -1, .disp = disp};
}
static inline struct rm rm_index(int base, int index, unsigned scale, int32_t disp)
{
    return (struct rm){.reg = -1, .base = (int8_t)base, .index = (int8_t)index, .scale = (uint8_t)scale,
                       .disp = disp};
}

static inline void put8(struct code *c, unsigned b)
{
    *c->p++ = (uint8_t)b;
}
static inline void put16(struct code *c, uint32_t value)
{
    memcpy(c->p, &value, 2);
    c->p += 2;
}
static inline void put32(struct code *c, uint32_t value)
{
    memcpy(c->p, &value, 4);
    c->p += 4;
}
static inline void put64(struct code *c, uint64_t value)
{
    memcpy(c->p, &value, 8);
    c->p += 8;
}
/* An immediate as instructions of this operand size have it. */
static inline void put_imm(struct code *c, uint64_t value, unsigned size)
{
    if (size == 1)
        put8(c, (unsigned)value);
    else if (size == 2)
        put16(c, (uint32_t)value);
    else
        put32(c, (uint32_t)value);
}

/* Opcodes are numbers: 0x89, 0x0f89, 0x0f3889; with one of these. */
#define E_66 0x1000000u
#define E_F2 0x2000000u
#define E_F3 0x4000000u
#define E_LOCK 0x8000000u
#define E_REG8 0x10000000u /* the reg operand is a byte register */
#define E_RM8 0x20000000u  /* the r/m operand is one */
#define E_BYTE (E_REG8 | E_RM8)

void emit(struct code *c, uint32_t opcode, unsigned size, int reg, const struct rm *rm);
/* With a VEX prefix; pp: 0 none, 1 66, 2 F3, 3 F2; vvvv: a register, 0 where there is none. */
void emit_vex(struct code *c, unsigned map, unsigned pp, bool w, bool l, unsigned opcode, int reg, unsigned vvvv,
              const struct rm *rm);

static inline void emit_rr(struct code *c, uint32_t opcode, unsigned size, int reg, int rm)
{
    struct rm r = rm_reg(rm);

    emit(c, opcode, size, reg, &r);
}
static inline void emit_rm(struct code *c, uint32_t opcode, unsigned size, int reg, int base, int32_t disp)
{
    struct rm r = rm_mem(base, disp);

    emit(c, opcode, size, reg, &r);
}
static inline void emit_mov(struct code *c, int to, int from)
{
    emit_rr(c, 0x89, 8, from, to);
}
static inline void emit_load(struct code *c, int to, int base, int32_t disp)
{
    emit_rm(c, 0x8b, 8, to, base, disp);
}
static inline void emit_store(struct code *c, int from, int base, int32_t disp)
{
    emit_rm(c, 0x89, 8, from, base, disp);
}
static inline void emit_lea(struct code *c, int to, int base, int32_t disp)
{
    emit_rm(c, 0x8d, 8, to, base, disp);
}
static inline void emit_mov32(struct code *c, int to, uint32_t value)
{
    if (to >= 8)
        put8(c, 0x41);
    put8(c, 0xb8 | (to & 7));
    put32(c, value);
}
static inline void emit_mov64(struct code *c, int to, uint64_t value)
{
    if (value <= 0xffffffffu) {
        emit_mov32(c, to, (uint32_t)value);
        return;
    }
    if ((int64_t)value == (int32_t)value) {
        emit_rr(c, 0xc7, 8, 0, to);
        put32(c, (uint32_t)value);
        return;
    }
    put8(c, to >= 8 ? 0x49 : 0x48);
    put8(c, 0xb8 | (to & 7));
    put64(c, value);
}
/* op r/m, imm: op as in modrm.reg of 81 (0 add, 1 or, 4 and, 5 sub, 6 xor, 7 cmp) */
static inline void emit_alu_imm(struct code *c, unsigned op, unsigned size, int reg, int32_t imm)
{
    if (imm == (int8_t)imm) {
        emit_rr(c, 0x83, size, (int)op, reg);
        put8(c, (unsigned)imm);
    } else {
        emit_rr(c, 0x81, size, (int)op, reg);
        put32(c, (uint32_t)imm);
    }
}
static inline void emit_shift(struct code *c, unsigned op, unsigned size, int reg, unsigned count)
{
    emit_rr(c, 0xc1, size, (int)op, reg);
    put8(c, count);
}
/* Jumps; what they return is the place of their rel32, for patch(). */
static inline uint8_t *emit_jmp(struct code *c)
{
    put8(c, 0xe9);
    put32(c, 0);
    return c->p - 4;
}
static inline uint8_t *emit_jcc(struct code *c, unsigned cc)
{
    put8(c, 0x0f);
    put8(c, 0x80 | cc);
    put32(c, 0);
    return c->p - 4;
}
static inline void patch(uint8_t *site, const uint8_t *target)
{
    int32_t rel = (int32_t)(target - (site + 4));

    memcpy(site, &rel, 4);
}
static inline void emit_jmp_to(struct code *c, const uint8_t *target)
{
    uint8_t *site = emit_jmp(c);

    patch(site, target);
}
static inline void emit_jcc_to(struct code *c, unsigned cc, const uint8_t *target)
{
    uint8_t *site = emit_jcc(c, cc);

    patch(site, target);
}
static inline void emit_call_to(struct code *c, const uint8_t *target)
{
    put8(c, 0xe8);
    put32(c, 0);
    patch(c->p - 4, target);
}
enum { CC_O, CC_NO, CC_B, CC_AE, CC_E, CC_NE, CC_BE, CC_A, CC_S, CC_NS, CC_P, CC_NP, CC_L, CC_GE, CC_LE, CC_G };

#endif
