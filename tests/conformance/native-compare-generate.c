/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random user-mode instructions of 64-bit code for native-compare, with operands that favour edge
 * cases and memory operands that mostly hit the window. Intel SDM volume 2. Left out: what depends
 * on the operating system (system calls, software interrupts, segment registers, FS), on the model
 * (CPUID, time stamps, VEX, 0F 38 and 0F 3A) and alignment checks.
 */
#include "native-compare.h"
#include "native-compare-values.h"
#include "vector.h"

#include <stdlib.h>
#include <string.h>

/* What an operation needs beyond random operands, and which flags it leaves undefined (SDM). */
enum kind {
    PLAIN, STRING, SHIFT, ROTATE, SHIFT_DOUBLE, MUL, DIV, LOGIC, SCAN, BITS, STACK, POPF, LEAVE,
    ENTER, CMPXCHG, LOOP, XLAT, X87, SSE, BRANCH, REFUSED, PUSHF, INDIRECT,
    VECTOR, BMI, COUNT, ADX, CRC,
};

struct template {
    const char *class;
    const struct opcode *op; /* of SSE: says what the rest would */
    uint8_t prefix;          /* mandatory: 0, 66, F3, F2 */
    uint8_t map;             /* 0, 1: 0F, 2: 0F38, 3: 0F3A */
    uint8_t opcode;
    int8_t digit; /* modrm.reg, or -1 */
    uint8_t kind;
    uint8_t imm; /* bytes; 4: operand size up to 4; 8: with REX.W 8 */
    bool modrm, byte, memory_only, register_only, lock;
    bool vex, l0;
    const struct vec_op *vec;
};

#define MAX_TEMPLATES 4096
static struct template templates[MAX_TEMPLATES];
static unsigned template_count;
static const char *wanted;

static struct template *add(const char *class, unsigned map, unsigned opcode, unsigned kind)
{
    struct template *t = &templates[template_count];

    if (template_count < MAX_TEMPLATES - 1) {
        template_count++;
    }
    *t = (struct template){.class = class, .map = (uint8_t)map, .opcode = (uint8_t)opcode,
                           .digit = -1, .kind = (uint8_t)kind};
    return t;
}

/* With ModRM; `digit` -1: any register. Even opcodes of a pair are byte operations. */
static struct template *add_rm(const char *class, unsigned map, unsigned opcode, int digit,
                               unsigned kind, bool byte)
{
    struct template *t = add(class, map, opcode, kind);

    t->modrm = true;
    t->digit = (int8_t)digit;
    t->byte = byte;
    return t;
}

