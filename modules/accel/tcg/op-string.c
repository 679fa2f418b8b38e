/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* MOVS, STOS, LODS and SCAS where no segment matters: strings.c does them, the interpreter what is left. */
#include "translate.h"

/* The segments of both addresses have no base and no limit. */
static bool is_flat(uint32_t mode, const struct insn *i)
{
    return !is_legacy(mode) ||
           (i->addrsize == 4 && mode >> (MODE_PLAIN_SHIFT + BP_ES) & 1 && mode >> (MODE_PLAIN_SHIFT + i->seg) & 1);
}

struct rule rule_string(const struct tcg_cpu *c, const struct insn *i)
{
    if (i->opcode < 0xa4 || i->opcode > 0xaf || (i->opcode > 0xa5 && i->opcode < 0xaa) || i->seg >= BP_FS ||
        !is_flat(c->mode_now, i))
        return (struct rule){0};
    return (struct rule){.emit = op_string, .memory = 1, .keep = 1,
                         .flags = i->opcode >= 0xae ? FLAGS_PART : FLAGS_NONE};
}

void op_string(struct tr *t, const struct insn *i)
{
    call_with_insn(t, i, t->cpu->thunk_string, t->offset);
    t->simd_live = t->x87_live = false; /* perhaps */
}
