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

int perf_map_begin(struct bp_error *err)
{
    char path[64];

    if (map)
        return 0;
    snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
    map = create(path, err);
    if (!map)
        return -EIO;
    perf_wanted = 1;
    return 0;
}

static uint64_t timestamp(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int perf_dump_begin(struct bp_error *err)
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
    perf_wanted = 1;
    return 0;
}

void perf_code(const struct tcg_cpu *c, const uint8_t *code, size_t size, const char *kind, uint64_t linear)
{
    const uint8_t *at = code + c->exec_delta;
    char name[48];
    int length = snprintf(name, sizeof(name), "%s-%" PRIx64, kind, linear);

    pthread_mutex_lock(&lock);
    if (map) {
        fprintf(map, "%" PRIxPTR " %zx %s\n", (uintptr_t)at, size, name);
        fflush(map);
    }
    if (dump) {
        struct dump_load load = {.id = JIT_CODE_LOAD, .timestamp = timestamp(), .pid = (uint32_t)getpid(),
                                 .tid = (uint32_t)syscall(SYS_gettid), .vma = (uintptr_t)at,
                                 .address = (uintptr_t)at, .bytes = size, .index = dumped++};

        load.size = (uint32_t)(sizeof(load) + (size_t)length + 1 + size);
        fwrite(&load, sizeof(load), 1, dump);
        fwrite(name, (size_t)length + 1, 1, dump);
        fwrite(code, size, 1, dump);
        fflush(dump);
    }
    pthread_mutex_unlock(&lock);
}
