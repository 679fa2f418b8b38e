/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kinds by number. Those that the core knows have the numbers of enum bp_provide_kind; each other one
 * (bp/kind.h) gets the next number after BP_PROVIDE_OTHER when its name is first mentioned, whether or
 * not somebody has declared it. Numbers are of this process; files have names. [main]
 */
#ifndef BPC_KIND_H
#define BPC_KIND_H

#include <bp/kind.h>

const char *bpc_kind_name(enum bp_provide_kind kind); /* "device" as in notes; "nothing" */
/* BP_PROVIDE_END: no name of a kind: those have a lower-case letter, then letters, digits and '-'. */
enum bp_provide_kind bpc_kind_from_name(const char *text, size_t len);
/* Is it one that the core knows? */
static inline bool bpc_kind_is_core(enum bp_provide_kind kind)
{
    return (unsigned)kind < BP_PROVIDE_OTHER;
}
/* Are its members classes, which open with a bp_type_info? */
bool bpc_kind_has_types(enum bp_provide_kind kind);
/* What is said of a kind, by the core or by its framework; loads nothing. NULL: nobody declared it. */
const struct bp_kind *bpc_kind(enum bp_provide_kind kind);
/* The kind whose members an option's first word names ("device"); BP_PROVIDE_END: none. */
enum bp_provide_kind bpc_kind_of_option(const char *option);
/* The core's kinds that have types, then those of frameworks, by name. */
void bpc_each_kind(void (*fn)(enum bp_provide_kind number, const struct bp_kind *kind, void *opaque),
                   void *opaque);
/* What the public type name of a member has behind its name ("-machine"), or "". */
const char *bpc_kind_suffix(enum bp_provide_kind kind);

/* A descriptor of the core's kinds: bytes of today's, and how many make sense at all. */
size_t bpc_kind_size(enum bp_provide_kind kind);
size_t bpc_kind_least(enum bp_provide_kind kind);
unsigned bpc_kind_count(void); /* all numbers are below */

#endif
