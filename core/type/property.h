/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Properties as fields of a struct: what object.c needs of property.c. */
#ifndef BPC_PROPERTY_H
#define BPC_PROPERTY_H

#include "object.h"

int bpc_property_set_default(const struct bpc_prop *prop, struct bp_error *err);
/* The property of a part as the whole calls it: its name, and what the part says. Lasts for ever. */
const struct bp_field *bpc_property_forwarded(const struct bp_field *whole,
                                              const struct bp_field *part);
/* Frees strings, values and references that the fields of a table own. */
void bpc_property_free_all(const struct bpc_prop_set *set);

#endif
