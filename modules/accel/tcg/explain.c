/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -d op: what the translator makes of each instruction of a block, which is all that it has between the guest's code
 * and the host's. */
#include <stdio.h>
#include <stdlib.h>

#include <bp/exact/cpu.h>

#include "translate.h"

static const char *const effects[] = {
    [FLAGS_NONE] = "", [FLAGS_SET] = ", sets the flags", [FLAGS_PART] = ", sets some flags",
    [FLAGS_USE] = ", uses flags", [FLAGS_USE_SET] = ", uses and sets flags"};
static const char *const roles[] = {
    [SPAN_NONE] = "", [SPAN_LEADER] = ", looks up a span", [SPAN_MEMBER] = ", in the span"};

static void explain_one(FILE *out, const struct rule *r, bool after, const struct span_plan *plan)
{
    if (!r->emit) {
        fputs("left to the interpreter\n", out);
        return;
    }
    fprintf(out, "translated%s%s%s%s%s%s\n", r->memory ? ", memory" : "", plan ? roles[plan->role] : "",
            r->simd ? ", vector registers" : "", r->x87 ? ", x87 stack" : "", effects[r->flags],
            (r->flags == FLAGS_SET || r->flags == FLAGS_PART || r->flags == FLAGS_USE_SET) && !after
                ? " that nobody looks at" : "");
}

void explain_block(struct tcg_cpu *c, const struct tr *t, const struct insn *const *insns, const struct rule *rules,
                   const bool *after, unsigned count, const struct span_plan *plan)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = c->v.x->cpu ? open_memstream(&text, &size) : NULL;
    uint64_t address = t->linear;

    if (!out)
        return;
    fprintf(out, "OP: %u instructions at 0x%016llx, mode %08x\n", count, (unsigned long long)t->linear, t->tb->mode);
    for (unsigned n = 0; n < count && n < t->begun; n++) {
        uint32_t end = n + 1 < t->begun ? t->begins[n + 1] : t->ends;

        fprintf(out, "  0x%016llx +%-2u host +0x%04x %4u: ", (unsigned long long)address, insns[n]->len, t->begins[n],
                end - t->begins[n]);
        explain_one(out, &rules[n], after[n], plan ? &plan[n] : NULL);
        address += insns[n]->len;
    }
    if (fclose(out) == 0)
        bp_cpu_log_text(c->v.x->cpu, BP_LOG_OP, t->linear, text);
    free(text);
}
