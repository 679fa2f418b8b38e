/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registers as a debugger sees them: described in gdb's form (its manual, appendix G.5.7: features
 * org.gnu.gdb.i386.core, .sse, .segments, .avx), and control registers in a feature of our own. Guests of
 * i386 have the names and widths of that.
 */
#include "model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind {
    GPR, RIP, FLAGS, SELECTOR, ST, FPU, XMM, MXCSR, BASE, KERNEL_GS, CR, EFER, YMM_HIGH,
};
enum feature_set { CORE, SSE, SEGMENTS, SYSTEM, AVX, FEATURES };

struct reg {
    const char *name; /* with %u: several, from 0 on */
    const char *type; /* NULL: int */
    uint8_t bits, kind, index, count, set;
};

#define ONE(NAME, TYPE, BITS, KIND, INDEX, SET) {NAME, TYPE, BITS, KIND, INDEX, 1, SET}
#define G64(NAME, INDEX) ONE(NAME, "int64", 64, GPR, INDEX, CORE)
#define G32(NAME, INDEX) ONE(NAME, "int32", 32, GPR, INDEX, CORE)
#define SEL(NAME, INDEX) ONE(NAME, "int32", 32, SELECTOR, INDEX, CORE)
#define FPU_REGS \
    {"st%u", "i387_ext", 80, ST, 0, 8, CORE}, ONE("fctrl", "int", 32, FPU, 0, CORE), \
    ONE("fstat", "int", 32, FPU, 1, CORE), ONE("ftag", "int", 32, FPU, 2, CORE), \
    ONE("fiseg", "int", 32, FPU, 3, CORE), ONE("fioff", "int", 32, FPU, 4, CORE), \
    ONE("foseg", "int", 32, FPU, 5, CORE), ONE("fooff", "int", 32, FPU, 6, CORE), \
    ONE("fop", "int", 32, FPU, 7, CORE)
#define SEGMENT_REGS \
    SEL("cs", BP_CS), SEL("ss", BP_SS), SEL("ds", BP_DS), SEL("es", BP_ES), SEL("fs", BP_FS), \
    SEL("gs", BP_GS)
#define SYSTEM_REGS(TYPE, BITS) \
    ONE("cr0", TYPE, BITS, CR, 0, SYSTEM), ONE("cr2", TYPE, BITS, CR, 2, SYSTEM), \
    ONE("cr3", TYPE, BITS, CR, 3, SYSTEM), ONE("cr4", TYPE, BITS, CR, 4, SYSTEM)

static const struct reg regs64[] = {
    G64("rax", BP_RAX), G64("rbx", BP_RBX), G64("rcx", BP_RCX), G64("rdx", BP_RDX),
    G64("rsi", BP_RSI), G64("rdi", BP_RDI), ONE("rbp", "data_ptr", 64, GPR, BP_RBP, CORE),
    ONE("rsp", "data_ptr", 64, GPR, BP_RSP, CORE), G64("r8", 8), G64("r9", 9), G64("r10", 10),
    G64("r11", 11), G64("r12", 12), G64("r13", 13), G64("r14", 14), G64("r15", 15),
    ONE("rip", "code_ptr", 64, RIP, 0, CORE), ONE("eflags", "i386_eflags", 32, FLAGS, 0, CORE),
    SEGMENT_REGS, FPU_REGS,
    {"xmm%u", "vec128", 128, XMM, 0, 16, SSE}, ONE("mxcsr", "i386_mxcsr", 32, MXCSR, 0, SSE),
    ONE("fs_base", "int64", 64, BASE, BP_FS, SEGMENTS),
    ONE("gs_base", "int64", 64, BASE, BP_GS, SEGMENTS),
    ONE("k_gs_base", "int64", 64, KERNEL_GS, 0, SYSTEM), SYSTEM_REGS("int64", 64),
    ONE("efer", "int64", 64, EFER, 0, SYSTEM),
    {"ymm%uh", "uint128", 128, YMM_HIGH, 0, 16, AVX},
    {NULL, NULL, 0, 0, 0, 0, 0},
};
static const struct reg regs32[] = {
    G32("eax", BP_RAX), G32("ecx", BP_RCX), G32("edx", BP_RDX), G32("ebx", BP_RBX),
    ONE("esp", "data_ptr", 32, GPR, BP_RSP, CORE), ONE("ebp", "data_ptr", 32, GPR, BP_RBP, CORE),
    G32("esi", BP_RSI), G32("edi", BP_RDI), ONE("eip", "code_ptr", 32, RIP, 0, CORE),
    ONE("eflags", "i386_eflags", 32, FLAGS, 0, CORE), SEGMENT_REGS, FPU_REGS,
    {"xmm%u", "vec128", 128, XMM, 0, 8, SSE}, ONE("mxcsr", "i386_mxcsr", 32, MXCSR, 0, SSE),
    SYSTEM_REGS("int32", 32),
    {"ymm%uh", "uint128", 128, YMM_HIGH, 0, 8, AVX},
    {NULL, NULL, 0, 0, 0, 0, 0},
};

