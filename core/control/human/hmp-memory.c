/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Monitor commands over memory and numbers: x, xp (formats as in gdb: /NFS with F of x d u o c and
 * S of b h w g; i: code, by interface disassembler/1), print.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include <bp/host/disassembler.h>
#include <bp/memory.h>

#include "command.h"
#include "hmp.h"
#include "machine.h"
#include "registry.h"

#define MAX_COUNT 65536
#define MAX_INSTRUCTION 16u /* bytes */
#define PER_LINE 8u         /* bytes of code beside the text */

struct format {
    unsigned count;
    char letter;
    unsigned size;
};

/* "/16xb": count, then format and size letters in any order. */
static int parse_format(const char *text, struct format *f, struct bp_error *err)
{
    uint64_t count = 0;
    bool counted = false;

    for (text++; isdigit((unsigned char)*text); text++) {
        counted = true;
        count = count * 10 + (uint64_t)(*text - '0');
        if (count > MAX_COUNT)
            return bp_fail(err, ERANGE, "at most %d units can be shown at once", MAX_COUNT);
    }
    if (counted)
        f->count = (unsigned)count;
    for (; *text; text++) {
        static const char sizes[] = "bhwg";
        const char *s = strchr(sizes, *text);

        if (s)
            f->size = 1u << (s - sizes);
        else if (strchr("xduoci", *text))
            f->letter = *text;
        else
            return bp_fail(err, EINVAL, "invalid format '%c'; accepted: x d u o c i, with a size "
                           "b h w g", *text);
    }
    if (f->letter == 'c' && f->size > 1)
        f->size = 1;
    return 0;
}

static void print_number(struct bp_monitor *mon, const struct format *f, uint64_t v)
{
    unsigned bits = f->size * 8;
    int64_t s = (int64_t)(v << (64 - bits)) >> (64 - bits);

    switch (f->letter) {
    case 'd':
        bp_monitor_printf(mon, "%*lld", (int)(bits * 10 / 32 + 1), (long long)s);
        break;
    case 'u':
        bp_monitor_printf(mon, "%*llu", (int)(bits * 10 / 32), (unsigned long long)v);
        break;
    case 'o':
        bp_monitor_printf(mon, "0%0*llo", (int)((bits + 2) / 3), (unsigned long long)v);
        break;
    case 'c':
        if (v == '\'' || v == '\\')
            bp_monitor_printf(mon, "'\\%c'", (int)v);
        else if (v >= 32 && v < 127)
            bp_monitor_printf(mon, "'%c'", (int)v);
        else
            bp_monitor_printf(mon, "'\\x%02x'", (unsigned)v);
        break;
    default:
        bp_monitor_printf(mon, "0x%0*llx", (int)(bits / 4), (unsigned long long)v);
    }
}

static struct bp_space *space_of(struct bp_cpu *cpu)
{
    return cpu ? bp_cpu_space(cpu) : bpc_the_machine ? bp_machine_memory(bpc_the_machine) : NULL;
}

/* One unit; it may straddle two pages, so each byte is looked up where a page begins. */
static int read_unit(struct bp_cpu *cpu, uint64_t addr, uint8_t *buf, unsigned size)
{
    if (!space_of(cpu))
        return -EFAULT; /* no machine */
    for (unsigned done = 0; done < size;) {
        unsigned n = (unsigned)MIN(size - done, 4096 - (addr + done) % 4096);
        uint64_t phys = addr + done;
        int ret = cpu ? bpc_cpu_translate(cpu, addr + done, &phys) : 0;

        if (ret < 0)
            return ret;
        if (bp_space_read(space_of(cpu), phys, buf + done, n) < 0 && cpu)
            return -EFAULT;
        done += n;
    }
    return 0;
}

static void dump(struct bp_monitor *mon, struct bp_cpu *cpu, const struct format *f, uint64_t addr)
{
    unsigned per_line = f->letter == 'o' || f->letter == 'd' || f->letter == 'u'
                            ? (f->size == 8 ? 2 : f->size == 1 ? 8 : 4)
                            : f->size == 1 ? 8 : f->size == 8 ? 2 : f->size == 2 ? 8 : 4;

    for (unsigned i = 0; i < f->count; i++) {
        uint8_t buf[8];
        uint64_t v = 0;

        if (i % per_line == 0)
            bp_monitor_printf(mon, "%s%016llx:", i ? "\n" : "", (unsigned long long)addr);
        if (read_unit(cpu, addr, buf, f->size) < 0) {
            bp_monitor_printf(mon, " Cannot access memory");
            break;
        }
        for (unsigned b = f->size; b-- > 0;)
            v = v << 8 | buf[b];
        bp_monitor_printf(mon, " ");
        print_number(mon, f, v);
        addr += f->size;
    }
    if (f->count > 0)
        bp_monitor_printf(mon, "\n");
}

/* ---- code ---- */

/* What can be read of up to MAX_INSTRUCTION bytes: it may end where a page does. */
static unsigned read_code(struct bp_cpu *cpu, bool virtual, uint64_t addr, uint8_t *buf)
{
    unsigned done = 0;

    while (space_of(cpu) && done < MAX_INSTRUCTION) {
        unsigned n = (unsigned)MIN(MAX_INSTRUCTION - done, 4096 - (addr + done) % 4096);
        uint64_t phys = addr + done;
        int ret = virtual ? bpc_cpu_translate(cpu, addr + done, &phys) : 0;

        if (ret < 0 || bp_space_read(space_of(cpu), phys, buf + done, n) < 0)
            break;
        done += n;
    }
    return done;
}

