/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The interpreter's side of native-compare: a vCPU in 64-bit mode at privilege level 3 with the
 * host's layout of user memory. Descriptor tables, page tables and the handlers' stack are in the
 * upper half; the address of a handler is its vector.
 */
#include "native-compare.h"
#include "vcpu.h"

#include <stdlib.h>
#include <string.h>

#define UPPER UINT64_C(0xffff800000000000)
/* Physical layout */
#define PML4 0x1000u
#define PDPT 0x2000u
#define PD 0x3000u
#define PT_CODE 0x4000u
#define PT_DATA 0x5000u
#define PDPT_UPPER 0x6000u
#define PD_UPPER 0x7000u
#define GDT 0x8000u
#define IDT 0x9000u
#define TSS 0xa000u
#define STACK 0xb000u /* top 0xc000 */
#define HANDLERS 0xc000u
#define CODE 0x10000u
#define DATA 0x20000u
#define RAM 0x30000u

static uint8_t *ram;
static uint8_t dirty;
static struct bp_x86_cpu cpu;
static struct vcpu *vcpu;
static bool faulted; /* the last case left the vCPU in a handler */

static void put64(uint32_t at, uint64_t value)
{
    memcpy(ram + at, &value, 8);
}

static uint64_t get64(uint64_t at)
{
    uint64_t value = 0;

    if (at <= RAM - 8) {
        memcpy(&value, ram + at, 8);
    }
    return value;
}

