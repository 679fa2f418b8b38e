/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The core's own trace points (bp/trace.h). The library has no notes, so that they stand in one list. */
#ifndef BPC_TRACE_H
#define BPC_TRACE_H

#include <bp/trace.h>

#define BPC_TRACE_POINTS(POINT) \
    POINT(bpc_trace_irq_line, "irq_line", "line %s[%u] level %d") \
    POINT(bpc_trace_memory_region_map, "memory_region_map", "region %s in %s offset 0x%llx size 0x%llx priority %d") \
    POINT(bpc_trace_memory_region_unmap, "memory_region_unmap", "region %s") \
    POINT(bpc_trace_qmp_command, "qmp_command", "command %s") \
    POINT(bpc_trace_qmp_error, "qmp_error", "class %s: %s") \
    POINT(bpc_trace_qmp_return, "qmp_return", "command %s") \
    POINT(bpc_trace_run_state, "run_state", "from %u to %u")

#define BPC_TRACE_DECLARE(IDENT, NAME, FORMAT) \
    static const char IDENT##_format[] BP_UNUSED = FORMAT; \
    extern struct bp_trace_point IDENT;
BPC_TRACE_POINTS(BPC_TRACE_DECLARE)

/* All of them; ends with NULL. */
extern struct bp_trace_point *const bpc_trace_points[];
/* Does the text match the pattern of bp_trace_enable()? */
bool bpc_trace_matches(const char *pattern, const char *name);

#endif