static void add_alu(void)
{
    for (unsigned op = 0; op < 8; op++) {
        unsigned kind = op == 1 || op == 4 || op == 6 ? LOGIC : PLAIN;

        for (unsigned form = 0; form < 4; form++) {
            add_rm("alu", 0, op * 8 + form, -1, kind, !(form & 1))->lock = form < 2 && op != 7;
        }
        add("alu", 0, op * 8 + 4, kind)->imm = 1;
        add("alu", 0, op * 8 + 5, kind)->imm = 4;
        add_rm("alu", 0, 0x80, (int)op, kind, true)->imm = 1;
        add_rm("alu", 0, 0x81, (int)op, kind, false)->imm = 4;
        add_rm("alu", 0, 0x83, (int)op, kind, false)->imm = 1;
    }
    for (unsigned wide = 0; wide < 2; wide++) {
        add_rm("alu", 0, 0x84 + wide, -1, LOGIC, !wide);
        add("alu", 0, 0xa8 + wide, LOGIC)->imm = wide ? 4 : 1;
        add_rm("alu", 0, 0xf6 + wide, 0, LOGIC, !wide)->imm = wide ? 4 : 1;
        add_rm("alu", 0, 0xf6 + wide, 2, PLAIN, !wide)->lock = true;
        add_rm("alu", 0, 0xf6 + wide, 3, PLAIN, !wide)->lock = true;
        add_rm("muldiv", 0, 0xf6 + wide, 4, MUL, !wide);
        add_rm("muldiv", 0, 0xf6 + wide, 5, MUL, !wide);
        add_rm("muldiv", 0, 0xf6 + wide, 6, DIV, !wide);
        add_rm("muldiv", 0, 0xf6 + wide, 7, DIV, !wide);
        add_rm("alu", 0, 0xfe + wide, 0, PLAIN, !wide)->lock = true;
        add_rm("alu", 0, 0xfe + wide, 1, PLAIN, !wide)->lock = true;
        add_rm("xchg", 0, 0x86 + wide, -1, PLAIN, !wide)->lock = true;
        add_rm("xchg", 1, 0xb0 + wide, -1, CMPXCHG, !wide)->lock = true;
        add_rm("xchg", 1, 0xc0 + wide, -1, PLAIN, !wide)->lock = true;
        for (int digit = 0; digit < 8; digit++) {
            unsigned kind = digit < 4 ? ROTATE : SHIFT;

            add_rm("shift", 0, 0xc0 + wide, digit, kind, !wide)->imm = 1;
            add_rm("shift", 0, 0xd0 + wide, digit, kind, !wide);
            add_rm("shift", 0, 0xd2 + wide, digit, kind, !wide);
        }
    }
    add_rm("muldiv", 0, 0x69, -1, MUL, false)->imm = 4;
    add_rm("muldiv", 0, 0x6b, -1, MUL, false)->imm = 1;
    add_rm("muldiv", 1, 0xaf, -1, MUL, false);
    add_rm("shift", 1, 0xa4, -1, SHIFT_DOUBLE, false)->imm = 1;
    add_rm("shift", 1, 0xa5, -1, SHIFT_DOUBLE, false);
    add_rm("shift", 1, 0xac, -1, SHIFT_DOUBLE, false)->imm = 1;
    add_rm("shift", 1, 0xad, -1, SHIFT_DOUBLE, false);
    add_rm("xchg", 1, 0xc7, 1, CMPXCHG, false)->lock = true;
    templates[template_count - 1].memory_only = true;
    for (unsigned n = 0; n < 8; n++) {
        add("xchg", 0, 0x90 + n, PLAIN);
        add("bits", 1, 0xc8 + n, PLAIN);
    }
    for (unsigned op = 0; op < 4; op++) {
        add_rm("bits", 1, 0xa3 + op * 8, -1, BITS, false)->lock = op != 0;
        add_rm("bits", 1, 0xba, 4 + (int)op, BITS, false)->imm = 1;
    }
    add_rm("bits", 1, 0xbc, -1, SCAN, false);
    add_rm("bits", 1, 0xbd, -1, SCAN, false);
    if (__builtin_cpu_supports("popcnt")) {
        add_rm("bits", 1, 0xb8, -1, PLAIN, false)->prefix = 0xf3;
    }
}

static void add_moves(void)
{
    for (unsigned form = 0; form < 4; form++) {
        add_rm("mov", 0, 0x88 + form, -1, PLAIN, !(form & 1));
    }
    add_rm("mov", 0, 0xc6, 0, PLAIN, true)->imm = 1;
    add_rm("mov", 0, 0xc7, 0, PLAIN, false)->imm = 4;
    add_rm("mov", 0, 0x8d, -1, PLAIN, false);
    add_rm("mov", 0, 0x63, -1, PLAIN, false);
    for (unsigned n = 0; n < 8; n++) {
        add("mov", 0, 0xb0 + n, PLAIN)->imm = 1;
        add("mov", 0, 0xb8 + n, PLAIN)->imm = 8;
    }
    for (unsigned n = 0; n < 2; n++) {
        add_rm("mov", 1, 0xb6 + n, -1, PLAIN, false);
        add_rm("mov", 1, 0xbe + n, -1, PLAIN, false);
        add("convert", 0, 0x98 + n, PLAIN);
    }
    for (unsigned cc = 0; cc < 16; cc++) {
        add_rm("cmov", 1, 0x40 + cc, -1, PLAIN, false);
        add_rm("setcc", 1, 0x90 + cc, -1, PLAIN, true);
        add("branch", 0, 0x70 + cc, BRANCH)->imm = 1;
        add("branch", 1, 0x80 + cc, BRANCH)->imm = 4;
    }
    for (unsigned n = 0; n < 4; n++) {
        add("branch", 0, 0xe0 + n, LOOP)->imm = 1;
    }
    add("branch", 0, 0xe8, BRANCH)->imm = 4;
    add("branch", 0, 0xe9, BRANCH)->imm = 4;
    add("branch", 0, 0xeb, BRANCH)->imm = 1;
    add_rm("branch", 0, 0xff, 2, INDIRECT, false);
    add_rm("branch", 0, 0xff, 4, INDIRECT, false);
    add("branch", 0, 0xc3, INDIRECT);
    add("branch", 0, 0xc2, INDIRECT)->imm = 2;
    add("xlat", 0, 0xd7, XLAT);
    add("flags", 0, 0x9e, PLAIN);
    add("flags", 0, 0x9f, PLAIN);
    add("flags", 0, 0xf5, PLAIN);
    add("flags", 0, 0xf8, PLAIN);
    add("flags", 0, 0xf9, PLAIN);
    add("flags", 0, 0xfc, PLAIN);
    add("flags", 0, 0xfd, PLAIN);
    add_rm("nop", 1, 0x1f, -1, PLAIN, false);
}