static bool is_wide(struct bp_cpu *cpu)
{
    return strcmp(bp_cpu_class(cpu)->arch, "i386") != 0;
}

static bool has_set(const struct bp_x86_cpu *x, unsigned set)
{
    return set != AVX || x->features[BP_X86_FW_1_ECX] >> 28 & 1;
}

static const struct reg *table_of(struct bp_cpu *cpu)
{
    return is_wide(cpu) ? regs64 : regs32;
}

static unsigned count(struct bp_cpu *cpu)
{
    unsigned n = 0;

    for (const struct reg *r = table_of(cpu); r->name; r++)
        n += has_set(bp_cpu_state(cpu), r->set) ? r->count : 0;
    return n;
}

static const struct reg *find(struct bp_cpu *cpu, unsigned number, unsigned *ret_index)
{
    for (const struct reg *r = table_of(cpu); r->name; r++) {
        if (!has_set(bp_cpu_state(cpu), r->set))
            continue;
        if (number < r->count) {
            *ret_index = r->index + number;
            return r;
        }
        number -= r->count;
    }
    return NULL;
}

/* ---- the description ---- */

static const char *const feature_names[FEATURES] = {
    "org.gnu.gdb.i386.core", "org.gnu.gdb.i386.sse", "org.gnu.gdb.i386.segments",
    "org.backplane.i386.system", "org.gnu.gdb.i386.avx",
};

static const char flags_type[] =
    "<flags id=\"i386_eflags\" size=\"4\"><field name=\"CF\" start=\"0\" end=\"0\"/>"
    "<field name=\"\" start=\"1\" end=\"1\"/><field name=\"PF\" start=\"2\" end=\"2\"/>"
    "<field name=\"AF\" start=\"4\" end=\"4\"/><field name=\"ZF\" start=\"6\" end=\"6\"/>"
    "<field name=\"SF\" start=\"7\" end=\"7\"/><field name=\"TF\" start=\"8\" end=\"8\"/>"
    "<field name=\"IF\" start=\"9\" end=\"9\"/><field name=\"DF\" start=\"10\" end=\"10\"/>"
    "<field name=\"OF\" start=\"11\" end=\"11\"/><field name=\"NT\" start=\"14\" end=\"14\"/>"
    "<field name=\"RF\" start=\"16\" end=\"16\"/><field name=\"VM\" start=\"17\" end=\"17\"/>"
    "<field name=\"AC\" start=\"18\" end=\"18\"/><field name=\"VIF\" start=\"19\" end=\"19\"/>"
    "<field name=\"VIP\" start=\"20\" end=\"20\"/><field name=\"ID\" start=\"21\" end=\"21\"/></flags>\n";
