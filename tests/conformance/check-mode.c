/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * -accel tcg,check=on without a machine: what is translated right runs as it does without; errors that are planted
 * into translated code are found at their first execution, with the place and what differs; devices are asked once.
 * Prints TAP.
 */
#include "check.h"
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000, GDT = 0x4000, IDT = 0x5000, TSS = 0x6000, STACK = 0x8000,
       HANDLER = 0x9000, CODE = 0x10000, DATA = 0x20000, DATA2 = 0x21000, RAM = 0x200000, DEVICE = 0x300000 };
#define HLT 0xf4

static uint8_t *ram, dirty[RAM / 4096];
static struct bp_x86_cpu x;
static struct tcg_machine machine = {.check = 1};
static struct tcg_cpu *cpu;
static uint32_t never;
static unsigned reads, writes, ins, outs, at;

static void put64_at(uint32_t to, uint64_t value)
{
    memcpy(ram + to, &value, 8);
}

static void lookup(void *opaque, uint64_t page, struct phys_page *ret_page)
{
    (void)opaque;
    if (page < RAM)
        *ret_page = (struct phys_page){.host = ram + page, .dirty = &dirty[page >> 12],
                                       .length = RAM - page};
}

static uint64_t read_io(void *opaque, uint64_t address, unsigned size)
{
    (void)opaque, (void)address, (void)size;
    return 0x1000 + reads++;
}

static void write_io(void *opaque, uint64_t address, uint64_t value, unsigned size)
{
    (void)opaque, (void)address, (void)value, (void)size;
    writes++;
}

static uint64_t port_in(void *opaque, uint16_t port, unsigned size)
{
    (void)opaque, (void)port, (void)size;
    return ins++;
}

static void port_out(void *opaque, uint16_t port, uint64_t value, unsigned size)
{
    (void)opaque, (void)port, (void)value, (void)size;
    outs++;
}

/* Ring 0, addresses as they are, a handler that halts for every exception. */
static bool begin(void)
{
    struct bus bus = {.lookup = lookup, .read = read_io, .write = write_io, .port_in = port_in, .port_out = port_out};

    ram = aligned_alloc(4096, RAM);
    if (!ram)
        return false;
    memset(ram, 0, RAM);
    put64_at(PML4, PDPT | 3);
    put64_at(PDPT, PD | 3);
    put64_at(PD, 0x83);
    put64_at(PD + 8, 0x200000 | 0x83);
    put64_at(GDT + 0x10, UINT64_C(0x00af9b000000ffff));
    put64_at(GDT + 0x18, UINT64_C(0x00cf93000000ffff));
    for (unsigned n = 0; n < 32; n++)
        put64_at(IDT + n * 16, HANDLER | UINT64_C(0x10) << 16 | UINT64_C(0x8e00) << 32);
    ram[HANDLER] = HLT;
    x.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    x.cr3 = PML4;
    x.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    x.efer = EFER_LME | EFER_LMA;
    x.gdtr = (struct bp_x86_segment){.base = GDT, .limit = 0x7f};
    x.idtr = (struct bp_x86_segment){.base = IDT, .limit = 0xfff};
    x.phys_bits = 40;
    x.linear_bits = 48;
    x.tsc_hz = 1000000000;
    x.features[BP_X86_FW_1_EDX] = UINT32_MAX;
    x.features[BP_X86_FW_80000001_EDX] = UINT32_MAX;
    fp_reset(&x);
    cpu = tcg_cpu_new(&machine, &x, &bus, NULL);
    return cpu != NULL;
}

/* The code is put at a place of its own; registers are the same each time. */
static void prepare(const char *code, unsigned length)
{
    static const uint8_t end = HLT;

    at = at ? at + 0x100 : CODE;
    for (unsigned n = 0; n < length; n++)
        store8(&cpu->v, at + n, (uint8_t)code[n], BP_DS);
    store8(&cpu->v, at + length, end, BP_DS);
}

