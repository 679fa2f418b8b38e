/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which instructions the translator emits itself, and what each does with flags and memory. Whatever isn't
 * here, or has an unusual form (odd prefixes), the interpreter executes.
 */
#include "translate.h"

#define NO_RULE ((struct rule){0})
#define RULE(fn, fl, ...) ((struct rule){.emit = fn, .flags = fl, __VA_ARGS__})

static bool is_mem(const struct insn *i)
{
    return i->rm == RM_MEM;
}

/* Byte operands in AH to BH have no name in host code that uses REX. */
static bool high_rm(const struct insn *i)
{
    return i->opsize == 1 && !is_mem(i) && high_byte(i, i->rm);
}
static bool high_reg(const struct insn *i)
{
    return i->opsize == 1 && high_byte(i, i->reg);
}

/* What has a rule with other registers. */
static struct rule any_bytes(const struct insn *i, struct rule r)
{
    if (high_rm(i) || high_reg(i))
        r.emit = high_emits(i) ? op_high : NULL;
    return r.emit ? r : NO_RULE;
}

static struct rule rule_shift(const struct insn *i)
{
    unsigned op = i->modrm >> 3 & 7, count;
    bool by_cl = i->opcode >= 0xd2, mem = is_mem(i);

    if (by_cl)
        return RULE(high_rm(i) ? op_high : op_shift_cl, op == 2 || op == 3 ? FLAGS_USE : FLAGS_PART, .memory = mem);
    count = i->opcode >= 0xd0 ? 1 : (unsigned)i->imm & (i->opsize == 8 ? 63 : 31);
    if (op == 2 || op == 3)
        return RULE(high_rm(i) ? op_high : op_shift, FLAGS_USE, .memory = mem);
    return RULE(high_rm(i) ? op_high : op_shift, op >= 4 && count ? FLAGS_SET : FLAGS_PART, .memory = mem);
}

static struct rule rule_group3(const struct insn *i)
{
    unsigned op = i->modrm >> 3 & 7;
    bool mem = is_mem(i);

    if (op < 2)
        return RULE(op_test, FLAGS_SET, .memory = mem);
    switch (op) {
    case 2: return RULE(high_rm(i) ? op_high : op_not_neg, FLAGS_NONE, .memory = mem);
    case 3: return RULE(high_rm(i) ? op_high : op_not_neg, FLAGS_SET, .memory = mem);
    case 4: case 5: return RULE(high_rm(i) ? op_high : op_mul, FLAGS_SET, .memory = mem);
    }
    /* A division may fault, and leaves the flags as they are. */
    return i->opsize >= 2 ? RULE(op_div, FLAGS_NONE, .memory = 1) : NO_RULE;
}

static struct rule rule_group5(const struct insn *i, bool wide)
{
    unsigned op = i->modrm >> 3 & 7;

    if (i->opcode == 0xfe && op > 1)
        return NO_RULE;
    switch (op) {
    case 0: case 1:
        return RULE(high_rm(i) ? op_high : op_incdec, FLAGS_PART, .memory = is_mem(i));
    case 2: return RULE(op_call_rm, FLAGS_NONE, .memory = 1);
    case 4: return RULE(op_jmp_rm, FLAGS_NONE, .memory = 1);
    case 6: return wide || i->opsize == 8 ? RULE(op_push_rm, FLAGS_NONE, .memory = 1) : NO_RULE;
    }
    return NO_RULE;
}

static struct rule rule_alu(const struct insn *i)
{
    unsigned op = i->opcode >> 3 & 7, form = i->opcode & 7;
    enum flag_effect effect = op == 2 || op == 3 ? FLAGS_USE_SET : FLAGS_SET;

    if (form >= 6)
        return NO_RULE;
    if (form >= 4)
        return RULE(op_alu_acc, effect);
    return any_bytes(i, RULE(op_alu, effect, .memory = is_mem(i)));
}

/* wide: PUSH and its like have operands of all widths, in code that is not 64-bit. */
static struct rule rule_1(const struct insn *i, bool wide)
{
    bool mem = is_mem(i);
    unsigned op = i->modrm >> 3 & 7;

