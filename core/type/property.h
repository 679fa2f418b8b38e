/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Properties as fields of a struct: what object.c needs of property.c. */
#ifndef BPC_PROPERTY_H
#define BPC_PROPERTY_H

#include "object.h"

int bpc_property_set_default(struct bp_object *obj, const struct bpc_prop *prop,
                             struct bp_error *err);
/* Frees strings, values and references that the fields of a table own. */
void bpc_property_free_all(const struct bpc_prop_set *set);

#endif
