/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where trace points go: the log, a binary file (its format: docs/tracing.md), the kernel's trace_marker (Linux,
 * Documentation/trace/ftrace.rst). Left out: tracefs instances, SystemTap, LTTng.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <bp/log.h>

#include "trace.h"

#define FILE_MAGIC "BPTRACE\n"
#define FILE_VERSION 1u
#define NAME_RECORD 0x80000000u /* in `point`: the text is the name of this number */
#define MARKER_MAX 1000u        /* bytes; the kernel cuts at a page less its head */

struct file_header {
    char magic[8];
    uint32_t version, header_size;
};

struct record {
    uint32_t length; /* of the text behind it, in bytes */
    uint32_t point, thread, reserved;
    uint64_t time_ns; /* CLOCK_REALTIME */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* what follows */
static FILE *file;
static char *file_path;
static bool file_on;
static uint8_t *named; /* a bit for each point whose name is in the file */
static size_t named_size; /* bytes */
static int marker = -1;
static unsigned used; /* BIT(enum trace_backend) */

/* ---- the file ---- */

static bool put(uint32_t point, uint32_t thread, uint64_t time_ns, const char *text)
{
    size_t length = strlen(text);
    const struct record r = {htole32((uint32_t)length), htole32(point), htole32(thread), 0, htole64(time_ns)};

    return fwrite(&r, sizeof(r), 1, file) == 1 && (!length || fwrite(text, length, 1, file) == 1);
}

static bool name_is_there(uint32_t number)
{
    size_t need = number / 8 + 1;

    if (named_size < need) {
        named = bp_realloc(named, need + 64);
        memset(named + named_size, 0, need + 64 - named_size);
        named_size = need + 64;
    }
    return named[number / 8] & (1u << number % 8);
}

static void write_file(const struct bp_trace_point *point, const char *text)
{
    struct timespec now;
    bool good = true;

    clock_gettime(CLOCK_REALTIME, &now);
    if (!name_is_there(point->number)) {
        good = put(point->number | NAME_RECORD, 0, 0, point->name);
        named[point->number / 8] |= (uint8_t)(1u << point->number % 8);
    }
    if (good && put(point->number, (uint32_t)syscall(SYS_gettid),
                    (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec, text))
        return;
    file_on = false;
    bp_warn("trace file %s: %s; no more is written to it", file_path, strerror(errno));
}

int output_set_file(const char *path, struct bp_error *err)
{
    const struct file_header header = {FILE_MAGIC, htole32(FILE_VERSION), htole32(sizeof(header))};
    FILE *new_file = fopen(path, "wbe"), *old;

    if (!new_file)
        return bp_fail(err, errno, "cannot write trace file '%s': %s", path, strerror(errno));
    if (fwrite(&header, sizeof(header), 1, new_file) != 1 || fflush(new_file) != 0) {
        int code = errno;

        fclose(new_file);
        return bp_fail(err, code, "cannot write trace file '%s': %s", path, strerror(code));
    }
    pthread_mutex_lock(&lock);
    old = file;
    file = new_file;
    free(file_path);
    file_path = bp_strdup(path);
    if (named)
        memset(named, 0, named_size);
    file_on = true;
    pthread_mutex_unlock(&lock);
    if (old)
        fclose(old);
    return 0;
}

void output_switch_file(bool on)
{
    pthread_mutex_lock(&lock);
    file_on = on;
    pthread_mutex_unlock(&lock);
}

bool output_file_on(void)
{
    bool on;

    pthread_mutex_lock(&lock);
    on = file && file_on;
    pthread_mutex_unlock(&lock);
    return on;
}

const char *output_file(void)
{
    return file_path;
}

int output_flush(struct bp_error *err)
{
    int ret = 0;

    pthread_mutex_lock(&lock);
    if (file && fflush(file) != 0)
        ret = bp_fail(err, errno, "trace file %s: %s", file_path, strerror(errno));
    pthread_mutex_unlock(&lock);
    return ret;
}

/* ---- the kernel's buffer ---- */

/* The first tracefs that is mounted; malloc'd. */
static char *find_tracefs(void)
{
    FILE *mounts = fopen("/proc/self/mounts", "re");
    char line[1024], path[512], type[64];
    char *found = NULL;

    while (mounts && !found && fgets(line, sizeof(line), mounts))
        if (sscanf(line, "%*s %511s %63s", path, type) == 2 && strcmp(type, "tracefs") == 0)
            found = bp_strdup(path);
    if (mounts)
        fclose(mounts);
    return found;
}

static int open_marker(struct bp_error *err)
{
    char *tracefs = find_tracefs(), path[600];

    if (!tracefs)
        return bp_fail(err, ENOENT, "ftrace needs the kernel's tracefs, which is not mounted here; root mounts "
                       "it with: mount -t tracefs nodev /sys/kernel/tracing");
    snprintf(path, sizeof(path), "%s/trace_marker", tracefs);
    free(tracefs);
    marker = open(path, O_WRONLY | O_CLOEXEC);
    if (marker < 0)
        return bp_fail(err, errno, "ftrace: cannot open %s: %s", path, strerror(errno));
    return 0;
}

static void write_marker(const struct bp_trace_point *point, const char *text)
{
    char line[MARKER_MAX];
    int n = snprintf(line, sizeof(line), "%s %s\n", point->name, text);

    if (n >= (int)sizeof(line))
        n = (int)sizeof(line) - 1;
    /* -EBADF: tracing is off (tracing_on is 0). Nobody waits for it. */
    if (write(marker, line, (size_t)n) < 0)
        return;
}

/* ---- which of them ---- */

static void passed(const struct bp_trace_point *point, const char *text)
{
    bool log;

    pthread_mutex_lock(&lock);
    log = used & (1u << TRACE_LOG);
    if ((used & (1u << TRACE_SIMPLE)) && file && file_on)
        write_file(point, text);
    if ((used & (1u << TRACE_FTRACE)) && marker >= 0)
        write_marker(point, text);
    pthread_mutex_unlock(&lock);
    if (log)
        bp_trace_log(point, text);
}

int output_use(enum trace_backend backend, struct bp_error *err)
{
    if (backend == TRACE_SIMPLE && !file)
        return bp_fail(err, EINVAL, "backend=simple needs a file: file=FILE");
    if (backend == TRACE_FTRACE && marker < 0) {
        int ret = open_marker(err);

        if (ret < 0)
            return ret;
    }
    pthread_mutex_lock(&lock);
    used |= 1u << backend;
    pthread_mutex_unlock(&lock);
    bp_trace_set_output(passed);
    return 0;
}

void output_close(void)
{
    bp_trace_set_output(NULL);
    bp_trace_enable("*", false, NULL);
    pthread_mutex_lock(&lock);
    used = 0;
    if (file && fclose(file) != 0)
        bp_warn("trace file %s: %s", file_path, strerror(errno));
    file = NULL;
    if (marker >= 0)
        close(marker);
    marker = -1;
    free(file_path);
    free(named);
    file_path = NULL;
    named = NULL;
    named_size = 0;
    pthread_mutex_unlock(&lock);
}
