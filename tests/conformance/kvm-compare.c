/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The interpreter against /dev/kvm in the modes that a user program cannot reach: real mode, 16 and 32-bit
 * protected mode at both ends of privilege, virtual 8086; segment loads, far transfers, gates, task switches, faults
 * and alignment checks. Each case is one random instruction in a sea of HLT; handlers are HLTs, too, whose address
 * tells the vector. Then registers, flags, segments and memory have to be equal. Skips where there is no /dev/kvm.
 * Prints TAP. kvm-compare [--cases N] [--seed S] [--first N] [--mode NAME] [--show N]
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "vcpu.h"

enum { GDT = 0x1000, IDT = 0x2000, TSS = 0x3000, TSS2 = 0x3200, STACK0 = 0x7000, HANDLERS = 0x8000, CODE = 0x10000,
       DATA = 0x20000, STACK = 0x30000, RAM = 0x40000, START = 0x8000 };
/* Selectors */
enum { CODE32 = 0x08, DATA0 = 0x10, CODE16 = 0x18, CODE3 = 0x23, DATA3 = 0x2b, TASK = 0x30, TASK2 = 0x38, GATE = 0x40,
       ABSENT = 0x50, READONLY = 0x58, CONFORMING = 0x60, DOWN = 0x68, TASKGATE = 0x70, LAST = 0x78 };

static const char *const modes[] = {"real", "protected-16", "protected-32", "user-32", "v86"};
enum { REAL, PROT16, PROT32, USER32, V86, MODES };

struct machine_state {
    struct kvm_regs regs; /* the first eight are an array for us */
    struct kvm_sregs sregs;
    bool shutdown;
};

static uint8_t *kvm_ram, *interp_ram, initial[RAM];
static uint8_t dirty;
static struct bp_x86_cpu cpu;
static struct vcpu *vcpu;
static int vcpu_fd;
static struct kvm_run *run;
static struct kvm_sregs clean_sregs;
static uint64_t rng_state;
static uint8_t code[16];
static unsigned code_length, instruction_length, first_opcode, second_opcode, code_modrm;

static uint64_t rng(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state * UINT64_C(0x2545f4914f6cdd1d);
}
static unsigned below(unsigned n)
{
    return (unsigned)((rng() >> 33) % n);
}
static bool chance(unsigned percent)
{
    return below(100) < percent;
}

/* ---- what both sides start from ---- */

static void put(uint32_t at, uint64_t value, unsigned size)
{
    memcpy(initial + at, &value, size);
}

static uint64_t descriptor(uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 |
           (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)flags << 52 | (uint64_t)(base >> 24) << 56;
}

static void tables(unsigned mode)
{
    put(GDT + CODE32, descriptor(CODE, 0xffff, 0x9b, mode == PROT16 ? 0 : 4), 8);
    put(GDT + DATA0, descriptor(0, 0x3ffff, 0x93, mode == PROT16 ? 0 : 4), 8);
    put(GDT + CODE16, descriptor(CODE, 0xffff, 0x9b, 0), 8);
    put(GDT + (CODE3 & ~7), descriptor(CODE, 0xffff, 0xfb, 4), 8);
    put(GDT + (DATA3 & ~7), descriptor(0, 0x3ffff, 0xf3, 4), 8);
    put(GDT + TASK, descriptor(TSS, 0x67, 0x8b, 0), 8);
    put(GDT + TASK2, descriptor(TSS2, 0x67, 0xe9, 0), 8);
    put(GDT + GATE, (HANDLERS + 0x100 - HANDLERS + 0x8000) | (uint64_t)0x18 << 16 | (uint64_t)0xec02 << 32, 8);
    put(GDT + 0x48, descriptor(0, 0xfffff, 0x9b, 4), 8); /* the handlers' code: from 0 on */
    put(GDT + ABSENT, descriptor(DATA, 0xffff, 0x73, 4), 8);
    put(GDT + READONLY, descriptor(DATA, 0xffff, 0xf1, 4), 8);
    put(GDT + CONFORMING, descriptor(CODE, 0xffff, 0x9f, 4), 8);
    put(GDT + DOWN, descriptor(DATA, 0x7fff, 0xf7, 0), 8);
    put(GDT + TASKGATE, (uint64_t)TASK2 << 16 | (uint64_t)0xe500 << 32, 8);
    put(GDT + LAST, descriptor(0, 0x3ffff, 0x93, 4), 8);
    for (unsigned n = 0; n < 256; n++) {
        if (mode == REAL)
            put(n * 4, (HANDLERS + n * 16) & 0xffff, 4);
        if (n < 32)
            put(IDT + n * 8, ((HANDLERS + n * 16) & 0xffff) | (uint64_t)0x48 << 16 | (uint64_t)0xee00 << 32, 8);
        initial[HANDLERS + n * 16] = 0xf4;
    }
    put(TSS + 4, STACK0 - 0x100, 4); /* ESP0 */
    put(TSS + 8, LAST, 4);
    put(TSS + 0x66, 0x68, 2);
    /* The other task: a HLT, everything else of itself */
    put(TSS2 + 4, STACK0 - 0x200, 4);
    put(TSS2 + 8, LAST, 4);
    put(TSS2 + 0x20, HANDLERS + 0xff0, 4);
    put(TSS2 + 0x24, 2, 4);
    for (unsigned n = 0; n < 8; n++)
        put(TSS2 + 0x28 + n * 4, 0x1000 + n, 4);
    put(TSS2 + 0x38, STACK0 - 0x300, 4);
    for (unsigned n = 0; n < 6; n++)
        put(TSS2 + 0x48 + n * 4, n == 1 ? 0x48 : n == 2 ? LAST : DATA0, 4);
    put(TSS2 + 0x66, 0x68, 2);
    initial[HANDLERS + 0xff0] = 0xf4;
}

