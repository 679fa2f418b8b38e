/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One translation under way. An emitter turns one guest instruction into host code; it asks here for
 * registers, addresses and flags. Emitters stand in op-*.c, one file per group; rules.c finds them.
 */
#ifndef TCG_TRANSLATE_H
#define TCG_TRANSLATE_H

#include "emit.h"
#include "tcg.h"

struct tr;
typedef void emit_fn(struct tr *t, const struct insn *i);

/* What an instruction does with the arithmetic flags. */
enum flag_effect {
    FLAGS_NONE,
    FLAGS_SET,     /* writes all */
    FLAGS_PART,    /* writes some, or perhaps none */
    FLAGS_USE,     /* reads */
    FLAGS_USE_SET, /* reads, then writes all */
};

struct rule {
    emit_fn *emit; /* NULL: the interpreter executes it */
    uint8_t flags; /* enum flag_effect */
    uint8_t memory; /* touches guest memory: may fault, wants the flags saved */
    uint8_t simd;   /* needs the guest's XMM registers in the host's */
    uint8_t x87;    /* ... x87 stack */
    uint8_t keep;   /* its decoded form is looked at when it runs */
};
struct rule rule_of(const struct tcg_cpu *c, const struct insn *i);
struct rule rule_vex(const struct tcg_cpu *c, const struct insn *i); /* op-vex.c */
emit_fn op_vex;
struct rule rule_bmi(const struct insn *i); /* op-bmi.c */
emit_fn op_bmi;
struct rule rule_system(const struct tcg_cpu *c, const struct insn *i); /* op-system.c */
emit_fn op_mov_from_segment, op_pause, op_fence, op_cld_std, op_cli_sti, op_swapgs, op_pushf, op_popf,
    op_stac_clac, op_fast_call;
struct rule rule_string(const struct tcg_cpu *c, const struct insn *i); /* op-string.c */
emit_fn op_string;
struct rule rule_sse(const struct tcg_cpu *c, const struct insn *i);
struct rule rule_x87(const struct tcg_cpu *c, const struct insn *i);

struct where { /* an address of the guest: [base + index << scale + disp] and a segment's base */
    int8_t base, index; /* guest registers, -1: none */
    uint8_t scale;
    int64_t disp;
    bool rip;           /* disp counts from the page's linear address */
    int32_t segment;    /* slot of a base to be added, 0: none */
    int32_t slot;       /* in the frame, of the whole address; 0: as above */
    uint8_t width;      /* bytes that the sum is truncated to: 4, 2; 0: all */
    uint8_t checked;    /* 1 + segment of which base and limit are looked at; 0: none */
};

/* ---- spans: span.c ---- */
#define SPAN_RIP 16u /* as a base: the page */
enum span_role { SPAN_NONE, SPAN_LEADER, SPAN_MEMBER };
struct span_plan { /* of one instruction's access */
    uint8_t role, slot, base, size;
    uint8_t back; /* how many instructions before this one the leader is */
    bool write;
    bool marks;      /* a write: the page is marked dirty here */
    int16_t low;     /* leader: where the span begins, from the access, */
    uint16_t length; /* and its bytes */
    int16_t moved;   /* member: what the base register has moved since the leader */
    int32_t disp;
};
/* Fills plan[count], and makes members what cannot fault; the number of leaders. offset: of the first in its page. */
unsigned span_plan(uint32_t mode, unsigned offset, const struct insn *insns, struct rule *rules, unsigned count,
                   struct span_plan *plan);
/* Is it the access that was planned? */
bool span_fits(const struct span_plan *p, const struct where *w, unsigned size, bool write, unsigned align);
/* Bytes of a memory operand of op_sse and op_vex; 0: it wants an alignment, or is none. */
unsigned sse_operand(const struct insn *i, bool *ret_write);
unsigned vex_operand(const struct insn *i, bool *ret_write);

enum stub_kind { STUB_ACCESS, STUB_REDO, STUB_LINK, STUB_LEAVE, STUB_TAKEN, STUB_TARGET, STUB_SPENT };
struct stub {
    uint8_t kind;
    const struct insn *i;
    uint8_t *site[3];     /* jumps that lead here */
    const uint8_t *again; /* where an access is tried again */
    struct where where;   /* of the access */
    uint32_t info;
    int64_t delta;
    struct tb_link *link; /* the exit; of an access: the leader's to the twin */
    bool host, saved; /* where the flags are there */
    void (*commit)(struct tr *t, const struct insn *i); /* of a computed jump */
};
#define MAX_STUBS (MAX_BLOCK * 6 + 8)

