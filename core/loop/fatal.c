/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Last words. A fatal signal prints one or two lines (which module the fault lies in, on whose behalf it was
 * called, whether a coroutine has used up its stack) and then takes its default action, so that the core
 * dump shows the place. Everything here that a handler runs is async-signal-safe: stores, loads, write().
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "blame.h"
#include "coroutine.h"
#include "loop.h"

#define ALT_STACK (16u << 10)
#define MAX_MODULES 512u

#if defined(BPC_ASAN) || defined(BPC_TSAN)
#define SANITIZED 1 /* they print more, themselves */
#endif

static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

static struct {
    const char *name, *version;
    uintptr_t start, end;
} modules[MAX_MODULES];
static unsigned module_count; /* atomic; entries below it are complete */

void bpc_fatal_add_module(const char *name, const char *version, const void *start, const void *end)
{
    unsigned n = module_count;

    if (n == MAX_MODULES)
        return;
    modules[n].name = name;
    modules[n].version = version;
    modules[n].start = (uintptr_t)start;
    modules[n].end = (uintptr_t)end;
    __atomic_store_n(&module_count, n + 1, __ATOMIC_RELEASE);
}

/* ---- in the handler ---- */

struct line {
    char text[400];
    size_t len;
};

static void add(struct line *l, const char *text)
{
    for (; text && *text && l->len < sizeof(l->text) - 2; text++)
        l->text[l->len++] = *text;
}

static void add_number(struct line *l, uint64_t value, unsigned base)
{
    char digits[24];
    unsigned n = sizeof(digits) - 1;

    digits[n] = '\0';
    do {
        digits[--n] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    add(l, base == 16 ? "0x" : "");
    add(l, digits + n);
}

static void say(struct line *l)
{
    ssize_t n;

    l->text[l->len++] = '\n';
    n = write(STDERR_FILENO, l->text, l->len);
    (void)n;
}

static const char *signal_name(int signo)
{
    switch (signo) {
    case SIGSEGV:
        return "SIGSEGV";
    case SIGBUS:
        return "SIGBUS";
    case SIGILL:
        return "SIGILL";
    case SIGFPE:
        return "SIGFPE";
    default:
        return "SIGABRT";
    }
}

static uintptr_t pc_of(const void *context)
{
#if defined(__x86_64__)
    return (uintptr_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (uintptr_t)((const ucontext_t *)context)->uc_mcontext.pc;
#else
    (void)context;
    return 0;
#endif
}

static void add_who(struct line *l, const char *type, const char *id)
{
    add(l, type ? type : "the core");
    if (id && *id) {
        add(l, " '");
        add(l, id);
        add(l, "'");
    }
}

static void tell_place(int signo, uintptr_t pc)
{
    unsigned n = __atomic_load_n(&module_count, __ATOMIC_ACQUIRE), i = 0;
    struct line l = {.len = 0};

    while (i < n && !(pc >= modules[i].start && pc < modules[i].end))
        i++;
    add(&l, "backplane: fatal signal ");
    add(&l, signal_name(signo));
    if (i < n) {
        add(&l, " in module ");
        add(&l, modules[i].name);
        add(&l, " ");
        add(&l, modules[i].version);
        add(&l, " (");
        add(&l, modules[i].name);
        add(&l, "+");
        add_number(&l, pc - modules[i].start, 16);
        add(&l, ")");
    } else {
        add(&l, " at ");
        add_number(&l, pc, 16);
    }
    if (bpc_blame.what) {
        add(&l, ", in a ");
        add(&l, bpc_blame.what);
        add(&l, " of ");
        add_who(&l, bpc_blame.type, bpc_blame.id);
    }
    say(&l);
}

static void tell_overflow(const struct bp_co *co)
{
    struct line l = {.len = 0};

    add(&l, "backplane: coroutine '");
    add(&l, co->name);
    add(&l, "' of ");
    add_who(&l, co->owner_type, co->owner_id);
    add(&l, " has used up its stack of ");
    add_number(&l, BP_CO_STACK >> 10, 10);
    add(&l, " KiB");
    say(&l);
}

static void on_fatal(int signo, siginfo_t *info, void *context)
{
    static int telling; /* the first thread that comes here speaks */
    struct sigaction sa;
    const struct bp_co *co = NULL;

    if (__atomic_exchange_n(&telling, 1, __ATOMIC_ACQ_REL) == 0) {
        if (signo == SIGSEGV || signo == SIGBUS)
            co = bpc_co_overflow(info->si_addr);
        if (co)
            tell_overflow(co);
        tell_place(signo, pc_of(context));
    }
    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = SIG_DFL;
    sigemptyset(&sa.sa_mask);
    sigaction(signo, &sa, NULL);
    /* A fault happens again when this returns; what was sent has to be sent again. */
    if (info->si_code <= 0)
        raise(signo);
}

/* ---- set-up ---- */

void bpc_fatal_thread(void)
{
#ifndef SANITIZED
    stack_t old, alt = {.ss_size = ALT_STACK};

    if (sigaltstack(NULL, &old) == 0 && !(old.ss_flags & SS_DISABLE))
        return;
    alt.ss_sp = mmap(NULL, ALT_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (alt.ss_sp != MAP_FAILED)
        sigaltstack(&alt, NULL);
#endif
}

void bpc_fatal_thread_end(void)
{
#ifndef SANITIZED
    stack_t off = {.ss_flags = SS_DISABLE}, alt;

    if (sigaltstack(NULL, &alt) == 0 && !(alt.ss_flags & SS_DISABLE) && alt.ss_size == ALT_STACK &&
        sigaltstack(&off, NULL) == 0)
        munmap(alt.ss_sp, ALT_STACK);
#endif
}

void bpc_fatal_install(void)
{
#ifndef SANITIZED
    struct sigaction sa;

    memset(&sa, 0, sizeof(sa));
    sa.sa_sigaction = on_fatal;
    sa.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&sa.sa_mask);
    for (size_t i = 0; i < BP_COUNT(signals); i++)
        sigaction(signals[i], &sa, NULL);
#endif
}
