/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kinds of what modules provide, by their names in notes. [any] */
#ifndef CATALOGUE_KINDS_H
#define CATALOGUE_KINDS_H

#include <bp/module.h>

const char *kind_name(enum bp_provide_kind kind); /* "device"; "nothing": no such kind */
enum bp_provide_kind kind_from_name(const char *text, size_t length); /* BP_PROVIDE_END: none */
/* The name under which a descriptor is announced ("isa-serial"; interfaces: "isa/1"); malloc'd. NULL:
 * it has none. */
char *kind_provided_name(enum bp_provide_kind kind, const void *desc);

#endif
