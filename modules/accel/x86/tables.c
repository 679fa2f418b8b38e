/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opcode maps of the integer instructions. Intel SDM volume 2, appendix A. */
#include "vector.h"

#define IZ 0xff
/* The six forms of an ALU operation; pick_fast() puts the real handler in. */
#define ALU6(base, lock) \
    [base] = {exec_ud, OP_MODRM | OP_BYTE | lock, 0}, [base + 1] = {exec_ud, OP_MODRM | lock, 0}, \
    [base + 2] = {exec_ud, OP_MODRM | OP_BYTE, 0}, [base + 3] = {exec_ud, OP_MODRM, 0}, \
    [base + 4] = {exec_ud, OP_BYTE, 1}, [base + 5] = {exec_ud, 0, IZ}
#define EIGHT(base, ...) \
    [base] = __VA_ARGS__, [base + 1] = __VA_ARGS__, [base + 2] = __VA_ARGS__, \
    [base + 3] = __VA_ARGS__, [base + 4] = __VA_ARGS__, [base + 5] = __VA_ARGS__, \
    [base + 6] = __VA_ARGS__, [base + 7] = __VA_ARGS__
#define SIXTEEN(base, ...) EIGHT(base, __VA_ARGS__), EIGHT(base + 8, __VA_ARGS__)

