/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The translator against the interpreter: random blocks of user-mode code, made of native-compare's
 * instructions, run on both from the same state until they fault or come to their end; then registers, flags,
 * memory and what was pushed for the fault have to be equal. Some blocks cross pages, jump, or change their
 * own code; a second thread asks for exits at random moments. Prints TAP.
 * tcg-compare [--cases N] [--seed S] [--first N] [--show N]
 */
#include "native-compare-values.h"
#include "tcg.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define UPPER UINT64_C(0xffff800000000000)
enum { PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000, PT_CODE = 0x4000, PT_DATA = 0x5000, PDPT_UPPER = 0x6000,
       PD_UPPER = 0x7000, GDT = 0x8000, IDT = 0x9000, TSS = 0xa000, STACK = 0xb000, HANDLERS = 0xc000,
       CODE = 0x10000, DATA = 0x20000, RAM = 0x30000 };
#define CODE_PAGES 16u
#define MAX_STEPS 4000
#define HLT 0xf4
#define EQUAL "random_blocks_end_in_the_same_state"
#define TRANSLATED "most_blocks_are_translated"
#define EMITTED "common_instructions_have_emitters"
#define SPANS_PLANNED "accesses_near_each_other_share_a_check"

struct side {
    uint8_t *ram;
    uint8_t dirty[RAM / 4096];
    struct bp_x86_cpu x;
    struct vcpu *v;
    struct tcg_cpu *c; /* NULL: the interpreter */
};
static struct side interp, tcg;
static struct tcg_machine machine;
static uint32_t never;
static uint64_t show = 3;

/* ---- the machine ---- */

static void put64_at(struct side *s, uint32_t at, uint64_t value)
{
    memcpy(s->ram + at, &value, 8);
}
static void lookup(void *opaque, uint64_t page, struct phys_page *ret_page)
{
    struct side *s = opaque;

    *ret_page = (struct phys_page){.host = page < RAM ? s->ram + page : NULL,
                                   .dirty = page < RAM ? &s->dirty[page >> 12] : NULL};
}
static uint64_t read_io(void *opaque, uint64_t address, unsigned size)
{
    (void)opaque, (void)address, (void)size;
    return ~UINT64_C(0);
}
static void write_io(void *opaque, uint64_t address, uint64_t value, unsigned size)
{
    (void)opaque, (void)address, (void)value, (void)size;
}
static uint64_t port_in(void *opaque, uint16_t port, unsigned size)
{
    (void)opaque, (void)port, (void)size;
    return ~UINT64_C(0);
}
static void port_out(void *opaque, uint16_t port, uint64_t value, unsigned size)
{
    (void)opaque, (void)port, (void)value, (void)size;
}

static void build_tables(struct side *s)
{
    put64_at(s, PML4, PDPT | 7);
    put64_at(s, PML4 + 256 * 8, PDPT_UPPER | 3);
    put64_at(s, PDPT, PD | 7);
    put64_at(s, PD + (CODE_BASE >> 21) * 8, PT_CODE | 7);
    put64_at(s, PD + (DATA_BASE >> 21) * 8, PT_DATA | 7);
    for (unsigned n = 0; n < CODE_PAGES; n++)
        put64_at(s, PT_CODE + n * 8, (CODE + n * 0x1000u) | 7);
    put64_at(s, PT_DATA, DATA | 7);
    put64_at(s, PT_DATA + 8, (DATA + 0x1000u) | 7);
    put64_at(s, PT_DATA + 16, (DATA + 0x2000u) | 5);
    put64_at(s, PDPT_UPPER, PD_UPPER | 3);
    put64_at(s, PD_UPPER, 0x83);
    put64_at(s, GDT + 0x10, UINT64_C(0x00af9b000000ffff));
    put64_at(s, GDT + 0x18, UINT64_C(0x00cf93000000ffff));
    put64_at(s, GDT + 0x28, UINT64_C(0x00cff3000000ffff));
    put64_at(s, GDT + 0x30, UINT64_C(0x00affb000000ffff));
    put64_at(s, GDT + 0x38, UINT64_C(0x00af9a000000ffff)); /* not accessed yet */
    put64_at(s, TSS + 4, UPPER + STACK + 0x1000);
    put64_at(s, TSS + 36, UPPER + STACK + 0x1000); /* IST 1: in ring 0, too, faults find a stack */
    s->ram[TSS + 0x66] = 0x68;
    for (unsigned n = 0; n < 32; n++) {
        uint64_t target = UPPER + HANDLERS + n * 16;

        put64_at(s, IDT + n * 16, (target & 0xffff) | UINT64_C(0x10) << 16 | UINT64_C(0x8e01) << 32 |
                                      (target >> 16 & 0xffff) << 48);
        put64_at(s, IDT + n * 16 + 8, target >> 32);
        s->ram[HANDLERS + n * 16] = HLT;
    }
    memset(s->ram + CODE, HLT, CODE_PAGES * 4096);
}