static void add_stack_and_strings(void)
{
    static const uint8_t strings[] = {0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};
    static const uint8_t invalid[] = {0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37,
                                      0x3f, 0x60, 0x61, 0x82, 0x9a, 0xce, 0xd4, 0xd5, 0xd6, 0xea};
    static const uint8_t privileged[] = {0xf4, 0xfa, 0xfb, 0xec, 0xed, 0xee, 0xef};

    for (unsigned n = 0; n < 8; n++) {
        add("stack", 0, 0x50 + n, STACK);
        add("stack", 0, 0x58 + n, STACK);
    }
    add("stack", 0, 0x68, STACK)->imm = 4;
    add("stack", 0, 0x6a, STACK)->imm = 1;
    add_rm("stack", 0, 0x8f, 0, STACK, false);
    add_rm("stack", 0, 0xff, 6, STACK, false);
    add("stack", 0, 0x9c, PUSHF);
    add("stack", 0, 0x9d, POPF);
    add("stack", 0, 0xc9, LEAVE);
    add("stack", 0, 0xc8, ENTER)->imm = 3;
    for (unsigned n = 0; n < sizeof(strings); n++) {
        for (unsigned copies = 0; copies < 3; copies++) {
            add("string", 0, strings[n], STRING)->byte = !(strings[n] & 1);
        }
    }
    for (unsigned n = 0; n < sizeof(invalid); n++) {
        add("invalid", 0, invalid[n], REFUSED);
    }
    for (unsigned n = 0; n < sizeof(privileged); n++) {
        add("privileged", 0, privileged[n], REFUSED);
    }
    add("invalid", 1, 0x0b, REFUSED);
    add("privileged", 1, 0x06, REFUSED);
    add("privileged", 1, 0x08, REFUSED);
    add("privileged", 1, 0x30, REFUSED);
    add("privileged", 1, 0x32, REFUSED);
}

static void add_floating(void)
{
    static const uint8_t prefixes[4] = {0, 0x66, 0xf3, 0xf2};

    for (unsigned escape = 0; escape < 8; escape++) {
        for (unsigned copies = 0; copies < 24; copies++) {
            add_rm("x87", 0, 0xd8 + escape, -1, X87, false);
        }
    }
    for (unsigned p = 0; p < 4; p++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            const struct opcode *op = sse_opcode(p, (uint8_t)byte);
            struct template *t;

            if (!op || !op->exec || byte == 0x0d || byte == 0x18) {
                continue;
            }
            t = add(p == 0 && byte >= 0x60 && byte < 0xff && byte != 0xae && byte != 0xc2 &&
                            byte != 0xc6 ? "mmx" : "sse", 1, byte, SSE);
            t->op = op;
            t->prefix = prefixes[p];
            t->modrm = op->flags & OP_MODRM;
            t->memory_only = op->flags & OP_MEM_ONLY;
            t->register_only = op->flags & OP_REG_ONLY;
            t->imm = op->imm;
        }
    }
}

static bool host_has(const uint32_t *features, unsigned word, unsigned bit)
{
    return features[word] >> bit & 1;
}

/* The host's own features decide, as they do in the interpreter. */
static bool offered(enum vec_need need)
{
    static struct vcpu *asked;
    static struct bp_x86_cpu state;

    if (!asked) {
        asked = calloc(1, sizeof(*asked));
        asked->x = &state;
        guest_features(state.features);
    }
    return vec_has(asked, need);
}

static void add_vector(unsigned map, unsigned prefix, uint8_t byte, bool vex)
{
    static const uint8_t prefixes[4] = {0, 0x66, 0xf3, 0xf2};
    const struct vec_op *op = vec_look_up(map, prefix, byte);
    struct template *t;

    if (!op || (vex ? !offered(NEED_AVX) || (!offered(op->vex) && !offered(op->vex256)) : !offered(op->legacy))) {
        return;
    }
    t = add(vex ? op->vex == NEED_FMA ? "fma" : map == 1 ? "vex" : "vex-new" : prefix ? "sse-new" : "mmx-new", map,
            byte, VECTOR);
    t->prefix = prefixes[prefix];
    t->modrm = !(vex && map == 1 && byte == 0x77);
    t->memory_only = op->flags & V_MEM;
    t->register_only = op->flags & V_REG;
    t->imm = op->flags & V_IMM ? 1 : 0;
    t->vex = vex;
    t->l0 = !(op->flags & V_SCALAR) && (op->vex256 == NEED_NEVER || !offered(op->vex256));
    t->vec = op;
}

