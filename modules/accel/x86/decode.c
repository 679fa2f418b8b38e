/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The decoder: prefixes, REX, VEX (for BMI), opcode maps, ModRM, SIB, displacement, immediate.
 * Intel SDM volume 2, chapter 2 and appendix A.
 */
#include "vcpu.h"

struct cursor {
    const uint8_t *p;
    unsigned at, avail;
    bool more; /* ran out of bytes */
};

static uint64_t take(struct cursor *c, unsigned n)
{
    uint64_t value = 0;

    if (c->at + n > c->avail) {
        c->more = true;
        return 0;
    }
    for (unsigned k = 0; k < n; k++)
        value |= (uint64_t)c->p[c->at + k] << (k * 8);
    c->at += n;
    return value;
}

void exec_ud(struct vcpu *v, const struct insn *i)
{
    (void)i;
    raise_exception(v, EXC_UD);
}

void exec_gp0(struct vcpu *v, const struct insn *i)
{
    (void)i;
    raise_exception_code(v, EXC_GP, 0);
}

struct decoder {
    struct vcpu *v;
    struct insn *i;
    struct cursor c;
    bool long64, has_seg, vex, op66, ad67;
    unsigned pp; /* mandatory prefix: 0, 1 66, 2 F3, 3 F2 */
};

static bool take_prefix(struct decoder *d, uint8_t b)
{
    struct insn *i = d->i;

    switch (b) {
    case 0x66: d->op66 = true; i->prefixes |= PREFIX_66; return true;
    case 0x67: d->ad67 = true; return true;
    case 0xf0: i->prefixes |= PREFIX_LOCK; return true;
    case 0xf2: i->prefixes = (uint8_t)((i->prefixes & ~PREFIX_REP) | PREFIX_REPNE); return true;
    case 0xf3: i->prefixes = (uint8_t)((i->prefixes & ~PREFIX_REPNE) | PREFIX_REP); return true;
    case 0x26: case 0x2e: case 0x36: case 0x3e:
        if (!d->long64) {
            i->seg = (b >> 3) & 3;
            d->has_seg = true;
        }
        return true;
    case 0x64: case 0x65:
        i->seg = b == 0x64 ? BP_FS : BP_GS;
        d->has_seg = true;
        return true;
    }
    return false;
}

static void default_segment(struct decoder *d, unsigned base)
{
    if (!d->has_seg)
        d->i->seg = base == BP_RSP || base == BP_RBP ? BP_SS : BP_DS;
}

static void address16(struct decoder *d, unsigned mod, unsigned rm)
{
    static const uint8_t bases[8] = {BP_RBX, BP_RBX, BP_RBP, BP_RBP, BP_RSI, BP_RDI, BP_RBP, BP_RBX};
    static const uint8_t indexes[8] = {BP_RSI, BP_RDI, BP_RSI, BP_RDI, NO_REG, NO_REG, NO_REG, NO_REG};
    struct insn *i = d->i;

    if (mod == 0 && rm == 6) {
        i->disp = (int64_t)take(&d->c, 2);
        default_segment(d, NO_REG);
        return;
    }
    i->base = bases[rm];
    i->index = indexes[rm];
    default_segment(d, i->base);
    if (mod == 1)
        i->disp = (int8_t)take(&d->c, 1);
    else if (mod == 2)
        i->disp = (int16_t)take(&d->c, 2);
}

static void address32(struct decoder *d, unsigned mod, unsigned rm)
{
    struct insn *i = d->i;
    unsigned base = rm | (i->rex & 1) << 3;

    if (rm == 4) {
        unsigned sib = (unsigned)take(&d->c, 1), index = (sib >> 3 & 7) | (i->rex & 2) << 2;

        base = (sib & 7) | (i->rex & 1) << 3;
        i->scale = (uint8_t)(sib >> 6);
        if (index != 4)
            i->index = (uint8_t)index;
        if ((sib & 7) == 5 && mod == 0) {
            i->disp = (int32_t)take(&d->c, 4);
            default_segment(d, NO_REG);
            return;
        }
    } else if (rm == 5 && mod == 0) {
        i->disp = (int32_t)take(&d->c, 4);
        if (d->long64)
            i->base = BASE_RIP;
        default_segment(d, NO_REG);
        return;
    }
    i->base = (uint8_t)base;
    default_segment(d, base);
    if (mod == 1)
        i->disp = (int8_t)take(&d->c, 1);
    else if (mod == 2)
        i->disp = (int32_t)take(&d->c, 4);
}

