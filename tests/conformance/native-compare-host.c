/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host side of native-compare. Most instructions run from a trampoline that loads the whole
 * state, jumps to the instruction, and takes the state after it; a fault ends in a signal handler,
 * which takes it from its context. Branches are single-stepped: the handler puts a case's state
 * into the context it returns to, with the trap flag; the next signal is the trap after the
 * instruction, or its fault, and the handler goes on with the next case. The floating-point state
 * in a context is an XSAVE image (Intel SDM volume 1 chapter 13).
 */
#include "native-compare.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define TRAP_FLAG UINT64_C(0x100)
#define MAX_STEPS 4096u
#define XSTATE_MAGIC 0x46505853u

static const int gregs[16] = {
    REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
    REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

/* Where the trampoline finds all it needs by absolute addresses; nothing that operands name by
 * chance. */
#define WORK 0x3b5d7000
struct work {
    uint8_t fx_in[512], fx_out[512];
    uint64_t gpr_in[16], gpr_out[16];
    uint64_t flags_in, flags_out;
    uint64_t stack; /* of the caller */
    uint64_t target, back;
    uint64_t running;
    uint8_t scratch[4096 - 1024 - 256 - 48 - 64 - 8];
    uint8_t stack_top[8], components[64]; /* what XSAVE and XRSTOR move, at 4032 */
    uint8_t xs_in[1024], xs_out[1024];    /* at 4096, 5120 */
};
_Static_assert(offsetof(struct work, xs_in) == 4096, "the trampoline's addresses");
static struct work *const work = (struct work *)WORK;

__asm__(
    ".set W, 0x3b5d7000\n"
    ".globl native_enter, native_exit, native_leave\n"
    "native_enter:\n"
    "push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
    "mov %rsp, W+1296\n"
    "mov W+4032, %eax\n xor %edx, %edx\n xrstor64 W+4096\n"
    "mov $W+4024, %rsp\n pushq W+1280\n popfq\n"
    "mov W+1024, %rax\n mov W+1032, %rcx\n mov W+1040, %rdx\n mov W+1048, %rbx\n"
    "mov W+1064, %rbp\n mov W+1072, %rsi\n mov W+1080, %rdi\n mov W+1088, %r8\n"
    "mov W+1096, %r9\n mov W+1104, %r10\n mov W+1112, %r11\n mov W+1120, %r12\n"
    "mov W+1128, %r13\n mov W+1136, %r14\n mov W+1144, %r15\n mov W+1056, %rsp\n"
    "jmp *W+1304\n"
    "native_exit:\n"
    "mov %rsp, W+1184\n mov $W+4024, %rsp\n pushfq\n popq W+1288\n"
    "mov %rax, W+1152\n mov %rcx, W+1160\n mov %rdx, W+1168\n mov %rbx, W+1176\n"
    "mov %rbp, W+1192\n mov %rsi, W+1200\n mov %rdi, W+1208\n mov %r8, W+1216\n"
    "mov %r9, W+1224\n mov %r10, W+1232\n mov %r11, W+1240\n mov %r12, W+1248\n"
    "mov %r13, W+1256\n mov %r14, W+1264\n mov %r15, W+1272\n"
    "mov W+4032, %eax\n xor %edx, %edx\n xsave64 W+5120\n"
    "native_leave:\n"
    "mov W+1296, %rsp\n cld\n fninit\n movl $0x1f80, W+3900\n ldmxcsr W+3900\n"
    "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n");
void native_enter(void);
void native_exit(void);
void native_leave(void);

static const struct test_case *cases;
static struct outcome *outcomes;
static unsigned count, at;
static unsigned steps;
static ucontext_t home;
static uint8_t home_fx[512] __attribute__((aligned(16)));
static uint8_t handler_stack[65536];

static void load_context(ucontext_t *uc, const struct test_case *c)
{
    uint8_t *fx = (uint8_t *)uc->uc_mcontext.fpregs;
    uint64_t components;

    for (unsigned n = 0; n < 16; n++) {
        uc->uc_mcontext.gregs[gregs[n]] = (greg_t)c->start.gpr[n];
    }
    uc->uc_mcontext.gregs[REG_RIP] = (greg_t)c->start.rip;
    uc->uc_mcontext.gregs[REG_EFL] = (greg_t)(c->start.rflags | TRAP_FLAG);
    memcpy(fx, c->start.fx, 416);
    if (*(uint32_t *)(fx + 464) == XSTATE_MAGIC) {
        memcpy(&components, fx + 512, 8);
        components |= 3;
        memcpy(fx + 512, &components, 8);
        if (host_has_avx()) {
            fx[512] |= 4;
            memcpy(fx + 576, c->start.ymm, 256);
        }
    }
    memcpy((void *)WINDOW_BASE, c->start.memory, WINDOW_SIZE);
    steps = 0;
}

static void take_context(const ucontext_t *uc, int signal, struct outcome *o)
{
    const greg_t *regs = uc->uc_mcontext.gregs;

    for (unsigned n = 0; n < 16; n++) {
        o->state.gpr[n] = (uint64_t)regs[gregs[n]];
    }
    o->state.rip = (uint64_t)regs[REG_RIP];
    o->state.rflags = (uint64_t)regs[REG_EFL];
    memcpy(o->state.fx, uc->uc_mcontext.fpregs, 512);
    memset(o->state.ymm, 0, sizeof(o->state.ymm));
    if (host_has_avx() && ((const uint8_t *)uc->uc_mcontext.fpregs)[512] & 4) {
        memcpy(o->state.ymm, (const uint8_t *)uc->uc_mcontext.fpregs + 576, 256);
    }
    if (host_has_avx() && !(((const uint8_t *)uc->uc_mcontext.fpregs)[512] & 2)) {
        memset(o->state.fx + 160, 0, 256); /* in their initial state: not in the image */
    }
    memcpy(o->state.memory, (void *)WINDOW_BASE, WINDOW_SIZE);
    o->vector = signal == SIGTRAP ? NO_FAULT : (int)regs[REG_TRAPNO];
    o->error = signal == SIGTRAP ? 0 : (uint32_t)regs[REG_ERR];
    o->cr2 = o->vector == 14 ? (uint64_t)regs[REG_CR2] : 0;
}

static void next_step(void)
{
    do {
        at++;
    } while (at < count && !cases[at].single_step);
}

static void handler(int signal, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    (void)info;
    if (work->running) {
        take_context(uc, signal, &outcomes[at]);
        work->running = 0;
        uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)native_leave;
        /* Some kernels do not return to one that is not canonical. */
        uc->uc_mcontext.gregs[REG_RSP] = (greg_t)work->stack;
        uc->uc_mcontext.gregs[REG_EFL] = 0x202;
        return;
    }
    if (at == count) { /* the call of host_run() */
        memcpy(&home, uc, sizeof(home));
        memcpy(home_fx, uc->uc_mcontext.fpregs, 512);
        at = UINT_MAX; /* before the first */
        next_step();
    } else {
        const struct test_case *c = &cases[at];

        if (signal == SIGTRAP && c->repeat && steps++ < MAX_STEPS &&
            (uint64_t)uc->uc_mcontext.gregs[REG_RIP] == c->start.rip) {
            uc->uc_mcontext.gregs[REG_EFL] |= (greg_t)TRAP_FLAG;
            return;
        }
        take_context(uc, signal, &outcomes[at]);
        next_step();
    }
    if (at < count) {
        load_context(uc, &cases[at]);
        return;
    }
    memcpy(uc->uc_mcontext.gregs, home.uc_mcontext.gregs, sizeof(home.uc_mcontext.gregs));
    memcpy(uc->uc_mcontext.fpregs, home_fx, 416);
}