static void add_vectors(void)
{
    for (unsigned map = 1; map < 4; map++) {
        for (unsigned prefix = 0; prefix < 4; prefix++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                add_vector(map, prefix, (uint8_t)byte, true);
                if (map > 1) {
                    add_vector(map, prefix, (uint8_t)byte, false);
                }
            }
        }
    }
}

/* BMI1, BMI2, MOVBE, CRC32, ADX, LZCNT, TZCNT */
static void add_bits(void)
{
    static const struct {
        uint8_t map, prefix, opcode, bit, imm;
        int8_t digit;
    } bmi[] = {
        {2, 0, 0xf2, 3, 0, -1}, {2, 0, 0xf3, 3, 0, 1}, {2, 0, 0xf3, 3, 0, 2}, {2, 0, 0xf3, 3, 0, 3},
        {2, 0, 0xf7, 3, 0, -1}, {2, 0, 0xf5, 8, 0, -1}, {2, 0xf3, 0xf5, 8, 0, -1}, {2, 0xf2, 0xf5, 8, 0, -1},
        {2, 0xf2, 0xf6, 8, 0, -1}, {2, 0x66, 0xf7, 8, 0, -1}, {2, 0xf3, 0xf7, 8, 0, -1}, {2, 0xf2, 0xf7, 8, 0, -1},
        {3, 0xf2, 0xf0, 8, 1, -1},
    };
    uint32_t features[BP_X86_FW_COUNT] = {0};
    struct template *t;

    guest_features(features);
    for (unsigned n = 0; n < sizeof(bmi) / sizeof(bmi[0]); n++) {
        if (!host_has(features, BP_X86_FW_7_EBX, bmi[n].bit)) {
            continue;
        }
        for (unsigned copies = 0; copies < 4; copies++) {
            t = add_rm("bmi", bmi[n].map, bmi[n].opcode, bmi[n].digit, BMI, false);
            t->prefix = bmi[n].prefix;
            t->imm = bmi[n].imm;
            t->vex = t->l0 = true;
        }
    }
    for (unsigned n = 0; n < 2; n++) {
        if (host_has(features, BP_X86_FW_1_ECX, 22)) {
            add_rm("bits", 2, 0xf0 + n, -1, PLAIN, false)->memory_only = true;
        }
        if (host_has(features, BP_X86_FW_1_ECX, 20)) {
            add_rm("bits", 2, 0xf0 + n, -1, CRC, !n)->prefix = 0xf2;
        }
        if (host_has(features, BP_X86_FW_7_EBX, 19)) {
            add_rm("bits", 2, 0xf6, -1, ADX, false)->prefix = n ? 0xf3 : 0x66;
        }
    }
    if (host_has(features, BP_X86_FW_7_EBX, 3)) {
        add_rm("bits", 1, 0xbc, -1, COUNT, false)->prefix = 0xf3;
    }
    if (host_has(features, BP_X86_FW_80000001_ECX, 5)) {
        add_rm("bits", 1, 0xbd, -1, COUNT, false)->prefix = 0xf3;
    }
}

void generate_init(void)
{
    values_init();
    template_count = 0;
    add_alu();
    add_moves();
    add_stack_and_strings();
    add_floating();
    add_vectors();
    add_bits();
}

bool generate_only(const char *class)
{
    wanted = class;
    for (unsigned n = 0; n < template_count; n++) {
        if (strstr(templates[n].class, class)) {
            return true;
        }
    }
    return false;
}

/* ---- encoding ---- */

struct encoder {
    struct test_case *c;
    const struct template *t;
    uint64_t target;  /* of the memory operand */
    unsigned rex, opsize, mod, reg, rm;
    bool address32;
    bool has_memory;
    unsigned base, index, scale; /* 16: none */
    int32_t disp;
    bool rip_relative;
    unsigned vvvv, l, w; /* of VEX */
};

static uint64_t window_address(unsigned align)
{
    unsigned at = below(WINDOW_SIZE - 520);

    if (chance(20)) { /* across the pages */
        at = WINDOW_SIZE / 2 - below(32);
    }
    return WINDOW_BASE + (at & ~(align - 1));
}

static uint64_t rng_target(bool vector)
{
    unsigned choice = below(100);

    if (choice < 90) {
        return window_address(vector && chance(85) ? 16 : chance(50) ? 8 : 1);
    }
    if (choice < 94) {
        return DATA_READONLY + below(0x400);
    }
    if (choice < 97) {
        return DATA_BASE + DATA_SIZE - below(20);
    }
    return choice < 98 ? UINT64_C(0x7fffffffffff) + below(16) * (UINT64_C(1) << 44)
                       : UINT64_C(0x8000000000000000) + rng() % 0x10000;
}

