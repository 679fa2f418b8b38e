/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -accel tcg,check=on: each block also runs on the interpreter (check.c). */
#ifndef TCG_CHECK_H
#define TCG_CHECK_H

#include "tcg.h"

#define CHECK_PAGES 64u /* that one block may write to and still be compared */

struct check {
    struct vcpu v; /* the interpreter's; first */
    struct bp_x86_cpu x, start, first;
    struct tb *tb; /* under way, to be compared behind it; NULL: none */
    bool locked, failed, map_changed;
    uint8_t waited; /* how often in a row another was let go first */
    bool fault; /* what the interpreter did ended with one */
    uint8_t smm, a20;
    /* Copies of pages that it writes: as they were, and as it leaves them */
    uint8_t *memory;
    struct check_page {
        uint8_t *host;
        uint64_t lin;
    } page[CHECK_PAGES];
    unsigned pages;
    /* What became of blocks, for `info jit` */
    uint64_t equal; /* compared from their beginning to where they were left */
    uint64_t apart; /* an instruction whose result comes from outside: done once, by one side */
    uint64_t device; /* came upon memory or ports of a device: the same */
    uint64_t unfinished; /* a string instruction that was interrupted, or writes more than CHECK_PAGES pages */
    uint64_t others; /* equal once what others wrote to memory meanwhile was taken into account */
    uint64_t undefined; /* equal but for flags that the manual leaves undefined */
};

int check_init(struct tcg_cpu *c, struct bp_error *err);
void check_free(struct tcg_cpu *c);
/* The block at RIP, on both. After a fault on the translation's side, check_after() behind its delivery. */
void check_run(struct tcg_cpu *c);
void check_after(struct tcg_cpu *c);
/* Of a block of its own: its results come from outside, or it may be left in the middle. */
bool check_alone(const struct insn *i);
/* Keeps what the interpreter will execute of a block that was just translated. */
void check_keep(struct tcg_cpu *c, struct tb *tb);

#endif
