/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The border between C and translated code. Translated code keeps guest registers in nearly all of the host's;
 * what it calls finds them in the architectural state and may return, or leave by longjmp(). C code compiled
 * without SIMD is called with the guest's XMM registers in place; for all other they are saved first.
 */
#include "translate.h"
#include <stdlib.h>

#define XGPR(r) ((int32_t)offsetof(struct bp_x86_cpu, gpr) + (int32_t)(r) * 8)
#define XVEC(n) ((int32_t)offsetof(struct bp_x86_cpu, vec) + (int32_t)(n) * (int32_t)sizeof(union bp_x86_vec))
#define RETURN_BYTES 8

/* Whole YMM registers where the host has them: instructions without VEX leave the upper halves alone. */
static void move_vectors(struct code *c, bool store)
{
    bool wide = __builtin_cpu_supports("avx2");

    for (int n = 0; n < 16; n++) {
        struct rm rm = rm_mem(H_15, XVEC(n));

        if (wide)
            emit_vex(c, 1, 0, false, true, store ? 0x11 : 0x10, n, 0, &rm);
        else
            emit(c, store ? 0x0f11 : 0x0f10, 4, n, &rm);
    }
}

static const uint8_t callee_saved[] = {H_BX, H_BP, H_12, H_13, H_14, H_15};

static void push_pop(struct code *c, bool push, int reg)
{
    if (reg >= 8)
        put8(c, 0x41);
    put8(c, (push ? 0x50u : 0x58u) | (unsigned)(reg & 7));
}

/* H_15 becomes the architectural state's address. */
static void move_gprs(struct code *c, bool store, bool all)
{
    emit_load(c, H_15, FRAME, SLOT(x));
    for (unsigned r = 0; r < 16; r++) {
        int h = home_of[r];
        bool kept = h == H_BX || h >= H_12; /* by C functions */

        if (h >= 0 && (store || all || !kept))
            emit_rm(c, store ? 0x89 : 0x8b, 8, h, H_15, XGPR(r));
    }
}

static void call_c(struct code *c, uintptr_t fn)
{
    emit_lea(c, H_DI, FRAME, -FRAME_BIAS);
    emit_mov64(c, H_AX, fn);
    emit_rr(c, 0xff, 4, 2, H_AX);
}

/* H_15: the state. Saves the guest's XMM registers, MXCSR and x87 stack when they are here. */
static void save_simd(struct code *c)
{
    uint8_t *skip;

    emit_rm(c, 0x83, 4, 7, FRAME, SLOT(simd_live));
    put8(c, 0);
    skip = emit_jcc(c, CC_E);
    move_vectors(c, true);
    emit_rm(c, 0x0fae, 4, 3, H_15, (int32_t)offsetof(struct bp_x86_cpu, mxcsr));
    emit_rm(c, 0x0fae, 4, 2, FRAME, SLOT(host_mxcsr));
    emit_rm(c, 0xc7, 4, 0, FRAME, SLOT(simd_live));
    put32(c, 0);
    patch(skip, c->p);
    emit_rm(c, 0x83, 4, 7, FRAME, SLOT(x87_live));
    put8(c, 0);
    skip = emit_jcc(c, CC_E);
    emit_rm(c, 0xdd, 4, 6, FRAME, SLOT(x87)); /* FNSAVE: leaves the host's as after FNINIT */
    emit_rm(c, 0xc7, 4, 0, FRAME, SLOT(x87_live));
    put32(c, 0);
    emit_rm(c, 0xc7, 4, 0, FRAME, SLOT(x87_saved));
    put32(c, 1);
    patch(skip, c->p);
}

static void make_x87(struct code *c)
{
    emit_alu_imm(c, 5, 8, H_SP, RETURN_BYTES);
    move_gprs(c, true, true);
    call_c(c, (uintptr_t)x87_to_image);
    emit_rm(c, 0xdd, 4, 4, FRAME, SLOT(x87)); /* FRSTOR */
    emit_rm(c, 0xc7, 4, 0, FRAME, SLOT(x87_live));
    put32(c, 1);
    move_gprs(c, false, false);
    emit_alu_imm(c, 0, 8, H_SP, RETURN_BYTES);
    put8(c, 0xc3);
}