static void emit(struct test_case *c, uint64_t value, unsigned bytes)
{
    for (unsigned n = 0; n < bytes && c->length < sizeof(c->bytes); n++) {
        c->bytes[c->length++] = (uint8_t)(value >> 8 * n);
    }
}

/* Picks base, index and displacement so that they add up to the target where possible. */
static void solve_address(struct encoder *e)
{
    uint64_t *gpr = e->c->start.gpr;
    unsigned disp_kind = e->mod == 1 ? 1 : e->mod == 2 ? 4 : 0;
    uint64_t rest;

    e->disp = disp_kind == 1   ? (int32_t)(int8_t)rng()
              : disp_kind == 4 ? (int32_t)(chance(50) ? rng() : rng() % 4096 - 2048)
                               : 0;
    if (e->base == 16 && e->mod == 0) {
        e->disp = (int32_t)(e->target - (e->index < 16 ? gpr[e->index] << e->scale : 0));
        if (e->index < 16 && e->target <= UINT32_MAX) {
            gpr[e->index] = rng() % 64;
            e->disp = (int32_t)(e->target - (gpr[e->index] << e->scale));
        }
        return;
    }
    rest = e->target - (uint64_t)(int64_t)e->disp;
    if (e->index < 16 && e->index != e->base) {
        if (chance(50)) {
            gpr[e->index] = rng() % 256;
        }
        rest -= gpr[e->index] << e->scale;
    }
    gpr[e->base] = rest;
    if (e->address32 && chance(50)) {
        gpr[e->base] ^= rng() << 32;
    }
}

static bool is_gather(const struct template *t)
{
    return t->vex && t->map == 2 && t->opcode >= 0x90 && t->opcode <= 0x93;
}

/* Base and vector index; the elements stay near the base. */
static void choose_gather(struct encoder *e)
{
    unsigned base = below(8), index = below(8), number = index | (e->rex & 2) << 2;
    uint8_t *low = e->c->start.fx + 160 + 16 * number, *high = e->c->start.ymm + 16 * number;

    e->mod = 1 + below(2);
    e->scale = below(4);
    e->index = 16;
    e->base = base | (e->rex & 1) << 3;
    e->rm = 4 | base << 8 | index << 16;
    for (unsigned n = 0; n < 16; n += e->t->opcode & 1 ? 8 : 4) {
        int64_t at = chance(97) ? (int64_t)below(40) - 20 : (int64_t)rng();

        memcpy(low + n, &at, e->t->opcode & 1 ? 8 : 4);
        at = (int64_t)below(40) - 20;
        memcpy(high + n, &at, e->t->opcode & 1 ? 8 : 4);
    }
}

static void choose_vex(struct encoder *e)
{
    unsigned flags = e->t->vec ? e->t->vec->flags : 0;
    bool w_counts = __builtin_cpu_is("intel"); /* AMD's take VPERMQ and VPERMPD with VEX.W 0, too */
    bool one_source = flags & V_UNARY || (e->t->kind == BMI && e->t->opcode == 0xf0);

    e->vvvv = one_source && chance(98) ? 0 : below(16);
    e->w = flags & V_W0 ? chance(2) : flags & V_W1 ? !(w_counts && chance(2)) : (e->rex & 8) != 0;
    e->l = e->t->l0 ? chance(2) : flags & V_L1 ? !chance(2) : below(2);
}

static void choose_operands(struct encoder *e)
{
    const struct template *t = e->t;

    e->reg = t->digit >= 0 ? (unsigned)t->digit : below(8);
    e->mod = t->register_only ? 3 : t->memory_only ? below(3) : below(2) ? 3 : below(3);
    e->rm = below(8);
    e->base = e->index = 16;
    e->has_memory = t->modrm && e->mod != 3;
    if (t->kind == SSE && t->opcode == 0xae && e->has_memory && e->reg > 3 && e->reg < 7) {
        e->reg -= 4; /* not XSAVE and its family */
    }
    if (!e->has_memory) {
        return;
    }
    if (is_gather(t)) {
        choose_gather(e);
        return;
    }
    if (e->rm == 4) {
        unsigned base = below(8), index = below(8) | (e->rex & 2) << 2;

        e->scale = below(4);
        e->index = index == 4 ? 16 : index;
        e->base = base == 5 && e->mod == 0 ? 16 : base | (e->rex & 1) << 3;
        e->rm = 4 | base << 8 | index << 16; /* the SIB byte's fields */
    } else if (e->rm == 5 && e->mod == 0) {
        e->rip_relative = true;
    } else {
        e->base = e->rm | (e->rex & 1) << 3;
    }
}

