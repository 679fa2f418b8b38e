/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The interpreter's system side in small machine-code programs: real, protected and long mode, page
 * faults and their error codes, gates, task switches, debug traps, double and triple faults. Each
 * handler of the guest's IDT is a HLT whose address tells the vector. Intel SDM volume 3.
 */
#include "vcpu.h"

#include <bp/memory.h>
#include <glib.h>
#include <pthread.h>
#include <string.h>

#define RAM_SIZE 0x200000u
#define GDT 0x1000u
#define IDT 0x2000u
#define TSS 0x3000u
#define TSS2 0x3100u
#define PML4 0x4000u
#define PDPT 0x5000u
#define PD 0x6000u
#define PT 0x7000u
#define HANDLERS 0x8000u /* 16 bytes for each vector */
#define PD32 0xa000u
#define PT32 0xb000u
#define CODE 0x10000u
#define STACK0 0x20000u
#define STACK3 0x30000u
#define IST1 0x38000u
#define DATA 0x40000u

/* Selectors */
#define CODE0 0x08u
#define DATA0 0x10u
#define CODE3 0x1bu
#define DATA3 0x23u
#define TASK1 0x28u
#define TASK2 0x38u
#define GATE 0x4bu
#define ABSENT 0x50u

static uint8_t *ram;
static uint8_t dirty[RAM_SIZE / PAGE];
static struct bp_x86_cpu cpu;
static struct vcpu *vcpu;
static const uint32_t no_kick;

