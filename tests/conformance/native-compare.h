/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cases of native-compare: one instruction, the state before it, and what became of it. Both sides
 * use the same linear addresses.
 */
#ifndef NATIVE_COMPARE_H
#define NATIVE_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

#define CODE_BASE UINT64_C(0x10000000)
#define CODE_SLOT 32u
#define BATCH 1024u
#define CODE_SIZE (CODE_SLOT * BATCH)
#define DATA_BASE UINT64_C(0x20000000) /* two writable pages, a read-only one, then nothing */
#define DATA_READONLY (DATA_BASE + 0x2000)
#define DATA_SIZE 0x3000u
#define DATA_WRITABLE 0x2000u
#define WINDOW_SIZE 1024u /* the memory that is compared, around the boundary of two pages */
#define WINDOW_BASE (DATA_BASE + 0x1000 - WINDOW_SIZE / 2)

struct state {
    uint64_t gpr[16], rip, rflags;
    uint8_t fx[512] __attribute__((aligned(16))); /* as FXSAVE64 */
    uint8_t ymm[256];                             /* upper halves, as XSAVE's component 2 */
    uint8_t memory[WINDOW_SIZE];
};

#define NO_FAULT (-1)
struct outcome {
    struct state state;
    int vector; /* of the fault, or NO_FAULT */
    uint32_t error;
    uint64_t cr2; /* of page faults */
};

struct test_case {
    const char *class;
    struct state start;
    uint8_t bytes[16];
    unsigned length;
    uint32_t undefined_flags; /* not compared */
    bool repeat;              /* REP: single steps are iterations */
    bool single_step;         /* branches */
    bool pushes_flags;        /* bit 8 of what is pushed is the tracer's */
    bool floating;            /* x87 */
    /* What was encoded, for native-compare-mask.c */
    uint16_t opcode; /* 0Fxx, 38xx, 3Axx, or one byte */
    uint8_t prefix;  /* mandatory: 0, 66, F3, F2 */
    uint8_t opsize, reg;
    bool vex;
    bool memory;     /* the operand of ModRM; `target` is its address */
    uint64_t target;
};

/* Images of the x87 state hold what is not compared; it may lie outside the window, where later
 * cases would read it: both sides clear their pages then, and when a batch begins. */
static inline bool leaves_image(const struct test_case *c)
{
    return c->memory && (c->floating || c->opcode == 0x0fae);
}

/* native-compare-generate.c */
void generate_init(void);
bool generate_only(const char *class); /* restricts to classes that contain the word */
void generate(struct test_case *c, uint64_t seed, uint64_t code);

/* native-compare-mask.c: makes what the sides may differ in equal; says how often it had to */
void mask_differences(const struct test_case *c, struct outcome *h, struct outcome *g);
void mask_print(void);

/* native-compare-host.c: -errno when the memory cannot be had */
int host_init(void);
bool host_has_avx(void); /* and an operating system that keeps its registers */
void host_run(const struct test_case *cases, struct outcome *outcomes, unsigned count);

/* native-compare-guest.c */
void guest_init(void);
void guest_features(uint32_t *words); /* bp_x86_cpu's */
void guest_begin(const struct test_case *cases, unsigned count);
void guest_run(const struct test_case *c, struct outcome *outcome);

#endif