static void system_state(struct side *s)
{
    struct bp_x86_cpu *x = &s->x;

    x->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    x->cr3 = PML4;
    x->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    x->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    x->xcr0 = 7;
    x->star = UINT64_C(0x0023001000000000);
    x->lstar = UPPER + HANDLERS;
    x->fmask = F_TF | F_DF | F_IF;
    x->dr[6] = 0xffff0ff0;
    x->dr[7] = 0x400;
    x->gdtr = (struct bp_x86_segment){.base = UPPER + GDT, .limit = 0x7f};
    x->idtr = (struct bp_x86_segment){.base = UPPER + IDT, .limit = 0xfff};
    x->tr = (struct bp_x86_segment){.selector = 0x40, .attr = 0x8b, .limit = 0x67, .base = UPPER + TSS};
    x->phys_bits = 40;
    x->linear_bits = 48;
    x->tsc_hz = 1000000000;
    x->features[BP_X86_FW_1_EDX] = UINT32_MAX;
    x->features[BP_X86_FW_80000001_EDX] = UINT32_MAX;
    guest_features(x->features);
    fp_reset(x);
}

static bool side_init(struct side *s, bool translate)
{
    struct bus bus = {.opaque = s, .lookup = lookup, .read = read_io, .write = write_io, .port_in = port_in,
                      .port_out = port_out};

    s->ram = aligned_alloc(4096, RAM);
    memset(s->ram, 0, RAM);
    build_tables(s);
    system_state(s);
    if (translate) {
        s->c = tcg_cpu_new(&machine, &s->x, &bus, NULL);
        s->v = s->c ? &s->c->v : NULL;
    } else {
        s->v = vcpu_new(&s->x, &bus);
    }
    return s->v != NULL;
}

static void user_mode(struct side *s)
{
    struct bp_x86_segment data = {.selector = 0x2b, .attr = 0xc0f3, .limit = UINT32_MAX};

    for (unsigned n = 0; n < 6; n++) {
        s->x.seg[n] = data;
        if (n != BP_SS && n != BP_CS)
            s->x.seg[n].selector = 0;
    }
    s->x.seg[BP_CS] = (struct bp_x86_segment){.selector = 0x33, .attr = 0xa0fb, .limit = UINT32_MAX};
    s->x.halted = 0;
    s->x.cr2 = 0;
    s->x.cr4 &= ~(uint64_t)CR4_SMAP;
    s->x.rflags &= ~(uint64_t)F_AC;
}

/* ---- a block ---- */

struct random_block {
    uint64_t at; /* where it begins */
    uint8_t bytes[1024];
    unsigned length;
    bool jumps;
    bool smap;
    bool ring0; /* as a kernel runs it, with its instructions among the others */
    struct state start;
};

static void put(struct random_block *b, const void *bytes, unsigned count)
{
    memcpy(b->bytes + b->length, bytes, count);
    b->length += count;
}

static void put_mov(struct random_block *b, unsigned reg, uint64_t value)
{
    uint8_t code[10] = {(uint8_t)(0x48 | reg >> 3), (uint8_t)(0xb8 | (reg & 7))};

    memcpy(code + 2, &value, 8);
    put(b, code, 10);
}

/* The registers that an instruction's address is made of. */
static void find_address(struct side *s, const struct test_case *c, unsigned *ret_base, unsigned *ret_index)
{
    struct code_bytes code = {c->bytes, sizeof(c->bytes)};
    struct insn i;

    *ret_base = *ret_index = NO_REG;
    if (decode(s->v, &code, &i) == DECODE_MORE || !c->memory)
        return;
    *ret_base = i.base < 16 ? i.base : NO_REG;
    *ret_index = i.index;
}

/* AF after logic is the same everywhere. What a shift by CL leaves depends on what comes before it. */
static bool leaves_undefined(const struct test_case *c)
{
    bool by_cl = c->opcode == 0xd2 || c->opcode == 0xd3 || c->opcode == 0x0fa5 || c->opcode == 0x0fad;
    bool logic = c->opcode < 0x40 || (c->opcode >= 0x80 && c->opcode <= 0x85) || c->opcode == 0xa8 ||
                 c->opcode == 0xa9 || ((c->opcode & 0xfffe) == 0xf6 && (c->reg & 7) == 0);

    return by_cl || (c->undefined_flags && !logic);
}