static void start(void)
{
    static const struct bp_x86_segment data = {.selector = 0x18, .attr = 0xc093, .limit = UINT32_MAX};

    for (unsigned n = 0; n < 6; n++)
        x.seg[n] = data;
    x.seg[BP_CS] = (struct bp_x86_segment){.selector = 0x10, .attr = 0xa09b, .limit = UINT32_MAX};
    for (unsigned n = 0; n < 16; n++)
        x.gpr[n] = 0x1111 * (n + 1);
    x.gpr[BP_RSP] = STACK;
    x.gpr[BP_RBX] = DATA;
    x.gpr[BP_RSI] = DATA + 0x100;
    x.gpr[BP_RDI] = DATA2;
    x.gpr[BP_RCX] = 5;
    memset(ram + DATA, 0, 0x2000);
    for (unsigned n = 0; n < 64; n++)
        ram[DATA + n] = (uint8_t)(n * 7 + 1);
    memset(x.vec, 0, sizeof(x.vec));
    for (unsigned n = 0; n < 16; n++)
        x.vec[1].b[n] = (uint8_t)(n + 3);
    x.rflags = 2;
    x.rip = at;
    x.halted = 0;
    vcpu_changed(&cpu->v);
}

/* True: it came to its end. */
static bool run(void)
{
    start();
    while (!x.halted) {
        if (tcg_run(cpu, &never) == BP_CPU_EXIT_ERROR)
            return false;
    }
    return true;
}

/* ---- what is right ---- */

#define CODE_OF(s) s, sizeof(s) - 1

static const struct {
    const char *name, *code;
    unsigned length;
} right[] = {
    {"arithmetic", CODE_OF("\x48\x01\xc8\x48\x31\xd2\x48\x83\xe9\x01\x75\xf5")},
    {"memory", CODE_OF("\x48\x8b\x03\x48\x89\x47\x08\x50\x5a\x48\xff\x07\xf0\x48\x0f\xc1\x4f\x10\x48\xa5")},
    {"call", CODE_OF("\xe8\x01\x00\x00\x00\xf4\x51\x48\x83\xc4\x08\xc3")},
    {"strings", CODE_OF("\xf3\xa4\xb9\x08\x00\x00\x00\xf3\xab\xb9\x40\x00\x00\x00\xf2\xae")},
    {"flags", CODE_OF("\x39\xc8\x9c\x58\xfd\xfc\xfa\xfb\x50\x9d\x0f\x92\xc0")},
    {"undefined", CODE_OF("\xd3\xe0\x48\xf7\xe1\x0f\xbc\xc2\x9c\x58\x31\xc0")},
    {"vectors", CODE_OF("\x66\x0f\xfe\xc1\x0f\x11\x07\xf3\x0f\x10\x13\x0f\xae\x47\x40")},
    {"x87", CODE_OF("\xd9\xe8\xd9\xeb\xde\xc1\xdd\x1f")},
    {"page_fault", CODE_OF("\x48\xb8\x00\x00\x00\x00\x01\x00\x00\x00\x48\xff\xc3\x48\x89\x18\x90")},
    {"own_code", CODE_OF("\xc6\x05\x01\x00\x00\x00\x04\xb0\x03\x90")}, /* changes what MOV AL loads */
    {"crossing", CODE_OF("\x48\x89\x87\xfc\x0f\x00\x00\x48\x8b\x87\xfc\x0f\x00\x00")},
    {"stack_pointer", CODE_OF("\x54\x5c\x48\x8d\x64\x24\xf8\x8f\x04\x24")},
};

static bool right_code(void)
{
    bool all = true;

    for (unsigned n = 0; n < BP_COUNT(right); n++) {
        uint64_t before = cpu->check->equal + cpu->check->undefined;

        prepare(right[n].code, right[n].length);
        for (unsigned k = 0; k < 3; k++) {
            if (!run()) {
                printf("# %s: a difference\n", right[n].name);
                all = false;
                break;
            }
        }
        if (cpu->check->equal + cpu->check->undefined < before + 3) {
            printf("# %s: not compared\n", right[n].name);
            all = false;
        }
    }
    if (ram[DATA2] || cpu->check->others) { /* nobody else writes */
        printf("# others: %" PRIu64 "\n", cpu->check->others);
        all = false;
    }
    return all;
}

/* ---- what is wrong ---- */