static uint32_t value(void)
{
    static const uint16_t selectors[] = {0, CODE32, DATA0, CODE16, CODE3, DATA3, TASK, TASK2, GATE, ABSENT, READONLY,
                                         CONFORMING, DOWN, TASKGATE, LAST, 0x80, 0x4};

    switch (below(6)) {
    case 0: return below(256);
    case 1: return selectors[below(BP_COUNT(selectors))] | (chance(20) ? below(4) : 0);
    case 2: return (uint32_t)rng() & 0xffff;
    case 3: return START + below(64) - 32;
    case 4: return (uint32_t)rng();
    default: return below(0x4000);
    }
}

static void fill_memory(unsigned mode)
{
    memset(initial, 0, RAM);
    tables(mode);
    memset(initial + CODE, 0xf4, 0x10000);
    for (unsigned n = 0; n < 0x10000; n += 4) {
        uint32_t v = chance(60) ? value() & 0xffff : value();

        v &= ~(uint32_t)0x100; /* no trap flag in what POPF and IRET find, if they find it where they should */
        put(DATA + n, v, 4);
        put(STACK + n, v ^ 0x200, 4);
    }
}

/* ---- the instruction ---- */

static void emit(unsigned byte)
{
    if (code_length < sizeof(code))
        code[code_length++] = (uint8_t)byte;
}

static bool wanted_1(unsigned op)
{
    if (op == 0x0f || (op & 0xe7) == 0x26 || (op >= 0x64 && op <= 0x67) || (op >= 0x6c && op <= 0x6f) || op == 0x9b ||
        (op >= 0xd8 && op <= 0xdf) || (op >= 0xe4 && op <= 0xe7) || (op >= 0xec && op <= 0xf4))
        return false; /* prefixes, ports, x87 */
    return true;
}
static bool wanted_0f(unsigned op)
{
    return op == 0x00 || op == 0x02 || op == 0x03 || (op >= 0x40 && op <= 0x4f) || (op >= 0x80 && op <= 0xa1) ||
           op == 0xa3 || op == 0xa4 || op == 0xa5 || op == 0xa8 || op == 0xa9 || op == 0xab || op == 0xac ||
           op == 0xad ||
           (op >= 0xaf && op <= 0xb7) || (op >= 0xba && op <= 0xc1) || (op >= 0xc8 && op <= 0xcf);
}