/* Images of the x87 state with pointers, which the translator does not follow. */
static bool has_pointers(const struct test_case *c)
{
    return c->memory && ((c->opcode == 0x0fae && (c->reg & 7) == 0) ||
                         ((c->opcode == 0xd9 || c->opcode == 0xdd) && (c->reg & 7) == 6));
}

/* In ring 0 what user mode only faults at would reach a machine that is not there; and jumps might find it. */
static bool unsuited(const struct test_case *c)
{
    return c->single_step || (c->opcode >= 0x0f00 && c->opcode < 0x0f0d) ||
           (c->opcode >= 0x0f20 && c->opcode < 0x0f28) ||
           (c->opcode >= 0x0f30 && c->opcode < 0x0f38) || (c->opcode >= 0x6c && c->opcode < 0x70) ||
           (c->opcode >= 0xe4 && c->opcode < 0xf0) || c->opcode == 0x0fae || c->opcode == 0x0fc7 || c->opcode == 0xf4;
}

/* One instruction, behind moves that give its address registers the values it was made for. */
static void add_instruction(struct random_block *b, uint64_t seed, bool first)
{
    static const uint8_t define_flags[] = {0x48, 0x83, 0xf8, 0x07}; /* cmp rax, 7 */
    struct test_case c;
    unsigned base, index, setup = 0;

    do
        generate(&c, seed++, b->at + b->length);
    while (has_pointers(&c) || (b->ring0 && unsuited(&c)));
    seed--;
    find_address(&interp, &c, &base, &index);
    if (first) {
        b->start = c.start;
    } else {
        unsigned moves = 0;
        bool more = seed % 3 == 0 || c.repeat;
        static const uint8_t extra[] = {BP_RCX, BP_RSI, BP_RDI, BP_RSP};

        moves += base != NO_REG;
        moves += index != NO_REG && index != base;
        setup = moves * 10 + (more ? sizeof(extra) * 10 : 0);
        generate(&c, seed, b->at + b->length + setup);
        if (more) {
            for (unsigned n = 0; n < sizeof(extra); n++)
                put_mov(b, extra[n], c.start.gpr[extra[n]]);
        }
        if (base != NO_REG)
            put_mov(b, base, c.start.gpr[base]);
        if (index != NO_REG && index != base)
            put_mov(b, index, c.start.gpr[index]);
    }
    b->jumps |= c.single_step;
    put(b, c.bytes, c.length);
    if (leaves_undefined(&c)) /* nobody may look at them */
        put(b, define_flags, sizeof(define_flags));
}

/* Writes the immediate of a MOV that follows. */
static void add_self_modification(struct random_block *b)
{
    uint8_t store[7] = {0xc6, 0x05}, nops = (uint8_t)below(3);
    uint8_t target[7] = {0x48, 0xc7, 0xc0, 1, 2, 3, 4}; /* mov rax, imm32 */
    int32_t disp = nops + 3 + (int32_t)below(4);

    memcpy(store + 2, &disp, 4);
    store[6] = (uint8_t)below(256);
    put(b, store, 7);
    for (unsigned n = 0; n < nops; n++)
        put(b, "\x90", 1);
    put(b, target, 7);
}

/* To what follows it, which goes on in user mode, or to an address that is none. */
static void add_sysret(struct random_block *b)
{
    static const uint8_t sysretq[] = {0x48, 0x0f, 0x07};
    uint64_t behind = b->at + b->length + 20 + sizeof(sysretq);

    put_mov(b, BP_R11, chance(80) ? below(0x1000) & ~(uint64_t)F_TF : below(1u << 22) & ~(uint64_t)F_TF);
    put_mov(b, BP_RCX, chance(90) ? behind : behind | (uint64_t)1 << (47 + below(16)));
    put(b, sysretq, sizeof(sysretq));
}

/* The same, to both levels of privilege; some frames lie across pages, some make no sense. */
static void add_iret(struct random_block *b)
{
    static const uint8_t push_rax = 0x50, iretq[] = {0x48, 0xcf};
    static const struct {
        uint16_t cs, ss;
    } list[] = {{0x33, 0x2b}, {0x33, 0x2b}, {0x10, 0x18}, {0x10, 0x18}, {0x10, 0}, {0x33, 0}, {0x33, 0x18},
                {0x10, 0x2b}, {0x3b, 0x2b}, {0x38, 0x18}, {0x13, 0x18}, {0x10, 0x1b}, {0x80, 0x18}};
    unsigned n = (unsigned)below(BP_COUNT(list));
    uint64_t frame[5] = {0, list[n].cs, below(1u << 18) & ~(uint64_t)F_TF, DATA_BASE + 0x800 + below(64) * 8,
                         list[n].ss};

    put_mov(b, BP_RSP, DATA_BASE + (chance(80) ? 0x800 : 0x1000) + below(4) * 8);
    frame[0] = b->at + b->length + 5 * 11 + sizeof(iretq);
    if (chance(8))
        frame[0] |= (uint64_t)1 << (47 + below(16));
    frame[2] &= ~(uint64_t)F_RF; /* which single steps clear sooner */
    if (chance(60))
        frame[2] &= ~(uint64_t)(F_NT | F_VM);
    for (unsigned k = 5; k-- > 0;) {
        put_mov(b, BP_RAX, frame[k]);
        put(b, &push_rax, 1);
    }
    put(b, iretq, sizeof(iretq));
}