static unsigned immediate_size(const struct encoder *e)
{
    unsigned imm = e->t->imm;

    if (imm == 4) {
        return e->opsize == 2 && e->t->kind != BRANCH ? 2 : 4;
    }
    if (imm == 8) {
        return e->opsize == 8 ? 8 : e->opsize == 2 ? 2 : 4;
    }
    return imm;
}

static void emit_modrm(struct encoder *e, unsigned following)
{
    struct test_case *c = e->c;
    unsigned sib_base = e->rm >> 8 & 7, sib_index = e->rm >> 16 & 7;

    emit(c, e->mod << 6 | (e->reg & 7) << 3 | (e->rm & 7), 1);
    if (!e->has_memory) {
        return;
    }
    if (e->rip_relative) {
        emit(c, e->target - (c->start.rip + c->length + 4 + following), 4);
        return;
    }
    if ((e->rm & 7) == 4) {
        emit(c, e->scale << 6 | sib_index << 3 | sib_base, 1);
    }
    if (e->mod == 1) {
        emit(c, (uint64_t)(int64_t)e->disp, 1);
    } else if (e->mod == 2 || e->base == 16) {
        emit(c, (uint64_t)(int64_t)e->disp, 4);
    }
}

/* The effective count of a shift, after encoding. */
static unsigned shift_count(const struct encoder *e, uint64_t imm)
{
    unsigned opcode = e->t->opcode;
    uint64_t count = e->t->imm                     ? imm
                     : opcode == 0xd0 || opcode == 0xd1 ? 1
                                                   : e->c->start.gpr[BP_RCX];

    return (unsigned)(count & (e->opsize == 8 ? 63 : 31));
}

#define CF 0x001u
#define PF 0x004u
#define AF 0x010u
#define ZF 0x040u
#define SF 0x080u
#define OF 0x800u

static uint32_t undefined_flags(const struct encoder *e, uint64_t imm)
{
    unsigned count;

    switch (e->t->kind) {
    case LOGIC:
        return AF;
    case MUL:
        return SF | ZF | AF | PF;
    case DIV:
        return SF | ZF | AF | PF | CF | OF;
    case SCAN:
        return CF | OF | SF | AF | PF;
    case BITS:
        return OF | SF | AF | PF;
    case SHIFT:
        count = shift_count(e, imm);
        return count == 0 ? 0 : count == 1 ? AF : AF | OF | (count >= e->opsize * 8 ? CF : 0);
    case ROTATE:
        count = shift_count(e, imm);
        return count == 1 ? 0 : OF;
    case BMI:
        return e->t->opcode == 0xf7 && !e->t->prefix ? SF | AF | PF :
               e->t->opcode == 0xf2 || e->t->opcode == 0xf3 || (e->t->opcode == 0xf5 && !e->t->prefix) ? AF | PF : 0;
    case COUNT:
        return OF | SF | AF | PF;
    case SHIFT_DOUBLE:
        count = shift_count(e, imm);
        return count == 0 ? 0 : count == 1 ? AF : AF | OF;
    default:
        return 0;
    }
}

/* Registers that instructions use without naming them. */
static void prepare_stack(struct encoder *e)
{
    uint64_t *gpr = e->c->start.gpr;
    bool frame = e->t->kind == LEAVE || e->t->kind == ENTER;

    gpr[BP_RSP] = chance(95) ? window_address(chance(80) ? 8 : 1) + 64 : rng_target(false);
    if (frame) {
        gpr[BP_RBP] = chance(95) ? window_address(8) + 300 : rng_target(false);
    }
    if (e->t->kind == POPF || e->t->kind == INDIRECT) {
        uint64_t at = gpr[BP_RSP] - WINDOW_BASE, value = 0x202 | (rng() & 0xcd5);

        if (e->t->kind == INDIRECT) {
            value = chance(80) ? CODE_BASE + below(CODE_SIZE) : rng_value();
        }
        if (at <= WINDOW_SIZE - 8) {
            memcpy(e->c->start.memory + at, &value, 8);
        }
        if (e->t->kind == POPF && at > WINDOW_SIZE - 8) {
            gpr[BP_RSP] = WINDOW_BASE; /* never flags from elsewhere: the trap flag, AC */
            memcpy(e->c->start.memory, &value, 8);
        }
    }
}