struct tr {
    struct code c; /* first: emitters pass &t->c */
    struct tcg_cpu *cpu;
    struct tb *tb;
    uint64_t linear; /* of the block */
    unsigned offset; /* of the current instruction in its page */
    unsigned next;   /* of the one behind it: 4096 when that is in the next page */
    unsigned mmu;    /* MMU_*: rights of the accesses to come; STAC and CLAC change them in the middle */
    unsigned tlb;    /* displacement of their TLB from FRAME */
    bool other_mode; /* so that what comes behind the block is of another mode */
    /* Where the guest's flags are: */
    bool host, saved;
    bool flags_after; /* somebody looks at the flags that are there behind the current instruction */
    bool simd_live, x87_live;
    bool entry_kept; /* SCRATCH0's TLB entry is in the frame */
    const struct span_plan *plan; /* of the current instruction; NULL: there are none */
    const struct span_plan *span[SPANS]; /* leaders that have been emitted */
    const struct span_plan *used; /* by the access under way: its span, for wrote(); NULL: the TLB entry's */
    bool ended; /* the block has left already */
    struct stub stubs[MAX_STUBS];
    unsigned stub_count;
    uint32_t begins[MAX_BLOCK], ends; /* of the instructions' code, from the block's beginning */
    unsigned begun;
};

/* explain.c: logs a block that has been translated. */
void explain_block(struct tcg_cpu *c, const struct tr *t, const struct insn *const *insns, const struct rule *rules,
                   const bool *after, unsigned count, const struct span_plan *plan);

#define SLOT(field) ((int32_t)offsetof(struct jit_frame, field) - FRAME_BIAS)
#define GPR_SLOT(r) (SLOT(gpr) + (int32_t)(r) * 8)
#define VCPU_SLOT(field) \
    ((int32_t)(offsetof(struct tcg_cpu, v) + offsetof(struct vcpu, field)) - FRAME_BIAS)

/* ---- registers ---- */
/* The host register that holds guest register r; one without a home is loaded into `scratch`. */
int use_gpr(struct tr *t, unsigned r, int scratch);
/* To write it: use_gpr() or, when nothing of the old value stays, the register only; then done_gpr(). */
int dest_gpr(struct tr *t, unsigned r, int scratch);
void done_gpr(struct tr *t, unsigned r, int reg);
/* AH to BH as a host register that instructions without REX name; AH is a copy in SCRATCH0. Keeps the flags. */
int use_high(struct tr *t, unsigned r);
void done_high(struct tr *t, unsigned r);
static inline bool high_byte(const struct insn *i, unsigned r) /* AH, CH, DH, BH */
{
    return r >= 4 && r < 8 && !(i->prefixes & PREFIX_REX);
}

/* ---- flags ---- */
void flags_save(struct tr *t);    /* to the frame, when they are not there */
void flags_to_host(struct tr *t); /* uses SCRATCH0 */
/* The host's flags are about to be lost. */
static inline void flags_clobber(struct tr *t)
{
    if (t->flags_after)
        flags_save(t);
    t->host = false;
}
/* The instruction just emitted has written all (or all that it writes). */
static inline void flags_set(struct tr *t)
{
    t->host = true;
    t->saved = false;
}

/* ---- memory: address.c ---- */
void use_mmu(struct tr *t, unsigned mmu);
enum access { ACCESS_READ, ACCESS_WRITE };
struct where where_of(const struct tr *t, const struct insn *i);
struct where where_at(const struct insn *i, unsigned next); /* next: as in struct tr */
void emit_address(struct tr *t, int to, const struct where *w, int64_t extra);
/* The stack's top and what lies `disp` bytes from it; base: BP_RSP or BP_RBP. */
struct where stack_at(const struct tr *t, unsigned base, int32_t disp);
void stack_move(struct tr *t, unsigned from, int32_t by); /* RSP = from + by, in the stack's width. Keeps the flags */
/*
 * Checks an access and gives its host operand. Saves the flags before, clobbers the host's. Uses both scratch
 * registers; the operand uses SCRATCH1 only. Behind a write, wrote() must follow, before which SCRATCH0
 * must stay unless keep_index(). align: a power of two that a misaligned address of which faults.
 */
