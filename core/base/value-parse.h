/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the JSON parser and the constructors of values share. */
#ifndef BPC_VALUE_PARSE_H
#define BPC_VALUE_PARSE_H

#include <json-c/json.h>

#include <bp/value.h>

#define BPC_VALUE_DEPTH 1024 /* lists and dicts inside each other */

/* json-c's null is a NULL pointer; ours is this address, which is never dereferenced. */
struct bp_value *bpc_value_wrap(struct json_object *json);
/* Borrowed; gives NULL for null. */
struct json_object *bpc_value_json(const struct bp_value *v);

#endif