static void prepare_string(struct encoder *e)
{
    uint64_t *gpr = e->c->start.gpr;

    gpr[BP_RSI] = chance(95) ? window_address(1) + 200 : rng_target(false);
    gpr[BP_RDI] = chance(95) ? window_address(1) + 200 : rng_target(false);
    gpr[BP_RCX] = below(20);
    if (e->address32) {
        gpr[BP_RSI] |= rng() << 32;
        /* With a count of 0 processors differ in whether they truncate the registers. */
        gpr[BP_RCX] = (gpr[BP_RCX] + 1) | rng() << 32;
    }
    if (chance(50)) { /* equal data, so that compares go on */
        memset(e->c->start.memory, (int)below(2), WINDOW_SIZE);
        gpr[BP_RAX] = chance(50) ? 0 : UINT64_C(0x0101010101010101);
    }
}

/* After encoding, before addresses are solved: values that make the operation interesting. */
static void prepare(struct encoder *e)
{
    uint64_t *gpr = e->c->start.gpr;
    unsigned reg = (e->reg & 7) | (e->rex & 4) << 1;

    if (!chance(5) || e->t->kind >= STACK) {
        prepare_stack(e);
    }
    switch (e->t->kind) {
    case STRING:
        prepare_string(e);
        break;
    case BITS:
        if (e->has_memory && !e->t->imm) {
            gpr[reg] = (uint64_t)((int64_t)below(3200) - 1600);
        }
        break;
    case DIV:
        if (chance(60)) {
            gpr[BP_RDX] = chance(50) ? 0 : rng() % 8;
            gpr[BP_RAX] = e->opsize == 1 ? rng() % 0x200 : gpr[BP_RAX];
        }
        break;
    case LOOP:
        gpr[BP_RCX] = below(3);
        break;
    case XLAT:
        gpr[BP_RBX] = rng_target(false) - (gpr[BP_RAX] & 0xff);
        break;
    default:
        break;
    }
    if (e->t->kind == VECTOR && e->t->map == 3 && (e->t->opcode & 0xfc) == 0x60 && chance(60)) {
        gpr[BP_RAX] = below(24); /* lengths of strings */
        gpr[BP_RDX] = below(24);
    }
    if ((e->t->kind == SSE || e->t->kind == VECTOR) && e->t->opcode == 0xf7) {
        gpr[BP_RDI] = WINDOW_BASE + below(1000); /* faults of unselected bytes are not defined */
    }
}

/* After addresses are solved: memory contents that depend on them. */
static void prepare_memory(struct encoder *e)
{
    uint64_t at = e->target - WINDOW_BASE;
    uint8_t *memory = e->c->start.memory;
    uint64_t *gpr = e->c->start.gpr;

    if (!e->has_memory || at > WINDOW_SIZE - 32) {
        return;
    }
    if (e->t->kind == CMPXCHG && chance(50) && e->base != BP_RAX && e->base != BP_RDX &&
        e->index != BP_RAX && e->index != BP_RDX) {
        memcpy(&gpr[BP_RAX], memory + at, e->opsize == 8 && e->t->opcode != 0xc7 ? 8 : 4);
        if (e->t->opcode == 0xc7) {
            memcpy(&gpr[BP_RAX], memory + at, e->opsize == 8 ? 8 : 4);
            memcpy(&gpr[BP_RDX], memory + at + (e->opsize == 8 ? 8 : 4), e->opsize == 8 ? 8 : 4);
        }
    }
    if (e->t->kind == INDIRECT && chance(80)) {
        uint64_t value = CODE_BASE + below(CODE_SIZE);

        memcpy(memory + at, &value, 8);
    }
    if ((e->t->kind == SSE || e->t->kind == VECTOR) && e->t->opcode == 0xae) {
        uint32_t mxcsr = (uint32_t)(rng() & (chance(90) ? 0xffff : 0x1ffff));

        memcpy(memory + at + (e->reg == 2 ? 0 : 24), &mxcsr, 4);
    }
}

static void choose_prefixes(struct encoder *e)
{
    const struct template *t = e->t;
    struct test_case *c = e->c;
    bool wide = chance(40), word = !t->byte && chance(25) && t->kind != BRANCH;

    if (t->kind == LOOP || t->kind == INDIRECT || t->kind == SSE || t->kind == REFUSED || t->kind == VECTOR ||
        t->kind == BMI || t->kind == ADX) {
        word = false;
    }
    e->rex = chance(70) ? 0x40 | below(16) : 0;
    if (e->rex) {
        e->rex = (e->rex & ~8u) | (wide ? 8 : 0);
    }
    if (t->kind == XLAT || t->kind == LOOP) {
        word = false;
    }
    e->opsize = t->byte ? 1 : e->rex & 8 ? 8 : word ? 2 : 4;
    e->address32 = chance(5) && t->kind != BRANCH;
    if (word) {
        emit(c, 0x66, 1);
    }
    if (e->address32) {
        emit(c, 0x67, 1);
    }
    if (t->kind == STRING && chance(70)) {
        c->repeat = true;
        emit(c, chance(50) ? 0xf3 : 0xf2, 1);
    }
    if (chance(2)) {
        emit(c, chance(50) ? 0x65 : 0x3e, 1); /* GS has base 0 on both sides */
    }
    if (t->prefix && !t->vex) {
        emit(c, t->prefix, 1);
    }
}

