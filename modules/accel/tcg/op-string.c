/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* MOVS and STOS with 64-bit addresses: strings.c does them, the interpreter what is left. */
#include "translate.h"

struct rule rule_string(const struct insn *i)
{
    if (i->opcode < 0xa4 || i->opcode > 0xab || (i->opcode > 0xa5 && i->opcode < 0xaa) || i->seg >= BP_FS)
        return (struct rule){0};
    return (struct rule){.emit = op_string, .memory = 1, .keep = 1};
}

void op_string(struct tr *t, const struct insn *i)
{
    call_with_insn(t, i, t->cpu->thunk_string, t->offset);
    t->simd_live = t->x87_live = false; /* perhaps */
}