/* Flags, selectors, fences; a system call and a return from an interrupt end the block. */
static void add_system(struct random_block *b)
{
    static const struct {
        uint8_t bytes[12], length;
    } list[] = {
        {{0xfa}, 1}, {{0xfb}, 1}, {{0xfc}, 1}, {{0xfd}, 1}, {{0x9c, 0x58}, 2}, {{0x9c, 0x8f, 0xc1}, 3},
        {{0x50, 0x9d}, 2},                               /* push rax; popf */
        {{0x9c, 0x80, 0x34, 0x24, 0xd5, 0x9d}, 6},       /* pushf; xor byte [rsp], 0xd5; popf */
        {{0x9c, 0x80, 0x74, 0x24, 1, 0x0a, 0x9d}, 7},    /* pushf; xor byte [rsp + 1], 0x0a; popf: IF and OF */
        {{0x0f, 0x01, 0xf8}, 3}, {{0x8c, 0xc8}, 2}, {{0x41, 0x8c, 0xd3}, 3}, {{0x8c, 0x1c, 0x24}, 3},
        {{0xf3, 0x90}, 2}, {{0x0f, 0xae, 0xe8}, 3}, {{0x0f, 0xae, 0xf0}, 3}, {{0x0f, 0x05}, 2},
        {{0x0f, 0x01, 0xca}, 3}, {{0x0f, 0x01, 0xcb}, 3}, /* CLAC, STAC, and with accesses between */
        {{0x0f, 0x01, 0xcb, 0x48, 0x8b, 0x04, 0x24, 0x0f, 0x01, 0xca}, 10},
        {{0x0f, 0x01, 0xca, 0x58}, 4}, {{0x0f, 0x01, 0xcb, 0x50, 0x74, 0x00, 0x58}, 7},
        {{0xf6, 0xc4, 0x22}, 3}, {{0x80, 0xcd, 0x41}, 3}, {{0x80, 0xd4, 0x7f}, 3}, {{0x0f, 0xb6, 0xc4}, 3},
        {{0x48, 0x0f, 0xb6, 0xf7}, 4}, {{0x66, 0x0f, 0xbe, 0xd5}, 4}, {{0x0f, 0xbe, 0xfc}, 3},
        {{0x48, 0x0f, 0xc7, 0x0c, 0x24}, 5}, {{0xf0, 0x48, 0x0f, 0xc7, 0x4c, 0x24, 0x20}, 7},
        {{0x66, 0x83, 0xe1, 0x7f, 0x0f, 0xb7, 0xc9, 0x0f, 0xab, 0x0c, 0x24}, 11}, /* and cx, 127; bts [rsp], ecx */
        {{0x0f, 0xb7, 0xd1, 0x80, 0xe6, 3, 0xf0, 0x48, 0x0f, 0xb3, 0x14, 0x24}, 12},
        {{0x44, 0x0f, 0xb6, 0xf9, 0x41, 0xf7, 0xdf, 0x44, 0x0f, 0xa3, 0x3c, 0x24}, 12}, /* neg r15d; bt [rsp], r15d */
        {{0x65, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0}, 9}, /* mov rax, gs:[0] */
    };
    unsigned n = (unsigned)below(BP_COUNT(list));

    if (chance(8)) {
        if (chance(50))
            add_sysret(b);
        else
            add_iret(b);
        return;
    }
    put_mov(b, BP_RSP, DATA_BASE + 0x800 + below(64) * 8);
    put(b, list[n].bytes, list[n].length);
}

