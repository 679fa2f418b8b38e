/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rules as JSON: {"rules": [{"match": ..., "policy": ..., "format": ...}, ...], "policy": ...}. */
#ifndef RULES_H
#define RULES_H

#include <bp/error.h>
#include <bp/value.h>

struct bp_object;

#define RULES_MOST_BYTES (1u << 20)

/* Is every member of what it should be? `what`: how errors name it. */
int rules_check(const char *what, const struct bp_value *rules, struct bp_error *err);
/* The first rule that matches decides, else `policy_allows`. 0, or -EACCES and which rule says so. */
int rules_decide(const struct bp_value *rules, bool policy_allows, const char *identity, struct bp_error *err);
/* A file: *ret_rules may be NULL when it has none. Both outputs are the caller's. */
int rules_load(const char *path, struct bp_value **ret_rules, bool *ret_allows, struct bp_error *err);

#endif