static void print_instruction(struct bp_monitor *mon, uint64_t addr, const uint8_t *bytes,
                              const struct bp_instruction *instruction)
{
    for (unsigned at = 0; at < instruction->length; at += PER_LINE) {
        unsigned n = MIN(instruction->length - at, PER_LINE);

        bp_monitor_printf(mon, "0x%08llx: ", (unsigned long long)(addr + at));
        for (unsigned i = 0; i < n; i++)
            bp_monitor_printf(mon, " %02x", bytes[at + i]);
        if (at == 0)
            bp_monitor_printf(mon, "%*s  %s", (int)(3 * (PER_LINE - n)), "", instruction->text);
        bp_monitor_printf(mon, "\n");
    }
}

static void run_state(struct bp_cpu *cpu, void *opaque)
{
    unsigned *bits = opaque;

    bpc_cpu_sync(cpu);
    *bits = bp_cpu_class(cpu)->code_bits ? bp_cpu_class(cpu)->code_bits(cpu) : 0;
}

static void disassemble(struct bp_monitor *mon, const struct format *f, uint64_t addr, bool virtual)
{
    const struct bp_disassembler_interface *table;
    struct bp_cpu *cpu = bpc_hmp_cpu(mon);
    struct bp_disassembler *dis;
    struct bp_error err = {0};
    const void *found;
    unsigned bits = 0;
    int ret;

    if (!cpu)
        return;
    bp_cpu_run(cpu, run_state, &bits);
    ret = bpc_require_interface("disassembler", 1, &found, &err);
    table = ret == 0 ? found : NULL;
    if (ret == 0)
        ret = table->open(bp_cpu_class(cpu)->arch, bits, &dis, &err);
    if (ret < 0) {
        bp_monitor_printf(mon, "Error: %s /i needs interface disassembler/1: %s\n",
                          virtual ? "x" : "xp", err.message);
        return;
    }
    for (unsigned i = 0; i < f->count; i++) {
        uint8_t bytes[MAX_INSTRUCTION];
        struct bp_instruction instruction = {.length = 0};
        unsigned n = read_code(cpu, virtual, addr, bytes);

        if (n == 0) {
            bp_monitor_printf(mon, "0x%08llx: unable to read memory\n", (unsigned long long)addr);
            break;
        }
        table->decode(dis, addr, bytes, n, &instruction);
        /* The module's word on lengths is taken within bounds only. */
        instruction.length = MAX(1, MIN(instruction.length, n));
        print_instruction(mon, addr, bytes, &instruction);
        addr += instruction.length;
    }
    table->close(dis);
}

static const struct bp_field dump_args[] = {
    BP_ARG_OPT("fmt", STRING, "/COUNT FORMAT SIZE"),
    BP_ARG("addr", UINT64, "address"),
    BP_FIELDS_END,
};

static void run_dump(struct bp_monitor *mon, struct bp_value *args, bool virtual)
{
    struct format f = {1, 'x', 4};
    const char *text = bp_value_get_string(args, "fmt");
    struct bp_error err = {0};
    struct bp_cpu *cpu = NULL;

    if (text && parse_format(text, &f, &err) < 0) {
        bpc_hmp_error(mon, &err);
        return;
    }
    if (f.letter == 'i') {
        disassemble(mon, &f, bp_value_as_uint(bp_value_get(args, "addr")), virtual);
        return;
    }
    if (virtual) {
        cpu = bpc_hmp_cpu(mon);
        if (!cpu)
            return;
    }
    dump(mon, cpu, &f, bp_value_as_uint(bp_value_get(args, "addr")));
}

static void do_x(struct bp_monitor *mon, struct bp_value *args)
{
    run_dump(mon, args, true);
}

static void do_xp(struct bp_monitor *mon, struct bp_value *args)
{
    run_dump(mon, args, false);
}

static const struct bp_field print_args[] = {
    BP_ARG_OPT("fmt", STRING, "/FORMAT"),
    BP_ARG("expr", UINT64, "expression"),
    BP_FIELDS_END,
};

static void do_print(struct bp_monitor *mon, struct bp_value *args)
{
    struct format f = {1, 'd', 8};
    const char *text = bp_value_get_string(args, "fmt");
    uint64_t v = bp_value_as_uint(bp_value_get(args, "expr"));
    struct bp_error err = {0};

    if (text && parse_format(text, &f, &err) < 0) {
        bpc_hmp_error(mon, &err);
        return;
    }
    switch (f.letter) {
    case 'i':
        bp_monitor_printf(mon, "Error: format i is for x and xp; accepted: x d u o c\n");
        return;
    case 'x':
        bp_monitor_printf(mon, "0x%llx", (unsigned long long)v);
        break;
    case 'o':
        bp_monitor_printf(mon, "0%llo", (unsigned long long)v);
        break;
    case 'u':
        bp_monitor_printf(mon, "%llu", (unsigned long long)v);
        break;
    case 'c':
        print_number(mon, &f, v & 0xff);
        break;
    default:
        bp_monitor_printf(mon, "%lld", (long long)v);
    }
    bp_monitor_printf(mon, "\n");
}

#define HMP(IDENT, NAME, PARAMS, SUMMARY, ARGS, FN) \
    static const struct bp_hmp_command IDENT = {sizeof(struct bp_hmp_command), NAME, PARAMS, \
                                                SUMMARY, ARGS, FN, {NULL, NULL}}
HMP(hmp_x, "x", "/fmt addr", "virtual memory dump starting at 'addr'", dump_args, do_x);
HMP(hmp_xp, "xp", "/fmt addr", "physical memory dump starting at 'addr'", dump_args, do_xp);
HMP(hmp_print, "print", "/fmt expr", "print expression value (use $reg for CPU register access)",
    print_args, do_print);

const struct bp_hmp_command *const bpc_hmp_memory_commands[] = {
    &hmp_x, &hmp_xp, &hmp_print, NULL,
};