struct rm access(struct tr *t, const struct insn *i, const struct where *w, unsigned size, enum access kind,
                 unsigned align);
void keep_entry(struct tr *t); /* SCRATCH0 is free now; wrote() finds the entry again */
/* Marks the page dirty. Changes no flags. */
void wrote(struct tr *t);
/* A jump to here leaves the instruction to the interpreter; it has changed nothing yet. */
void redo_if(struct tr *t, const struct insn *i, unsigned cc);
struct stub *stub_new(struct tr *t, enum stub_kind kind, const struct insn *i);

/* ---- leaving: exits.c ---- */
/* To linear page + delta, inside this page or not. */
void exit_direct(struct tr *t, const struct insn *i, unsigned link, int64_t delta);
/* Taken when cc holds. */
void exit_if(struct tr *t, const struct insn *i, unsigned cc, int64_t delta);
/* Target's linear address in SCRATCH1; `commit` puts what is left to do when it is known. */
void exit_indirect(struct tr *t, const struct insn *i, void (*commit)(struct tr *, const struct insn *));
/* A jump (link 0) or what follows (link 1) can be chained: it stays in the page whatever segments say. */
bool exit_chains(const struct tr *t, const struct insn *i, unsigned link, int64_t delta);
void exit_probe(struct tr *t, const struct insn *i, int64_t delta); /* by the jump cache */
void take_budget(struct tr *t); /* -icount: the block is left when there are not instructions enough for all of it */
void entry_poll(struct tr *t, const uint8_t *entry); /* entry: where the rest is; NULL: here */
void stubs_emit(struct tr *t);
void call_interp(struct tr *t, const struct insn *i, bool last);
/* A thunk that takes a kept instruction and returns, or leaves the block. */
void call_with_insn(struct tr *t, const struct insn *i, const uint8_t *thunk, uint32_t info);
void need_simd(struct tr *t);
void need_x87(struct tr *t);

/* ---- code that is not 64-bit: legacy.c ---- */
static inline bool legacy(const struct tr *t)
{
    return is_legacy(t->tb->mode);
}
struct where legacy_where(uint32_t mode, const struct insn *i);
void legacy_address(struct tr *t, int to, const struct where *w, int64_t extra);
/* Behind flags_save(): the checked linear address of an access goes to the frame; how to go on from there. */
struct where legacy_place(struct tr *t, const struct insn *i, const struct where *w, unsigned size, bool write);
/* SCRATCH1: the branch's target as an offset, whose upper half may be anything; becomes its linear address. */
void legacy_target(struct tr *t, const struct insn *i);
void legacy_jump(struct tr *t, int64_t delta); /* to page + delta: the offset, to SCRATCH1 */
struct rule rule_legacy(const struct tcg_cpu *c, const struct insn *i); /* op-legacy.c: what only such code has */
bool suits_legacy(const struct tcg_cpu *c, const struct insn *i);

/* ---- emitters ---- */
emit_fn op_alu, op_alu_imm, op_alu_acc, op_test, op_incdec, op_not_neg, op_mul, op_div, op_imul2, op_imul3,
    op_cbw, op_cwd;
emit_fn op_shift, op_shift_cl, op_shift_double, op_bt, op_bt_imm, op_bt_string, op_cmpxchg16, op_bsf, op_bswap,
    op_popcnt, op_xadd,
    op_cmpxchg, op_xchg;
emit_fn op_mov_store, op_mov_load, op_mov_imm, op_mov_imm_reg, op_lea, op_movx, op_cmov, op_setcc, op_push,
    op_pop, op_push_imm, op_push_rm, op_leave, op_nop, op_xchg_ax, op_flag;
emit_fn op_jcc, op_jmp, op_call, op_ret, op_jmp_rm, op_call_rm;
emit_fn op_sse, op_sse_gpr, op_x87;
bool high_emits(const struct insn *i); /* op-high.c: AH to BH among the operands */
emit_fn op_high, op_high_imm;
emit_fn op_incdec_short, op_moffs, op_loop, op_lahf_sahf, op_push_segment, op_cmpxchg8;

#endif