static void generate(unsigned mode)
{
    bool wide = mode == PROT32 || mode == USER32, address = false;

    code_length = 0;
    if (chance(20)) {
        emit(0x66);
    }
    if (chance(10)) {
        emit(0x67);
        address = true;
    }
    if (chance(10)) {
        static const uint8_t segments[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};

        emit(segments[below(6)]);
    }
    second_opcode = 0;
    do {
        first_opcode = below(256);
    } while (first_opcode != 0x0f && !wanted_1(first_opcode));
    if ((first_opcode >= 0xa4 && first_opcode <= 0xa7) || (first_opcode >= 0xaa && first_opcode <= 0xaf)) {
        if (chance(50))
            emit(chance(50) ? 0xf2 : 0xf3);
    }
    emit(first_opcode);
    if (first_opcode == 0x0f) {
        do {
            second_opcode = below(256);
        } while (!wanted_0f(second_opcode));
        if (second_opcode == 0xb8 || second_opcode == 0xb9)
            second_opcode = 0xb0;
        emit(second_opcode);
    }
    code_modrm = below(256);
    if (first_opcode == 0xc4 || first_opcode == 0xc5 || first_opcode == 0x62)
        code_modrm &= 0x7f; /* not VEX, not EVEX */
    if ((first_opcode == 0xc6 || first_opcode == 0xc7) && code_modrm == 0xf8)
        code_modrm = 0;
    emit(code_modrm);
    (void)address;
    for (unsigned n = 0; n < 10; n++)
        emit(n < 4 && wide ? (n == 0 ? below(256) : n == 1 ? below(64) : 0) : below(256));
}

/* SDM: flags that are left undefined */
static uint32_t undefined_flags(void)
{
    unsigned op = first_opcode, reg = code_modrm >> 3 & 7;
    const uint32_t szapco = F_ARITH;

    if (op == 0x0f) {
        switch (second_opcode) {
        case 0xa4: case 0xa5: case 0xac: case 0xad: return szapco;
        case 0xa3: case 0xab: case 0xb3: case 0xbb: case 0xba: return szapco & ~(uint32_t)(F_CF | F_ZF);
        case 0xbc: case 0xbd: return szapco & ~(uint32_t)F_ZF;
        case 0xaf: return F_SF | F_ZF | F_AF | F_PF;
        }
        return 0;
    }
    switch (op) {
    case 0x08 ... 0x0d: case 0x20 ... 0x25: case 0x30 ... 0x35: case 0x84: case 0x85: case 0xa8: case 0xa9: return F_AF;
    case 0x80: case 0x81: case 0x82: case 0x83: return reg == 1 || reg == 4 || reg == 6 ? F_AF : 0;
    case 0x27: case 0x2f: return F_OF;
    case 0x37: case 0x3f: return F_OF | F_SF | F_ZF | F_PF;
    case 0xd4: case 0xd5: return F_OF | F_AF | F_CF;
    case 0x69: case 0x6b: return F_SF | F_ZF | F_AF | F_PF;
    case 0xc0: case 0xc1: case 0xd0: case 0xd1: case 0xd2: case 0xd3: return reg < 4 ? F_OF : F_OF | F_AF | F_CF;
    case 0xf6: case 0xf7:
        return reg < 2 ? F_AF : reg < 4 ? 0 : reg < 6 ? F_SF | F_ZF | F_AF | F_PF : szapco;
    }
    return 0;
}

/* ---- the two sides ---- */

static struct kvm_segment segment(uint16_t selector, uint32_t base, uint32_t limit, unsigned access, bool big)
{
    return (struct kvm_segment){.base = base, .limit = limit, .selector = selector, .type = access & 15,
                                .s = access >> 4 & 1, .dpl = access >> 5 & 3, .present = access >> 7, .db = big};
}

