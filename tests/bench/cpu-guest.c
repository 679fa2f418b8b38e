/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What ./dev bench cpu runs, on the host and as /init of a guest: small pieces of work of different kinds, each
 * timed by the clock of where it runs. Prints "row NAME SECONDS CHECK"; CHECK is the same everywhere.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t integer_loop(void)
{
    uint64_t a = 1, b = 0x9e3779b97f4a7c15;

    for (unsigned n = 0; n < 200000000; n++) {
        a ^= a << 13;
        a ^= a >> 7;
        b += a * 3;
    }
    return a + b;
}

static uint64_t sieve(void)
{
    enum { SIZE = 8000000 };
    uint8_t *composite = malloc(SIZE);
    uint64_t primes = 0;

    for (unsigned round = 0; round < 5; round++) {
        memset(composite, 0, SIZE);
        for (unsigned n = 2; n < SIZE; n++) {
            if (composite[n])
                continue;
            primes++;
            for (unsigned k = 2 * n; k < SIZE; k += n)
                composite[k] = 1;
        }
    }
    free(composite);
    return primes;
}

struct body {
    double x[3], v[3], mass;
};

static uint64_t n_body(void)
{
    static struct body bodies[5];

    for (unsigned n = 0; n < 5; n++)
        bodies[n] = (struct body){.x = {n * 1.5, n * 0.7 - 1, 0.1 * n}, .v = {0, 0.1 * n, 0}, .mass = 1.0 / (n + 1)};
    for (unsigned step = 0; step < 500000; step++) {
        for (unsigned a = 0; a < 5; a++) {
            for (unsigned b = a + 1; b < 5; b++) {
                double d[3], r = 0.01, f;

                for (unsigned k = 0; k < 3; k++) {
                    d[k] = bodies[a].x[k] - bodies[b].x[k];
                    r += d[k] * d[k];
                }
                f = 0.001 / (r * sqrt(r));
                for (unsigned k = 0; k < 3; k++) {
                    bodies[a].v[k] -= d[k] * bodies[b].mass * f;
                    bodies[b].v[k] += d[k] * bodies[a].mass * f;
                }
            }
        }
        for (unsigned a = 0; a < 5; a++) {
            for (unsigned k = 0; k < 3; k++)
                bodies[a].x[k] += 0.001 * bodies[a].v[k];
        }
    }
    return (uint64_t)(int64_t)(bodies[0].x[0] * 1e6);
}