static const char sse_types[] =
    "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
    "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/><vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"
    "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/><vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
    "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/><union id=\"vec128\">"
    "<field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
    "<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>"
    "<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"
    "<field name=\"uint128\" type=\"uint128\"/></union>"
    "<flags id=\"i386_mxcsr\" size=\"4\"><field name=\"IE\" start=\"0\" end=\"0\"/>"
    "<field name=\"DE\" start=\"1\" end=\"1\"/><field name=\"ZE\" start=\"2\" end=\"2\"/>"
    "<field name=\"OE\" start=\"3\" end=\"3\"/><field name=\"UE\" start=\"4\" end=\"4\"/>"
    "<field name=\"PE\" start=\"5\" end=\"5\"/><field name=\"DAZ\" start=\"6\" end=\"6\"/>"
    "<field name=\"IM\" start=\"7\" end=\"7\"/><field name=\"DM\" start=\"8\" end=\"8\"/>"
    "<field name=\"ZM\" start=\"9\" end=\"9\"/><field name=\"OM\" start=\"10\" end=\"10\"/>"
    "<field name=\"UM\" start=\"11\" end=\"11\"/><field name=\"PM\" start=\"12\" end=\"12\"/>"
    "<field name=\"FZ\" start=\"15\" end=\"15\"/></flags>\n";

static void describe_set(FILE *f, struct bp_cpu *cpu, unsigned set)
{
    fprintf(f, "<feature name=\"%s\">\n%s%s", feature_names[set], set == CORE ? flags_type : "",
            set == SSE ? sse_types : "");
    for (const struct reg *r = table_of(cpu); r->name; r++) {
        for (unsigned i = 0; r->set == set && i < r->count; i++) {
            const char *mark = strstr(r->name, "%u");

            fputs("<reg name=\"", f);
            if (mark)
                fprintf(f, "%.*s%u%s", (int)(mark - r->name), r->name, i, mark + 2);
            else
                fputs(r->name, f);
            fprintf(f, "\" bitsize=\"%u\" type=\"%s\"%s/>\n", r->bits, r->type,
                    r->kind == FPU ? " group=\"float\"" : "");
        }
    }
    fputs("</feature>\n", f);
}

static char *describe(struct bp_cpu *cpu, const char *name)
{
    char *text = NULL;
    size_t size;
    FILE *f;

    if (strcmp(name, "target.xml") != 0)
        return NULL;
    f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    fprintf(f, "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n<target version=\"1.0\">\n"
            "<architecture>%s</architecture>\n", is_wide(cpu) ? "i386:x86-64" : "i386");
    /* In the order of the table: the numbers follow from it. */
    for (unsigned set = 0; set < FEATURES; set++) {
        if (has_set(bp_cpu_state(cpu), set) && (set != SEGMENTS || is_wide(cpu)))
            describe_set(f, cpu, set);
    }
    fputs("</target>\n", f);
    fclose(f);
    return text;
}

/* ---- values ---- */

/* The full tag word: 3 empty, 0 valid, 1 zero, 2 special (SDM volume 1, 8.1.7). */
static uint64_t tag_word(const struct bp_x86_cpu *x)
{
    uint64_t tags = 0;

    for (unsigned i = 0; i < 8; i++) {
        unsigned exponent = x->fpr[i].sign_exponent & 0x7fff, tag = 0;

        if (!(x->fpu_valid >> i & 1))
            tag = 3;
        else if (exponent == 0 && x->fpr[i].mantissa == 0)
            tag = 1;
        else if (exponent == 0 || exponent == 0x7fff || !(x->fpr[i].mantissa >> 63))
            tag = 2;
        tags |= (uint64_t)tag << (i * 2);
    }
    return tags;
}

static uint64_t fpu_value(const struct bp_x86_cpu *x, unsigned index)
{
    switch (index) {
    case 0: return x->fcw;
    case 1: return x->fsw;
    case 2: return tag_word(x);
    case 3: return x->fcs;
    case 4: return x->fip;
    case 5: return x->fds;
    case 6: return x->fdp;
    default: return x->fop;
    }
}

static void set_fpu(struct bp_x86_cpu *x, unsigned index, uint64_t value)
{
    switch (index) {
    case 0: x->fcw = (uint16_t)value; break;
    case 1: x->fsw = (uint16_t)value; break;
    case 2:
        x->fpu_valid = 0;
        for (unsigned i = 0; i < 8; i++)
            x->fpu_valid |= (value >> (i * 2) & 3) != 3 ? 1u << i : 0;
        break;
    case 3: x->fcs = (uint16_t)value; break;
    case 4: x->fip = value; break;
    case 5: x->fds = (uint16_t)value; break;
    case 6: x->fdp = value; break;
    default: x->fop = (uint16_t)value & 0x7ff;
    }
}

