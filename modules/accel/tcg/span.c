/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Spans: accesses of one block that lie near the same register's value, [rbx+8] and [rbx+24] or a row of
 * pushes. The first of them, the leader, checks the whole range and leaves in the frame where it lies in the
 * host; the others go there without a look at the TLB. What the TLB says stays true inside a block: whoever
 * changes that waits until translated code was left, and what may change it from inside ends all spans.
 * A range that crosses a page is not checked at all: from its leader on the block's twin without spans
 * (MODE_APART) runs.
 */
#include "translate.h"

#define SPAN_MAX 128 /* bytes: the longer, the more often it crosses a page */
#define ALL_GPRS 0xffffu

/* ---- what an instruction accesses ---- */

struct operand {
    struct where where;
    unsigned size;
    bool write;
};

static bool is_stack_push(const struct rule *r)
{
    return r->emit == op_push || r->emit == op_push_imm || r->emit == op_push_rm || r->emit == op_call ||
           r->emit == op_call_rm;
}

/* The memory operand of those whose size and direction are told by opcode and operand size; 0: not looked at. */
static unsigned plain_size(const struct rule *r, const struct insn *i, bool *ret_write)
{
    unsigned op = i->map == 0 && i->opcode >= 0x80 ? i->modrm >> 3 & 7 : i->opcode >> 3 & 7;

    *ret_write = false;
    if (r->emit == op_mov_load || r->emit == op_cmov || r->emit == op_test || r->emit == op_mul ||
        r->emit == op_imul2 || r->emit == op_imul3)
        return i->opsize;
    if (r->emit == op_movx)
        return i->map == 0 ? (i->opsize == 2 ? 2 : 4) : (i->opcode & 1) ? 2 : 1;
    if (r->emit == op_alu || r->emit == op_alu_imm) {
        *ret_write = op != 7 && !(r->emit == op_alu && i->opcode & 2);
        return i->opsize;
    }
    *ret_write = true;
    if (r->emit == op_mov_store || r->emit == op_mov_imm || r->emit == op_incdec || r->emit == op_not_neg)
        return i->opsize;
    return r->emit == op_setcc ? 1 : 0;
}

static bool operand_of(uint32_t mode, const struct rule *r, const struct insn *i, unsigned next, struct operand *ret)
{
    *ret = (struct operand){.where = {.base = BP_RSP, .index = -1}, .size = i->opsize};
    if (is_stack_push(r)) {
        ret->where.disp = -i->opsize;
        ret->write = true;
        return true;
    }
    if (r->emit == op_pop || r->emit == op_ret)
        return true;
    if (r->emit == op_leave) {
        ret->where.base = BP_RBP;
        return true;
    }
    if (i->rm != RM_MEM || i->index != NO_REG || i->base == NO_REG || i->seg == BP_FS || i->seg == BP_GS)
        return false;
    if (r->emit == op_sse || r->emit == op_vex)
        ret->size = (r->emit == op_sse ? sse_operand : vex_operand)(i, &ret->write);
    else
        ret->size = plain_size(r, i, &ret->write);
    ret->where = is_legacy(mode) ? legacy_where(mode, i) : where_at(i, next);
    return ret->size != 0 && !ret->where.width && !ret->where.checked;
}

/* ---- what an instruction does to registers ---- */

static unsigned one(unsigned r)
{
    return 1u << (r & 15);
}

/* Byte registers: AH to BH are parts of the first four. */
static unsigned operand_bit(const struct insn *i, unsigned r)
{
    return one(r) | (i->opsize == 1 ? one(r & 3) : 0);
}

static unsigned rm_bit(const struct insn *i)
{
    return i->rm == RM_MEM ? 0 : operand_bit(i, i->rm);
}