static void lookup(void *opaque, uint64_t page, struct phys_page *ret_page)
{
    (void)opaque;
    *ret_page = (struct phys_page){.host = page < RAM ? ram + page : NULL, .dirty = &dirty};
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

static void build_tables(void)
{
    put64(PML4, PDPT | 7);
    put64(PML4 + 256 * 8, PDPT_UPPER | 3);
    put64(PDPT, PD | 7);
    put64(PD + (CODE_BASE >> 21) * 8, PT_CODE | 7);
    put64(PD + (DATA_BASE >> 21) * 8, PT_DATA | 7);
    for (unsigned n = 0; n < CODE_SIZE / 0x1000; n++) {
        put64(PT_CODE + n * 8, (CODE + n * 0x1000u) | 7);
    }
    put64(PT_DATA, DATA | 7);
    put64(PT_DATA + 8, (DATA + 0x1000u) | 7);
    put64(PT_DATA + 16, (DATA + 0x2000u) | 5);
    put64(PDPT_UPPER, PD_UPPER | 3);
    put64(PD_UPPER, 0x83); /* 2 MiB */
    put64(GDT + 0x10, UINT64_C(0x00af9b000000ffff)); /* kernel code */
    put64(GDT + 0x18, UINT64_C(0x00cf93000000ffff));
    put64(GDT + 0x28, UINT64_C(0x00cff3000000ffff)); /* user data, 2b */
    put64(GDT + 0x30, UINT64_C(0x00affb000000ffff)); /* user code, 33 */
    put64(TSS + 4, UPPER + STACK + 0x1000);
    ram[TSS + 0x66] = 0x68; /* no I/O bitmap */
    for (unsigned n = 0; n < 32; n++) {
        uint64_t target = UPPER + HANDLERS + n * 16;

        put64(IDT + n * 16, (target & 0xffff) | UINT64_C(0x10) << 16 | UINT64_C(0x8e00) << 32 |
                                (target >> 16 & 0xffff) << 48);
        put64(IDT + n * 16 + 8, target >> 32);
    }
}

static void user_mode(void)
{
    struct bp_x86_segment data = {.selector = 0x2b, .attr = 0xc0f3, .limit = UINT32_MAX};

    for (unsigned n = 0; n < 6; n++) {
        cpu.seg[n] = data;
        if (n != BP_SS && n != BP_CS) {
            cpu.seg[n].selector = 0;
        }
    }
    cpu.seg[BP_CS] = (struct bp_x86_segment){.selector = 0x33, .attr = 0xa0fb,
                                             .limit = UINT32_MAX};
}

void guest_init(void)
{
    struct bus bus = {.lookup = lookup, .read = read_io, .write = write_io, .port_in = port_in,
                      .port_out = port_out};

    ram = aligned_alloc(4096, RAM);
    memset(ram, 0, RAM);
    build_tables();
    cpu.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    cpu.cr3 = PML4;
    cpu.cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    cpu.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    cpu.xcr0 = 7;
    cpu.dr[6] = 0xffff0ff0;
    cpu.dr[7] = 0x400;
    cpu.gdtr = (struct bp_x86_segment){.base = UPPER + GDT, .limit = 0x7f};
    cpu.idtr = (struct bp_x86_segment){.base = UPPER + IDT, .limit = 0xfff};
    cpu.tr = (struct bp_x86_segment){.selector = 0x40, .attr = 0x8b, .limit = 0x67,
                                     .base = UPPER + TSS};
    cpu.phys_bits = 40;
    cpu.linear_bits = 48;
    cpu.tsc_hz = 1000000000;
    cpu.features[BP_X86_FW_1_EDX] = UINT32_MAX;
    cpu.features[BP_X86_FW_80000001_EDX] = UINT32_MAX;
    guest_features(cpu.features);
    fp_reset(&cpu);
    user_mode();
    vcpu = vcpu_new(&cpu, &bus);
}

void guest_begin(const struct test_case *cases, unsigned count)
{
    user_mode();
    faulted = false;
    vcpu_changed(vcpu);
    memset(ram + DATA, 0, DATA_WRITABLE);
    /* Stores of the vCPU itself, so that it forgets what it has decoded there. */
    for (unsigned n = 0; n < count; n++) {
        mem_store(vcpu, BP_DS, cases[n].start.rip, cases[n].bytes, sizeof(cases[n].bytes));
    }
}

static void load_fx(const uint8_t *fx, const uint8_t *ymm)
{
    unsigned top;

    memcpy(&cpu.fcw, fx, 2);
    memcpy(&cpu.fsw, fx + 2, 2);
    cpu.fpu_valid = fx[4];
    memcpy(&cpu.fip, fx + 8, 8);
    memcpy(&cpu.fdp, fx + 16, 8);
    memcpy(&cpu.mxcsr, fx + 24, 4);
    cpu.fop = 0;
    cpu.fcs = cpu.fds = 0;
    top = cpu.fsw >> 11 & 7;
    for (unsigned n = 0; n < 8; n++) {
        memcpy(&cpu.fpr[(top + n) & 7].mantissa, fx + 32 + 16 * n, 8);
        memcpy(&cpu.fpr[(top + n) & 7].sign_exponent, fx + 40 + 16 * n, 2);
    }
    for (unsigned n = 0; n < 16; n++) {
        memcpy(&cpu.vec[n], fx + 160 + 16 * n, 16);
        memcpy(cpu.vec[n].b + 16, ymm + 16 * n, 16);
    }
}

static void take_fx(uint8_t *fx, uint8_t *ymm)
{
    unsigned top = cpu.fsw >> 11 & 7;

    memset(fx, 0, 512);
    memcpy(fx, &cpu.fcw, 2);
    memcpy(fx + 2, &cpu.fsw, 2);
    fx[4] = cpu.fpu_valid;
    memcpy(fx + 8, &cpu.fip, 8);
    memcpy(fx + 16, &cpu.fdp, 8);
    memcpy(fx + 24, &cpu.mxcsr, 4);
    for (unsigned n = 0; n < 8; n++) {
        memcpy(fx + 32 + 16 * n, &cpu.fpr[(top + n) & 7].mantissa, 8);
        memcpy(fx + 40 + 16 * n, &cpu.fpr[(top + n) & 7].sign_exponent, 2);
    }
    for (unsigned n = 0; n < 16; n++) {
        memcpy(fx + 160 + 16 * n, &cpu.vec[n], 16);
        memcpy(ymm + 16 * n, cpu.vec[n].b + 16, 16);
    }
}

/* The interrupted state is what delivery pushed. */
static void take_fault(struct outcome *o)
{
    static const uint32_t with_code = 1u << 8 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13 |
                                      1u << 14 | 1u << 17;
    uint64_t at = cpu.gpr[BP_RSP] - UPPER;

    o->vector = (int)((cpu.rip - UPPER - HANDLERS) / 16);
    o->error = 0;
    if (o->vector < 32 && (with_code >> o->vector & 1)) {
        o->error = (uint32_t)get64(at);
        at += 8;
    }
    o->cr2 = o->vector == EXC_PF ? cpu.cr2 : 0;
    o->state.rip = get64(at);
    o->state.rflags = get64(at + 16);
    o->state.gpr[BP_RSP] = get64(at + 24);
}

void guest_run(const struct test_case *c, struct outcome *o)
{
    vcpu_sync(vcpu);
    memcpy(cpu.gpr, c->start.gpr, sizeof(cpu.gpr));
    cpu.rip = c->start.rip;
    cpu.rflags = c->start.rflags;
    load_fx(c->start.fx, c->start.ymm);
    memcpy(ram + DATA + (WINDOW_BASE - DATA_BASE), c->start.memory, WINDOW_SIZE);
    if (faulted) {
        user_mode();
        vcpu_changed(vcpu);
    }
    for (unsigned n = 0; n < 4096; n++) {
        vcpu_step(vcpu);
        if (!c->repeat || cpu.rip != c->start.rip) {
            break;
        }
    }
    vcpu_sync(vcpu);
    memcpy(o->state.gpr, cpu.gpr, sizeof(cpu.gpr));
    o->state.rip = cpu.rip;
    o->state.rflags = cpu.rflags;
    take_fx(o->state.fx, o->state.ymm);
    memcpy(o->state.memory, ram + DATA + (WINDOW_BASE - DATA_BASE), WINDOW_SIZE);
    o->vector = NO_FAULT;
    o->error = 0;
    o->cr2 = 0;
    if (leaves_image(c)) {
        memset(ram + DATA, 0, DATA_WRITABLE);
    }
    faulted = cpu.rip - UPPER - HANDLERS < 32 * 16;
    if (faulted) {
        take_fault(o);
    }
}
