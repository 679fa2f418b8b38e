/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The C structures that descriptors are made of, as shapes (bp/kind.h): where their plain members and
 * their pointers are, and what those point to. Those of the core's kinds stand here; those of
 * frameworks' kinds come with each descriptor. describe.c walks them; what no slot names is left out of
 * a copy (zero, NULL). [any]
 */
#ifndef CATALOGUE_LAYOUT_H
#define CATALOGUE_LAYOUT_H

#include <bp/kind.h>

/* The descriptor of one of the core's kinds; NULL when it knows no such kind. */
const struct bp_shape *layout_of_kind(enum bp_provide_kind kind);
extern const struct bp_shape layout_field, layout_schema, layout_type;
/* Is a finished copy of such a structure (pointers usable) fit to be handed out? A shape that was read
 * from a file is one of those structures: it may be walked by only after this. */
bool layout_check(const struct bp_shape *shape, const void *copy);
/* Is this a kind's shape: does it open with a bp_type_info? Of a copy that passed layout_check(). */
bool layout_is_class(const struct bp_shape *shape);
/* Hash over all layouts and the ABI's numbers. */
uint64_t layout_hash(void);

#endif