static void start_state(struct machine_state *s, unsigned mode)
{
    bool protected = mode != REAL, user = mode == USER32, v86 = mode == V86, big = mode == PROT32 || user;
    unsigned code_access = user || v86 ? 0xfb : 0x9b, data_access = user || v86 ? 0xf3 : 0x93;
    struct kvm_segment *data[] = {&s->sregs.ds, &s->sregs.es, &s->sregs.fs, &s->sregs.gs};
    __u64 *gpr = &s->regs.rax;

    memset(s, 0, sizeof(*s));
    s->sregs = clean_sregs;
    s->sregs.cr0 = CR0_ET | CR0_NE | (protected ? CR0_PE : 0) | (chance(30) ? CR0_AM : 0);
    s->sregs.gdt = (struct kvm_dtable){.base = GDT, .limit = LAST + 7};
    s->sregs.idt = (struct kvm_dtable){.base = protected ? IDT : 0, .limit = protected ? 0xff : 0x3ff};
    s->sregs.tr = segment(TASK, TSS, 0x67, 0x8b, false);
    s->sregs.ldt = (struct kvm_segment){.unusable = 1, .type = 2};
    if (!protected || v86) {
        s->sregs.cs = segment(CODE >> 4, CODE, 0xffff, v86 ? 0xf3 : 0x9b, false);
        s->sregs.ss = segment(STACK >> 4, STACK, 0xffff, data_access, false);
        for (unsigned n = 0; n < 4; n++)
            *data[n] = segment(DATA >> 4, DATA, 0xffff, data_access, false);
    } else {
        s->sregs.cs = segment(user ? CODE3 : mode == PROT16 ? CODE16 : CODE32, CODE, 0xffff, code_access, big);
        /* Flat: KVM on some hosts delivers exceptions without the stack's base. */
        s->sregs.ss = segment(user ? DATA3 : DATA0, 0, 0x3ffff, data_access, mode != PROT16);
        for (unsigned n = 0; n < 4; n++)
            *data[n] = segment(user ? DATA3 : DATA0, 0, 0x3ffff, data_access, mode != PROT16);
    }
    for (unsigned n = 0; n < 8; n++)
        gpr[n] = big && chance(70) ? DATA + (value() & 0x7fff) : value();
    if (chance(80))
        s->regs.rcx = below(40);
    s->regs.rsp = (big ? STACK : 0) + 0x4000 + below(0x800) * (chance(80) ? 4 : 1);
    s->regs.rip = START;
    s->regs.rflags = 2 | (rng() & 0xcd5) | (v86 ? F_VM : 0) | (chance(v86 ? 70 : 30) ? F_IOPL : 0) |
                     (chance(30) ? F_AC : 0);
    s->regs.rflags &= ~(uint64_t)F_IF;
}

static void to_interp(const struct kvm_segment *k, struct bp_x86_segment *s)
{
    s->selector = k->selector;
    s->base = k->base;
    s->limit = k->limit;
    s->attr = k->unusable ? 0 : (uint16_t)(k->type | k->s << 4 | k->dpl << 5 | k->present << 7 | k->avl << 12 |
                                           k->l << 13 | k->db << 14 | k->g << 15);
}

#define SREGS(X) X(ES, es) X(CS, cs) X(SS, ss) X(DS, ds) X(FS, fs) X(GS, gs)
static const uint8_t order[8] = {BP_RAX, BP_RBX, BP_RCX, BP_RDX, BP_RSI, BP_RDI, BP_RSP, BP_RBP}; /* kvm_regs */

static void load_interp(const struct machine_state *start)
{
    const __u64 *in = &start->regs.rax;

    memcpy(interp_ram, initial, RAM);
    code_written(vcpu->code_map, interp_ram, RAM);
    for (unsigned n = 0; n < 8; n++)
        cpu.gpr[order[n]] = in[n];
    cpu.rip = start->regs.rip;
    cpu.rflags = start->regs.rflags;
#define IN(A, B) to_interp(&start->sregs.B, &cpu.seg[BP_##A]);
    SREGS(IN)
    to_interp(&start->sregs.tr, &cpu.tr);
    to_interp(&start->sregs.ldt, &cpu.ldtr);
    cpu.ldtr.attr = 2;
    cpu.gdtr = (struct bp_x86_segment){.base = start->sregs.gdt.base, .limit = start->sregs.gdt.limit};
    cpu.idtr = (struct bp_x86_segment){.base = start->sregs.idt.base, .limit = start->sregs.idt.limit};
    cpu.cr0 = start->sregs.cr0;
    cpu.cr4 = start->sregs.cr4;
    cpu.cr2 = cpu.cr3 = 0;
    cpu.halted = cpu.shadow = 0;
    vcpu->shutdown = 0;
    vcpu_changed(vcpu);
}

/* HLTs behind the instruction, whose length the decoder knows. */
static void end_code(const struct machine_state *start)
{
    struct insn i;
    struct code_bytes bytes = {code, code_length};

    load_interp(start);
    decode(vcpu, &bytes, &i);
    for (unsigned n = i.len; n < code_length; n++)
        code[n] = 0xf4;
    instruction_length = i.len;
    memcpy(initial + CODE + START, code, code_length);
}