/* Registers that it may write, a move of RSP by a constant excepted. What is not known writes all. */
static unsigned may_write(const struct rule *r, const struct insn *i)
{
    emit_fn *fn = r->emit;
    unsigned op = i->map == 0 && i->opcode >= 0x80 ? i->modrm >> 3 & 7 : i->opcode >> 3 & 7;

    if (fn == op_push || fn == op_push_imm || fn == op_push_rm || fn == op_call || fn == op_call_rm || fn == op_ret ||
        fn == op_test || fn == op_nop || fn == op_jcc || fn == op_jmp || fn == op_jmp_rm || fn == op_flag ||
        fn == op_sse || fn == op_fence || fn == op_pause)
        return 0;
    if (fn == op_mov_load || fn == op_movx || fn == op_lea || fn == op_cmov || fn == op_imul2 || fn == op_imul3 ||
        fn == op_popcnt || fn == op_bsf)
        return operand_bit(i, i->reg);
    if (fn == op_pop)
        return one(i->reg);
    if (fn == op_mov_store || fn == op_mov_imm || fn == op_incdec || fn == op_not_neg || fn == op_setcc ||
        fn == op_shift || fn == op_shift_cl || fn == op_shift_double || fn == op_bt || fn == op_bt_imm)
        return rm_bit(i);
    if (fn == op_alu)
        return op == 7 ? 0 : i->opcode & 2 ? operand_bit(i, i->reg) : rm_bit(i);
    if (fn == op_alu_imm)
        return op == 7 ? 0 : rm_bit(i);
    if (fn == op_mov_imm_reg || fn == op_bswap)
        return operand_bit(i, (i->opcode & 7u) | (i->rex & 1u) << 3);
    if (fn == op_high || fn == op_high_imm) /* which of the four, and where memory is not the only operand */
        return 0xf;
    if (fn == op_incdec_short)
        return one(i->opcode & 7);
    if (fn == op_moffs || fn == op_alu_acc || fn == op_cbw || fn == op_x87)
        return one(BP_RAX);
    if (fn == op_cwd || fn == op_mul || fn == op_div)
        return one(BP_RAX) | one(BP_RDX);
    if (fn == op_xchg || fn == op_xadd || fn == op_cmpxchg || fn == op_sse_gpr)
        return operand_bit(i, i->reg) | rm_bit(i) | one(BP_RAX);
    if (fn == op_vex || fn == op_bmi)
        return one(i->reg) | rm_bit(i) | one(i->rex >> 4 & 15);
    return ALL_GPRS;
}

/* By how much it moves RSP, when all it does to it is that. */
static bool moves_stack(uint32_t mode, const struct rule *r, const struct insn *i, int32_t *ret_by)
{
    unsigned op = i->modrm >> 3 & 7;

    *ret_by = 0;
    if (r->emit == op_push || r->emit == op_push_imm || r->emit == op_push_rm)
        *ret_by = -i->opsize;
    else if (r->emit == op_pop && i->reg != BP_RSP)
        *ret_by = i->opsize;
    else if (r->emit == op_alu_imm && i->rm == BP_RSP && i->opsize == (is_legacy(mode) ? 4 : 8) && (op == 0 || op == 5))
        *ret_by = op == 0 ? (int32_t)sign_extend(i->imm, 4) : -(int32_t)sign_extend(i->imm, 4);
    else
        return false;
    return *ret_by >= -SPAN_MAX && *ret_by <= SPAN_MAX;
}

/* ---- the plan ---- */

struct open {
    unsigned first, base;
    int32_t low, high; /* from the base's value at the leader */
    int32_t moved;     /* since then */
    bool is_open, write;
    unsigned members;
};

static unsigned base_of(const struct where *w)
{
    return w->rip ? SPAN_RIP : (unsigned)w->base;
}

static void finish(struct span_plan *plan, struct open *o)
{
    struct span_plan *p = &plan[o->first];

    if (o->is_open && o->members) {
        p->role = SPAN_LEADER;
        p->low = (int16_t)(o->low - p->disp);
        p->length = (uint16_t)(o->high - o->low);
    }
    o->is_open = false;
}

static bool joins(struct open *o, const struct operand *op)
{
    int64_t at = op->where.disp + o->moved;
    int64_t low = at < o->low ? at : o->low, high = at + op->size > o->high ? at + op->size : o->high;

    if (!o->is_open || (op->write && !o->write) || high - low > SPAN_MAX || o->moved < -SPAN_MAX || o->moved > SPAN_MAX)
        return false;
    o->low = (int32_t)low;
    o->high = (int32_t)high;
    o->members++;
    return true;
}

static struct open *find(struct open *open, unsigned base)
{
    for (unsigned n = 0; n < SPANS; n++) {
        if (open[n].is_open && open[n].base == base)
            return &open[n];
    }
    return NULL;
}

