/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Conformance of the interpreter with the processor it runs on: random user-mode instructions of
 * 64-bit code are executed by both, from the same state, and everything an instruction can change
 * is compared. What a manual leaves undefined, or a vendor does otherwise, is masked with the reason
 * in native-compare-mask.c, or not generated. Prints TAP.
 * native-compare [--cases N] [--seed S] [--first N] [--class WORD] [--show N]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if !defined(__x86_64__)
int main(void)
{
    printf("1..0 # SKIP the oracle is an x86-64 processor\n");
    return 0;
}
#else
#include "native-compare.h"

#define MAX_CLASSES 32
struct class_count {
    const char *name;
    uint64_t cases, divergences, shown;
};

static struct class_count classes[MAX_CLASSES];
static uint64_t show = 3;
static struct test_case batch[BATCH];
static struct outcome host[BATCH], guest;

static struct class_count *class_of(const char *name)
{
    for (unsigned n = 0; n < MAX_CLASSES - 1; n++) {
        if (!classes[n].name || !strcmp(classes[n].name, name)) {
            classes[n].name = name;
            return &classes[n];
        }
    }
    return &classes[MAX_CLASSES - 1];
}

static bool equal(const struct outcome *h, const struct outcome *g)
{
    return h->vector == g->vector && h->error == g->error && h->cr2 == g->cr2 &&
           h->state.rip == g->state.rip && h->state.rflags == g->state.rflags &&
           !memcmp(h->state.gpr, g->state.gpr, sizeof(h->state.gpr)) &&
           !memcmp(h->state.fx, g->state.fx, 416) &&
           (!host_has_avx() || !memcmp(h->state.ymm, g->state.ymm, sizeof(h->state.ymm))) &&
           !memcmp(h->state.memory, g->state.memory, WINDOW_SIZE);
}

static void print_bytes(const uint8_t *p, unsigned count)
{
    while (count--) {
        printf("%02x", p[count]);
    }
}

static void print_values(const char *what, const void *start, const void *h, const void *g,
                         unsigned bytes)
{
    if (memcmp(h, g, bytes)) {
        printf("#   %-8s before ", what);
        print_bytes(start, bytes);
        printf(" host ");
        print_bytes(h, bytes);
        printf(" guest ");
        print_bytes(g, bytes);
        printf("\n");
    }
}

static void print_case(const struct test_case *c, uint64_t seed, const struct outcome *h,
                       const struct outcome *g)
{
    static const char *const names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                          "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
    char name[16];

    printf("# %s, case seed %" PRIu64 ":", c->class, seed);
    for (unsigned n = 0; n < c->length; n++) {
        printf(" %02x", c->bytes[n]);
    }
    printf("  fcw %02x%02x fsw %02x%02x tags %02x mxcsr %02x%02x\n", c->start.fx[1],
           c->start.fx[0], c->start.fx[3], c->start.fx[2], c->start.fx[4], c->start.fx[25],
           c->start.fx[24]);
    if (h->vector != g->vector || h->error != g->error || h->cr2 != g->cr2) {
        printf("#   fault    host %d(%x) cr2 %" PRIx64 ", guest %d(%x) cr2 %" PRIx64 "\n",
               h->vector, h->error, h->cr2, g->vector, g->error, g->cr2);
    }
    print_values("rip", &c->start.rip, &h->state.rip, &g->state.rip, 8);
    print_values("rflags", &c->start.rflags, &h->state.rflags, &g->state.rflags, 8);
    for (unsigned n = 0; n < 16; n++) {
        print_values(names[n], &c->start.gpr[n], &h->state.gpr[n], &g->state.gpr[n], 8);
    }
    print_values("fcw", c->start.fx, h->state.fx, g->state.fx, 2);
    print_values("fsw", c->start.fx + 2, h->state.fx + 2, g->state.fx + 2, 2);
    print_values("fip", c->start.fx + 8, h->state.fx + 8, g->state.fx + 8, 8);
    print_values("fdp", c->start.fx + 16, h->state.fx + 16, g->state.fx + 16, 8);
    print_values("tags", c->start.fx + 4, h->state.fx + 4, g->state.fx + 4, 1);
    print_values("mxcsr", c->start.fx + 24, h->state.fx + 24, g->state.fx + 24, 4);
    for (unsigned n = 0; n < 24; n++) {
        unsigned at = 32 + 16 * n;

        snprintf(name, sizeof(name), n < 8 ? "st%u" : "xmm%u", n < 8 ? n : n - 8);
        print_values(name, c->start.fx + at, h->state.fx + at, g->state.fx + at, n < 8 ? 10 : 16);
    }
    for (unsigned n = 0; n < 16; n++) {
        snprintf(name, sizeof(name), "ymm%u", n);
        print_values(name, c->start.ymm + 16 * n, h->state.ymm + 16 * n, g->state.ymm + 16 * n, 16);
    }
    for (unsigned n = 0; n < WINDOW_SIZE; n += 8) {
        snprintf(name, sizeof(name), "%x", (unsigned)(WINDOW_BASE + n));
        print_values(name, c->start.memory + n, h->state.memory + n, g->state.memory + n, 8);
    }
    for (unsigned n = 0; n < 8 && c->floating; n++) {
        printf("%sst%u ", n % 4 ? " " : "#   was ", n);
        print_bytes(c->start.fx + 32 + 16 * n, 10);
        printf("%s", n % 4 == 3 ? "\n" : "");
    }
}