static void run_interp(const struct machine_state *start, struct machine_state *end)
{
    __u64 *out = &end->regs.rax;
    int why = 0;

    load_interp(start);
    for (unsigned n = 0; n < 200000 && why != BP_CPU_EXIT_SHUTDOWN && !cpu.halted; n++)
        why = vcpu_step(vcpu);
    vcpu_sync(vcpu);
    memset(end, 0, sizeof(*end));
    for (unsigned n = 0; n < 8; n++)
        out[n] = cpu.gpr[order[n]];
    end->regs.rip = cpu.rip;
    end->regs.rflags = cpu.rflags;
    end->sregs.cr0 = cpu.cr0;
#define OUT(A, B) end->sregs.B.selector = cpu.seg[BP_##A].selector; end->sregs.B.base = cpu.seg[BP_##A].base;
    SREGS(OUT)
    end->sregs.tr.selector = cpu.tr.selector;
    end->shutdown = why == BP_CPU_EXIT_SHUTDOWN;
}

static void alarm_rang(int number)
{
    (void)number;
}

/* False: the case says nothing (it does not end, or leaves for something that is not there). */
static bool run_kvm(const struct machine_state *start, struct machine_state *end)
{
    static const struct itimerval soon = {.it_value = {.tv_usec = 50000}, .it_interval = {.tv_usec = 50000}}, never;
    struct kvm_vcpu_events events;
    struct kvm_mp_state runnable = {.mp_state = KVM_MP_STATE_RUNNABLE};
    struct kvm_regs regs = start->regs;
    struct kvm_sregs sregs = start->sregs;
    int ret;

    memcpy(kvm_ram, initial, RAM);
    ioctl(vcpu_fd, KVM_SET_MP_STATE, &runnable);
    if (ioctl(vcpu_fd, KVM_GET_VCPU_EVENTS, &events) == 0) {
        memset(&events.exception, 0, sizeof(events.exception));
        memset(&events.interrupt, 0, sizeof(events.interrupt));
        ioctl(vcpu_fd, KVM_SET_VCPU_EVENTS, &events);
    }
    if (ioctl(vcpu_fd, KVM_SET_SREGS, &sregs) || ioctl(vcpu_fd, KVM_SET_REGS, &regs))
        return false;
    setitimer(ITIMER_REAL, &soon, NULL);
    ret = ioctl(vcpu_fd, KVM_RUN, 0);
    setitimer(ITIMER_REAL, &never, NULL);
    if (ret < 0 || (run->exit_reason != KVM_EXIT_HLT && run->exit_reason != KVM_EXIT_SHUTDOWN))
        return false;
    if (ioctl(vcpu_fd, KVM_GET_REGS, &end->regs) || ioctl(vcpu_fd, KVM_GET_SREGS, &end->sregs))
        return false;
    end->shutdown = run->exit_reason == KVM_EXIT_SHUTDOWN;
    return true;
}

/* ---- comparing ---- */

/* Does this KVM deliver exceptions as processors do? Where it emulates what user programs cannot reach, cases that end
 * in a handler say nothing of a processor. */
static bool delivers;

static bool in_handler(const struct machine_state *s)
{
    return s->regs.rip >= HANDLERS && s->regs.rip < HANDLERS + 0x1000 && s->sregs.cs.base != CODE;
}

static unsigned difference; /* which bit of what, for the report */
static uint32_t memory_at;

static bool equal_memory(uint32_t mask)
{
    for (uint32_t n = 0; n < RAM; n += 4) {
        uint32_t a, b;

        memcpy(&a, kvm_ram + n, 4);
        memcpy(&b, interp_ram + n, 4);
        /* Images of flags: undefined ones, and RF. */
        if (a != b && (a | mask) != (b | mask)) {
            memory_at = n;
            return false;
        }
    }
    return true;
}

static bool equal(const struct machine_state *k, const struct machine_state *i)
{
    uint32_t mask = undefined_flags() | F_RF | (!delivers && (first_opcode & 0xfe) == 0xd4 ? F_SF | F_ZF : 0);
    const __u64 *a = &k->regs.rax, *b = &i->regs.rax;

    difference = 1;
    if (k->shutdown || i->shutdown)
        return k->shutdown == i->shutdown;
    for (unsigned n = 0; n < 8; n++) {
        difference = 2 + n;
        if ((uint32_t)a[n] != (uint32_t)b[n])
            return false;
    }
    difference = 10;
    if ((uint32_t)k->regs.rip != (uint32_t)i->regs.rip)
        return false;
    difference = 11;
    if (((uint32_t)k->regs.rflags | mask) != ((uint32_t)i->regs.rflags | mask))
        return false;
    difference = 12;
#define SAME(A, B) \
    if (k->sregs.B.selector != i->sregs.B.selector || \
        (k->sregs.B.base != i->sregs.B.base && k->sregs.B.selector & ~3)) \
        return false;
    SREGS(SAME)
    if (k->sregs.tr.selector != i->sregs.tr.selector || (k->sregs.cr0 ^ i->sregs.cr0) & (CR0_TS | CR0_PE))
        return false;
    difference = 13;
    return equal_memory(mask & 0xffff);
}

