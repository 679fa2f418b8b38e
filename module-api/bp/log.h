/* SPDX-License-Identifier: MIT */
/*
 * Log and messages. What a guest does wrong goes to bp_guest_error() and is never fatal; what the
 * user should know goes to bp_warn(). Nothing here blocks. [any]
 */
#ifndef BP_LOG_H
#define BP_LOG_H

#include <bp/base.h>

BP_BEGIN_DECLS

/* Log items of `-d`. The core owns the mask; bp_log_mask() is a plain load. */
enum bp_log_item {
    BP_LOG_OUT_ASM = 1u << 0,
    BP_LOG_IN_ASM = 1u << 1,
    BP_LOG_OP = 1u << 2,
    BP_LOG_INT = 1u << 4,
    BP_LOG_EXEC = 1u << 5,
    BP_LOG_CPU = 1u << 8,
    BP_LOG_RESET = 1u << 9,
    BP_LOG_UNIMP = 1u << 10,
    BP_LOG_GUEST_ERROR = 1u << 11,
    BP_LOG_MMU = 1u << 12,
    BP_LOG_NOCHAIN = 1u << 13, /* shows nothing itself: no block leads to the next one without a look at BP_LOG_EXEC */
    BP_LOG_PAGE = 1u << 14,
    BP_LOG_TRACE = 1u << 15,
    BP_LOG_SLOW = 1u << 16, /* callbacks that hold up others */
    BP_LOG_PCALL = 1u << 17, /* far calls, jumps and returns, and task switches, of protected mode */
};

extern uint32_t bp_log_enabled; /* read only for modules */
static inline bool bp_log_on(uint32_t items)
{
    return (bp_log_enabled & items) != 0;
}

/* Writes to the log (`-D` file or standard error) when one of `items` is enabled. */
void bp_log(uint32_t items, const char *fmt, ...) BP_PRINTF(2, 3);
/* A guest did something wrong. Counted per `kind` (a string constant), logged once per kind under
 * `-d guest_errors`. */
void bp_guest_error(const char *kind, const char *fmt, ...) BP_PRINTF(2, 3);
/* A warning or a note for the user, one line, prefixed with the program's name. */
void bp_warn(const char *fmt, ...) BP_PRINTF(1, 2);
void bp_info(const char *fmt, ...) BP_PRINTF(1, 2);

BP_END_DECLS

#endif
