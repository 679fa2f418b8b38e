/* SPDX-License-Identifier: MIT */
/*
 * Trace points: places in the code that tell, when the user asks by -trace, that they were passed, and with what.
 *
 *     BP_TRACE_POINT(lamp_lit, "lamp_lit", "lamp %s, %u lumen");
 *     ...
 *     bp_trace(lamp_lit, name, lumen);
 *
 * The macro makes the point, private to its file, and the note "provides=trace:NAME", by which `-trace help` lists the
 * points of every module without loading any. Names are small letters, digits and '_', with the module's subject first;
 * two modules may have a point of one name, and both are meant by it. One that is off costs a load and a branch; its
 * arguments are not evaluated then.
 */
#ifndef BP_TRACE_H
#define BP_TRACE_H

#include <bp/error.h>
#include <bp/module.h>

BP_BEGIN_DECLS

enum bp_trace_state {
    BP_TRACE_OFF,
    BP_TRACE_ON,
    BP_TRACE_UNASKED, /* nobody has passed it yet: the first one asks what the patterns say */
};

struct bp_trace_point {
    const char *name, *format;
    uint32_t state; /* enum bp_trace_state; the core's, atomic */
    uint32_t number; /* the core's: counts from 1 when first passed */
    struct bp_trace_point *next; /* the core's */
};

/* FORMAT is as for printf(), one line without its end; the compiler checks bp_trace()'s arguments by it. */
#define BP_TRACE_POINT(ident, NAME, FORMAT) \
    BP_NOTE("provides=trace:" NAME ";summary=" FORMAT); \
    BP_TRACE_POINT_UNLISTED(static, ident, NAME, FORMAT)
/* Without the note. */
#define BP_TRACE_POINT_UNLISTED(STORAGE, ident, NAME, FORMAT) \
    static const char ident##_format[] BP_UNUSED = FORMAT; \
    STORAGE struct bp_trace_point ident = {NAME, FORMAT, BP_TRACE_UNASKED, 0, NULL}

/* Passes a point, with at least one argument. [any] */
#define bp_trace(ident, ...) \
    do { \
        if (__builtin_expect(__atomic_load_n(&(ident).state, __ATOMIC_RELAXED) != BP_TRACE_OFF, 0) && \
            bp_trace_on(&(ident))) \
            bp_trace_passed(&(ident), ident##_format, __VA_ARGS__); \
    } while (0)
/* Is it on? For what only serves to make arguments; makes an unasked one known. [any] */
bool bp_trace_on(struct bp_trace_point *point);
/* What bp_trace() calls. Text beyond 1023 bytes is cut. [any] */
void bp_trace_passed(struct bp_trace_point *point, const char *format, ...) BP_PRINTF(2, 3);

/* ---- for who controls them (-trace, monitors) ---- */

/* Points whose names match (`*` and `?` stand for any text, any one character) are on or off from now on, those of
 * modules that come later too; of several patterns the last one counts. -EINVAL: empty or longer than 128 bytes;
 * -ENOSPC: there are 4096 patterns. [any] */
int bp_trace_enable(const char *pattern, bool on, struct bp_error *err);
/* What the patterns say of a name. [any] */
bool bp_trace_enabled(const char *name);
/* Calls fn for each point of the core and of modules on disk whose name matches (NULL: for all), by name; returns how
 * many there are. fn may be NULL. [main] */
unsigned bp_trace_each(const char *pattern, void (*fn)(const char *name, const char *format, void *opaque),
                       void *opaque);
/* Where points go from now on; NULL, as in the beginning: bp_trace_log(). fn is called on any thread, several at a
 * time, with the core's locks of whoever passed the point: it only writes. [any] */
void bp_trace_set_output(void (*fn)(const struct bp_trace_point *point, const char *text));
/* One line of the log (-D): "PID@SECONDS.MICROSECONDS:NAME TEXT". [any] */
void bp_trace_log(const struct bp_trace_point *point, const char *text);

BP_END_DECLS

#endif