const struct opcode opcodes_1[256] = {
    ALU6(0x00, OP_LOCK), ALU6(0x08, OP_LOCK), ALU6(0x10, OP_LOCK), ALU6(0x18, OP_LOCK),
    ALU6(0x20, OP_LOCK), ALU6(0x28, OP_LOCK), ALU6(0x30, OP_LOCK), ALU6(0x38, 0),
    [0x06] = {exec_push_seg, OP_INVALID64, 0}, [0x07] = {exec_pop_seg, OP_INVALID64, 0},
    [0x0e] = {exec_push_seg, OP_INVALID64, 0},
    [0x16] = {exec_push_seg, OP_INVALID64, 0}, [0x17] = {exec_pop_seg, OP_INVALID64, 0},
    [0x1e] = {exec_push_seg, OP_INVALID64, 0}, [0x1f] = {exec_pop_seg, OP_INVALID64, 0},
    [0x27] = {exec_daa, OP_INVALID64, 0}, [0x2f] = {exec_das, OP_INVALID64, 0},
    [0x37] = {exec_aaa, OP_INVALID64, 0}, [0x3f] = {exec_aas, OP_INVALID64, 0},
    SIXTEEN(0x40, {exec_incdec_r, 0, 0}),
    EIGHT(0x50, {exec_push_r, OP_DEFAULT64, 0}), EIGHT(0x58, {exec_pop_r, OP_DEFAULT64, 0}),
    [0x60] = {exec_pusha, OP_INVALID64, 0}, [0x61] = {exec_popa, OP_INVALID64, 0},
    [0x62] = {exec_bound, OP_MODRM | OP_INVALID64 | OP_MEM_ONLY, 0},
    [0x63] = {exec_arpl, OP_MODRM, 0},
    [0x68] = {exec_push_i, OP_DEFAULT64, IZ}, [0x69] = {exec_imul3, OP_MODRM, IZ},
    [0x6a] = {exec_push_i, OP_DEFAULT64, 1}, [0x6b] = {exec_imul3, OP_MODRM, 1},
    [0x6c] = {exec_ins, OP_BYTE, 0}, [0x6d] = {exec_ins, 0, 0},
    [0x6e] = {exec_outs, OP_BYTE, 0}, [0x6f] = {exec_outs, 0, 0},
    SIXTEEN(0x70, {exec_jcc, OP_FORCE64 | OP_BRANCH, 1}),
    [0x80] = {exec_ud, OP_MODRM | OP_BYTE | OP_LOCK, 1}, [0x81] = {exec_ud, OP_MODRM | OP_LOCK, IZ},
    [0x82] = {exec_ud, OP_MODRM | OP_BYTE | OP_LOCK | OP_INVALID64, 1},
    [0x83] = {exec_ud, OP_MODRM | OP_LOCK, 1},
    [0x84] = {exec_ud, OP_MODRM | OP_BYTE, 0}, [0x85] = {exec_ud, OP_MODRM, 0},
    [0x86] = {exec_xchg_eg, OP_MODRM | OP_BYTE | OP_LOCK, 0}, [0x87] = {exec_xchg_eg, OP_MODRM | OP_LOCK, 0},
    [0x88] = {exec_mov_eg, OP_MODRM | OP_BYTE, 0}, [0x89] = {exec_mov_eg, OP_MODRM, 0},
    [0x8a] = {exec_mov_ge, OP_MODRM | OP_BYTE, 0}, [0x8b] = {exec_mov_ge, OP_MODRM, 0},
    [0x8c] = {exec_mov_es, OP_MODRM, 0}, [0x8d] = {exec_lea, OP_MODRM | OP_MEM_ONLY, 0},
    [0x8e] = {exec_mov_se, OP_MODRM, 0}, [0x8f] = {exec_pop_e, OP_MODRM | OP_DEFAULT64, 0},
    EIGHT(0x90, {exec_xchg_ax, 0, 0}),
    [0x98] = {exec_cbw, 0, 0}, [0x99] = {exec_cwd, 0, 0},
    [0x9a] = {exec_far_call_i, OP_FAR | OP_INVALID64 | OP_BRANCH, 0}, [0x9b] = {exec_fwait, 0, 0},
    [0x9c] = {exec_pushf, OP_DEFAULT64, 0}, [0x9d] = {exec_popf, OP_DEFAULT64, 0},
    [0x9e] = {exec_sahf, 0, 0}, [0x9f] = {exec_lahf, 0, 0},
    [0xa0] = {exec_mov_moffs, OP_MOFFS | OP_BYTE, 0}, [0xa1] = {exec_mov_moffs, OP_MOFFS, 0},
    [0xa2] = {exec_mov_moffs, OP_MOFFS | OP_BYTE, 0}, [0xa3] = {exec_mov_moffs, OP_MOFFS, 0},
    [0xa4] = {exec_movs, OP_BYTE, 0}, [0xa5] = {exec_movs, 0, 0},
    [0xa6] = {exec_cmps, OP_BYTE, 0}, [0xa7] = {exec_cmps, 0, 0},
    [0xa8] = {exec_ud, OP_BYTE, 1}, [0xa9] = {exec_ud, 0, IZ},
    [0xaa] = {exec_stos, OP_BYTE, 0}, [0xab] = {exec_stos, 0, 0},
    [0xac] = {exec_lods, OP_BYTE, 0}, [0xad] = {exec_lods, 0, 0},
    [0xae] = {exec_scas, OP_BYTE, 0}, [0xaf] = {exec_scas, 0, 0},
    EIGHT(0xb0, {exec_mov_ri, OP_BYTE, 1}), EIGHT(0xb8, {exec_mov_ri, OP_IMM64, IZ}),
    [0xc0] = {exec_shift, OP_MODRM | OP_BYTE, 1}, [0xc1] = {exec_shift, OP_MODRM, 1},
    [0xc2] = {exec_ret, OP_FORCE64 | OP_BRANCH, 2}, [0xc3] = {exec_ret, OP_FORCE64 | OP_BRANCH, 0},
    [0xc4] = {exec_far_load, OP_MODRM | OP_INVALID64 | OP_MEM_ONLY, 0},
    [0xc5] = {exec_far_load, OP_MODRM | OP_INVALID64 | OP_MEM_ONLY, 0},
    [0xc6] = {exec_mov_ei, OP_MODRM | OP_BYTE, 1}, [0xc7] = {exec_mov_ei, OP_MODRM, IZ},
    [0xc8] = {exec_enter, OP_DEFAULT64, 3}, [0xc9] = {exec_leave, OP_DEFAULT64, 0},
    [0xca] = {exec_far_ret, OP_BRANCH, 2}, [0xcb] = {exec_far_ret, OP_BRANCH, 0},
    [0xcc] = {exec_int3, OP_BRANCH, 0}, [0xcd] = {exec_int_n, OP_BRANCH | OP_BYTE, 1},
    [0xce] = {exec_into, OP_BRANCH | OP_INVALID64, 0}, [0xcf] = {exec_iret, OP_BRANCH, 0},
    [0xd0] = {exec_shift, OP_MODRM | OP_BYTE, 0}, [0xd1] = {exec_shift, OP_MODRM, 0},
    [0xd2] = {exec_shift, OP_MODRM | OP_BYTE, 0}, [0xd3] = {exec_shift, OP_MODRM, 0},
    [0xd4] = {exec_aam, OP_INVALID64 | OP_BYTE, 1}, [0xd5] = {exec_aad, OP_INVALID64 | OP_BYTE, 1},
    [0xd6] = {exec_salc, OP_INVALID64 | OP_BYTE, 0},
    [0xd7] = {exec_xlat, OP_BYTE, 0},
    [0xe0] = {exec_loop, OP_FORCE64 | OP_BRANCH, 1}, [0xe1] = {exec_loop, OP_FORCE64 | OP_BRANCH, 1},
    [0xe2] = {exec_loop, OP_FORCE64 | OP_BRANCH, 1}, [0xe3] = {exec_jcxz, OP_FORCE64 | OP_BRANCH, 1},
    [0xe4] = {exec_in, OP_BYTE, 1}, [0xe5] = {exec_in, 0, 1},
    [0xe6] = {exec_out, OP_BYTE, 1}, [0xe7] = {exec_out, 0, 1},
    [0xe8] = {exec_call, OP_FORCE64 | OP_BRANCH, IZ}, [0xe9] = {exec_jmp, OP_FORCE64 | OP_BRANCH, IZ},
    [0xea] = {exec_far_jmp_i, OP_FAR | OP_INVALID64 | OP_BRANCH, 0},
    [0xeb] = {exec_jmp, OP_FORCE64 | OP_BRANCH, 1},
    [0xec] = {exec_in, OP_BYTE, 0}, [0xed] = {exec_in, 0, 0},
    [0xee] = {exec_out, OP_BYTE, 0}, [0xef] = {exec_out, 0, 0},
    [0xf1] = {exec_icebp, OP_BRANCH, 0}, [0xf4] = {exec_hlt, OP_BRANCH, 0},
    [0xf5] = {exec_flag_op, 0, 0},
    [0xf6] = {exec_group3, OP_MODRM | OP_BYTE | OP_LOCK | OP_GROUP3, 1},
    [0xf7] = {exec_group3, OP_MODRM | OP_LOCK | OP_GROUP3, IZ},
    [0xf8] = {exec_flag_op, 0, 0}, [0xf9] = {exec_flag_op, 0, 0},
    [0xfa] = {exec_cli, 0, 0}, [0xfb] = {exec_sti, OP_BRANCH, 0},
    [0xfc] = {exec_flag_op, 0, 0}, [0xfd] = {exec_flag_op, 0, 0},
    [0xfe] = {exec_group4, OP_MODRM | OP_BYTE | OP_LOCK, 0},
    [0xff] = {exec_group5, OP_MODRM | OP_LOCK, 0},
};