static uint64_t case_seed(uint64_t seed, uint64_t n)
{
    return seed * UINT64_C(0xd1342543de82ef95) + n;
}

static void run_batch(uint64_t seed, uint64_t first, unsigned count)
{
    for (unsigned n = 0; n < count; n++) {
        generate(&batch[n], case_seed(seed, first + n), CODE_BASE + n * CODE_SLOT);
    }
    host_run(batch, host, count);
    guest_begin(batch, count);
    for (unsigned n = 0; n < count; n++) {
        struct class_count *class = class_of(batch[n].class);

        guest_run(&batch[n], &guest);
        mask_differences(&batch[n], &host[n], &guest);
        class->cases++;
        if (!equal(&host[n], &guest)) {
            class->divergences++;
            if (class->shown++ < show) {
                print_case(&batch[n], first + n, &host[n], &guest);
            }
        }
    }
}

static int worker(uint64_t cases, uint64_t first, uint64_t seed, const char *class)
{
    uint64_t divergences = 0;
    unsigned count = 0;
    struct timespec start, end;
    double seconds;

    generate_init();
    if (class && !generate_only(class)) {
        printf("Bail out! no such class: %s\n", class);
        return 1;
    }
    if (host_init()) {
        printf("1..0 # SKIP the addresses of the test are not free\n");
        return 0;
    }
    guest_init();
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (uint64_t n = first; n < first + cases; n += BATCH) {
        uint64_t left = first + cases - n;

        run_batch(seed, n, left < BATCH ? (unsigned)left : BATCH);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    seconds = (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
    for (unsigned n = 0; n < MAX_CLASSES && classes[n].name; n++) {
        printf("%sok %u %s: %" PRIu64 " cases, %" PRIu64 " divergences\n",
               classes[n].divergences ? "not " : "", ++count, classes[n].name, classes[n].cases,
               classes[n].divergences);
        divergences += classes[n].divergences;
    }
    printf("1..%u\n# seed %" PRIu64 ", %.0f cases per second\n", count, seed,
           (double)cases / seconds);
    mask_print();
    return divergences != 0;
}

int main(int argc, char **argv)
{
    uint64_t cases = 2000000, seed = 1, first = 0;
    const char *class = NULL;
    int status;
    pid_t child;

    for (int n = 1; n + 1 < argc; n += 2) {
        if (!strcmp(argv[n], "--cases")) {
            cases = strtoull(argv[n + 1], NULL, 0);
        } else if (!strcmp(argv[n], "--seed")) {
            seed = strtoull(argv[n + 1], NULL, 0);
        } else if (!strcmp(argv[n], "--first")) {
            first = strtoull(argv[n + 1], NULL, 0);
        } else if (!strcmp(argv[n], "--class")) {
            class = argv[n + 1];
        } else if (!strcmp(argv[n], "--show")) {
            show = strtoull(argv[n + 1], NULL, 0);
        }
    }
#ifdef __SANITIZE_ADDRESS__
    printf("1..0 # SKIP AddressSanitizer's shadow is mapped where the cases expect faults\n");
    return 0;
#endif
    setvbuf(stdout, NULL, _IOLBF, 0);
    /* A case that goes astray kills the child, not the report. */
    child = fork();
    if (child == 0) {
        exit(worker(cases, first, seed, class));
    }
    if (child < 0 || waitpid(child, &status, 0) < 0) {
        perror("native-compare");
        return 1;
    }
    if (WIFSIGNALED(status)) {
        printf("Bail out! signal %d\n", WTERMSIG(status));
        return 1;
    }
    return WEXITSTATUS(status);
}
#endif
