/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host side of native-compare: a signal handler puts a case's state into the context it returns
 * to, with the trap flag, so that exactly one instruction runs; the next signal is the trap after
 * it, or its fault, and the handler takes the state from the context and goes on with the next
 * case. The floating-point state in the context is an XSAVE image (Intel SDM volume 1 chapter 13).
 */
#include "native-compare.h"

#include <errno.h>
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
    memcpy(o->state.memory, (void *)WINDOW_BASE, WINDOW_SIZE);
    o->vector = signal == SIGTRAP ? NO_FAULT : (int)regs[REG_TRAPNO];
    o->error = signal == SIGTRAP ? 0 : (uint32_t)regs[REG_ERR];
    o->cr2 = o->vector == 14 ? (uint64_t)regs[REG_CR2] : 0;
}

static void handler(int signal, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    (void)info;
    if (at == count) { /* the call of host_run() */
        memcpy(&home, uc, sizeof(home));
        memcpy(home_fx, uc->uc_mcontext.fpregs, 512);
        at = 0;
    } else {
        const struct test_case *c = &cases[at];

        if (signal == SIGTRAP && c->repeat && steps++ < MAX_STEPS &&
            (uint64_t)uc->uc_mcontext.gregs[REG_RIP] == c->start.rip) {
            uc->uc_mcontext.gregs[REG_EFL] |= (greg_t)TRAP_FLAG;
            return;
        }
        take_context(uc, signal, &outcomes[at]);
        at++;
    }
    if (at < count) {
        load_context(uc, &cases[at]);
        return;
    }
    memcpy(uc->uc_mcontext.gregs, home.uc_mcontext.gregs, sizeof(home.uc_mcontext.gregs));
    memcpy(uc->uc_mcontext.fpregs, home_fx, 416);
}

void host_run(const struct test_case *batch, struct outcome *results, unsigned number)
{
    for (unsigned n = 0; n < number; n++) {
        memcpy((void *)(batch[n].start.rip), batch[n].bytes, batch[n].length);
    }
    cases = batch;
    outcomes = results;
    count = at = number;
    __asm__ volatile("int3" : : : "memory");
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

    if (map(CODE_BASE, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC) ||
        map(DATA_BASE, DATA_SIZE, PROT_READ | PROT_WRITE) ||
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