const struct opcode opcodes_0f[256] = {
    [0x00] = {exec_group6, OP_MODRM, 0}, [0x01] = {exec_group7, OP_MODRM | OP_BRANCH, 0},
    [0x02] = {exec_lar_lsl, OP_MODRM, 0}, [0x03] = {exec_lar_lsl, OP_MODRM, 0},
    [0x05] = {exec_syscall, OP_BRANCH, 0}, [0x06] = {exec_clts, 0, 0},
    [0x07] = {exec_sysret, OP_BRANCH, 0}, [0x08] = {exec_invd, 0, 0}, [0x09] = {exec_invd, 0, 0},
    [0x0b] = {exec_ud, OP_BRANCH, 0}, [0x0d] = {exec_nop, OP_MODRM, 0},
    EIGHT(0x18, {exec_nop, OP_MODRM, 0}),
    [0x20] = {exec_mov_cr, OP_MODRM, 0}, [0x21] = {exec_mov_dr, OP_MODRM, 0},
    [0x22] = {exec_mov_cr, OP_MODRM | OP_BRANCH, 0}, [0x23] = {exec_mov_dr, OP_MODRM | OP_BRANCH, 0},
    [0x30] = {exec_wrmsr, OP_BRANCH, 0}, [0x31] = {exec_rdtsc, 0, 0}, [0x32] = {exec_rdmsr, 0, 0},
    [0x33] = {exec_rdpmc, 0, 0}, [0x34] = {exec_sysenter, OP_BRANCH, 0},
    [0x35] = {exec_sysexit, OP_BRANCH, 0},
    SIXTEEN(0x40, {exec_cmov, OP_MODRM, 0}),
    SIXTEEN(0x80, {exec_jcc, OP_FORCE64 | OP_BRANCH, IZ}),
    SIXTEEN(0x90, {exec_setcc, OP_MODRM | OP_BYTE, 0}),
    [0xa0] = {exec_push_seg, OP_DEFAULT64, 0}, [0xa1] = {exec_pop_seg, OP_DEFAULT64, 0},
    [0xa2] = {exec_cpuid, OP_BRANCH, 0}, [0xa3] = {exec_bt, OP_MODRM, 0},
    [0xa4] = {exec_shift_double, OP_MODRM, 1}, [0xa5] = {exec_shift_double, OP_MODRM, 0},
    [0xa8] = {exec_push_seg, OP_DEFAULT64, 0}, [0xa9] = {exec_pop_seg, OP_DEFAULT64, 0},
    [0xaa] = {exec_rsm, OP_BRANCH, 0}, [0xab] = {exec_bt, OP_MODRM | OP_LOCK, 0},
    [0xac] = {exec_shift_double, OP_MODRM, 1}, [0xad] = {exec_shift_double, OP_MODRM, 0},
    [0xaf] = {exec_imul2, OP_MODRM, 0},
    [0xb0] = {exec_cmpxchg, OP_MODRM | OP_BYTE | OP_LOCK, 0}, [0xb1] = {exec_cmpxchg, OP_MODRM | OP_LOCK, 0},
    [0xb2] = {exec_far_load, OP_MODRM | OP_MEM_ONLY, 0}, [0xb3] = {exec_bt, OP_MODRM | OP_LOCK, 0},
    [0xb4] = {exec_far_load, OP_MODRM | OP_MEM_ONLY, 0}, [0xb5] = {exec_far_load, OP_MODRM | OP_MEM_ONLY, 0},
    [0xb6] = {exec_movzx, OP_MODRM, 0}, [0xb7] = {exec_movzx, OP_MODRM, 0},
    [0xb8] = {exec_popcnt, OP_MODRM, 0}, [0xb9] = {exec_ud, OP_MODRM | OP_BRANCH, 0},
    [0xba] = {exec_bt_imm, OP_MODRM | OP_LOCK, 1}, [0xbb] = {exec_bt, OP_MODRM | OP_LOCK, 0},
    [0xbc] = {exec_bsf, OP_MODRM, 0}, [0xbd] = {exec_bsr, OP_MODRM, 0},
    [0xbe] = {exec_movsx, OP_MODRM, 0}, [0xbf] = {exec_movsx, OP_MODRM, 0},
    [0xc0] = {exec_xadd, OP_MODRM | OP_BYTE | OP_LOCK, 0}, [0xc1] = {exec_xadd, OP_MODRM | OP_LOCK, 0},
    [0xc3] = {exec_movnti, OP_MODRM | OP_MEM_ONLY, 0},
    [0xc7] = {exec_group9, OP_MODRM | OP_LOCK, 0},
    EIGHT(0xc8, {exec_bswap, 0, 0}),
    [0xff] = {exec_ud, OP_MODRM | OP_BRANCH, 0},
};