static const struct {
    const char *name, *code;
    unsigned length;
    const char *from, *to; /* in the host's code, which has it once at least */
    unsigned bytes;
    const char *says;
} planted[] = {
    {"sum", CODE_OF("\x48\x01\xc8"), "\x49\x01\xca", "\x49\x29\xca", 3, "rax: interpreter"},
    {"constant", CODE_OF("\xb8\x78\x56\x34\x12"), "\x78\x56\x34\x12", "\x79\x56\x34\x12", 4,
     "rax: interpreter 0000000012345678, translation 0000000012345679"},
    {"other_register", CODE_OF("\x48\x89\xca"), "\x48\x89\xca", "\x48\x89\xce", 3, "rsi: interpreter"},
    {"store", CODE_OF("\x48\x89\x57\x18"), "\x49\x89\x54\x3f\x18", "\x49\x89\x74\x3f\x18", 5,
     "memory at 0000000000021018: interpreter"},
    {"place", CODE_OF("\x48\x89\x57\x18"), "\x49\x89\x54\x3f\x18", "\x49\x89\x54\x3f\x20", 5,
     "memory at 0000000000021018: interpreter"},
    {"flags", CODE_OF("\x48\x39\xca"), "\x48\x39\xca", "\x48\x85\xca", 3, "rflags: interpreter"},
    {"branch", CODE_OF("\x48\x39\xd2\x74\x01\x90\x90"), "\x0f\x84", "\x0f\x85", 2, "rip: interpreter"},
    {"vector", CODE_OF("\x66\x0f\xfe\xc1"), "\x66\x0f\xfe\xc1", "\x66\x0f\xfa\xc1", 4,
     "vector register 0, bits from 0 on: interpreter"},
    {"equal_value", CODE_OF("\x66\xc7\x47\x30\x00\x00"), "\x66\x41\xc7\x44\x3f\x30\x00\x00",
     "\x66\x41\xc7\x44\x3f\x30\x01\x00", 8, "memory at 0000000000021030: interpreter"},
};

static bool plant(const uint8_t *begin, unsigned n)
{
    for (uint8_t *p = cpu->buffer + (begin - cpu->buffer); p + planted[n].bytes <= cpu->at; p++) {
        if (memcmp(p, planted[n].from, planted[n].bytes) == 0) {
            memcpy(p, planted[n].to, planted[n].bytes);
            return true;
        }
    }
    return false;
}

/* Runs with what is told in a file; its text, until the next call. */
static const char *heard(bool *ret_end)
{
    static char text[8192];
    int old = dup(2), file = open(".", O_TMPFILE | O_RDWR, 0600);
    ssize_t got = 0;

    fflush(stderr);
    dup2(file, 2);
    *ret_end = run();
    fflush(stderr);
    dup2(old, 2);
    if (file >= 0 && lseek(file, 0, SEEK_SET) == 0)
        got = read(file, text, sizeof(text) - 1);
    text[got > 0 ? got : 0] = 0;
    close(file);
    close(old);
    return text;
}

static bool wrong_code(void)
{
    bool all = true;

    for (unsigned n = 0; n < BP_COUNT(planted); n++) {
        const uint8_t *before = cpu->at;
        char place[32];
        const char *text;
        bool end;

        prepare(planted[n].code, planted[n].length);
        if (!run() || !plant(before, n)) {
            printf("# %s: not planted:", planted[n].name);
            for (const uint8_t *p = before; p < cpu->at && p < before + 200; p++)
                printf(" %02x", *p);
            printf("\n");
            all = false;
            continue;
        }
        text = heard(&end);
        snprintf(place, sizeof(place), "block at 0x%x ", at);
        if (end || !strstr(text, place) || !strstr(text, planted[n].says)) {
            printf("# %s: %s\n", planted[n].name, end ? "not found" : text);
            all = false;
        }
        vcpu_changed(&cpu->v);
        if (tcg_run(cpu, &never) == BP_CPU_EXIT_ERROR) { /* who lets it go on wants that */
            printf("# %s: it stops for ever\n", planted[n].name);
            all = false;
        }
    }
    return all;
}

/* ---- flags that the manual leaves undefined ---- */