    switch (i->opcode) {
    case 0x00 ... 0x3f: return rule_alu(i);
    case 0x50 ... 0x57: return wide || i->opsize == 8 ? RULE(op_push, FLAGS_NONE, .memory = 1) : NO_RULE;
    case 0x58 ... 0x5f: return wide || i->opsize == 8 ? RULE(op_pop, FLAGS_NONE, .memory = 1) : NO_RULE;
    case 0x63: return RULE(op_movx, FLAGS_NONE, .memory = mem);
    case 0x68: case 0x6a: return wide || i->opsize == 8 ? RULE(op_push_imm, FLAGS_NONE, .memory = 1) : NO_RULE;
    case 0x69: case 0x6b: return RULE(op_imul3, FLAGS_SET, .memory = mem);
    case 0x70 ... 0x7f: return RULE(op_jcc, FLAGS_USE);
    case 0x80: case 0x81: case 0x83:
        return RULE(op_alu_imm, op == 2 || op == 3 ? FLAGS_USE_SET : FLAGS_SET, .memory = mem);
    case 0x84: case 0x85: return any_bytes(i, RULE(op_test, FLAGS_SET, .memory = mem));
    case 0x86: case 0x87: return any_bytes(i, RULE(op_xchg, FLAGS_NONE, .memory = mem));
    case 0x88: case 0x89: return any_bytes(i, RULE(op_mov_store, FLAGS_NONE, .memory = mem));
    case 0x8a: case 0x8b: return any_bytes(i, RULE(op_mov_load, FLAGS_NONE, .memory = mem));
    case 0x8d: return RULE(op_lea, FLAGS_NONE);
    case 0x90: return i->prefixes & PREFIX_REP || i->rex & 1 ? NO_RULE : RULE(op_nop, FLAGS_NONE);
    case 0x91 ... 0x97: return RULE(op_xchg_ax, FLAGS_NONE);
    case 0x98: return RULE(op_cbw, FLAGS_NONE);
    case 0x99: return RULE(op_cwd, FLAGS_NONE);
    case 0xa8: case 0xa9: return RULE(op_test, FLAGS_SET);
    case 0xb0 ... 0xb7:
        return RULE(high_byte(i, i->opcode & 7) && !(i->rex & 1) ? op_high_imm : op_mov_imm_reg, FLAGS_NONE);
    case 0xb8 ... 0xbf: return RULE(op_mov_imm_reg, FLAGS_NONE);
    case 0xc0: case 0xc1: case 0xd0: case 0xd1: case 0xd2: case 0xd3: return rule_shift(i);
    case 0xc2: case 0xc3: return wide || i->opsize == 8 ? RULE(op_ret, FLAGS_NONE, .memory = 1) : NO_RULE;
    case 0xc6: case 0xc7: return op ? NO_RULE : RULE(high_rm(i) ? op_high : op_mov_imm, FLAGS_NONE, .memory = mem);
    case 0xc9: return wide || i->opsize == 8 ? RULE(op_leave, FLAGS_NONE, .memory = 1) : NO_RULE;
    case 0xe8: return RULE(op_call, FLAGS_NONE, .memory = 1);
    case 0xe9: case 0xeb: return RULE(op_jmp, FLAGS_NONE);
    case 0xf5: return RULE(op_flag, FLAGS_USE);
    case 0xf8: case 0xf9: return RULE(op_flag, FLAGS_PART);
    case 0xf6: case 0xf7: return rule_group3(i);
    case 0xfe: case 0xff: return rule_group5(i, wide);
    }
    return NO_RULE;
}

static bool host_has_lzcnt(void)
{
    return __builtin_cpu_supports("lzcnt");
}

static struct rule rule_0f(const struct tcg_cpu *c, const struct insn *i)
{
    bool mem = is_mem(i), rep = i->prefixes & PREFIX_REP;
    const struct vcpu *v = &c->v;

