/* SPDX-License-Identifier: MIT */
/*
 * Values: JSON as data (RFC 8259). A value is reference counted; a container owns its members.
 * Integers keep the full ranges of int64_t and uint64_t. [any], one thread at a time for one tree.
 */
#ifndef BP_VALUE_H
#define BP_VALUE_H

#include <bp/error.h>

BP_BEGIN_DECLS

struct bp_value; /* opaque */

enum bp_value_type {
    BP_VALUE_NULL,
    BP_VALUE_BOOL,
    BP_VALUE_INT, /* any integer in INT64_MIN..UINT64_MAX */
    BP_VALUE_DOUBLE,
    BP_VALUE_STRING,
    BP_VALUE_LIST,
    BP_VALUE_DICT,
};

/* Constructors return a new reference, never NULL (memory exhaustion ends the program). */
struct bp_value *bp_value_null(void);
struct bp_value *bp_value_bool(bool v);
struct bp_value *bp_value_int(int64_t v);
struct bp_value *bp_value_uint(uint64_t v);
struct bp_value *bp_value_double(double v);
struct bp_value *bp_value_string(const char *s);
struct bp_value *bp_value_string_printf(const char *fmt, ...) BP_PRINTF(1, 2);
struct bp_value *bp_value_list(void);
struct bp_value *bp_value_dict(void);
struct bp_value *bp_value_ref(struct bp_value *v); /* NULL gives NULL */
void bp_value_unref(struct bp_value *v);           /* NULL is fine */
struct bp_value *bp_value_copy(const struct bp_value *v); /* deep copy */
bool bp_value_equal(const struct bp_value *a, const struct bp_value *b);

enum bp_value_type bp_value_type(const struct bp_value *v);
const char *bp_value_type_name(enum bp_value_type type);
/* Getters return the fallback (false, 0, NULL) when the type differs; the *_get forms report it. */
bool bp_value_as_bool(const struct bp_value *v);
int64_t bp_value_as_int(const struct bp_value *v);
uint64_t bp_value_as_uint(const struct bp_value *v);
double bp_value_as_double(const struct bp_value *v);
const char *bp_value_as_string(const struct bp_value *v); /* borrowed */
bool bp_value_is_negative(const struct bp_value *v);      /* of an integer */

size_t bp_value_length(const struct bp_value *v); /* members of a list or dict, else 0 */
struct bp_value *bp_value_at(const struct bp_value *list, size_t index);          /* borrowed */
struct bp_value *bp_value_get(const struct bp_value *dict, const char *key);      /* borrowed or NULL */
const char *bp_value_get_string(const struct bp_value *dict, const char *key);    /* borrowed or NULL */
bool bp_value_has(const struct bp_value *dict, const char *key);
/* Takes the reference to `member`. Setting an existing key replaces it. */
void bp_value_append(struct bp_value *list, struct bp_value *member);
void bp_value_set(struct bp_value *dict, const char *key, struct bp_value *member);
void bp_value_remove(struct bp_value *dict, const char *key);
/* Calls `fn` for each member of a dict in the order of insertion; stops at the first non-zero
 * return and returns it. The dict must not change meanwhile. */
int bp_value_each(const struct bp_value *dict,
                  int (*fn)(const char *key, struct bp_value *member, void *opaque), void *opaque);

/* Parses one JSON text of `length` bytes. Trailing white space is allowed, anything else is not. */
int bp_value_parse(const char *text, size_t length, struct bp_value **ret_value,
                   struct bp_error *err);
/* Returns a malloc'd string (caller frees with free()); compact, or pretty with indentation. */
char *bp_value_print(const struct bp_value *v, bool pretty);

BP_END_DECLS

#endif