static void lookup(void *opaque, uint64_t page, struct phys_page *ret_page)
{
    (void)opaque;
    if (page < RAM_SIZE) {
        ret_page->host = ram + page;
        ret_page->dirty = &dirty[page / PAGE];
    }
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

#define LAST_ROUND 0x40u /* a port: 1 when there have been enough, or the time is over */
static unsigned rounds_left;
static int64_t rounds_end;

static uint64_t port_in(void *opaque, uint16_t port, unsigned size)
{
    (void)opaque, (void)size;
    if (port == LAST_ROUND)
        return --rounds_left == 0 || g_get_monotonic_time() >= rounds_end;
    return port;
}

static void port_out(void *opaque, uint16_t port, uint64_t value, unsigned size)
{
    (void)opaque, (void)port, (void)value, (void)size;
}

static const struct bus bus = {.lookup = lookup, .read = read_io, .write = write_io,
                               .port_in = port_in, .port_out = port_out};

static void put(uint32_t at, uint64_t value, unsigned size)
{
    memcpy(ram + at, &value, size);
}

static uint64_t get(uint64_t at, unsigned size)
{
    uint64_t value = 0;

    g_assert_cmpuint(at, <, RAM_SIZE - 8);
    memcpy(&value, ram + at, size);
    return value;
}

#define PROGRAM(...) \
    do { \
        static const uint8_t code_[] = {__VA_ARGS__}; \
        memcpy(ram + CODE, code_, sizeof(code_)); \
    } while (0)

static void segment(enum bp_x86_sreg n, uint16_t selector, uint16_t attr, uint32_t limit, uint64_t base)
{
    cpu.seg[n] = (struct bp_x86_segment){.selector = selector, .attr = attr, .limit = limit, .base = base};
}

static void clean(void)
{
    memset(ram, 0, RAM_SIZE);
    memset(&cpu, 0, sizeof(cpu));
    memset(cpu.features, 0xff, sizeof(cpu.features));
    memset(ram + HANDLERS, 0xf4, 0x1000); /* HLT */
    cpu.phys_bits = 40;
    cpu.linear_bits = 48;
    cpu.tsc_hz = 1000000000;
    cpu.rflags = 2;
    cpu.rip = CODE;
    cpu.dr[6] = 0xffff0ff0;
    cpu.dr[7] = 0x400;
    cpu.gpr[BP_RSP] = STACK0;
}

/* Real mode: CS is CODE >> 4, the other segments 0; vectors lead to HANDLERS. */
static void real_mode(void)
{
    clean();
    cpu.cr0 = CR0_ET;
    for (unsigned n = 0; n < 6; n++)
        segment(n, 0, 0x93, 0xffff, 0);
    segment(BP_CS, CODE >> 4, 0x9b, 0xffff, CODE);
    cpu.rip = 0;
    cpu.gpr[BP_RSP] = 0x7000;
    cpu.idtr.base = 0;
    cpu.idtr.limit = 0x3ff;
    for (unsigned n = 0; n < 256; n++)
        put(n * 4, HANDLERS + n * 16, 2);
}

static void tables(bool lng)
{
    put(GDT + CODE0, lng ? 0x00af9b000000ffff : 0x00cf9b000000ffff, 8);
    put(GDT + DATA0, 0x00cf93000000ffff, 8);
    put(GDT + (CODE3 & ~7u), lng ? 0x00affb000000ffff : 0x00cffb000000ffff, 8);
    put(GDT + (DATA3 & ~7u), 0x00cff3000000ffff, 8);
    put(GDT + TASK1, 0x00008b0000000067 | (uint64_t)TSS << 16, 8);
    put(GDT + ABSENT, 0x00cf13000000ffff, 8);
    cpu.gdtr.base = GDT;
    cpu.gdtr.limit = 0x57;
    cpu.idtr.base = IDT;
    cpu.idtr.limit = lng ? 0x1ff : 0xff;
    for (unsigned n = 0; n < 32; n++) {
        uint64_t gate = (HANDLERS + n * 16) | CODE0 << 16 | UINT64_C(0x8e00) << 32;

        put(IDT + n * (lng ? 16 : 8), gate, 8);
    }
    cpu.tr = (struct bp_x86_segment){.selector = TASK1, .attr = 0x8b, .limit = 0x67, .base = TSS};
}

static void rings(unsigned cpl, uint16_t code_attr)
{
    uint16_t dpl = (uint16_t)(cpl << 5);

    segment(BP_CS, cpl ? CODE3 : CODE0, (uint16_t)(code_attr | dpl), 0xffffffff, 0);
    segment(BP_SS, cpl ? DATA3 : DATA0, (uint16_t)(0xc093 | dpl), 0xffffffff, 0);
    segment(BP_DS, cpl ? DATA3 : DATA0, (uint16_t)(0xc093 | dpl), 0xffffffff, 0);
    segment(BP_ES, cpl ? DATA3 : DATA0, (uint16_t)(0xc093 | dpl), 0xffffffff, 0);
    cpu.gpr[BP_RSP] = cpl ? STACK3 : STACK0;
}

static void protected_mode(unsigned cpl)
{
    clean();
    cpu.cr0 = CR0_ET | CR0_PE;
    tables(false);
    rings(cpl, 0xc09b);
    put(TSS + 4, STACK0, 4);
    put(TSS + 8, DATA0, 2);
}

static void long_mode(unsigned cpl)
{
    clean();
    cpu.cr0 = CR0_ET | CR0_PE | CR0_PG | CR0_WP;
    cpu.cr4 = CR4_PAE | CR4_PGE;
    cpu.efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
    cpu.cr3 = PML4;
    put(PML4, PDPT | 7, 8);
    put(PDPT, PD | 7, 8);
    put(PD, PT | 7, 8);
    for (unsigned n = 0; n < 512; n++)
        put(PT + n * 8, n << 12 | 7, 8);
    tables(true);
    rings(cpl, 0xa09b);
    put(TSS + 4, STACK0, 8);
    put(TSS + 0x24, IST1, 8);
}

/* Starts at the state that was set up and runs to a HLT. */
static void run(void)
{
    code_written(vcpu->code_map, ram, RAM_SIZE); /* the program was just written */
    vcpu_changed(vcpu);
    cpu.halted = 0;
    g_assert_cmpint(vcpu_run(vcpu, &no_kick), ==, BP_CPU_EXIT_HALTED);
    vcpu_sync(vcpu);
}

static int vector(void)
{
    uint64_t linear = cpu.rip - 1;

    return linear >= HANDLERS && linear < HANDLERS + 0x1000 ? (int)(linear - HANDLERS) / 16 : -1;
}

static void page(uint64_t at, uint64_t entry)
{
    put((uint32_t)(PT + (at >> 12) * 8), entry, 8);
}

/* ---- real mode ---- */

static void real_loop_adds(void)
{
    real_mode();
    /* mov cx,10; xor ax,ax; 1: add ax,cx; loop 1b; hlt */
    PROGRAM(0xb9, 10, 0, 0x31, 0xc0, 0x01, 0xc8, 0xe2, 0xfc, 0xf4);
    run();
    g_assert_cmphex(cpu.gpr[BP_RAX], ==, 55);
    g_assert_cmphex(cpu.gpr[BP_RCX], ==, 0);
}

static void real_int_pushes_and_iret_returns(void)
{
    real_mode();
    put(0x21 * 4, 0x90000u >> 4 << 16, 4);
    memcpy(ram + 0x90000, "\xb8\x34\x12\xcf", 4); /* mov ax,0x1234; iret */
    PROGRAM(0xf9, 0xcd, 0x21, 0xf4);              /* stc; int 0x21; hlt */
    run();
    g_assert_cmphex(cpu.gpr[BP_RAX], ==, 0x1234);
    g_assert_cmphex(cpu.gpr[BP_RSP], ==, 0x7000);
    g_assert_true(cpu.rflags & F_CF);
    g_assert_cmphex(get(0x6ffa, 2), ==, 3); /* IP after INT */
    g_assert_cmphex(get(0x6ffc, 2), ==, CODE >> 4);
}

static void real_access_beyond_limit_gp(void)
{
    real_mode();
    PROGRAM(0x90, 0xa1, 0xff, 0xff, 0xf4); /* nop; mov ax,[0xffff] */
    run();
    g_assert_cmpint(vector(), ==, EXC_GP);
    g_assert_cmphex(get(cpu.gpr[BP_RSP], 2), ==, 1); /* no error code: IP of the instruction */
}

static void real_divide_error_restarts(void)
{
    real_mode();
    PROGRAM(0x31, 0xdb, 0xf7, 0xf3, 0xf4); /* xor bx,bx; div bx */
    run();
    g_assert_cmpint(vector(), ==, EXC_DE);
    g_assert_cmphex(get(cpu.gpr[BP_RSP], 2), ==, 2);
}

static void code_that_changes_itself_seen(void)
{
    real_mode();
    /* cs: mov byte [0x0a],0x42 (inc dx); the byte there was 0x43 (inc bx); in the same block */
    PROGRAM(0x2e, 0xc6, 0x06, 0x0a, 0x00, 0x42, 0x90, 0x90, 0x90, 0x90, 0x43, 0xf4);
    run();
    g_assert_cmphex(cpu.gpr[BP_RDX], ==, 1);
    g_assert_cmphex(cpu.gpr[BP_RBX], ==, 0);
}

static void code_changed_by_other_vcpu_seen(void)
{
    struct code_map *map = g_new0(struct code_map, 1);
    struct bp_x86_cpu other_state;
    struct vcpu *one, *two;

    real_mode();
    PROGRAM(0x43, 0xf4); /* inc bx; hlt */
    other_state = cpu;
    one = vcpu_new_shared(&cpu, &bus, map);
    two = vcpu_new_shared(&other_state, &bus, map);
    vcpu_run(one, &no_kick);
    /* cs: mov byte [0],0x42; hlt, run by the other one at offset 0x100 */
    memcpy(ram + CODE + 0x1000, "\x2e\xc6\x06\x00\x00\x42\xf4", 7);
    other_state.rip = 0x1000;
    vcpu_run(two, &no_kick);
    cpu.rip = 0;
    cpu.halted = 0;
    vcpu_run(one, &no_kick);
    g_assert_cmphex(cpu.gpr[BP_RBX], ==, 1);
    g_assert_cmphex(cpu.gpr[BP_RDX], ==, 1);
    vcpu_free(one);
    vcpu_free(two);
    g_free(map);
}

static void *run_thread(void *v)
{
    vcpu_run(v, &no_kick);
    return NULL;
}

/* Cross-modifying code (SDM volume 3, 9.1.3) while its page is decoded again and again: a reader calls
 * the code all the time, and after the flag and a serializing instruction it must be the new one. A
 * second reader has its stack and acknowledgement elsewhere: what the first one decodes, it decodes, too.
 * Each round waits for three spinning threads; on a busy computer there are fewer of them. */
static void code_changed_while_it_is_decoded_is_seen(void)
{
    static const uint8_t target[] = {0xb0, 0x00, 0xc3}; /* mov al,0; ret */
    static const uint8_t writer[] = {
        0xfe, 0xc1, 0xe4, LAST_ROUND, /* next: inc cl; in al,LAST_ROUND */
        0x2e, 0xa2, 0x04, 0x20,       /* mov cs:[0x2004],al: whether it is the last */
        0x2e, 0x88, 0x0e, 0x01, 0x01, /* mov cs:[0x101],cl: into the target */
        0x2e, 0x88, 0x0e, 0x00, 0x20, /* mov cs:[0x2000],cl: the flag */
        0x2e, 0x38, 0x0e, 0x02, 0x20, /* wait: cmp cs:[0x2002],cl */
        0x75, 0xf9,                   /* jne wait */
        0x2e, 0x38, 0x0e, 0x03, 0x20, /* cmp cs:[0x2003],cl */
        0x75, 0xf2,                   /* jne wait */
        0x84, 0xc0, 0x74, 0xdc, 0xf4, /* test al,al; je next; hlt */
    };
    static const uint8_t reader[] = {
        0xfe, 0xc3,                   /* next: inc bl */
        0xe8, 0xfb, 0xfe,             /* early: call target: either is right */
        0x2e, 0x38, 0x1e, 0x00, 0x20, /* cmp cs:[0x2000],bl */
        0x75, 0xf6,                   /* jne early */
        0x89, 0xde, 0x31, 0xc0,       /* mov si,bx; xor ax,ax */
        0x0f, 0xa2, 0x89, 0xf3,       /* cpuid; mov bx,si */
        0xe8, 0xe9, 0xfe,             /* call target */
        0x38, 0xd8, 0x74, 0x01, 0x45, /* cmp al,bl; je good; inc bp */
        0x2e, 0x8a, 0x26, 0x04, 0x20, /* good: mov ah,cs:[0x2004] */
        0x2e, 0x88, 0x1e, 0x02, 0x20, /* mov cs:[0x2002],bl */
        0x84, 0xe4, 0x74, 0xd6, 0xf4, /* test ah,ah; je next; hlt */
    };
    struct code_map *map = g_new0(struct code_map, 1);
    struct bp_x86_cpu writer_state, second_state;
    struct vcpu *one, *two, *second;
    pthread_t thread, second_thread;
    uint8_t last;

    real_mode();
    memcpy(ram + CODE + 0x100, target, sizeof(target));
    memcpy(ram + CODE + 0x200, reader, sizeof(reader));
    memcpy(ram + CODE + 0x300, reader, sizeof(reader));
    put(CODE + 0x303, 0xfdfb, 2); /* its calls */
    put(CODE + 0x315, 0xfde9, 2);
    put(CODE + 0x324, 0x2003, 2); /* its acknowledgement */
    memcpy(ram + CODE + 0x3000, writer, sizeof(writer));
    put(CODE + 0x2000, 0, 5);
    cpu.gpr[BP_RBX] = cpu.gpr[BP_RCX] = cpu.gpr[BP_RBP] = 0;
    cpu.gpr[BP_RSP] = 0x8000;
    writer_state = second_state = cpu;
    cpu.rip = 0x200;
    second_state.rip = 0x300;
    second_state.gpr[BP_RSP] = 0x9000;
    writer_state.rip = 0x3000;
    rounds_left = 0x1000;
    rounds_end = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;
    one = vcpu_new_shared(&cpu, &bus, map);
    second = vcpu_new_shared(&second_state, &bus, map);
    two = vcpu_new_shared(&writer_state, &bus, map);
    g_assert_cmpint(pthread_create(&thread, NULL, run_thread, two), ==, 0);
    g_assert_cmpint(pthread_create(&second_thread, NULL, run_thread, second), ==, 0);
    vcpu_run(one, &no_kick);
    pthread_join(thread, NULL);
    pthread_join(second_thread, NULL);
    g_test_message("%u rounds", 0x1000 - rounds_left);
    last = (uint8_t)(0x1000 - rounds_left);
    g_assert_cmphex(writer_state.gpr[BP_RCX] & 0xff, ==, last);
    g_assert_cmphex(cpu.gpr[BP_RBX] & 0xff, ==, last);
    g_assert_cmphex(cpu.gpr[BP_RBP] & 0xffff, ==, 0); /* how often the old code ran */
    g_assert_cmphex(second_state.gpr[BP_RBX] & 0xff, ==, last);
    g_assert_cmphex(second_state.gpr[BP_RBP] & 0xffff, ==, 0);
    vcpu_free(second);
    vcpu_free(one);
    vcpu_free(two);
    g_free(map);
}

static int acknowledge(void *opaque)
{
    bp_x86_uninterrupt(opaque, BP_X86_INT_HARD);
    return 0x40;
}

static void sti_holds_interrupts_for_one_instruction(void)
{
    static const struct bp_x86_apic_ops ops = {.acknowledge = acknowledge};

    real_mode();
    cpu.apic = &ops;
    cpu.apic_opaque = &cpu;
    cpu.interrupts = BP_X86_INT_HARD;
    PROGRAM(0x40, 0xfb, 0x40, 0x40, 0xf4); /* inc ax; sti; inc ax; inc ax */
    run();
    g_assert_cmpint(vector(), ==, 0x40);
    g_assert_cmphex(cpu.gpr[BP_RAX], ==, 2);
    g_assert_cmphex(get(cpu.gpr[BP_RSP], 2), ==, 3);
}

/* ---- protected mode ---- */

static void selector_faults_have_codes(void)
{
    protected_mode(0);
    PROGRAM(0x66, 0xb8, 0x58, 0x00, 0x8e, 0xd8, 0xf4); /* mov ax,0x58; mov ds,ax: beyond the limit */
    run();
    g_assert_cmpint(vector(), ==, EXC_GP);
    g_assert_cmphex(get(cpu.gpr[BP_RSP], 4), ==, 0x58);
    g_assert_cmphex(get(cpu.gpr[BP_RSP] + 4, 4), ==, CODE + 4);
    protected_mode(0);
    PROGRAM(0x66, 0xb8, ABSENT, 0x00, 0x8e, 0xd8, 0xf4);
    run();
    g_assert_cmpint(vector(), ==, EXC_NP);
    g_assert_cmphex(get(cpu.gpr[BP_RSP], 4), ==, ABSENT);
    protected_mode(0);
    PROGRAM(0x31, 0xc0, 0x8e, 0xd0, 0xf4); /* xor eax,eax; mov ss,ax */
    run();
    g_assert_cmpint(vector(), ==, EXC_GP);
    g_assert_cmphex(get(cpu.gpr[BP_RSP], 4), ==, 0);
}

static void user_exception_switches_stack(void)
{
    protected_mode(3);
    PROGRAM(0xfa); /* cli at level 3 */
    run();
    g_assert_cmpint(vector(), ==, EXC_GP);
    g_assert_cmphex(cpu.gpr[BP_RSP], ==, STACK0 - 24);
    g_assert_cmphex(get(STACK0 - 4, 4), ==, DATA3);
    g_assert_cmphex(get(STACK0 - 8, 4), ==, STACK3);
    g_assert_cmphex(get(STACK0 - 16, 4), ==, CODE3);
    g_assert_cmphex(get(STACK0 - 24, 4), ==, 0);
}

static void call_gate_copies_parameters(void)
{
    protected_mode(3);
    /* gate to CODE0:DATA with one parameter, DPL 3 */
    put(GDT + (GATE & ~7u), UINT64_C(0x0000ec0100080000) | (DATA & 0xffff) | (uint64_t)(DATA >> 16) << 48, 8);
    memcpy(ram + DATA, "\x8b\x44\x24\x08\xca\x04\x00", 7); /* mov eax,[esp+8]; retf 4 */
    /* push 0x77; call GATE:0; mov ebx,eax; cli: faults, and so ends */
    PROGRAM(0x6a, 0x77, 0x9a, 0, 0, 0, 0, GATE, 0, 0x89, 0xc3, 0xfa);
    run();
    g_assert_cmpint(vector(), ==, EXC_GP);
    g_assert_cmphex(cpu.gpr[BP_RBX], ==, 0x77);
    g_assert_cmphex(get(STACK0 - 8, 4), ==, STACK3); /* the parameter was released */
    g_assert_cmphex(get(STACK0 - 20, 4), ==, CODE + 11);
}

static void task_call_and_iret_return(void)
{
    protected_mode(0);
    put(GDT + TASK2, 0x0000890000000067 | (uint64_t)TSS2 << 16, 8);
    put(TSS2 + 32, DATA, 4);           /* EIP */
    put(TSS2 + 36, 2, 4);              /* EFLAGS */
    put(TSS2 + 40 + 4 * 3, 0x55, 4);   /* EBX */
    put(TSS2 + 40 + 4 * 4, IST1, 4);   /* ESP */
    put(TSS2 + 72, DATA0, 2);          /* ES */
    put(TSS2 + 76, CODE0, 2);
    put(TSS2 + 80, DATA0, 2);
    put(TSS2 + 84, DATA0, 2);
    memcpy(ram + DATA, "\x43\xcf", 2); /* inc ebx; iret */
    PROGRAM(0xb9, 7, 0, 0, 0, 0x9a, 0, 0, 0, 0, TASK2, 0, 0x41, 0xf4); /* mov ecx,7; call TASK2; inc ecx */
    run();
    g_assert_cmphex(cpu.gpr[BP_RCX], ==, 8);
    g_assert_cmphex(get(TSS2 + 40 + 4 * 3, 4), ==, 0x56); /* saved when it returned */
    g_assert_cmphex(get(TSS2, 2), ==, TASK1);
    g_assert_cmphex(cpu.tr.selector, ==, TASK1);
    g_assert_cmphex(get(GDT + TASK2 + 5, 1), ==, 0x89); /* free again */
    g_assert_true(cpu.cr0 & CR0_TS);
}

static void io_needs_permission(void)
{
    protected_mode(3);
    put(TSS + 0x66, 0x68, 2); /* the map is beyond the limit */
    PROGRAM(0xe4, 0x10);
    run();
    g_assert_cmpint(vector(), ==, EXC_GP);
    protected_mode(3);
    cpu.rflags |= F_IOPL;
    PROGRAM(0xe4, 0x10, 0xf4); /* allowed; HLT then is not */
    run();
    g_assert_cmphex(cpu.gpr[BP_RAX], ==, 0x10);
    g_assert_cmphex(get(cpu.gpr[BP_RSP] + 4, 4), ==, CODE + 2);
}

static void paging_32_bit_codes(void)
{
    static const struct {
        unsigned cpl;
        uint32_t pte, code;
        uint8_t write;
    } cases[] = {{0, 0, 0, 0}, {0, 0, 2, 1}, {3, 0, 4, 0}, {3, 0, 6, 1}, {3, 3, 5, 0}, {3, 3, 7, 1}, {3, 5, 7, 1},
                 {0, 5, 3, 1}};

    for (unsigned n = 0; n < BP_COUNT(cases); n++) {
        protected_mode(cases[n].cpl);
        cpu.cr0 |= CR0_PG | CR0_WP;
        cpu.cr3 = PD32;
        put(PD32, PT32 | 7, 4);
        for (unsigned k = 0; k < 512; k++)
            put(PT32 + k * 4, k << 12 | 7, 4);
        put(PT32 + (DATA >> 12) * 4, cases[n].pte ? DATA | cases[n].pte : 0, 4);
        if (cases[n].write)
            PROGRAM(0xa2, 0x23, 0x00, 0x04, 0x00); /* mov [DATA + 0x23],al */
        else
            PROGRAM(0xa0, 0x23, 0x00, 0x04, 0x00);
        run();
        g_assert_cmpint(vector(), ==, EXC_PF);
        g_assert_cmphex(get(cpu.gpr[BP_RSP], 4), ==, cases[n].code);
        g_assert_cmphex(cpu.cr2, ==, DATA + 0x23);
        g_assert_cmphex(get(cpu.gpr[BP_RSP] + 4, 4), ==, CODE);
    }
}

static void fault_in_delivery_doubles(void)
{
    protected_mode(0);
    put(IDT + EXC_GP * 8 + 5, 0x0e, 1); /* not present: #NP while delivering #GP */
    PROGRAM(0x66, 0xb8, 0x58, 0x00, 0x8e, 0xd8);
    run();
    g_assert_cmpint(vector(), ==, EXC_DF);
    g_assert_cmphex(get(cpu.gpr[BP_RSP], 4), ==, 0);
    protected_mode(0);
    cpu.idtr.limit = 0;
    PROGRAM(0x0f, 0x0b);
    code_written(vcpu->code_map, ram, RAM_SIZE); /* the program was just written */
    vcpu_changed(vcpu);
    g_assert_cmpint(vcpu_run(vcpu, &no_kick), ==, BP_CPU_EXIT_SHUTDOWN);
}

/* ---- long mode ---- */

static void syscall_and_sysret_round_trip(void)
{
    long_mode(3);
    cpu.star = (uint64_t)CODE0 << 32 | (uint64_t)(DATA0 & ~7u) << 48;
    cpu.lstar = DATA;
    cpu.fmask = F_IF | F_CF;
    put(GDT + 0x18, 0x00cff3000000ffff, 8); /* the layout SYSRET wants: SS, then 64-bit CS */
    put(GDT + 0x20, 0x00affb000000ffff, 8);
    memcpy(ram + DATA, "\x48\x89\xc8\x48\x0f\x07", 6); /* mov rax,rcx; sysretq */
    PROGRAM(0xf9, 0x0f, 0x05, 0xfa);                   /* stc; syscall; cli */
    run();
    g_assert_cmpint(vector(), ==, EXC_GP);
    g_assert_cmphex(cpu.gpr[BP_RAX], ==, CODE + 3);
    g_assert_cmphex(get(cpu.gpr[BP_RSP] + 8, 8), ==, CODE + 3);
    g_assert_cmphex(get(cpu.gpr[BP_RSP] + 16, 8), ==, 0x23);
    g_assert_true(get(cpu.gpr[BP_RSP] + 24, 8) & F_CF);
}

static void long_page_faults_have_codes(void)
{
    long_mode(0);
    page(DATA, DATA | 7 | UINT64_C(1) << 51); /* above the physical address bits */
    PROGRAM(0x8a, 0x04, 0x25, 0x00, 0x00, 0x04, 0x00); /* mov al,[DATA] */
    run();
    g_assert_cmpint(vector(), ==, EXC_PF);
    g_assert_cmphex(get(cpu.gpr[BP_RSP], 8), ==, 9);
    long_mode(3);
    page(DATA, DATA | 7 | UINT64_C(1) << 63);
    PROGRAM(0xe9, 0xfb, 0xff, 0x02, 0x00); /* jmp DATA: not executable */
    run();
    g_assert_cmpint(vector(), ==, EXC_PF);
    g_assert_cmphex(get(cpu.gpr[BP_RSP], 8), ==, 0x15);
    g_assert_cmphex(cpu.cr2, ==, DATA);
    g_assert_cmphex(get(cpu.gpr[BP_RSP] + 8, 8), ==, DATA);
    long_mode(0);
    cpu.cr4 |= CR4_SMAP;
    PROGRAM(0x0f, 0x01, 0xcb, 0x8a, 0x04, 0x25, 0x00, 0x00, 0x04, 0x00, /* stac; mov al,[DATA] */
            0x0f, 0x01, 0xca, 0x8a, 0x04, 0x25, 0x00, 0x00, 0x04, 0x00); /* clac; again */
    page(GDT, GDT | 3);
    page(IDT, IDT | 3);
    page(STACK0 - 8, 0x1f000 | 3);
    for (uint32_t at = HANDLERS; at < HANDLERS + 0x1000; at += PAGE)
        page(at, at | 3);
    run();
    g_assert_cmpint(vector(), ==, EXC_PF);
    g_assert_cmphex(get(cpu.gpr[BP_RSP], 8), ==, 1);
    g_assert_cmphex(get(cpu.gpr[BP_RSP] + 8, 8), ==, CODE + 13);
}

static void fetch_across_pages_faults_on_second(void)
{
    long_mode(0);
    cpu.rip = CODE + 0xffe;
    memcpy(ram + CODE + 0xffe, "\xb8\x01", 2); /* mov eax,imm32 that goes on in the next page */
    page(CODE + 0x1000, 0);
    run();
    g_assert_cmpint(vector(), ==, EXC_PF);
    g_assert_cmphex(cpu.cr2, ==, CODE + 0x1000);
    g_assert_cmphex(get(cpu.gpr[BP_RSP], 8), ==, 0x10);
    g_assert_cmphex(get(cpu.gpr[BP_RSP] + 8, 8), ==, CODE + 0xffe);
}

static void store_across_pages_is_all_or_nothing(void)
{
    long_mode(0);
    page(DATA + 0x1000, (DATA + 0x1000) | 5);
    PROGRAM(0x48, 0x89, 0x04, 0x25, 0xfc, 0x0f, 0x04, 0x00); /* mov [DATA + 0xffc],rax */
    cpu.gpr[BP_RAX] = ~UINT64_C(0);
    run();
    g_assert_cmpint(vector(), ==, EXC_PF);
    g_assert_cmphex(cpu.cr2, ==, DATA + 0x1000);
    g_assert_cmphex(get(cpu.gpr[BP_RSP], 8), ==, 3);
    g_assert_cmphex(get(DATA + 0xffc, 4), ==, 0);
}

static void accessed_and_dirty_bits_set(void)
{
    long_mode(0);
    PROGRAM(0x8a, 0x04, 0x25, 0x00, 0x00, 0x04, 0x00, 0xf4); /* a load */
    run();
    g_assert_cmphex(get(PT + (DATA >> 12) * 8, 8), ==, DATA | 0x27);
    PROGRAM(0x88, 0x04, 0x25, 0x00, 0x00, 0x04, 0x00, 0xf4); /* a store */
    cpu.rip = CODE;
    run();
    g_assert_cmphex(get(PT + (DATA >> 12) * 8, 8), ==, DATA | 0x67);
}

static void non_canonical_gp_or_ss(void)
{
    long_mode(0);
    PROGRAM(0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x8a, 0x00); /* mov rax,1<<63; mov al,[rax] */
    run();
    g_assert_cmpint(vector(), ==, EXC_GP);
    long_mode(0);
    PROGRAM(0x48, 0xbd, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x8a, 0x45, 0x00); /* through rbp */
    run();
    g_assert_cmpint(vector(), ==, EXC_SS);
}

static void bad_encodings_refused(void)
{
    long_mode(0);
    PROGRAM(0xf0, 0x01, 0xc0); /* LOCK with a register */
    run();
    g_assert_cmpint(vector(), ==, EXC_UD);
    long_mode(0);
    PROGRAM(0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90);
    run();
    g_assert_cmpint(vector(), ==, EXC_GP); /* 16 bytes */
    long_mode(0);
    PROGRAM(0x06); /* push es */
    run();
    g_assert_cmpint(vector(), ==, EXC_UD);
}

static void ist_gives_stack(void)
{
    long_mode(0);
    put(IDT + EXC_UD * 16 + 4, 1, 1);
    cpu.gpr[BP_RSP] = 0x1000 + 3; /* an odd stack that must not be touched */
    PROGRAM(0x0f, 0x0b);
    run();
    g_assert_cmpint(vector(), ==, EXC_UD);
    g_assert_cmphex(cpu.gpr[BP_RSP], ==, IST1 - 40);
    g_assert_cmphex(get(IST1 - 16, 8), ==, 0x1003);
}

static void trap_flag_traps_after_each(void)
{
    long_mode(0);
    cpu.rflags |= F_TF;
    PROGRAM(0xff, 0xc0, 0xff, 0xc0, 0xf4); /* inc eax twice */
    run();
    g_assert_cmpint(vector(), ==, EXC_DB);
    g_assert_cmphex(cpu.gpr[BP_RAX], ==, 1);
    g_assert_cmphex(get(cpu.gpr[BP_RSP], 8), ==, CODE + 2);
    g_assert_cmphex(cpu.dr[6] & 0xf00f, ==, 0x4000);
    g_assert_false(cpu.rflags & F_TF);
}

static void breakpoints_hit(void)
{
    long_mode(0);
    cpu.dr[0] = CODE + 2;
    cpu.dr[7] = 0x401;
    PROGRAM(0xff, 0xc0, 0xff, 0xc0, 0xf4);
    run();
    g_assert_cmpint(vector(), ==, EXC_DB);
    g_assert_cmphex(cpu.gpr[BP_RAX], ==, 1);
    g_assert_cmphex(cpu.dr[6] & 0xf00f, ==, 1);
    long_mode(0);
    cpu.dr[1] = DATA + 4;
    cpu.dr[7] = 0x400 | 4 | 0xdu << 20; /* writes of 4 bytes */
    PROGRAM(0x8b, 0x0c, 0x25, 0x04, 0x00, 0x04, 0x00, /* a load does not trap */
            0x89, 0x0c, 0x25, 0x04, 0x00, 0x04, 0x00, 0xf4);
    run();
    g_assert_cmpint(vector(), ==, EXC_DB);
    g_assert_cmphex(get(cpu.gpr[BP_RSP], 8), ==, CODE + 14);
    g_assert_cmphex(cpu.dr[6] & 0xf00f, ==, 2);
}

static void rep_movs_fault_keeps_progress(void)
{
    long_mode(0);
    page(DATA + 0x2000, 0);
    for (unsigned n = 0; n < 0x1000; n++)
        ram[DATA + n] = (uint8_t)n;
    cpu.gpr[BP_RSI] = DATA;
    cpu.gpr[BP_RDI] = DATA + 0x1800;
    cpu.gpr[BP_RCX] = 0x1000;
    PROGRAM(0xf3, 0xa4);
    run();
    g_assert_cmpint(vector(), ==, EXC_PF);
    g_assert_cmphex(cpu.gpr[BP_RCX], ==, 0x800);
    g_assert_cmphex(cpu.gpr[BP_RDI], ==, DATA + 0x2000);
    g_assert_cmphex(get(cpu.gpr[BP_RSP] + 8, 8), ==, CODE);
    g_assert_cmpmem(ram + DATA, 0x800, ram + DATA + 0x1800, 0x800);
}

static void step_runs_one_instruction(void)
{
    long_mode(0);
    PROGRAM(0xff, 0xc0, 0xff, 0xc0, 0xf4);
    code_written(vcpu->code_map, ram, RAM_SIZE); /* the program was just written */
    vcpu_changed(vcpu);
    vcpu_step(vcpu);
    g_assert_cmphex(cpu.rip, ==, CODE + 2);
    vcpu_step(vcpu);
    g_assert_cmphex(cpu.gpr[BP_RAX], ==, 2);
    g_assert_cmphex(cpu.rip, ==, CODE + 4);
}

/* ---- XSAVE ---- */

#define AREA (DATA + 0x400)
/* xsave/xrstor [rbx] with the opcode's second byte and ModRM */
static void run_xsave(uint8_t opcode, uint8_t modrm)
{
    const uint8_t code[] = {0x0f, opcode, modrm, 0xf4};

    memcpy(ram + CODE, code, sizeof(code));
    cpu.rip = CODE;
    cpu.gpr[BP_RAX] = cpu.gpr[BP_RDX] = 0xffffffff;
    cpu.gpr[BP_RBX] = AREA;
    run();
}

static void with_xsave(void)
{
    long_mode(0);
    cpu.cr4 |= CR4_OSFXSR | CR4_OSXSAVE;
    cpu.xcr0 = 7;
    cpu.fcw = 0x37f;
    cpu.mxcsr = 0x1f80;
}

static void xsave_keeps_what_xrstor_brings_back(void)
{
    static const uint8_t save[][2] = {{0xae, 0x23}, {0xae, 0x33}, {0xc7, 0x23}, {0xc7, 0x2b}}; /* , OPT, C, S */

    for (unsigned n = 0; n < BP_COUNT(save); n++) {
        bool compact = save[n][0] == 0xc7;

        with_xsave();
        cpu.mxcsr = 0x5f80;
        cpu.vec[15].q[0] = 0x1111, cpu.vec[15].q[3] = 0x2222;
        cpu.fpr[3].mantissa = 0x3333;
        run_xsave(save[n][0], save[n][1]);
        g_assert_cmpint(vector(), ==, -1);
        g_assert_cmphex(get(AREA + 512, 8), ==, 7);
        g_assert_cmphex(get(AREA + 520, 8), ==, compact ? UINT64_C(1) << 63 | 7 : 0);
        g_assert_cmphex(get(AREA + 576 + 15 * 16 + 8, 8), ==, 0x2222);
        cpu.mxcsr = 0x1f80;
        memset(cpu.vec, 0xff, sizeof(cpu.vec));
        memset(cpu.fpr, 0, sizeof(cpu.fpr));
        run_xsave(save[n][1] == 0x2b ? 0xc7 : 0xae, save[n][1] == 0x2b ? 0x1b : 0x2b);
        g_assert_cmpint(vector(), ==, -1);
        g_assert_cmphex(cpu.mxcsr, ==, 0x5f80);
        g_assert_cmphex(cpu.vec[15].q[0], ==, 0x1111);
        g_assert_cmphex(cpu.vec[15].q[3], ==, 0x2222);
        g_assert_cmphex(cpu.vec[0].q[2], ==, 0);
        g_assert_cmphex(cpu.fpr[3].mantissa, ==, 0x3333);
    }
}

static void xsave_leaves_out_what_is_initial(void)
{
    with_xsave();
    cpu.vec[1].q[2] = 5;
    put(AREA + 160, 0x77, 8);
    run_xsave(0xc7, 0x23); /* XSAVEC */
    g_assert_cmphex(get(AREA + 512, 8), ==, BP_X86_XS_AVX);
    g_assert_cmphex(get(AREA + 160, 8), ==, 0x77);
    cpu.vec[2].q[0] = 9;
    cpu.fpr[0].mantissa = 9;
    run_xsave(0xae, 0x2b);
    g_assert_cmphex(cpu.vec[1].q[2], ==, 5);
    g_assert_cmphex(cpu.vec[2].q[0], ==, 0);
    g_assert_cmphex(cpu.fpr[0].mantissa, ==, 0);
}

static void xsave_refuses_wrong_areas(void)
{
    static const struct {
        unsigned at;
        uint64_t value;
    } wrong[] = {{512, 8}, {520, 1}, {528, 1}, {24, 0x10000}, {520, UINT64_C(1) << 63 | 8}};

    for (unsigned n = 0; n < BP_COUNT(wrong); n++) {
        with_xsave();
        put(AREA + wrong[n].at, wrong[n].value, 8);
        run_xsave(0xae, 0x2b);
        g_assert_cmpint(vector(), ==, EXC_GP);
    }
    with_xsave();
    cpu.cr4 &= ~(uint64_t)CR4_OSXSAVE;
    run_xsave(0xae, 0x23);
    g_assert_cmpint(vector(), ==, EXC_UD);
    with_xsave();
    cpu.cr0 |= CR0_TS;
    run_xsave(0xae, 0x23);
    g_assert_cmpint(vector(), ==, EXC_NM);
}

static void xcr0_takes_what_goes_together(void)
{
    static const struct {
        uint32_t value;
        int vector;
    } cases[] = {{1, -1}, {3, -1}, {7, -1}, {0xe7, -1}, {0x2e7, -1}, {0, EXC_GP}, {5, EXC_GP}, {0x27, EXC_GP},
                 {0xe3, EXC_GP}, {0x407, EXC_GP}};

    for (unsigned n = 0; n < BP_COUNT(cases); n++) {
        with_xsave();
        cpu.gpr[BP_RAX] = cases[n].value;
        PROGRAM(0x31, 0xc9, 0x31, 0xd2, 0x0f, 0x01, 0xd1, 0xf4); /* xsetbv */
        run();
        g_assert_cmpint(vector(), ==, cases[n].vector);
        g_assert_cmphex(cpu.xcr0, ==, cases[n].vector < 0 ? cases[n].value : 7);
    }
}

static void what_is_not_announced_is_undefined(void)
{
    static const struct {
        uint8_t word, bit, length, code[8];
    } cases[] = {
        {BP_X86_FW_1_ECX, 28, 4, {0xc5, 0xf0, 0x58, 0xc2}},       /* vaddps */
        {BP_X86_FW_7_EBX, 5, 4, {0xc5, 0xf5, 0xfe, 0xc2}},        /* vpaddd ymm */
        {BP_X86_FW_1_ECX, 12, 5, {0xc4, 0xe2, 0x71, 0x98, 0xc2}}, /* vfmadd132ps */
        {BP_X86_FW_1_ECX, 29, 5, {0xc4, 0xe2, 0x79, 0x13, 0xc2}}, /* vcvtph2ps */
        {BP_X86_FW_1_ECX, 9, 5, {0x66, 0x0f, 0x38, 0x00, 0xc1}},  /* pshufb */
        {BP_X86_FW_1_ECX, 19, 5, {0x66, 0x0f, 0x38, 0x40, 0xc1}}, /* pmulld */
        {BP_X86_FW_1_ECX, 20, 5, {0x66, 0x0f, 0x38, 0x37, 0xc1}}, /* pcmpgtq */
        {BP_X86_FW_1_ECX, 25, 5, {0x66, 0x0f, 0x38, 0xdc, 0xc1}}, /* aesenc */
        {BP_X86_FW_1_ECX, 1, 6, {0x66, 0x0f, 0x3a, 0x44, 0xc1, 0}}, /* pclmulqdq */
        {BP_X86_FW_7_EBX, 29, 4, {0x0f, 0x38, 0xc9, 0xc1}},       /* sha1msg1 */
        {BP_X86_FW_1_ECX, 26, 3, {0x0f, 0xae, 0x23}},             /* xsave */
        {BP_X86_FW_D1_EAX, 1, 3, {0x0f, 0xc7, 0x23}},             /* xsavec */
        {BP_X86_FW_7_EBX, 23, 4, {0x66, 0x0f, 0xae, 0x3b}},       /* clflushopt */
        {BP_X86_FW_7_EBX, 11, 6, {0xc7, 0xf8, 0, 0, 0, 0}},       /* xbegin */
        {BP_X86_FW_1_ECX, 30, 3, {0x0f, 0xc7, 0xf0}},             /* rdrand */
        {BP_X86_FW_7_EBX, 3, 5, {0xc4, 0xe2, 0x78, 0xf2, 0xc1}},  /* andn */
    };

    for (unsigned n = 0; n < BP_COUNT(cases); n++) {
        for (unsigned there = 0; there < 2; there++) {
            with_xsave();
            if (!there)
                cpu.features[cases[n].word] &= ~(1u << cases[n].bit);
            cpu.rip = CODE + there * 0x40; /* what was decoded with other features is not of use */
            memset(ram + cpu.rip, 0xf4, 16);
            memcpy(ram + cpu.rip, cases[n].code, cases[n].length);
            cpu.gpr[BP_RBX] = AREA;
            run();
            if (there)
                g_assert_cmpint(vector(), !=, EXC_UD);
            else
                g_assert_cmpint(vector(), ==, EXC_UD);
        }
    }
}

/* ---- protection keys, five levels ---- */

static void keys_of_user_pages_are_obeyed(void)
{
    static const struct {
        uint32_t pkru;
        bool write;
        unsigned cpl;
        int vector;
        uint32_t code;
    } cases[] = {
        {0, true, 3, -1, 0}, {1u << 6, false, 3, EXC_PF, 0x25}, {1u << 6, true, 3, EXC_PF, 0x27},
        {2u << 6, false, 3, -1, 0}, {2u << 6, true, 3, EXC_PF, 0x27}, {2u << 6, true, 0, EXC_PF, 0x23},
        {1u << 6, false, 0, EXC_PF, 0x21}, {3u << 8, true, 3, -1, 0},
    };

    for (unsigned n = 0; n < BP_COUNT(cases); n++) {
        long_mode(cases[n].cpl);
        cpu.cr4 |= CR4_PKE;
        cpu.pkru = cases[n].pkru;
        page(DATA, DATA | 7 | UINT64_C(3) << 59);
        put(CODE, cases[n].write ? 0x0f00040000250488u : 0x0f0004000025048au, 8);
        memcpy(ram + CODE + 7, "\x0f\x0b", 2); /* ud2 ends it on either level */
        run();
        g_assert_cmpint(vector(), ==, cases[n].vector < 0 ? EXC_UD : cases[n].vector);
        if (cases[n].vector >= 0)
            g_assert_cmphex(get(cpu.gpr[BP_RSP], 8), ==, cases[n].code);
    }
}

static void fifth_level_widens_addresses(void)
{
    for (unsigned five = 0; five < 2; five++) {
        long_mode(0);
        cpu.linear_bits = 57;
        if (five) {
            cpu.cr4 |= CR4_LA57;
            cpu.cr3 = 0xc000;
            put(0xc000, PML4 | 7, 8);
            put(0xc000 + 8, PML4 | 7, 8);
        }
        PROGRAM(0x48, 0xb8, 0, 0, 4, 0, 0, 0, 1, 0, 0x8a, 0x08, 0xf4); /* mov rax,1<<48 | DATA; mov cl,[rax] */
        ram[DATA] = 0x5a;
        run();
        g_assert_cmpint(vector(), ==, five ? -1 : EXC_GP);
        if (five)
            g_assert_cmphex(cpu.gpr[BP_RCX] & 0xff, ==, 0x5a);
    }
}

/* ---- system management mode ---- */

#define SMBASE 0x50000u

static void with_smi(void)
{
    static char seen; /* not looked into by the interpreter alone */

    cpu.smm_space = (struct bp_space *)(void *)&seen;
    cpu.smbase = SMBASE;
    cpu.interrupts = BP_X86_INT_SMI;
}

static void smi_saves_and_rsm_restores(void)
{
    long_mode(3);
    cpu.gpr[BP_RAX] = UINT64_C(0x1122334455667788);
    cpu.rflags |= F_CF | F_IF;
    cpu.nmi_blocked = 0;
    with_smi();
    PROGRAM(0x0f, 0x0b);
    /* In the handler: mov ax,[cs:0xfff8]; mov [cs:0x7000],ax; mov byte [cs:0xfff8],0x99; mov dword [cs:0xff00],
     * 0x60000; rsm */
    memcpy(ram + SMBASE + 0x8000,
           "\x2e\xa1\xf8\xff\x2e\xa3\x00\x70\x2e\xc6\x06\xf8\xff\x99\x2e\x66\xc7\x06\x00\xff\x00\x00\x06\x00\x0f\xaa",
           26);
    run();
    g_assert_cmpint(vector(), ==, EXC_UD);
    g_assert_cmphex(get(SMBASE + 0x7000, 2), ==, 0x7788);
    g_assert_cmphex(cpu.gpr[BP_RAX], ==, UINT64_C(0x1122334455667799));
    g_assert_cmphex(cpu.smbase, ==, 0x60000);
    g_assert_cmphex(cpu.smm, ==, 0);
    g_assert_cmphex(get(SMBASE + 0xfefc, 4), ==, 0x20064);
    g_assert_cmphex(get(SMBASE + 0xfed0, 8), ==, EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE);
    g_assert_cmphex(get(SMBASE + 0xff50, 8), ==, PML4);
    g_assert_cmphex(get(SMBASE + 0xff78, 8), ==, CODE);
    g_assert_cmphex(get(SMBASE + 0xfe10, 2), ==, CODE3);
    g_assert_cmphex(get(cpu.gpr[BP_RSP] + 8, 8), ==, CODE3); /* the fault came from where it was */
    g_assert_true(get(cpu.gpr[BP_RSP] + 16, 8) & F_CF);
}

static void smi_ends_a_halt_that_rsm_resumes(void)
{
    long_mode(0);
    with_smi();
    cpu.halted = 1;
    PROGRAM(0x0f, 0x0b);
    memcpy(ram + SMBASE + 0x8000, "\x2e\xfe\x06\x00\x70\x0f\xaa", 7); /* inc byte [cs:0x7000]; rsm */
    code_written(vcpu->code_map, ram, RAM_SIZE);
    vcpu_changed(vcpu);
    g_assert_cmpint(vcpu_run(vcpu, &no_kick), ==, BP_CPU_EXIT_HALTED);
    g_assert_cmphex(get(SMBASE + 0x7000, 1), ==, 1);
    g_assert_cmphex(get(SMBASE + 0xfec9, 1), ==, 1);
    g_assert_cmphex(cpu.rip, ==, CODE);
    g_assert_cmphex(cpu.halted, ==, 1);
}

static void smi_waits_in_smm_and_is_nothing_without_its_memory(void)
{
    long_mode(0);
    with_smi();
    cpu.smm_space = NULL;
    PROGRAM(0xff, 0xc0, 0xf4);
    run();
    g_assert_cmphex(cpu.gpr[BP_RAX], ==, 1);
    g_assert_cmphex(cpu.interrupts, ==, 0);
    long_mode(0);
    with_smi();
    cpu.smm = 1;
    PROGRAM(0xff, 0xc0, 0xf4);
    run();
    g_assert_cmphex(cpu.gpr[BP_RAX], ==, 1);
    g_assert_cmphex(cpu.interrupts, ==, BP_X86_INT_SMI);
    cpu.interrupts = 0;
    cpu.smm = 0;
    PROGRAM(0x0f, 0xaa); /* RSM outside */
    cpu.rip = CODE;
    run();
    g_assert_cmpint(vector(), ==, EXC_UD);
}

static void rsm_to_an_impossible_state_shuts_down(void)
{
    long_mode(0);
    with_smi();
    PROGRAM(0x0f, 0x0b);
    /* mov byte [cs:0xff58],0x10: paging without protection; rsm */
    memcpy(ram + SMBASE + 0x8000, "\x2e\xc6\x06\x58\xff\x10\x0f\xaa", 8);
    code_written(vcpu->code_map, ram, RAM_SIZE);
    vcpu_changed(vcpu);
    g_assert_cmpint(vcpu_run(vcpu, &no_kick), ==, BP_CPU_EXIT_SHUTDOWN);
}

#define CASE(name) {"/interp/" #name, name}
int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        void (*fn)(void);
    } cases[] = {
        CASE(real_loop_adds), CASE(real_int_pushes_and_iret_returns), CASE(real_access_beyond_limit_gp),
        CASE(real_divide_error_restarts), CASE(code_that_changes_itself_seen),
        CASE(code_changed_by_other_vcpu_seen),
        CASE(code_changed_while_it_is_decoded_is_seen), CASE(sti_holds_interrupts_for_one_instruction),
        CASE(selector_faults_have_codes), CASE(user_exception_switches_stack),
        CASE(call_gate_copies_parameters), CASE(task_call_and_iret_return), CASE(io_needs_permission),
        CASE(paging_32_bit_codes), CASE(fault_in_delivery_doubles), CASE(syscall_and_sysret_round_trip),
        CASE(long_page_faults_have_codes), CASE(fetch_across_pages_faults_on_second),
        CASE(store_across_pages_is_all_or_nothing), CASE(accessed_and_dirty_bits_set),
        CASE(non_canonical_gp_or_ss), CASE(bad_encodings_refused), CASE(ist_gives_stack),
        CASE(trap_flag_traps_after_each), CASE(breakpoints_hit), CASE(rep_movs_fault_keeps_progress),
        CASE(step_runs_one_instruction), CASE(xsave_keeps_what_xrstor_brings_back),
        CASE(xsave_leaves_out_what_is_initial), CASE(xsave_refuses_wrong_areas),
        CASE(xcr0_takes_what_goes_together), CASE(what_is_not_announced_is_undefined),
        CASE(keys_of_user_pages_are_obeyed), CASE(fifth_level_widens_addresses),
        CASE(smi_saves_and_rsm_restores), CASE(smi_ends_a_halt_that_rsm_resumes),
        CASE(smi_waits_in_smm_and_is_nothing_without_its_memory), CASE(rsm_to_an_impossible_state_shuts_down),
    };
    int status;

    g_test_init(&argc, &argv, NULL);
    ram = aligned_alloc(PAGE, RAM_SIZE);
    memset(ram, 0, RAM_SIZE);
    clean();
    vcpu = vcpu_new(&cpu, &bus);
    for (unsigned n = 0; n < BP_COUNT(cases); n++)
        g_test_add_func(cases[n].path, cases[n].fn);
    status = g_test_run();
    vcpu_free(vcpu);
    free(ram);
    return status;
}