static void make_simd(struct code *c)
{
    emit_load(c, H_15, FRAME, SLOT(x));
    move_vectors(c, false);
    emit_rm(c, 0x0fae, 4, 2, H_15, (int32_t)offsetof(struct bp_x86_cpu, mxcsr));
    emit_rm(c, 0xc7, 4, 0, FRAME, SLOT(simd_live));
    put32(c, 1);
    put8(c, 0xc3);
}

static void leave(struct code *c)
{
    emit_alu_imm(c, 0, 8, H_SP, 8);
    for (unsigned n = sizeof(callee_saved); n-- > 0;)
        push_pop(c, false, callee_saved[n]);
    put8(c, 0xc3);
}

/* H_AX: LEAVE, or the code to go on with; `pushed` bytes are on the stack. */
static void go_on(struct code *c, int32_t pushed)
{
    uint8_t *site;

    if (pushed)
        emit_alu_imm(c, 0, 8, H_SP, pushed);
    emit_alu_imm(c, 7, 8, H_AX, 1);
    site = emit_jcc(c, CC_E);
    move_gprs(c, false, true);
    emit_rr(c, 0xff, 4, 4, H_AX);
    patch(site, c->p);
    leave(c);
}

enum { INTERP, STRING, CALL };

/* SCRATCH0: info, SCRATCH1: the instruction. Returns when the block goes on. */
static void make_interp(struct code *c, unsigned kind)
{
    uint8_t *site;

    emit_alu_imm(c, 5, 8, H_SP, RETURN_BYTES);
    emit_rm(c, 0x89, 4, SCRATCH0, FRAME, SLOT(info));
    emit_store(c, SCRATCH1, FRAME, SLOT(linear));
    move_gprs(c, true, true);
    if (kind == STRING) {
        call_c(c, (uintptr_t)fast_string);
        emit_rr(c, 0x85, 4, H_AX, H_AX);
        site = emit_jcc(c, CC_NE);
        move_gprs(c, false, false);
        emit_alu_imm(c, 0, 8, H_SP, RETURN_BYTES);
        put8(c, 0xc3);
        patch(site, c->p);
    } else if (kind == CALL) {
        call_c(c, (uintptr_t)fast_call);
        emit_rr(c, 0x85, 8, H_AX, H_AX);
        site = emit_jcc(c, CC_E);
        go_on(c, 2 * RETURN_BYTES);
        patch(site, c->p);
    }
    save_simd(c);
    call_c(c, (uintptr_t)slow_interp);
    emit_rr(c, 0x85, 8, H_AX, H_AX);
    site = emit_jcc(c, CC_NE);
    move_gprs(c, false, true);
    emit_alu_imm(c, 0, 8, H_SP, RETURN_BYTES);
    put8(c, 0xc3);
    patch(site, c->p);
    go_on(c, 2 * RETURN_BYTES);
}

/* SCRATCH1: the target of a computed jump. ZF: it is in the jump cache and SCRATCH0 is its entry in the small one,
 * which it did not have before; else `temp` is the target. Uses the scratch registers alone, so that nothing has to
 * be saved. */
static void make_probe(struct code *c)
{
    struct rm tag = rm_index(FRAME, SCRATCH0, 0, SLOT(jump) + (int32_t)offsetof(struct jump, tag));
    struct rm code = rm_index(FRAME, SCRATCH0, 0, SLOT(jump) + (int32_t)offsetof(struct jump, code));
    uint8_t *miss[2];

    emit_store(c, SCRATCH1, FRAME, SLOT(temp));
    emit_rr(c, 0x89, 4, SCRATCH1, SCRATCH0);
    emit_shift(c, 5, 4, SCRATCH0, JUMPS_BITS);
    emit_rr(c, 0x33, 4, SCRATCH0, SCRATCH1);
    emit_alu_imm(c, 4, 4, SCRATCH0, JUMPS - 1);
    emit_shift(c, 4, 4, SCRATCH0, JUMP_SHIFT);
    emit_shift(c, 4, 8, SCRATCH1, 16);
    emit_rm(c, 0x0b, 8, SCRATCH1, FRAME, SLOT(key));
    emit(c, 0x3b, 8, SCRATCH1, &tag);
    miss[0] = emit_jcc(c, CC_NE);
    emit_shift(c, 7, 8, SCRATCH1, 16);
    emit_rm(c, 0x3b, 8, SCRATCH1, FRAME, SLOT(temp)); /* a tag has no room for the upper bits: they fault */
    miss[1] = emit_jcc(c, CC_NE);
    emit(c, 0x8b, 8, SCRATCH1, &code);
    emit_rm(c, 0x69, 4, SCRATCH0, FRAME, SLOT(temp)); /* imul */
    put32(c, QUICK_FACTOR);
    emit_shift(c, 5, 4, SCRATCH0, QUICK_SHIFT - JUMP_SHIFT);
    emit_alu_imm(c, 4, 4, SCRATCH0, (int32_t)((QUICK - 1) << JUMP_SHIFT));
    emit_rm(c, 0x03, 8, SCRATCH0, FRAME, SLOT(quick));
    emit_store(c, SCRATCH1, SCRATCH0, (int32_t)offsetof(struct jump, code));
    emit_load(c, SCRATCH1, FRAME, SLOT(temp));
    emit_store(c, SCRATCH1, SCRATCH0, (int32_t)offsetof(struct jump, tag));
    emit_rr(c, 0x39, 4, SCRATCH0, SCRATCH0); /* cmp: equal */
    put8(c, 0xc3);
    patch(miss[0], c->p);
    patch(miss[1], c->p);
    put8(c, 0xc3); /* not equal still */
}