const struct opcode *opcode_0f3a(const struct vcpu *v, const struct insn *i, unsigned pp)
{
    return vec_opcode(v, i, pp);
}

const struct opcode *opcode_0f38(const struct vcpu *v, const struct insn *i, unsigned pp)
{
    static const struct opcode movbe = {exec_movbe, OP_MODRM | OP_MEM_ONLY, 0};
    static const struct opcode crc32 = {exec_crc32, OP_MODRM, 0};
    static const struct opcode adx = {exec_adx, OP_MODRM, 0};
    static const struct opcode invpcid = {exec_invpcid, OP_MODRM | OP_MEM_ONLY | OP_BRANCH, 0};

    switch (i->opcode) {
    case 0xf0: case 0xf1:
        return i->prefixes & PREFIX_REPNE ? &crc32 : i->prefixes & PREFIX_REP ? NULL : &movbe;
    case 0xf6: return i->prefixes & (PREFIX_66 | PREFIX_REP) ? &adx : NULL;
    case 0x82: return i->prefixes & PREFIX_66 ? &invpcid : NULL;
    }
    return vec_opcode(v, i, pp);
}

const struct opcode *opcode_vex(const struct vcpu *v, const struct insn *i, unsigned pp)
{
    static const struct opcode andn = {exec_bmi_andn, OP_MODRM, 0}, group17 = {exec_bmi_group17, OP_MODRM, 0},
                               bextr = {exec_bmi_bextr, OP_MODRM, 0}, bzhi = {exec_bmi_bzhi, OP_MODRM, 0},
                               pdep = {exec_bmi_pdep, OP_MODRM, 0}, mulx = {exec_bmi_mulx, OP_MODRM, 0},
                               shift = {exec_bmi_shift, OP_MODRM, 0}, rorx = {exec_bmi_rorx, OP_MODRM, 1};
    const struct opcode *vector = i->map >= 1 && i->map <= 3 ? vec_opcode(v, i, pp) : NULL;
    bool bmi1 = feature(v, BP_X86_FW_7_EBX, 3), bmi2 = feature(v, BP_X86_FW_7_EBX, 8);

    if (vector)
        return vector;
    if (i->prefixes & PREFIX_L)
        return NULL;
    if (i->map == 3)
        return i->opcode == 0xf0 && pp == 3 && bmi2 ? &rorx : NULL;
    if (i->map != 2)
        return NULL;
    switch (i->opcode) {
    case 0xf2: return pp == 0 && bmi1 ? &andn : NULL;
    case 0xf3: return pp == 0 && bmi1 ? &group17 : NULL;
    case 0xf5: return !bmi2 || pp == 1 ? NULL : pp == 0 ? &bzhi : &pdep;
    case 0xf6: return pp == 3 && bmi2 ? &mulx : NULL;
    case 0xf7: return pp == 0 ? (bmi1 ? &bextr : NULL) : bmi2 ? &shift : NULL;
    }
    return NULL;
}
