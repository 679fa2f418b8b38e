/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checking values against the tables of bp/schema.h, and text to values. Used for properties,
 * options, commands and events alike. [any]
 */
#ifndef BPC_SCHEMA_H
#define BPC_SCHEMA_H

#include <bp/schema.h>
#include <bp/value.h>

/* Looks a name up in a table (NULL: an empty one). */
const struct bp_field *bpc_schema_find(const struct bp_field *fields, const char *name);
/* Checks one value against a field: type, range, enum, nested schema. `name` stands in errors;
 * NULL: the field's own name. */
int bpc_schema_check(const struct bp_field *field, const struct bp_value *value, const char *name,
                     struct bp_error *err);
/* Checks a dict (NULL: an empty one) against a table: unknown members (unless any_members), missing
 * ones, and each member's value. `where` ("" or NULL at top level) comes before names: "addr.". */
int bpc_schema_check_dict(const struct bp_field *fields, const struct bp_value *dict,
                          bool any_members, const char *where, struct bp_error *err);
/* Turns what a user typed into a value of the field's kind, checked. Structs and lists are taken as
 * JSON. The caller owns *ret_value. */
int bpc_schema_from_text(const struct bp_field *field, const char *text,
                         struct bp_value **ret_value, struct bp_error *err);
/* The same for a value of which scalars may still be text (dicts built from key=value): strings at
 * places of other kinds are converted, the rest is checked. The caller owns *ret_value. */
int bpc_schema_from_loose(const struct bp_field *field, struct bp_value *value,
                          struct bp_value **ret_value, struct bp_error *err);
/* A whole dict of loose values; unknown members are kept as they are with any_members. */
int bpc_schema_dict_from_loose(const struct bp_field *fields, struct bp_value *dict,
                               bool any_members, struct bp_value **ret_dict, struct bp_error *err);

/* The range of an integer kind, narrowed by the field. Signed kinds: *ret_max fits int64_t. */
void bpc_schema_range(const struct bp_field *field, int64_t *ret_min, uint64_t *ret_max);
bool bpc_schema_is_integer(enum bp_field_kind kind); /* sizes too */
bool bpc_schema_is_signed(enum bp_field_kind kind);
/* Index into choices, or -1. */
int bpc_schema_choice(const struct bp_schema *schema, const char *text);
extern const char *const bpc_on_off_auto[]; /* "auto", "on", "off", NULL: as ON_OFF_AUTO counts */

/* How a field's type is called in help and property lists: "uint16", "str", "bool", "size",
 * "link<chardev>", an enum's name, ... Fills buf. */
void bpc_schema_type_name(const struct bp_field *field, char *buf, size_t size);
/* What it accepts, for errors and help: "a boolean (on/off)", "one of a, b, c", "0..255". */
void bpc_schema_accepted(const struct bp_field *field, char *buf, size_t size);
/* Up to three near names of the table, comma separated; "" when none is near. */
void bpc_schema_nearest(const struct bp_field *fields, const char *name, char *buf, size_t size);

#endif
