/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The x87 opcode map, D8 to DF. Intel SDM volume 2, appendix A.5. Processors also execute a few
 * encodings that the manual leaves blank as other forms of FCOM, FCOMP, FXCH, FSTP and FFREEP.
 */
#include "x87.h"

#define M(fn) {x87_##fn, OP_MODRM | OP_MEM_ONLY, 0}
#define R(fn) {x87_##fn, OP_MODRM | OP_REG_ONLY, 0}
#define FROM(group) 8 * (group) ... 8 * (group) + 7

static const struct opcode memory_table[8][8] = {
    {M(arith_m32), M(arith_m32), M(arith_m32), M(arith_m32), M(arith_m32), M(arith_m32),
     M(arith_m32), M(arith_m32)},
    {M(fld_m32), {0}, M(fst_m32), M(fstp_m32), M(fldenv), M(fldcw), M(fnstenv), M(fnstcw)},
    {M(arith_i32), M(arith_i32), M(arith_i32), M(arith_i32), M(arith_i32), M(arith_i32),
     M(arith_i32), M(arith_i32)},
    {M(fild32), M(fisttp32), M(fist32), M(fistp32), {0}, M(fld_m80), {0}, M(fstp_m80)},
    {M(arith_m64), M(arith_m64), M(arith_m64), M(arith_m64), M(arith_m64), M(arith_m64),
     M(arith_m64), M(arith_m64)},
    {M(fld_m64), M(fisttp64), M(fst_m64), M(fstp_m64), M(frstor), {0}, M(fnsave), M(fnstsw)},
    {M(arith_i16), M(arith_i16), M(arith_i16), M(arith_i16), M(arith_i16), M(arith_i16),
     M(arith_i16), M(arith_i16)},
    {M(fild16), M(fisttp16), M(fist16), M(fistp16), M(fbld), M(fild64), M(fbstp), M(fistp64)},
};

/* By modrm & 63. */
static const struct opcode register_table[8][64] = {
    {[0 ... 63] = R(arith_st0)},
    {
        [FROM(0)] = R(fld_st), [FROM(1)] = R(fxch), [16] = R(fnop),
        [FROM(3)] = R(fstp_unchecked),
        [32] = R(fchs), R(fabs), [36] = R(ftst), R(fxam), [40 ... 46] = R(fld_constant),
        [48] = R(f2xm1), R(fyl2x), R(fptan), R(fpatan), R(fxtract), R(fprem1), R(fdecstp),
        R(fincstp), R(fprem), R(fyl2xp1), R(fsqrt), R(fsincos), R(frndint), R(fscale), R(fsin),
        R(fcos),
    },
    {[0 ... 31] = R(fcmov), [41] = R(fucompp)},
    {
        [0 ... 31] = R(fcmov), [32] = R(nothing), R(nothing), R(fnclex), R(fninit), R(nothing),
        [FROM(5)] = R(fucomi), [FROM(6)] = R(fcomi),
    },
    {[0 ... 63] = R(arith_sti)},
    {
        [FROM(0)] = R(ffree), [FROM(1)] = R(fxch), [FROM(2)] = R(fst_st), [FROM(3)] = R(fstp_st),
        [FROM(4)] = R(fucom), [FROM(5)] = R(fucomp),
    },
    {[0 ... 23] = R(arith_pop), [25] = R(fcompp), [32 ... 63] = R(arith_pop)},
    {
        [FROM(0)] = R(ffreep), [FROM(1)] = R(fxch), [FROM(2)] = R(fstp_st), [FROM(3)] = R(fstp_st),
        [32] = R(fnstsw_ax), [FROM(5)] = R(fucomip), [FROM(6)] = R(fcomip),
    },
};

static void invalid(struct vcpu *v, const struct insn *i)
{
    (void)i;
    raise_exception(v, EXC_UD);
}

const struct opcode *x87_opcode(uint8_t escape, uint8_t modrm)
{
    /* With ModRM, so that the decoded instruction covers all bytes that made it invalid. */
    static const struct opcode none = {invalid, OP_MODRM, 0};
    const struct opcode *op = modrm < 0xc0 ? &memory_table[escape & 7][modrm >> 3 & 7]
                                           : &register_table[escape & 7][modrm & 63];

    return op->exec ? op : &none;
}