static NOINLINE uint64_t fib(unsigned n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static uint64_t fib_38(void)
{
    return fib(38);
}

static NOINLINE uint64_t add_1(uint64_t x) { return x + 1; }
static NOINLINE uint64_t add_3(uint64_t x) { return x + 3; }
static NOINLINE uint64_t twist(uint64_t x) { return x ^ x >> 3; }
static NOINLINE uint64_t twice(uint64_t x) { return x * 2 + 1; }

static uint64_t indirect_calls(void)
{
    uint64_t (*volatile table[4])(uint64_t) = {add_1, add_3, twist, twice};
    uint64_t x = 1;

    for (unsigned n = 0; n < 60000000; n++)
        x = table[n & 3](x);
    return x;
}

static uint64_t pointer_chase(void)
{
    enum { COUNT = 4 << 20 >> 3 };
    uint64_t *next = malloc(COUNT * sizeof(*next)), at = 0, seed = 1;

    for (unsigned n = 0; n < COUNT; n++)
        next[n] = n;
    for (unsigned n = COUNT - 1; n > 0; n--) { /* one cycle (Sattolo) */
        uint64_t k, t;

        seed = seed * 6364136223846793005u + 1442695040888963407u;
        k = (seed >> 33) % n;
        t = next[n];
        next[n] = next[k];
        next[k] = t;
    }
    for (unsigned n = 0; n < 20000000; n++)
        at = next[at];
    free(next);
    return at;
}

static uint64_t copies(void)
{
    enum { SIZE = 1 << 20 };
    char *a = malloc(SIZE), *b = malloc(SIZE);
    void *(*volatile copy)(void *, const void *, size_t) = memcpy;

    memset(a, 7, SIZE);
    for (unsigned n = 0; n < 2000; n++) {
        copy(b, a, SIZE);
        copy(a, b, SIZE);
    }
    free(a);
    free(b);
    return 1;
}

static uint64_t matrix(void)
{
    enum { N = 256 };
    static float a[N][N], b[N][N], c[N][N];

    for (unsigned i = 0; i < N; i++) {
        for (unsigned j = 0; j < N; j++) {
            a[i][j] = (float)((i * j) % 7);
            b[i][j] = (float)((i + j) % 5);
        }
    }
    for (unsigned round = 0; round < 8; round++) {
        for (unsigned i = 0; i < N; i++) {
            for (unsigned k = 0; k < N; k++) {
                for (unsigned j = 0; j < N; j++)
                    c[i][j] += a[i][k] * b[k][j];
            }
        }
    }
    return (uint64_t)c[100][100];
}

static uint64_t x87_sum(void)
{
    volatile long double step = 0.5L;
    long double sum = 0, d = step;

    for (unsigned n = 0; n < 4000000; n++)
        sum += d;
    return (uint64_t)sum;
}

static uint64_t strings(void)
{
    char text[64], other[64];
    uint64_t total = 0;
    int (*volatile compare)(const char *, const char *) = strcmp;
    size_t (*volatile length)(const char *) = strlen;

    for (unsigned n = 0; n < 1000000; n++) {
        snprintf(text, sizeof(text), "%u %s %x", n, "and so on", n * 7);
        memcpy(other, text, sizeof(other));
        total += length(text) + (compare(text, other) == 0);
    }
    return total;
}

static uint64_t system_calls(void)
{
    uint64_t total = 0;

    for (unsigned n = 0; n < 2000000; n++)
        total += (uint64_t)syscall(SYS_getppid) < 2000000000;
    return total;
}

static uint64_t forks(void)
{
    uint64_t total = 0;

    for (unsigned n = 0; n < 600; n++) {
        int status;
        pid_t child = fork();

        if (child == 0)
            _exit(7);
        waitpid(child, &status, 0);
        total += (unsigned)WEXITSTATUS(status);
    }
    return total;
}

static uint64_t page_faults(void)
{
    enum { SIZE = 64 << 20 };

    for (unsigned n = 0; n < 6; n++) {
        char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        madvise(p, SIZE, MADV_NOHUGEPAGE);
        for (size_t at = 0; at < SIZE; at += 4096)
            p[at] = 1;
        munmap(p, SIZE);
    }
    return 1;
}

static uint64_t pipes(void)
{
    int to[2], from[2];
    char byte = 1;

    if (pipe(to) || pipe(from))
        return 0;
    if (fork() == 0) {
        for (unsigned n = 0; n < 60000; n++) {
            if (read(to[0], &byte, 1) != 1 || write(from[1], &byte, 1) != 1)
                break;
        }
        _exit(0);
    }
    for (unsigned n = 0; n < 60000; n++) {
        if (write(to[1], &byte, 1) != 1 || read(from[0], &byte, 1) != 1)
            return 0;
    }
    wait(NULL);
    return byte;
}

static const struct {
    const char *name;
    uint64_t (*run)(void);
} rows[] = {
    {"integer-loop", integer_loop}, {"sieve", sieve}, {"n-body", n_body}, {"fib-38", fib_38},
    {"indirect-calls", indirect_calls}, {"pointer-chase", pointer_chase}, {"memcpy", copies},
    {"matrix-float", matrix}, {"x87-sum", x87_sum}, {"strings", strings}, {"getppid", system_calls},
    {"fork-wait", forks}, {"page-faults", page_faults}, {"pipe", pipes},
};

int main(int argc, char **argv)
{
    bool guest = getpid() == 1;

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (unsigned n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
        double start;
        uint64_t check;

        if (argc > 1 && !strstr(argv[1], rows[n].name))
            continue;
        start = now();
        check = rows[n].run();
        printf("row %s %.4f %llx\n", rows[n].name, now() - start, (unsigned long long)check);
    }
    printf("rows end\n");
    if (guest)
        reboot(RB_POWER_OFF);
    return 0;
}