/* The overflow flag comes out wrong: told behind an addition, and where it is pushed; not behind a shift by CL. */
static const struct {
    const char *name, *code;
    unsigned length;
    bool told;
} overflow[] = {
    {"add", CODE_OF("\x48\x01\xca"), true},
    {"shift", CODE_OF("\x48\xd3\xe2"), false},
    {"shift, then add", CODE_OF("\x48\xd3\xe2\x48\x01\xca"), true},
    {"add, pushed", CODE_OF("\x48\x01\xca\x9c"), true},
    {"multiplication: it is defined", CODE_OF("\x48\x0f\xaf\xd1"), true},
    {"double shift", CODE_OF("\x48\x0f\xa5\xca"), false},
};

static bool undefined_flags(void)
{
    bool all = true;

    for (unsigned n = 0; n < BP_COUNT(overflow); n++) {
        const uint8_t *before = cpu->at;
        uint64_t undefined = cpu->check->undefined;
        bool end, found = false;

        prepare(overflow[n].code, overflow[n].length);
        if (!run())
            return false;
        for (uint8_t *p = cpu->buffer + (before - cpu->buffer); p + 3 < cpu->at; p++) {
            if (!memcmp(p, "\x0f\x90\xc0", 3)) { /* seto al */
                p[1] = 0x91;
                found = true;
            }
        }
        heard(&end);
        if (!found || end == overflow[n].told || (!overflow[n].told && cpu->check->undefined == undefined)) {
            printf("# %s: %s\n", overflow[n].name, !found ? "not planted" : end ? "not told" : "told");
            all = false;
        }
    }
    return all;
}

/* ---- what is done once ---- */

/* Which instructions are left to one side, in blocks of their own: ports, clocks, MSRs, control registers, chance. */
static bool alone(void)
{
    static const struct {
        uint8_t bytes[10];
        bool alone;
    } list[] = {
        {{0xe4, 0x60}, true}, {{0xe7, 0x60}, true}, {{0xec}, true}, {{0xef}, true}, {{0x6c}, true}, {{0x6f}, true},
        {{0xf4}, true}, {{0x0f, 0x31}, true}, {{0x0f, 0x30}, true}, {{0x0f, 0x33}, true}, {{0x0f, 0x20, 0xc0}, true},
        {{0x0f, 0x23, 0xf8}, true}, {{0x0f, 0x01, 0x38}, true}, {{0x0f, 0x01, 0xf9}, true}, {{0x0f, 0xaa}, true},
        {{0x0f, 0xc7, 0xf0}, true}, {{0x0f, 0xc7, 0xf8}, true}, {{0x66, 0x0f, 0x38, 0x82, 0x08}, true},
        {{0xf3, 0xa4}, true}, {{0xf3, 0xab}, true}, {{0xf2, 0xae}, true}, {{0xf3, 0xa6}, true},
        {{0x48, 0x01, 0xc8}, false}, {{0xe8}, false}, {{0xf3}, false}, {{0x0f, 0x01, 0xf8}, false},
        {{0x0f, 0x01, 0xca}, false}, {{0x0f, 0x01, 0xcb}, false}, {{0x0f, 0x34}, false}, {{0x0f, 0xc7, 0x0f}, false},
        {{0x0f, 0x1f, 0}, false}, {{0x0f, 0x24}, false}, {{0xa4}, false}, {{0xaa}, false}, {{0xf3, 0x90}, false},
        {{0x6b, 0xc0, 3}, false}, {{0x70, 0}, false}, {{0xe3, 0}, false}, {{0xeb, 0}, false}, {{0xf5}, false},
    };
    bool all = true;

    start();
    for (unsigned n = 0; n < BP_COUNT(list); n++) {
        struct code_bytes code = {list[n].bytes, sizeof(list[n].bytes)};
        struct insn i;

        if (decode(&cpu->v, &code, &i) == DECODE_MORE || check_alone(&i) != list[n].alone) {
            printf("# %02x %02x %02x\n", list[n].bytes[0], list[n].bytes[1], list[n].bytes[2]);
            all = false;
        }
    }
    return all;
}

