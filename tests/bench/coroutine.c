/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What coroutines cost: a switch, entering and yielding, making one. `./dev bench coroutine` */
#include <bp/coroutine.h>

#include <glib.h>
#include <stdio.h>

#include "fibre.h"
#include "loop.h"

#define ROUNDS 2000000
#define RUNS 9

static struct bpc_fibre here, there;

static void bounce(void *opaque)
{
    (void)opaque;
    for (;;)
        bpc_fibre_switch(&there, &here, false);
}

static void yields(void *opaque)
{
    (void)opaque;
    while (bp_co_yield() == 0)
        ;
}

static void nothing(void *opaque)
{
    (void)opaque;
}

static double switches(void)
{
    int64_t start = bp_clock_ns(BP_CLOCK_REALTIME);

    for (int i = 0; i < ROUNDS / 2; i++)
        bpc_fibre_switch(&here, &there, false);
    return (double)(bp_clock_ns(BP_CLOCK_REALTIME) - start) / ROUNDS;
}

static struct bp_co *yielding;

static double enters(void)
{
    int64_t start = bp_clock_ns(BP_CLOCK_REALTIME);

    for (int i = 0; i < ROUNDS / 2; i++)
        bp_co_enter(yielding);
    return (double)(bp_clock_ns(BP_CLOCK_REALTIME) - start) / ROUNDS;
}

static double makes(void)
{
    int64_t start = bp_clock_ns(BP_CLOCK_REALTIME);
    struct bp_co *co;

    for (int i = 0; i < ROUNDS / 20; i++) {
        if (bp_co_new(NULL, NULL, "bench", nothing, NULL, &co, NULL) < 0)
            return 0;
        bp_co_enter(co);
        bp_co_unref(co);
    }
    return (double)(bp_clock_ns(BP_CLOCK_REALTIME) - start) / (ROUNDS / 20);
}

static int by_value(const void *a, const void *b)
{
    return *(const double *)a < *(const double *)b ? -1 : *(const double *)a > *(const double *)b;
}

static void report(const char *what, double (*measure)(void))
{
    double runs[RUNS];

    for (int i = 0; i < RUNS; i++)
        runs[i] = measure();
    qsort(runs, RUNS, sizeof(runs[0]), by_value);
    printf("%-44s %6.1f ns (median of %d, best %.1f)\n", what, runs[RUNS / 2], RUNS, runs[0]);
}

int main(void)
{
    bpc_loop_init();
    bpc_fibre_init_thread(&here);
    bpc_fibre_init(&there, g_malloc(64 << 10), 64 << 10, bounce, NULL);
    if (bp_co_new(NULL, NULL, "bench", yields, NULL, &yielding, NULL) < 0)
        return 1;
    report("a switch of stacks", switches);
    report("a switch of coroutines (half an enter and yield)", enters);
    report("making, running and ending a coroutine", makes);
    return 0;
}