/* An instruction with the operand [base + disp8]. */
static void put_access(struct random_block *b, const uint8_t *code, unsigned length, unsigned reg, unsigned base,
                       int disp)
{
    uint8_t bytes[12];
    unsigned n = 0;

    if (code[0] == 0xf2 || code[0] == 0xf3 || code[0] == 0x66) {
        bytes[n++] = *code++;
        length--;
    }
    if (code[0] == 0xc5) { /* VEX without an extended base: with three bytes */
        bytes[n++] = 0xc4;
        bytes[n++] = (uint8_t)(0xc1 | (base & 8 ? 0 : 0x20));
        bytes[n++] = code[1] & 0x7f;
        code += 2;
        length -= 2;
        reg &= 7;
    } else {
        bytes[n++] = (uint8_t)(0x40 | (code[0] == 0x48 ? 8 : 0) | (reg & 8) >> 1 | base >> 3);
        length -= code[0] == 0x48;
        code += code[0] == 0x48;
    }
    memcpy(bytes + n, code, length);
    n += length;
    bytes[n++] = (uint8_t)(0x40 | (reg & 7) << 3 | (base & 7));
    if ((base & 7) == BP_RSP)
        bytes[n++] = 0x24;
    bytes[n++] = (uint8_t)disp;
    put(b, bytes, n);
}

/* Several accesses by one register, near a page's end more often than not, with changes of the register between. */
static void add_accesses(struct random_block *b)
{
    static const struct {
        uint8_t code[4], length;
    } list[] = {
        {{0x48, 0x8b}, 2}, {{0x8b}, 1}, {{0x48, 0x89}, 2}, {{0x89}, 1}, {{0x88}, 1}, {{0x48, 0x01}, 2}, {{0x03}, 1},
        {{0x48, 0x11}, 2}, {{0x13}, 1}, {{0x48, 0x3b}, 2}, {{0x39}, 1}, {{0x48, 0x85}, 2}, {{0x0f, 0xb6}, 2},
        {{0x48, 0x0f, 0xbf}, 3}, {{0x0f, 0x44}, 2}, {{0x0f, 0x95}, 2}, {{0xf2, 0x0f, 0x10}, 3},
        {{0xf2, 0x0f, 0x11}, 3}, {{0x0f, 0x10}, 2}, {{0x0f, 0x11}, 2}, {{0xf3, 0x0f, 0x6f}, 3}, {{0xc5, 0xfe, 0x6f}, 3},
        {{0xc5, 0xfe, 0x7f}, 3}, {{0xc5, 0xfa, 0x7f}, 3}, {{0x48, 0x63}, 2}, {{0x66, 0x0f, 0xd6}, 3},
    };
    static const uint8_t bases[] = {BP_RSP, BP_RSP, BP_RBX, BP_RBP, BP_RSI, BP_RDI, BP_R10, BP_R12, BP_R13, BP_R15};
    unsigned base = bases[below(BP_COUNT(bases))], count = 2 + (unsigned)below(8);
    uint64_t page = (uint64_t)below(4) * 0x1000;

    put_mov(b, base, DATA_BASE + page + (chance(70) ? 0xf80 + below(0x100) : below(0xf00)));
    for (unsigned n = 0; n < count; n++) {
        unsigned what = (unsigned)below(100), reg = (unsigned)below(16);
        uint8_t step[4] = {(uint8_t)(0x48 | base >> 3), 0x83, (uint8_t)(0xc0 | (base & 7)), (uint8_t)(below(32) * 8)};

        if (what < 25 && base == BP_RSP) {
            uint8_t push[2] = {(uint8_t)(0x40 | reg >> 3), (uint8_t)((what & 1 ? 0x50 : 0x58) | (reg & 7))};

            if (reg != BP_RSP || what & 1)
                put(b, push, 2);
        } else if (what < 32) {
            put(b, step, 4);
        } else if (what < 36) {
            put_access(b, (const uint8_t *)"\xff", 1, what & 1, base, (int)below(64) - 32); /* INC, DEC */
        } else {
            unsigned k = (unsigned)below(BP_COUNT(list));

            if (reg == BP_RSP || (reg == base && !chance(20)))
                reg = BP_RAX;
            put_access(b, list[k].code, list[k].length, reg, base,
                       chance(80) ? (int)below(64) - 32 : (int)below(255) - 127);
        }
    }
}

static void make_block(struct random_block *b, uint64_t seed)
{
    unsigned count = 1 + (unsigned)(seed % 9);
    uint8_t end = HLT;

    rng_seed(seed ^ UINT64_C(0x5bd1e995));
    b->length = 0;
    b->jumps = false;
    b->ring0 = chance(30);
    b->smap = b->ring0 && chance(30);
    b->at = CODE_BASE + below(CODE_PAGES - 2) * 4096u + (chance(30) ? 4096 - below(200) : below(3800));
    for (unsigned n = 0; n < count; n++) {
        bool modify = n && chance(6);

        add_instruction(b, seed * 16 + n, n == 0);
        rng_seed(seed ^ (UINT64_C(0x9e3779b97f4a7c15) * (n + 1)));
        if (modify)
            add_self_modification(b);
        if (chance(25))
            add_accesses(b);
        if (chance(b->ring0 ? 40 : 3))
            add_system(b);
    }
    put(b, &end, 1);
}