static bool once(void)
{
    static const char memory[] = "\xb8\x00\x00\x30\x00\x8b\x10\x89\x10\x48\xff\xc2"; /* a device at DEVICE */
    static const char ports[] = "\xe4\x60\xe6\x80\x48\xff\xc0";
    uint64_t device = cpu->check->device, apart = cpu->check->apart;
    bool good;

    reads = writes = ins = outs = 0;
    prepare(memory, sizeof(memory) - 1);
    good = run() && run() && x.gpr[BP_RDX] == 0x1002;
    prepare(ports, sizeof(ports) - 1);
    good &= run() && run();
    if (reads != 2 || writes != 2 || ins != 2 || outs != 2)
        printf("# %u reads, %u writes, %u ins, %u outs\n", reads, writes, ins, outs);
    printf("# device %" PRIu64 ", apart %" PRIu64 "\n", cpu->check->device - device, cpu->check->apart - apart);
    return good && reads == 2 && writes == 2 && ins == 2 && outs == 2 && cpu->check->device >= device + 2 &&
           cpu->check->apart >= apart + 4;
}

/* ---- who writes meanwhile ---- */

static uint32_t stop;

static void *writer(void *opaque)
{
    uint32_t n = 0;

    (void)opaque;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
        __atomic_store_n((uint32_t *)(ram + DATA2 + 0x80), n++, __ATOMIC_RELAXED);
    return NULL;
}

static bool others(void)
{
    /* mov eax, [rdi + 0x80]; mov [rdi], eax; again, again */
    static const char code[] = "\x8b\x87\x80\x00\x00\x00\x89\x07\x90\x90\xff\xc9\x75\xf2";
    pthread_t thread;
    bool good = true;

    prepare(code, sizeof(code) - 1);
    if (pthread_create(&thread, NULL, writer, NULL))
        return false;
    for (unsigned n = 0; good && n < 20000; n++) {
        good = run();
        if (n > 200 && cpu->check->others > 20)
            break;
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    printf("# %" PRIu64 " with what others wrote\n", cpu->check->others);
    return good && cpu->check->others > 0;
}

/* ---- interrupts that wait ---- */

static uint32_t late;

static void too_late(int signal)
{
    (void)signal;
    __atomic_store_n(&late, 1, __ATOMIC_SEQ_CST);
}

/* With an interrupt that the guest does not take yet, a block comes on whose first accesses lie across two pages. */
static bool waiting_interrupt(void)
{
    static const char code[] = "\x48\xc7\x47\x50\x01\x00\x00\x00\x48\xc7\x07\x02\x00\x00\x00";
    struct check *k = cpu->check;
    bool good = true;

    signal(SIGALRM, too_late);
    for (unsigned n = 0; n < 2; n++) {
        prepare(code, sizeof(code) - 1);
        start();
        x.gpr[BP_RDI] = DATA2 - 16;
        x.interrupts = BP_X86_INT_HARD;
        cpu->check = n ? NULL : k;
        machine.check = !n;
        alarm(10);
        while (!x.halted && tcg_run(cpu, &late) == BP_CPU_EXIT_HALTED)
            ;
        alarm(0);
        if (!x.halted || ram[DATA2 - 16] != 2 || ram[DATA2 + 0x40] != 1) {
            printf("# %s: it stays at %#" PRIx64 "\n", n ? "check=off" : "check=on", x.rip - at);
            good = false;
        }
        x.interrupts = 0;
        late = 0;
    }
    cpu->check = k;
    machine.check = 1;
    return good;
}

static const struct {
    const char *name;
    bool (*test)(void);
} cases[] = {{"right_translations_are_found_equal", right_code}, {"planted_errors_are_found_and_told", wrong_code},
             {"undefined_flags_may_differ", undefined_flags}, {"what_comes_from_outside_is_alone", alone},
             {"devices_are_asked_once", once}, {"what_others_write_is_no_difference", others},
             {"code_goes_on_while_an_interrupt_waits", waiting_interrupt}};

int main(int argc, char **argv)
{
    bool all = true;

    if (argc > 1 && !strcmp(argv[1], "-l")) {
        for (unsigned n = 0; n < BP_COUNT(cases); n++)
            printf("%s\n", cases[n].name);
        return 0;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!begin()) {
        printf("Bail out! no memory\n");
        return 1;
    }
    for (unsigned n = 0; n < BP_COUNT(cases); n++) {
        bool good = cases[n].test();

        all &= good;
        printf("%sok %u %s\n", good ? "" : "not ", n + 1, cases[n].name);
    }
    printf("1..%u\n", (unsigned)BP_COUNT(cases));
    tcg_cpu_free(cpu);
    free(ram);
    return !all;
}
