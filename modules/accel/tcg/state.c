/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the guest's registers and flags are while a block is translated. Twelve registers live in the
 * host's, four in the frame. Flags are in the host's RFLAGS, in the frame, or in both.
 */
#include "translate.h"

/* Most keep their number; RAX, RSP and RBP give theirs to scratch, the host's stack and the frame. */
const int8_t home_of[16] = {
    [BP_RAX] = H_10, [BP_RCX] = H_CX, [BP_RDX] = H_DX, [BP_RBX] = H_BX, [BP_RSP] = H_14, [BP_RBP] = H_11,
    [BP_RSI] = H_SI, [BP_RDI] = H_DI, [BP_R8] = H_8,   [BP_R9] = H_9,   [BP_R10] = -1,   [BP_R11] = -1,
    [BP_R12] = H_12, [BP_R13] = H_13, [BP_R14] = -1,   [BP_R15] = -1,
};

int use_gpr(struct tr *t, unsigned r, int scratch)
{
    if (home_of[r] >= 0)
        return home_of[r];
    emit_load(&t->c, scratch, FRAME, GPR_SLOT(r));
    return scratch;
}

int dest_gpr(struct tr *t, unsigned r, int scratch)
{
    (void)t;
    return home_of[r] >= 0 ? home_of[r] : scratch;
}

void done_gpr(struct tr *t, unsigned r, int reg)
{
    if (home_of[r] < 0)
        emit_store(&t->c, reg, FRAME, GPR_SLOT(r));
}

/* r: 4 to 7, AH to BH; three of them are where the host has them. */
int use_high(struct tr *t, unsigned r)
{
    if (r == 4)
        emit_mov(&t->c, H_AX, home_of[BP_RAX]);
    return (int)r;
}

void done_high(struct tr *t, unsigned r)
{
    if (r == 4)
        emit_mov(&t->c, home_of[BP_RAX], H_AX);
}

void flags_save(struct tr *t)
{
    static const uint8_t lahf_seto[] = {0x9f, 0x0f, 0x90, 0xc0};

    if (t->saved || !t->host)
        return;
    memcpy(t->c.p, lahf_seto, sizeof(lahf_seto));
    t->c.p += sizeof(lahf_seto);
    emit_rm(&t->c, 0x89, 4, H_AX, FRAME, SLOT(flags));
    t->saved = true;
}

void flags_to_host(struct tr *t)
{
    static const uint8_t add_sahf[] = {0x04, 0x7f, 0x9e}; /* overflow from AL, the rest from AH */

    if (t->host)
        return;
    emit_rm(&t->c, 0x8b, 4, H_AX, FRAME, SLOT(flags));
    memcpy(t->c.p, add_sahf, sizeof(add_sahf));
    t->c.p += sizeof(add_sahf);
    t->host = true;
}
