/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * BMI1 and BMI2: general registers behind a VEX prefix, three of them. The instruction is what it was, on the
 * registers' homes. Intel SDM volume 2: ANDN to SHRX.
 */
#include "translate.h"

enum { PP_NONE, PP_66, PP_F3, PP_F2 };

static unsigned mandatory(const struct insn *i)
{
    return i->prefixes & PREFIX_REPNE ? PP_F2 : i->prefixes & PREFIX_REP ? PP_F3 : i->prefixes & PREFIX_66 ? PP_66 :
           PP_NONE;
}

static unsigned vvvv(const struct insn *i)
{
    return i->rex >> 4;
}

static bool is_mulx(const struct insn *i)
{
    return i->map == 2 && i->opcode == 0xf6;
}

static bool is_group17(const struct insn *i)
{
    return i->map == 2 && i->opcode == 0xf3;
}

struct rule rule_bmi(const struct insn *i)
{
    bool bmi1 = __builtin_cpu_supports("bmi"), bmi2 = __builtin_cpu_supports("bmi2"), there = false, flags = false;
    unsigned pp = mandatory(i), op = i->modrm >> 3 & 7;

    if (i->prefixes & (PREFIX_L | PREFIX_LOCK))
        return (struct rule){0};
    if (i->map == 3) {
        there = i->opcode == 0xf0 && pp == PP_F2 && vvvv(i) == 0 && bmi2; /* RORX */
    } else if (i->map == 2) {
        switch (i->opcode) {
        case 0xf2: flags = there = pp == PP_NONE && bmi1; break; /* ANDN */
        case 0xf3: flags = there = pp == PP_NONE && bmi1 && op >= 1 && op <= 3; break; /* BLSR, BLSMSK, BLSI */
        case 0xf5: there = pp != PP_66 && bmi2; flags = pp == PP_NONE; break; /* BZHI, PDEP, PEXT */
        case 0xf6: there = pp == PP_F2 && bmi2; break; /* MULX */
        case 0xf7: there = pp == PP_NONE ? bmi1 : bmi2; flags = pp == PP_NONE; break; /* BEXTR, SHLX, SARX, SHRX */
        }
    }
    if (!there)
        return (struct rule){0};
    return (struct rule){.emit = op_bmi, .memory = i->rm == RM_MEM, .flags = flags ? FLAGS_SET : FLAGS_NONE};
}

void op_bmi(struct tr *t, const struct insn *i)
{
    bool wide = i->opsize == 8, group = is_group17(i), flags = rule_bmi(i).flags == FLAGS_SET;
    int reg, second = 0;
    struct rm rm;

    if (i->rm != RM_MEM) {
        rm = rm_reg(use_gpr(t, i->rm, SCRATCH1));
    } else {
        struct where w = where_of(t, i);

        rm = access(t, i, &w, i->opsize, ACCESS_READ, 0);
    }
    if (is_mulx(i)) { /* two results; equal ones are one register */
        second = dest_gpr(t, vvvv(i), SCRATCH0);
        reg = i->reg == vvvv(i) ? second : dest_gpr(t, i->reg, SCRATCH1);
    } else if (group) {
        second = dest_gpr(t, vvvv(i), SCRATCH0);
        reg = i->modrm >> 3 & 7;
    } else {
        if (i->map == 2)
            second = use_gpr(t, vvvv(i), SCRATCH0);
        reg = dest_gpr(t, i->reg, SCRATCH0); /* read before it is written */
    }
    emit_vex(&t->c, i->map, mandatory(i), wide, false, (uint8_t)i->opcode, reg, (unsigned)second, &rm);
    if (i->map == 3)
        put8(&t->c, (unsigned)i->imm);
    if (is_mulx(i) || group)
        done_gpr(t, vvvv(i), second);
    if (!group)
        done_gpr(t, i->reg, reg);
    if (flags)
        flags_set(t);
}
