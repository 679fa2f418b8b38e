/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stack that is switched to and away from. On x86-64 (System V ABI, chapter 3.2: rbx, rbp, r12-r15 and
 * rsp belong to the caller) our own few instructions; elsewhere, and with BPC_FIBRE_PORTABLE, ucontext.
 * ASan, TSan and valgrind are told. Floating point control words are those of the thread: nobody
 * changes them across a switch.
 */
#ifndef BPC_FIBRE_H
#define BPC_FIBRE_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define BPC_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BPC_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define BPC_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BPC_TSAN 1
#endif
#endif

#if !defined(__x86_64__) || defined(__ILP32__)
#define BPC_FIBRE_PORTABLE 1
#endif
#ifdef BPC_FIBRE_PORTABLE
#include <ucontext.h>
#endif

struct bpc_fibre {
    void *sp;           /* while it is switched away from; gdb reads it (tools/gdb) */
    void *stack;        /* lowest usable byte; NULL: a thread's own stack */
    size_t size;
    void (*fn)(void *opaque);
    void *opaque;
    struct bpc_fibre *from; /* who switched to it last */
    void *fake_stack;   /* ASan's */
    void *tsan;         /* TSan's */
    unsigned valgrind;
#ifdef BPC_FIBRE_PORTABLE
    ucontext_t context;
#endif
};

/* A new one that calls fn(opaque) when it is first switched to; fn never returns: it switches away with
 * `ends`. The memory stays the caller's. */
void bpc_fibre_init(struct bpc_fibre *fibre, void *stack, size_t size, void (*fn)(void *opaque),
                    void *opaque);
void bpc_fibre_fini(struct bpc_fibre *fibre);
/* The thread's own stack, to be switched away from first. Zeroed before. */
void bpc_fibre_init_thread(struct bpc_fibre *fibre);
/* Goes on in `to`; comes back when somebody switches to `from`. ends: never. */
void bpc_fibre_switch(struct bpc_fibre *from, struct bpc_fibre *to, bool ends);

#endif
