/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Trace points (bp/trace.h): which are on, and where they go. A point becomes known when it is passed for the first
 * time, so that modules register nothing.
 */
#include "trace.h"
#include "log.h"

#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bp/log.h>

#define MAX_PATTERNS 4096u
#define MAX_PATTERN 128u /* bytes */
#define MAX_TEXT 1024u

#define DEFINE(IDENT, NAME, FORMAT) struct bp_trace_point IDENT = {NAME, FORMAT, BP_TRACE_UNASKED, 0, NULL};
BPC_TRACE_POINTS(DEFINE)
#define LIST(IDENT, NAME, FORMAT) &IDENT,
struct bp_trace_point *const bpc_trace_points[] = {BPC_TRACE_POINTS(LIST) NULL};

struct pattern {
    char *text;
    bool on;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* what follows */
static GArray *patterns; /* struct pattern; the last that matches counts */
static struct bp_trace_point *known;
static uint32_t known_count;

static void (*output)(const struct bp_trace_point *point, const char *text); /* atomic */

bool bpc_trace_matches(const char *pattern, const char *name)
{
    return g_pattern_match_simple(pattern, name);
}

static bool wanted(const char *name)
{
    for (guint i = patterns ? patterns->len : 0; i-- > 0;) {
        const struct pattern *p = &g_array_index(patterns, struct pattern, i);
        if (bpc_trace_matches(p->text, name))
            return p->on;
    }
    return false;
}

bool bp_trace_enabled(const char *name)
{
    pthread_mutex_lock(&lock);
    bool on = wanted(name);
    pthread_mutex_unlock(&lock);
    return on;
}

bool bp_trace_on(struct bp_trace_point *point)
{
    if (__atomic_load_n(&point->state, __ATOMIC_RELAXED) == BP_TRACE_UNASKED) {
        pthread_mutex_lock(&lock);
        if (!point->number) {
            point->number = ++known_count;
            point->next = known;
            known = point;
        }
        __atomic_store_n(&point->state, wanted(point->name) ? BP_TRACE_ON : BP_TRACE_OFF, __ATOMIC_RELEASE);
        pthread_mutex_unlock(&lock);
    }
    return __atomic_load_n(&point->state, __ATOMIC_ACQUIRE) == BP_TRACE_ON;
}

int bp_trace_enable(const char *pattern, bool on, struct bp_error *err)
{
    int ret = 0;

    if (!*pattern || strlen(pattern) > MAX_PATTERN)
        return bp_fail(err, EINVAL, "the name of a trace point, or a pattern of such, has 1 to %u characters",
                       MAX_PATTERN);
    pthread_mutex_lock(&lock);
    if (!patterns)
        patterns = g_array_new(FALSE, FALSE, sizeof(struct pattern));
    for (guint i = 0; i < patterns->len; i++) {
        struct pattern *p = &g_array_index(patterns, struct pattern, i);
        if (strcmp(p->text, pattern) == 0) { /* said again: it moves to the end */
            g_free(p->text);
            g_array_remove_index(patterns, i);
            break;
        }
    }
    if (patterns->len < MAX_PATTERNS) {
        const struct pattern p = {g_strdup(pattern), on};
        g_array_append_val(patterns, p);
    } else {
        ret = bp_fail(err, ENOSPC, "there are %u patterns of trace points already; '*' would be one for all",
                      MAX_PATTERNS);
    }
    for (struct bp_trace_point *p = known; p; p = p->next)
        __atomic_store_n(&p->state, wanted(p->name) ? BP_TRACE_ON : BP_TRACE_OFF, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);
    return ret;
}

void bp_trace_set_output(void (*fn)(const struct bp_trace_point *point, const char *text))
{
    __atomic_store_n(&output, fn, __ATOMIC_RELEASE);
}

void bp_trace_log(const struct bp_trace_point *point, const char *text)
{
    int64_t now = g_get_real_time();
    bpc_log_write("%d@%lld.%06d:%s %s\n", (int)getpid(), (long long)(now / G_USEC_PER_SEC),
                  (int)(now % G_USEC_PER_SEC), point->name, text);
}

void bp_trace_passed(struct bp_trace_point *point, const char *format, ...)
{
    void (*fn)(const struct bp_trace_point *, const char *) = __atomic_load_n(&output, __ATOMIC_ACQUIRE);
    char text[MAX_TEXT];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    for (char *c = text; *c; c++) /* names may come from a client: one line stays one */
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    (fn ? fn : bp_trace_log)(point, text);
}