static void print_case(uint64_t number, unsigned mode, const struct machine_state *s, const struct machine_state *k,
                       const struct machine_state *i)
{
    static const char *const names[] = {"", "shutdown", "eax", "ebx", "ecx", "edx", "esi", "edi", "esp", "ebp", "eip",
                                        "eflags", "segments", "memory"};
    const __u64 *before = &s->regs.rax, *a = &k->regs.rax, *b = &i->regs.rax;

    printf("# %s, case %" PRIu64 ", %s differs:", modes[mode], number, names[difference]);
    for (unsigned n = 0; n < code_length; n++)
        printf(n == instruction_length ? " | %02x" : " %02x", code[n]);
    printf("\n#   flags %08x %08x %08x eip %x %x cs %x %x ss %x %x shutdown %d %d\n", (unsigned)s->regs.rflags,
           (unsigned)k->regs.rflags, (unsigned)i->regs.rflags, (unsigned)k->regs.rip, (unsigned)i->regs.rip,
           k->sregs.cs.selector, i->sregs.cs.selector, k->sregs.ss.selector, i->sregs.ss.selector, k->shutdown,
           i->shutdown);
    for (unsigned n = 0; n < 8; n++)
        printf("%s%s %x %x %x", n % 4 ? ", " : n ? "\n#   " : "#   ", names[2 + n], (unsigned)before[n], (unsigned)a[n],
               (unsigned)b[n]);
    printf("\n");
    if (difference == 13)
        printf("#   at %x: %02x%02x%02x%02x %02x%02x%02x%02x, was %02x%02x%02x%02x\n", memory_at,
               kvm_ram[memory_at + 3],
               kvm_ram[memory_at + 2], kvm_ram[memory_at + 1], kvm_ram[memory_at], interp_ram[memory_at + 3],
               interp_ram[memory_at + 2], interp_ram[memory_at + 1], interp_ram[memory_at], initial[memory_at + 3],
               initial[memory_at + 2], initial[memory_at + 1], initial[memory_at]);
}

/* ---- setting up ---- */

static void lookup(void *opaque, uint64_t page, struct phys_page *ret_page)
{
    (void)opaque;
    *ret_page = (struct phys_page){.host = page < RAM ? interp_ram + page : NULL, .dirty = &dirty};
}
static uint64_t read_io(void *opaque, uint64_t address, unsigned size)
{
    (void)opaque, (void)address, (void)size;
    return ~UINT64_C(0);
}
static void write_io(void *opaque, uint64_t address, uint64_t v, unsigned size)
{
    (void)opaque, (void)address, (void)v, (void)size;
}
static uint64_t port_in(void *opaque, uint16_t port, unsigned size)
{
    (void)opaque, (void)port, (void)size;
    return ~UINT64_C(0);
}
static void port_out(void *opaque, uint16_t port, uint64_t v, unsigned size)
{
    (void)opaque, (void)port, (void)v, (void)size;
}

/* 0; or the reason why there is no KVM. */
static const char *kvm_init(void)
{
    struct kvm_userspace_memory_region region = {.memory_size = RAM};
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm, size;

    if (fd < 0)
        return "there is no /dev/kvm that can be opened";
    vm = ioctl(fd, KVM_CREATE_VM, 0);
    size = ioctl(fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    kvm_ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (vm < 0 || size < 0 || kvm_ram == MAP_FAILED)
        return "KVM makes no machine";
    ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000u);
    region.userspace_addr = (uintptr_t)kvm_ram;
    if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region))
        return "KVM takes no memory";
    vcpu_fd = ioctl(vm, KVM_CREATE_VCPU, 0);
    run = vcpu_fd < 0 ? MAP_FAILED : mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_fd, 0);
    if (run == MAP_FAILED || ioctl(vcpu_fd, KVM_GET_SREGS, &clean_sregs))
        return "KVM makes no processor";
    return NULL;
}