/* Where a plain number is kept; NULL: it is not plain. */
static uint64_t *plain(struct bp_x86_cpu *x, const struct reg *r, unsigned index)
{
    switch (r->kind) {
    case GPR: return &x->gpr[index];
    case RIP: return &x->rip;
    case FLAGS: return &x->rflags;
    case BASE: return &x->seg[index].base;
    case KERNEL_GS: return &x->kernel_gs_base;
    case EFER: return &x->efer;
    case CR: return index == 0 ? &x->cr0 : index == 2 ? &x->cr2 : index == 3 ? &x->cr3 : &x->cr4;
    default: return NULL;
    }
}

static int read_register(struct bp_cpu *cpu, unsigned number, uint8_t *buf)
{
    struct bp_x86_cpu *x = bp_cpu_state(cpu);
    unsigned index, bytes;
    const struct reg *r = find(cpu, number, &index);
    const struct bp_x86_st *st;
    uint64_t value;

    if (!r)
        return -EINVAL;
    bytes = r->bits / 8;
    switch (r->kind) {
    case ST:
        st = &x->fpr[((x->fsw >> 11) + index) & 7];
        memcpy(buf, &st->mantissa, 8);
        memcpy(buf + 8, &st->sign_exponent, 2);
        return 10;
    case XMM: memcpy(buf, &x->vec[index].b[0], 16); return 16;
    case YMM_HIGH: memcpy(buf, &x->vec[index].b[16], 16); return 16;
    case SELECTOR: value = x->seg[index].selector; break;
    case FPU: value = fpu_value(x, index); break;
    case MXCSR: value = x->mxcsr; break;
    default: value = *plain(x, r, index);
    }
    memcpy(buf, &value, bytes);
    return (int)bytes;
}

/* A selector as the processor loads it in real mode; elsewhere the descriptor would be needed. */
static int set_selector(struct bp_x86_cpu *x, unsigned index, uint64_t value)
{
    if (value == x->seg[index].selector)
        return 0;
    if (x->cr0 & 1 && !(x->rflags & 0x20000))
        return -EPERM;
    x->seg[index].selector = (uint16_t)value;
    x->seg[index].base = (value & 0xffff) << 4;
    return 0;
}

static int write_register(struct bp_cpu *cpu, unsigned number, const uint8_t *buf, unsigned length)
{
    struct bp_x86_cpu *x = bp_cpu_state(cpu);
    unsigned index;
    const struct reg *r = find(cpu, number, &index);
    struct bp_x86_st *st;
    uint64_t value = 0;

    if (!r || length != r->bits / 8u)
        return -EINVAL;
    memcpy(&value, buf, length < 8 ? length : 8);
    switch (r->kind) {
    case ST:
        st = &x->fpr[((x->fsw >> 11) + index) & 7];
        st->mantissa = value;
        memcpy(&st->sign_exponent, buf + 8, 2);
        return 0;
    case XMM: memcpy(&x->vec[index].b[0], buf, 16); return 0;
    case YMM_HIGH: memcpy(&x->vec[index].b[16], buf, 16); return 0;
    case SELECTOR: return set_selector(x, index, value);
    case FPU: set_fpu(x, index, value); return 0;
    case MXCSR: x->mxcsr = (uint32_t)value & 0xffff; return 0;
    case FLAGS: x->rflags = (value & 0x3f7fd7) | 2; return 0;
    case CR:
    case EFER: /* they mean more than a number: the guest's own instructions change them */
        return value == *plain(x, r, index) ? 0 : -EPERM;
    default: *plain(x, r, index) = value; return 0;
    }
}

static uint64_t get_pc(struct bp_cpu *cpu)
{
    return ((struct bp_x86_cpu *)bp_cpu_state(cpu))->rip;
}

static void set_pc(struct bp_cpu *cpu, uint64_t address)
{
    ((struct bp_x86_cpu *)bp_cpu_state(cpu))->rip = address;
}

const struct bp_cpu_registers x86_registers = {
    .describe = describe, .count = count, .read = read_register, .write = write_register,
    .get_pc = get_pc, .set_pc = set_pc,
};
