/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The only program of a Linux guest with two processors: what one of them writes is seen by the other in the
 * order that x86 promises (Intel SDM volume 3, 8.2), and locked instructions are whole. Prints "NAME COUNT", the
 * count of what must not be seen, and "end". Each round runs over arrays, so that both are at the same places at
 * about the same time.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

#define PLACES 20000u
#define ROUNDS 20u
#define TURNS 200000u
#define BARRIER() __asm__ volatile("" : : : "memory")

static volatile uint32_t x[PLACES], y[PLACES];
static uint32_t seen[2][PLACES][2];
static volatile uint32_t arrived;

static void meet(uint32_t number) /* both come here `number` times in all */
{
    __atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST);
    while (arrived < 2 * number)
        __asm__ volatile("pause");
}

/* ---- orders ---- */

static void message(unsigned who, unsigned i) /* who reads the second write sees the first one, too */
{
    if (who == 0) {
        x[i] = 1;
        BARRIER();
        y[i] = 1;
    } else {
        seen[1][i][0] = y[i];
        BARRIER();
        seen[1][i][1] = x[i];
    }
}
static int message_wrong(unsigned i) { return seen[1][i][0] && !seen[1][i][1]; }

static void load_store(unsigned who, unsigned i) /* no load sees a store that is behind it */
{
    seen[who][i][0] = who ? x[i] : y[i];
    BARRIER();
    *(who ? &y[i] : &x[i]) = 1;
}
static int load_store_wrong(unsigned i) { return seen[0][i][0] && seen[1][i][0]; }

static void fenced(unsigned who, unsigned i) /* a fence between keeps a store before a load */
{
    *(who ? &y[i] : &x[i]) = 1;
    __asm__ volatile("mfence" : : : "memory");
    seen[who][i][0] = who ? x[i] : y[i];
}
static int both_zero(unsigned i) { return !seen[0][i][0] && !seen[1][i][0]; }

static void exchanged(unsigned who, unsigned i) /* so does XCHG, which is locked */
{
    uint32_t one = 1;

    __asm__ volatile("xchg %0, %1" : "+r"(one), "+m"(*(who ? &y[i] : &x[i])) : : "memory");
    seen[who][i][0] = who ? x[i] : y[i];
}

static void coherent(unsigned who, unsigned i) /* values of one place come in the order they were written */
{
    if (who == 0) {
        x[i] = 1;
        x[i] = 2;
    } else {
        seen[1][i][0] = x[i];
        BARRIER();
        seen[1][i][1] = x[i];
    }
}
static int coherent_wrong(unsigned i) { return seen[1][i][0] > seen[1][i][1]; }

static const struct {
    const char *name;
    void (*step)(unsigned who, unsigned i);
    int (*wrong)(unsigned i);
} orders[] = {{"message", message, message_wrong}, {"load-store", load_store, load_store_wrong},
              {"mfence", fenced, both_zero}, {"xchg", exchanged, both_zero}, {"coherence", coherent, coherent_wrong}};

/* ---- locked instructions: each processor does TURNS ---- */

static volatile uint32_t counter, lock_word, guarded;
static volatile uint64_t pair[2] __attribute__((aligned(16)));
static uint8_t line[128] __attribute__((aligned(64)));
static volatile uint64_t bits[4];

static void turn(unsigned who, unsigned n)
{
    uint32_t *split = (uint32_t *)(line + 62), one = 1, old = 1;
    uint64_t low = pair[0], high = pair[1];
    unsigned bit = 2 * (n % 100) + who;
    uint8_t ok;

    __asm__ volatile("lock incl %0" : "+m"(counter));
    __asm__ volatile("lock addl $3, %0" : "+m"(*split)); /* two cache lines */
    __asm__ volatile("lock xaddl %0, %1" : "+r"(one), "+m"(counter));
    do
        __asm__ volatile("lock cmpxchg16b %1\n\tsete %0" : "=q"(ok), "+m"(*pair), "+a"(low), "+d"(high)
                         : "b"(low + 1), "c"(high + 2) : "memory", "cc");
    while (!ok);
    __asm__ volatile("lock btsq %1, %0" : "+m"(bits) : "r"((uint64_t)bit) : "memory");
    __asm__ volatile("lock btcq %1, %0" : "+m"(bits) : "r"((uint64_t)bit) : "memory");
    while (old) {
        __asm__ volatile("xchg %0, %1" : "+r"(old), "+m"(lock_word) : : "memory");
        if (old)
            __asm__ volatile("pause");
    }
    guarded = guarded + 1;
    BARRIER();
    lock_word = 0;
}

static void *processor(void *opaque)
{
    unsigned who = opaque != NULL;
    uint32_t meeting = 0;
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(who, &set);
    sched_setaffinity(0, sizeof(set), &set);
    for (unsigned k = 0; k < sizeof(orders) / sizeof(orders[0]); k++) {
        unsigned wrong = 0;

        for (unsigned round = 0; round < ROUNDS; round++) {
            if (who == 0) {
                memset((void *)x, 0, sizeof(x));
                memset((void *)y, 0, sizeof(y));
            }
            meet(++meeting);
            for (unsigned i = 0; i < PLACES; i++)
                orders[k].step(who, i);
            meet(++meeting);
            for (unsigned i = 0; who == 0 && i < PLACES; i++)
                wrong += orders[k].wrong(i) != 0;
        }
        if (who == 0)
            printf("%s %u\n", orders[k].name, wrong);
    }
    meet(++meeting);
    for (unsigned n = 0; n < TURNS; n++)
        turn(who, n);
    meet(++meeting);
    return NULL;
}

int main(void)
{
    uint32_t split;
    pthread_t other;

    setvbuf(stdout, NULL, _IOLBF, 0);
    pthread_create(&other, NULL, processor, (void *)1);
    processor(NULL);
    pthread_join(other, NULL);
    memcpy(&split, line + 62, 4);
    printf("counter %u\nsplit %u\n", counter - 4 * TURNS, split - 6 * TURNS);
    printf("pair %u\n", (unsigned)(pair[0] - 2 * TURNS + pair[1] - 4 * TURNS));
    printf("bits %u\n", (unsigned)(bits[0] | bits[1] | bits[2] | bits[3]));
    printf("guarded %u\nend\n", guarded - 2 * TURNS);
    if (getpid() == 1)
        reboot(RB_POWER_OFF);
    return 0;
}