    switch (i->opcode) {
    case 0x0d: case 0x18 ... 0x1f: return RULE(op_nop, FLAGS_NONE);
    case 0x40 ... 0x4f: return RULE(op_cmov, FLAGS_USE, .memory = mem);
    case 0x80 ... 0x8f: return RULE(op_jcc, FLAGS_USE);
    case 0x90 ... 0x9f: return RULE(high_rm(i) ? op_high : op_setcc, FLAGS_USE, .memory = mem);
    case 0xa3: case 0xab: case 0xb3: case 0xbb:
        return !mem ? RULE(op_bt, FLAGS_PART) :
               i->opsize >= 4 ? RULE(op_bt_string, FLAGS_PART, .memory = 1) : NO_RULE;
    case 0xc7:
        return mem && (i->modrm >> 3 & 7) == 1 && i->opsize == 8 && feature(v, BP_X86_FW_1_ECX, 13) ?
               RULE(op_cmpxchg16, FLAGS_PART, .memory = 1) : NO_RULE;
    case 0xba: return (i->modrm & 0x38) < 0x20 ? NO_RULE : RULE(op_bt_imm, FLAGS_PART, .memory = mem);
    case 0xa4: case 0xac:
        return i->opsize == 2 ? NO_RULE :
               RULE(op_shift_double, i->imm & (i->opsize == 8 ? 63 : 31) ? FLAGS_SET : FLAGS_PART, .memory = mem);
    case 0xa5: case 0xad: return i->opsize == 2 ? NO_RULE : RULE(op_shift_double, FLAGS_PART, .memory = mem);
    case 0xaf: return RULE(op_imul2, FLAGS_SET, .memory = mem);
    case 0xb0: case 0xb1:
        /* A register in memory would keep its upper half where 32 bits are written. */
        if (!mem && (high_rm(i) || high_reg(i)))
            return RULE(op_high, FLAGS_SET);
        if (high_reg(i) || (mem ? home_of[i->reg] < 0 : i->opsize == 4 && home_of[i->rm] < 0))
            return NO_RULE;
        return RULE(op_cmpxchg, FLAGS_SET, .memory = mem);
    case 0xb6: case 0xb7: case 0xbe: case 0xbf: return RULE(op_movx, FLAGS_NONE, .memory = mem);
    case 0xb8:
        return rep && feature(v, BP_X86_FW_1_ECX, 23) && __builtin_cpu_supports("popcnt") ?
               RULE(op_popcnt, FLAGS_SET, .memory = mem) : NO_RULE;
    case 0xbc:
        return !rep ? RULE(op_bsf, FLAGS_PART, .memory = mem) :
               feature(v, BP_X86_FW_7_EBX, 3) && __builtin_cpu_supports("bmi") ?
               RULE(op_popcnt, FLAGS_SET, .memory = mem) : NO_RULE;
    case 0xbd:
        return !rep ? RULE(op_bsf, FLAGS_PART, .memory = mem) :
               feature(v, BP_X86_FW_80000001_ECX, 5) && host_has_lzcnt() ?
               RULE(op_popcnt, FLAGS_SET, .memory = mem) : NO_RULE;
    case 0xc0: case 0xc1:
        return any_bytes(i, RULE(op_xadd, FLAGS_SET, .memory = mem));
    case 0xc8 ... 0xcf: return i->opsize >= 4 ? RULE(op_bswap, FLAGS_NONE) : NO_RULE;
    }
    return NO_RULE;
}

struct rule rule_of(const struct tcg_cpu *c, const struct insn *i)
{
    bool old = is_legacy(c->mode_now);
    struct rule r;

    if (i->exec == exec_ud || i->exec == exec_gp0 || (old ? !suits_legacy(c, i) : i->addrsize != 8))
        return NO_RULE;
    r = old ? rule_legacy(c, i) : NO_RULE;
    if (r.emit)
        return r;
    if (!old && (i->disp > INT32_MAX - 8192 || i->disp < INT32_MIN + 8192))
        return NO_RULE; /* sums with it might not fit a displacement */
    if (i->map > 1 || i->prefixes & PREFIX_VEX) {
        r = rule_vex(c, i);
        return !r.emit && i->prefixes & PREFIX_VEX ? rule_bmi(i) : r;
    }
    if (i->map == 0) {
        r = (i->opcode & 0xf8) == 0xd8 ? rule_x87(c, i) : rule_1(i, is_legacy(c->mode_now));
        if (!r.emit)
            r = rule_string(c, i);
        return r.emit ? r : rule_system(c, i);
    }
    r = rule_0f(c, i);
    if (!r.emit)
        r = rule_system(c, i);
    if (!r.emit && c->mode_now & MODE_SIMD)
        r = rule_sse(c, i);
    return r;
}

bool has_emitter(const struct tcg_cpu *c, const struct insn *i)
{
    return rule_of(c, i).emit != NULL;
}

bool defines_flags(const struct tcg_cpu *c, const struct insn *i)
{
    unsigned flags = rule_of(c, i).flags;

    return flags == FLAGS_SET || flags == FLAGS_USE_SET;
}