static void load_fx(struct bp_x86_cpu *x, const uint8_t *fx, const uint8_t *ymm)
{
    unsigned top;

    memcpy(&x->fcw, fx, 2);
    memcpy(&x->fsw, fx + 2, 2);
    x->fpu_valid = fx[4];
    memcpy(&x->fip, fx + 8, 8);
    memcpy(&x->fdp, fx + 16, 8);
    memcpy(&x->mxcsr, fx + 24, 4);
    x->fop = 0;
    x->fcs = x->fds = 0;
    top = x->fsw >> 11 & 7;
    for (unsigned n = 0; n < 8; n++) {
        memcpy(&x->fpr[(top + n) & 7].mantissa, fx + 32 + 16 * n, 8);
        memcpy(&x->fpr[(top + n) & 7].sign_exponent, fx + 40 + 16 * n, 2);
    }
    for (unsigned n = 0; n < 16; n++) {
        memcpy(&x->vec[n], fx + 160 + 16 * n, 16);
        memcpy(x->vec[n].b + 16, ymm + 16 * n, 16);
    }
}

static void prepare(struct side *s, const struct random_block *b)
{
    struct bp_x86_cpu *x = &s->x;

    user_mode(s);
    vcpu_changed(s->v);
    memset(s->ram + DATA, 0, 0x3000);
    memset(s->ram + STACK, 0, 0x1000);
    for (unsigned n = 0; n < b->length; n++)
        store8(s->v, b->at + n, b->bytes[n], BP_DS);
    memcpy(x->gpr, b->start.gpr, sizeof(x->gpr));
    x->rip = b->at;
    x->rflags = b->start.rflags;
    load_fx(x, b->start.fx, b->start.ymm);
    memcpy(s->ram + DATA + (WINDOW_BASE - DATA_BASE), b->start.memory, WINDOW_SIZE);
    memset(s->dirty, 0, sizeof(s->dirty));
    x->seg[BP_GS].base = DATA_BASE + 0x100;
    x->kernel_gs_base = DATA_BASE + 0x900;
    x->cr4 = b->smap ? x->cr4 | CR4_SMAP : x->cr4 & ~(uint64_t)CR4_SMAP;
    if (b->ring0) {
        x->seg[BP_CS] = (struct bp_x86_segment){.selector = 0x10, .attr = 0xa09b, .limit = UINT32_MAX};
        x->seg[BP_SS] = (struct bp_x86_segment){.selector = 0x18, .attr = 0xc093, .limit = UINT32_MAX};
    }
    vcpu_changed(s->v);
}

/* Back to what there was: HLT everywhere. */
static void clean(struct side *s, const struct random_block *b)
{
    user_mode(s);
    vcpu_changed(s->v);
    for (unsigned n = 0; n < CODE_PAGES * 4096; n++) {
        if (s->ram[CODE + n] != HLT)
            store8(s->v, CODE_BASE + n, HLT, BP_DS);
    }
    (void)b;
}

/* False: it does not come to an end. */
static bool run_interp(struct side *s)
{
    for (unsigned n = 0; n < MAX_STEPS; n++) {
        vcpu_step(s->v);
        if (s->x.halted) {
            vcpu_sync(s->v);
            return true;
        }
    }
    return false;
}

static void run_tcg(struct side *s)
{
    while (!s->x.halted)
        tcg_run(s->c, &never);
    vcpu_sync(s->v);
}

/* ---- comparison ---- */

static bool equal(const struct side *a, const struct side *b)
{
    return !memcmp(a->x.gpr, b->x.gpr, sizeof(a->x.gpr)) && a->x.rip == b->x.rip && a->x.rflags == b->x.rflags &&
           a->x.cr2 == b->x.cr2 && !memcmp(a->ram, b->ram, RAM) && !memcmp(a->x.vec, b->x.vec, sizeof(a->x.vec)) &&
           a->x.mxcsr == b->x.mxcsr && a->x.fsw == b->x.fsw && a->x.fcw == b->x.fcw &&
           a->x.fpu_valid == b->x.fpu_valid && !memcmp(a->x.fpr, b->x.fpr, sizeof(a->x.fpr)) &&
           !memcmp(a->dirty, b->dirty, sizeof(a->dirty)) && !memcmp(a->x.seg, b->x.seg, sizeof(a->x.seg)) &&
           a->x.kernel_gs_base == b->x.kernel_gs_base && a->v->cpl == b->v->cpl;
}