static struct open *oldest(struct open *open)
{
    struct open *o = open;

    for (unsigned n = 0; n < SPANS; n++) {
        if (!open[n].is_open)
            return &open[n];
        if (open[n].first < o->first)
            o = &open[n];
    }
    return o;
}

static void place(struct span_plan *plan, struct open *open, unsigned n, const struct operand *op)
{
    struct span_plan *p = &plan[n];
    struct open *o = find(open, base_of(&op->where));

    p->base = (uint8_t)base_of(&op->where);
    p->disp = (int32_t)op->where.disp;
    p->size = (uint8_t)op->size;
    p->write = op->write;
    if (o && joins(o, op)) {
        p->role = SPAN_MEMBER;
        p->back = (uint8_t)(n - o->first);
        p->moved = (int16_t)o->moved;
    } else {
        o = o ? o : oldest(open);
        finish(plan, o);
        *o = (struct open){.first = n, .base = p->base, .low = p->disp, .high = p->disp + (int32_t)op->size,
                           .is_open = true, .write = op->write};
    }
    p->slot = (uint8_t)(o - open);
}

/* A member cannot fault, so it touches no memory as far as flags are concerned; unless it has another operand. */
static void quieten(const struct insn *insns, struct rule *rules, unsigned count, const struct span_plan *plan)
{
    for (unsigned n = 0; n < count; n++) {
        const struct rule *r = &rules[n];
        bool two = (r->emit == op_push_rm || r->emit == op_call_rm) && insns[n].rm == RM_MEM;

        if (plan[n].role == SPAN_MEMBER && !two)
            rules[n].memory = 0;
    }
}

/* Of the writes of a span between which nothing can leave the block, the last one marks the page. */
static void choose_marks(const struct rule *rules, unsigned count, struct span_plan *plan)
{
    bool marked[SPANS] = {0}; /* further on, before anything can leave */

    for (unsigned n = count; n-- > 0;) {
        struct span_plan *p = &plan[n];

        if (p->role != SPAN_NONE && p->write) {
            p->marks = !marked[p->slot];
            marked[p->slot] = true;
        }
        if (!rules[n].emit || rules[n].memory || p->role == SPAN_LEADER)
            memset(marked, 0, sizeof(marked));
    }
}

/* Pushes and accesses by ESP are of 32 bits and see no segment, or there is no plan. */
static bool suits(uint32_t mode)
{
    return !is_legacy(mode) || (mode & MODE_STACK32 && mode >> (MODE_PLAIN_SHIFT + BP_SS) & 1);
}

unsigned span_plan(uint32_t mode, unsigned offset, const struct insn *insns, struct rule *rules, unsigned count,
                   struct span_plan *plan)
{
    struct open open[SPANS] = {0};
    unsigned next = offset, leaders = 0;

    memset(plan, 0, count * sizeof(*plan));
    if (!suits(mode))
        return 0;
    for (unsigned n = 0; n < count; n++) {
        const struct rule *r = &rules[n];
        unsigned lost = ALL_GPRS;
        struct operand op;
        int32_t by = 0;

        next += insns[n].len;
        if (r->emit) {
            if (operand_of(mode, r, &insns[n], next, &op))
                place(plan, open, n, &op);
            lost = may_write(r, &insns[n]);
            if (moves_stack(mode, r, &insns[n], &by))
                lost &= ~one(BP_RSP);
        }
        for (unsigned s = 0; s < SPANS; s++) {
            if (lost == ALL_GPRS || (open[s].base < 16 && lost >> open[s].base & 1))
                finish(plan, &open[s]);
            else if (open[s].base == BP_RSP)
                open[s].moved += by;
        }
    }
    for (unsigned s = 0; s < SPANS; s++)
        finish(plan, &open[s]);
    for (unsigned n = 0; n < count; n++)
        leaders += plan[n].role == SPAN_LEADER;
    quieten(insns, rules, count, plan);
    choose_marks(rules, count, plan);
    return leaders;
}

bool span_fits(const struct span_plan *p, const struct where *w, unsigned size, bool write, unsigned align)
{
    return p && p->role != SPAN_NONE && w->index < 0 && !w->segment && !w->slot && !w->width && !w->checked &&
           align <= 1 &&
           p->base == base_of(w) && p->disp == w->disp && p->size == size && p->write == write;
}