static void interp_init(void)
{
    static const struct bus bus = {.lookup = lookup, .read = read_io, .write = write_io, .port_in = port_in,
                                   .port_out = port_out};

    interp_ram = aligned_alloc(4096, RAM);
    memset(cpu.features, 0xff, sizeof(cpu.features));
    cpu.phys_bits = 40;
    cpu.linear_bits = 48;
    cpu.tsc_hz = 1000000000;
    cpu.dr[6] = 0xffff0ff0u;
    cpu.dr[7] = 0x400;
    cpu.fcw = 0x37f;
    cpu.mxcsr = 0x1f80;
    vcpu = vcpu_new(&cpu, &bus);
}

static uint64_t compared[MODES], different[MODES], silent;

static void one_case(uint64_t seed, uint64_t number, const char *mode_name, uint64_t show)
{
    struct machine_state start, k, i;
    unsigned mode;

    rng_state = (seed * UINT64_C(0xd1342543de82ef95) + number) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    for (unsigned n = 0; n < 4; n++)
        rng();
    mode = below(MODES);
    if (mode_name) {
        for (unsigned n = 0; n < MODES; n++)
            mode = strcmp(modes[n], mode_name) == 0 ? n : mode;
    }
    fill_memory(mode);
    start_state(&start, mode);
    generate(mode);
    end_code(&start);
    if (!run_kvm(&start, &k)) {
        silent++;
        return;
    }
    run_interp(&start, &i);
    if (k.regs.rflags & F_TF || i.regs.rflags & F_TF) { /* a trap at the HLT, on its way when KVM leaves */
        silent++;
        return;
    }
    /* A KVM that emulates misses instructions, checks and all of what a delivery is. */
    if (!delivers && (in_handler(&k) || in_handler(&i))) {
        silent++;
        return;
    }
    compared[mode]++;
    if (!equal(&k, &i) && different[mode]++ < show)
        print_case(number, mode, &start, &k, &i);
}

/* A fault in virtual 8086 mode: the data segments are pushed, too. */
static void probe_delivery(void)
{
    struct machine_state start, end;

    rng_state = 1;
    fill_memory(V86);
    start_state(&start, V86);
    code[0] = 0x0f, code[1] = 0x0b, code_length = 2;
    memcpy(initial + CODE + START, code, 2);
    delivers = run_kvm(&start, &end) && end.regs.rsp == STACK0 - 0x100 - 36;
    if (!delivers)
        printf("# this KVM does not deliver exceptions as processors do: cases that end in a handler say nothing\n");
}

int main(int argc, char **argv)
{
    uint64_t cases = 20000, seed = 1, first = 0, show = 3, wrong = 0;
    const char *mode = NULL, *reason;
    struct sigaction action = {.sa_handler = alarm_rang};

    for (int n = 1; n + 1 < argc; n += 2) {
        uint64_t number = strtoull(argv[n + 1], NULL, 0);

        if (!strcmp(argv[n], "--cases"))
            cases = number;
        else if (!strcmp(argv[n], "--seed"))
            seed = number;
        else if (!strcmp(argv[n], "--first"))
            first = number;
        else if (!strcmp(argv[n], "--show"))
            show = number;
        else if (!strcmp(argv[n], "--mode"))
            mode = argv[n + 1];
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    reason = kvm_init();
    if (reason) {
        printf("1..0 # SKIP %s\n", reason);
        return 0;
    }
    sigaction(SIGALRM, &action, NULL);
    interp_init();
    probe_delivery();
    for (uint64_t n = first; n < first + cases; n++)
        one_case(seed, n, mode, show);
    for (unsigned n = 0; n < MODES; n++) {
        /* A mode of which no case could be run is not one that agrees. */
        bool bad = different[n] || (!mode && cases >= 1000 && !compared[n]);

        printf("%sok %u %s_as_kvm_does # %" PRIu64 " cases, %" PRIu64 " differ\n", bad ? "not " : "", n + 1, modes[n],
               compared[n], different[n]);
        wrong += bad;
    }
    printf("1..%u\n# seed %" PRIu64 "; %" PRIu64 " cases say nothing\n", MODES, seed, silent);
    return wrong != 0;
}