/* A jump into an instruction may meet one that leaves flags undefined: those that were pushed differ then. */
static bool only_flags_differ(const struct random_block *b)
{
    enum { PUSHED = STACK + 0x1000 - 24 };
    uint64_t flags, now = tcg.x.rflags;
    bool same;

    if (!b->jumps || (now ^ interp.x.rflags) & ~(uint64_t)F_ARITH)
        return false;
    tcg.x.rflags = interp.x.rflags; /* the handler's still has them, too */
    memcpy(&flags, tcg.ram + PUSHED, 8);
    memcpy(tcg.ram + PUSHED, interp.ram + PUSHED, 8);
    same = equal(&interp, &tcg) && !((flags ^ *(uint64_t *)(interp.ram + PUSHED)) & ~(uint64_t)F_ARITH);
    memcpy(tcg.ram + PUSHED, &flags, 8);
    tcg.x.rflags = now;
    return same;
}

static void report(const struct random_block *b, uint64_t seed)
{
    static const char *const names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                          "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};

    printf("# case %" PRIu64 " at %" PRIx64 ":", seed, b->at);
    for (unsigned n = 0; n < b->length; n++)
        printf("%02x", b->bytes[n]);
    printf("\n");
    for (unsigned n = 0; n < 16; n++) {
        if (interp.x.gpr[n] != tcg.x.gpr[n])
            printf("#   %s: start %" PRIx64 " interp %" PRIx64 " tcg %" PRIx64 "\n", names[n], b->start.gpr[n],
                   interp.x.gpr[n], tcg.x.gpr[n]);
    }
    if (interp.x.rip != tcg.x.rip || interp.x.cr2 != tcg.x.cr2)
        printf("#   rip: interp %" PRIx64 " tcg %" PRIx64 " cr2 %" PRIx64 " %" PRIx64 "\n", interp.x.rip, tcg.x.rip,
               interp.x.cr2, tcg.x.cr2);
    if (interp.x.mxcsr != tcg.x.mxcsr || interp.x.fsw != tcg.x.fsw)
        printf("#   mxcsr: interp %x tcg %x, fsw %x %x\n", interp.x.mxcsr, tcg.x.mxcsr, interp.x.fsw, tcg.x.fsw);
    for (unsigned n = 0; n < 16; n++) {
        if (memcmp(&interp.x.vec[n], &tcg.x.vec[n], 16))
            printf("#   xmm%u: interp %016" PRIx64 "%016" PRIx64 " tcg %016" PRIx64 "%016" PRIx64 "\n", n,
                   interp.x.vec[n].q[1], interp.x.vec[n].q[0], tcg.x.vec[n].q[1], tcg.x.vec[n].q[0]);
    }
    for (unsigned n = 0, shown = 0; n < RAM && shown < 6; n += 8) {
        uint64_t a, c;

        memcpy(&a, interp.ram + n, 8);
        memcpy(&c, tcg.ram + n, 8);
        if (a != c) {
            printf("#   memory %x: interp %016" PRIx64 " tcg %016" PRIx64 "\n", n, a, c);
            shown++;
        }
    }
    for (unsigned n = 0; n < RAM / 4096; n++) {
        if (interp.dirty[n] != tcg.dirty[n])
            printf("#   dirty %x: interp %x tcg %x\n", n, interp.dirty[n], tcg.dirty[n]);
    }
}

static void *asker(void *opaque)
{
    struct tcg_cpu *c = opaque;

    for (;;) {
        __atomic_store_n(&c->f.exit_request, 1, __ATOMIC_SEQ_CST);
        usleep(50);
    }
    return NULL;
}

/* One of each group: what is missing here would only be slow, which no comparison sees. */
static bool emitted(struct side *s)
{
    static const struct {
        const char *name;
        uint8_t bytes[10];
        bool avx;
    } list[] = {
        {"add rax, [rbx]", {0x48, 0x03, 0x03}, false}, {"call", {0xe8, 0, 0, 0, 0}, false},
        {"movups xmm0, [rax]", {0x0f, 0x10, 0x00}, false},
        {"pshufb xmm0, xmm1", {0x66, 0x0f, 0x38, 0x00, 0xc1}, false},
        {"fld qword [rax]", {0xdd, 0x00}, false}, {"vmovdqu ymm0, [rsi]", {0xc5, 0xfe, 0x6f, 0x06}, true},
        {"vmovdqu [rdi], ymm0", {0xc5, 0xfe, 0x7f, 0x07}, true}, {"vzeroupper", {0xc5, 0xf8, 0x77}, true},
        {"vpcmpeqb ymm1, ymm0, [rdi]", {0xc5, 0xfd, 0x74, 0x0f}, true},
        {"vpbroadcastb ymm0, xmm0", {0xc4, 0xe2, 0x7d, 0x78, 0xc0}, true},
        {"blsr eax, ecx", {0xc4, 0xe2, 0x78, 0xf3, 0xc9}, true},
        {"shlx rax, rcx, rdx", {0xc4, 0xe2, 0xe9, 0xf7, 0xc1}, true},
    };
    bool all = true;

    user_mode(s);
    s->x.mxcsr = 0x1f80;
    s->x.fcw = 0x37f;
    s->x.fsw = 0;
    vcpu_changed(s->v);
    s->c->mode_now = tb_mode(s->c);
    for (unsigned n = 0; n < BP_COUNT(list); n++) {
        struct code_bytes code = {list[n].bytes, sizeof(list[n].bytes)};
        struct insn i;

        if (list[n].avx && !__builtin_cpu_supports("avx2"))
            continue;
        if (decode(s->v, &code, &i) == DECODE_MORE || !has_emitter(s->c, &i)) {
            printf("# no emitter: %s\n", list[n].name);
            all = false;
        }
    }
    return all;
}