static void take_modrm(struct decoder *d)
{
    struct insn *i = d->i;
    unsigned mod, rm;

    i->modrm = (uint8_t)take(&d->c, 1);
    if (i->map == 1 && (i->opcode & 0xfc) == 0x20)
        i->modrm |= 0xc0; /* MOV to and from CR and DR: always registers */
    mod = i->modrm >> 6;
    rm = i->modrm & 7;
    i->reg = (uint8_t)((i->modrm >> 3 & 7) | (i->rex & 4) << 1);
    if (mod == 3) {
        i->rm = (uint8_t)(rm | (i->rex & 1) << 3);
        return;
    }
    i->rm = RM_MEM;
    if (i->addrsize == 2)
        address16(d, mod, rm);
    else
        address32(d, mod, rm);
}

/* Finds the table entry; the opcode byte is in i->opcode, the map chosen. */
static const struct opcode *find(struct decoder *d)
{
    struct insn *i = d->i;
    uint8_t b = (uint8_t)i->opcode;
    const struct opcode *e;

    if (d->vex)
        return opcode_vex(d->v, i, d->pp);
    switch (i->map) {
    case 0:
        if (b >= 0xd8 && b <= 0xdf) {
            if (d->c.at >= d->c.avail) {
                d->c.more = true;
                return NULL;
            }
            return x87_opcode(b, d->c.p[d->c.at]);
        }
        return &opcodes_1[b];
    case 1:
        e = &opcodes_0f[b];
        if (e->exec)
            return e;
        if (b == 0xae && i->prefixes & PREFIX_REP) {
            static const struct opcode group15 = {exec_group15_f3, OP_MODRM, 0};

            return &group15;
        }
        return sse_opcode(d->pp, b);
    case 2:
        return opcode_0f38(d->v, i, d->pp);
    case 3:
        return opcode_0f3a(d->v, i, d->pp);
    default:
        return NULL;
    }
}

static bool lock_allowed(const struct insn *i, const struct opcode *e)
{
    unsigned op = i->modrm >> 3 & 7;

    if (!(e->flags & OP_LOCK) || i->rm != RM_MEM)
        return false;
    if (i->map == 1)
        return i->opcode == 0xba ? op >= 5 : i->opcode == 0xc7 ? op == 1 : true;
    switch (i->opcode) {
    case 0x80: case 0x81: case 0x82: case 0x83: return op != 7;
    case 0xf6: case 0xf7: return op == 2 || op == 3;
    case 0xfe: case 0xff: return op <= 1;
    }
    return true;
}

static void take_immediate(struct decoder *d, const struct opcode *e)
{
    struct insn *i = d->i;
    unsigned n = e->imm;

    if (e->flags & OP_GROUP3 && (i->modrm & 0x30))
        return;
    if (e->flags & OP_MOFFS) {
        i->imm = take(&d->c, i->addrsize);
        return;
    }
    if (e->flags & OP_FAR) {
        i->imm = take(&d->c, i->opsize);
        i->disp = (int64_t)take(&d->c, 2);
        return;
    }
    if (n == 0)
        return;
    if (n == 0xff)
        n = i->opsize == 8 ? e->flags & OP_IMM64 ? 8 : 4 : i->opsize;
    i->imm = take(&d->c, n);
    if (n == 1)
        i->imm = (uint64_t)(int8_t)i->imm;
    else if (n == 4)
        i->imm = (uint64_t)(int32_t)i->imm;
    else if (n == 2 && e->imm == 0xff)
        i->imm = (uint64_t)(int16_t)i->imm;
}

static void set_opsize(struct decoder *d, const struct opcode *e)
{
    struct insn *i = d->i;

    if (e->flags & OP_BYTE)
        i->opsize = 1;
    else if (d->long64)
        i->opsize = e->flags & OP_FORCE64 ? 8 : i->rex & 8 ? 8 : d->op66 ? 2 :
                    e->flags & OP_DEFAULT64 ? 8 : 4;
    else
        i->opsize = ((d->v->mode & MODE_SIZE) == 1) != d->op66 ? 4 : 2;
}

/* The VEX prefix after C4 or C5; false: it is LES or LDS. */
static bool take_vex(struct decoder *d, uint8_t b)
{
    struct insn *i = d->i;
    unsigned one, two;

    if (d->c.at >= d->c.avail) {
        d->c.more = true;
        return true;
    }
    one = d->c.p[d->c.at];
    if (!d->long64 && ((one & 0xc0) != 0xc0 || !is_protected(d->v)))
        return false;
    d->c.at++;
    d->vex = true;
    i->rex = (uint8_t)(~one >> 5 & 4);
    i->map = 1;
    two = one;
    if (b == 0xc4) {
        i->rex |= (uint8_t)(~one >> 5 & 3);
        i->map = one & 31;
        two = (unsigned)take(&d->c, 1);
        i->rex |= two >> 4 & 8;
    }
    if (i->prefixes & (PREFIX_66 | PREFIX_LOCK | PREFIX_REP | PREFIX_REPNE | PREFIX_REX))
        i->map = 0; /* #UD */
    i->prefixes |= PREFIX_VEX;
    if (two & 4)
        i->prefixes |= PREFIX_L;
    if (i->rex & 8)
        i->prefixes |= PREFIX_W;
    d->pp = two & 3;
    if (d->pp)
        i->prefixes |= d->pp == 1 ? PREFIX_66 : d->pp == 2 ? PREFIX_REP : PREFIX_REPNE;
    i->rex |= (uint8_t)((~two >> 3 & 15) << 4);
    if (!d->long64)
        i->rex &= 0x70;
    i->opcode = (uint16_t)take(&d->c, 1);
    return true;
}