/* Two bytes where they suffice. */
static void emit_vex(struct encoder *e)
{
    unsigned pp = e->t->prefix == 0x66 ? 1 : e->t->prefix == 0xf3 ? 2 : e->t->prefix == 0xf2 ? 3 : 0;
    unsigned last = (~e->vvvv & 15) << 3 | e->l << 2 | pp, high = ~e->rex;

    if (e->t->map == 1 && !(e->rex & 3) && !e->w && chance(70)) {
        emit(e->c, 0xc5, 1);
        emit(e->c, (high & 4) << 5 | last, 1);
        return;
    }
    emit(e->c, 0xc4, 1);
    emit(e->c, (high & 7) << 5 | e->t->map, 1);
    emit(e->c, e->w << 7 | last, 1);
}

/* SHLD and SHRD of 16 bits by more than that: result and flags are undefined. */
static bool is_undefined(const struct encoder *e, uint64_t imm)
{
    return e->t->kind == SHIFT_DOUBLE && e->opsize == 2 && shift_count(e, imm) > 16;
}

/* False: nothing of the case is defined. */
static bool attempt(struct test_case *c, uint64_t code)
{
    struct encoder e = {.c = c};
    unsigned following;
    uint64_t imm;

    do {
        e.t = &templates[below(template_count)];
    } while (wanted && !strstr(e.t->class, wanted));
    memset(c->bytes, 0, sizeof(c->bytes));
    c->class = e.t->class;
    c->length = 0;
    c->repeat = false;
    c->single_step = e.t->kind == BRANCH || e.t->kind == INDIRECT || e.t->kind == LOOP;
    c->pushes_flags = e.t->kind == PUSHF;
    c->floating = e.t->kind == X87;
    put_state(&c->start);
    c->start.rip = code;
    choose_prefixes(&e);
    choose_operands(&e);
    if (e.has_memory && e.t->lock && chance(20)) {
        memmove(c->bytes + 1, c->bytes, c->length++);
        c->bytes[0] = 0xf0;
    }
    if (e.t->vex) {
        choose_vex(&e);
        emit_vex(&e);
    } else if (e.rex) {
        emit(c, e.rex, 1);
    }
    if (e.t->map && !e.t->vex) {
        emit(c, 0x0f, 1);
        if (e.t->map > 1) {
            emit(c, e.t->map == 2 ? 0x38 : 0x3a, 1);
        }
    }
    emit(c, e.t->opcode, 1);
    e.target = rng_target(e.t->kind == SSE || e.t->kind == VECTOR);
    if (e.rip_relative || (e.has_memory && e.base == 16)) {
        e.target = e.target > UINT32_MAX ? window_address(1) : e.target;
    }
    prepare(&e);
    if (e.has_memory && !e.rip_relative) {
        solve_address(&e);
    }
    prepare_memory(&e);
    following = immediate_size(&e);
    if (e.t->modrm) {
        emit_modrm(&e, following);
    }
    imm = rng_value();
    if (e.t->kind == ENTER) { /* a frame that stays in the window, few levels */
        imm = below(32) | (uint64_t)(chance(70) ? 0 : below(4)) << 16;
    }
    if (e.t->kind == BRANCH && following == 4) {
        imm = rng() % 0x10000;
    }
    emit(c, imm, following);
    c->undefined_flags = undefined_flags(&e, imm & 0xff);
    c->opcode = (uint16_t)((e.t->map == 3 ? 0x3a00 : e.t->map == 2 ? 0x3800 : e.t->map ? 0x0f00 : 0) | e.t->opcode);
    c->vex = e.t->vex;
    c->prefix = e.t->prefix;
    c->opsize = (uint8_t)e.opsize;
    c->reg = (uint8_t)((e.reg & 7) | (e.rex & 4) << 1);
    c->memory = e.has_memory;
    c->target = e.target;
    return !is_undefined(&e, imm & 0xff);
}

void generate(struct test_case *c, uint64_t seed, uint64_t code)
{
    rng_seed(seed);
    while (!attempt(c, code)) {
    }
}
