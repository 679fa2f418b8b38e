/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names of translated code for Linux perf. -perfmap: /tmp/perf-PID.map, lines "START SIZE NAME", which perf report
 * reads by itself. -jitdump: jit-PID.dump in the current folder, with the code's bytes, which `perf inject --jit`
 * merges into a recording made with `perf record -k 1` (Linux: tools/perf/Documentation/jitdump-specification.txt).
 * A block is named by the guest address that it was translated at; it may run at others, too.
 */
#include "tcg.h"
#include <bp/error.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define JITDUMP_MAGIC 0x4a695444u
enum { JIT_CODE_LOAD = 0, EM_AMD64 = 62 };

struct dump_header {
    uint32_t magic, version, size, machine, reserved, pid;
    uint64_t timestamp, flags;
};
struct dump_load {
    uint32_t id, size;
    uint64_t timestamp;
    uint32_t pid, tid;
    uint64_t vma, address, bytes, index;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* what follows */
static FILE *map, *dump;
static uint64_t dumped;
uint32_t perf_wanted;

/* A link that somebody left under the name is not followed. */
static FILE *create(const char *path, struct bp_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");

    if (!file) {
        bp_fail(err, errno, "cannot write '%s' for perf: %m", path);
        if (fd >= 0)
            close(fd);
    }
    return file;
}

static uint64_t timestamp(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct piece {
    const uint8_t *code; /* as it is written */
    const uint8_t *at;   /* where it runs */
    size_t size;
    char name[48];
};

static void name_in_map(const struct piece *p)
{
    fprintf(map, "%" PRIxPTR " %zx %s\n", (uintptr_t)p->at, p->size, p->name);
    fflush(map);
}

static void keep_in_dump(const struct piece *p)
{
    struct dump_load load = {.id = JIT_CODE_LOAD, .timestamp = timestamp(), .pid = (uint32_t)getpid(),
                             .tid = (uint32_t)syscall(SYS_gettid), .vma = (uintptr_t)p->at,
                             .address = (uintptr_t)p->at, .bytes = p->size, .index = dumped++};
    size_t length = strlen(p->name) + 1;

    load.size = (uint32_t)(sizeof(load) + length + p->size);
    fwrite(&load, sizeof(load), 1, dump);
    fwrite(p->name, length, 1, dump);
    fwrite(p->code, p->size, 1, dump);
    fflush(dump);
}

static struct piece piece_of(const struct tcg_cpu *c, const uint8_t *code, size_t size, const char *kind,
                             uint64_t linear)
{
    struct piece p = {.code = code, .at = code + c->exec_delta, .size = size};

    snprintf(p.name, sizeof(p.name), "%s-%" PRIx64, kind, linear);
    return p;
}

/* Those who are there already. */
static void tell_thunks(const struct tcg_cpu *cpus, void (*tell)(const struct piece *p))
{
    perf_wanted = 1;
    for (const struct tcg_cpu *c = cpus; c; c = c->next) {
        struct piece p = piece_of(c, c->buffer, c->thunk_size, "thunks", 0);

        tell(&p);
    }
}

int perf_map_begin(const struct tcg_cpu *cpus, struct bp_error *err)
{
    char path[64];

    if (map)
        return 0;
    snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
    map = create(path, err);
    if (!map)
        return -EIO;
    tell_thunks(cpus, name_in_map);
    return 0;
}

int perf_dump_begin(const struct tcg_cpu *cpus, struct bp_error *err)
{
    struct dump_header head = {.magic = JITDUMP_MAGIC, .version = 1, .size = sizeof(head), .machine = EM_AMD64,
                               .pid = (uint32_t)getpid(), .timestamp = timestamp()};
    char path[64];

    if (dump)
        return 0;
    snprintf(path, sizeof(path), "jit-%d.dump", (int)getpid());
    dump = create(path, err);
    if (!dump)
        return -EIO;
    fwrite(&head, sizeof(head), 1, dump);
    fflush(dump);
    /* How perf learns of the file: an executable mapping of it. */
    if (mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_EXEC, MAP_PRIVATE, fileno(dump), 0) == MAP_FAILED)
        return bp_fail(err, errno, "cannot map '%s' for perf: %m", path);
    tell_thunks(cpus, keep_in_dump);
    return 0;
}

void perf_code(const struct tcg_cpu *c, const uint8_t *code, size_t size, const char *kind, uint64_t linear)
{
    struct piece p = piece_of(c, code, size, kind, linear);

    pthread_mutex_lock(&lock);
    if (map)
        name_in_map(&p);
    if (dump)
        keep_in_dump(&p);
    pthread_mutex_unlock(&lock);
}