static void take_opcode(struct decoder *d)
{
    struct insn *i = d->i;
    uint8_t b = 0;

    for (;;) {
        b = (uint8_t)take(&d->c, 1);
        if (d->c.more || d->c.at > 15)
            return;
        if (!take_prefix(d, b)) {
            if (!d->long64 || (b & 0xf0) != 0x40)
                break;
            i->rex = b & 15; /* counts only right before the opcode */
            i->prefixes |= PREFIX_REX;
            continue;
        }
        i->rex = 0;
        i->prefixes &= (uint8_t)~PREFIX_REX;
    }
    i->opcode = b;
    d->pp = i->prefixes & PREFIX_REPNE ? 3 : i->prefixes & PREFIX_REP ? 2 : d->op66 ? 1 : 0;
    if ((b == 0xc4 || b == 0xc5) && take_vex(d, b))
        return;
    if (b != 0x0f)
        return;
    i->map = 1;
    i->opcode = (uint16_t)take(&d->c, 1);
    if (i->opcode == 0x38 || i->opcode == 0x3a) {
        i->map = i->opcode == 0x38 ? 2 : 3;
        i->opcode = (uint16_t)take(&d->c, 1);
    }
}

static const uint64_t *source_of(struct decoder *d, unsigned reg)
{
    if (reg == NO_REG)
        return &d->v->zero;
    return reg == BASE_RIP ? &d->v->x->rip : &d->v->x->gpr[reg];
}

static void finish_address(struct decoder *d)
{
    struct insn *i = d->i;

    i->base_at = source_of(d, i->base);
    i->index_at = source_of(d, i->index);
    i->seg_at = d->long64 && i->seg >= BP_FS ? &d->v->x->seg[i->seg].base : &d->v->zero;
}

/* Group 5 in long mode: near branches are 64-bit always, PUSH by default. True: it is a branch. */
static bool group5(struct decoder *d)
{
    struct insn *i = d->i;
    unsigned op = i->modrm >> 3 & 7;

    if (i->map != 0 || i->opcode != 0xff)
        return false;
    if (d->long64 && (op == 2 || op == 4 || (op == 6 && !(d->op66 && !(i->rex & 8)))))
        i->opsize = 8;
    return op >= 2 && op <= 5;
}

static enum decode_result bad(struct insn *i, exec_fn *fn, unsigned len)
{
    i->exec = fn;
    i->len = (uint8_t)len;
    return DECODE_END;
}

enum decode_result decode(struct vcpu *v, const struct code_bytes *code, struct insn *i)
{
    struct decoder d = {.v = v, .i = i, .c = {.p = code->p, .avail = code->avail}};
    const struct opcode *e;
    bool branch;

    d.long64 = v->long64;
    *i = (struct insn){.seg = BP_DS, .base = NO_REG, .index = NO_REG};
    take_opcode(&d);
    if (d.c.at > 15)
        return bad(i, exec_gp0, 15);
    if (d.c.more)
        return DECODE_MORE;
    i->addrsize = d.long64 ? (d.ad67 ? 4 : 8) : ((v->mode & MODE_SIZE) == 1) != d.ad67 ? 4 : 2;
    e = find(&d);
    if (d.c.more)
        return DECODE_MORE;
    if (!e || !e->exec || (d.long64 && e->flags & OP_INVALID64))
        /* The ModRM byte may have decided without being taken: it belongs to what is remembered. */
        return bad(i, exec_ud, d.c.at < 15 && d.c.at < code->avail ? d.c.at + 1 : d.c.at);
    set_opsize(&d, e);
    if (e->flags & OP_MODRM)
        take_modrm(&d);
    branch = group5(&d) || e->flags & OP_BRANCH;
    take_immediate(&d, e);
    if (d.c.more)
        return d.c.at >= 15 || code->avail >= 15 ? bad(i, exec_gp0, 15) : DECODE_MORE;
    if (d.c.at > 15)
        return bad(i, exec_gp0, 15);
    i->len = (uint8_t)d.c.at;
    i->exec = e->exec;
    finish_address(&d);
    if ((i->prefixes & PREFIX_LOCK && !lock_allowed(i, e)) ||
        (e->flags & OP_MEM_ONLY && i->rm != RM_MEM) || (e->flags & OP_REG_ONLY && i->rm == RM_MEM))
        return bad(i, exec_ud, i->len);
    if (!d.vex)
        pick_fast(v, i);
    return branch ? DECODE_END : DECODE_OK;
}
