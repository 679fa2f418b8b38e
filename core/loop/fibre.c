/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fibre.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef BPC_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef BPC_TSAN
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
#include "loop.h"
#endif
#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif

/* Told before and after each switch. */
static inline void leaving(struct bpc_fibre *from, struct bpc_fibre *to, bool ends)
{
    to->from = from;
#ifdef BPC_ASAN
    __sanitizer_start_switch_fiber(ends ? NULL : &from->fake_stack, to->stack, to->size);
#endif
#ifdef BPC_TSAN
    bpc_machine_tell_handed_over(false); /* to it, a fibre is a thread: the lock is not its own */
    __tsan_switch_to_fiber(to->tsan, 0);
    bpc_machine_tell_handed_over(true);
#endif
    (void)ends;
}

static inline void arrived(struct bpc_fibre *self)
{
#ifdef BPC_ASAN
    const void *bottom;
    size_t size;

    __sanitizer_finish_switch_fiber(self->fake_stack, &bottom, &size);
    if (self->from->size == 0) { /* a thread's own stack: learnt when it is left first */
        self->from->stack = (void *)(uintptr_t)bottom;
        self->from->size = size;
    }
#endif
    (void)self;
}

static void run(void *opaque)
{
    struct bpc_fibre *self = opaque;

    arrived(self);
    self->fn(self->opaque);
    abort(); /* it has to switch away */
}

#ifdef BPC_FIBRE_PORTABLE

static void run_halves(unsigned high, unsigned low) /* makecontext() passes ints */
{
    run((void *)((uintptr_t)((uint64_t)high << 32 | low)));
}

static void prepare(struct bpc_fibre *f)
{
    uint64_t self = (uintptr_t)f;

    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = f->size;
    f->context.uc_link = NULL;
    makecontext(&f->context, (void (*)(void))run_halves, 2, (unsigned)(self >> 32),
                (unsigned)self);
}

static inline void swap(struct bpc_fibre *from, struct bpc_fibre *to)
{
    swapcontext(&from->context, &to->context);
}

#else

void bpc_fibre_swap(void **save_sp, void *to_sp) __attribute__((visibility("hidden")));
void bpc_fibre_begin(void) __attribute__((visibility("hidden")));

__asm__(".text\n"
        ".p2align 4\n"
        ".globl bpc_fibre_swap\n"
        ".hidden bpc_fibre_swap\n"
        ".type bpc_fibre_swap, @function\n"
        "bpc_fibre_swap:\n"
        "    .cfi_startproc\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    popq %rcx\n" /* not `ret`: it is predicted to return to the other stack's caller */
        "    jmpq *%rcx\n"
        "    .cfi_endproc\n"
        ".size bpc_fibre_swap, . - bpc_fibre_swap\n"
        ".globl bpc_fibre_begin\n"
        ".hidden bpc_fibre_begin\n"
        ".type bpc_fibre_begin, @function\n"
        "bpc_fibre_begin:\n" /* r12: argument, r13: function */
        "    .cfi_startproc\n"
        "    .cfi_undefined %rip\n" /* backtraces end here */
        "    movq %r12, %rdi\n"
        "    call *%r13\n"
        "    ud2\n"
        "    .cfi_endproc\n"
        ".size bpc_fibre_begin, . - bpc_fibre_begin\n");

static void prepare(struct bpc_fibre *f)
{
    uintptr_t top = ((uintptr_t)f->stack + f->size) & ~(uintptr_t)15;
    uintptr_t *sp = (uintptr_t *)(top - 16); /* aligned as a call wants it; nothing above */

    sp[0] = sp[1] = 0;
    *--sp = (uintptr_t)bpc_fibre_begin;
    *--sp = 0;                /* rbp */
    *--sp = 0;                /* rbx */
    *--sp = (uintptr_t)f;     /* r12 */
    *--sp = (uintptr_t)run;   /* r13 */
    *--sp = 0;                /* r14 */
    *--sp = 0;                /* r15 */
    f->sp = sp;
}

static inline void swap(struct bpc_fibre *from, struct bpc_fibre *to)
{
    bpc_fibre_swap(&from->sp, to->sp);
}

#endif

void bpc_fibre_init(struct bpc_fibre *fibre, void *stack, size_t size, void (*fn)(void *opaque),
                    void *opaque)
{
    memset(fibre, 0, sizeof(*fibre));
    fibre->stack = stack;
    fibre->size = size;
    fibre->fn = fn;
    fibre->opaque = opaque;
#ifdef BPC_ASAN
    __asan_unpoison_memory_region(stack, size); /* it may have been another one's */
#endif
#ifdef BPC_TSAN
    fibre->tsan = __tsan_create_fiber(0);
#endif
#ifdef VALGRIND_STACK_REGISTER
    fibre->valgrind = VALGRIND_STACK_REGISTER(stack, (char *)stack + size);
#endif
    prepare(fibre);
}

void bpc_fibre_fini(struct bpc_fibre *fibre)
{
#ifdef BPC_TSAN
    __tsan_destroy_fiber(fibre->tsan);
#endif
#ifdef VALGRIND_STACK_REGISTER
    VALGRIND_STACK_DEREGISTER(fibre->valgrind);
#endif
    (void)fibre;
}

void bpc_fibre_init_thread(struct bpc_fibre *fibre)
{
#ifdef BPC_TSAN
    fibre->tsan = __tsan_get_current_fiber();
#endif
    (void)fibre;
}

/* Not inlined: what its caller knows of thread-locals' addresses does not live across it. */
__attribute__((noinline)) void bpc_fibre_switch(struct bpc_fibre *from, struct bpc_fibre *to,
                                                bool ends)
{
    leaving(from, to, ends);
    swap(from, to);
    arrived(from);
}
