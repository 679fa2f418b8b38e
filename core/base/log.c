/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Log and messages (bp/log.h). Each call writes whole lines under one lock, so that lines of
 * several threads do not mix.
 */
#include "log.h"
#include "trace.h"

#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_KINDS 4096 /* counted separately; kinds are constants of modules, so this is plenty */

uint32_t bp_log_enabled;

const struct bpc_log_item bpc_log_items[] = {
    {"in_asm", BP_LOG_IN_ASM, "show guest code for each block that is made ready to run"},
    {"int", BP_LOG_INT, "show interrupts and exceptions in short format"},
    {"cpu_reset", BP_LOG_RESET, "show CPU state before CPU resets"},
    {"unimp", BP_LOG_UNIMP, "log accesses to features that are not provided"},
    {"guest_errors", BP_LOG_GUEST_ERROR, "log when the guest does something invalid"},
    {"slow", BP_LOG_SLOW, "log callbacks that hold up their context for more than 10 ms"},
    {"out_asm", BP_LOG_OUT_ASM, "show host code for each block that is translated"},
    {"exec", BP_LOG_EXEC, "show each block that runs; without nochain, not those that the one before leads to"},
    {"nochain", BP_LOG_NOCHAIN, "do not let blocks lead to each other, so that exec shows them all"},
    {"cpu", BP_LOG_CPU, "show registers before each block that exec shows"},
    {"mmu", BP_LOG_MMU, "show what linear addresses are found to be, page by page"},
    {"pcall", BP_LOG_PCALL, "show far calls, jumps, returns and task switches of protected mode"},
    {"op", BP_LOG_OP, "show what the translator makes of each instruction of a block"},
    {"page", BP_LOG_PAGE, "show the memory layout of each address space whenever it has changed"},
    {"op_opt", 0, "an intermediate code, which the translator does without"},
    {"op_ind", 0, "an intermediate code, which the translator does without"},
    {"plugin", 0, "plugins of the translator"},
    {"fpu", 0, "a log of registers before each block"},
    {"vpu", 0, "a log of registers before each block"},
    {"strace", 0, "emulation of single programs"},
    {"tid", 0, "a log file for each thread"},
    {NULL, 0, NULL},
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* what follows */
static FILE *log_stream; /* NULL: standard error */
static char *program_name, *guest_name;
static bool timestamps;
static GHashTable *guest_errors; /* kind to uint64_t * */
static uint64_t guest_error_total;

int bpc_log_parse(const char *text, uint32_t *ret_mask, struct bp_error *err)
{
    uint32_t mask = 0;
    char **items = g_strsplit(text, ",", -1);
    for (char **item = items; *item; item++) {
        const struct bpc_log_item *known = bpc_log_items;
        if (!**item)
            continue;
        if (!strcmp(*item, "all")) {
            for (; known->name; known++)
                mask |= known->mask;
            continue;
        }
        if (g_str_has_prefix(*item, "trace:")) {
            int ret = bp_trace_enable(*item + strlen("trace:"), true, err);
            if (ret == 0)
                continue;
            g_strfreev(items);
            return ret;
        }
        while (known->name && strcmp(known->name, *item))
            known++;
        if (known->name && known->mask == 0) {
            int ret = bp_fail(err, ENOTSUP, "log item '%s' is not built yet: %s", *item, known->help);
            g_strfreev(items);
            return ret;
        }
        if (!known->name) {
            GString *accepted = g_string_new(NULL);
            for (known = bpc_log_items; known->name && known->mask; known++)
                g_string_append_printf(accepted, "%s, ", known->name);
            int ret = bp_fail(err, EINVAL, "Unknown log item '%s'; accepted are %strace:PATTERN, all", *item,
                              accepted->str);
            g_string_free(accepted, TRUE);
            g_strfreev(items);
            return ret;
        }
        mask |= known->mask;
    }
    g_strfreev(items);
    *ret_mask = mask;
    return 0;
}

void bpc_log_set(uint32_t mask)
{
    __atomic_store_n(&bp_log_enabled, mask, __ATOMIC_RELAXED);
}

/* Only "%d" (once) and "%%" have a meaning; anything else after "%" is refused. */
static int expand_path(const char *path, char **ret_path, struct bp_error *err)
{
    GString *out = g_string_new(NULL);
    unsigned ids = 0;
    for (const char *p = path; *p; p++) {
        if (*p != '%') {
            g_string_append_c(out, *p);
        } else if (p[1] == '%') {
            g_string_append_c(out, '%');
            p++;
        } else if (p[1] == 'd' && ids++ == 0) {
            g_string_append_printf(out, "%d", (int)getpid());
            p++;
        } else {
            g_string_free(out, TRUE);
            return bp_fail(err, EINVAL,
                           "Bad log file name '%s': only one %%d (process id) is "
                           "accepted after %%",
                           path);
        }
    }
    *ret_path = g_string_free(out, FALSE);
    return 0;
}

int bpc_log_file(const char *path, struct bp_error *err)
{
    FILE *stream = NULL;
    if (path) {
        char *name = NULL;
        int ret = expand_path(path, &name, err);
        if (ret < 0)
            return ret;
        stream = fopen(name, "we");
        if (!stream) {
            int code = errno;
            ret = bp_fail(err, code, "Cannot open log file '%s': %s", name, g_strerror(code));
            g_free(name);
            return ret;
        }
        g_free(name);
        setvbuf(stream, NULL, _IOLBF, 0);
    }
    pthread_mutex_lock(&lock);
    FILE *old = log_stream;
    log_stream = stream;
    pthread_mutex_unlock(&lock);
    if (old)
        fclose(old);
    return 0;
}

static void BP_PRINTF(1, 0) vlog(const char *fmt, va_list ap)
{
    pthread_mutex_lock(&lock);
    vfprintf(log_stream ? log_stream : stderr, fmt, ap);
    pthread_mutex_unlock(&lock);
}

void bpc_log_write(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vlog(fmt, ap);
    va_end(ap);
}

void bp_log(uint32_t items, const char *fmt, ...)
{
    if (!bp_log_on(items))
        return;
    va_list ap;
    va_start(ap, fmt);
    vlog(fmt, ap);
    va_end(ap);
}

void bp_guest_error(const char *kind, const char *fmt, ...)
{
    bool first = false;
    pthread_mutex_lock(&lock);
    guest_error_total++;
    if (!guest_errors)
        guest_errors = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    uint64_t *count = g_hash_table_lookup(guest_errors, kind);
    if (!count && g_hash_table_size(guest_errors) < MAX_KINDS) {
        count = g_new0(uint64_t, 1);
        g_hash_table_insert(guest_errors, g_strdup(kind), count);
        first = true;
    }
    if (count)
        ++*count;
    pthread_mutex_unlock(&lock);
    if (!first || !bp_log_on(BP_LOG_GUEST_ERROR))
        return;
    va_list ap;
    va_start(ap, fmt);
    char *text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    size_t len = strlen(text);
    bp_log(BP_LOG_GUEST_ERROR, "%s: %s%s", kind, text, len && text[len - 1] == '\n' ? "" : "\n");
    g_free(text);
}

uint64_t bpc_guest_error_count(const char *kind)
{
    pthread_mutex_lock(&lock);
    uint64_t n = guest_error_total;
    if (kind) {
        uint64_t *count = guest_errors ? g_hash_table_lookup(guest_errors, kind) : NULL;
        n = count ? *count : 0;
    }
    pthread_mutex_unlock(&lock);
    return n;
}

static void replace(char **place, char *name)
{
    pthread_mutex_lock(&lock);
    char *old = *place;
    *place = name;
    pthread_mutex_unlock(&lock);
    g_free(old);
}

void bpc_program_name_set(const char *name)
{
    replace(&program_name, g_path_get_basename(name));
}

const char *bpc_program_name(void)
{
    return program_name ? program_name : "backplane";
}

void bpc_msg_timestamp(bool on)
{
    pthread_mutex_lock(&lock);
    timestamps = on;
    pthread_mutex_unlock(&lock);
}

void bpc_msg_guest_name(const char *name)
{
    replace(&guest_name, g_strdup(name));
}

static void BP_PRINTF(2, 0) message(const char *mark, const char *fmt, va_list ap)
{
    pthread_mutex_lock(&lock);
    GString *line = g_string_new(NULL);
    if (timestamps) {
        int64_t now = g_get_real_time();
        GDateTime *time = g_date_time_new_from_unix_utc(now / G_USEC_PER_SEC);
        char *text = g_date_time_format(time, "%Y-%m-%dT%H:%M:%S");
        g_string_append_printf(line, "%s.%06dZ ", text, (int)(now % G_USEC_PER_SEC));
        g_free(text);
        g_date_time_unref(time);
    }
    if (guest_name)
        g_string_append_printf(line, "%s ", guest_name);
    g_string_append_printf(line, "%s: %s", bpc_program_name(), mark);
    g_string_append_vprintf(line, fmt, ap);
    if (line->str[line->len - 1] != '\n')
        g_string_append_c(line, '\n');
    fputs(line->str, stderr);
    g_string_free(line, TRUE);
    pthread_mutex_unlock(&lock);
}

void bp_warn(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    message("warning: ", fmt, ap);
    va_end(ap);
}

void bp_info(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    message("info: ", fmt, ap);
    va_end(ap);
}

void bpc_report(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    message("", fmt, ap);
    va_end(ap);
}