static int worker(uint64_t cases, uint64_t first, uint64_t seed)
{
    uint64_t different = 0, endless = 0, undefined = 0;
    struct random_block b;
    bool slow, missing, apart;
    pthread_t thread;

    generate_init();
    if (!side_init(&interp, false) || !side_init(&tcg, true)) {
        printf("Bail out! no memory\n");
        return 1;
    }
    pthread_create(&thread, NULL, asker, tcg.c);
    for (uint64_t n = first; n < first + cases; n++) {
        alarm(20);
        make_block(&b, seed * UINT64_C(0xd1342543de82ef95) + n);
        prepare(&interp, &b);
        prepare(&tcg, &b);
        if (run_interp(&interp)) {
            run_tcg(&tcg);
            if (!equal(&interp, &tcg) && only_flags_differ(&b)) {
                undefined++;
            } else if (!equal(&interp, &tcg)) {
                different++;
                if (show) {
                    show--;
                    report(&b, n);
                }
                memcpy(tcg.ram + DATA, interp.ram + DATA, 0x3000);
            }
        } else {
            endless++;
        }
        clean(&interp, &b);
        clean(&tcg, &b);
    }
    printf("%sok 1 %s\n", different ? "not " : "", EQUAL);
    printf("# %" PRIu64 " blocks, %" PRIu64 " different, %" PRIu64 " in undefined flags, %" PRIu64
           " without an end; %" PRIu64 " translated, %" PRIu64 " instructions in them, %" PRIu64
           " executions by the interpreter\n",
           cases, different, undefined, endless, tcg.c->translated_blocks, tcg.c->translated_insns, tcg.c->interpreted);
    slow = tcg.c->translated_blocks * 2 < cases || undefined * 1000 > cases + 1000;
    printf("%sok 2 %s\n", slow ? "not " : "", TRANSLATED);
    missing = !emitted(&tcg);
    printf("%sok 3 %s\n", missing ? "not " : "", EMITTED);
    apart = tcg.c->spans * 100 < cases || tcg.c->span_members < tcg.c->spans || tcg.c->spans_missed;
    printf("# %" PRIu64 " spans, %" PRIu64 " members, %" PRIu64 " that were not what was planned\n", tcg.c->spans,
           tcg.c->span_members, tcg.c->spans_missed);
    printf("%sok 4 %s\n1..4\n", apart ? "not " : "", SPANS_PLANNED);
    return different || slow || missing || apart;
}

int main(int argc, char **argv)
{
    uint64_t cases = 100000, seed = 1, first = 0;
    int status;
    pid_t child;

    if (argc > 1 && !strcmp(argv[1], "-l")) {
        printf("%s\n%s\n%s\n%s\n", EQUAL, TRANSLATED, EMITTED, SPANS_PLANNED);
        return 0;
    }
    for (int n = 1; n + 1 < argc; n += 2) {
        if (!strcmp(argv[n], "--cases"))
            cases = strtoull(argv[n + 1], NULL, 0);
        else if (!strcmp(argv[n], "--seed"))
            seed = strtoull(argv[n + 1], NULL, 0);
        else if (!strcmp(argv[n], "--first"))
            first = strtoull(argv[n + 1], NULL, 0);
        else if (!strcmp(argv[n], "--show"))
            show = strtoull(argv[n + 1], NULL, 0);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (getenv("TCG_COMPARE_NOFORK"))
        return worker(cases, first, seed);
    child = fork(); /* a case that goes astray kills the child, not the report */
    if (child == 0)
        exit(worker(cases, first, seed));
    if (child < 0 || waitpid(child, &status, 0) < 0) {
        perror("tcg-compare");
        return 1;
    }
    if (WIFSIGNALED(status)) {
        printf("Bail out! signal %d\n", WTERMSIG(status));
        return 1;
    }
    return WEXITSTATUS(status);
}