static const uint8_t *aligned(struct code *c)
{
    c->p = (uint8_t *)(((uintptr_t)c->p + 15) & ~(uintptr_t)15);
    return c->p;
}

void thunks_make(struct tcg_cpu *cpu)
{
    struct code code = {cpu->buffer}, *c = &code;
    uint8_t *site;

    /* enter(frame + bias, code) */
    cpu->enter = (void (*)(void *, const uint8_t *))(uintptr_t)(c->p + cpu->exec_delta);
    for (unsigned n = 0; n < sizeof(callee_saved); n++)
        push_pop(c, true, callee_saved[n]);
    emit_alu_imm(c, 5, 8, H_SP, 8);
    emit_mov(c, FRAME, H_DI);
    emit_mov(c, H_AX, H_SI);
    move_gprs(c, false, true);
    emit_rr(c, 0xff, 4, 4, H_AX);

    cpu->thunk_exit = aligned(c); /* reached by a jump, with exit_delta and perhaps link in the frame */
    move_gprs(c, true, true);
    save_simd(c);
    call_c(c, (uintptr_t)slow_next);
    go_on(c, 0);

    cpu->thunk_target = aligned(c); /* reached by a jump, with the target in `temp` */
    move_gprs(c, true, true);
    save_simd(c);
    call_c(c, (uintptr_t)slow_target);
    go_on(c, 0);

    cpu->thunk_simd = aligned(c);
    make_simd(c);
    cpu->thunk_x87 = aligned(c);
    make_x87(c);

    /* SCRATCH0: info, SCRATCH1: linear address. Returns when the TLB was filled. */
    cpu->thunk_slow = aligned(c);
    emit_alu_imm(c, 5, 8, H_SP, RETURN_BYTES);
    emit_rm(c, 0x89, 4, SCRATCH0, FRAME, SLOT(info));
    emit_store(c, SCRATCH1, FRAME, SLOT(linear));
    move_gprs(c, true, true);
    call_c(c, (uintptr_t)refill);
    emit_rr(c, 0x85, 4, H_AX, H_AX);
    site = emit_jcc(c, CC_NE);
    move_gprs(c, false, false);
    emit_alu_imm(c, 0, 8, H_SP, RETURN_BYTES);
    put8(c, 0xc3);
    patch(site, c->p);
    save_simd(c); /* H_15 is kept by C functions */
    call_c(c, (uintptr_t)slow_insn);
    go_on(c, 2 * RETURN_BYTES);

    cpu->thunk_probe = aligned(c);
    make_probe(c);
    cpu->thunk_interp = aligned(c);
    make_interp(c, INTERP);
    cpu->thunk_string = aligned(c);
    make_interp(c, STRING);
    cpu->thunk_call = aligned(c);
    make_interp(c, CALL);
    cpu->thunk_size = (uint32_t)((const uint8_t *)aligned(c) - cpu->buffer);
    if (cpu->thunk_size > THUNK_BYTES)
        abort(); /* THUNK_BYTES is too small */
    if (perf_wanted)
        perf_code(cpu, cpu->buffer, cpu->thunk_size, "thunks", 0);
}