/* Runs case `at`; most come back here by native_exit. */
static void run_in_trampoline(void)
{
    const struct test_case *c = &cases[at];
    struct outcome *o = &outcomes[at];

    memset(work->xs_in, 0, sizeof(work->xs_in));
    memcpy(work->xs_in, c->start.fx, 512);
    work->xs_in[512] = work->components[0] = host_has_avx() ? 7 : 3;
    memcpy(work->xs_in + 576, c->start.ymm, 256);
    memcpy(work->gpr_in, c->start.gpr, sizeof(work->gpr_in));
    memcpy((void *)WINDOW_BASE, c->start.memory, WINDOW_SIZE);
    work->flags_in = c->start.rflags;
    work->target = c->start.rip;
    work->running = 1;
    native_enter();
    memcpy(o->state.memory, (void *)WINDOW_BASE, WINDOW_SIZE);
    if (!work->running) {
        return; /* it faulted */
    }
    work->running = 0;
    memcpy(o->state.gpr, work->gpr_out, sizeof(o->state.gpr));
    memcpy(o->state.fx, work->xs_out, 512);
    memcpy(o->state.ymm, work->xs_out + 576, 256);
    o->state.rflags = work->flags_out;
    o->state.rip = c->start.rip + c->length;
    o->vector = NO_FAULT;
    o->error = 0;
    o->cr2 = 0;
}

void host_run(const struct test_case *batch, struct outcome *results, unsigned number)
{
    /* jmp *work->back */
    static const uint8_t jump[] = {0xff, 0x24, 0x25, 0x20, 0x75, 0x5d, 0x3b};

    for (unsigned n = 0; n < number; n++) {
        uint8_t *code = (uint8_t *)batch[n].start.rip;

        memcpy(code, batch[n].bytes, batch[n].length);
        memcpy(code + batch[n].length, jump, sizeof(jump));
    }
    work->back = (uint64_t)(uintptr_t)native_exit;
    cases = batch;
    outcomes = results;
    count = number;
    memset((void *)DATA_BASE, 0, DATA_WRITABLE);
    for (at = 0; at < count; at++) {
        if (!batch[at].single_step) {
            run_in_trampoline();
        }
        if (leaves_image(&batch[at])) {
            memset((void *)DATA_BASE, 0, DATA_WRITABLE);
        }
    }
    __asm__ volatile("int3" : : : "memory");
}

bool host_has_avx(void)
{
    return __builtin_cpu_supports("avx");
}

static int map(uint64_t address, size_t size, int protection)
{
    void *p = mmap((void *)address, size, protection,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    return p == (void *)address ? 0 : -ENOMEM;
}

int host_init(void)
{
    static const int signals[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    stack_t stack = {.ss_sp = handler_stack, .ss_size = sizeof(handler_stack)};

    if (map(WORK, sizeof(struct work), PROT_READ | PROT_WRITE) ||
        map(CODE_BASE, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC) ||
        map(DATA_BASE, DATA_SIZE, PROT_READ | PROT_WRITE) ||
        /* present, as its first access would otherwise fault as if it were not */
        !memset((void *)DATA_READONLY, 0, 0x1000) ||
        mprotect((void *)DATA_READONLY, 0x1000, PROT_READ)) {
        return -ENOMEM;
    }
    if (sigaltstack(&stack, NULL)) {
        return -errno;
    }
    sigfillset(&action.sa_mask);
    for (unsigned n = 0; n < sizeof(signals) / sizeof(signals[0]); n++) {
        if (sigaction(signals[n], &action, NULL)) {
            return -errno;
        }
    }
    return 0;
}
