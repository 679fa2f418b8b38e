/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kinds of what modules provide, by their names in notes. [any] */
#ifndef CATALOGUE_KINDS_H
#define CATALOGUE_KINDS_H

#include <bp/kind.h>

/* Of the kinds that the core knows. */
const char *kind_name(enum bp_provide_kind kind); /* "device"; NULL: it knows no such kind */
/* The core's kind of that name; BP_PROVIDE_OTHER: a framework's, known here or not; BP_PROVIDE_END: no
 * name of a kind: those have a lower-case letter, then letters, digits and '-', at most 32. */
enum bp_provide_kind kind_from_name(const char *text, size_t length);
/* Of what modules tell of in their notes alone, and which stands in no table: trace points (bp/trace.h). Several
 * modules may have one of a name. */
bool kind_is_noted_only(const char *name);
/* The name under which a descriptor is announced ("isa-serial"; interfaces: "isa/1"); malloc'd. NULL:
 * it has none. `of` is a framework's kind when it is of such a one. */
char *kind_provided_name(enum bp_provide_kind kind, const struct bp_kind *of, const void *desc);

#endif
